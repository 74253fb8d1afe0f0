/*
 * arm.c: Azure Resource Manager; see arm.h.
 *
 * A call is a small state machine over http.h, so that many can be under way
 * at once: sent, then polled in the one or the other form, then read back.
 */
#include "arm.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cloud.h"
#include "doc.h"
#include "json.h"

static const char *subscription_option;

const struct opt arm_opts[] = {
	OPT_TEXT('s', "subscription", "ID", &subscription_option,
	    "the subscription (AZURE_SUBSCRIPTION_ID)"),
	OPT_GROUP(cred_opts),
	OPT_GROUP(cloud_opts),
	OPT_GROUP(http_opts),
	OPT_END,
};

struct arm {
	struct http *http;
	struct cred *cred;
	bool own_http;
	bool doubt; /* arm_in_doubt() */
	const char *subscription;
};

struct arm *
arm_open_on(struct http *http)
{
	struct arm *a = xcalloc(1, sizeof *a);

	a->http = http;
	a->cred = cred_open(http, NULL);
	return a;
}

struct arm *
arm_open(void)
{
	struct arm *a = arm_open_on(http_open());

	a->own_http = true;
	return a;
}

struct http *
arm_http(struct arm *a)
{
	return a->http;
}

struct cred *
arm_cred(struct arm *a)
{
	return a->cred;
}

const char *
arm_subscription(struct arm *a)
{
	if (!a->subscription)
		a->subscription = subscription_option
				      ? subscription_option
				      : cred_subscription(a->cred);
	if (!a->subscription)
		die(BAD_USAGE, NULL,
		    "no subscription known (give -s ID or a full resource id, "
		    "set AZURE_SUBSCRIPTION_ID, or run 'az login')");
	return a->subscription;
}

void
arm_close(struct arm *a)
{
	cred_close(a->cred);
	if (a->own_http)
		http_close(a->http);
	free(a);
}

jv
arm_request(
    const char *method, const char *api, jv body, const char *path_fmt, ...)
{
	jv r = jv_object();
	va_list ap;
	char *path;

	va_start(ap, path_fmt);
	path = xvasprintf(path_fmt, ap);
	va_end(ap);
	r = jv_put(r, "method", jv_string(method));
	r = jv_put(r, "path", jv_string(path));
	if (api)
		r = jv_put(r, "api", jv_string(api));
	if (jv_get_kind(body) == JV_KIND_NULL ||
	    jv_get_kind(body) == JV_KIND_INVALID)
		jv_free(body);
	else
		r = jv_put(r, "body", body);
	free(path);
	return r;
}

/* -- what an error says --------------------------------------------------- */

char *
arm_masked(const char *text)
{
	static const char *const before[] = { "SharedAccessKey=", "AccountKey=",
		"sig=", "SharedAccessSignature ", "\"primaryKey\":\"",
		"\"secondaryKey\":\"" };
	struct buf b = BUF_INIT;

	buf_text(&b, "");
	for (const char *p = text; *p;) {
		size_t cut = 0;

		for (size_t i = 0; i < sizeof before / sizeof *before; i++)
			if (!strncasecmp(p, before[i], strlen(before[i])))
				cut = strlen(before[i]);
		if (!cut) {
			buf_char(&b, *p++);
			continue;
		}
		buf_add(&b, p, cut);
		buf_text(&b, "****");
		p += cut + strcspn(p + cut, ";&\"', \r\n");
	}
	return b.at;
}

static jv deepest(jv body, int depth);

/* A code that is a number (the flat form of hubs) as text. */
static jv
code_text(jv code)
{
	double n;

	if (jv_get_kind(code) != JV_KIND_NUMBER)
		return code;
	n = jv_number_value(code);
	jv_free(code);
	return jv_text("%.0f", n);
}

/* The JSON that a message is, or holds: "Message: {...}\r\nActivityId: ...";
 * invalid when there is none. */
static jv
json_inside(const char *message)
{
	const char *from = strpbrk(message, "{["), *to;
	struct span text;
	struct json_fault fault;
	struct json j = { 0 };
	jv out = jv_invalid();

	if (!from || (to = strrchr(message, *from == '{' ? '}' : ']')) < from)
		return out;
	/* Words that hold a brace are no JSON; a prefix such as "Message: "
	 * is short. */
	if (from - message > 16)
		return out;
	text = (struct span){ from, (size_t)(to - from) + 1 };
	if (json_scan(text, &j, &fault) == 0)
		out = json_jv(text);
	json_free(&j);
	return out;
}

static bool
says_something(jv error)
{
	jv code = jv_at(jv_copy(error), "code");
	jv message = jv_at(error, "message");
	bool yes = jv_get_kind(message) == JV_KIND_STRING ||
		   jv_get_kind(code) == JV_KIND_STRING;

	jv_free(code);
	jv_free(message);
	return yes;
}

/* The first of details that says something; jv_null() if none does. */
static jv
first_detail(jv details, int depth)
{
	jv found = jv_null();

	if (jv_get_kind(details) != JV_KIND_ARRAY) {
		jv_free(details);
		return found;
	}
	jv_array_foreach(details, i, detail) {
		jv inner = deepest(detail, depth);

		if (jv_get_kind(found) == JV_KIND_NULL &&
		    says_something(jv_copy(inner)))
			found = inner;
		else
			jv_free(inner);
	}
	jv_free(details);
	return found;
}

static jv
deepest_object(jv body, int depth)
{
	static const char *const wrapper[] = { "error", "statusMessage" };
	jv code, message, inner, out;

	for (size_t i = 0; i < 2; i++) {
		inner = jv_at(jv_copy(body), wrapper[i]);
		if (jv_get_kind(inner) == JV_KIND_OBJECT ||
		    (jv_get_kind(inner) == JV_KIND_STRING && i == 1)) {
			jv_free(body);
			return deepest(inner, depth);
		}
		jv_free(inner);
	}
	inner = first_detail(jv_at(jv_copy(body), "details"), depth);
	if (jv_get_kind(inner) == JV_KIND_OBJECT) {
		jv_free(body);
		return inner;
	}
	jv_free(inner);
	code = code_text(jv_at(jv_copy(body), "code"));
	message = jv_at(jv_copy(body), "message");
	if (jv_get_kind(message) != JV_KIND_STRING) {
		jv_free(message);
		message = jv_at(jv_copy(body), "Message");
	}
	jv_free(body);
	if (jv_get_kind(message) == JV_KIND_STRING) {
		inner = json_inside(jv_string_value(message));
		if (jv_get_kind(inner) == JV_KIND_OBJECT) {
			inner = deepest(inner, depth);
			if (says_something(jv_copy(inner))) {
				jv_free(code);
				jv_free(message);
				return inner;
			}
		}
		jv_free(inner);
	}
	out = jv_object();
	if (jv_get_kind(code) == JV_KIND_STRING)
		out = jv_put(out, "code", jv_copy(code));
	if (jv_get_kind(message) == JV_KIND_STRING)
		out = jv_put(out, "message", jv_copy(message));
	jv_free(code);
	jv_free(message);
	return out;
}

static jv
deepest(jv body, int depth)
{
	jv inner;

	if (depth > 32) {
		jv_free(body);
		return jv_object();
	}
	switch (jv_get_kind(body)) {
	case JV_KIND_OBJECT:
		return deepest_object(body, depth + 1);
	case JV_KIND_ARRAY:
		inner = first_detail(body, depth + 1);
		if (jv_get_kind(inner) == JV_KIND_OBJECT)
			return inner;
		jv_free(inner);
		return jv_object();
	case JV_KIND_STRING:
		inner = json_inside(jv_string_value(body));
		if (jv_is_valid(inner)) {
			jv_free(body);
			return deepest(inner, depth + 1);
		}
		jv_free(inner);
		return jv_put(jv_object(), "message", body);
	default:
		jv_free(body);
		return jv_object();
	}
}

jv
arm_error(jv body)
{
	jv e = deepest(body, 0), message = jv_at(jv_copy(e), "message");
	jv code = jv_at(jv_copy(e), "code");

	if (jv_get_kind(message) == JV_KIND_STRING) {
		char *masked = arm_masked(jv_string_value(message));

		e = jv_put(e, "message", jv_string(masked));
		free(masked);
	} else
		e = jv_put(e, "message", jv_string(""));
	if (jv_get_kind(code) != JV_KIND_STRING)
		e = jv_put(e, "code", jv_string(""));
	jv_free(message);
	jv_free(code);
	return e;
}

char *
arm_error_text(jv error)
{
	jv code = jv_at(jv_copy(error), "code");
	jv message = jv_at(error, "message");
	const char *c = jv_string_peek(code), *m = jv_string_peek(message);
	struct buf b = BUF_INIT;

	buf_text(&b, c ? c : "");
	buf_printf(&b, "%s%s", b.len && m && *m ? ": " : "", m ? m : "");
	while (b.len && strchr(" \r\n.", b.at[b.len - 1]))
		b.at[--b.len] = '\0';
	jv_free(code);
	jv_free(message);
	return b.at;
}

enum status
arm_status(int http, jv error)
{
	jv code = jv_at(error, "code");
	const char *c = jv_string_peek(code);
	long n = c ? strtol(c, NULL, 10) : 0; /* the hub provider's, if any */
	enum status s = REMOTE_REFUSED;

	if (http == 404)
		s = ANSWER_NO;
	else if (http == 501)
		s = REMOTE_REFUSED;
	else if (http == 0 || http == 408 || http == 429 || http >= 500 ||
		 n == 409002 || n / 1000 == 429 || n / 1000 >= 500)
		s = REMOTE_RETRY;
	else if (c && (!strcasecmp(c, "TooManyRequests") ||
			  !strcasecmp(c, "ServerTimeout") ||
			  !strcasecmp(c, "ServiceUnavailable") ||
			  !strcasecmp(c, "InternalServerError") ||
			  !strcasecmp(c, "DeploymentActive")))
		s = REMOTE_RETRY;
	jv_free(code);
	return s;
}

/* -- one call ------------------------------------------------------------- */

enum phase { SENT, POLL_STATUS, POLL_LOCATION, POLL_RESOURCE, READ_BACK };

struct call {
	struct arm *arm;
	jv request;
	char *method, *url;
	char *location; /* where the result of a POST will be */
	enum phase phase;
	double wait; /* before the next poll */
	bool raw;    /* arm_answer: any answer is the result */
	jv result;
	int http; /* status behind a failure */
	char *code;
};

static int
authorize(void *auth, bool refused, struct buf *value, struct err *e)
{
	struct arm *a = auth;
	const char *t =
	    cred_token(a->cred, cloud_get("armAudience"), refused, e);

	if (!t)
		return -1;
	buf_text(value, "Bearer ");
	buf_text(value, t);
	return 0;
}

/* Its length without the slashes at its end. */
static size_t
bare(const char *url)
{
	size_t n = strlen(url);

	while (n && url[n - 1] == '/')
		n--;
	return n;
}

/* Is this URL ARM's own?  The token goes nowhere else. */
static bool
is_ours(const char *url)
{
	const char *arm = cloud_get("arm");
	size_t n = bare(arm);

	if (strncasecmp(url, arm, n) != 0)
		return false;
	if (strncmp(url + n, ":443", 4) == 0 &&
	    strchr(arm + strlen("https://"), ':') == NULL)
		n += 4;
	return url[n] == '/' || url[n] == '?' || url[n] == '\0';
}

/* The URL of a path or of a link that ARM gave; NULL: leads elsewhere. */
static char *
make_url(const char *path, const char *api)
{
	const char *arm = cloud_get("arm");
	size_t n = bare(arm);

	if (path[0] != '/')
		return is_ours(path) ? xstrdup(path) : NULL;
	if (!api)
		return xasprintf("%.*s%s", (int)n, arm, path);
	return xasprintf("%.*s%s%sapi-version=%s", (int)n, arm, path,
	    strchr(path, '?') ? "&" : "?", api);
}

/* "contoso" of ".../IotHubs/contoso" and of ".../IotHubs/contoso/listkeys". */
static char *
subject_of(const struct call *c)
{
	const char *path = strstr(c->url, "://");
	const char *end, *from, *stop;
	bool action = !strcmp(c->method, "POST");

	path = path ? strchr(path + 3, '/') : NULL;
	if (!path)
		return xstrdup(c->url);
	stop = end = path + strcspn(path, "?");
	for (from = end; from > path && from[-1] != '/'; from--)
		;
	if (action && from > path + 1) {
		stop = from - 1;
		for (from = stop; from > path && from[-1] != '/'; from--)
			;
	}
	return xstrndup(from, (size_t)(stop - from));
}

/* The right that a call needs: "Microsoft.Devices/IotHubs/read". */
static char *
right_of(const struct call *c)
{
	struct buf b = BUF_INIT;
	const char *p = c->url, *next;
	bool post = !strcmp(c->method, "POST");
	long n = 0;

	/* The last provider counts, as ARM does it. */
	for (next = p; (next = strcasestr(next, "/providers/"));)
		p = next += strlen("/providers/");
	if (p == c->url)
		buf_text(
		    &b, "Microsoft.Resources/subscriptions/resourceGroups");
	for (; p != c->url && *p && *p != '?'; n++) {
		size_t len = strcspn(p, "/?");
		bool last = p[len] != '/';

		/* Names stand at the even places after the namespace. */
		if (n == 0 || n % 2 == 1 || (post && last)) {
			buf_text(&b, b.len ? "/" : "");
			buf_add(&b, p, len);
		}
		p += len + !last;
	}
	buf_text(&b, post                           ? "/action"
		     : !strcmp(c->method, "GET")    ? "/read"
		     : !strcmp(c->method, "HEAD")   ? "/read"
		     : !strcmp(c->method, "DELETE") ? "/delete"
						    : "/write");
	return b.at;
}

/* The failure that a call ends with.  error is consumed. */
static jv
failure(struct call *c, int http, jv error, double skew)
{
	char *subject = subject_of(c), *right = right_of(c);
	jv code = jv_at(jv_copy(error), "code");
	const char *k = jv_string_peek(code);
	struct buf text = BUF_INIT;
	enum status s = arm_status(http, jv_copy(error));
	char *what = arm_error_text(error);
	jv out;

	buf_text(&text, what);
	free(what);
	if (!text.len)
		buf_printf(&text, "HTTP %d", http);
	if (http == 403 || (k && !strcmp(k, "AuthorizationFailed")))
		buf_printf(&text, " (%s needs the right '%s' there)",
		    cred_principal(c->arm->cred), right);
	if (http == 401 && (skew > 300 || skew < -300))
		buf_printf(&text, " (the clock of this machine is %.0f s %s)",
		    skew < 0 ? -skew : skew, skew > 0 ? "behind" : "ahead");
	else if (http == 401)
		buf_printf(&text,
		    " (the token of %s is not accepted; log in again, and "
		    "check tenant and subscription)",
		    cred_principal(c->arm->cred));
	c->http = http;
	c->code = xstrdup(k ? k : "");
	out = jv_fail(s, subject, "%s", text.at);
	buf_free(&text);
	free(subject);
	free(right);
	jv_free(code);
	return out;
}

static void answered(struct http_reply *r, void *ctx);

static void
send_call(struct call *c, const char *method, const char *url, double delay)
{
	jv body =
	    c->phase == SENT ? jv_at(jv_copy(c->request), "body") : jv_null();
	jv repeat = jv_at(jv_copy(c->request), "repeat");
	jv limit = jv_at(jv_copy(c->request), "limit");
	struct http_request r = { .delay = delay,
		.authorize = authorize,
		.auth = c->arm,
		.done = answered,
		.ctx = c,
		.principal = cred_principal(c->arm->cred) };

	r.method = !strcmp(method, "GET")      ? "GET"
		   : !strcmp(method, "PUT")    ? "PUT"
		   : !strcmp(method, "POST")   ? "POST"
		   : !strcmp(method, "HEAD")   ? "HEAD"
		   : !strcmp(method, "PATCH")  ? "PATCH"
		   : !strcmp(method, "DELETE") ? "DELETE"
					       : NULL;
	if (!r.method)
		bug("no method '%s'", method);
	r.url = xstrdup(url);
	r.repeat = jv_get_kind(repeat) == JV_KIND_TRUE    ? HTTP_REPEAT
		   : jv_get_kind(repeat) == JV_KIND_FALSE ? HTTP_ONCE
		   : !strcmp(method, "POST")              ? HTTP_ONCE
							  : HTTP_REPEAT;
	if (jv_get_kind(limit) == JV_KIND_NUMBER) {
		r.timeout = jv_number_value(limit);
		r.no_retry = true;
	}
	jv_free(limit);
	r.expect_json = (!strcmp(method, "GET") || !strcmp(method, "PUT")) &&
			c->phase != POLL_LOCATION;
	/* Children of a hub in transition are refused for a while (4.2). */
	r.retry_conflict = strcmp(method, "GET") != 0 && !c->raw &&
			   strcasestr(url, "/Microsoft.Devices/IotHubs/");
	if (jv_is_valid(body) && jv_get_kind(body) != JV_KIND_NULL)
		doc_compact(body, &r.body);
	else
		jv_free(body);
	if (c->phase == SENT && strcmp(method, "GET") != 0 &&
	    strcmp(method, "HEAD") != 0) {
		const char *path = strstr(url, "://");

		path = path ? strchr(path + 3, '/') : NULL;
		r.audit = !strcmp(method, "PUT")      ? "put"
			  : !strcmp(method, "PATCH")  ? "patch"
			  : !strcmp(method, "DELETE") ? "delete"
						      : "post";
		r.target = "Azure Resource Manager";
		r.audit_id = xstrndup(
		    path ? path : url, strcspn(path ? path : url, "?"));
	}
	jv_free(repeat);
	http_send(c->arm->http, &r);
}

/* Polls url: at once, then 0.5 s and ever slower to 15 s, but as the service
 * asks where it does. */
static void
poll_url(struct call *c, enum phase phase, const char *link,
    const struct http_reply *r)
{
	char *url = make_url(link, NULL);
	double asked = http_retry_after(r);
	double wait = asked >= 0 ? asked : c->wait;

	if (!url) {
		c->result = jv_fail(REMOTE_REFUSED, link,
		    "the answer leads to another host, which must not get the "
		    "token");
		return;
	}
	c->wait = c->wait < 0.5 ? 0.5 : c->wait * 1.5 > 15 ? 15 : c->wait * 1.5;
	c->phase = phase;
	send_call(c, "GET", url, wait);
	free(url);
}

/* Reads the resource that a PUT has made. */
static void
read_back(struct call *c)
{
	c->phase = READ_BACK;
	send_call(c, "GET", c->url, 0);
}

static jv
reply_json(const struct http_reply *r)
{
	if (r->body.len == 0 || strspn(r->body.at, " \t\r\n") == r->body.len)
		return jv_null();
	return doc_parse(buf_peek(&r->body), "answer");
}

static bool
is_put(const struct call *c)
{
	return !strcmp(c->method, "PUT") || !strcmp(c->method, "PATCH");
}

/* -1 failed, 0 still running, 1 succeeded; absent counts as succeeded. */
static int
progress_of(jv word)
{
	int p = jv_get_kind(word) != JV_KIND_STRING               ? 1
		: jv_string_is_nocase(jv_copy(word), "Succeeded") ? 1
		: jv_string_is_nocase(jv_copy(word), "Failed")    ? -1
		: jv_string_is_nocase(jv_copy(word), "Canceled")  ? -1
								  : 0;

	jv_free(word);
	return p;
}

static void
status_polled(struct call *c, const struct http_reply *r, jv body)
{
	switch (progress_of(jv_at(jv_copy(body), "status"))) {
	case 0: {
		char *url = jv_dup_string(jv_at(jv_copy(c->request), "polled"));

		poll_url(c, POLL_STATUS, url, r);
		free(url);
		break;
	}
	case -1:
		c->result = failure(c, 400, arm_error(jv_copy(body)), 0);
		break;
	default:
		if (is_put(c))
			read_back(c);
		else if (c->location)
			poll_url(c, POLL_LOCATION, c->location, r);
		else
			c->result = jv_at(jv_copy(body), "properties");
	}
	jv_free(body);
}

/* The first answer: is it the last? */
static void
first_answered(struct call *c, const struct http_reply *r, jv body)
{
	const char *status = http_header(r, "Azure-AsyncOperation");
	const char *location = http_header(r, "Location");
	bool long_running =
	    strcmp(c->method, "GET") != 0 && strcmp(c->method, "HEAD") != 0;
	int p;

	if (long_running && location)
		c->location = xstrdup(location);
	if (long_running && status) {
		c->request = jv_put(c->request, "polled", jv_string(status));
		poll_url(c, POLL_STATUS, status, r);
	} else if (long_running && r->status == 202 && location)
		poll_url(c, POLL_LOCATION, location, r);
	else if (is_put(c) && r->status != 204) {
		p = progress_of(
		    jv_path(jv_copy(body), "properties.provisioningState"));
		if (p > 0) {
			c->result = body;
			return;
		}
		if (p < 0)
			c->result =
			    failure(c, 400, arm_error(jv_copy(body)), 0);
		else
			poll_url(c, POLL_RESOURCE, c->url, r);
	} else {
		c->result = body;
		return;
	}
	jv_free(body);
}

static void
location_polled(struct call *c, const struct http_reply *r, jv body)
{
	if (r->status == 202) {
		char *url = c->location;
		const char *next = http_header(r, "Location");

		c->location = NULL;
		if (next) {
			free(url);
			url = xstrdup(next);
		}
		poll_url(c, POLL_LOCATION, url, r);
		c->location = url;
		jv_free(body);
		return;
	}
	/* What-if says in its body that it failed. */
	if (jv_get_kind(body) == JV_KIND_OBJECT &&
	    progress_of(jv_at(jv_copy(body), "status")) < 0) {
		c->result = failure(c, 400, arm_error(body), 0);
		return;
	}
	c->result = body;
}

static void
took(struct call *c, const struct http_reply *r, jv body)
{
	switch (c->phase) {
	case SENT:
		first_answered(c, r, body);
		break;
	case POLL_STATUS:
		status_polled(c, r, body);
		break;
	case POLL_LOCATION:
		location_polled(c, r, body);
		break;
	case POLL_RESOURCE:
		switch (progress_of(
		    jv_path(jv_copy(body), "properties.provisioningState"))) {
		case 0:
			jv_free(body);
			poll_url(c, POLL_RESOURCE, c->url, r);
			break;
		case -1:
			c->result = failure(c, 400, arm_error(body), 0);
			break;
		default:
			c->result = body;
		}
		break;
	case READ_BACK:
		c->result = body;
		break;
	}
}

static jv
raw_answer(const struct http_reply *r)
{
	static const char *const keep[] = { "Location", "Azure-AsyncOperation",
		"Retry-After", "x-ms-retry-after-ms", "x-ms-request-id",
		"Date" };
	jv out = jv_object(), headers = jv_object();

	for (size_t i = 0; i < sizeof keep / sizeof *keep; i++) {
		const char *value = http_header(r, keep[i]);
		char name[32];
		size_t n;

		if (!value)
			continue;
		for (n = 0; keep[i][n]; n++)
			name[n] = (char)tolower((unsigned char)keep[i][n]);
		name[n] = '\0';
		headers = jv_put(headers, name, jv_string(value));
	}
	out = jv_put(out, "status", jv_number(r->status));
	out = jv_put(out, "headers", headers);
	out = jv_put(out, "ambiguous", r->ambiguous ? jv_true() : jv_false());
	return out;
}

static void
answered(struct http_reply *r, void *ctx)
{
	struct call *c = ctx;
	jv body;

	c->arm->doubt = r->ambiguous;
	if (r->status == 0) {
		c->result = jv_from_err(&r->err);
		return;
	}
	body = reply_json(r);
	if (c->raw) {
		if (!jv_is_valid(body)) {
			jv_free(body);
			body = jv_string_sized(r->body.at, (int)r->body.len);
		}
		c->result = jv_put(raw_answer(r), "body", body);
		return;
	}
	if (r->status >= 200 && r->status <= 299) {
		if (jv_is_valid(body))
			took(c, r, body);
		else
			c->result = body;
		return;
	}
	if (!jv_is_valid(body)) { /* a gateway's page */
		jv_free(body);
		body = jv_text("HTTP %d, no JSON", r->status);
	}
	c->result = failure(c, r->status, arm_error(body), http_clock_skew(r));
}

static void
begin(struct arm *a, struct call *c, jv request, bool raw)
{
	char *path, *api;

	*c = (struct call){ .arm = a,
		.raw = raw,
		.wait = 0.05,
		.request = request,
		.result = jv_invalid() };
	path = jv_dup_string(jv_at(jv_copy(request), "path"));
	api = jv_dup_string(jv_at(jv_copy(request), "api"));
	c->method = jv_dup_string(jv_at(jv_copy(request), "method"));
	if (!path || !c->method)
		bug("a request to ARM without path or method");
	c->url = make_url(path, api);
	if (c->url)
		send_call(c, c->method, c->url, 0);
	else {
		c->url = xstrdup(path);
		c->result = jv_fail(REMOTE_REFUSED, path,
		    "the answer leads to another host, which must not get the "
		    "token");
	}
	free(path);
	free(api);
}

static jv
end(struct call *c)
{
	free(c->method);
	free(c->url);
	free(c->location);
	free(c->code);
	jv_free(c->request);
	return c->result;
}

jv
arm_call(struct arm *a, jv request)
{
	struct call c;

	begin(a, &c, request, false);
	http_drain(a->http);
	return end(&c);
}

jv
arm_look(struct arm *a, jv request)
{
	struct call c;

	begin(a, &c, request, false);
	http_drain(a->http);
	if (c.http == 404) {
		jv_free(c.result);
		c.result = jv_null();
	}
	return end(&c);
}

jv
arm_answer(struct arm *a, jv request)
{
	struct call c;

	begin(a, &c, request, true);
	http_drain(a->http);
	return end(&c);
}

bool
arm_in_doubt(const struct arm *a)
{
	return a->doubt;
}

jv
arm_all(struct arm *a, jv requests)
{
	int n = jv_array_length(jv_copy(requests));
	struct call *calls = xcalloc((size_t)n + 1, sizeof *calls);
	jv out = jv_array();

	for (int i = 0; i < n; i++)
		begin(a, &calls[i], jv_array_get(jv_copy(requests), i), false);
	http_drain(a->http);
	for (int i = 0; i < n; i++) {
		int http = calls[i].http;
		char *code = calls[i].code;
		jv result;

		calls[i].code = NULL;
		result = end(&calls[i]);
		if (!jv_is_valid(result)) {
			struct err e;
			jv f = jv_object();

			(void)err_from_jv(&e, result);
			f = jv_put(f, "status", jv_number(e.status));
			f = jv_put(f, "http", jv_number(http));
			f = jv_put(f, "code", jv_string(code ? code : ""));
			f = jv_put(f, "text", jv_string(e.text));
			result = jv_put(jv_object(), "failed", f);
		}
		out = jv_array_append(out, result);
		free(code);
	}
	free(calls);
	jv_free(requests);
	return out;
}

jv
arm_list(struct arm *a, jv request)
{
	jv all = jv_array(), limit = jv_at(jv_copy(request), "limit");

	for (;;) {
		jv page = arm_call(a, request), next;

		if (!jv_is_valid(page)) {
			jv_free(all);
			jv_free(limit);
			return page;
		}
		next = jv_at(jv_copy(page), "nextLink");
		page = jv_at(page, "value");
		if (jv_get_kind(page) == JV_KIND_ARRAY)
			all = jv_array_concat(all, page);
		else
			jv_free(page);
		if (jv_get_kind(next) != JV_KIND_STRING ||
		    !*jv_string_value(next)) {
			jv_free(next);
			jv_free(limit);
			return all;
		}
		request = jv_put(arm_request("GET", NULL, jv_null(), "%s",
				     jv_string_value(next)),
		    "limit", jv_copy(limit));
		jv_free(next);
	}
}

/* -- ids ------------------------------------------------------------------ */

jv
arm_id_parse(const char *id)
{
	const char *p = id;
	struct buf type = BUF_INIT;
	jv out = jv_object(), names = jv_array();
	long n = 0;

	for (; *p == '/'; n++) {
		size_t len = strcspn(++p, "/");
		static const char *const words[] = { "subscriptions", NULL,
			"resourceGroups", NULL, "providers" };

		if (len == 0) {
			n = 0;
			break;
		}
		if (n < 5 && words[n] &&
		    (strlen(words[n]) != len ||
			strncasecmp(p, words[n], len) != 0))
			break;
		if (n == 1 || n == 3)
			out = jv_put(out, n == 1 ? "subscription" : "group",
			    jv_string_sized(p, (int)len));
		else if (n == 5 || (n > 5 && n % 2 == 0)) {
			buf_text(&type, type.len ? "/" : "");
			buf_add(&type, p, len);
		} else if (n > 5)
			names = jv_array_append(
			    names, jv_string_sized(p, (int)len));
		p += len;
	}
	if (*p || n < 8 || n % 2) {
		buf_free(&type);
		jv_free(out);
		jv_free(names);
		return jv_fail(BAD_DATA, id, "no resource id");
	}
	out = jv_put(out, "type", jv_string(type.at));
	buf_free(&type);
	return jv_put(out, "names", names);
}

bool
arm_id_same(const char *a, const char *b)
{
	return bare(a) == bare(b) && strncasecmp(a, b, bare(a)) == 0;
}

#define HUBS "providers/" HUB_TYPE

char *
arm_hub_name(const char *operand, struct err *e)
{
	size_t n = cloud_hub_name(operand);
	char *name;
	jv id;

	if (*operand != '/') {
		for (size_t i = 0; i < n; i++)
			if (!isalnum((unsigned char)operand[i]) &&
			    operand[i] != '-')
				n = 0;
		if (n)
			return xstrndup(operand, n);
		(void)err_set(e, BAD_USAGE, operand,
		    "no name of a hub: letters, digits and - only");
		return NULL;
	}
	id = arm_id_parse(operand);
	name = jv_is_valid(id) &&
		       jv_string_is_nocase(jv_at(jv_copy(id), "type"), HUB_TYPE)
		   ? jv_dup_string(jv_array_get(jv_at(jv_copy(id), "names"), 0))
		   : NULL;
	jv_free(id);
	if (!name)
		(void)err_set(
		    e, BAD_USAGE, operand, "no resource id of an IoT hub");
	return name;
}

/* Not found: say what is there, if a person can take it in. */
static jv
no_such_hub(const char *name, const char *where, jv hubs)
{
	struct buf b = BUF_INIT;
	int n = jv_array_length(jv_copy(hubs));

	buf_printf(&b, "no such hub in %s (there ", where);
	if (n == 0)
		buf_text(&b, "is none");
	else if (n > 10)
		buf_printf(&b, "are %d others", n);
	else
		buf_text(&b, n == 1 ? "is " : "are ");
	jv_array_foreach(hubs, i, hub) {
		jv other = jv_at(hub, "name");

		if (n <= 10)
			buf_printf(&b, "%s%s", i ? ", " : "",
			    jv_string_peek(other) ? jv_string_peek(other)
						  : "?");
		jv_free(other);
	}
	buf_char(&b, ')');
	jv_free(hubs);
	hubs = jv_fail(ANSWER_NO, name, "%s", b.at);
	buf_free(&b);
	return hubs;
}

static jv
find_hub(struct arm *a, const char *name, const char *group)
{
	const char *sub = arm_subscription(a);
	char *where = group ? xasprintf("resource group '%s'", group)
			    : xasprintf("subscription '%s'", sub);
	jv hubs =
	    group ? arm_list(a, arm_request("GET", ARM_API_HUB, jv_null(),
				    "/subscriptions/%s/resourceGroups/%s/" HUBS,
				    sub, group))
		  : arm_list(a, arm_request("GET", ARM_API_HUB, jv_null(),
				    "/subscriptions/%s/" HUBS, sub));
	jv found = jv_null();

	if (!jv_is_valid(hubs)) {
		free(where);
		return hubs;
	}
	jv_array_foreach(hubs, i, hub) {
		if (jv_string_is_nocase(jv_at(jv_copy(hub), "name"), name)) {
			jv_free(found);
			found = jv_at(hub, "id");
		} else
			jv_free(hub);
	}
	if (jv_get_kind(found) != JV_KIND_STRING) {
		jv_free(found);
		found = no_such_hub(name, where, hubs);
		free(where);
		return found;
	}
	jv_free(hubs);
	free(where);
	/* A list may say less than a GET. */
	hubs = arm_call(a, arm_request("GET", ARM_API_HUB, jv_null(), "%s",
			       jv_string_value(found)));
	jv_free(found);
	return hubs;
}

jv
arm_hub(struct arm *a, const char *operand, const char *group)
{
	struct err e;
	char *name = arm_hub_name(operand, &e);
	jv hub;

	if (!name)
		return jv_from_err(&e);
	hub = *operand == '/' ? arm_call(a, arm_request("GET", ARM_API_HUB,
						jv_null(), "%s", operand))
			      : find_hub(a, name, group);
	free(name);
	return hub;
}
