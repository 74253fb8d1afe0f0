/* tap.h: what a unit test tells, as TAP. */
#ifndef TAP_H
#define TAP_H

#include <stdbool.h>
#include <stdio.h>

static int tests, failures;

static void
check(bool good, const char *what)
{
	failures += !good;
	printf("%sok %d - %s\n", good ? "" : "not ", ++tests, what);
}

/* The last line; what main() returns. */
static int
done_testing(void)
{
	printf("1..%d\n", tests);
	return failures != 0;
}

#endif
