/*
 * deployment.h: one deployment of a template in Resource Manager (CONTRACT 9):
 * what it would change, starting it once, watching it to its end.
 */
#ifndef DEPLOYMENT_H
#define DEPLOYMENT_H

#include <jv.h>
#include <stdbool.h>

#include "arm.h"

struct deployment {
	struct arm *arm; /* borrowed */
	/* "/subscriptions/S/resourceGroups/G", and its own name; borrowed. */
	const char *group, *name;
	const char *subject; /* for messages; borrowed */
	jv template, values; /* borrowed */
};

/* Is one of that name under way? */
bool deployment_runs(const struct deployment *d);

/* What it would change: the "changes" of what-if.  Invalid if it fails. */
jv deployment_what_if(const struct deployment *d);

/* Has the service check it, then starts it: once, whatever answers get lost.
 * Dies when it is refused. */
void deployment_start(const struct deployment *d);

/* Waits for its end, with a bar, and gives it as it is then.  When it failed:
 * one line for each resource that did, and dies. */
jv deployment_watch(const struct deployment *d);

#endif
