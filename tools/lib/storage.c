/* storage.c: one storage account, and who we are to it; see storage.h. */
#include "storage.h"

#include <ctype.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "arm.h"
#include "cloud.h"
#include "cred.h"
#include "sign.h"

#define STORAGE_API "2021-12-02"
#define VARIABLE "STORAGE_ACCT_CONN_STRING"

enum { HEADERS = 6, SAS_NEAR = 3600, DELETED_TRIES = 30, ODD_TRIES = 5 };

static const char *storage_option;

const struct opt storage_opts[] = {
	OPT_TEXT(0, "storage", "ACCOUNT", &storage_option,
	    "the account that jobs use, by Entra tokens and the hub's identity "
	    "(else STORAGE_ACCT_CONN_STRING)"),
	OPT_END,
};

struct storage {
	struct http *http;
	char *endpoint; /* https://contoso.blob.core.windows.net */
	char *path;     /* "/devstoreaccount1", or "" */
	char *account;
	struct buf key;    /* decoded; or */
	char *sas;         /* without '?'; or */
	struct cred *cred; /* neither: bearer tokens */
	char *audience;
	const char *from; /* for messages: an option or a variable */
	bool told_kept;
};

/* -- what is configured --------------------------------------------------- */

static const char *
variable(void)
{
	const char *value = getenv(VARIABLE);

	return value && *value ? value : NULL;
}

bool
storage_configured(void)
{
	return storage_option || variable();
}

static bool
is_account(const char *name)
{
	size_t n = strlen(name);

	return n >= 3 && n <= 24 &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789") == n;
}

static bool
is_local(const char *host)
{
	size_t n = strcspn(host, ":/");

	return (n == 9 && !strncasecmp(host, "127.0.0.1", 9)) ||
	       (n == 9 && !strncasecmp(host, "localhost", 9)) ||
	       !strncmp(host, "[::1]", 5);
}

/* "https://host/path/" to endpoint and path.  -1: it is no URL, or one by which
 * the keys of all devices would travel in the clear. */
static int
take_endpoint(struct storage *s, const char *url, struct err *e)
{
	const char *host = strstr(url, "://"), *slash;
	size_t n;

	if (!host || strpbrk(url, "?#@ \"\\"))
		return err_set(e, BAD_USAGE, s->from,
		    "its BlobEndpoint is no URL such as "
		    "https://ACCOUNT.blob.%s",
		    cloud_get("storageSuffix"));
	host += 3;
	if (strncasecmp(url, "https://", 8) != 0 &&
	    !(strncasecmp(url, "http://", 7) == 0 && is_local(host)))
		return err_set(e, BAD_USAGE, s->from,
		    "without TLS the keys of all devices could be read on the "
		    "way (use https)");
	n = strlen(url);
	while (n && url[n - 1] == '/')
		n--;
	slash = memchr(host, '/', n - (size_t)(host - url));
	s->endpoint = xstrndup(url, slash ? (size_t)(slash - url) : n);
	s->path =
	    slash ? xstrndup(slash, n - (size_t)(slash - url)) : xstrdup("");
	return 0;
}

/* Seconds since 1970 of "2030-01-01T00:00:00Z"; -1. */
static long
time_of(const char *text)
{
	static const char *const forms[] = { "%Y-%m-%dT%H:%M:%S",
		"%Y-%m-%dT%H:%M", "%Y-%m-%d" };

	for (size_t i = 0; i < 3; i++) {
		struct tm tm = { 0 };

		if (strptime(text, forms[i], &tm))
			return (long)timegm(&tm);
	}
	return -1;
}

/* A parameter of a SAS, decoded; malloc'd, NULL. */
static char *
sas_part(const char *sas, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = sas; p && *p;) {
		size_t len = strcspn(p, "&");

		if (len > n && p[n] == '=' && strncmp(p, name, n) == 0) {
			struct buf out = BUF_INIT;

			buf_text(&out, "");
			for (size_t i = n + 1; i < len; i++) {
				unsigned c;

				if (p[i] == '%' && len - i > 2 &&
				    sscanf(p + i + 1, "%2x", &c) == 1) {
					buf_char(&out, (char)c);
					i += 2;
				} else {
					buf_char(&out, p[i]);
				}
			}
			return out.at;
		}
		p += len + (p[len] == '&');
	}
	return NULL;
}

static int
take_sas(struct storage *s, const char *sas, struct err *e)
{
	char *sig, *ends;
	int rc = 0;

	s->sas = xstrdup(sas + (*sas == '?'));
	sig = sas_part(s->sas, "sig");
	ends = sas_part(s->sas, "se");
	if (!sig || strpbrk(s->sas, " \"\r\n"))
		rc = err_set(e, BAD_USAGE, s->from,
		    "its SharedAccessSignature= has no sig=");
	else if (ends && time_of(ends) >= 0 && time_of(ends) < time(NULL))
		rc = err_set(e, BAD_USAGE, s->from,
		    "its SharedAccessSignature ended at %s (make a new one)",
		    ends);
	free(sig);
	free(ends);
	return rc;
}

static int
take_key(struct storage *s, const char *key, struct err *e)
{
	if (!*key || sign_unbase64(&s->key, key) != 0 || !s->key.len)
		return err_set(e, BAD_USAGE, s->from,
		    "is no connection string of a storage account: AccountKey= "
		    "is no base64");
	return 0;
}

/* CONTRACT 17.4, 17.5. */
static int
take_connection_string(struct storage *s, const char *text, struct err *e)
{
	static const char development[] =
	    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;"
	    "AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVEr"
	    "Cz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"
	    "BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1";
	char *dev = sign_part(text, "UseDevelopmentStorage"),
	     *hub = sign_part(text, "HostName"), *name, *key, *sas, *endpoint,
	     *suffix, *protocol, *url = NULL;
	int rc;

	if (dev && strcasecmp(dev, "true") == 0)
		text = development;
	name = sign_part(text, "AccountName");
	key = sign_part(text, "AccountKey");
	sas = sign_part(text, "SharedAccessSignature");
	endpoint = sign_part(text, "BlobEndpoint");
	suffix = sign_part(text, "EndpointSuffix");
	protocol = sign_part(text, "DefaultEndpointsProtocol");
	if (hub) {
		rc = err_set(e, BAD_USAGE, s->from,
		    "is the connection string of a hub (it must hold that of a "
		    "storage account)");
	} else if (!name && !(endpoint && sas)) {
		rc = err_set(e, BAD_USAGE, s->from,
		    "is no connection string of a storage account: no "
		    "AccountName=");
	} else if (name && !is_account(name)) {
		rc = err_set(e, BAD_USAGE, s->from,
		    "is no connection string of a storage account: "
		    "AccountName= "
		    "is not 3 to 24 small letters and digits");
	} else if (!key && !sas) {
		rc = err_set(e, BAD_USAGE, s->from,
		    "is no connection string of a storage account: no "
		    "AccountKey= and no SharedAccessSignature=");
	} else {
		rc = key ? take_key(s, key, e) : take_sas(s, sas, e);
		if (rc == 0 && !endpoint)
			url = xasprintf("%s://%s.blob.%s",
			    protocol && *protocol ? protocol : "https", name,
			    suffix && *suffix ? suffix
					      : cloud_get("storageSuffix"));
		if (rc == 0)
			rc = take_endpoint(s, endpoint ? endpoint : url, e);
	}
	if (rc == 0 && name)
		s->account = xstrdup(name);
	else if (rc == 0 && *s->path)
		s->account = xstrdup(s->path + 1);
	else if (rc == 0)
		s->account = xstrndup(strstr(s->endpoint, "://") + 3,
		    strcspn(strstr(s->endpoint, "://") + 3, ".:"));
	if (key)
		OPENSSL_cleanse(key, strlen(key));
	if (sas)
		OPENSSL_cleanse(sas, strlen(sas));
	free(dev);
	free(hub);
	free(name);
	free(key);
	free(sas);
	free(endpoint);
	free(suffix);
	free(protocol);
	free(url);
	return rc;
}

/* Our token goes there: only to an account of our cloud. */
static int
take_option(struct storage *s, const char *text, struct err *e)
{
	const char *suffix = cloud_get("storageSuffix"), *last;
	char *want;
	size_t n;
	jv audience;

	if (strstr(text, "AccountKey=") || strstr(text, "sig="))
		return err_set(e, BAD_USAGE, NULL,
		    "--storage: a key or signature on the command line can be "
		    "read by all users of this machine (use " VARIABLE ")");
	last = *text == '/' ? strrchr(text, '/') + 1 : text;
	if (strncasecmp(last, "https://", 8) == 0)
		last += 8;
	n = strcspn(last, "./");
	s->account = xstrndup(last, n);
	want = xasprintf("%s.blob.%s", s->account, suffix);
	if (!is_account(s->account) ||
	    (last[n] && (strncasecmp(last, want, strlen(want)) != 0 ||
			    (last[strlen(want)] &&
				strcmp(last + strlen(want), "/") != 0)))) {
		free(want);
		return err_set(e, BAD_USAGE, text,
		    "--storage: is not the name of a storage account, nor "
		    "https://NAME.blob.%s",
		    suffix);
	}
	s->endpoint = xasprintf("https://%s", want);
	s->path = xstrdup("");
	free(want);
	s->cred = cred_open(s->http, NULL);
	audience = jv_object_get(cloud_table(), jv_string("storageAudience"));
	/* A table of one's own may not say it; an account is one, too. */
	s->audience = xstrdup(jv_get_kind(audience) == JV_KIND_STRING
				  ? jv_string_value(audience)
				  : s->endpoint);
	jv_free(audience);
	return 0;
}

struct storage *
storage_open(struct http *http, struct err *e)
{
	struct storage *s = xcalloc(1, sizeof *s);
	int rc;

	s->http = http;
	s->from = storage_option ? "--storage" : VARIABLE;
	if (storage_option)
		rc = take_option(s, storage_option, e);
	else if (variable())
		rc = take_connection_string(s, variable(), e);
	else
		rc = err_set(e, BAD_USAGE, NULL,
		    "a job needs a storage account (set " VARIABLE
		    ", or name it with --storage)");
	if (rc == 0)
		return s;
	storage_close(s);
	return NULL;
}

struct http *
storage_http(const struct storage *s)
{
	return s->http;
}

const char *
storage_account(const struct storage *s)
{
	return s->account;
}

bool
storage_by_identity(const struct storage *s)
{
	return s->cred != NULL;
}

bool
storage_makes_containers(const struct storage *s)
{
	char *kind = s->sas ? sas_part(s->sas, "sr") : NULL;
	bool one = kind != NULL;

	free(kind);
	return !one;
}

void
storage_close(struct storage *s)
{
	if (!s)
		return;
	buf_wipe(&s->key);
	if (s->sas)
		OPENSSL_cleanse(s->sas, strlen(s->sas));
	free(s->sas);
	if (s->cred)
		cred_close(s->cred);
	free(s->endpoint);
	free(s->path);
	free(s->account);
	free(s->audience);
	free(s);
}

/* -- signing -------------------------------------------------------------- */

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

static char *
decoded(const char *text, size_t len)
{
	struct buf out = BUF_INIT;
	unsigned c;

	buf_text(&out, "");
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '%' && len - i > 2 &&
		    sscanf(text + i + 1, "%2x", &c) == 1) {
			buf_char(&out, (char)c);
			i += 2;
		} else {
			buf_char(&out, text[i]);
		}
	}
	return out.at;
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

		part[count++] = decoded(p, len);
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
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned int n = 0;

	if (!HMAC(EVP_sha256(), key->at, (int)key->len,
		(const unsigned char *)text->at, text->len, mac, &n))
		return err_set(e, LOCAL_FAILURE, NULL, "HMAC failed");
	buf_base64(into, mac, n);
	OPENSSL_cleanse(mac, sizeof mac);
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
	OPENSSL_cleanse(g->url, strlen(g->url));
	free(g->url);
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
	OPENSSL_cleanse(r->url, strlen(r->url));
	free(r->url);
	buf_wipe(&r->body);
	for (size_t i = 0; i < HEADERS && r->headers[i]; i++)
		free(r->headers[i]);
	free(r->audit_id);
}

static bool
is_other_md5(const struct http_reply *r)
{
	const char *want = http_header(r, "Content-MD5");
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned int n = 0;
	struct buf is = BUF_INIT;
	bool other;

	if (!want || !EVP_Digest(r->body.at ? r->body.at : "", r->body.len, md,
			 &n, EVP_md5(), NULL))
		return false;
	buf_base64(&is, md, n);
	other = strcmp(is.at, want) != 0;
	buf_free(&is);
	return other;
}

bool
storage_is_odd(const char *method, const struct http_reply *r)
{
	const char *type = http_header(r, "Content-Type");
	struct span body = buf_peek(&r->body);

	if (r->status != 200)
		return false;
	/* What was done is answered with 201 or 202 (CONTRACT 17.3). */
	if (!strcmp(method, "PUT") || !strcmp(method, "DELETE"))
		return true;
	if (type && strcasestr(type, "xml")) {
		while (body.len && strchr(" \r\n", body.at[body.len - 1]))
			body.len--;
		return !body.len || body.at[body.len - 1] != '>';
	}
	return !http_header(r, "ETag") ||
	       (!strcmp(method, "GET") && is_other_md5(r));
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

/* -- what it answers ------------------------------------------------------ */

static void
decode_xml(struct span s, struct buf *out)
{
	static const struct {
		const char *name;
		char c;
	} known[] = { { "&amp;", '&' }, { "&lt;", '<' }, { "&gt;", '>' },
		{ "&quot;", '"' }, { "&apos;", '\'' } };

	buf_text(out, "");
	for (size_t i = 0; i < s.len;) {
		size_t k = 0;

		while (k < 5 && (s.len - i < strlen(known[k].name) ||
				    memcmp(s.at + i, known[k].name,
					strlen(known[k].name)) != 0))
			k++;
		buf_char(out, k < 5 ? known[k].c : s.at[i]);
		i += k < 5 ? strlen(known[k].name) : 1;
	}
}

char *
storage_xml(struct span *at, const char *element)
{
	char *open = xasprintf("<%s>", element),
	     *close = xasprintf("</%s>", element);
	const char *from = memmem(at->at, at->len, open, strlen(open)), *to;
	struct buf out = BUF_INIT;

	if (from) {
		const char *end = at->at + at->len;

		from += strlen(open);
		to = memmem(from, (size_t)(end - from), close, strlen(close));
		if (to) {
			decode_xml(
			    (struct span){ from, (size_t)(to - from) }, &out);
			at->at = to + strlen(close);
			at->len = (size_t)(end - at->at);
		}
	}
	free(open);
	free(close);
	return out.at;
}

static void
add_remedy(
    const struct storage *s, const struct http_reply *r, struct buf *text)
{
	double skew = http_clock_skew(r);

	if (skew > 300 || skew < -300)
		buf_printf(text,
		    " (the clock of this machine is %.0f s %s that of the "
		    "account: set it right)",
		    skew < 0 ? -skew : skew, skew > 0 ? "behind" : "ahead of");
	else if (s->cred)
		buf_printf(text,
		    " (who is logged in needs the role 'Storage Blob Data "
		    "Contributor' on '%s', which its owner does not have by "
		    "itself; a new one counts after some minutes)",
		    s->account);
	else if (s->sas)
		buf_text(text,
		    " (the SharedAccessSignature in " VARIABLE
		    " has ended or does not permit this: it needs services b, "
		    "resource types sco and permissions rwdlac)");
	else
		buf_text(text,
		    " (the key in " VARIABLE
		    " is not of this account, or key access is switched off "
		    "there: use --storage)");
}

int
storage_check(const struct storage *s, const struct http_reply *r,
    const char *subject, char code[64], struct err *e)
{
	const char *header = http_header(r, "x-ms-error-code");
	struct span body = buf_peek(&r->body);
	struct buf text = BUF_INIT;
	char *named, *message, *masked;
	enum status status = REMOTE_REFUSED;

	code[0] = '\0';
	if (r->status >= 200 && r->status <= 299)
		return 0;
	if (r->status == 0) {
		*e = r->err;
		return -1;
	}
	named = storage_xml(&body, "Code");
	body = buf_peek(&r->body);
	message = storage_xml(&body, "Message");
	(void)snprintf(code, 64, "%s",
	    header && *header ? header
	    : named           ? named
			      : "");
	if (*code)
		buf_text(&text, code);
	else
		buf_printf(&text, "HTTP %d", r->status);
	if (message)
		buf_printf(
		    &text, ": %.*s", (int)strcspn(message, "\r\n"), message);
	while (text.len && strchr(" .", text.at[text.len - 1]))
		text.at[--text.len] = '\0';
	if (r->status == 401 || r->status == 403)
		add_remedy(s, r, &text);
	if (r->status == 404)
		status = ANSWER_NO;
	else if (r->status == 408 || r->status == 429 ||
		 (r->status >= 500 && r->status != 501))
		status = REMOTE_RETRY;
	masked = arm_masked(text.at);
	(void)err_set(e, status, subject, "%s", masked);
	free(masked);
	free(named);
	free(message);
	buf_free(&text);
	return -1;
}

/* -- containers ----------------------------------------------------------- */

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
		ends = sas_part(s->sas, "se");
		if (ends && time_of(ends) >= 0 &&
		    time_of(ends) < time(NULL) + SAS_NEAR)
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

int
storage_make(struct storage *s, const char *container, const char *owner,
    bool *existed, struct err *e)
{
	struct http_reply reply;
	char code[64];
	int rc;

	for (int i = 0;; i++) {
		struct http_request r = storage_request(
		    s, "PUT", container, NULL, "restype=container");

		if (owner)
			storage_header(
			    &r, xasprintf("x-ms-meta-hubpipe: %s", owner));
		r.audit = "createContainer";
		r.audit_id = xstrdup(container);
		storage_one(s, &r, &reply);
		rc = storage_check(s, &reply, container, code, e);
		/* A name is free half a minute after it was deleted. */
		if (rc == 0 || strcmp(code, "ContainerBeingDeleted") != 0 ||
		    i == DELETED_TRIES)
			break;
		http_reply_free(&reply);
		http_sleep(s->http, 2);
	}
	*existed = false;
	if (rc != 0 && !strcmp(code, "ContainerAlreadyExists")) {
		/* Or our own first try, whose answer was lost. */
		*existed = reply.attempts == 1;
		rc = 0;
	}
	http_reply_free(&reply);
	return rc;
}

int
storage_remove(struct storage *s, const char *container, struct err *e)
{
	struct http_request r =
	    storage_request(s, "DELETE", container, NULL, "restype=container");
	struct http_reply reply;
	char code[64];
	int rc;

	r.audit = "deleteContainer";
	r.audit_id = xstrdup(container);
	storage_one(s, &r, &reply);
	rc = storage_check(s, &reply, container, code, e);
	if (rc != 0 &&
	    (reply.status == 404 || !strcmp(code, "ContainerBeingDeleted")))
		rc = 0;
	http_reply_free(&reply);
	return rc;
}

/* One page of a list; *marker is set anew, NULL at the end. */
static int
read_page(struct storage *s, const struct http_reply *reply,
    const char *subject, const char *element, bool *go_on, char **marker,
    storage_name *each, void *ctx, struct err *e)
{
	static const char end[] = "</EnumerationResults>";
	struct span at = buf_peek(&reply->body);
	char *open = xasprintf("<%s>", element),
	     *close = xasprintf("</%s>", element);
	int rc = 0;

	(void)s;
	free(*marker);
	*marker = NULL;
	if (!memmem(at.at, at.len, end, strlen(end)))
		rc = err_set(e, REMOTE_RETRY, subject, "the answer is no list");
	while (rc == 0 && *go_on) {
		const char *from = memmem(at.at, at.len, open, strlen(open)),
			   *to;
		struct span inner;
		char *name;

		if (!from)
			break;
		to = memmem(from, at.len - (size_t)(from - at.at), close,
		    strlen(close));
		if (!to)
			break;
		inner = (struct span){ from, (size_t)(to - from) };
		at.len -= (size_t)(to - at.at);
		at.at = to;
		name = storage_xml(&inner, "Name");
		if (name)
			*go_on = each(ctx, name, inner);
		free(name);
	}
	if (rc == 0)
		*marker = storage_xml(&at, "NextMarker");
	free(open);
	free(close);
	return rc;
}

int
storage_list(struct storage *s, const char *container, const char *prefix,
    storage_name *each, void *ctx, struct err *e)
{
	char *marker = NULL, code[64];
	bool go_on = true;
	int rc;

	do {
		struct buf query = BUF_INIT;
		struct http_request r;
		struct http_reply reply;

		buf_printf(&query, "%scomp=list&maxresults=1000",
		    container ? "restype=container&" : "include=metadata&");
		if (prefix && *prefix) {
			buf_text(&query, "&prefix=");
			buf_url(&query, prefix, strlen(prefix));
		}
		if (marker) {
			buf_text(&query, "&marker=");
			buf_url(&query, marker, strlen(marker));
		}
		r = storage_request(s, "GET", container, NULL, query.at);
		storage_one(s, &r, &reply);
		rc = storage_check(
		    s, &reply, container ? container : s->account, code, e);
		if (rc == 0)
			rc = read_page(s, &reply,
			    container ? container : s->account,
			    container ? "Blob" : "Container", &go_on, &marker,
			    each, ctx, e);
		http_reply_free(&reply);
		buf_free(&query);
	} while (rc == 0 && go_on && marker && *marker);
	free(marker);
	return rc;
}

int
storage_containers(struct storage *s, const char *prefix, storage_name *each,
    void *ctx, struct err *e)
{
	return storage_list(s, NULL, prefix, each, ctx, e);
}

void
storage_warn_kept(struct storage *s)
{
	struct http_request r = storage_request(
	    s, "GET", NULL, NULL, "restype=service&comp=properties");
	struct http_reply reply;
	struct span at;
	char *enabled, *days;
	const char *policy;

	storage_one(s, &r, &reply);
	at = buf_peek(&reply.body);
	policy = reply.status == 200
		     ? memmem(at.at, at.len, "<DeleteRetentionPolicy>", 23)
		     : NULL;
	if (policy) {
		at.len -= (size_t)(policy - at.at);
		at.at = policy;
		enabled = storage_xml(&at, "Enabled");
		if (enabled && !strcasecmp(enabled, "true")) {
			days = storage_xml(&at, "Days");
			s->told_kept = true;
			warn(s->account,
			    "keeps deleted blobs for %s days (soft delete): "
			    "the "
			    "keys in them too",
			    days ? days : "some");
			free(days);
		}
		free(enabled);
	}
	http_reply_free(&reply);
}

void
storage_saw_version(struct storage *s, const struct http_reply *r)
{
	const char *version = http_header(r, "x-ms-version-id");

	if (s->told_kept || !version)
		return;
	s->told_kept = true;
	warn(s->account,
	    "keeps versions of blobs: those that are deleted, with the keys "
	    "in them, too");
}
