/*
 * arm.c: Resource Manager: who asks, what for, groups, lists, long-running
 * operations, and what all kinds of resources have in common; see arm.h.
 *
 * A knob for tests: a resource with the tag "hub-sim-deny": "listKeys" answers
 * listKeys (on it, and on whatever is below it) with 403 AuthorizationFailed.
 * The value is a list of words with commas: any action's name, read, write,
 * delete.
 */
#include "arm.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "share.h"

enum { PAGE = 100 };

const char arm_schema[] =
    "CREATE TABLE IF NOT EXISTS arm_group ("
    " n INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT UNIQUE, name TEXT,"
    " body TEXT);"
    "CREATE TABLE IF NOT EXISTS resource ("
    " n INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT UNIQUE, id TEXT,"
    " type TEXT, grp TEXT, name TEXT, body TEXT);"
    "CREATE INDEX IF NOT EXISTS resource_by_type ON resource (type, name);"
    "CREATE INDEX IF NOT EXISTS resource_by_group ON resource (grp);"
    "CREATE TABLE IF NOT EXISTS operation ("
    " id TEXT PRIMARY KEY, over INTEGER, status INTEGER, body TEXT);"
    "CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, n INTEGER);"
    "CREATE TABLE IF NOT EXISTS hub ("
    " name TEXT PRIMARY KEY, key TEXT, sku TEXT, units INTEGER,"
    " local_auth INTEGER, active INTEGER, busy INTEGER, gone INTEGER);"
    "CREATE TABLE IF NOT EXISTS policy ("
    " hub TEXT, place INTEGER, name TEXT, first TEXT, second TEXT,"
    " rights TEXT, PRIMARY KEY (hub, name));"
    "CREATE TABLE IF NOT EXISTS secret ("
    " hub TEXT, endpoint TEXT, name TEXT, member TEXT, value TEXT,"
    " PRIMARY KEY (hub, endpoint, member));";

/* -- small things -------------------------------------------------------- */

char *
arm_lower(const char *text)
{
	char *s = xstrdup(text);

	for (char *c = s; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return s;
}

char *
arm_text(jv object, const char *name)
{
	return jv_dup_string(jv_at(jv_copy(object), name));
}

jv
arm_member(jv object, const char *name)
{
	return jv_at(jv_copy(object), name);
}

bool
arm_has(jv object, const char *name)
{
	jv v = arm_member(object, name);
	bool is = jv_get_kind(v) != JV_KIND_NULL;

	jv_free(v);
	return is;
}

/* A whole number in an object; otherwise when absent.  Microsoft's own sample
 * templates give capacity and partitionCount as text. */
long
arm_number(jv object, const char *name, long otherwise)
{
	jv v = arm_member(object, name);
	const char *text = jv_string_peek(v);
	char *end = NULL;
	long n = otherwise;

	if (jv_get_kind(v) == JV_KIND_NUMBER)
		n = (long)jv_number_value(v);
	else if (text && *text) {
		if (strncmp(text, DOC_NUMBER, strlen(DOC_NUMBER)) == 0)
			text += strlen(DOC_NUMBER);
		n = (long)strtod(text, &end);
		if (*end)
			n = otherwise;
	}
	jv_free(v);
	return n;
}

bool
arm_is_true(jv object, const char *name)
{
	jv v = arm_member(object, name);
	bool is = jv_get_kind(v) == JV_KIND_TRUE;

	jv_free(v);
	return is;
}

jv
arm_time(int64_t ms)
{
	char text[32];

	sim_iso_time(ms, text);
	return jv_string(text);
}

static jv
failure(int status, jv body)
{
	return jv_invalid_with_msg(jv_put(
	    jv_put(jv_object(), "status", jv_number(status)), "body", body));
}

jv
arm_fail(int status, const char *code, const char *fmt, ...)
{
	va_list ap;
	char *text;
	jv e;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		die(LOCAL_FAILURE, NULL, "out of memory");
	va_end(ap);
	e = jv_put(jv_put(jv_object(), "code", jv_string(code)), "message",
	    jv_string(text));
	free(text);
	return failure(status, jv_put(jv_object(), "error", e));
}

/* "2023-11-06 20:15:34Z": the provider's own way of writing the time. */
jv
hub_fail(struct sim *s, int status, int code, const char *fmt, ...)
{
	char when[32], guid[37], *text;
	va_list ap;
	jv body;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		die(LOCAL_FAILURE, NULL, "out of memory");
	va_end(ap);
	sim_iso_time(sim_now(s), when);
	when[10] = ' ';
	when[19] = '\0';
	sim_guid(s, text, guid);
	body = jv_put(jv_put(jv_object(), "code", jv_number(code)),
	    "httpStatusCode", jv_number(status));
	body = jv_put(body, "message",
	    jv_text("%s If you contact a support representative please include "
		    "this correlation identifier: %s, timestamp: %sZ, "
		    "errorcode: IH%d.",
		text, guid, when, code));
	free(text);
	return failure(status, body);
}

void
arm_answer(struct sim_reply *r, int status, jv body)
{
	r->status = status;
	r->content_type = NULL;
	buf_clear(&r->body);
	if (jv_get_kind(body) == JV_KIND_NULL) {
		jv_free(body);
		return;
	}
	doc_compact(body, &r->body);
	/* A document on one line ends in a newline; an answer does not. */
	if (r->body.len && r->body.at[r->body.len - 1] == '\n')
		r->body.at[--r->body.len] = '\0';
}

void
arm_refuse(struct sim_reply *r, jv invalid)
{
	jv e = jv_invalid_get_msg(invalid);
	jv status = jv_at(jv_copy(e), "status");

	if (jv_get_kind(status) == JV_KIND_NUMBER)
		arm_answer(r, (int)jv_number_value(status), jv_at(e, "body"));
	else {
		jv text = jv_dump_string(e, 0);

		sim_error(
		    r, 500, "InternalServerError", "%s", jv_string_value(text));
		jv_free(text);
	}
	jv_free(status);
}

static jv
parse(struct span text)
{
	jv v = doc_parse(text, "request");

	if (!jv_is_valid(v)) {
		struct err e;

		(void)err_from_jv(&e, v);
		return arm_fail(400, "InvalidRequestContent",
		    "The request content was invalid and could not be "
		    "deserialized: '%s'.",
		    e.text);
	}
	if (jv_get_kind(v) != JV_KIND_OBJECT) {
		jv_free(v);
		return arm_fail(400, "InvalidRequestContent",
		    "The request content was invalid and could not be "
		    "deserialized: 'it is no JSON object'.");
	}
	return v;
}

static jv
parse_column(sqlite3_stmt *q, int column)
{
	jv v = doc_parse(sim_column(q, column), "state");

	if (!jv_is_valid(v))
		bug("a stored resource cannot be read");
	return v;
}

static void
bind_jv(sqlite3_stmt *q, int index, jv v)
{
	struct buf text = BUF_INIT;

	doc_compact(v, &text);
	sim_bind_span(q, index, buf_peek(&text));
	buf_wipe(&text);
}

/* -- regions ------------------------------------------------------------- */

static jv
regions(void)
{
	static jv table;
	static bool read;

	if (!read) {
		table = share_table("regions.json");
		read = true;
	}
	return jv_copy(table);
}

char *
arm_region(jv given)
{
	const char *text = jv_string_peek(given);
	struct buf name = BUF_INIT;
	jv found;

	for (; text && *text; text++)
		if (*text != ' ')
			buf_char(&name, (char)tolower((unsigned char)*text));
	jv_free(given);
	found = jv_at(regions(), name.at ? name.at : "");
	if (jv_get_kind(found) != JV_KIND_OBJECT)
		buf_free(&name);
	jv_free(found);
	return name.at;
}

/* The table is never freed, so its texts can be lent. */
static const char *
region_text(const char *region, const char *member)
{
	jv v = jv_at(jv_at(regions(), region), member);
	const char *text = jv_string_peek(v);

	jv_free(v);
	return text;
}

const char *
arm_region_title(const char *region)
{
	return region_text(region, "displayName");
}

const char *
arm_region_pair(const char *region)
{
	return region_text(region, "pairedWith");
}

static void
list_regions(struct sim_reply *r)
{
	jv table = regions(), list = jv_array();

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
		list = jv_array_append(list,
		    jv_put(
			jv_put(
			    jv_put(
				jv_put(
				    jv_put(jv_object(), "id",
					jv_text(
					    "/subscriptions/" SIM_SUBSCRIPTION
					    "/locations/%s",
					    jv_string_value(name))),
				    "name", jv_copy(name)),
				"displayName",
				jv_at(jv_copy(region), "displayName")),
			    "regionalDisplayName",
			    jv_at(jv_copy(region), "displayName")),
			"metadata",
			jv_put(jv_put(jv_object(), "regionType",
				   jv_string("Physical")),
			    "pairedRegion", pairs)));
		jv_free(name);
		jv_free(region);
	}
	jv_free(table);
	arm_answer(r, 200, jv_put(jv_object(), "value", list));
}

/* -- ids ----------------------------------------------------------------- */

static const struct arm_kind *
kind_of(const char *type)
{
	for (const struct arm_kind *k = hub_kinds; k->type; k++)
		if (strcasecmp(k->type, type) == 0)
			return k;
	for (const struct arm_kind *k = service_kinds; k->type; k++)
		if (strcasecmp(k->type, type) == 0)
			return k;
	return NULL;
}

bool
arm_type_known(const char *type)
{
	return kind_of(type) != NULL;
}

jv
arm_group(struct sim *s, const char *group)
{
	sqlite3_stmt *q =
	    sim_sql(s, "SELECT body FROM arm_group WHERE key = ?");
	char *key = arm_lower(group);

	sim_bind(q, 1, key);
	free(key);
	return sim_step(s, q) == SQLITE_ROW ? parse_column(q, 0) : jv_invalid();
}

bool
arm_group_exists(struct sim *s, const char *group)
{
	jv g = arm_group(s, group);
	bool is = jv_is_valid(g);

	jv_free(g);
	return is;
}

void
arm_id_free(struct arm_id *id)
{
	free(id->key);
	free(id->id);
	free(id->group);
	for (int i = 0; i < id->depth; i++)
		free(id->name[i]);
	memset(id, 0, sizeof *id);
}

/* id and key from the kind, the group and the names. */
static void
spell(struct arm_id *id)
{
	struct buf text = BUF_INIT, key = BUF_INIT;
	const char *type = strchr(id->kind->type, '/');

	buf_printf(&text,
	    "/subscriptions/" SIM_SUBSCRIPTION
	    "/resourceGroups/%s/providers/%.*s",
	    id->group, (int)(type - id->kind->type), id->kind->type);
	buf_span(&key, buf_peek(&text));
	for (int i = 0; i < id->depth; i++) {
		size_t n = strcspn(type + 1, "/") + 1;

		buf_add(&text, type, n);
		buf_add(&key, type, n);
		buf_char(&text, '/');
		buf_char(&key, '/');
		buf_url(&text, id->name[i], strlen(id->name[i]));
		buf_text(&key, id->name[i]);
		type += n;
	}
	id->id = text.at;
	id->key = arm_lower(key.at);
	buf_free(&key);
}

bool
arm_id_parse(struct sim *s, const char *text, struct arm_id *out)
{
	struct sim_request q = { .path = text };
	int n = sim_segments(&q);
	char *part[8 + 2 * ARM_DEPTH] = { NULL };
	struct buf type = BUF_INIT;
	bool good = false;

	memset(out, 0, sizeof *out);
	if (n < 8 || n % 2 || n > 6 + 2 * ARM_DEPTH)
		return false;
	for (int i = 0; i < n; i++)
		part[i] = sim_segment(&q, i);
	buf_text(&type, part[5]);
	for (int i = 6; i < n; i += 2)
		buf_printf(&type, "/%s", part[i]);
	if (strcasecmp(part[0], "subscriptions") == 0 &&
	    strcasecmp(part[1], SIM_SUBSCRIPTION) == 0 &&
	    strcasecmp(part[2], "resourceGroups") == 0 &&
	    strcasecmp(part[4], "providers") == 0 &&
	    (out->kind = kind_of(type.at))) {
		jv group = arm_group(s, part[3]);

		out->group = arm_text(group, "name");
		if (!out->group)
			out->group = xstrdup(part[3]);
		jv_free(group);
		for (int i = 7; i < n; i += 2)
			out->name[out->depth++] = xstrdup(part[i]);
		spell(out);
		good = true;
	}
	for (int i = 0; i < n; i++)
		free(part[i]);
	buf_free(&type);
	return good;
}

/* The nearest resource above key that the store could have; false: none. */
static bool
parent_of(struct sim *s, const char *key, struct arm_id *out)
{
	char *up = xstrdup(key), *slash;
	bool found = false;

	while (!found && (slash = strrchr(up, '/'))) {
		*slash = '\0';
		if (!(slash = strrchr(up, '/')))
			break;
		*slash = '\0';
		found = arm_id_parse(s, up, out);
	}
	free(up);
	return found;
}

/* -- the store of resources ---------------------------------------------- */

jv
arm_load(struct sim *s, const char *key)
{
	sqlite3_stmt *q = sim_sql(s, "SELECT body FROM resource WHERE key = ?");

	sim_bind(q, 1, key);
	return sim_step(s, q) == SQLITE_ROW ? parse_column(q, 0) : jv_invalid();
}

void
arm_store(struct sim *s, const struct arm_id *id, jv body)
{
	sqlite3_stmt *q =
	    sim_sql(s, "INSERT INTO resource (key, id, type, grp, name, body)"
		       " VALUES (?, ?, ?, ?, ?, ?)"
		       " ON CONFLICT (key) DO UPDATE SET body = excluded.body");
	char *type = arm_lower(id->kind->type), *group = arm_lower(id->group);
	char *name = arm_lower(id->name[id->depth - 1]);

	sim_bind(q, 1, id->key);
	sim_bind(q, 2, id->id);
	sim_bind(q, 3, type);
	sim_bind(q, 4, group);
	sim_bind(q, 5, name);
	bind_jv(q, 6, body);
	(void)sim_step(s, q);
	free(type);
	free(group);
	free(name);
}

char *
arm_find_global(struct sim *s, const char *type, const char *name)
{
	sqlite3_stmt *q =
	    sim_sql(s, "SELECT key FROM resource WHERE type = ? AND name = ?");
	char *t = arm_lower(type), *n = arm_lower(name), *key = NULL;

	sim_bind(q, 1, t);
	sim_bind(q, 2, n);
	if (sim_step(s, q) == SQLITE_ROW)
		key = span_dup(sim_column(q, 0));
	free(t);
	free(n);
	return key;
}

jv
arm_list(struct sim *s, const char *type, const char *below)
{
	sqlite3_stmt *q = sim_sql(s,
	    "SELECT body FROM resource WHERE type = ?1"
	    " AND (?2 = '' OR substr(key, 1, length(?2) + 1) = ?2 || '/')"
	    " ORDER BY n");
	char *t = arm_lower(type);
	jv list = jv_array();

	sim_bind(q, 1, t);
	sim_bind(q, 2, below ? below : "");
	while (sim_step(s, q) == SQLITE_ROW)
		list = jv_array_append(list, parse_column(q, 0));
	free(t);
	return list;
}

static jv
view(struct sim *s, const struct arm_id *id, const char *api, jv stored)
{
	return id->kind->view ? id->kind->view(s, id, api, stored) : stored;
}

jv
arm_resource(struct sim *s, const char *text)
{
	struct arm_id id;
	jv stored;

	if (!arm_id_parse(s, text, &id))
		return jv_invalid();
	hub_reap(s);
	stored = arm_load(s, id.key);
	if (jv_is_valid(stored))
		stored = view(s, &id, "9999-01-01", stored);
	arm_id_free(&id);
	return stored;
}

/* Keys first: the statement of the loop must not be used inside it. */
static jv
keys_where(struct sim *s, const char *group, const char *type)
{
	sqlite3_stmt *q =
	    sim_sql(s, "SELECT key FROM resource WHERE (?1 = '' OR grp = ?1)"
		       " AND (?2 = '' OR type = ?2) ORDER BY n");
	char *g = arm_lower(group ? group : ""),
	     *t = arm_lower(type ? type : "");
	jv keys = jv_array();

	sim_bind(q, 1, g);
	sim_bind(q, 2, t);
	while (sim_step(s, q) == SQLITE_ROW) {
		struct span k = sim_column(q, 0);

		keys = jv_array_append(keys, jv_string_sized(k.at, (int)k.len));
	}
	free(g);
	free(t);
	return keys;
}

jv
arm_group_resources(struct sim *s, const char *group)
{
	jv keys = keys_where(s, group, NULL), list = jv_array();

	jv_array_foreach(keys, i, key) {
		jv one = arm_resource(s, jv_string_value(key));

		if (jv_is_valid(one))
			list = jv_array_append(list, one);
		else
			jv_free(one);
		jv_free(key);
	}
	jv_free(keys);
	return list;
}

/* With all that is below it: '0' is the byte after '/'. */
static bool
erase(struct sim *s, const char *key)
{
	sqlite3_stmt *q =
	    sim_sql(s, "DELETE FROM resource WHERE key = ?1"
		       " OR (key > ?1 || '/' AND key < ?1 || '0')");

	sim_bind(q, 1, key);
	(void)sim_step(s, q);
	return sqlite3_changes(s->db) > 0;
}

bool
arm_delete(struct sim *s, const char *text)
{
	struct arm_id id;
	bool was;

	if (!arm_id_parse(s, text, &id))
		return false;
	was = erase(s, id.key);
	if (was && id.kind == &hub_kinds[0])
		hub_forget(s, id.name[0]);
	arm_id_free(&id);
	return was;
}

/* -- the deny knob ------------------------------------------------------- */

static bool
denied_here(struct sim *s, const char *key, const char *action)
{
	jv body = arm_load(s, key);
	jv tag = jv_path(jv_is_valid(body) ? body : jv_null(), "tags");
	char *words = jv_dup_string(jv_at(tag, "hub-sim-deny")), *rest = words;
	bool is = false;

	if (!jv_is_valid(body))
		jv_free(body);
	for (char *w; rest && (w = strsep(&rest, ", "));)
		is |= strcasecmp(w, action) == 0;
	free(words);
	return is;
}

static jv
denied(struct sim *s, const struct arm_id *id, const char *action)
{
	char *key = xstrdup(id->key);
	bool no;
	struct arm_id up;

	if (strrchr(action, '/'))
		action = strrchr(action, '/') + 1;
	no = denied_here(s, key, action);
	while (!no && parent_of(s, key, &up)) {
		free(key);
		key = xstrdup(up.key);
		no = denied_here(s, key, action);
		arm_id_free(&up);
	}
	free(key);
	if (!no)
		return jv_null();
	return arm_fail(403,
	    sim_doubt_is("forbidden-code", "Forbidden") ? "Forbidden"
							: "AuthorizationFailed",
	    "The client '" SIM_CLIENT "' with object id '" SIM_CLIENT
	    "' does not have authorization to perform action '%s/%s' over "
	    "scope '%s' or the scope is invalid. If access was recently "
	    "granted, please refresh your credentials.",
	    id->kind->type,
	    strncasecmp(action, "list", 4) ? action : "listKeys/action",
	    id->id);
}

/* -- put ----------------------------------------------------------------- */

static jv
not_found(const struct arm_id *id)
{
	struct buf name = BUF_INIT;
	jv e;

	for (int i = 0; i < id->depth; i++)
		buf_printf(&name, "%s%s", i ? "/" : "", id->name[i]);
	e = arm_fail(404,
	    sim_doubt_is("not-found-code", "NotFound") ? "NotFound"
						       : "ResourceNotFound",
	    "The Resource '%s/%s' under resource group '%s' was not found. For "
	    "more details please go to "
	    "https://aka.ms/ARMResourceNotFoundFix",
	    id->kind->type, name.at, id->group);
	buf_free(&name);
	return e;
}

static jv
group_not_found(const char *group)
{
	return arm_fail(404, "ResourceGroupNotFound",
	    "Resource group '%s' could not be found.", group);
}

/* What Resource Manager itself checks before it asks the provider. */
static jv
check_frame(struct sim *s, struct arm_id *id, jv body, jv old)
{
	char *region, *was, *other, *given;
	struct arm_id up;
	jv e = jv_null(), location;

	if (!arm_group_exists(s, id->group))
		return group_not_found(id->group);
	if (parent_of(s, id->key, &up)) {
		jv parent = arm_load(s, up.key);

		if (!jv_is_valid(parent))
			e = arm_fail(404, "ParentResourceNotFound",
			    "Failed to perform 'write' on resource(s) of type "
			    "'%s', because the parent resource '%s' could not "
			    "be found.",
			    strchr(id->kind->type, '/') + 1, up.id);
		jv_free(parent);
		arm_id_free(&up);
		return e;
	}
	if (!id->kind->tracked)
		return e;
	location = jv_at(jv_copy(body), "location");
	given = jv_dup_string(jv_copy(location));
	region = arm_region(location);
	was = arm_region(jv_at(jv_copy(old), "location"));
	other = id->kind->global ? arm_find_global(s, id->kind->type,
				       id->name[id->depth - 1])
				 : NULL;
	if (!given || !*given)
		e = arm_fail(400, "LocationRequired",
		    "The location property is required for this definition.");
	else if (!region)
		e = arm_fail(400, "LocationNotAvailableForResourceType",
		    "The provided location '%s' is not available for resource "
		    "type '%s'.",
		    given, id->kind->type);
	else if (was && strcmp(was, region) != 0)
		e = arm_fail(409, "InvalidResourceLocation",
		    "The resource '%s' already exists in location '%s' in "
		    "resource group '%s'. A resource with the same name cannot "
		    "be created in location '%s'. Please select a new resource "
		    "name.",
		    id->name[id->depth - 1], was, id->group, region);
	else if (other && strcmp(other, id->key) != 0)
		e = id->kind->hub
			? hub_fail(s, 409, 409005,
			      "IotHub name '%s' is not available.", id->name[0])
			: arm_fail(409, "NameNotAvailable",
			      "The name '%s' of type '%s' is already taken.",
			      id->name[0], id->kind->type);
	free(given);
	free(region);
	free(was);
	free(other);
	return e;
}

jv
arm_put_as(
    struct sim *s, const char *text, const char *api, jv body, enum arm_how how)
{
	struct arm_id id;
	jv old, result;

	if (!arm_id_parse(s, text, &id)) {
		jv_free(body);
		return arm_fail(501, "NotSimulated",
		    "hub-sim does not simulate resources such as %s", text);
	}
	hub_reap(s);
	old = arm_load(s, id.key);
	if (!jv_is_valid(old)) {
		jv_free(old);
		old = jv_null();
	} else { /* it keeps the spelling that it was born with */
		free(id.name[id.depth - 1]);
		id.name[id.depth - 1] = arm_text(old, "name");
		free(id.id);
		free(id.key);
		spell(&id);
	}
	result = check_frame(s, &id, body, old);
	if (jv_is_valid(result)) {
		bool fresh = jv_get_kind(old) == JV_KIND_NULL;

		jv_free(result);
		result = id.kind->put(s, &id, api, body, old, how);
		if (jv_is_valid(result)) {
			arm_store(s, &id, jv_copy(result));
			if (fresh && id.kind->born)
				id.kind->born(s, &id);
			result = view(s, &id, api, result);
		}
	} else {
		jv_free(body);
		jv_free(old);
	}
	arm_id_free(&id);
	return result;
}

jv
arm_put(struct sim *s, const char *id, const char *api, jv body)
{
	return arm_put_as(s, id, api, body, ARM_SETTLED);
}

/* -- keys ---------------------------------------------------------------- */

static jv
act(struct sim *s, const char *text, const char *action, jv request, bool knob)
{
	const char *cut = strcasestr(text, "/IotHubKeys/");
	struct arm_id id;
	jv stored, result = jv_null();

	/* HUB/IotHubKeys/{policy} is no resource, but listKeys() in templates
	 * names it as one. */
	if (cut && !strchr(cut + 12, '/')) {
		char *hub = xstrndup(text, (size_t)(cut - text));
		char *one = xasprintf("%s/%s", cut + 1, action);

		result = act(s, hub, one, request, knob);
		free(hub);
		free(one);
		return result;
	}
	if (!arm_id_parse(s, text, &id)) {
		jv_free(request);
		return arm_fail(501, "NotSimulated",
		    "hub-sim does not simulate resources such as %s", text);
	}
	stored = arm_load(s, id.key);
	if (!jv_is_valid(stored)) {
		jv_free(stored);
		stored = jv_null();
		result = arm_group_exists(s, id.group)
			     ? not_found(&id)
			     : group_not_found(id.group);
	} else if (knob)
		result = denied(s, &id, action);
	if (jv_is_valid(result)) {
		if (id.kind->action)
			result = id.kind->action(
			    s, &id, stored, action, jv_copy(request));
		else
			jv_free(stored);
		if (jv_get_kind(result) == JV_KIND_NULL)
			result = arm_fail(501, "NotSimulated",
			    "hub-sim does not simulate '%s' on %s", action,
			    id.kind->type);
	} else
		jv_free(stored);
	jv_free(request);
	arm_id_free(&id);
	return result;
}

jv
arm_keys_plain(struct sim *s, const char *id, const char *action, jv request)
{
	return act(s, id, action, request, false);
}

jv
arm_keys(struct sim *s, const char *id, const char *action)
{
	return act(s, id, action, jv_object(), true);
}

/* -- long-running operations (CONTRACT 3.2) ------------------------------ */

static long
count_up(struct sim *s, const char *name)
{
	sqlite3_stmt *q = sim_sql(s,
	    "INSERT INTO counter VALUES (?, 1)"
	    " ON CONFLICT (name) DO UPDATE SET n = n + 1 RETURNING n");
	long n = 0;

	sim_bind(q, 1, name);
	if (sim_step(s, q) == SQLITE_ROW)
		n = (long)sqlite3_column_int64(q, 0);
	while (sim_step(s, q) == SQLITE_ROW)
		;
	return n;
}

static void
retry_header(struct sim_reply *r)
{
	if (sim_doubt_is("lro-retry-after", "ms"))
		sim_head(r, "x-ms-retry-after-ms", "20");
	else if (sim_doubt_is("lro-retry-after", "seconds"))
		sim_head(r, "Retry-After", "1");
}

static void
operation_headers(const struct sim_request *q, struct sim_reply *r,
    const char *base, const char *id, bool async, bool location)
{
	char *api = sim_query(q, "api-version");
	const char *last = strrchr(base, '/');
	bool results = last && strcasecmp(last, "/operationresults") == 0;
	bool hub = strcasestr(base, "/providers/Microsoft.Devices/") != NULL;
	const char *source = hub ? "&operationSource=os_ih" : "";

	if (async)
		sim_head(r, "Azure-AsyncOperation",
		    "https://%s%s/%s?api-version=%s%s%s", q->host, base, id,
		    api ? api : "", source, results ? "&asyncinfo" : "");
	if (location && results)
		sim_head(r, "Location", "https://%s%s/%s?api-version=%s%s",
		    q->host, base, id, api ? api : "", source);
	else if (location)
		sim_head(r, "Location",
		    "https://%s/subscriptions/" SIM_SUBSCRIPTION
		    "/operationresults/%s?api-version=%s",
		    q->host, id, api ? api : "");
	free(api);
}

/* result: null (nothing), the final body, {"error":...}, or a failure. */
void
arm_operation(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    int status, const char *base, jv result, bool async, bool location)
{
	struct buf id = BUF_INIT;
	char *words, text[48], guid[37];
	sqlite3_stmt *put;
	int final = 200;

	words = xasprintf("operation/%ld", count_up(s, "operation"));
	sim_guid(s, words, guid);
	free(words);
	(void)snprintf(text, sizeof text, "os_ih_%s", guid);
	buf_base64(&id, text, strlen(text));
	while (id.at[id.len - 1] == '=')
		id.at[--id.len] = '\0';
	if (!jv_is_valid(result)) {
		jv e = jv_invalid_get_msg(result);
		jv n = jv_at(jv_copy(e), "status");

		if (jv_get_kind(n) == JV_KIND_NUMBER)
			final = (int)jv_number_value(n);
		jv_free(n);
		result = jv_at(e, "body");
	} else if (jv_get_kind(result) == JV_KIND_OBJECT &&
		   jv_object_has(jv_copy(result), jv_string("error")) &&
		   jv_object_length(jv_copy(result)) == 1)
		final = 409;
	put = sim_sql(s, "INSERT INTO operation VALUES (?, ?, ?, ?)");
	sim_bind(put, 1, id.at);
	(void)sqlite3_bind_int64(put, 2, sim_now(s) + s->operation_ms);
	(void)sqlite3_bind_int(put, 3, final);
	bind_jv(put, 4, result);
	(void)sim_step(s, put);
	r->status = status;
	operation_headers(q, r, base, id.at, async, location);
	retry_header(r);
	buf_free(&id);
}

/* The error that an operation ends with: the provider's flat form becomes the
 * two members that every client reads. */
static jv
error_of(jv body)
{
	jv e = jv_at(jv_copy(body), "error"), code;

	if (jv_get_kind(e) == JV_KIND_OBJECT) {
		jv_free(body);
		return e;
	}
	jv_free(e);
	code = jv_at(jv_copy(body), "code");
	if (jv_get_kind(code) == JV_KIND_NUMBER)
		code = jv_dump_string(code, 0);
	return jv_put(jv_put(jv_object(), "code", code), "message",
	    jv_at(body, "message"));
}

/* false: there is no such operation. */
static bool
poll(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const char *place, const char *id)
{
	sqlite3_stmt *get =
	    sim_sql(s, "SELECT over, status, body FROM operation WHERE id = ?");
	bool async = strcasecmp(place, "operationresults") != 0 ||
		     strstr(q->query, "asyncinfo");
	int final;
	jv body;

	sim_bind(get, 1, id);
	if (sim_step(s, get) != SQLITE_ROW)
		return false;
	if (sim_now(s) < sqlite3_column_int64(get, 0)) {
		retry_header(r);
		if (async) {
			arm_answer(r, 200,
			    jv_put(
				jv_object(), "status", jv_string("Running")));
			return true;
		}
		sim_head(r, "Location", "https://%s%s?%s", q->host, q->path,
		    q->query);
		arm_answer(r, 202, jv_null());
		return true;
	}
	final = sqlite3_column_int(get, 1);
	body = parse_column(get, 2);
	if (!async)
		arm_answer(r, final, body);
	else if (final < 400) {
		jv_free(body);
		arm_answer(r, 200,
		    jv_put(jv_object(), "status", jv_string("Succeeded")));
	} else
		arm_answer(r, 200,
		    jv_put(jv_put(jv_object(), "status", jv_string("Failed")),
			"error", error_of(body)));
	return true;
}

/* -- groups -------------------------------------------------------------- */

jv
arm_group_put(struct sim *s, const char *group, jv body)
{
	size_t n = strlen(group);
	jv old = arm_group(s, group), out,
	   given = jv_at(jv_copy(body), "location");
	char *region = arm_region(jv_copy(given)), *key = arm_lower(group);
	char *was = arm_text(old, "location");
	bool bad = n < 1 || n > 90 || group[n - 1] == '.';
	sqlite3_stmt *q;

	for (const char *c = group; *c; c++)
		bad |= !isalnum((unsigned char)*c) && !strchr("-_().", *c) &&
		       (unsigned char)*c < 0x80;
	if (bad)
		out = arm_fail(400, "InvalidResourceGroup",
		    "The provided resource group name '%s' has these invalid "
		    "characters: it can only include alphanumeric, "
		    "underscore, parentheses, hyphen, period (except at end).",
		    group);
	else if (jv_get_kind(given) != JV_KIND_STRING)
		out = arm_fail(400, "LocationRequired",
		    "The location property is required for this definition.");
	else if (!region)
		out = arm_fail(400, "LocationNotAvailableForResourceGroup",
		    "The provided location '%s' is not available for resource "
		    "group.",
		    jv_string_value(given));
	else if (was && strcmp(was, region) != 0 &&
		 sim_doubt_is("group-location", "409"))
		out = arm_fail(409, "InvalidResourceGroupLocation",
		    "Invalid resource group location '%s'. The Resource group "
		    "already exists in location '%s'.",
		    region, was);
	else {
		jv name = was ? jv_at(jv_copy(old), "name") : jv_string(group);
		jv by = jv_at(jv_copy(body), "managedBy");
		jv tags = jv_at(jv_copy(body), "tags");

		out = jv_put(jv_object(), "id",
		    jv_text("/subscriptions/" SIM_SUBSCRIPTION
			    "/resourceGroups/%s",
			jv_string_value(name)));
		out = jv_put(jv_put(out, "name", name), "type",
		    jv_string("Microsoft.Resources/resourceGroups"));
		out = jv_put(out, "location", jv_string(was ? was : region));
		if (jv_get_kind(by) == JV_KIND_STRING)
			out = jv_put(out, "managedBy", jv_copy(by));
		if (jv_get_kind(tags) == JV_KIND_OBJECT)
			out = jv_put(out, "tags", jv_copy(tags));
		jv_free(by);
		jv_free(tags);
		out = jv_put(out, "properties",
		    jv_put(jv_object(), "provisioningState",
			jv_string("Succeeded")));
		q = sim_sql(s,
		    "INSERT INTO arm_group (key, name, body) VALUES (?, ?, ?)"
		    " ON CONFLICT (key) DO UPDATE SET body = excluded.body");
		sim_bind(q, 1, key);
		sim_bind(q, 2, group);
		bind_jv(q, 3, jv_copy(out));
		(void)sim_step(s, q);
	}
	free(region);
	free(was);
	free(key);
	jv_free(given);
	jv_free(old);
	jv_free(body);
	return out;
}

static void
delete_group(struct sim *s, const char *group)
{
	jv keys = keys_where(s, group, NULL);
	char *key = arm_lower(group);
	sqlite3_stmt *q;

	jv_array_foreach(keys, i, k) {
		(void)arm_delete(s, jv_string_value(k));
		jv_free(k);
	}
	jv_free(keys);
	q = sim_sql(s, "DELETE FROM arm_group WHERE key = ?");
	sim_bind(q, 1, key);
	(void)sim_step(s, q);
	free(key);
}

static void
group_handle(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const char *group)
{
	bool there = arm_group_exists(s, group);

	if (strcmp(q->method, "PUT") == 0) {
		jv body = parse(q->body);

		if (jv_is_valid(body))
			body = arm_group_put(s, group, body);
		if (jv_is_valid(body))
			arm_answer(r, there ? 200 : 201, body);
		else
			arm_refuse(r, body);
	} else if (strcmp(q->method, "HEAD") == 0) {
		r->status = there ? 204 : 404;
	} else if (!there) {
		arm_refuse(r, group_not_found(group));
	} else if (strcmp(q->method, "GET") == 0) {
		arm_answer(r, 200, arm_group(s, group));
	} else if (strcmp(q->method, "PATCH") == 0) {
		jv body = parse(q->body), old = arm_group(s, group);

		if (!jv_is_valid(body)) {
			jv_free(old);
			arm_refuse(r, body);
			return;
		}
		old = jv_put(old, "tags", jv_at(body, "tags"));
		arm_answer(r, 200, arm_group_put(s, group, old));
	} else if (strcmp(q->method, "DELETE") == 0) {
		delete_group(s, group);
		arm_operation(s, q, r, 202,
		    "/subscriptions/" SIM_SUBSCRIPTION "/operationresults",
		    jv_null(), false, true);
	} else
		sim_error(r, 405, "MethodNotAllowed",
		    "The method '%s' is not allowed on a resource group.",
		    q->method);
}

/* -- lists (CONTRACT 3.5) ------------------------------------------------ */

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
			q->host, q->path, api ? api : "", from + size));
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
		list = jv_array_append(list, parse_column(get, 0));
	answer_list(q, r, list);
}

/* The value in "... resourceType eq 'X' ..." of a filter; malloc'd or NULL. */
static char *
filter_value(const char *filter, const char *member)
{
	const char *at = filter ? strcasestr(filter, member) : NULL;
	const char *quote = at ? strchr(at, '\'') : NULL;

	return quote ? xstrndup(quote + 1, strcspn(quote + 1, "'")) : NULL;
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
	char *type = filter_value(filter, "resourceType"),
	     *name = filter_value(filter,
		 filter && strcasestr(filter, " name") ? " name" : "name");
	jv keys = keys_where(s, group, type), list = jv_array();

	if (filter && !strcasestr(filter, "name eq")) {
		free(name);
		name = NULL;
	}
	jv_array_foreach(keys, i, key) {
		struct arm_id id;

		if (arm_id_parse(s, jv_string_value(key), &id)) {
			jv whole = arm_load(s, id.key), one = jv_object();

			for (size_t m = 0; m < sizeof members / sizeof *members;
			     m++) {
				jv v = jv_at(jv_copy(whole), members[m]);

				if (jv_get_kind(v) != JV_KIND_NULL)
					one = jv_put(one, members[m], v);
				else
					jv_free(v);
			}
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
	free(name);
}

/* All of one type: in the subscription, in a group, or below a resource. */
static void
list_type(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const char *group, const char *type, const char *below)
{
	char *api = sim_query(q, "api-version");
	size_t n = below ? strlen(below) : 0;
	jv keys = keys_where(s, group, type), list = jv_array();

	jv_array_foreach(keys, i, key) {
		const char *k = jv_string_value(key);
		struct arm_id id;

		if ((!n || (strncmp(k, below, n) == 0 && k[n] == '/')) &&
		    arm_id_parse(s, k, &id)) {
			list = jv_array_append(
			    list, view(s, &id, api, arm_load(s, id.key)));
			arm_id_free(&id);
		}
		jv_free(key);
	}
	jv_free(keys);
	answer_list(q, r, list);
	free(api);
}

/* -- one resource -------------------------------------------------------- */

void
arm_answer_or(struct sim_reply *r, int status, jv answer)
{
	if (jv_is_valid(answer))
		arm_answer(r, status, answer);
	else
		arm_refuse(r, answer);
}

static void
put_resource(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const struct arm_id *id, const char *api)
{
	jv body = parse(q->body), old;
	bool fresh;

	if (!jv_is_valid(body)) {
		arm_refuse(r, body);
		return;
	}
	if (id->kind->hub) {
		hub_put_http(s, q, r, id, api, body);
		return;
	}
	old = arm_load(s, id->key);
	fresh = !jv_is_valid(old);
	jv_free(old);
	arm_answer_or(r, fresh ? id->kind->created : id->kind->replaced,
	    arm_put_as(s, id->id, api, body, ARM_SLOW));
}

/* Only tags can be changed this way; they replace those that were there. */
static void
patch_resource(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const struct arm_id *id, const char *api)
{
	jv body = parse(q->body), old = arm_load(s, id->key), tags;

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
	arm_answer(r, 200, view(s, id, api, old));
}

static void
resource_handle(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const struct arm_id *id)
{
	char *api = sim_query(q, "api-version");
	const char *m = q->method;
	jv no = denied(s, id,
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
	} else if (!there) {
		arm_refuse(r, not_found(id));
	} else if (strcmp(m, "GET") == 0) {
		arm_answer(r, 200, view(s, id, api, jv_copy(stored)));
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
	jv request = q->body.len ? parse(q->body) : jv_object();

	if (!jv_is_valid(request)) {
		arm_refuse(r, request);
		return;
	}
	arm_answer_or(r, 200, act(s, id, action, request, true));
}

/* .../resourceGroups/{group}/providers/{namespace}/... */
static void
provider_handle(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const char *group, int n)
{
	char *last = sim_segment(q, n - 1), *type = type_of(q, 5, n);
	char *above = head_of(q->path, n - 2);
	struct arm_id id;

	if (arm_id_parse(s, q->path, &id)) {
		resource_handle(s, q, r, &id);
		arm_id_free(&id);
	} else if (n == 7 && strcmp(q->method, "GET") == 0 && kind_of(type)) {
		list_type(s, q, r, group, type, NULL);
	} else if (n > 8 && strcmp(q->method, "GET") == 0 && kind_of(type)) {
		/* The nearest resource above must be there. */
		char *probe = xasprintf("%s/x", q->path);
		struct arm_id child, up;
		jv parent = jv_invalid();

		if (arm_id_parse(s, probe, &child)) {
			if (parent_of(s, child.key, &up)) {
				char *below = head_of(child.key, n - 2);

				jv_free(parent);
				parent = arm_load(s, up.key);
				if (jv_is_valid(parent))
					list_type(s, q, r, group, type, below);
				else
					arm_refuse(r, not_found(&up));
				free(below);
				arm_id_free(&up);
			}
			arm_id_free(&child);
		}
		jv_free(parent);
		free(probe);
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

		if (n <= 8 || !arm_id_parse(s, hub, &id)) {
			char *what = xasprintf("%s %s", q->method, type);

			sim_missing(r, what);
			free(what);
		} else {
			if (!hub_handle(s, q, r, &id, 8)) {
				char *what =
				    xasprintf("%s %s", q->method, type);

				sim_missing(r, what);
				free(what);
			}
			arm_id_free(&id);
		}
		free(hub);
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
		arm_refuse(r, group_not_found(group));
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
	jv body = parse(q->body);
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
		jv one = jv_put(
		    jv_put(jv_put(jv_put(jv_object(), "id",
				      jv_string(
					  "/subscriptions/" SIM_SUBSCRIPTION)),
			       "subscriptionId", jv_string(SIM_SUBSCRIPTION)),
			"displayName", jv_string("hub-sim")),
		    "state", jv_string("Enabled"));

		one = jv_put(one, "tenantId", jv_string(SIM_TENANT));
		arm_answer(r, 200,
		    n == 2 ? one
			   : jv_put(jv_object(), "value",
				 jv_array_append(jv_array(), one)));
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
	else if (n == 5 && segment_is(q, 2, "providers") &&
		 segment_is(q, 3, "Microsoft.Devices") &&
		 segment_is(q, 4, "checkNameAvailability"))
		check_name(s, q, r);
	else if (n == 5 && segment_is(q, 2, "providers")) {
		char *type = type_of(q, 3, n);

		if (kind_of(type))
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
		is = poll(s, q, r, place, id);
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
rate_headers(struct sim *s, const struct sim_request *q, struct sim_reply *r)
{
	char *words = xasprintf("request/%ld", count_up(s, "request"));
	char guid[37];

	sim_guid(s, words, guid);
	free(words);
	sim_head(r, "x-ms-request-id", "%s", guid);
	sim_head(r, "x-ms-correlation-request-id", "%s", guid);
	if (strcmp(q->method, "GET") == 0 || strcmp(q->method, "HEAD") == 0)
		sim_head(
		    r, "x-ms-ratelimit-remaining-subscription-reads", "11999");
	else if (strcmp(q->method, "DELETE") == 0)
		sim_head(r, "x-ms-ratelimit-remaining-subscription-deletes",
		    "14999");
	else
		sim_head(
		    r, "x-ms-ratelimit-remaining-subscription-writes", "1199");
}

void
arm_handle(struct sim *s, const struct sim_request *q, struct sim_reply *r)
{
	const char *client, *audience;
	int why = entra_bearer(s, q, &client, &audience);
	int n = sim_segments(q);
	char *api = sim_query(q, "api-version"), *sub = sim_segment(q, 1);

	rate_headers(s, q, r);
	if (why == 0 && strcmp(audience, "https://management.azure.com") != 0)
		why = ENTRA_INVALID;
	hub_reap(s);
	if (why < 0)
		entra_refuse(s, r, why);
	else if (!api || !*api)
		sim_error(r, 400, "MissingApiVersionParameter",
		    "The api-version query parameter (?api-version=) is "
		    "required for all requests.");
	else if (!version_good(api))
		sim_error(r, 400, "InvalidApiVersionParameter",
		    "The api-version '%s' is invalid. The supported versions "
		    "are '2023-06-30,2022-09-01,2021-07-02,2021-04-01'.",
		    api);
	else if (!segment_is(q, 0, "subscriptions"))
		sim_missing(r, q->path);
	else if (sub && strcasecmp(sub, SIM_SUBSCRIPTION) != 0)
		sim_error(r, 404, "SubscriptionNotFound",
		    "The subscription '%s' could not be found.", sub);
	else if (!is_poll(s, q, r, n))
		in_subscription(s, q, r, n);
	free(api);
	free(sub);
}
