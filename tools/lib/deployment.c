/* deployment.c: one deployment of a template; see deployment.h. */
#include "deployment.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "doc.h"
#include "progress.h"

enum { TRIES = 6 };

static jv
request(
    const struct deployment *d, const char *method, jv body, const char *action)
{
	return arm_request(method, ARM_API_DEPLOYMENTS, body,
	    "%s/providers/Microsoft.Resources/deployments/%s%s", d->group,
	    d->name, action);
}

static jv
body_of(const struct deployment *d)
{
	jv p = jv_put(jv_object(), "mode", jv_string("Incremental"));

	p = jv_put(p, "template", jv_copy(d->template));
	p = jv_put(p, "parameters", jv_copy(d->values));
	return jv_put(jv_object(), "properties", p);
}

static jv
look(const struct deployment *d)
{
	return arm_look(d->arm, request(d, "GET", jv_null(), ""));
}

static jv
state_of(jv body)
{
	return jv_path(body, "properties.provisioningState");
}

static bool
has_ended(jv body)
{
	jv state = state_of(body);
	bool ended = jv_string_is_nocase(jv_copy(state), "Succeeded") ||
		     jv_string_is_nocase(jv_copy(state), "Failed") ||
		     jv_string_is_nocase(jv_copy(state), "Canceled");

	jv_free(state);
	return ended;
}

bool
deployment_runs(const struct deployment *d)
{
	jv now = jv_or_die(look(d));
	bool runs = jv_get_kind(now) == JV_KIND_OBJECT;

	return has_ended(now) ? false : runs;
}

jv
deployment_what_if(const struct deployment *d)
{
	jv body = jv_setpath(body_of(d),
	    JV_ARRAY(jv_string("properties"), jv_string("whatIfSettings"),
		jv_string("resultFormat")),
	    jv_string("FullResourcePayloads"));
	jv answer = arm_call(d->arm,
	    jv_put(request(d, "POST", body, "/whatIf"), "repeat", jv_true()));
	jv changes;

	if (!jv_is_valid(answer))
		return answer;
	/* A long-running answer holds it one level deeper. */
	changes = jv_path(jv_copy(answer), "properties.changes");
	if (jv_get_kind(changes) != JV_KIND_ARRAY) {
		jv_free(changes);
		changes = jv_at(jv_copy(answer), "changes");
	}
	jv_free(answer);
	if (jv_get_kind(changes) == JV_KIND_ARRAY)
		return changes;
	jv_free(changes);
	return jv_fail(REMOTE_RETRY, d->subject, "what-if gave no changes");
}

/* The run that a deployment record is of. */
static jv
run_of(const struct deployment *d)
{
	jv body = jv_or_die(look(d)), run = jv_null();

	if (jv_get_kind(body) == JV_KIND_OBJECT)
		run =
		    JV_ARRAY(jv_path(jv_copy(body), "properties.correlationId"),
			jv_path(jv_copy(body), "properties.timestamp"));
	jv_free(body);
	return run;
}

/* Sends it once.  1: it runs; 0: it was not taken, try again; dies when it is
 * refused.  Without an answer only the deployment itself can tell. */
static int
send_once(const struct deployment *d)
{
	jv before = run_of(d), answer, error, now;
	enum status said;
	int status, same;

	answer = arm_answer(d->arm,
	    jv_put(request(d, "PUT", body_of(d), ""), "repeat", jv_false()));
	status = jv_is_valid(answer)
		     ? (int)jv_number_value(jv_at(jv_copy(answer), "status"))
		     : 0;
	if (status == 200 || status == 201 || status == 202) {
		jv_free(before);
		jv_free(answer);
		return 1;
	}
	error = jv_is_valid(answer) ? arm_error(jv_at(answer, "body"))
				    : jv_object();
	if (status == 0) {
		struct err e;

		(void)err_from_jv(&e, answer);
		if (e.status != REMOTE_RETRY)
			die_err(&e);
		trace("no answer: %s; looking whether it runs", e.text);
	}
	said = arm_status(status, jv_copy(error));
	if (said != REMOTE_RETRY)
		die(said, d->subject, "%s", arm_error_text(error));
	jv_free(error);
	now = run_of(d);
	same = jv_equal(before, jv_copy(now));
	/* DeploymentActive: somebody runs the very same. */
	if (jv_get_kind(now) != JV_KIND_NULL && (!same || status == 409)) {
		jv_free(now);
		return 1;
	}
	jv_free(now);
	return 0;
}

void
deployment_start(const struct deployment *d)
{
	double wait = 0.5;

	jv_free(jv_or_die(
	    arm_call(d->arm, jv_put(request(d, "POST", body_of(d), "/validate"),
				 "repeat", jv_true()))));
	for (int i = 0; i < TRIES; i++, wait *= 2) {
		if (send_once(d))
			return;
		http_sleep(arm_http(d->arm), wait);
	}
	die(REMOTE_RETRY, d->subject,
	    "the service does not take the deployment (run this again)");
}

/* One line for each resource that failed; the status they come to. */
static enum status
complain(const struct deployment *d, jv operations, jv ended)
{
	enum status all = REMOTE_RETRY;
	int n = 0;

	jv_array_foreach(operations, i, operation) {
		jv p = jv_at(operation, "properties"), e, code;
		jv target = jv_path(jv_copy(p), "targetResource.resourceName");
		const char *hint = "";
		char *text;

		if (!jv_string_is_nocase(
			jv_at(jv_copy(p), "provisioningState"), "Failed")) {
			jv_free(p);
			jv_free(target);
			continue;
		}
		e = arm_error(jv_at(p, "statusMessage"));
		code = jv_at(jv_copy(e), "code");
		if (jv_string_is(jv_copy(code), "400116"))
			hint = " (key-inject puts keys into endpoints)";
		if (jv_string_is(code, "409002"))
			hint = " (the hub was busy: run this again, or let "
			       "tmpl-rewrite chain what belongs to it)";
		if (arm_status(400, jv_copy(e)) != REMOTE_RETRY)
			all = REMOTE_REFUSED;
		text = arm_error_text(e);
		warn(jv_string_peek(target) ? jv_string_value(target) : "?",
		    "%s%s", text, hint);
		free(text);
		jv_free(target);
		n++;
	}
	jv_free(operations);
	if (n == 0) { /* it failed as a whole */
		jv e = arm_error(jv_path(jv_copy(ended), "properties.error"));
		char *text;

		all = arm_status(400, jv_copy(e));
		text = arm_error_text(e);
		warn(d->subject, "%s", text);
		free(text);
	}
	jv_free(ended);
	return all;
}

static jv
operations(const struct deployment *d)
{
	jv all = arm_list(
	    d->arm, arm_request("GET", ARM_API_DEPLOYMENTS, jv_null(),
			"%s/deployments/%s/operations", d->group, d->name));

	if (jv_is_valid(all))
		return all;
	jv_free(all);
	return jv_array();
}

/* Until it has ended; gives the deployment as it is then, or dies. */
jv
deployment_watch(const struct deployment *d)
{
	jv resources = jv_at(jv_copy(d->template), "resources"), now;
	double wait = 0.1;
	long seen = 0, done;

	progress_begin("resources", jv_array_length(resources));
	for (;;) {
		jv all;

		now = jv_or_die(
		    arm_call(d->arm, request(d, "GET", jv_null(), "")));
		if (has_ended(jv_copy(now)))
			break;
		jv_free(now);
		http_sleep(arm_http(d->arm), wait);
		wait = wait * 1.5 > 10 ? 10 : wait * 1.5;
		all = operations(d);
		done = 0;
		jv_array_foreach(all, i, o) {
			done += jv_string_is_nocase(state_of(o), "Succeeded");
		}
		jv_free(all);
		if (done > seen)
			progress_add(done - seen);
		seen = done > seen ? done : seen;
	}
	progress_end();
	if (!jv_string_is_nocase(state_of(jv_copy(now)), "Succeeded"))
		die(complain(d, operations(d), now), d->subject,
		    "deployment '%s' failed", d->name);
	return now;
}
