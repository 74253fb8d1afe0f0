/*
 * blobauth.c: who asks the blob service, and may they: the account's key
 * (CONTRACT 17.1), a service SAS (17.2), an account SAS, a bearer token, or
 * nobody in particular.
 *
 * The string to sign of an account SAS is not in CONTRACT.md; it is that of
 * @azure/storage-blob 12.32, AccountSASSignatureValues.
 */
#include "blobroom.h"
#include "roles.h"

#include <arpa/inet.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum { SKEW_MS = 15 * 60 * 1000 };

static const char mismatch[] =
    "This request is not authorized to perform this operation using this "
    "permission.",
		  failed[] = "Server failed to authenticate the request. Make "
			     "sure the value of Authorization header is formed "
			     "correctly including the signature.";

static int
refuse(struct blob_refusal *f, int status, const char *code,
    const char *message, char *detail)
{
	*f = (struct blob_refusal){ .status = status,
		.code = code,
		.message = message,
		.detail = detail };
	return -1;
}

static int
not_authentic(struct blob_refusal *f, char *detail)
{
	return refuse(f, 403, "AuthenticationFailed", failed, detail);
}

static int
not_permitted(struct blob_refusal *f)
{
	return refuse(
	    f, 403, "AuthorizationPermissionMismatch", mismatch, NULL);
}

/* -- signatures ---------------------------------------------------------- */

static bool
signed_by_account(struct sim *s, const struct blob_account *a,
    const struct buf *text, const char *signature)
{
	char key[96];
	bool good = false;

	for (int i = 0; i < 2 && !good; i++)
		good = blob_account_key(s, a, i, key) &&
		       sim_signed(key, text, signature);
	OPENSSL_cleanse(key, sizeof key);
	return good;
}

/* -- shared access signatures -------------------------------------------- */

/* What a SAS may say, in the order in which some version signs it. */
enum field {
	SP,
	ST,
	SE,
	SI,
	SIP,
	SPR,
	SV,
	SR,
	SNAPSHOT,
	SES,
	RSCC,
	RSCD,
	RSCE,
	RSCL,
	RSCT,
	SS,
	SRT,
	SIG,
	FIELDS,
};
static const char *const field_names[FIELDS] = { "sp", "st", "se", "si", "sip",
	"spr", "sv", "sr", "snapshot", "ses", "rscc", "rscd", "rsce", "rscl",
	"rsct", "ss", "srt", "sig" };

struct sas {
	char *field[FIELDS]; /* never NULL */
};

static void
sas_read(struct sas *t, const char *query)
{
	struct span form = span_of(query);

	for (int i = 0; i < FIELDS; i++) {
		t->field[i] = sim_form(form, field_names[i]);
		if (!t->field[i])
			t->field[i] = xstrdup("");
	}
}

static void
sas_free(struct sas *t)
{
	for (int i = 0; i < FIELDS; i++)
		free(t->field[i]);
}

static void
add_fields(
    struct buf *text, const struct sas *t, const enum field *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		buf_text(text, t->field[list[i]]);
		buf_char(text, '\n');
	}
}

/* The three layouts of CONTRACT 17.2, by the version of the SAS. */
static void
service_text(const struct blob_account *a, const char *container,
    const char *name, const struct sas *t, struct buf *text)
{
	static const enum field first[] = { SP, ST, SE },
				second[] = { SI, SIP, SPR, SV },
				third[] = { SR, SNAPSHOT }, scope[] = { SES },
				last[] = { RSCC, RSCD, RSCE, RSCL, RSCT };
	const char *version = t->field[SV];
	bool modern = strcmp(version, "2018-11-09") >= 0,
	     scoped = strcmp(version, "2020-12-06") >= 0;

	add_fields(text, t, first, 3);
	buf_printf(text, "/blob/%s/%s", a->name, container ? container : "");
	if (strcmp(t->field[SR], "b") == 0 && name)
		buf_printf(text, "/%s", name);
	buf_char(text, '\n');
	add_fields(text, t, second, 4);
	if (modern)
		add_fields(text, t, third, 2);
	if (scoped)
		add_fields(text, t, scope, 1);
	add_fields(text, t, last, 5);
	text->at[--text->len] = '\0'; /* none after the last */
}

static void
account_text(
    const struct blob_account *a, const struct sas *t, struct buf *text)
{
	static const enum field list[] = { SP, SS, SRT, ST, SE, SIP, SPR, SV },
				scope[] = { SES };

	buf_printf(text, "%s\n", a->name);
	add_fields(text, t, list, 8);
	if (strcmp(t->field[SV], "2020-12-06") >= 0)
		add_fields(text, t, scope, 1);
}

static bool
in_time(struct sim *s, const struct sas *t, struct blob_refusal *f)
{
	int64_t now = sim_client_now(s), from = 0, to;
	char words[3][32] = { "", "", "" };

	if ((*t->field[ST] && !blob_iso_date(t->field[ST], &from)) ||
	    !blob_iso_date(t->field[SE], &to)) {
		(void)not_authentic(
		    f, xstrdup("Signed expiry time or signed start time is not "
			       "well formed"));
		return false;
	}
	if (from <= now && now < to)
		return true;
	sim_http_time(from, words[0]);
	sim_http_time(to, words[1]);
	sim_http_time(now, words[2]);
	(void)not_authentic(f,
	    xasprintf("Signature not valid in the specified time frame: Start "
		      "[%s] - Expiry [%s] - Current [%s]",
		words[0], words[1], words[2]));
	return false;
}

/* "168.1.5.65" or "168.1.5.60-168.1.5.70". */
static bool
from_there(const char *range, const char *peer)
{
	char first[48];
	size_t n = strcspn(range, "-");
	struct in_addr low, high, own;

	if (!*range)
		return true;
	if (n >= sizeof first)
		return false;
	memcpy(first, range, n);
	first[n] = '\0';
	if (inet_pton(AF_INET, first, &low) != 1 ||
	    inet_pton(AF_INET, range[n] ? range + n + 1 : first, &high) != 1 ||
	    inet_pton(AF_INET, peer ? peer : "127.0.0.1", &own) != 1)
		return false;
	return ntohl(low.s_addr) <= ntohl(own.s_addr) &&
	       ntohl(own.s_addr) <= ntohl(high.s_addr);
}

static bool
has_any(const char *letters, const char *any)
{
	return strpbrk(letters, any) != NULL;
}

/* A service SAS reaches a container's blobs and their list, nothing else. */
static int
service_permits(const struct sas *t, enum blob_level level, const char *any,
    struct blob_refusal *f)
{
	bool list = level == ON_CONTAINER && strcmp(any, "l") == 0;

	if (level != ON_BLOB && !(list && strcmp(t->field[SR], "c") == 0))
		return not_permitted(f);
	return has_any(t->field[SP], any) ? 0 : not_permitted(f);
}

static int
account_permits(const struct sas *t, enum blob_level level, const char *any,
    struct blob_refusal *f)
{
	if (!strchr(t->field[SS], 'b'))
		return refuse(f, 403, "AuthorizationServiceMismatch",
		    "This request is not authorized to perform this operation "
		    "using this service.",
		    NULL);
	if (!strchr(t->field[SRT], (int)level))
		return refuse(f, 403, "AuthorizationResourceTypeMismatch",
		    "This request is not authorized to perform this operation "
		    "using this resource type.",
		    NULL);
	return has_any(t->field[SP], any) ? 0 : not_permitted(f);
}

static int
check_sas(struct sim *s, const struct blob_account *a, const struct sas *t,
    const struct buf *text, bool whole_account, const char *peer, bool tls,
    enum blob_level level, const char *any, struct blob_refusal *f)
{
	const char *sr = t->field[SR];
	int64_t day;

	if (!whole_account && strcmp(sr, "c") != 0 && strcmp(sr, "b") != 0)
		return not_authentic(
		    f, xasprintf("sr is mandatory. Cannot be '%s'", sr));
	if (strlen(t->field[SV]) != 10 || !blob_iso_date(t->field[SV], &day) ||
	    strcmp(t->field[SV], "2015-04-05") < 0)
		return not_authentic(
		    f, xstrdup("sv is not a version of the service"));
	if (*t->field[SI])
		return not_authentic(f,
		    xstrdup("Access policy not found: hub-sim keeps no stored "
			    "access policies"));
	if (!in_time(s, t, f))
		return -1;
	if (!signed_by_account(s, a, text, t->field[SIG]))
		return not_authentic(f,
		    xasprintf(
			"Signature did not match. String to sign used was %s",
			text->at));
	if (!from_there(t->field[SIP], peer))
		return refuse(f, 403, "AuthorizationSourceIPMismatch",
		    "This request is not authorized to perform this operation "
		    "using this source IP.",
		    xstrdup(peer ? peer : "127.0.0.1"));
	if (strcmp(t->field[SPR], "https") == 0 && !tls)
		return refuse(f, 403, "AuthorizationProtocolMismatch",
		    "This request is not authorized to perform this operation "
		    "using this protocol.",
		    NULL);
	return whole_account ? account_permits(t, level, any, f)
			     : service_permits(t, level, any, f);
}

int
blob_sas_check(struct sim *s, const struct blob_account *a,
    const char *container, const char *name, const char *query,
    const char *peer, bool tls, enum blob_level level, const char *any,
    struct blob_refusal *f)
{
	char *delegated = sim_form(span_of(query), "skoid");
	struct buf text = BUF_INIT;
	struct sas t;
	bool whole_account;
	int result;

	sas_read(&t, query);
	whole_account = *t.field[SS] || *t.field[SRT];
	if (delegated) {
		result = refuse(f, 501, "NotImplemented",
		    "hub-sim does not simulate SAS of a user delegation key",
		    NULL);
	} else {
		if (whole_account)
			account_text(a, &t, &text);
		else
			service_text(a, container, name, &t, &text);
		result = check_sas(
		    s, a, &t, &text, whole_account, peer, tls, level, any, f);
	}
	sas_free(&t);
	buf_wipe(&text);
	free(delegated);
	return result;
}

/* -- roles --------------------------------------------------------------- */

/* The simulator's own client may do everything, unless the account has the
 * tag hub-sim-deny: blobs. */
bool
blob_role_permits(struct sim *s, const struct blob_account *a,
    const char *container, const char *principal, const char *permissions)
{
	bool reads = permissions[strspn(permissions, "rl")] == '\0', may;
	struct arm_id id;
	jv denied;
	char *scope;

	if (a->emulator)
		return true;
	if (strcasecmp(principal, SIM_CLIENT) == 0) {
		if (!arm_id_parse(s, a->key, &id))
			return false;
		denied = arm_denied(s, &id, "blobs");
		may = jv_is_valid(denied);
		jv_free(denied);
		arm_id_free(&id);
		return may;
	}
	scope = container ? blob_container_key(a, container) : xstrdup(a->key);
	may = role_held(s, principal, scope, "Storage Blob Data Contributor") ||
	      (reads &&
		  role_held(s, principal, scope, "Storage Blob Data Reader"));
	free(scope);
	return may;
}

/* -- the account's key (CONTRACT 17.1) ----------------------------------- */

static void
add_header(struct buf *text, const struct sim_request *q, const char *name)
{
	const char *value = q->header(q, name);

	if (value && strcasecmp(name, "content-length") == 0 &&
	    strcmp(value, "0") == 0)
		value = NULL;
	if (value && strcasecmp(name, "date") == 0 && q->header(q, "x-ms-date"))
		value = NULL;
	buf_text(text, value ? value : "");
	buf_char(text, '\n');
}

struct line {
	char *name, *value;
};

/* By bytes; hyphens last, which is how the service compares names where that
 * makes a difference (@azure/storage-common, SharedKeyComparator). */
static int
by_bytes(const void *a, const void *b)
{
	return strcmp(
	    ((const struct line *)a)->name, ((const struct line *)b)->name);
}

static int
by_words(const void *a, const void *b)
{
	const char *x = ((const struct line *)a)->name,
		   *y = ((const struct line *)b)->name;

	for (;; x++, y++) {
		x += strspn(x, "-");
		y += strspn(y, "-");
		if (*x != *y)
			break;
		if (!*x)
			return -by_bytes(a, b);
	}
	if (*x == '_' || *y == '_') /* sorts before digits */
		return *y == '\0' ? 1 : *x == '\0' || *x == '_' ? -1 : 1;
	return (unsigned char)*x < (unsigned char)*y ? -1 : 1;
}

static char *
trimmed(const char *text)
{
	size_t n;

	text += strspn(text, " \t");
	n = strlen(text);
	while (n && (text[n - 1] == ' ' || text[n - 1] == '\t'))
		n--;
	return xstrndup(text, n);
}

static void
free_lines(struct line *lines, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(lines[i].name);
		free(lines[i].value);
	}
	free(lines);
}

static struct line *
service_headers(const struct sim_request *q, size_t *count)
{
	struct line *lines = NULL;
	const char *name, *value;

	*count = 0;
	for (size_t at = 0; blob_each_header(q, &at, &name, &value);) {
		if (strncasecmp(name, "x-ms-", 5) != 0)
			continue;
		lines = xrealloc(lines, (*count + 1) * sizeof *lines);
		lines[*count].name = arm_lower(name);
		lines[(*count)++].value = trimmed(value);
	}
	return lines;
}

/* Query parameters: names in lower case, values decoded; '+' is no blank. */
static struct line *
parameters(const struct sim_request *q, size_t *count)
{
	struct line *lines = NULL;
	const char *at = q->query;

	*count = 0;
	while (*at) {
		size_t n = strcspn(at, "&"), name = strcspn(at, "=&");
		struct buf path = BUF_INIT;
		struct sim_request part = { .path = NULL };

		if (n) {
			lines = xrealloc(lines, (*count + 1) * sizeof *lines);
			for (int i = 0; i < 2; i++) {
				const char *from = i ? at + name : at;
				size_t len = i ? n - name : name;

				if (i && len) {
					from++;
					len--;
				}
				/* A segment may not hold '/' undecoded. */
				buf_clear(&path);
				buf_char(&path, '/');
				for (size_t k = 0; k < len; k++)
					if (from[k] == '/')
						buf_text(&path, "%2F");
					else
						buf_char(&path, from[k]);
				part.path = path.at;
				*(i ? &lines[*count].value
				    : &lines[*count].name) =
				    len ? sim_segment(&part, 0) : xstrdup("");
			}
			for (char *c = lines[*count].name; *c; c++)
				if (*c >= 'A' && *c <= 'Z')
					*c = (char)(*c - 'A' + 'a');
			(*count)++;
		}
		buf_free(&path);
		at += n + (at[n] == '&');
	}
	return lines;
}

static int
by_name_and_value(const void *a, const void *b)
{
	int order = by_bytes(a, b);

	return order ? order
		     : strcmp(((const struct line *)a)->value,
			   ((const struct line *)b)->value);
}

static void
shared_key_text(struct blob_visit *v, int (*order)(const void *, const void *),
    struct buf *text)
{
	static const char *const names[] = { "content-encoding",
		"content-language", "content-length", "content-md5",
		"content-type", "date", "if-modified-since", "if-match",
		"if-none-match", "if-unmodified-since", "range" };
	struct line *lines;
	size_t count;

	buf_printf(text, "%s\n", v->q->method);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		add_header(text, v->q, names[i]);
	lines = service_headers(v->q, &count);
	if (count)
		qsort(lines, count, sizeof *lines, order);
	for (size_t i = 0; i < count; i++)
		buf_printf(text, "%s:%s\n", lines[i].name, lines[i].value);
	free_lines(lines, count);
	buf_printf(text, "/%s%s", v->account.name, v->q->path);
	lines = parameters(v->q, &count);
	if (count)
		qsort(lines, count, sizeof *lines, by_name_and_value);
	for (size_t i = 0; i < count; i++)
		if (i && strcmp(lines[i].name, lines[i - 1].name) == 0)
			buf_printf(text, ",%s", lines[i].value);
		else
			buf_printf(
			    text, "\n%s:%s", lines[i].name, lines[i].value);
	free_lines(lines, count);
}

static int
by_shared_key(
    struct blob_visit *v, const char *credential, struct blob_refusal *f)
{
	const char *colon = strchr(credential, ':'), *date;
	struct buf text = BUF_INIT, other = BUF_INIT;
	int64_t when = 0;
	int result = 0;

	date = v->q->header(v->q, "x-ms-date");
	if (!date)
		date = v->q->header(v->q, "date");
	if (!colon || (size_t)(colon - credential) != strlen(v->account.name) ||
	    strncmp(
		credential, v->account.name, (size_t)(colon - credential)) != 0)
		return not_authentic(f,
		    xstrdup("The account named in the Authorization header is "
			    "not the account of this host"));
	if (!date || !blob_http_date(date, &when) ||
	    llabs(sim_client_now(v->s) - when) > SKEW_MS)
		return not_authentic(
		    f, xasprintf("The date header in the request is incorrect: "
				 "'%s'",
			   date ? date : ""));
	shared_key_text(v, by_words, &text);
	if (!signed_by_account(v->s, &v->account, &text, colon + 1)) {
		shared_key_text(v, by_bytes, &other);
		if (!signed_by_account(v->s, &v->account, &other, colon + 1))
			result = not_authentic(
			    f, xasprintf("The MAC signature found in the HTTP "
					 "request '%s' is not the same as any "
					 "computed signature. Server used "
					 "following string to sign: '%s'.",
				   colon + 1, text.at));
	}
	buf_wipe(&text);
	buf_wipe(&other);
	return result;
}

/* -- tokens and nobody --------------------------------------------------- */

static int
challenge(struct blob_refusal *f, const char *code, char *detail)
{
	(void)refuse(f, 401, code,
	    "Server failed to authenticate the request. Please refer to the "
	    "information in the www-authenticate header.",
	    detail);
	f->challenge = true;
	return -1;
}

static int
by_token(struct blob_visit *v, const char *any, struct blob_refusal *f)
{
	const char *client, *audience;
	int why = entra_bearer(v->s, v->q, &client, &audience);
	char own[96], one[2] = { *any, '\0' };

	(void)snprintf(own, sizeof own, "https://%s", v->q->host);
	if (why == ENTRA_EXPIRED)
		return challenge(f, "InvalidAuthenticationInfo",
		    xstrdup("Lifetime validation failed. The token is "
			    "expired."));
	if (why)
		return challenge(f, "InvalidAuthenticationInfo",
		    xstrdup("IDX10511: Signature validation failed."));
	if (strcmp(audience, "https://storage.azure.com") != 0 &&
	    strcasecmp(audience, own) != 0)
		return challenge(f, "InvalidAuthenticationInfo",
		    xstrdup("Audience validation failed. Audience did not "
			    "match."));
	return blob_role_permits(v->s, &v->account, v->container, client, one)
		   ? 0
		   : not_permitted(f);
}

static bool
is_public(struct blob_visit *v, enum blob_level level)
{
	jv body = v->container
		      ? blob_container_load(v->s, &v->account, v->container)
		      : jv_invalid();
	char *access = jv_dup_string(jv_path(body, "properties.publicAccess"));
	bool is = access &&
		  (strcasecmp(access, "Container") == 0 ||
		      (strcasecmp(access, "Blob") == 0 && level == ON_BLOB));

	free(access);
	return is;
}

bool
blob_account_is_open(struct sim *s, const struct blob_account *a)
{
	jv body = blob_account_body(s, a),
	   open = jv_path(body, "properties.allowBlobPublicAccess");
	bool is = a->emulator || jv_get_kind(open) == JV_KIND_TRUE;

	jv_free(open);
	return is;
}

/* A client that names a version is asked for a token; what a browser sends,
 * which names none, is told as little as possible. */
static int
by_nobody(struct blob_visit *v, enum blob_level level, const char *any,
    struct blob_refusal *f)
{
	bool open = blob_account_is_open(v->s, &v->account),
	     reads = strcmp(any, "r") == 0 || strcmp(any, "l") == 0;

	if (open && reads && level != ON_SERVICE && is_public(v, level))
		return 0;
	if (v->q->header(v->q, "x-ms-version"))
		return challenge(f, "NoAuthenticationInformation", NULL);
	if (!open)
		return refuse(f, 409, "PublicAccessNotPermitted",
		    "Public access is not permitted on this storage account.",
		    NULL);
	return refuse(f, 404, "ResourceNotFound",
	    "The specified resource does not exist.", NULL);
}

static bool
shared_key_is_off(struct blob_visit *v)
{
	jv off = jv_path(blob_account_body(v->s, &v->account),
	    "properties.allowSharedKeyAccess");
	bool is = jv_get_kind(off) == JV_KIND_FALSE;

	jv_free(off);
	return is;
}

bool
blob_allowed(struct blob_visit *v, enum blob_level level, const char *any)
{
	static const char key[] = "SharedKey ";
	const char *auth = v->q->header(v->q, "authorization");
	char *signature = sim_query(v->q, "sig");
	struct blob_refusal f;
	int bad;

	if ((auth ? strncasecmp(auth, "Bearer ", 7) != 0 : signature != NULL) &&
	    shared_key_is_off(v))
		bad = refuse(&f, 403, "KeyBasedAuthenticationNotPermitted",
		    "Key based authentication is not permitted on this storage "
		    "account.",
		    NULL);
	else if (auth && strncasecmp(auth, key, sizeof key - 1) == 0)
		bad = by_shared_key(v, auth + sizeof key - 1, &f);
	else if (auth && strncasecmp(auth, "Bearer ", 7) == 0)
		bad = by_token(v, any, &f);
	else if (auth)
		bad = refuse(&f, 400, "InvalidAuthenticationInfo",
		    "Authentication information is not given in the correct "
		    "format. Check the value of Authorization header.",
		    NULL);
	else if (signature)
		bad = blob_sas_check(v->s, &v->account, v->container, v->name,
		    v->q->query, v->q->peer, v->q->tls, level, any, &f);
	else
		bad = by_nobody(v, level, any, &f);
	free(signature);
	if (!bad)
		return true;
	blob_fail_with(v, f.status, f.code, f.message,
	    f.detail ? "AuthenticationErrorDetail" : NULL, f.detail);
	if (f.challenge)
		sim_head(v->r, "WWW-Authenticate",
		    "Bearer authorization_uri=https://"
		    "login.microsoftonline.com/" SIM_TENANT
		    "/oauth2/authorize resource_id=https://storage.azure.com");
	free(f.detail);
	return false;
}
