/* throttle.c: see throttle.h. */
#include "throttle.h"

bool
throttle_admit(struct visit *v, const char *room)
{
	(void)v;
	(void)room;
	return true;
}
