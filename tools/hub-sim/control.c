/*
 * control.c: the room that Azure does not have: what is asked of hub-sim
 * itself, under http://127.0.0.1:PORT/hub-sim/ (HUB_SIM_CONTROL).
 */
#include "sim.h"

void
control_handle(struct sim *s, const struct sim_request *q, struct sim_reply *r)
{
	(void)s;
	(void)q;
	sim_missing(r, "a control endpoint yet");
}
