/*
 * forecast.c: how long what was asked of the simulator takes on Azure, by the
 * rates of annex A and the durations that were seen (CONTRACT 3.2, 16.1).
 *
 * It does not matter how fast the simulator answered: each call is placed on
 * a clock of the forecast's own.  A client keeps so many calls in flight, so
 * a call starts when the one so many places before it has ended; it ends when
 * its class of its hub has let it through.  What a hub lets through at once,
 * before it delays, is not counted: it is not documented, and a hub that
 * serves living devices has used it.
 */
#include "throttle.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum { IN_FLIGHT = 8 }; /* as the tools do, unless -j says otherwise */

/* Seconds.  A hub is made in 2.5 to 3 minutes, updated in 30 to 60 s, deleted
 * in less than one, fails over in 518 to 697 s; a small job takes 3 s, one of
 * a million devices four hours. */
enum { MAKE = 165, UPDATE = 45, REMOVE = 45, FAILOVER = 600, JOB = 3 };
#define JOB_DEVICE (4 * 3600 / 1e6)

struct hub_name {
	struct hub_name *next;
	char *name;
};

struct forecast {
	double ended[IN_FLIGHT]; /* a ring of when the last calls ended */
	unsigned next;
	double last; /* the latest of all */
	bool never;  /* others use all there is */
	int64_t began;
	struct hub_name *before;
	long updates, removals, failovers;
};

static struct forecast *
forecast_of(struct sim *s)
{
	struct throttle *t = throttle_of(s);

	if (!t->forecast)
		t->forecast = xcalloc(1, sizeof *t->forecast);
	return t->forecast;
}

void
forecast_free(struct forecast *f)
{
	while (f && f->before) {
		struct hub_name *next = f->before->next;

		free(f->before->name);
		free(f->before);
		f->before = next;
	}
	free(f);
}

void
forecast_begin(struct sim *s)
{
	sqlite3_stmt *q = sim_sql(s, "SELECT name FROM hub WHERE gone = 0");
	struct forecast *f;

	throttle_free(s); /* what starting up has asked */
	f = forecast_of(s);
	f->began = sim_now(s);
	while (sim_step(s, q) == SQLITE_ROW) {
		struct hub_name *h = xcalloc(1, sizeof *h);

		h->name = span_dup(sim_column(q, 0));
		h->next = f->before;
		f->before = h;
	}
}

void
forecast_call(
    struct sim *s, struct hub_meter *h, enum op_class class, long cost)
{
	struct forecast *f = forecast_of(s);
	struct meter *m = &h->class[class];
	double share = (double)(100 - h->load) / 100;
	double rate = share * throttle_rate(h->sku, h->units, class);
	double *slot = &f->ended[f->next++ % IN_FLIGHT];

	if (rate <= 0) {
		f->never = true;
		return;
	}
	m->busy += (double)cost / rate;
	m->free_at = fmax(m->free_at, *slot) + (double)cost / rate;
	*slot = m->free_at;
	f->last = fmax(f->last, m->free_at);
}

static bool
was_there(const struct forecast *f, struct span name)
{
	for (const struct hub_name *h = f->before; h; h = h->next)
		if (strlen(h->name) == name.len &&
		    strncasecmp(h->name, name.at, name.len) == 0)
			return true;
	return false;
}

void
forecast_arm(struct sim *s, const struct sim_request *q)
{
	static const char hub[] = "Microsoft.Devices/IotHubs";
	struct forecast *f = forecast_of(s);
	struct span name;

	if (strcmp(q->method, "GET") == 0)
		return;
	if (throttle_path(q->path, hub, "/failover", NULL))
		f->failovers += strcmp(q->method, "POST") == 0;
	else if (!throttle_path(q->path, hub, NULL, &name))
		return;
	else if (strcmp(q->method, "DELETE") == 0)
		f->removals++;
	else if (was_there(f, name))
		f->updates++;
}

/* ---- saying it ---- */

/* 1234567 as 1,234,567. */
static void
number(struct buf *b, long long n)
{
	if (n >= 1000) {
		number(b, n / 1000);
		buf_printf(b, ",%03lld", n % 1000);
	} else {
		buf_printf(b, "%lld", n);
	}
}

static void
duration(struct buf *b, double s)
{
	if (s < 1)
		buf_text(b, "less than 1 s");
	else if (s < 100)
		buf_printf(b, "about %.0f s", s);
	else if (s < 10 * 60)
		buf_printf(b, "about %.1f min", s / 60);
	else if (s < 100 * 60)
		buf_printf(b, "about %.0f min", s / 60);
	else if (s < 48 * 3600)
		buf_printf(b, "about %.1f h", s / 3600);
	else
		buf_printf(b, "about %.1f days", s / 86400);
}

static const struct {
	const char *one, *many;
} words[OP_CLASSES] = {
	[OP_IDENTITY] = { "identity operation", "identity operations" },
	[OP_TWIN_READ] = { "twin read", "twin reads" },
	[OP_TWIN_UPDATE] = { "twin update", "twin updates" },
	[OP_QUERY] = { "query page", "query pages" },
	[OP_JOB] = { "job call", "job calls" },
	[OP_CONFIGURATION] = { "configuration call", "configuration calls" },
};

static void
counted(struct buf *b, long long n, const char *one, const char *many)
{
	number(b, n);
	buf_printf(b, " %s", n == 1 ? one : many);
}

static double
job_seconds(struct sim *s, const struct hub_meter *h)
{
	sqlite3_stmt *q =
	    sim_sql(s, "SELECT count(*) FROM registry WHERE hub = ?");
	double rows = 0;

	if (h->jobs == 0)
		return 0;
	sim_bind(q, 1, h->name);
	if (sim_step(s, q) == SQLITE_ROW)
		rows = (double)sqlite3_column_int64(q, 0);
	return (double)h->jobs * (JOB + rows * JOB_DEVICE);
}

/* "contoso (S1 x1): 1,000 identity operations, 20 query pages: on Azure about
 * 10 min, which identity operations take"; the seconds of its jobs. */
static double
say_hub(struct sim *s, const struct hub_meter *h)
{
	struct buf b = BUF_INIT;
	long long refused = 0, all = 0;
	int most = 0;
	double jobs = job_seconds(s, h);

	buf_printf(&b, "%s (%s x%ld", h->name, h->sku, h->units);
	if (h->load)
		buf_printf(&b, ", others use %ld %%", h->load);
	buf_text(&b, "): ");
	for (int i = 0; i < OP_CLASSES; i++) {
		const struct meter *m = &h->class[i];

		refused += m->refused;
		if (m->busy > h->class[most].busy)
			most = i;
		if (m->count == 0)
			continue;
		buf_text(&b, all ? ", " : "");
		counted(&b, m->count, words[i].one, words[i].many);
		all += m->count;
	}
	if (h->jobs) {
		buf_text(&b, all ? ", " : "");
		counted(&b, h->jobs, "import or export job",
		    "import or export jobs");
		all += h->jobs;
	}
	if (h->load >= 100) {
		buf_text(&b, all ? ": on Azure never" : "nothing let through");
	} else if (all) {
		buf_text(&b, ": on Azure ");
		duration(&b, h->class[most].busy + jobs);
		if (h->class[most].busy >= 1 && h->class[most].busy > jobs)
			buf_printf(&b, " (limited by %s)", words[most].many);
	}
	if (refused) {
		buf_text(&b, "; here ");
		counted(&b, refused, "call was", "calls were");
		buf_text(&b, " answered with 429");
	}
	if (h->longest >= 0.05)
		buf_printf(&b, "%s delayed by up to %.1f s",
		    refused ? " and others" : "; here calls were", h->longest);
	if (all || refused)
		note("%s", b.at);
	buf_free(&b);
	return jobs;
}

/* Hubs that are there now and were not before. */
static long
hubs_made(struct sim *s)
{
	sqlite3_stmt *q = sim_sql(s, "SELECT name FROM hub WHERE gone = 0");
	long n = 0;

	while (sim_step(s, q) == SQLITE_ROW)
		n += !was_there(forecast_of(s), sim_column(q, 0));
	return n;
}

static double
say_arm(struct sim *s)
{
	const struct throttle *t = throttle_of(s);
	const struct forecast *f = forecast_of(s);
	const struct {
		long n;
		int seconds;
		const char *one, *many;
	} slow[] = {
		{ hubs_made(s), MAKE, "hub made", "hubs made" },
		{ f->updates, UPDATE, "hub updated", "hubs updated" },
		{ f->removals, REMOVE, "hub deleted", "hubs deleted" },
		{ f->failovers, FAILOVER, "failover", "failovers" },
	};
	struct buf b = BUF_INIT;
	double all = 0;

	buf_text(&b, "Resource Manager: ");
	counted(&b, t->arm_count[ARM_READ], "read", "reads");
	buf_text(&b, ", ");
	counted(&b, t->arm_count[ARM_WRITE] + t->arm_count[ARM_DELETE], "write",
	    "writes");
	for (size_t i = 0; i < sizeof slow / sizeof *slow; i++) {
		if (slow[i].n == 0)
			continue;
		buf_text(&b, ", ");
		counted(&b, slow[i].n, slow[i].one, slow[i].many);
		all += (double)slow[i].n * slow[i].seconds;
	}
	if (all > 0) {
		buf_text(&b, ": on Azure ");
		duration(&b, all);
	}
	if (t->arm_refused) {
		buf_text(&b, "; here ");
		counted(&b, t->arm_refused, "call was", "calls were");
		buf_text(&b, " answered with 429");
	}
	if (t->arm_count[ARM_READ] + t->arm_count[ARM_WRITE] +
		t->arm_count[ARM_DELETE] >
	    0)
		note("%s", b.at);
	buf_free(&b);
	return all;
}

void
forecast_say(struct sim *s)
{
	struct throttle *t = throttle_of(s);
	struct forecast *f = forecast_of(s);
	struct hub_meter *in_order = NULL, *h, *next;
	double all = f->last;
	struct buf b = BUF_INIT;

	for (h = t->hub; h; h = next) { /* as they were first asked */
		next = h->next;
		h->next = in_order;
		in_order = h;
	}
	t->hub = in_order;
	for (h = t->hub; h; h = h->next)
		all += say_hub(s, h);
	all += say_arm(s);
	buf_text(&b, "all of this on Azure, by its documented limits: ");
	for (h = t->hub; h; h = h->next)
		f->never |= h->load >= 100;
	if (f->never)
		buf_text(&b, "never, since others use all there is");
	else
		duration(&b, all);
	if (s->throttled) {
		buf_text(&b, "; here, on the simulated clock, ");
		duration(&b, (double)(sim_now(s) - f->began) / 1000);
	}
	note("%s", b.at);
	buf_free(&b);
}
