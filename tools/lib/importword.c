/* importword.c: what the log of an import job says of which record, and how
 * much of a job's word is believed; see importroom.h. */
#include "importroom.h"

#include <stdio.h>
#include <stdlib.h>

#include "bulk.h"
#include "converge.h"

enum {
	UNJOINED = 100, /* errors without a record, kept to be told */
};

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
	if (import_is_hasty(g, ledger_at(g, i)))
		ledger_edit(g, i)->state = LEDGER_TODO;
}

static void
say(struct importjob *j, uint32_t i, const char *code, const char *text)
{
	struct loadrun *l = j->l;
	struct ledger_entry *e = ledger_edit(l->ledger, i);
	enum bulk_says says = bulk_meaning(code);
	enum load_step step = import_step(j, e);
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

void
import_code(const struct joblog_error *error, char code[64])
{
	if (error->name && *error->name)
		(void)snprintf(code, 64, "%s", error->name);
	else if (error->code)
		(void)snprintf(code, 64, "%ld", error->code);
	else
		(void)snprintf(code, 64, "ImportError");
}

void
import_take_error(void *ctx, const struct joblog_error *error)
{
	struct importjob *j = ctx;
	struct ledger *g = j->l->ledger;
	uint32_t i = find(j, error);
	bool device = error->id && !error->module, added;
	char code[64];

	import_code(error, code);
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
	if (import_record(j, i, &line, &rec))
		return true; /* who knows */
	stray = idset_find(&j->strays, rec.id, NULL);
	if (stray)
		*stray = 1;
	record_free(&rec);
	buf_wipe(&line);
	return stray != NULL;
}

void
import_look_at_vague(struct importjob *j)
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
		    import_step(j, e) != LOAD_MODULES)
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
void
import_look(struct importjob *j, bool probes)
{
	struct loadrun *l = j->l;
	struct ledger *g = l->ledger;

	for (const enum load_step *s = import_order[j->round];
	     *s != LOAD_STEPS && l->stop == DONE; s++) {
		l->step = *s;
		for (uint32_t i = 0; i < g->count && l->stop == DONE; i++) {
			const struct ledger_entry *e = ledger_at(g, i);

			if (e->state != LEDGER_LOOK || e->flags & SENT ||
			    (probes && !(e->flags & PROBE)) ||
			    import_step(j, e) != *s)
				continue;
			loadrun_single(l, i);
			loadrun_tick(l);
		}
		loadrun_drain(l);
	}
}

uint32_t
import_count(struct importjob *j)
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
	if (import_is_hasty(j->l->ledger, e))
		return false;
	return e->flags & SENT && !load_deletes(e) &&
	       !load_later(j->l->plan, i, import_step(j, e));
}

/*
 * A job's word is believed, but not blindly: some of what it says it applied
 * is read and compared.  How many of these were not so?
 */
static long
probe(struct importjob *j, uint32_t said)
{
	struct ledger *g = j->l->ledger;
	uint32_t gap = said / import_probes(said) + 1, n = 0;
	long wrong = j->l->wrote + j->l->failed;

	j->probes = 0;
	for (uint32_t i = 0; i < g->count; i++) {
		if (!can_probe(j, i) || n++ % gap)
			continue;
		ledger_edit(g, i)->flags &= ~(uint32_t)(SENT | LOAD_DOUBT);
		ledger_edit(g, i)->flags |= PROBE;
		loadrun_look(j->l, i, false);
		j->probes++;
	}
	import_look(j, true);
	return j->l->wrote + j->l->failed - wrong;
}

/* -- what became of a file ---------------------------------------------------
 */

static void
settle_all(struct importjob *j)
{
	struct ledger *g = j->l->ledger;

	for (uint32_t i = 0; i < g->count; i++) {
		const struct ledger_entry *e = ledger_at(g, i);

		if (!(e->flags & SENT))
			continue;
		j->l->step = import_step(j, e);
		ledger_edit(g, i)->flags &= ~(uint32_t)SENT;
		loadrun_settle(j->l, i, LEDGER_APPLIED, tried_of(e));
	}
	loadrun_tick(j->l);
}

static void
import_look_at_all(struct importjob *j)
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

void
import_forget(struct importjob *j)
{
	struct ledger *g = j->l->ledger;

	for (uint32_t i = 0; i < g->count; i++)
		if (ledger_at(g, i)->flags & (SENT | MANY | VAGUE | PROBE))
			ledger_edit(g, i)->flags &=
			    ~(uint32_t)(SENT | MANY | VAGUE | PROBE);
}

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
void
import_believe(struct importjob *j)
{
	long wrong, reported = j->l->reported;
	uint32_t said;

	import_look_at_vague(j);
	look_at_managed(j);
	said = import_count(j);
	if (j->unjoined && said <= FEW) {
		import_look_at_all(j); /* which ones these are, is seen */
		return;
	}
	tell_unjoined(j);
	wrong = said ? probe(j, said) : 0;
	said = import_count(j);
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
		import_look_at_all(j);
	else if (wrong * 10 > j->probes)
		fail_all(j, "Unproven",
		    "the job says that it was applied, but others were not");
	else
		settle_all(j);
}

/* What became of the rest, the job does not tell. */
void
import_doubt(struct importjob *j, const struct err *why)
{
	uint32_t n = import_count(j);
	struct err e = { .status = REMOTE_RETRY };

	if (n <= FEW) {
		warn_err(why);
		note("'%s': %u records are looked at one by one",
		    hub_name(j->l->hub), n);
		import_look_at_all(j);
		return;
	}
	err_set(&e, REMOTE_RETRY, why->subject,
	    "%s; what became of %u records is not known (run it again: what "
	    "is there stays)",
	    why->text, n);
	loadrun_stop(j->l, &e);
}
