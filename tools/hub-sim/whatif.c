/*
 * whatif.c: what a deployment would change (CONTRACT 9.3).  The plan is
 * carried out for real and then undone, so defaults, masks and what a provider
 * makes of a body are those of a deployment, and a template that was deployed
 * before changes nothing.
 */
#include "deploy.h"

#include <stdlib.h>
#include <strings.h>

#include "expr.h"

/* Members that change by themselves, in the resource and its properties. */
static jv
without_volatile(jv object)
{
	static const char *const names[] = { "etag", "systemData",
		"subscriptionid", "resourcegroup", "provisioningState", "state",
		"createdAt", "updatedAt", "created", "updated", "creationTime",
		"privateEndpointConnections", NULL };
	jv inner, plain;

	if (jv_get_kind(object) != JV_KIND_OBJECT)
		return object;
	for (const char *const *n = names; *n; n++)
		object = jv_without(object, *n);
	/* Cosmos DB's own: _ts, _etag, _rid, _self. */
	inner = jv_at(jv_copy(object), "resource");
	if (jv_get_kind(inner) != JV_KIND_OBJECT) {
		jv_free(inner);
		return object;
	}
	plain = jv_object();
	jv_object_foreach(inner, key, item) {
		if (*jv_string_value(key) == '_') {
			jv_free(key);
			jv_free(item);
		} else {
			plain = jv_object_set(plain, key, item);
		}
	}
	jv_free(inner);
	object = jv_put(object, "resource", plain);
	return object;
}

/* The ids that the hub gave to its endpoints are not the template's. */
static jv
without_endpoint_ids(jv properties)
{
	jv routing = jv_at(jv_copy(properties), "routing");
	jv endpoints = jv_at(jv_copy(routing), "endpoints"), out;

	if (jv_get_kind(endpoints) != JV_KIND_OBJECT) {
		jv_free(routing);
		jv_free(endpoints);
		return properties;
	}
	out = jv_object();
	jv_object_foreach(endpoints, type, list) {
		jv plain = jv_array();

		if (jv_get_kind(list) == JV_KIND_ARRAY) {
			jv_array_foreach(list, i, one)
				plain = jv_array_append(
				    plain, jv_without(one, "id"));
		}
		jv_free(list);
		out = jv_object_set(out, type, plain);
	}
	jv_free(endpoints);
	return jv_put(properties, "routing", jv_put(routing, "endpoints", out));
}

/* A stored resource as what-if shows it. */
static jv
shown(jv resource, const char *api)
{
	jv properties;

	if (jv_get_kind(resource) != JV_KIND_OBJECT)
		return resource;
	properties = jv_at(jv_copy(resource), "properties");
	if (jv_get_kind(properties) == JV_KIND_OBJECT)
		properties = without_endpoint_ids(without_volatile(properties));
	resource =
	    arm_put_some(without_volatile(resource), "properties", properties);
	return jv_put(resource, "apiVersion", jv_string(api));
}

/* ---- differences ---- */

static jv compare(jv changes, const char *path, jv before, jv after);

static jv
change(const char *path, const char *kind, jv before, jv after, jv children)
{
	jv c = jv_put(jv_put(jv_object(), "path", jv_string(path)),
	    "propertyChangeType", jv_string(kind));

	if (jv_is_valid(before))
		c = jv_put(c, "before", before);
	else
		jv_free(before);
	if (jv_is_valid(after))
		c = jv_put(c, "after", after);
	else
		jv_free(after);
	if (jv_is_valid(children))
		return jv_put(c, "children", children);
	jv_free(children);
	return c;
}

static char *
below(const char *path, const char *name)
{
	return *path ? xasprintf("%s.%s", path, name) : xstrdup(name);
}

static jv
compare_objects(jv changes, const char *path, jv before, jv after)
{
	jv_object_foreach(before, key, old) {
		char *here = below(path, jv_string_value(key));
		jv new = jv_object_get(jv_copy(after), key);

		if (jv_is_valid(new)) {
			changes = compare(changes, here, old, new);
		} else {
			jv_free(new);
			changes = jv_array_append(
			    changes, change(here, "Delete", old, jv_null(),
					 jv_invalid()));
		}
		free(here);
	}
	jv_object_foreach(after, key, new) {
		char *here = below(path, jv_string_value(key));

		if (jv_object_has(jv_copy(before), key))
			jv_free(new);
		else
			changes = jv_array_append(
			    changes, change(here, "Create", jv_null(), new,
					 jv_invalid()));
		free(here);
	}
	jv_free(before);
	jv_free(after);
	return changes;
}

static jv
compare_arrays(jv changes, const char *path, jv before, jv after)
{
	int n = jv_array_length(jv_copy(before));
	int m = jv_array_length(jv_copy(after));
	jv children = jv_array();

	for (int i = 0; i < n || i < m; i++) {
		char *here = xasprintf("%d", i);
		jv old = i < n ? jv_array_get(jv_copy(before), i) : jv_null();
		jv new = i < m ? jv_array_get(jv_copy(after), i) : jv_null();

		if (i < n && i < m && jv_equal(jv_copy(old), jv_copy(new))) {
			jv_free(old);
			jv_free(new);
		} else if (i < n && i < m &&
			   jv_get_kind(old) == JV_KIND_OBJECT &&
			   jv_get_kind(new) == JV_KIND_OBJECT) {
			children = jv_array_append(children,
			    change(here, "Modify", jv_invalid(), jv_invalid(),
				compare_objects(jv_array(), "", old, new)));
		} else {
			children = jv_array_append(
			    children, change(here,
					  i >= n   ? "Create"
					  : i >= m ? "Delete"
						   : "Modify",
					  old, new, jv_invalid()));
		}
		free(here);
	}
	jv_free(before);
	jv_free(after);
	return jv_array_append(changes,
	    change(path, "Array", jv_invalid(), jv_invalid(), children));
}

static jv
compare(jv changes, const char *path, jv before, jv after)
{
	jv_kind a = jv_get_kind(before), b = jv_get_kind(after);

	if (jv_equal(jv_copy(before), jv_copy(after))) {
		jv_free(before);
		jv_free(after);
		return changes;
	}
	if (a == JV_KIND_OBJECT && b == JV_KIND_OBJECT)
		return compare_objects(changes, path, before, after);
	if (a == JV_KIND_ARRAY && b == JV_KIND_ARRAY)
		return compare_arrays(changes, path, before, after);
	return jv_array_append(
	    changes, change(path, "Modify", before, after, jv_invalid()));
}

/* ---- what could not be carried out ---- */

static void
mask_after(char *text, const char *word)
{
	for (char *at = strcasestr(text, word); at; at = strcasestr(at, word)) {
		size_t n;

		at += strlen(word);
		n = strcspn(at, ";");
		if (n > 4) {
			memset(at, '*', 4);
			memmove(at + 4, at + n, strlen(at + n) + 1);
		}
	}
}

/* Keys are never shown, whatever the template says. */
static jv
masked(jv value, const char *name)
{
	if (jv_get_kind(value) == JV_KIND_STRING) {
		char *text = xstrdup(jv_string_value(value));
		size_t n = strlen(name);

		mask_after(text, "SharedAccessKey=");
		mask_after(text, "AccountKey=");
		if (n >= 3 && strcasecmp(name + n - 3, "Key") == 0 &&
		    text[0] != '[') {
			free(text);
			text = xstrdup("****");
		}
		jv_free(value);
		value = jv_string(text);
		free(text);
	} else if (jv_get_kind(value) == JV_KIND_ARRAY) {
		jv out = jv_array();

		jv_array_foreach(value, i, item)
			out = jv_array_append(out, masked(item, name));
		jv_free(value);
		value = out;
	} else if (jv_get_kind(value) == JV_KIND_OBJECT) {
		jv out = jv_object();

		jv_object_foreach(value, key, item) {
			item = masked(item, jv_string_value(key));
			out = jv_object_set(out, key, item);
		}
		jv_free(value);
		value = out;
	}
	return value;
}

static jv
preview(struct plan *p, int i, jv before)
{
	struct part *part = &p->part[i];
	jv body = arm_or(expr_lower(plan_preview(p, i)), jv_object());
	const char *last = strrchr(part->name, '/');

	body = masked(body, "");
	/* What the template says laid over what is stored. */
	if (jv_get_kind(before) == JV_KIND_OBJECT)
		return jv_object_merge_recursive(before, body);
	jv_free(before);
	body = jv_put(body, "id", jv_string(part->id));
	body = jv_put(body, "name", jv_string(last ? last + 1 : part->name));
	body = jv_put(body, "type", jv_string(part->type));
	return jv_put(body, "apiVersion", jv_string(part->api));
}

/* ---- the answer ---- */

static jv
resource_change(const char *id, const char *kind, jv before, jv after)
{
	jv c = jv_put(jv_put(jv_object(), "resourceId", jv_string(id)),
	    "changeType", jv_string(kind));

	return arm_put_some(arm_put_some(c, "before", before), "after", after);
}

static jv
part_change(struct plan *p, int i, jv before, jv after)
{
	const char *id = p->part[i].id;
	jv delta;

	if (jv_get_kind(before) != JV_KIND_OBJECT) {
		jv_free(before);
		return resource_change(id, "Create", jv_null(), after);
	}
	delta = compare(jv_array(), "", jv_copy(before), jv_copy(after));
	if (jv_array_length(jv_copy(delta)) == 0) {
		jv_free(delta);
		return resource_change(id, "NoChange", before, after);
	}
	return jv_put(
	    resource_change(id, "Modify", before, after), "delta", delta);
}

static bool
in_plan(const struct plan *p, const char *id)
{
	for (int i = 0; i < p->count; i++)
		if (p->part[i].state != PART_ABSENT &&
		    strcasecmp(p->part[i].id, id) == 0)
			return true;
	return false;
}

/* Number of names in an id: children are not listed by themselves. */
static bool
is_top(const char *id)
{
	const char *at = strstr(id, "/providers/");
	int n = 0;

	for (; at && *at; at++)
		n += *at == '/';
	return n == 4;
}

jv
whatif_result(struct plan *p, bool ids_only)
{
	jv changes = jv_array(), others = arm_group_resources(p->s, p->group);
	jv before = jv_array(), after = jv_array(), out;
	char guid[37];

	for (int i = 0; i < p->count; i++) {
		jv stored = arm_resource(p->s, p->part[i].id);

		before = jv_array_append(
		    before, jv_is_valid(stored) ? shown(stored, p->part[i].api)
						: (jv_free(stored), jv_null()));
	}
	sim_savepoint(p->s);
	plan_run(p);
	/* A parent's state may follow from a child's: read when all is done. */
	for (int i = 0; i < p->count; i++)
		after = jv_array_append(
		    after, p->part[i].state == PART_DONE
			       ? shown(arm_resource(p->s, p->part[i].id),
				     p->part[i].api)
			       : jv_null());
	sim_rollback(p->s);
	for (int i = 0; i < p->count; i++) {
		jv old = jv_array_get(jv_copy(before), i);
		jv new = jv_array_get(jv_copy(after), i);

		if (p->part[i].state == PART_ABSENT) {
			jv_free(old);
			jv_free(new);
			continue;
		}
		if (jv_get_kind(new) != JV_KIND_OBJECT) {
			jv_free(new);
			new = preview(p, i, jv_copy(old));
		}
		changes = jv_array_append(changes, part_change(p, i, old, new));
	}
	jv_free(before);
	jv_free(after);
	jv_array_foreach(others, i, one) {
		char *id = arm_text(one, "id"), *type = arm_text(one, "type");

		if (id && type && is_top(id) && !in_plan(p, id)) {
			one = shown(one, arm_version_of(type));
			changes = jv_array_append(
			    changes, resource_change(id, "Ignore", jv_copy(one),
					 jv_copy(one)));
		}
		jv_free(one);
		free(id);
		free(type);
	}
	jv_free(others);
	if (ids_only) {
		out = jv_array();
		jv_array_foreach(changes, i, c)
			out = jv_array_append(out,
			    jv_without(
				jv_without(jv_without(c, "before"), "after"),
				"delta"));
		jv_free(changes);
		changes = out;
	}
	sim_guid(p->s, p->name, guid);
	out = jv_put(jv_put(jv_object(), "correlationId", jv_string(guid)),
	    "changes", changes);
	return jv_put(jv_put(jv_object(), "status", jv_string("Succeeded")),
	    "properties", out);
}
