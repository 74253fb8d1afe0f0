/*
 * cloud.h: hosts, audiences and suffixes of one cloud, from
 * share/clouds.json; --cloud=NAME or AZURE_CLOUD, else AzureCloud; or
 * --cloud=FILE with one such table.  No suffix is a literal anywhere else.
 */
#ifndef CLOUD_H
#define CLOUD_H

#include <jv.h>

#include "opt.h"

extern const struct opt cloud_opts[]; /* --cloud; part of arm_opts */

/*
 * A member of the chosen cloud, borrowed for the life of the process; dies
 * with BAD_USAGE for an unknown cloud.  Members: "arm" (https://host),
 * "armAudience", "login" (https://host), "hubSuffix" (azure-devices.net),
 * "hubAudience", "storageSuffix" (core.windows.net), "serviceBusSuffix",
 * "cosmosSuffix", "dpsSuffix".
 */
const char *cloud_get(const char *member);
/* How much of a host name is the hub's: what comes before the suffix of hubs,
 * or all of it. */
size_t cloud_hub_name(const char *host);
/* The whole entry, for plugins. */
jv cloud_table(void);

/* Region names, from share/regions.json: "West US 2" or "WestUS2" to
 * "westus2"; NULL when there is no such region.  malloc'd. */
char *cloud_region(const char *any_spelling);

#endif
