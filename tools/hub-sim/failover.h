/*
 * failover.h: a hub moves to its paired region and back (CONTRACT 6).
 *
 * Each failover is a row of moments in simulated time; what a hub looks like
 * follows from them and the clock, so a hub-sim that was stopped in the middle
 * goes on.  What has to be changed in the store when a moment comes (the ETag,
 * the devices that are lost) is done by failover_settle(), before anyone looks.
 */
#ifndef FAILOVER_H
#define FAILOVER_H

#include "arm.h"

extern const char failover_schema[];

/* The last one of a hub. */
struct failover {
	bool there;
	bool fails; /* it will not have moved the hub */
	/* When it began, the endpoint's name changes, devices and readers are
	 * cut off, the hub is Active again, the operation is over. */
	int64_t started, moves, cut, active, over;
};
struct failover failover_last(struct sim *s, const char *hub);
/* "FailingOver", "FailoverFailed", or NULL: it has nothing to say. */
const char *failover_state(const struct failover *f, int64_t now);

/* How often the endpoint and the roles of the locations have changed. */
struct failover_turns {
	int endpoint, locations;
};
struct failover_turns failover_turns(struct sim *s, const char *hub);

/* POST HUB/failover. */
void failover_handle(struct sim *s, const struct sim_request *q,
    struct sim_reply *r, const struct arm_id *id);
/* false: there is no such hub, or nothing that it can do now. */
bool failover_by_microsoft(struct sim *s, const char *hub);
/* What has become due, in all hubs. */
void failover_settle(struct sim *s);
void failover_forget(struct sim *s, const char *hub);

/*
 * lose.c: --lose.  What was written to registry and configurations in the last
 * minutes is kept, so that a failover can lose it.  lose_watch() is called once
 * the state is filled, with or without that option.
 */
int lose_watch(struct sim *s, struct err *e);
/* The hub's data is again as it was at that moment. */
void lose_since(struct sim *s, const char *hub, int64_t moment);
void lose_forget(struct sim *s, const char *hub);

#endif
