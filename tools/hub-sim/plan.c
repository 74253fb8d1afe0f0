/*
 * plan.c: reads a deployment template (CONTRACT 9.6): its resources as parts,
 * and what depends on what.  Parameters are in parameters.c, what expressions
 * mean in world.c, carrying it out in planrun.c.
 */
#include "deploy.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "expr.h"

jv
deploy_member(jv object, const char *name)
{
	jv found = jv_at_nocase(object, name);

	if (jv_is_valid(found))
		return found;
	jv_free(found);
	return jv_null();
}

int
deploy_slashes(const char *text)
{
	int n = 0;

	for (; *text; text++)
		n += *text == '/';
	return n;
}

/* ---- refusals ---- */

/* text is what stands between the quotes; consumed, as info is. */
jv
template_invalid(jv text, jv info)
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
	return arm_failure(400, jv_put(jv_object(), "error", error));
}

/* An evaluation that failed, as the refusal of the template; what another
 * room said stays as it is. */
jv
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
	return template_invalid(
	    jv_text(
		"%s%sis not valid: %s. Please see "
		"https://aka.ms/arm-template-expressions for usage details.",
		what, *what ? " " : "", e.text),
	    jv_null());
}

/* ---- the parts of a template ---- */

static jv add_parts(struct plan *p, jv resources, const char *type,
    const char *name, bool absent);

static char *
text_member(struct plan *p, jv raw, const char *name, jv *no)
{
	jv v = deploy_member(jv_copy(raw), name);
	char *text;

	if (jv_get_kind(v) != JV_KIND_NULL)
		v = plan_evaluate(p, v);
	if (!jv_is_valid(v)) {
		*no = template_fault(v, "A resource of the template");
		return NULL;
	}
	text = jv_dup_string(v);
	if (text == NULL || *text == '\0') {
		free(text);
		*no = template_invalid(
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

	if (t == NULL || deploy_slashes(type) != deploy_slashes(name) + 1)
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

int
plan_part_by_id(const struct plan *p, const char *id)
{
	for (int i = 0; i < p->count; i++)
		if (p->part[i].id && strcasecmp(p->part[i].id, id) == 0)
			return i;
	return -1;
}

/* By full name, or by the last part of it if only one has it. */
int
plan_part_by_name(const struct plan *p, const char *name)
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

/* Why it cannot be a part, or jv_null().  id NULL: type and name do not fit. */
static jv
refuse_part(const struct plan *p, jv raw, const char *type, const char *name,
    const char *id, bool absent)
{
	static const char *const missing[] = { "scope", "subscriptionId",
		"resourceGroup" };
	int same;

	for (size_t i = 0; i < 3; i++) {
		jv v = jv_at_nocase(jv_copy(raw), missing[i]);
		bool there = jv_is_valid(v);

		jv_free(v);
		if (there)
			return arm_fail(501, "NotSimulated",
			    "hub-sim does not simulate a resource with '%s'",
			    missing[i]);
	}
	if (id == NULL)
		return template_invalid(
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
	if (!arm_type_known(type))
		return arm_fail(501, "NotSimulated",
		    "hub-sim does not simulate resources of the type '%s'",
		    type);
	same = plan_part_by_id(p, id);
	if (same >= 0 && p->part[same].state != PART_ABSENT && !absent)
		return template_invalid(
		    jv_text("The resource '%s' is defined multiple times in a "
			    "template. Please see "
			    "https://aka.ms/arm-template/#resources for usage "
			    "details.",
			id),
		    jv_null());
	if (p->count >= MAX_PARTS)
		return template_invalid(
		    jv_text("The number of template resources limit exceeded. "
			    "Limit: '%d'",
			(int)MAX_PARTS),
		    jv_null());
	return jv_null();
}

static jv
add_part(struct plan *p, jv raw, const char *above_type, const char *above_name,
    bool absent)
{
	jv no = jv_null(), condition = deploy_member(jv_copy(raw), "condition");
	char *type = NULL, *name = NULL, *api = NULL, *id = NULL, *own;

	if (jv_get_kind(condition) != JV_KIND_NULL) {
		condition = plan_evaluate(p, condition);
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
	if (api) {
		id = part_id(p, type, name);
		no = refuse_part(p, raw, type, name, id, absent);
	}
	if (!jv_is_valid(no)) {
		jv_free(raw);
		free(type);
		free(name);
		free(api);
		free(id);
		return no;
	}
	p->part = xrealloc(p->part, ((size_t)p->count + 1) * sizeof *p->part);
	p->part[p->count++] = (struct part){ .type = type,
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
	return add_parts(
	    p, deploy_member(raw, "resources"), type, name, absent);
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
		jv loop = deploy_member(jv_copy(raw), "copy"), count;
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
		count = plan_evaluate(p, jv_at(loop, "count"));
		if (!jv_is_valid(count)) {
			jv_free(no);
			no = template_fault(count, "The count of a copy loop");
		} else if (label == NULL ||
			   jv_get_kind(count) != JV_KIND_NUMBER ||
			   jv_number_value(count) < 0 ||
			   jv_number_value(count) > MAX_PARTS) {
			jv_free(count);
			jv_free(no);
			no = template_invalid(
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
		return plan_part_by_name(p, what) == i;
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
	jv list = deploy_member(jv_copy(part->raw), "dependsOn"),
	   no = jv_null();
	struct copy_turn turn = { part->copy, part->index, NULL };

	part->needs = xcalloc((size_t)p->count, 1);
	if (part->copy)
		p->turn = &turn;
	if (jv_get_kind(list) != JV_KIND_NULL)
		list = plan_evaluate(p, list);
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
			no = template_invalid(
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

bool
plan_chained(const struct plan *p, int a, int b)
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
		if (plan_chained(p, i, i)) {
			jv_free(no);
			no = template_invalid(
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
read_variables(struct plan *p)
{
	jv vars = expr_lift(arm_or(
	    deploy_member(jv_copy(p->template), "variables"), jv_object()));

	if (jv_is_valid(vars))
		vars = plan_expand(p, vars);
	if (!jv_is_valid(vars))
		return template_fault(vars, "A variable");
	jv_free(p->variables);
	p->variables = vars;
	return jv_null();
}

jv
plan_open(struct plan *p, struct sim *s, const char *group, const char *name,
    struct span text, jv template, jv given, enum arm_how how, bool lenient)
{
	jv resources = deploy_member(jv_copy(template), "resources"), no;
	jv schema = deploy_member(jv_copy(template), "$schema");
	jv real = arm_group(s, group);

	*p = (struct plan){ .s = s,
		.group = arm_text(real, "name"),
		.name = xstrdup(name),
		.text = text,
		.template = template,
		.given = arm_or(given, jv_object()),
		.declared =
		    arm_or(deploy_member(jv_copy(template), "parameters"),
			jv_object()),
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
		return template_invalid(
		    jv_string("Required property '$schema' or 'resources' not "
			      "found in JSON. Path ''"),
		    jv_null());
	}
	jv_free(schema);
	no = parameters_check(p);
	if (jv_is_valid(no)) {
		jv_free(no);
		no = read_variables(p);
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
	/* What no deployment can evaluate is refused before any begins. */
	for (int i = 0; i < p->count && jv_is_valid(no); i++) {
		jv body = plan_body(p, i);

		jv_free(no);
		no = jv_is_valid(body)
			 ? (jv_free(body), jv_null())
			 : template_fault(body, "A resource of the template");
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
