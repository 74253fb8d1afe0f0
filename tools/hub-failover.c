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
#include <time.h>
#include <unistd.h>

#include "arm.h"
#include "ask.h"
#include "doc.h"
#include "failplan.h"
#include "failwatch.h"
#include "interrupt.h"
#include "opt.h"
#include "out.h"
#include "turns.h"

static bool dry_run, back, wait_for, ignore_limits;
static const char *group, *to, *confirm, *journal, *report;
static long check_timeout = 20, every = 5, give_up = 4 * 3600;

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
	OPT_NUMBER(0, "check-timeout", "SECONDS", &check_timeout,
	    "all questions beforehand take at most SECONDS (default 20)"),
	OPT_NUMBER(0, "every", "SECONDS", &every,
	    "look at the hub every SECONDS (default 5)"),
	OPT_NUMBER(0, "give-up", "SECONDS", &give_up,
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
	.statuses = "0124567",
	.operands_max = 1,
};

/* ---- what is known ---- */

/* By the service's clock: its rules go by that. */
static double
now(const struct failplan *p)
{
	return (double)time(NULL) + p->skew;
}

static char *
minutes(double seconds)
{
	return seconds < 90 ? xasprintf("%.0f s", seconds)
			    : xasprintf("%.0f min", ceil(seconds / 60));
}

static jv
text_or_null(const char *text)
{
	return text ? jv_string(text) : jv_null();
}

/* What a manual failover loses (CONTRACT 6). */
static jv
losses(void)
{
	static const char *const what[][2] = {
		{ "identity registry and twins",
		    "what was written in the last 0 to 5 minutes" },
		{ "cloud-to-device messages, parent jobs", "all" },
		{ "device-to-cloud messages, feedback", "all unread" },
		{ "offsets that readers have stored", "all" },
	};
	jv all = jv_array();

	for (size_t i = 0; i < sizeof what / sizeof *what; i++)
		all = jv_array_append(all,
		    jv_put(jv_put(jv_object(), "data", jv_string(what[i][0])),
			"lost", jv_string(what[i][1])));
	return all;
}

static jv
plan_as_json(const struct failplan *p, double allowed)
{
	jv plan = jv_put(jv_object(), "hub", jv_string(p->name));
	char at[32];

	plan = jv_put(plan, "id", jv_string(p->id));
	plan = jv_put(plan, "state", text_or_null(p->state));
	plan = jv_put(plan, "from", text_or_null(p->from));
	plan = jv_put(plan, "to", jv_string(p->to));
	plan = jv_put(plan, "paired", text_or_null(p->paired));
	plan = jv_put(plan, "devices",
	    p->devices < 0 ? jv_null() : jv_number(p->devices));
	plan = jv_put(
	    plan, "expectedSeconds", jv_number(ceil(failplan_expected(p))));
	turns_time(allowed, at);
	plan = jv_put(
	    plan, "allowedFrom", allowed > 0 ? jv_string(at) : jv_null());
	plan = jv_put(plan, "endpoint", failplan_endpoint(p));
	plan = jv_put(plan, "consumerGroups", jv_copy(p->groups));
	plan = jv_put(plan, "today", turns_of(journal, p->id));
	return jv_put(plan, "losses", losses());
}

static void
tell_plan(const struct failplan *p)
{
	char *expected = minutes(failplan_expected(p));
	char *devices = p->devices < 0 ? xstrdup("an unknown number of")
				       : xasprintf("%.0f", p->devices);

	note("'%s': %s in %s, %s devices; to %s in about %s (10 min to 2 h)",
	    p->name, p->state ? p->state : "of unknown state",
	    p->from ? p->from : "an unknown region", devices, p->to, expected);
	note("lost will be: up to 5 min of registry and twins, all unread "
	     "messages, all stored offsets");
	if (fabs(p->skew) > 300)
		warn(p->name,
		    "the clock of this machine is %.0f s %s the service's",
		    fabs(p->skew), p->skew > 0 ? "behind" : "ahead of");
	free(expected);
	free(devices);
}

/* ---- may it, and shall it ---- */

/* Until the rules that are known permit it; dies when that is later. */
static void
keep_to_limits(struct failplan *p, struct arm *a)
{
	double allowed;
	char *why, at[32], *left;

	for (;;) {
		allowed = turns_allowed(turns_of(journal, p->id), now(p), p->to,
		    p->home ? p->home : "", &why);
		if (allowed <= 0)
			return;
		turns_time(allowed, at);
		left = minutes(allowed - now(p));
		if (!wait_for)
			die(ANSWER_NO, p->name,
			    "%s: not before %s, in %s (--wait waits, "
			    "--ignore-limits asks the service all the same)",
			    why, at, left);
		note("'%s': %s: waiting until %s, %s", p->name, why, at, left);
		free(why);
		free(left);
		/* In short pieces: clocks are put right, hubs move. */
		http_sleep(arm_http(a), fmin(allowed - now(p), (double)every));
		if (interrupt_seen())
			interrupt_die();
		(void)failplan_look(p, a, (double)check_timeout);
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
	if (confirm)
		return;
	question = xasprintf("fail '%s' over to %s?", p->name, p->to);
	if (!ask_name(question, p->name))
		die(BAD_USAGE, p->name, "not confirmed (--confirm=%s)",
		    p->name);
	free(question);
}

static void
record(const struct failplan *p, const char *event, const char *from,
    const char *operation)
{
	struct err e;

	if (turns_add(
		journal, now(p), p->id, event, from, p->to, operation, &e))
		warn_err(&e);
}

/* ---- what happened ---- */

static jv
seconds(double s)
{
	return s < 0 ? jv_null() : jv_number(floor(s * 10 + 0.5) / 10);
}

static void
write_report(
    const struct failwatch *w, const char *from, const char *result, bool whole)
{
	const struct failplan *p = w->plan;
	jv r = jv_put(jv_object(), "hub", jv_string(p->name)), t = jv_object();
	char at[32];

	if (!report)
		return;
	turns_time(now(p), at);
	r = jv_put(r, "id", jv_string(p->id));
	r = jv_put(r, "ended", jv_string(at));
	r = jv_put(r, "result", jv_string(result));
	r = jv_put(r, "from", text_or_null(from));
	r = jv_put(r, "to", jv_string(p->to));
	r = jv_put(
	    r, "locations", jv_path(jv_copy(p->hub), "properties.locations"));
	r = jv_put(r, "watchedFromItsStart", whole ? jv_true() : jv_false());
	t = jv_put(t, "endpointMoved", seconds(w->moved));
	t = jv_put(t, "active", seconds(w->active));
	t = jv_put(t, "operation", seconds(w->over));
	t = jv_put(t, "dns", seconds(w->dns));
	t = jv_put(t, "firstCall", seconds(w->data));
	r = jv_put(r, "seconds", t);
	r = jv_put(r, "endpointBefore", jv_copy(w->endpoint[0]));
	r = jv_put(r, "endpointAfter", jv_copy(w->endpoint[1]));
	r = jv_put(r, "addressesBefore", jv_copy(w->address[0]));
	r = jv_put(r, "addressesAfter", jv_copy(w->address[1]));
	r = jv_put(r, "consumerGroups", jv_copy(p->groups));
	r = jv_put(
	    r, "devices", p->devices < 0 ? jv_null() : jv_number(p->devices));
	(void)doc_write(r, report, false);
}

static void
tell_time(const char *what, double s)
{
	if (s < 0)
		note("  %-22s not seen", what);
	else
		note("  %-22s %.1f s", what, s);
}

static void
tell_end(const struct failwatch *w)
{
	const struct failplan *p = w->plan;
	char *before =
	    jv_dup_string(jv_at(jv_copy(w->endpoint[0]), "endpoint"));
	char *after = jv_dup_string(jv_at(jv_copy(w->endpoint[1]), "endpoint"));

	note("'%s': is Active in %s; after the start:", p->name, p->from);
	tell_time("endpoint moved", w->moved);
	tell_time("Active", w->active);
	tell_time("operation over", w->over);
	tell_time("other address in DNS", w->dns);
	tell_time("first call answered", w->data);
	if (before && after && strcmp(before, after) != 0) {
		note("its built-in endpoint was %s", before);
		note("                   and is %s", after);
		note("what reads it must be restarted with the new name and "
		     "without its old offsets; consumer groups:");
		if (jv_get_kind(p->groups) == JV_KIND_ARRAY)
			jv_array_foreach(p->groups, i, name) {
				note("  %s", jv_string_peek(name)
						 ? jv_string_peek(name)
						 : "?");
				jv_free(name);
			}
		else
			note("  not known");
	}
	free(before);
	free(after);
}

static enum status
carry_out(struct failplan *p, struct arm *a)
{
	struct failwatch w = { .arm = a,
		.plan = p,
		.out = out_open(NULL, false),
		.every = (double)every,
		.give_up = (double)give_up };
	bool begin = !failplan_under_way(p);
	char *from = p->from ? xstrdup(p->from) : NULL;
	enum status status = DONE;
	struct err e;

	failwatch_start(&w);
	interrupt_catch(60);
	if (begin) {
		record(p, "asked", from, NULL);
		if (failwatch_ask(&w, &e)) {
			record(p, "failed", from, NULL);
			status = e.status;
		} else {
			record(p, "begun", from, w.operation);
		}
	} else {
		note("'%s': a failover is under way; watching it", p->name);
		w.operation =
		    turns_operation(turns_of(journal, p->id), now(p), p->to);
	}
	if (status == DONE) {
		status = failwatch_run(&w, &e);
		if (status != REMOTE_RETRY)
			record(
			    p, status == DONE ? "done" : "failed", from, NULL);
	}
	write_report(&w, from,
	    status == DONE           ? "done"
	    : status == REMOTE_RETRY ? "unknown"
				     : "failed",
	    begin);
	if (status == DONE)
		tell_end(&w);
	else
		warn_err(&e);
	out_close(w.out);
	failwatch_end(&w);
	free(from);
	return status;
}

/* Everything that has to be known is known; -n ends here. */
static enum status
show_plan(const struct failplan *p)
{
	char *why = NULL;
	double allowed = turns_allowed(turns_of(journal, p->id), now(p), p->to,
	    p->home ? p->home : "", &why);
	struct err e;

	(void)doc_write(plan_as_json(p, allowed), NULL, false);
	if (failplan_is_there(p))
		note("'%s': is in %s already", p->name, p->to);
	else if (!failplan_under_way(p) && failplan_veto(p, &e))
		die_err(&e);
	else if (allowed > 0 && !ignore_limits)
		warn(p->name, "%s", why);
	free(why);
	return DONE;
}

static enum status
move(struct failplan *p, struct arm *a)
{
	struct err e;

	if (failplan_is_there(p)) {
		note("'%s': is in %s already; nothing to do", p->name, p->to);
		return DONE;
	}
	if (!failplan_under_way(p)) {
		if (failplan_veto(p, &e))
			die_err(&e);
		be_sure(p);
		if (!ignore_limits)
			keep_to_limits(p, a);
	}
	return carry_out(p, a);
}

int
main(int argc, char *argv[])
{
	int operand = tool_start(&tool, argc, argv);
	struct failplan p;
	struct arm *a;
	enum status status;
	struct err e;

	if (!argv[operand])
		usage("which hub?");
	if (!to == !back)
		usage("where to? (--to=LOCATION or --back)");
	if (!every)
		usage("--every=0: one second is the least");
	if (!journal)
		journal = turns_file();
	a = arm_open();
	if (failplan_ask(&p, a, argv[operand], group, (double)check_timeout,
		!dry_run, &e) ||
	    failplan_target(&p, back ? NULL : to, &e))
		die_err(&e);
	tell_plan(&p);
	status = dry_run ? show_plan(&p) : move(&p, a);
	failplan_free(&p);
	arm_close(a);
	interrupt_die();
	return status;
}
