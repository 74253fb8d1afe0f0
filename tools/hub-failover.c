/*
 * hub-failover: a hub moves to its paired region, or back: what is known
 * before, the one request, the watch, and what is another afterwards.
 *
 * Nothing that is asked beforehand can stop it but a plain "no", and nothing
 * is asked twice: started again, it watches what is under way.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "arm.h"
#include "ask.h"
#include "doc.h"
#include "failplan.h"
#include "failreport.h"
#include "failwatch.h"
#include "interrupt.h"
#include "opt.h"
#include "out.h"
#include "turns.h"

/* The hour runs from an end that the service saw, not we. */
enum { MARGIN = 120 };

static bool dry_run, back, wait_for, ignore_limits;
static const char *group, *to, *confirm, *journal, *report;
static double check_timeout = 20, every = 5, give_up = 4 * 3600;

static const struct opt opts[] = {
	OPT_FLAG('n', "dry-run", &dry_run,
	    "print what would be done, as JSON; change nothing"),
	OPT_TEXT('g', "resource-group", "GROUP", &group,
	    "resource group of the hub: then it need not be looked for"),
	OPT_TEXT(0, "to", "LOCATION", &to, "the region to go to"),
	OPT_FLAG(0, "back", &back, "go to the region where the hub was made"),
	OPT_TEXT(0, "confirm", "HUB", &confirm,
	    "name the hub again: needed where nobody can be asked"),
	OPT_FLAG(0, "wait", &wait_for,
	    "wait until the service will permit it, by its known rules"),
	OPT_FLAG(0, "ignore-limits", &ignore_limits,
	    "leave it to the service to refuse a move that comes too soon"),
	OPT_SECONDS(0, "check-timeout", &check_timeout,
	    "all questions beforehand take at most SECONDS (default 20)"),
	OPT_SECONDS(
	    0, "every", &every, "look at the hub every SECONDS (default 5)"),
	OPT_SECONDS(0, "give-up", &give_up,
	    "watch for SECONDS at most (default 14400)"),
	OPT_TEXT(0, "journal", "FILE", &journal,
	    "what was done before (default ~/.local/state/hubpipe/"
	    "failovers.jsonl)"),
	OPT_TEXT(0, "report", "FILE", &report,
	    "write what happened to FILE, as one JSON object"),
	OPT_GROUP(arm_opts),
	OPT_END,
};
static const struct tool tool = {
	.name = "hub-failover",
	.synopsis = "[-n] --to=LOCATION | --back [--confirm=HUB] HUB",
	.summary = "Fail an IoT hub over to its paired region, or back",
	.example = "hub-failover -n --to=eastus contoso\n"
		   "hub-failover --to=eastus --confirm=contoso contoso",
	.opts = opts,
	.statuses = "012456",
	.operands_max = 1,
};

/* ---- may it, and shall it ---- */

static jv
turns(const struct failplan *p)
{
	return turns_of(journal, p->id);
}

/* When it is permitted by the rules that are known; 0: now. */
static double
allowed(const struct failplan *p, char **why)
{
	return turns_allowed(
	    turns(p), failplan_now(p), p->to, p->home ? p->home : "", why);
}

/* Waits until they permit it, or somebody else has done it; dies when it is
 * later and nobody waits. */
static void
keep_to_limits(struct failplan *p, struct arm *a)
{
	double from, told = 0;
	char *why, at[32], *left;

	while ((from = allowed(p, &why)) > 0) {
		turns_time(from, at);
		left = failreport_minutes(from - failplan_now(p));
		if (!wait_for)
			die(ANSWER_NO, p->name,
			    "%s: not before %s, in %s (--wait waits, "
			    "--ignore-limits asks the service all the same)",
			    why, at, left);
		from += MARGIN;
		if (from > told + MARGIN)
			note("'%s': %s: waiting until %s, %s", p->name, why, at,
			    left);
		told = from;
		free(why);
		free(left);
		while (failplan_now(p) < from) {
			/* In short pieces: clocks are put right, hubs move. */
			http_sleep(
			    arm_http(a), fmin(from - failplan_now(p), every));
			if (interrupt_seen())
				interrupt_die();
			(void)failplan_look(p, a, check_timeout);
			if (failplan_is_there(p) || failplan_under_way(p))
				return;
		}
	}
}

static void
be_sure(const struct failplan *p)
{
	char *question;

	warn(p->name, "a failover interrupts all its devices and cannot be "
		      "stopped; drills belong on a test hub");
	if (confirm && strcasecmp(confirm, p->name) != 0)
		usage("--confirm names '%s', but the hub is '%s'", confirm,
		    p->name);
	/* A region that nobody has named has to be agreed to. */
	if (confirm && (to || back))
		return;
	question = xasprintf("fail '%s' over from %s to %s?", p->name,
	    p->from ? p->from : "its region", p->to);
	if (!ask_name(question, p->name))
		die(BAD_USAGE, p->name, "not confirmed (--confirm=%s)",
		    p->name);
	free(question);
}

/* ---- doing it ---- */

static void
record(const struct failwatch *w, const char *event, const char *from)
{
	const struct failplan *p = w->plan;
	char *endpoint = NULL;
	struct err e;

	if (jv_get_kind(w->endpoint[0]) == JV_KIND_OBJECT)
		endpoint =
		    jv_dup_string(jv_at(jv_copy(w->endpoint[0]), "endpoint"));
	if (turns_add(journal, failplan_now(p), p->id, event, from, p->to,
		w->operation, endpoint, &e))
		warn_err(&e);
	free(endpoint);
}

/* The request, or what is known of one that others have made. */
static enum status
begin(struct failwatch *w, const char *from, struct err *e)
{
	const struct failplan *p = w->plan;

	if (failplan_under_way(p)) {
		failwatch_resume(
		    w, turns_open(turns(p), failplan_now(p), p->to));
		note("'%s': a failover is under way; watching it", p->name);
		return DONE;
	}
	record(w, "asked", from);
	if (failwatch_ask(w, e)) {
		w->began = 0;
		record(w, "failed", from);
		return e->status;
	}
	record(w, "begun", from);
	return DONE;
}

static enum status
carry_out(struct failplan *p, struct arm *a)
{
	struct failwatch w = { .arm = a,
		.plan = p,
		.out = out_open(NULL, false),
		.every = every,
		.give_up = give_up };
	char *from = p->from ? xstrdup(p->from) : NULL;
	const char *result = "failed";
	enum status status;
	struct err e;

	failwatch_start(&w);
	interrupt_catch(60);
	status = begin(&w, from, &e);
	if (status == DONE) {
		status = failwatch_run(&w, &e);
		if (status != REMOTE_RETRY) {
			/* By the newest clock: the hour runs from now. */
			(void)failplan_look(p, a, check_timeout);
			record(&w, status == DONE ? "done" : "failed", from);
		} else
			result = "unknown";
	}
	if (status == DONE)
		result = "done";
	if (report)
		(void)doc_write(
		    failreport_end(&w, from, result), report, false);
	if (status == DONE)
		failreport_tell_end(&w, from);
	out_close(w.out);
	failwatch_end(&w);
	free(from);
	if (status != DONE && interrupt_seen())
		warn_err(&e);
	else if (status != DONE)
		die_err(&e);
	return status;
}

/* Everything that has to be known is known; -n ends here. */
static enum status
show_plan(const struct failplan *p, double from, const char *why)
{
	struct err e;

	(void)doc_write(failreport_plan(p, turns(p), from), NULL, false);
	if (failplan_is_there(p))
		note("'%s': is in %s already", p->name, p->to);
	else if (failplan_under_way(p))
		note("'%s': a failover is under way", p->name);
	else if (failplan_veto(p, !ignore_limits, &e))
		die_err(&e);
	else if (from > 0 && !ignore_limits) {
		warn(p->name, "not now: %s", why);
		return ANSWER_NO;
	}
	return DONE;
}

static enum status
move(struct failplan *p, struct arm *a)
{
	struct err e;

	if (!failplan_is_there(p) && !failplan_under_way(p)) {
		if (failplan_veto(p, !ignore_limits, &e))
			die_err(&e);
		be_sure(p);
		if (!ignore_limits)
			keep_to_limits(p, a);
	}
	if (failplan_is_there(p)) {
		note("'%s': is in %s already; nothing to do", p->name, p->to);
		return DONE;
	}
	if (!failplan_under_way(p) && failplan_veto(p, !ignore_limits, &e))
		die_err(&e);
	return carry_out(p, a);
}

/* What is known of it, and where it shall go; dies when it is not there. */
static void
look_around(struct failplan *p, struct arm *a, const char *hub)
{
	char *region = to ? xstrdup(to) : NULL;
	struct err e;

	if (failplan_ask(p, a, hub, group, check_timeout, !dry_run, &e))
		die_err(&e);
	/* What is not there hides only if a list, or who has begun it, says
	 * that it is under way. */
	if (p->hidden && !(p->state && !strcasecmp(p->state, "FailingOver"))) {
		jv turn = turns_open(turns(p), failplan_now(p), NULL);
		bool ours = jv_get_kind(turn) == JV_KIND_OBJECT;

		if (ours && !region && !p->from)
			region = jv_dup_string(jv_at(jv_copy(turn), "to"));
		jv_free(turn);
		if (!ours)
			die(ANSWER_NO, p->name,
			    "no such hub%s%s (one that is being failed over "
			    "may hide for some minutes)",
			    group ? " in resource group " : "",
			    group ? group : "");
	}
	if (!region && !back && p->from) {
		if (!p->paired)
			die(ANSWER_NO, p->name,
			    "has no paired region: it cannot be failed over");
		region = xstrdup(p->paired);
	}
	if (failplan_target(p, region, &e))
		die_err(&e);
	free(region);
}

int
main(int argc, char *argv[])
{
	int operand = tool_start(&tool, argc, argv);
	struct failplan p;
	struct arm *a;
	enum status status;
	double from;
	char *why;

	if (!argv[operand])
		usage("which hub?");
	if (to && back)
		usage("--to and --back exclude each other");
	if (!to && !back && !ask_possible())
		usage("where to? (--to=LOCATION or --back)");
	if (every < 0.01 || check_timeout < 0.01)
		usage("--every, --check-timeout: must be more than 0");
	if (!journal)
		journal = turns_file();
	a = arm_open();
	look_around(&p, a, argv[operand]);
	from = allowed(&p, &why);
	failreport_tell_plan(&p, turns(&p), from);
	status = dry_run ? show_plan(&p, from, why) : move(&p, a);
	free(why);
	failplan_free(&p);
	arm_close(a);
	interrupt_die();
	return status;
}
