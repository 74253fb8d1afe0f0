/*
 * lose.c: --lose, the minutes that a failover loses (CONTRACT 6, 0 to 5 min);
 * see failover.h.
 *
 * While the option is on, triggers write to NAME_was what a row of registry
 * and configuration was before each change, or that there was none.  They know
 * the columns from the tables themselves, as those of a file that an earlier
 * run left behind are.
 */
#include "failover.h"

#include "registry.h"

#include <stdio.h>
#include <stdlib.h>

static const struct watched {
	const char *table;
	const char *keys; /* beside hub */
} all[] = { { "registry", "id, module" }, { "configuration", "id" } };

enum { TABLES = sizeof all / sizeof *all, MOST_MS = 300 * 1000 };

static void
now_in_sql(sqlite3_context *c, int n, sqlite3_value **args)
{
	(void)n;
	(void)args;
	sqlite3_result_int64(c, sim_now(sqlite3_user_data(c)));
}

/* "seq, hub, id", each with that before it; "" if there is no such table. */
static void
columns(struct sim *s, const char *table, const char *before, struct buf *out)
{
	char *text =
	    xasprintf("SELECT name FROM pragma_table_info('%s')", table);
	sqlite3_stmt *q = NULL;

	if (sqlite3_prepare_v2(s->db, text, -1, &q, NULL) == SQLITE_OK)
		while (sqlite3_step(q) == SQLITE_ROW)
			buf_printf(out, "%s%s%s", out->len ? ", " : "", before,
			    (const char *)sqlite3_column_text(q, 0));
	(void)sqlite3_finalize(q);
	free(text);
}

/* One trigger: after what (INSERT, UPDATE, DELETE), with which side of it. */
static void
trigger(struct sim *s, const char *table, const char *event, bool had,
    struct buf *sql)
{
	struct buf list = BUF_INIT;

	columns(s, table, had ? "OLD." : "NEW.", &list);
	buf_printf(sql,
	    "CREATE TRIGGER %s_%s AFTER %s ON %s BEGIN"
	    " INSERT INTO %s_was SELECT sim_now(), %d, %s;"
	    /* What no failover can want any more. */
	    " DELETE FROM %s_was WHERE at_ms < sim_now() - %d"
	    " AND NOT EXISTS (SELECT 1 FROM failover WHERE settled = 0);"
	    "END;",
	    table, event, event, table, table, had, list.at, table, MOST_MS);
	buf_free(&list);
}

int
lose_watch(struct sim *s, struct err *e)
{
	static const char *const events[] = { "INSERT", "UPDATE", "DELETE" };
	struct buf sql = BUF_INIT;
	int bad;

	for (int i = 0; i < TABLES; i++)
		for (int k = 0; k < 3; k++)
			buf_printf(&sql, "DROP TRIGGER IF EXISTS %s_%s;",
			    all[i].table, events[k]);
	for (int i = 0; i < TABLES && s->lose_ms > 0; i++) {
		buf_printf(&sql,
		    "CREATE TABLE IF NOT EXISTS %s_was AS"
		    " SELECT 0 AS at_ms, 0 AS had, * FROM %s WHERE 0;"
		    "CREATE INDEX IF NOT EXISTS %s_was_at ON %s_was (at_ms);",
		    all[i].table, all[i].table, all[i].table, all[i].table);
		for (int k = 0; k < 3; k++)
			trigger(s, all[i].table, events[k], k > 0, &sql);
	}
	bad = sqlite3_create_function(s->db, "sim_now", 0, SQLITE_UTF8, s,
		  now_in_sql, NULL, NULL) != SQLITE_OK ||
	      sqlite3_exec(s->db, sql.at, NULL, NULL, NULL) != SQLITE_OK;
	buf_free(&sql);
	return bad ? err_set(e, LOCAL_FAILURE, "--lose", "%s",
			 sqlite3_errmsg(s->db))
		   : 0;
}

/* Not sim_sql(), whose texts are literals; a failure counts all the same. */
static void
run(struct sim *s, const char *hub, int64_t moment, const char *text)
{
	sqlite3_stmt *q = NULL;

	if (sqlite3_prepare_v2(s->db, text, -1, &q, NULL) != SQLITE_OK)
		bug("%s: %s", sqlite3_errmsg(s->db), text);
	sim_bind(q, 1, hub);
	if (sqlite3_bind_parameter_count(q) > 1)
		(void)sqlite3_bind_int64(q, 2, moment);
	(void)sim_step(s, q);
	(void)sqlite3_finalize(q);
}

/* What was changed since then goes, and the first thing that was noted of it
 * since then comes back; that it goes is noted too, but later. */
static void
restore(struct sim *s, const struct watched *w, const char *hub, int64_t moment)
{
	struct buf list = BUF_INIT, sql = BUF_INIT;

	columns(s, w->table, "", &list);
	buf_printf(&sql,
	    "DELETE FROM %s WHERE hub = ?1 AND (%s) IN"
	    " (SELECT %s FROM %s_was WHERE hub = ?1 AND at_ms > ?2)",
	    w->table, w->keys, w->keys, w->table);
	run(s, hub, moment, sql.at);
	buf_clear(&sql);
	buf_printf(&sql,
	    "INSERT INTO %s (%s) SELECT %s FROM %s_was WHERE had AND rowid IN"
	    " (SELECT min(rowid) FROM %s_was WHERE hub = ?1 AND at_ms > ?2"
	    " GROUP BY %s)",
	    w->table, list.at, list.at, w->table, w->table, w->keys);
	run(s, hub, moment, sql.at);
	buf_free(&list);
	buf_free(&sql);
}

void
lose_since(struct sim *s, const char *hub, int64_t moment)
{
	struct visit v = { .s = s, .now = sim_now(s) };

	for (int i = 0; i < TABLES; i++)
		restore(s, &all[i], hub, moment);
	lose_forget(s, hub);
	(void)snprintf(v.hub.name, sizeof v.hub.name, "%s", hub);
	configurations_changed(&v);
}

void
lose_forget(struct sim *s, const char *hub)
{
	if (s->lose_ms <= 0)
		return;
	for (int i = 0; i < TABLES; i++) {
		char *text = xasprintf(
		    "DELETE FROM %s_was WHERE hub = ?1", all[i].table);

		run(s, hub, 0, text);
		free(text);
	}
}
