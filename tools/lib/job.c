/* job.c: import and export jobs of a hub, and their container; see job.h. */
#include "job.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "arm.h"
#include "interrupt.h"
#include "json.h"
#include "progress.h"

enum {
	SIGNED_SECONDS = 7 * 86400, /* a million take 4 h, the slot as long */
	ALIVE_SECONDS = 600,        /* of a run on another machine */
	BEAT_SECONDS = 120,
	FRESH_SECONDS = 3600, /* an export that ended since is taken up */
	CANCEL_TRIES = 6,
	YOUNG_SECONDS = 10,
	RIGHTS_SECONDS = 45, /* until a new role counts: CONTRACT 16.2 */
};
#define PREFIX "hubpipe-"

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

struct job {
	struct hub *hub;
	struct storage *storage;
	enum job_kind kind;
	char *mark, *container, *note;
	char run[17];
	bool made; /* the container, by a run of ours */
	bool resumed, doubtful;
	long round;
	char id[64], reason[600];
	enum job_state state;
	double progress;
	long begun; /* when the round was */
	time_t beaten;
	char *blob[16];
	size_t blobs;
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

static const char *const kinds[] = { "export", "import" };

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
		    kinds[j->kind], j->id);
	if (job_cancel(j, &ignored) != 0)
		return err_set(e, REMOTE_RETRY, hub_name(j->hub),
		    "interrupted, and %s job %s could not be cancelled: %s",
		    kinds[j->kind], j->id, ignored.text);
	return err_set(e, REMOTE_RETRY, hub_name(j->hub),
	    "interrupted: %s job %s was cancelled", kinds[j->kind], j->id);
}

/* Sleeps until then or until interrupted. */
static void
pause_for(struct job *j, double seconds)
{
	while (seconds > 0 && !interrupt_seen()) {
		double slice = seconds < 0.2 ? seconds : 0.2;

		http_sleep(hub_http(j->hub), slice);
		seconds -= slice;
	}
}

/* -- the note ------------------------------------------------------------- */

struct note {
	char *hub, *kind, *mark, *run, *id, *node, *start, *etag;
	long round, begun, pid, beat;
	bool made;
};

static void
note_free(struct note *n)
{
	free(n->hub);
	free(n->kind);
	free(n->mark);
	free(n->run);
	free(n->id);
	free(n->node);
	free(n->start);
	free(n->etag);
	*n = (struct note){ 0 };
}

/* When a process began, in ticks since the machine did: with its number this
 * tells it from another that got the same one later. */
static char *
start_of(long pid)
{
	char path[48], text[1024], *p;
	FILE *f;
	size_t n;

	(void)snprintf(path, sizeof path, "/proc/%ld/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return NULL;
	n = fread(text, 1, sizeof text - 1, f);
	(void)fclose(f);
	text[n] = '\0';
	p = strrchr(text, ')');
	/* Killed, but its parent does not ask. */
	if (p && p[1] == ' ' && strchr("ZX", p[2]))
		return NULL;
	for (int i = 0; p && i < 20; i++)
		p = strchr(p + 1, ' ');
	return p ? xstrndup(p + 1, strcspn(p + 1, " ")) : NULL;
}

static void
own_node(char node[256])
{
	if (gethostname(node, 255) != 0)
		(void)snprintf(node, 256, "unknown");
	node[255] = '\0';
}

static void
add_text(struct buf *b, const char *name, const char *text)
{
	buf_printf(b, "%s\"%s\":", b->len > 1 ? "," : "", name);
	buf_json(b, text, strlen(text));
}

/* etag: only over that version; NULL: whatever there is. */
static int
put_note(struct job *j, const char *etag, struct err *e)
{
	struct buf b = BUF_INIT;
	char node[256], *start = start_of((long)getpid());
	int rc;

	own_node(node);
	buf_char(&b, '{');
	add_text(&b, "program", "hubpipe");
	add_text(&b, "hub", hub_host(j->hub));
	add_text(&b, "kind", kinds[j->kind]);
	add_text(&b, "mark", j->mark);
	add_text(&b, "run", j->run);
	add_text(&b, "job", j->id);
	add_text(&b, "node", node);
	add_text(&b, "start", start ? start : "");
	buf_printf(&b,
	    ",\"round\":%ld,\"begun\":%ld,\"pid\":%ld,\"beat\":%ld,"
	    "\"made\":%s}\n",
	    j->round, j->begun, (long)getpid(), (long)time(NULL),
	    j->made ? "true" : "false");
	rc = blob_put_over(
	    j->storage, j->container, j->note, etag, buf_peek(&b), e);
	j->beaten = time(NULL);
	free(start);
	buf_free(&b);
	return rc;
}

static int
write_note(struct job *j, struct err *e)
{
	return put_note(j, NULL, e);
}

void
job_beat(struct job *j)
{
	struct err e;

	if (time(NULL) < j->beaten + BEAT_SECONDS)
		return;
	if (write_note(j, &e) != 0)
		trace("note of %s: %s", j->container, e.text);
}

static char *
text_of(struct span object, const char *name)
{
	const char *const path[] = { name, NULL };
	struct span value;

	return json_get(object, path, &value, NULL) == 1 ? json_string(value)
							 : NULL;
}

static long
number_of(struct span object, const char *name)
{
	const char *const path[] = { name, NULL };
	struct span value;
	char *text;
	long n = 0;

	if (json_get(object, path, &value, NULL) == 1) {
		text = span_dup(value);
		n = strtol(text, NULL, 10);
		free(text);
	}
	return n;
}

static bool
is_true(struct span object, const char *name)
{
	const char *const path[] = { name, NULL };
	struct span value;

	return json_get(object, path, &value, NULL) == 1 && value.len == 4 &&
	       *value.at == 't';
}

/* 1, 0: there is none, -1. */
static int
read_note(struct job *j, const char *container, struct note *n, struct err *e)
{
	struct buf text = BUF_INIT;
	char *etag = NULL;
	struct span s;
	struct json scanned = { 0 };
	struct json_fault fault;
	int rc;

	*n = (struct note){ 0 };
	rc = blob_get_tagged(j->storage, container, j->note, &text, &etag, e);
	if (rc != 0)
		return e->status == ANSWER_NO ? 0 : -1;
	s = buf_peek(&text);
	rc = json_scan(s, &scanned, &fault);
	json_free(&scanned);
	if (rc == 0) {
		*n = (struct note){ text_of(s, "hub"), text_of(s, "kind"),
			text_of(s, "mark"), text_of(s, "run"),
			text_of(s, "job"), text_of(s, "node"),
			text_of(s, "start"), etag, number_of(s, "round"),
			number_of(s, "begun"), number_of(s, "pid"),
			number_of(s, "beat"), is_true(s, "made") };
		rc = n->hub && n->kind && n->mark && n->run && n->id &&
		     n->node && n->start && strlen(n->run) == 16 &&
		     strcasecmp(n->hub, hub_host(j->hub)) == 0 &&
		     strcmp(n->kind, kinds[j->kind]) == 0;
	}
	if (!n->etag)
		free(etag);
	if (rc != 1)
		note_free(n);
	buf_free(&text);
	return rc == 1;
}

/* Is who wrote it still at work? */
static bool
is_alive(const struct note *n)
{
	char node[256], *start;
	bool alive;

	own_node(node);
	if (!n->node || strcmp(node, n->node) != 0)
		return n->beat + ALIVE_SECONDS > (long)time(NULL);
	start = start_of(n->pid);
	alive =
	    start && strcmp(start, n->start) == 0 && n->pid != (long)getpid();
	free(start);
	return alive;
}

static bool
is_mine(const struct note *n)
{
	char node[256], *start = start_of((long)getpid());
	bool mine;

	own_node(node);
	mine = n->pid == (long)getpid() && start && n->start && n->node &&
	       strcmp(start, n->start) == 0 && strcmp(node, n->node) == 0;
	free(start);
	return mine;
}

/* -- what the hub says of it ---------------------------------------------- */

static enum job_state
state_of(const char *status)
{
	if (!status)
		return JOB_NONE;
	if (!strcasecmp(status, "completed"))
		return JOB_COMPLETED;
	if (!strcasecmp(status, "failed"))
		return JOB_FAILED;
	if (!strcasecmp(status, "cancelled"))
		return JOB_CANCELLED;
	return JOB_RUNNING; /* enqueued, queued, scheduled, running */
}

/* Seconds since 1970; 0. */
static long
utc_of(const char *text)
{
	struct tm tm = { 0 };

	return text && strptime(text, "%Y-%m-%dT%H:%M:%S", &tm)
		   ? (long)timegm(&tm)
		   : 0;
}

static void
take_answer(struct job *j, struct span body, long *ended)
{
	char *status = text_of(body, "status"),
	     *reason = text_of(body, "failureReason"),
	     *end = text_of(body, "endTimeUtc"), *masked;

	j->state = state_of(status);
	j->progress = (double)number_of(body, "progress");
	j->reason[0] = '\0';
	if (reason) {
		masked = arm_masked(reason);
		(void)snprintf(j->reason, sizeof j->reason, "%.*s",
		    (int)strcspn(masked, "\r\n"), masked);
		free(masked);
	}
	if (ended)
		*ended = utc_of(end);
	free(status);
	free(reason);
	free(end);
}

/* One poll.  A hub that does not know the job any more has lost it. */
static int
look(struct job *j, long *ended, struct err *e)
{
	struct buf body = BUF_INIT;
	char code[64];
	int rc = hub_get(j->hub, &body, code, e, NULL, "/jobs/%s", j->id);

	if (rc == 0)
		take_answer(j, buf_peek(&body), ended);
	else if (e->status == ANSWER_NO && !strcmp(code, "JobNotFound"))
		rc = err_set(e, REMOTE_RETRY, hub_name(j->hub),
		    "does not know its %s job %s any more", kinds[j->kind],
		    j->id);
	buf_free(&body);
	return rc;
}

/* Is the job of a list the one that we began, and whose id nobody kept?  The
 * name of a blob is ours alone; a container may have had the round before. */
static bool
is_ours(const struct job *j, struct span one)
{
	char *type = text_of(one, "type"),
	     *blob = text_of(one,
		 j->kind == JOB_IMPORT ? "inputBlobName" : "outputBlobName"),
	     *uri = text_of(one, "outputBlobContainerUri"), *own;
	bool ours = type && strcasecmp(type, kinds[j->kind]) == 0;

	own = j->kind == JOB_IMPORT ? xasprintf("-%ld-%s.", j->round, j->run)
				    : xasprintf("-%s.", j->run);
	if (blob)
		ours = ours && strstr(blob, own);
	else
		ours = ours && j->round == 0 && uri && strstr(uri, j->run);
	free(type);
	free(blob);
	free(uri);
	free(own);
	return ours;
}

/* Looks through the jobs: for ours (its id is taken), and for the one that has
 * the slot (*other, malloc'd words, or NULL). */
static bool
find(struct job *j, char **other)
{
	struct buf body = BUF_INIT;
	struct json list = { 0 };
	struct json_fault fault;
	struct err e;
	bool found = false;

	if (other)
		*other = NULL;
	if (hub_get(j->hub, &body, NULL, &e, NULL, "/jobs") != 0 ||
	    json_scan(buf_peek(&body), &list, &fault) != 0 ||
	    list.kind != JSON_ARRAY)
		goto out;
	for (size_t i = 0; i < list.count && !found; i++) {
		struct span one = list.member[i].value;
		char *id = text_of(one, "jobId"),
		     *status = text_of(one, "status"),
		     *type = text_of(one, "type");

		if (id && is_ours(j, one)) {
			found = true;
			(void)snprintf(j->id, sizeof j->id, "%s", id);
			take_answer(j, one, NULL);
		} else if (other && !*other && id &&
			   state_of(status) == JOB_RUNNING && type &&
			   (!strcasecmp(type, "export") ||
			       !strcasecmp(type, "import"))) {
			*other = xasprintf("%s job %s, %ld %%", type, id,
			    number_of(one, "progress"));
		}
		free(id);
		free(status);
		free(type);
	}
out:
	json_free(&list);
	buf_free(&body);
	return found;
}

/* -- the container -------------------------------------------------------- */

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
static int
clean(struct job *j, const char *container, const char *run, bool made,
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
		    j->storage, container, JOB_CONFIGURATION_ERRORS, e);
	if (rc == 0)
		rc = blob_remove(j->storage, container, j->note, e);
	return rc;
}

static void
adopt(struct job *j, const char *container, struct note *n)
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
is_worth_it(struct job *j, const struct note *n)
{
	struct err e;
	long ended = 0;

	if (!n->mark || strcmp(n->mark, j->mark) != 0)
		return false;
	if (j->round < 0)
		return true;
	if (!*j->id)
		return find(j, NULL) || j->kind == JOB_IMPORT;
	if (look(j, &ended, &e) != 0)
		return e.status == REMOTE_RETRY && j->kind == JOB_IMPORT;
	if (j->kind == JOB_IMPORT || j->state == JOB_RUNNING)
		return true;
	return j->state == JOB_COMPLETED &&
	       (container_option || ended == 0 ||
		   ended + FRESH_SECONDS > (long)time(NULL));
}

static void
forget(struct job *j)
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
drop(struct job *j, const char *container, const struct note *n, struct err *e)
{
	struct err ignored;

	if (*j->id && look(j, NULL, &ignored) == 0 && j->state == JOB_RUNNING) {
		if (j->kind == JOB_IMPORT)
			return err_set(e, REMOTE_RETRY, hub_name(j->hub),
			    "still imports another input (job %s): wait for "
			    "it, or cancel it",
			    j->id);
		if (job_cancel(j, e) != 0)
			return -1;
		note("'%s': cancelled %s job %s of a run that died",
		    hub_name(j->hub), kinds[j->kind], j->id);
	}
	if (clean(j, container, n->run, n->made, e) != 0)
		return -1;
	note("'%s': removed from '%s' what a run that died has left",
	    storage_account(j->storage), container);
	return 0;
}

/* Two runs that find the same one: the first to write over the note has it.
 * 0, 1: the other has; -1. */
static int
claim(struct job *j, const struct note *old, struct err *e)
{
	char *mark = j->mark;
	struct note n;
	int rc;

	/* What becomes of it is not known yet. */
	j->mark = old->mark;
	rc = put_note(j, old->etag, e);
	j->mark = mark;
	if (rc == 0 || e->status != ANSWER_NO)
		return rc;
	/* Or it was ours, and the answer was lost. */
	rc = read_note(j, j->container, &n, e);
	if (rc == 1)
		rc = is_mine(&n) ? 0 : 1;
	else if (rc == 0)
		rc = 1;
	note_free(&n);
	if (rc == 1 && container_option)
		return err_set(e, REMOTE_RETRY, j->container,
		    "was taken up by another run");
	return rc;
}

/* What is in a container: a job to go on with (1), nothing or nothing that we
 * want (0), or trouble (-1). */
static int
take_up(struct job *j, const char *container, struct err *e)
{
	struct note n;
	int rc = read_note(j, container, &n, e);

	if (rc != 1)
		return rc;
	if (is_alive(&n)) {
		if (!container_option) {
			note("'%s': another run (process %ld on %s) has an %s "
			     "job",
			    hub_name(j->hub), n.pid, n.node, kinds[j->kind]);
			rc = 0;
		} else {
			rc = err_set(e, REMOTE_RETRY, container,
			    "is in use by another run (process %ld on %s)",
			    n.pid, n.node);
		}
		note_free(&n);
		return rc;
	}
	adopt(j, container, &n);
	rc = claim(j, &n, e);
	if (rc != 0) {
		note_free(&n);
		forget(j);
		return rc < 0 ? -1 : 0;
	}
	if (is_worth_it(j, &n)) {
		note_free(&n);
		return 1;
	}
	rc = drop(j, container, &n, e);
	note_free(&n);
	forget(j);
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

/* "PID-START-NODE", for a container that has no note yet. */
static char *
own_name(void)
{
	char node[256], *start = start_of((long)getpid()), *name;

	own_node(node);
	name = xasprintf("%ld-%s-%s", (long)getpid(), start ? start : "", node);
	free(start);
	return name;
}

/* Did somebody on this machine make it who is gone? */
static bool
is_orphan(const char *owner)
{
	struct note n = { .beat = (long)time(NULL) };
	char *copy = xstrdup(owner), *start, *node = NULL;
	bool dead = false;

	start = strchr(copy, '-');
	if (start)
		node = strchr(start + 1, '-');
	if (node) {
		*start++ = *node++ = '\0';
		n.pid = strtol(copy, NULL, 10);
		n.start = start;
		n.node = node;
		dead = !is_alive(&n);
	}
	free(copy);
	return dead;
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

	if (!owner || !is_orphan(owner) ||
	    blob_list(j->storage, container, NULL, is_some, &some, &e) != 0 ||
	    some)
		return;
	if (storage_remove(j->storage, container, &e) == 0)
		note("'%s': removed the empty container '%s' of a run that "
		     "died",
		    storage_account(j->storage), container);
}

/* Goes through the containers of our making. */
static int
look_around(struct job *j, struct err *e)
{
	struct found f = { .count = 0 };
	int rc = 0;

	if (storage_containers(j->storage, PREFIX, add_found, &f, e) != 0) {
		/* Not all may list; then nothing is taken up. */
		trace("containers: %s", e->text);
		rc = e->status == REMOTE_REFUSED ? 0 : -1;
	}
	for (size_t i = 0; i < f.count; i++) {
		if (rc == 0) {
			rc = take_up(j, f.name[i], e);
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

static int
make_container(struct job *j, struct err *e)
{
	bool existed = true;
	char *owner = own_name();
	int rc = 0;

	free(j->container);
	j->container = container_option ? xstrdup(container_option)
					: xasprintf(PREFIX "%s", j->run);
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
		    hub_name(j->hub), kinds[j->kind], j->id, j->container,
		    minutes);
	else
		note("'%s': goes on with container '%s'", hub_name(j->hub),
		    j->container);
}

static int
open_job(struct job *j, struct err *e)
{
	int rc;

	if (container_option && !is_container(container_option))
		return err_set(e, BAD_USAGE, container_option,
		    "--container: a name has 3 to 63 small letters, digits and "
		    "single hyphens");
	if (!container_option && !storage_makes_containers(j->storage))
		return err_set(e, BAD_USAGE, storage_account(j->storage),
		    "the signature is for one container only: name it with "
		    "--container");
	if (identity_option && !storage_by_identity(j->storage))
		return err_set(e, BAD_USAGE, NULL,
		    "--job-identity goes with --storage only");
	if (!keep_blobs)
		storage_warn_kept(j->storage);
	rc = container_option ? take_up(j, container_option, e)
			      : look_around(j, e);
	/* A container that is not there yet has no note. */
	if (rc < 0)
		return -1;
	if (rc == 0 && make_container(j, e) != 0)
		return -1;
	if (rc == 1)
		say_resumed(j);
	return write_note(j, e);
}

struct job *
job_open(struct hub *hub, struct storage *storage, enum job_kind kind,
    const char *mark, struct err *e)
{
	struct job *j = xcalloc(1, sizeof *j);

	j->hub = hub;
	j->storage = storage;
	j->kind = kind;
	j->mark = xstrdup(mark);
	j->note = xasprintf("hubpipe-%s-%s.json", hub_name(hub), kinds[kind]);
	forget(j);
	if (open_job(j, e) == 0)
		return j;
	job_free(j);
	return NULL;
}

bool
job_resumed(const struct job *j)
{
	return j->resumed;
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

double
job_progress(const struct job *j)
{
	return j->progress;
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

/* -- one round ------------------------------------------------------------ */

/* The body of POST /jobs/create (CONTRACT 16.1). */
static int
job_body(struct job *j, const struct job_spec *s, struct buf *b, struct err *e)
{
	/* An export without d was refused (CONTRACT 16.2). */
	char *url = storage_job_url(
	    j->storage, j->container, "racwdl", SIGNED_SECONDS, e);

	if (!url)
		return -1;
	buf_char(b, '{');
	add_text(b, "type", kinds[j->kind]);
	if (j->kind == JOB_IMPORT) {
		add_text(b, "inputBlobContainerUri", url);
		add_text(b, "inputBlobName", s->input);
	} else {
		buf_printf(b, ",\"excludeKeysInExport\":%s",
		    s->exclude_keys ? "true" : "false");
	}
	add_text(b, "outputBlobContainerUri", url);
	if (s->output)
		add_text(b, "outputBlobName", s->output);
	if (s->configurations) {
		buf_text(b, ",\"includeConfigurations\":true");
		add_text(b, "configurationsBlobName", s->configurations);
	}
	add_text(b, "storageAuthenticationType",
	    storage_by_identity(j->storage) ? "identityBased" : "keyBased");
	if (identity_option) {
		buf_text(b, ",\"identity\":{\"userAssignedIdentity\":");
		buf_json(b, identity_option, strlen(identity_option));
		buf_char(b, '}');
	}
	buf_char(b, '}');
	free(url);
	return 0;
}

static void
add_remedy(const struct job *j, struct err *e)
{
	size_t n = strlen(e->text);

	(void)snprintf(e->text + n, sizeof e->text - n,
	    storage_by_identity(j->storage)
		? " (the hub needs a managed identity with the role 'Storage "
		  "Blob Data Contributor' on '%s')"
		: " (what signs for '%s' must permit to read, write, delete "
		  "and list, and outlast the job)",
	    storage_account(j->storage));
}

static double
wall(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A tenth of what has passed so far: soon noticed, and few calls. */
static double
honest_wait(double since, double least, double most)
{
	double wait = (wall() - since) / 10;

	return wait < least ? least : wait > most ? most : wait;
}

/* 1: it is there; 0: not yet; -1. */
static int
create(struct job *j, const struct job_spec *spec, char code[64], bool *doubt,
    struct err *e)
{
	struct http_request r =
	    hub_request(j->hub, "POST", NULL, "/jobs/create");
	struct http_reply reply = { 0 };
	char *id;
	int rc;

	if (job_body(j, spec, &r.body, e) != 0) {
		free(r.url);
		buf_wipe(&r.body);
		return -1;
	}
	r.expect_json = true;
	r.audit = "createJob";
	r.audit_id = xstrdup(kinds[j->kind]);
	http_one(hub_http(j->hub), &r, &reply);
	*doubt = reply.ambiguous;
	rc = hub_check(j->hub, &reply, hub_name(j->hub), code, e);
	if (rc == 0) {
		id = text_of(buf_peek(&reply.body), "jobId");
		take_answer(j, buf_peek(&reply.body), NULL);
		rc = 1;
		if (id && strlen(id) < sizeof j->id)
			(void)snprintf(j->id, sizeof j->id, "%s", id);
		else
			rc = err_set(e, REMOTE_RETRY, hub_name(j->hub),
			    "began a job without saying which");
		free(id);
	}
	http_reply_free(&reply);
	return rc;
}

/* Until the job is there. */
static int
create_patiently(
    struct job *j, const struct job_spec *spec, char code[64], struct err *e)
{
	double since = wall();
	bool doubt = false, said = false, rights = false;
	char *other;
	int rc, lost = 0;

	for (;;) {
		other = NULL;
		rc = create(j, spec, code, &doubt, e);
		if (rc == 1)
			return 0;
		j->doubtful |= doubt;
		if ((doubt || !strcmp(code, "JobQuotaExceeded")) &&
		    find(j, &other)) {
			free(other);
			return 0;
		}
		if (doubt && ++lost < 5) {
			free(other);
			pause_for(j, 1);
		} else if (!doubt && !strcmp(code, "JobQuotaExceeded")) {
			if (!said)
				note("'%s': waits until another job is over "
				     "(%s): a hub has one import or export at "
				     "a time",
				    hub_name(j->hub),
				    other ? other : "which, it does not say");
			said = true;
			free(other);
			job_beat(j);
			pause_for(j, honest_wait(since, 0.5, 30));
		} else if (!strcmp(code, "BlobContainerValidationError") &&
			   storage_by_identity(j->storage) &&
			   strstr(e->text, "Unauthorized") &&
			   wall() - since < RIGHTS_SECONDS) {
			if (!rights)
				note("'%s': a role that was just given counts "
				     "after half a minute: trying for %d s",
				    storage_account(j->storage),
				    RIGHTS_SECONDS);
			rights = true;
			pause_for(j, 3);
		} else {
			if (!strcmp(code, "BlobContainerValidationError"))
				add_remedy(j, e);
			free(other);
			return -1;
		}
		if (interrupt_seen())
			return job_interrupt(j, e);
	}
}

int
job_begin(struct job *j, long round, const struct job_spec *spec, char code[64],
    struct err *e)
{
	code[0] = '\0';
	if (j->round == round && *j->id)
		return 0;
	if (spec->configurations && j->kind == JOB_IMPORT &&
	    blob_remove(
		j->storage, j->container, JOB_CONFIGURATION_ERRORS, e) != 0)
		return -1;
	/* Who dies between the two notes is found by what the hub lists. */
	j->doubtful |= j->round == round;
	if (!(j->round == round && find(j, NULL))) {
		j->round = round;
		j->id[0] = '\0';
		j->begun = (long)time(NULL);
		j->state = JOB_NONE;
		if (write_note(j, e) != 0 ||
		    create_patiently(j, spec, code, e) != 0)
			return -1;
	}
	trace("job %s", j->id);
	return write_note(j, e);
}

/* Why a job is over that is not completed. */
static int
say_end(struct job *j, struct err *e)
{
	bool rights = strstr(j->reason, "Unauthorized") != NULL ||
		      strstr(j->reason, "AuthenticationFailed") != NULL;

	if (j->state == JOB_CANCELLED)
		return err_set(e, REMOTE_RETRY, hub_name(j->hub),
		    "its %s job %s was cancelled by somebody else",
		    kinds[j->kind], j->id);
	err_set(e, REMOTE_REFUSED, hub_name(j->hub), "its %s job %s failed: %s",
	    kinds[j->kind], j->id,
	    *j->reason ? j->reason : "it does not say why");
	if (rights)
		add_remedy(j, e);
	return -1;
}

int
job_wait(struct job *j, const char *what, long total, struct err *e)
{
	double since = wall();
	long shown = 0;
	int rc = 0;

	progress_begin(
	    total > 0 ? what : "per cent of the job", total > 0 ? total : 100);
	while (rc == 0) {
		long now;

		rc = look(j, NULL, e);
		/* It may not be seen at once. */
		if (rc != 0 && *j->id && wall() - since < YOUNG_SECONDS &&
		    strstr(e->text, "does not know")) {
			rc = 0;
			j->state = JOB_RUNNING;
		}
		if (rc != 0)
			break;
		now = (long)(j->progress * (total > 0 ? total : 100) / 100);
		if (now > shown)
			progress_add(now - shown);
		shown = now > shown ? now : shown;
		if (j->state != JOB_RUNNING)
			break;
		job_beat(j);
		/* hub-sim's are soon over; this costs the service ten looks. */
		pause_for(j,
		    honest_wait(since, wall() - since < 0.5 ? 0.05 : 0.25, 30));
		if (interrupt_seen())
			rc = job_interrupt(j, e);
	}
	progress_end();
	if (rc == 0 && j->state != JOB_COMPLETED)
		rc = say_end(j, e);
	return rc;
}

int
job_cancel(struct job *j, struct err *e)
{
	for (int i = 0;; i++) {
		struct http_request r =
		    hub_request(j->hub, "DELETE", NULL, "/jobs/%s", j->id);
		struct http_reply reply = { 0 };
		struct err ignored;
		char code[64];
		int rc;

		r.audit = "cancelJob";
		r.audit_id = xstrdup(j->id);
		/* One that is over can answer 500 (CONTRACT 16.1). */
		r.no_retry = true;
		http_one(hub_http(j->hub), &r, &reply);
		rc = hub_check(j->hub, &reply, hub_name(j->hub), code, e);
		http_reply_free(&reply);
		if (look(j, NULL, &ignored) == 0 && j->state != JOB_RUNNING)
			return 0;
		if (i == CANCEL_TRIES)
			return rc == 0
				   ? err_set(e, REMOTE_RETRY, hub_name(j->hub),
					 "job %s does not end", j->id)
				   : rc;
		http_sleep(hub_http(j->hub), 0.2 * (i + 1));
	}
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
		if (clean(j, j->container, j->run, j->made, &e) != 0)
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

/* -- logs ----------------------------------------------------------------- */

/* "Invalid device format in line: {...}. Error converting value ...": the line
 * and what is said of it, each malloc'd. */
static void
split_status(const char *status, char **text, char **line)
{
	const char *at = strstr(status, " in line: "), *end = NULL, *p;

	*line = NULL;
	if (!at) {
		*text = xstrdup(status);
		return;
	}
	at += strlen(" in line: ");
	/* The last sentence is the reason; a line may hold such ends too. */
	for (p = strstr(at, ". "); p; p = strstr(p + 1, ". "))
		if (!end || p[-1] == '}')
			end = p;
	*line = end ? xstrndup(at, (size_t)(end - at)) : xstrdup(at);
	*text = xasprintf("%.*s%s%s", (int)(at - status - 10), status,
	    end ? ": " : "", end ? end + 2 : "");
}

static void
say_error(struct span text, job_said *said, void *ctx)
{
	char *id = text_of(text, "deviceId"),
	     *module = text_of(text, "moduleId"),
	     *configuration = text_of(text, "configurationId"),
	     *status = text_of(text, "errorStatus"), *words, *line;
	struct job_error error = { id, module, configuration,
		number_of(text, "errorCode"), "", "", NULL };

	if (!id)
		error.id = id = text_of(text, "id");
	split_status(status ? status : "", &words, &line);
	error.name = hub_error_name(error.code);
	error.text = words;
	error.line = line;
	said(ctx, &error);
	free(id);
	free(module);
	free(configuration);
	free(status);
	free(words);
	free(line);
}

static int
read_log(struct blob_reader *r, const char *blob, job_said *said, void *ctx,
    struct err *e)
{
	struct line line;
	enum lines_got got;

	while ((got = blob_read_line(r, &line, e)) > 0) {
		struct json scanned = { 0 };
		struct json_fault fault;
		int rc;

		if (got == LINES_LINE && span_is_blank(line.text))
			continue;
		rc = got == LINES_LINE ? json_scan(line.text, &scanned, &fault)
				       : -1;
		if (rc == 0 && scanned.kind != JSON_OBJECT)
			rc = -1;
		json_free(&scanned);
		if (rc != 0)
			return err_set(e, REMOTE_REFUSED, blob,
			    "line %ld of the log is no JSON object",
			    line.number);
		say_error(line.text, said, ctx);
	}
	return got == LINES_END ? 0 : -1;
}

int
job_errors(struct job *j, const char *blob, job_said *said, void *ctx,
    bool *found, struct err *e)
{
	struct blob_reader *r;
	int rc;

	r = blob_read(j->storage, j->container, blob, 0, e);
	/* A hub that does not heed the name of the log. */
	if (!r && e->status == ANSWER_NO &&
	    strcmp(blob, JOB_CONFIGURATION_ERRORS) != 0)
		r = blob_read(
		    j->storage, j->container, "importErrors.log", 0, e);
	*found = r != NULL;
	if (!r)
		return e->status == ANSWER_NO ? 0 : -1;
	rc = read_log(r, blob, said, ctx, e);
	blob_read_close(r);
	return rc;
}
