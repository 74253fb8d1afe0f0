/*
 * limits.c: what a tier lacks and how many hubs there may be (annex A), and
 * the size that --sku gives a hub.  How many devices, modules, configurations,
 * endpoints and routes a hub may have is counted where they are made.
 */
#include "iothubs.h"
#include "throttle.h"

#include <stdlib.h>
#include <strings.h>

enum { HUBS = 50, FREE_HUBS = 1 };

/* Jobs that move the registry are for all tiers, the scheduled ones
 * (/jobs/v2) are not. */
static bool
is_scheduled_job(const struct visit *v, const char *room)
{
	char *word = strcmp(room, "jobs") == 0 ? sim_segment(v->q, 1) : NULL;
	bool is = word && strcmp(word, "v2") == 0;

	free(word);
	return is;
}

/* What is below /devices and yet no matter of identities. */
static bool
is_more_than_identity(const struct visit *v, const char *room)
{
	char *id, *word;
	bool is = false;

	if (strcmp(room, "devices") != 0)
		return false;
	id = sim_segment(v->q, 1);
	word = sim_segment(v->q, 2);
	if (word)
		is = strcmp(word, "applyConfigurationContent") == 0 ||
		     strcmp(word, "commands") == 0;
	else if (id && strcmp(id, "query") == 0)
		is = sim_doubt_is("basic-query", "refused") &&
		     strcmp(v->q->method, "POST") == 0;
	free(id);
	free(word);
	return is;
}

int
tier_check(struct visit *v, const char *room, struct refusal *f)
{
	if (v->hub.sku[0] != 'B')
		return 0;
	if (strcmp(room, "twins") != 0 && strcmp(room, "configurations") != 0 &&
	    !is_scheduled_job(v, room) && !is_more_than_identity(v, room))
		return 0;
	return refuse(f, NOT_IN_TIER,
	    "The operation is not available in the tier %s", v->hub.sku);
}

jv
hub_room(struct sim *s, const char *sku)
{
	sqlite3_stmt *q =
	    sim_sql(s, "SELECT count(*), total(sku = 'F1') FROM hub"
		       " WHERE gone = 0 OR gone > ?");
	int hubs = 0, free_hubs = 0;

	(void)sqlite3_bind_int64(q, 1, sim_now(s));
	if (sim_step(s, q) == SQLITE_ROW) {
		hubs = sqlite3_column_int(q, 0);
		free_hubs = sqlite3_column_int(q, 1);
	}
	if (strcasecmp(sku, "F1") == 0 && free_hubs >= FREE_HUBS)
		return hub_fail(s, 400, 400019,
		    "Max number of Iot Hubs exceeded for sku = Free, Max "
		    "Allowed = %d, Current = %d in the subscription "
		    "Id: " SIM_SUBSCRIPTION ".",
		    FREE_HUBS, free_hubs);
	if (hubs >= HUBS)
		return hub_fail(s, 400, 400019,
		    "Max number of Iot Hubs exceeded, Max Allowed = %d, "
		    "Current = %d in the subscription Id: " SIM_SUBSCRIPTION
		    ".",
		    HUBS, hubs);
	return jv_null();
}

/* ---- --sku ---- */

int
sku_option(struct sim *s, const char *text, struct err *e)
{
	size_t len = strcspn(text, ":");
	char *name = xstrndup(text, len), *end = NULL;
	const struct sku *sku = hub_sku(name);
	long units = text[len] ? strtol(text + len + 1, &end, 10) : 1;
	bool bad = text[len] && (end == text + len + 1 || *end);

	free(name);
	if (!sku)
		return err_set(e, BAD_USAGE, text,
		    "no hub has this SKU (they are F1, B1, B2, B3, S1, S2, "
		    "S3)");
	if (bad || units < 1 || units > sku->units)
		return err_set(e, BAD_USAGE, text,
		    "a hub of %s has 1 to %d units", sku->name, sku->units);
	s->sku = sku->name;
	s->sku_units = units;
	return 0;
}

/* A number of the built-in endpoint, no more than the SKU has. */
static jv
clamp(jv events, const char *name, int fewest, int most)
{
	long n = arm_number(events, name, 0);

	if (n == 0 || (n >= fewest && n <= most))
		return events;
	return jv_put(events, name, jv_number(n < fewest ? fewest : most));
}

jv
sku_apply(const struct sim *s, jv body)
{
	const struct sku *sku = s->sku ? hub_sku(s->sku) : NULL;
	jv properties, endpoints, events;

	if (!sku || jv_get_kind(body) != JV_KIND_OBJECT)
		return body;
	body = jv_put(body, "sku",
	    jv_put(jv_put(jv_put(jv_object(), "name", jv_string(sku->name)),
		       "tier", jv_string(sku->tier)),
		"capacity", jv_number((double)s->sku_units)));
	properties = arm_member(body, "properties");
	endpoints = arm_member(properties, "eventHubEndpoints");
	events = arm_member(endpoints, "events");
	if (jv_get_kind(events) == JV_KIND_OBJECT) {
		events =
		    clamp(events, "partitionCount", sku->fewest, sku->most);
		events = clamp(events, "retentionTimeInDays", 1, sku->days);
		endpoints = jv_put(endpoints, "events", events);
		properties = jv_put(properties, "eventHubEndpoints", endpoints);
		body = jv_put(body, "properties", properties);
	} else {
		jv_free(events);
		jv_free(endpoints);
		jv_free(properties);
	}
	return body;
}
