/*
 * exportjob.h: all devices and modules of a hub by an export job, as the same
 * lines that fleet.h reads by calls.
 */
#ifndef EXPORTJOB_H
#define EXPORTJOB_H

#include "fleet.h"
#include "via.h"

/*
 * As --via says; with auto, what is faster.  configurations: a file for those
 * of the hub, or NULL.  false: nothing was read, calls have to do it.  Dies
 * where it cannot go on; what is then left in the container, and the job
 * itself, a next run goes on with.  *got: as of fleet_read().
 */
bool exportjob_read(struct hub *hub, struct http *http,
    const struct fleet_want *want, const char *configurations,
    struct fleet_got *got);

#endif
