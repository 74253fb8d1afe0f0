/* monotonic.h: seconds since some moment, which no change of the clock moves.
 */
#ifndef MONOTONIC_H
#define MONOTONIC_H

#include <time.h>

static inline double
monotonic(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

#endif
