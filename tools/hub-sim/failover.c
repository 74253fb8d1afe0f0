/* failover.c: see failover.h. */
#include "failover.h"

void
failover_handle(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const struct arm_id *id)
{
	(void)s;
	(void)q;
	(void)id;
	sim_missing(r, "manual failover of a hub yet");
}
