/*
 * world.c: what the expressions of a template mean: the functions that ask
 * about the deployment and what is around it, and loops (CONTRACT 9.6).
 */
#include "deploy.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "expr.h"

static jv
variable_value(struct plan *p, const char *name)
{
	jv value = jv_at_nocase(jv_copy(p->variables), name);

	if (!jv_is_valid(value)) {
		jv_free(value);
		return fault("The template variable '%s' is not found. Please "
			     "see https://aka.ms/arm-template/#variables for "
			     "usage details",
		    name);
	}
	if (p->depth >= MAX_DEPTH) {
		jv_free(value);
		return fault(
		    "Circular reference in the template variable '%s'", name);
	}
	p->depth++;
	value = plan_evaluate(p, value);
	p->depth--;
	return value;
}

/* text argument i, borrowed from args; NULL when it is none. */
static const char *
text_arg(jv args, int i)
{
	jv a = i < jv_array_length(jv_copy(args))
		   ? jv_array_get(jv_copy(args), i)
		   : jv_null();
	const char *text = jv_string_peek(a);

	jv_free(a); /* args keeps it alive */
	return text;
}

/* "/providers/A/b/n1/c/n2" from "A/b/c" and names; false: numbers differ. */
static bool
provider_path(struct buf *b, const char *type, jv args, int from)
{
	const char *at = strchr(type, '/');
	int count = jv_array_length(jv_copy(args));

	if (at == NULL || deploy_slashes(type) != count - from)
		return false;
	buf_printf(b, "/providers/%.*s", (int)(at - type), type);
	for (int i = from; i < count; i++) {
		const char *name = text_arg(args, i);
		size_t n = strcspn(at + 1, "/") + 1;

		if (name == NULL || *name == '\0')
			return false;
		buf_printf(b, "%.*s/%s", (int)n, at, name);
		at += n;
	}
	return true;
}

/* resourceId([sub], [group], type, name...) and its relatives. */
static jv
resource_id(struct plan *p, const char *name, jv args)
{
	struct buf b = BUF_INIT;
	const char *sub = SIM_SUBSCRIPTION, *group = p->group, *type = NULL;
	bool extension = strcmp(name, "extensionresourceid") == 0;
	bool tenant = strcmp(name, "tenantresourceid") == 0;
	bool whole = strcmp(name, "subscriptionresourceid") == 0;
	int n = jv_array_length(jv_copy(args)), at = 0;
	jv id;

	if (extension)
		at = 1;
	else
		while (at < n && at < 3 && text_arg(args, at) &&
		       !strchr(text_arg(args, at), '/'))
			at++;
	type = text_arg(args, at);
	if (whole) {
		if (at == 1)
			sub = text_arg(args, 0);
	} else if (!extension && !tenant) {
		if (at >= 1)
			group = text_arg(args, at - 1);
		if (at == 2)
			sub = text_arg(args, 0);
	}
	if (extension && text_arg(args, 0))
		buf_text(&b, text_arg(args, 0));
	else if (whole)
		buf_printf(&b, "/subscriptions/%s", sub);
	else if (!tenant)
		buf_printf(
		    &b, "/subscriptions/%s/resourceGroups/%s", sub, group);
	if (type == NULL || at > 2 || !provider_path(&b, type, args, at + 1)) {
		buf_free(&b);
		jv_free(args);
		return fault("Unable to evaluate template language function "
			     "'%s': it needs a resource type and one name for "
			     "each of its segments",
		    name);
	}
	id = jv_string_sized(b.at, (int)b.len);
	buf_free(&b);
	jv_free(args);
	return id;
}

/* What reference() and list...() name, deployed if this template has it. */
static jv
resolve(struct plan *p, const char *what)
{
	int i = *what == '/' ? plan_part_by_id(p, what)
			     : plan_part_by_name(p, what);

	if (i >= 0 && p->part[i].state == PART_WAITING)
		plan_run_part(p, i);
	if (i >= 0)
		return jv_string(p->part[i].id);
	if (*what == '/')
		return jv_string(what);
	return fault("The template function names the resource '%s', which is "
		     "not defined in the template",
	    what);
}

static jv
not_found(struct plan *p, const char *id)
{
	const char *type = strstr(id, "/providers/");

	return arm_fail(404, "ResourceNotFound",
	    "The Resource '%s' under resource group '%s' was not found. For "
	    "more details please go to https://aka.ms/ARMResourceNotFoundFix",
	    type ? type + 11 : id, p->group);
}

static jv
reference(struct plan *p, jv args)
{
	const char *full = text_arg(args, 2), *what = text_arg(args, 0);
	bool whole = full && strcasecmp(full, "full") == 0;
	jv id, found;

	if (what == NULL) {
		jv_free(args);
		return fault("reference(): %s", "needs a resource");
	}
	id = resolve(p, what);
	jv_free(args);
	if (!jv_is_valid(id))
		return id;
	found = arm_resource(p->s, jv_string_value(id));
	if (!jv_is_valid(found)) {
		jv_free(found);
		found = not_found(p, jv_string_value(id));
	} else if (!whole) {
		found = jv_at(found, "properties");
	}
	jv_free(id);
	return found;
}

static jv
list_keys(struct plan *p, const char *name, jv args)
{
	const char *what = text_arg(args, 0);
	jv id, keys;

	if (what == NULL || text_arg(args, 1) == NULL) {
		jv_free(args);
		return fault("%s(): needs a resource and an API version", name);
	}
	id = resolve(p, what);
	jv_free(args);
	if (!jv_is_valid(id))
		return id;
	keys = arm_keys(p->s, jv_string_value(id), name);
	jv_free(id);
	return keys;
}

static jv
providers(jv args)
{
	const char *ns = text_arg(args, 0), *type = text_arg(args, 1);
	const char *version = ns && type ? arm_version_of(ns) : NULL;
	jv found = version ? JV_OBJECT(jv_string("resourceType"),
				 jv_string(type), jv_string("apiVersions"),
				 JV_ARRAY(jv_string(version)),
				 jv_string("locations"), jv_array())
			   : fault("providers(): the type '%s' is not known",
				 type ? type : "");

	jv_free(args);
	return found;
}

/* The public cloud's; CONTRACT 1. */
static jv
environment(void)
{
	jv suffixes =
	    jv_put(jv_object(), "storage", jv_string("core.windows.net"));
	jv out = jv_put(jv_object(), "name", jv_string("AzureCloud"));

	suffixes =
	    jv_put(suffixes, "keyvaultDns", jv_string(".vault.azure.net"));
	suffixes = jv_put(
	    suffixes, "sqlServerHostname", jv_string(".database.windows.net"));
	out = jv_put(
	    out, "resourceManager", jv_string("https://management.azure.com/"));
	out = jv_put(out, "portal", jv_string("https://portal.azure.com"));
	return jv_put(out, "suffixes", suffixes);
}

/* utcNow('yyyy-MM-dd'): the words of .NET that name parts of a time. */
static jv
utc_now(struct plan *p, jv args)
{
	const char *form = text_arg(args, 0);
	time_t now = (time_t)(sim_now(p->s) / 1000);
	struct buf b = BUF_INIT;
	struct tm t;
	jv text;

	(void)gmtime_r(&now, &t);
	if (form == NULL)
		form = "yyyyMMddTHHmmssZ";
	while (*form) {
		size_t n = 1;

		while (form[n] == *form)
			n++;
		if (*form == 'y' && n == 4)
			buf_printf(&b, "%04d", t.tm_year + 1900);
		else if (*form == 'M' && n <= 2)
			buf_printf(&b, "%0*d", (int)n, t.tm_mon + 1);
		else if (*form == 'd' && n <= 2)
			buf_printf(&b, "%0*d", (int)n, t.tm_mday);
		else if (*form == 'H' && n <= 2)
			buf_printf(&b, "%0*d", (int)n, t.tm_hour);
		else if (*form == 'm' && n <= 2)
			buf_printf(&b, "%0*d", (int)n, t.tm_min);
		else if (*form == 's' && n <= 2)
			buf_printf(&b, "%0*d", (int)n, t.tm_sec);
		else
			buf_add(&b, form, n);
		form += n;
	}
	jv_free(args);
	text = jv_string_sized(b.len ? b.at : "", (int)b.len);
	buf_free(&b);
	return text;
}

static jv
copy_index(const struct plan *p, jv args)
{
	const char *name = text_arg(args, 0);
	jv offset = jv_array_length(jv_copy(args)) > (name ? 1 : 0)
			? jv_array_get(jv_copy(args), name ? 1 : 0)
			: jv_number(0);
	const struct copy_turn *t = p->turn;
	jv index;

	while (name && t && (!t->name || strcasecmp(t->name, name) != 0))
		t = t->up;
	if (t == NULL)
		index = fault("copyIndex() is used outside of the loop '%s'",
		    name ? name : "copy");
	else
		index =
		    jv_number(t->index + (jv_get_kind(offset) == JV_KIND_NUMBER
						 ? jv_number_value(offset)
						 : 0));
	jv_free(offset);
	jv_free(args);
	return index;
}

/* contoso.unique('a'): a function that the template defines. */
static jv
user_function(struct plan *p, const char *name, jv args)
{
	jv list = deploy_member(jv_copy(p->template), "functions");
	const char *dot = strchr(name, '.');
	jv fn = jv_null(), output, frame = jv_object(), was, value;
	jv names;

	if (jv_get_kind(list) == JV_KIND_ARRAY) {
		jv_array_foreach(list, i, space) {
			char *ns = jv_dup_string(
			    deploy_member(jv_copy(space), "namespace"));

			if (ns && strlen(ns) == (size_t)(dot - name) &&
			    strncasecmp(ns, name, strlen(ns)) == 0) {
				jv_free(fn);
				fn = deploy_member(
				    deploy_member(jv_copy(space), "members"),
				    dot + 1);
			}
			free(ns);
			jv_free(space);
		}
	}
	jv_free(list);
	if (jv_get_kind(fn) != JV_KIND_OBJECT || p->depth >= MAX_DEPTH) {
		jv_free(fn);
		jv_free(args);
		jv_free(frame);
		return expr_unknown();
	}
	names = deploy_member(jv_copy(fn), "parameters");
	if (jv_get_kind(names) == JV_KIND_ARRAY) {
		jv_array_foreach(names, i, one) {
			char *n = jv_dup_string(deploy_member(one, "name"));

			if (n && i < jv_array_length(jv_copy(args)))
				frame = jv_put(
				    frame, n, jv_array_get(jv_copy(args), i));
			free(n);
		}
	}
	jv_free(names);
	jv_free(args);
	output = deploy_member(deploy_member(fn, "output"), "value");
	was = p->frame;
	p->frame = frame;
	p->depth++;
	value = plan_lift_evaluate(p, output);
	p->depth--;
	jv_free(p->frame);
	p->frame = was;
	return value;
}

static jv
group_value(struct plan *p)
{
	return arm_group(p->s, p->group);
}

static jv
subscription_value(void)
{
	jv v = jv_put(
	    jv_object(), "id", jv_string("/subscriptions/" SIM_SUBSCRIPTION));

	v = jv_put(v, "subscriptionId", jv_string(SIM_SUBSCRIPTION));
	v = jv_put(v, "tenantId", jv_string(SIM_TENANT));
	return jv_put(v, "displayName", jv_string("hub-sim"));
}

static jv
deployment_value(struct plan *p)
{
	jv v = jv_put(jv_object(), "mode", jv_string("Incremental"));

	v = jv_put(v, "template", jv_copy(p->template));
	v = jv_put(v, "provisioningState", jv_string("Running"));
	return jv_put(
	    jv_put(jv_object(), "name", jv_string(p->name)), "properties", v);
}

static jv
new_guid(struct plan *p)
{
	char guid[37], *words = xasprintf("newGuid/%s/%lld", p->name,
			   (long long)sim_now(p->s));

	sim_guid(p->s, words, guid);
	free(words);
	return jv_string(guid);
}

static jv
world_call(void *ctx, const char *name, jv args)
{
	struct plan *p = ctx;
	const char *first = text_arg(args, 0);
	jv v;

	if (strcmp(name, "parameters") == 0 && first) {
		if (jv_is_valid(p->frame)) {
			v = jv_at_nocase(jv_copy(p->frame), first);
			if (!jv_is_valid(v)) {
				jv_free(v);
				v = fault("The function has no parameter '%s'",
				    first);
			}
		} else {
			v = parameter_value(p, first);
		}
	} else if (strcmp(name, "variables") == 0 && first) {
		v = variable_value(p, first);
	} else if (strcmp(name, "resourcegroup") == 0) {
		v = group_value(p);
	} else if (strcmp(name, "subscription") == 0) {
		v = subscription_value();
	} else if (strcmp(name, "tenant") == 0) {
		v = jv_put(jv_object(), "tenantId", jv_string(SIM_TENANT));
	} else if (strcmp(name, "deployment") == 0) {
		v = deployment_value(p);
	} else if (strcmp(name, "environment") == 0) {
		v = environment();
	} else if (strcmp(name, "resourceid") == 0 ||
		   strcmp(name, "subscriptionresourceid") == 0 ||
		   strcmp(name, "tenantresourceid") == 0 ||
		   strcmp(name, "extensionresourceid") == 0) {
		return resource_id(p, name, args);
	} else if (strcmp(name, "providers") == 0) {
		return providers(args);
	} else if (strcmp(name, "uniquestring") == 0) {
		return unique_string(args);
	} else if (strcmp(name, "guid") == 0) {
		return unique_guid(args);
	} else if (strcmp(name, "copyindex") == 0) {
		return copy_index(p, args);
	} else if (strcmp(name, "utcnow") == 0 && p->in_default) {
		return utc_now(p, args);
	} else if (strcmp(name, "newguid") == 0 && p->in_default) {
		v = new_guid(p);
	} else if (strcmp(name, "reference") == 0 && !p->early) {
		return reference(p, args);
	} else if (strncmp(name, "list", 4) == 0 && !p->early) {
		return list_keys(p, name, args);
	} else if (strchr(name, '.')) {
		return user_function(p, name, args);
	} else if (strcmp(name, "reference") == 0 ||
		   strncmp(name, "list", 4) == 0) {
		v = expr_unknown(); /* until what it names is there */
	} else {
		v = fault("The template function '%s' is not expected at this "
			  "location, or is not known",
		    name);
	}
	jv_free(args);
	return v;
}

/* ---- evaluating ---- */

jv
plan_fold(struct plan *p, jv lifted)
{
	struct expr_world world = { world_call, p };

	return expr_fold(lifted, &world);
}

/* What one loop makes: an array, or why it makes none. */
static jv
copies(struct plan *p, jv loop, const char *name)
{
	jv count = plan_fold(p, jv_at(jv_copy(loop), "count"));
	jv list = jv_array();
	double n =
	    jv_get_kind(count) == JV_KIND_NUMBER ? jv_number_value(count) : -1;

	jv_free(count);
	if (!name || n < 0) {
		jv_free(list);
		list = fault("a copy loop needs a name and a count%s", "");
	}
	for (int k = 0; jv_is_valid(list) && k < n && k < MAX_PARTS; k++) {
		struct copy_turn turn = { name, k, p->turn };
		jv one = plan_expand(p, jv_at(jv_copy(loop), "input"));

		p->turn = &turn;
		if (jv_is_valid(one))
			one = plan_fold(p, one);
		p->turn = turn.up;
		if (jv_is_valid(one)) {
			list = jv_array_append(list, one);
		} else {
			jv_free(list);
			list = one;
		}
	}
	jv_free(loop);
	return list;
}

/* {"copy": [{"name", "count", "input"}], ...}: the loops of properties and
 * variables; what they make stands beside them. */
jv
plan_expand(struct plan *p, jv value)
{
	jv loops, out;

	if (jv_get_kind(value) == JV_KIND_ARRAY) {
		out = jv_array();
		jv_array_foreach(value, i, item) {
			item = plan_expand(p, item);
			if (!jv_is_valid(item)) {
				jv_free(out);
				jv_free(value);
				return item;
			}
			out = jv_array_append(out, item);
		}
		jv_free(value);
		return out;
	}
	if (jv_get_kind(value) != JV_KIND_OBJECT ||
	    jv_object_has(jv_copy(value), jv_string(EXPR)))
		return value;
	loops = jv_at(jv_copy(value), "copy");
	out = jv_object();
	jv_object_foreach(value, key, item) {
		bool skip = jv_get_kind(loops) == JV_KIND_ARRAY &&
			    strcmp(jv_string_value(key), "copy") == 0;

		item = skip ? item : plan_expand(p, item);
		if (!jv_is_valid(item)) {
			jv_free(key);
			jv_free(loops);
			jv_free(out);
			jv_free(value);
			return item;
		}
		if (skip) {
			jv_free(key);
			jv_free(item);
		} else {
			out = jv_object_set(out, key, item);
		}
	}
	jv_free(value);
	if (jv_get_kind(loops) != JV_KIND_ARRAY) {
		jv_free(loops);
		return out;
	}
	jv_array_foreach(loops, i, loop) {
		char *name = jv_dup_string(jv_at(jv_copy(loop), "name"));
		jv list = copies(p, loop, name);

		if (!jv_is_valid(list)) {
			free(name);
			jv_free(loops);
			jv_free(out);
			return list;
		}
		out = jv_put(out, name, list);
		free(name);
	}
	jv_free(loops);
	return out;
}

/* The name of a function that is still to be called; malloc'd. */
static char *
first_call(jv value)
{
	char *found = NULL;

	if (jv_get_kind(value) == JV_KIND_OBJECT) {
		jv body = jv_at(jv_copy(value), EXPR);

		if (jv_get_kind(body) == JV_KIND_OBJECT)
			found = jv_dup_string(jv_at(jv_copy(body), "call"));
		jv_free(body);
		jv_object_foreach(value, key, item) {
			jv_free(key);
			if (found)
				jv_free(item);
			else
				found = first_call(item);
		}
	} else if (jv_get_kind(value) == JV_KIND_ARRAY) {
		jv_array_foreach(value, i, item) {
			if (found)
				jv_free(item);
			else
				found = first_call(item);
		}
	}
	jv_free(value);
	return found;
}

/* A value without trees, its strings meaning themselves; or invalid. */
jv
plan_evaluate(struct plan *p, jv lifted)
{
	jv value = plan_expand(p, lifted);

	if (jv_is_valid(value))
		value = plan_fold(p, value);
	if (!jv_is_valid(value))
		return value;
	if (expr_has_tree_peek(value)) {
		char *name = first_call(value);
		jv e = fault("The template function '%s' is not expected at "
			     "this location, or is not known",
		    name ? name : "?");

		free(name);
		return e;
	}
	return expr_unescape(value);
}

jv
plan_lift_evaluate(struct plan *p, jv value)
{
	jv lifted = expr_lift(value);

	return jv_is_valid(lifted) ? plan_evaluate(p, lifted) : lifted;
}
