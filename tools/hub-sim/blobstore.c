/*
 * blobstore.c: accounts, containers, blobs and their content; see blobroom.h.
 *
 * Content is rows of BLOB_CHUNK bytes, numbered within a block; of a whole one
 * the row has the number of the piece that content.c keeps.  A blob is a list
 * of blocks in order, so committing a list of blocks copies nothing.
 * What falls out of use is only marked, and goes little by little in
 * blob_tick(): deleting a gigabyte must not keep other clients waiting.
 */
#include "blobroom.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "store.h"

enum { GONE_AT_ONCE = 128 };

/* Public and fixed (CONTRACT 17.5). */
static const char emulator_key[] = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ"
				   "6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw"
				   "==";

const char blob_schema[] =
    "CREATE TABLE IF NOT EXISTS blob_container ("
    " key TEXT PRIMARY KEY, body TEXT);"
    "CREATE TABLE IF NOT EXISTS blob ("
    " id INTEGER PRIMARY KEY, container TEXT, name TEXT, append INTEGER,"
    " committed INTEGER, size INTEGER, etag INTEGER, created INTEGER,"
    " modified INTEGER, metadata TEXT, type TEXT, encoding TEXT,"
    " language TEXT, disposition TEXT, cache TEXT, md5 TEXT,"
    " UNIQUE (container, name));"
    "CREATE TABLE IF NOT EXISTS blob_part ("
    " blob INTEGER, start INTEGER, size INTEGER, block INTEGER,"
    " PRIMARY KEY (blob, start)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS blob_block ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT, blob INTEGER, name TEXT,"
    " state INTEGER, size INTEGER);"
    "CREATE INDEX IF NOT EXISTS blob_block_name ON blob_block (blob, name);"
    "CREATE INDEX IF NOT EXISTS blob_garbage ON blob_block (id)"
    " WHERE state = 3;"
    "CREATE TABLE IF NOT EXISTS blob_chunk (id INTEGER PRIMARY KEY, data BLOB);"
    "CREATE TRIGGER IF NOT EXISTS blob_gone AFTER DELETE ON blob BEGIN"
    " DELETE FROM blob_part WHERE blob = old.id;"
    " UPDATE blob_block SET state = 3 WHERE blob = old.id; END;"
    "CREATE TRIGGER IF NOT EXISTS blob_container_gone"
    " AFTER DELETE ON blob_container BEGIN"
    " DELETE FROM blob WHERE container = old.key; END;"
    "CREATE TRIGGER IF NOT EXISTS blob_resource_gone"
    " AFTER DELETE ON resource WHEN old.type ="
    " 'microsoft.storage/storageaccounts/blobservices/containers' BEGIN"
    " DELETE FROM blob WHERE container = old.key; END;";

const char *const blob_head_names[HEAD_COUNT] = { "Content-Type",
	"Content-Encoding", "Content-Language", "Content-Disposition",
	"Cache-Control", "Content-MD5" };

/* -- accounts ------------------------------------------------------------ */

bool
blob_account_find(struct sim *s, const char *name, struct blob_account *out)
{
	memset(out, 0, sizeof *out);
	if (strlen(name) >= sizeof out->name)
		return false;
	memcpy(out->name, name, strlen(name) + 1);
	out->emulator = strcmp(name, BLOB_EMULATOR) == 0;
	out->key =
	    out->emulator
		? xasprintf("/%s", name)
		: arm_find_global(s, "Microsoft.Storage/storageAccounts", name);
	return out->key != NULL;
}

void
blob_account_free(struct blob_account *a)
{
	free(a->key);
	a->key = NULL;
}

bool
blob_account_key(
    struct sim *s, const struct blob_account *a, int which, char out[96])
{
	jv keys;
	char *value;

	if (a->emulator) {
		memcpy(out, emulator_key, sizeof emulator_key);
		return which == 0;
	}
	keys = arm_keys_plain(s, a->key, "listKeys", jv_object());
	if (!jv_is_valid(keys)) {
		jv_free(keys);
		return false;
	}
	keys = jv_array_get(jv_object_get(keys, jv_string("keys")), which);
	value = arm_text(keys, "value");
	jv_free(keys);
	(void)snprintf(out, 96, "%s", value ? value : "");
	free(value);
	return *out != '\0';
}

jv
blob_account_body(struct sim *s, const struct blob_account *a)
{
	return a->emulator ? jv_null() : arm_load(s, a->key);
}

jv
blob_account_service(struct sim *s, const struct blob_account *a)
{
	char *key = xasprintf("%s/blobservices/default", a->key);
	jv body = arm_load(s, key);

	free(key);
	return body;
}

/* -- containers ---------------------------------------------------------- */

char *
blob_container_key(const struct blob_account *a, const char *container)
{
	return a->emulator ? xasprintf("%s/%s", a->key, container)
			   : xasprintf("%s/blobservices/default/containers/%s",
				 a->key, container);
}

jv
blob_container_load(
    struct sim *s, const struct blob_account *a, const char *container)
{
	char *key = blob_container_key(a, container);
	sqlite3_stmt *q;
	jv body;

	if (a->emulator) {
		q = sim_sql(s, "SELECT body FROM blob_container WHERE key = ?");
		sim_bind(q, 1, key);
		body = sim_step(s, q) == SQLITE_ROW ? arm_column(q, 0)
						    : jv_invalid();
	} else {
		body = arm_load(s, key);
	}
	free(key);
	return body;
}

bool
blob_container_exists(
    struct sim *s, const struct blob_account *a, const char *container)
{
	jv body = blob_container_load(s, a, container);
	bool is = jv_is_valid(body);

	jv_free(body);
	return is;
}

/* Written just now. */
static jv
stamped(struct sim *s, jv body)
{
	body = jv_put(body, "properties",
	    jv_put(arm_member(body, "properties"), "lastModifiedTime",
		arm_time(sim_now(s))));
	return jv_put(body, "etag",
	    jv_text("\"0x%llX\"", (unsigned long long)blob_next_etag(s)));
}

static void
keep_emulated(
    struct sim *s, const char *key, const char *container, jv properties)
{
	sqlite3_stmt *q =
	    sim_sql(s, "INSERT INTO blob_container VALUES (?, ?) ON CONFLICT"
		       " (key) DO UPDATE SET body = excluded.body");
	jv body = jv_put(jv_object(), "name", jv_string(container));

	sim_bind(q, 1, key);
	arm_bind(q, 2, stamped(s, jv_put(body, "properties", properties)));
	(void)sim_step(s, q);
}

/* A resource that is there gets its etag and time from here as well: its kind
 * would keep the time that it was made. */
jv
blob_container_store(struct sim *s, const struct blob_account *a,
    const char *container, jv properties)
{
	char *key = blob_container_key(a, container);
	struct arm_id id;
	jv body = jv_true();

	if (a->emulator) {
		keep_emulated(s, key, container, properties);
	} else if (!arm_id_parse(s, key, &id)) {
		jv_free(properties);
		body = arm_fail(400, "InvalidResourceName",
		    "The specifed resource name contains invalid characters.");
	} else {
		body = arm_put(s, id.id, "2023-05-01",
		    jv_put(jv_object(), "properties", properties));
		if (jv_is_valid(body)) {
			body = stamped(s, body);
			arm_store(s, &id, jv_copy(body));
		}
		arm_id_free(&id);
	}
	free(key);
	return body;
}

void
blob_container_delete(
    struct sim *s, const struct blob_account *a, const char *container)
{
	char *key = blob_container_key(a, container);
	sqlite3_stmt *q;

	if (a->emulator) {
		q = sim_sql(s, "DELETE FROM blob_container WHERE key = ?");
		sim_bind(q, 1, key);
		(void)sim_step(s, q);
	} else {
		(void)arm_delete(s, key);
	}
	free(key);
	sim_wake(s);
}

jv
blob_container_list(struct sim *s, const struct blob_account *a)
{
	sqlite3_stmt *q;
	jv list = jv_array();

	if (a->emulator)
		q = sim_sql(s, "SELECT body FROM blob_container ORDER BY key");
	else
		q = sim_sql(s,
		    "SELECT body FROM resource WHERE type = 'microsoft.storage/"
		    "storageaccounts/blobservices/containers'"
		    " AND substr(key, 1, length(?1) + 1) = ?1 || '/'"
		    " ORDER BY name");
	if (!a->emulator)
		sim_bind(q, 1, a->key);
	while (sim_step(s, q) == SQLITE_ROW)
		list = jv_array_append(list, arm_column(q, 0));
	return list;
}

/* -- blobs --------------------------------------------------------------- */

/* Ticks of 100 ns since the year 1, as the service's etags look; the count
 * tells apart what happens within one millisecond. */
int64_t
blob_next_etag(struct sim *s)
{
	return sim_now(s) * 10000 + INT64_C(621355968000000000) +
	       arm_count_up(s, "blob-etag") % 10000;
}

void
blob_read_row(sqlite3_stmt *q, int column, struct blob *b)
{
	b->id = sqlite3_column_int64(q, column);
	b->append = sqlite3_column_int(q, column + 1);
	b->committed = sqlite3_column_int(q, column + 2);
	b->size = (uint64_t)sqlite3_column_int64(q, column + 3);
	b->etag = sqlite3_column_int64(q, column + 4);
	b->created = sqlite3_column_int64(q, column + 5);
	b->modified = sqlite3_column_int64(q, column + 6);
	b->metadata = sim_text(q, column + 7);
	for (int i = 0; i < HEAD_COUNT; i++)
		b->head[i] = sim_text(q, column + 8 + i);
}

bool
blob_find(
    struct sim *s, const char *container_key, const char *name, struct blob *b)
{
	sqlite3_stmt *q = sim_sql(s, "SELECT " BLOB_COLUMNS " FROM blob"
				     " WHERE container = ? AND name = ?");

	memset(b, 0, sizeof *b);
	sim_bind(q, 1, container_key);
	sim_bind(q, 2, name);
	if (sim_step(s, q) != SQLITE_ROW)
		return false;
	blob_read_row(q, 0, b);
	return true;
}

void
blob_free(struct blob *b)
{
	free(b->metadata);
	for (int i = 0; i < HEAD_COUNT; i++)
		free(b->head[i]);
	memset(b, 0, sizeof *b);
}

static void
bind_row(sqlite3_stmt *q, const struct blob *b)
{
	(void)sqlite3_bind_int64(q, 1, b->id);
	(void)sqlite3_bind_int(q, 2, b->append);
	(void)sqlite3_bind_int(q, 3, b->committed);
	(void)sqlite3_bind_int64(q, 4, (sqlite3_int64)b->size);
	(void)sqlite3_bind_int64(q, 5, b->etag);
	(void)sqlite3_bind_int64(q, 6, b->created);
	(void)sqlite3_bind_int64(q, 7, b->modified);
	sim_bind(q, 8, b->metadata);
	for (int i = 0; i < HEAD_COUNT; i++)
		sim_bind(q, 9 + i, b->head[i]);
}

void
blob_insert(
    struct sim *s, const char *container_key, const char *name, struct blob *b)
{
	sqlite3_stmt *q =
	    sim_sql(s, "INSERT INTO blob (" BLOB_COLUMNS ", container, name)"
		       " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)");

	b->id = arm_count_up(s, "blob-id");
	b->etag = blob_next_etag(s);
	b->created = b->modified = sim_now(s);
	bind_row(q, b);
	sim_bind(q, 15, container_key);
	sim_bind(q, 16, name);
	(void)sim_step(s, q);
}

void
blob_update(struct sim *s, struct blob *b, bool new_id)
{
	sqlite3_stmt *q = sim_sql(s,
	    "UPDATE blob SET (" BLOB_COLUMNS ") = (?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
	    " WHERE id = ?");

	(void)sqlite3_bind_int64(q, 15, b->id);
	if (new_id)
		b->id = arm_count_up(s, "blob-id");
	b->etag = blob_next_etag(s);
	b->modified = sim_now(s);
	bind_row(q, b);
	(void)sim_step(s, q);
}

void
blob_delete(struct sim *s, int64_t id)
{
	sqlite3_stmt *q = sim_sql(s, "DELETE FROM blob WHERE id = ?");

	(void)sqlite3_bind_int64(q, 1, id);
	(void)sim_step(s, q);
	sim_wake(s);
}

/* -- content ------------------------------------------------------------- */

/* 2^24 rows of 256 KiB are more than any block. */
static int64_t
chunk_id(int64_t block, uint64_t n)
{
	return block * (1 << 24) + (int64_t)n;
}

/* data: of BLOB_CHUNK bytes at most; piece: where they are, -1: nowhere. */
static void
put_chunk(struct sim *s, int64_t id, struct span data, int64_t piece)
{
	sqlite3_stmt *q = sim_sql(s, "INSERT INTO blob_chunk VALUES (?, ?)");

	if (piece < 0 && data.len == BLOB_CHUNK) {
		piece = content_put(s, data.at);
		if (piece < 0) {
			store_fail(s, "blobs", strerror(errno));
			return;
		}
	}
	(void)sqlite3_bind_int64(q, 1, id);
	if (piece < 0) {
		(void)sqlite3_bind_blob(
		    q, 2, data.at, (int)data.len, SQLITE_STATIC);
	} else {
		(void)sqlite3_bind_int64(q, 2, piece);
		content_named(s, piece);
	}
	(void)sim_step(s, q);
}

static void
add_chunks(struct sim *s, int64_t block, uint64_t n, struct span content)
{
	while (content.len) {
		size_t len =
		    content.len < BLOB_CHUNK ? content.len : BLOB_CHUNK;

		put_chunk(s, chunk_id(block, n++),
		    (struct span){ content.at, len }, -1);
		content.at += len;
		content.len -= len;
	}
}

static int64_t
new_block(struct sim *s, int64_t blob, const char *name, enum block_state state,
    uint64_t size)
{
	sqlite3_stmt *q =
	    sim_sql(s, "INSERT INTO blob_block (blob, name, state, size)"
		       " VALUES (?, ?, ?, ?)");

	(void)sqlite3_bind_int64(q, 1, blob);
	sim_bind(q, 2, name);
	(void)sqlite3_bind_int(q, 3, (int)state);
	(void)sqlite3_bind_int64(q, 4, (sqlite3_int64)size);
	(void)sim_step(s, q);
	return sqlite3_last_insert_rowid(s->db);
}

int64_t
block_insert(struct sim *s, int64_t blob, const char *name,
    enum block_state state, struct span content)
{
	int64_t id = new_block(s, blob, name, state, content.len);

	add_chunks(s, id, 0, content);
	return id;
}

int64_t
block_adopt(struct sim *s, int64_t blob, const int64_t *piece, size_t count,
    struct span rest)
{
	int64_t id = new_block(
	    s, blob, NULL, BLOCK_USED, (uint64_t)count * BLOB_CHUNK + rest.len);

	for (size_t i = 0; i < count; i++)
		put_chunk(s, chunk_id(id, i), (struct span){ "", 0 }, piece[i]);
	add_chunks(s, id, count, rest);
	return id;
}

void
blob_add_part(
    struct sim *s, int64_t blob, uint64_t start, uint64_t size, int64_t block)
{
	sqlite3_stmt *q =
	    sim_sql(s, "INSERT INTO blob_part VALUES (?, ?, ?, ?)");

	(void)sqlite3_bind_int64(q, 1, blob);
	(void)sqlite3_bind_int64(q, 2, (sqlite3_int64)start);
	(void)sqlite3_bind_int64(q, 3, (sqlite3_int64)size);
	(void)sqlite3_bind_int64(q, 4, block);
	(void)sim_step(s, q);
}

static bool
chunk_bytes(
    struct sim *s, sqlite3_stmt *q, size_t skip, uint64_t max, struct buf *out)
{
	struct span data;
	size_t len;

	if (sqlite3_column_type(q, 0) == SQLITE_INTEGER)
		return content_get(s, sqlite3_column_int64(q, 0), skip,
		    max < BLOB_CHUNK ? (size_t)max : BLOB_CHUNK, out);
	data = sim_column(q, 0);
	len = data.len > skip ? data.len - skip : 0;
	if (len > max)
		len = (size_t)max;
	buf_add(out, data.at + skip, len);
	return len > 0;
}

/* Steps by itself: a failure of the last turn must not end a long reply, and
 * nothing may stay open that holds back the write-ahead log. */
bool
blob_bytes(
    struct sim *s, int64_t blob, uint64_t offset, uint64_t max, struct buf *out)
{
	sqlite3_stmt *q =
	    sim_sql(s, "SELECT block, ?2 - start, size FROM blob_part"
		       " WHERE blob = ?1 AND start <= ?2"
		       " ORDER BY start DESC LIMIT 1");
	uint64_t in = 0, size = 0;
	int64_t block = 0;
	bool found;

	(void)sqlite3_bind_int64(q, 1, blob);
	(void)sqlite3_bind_int64(q, 2, (sqlite3_int64)offset);
	found = sqlite3_step(q) == SQLITE_ROW;
	if (found) {
		block = sqlite3_column_int64(q, 0);
		in = (uint64_t)sqlite3_column_int64(q, 1);
		size = (uint64_t)sqlite3_column_int64(q, 2);
	}
	(void)sqlite3_reset(q);
	if (!found || in >= size || max == 0)
		return false;
	q = sim_sql(s, "SELECT data FROM blob_chunk WHERE id = ?");
	(void)sqlite3_bind_int64(q, 1, chunk_id(block, in / BLOB_CHUNK));
	found = false;
	if (sqlite3_step(q) == SQLITE_ROW)
		found = chunk_bytes(s, q, in % BLOB_CHUNK, max, out);
	(void)sqlite3_reset(q);
	return found;
}

int64_t
blob_tick(struct sim *s)
{
	sqlite3_stmt *q =
	    sim_sql(s, "SELECT id FROM blob_block WHERE state = 3 LIMIT 1");
	int64_t block;
	int n = 0;

	if (sim_step(s, q) != SQLITE_ROW)
		return -1;
	block = sqlite3_column_int64(q, 0);
	q = sim_sql(s,
	    "DELETE FROM blob_chunk WHERE id IN (SELECT id FROM blob_chunk"
	    " WHERE id >= ?1 AND id < ?2 LIMIT ?3) RETURNING data");
	(void)sqlite3_bind_int64(q, 1, chunk_id(block, 0));
	(void)sqlite3_bind_int64(q, 2, chunk_id(block + 1, 0));
	(void)sqlite3_bind_int(q, 3, GONE_AT_ONCE);
	while (sim_step(s, q) == SQLITE_ROW) {
		if (sqlite3_column_type(q, 0) == SQLITE_INTEGER)
			content_drop(s, sqlite3_column_int64(q, 0));
		n++;
	}
	if (n < GONE_AT_ONCE) {
		q = sim_sql(s, "DELETE FROM blob_block WHERE id = ?");
		(void)sqlite3_bind_int64(q, 1, block);
		(void)sim_step(s, q);
	}
	return store_failed(s) ? 1000 : 0; /* a full disk needs time */
}

char *
blob_connection_string(struct sim *s)
{
	sqlite3_stmt *q = sim_sql(s,
	    "SELECT name FROM resource WHERE type ="
	    " 'microsoft.storage/storageaccounts' ORDER BY n LIMIT 1");
	struct blob_account a;
	char *name, *text = NULL, key[96];

	if (sim_step(s, q) != SQLITE_ROW)
		return NULL;
	name = span_dup(sim_column(q, 0));
	if (blob_account_find(s, name, &a) && blob_account_key(s, &a, 0, key))
		text =
		    xasprintf("DefaultEndpointsProtocol=https;AccountName=%s;"
			      "AccountKey=%s;BlobEndpoint=https://"
			      "%s.blob.core.windows.net/;EndpointSuffix="
			      "core.windows.net",
			name, key, name);
	blob_account_free(&a);
	free(name);
	return text;
}
