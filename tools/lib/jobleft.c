/* jobleft.c: what a run that died has left: gone on with, or removed; see
 * jobroom.h. */
#include "jobroom.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "joblog.h"

enum { FRESH_SECONDS = 3600 }; /* an export that ended since is taken up */

static void
new_run(struct job *j)
{
	(void)snprintf(j->run, sizeof j->run, "%08x%08x",
	    (unsigned)arc4random(), (unsigned)arc4random());
}

struct doomed {
	char *name[64];
	size_t count;
	const char *run;
};

static bool
is_doomed(void *ctx, const char *name, struct span properties)
{
	struct doomed *d = ctx;

	(void)properties;
	if (strstr(name, d->run) && d->count < 64)
		d->name[d->count++] = xstrdup(name);
	return true;
}

/* What a run has left in a container; all of it if we made the container. */
int
job_clean(struct job *j, const char *container, const char *run, bool made,
    struct err *e)
{
	struct doomed d = { .run = run };
	int rc;

	if (made)
		return storage_remove(j->storage, container, e);
	rc = blob_list(j->storage, container, NULL, is_doomed, &d, e);
	for (size_t i = 0; i < d.count; i++) {
		if (rc == 0)
			rc = blob_remove(j->storage, container, d.name[i], e);
		free(d.name[i]);
	}
	if (rc == 0 && j->kind == JOB_IMPORT)
		rc = blob_remove(
		    j->storage, container, JOBLOG_CONFIGURATIONS, e);
	if (rc == 0)
		rc = blob_remove(j->storage, container, j->note, e);
	return rc;
}

static void
adopt(struct job *j, const char *container, struct jobnote *n)
{
	free(j->container);
	j->container = xstrdup(container);
	(void)snprintf(j->run, sizeof j->run, "%s", n->run);
	(void)snprintf(j->id, sizeof j->id, "%s", n->id);
	j->round = n->round;
	j->begun = n->begun;
	j->made = n->made;
	j->resumed = true;
}

/* May what a dead run has left be gone on with?  It is adopted by then. */
static bool
is_worth_it(struct job *j, const struct jobnote *n)
{
	struct err e;
	long ended = 0;

	if (!n->mark || strcmp(n->mark, j->mark) != 0)
		return false;
	if (j->round < 0)
		return true;
	if (!*j->id)
		return job_find(j, NULL) || j->kind == JOB_IMPORT;
	if (job_look(j, &ended, &e) != 0)
		return e.status == REMOTE_RETRY && j->kind == JOB_IMPORT;
	if (j->kind == JOB_IMPORT || j->state == JOB_RUNNING)
		return true;
	return j->state == JOB_COMPLETED &&
	       (j->given || ended == 0 ||
		   ended + FRESH_SECONDS > (long)time(NULL));
}

void
job_forget(struct job *j)
{
	j->id[0] = j->reason[0] = '\0';
	j->round = -1;
	j->begun = 0;
	j->made = j->resumed = false;
	j->state = JOB_NONE;
	j->progress = 0;
	new_run(j);
}

/* A job whose run died and that is of no use; what it has left goes. */
static int
drop(struct job *j, const char *container, const struct jobnote *n,
    struct err *e)
{
	struct err ignored;

	if (*j->id && job_look(j, NULL, &ignored) == 0 &&
	    j->state == JOB_RUNNING) {
		if (j->kind == JOB_IMPORT)
			return err_set(e, REMOTE_RETRY, hub_name(j->hub),
			    "still imports another input (job %s): wait for "
			    "it, or cancel it",
			    j->id);
		if (job_cancel(j, e) != 0)
			return -1;
		note("'%s': cancelled %s job %s of a run that died",
		    hub_name(j->hub), job_kinds[j->kind], j->id);
	}
	if (job_clean(j, container, n->run, n->made, e) != 0)
		return -1;
	note("'%s': removed from '%s' what a run that died has left",
	    storage_account(j->storage), container);
	return 0;
}

/* Two runs that find the same one: the first to write over the note has it.
 * 0, 1: the other has; -1. */
static int
claim(struct job *j, const struct jobnote *old, struct err *e)
{
	char *mark = j->mark;
	struct jobnote n;
	int rc;

	/* What becomes of it is not known yet. */
	j->mark = old->mark;
	rc = jobnote_put(j, old->etag, e);
	j->mark = mark;
	if (rc == 0 || e->status != ANSWER_NO)
		return rc;
	/* Or it was ours, and the answer was lost. */
	rc = jobnote_read(j, j->container, &n, e);
	if (rc == 1)
		rc = jobnote_is_mine(&n) ? 0 : 1;
	else if (rc == 0)
		rc = 1;
	jobnote_free(&n);
	if (rc == 1 && j->given)
		return err_set(e, REMOTE_RETRY, j->container,
		    "was taken up by another run");
	return rc;
}

/* What is in a container: a job to go on with (1), nothing or nothing that we
 * want (0), or trouble (-1). */
int
job_take_up(struct job *j, const char *container, struct err *e)
{
	struct jobnote n;
	int rc = jobnote_read(j, container, &n, e);

	if (rc != 1)
		return rc;
	if (jobnote_is_alive(&n)) {
		if (!j->given) {
			note("'%s': another run (process %ld on %s) has an %s "
			     "job",
			    hub_name(j->hub), n.pid, n.node,
			    job_kinds[j->kind]);
			rc = 0;
		} else {
			rc = err_set(e, REMOTE_RETRY, container,
			    "is in use by another run (process %ld on %s)",
			    n.pid, n.node);
		}
		jobnote_free(&n);
		return rc;
	}
	adopt(j, container, &n);
	rc = claim(j, &n, e);
	if (rc != 0) {
		jobnote_free(&n);
		job_forget(j);
		return rc < 0 ? -1 : 0;
	}
	if (is_worth_it(j, &n)) {
		jobnote_free(&n);
		return 1;
	}
	rc = drop(j, container, &n, e);
	jobnote_free(&n);
	job_forget(j);
	return rc;
}

enum { FOUND_MAX = 256 };
struct found {
	char *name[FOUND_MAX], *owner[FOUND_MAX];
	size_t count;
};

static bool
add_found(void *ctx, const char *name, struct span properties)
{
	struct found *f = ctx;

	f->owner[f->count] = storage_xml(&properties, "hubpipe");
	f->name[f->count++] = xstrdup(name);
	return f->count < FOUND_MAX;
}

static bool
is_some(void *ctx, const char *name, struct span properties)
{
	(void)name;
	(void)properties;
	*(bool *)ctx = true;
	return false;
}

/* A run died between making a container and its note. */
static void
remove_orphan(struct job *j, const char *container, const char *owner)
{
	bool some = false;
	struct err e;

	if (!owner || !jobnote_is_orphan(owner) ||
	    blob_list(j->storage, container, NULL, is_some, &some, &e) != 0 ||
	    some)
		return;
	if (storage_remove(j->storage, container, &e) == 0)
		note("'%s': removed the empty container '%s' of a run that "
		     "died",
		    storage_account(j->storage), container);
}

/* Goes through the containers of our making. */
int
job_look_around(struct job *j, struct err *e)
{
	struct found f = { .count = 0 };
	int rc = 0;

	if (storage_containers(j->storage, JOB_PREFIX, add_found, &f, e) != 0) {
		/* Not all may list; then nothing is taken up. */
		trace("containers: %s", e->text);
		rc = e->status == REMOTE_REFUSED ? 0 : -1;
	}
	for (size_t i = 0; i < f.count; i++) {
		if (rc == 0) {
			rc = job_take_up(j, f.name[i], e);
			if (rc < 0 && e->status == ANSWER_NO)
				rc = 0; /* it has just gone */
			if (rc == 0)
				remove_orphan(j, f.name[i], f.owner[i]);
		}
		free(f.name[i]);
		free(f.owner[i]);
	}
	return rc;
}
