/*
 * control.c: the room that Azure does not have: what is asked of hub-sim
 * itself, under http://127.0.0.1:PORT/hub-sim/ (HUB_SIM_CONTROL).
 *
 *   GET  status              everything, as JSON
 *   GET, POST, DELETE faults and faults/N
 *   GET, PUT  KNOB           one value as text: see knobs
 *   GET, PUT  doubts/NAME    its position
 *   POST      failovers/HUB  Microsoft fails the hub over, asked by nobody
 *   POST      jobs/HUB       its job fails, is cancelled or waits: jobs.h
 *
 * Whoever runs hub-sim may ask; a page in a browser on the same machine may
 * not: what a browser sends by itself names an origin or a site.
 */
#include "sim.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "failover.h"
#include "fault.h"
#include "jobs.h"
#include "monotonic.h"

enum { SPECS_MAX = 1000 };

struct knob {
	const char *name;
	void (*show)(const struct sim *s, struct buf *out);
	/* -1 with *e, and nothing is changed. */
	int (*turn)(struct sim *s, const char *value, struct err *e);
};

static int
number(double *into, const char *value, double low, double high, struct err *e)
{
	char *end;

	*into = strtod(value, &end);
	if (end == value || *end || !isfinite(*into) || *into < low ||
	    *into > high)
		return err_set(e, BAD_USAGE, value,
		    "is not a number from %g to %g", low, high);
	return 0;
}

static int
whole(long *into, const char *value, long low, long high, struct err *e)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(value, &end, 10);
	if (errno || end == value || *end || n < low || n > high)
		return err_set(e, BAD_USAGE, value,
		    "is not a whole number from %ld to %ld", low, high);
	*into = n;
	return 0;
}

static int
one_of(bool *into, const char *value, const char *no, const char *yes,
    struct err *e)
{
	if (strcmp(value, no) != 0 && strcmp(value, yes) != 0)
		return err_set(
		    e, BAD_USAGE, value, "is neither %s nor %s", no, yes);
	*into = strcmp(value, yes) == 0;
	return 0;
}

/* ---- knobs ---- */

static void
show_clock(const struct sim *s, struct buf *out)
{
	char when[32];

	sim_iso_time(sim_now(s), when);
	buf_text(out, when);
}

/* Time goes on and never back: what is written would be in the future.  The
 * clocks of clients stay: what they sign from now on is not late for it. */
static int
turn_clock(struct sim *s, const char *value, struct err *e)
{
	double seconds;

	if (number(&seconds, value, 0, 1e10, e))
		return -1;
	s->clock_offset += (int64_t)(seconds * 1000);
	s->speeded += (int64_t)(seconds * 1000);
	return 0;
}

static void
show_speed(const struct sim *s, struct buf *out)
{
	buf_printf(out, "%g", s->speed);
}

/* From this moment on: what has passed has passed at the old speed. */
static int
turn_speed(struct sim *s, const char *value, struct err *e)
{
	int64_t now = sim_now(s), client = sim_client_now(s);
	struct timespec t;
	double speed;

	if (number(&speed, value, 0.001, 1e6, e))
		return -1;
	(void)clock_gettime(CLOCK_REALTIME, &t);
	s->started_ms = (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
	s->clock_offset = now - s->started_ms;
	s->speeded = now - client;
	s->speed = speed;
	return 0;
}

static void
show_throttle(const struct sim *s, struct buf *out)
{
	buf_text(out, s->throttled ? "real" : "off");
}

static int
turn_throttle(struct sim *s, const char *value, struct err *e)
{
	return one_of(&s->throttled, value, "off", "real", e);
}

static void
show_timing(const struct sim *s, struct buf *out)
{
	buf_text(out, s->real_times ? "real" : "fast");
}

static int
turn_timing(struct sim *s, const char *value, struct err *e)
{
	return one_of(&s->real_times, value, "fast", "real", e);
}

static void
show_load(const struct sim *s, struct buf *out)
{
	buf_printf(out, "%ld", s->load);
}

static int
turn_load(struct sim *s, const char *value, struct err *e)
{
	return whole(&s->load, value, 0, 100, e);
}

static void
show_lose(const struct sim *s, struct buf *out)
{
	buf_printf(out, "%ld", s->lose_ms / 1000);
}

static int
turn_lose(struct sim *s, const char *value, struct err *e)
{
	long seconds = 0;

	if (whole(&seconds, value, 0, 300, e))
		return -1;
	s->lose_ms = seconds * 1000;
	return lose_watch(s, e);
}

static void
show_operation(const struct sim *s, struct buf *out)
{
	buf_printf(out, "%ld", s->operation_ms);
}

static int
turn_operation(struct sim *s, const char *value, struct err *e)
{
	if (whole(&s->operation_ms, value, 0, 86400000, e))
		return -1;
	s->operation_given = true;
	return 0;
}

static void
show_token(const struct sim *s, struct buf *out)
{
	buf_printf(out, "%ld", s->token_seconds);
}

static int
turn_token(struct sim *s, const char *value, struct err *e)
{
	return whole(&s->token_seconds, value, 1, 86400000, e);
}

static const struct knob knobs[] = {
	{ "clock", show_clock, turn_clock },
	{ "speed", show_speed, turn_speed },
	{ "throttle", show_throttle, turn_throttle },
	{ "load", show_load, turn_load },
	{ "timing", show_timing, turn_timing },
	{ "operation-ms", show_operation, turn_operation },
	{ "lose", show_lose, turn_lose },
	{ "token-seconds", show_token, turn_token },
	{ NULL, NULL, NULL },
};

/* ---- answers ---- */

static void
text_reply(struct sim_reply *r, const char *text)
{
	r->status = 200;
	r->content_type = "text/plain; charset=utf-8";
	buf_clear(&r->body);
	buf_text(&r->body, text);
	buf_char(&r->body, '\n');
}

/* The line that the command line would have said. */
static void
bad_reply(struct sim_reply *r, const struct err *e)
{
	sim_error(r, 400, "BadValue", *e->subject ? "'%s': %s" : "%s%s",
	    e->subject, e->text);
}

static void
not_allowed(struct sim_reply *r, const char *allowed)
{
	sim_head(r, "Allow", "%s", allowed);
	sim_error(r, 405, "MethodNotAllowed", "only %s can be asked of this",
	    allowed);
}

static void
add_fault(struct buf *out, const struct fault *f, int64_t now)
{
	buf_printf(out, "{\"number\":%ld,\"fault\":", f->number);
	buf_json(out, f->text, strlen(f->text));
	buf_printf(out, ",\"seen\":%ld,\"done\":%ld,\"active\":%s}", f->seen,
	    f->done, fault_alive(f, now) ? "true" : "false");
}

/* Those above a number. */
static void
add_faults(struct buf *out, struct sim *s, long above)
{
	const char *comma = "";
	int64_t now = sim_now(s);

	buf_char(out, '[');
	for (size_t i = 0; i < s->faults->count; i++)
		if (s->faults->fault[i]->number > above) {
			buf_text(out, comma);
			add_fault(out, s->faults->fault[i], now);
			comma = ",";
		}
	buf_char(out, ']');
}

/* ---- faults ---- */

/* One rule a line; all of them, or none. */
static void
post_faults(struct sim *s, const struct sim_request *q, struct sim_reply *r)
{
	char *text = span_dup(q->body), *rest = text, *line;
	long before = s->faults->last;
	struct err e;
	int bad = 0, count = 0;

	while (!bad && (line = strsep(&rest, "\r\n"))) {
		if (!*line)
			continue;
		if (++count > SPECS_MAX)
			bad = err_set(&e, BAD_USAGE, NULL,
			    "more than %d rules at once", SPECS_MAX);
		else
			bad = fault_add(s->faults, s, line, &e) < 0;
	}
	if (!bad && count == 0)
		bad = err_set(&e, BAD_USAGE, NULL,
		    "the body has no rule (one a line, as --fault)");
	if (bad) {
		while (s->faults->last > before)
			(void)fault_remove(s->faults, s->faults->last--);
		bad_reply(r, &e);
	} else {
		r->status = 201;
		add_faults(&r->body, s, before);
	}
	free(text);
}

static void
faults_call(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const char *which)
{
	char *end = NULL;
	long n = which ? strtol(which, &end, 10) : 0;
	const struct fault *found = NULL;

	for (size_t i = 0; i < s->faults->count; i++)
		if (s->faults->fault[i]->number == n)
			found = s->faults->fault[i];
	if (which && (*end || !found)) {
		sim_error(r, 404, "NotFound", "there is no fault '%s'", which);
	} else if (strcmp(q->method, "DELETE") == 0) {
		(void)fault_remove(s->faults, n);
		r->status = 204;
	} else if (!which && strcmp(q->method, "POST") == 0) {
		post_faults(s, q, r);
	} else if (strcmp(q->method, "GET") == 0) {
		r->status = 200;
		if (which)
			add_fault(&r->body, found, sim_now(s));
		else
			add_faults(&r->body, s, 0);
	} else {
		not_allowed(r, which ? "GET, DELETE" : "GET, POST, DELETE");
	}
}

/* ---- the rest ---- */

static char *
body_word(const struct sim_request *q)
{
	struct span b = q->body;

	while (b.len && strchr(" \t\r\n", b.at[b.len - 1]))
		b.len--;
	return span_dup(b);
}

static void
knob_call(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const struct knob *k)
{
	struct buf shown = BUF_INIT;
	struct err e;
	char *value;
	int bad = 0;

	if (strcmp(q->method, "PUT") == 0) {
		value = body_word(q);
		bad = k->turn(s, value, &e);
		free(value);
		if (bad)
			bad_reply(r, &e);
		else
			sim_wake(s); /* what waits may be due now */
	} else if (strcmp(q->method, "GET") != 0) {
		not_allowed(r, "GET, PUT");
		return;
	}
	if (!bad) {
		k->show(s, &shown);
		text_reply(r, shown.at);
	}
	buf_free(&shown);
}

static void
doubt_call(const struct sim_request *q, struct sim_reply *r, const char *name)
{
	const char *position = name ? sim_doubt_position(name) : NULL;
	char *value = NULL, *assignment = NULL;
	struct err e;

	if (!position) {
		sim_error(r, 404, "NotFound",
		    "there is no doubt '%s' (see --list-doubts)",
		    name ? name : "");
	} else if (strcmp(q->method, "PUT") == 0) {
		value = body_word(q);
		assignment = xasprintf("%s=%s", name, value);
		if (sim_doubt_set(assignment, &e))
			bad_reply(r, &e);
		else
			text_reply(r, sim_doubt_position(name));
	} else if (strcmp(q->method, "GET") == 0) {
		text_reply(r, position);
	} else {
		not_allowed(r, "GET, PUT");
	}
	free(value);
	free(assignment);
}

static void
failover_call(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const char *hub)
{
	if (strcmp(q->method, "POST") != 0) {
		not_allowed(r, "POST");
	} else if (!hub || !failover_by_microsoft(s, hub)) {
		sim_error(r, 404, "NotFound",
		    "there is no hub '%s' that could fail over now",
		    hub ? hub : "");
	} else {
		r->status = 202;
		buf_text(&r->body, "{}");
	}
}

static void
status_call(struct sim *s, const struct sim_request *q, struct sim_reply *r)
{
	struct buf text = BUF_INIT;

	if (strcmp(q->method, "GET") != 0) {
		not_allowed(r, "GET");
		return;
	}
	r->status = 200;
	buf_printf(&r->body,
	    "{\"requests\":%llu,\"connections\":%ld,\"uptimeSeconds\":%.3f",
	    (unsigned long long)s->requests, s->connections,
	    monotonic() - s->began);
	for (const struct knob *k = knobs; k->name; k++) {
		buf_clear(&text);
		k->show(s, &text);
		buf_printf(&r->body, ",\"%s\":", k->name);
		buf_json(&r->body, text.at, text.len);
	}
	buf_text(&r->body, ",\"faults\":");
	add_faults(&r->body, s, 0);
	buf_char(&r->body, '}');
	buf_free(&text);
}

static bool
from_a_page(const struct sim_request *q)
{
	const char *site = q->header(q, "sec-fetch-site");

	return q->header(q, "origin") || (site && strcmp(site, "none") != 0);
}

static void
route(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const char *word, const char *second)
{
	const struct knob *k = knobs;

	while (k->name && strcmp(k->name, word) != 0)
		k++;
	if (strcmp(word, "faults") == 0)
		faults_call(s, q, r, second);
	else if (strcmp(word, "doubts") == 0)
		doubt_call(q, r, second);
	else if (strcmp(word, "failovers") == 0)
		failover_call(s, q, r, second);
	else if (strcmp(word, "jobs") == 0 && strcmp(q->method, "POST") != 0)
		not_allowed(r, "POST");
	else if (strcmp(word, "jobs") == 0)
		jobs_control(s, q, r, second ? second : "");
	else if (second)
		sim_error(r, 404, "NotFound", "nothing is there");
	else if (strcmp(word, "status") == 0)
		status_call(s, q, r);
	else if (k->name)
		knob_call(s, q, r, k);
	else
		sim_error(r, 404, "NotFound",
		    "'%s' is none of status, faults, doubts/NAME, "
		    "failovers/HUB, jobs/HUB, clock, speed, throttle, load, "
		    "timing, "
		    "operation-ms, lose, token-seconds",
		    word);
}

void
control_handle(struct sim *s, const struct sim_request *q, struct sim_reply *r)
{
	char *first = sim_segment(q, 0), *word = sim_segment(q, 1),
	     *second = sim_segment(q, 2);

	if (from_a_page(q))
		sim_error(r, 403, "Forbidden",
		    "a page in a browser has no business here");
	else if (!first || strcmp(first, "hub-sim") != 0 || sim_segments(q) > 3)
		sim_error(r, 404, "NotFound",
		    "nothing is there: this is hub-sim, and what can be asked "
		    "of it is below /hub-sim/ (see hub-sim(1))");
	else
		route(s, q, r, word ? word : "", second);
	sim_head(r, "Cache-Control", "no-store");
	free(first);
	free(word);
	free(second);
}
