/* loadrun.c: a plan carried out; see loadrun.h. */
#include "loadrun.h"

#include <stdlib.h>

#include "bulk.h"
#include "converge.h"
#include "importjob.h"
#include "interrupt.h"
#include "pace.h"
#include "progress.h"

#define NO_TWINS "the tier of the hub has no twins: only its identity is there"

enum { PATIENCE = 30 }; /* seconds for what is under way */

static const char *
mode_of(const struct loadrun *l, uint32_t i)
{
	return record_mode_name(
	    (enum record_mode)ledger_at(l->ledger, i)->mode);
}

static void
outcome(struct loadrun *l, uint32_t i, const char *tried, const char *code,
    const char *text, bool retry)
{
	struct buf line = BUF_INIT;
	struct record rec = { 0 };
	struct outcome o = { .line = ledger_at(l->ledger, i)->line,
		.tried = tried,
		.code = code,
		.text = text,
		.retry = retry };
	struct err e;

	if (ledger_at(l->ledger, i)->length <= LINE_MAX_BYTES) {
		ledger_text(l->ledger, i, &line);
		if (line.len)
			(void)record_read(buf_peek(&line), &rec, &e);
		o.id = rec.id;
		o.module = rec.module;
	}
	outcome_write(l->out, &o);
	record_free(&rec);
	buf_wipe(&line);
}

static void
note_state(struct loadrun *l, uint32_t i)
{
	if (l->journal)
		loadjournal_state(l->journal, ledger_at(l->ledger, i), i);
}

/* Done, as far as this step goes. */
void
loadrun_settle(
    struct loadrun *l, uint32_t i, enum ledger_state state, const char *tried)
{
	struct ledger_entry *e = ledger_edit(l->ledger, i);

	l->silent = 0;
	if (load_later(l->plan, i, l->step)) {
		e->state = LEDGER_HELD;
		/* What it was here has been written here. */
		if (state == LEDGER_APPLIED)
			e->flags |= LOAD_DOUBT;
		if (l->step == LOAD_OPEN)
			e->flags &= ~(uint32_t)(LOAD_SHUT | LOAD_LACKS);
		/* A later run has to see for itself that it is shut. */
		if (!(e->flags & LOAD_SHUT))
			note_state(l, i);
		return;
	}
	if (e->flags & (LOAD_DOUBT | LOADRUN_SAID))
		state = LEDGER_APPLIED;
	if (l->twinless && e->flags & LOAD_HAS_TWIN) {
		l->no_twin += l->step < LOAD_SYSTEM;
		loadrun_fail(l, i, "updateTwin",
		    "OperationNotAvailableInCurrentTier", NO_TWINS, false);
		return;
	}
	e->state = (uint8_t)state;
	note_state(l, i);
	*(state == LEDGER_EQUAL ? &l->equal : &l->applied) += 1;
	progress_add(1);
	if (l->all)
		outcome(l, i, tried,
		    state == LEDGER_EQUAL ? "equal" : "applied", l->remark,
		    false);
}

void
loadrun_fail(struct loadrun *l, uint32_t i, const char *tried, const char *code,
    const char *text, bool retry)
{
	ledger_edit(l->ledger, i)->state = LEDGER_FAILED;
	note_state(l, i);
	l->failed++;
	l->retry |= retry;
	progress_add(1);
	outcome(l, i, tried, code, text, retry);
}

void
loadrun_reject(void *ctx, uint32_t i, const char *code, const char *text)
{
	struct loadrun *l = ctx;

	ledger_edit(l->ledger, i)->state = LEDGER_REJECTED;
	l->rejected++;
	outcome(l, i, "read", code, text, false);
}

/* Nothing more is sent; what is under way comes to its end. */
void
loadrun_stop(struct loadrun *l, const struct err *e)
{
	if (l->stop == DONE) {
		warn_err(e);
		l->stop = e->status;
	}
}

void
loadrun_tick(struct loadrun *l)
{
	struct err e;

	if (l->journal && loadjournal_write(l->journal, &e))
		loadrun_stop(l, &e);
	if (ledger_changed(l->ledger, &e))
		loadrun_stop(l, &e);
	if (l->stop == DONE && interrupt_seen()) {
		err_set(&e, LOCAL_FAILURE, hub_name(l->hub),
		    "stopping: what is under way is finished first (once more "
		    "to stop at once)");
		loadrun_stop(l, &e);
	}
}

void
loadrun_drain(struct loadrun *l)
{
	for (long n = http_jobs(); n > 0; n--) {
		http_wait(l->http, n);
		loadrun_tick(l);
	}
}

/* Since when nobody else may have used what is written. */
static const char *
since(const struct loadrun *l)
{
	return l->journal && !l->overwrite ? loadjournal_since(l->journal)
					   : NULL;
}

/* -- one record at a time ------------------------------------------------- */

struct single {
	struct loadrun *l;
	uint32_t i;
};

/* A module that its device has to be opened for. */
static void
lacks(struct loadrun *l, uint32_t i)
{
	uint32_t device = ledger_at(l->ledger, i)->device;

	ledger_edit(l->ledger, i)->state = LEDGER_TODO;
	ledger_edit(l->ledger, device)->flags |= LOAD_LACKS;
}

static void
single_done(const struct converge_result *r, void *ctx)
{
	struct single s = *(struct single *)ctx;
	bool retry = r->err.status == REMOTE_RETRY;

	free(ctx);
	if (r->end == CONVERGE_ABSENT) {
		lacks(s.l, s.i);
		return;
	}
	if (r->shut)
		ledger_edit(s.l->ledger, s.i)->flags |= LOAD_SHUT;
	s.l->parents += r->parents && r->end <= CONVERGE_EQUAL;
	s.l->blind += r->blind && r->end <= CONVERGE_EQUAL;
	s.l->wrote += r->end == CONVERGE_WROTE;
	s.l->reported += r->reported && r->end <= CONVERGE_EQUAL;
	/* Closed it had to be, but its parent is not there. */
	if (r->end <= CONVERGE_EQUAL &&
	    load_orphan(s.l->plan, s.i, s.l->step)) {
		loadrun_fail(s.l, s.i, r->tried, "NoGround",
		    "the hub has no Edge device of its parent's id", true);
		return;
	}
	s.l->remark = r->reported ? "its reported properties differ: nobody "
				    "but the device can write them"
				  : NULL;
	switch (r->end) {
	case CONVERGE_WROTE:
		loadrun_settle(s.l, s.i, LEDGER_APPLIED, r->tried);
		break;
	case CONVERGE_EQUAL:
		loadrun_settle(s.l, s.i, LEDGER_EQUAL, r->tried);
		break;
	case CONVERGE_REFUSED:
		loadrun_stop(s.l, &r->err);
		break;
	case CONVERGE_ABSENT:
		break;
	case CONVERGE_FAILED:
		loadrun_fail(s.l, s.i, r->tried, r->code, r->err.text, retry);
		/* All that are under way fail: that is the hub, not they. */
		if (retry && ++s.l->silent >= 4 && s.l->silent >= http_jobs())
			loadrun_stop(s.l, &r->err);
		break;
	}
	s.l->remark = NULL;
}

void
loadrun_single(struct loadrun *l, uint32_t i)
{
	const struct ledger_entry *e = ledger_at(l->ledger, i);
	struct converge_job job = { .hub = l->hub,
		.http = l->http,
		.pace = l->pace,
		.form = load_form(l->plan, i, l->step),
		.scope = load_scope(l->plan, i),
		.identity_only = l->step == LOAD_PARENTS || l->twinless,
		.twin_only = e->flags & LOAD_KNOWN,
		.open = l->step == LOAD_OPEN,
		.peek = l->step == LOAD_PEEK,
		.login = l->step == LOAD_PEEK ? l->login : NULL,
		.ambiguous = e->flags & LOAD_DOUBT,
		.ours = e->flags & LOAD_OURS ||
			(e->flags & LOAD_DOUBT &&
			    (l->step == LOAD_PARENTS || l->step == LOAD_CLOSE)),
		.since = since(l),
		.done = single_done };
	struct single *s;

	http_wait(l->http, http_jobs());
	ledger_text(l->ledger, i, &job.line);
	if (l->journal && job.line.len)
		loadjournal_sending(l->journal, l->step, true, i);
	loadrun_tick(l);
	if (l->stop != DONE) {
		buf_wipe(&job.line);
		return;
	}
	job.ctx = s = xmalloc(sizeof *s);
	*s = (struct single){ l, i };
	converge_start(&job);
}

/* -- a hundred at a time -------------------------------------------------- */

static void
to_look_at(struct loadrun *l, uint32_t i)
{
	ledger_edit(l->ledger, i)->state = LEDGER_LOOK;
	l->looks = true;
}

void
loadrun_look(struct loadrun *l, uint32_t i, bool doubt)
{
	to_look_at(l, i);
	if (doubt)
		ledger_edit(l->ledger, i)->flags |= LOAD_DOUBT;
	note_state(l, i);
}

void
loadrun_look_ours(struct loadrun *l, uint32_t i)
{
	loadrun_look(l, i, true);
	ledger_edit(l->ledger, i)->flags |= LOAD_OURS;
}

/* Its identity has been written: only its twin is looked at. */
static void
known(struct loadrun *l, uint32_t i)
{
	loadrun_look(l, i, true);
	ledger_edit(l->ledger, i)->flags |= LOAD_KNOWN;
}

static void
said(void *ctx, uint32_t i, const struct bulk_result *r)
{
	struct loadrun *l = ctx;
	const struct ledger_entry *e = ledger_at(l->ledger, i);
	const char *tried = record_mode_name(load_bulk_mode(e));
	bool exists = r->says == BULK_EXISTS &&
		      (e->mode != RECORD_CREATE || r->doubt ||
			  e->flags & (LOAD_LOCKED | LOAD_DOUBT));
	/* Are reported properties taken?  UNCONFIRMED (CONTRACT 16.3). */
	bool reported = r->says == BULK_APPLIED &&
			e->flags & LOAD_HAS_REPORTED && !l->twinless &&
			!load_later(l->plan, i, l->step);

	if (r->says == BULK_LOOK || exists)
		loadrun_look(l, i, r->doubt);
	else if (r->says == BULK_APPLIED && load_unsure(l->plan, i, l->step))
		loadrun_look_ours(l, i);
	else if (reported)
		known(l, i);
	else if (r->says == BULK_APPLIED)
		loadrun_settle(l, i, LEDGER_APPLIED, tried);
	else if (r->says == BULK_MISSING && load_deletes(e))
		loadrun_settle(l, i, LEDGER_EQUAL, tried); /* gone is gone */
	else
		loadrun_fail(l, i, tried, r->code, r->text, false);
}

/* Modules of a disabled device are answered with 401, key right or not. */
static bool
denied(void *ctx, const struct err *e)
{
	struct loadrun *l = ctx;

	if (l->step == LOAD_MODULES || l->step == LOAD_DELETE_MODULES)
		return false;
	loadrun_stop(l, e);
	return true;
}

static void
bulk(struct loadrun *l, struct bulk *b, uint32_t i)
{
	struct span line = ledger_peek(l->ledger, i);
	const struct ledger_entry *e;

	if (!line.len)
		return; /* ledger_changed() */
	loadrun_sending(l, i);
	e = ledger_at(l->ledger, i);
	bulk_add(b, line, e->key, &e->cuts, load_bulk_mode(e),
	    load_form(l->plan, i, l->step), load_scope(l->plan, i), i);
}

void
loadrun_sending(struct loadrun *l, uint32_t i)
{
	if (l->journal)
		loadjournal_sending(l->journal, l->step, false, i);
}

/* What a bulk call would overwrite unseen, a later run looks at first; and at
 * what may be there already. */
static bool
goes_in_bulk(struct loadrun *l, uint32_t i)
{
	const struct ledger_entry *e = ledger_at(l->ledger, i);

	if (!load_goes_in_bulk(e, l->step))
		return false;
	return !(e->flags & LOAD_DOUBT) &&
	       (load_bulk_mode(e) == RECORD_CREATE || !since(l));
}

/* -- the plan ------------------------------------------------------------- */

static void
run_step(struct loadrun *l, enum load_step step)
{
	struct ledger *g = l->ledger;
	struct bulk *b = bulk_open(l->hub, l->http, l->pace, said, denied, l);

	for (uint32_t i = 0; i < g->count && l->stop == DONE; i++) {
		bool hopeless;
		const char *why;

		if (!load_takes_part(l->plan, i, step))
			continue;
		why = load_obstacle(l->plan, i, step, &hopeless);
		if (hopeless)
			loadrun_reject(l, i, "NoGround", why);
		else if (why)
			loadrun_fail(
			    l, i, mode_of(l, i), "NoGround", why, true);
		else if (l->twinless && step >= LOAD_SYSTEM)
			loadrun_settle(l, i, LEDGER_EQUAL, mode_of(l, i));
		else if (goes_in_bulk(l, i))
			bulk(l, b, i);
		else
			to_look_at(l, i);
		loadrun_tick(l);
	}
	if (l->stop == DONE)
		bulk_flush(b);
	loadrun_drain(l);
	bulk_close(b);
	for (uint32_t i = 0; i < g->count && l->looks && l->stop == DONE; i++)
		if (ledger_at(g, i)->state == LEDGER_LOOK)
			loadrun_single(l, i);
	loadrun_drain(l);
}

/* What earlier runs have finished counts, and is told again. */
static void
count_finished(struct loadrun *l)
{
	long n = 0;

	for (uint32_t i = 0; i < l->ledger->count; i++) {
		const struct ledger_entry *e = ledger_at(l->ledger, i);
		bool equal = e->state == LEDGER_EQUAL;

		if (!equal && e->state != LEDGER_APPLIED)
			continue;
		n++;
		*(equal ? &l->equal : &l->applied) += 1;
		if (l->all)
			outcome(l, i, mode_of(l, i),
			    equal ? "equal" : "applied", NULL, false);
	}
	if (loadjournal_since(l->journal))
		note("'%s': %ld of %u records were finished before",
		    hub_name(l->hub), n, l->ledger->count);
	progress_add(n);
}

/* A hub of a basic tier takes identities only.  Asked once, of a twin that
 * need not be there. */
static void
ask_tier(struct loadrun *l)
{
	uint32_t i = load_first_twin(l->plan);
	struct buf line = BUF_INIT, body = BUF_INIT;
	struct record rec = { 0 };
	char code[64], *id;
	struct err e;

	if (i == LEDGER_NONE)
		return;
	ledger_text(l->ledger, i, &line);
	loadrun_tick(l);
	if (l->stop != DONE) {
		buf_wipe(&line);
		return;
	}
	if (record_read(buf_peek(&line), &rec, &e))
		bug("a record that was read before is none: %s", e.text);
	id = hub_escape(rec.id);
	if (hub_get(l->hub, &body, code, &e, NULL, "/twins/%s", id) &&
	    strcmp(code, "OperationNotAvailableInCurrentTier") == 0) {
		l->twinless = true;
		warn(hub_name(l->hub),
		    "its tier has no twins: identities are applied, but no "
		    "tags and properties");
	}
	free(id);
	record_free(&rec);
	buf_free(&body);
	buf_wipe(&line);
}

void
loadrun_steps(struct loadrun *l)
{
	struct importjob *job = NULL;
	struct err e;

	progress_begin("records", (long)l->ledger->count - l->rejected);
	interrupt_catch(PATIENCE);
	if (l->journal)
		count_finished(l);
	if (!l->journal || !loadjournal_complete(l->journal))
		ask_tier(l);
	job = importjob_open(l);
	for (int s = 0; s < LOAD_STEPS && l->stop == DONE; s++) {
		if (job && (s == 0 || s == LOAD_DEVICES)) {
			importjob_round(job, s > 0);
			l->looks = true;
		}
		if (s == LOAD_SCOPES) {
			if (load_read_scopes(l->plan, l->hub, l->http, &e))
				loadrun_stop(l, &e);
			continue;
		}
		l->step = (enum load_step)s;
		if (!load_has_step(l->plan, l->step))
			continue;
		if (s == LOAD_PEEK)
			l->login = hub_open_login(l->hub);
		run_step(l, l->step);
	}
	hub_close(l->login);
	l->login = NULL;
	if (job && l->stop == DONE)
		importjob_configurations(job);
	importjob_close(job);
	progress_end();
	if (l->journal &&
	    loadjournal_end(l->journal, l->stop == DONE && !l->failed, &e))
		loadrun_stop(l, &e);
}

/* -- the end -------------------------------------------------------------- */

/* What was stopped before its turn. */
void
loadrun_finish(struct loadrun *l)
{
	struct ledger *g = l->ledger;
	struct err e;

	if (ledger_changed(g, &e))
		loadrun_stop(l, &e);
	for (uint32_t i = 0; i < g->count && !l->dry_run; i++) {
		enum ledger_state state =
		    (enum ledger_state)ledger_at(g, i)->state;

		if (state > LEDGER_HELD)
			continue;
		l->untried++;
		outcome(l, i, mode_of(l, i),
		    state == LEDGER_TODO ? "NotTried" : "Unfinished",
		    "the run was stopped", true);
	}
	out_flush(l->out);
}

/* The file for the next run: whole lines as they came, or no file. */
void
loadrun_rejects(struct loadrun *l)
{
	struct ledger *g = l->ledger;
	struct out *out;
	struct err e;

	if (!l->rejects || l->dry_run)
		return;
	out = out_open(l->rejects, true);
	for (uint32_t i = 0; i < g->count && ledger_changed(g, &e) == 0; i++) {
		uint8_t state = ledger_at(g, i)->state;

		if (state != LEDGER_APPLIED && state != LEDGER_EQUAL)
			(void)ledger_copy(g, i, out);
	}
	if (ledger_changed(g, &e) == 0) {
		out_close(out);
		return;
	}
	out_drop(out);
	loadrun_stop(l, &e);
	warn(l->rejects,
	    "is not written: its lines can no longer be read from stdin (the "
	    "outcomes tell their numbers)");
}
