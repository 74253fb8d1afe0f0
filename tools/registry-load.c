/*
 * registry-load: make the devices, modules and twins of a stream of records
 * true on a hub.
 *
 * All records are read and checked before the first is acted on; then the plan
 * runs step by step: parents before children, devices before modules.  Each
 * step sends what can go in bulk calls, then looks at every record of which
 * the answer left doubt.  So a run that was killed is started again.
 */
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "bulk.h"
#include "converge.h"
#include "loadplan.h"
#include "opt.h"
#include "progress.h"

static bool dry_run;
static const char *outcomes = "failed", *rejects;
static long rate;
static struct load_rules rules = { .expect = -1 };

static const struct opt opts[] = {
	OPT_FLAG('n', "dry-run", &dry_run,
	    "print the plan, one line a step, and change nothing"),
	OPT_CHOICE(0, "outcomes", "failed|all", &outcomes,
	    "which records get a line on stdout (default failed)"),
	OPT_TEXT(0, "rejects", "FILE", &rejects,
	    "write the records that were not applied to FILE, as they came"),
	OPT_FLAG(0, "generate-keys", &rules.generate_keys,
	    "let the hub make keys for new devices that bring none"),
	OPT_TEXT(0, "manifest", "FILE", &rules.manifest,
	    "refuse input that is not the complete dump FILE tells of"),
	OPT_NUMBER(0, "expect", "N", &rules.expect,
	    "refuse input that has not exactly N records"),
	OPT_TEXT(0, "confirm", "HUB", &rules.confirm,
	    "name the hub again: needed to delete"),
	OPT_FLAG(0, "allow-partial", &rules.allow_partial,
	    "delete though some lines of the input are wrong"),
	OPT_NUMBER(0, "rate", "N", &rate, "at most N operations a minute"),
	OPT_GROUP(hub_opts),
	OPT_END,
};
static const struct tool tool = {
	.name = "registry-load",
	.synopsis = "[-n] [--rejects=FILE] [HUB] < RECORDS > OUTCOMES",
	.summary = "Create, update or delete identities and twins from records",
	.example = "registry-dump | registry-load\n"
		   "registry-load --rejects=again.txt < fleet.txt",
	.opts = opts,
	.statuses = "01234567",
	.operands_max = 1,
};

struct load {
	struct hub *hub;
	struct http *http;
	struct pace *pace;
	struct ledger *ledger;
	struct load_plan *plan;
	struct out *out;
	enum load_step step;
	enum status stop; /* not DONE: no more is sent */
	long applied, equal, failed, rejected, untried;
	long reported; /* records whose reported properties did not go over */
	long silent;   /* failures of the service in a row */
	bool retry;    /* some failure may be cured by trying again */
};

static const char *
mode_of(const struct load *l, uint32_t i)
{
	return record_mode_name((enum record_mode)l->ledger->entry[i].mode);
}

static void
outcome(struct load *l, uint32_t i, const char *tried, const char *code,
    const char *text, bool retry)
{
	struct buf line = BUF_INIT;
	struct record rec = { 0 };
	struct outcome o = { .line = l->ledger->entry[i].line,
		.tried = tried,
		.code = code,
		.text = text,
		.retry = retry };
	struct err e;

	if (l->ledger->entry[i].length <= LINE_MAX_BYTES) {
		ledger_text(l->ledger, i, &line);
		(void)record_read(buf_peek(&line), &rec, &e);
		o.id = rec.id;
		o.module = rec.module;
	}
	outcome_write(l->out, &o);
	record_free(&rec);
	buf_wipe(&line);
}

/* Done, as far as this step goes. */
static void
settle(struct load *l, uint32_t i, enum ledger_state state, const char *tried)
{
	struct ledger_entry *e = &l->ledger->entry[i];

	l->silent = 0;
	if (load_later(l->plan, i, l->step)) {
		e->state = LEDGER_HELD;
		/* What it was here has been written here. */
		if (state == LEDGER_APPLIED)
			e->flags |= LOAD_DOUBT;
		return;
	}
	if (e->flags & LOAD_DOUBT)
		state = LEDGER_APPLIED;
	e->state = (uint8_t)state;
	*(state == LEDGER_EQUAL ? &l->equal : &l->applied) += 1;
	progress_add(1);
	if (*outcomes == 'a')
		outcome(l, i, tried,
		    state == LEDGER_EQUAL ? "equal" : "applied", NULL, false);
}

static void
fail(struct load *l, uint32_t i, const char *tried, const char *code,
    const char *text, bool retry)
{
	l->ledger->entry[i].state = LEDGER_FAILED;
	l->failed++;
	l->retry |= retry;
	progress_add(1);
	outcome(l, i, tried, code, text, retry);
}

static void
rejected(void *ctx, uint32_t i, const char *code, const char *text)
{
	struct load *l = ctx;

	l->ledger->entry[i].state = LEDGER_REJECTED;
	l->rejected++;
	outcome(l, i, "read", code, text, false);
}

/* Nothing more is sent; what is under way comes to its end. */
static void
stop(struct load *l, const struct err *e)
{
	if (l->stop == DONE) {
		warn_err(e);
		l->stop = e->status;
	}
}

/* -- one record at a time ------------------------------------------------- */

struct single {
	struct load *l;
	uint32_t i;
};

static void
single_done(const struct converge_result *r, void *ctx)
{
	struct single s = *(struct single *)ctx;
	bool retry = r->err.status == REMOTE_RETRY;

	free(ctx);
	s.l->reported += r->reported && r->end <= CONVERGE_EQUAL;
	/* Closed it had to be, but its parent is not there. */
	if (r->end <= CONVERGE_EQUAL &&
	    load_orphan(s.l->plan, s.i, s.l->step)) {
		fail(s.l, s.i, r->tried, "NoGround",
		    "the hub has no Edge device of its parent's id", true);
		return;
	}
	switch (r->end) {
	case CONVERGE_WROTE:
		settle(s.l, s.i, LEDGER_APPLIED, r->tried);
		break;
	case CONVERGE_EQUAL:
		settle(s.l, s.i, LEDGER_EQUAL, r->tried);
		break;
	case CONVERGE_REFUSED:
		stop(s.l, &r->err);
		break;
	case CONVERGE_FAILED:
		fail(s.l, s.i, r->tried, r->code, r->err.text, retry);
		/* All that are under way fail: that is the hub, not they. */
		if (retry && ++s.l->silent >= 4 && s.l->silent >= http_jobs())
			stop(s.l, &r->err);
		break;
	}
}

static void
single(struct load *l, uint32_t i)
{
	struct ledger_entry *e = &l->ledger->entry[i];
	struct converge_job job = { .hub = l->hub,
		.http = l->http,
		.pace = l->pace,
		.form = load_form(l->plan, i, l->step),
		.scope = load_scope(l->plan, i),
		.identity_only = l->step == LOAD_PARENTS,
		.ambiguous = e->flags & LOAD_DOUBT,
		.ours = e->flags & LOAD_DOUBT &&
			(l->step == LOAD_PARENTS || l->step == LOAD_CLOSE),
		.done = single_done };
	struct single *s;

	http_wait(l->http, http_jobs());
	if (l->stop != DONE)
		return;
	job.ctx = s = xmalloc(sizeof *s);
	*s = (struct single){ l, i };
	ledger_text(l->ledger, i, &job.line);
	converge_start(&job);
}

/* -- a hundred at a time -------------------------------------------------- */

static void
look(struct load *l, uint32_t i, bool doubt)
{
	l->ledger->entry[i].state = LEDGER_LOOK;
	if (doubt)
		l->ledger->entry[i].flags |= LOAD_DOUBT;
}

static void
said(void *ctx, uint32_t i, const struct bulk_result *r)
{
	struct load *l = ctx;
	const struct ledger_entry *e = &l->ledger->entry[i];
	const char *tried = record_mode_name(load_bulk_mode(e));
	bool exists =
	    r->says == BULK_EXISTS && (e->mode != RECORD_CREATE || r->doubt);

	if (r->says == BULK_LOOK || exists ||
	    (r->says == BULK_APPLIED && load_unsure(l->plan, i, l->step)))
		look(l, i, r->doubt);
	else if (r->says == BULK_APPLIED)
		settle(l, i, LEDGER_APPLIED, tried);
	else if (r->says == BULK_MISSING && load_deletes(e))
		settle(l, i, LEDGER_EQUAL, tried); /* gone is gone */
	else
		fail(l, i, tried, r->code, r->text, false);
}

/* Modules of a disabled device are answered with 401, key right or not. */
static bool
denied(void *ctx, const struct err *e)
{
	struct load *l = ctx;

	if (l->step == LOAD_MODULES || l->step == LOAD_DELETE_MODULES)
		return false;
	stop(l, e);
	return true;
}

static void
bulk(struct load *l, struct bulk *b, uint32_t i)
{
	struct buf line = BUF_INIT;
	struct record rec = { 0 };
	struct err e;

	ledger_text(l->ledger, i, &line);
	if (record_read(buf_peek(&line), &rec, &e))
		bug("a record that was read before is none: %s", e.text);
	bulk_add(b, &rec, load_bulk_mode(&l->ledger->entry[i]),
	    load_form(l->plan, i, l->step), load_scope(l->plan, i), i);
	record_free(&rec);
	buf_wipe(&line);
}

/* -- the plan ------------------------------------------------------------- */

static void
run_step(struct load *l, enum load_step step)
{
	struct ledger *g = l->ledger;
	struct bulk *b = bulk_open(l->hub, l->http, l->pace, said, denied, l);

	l->step = step;
	for (uint32_t i = 0; i < g->count && l->stop == DONE; i++) {
		bool hopeless;
		const char *why = load_obstacle(l->plan, i, step, &hopeless);

		if (!load_takes_part(l->plan, i, step))
			continue;
		if (hopeless)
			rejected(l, i, "NoGround", why);
		else if (why)
			fail(l, i, mode_of(l, i), "NoGround", why, true);
		else if (load_goes_in_bulk(&g->entry[i], step))
			bulk(l, b, i);
		else
			g->entry[i].state = LEDGER_LOOK;
	}
	if (l->stop == DONE)
		bulk_flush(b);
	http_drain(l->http);
	bulk_close(b);
	for (uint32_t i = 0; i < g->count && l->stop == DONE; i++)
		if (g->entry[i].state == LEDGER_LOOK)
			single(l, i);
	http_drain(l->http);
}

static void
run(struct load *l)
{
	struct err e;

	progress_begin("records", (long)l->ledger->count - l->rejected);
	for (int s = 0; s < LOAD_STEPS && l->stop == DONE; s++) {
		if (s == LOAD_SCOPES) {
			if (load_read_scopes(l->plan, l->hub, l->http, &e))
				stop(l, &e);
		} else {
			run_step(l, (enum load_step)s);
		}
	}
	progress_end();
}

static void
print_plan(struct load *l)
{
	struct buf b = BUF_INIT;
	double n = load_plan_text(l->plan, &b);

	out_span(l->out, buf_peek(&b));
	buf_free(&b);
	note("plan: %.0f identity operations at most, about %.0f min at S1 x1, "
	     "for '%s'",
	    n, ceil(n / hub_limits("S1", 1).identity), hub_name(l->hub));
}

/* -- the end -------------------------------------------------------------- */

/* What was stopped before its turn, and the file for the next run. */
static void
finish(struct load *l)
{
	struct ledger *g = l->ledger;
	struct out *out = rejects && !dry_run ? out_open(rejects, true) : NULL;
	struct buf raw = BUF_INIT;

	for (uint32_t i = 0; i < g->count; i++) {
		enum ledger_state state = (enum ledger_state)g->entry[i].state;

		if (state == LEDGER_APPLIED || state == LEDGER_EQUAL)
			continue;
		if (!dry_run && state <= LEDGER_HELD) {
			l->untried++;
			outcome(l, i, mode_of(l, i),
			    state == LEDGER_TODO ? "NotTried" : "Unfinished",
			    "the run was stopped", true);
		}
		if (out) {
			ledger_raw(g, i, &raw);
			out_span(out, buf_peek(&raw));
		}
	}
	buf_wipe(&raw);
	if (out)
		out_close(out);
}

static enum status
summary(const struct load *l)
{
	long done = l->applied + l->equal, bad = l->failed + l->rejected;

	if (!dry_run)
		note("'%s': %ld applied (%ld were equal already), %ld failed, "
		     "%ld rejected, %ld not tried",
		    hub_name(l->hub), done, l->equal, l->failed, l->rejected,
		    l->untried);
	if (l->reported)
		warn(hub_name(l->hub),
		    "%ld records have reported properties that nobody but "
		    "the device can write",
		    l->reported);
	if (l->stop != DONE)
		return l->stop;
	if (!bad)
		return DONE;
	if (done || (dry_run && l->rejected < (long)l->ledger->count))
		return PARTLY_DONE;
	if (!l->failed)
		return BAD_DATA;
	return l->retry ? REMOTE_RETRY : REMOTE_REFUSED;
}

int
main(int argc, char *argv[])
{
	int first = tool_start(&tool, argc, argv);
	const char *operand = first < argc ? argv[first] : NULL;
	struct load l = { .http = http_open(),
		.pace = pace_new((double)rate / 60) };
	enum status status;
	struct err e;

	if (isatty(STDIN_FILENO))
		usage("no records on stdin");
	rules.dry_run = dry_run;
	l.hub = hub_open(l.http, operand, "DEST_IOTHUB_CONN_STRING", &e);
	if (!l.hub || load_check_source(&rules, l.hub, l.http, operand, &e))
		die_err(&e);
	l.ledger = ledger_open(&e);
	if (!l.ledger)
		die_err(&e);
	l.out = out_open(NULL, false);
	l.plan = load_read(l.ledger, &rules, rejected, &l, &e);
	if (!l.plan || load_check(l.plan, &rules, l.hub, operand, &e)) {
		out_flush(l.out); /* which lines are wrong */
		die_err(&e);
	}
	if (dry_run)
		print_plan(&l);
	else
		run(&l);
	finish(&l);
	status = summary(&l);
	out_close(l.out);
	load_free(l.plan);
	ledger_close(l.ledger);
	pace_free(l.pace);
	hub_close(l.hub);
	http_close(l.http);
	return status;
}
