/*
 * pace.h: a token bucket that learns: so many operations a second, halved for
 * a while when the service answers 429, then raised again step by step.
 */
#ifndef PACE_H
#define PACE_H

struct pace;

/* rate: operations a second; 0: no limit until the first 429. */
struct pace *pace_new(double rate);
/* Seconds until cost may be spent; 0: it has been spent now. */
double pace_take(struct pace *p, double cost);
/* The service refused (429); wait: what it asked for, in seconds, or 0. */
void pace_refused(struct pace *p, double wait);
/* cost operations went through. */
void pace_accepted(struct pace *p, double cost);
/* For tests: another clock, in seconds. */
void pace_clock(struct pace *p, double (*clock)(void));
void pace_free(struct pace *p);

#endif
