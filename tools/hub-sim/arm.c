/*
 * arm.c: requests to Resource Manager: who asks, which path leads where,
 * groups, lists (CONTRACT 3).  What is stored is in resources.c.
 */
#include "arm.h"

#include "roles.h"
#include "throttle.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

enum { PAGE = 100 };

/* -- groups -------------------------------------------------------------- */

static void
group_handle(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const char *group)
{
	bool there = arm_group_exists(s, group);

	if (strcmp(q->method, "PUT") == 0) {
		jv body = arm_parse(q->body);

		if (jv_is_valid(body))
			body = arm_group_put(s, group, body);
		arm_answer_or(r, there ? 200 : 201, body);
	} else if (strcmp(q->method, "HEAD") == 0) {
		r->status = there ? 204 : 404;
	} else if (!there) {
		arm_refuse(r, arm_no_group(group));
	} else if (strcmp(q->method, "GET") == 0) {
		arm_answer(r, 200, arm_group(s, group));
	} else if (strcmp(q->method, "PATCH") == 0) {
		jv body = arm_parse(q->body), old = arm_group(s, group);

		if (!jv_is_valid(body)) {
			jv_free(old);
			arm_refuse(r, body);
			return;
		}
		old = jv_put(old, "tags", jv_at(body, "tags"));
		arm_answer(r, 200, arm_group_put(s, group, old));
	} else if (strcmp(q->method, "DELETE") == 0) {
		arm_group_delete(s, group);
		arm_operation(s, q, r, 202,
		    "/subscriptions/" SIM_SUBSCRIPTION "/operationresults",
		    jv_null(), false, true);
	} else
		sim_error(r, 405, "MethodNotAllowed",
		    "The method '%s' is not allowed on a resource group.",
		    q->method);
}

/* -- lists (CONTRACT 3.5) ------------------------------------------------ */

static void
list_regions(struct sim_reply *r)
{
	jv table = arm_regions(), list = jv_array();

	jv_object_foreach(table, name, region) {
		jv pair = jv_at(jv_copy(region), "pairedWith");
		jv pairs = jv_array();

		if (jv_get_kind(pair) == JV_KIND_STRING)
			pairs = jv_array_append(pairs,
			    jv_put(jv_put(jv_object(), "name", jv_copy(pair)),
				"id",
				jv_text("/subscriptions/" SIM_SUBSCRIPTION
					"/locations/%s",
				    jv_string_value(pair))));
		jv_free(pair);
		list = jv_array_append(
		    list, JV_OBJECT(jv_string("id"),
			      jv_text("/subscriptions/" SIM_SUBSCRIPTION
				      "/locations/%s",
				  jv_string_value(name)),
			      jv_string("name"), jv_copy(name),
			      jv_string("displayName"),
			      arm_member(region, "displayName"),
			      jv_string("regionalDisplayName"),
			      arm_member(region, "displayName"),
			      jv_string("metadata"),
			      JV_OBJECT(jv_string("regionType"),
				  jv_string("Physical"),
				  jv_string("pairedRegion"), pairs)));
		jv_free(name);
		jv_free(region);
	}
	jv_free(table);
	arm_answer(r, 200, jv_put(jv_object(), "value", list));
}

/* One page of list, by $skiptoken and $top. */
static void
answer_list(const struct sim_request *q, struct sim_reply *r, jv list)
{
	char *token = sim_query(q, "$skiptoken"), *top = sim_query(q, "$top");
	char *api = sim_query(q, "api-version");
	int all = jv_array_length(jv_copy(list));
	long from = token ? strtol(token, NULL, 10) : 0;
	long size = top ? strtol(top, NULL, 10) : PAGE;
	jv body;

	if (from < 0 || from > all)
		from = all;
	if (size < 1 || size > 1000)
		size = PAGE;
	body = jv_put(jv_object(), "value",
	    jv_array_slice(
		list, (int)from, (int)(from + size < all ? from + size : all)));
	if (from + size < all)
		body = jv_put(body, "nextLink",
		    jv_text("https://%s%s?api-version=%s&%%24skiptoken=%ld",
			sim_authority(q), q->path, api ? api : "",
			from + size));
	arm_answer(r, 200, body);
	free(token);
	free(top);
	free(api);
}

static void
list_groups(struct sim *s, const struct sim_request *q, struct sim_reply *r)
{
	sqlite3_stmt *get = sim_sql(s, "SELECT body FROM arm_group ORDER BY n");
	jv list = jv_array();

	while (sim_step(s, get) == SQLITE_ROW)
		list = jv_array_append(list, arm_column(get, 0));
	answer_list(q, r, list);
}

/* Resources as a whole subscription or group lists them: tracked ones, and of
 * each only what Resource Manager itself knows. */
static void
list_resources(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const char *group)
{
	static const char *const members[] = { "id", "name", "type", "kind",
		"location", "tags", "sku", "identity", "managedBy" };
	char *filter = sim_query(q, "$filter");
	char *type = arm_filtered(filter, "resourceType"),
	     *in = arm_filtered(filter, "resourceGroup"),
	     *name = arm_filtered(filter, "name eq");
	jv keys = arm_keys_where(s, group ? group : in, type),
	   list = jv_array();

	jv_array_foreach(keys, i, key) {
		struct arm_id id;

		if (arm_id_parse(s, jv_string_value(key), &id)) {
			jv whole = arm_load(s, id.key), one = jv_object();

			for (size_t m = 0; m < sizeof members / sizeof *members;
			     m++)
				one = arm_put_some(one, members[m],
				    arm_member(whole, members[m]));
			jv_free(whole);
			if (id.kind->tracked &&
			    (!name || strcasecmp(name, id.name[0]) == 0))
				list = jv_array_append(list, one);
			else
				jv_free(one);
			arm_id_free(&id);
		}
		jv_free(key);
	}
	jv_free(keys);
	answer_list(q, r, list);
	free(filter);
	free(type);
	free(in);
	free(name);
}

/* All of one type: in the subscription, in a group, or below a resource. */
static void
list_type(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const char *group, const char *type, const char *below)
{
	char *api = sim_query(q, "api-version");
	size_t n = below ? strlen(below) : 0;
	jv keys = arm_keys_where(s, group, type), list = jv_array();

	jv_array_foreach(keys, i, key) {
		const char *k = jv_string_value(key);
		struct arm_id id;

		if ((!n || (strncmp(k, below, n) == 0 && k[n] == '/')) &&
		    arm_id_parse(s, k, &id)) {
			list = jv_array_append(
			    list, arm_view(s, &id, api, arm_load(s, id.key)));
			arm_id_free(&id);
		}
		jv_free(key);
	}
	jv_free(keys);
	answer_list(q, r, list);
	free(api);
}

/* -- one resource -------------------------------------------------------- */

static bool
is_cosmos(const char *path)
{
	return strcasestr(path, "/providers/microsoft.documentdb/") != NULL;
}

/* The one service here whose writes take time ([rec-cosmos], CONTRACT 3.2). */
static void
cosmos_operation(
    struct sim *s, const struct sim_request *q, struct sim_reply *r, int status)
{
	arm_operation(s, q, r, status,
	    "/subscriptions/" SIM_SUBSCRIPTION
	    "/providers/Microsoft.DocumentDB/locations/westus/operationsStatus",
	    jv_null(), true, true);
}

/* A text with a text in it ([rec-cosmos] 13). */
static jv
cosmos_not_found(struct sim *s)
{
	char guid[37];

	sim_guid(s, "cosmos-activity", guid);
	return arm_failure(404,
	    jv_put(jv_put(jv_object(), "code", jv_string("NotFound")),
		"message",
		jv_text("Message: {\"code\":\"NotFound\",\"message\":"
			"\"Message: {\\\"Errors\\\":[\\\"Resource Not "
			"Found. Learn more: "
			"https:\\\\/\\\\/aka.ms\\\\/cosmosdb-tsg-not-found"
			"\\\"]}\\r\\nActivityId: %s\"}, Request URI: /dbs\r\n"
			"ActivityId: %s, Microsoft.Azure.Documents.Common/"
			"2.14.0",
		    guid, guid)));
}

static void
put_resource(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const struct arm_id *id, const char *api)
{
	jv body = arm_parse(q->body);
	bool fresh;

	if (!jv_is_valid(body)) {
		arm_refuse(r, body);
		return;
	}
	if (id->kind->hub) {
		hub_put_http(s, q, r, id, api, body);
		return;
	}
	fresh = !arm_there(s, id->key);
	body = arm_put_as(s, id->id, api, body, ARM_SLOW);
	if (jv_is_valid(body) && is_cosmos(id->key)) {
		cosmos_operation(s, q, r, id->depth == 1 ? 200 : 202);
		if (id->depth > 1)
			body = jv_put((jv_free(body), jv_object()), "status",
			    jv_string("Enqueued"));
		arm_answer(r, r->status, body);
		return;
	}
	arm_answer_or(r, fresh ? id->kind->created : id->kind->replaced, body);
}

/* Only tags can be changed this way; they replace those that were there. */
static void
patch_resource(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const struct arm_id *id, const char *api)
{
	jv body = arm_parse(q->body), old = arm_load(s, id->key), tags;

	if (!jv_is_valid(body)) {
		jv_free(old);
		arm_refuse(r, body);
		return;
	}
	tags = jv_at(body, "tags");
	if (jv_get_kind(tags) == JV_KIND_OBJECT && id->kind->tracked) {
		old = jv_put(old, "tags", tags);
		arm_store(s, id, jv_copy(old));
	} else
		jv_free(tags);
	arm_answer(r, 200, arm_view(s, id, api, old));
}

/* What was never changed is there all the same, as long as its parent is. */
static bool
is_implied(struct sim *s, const struct arm_id *id)
{
	struct arm_id up;
	bool is;

	if (!id->kind->implied || !arm_parent(s, id->key, &up))
		return false;
	is = arm_there(s, up.key);
	arm_id_free(&up);
	return is;
}

static void
resource_handle(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const struct arm_id *id)
{
	char *api = sim_query(q, "api-version");
	const char *m = q->method;
	jv no = arm_denied(s, id,
	    strcmp(m, "GET") == 0      ? "read"
	    : strcmp(m, "DELETE") == 0 ? "delete"
				       : "write");
	jv stored = arm_load(s, id->key);
	bool there = jv_is_valid(stored);

	if (!jv_is_valid(no)) {
		arm_refuse(r, jv_copy(no));
	} else if (strcmp(m, "PUT") == 0) {
		put_resource(s, q, r, id, api);
	} else if (strcmp(m, "DELETE") == 0) {
		if (id->kind->hub)
			hub_delete(s, q, r, id);
		else
			r->status = arm_delete(s, id->key) ? 200 : 204;
	} else if (!there && strcmp(m, "GET") == 0 && is_implied(s, id)) {
		arm_answer(r, 200,
		    id->kind->put(
			s, id, api, jv_object(), jv_null(), ARM_SETTLED));
	} else if (!there) {
		arm_refuse(r, is_cosmos(id->key) && id->depth > 1
				  ? cosmos_not_found(s)
				  : arm_not_found(id));
	} else if (strcmp(m, "GET") == 0) {
		arm_answer(r, 200, arm_view(s, id, api, jv_copy(stored)));
	} else if (strcmp(m, "HEAD") == 0) {
		r->status = 204;
	} else if (strcmp(m, "PATCH") == 0) {
		patch_resource(s, q, r, id, api);
	} else
		sim_error(r, 405, "MethodNotAllowed",
		    "The method '%s' is not allowed on '%s'.", m, id->id);
	jv_free(no);
	jv_free(stored);
	free(api);
}

/* -- paths --------------------------------------------------------------- */

/* Cuts path after segment n (exclusive). */
static char *
head_of(const char *path, int n)
{
	const char *at = path;

	while (n-- >= 0 && *at)
		at += strcspn(at + 1, "/") + 1;
	return xstrndup(path, (size_t)(at - path));
}

/* "Microsoft.X/a/b" from the provider's segment on: every second one. */
static char *
type_of(const struct sim_request *q, int provider, int end)
{
	struct buf type = BUF_INIT;

	for (int i = provider; i < end; i += i == provider ? 1 : 2) {
		char *part = sim_segment(q, i);

		buf_printf(&type, "%s%s", i == provider ? "" : "/", part);
		free(part);
	}
	return type.at ? type.at : xstrdup("");
}

static void
action_handle(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const char *id, const char *action)
{
	jv request = q->body.len ? arm_parse(q->body) : jv_object();

	if (!jv_is_valid(request)) {
		arm_refuse(r, request);
		return;
	}
	request = arm_act(s, id, action, request, true);
	if (jv_is_valid(request) && is_cosmos(id) &&
	    strcasecmp(action, "regenerateKey") == 0) {
		jv_free(request);
		cosmos_operation(s, q, r, 202);
		request = jv_put(jv_object(), "status", jv_string("Enqueued"));
	}
	arm_answer_or(r, r->status ? r->status : 200, request);
}

/* A hub that fails over does not answer as it always does. */
static bool
late_or_gone(struct sim *s, const struct sim_request *q, struct sim_reply *r)
{
	char *path = head_of(q->path, 7);
	struct arm_id id;
	bool is = false;

	if (arm_id_parse(s, path, &id)) {
		is = id.kind->hub && hub_gate(s, q, r, &id);
		arm_id_free(&id);
	}
	free(path);
	return is;
}

/* Those below a resource: the nearest one above them must be there. */
static void
list_below(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const char *group, const char *type, int n)
{
	char *probe = xasprintf("%s/x", q->path), *below;
	struct arm_id child, up;

	if (arm_id_parse(s, probe, &child)) {
		if (arm_parent(s, child.key, &up)) {
			below = head_of(child.key, n - 2);
			if (arm_there(s, up.key))
				list_type(s, q, r, group, type, below);
			else
				arm_refuse(r, arm_not_found(&up));
			free(below);
			arm_id_free(&up);
		}
		arm_id_free(&child);
	}
	free(probe);
}

/* Asks the hub of that path, if it is one; false: it does not know either. */
static bool
ask_hub(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const char *path, int segment)
{
	struct arm_id id;
	bool is;

	if (!arm_id_parse(s, path, &id))
		return false;
	is = hub_handle(s, q, r, &id, segment);
	arm_id_free(&id);
	return is;
}

/* .../resourceGroups/{group}/providers/{namespace}/... */
static void
provider_handle(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const char *group, int n)
{
	char *last = sim_segment(q, n - 1), *type = type_of(q, 5, n);
	char *above = head_of(q->path, n - 2);
	struct arm_id id;

	if (late_or_gone(s, q, r)) {
		; /* answered */
	} else if (arm_id_parse(s, q->path, &id)) {
		resource_handle(s, q, r, &id);
		arm_id_free(&id);
	} else if (n == 7 && strcmp(q->method, "GET") == 0 &&
		   arm_kind_of(type)) {
		list_type(s, q, r, group, type, NULL);
	} else if (n > 8 && strcmp(q->method, "GET") == 0 &&
		   arm_kind_of(type)) {
		list_below(s, q, r, group, type, n);
	} else if (arm_id_parse(s, above, &id)) {
		if (!hub_handle(s, q, r, &id, n - 1)) {
			if (strcmp(q->method, "POST") == 0)
				action_handle(s, q, r, above, last);
			else
				sim_missing(r, q->path);
		}
		arm_id_free(&id);
	} else {
		/* Deeper helpers of a hub, such as IotHubKeys/{p}/listkeys. */
		char *hub = head_of(q->path, 7);
		char *what = xasprintf("%s %s", q->method, type);

		if (n <= 8 || !ask_hub(s, q, r, hub, 8))
			sim_missing(r, what);
		free(hub);
		free(what);
	}
	free(last);
	free(type);
	free(above);
}

static bool
segment_is(const struct sim_request *q, int n, const char *text)
{
	char *part = sim_segment(q, n);
	bool is = part && strcasecmp(part, text) == 0;

	free(part);
	return is;
}

static void
in_group(struct sim *s, const struct sim_request *q, struct sim_reply *r, int n)
{
	char *group = sim_segment(q, 3);

	if (n == 4)
		group_handle(s, q, r, group);
	else if (!arm_group_exists(s, group))
		arm_refuse(r, arm_no_group(group));
	else if (n == 5 && segment_is(q, 4, "resources"))
		list_resources(s, q, r, group);
	else if ((n == 5 && segment_is(q, 4, "exportTemplate")) ||
		 (n >= 5 && segment_is(q, 4, "deployments")) ||
		 (n >= 7 && segment_is(q, 4, "providers") &&
		     segment_is(q, 5, "Microsoft.Resources")))
		deploy_handle(s, q, r);
	else if (n >= 7 && segment_is(q, 4, "providers"))
		provider_handle(s, q, r, group, n);
	else
		sim_missing(r, q->path);
	free(group);
}

/* POST checkNameAvailability (CONTRACT 4.4). */
static void
check_name(struct sim *s, const struct sim_request *q, struct sim_reply *r)
{
	jv body = arm_parse(q->body);
	char *name, *key;

	if (!jv_is_valid(body)) {
		arm_refuse(r, body);
		return;
	}
	name = jv_dup_string(jv_at(body, "name"));
	key = name ? arm_find_global(s, hub_kinds[0].type, name) : NULL;
	body = jv_put(
	    jv_put(jv_object(), "nameAvailable", key ? jv_false() : jv_true()),
	    "reason", jv_string(key ? "AlreadyExists" : "Invalid"));
	arm_answer(r, 200,
	    jv_put(body, "message",
		key ? jv_text("IotHub name '%s' is not available", name)
		    : jv_null()));
	free(name);
	free(key);
}

static void
in_subscription(
    struct sim *s, const struct sim_request *q, struct sim_reply *r, int n)
{
	if (n == 2 || n == 1) {
		jv one = JV_OBJECT(jv_string("id"),
		    jv_string("/subscriptions/" SIM_SUBSCRIPTION),
		    jv_string("subscriptionId"), jv_string(SIM_SUBSCRIPTION),
		    jv_string("displayName"), jv_string("hub-sim"),
		    jv_string("state"), jv_string("Enabled"),
		    jv_string("tenantId"), jv_string(SIM_TENANT));

		arm_answer(r, 200,
		    n == 2 ? one : jv_put(jv_object(), "value", JV_ARRAY(one)));
	} else if (n == 3 && segment_is(q, 2, "locations"))
		list_regions(r);
	else if (n == 3 && segment_is(q, 2, "resources"))
		list_resources(s, q, r, NULL);
	else if (n == 3 && segment_is(q, 2, "resourceGroups"))
		list_groups(s, q, r);
	else if (n >= 4 && segment_is(q, 2, "resourceGroups"))
		in_group(s, q, r, n);
	else if (n >= 5 && segment_is(q, 2, "providers") &&
		 segment_is(q, 3, "Microsoft.Resources"))
		deploy_handle(s, q, r);
	else if (n <= 5 && segment_is(q, 2, "providers") &&
		 providers_handle(r, q, n))
		return;
	else if (n == 5 && segment_is(q, 2, "providers") &&
		 segment_is(q, 3, "Microsoft.Devices") &&
		 segment_is(q, 4, "usages") && strcmp(q->method, "GET") == 0)
		usages_answer(s, r);
	else if (n == 5 && segment_is(q, 2, "providers") &&
		 segment_is(q, 3, "Microsoft.Devices") &&
		 segment_is(q, 4, "checkNameAvailability"))
		check_name(s, q, r);
	else if (n == 5 && segment_is(q, 2, "providers")) {
		char *type = type_of(q, 3, n);

		if (arm_kind_of(type))
			list_type(s, q, r, NULL, type, NULL);
		else
			sim_missing(r, type);
		free(type);
	} else
		sim_missing(r, q->path);
}

/* -- the door ------------------------------------------------------------ */

/* "2023-06-30", "2023-06-30-preview". */
static bool
version_good(const char *v)
{
	static const char form[] = "dddd-dd-dd";
	size_t i;

	for (i = 0; form[i]; i++)
		if (form[i] == 'd' ? !isdigit((unsigned char)v[i])
				   : v[i] != form[i])
			return false;
	if (v[i] == '\0')
		return true;
	if (v[i++] != '-')
		return false;
	return v[i] &&
	       strspn(v + i, "abcdefghijklmnopqrstuvwxyz") == strlen(v + i);
}

static bool
is_poll(struct sim *s, const struct sim_request *q, struct sim_reply *r, int n)
{
	char *place, *id;
	bool is = false;

	if (n < 4 || strcmp(q->method, "GET") != 0)
		return false;
	place = sim_segment(q, n - 2);
	id = sim_segment(q, n - 1);
	if (strncasecmp(place, "operation", 9) == 0) {
		is = operation_poll(s, q, r, place, id);
		if (!is && strcasecmp(place, "operationresults") == 0) {
			sim_error(r, 404, "OperationNotFound",
			    "There is no operation '%s'.", id);
			is = true;
		}
	}
	free(place);
	free(id);
	return is;
}

static void
trace_headers(struct sim *s, struct sim_reply *r)
{
	char *words = xasprintf("request/%ld", arm_count_up(s, "request"));
	char guid[37];

	sim_guid(s, words, guid);
	free(words);
	sim_head(r, "x-ms-request-id", "%s", guid);
	sim_head(r, "x-ms-correlation-request-id", "%s", guid);
}

static void
handle(struct sim *s, const struct sim_request *q, struct sim_reply *r)
{
	const char *client, *audience;
	int why = entra_bearer(s, q, &client, &audience);
	int n = sim_segments(q);
	char *api = sim_query(q, "api-version"), *sub = sim_segment(q, 1);

	trace_headers(s, r);
	if (why == 0 && strcmp(audience, "https://management.azure.com") != 0)
		why = ENTRA_INVALID;
	hub_reap(s);
	if (why < 0)
		entra_refuse(s, r, why);
	else if (!throttle_arm(s, q, r, client))
		; /* answered */
	else if (!api || !*api)
		sim_error(r, 400, "MissingApiVersionParameter",
		    "The api-version query parameter (?api-version=) is "
		    "required for all requests.");
	else if (!version_good(api))
		sim_error(r, 400, "InvalidApiVersionParameter",
		    "The api-version '%s' is invalid. The supported versions "
		    "are '2023-06-30,2022-09-01,2021-07-02,2021-04-01'.",
		    api);
	else if (!segment_is(q, 0, "subscriptions")) {
		if (!tenant_handle(r, q))
			sim_missing(r, q->path);
	} else if (sub && strcasecmp(sub, SIM_SUBSCRIPTION) != 0)
		sim_error(r, 404, "SubscriptionNotFound",
		    "The subscription '%s' could not be found.", sub);
	else if (!roles_handle(s, q, r) && !is_poll(s, q, r, n))
		in_subscription(s, q, r, n);
	free(api);
	free(sub);
}

/* Small habits by which the services can be told apart ([rec-lifecycle] 14,
 * [rec-cosmos], [rec-deploy] 3). */
static void
habits(const struct sim_request *q, struct sim_reply *r)
{
	static const char flat[] = "{\"code\":";
	bool cosmos = is_cosmos(q->path);

	if (cosmos)
		sim_head(r, "x-ms-gatewayversion", "version=2.14.0");
	if (!r->content_type && r->body.len &&
	    (cosmos || strcasestr(q->path, "/microsoft.storage/") ||
		(r->status >= 400 && r->body.len > strlen(flat) &&
		    memcmp(r->body.at, flat, strlen(flat)) == 0)))
		r->content_type = "application/json";
	if (r->status >= 400 && r->status != 501 &&
	    (!strcasestr(q->path, "/providers/") ||
		strcasestr(q->path, "/providers/Microsoft.Resources/")))
		sim_head(r, "x-ms-failure-cause", "gateway");
}

/* az writes two slashes where its ids have no parent between them. */
void
arm_handle(struct sim *s, const struct sim_request *q, struct sim_reply *r)
{
	struct sim_request plain = *q;
	struct buf path = BUF_INIT;

	for (const char *c = q->path; *c; c++)
		if (c[0] != '/' || c[1] != '/')
			buf_char(&path, *c);
	plain.path = path.at ? path.at : "/";
	handle(s, &plain, r);
	habits(&plain, r);
	buf_free(&path);
}
