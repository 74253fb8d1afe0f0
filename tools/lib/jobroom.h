/*
 * jobroom.h: what the rooms of job.h share, and nobody else needs.
 */
#ifndef JOBROOM_H
#define JOBROOM_H

#include <time.h>

#include "job.h"

#define JOB_PREFIX "hubpipe-"

struct job {
	struct hub *hub;
	struct storage *storage;
	enum job_kind kind;
	const char *given;    /* container, by --container; or NULL */
	const char *identity; /* --job-identity, or NULL */
	char *mark;           /* what it is of */
	char *container, *note;
	char run[17]; /* in the name of every blob */
	bool made;    /* the container, by a run of ours */
	bool resumed, doubtful;
	long round;
	char id[64], reason[600]; /* of the round's job, as the hub has them */
	enum job_state state;
	double progress;
	long begun;    /* when the round was */
	time_t beaten; /* when the note was last written */
	char *blob[16];
	size_t blobs;
};

extern const char *const job_kinds[]; /* "export", "import" */

/*
 * joblook.c: what the hub says of its jobs.
 */
/* One more string of an object that is being written. */
void job_add(struct buf *b, const char *name, const char *text);
/* A member of a JSON object: malloc'd, or NULL; and 0 if it is no number. */
char *job_text(struct span object, const char *name);
long job_number(struct span object, const char *name);
/* What it answered of ours; *ended: when, in seconds since 1970, or 0. */
void job_take(struct job *j, struct span body, long *ended);
/* One poll.  A hub that does not know the job any more has lost it. */
int job_look(struct job *j, long *ended, struct err *e);
/* Looks through the jobs: for ours (its id is taken), and for the one that has
 * the slot (*other, malloc'd words, or NULL). */
bool job_find(struct job *j, char **other);

/*
 * jobnote.c: what is written for the next run, and whether who wrote it is
 * still at work.
 */
struct jobnote {
	char *hub, *kind, *mark, *run, *id, *node, *start, *etag;
	long round, begun, pid, beat;
	bool made;
};
/* etag: only over that version; NULL: whatever there is. */
int jobnote_put(struct job *j, const char *etag, struct err *e);
/* 1, 0: there is none, -1. */
int jobnote_read(
    struct job *j, const char *container, struct jobnote *n, struct err *e);
void jobnote_free(struct jobnote *n);
bool jobnote_is_alive(const struct jobnote *n);
bool jobnote_is_mine(const struct jobnote *n);
/* "PID-START-NODE", malloc'd, for a container that has no note yet; and did
 * somebody on this machine make it who is gone? */
char *jobnote_owner(void);
bool jobnote_is_orphan(const char *owner);

/*
 * jobleft.c: what a run that died has left.
 */
/* Nothing was taken up: a run of its own name. */
void job_forget(struct job *j);
/* What is in a container: a job to go on with (1), nothing or nothing that we
 * want (0), or trouble (-1). */
int job_take_up(struct job *j, const char *container, struct err *e);
/* The same of all containers of our making. */
int job_look_around(struct job *j, struct err *e);
/* Removes what a run has left in a container; all of it if it was made. */
int job_clean(struct job *j, const char *container, const char *run, bool made,
    struct err *e);

#endif
