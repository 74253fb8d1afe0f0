/*
 * blob.h: block blobs, written and read as streams: pieces of 1 MiB, several
 * at once, nothing on disk, and never more in memory than those pieces
 * (CONTRACT 17.3).
 */
#ifndef BLOB_H
#define BLOB_H

#include "lines.h"
#include "storage.h"

int blob_list(struct storage *s, const char *container, const char *prefix,
    storage_name *each, void *ctx, struct err *e);
/* What is not there is removed. */
int blob_remove(
    struct storage *s, const char *container, const char *name, struct err *e);
/* Small ones, whole.  blob_get: ANSWER_NO when there is none. */
int blob_put(struct storage *s, const char *container, const char *name,
    struct span content, struct err *e);
int blob_get(struct storage *s, const char *container, const char *name,
    struct buf *into, struct err *e);
/* Only in place of the version that had this ETag; PreconditionFailed is
 * ANSWER_NO. */
int blob_put_over(struct storage *s, const char *container, const char *name,
    const char *etag, struct span content, struct err *e);
/* With its ETag, malloc'd. */
int blob_get_tagged(struct storage *s, const char *container, const char *name,
    struct buf *into, char **etag, struct err *e);

/* -- writing -------------------------------------------------------------- */

struct blob_writer;

/* The blob appears when it is closed, and not before. */
struct blob_writer *blob_write(
    struct storage *s, const char *container, const char *name);
/* -1 as soon as a piece was refused for good; waits while many are unanswered.
 */
int blob_write_add(struct blob_writer *w, struct span more, struct err *e);
/* Frees it all the same.  *size, if not NULL: how many bytes it has. */
int blob_write_close(struct blob_writer *w, long long *size, struct err *e);
/* Gives up; nothing appears. */
void blob_write_drop(struct blob_writer *w);

/* -- reading -------------------------------------------------------------- */

struct blob_reader;

/*
 * From a byte on.  A piece whose answer is cut is asked for again; a blob that
 * changes meanwhile is a failure, never a mixture.  NULL with *e; ANSWER_NO
 * when there is none.
 */
struct blob_reader *blob_read(struct storage *s, const char *container,
    const char *name, long long from, struct err *e);
/* The next line, as lines_next(): \n or \r\n, a byte order mark skipped. */
enum lines_got blob_read_line(
    struct blob_reader *r, struct line *line, struct err *e);
void blob_read_close(struct blob_reader *r);

#endif
