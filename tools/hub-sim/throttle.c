/* throttle.c: see throttle.h. */
#include "throttle.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/*
 * Each class of each hub is a token bucket in simulated time.  A call first
 * takes what is in the bucket, then waits for what flows in (traffic shaping),
 * and is refused when it would have to wait for longer than PATIENCE: the text
 * of the 429 says to come back in ten seconds.
 *
 * The one measurement there is (CONTRACT 11.4): 250 reads of a registry with
 * 100 a minute, all answered within 10.5 s, the slowest after 3.2 s.  In
 * 10.5 s 17.5 operations flow in, so the bucket held 250 - 17.5 = 232.5, or
 * 140 s worth; the last of the calls then waited for the 3.2 s in which 5.3
 * flow in.  That what annex A counts by the second has a smaller bucket is a
 * guess, and that other buckets than this one are as deep is another: the
 * doubt throttle-burst makes all of them small.
 */
#define PATIENCE 10.0
#define BURST_MINUTE 139.5
#define BURST_SECOND 10.0
#define BURST_SMALL 5.0

double
throttle_rate(const char *sku, long units, enum op_class class)
{
	char size = sku[0] ? sku[1] : '1'; /* F1, B1 and S1 are one column */
	double n = units > 0 ? (double)units : 1;

	switch (class) {
	case OP_IDENTITY:
	case OP_JOB:
		return n * (size == '3' ? 5000 : 100) / 60;
	case OP_TWIN_READ:
		return size == '3'   ? 500 * n
		       : size == '2' ? fmax(100, 10 * n)
				     : 100;
	case OP_TWIN_UPDATE:
		return size == '3'   ? 250 * n
		       : size == '2' ? fmax(50, 5 * n)
				     : 50;
	case OP_QUERY:
		return n * (size == '3' ? 1000 : 20) / 60;
	case OP_CONFIGURATION:
		return n * 20 / 60;
	case OP_CLASSES:
		break;
	}
	bug("operations of class %d are not limited", (int)class);
}

/* Seconds worth that a bucket holds. */
static double burst(enum op_class class)
{
	if (sim_doubt_is("throttle-burst", "small"))
		return BURST_SMALL;
	return class == OP_TWIN_READ || class == OP_TWIN_UPDATE ? BURST_SECOND
								: BURST_MINUTE;
}

struct throttle *
throttle_of(struct sim *s)
{
	if (!s->throttle)
		s->throttle = xcalloc(1, sizeof *s->throttle);
	return s->throttle;
}

void
throttle_free(struct sim *s)
{
	struct throttle *t = s->throttle;

	if (!t)
		return;
	while (t->hub) {
		struct hub_meter *next = t->hub->next;

		free(t->hub);
		t->hub = next;
	}
	while (t->principal) {
		struct arm_meter *next = t->principal->next;

		free(t->principal);
		t->principal = next;
	}
	forecast_free(t->forecast);
	free(t);
	s->throttle = NULL;
}

/* ---- which call is what ---- */

static enum op_class
classify(const struct visit *v, const char *room)
{
	bool reads = strcmp(v->q->method, "GET") == 0;
	enum op_class class = OP_FREE;
	char *id, *word;

	if (strcmp(room, "twins") == 0)
		return reads ? OP_TWIN_READ : OP_TWIN_UPDATE;
	if (strcmp(room, "configurations") == 0)
		return OP_CONFIGURATION;
	if (strcmp(room, "jobs") == 0)
		return OP_JOB;
	if (strcmp(room, "statistics") == 0)
		return OP_IDENTITY;
	if (strcmp(room, "devices") != 0)
		return OP_FREE;
	id = sim_segment(v->q, 1);
	word = sim_segment(v->q, 2);
	if (!id) {
		class = OP_IDENTITY;
	} else if (strcmp(id, "query") == 0 &&
		   strcmp(v->q->method, "POST") == 0) {
		class = OP_QUERY;
	} else if (!word || strcmp(word, "modules") == 0) {
		class = OP_IDENTITY;
	} else if (strcmp(word, "applyConfigurationContent") == 0) {
		class = OP_CONFIGURATION;
	}
	free(id);
	free(word);
	return class;
}

static struct hub_meter *
meter_of(struct visit *v)
{
	struct throttle *t = throttle_of(v->s);
	struct hub_meter *h = t->hub;

	while (h && strcmp(h->name, v->hub.name) != 0)
		h = h->next;
	if (!h) {
		h = xcalloc(1, sizeof *h);
		(void)snprintf(h->name, sizeof h->name, "%s", v->hub.name);
		h->next = t->hub;
		t->hub = h;
	}
	(void)snprintf(h->sku, sizeof h->sku, "%s", v->hub.sku);
	h->units = v->hub.units;
	h->load = v->s->load;
	return h;
}

/* ---- the bucket ---- */

/*
 * Simulated seconds that an operation of that cost has to wait; less than 0:
 * it is refused, and takes nothing.  What others use (--load) is missing from
 * the bucket and from what flows into it.  A bulk call that is more than a
 * full bucket goes when it is full, and the next ones wait for the debt.
 */
static double
take(struct meter *m, double rate, double depth, double cost, int64_t now)
{
	double need = fmin(cost, depth), wait = 0;

	if (rate <= 0)
		return -1;
	if (!m->filled)
		m->level = depth;
	else if (now > m->filled) /* a clock may be set back */
		m->level += (double)(now - m->filled) / 1000 * rate;
	m->level = fmin(m->level, depth);
	m->filled = now;
	if (m->level < need)
		wait = (need - m->level) / rate;
	if (wait > PATIENCE)
		return -1;
	m->level -= cost;
	return wait;
}

/* In seconds of the client's clock, as delays are. */
static void
say_retry(const struct sim *s, struct sim_reply *r, double seconds)
{
	sim_head(r, "Retry-After", "%.0f", ceil(seconds / s->speed));
}

/* Where the documentation has no name for a kind, ours is as near as can be;
 * CRUD and ConfigurationWrite were seen (CONTRACT 11.4). */
static void
refuse_call(struct visit *v, enum op_class class)
{
	static const char *const names[OP_CLASSES] = { "CRUD", "TwinRead",
		"TwinWrite", "Query", "Job", "ConfigurationWrite" };
	struct refusal f;

	(void)refuse(&f, 429, 429003, "ThrottlingBacklogTimeout",
	    "The request has been throttled. Wait 10 seconds and try again. "
	    "Operation type: %s",
	    names[class]);
	reply_refusal(v, &f);
	if (sim_doubt_is("throttle-retry-after", "seconds"))
		say_retry(v->s, v->r, PATIENCE);
	/* 40 s lay between such a call and its refusal in [iss-telsim39]. */
	if (sim_doubt_is("throttle-refusal", "late"))
		v->r->delay_ms += lround(40000 / v->s->speed);
	sim_head(v->r, "Connection", "close");
}

bool
throttle_admit(struct visit *v, const char *room, long cost)
{
	enum op_class class = classify(v, room);
	struct hub_meter *h = meter_of(v);
	struct meter *m;
	double share = (double)(100 - v->s->load) / 100, rate, wait;

	if (class == OP_FREE)
		return true;
	m = &h->class[class];
	if (v->s->throttled) {
		rate = share * throttle_rate(h->sku, h->units, class);
		wait = take(
		    m, rate, rate * burst(class), (double)cost, sim_now(v->s));
		if (wait < 0) {
			m->refused++;
			refuse_call(v, class);
			return false;
		}
		v->r->delay_ms += lround(1000 * wait / v->s->speed);
		h->longest = fmax(h->longest, wait);
	}
	m->count += cost;
	forecast_call(v->s, h, class, cost);
	if (class == OP_JOB && strcmp(v->q->method, "POST") == 0 &&
	    strcasecmp(v->q->path, "/jobs/create") == 0)
		h->jobs++;
	return true;
}

/* ---- Resource Manager (CONTRACT 3.4) ---- */

enum { HOUR_MS = 3600 * 1000 };

static const struct {
	const char *word;
	long limit; /* an hour, and principal */
} arm_limits[ARM_CLASSES] = {
	[ARM_READ] = { "reads", 12000 },
	[ARM_WRITE] = { "writes", 1200 },
	[ARM_DELETE] = { "deletes", 15000 },
};

/* Calls that a provider counts for itself, as recorded. */
static const struct {
	const char *method, *type, *end;
	long limit;
} own_counters[] = {
	{ "PUT", "Microsoft.Devices/IotHubs", NULL, 5000 },
	{ "PUT", "Microsoft.EventHub/namespaces", NULL, 50 },
	{ "POST", "Microsoft.Storage/storageAccounts", "/listKeys", 12000 },
	{ "POST", "Microsoft.DocumentDB/databaseAccounts", "/listKeys", 150 },
};

bool
throttle_path(
    const char *path, const char *type, const char *end, struct span *name)
{
	static const char word[] = "/providers/";
	const char *at = strcasestr(path, word);
	size_t len = strlen(type);

	if (!at)
		return false;
	at += sizeof word - 1;
	if (strncasecmp(at, type, len) != 0 || at[len] != '/')
		return false;
	at += len + 1;
	len = strcspn(at, "/");
	if (name)
		*name = (struct span){ at, len };
	return len > 0 && strcasecmp(at + len, end ? end : "") == 0;
}

static enum arm_class
arm_class_of(const char *method)
{
	if (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0)
		return ARM_READ;
	return strcmp(method, "DELETE") == 0 ? ARM_DELETE : ARM_WRITE;
}

static struct arm_meter *
principal_of(struct sim *s, const char *client)
{
	struct throttle *t = throttle_of(s);
	struct arm_meter *a = t->principal;
	int64_t now = sim_now(s);

	while (a && strncmp(a->client, client, sizeof a->client - 1) != 0)
		a = a->next;
	if (!a) {
		a = xcalloc(1, sizeof *a);
		(void)snprintf(a->client, sizeof a->client, "%s", client);
		a->next = t->principal;
		t->principal = a;
	}
	if (now - a->hour >= HOUR_MS || now < a->hour) {
		memset(a->count, 0, sizeof a->count);
		a->hour = now;
	}
	return a;
}

/* "remaining-subscription-reads", or the counter of the provider instead. */
static void
say_remaining(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    enum arm_class class, long left)
{
	struct throttle *t = throttle_of(s);

	for (size_t i = 0; i < sizeof own_counters / sizeof *own_counters; i++)
		if (strcmp(q->method, own_counters[i].method) == 0 &&
		    throttle_path(q->path, own_counters[i].type,
			own_counters[i].end, NULL)) {
			if (t->own_count[i] < own_counters[i].limit)
				t->own_count[i]++;
			sim_head(r,
			    "x-ms-ratelimit-remaining-subscription-resource-"
			    "requests",
			    "%ld", own_counters[i].limit - t->own_count[i]);
			return;
		}
	left = left > 0 ? left : 0;
	if (class == ARM_READ)
		sim_head(r, "x-ms-ratelimit-remaining-subscription-reads",
		    "%ld", left);
	else if (class == ARM_WRITE)
		sim_head(r, "x-ms-ratelimit-remaining-subscription-writes",
		    "%ld", left);
	else
		sim_head(r, "x-ms-ratelimit-remaining-subscription-deletes",
		    "%ld", left);
}

bool
throttle_arm(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const char *client)
{
	struct throttle *t = throttle_of(s);
	enum arm_class class = arm_class_of(q->method);
	long limit = arm_limits[class].limit;
	struct arm_meter *a;
	int64_t left;

	if (!client)
		return true;
	a = principal_of(s, client);
	if (!s->throttled || a->count[class] < limit) {
		a->count[class]++;
		t->arm_count[class]++;
		say_remaining(s, q, r, class, limit - a->count[class]);
		forecast_arm(s, q);
		return true;
	}
	t->arm_refused++;
	left = a->hour + HOUR_MS - sim_now(s);
	say_remaining(s, q, r, class, 0);
	say_retry(s, r, (double)left / 1000);
	sim_error(r, 429,
	    sim_doubt_is("throttle-code", "SubscriptionRequestsThrottled")
		? "SubscriptionRequestsThrottled"
		: "TooManyRequests",
	    "The limit of %ld %s an hour for this principal has been reached. "
	    "Please try again later.",
	    limit, arm_limits[class].word);
	return false;
}
