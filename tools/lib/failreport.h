/*
 * failreport.h: what is said of a failover before and after it: as JSON for
 * machines, on stderr for people.  No secret is in either.
 */
#ifndef FAILREPORT_H
#define FAILREPORT_H

#include "failwatch.h"

/* What is known before; turns: what was done before (turns.h; consumed);
 * allowed: when the next is permitted, 0: now. */
jv failreport_plan(const struct failplan *p, jv turns, double allowed);
void failreport_tell_plan(const struct failplan *p, jv turns, double allowed);

/* What happened.  from: where it was, or NULL; result: one word. */
jv failreport_end(
    const struct failwatch *w, const char *from, const char *result);
void failreport_tell_end(const struct failwatch *w, const char *from);

/* "90 s", "15 min"; malloc'd. */
char *failreport_minutes(double seconds);

#endif
