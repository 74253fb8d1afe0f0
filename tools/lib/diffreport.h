/*
 * diffreport.h: what registry-diff says: a line of JSON for each difference,
 * or one that counts them by kind, and a verdict.
 */
#ifndef DIFFREPORT_H
#define DIFFREPORT_H

#include "entrydiff.h"
#include "out.h"

/* Starts zeroed but for what the caller decides. */
struct diffreport {
	struct out *out; /* NULL: nothing is printed */
	bool summary;    /* one line, not each */
	bool reported;   /* reported properties are compared */
	long entries[2], only[2], part[PARTS];
	long differences, reported_count; /* entries whose reported differ */
	long unmanaged; /* modules of which a file does not say managedBy */
	bool partial;   /* not all of both sides could be read */
};

/* A difference in that part; the spans are shown, or hidden if they are keys.
 * .at NULL: not there. */
void diffreport_part(struct diffreport *r, const struct entry *e,
    enum entry_part part, const char *pointer, struct span a, struct span b);
/* An entry that only that side has: 0 is A, 1 is B. */
void diffreport_only(struct diffreport *r, const struct entry *e, int side);
/* The line of --summary, and the verdict on stderr. */
void diffreport_end(struct diffreport *r);

#endif
