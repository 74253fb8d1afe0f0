/*
 * roles.c: role definitions and role assignments of Microsoft.Authorization;
 * see roles.h.  Only the roles that the data of a hub and of what its routes
 * end in need are known, by the GUIDs that they have everywhere in Azure.
 *
 * An assignment that was just made is not known everywhere: it counts after
 * some time (CONTRACT 16.2 saw about 30 s).
 */
#include "roles.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "arm.h"

enum { PROPAGATION_MS = 30000 };

const char roles_schema[] =
    "CREATE TABLE IF NOT EXISTS role_assignment ("
    " n INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT UNIQUE, scope TEXT,"
    " principal TEXT, role TEXT, since INTEGER, body TEXT);"
    "CREATE INDEX IF NOT EXISTS role_by_principal"
    " ON role_assignment (principal);";

static const struct role {
	const char *guid, *name;
	const char *within; /* the role that includes it; NULL: none */
} roles[] = {
	{ "8e3af657-a8ff-443c-a75c-2fe8c4bcb635", "Owner", NULL },
	{ "b24988ac-6180-42a0-ab88-20f7382dd24c", "Contributor", "Owner" },
	{ "acdd72a7-3385-48ef-bd42-f606fba81ae7", "Reader", "Contributor" },
	{ "b7e6dc6d-f1e8-4753-8033-0f276bb0955b", "Storage Blob Data Owner",
	    NULL },
	{ "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
	    "Storage Blob Data Contributor", "Storage Blob Data Owner" },
	{ "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1", "Storage Blob Data Reader",
	    "Storage Blob Data Contributor" },
	{ "f526a384-b230-433a-b45c-95f59c4a2dec", "Azure Event Hubs Data Owner",
	    NULL },
	{ "2b629674-e913-4c01-ae53-ef4638d8f975",
	    "Azure Event Hubs Data Sender", "Azure Event Hubs Data Owner" },
	{ "a638d3c7-ab3a-418d-83e6-5f17a39d4fde",
	    "Azure Event Hubs Data Receiver", "Azure Event Hubs Data Owner" },
	{ "090c5cfd-751d-490a-894a-3ce6f1109419",
	    "Azure Service Bus Data Owner", NULL },
	{ "69a216fc-b8fb-44d8-bc22-1f3c2cd27a39",
	    "Azure Service Bus Data Sender", "Azure Service Bus Data Owner" },
	{ "4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0",
	    "Azure Service Bus Data Receiver", "Azure Service Bus Data Owner" },
	{ "5bd9cd88-fe45-4216-938b-f97437e15450",
	    "DocumentDB Account Contributor", NULL },
	{ "00000000-0000-0000-0000-000000000002",
	    "Cosmos DB Built-in Data Contributor", NULL },
	{ "4fc6c259-987e-4a07-842e-c321cc9d413f", "IoT Hub Data Contributor",
	    NULL },
	{ "b447c946-2db7-41ec-983d-d8bf3b1c77e3", "IoT Hub Data Reader",
	    "IoT Hub Data Contributor" },
	{ "4ea46cd5-c1b2-4a8e-910b-273211f9ce47",
	    "IoT Hub Registry Contributor", "IoT Hub Data Contributor" },
	{ "494bdba2-168f-4f31-a0a1-191d2f7c028c", "IoT Hub Twin Contributor",
	    "IoT Hub Data Contributor" },
	{ NULL, NULL, NULL },
};

/* By name, or by GUID alone or at the end of an id. */
static const struct role *
role_of(const char *text)
{
	const char *slash = text ? strrchr(text, '/') : NULL;

	if (slash)
		text = slash + 1;
	for (const struct role *k = roles; text && k->guid; k++)
		if (strcasecmp(k->guid, text) == 0 ||
		    strcasecmp(k->name, text) == 0)
			return k;
	return NULL;
}

static bool
includes(const struct role *held, const struct role *wanted)
{
	while (wanted && wanted != held)
		wanted = wanted->within ? role_of(wanted->within) : NULL;
	return wanted != NULL;
}

/* Is scope that place itself, or above it?  Both in lower case. */
static bool
covers(const char *scope, const char *place)
{
	size_t n = strlen(scope);

	return strncmp(scope, place, n) == 0 &&
	       (place[n] == '\0' || place[n] == '/');
}

bool
role_held(struct sim *s, const char *principal, const char *scope_id,
    const char *role)
{
	sqlite3_stmt *q = sim_sql(s, "SELECT scope, role FROM role_assignment"
				     " WHERE principal = ? AND since <= ?");
	const struct role *wanted = role_of(role);
	char *who = arm_lower(principal), *place = arm_lower(scope_id);
	bool held = false;

	if (!wanted)
		bug("no role '%s'", role);
	sim_bind(q, 1, who);
	(void)sqlite3_bind_int64(q, 2, sim_now(s));
	while (!held && sim_step(s, q) == SQLITE_ROW) {
		char *scope = span_dup(sim_column(q, 0)),
		     *has = span_dup(sim_column(q, 1));

		held = strcmp(has, "*") == 0 ||
		       (covers(scope, place) && includes(role_of(has), wanted));
		free(scope);
		free(has);
	}
	free(who);
	free(place);
	return held;
}

static void
keep(struct sim *s, const char *key, const char *scope, const char *principal,
    const char *role, int64_t since, jv body)
{
	sqlite3_stmt *q =
	    sim_sql(s, "INSERT OR REPLACE INTO role_assignment"
		       " (key, scope, principal, role, since, body)"
		       " VALUES (?, ?, ?, ?, ?, ?)");
	char *who = arm_lower(principal);

	sim_bind(q, 1, key);
	sim_bind(q, 2, scope);
	sim_bind(q, 3, who);
	sim_bind(q, 4, role);
	(void)sqlite3_bind_int64(q, 5, since);
	arm_bind(q, 6, body);
	(void)sim_step(s, q);
	free(who);
}

void
role_trust(struct sim *s, const char *principal)
{
	char *key = xasprintf("trusted/%s", principal);

	keep(s, key, "", principal, "*", 0, jv_null());
	free(key);
}

/* -- requests ------------------------------------------------------------ */

struct place {
	char *scope, *key; /* as sent, and in lower case */
	char *what, *name; /* "roleAssignments"; NULL where the path ends */
};

static void
place_free(struct place *p)
{
	free(p->scope);
	free(p->key);
	free(p->what);
	free(p->name);
}

static bool
place_read(const struct sim_request *q, struct place *p)
{
	int n = sim_segments(q), at = -1;
	struct buf scope = BUF_INIT;

	memset(p, 0, sizeof *p);
	for (int i = 0; i + 1 < n; i++) {
		char *one = sim_segment(q, i), *next = sim_segment(q, i + 1);

		if (strcasecmp(one, "providers") == 0 &&
		    strcasecmp(next, "Microsoft.Authorization") == 0)
			at = i;
		free(one);
		free(next);
	}
	if (at < 0)
		return false;
	for (int i = 0; i < at; i++) {
		char *one = sim_segment(q, i);

		buf_printf(&scope, "/%s", one);
		free(one);
	}
	p->scope = scope.at ? scope.at : xstrdup("");
	p->key = arm_lower(p->scope);
	p->what = sim_segment(q, at + 2);
	p->name = sim_segment(q, at + 3);
	return true;
}

/* null, or why nothing can be assigned there. */
static jv
scope_there(struct sim *s, const struct place *p)
{
	struct sim_request q = { .path = p->scope };
	int n = sim_segments(&q);
	char *group = n >= 4 ? sim_segment(&q, 3) : NULL;
	struct arm_id id;
	jv e = jv_null();

	if (group && !arm_group_exists(s, group))
		e = arm_no_group(group);
	else if (n > 4) {
		if (arm_id_parse(s, p->scope, &id)) {
			if (!arm_there(s, id.key))
				e = arm_not_found(&id);
			arm_id_free(&id);
		} else
			e = arm_fail(404, "ResourceNotFound",
			    "The scope '%s' is not valid.", p->scope);
	}
	free(group);
	return e;
}

static jv
definition_id(const struct role *k)
{
	return jv_text("/subscriptions/" SIM_SUBSCRIPTION
		       "/providers/Microsoft.Authorization/roleDefinitions/%s",
	    k->guid);
}

static void
put_assignment(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const struct place *p, const char *id, const char *key)
{
	jv body = arm_parse(q->body), given, out, e;
	char *principal, *role, *kind;
	const struct role *known;
	sqlite3_stmt *same;

	if (!jv_is_valid(body)) {
		arm_refuse(r, body);
		return;
	}
	given = jv_at(body, "properties");
	principal = arm_text(given, "principalId");
	role = arm_text(given, "roleDefinitionId");
	kind = arm_text(given, "principalType");
	known = role_of(role);
	same = sim_sql(s, "SELECT key FROM role_assignment WHERE scope = ?1"
			  " AND principal = lower(?2) AND role = ?3");
	sim_bind(same, 1, p->key);
	sim_bind(same, 2, principal);
	sim_bind(same, 3, known ? known->guid : "");
	e = scope_there(s, p);
	if (!jv_is_valid(e))
		arm_refuse(r, jv_copy(e));
	else if (!principal || !*principal || !role)
		sim_error(r, 400, "BadRequestFormat",
		    "The request was incorrectly formatted: principalId and "
		    "roleDefinitionId are required.");
	else if (!known)
		sim_error(r, 400, "RoleDefinitionDoesNotExist",
		    "The specified role definition with ID '%s' does not "
		    "exist.",
		    strrchr(role, '/') ? strrchr(role, '/') + 1 : role);
	else if (sim_step(s, same) == SQLITE_ROW &&
		 !span_is(sim_column(same, 0), key))
		sim_error(r, 409, "RoleAssignmentExists",
		    "The role assignment already exists.");
	else {
		jv now = arm_time(sim_now(s));

		out = jv_put(
		    jv_object(), "roleDefinitionId", definition_id(known));
		out = jv_put(out, "principalId", jv_string(principal));
		out = jv_put(out, "principalType",
		    jv_string(kind ? kind : "ServicePrincipal"));
		out = jv_put(out, "scope", jv_string(p->scope));
		out = jv_put(out, "createdOn", jv_copy(now));
		out = jv_put(out, "updatedOn", now);
		out = jv_put(out, "createdBy", jv_string(SIM_CLIENT));
		out = jv_put(out, "updatedBy", jv_string(SIM_CLIENT));
		out = jv_put(jv_object(), "properties", out);
		out = jv_put(out, "id", jv_string(id));
		out = jv_put(out, "type",
		    jv_string("Microsoft.Authorization/roleAssignments"));
		out = jv_put(out, "name", jv_string(p->name));
		keep(s, key, p->key, principal, known->guid,
		    sim_now(s) + sim_lasts(s, 0, PROPAGATION_MS), jv_copy(out));
		arm_answer(r, 201, out);
	}
	jv_free(e);
	jv_free(given);
	free(principal);
	free(role);
	free(kind);
}

static void
one_assignment(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const struct place *p)
{
	char *id = xasprintf("%s/providers/Microsoft.Authorization/"
			     "roleAssignments/%s",
	    p->scope, p->name);
	char *key = arm_lower(id);
	sqlite3_stmt *get =
	    sim_sql(s, "SELECT body FROM role_assignment WHERE key = ?");
	jv body;

	sim_bind(get, 1, key);
	body =
	    sim_step(s, get) == SQLITE_ROW ? arm_column(get, 0) : jv_invalid();
	if (strcmp(q->method, "PUT") == 0)
		put_assignment(s, q, r, p, id, key);
	else if (strcmp(q->method, "DELETE") == 0) {
		sqlite3_stmt *gone =
		    sim_sql(s, "DELETE FROM role_assignment WHERE key = ?");

		sim_bind(gone, 1, key);
		(void)sim_step(s, gone);
		arm_answer(r, jv_is_valid(body) ? 200 : 204,
		    jv_is_valid(body) ? jv_copy(body) : jv_null());
	} else if (strcmp(q->method, "GET") != 0)
		sim_error(r, 405, "MethodNotAllowed",
		    "The method '%s' is not allowed on a role assignment.",
		    q->method);
	else if (jv_is_valid(body))
		arm_answer(r, 200, jv_copy(body));
	else
		sim_error(r, 404, "RoleAssignmentNotFound",
		    "The role assignment '%s' is not found.", p->name);
	jv_free(body);
	free(id);
	free(key);
}

/* Those of the scope, of what is above it and, unless the filter says
 * atScope(), below it. */
static void
list_assignments(struct sim *s, const struct sim_request *q,
    struct sim_reply *r, const struct place *p)
{
	char *filter = sim_query(q, "$filter");
	char *who = arm_filtered(filter, "principalId");
	sqlite3_stmt *all =
	    sim_sql(s, "SELECT scope, principal, body FROM role_assignment"
		       " WHERE role <> '*' ORDER BY n");
	jv list = jv_array();

	if (!who)
		who = arm_filtered(filter, "assignedTo");
	while (sim_step(s, all) == SQLITE_ROW) {
		char *scope = span_dup(sim_column(all, 0)),
		     *principal = span_dup(sim_column(all, 1));

		if ((!who || strcasecmp(who, principal) == 0) &&
		    (covers(scope, p->key) ||
			(covers(p->key, scope) &&
			    !(filter && strcasestr(filter, "atScope()")))))
			list = jv_array_append(list, arm_column(all, 2));
		free(scope);
		free(principal);
	}
	arm_answer(r, 200, jv_put(jv_object(), "value", list));
	free(filter);
	free(who);
}

static jv
definition(const struct role *k)
{
	jv props = jv_put(jv_object(), "roleName", jv_string(k->name));

	props = jv_put(props, "type", jv_string("BuiltInRole"));
	props = jv_put(props, "description", jv_string(k->name));
	props = jv_put(props, "assignableScopes", JV_ARRAY(jv_string("/")));
	props = jv_put(props, "permissions", jv_array());
	return jv_put(
	    jv_put(jv_put(jv_put(jv_object(), "properties", props), "id",
		       definition_id(k)),
		"type", jv_string("Microsoft.Authorization/roleDefinitions")),
	    "name", jv_string(k->guid));
}

static void
definitions(
    const struct sim_request *q, struct sim_reply *r, const struct place *p)
{
	char *filter = sim_query(q, "$filter");
	char *name = arm_filtered(filter, "roleName");
	const struct role *one = role_of(p->name);
	jv list = jv_array();

	for (const struct role *k = roles; k->guid; k++)
		if (!name || strcasecmp(name, k->name) == 0)
			list = jv_array_append(list, definition(k));
	if (one)
		arm_answer(r, 200, definition(one));
	else if (p->name)
		sim_error(r, 404, "RoleDefinitionDoesNotExist",
		    "The specified role definition with ID '%s' does not "
		    "exist.",
		    p->name);
	else
		arm_answer(r, 200, jv_put(jv_object(), "value", jv_copy(list)));
	jv_free(list);
	free(filter);
	free(name);
}

bool
roles_handle(struct sim *s, const struct sim_request *q, struct sim_reply *r)
{
	struct place p;
	bool get = strcmp(q->method, "GET") == 0;

	if (!place_read(q, &p))
		return false;
	if (p.what && strcasecmp(p.what, "roleAssignments") == 0 && p.name)
		one_assignment(s, q, r, &p);
	else if (p.what && strcasecmp(p.what, "roleAssignments") == 0 && get)
		list_assignments(s, q, r, &p);
	else if (p.what && strcasecmp(p.what, "roleDefinitions") == 0 && get)
		definitions(q, r, &p);
	else
		sim_missing(r, q->path);
	place_free(&p);
	return true;
}
