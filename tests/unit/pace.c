/* pace.c: the token bucket, by a clock that the test turns. */
#include "pace.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>

static int tests, failures;
static double t;

static double
clock_of_test(void)
{
	return t;
}

static void
check(bool ok, const char *what)
{
	failures += !ok;
	printf("%sok %d - %s\n", ok ? "" : "not ", ++tests, what);
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
test_rate(void)
{
	struct pace *p = pace_of(10);
	int taken = 0;

	while (pace_take(p, 1) == 0)
		taken++;
	check(taken == 10, "a second's worth goes at once");
	check(is(pace_take(p, 1), 0.1), "the next one in a tenth of a second");
	t += 0.1;
	check(is(pace_take(p, 1), 0), "and then it may");
	/* An hour, taken as soon as allowed. */
	taken = 0;
	while (t < 4600) {
		taken++;
		t += pace_take(p, 1);
	}
	check(taken > 35000 && taken < 72100, "no more than the rate");
	pace_free(p);
}

/* A bulk call of 100 at 100 a minute: at once, then one a minute. */
static void
test_bulk(void)
{
	struct pace *p = pace_of(100.0 / 60);

	check(is(pace_take(p, 100), 0), "a large one goes when it is full");
	check(is(pace_take(p, 100), 60), "and the next pays the debt");
	t += 60;
	check(is(pace_take(p, 100), 0), "after a minute");
	check(is(pace_take(p, 1), 60 - 0.4), "small ones wait for it too");
	pace_free(p);
}

static void
test_refused(void)
{
	struct pace *p = pace_of(10);
	int n;

	(void)pace_take(p, 1);
	pace_refused(p, 5);
	check(is(pace_take(p, 1), 5), "nothing while the service says wait");
	pace_refused(p, 5);
	t += 5;
	check(is(pace_take(p, 1), 0.2), "then half the rate, not a quarter");
	t += 0.2;
	check(is(pace_take(p, 1), 0), "slowly");
	for (n = 0; n < 100000; n++)
		pace_accepted(p, 1);
	t += 100;
	for (n = 0; pace_take(p, 1) == 0; n++)
		;
	check(n == 10, "success brings it back, and no further");
	pace_free(p);
}

static void
test_unknown(void)
{
	struct pace *p = pace_of(0);
	int n;

	for (n = 0; n < 1000 && pace_take(p, 1) == 0; n++)
		t += 0.01; /* 100 a second */
	check(n == 1000, "no rate, no limit");
	pace_refused(p, 1);
	t += 1;
	check(is(pace_take(p, 1), 1.0 / 50),
	    "the first refusal teaches half of what was");
	pace_free(p);
}

int
main(void)
{
	test_rate();
	test_bulk();
	test_refused();
	test_unknown();
	printf("1..%d\n", tests);
	return failures != 0;
}
