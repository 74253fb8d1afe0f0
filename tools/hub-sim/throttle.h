/*
 * throttle.h: what a hub of that SKU and size, and Resource Manager, let
 * through in a time: counted always, enforced with --throttle=real
 * (CONTRACT 3.4, 11.4, annex A).
 *
 * throttle.c has the limits and the buckets; forecast.c knows from the counts
 * how long the same calls would take on Azure; limits.c has the quotas and
 * what a tier lacks.
 */
#ifndef THROTTLE_H
#define THROTTLE_H

#include "registry.h"

/* The lines of annex A. */
enum op_class {
	OP_IDENTITY,
	OP_TWIN_READ,
	OP_TWIN_UPDATE,
	OP_QUERY,
	OP_JOB,
	OP_CONFIGURATION,
	OP_CLASSES,
	OP_FREE = OP_CLASSES, /* a call that annex A does not limit */
};

/* Operations a second that annex A permits. */
double throttle_rate(const char *sku, long units, enum op_class class);

/* What has been asked of one class of one hub. */
struct meter {
	long long count; /* operations: each entry of a bulk call is one */
	long long refused;
	double level;   /* of the bucket, in operations */
	int64_t filled; /* when level was right; 0: the bucket is full */
	double busy;    /* seconds that the counted take by their rate */
	double free_at; /* ... and when, by the clock of forecast.c */
};
struct hub_meter {
	struct hub_meter *next;
	char name[64], sku[8];
	long units, load;
	struct meter class[OP_CLASSES];
	double longest; /* simulated seconds that a call was delayed */
	long jobs;      /* import and export jobs that were asked for */
};

enum arm_class { ARM_READ, ARM_WRITE, ARM_DELETE, ARM_CLASSES };
struct arm_meter {
	struct arm_meter *next;
	char client[64];
	int64_t hour; /* when the hour that is counted began */
	long count[ARM_CLASSES];
};

/* Everything that is counted; s->throttle, made when first needed. */
struct throttle {
	struct hub_meter *hub;
	struct arm_meter *principal;
	struct forecast *forecast;
	long arm_count[ARM_CLASSES];
	long arm_refused;
	long own_count[4]; /* by providers with a counter of their own */
};
struct throttle *throttle_of(struct sim *s);
void throttle_free(struct sim *s);

/*
 * Asked once for each call of the data plane, before it is carried out; room
 * is its first path segment, cost how many operations it counts for.  true:
 * carry it out (v->r->delay_ms may be set: traffic shaping; what it writes is
 * written at once and answered late). false: the reply is a 429.
 */
bool throttle_admit(struct visit *v, const char *room, long cost);
/*
 * The same for a call of Resource Manager; client is who asks, NULL where
 * nobody knows.  Adds the header that says what is left; false: a 429.
 */
bool throttle_arm(struct sim *s, const struct sim_request *q,
    struct sim_reply *r, const char *client);
/* Is the path a resource of that type, or what end (NULL: nothing) names
 * below it?  *name, where asked for: its name, borrowed from the path. */
bool throttle_path(
    const char *path, const char *type, const char *end, struct span *name);

/* -- forecast.c ---------------------------------------------------------- */

/* Which hubs there are before COMMAND starts. */
void forecast_begin(struct sim *s);
void forecast_call(
    struct sim *s, struct hub_meter *h, enum op_class class, long cost);
/* A call of Resource Manager that takes minutes, if it is one. */
void forecast_arm(struct sim *s, const struct sim_request *q);
/* On stderr: what was asked of each hub and how long Azure would take. */
void forecast_say(struct sim *s);
void forecast_free(struct forecast *f);

/* -- limits.c ------------------------------------------------------------ */

/* What the tier of a hub does not have (annex A); -1 with *f. */
int tier_check(struct visit *v, const char *room, struct refusal *f);
/* Is there room for one more hub of that SKU?  null, or the failure. */
jv hub_room(struct sim *s, const char *sku);
/* --sku SKU[:UNITS]; -1 with *e. */
int sku_option(struct sim *s, const char *text, struct err *e);
/* A hub's body in a template, with the size that --sku wants. */
jv sku_apply(const struct sim *s, jv body);

#endif
