/* blobget.c: what is read of a blob (CONTRACT 17.3). */
#include "blobroom.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <strings.h>

/* A reply's body, read while it is sent. */
struct content {
	struct sim_stream stream; /* first */
	int64_t blob;
	uint64_t at;
};

static bool
more(struct sim *s, struct sim_stream *st, struct buf *out)
{
	struct content *c = (struct content *)st;

	if (!blob_bytes(s, c->blob, c->at, st->left, out))
		return false; /* it was replaced or deleted meanwhile */
	c->at += out->len;
	return true;
}

static void
end(struct sim_stream *st)
{
	free(st);
}

static void
send(struct blob_visit *v, const struct blob *b, uint64_t at, uint64_t len)
{
	struct content *c;

	if (len == 0)
		return;
	c = xcalloc(1, sizeof *c);
	c->stream.left = len;
	c->stream.more = more;
	c->stream.end = end;
	c->blob = b->id;
	c->at = at;
	v->r->stream = &c->stream;
	v->r->content_type = ""; /* say_heads() did */
}

/* 1: a range; 0: none is asked for; -1: answered. */
static int
read_range(struct blob_visit *v, uint64_t size, uint64_t *from, uint64_t *to)
{
	const char *name = "x-ms-range", *text = v->q->header(v->q, name), *at;
	char *stop;

	if (!text)
		text = v->q->header(v->q, name = "Range");
	if (!text || v->head)
		return 0;
	at = text + 6;
	if (strncasecmp(text, "bytes=", 6) != 0 || *at < '0' || *at > '9' ||
	    strlen(text) > 48) {
		blob_bad_header(v, name, text);
		return -1;
	}
	*from = strtoull(at, &stop, 10);
	*to = size ? size - 1 : 0;
	if (*stop != '-' || (stop[1] && (stop[1] < '0' || stop[1] > '9'))) {
		blob_bad_header(v, name, text);
		return -1;
	}
	if (stop[1]) {
		uint64_t last = strtoull(stop + 1, &stop, 10);

		if (*stop || last < *from) {
			blob_bad_header(v, name, text);
			return -1;
		}
		if (last < *to)
			*to = last;
	}
	if (*from >= size) {
		blob_fail(v, 416, "InvalidRange",
		    "The range specified is invalid for the current size of "
		    "the resource.");
		sim_head(v->r, "Content-Range", "bytes */%llu",
		    (unsigned long long)size);
		return -1;
	}
	return 1;
}

/* The MD5 of a range, for who asks and for no more than the service gives. */
static bool
say_range_md5(
    struct blob_visit *v, const struct blob *b, uint64_t from, uint64_t to)
{
	const char *asked = v->q->header(v->q, "x-ms-range-get-content-md5");
	struct buf data = BUF_INIT, text = BUF_INIT;
	unsigned char md5[EVP_MAX_MD_SIZE];

	if (!asked || strcasecmp(asked, "true") != 0)
		return true;
	if (to - from >= 4 << 20) {
		blob_fail(v, 400, "OutOfRangeInput",
		    "One of the request inputs is out of range.");
		return false;
	}
	while (data.len <= to - from && blob_bytes(v->s, b->id, from + data.len,
					    to - from + 1 - data.len, &data))
		;
	if (EVP_Digest(data.at, data.len, md5, NULL, EVP_md5(), NULL)) {
		buf_base64(&text, md5, 16);
		sim_head(v->r, "Content-MD5", "%s", text.at);
	}
	buf_wipe(&data);
	buf_free(&text);
	return true;
}

/* What the blob is, with what a SAS wants said instead. */
static void
say_heads(struct blob_visit *v, const struct blob *b, bool ranged)
{
	static const char *const instead[HEAD_COUNT] = { "rsct", "rsce", "rscl",
		"rscd", "rscc", NULL };
	char *sig = sim_query(v->q, "sig");

	for (int i = 0; i < HEAD_COUNT; i++) {
		char *other =
		    sig && instead[i] ? sim_query(v->q, instead[i]) : NULL;
		const char *value = other ? other : b->head[i];

		if (value && i == HEAD_MD5 && ranged)
			sim_head(v->r, "x-ms-blob-content-md5", "%s", value);
		else if (value)
			sim_head(v->r, blob_head_names[i], "%s", value);
		free(other);
	}
	free(sig);
}

static int64_t
count_parts(struct sim *s, int64_t blob)
{
	sqlite3_stmt *q =
	    sim_sql(s, "SELECT count(*) FROM blob_part WHERE blob = ?");

	(void)sqlite3_bind_int64(q, 1, blob);
	return sim_step(s, q) == SQLITE_ROW ? sqlite3_column_int64(q, 0) : 0;
}

static void
say_blob(struct blob_visit *v, const struct blob *b)
{
	char when[32];

	sim_http_time(b->created, when);
	blob_say_etag(v, b->etag, b->modified);
	blob_say_metadata(v, b->metadata);
	sim_head(v->r, "x-ms-creation-time", "%s", when);
	sim_head(v->r, "x-ms-blob-type", "%s",
	    b->append ? "AppendBlob" : "BlockBlob");
	sim_head(v->r, "x-ms-lease-status", "unlocked");
	sim_head(v->r, "x-ms-lease-state", "available");
	sim_head(v->r, "x-ms-server-encrypted", "true");
	sim_head(v->r, "Accept-Ranges", "bytes");
	if (b->append)
		sim_head(v->r, "x-ms-blob-committed-block-count", "%lld",
		    (long long)count_parts(v->s, b->id));
	else if (v->head) {
		sim_head(v->r, "x-ms-access-tier", "Hot");
		sim_head(v->r, "x-ms-access-tier-inferred", "true");
	}
}

/* The blob, or false: answered. */
static bool
readable(struct blob_visit *v, struct blob *b, bool uncommitted)
{
	memset(b, 0, sizeof *b);
	if (!blob_allowed(v, ON_BLOB, "r"))
		return false;
	if (!blob_container_exists(v->s, &v->account, v->container))
		blob_no_container(v);
	else if (!blob_find(v->s, v->container_key, v->name, b) ||
		 (!b->committed && !uncommitted))
		blob_no_blob(v);
	else
		return true;
	return false;
}

void
blob_get(struct blob_visit *v)
{
	struct blob b;
	uint64_t from = 0, to = 0;
	int ranged = -1;

	if (!readable(v, &b, false) ||
	    !blob_condition(v, b.etag, b.modified, true) ||
	    (!v->comp && (ranged = read_range(v, b.size, &from, &to)) < 0) ||
	    (ranged > 0 && !say_range_md5(v, &b, from, to))) {
		blob_free(&b);
		return;
	}
	v->r->status = ranged > 0 ? 206 : 200;
	say_blob(v, &b);
	if (!v->comp) { /* and not metadata alone */
		say_heads(v, &b, ranged > 0);
		if (ranged > 0)
			sim_head(v->r, "Content-Range", "bytes %llu-%llu/%llu",
			    (unsigned long long)from, (unsigned long long)to,
			    (unsigned long long)b.size);
		send(v, &b, from, ranged > 0 ? to - from + 1 : b.size);
	}
	blob_free(&b);
}

/* -- the list of blocks -------------------------------------------------- */

static void
add_block(struct buf *out, sqlite3_stmt *q)
{
	struct span name = sim_column(q, 0);

	buf_text(out, "<Block><Name>");
	blob_xml_text(out, name);
	buf_printf(out, "</Name><Size>%lld</Size></Block>",
	    (long long)sqlite3_column_int64(q, 1));
}

void
blob_get_block_list(struct blob_visit *v)
{
	char *kind = sim_query(v->q, "blocklisttype");
	bool all = kind && strcasecmp(kind, "all") == 0,
	     open = all || (kind && strcasecmp(kind, "uncommitted") == 0),
	     used = all || !kind || strcasecmp(kind, "committed") == 0;
	struct buf *out = &v->r->body;
	struct blob b;
	sqlite3_stmt *q;

	if (!readable(v, &b, true))
		goto out;
	if (!open && !used) {
		blob_bad_query(v, "blocklisttype", kind);
		goto out;
	}
	if (b.append) {
		blob_fail(v, 409, "InvalidBlobType",
		    "The blob type is invalid for this operation.");
		goto out;
	}
	if (b.committed) {
		blob_say_etag(v, b.etag, b.modified);
		sim_head(v->r, "x-ms-blob-content-length", "%llu",
		    (unsigned long long)b.size);
	}
	blob_xml_begin(v, 200);
	buf_text(out, "<BlockList>");
	if (used) {
		buf_text(out, "<CommittedBlocks>");
		q = sim_sql(v->s,
		    "SELECT b.name, p.size FROM blob_part p JOIN blob_block b"
		    " ON b.id = p.block WHERE p.blob = ? AND b.name IS NOT NULL"
		    " ORDER BY p.start");
		(void)sqlite3_bind_int64(q, 1, b.id);
		while (sim_step(v->s, q) == SQLITE_ROW)
			add_block(out, q);
		buf_text(out, "</CommittedBlocks>");
	}
	if (open) {
		buf_text(out, "<UncommittedBlocks>");
		q = sim_sql(v->s,
		    "SELECT name, size FROM blob_block WHERE blob = ?"
		    " AND state = 0 ORDER BY name");
		(void)sqlite3_bind_int64(q, 1, b.id);
		while (sim_step(v->s, q) == SQLITE_ROW)
			add_block(out, q);
		buf_text(out, "</UncommittedBlocks>");
	}
	buf_text(out, "</BlockList>");
out:
	blob_free(&b);
	free(kind);
}
