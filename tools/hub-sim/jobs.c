/* jobs.c: see jobs.h. */
#include "jobs.h"

const char jobs_schema[] = "";

void
jobs_handle(struct visit *v)
{
	sim_missing(v->r, "import, export and scheduled jobs");
}

void
jobs_arm(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const struct arm_id *id, const char *what, const char *second)
{
	(void)s;
	(void)q;
	(void)id;
	(void)what;
	(void)second;
	sim_missing(r, "jobs of a hub");
}

int64_t
jobs_tick(struct sim *s)
{
	(void)s;
	return -1;
}
