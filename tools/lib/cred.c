/* cred.c: Entra tokens; see cred.h.  The answers are those of CONTRACT 2. */
#include "cred.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cloud.h"
#include "doc.h"
#include "sign.h"

static const char *prefix_option;

const struct opt cred_opts[] = {
	OPT_TEXT(0, "credential", "PREFIX", &prefix_option,
	    "log in with PREFIX_AZURE_* instead of AZURE_*"),
	OPT_END,
};

enum method { NOT_YET, ENVIRONMENT, MANAGED, CLI };

struct token {
	char *audience, *text;
	time_t renew; /* five minutes before it ends, or a fifth of its life */
	struct token *next;
};

struct cred {
	struct http *http;
	const char *prefix; /* NULL: none */
	enum method method; /* the one that worked */
	struct token *tokens;
	const char *tenant, *client, *secret, *certificate, *federated;
	char *subscription;
};

static const char *
variable(const char *prefix, const char *name)
{
	char *whole = prefix ? xasprintf("%s_%s", prefix, name) : xstrdup(name);
	const char *value = getenv(whole);

	free(whole);
	return value && *value ? value : NULL;
}

struct cred *
cred_open(struct http *http, const char *prefix)
{
	struct cred *c = xcalloc(1, sizeof *c);

	c->http = http;
	c->prefix = prefix ? prefix : prefix_option;
	c->tenant = variable(c->prefix, "AZURE_TENANT_ID");
	c->client = variable(c->prefix, "AZURE_CLIENT_ID");
	c->secret = variable(c->prefix, "AZURE_CLIENT_SECRET");
	c->certificate = variable(c->prefix, "AZURE_CLIENT_CERTIFICATE_PATH");
	c->federated = variable(c->prefix, "AZURE_FEDERATED_TOKEN_FILE");
	return c;
}

static bool
environment_is_set(const struct cred *c)
{
	return c->tenant && c->client &&
	       (c->secret || c->certificate || c->federated);
}

const char *
cred_principal(struct cred *c)
{
	if (environment_is_set(c))
		return c->client;
	return c->method == CLI ? "az" : "managed identity";
}

static int
read_file(const char *path, struct buf *into, struct err *e)
{
	if (doc_read_text(path, into, e))
		return -1;
	return into->len ? 0 : err_set(e, LOCAL_FAILURE, path, "is empty");
}

static int
client_assertion(
    struct cred *c, const char *url, struct buf *jwt, struct err *e)
{
	struct buf pem = BUF_INIT;
	int rc = read_file(c->certificate, &pem, e);

	if (rc == 0 && sign_jwt(jwt, buf_peek(&pem), url, c->client,
			   (long)time(NULL)) != 0)
		rc = err_set(e, LOCAL_FAILURE, c->certificate,
		    "no PEM file with an RSA key and its certificate");
	buf_wipe(&pem);
	return rc;
}

static void
form(struct buf *b, const char *name, const char *value)
{
	buf_printf(b, "%s%s=", b->len ? "&" : "", name);
	buf_url(b, value, strlen(value));
}

static int
form_proof(struct cred *c, const char *url, struct buf *body, struct err *e)
{
	struct buf jwt = BUF_INIT;
	int rc;

	if (c->secret) {
		form(body, "client_secret", c->secret);
		return 0;
	}
	rc = c->certificate ? client_assertion(c, url, &jwt, e)
			    : read_file(c->federated, &jwt, e);
	if (rc == 0) {
		jwt.at[strcspn(jwt.at, "\r\n")] = '\0';
		form(body, "client_assertion_type",
		    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
		form(body, "client_assertion", jwt.at);
	}
	buf_wipe(&jwt);
	return rc;
}

/* A member as text, be it a string or a number; malloc'd, NULL if absent. */
static char *
text_member(jv object, const char *name)
{
	jv value = jv_at(object, name);
	char *text = NULL;

	if (jv_get_kind(value) == JV_KIND_NUMBER)
		text = xasprintf("%.0f", jv_number_value(value));
	else
		text = jv_dup_string(jv_copy(value));
	jv_free(value);
	return text;
}

static void
keep_token(struct cred *c, const char *audience, char *text, time_t ends)
{
	struct token *t = xcalloc(1, sizeof *t);
	time_t fifth = (ends - time(NULL)) / 5;

	t->audience = xstrdup(audience);
	t->text = text;
	t->renew = ends - (fifth < 300 ? fifth : 300);
	t->next = c->tokens;
	c->tokens = t;
}

/* {"access_token","expires_in"} of the token endpoint and of IMDS. */
static int
take_token(struct cred *c, const char *audience, struct http_reply *r,
    const char *who, struct err *e)
{
	jv body = doc_parse(buf_peek(&r->body), who);
	char *text, *in;

	if (!jv_is_valid(body)) {
		jv_free(body);
		return err_set(e, REMOTE_RETRY, who, "the answer is no JSON");
	}
	text = text_member(jv_copy(body), "access_token");
	in = text_member(body, "expires_in");
	if (!text) {
		free(in);
		return err_set(e, REMOTE_RETRY, who, "no token in the answer");
	}
	keep_token(c, audience, text,
	    time(NULL) + (in ? (time_t)strtol(in, NULL, 10) : 3600));
	free(in);
	return 0;
}

/* Why the endpoint refused: the first line of what it says, AADSTS code and
 * all; what follows are trace ids. */
static int
token_refused(struct cred *c, struct http_reply *r, struct err *e)
{
	jv body = doc_parse(buf_peek(&r->body), "token");
	char *text = NULL;

	if (jv_is_valid(body)) {
		text = text_member(jv_copy(body), "error_description");
		if (!text)
			text = text_member(jv_copy(body), "error");
	}
	jv_free(body);
	if (text) {
		char *ids = strstr(text, " Trace ID:");

		text[strcspn(text, "\r\n")] = '\0';
		if (ids)
			*ids = '\0';
	}
	(void)err_set(e,
	    r->status == 429 || r->status >= 500 ? REMOTE_RETRY
						 : REMOTE_REFUSED,
	    c->client, "login failed: %s (HTTP %d; check %s%sAZURE_%s)",
	    text ? text : "no reason given", r->status,
	    c->prefix ? c->prefix : "", c->prefix ? "_" : "",
	    c->secret        ? "CLIENT_SECRET"
	    : c->certificate ? "CLIENT_CERTIFICATE_PATH"
			     : "FEDERATED_TOKEN_FILE");
	free(text);
	return -1;
}

static int
from_environment(struct cred *c, const char *audience, struct err *e)
{
	const char *host = variable(c->prefix, "AZURE_AUTHORITY_HOST");
	struct http_request r = { .method = "POST",
		.content_type = "application/x-www-form-urlencoded",
		.repeat = HTTP_REPEAT,
		.expect_json = true };
	struct http_reply reply = { 0 };
	char *scope = xasprintf("%s/.default", audience);
	size_t len;
	int rc;

	if (!host || strncmp(host, "https://", 8) != 0)
		host = cloud_get("login");
	len = strlen(host);
	while (len && host[len - 1] == '/')
		len--;
	r.url =
	    xasprintf("%.*s/%s/oauth2/v2.0/token", (int)len, host, c->tenant);
	form(&r.body, "client_id", c->client);
	form(&r.body, "scope", scope);
	form(&r.body, "grant_type", "client_credentials");
	free(scope);
	if (form_proof(c, r.url, &r.body, e) != 0) {
		buf_wipe(&r.body);
		free(r.url);
		return -1;
	}
	http_one(c->http, &r, &reply);
	if (reply.status == 0) {
		*e = reply.err;
		rc = -1;
	} else if (reply.status == 200)
		rc = take_token(c, audience, &reply, "login", e);
	else
		rc = token_refused(c, &reply, e);
	http_reply_free(&reply);
	return rc;
}

/* Only on a virtual machine does anything answer at that address. */
static int
from_managed(struct cred *c, const char *audience, struct err *e)
{
	struct http_request r = { .method = "GET",
		.repeat = HTTP_REPEAT,
		.expect_json = true,
		.timeout = 2 };
	struct http_reply reply = { 0 };
	struct buf url = BUF_INIT;
	int rc = -1;

	buf_text(&url, "http://169.254.169.254/metadata/identity/oauth2/token"
		       "?api-version=2018-02-01&resource=");
	buf_url(&url, audience, strlen(audience));
	if (c->client) {
		buf_text(&url, "&client_id=");
		buf_url(&url, c->client, strlen(c->client));
	}
	/* The first time it may not be there at all. */
	r.no_retry = c->method == NOT_YET;
	r.url = url.at;
	r.headers[0] = xstrdup("Metadata: true");
	http_one(c->http, &r, &reply);
	if (reply.status == 200)
		rc = take_token(c, audience, &reply, "managed identity", e);
	else
		(void)err_set(e, REMOTE_REFUSED, "managed identity",
		    reply.status ? "HTTP %d" : "none here", reply.status);
	http_reply_free(&reply);
	return rc;
}

/* false: it does not come to an end in the time that is left. */
static bool
read_all(const struct cred *c, int fd, struct buf *into)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char part[4096];
	bool end = false;

	while (!end) {
		double left = http_left(c->http);
		int ready =
		    poll(&p, 1, left < 1e6 ? (int)(left * 1000) + 1 : -1);
		ssize_t n;

		if (ready == 0)
			break;
		n = ready < 0 ? -1 : read(fd, part, sizeof part);
		if (n > 0)
			buf_add(into, part, (size_t)n);
		end = n == 0 || (n < 0 && errno != EINTR);
	}
	OPENSSL_cleanse(part, sizeof part);
	return end;
}

/* Runs az; its stdout as JSON.  Its stderr goes to nobody: what it says there
 * is for a person at az. */
static jv
run_az(const struct cred *c, char *const argv[], struct err *e)
{
	posix_spawn_file_actions_t fa;
	struct buf out = BUF_INIT;
	int fd[2], rc, status = 0;
	bool late;
	pid_t pid;
	jv result;

	if (pipe2(fd, O_CLOEXEC) != 0) {
		(void)err_set(
		    e, LOCAL_FAILURE, "az", "pipe: %s", strerror(errno));
		return jv_invalid();
	}
	(void)posix_spawn_file_actions_init(&fa);
	(void)posix_spawn_file_actions_addopen(
	    &fa, 0, "/dev/null", O_RDONLY, 0);
	(void)posix_spawn_file_actions_adddup2(&fa, fd[1], 1);
	(void)posix_spawn_file_actions_addopen(
	    &fa, 2, "/dev/null", O_WRONLY, 0);
	rc = posix_spawnp(&pid, "az", &fa, NULL, argv, environ);
	(void)posix_spawn_file_actions_destroy(&fa);
	(void)close(fd[1]);
	if (rc != 0) {
		(void)close(fd[0]);
		(void)err_set(e, REMOTE_REFUSED, "az", "%s",
		    rc == ENOENT ? "not installed" : strerror(rc));
		return jv_invalid();
	}
	late = !read_all(c, fd[0], &out);
	(void)close(fd[0]);
	if (late)
		(void)kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	result = WIFEXITED(status) && WEXITSTATUS(status) == 0
		     ? doc_parse(buf_peek(&out), "az")
		     : jv_invalid();
	buf_wipe(&out);
	if (!jv_is_valid(result)) {
		jv_free(result);
		(void)err_set(e, late ? REMOTE_RETRY : REMOTE_REFUSED, "az",
		    late ? "no answer in time" : "not logged in");
		return jv_invalid();
	}
	return result;
}

/* expires_on is in seconds; older ones print only expiresOn, local time. */
static time_t
az_ends(jv answer)
{
	char *on = text_member(jv_copy(answer), "expires_on");
	char *local = text_member(answer, "expiresOn");
	struct tm tm = { .tm_isdst = -1 };
	time_t ends = time(NULL) + 600;

	if (on)
		ends = (time_t)strtoll(on, NULL, 10);
	else if (local && strptime(local, "%Y-%m-%d %H:%M:%S", &tm))
		ends = mktime(&tm);
	free(on);
	free(local);
	return ends;
}

static int
from_az(struct cred *c, const char *audience, struct err *e)
{
	char *resource = xstrdup(audience);
	char *argv[] = { (char[]){ "az" }, (char[]){ "account" },
		(char[]){ "get-access-token" }, (char[]){ "--resource" },
		resource, (char[]){ "--output" }, (char[]){ "json" }, NULL };
	jv answer = run_az(c, argv, e);
	char *text;

	free(resource);
	if (!jv_is_valid(answer))
		return -1;
	text = text_member(jv_copy(answer), "accessToken");
	if (!text) {
		jv_free(answer);
		return err_set(e, REMOTE_REFUSED, "az", "gives no token");
	}
	keep_token(c, audience, text, az_ends(answer));
	return 0;
}

/* In the order of DefaultAzureCredential; the one that works is kept. */
static int
get_token(struct cred *c, const char *audience, struct err *e)
{
	struct err managed, az;

	if (environment_is_set(c)) {
		c->method = ENVIRONMENT;
		return from_environment(c, audience, e);
	}
	if (c->prefix)
		return err_set(e, BAD_USAGE, c->prefix,
		    "%s_AZURE_TENANT_ID, %s_AZURE_CLIENT_ID and "
		    "%s_AZURE_CLIENT_SECRET are not all set",
		    c->prefix, c->prefix, c->prefix);
	if (c->method == MANAGED)
		return from_managed(c, audience, e);
	if (c->method == CLI)
		return from_az(c, audience, e);
	if (from_managed(c, audience, &managed) == 0) {
		c->method = MANAGED;
		return 0;
	}
	if (from_az(c, audience, &az) == 0) {
		c->method = CLI;
		return 0;
	}
	return err_set(e,
	    az.status == REMOTE_RETRY ? REMOTE_RETRY : REMOTE_REFUSED, NULL,
	    "not logged in: environment: AZURE_TENANT_ID, AZURE_CLIENT_ID and "
	    "AZURE_CLIENT_SECRET are not all set; managed identity: %s; "
	    "az: %s (set these variables, or run 'az login')",
	    managed.text, az.text);
}

static void
forget(struct token *t)
{
	secret_free(t->text);
	free(t->audience);
	free(t);
}

const char *
cred_token(struct cred *c, const char *audience, bool fresh, struct err *e)
{
	for (struct token **p = &c->tokens, *t = *p; t; t = *p) {
		if (strcmp(t->audience, audience) != 0) {
			p = &t->next;
			continue;
		}
		if (!fresh && time(NULL) < t->renew)
			return t->text;
		*p = t->next;
		forget(t);
	}
	if (get_token(c, audience, e) != 0)
		return NULL;
	if (!c->tokens)
		bug("logged in without a token for %s", audience);
	return c->tokens->text;
}

const char *
cred_subscription(struct cred *c)
{
	char *argv[] = { (char[]){ "az" }, (char[]){ "account" },
		(char[]){ "show" }, (char[]){ "--output" }, (char[]){ "json" },
		NULL };
	const char *value = variable(c->prefix, "AZURE_SUBSCRIPTION_ID");
	struct err e;
	jv answer;

	if (value)
		return value;
	if (c->subscription || c->prefix)
		return c->subscription;
	answer = run_az(c, argv, &e);
	if (!jv_is_valid(answer))
		return NULL;
	c->subscription = text_member(answer, "id");
	return c->subscription;
}

void
cred_close(struct cred *c)
{
	while (c->tokens) {
		struct token *t = c->tokens;

		c->tokens = t->next;
		forget(t);
	}
	free(c->subscription);
	free(c);
}
