/*
 * pace.h: a token bucket that learns from what the service makes of our calls.
 *
 * Three things hold a call back: the rate; a limit of what is unanswered (five
 * seconds' worth, so that no queue grows at the service which it would refuse);
 * and a wait that a 429 asked for.  A 429 halves the rate and growing delay
 * takes a fifth of it; success raises it again step by step.  All that was
 * under way when the service first complained is one complaint.
 *
 * A service lets a rested client do more than its rate for a while, but nobody
 * knows how much more (CONTRACT 11.4).  pace_burst() takes some of that, one
 * call first, then two and so on, and stops at the first answer that is slow.
 */
#ifndef PACE_H
#define PACE_H

#include <stdbool.h>

struct pace;

enum pace_answer {
	PACE_PASSED,
	PACE_REFUSED, /* 429 */
	PACE_LOST,    /* no answer, or one that says nothing of the throttle */
};

/* rate: operations a second; 0: no limit until the first 429. */
struct pace *pace_new(double rate);
/* At first as much at once as comes in so many seconds, within reason; before
 * any take. */
void pace_burst(struct pace *p, double seconds);
/* How many operations that are, at a rate. */
double pace_credit(double rate, double seconds);
/* The rate is a guess: it grows while nothing speaks against it.  share, 0 to
 * 1, of what is found is taken. */
void pace_adapt(struct pace *p, double share);

/* Seconds until cost may be spent; 0: it has been spent now.  To be asked
 * again at the latest then, and after each pace_answered(). */
double pace_take(struct pace *p, double cost);
/* What became of it, once for each take.  sent: when, by pace_now(); latency:
 * how long the service took; wait: what a 429 makes us wait, and asked whether
 * the service said so itself. */
void pace_answered(struct pace *p, double cost, enum pace_answer what,
    double sent, double latency, double wait, bool asked);
double pace_now(const struct pace *p);

/* How many operations one call should have, of at most so many: what flows in
 * in a moment. */
long pace_batch(const struct pace *p, long most);
/* Operations a second, as of now; 0: no limit. */
double pace_rate(const struct pace *p);
/* Operations that went through. */
double pace_passed(const struct pace *p);
/* For so many seconds the service has refused everything; 0: it has not. */
double pace_refusing(const struct pace *p);

/* For tests: another clock, in seconds. */
void pace_clock(struct pace *p, double (*clock)(void));
void pace_free(struct pace *p);

#endif
