/*
 * resources.c: the resources that are stored, of every kind: their ids, what a
 * PUT checks before the kind itself does, their actions, and the groups that
 * they are in; see arm.h.  Here too, who may not: a knob for tests.
 *
 * A resource with the tag "hub-sim-deny": "listKeys" answers listKeys (on it,
 * and on whatever is below it) with 403 AuthorizationFailed.  The value is a
 * list of words with commas: any action's name, read, write, delete.
 */
#include "arm.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

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

jv
arm_column(sqlite3_stmt *q, int column)
{
	jv v = doc_parse(sim_column(q, column), "state");

	if (!jv_is_valid(v))
		bug("what is stored cannot be read");
	return v;
}

void
arm_bind(sqlite3_stmt *q, int index, jv v)
{
	struct buf text = BUF_INIT;

	doc_compact(v, &text);
	sim_bind_span(q, index, buf_peek(&text));
	buf_wipe(&text);
}

/* -- groups -------------------------------------------------------------- */

jv
arm_group(struct sim *s, const char *group)
{
	sqlite3_stmt *q =
	    sim_sql(s, "SELECT body FROM arm_group WHERE key = ?");
	char *key = arm_lower(group);

	sim_bind(q, 1, key);
	free(key);
	return sim_step(s, q) == SQLITE_ROW ? arm_column(q, 0) : jv_invalid();
}

static bool
is_there(jv stored)
{
	bool is = jv_is_valid(stored);

	jv_free(stored);
	return is;
}

bool
arm_group_exists(struct sim *s, const char *group)
{
	return is_there(arm_group(s, group));
}

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
		arm_bind(q, 3, jv_copy(out));
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

void
arm_group_delete(struct sim *s, const char *group)
{
	jv keys = arm_keys_where(s, group, NULL);
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

/* -- ids ----------------------------------------------------------------- */

const struct arm_kind *
arm_kind_of(const char *type)
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
	return arm_kind_of(type) != NULL;
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
	    (out->kind = arm_kind_of(type.at))) {
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
bool
arm_parent(struct sim *s, const char *key, struct arm_id *out)
{
	char *up = xstrdup(key), *slash;
	bool found = false;

	while (!found && (slash = strrchr(up, '/'))) {
		*slash = '\0';
		if (!(slash = strrchr(up, '/')))
			break;
		*slash = '\0';
		found = arm_id_parse(s, up, out);
		if (found && out->kind->implied) {
			arm_id_free(out);
			found = false;
		}
	}
	free(up);
	return found;
}

/* -- the store ----------------------------------------------------------- */

jv
arm_load(struct sim *s, const char *key)
{
	sqlite3_stmt *q = sim_sql(s, "SELECT body FROM resource WHERE key = ?");

	sim_bind(q, 1, key);
	return sim_step(s, q) == SQLITE_ROW ? arm_column(q, 0) : jv_invalid();
}

bool
arm_there(struct sim *s, const char *key)
{
	return is_there(arm_load(s, key));
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
	arm_bind(q, 6, body);
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
		list = jv_array_append(list, arm_column(q, 0));
	free(t);
	return list;
}

jv
arm_view(struct sim *s, const struct arm_id *id, const char *api, jv stored)
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
		stored = arm_view(s, &id, "9999-01-01", stored);
	arm_id_free(&id);
	return stored;
}

/* Keys first: the statement of the loop must not be used inside it. */
jv
arm_keys_where(struct sim *s, const char *group, const char *type)
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
	jv keys = arm_keys_where(s, group, NULL), list = jv_array();

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
	jv tags = jv_at(arm_load(s, key), "tags");
	char *words = jv_dup_string(jv_at(tags, "hub-sim-deny")), *rest = words;
	bool is = false;

	for (char *w; rest && (w = strsep(&rest, ", "));)
		is |= strcasecmp(w, action) == 0;
	free(words);
	return is;
}

jv
arm_denied(struct sim *s, const struct arm_id *id, const char *action)
{
	char *key = xstrdup(id->key);
	bool no;
	struct arm_id up;

	if (strrchr(action, '/'))
		action = strrchr(action, '/') + 1;
	no = denied_here(s, key, action);
	while (!no && arm_parent(s, key, &up)) {
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

/* What Resource Manager itself checks before it asks the provider. */
static jv
check_frame(struct sim *s, struct arm_id *id, jv body, jv old)
{
	char *region, *was, *other, *given;
	struct arm_id up;
	jv e = jv_null(), location;

	if (!arm_group_exists(s, id->group))
		return arm_no_group(id->group);
	if (arm_parent(s, id->key, &up)) {
		if (!arm_there(s, up.key))
			e = arm_fail(404, "ParentResourceNotFound",
			    "Failed to perform 'write' on resource(s) of type "
			    "'%s', because the parent resource '%s' could not "
			    "be found.",
			    strchr(id->kind->type, '/') + 1, up.id);
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
			result = arm_view(s, &id, api, result);
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

/* -- actions ------------------------------------------------------------- */

jv
arm_act(
    struct sim *s, const char *text, const char *action, jv request, bool knob)
{
	const char *cut = strcasestr(text, "/IotHubKeys/");
	struct arm_id id;
	jv stored, result = jv_null();

	/* HUB/IotHubKeys/{policy} is no resource, but listKeys() in templates
	 * names it as one. */
	if (cut && !strchr(cut + 12, '/')) {
		char *hub = xstrndup(text, (size_t)(cut - text));
		char *one = xasprintf("%s/%s", cut + 1, action);

		result = arm_act(s, hub, one, request, knob);
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
		result = arm_group_exists(s, id.group) ? arm_not_found(&id)
						       : arm_no_group(id.group);
	} else if (knob)
		result = arm_denied(s, &id, action);
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
	return arm_act(s, id, action, request, false);
}

jv
arm_keys(struct sim *s, const char *id, const char *action)
{
	return arm_act(s, id, action, jv_object(), true);
}
