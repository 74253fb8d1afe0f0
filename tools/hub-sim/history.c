/*
 * history.c: what is said of a deployment (CONTRACT 9), and its place in the
 * history of its group.  What is seen of one follows the clock.
 */
#include "deploy.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

const char deploy_schema[] =
    "CREATE TABLE IF NOT EXISTS deployment ("
    " grp TEXT, key TEXT, name TEXT, started INTEGER, over INTEGER,"
    " state TEXT, operation TEXT, body TEXT, template TEXT,"
    " operations TEXT, PRIMARY KEY (grp, key));";

/* ---- what is said of a deployment ---- */

static jv
id_of(const struct asked *t)
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

jv
deployment_frame(const struct asked *t, struct plan *p, const char *state)
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

jv
deployment_parts(const struct plan *p, bool done_only)
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
jv
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
operation_entry(const struct asked *t, const char *what, const char *verb,
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
operations_of(const struct asked *t, const struct plan *p)
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

void
history_bind(sqlite3_stmt *q, const struct asked *t)
{
	char *group = arm_lower(t->group), *name = arm_lower(t->name);

	sim_bind(q, 1, group);
	sim_bind(q, 2, name);
	free(group);
	free(name);
}

struct record
history_find(const struct asked *t)
{
	sqlite3_stmt *q = sim_sql(t->s,
	    "SELECT started, over, state, operation, body FROM deployment"
	    " WHERE grp = ? AND key = ?");
	struct record rec = { .body = jv_null() };

	history_bind(q, t);
	if (sim_step(t->s, q) != SQLITE_ROW)
		return rec;
	rec.there = true;
	rec.started = sqlite3_column_int64(q, 0);
	rec.over = sqlite3_column_int64(q, 1);
	span_copy(sim_column(q, 2), rec.state, sizeof rec.state);
	span_copy(sim_column(q, 3), rec.operation, sizeof rec.operation);
	rec.body = arm_column(q, 4);
	return rec;
}

bool
history_running(const struct asked *t, const struct record *rec)
{
	return sim_now(t->s) < rec->over;
}

/* "Accepted", "Running", then how it ended. */
const char *
history_state(const struct asked *t, const struct record *rec)
{
	int64_t now = sim_now(t->s);

	if (now >= rec->over)
		return rec->state;
	return now < rec->started + (rec->over - rec->started) / 4 ? "Accepted"
								   : "Running";
}

/* The body as of now; consumes rec's. */
jv
history_body(const struct asked *t, struct record *rec)
{
	static const char *const later[] = { "outputs", "outputResources",
		"error" };
	jv body = rec->body, d = jv_at(jv_copy(body), "properties");
	int64_t until = history_running(t, rec) ? sim_now(t->s) : rec->over;

	rec->body = jv_null();
	d = jv_put(d, "provisioningState", jv_string(history_state(t, rec)));
	d = jv_put(d, "timestamp", arm_time(until));
	d = jv_put(d, "duration",
	    jv_text("PT%lld.%03dS", (long long)((until - rec->started) / 1000),
		(int)((until - rec->started) % 1000)));
	if (history_running(t, rec))
		for (int i = 0; i < 3; i++)
			d = jv_without(d, later[i]);
	return jv_put(body, "properties", d);
}

/* Roughly the sum of what was done; the rest of it is quick. */
static int64_t
lasts_in_all(const struct sim *s, const struct plan *p)
{
	int64_t all = 0;

	if (!s->real_times || s->operation_given)
		return arm_lasts(s, WORK_OTHER);
	for (int i = 0; i < p->count; i++) {
		const struct part *part = &p->part[i];
		bool hub = strcasecmp(part->type, hub_kinds[0].type) == 0;

		if (part->state == PART_DONE)
			all += arm_lasts(s, !hub          ? WORK_OTHER
					    : part->fresh ? WORK_CREATE
							  : WORK_UPDATE);
	}
	return all ? all : arm_lasts(s, WORK_OTHER);
}

/* They are what they become when the deployment is over. */
static void
hubs_of(struct sim *s, const struct plan *p, int64_t over)
{
	for (int i = 0; i < p->count; i++)
		if (p->part[i].state == PART_DONE &&
		    strcasecmp(p->part[i].type, hub_kinds[0].type) == 0)
			hub_deployed(
			    s, p->part[i].name, p->part[i].fresh, over);
}

void
history_keep(
    const struct asked *t, struct plan *p, jv body, const char *operation)
{
	sqlite3_stmt *q = sim_sql(t->s,
	    "INSERT OR REPLACE INTO deployment (grp, key, name, started, over,"
	    " state, operation, body, template, operations)"
	    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
	int64_t now = sim_now(t->s), over = now + lasts_in_all(t->s, p);

	hubs_of(t->s, p, over);
	history_bind(q, t);
	sim_bind(q, 3, t->name);
	(void)sqlite3_bind_int64(q, 4, now);
	(void)sqlite3_bind_int64(q, 5, over);
	sim_bind(q, 6, plan_failed(p) ? "Failed" : "Succeeded");
	sim_bind(q, 7, operation);
	arm_bind(q, 8, body);
	arm_bind(q, 9, jv_copy(p->template));
	arm_bind(q, 10, operations_of(t, p));
	(void)sim_step(t->s, q);
}

void
history_header(const struct asked *t, const char *operation)
{
	sim_head(t->r, "Azure-AsyncOperation",
	    "https://%s/subscriptions/" SIM_SUBSCRIPTION
	    "/resourcegroups/%s/providers/Microsoft.Resources/deployments/%s/"
	    "operationStatuses/%s?api-version=%s",
	    sim_authority(t->q), t->group, t->name, operation,
	    t->api ? t->api : "");
	arm_retry_long(t->s, t->r);
}

void
history_none(const struct asked *t)
{
	sim_error(t->r, 404, "DeploymentNotFound",
	    "Deployment '%s' could not be found.", t->name);
}
