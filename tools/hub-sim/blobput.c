/* blobput.c: what is written to a blob (CONTRACT 17.3). */
#include "blobroom.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* -- what all of them check ---------------------------------------------- */

/* Base64 of so many bytes as it should be; -1: it is not. */
static int
base64_bytes(const char *text, unsigned char *out, size_t room)
{
	size_t n = strlen(text), pad = n - strcspn(text, "=");
	int len;

	if (n == 0 || n % 4 || n / 4 * 3 > room || pad > 2 ||
	    (pad == 2 && text[n - 1] != '='))
		return -1;
	len = EVP_DecodeBlock(out, (const unsigned char *)text, (int)n);
	if (len < 0 || strpbrk(text, "\r\n\t "))
		return -1;
	return len - (text[n - 1] == '=') - (text[n - 2] == '=');
}

/* The MD5 of the body in base64, malloc'd; NULL: answered. */
static char *
checked_md5(struct blob_visit *v)
{
	const char *given = v->q->header(v->q, "content-md5");
	unsigned char md5[EVP_MAX_MD_SIZE], sent[96];
	struct buf text = BUF_INIT;

	if (!EVP_Digest(
		v->q->body.at, v->q->body.len, md5, NULL, EVP_md5(), NULL))
		die(LOCAL_FAILURE, NULL, "MD5 failed");
	buf_base64(&text, md5, 16);
	if (!given || strcmp(given, text.at) == 0)
		return text.at;
	if (base64_bytes(given, sent, sizeof sent) != 16)
		blob_fail(v, 400, "InvalidMd5",
		    "The MD5 value specified in the request is invalid. MD5 "
		    "value must be 128 bits and base64 encoded.");
	else
		blob_fail(v, 400, "Md5Mismatch",
		    "The MD5 value specified in the request did not match "
		    "with the MD5 value calculated by the server.");
	buf_free(&text);
	return NULL;
}

static void
too_large(struct blob_visit *v, uint64_t limit)
{
	char text[24];

	(void)snprintf(text, sizeof text, "%llu", (unsigned long long)limit);
	blob_fail_with(v, 413, "RequestBodyTooLarge",
	    "The request body is too large and exceeds the maximum "
	    "permissible limit.",
	    "MaxLimit", text);
}

static void
wrong_type(struct blob_visit *v)
{
	blob_fail(v, 409, "InvalidBlobType",
	    "The blob type is invalid for this operation.");
}

/* A version's number, where the account keeps versions. */
static void
say_version(struct blob_visit *v)
{
	jv on = jv_path(blob_account_service(v->s, &v->account),
	    "properties.isVersioningEnabled");
	char when[32];

	if (jv_get_kind(on) == JV_KIND_TRUE) {
		sim_iso_time(v->now, when);
		sim_head(v->r, "x-ms-version-id", "%s", when);
	}
	jv_free(on);
}

static void
say_written(struct blob_visit *v, int status, const struct blob *b)
{
	v->r->status = status;
	blob_say_etag(v, b->etag, b->modified);
	sim_head(v->r, "x-ms-request-server-encrypted", "true");
	say_version(v);
}

/* What x-ms-blob-... says of the content; with others also what the plain
 * headers of this request do. */
static void
read_heads(struct blob_visit *v, struct blob *b, bool plain)
{
	for (int i = 0; i < HEAD_COUNT; i++) {
		char *name = xasprintf("x-ms-blob-%s", blob_head_names[i]);
		const char *value = v->q->header(v->q, name);

		if (!value && plain && i != HEAD_MD5 && i != HEAD_DISPOSITION)
			value = v->q->header(v->q, blob_head_names[i]);
		if (value && *value)
			b->head[i] = xstrdup(value);
		free(name);
	}
}

/* -- put blob ------------------------------------------------------------ */

static void
put_blob(struct blob_visit *v, const struct blob *old)
{
	const char *type = v->q->header(v->q, "x-ms-blob-type");
	struct blob b = { .committed = true, .size = v->q->body.len };
	char *md5 = NULL;
	int64_t block;

	if (v->q->header(v->q, "x-ms-copy-source")) {
		blob_missing(v, "copies of blobs");
		return;
	}
	if (!type) {
		blob_fail_with(v, 400, "MissingRequiredHeader",
		    "An HTTP header that's mandatory for this request is not "
		    "specified.",
		    "HeaderName", "x-ms-blob-type");
		return;
	}
	b.append = strcasecmp(type, "AppendBlob") == 0;
	if (strcasecmp(type, "PageBlob") == 0)
		blob_missing(v, "page blobs");
	else if (!b.append && strcasecmp(type, "BlockBlob") != 0)
		blob_bad_header(v, "x-ms-blob-type", type);
	else if (b.append && b.size)
		blob_bad_header(
		    v, "Content-Length", v->q->header(v->q, "content-length"));
	else if (blob_condition(
		     v, old->committed ? old->etag : 0, old->modified, false) &&
		 (b.metadata = blob_metadata(v)) && (md5 = checked_md5(v))) {
		read_heads(v, &b, true);
		if (!b.head[HEAD_TYPE])
			b.head[HEAD_TYPE] = xstrdup("application/octet-stream");
		if (!b.append && !b.head[HEAD_MD5])
			b.head[HEAD_MD5] = xstrdup(md5);
		if (old->id)
			blob_delete(v->s, old->id);
		blob_insert(v->s, v->container_key, v->name, &b);
		if (b.size) {
			block = block_insert(
			    v->s, b.id, NULL, BLOCK_USED, v->q->body);
			blob_add_part(v->s, b.id, 0, b.size, block);
		}
		say_written(v, 201, &b);
		if (!b.append)
			sim_head(v->r, "Content-MD5", "%s", md5);
	}
	free(md5);
	blob_free(&b);
}

/* -- append -------------------------------------------------------------- */

static bool
position_is(struct blob_visit *v, const struct blob *b)
{
	const char *at = v->q->header(v->q, "x-ms-blob-condition-appendpos"),
		   *max = v->q->header(v->q, "x-ms-blob-condition-maxsize");
	char *end;

	if (at && (strtoull(at, &end, 10) != b->size || *end)) {
		blob_fail(v, 412, "AppendPositionConditionNotMet",
		    "The append position condition specified was not met.");
		return false;
	}
	if (max && b->size + v->q->body.len > strtoull(max, &end, 10)) {
		blob_fail(v, 412, "MaxBlobSizeConditionNotMet",
		    "The max blob size condition specified was not met.");
		return false;
	}
	return true;
}

static int64_t
count_blocks(struct sim *s, int64_t blob, enum block_state state)
{
	sqlite3_stmt *q = sim_sql(
	    s, "SELECT count(*) FROM blob_block WHERE blob = ? AND state = ?");

	(void)sqlite3_bind_int64(q, 1, blob);
	(void)sqlite3_bind_int(q, 2, (int)state);
	return sim_step(s, q) == SQLITE_ROW ? sqlite3_column_int64(q, 0) : 0;
}

/* Later versions of the service take more at once. */
static uint64_t
append_limit(struct blob_visit *v)
{
	const char *version = v->q->header(v->q, "x-ms-version");

	return sim_doubt_is("append-block-max", "version") && version &&
		       strcmp(version, "2022-11-02") >= 0
		   ? 100 << 20
		   : 4 << 20;
}

static void
append(struct blob_visit *v, struct blob *b)
{
	char *md5 = NULL;
	int64_t count;
	uint64_t at = b->size, len = v->q->body.len;

	if (!b->committed)
		blob_no_blob(v);
	else if (!b->append)
		wrong_type(v);
	else if (len == 0)
		blob_bad_header(v, "Content-Length", "0");
	else if (len > append_limit(v))
		too_large(v, append_limit(v));
	else if (blob_condition(v, b->etag, b->modified, false) &&
		 position_is(v, b) && (md5 = checked_md5(v))) {
		count = count_blocks(v->s, b->id, BLOCK_USED);
		if (count >= BLOB_BLOCKS_MAX) {
			blob_fail(v, 409, "BlockCountExceedsLimit",
			    "The committed block count cannot exceed the "
			    "maximum limit of 50,000 blocks.");
		} else {
			blob_add_part(v->s, b->id, at, len,
			    block_insert(
				v->s, b->id, NULL, BLOCK_USED, v->q->body));
			b->size += len;
			blob_update(v->s, b, false);
			say_written(v, 201, b);
			sim_head(v->r, "Content-MD5", "%s", md5);
			sim_head(v->r, "x-ms-blob-append-offset", "%llu",
			    (unsigned long long)at);
			sim_head(v->r, "x-ms-blob-committed-block-count",
			    "%lld", (long long)count + 1);
		}
	}
	free(md5);
}

/* -- blocks -------------------------------------------------------------- */

/* Ids of open blocks are all of one length; the name is that of any. */
static bool
same_length(struct blob_visit *v, int64_t blob, const char *id)
{
	sqlite3_stmt *q =
	    sim_sql(v->s, "SELECT length(name) FROM blob_block WHERE blob = ?"
			  " AND state = 0 AND name IS NOT NULL LIMIT 1");

	(void)sqlite3_bind_int64(q, 1, blob);
	return sim_step(v->s, q) != SQLITE_ROW ||
	       (size_t)sqlite3_column_int(q, 0) == strlen(id);
}

static void
store_block(struct blob_visit *v, struct blob *b, const char *id)
{
	sqlite3_stmt *q;

	if (!b->id)
		blob_insert(v->s, v->container_key, v->name, b);
	q = sim_sql(v->s, "UPDATE blob_block SET state = 3"
			  " WHERE blob = ? AND name = ? AND state = 0");
	(void)sqlite3_bind_int64(q, 1, b->id);
	sim_bind(q, 2, id);
	(void)sim_step(v->s, q);
	(void)block_insert(v->s, b->id, id, BLOCK_OPEN, v->q->body);
}

static void
put_block(struct blob_visit *v, struct blob *b)
{
	char *id = sim_query(v->q, "blockid"), *md5 = NULL;
	unsigned char raw[96];
	int len = id ? base64_bytes(id, raw, sizeof raw) : -1;

	if (v->q->header(v->q, "x-ms-copy-source"))
		blob_missing(v, "copies of blobs");
	else if (!id)
		blob_fail_with(v, 400, "MissingRequiredQueryParameter",
		    "A query parameter that's mandatory for this request is "
		    "not specified.",
		    "QueryParameterName", "blockid");
	else if (len <= 0 || len > 64)
		blob_bad_query(v, "blockid", id);
	else if (b->committed && b->append)
		wrong_type(v);
	else if (v->q->body.len == 0)
		blob_bad_header(v, "Content-Length", "0");
	else if (b->id && !same_length(v, b->id, id))
		blob_fail(v, 400, "InvalidBlobOrBlock",
		    "The specified blob or block content is invalid.");
	else if (b->id &&
		 count_blocks(v->s, b->id, BLOCK_OPEN) >= 2L * BLOB_BLOCKS_MAX)
		blob_fail(v, 409, "BlockCountExceedsLimit",
		    "The uncommitted block count cannot exceed the maximum "
		    "limit of 100,000 blocks.");
	else if ((md5 = checked_md5(v))) {
		store_block(v, b, id);
		v->r->status = 201;
		sim_head(v->r, "Content-MD5", "%s", md5);
		sim_head(v->r, "x-ms-request-server-encrypted", "true");
	}
	free(id);
	free(md5);
}

/* -- the list of blocks -------------------------------------------------- */

struct choice {
	int64_t block;
	uint64_t size;
};

struct choices {
	struct choice *list;
	size_t count, cap;
};

static void
bad_xml(struct blob_visit *v)
{
	blob_fail(v, 400, "InvalidXmlDocument",
	    "XML specified is not syntactically valid.");
}

/* The block of that name, among the open ones, the committed or both. */
static bool
choose(struct blob_visit *v, int64_t blob, struct span id, char kind,
    struct choices *c)
{
	sqlite3_stmt *q = sim_sql(v->s,
	    "SELECT id, size FROM blob_block WHERE blob = ?1 AND name = ?2"
	    " AND (state = 0 AND ?3 <> 'C' OR state = 1 AND ?3 <> 'U')"
	    " ORDER BY state LIMIT 1");
	char *text = span_dup(id), which[2] = { kind, '\0' };
	unsigned char raw[96];
	int len = base64_bytes(text, raw, sizeof raw);

	(void)sqlite3_bind_int64(q, 1, blob);
	sim_bind(q, 2, text);
	sim_bind(q, 3, which);
	free(text);
	if (len <= 0 || len > 64) {
		blob_fail(v, 400, "InvalidBlockId",
		    "The specified block ID is invalid. The block ID must be "
		    "Base64-encoded.");
		return false;
	}
	if (sim_step(v->s, q) != SQLITE_ROW) {
		blob_fail(v, 400, "InvalidBlockList",
		    "The specified block list is invalid.");
		return false;
	}
	if (c->count == BLOB_BLOCKS_MAX) {
		blob_fail(v, 400, "BlockListTooLong",
		    "The block list may not contain more than 50,000 "
		    "blocks.");
		return false;
	}
	if (c->count == c->cap) {
		c->cap = c->cap ? 2 * c->cap : 64;
		c->list = xrealloc(c->list, c->cap * sizeof *c->list);
	}
	c->list[c->count].block = sqlite3_column_int64(q, 0);
	c->list[c->count++].size = (uint64_t)sqlite3_column_int64(q, 1);
	return true;
}

static const char *
skip_blanks(const char *at)
{
	return at + strspn(at, " \t\r\n");
}

/* at text, NULL if something else is there. */
static const char *
past(const char *at, const char *text)
{
	return at && strncmp(at, text, strlen(text)) == 0 ? at + strlen(text)
							  : NULL;
}

/* <BlockList><Latest>id</Latest>...</BlockList>; false: answered. */
static bool
read_list(struct blob_visit *v, int64_t blob, const char *at, struct choices *c)
{
	static const char *const kinds[] = { "Committed", "Uncommitted",
		"Latest" };
	const char *next;

	at = past(at, "\xef\xbb\xbf") ? at + 3 : at;
	if (past(at = skip_blanks(at), "<?xml")) {
		at = strstr(at, "?>");
		at = at ? skip_blanks(at + 2) : "";
	}
	if ((next = past(at, "<BlockList/>")) ||
	    (next = past(at, "<BlockList />"))) {
		if (*skip_blanks(next))
			bad_xml(v);
		return v->r->status == 0;
	}
	at = past(at, "<BlockList>");
	while (at && !past(at = skip_blanks(at), "</BlockList>")) {
		const char *end = NULL, *from = NULL;
		char close[24];
		size_t i;

		for (i = 0; i < 3 && !from; i++) {
			(void)snprintf(close, sizeof close, "<%s>", kinds[i]);
			from = past(at, close);
		}
		if (from) {
			(void)snprintf(
			    close, sizeof close, "</%s>", kinds[i - 1]);
			end = strstr(from, close);
		}
		if (!end) {
			at = NULL;
			break;
		}
		while (*from == ' ' || *from == '\n' || *from == '\r')
			from++;
		if (!choose(v, blob,
			(struct span){ from, strcspn(from, "< \r\n") },
			*kinds[i - 1], c))
			return false;
		at = end + strlen(close);
	}
	if (!at || *skip_blanks(at + strlen("</BlockList>"))) {
		bad_xml(v);
		return false;
	}
	return true;
}

static void
use_block(struct sim *s, int64_t block, int64_t blob)
{
	sqlite3_stmt *q = sim_sql(s, "UPDATE blob_block SET blob = ?, state = 1"
				     " WHERE id = ?");

	(void)sqlite3_bind_int64(q, 1, blob);
	(void)sqlite3_bind_int64(q, 2, block);
	(void)sim_step(s, q);
}

/* All that the blob had goes, but for what is chosen: no content is copied. */
static void
commit(struct blob_visit *v, struct blob *b, const struct choices *c)
{
	int64_t before = b->id;
	sqlite3_stmt *q;
	uint64_t at = 0;

	for (size_t i = 0; i < c->count; i++)
		at += c->list[i].size;
	b->size = at;
	b->committed = true;
	b->append = false;
	if (before)
		blob_update(v->s, b, true);
	else
		blob_insert(v->s, v->container_key, v->name, b);
	q = sim_sql(v->s, "DELETE FROM blob_part WHERE blob = ?");
	(void)sqlite3_bind_int64(q, 1, before);
	(void)sim_step(v->s, q);
	q = sim_sql(v->s, "UPDATE blob_block SET state = 3 WHERE blob = ?");
	(void)sqlite3_bind_int64(q, 1, before ? before : -1);
	(void)sim_step(v->s, q);
	at = 0;
	for (size_t i = 0; i < c->count; i++) {
		use_block(v->s, c->list[i].block, b->id);
		blob_add_part(
		    v->s, b->id, at, c->list[i].size, c->list[i].block);
		at += c->list[i].size;
	}
	sim_wake(v->s);
}

static void
put_block_list(struct blob_visit *v, struct blob *old)
{
	struct choices c = { 0 };
	struct blob b = { .id = old->id, .created = old->created };
	char *text = span_dup(v->q->body), *md5 = NULL;

	if (strlen(text) != v->q->body.len)
		bad_xml(v);
	else if (old->committed && old->append)
		wrong_type(v);
	else if (blob_condition(
		     v, old->committed ? old->etag : 0, old->modified, false) &&
		 (b.metadata = blob_metadata(v)) && (md5 = checked_md5(v)) &&
		 read_list(v, old->id, text, &c)) {
		read_heads(v, &b, false);
		if (!b.head[HEAD_TYPE])
			b.head[HEAD_TYPE] = xstrdup("application/octet-stream");
		commit(v, &b, &c);
		say_written(v, 201, &b);
	}
	free(c.list);
	free(text);
	free(md5);
	blob_free(&b);
}

/* -- metadata and properties --------------------------------------------- */

static void
set_metadata(struct blob_visit *v, struct blob *b)
{
	char *metadata;

	if (!b->committed)
		blob_no_blob(v);
	else if (blob_condition(v, b->etag, b->modified, false) &&
		 (metadata = blob_metadata(v))) {
		free(b->metadata);
		b->metadata = metadata;
		blob_update(v->s, b, false);
		say_written(v, 200, b);
	}
}

/* What is not named is cleared. */
static void
set_properties(struct blob_visit *v, struct blob *b)
{
	if (!b->committed) {
		blob_no_blob(v);
	} else if (blob_condition(v, b->etag, b->modified, false)) {
		for (int i = 0; i < HEAD_COUNT; i++) {
			free(b->head[i]);
			b->head[i] = NULL;
		}
		read_heads(v, b, false);
		blob_update(v->s, b, false);
		say_written(v, 200, b);
	}
}

/* -- requests ------------------------------------------------------------ */

void
blob_write(struct blob_visit *v)
{
	const char *what = v->comp ? v->comp : "", *letters = "w";
	bool makes = strcasecmp(what, "metadata") != 0 &&
		     strcasecmp(what, "properties") != 0;
	struct blob b;
	bool there = blob_find(v->s, v->container_key, v->name, &b);

	if (strcasecmp(what, "appendblock") == 0)
		letters = "aw";
	else if (makes && !(there && b.committed))
		letters = "cw";
	if (!blob_allowed(v, ON_BLOB, letters))
		;
	else if (!blob_container_exists(v->s, &v->account, v->container))
		blob_no_container(v);
	else if (!*what)
		put_blob(v, &b);
	else if (strcasecmp(what, "block") == 0)
		put_block(v, &b);
	else if (strcasecmp(what, "blocklist") == 0)
		put_block_list(v, &b);
	else if (strcasecmp(what, "appendblock") == 0)
		append(v, &b);
	else if (strcasecmp(what, "metadata") == 0)
		set_metadata(v, &b);
	else
		set_properties(v, &b);
	blob_free(&b);
}

void
blob_remove_one(struct blob_visit *v)
{
	const char *snapshots = v->q->header(v->q, "x-ms-delete-snapshots");
	struct blob b = { 0 };
	jv kept;

	if (!blob_allowed(v, ON_BLOB, "d"))
		return;
	if (!blob_container_exists(v->s, &v->account, v->container))
		blob_no_container(v);
	else if (!blob_find(v->s, v->container_key, v->name, &b) ||
		 !b.committed)
		blob_no_blob(v);
	else if (snapshots && strcasecmp(snapshots, "include") != 0 &&
		 strcasecmp(snapshots, "only") != 0)
		blob_bad_header(v, "x-ms-delete-snapshots", snapshots);
	else if (blob_condition(v, b.etag, b.modified, false)) {
		/* Of its snapshots there are none. */
		if (!snapshots || strcasecmp(snapshots, "only") != 0)
			blob_delete(v->s, b.id);
		kept = jv_path(blob_account_service(v->s, &v->account),
		    "properties.deleteRetentionPolicy.enabled");
		v->r->status = 202;
		sim_head(v->r, "x-ms-delete-type-permanent", "%s",
		    jv_get_kind(kept) == JV_KIND_TRUE ? "false" : "true");
		say_version(v);
		jv_free(kept);
	}
	blob_free(&b);
}
