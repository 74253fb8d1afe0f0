/*
 * throttle.h: what a hub of that SKU and size lets through (CONTRACT 11.4,
 * annex A), counted always, enforced with --throttle=real.
 */
#ifndef THROTTLE_H
#define THROTTLE_H

#include "registry.h"

/*
 * Asked once for each call of the data plane, before it is carried out; room
 * is its first path segment.  true: carry it out (v->r->delay_ms may be set:
 * traffic shaping).  false: the reply is a 429.
 */
bool throttle_admit(struct visit *v, const char *room);

#endif
