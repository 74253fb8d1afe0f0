/*
 * via.h: REST or a job?  --via=rest|job|auto.
 *
 * auto: single calls, unless a job is at least twice as fast, they would take
 * more than a quarter of an hour, and a storage account is configured.  Either
 * way the arithmetic is said: "bulk: 6.9 days at S1 x1; job: about 4 h".
 */
#ifndef VIA_H
#define VIA_H

#include "job.h"
#include "quota.h"

extern const struct opt via_opts[]; /* --via, and job_opts */

enum via { VIA_REST, VIA_JOB };

struct via_work {
	const char *rest; /* what single calls are called: "bulk", "calls" */
	long lines;       /* of all jobs, modules counted; -1: nobody knows */
	int jobs;         /* how many are needed; 0: one */
	struct quota_cost cost;   /* by single calls */
	struct quota_cost beside; /* single calls that a job leaves to do */
	const char *never;        /* why a job cannot do it, or NULL */
};

/* May a job be chosen, where calls cost that?  Then it is worth while to find
 * out what it leaves. */
bool via_may_choose_job(struct quota *q, const struct quota_cost *rest);
/* A job of so many lines. */
double via_job_seconds(long lines);
/* Dies (usage) where --via=job cannot be: no storage, or work->never. */
enum via via_choose(
    struct quota *q, const char *hub, const struct via_work *work);
/* --via=job or --via=rest was said. */
bool via_is_told(void);
bool via_told_job(void);

#endif
