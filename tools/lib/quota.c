/* quota.c: the budgets of one hub; see quota.h. */
#include "quota.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "progress.h"

enum { UNITS_MAX = 100000, QUESTION_SECONDS = 20 };

/* Seconds' worth that is taken at once from a hub that has rested.  A hub of
 * one unit was seen to let 140 s worth through (CONTRACT 11.4); less than half
 * of it leaves something for its devices. */
#define BURST 60.0

static const char *sku_option, *share_option, *rate_option;

const struct opt quota_opts[] = {
	OPT_TEXT(0, "sku", "SKU[:UNITS]", &sku_option,
	    "what the hub is, such as S1:2 (default: ask, or find out)"),
	OPT_TEXT(0, "share", "PCT", &share_option,
	    "percent of what it permits to take (default 50; 100 if no "
	    "device is connected)"),
	OPT_TEXT(0, "rate", "N", &rate_option,
	    "at most N identity operations a minute, whatever its size"),
	OPT_END,
};

/* The options, read. */
struct wish {
	char sku[8];
	long units;   /* 0: not given */
	double share; /* 0: not given */
	double rate;  /* identity operations a second; 0: not given */
	bool off;     /* HUBPIPE_PACE */
};

struct quota {
	struct hub *hub;
	char sku[8];
	long units;
	bool known;
	struct wish wish;
	double share;
	struct pace *pace[HUB_KINDS];
	struct quota_cost plan;
	bool planned;
};

/* -- the options ---------------------------------------------------------- */

static long
whole(const char *option, const char *text, const char *what, long largest)
{
	char *end = NULL;
	long n = isdigit((unsigned char)*text) ? strtol(text, &end, 10) : 0;

	if (!end || *end || n < 1 || n > largest)
		usage("--%s: '%s' is not %s of 1 to %ld", option, text, what,
		    largest);
	return n;
}

static void
read_sku(struct wish *w)
{
	static const char *const names[] = { "F1", "B1", "B2", "B3", "S1", "S2",
		"S3" };
	size_t len = strcspn(sku_option, ":");

	w->units = 1;
	if (sku_option[len])
		w->units = whole("sku", sku_option + len + 1,
		    "a number of units", UNITS_MAX);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (len == 2 && strncasecmp(sku_option, names[i], 2) == 0) {
			memcpy(w->sku, names[i], 3);
			return;
		}
	usage("--sku: '%s' is no SKU of a hub (F1, B1, B2, B3, S1, S2 or S3, "
	      "then perhaps :UNITS)",
	    sku_option);
}

static struct wish
read_options(void)
{
	const char *pace = getenv("HUBPIPE_PACE");
	struct wish w = { 0 };

	if (sku_option)
		read_sku(&w);
	if (share_option)
		w.share =
		    (double)whole("share", share_option, "a percentage", 100) /
		    100;
	if (rate_option)
		w.rate = (double)whole("rate", rate_option,
			     "a number of operations a minute", 1000000000) /
			 60;
	w.off = pace && strcmp(pace, "off") == 0;
	if (pace && *pace && !w.off && strcmp(pace, "on") != 0)
		die(BAD_USAGE, pace, "HUBPIPE_PACE is neither on nor off");
	return w;
}

void
quota_check(void)
{
	(void)read_options();
}

/* -- the rates ------------------------------------------------------------ */

/* Operations a second. */
static double
limit_of(const char *sku, long units, enum hub_kind kind)
{
	struct hub_limits may = hub_limits(sku, units);

	switch (kind) {
	case HUB_TWIN_READ:
		return may.twin_reads;
	case HUB_TWIN_WRITE:
		return may.twin_writes;
	case HUB_QUERY:
		return may.queries / 60;
	case HUB_CONFIGURATION:
		return may.configurations / 60;
	case HUB_JOB:
		return may.jobs / 60;
	default:
		return may.identity / 60;
	}
}

static double
rate_of(const struct quota *q, enum hub_kind kind)
{
	if (kind == HUB_IDENTITY && q->wish.rate > 0)
		return q->wish.rate;
	return q->share * limit_of(q->sku, q->units, kind);
}

/*
 * Are devices connected?  One question, once: who shares a hub with nobody may
 * have all of it (CONTRACT 15).  Not knowing counts as yes.
 */
static bool
has_connected(struct hub *hub)
{
	static const char *const path[] = { "connectedDeviceCount", NULL };
	struct http_request r =
	    hub_request(hub, "GET", NULL, "/statistics/service");
	struct http_reply reply = { 0 };
	struct span value;
	struct err e;
	char code[64];
	bool none;

	r.no_retry = true;
	r.timeout = QUESTION_SECONDS;
	http_one(hub_http(hub), &r, &reply);
	none = hub_check(hub, &reply, hub_name(hub), code, &e) == 0 &&
	       json_get(buf_peek(&reply.body), path, &value, NULL) == 1 &&
	       value.len == 1 && *value.at == '0';
	http_reply_free(&reply);
	return !none;
}

static struct pace *
make_pace(struct quota *q, enum hub_kind kind)
{
	bool own = kind == HUB_IDENTITY && q->wish.rate > 0;
	struct pace *p = pace_new(q->wish.off && !own ? 0 : rate_of(q, kind));

	if (own || q->wish.off)
		return p;
	if (!q->known)
		pace_adapt(p, q->share);
	pace_burst(p, BURST);
	return p;
}

struct quota *
quota_open(struct hub *hub)
{
	struct quota *q = xcalloc(1, sizeof *q);

	q->hub = hub;
	q->wish = read_options();
	memcpy(q->sku, "S1", 3);
	q->units = 1;
	if (q->wish.units) {
		memcpy(q->sku, q->wish.sku, sizeof q->sku);
		q->units = q->wish.units;
		q->known = true;
	} else {
		q->known = hub_sku(hub, q->sku, &q->units);
	}
	/* Without pace the share is only for the arithmetic. */
	q->share = q->wish.share > 0                   ? q->wish.share
		   : q->wish.off || has_connected(hub) ? 0.5
						       : 1;
	for (int k = 0; k < HUB_KINDS; k++) {
		q->pace[k] = make_pace(q, (enum hub_kind)k);
		hub_pace(hub, (enum hub_kind)k, q->pace[k]);
	}
	if (q->wish.off)
		trace("HUBPIPE_PACE is off: nothing waits for the throttle");
	return q;
}

/* -- how long ------------------------------------------------------------- */

double
quota_seconds(const struct quota *q, const struct quota_cost *cost)
{
	double s = 0;

	for (int k = 0; k < HUB_KINDS; k++) {
		bool own = k == HUB_IDENTITY && q->wish.rate > 0;
		double rate = rate_of(q, (enum hub_kind)k);
		double credit = own ? 0 : pace_credit(rate, BURST);

		s = fmax(s, (cost->of[k] - credit) / rate);
	}
	return s;
}

void
quota_text(const struct quota *q, struct buf *into)
{
	buf_printf(
	    into, "%s x%ld%s", q->sku, q->units, q->known ? "" : " (assumed)");
	if (q->wish.rate > 0)
		buf_printf(
		    into, ", %.0f a minute by --rate", q->wish.rate * 60);
	else
		buf_printf(into, ", share %.0f %%", q->share * 100);
}

void
quota_duration(double s, struct buf *into)
{
	if (s < 60)
		buf_text(into, "less than a minute");
	else if (s < 7200)
		buf_printf(into, "about %.0f min", ceil(s / 60));
	else if (s < 48 * 3600)
		buf_printf(into, "about %.1f h", s / 3600);
	else
		buf_printf(into, "about %.1f days", s / 86400);
}

/* 1,234,567 */
static void
grouped(struct buf *into, double n)
{
	char text[32];
	size_t len;

	(void)snprintf(text, sizeof text, "%.0f", n);
	len = strlen(text);
	for (size_t i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			buf_char(into, ',');
		buf_char(into, text[i]);
	}
}

static void
cost_text(const struct quota_cost *cost, struct buf *into)
{
	static const char *const names[HUB_KINDS][2] = {
		{ "identity operation", "identity operations" },
		{ "twin read", "twin reads" },
		{ "twin write", "twin writes" },
		{ "query page", "query pages" },
		{ "configuration call", "configuration calls" },
		{ "job call", "job calls" },
	};
	bool any = false;

	for (int k = 0; k < HUB_KINDS; k++) {
		if (cost->of[k] < 0.5)
			continue;
		if (any)
			buf_text(into, ", ");
		any = true;
		grouped(into, cost->of[k]);
		buf_printf(into, " %s", names[k][cost->of[k] >= 1.5]);
	}
	if (!any)
		buf_text(into, "no calls");
}

/* Seconds until the plan is done, at the rates as they are; less than 0:
 * nobody knows. */
static double
left(void *ctx)
{
	const struct quota *q = ctx;
	double s = -1;

	for (int k = 0; k < HUB_KINDS; k++) {
		double rate = pace_rate(q->pace[k]);
		double more = q->plan.of[k] - pace_passed(q->pace[k]);

		if (rate > 0 && more > 0)
			s = fmax(s, more / rate);
	}
	return s;
}

static void
plan(struct quota *q, const char *what, const struct quota_cost *cost)
{
	struct buf b = BUF_INIT;

	cost_text(cost, &b);
	buf_text(&b, ": ");
	quota_duration(quota_seconds(q, cost), &b);
	buf_text(&b, " at ");
	quota_text(q, &b);
	note("'%s': %s%s%s", hub_name(q->hub), what, b.at,
	    q->wish.off ? " (HUBPIPE_PACE=off: not waited for)" : "");
	buf_free(&b);
	q->plan = *cost;
	/* What was asked before is no part of it. */
	for (int k = 0; k < HUB_KINDS; k++)
		q->plan.of[k] += pace_passed(q->pace[k]);
	q->planned = true;
	progress_expect(left, q);
}

void
quota_plan(struct quota *q, const struct quota_cost *cost)
{
	plan(q, "", cost);
}

void
quota_plan_beside(struct quota *q, const struct quota_cost *cost)
{
	plan(q, "beside the job: ", cost);
}

void
quota_follow(struct quota *q, bool follow, double more)
{
	progress_expect(follow ? left : NULL, q);
	progress_beyond(follow ? 0 : fmax(left(q), 0) + more);
}

void
quota_more(struct quota *q, enum hub_kind kind, double operations)
{
	q->plan.of[kind] += operations;
}

void
quota_close(struct quota *q)
{
	if (!q)
		return;
	if (q->planned)
		progress_expect(NULL, NULL);
	for (int k = 0; k < HUB_KINDS; k++) {
		hub_pace(q->hub, (enum hub_kind)k, NULL);
		pace_free(q->pace[k]);
	}
	free(q);
}
