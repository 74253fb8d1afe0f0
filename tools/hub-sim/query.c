/*
 * query.c: POST /devices/query (CONTRACT 14): the language evaluated on the
 * text of each twin, and answers in pages.
 *
 * Logic has three values, as in the store the service is built on: what
 * compares with a property that is not there, or with one of another type, is
 * neither true nor false, and NOT of that is the same.
 */
#include "query.h"

#include "job.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum { MAX_PAGE = 1000, DEFAULT_PAGE = 100 };

/* Evaluation. */

struct subject {
	struct visit *v;
	const struct row *row;     /* NULL: only text */
	struct buf text;           /* the twin; made when it is needed */
	struct buf configurations; /* the same */
};

static void
subject_reset(struct subject *s)
{
	buf_clear(&s->text);
	buf_clear(&s->configurations);
}

static void
subject_free(struct subject *s)
{
	buf_free(&s->text);
	buf_free(&s->configurations);
}

struct value {
	struct span json; /* .at NULL: undefined */
	bool plain;       /* a string without quotes and escapes */
};

static struct value
plain_value(struct span text)
{
	return (struct value){ text, true };
}

static struct span
descend(struct span object, const struct path *path, int from)
{
	for (int i = from; object.at && i < path->count; i++) {
		struct span found = { NULL, 0 };
		size_t len = strlen(path->name[i]);
		struct each e;

		if (!object.len || *object.at != '{')
			return found;
		for (each_begin(&e, object); each_next(&e);)
			if ((e.name.len == len &&
				memcmp(e.name.at, path->name[i], len) == 0) ||
			    (memchr(e.name.at, '\\', e.name.len) &&
				json_string_is((struct span){ e.name.at - 1,
						   e.name.len + 2 },
				    path->name[i])))
				found = e.value;
		object = found;
	}
	return object;
}

static bool
is_at(const struct path *path, int i, const char *name)
{
	return i < path->count && strcasecmp(path->name[i], name) == 0;
}

static struct value
look_up(struct subject *s, const struct path *path)
{
	const struct row *row = s->row;
	struct span section;
	int from = 0;

	if (row && is_at(path, 0, "deviceId") && path->count == 1)
		return plain_value(row->id);
	if (row && is_at(path, 0, "tags"))
		return (struct value){ descend(row->tags, path, 1), false };
	if (row && is_at(path, 0, "properties") && path->count > 2 &&
	    *path->name[2] != '$') {
		section = is_at(path, 1, "desired")    ? row->desired
			  : is_at(path, 1, "reported") ? row->reported
						       : span_of("{}");
		return (struct value){ descend(section, path, 2), false };
	}
	if (row && is_at(path, 0, "configurations")) {
		if (!s->configurations.len)
			configurations_of(s->v, row->seq, &s->configurations);
		return (struct value){
			descend(buf_peek(&s->configurations), path, 1), false
		};
	}
	if (row && !s->text.len)
		twin_text(row, &s->text);
	/* The documentation writes what a job has with the whole name. */
	if (!row && path->count > 2 && is_at(path, 0, "devices") &&
	    is_at(path, 1, "jobs"))
		from = 2;
	section = object_get(buf_peek(&s->text), path->name[from]);
	if (section.at && path->count > 1 &&
	    (is_at(path, 0, "capabilities") || is_at(path, 0, "properties") ||
		is_at(path, 0, "x509Thumbprint"))) {
		section = object_get(section, path->name[1]);
		return (struct value){ descend(section, path, 2), false };
	}
	return (struct value){ descend(section, path, from + 1), false };
}

static struct value
value_of(struct subject *s, const struct operand *o)
{
	if (o->literal)
		return (struct value){ o->json, false };
	return look_up(s, &o->path);
}

static enum json_kind
kind_of(struct value v)
{
	return v.plain ? JSON_STRING : json_kind_of(v.json);
}

/* Decoded bytes of a string value; into holds them where it must. */
static struct span
string_of(struct value v, struct buf *into)
{
	if (v.plain)
		return v.json;
	if (!memchr(v.json.at, '\\', v.json.len))
		return (struct span){ v.json.at + 1, v.json.len - 2 };
	(void)json_decode(v.json, into);
	return buf_peek(into);
}

static double
number_of(struct span json)
{
	char text[400];

	span_copy(json, text, sizeof text);
	return strtod(text, NULL);
}

/* 0: they can be compared, and *order says how.  -1: they cannot. */
static int
compare(struct value a, struct value b, int *order)
{
	enum json_kind kind = kind_of(a), other = kind_of(b);

	if (!a.json.at || !b.json.at)
		return -1;
	if (kind == JSON_STRING && other == JSON_STRING) {
		struct buf x = BUF_INIT, y = BUF_INIT;
		struct span s = string_of(a, &x), t = string_of(b, &y);

		*order = memcmp(s.at, t.at, s.len < t.len ? s.len : t.len);
		if (*order == 0)
			*order = (s.len > t.len) - (s.len < t.len);
		buf_free(&x);
		buf_free(&y);
		return 0;
	}
	if (kind == JSON_NUMBER && other == JSON_NUMBER) {
		double x = number_of(a.json), y = number_of(b.json);

		*order = (x > y) - (x < y);
		return 0;
	}
	if ((kind == JSON_TRUE || kind == JSON_FALSE) &&
	    (other == JSON_TRUE || other == JSON_FALSE)) {
		*order = (kind == JSON_TRUE) - (other == JSON_TRUE);
		return 0;
	}
	if (kind == JSON_NULL && other == JSON_NULL) {
		*order = 0;
		return 0;
	}
	return -1;
}

enum { UNKNOWN = -1 };

static int
holds(enum operator op, int order)
{
	switch (op) {
	case OP_EQ:
		return order == 0;
	case OP_NE:
		return order != 0;
	case OP_LT:
		return order < 0;
	case OP_LE:
		return order <= 0;
	case OP_GT:
		return order > 0;
	case OP_GE:
		return order >= 0;
	}
	return 0;
}

static int
is_member(struct subject *s, const struct node *n)
{
	struct value a = value_of(s, &n->a);
	int order;

	if (!a.json.at)
		return UNKNOWN;
	for (int i = 0; i < n->count; i++)
		if (compare(a, value_of(s, &n->list[i]), &order) == 0 &&
		    order == 0)
			return !n->negated;
	return n->negated;
}

static int evaluate(struct subject *s, const struct node *n);

/* As soon as one decides, the rest is not asked. */
static int
evaluate_chain(struct subject *s, const struct node *n)
{
	int decisive = n->kind == NODE_OR, result = !decisive;

	for (const struct node *m = n->first; m; m = m->next) {
		int one = evaluate(s, m);

		if (one == decisive)
			return decisive;
		if (one == UNKNOWN)
			result = UNKNOWN;
	}
	return result;
}

static int
evaluate(struct subject *s, const struct node *n)
{
	struct value v;
	int a, order;

	switch (n->kind) {
	case NODE_AND:
	case NODE_OR:
		return evaluate_chain(s, n);
	case NODE_NOT:
		a = evaluate(s, n->first);
		return a == UNKNOWN ? UNKNOWN : !a;
	case NODE_COMPARE:
		if (compare(value_of(s, &n->a), value_of(s, &n->b), &order))
			return UNKNOWN;
		return holds(n->op, order);
	case NODE_IN:
		return is_member(s, n);
	case NODE_DEFINED:
		return look_up(s, &n->a.path).json.at != NULL;
	case NODE_VALUE:
		v = value_of(s, &n->a);
		if (!v.json.at ||
		    (kind_of(v) != JSON_TRUE && kind_of(v) != JSON_FALSE))
			return UNKNOWN;
		return kind_of(v) == JSON_TRUE;
	}
	return UNKNOWN;
}

bool
query_matches(struct visit *v, const struct query *q, const struct row *row)
{
	struct subject s = { .v = v, .row = row };
	bool result = !q->where || evaluate(&s, q->where) == 1;

	subject_free(&s);
	return result;
}

/* Answers. */

static void
add_value(struct buf *out, struct value v)
{
	if (v.plain)
		buf_json(out, v.json.at, v.json.len);
	else
		buf_span(out, v.json);
}

static void
add_item_name(struct buf *out, const struct query *q, int i)
{
	const struct item *item = &q->item[i];
	char number[16];
	const char *name = item->name;

	(void)snprintf(number, sizeof number, "$%d", i + 1);
	if (!name && item->aggregate == AGG_NONE)
		name = item->path.name[item->path.count - 1];
	if (!name)
		name = number;
	if (out->at[out->len - 1] != '{')
		buf_char(out, ',');
	buf_json(out, name, strlen(name));
	buf_char(out, ':');
}

static void
add_subject(struct buf *out, const struct query *q, struct subject *s)
{
	if (out->len > 1)
		buf_char(out, ',');
	if (q->all) {
		if (s->row)
			twin_show(s->v, s->row, out);
		else
			buf_span(out, buf_peek(&s->text));
		return;
	}
	buf_char(out, '{');
	for (int i = 0; i < q->items; i++) {
		struct value v = look_up(s, &q->item[i].path);

		if (!v.json.at)
			continue;
		add_item_name(out, q, i);
		add_value(out, v);
	}
	buf_char(out, '}');
}

/*
 * Groups are answered in the order of a hash of what they stand for: a page is
 * the next few of that order, so no more than those are ever kept, and the
 * token needs no more than the last hash.
 */
struct group {
	uint64_t hash;
	struct buf *shown; /* per item: a plain item's value */
	double *sum, *least, *most;
	long *count;
};

struct run {
	struct visit *v;
	struct query q;
	uint32_t hash;
	long page, left; /* of this page; of TOP, -1: no limit */
	bool more;
	struct buf out;
	char id[136], module[136]; /* the last that was answered */
	int64_t seq;
	bool ghosts;          /* that was one */
	uint64_t last;        /* or the last group's hash */
	struct group **group; /* a table by hash, open addressing */
	size_t slots, groups;
	uint64_t most; /* greater hashes are of a later page */
};

static bool
is_aggregate(const struct query *q)
{
	for (int i = 0; i < q->items; i++)
		if (q->item[i].aggregate != AGG_NONE)
			return true;
	return q->groups > 0;
}

static void
free_group(struct run *r, struct group *g)
{
	for (int i = 0; i < r->q.items; i++)
		buf_free(&g->shown[i]);
	free(g->shown);
	free(g->sum);
	free(g->least);
	free(g->most);
	free(g->count);
	free(g);
}

static int
by_hash(const void *a, const void *b)
{
	const struct group *const *x = a, *const *y = b;

	return ((*x)->hash > (*y)->hash) - ((*x)->hash < (*y)->hash);
}

static void
place(struct run *r, struct group *g)
{
	size_t i = g->hash & (r->slots - 1);

	while (r->group[i])
		i = (i + 1) & (r->slots - 1);
	r->group[i] = g;
}

/* The groups in order at the front of the table, which is one no more. */
static void
sort_groups(struct run *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->slots; i++)
		if (r->group[i])
			r->group[n++] = r->group[i];
	for (size_t i = n; i < r->slots; i++)
		r->group[i] = NULL;
	if (n)
		qsort(r->group, n, sizeof(struct group *), by_hash);
}

/* Only this page's and one more, which tells that there is another page. */
static void
drop_groups(struct run *r)
{
	struct group **all = r->group;
	size_t keep = (size_t)r->page + 1;

	sort_groups(r);
	for (size_t i = keep; i < r->groups; i++)
		free_group(r, all[i]);
	r->most = all[keep - 1]->hash;
	r->groups = keep;
	r->group = xcalloc(r->slots, sizeof(struct group *));
	for (size_t i = 0; i < keep; i++)
		place(r, all[i]);
	free(all);
}

static uint64_t
group_hash(struct run *r, struct subject *s)
{
	uint64_t h = 14695981039346656037u;

	for (int i = 0; i < r->q.groups; i++) {
		struct value v = look_up(s, &r->q.group[i]);
		struct buf text = BUF_INIT;

		if (v.json.at)
			add_value(&text, v);
		buf_char(&text, '\n');
		for (size_t k = 0; k < text.len; k++)
			h = (h ^ (unsigned char)text.at[k]) * 1099511628211u;
		buf_free(&text);
	}
	/* Small values differ in their low bits only. */
	h = (h ^ (h >> 32)) * 0x9e3779b97f4a7c15u;
	h ^= h >> 29;
	return h ? h : 1;
}

static struct group *
new_group(struct run *r, uint64_t hash)
{
	size_t n = (size_t)r->q.items;
	struct group *g = xcalloc(1, sizeof *g);

	g->hash = hash;
	g->shown = xcalloc(n, sizeof *g->shown);
	g->sum = xcalloc(n, sizeof *g->sum);
	g->least = xcalloc(n, sizeof *g->least);
	g->most = xcalloc(n, sizeof *g->most);
	g->count = xcalloc(n, sizeof *g->count);
	if (!r->group) {
		r->slots = 16;
		while (r->slots < 8 * ((size_t)r->page + 1))
			r->slots *= 2;
		r->group = xcalloc(r->slots, sizeof(struct group *));
	}
	place(r, g);
	r->groups++;
	return g;
}

/* NULL: it is of another page. */
static struct group *
find_group(struct run *r, uint64_t hash)
{
	if (hash <= r->last || (r->most && hash > r->most))
		return NULL;
	if (r->group)
		for (size_t i = hash & (r->slots - 1); r->group[i];
		     i = (i + 1) & (r->slots - 1))
			if (r->group[i]->hash == hash)
				return r->group[i];
	if (r->group && r->groups >= 4 * ((size_t)r->page + 1)) {
		drop_groups(r);
		if (hash > r->most)
			return NULL;
	}
	return new_group(r, hash);
}

static void
count_subject(struct run *r, struct subject *s)
{
	struct group *g = find_group(r, group_hash(r, s));

	if (!g)
		return;
	for (int i = 0; i < r->q.items; i++) {
		const struct item *item = &r->q.item[i];
		struct value v = { { NULL, 0 }, false };
		double x;

		if (item->path.count)
			v = look_up(s, &item->path);
		if (item->aggregate == AGG_NONE) {
			if (v.json.at && !g->shown[i].len)
				add_value(&g->shown[i], v);
			continue;
		}
		if (item->aggregate == AGG_COUNT) {
			g->count[i] += !item->path.count || v.json.at;
			continue;
		}
		if (!v.json.at || kind_of(v) != JSON_NUMBER)
			continue;
		x = number_of(v.json);
		if (!g->count[i] || x < g->least[i])
			g->least[i] = x;
		if (!g->count[i] || x > g->most[i])
			g->most[i] = x;
		g->sum[i] += x;
		g->count[i]++;
	}
}

static void
add_number(struct buf *out, enum aggregate a, const struct group *g, int i)
{
	double x = a == AGG_SUM   ? g->sum[i]
		   : a == AGG_AVG ? g->sum[i] / (double)g->count[i]
		   : a == AGG_MIN ? g->least[i]
				  : g->most[i];

	if (a == AGG_COUNT)
		buf_printf(out, "%ld", g->count[i]);
	else
		buf_printf(out, "%.17g", x);
}

static void
add_group(struct run *r, const struct group *g)
{
	buf_text(&r->out, r->out.len > 1 ? ",{" : "{");
	for (int i = 0; i < r->q.items; i++) {
		enum aggregate a = r->q.item[i].aggregate;

		if (a == AGG_NONE ? !g->shown[i].len
				  : a != AGG_COUNT && !g->count[i])
			continue;
		add_item_name(&r->out, &r->q, i);
		if (a == AGG_NONE)
			buf_span(&r->out, buf_peek(&g->shown[i]));
		else
			add_number(&r->out, a, g, i);
	}
	buf_char(&r->out, '}');
}

static void
add_groups(struct run *r)
{
	/* Without GROUP BY there is always one, even of nothing. */
	if (!r->q.groups && !r->groups && !r->last)
		(void)new_group(r, 1);
	sort_groups(r);
	for (size_t i = 0; i < r->groups && r->group[i]; i++) {
		if (r->left == 0)
			break;
		if (r->page == 0) {
			r->more = true;
			break;
		}
		add_group(r, r->group[i]);
		r->last = r->group[i]->hash;
		r->page--;
		if (r->left > 0)
			r->left--;
	}
}

static void
free_groups(struct run *r)
{
	for (size_t i = 0; i < r->slots; i++)
		if (r->group[i])
			free_group(r, r->group[i]);
	free(r->group);
}

/* Keyset paging: a page begins after the last one answered. */
static sqlite3_stmt *
open_scan(struct run *r)
{
	struct visit *v = r->v;
	bool by_id = sim_doubt_is("list-order", "id");
	sqlite3_stmt *q;

	if (r->q.source == FROM_DEVICES && by_id)
		q = sim_sql(v->s,
		    "SELECT " ROW_COLUMNS " FROM registry WHERE hub = ?1 "
		    "AND id > ?2 AND module = '' ORDER BY id");
	else if (r->q.source == FROM_DEVICES)
		q = sim_sql(v->s,
		    "SELECT " ROW_COLUMNS " FROM registry WHERE +hub = ?1 "
		    "AND seq > ?4 AND module = '' ORDER BY seq");
	else if (by_id)
		q = sim_sql(v->s,
		    "SELECT " ROW_COLUMNS " FROM registry WHERE hub = ?1 "
		    "AND (id, module) > (?2, ?3) AND module > '' "
		    "ORDER BY id, module");
	else
		q = sim_sql(v->s,
		    "SELECT " ROW_COLUMNS " FROM registry WHERE +hub = ?1 "
		    "AND seq > ?4 AND module > '' ORDER BY seq");
	sim_bind(q, 1, v->hub.name);
	sim_bind(q, 2, r->id);
	sim_bind(q, 3, r->module);
	(void)sqlite3_bind_int64(q, 4, r->seq);
	return q;
}

static bool
is_indexed(struct run *r, const struct row *row)
{
	if (!sim_doubt_is("query-lag", "off") && row->born > r->v->now - 1400)
		return false;
	/* A module that never connected has reported nothing. */
	return r->q.source != FROM_MODULES || row->deployed ||
	       row->reported.len > 2 || sim_doubt_is("modules-query", "all");
}

/* One that WHERE chose.  false: the page is full, or TOP is reached. */
static bool
answer_one(struct run *r, struct subject *s)
{
	if (is_aggregate(&r->q)) {
		count_subject(r, s);
		return true;
	}
	if (r->left == 0)
		return false;
	if (r->page == 0) {
		r->more = true;
		return false;
	}
	add_subject(&r->out, &r->q, s);
	r->page--;
	if (r->left > 0)
		r->left--;
	return true;
}

static void
answer_rows(struct run *r)
{
	sqlite3_stmt *q;
	struct row row;
	struct subject s = { .v = r->v, .row = &row };

	if (r->ghosts)
		return;
	q = open_scan(r);
	while (sim_step(r->v->s, q) == SQLITE_ROW) {
		row_read(q, &row);
		subject_reset(&s);
		if (!is_indexed(r, &row) ||
		    (r->q.where && evaluate(&s, r->q.where) != 1))
			continue;
		if (!answer_one(r, &s))
			break;
		r->seq = row.seq;
		span_copy(row.id, r->id, sizeof r->id);
		span_copy(row.module, r->module, sizeof r->module);
	}
	subject_free(&s);
}

/* Deleted devices that the index still knows, after all others. */
static void
answer_ghosts(struct run *r)
{
	sqlite3_stmt *q;
	struct subject s = { .v = r->v, .row = NULL };

	if (r->more || r->q.source != FROM_DEVICES ||
	    sim_doubt_is("query-lag", "off"))
		return;
	q = sim_sql(r->v->s,
	    "SELECT id, twin, max(until) FROM ghost WHERE hub = ?1 AND "
	    "until > ?2 AND id > ?3 AND NOT EXISTS (SELECT 1 FROM registry "
	    "AS d WHERE d.hub = ?1 AND d.id = ghost.id AND d.module = '') "
	    "GROUP BY id ORDER BY id");
	sim_bind(q, 1, r->v->hub.name);
	(void)sqlite3_bind_int64(q, 2, r->v->now);
	sim_bind(q, 3, r->ghosts ? r->id : "");
	while (sim_step(r->v->s, q) == SQLITE_ROW) {
		subject_reset(&s);
		buf_span(&s.text, sim_column(q, 1));
		if (r->q.where && evaluate(&s, r->q.where) != 1)
			continue;
		if (!answer_one(r, &s))
			break;
		span_copy(sim_column(q, 0), r->id, sizeof r->id);
		r->ghosts = true;
	}
	subject_free(&s);
}

/* What became of each device of each scheduled job. */
static void
answer_jobs(struct run *r)
{
	struct subject s = { .v = r->v, .row = NULL };
	sqlite3_stmt *q = scheduled_devices(r->v, r->id, r->module);

	while (sim_step(r->v->s, q) == SQLITE_ROW) {
		subject_reset(&s);
		scheduled_device_text(q, &s.text);
		if (r->q.where && evaluate(&s, r->q.where) != 1)
			continue;
		if (!answer_one(r, &s))
			break;
		span_copy(sim_column(q, 0), r->id, sizeof r->id);
		span_copy(sim_column(q, 1), r->module, sizeof r->module);
	}
	subject_free(&s);
}

/* "hash left ghosts group seq id module", in base64: ids have no blanks. */
static void
add_continuation(struct run *r)
{
	struct buf plain = BUF_INIT, text = BUF_INIT;

	buf_printf(&plain, "%08x %ld %d %llx %lld %s %s", r->hash, r->left,
	    r->ghosts, (unsigned long long)r->last, (long long)r->seq,
	    *r->id ? r->id : "-", *r->module ? r->module : "-");
	buf_base64(&text, plain.at, plain.len);
	sim_head(r->v->r, "x-ms-continuation", "%s", text.at);
	buf_free(&plain);
	buf_free(&text);
}

static int
read_continuation(struct run *r, struct refusal *f)
{
	const char *sent = r->v->q->header(r->v->q, "x-ms-continuation");
	char plain[512];
	unsigned hash;
	int ghosts;
	unsigned long long last;
	long long seq;
	size_t len = sent ? strlen(sent) : 0;

	if (!len)
		return 0;
	memset(plain, 0, sizeof plain);
	if (len > 640 || len % 4 ||
	    EVP_DecodeBlock((unsigned char *)plain, (const unsigned char *)sent,
		(int)len) < 0 ||
	    sscanf(plain, "%8x %ld %d %llx %lld %135s %135s", &hash, &r->left,
		&ghosts, &last, &seq, r->id, r->module) != 7 ||
	    hash != r->hash)
		return refuse(f, ARGUMENT_INVALID,
		    "BadRequest: the continuation token is not of this query");
	r->seq = seq;
	r->last = last;
	r->ghosts = ghosts != 0;
	if (strcmp(r->module, "-") == 0)
		*r->module = '\0';
	if (last)
		*r->id = '\0';
	return 0;
}

static int
read_page_size(struct run *r, struct refusal *f)
{
	const char *sent = r->v->q->header(r->v->q, "x-ms-max-item-count");
	long most = sim_doubt_is("query-max", "100") ? 100 : MAX_PAGE;
	char *end;

	r->page = DEFAULT_PAGE;
	if (sent && *sent) {
		r->page = strtol(sent, &end, 10);
		if (*end || r->page < 1)
			return refuse(f, ARGUMENT_INVALID,
			    "BadRequest: x-ms-max-item-count is no number");
	}
	if (r->page > most)
		r->page = most;
	return 0;
}

static int
run(struct run *r, char *text, struct refusal *f)
{
	if (!text)
		return refuse(
		    f, ARGUMENT_INVALID, "BadRequest: there is no query");
	if (query_parse(text, &r->q, f))
		return -1;
	r->left = r->q.top;
	r->hash = 2166136261u;
	for (const char *p = text; *p; p++)
		r->hash = (r->hash ^ (unsigned char)*p) * 16777619u;
	for (const char *p = r->v->hub.name; *p; p++)
		r->hash = (r->hash ^ (unsigned char)*p) * 16777619u;
	if (read_page_size(r, f) || read_continuation(r, f))
		return -1;
	buf_char(&r->out, '[');
	if (r->q.source == FROM_JOBS) {
		answer_jobs(r);
	} else {
		answer_rows(r);
		answer_ghosts(r);
	}
	if (is_aggregate(&r->q))
		add_groups(r);
	buf_char(&r->out, ']');
	if (r->more)
		add_continuation(r);
	sim_head(r->v->r, "x-ms-item-type", "%s",
	    !r->q.all                  ? "Raw"
	    : r->q.source == FROM_JOBS ? "DeviceJob"
				       : "Twin");
	reply_text(r->v, 200, &r->out);
	return 0;
}

void
query_handle(struct visit *v)
{
	struct run r;
	struct json body = { .count = 0 };
	struct refusal f;
	char *text = NULL;
	int result = -1;

	memset(&r, 0, sizeof r);
	r.v = v;
	if (visit_allowed(v, "ServiceConnect", &f) || visit_body(v, &body, &f))
		goto out;
	if (body.kind == JSON_OBJECT && object_get(body.text, "query").at)
		text = json_string(object_get(body.text, "query"));
	result = run(&r, text, &f);
out:
	if (result)
		reply_refusal(v, &f);
	free_groups(&r);
	query_free(&r.q);
	buf_free(&r.out);
	json_free(&body);
	free(text);
}
