/*
 * dumpstate.h: what a dump has written so far, so that one that was killed
 * goes on: FILE.part holds the lines, a journal beside it says how far they
 * are good, and with which SHA-256.  The ids in FILE.part are those that need
 * not be read again.  A dump by calls goes on by calls, one by a job by a job:
 * only then is it known what an id stands for, a line or all of a device.
 */
#ifndef DUMPSTATE_H
#define DUMPSTATE_H

#include <openssl/evp.h>

#include "fleet.h"
#include "out.h"

struct dumpstate;

/*
 * Opens the journal at path and output.part, and cuts off what no checkpoint
 * speaks for.  Refuses that of another hub or of other options, and a part
 * that is not as it was left.  began: the time now.  NULL with *e.
 */
struct dumpstate *dumpstate_open(const char *path, const char *output,
    const struct hub *hub, const char *options, const char *began,
    struct err *e);
/* When the first run began. */
const char *dumpstate_began(const struct dumpstate *s);
/* What earlier runs have got. */
struct fleet_got dumpstate_got(const struct dumpstate *s);
/* "rest" or "job", how it was begun; "" before its first line. */
const char *dumpstate_path(const struct dumpstate *s);
/* All has been read; all has been done. */
bool dumpstate_read(const struct dumpstate *s);
bool dumpstate_complete(const struct dumpstate *s);

/* For struct fleet_want, whose ctx is the state.  Dies on failure. */
void dumpstate_line(struct span line, void *ctx);
bool dumpstate_skip(const char *id, const char *module, void *ctx);
void dumpstate_device(const struct fleet_got *got, void *ctx);
void dumpstate_by_job(void *ctx);
void dumpstate_by_calls(void *ctx);
void dumpstate_all(const struct fleet_got *got, void *ctx);
/* All is read, which dumpstate_all() has noted, or this does: the output takes
 * its name.  May be called again by the next run.  Dies on failure. */
void dumpstate_end_read(struct dumpstate *s, const struct fleet_got *got);
/* All is done.  Dies on failure. */
void dumpstate_end(struct dumpstate *s);
/* Of all lines. */
EVP_MD_CTX *dumpstate_digest(struct dumpstate *s);
void dumpstate_close(struct dumpstate *s);

#endif
