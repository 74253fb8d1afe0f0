/* blobseam.c: blobs for the other rooms; see blob.h. */
#include "blobroom.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

static const char *const suffixes[] = { ".blob.core.windows.net",
	".blob.core.usgovcloudapi.net", ".blob.core.chinacloudapi.cn", NULL };

/* A container URI, taken apart. */
struct place {
	struct blob_account account;
	char *container;
	const char *query; /* borrowed */
	bool tls;
};

static void
place_free(struct place *p)
{
	blob_account_free(&p->account);
	free(p->container);
}

/* The account's name; the path after it stays in *path.  NULL: not ours. */
static char *
account_of(struct sim *s, const char *host, size_t len, const char **path)
{
	size_t name_len = len, port = 0;
	char *name = NULL, *text = xstrndup(host, len), *colon;

	colon = strrchr(text, ':');
	if (colon) {
		port = strtoul(colon + 1, NULL, 10);
		*colon = '\0';
		name_len = strlen(text);
	}
	for (int i = 0; suffixes[i] && !name; i++) {
		size_t n = strlen(suffixes[i]);

		if (name_len > n &&
		    strcasecmp(text + name_len - n, suffixes[i]) == 0)
			name = xstrndup(text, name_len - n);
	}
	/* The emulator is us only at our own port: elsewhere it is Azurite. */
	if (!name && port && port == (size_t)s->port &&
	    (strcmp(text, "127.0.0.1") == 0 ||
		strcasecmp(text, "localhost") == 0) &&
	    **path == '/') {
		size_t n = strcspn(*path + 1, "/?#");

		name = xstrndup(*path + 1, n);
		*path += n + 1;
	}
	free(text);
	for (char *c = name; c && *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	return name;
}

static enum blob_result
find_place(struct sim *s, const char *uri, struct place *p)
{
	const char *host, *path;
	struct sim_request q = { 0 };
	char *name, *only;
	size_t len;

	memset(p, 0, sizeof *p);
	if (strncasecmp(uri, "https://", 8) == 0) {
		p->tls = true;
		host = uri + 8;
	} else if (strncasecmp(uri, "http://", 7) == 0) {
		host = uri + 7;
	} else {
		return BLOB_FOREIGN;
	}
	len = strcspn(host, "/?#");
	path = host + len;
	name = account_of(s, host, len, &path);
	if (!name || !blob_account_find(s, name, &p->account)) {
		free(name);
		return BLOB_FOREIGN;
	}
	free(name);
	only = xstrndup(path, strcspn(path, "?#"));
	q.path = only;
	p->container = sim_segment(&q, 0);
	p->query = strchr(path, '?');
	p->query = p->query ? p->query + 1 : "";
	len = (size_t)sim_segments(&q);
	free(only);
	if (p->container && len == 1 &&
	    blob_container_exists(s, &p->account, p->container))
		return BLOB_OK;
	return BLOB_MISSING;
}

static enum blob_result
sas_permits(
    struct sim *s, const struct place *p, const char *permissions, char *why)
{
	for (const char *c = permissions; *c; c++) {
		char letter[2] = { *c, '\0' };
		struct blob_refusal f;

		if (blob_sas_check(s, &p->account, p->container, NULL, p->query,
			NULL, p->tls, *c == 'l' ? ON_CONTAINER : ON_BLOB,
			letter, &f) == 0)
			continue;
		(void)snprintf(why, 256, "%s", f.message);
		free(f.detail);
		return BLOB_REFUSED;
	}
	return BLOB_OK;
}

enum blob_result
blob_permits(struct sim *s, const char *container_uri, enum blob_who who,
    const char *principal, const char *permissions, char *why)
{
	struct place p;
	enum blob_result result = find_place(s, container_uri, &p);

	*why = '\0';
	if (result == BLOB_MISSING)
		(void)snprintf(
		    why, 256, "The specified container does not exist.");
	else if (result == BLOB_FOREIGN)
		(void)snprintf(
		    why, 256, "The remote name could not be resolved");
	else if (who == BLOB_SAS)
		result = sas_permits(s, &p, permissions, why);
	else if (!blob_role_permits(
		     s, &p.account, p.container, principal, permissions)) {
		(void)snprintf(why, 256,
		    "This request is not authorized to perform this operation "
		    "using this permission.");
		result = BLOB_REFUSED;
	}
	place_free(&p);
	return result;
}

/* The committed blob of that name. */
static enum blob_result
find_blob(
    struct sim *s, const char *container_uri, const char *name, struct blob *b)
{
	struct place p;
	enum blob_result result = find_place(s, container_uri, &p);
	char *key;

	memset(b, 0, sizeof *b);
	if (result == BLOB_OK) {
		key = blob_container_key(&p.account, p.container);
		if (!blob_find(s, key, name, b) || !b->committed)
			result = BLOB_MISSING;
		free(key);
	}
	place_free(&p);
	return result;
}

enum blob_result
blob_read(struct sim *s, const char *container_uri, const char *name,
    uint64_t offset, struct buf *out, uint64_t *size)
{
	struct blob b;
	enum blob_result result = find_blob(s, container_uri, name, &b);

	*size = b.size;
	if (result == BLOB_OK && offset < b.size &&
	    !blob_bytes(s, b.id, offset, b.size - offset, out))
		result = BLOB_MISSING;
	blob_free(&b);
	return result;
}

int64_t
blob_upload_begin(struct sim *s)
{
	return block_insert(s, 0, NULL, BLOCK_UPLOAD, (struct span){ "", 0 });
}

static uint64_t
upload_size(struct sim *s, int64_t upload)
{
	sqlite3_stmt *q =
	    sim_sql(s, "SELECT size FROM blob_block WHERE id = ?");

	(void)sqlite3_bind_int64(q, 1, upload);
	return sim_step(s, q) == SQLITE_ROW
		   ? (uint64_t)sqlite3_column_int64(q, 0)
		   : 0;
}

void
blob_upload_add(struct sim *s, int64_t upload, struct span content)
{
	block_extend(s, upload, upload_size(s, upload), content);
}

static void
settle(struct sim *s, int64_t upload, int64_t blob, enum block_state state)
{
	sqlite3_stmt *q = sim_sql(
	    s, "UPDATE blob_block SET blob = ?, state = ? WHERE id = ?");

	(void)sqlite3_bind_int64(q, 1, blob);
	(void)sqlite3_bind_int(q, 2, (int)state);
	(void)sqlite3_bind_int64(q, 3, upload);
	(void)sim_step(s, q);
}

void
blob_upload_drop(struct sim *s, int64_t upload)
{
	settle(s, upload, 0, BLOCK_GARBAGE);
	sim_wake(s);
}

enum blob_result
blob_upload_end(
    struct sim *s, int64_t upload, const char *container_uri, const char *name)
{
	uint64_t size = upload_size(s, upload);
	struct blob b = { .committed = true, .size = size }, old;
	struct place p;
	enum blob_result result = find_place(s, container_uri, &p);
	char *key;

	if (result == BLOB_OK) {
		key = blob_container_key(&p.account, p.container);
		if (blob_find(s, key, name, &old))
			blob_delete(s, old.id);
		blob_free(&old);
		b.head[HEAD_TYPE] = xstrdup("application/octet-stream");
		blob_insert(s, key, name, &b);
		if (size) {
			blob_add_part(s, b.id, 0, size, upload);
			settle(s, upload, b.id, BLOCK_USED);
		} else {
			blob_upload_drop(s, upload);
		}
		blob_free(&b);
		free(key);
	}
	place_free(&p);
	return result;
}

enum blob_result
blob_copy_in(
    struct sim *s, const char *container_uri, const char *name, FILE *file)
{
	char *slice = xmalloc(BLOB_CHUNK);
	int64_t upload = blob_upload_begin(s);
	enum blob_result result;
	size_t n;

	rewind(file);
	while ((n = fread(slice, 1, BLOB_CHUNK, file)) > 0)
		blob_upload_add(s, upload, (struct span){ slice, n });
	result = blob_upload_end(s, upload, container_uri, name);
	if (result != BLOB_OK)
		blob_upload_drop(s, upload);
	free(slice);
	return result;
}

enum blob_result
blob_remove(struct sim *s, const char *container_uri, const char *name)
{
	struct blob b;
	enum blob_result result = find_blob(s, container_uri, name, &b);

	if (result == BLOB_OK)
		blob_delete(s, b.id);
	blob_free(&b);
	return result;
}
