/*
 * planrun.c: carries a plan out, in the order of what depends on what, with
 * the conflicts that Resource Manager would have (CONTRACT 4.2), makes the
 * outputs, and says beforehand what would be refused at once.
 */
#include "deploy.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

#include "expr.h"

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
	if (p->how == ARM_SEED)
		return false;
	for (int j = 0; j < p->count; j++)
		if (j != i && p->part[j].state == PART_DONE &&
		    of_same_hub(&p->part[i], &p->part[j]) &&
		    !plan_chained(p, i, j) && !plan_chained(p, j, i))
			return sim_doubt_is("children-conflict", "yes");
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
		    part->id[n] == '/' && !plan_chained(p, i, j))
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
	body = p->early ? plan_fold(p, plan_expand(p, body))
			: plan_evaluate(p, body);
	p->turn = NULL;
	return body;
}

jv
plan_body(struct plan *p, int i)
{
	p->early = true;
	return part_body(p, &p->part[i]);
}

jv
plan_preview(struct plan *p, int i)
{
	jv body = plan_body(p, i);

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

void
plan_run_part(struct plan *p, int i)
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
		plan_run_part(p, j);
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
	    arm_or(deploy_member(jv_copy(p->template), "outputs"), jv_object());

	p->early = false;
	jv_object_foreach(outputs, key, output) {
		char *type =
		    jv_dup_string(deploy_member(jv_copy(output), "type"));
		const char *word = parameter_type(type);
		jv wanted = plan_lift_evaluate(
		    p, deploy_member(jv_copy(output), "condition"));
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
		value = plan_lift_evaluate(p, deploy_member(output, "value"));
		if (!jv_is_valid(value)) {
			struct part none = { .id = (char *)"outputs" };

			jv_free(p->output_failure);
			p->output_failure = evaluation_failure(value, &none);
			jv_free(one);
			jv_free(key);
			continue;
		}
		if (word && type_is_secure(word))
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
		plan_run_part(p, i);
	if (!plan_failed(p))
		make_outputs(p);
}

/* As before plan_run(). */
static void
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
	return arm_failure(400, jv_put(jv_object(), "error", error));
}
