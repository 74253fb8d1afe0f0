/* evaluate.c: a template's expressions, as far as known; see evaluate.h. */
#include "evaluate.h"

#include <stdlib.h>
#include <string.h>

#include "doc.h"
#include "expr.h"
#include "msg.h"

jv
evaluate_parameters(const char *path)
{
	jv file, all = jv_object();

	if (!path)
		return all;
	file = jv_or_die(doc_read(path));
	if (jv_get_kind(file) == JV_KIND_OBJECT &&
	    jv_object_has(jv_copy(file), jv_string("parameters")))
		file = jv_at(file, "parameters");
	if (jv_get_kind(file) != JV_KIND_OBJECT)
		die(BAD_DATA, path, "no object with parameters");
	jv_object_foreach(file, key, entry) {
		char *low = xstrdup(jv_string_value(key));

		if (jv_get_kind(entry) != JV_KIND_OBJECT)
			die(BAD_DATA, path,
			    "parameter '%s' is no object with a value", low);
		for (char *c = low; *c; c++)
			if (*c >= 'A' && *c <= 'Z')
				*c = (char)(*c - 'A' + 'a');
		all = jv_put(all, low, entry);
		free(low);
		jv_free(key);
	}
	jv_free(file);
	return all;
}

/* The sections in which a template may have expressions.  Descriptions may
 * begin with "[" and mean nothing by it. */
jv
evaluate_lift(jv t)
{
	static const char *const sections[] = { "resources", "outputs",
		"variables" };
	jv parameters = jv_at(jv_copy(t), "parameters"), v;

	for (size_t i = 0; i < 3; i++) {
		v = jv_at(jv_copy(t), sections[i]);
		if (jv_get_kind(v) == JV_KIND_NULL)
			continue;
		v = jv_put(jv_object(), sections[i], v);
		t = jv_object_merge(t, jv_or_die(expr_lift(v)));
	}
	if (jv_get_kind(parameters) != JV_KIND_OBJECT) {
		jv_free(parameters);
		return t;
	}
	jv_object_foreach(parameters, key, p) {
		v = jv_at(jv_copy(p), "defaultValue");
		if (jv_get_kind(v) != JV_KIND_NULL)
			p = jv_put(p, "defaultValue", jv_or_die(expr_lift(v)));
		parameters = jv_object_set(parameters, key, p);
	}
	return jv_put(t, "parameters", parameters);
}

struct world {
	struct expr_world expr;
	jv template, given;
	jv scope; /* of the deployment; jv_null() where there is none yet */
	int depth;
};

static bool
deploys(const struct world *w)
{
	return jv_get_kind(w->scope) == JV_KIND_OBJECT;
}

/* utcNow() and newGuid() may stand in the default of a parameter only. */
static bool
needs_default(jv tree)
{
	jv text = jv_dump_string(tree, 0);
	bool needs = strcasestr(jv_string_value(text), "\"call\":\"utcnow\"") ||
		     strcasestr(jv_string_value(text), "\"call\":\"newguid\"");

	jv_free(text);
	return needs;
}

static jv
parameter_value(struct world *w, const char *wanted)
{
	jv all = jv_at(jv_copy(w->template), "parameters");
	jv def = jv_at_nocase(all, wanted), v;
	jv given = jv_at_nocase(jv_copy(w->given), wanted);

	if (jv_get_kind(def) != JV_KIND_OBJECT) {
		jv_free(def);
		jv_free(given);
		return jv_fail(BAD_DATA, wanted, "no such parameter");
	}
	if (jv_get_kind(given) == JV_KIND_OBJECT) {
		jv_free(def);
		if (jv_object_has(jv_copy(given), jv_string("value")))
			return jv_at(given, "value");
		jv_free(given);
		return expr_unknown(); /* a Key Vault's: the deployment's */
	}
	jv_free(given);
	if (!jv_object_has(jv_copy(def), jv_string("defaultValue"))) {
		jv_free(def);
		if (deploys(w)) /* the service will ask for it */
			return expr_unknown();
		return jv_fail(BAD_DATA, wanted,
		    "parameter has no value (give one with --parameters=FILE)");
	}
	v = expr_fold(jv_at(def, "defaultValue"), &w->expr);
	if (jv_is_valid(v) && needs_default(jv_copy(v))) {
		jv_free(v);
		return expr_unknown();
	}
	return jv_is_valid(v) ? expr_unescape(v) : v;
}

static jv
variable_value(struct world *w, const char *wanted)
{
	jv all = jv_at(jv_copy(w->template), "variables");
	jv v = jv_at_nocase(jv_copy(all), wanted);
	jv loops = jv_at_nocase(all, "copy");
	bool looped = jv_get_kind(loops) == JV_KIND_ARRAY;

	jv_free(loops);
	if (!jv_is_valid(v) || jv_get_kind(v) == JV_KIND_NULL) {
		jv_free(v);
		if (looped)
			return expr_unknown();
		return jv_fail(BAD_DATA, wanted, "no such variable");
	}
	v = expr_fold(v, &w->expr);
	return jv_is_valid(v) ? expr_unescape(v) : v;
}

static jv
group_value(struct world *w)
{
	jv out = jv_put(jv_object(), "name", jv_at(jv_copy(w->scope), "group"));

	if (jv_object_has(jv_copy(w->scope), jv_string("location")))
		out = jv_put(
		    out, "location", jv_at(jv_copy(w->scope), "location"));
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
resource_id(struct world *w, jv args)
{
	jv sub = jv_at(jv_copy(w->scope), "subscription");
	jv grp = jv_at(jv_copy(w->scope), "group"), type, names;
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
defined(struct world *w, bool parameter, const char *wanted)
{
	jv v;

	if (++w->depth > 64)
		v = jv_fail(BAD_DATA, wanted, "is defined by itself");
	else
		v = parameter ? parameter_value(w, wanted)
			      : variable_value(w, wanted);
	w->depth--;
	return v;
}

/* The rest is for the deployment to know. */
static jv
known(void *ctx, const char *function, jv args)
{
	struct world *w = ctx;
	bool parameter = !strcmp(function, "parameters");
	jv first = jv_array_get(jv_copy(args), 0), v;

	if ((parameter || !strcmp(function, "variables")) &&
	    jv_string_peek(first))
		v = defined(w, parameter, jv_string_value(first));
	else if (deploys(w) && !strcmp(function, "resourcegroup"))
		v = group_value(w);
	else if (deploys(w) && !strcmp(function, "subscription"))
		v = jv_put(jv_object(), "subscriptionId",
		    jv_at(jv_copy(w->scope), "subscription"));
	else if (deploys(w) && !strcmp(function, "resourceid"))
		v = resource_id(w, jv_copy(args));
	else
		v = expr_unknown();
	jv_free(first);
	jv_free(args);
	return v;
}

/* Against the old values: whatever an export has made an expression of, it
 * says what it said before. */
jv
evaluate_fold(jv t, jv given)
{
	static const char *const sections[] = { "resources", "outputs",
		"variables" };
	struct world w = {
		.template = jv_copy(t), .given = given, .scope = jv_null()
	};
	jv v;

	w.expr = (struct expr_world){ known, &w };
	for (size_t i = 0; i < 3; i++) {
		v = jv_at(jv_copy(t), sections[i]);
		if (jv_get_kind(v) == JV_KIND_NULL)
			continue;
		v = jv_put(jv_object(), sections[i], v);
		v = expr_fold(v, &w.expr);
		/* A variable that nobody uses may be as broken as it likes. */
		if (i == 2 && !jv_is_valid(v))
			jv_free(v);
		else
			t = jv_object_merge(t, jv_or_die(v));
	}
	jv_free(w.template);
	jv_free(w.given);
	return t;
}

jv
evaluate_resources(jv t, jv given, jv scope)
{
	struct world w = {
		.template = evaluate_lift(t), .given = given, .scope = scope
	};
	jv out;

	w.expr = (struct expr_world){ known, &w };
	out = expr_fold(jv_at(jv_copy(w.template), "resources"), &w.expr);
	jv_free(w.template);
	jv_free(w.given);
	jv_free(w.scope);
	return out;
}
