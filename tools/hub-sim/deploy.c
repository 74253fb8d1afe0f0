/*
 * deploy.c: deployments and their history (CONTRACT 9).  A deployment is
 * carried out while its PUT is answered; what is seen of it follows the clock,
 * so that a client meets Accepted and Running before it meets the end.
 */
#include "deploy.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

const char deploy_schema[] =
    "CREATE TABLE IF NOT EXISTS deployment ("
    " grp TEXT, key TEXT, name TEXT, started INTEGER, over INTEGER,"
    " state TEXT, operation TEXT, body TEXT, template TEXT,"
    " operations TEXT, PRIMARY KEY (grp, key));";

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

struct target {
	struct sim *s;
	const struct sim_request *q;
	struct sim_reply *r;
	char *group, *name; /* name NULL: all deployments of the group */
	char *api;
};

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
request_properties(const struct target *t, struct buf *text)
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
    const struct target *t, struct plan *p, struct buf *text, jv *properties)
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

/* ---- what is said of a deployment ---- */

static jv
id_of(const struct target *t)
{
	return jv_text("/subscriptions/" SIM_SUBSCRIPTION
		       "/resourceGroups/%s/providers/Microsoft.Resources/"
		       "deployments/%s",
	    t->group, t->name);
}

static jv
template_hash(jv template)
{
	struct buf text = BUF_INIT;
	uint64_t h = 14695981039346656037u;

	doc_compact(template, &text);
	for (size_t i = 0; i < text.len; i++)
		h = (h ^ (unsigned char)text.at[i]) * 1099511628211u;
	buf_wipe(&text);
	return jv_text("%llu", (unsigned long long)h);
}

static jv
append_once(jv list, jv item)
{
	bool has = false;

	jv_array_foreach(list, i, one)
		has = jv_equal(one, jv_copy(item)) || has;
	if (has) {
		jv_free(item);
		return list;
	}
	return jv_array_append(list, item);
}

static jv
part_location(struct plan *p, int i)
{
	struct part *part = &p->part[i];
	jv from = jv_get_kind(part->body) == JV_KIND_OBJECT
		      ? jv_copy(part->body)
		      : plan_preview(p, i);
	jv location = jv_at(from, "location");

	if (jv_get_kind(location) == JV_KIND_STRING)
		return location;
	jv_free(location);
	return jv_null();
}

/* [{"namespace", "resourceTypes": [{"resourceType", "locations"}]}] */
static jv
providers_of(struct plan *p)
{
	jv spaces = jv_array(), out = jv_array();

	for (int i = 0; i < p->count; i++)
		spaces = append_once(
		    spaces, jv_string_sized(p->part[i].type,
				(int)strcspn(p->part[i].type, "/")));
	jv_array_foreach(spaces, k, space) {
		size_t n = strlen(jv_string_value(space));
		jv types = jv_array();

		for (int i = 0; i < p->count; i++) {
			const char *type = p->part[i].type;
			jv one;

			if (strncmp(type, jv_string_value(space), n) != 0 ||
			    type[n] != '/' || p->part[i].state == PART_ABSENT)
				continue;
			one = jv_put(jv_object(), "resourceType",
			    jv_string(type + n + 1));
			types =
			    append_once(types, jv_put(one, "locations",
						   jv_array_append(jv_array(),
						       part_location(p, i))));
		}
		out = jv_array_append(
		    out, jv_put(jv_put(jv_object(), "namespace", space),
			     "resourceTypes", types));
	}
	jv_free(spaces);
	return out;
}

static jv
part_named(const struct part *part)
{
	jv one = jv_put(jv_object(), "id", jv_string(part->id));

	one = jv_put(one, "resourceType", jv_string(part->type));
	return jv_put(one, "resourceName", jv_string(part->name));
}

static jv
dependencies_of(const struct plan *p)
{
	jv out = jv_array();

	for (int i = 0; i < p->count; i++) {
		jv on = jv_array();

		for (int j = 0; j < p->count; j++)
			if (p->part[i].needs[j])
				on = jv_array_append(
				    on, part_named(&p->part[j]));
		if (jv_array_length(jv_copy(on)) == 0) {
			jv_free(on);
			continue;
		}
		out = jv_array_append(
		    out, jv_object_merge(jv_put(jv_object(), "dependsOn", on),
			     part_named(&p->part[i])));
	}
	return out;
}

static jv
deployment_frame(const struct target *t, struct plan *p, const char *state)
{
	char guid[37], *words = xasprintf("deployment/%s/%s/%lld", t->group,
			   t->name, (long long)sim_now(t->s));
	jv d = jv_put(
	    jv_object(), "templateHash", template_hash(jv_copy(p->template)));
	jv out = jv_put(jv_object(), "id", id_of(t));

	sim_guid(t->s, words, guid);
	free(words);
	d = jv_put(d, "parameters", plan_parameters(p));
	d = jv_put(d, "mode", jv_string("Incremental"));
	d = jv_put(d, "provisioningState", jv_string(state));
	d = jv_put(d, "timestamp", jv_string("0001-01-01T00:00:00Z"));
	d = jv_put(d, "duration", jv_string("PT0S"));
	d = jv_put(d, "correlationId", jv_string(guid));
	d = jv_put(d, "providers", providers_of(p));
	d = jv_put(d, "dependencies", dependencies_of(p));
	out = jv_put(out, "name", jv_string(t->name));
	out = jv_put(out, "type", jv_string("Microsoft.Resources/deployments"));
	return jv_put(out, "properties", d);
}

static jv
part_ids(const struct plan *p, bool done_only)
{
	jv ids = jv_array();

	for (int i = 0; i < p->count; i++)
		if (done_only ? p->part[i].state == PART_DONE
			      : p->part[i].state != PART_ABSENT)
			ids =
			    jv_array_append(ids, jv_put(jv_object(), "id",
						     jv_string(p->part[i].id)));
	return ids;
}

static const char *
status_word(int status)
{
	static const struct {
		int status;
		const char *word;
	} words[] = { { 200, "OK" }, { 201, "Created" }, { 202, "Accepted" },
		{ 400, "BadRequest" }, { 401, "Unauthorized" },
		{ 403, "Forbidden" }, { 404, "NotFound" }, { 409, "Conflict" },
		{ 412, "PreconditionFailed" }, { 429, "TooManyRequests" },
		{ 501, "NotImplemented" }, { 503, "ServiceUnavailable" } };

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (words[i].status == status)
			return words[i].word;
	return "InternalServerError";
}

static int
failure_status(jv failure)
{
	jv n = jv_at(failure, "status");
	int status =
	    jv_get_kind(n) == JV_KIND_NUMBER ? (int)jv_number_value(n) : 500;

	jv_free(n);
	return status;
}

/* A provider's answer as the text that a deployment's error carries: JSON
 * with \r\n (CONTRACT 9.5). */
static jv
provider_text(jv body)
{
	struct buf text = BUF_INIT, out = BUF_INIT;
	jv s;

	doc_text(body, &text);
	while (text.len && text.at[text.len - 1] == '\n')
		text.len--;
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] == '\n')
			buf_char(&out, '\r');
		buf_char(&out, text.at[i]);
	}
	s = jv_string_sized(out.len ? out.at : "", (int)out.len);
	buf_wipe(&text);
	buf_wipe(&out);
	return s;
}

static jv
error_detail(jv failure)
{
	const char *word = status_word(failure_status(jv_copy(failure)));

	return jv_put(jv_put(jv_object(), "code", jv_string(word)), "message",
	    provider_text(jv_at(failure, "body")));
}

/* jv_null() while nothing failed. */
static jv
deployment_error(const struct plan *p)
{
	jv details = jv_array(), e;

	if (jv_get_kind(p->output_failure) != JV_KIND_NULL) {
		e = jv_put(jv_object(), "code",
		    jv_string("DeploymentOutputEvaluationFailed"));
		e = jv_put(e, "message",
		    jv_string("Unable to evaluate template outputs. Please see "
			      "error details and deployment operations. Please "
			      "see https://aka.ms/arm-common-errors for usage "
			      "details."));
		return jv_put(e, "details",
		    jv_array_append(
			details, error_detail(jv_copy(p->output_failure))));
	}
	for (int i = 0; i < p->count; i++)
		if (p->part[i].state == PART_FAILED)
			details = jv_array_append(
			    details, error_detail(jv_copy(p->part[i].failure)));
	if (jv_array_length(jv_copy(details)) == 0) {
		jv_free(details);
		return jv_null();
	}
	e = jv_put(jv_object(), "code", jv_string("DeploymentFailed"));
	e = jv_put(e, "message",
	    jv_string("At least one resource deployment operation failed. "
		      "Please list deployment operations for details. Please "
		      "see https://aka.ms/arm-deployment-operations for usage "
		      "details."));
	return jv_put(e, "details", details);
}

static jv
operation_entry(const struct target *t, const char *what, const char *verb,
    const char *state, jv properties)
{
	char guid[37],
	    *words = xasprintf("step/%s/%s/%s", t->group, t->name, what),
	    id[17];
	jv out = jv_put(jv_object(), "provisioningOperation", jv_string(verb));
	int n = 0;

	sim_guid(t->s, words, guid);
	free(words);
	for (const char *c = guid; *c && n < 16; c++)
		if (*c != '-')
			id[n++] = (char)toupper((unsigned char)*c);
	id[n] = '\0';
	out = jv_put(out, "provisioningState", jv_string(state));
	out = jv_put(out, "timestamp", arm_time(sim_now(t->s)));
	out = jv_put(out, "duration", jv_string("PT1S"));
	out = jv_put(out, "trackingId", jv_string(guid));
	properties = jv_object_merge(out, properties);
	out = jv_put(jv_object(), "id",
	    jv_text("/subscriptions/" SIM_SUBSCRIPTION
		    "/resourceGroups/%s/providers/Microsoft.Resources/"
		    "deployments/%s/operations/%s",
		t->group, t->name, id));
	out = jv_put(out, "operationId", jv_string(id));
	return jv_put(out, "properties", properties);
}

static jv
operations_of(const struct target *t, const struct plan *p)
{
	jv out = jv_array();

	for (int i = 0; i < p->count; i++) {
		const struct part *part = &p->part[i];
		jv more;
		int status;

		if (part->state != PART_DONE && part->state != PART_FAILED)
			continue;
		more = jv_object();
		if (part->state == PART_FAILED) {
			status = failure_status(jv_copy(part->failure));
			more = jv_put(more, "statusMessage",
			    jv_at(jv_copy(part->failure), "body"));
		} else {
			status = part->fresh ? 201 : 200;
		}
		more =
		    jv_put(more, "statusCode", jv_string(status_word(status)));
		more = jv_put(more, "targetResource", part_named(part));
		out = jv_array_append(
		    out, operation_entry(t, part->id, "Create",
			     part->state == PART_DONE ? "Succeeded" : "Failed",
			     more));
	}
	if (!plan_failed(p))
		out = jv_array_append(out,
		    operation_entry(t, "outputs", "EvaluateDeploymentOutput",
			"Succeeded",
			jv_put(jv_object(), "statusCode", jv_string("OK"))));
	return out;
}

/* ---- the history ---- */

struct record {
	bool there;
	int64_t started, over;
	char state[16], operation[32];
	jv body;
};

static jv
column_jv(sqlite3_stmt *q, int column)
{
	jv v = doc_parse(sim_column(q, column), "state");

	if (!jv_is_valid(v))
		bug("a stored deployment cannot be read");
	return v;
}

static void
bind_doc(sqlite3_stmt *q, int index, jv v)
{
	struct buf text = BUF_INIT;

	doc_compact(v, &text);
	sim_bind_span(q, index, buf_peek(&text));
	buf_wipe(&text);
}

static void
bind_place(sqlite3_stmt *q, const struct target *t)
{
	char *group = arm_lower(t->group), *name = arm_lower(t->name);

	sim_bind(q, 1, group);
	sim_bind(q, 2, name);
	free(group);
	free(name);
}

static struct record
record_of(const struct target *t)
{
	sqlite3_stmt *q = sim_sql(t->s,
	    "SELECT started, over, state, operation, body FROM deployment"
	    " WHERE grp = ? AND key = ?");
	struct record rec = { .body = jv_null() };
	struct span text;

	bind_place(q, t);
	if (sim_step(t->s, q) != SQLITE_ROW)
		return rec;
	rec.there = true;
	rec.started = sqlite3_column_int64(q, 0);
	rec.over = sqlite3_column_int64(q, 1);
	text = sim_column(q, 2);
	(void)snprintf(
	    rec.state, sizeof rec.state, "%.*s", (int)text.len, text.at);
	text = sim_column(q, 3);
	(void)snprintf(rec.operation, sizeof rec.operation, "%.*s",
	    (int)text.len, text.at);
	rec.body = column_jv(q, 4);
	return rec;
}

static bool
is_running(const struct target *t, const struct record *rec)
{
	return sim_now(t->s) < rec->over;
}

/* "Accepted", "Running", then how it ended. */
static const char *
state_now(const struct target *t, const struct record *rec)
{
	int64_t now = sim_now(t->s);

	if (now >= rec->over)
		return rec->state;
	return now < rec->started + (rec->over - rec->started) / 4 ? "Accepted"
								   : "Running";
}

/* The body as of now; consumes rec's. */
static jv
body_now(const struct target *t, struct record *rec)
{
	static const char *const later[] = { "outputs", "outputResources",
		"error" };
	jv body = rec->body, d = jv_at(jv_copy(body), "properties");
	int64_t until = is_running(t, rec) ? sim_now(t->s) : rec->over;

	rec->body = jv_null();
	d = jv_put(d, "provisioningState", jv_string(state_now(t, rec)));
	d = jv_put(d, "timestamp", arm_time(until));
	d = jv_put(d, "duration",
	    jv_text("PT%lld.%03dS", (long long)((until - rec->started) / 1000),
		(int)((until - rec->started) % 1000)));
	if (is_running(t, rec))
		for (int i = 0; i < 3; i++)
			d = jv_without(d, later[i]);
	return jv_put(body, "properties", d);
}

static void
keep(const struct target *t, struct plan *p, jv body, const char *operation)
{
	sqlite3_stmt *q = sim_sql(t->s,
	    "INSERT OR REPLACE INTO deployment (grp, key, name, started, over,"
	    " state, operation, body, template, operations)"
	    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
	int64_t now = sim_now(t->s);

	bind_place(q, t);
	sim_bind(q, 3, t->name);
	(void)sqlite3_bind_int64(q, 4, now);
	(void)sqlite3_bind_int64(q, 5, now + t->s->operation_ms);
	sim_bind(q, 6, plan_failed(p) ? "Failed" : "Succeeded");
	sim_bind(q, 7, operation);
	bind_doc(q, 8, body);
	bind_doc(q, 9, jv_copy(p->template));
	bind_doc(q, 10, operations_of(t, p));
	(void)sim_step(t->s, q);
}

static void
retry_header(struct sim_reply *r)
{
	if (sim_doubt_is("lro-retry-after", "ms"))
		sim_head(r, "x-ms-retry-after-ms", "20");
	else if (sim_doubt_is("lro-retry-after", "seconds"))
		sim_head(r, "Retry-After", "1");
}

static void
status_header(const struct target *t, const char *operation)
{
	sim_head(t->r, "Azure-AsyncOperation",
	    "https://%s/subscriptions/" SIM_SUBSCRIPTION
	    "/resourcegroups/%s/providers/Microsoft.Resources/deployments/%s/"
	    "operationStatuses/%s?api-version=%s",
	    t->q->host, t->group, t->name, operation, t->api ? t->api : "");
	retry_header(t->r);
}

static void
no_deployment(const struct target *t)
{
	sim_error(t->r, 404, "DeploymentNotFound",
	    "Deployment '%s' could not be found.", t->name);
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
active_refused(const struct target *t)
{
	struct record rec = record_of(t);
	char when[32];

	if (!rec.there || !is_running(t, &rec)) {
		jv_free(rec.body);
		return false;
	}
	if (sim_doubt_is("deployment-active", "attach")) {
		status_header(t, rec.operation);
		arm_answer(t->r, 200, body_now(t, &rec));
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
put_deployment(const struct target *t)
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
	rec = record_of(t);
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
	d = jv_put(d, "outputResources", part_ids(&p, true));
	words = xasprintf("operation/%s/%s/%lld", t->group, t->name,
	    (long long)sim_now(t->s));
	sim_mac(t->s, words, strlen(words), (unsigned char *)&h, sizeof h);
	free(words);
	(void)snprintf(operation, sizeof operation, "0858%016llu",
	    (unsigned long long)(h % 10000000000000000u));
	keep(t, &p, jv_put(jv_copy(body), "properties", d), operation);
	status_header(t, operation);
	arm_answer(t->r, was ? 200 : 201, body);
out:
	jv_free(properties);
	plan_close(&p);
	buf_wipe(&text);
}

static void
validate(const struct target *t)
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
	    part_ids(&p, false));
	arm_answer(t->r, 200, jv_put(body, "properties", d));
out:
	jv_free(properties);
	plan_close(&p);
	buf_wipe(&text);
}

static void
what_if(const struct target *t)
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
get_deployment(const struct target *t)
{
	struct record rec = record_of(t);

	if (rec.there)
		arm_answer(t->r, 200, body_now(t, &rec));
	else
		no_deployment(t);
	jv_free(rec.body);
}

static void
list_deployments(const struct target *t)
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
		struct target one = *t;
		struct record rec;

		one.name = xstrdup(jv_string_value(name));
		rec = record_of(&one);
		if (rec.there)
			list = jv_array_append(list, body_now(&one, &rec));
		jv_free(rec.body);
		free(one.name);
		jv_free(name);
	}
	jv_free(names);
	arm_answer(t->r, 200, jv_put(jv_object(), "value", list));
}

static void
delete_deployment(const struct target *t)
{
	struct record rec = record_of(t);
	sqlite3_stmt *q;

	jv_free(rec.body);
	if (!rec.there) {
		t->r->status = 204;
		return;
	}
	if (is_running(t, &rec)) {
		sim_error(t->r, 409, "DeploymentCannotBeDeleted",
		    "The deployment '%s' cannot be deleted because it is "
		    "running.",
		    t->name);
		return;
	}
	q = sim_sql(t->s, "DELETE FROM deployment WHERE grp = ? AND key = ?");
	bind_place(q, t);
	(void)sim_step(t->s, q);
	t->r->status = 204;
}

static void
cancel(const struct target *t)
{
	struct record rec = record_of(t);
	sqlite3_stmt *q;
	jv d, error;

	if (!rec.there) {
		no_deployment(t);
	} else if (!is_running(t, &rec)) {
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
		bind_place(q, t);
		(void)sqlite3_bind_int64(q, 3, sim_now(t->s));
		bind_doc(q, 4,
		    jv_put(jv_copy(rec.body), "properties",
			jv_put(d, "error", error)));
		(void)sim_step(t->s, q);
		t->r->status = 204;
	}
	jv_free(rec.body);
}

static void
operation_status(const struct target *t, const char *operation)
{
	struct record rec = record_of(t);
	jv body, error;

	if (!rec.there || strcmp(rec.operation, operation) != 0) {
		sim_error(t->r, 404, "DeploymentOperationNotFound",
		    "Deployment operation '%s' could not be found.", operation);
		jv_free(rec.body);
		return;
	}
	body = jv_put(jv_object(), "status", jv_string(state_now(t, &rec)));
	error = jv_path(jv_copy(rec.body), "properties.error");
	if (is_running(t, &rec)) {
		retry_header(t->r);
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
operations_now(const struct target *t)
{
	struct record rec = record_of(t);
	sqlite3_stmt *q = sim_sql(t->s,
	    "SELECT operations FROM deployment WHERE grp = ? AND key = ?");
	jv all, out;

	jv_free(rec.body);
	bind_place(q, t);
	if (sim_step(t->s, q) != SQLITE_ROW)
		return jv_invalid();
	all = column_jv(q, 0);
	if (!is_running(t, &rec))
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
get_operations(const struct target *t, const char *wanted)
{
	jv all = operations_now(t);

	if (!jv_is_valid(all)) {
		jv_free(all);
		no_deployment(t);
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
static void
export_deployment(const struct target *t)
{
	sqlite3_stmt *q = sim_sql(
	    t->s, "SELECT template FROM deployment WHERE grp = ? AND key = ?");

	bind_place(q, t);
	if (sim_step(t->s, q) != SQLITE_ROW)
		no_deployment(t);
	else
		arm_answer(t->r, 200,
		    jv_put(jv_object(), "template", column_jv(q, 0)));
}

static void
export_of_group(const struct target *t)
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
    const struct target *t, const char *word, const char *rest, int more)
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
one_deployment(const struct target *t)
{
	const char *m = t->q->method;

	if (strcmp(m, "PUT") == 0) {
		put_deployment(t);
	} else if (strcmp(m, "GET") == 0) {
		get_deployment(t);
	} else if (strcmp(m, "HEAD") == 0) {
		struct record rec = record_of(t);

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
	struct target t = { .s = s, .q = q, .r = r };
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
