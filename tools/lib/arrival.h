/*
 * arrival.h: what a hub's template meets where it is to go: whether its region
 * is there, its name free, its identities ready, its certificates there
 * already.  Each check dies with what to do about it, or returns.
 */
#ifndef ARRIVAL_H
#define ARRIVAL_H

#include <jv.h>

#include "arm.h"

/* A region that exists, in any spelling. */
void arrival_region(struct arm *a, const char *region);

/* A name that no hub elsewhere has: hubs are names in the DNS. */
void arrival_name(struct arm *a, const char *hub, const char *group);

/*
 * Endpoints that are reached as the hub's own identity need one that has its
 * role, and there is none before the hub.  hub: the resource of the template,
 * evaluated; old: the hub that is there, or null.
 */
void arrival_identities(jv hub, jv old);

/*
 * Which resources (indices) are certificates that the hub has already, equal.
 * A template has no ETag, so the service would refuse to write them again;
 * one of that name with other content is an error (CONTRACT 7).
 * known: the template's resources, evaluated; id: of the hub.
 */
jv arrival_certificates(struct arm *a, jv known, const char *id);

#endif
