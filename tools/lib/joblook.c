/* joblook.c: what a hub says of its jobs (CONTRACT 16.1); see jobroom.h. */
#include "jobroom.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "arm.h"
#include "json.h"

void
job_add(struct buf *b, const char *name, const char *text)
{
	buf_printf(b, "%s\"%s\":", b->len > 1 ? "," : "", name);
	buf_json(b, text, strlen(text));
}

char *
job_text(struct span object, const char *name)
{
	const char *const path[] = { name, NULL };
	struct span value;

	return json_get(object, path, &value, NULL) == 1 ? json_string(value)
							 : NULL;
}

long
job_number(struct span object, const char *name)
{
	const char *const path[] = { name, NULL };
	struct span value;
	char *text;
	long n = 0;

	if (json_get(object, path, &value, NULL) == 1) {
		text = span_dup(value);
		n = strtol(text, NULL, 10);
		free(text);
	}
	return n;
}

static enum job_state
state_of(const char *status)
{
	if (!status)
		return JOB_NONE;
	if (!strcasecmp(status, "completed"))
		return JOB_COMPLETED;
	if (!strcasecmp(status, "failed"))
		return JOB_FAILED;
	if (!strcasecmp(status, "cancelled"))
		return JOB_CANCELLED;
	return JOB_RUNNING; /* enqueued, queued, scheduled, running */
}

/* Seconds since 1970; 0. */
static long
utc_of(const char *text)
{
	struct tm tm = { 0 };

	return text && strptime(text, "%Y-%m-%dT%H:%M:%S", &tm)
		   ? (long)timegm(&tm)
		   : 0;
}

void
job_take(struct job *j, struct span body, long *ended)
{
	char *status = job_text(body, "status"),
	     *reason = job_text(body, "failureReason"),
	     *end = job_text(body, "endTimeUtc"), *masked;

	j->state = state_of(status);
	j->progress = (double)job_number(body, "progress");
	j->reason[0] = '\0';
	if (reason) {
		masked = arm_masked(reason);
		(void)snprintf(j->reason, sizeof j->reason, "%.*s",
		    (int)strcspn(masked, "\r\n"), masked);
		free(masked);
	}
	if (ended)
		*ended = utc_of(end);
	free(status);
	free(reason);
	free(end);
}

/* One poll.  A hub that does not know the job any more has lost it. */
int
job_look(struct job *j, long *ended, struct err *e)
{
	struct buf body = BUF_INIT;
	char code[64];
	int rc = hub_get(j->hub, &body, code, e, NULL, "/jobs/%s", j->id);

	if (rc == 0)
		job_take(j, buf_peek(&body), ended);
	else if (e->status == ANSWER_NO && !strcmp(code, "JobNotFound"))
		rc = err_set(e, REMOTE_RETRY, hub_name(j->hub),
		    "does not know its %s job %s any more", job_kinds[j->kind],
		    j->id);
	buf_free(&body);
	return rc;
}

/* Is the job of a list the one that we began, and whose id nobody kept?  The
 * name of a blob is ours alone; a container may have had the round before. */
static bool
is_ours(const struct job *j, struct span one)
{
	char *type = job_text(one, "type"),
	     *blob = job_text(one,
		 j->kind == JOB_IMPORT ? "inputBlobName" : "outputBlobName"),
	     *uri = job_text(one, "outputBlobContainerUri"), *own;
	bool ours = type && strcasecmp(type, job_kinds[j->kind]) == 0;

	own = j->kind == JOB_IMPORT ? xasprintf("-%ld-%s.", j->round, j->run)
				    : xasprintf("-%s.", j->run);
	if (blob)
		ours = ours && strstr(blob, own);
	else
		ours = ours && j->round == 0 && uri && strstr(uri, j->run);
	free(type);
	free(blob);
	free(uri);
	free(own);
	return ours;
}

/* Looks through the jobs: for ours (its id is taken), and for the one that has
 * the slot (*other, malloc'd words, or NULL). */
bool
job_find(struct job *j, char **other)
{
	struct buf body = BUF_INIT;
	struct json list = { 0 };
	struct json_fault fault;
	struct err e;
	bool found = false;

	if (other)
		*other = NULL;
	if (hub_get(j->hub, &body, NULL, &e, NULL, "/jobs") != 0 ||
	    json_scan(buf_peek(&body), &list, &fault) != 0 ||
	    list.kind != JSON_ARRAY)
		goto out;
	for (size_t i = 0; i < list.count && !found; i++) {
		struct span one = list.member[i].value;
		char *id = job_text(one, "jobId"),
		     *status = job_text(one, "status"),
		     *type = job_text(one, "type");

		if (id && is_ours(j, one)) {
			found = true;
			(void)snprintf(j->id, sizeof j->id, "%s", id);
			job_take(j, one, NULL);
		} else if (other && !*other && id &&
			   state_of(status) == JOB_RUNNING && type &&
			   (!strcasecmp(type, "export") ||
			       !strcasecmp(type, "import"))) {
			*other = xasprintf("%s job %s, %ld %%", type, id,
			    job_number(one, "progress"));
		}
		free(id);
		free(status);
		free(type);
	}
out:
	json_free(&list);
	buf_free(&body);
	return found;
}
