/*
 * configurations.c: the calls on configurations (CONTRACT 15), and what
 * applies content at once to one Edge device (applyConfigurationContent).
 * targets.c applies them in the background.
 */
#include "registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum { MAX_CONFIGURATIONS = 100, MAX_FREE = 10, MAX_ID = 128 };

#define COLUMNS                                                            \
	"id, etag, created, updated, schema, labels, content, condition, " \
	"priority, metrics"

static int
check_id(const char *id, struct refusal *f)
{
	size_t len = strlen(id);

	if (len && len <= MAX_ID &&
	    strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789-+%_*!'") == len)
		return 0;
	return refuse(f, ARGUMENT_INVALID,
	    "The configuration id '%.130s' is not valid", id);
}

static void
or_text(struct buf *out, const char *name, struct span text, const char *none)
{
	buf_text(out, name);
	buf_span(out, text.len ? text : span_of(none));
}

/* What the hub counts by itself, in its own words (CONTRACT 15). */
static void
add_system_queries(struct buf *out, sqlite3_stmt *q)
{
	struct buf query = BUF_INIT;
	struct span id = sim_column(q, 0), content = sim_column(q, 6);
	char *condition = json_string(sim_column(q, 7));
	const char *c = condition ? condition : "";
	bool edge = object_get(content, "modulesContent").at,
	     any = strcmp(c, "*") == 0;
	static const char *const more[] = { "reportedFailedCount", " != 200",
		"reportedSuccessfulCount", " = 200" };

	if (strncasecmp(c, "from ", 5) == 0)
		buf_printf(&query, "select deviceId, moduleId %s", c);
	else if (any)
		buf_printf(&query, "select deviceId from devices%s",
		    edge ? " where capabilities.iotEdge = true" : "");
	else
		buf_printf(&query, "select deviceId from devices where %s%s",
		    edge ? "capabilities.iotEdge = true and " : "", c);
	buf_text(out, "\"targetedCount\":");
	buf_json(out, query.at, query.len);
	buf_clear(&query);
	buf_printf(&query, "select deviceId%s from devices%s where %s",
	    object_get(content, "moduleContent").at ? ", moduleId" : "",
	    object_get(content, "deviceContent").at ? "" : ".modules",
	    edge ? "moduleId = '$edgeAgent' and " : "");
	buf_printf(&query, "configurations.[[%.*s]].status = 'Applied'",
	    (int)id.len, id.at);
	buf_text(out, ",\"appliedCount\":");
	buf_json(out, query.at, query.len);
	for (int i = 0; edge && i < 4; i += 2) {
		struct buf one = BUF_INIT;

		buf_span(&one, buf_peek(&query));
		buf_printf(&one,
		    " and properties.desired.$version = "
		    "properties.reported.lastDesiredVersion and "
		    "properties.reported.lastDesiredStatus.code%s",
		    more[i + 1]);
		buf_printf(out, ",\"%s\":", more[i]);
		buf_json(out, one.at, one.len);
		buf_free(&one);
	}
	buf_free(&query);
	free(condition);
}

static void
show(sqlite3_stmt *q, struct buf *out)
{
	char etag[40], created[32], updated[32];
	struct span queries = object_get(
	    sim_column(q, 9).len ? sim_column(q, 9) : span_of("{}"), "queries");

	etag_text(sqlite3_column_int64(q, 1), etag);
	sim_iso_time(sqlite3_column_int64(q, 2), created);
	sim_iso_time(sqlite3_column_int64(q, 3), updated);
	buf_text(out, "{\"id\":");
	buf_json(out, sim_column(q, 0).at, sim_column(q, 0).len);
	or_text(out, ",\"schemaVersion\":", sim_column(q, 4), "\"1.0\"");
	or_text(out, ",\"labels\":", sim_column(q, 5), "{}");
	or_text(out, ",\"content\":", sim_column(q, 6), "{}");
	or_text(out, ",\"targetCondition\":", sim_column(q, 7), "\"\"");
	buf_printf(out, ",\"createdTimeUtc\":\"%s\"", created);
	buf_printf(out, ",\"lastUpdatedTimeUtc\":\"%s\"", updated);
	or_text(out, ",\"priority\":", sim_column(q, 8), "0");
	or_text(out, ",\"systemMetrics\":{\"results\":", sim_column(q, 10),
	    "{\"targetedCount\":0,\"appliedCount\":0}");
	buf_text(out, ",\"queries\":{");
	add_system_queries(out, q);
	or_text(out, "}},\"metrics\":{\"results\":", sim_column(q, 11), "{}");
	buf_text(out, ",\"queries\":");
	buf_span(out, queries.at ? queries : span_of("{}"));
	buf_printf(out, "},\"etag\":\"%s\"}", etag);
}

/* With what was counted last. */
#define COUNTED                                                         \
	COLUMNS ", (SELECT system FROM target_number AS n WHERE n.hub " \
		"= c.hub AND n.id = c.id), (SELECT custom FROM "        \
		"target_number AS n WHERE n.hub = c.hub AND n.id = c.id)"

static sqlite3_stmt *
find(struct visit *v, const char *id)
{
	sqlite3_stmt *q =
	    sim_sql(v->s, "SELECT " COUNTED
			  " FROM configuration AS c WHERE hub = ? AND id = ?");

	sim_bind(q, 1, v->hub.name);
	sim_bind(q, 2, id);
	return sim_step(v->s, q) == SQLITE_ROW ? q : NULL;
}

static int
missing(struct refusal *f, const char *id)
{
	return refuse(f, NO_CONFIGURATION,
	    "Configuration with id '%s' does not exist", id);
}

static int
reply_one(struct visit *v, const char *id, struct refusal *f)
{
	sqlite3_stmt *q = find(v, id);
	struct buf body = BUF_INIT;
	char etag[40];

	if (!q)
		return missing(f, id);
	etag_text(sqlite3_column_int64(q, 1), etag);
	show(q, &body);
	sim_head(v->r, "ETag", "\"%s\"", etag);
	reply_text(v, 200, &body);
	buf_free(&body);
	return 0;
}

static int
list(struct visit *v)
{
	char *top = sim_query(v->q, "top");
	long most = top && *top ? strtol(top, NULL, 10) : MAX_CONFIGURATIONS;
	sqlite3_stmt *q = sim_sql(v->s,
	    "SELECT " COUNTED
	    " FROM configuration AS c WHERE hub = ? ORDER BY id LIMIT ?");
	struct buf body = BUF_INIT;

	sim_bind(q, 1, v->hub.name);
	(void)sqlite3_bind_int64(q, 2, most > 0 ? most : MAX_CONFIGURATIONS);
	buf_char(&body, '[');
	while (sim_step(v->s, q) == SQLITE_ROW) {
		if (body.len > 1)
			buf_char(&body, ',');
		show(q, &body);
	}
	buf_char(&body, ']');
	reply_text(v, 200, &body);
	buf_free(&body);
	free(top);
	return 0;
}

struct content_key {
	char text[2048];
	const char *path[16]; /* NULL ends; none: all of desired */
};

/* What a key of a content leads to ("properties.desired.a.b"), by names; false
 * where it is no such key. */
static bool
content_key(struct span name, struct content_key *key)
{
	static const char root[] = "properties.desired";
	struct span quoted = { name.at - 1, name.len + 2 };
	char *rest = key->text;
	int n = 0;

	key->path[0] = NULL;
	if (copy_string(quoted, key->text, sizeof key->text) ||
	    strncmp(rest, root, sizeof root - 1) != 0)
		return false;
	rest += sizeof root - 1;
	while (*rest == '.' && n < 15) {
		*rest++ = '\0';
		if (!*rest || *rest == '.')
			return false;
		key->path[n++] = rest;
		rest += strcspn(rest, ".");
	}
	key->path[n] = NULL;
	return *rest == '\0';
}

static int
check_keys(struct span content, struct refusal *f)
{
	struct each e;

	for (each_begin(&e, content); each_next(&e);) {
		struct content_key key;

		if (!content_key(e.name, &key))
			return refuse(f, BAD_CONTENT,
			    "'%.*s' is not properties.desired nor a path "
			    "below it",
			    e.name.len > 200 ? 200 : (int)e.name.len,
			    e.name.at);
	}
	return 0;
}

/* A base deployment names the agent; a layer has paths only. */
static int
check_modules(struct span modules, struct refusal *f)
{
	bool layer = true;
	struct each e, k;

	for (each_begin(&e, modules); each_next(&e);) {
		if (check_keys(e.value, f))
			return -1;
		for (each_begin(&k, e.value); each_next(&k);)
			layer = layer && !span_is(k.name, "properties.desired");
	}
	if (!layer && !object_get(modules, "$edgeAgent").at)
		return refuse(
		    f, BAD_CONTENT, "A deployment needs the module $edgeAgent");
	return 0;
}

/* Exactly one kind of content. */
static int
check_content(struct span content, struct refusal *f)
{
	static const char *const kinds[] = { "deviceContent", "moduleContent",
		"modulesContent" };
	struct span found = { NULL, 0 };
	int n = 0, which = 0;

	for (int i = 0; i < 3; i++) {
		struct span kind = object_get(content, kinds[i]);

		if (!kind.len || *kind.at != '{')
			continue;
		found = kind;
		which = i;
		n++;
	}
	if (n != 1)
		return refuse(f, BAD_CONTENT,
		    "Exactly one of deviceContent, moduleContent and "
		    "modulesContent is needed");
	return which == 2 ? check_modules(found, f) : check_keys(found, f);
}

static int
check_room(struct visit *v, struct refusal *f)
{
	int most =
	    strcmp(v->hub.sku, "F1") == 0 ? MAX_FREE : MAX_CONFIGURATIONS;
	sqlite3_stmt *q =
	    sim_sql(v->s, "SELECT count(*) FROM configuration WHERE hub = ?");

	sim_bind(q, 1, v->hub.name);
	if (sim_step(v->s, q) == SQLITE_ROW && sqlite3_column_int(q, 0) >= most)
		return refuse(f, 413, 413000, "ConfigurationCountLimitExceeded",
		    "IotHub %s has %d configurations already", v->hub.name,
		    most);
	return 0;
}

/* A stored member keeps its text; NULL and null are the same. */
static void
bind_member(sqlite3_stmt *q, int i, struct span object, const char *name)
{
	struct span value = object_get(object, name);

	if (value.at && json_kind_of(value) != JSON_NULL)
		sim_bind_span(q, i, value);
	else
		sim_bind(q, i, NULL);
}

static int
create(struct visit *v, const char *id, struct span body, struct refusal *f)
{
	sqlite3_stmt *q;

	if (check_content(object_get(body, "content"), f) || check_room(v, f))
		return -1;
	q = sim_sql(v->s, "INSERT INTO configuration (hub, " COLUMNS
			  ") VALUES (?, ?, 1, ?3, ?3, ?, ?, ?, ?, ?, ?)");
	sim_bind(q, 1, v->hub.name);
	sim_bind(q, 2, id);
	(void)sqlite3_bind_int64(q, 3, v->now);
	bind_member(q, 4, body, "schemaVersion");
	bind_member(q, 5, body, "labels");
	bind_member(q, 6, body, "content");
	bind_member(q, 7, body, "targetCondition");
	bind_member(q, 8, body, "priority");
	bind_member(q, 9, body, "metrics");
	(void)sim_step(v->s, q);
	configurations_changed(v);
	return 0;
}

/* The content is asked for again, and then ignored. */
static int
update(struct visit *v, const char *id, struct span body, struct refusal *f)
{
	sqlite3_stmt *q;

	if (check_content(object_get(body, "content"), f))
		return -1;
	q = sim_sql(v->s,
	    "UPDATE configuration SET etag = etag + 1, updated = ?, "
	    "labels = ?, condition = ?, priority = ?, metrics = ? "
	    "WHERE hub = ? AND id = ?");
	(void)sqlite3_bind_int64(q, 1, v->now);
	bind_member(q, 2, body, "labels");
	bind_member(q, 3, body, "targetCondition");
	bind_member(q, 4, body, "priority");
	bind_member(q, 5, body, "metrics");
	sim_bind(q, 6, v->hub.name);
	sim_bind(q, 7, id);
	(void)sim_step(v->s, q);
	configurations_changed(v);
	return 0;
}

static int
check_condition(struct span body, struct refusal *f)
{
	struct span condition = object_get(body, "targetCondition");
	char *text;
	int result;

	if (!condition.at || json_kind_of(condition) == JSON_NULL)
		return 0;
	text = json_string(condition);
	result = text ? query_check(text, true, f)
		      : refuse(f, ARGUMENT_INVALID,
			    "The target condition is no text");
	free(text);
	return result;
}

static int
check_priority(struct span body, struct refusal *f)
{
	struct span priority = object_get(body, "priority");

	if (!priority.at || json_kind_of(priority) == JSON_NULL)
		return 0;
	if (json_kind_of(priority) == JSON_NUMBER && priority.len < 11 &&
	    !memchr(priority.at, '.', priority.len) &&
	    !memchr(priority.at, 'e', priority.len) &&
	    !memchr(priority.at, '-', priority.len))
		return 0;
	return refuse(f, ARGUMENT_INVALID,
	    "The priority must be a number that is not negative");
}

int
configuration_write(struct visit *v, const char *id, struct span body,
    const char *match, struct refusal *f)
{
	sqlite3_stmt *there;
	char etag[40];

	if (json_kind_of(body) != JSON_OBJECT)
		return refuse(f, NOT_PARSED, "An object was expected");
	if (check_id(id, f) || check_condition(body, f) ||
	    check_priority(body, f))
		return -1;
	there = find(v, id);
	if (!match)
		return there ? refuse(f, CONFIGURATION_EXISTS,
				   "Configuration with id '%s' already exists",
				   id)
			     : create(v, id, body, f);
	if (!there)
		return missing(f, id);
	etag_text(sqlite3_column_int64(there, 1), etag);
	if (etag_matches(match, etag) != 1)
		return refuse(f, PRECONDITION, "ETag mismatch");
	return update(v, id, body, f);
}

/* An unquoted If-Match is not seen at all: a misleading 409 follows. */
static int
put(struct visit *v, const char *id, struct refusal *f)
{
	struct json body = { .count = 0 };
	const char *match = v->q->header(v->q, "if-match");
	bool result;

	if (match && strcmp(match, "*") != 0 &&
	    (*match != '"' || strcmp(match, "\"\"") == 0))
		match = NULL;
	result = visit_body(v, &body, f) ||
		 configuration_write(v, id, body.text, match, f);
	json_free(&body);
	return result ? -1 : reply_one(v, id, f);
}

int
configuration_delete(
    struct visit *v, const char *id, const char *match, struct refusal *f)
{
	sqlite3_stmt *q = find(v, id);
	char etag[40];

	if (!q)
		return missing(f, id);
	etag_text(sqlite3_column_int64(q, 1), etag);
	if (etag_matches(match, etag) == 0)
		return refuse(f, PRECONDITION, "ETag mismatch");
	q = sim_sql(v->s, "DELETE FROM configuration WHERE hub = ? AND id = ?");
	sim_bind(q, 1, v->hub.name);
	sim_bind(q, 2, id);
	(void)sim_step(v->s, q);
	configurations_changed(v);
	return 0;
}

static int
remove_one(struct visit *v, const char *id, struct refusal *f)
{
	if (configuration_delete(v, id, v->q->header(v->q, "if-match"), f))
		return -1;
	v->r->status = 204;
	return 0;
}

static void
add_query_error(struct buf *out, struct span value, bool condition)
{
	char *text = json_string(value);
	struct refusal f;

	if (text && query_check(text, condition, &f))
		buf_json(out, f.text, strlen(f.text));
	free(text);
}

static int
test_queries(struct visit *v, struct refusal *f)
{
	struct json body = { .count = 0 };
	struct span condition, metrics;
	struct buf out = BUF_INIT, errors = BUF_INIT;
	struct each e;

	if (visit_body(v, &body, f)) {
		json_free(&body);
		return -1;
	}
	condition = object_get(body.text, "targetCondition");
	metrics = object_get(body.text, "customMetricQueries");
	buf_text(&out, "{\"targetConditionError\":");
	if (condition.at)
		add_query_error(&errors, condition, true);
	buf_span(&out, errors.len ? buf_peek(&errors) : span_of("null"));
	buf_text(&out, ",\"customMetricQueryErrors\":{");
	if (metrics.at)
		for (each_begin(&e, metrics); each_next(&e);) {
			buf_clear(&errors);
			add_query_error(&errors, e.value, false);
			if (!errors.len)
				continue;
			if (out.at[out.len - 1] != '{')
				buf_char(&out, ',');
			buf_char(&out, '"');
			buf_span(&out, e.name);
			buf_text(&out, "\":");
			buf_span(&out, buf_peek(&errors));
		}
	buf_text(&out, "}}");
	reply_text(v, 200, &out);
	buf_free(&out);
	buf_free(&errors);
	json_free(&body);
	return 0;
}

void
configurations_handle(struct visit *v)
{
	char *id = sim_segment(v->q, 1);
	const char *method = v->q->method;
	struct refusal f;
	int result;

	if (visit_allowed(v, "ServiceConnect", &f))
		result = -1;
	else if (!id && strcmp(method, "GET") == 0)
		result = list(v);
	else if (id && strcmp(id, "testQueries") == 0 &&
		 strcmp(method, "POST") == 0)
		result = test_queries(v, &f);
	else if (id && strcmp(method, "GET") == 0)
		result = reply_one(v, id, &f);
	else if (id && strcmp(method, "PUT") == 0)
		result = put(v, id, &f);
	else if (id && strcmp(method, "DELETE") == 0)
		result = remove_one(v, id, &f);
	else
		result = visit_no_method(v, &f);
	if (result)
		reply_refusal(v, &f);
	free(id);
}

/* "properties.desired" replaces all of it, "properties.desired.a.b" sets what
 * that path leads to. */
int
content_set(struct span now, struct span content, struct buf *out)
{
	struct buf one = BUF_INIT, next = BUF_INIT;
	struct content_key key;
	struct each e;
	int result = 0;

	buf_span(&one, now);
	for (each_begin(&e, content); result == 0 && each_next(&e);) {
		struct buf swap = one;

		if (!content_key(e.name, &key))
			continue;
		buf_clear(&next);
		if (!key.path[0])
			buf_span(&next, e.value);
		else if (json_set_path(
			     buf_peek(&one), key.path, e.value, &next))
			result = -1;
		one = next;
		next = swap;
	}
	if (result == 0)
		buf_span(out, buf_peek(&one));
	buf_free(&one);
	buf_free(&next);
	return result;
}

static int
apply_to(struct visit *v, const char *id, const char *module,
    struct span content, struct refusal *f)
{
	struct row row;
	struct buf next = BUF_INIT;
	int result;

	if (!row_find(v, id, module, &row))
		return row_missing(v, id, module, f);
	if (content_set(row.desired, content, &next))
		result = refuse(f, BAD_CONTENT,
		    "A path of the content leads through something that is "
		    "no object");
	else
		result = twin_set_desired(v, &row, buf_peek(&next), true, f);
	buf_free(&next);
	return result;
}

int
deployed_module(
    struct visit *v, const char *id, const char *module, struct refusal *f)
{
	struct entry e;
	struct row row;

	if (*module == '$' || row_find(v, id, module, &row))
		return 0;
	memset(&e, 0, sizeof e);
	if (strlen(id) >= sizeof e.id || strlen(module) >= sizeof e.module)
		return refuse(f, ARGUMENT_INVALID, "The id is too long");
	(void)snprintf(e.id, sizeof e.id, "%s", id);
	(void)snprintf(e.module, sizeof e.module, "%s", module);
	e.has_module = true;
	e.managed = span_of("\"iotEdge\"");
	return identity_create(v, &e, f);
}

/* agent: the desired properties of $edgeAgent. */
int
deployed_modules(
    struct visit *v, const char *id, struct span agent, struct refusal *f)
{
	struct span modules = object_get(agent, "modules");
	struct each e;

	if (!modules.at)
		return 0;
	for (each_begin(&e, modules); each_next(&e);) {
		char name[136];

		span_copy(e.name, name, sizeof name);
		if (deployed_module(v, id, name, f))
			return -1;
	}
	return 0;
}

static int
apply_body(struct visit *v, const char *id, struct span body, struct refusal *f)
{
	struct span device = object_get(body, "deviceContent"),
		    modules = object_get(body, "modulesContent");
	struct row row;
	struct each e;

	if (!row_find(v, id, "", &row))
		return row_missing(v, id, "", f);
	if (!device.at && !modules.at)
		return refuse(f, BAD_CONTENT, "There is nothing to apply");
	if (modules.at && !row.edge)
		return refuse(
		    f, BAD_CONTENT, "Device %s is no Edge device", id);
	if (device.at && apply_to(v, id, "", device, f))
		return -1;
	if (!modules.at)
		return 0;
	if (deployed_modules(v, id,
		object_get(
		    object_get(modules, "$edgeAgent"), "properties.desired"),
		f))
		return -1;
	for (each_begin(&e, modules); each_next(&e);) {
		char name[136];

		span_copy(e.name, name, sizeof name);
		if (deployed_module(v, id, name, f) ||
		    apply_to(v, id, name, e.value, f))
			return -1;
	}
	return 0;
}

void
apply_content(struct visit *v, const char *id)
{
	struct json body = { .count = 0 };
	struct refusal f;
	int result = -1;

	if ((strcmp(v->q->method, "POST") != 0 && visit_no_method(v, &f)) ||
	    visit_allowed(v, "ServiceConnect", &f) || visit_body(v, &body, &f))
		goto out;
	sim_savepoint(v->s);
	result = apply_body(v, id, body.text, &f);
	if (result) {
		sim_rollback(v->s);
	} else {
		sim_release(v->s);
		v->r->status = 204;
	}
out:
	if (result)
		reply_refusal(v, &f);
	json_free(&body);
}
