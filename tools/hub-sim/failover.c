/*
 * failover.c: manual failover and failback of a hub (CONTRACT 6); see
 * failover.h.
 *
 * Tags of a hub are knobs for tests:
 *   hub-sim-failover: fail         the operation ends as Failed
 *   hub-sim-created: 2016-01-31    the hub is that old
 *   hub-sim-deny: failover         the caller lacks the right (resources.c)
 *
 * Numbers of errors are ours but 409002: 400120 a region that is not the
 * paired one, 400121 a hub without one, 400122 a hub that is too old, 400123
 * the free tier, 409020 too often, 500020 a failover that failed.
 */
#include "failover.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "iothubs.h"

const char failover_schema[] =
    "CREATE TABLE IF NOT EXISTS failover ("
    " n INTEGER PRIMARY KEY AUTOINCREMENT, hub TEXT, started INTEGER,"
    " moves INTEGER, cut INTEGER, active INTEGER, over INTEGER,"
    " fails INTEGER, own INTEGER, back INTEGER, settled INTEGER);"
    "CREATE INDEX IF NOT EXISTS failover_by_hub ON failover (hub, n);"
    "CREATE INDEX IF NOT EXISTS failover_due ON failover (active)"
    " WHERE settled = 0;";

enum {
	HOUR_MS = 3600 * 1000,
	DAY_MS = 24 * HOUR_MS,
	PER_DAY = 2, /* and as many back */
};
static const char first_day[] = "2017-05-18";

/* -- what is known ------------------------------------------------------- */

struct failover
failover_last(struct sim *s, const char *hub)
{
	sqlite3_stmt *q = sim_sql(s,
	    "SELECT started, moves, cut, active, over, fails FROM failover"
	    " WHERE hub = ? ORDER BY n DESC LIMIT 1");
	char *key = arm_lower(hub);
	struct failover f = { .there = false };

	sim_bind(q, 1, key);
	free(key);
	if (sim_step(s, q) != SQLITE_ROW)
		return f;
	f.there = true;
	f.started = sqlite3_column_int64(q, 0);
	f.moves = sqlite3_column_int64(q, 1);
	f.cut = sqlite3_column_int64(q, 2);
	f.active = sqlite3_column_int64(q, 3);
	f.over = sqlite3_column_int64(q, 4);
	f.fails = sqlite3_column_int(q, 5) != 0;
	return f;
}

/* One that failed leaves its word for as long again, then support has seen
 * to it. */
const char *
failover_state(const struct failover *f, int64_t now)
{
	if (!f->there)
		return NULL;
	if (now < f->active)
		return "FailingOver";
	if (f->fails && now < f->over + (f->over - f->started) &&
	    sim_doubt_is("failover-failed-state", "FailoverFailed"))
		return "FailoverFailed";
	return NULL;
}

struct failover_turns
failover_turns(struct sim *s, const char *hub)
{
	sqlite3_stmt *q = sim_sql(s,
	    "SELECT total(moves <= ?2), total(active <= ?2) FROM failover"
	    " WHERE hub = ?1 AND NOT fails");
	char *key = arm_lower(hub);
	struct failover_turns t = { 0, 0 };

	sim_bind(q, 1, key);
	(void)sqlite3_bind_int64(q, 2, sim_now(s));
	free(key);
	if (sim_step(s, q) == SQLITE_ROW) {
		t.endpoint = sqlite3_column_int(q, 0);
		t.locations = sqlite3_column_int(q, 1);
		if (t.locations != t.endpoint &&
		    sim_doubt_is("failover-roles", "endpoint"))
			t.locations = t.endpoint;
	}
	return t;
}

void
failover_forget(struct sim *s, const char *hub)
{
	sqlite3_stmt *q = sim_sql(s, "DELETE FROM failover WHERE hub = ?");

	sim_bind(q, 1, hub);
	(void)sim_step(s, q);
	lose_forget(s, hub);
}

/* -- carrying it out ----------------------------------------------------- */

/* The ETag changes with every state (CONTRACT 3.3). */
static void
touch(struct sim *s, const char *hub)
{
	struct hub_row row = hub_row(s, hub);
	struct arm_id id;
	jv body;

	if (!row.there || !arm_id_parse(s, row.key, &id))
		return;
	body = arm_load(s, id.key);
	if (jv_is_valid(body))
		arm_store(s, &id, jv_put(body, "etag", hub_next_etag(s)));
	else
		jv_free(body);
	arm_id_free(&id);
}

void
failover_settle(struct sim *s)
{
	sqlite3_stmt *q =
	    sim_sql(s, "SELECT n, hub, cut, fails FROM failover"
		       " WHERE settled = 0 AND active <= ? ORDER BY n LIMIT 1");
	int64_t n, cut;
	bool fails;
	char *hub;

	(void)sqlite3_bind_int64(q, 1, sim_now(s));
	if (sim_step(s, q) != SQLITE_ROW)
		return;
	n = sqlite3_column_int64(q, 0);
	hub = span_dup(sim_column(q, 1));
	cut = sqlite3_column_int64(q, 2);
	fails = sqlite3_column_int(q, 3) != 0;
	(void)sqlite3_reset(q);
	/* Nothing is thrown away that it needs before it is settled. */
	if (!fails && s->lose_ms > 0)
		lose_since(s, hub, cut - s->lose_ms);
	q = sim_sql(s, "UPDATE failover SET settled = 1 WHERE n = ?");
	(void)sqlite3_bind_int64(q, 1, n);
	(void)sim_step(s, q);
	touch(s, hub);
	free(hub);
	failover_settle(s);
}

/* Is the hub where it was made, or would be after the next failover? */
static bool
is_away(struct sim *s, const char *hub)
{
	return failover_turns(s, hub).locations % 2 != 0;
}

/*
 * Begins one, whatever the rules say; the moment at which it is over.  own:
 * somebody asked for it, so that it counts against what may be done in a day;
 * else it is Microsoft's doing.  The moments keep the proportions of the one
 * drill that was timed.
 */
static int64_t
failover_start(struct sim *s, const struct arm_id *id, bool fails, bool own)
{
	int64_t now = sim_now(s), all = arm_lasts(s, WORK_FAILOVER);
	char *hub = arm_lower(id->name[0]);
	bool back = is_away(s, hub);
	sqlite3_stmt *q = sim_sql(s,
	    "INSERT INTO failover (hub, started, moves, cut, active, over,"
	    " fails, own, back, settled) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, "
	    "0)");

	sim_bind(q, 1, hub);
	(void)sqlite3_bind_int64(q, 2, now);
	(void)sqlite3_bind_int64(q, 3, now + all * 90 / 570);
	(void)sqlite3_bind_int64(q, 4, now + all * 120 / 570);
	(void)sqlite3_bind_int64(q, 5, now + all * 480 / 570);
	(void)sqlite3_bind_int64(q, 6, now + all);
	(void)sqlite3_bind_int(q, 7, fails);
	(void)sqlite3_bind_int(q, 8, own);
	(void)sqlite3_bind_int(q, 9, back);
	(void)sim_step(s, q);
	touch(s, hub);
	free(hub);
	return now + all;
}

/* -- may it? ------------------------------------------------------------- */

/* null, or why the clock forbids it. */
static jv
check_limits(struct sim *s, const char *name, bool back)
{
	int64_t now = sim_now(s), since;
	struct failover last = failover_last(s, name);
	int status = sim_doubt_is("failover-limit", "409")   ? 409
		     : sim_doubt_is("failover-limit", "429") ? 429
							     : 400;
	sqlite3_stmt *q = sim_sql(s,
	    "SELECT count(*) FROM failover WHERE hub = ? AND started > ?"
	    " AND back = ? AND own AND NOT fails");
	char *key = arm_lower(name);
	int count = 0;

	since = sim_doubt_is("failover-day", "rolling")
		    ? now - DAY_MS
		    : now - now % DAY_MS - 1;
	sim_bind(q, 1, key);
	(void)sqlite3_bind_int64(q, 2, since);
	(void)sqlite3_bind_int(q, 3, back);
	free(key);
	if (sim_step(s, q) == SQLITE_ROW)
		count = sqlite3_column_int(q, 0);
	if (last.there &&
	    now < (sim_doubt_is("failover-hour", "end") ? last.over
							: last.started) +
		      HOUR_MS)
		return hub_fail(s, status, 409020,
		    "The IotHub %s had a failover less than an hour ago. Back "
		    "to back failover and failback operations are not allowed.",
		    name);
	if (count >= PER_DAY)
		return hub_fail(s, status, 409020,
		    "The IotHub %s had the %d successful %s that it may have "
		    "in a day.",
		    name, PER_DAY, back ? "failbacks" : "failovers");
	return jv_null();
}

static bool
is_tagged(jv body, const char *tag, const char *value)
{
	char *is = jv_dup_string(jv_at(jv_path(jv_copy(body), "tags"), tag));
	bool yes = is && strcasecmp(is, value) == 0;

	free(is);
	return yes;
}

static jv
check_age(struct sim *s, jv shown, const char *name)
{
	char *since =
	    jv_dup_string(jv_path(jv_copy(shown), "systemData.createdAt"));
	jv e = jv_null();

	if (since && strncmp(since, first_day, 10) < 0)
		e = hub_fail(s, 400, 400122,
		    "The IotHub %s was created before manual failover was "
		    "available.",
		    name);
	free(since);
	return e;
}

/* The title of the location with that role; malloc'd, NULL: none. */
static char *
located(jv shown, const char *role)
{
	jv all = jv_path(jv_copy(shown), "properties.locations");
	char *title = NULL;

	jv_array_foreach(all, i, one) {
		if (!title && jv_string_is(jv_at(jv_copy(one), "role"), role))
			title = arm_text(one, "location");
		jv_free(one);
	}
	jv_free(all);
	return title;
}

static bool
same_region(const char *given, const char *title)
{
	char *a, *b;
	bool same;

	if (strcasecmp(given, title) == 0)
		return true;
	if (sim_doubt_is("failover-region-name", "display"))
		return false;
	a = arm_region(jv_string(given));
	b = arm_region(jv_string(title));
	same = a && b && strcmp(a, b) == 0;
	free(a);
	free(b);
	return same;
}

static jv
check_region(struct sim *s, jv shown, const char *name, const char *given)
{
	char *pair = located(shown, "secondary");
	jv e = jv_null();

	if (!pair)
		e = hub_fail(s, 400, 400121,
		    "The IotHub %s has no secondary location that it could "
		    "fail over to.",
		    name);
	else if (!given || !same_region(given, pair))
		e = hub_fail(s,
		    sim_doubt_is("failover-region", "409") ? 409 : 400, 400120,
		    "Invalid failoverRegion '%s' - the secondary location of "
		    "the IotHub %s is '%s'.",
		    given ? given : "", name, pair);
	free(pair);
	return e;
}

/* null, or the first reason against it. */
static jv
check(struct sim *s, const struct arm_id *id, jv shown, const char *region)
{
	const char *name = id->name[0];
	struct hub_row row = hub_row(s, name);
	jv e = arm_denied(s, id, "failover");

	if (jv_is_valid(e))
		e = hub_ready(s, name);
	if (jv_is_valid(e))
		e = check_age(s, shown, name);
	if (jv_is_valid(e) && strcmp(row.sku, "F1") == 0 &&
	    sim_doubt_is("failover-free-tier", "refused"))
		e = hub_fail(s, 400, 400123,
		    "Manual failover is not available for the free IotHub %s.",
		    name);
	if (jv_is_valid(e))
		e = check_region(s, shown, name, region);
	return jv_is_valid(e) ? check_limits(s, name, is_away(s, name)) : e;
}

static void
begin(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const struct arm_id *id, jv shown)
{
	bool fails = is_tagged(shown, "hub-sim-failover", "fail");
	char *region = arm_text(shown, "location"), *base;
	int64_t over = failover_start(s, id, fails, true);
	jv end = fails ? hub_fail(s, 500, 500020,
			     "The failover of the IotHub %s failed. The hub is "
			     "where it was.",
			     id->name[0])
		       : jv_null();

	base = hub_operation_base(region);
	arm_operation_for(
	    s, q, r, 202, base, end, true, true, over - sim_now(s));
	free(base);
	free(region);
}

void
failover_handle(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const struct arm_id *id)
{
	jv body = arm_parse(q->body), shown, e;
	char *region;

	if (!jv_is_valid(body)) {
		arm_refuse(r, body);
		return;
	}
	region = arm_text(body, "failoverRegion");
	shown = arm_resource(s, id->id);
	e = check(s, id, shown, region);
	if (jv_is_valid(e))
		begin(s, q, r, id, shown);
	else
		arm_refuse(r, jv_copy(e));
	jv_free(e);
	jv_free(shown);
	jv_free(body);
	free(region);
}

bool
failover_by_microsoft(struct sim *s, const char *hub)
{
	struct hub_row row;
	struct arm_id id;
	jv shown, busy;
	char *pair;
	bool can;

	hub_reap(s);
	row = hub_row(s, hub);
	if (!row.there || !arm_id_parse(s, row.key, &id))
		return false;
	shown = arm_resource(s, row.key);
	busy = hub_ready(s, hub);
	pair = located(shown, "secondary");
	can = pair && jv_is_valid(busy);
	if (can)
		(void)failover_start(s, &id, false, false);
	free(pair);
	jv_free(busy);
	jv_free(shown);
	arm_id_free(&id);
	return can;
}
