/* job.c: import and export jobs of a hub, and their container; see job.h. */
#include "jobroom.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "interrupt.h"

static const char *container_option, *identity_option;
static bool keep_blobs, cancel_on_interrupt;

const struct opt job_opts[] = {
	OPT_TEXT(0, "container", "NAME", &container_option,
	    "the container of the job (else a fresh one, removed afterwards)"),
	OPT_FLAG(0, "keep-blobs", &keep_blobs,
	    "leave the blobs of the job, with the keys in them, where they "
	    "are"),
	OPT_FLAG(0, "cancel-on-interrupt", &cancel_on_interrupt,
	    "cancel the job when interrupted; else it goes on, and the next "
	    "run goes on with it"),
	OPT_TEXT(0, "job-identity", "ID", &identity_option,
	    "with --storage: the user-assigned identity of the hub that its "
	    "job uses"),
	OPT_GROUP(storage_opts),
	OPT_END,
};

static void
job_free(struct job *j)
{
	for (size_t i = 0; i < j->blobs; i++)
		free(j->blob[i]);
	free(j->mark);
	free(j->container);
	free(j->note);
	free(j);
}

const char *const job_kinds[] = { "export", "import" };

/* -- interruption --------------------------------------------------------- */

bool
job_interrupted(void)
{
	return interrupt_seen() != 0;
}

int
job_interrupt(struct job *j, struct err *e)
{
	struct err ignored;

	if (!*j->id || j->state == JOB_COMPLETED)
		return err_set(
		    e, REMOTE_RETRY, hub_name(j->hub), "interrupted");
	if (!cancel_on_interrupt)
		return err_set(e, REMOTE_RETRY, hub_name(j->hub),
		    "interrupted: %s job %s goes on by itself (the same "
		    "command goes on with it)",
		    job_kinds[j->kind], j->id);
	if (job_cancel(j, &ignored) != 0)
		return err_set(e, REMOTE_RETRY, hub_name(j->hub),
		    "interrupted, and %s job %s could not be cancelled: %s",
		    job_kinds[j->kind], j->id, ignored.text);
	return err_set(e, REMOTE_RETRY, hub_name(j->hub),
	    "interrupted: %s job %s was cancelled", job_kinds[j->kind], j->id);
}

/* -- the container -------------------------------------------------------- */

static int
make_container(struct job *j, struct err *e)
{
	bool existed = true;
	char *owner = jobnote_owner();
	int rc = 0;

	free(j->container);
	j->container =
	    j->given ? xstrdup(j->given) : xasprintf(JOB_PREFIX "%s", j->run);
	if (storage_makes_containers(j->storage))
		rc = storage_make(j->storage, j->container, owner, &existed, e);
	j->made = !existed;
	free(owner);
	return rc;
}

static bool
is_container(const char *name)
{
	size_t n = strlen(name);

	return n >= 3 && n <= 63 && *name != '-' && name[n - 1] != '-' &&
	       !strstr(name, "--") &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

/* An export is as old as its job. */
static void
say_resumed(const struct job *j)
{
	long minutes = ((long)time(NULL) - j->begun) / 60;

	if (*j->id)
		note("'%s': goes on with %s job %s in container '%s', begun "
		     "%ld min ago",
		    hub_name(j->hub), job_kinds[j->kind], j->id, j->container,
		    minutes);
	else
		note("'%s': goes on with container '%s'", hub_name(j->hub),
		    j->container);
}

static int
open_job(struct job *j, struct err *e)
{
	int rc;

	if (j->given && !is_container(j->given))
		return err_set(e, BAD_USAGE, j->given,
		    "--container: a name has 3 to 63 small letters, digits and "
		    "single hyphens");
	if (!j->given && !storage_makes_containers(j->storage))
		return err_set(e, BAD_USAGE, storage_account(j->storage),
		    "the signature is for one container only: name it with "
		    "--container");
	if (j->identity && !storage_by_identity(j->storage))
		return err_set(e, BAD_USAGE, NULL,
		    "--job-identity goes with --storage only");
	if (!keep_blobs)
		storage_warn_kept(j->storage);
	rc = j->given ? job_take_up(j, j->given, e) : job_look_around(j, e);
	/* A container that is not there yet has no note. */
	if (rc < 0)
		return -1;
	if (rc == 0 && make_container(j, e) != 0)
		return -1;
	if (rc == 1)
		say_resumed(j);
	return jobnote_put(j, NULL, e);
}

struct job *
job_open(struct hub *hub, struct storage *storage, enum job_kind kind,
    const char *mark, struct err *e)
{
	struct job *j = xcalloc(1, sizeof *j);

	j->given = container_option;
	j->identity = identity_option;
	j->hub = hub;
	j->storage = storage;
	j->kind = kind;
	j->mark = xstrdup(mark);
	j->note =
	    xasprintf("hubpipe-%s-%s.json", hub_name(hub), job_kinds[kind]);
	job_forget(j);
	if (open_job(j, e) == 0)
		return j;
	job_free(j);
	return NULL;
}

bool
job_doubtful(const struct job *j)
{
	return j->doubtful;
}

const char *
job_container(const struct job *j)
{
	return j->container;
}

const char *
job_blob(struct job *j, const char *stem, const char *suffix)
{
	char *name = xasprintf("%s-%s%s", stem, j->run, suffix);

	for (size_t i = 0; i < j->blobs; i++)
		if (strcmp(j->blob[i], name) == 0) {
			free(name);
			return j->blob[i];
		}
	if (j->blobs == sizeof j->blob / sizeof *j->blob)
		bug("a job with too many blobs");
	return j->blob[j->blobs++] = name;
}

long
job_round(const struct job *j)
{
	return j->round;
}

enum job_state
job_state(const struct job *j)
{
	return j->state;
}

const char *
job_id(const struct job *j)
{
	return j->id;
}

const char *
job_reason(const struct job *j)
{
	return j->reason;
}

/* -- the end -------------------------------------------------------------- */

void
job_close(struct job *j, bool done)
{
	struct err e;
	char *url;

	if (!j)
		return;
	url = storage_url(j->storage, j->container, NULL);
	if (done && keep_blobs) {
		if (blob_remove(j->storage, j->container, j->note, &e) != 0)
			warn_err(&e);
		note("kept: %s, blobs named *-%s*, with all that is in them",
		    url, j->run);
	} else if (done) {
		if (job_clean(j, j->container, j->run, j->made, &e) != 0)
			warn(j->container,
			    "could not be removed, and holds what the job "
			    "wrote, keys too: %s (%s)",
			    e.text, url);
	} else {
		note("left for the next run: %s (it goes on with it, or "
		     "removes it)",
		    url);
	}
	free(url);
	job_free(j);
}
