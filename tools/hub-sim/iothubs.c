/*
 * iothubs.c: requests to the provider Microsoft.Devices (CONTRACT 4, 5, 7):
 * its kinds of resources, ETags, PUT and DELETE with their long-running
 * operations, quotas and statistics.  What a hub is, is in hub.c.
 *
 * Numbers of the provider's errors that CONTRACT 3.1 lists are the service's;
 * the others are ours: 400000 for what is simply wrong, 409005 for a name that
 * is taken, 412001 for a stale ETag.
 */
#include "iothubs.h"

#include "failover.h"
#include "jobs.h"

#include <stdlib.h>
#include <strings.h>

const struct arm_kind hub_kinds[] = {
	{ .type = "Microsoft.Devices/IotHubs",
	    .created = 201,
	    .replaced = 201,
	    .tracked = true,
	    .global = true,
	    .hub = true,
	    .put = hub_put,
	    .born = hub_born,
	    .view = hub_view,
	    .action = hub_action },
	{ .type = "Microsoft.Devices/IotHubs/eventHubEndpoints/ConsumerGroups",
	    .created = 200,
	    .replaced = 200,
	    .hub = true,
	    .put = consumer_group_put },
	{ .type = "Microsoft.Devices/IotHubs/certificates",
	    .created = 200,
	    .replaced = 200,
	    .hub = true,
	    .put = certificate_put },
	{ .type = NULL },
};

/* -- ETags --------------------------------------------------------------- */

/* az 2.45 gives its SDK a table in place of the ETag, which
 * arrives as the text of that table: "{'IF-MATCH': 'AAAADH/h3VM='}". */
static bool
is_no_etag(const char *text)
{
	return text && *text == '{' &&
	       sim_doubt_is("if-match-malformed", "ignored");
}

/* 1: If-Match fits, 0: there is none, -1: it does not fit. */
int
hub_if_match(const struct sim_request *q, jv stored)
{
	const char *want = q->header(q, "If-Match");
	char *etag = jv_is_valid(stored) ? arm_text(stored, "etag") : NULL;
	size_t n;
	int is;

	if (!want || !*want || is_no_etag(want)) {
		const char *none = q->header(q, "If-None-Match");

		is = none && strcmp(none, "*") == 0 && jv_is_valid(stored) ? -1
									   : 0;
		free(etag);
		return is;
	}
	n = strlen(want);
	if (n >= 2 && want[0] == '"' && want[n - 1] == '"') {
		want++;
		n -= 2;
	}
	if (!jv_is_valid(stored))
		is = -1;
	else if (n == 1 && *want == '*')
		is = 1;
	else
		is = etag && strlen(etag) == n && strncmp(etag, want, n) == 0
			 ? 1
			 : -1;
	free(etag);
	return is;
}

void
hub_refuse_match(struct sim *s, struct sim_reply *r, const struct arm_id *id)
{
	static const char words[] =
	    "The condition of the request is not met: the ETag of '%s' is "
	    "another, or it is required.";
	const char *name = id->name[id->depth - 1];

	arm_refuse(r, sim_doubt_is("etag-stale-body", "flat")
			  ? hub_fail(s, 412, 412001, words, name)
			  : arm_fail(412, "PreconditionFailed", words, name));
}

/* -- writing and deleting ------------------------------------------------ */

/* Keys that were not sent are null in the answer ([rec-lifecycle] 78). */
static jv
with_keys(jv policies)
{
	jv out = jv_array();

	jv_array_foreach(policies, i, one) {
		static const char *const keys[] = { "primaryKey",
			"secondaryKey" };

		for (int k = 0; k < 2; k++)
			if (jv_get_kind(one) == JV_KIND_OBJECT &&
			    !arm_has(one, keys[k]))
				one = jv_put(one, keys[k], jv_null());
		out = jv_array_append(out, one);
	}
	jv_free(policies);
	return out;
}

/* The 201 shows what was sent, keys included, and no state (CONTRACT 4.2). */
static jv
accepted(jv sent, jv stored, jv old)
{
	static const char *const given[] = { "storageEndpoints" },
				 *const sparse[] = { "ipFilterRules", "routing",
					 "minTlsVersion" };
	jv out = stored, props = arm_member(out, "properties"), v;
	jv routing = arm_member(props, "routing");
	jv had = jv_path(jv_copy(sent), "properties");

	/* What was not sent is not shown yet ([rec-lifecycle] 20). */
	for (size_t i = 0; i < sizeof sparse / sizeof *sparse; i++)
		if (!arm_has(had, sparse[i]))
			props = jv_without(props, sparse[i]);
	props = jv_put(props, "features",
	    arm_or(arm_member(had, "features"), jv_string("None")));
	props = arm_put_some(jv_without(props, "rootCertificate"),
	    "rootCertificate", arm_member(had, "rootCertificate"));
	jv_free(had);
	if (!arm_has(sent, "identity"))
		out = jv_without(out, "identity");
	v = jv_path(jv_copy(sent), "identity.userAssignedIdentities");
	if (jv_get_kind(v) == JV_KIND_OBJECT)
		out = jv_put(out, "identity",
		    jv_put(arm_member(out, "identity"),
			"userAssignedIdentities", v));
	else
		jv_free(v);
	props = jv_without(jv_without(props, "state"), "locations");
	props = jv_without(props, "hostName");
	props = jv_put(props, "provisioningState", jv_string("Accepted"));
	v = jv_at(arm_member(props, "eventHubEndpoints"), "events");
	v = jv_without(jv_without(v, "partitionIds"), "path");
	props = jv_put(props, "eventHubEndpoints",
	    jv_put(jv_object(), "events", jv_without(v, "endpoint")));
	for (size_t i = 0; i < sizeof given / sizeof *given; i++) {
		v = jv_at(arm_member(sent, "properties"), given[i]);
		if (jv_get_kind(v) == JV_KIND_OBJECT)
			props = jv_put(props, given[i], v);
		else
			jv_free(v);
	}
	v = jv_path(jv_copy(sent), "properties.routing.endpoints");
	if (jv_get_kind(v) == JV_KIND_OBJECT)
		props =
		    jv_put(props, "routing", jv_put(routing, "endpoints", v));
	else {
		jv_free(v);
		jv_free(routing);
	}
	v = jv_path(sent, "properties.authorizationPolicies");
	if (jv_get_kind(v) == JV_KIND_ARRAY)
		props = jv_put(props, "authorizationPolicies", with_keys(v));
	else
		jv_free(v);
	out = jv_put(out, "properties", props);
	out = jv_without(out, "systemData");
	v = jv_at(old, "etag");
	if (jv_get_kind(v) == JV_KIND_STRING)
		return jv_put(out, "etag", v);
	jv_free(v);
	return jv_without(out, "etag");
}

char *
hub_operation_base(const char *region)
{
	return xasprintf("/subscriptions/" SIM_SUBSCRIPTION
			 "/providers/Microsoft.Devices/locations/%s"
			 "/operationResults",
	    region);
}

static void
hub_put_whole(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const struct arm_id *id, const char *api, jv body, jv old)
{
	bool fresh = !jv_is_valid(old);
	jv sent = jv_copy(body),
	   now = arm_put_as(s, id->id, api, body, ARM_SLOW);
	char *region, *base;

	if (!jv_is_valid(now)) {
		jv_free(sent);
		jv_free(old);
		arm_refuse(r, now);
		return;
	}
	region = arm_text(now, "location");
	base = hub_operation_base(region);
	arm_operation_for(s, q, r, 201, base, jv_null(), true, false,
	    arm_lasts(s, fresh ? WORK_CREATE : WORK_UPDATE));
	arm_answer(r, 201,
	    accepted(
		sent, now, jv_is_valid(old) ? old : (jv_free(old), jv_null())));
	free(region);
	free(base);
}

void
hub_put_http(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const struct arm_id *id, const char *api, jv body)
{
	jv old = arm_load(s, id->key);
	int match = hub_if_match(q, old);

	if (match < 0) {
		jv_free(old);
		jv_free(body);
		hub_refuse_match(s, r, id);
	} else if (id->kind == &hub_kinds[0]) {
		hub_put_whole(s, q, r, id, api, body, old);
	} else if (id->kind == &hub_kinds[1]) {
		jv out = arm_put(s, id->id, api, body);

		jv_free(old);
		/* The answer to PUT has the name once more inside. */
		if (jv_is_valid(out)) {
			hub_busy(s, id->name[0], arm_lasts(s, WORK_CHILD));
			out = jv_put(out, "properties",
			    jv_put(arm_member(out, "properties"), "properties",
				jv_put(jv_object(), "name",
				    jv_string(id->name[2]))));
		}
		arm_answer_or(r, 200, out);
	} else {
		jv_free(old);
		old = arm_put_as(
		    s, id->id, api, body, match == 1 ? ARM_SEED : ARM_SETTLED);
		if (jv_is_valid(old))
			hub_busy(s, id->name[0], arm_lasts(s, WORK_CHILD));
		arm_answer_or(r, 200, old); /* [rec-certs] 10, a new one too */
	}
}

void
hub_delete(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const struct arm_id *id)
{
	jv stored = arm_load(s, id->key);
	int match = hub_if_match(q, stored);
	jv busy = hub_ready(s, id->name[0]);
	bool there = jv_is_valid(stored);
	char *region = there ? arm_text(stored, "location") : NULL, *base;

	if (!there)
		r->status = 204;
	else if (!jv_is_valid(busy)) {
		arm_refuse(r, jv_copy(busy));
	} else if (match < 0 || (id->kind == &hub_kinds[2] && match == 0)) {
		hub_refuse_match(s, r, id);
	} else if (id->kind == &hub_kinds[0]) {
		struct hub_row row = hub_row(s, id->name[0]);

		row.gone = sim_now(s) + arm_lasts(s, WORK_DELETE);
		hub_row_keep(s, id->name[0], &row);
		base = hub_operation_base(region);
		arm_operation_for(s, q, r, 202, base, jv_null(), true, true,
		    arm_lasts(s, WORK_DELETE));
		free(base);
	} else if (strcasecmp(id->name[id->depth - 1], "$Default") == 0) {
		sim_error(r, 400, "BadRequest",
		    "The consumer group $Default cannot be deleted.");
	} else {
		(void)arm_delete(s, id->key);
		hub_busy(s, id->name[0], arm_lasts(s, WORK_CHILD));
		r->status = 200;
	}
	jv_free(stored);
	jv_free(busy);
	free(region);
}

/* -- quotas and statistics ----------------------------------------------- */

static jv
list_skus(const char *now)
{
	const struct sku *own = hub_sku(now);
	jv list = jv_array();

	for (const struct sku *k = hub_skus; k->name; k++)
		if (own && strcmp(k->tier, own->tier) == 0)
			list = jv_array_append(list,
			    JV_OBJECT(jv_string("resourceType"),
				jv_string(hub_kinds[0].type), jv_string("sku"),
				JV_OBJECT(jv_string("name"), jv_string(k->name),
				    jv_string("tier"), jv_string(k->tier)),
				jv_string("capacity"),
				JV_OBJECT(jv_string("minimum"), jv_number(1),
				    jv_string("maximum"), jv_number(k->units),
				    jv_string("default"), jv_number(1),
				    jv_string("scaleType"),
				    jv_string("Manual"))));
	return jv_put(jv_object(), "value", list);
}

static jv
quota(const char *name, double now, double most)
{
	return jv_put(jv_put(jv_put(jv_object(), "name", jv_string(name)),
			  "currentValue", jv_number(now)),
	    "maxValue", jv_number(most));
}

/* The one thing that is asked of the data plane's table (identity.c). */
static void
count_devices(struct sim *s, const char *hub, long *all, long *enabled)
{
	sqlite3_stmt *q =
	    sim_sql(s, "SELECT count(*), total(NOT disabled) FROM registry"
		       " WHERE hub = ? AND module = ''");
	char *key = arm_lower(hub);

	sim_bind(q, 1, key);
	*all = *enabled = 0;
	if (sim_step(s, q) == SQLITE_ROW) {
		*all = (long)sqlite3_column_int64(q, 0);
		*enabled = (long)sqlite3_column_int64(q, 1);
	}
	free(key);
}

static jv
list_quotas(struct sim *s, const char *hub, const struct hub_row *row)
{
	const struct sku *k = hub_sku(row->sku);
	long all, enabled;
	jv list = jv_array();

	count_devices(s, hub, &all, &enabled);
	list = jv_array_append(list,
	    quota("TotalMessages", 0, (double)(k->messages * row->units)));
	list = jv_array_append(
	    list, quota("TotalDeviceCount", (double)all, (double)k->devices));
	return jv_put(jv_object(), "value", list);
}

static jv
statistics(struct sim *s, const char *hub)
{
	long all, enabled;

	count_devices(s, hub, &all, &enabled);
	return jv_put(jv_put(jv_put(jv_object(), "totalDeviceCount",
				 jv_number((double)all)),
			  "enabledDeviceCount", jv_number((double)enabled)),
	    "disabledDeviceCount", jv_number((double)(all - enabled)));
}

static jv
health(jv stored)
{
	jv all = jv_path(stored, "properties.routing.endpoints"),
	   list = jv_array();

	jv_object_foreach(all, k, array) {
		jv_array_foreach(array, i, one) {
			list = jv_array_append(
			    list, jv_put(jv_put(jv_object(), "endpointId",
					     jv_at(one, "name")),
				      "healthStatus", jv_string("unknown")));
		}
		jv_free(k);
		jv_free(array);
	}
	jv_free(all);
	return jv_put(jv_object(), "value", list);
}

/* -- while the hub is not itself ----------------------------------------- */

/* POST HUB/listkeys, POST HUB/IotHubKeys/{policy}/listkeys, and whatever is
 * asked about consumer groups. */
static bool
may_hang(const struct sim_request *q)
{
	char *first = sim_segment(q, 8), *third = sim_segment(q, 10);
	bool get = strcmp(q->method, "GET") == 0;
	bool is =
	    first && (strcasecmp(first, "listkeys") == 0 ||
			 (strcasecmp(first, "eventHubEndpoints") == 0 && get) ||
			 (strcasecmp(first, "IotHubKeys") == 0 && third));

	free(first);
	free(third);
	return is;
}

/* Verifying a certificate and the like; PUT and DELETE ask for themselves, as
 * deployments do. */
static bool
changes(const struct sim_request *q)
{
	char *first = sim_segment(q, 8);
	bool is = strcmp(q->method, "PATCH") == 0 ||
		  (strcmp(q->method, "POST") == 0 && first &&
		      strcasecmp(first, "certificates") == 0);

	free(first);
	return is;
}

/* Between its cut and being Active, for half of the time (CONTRACT 6). */
static bool
is_missing(struct sim *s, const struct sim_request *q, const struct failover *f)
{
	int64_t now = sim_now(s);

	return sim_doubt_is("failover-get", "missing") &&
	       sim_segments(q) == 8 && strcmp(q->method, "GET") == 0 &&
	       now >= f->cut && now < f->cut + (f->active - f->cut) / 2;
}

bool
hub_gate(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const struct arm_id *id)
{
	struct failover f = failover_last(s, id->name[0]);
	jv busy;

	if (changes(q)) {
		busy = hub_ready(s, id->name[0]);
		if (!jv_is_valid(busy)) {
			arm_refuse(r, busy);
			return true;
		}
		jv_free(busy);
	}
	if (!f.there || sim_now(s) >= f.active)
		return false;
	if (is_missing(s, q, &f)) {
		arm_refuse(r, arm_not_found(id));
		return true;
	}
	if (!may_hang(q))
		return false;
	r->hang = sim_doubt_is("failover-keys", "hang");
	if (sim_doubt_is("failover-keys", "delay"))
		r->delay_ms = (long)sim_until(s, f.active);
	return r->hang;
}

bool
hub_handle(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const struct arm_id *id, int segment)
{
	char *what = sim_segment(q, segment), *second, *third;
	bool get = strcmp(q->method, "GET") == 0,
	     post = strcmp(q->method, "POST") == 0, done = true;
	struct hub_row row;

	if (!id->kind->hub || !what) {
		free(what);
		return false;
	}
	second = sim_segment(q, segment + 1);
	third = sim_segment(q, segment + 2);
	row = hub_row(s, id->name[0]);
	if (id->kind == &hub_kinds[2] && post && !second &&
	    (strcasecmp(what, "generateVerificationCode") == 0 ||
		strcasecmp(what, "verify") == 0))
		certificate_action(s, q, r, id, what);
	else if (id->kind != &hub_kinds[0])
		done = false;
	else if (!row.there)
		sim_error(r, 404, "ResourceNotFound",
		    "The Resource 'Microsoft.Devices/IotHubs/%s' under "
		    "resource "
		    "group '%s' was not found.",
		    id->name[0], id->group);
	else if (post && second && third &&
		 strcasecmp(what, "IotHubKeys") == 0 &&
		 strcasecmp(third, "listkeys") == 0) {
		char *action = xasprintf("IotHubKeys/%s/listkeys", second);

		arm_answer_or(r, 200, arm_keys(s, id->id, action));
		free(action);
	} else if (get && !second && strcasecmp(what, "quotaMetrics") == 0)
		arm_answer(r, 200, list_quotas(s, id->name[0], &row));
	else if (get && !second && strcasecmp(what, "IotHubStats") == 0)
		arm_answer(r, 200, statistics(s, id->name[0]));
	else if (get && !second && strcasecmp(what, "skus") == 0)
		arm_answer(r, 200, list_skus(row.sku));
	else if (get && !second &&
		 strcasecmp(what, "routingEndpointsHealth") == 0)
		arm_answer(r, 200, health(arm_load(s, id->key)));
	else if (post && !second && strcasecmp(what, "listkeys") == 0)
		done = false;
	else if (post && second && third && strcasecmp(what, "routing") == 0 &&
		 strcasecmp(second, "routes") == 0 &&
		 routes_test(s, q, r, id, third))
		done = true;
	else if (post && strcasecmp(what, "failover") == 0)
		failover_handle(s, q, r, id);
	else if ((post && (strcasecmp(what, "exportDevices") == 0 ||
			      strcasecmp(what, "importDevices") == 0)) ||
		 (get && strcasecmp(what, "jobs") == 0))
		jobs_arm(s, q, r, id, what, second);
	else {
		char *words = xasprintf("%s %s of a hub", q->method, what);

		sim_missing(r, words);
		free(words);
	}
	free(what);
	free(second);
	free(third);
	return done;
}
