/*
 * turns.h: the failovers that this user has begun, in a file that outlives the
 * process: one JSON line for each thing that happened.  The service permits
 * two failovers and two failbacks a day, with an hour between any two
 * (CONTRACT 6).  What others did is not in it, so all it says is advice.
 */
#ifndef TURNS_H
#define TURNS_H

#include <jv.h>

#include "msg.h"

/* malloc'd: $XDG_STATE_HOME/hubpipe/failovers.jsonl, or below
 * ~/.local/state; NULL without a home. */
char *turns_file(void);

/*
 * Adds {"time","hub","event","from","to","operation"?,"endpoint"?}; now is in
 * seconds since 1970, by the service's clock where it is known.  event:
 * "asked", "begun", "done", "failed".  file NULL: nothing.  -1 with *e when it
 * cannot be written; nothing else depends on it.
 */
int turns_add(const char *file, double now, const char *hub, const char *event,
    const char *from, const char *to, const char *operation,
    const char *endpoint, struct err *e);

/* What is known of one hub, oldest first: an array.  A file that is not there
 * is none; lines that cannot be read are left out.  Never fails. */
jv turns_of(const char *file, const char *hub);

/*
 * When the next move to that region will be allowed: seconds since 1970; 0:
 * now.  home: the region where the hub was made, to which a move is a
 * failback.  *why (malloc'd; NULL if 0): the rule.
 */
double turns_allowed(
    jv turns, double now, const char *to, const char *home, char **why);

/* The last line of one that was asked for or begun towards that region (NULL:
 * any), less than a day ago, and of which no end is known; or null. */
jv turns_open(jv turns, double now, const char *to);

/* "2026-11-21T15:04:05Z" and back; -1 for what is none. */
void turns_time(double when, char text[32]);
double turns_parse(const char *text);

#endif
