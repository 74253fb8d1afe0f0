/*
 * deploy.c: requests about deployments (CONTRACT 9).  A deployment is
 * carried out while its PUT is answered; what is seen of it follows the clock,
 * so that a client meets Accepted and Running before it meets the end.
 */
#include "deploy.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* ---- text that is nearly JSON ---- */

static void
tidy_string(struct buf *out, const char **at, const char *end)
{
	const char *c = *at + 1;
	int lines = 0;

	buf_char(out, '"');
	for (; c < end && *c != '"'; c++) {
		if (*c == '\\' && c + 1 < end) {
			buf_char(out, *c++);
			buf_char(out, *c);
		} else if (*c == '\n') {
			buf_text(out, "\\n");
			lines++;
		} else if (*c == '\r') {
			buf_text(out, "\\r");
		} else if (*c == '\t') {
			buf_text(out, "\\t");
		} else {
			buf_char(out, *c);
		}
	}
	buf_char(out, '"');
	while (lines-- > 0) /* what follows keeps its line */
		buf_char(out, '\n');
	*at = c < end ? c + 1 : end;
}

/* A comment becomes the line breaks that are in it. */
static void
tidy_comment(struct buf *out, const char **at, const char *end)
{
	const char *c = *at;
	bool line = c[1] == '/';

	for (c += 2; c < end; c++) {
		if (line && *c == '\n')
			break;
		if (!line && *c == '*' && c + 1 < end && c[1] == '/') {
			c += 2;
			break;
		}
		if (*c == '\n')
			buf_char(out, '\n');
	}
	*at = c;
}

void
deploy_tidy(struct span text, struct buf *out)
{
	const char *c = text.at, *end = c + text.len;

	if (text.len >= 3 && memcmp(c, "\xef\xbb\xbf", 3) == 0)
		c += 3;
	while (c < end) {
		const char *word = c;

		if (*c == '"') {
			tidy_string(out, &c, end);
		} else if (*c == '/' && c + 1 < end &&
			   (c[1] == '/' || c[1] == '*')) {
			tidy_comment(out, &c, end);
		} else if (isalpha((unsigned char)*c) || *c == '$') {
			const char *after;

			while (c < end && (isalnum((unsigned char)*c) ||
					      *c == '$' || *c == '_'))
				c++;
			for (after = c;
			     after < end && isspace((unsigned char)*after);
			     after++)
				;
			if (after < end && *after == ':')
				buf_printf(
				    out, "\"%.*s\"", (int)(c - word), word);
			else
				buf_add(out, word, (size_t)(c - word));
		} else {
			buf_char(out, *c++);
		}
	}
}

/* ---- what a request asks for ---- */

static jv
bad_content(const char *why)
{
	return arm_fail(400, "InvalidRequestContent",
	    "The request content was invalid and could not be deserialized: "
	    "'%s'.",
	    why);
}

/* The members of "properties" of a request; *text is kept for line numbers. */
static jv
request_properties(const struct asked *t, struct buf *text)
{
	jv body, properties, mode;
	bool complete, linked;

	deploy_tidy(t->q->body, text);
	body = doc_parse(buf_peek(text), "request");
	if (!jv_is_valid(body)) {
		struct err e;

		(void)err_from_jv(&e, body);
		return bad_content(e.text);
	}
	properties = jv_get_kind(body) == JV_KIND_OBJECT
			 ? jv_at(body, "properties")
			 : (jv_free(body), jv_null());
	if (jv_get_kind(properties) != JV_KIND_OBJECT) {
		jv_free(properties);
		return bad_content("Required property 'properties' not found "
				   "in JSON. Path ''");
	}
	mode = jv_at(jv_copy(properties), "mode");
	complete = jv_string_is_nocase(jv_copy(mode), "Complete");
	if (jv_get_kind(mode) != JV_KIND_STRING) {
		jv_free(mode);
		jv_free(properties);
		return bad_content("Required property 'mode' not found in "
				   "JSON. Path 'properties'");
	}
	jv_free(mode);
	linked =
	    jv_object_has(jv_copy(properties), jv_string("templateLink")) ||
	    jv_object_has(jv_copy(properties), jv_string("parametersLink"));
	if (complete || linked) {
		jv_free(properties);
		return arm_fail(501, "NotSimulated",
		    "hub-sim does not simulate %s",
		    complete ? "deployments of the mode Complete"
			     : "linked templates");
	}
	mode = jv_at(jv_copy(properties), "template");
	if (jv_get_kind(mode) != JV_KIND_OBJECT) {
		jv_free(mode);
		jv_free(properties);
		return arm_fail(400, "InvalidTemplate",
		    "Deployment template is missing or is no JSON object.");
	}
	jv_free(mode);
	return properties;
}

/* 0, or -1 with the refusal answered. */
static int
open_plan(
    const struct asked *t, struct plan *p, struct buf *text, jv *properties)
{
	jv no;

	*properties = request_properties(t, text);
	if (!jv_is_valid(*properties)) {
		arm_refuse(t->r, *properties);
		*properties = jv_null();
		memset(p, 0, sizeof *p);
		return -1;
	}
	no = plan_open(p, t->s, t->group, t->name, buf_peek(text),
	    jv_at(jv_copy(*properties), "template"),
	    jv_at(jv_copy(*properties), "parameters"), ARM_SETTLED, false);
	if (!jv_is_valid(no)) {
		arm_refuse(t->r, no);
		return -1;
	}
	jv_free(no);
	return 0;
}

/* ---- requests ---- */

static bool
good_name(const char *name)
{
	size_t n = strlen(name);

	if (n < 1 || n > 64)
		return false;
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && !strchr("-._()", *name))
			return false;
	return true;
}

/* A second PUT of a name that still runs (UNCONFIRMED: 9.4). */
static bool
active_refused(const struct asked *t)
{
	struct record rec = history_find(t);
	char when[32];

	if (!rec.there || !history_running(t, &rec)) {
		jv_free(rec.body);
		return false;
	}
	if (sim_doubt_is("deployment-active", "attach")) {
		history_header(t, rec.operation);
		arm_answer(t->r, 200, history_body(t, &rec));
		return true;
	}
	sim_iso_time(rec.started, when);
	sim_error(t->r, 409, "DeploymentActive",
	    "Unable to edit or replace deployment '%s': previous deployment "
	    "from '%s' is still active. Please see "
	    "https://aka.ms/arm-deploy for usage details.",
	    t->name, when);
	jv_free(rec.body);
	return true;
}

static void
put_deployment(const struct asked *t)
{
	struct buf text = BUF_INIT;
	struct plan p;
	struct record rec;
	jv properties, no, body, error, d;
	char operation[32], *words;
	uint64_t h = 0;
	bool was;

	if (!good_name(t->name)) {
		sim_error(t->r, 400, "InvalidDeploymentName",
		    "The deployment name '%s' is not valid. The name can have "
		    "1 to 64 letters, digits, '-', '_', '.' and parentheses.",
		    t->name);
		return;
	}
	if (active_refused(t))
		return;
	if (open_plan(t, &p, &text, &properties) != 0)
		goto out;
	no = plan_preflight(&p);
	if (!jv_is_valid(no)) {
		arm_refuse(t->r, no);
		goto out;
	}
	jv_free(no);
	rec = history_find(t);
	was = rec.there;
	jv_free(rec.body);
	plan_run(&p);
	body = deployment_frame(t, &p, "Accepted");
	d = jv_put(jv_at(jv_copy(body), "properties"), "timestamp",
	    arm_time(sim_now(t->s)));
	body = jv_put(body, "properties", jv_copy(d));
	error = deployment_error(&p);
	if (jv_get_kind(error) == JV_KIND_NULL)
		d = jv_put(d, "outputs", jv_copy(p.outputs));
	else
		d = jv_put(d, "error", jv_copy(error));
	jv_free(error);
	d = jv_put(d, "outputResources", deployment_parts(&p, true));
	words = xasprintf("operation/%s/%s/%lld", t->group, t->name,
	    (long long)sim_now(t->s));
	sim_mac(t->s, words, strlen(words), (unsigned char *)&h, sizeof h);
	free(words);
	(void)snprintf(operation, sizeof operation, "0858%016llu",
	    (unsigned long long)(h % 10000000000000000u));
	history_keep(t, &p, jv_put(jv_copy(body), "properties", d), operation);
	history_header(t, operation);
	arm_answer(t->r, was ? 200 : 201, body);
out:
	jv_free(properties);
	plan_close(&p);
	buf_wipe(&text);
}

static void
validate(const struct asked *t)
{
	struct buf text = BUF_INIT;
	struct plan p;
	jv properties, no, body, d;

	if (open_plan(t, &p, &text, &properties) != 0)
		goto out;
	no = plan_preflight(&p);
	if (!jv_is_valid(no)) {
		arm_refuse(t->r, no);
		goto out;
	}
	jv_free(no);
	body = deployment_frame(t, &p, "Succeeded");
	d = jv_put(jv_at(jv_copy(body), "properties"), "validatedResources",
	    deployment_parts(&p, false));
	arm_answer(t->r, 200, jv_put(body, "properties", d));
out:
	jv_free(properties);
	plan_close(&p);
	buf_wipe(&text);
}

static void
what_if(const struct asked *t)
{
	struct buf text = BUF_INIT;
	struct plan p;
	jv properties, no, result;
	bool ids;

	if (open_plan(t, &p, &text, &properties) != 0)
		goto out;
	ids = jv_string_is_nocase(
	    jv_path(jv_copy(properties), "whatIfSettings.resultFormat"),
	    "ResourceIdOnly");
	no = plan_preflight(&p);
	if (jv_is_valid(no)) {
		jv_free(no);
		result = whatif_result(&p, ids);
	} else {
		result =
		    jv_put(jv_put(jv_object(), "status", jv_string("Failed")),
			"error", jv_path(jv_invalid_get_msg(no), "body.error"));
	}
	arm_operation(t->s, t->q, t->r, 202,
	    "/subscriptions/" SIM_SUBSCRIPTION "/operationresults", result,
	    false, true);
out:
	jv_free(properties);
	plan_close(&p);
	buf_wipe(&text);
}

static void
get_deployment(const struct asked *t)
{
	struct record rec = history_find(t);

	if (rec.there)
		arm_answer(t->r, 200, history_body(t, &rec));
	else
		history_none(t);
	jv_free(rec.body);
}

static void
list_deployments(const struct asked *t)
{
	sqlite3_stmt *q =
	    sim_sql(t->s, "SELECT name FROM deployment WHERE grp = ?"
			  " ORDER BY started DESC, key");
	char *group = arm_lower(t->group);
	jv names = jv_array(), list = jv_array();

	sim_bind(q, 1, group);
	free(group);
	while (sim_step(t->s, q) == SQLITE_ROW) {
		struct span n = sim_column(q, 0);

		names =
		    jv_array_append(names, jv_string_sized(n.at, (int)n.len));
	}
	jv_array_foreach(names, i, name) {
		struct asked one = *t;
		struct record rec;

		one.name = xstrdup(jv_string_value(name));
		rec = history_find(&one);
		if (rec.there)
			list = jv_array_append(list, history_body(&one, &rec));
		jv_free(rec.body);
		free(one.name);
		jv_free(name);
	}
	jv_free(names);
	arm_answer(t->r, 200, jv_put(jv_object(), "value", list));
}

static void
delete_deployment(const struct asked *t)
{
	struct record rec = history_find(t);
	sqlite3_stmt *q;

	jv_free(rec.body);
	if (!rec.there) {
		t->r->status = 204;
		return;
	}
	if (history_running(t, &rec)) {
		sim_error(t->r, 409, "DeploymentCannotBeDeleted",
		    "The deployment '%s' cannot be deleted because it is "
		    "running.",
		    t->name);
		return;
	}
	q = sim_sql(t->s, "DELETE FROM deployment WHERE grp = ? AND key = ?");
	history_bind(q, t);
	(void)sim_step(t->s, q);
	t->r->status = 204;
}

static void
cancel(const struct asked *t)
{
	struct record rec = history_find(t);
	sqlite3_stmt *q;
	jv d, error;

	if (!rec.there) {
		history_none(t);
	} else if (!history_running(t, &rec)) {
		sim_error(t->r, 409, "DeploymentCannotBeCancelled",
		    "The deployment '%s' cannot be cancelled because it is not "
		    "running.",
		    t->name);
	} else {
		error = jv_put(
		    jv_object(), "code", jv_string("DeploymentCanceled"));
		error = jv_put(error, "message",
		    jv_text("The deployment '%s' was cancelled.", t->name));
		d = jv_without(
		    jv_at(jv_copy(rec.body), "properties"), "outputs");
		q = sim_sql(t->s,
		    "UPDATE deployment SET state = 'Canceled', over = ?3,"
		    " body = ?4 WHERE grp = ?1 AND key = ?2");
		history_bind(q, t);
		(void)sqlite3_bind_int64(q, 3, sim_now(t->s));
		arm_bind(q, 4,
		    jv_put(jv_copy(rec.body), "properties",
			jv_put(d, "error", error)));
		(void)sim_step(t->s, q);
		t->r->status = 204;
	}
	jv_free(rec.body);
}

static void
operation_status(const struct asked *t, const char *operation)
{
	struct record rec = history_find(t);
	jv body, error;

	if (!rec.there || strcmp(rec.operation, operation) != 0) {
		sim_error(t->r, 404, "DeploymentOperationNotFound",
		    "Deployment operation '%s' could not be found.", operation);
		jv_free(rec.body);
		return;
	}
	body = jv_put(jv_object(), "status", jv_string(history_state(t, &rec)));
	error = jv_path(jv_copy(rec.body), "properties.error");
	if (history_running(t, &rec)) {
		arm_retry_long(t->s, t->r);
		jv_free(error);
	} else if (jv_get_kind(error) == JV_KIND_OBJECT) {
		body = jv_put(body, "error", error);
	} else {
		jv_free(error);
	}
	jv_free(rec.body);
	arm_answer(t->r, 200, body);
}

/* What is under way is shown as Running, without result. */
static jv
operations_now(const struct asked *t)
{
	struct record rec = history_find(t);
	sqlite3_stmt *q = sim_sql(t->s,
	    "SELECT operations FROM deployment WHERE grp = ? AND key = ?");
	jv all, out;

	jv_free(rec.body);
	history_bind(q, t);
	if (sim_step(t->s, q) != SQLITE_ROW)
		return jv_invalid();
	all = arm_column(q, 0);
	if (!history_running(t, &rec))
		return all;
	out = jv_array();
	jv_array_foreach(all, i, one) {
		jv d = jv_at(jv_copy(one), "properties");

		d = jv_without(jv_without(d, "statusCode"), "statusMessage");
		d = jv_put(d, "provisioningState", jv_string("Running"));
		out = jv_array_append(out, jv_put(one, "properties", d));
	}
	jv_free(all);
	return out;
}

static void
get_operations(const struct asked *t, const char *wanted)
{
	jv all = operations_now(t);

	if (!jv_is_valid(all)) {
		jv_free(all);
		history_none(t);
		return;
	}
	if (wanted == NULL) {
		arm_answer(t->r, 200, jv_put(jv_object(), "value", all));
		return;
	}
	jv_array_foreach(all, i, one) {
		char *id = arm_text(one, "operationId");

		if (t->r->status == 0 && id && strcasecmp(id, wanted) == 0)
			arm_answer(t->r, 200, jv_copy(one));
		free(id);
		jv_free(one);
	}
	jv_free(all);
	if (t->r->status == 0)
		sim_error(t->r, 404, "DeploymentOperationNotFound",
		    "Deployment operation '%s' could not be found.", wanted);
}

/* The template as it was sent: inline secrets are in it (CONTRACT 9.1). */
/* "string" comes back as "String" ([rec-deploy] 18). */
static jv
with_types(jv template, const char *member)
{
	jv all = arm_member(template, member);

	if (jv_get_kind(all) == JV_KIND_OBJECT)
		jv_object_foreach(all, name, one) {
			char *type = arm_text(one, "type");
			const char *word = parameter_type(type);

			if (word)
				one = jv_put(one, "type", jv_string(word));
			all = jv_object_set(all, name, one);
			free(type);
		}
	return arm_put_some(template, member, all);
}

static void
export_deployment(const struct asked *t)
{
	sqlite3_stmt *q = sim_sql(
	    t->s, "SELECT template FROM deployment WHERE grp = ? AND key = ?");

	history_bind(q, t);
	if (sim_step(t->s, q) != SQLITE_ROW)
		history_none(t);
	else
		arm_answer(t->r, 200,
		    jv_put(jv_object(), "template",
			with_types(with_types(arm_column(q, 0), "parameters"),
			    "outputs")));
}

static void
export_of_group(const struct asked *t)
{
	struct err e;
	jv request =
	    t->q->body.len ? doc_parse(t->q->body, "request") : jv_object();

	if (!jv_is_valid(request)) {
		(void)err_from_jv(&e, request);
		arm_refuse(t->r, bad_content(e.text));
	} else if (jv_get_kind(request) != JV_KIND_OBJECT) {
		jv_free(request);
		arm_refuse(t->r, bad_content("it is no JSON object"));
	} else {
		export_group(t->s, t->q, t->r, t->group, request);
	}
}

/* ---- paths ---- */

static bool
is_word(const char *text, const char *word)
{
	return text && strcasecmp(text, word) == 0;
}

/* After the name: an action, a status, the operations. */
static void
below_deployment(
    const struct asked *t, const char *word, const char *rest, int more)
{
	bool post = strcmp(t->q->method, "POST") == 0 && more == 1;
	bool get = strcmp(t->q->method, "GET") == 0;

	if (post && is_word(word, "validate"))
		validate(t);
	else if (post && is_word(word, "whatIf"))
		what_if(t);
	else if (post && is_word(word, "cancel"))
		cancel(t);
	else if (post && is_word(word, "exportTemplate"))
		export_deployment(t);
	else if (get && more == 2 && is_word(word, "operationStatuses"))
		operation_status(t, rest);
	else if (get && more <= 2 && is_word(word, "operations"))
		get_operations(t, rest);
	else
		sim_missing(t->r, t->q->path);
}

static void
one_deployment(const struct asked *t)
{
	const char *m = t->q->method;

	if (strcmp(m, "PUT") == 0) {
		put_deployment(t);
	} else if (strcmp(m, "GET") == 0) {
		get_deployment(t);
	} else if (strcmp(m, "HEAD") == 0) {
		struct record rec = history_find(t);

		jv_free(rec.body);
		t->r->status = rec.there ? 204 : 404;
	} else if (strcmp(m, "DELETE") == 0) {
		delete_deployment(t);
	} else {
		sim_error(t->r, 405, "MethodNotAllowed",
		    "The method '%s' is not allowed on a deployment.", m);
	}
}

void
deploy_handle(struct sim *s, const struct sim_request *q, struct sim_reply *r)
{
	struct asked t = { .s = s, .q = q, .r = r };
	char *given = sim_segment(q, 3), *at4 = sim_segment(q, 4);
	bool whole = is_word(at4, "providers");
	int first = whole ? 6 : 4; /* of the word "deployments" */
	char *word = sim_segment(q, first);
	char *action = sim_segment(q, first + 2);
	char *rest = sim_segment(q, first + 3);
	char *scope = sim_segment(q, 2);
	jv group = given ? arm_group(s, given) : jv_invalid();

	t.group = arm_text(group, "name");
	t.api = sim_query(q, "api-version");
	t.name = sim_segment(q, first + 1);
	if (t.name && *t.name == '\0') {
		free(t.name);
		t.name = NULL;
	}
	if (!is_word(scope, "resourceGroups"))
		sim_missing(r, "deployments outside of a resource group");
	else if (t.group == NULL)
		sim_error(r, 404, "ResourceGroupNotFound",
		    "Resource group '%s' could not be found.", given);
	else if (is_word(at4, "exportTemplate") && !t.name &&
		 strcmp(q->method, "POST") == 0)
		export_of_group(&t);
	else if (!is_word(word, "deployments") ||
		 (!whole && !is_word(action, "operations")))
		sim_missing(r, q->path);
	else if (t.name == NULL && strcmp(q->method, "GET") == 0)
		list_deployments(&t);
	else if (t.name == NULL)
		sim_missing(r, q->path);
	else if (action)
		below_deployment(&t, action, rest, sim_segments(q) - first - 2);
	else
		one_deployment(&t);
	jv_free(group);
	free(t.group);
	free(t.name);
	free(t.api);
	free(given);
	free(at4);
	free(word);
	free(action);
	free(rest);
	free(scope);
}
