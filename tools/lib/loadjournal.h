/*
 * loadjournal.h: the journal of a load: which input, to which hub, and what
 * became of each record, by its place in the input; neither ids nor keys.
 *
 * Before records are sent, a line says that they may have been sent (written
 * ahead, a thousand at a time); what the hub answered is written as it comes.
 * So of each record a later run knows that it is finished, that it was never
 * sent, or that it has to look.
 */
#ifndef LOADJOURNAL_H
#define LOADJOURNAL_H

#include "loadplan.h"

struct loadjournal;

/* Opens it.  Refuses that of another hub or of other options.  NULL with *e.
 */
struct loadjournal *loadjournal_open(const char *path, struct hub *hub,
    const char *options, bool read_only, struct err *e);
/*
 * After load_read().  A new one begins; one that was begun, by the same input,
 * gives the entries their states.  -1 with *e.
 */
int loadjournal_start(struct loadjournal *j, struct load_plan *p,
    struct ledger *l, const char *input, struct err *e);
/* When it began, by the hub's clock, if it was begun by a run before this
 * one; else NULL. */
const char *loadjournal_since(const struct loadjournal *j);
/* The way back is in a file that this run, or one before it, has made: which
 * file, by what nobody else's is.  Noted before it has its name. */
int loadjournal_undo(
    struct loadjournal *j, uint64_t inode, uint64_t size, struct err *e);
bool loadjournal_has_undo(
    const struct loadjournal *j, uint64_t inode, uint64_t size);
/* It says that nothing is left to do. */
bool loadjournal_complete(const struct loadjournal *j);

/* An entry of this step is about to be sent, one by one or in bulk. */
void loadjournal_sending(
    struct loadjournal *j, enum load_step step, bool alone, uint32_t i);
/* What entry i is now. */
void loadjournal_state(
    struct loadjournal *j, const struct ledger_entry *e, uint32_t i);
/* Writes what loadjournal_state() was told.  -1 with *e: nothing more can be
 * written, so nothing more may be sent. */
int loadjournal_write(struct loadjournal *j, struct err *e);
/* The end of a run; complete: nothing is left to do. */
int loadjournal_end(struct loadjournal *j, bool complete, struct err *e);
void loadjournal_close(struct loadjournal *j);

#endif
