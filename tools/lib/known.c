/* known.c: a template evaluated before it is deployed; see known.h. */
#include "known.h"

#include <string.h>
#include <strings.h>

#include "doc.h"
#include "expr.h"

struct known {
	struct expr_world world;
	jv template, values, scope;
	int depth;
};

/* A member by its name without case; invalid without message if absent. */
static jv
member(jv object, const char *name)
{
	jv found = jv_invalid();

	if (jv_get_kind(object) == JV_KIND_OBJECT)
		jv_object_foreach(object, key, value) {
			if (!strcasecmp(jv_string_value(key), name)) {
				jv_free(found);
				found = jv_copy(value);
			}
			jv_free(key);
			jv_free(value);
		}
	jv_free(object);
	return found;
}

/* An expression of the template itself, folded. */
static jv
evaluate(struct known *k, const char *name, jv text)
{
	jv v;

	if (k->depth > 32) {
		jv_free(text);
		return jv_fail(BAD_DATA, name, "is defined by itself");
	}
	k->depth++;
	v = expr_lift(text);
	if (jv_is_valid(v))
		v = expr_fold(v, &k->world);
	k->depth--;
	if (jv_is_valid(v) && expr_has_tree_peek(v)) {
		jv_free(v);
		return expr_unknown();
	}
	return v;
}

static jv
parameter(struct known *k, const char *name)
{
	jv v = jv_at(member(jv_copy(k->values), name), "value"), definition;

	if (jv_get_kind(v) != JV_KIND_NULL)
		return v;
	jv_free(v);
	definition = member(jv_at(jv_copy(k->template), "parameters"), name);
	v = jv_at(definition, "defaultValue");
	if (jv_get_kind(v) == JV_KIND_NULL) {
		jv_free(v);
		return expr_unknown();
	}
	return evaluate(k, name, v);
}

static jv
variable(struct known *k, const char *name)
{
	jv v = member(jv_at(jv_copy(k->template), "variables"), name);

	if (!jv_is_valid(v)) {
		jv_free(v);
		return expr_unknown();
	}
	return evaluate(k, name, v);
}

static jv
group(struct known *k)
{
	jv out = jv_object();

	if (jv_get_kind(k->scope) != JV_KIND_OBJECT)
		return out;
	out = jv_put(out, "name", jv_at(jv_copy(k->scope), "group"));
	if (jv_object_has(jv_copy(k->scope), jv_string("location")))
		out = jv_put(
		    out, "location", jv_at(jv_copy(k->scope), "location"));
	return out;
}

/* An id from its scope, its type and its names; unknown if one is missing. */
static jv
make_id(jv sub, jv grp, jv type, jv names)
{
	const char *t = jv_string_value(type), *slash = strchr(t, '/');
	jv id = jv_text("/subscriptions/%s/resourceGroups/%s/providers/%.*s",
	    jv_string_value(sub), jv_string_value(grp), (int)(slash - t), t);

	for (int i = 0; slash && jv_get_kind(id) == JV_KIND_STRING;
	     slash = strchr(slash + 1, '/'), i++) {
		jv name = jv_array_get(jv_copy(names), i);
		bool known = jv_is_valid(name) && jv_string_peek(name);

		if (known) {
			id = jv_string_append_str(id, "/");
			id = jv_string_append_buf(
			    id, slash + 1, (int)strcspn(slash + 1, "/"));
			id = jv_string_append_str(id, "/");
			id = jv_string_append_str(id, jv_string_value(name));
		} else {
			jv_free(id);
			id = expr_unknown();
		}
		jv_free(name);
	}
	jv_free(sub);
	jv_free(grp);
	jv_free(type);
	jv_free(names);
	return id;
}

/* resourceId([[subscription,] group,] type, name...) */
static jv
resource_id(struct known *k, jv args)
{
	jv sub = jv_at(jv_copy(k->scope), "subscription");
	jv grp = jv_at(jv_copy(k->scope), "group"), type, names;
	int n = jv_array_length(jv_copy(args)), at;

	for (at = 0; at < n; at++) {
		jv arg = jv_array_get(jv_copy(args), at);
		const char *text = jv_string_peek(arg);
		bool is_type = text && strchr(text, '/');

		if (!is_type && at == 1) {
			jv_free(sub);
			sub = jv_copy(grp);
		}
		if (!is_type) {
			jv_free(grp);
			grp = jv_copy(arg);
		}
		jv_free(arg);
		if (is_type)
			break;
	}
	type = jv_array_get(jv_copy(args), at);
	if (at < n && jv_string_peek(sub) && jv_string_peek(grp)) {
		names = jv_array_slice(args, at + 1, n);
		return make_id(sub, grp, type, names);
	}
	jv_free(type);
	jv_free(sub);
	jv_free(grp);
	jv_free(args);
	return expr_unknown();
}

static jv
call(void *ctx, const char *name, jv args)
{
	struct known *k = ctx;
	jv first = jv_array_get(jv_copy(args), 0), out;
	const char *text = jv_is_valid(first) ? jv_string_peek(first) : NULL;

	if (!strcmp(name, "parameters") && text)
		out = parameter(k, text);
	else if (!strcmp(name, "variables") && text)
		out = variable(k, text);
	else if (!strcmp(name, "resourcegroup"))
		out = group(k);
	else if (!strcmp(name, "subscription"))
		out = jv_put(jv_object(), "subscriptionId",
		    jv_at(jv_copy(k->scope), "subscription"));
	else if (!strcmp(name, "resourceid"))
		out = resource_id(k, jv_copy(args));
	else
		out = expr_unknown();
	jv_free(first);
	jv_free(args);
	return out;
}

jv
template_known(jv template, jv values, jv scope)
{
	struct known k = { .world = { call, &k },
		.template = template,
		.values = values,
		.scope = scope };
	jv out = expr_lift(jv_at(jv_copy(template), "resources"));

	if (jv_is_valid(out))
		out = expr_fold(out, &k.world);
	jv_free(template);
	jv_free(values);
	jv_free(scope);
	return out;
}

jv
template_values(const char *path)
{
	jv file, values;

	if (!path)
		return jv_object();
	file = jv_or_die(doc_read(path));
	values = jv_at(jv_copy(file), "parameters");
	if (jv_get_kind(values) != JV_KIND_OBJECT) {
		jv_free(values);
		values = jv_copy(file);
	}
	jv_free(file);
	if (jv_get_kind(values) != JV_KIND_OBJECT)
		die(BAD_DATA, path, "no object with parameters");
	jv_object_foreach(values, key, value) {
		if (jv_get_kind(value) != JV_KIND_OBJECT)
			die(BAD_DATA, path,
			    "parameter '%s' is no object with a value",
			    jv_string_value(key));
		jv_free(key);
		jv_free(value);
	}
	return values;
}
