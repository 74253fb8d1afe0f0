/*
 * hub.c: the hub itself: what is kept of it beside its body, its SKUs, and how
 * a PUT becomes the stored resource (CONTRACT 4.1 to 4.3).  The parts that
 * have rules of their own are endpoints.c, routes.c and policies.c.
 */
#include "iothubs.h"

#include "failover.h"
#include "roles.h"
#include "store.h"
#include "throttle.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

struct hub_row
hub_row(struct sim *s, const char *name)
{
	sqlite3_stmt *q = sim_sql(s,
	    "SELECT key, sku, units, local_auth, active, busy, gone FROM hub"
	    " WHERE name = ?");
	char *key = arm_lower(name);
	struct hub_row row = { .there = false };

	sim_bind(q, 1, key);
	free(key);
	if (sim_step(s, q) != SQLITE_ROW)
		return row;
	row.there = true;
	(void)snprintf(row.key, sizeof row.key, "%s",
	    (const char *)sqlite3_column_text(q, 0));
	(void)snprintf(row.sku, sizeof row.sku, "%s",
	    (const char *)sqlite3_column_text(q, 1));
	row.units = (long)sqlite3_column_int64(q, 2);
	row.local_auth = sqlite3_column_int(q, 3) != 0;
	row.active = sqlite3_column_int64(q, 4);
	row.busy = sqlite3_column_int64(q, 5);
	row.gone = sqlite3_column_int64(q, 6);
	return row;
}

void
hub_row_keep(struct sim *s, const char *name, const struct hub_row *row)
{
	sqlite3_stmt *q = sim_sql(
	    s, "INSERT OR REPLACE INTO hub VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
	char *key = arm_lower(name);

	sim_bind(q, 1, key);
	sim_bind(q, 2, row->key);
	sim_bind(q, 3, row->sku);
	(void)sqlite3_bind_int64(q, 4, row->units);
	(void)sqlite3_bind_int(q, 5, row->local_auth);
	(void)sqlite3_bind_int64(q, 6, row->active);
	(void)sqlite3_bind_int64(q, 7, row->busy);
	(void)sqlite3_bind_int64(q, 8, row->gone);
	(void)sim_step(s, q);
	free(key);
}

static const char *
state_of(struct sim *s, const char *name, const struct hub_row *row)
{
	struct failover f = failover_last(s, name);
	const char *word = failover_state(&f, sim_now(s));

	if (row->gone)
		return "Deleting";
	if (sim_now(s) < row->active)
		return "Activating";
	return word ? word : "Active";
}

void
hub_forget(struct sim *s, const char *name)
{
	static const char *const texts[] = {
		"DELETE FROM hub WHERE name = ?",
		"DELETE FROM policy WHERE hub = ?",
		"DELETE FROM secret WHERE hub = ?",
	};
	char *key = arm_lower(name);

	sim_of_hub(s, texts, sizeof texts / sizeof *texts, key);
	registry_forget(s, key);
	failover_forget(s, key);
	free(key);
}

void
hub_reap(struct sim *s)
{
	sqlite3_stmt *q = sim_sql(
	    s, "SELECT key FROM hub WHERE gone > 0 AND gone <= ? LIMIT 1");
	char *key;

	failover_settle(s);
	(void)sqlite3_bind_int64(q, 1, sim_now(s));
	if (sim_step(s, q) != SQLITE_ROW)
		return;
	key = span_dup(sim_column(q, 0));
	(void)sqlite3_reset(q);
	(void)arm_delete(s, key);
	free(key);
	hub_reap(s);
}

/* -- for the data plane -------------------------------------------------- */

/* It goes on for a while after a failover began (CONTRACT 6), and a hub whose
 * failover failed is where it was. */
static const char *
data_state(struct sim *s, const char *name, const struct hub_row *row)
{
	struct failover f = failover_last(s, name);
	const char *state = state_of(s, name, row);

	if (strcmp(state, "FailoverFailed") == 0 ||
	    (strcmp(state, "FailingOver") == 0 && sim_now(s) < f.cut))
		return "Active";
	return state;
}

/* A hub that no mere passing of time changes any more, as the last call found
 * it: most calls are for the same one, and nothing was written since. */
static struct {
	struct sim_hub hub;
	uint64_t version;
} at_rest;

static void
rest(struct sim *s, const struct hub_row *row, const struct sim_hub *hub)
{
	struct failover f = failover_last(s, hub->name);
	int64_t now = sim_now(s);

	if (row->gone || now < row->active ||
	    (f.there && (now < f.over || now < f.active || now < f.moves ||
			    now < f.cut)))
		return;
	at_rest.hub = *hub;
	at_rest.version = store_version(s);
}

bool
sim_hub_find(struct sim *s, const char *host, struct sim_hub *out)
{
	struct hub_row row;
	size_t n = strcspn(host, ".");

	memset(out, 0, sizeof *out);
	if (n == 0 || n >= sizeof out->name)
		return false;
	for (size_t i = 0; i < n; i++)
		out->name[i] = (char)tolower((unsigned char)host[i]);
	if (*at_rest.hub.name && at_rest.version == store_version(s) &&
	    strcmp(at_rest.hub.name, out->name) == 0) {
		*out = at_rest.hub;
		return true;
	}
	row = hub_row(s, out->name);
	if (!row.there || (row.gone && row.gone <= sim_now(s)))
		return false;
	failover_settle(s);
	(void)snprintf(out->state, sizeof out->state, "%s",
	    data_state(s, out->name, &row));
	(void)snprintf(out->sku, sizeof out->sku, "%s", row.sku);
	out->units = row.units;
	out->local_auth = row.local_auth;
	rest(s, &row, out);
	return true;
}

bool
sim_hub_policy(struct sim *s, const struct sim_hub *h, const char *name,
    struct sim_policy *out)
{
	sqlite3_stmt *q = sim_sql(s, "SELECT first, second, rights FROM policy"
				     " WHERE hub = ? AND name = ?");

	sim_bind(q, 1, h->name);
	sim_bind(q, 2, name);
	if (sim_step(s, q) != SQLITE_ROW)
		return false;
	(void)snprintf(out->primary, sizeof out->primary, "%s",
	    (const char *)sqlite3_column_text(q, 0));
	(void)snprintf(out->secondary, sizeof out->secondary, "%s",
	    (const char *)sqlite3_column_text(q, 1));
	(void)snprintf(out->rights, sizeof out->rights, "%s",
	    (const char *)sqlite3_column_text(q, 2));
	return true;
}

/* -- SKUs ---------------------------------------------------------------- */

const struct sku hub_skus[] = {
	{ "F1", "Free", 1, 2, 2, 2, 1, 8000, 500, 1, 5, 2 },
	{ "B1", "Basic", 200, 2, 8, 4, 7, 400000, 1000000, 10, 100, 10 },
	{ "B2", "Basic", 200, 2, 8, 4, 7, 6000000, 1000000, 10, 100, 10 },
	{ "B3", "Basic", 10, 2, 8, 4, 7, 300000000, 1000000, 10, 100, 10 },
	{ "S1", "Standard", 200, 2, 32, 4, 7, 400000, 1000000, 10, 100, 10 },
	{ "S2", "Standard", 200, 2, 32, 4, 7, 6000000, 1000000, 10, 100, 10 },
	{ "S3", "Standard", 10, 2, 32, 4, 7, 300000000, 1000000, 10, 100, 10 },
	{ NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 },
};

const struct sku *
hub_sku(const char *name)
{
	for (const struct sku *k = hub_skus; name && k->name; k++)
		if (strcasecmp(k->name, name) == 0)
			return k;
	return NULL;
}

/* -- a hub being put together -------------------------------------------- */

bool
draft_refused(const struct draft *d)
{
	return !jv_is_valid(d->wrong);
}

void
draft_refuse(struct draft *d, int code, const char *fmt, ...)
{
	va_list ap;
	char *text;

	if (draft_refused(d))
		return;
	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	jv_free(d->wrong);
	d->wrong = hub_fail(d->s, 400, code, "%s", text);
	free(text);
}

static void
draft_fail(struct draft *d, jv failure)
{
	if (draft_refused(d)) {
		jv_free(failure);
		return;
	}
	jv_free(d->wrong);
	d->wrong = failure;
}

/* A member that is null counts as absent. */
jv
hub_without_nulls(jv given)
{
	jv out = jv_object();

	jv_object_foreach(given, k, v) {
		if (jv_get_kind(v) == JV_KIND_NULL) {
			jv_free(k);
			jv_free(v);
		} else
			out = jv_object_set(out, k, v);
	}
	jv_free(given);
	return out;
}

/* given over the defaults, object into object. */
jv
hub_defaulted(const char *defaults, jv given)
{
	jv out = jv_parse(defaults);

	if (jv_get_kind(given) == JV_KIND_OBJECT)
		return jv_object_merge_recursive(out, hub_without_nulls(given));
	jv_free(given);
	return out;
}

bool
hub_name_good(const char *name)
{
	size_t n = name ? strlen(name) : 0;

	if (n < 1 || n > 64)
		return false;
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && !strchr("-._", *name))
			return false;
	return true;
}

/* -- identity ------------------------------------------------------------ */

static jv
take_identity(struct draft *d, jv given)
{
	char *type = arm_text(given, "type"), *words, guid[37];
	jv map = arm_member(given, "userAssignedIdentities"), out = jv_object();
	bool system = type && strcasestr(type, "SystemAssigned");
	bool user = type && strcasestr(type, "UserAssigned");

	jv_free(given);
	if (system)
		out = jv_put(out, "tenantId", jv_string(SIM_TENANT));
	out = jv_put(out, "type",
	    jv_string(system && user ? "SystemAssigned, UserAssigned"
		      : system       ? "SystemAssigned"
		      : user         ? "UserAssigned"
				     : "None"));
	if (type && !system && !user && strcasecmp(type, "None") != 0)
		draft_refuse(
		    d, 400000, "'%s' is not a valid identity type.", type);
	if (user && jv_get_kind(map) == JV_KIND_OBJECT) {
		jv done = jv_object();

		jv_object_foreach(map, k, v) {
			jv found = jv_at(arm_resource(d->s, jv_string_value(k)),
			    "properties");

			if (jv_get_kind(found) != JV_KIND_OBJECT)
				draft_fail(d,
				    arm_fail(400, "FailedIdentityOperation",
					"Identity operation for resource '%s' "
					"failed: the identity '%s' could not "
					"be found.",
					d->id->id, jv_string_value(k)));
			done = jv_object_set(done, k,
			    jv_put(jv_put(jv_object(), "clientId",
				       jv_at(jv_copy(found), "clientId")),
				"principalId",
				jv_at(jv_copy(found), "principalId")));
			jv_free(found);
			jv_free(v);
		}
		out = jv_put(out, "userAssignedIdentities", done);
	} else if (user)
		draft_refuse(d, 400000,
		    "The identity type UserAssigned needs "
		    "userAssignedIdentities.");
	if (system) {
		words = xasprintf("principal/%s", d->id->key);
		sim_guid(d->s, words, guid);
		out = jv_put(out, "principalId", jv_string(guid));
		if (d->how == ARM_SEED)
			role_trust(d->s, guid);
		free(words);
	}
	jv_free(map);
	free(type);
	return out;
}

/* -- the resource -------------------------------------------------------- */

jv
hub_next_etag(struct sim *s)
{
	sqlite3_stmt *q = sim_sql(s,
	    "INSERT INTO counter VALUES ('etag', 0x0c7fe1dc4d)"
	    " ON CONFLICT (name) DO UPDATE SET n = n + 131 RETURNING n");
	unsigned char raw[8] = { 0 };
	struct buf text = BUF_INIT;
	sqlite3_int64 n = 0;
	jv out;

	if (sim_step(s, q) == SQLITE_ROW)
		n = sqlite3_column_int64(q, 0);
	while (sim_step(s, q) == SQLITE_ROW)
		;
	for (int i = 7; i >= 0; i--, n >>= 8)
		raw[i] = (unsigned char)(n & 0xff);
	buf_base64(&text, raw, sizeof raw);
	out = jv_string(text.at);
	buf_free(&text);
	return out;
}

static jv
take_events(struct draft *d, jv given)
{
	jv events = arm_member(given, "events");
	jv was =
	    jv_path(jv_copy(d->old), "properties.eventHubEndpoints.events");
	long before = arm_number(was, "partitionCount", 0);
	long count = arm_number(
	    events, "partitionCount", before ? before : d->sku->normal);
	long days = arm_number(events, "retentionTimeInDays", 1);

	jv_free(given);
	jv_free(events);
	jv_free(was);
	if (count < d->sku->fewest || count > d->sku->most)
		draft_refuse(d, 400016,
		    "Invalid PartitionCount %ld - value must be between %d and "
		    "%d.",
		    count, d->sku->fewest, d->sku->most);
	else if (before && before != count)
		draft_refuse(d, 400016,
		    "Invalid PartitionCount %ld - the value %ld cannot be "
		    "changed after the hub was created.",
		    count, before);
	if (days < 1 || days > d->sku->days)
		draft_refuse(d, 400000,
		    "Invalid RetentionTimeInDays %ld - value must be between 1 "
		    "and %d.",
		    days, d->sku->days);
	return jv_put(jv_object(), "events",
	    jv_put(jv_put(jv_object(), "retentionTimeInDays", jv_number(days)),
		"partitionCount", jv_number(count)));
}

/* The other one is the primary; it comes first (CONTRACT 6). */
static jv
turned(jv locations)
{
	jv first = jv_array_get(jv_copy(locations), 0),
	   second = jv_array_get(locations, 1);

	return jv_array_append(
	    jv_array_append(
		jv_array(), jv_put(second, "role", jv_string("primary"))),
	    jv_put(first, "role", jv_string("secondary")));
}

/* The tag hub-sim-created: a hub from before there was failover. */
static jv
with_age(jv stored)
{
	jv day = jv_at(jv_path(jv_copy(stored), "tags"), "hub-sim-created");

	if (jv_get_kind(day) == JV_KIND_STRING)
		stored = jv_put(stored, "systemData",
		    jv_put(arm_member(stored, "systemData"), "createdAt",
			jv_text(
			    "%.10sT00:00:00.0000000Z", jv_string_value(day))));
	jv_free(day);
	return stored;
}

/* path, endpoint and partitionIds: once the hub is active.  turn: how often it
 * failed over, which alters the end of the name (CONTRACT 6). */
static jv
with_endpoint(struct sim *s, const struct arm_id *id, int turn, jv endpoints)
{
	jv events = jv_at(endpoints, "events"), ids = jv_array();
	char *words = xasprintf("namespace/%s", id->key), guid[37], end[37];
	char *low = arm_lower(id->name[0]);
	long count = arm_number(events, "partitionCount", 0);
	jv out;

	sim_guid(s, words, guid);
	memcpy(end, guid, sizeof end);
	if (turn) {
		free(words);
		words = xasprintf("namespace/%s#%d", id->key, turn);
		sim_guid(s, words, end);
	}
	for (long i = 0; i < count; i++)
		ids = jv_array_append(ids, jv_text("%ld", i));
	events =
	    jv_put(jv_put(events, "partitionIds", ids), "path", jv_string(low));
	events = jv_put(events, "endpoint",
	    jv_text("sb://iothub-ns-%.10s-%lu-%.8s%.2s.servicebus.windows.net/",
		low, 10000000 + strtoul(guid + 28, NULL, 16) % 90000000, end,
		end + 9));
	out = jv_put(jv_object(), "events", events);
	free(words);
	free(low);
	return out;
}

static jv
locations(const char *region, bool resident)
{
	const char *pair = arm_region_pair(region);
	jv list = jv_array_append(
	    jv_array(), jv_put(jv_put(jv_object(), "location",
				   jv_string(arm_region_title(region))),
			    "role", jv_string("primary")));

	if (pair && arm_region_title(pair) && !resident)
		list = jv_array_append(
		    list, jv_put(jv_put(jv_object(), "location",
				     jv_string(arm_region_title(pair))),
			      "role", jv_string("secondary")));
	return list;
}

static jv
take_properties(struct draft *d, jv given, const char *region)
{
	static const char *const handled[] = { "locations", "state",
		"provisioningState", "hostName", "eventHubEndpoints", "routing",
		"storageEndpoints", "messagingEndpoints",
		"enableFileUploadNotifications", "cloudToDevice",
		"authorizationPolicies", "operationsMonitoringProperties",
		"privateEndpointConnections", "allowedFqdnList",
		"ipFilterRules", "features" };
	bool notify = arm_is_true(given, "enableFileUploadNotifications");
	jv out = jv_object();
	char *text;

	out = jv_put(out, "locations",
	    locations(region, arm_is_true(given, "enableDataResidency")));
	out = jv_put(out, "state", jv_string("Active"));
	out = jv_put(out, "provisioningState", jv_string("Succeeded"));
	out = jv_put(out, "ipFilterRules",
	    arm_or(arm_member(given, "ipFilterRules"), jv_array()));
	text = arm_lower(d->id->name[0]);
	out = jv_put(out, "hostName", jv_text("%s.azure-devices.net", text));
	free(text);
	out = jv_put(out, "eventHubEndpoints",
	    take_events(d, arm_member(given, "eventHubEndpoints")));
	out = jv_put(
	    out, "routing", draft_routing(d, arm_member(given, "routing")));
	out = jv_put(out, "storageEndpoints",
	    draft_storage(d, arm_member(given, "storageEndpoints"), notify));
	out = jv_put(out, "messagingEndpoints",
	    hub_defaulted("{\"fileNotifications\":{\"lockDurationAsIso8601\":"
			  "\"PT1M\",\"ttlAsIso8601\":\"PT1H\","
			  "\"maxDeliveryCount\":10}}",
		arm_member(given, "messagingEndpoints")));
	out = jv_put(out, "enableFileUploadNotifications",
	    notify ? jv_true() : jv_false());
	out = jv_put(out, "cloudToDevice",
	    hub_defaulted("{\"maxDeliveryCount\":10,\"defaultTtlAsIso8601\":"
			  "\"PT1H\",\"feedback\":{\"lockDurationAsIso8601\":"
			  "\"PT1M\",\"ttlAsIso8601\":\"PT1H\","
			  "\"maxDeliveryCount\":10}}",
		arm_member(given, "cloudToDevice")));
	out = jv_put(out, "features",
	    arm_or(arm_member(given, "features"), jv_string("None")));
	text = arm_text(given, "minTlsVersion");
	if (text && strcmp(text, "1.0") != 0 && strcmp(text, "1.1") != 0 &&
	    strcmp(text, "1.2") != 0 && strcmp(text, "1.3") != 0)
		draft_refuse(
		    d, 400089, "%s is not a valid MinTlsVersion value.", text);
	free(text);
	jv_object_foreach(given, k, rest) {
		bool known = jv_get_kind(rest) == JV_KIND_NULL;

		for (size_t i = 0; i < sizeof handled / sizeof *handled; i++)
			known |= strcmp(jv_string_value(k), handled[i]) == 0;
		if (known) {
			jv_free(k);
			jv_free(rest);
		} else
			out = jv_object_set(out, k, rest);
	}
	return jv_put(out, "allowedFqdnList",
	    arm_or(jv_at(given, "allowedFqdnList"), jv_array()));
}

static jv
take_sku(struct draft *d, jv given)
{
	char *name = arm_text(given, "name"), *was;
	long units = arm_number(given, "capacity", 0);
	const struct sku *old;

	jv_free(given);
	d->sku = hub_sku(name);
	if (!d->sku) {
		draft_refuse(d, 400000,
		    "'%s' is not a valid SKU of an IoT hub.", name ? name : "");
		d->sku = hub_sku("S1");
	} else if (units < 1 || units > d->sku->units)
		draft_refuse(d, 400000,
		    "Invalid capacity %ld of SKU %s - value must be between 1 "
		    "and %d.",
		    units, d->sku->name, d->sku->units);
	was = jv_dup_string(jv_path(jv_copy(d->old), "sku.name"));
	old = hub_sku(was);
	if (old && (old == hub_skus) != (d->sku == hub_skus))
		draft_refuse(d, 400000,
		    "A hub cannot be changed from SKU %s to %s.", old->name,
		    d->sku->name);
	free(was);
	free(name);
	return jv_put(
	    jv_put(jv_put(jv_object(), "name", jv_string(d->sku->name)), "tier",
		jv_string(d->sku->tier)),
	    "capacity", jv_number(units));
}

static void
check_hub_name(struct draft *d)
{
	const char *name = d->id->name[0];
	size_t n = strlen(name);
	bool bad =
	    n < 3 || n > 50 ||
	    (name[n - 1] == '-' && sim_doubt_is("hub-name-hyphen", "refused"));

	for (; *name; name++)
		bad |= !isalnum((unsigned char)*name) && *name != '-';
	if (bad)
		draft_refuse(d, 400000,
		    "'%s' is not a valid name of an IoT hub: 3 to 50 letters, "
		    "digits and hyphens.",
		    d->id->name[0]);
}

/* What can be changed at no time (CONTRACT 4.1). */
static void
check_fixed(struct draft *d, jv given, const char *region)
{
	bool was, is;
	jv old = jv_path(jv_copy(d->old), "properties");

	was = arm_is_true(old, "enableDataResidency");
	is = arm_is_true(given, "enableDataResidency");
	if (jv_get_kind(d->old) != JV_KIND_NULL && was != is)
		draft_refuse(d, 400000,
		    "enableDataResidency cannot be changed after the hub was "
		    "created.");
	else if (is && strcmp(region, "brazilsouth") != 0 &&
		 strcmp(region, "southeastasia") != 0)
		draft_refuse(d, 400059,
		    "Requested IoT Hub features '\"DataResidency, "
		    "RootCertificateV2\"' not available in '%s' region.",
		    region);
	jv_free(old);
}

static jv
hub_body(struct draft *d, jv body, const char *region)
{
	jv given = arm_or(arm_member(body, "properties"), jv_object()), out;
	jv sku;

	sku = take_sku(d, arm_member(body, "sku"));
	check_hub_name(d);
	check_fixed(d, given, region);
	d->identity = take_identity(d, arm_member(body, "identity"));
	out = jv_put(jv_object(), "id", jv_string(d->id->id));
	out = jv_put(out, "name", jv_string(d->id->name[0]));
	out = jv_put(out, "type", jv_string("Microsoft.Devices/IotHubs"));
	out = jv_put(out, "location", jv_string(region));
	out =
	    jv_put(out, "tags", arm_or(arm_member(body, "tags"), jv_object()));
	out = jv_put(out, "subscriptionid", jv_string(SIM_SUBSCRIPTION));
	out = jv_put(out, "resourcegroup", jv_string(d->id->group));
	out = jv_put(out, "etag", hub_next_etag(d->s));
	out = jv_put(out, "properties", take_properties(d, given, region));
	out = jv_put(out, "sku", sku);
	out = jv_put(out, "identity", jv_copy(d->identity));
	return jv_put(out, "systemData",
	    arm_or(arm_member(d->old, "systemData"),
		jv_put(jv_object(), "createdAt", arm_time(sim_now(d->s)))));
}

static void
write_row(struct draft *d, jv body)
{
	struct hub_row row = hub_row(d->s, d->id->name[0]);
	int64_t now = sim_now(d->s), over = now;
	jv props = arm_member(body, "properties"),
	   sku = arm_member(body, "sku");

	if (!d->sku)
		bug("hub %s is written before its sku is known", d->id->key);
	if (d->how == ARM_SLOW)
		over += arm_lasts(d->s, row.there ? WORK_UPDATE : WORK_CREATE);
	if (!row.there)
		row.active = over;
	row.busy = over;
	row.gone = 0;
	(void)snprintf(row.key, sizeof row.key, "%s", d->id->key);
	(void)snprintf(row.sku, sizeof row.sku, "%s", d->sku->name);
	row.units = arm_number(sku, "capacity", 1);
	row.local_auth = !arm_is_true(props, "disableLocalAuth");
	hub_row_keep(d->s, d->id->name[0], &row);
	jv_free(props);
	jv_free(sku);
}

/* 409002 while something is under way; null: it may be changed. */
jv
hub_ready(struct sim *s, const char *name)
{
	struct hub_row row = hub_row(s, name);
	struct failover f = failover_last(s, name);
	int64_t now = sim_now(s);

	/* Active again is not yet over (CONTRACT 4.2). */
	if (!row.there || (!row.gone && now >= row.active && now >= row.busy &&
			      !(f.there && now < f.over)))
		return jv_null();
	return hub_fail(s, 409, 409002,
	    "Operation cannot be completed because IotHub %s is not in Active "
	    "state. Please try again later.",
	    name);
}

void
hub_busy(struct sim *s, const char *name, int64_t lasts)
{
	struct hub_row row = hub_row(s, name);

	if (!row.there || sim_doubt_is("children-conflict", "no"))
		return;
	if (row.busy < sim_now(s) + lasts)
		row.busy = sim_now(s) + lasts;
	hub_row_keep(s, name, &row);
}

void
hub_deployed(struct sim *s, const char *name, bool fresh, int64_t over)
{
	struct hub_row row = hub_row(s, name);

	if (!row.there || row.gone)
		return;
	if (fresh)
		row.active = over;
	row.busy = over;
	hub_row_keep(s, name, &row);
}

jv
hub_put(struct sim *s, const struct arm_id *id, const char *api, jv body,
    jv old, enum arm_how how)
{
	struct draft d = { .s = s,
		.id = id,
		.api = api,
		.how = how,
		.old = old,
		.identity = jv_null(),
		.secrets = jv_array(),
		.wrong = hub_ready(s, id->name[0]) };
	char *region = arm_region(arm_member(body, "location"));
	jv list = jv_path(jv_copy(body), "properties.authorizationPolicies");
	jv out = jv_null();

	if (!draft_refused(&d)) {
		out = hub_body(&d, body, region);
		if (!hub_row(s, id->name[0]).there)
			draft_fail(&d, hub_room(s, d.sku->name));
		if (jv_get_kind(list) == JV_KIND_ARRAY)
			policies_check(&d, list);
	}
	jv_free(body);
	if (!draft_refused(&d)) {
		write_row(&d, out);
		secrets_write(&d);
		policies_write(&d, jv_copy(list));
		jv_free(d.wrong);
	} else {
		jv_free(out);
		out = d.wrong;
	}
	jv_free(list);
	jv_free(d.secrets);
	jv_free(d.identity);
	jv_free(old);
	free(region);
	return out;
}

void
hub_born(struct sim *s, const struct arm_id *id)
{
	char *path = xasprintf(
	    "%s/eventHubEndpoints/events/ConsumerGroups/%%24Default", id->id);
	struct arm_id group;

	if (arm_id_parse(s, path, &group)) {
		arm_store(s, &group, consumer_group(s, group.id, "$Default"));
		arm_id_free(&group);
	}
	free(path);
}

jv
hub_view(struct sim *s, const struct arm_id *id, const char *api, jv stored)
{
	struct hub_row row = hub_row(s, id->name[0]);
	struct failover_turns turns = failover_turns(s, id->name[0]);
	const char *state = state_of(s, id->name[0], &row);
	jv props = arm_member(stored, "properties");

	props = jv_put(props, "state", jv_string(state));
	if (strcmp(state, "Active") != 0 &&
	    (strcmp(state, "FailingOver") != 0 ||
		sim_doubt_is("failover-provisioning", "FailingOver")))
		props = jv_put(props, "provisioningState", jv_string(state));
	if (turns.locations % 2)
		props = jv_put(
		    props, "locations", turned(arm_member(props, "locations")));
	if (strcmp(state, "Activating") == 0)
		props = jv_without(props, "hostName");
	else
		props = jv_put(props, "eventHubEndpoints",
		    with_endpoint(s, id, turns.endpoint,
			arm_member(props, "eventHubEndpoints")));
	stored = with_age(stored);
	/* The previews since 2022-11-15 know two generations of certificates
	 * ([rec-lifecycle] 27). */
	if (api && strcmp(api, "2022-11") > 0 && strstr(api, "-preview")) {
		props =
		    jv_put(props, "features", jv_string("RootCertificateV2"));
		props = jv_put(props, "rootCertificate",
		    JV_OBJECT(jv_string("enableRootCertificateV2"), jv_true(),
			jv_string("lastUpdatedTimeUtc"),
			jv_path(jv_copy(stored), "systemData.createdAt")));
	} else
		props = jv_without(props, "rootCertificate");
	/* Cosmos DB endpoints came with the previews of 2022 (CONTRACT 1). */
	if (api && strcmp(api, "2022") < 0) {
		jv routing = arm_member(props, "routing"),
		   all = arm_member(routing, "endpoints");

		props = jv_put(props, "routing",
		    jv_put(routing, "endpoints",
			jv_without(all, "cosmosDBSqlContainers")));
	}
	return jv_put(stored, "properties", props);
}

jv
hub_action(struct sim *s, const struct arm_id *id, jv stored,
    const char *action, jv request)
{
	const char *slash;
	char *name;
	jv list;

	jv_free(stored);
	jv_free(request);
	if (strcasecmp(action, "listkeys") == 0)
		return jv_put(
		    jv_object(), "value", policies_list(s, id->name[0], NULL));
	if (strncasecmp(action, "IotHubKeys/", 11) != 0 ||
	    !(slash = strrchr(action + 11, '/')))
		return jv_null();
	name = xstrndup(action + 11, (size_t)(slash - action - 11));
	list = policies_list(s, id->name[0], name);
	if (jv_array_length(jv_copy(list)) == 0) {
		jv_free(list);
		list = hub_fail(s, 404, 404000,
		    "The access policy '%s' could not be found.", name);
	} else
		list = jv_array_get(list, 0);
	free(name);
	return list;
}
