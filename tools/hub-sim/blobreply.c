/* blobreply.c: what the blob service's answers have in common: failures, XML,
 * ETags, conditions, dates (CONTRACT 17.3). */
#include "blobroom.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

/* -- dates --------------------------------------------------------------- */

static bool
number(const char **text, int digits, int *out)
{
	*out = 0;
	for (int i = 0; i < digits; i++, (*text)++) {
		if (!isdigit((unsigned char)**text))
			return false;
		*out = *out * 10 + (**text - '0');
	}
	return true;
}

static bool
is_moment(struct tm *t, int64_t *ms)
{
	struct tm same = *t;

	if (t->tm_year < 70 || t->tm_mon < 0 || t->tm_mon > 11 ||
	    t->tm_mday < 1 || t->tm_hour > 23 || t->tm_min > 59 ||
	    t->tm_sec > 60)
		return false;
	*ms = (int64_t)timegm(&same) * 1000;
	return same.tm_mday == t->tm_mday; /* no 30th of February */
}

/* "Tue, 14 Nov 2023 22:13:20 GMT". */
bool
blob_http_date(const char *text, int64_t *ms)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct tm t = { 0 };

	text = strchr(text, ',');
	if (!text)
		return false;
	text += 1 + strspn(text + 1, " ");
	if (!number(&text, 2, &t.tm_mday) || *text != ' ')
		return false;
	text++;
	for (t.tm_mon = 0; t.tm_mon < 12; t.tm_mon++)
		if (strncmp(text, months + (ptrdiff_t)3 * t.tm_mon, 3) == 0)
			break;
	if (t.tm_mon == 12 || text[3] != ' ')
		return false;
	text += 4;
	if (!number(&text, 4, &t.tm_year) || *text++ != ' ' ||
	    !number(&text, 2, &t.tm_hour) || *text++ != ':' ||
	    !number(&text, 2, &t.tm_min) || *text++ != ':' ||
	    !number(&text, 2, &t.tm_sec) || strcmp(text, " GMT") != 0)
		return false;
	t.tm_year -= 1900;
	return is_moment(&t, ms);
}

/* "2030-01-01", with "T00:00Z", "T00:00:00Z" or a fraction of a second. */
bool
blob_iso_date(const char *text, int64_t *ms)
{
	struct tm t = { 0 };

	if (!number(&text, 4, &t.tm_year) || *text++ != '-' ||
	    !number(&text, 2, &t.tm_mon) || *text++ != '-' ||
	    !number(&text, 2, &t.tm_mday))
		return false;
	t.tm_year -= 1900;
	t.tm_mon -= 1;
	if (!*text)
		return is_moment(&t, ms);
	if (*text++ != 'T' || !number(&text, 2, &t.tm_hour) || *text++ != ':' ||
	    !number(&text, 2, &t.tm_min))
		return false;
	if (*text == ':') {
		text++;
		if (!number(&text, 2, &t.tm_sec))
			return false;
		if (*text == '.')
			text += 1 + strspn(text + 1, "0123456789");
	}
	return strcmp(text, "Z") == 0 && is_moment(&t, ms);
}

/* -- XML ----------------------------------------------------------------- */

/* What XML 1.0 cannot carry becomes U+FFFD. */
void
blob_xml_text(struct buf *out, struct span text)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.at[i];

		if (c == '&')
			buf_text(out, "&amp;");
		else if (c == '<')
			buf_text(out, "&lt;");
		else if (c == '>')
			buf_text(out, "&gt;");
		else if (c == '"')
			buf_text(out, "&quot;");
		else if (c == '\t' || c == '\n' || c == '\r')
			buf_printf(out, "&#x%X;", c);
		else if (c < 0x20)
			buf_text(out, "\xef\xbf\xbd");
		else
			buf_char(out, (char)c);
	}
}

void
blob_xml(struct buf *out, const char *name, const char *text)
{
	if (!text || !*text) {
		buf_printf(out, "<%s/>", name);
		return;
	}
	buf_printf(out, "<%s>", name);
	blob_xml_text(out, span_of(text));
	buf_printf(out, "</%s>", name);
}

void
blob_xml_begin(struct blob_visit *v, int status)
{
	v->r->status = status;
	v->r->content_type = "application/xml";
	buf_clear(&v->r->body);
	buf_text(&v->r->body, "<?xml version=\"1.0\" encoding=\"utf-8\"?>");
}

/* -- failures ------------------------------------------------------------ */

void
blob_fail_with(struct blob_visit *v, int status, const char *code,
    const char *message, const char *name, const char *text)
{
	char when[32];

	sim_iso_time(v->now, when);
	blob_xml_begin(v, status);
	buf_printf(&v->r->body, "<Error><Code>%s</Code><Message>", code);
	blob_xml_text(&v->r->body, span_of(message));
	buf_printf(
	    &v->r->body, "\nRequestId:%s\nTime:%s</Message>", v->id, when);
	if (name)
		blob_xml(&v->r->body, name, text);
	buf_text(&v->r->body, "</Error>");
	sim_head(v->r, "x-ms-error-code", "%s", code);
	if (v->head) { /* its length is that of a body that is not sent */
		buf_clear(&v->r->body);
		v->r->content_type = NULL;
	}
}

void
blob_fail(
    struct blob_visit *v, int status, const char *code, const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	blob_fail_with(v, status, code, text, NULL, NULL);
	free(text);
}

void
blob_missing(struct blob_visit *v, const char *what)
{
	blob_fail(
	    v, 501, "NotImplemented", "hub-sim does not simulate %s", what);
}

void
blob_no_container(struct blob_visit *v)
{
	blob_fail(v, 404, "ContainerNotFound",
	    "The specified container does not exist.");
}

void
blob_no_blob(struct blob_visit *v)
{
	blob_fail(v, 404, "BlobNotFound", "The specified blob does not exist.");
}

/* One element more at the end of the error. */
static void
add_element(struct blob_visit *v, const char *name, const char *value)
{
	if (v->r->body.len && value) {
		v->r->body.len -= strlen("</Error>");
		blob_xml(&v->r->body, name, value);
		buf_text(&v->r->body, "</Error>");
	}
}

void
blob_bad_header(struct blob_visit *v, const char *name, const char *value)
{
	blob_fail_with(v, 400, "InvalidHeaderValue",
	    "The value for one of the HTTP headers is not in the correct "
	    "format.",
	    "HeaderName", name);
	add_element(v, "HeaderValue", value);
}

void
blob_bad_query(struct blob_visit *v, const char *name, const char *value)
{
	blob_fail_with(v, 400, "InvalidQueryParameterValue",
	    "Value for one of the query parameters specified in the request "
	    "URI is invalid.",
	    "QueryParameterName", name);
	add_element(v, "QueryParameterValue", value);
}

bool
blob_query_number(struct blob_visit *v, const char *name, int64_t low,
    int64_t high, int64_t *out)
{
	char *text = sim_query(v->q, name), *end;
	long long n;

	if (!text)
		return true;
	n = strtoll(text, &end, 10);
	if (end == text || *end || strlen(text) > 18) {
		blob_bad_query(v, name, text);
	} else if (n < low || n > high) {
		blob_fail_with(v, 400, "OutOfRangeQueryParameterValue",
		    "One of the query parameters specified in the request URI "
		    "is outside the permissible range.",
		    "QueryParameterName", name);
	} else {
		*out = n;
		free(text);
		return true;
	}
	free(text);
	return false;
}

/* -- headers ------------------------------------------------------------- */

void
blob_say_etag(struct blob_visit *v, int64_t etag, int64_t modified)
{
	char when[32];

	sim_http_time(modified, when);
	sim_head(v->r, "Last-Modified", "%s", when);
	sim_head(v->r, "ETag", "\"0x%llX\"", (unsigned long long)etag);
}

void
blob_say_metadata(struct blob_visit *v, const char *json)
{
	jv all;

	if (!json)
		return;
	all = jv_parse(json);
	jv_object_foreach(all, name, value) {
		char *header = xasprintf("x-ms-meta-%s", jv_string_value(name));

		sim_head(v->r, header, "%s", jv_string_value(value));
		free(header);
		jv_free(name);
		jv_free(value);
	}
	jv_free(all);
}

/* A name of C#, as the service wants it. */
static bool
is_identifier(const char *name)
{
	if (isdigit((unsigned char)*name) || !*name)
		return false;
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && *name != '_')
			return false;
	return true;
}

char *
blob_metadata(struct blob_visit *v)
{
	static const char prefix[] = "x-ms-meta-";
	const char *name, *value;
	struct buf out = BUF_INIT;
	jv all = jv_object();
	size_t total = 0;

	for (size_t at = 0; blob_each_header(v->q, &at, &name, &value);) {
		if (strncasecmp(name, prefix, sizeof prefix - 1) != 0)
			continue;
		name += sizeof prefix - 1;
		total += strlen(name) + strlen(value);
		if (!*name)
			blob_fail(v, 400, "EmptyMetadataKey",
			    "The key for one of the metadata key-value pairs "
			    "is empty.");
		else if (!is_identifier(name))
			blob_fail(v, 400, "InvalidMetadata",
			    "The metadata specified is invalid. It has "
			    "characters that are not permitted.");
		else if (total > 8192)
			blob_fail(v, 400, "MetadataTooLarge",
			    "The metadata specified exceeds the maximum "
			    "allowable limit (8KB).");
		if (v->r->status) {
			jv_free(all);
			return NULL;
		}
		all = jv_object_set(all, jv_string(name), jv_string(value));
	}
	json_add_jv(&out, all);
	return out.at;
}

/* -- conditions ---------------------------------------------------------- */

/* One of a list of quoted etags, or the star. */
static bool
names_etag(const char *list, int64_t etag)
{
	char own[32];
	size_t n;

	(void)snprintf(own, sizeof own, "0x%llX", (unsigned long long)etag);
	n = strlen(own);
	while (*list) {
		size_t len;

		list += strspn(list, " ,\"");
		len = strcspn(list, " ,\"");
		if (len == n && strncasecmp(list, own, n) == 0)
			return true;
		list += len;
	}
	return false;
}

static bool
unmet(struct blob_visit *v)
{
	blob_fail(v, 412, "ConditionNotMet",
	    "The condition specified using HTTP conditional header(s) is not "
	    "met.");
	return false;
}

static bool
unchanged(struct blob_visit *v, int64_t etag, int64_t modified)
{
	v->r->status = 304;
	sim_head(v->r, "x-ms-error-code", "ConditionNotMet");
	blob_say_etag(v, etag, modified);
	return false;
}

static bool
star(const char *value)
{
	return value &&
	       (strcmp(value, "*") == 0 || strcmp(value, "\"*\"") == 0);
}

/* Dates of HTTP have no fractions: what was modified within the second that
 * is named was not modified since. */
bool
blob_condition(
    struct blob_visit *v, int64_t etag, int64_t modified, bool reading)
{
	const struct sim_request *q = v->q;
	const char *match = q->header(q, "if-match"),
		   *none = q->header(q, "if-none-match"),
		   *since = q->header(q, "if-modified-since"),
		   *before = q->header(q, "if-unmodified-since");
	int64_t when;

	modified -= modified % 1000;
	if (match && !(star(match) ? etag != 0 : names_etag(match, etag)))
		return unmet(v);
	if (before && etag) {
		if (!blob_http_date(before, &when)) {
			blob_bad_header(v, "If-Unmodified-Since", before);
			return false;
		}
		if (modified > when)
			return unmet(v);
	}
	if (none && etag && (star(none) || names_etag(none, etag))) {
		if (reading)
			return unchanged(v, etag, modified);
		if (!star(none))
			return unmet(v);
		if (v->name)
			blob_fail(v, 409, "BlobAlreadyExists",
			    "The specified blob already exists.");
		else
			return unmet(v);
		return false;
	}
	if (since && etag && !none) {
		if (!blob_http_date(since, &when)) {
			blob_bad_header(v, "If-Modified-Since", since);
			return false;
		}
		if (modified <= when)
			return reading ? unchanged(v, etag, modified)
				       : unmet(v);
	}
	return true;
}

/* -- the request --------------------------------------------------------- */

/* What inbound.h keeps: name NUL value NUL ... */
bool
blob_each_header(const struct sim_request *q, size_t *at, const char **name,
    const char **value)
{
	const struct buf *h = q->headers;

	if (*at >= h->len)
		return false;
	*name = h->at + *at;
	*value = *name + strlen(*name) + 1;
	*at = (size_t)(*value - h->at) + strlen(*value) + 1;
	return true;
}
