/*
 * store.h: opening the state and the transaction of a turn.  What the rooms
 * need of the store is in sim.h.
 */
#ifndef STORE_H
#define STORE_H

#include "sim.h"

/*
 * Opens FILE, or with NULL a temporary file in dir.  A file that is kept is
 * written with synchronous=NORMAL: what was acknowledged survives kill -9; a
 * loss of power may take the last moments, but nothing by half.  A temporary
 * one is never seen by a second process, so it is not synchronised at all.
 *
 * *fresh: it was made just now, and is in rollback-journal mode, in which
 * filling an empty file writes every page once; store_ready() ends that.
 */
int store_open(struct sim *s, const char *file, const char *dir, bool *fresh,
    struct err *e);
int store_ready(struct sim *s, struct err *e);
void store_close(struct sim *s);

/* One small text by name, such as the seed.  Get: malloc'd, NULL if none. */
char *store_note(struct sim *s, const char *name);
void store_set_note(struct sim *s, const char *name, const char *value);

/*
 * The turn.  store_commit() ends it and gives -1 where anything of it failed:
 * then all is undone and no request of that turn may be told that it worked.
 */
void store_begin(struct sim *s);
int store_commit(struct sim *s);
void store_fail(struct sim *s, const char *what, const char *why);
bool store_failed(const struct sim *s);
/* Another number after each change: what was read before may be kept for as
 * long as it stays the same. */
uint64_t store_version(const struct sim *s);
/* Why it failed, for a message. */
const char *store_reason(const struct sim *s);

#endif
