/* hub.c: the data plane of one IoT hub; see hub.h. */
#include "hub.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "cloud.h"
#include "doc.h"
#include "sign.h"

enum { TOKEN_SECONDS = 3600, RENEW_SECONDS = 300 };

static const char *auth_option;

const struct opt hub_opts[] = {
	OPT_CHOICE(0, "auth", "login|key", &auth_option,
	    "a hub given by name: with an Entra token, or a key (default)"),
	OPT_GROUP(arm_opts),
	OPT_END,
};

struct hub {
	struct http *http;
	struct arm *arm; /* NULL until needed */
	char *host, *name;
	/* A policy and its key, or a ready-made token, or neither: login. */
	char *policy, *key, *token;
	long token_ends;
	char *from; /* "IOTHUB_CONN_STRING", for messages */
	char sku[8];
	long units; /* 0: unknown */
	struct pace *pace[HUB_KINDS];
};

static char *
first_label(const char *host)
{
	return xstrndup(host, strcspn(host, ".:"));
}

static struct arm *
hub_arm(struct hub *h)
{
	if (!h->arm)
		h->arm = arm_open_on(h->http);
	return h->arm;
}

/* -- who it is ------------------------------------------------------------ */

static int
take_connection_string(struct hub *h, const char *text, struct err *e)
{
	char *device = sign_part(text, "DeviceId");
	struct buf raw = BUF_INIT;
	int rc = -1;

	h->host = sign_part(text, "HostName");
	h->policy = sign_part(text, "SharedAccessKeyName");
	h->key = sign_part(text, "SharedAccessKey");
	h->token = sign_part(text, "SharedAccessSignature");
	if (device)
		err_set(e, BAD_USAGE, h->from,
		    "is the connection string of a device (take one of the "
		    "hub's shared access policies)");
	else if (!h->host || !*h->host || strpbrk(h->host, "/?#@ "))
		err_set(e, BAD_USAGE, h->from,
		    "is no connection string: no HostName=");
	else if (!h->token && (!h->policy || !*h->policy))
		err_set(e, BAD_USAGE, h->from,
		    "is no connection string: no SharedAccessKeyName=");
	else if (!h->token &&
		 (!h->key || !*h->key || sign_unbase64(&raw, h->key) != 0))
		err_set(e, BAD_USAGE, h->from,
		    "is no connection string: SharedAccessKey= is no base64");
	else
		rc = 0;
	if (h->host) {
		for (char *p = h->host; *p; p++)
			*p = (char)tolower((unsigned char)*p);
		h->name = first_label(h->host);
	}
	free(device);
	buf_wipe(&raw);
	return rc;
}

static int
open_file(struct hub *h, const char *path, struct err *e)
{
	FILE *f = fopen(path, "re");
	char line[4096];
	struct stat st;
	int rc;

	if (!f)
		return err_set(
		    e, LOCAL_FAILURE, path, "cannot open: %s", strerror(errno));
	if (fstat(fileno(f), &st) == 0 && S_ISREG(st.st_mode) &&
	    (st.st_mode & (S_IRGRP | S_IROTH)))
		warn(path, "holds a key and can be read by others (chmod 600)");
	if (!fgets(line, sizeof line, f))
		line[0] = '\0';
	(void)fclose(f);
	line[strcspn(line, "\r\n")] = '\0';
	h->from = xasprintf("file:%s", path);
	rc = take_connection_string(h, line, e);
	OPENSSL_cleanse(line, sizeof line);
	return rc;
}

static int
open_env(struct hub *h, const char *name, struct err *e)
{
	const char *value = getenv(name);

	h->from = xstrdup(name);
	if (!value || !*value)
		return err_set(e, BAD_USAGE, name,
		    "is not set (it must hold a connection string)");
	return take_connection_string(h, value, e);
}

/* The policy whose rights are the widest: that of a copying tool (CONTRACT
 * 11.1) is iothubowner, or one with RegistryWrite and ServiceConnect. */
static int
fetch_key(struct hub *h, const char *id, struct err *e)
{
	jv keys = arm_list(hub_arm(h), jv_put(arm_request("POST", ARM_API_HUB,
						  jv_null(), "%s/listkeys", id),
					   "repeat", jv_true()));
	int best = -1;

	if (!jv_is_valid(keys))
		return err_from_jv(e, keys);
	jv_array_foreach(keys, i, policy) {
		jv rights = jv_at(jv_copy(policy), "rights");
		const char *r = jv_string_peek(rights);
		int score = 0;

		if (r && strcasestr(r, "RegistryWrite"))
			score += 4;
		if (r && strcasestr(r, "ServiceConnect"))
			score += 4;
		if (r && strcasestr(r, "RegistryRead"))
			score += 1;
		/* Not more than is needed, where there is a choice. */
		if (r && strcasestr(r, "DeviceConnect"))
			score -= 1;
		if (score > best) {
			best = score;
			free(h->policy);
			secret_free(h->key);
			h->policy =
			    jv_dup_string(jv_at(jv_copy(policy), "keyName"));
			h->key =
			    jv_dup_string(jv_at(jv_copy(policy), "primaryKey"));
		}
		jv_free(rights);
		jv_free(policy);
	}
	jv_free(keys);
	if (!h->policy || !h->key)
		return err_set(e, REMOTE_REFUSED, h->name,
		    "has no shared access policy (use --auth=login)");
	return 0;
}

static void
take_sku(struct hub *h, jv hub)
{
	jv sku = jv_at(hub, "sku");
	jv name = jv_at(jv_copy(sku), "name");
	jv units = jv_at(sku, "capacity");

	if (jv_get_kind(name) == JV_KIND_STRING &&
	    jv_get_kind(units) == JV_KIND_NUMBER) {
		(void)snprintf(
		    h->sku, sizeof h->sku, "%s", jv_string_value(name));
		h->units = (long)jv_number_value(units);
	}
	jv_free(name);
	jv_free(units);
}

/* A name or an id: ARM says where it is. */
static int
open_resource(struct hub *h, const char *operand, struct err *e)
{
	jv hub = arm_hub(hub_arm(h), operand, NULL);
	bool login = auth_option && !strcmp(auth_option, "login");
	char *id;
	int rc;

	if (!jv_is_valid(hub))
		return err_from_jv(e, hub);
	h->host = jv_dup_string(jv_path(jv_copy(hub), "properties.hostName"));
	h->name = jv_dup_string(jv_at(jv_copy(hub), "name"));
	id = jv_dup_string(jv_at(jv_copy(hub), "id"));
	take_sku(h, hub);
	if (!h->host || !h->name || !id)
		rc = err_set(e, REMOTE_RETRY, operand,
		    "has no host name yet (it is not active)");
	else
		rc = login ? 0 : fetch_key(h, id, e);
	free(id);
	return rc;
}

/* A host name with an Entra token needs no ARM; but the token goes only to a
 * host of our cloud. */
static bool
is_host_of_cloud(const char *operand)
{
	return operand[cloud_hub_name(operand)] != '\0' &&
	       !strpbrk(operand, "/?#@: ");
}

static int
open_operand(
    struct hub *h, const char *operand, const char *fallback_env, struct err *e)
{
	const char *value = getenv(fallback_env);

	if (!operand && (!value || !*value))
		return err_set(e, BAD_USAGE, NULL,
		    "no hub named (name one, or set %s)", fallback_env);
	if (!operand)
		return open_env(h, fallback_env, e);
	if (strncmp(operand, "env:", 4) == 0)
		return open_env(h, operand + 4, e);
	if (strncmp(operand, "file:", 5) == 0)
		return open_file(h, operand + 5, e);
	/* Without the words themselves: they hold a key. */
	if (strcasestr(operand, "HostName=") ||
	    strcasestr(operand, "SharedAccess"))
		return err_set(e, BAD_USAGE, NULL,
		    "a connection string on the command line can be read by "
		    "all users of this machine (use env:NAME or file:PATH)");
	h->from = xstrdup(operand);
	if (auth_option && !strcmp(auth_option, "login") &&
	    is_host_of_cloud(operand)) {
		h->host = xstrdup(operand);
		for (char *p = h->host; *p; p++)
			*p = (char)tolower((unsigned char)*p);
		h->name = first_label(h->host);
		return 0;
	}
	return open_resource(h, operand, e);
}

struct hub *
hub_open(struct http *http, const char *operand, const char *fallback_env,
    struct err *e)
{
	struct hub *h = xcalloc(1, sizeof *h);

	h->http = http;
	if (open_operand(h, operand, fallback_env, e) == 0)
		return h;
	hub_close(h);
	return NULL;
}

struct hub *
hub_open_login(const struct hub *same)
{
	struct hub *h;

	/* As in hub_sku(): not where somebody would have to be found first. */
	if (!same->key || !getenv("AZURE_CLIENT_ID") ||
	    !getenv("AZURE_TENANT_ID"))
		return NULL;
	h = xcalloc(1, sizeof *h);
	h->http = same->http;
	h->host = xstrdup(same->host);
	h->name = xstrdup(same->name);
	h->from = xstrdup(same->from);
	memcpy(h->pace, same->pace, sizeof h->pace);
	return h;
}

struct hub *
hub_open_at(
    struct http *http, const char *host, const char *policy, const char *key)
{
	struct hub *h = xcalloc(1, sizeof *h);

	h->http = http;
	h->host = xstrdup(host);
	h->name = first_label(host);
	h->from = xstrdup(host);
	h->policy = policy ? xstrdup(policy) : NULL;
	h->key = policy ? xstrdup(key) : NULL;
	return h;
}

const char *
hub_host(const struct hub *h)
{
	return h->host;
}

const char *
hub_name(const struct hub *h)
{
	return h->name;
}

bool
hub_same(const struct hub *a, const struct hub *b)
{
	return strcasecmp(a->host, b->host) == 0;
}

void
hub_close(struct hub *h)
{
	if (!h)
		return;
	if (h->arm)
		arm_close(h->arm);
	free(h->host);
	free(h->name);
	free(h->policy);
	secret_free(h->key);
	secret_free(h->token);
	free(h->from);
	free(h);
}

/* -- how to talk to it ---------------------------------------------------- */

/* A token of our own is signed for an hour; a ready-made one stays. */
static int
sign_token(struct hub *h, struct err *e)
{
	struct buf b = BUF_INIT;

	h->token_ends = (long)time(NULL) + TOKEN_SECONDS;
	secret_free(h->token);
	h->token = NULL;
	if (sign_hub(&b, h->host, h->key, h->policy, h->token_ends) != 0) {
		buf_wipe(&b);
		return err_set(e, BAD_USAGE, h->name, "its key is no base64");
	}
	h->token = b.at;
	return 0;
}

static int
authorize(void *auth, bool refused, struct buf *value, struct err *e)
{
	struct hub *h = auth;
	const char *t;

	if (h->key) {
		if ((refused || !h->token ||
			time(NULL) >= h->token_ends - RENEW_SECONDS) &&
		    sign_token(h, e) != 0)
			return -1;
		buf_text(value, h->token);
		return 0;
	}
	if (h->token) { /* SharedAccessSignature=SharedAccessSignature sr=... */
		if (strncmp(h->token, "SharedAccessSignature ", 22) != 0)
			buf_text(value, "SharedAccessSignature ");
		buf_text(value, h->token);
		return 0;
	}
	t = cred_token(
	    arm_cred(hub_arm(h)), cloud_get("hubAudience"), refused, e);
	if (!t)
		return -1;
	buf_text(value, "Bearer ");
	buf_text(value, t);
	return 0;
}

static const char *
principal(struct hub *h)
{
	if (h->policy)
		return h->policy;
	return h->token ? "shared access signature"
			: cred_principal(arm_cred(hub_arm(h)));
}

/* Which line of Annex A a call is counted by. */
static enum hub_kind
kind_of(const char *method, const char *path)
{
	bool reads = !strcmp(method, "GET");

	if (strncmp(path, "/twins/", 7) == 0)
		return reads ? HUB_TWIN_READ : HUB_TWIN_WRITE;
	if (strncmp(path, "/configurations", 15) == 0 ||
	    strstr(path, "/applyConfigurationContent"))
		return HUB_CONFIGURATION;
	if (strncmp(path, "/jobs", 5) == 0)
		return HUB_JOB;
	if (!reads && strcmp(path, "/devices/query") == 0)
		return HUB_QUERY;
	return HUB_IDENTITY; /* statistics too */
}

void
hub_pace(struct hub *h, enum hub_kind kind, struct pace *pace)
{
	h->pace[kind] = pace;
}

struct pace *
hub_pace_of(const struct hub *h, enum hub_kind kind)
{
	return h->pace[kind];
}

struct http *
hub_http(const struct hub *h)
{
	return h->http;
}

static struct http_request
make_request(struct hub *h, const char *method, const char *query, char *path)
{
	struct http_request r = { .method = method,
		.authorize = authorize,
		.auth = h,
		.principal = principal(h),
		.target = h->host };

	r.url = xasprintf("https://%s%s?api-version=" HUB_API "%s%s", h->host,
	    path, query ? "&" : "", query ? query : "");
	r.repeat = strcmp(method, "POST") != 0 && strcmp(method, "PATCH") != 0
		       ? HTTP_REPEAT
		       : HTTP_ONCE;
	r.expect_json = true; /* what has none is answered with 204 */
	/* With a key, that of a disabled device's modules is an answer
	 * (CONTRACT 12.4). */
	r.odd_401 = !h->key || strncmp(path, "/devices/", 9) != 0 ||
		    !strstr(path, "/modules");
	r.pace = h->pace[kind_of(method, path)];
	r.cost = 1;
	free(path);
	return r;
}

struct http_request
hub_request(struct hub *h, const char *method, const char *query,
    const char *path_fmt, ...)
{
	va_list ap;
	char *path;

	va_start(ap, path_fmt);
	path = xvasprintf(path_fmt, ap);
	va_end(ap);
	return make_request(h, method, query, path);
}

char *
hub_escape(const char *id)
{
	struct buf b = BUF_INIT;

	buf_url(&b, id, strlen(id));
	if (!b.at)
		buf_text(&b, "");
	return b.at;
}

/* -- what it answers ------------------------------------------------------ */

/*
 * Code and message of both body forms, and of the second as a string in the
 * first (CONTRACT 11.3).  Both are left alone where nothing is found.
 */
static void
read_error(struct span body, struct buf *code, struct buf *message, int depth)
{
	static const char *const old[] = { "Message", NULL };
	static const char *const newer[] = { "message", NULL };
	static const char *const number[] = { "errorCode", NULL };
	struct span value;
	struct json j = { 0 };
	struct json_fault fault;
	char *text = NULL, *p;
	size_t n;
	int rc;

	rc = json_scan(body, &j, &fault);
	json_free(&j);
	if (rc != 0 || depth > 4)
		return;
	if (json_get(body, number, &value, NULL) == 1) {
		buf_clear(code);
		buf_span(code, value);
	}
	if (json_get(body, newer, &value, NULL) == 1 ||
	    json_get(body, old, &value, NULL) == 1)
		text = json_string(value);
	if (!text)
		return;
	for (p = text; *p == ' '; p++)
		;
	if (*p == '{') {
		read_error(span_of(p), code, message, depth + 1);
	} else {
		if (strncasecmp(p, "ErrorCode:", 10) == 0) {
			n = strcspn(p + 10, ";, \r\n");
			buf_clear(code);
			buf_add(code, p + 10, n);
			p += 10 + n;
			p += strspn(p, "; ");
		}
		buf_clear(message);
		buf_add(message, p, strcspn(p, "\r\n"));
	}
	free(text);
}

/* Names of the numbers that the newer body gives (CONTRACT 11.3). */
static const char *
name_of_number(long n)
{
	static const struct {
		long number;
		const char *name;
	} names[] = {
		{ 400004, "ArgumentInvalid" },
		{ 400008, "BlobContainerValidationError" },
		{ 400011, "DeviceDefinedMultipleTimes" },
		{ 400012, "DeserializationError" },
		{ 400013, "BulkRegistryOperationFailure" },
		{ 401001, "IotHubNotFound" },
		{ 401002, "IotHubUnauthorizedAccess" },
		{ 401003, "IotHubUnauthorized" },
		{ 403002, "IotHubQuotaExceeded" },
		{ 403003, "JobQuotaExceeded" },
		{ 403010, "OperationNotAvailableInCurrentTier" },
		{ 404001, "DeviceNotFound" },
		{ 404002, "JobNotFound" },
		{ 404010, "ModuleNotFound" },
		{ 404012, "IotHubFailingOver" },
		{ 404103, "DeviceNotOnline" },
		{ 404301, "ConfigurationNotFound" },
		{ 409001, "DeviceAlreadyExists" },
		{ 409301, "ModuleAlreadyExistsOnDevice" },
		{ 409401, "ConfigurationAlreadyExists" },
		{ 412001, "PreconditionFailed" },
		{ 413002, "TooManyDevices" },
		{ 413003, "TooManyModulesOnDevice" },
		{ 429001, "ThrottlingException" },
		{ 429002, "ThrottleBacklogLimitExceeded" },
		{ 429003, "ThrottlingBacklogTimeout" },
		{ 429004, "ThrottlingMaxActiveJobCountExceeded" },
	};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (names[i].number == n)
			return names[i].name;
	return NULL;
}

static const char *
name_of_code(const char *number)
{
	const char *name = name_of_number(strtol(number, NULL, 10));

	return name ? name : number;
}

const char *
hub_error_name(long number)
{
	const char *name = name_of_number(number);

	return name ? name : "";
}

/* What a person can do about a 401, or a 403 that is about rights. */
static void
add_remedy(const struct hub *h, const struct http_reply *r, struct buf *text)
{
	if (http_clock_remedy(r, "hub", text))
		return;
	if (h->key)
		buf_printf(text,
		    " (policy '%s' has the wrong key or lacks RegistryWrite or "
		    "ServiceConnect: use the connection string of "
		    "'iothubowner', or --auth=login with the role 'IoT Hub "
		    "Data Contributor')",
		    h->policy);
	else if (h->token)
		buf_text(text,
		    " (the shared access signature is wrong, has ended, or "
		    "lacks RegistryWrite or ServiceConnect: use a connection "
		    "string with a key, or --auth=login with the role 'IoT "
		    "Hub Data Contributor')");
	else
		buf_text(text,
		    " (who is logged in needs the role 'IoT Hub Data "
		    "Contributor' on the hub, which owners do not have by "
		    "themselves: assign it, or use --auth=key)");
}

static enum status
status_of(int http)
{
	if (http == 404)
		return ANSWER_NO;
	if (http == 501)
		return REMOTE_REFUSED;
	if (http == 0 || http == 408 || http == 429 || http >= 500)
		return REMOTE_RETRY;
	return REMOTE_REFUSED;
}

int
hub_check(const struct hub *h, const struct http_reply *r, const char *subject,
    char code[64], struct err *e)
{
	const char *header = http_header(r, "iothub-errorcode");
	struct buf name = BUF_INIT, message = BUF_INIT, text = BUF_INIT;
	char *masked;

	code[0] = '\0';
	if (r->status >= 200 && r->status <= 299)
		return 0;
	if (r->status == 0) {
		*e = r->err;
		return -1;
	}
	buf_text(&name, "");
	read_error(buf_peek(&r->body), &name, &message, 0);
	(void)snprintf(
	    code, 64, "%s", header && *header ? header : name_of_code(name.at));
	if (*code)
		buf_printf(&text, "%s", code);
	else
		buf_printf(&text, "HTTP %d", r->status);
	if (message.len)
		buf_printf(&text, ": %s", message.at);
	while (text.len && strchr(" .", text.at[text.len - 1]))
		text.at[--text.len] = '\0';
	/* Why it was not tried again. */
	if (r->status == 429 && r->err.text[0])
		buf_printf(&text, ": %s", r->err.text);
	/* Also a 401 (CONTRACT 11.3): no key would help. */
	if (!strcmp(code, "IotHubNotFound"))
		buf_text(&text, " (is the name of the hub right?)");
	else if (r->status == 401)
		add_remedy(h, r, &text);
	masked = arm_masked(text.at);
	(void)err_set(e, status_of(r->status), subject, "%s", masked);
	/* A hub that fails over says it is not there (CONTRACT 6). */
	if (!strcmp(code, "IotHubFailingOver"))
		e->status = REMOTE_RETRY;
	free(masked);
	buf_free(&name);
	buf_free(&message);
	buf_free(&text);
	return -1;
}

int
hub_get(struct hub *h, struct buf *into, char code[64], struct err *e,
    const char *query, const char *path_fmt, ...)
{
	struct http_request request;
	struct http_reply reply = { 0 };
	char ignored[64], *path;
	va_list ap;
	int rc;

	va_start(ap, path_fmt);
	path = xvasprintf(path_fmt, ap);
	va_end(ap);
	request = make_request(h, "GET", query, path);
	http_one(h->http, &request, &reply);
	rc = hub_check(h, &reply, h->name, code ? code : ignored, e);
	if (rc == 0) {
		buf_free(into);
		*into = reply.body;
		reply.body = (struct buf)BUF_INIT;
	}
	http_reply_free(&reply);
	return rc;
}

long
hub_devices(struct hub *h, struct err *e)
{
	static const char *const path[] = { "totalDeviceCount", NULL };
	struct buf body = BUF_INIT;
	struct span value;
	long n = -1;

	if (hub_get(h, &body, NULL, e, NULL, "/statistics/devices") != 0)
		return -1;
	if (json_get(buf_peek(&body), path, &value, NULL) == 1 &&
	    json_kind_of(value) == JSON_NUMBER)
		n = strtol(value.at, NULL, 10); /* more JSON follows */
	else
		err_set(e, REMOTE_RETRY, hub_name(h),
		    "does not say how many devices it has");
	buf_free(&body);
	return n;
}

/* -- what it permits ------------------------------------------------------ */

struct hub_limits
hub_limits(const char *sku, long units)
{
	double n = units > 0 ? (double)units : 1;

	/* CONTRACT Annex A; the digit is the column. */
	switch (sku[0] ? sku[1] : '1') {
	case '3':
		return (struct hub_limits){ 5000 * n, 1000 * n, 500 * n,
			250 * n, 20 * n, 5000 * n };
	case '2':
		return (struct hub_limits){ 100 * n, 20 * n, fmax(100, 10 * n),
			fmax(50, 5 * n), 20 * n, 100 * n };
	default:
		return (struct hub_limits){ 100 * n, 20 * n, 100, 50, 20 * n,
			100 * n };
	}
}

bool
hub_sku(struct hub *h, char sku[8], long *units)
{
	/* With a connection string we may have no right in ARM at all: ask
	 * only where credentials stand ready. */
	if (!h->units && h->policy && getenv("AZURE_CLIENT_ID") &&
	    getenv("AZURE_TENANT_ID") && getenv("AZURE_SUBSCRIPTION_ID")) {
		jv hub = arm_hub(hub_arm(h), h->name, NULL);

		if (jv_is_valid(hub) &&
		    jv_string_is_nocase(
			jv_path(jv_copy(hub), "properties.hostName"), h->host))
			take_sku(h, jv_copy(hub));
		jv_free(hub);
		h->units = h->units ? h->units : -1; /* asked once */
	}
	if (h->units <= 0)
		return false;
	memcpy(sku, h->sku, sizeof h->sku);
	*units = h->units;
	return true;
}
