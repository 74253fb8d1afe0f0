/*
 * armwords.c: how the rooms of Resource Manager read and say things: members
 * of JSON, failures as jv, answers (CONTRACT 3.1); see arm.h.
 */
#include "arm.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

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
arm_put_some(jv object, const char *name, jv value)
{
	if (jv_get_kind(value) == JV_KIND_NULL) {
		jv_free(value);
		return object;
	}
	return jv_put(object, name, value);
}

jv
arm_or(jv value, jv otherwise)
{
	bool fits = jv_get_kind(value) == jv_get_kind(otherwise);

	jv_free(fits ? otherwise : value);
	return fits ? value : otherwise;
}

jv
arm_time(int64_t ms)
{
	char text[32];

	sim_iso_time(ms, text);
	return jv_string(text);
}

jv
arm_failure(int status, jv body)
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
	text = xvasprintf(fmt, ap);
	va_end(ap);
	e = jv_put(jv_put(jv_object(), "code", jv_string(code)), "message",
	    jv_string(text));
	free(text);
	return arm_failure(status, jv_put(jv_object(), "error", e));
}

/* "2023-11-06 20:15:34Z": the provider's own way of writing the time. */
jv
hub_fail(struct sim *s, int status, int code, const char *fmt, ...)
{
	char when[32], guid[37], *text;
	va_list ap;
	jv body;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
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
	return arm_failure(status, body);
}

void
arm_answer(struct sim_reply *r, int status, jv body)
{
	if (jv_get_kind(body) != JV_KIND_NULL) {
		sim_json(r, status, body);
		return;
	}
	jv_free(body);
	r->status = status;
	r->content_type = NULL;
	buf_clear(&r->body);
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

jv
arm_parse(struct span text)
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

void
arm_answer_or(struct sim_reply *r, int status, jv answer)
{
	if (jv_is_valid(answer))
		arm_answer(r, status, answer);
	else
		arm_refuse(r, answer);
}

jv
arm_not_found(const struct arm_id *id)
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

jv
arm_no_group(const char *group)
{
	return arm_fail(404, "ResourceGroupNotFound",
	    "Resource group '%s' could not be found.", group);
}

char *
arm_filtered(const char *filter, const char *member)
{
	const char *at = filter ? strcasestr(filter, member) : NULL;
	const char *quote = at ? strchr(at, '\'') : NULL;

	return quote ? xstrndup(quote + 1, strcspn(quote + 1, "'")) : NULL;
}
