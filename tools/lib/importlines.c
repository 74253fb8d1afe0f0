/* importlines.c: which records go into the file of an import job, and as what
 * line; see importroom.h. */
#include "importroom.h"

/* What goes into the file of each round, in this order. */
const enum load_step import_order[IMPORTJOB_ROUNDS][LOAD_STEPS] = {
	{ LOAD_DELETE_DEVICES, LOAD_DELETE_MODULES, LOAD_EDGE, LOAD_DEVICES,
	    LOAD_MODULES, LOAD_TWINS, LOAD_STEPS },
	{ LOAD_DEVICES, LOAD_PARENTS, LOAD_MODULES, LOAD_CLOSE, LOAD_STEPS },
};

static bool
is_twin(const struct ledger_entry *e)
{
	return e->mode == RECORD_UPDATE_TWIN ||
	       e->mode == RECORD_UPDATE_TWIN_IF_MATCH;
}

/* The step that a record of this round's file is in. */
enum load_step
import_step(const struct importjob *j, const struct ledger_entry *e)
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
bool
import_is_hasty(struct ledger *g, const struct ledger_entry *e)
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
	if (import_step(j, e) != step)
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

int
import_record(
    struct importjob *j, uint32_t i, struct buf *line, struct record *rec)
{
	struct err e;

	ledger_text(j->l->ledger, i, line);
	if (!line->len)
		return -1;
	if (record_read(buf_peek(line), rec, &e))
		bug("a record that was read before is none: %s", e.text);
	return 0;
}

/* What a run before this one left may have been changed since: calls look at
 * that (loadjournal.h). */
bool
import_is_careful(const struct loadrun *l)
{
	return l->journal && loadjournal_since(l->journal) && !l->overwrite;
}

/* Marks what goes into this round's file. */
void
import_choose(struct importjob *j)
{
	struct ledger *g = j->l->ledger;
	struct buf line = BUF_INIT;
	struct record rec = { 0 };
	enum record_mode mode;
	uint32_t device;

	j->sent = j->orphans = 0;
	for (uint32_t i = 0; i < g->count && j->round > 0; i++) {
		const struct ledger_entry *e = ledger_at(g, i);

		if (import_is_hasty(g, e) && e->state < LEDGER_HELD)
			ledger_edit(g, e->device)->flags |= WAITS;
	}
	for (const enum load_step *s = import_order[j->round]; *s != LOAD_STEPS;
	     s++)
		for (uint32_t i = 0; i < g->count; i++) {
			if (!fits(j, i, *s) || import_record(j, i, &line, &rec))
				continue;
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
int
import_write(struct importjob *j, struct blob_writer *to, struct err *e)
{
	struct ledger *g = j->l->ledger;
	struct buf text = BUF_INIT, line = BUF_INIT;
	struct record rec = { 0 };
	enum record_mode mode;
	int rc = 0;

	for (const enum load_step *s = import_order[j->round];
	     *s != LOAD_STEPS && !rc; s++)
		for (uint32_t i = 0; i < g->count && !rc; i++) {
			enum entry_form form;

			if (!(ledger_at(g, i)->flags & SENT) ||
			    import_step(j, ledger_at(g, i)) != *s)
				continue;
			if (import_record(j, i, &text, &rec)) {
				rc = ledger_changed(g, e);
				break;
			}
			form = load_form(j->l->plan, i, *s);
			(void)line_mode(j, &rec, *s, form, &mode);
			buf_clear(&line);
			entry_bulk(rec.json.text, NULL, mode, form,
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

/* What a job of an earlier run holds, is what its file says: that run may have
 * been careful, or knew less.  The others of this round are left. */
int
import_read(struct importjob *j, const char *name, struct err *e)
{
	struct ledger *g = j->l->ledger;
	struct blob_reader *r =
	    blob_read(j->storage, job_container(j->job), name, 0, e);
	struct record rec = { 0 };
	struct line line;
	enum lines_got got;
	struct err odd;

	if (!r)
		return -1;
	while ((got = blob_read_line(r, &line, e)) > 0) {
		uint32_t i = LEDGER_NONE;

		if (got == LINES_LINE &&
		    record_read(line.text, &rec, &odd) == 0)
			i = ledger_find(g, rec.id, rec.module);
		if (i != LEDGER_NONE)
			ledger_edit(g, i)->flags |= PROBE;
	}
	record_free(&rec);
	blob_read_close(r);
	if (got != LINES_END)
		return -1;
	for (uint32_t i = 0; i < g->count; i++) {
		struct ledger_entry *of = ledger_edit(g, i);

		if (of->flags & SENT && !(of->flags & PROBE)) {
			of->flags &= ~(uint32_t)SENT;
			j->sent--;
		}
		of->flags &= ~(uint32_t)PROBE;
	}
	return 0;
}

/* -- how much ------------------------------------------------------------- */

/* One step of one record: a line of a job, or a call.  rec NULL: not read. */
static void
count_step(struct importjob *j, uint32_t i, const struct record *rec,
    struct import_cost *cost)
{
	struct load_plan *p = j->l->plan;
	const struct ledger_entry *e = ledger_at(j->l->ledger, i);
	enum load_step step = import_step(j, e);
	enum record_mode mode;

	if (rec && !line_mode(j, rec, step, load_form(p, i, step), &mode)) {
		load_cost_call(p, i, step, &cost->calls);
		return;
	}
	cost->lines[j->round]++;
	if (step == LOAD_MODULES && e->flags & LOAD_IS_MANAGED)
		load_cost_look(&cost->calls);
}

/* A device below another waits for its scope, and a module for its device. */
static int
first_round(struct ledger *g, const struct ledger_entry *e)
{
	if (load_deletes(e))
		return 0;
	if (e->flags & LOAD_IS_MODULE && e->device != LEDGER_NONE)
		e = ledger_at(g, e->device);
	return e->parent != LEDGER_NONE &&
	       !(e->flags & (LOAD_IS_EDGE | LOAD_LOCKED));
}

static void
count_one(struct importjob *j, uint32_t i, const struct record *rec,
    struct import_cost *cost)
{
	struct ledger *g = j->l->ledger;
	const struct ledger_entry *e = ledger_at(g, i);
	bool twice = e->flags & LOAD_LOCKED ||
		     (e->flags & LOAD_IS_EDGE && e->parent != LEDGER_NONE);

	if (e->flags & LOAD_IS_SYSTEM && !load_deletes(e)) {
		load_cost_call(j->l->plan, i, LOAD_SYSTEM, &cost->calls);
		return;
	}
	if (e->state == LEDGER_TODO) {
		j->round = first_round(g, e);
		count_step(j, i, rec, cost);
	}
	j->round = 1;
	if (twice)
		count_step(j, i, rec, cost);
}

void
import_count_all(const struct loadrun *l, bool read, struct import_cost *cost)
{
	struct loadrun copy = *l;
	struct importjob j = { .l = &copy, .careful = import_is_careful(l) };
	struct buf line = BUF_INIT;
	struct record rec = { 0 };

	*cost = (struct import_cost){ 0 };
	load_cost_scopes(l->plan, &cost->calls);
	for (uint32_t i = 0; i < l->ledger->count; i++) {
		enum ledger_state state =
		    (enum ledger_state)ledger_at(l->ledger, i)->state;

		if (state == LEDGER_LOOK)
			load_cost_look(&cost->calls);
		if (state != LEDGER_TODO && state != LEDGER_HELD)
			continue;
		if (read && import_record(&j, i, &line, &rec))
			break;
		count_one(&j, i, read ? &rec : NULL, cost);
	}
	record_free(&rec);
	buf_wipe(&line);
	for (int round = 0; round < IMPORTJOB_ROUNDS; round++) {
		uint32_t said = (uint32_t)cost->lines[round];
		uint32_t n = said ? import_probes(said) : 0;

		cost->calls.of[HUB_IDENTITY] += n < said ? n : said;
		cost->calls.of[HUB_TWIN_READ] += n < said ? n : said;
	}
}
