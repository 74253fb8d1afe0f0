/* importjob.c: records through import jobs of the hub; see importjob.h. */
#include "importroom.h"

#include <stdio.h>
#include <stdlib.h>

#include "configurations.h"
#include "progress.h"
#include "via.h"

enum {
	ROUNDS = IMPORTJOB_ROUNDS,
	ATTEMPTS = 2, /* of a job that fails */
};

/* -- a job ------------------------------------------------------------------
 */

/* Jobs of one run have numbers that grow; a round may need two of them. */
static long
number(const struct importjob *j)
{
	return (long)j->round * ATTEMPTS + j->attempt;
}

static const char *
blob_of(struct importjob *j, const char *what, const char *suffix)
{
	char stem[48];

	(void)snprintf(stem, sizeof stem, "%s-%ld", what, number(j));
	return job_blob(j->job, stem, suffix);
}

static int
upload(struct importjob *j, const char *name, struct err *e)
{
	struct blob_writer *to =
	    blob_write(j->storage, job_container(j->job), name);

	if (import_write(j, to, e)) {
		blob_write_drop(to);
		return -1;
	}
	return blob_write_close(to, NULL, e);
}

/* What may have been sent may have been applied. */
static void
mark_sent(struct importjob *j)
{
	struct ledger *g = j->l->ledger;

	for (uint32_t i = 0; i < g->count; i++) {
		if (!(ledger_at(g, i)->flags & SENT))
			continue;
		j->l->step = import_step(j, ledger_at(g, i));
		loadrun_sending(j->l, i);
		ledger_edit(g, i)->state = LEDGER_LOOK;
	}
}

/* Begins the job, unless an earlier run has, and waits for its end.  0: it was
 * completed; -1 with *e, and job_state() says how it is. */
static int
run_job(struct importjob *j, char code[64], struct err *e)
{
	struct job_spec spec = { 0 };

	*code = '\0';
	if (job_round(j->job) < number(j) || !*job_id(j->job)) {
		spec.input = blob_of(j, "devices", ".txt");
		if (upload(j, spec.input, e))
			return -1;
		j->unread = false;
		spec.output = blob_of(j, "errors", ".log");
		if (job_begin(j->job, number(j), &spec, code, e))
			return -1;
	}
	mark_sent(j);
	return job_wait(j->job, "lines", j->sent, e);
}

/* What the log says.  false: it is not there, or not whole. */
static bool
read_log(struct importjob *j, const char *name)
{
	struct err e;
	bool found = false;

	if (joblog_read(j->storage, job_container(j->job), name,
		import_take_error, j, &found, &e) == 0)
		return found;
	warn_err(&e);
	return false;
}

static bool
is_there(struct importjob *j, const char *name)
{
	struct err e;
	struct blob_reader *r =
	    blob_read(j->storage, job_container(j->job), name, 0, &e);

	if (!r)
		return false;
	blob_read_close(r);
	return true;
}

/* -- a round ----------------------------------------------------------------
 */

static const char *
done_name(struct importjob *j)
{
	char stem[32];

	(void)snprintf(stem, sizeof stem, "round-%d", j->round);
	return job_blob(j->job, stem, ".txt");
}

/* A job of an earlier run, before the last one: its log, if that is whole. */
static void
replay(struct importjob *j)
{
	struct buf b = BUF_INIT;
	struct err e;
	const char *log;
	bool known;

	known = blob_get(j->storage, job_container(j->job), done_name(j), &b,
		    &e) == 0;
	if (known) {
		j->attempt = (int)strtol(b.at ? b.at : "0", NULL, 10);
		known = import_read(j, blob_of(j, "devices", ".txt"), &e) == 0;
	}
	mark_sent(j);
	if (known) {
		log = blob_of(j, "errors", ".log");
		/* Its own name, or it may be the log of a later job. */
		if (is_there(j, log) && read_log(j, log)) {
			buf_free(&b);
			import_believe(j);
			return;
		}
	}
	buf_free(&b);
	err_set(&e, REMOTE_RETRY, job_container(j->job),
	    "has no log any more of what an earlier run imported");
	import_doubt(j, &e);
}

static void
completed(struct importjob *j)
{
	struct err e;
	char text[8];

	if (j->unread || !read_log(j, blob_of(j, "errors", ".log"))) {
		err_set(&e, REMOTE_RETRY, hub_name(j->l->hub),
		    "the job is completed, but its %s is not there",
		    j->unread ? "file" : "log");
		import_doubt(j, &e);
		return;
	}
	(void)snprintf(text, sizeof text, "%d", j->attempt);
	if (blob_put(j->storage, job_container(j->job), done_name(j),
		span_of(text), &e))
		warn_err(&e);
	import_believe(j);
}

/* Would the same lines fail the same way? */
static bool
is_hopeless(const char *reason)
{
	return strcasestr(reason, "quota") || strstr(reason, "403002") ||
	       strcasestr(reason, "Unauthorized");
}

/* No job, but calls: where nobody said which, or what is left is little. */
static bool
can_do_without(const struct importjob *j, const char *code)
{
	if (j->round > 0 && j->sent <= FEW)
		return true;
	return strcmp(code, "OperationNotAvailableInCurrentTier") == 0 &&
	       !via_is_told();
}

static void
carry(struct importjob *j)
{
	struct loadrun *l = j->l;
	bool begun;
	enum job_state state;
	struct quota_cost cost;
	char code[64];
	struct err e;

	j->attempt = 0;
	j->unread = false;
	if (job_round(j->job) >= number(j) + ATTEMPTS) {
		replay(j);
		return;
	}
	if (job_round(j->job) > number(j))
		j->attempt = (int)(job_round(j->job) - number(j));
	if (job_round(j->job) == number(j) && *job_id(j->job) &&
	    import_read(j, blob_of(j, "devices", ".txt"), &e)) {
		warn_err(&e);
		j->unread = true;
	}
	for (;; j->attempt++) {
		int rc = run_job(j, code, &e);

		/* Careful: what is there and differs may be another's. */
		j->again =
		    j->attempt > 0 || (job_doubtful(j->job) && !j->careful);
		if (rc == 0) {
			completed(j);
			return;
		}
		state = job_state(j->job);
		if (job_interrupted() || ledger_changed(l->ledger, &e)) {
			loadrun_stop(l, &e);
			return;
		}
		if (state != JOB_FAILED || import_count(j) <= FEW ||
		    j->attempt + 1 == ATTEMPTS ||
		    is_hopeless(job_reason(j->job)))
			break;
		warn_err(&e);
		note("'%s': the same lines once more", hub_name(l->hub));
	}
	begun = job_round(j->job) == number(j) && *job_id(j->job);
	if (begun && (state == JOB_FAILED || state == JOB_CANCELLED)) {
		/* What it has said until then is true. */
		if (is_there(j, blob_of(j, "errors", ".log")))
			(void)read_log(j, blob_of(j, "errors", ".log"));
		import_look_at_vague(j);
		import_doubt(j, &e);
	} else if (!begun && can_do_without(j, code)) {
		warn_err(&e);
		note("'%s': by calls, then", hub_name(l->hub));
		j->off = true;
		load_plan_cost(l->plan, &cost);
		quota_plan(l->quota, &cost);
	} else {
		loadrun_stop(l, &e);
	}
}

void
importjob_round(struct importjob *j, int round)
{
	struct loadrun *l = j->l;

	if (j->off || l->stop != DONE)
		return;
	j->round = round;
	j->attempt = 0;
	/* Its own job is another matter. */
	j->careful =
	    import_is_careful(l) &&
	    (job_round(j->job) < number(j) ||
		(job_round(j->job) < number(j) + ATTEMPTS && !*job_id(j->job)));
	import_choose(j);
	loadrun_tick(l); /* all that was read is as it was */
	if (j->sent && l->stop == DONE) {
		j->unjoined = 0;
		progress_end();
		quota_follow(l->quota, false,
		    round == 0 && l->by_jobs.lines[1]
			? via_job_seconds(l->by_jobs.lines[1])
			: 0);
		carry(j);
		quota_follow(l->quota, true, 0);
		progress_begin("records", (long)l->ledger->count - l->rejected);
		progress_add(l->applied + l->equal + l->failed);
		import_look(j, false);
		buf_free(&j->left);
	}
	import_forget(j);
}

/* -- configurations -----------------------------------------------------------
 */

static void
take_configuration_error(void *ctx, const struct joblog_error *error)
{
	struct importjob *j = ctx;
	char code[64];

	import_code(error, code);
	if (!configurations_refused(j->l->configurations,
		error->configuration ? error->configuration : error->id,
		error->line, code, error->text))
		j->unjoined++;
}

/* This round's job, in whatever way. */
static bool
has_ended(const struct importjob *j)
{
	enum job_state state = job_state(j->job);

	return job_round(j->job) == number(j) && *job_id(j->job) &&
	       (state == JOB_COMPLETED || state == JOB_FAILED ||
		   state == JOB_CANCELLED);
}

/* A file without devices, and one with configurations. */
static int
run_configurations(struct importjob *j, struct span lines, long count,
    char code[64], struct err *e)
{
	const char *container = job_container(j->job);
	struct job_spec spec = { .input = blob_of(j, "devices", ".txt"),
		.output = blob_of(j, "errors", ".log"),
		.configurations = blob_of(j, "configurations", ".txt") };

	if (job_round(j->job) < number(j) &&
	    (blob_put(j->storage, container, spec.input, span_of(""), e) ||
		blob_put(j->storage, container, spec.configurations, lines, e)))
		return -1;
	if (job_begin(j->job, number(j), &spec, code, e))
		return -1;
	return job_wait(j->job, "configurations", count, e);
}

void
importjob_configurations(struct importjob *j)
{
	struct configurations *c = j->l->configurations;
	struct buf lines = BUF_INIT;
	char code[64];
	bool found = false;
	struct err e;
	long n;

	if (j->off || !c)
		return;
	j->round = ROUNDS;
	j->attempt = 0;
	j->unjoined = 0;
	n = configurations_lines(c, j->l->hub, &lines, &e);
	/* Why not, calls are told as well. */
	if (n <= 0 && job_round(j->job) < number(j))
		goto out;
	if (run_configurations(j, buf_peek(&lines), n, code, &e)) {
		if (job_interrupted()) {
			loadrun_stop(j->l, &e);
			goto out;
		}
		warn_err(&e);
		note(
		    "'%s': configurations by calls, then", hub_name(j->l->hub));
	}
	if (has_ended(j) &&
	    joblog_read(j->storage, job_container(j->job),
		JOBLOG_CONFIGURATIONS, take_configuration_error, j, &found, &e))
		warn_err(&e);
	if (j->unjoined)
		warn(hub_name(j->l->hub),
		    "the log of the job has %ld errors that fit no "
		    "configuration: all of these are looked at",
		    j->unjoined);
out:
	buf_free(&lines);
}

/* -- before and after ---------------------------------------------------------
 */

static bool
has_todo(struct ledger *g)
{
	for (uint32_t i = 0; i < g->count; i++)
		if (ledger_at(g, i)->state == LEDGER_TODO)
			return true;
	return false;
}

bool
importjob_wanted(struct loadrun *l, const struct quota_cost *calls)
{
	struct via_work work = { .rest = "bulk", .cost = *calls };
	struct import_cost *cost = &l->by_jobs;

	if (l->journal && loadjournal_complete(l->journal))
		return false;
	if (!has_todo(l->ledger) || (via_is_told() && !via_told_job()))
		return false;
	import_count_all(l, via_may_choose_job(l->quota, &work.cost), cost);
	for (int round = 0; round < ROUNDS; round++) {
		work.lines += cost->lines[round];
		work.jobs += cost->lines[round] > 0;
	}
	work.beside = cost->calls;
	return via_choose(l->quota, hub_name(l->hub), &work) == VIA_JOB;
}

struct importjob *
importjob_open(struct loadrun *l)
{
	struct importjob *j;
	const char *input;
	struct err e;

	if (!l->by_job)
		return NULL;
	j = xcalloc(1, sizeof *j);
	j->l = l;
	input = load_input(l->plan);
	if (ledger_changed(l->ledger, &e) == 0)
		j->storage = storage_open(l->http, &e);
	if (j->storage)
		j->job = job_open(l->hub, j->storage, JOB_IMPORT, input, &e);
	if (j->job)
		return j;
	loadrun_stop(l, &e);
	storage_close(j->storage);
	free(j);
	return NULL;
}

void
importjob_close(struct importjob *j)
{
	enum job_state state;
	bool goes_on;

	if (!j)
		return;
	state = job_state(j->job);
	goes_on = state == JOB_RUNNING ||
		  (state == JOB_COMPLETED && j->l->stop == REMOTE_RETRY);
	job_close(j->job, !goes_on);
	storage_close(j->storage);
	free(j);
}

void
importjob_plan(struct loadrun *l, struct buf *into)
{
	struct importjob j = { .l = l, .unmade = true };
	struct ledger *g = l->ledger;
	long managed = 0;

	if (!l->by_job)
		return;

	for (j.round = 0; j.round < ROUNDS; j.round++) {
		import_choose(&j);
		if (j.sent)
			buf_printf(into,
			    "{\"step\":\"import job %d\",\"records\":%u,"
			    "\"calls\":1}\n",
			    j.round + 1, j.sent);
		for (uint32_t i = 0; i < g->count; i++) {
			const struct ledger_entry *e = ledger_at(g, i);
			enum load_step step = import_step(&j, e);

			if (!(e->flags & SENT))
				continue;
			managed +=
			    step == LOAD_MODULES && e->flags & LOAD_IS_MANAGED;
			ledger_edit(g, i)->state = load_later(l->plan, i, step)
						       ? LEDGER_HELD
						       : LEDGER_APPLIED;
		}
		import_forget(&j);
	}
	if (managed)
		buf_printf(into,
		    "{\"step\":\"look at modules with managedBy\","
		    "\"records\":%ld,\"calls\":%ld}\n",
		    managed, managed);
}
