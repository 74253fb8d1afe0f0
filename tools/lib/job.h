/*
 * job.h: import and export jobs of a hub, and the container that a job reads
 * and writes (CONTRACT 16).
 *
 * A container is a fresh one, private, hubpipe-RANDOM, or the one that
 * --container names.  In it lies a note, hubpipe-HUB-KIND.json, that says which
 * job of which hub it is for, who made it and what of; so a run that follows
 * one that was killed finds the container (all hubpipe-* are looked through, or
 * the one named), goes on with the job, or removes what was left.  A hub has
 * one import or export job at a time, and does not say of a running job where
 * it writes (CONTRACT 16.1): hence the note, and names of blobs that nobody
 * else uses.
 */
#ifndef JOB_H
#define JOB_H

#include "blob.h"
#include "hub.h"

/* --storage, --container, --keep-blobs, --cancel-on-interrupt,
 * --job-identity. */
extern const struct opt job_opts[];

enum job_kind { JOB_EXPORT, JOB_IMPORT };
enum job_state {
	JOB_NONE, /* not begun */
	JOB_RUNNING,
	JOB_COMPLETED, /* an import: even if each line failed */
	JOB_FAILED,
	JOB_CANCELLED,
};

struct job;

/*
 * Takes up a container of a run that died, or makes one.  mark: what the job is
 * of (the SHA-256 of an input, the options of an export); a job of another mark
 * is not taken up: it is cancelled if it runs (an import is not: -1), and its
 * blobs are removed.  storage is borrowed.  Warns where deleted blobs are kept.
 * NULL with *e.
 */
struct job *job_open(struct hub *hub, struct storage *storage,
    enum job_kind kind, const char *mark, struct err *e);
/* Was the answer to a create lost, so that one more job than we know of may
 * have done the same? */
bool job_doubtful(const struct job *j);
const char *job_container(const struct job *j);
/*
 * The name that a blob of this run has: job_blob(j, "devices", ".txt") is
 * "devices-1a2b3c4d.txt", the same after it was taken up.  Borrowed for the
 * life of the job.
 */
const char *job_blob(struct job *j, const char *stem, const char *suffix);

/*
 * Several jobs may follow each other in one container (Edge devices first, what
 * is below them then): each is a round, from 0.  What the note says of the last
 * one begun: */
long job_round(const struct job *j);           /* -1: none was begun */
enum job_state job_state(const struct job *j); /* as last seen */
const char *job_id(const struct job *j);       /* "" if none */
const char *job_reason(const struct job *j);   /* why it failed, or "" */

struct job_spec {
	/* Blob to import devices from, job_blob(j, "devices-N", ".txt") with
	 * the number of the round; NULL: an export. */
	const char *input;
	const char *output; /* blob to write: devices, or the error log */
	const char *configurations; /* blob to write or read; NULL: without */
	bool exclude_keys;
};
/*
 * Begins round N: waits for the slot while another job has it (403
 * JobQuotaExceeded), and while the hub does not see its rights yet (400
 * BlobContainerValidationError, for half a minute).  A round that the note
 * already names is not begun again.  -1: OperationNotAvailableInCurrentTier is
 * the code of a tier without jobs.
 */
int job_begin(struct job *j, long round, const struct job_spec *spec,
    char code[64], struct err *e);
/* Until it is over; shows progress (what: "devices", of total or 0).  0:
 * completed.  -1 with *e: failed with its reason, cancelled by somebody else,
 * or out of reach. */
int job_wait(struct job *j, const char *what, long total, struct err *e);
int job_cancel(struct job *j, struct err *e);
/*
 * interrupt.h has seen a signal, which the tool catches.  job_wait() and
 * job_begin() give -1 then, and the job goes on; or it is cancelled
 * (--cancel-on-interrupt): job_state() tells.  Who reads or writes blobs looks
 * here from time to time, and says what job_interrupt() fills in.
 */
bool job_interrupted(void);
int job_interrupt(struct job *j, struct err *e); /* always -1 */
/* Tells other machines that we are still here; cheap, to be called often while
 * blobs are read or written. */
void job_beat(struct job *j);

/*
 * done: removes the blobs and, if we made it, the container, unless
 * --keep-blobs.  Not done: leaves it for the run that takes it up.
 */
void job_close(struct job *j, bool done);

#endif
