/*
 * jobs.c: the calls about import and export jobs, by the hub's own door and by
 * that of Resource Manager (CONTRACT 16.1, 16.2, 7).
 */
#include "job.h"

#include <stdlib.h>
#include <strings.h>

#define JOB_QUOTA 403, 403003, "JobQuotaExceeded"
#define NO_JOB 404, 404002, "JobNotFound"
#define BAD_CONTAINER 400, 400008, "BlobContainerValidationError"
#define INTERNAL 500, 500001, "ServerError"

enum { LONG_FINISHED = 600 * 1000 };

/* -- what is asked for ---------------------------------------------------- */

static int
wrong(struct refusal *f, struct span name)
{
	return refuse(f, ARGUMENT_INVALID, "The value of '%.*s' is not valid",
	    name.len > 60 ? 60 : (int)name.len, name.at);
}

static int
take_text(struct span name, struct span value, char **into, struct refusal *f)
{
	free(*into);
	*into = NULL;
	if (json_kind_of(value) == JSON_NULL)
		return 0;
	*into = json_string(value);
	if (*into && !**into) {
		free(*into);
		*into = NULL;
		return 0;
	}
	return *into ? 0 : wrong(f, name);
}

static int
take_flag(struct span name, struct span value, bool *into, struct refusal *f)
{
	*into = json_kind_of(value) == JSON_TRUE;
	return *into || json_kind_of(value) == JSON_FALSE ||
		       json_kind_of(value) == JSON_NULL
		   ? 0
		   : wrong(f, name);
}

static int
take_word(struct span name, struct span value, const char *no, const char *yes,
    bool *into, struct refusal *f)
{
	char text[32];

	if (copy_string(value, text, sizeof text))
		return wrong(f, name);
	*into = strcasecmp(text, yes) == 0;
	return *into || !*text || strcasecmp(text, no) == 0 ? 0
							    : wrong(f, name);
}

static int
take_member(struct each *m, struct job *job, bool *typed, struct refusal *f)
{
	struct span name = m->name, value = m->value;

	if (name_is(name, "type")) {
		*typed = json_kind_of(value) == JSON_STRING;
		return take_word(
		    name, value, "export", "import", &job->import, f);
	}
	if (name_is(name, "outputBlobContainerUri") ||
	    name_is(name, "exportBlobContainerUri"))
		return take_text(name, value, &job->output, f);
	if (name_is(name, "inputBlobContainerUri"))
		return take_text(name, value, &job->input, f);
	if (name_is(name, "outputBlobName") || name_is(name, "exportBlobName"))
		return take_text(name, value, &job->out_name, f);
	if (name_is(name, "inputBlobName"))
		return take_text(name, value, &job->in_name, f);
	if (name_is(name, "configurationsBlobName"))
		return take_text(name, value, &job->config_name, f);
	if (name_is(name, "excludeKeysInExport") ||
	    name_is(name, "excludeKeys"))
		return take_flag(name, value, &job->exclude_keys, f);
	if (name_is(name, "includeConfigurations"))
		return take_flag(name, value, &job->configurations, f);
	if (name_is(name, "storageAuthenticationType") ||
	    name_is(name, "authenticationType"))
		return take_word(name, value, "keyBased", "identityBased",
		    &job->by_identity, f);
	if (name_is(name, "identity") && json_kind_of(value) == JSON_OBJECT) {
		struct span id = object_get(value, "userAssignedIdentity");

		return id.at ? take_text(name, id, &job->identity, f) : 0;
	}
	return 0;
}

/* typed: the door has said which it is. */
static int
take_request(struct visit *v, struct job *job, bool typed, struct refusal *f)
{
	struct json body = { .count = 0 };
	struct each m;
	bool import = job->import, named = typed;
	int result = -1;

	if (visit_body(v, &body, f))
		goto out;
	if (body.kind != JSON_OBJECT) {
		(void)refuse(f, NOT_PARSED, "An object was expected");
		goto out;
	}
	for (each_begin(&m, body.text); each_next(&m);)
		if (take_member(&m, job, &named, f))
			goto out;
	if (typed)
		job->import = import;
	if (!named)
		(void)refuse(f, ARGUMENT_INVALID,
		    "The type of the job must be export or import");
	else if (job->import && !job->input)
		(void)refuse(f, ARGUMENT_INVALID,
		    "inputBlobContainerUri is required for an import");
	else if (!job->output)
		(void)refuse(f, ARGUMENT_INVALID, "%s is required",
		    typed && !job->import ? "exportBlobContainerUri"
					  : "outputBlobContainerUri");
	else
		result = 0;
	if (!job->import) {
		free(job->input);
		job->input = NULL;
	}
out:
	json_free(&body);
	return result;
}

/* The object id of who writes for the hub; NULL: it has no such identity. */
static char *
principal_of(struct sim *s, const char *hub, const char *user_assigned)
{
	char *key = arm_find_global(s, "Microsoft.Devices/IotHubs", hub),
	     *result = NULL;
	jv identity, list;

	if (!key)
		return NULL;
	identity = jv_object_get(arm_load(s, key), jv_string("identity"));
	free(key);
	if (jv_get_kind(identity) == JV_KIND_OBJECT && !user_assigned) {
		result = arm_text(identity, "principalId");
	} else if (jv_get_kind(identity) == JV_KIND_OBJECT) {
		list = arm_member(identity, "userAssignedIdentities");
		if (jv_get_kind(list) == JV_KIND_OBJECT)
			jv_object_foreach(list, id, one) {
				if (!result &&
				    strcasecmp(jv_string_value(id),
					user_assigned) == 0 &&
				    jv_get_kind(one) == JV_KIND_OBJECT)
					result = arm_text(one, "principalId");
				jv_free(id);
				jv_free(one);
			}
		jv_free(list);
	}
	jv_free(identity);
	return result;
}

static int
check_storage(struct visit *v, struct job *job, struct refusal *f)
{
	char why[512];
	const char *refused = NULL;

	if (job->by_identity) {
		job->principal = principal_of(v->s, v->hub.name, job->identity);
		if (!job->principal)
			return refuse(f, BAD_CONTAINER,
			    "IotHub %s has no managed identity to access the "
			    "storage account with",
			    v->hub.name);
	}
	if (job->import)
		refused = carry_refused(v->s, job, false, "r", why);
	if (!refused)
		refused = carry_refused(v->s, job, true, "rwd", why);
	return refused ? refuse(f, BAD_CONTAINER, "%s", refused) : 0;
}

static int
make_job(struct visit *v, struct job *job, bool typed, struct refusal *f)
{
	char what[200], time[32], active[37];

	if (take_request(v, job, typed, f))
		return -1;
	/* The text has more than one line: CONTRACT 11.3. */
	sim_iso_time(v->now, time);
	if (job_active(v->s, v->hub.name, active))
		return refuse(f, JOB_QUOTA,
		    "Error: 403 ErrorCode: JobQuotaExceeded\n"
		    "Message: Job quota has been exceeded\n"
		    "Timestamp: %s\nTracking ID: ",
		    time);
	if (check_storage(v, job, f))
		return -1;
	(void)snprintf(what, sizeof what, "job/%s/%lld/%d", v->hub.name,
	    (long long)v->now, sqlite3_total_changes(v->s->db));
	sim_guid(v->s, what, job->id);
	(void)snprintf(job->hub, sizeof job->hub, "%s", v->hub.name);
	job->created = v->now;
	job_forget_old(v->s);
	job_insert(v->s, job);
	job->held = job_is_held(v->s, v->hub.name);
	if (job->held)
		job_save(v->s, job);
	sim_wake(v->s);
	return 0;
}

/* -- the hub's own door --------------------------------------------------- */

static void
reply_job(struct visit *v, struct job *job)
{
	struct buf body = BUF_INIT;

	job_text(v->s, job, &body);
	reply_text(v, 200, &body);
	buf_free(&body);
}

static int
create(struct visit *v, struct refusal *f)
{
	struct job job = { .size = -1 };
	int result;

	if (visit_allowed(v, "RegistryWrite", f))
		return -1;
	result = make_job(v, &job, false, f);
	if (!result)
		reply_job(v, &job);
	job_free(&job);
	return result;
}

/* The jobs of a hub, the latest first, by their ids: to show one may write. */
static char **
list_ids(struct sim *s, const char *hub, size_t *count)
{
	sqlite3_stmt *q = sim_sql(
	    s, "SELECT id FROM job WHERE hub = ? ORDER BY created DESC, id");
	char **ids = NULL;

	*count = 0;
	sim_bind(q, 1, hub);
	while (sim_step(s, q) == SQLITE_ROW) {
		ids = xrealloc(ids, (*count + 1) * sizeof *ids);
		ids[(*count)++] = span_dup(sim_column(q, 0));
	}
	return ids;
}

static int
list(struct visit *v, struct refusal *f)
{
	struct buf body = BUF_INIT;
	size_t count;
	char **ids;

	if (visit_allowed(v, "RegistryRead", f))
		return -1;
	job_forget_old(v->s);
	ids = list_ids(v->s, v->hub.name, &count);
	buf_char(&body, '[');
	for (size_t i = 0; i < count; i++) {
		struct job job;

		if (i)
			buf_char(&body, ',');
		if (job_load(v->s, v->hub.name, ids[i], &job)) {
			job_text(v->s, &job, &body);
			job_free(&job);
		}
		free(ids[i]);
	}
	free(ids);
	buf_char(&body, ']');
	reply_text(v, 200, &body);
	buf_free(&body);
	return 0;
}

static int
missing(struct refusal *f, const char *id)
{
	return refuse(f, NO_JOB, "Job with id '%.80s' was not found", id);
}

static int
get(struct visit *v, const char *id, struct refusal *f)
{
	struct job job;

	if (visit_allowed(v, "RegistryRead", f))
		return -1;
	if (!job_load(v->s, v->hub.name, id, &job))
		return missing(f, id);
	reply_job(v, &job);
	job_free(&job);
	return 0;
}

/* What the service makes of one that it does not know (any more). */
static int
cancel(struct visit *v, const char *id, struct refusal *f)
{
	struct job job;
	bool known;

	if (visit_allowed(v, "RegistryWrite", f))
		return -1;
	known = job_load(v->s, v->hub.name, id, &job);
	if (known && job.status > JOB_RUNNING &&
	    v->now - job.ended > LONG_FINISHED) {
		job_free(&job);
		known = false;
	}
	if (!known)
		return sim_doubt_is("cancel-unknown-job", "500")
			   ? refuse(f, INTERNAL,
				 "An internal error occurred while "
				 "cancelling the job")
			   : missing(f, id);
	if (job.status <= JOB_RUNNING) {
		job_end(v->s, &job, JOB_CANCELLED, NULL);
		sim_wake(v->s);
	}
	job_free(&job);
	v->r->status = 204;
	return 0;
}

void
jobs_handle(struct visit *v)
{
	char *word = sim_segment(v->q, 1);
	const char *method = v->q->method;
	struct refusal f;
	int result;

	if (word && strcmp(word, "v2") == 0) {
		scheduled_handle(v);
		result = 0;
	} else if (!word) {
		result = strcmp(method, "GET") == 0 ? list(v, &f)
						    : visit_no_method(v, &f);
	} else if (strcmp(word, "create") == 0 && strcmp(method, "POST") == 0) {
		result = create(v, &f);
	} else if (strcmp(method, "GET") == 0) {
		result = get(v, word, &f);
	} else if (strcmp(method, "DELETE") == 0) {
		result = cancel(v, word, &f);
	} else {
		result = visit_no_method(v, &f);
	}
	if (result)
		reply_refusal(v, &f);
	free(word);
}

/* -- Resource Manager's --------------------------------------------------- */

static jv
arm_jobs(struct sim *s, const char *hub)
{
	jv all = jv_array();
	size_t count;
	char **ids = list_ids(s, hub, &count);

	for (size_t i = 0; i < count; i++) {
		struct job job;

		if (job_load(s, hub, ids[i], &job)) {
			all = jv_array_append(all, job_response(s, &job));
			job_free(&job);
		}
		free(ids[i]);
	}
	free(ids);
	return jv_put(jv_object(), "value", all);
}

void
jobs_arm(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const struct arm_id *id, const char *what, const char *second)
{
	struct visit v = { .s = s, .q = q, .r = r, .now = sim_now(s) };
	struct job job = { .size = -1 };
	struct refusal f;
	jv answer;

	if (!sim_hub_find(s, id->name[0], &v.hub)) {
		answer = hub_fail(
		    s, 404, 404001, "IotHub %s not found", id->name[0]);
	} else if (strcasecmp(what, "jobs") == 0 && !second) {
		answer = arm_jobs(s, v.hub.name);
	} else if (strcasecmp(what, "jobs") == 0) {
		answer = job_load(s, v.hub.name, second, &job)
			     ? job_response(s, &job)
			     : hub_fail(s, 404, 404002,
				   "Job with id '%s' was not found.", second);
	} else {
		job.import = strcasecmp(what, "importDevices") == 0;
		answer = make_job(&v, &job, true, &f)
			     ? hub_fail(s, f.status, f.number, "%s", f.text)
			     : job_response(s, &job);
	}
	job_free(&job);
	arm_answer_or(r, 200, answer);
}
