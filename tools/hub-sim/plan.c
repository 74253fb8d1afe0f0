/*
 * plan.c: reads a deployment template (CONTRACT 9.6), evaluates its
 * expressions as Resource Manager does and carries it out.
 */
#include "deploy.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "expr.h"

enum { MAX_PARTS = 800, MAX_DEPTH = 40 };

jv
deploy_failure(int status, jv body)
{
	return jv_invalid_with_msg(jv_put(
	    jv_put(jv_object(), "status", jv_number(status)), "body", body));
}

jv
deploy_pick(jv object, const char *name)
{
	jv found = jv_invalid();

	if (jv_get_kind(object) != JV_KIND_OBJECT) {
		jv_free(object);
		return found;
	}
	jv_object_foreach(object, key, item) {
		if (!jv_is_valid(found) &&
		    strcasecmp(jv_string_value(key), name) == 0)
			found = item;
		else
			jv_free(item);
		jv_free(key);
	}
	jv_free(object);
	return found;
}

static jv
pick_or_null(jv object, const char *name)
{
	jv found = deploy_pick(object, name);

	if (jv_is_valid(found))
		return found;
	jv_free(found);
	return jv_null();
}

/* ---- refusals ---- */

/* Where the template declares that parameter; 1, 1 when it cannot be told. */
static void
position(const struct plan *p, const char *name, int *line, int *column)
{
	const char *const path[] = { "properties", "template", "parameters",
		name, NULL };
	struct span value;

	*line = *column = 1;
	if (p->text.at == NULL || json_get(p->text, path, &value, NULL) != 1)
		return;
	for (const char *c = p->text.at; c < value.at; c++) {
		*column += 1;
		if (*c == '\n') {
			*line += 1;
			*column = 1;
		}
	}
}

static jv invalid_template(jv text, jv info)
    __attribute__((warn_unused_result));

/* text is what stands between the quotes; consumed, as info is. */
static jv
invalid_template(jv text, jv info)
{
	jv error = jv_put(jv_object(), "code", jv_string("InvalidTemplate"));

	error = jv_put(error, "message",
	    jv_text("Deployment template validation failed: '%s'.",
		jv_string_value(text)));
	jv_free(text);
	if (jv_get_kind(info) == JV_KIND_NULL)
		info = jv_put(
		    jv_put(jv_put(jv_object(), "lineNumber", jv_number(0)),
			"linePosition", jv_number(0)),
		    "path", jv_string(""));
	info =
	    jv_put(jv_put(jv_object(), "type", jv_string("TemplateViolation")),
		"info", info);
	error =
	    jv_put(error, "additionalInfo", jv_array_append(jv_array(), info));
	return deploy_failure(400, jv_put(jv_object(), "error", error));
}

/* About one parameter; what: with two %d and the name before them. */
static jv
parameter_fault(const struct plan *p, const char *name, const char *rest)
{
	int line, column;
	jv info;

	position(p, name, &line, &column);
	info = jv_put(jv_put(jv_object(), "lineNumber", jv_number(line)),
	    "linePosition", jv_number(column));
	info = jv_put(
	    info, "path", jv_text("properties.template.parameters.%s", name));
	return invalid_template(
	    jv_text("The value for the template parameter '%s' at line '%d' "
		    "and column '%d' is not %s",
		name, line, column, rest),
	    info);
}

/* An evaluation that failed, as the refusal of the template; what another
 * room said stays as it is. */
static jv
template_fault(jv invalid, const char *what)
{
	jv msg = jv_invalid_get_msg(jv_copy(invalid));
	bool room = jv_get_kind(msg) == JV_KIND_OBJECT &&
		    jv_object_has(jv_copy(msg), jv_string("body"));
	struct err e;

	jv_free(msg);
	if (room)
		return invalid;
	err_from_jv(&e, invalid);
	return invalid_template(
	    jv_text(
		"%s%sis not valid: %s. Please see "
		"https://aka.ms/arm-template-expressions for usage details.",
		what, *what ? " " : "", e.text),
	    jv_null());
}

/* ---- what functions mean ---- */

static jv evaluate(struct plan *p, jv lifted);
static void part_run(struct plan *p, int i);

#define fault(...) jv_fail(BAD_DATA, NULL, __VA_ARGS__)

static jv
lift_and_evaluate(struct plan *p, jv value)
{
	jv lifted = expr_lift(value);

	return jv_is_valid(lifted) ? evaluate(p, lifted) : lifted;
}

/* The spelling of a parameter's name in the template; malloc'd or NULL. */
static char *
declared_name(const struct plan *p, const char *name)
{
	char *found = NULL;

	jv_object_foreach(p->declared, key, item) {
		if (!found && strcasecmp(jv_string_value(key), name) == 0)
			found = xstrdup(jv_string_value(key));
		jv_free(key);
		jv_free(item);
	}
	return found;
}

static const char *
type_word(const char *type)
{
	static const char *const words[] = { "String", "SecureString", "Int",
		"Bool", "Object", "SecureObject", "Array", NULL };

	for (const char *const *w = words; *w; w++)
		if (type && strcasecmp(*w, type) == 0)
			return *w;
	return NULL;
}

static bool
is_secure(const char *word)
{
	return strncmp(word, "Secure", 6) == 0;
}

static bool
has_type(jv value, const char *word)
{
	const char *text = jv_string_peek(value);
	bool number =
	    text && strncmp(text, DOC_NUMBER, strlen(DOC_NUMBER)) == 0;
	jv_kind k = jv_get_kind(value);

	if (strcmp(word, "Int") == 0)
		return k == JV_KIND_NUMBER || number;
	if (strcmp(word, "Bool") == 0)
		return k == JV_KIND_TRUE || k == JV_KIND_FALSE;
	if (strcmp(word, "Array") == 0)
		return k == JV_KIND_ARRAY;
	if (strstr(word, "Object"))
		return k == JV_KIND_OBJECT;
	return k == JV_KIND_STRING && !number;
}

static jv
allowed_text(jv allowed)
{
	jv text = jv_string("");

	jv_array_foreach(allowed, i, item) {
		jv one = jv_get_kind(item) == JV_KIND_STRING
			     ? item
			     : jv_dump_string(item, 0);

		if (i > 0)
			text = jv_string_append_str(text, ",");
		text = jv_string_concat(text, one);
	}
	jv_free(allowed);
	return text;
}

/* Limits of a parameter.  Borrows value; jv_null() or a refusal. */
static jv
check_limits(const struct plan *p, const char *name, jv declaration, jv value)
{
	static const char *const limits[] = { "minLength", "maxLength",
		"minValue", "maxValue" };
	jv allowed = pick_or_null(jv_copy(declaration), "allowedValues");
	jv no = jv_null(), text;

	if (jv_get_kind(allowed) == JV_KIND_ARRAY) {
		bool is = false;

		jv_array_foreach(allowed, i, item)
			is = jv_equal(item, jv_copy(value)) || is;
		if (!is) {
			char *rest;
			jv given = jv_get_kind(value) == JV_KIND_STRING
				       ? jv_copy(value)
				       : jv_dump_string(jv_copy(value), 0);

			text = allowed_text(allowed);
			rest = xasprintf(
			    "valid. The provided value '%s' is not part of the "
			    "allowed value(s): '%s'.",
			    jv_string_value(given), jv_string_value(text));
			jv_free(given);
			jv_free(text);
			no = parameter_fault(p, name, rest);
			free(rest);
			jv_free(declaration);
			return no;
		}
	}
	jv_free(allowed);
	for (int i = 0; i < 4; i++) {
		jv limit = pick_or_null(jv_copy(declaration), limits[i]);
		double n = 0, max;
		bool bad;

		if (jv_get_kind(limit) != JV_KIND_NUMBER) {
			jv_free(limit);
			continue;
		}
		max = jv_number_value(limit);
		if (i >= 2)
			n = jv_number_value(value);
		else if (jv_get_kind(value) == JV_KIND_STRING)
			n = jv_string_length_codepoints(jv_copy(value));
		else if (jv_get_kind(value) == JV_KIND_ARRAY)
			n = jv_array_length(jv_copy(value));
		bad = i % 2 ? n > max : n < max;
		if (i >= 2 && jv_get_kind(value) != JV_KIND_NUMBER)
			bad = false;
		if (bad) {
			char *rest = xasprintf(
			    "valid. Its %s is '%.0f'.", limits[i], max);

			no = parameter_fault(p, name, rest);
			free(rest);
			break;
		}
	}
	jv_free(declaration);
	return no;
}

/* The value of one parameter; a failure when it has none or a wrong one. */
static jv
parameter_value(struct plan *p, const char *asked)
{
	char *name = declared_name(p, asked), *type;
	const char *word;
	jv declaration, value, no;
	bool given;

	if (name == NULL)
		return fault("The template parameter '%s' is not found. Please "
			     "see https://aka.ms/arm-template/#parameters for "
			     "usage details",
		    asked);
	value = jv_object_get(jv_copy(p->values), jv_string(name));
	if (jv_is_valid(value)) {
		free(name);
		return value;
	}
	declaration = jv_at(jv_copy(p->declared), name);
	type = jv_dup_string(pick_or_null(jv_copy(declaration), "type"));
	word = type_word(type);
	free(type);
	if (word == NULL) {
		no = parameter_fault(p, name,
		    "valid. Its type must be one of 'String, SecureString, "
		    "Int, Bool, Array, Object, SecureObject'.");
		goto out;
	}
	value = pick_or_null(deploy_pick(jv_copy(p->given), name), "value");
	given = jv_get_kind(value) != JV_KIND_NULL;
	if (!given) {
		jv_free(value);
		value = deploy_pick(jv_copy(declaration), "defaultValue");
		if (jv_is_valid(value) && p->depth < MAX_DEPTH) {
			bool was = p->in_default;

			p->in_default = true;
			p->depth++;
			value = lift_and_evaluate(p, value);
			p->depth--;
			p->in_default = was;
			if (!jv_is_valid(value)) {
				no = template_fault(
				    value, "The default of a parameter");
				goto out;
			}
		} else if (p->lenient && is_secure(word)) {
			jv_free(value);
			p->values = jv_put(p->values, name, jv_null());
			no = jv_null();
			goto out;
		} else {
			jv_free(value);
			no = parameter_fault(p, name,
			    "provided. Please see "
			    "https://aka.ms/arm-create-parameter-file for "
			    "usage details.");
			goto out;
		}
	}
	if (!has_type(value, word)) {
		jv text = jv_text(
		    "Template parameter JToken type is not valid. Expected "
		    "'%s'. Actual '%s'. Please see "
		    "https://aka.ms/resource-manager-parameter-files for usage "
		    "details.",
		    strcmp(word, "Int") == 0    ? "Integer"
		    : strcmp(word, "Bool") == 0 ? "Boolean"
		    : is_secure(word)           ? word + 6
						: word,
		    jv_get_kind(value) == JV_KIND_NUMBER   ? "Integer"
		    : jv_get_kind(value) == JV_KIND_STRING ? "String"
		    : jv_get_kind(value) == JV_KIND_ARRAY  ? "Array"
		    : jv_get_kind(value) == JV_KIND_OBJECT ? "Object"
		    : jv_get_kind(value) == JV_KIND_NULL   ? "Null"
							   : "Boolean");

		jv_free(value);
		no = invalid_template(text, jv_null());
		goto out;
	}
	no = check_limits(p, name, jv_copy(declaration), value);
	if (jv_is_valid(no))
		p->values = jv_put(p->values, name, jv_copy(value));
	jv_free(value);
out:
	if (jv_is_valid(no)) {
		jv_free(no);
		no = jv_at(jv_copy(p->values), name);
	}
	jv_free(declaration);
	free(name);
	return no;
}

static jv
variable_value(struct plan *p, const char *name)
{
	jv value = deploy_pick(jv_copy(p->variables), name);

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
	value = evaluate(p, value);
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

static int
slashes(const char *text)
{
	int n = 0;

	for (; *text; text++)
		n += *text == '/';
	return n;
}

/* "/providers/A/b/n1/c/n2" from "A/b/c" and names; false: numbers differ. */
static bool
provider_path(struct buf *b, const char *type, jv args, int from)
{
	const char *at = strchr(type, '/');
	int count = jv_array_length(jv_copy(args));

	if (at == NULL || slashes(type) != count - from)
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

static int
part_by_id(const struct plan *p, const char *id)
{
	for (int i = 0; i < p->count; i++)
		if (p->part[i].id && strcasecmp(p->part[i].id, id) == 0)
			return i;
	return -1;
}

/* By full name, or by the last part of it if only one has it. */
static int
part_by_name(const struct plan *p, const char *name)
{
	int found = -1;

	for (int i = 0; i < p->count; i++)
		if (strcasecmp(p->part[i].name, name) == 0)
			return i;
	for (int i = 0; i < p->count; i++) {
		const char *last = strrchr(p->part[i].name, '/');

		if (last && strcasecmp(last + 1, name) == 0)
			found = found < 0 ? i : -2;
		if (found == -2)
			return -1;
	}
	return found;
}

/* What reference() and list...() name, deployed if this template has it. */
static jv
resolve(struct plan *p, const char *what)
{
	int i = *what == '/' ? part_by_id(p, what) : part_by_name(p, what);

	if (i >= 0 && p->part[i].state == PART_WAITING)
		part_run(p, i);
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
	static const char *const versions[][2] = {
		{ "Microsoft.Storage", "2023-05-01" },
		{ "Microsoft.EventHub", "2021-11-01" },
		{ "Microsoft.ServiceBus", "2021-11-01" },
		{ "Microsoft.DocumentDB", "2023-04-15" },
		{ "Microsoft.Devices", "2023-06-30" },
		{ "Microsoft.ManagedIdentity", "2023-01-31" },
	};
	const char *ns = text_arg(args, 0), *type = text_arg(args, 1);
	jv found = jv_invalid();

	for (size_t i = 0; ns && type && i < sizeof versions / sizeof *versions;
	     i++)
		if (strcasecmp(versions[i][0], ns) == 0) {
			jv_free(found);
			found = jv_put(jv_put(jv_object(), "resourceType",
					   jv_string(type)),
			    "apiVersions",
			    jv_array_append(
				jv_array(), jv_string(versions[i][1])));
			found = jv_put(found, "locations", jv_array());
		}
	if (!jv_is_valid(found)) {
		jv_free(found);
		found = fault("providers(): the type '%s' is not known",
		    type ? type : "");
	}
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
	jv list = pick_or_null(jv_copy(p->template), "functions");
	const char *dot = strchr(name, '.');
	jv fn = jv_null(), output, frame = jv_object(), was, value;
	jv names;

	if (jv_get_kind(list) == JV_KIND_ARRAY) {
		jv_array_foreach(list, i, space) {
			char *ns = jv_dup_string(
			    pick_or_null(jv_copy(space), "namespace"));

			if (ns && strlen(ns) == (size_t)(dot - name) &&
			    strncasecmp(ns, name, strlen(ns)) == 0) {
				jv_free(fn);
				fn = pick_or_null(
				    pick_or_null(jv_copy(space), "members"),
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
	names = pick_or_null(jv_copy(fn), "parameters");
	if (jv_get_kind(names) == JV_KIND_ARRAY) {
		jv_array_foreach(names, i, one) {
			char *n = jv_dup_string(pick_or_null(one, "name"));

			if (n && i < jv_array_length(jv_copy(args)))
				frame = jv_put(
				    frame, n, jv_array_get(jv_copy(args), i));
			free(n);
		}
	}
	jv_free(names);
	jv_free(args);
	output = pick_or_null(pick_or_null(fn, "output"), "value");
	was = p->frame;
	p->frame = frame;
	p->depth++;
	value = lift_and_evaluate(p, output);
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
			v = deploy_pick(jv_copy(p->frame), first);
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
	} else {
		v = expr_unknown();
	}
	jv_free(args);
	return v;
}

/* ---- evaluating ---- */

static jv
fold(struct plan *p, jv lifted)
{
	struct expr_world world = { world_call, p };

	return expr_fold(lifted, &world);
}

/* {"copy": [{"name", "count", "input"}], ...}: the loops of properties and
 * variables; what they make stands beside them. */
static jv
expand(struct plan *p, jv value)
{
	jv loops, out;

	if (jv_get_kind(value) == JV_KIND_ARRAY) {
		out = jv_array();
		jv_array_foreach(value, i, item) {
			item = expand(p, item);
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

		item = skip ? item : expand(p, item);
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
		jv count = fold(p, jv_at(jv_copy(loop), "count"));
		jv list = jv_array();
		int n = jv_get_kind(count) == JV_KIND_NUMBER
			    ? (int)jv_number_value(count)
			    : -1;

		jv_free(count);
		for (int k = 0; name && k < n && k < MAX_PARTS; k++) {
			struct copy_turn turn = { name, k, p->turn };
			jv one = expand(p, jv_at(jv_copy(loop), "input"));

			p->turn = &turn;
			if (jv_is_valid(one))
				one = fold(p, one);
			p->turn = turn.up;
			if (!jv_is_valid(one)) {
				jv_free(list);
				list = one;
				break;
			}
			list = jv_array_append(list, one);
		}
		if (jv_is_valid(list) && (!name || n < 0)) {
			jv_free(list);
			list =
			    fault("a copy loop needs a name and a count%s", "");
		}
		jv_free(loop);
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
static jv
evaluate(struct plan *p, jv lifted)
{
	jv value = expand(p, lifted);

	if (jv_is_valid(value))
		value = fold(p, value);
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

/* ---- the parts of a template ---- */

static jv add_parts(struct plan *p, jv resources, const char *type,
    const char *name, bool absent);

static char *
text_member(struct plan *p, jv raw, const char *name, jv *no)
{
	jv v = pick_or_null(jv_copy(raw), name);
	char *text;

	if (jv_get_kind(v) != JV_KIND_NULL)
		v = evaluate(p, v);
	if (!jv_is_valid(v)) {
		*no = template_fault(v, "A resource of the template");
		return NULL;
	}
	text = jv_dup_string(v);
	if (text == NULL || *text == '\0') {
		free(text);
		*no = invalid_template(
		    jv_text("The template resource is missing the "
			    "required '%s' property. Please see "
			    "https://aka.ms/arm-syntax-resources for usage "
			    "details.",
			name),
		    jv_null());
		return NULL;
	}
	return text;
}

/* .../providers/A/b/n1/c/n2 of type A/b/c, name n1/n2. */
static char *
part_id(const struct plan *p, const char *type, const char *name)
{
	struct buf b = BUF_INIT;
	const char *t = strchr(type, '/');

	if (t == NULL || slashes(type) != slashes(name) + 1)
		return NULL;
	buf_printf(&b,
	    "/subscriptions/" SIM_SUBSCRIPTION "/resourceGroups/%s/providers/"
	    "%.*s",
	    p->group, (int)(t - type), type);
	while (*t) {
		size_t n = strcspn(t + 1, "/") + 1, m = strcspn(name, "/");

		buf_printf(&b, "%.*s/%.*s", (int)n, t, (int)m, name);
		t += n;
		name += m + (name[m] == '/');
	}
	return b.at;
}

static jv
add_part(struct plan *p, jv raw, const char *above_type, const char *above_name,
    bool absent)
{
	static const char *const missing[] = { "scope", "subscriptionId",
		"resourceGroup" };
	jv no = jv_null(), condition = pick_or_null(jv_copy(raw), "condition");
	char *type = NULL, *name = NULL, *api = NULL, *id, *own;
	struct part *part;

	if (jv_get_kind(condition) != JV_KIND_NULL) {
		condition = evaluate(p, condition);
		if (!jv_is_valid(condition)) {
			jv_free(raw);
			return template_fault(condition, "A condition");
		}
		absent = absent || jv_get_kind(condition) == JV_KIND_FALSE;
	}
	jv_free(condition);
	own = text_member(p, raw, "type", &no);
	if (own)
		type = above_type ? xasprintf("%s/%s", above_type, own)
				  : xstrdup(own);
	free(own);
	own = type ? text_member(p, raw, "name", &no) : NULL;
	if (own)
		name = above_name ? xasprintf("%s/%s", above_name, own)
				  : xstrdup(own);
	free(own);
	if (name)
		api = text_member(p, raw, "apiVersion", &no);
	if (api == NULL)
		goto out;
	for (size_t i = 0; i < 3; i++) {
		jv v = deploy_pick(jv_copy(raw), missing[i]);

		if (jv_is_valid(v) && jv_is_valid(no)) {
			jv_free(no);
			no = arm_fail(501, "NotSimulated",
			    "hub-sim does not simulate a resource with '%s'",
			    missing[i]);
		}
		jv_free(v);
	}
	id = part_id(p, type, name);
	if (jv_is_valid(no) && id == NULL) {
		jv_free(no);
		no = invalid_template(
		    jv_text("The template resource '%s' for type '%s' has "
			    "incorrect segment lengths. A nested resource type "
			    "must have identical number of segments as its "
			    "resource name. A root resource type must have "
			    "segment length one greater than its resource "
			    "name. Please see "
			    "https://aka.ms/arm-template/#resources for usage "
			    "details.",
			name, type),
		    jv_null());
	} else if (jv_is_valid(no) && !arm_type_known(type)) {
		jv_free(no);
		no = arm_fail(501, "NotSimulated",
		    "hub-sim does not simulate resources of the type '%s'",
		    type);
	} else if (jv_is_valid(no) && part_by_id(p, id) >= 0 &&
		   p->part[part_by_id(p, id)].state != PART_ABSENT && !absent) {
		jv_free(no);
		no = invalid_template(
		    jv_text("The resource '%s' is defined multiple times in a "
			    "template. Please see "
			    "https://aka.ms/arm-template/#resources for usage "
			    "details.",
			id),
		    jv_null());
	} else if (jv_is_valid(no) && p->count >= MAX_PARTS) {
		jv_free(no);
		no = invalid_template(
		    jv_text("The number of template resources limit exceeded. "
			    "Limit: '%d'",
			(int)MAX_PARTS),
		    jv_null());
	}
	if (!jv_is_valid(no)) {
		free(id);
		goto out;
	}
	p->part = xrealloc(p->part, ((size_t)p->count + 1) * sizeof *p->part);
	part = &p->part[p->count++];
	*part = (struct part){ .type = type,
		.name = name,
		.api = api,
		.id = id,
		.raw = jv_copy(raw),
		.copy = p->turn ? xstrdup(p->turn->name) : NULL,
		.index = p->turn ? p->turn->index : 0,
		.state = absent ? PART_ABSENT : PART_WAITING,
		.body = jv_null(),
		.after = jv_null(),
		.failure = jv_null() };
	jv_free(no);
	no = add_parts(p, pick_or_null(raw, "resources"), type, name, absent);
	return no;
out:
	jv_free(raw);
	free(type);
	free(name);
	free(api);
	return no;
}

/* Consumes resources; jv_null() or a refusal. */
static jv
add_parts(struct plan *p, jv resources, const char *type, const char *name,
    bool absent)
{
	jv no = jv_null();

	if (jv_get_kind(resources) != JV_KIND_ARRAY) {
		jv_free(resources);
		return no;
	}
	jv_array_foreach(resources, i, raw) {
		jv loop = pick_or_null(jv_copy(raw), "copy"), count;
		char *label;

		if (!jv_is_valid(no)) {
			jv_free(loop);
			jv_free(raw);
			continue;
		}
		if (jv_get_kind(loop) != JV_KIND_OBJECT) {
			jv_free(loop);
			jv_free(no);
			no = add_part(p, raw, type, name, absent);
			continue;
		}
		label = jv_dup_string(jv_at(jv_copy(loop), "name"));
		count = evaluate(p, jv_at(loop, "count"));
		if (!jv_is_valid(count)) {
			jv_free(no);
			no = template_fault(count, "The count of a copy loop");
		} else if (label == NULL ||
			   jv_get_kind(count) != JV_KIND_NUMBER ||
			   jv_number_value(count) < 0 ||
			   jv_number_value(count) > MAX_PARTS) {
			jv_free(count);
			jv_free(no);
			no = invalid_template(
			    jv_string("A copy loop needs a name and a count "
				      "between '0' and '800'."),
			    jv_null());
		} else {
			int n = (int)jv_number_value(count);

			for (int k = 0; k < n && jv_is_valid(no); k++) {
				struct copy_turn turn = { label, k, p->turn };

				p->turn = &turn;
				jv_free(no);
				no = add_part(
				    p, jv_copy(raw), type, name, absent);
				p->turn = turn.up;
			}
		}
		jv_free(raw);
		free(label);
	}
	jv_free(resources);
	return no;
}

/* ---- what depends on what ---- */

/* Does what dependsOn says mean that part? */
static bool
means(const struct plan *p, int i, const char *what)
{
	const struct part *part = &p->part[i];
	const char *short_id = strstr(part->id, "/providers/") + 11;
	char *pair;
	bool yes;

	if (*what == '/')
		return strcasecmp(part->id, what) == 0;
	if (part->copy && strcasecmp(part->copy, what) == 0)
		return true;
	if (!strchr(what, '/'))
		return part_by_name(p, what) == i;
	pair = xasprintf("%s/%s", part->type, part->name);
	yes = strcasecmp(pair, what) == 0 || strcasecmp(short_id, what) == 0 ||
	      strcasecmp(part->name, what) == 0;
	free(pair);
	return yes;
}

static jv
link_part(struct plan *p, int i)
{
	struct part *part = &p->part[i];
	jv list = pick_or_null(jv_copy(part->raw), "dependsOn"), no = jv_null();
	struct copy_turn turn = { part->copy, part->index, NULL };

	part->needs = xcalloc((size_t)p->count, 1);
	if (part->copy)
		p->turn = &turn;
	if (jv_get_kind(list) != JV_KIND_NULL)
		list = evaluate(p, list);
	p->turn = NULL;
	if (!jv_is_valid(list))
		return template_fault(list, "A dependsOn");
	if (jv_get_kind(list) != JV_KIND_ARRAY) {
		jv_free(list);
		return no;
	}
	jv_array_foreach(list, k, item) {
		const char *what = jv_string_peek(item);
		bool found = false;

		for (int j = 0; what && j < p->count; j++)
			if (j != i && means(p, j, what)) {
				part->needs[j] = 1;
				found = true;
			}
		if (!found && jv_is_valid(no)) {
			jv_free(no);
			no = invalid_template(
			    jv_text("The resource '%s' is not defined in the "
				    "template. Please see "
				    "https://aka.ms/arm-template for usage "
				    "details.",
				what ? what : ""),
			    jv_null());
		}
		jv_free(item);
	}
	jv_free(list);
	return no;
}

/* Is there a chain of dependencies from a to b? */
static bool
reaches(const struct plan *p, int a, int b, unsigned char *seen)
{
	if (p->part[a].needs[b])
		return true;
	seen[a] = 1;
	for (int j = 0; j < p->count; j++)
		if (p->part[a].needs[j] && !seen[j] && reaches(p, j, b, seen))
			return true;
	return false;
}

static bool
chained(const struct plan *p, int a, int b)
{
	unsigned char *seen = xcalloc((size_t)p->count, 1);
	bool yes = reaches(p, a, b, seen);

	free(seen);
	return yes;
}

static jv
link_parts(struct plan *p)
{
	jv no = jv_null();

	for (int i = 0; i < p->count; i++) {
		jv one = link_part(p, i);

		if (jv_is_valid(no)) {
			jv_free(no);
			no = one;
		} else {
			jv_free(one);
		}
	}
	for (int i = 0; i < p->count && jv_is_valid(no); i++)
		if (chained(p, i, i)) {
			jv_free(no);
			no = invalid_template(
			    jv_text(
				"Circular dependency detected on resource: "
				"'%s'. Please see "
				"https://aka.ms/arm-template/#resources for "
				"usage details.",
				p->part[i].id),
			    jv_null());
		}
	return no;
}

/* ---- opening ---- */

static jv
check_given(struct plan *p)
{
	jv no = jv_null();

	jv_object_foreach(p->given, key, item) {
		char *name = declared_name(p, jv_string_value(key));
		jv reference_of = pick_or_null(item, "reference");

		if (jv_is_valid(no) && name == NULL) {
			struct buf b = BUF_INIT;

			jv_object_foreach(p->declared, k, v) {
				buf_printf(&b, "%s%s", b.len ? ", " : "",
				    jv_string_value(k));
				jv_free(k);
				jv_free(v);
			}
			jv_free(no);
			no = invalid_template(
			    jv_text("The template parameters '%s' in the "
				    "parameters file are not valid; they are "
				    "not present in the original template and "
				    "can therefore not be provided at "
				    "deployment time. The only supported "
				    "parameters for this template are '%s'. "
				    "Please see "
				    "https://aka.ms/arm-pass-parameter-values "
				    "for usage details.",
				jv_string_value(key), b.len ? b.at : ""),
			    jv_null());
			buf_free(&b);
		} else if (jv_is_valid(no) &&
			   jv_get_kind(reference_of) != JV_KIND_NULL) {
			jv_free(no);
			no = arm_fail(501, "NotSimulated",
			    "hub-sim does not simulate parameters that are "
			    "kept in a key vault");
		}
		jv_free(reference_of);
		jv_free(key);
		free(name);
	}
	jv_object_foreach(p->declared, key, item) {
		jv_free(item);
		if (jv_is_valid(no)) {
			jv v = parameter_value(p, jv_string_value(key));

			if (jv_is_valid(v)) {
				jv_free(v);
			} else {
				jv_free(no);
				no = template_fault(v, "A parameter");
			}
		}
		jv_free(key);
	}
	return no;
}

static jv
object_or_empty(jv v)
{
	if (jv_get_kind(v) == JV_KIND_OBJECT)
		return v;
	jv_free(v);
	return jv_object();
}

jv
plan_open(struct plan *p, struct sim *s, const char *group, const char *name,
    struct span text, jv template, jv given, enum arm_how how, bool lenient)
{
	jv resources = pick_or_null(jv_copy(template), "resources"), no;
	jv schema = pick_or_null(jv_copy(template), "$schema");
	jv real = arm_group(s, group);

	*p = (struct plan){ .s = s,
		.group = arm_text(real, "name"),
		.name = xstrdup(name),
		.text = text,
		.template = template,
		.given = object_or_empty(given),
		.declared = object_or_empty(
		    pick_or_null(jv_copy(template), "parameters")),
		.values = jv_object(),
		.variables = jv_object(),
		.outputs = jv_object(),
		.output_failure = jv_null(),
		.frame = jv_invalid(),
		.how = how,
		.lenient = lenient,
		.early = true };
	jv_free(real);
	if (p->group == NULL)
		p->group = xstrdup(group);
	if (jv_get_kind(schema) != JV_KIND_STRING ||
	    jv_get_kind(resources) != JV_KIND_ARRAY) {
		bool symbolic = jv_get_kind(resources) == JV_KIND_OBJECT;

		jv_free(schema);
		jv_free(resources);
		if (symbolic)
			return arm_fail(501, "NotSimulated",
			    "hub-sim does not simulate templates of "
			    "languageVersion 2.0");
		return invalid_template(
		    jv_string("Required property '$schema' or 'resources' not "
			      "found in JSON. Path ''"),
		    jv_null());
	}
	jv_free(schema);
	no = check_given(p);
	if (jv_is_valid(no)) {
		jv vars = expr_lift(object_or_empty(
		    pick_or_null(jv_copy(p->template), "variables")));

		if (jv_is_valid(vars))
			vars = expand(p, vars);
		if (jv_is_valid(vars)) {
			jv_free(p->variables);
			p->variables = vars;
		} else {
			jv_free(no);
			no = template_fault(vars, "A variable");
		}
	}
	if (jv_is_valid(no)) {
		resources = expr_lift(resources);
		jv_free(no);
		no = jv_is_valid(resources)
			 ? add_parts(p, jv_copy(resources), NULL, NULL, false)
			 : template_fault(jv_copy(resources),
			       "A resource of the template");
	}
	jv_free(resources);
	if (jv_is_valid(no)) {
		jv_free(no);
		no = link_parts(p);
	}
	return no;
}

void
plan_close(struct plan *p)
{
	for (int i = 0; i < p->count; i++) {
		struct part *part = &p->part[i];

		free(part->type);
		free(part->name);
		free(part->id);
		free(part->api);
		free(part->copy);
		free(part->needs);
		jv_free(part->raw);
		jv_free(part->body);
		jv_free(part->after);
		jv_free(part->failure);
	}
	free(p->part);
	free(p->group);
	free(p->name);
	jv_free(p->template);
	jv_free(p->declared);
	jv_free(p->given);
	jv_free(p->values);
	jv_free(p->variables);
	jv_free(p->outputs);
	jv_free(p->output_failure);
	jv_free(p->frame);
	memset(p, 0, sizeof *p);
}

jv
plan_parameters(struct plan *p)
{
	jv out = jv_object();

	jv_object_foreach(p->declared, key, declaration) {
		char *type = jv_dup_string(pick_or_null(declaration, "type"));
		const char *word = type_word(type);
		jv one = jv_put(
		    jv_object(), "type", jv_string(word ? word : "String"));

		if (word && !is_secure(word))
			one = jv_put(one, "value",
			    jv_at(jv_copy(p->values), jv_string_value(key)));
		out = jv_object_set(out, key, one);
		free(type);
	}
	return out;
}

/* ---- carrying it out ---- */

static const char hub_type[] = "Microsoft.Devices/IotHubs";

/* The hub that a part belongs to (its first name); NULL for another's. */
static bool
of_same_hub(const struct part *a, const struct part *b)
{
	size_t n = strlen(hub_type), m = strcspn(a->name, "/");

	return strncasecmp(a->type, hub_type, n) == 0 &&
	       strncasecmp(b->type, hub_type, n) == 0 &&
	       strcspn(b->name, "/") == m &&
	       strncasecmp(a->name, b->name, m) == 0;
}

/*
 * Two writes to one hub at once: the hub is not Active for the second (409002,
 * CONTRACT 4.2).  Without a chain of dependsOn between them, Resource Manager
 * starts them together.
 */
static bool
conflicts(const struct plan *p, int i)
{
	if (p->how == ARM_SEED || sim_doubt_is("children-conflict", "no"))
		return false;
	for (int j = 0; j < p->count; j++)
		if (j != i && p->part[j].state == PART_DONE &&
		    of_same_hub(&p->part[i], &p->part[j]) &&
		    !chained(p, i, j) && !chained(p, j, i))
			return true;
	return false;
}

/* The part that this one is a child of, if it is made by this template and
 * nothing says that it comes first; or -1. */
static int
unchained_parent(const struct plan *p, int i)
{
	const struct part *part = &p->part[i];

	for (int j = 0; j < p->count; j++) {
		size_t n = strlen(p->part[j].id);

		if (j != i && p->part[j].fresh &&
		    p->part[j].state == PART_DONE &&
		    strncasecmp(p->part[j].id, part->id, n) == 0 &&
		    part->id[n] == '/' && !chained(p, i, j))
			return j;
	}
	return -1;
}

static jv
part_body(struct plan *p, struct part *part)
{
	static const char *const frame[] = { "type", "name", "apiVersion",
		"dependsOn", "condition", "copy", "comments", "metadata",
		"resources", NULL };
	struct copy_turn turn = { part->copy, part->index, NULL };
	jv body = jv_object();

	jv_object_foreach(part->raw, key, item) {
		bool skip = false;

		for (const char *const *f = frame; *f; f++)
			skip =
			    skip || strcasecmp(*f, jv_string_value(key)) == 0;
		if (skip) {
			jv_free(key);
			jv_free(item);
		} else {
			body = jv_object_set(body, key, item);
		}
	}
	if (part->copy)
		p->turn = &turn;
	body = p->early ? fold(p, expand(p, body)) : evaluate(p, body);
	p->turn = NULL;
	return body;
}

jv
plan_preview(struct plan *p, int i)
{
	jv body;

	p->early = true;
	body = part_body(p, &p->part[i]);
	if (!jv_is_valid(body)) {
		jv_free(body);
		return jv_object();
	}
	return body;
}

static jv
evaluation_failure(jv invalid, const struct part *part)
{
	jv msg = jv_invalid_get_msg(jv_copy(invalid));
	bool room = jv_get_kind(msg) == JV_KIND_OBJECT &&
		    jv_object_has(jv_copy(msg), jv_string("body"));
	struct err e;

	if (room) {
		jv_free(invalid);
		return msg;
	}
	jv_free(msg);
	err_from_jv(&e, invalid);
	return jv_invalid_get_msg(arm_fail(400, "InvalidTemplate",
	    "Unable to process template language expressions for resource "
	    "'%s' at line '1' and column '1'. '%s'",
	    part->id, e.text));
}

static void
part_fail(struct part *part, jv failure)
{
	jv_free(part->failure);
	part->failure = failure;
	part->state = PART_FAILED;
}

static void
part_run(struct plan *p, int i)
{
	struct part *part = &p->part[i];
	const struct copy_turn *turn = p->turn;
	bool early = p->early, in_default = p->in_default;
	jv before, result;
	int above;

	if (part->state != PART_WAITING)
		return;
	part->state = PART_BUSY;
	p->turn = NULL;
	p->early = p->in_default = false;
	for (int j = 0; j < p->count; j++) {
		if (!part->needs[j])
			continue;
		part_run(p, j);
		if (p->part[j].state == PART_FAILED ||
		    p->part[j].state == PART_SKIPPED) {
			part->state = PART_SKIPPED;
			goto out;
		}
	}
	before = arm_resource(p->s, part->id);
	part->fresh = !jv_is_valid(before);
	jv_free(before);
	above = p->how == ARM_SEED ? -1 : unchained_parent(p, i);
	if (above >= 0) {
		part_fail(part,
		    jv_invalid_get_msg(arm_fail(404, "ParentResourceNotFound",
			"Failed to perform 'write' on resource(s) of type "
			"'%s', because the parent resource '%s' could not be "
			"found.",
			strchr(part->type, '/') + 1, p->part[above].id)));
		goto out;
	}
	if (conflicts(p, i)) {
		part_fail(part,
		    jv_invalid_get_msg(hub_fail(p->s, 409, 409002,
			"The operation cannot be performed because the IotHub "
			"'%.*s' is not in the Active state. Please retry "
			"later.",
			(int)strcspn(part->name, "/"), part->name)));
		goto out;
	}
	result = part_body(p, part);
	if (!jv_is_valid(result)) {
		part_fail(part, evaluation_failure(result, part));
		goto out;
	}
	jv_free(part->body);
	part->body = jv_copy(result);
	result = arm_put_as(p->s, part->id, part->api, result, p->how);
	if (jv_is_valid(result)) {
		jv_free(part->after);
		part->after = result;
		part->state = PART_DONE;
	} else {
		part_fail(part, jv_invalid_get_msg(result));
	}
out:
	p->turn = turn;
	p->early = early;
	p->in_default = in_default;
}

bool
plan_failed(const struct plan *p)
{
	for (int i = 0; i < p->count; i++)
		if (p->part[i].state == PART_FAILED)
			return true;
	return jv_get_kind(p->output_failure) != JV_KIND_NULL;
}

static jv
camel(jv key)
{
	char *name = xstrdup(jv_string_value(key));

	for (char *c = name; isupper((unsigned char)*c); c++) {
		if (c > name && c[1] && islower((unsigned char)c[1]))
			break;
		*c = (char)tolower((unsigned char)*c);
	}
	jv_free(key);
	key = jv_string(name);
	free(name);
	return key;
}

static void
make_outputs(struct plan *p)
{
	jv outputs =
	    object_or_empty(pick_or_null(jv_copy(p->template), "outputs"));

	p->early = false;
	jv_object_foreach(outputs, key, output) {
		char *type =
		    jv_dup_string(pick_or_null(jv_copy(output), "type"));
		const char *word = type_word(type);
		jv wanted = lift_and_evaluate(
		    p, pick_or_null(jv_copy(output), "condition"));
		jv one, value;

		free(type);
		if (jv_get_kind(wanted) == JV_KIND_FALSE) {
			jv_free(key);
			jv_free(output);
			continue;
		}
		jv_free(wanted);
		one = jv_put(
		    jv_object(), "type", jv_string(word ? word : "String"));
		value = lift_and_evaluate(p, pick_or_null(output, "value"));
		if (!jv_is_valid(value)) {
			struct part none = { .id = (char *)"outputs" };

			jv_free(p->output_failure);
			p->output_failure = evaluation_failure(value, &none);
			jv_free(one);
			jv_free(key);
			continue;
		}
		if (word && is_secure(word))
			jv_free(value);
		else
			one = jv_put(one, "value", value);
		p->outputs = jv_object_set(p->outputs, camel(key), one);
	}
	jv_free(outputs);
	p->early = true;
}

void
plan_run(struct plan *p)
{
	for (int i = 0; i < p->count; i++)
		part_run(p, i);
	if (!plan_failed(p))
		make_outputs(p);
}

void
plan_reset(struct plan *p)
{
	for (int i = 0; i < p->count; i++) {
		struct part *part = &p->part[i];

		if (part->state != PART_ABSENT)
			part->state = PART_WAITING;
		jv_free(part->body);
		jv_free(part->after);
		jv_free(part->failure);
		part->body = part->after = part->failure = jv_null();
		part->fresh = false;
	}
	jv_free(p->outputs);
	jv_free(p->output_failure);
	p->outputs = jv_object();
	p->output_failure = jv_null();
}

/* ---- what is found before anything is begun ---- */

/* Only these are looked at beforehand; the rest shows while deploying. */
static jv
preflight_detail(const struct part *part)
{
	static const char *const codes[] = {
		"LocationNotAvailableForResourceType", "LocationRequired",
		"InvalidResourceLocation", "NameNotAvailable", "409005", NULL
	};
	jv body = jv_at(jv_copy(part->failure), "body");
	jv error = jv_at(jv_copy(body), "error"), code;
	bool early = false;

	if (jv_get_kind(error) != JV_KIND_OBJECT) {
		jv_free(error);
		error = jv_copy(body);
	}
	jv_free(body);
	code = jv_at(jv_copy(error), "code");
	if (jv_get_kind(code) == JV_KIND_NUMBER)
		code = jv_dump_string(code, 0);
	for (const char *const *c = codes; *c; c++)
		early = early || jv_string_is(jv_copy(code), *c);
	if (!early) {
		jv_free(code);
		jv_free(error);
		return jv_null();
	}
	return jv_put(jv_put(jv_put(jv_object(), "code", code), "target",
			  jv_string(part->name)),
	    "message", jv_at(error, "message"));
}

jv
plan_preflight(struct plan *p)
{
	jv details = jv_array(), inner, error;
	char guid[37];

	sim_savepoint(p->s);
	plan_run(p);
	for (int i = 0; i < p->count; i++) {
		jv one = p->part[i].state == PART_FAILED
			     ? preflight_detail(&p->part[i])
			     : jv_null();

		if (jv_get_kind(one) == JV_KIND_OBJECT)
			details = jv_array_append(details, one);
		else
			jv_free(one);
	}
	sim_rollback(p->s);
	plan_reset(p);
	if (jv_array_length(jv_copy(details)) == 0) {
		jv_free(details);
		return jv_null();
	}
	sim_guid(p->s, p->name, guid);
	inner = jv_put(
	    jv_object(), "code", jv_string("PreflightValidationCheckFailed"));
	inner = jv_put(inner, "message",
	    jv_string("Preflight validation failed. Please refer to the "
		      "details for the specific errors."));
	inner = jv_put(inner, "details", details);
	error =
	    jv_put(jv_object(), "code", jv_string("InvalidTemplateDeployment"));
	error = jv_put(error, "message",
	    jv_text("The template deployment '%s' is not valid according to "
		    "the validation procedure. The tracking id is '%s'. See "
		    "inner errors for details.",
		p->name, guid));
	error = jv_put(error, "details", jv_array_append(jv_array(), inner));
	return deploy_failure(400, jv_put(jv_object(), "error", error));
}
