/*
 * job.h: what the files of the import and export jobs share (CONTRACT 16).
 *
 * jobs.c receives the calls of both doors; jobstore.c keeps the jobs and shows
 * them; jobrun.c carries them on, slice by slice; joblines.c writes lines of
 * an export and applies those of an import; jobcarry.c brings a blob to a file
 * and a file to a blob; scheduled.c has the jobs of /jobs/v2.
 *
 * What a job has reached stands in the store, written in the same transaction
 * as what the slice did, so kill -9 repeats nothing: an import goes on at the
 * line after the last one it applied.  An export begins anew.
 */
#ifndef JOB_H
#define JOB_H

#include <stdio.h>

#include "jobs.h"

enum job_status {
	JOB_ENQUEUED,
	JOB_RUNNING,
	JOB_COMPLETED,
	JOB_FAILED,
	JOB_CANCELLED,
};

enum job_phase { PHASE_DEVICES, PHASE_CONFIGURATIONS, PHASE_LOGS };

struct job {
	char id[37], hub[64];
	bool import, exclude_keys, configurations, by_identity;
	enum job_status status;
	bool seen; /* running was shown; see jobstore.c */
	bool held; /* it hangs, by jobs_control() */
	int64_t created, started, ended;
	int progress;
	/* An import: how far into which blob. */
	enum job_phase phase;
	int64_t offset, size;
	long line;
	/* malloc'd; NULL: not given */
	char *input, *output, *in_name, *out_name, *config_name;
	char *identity;  /* the user-assigned one, its id */
	char *principal; /* who reads and writes, for by_identity */
	char *reason;
};
void job_free(struct job *job);

/* -- jobstore.c ---------------------------------------------------------- */

bool job_load(struct sim *s, const char *hub, const char *id, struct job *job);
void job_insert(struct sim *s, const struct job *job);
void job_save(struct sim *s, const struct job *job); /* what moves */
/* The one of this hub that is enqueued or runs. */
bool job_active(struct sim *s, const char *hub, char id[37]);
void job_end(
    struct sim *s, struct job *job, enum job_status status, const char *reason);
/* As the data plane and as Resource Manager show it. */
void job_text(struct sim *s, struct job *job, struct buf *out);
jv job_response(struct sim *s, struct job *job);
/* Lines of importErrors.log and importConfigErrors.log, until both are
 * written. */
void job_add_error(struct sim *s, const struct job *job, enum job_phase phase,
    long line, struct span text);
/* Adds them to a blob that is made. */
struct carry;
int job_errors(struct sim *s, const struct job *job, enum job_phase phase,
    struct carry *c);
/* History of 30 days. */
void job_forget_old(struct sim *s);

/* -- jobrun.c -------------------------------------------------------------- */

/* New jobs of that hub are to wait; see jobs_control(). */
bool job_is_held(struct sim *s, const char *hub);

/* -- joblines.c ---------------------------------------------------------- */

/* How an export's lines are written: asked once, not for each line. */
struct line_form {
	bool keys, metadata;
	bool modules; /* there are some in this hub */
	const char *end;
};
struct line_form line_form(struct visit *v, const struct job *job);
/* One device with its modules, as lines. */
void line_write(struct visit *v, const struct line_form *form,
    const struct row *row, struct buf *out);
void line_warning(struct buf *out); /* that keys were left out */
void configuration_lines(struct visit *v, struct buf *out);
/* 0, or -1 with *f: then log holds the line for importErrors.log. */
int line_apply(struct visit *v, struct span text, struct json *scan,
    struct buf *log, struct refusal *f);
int configuration_apply(struct visit *v, struct span text, struct json *scan,
    struct buf *log, struct refusal *f);
/* A line that is too long to be looked at. */
void line_too_long(struct buf *log);

/* -- jobcarry.c ---------------------------------------------------------- */

enum carry_got { CARRY_BUSY, CARRY_DONE, CARRY_FAILED };
/* A blob to a file, which stays the caller's and is not to be touched before
 * carry_end(). */
struct carry *carry_get(
    struct sim *s, const char *container, const char *name, FILE *file);
/* What is added, to a blob: made when it is polled.  -1: there is no room. */
struct carry *carry_put(struct sim *s, const char *container, const char *name);
int carry_add(struct carry *c, struct span content);
/* CARRY_FAILED: *why until carry_end(). */
enum carry_got carry_poll(struct carry *c, const char **why);
void carry_end(struct carry *c); /* stops it */
FILE *carry_file(void);          /* without a name; NULL with errno */
/* May the job do these to its container now?  NULL or the reason; letters as
 * blob_permits() has them, direction "input" or "output". */
const char *carry_refused(struct sim *s, const struct job *job, bool output,
    const char *permissions, char why[512]);

/* -- jobs.c and scheduled.c ---------------------------------------------- */

void scheduled_handle(struct visit *v);
int64_t scheduled_tick(struct sim *s);
/* The devices of the hub's scheduled jobs, from the one after that of that job
 * on, and one of them as a query answers it. */
sqlite3_stmt *scheduled_devices(
    struct visit *v, const char *job, const char *device);
void scheduled_device_text(sqlite3_stmt *q, struct buf *out);

#endif
