/* storage.c: one storage account, and who we are to it; see storage.h. */
#include "storageroom.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "cloud.h"
#include "cred.h"
#include "sign.h"

static const char *storage_option;

const struct opt storage_opts[] = {
	OPT_TEXT(0, "storage", "ACCOUNT", &storage_option,
	    "the account that jobs use, by Entra tokens and the hub's identity "
	    "(else STORAGE_ACCT_CONN_STRING)"),
	OPT_END,
};

/* -- what is configured --------------------------------------------------- */

static const char *
variable(void)
{
	const char *value = getenv(STORAGE_VARIABLE);

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

long
storage_time_of(const char *text)
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

char *
storage_decoded(const char *text, size_t len)
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

char *
storage_sas_part(const char *sas, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = sas; p && *p;) {
		size_t len = strcspn(p, "&");

		if (len > n && p[n] == '=' && strncmp(p, name, n) == 0)
			return storage_decoded(p + n + 1, len - n - 1);
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
	sig = storage_sas_part(s->sas, "sig");
	ends = storage_sas_part(s->sas, "se");
	if (!sig || strpbrk(s->sas, " \"\r\n"))
		rc = err_set(e, BAD_USAGE, s->from,
		    "its SharedAccessSignature= has no sig=");
	else if (ends && storage_time_of(ends) >= 0 &&
		 storage_time_of(ends) < time(NULL))
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
	free(dev);
	free(hub);
	free(name);
	secret_free(key);
	secret_free(sas);
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
		    "read by all users of this machine (use " STORAGE_VARIABLE
		    ")");
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
	s->from = storage_option ? "--storage" : STORAGE_VARIABLE;
	if (storage_option)
		rc = take_option(s, storage_option, e);
	else if (variable())
		rc = take_connection_string(s, variable(), e);
	else
		rc = err_set(e, BAD_USAGE, NULL,
		    "a job needs a storage account (set " STORAGE_VARIABLE
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
	char *kind = s->sas ? storage_sas_part(s->sas, "sr") : NULL;
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
	secret_free(s->sas);
	if (s->cred)
		cred_close(s->cred);
	free(s->endpoint);
	free(s->path);
	free(s->account);
	free(s->audience);
	free(s);
}
