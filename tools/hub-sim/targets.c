/*
 * targets.c: configurations are applied to the twins that their conditions
 * choose, in the background (CONTRACT 15).
 *
 * A twin is settled some time after it is new or has other tags; all twins of
 * a hub are, in a scan, after a configuration was made, changed or deleted.
 * What is settled: the desired properties are what all configurations that
 * choose the twin say, the one of highest priority last; and it is kept
 * whether each was applied or only targeted (query: configurations.[[id]]
 * .status).  A second kind of scan then counts what metrics ask for.  Both
 * stop after a slice of time and go on from where they stopped, so that a
 * million devices hold up nobody; a hub without configurations costs a bulk
 * call one look.
 *
 * Edge deployments: of the base deployments only the one of highest priority
 * is applied, then the layers whose priority is higher still.  Their state is
 * kept with $edgeAgent, as the service's own metrics have it.
 */
#include "query.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "monotonic.h"
#include "store.h"

enum {
	MOST = 128,  /* configurations of a hub; it takes 100 */
	BATCH = 128, /* rows between two looks at the time */
	SLICE = 5,   /* real milliseconds */
	FAST = 50,   /* simulated: until something is done with --timing=fast */
	MADE = 30 * 1000,     /* with --timing=real, after a configuration */
	MARKED = 300 * 1000,  /* after a twin: "at five minute intervals" */
	COUNTED = 300 * 1000, /* until metrics show it */
};
enum { APPLYING, COUNTING };

/* What is asked for from outside. */

static bool
is_configured(struct visit *v)
{
	sqlite3_stmt *q;

	if (v->configured == CONFIGURED_MAYBE) {
		q = sim_sql(
		    v->s, "SELECT 1 FROM target_number WHERE hub = ? LIMIT 1");
		sim_bind(q, 1, v->hub.name);
		v->configured = sim_step(v->s, q) == SQLITE_ROW ? CONFIGURED_YES
								: CONFIGURED_NO;
	}
	return v->configured == CONFIGURED_YES;
}

void
configurations_mark(struct visit *v, int64_t seq)
{
	sqlite3_stmt *q;

	if (!is_configured(v))
		return;
	q = sim_sql(v->s, "INSERT OR IGNORE INTO target_due VALUES (?, ?, ?)");
	(void)sqlite3_bind_int64(q, 1, v->now + sim_lasts(v->s, FAST, MARKED));
	(void)sqlite3_bind_int64(q, 2, seq);
	sim_bind(q, 3, v->hub.name);
	(void)sim_step(v->s, q);
	sim_wake(v->s);
}

void
configurations_unmark(struct visit *v, const char *id, const char *module)
{
	sqlite3_stmt *q;

	if (!is_configured(v))
		return;
	q = sim_sql(v->s,
	    "DELETE FROM target WHERE seq IN (SELECT seq FROM registry "
	    "WHERE hub = ?1 AND id = ?2 AND (?3 = '' OR module = ?3))");
	sim_bind(q, 1, v->hub.name);
	sim_bind(q, 2, id);
	sim_bind(q, 3, module);
	(void)sim_step(v->s, q);
}

/* What has begun begins again. */
static void
schedule(struct visit *v, int what, int64_t wait)
{
	sqlite3_stmt *q = sim_sql(v->s,
	    "INSERT INTO target_scan VALUES (?1, ?2, ?3, '', '') "
	    "ON CONFLICT (hub, what) DO UPDATE SET id = '', module = '', "
	    "at = CASE WHEN id = '' THEN min(at, ?3) ELSE ?3 END");

	sim_bind(q, 1, v->hub.name);
	(void)sqlite3_bind_int(q, 2, what);
	(void)sqlite3_bind_int64(q, 3, v->now + wait);
	(void)sim_step(v->s, q);
}

void
configurations_changed(struct visit *v)
{
	static const char *const texts[] = {
		"INSERT OR IGNORE INTO target_gone SELECT number FROM "
		"target_number AS n WHERE hub = ?1 AND NOT EXISTS (SELECT 1 "
		"FROM configuration AS c WHERE c.hub = n.hub AND c.id = n.id)",
		"DELETE FROM target_number WHERE hub = ?1 AND number IN "
		"(SELECT number FROM target_gone)",
		"INSERT OR IGNORE INTO target_number (hub, id) "
		"SELECT hub, id FROM configuration WHERE hub = ?1"
	};

	for (int i = 0; i < 3; i++) {
		sqlite3_stmt *q = sim_sql(v->s, texts[i]);

		sim_bind(q, 1, v->hub.name);
		(void)sim_step(v->s, q);
	}
	v->configured = CONFIGURED_MAYBE;
	schedule(v, APPLYING, sim_lasts(v->s, FAST, MADE));
	sim_wake(v->s);
}

bool
configurations_of(struct visit *v, int64_t seq, struct buf *out)
{
	sqlite3_stmt *q;
	bool any = false;

	buf_char(out, '{');
	if (is_configured(v)) {
		q = sim_sql(v->s, "SELECT n.id, t.applied FROM target AS t "
				  "JOIN target_number AS n USING (number) "
				  "WHERE t.seq = ? ORDER BY n.id");
		(void)sqlite3_bind_int64(q, 1, seq);
		while (sim_step(v->s, q) == SQLITE_ROW) {
			if (any)
				buf_char(out, ',');
			buf_json(
			    out, sim_column(q, 0).at, sim_column(q, 0).len);
			buf_text(out, sqlite3_column_int(q, 1)
					  ? ":{\"status\":\"Applied\"}"
					  : ":{\"status\":\"Targeted\"}");
			any = true;
		}
	}
	buf_char(out, '}');
	return any;
}

void
configurations_forget(struct sim *s, const char *hub)
{
	static const char *const texts[] = {
		"INSERT OR IGNORE INTO target_gone SELECT number FROM "
		"target_number WHERE hub = ?",
		"DELETE FROM target_number WHERE hub = ?",
		"DELETE FROM target_due WHERE hub = ?",
		"DELETE FROM target_scan WHERE hub = ?",
	};

	sim_of_hub(s, texts, sizeof texts / sizeof *texts, hub);
	sim_wake(s);
}

/* The configurations of one hub, as a slice needs them. */

enum kind { KIND_DEVICE, KIND_MODULE, KIND_BASE, KIND_LAYER };

struct metric {
	bool system;
	char *name;
	struct query query;
	int64_t number;
	long count;
};

struct config {
	int64_t number;
	enum kind kind;
	char *text;          /* all of its content */
	struct span content; /* what is below the kind's name */
	bool nobody;         /* its condition chooses nothing */
	struct query query;
	bool targeted, applied; /* of the twin that is looked at */
};

struct plan {
	struct visit v;
	struct config config[MOST]; /* the highest priority first */
	int count;
	bool has[KIND_LAYER + 1];
	struct metric *metric;
	size_t metrics;
};

static bool
is_edge(const struct config *c)
{
	return c->kind == KIND_BASE || c->kind == KIND_LAYER;
}

static bool
is_layer(struct span modules)
{
	struct each e, k;

	for (each_begin(&e, modules); each_next(&e);)
		for (each_begin(&k, e.value); each_next(&k);)
			if (span_is(k.name, "properties.desired"))
				return false;
	return true;
}

static void
read_content(struct config *c)
{
	struct span text = span_of(c->text);

	c->kind = KIND_DEVICE;
	c->content = object_get(text, "deviceContent");
	if (c->content.len && *c->content.at == '{')
		return;
	c->kind = KIND_MODULE;
	c->content = object_get(text, "moduleContent");
	if (c->content.len && *c->content.at == '{')
		return;
	c->content = object_get(text, "modulesContent");
	c->kind = is_layer(c->content) ? KIND_LAYER : KIND_BASE;
}

/* An empty condition chooses nothing; and what is for devices is not for
 * modules. */
static void
read_condition(struct config *c, struct span condition)
{
	char *text = json_string(condition);
	struct refusal f;

	c->nobody =
	    !text || !*text || query_parse_condition(text, &c->query, &f);
	if (text && strcmp(text, "*") == 0 && c->kind == KIND_MODULE)
		c->query.source = FROM_MODULES;
	c->nobody = c->nobody || (c->query.source == FROM_MODULES) !=
				     (c->kind == KIND_MODULE);
	free(text);
}

static void
add_metric(struct plan *p, int64_t number, bool system, const char *name,
    const char *query)
{
	struct metric m = { .number = number, .system = system };
	struct refusal f;

	if (query_parse(query, &m.query, &f)) {
		query_free(&m.query);
		return;
	}
	m.name = xstrdup(name);
	p->metric = xrealloc(p->metric, (p->metrics + 1) * sizeof m);
	p->metric[p->metrics++] = m;
}

static void
read_metrics(struct plan *p, const struct config *c, struct span queries)
{
	struct each e;

	for (each_begin(&e, queries); each_next(&e);) {
		char *query = json_string(e.value),
		     *name = json_string(
			 (struct span){ e.name.at - 1, e.name.len + 2 });

		if (query && name)
			add_metric(p, c->number, false, name, query);
		free(query);
		free(name);
	}
}

/* Edge devices report how they fared (CONTRACT 15, the example). */
static void
add_reports(struct plan *p, const struct config *c, const char *id)
{
	static const char *const names[] = { "reportedFailedCount",
		"!=", "reportedSuccessfulCount", "=" };

	for (int i = 0; i < 4; i += 2) {
		char *query = xasprintf(
		    "select deviceId from devices.modules where moduleId = "
		    "'$edgeAgent' and configurations.[[%s]].status = 'Applied' "
		    "and properties.desired.$version = "
		    "properties.reported.lastDesiredVersion and "
		    "properties.reported.lastDesiredStatus.code %s 200",
		    id, names[i + 1]);

		add_metric(p, c->number, true, names[i], query);
		free(query);
	}
}

static void
plan_open(struct plan *p, struct sim *s, const char *hub, bool metrics)
{
	sqlite3_stmt *q;

	memset(p, 0, sizeof *p);
	p->v.s = s;
	p->v.now = sim_now(s);
	if (!sim_hub_find(s, hub, &p->v.hub))
		return;
	q = sim_sql(s,
	    "SELECT n.number, c.content, c.condition, c.metrics, c.id "
	    "FROM configuration AS c JOIN target_number AS n ON "
	    "n.hub = c.hub AND n.id = c.id WHERE c.hub = ?1 ORDER BY "
	    "CAST(coalesce(c.priority, '0') AS INTEGER) DESC, n.number * ?2");
	sim_bind(q, 1, p->v.hub.name);
	(void)sqlite3_bind_int(
	    q, 2, sim_doubt_is("configuration-tie", "newest") ? -1 : 1);
	while (p->count < MOST && sim_step(s, q) == SQLITE_ROW) {
		struct config *c = &p->config[p->count++];

		c->number = sqlite3_column_int64(q, 0);
		c->text = span_dup(sim_column(q, 1));
		read_content(c);
		read_condition(c, sim_column(q, 2));
		p->has[c->kind] = true;
		if (metrics && is_edge(c)) {
			char *id = span_dup(sim_column(q, 4));

			add_reports(p, c, id);
			free(id);
		}
		if (metrics && sim_column(q, 3).len)
			read_metrics(
			    p, c, object_get(sim_column(q, 3), "queries"));
	}
}

static void
plan_close(struct plan *p)
{
	for (int i = 0; i < p->count; i++) {
		free(p->config[i].text);
		query_free(&p->config[i].query);
	}
	for (size_t i = 0; i < p->metrics; i++) {
		free(p->metric[i].name);
		query_free(&p->metric[i].query);
	}
	free(p->metric);
}

/* Settling one twin. */

/* Marks what chooses that row, of one kind or of both Edge kinds. */
static int
choose(struct plan *p, const struct row *row, enum kind kind)
{
	int n = 0;

	for (int i = 0; i < p->count; i++) {
		struct config *c = &p->config[i];

		c->targeted = c->applied = false;
		if (kind == KIND_BASE ? !is_edge(c) : c->kind != kind)
			continue;
		c->targeted =
		    !c->nobody && query_matches(&p->v, &c->query, row);
		n += c->targeted;
	}
	return n;
}

/* Is that key, or what it lies in, set by one of higher priority? */
static bool
is_shadowed(struct plan *p, int i, struct span key)
{
	for (int k = 0; k < i; k++) {
		struct each e;

		if (!p->config[k].targeted ||
		    p->config[k].kind != p->config[i].kind)
			continue;
		for (each_begin(&e, p->config[k].content); each_next(&e);)
			if (e.name.len <= key.len &&
			    memcmp(e.name.at, key.at, e.name.len) == 0 &&
			    (e.name.len == key.len ||
				key.at[e.name.len] == '.'))
				return true;
	}
	return false;
}

static bool
says_something(struct plan *p, int i)
{
	struct each e;

	for (each_begin(&e, p->config[i].content); each_next(&e);)
		if (!is_shadowed(p, i, e.name))
			return true;
	return false;
}

/* All that are to be applied, the highest last, into what is there. */
static bool
settle_desired(struct plan *p, struct row *row)
{
	struct buf now = BUF_INIT;
	struct refusal f;
	bool ok = true;

	buf_span(&now, row->desired);
	for (int i = p->count - 1; i >= 0; i--) {
		struct buf next = BUF_INIT;

		if (!p->config[i].applied)
			continue;
		if (content_set(buf_peek(&now), p->config[i].content, &next)) {
			p->config[i].applied = false;
			buf_free(&next);
			continue;
		}
		buf_free(&now);
		now = next;
	}
	if (!json_same(buf_peek(&now), row->desired))
		ok = twin_set_desired(&p->v, row, buf_peek(&now), false, &f) ==
		     0;
	buf_free(&now);
	return ok;
}

/* Only what differs from before is written. */
static void
keep_states(struct plan *p, int64_t seq, enum kind kind)
{
	struct sim *s = p->v.s;
	int64_t number[2 * MOST];
	bool applied[2 * MOST];
	int n = 0;
	sqlite3_stmt *q =
	    sim_sql(s, "SELECT number, applied FROM target WHERE seq = ?");

	(void)sqlite3_bind_int64(q, 1, seq);
	while (n < 2 * MOST && sim_step(s, q) == SQLITE_ROW) {
		number[n] = sqlite3_column_int64(q, 0);
		applied[n++] = sqlite3_column_int(q, 1);
	}
	for (int i = 0; i < p->count; i++) {
		const struct config *c = &p->config[i];
		int k = 0;

		if (kind == KIND_BASE ? !is_edge(c) : c->kind != kind)
			continue;
		while (k < n && number[k] != c->number)
			k++;
		if (!c->targeted && k < n) {
			q = sim_sql(s, "DELETE FROM target WHERE number = ? "
				       "AND seq = ?");
		} else if (c->targeted &&
			   (k == n || applied[k] != c->applied)) {
			q = sim_sql(s,
			    "INSERT OR REPLACE INTO target VALUES (?, ?, ?)");
			(void)sqlite3_bind_int(q, 3, c->applied);
		} else {
			continue;
		}
		(void)sqlite3_bind_int64(q, 1, c->number);
		(void)sqlite3_bind_int64(q, 2, seq);
		(void)sim_step(s, q);
	}
}

static void
settle_twin(struct plan *p, struct row *row, enum kind kind)
{
	if (!p->has[kind])
		return;
	if (choose(p, row, kind)) {
		for (int i = 0; i < p->count; i++)
			p->config[i].applied =
			    p->config[i].targeted && says_something(p, i);
		if (!settle_desired(p, row))
			for (int i = 0; i < p->count; i++)
				p->config[i].applied = false;
	}
	keep_states(p, row->seq, kind);
}

/* Edge deployments. */

/* The base is the first of its kind; a layer below it is not applied. */
static const struct config *
choose_base(struct plan *p)
{
	const struct config *base = NULL;

	for (int i = 0; i < p->count; i++)
		if (p->config[i].targeted && p->config[i].kind == KIND_BASE) {
			base = &p->config[i];
			break;
		}
	for (int i = 0; base && i < p->count; i++) {
		struct config *c = &p->config[i];

		c->applied = c == base || (c->targeted && c < base);
	}
	return base;
}

/* What a module is to have: the base's, and the layers upon it. */
static void
module_desired(
    struct plan *p, struct span module, struct span there, struct buf *out)
{
	buf_span(out, there);
	for (int i = p->count - 1; i >= 0; i--) {
		struct span content = { NULL, 0 };
		struct buf next = BUF_INIT;
		struct each e;

		if (!p->config[i].applied)
			continue;
		for (each_begin(&e, p->config[i].content); each_next(&e);)
			if (e.name.len == module.len &&
			    memcmp(e.name.at, module.at, module.len) == 0)
				content = e.value;
		if (!content.at || content_set(buf_peek(out), content, &next)) {
			buf_free(&next);
			continue;
		}
		buf_free(out);
		*out = next;
	}
}

static int
settle_module(struct plan *p, const char *id, struct span name)
{
	char module[136];
	struct row row;
	struct buf desired = BUF_INIT;
	struct refusal f;
	int result = 0;

	span_copy(name, module, sizeof module);
	if (deployed_module(&p->v, id, module, &f) ||
	    !row_find(&p->v, id, module, &row))
		return -1;
	module_desired(p, name, row.desired, &desired);
	if (!json_same(buf_peek(&desired), row.desired)) {
		result = twin_set_desired(
		    &p->v, &row, buf_peek(&desired), false, &f);
		/* What the agent runs is there, whether set up or not. */
		if (result == 0 && span_is(name, "$edgeAgent"))
			result =
			    deployed_modules(&p->v, id, buf_peek(&desired), &f);
	}
	buf_free(&desired);
	return result;
}

static void
settle_edge(struct plan *p, const struct row *device)
{
	struct row agent;
	char id[136];
	int result = 0;

	if ((!p->has[KIND_BASE] && !p->has[KIND_LAYER]) || !device->edge)
		return;
	span_copy(device->id, id, sizeof id);
	if (choose(p, device, KIND_BASE) && choose_base(p)) {
		sim_savepoint(p->v.s);
		for (int i = p->count - 1; result == 0 && i >= 0; i--) {
			struct each e;

			if (!p->config[i].applied)
				continue;
			each_begin(&e, p->config[i].content);
			while (result == 0 && each_next(&e))
				result = settle_module(p, id, e.name);
		}
		if (result) {
			sim_rollback(p->v.s);
			for (int i = 0; i < p->count; i++)
				p->config[i].applied = false;
		} else {
			sim_release(p->v.s);
		}
	}
	if (row_find(&p->v, id, "$edgeAgent", &agent))
		keep_states(p, agent.seq, KIND_BASE);
}

static bool
row_at(struct plan *p, int64_t seq, struct row *row)
{
	sqlite3_stmt *q = sim_sql(
	    p->v.s, "SELECT " ROW_COLUMNS " FROM registry WHERE seq = ?");

	(void)sqlite3_bind_int64(q, 1, seq);
	if (sim_step(p->v.s, q) != SQLITE_ROW)
		return false;
	row_read(q, row);
	return true;
}

static void
settle(struct plan *p, int64_t seq)
{
	struct row row;

	if (!row_at(p, seq, &row))
		return;
	if (row.module.len) {
		settle_twin(p, &row, KIND_MODULE);
		return;
	}
	settle_edge(p, &row);
	/* Its spans are those of the statement, which nobody has used. */
	settle_twin(p, &row, KIND_DEVICE);
}

/* Counting. */

static void
count_row(struct plan *p, int64_t seq)
{
	struct row row;

	if (!p->metrics || !row_at(p, seq, &row))
		return;
	for (size_t i = 0; i < p->metrics; i++) {
		struct metric *m = &p->metric[i];

		if ((m->query.source == FROM_MODULES) == (row.module.len > 0) &&
		    query_matches(&p->v, &m->query, &row))
			m->count++;
	}
}

static void
add_tallies(struct plan *p)
{
	for (size_t i = 0; i < p->metrics; i++) {
		struct metric *m = &p->metric[i];
		sqlite3_stmt *q = sim_sql(p->v.s,
		    "INSERT INTO target_tally VALUES (?1, ?2, ?3, ?4) "
		    "ON CONFLICT (number, system, name) DO UPDATE SET "
		    "count = count + ?4");

		(void)sqlite3_bind_int64(q, 1, m->number);
		(void)sqlite3_bind_int(q, 2, m->system);
		sim_bind(q, 3, m->name);
		(void)sqlite3_bind_int64(q, 4, m->count);
		(void)sim_step(p->v.s, q);
		m->count = 0;
	}
}

static void
drop_tallies(struct plan *p)
{
	sqlite3_stmt *q =
	    sim_sql(p->v.s, "DELETE FROM target_tally WHERE number IN "
			    "(SELECT number FROM target_number WHERE hub = ?)");

	sim_bind(q, 1, p->v.hub.name);
	(void)sim_step(p->v.s, q);
}

static void
add_results(struct plan *p, int64_t number, bool system, struct buf *out)
{
	sqlite3_stmt *q = sim_sql(p->v.s,
	    "SELECT name, count FROM target_tally WHERE number = ? AND "
	    "system = ? ORDER BY name");

	(void)sqlite3_bind_int64(q, 1, number);
	(void)sqlite3_bind_int(q, 2, system);
	while (sim_step(p->v.s, q) == SQLITE_ROW) {
		if (out->at[out->len - 1] != '{')
			buf_char(out, ',');
		buf_json(out, sim_column(q, 0).at, sim_column(q, 0).len);
		buf_printf(out, ":%lld", (long long)sqlite3_column_int64(q, 1));
	}
	buf_char(out, '}');
}

static void
keep_results(struct plan *p, const struct config *c)
{
	struct buf system = BUF_INIT, custom = BUF_INIT;
	sqlite3_stmt *q = sim_sql(p->v.s,
	    "SELECT count(*), total(applied) FROM target WHERE number = ?");

	(void)sqlite3_bind_int64(q, 1, c->number);
	if (sim_step(p->v.s, q) == SQLITE_ROW)
		buf_printf(&system,
		    "{\"targetedCount\":%lld,\"appliedCount\":%lld",
		    (long long)sqlite3_column_int64(q, 0),
		    (long long)sqlite3_column_int64(q, 1));
	else
		buf_text(&system, "{\"targetedCount\":0,\"appliedCount\":0");
	add_results(p, c->number, true, &system);
	buf_char(&custom, '{');
	add_results(p, c->number, false, &custom);
	q = sim_sql(p->v.s, "UPDATE target_number SET system = ?, custom = ? "
			    "WHERE number = ?");
	sim_bind_span(q, 1, buf_peek(&system));
	sim_bind_span(q, 2, buf_peek(&custom));
	(void)sqlite3_bind_int64(q, 3, c->number);
	(void)sim_step(p->v.s, q);
	buf_free(&system);
	buf_free(&custom);
}

/* Slices. */

/* What deleted configurations have left. */
static bool
sweep(struct sim *s)
{
	sqlite3_stmt *q = sim_sql(s, "SELECT number FROM target_gone LIMIT 1");
	int64_t number;

	if (sim_step(s, q) != SQLITE_ROW)
		return false;
	number = sqlite3_column_int64(q, 0);
	(void)sqlite3_reset(q);
	q = sim_sql(s,
	    "DELETE FROM target WHERE number = ?1 AND seq IN (SELECT seq FROM "
	    "target WHERE number = ?1 LIMIT 1000)");
	(void)sqlite3_bind_int64(q, 1, number);
	(void)sim_step(s, q);
	if (sqlite3_changes(s->db) > 0)
		return true;
	q = sim_sql(s, "DELETE FROM target_tally WHERE number = ?");
	(void)sqlite3_bind_int64(q, 1, number);
	(void)sim_step(s, q);
	q = sim_sql(s, "DELETE FROM target_gone WHERE number = ?");
	(void)sqlite3_bind_int64(q, 1, number);
	(void)sim_step(s, q);
	return true;
}

/* Twins that are due; the moment of the next, or -1. */
static int64_t
settle_due(struct sim *s, int64_t now)
{
	sqlite3_stmt *q = sim_sql(
	    s, "SELECT at, hub FROM target_due ORDER BY at, seq LIMIT 1");
	int64_t at[BATCH], seq[BATCH], next;
	struct plan p;
	char *hub;
	int n = 0;

	if (sim_step(s, q) != SQLITE_ROW)
		return -1;
	next = sqlite3_column_int64(q, 0);
	if (next > now)
		return next;
	hub = span_dup(sim_column(q, 1));
	q = sim_sql(s,
	    "SELECT at, seq FROM target_due WHERE at <= ? AND hub = ? "
	    "ORDER BY at, seq LIMIT ?");
	(void)sqlite3_bind_int64(q, 1, now);
	sim_bind(q, 2, hub);
	(void)sqlite3_bind_int(q, 3, BATCH);
	while (sim_step(s, q) == SQLITE_ROW) {
		at[n] = sqlite3_column_int64(q, 0);
		seq[n++] = sqlite3_column_int64(q, 1);
	}
	plan_open(&p, s, hub, false);
	for (int i = 0; i < n; i++) {
		settle(&p, seq[i]);
		q = sim_sql(
		    s, "DELETE FROM target_due WHERE at = ? AND seq = ?");
		(void)sqlite3_bind_int64(q, 1, at[i]);
		(void)sqlite3_bind_int64(q, 2, seq[i]);
		(void)sim_step(s, q);
	}
	if (p.count)
		schedule(&p.v, COUNTING, sim_lasts(s, FAST, COUNTED));
	plan_close(&p);
	free(hub);
	return next;
}

struct scan {
	char *hub, *id, *module;
	int what;
};

static void
end_scan(struct plan *p, const struct scan *scan)
{
	sqlite3_stmt *q = sim_sql(
	    p->v.s, "DELETE FROM target_scan WHERE hub = ? AND what = ?");

	sim_bind(q, 1, scan->hub);
	(void)sqlite3_bind_int(q, 2, scan->what);
	(void)sim_step(p->v.s, q);
	if (scan->what == APPLYING) {
		if (p->count)
			schedule(
			    &p->v, COUNTING, sim_lasts(p->v.s, FAST, COUNTED));
		return;
	}
	for (int i = 0; i < p->count; i++)
		keep_results(p, &p->config[i]);
	drop_tallies(p);
}

/* A batch of rows, in the order of their names: what is new behind the place
 * where the scan stands is due by itself. */
static void
scan_batch(struct plan *p, const struct scan *scan)
{
	struct sim *s = p->v.s;
	sqlite3_stmt *q = sim_sql(s,
	    "SELECT seq, id, module FROM registry WHERE hub = ?1 AND "
	    "(id, module) > (?2, ?3) ORDER BY id, module LIMIT ?4");
	int64_t seq[BATCH];
	struct buf id = BUF_INIT, module = BUF_INIT;
	int n = 0;

	sim_bind(q, 1, scan->hub);
	sim_bind(q, 2, scan->id);
	sim_bind(q, 3, scan->module);
	(void)sqlite3_bind_int(q, 4, BATCH);
	/* With nothing to count, no row need be looked at. */
	while ((scan->what == APPLYING ? p->count > 0 : p->metrics > 0) &&
	       sim_step(s, q) == SQLITE_ROW) {
		seq[n++] = sqlite3_column_int64(q, 0);
		buf_clear(&id);
		buf_clear(&module);
		buf_span(&id, sim_column(q, 1));
		buf_span(&module, sim_column(q, 2));
	}
	if (scan->what == COUNTING && !*scan->id)
		drop_tallies(p);
	for (int i = 0; i < n; i++)
		if (scan->what == APPLYING)
			settle(p, seq[i]);
		else
			count_row(p, seq[i]);
	if (scan->what == COUNTING)
		add_tallies(p);
	if (n < BATCH) {
		end_scan(p, scan);
	} else {
		q = sim_sql(s, "UPDATE target_scan SET id = ?, module = ? "
			       "WHERE hub = ? AND what = ?");
		sim_bind_span(q, 1, buf_peek(&id));
		sim_bind_span(q, 2, buf_peek(&module));
		sim_bind(q, 3, scan->hub);
		(void)sqlite3_bind_int(q, 4, scan->what);
		(void)sim_step(s, q);
	}
	buf_free(&id);
	buf_free(&module);
}

/* The same for scans. */
static int64_t
scan_hubs(struct sim *s, int64_t now)
{
	sqlite3_stmt *q = sim_sql(s,
	    "SELECT at, hub, what, id, module FROM target_scan ORDER BY at "
	    "LIMIT 1");
	struct plan p;
	struct scan scan;
	int64_t next;

	if (sim_step(s, q) != SQLITE_ROW)
		return -1;
	next = sqlite3_column_int64(q, 0);
	if (next > now)
		return next;
	scan.hub = span_dup(sim_column(q, 1));
	scan.what = sqlite3_column_int(q, 2);
	scan.id = span_dup(sim_column(q, 3));
	scan.module = span_dup(sim_column(q, 4));
	plan_open(&p, s, scan.hub, scan.what == COUNTING);
	scan_batch(&p, &scan);
	plan_close(&p);
	free(scan.hub);
	free(scan.id);
	free(scan.module);
	return next;
}

int64_t
configurations_tick(struct sim *s)
{
	double stop = monotonic() + SLICE / 1e3;
	int64_t now = sim_now(s), due, scan;

	do {
		bool swept = sweep(s);

		due = settle_due(s, now);
		scan = due >= 0 && due <= now ? due : scan_hubs(s, now);
		if (swept || (due >= 0 && due <= now))
			continue;
		if (scan < 0 || scan > now) {
			if (store_failed(s))
				break;
			if (due < 0 || (scan >= 0 && scan < due))
				due = scan;
			return due < 0 ? -1 : sim_until(s, due);
		}
	} while (monotonic() < stop && !store_failed(s));
	return store_failed(s) ? 1000 : 0;
}
