/*
 * blobroom.h: what the files of the blob service share; blob.h is what other
 * rooms may ask.
 *
 * blob.c takes requests apart and answers for containers, blobget.c for what
 * is read, blobput.c for what is written, bloblist.c for lists; blobauth.c
 * says who may, blobreply.c words answers, blobstore.c has the tables.
 *
 * A container is the ARM resource of that name, whichever door it came in by,
 * so deleting it there deletes its blobs.  Only the account of the emulator
 * (CONTRACT 17.5), which ARM does not know, has its containers here.
 */
#ifndef BLOBROOM_H
#define BLOBROOM_H

#include "arm.h"
#include "blob.h"
#include "content.h"

/* The account of the emulator (CONTRACT 17.5), in path style. */
#define BLOB_EMULATOR "devstoreaccount1"

enum {
	BLOB_CHUNK = CONTENT_PIECE, /* bytes of one row of content */
	BLOB_BLOCKS_MAX = 50000,
	BLOB_NAME_MAX = 1024, /* characters, not bytes */
};

/* -- blobstore.c: accounts and containers --------------------------------- */

struct blob_account {
	char name[32];
	char *key; /* of the ARM resource */
	bool emulator;
};
bool blob_account_find(
    struct sim *s, const char *name, struct blob_account *out);
void blob_account_free(struct blob_account *a);
/* Key 0 or 1 as base64 text; false: there is none. */
bool blob_account_key(
    struct sim *s, const struct blob_account *a, int which, char out[96]);
/* The account, or its blobServices/default; null or invalid when not there. */
jv blob_account_body(struct sim *s, const struct blob_account *a);
jv blob_account_service(struct sim *s, const struct blob_account *a);

/* The key that blobs are filed under; malloc'd. */
char *blob_container_key(const struct blob_account *a, const char *container);
/* The resource; invalid: no such container. */
jv blob_container_load(
    struct sim *s, const struct blob_account *a, const char *container);
bool blob_container_exists(
    struct sim *s, const struct blob_account *a, const char *container);
/* Makes it, or changes its properties; a failure as arm_put() has it. */
jv blob_container_store(struct sim *s, const struct blob_account *a,
    const char *container, jv properties);
void blob_container_delete(
    struct sim *s, const struct blob_account *a, const char *container);
/* All of an account as stored, by name. */
jv blob_container_list(struct sim *s, const struct blob_account *a);

/* -- blobstore.c: blobs --------------------------------------------------- */

enum blob_head {
	HEAD_TYPE,
	HEAD_ENCODING,
	HEAD_LANGUAGE,
	HEAD_DISPOSITION,
	HEAD_CACHE,
	HEAD_MD5,
	HEAD_COUNT,
};
extern const char *const blob_head_names[HEAD_COUNT]; /* of HTTP */

struct blob {
	int64_t id; /* changes with the content, but not by appending */
	bool append, committed;
	uint64_t size;
	int64_t etag, created, modified;
	char *head[HEAD_COUNT]; /* NULL: not set */
	char *metadata;         /* a JSON object */
};
bool blob_find(
    struct sim *s, const char *container_key, const char *name, struct blob *b);
void blob_free(struct blob *b);
/* A new row; gives b->id, etag and times. */
void blob_insert(
    struct sim *s, const char *container_key, const char *name, struct blob *b);
/* What is in b; a new etag and time.  A new id where new_id. */
void blob_update(struct sim *s, struct blob *b, bool new_id);
void blob_delete(struct sim *s, int64_t id); /* content goes in blob_tick() */
int64_t blob_next_etag(struct sim *s);
/* Columns of a row as blob_find() selects them, from column on. */
void blob_read_row(sqlite3_stmt *q, int column, struct blob *b);
#define BLOB_COLUMNS                                                       \
	"id, append, committed, size, etag, created, modified, metadata, " \
	"type, encoding, language, disposition, cache, md5"

enum block_state { BLOCK_OPEN, BLOCK_USED, BLOCK_GARBAGE = 3 };
/* Content as one block of a blob; its id.  name: base64 text or NULL. */
int64_t block_insert(struct sim *s, int64_t blob, const char *name,
    enum block_state state, struct span content);
/* The same of whole pieces that are there already, and what follows them. */
int64_t block_adopt(struct sim *s, int64_t blob, const int64_t *piece,
    size_t count, struct span rest);
/* The block lies at start of the blob. */
void blob_add_part(
    struct sim *s, int64_t blob, uint64_t start, uint64_t size, int64_t block);
/* Appends content from offset on, at least a byte and at most max, as far as
 * one row goes; false: there is none.  Works outside of a turn too. */
bool blob_bytes(struct sim *s, int64_t blob, uint64_t offset, uint64_t max,
    struct buf *out);
/* Removes some of what is no blob's any more; see sim_tick(). */
int64_t blob_tick(struct sim *s);

/* -- one request ---------------------------------------------------------- */

struct blob_visit {
	struct sim *s;
	const struct sim_request *q;
	struct sim_reply *r;
	struct blob_account account;
	bool path_style;
	char *container, *name; /* NULL: the request is for what is above */
	char *container_key;
	char *comp, *restype;
	char id[37]; /* of the request */
	int64_t now;
	bool get, head, put, post, delete;
};

/* -- blobreply.c ---------------------------------------------------------- */

__attribute__((format(printf, 4, 5))) void blob_fail(
    struct blob_visit *v, int status, const char *code, const char *fmt, ...);
/* The same with <Name>text</Name> after the message. */
void blob_fail_with(struct blob_visit *v, int status, const char *code,
    const char *message, const char *name, const char *text);
void blob_missing(struct blob_visit *v, const char *what); /* 501 */
void blob_no_container(struct blob_visit *v);
void blob_no_blob(struct blob_visit *v);
void blob_bad_header(struct blob_visit *v, const char *name, const char *value);
void blob_bad_query(struct blob_visit *v, const char *name, const char *value);
/* A query parameter that is a number; false: answered with 400. */
bool blob_query_number(struct blob_visit *v, const char *name, int64_t low,
    int64_t high, int64_t *out);
void blob_xml_begin(struct blob_visit *v, int status);
void blob_xml_text(struct buf *out, struct span text);
void blob_xml(struct buf *out, const char *name, const char *text);
/* ETag and Last-Modified. */
void blob_say_etag(struct blob_visit *v, int64_t etag, int64_t modified);
void blob_say_metadata(struct blob_visit *v, const char *json);
/* The x-ms-meta-* of a request as a JSON object, malloc'd; NULL: refused. */
char *blob_metadata(struct blob_visit *v);
/* If-Match and its like, for an existing thing, or with etag 0 for a missing
 * one.  false: answered. */
bool blob_condition(
    struct blob_visit *v, int64_t etag, int64_t modified, bool reading);
/* Times in milliseconds; false: none. */
bool blob_http_date(const char *text, int64_t *ms);
bool blob_iso_date(const char *text, int64_t *ms);
/* Header lines of a request, from *at = 0 on. */
bool blob_each_header(const struct sim_request *q, size_t *at,
    const char **name, const char **value);

/* -- blobauth.c ----------------------------------------------------------- */

/* What a request does, by the resource types of an account SAS. */
enum blob_level { ON_SERVICE = 's', ON_CONTAINER = 'c', ON_BLOB = 'o' };

struct blob_refusal {
	int status;
	const char *code, *message;
	char *detail;   /* malloc'd or NULL */
	bool challenge; /* WWW-Authenticate goes with it */
};

/*
 * Is the SAS in query good for this, here and now?  any: letters of which one
 * is enough.  0, or -1 with *f.
 */
int blob_sas_check(struct sim *s, const struct blob_account *a,
    const char *container, const char *name, const char *query,
    const char *peer, bool tls, enum blob_level level, const char *any,
    struct blob_refusal *f);
/* May containers of the account be public? */
bool blob_account_is_open(struct sim *s, const struct blob_account *a);
/* Has the principal a role there that permits all these letters? */
bool blob_role_permits(struct sim *s, const struct blob_account *a,
    const char *container, const char *principal, const char *permissions);
/* The same for who asks, by whatever credential; false: answered. */
bool blob_allowed(struct blob_visit *v, enum blob_level level, const char *any);

/* -- the rest ------------------------------------------------------------- */

void blob_get(struct blob_visit *v); /* GET and HEAD of a blob */
void blob_get_block_list(struct blob_visit *v);
void blob_write(struct blob_visit *v);      /* PUT of and on a blob */
void blob_remove_one(struct blob_visit *v); /* DELETE */
void blob_list_blobs(struct blob_visit *v);
void blob_list_containers(struct blob_visit *v);
void blob_service_properties(struct blob_visit *v);

#endif
