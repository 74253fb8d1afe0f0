/*
 * quota.h: what one hub permits us, by kind of operation (CONTRACT Annex A),
 * and how long a piece of work takes at that.
 *
 * The tier and units come from --sku, else from ARM where we may ask it, else
 * they are found: S1 x1 at first, more while nothing speaks against it.  Our
 * share of that is --share: 50 % where devices are connected (or nobody
 * knows), all of it on a hub without.  Every request that hub_request() makes
 * afterwards takes from the right bucket by itself; only a bulk call has to
 * say what it costs (request.cost).
 *
 * HUBPIPE_PACE=off: calls are sent as fast as they are answered, until a 429
 * comes; the arithmetic stays.  hub-sim sets it where it throttles nothing.
 */
#ifndef QUOTA_H
#define QUOTA_H

#include "hub.h"
#include "opt.h"
#include "pace.h"

/* --sku, --share, --rate. */
extern const struct opt quota_opts[];

/* How many operations of each kind a piece of work needs. */
struct quota_cost {
	double of[HUB_KINDS]; /* by enum hub_kind */
};

struct quota;

/* Makes the buckets and gives them to the hub, which must live longer.  Dies
 * (usage) when an option is wrong; asks the hub at most two questions. */
struct quota *quota_open(struct hub *hub);
/* Dies (usage) when an option is wrong; for tools that only pass them on. */
void quota_check(void);

/* Seconds that the work takes at our share, all kinds side by side. */
double quota_seconds(const struct quota *q, const struct quota_cost *cost);
/* "S1 x1, share 50 %" or "S1 x1 (assumed), 50 a minute by --rate". */
void quota_text(const struct quota *q, struct buf *into);
/* "about 12 min", "about 6.9 days". */
void quota_duration(double seconds, struct buf *into);

/*
 * Notes on stderr what the work costs and when it ends: "'contoso-east':
 * 1,000 identity operations, 1,200 twin reads: about 12 min at S1 x1, share
 * 50 %"; what is not 0 is named.  From then on progress shows the end that
 * follows from what is left of it and from the rates as they are.
 */
void quota_plan(struct quota *q, const struct quota_cost *cost);
/* The same of what a job leaves to calls: "beside the job: ...". */
void quota_plan_beside(struct quota *q, const struct quota_cost *cost);
/* Who counts something else meanwhile: false.  Then what is left of the plan
 * only comes on top of it, with so many seconds more. */
void quota_follow(struct quota *q, bool follow, double more);
/* The work turned out to need more, or less. */
void quota_more(struct quota *q, enum hub_kind kind, double operations);

void quota_close(struct quota *q);

#endif
