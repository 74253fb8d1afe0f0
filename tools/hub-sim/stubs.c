/* stubs.c: TEMPORARY, weak: until the other rooms are in the tree. */
#include "sim.h"
#define W __attribute__((weak))
W const char arm_schema[] = "SELECT 1";
W const char registry_schema[] = "SELECT 1";
W const char deploy_schema[] = "SELECT 1";
W void
arm_handle(struct sim *s, const struct sim_request *q, struct sim_reply *r)
{
	const char *c, *a;
	int bad = entra_bearer(s, q, &c, &a);
	if (bad)
		entra_refuse(s, r, bad);
	else
		sim_missing(r, "ARM yet");
}
W void
data_handle(struct sim *s, const struct sim_request *q, struct sim_reply *r)
{
	(void)s;
	(void)q;
	sim_missing(r, "hubs yet");
}
W void
deploy_handle(struct sim *s, const struct sim_request *q, struct sim_reply *r)
{
	(void)s;
	(void)q;
	sim_missing(r, "deployments yet");
}
W int
deploy_seed(struct sim *s, const char *path, const char *group, struct err *e)
{
	(void)s;
	(void)group;
	return err_set(e, LOCAL_FAILURE, path, "no deployments yet");
}
W int
registry_seed(struct sim *s, const char *hub, const char *path, struct err *e)
{
	(void)s;
	(void)hub;
	return err_set(e, LOCAL_FAILURE, path, "no registry yet");
}
W void
registry_forget(struct sim *s, const char *hub)
{
	(void)s;
	(void)hub;
}
W bool
sim_hub_find(struct sim *s, const char *host, struct sim_hub *out)
{
	(void)s;
	(void)host;
	(void)out;
	return false;
}
W bool
sim_hub_policy(struct sim *s, const struct sim_hub *h, const char *name,
    struct sim_policy *out)
{
	(void)s;
	(void)h;
	(void)name;
	(void)out;
	return false;
}
W jv
arm_resource(struct sim *s, const char *id)
{
	(void)s;
	(void)id;
	return jv_invalid();
}
W jv
arm_put(struct sim *s, const char *id, const char *api, jv body)
{
	(void)s;
	(void)id;
	(void)api;
	jv_free(body);
	return jv_invalid();
}
W jv
arm_keys(struct sim *s, const char *id, const char *action)
{
	(void)s;
	(void)id;
	(void)action;
	return jv_invalid();
}
W void
arm_operation(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    int status, const char *location_base, jv result, bool async_header,
    bool location_header)
{
	(void)s;
	(void)q;
	(void)location_base;
	(void)async_header;
	(void)location_header;
	sim_json(r, status, result);
}
W bool
arm_group_exists(struct sim *s, const char *group)
{
	(void)s;
	(void)group;
	return false;
}
