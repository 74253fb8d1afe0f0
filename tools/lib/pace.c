/* pace.c: a token bucket that learns; see pace.h. */
#include "pace.h"

#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "msg.h"

/* Operations a second that the smallest hub permits (CONTRACT Annex A): no
 * refusal means that there is less. */
#define LEAST (100 / 60.0)

struct pace {
	double (*clock)(void);
	double given;   /* the rate asked for; 0: none */
	double rate;    /* the rate now; 0: no limit yet */
	double level;   /* what may be spent; below 0 after a large cost */
	double filled;  /* when level was last brought up to date */
	double hold;    /* nothing before this moment */
	double slowed;  /* when the rate was last halved */
	double counted; /* spent since began, to learn a rate from */
	double began;
};

static double
larger(double a, double b)
{
	return a > b ? a : b;
}

static double
smaller(double a, double b)
{
	return a < b ? a : b;
}

static double
now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct pace *
pace_new(double rate)
{
	struct pace *p = xcalloc(1, sizeof *p);

	p->given = p->rate = rate;
	pace_clock(p, now);
	return p;
}

void
pace_clock(struct pace *p, double (*clock)(void))
{
	p->clock = clock;
	p->filled = p->began = clock();
	p->level = p->rate;
	p->hold = p->slowed = -1e9;
}

/* The bucket holds what one second brings, but always one operation. */
static double
most(const struct pace *p)
{
	return larger(p->rate, 1);
}

double
pace_take(struct pace *p, double cost)
{
	double t = p->clock(), need;

	if (t < p->hold)
		return p->hold - t;
	if (p->rate > 0) {
		p->level =
		    smaller(most(p), p->level + (t - p->filled) * p->rate);
		p->filled = t;
		/* What costs more than a full bucket goes when it is full,
		 * and the next ones wait for the debt. */
		need = smaller(cost, most(p));
		/* A hair less: t is no exact number. */
		if (p->level < need - 1e-9)
			return (need - p->level) / p->rate;
		p->level -= cost;
	}
	p->counted += cost;
	return 0;
}

void
pace_refused(struct pace *p, double wait)
{
	double t = p->clock();
	bool same = t < p->hold || t - p->slowed < 1;

	p->hold = larger(p->hold, t + wait);
	/* All that were in flight are refused together: that is one refusal. */
	if (same)
		return;
	p->slowed = t;
	if (p->rate <= 0)
		p->rate = p->counted / larger(t - p->began, 1);
	p->rate /= 2;
	p->rate = larger(p->rate, p->given > 0 ? p->given / 64 : LEAST);
	p->level = smaller(p->level, 0);
	p->filled = p->hold; /* nothing flows in while we wait */
}

void
pace_accepted(struct pace *p, double cost)
{
	double t = p->clock();

	/* A twentieth more for each second's worth, once the wait is over. */
	if (p->rate <= 0 || t < p->hold || p->slowed < 0)
		return;
	p->rate += p->rate * 0.05 * smaller(1, cost / most(p));
	if (p->given > 0)
		p->rate = smaller(p->rate, p->given);
}

void
pace_free(struct pace *p)
{
	free(p);
}
