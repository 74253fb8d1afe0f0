/*
 * configurations.c: configurations are stored and returned (CONTRACT 15).
 *
 * Not simulated: that the hub applies a configuration's content to the devices
 * its target condition selects, and counts them.  What applies content at once
 * to one Edge device (applyConfigurationContent) is here.
 */
#include "registry.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

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
	buf_text(out, ",\"systemMetrics\":{\"results\":{\"targetedCount\":0,"
		      "\"appliedCount\":0},\"queries\":{}},"
		      "\"metrics\":{\"results\":{},\"queries\":");
	buf_span(out, queries.at ? queries : span_of("{}"));
	buf_printf(out, "},\"etag\":\"%s\"}", etag);
}

static sqlite3_stmt *
find(struct visit *v, const char *id)
{
	sqlite3_stmt *q = sim_sql(v->s,
	    "SELECT " COLUMNS " FROM configuration WHERE hub = ? AND id = ?");

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
	    "SELECT " COLUMNS " FROM configuration WHERE hub = ? ORDER BY id "
	    "LIMIT ?");
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

/* Exactly one kind of content; an Edge deployment needs its agent unless it
 * is a layer. */
static int
check_content(struct span content, struct refusal *f)
{
	static const char *const kinds[] = { "deviceContent", "moduleContent",
		"modulesContent" };
	int n = 0;

	for (int i = 0; i < 3; i++) {
		struct span kind = object_get(content, kinds[i]);

		n += kind.len && *kind.at == '{';
	}
	if (n != 1)
		return refuse(f, BAD_CONTENT,
		    "Exactly one of deviceContent, moduleContent and "
		    "modulesContent is needed");
	return 0;
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

/* An unquoted If-Match is not seen at all: a misleading 409 follows. */
static int
put(struct visit *v, const char *id, struct refusal *f)
{
	struct json body = { .count = 0 };
	struct json_fault why;
	const char *match = v->q->header(v->q, "if-match");
	bool quoted = match && *match == '"' && strcmp(match, "\"\"") != 0;
	sqlite3_stmt *there;
	char etag[40];
	int result = -1;

	if (json_scan(v->q->body, &body, &why)) {
		(void)refuse(
		    f, NOT_PARSED, "%s at byte %zu", why.reason, why.offset);
		goto out;
	}
	if (check_id(id, f) || check_condition(body.text, f))
		goto out;
	if (match && strcmp(match, "*") == 0)
		quoted = true;
	there = find(v, id);
	if (!quoted) {
		result =
		    there ? refuse(f, CONFIGURATION_EXISTS,
				"Configuration with id '%s' already exists", id)
			  : create(v, id, body.text, f);
		goto out;
	}
	if (!there) {
		(void)missing(f, id);
		goto out;
	}
	etag_text(sqlite3_column_int64(there, 1), etag);
	result = etag_matches(match, etag) == 1
		     ? update(v, id, body.text, f)
		     : refuse(f, PRECONDITION, "ETag mismatch");
out:
	json_free(&body);
	return result ? -1 : reply_one(v, id, f);
}

static int delete (struct visit *v, const char *id, struct refusal *f)
{
	const char *match = v->q->header(v->q, "if-match");
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
	struct json_fault why;
	struct span condition, metrics;
	struct buf out = BUF_INIT, errors = BUF_INIT;
	struct each e;

	if (json_scan(v->q->body, &body, &why)) {
		json_free(&body);
		return refuse(
		    f, NOT_PARSED, "%s at byte %zu", why.reason, why.offset);
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
		result = delete (v, id, &f);
	else
		result = refuse(&f, 405, 405000, "GenericMethodNotAllowed",
		    "%s is not allowed here", method);
	if (result)
		reply_refusal(v, &f);
	free(id);
}

/*
 * applyConfigurationContent: "properties.desired" replaces all of it,
 * "properties.desired.a.b" sets what that path leads to.
 */
static int
apply_to(struct visit *v, const char *id, const char *module,
    struct span content, struct refusal *f)
{
	static const char root[] = "properties.desired";
	struct row row;
	struct buf now = BUF_INIT, next = BUF_INIT;
	struct each e;
	int result = -1;

	if (!row_find(v, id, module, &row))
		return row_missing(v, id, module, f);
	buf_span(&now, row.desired);
	for (each_begin(&e, content); each_next(&e);) {
		const char *path[12];
		char name[1024], *rest = name;
		int n = 0;

		(void)snprintf(
		    name, sizeof name, "%.*s", (int)e.name.len, e.name.at);
		if (strncmp(name, root, sizeof root - 1) != 0)
			continue;
		rest += sizeof root - 1;
		while (*rest == '.' && n < 11) {
			*rest++ = '\0';
			path[n++] = rest;
			rest += strcspn(rest, ".");
		}
		path[n] = NULL;
		buf_clear(&next);
		if (n == 0)
			buf_span(&next, e.value);
		else if (json_set_path(buf_peek(&now), path, e.value, &next)) {
			(void)refuse(f, BAD_CONTENT,
			    "The path '%.*s' leads through something that is "
			    "no object",
			    (int)e.name.len, e.name.at);
			goto out;
		}
		buf_clear(&now);
		buf_span(&now, buf_peek(&next));
	}
	result = twin_set_desired(v, &row, buf_peek(&now), f);
out:
	buf_free(&now);
	buf_free(&next);
	return result;
}

/* Modules that a deployment names and that are not there yet are made. */
static int
make_module(
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

static int
make_modules_of(
    struct visit *v, const char *id, struct span content, struct refusal *f)
{
	static const char *const way[] = { "$edgeAgent", "properties.desired",
		"modules", NULL };
	struct span modules;
	struct each e;

	if (json_get(content, way, &modules, NULL) != 1)
		return 0;
	for (each_begin(&e, modules); each_next(&e);) {
		char name[136];

		(void)snprintf(
		    name, sizeof name, "%.*s", (int)e.name.len, e.name.at);
		if (make_module(v, id, name, f))
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
	if (make_modules_of(v, id, modules, f))
		return -1;
	for (each_begin(&e, modules); each_next(&e);) {
		char name[136];

		(void)snprintf(
		    name, sizeof name, "%.*s", (int)e.name.len, e.name.at);
		if (make_module(v, id, name, f) ||
		    apply_to(v, id, name, e.value, f))
			return -1;
	}
	return 0;
}

void
apply_content(struct visit *v, const char *id)
{
	struct json body = { .count = 0 };
	struct json_fault why;
	struct refusal f;
	int result = -1;

	if (strcmp(v->q->method, "POST") != 0) {
		(void)refuse(&f, 405, 405000, "GenericMethodNotAllowed",
		    "%s is not allowed here", v->q->method);
		goto out;
	}
	if (visit_allowed(v, "ServiceConnect", &f))
		goto out;
	if (json_scan(v->q->body, &body, &why)) {
		(void)refuse(
		    &f, NOT_PARSED, "%s at byte %zu", why.reason, why.offset);
		goto out;
	}
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
