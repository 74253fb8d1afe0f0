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

#include "loadrun.h"
#include "opt.h"
#include "pace.h"

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

static void
print_plan(struct loadrun *l)
{
	struct buf b = BUF_INIT;
	double n = load_plan_text(l->plan, &b);

	out_span(l->out, buf_peek(&b));
	buf_free(&b);
	note("plan: %.0f identity operations at most, about %.0f min at S1 x1, "
	     "for '%s'",
	    n, ceil(n / hub_limits("S1", 1).identity), hub_name(l->hub));
}

static enum status
summary(const struct loadrun *l)
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
	struct loadrun l = { .http = http_open(),
		.pace = pace_new((double)rate / 60) };
	enum status status;
	struct err e;

	if (isatty(STDIN_FILENO))
		usage("no records on stdin");
	rules.dry_run = l.dry_run = dry_run;
	l.all = *outcomes == 'a';
	l.rejects = rejects;
	l.hub = hub_open(l.http, operand, "DEST_IOTHUB_CONN_STRING", &e);
	if (!l.hub || load_check_source(&rules, l.hub, l.http, operand, &e))
		die_err(&e);
	l.ledger = ledger_open(&e);
	if (!l.ledger)
		die_err(&e);
	l.out = out_open(NULL, false);
	l.plan = load_read(l.ledger, &rules, loadrun_reject, &l, &e);
	if (!l.plan || load_check(l.plan, &rules, l.hub, operand, &e)) {
		out_flush(l.out); /* which lines are wrong */
		die_err(&e);
	}
	if (dry_run)
		print_plan(&l);
	else
		loadrun_steps(&l);
	loadrun_finish(&l);
	status = summary(&l);
	out_close(l.out);
	load_free(l.plan);
	ledger_close(l.ledger);
	pace_free(l.pace);
	hub_close(l.hub);
	http_close(l.http);
	return status;
}
