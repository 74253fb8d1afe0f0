/*
 * journal.h: what has been done, in a file that outlives the process: lines
 * that are only ever added, each with a checksum.  The first, its head, says
 * what is being done: a JSON object.  A process may die within any byte of a
 * line, and a machine before any: what follows the last good line is dropped
 * when the file is opened again, as if it had not been written.
 */
#ifndef JOURNAL_H
#define JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "msg.h"

struct journal;

/*
 * Opens it (mode 0600, made when it is not there), and locks it: no two runs
 * write one.  kind says whose it is ("load"); a file that is no journal, or
 * of another kind or version, is refused and not touched.  read_only: nothing
 * will be written, and a file that is not there is not made.  NULL with *e.
 */
struct journal *journal_open(
    const char *path, const char *kind, bool read_only, struct err *e);
/* Has it a head already?  Its text member of that name, or "". */
bool journal_begun(const struct journal *j);
const char *journal_head(const struct journal *j, const char *name);
/* Calls for each line after the head, without its checksum; then the file
 * ends behind the last good one.  line returns -1 for what it cannot be.  -1
 * with *e. */
typedef int journal_line(void *ctx, char *text);
int journal_replay(
    struct journal *j, journal_line *line, void *ctx, struct err *e);

/* The head: members "name":"text", by pairs, NULL at the end.  On disk when it
 * returns 0. */
int journal_begin(struct journal *j, const char *const pairs[], struct err *e);
/* Adds one line and writes it: a process that dies after that has not lost
 * it.  sync: nor a machine.  After the first failure, which *e tells, nothing
 * is written any more. */
int journal_add(struct journal *j, struct span text, bool sync, struct err *e);
/* What was added is on disk: now, or (lazily) if it was not in the last
 * second. */
int journal_sync(struct journal *j, bool lazily, struct err *e);
void journal_close(struct journal *j);

#endif
