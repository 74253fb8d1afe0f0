/*
 * failover.h: manual failover of a hub, its timeline and its rules
 * (CONTRACT 6).
 */
#ifndef FAILOVER_H
#define FAILOVER_H

#include "arm.h"

/* POST HUB/failover. */
void failover_handle(struct sim *s, const struct sim_request *q,
    struct sim_reply *r, const struct arm_id *id);

#endif
