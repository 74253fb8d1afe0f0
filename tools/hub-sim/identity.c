

/*
 * identity.c: devices and modules: their rows, making, changing and removing
 * them, and showing them (CONTRACT 12).
 */
#include "registry.h"

#include "targets.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum {
	FREE_DEVICES = 500, /* Annex A: F1 */
	PAID_DEVICES = 1000000,
};
static const char scope_prefix[] = "ms-azure-iot-edge://";

const char registry_schema[] =
    "CREATE TABLE IF NOT EXISTS registry (seq INTEGER PRIMARY KEY,"
    " hub TEXT NOT NULL, id TEXT NOT NULL, module TEXT NOT NULL,"
    " generation TEXT NOT NULL, etag INTEGER NOT NULL,"
    " disabled INTEGER NOT NULL, reason TEXT, status_time INTEGER NOT NULL,"
    " auth INTEGER NOT NULL, key1 TEXT, key2 TEXT, thumb1 TEXT, thumb2 TEXT,"
    " edge INTEGER NOT NULL, scope TEXT, parent TEXT, managed TEXT,"
    " version INTEGER NOT NULL, twin_etag INTEGER NOT NULL,"
    " desired_version INTEGER NOT NULL, reported_version INTEGER NOT NULL,"
    " born INTEGER NOT NULL, deployed INTEGER NOT NULL,"
    " tags TEXT NOT NULL, desired TEXT NOT NULL, reported TEXT NOT NULL,"
    " desired_meta TEXT, UNIQUE (hub, id, module));"
    /* Few are modules, or disabled: these are found without a look at all. */
    "CREATE INDEX IF NOT EXISTS registry_modules"
    " ON registry (hub, id, module) WHERE module > '';"
    "CREATE INDEX IF NOT EXISTS registry_disabled"
    " ON registry (hub) WHERE disabled = 1;"
    /* What a query goes on showing of devices that are gone. */
    "CREATE TABLE IF NOT EXISTS ghost (hub TEXT NOT NULL, id TEXT NOT NULL,"
    " until INTEGER NOT NULL, twin TEXT NOT NULL);"
    "CREATE INDEX IF NOT EXISTS ghost_until ON ghost (until);"
    "CREATE TABLE IF NOT EXISTS configuration (hub TEXT NOT NULL,"
    " id TEXT NOT NULL, etag INTEGER NOT NULL, created INTEGER NOT NULL,"
    " updated INTEGER NOT NULL, schema TEXT, labels TEXT, content TEXT,"
    " condition TEXT, priority TEXT, metrics TEXT, PRIMARY KEY (hub, "
    "id));" TARGETS_SCHEMA;

static struct span
column(sqlite3_stmt *stmt, int i)
{
	if (sqlite3_column_type(stmt, i) == SQLITE_NULL)
		return (struct span){ NULL, 0 };
	return sim_column(stmt, i);
}

/* In the order of ROW_COLUMNS. */
void
row_read(sqlite3_stmt *stmt, struct row *row)
{
	int i = 0;

	row->seq = sqlite3_column_int64(stmt, i++);
	row->id = sim_column(stmt, i++);
	row->module = sim_column(stmt, i++);
	row->generation = sim_column(stmt, i++);
	row->etag = sqlite3_column_int64(stmt, i++);
	row->disabled = sqlite3_column_int(stmt, i++);
	row->reason = column(stmt, i++);
	row->status_time = sqlite3_column_int64(stmt, i++);
	row->auth = (enum auth)sqlite3_column_int(stmt, i++);
	row->key1 = column(stmt, i++);
	row->key2 = column(stmt, i++);
	row->thumb1 = column(stmt, i++);
	row->thumb2 = column(stmt, i++);
	row->edge = sqlite3_column_int(stmt, i++);
	row->scope = column(stmt, i++);
	row->parent = column(stmt, i++);
	row->managed = column(stmt, i++);
	row->tags = sim_column(stmt, i++);
	row->desired = sim_column(stmt, i++);
	row->reported = sim_column(stmt, i++);
	row->desired_meta = column(stmt, i++);
	row->version = sqlite3_column_int64(stmt, i++);
	row->twin_etag = sqlite3_column_int64(stmt, i++);
	row->desired_version = sqlite3_column_int64(stmt, i++);
	row->reported_version = sqlite3_column_int64(stmt, i++);
	row->born = sqlite3_column_int64(stmt, i++);
	row->deployed = sqlite3_column_int(stmt, i++);
}

bool
row_find(struct visit *v, const char *id, const char *module, struct row *row)
{
	sqlite3_stmt *q = sim_sql(v->s,
	    "SELECT " ROW_COLUMNS
	    " FROM registry WHERE hub = ? AND id = ? AND module = ?");

	sim_bind(q, 1, v->hub.name);
	sim_bind(q, 2, id);
	sim_bind(q, 3, module);
	if (sim_step(v->s, q) != SQLITE_ROW)
		return false;
	row_read(q, row);
	return true;
}

/* Is the device there, and what else of it is often asked. */
struct brief {
	bool disabled, edge;
	char scope[256];
};

static bool
device_brief(struct visit *v, const char *id, struct brief *brief)
{
	sqlite3_stmt *q =
	    sim_sql(v->s, "SELECT disabled, edge, scope FROM registry "
			  "WHERE hub = ? AND id = ? AND module = ''");

	sim_bind(q, 1, v->hub.name);
	sim_bind(q, 2, id);
	if (sim_step(v->s, q) != SQLITE_ROW)
		return false;
	brief->disabled = sqlite3_column_int(q, 0);
	brief->edge = sqlite3_column_int(q, 1);
	span_copy(sim_column(q, 2), brief->scope, sizeof brief->scope);
	return true;
}

int
row_missing(
    struct visit *v, const char *id, const char *module, struct refusal *f)
{
	struct brief brief;

	if (*module && device_brief(v, id, &brief))
		return refuse(f, NO_MODULE,
		    "Module %s on Device %s in IotHub %s does not exist",
		    module, id, v->hub.name);
	return refuse(
	    f, NO_DEVICE, "A device with ID '%s' is not registered.", id);
}

/* The text lives until the statement is stepped: no copy is needed. */
static void
bind(sqlite3_stmt *q, int i, struct span s)
{
	if (s.at)
		(void)sqlite3_bind_text(q, i, s.at, (int)s.len, SQLITE_STATIC);
	else
		(void)sqlite3_bind_null(q, i);
}

/* From etag to managed, as both writes name them; the next index. */
static int
bind_identity(sqlite3_stmt *q, int i, const struct row *row)
{
	(void)sqlite3_bind_int64(q, i++, row->etag);
	(void)sqlite3_bind_int(q, i++, row->disabled);
	bind(q, i++, row->reason);
	(void)sqlite3_bind_int64(q, i++, row->status_time);
	(void)sqlite3_bind_int(q, i++, (int)row->auth);
	bind(q, i++, row->key1);
	bind(q, i++, row->key2);
	bind(q, i++, row->thumb1);
	bind(q, i++, row->thumb2);
	(void)sqlite3_bind_int(q, i++, row->edge);
	bind(q, i++, row->scope);
	bind(q, i++, row->parent);
	bind(q, i++, row->managed);
	return i;
}

static int
row_insert(struct visit *v, const struct row *row)
{
	sqlite3_stmt *q = sim_sql(v->s,
	    "INSERT INTO registry (hub, id, module, generation, etag, "
	    "disabled, reason, status_time, auth, key1, key2, thumb1, thumb2, "
	    "edge, scope, parent, managed, tags, desired, reported, "
	    "desired_meta, version, twin_etag, desired_version, "
	    "reported_version, born, deployed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, "
	    "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, ?, ?, ?, ?, ?, 0)");
	int i = 1;

	bind(q, i++, span_of(v->hub.name));
	bind(q, i++, row->id);
	bind(q, i++, row->module);
	bind(q, i++, row->generation);
	i = bind_identity(q, i, row);
	bind(q, i++, row->tags);
	bind(q, i++, row->desired);
	bind(q, i++, row->reported);
	(void)sqlite3_bind_int64(q, i++, row->version);
	(void)sqlite3_bind_int64(q, i++, row->twin_etag);
	(void)sqlite3_bind_int64(q, i++, row->desired_version);
	(void)sqlite3_bind_int64(q, i++, row->reported_version);
	(void)sqlite3_bind_int64(q, i++, row->born);
	i = sim_step(v->s, q);
	if (i == SQLITE_DONE)
		configurations_mark(v, sqlite3_last_insert_rowid(v->s->db));
	return i;
}

static void
row_save_identity(struct visit *v, const struct row *row)
{
	sqlite3_stmt *q = sim_sql(v->s,
	    "UPDATE registry SET etag = ?, disabled = ?, reason = ?, "
	    "status_time = ?, auth = ?, key1 = ?, key2 = ?, thumb1 = ?, "
	    "thumb2 = ?, edge = ?, scope = ?, parent = ?, managed = ? "
	    "WHERE seq = ?");
	int i = 1;

	i = bind_identity(q, i, row);
	(void)sqlite3_bind_int64(q, i++, row->seq);
	(void)sim_step(v->s, q);
}

int
row_save_twin(struct visit *v, const struct row *row)
{
	sqlite3_stmt *q = sim_sql(v->s,
	    "UPDATE registry SET tags = ?, desired = ?, desired_meta = ?, "
	    "reported = ?, version = ?, twin_etag = ?, desired_version = ?, "
	    "reported_version = ?, deployed = ? WHERE seq = ?");
	int i = 1;

	bind(q, i++, row->tags);
	bind(q, i++, row->desired);
	bind(q, i++, row->desired_meta);
	bind(q, i++, row->reported);
	(void)sqlite3_bind_int64(q, i++, row->version);
	(void)sqlite3_bind_int64(q, i++, row->twin_etag);
	(void)sqlite3_bind_int64(q, i++, row->desired_version);
	(void)sqlite3_bind_int64(q, i++, row->reported_version);
	(void)sqlite3_bind_int(q, i++, row->deployed);
	(void)sqlite3_bind_int64(q, i++, row->seq);
	(void)sim_step(v->s, q);
	return 0;
}

/* ETags. */

void
etag_text(int64_t etag, char out[40])
{
	unsigned char digits[24], *at = digits + sizeof digits;

	/* Each of a million lines has one. */
	do
		*--at = (unsigned char)('0' + etag % 10);
	while ((etag /= 10) > 0);
	(void)EVP_EncodeBlock(
	    (unsigned char *)out, at, (int)(digits + sizeof digits - at));
}

int
etag_matches(const char *match, const char *etag)
{
	size_t len;

	if (!match)
		return -1;
	match += strspn(match, " ");
	len = strlen(match);
	if (len >= 2 && *match == '"' && match[len - 1] == '"') {
		match++;
		len -= 2;
	}
	if (len == 0)
		return -1;
	if (len == 1 && *match == '*')
		return 1;
	return strlen(etag) == len && memcmp(match, etag, len) == 0;
}

static int
check_etag(const struct row *row, const char *match, struct refusal *f)
{
	char etag[40];
	int fits;

	etag_text(row->etag, etag);
	fits = etag_matches(match, etag);
	return fits == 1 ? 0
			 : refuse(f, PRECONDITION,
			       fits ? "Etag missing" : "ETag mismatch");
}

/* Edge: scopes and what follows from them. */

void
parent_id_of(const char *scope, char out[256])
{
	size_t skip = strlen(scope_prefix);
	const char *id = scope, *stop;

	if (strncasecmp(scope, scope_prefix, skip) == 0)
		id += skip;
	stop = strrchr(id, '-');
	(void)snprintf(out, 256, "%.*s",
	    (int)(stop ? (size_t)(stop - id) : strlen(id)), id);
}

/* The device above must be an Edge device of this hub and of this life. */
static int
check_parent(struct visit *v, const char *parent, struct refusal *f)
{
	char id[256];
	struct brief brief;

	parent_id_of(parent, id);
	if (!device_brief(v, id, &brief) || !brief.edge ||
	    strcmp(brief.scope, parent) != 0)
		return refuse(f, BAD_SCOPE,
		    "The device scope '%s' does not exist", parent);
	return 0;
}

/* Each life of an id has a number of its own: .NET ticks of the moment, the
 * last digits from what tells two hubs and two writes of one moment apart. */
static void
make_generation(struct visit *v, char out[24])
{
	uint32_t h = span_hash(span_of(v->hub.name));
	int64_t ticks = v->now * 10000 + 621355968000000000;

	h += (uint32_t)sqlite3_total_changes(v->s->db);
	ticks += h % 10000;
	(void)snprintf(out, 24, "%lld", (long long)ticks);
}

struct made { /* what a row borrows while it is written */
	char generation[24], scope[256];
	struct buf key1, key2;
};

static void
make_keys(struct visit *v, struct row *row, struct made *m)
{
	char what[420];

	for (int i = 1; i <= 2; i++) {
		(void)snprintf(what, sizeof what,
		    "identity/%s/%.*s/%.*s/%.*s/%lld/%d", v->hub.name,
		    (int)row->id.len, row->id.at, (int)row->module.len,
		    row->module.at, (int)row->generation.len,
		    row->generation.at, (long long)row->etag, i);
		sim_key(v->s, what, 32, i == 1 ? &m->key1 : &m->key2);
	}
	row->key1 = buf_peek(&m->key1);
	row->key2 = buf_peek(&m->key2);
}

static struct span
or_null(const char *text)
{
	return *text ? span_of(text) : (struct span){ NULL, 0 };
}

/* Full replacement: what is not said is made anew. */
static void
set_authentication(
    struct visit *v, struct row *row, const struct entry *e, struct made *m)
{
	row->auth = e->has_auth ? e->auth : AUTH_SAS;
	if (row->auth == AUTH_NONE && *e->module != '$')
		row->auth = AUTH_SAS;
	row->key1 = or_null(e->key1);
	row->key2 = or_null(e->key2);
	row->thumb1 = or_null(e->thumb1);
	row->thumb2 = or_null(e->thumb2);
	if (row->auth == AUTH_SAS && !row->key1.at)
		make_keys(v, row, m);
}

/* At most so many: counting a million for each device would take longer than
 * making it, so it is done again only when the rows made since might fill the
 * hub. */
static int64_t
paid_devices(struct visit *v)
{
	int64_t row = sqlite3_last_insert_rowid(v->s->db), most = row;
	sqlite3_stmt *q;

	if (v->s->count.hub && strcmp(v->s->count.hub, v->hub.name) == 0)
		most = v->s->count.devices + row - v->s->count.row;
	if (most < PAID_DEVICES)
		return most;
	q = sim_sql(v->s, "SELECT count(*) FROM registry WHERE hub = ?");
	sim_bind(q, 1, v->hub.name);
	if (sim_step(v->s, q) != SQLITE_ROW)
		return PAID_DEVICES;
	free(v->s->count.hub);
	v->s->count.hub = xstrdup(v->hub.name);
	v->s->count.devices = sqlite3_column_int64(q, 0);
	v->s->count.row = row;
	return v->s->count.devices;
}

static bool
free_hub_full(struct visit *v)
{
	sqlite3_stmt *q = sim_sql(v->s,
	    "SELECT count(*) FROM registry WHERE hub = ? AND module = ''");

	sim_bind(q, 1, v->hub.name);
	return sim_step(v->s, q) != SQLITE_ROW ||
	       sqlite3_column_int(q, 0) >= FREE_DEVICES;
}

static int
has_room(struct visit *v, bool module, struct refusal *f)
{
	/* Of a free hub it is the devices alone that are counted. */
	if (strcmp(v->hub.sku, "F1") == 0 ? module || !free_hub_full(v)
					  : paid_devices(v) < PAID_DEVICES)
		return 0;
	return refuse(f, HUB_FULL,
	    "Total number of devices on IotHub %s exceeded the quota",
	    v->hub.name);
}

static void
new_row(struct visit *v, struct row *row, struct made *m)
{
	memset(row, 0, sizeof *row);
	make_generation(v, m->generation);
	row->generation = span_of(m->generation);
	row->etag = 100000000 + span_hash(row->generation) % 800000000;
	row->version = 2; /* CONTRACT 13: of a new twin */
	row->twin_etag = row->desired_version = row->reported_version = 1;
	row->born = v->now;
	row->tags = row->desired = row->reported = span_of("{}");
}

static void
add_system_modules(struct visit *v, const char *id)
{
	static const char *const names[] = { "$edgeAgent", "$edgeHub" };

	for (int i = 0; i < 2; i++) {
		struct row row;
		struct made made = { .key1 = BUF_INIT, .key2 = BUF_INIT };

		new_row(v, &row, &made);
		row.id = span_of(id);
		row.module = span_of(names[i]);
		row.auth = AUTH_NONE;
		row.managed = span_of("\"iotEdge\"");
		(void)row_insert(v, &row); /* there already: stays */
	}
}

static int
check_module_room(struct visit *v, const char *id, struct refusal *f)
{
	sqlite3_stmt *q = sim_sql(v->s,
	    "SELECT count(*) FROM registry WHERE hub = ? AND id = ? "
	    "AND module > '' AND module NOT LIKE '$%'");
	int count = 0;

	sim_bind(q, 1, v->hub.name);
	sim_bind(q, 2, id);
	if (sim_step(v->s, q) == SQLITE_ROW)
		count = sqlite3_column_int(q, 0);
	if (count >= 50 || (count >= 20 && sim_doubt_is("max-modules", "20")))
		return refuse(f, TOO_MANY_MODULES,
		    "Device %s has %d modules already", id, count);
	return 0;
}

int
modules_reachable(struct visit *v, const char *id, struct refusal *f)
{
	struct brief brief;
	bool there = device_brief(v, id, &brief);

	/* CONTRACT 12.4 saw it with SAS only. */
	if (v->by_key && (!there || brief.disabled) &&
	    sim_doubt_is("module-of-disabled", "refused"))
		return refuse(f, UNAUTHORIZED, "Unauthorized");
	return there ? 0 : row_missing(v, id, "", f);
}

static int
check_new(struct visit *v, const struct entry *e, struct refusal *f)
{
	if (id_check(e->id, "device id", f))
		return -1;
	if (e->has_module) {
		if (id_check(e->module, "module id", f))
			return -1;
		if (*e->module == '$')
			return refuse(f, SYSTEM_MODULE,
			    "The system module %s cannot be written",
			    e->module);
		if (modules_reachable(v, e->id, f) ||
		    check_module_room(v, e->id, f))
			return -1;
	} else if (e->has_auth && e->auth == AUTH_NONE) {
		return refuse(f, ARGUMENT_INVALID,
		    "Authentication type none is for system modules");
	}
	return has_room(v, e->has_module, f);
}

static int
exists_fault(struct visit *v, const struct entry *e, struct refusal *f)
{
	if (e->has_module)
		return refuse(f, MODULE_EXISTS,
		    "Device %s in IotHub %s already contains Module %s.", e->id,
		    v->hub.name, e->module);
	return refuse(f, DEVICE_EXISTS,
	    "A device with ID '%s' is already registered.", e->id);
}

int
identity_create(struct visit *v, const struct entry *e, struct refusal *f)
{
	struct row row;
	struct made made = { .key1 = BUF_INIT, .key2 = BUF_INIT };
	struct buf tags = BUF_INIT, desired = BUF_INIT, reported = BUF_INIT;
	struct span t = e->tags, d = e->desired, p = e->reported;
	const char *parent = e->edge ? e->parent : e->scope;
	int result = -1, code;

	if (p.at && !v->loading &&
	    sim_doubt_is("reported-on-create", "ignored"))
		p.at = NULL;
	if (check_new(v, e, f) ||
	    (*parent && !e->has_module && check_parent(v, parent, f)) ||
	    section_take("tags", &t, MAX_TAGS, &tags, f) ||
	    section_take(
		"properties.desired", &d, MAX_PROPERTIES, &desired, f) ||
	    section_take(
		"properties.reported", &p, MAX_PROPERTIES, &reported, f))
		goto out;
	new_row(v, &row, &made);
	row.id = span_of(e->id);
	row.module = span_of(e->module);
	row.disabled = !e->has_module && e->disabled;
	row.reason = e->has_module ? (struct span){ NULL, 0 } : e->reason;
	row.managed = e->managed;
	set_authentication(v, &row, e, &made);
	if (!e->has_module) {
		row.edge = e->edge;
		row.parent = or_null(parent);
		if (e->edge) {
			(void)snprintf(made.scope, sizeof made.scope, "%s%s-%s",
			    scope_prefix, e->id, made.generation);
			row.scope = span_of(made.scope);
		}
	}
	if (t.at)
		row.tags = t;
	if (d.at)
		row.desired = d;
	if (p.at)
		row.reported = p;
	code = row_insert(v, &row);
	if (code == SQLITE_CONSTRAINT) {
		(void)exists_fault(v, e, f);
		goto out;
	}
	if (row.edge)
		add_system_modules(v, e->id);
	result = 0;
out:
	buf_wipe(&made.key1);
	buf_wipe(&made.key2);
	buf_free(&tags);
	buf_free(&desired);
	buf_free(&reported);
	return result;
}

/* An Edge device repeats its own scope or is refused; a leaf's deviceScope is
 * its parent's (CONTRACT 12.3).  A parent that stays is not looked up: it may
 * have gone meanwhile. */
static int
update_scopes(struct visit *v, const struct entry *e, struct row *row,
    struct made *m, struct refusal *f)
{
	bool edge = e->has_edge ? e->edge : row->edge;
	const char *parent = edge ? e->parent : e->scope;
	bool same = row->parent.at && span_is(row->parent, parent);

	if (row->edge && edge &&
	    !(row->scope.at && span_is(row->scope, e->scope)))
		return refuse(f, ARGUMENT_INVALID, "Device scope is immutable");
	if (*parent && !same && check_parent(v, parent, f))
		return -1;
	if (edge && !row->edge) {
		(void)snprintf(m->scope, sizeof m->scope, "%s%s-%.*s",
		    scope_prefix, e->id, (int)row->generation.len,
		    row->generation.at);
		row->scope = span_of(m->scope);
		add_system_modules(v, e->id);
	} else if (!edge) {
		row->scope.at = NULL;
	}
	row->edge = edge;
	row->parent = or_null(parent);
	return 0;
}

int
identity_update(struct visit *v, const struct entry *e, const char *match,
    struct refusal *f)
{
	struct row row;
	struct made made = { .key1 = BUF_INIT, .key2 = BUF_INIT };

	if (e->has_module) {
		if (*e->module == '$')
			return refuse(f, SYSTEM_MODULE,
			    "The system module %s cannot be written",
			    e->module);
		if (modules_reachable(v, e->id, f))
			return -1;
	} else if (e->has_auth && e->auth == AUTH_NONE) {
		return refuse(f, ARGUMENT_INVALID,
		    "Authentication type none is for system modules");
	}
	if (!row_find(v, e->id, e->module, &row))
		return row_missing(v, e->id, e->module, f);
	if (check_etag(&row, match, f))
		return -1;
	if (!e->has_module && update_scopes(v, e, &row, &made, f))
		return -1;
	row.etag++;
	if (!e->has_module) {
		if (row.disabled != e->disabled)
			row.status_time = v->now;
		row.disabled = e->disabled;
		row.reason = e->reason;
	}
	row.managed = e->managed;
	set_authentication(v, &row, e, &made);
	row_save_identity(v, &row);
	/* It may be an Edge device now. */
	if (row.scope.at == made.scope)
		configurations_mark(v, row.seq);
	buf_wipe(&made.key1);
	buf_wipe(&made.key2);
	return 0;
}

/* What the query goes on answering for a while (CONTRACT 14). */
static void
keep_ghost(struct visit *v, const struct row *row)
{
	sqlite3_stmt *q;
	struct buf twin = BUF_INIT;

	if (row->module.len || sim_doubt_is("query-lag", "off"))
		return;
	twin_text(row, &twin);
	q = sim_sql(v->s, "DELETE FROM ghost WHERE until < ?");
	(void)sqlite3_bind_int64(q, 1, v->now);
	(void)sim_step(v->s, q);
	q = sim_sql(v->s, "INSERT INTO ghost VALUES (?, ?, ?, ?)");
	sim_bind(q, 1, v->hub.name);
	sim_bind_span(q, 2, row->id);
	(void)sqlite3_bind_int64(q, 3, v->now + INT64_C(25) * 60 * 1000);
	sim_bind_span(q, 4, buf_peek(&twin));
	(void)sim_step(v->s, q);
	buf_free(&twin);
}

int
identity_delete(struct visit *v, const char *id, const char *module,
    const char *match, struct refusal *f)
{
	struct row row;
	sqlite3_stmt *q;

	if (*module == '$')
		return refuse(f, SYSTEM_MODULE,
		    "The system module %s cannot be deleted", module);
	if (*module && modules_reachable(v, id, f))
		return -1;
	if (!row_find(v, id, module, &row)) {
		if (etag_matches(match, "") < 0)
			return refuse(f, PRECONDITION, "Etag missing");
		return row_missing(v, id, module, f);
	}
	if (check_etag(&row, match, f))
		return -1;
	keep_ghost(v, &row);
	configurations_unmark(v, id, module);
	if (*module)
		q = sim_sql(v->s,
		    "DELETE FROM registry WHERE hub = ? AND id = ? "
		    "AND module = ?");
	else
		q = sim_sql(
		    v->s, "DELETE FROM registry WHERE hub = ? AND id = ?");
	sim_bind(q, 1, v->hub.name);
	sim_bind(q, 2, id);
	if (*module)
		sim_bind(q, 3, module);
	(void)sim_step(v->s, q);
	return 0;
}

bool
identity_set_parent(struct visit *v, const char *id, const char *parent_id)
{
	struct brief brief;
	sqlite3_stmt *q;

	if (!device_brief(v, parent_id, &brief) || !brief.edge)
		return false;
	q = sim_sql(v->s,
	    "UPDATE registry SET parent = ? WHERE hub = ? AND id = ? "
	    "AND module = ''");
	sim_bind(q, 1, brief.scope);
	sim_bind(q, 2, v->hub.name);
	sim_bind(q, 3, id);
	(void)sim_step(v->s, q);
	return true;
}

/* Showing. */

void
text_or_null(struct buf *out, const char *name, struct span text)
{
	buf_text(out, name);
	if (text.at) {
		buf_char(out, '"');
		buf_span(out, text);
		buf_char(out, '"');
	} else {
		buf_text(out, "null");
	}
}

void
authentication_text(const struct row *row, struct buf *out)
{
	static const char *const types[] = { "sas", "selfSigned",
		"certificateAuthority", "none" };

	text_or_null(out, "{\"symmetricKey\":{\"primaryKey\":", row->key1);
	text_or_null(out, ",\"secondaryKey\":", row->key2);
	text_or_null(
	    out, "},\"x509Thumbprint\":{\"primaryThumbprint\":", row->thumb1);
	text_or_null(out, ",\"secondaryThumbprint\":", row->thumb2);
	buf_text(out, "},\"type\":\"");
	buf_text(out, types[row->auth]);
	buf_text(out, "\"}");
}

void
edge_text(const struct row *row, bool empty, struct buf *out)
{
	buf_text(out, row->edge ? ",\"capabilities\":{\"iotEdge\":true}"
				: ",\"capabilities\":{\"iotEdge\":false}");
	if (row->edge)
		text_or_null(out, ",\"deviceScope\":", row->scope);
	else if (row->parent.at)
		text_or_null(out, ",\"deviceScope\":", row->parent);
	if (row->parent.at || empty)
		buf_text(out, ",\"parentScopes\":[");
	if (row->parent.at)
		text_or_null(out, "", row->parent);
	if (row->parent.at || empty)
		buf_char(out, ']');
}

void
identity_text(const struct row *row, bool just_made, struct buf *out)
{
	char etag[40], time[32] = "0001-01-01T00:00:00Z";
	bool module = row->module.len > 0;

	etag_text(row->etag, etag);
	if (row->status_time)
		sim_iso_time(row->status_time, time);
	if (module) {
		text_or_null(out, "{\"moduleId\":", row->module);
		buf_text(out, ",\"managedBy\":");
		if (row->managed.at)
			buf_span(out, row->managed);
		else
			buf_text(out, "null");
		buf_char(out, ',');
	} else {
		buf_char(out, '{');
	}
	text_or_null(out, "\"deviceId\":", row->id);
	text_or_null(out, ",\"generationId\":", row->generation);
	text_or_null(out, ",\"etag\":", span_of(etag));
	buf_text(out, ",\"connectionState\":\"Disconnected\"");
	if (!module) {
		buf_text(out, row->disabled ? ",\"status\":\"disabled\""
					    : ",\"status\":\"enabled\"");
		buf_text(out, ",\"statusReason\":");
		if (row->reason.at)
			buf_span(out, row->reason);
		else
			buf_text(out, "null");
	}
	/* The answer to a create lacks the Z (CONTRACT 12.1). */
	buf_text(out, ",\"connectionStateUpdatedTime\":\"0001-01-01T00:00:00");
	buf_text(out, just_made ? "\"" : "Z\"");
	if (!module)
		text_or_null(out, ",\"statusUpdatedTime\":", span_of(time));
	buf_text(out, ",\"lastActivityTime\":\"0001-01-01T00:00:00Z\","
		      "\"cloudToDeviceMessageCount\":0");
	buf_text(out, ",\"authentication\":");
	authentication_text(row, out);
	if (!module)
		edge_text(row, true, out);
	buf_char(out, '}');
}
