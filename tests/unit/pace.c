/*
 * pace.c: the token bucket, by a clock that the test turns, and against a
 * model of a service that first delays and then refuses.
 */
#include "pace.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>

#include "tap.h"

static double t;

static double
clock_of_test(void)
{
	return t;
}

static bool
is(double got, double want)
{
	if (fabs(got - want) < 1e-6)
		return true;
	printf("# %g instead of %g\n", got, want);
	return false;
}

static struct pace *
pace_of(double rate)
{
	struct pace *p = pace_new(rate);

	t = 1000;
	pace_clock(p, clock_of_test);
	return p;
}

static void
pass(struct pace *p, double cost)
{
	pace_answered(p, cost, PACE_PASSED, t, 0.01, 0, false);
}

static void
refuse(struct pace *p, double cost, double sent, double wait, bool asked)
{
	pace_answered(p, cost, PACE_REFUSED, sent, 0.01, wait, asked);
}

/* Takes one and has it answered at once. */
static bool
one(struct pace *p)
{
	if (pace_take(p, 1) > 0)
		return false;
	pass(p, 1);
	return true;
}

static void
test_rate(void)
{
	struct pace *p = pace_of(10);
	int taken = 0;

	while (one(p))
		taken++;
	check(taken == 10, "a second's worth goes at once");
	check(is(pace_take(p, 1), 0.1), "the next one in a tenth of a second");
	t += 0.1;
	check(one(p), "and then it may");
	/* An hour, taken as soon as allowed. */
	taken = 0;
	while (t < 4600.1) {
		double wait = pace_take(p, 1);

		if (wait == 0) {
			pass(p, 1);
			taken++;
		}
		t += wait;
	}
	check(taken >= 35990 && taken <= 36000, "an hour of it is an hour's");
	check(is(pace_passed(p), taken + 11), "and all are counted");
	pace_free(p);
}

/* A bulk call of 100 at 100 a minute: at once, then one a minute. */
static void
test_bulk(void)
{
	struct pace *p = pace_of(100.0 / 60);

	check(is(pace_take(p, 100), 0), "a large one goes when it is full");
	pass(p, 100);
	check(is(pace_take(p, 100), 60), "and the next pays the debt");
	t += 60;
	check(is(pace_take(p, 100), 0), "after a minute");
	pass(p, 100);
	check(is(pace_take(p, 1), 60 - 0.4), "small ones wait for it too");
	check(pace_batch(p, 100) == 1, "a call at that rate has one device");
	pace_free(p);
	p = pace_of(100);
	check(pace_batch(p, 100) == 25,
	    "at sixty times it a quarter of a second's");
	pace_free(p);
	p = pace_of(500);
	check(pace_batch(p, 100) == 100, "at a large rate a hundred");
	pace_free(p);
	p = pace_of(0.1);
	check(pace_batch(p, 100) == 1, "and never none");
	pace_free(p);
}

static void
test_unanswered(void)
{
	struct pace *p = pace_of(10);
	int n = 0;

	for (int i = 0; i < 2000; i++, t += 0.05)
		n += pace_take(p, 1) == 0;
	check(n == 50, "five seconds' worth may be unanswered");
	pace_answered(p, 1, PACE_LOST, t, 0, 0, false);
	check(is(pace_take(p, 1), 0), "no answer is the end of a call too");
	check(pace_take(p, 1) > 0, "but of one");
	pace_free(p);
}

static void
test_refused(void)
{
	struct pace *p = pace_of(10);
	double sent = t;
	int n;

	for (n = 0; n < 3; n++)
		(void)pace_take(p, 1);
	t += 1;
	refuse(p, 1, sent, 5, false);
	check(is(pace_take(p, 1), 5), "nothing while we have to wait");
	check(is(pace_rate(p), 5), "then half the rate");
	t += 1;
	refuse(p, 1, sent, 5, false);
	check(is(pace_take(p, 1), 4), "who went with it does not count again");
	check(is(pace_refusing(p), 1), "since when is told");
	refuse(p, 1, sent, 8, true);
	check(is(pace_take(p, 1), 8), "but what it asks for is done");
	check(is(pace_rate(p), 5), "at the same rate");
	t += 8;
	check(is(pace_take(p, 1), 0.2), "slowly");
	t += 0.2;
	check(one(p), "at first");
	check(is(pace_refusing(p), 0), "one that goes through ends it");
	for (n = 0; n < 1000; n++) {
		double wait = pace_take(p, 1);

		if (wait == 0)
			pass(p, 1);
		t += wait;
	}
	check(is(pace_rate(p), 10), "success brings it back, and no further");
	pace_free(p);
}

/* A large call that is refused has spent nothing. */
static void
test_refund(void)
{
	struct pace *p = pace_of(1);

	check(is(pace_take(p, 30), 0), "a large call goes");
	refuse(p, 30, t, 4, true);
	t += 4;
	check(is(pace_take(p, 30), 2), "and when refused, again soon");
	pace_free(p);
}

static void
test_constant(void)
{
	struct pace *p = pace_of(10);

	for (int n = 0; n < 1000;) {
		double wait = pace_take(p, 1);

		if (wait == 0) {
			refuse(p, 1, t, 10, false);
			n++;
		}
		t += wait;
	}
	check(pace_rate(p) > 0.1, "it never stops altogether");
	check(pace_refusing(p) > 9000, "and says for how long all is refused");
	pace_free(p);
}

static void
test_delay(void)
{
	struct pace *p = pace_of(10);
	int n;

	for (n = 0; n < 8; n++) {
		t += pace_take(p, 1);
		pace_answered(p, 1, PACE_PASSED, t, 0.1, 0, false);
	}
	for (n = 0; n < 3; n++)
		pace_answered(p, 1, PACE_PASSED, t, 3.1, 0, false);
	check(is(pace_rate(p), 10), "three slow answers are chance");
	for (n = 0; n < 3; n++)
		pace_answered(p, 1, PACE_PASSED, t, 3.1, 0, false);
	check(is(pace_rate(p), 8), "growing delay slows down, once");
	check(pace_take(p, 1) > 3, "until its cause is gone");
	pace_free(p);
}

static void
test_burst(void)
{
	struct pace *p = pace_of(2);
	int rounds = 0, taken = 0;

	pace_burst(p, 60);
	while (pace_rate(p) > 0 && rounds < 6) {
		int n = 0;

		while (pace_take(p, 1) == 0)
			n++;
		for (taken += n; n > 0; n--)
			pass(p, 1);
		rounds++;
	}
	check(taken == 31, "a burst doubles from one to eight");
	while (one(p))
		taken++;
	check(taken == 120, "until its seconds are spent");
	check(is(pace_take(p, 1), 0.5), "then the rate begins");
	pace_free(p);

	p = pace_of(2);
	pace_burst(p, 60);
	check(pace_batch(p, 100) == 1, "the first call is small");
	for (int i = 0; i < 2; i++)
		check(one(p), "one more goes at once");
	check(pace_batch(p, 100) == 3, "then it grows");
	(void)pace_take(p, 3);
	pace_answered(p, 3, PACE_PASSED, t, 2, 0, false);
	check(pace_take(p, 1) > 0, "one slow answer ends the burst");
	pace_free(p);
}

static void
test_unknown(void)
{
	struct pace *p = pace_of(0);
	int n;

	for (n = 0; n < 1000 && one(p); n++)
		t += 0.01; /* 100 a second */
	check(n == 1000, "no rate, no limit");
	(void)pace_take(p, 1);
	refuse(p, 1, t, 1, false);
	t += 1;
	check(is(pace_take(p, 1), 1.0 / 50),
	    "the first refusal teaches half of what was");
	pace_free(p);
}

/* -- a service ------------------------------------------------------------ */

enum { LANES = 8 };

/* As hub-sim has it: a bucket, then delay, then refusal; it wants a client to
 * go at rate. */
struct service {
	double rate, depth, patience, latency; /* seconds' worth; seconds */
	bool late;                             /* a refusal comes after 40 s */
	double level, filled;
	int calls, refused;
	double done; /* operations let through */
};

static double
ask(struct service *s, double cost, bool *refused)
{
	double full = s->rate * s->depth, need = fmin(cost, full), wait;

	s->level = fmin(full, s->level + (t - s->filled) * s->rate);
	s->filled = t;
	wait = s->level < need ? (need - s->level) / s->rate : 0;
	s->calls++;
	*refused = wait > s->patience;
	if (*refused) {
		s->refused++;
		return s->late ? 40 : s->latency;
	}
	s->level -= cost;
	s->done += cost;
	return wait + s->latency;
}

/* So many seconds of calls, as many lanes as -j has. */
static void
drive(struct service *s, struct pace *p, double seconds)
{
	struct lane {
		double until, sent, cost;
		bool busy, refused;
	} lane[LANES] = { { 0 } };
	double end = t + seconds;

	s->level = s->rate * s->depth;
	s->filled = t;
	while (t < end) {
		double next = end;

		for (int i = 0; i < LANES; i++) {
			struct lane *l = &lane[i];

			if (!l->busy || l->until > t)
				continue;
			l->busy = false;
			pace_answered(p, l->cost,
			    l->refused ? PACE_REFUSED : PACE_PASSED, l->sent,
			    t - l->sent, l->refused ? 10 : 0, false);
			if (l->refused)
				l->until = t + 10; /* http.c waits with it */
		}
		for (int i = 0; i < LANES; i++) {
			struct lane *l = &lane[i];
			double wait;

			if (!l->busy && l->until <= t) {
				l->cost = (double)pace_batch(p, 100);
				wait = pace_take(p, l->cost);
				if (wait > 0) {
					next = fmin(next, t + wait);
					continue;
				}
				l->busy = true;
				l->sent = t;
				l->until = t + ask(s, l->cost, &l->refused);
			}
			next = fmin(next, l->until);
		}
		t = fmax(next, t + 1e-4);
	}
}

/* At what a hub of that size permits, of which others take some. */
static void
permitted(const char *name, double rate, double depth, double others,
    double share, double refusals)
{
	struct service s = { .rate = rate * (1 - others),
		.depth = depth,
		.patience = 10,
		.latency = 0.08,
		.late = others > 0.1 };
	struct pace *p = pace_of(rate);
	char what[160];
	double got, no;

	pace_burst(p, 60);
	drive(&s, p, 600);
	got = s.done / (600 * s.rate);
	no = 100.0 * s.refused / s.calls;
	(void)snprintf(what, sizeof what,
	    "ten minutes %s: %.3f of the rate, %.1f %% of %d calls refused",
	    name, got, no, s.calls);
	check(got >= share && no <= refusals, what);
	pace_free(p);
}

static void
adapted(const char *name, double rate, double depth, double share)
{
	struct service s = {
		.rate = rate, .depth = depth, .patience = 10, .latency = 0.08
	};
	struct pace *p = pace_of(100.0 / 60);
	char what[160];
	double got;

	pace_adapt(p, 1);
	pace_burst(p, 60);
	drive(&s, p, 1200);
	got = s.done / (1200 * s.rate);
	(void)snprintf(what, sizeof what,
	    "twenty minutes at what nobody knows, %s: %.3f, %d of %d refused",
	    name, got, s.refused, s.calls);
	check(got >= share && s.refused <= s.calls / 20 + 8, what);
	pace_free(p);
}

int
main(void)
{
	test_rate();
	test_bulk();
	test_unanswered();
	test_refused();
	test_refund();
	test_constant();
	test_delay();
	test_burst();
	test_unknown();
	permitted("at S1 x1", 100.0 / 60, 139.5, 0, 0.97, 0.5);
	permitted("at S1 x1, small bucket", 100.0 / 60, 5, 0, 0.97, 0.5);
	permitted("at S3 x1", 5000.0 / 60, 139.5, 0, 0.97, 0.5);
	permitted("at S3 x1, small bucket", 5000.0 / 60, 5, 0, 0.97, 0.5);
	permitted("at S3 x10, small bucket", 50000.0 / 60, 5, 0, 0.97, 0.5);
	permitted("of twin reads", 100, 10, 0, 0.97, 0.5);
	permitted("with others, S1 x1", 100.0 / 60, 5, 0.3, 0.9, 0.5);
	permitted("with others, S3 x1", 5000.0 / 60, 139.5, 0.3, 0.9, 0.5);
	permitted("with many others, S1 x1", 100.0 / 60, 5, 0.6, 0.8, 2);
	adapted("S1 x1", 100.0 / 60, 139.5, 0.8);
	adapted("S1 x1, small bucket", 100.0 / 60, 5, 0.6);
	adapted("S3 x1", 5000.0 / 60, 139.5, 0.6);
	adapted("S1 x10, small bucket", 1000.0 / 60, 5, 0.6);
	return done_testing();
}
