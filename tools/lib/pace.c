/* pace.c: a token bucket that learns; see pace.h. */
#include "pace.h"

#include <math.h>
#include <stdlib.h>

#include "monotonic.h"
#include "msg.h"

/* Operations a second that the smallest hub permits (CONTRACT Annex A): no
 * refusal means that there is less. */
#define LEAST (100 / 60.0)
/* Seconds' worth that may be unanswered.  Half of what hub-sim, and a little
 * more than what the one measurement has seen the service delay. */
#define UNANSWERED 5.0
/* Seconds' worth of one bulk call. */
#define BATCH 0.25
/* Seconds' worth that a bucket may be late by: our own loop's doing. */
#define LATE 0.15
/* Seconds' worth that a rested service lets through (CONTRACT 11.4): only to
 * guess its rate from what it let through before it first complained. */
#define RESTED 140.0

/* In a burst: operations in all, since more was never seen, and unanswered,
 * so that a service that does not like it delays them and refuses none. */
#define BURST_MOST 150.0
#define BURST_WINDOW 8.0

enum { RECENT = 4 }; /* answers of which the fastest shows the delay */

struct pace {
	double (*clock)(void);
	double given;    /* the rate asked for; 0: none, or found by now */
	double rate;     /* the rate now; 0: no limit yet */
	double goal;     /* before the last complaint */
	double level;    /* what may be spent; below 0 after a large cost */
	double filled;   /* when level was last brought up to date */
	double hold;     /* nothing before this moment */
	double slowed;   /* when the rate was last lowered */
	double pending;  /* taken and not answered */
	double passed;   /* answered, but not refused */
	bool hungry;     /* somebody had to wait for the rate */
	double refusing; /* since when all is refused; 0: it is not */

	bool bursting;
	double credit, window;

	double fastest;        /* latency of the fastest answer; 0: none yet */
	double recent[RECENT]; /* what they took more than that */
	int answers;

	double share;       /* to adapt; 0: the rate is known */
	double start;       /* the guess */
	double began, mark; /* when the count began, what it was then */
	int complaints;
};

struct pace *
pace_new(double rate)
{
	struct pace *p = xcalloc(1, sizeof *p);

	p->given = p->rate = p->goal = rate;
	pace_clock(p, monotonic);
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

double
pace_now(const struct pace *p)
{
	return p->clock();
}

double
pace_credit(double rate, double seconds)
{
	return fmin(BURST_MOST, seconds * rate);
}

void
pace_burst(struct pace *p, double seconds)
{
	p->credit = pace_credit(p->rate, seconds);
	p->window = 1;
	p->bursting = true;
}

void
pace_adapt(struct pace *p, double share)
{
	p->share = share;
	p->start = p->rate;
	p->given = 0;
}

/* The bucket holds what one second brings, but always one operation. */
static double
most(const struct pace *p)
{
	return fmax(p->rate, 1);
}

static void
fill(struct pace *p, double t)
{
	if (t <= p->filled)
		return;
	p->level = fmin(
	    most(p) + LATE * p->rate, p->level + (t - p->filled) * p->rate);
	p->filled = t;
}

static double
spend(struct pace *p, double cost, double *from)
{
	*from -= cost;
	p->pending += cost;
	return 0;
}

/* The burst is over; the rate begins. */
static void
end_burst(struct pace *p, double level)
{
	p->bursting = false;
	p->level = level;
	p->filled = p->clock();
}

double
pace_take(struct pace *p, double cost)
{
	double t = p->clock(), need;

	if (t < p->hold)
		return p->hold - t;
	if (p->rate <= 0) {
		p->pending += cost;
		return 0;
	}
	if (p->bursting && p->credit >= cost)
		return p->pending > 0 && p->pending + cost > p->window
			   ? 1
			   : spend(p, cost, &p->credit);
	if (p->bursting)
		end_burst(p, p->credit);
	fill(p, t);
	if (p->pending > 0 && p->pending + cost > UNANSWERED * most(p))
		return 1;
	/* What costs more than a full bucket goes when it is full, and the
	 * next ones wait for the debt. */
	need = fmin(cost, most(p));
	/* A hair less: t is no exact number. */
	if (p->level >= need - 1e-9)
		return spend(p, cost, &p->level);
	p->hungry = true;
	return (need - p->level) / p->rate;
}

/* What the service seems to permit, from what it has let through since it was
 * rested, or since it last complained. */
static void
guess(struct pace *p, double t)
{
	double rested = p->complaints == 0 ? RESTED : 0;
	double found =
	    p->share * (p->passed - p->mark) / fmax(t - p->began + rested, 1);

	found = fmax(found, p->start);
	p->rate = fmin(p->rate, found);
	p->goal = found;
	if (p->complaints > 0)
		p->given = found;
	p->complaints++;
	p->began = t;
	p->mark = p->passed;
}

/* The service complained: by a refusal, or by delay. */
static void
slow_down(struct pace *p, double t, double factor)
{
	double least;

	if (p->rate <= 0) {
		p->rate = p->passed / fmax(t - p->began, 1);
		p->goal = p->rate;
	}
	p->goal = fmax(p->goal, p->rate);
	if (p->share > 0 && p->given <= 0)
		guess(p, t);
	else
		p->rate *= factor;
	least = p->given > 0 ? p->given / 64 : LEAST;
	p->rate = fmax(p->rate, p->share > 0 ? p->start / 8 : least);
	p->slowed = t;
	p->answers = 0;
	p->bursting = false;
	p->level = fmin(p->level, 0);
	p->filled = fmax(p->hold, t); /* nothing flows in while we wait */
}

static void
refused(
    struct pace *p, double t, double cost, double sent, double wait, bool asked)
{
	bool same = sent < p->slowed;

	if (p->refusing == 0)
		p->refusing = t;
	p->level = fmin(0, p->level + cost); /* it has used nothing */
	if (!same || asked)
		p->hold = fmax(p->hold, t + wait);
	if (!same)
		slow_down(p, t, 0.5);
	p->filled = fmax(p->filled, p->hold);
}

/* Delay of the service's own making, or 0. */
static double
delay(struct pace *p, double latency)
{
	double least = INFINITY, extra;

	if (p->fastest == 0 || latency < p->fastest)
		p->fastest = fmax(latency, 1e-6);
	extra = latency - p->fastest;
	p->recent[p->answers++ % RECENT] = extra;
	/* One slow answer ends a burst, which nobody has promised us. */
	if (p->bursting && extra > fmax(0.05, 4 * p->fastest))
		end_burst(p, -p->pending);
	if (p->answers < RECENT)
		return 0;
	for (int i = 0; i < RECENT; i++)
		least = fmin(least, p->recent[i]);
	return least > fmax(1, 3 * p->fastest) ? least : 0;
}

/* A step up for each second's worth that went through. */
static void
speed_up(struct pace *p, double cost)
{
	double worth = fmin(1, cost / most(p));

	if (p->given <= 0 && p->complaints == 0)
		p->rate += p->rate * worth / 20;
	else if (p->rate < p->goal)
		p->rate = fmin(p->goal, p->rate + p->goal * worth / 40);
	else
		p->rate = p->goal = p->rate * (1 + worth / 200);
	if (p->given > 0)
		p->rate = fmin(p->rate, p->given);
}

static void
passed(struct pace *p, double t, double cost, double sent, double latency)
{
	double late;

	p->passed += cost;
	p->refusing = 0;
	if (sent < p->slowed)
		return;
	late = delay(p, latency);
	if (p->rate <= 0)
		return;
	if (p->bursting) {
		p->window = fmin(BURST_WINDOW, p->window + cost);
	} else if (late > 0) {
		slow_down(p, t, 0.8);
		/* Until what is queued there has gone. */
		p->level -= late * p->rate;
	} else if (p->hungry) {
		p->hungry = false;
		speed_up(p, cost);
	}
}

void
pace_answered(struct pace *p, double cost, enum pace_answer what, double sent,
    double latency, double wait, bool asked)
{
	double t = p->clock();

	p->pending = fmax(0, p->pending - cost);
	if (what == PACE_REFUSED)
		refused(p, t, cost, sent, wait, asked);
	else if (what == PACE_PASSED)
		passed(p, t, cost, sent, latency);
}

long
pace_batch(const struct pace *p, long limit)
{
	double n;

	if (p->rate <= 0)
		return limit;
	n = p->bursting ? fmin(p->window, p->credit) : ceil(p->rate * BATCH);
	if (n < 1)
		return 1;
	return n < (double)limit ? (long)n : limit;
}

double
pace_rate(const struct pace *p)
{
	return p->rate;
}

double
pace_passed(const struct pace *p)
{
	return p->passed;
}

double
pace_refusing(const struct pace *p)
{
	return p->refusing > 0 ? fmax(p->clock() - p->refusing, 1e-9) : 0;
}

void
pace_free(struct pace *p)
{
	free(p);
}
