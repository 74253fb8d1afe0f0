/*
 * importjob.h: a plan of loadplan.h, as far as that is possible, by import jobs
 * of the hub instead of calls (CONTRACT 16).
 *
 * Two jobs at most.  The first deletes, makes Edge devices without their
 * parents, all devices that have none, and modules.  Then the scopes that the
 * hub chose are read; the second job makes what is below them, sets parents,
 * and closes disabled devices that got modules.  What a job cannot do (twins of
 * system modules, CONTRACT 16.3; a line that could make new keys) loadrun.c
 * does with calls.
 *
 * What is believed: an error in the log is an error of its record.  A record
 * that a whole log of a completed job does not name was applied; of these some
 * are read and compared, 100 at most.  Everything else is doubt: a job that
 * failed or was cancelled, a log that is not there, an error that may be the
 * device's or its module's.  What is in doubt is read, compared and, where it
 * differs, written, one by one; if that is more than a thousand, the run stops
 * and says so.
 */
#ifndef IMPORTJOB_H
#define IMPORTJOB_H

#include "loadrun.h"

struct importjob;

/* As --via says, or its arithmetic, which is told: for l->by_job.  Makes
 * l->by_jobs.  calls: what it costs without a job. */
bool importjob_wanted(struct loadrun *l, const struct quota_cost *calls);
/* NULL: not l->by_job; or l->stop is set, since there is no container, or
 * another import is under way. */
struct importjob *importjob_open(struct loadrun *l);
/* The first before any step, the second when the scopes of parents are known.
 */
void importjob_round(struct importjob *j, int round);
/* After all steps: those of l->configurations that are not yet so, by a job of
 * their own, since a job would write them before what is left to calls; its
 * log is joined with them.  configurations_load() does the rest. */
void importjob_configurations(struct importjob *j);
/* Removes the container, unless a run that follows can go on with it. */
void importjob_close(struct importjob *j);

/* With l->by_job: one JSON line for each job, and plays them through, so that
 * load_plan_text() tells what is left for calls. */
void importjob_plan(struct loadrun *l, struct buf *into);

#endif
