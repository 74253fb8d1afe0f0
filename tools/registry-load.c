/*
 * registry-load: make the devices, modules and twins of a stream of records
 * true on a hub.
 *
 * All records are read and checked before the first is acted on; then the plan
 * runs step by step: parents before children, devices before modules.  Each
 * step sends what can go in bulk calls, then looks at every record of which
 * the answer left doubt.  So a run that was killed is started again.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "configurations.h"
#include "importjob.h"
#include "interrupt.h"
#include "loadrun.h"
#include "opt.h"
#include "quota.h"
#include "undo.h"
#include "via.h"

static bool dry_run;
static bool overwrite;
static const char *outcomes = "failed", *rejects, *configurations, *journal;
static struct configurations *configured;
static struct load_rules rules = { .expect = -1 };

static const struct opt opts[] = {
	OPT_FLAG('n', "dry-run", &dry_run,
	    "print the plan, one line a step, and change nothing"),
	OPT_CHOICE(0, "outcomes", "failed|all", &outcomes,
	    "which records get a line on stdout (default failed)"),
	OPT_TEXT(0, "configurations", "FILE", &configurations,
	    "then apply the configurations in FILE, base deployments first"),
	OPT_TEXT(0, "rejects", "FILE", &rejects,
	    "write the records that were not applied to FILE, as they came"),
	OPT_TEXT(0, "journal", "FILE", &journal,
	    "note in FILE what is done; a run that was killed goes on there"),
	OPT_FLAG(0, "overwrite", &overwrite,
	    "also what others changed since the journal began"),
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
	OPT_GROUP(undo_opts),
	OPT_GROUP(via_opts),
	OPT_GROUP(quota_opts),
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

static struct configurations *
read_configurations(const char *path)
{
	struct err e;
	struct configurations *c = configurations_read(path, &e);

	if (!c)
		die_err(&e);
	if (configurations_count(c) == 0)
		warn(path, "has no configurations");
	return c;
}

static void
print_plan(struct loadrun *l)
{
	struct buf b = BUF_INIT;
	long c = configured ? configurations_count(configured) -
				  configurations_wrong(configured)
			    : 0;

	importjob_plan(l, &b);
	(void)load_plan_text(l->plan, &b);
	if (c)
		buf_printf(&b,
		    "{\"step\":\"%s configurations\",\"records\":%ld,"
		    "\"calls\":%ld}\n",
		    l->by_job ? "import" : "apply", c, l->by_job ? 3 : c + 1);
	out_span(l->out, buf_peek(&b));
	buf_free(&b);
}

/* What it will ask of the hub, and when it ends. */
static void
say_cost(struct loadrun *l)
{
	struct quota_cost cost;

	load_plan_cost(l->plan, &cost);
	l->by_job = importjob_wanted(l, &cost);
	l->configurations = configured;
	if (l->by_job)
		cost = l->by_jobs.calls;
	/* To be read, and then written or left. */
	if (configured)
		cost.of[HUB_CONFIGURATION] +=
		    (double)configurations_count(configured) + 1;
	if (l->by_job) {
		quota_plan_beside(l->quota, &cost);
		return;
	}
	/* The log of a job names ids; the answer to a call is in its order. */
	ledger_forget_ids(l->ledger);
	quota_plan(l->quota, &cost);
}

static void
summary(const struct loadrun *l)
{
	if (!dry_run)
		note("'%s': %ld applied (%ld were equal already), %ld failed, "
		     "%ld rejected, %ld not tried",
		    hub_name(l->hub), l->applied + l->equal, l->equal,
		    l->failed, l->rejected, l->untried);
	if (l->reported)
		warn(hub_name(l->hub),
		    "%ld records have reported properties that nobody but "
		    "the device can write (registry-diff --reported shows "
		    "them)",
		    l->reported);
	if (l->parents)
		warn(hub_name(l->hub),
		    "of %ld devices with several parents it keeps only the "
		    "first (registry-diff shows them)",
		    l->parents);
	if (l->blind)
		warn(hub_name(l->hub),
		    "%ld modules of disabled devices are there, but a key "
		    "does not show theirs: keys are not compared "
		    "(AZURE_CLIENT_ID and its like may)",
		    l->blind);
}

/* After the devices: they would change twins that are still to be written
 * (CONTRACT 15). */
static void
apply_configurations(struct loadrun *l, const struct configurations *c)
{
	struct configurations_end end = { 0 };
	struct err e;

	if (dry_run || l->stop != DONE) {
		configurations_say_wrong(c, l->out);
		end.rejected = configurations_wrong(c);
		end.untried = configurations_count(c) - end.rejected;
	} else if (configurations_load(
		       c, l->hub, l->http, l->out, l->all, &end, &e)) {
		warn_err(&e);
		l->stop = e.status;
	}
	if (!dry_run)
		note("'%s': configurations: %ld applied (%ld were equal "
		     "already), %ld failed, %ld rejected, %ld not tried",
		    hub_name(l->hub), end.applied + end.equal, end.equal,
		    end.failed, end.rejected, end.untried);
	l->applied += end.applied;
	l->equal += end.equal;
	l->failed += end.failed;
	l->rejected += end.rejected;
	l->retry |= end.retry;
}

static enum status
verdict(const struct loadrun *l, long input)
{
	bool done = l->applied + l->equal + l->no_twin > 0;

	if (l->stop != DONE)
		return l->stop;
	if (!l->failed && !l->rejected)
		return DONE;
	if (done || (dry_run && l->rejected < input))
		return PARTLY_DONE;
	if (!l->failed)
		return BAD_DATA;
	return l->retry ? REMOTE_RETRY : REMOTE_REFUSED;
}

/* After all is checked: now it is known whether it is the same work. */
static void
start_journal(struct loadrun *l)
{
	struct err e;

	if (!l->journal)
		return;
	if (loadjournal_start(
		l->journal, l->plan, l->ledger, load_input(l->plan), &e))
		die_err(&e);
	if (loadjournal_complete(l->journal))
		note("'%s': is complete: nothing is left to do", journal);
}

/* A name that will not do is found now, and not when all is loaded. */
static void
check_files(void)
{
	const struct out_file files[] = { { "rejects", rejects, OUT_NAMED },
		{ "journal", journal, OUT_OTHER },
		{ "undo", undo_file(), OUT_OTHER },
		{ "configurations", configurations, OUT_READ },
		{ "manifest", rules.manifest, OUT_READ }, { NULL, NULL, 0 } };

	undo_check();
	out_check(files);
	if (configurations && strcmp(configurations, "-") == 0 && rules.expect)
		usage("--configurations: stdin has the records (name a file; "
		      "--expect=0 loads no records)");
}

/* All that is read is checked before the first record is acted on. */
static void
read_all(struct loadrun *l, const char *operand)
{
	struct err e;

	if (isatty(STDIN_FILENO))
		usage("no records on stdin");
	check_files();
	if (configurations)
		configured = read_configurations(configurations);
	quota_check();
	l->hub = hub_open(l->http, operand, "DEST_IOTHUB_CONN_STRING", &e);
	if (!l->hub || load_check_source(&rules, l->hub, l->http, operand, &e))
		die_err(&e);
	l->journal = journal ? loadjournal_open(journal, l->hub,
				   rules.generate_keys ? "--generate-keys" : "",
				   dry_run, &e)
			     : NULL;
	if (journal && !l->journal)
		die_err(&e);
	l->quota = quota_open(l->hub);
	l->ledger = ledger_open(&e);
	if (!l->ledger)
		die_err(&e);
	l->plan = load_read(l->ledger, &rules, loadrun_reject, l, &e);
	out_flush(l->out); /* which lines are wrong, whatever comes now */
	if (!l->plan || load_check(l->plan, &rules, l->hub, operand, &e))
		die_err(&e);
	start_journal(l);
	if (!load_has_step(l->plan, LOAD_DELETE_DEVICES))
		return;
	undo_prepare(&(struct undo_work){ .hub = l->hub,
	    .http = l->http,
	    .quota = l->quota,
	    .ledger = l->ledger,
	    .dry_run = dry_run,
	    .journal = l->journal });
}

int
main(int argc, char *argv[])
{
	int first = tool_start(&tool, argc, argv);
	struct loadrun l = { .http = http_open(),
		.all = *outcomes == 'a',
		.dry_run = dry_run,
		.overwrite = overwrite,
		.rejects = rejects };
	enum status status;
	long input;

	rules.dry_run = dry_run;
	l.out = out_open(NULL, false);
	out_keep(l.out);
	read_all(&l, first < argc ? argv[first] : NULL);
	say_cost(&l);
	if (dry_run)
		print_plan(&l);
	else
		loadrun_steps(&l);
	loadrun_finish(&l);
	summary(&l);
	input = l.ledger->count;
	if (configured) {
		apply_configurations(&l, configured);
		input += configurations_count(configured);
	}
	out_flush(l.out);
	loadrun_rejects(&l);
	status = verdict(&l, input);
	out_close(l.out);
	interrupt_die();
	loadjournal_close(l.journal);
	configurations_free(configured);
	load_free(l.plan);
	ledger_close(l.ledger);
	quota_close(l.quota);
	hub_close(l.hub);
	http_close(l.http);
	return status;
}
