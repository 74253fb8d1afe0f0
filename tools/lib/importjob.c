/* importjob.c: records through import jobs of the hub; see importjob.h. */
#include "importjob.h"

#include <stdio.h>
#include <stdlib.h>

#include "bulk.h"
#include "configurations.h"
#include "converge.h"
#include "idset.h"
#include "joblog.h"
#include "progress.h"
#include "via.h"

/* ledger_entry.flags, beside those of loadplan.h; all gone after a round. */
enum {
	SENT = 1 << 15,  /* in this round's file, and nothing is said of it */
	MANY = 1 << 16,  /* a device with modules in this round's file */
	VAGUE = 1 << 17, /* an error is about it, or about one of its modules */
	PROBE = LOADRUN_SAID, /* to be read: does the job speak true? */
	WAITS = PROBE, /* while a file is made: a device, for its modules */
};

enum {
	ROUNDS = IMPORTJOB_ROUNDS,
	ATTEMPTS = 2,   /* of a job that fails */
	FEW = 1000,     /* so many doubtful ones are looked at one by one */
	PROBES = 100,   /* of those that a job says it applied, at most */
	UNJOINED = 100, /* errors without a record, kept to be told */
};

struct importjob {
	struct loadrun *l;
	struct storage *storage;
	struct job *job;
	int round, attempt;
	bool again;       /* the lines may have been sent before */
	bool careful;     /* nothing that is there is written over */
	bool unmade;      /* parents need not be there: only counting */
	uint32_t sent;    /* lines of this round */
	uint32_t orphans; /* of these, modules whose device has no record */
	struct idset strays;
	long unjoined, probes;
	struct buf left; /* outcomes of errors that fit no record */
	bool off;        /* the hub has no jobs: single calls do it */
};

/* What goes into the file of each round, in this order. */
static const enum load_step order[IMPORTJOB_ROUNDS][LOAD_STEPS] = {
	{ LOAD_DELETE_DEVICES, LOAD_DELETE_MODULES, LOAD_EDGE, LOAD_DEVICES,
	    LOAD_MODULES, LOAD_TWINS, LOAD_STEPS },
	{ LOAD_DEVICES, LOAD_PARENTS, LOAD_MODULES, LOAD_CLOSE, LOAD_STEPS },
};

/* -- which records, and how ------------------------------------------------ */

static bool
is_twin(const struct ledger_entry *e)
{
	return e->mode == RECORD_UPDATE_TWIN ||
	       e->mode == RECORD_UPDATE_TWIN_IF_MATCH;
}

/* The step that a record of this round's file is in. */
static enum load_step
step_of(const struct importjob *j, const struct ledger_entry *e)
{
	if (load_deletes(e))
		return e->flags & LOAD_IS_MODULE ? LOAD_DELETE_MODULES
						 : LOAD_DELETE_DEVICES;
	if (is_twin(e))
		return LOAD_TWINS;
	if (e->flags & LOAD_IS_MODULE)
		return LOAD_MODULES;
	if (j->round == 0)
		return e->flags & LOAD_IS_EDGE ? LOAD_EDGE : LOAD_DEVICES;
	if (e->flags & LOAD_LOCKED)
		return LOAD_CLOSE;
	return e->flags & LOAD_IS_EDGE ? LOAD_PARENTS : LOAD_DEVICES;
}

/* A module of a device that is open only until its modules are there. */
static bool
is_hasty(struct ledger *g, const struct ledger_entry *e)
{
	return e->flags & LOAD_IS_MODULE && e->device != LEDGER_NONE &&
	       !load_deletes(e) && ledger_at(g, e->device)->flags & LOAD_LOCKED;
}

static bool
stands(const struct importjob *j, uint32_t device)
{
	const struct ledger_entry *d;

	if (device == LEDGER_NONE)
		return true;
	d = ledger_at(j->l->ledger, device);
	if (d->flags & LOAD_LOCKED && j->round > 0)
		return false; /* calls see how it stands */
	return d->flags & SENT || d->state == LEDGER_HELD ||
	       d->state == LEDGER_APPLIED || d->state == LEDGER_EQUAL;
}

/* May it be in this round's file, as far as the others are concerned? */
static bool
fits(const struct importjob *j, uint32_t i, enum load_step step)
{
	struct load_plan *p = j->l->plan;
	const struct ledger_entry *e;
	bool hopeless;

	if (!load_takes_part(p, i, step) ||
	    (!j->unmade && load_orphan(p, i, step)))
		return false;
	e = ledger_at(j->l->ledger, i);
	if (step_of(j, e) != step)
		return false;
	switch (step) {
	case LOAD_MODULES:
		return stands(j, e->device);
	case LOAD_DEVICES:
		/* Without its parent only one that is closed later on. */
		if (j->round == 0)
			return e->parent == LEDGER_NONE ||
			       e->flags & LOAD_LOCKED;
		/* fall through */
	case LOAD_PARENTS:
		return j->unmade || !load_obstacle(p, i, step, &hopeless);
	case LOAD_CLOSE:
		return !(e->flags & WAITS);
	default:
		return true;
	}
}

/* A twin of which the record says one half: whether a job leaves the other as
 * it is, is not known. */
static bool
half_a_twin(const struct json *j)
{
	struct span properties = entry_member(j, "properties");
	bool tags = entry_member(j, "tags").at;
	bool desired = entry_path(properties, "desired", NULL).at;

	return tags != desired;
}

/*
 * The mode of its line; false: it does not go by job.  A line that could make
 * new keys for one that is there, or take away what the record does not speak
 * of, goes as "create": one that is there already is then looked at.
 */
static bool
line_mode(const struct importjob *j, const struct record *rec,
    enum load_step step, enum entry_form form, enum record_mode *mode)
{
	const char *code;
	struct err e;
	bool keys, create;

	*mode = rec->mode;
	create =
	    rec->mode == RECORD_CREATE || rec->mode == RECORD_CREATE_OR_UPDATE;
	if (j->careful) {
		*mode = RECORD_CREATE;
		return create && step != LOAD_PARENTS && step != LOAD_CLOSE;
	}
	if (step == LOAD_DELETE_DEVICES || step == LOAD_DELETE_MODULES)
		return true;
	if (step == LOAD_TWINS)
		return !half_a_twin(&rec->json);
	keys = entry_check(rec, false, &code, &e) == 0;
	if (step == LOAD_PARENTS || step == LOAD_CLOSE) {
		/* Its own mode was obeyed when it was made. */
		*mode = RECORD_CREATE_OR_UPDATE;
		return keys && !half_a_twin(&rec->json);
	}
	if (keys && !half_a_twin(&rec->json) && form == ENTRY_FULL)
		return true;
	*mode = RECORD_CREATE;
	return create;
}

static void
record_of(struct importjob *j, uint32_t i, struct buf *line, struct record *rec)
{
	struct err e;

	ledger_text(j->l->ledger, i, line);
	if (record_read(buf_peek(line), rec, &e))
		bug("a record that was read before is none: %s", e.text);
}

/* Marks what goes into this round's file. */
static void
choose(struct importjob *j)
{
	struct ledger *g = j->l->ledger;
	struct buf line = BUF_INIT;
	struct record rec = { 0 };
	enum record_mode mode;
	uint32_t device;

	j->sent = j->orphans = 0;
	for (uint32_t i = 0; i < g->count && j->round > 0; i++) {
		const struct ledger_entry *e = ledger_at(g, i);

		if (is_hasty(g, e) && e->state < LEDGER_HELD)
			ledger_edit(g, e->device)->flags |= WAITS;
	}
	for (const enum load_step *s = order[j->round]; *s != LOAD_STEPS; s++)
		for (uint32_t i = 0; i < g->count; i++) {
			if (!fits(j, i, *s))
				continue;
			record_of(j, i, &line, &rec);
			if (!line_mode(j, &rec, *s,
				load_form(j->l->plan, i, *s), &mode))
				continue;
			ledger_edit(g, i)->flags |= SENT;
			j->sent++;
			if (*s != LOAD_MODULES && *s != LOAD_DELETE_MODULES)
				continue;
			device = ledger_at(g, i)->device;
			if (device == LEDGER_NONE)
				j->orphans++;
			else
				ledger_edit(g, device)->flags |= MANY;
		}
	for (uint32_t i = 0; i < g->count && j->round > 0; i++)
		if (ledger_at(g, i)->flags & WAITS)
			ledger_edit(g, i)->flags &= ~(uint32_t)WAITS;
	record_free(&rec);
	buf_wipe(&line);
}

/* The file, piece by piece.  A line must not hold what some reader takes for
 * its end; outside of strings \r is white space. */
static int
write_lines(struct importjob *j, struct blob_writer *to, struct err *e)
{
	struct ledger *g = j->l->ledger;
	struct buf text = BUF_INIT, line = BUF_INIT;
	struct record rec = { 0 };
	enum record_mode mode;
	int rc = 0;

	for (const enum load_step *s = order[j->round]; *s != LOAD_STEPS && !rc;
	     s++)
		for (uint32_t i = 0; i < g->count && !rc; i++) {
			enum entry_form form;

			if (!(ledger_at(g, i)->flags & SENT) ||
			    step_of(j, ledger_at(g, i)) != *s)
				continue;
			record_of(j, i, &text, &rec);
			form = load_form(j->l->plan, i, *s);
			(void)line_mode(j, &rec, *s, form, &mode);
			buf_clear(&line);
			entry_bulk(&rec.json, mode, form,
			    load_scope(j->l->plan, i), &line);
			buf_one_line(&line);
			buf_char(&line, '\n');
			rc = blob_write_add(to, buf_peek(&line), e);
		}
	record_free(&rec);
	buf_wipe(&text);
	buf_wipe(&line);
	return rc;
}

/* -- what the log says ------------------------------------------------------
 */

static const char *
tried_of(const struct ledger_entry *e)
{
	return record_mode_name((enum record_mode)e->mode);
}

/* A module of a disabled device can be looked at when that is open. */
static void
look_later(struct importjob *j, uint32_t i, bool doubt)
{
	struct ledger *g = j->l->ledger;

	loadrun_look(j->l, i, doubt);
	if (is_hasty(g, ledger_at(g, i)))
		ledger_edit(g, i)->state = LEDGER_TODO;
}

static void
say(struct importjob *j, uint32_t i, const char *code, const char *text)
{
	struct loadrun *l = j->l;
	struct ledger_entry *e = ledger_edit(l->ledger, i);
	enum bulk_says says = bulk_meaning(code);
	enum load_step step = step_of(j, e);
	const char *tried = tried_of(e);
	bool creates = e->mode == RECORD_CREATE;
	bool again = j->again || e->flags & LOAD_DOUBT;
	bool locked = e->flags & LOAD_LOCKED;
	uint32_t device = step == LOAD_MODULES ? e->device : LEDGER_NONE;

	e->flags &= ~(uint32_t)SENT;
	l->step = step;
	if (says == BULK_EXISTS && !creates &&
	    load_form(l->plan, i, step) == ENTRY_ROOT)
		loadrun_settle(l, i, LEDGER_EQUAL, tried); /* and goes on */
	else if (says == BULK_MISSING && load_deletes(e))
		loadrun_settle(l, i, LEDGER_EQUAL, tried); /* gone is gone */
	else if (says == BULK_LOOK ||
		 (says == BULK_EXISTS && (!creates || again || locked)))
		look_later(j, i, again);
	else if (says == BULK_MISSING && device != LEDGER_NONE &&
		 ledger_at(l->ledger, device)->state == LEDGER_FAILED)
		loadrun_fail(l, i, tried, "NoGround",
		    "its device was not applied", true);
	else
		loadrun_fail(l, i, tried, code, text, false);
}

/* No record fits. */
static void
leave(struct importjob *j, const struct joblog_error *error, const char *code)
{
	struct outcome o = { .id = error->id,
		.module = error->module,
		.tried = "import",
		.code = code,
		.text = error->text };

	if (j->unjoined++ < UNJOINED)
		outcome_text(&o, &j->left);
}

/* The record that an error is about, or LEDGER_NONE; a line that could not be
 * read is quoted. */
static uint32_t
find(struct importjob *j, const struct joblog_error *error)
{
	struct record rec = { 0 };
	uint32_t i = LEDGER_NONE;
	struct err e;

	if (error->id && strlen(error->id) <= 128 &&
	    (!error->module || strlen(error->module) <= 128)) {
		i = ledger_find(j->l->ledger, error->id, error->module);
	} else if (!error->id && error->line) {
		if (record_read(span_of(error->line), &rec, &e) == 0)
			i = ledger_find(j->l->ledger, rec.id, rec.module);
		record_free(&rec);
	}
	return i;
}

static void
code_of(const struct joblog_error *error, char code[64])
{
	if (error->name && *error->name)
		(void)snprintf(code, 64, "%s", error->name);
	else if (error->code)
		(void)snprintf(code, 64, "%ld", error->code);
	else
		(void)snprintf(code, 64, "ImportError");
}

static void
take_error(void *ctx, const struct joblog_error *error)
{
	struct importjob *j = ctx;
	struct ledger *g = j->l->ledger;
	uint32_t i = find(j, error);
	bool device = error->id && !error->module, added;
	char code[64];

	code_of(error, code);
	if (i == LEDGER_NONE && device && j->orphans)
		/* Of one of its modules, maybe. */
		(void)idset_add(&j->strays, error->id, NULL, &added);
	else if (i == LEDGER_NONE)
		leave(j, error, code);
	else if (device && ledger_at(g, i)->flags & MANY)
		ledger_edit(g, i)->flags |= VAGUE;
	else if (ledger_at(g, i)->flags & SENT)
		say(j, i, code, error->text);
	else if (ledger_at(g, i)->state <= LEDGER_LOOK)
		leave(j, error, code);
}

/* Is it one of those that an error may be about? */
static bool
is_vague(struct importjob *j, uint32_t i)
{
	struct ledger *g = j->l->ledger;
	const struct ledger_entry *e = ledger_at(g, i);
	struct buf line = BUF_INIT;
	struct record rec = { 0 };
	uint64_t *stray;

	if (e->flags & VAGUE)
		return true;
	if (!(e->flags & LOAD_IS_MODULE))
		return false;
	if (e->device != LEDGER_NONE)
		return ledger_at(g, e->device)->flags & VAGUE;
	if (!j->strays.count)
		return false;
	record_of(j, i, &line, &rec);
	stray = idset_find(&j->strays, rec.id, NULL);
	if (stray)
		*stray = 1;
	record_free(&rec);
	buf_wipe(&line);
	return stray != NULL;
}

static void
look_at_vague(struct importjob *j)
{
	struct ledger *g = j->l->ledger;

	for (uint32_t i = 0; i < g->count; i++)
		if (ledger_at(g, i)->flags & SENT && is_vague(j, i)) {
			ledger_edit(g, i)->flags &= ~(uint32_t)SENT;
			look_later(j, i, true);
		}
	j->unjoined += (long)idset_unmet(&j->strays);
	idset_free(&j->strays);
	j->strays = (struct idset){ 0 };
}

/* managedBy is no member of a line (CONTRACT 16.3): what has one is looked at,
 * and gets it by a call of its own. */
static void
look_at_managed(struct importjob *j)
{
	struct ledger *g = j->l->ledger;
	uint32_t n = 0;

	for (uint32_t i = 0; i < g->count; i++) {
		const struct ledger_entry *e = ledger_at(g, i);

		if (!(e->flags & SENT) || !(e->flags & LOAD_IS_MANAGED) ||
		    step_of(j, e) != LOAD_MODULES)
			continue;
		ledger_edit(g, i)->flags &= ~(uint32_t)SENT;
		loadrun_look_ours(j->l, i);
		look_later(j, i, true);
		n++;
	}
	if (n)
		note("'%s': %u modules with managedBy, which a job does not "
		     "take, are looked at one by one",
		    hub_name(j->l->hub), n);
}

/* -- looking ----------------------------------------------------------------
 */

/* Those of the file that are to be looked at: all, or the probes. */
static void
look(struct importjob *j, bool probes)
{
	struct loadrun *l = j->l;
	struct ledger *g = l->ledger;

	for (const enum load_step *s = order[j->round];
	     *s != LOAD_STEPS && l->stop == DONE; s++) {
		l->step = *s;
		for (uint32_t i = 0; i < g->count && l->stop == DONE; i++) {
			const struct ledger_entry *e = ledger_at(g, i);

			if (e->state != LEDGER_LOOK || e->flags & SENT ||
			    (probes && !(e->flags & PROBE)) ||
			    step_of(j, e) != *s)
				continue;
			loadrun_single(l, i);
			loadrun_tick(l);
		}
		loadrun_drain(l);
	}
}

static uint32_t
count_sent(struct importjob *j)
{
	struct ledger *g = j->l->ledger;
	uint32_t n = 0;

	for (uint32_t i = 0; i < g->count; i++)
		n += (ledger_at(g, i)->flags & SENT) != 0;
	return n;
}

/* Worth a look: what a later step does not write again, and what there is. */
static bool
can_probe(struct importjob *j, uint32_t i)
{
	const struct ledger_entry *e = ledger_at(j->l->ledger, i);

	/* A second look at what is ours needs to know that it is. */
	if (e->flags & LOAD_DOUBT && e->mode == RECORD_CREATE)
		return false;
	if (is_hasty(j->l->ledger, e))
		return false;
	return e->flags & SENT && !load_deletes(e) &&
	       !load_later(j->l->plan, i, step_of(j, e));
}

/*
 * A job's word is believed, but not blindly: some of what it says it applied
 * is read and compared.  How many of these were not so?
 */
static long
probe(struct importjob *j, uint32_t said)
{
	struct ledger *g = j->l->ledger;
	uint32_t want = said / 20 + 10, gap, n = 0;
	long wrong = j->l->wrote + j->l->failed;

	if (want > PROBES)
		want = PROBES;
	gap = said / want + 1;
	j->probes = 0;
	for (uint32_t i = 0; i < g->count; i++) {
		if (!can_probe(j, i) || n++ % gap)
			continue;
		ledger_edit(g, i)->flags &= ~(uint32_t)(SENT | LOAD_DOUBT);
		ledger_edit(g, i)->flags |= PROBE;
		loadrun_look(j->l, i, false);
		j->probes++;
	}
	look(j, true);
	return j->l->wrote + j->l->failed - wrong;
}

/* -- the end of a round ------------------------------------------------------
 */

static void
settle_all(struct importjob *j)
{
	struct ledger *g = j->l->ledger;

	for (uint32_t i = 0; i < g->count; i++) {
		const struct ledger_entry *e = ledger_at(g, i);

		if (!(e->flags & SENT))
			continue;
		j->l->step = step_of(j, e);
		ledger_edit(g, i)->flags &= ~(uint32_t)SENT;
		loadrun_settle(j->l, i, LEDGER_APPLIED, tried_of(e));
	}
	loadrun_tick(j->l);
}

static void
look_at_all(struct importjob *j)
{
	struct ledger *g = j->l->ledger;

	for (uint32_t i = 0; i < g->count; i++)
		if (ledger_at(g, i)->flags & SENT) {
			ledger_edit(g, i)->flags &= ~(uint32_t)SENT;
			look_later(j, i, true);
		}
}

static void
fail_all(struct importjob *j, const char *code, const char *text)
{
	struct ledger *g = j->l->ledger;

	for (uint32_t i = 0; i < g->count; i++) {
		const struct ledger_entry *e = ledger_at(g, i);

		if (e->flags & SENT)
			loadrun_fail(j->l, i, tried_of(e), code, text, true);
	}
}

static void
forget_marks(struct importjob *j)
{
	struct ledger *g = j->l->ledger;

	for (uint32_t i = 0; i < g->count; i++)
		if (ledger_at(g, i)->flags & (SENT | MANY | VAGUE | PROBE))
			ledger_edit(g, i)->flags &=
			    ~(uint32_t)(SENT | MANY | VAGUE | PROBE);
}

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

	if (write_lines(j, to, e)) {
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
		j->l->step = step_of(j, ledger_at(g, i));
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

	if (joblog_read(j->storage, job_container(j->job), name, take_error, j,
		&found, &e) == 0)
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

static void
tell_unjoined(struct importjob *j)
{
	if (!j->unjoined)
		return;
	warn(hub_name(j->l->hub),
	    "the log of the job has %ld errors that fit no record (registry-"
	    "diff tells what is missing)",
	    j->unjoined);
	out_span(j->l->out, buf_peek(&j->left));
	j->l->failed += j->unjoined;
}

/* The job says that it has applied all that its log does not name. */
static void
believe(struct importjob *j)
{
	long wrong, reported = j->l->reported;
	uint32_t said;

	look_at_vague(j);
	look_at_managed(j);
	said = count_sent(j);
	if (j->unjoined && said <= FEW) {
		look_at_all(j); /* which ones these are, is seen */
		return;
	}
	tell_unjoined(j);
	wrong = said ? probe(j, said) : 0;
	said = count_sent(j);
	if (wrong)
		warn(hub_name(j->l->hub),
		    "of %ld records that were looked at, %ld were not as the "
		    "job says; these are now (registry-diff tells of the rest)",
		    j->probes, wrong);
	if (j->l->reported > reported)
		warn(hub_name(j->l->hub),
		    "of %ld records that were looked at, %ld have reported "
		    "properties that the job did not write (registry-diff "
		    "--reported tells of the rest)",
		    j->probes, j->l->reported - reported);
	if (wrong && said <= FEW)
		look_at_all(j);
	else if (wrong * 10 > j->probes)
		fail_all(j, "Unproven",
		    "the job says that it was applied, but others were not");
	else
		settle_all(j);
}

/* What became of the rest, the job does not tell. */
static void
doubt(struct importjob *j, const struct err *why)
{
	uint32_t n = count_sent(j);
	struct err e = { .status = REMOTE_RETRY };

	if (n <= FEW) {
		warn_err(why);
		note("'%s': %u records are looked at one by one",
		    hub_name(j->l->hub), n);
		look_at_all(j);
		return;
	}
	err_set(&e, REMOTE_RETRY, why->subject,
	    "%s; what became of %u records is not known (run it again: what "
	    "is there stays)",
	    why->text, n);
	loadrun_stop(j->l, &e);
}

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

	mark_sent(j);
	if (blob_get(j->storage, job_container(j->job), done_name(j), &b, &e) ==
	    0) {
		j->attempt = (int)strtol(b.at ? b.at : "0", NULL, 10);
		log = blob_of(j, "errors", ".log");
		/* Its own name, or it may be the log of a later job. */
		if (is_there(j, log) && read_log(j, log)) {
			buf_free(&b);
			believe(j);
			return;
		}
	}
	buf_free(&b);
	err_set(&e, REMOTE_RETRY, job_container(j->job),
	    "has no log any more of what an earlier run imported");
	doubt(j, &e);
}

static void
completed(struct importjob *j)
{
	struct err e;
	char text[8];

	if (!read_log(j, blob_of(j, "errors", ".log"))) {
		err_set(&e, REMOTE_RETRY, hub_name(j->l->hub),
		    "the job is completed, but its log is not there");
		doubt(j, &e);
		return;
	}
	(void)snprintf(text, sizeof text, "%d", j->attempt);
	if (blob_put(j->storage, job_container(j->job), done_name(j),
		span_of(text), &e))
		warn_err(&e);
	believe(j);
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
	char code[64];
	struct err e;

	j->attempt = 0;
	if (job_round(j->job) >= number(j) + ATTEMPTS) {
		replay(j);
		return;
	}
	if (job_round(j->job) > number(j))
		j->attempt = (int)(job_round(j->job) - number(j));
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
		if (job_interrupted()) {
			loadrun_stop(l, &e);
			return;
		}
		if (state != JOB_FAILED || count_sent(j) <= FEW ||
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
		look_at_vague(j);
		doubt(j, &e);
	} else if (!begun && can_do_without(j, code)) {
		warn_err(&e);
		note("'%s': by calls, then", hub_name(l->hub));
		j->off = true;
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
	/* What a run before this one left may have been changed since: calls
	 * look at that (loadjournal.h).  Its job is another matter. */
	j->careful =
	    l->journal && loadjournal_since(l->journal) && !l->overwrite &&
	    (job_round(j->job) < number(j) ||
		(job_round(j->job) < number(j) + ATTEMPTS && !*job_id(j->job)));
	choose(j);
	if (j->sent) {
		j->unjoined = 0;
		progress_end();
		carry(j);
		progress_begin("records", (long)l->ledger->count - l->rejected);
		progress_add(l->applied + l->equal + l->failed);
		look(j, false);
		buf_free(&j->left);
	}
	forget_marks(j);
}

/* -- configurations -----------------------------------------------------------
 */

static void
take_configuration_error(void *ctx, const struct joblog_error *error)
{
	struct importjob *j = ctx;
	char code[64];

	code_of(error, code);
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

bool
importjob_wanted(const struct loadrun *l)
{
	struct via_work work = { .rest = "bulk" };

	if (l->journal && loadjournal_complete(l->journal))
		return false;
	for (uint32_t i = 0; i < l->ledger->count; i++)
		work.lines += ledger_at(l->ledger, i)->state == LEDGER_TODO;
	load_plan_cost(l->plan, &work.cost);
	return work.lines &&
	       via_choose(l->quota, hub_name(l->hub), &work) == VIA_JOB;
}

struct importjob *
importjob_open(struct loadrun *l)
{
	struct importjob *j;
	struct err e;

	if (!l->by_job)
		return NULL;
	j = xcalloc(1, sizeof *j);
	j->l = l;
	j->storage = storage_open(l->http, &e);
	if (j->storage) {
		j->job = job_open(
		    l->hub, j->storage, JOB_IMPORT, load_input(l->plan), &e);
	}
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

	if (!l->by_job)
		return;

	for (j.round = 0; j.round < ROUNDS; j.round++) {
		choose(&j);
		if (j.sent)
			buf_printf(into,
			    "{\"step\":\"import job %d\",\"records\":%u,"
			    "\"calls\":1}\n",
			    j.round + 1, j.sent);
		for (uint32_t i = 0; i < g->count; i++) {
			const struct ledger_entry *e = ledger_at(g, i);
			enum load_step step = step_of(&j, e);

			if (!(e->flags & SENT))
				continue;
			ledger_edit(g, i)->state = load_later(l->plan, i, step)
						       ? LEDGER_HELD
						       : LEDGER_APPLIED;
		}
		forget_marks(&j);
	}
}
