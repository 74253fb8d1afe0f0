/*
 * content.h: what large blobs contain: pieces of one size in a file beside the
 * database, FILE-blobs.  In SQLite each byte would be written three times.
 *
 * The rows of the store are the truth.  A piece is its maker's until a row
 * names it, and what no row names is gone when the file is opened again; one
 * that a row names is on the disk before the row is.
 */
#ifndef CONTENT_H
#define CONTENT_H

#include "sim.h"

enum { CONTENT_PIECE = 262144 };

/* database: the file; kept: it outlives this run. */
int content_open(struct sim *s, const char *database, bool kept, struct err *e);
void content_close(struct sim *s);
/* Its number, which is given once in this run; -1 with errno. */
int64_t content_put(struct sim *s, const char *at);
/* Appends at most max bytes of it; false: they cannot be read. */
bool content_get(
    struct sim *s, int64_t piece, size_t from, size_t max, struct buf *out);
/* What a row has named goes; and what none has, the last one first. */
void content_drop(struct sim *s, int64_t piece);
void content_take_back(struct sim *s, int64_t piece);
/* A row of this turn names it. */
void content_named(struct sim *s, int64_t piece);
/* The turn ends; store.c calls these.  -1 with errno: it must not be. */
int content_settle(struct sim *s);
void content_turned(struct sim *s, bool failed);

#endif
