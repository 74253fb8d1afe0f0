/* storagesign.c: requests to a storage account, and the signatures that it
 * takes: Shared Key, SAS, or a bearer token; see storage.h. */
#include "storageroom.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "cred.h"
#include "sign.h"

#define STORAGE_API "2021-12-02"

enum {
	HEADERS = 6, /* of a struct http_request */
	SAS_NEAR = 3600,
	ODD_TRIES = 5,
};

/* A request on its way: what its signature is made of. */
struct signing {
	struct storage *s;
	const char *method, *type;
	char *url;              /* a copy */
	char *headers[HEADERS]; /* those of the request, borrowed */
	size_t length;
	http_done *done;
	void *ctx;
};

static int
by_name(const void *a, const void *b)
{
	const char *x = *(char *const *)a, *y = *(char *const *)b;

	return strncasecmp(x, y,
	    strcspn(x, ":=") > strcspn(y, ":=") ? strcspn(x, ":=")
						: strcspn(y, ":="));
}

/* CONTRACT 17.1; no name comes twice in our queries. */
static void
add_resource(struct buf *text, const struct signing *g)
{
	const char *path = strstr(g->url, "://") + 3, *query;
	char *part[16];
	size_t count = 0;

	path += strcspn(path, "/");
	query = strchr(path, '?');
	buf_printf(text, "/%s%.*s", g->s->account,
	    (int)(query ? query - path : (long)strlen(path)), path);
	for (const char *p = query; p && *p && count < 16;) {
		size_t len = strcspn(++p, "&");

		part[count++] = storage_decoded(p, len);
		p += len;
	}
	qsort(part, count, sizeof *part, by_name);
	for (size_t i = 0; i < count; i++) {
		size_t n = strcspn(part[i], "=");

		buf_printf(text, "\n%.*s:%s", (int)n, part[i],
		    part[i][n] ? part[i] + n + 1 : "");
		free(part[i]);
	}
}

static void
add_header(struct buf *text, const struct signing *g, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < HEADERS && g->headers[i]; i++)
		if (strncasecmp(g->headers[i], name, n) == 0 &&
		    g->headers[i][n] == ':')
			buf_text(text, g->headers[i] + n + 1 +
					   strspn(g->headers[i] + n + 1, " "));
}

static void
text_to_sign(struct buf *text, const struct signing *g)
{
	char *own[HEADERS];
	size_t count = 0;

	buf_printf(text, "%s\n\n\n", g->method);
	if (g->length)
		buf_printf(text, "%zu", g->length);
	buf_printf(text, "\n\n%s\n\n\n", g->length ? g->type : "");
	add_header(text, g, "If-Match");
	buf_text(text, "\n\n\n\n");
	for (size_t i = 0; i < HEADERS && g->headers[i]; i++)
		if (strncasecmp(g->headers[i], "x-ms-", 5) == 0)
			own[count++] = g->headers[i];
	qsort(own, count, sizeof *own, by_name);
	for (size_t i = 0; i < count; i++) {
		size_t n = strcspn(own[i], ":");

		buf_printf(text, "%.*s:%s\n", (int)n, own[i],
		    own[i] + n + 1 + strspn(own[i] + n + 1, " "));
	}
	add_resource(text, g);
}

static void
http_date(char date[32])
{
	time_t now = time(NULL);
	struct tm tm;

	(void)gmtime_r(&now, &tm);
	(void)strftime(date, 32, "%a, %d %b %Y %H:%M:%S GMT", &tm);
}

static int
sign(const struct buf *key, const struct buf *text, struct buf *into,
    struct err *e)
{
	if (sign_mac(key, text, into) != 0)
		return err_set(e, LOCAL_FAILURE, NULL, "HMAC failed");
	return 0;
}

static int
authorize(void *auth, bool refused, struct buf *value, struct err *e)
{
	struct signing *g = auth;
	struct buf text = BUF_INIT;
	char date[32];
	int rc;

	if (g->s->cred) {
		const char *token =
		    cred_token(g->s->cred, g->s->audience, refused, e);

		if (!token)
			return -1;
		buf_printf(value, "Bearer %s", token);
		return 0;
	}
	/* A try that comes late is dated anew; the place is as long. */
	http_date(date);
	memcpy(strchr(g->headers[0], ':') + 2, date, strlen(date));
	text_to_sign(&text, g);
	buf_printf(value, "SharedKey %s:", g->s->account);
	rc = sign(&g->s->key, &text, value, e);
	buf_free(&text);
	return rc;
}

static void
append_path(struct buf *url, const struct storage *s, const char *container,
    const char *blob)
{
	buf_printf(url, "%s%s", s->endpoint, s->path);
	buf_char(url, '/');
	if (container)
		buf_url(url, container, strlen(container));
	for (const char *p = blob; p && *p;) {
		size_t n = strcspn(p, "/");

		buf_char(url, '/');
		buf_url(url, p, n);
		p += n + (p[n] == '/');
	}
}

char *
storage_url(const struct storage *s, const char *container, const char *blob)
{
	struct buf url = BUF_INIT;

	append_path(&url, s, container, blob);
	return url.at;
}

struct http_request
storage_request(struct storage *s, const char *method, const char *container,
    const char *blob, const char *query)
{
	struct http_request r = { .method = method,
		.content_type = "application/octet-stream",
		.repeat = HTTP_REPEAT,
		.principal = s->account };
	struct buf url = BUF_INIT;
	char date[32];

	append_path(&url, s, container, blob);
	if (query)
		buf_printf(&url, "?%s", query);
	if (s->sas)
		buf_printf(&url, "%c%s", query ? '&' : '?', s->sas);
	r.url = url.at;
	r.target = s->endpoint;
	http_date(date);
	r.headers[0] = xasprintf("x-ms-date: %s", date);
	r.headers[1] = xstrdup("x-ms-version: " STORAGE_API);
	return r;
}

void
storage_header(struct http_request *r, char *line)
{
	size_t i = 0;

	while (i < HEADERS && r->headers[i])
		i++;
	if (i == HEADERS)
		bug("a request with too many headers");
	r->headers[i] = line;
}

static void
signing_free(struct signing *g)
{
	secret_free(g->url);
	free(g);
}

static struct signing *
prepare(struct storage *s, struct http_request *r)
{
	struct signing *g = xcalloc(1, sizeof *g);

	*g = (struct signing){ .s = s,
		.method = r->method,
		.type = r->content_type,
		.url = xstrdup(r->url),
		.length = r->body.len,
		.done = r->done,
		.ctx = r->ctx };
	memcpy(g->headers, r->headers, sizeof g->headers);
	if (!s->sas) {
		r->authorize = authorize;
		r->auth = g;
	}
	return g;
}

static void
answered(struct http_reply *reply, void *ctx)
{
	struct signing *g = ctx;
	http_done *done = g->done;
	void *own = g->ctx;

	signing_free(g);
	if (done)
		done(reply, own);
}

void
storage_send(struct storage *s, struct http_request *r)
{
	r->ctx = prepare(s, r);
	r->done = answered;
	http_send(s->http, r);
}

static struct http_request
copy_of(const struct http_request *r)
{
	struct http_request c = *r;

	c.url = xstrdup(r->url);
	c.body = (struct buf)BUF_INIT;
	buf_add(&c.body, r->body.at ? r->body.at : "", r->body.len);
	for (size_t i = 0; i < HEADERS && r->headers[i]; i++)
		c.headers[i] = xstrdup(r->headers[i]);
	if (r->audit_id)
		c.audit_id = xstrdup(r->audit_id);
	return c;
}

static void
request_free(struct http_request *r)
{
	secret_free(r->url);
	buf_wipe(&r->body);
	for (size_t i = 0; i < HEADERS && r->headers[i]; i++)
		free(r->headers[i]);
	free(r->audit_id);
}

void
storage_one(struct storage *s, struct http_request *r, struct http_reply *into)
{
	const char *method = r->method;

	for (int i = 0;; i++) {
		struct http_request again = copy_of(r);
		struct signing *g = prepare(s, r);

		http_one(s->http, r, into);
		signing_free(g);
		if (i == ODD_TRIES || !storage_is_odd(method, into)) {
			request_free(&again);
			return;
		}
		trace("no honest answer: once more");
		http_reply_free(into);
		*r = again;
		r->delay = 0.2 * (i + 1);
	}
}

/* -- what a job is given ----------------------------------------------------
 */

/* Service SAS of a container (CONTRACT 17.2, the layout from 2020-12-06 on). */
static int
add_signature(struct storage *s, const char *container, const char *rights,
    long seconds, struct buf *url, struct err *e)
{
	/* A hub's clock may be behind ours: no st=. */
	time_t end = time(NULL) + seconds;
	struct buf text = BUF_INIT, sig = BUF_INIT;
	struct tm tm;
	char when[32];
	int rc;

	(void)gmtime_r(&end, &tm);
	(void)strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
	buf_printf(&text,
	    "%s\n\n%s\n/blob/%s/%s\n\n\n\n" STORAGE_API "\nc\n\n\n\n\n\n\n",
	    rights, when, s->account, container);
	rc = sign(&s->key, &text, &sig, e);
	if (rc == 0) {
		buf_printf(url, "?sv=" STORAGE_API "&sr=c&sp=%s&se=", rights);
		buf_url(url, when, strlen(when));
		buf_text(url, "&sig=");
		buf_url(url, sig.at, sig.len);
	}
	buf_free(&text);
	buf_wipe(&sig);
	return rc;
}

char *
storage_job_url(struct storage *s, const char *container, const char *rights,
    long seconds, struct err *e)
{
	struct buf url = BUF_INIT;
	char *ends;

	append_path(&url, s, container, NULL);
	if (s->cred)
		return url.at;
	if (s->sas) {
		ends = storage_sas_part(s->sas, "se");
		if (ends && storage_time_of(ends) >= 0 &&
		    storage_time_of(ends) < time(NULL) + SAS_NEAR)
			warn(s->from,
			    "its SharedAccessSignature ends at %s: a job that "
			    "lasts longer fails",
			    ends);
		free(ends);
		buf_printf(&url, "?%s", s->sas);
		return url.at;
	}
	if (add_signature(s, container, rights, seconds, &url, e) == 0)
		return url.at;
	buf_wipe(&url);
	return NULL;
}
