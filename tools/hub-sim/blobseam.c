/* blobseam.c: blobs for the other rooms; see blob.h. */
#include "blobroom.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "store.h"

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

struct blob_upload {
	struct sim *s;
	int64_t *piece;
	size_t count, cap;
	struct buf rest; /* less than a piece */
};

struct blob_upload *
blob_upload_begin(struct sim *s)
{
	struct blob_upload *u = xcalloc(1, sizeof *u);

	u->s = s;
	return u;
}

static int
add_piece(struct blob_upload *u, const char *at)
{
	int64_t piece = content_put(u->s, at);

	if (piece < 0)
		return -1;
	if (u->count == u->cap) {
		u->cap = u->cap ? 2 * u->cap : 64;
		u->piece = xrealloc(u->piece, u->cap * sizeof *u->piece);
	}
	u->piece[u->count++] = piece;
	return 0;
}

int
blob_upload_add(struct blob_upload *u, struct span content)
{
	while (u->rest.len + content.len >= BLOB_CHUNK) {
		size_t len = BLOB_CHUNK - u->rest.len;
		const char *at = content.at;

		if (u->rest.len) {
			buf_add(&u->rest, content.at, len);
			at = u->rest.at;
		}
		if (add_piece(u, at))
			return -1;
		buf_clear(&u->rest);
		content.at += len;
		content.len -= len;
	}
	buf_span(&u->rest, content);
	return 0;
}

/* A blob in place of what has that name. */
static enum blob_result
make_blob(struct sim *s, const char *container_uri, const char *name,
    const int64_t *piece, size_t count, struct span rest)
{
	struct blob old, b = { .committed = true,
		.size = (uint64_t)count * BLOB_CHUNK + rest.len };
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
		if (b.size)
			blob_add_part(s, b.id, 0, b.size,
			    block_adopt(s, b.id, piece, count, rest));
		blob_free(&b);
		free(key);
	}
	place_free(&p);
	return result;
}

enum blob_result
blob_upload_end(
    struct blob_upload *u, const char *container_uri, const char *name)
{
	enum blob_result result = make_blob(
	    u->s, container_uri, name, u->piece, u->count, buf_peek(&u->rest));

	if (result == BLOB_OK)
		u->count = 0; /* they are the blob's */
	return result;
}

void
blob_upload_drop(struct blob_upload *u)
{
	if (!u)
		return;
	while (u->count)
		content_take_back(u->s, u->piece[--u->count]);
	free(u->piece);
	buf_wipe(&u->rest);
	free(u);
}

enum blob_result
blob_store(struct sim *s, const char *container_uri, const char *name,
    struct span content)
{
	struct blob_upload *u = blob_upload_begin(s);
	enum blob_result result = BLOB_MISSING;

	if (blob_upload_add(u, content))
		store_fail(s, "blobs", strerror(errno));
	else
		result = blob_upload_end(u, container_uri, name);
	blob_upload_drop(u);
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
