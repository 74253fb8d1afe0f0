/*
 * failplan.h: what can be known before a hub is failed over, gathered within
 * a given time.  What is not answered by then is unknown, and no obstacle:
 * the night on which this is needed is the night when little answers.
 */
#ifndef FAILPLAN_H
#define FAILPLAN_H

#include <jv.h>

#include "arm.h"

struct failplan {
	/* Known always. */
	char *name, *id;

	/* Known when the hub was answered for; otherwise null or 0. */
	jv hub;             /* the resource */
	char *state;        /* "Active", "FailingOver", ... */
	char *from;         /* short name of its primary location */
	char *paired;       /* of its secondary; NULL: it has none */
	char *paired_name;  /* as the hub spells it: "East US" */
	char *home;         /* where it was made: the resource's location */
	double skew;        /* seconds by which the service's clock is ahead */
	bool hidden;        /* Resource Manager says that there is none, but
			     * it may be under way */
	struct err silence; /* why the last look was not answered */

	/* Where it shall go: failplan_target(). */
	char *to;      /* short name */
	char *to_name; /* as the service wants it */

	/* May be unknown: -1, null. */
	double devices;
	jv groups; /* names of the consumer groups of events */
	jv keys;   /* the policies; with secrets.  Null with -n */
};

/*
 * Asks for all of it, within so many seconds in all.  operand: a hub's name
 * or resource id; with an id, or a group and a subscription, nothing need be
 * answered.  secrets: fetch keys too.  -1 with *e where the hub is not there,
 * or cannot even be named.
 */
int failplan_ask(struct failplan *p, struct arm *a, const char *operand,
    const char *group, double seconds, bool secrets, struct err *e);

/* Reads the hub again: 1 answered, 0 not there, -1 no answer.  Takes at most
 * so many seconds. */
int failplan_look(struct failplan *p, struct arm *a, double seconds);

/*
 * Where to: a region in any spelling, or NULL for the paired one (back).  -1
 * with *e: no such region, not the paired one, a hub without a pair, or
 * nobody knows.
 */
int failplan_target(struct failplan *p, const char *region, struct err *e);

/* Asks again for what may be unknown, when the hub is back. */
void failplan_rest(struct failplan *p, struct arm *a);
/* Seconds since 1970, by the service's clock where it is known: its rules go
 * by that. */
double failplan_now(const struct failplan *p);

/* Is it there already? */
bool failplan_is_there(const struct failplan *p);
/* Is one under way? */
bool failplan_under_way(const struct failplan *p);
/* Why the service would surely refuse, as far as it is known: -1 with *e.
 * limits: also for what is but documented: its tier, its age. */
int failplan_veto(const struct failplan *p, bool limits, struct err *e);

/* Seconds that the documentation lets expect (CONTRACT 6). */
double failplan_expected(const struct failplan *p);

/* The built-in endpoint: {"endpoint","path","connectionString"} with the key
 * masked; null where it is unknown. */
jv failplan_endpoint(const struct failplan *p);

void failplan_free(struct failplan *p);

#endif
