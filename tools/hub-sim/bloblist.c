/* bloblist.c: lists of blobs and containers, and what the service says of
 * itself (CONTRACT 17.3). */
#include "blobroom.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum { PAGE = 5000 };

struct listing {
	char *prefix, *delimiter, *marker, *include, *shown; /* or NULL */
	char *from; /* the name that a marker stands for */
	int64_t max;
};

static void
listing_free(struct listing *l)
{
	free(l->prefix);
	free(l->delimiter);
	free(l->marker);
	free(l->include);
	free(l->shown);
	free(l->from);
}

/* A marker is the name that comes next, in base64. */
static char *
name_of(const char *marker)
{
	size_t n = strlen(marker);
	char *out;
	int len;

	if (strncmp(marker, "2!", 2) != 0 || (n - 2) % 4 || n > 8192)
		return NULL;
	out = xmalloc(n);
	len = EVP_DecodeBlock((unsigned char *)out,
	    (const unsigned char *)marker + 2, (int)n - 2);
	if (len < 0) {
		free(out);
		return NULL;
	}
	out[len] = '\0'; /* the padding is decoded as zero bytes before it */
	return out;
}

static void
add_marker(struct buf *out, const char *next)
{
	struct buf text = BUF_INIT;

	if (next) {
		buf_text(&text, "2!");
		buf_base64(&text, next, strlen(next));
	}
	blob_xml(out, "NextMarker", text.at);
	buf_free(&text);
}

static bool
read_listing(struct blob_visit *v, struct listing *l)
{
	memset(l, 0, sizeof *l);
	l->prefix = sim_query(v->q, "prefix");
	l->delimiter = sim_query(v->q, "delimiter");
	l->marker = sim_query(v->q, "marker");
	l->include = sim_query(v->q, "include");
	l->shown = sim_query(v->q, "maxresults");
	l->max = PAGE;
	if (l->delimiter && !*l->delimiter) {
		free(l->delimiter);
		l->delimiter = NULL;
	}
	if (!blob_query_number(v, "maxresults", 1, INT32_MAX, &l->max))
		return false;
	if (l->max > PAGE)
		l->max = PAGE;
	if (l->marker && *l->marker && !(l->from = name_of(l->marker))) {
		blob_bad_query(v, "marker", l->marker);
		return false;
	}
	return true;
}

static bool
includes(const struct listing *l, const char *word)
{
	const char *at = l->include;
	size_t n = strlen(word);

	while (at && *at) {
		size_t len = strcspn(at, ",");

		if (len == n && strncasecmp(at, word, n) == 0)
			return true;
		at += len + (at[len] == ',');
	}
	return false;
}

static void
begin_list(struct blob_visit *v, const struct listing *l, bool blobs)
{
	struct buf *out = &v->r->body;

	blob_xml_begin(v, 200);
	buf_printf(out, "<EnumerationResults ServiceEndpoint=\"%s://",
	    v->path_style ? "http" : "https");
	blob_xml_text(out, span_of(sim_authority(v->q)));
	buf_printf(out, "/%s%s\"", v->path_style ? v->account.name : "",
	    v->path_style ? "/" : "");
	if (blobs) {
		buf_text(out, " ContainerName=\"");
		blob_xml_text(out, span_of(v->container));
		buf_char(out, '"');
	}
	buf_char(out, '>');
	if (l->prefix)
		blob_xml(out, "Prefix", l->prefix);
	if (l->marker)
		blob_xml(out, "Marker", l->marker);
	if (l->shown)
		blob_xml(out, "MaxResults", l->shown);
	if (blobs && l->delimiter)
		blob_xml(out, "Delimiter", l->delimiter);
}

static void
add_metadata(struct buf *out, jv all)
{
	buf_text(out, "<Metadata>");
	if (jv_get_kind(all) == JV_KIND_OBJECT) {
		jv_object_foreach(all, name, value) {
			blob_xml(out, jv_string_value(name),
			    jv_get_kind(value) == JV_KIND_STRING
				? jv_string_value(value)
				: "");
			jv_free(name);
			jv_free(value);
		}
	}
	buf_text(out, "</Metadata>");
	jv_free(all);
}

static void
add_times(struct buf *out, int64_t modified, int64_t etag)
{
	char when[32];

	sim_http_time(modified, when);
	buf_printf(out, "<Last-Modified>%s</Last-Modified><Etag>0x%llX</Etag>",
	    when, (unsigned long long)etag);
}

/* -- blobs --------------------------------------------------------------- */

/* A name that XML cannot carry is percent-encoded, and says so. */
static void
add_name(struct buf *out, const char *name)
{
	bool plain = true;

	for (const char *c = name; *c; c++)
		plain &= (unsigned char)*c >= 0x20 && *c != 0x7f &&
			 strncmp(c, "\xef\xbf\xbe", 3) != 0 &&
			 strncmp(c, "\xef\xbf\xbf", 3) != 0;
	if (plain) {
		blob_xml(out, "Name", name);
		return;
	}
	buf_text(out, "<Name Encoded=\"true\">");
	buf_url(out, name, strlen(name));
	buf_text(out, "</Name>");
}

static void
add_blob(struct buf *out, const char *name, const struct blob *b, bool metadata)
{
	char when[32];

	buf_text(out, "<Blob>");
	add_name(out, name);
	sim_http_time(b->created, when);
	buf_printf(out, "<Properties><Creation-Time>%s</Creation-Time>", when);
	add_times(out, b->modified, b->etag);
	buf_printf(out, "<Content-Length>%llu</Content-Length>",
	    (unsigned long long)b->size);
	for (int i = 0; i < HEAD_COUNT; i++)
		blob_xml(out, blob_head_names[i], b->head[i]);
	blob_xml(out, "BlobType", b->append ? "AppendBlob" : "BlockBlob");
	if (!b->append)
		buf_text(out, "<AccessTier>Hot</AccessTier>"
			      "<AccessTierInferred>true</AccessTierInferred>");
	buf_text(out, "<LeaseStatus>unlocked</LeaseStatus>"
		      "<LeaseState>available</LeaseState>"
		      "<ServerEncrypted>true</ServerEncrypted></Properties>");
	if (metadata)
		add_metadata(
		    out, b->metadata ? jv_parse(b->metadata) : jv_object());
	buf_text(out, "</Blob>");
}

/* The first name after all that begin like this; malloc'd, NULL: none. */
static char *
after(const char *start, size_t len)
{
	char *out = xstrndup(start, len);

	while (len && (unsigned char)out[len - 1] == 0xff)
		out[--len] = '\0';
	if (len == 0) {
		free(out);
		return NULL;
	}
	out[len - 1]++;
	return out;
}

/* The next name from that one on; false: there is none. */
static bool
next_blob(struct blob_visit *v, const char *from, bool again, bool uncommitted,
    char **name, struct blob *b)
{
	sqlite3_stmt *q;

	if (again)
		q = sim_sql(v->s,
		    "SELECT name, " BLOB_COLUMNS " FROM blob"
		    " WHERE container = ?1 AND name > CAST(?2 AS TEXT)"
		    " AND (committed OR ?3) ORDER BY name LIMIT 1");
	else
		q = sim_sql(v->s,
		    "SELECT name, " BLOB_COLUMNS " FROM blob"
		    " WHERE container = ?1 AND name >= CAST(?2 AS TEXT)"
		    " AND (committed OR ?3) ORDER BY name LIMIT 1");
	sim_bind(q, 1, v->container_key);
	sim_bind(q, 2, from);
	(void)sqlite3_bind_int(q, 3, uncommitted);
	if (sim_step(v->s, q) != SQLITE_ROW)
		return false;
	*name = span_dup(sim_column(q, 0));
	memset(b, 0, sizeof *b);
	blob_read_row(q, 1, b);
	return true;
}

static void
list(struct blob_visit *v, const struct listing *l)
{
	struct buf *out = &v->r->body;
	const char *prefix = l->prefix ? l->prefix : "";
	size_t n = strlen(prefix);
	char *from = xstrdup(
		 l->from && strcmp(l->from, prefix) > 0 ? l->from : prefix),
	     *name = NULL;
	bool again = false, metadata = includes(l, "metadata"),
	     uncommitted = includes(l, "uncommittedblobs");
	struct blob b;
	int64_t count = 0;

	buf_text(out, "<Blobs>");
	while (from && next_blob(v, from, again, uncommitted, &name, &b)) {
		char *cut = NULL;

		if (strncmp(name, prefix, n) != 0 || count == l->max)
			break;
		count++;
		free(from);
		if (l->delimiter && (cut = strstr(name + n, l->delimiter))) {
			size_t len =
			    (size_t)(cut - name) + strlen(l->delimiter);
			char *whole = xstrndup(name, len);

			buf_text(out, "<BlobPrefix>");
			add_name(out, whole);
			buf_text(out, "</BlobPrefix>");
			free(whole);
			from = after(name, len);
			again = false;
			free(name);
		} else {
			add_blob(out, name, &b, metadata);
			from = name;
			again = true;
		}
		name = NULL;
		blob_free(&b);
	}
	buf_text(out, "</Blobs>");
	add_marker(out, name && strncmp(name, prefix, n) == 0 ? name : NULL);
	if (name)
		blob_free(&b);
	free(name);
	free(from);
}

void
blob_list_blobs(struct blob_visit *v)
{
	struct listing l;

	if (!blob_allowed(v, ON_CONTAINER, "l"))
		return;
	if (!blob_container_exists(v->s, &v->account, v->container)) {
		blob_no_container(v);
		return;
	}
	if (read_listing(v, &l)) {
		begin_list(v, &l, true);
		list(v, &l);
		buf_text(&v->r->body, "</EnumerationResults>");
	}
	listing_free(&l);
}

/* -- containers ---------------------------------------------------------- */

static void
add_container(struct buf *out, jv one, bool metadata)
{
	char *name = arm_text(one, "name"), *tag = arm_text(one, "etag"),
	     *time = jv_dup_string(
		 jv_path(jv_copy(one), "properties.lastModifiedTime")),
	     *access = jv_dup_string(
		 jv_path(jv_copy(one), "properties.publicAccess"));
	int64_t modified = 0;

	if (time)
		(void)blob_iso_date(time, &modified);
	buf_text(out, "<Container>");
	blob_xml(out, "Name", name);
	buf_text(out, "<Properties>");
	add_times(
	    out, modified, tag ? strtoll(tag + (*tag == '"'), NULL, 16) : 1);
	buf_text(out, "<LeaseStatus>unlocked</LeaseStatus>"
		      "<LeaseState>available</LeaseState>");
	if (access && strcasecmp(access, "None") != 0)
		blob_xml(out, "PublicAccess",
		    strcasecmp(access, "Blob") == 0 ? "blob" : "container");
	buf_text(out, "<HasImmutabilityPolicy>false</HasImmutabilityPolicy>"
		      "<HasLegalHold>false</HasLegalHold></Properties>");
	if (metadata)
		add_metadata(out, jv_path(jv_copy(one), "properties.metadata"));
	buf_text(out, "</Container>");
	free(name);
	free(tag);
	free(time);
	free(access);
}

void
blob_list_containers(struct blob_visit *v)
{
	struct buf *out = &v->r->body;
	struct listing l;
	char *next = NULL;
	int64_t count = 0;
	jv all;

	if (!blob_allowed(v, ON_SERVICE, "l"))
		return;
	if (!read_listing(v, &l)) {
		listing_free(&l);
		return;
	}
	all = blob_container_list(v->s, &v->account);
	begin_list(v, &l, false);
	buf_text(out, "<Containers>");
	jv_array_foreach(all, i, one) {
		char *name = arm_text(one, "name");

		if ((!l.prefix ||
			strncmp(name, l.prefix, strlen(l.prefix)) == 0) &&
		    (!l.from || strcmp(name, l.from) >= 0) && !next) {
			if (count++ == l.max)
				next = xstrdup(name);
			else
				add_container(
				    out, one, includes(&l, "metadata"));
		}
		free(name);
		jv_free(one);
	}
	jv_free(all);
	buf_text(out, "</Containers>");
	add_marker(out, next);
	buf_text(out, "</EnumerationResults>");
	free(next);
	listing_free(&l);
}

/* -- the service --------------------------------------------------------- */

/* Whether deleted blobs are kept follows from the ARM resource. */
void
blob_service_properties(struct blob_visit *v)
{
	static const char metrics[] =
	    "<Version>1.0</Version><Enabled>false</Enabled>"
	    "<RetentionPolicy><Enabled>false</Enabled></RetentionPolicy>";
	struct buf *out = &v->r->body;
	jv policy;

	if (!blob_allowed(v, ON_SERVICE, "r"))
		return;
	policy = jv_path(blob_account_service(v->s, &v->account),
	    "properties.deleteRetentionPolicy");
	blob_xml_begin(v, 200);
	buf_printf(out,
	    "<StorageServiceProperties><Logging><Version>1.0</Version>"
	    "<Read>false</Read><Write>false</Write><Delete>false</Delete>"
	    "<RetentionPolicy><Enabled>false</Enabled></RetentionPolicy>"
	    "</Logging><HourMetrics>%s</HourMetrics>"
	    "<MinuteMetrics>%s</MinuteMetrics><Cors/><DeleteRetentionPolicy>",
	    metrics, metrics);
	if (jv_get_kind(policy) == JV_KIND_OBJECT &&
	    arm_is_true(policy, "enabled"))
		buf_printf(out, "<Enabled>true</Enabled><Days>%ld</Days>",
		    arm_number(policy, "days", 7));
	else
		buf_text(out, "<Enabled>false</Enabled>");
	buf_text(out, "</DeleteRetentionPolicy><StaticWebsite><Enabled>false"
		      "</Enabled></StaticWebsite></StorageServiceProperties>");
	jv_free(policy);
}
