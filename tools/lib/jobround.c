/* jobround.c: one job of the hub, from its begin to its end; see job.h. */
#include "jobroom.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "interrupt.h"
#include "joblog.h"
#include "monotonic.h"
#include "progress.h"

enum {
	SIGNED_SECONDS = 7 * 86400, /* a million take 4 h, the slot as long */
	CANCEL_TRIES = 6,
	YOUNG_SECONDS = 10,
	RIGHTS_SECONDS = 45, /* until a new role counts: CONTRACT 16.2 */
};

/* Sleeps until then or until interrupted. */
static void
pause_for(struct job *j, double seconds)
{
	while (seconds > 0 && !interrupt_seen()) {
		double slice = seconds < 0.2 ? seconds : 0.2;

		http_sleep(hub_http(j->hub), slice);
		seconds -= slice;
	}
}

/* The body of POST /jobs/create (CONTRACT 16.1). */
static int
job_body(struct job *j, const struct job_spec *s, struct buf *b, struct err *e)
{
	/* An export without d was refused (CONTRACT 16.2). */
	char *url = storage_job_url(
	    j->storage, j->container, "racwdl", SIGNED_SECONDS, e);

	if (!url)
		return -1;
	buf_char(b, '{');
	job_add(b, "type", job_kinds[j->kind]);
	if (j->kind == JOB_IMPORT) {
		job_add(b, "inputBlobContainerUri", url);
		job_add(b, "inputBlobName", s->input);
	} else {
		buf_printf(b, ",\"excludeKeysInExport\":%s",
		    s->exclude_keys ? "true" : "false");
	}
	job_add(b, "outputBlobContainerUri", url);
	if (s->output)
		job_add(b, "outputBlobName", s->output);
	if (s->configurations) {
		buf_text(b, ",\"includeConfigurations\":true");
		job_add(b, "configurationsBlobName", s->configurations);
	}
	job_add(b, "storageAuthenticationType",
	    storage_by_identity(j->storage) ? "identityBased" : "keyBased");
	if (j->identity) {
		buf_text(b, ",\"identity\":{\"userAssignedIdentity\":");
		buf_json(b, j->identity, strlen(j->identity));
		buf_char(b, '}');
	}
	buf_char(b, '}');
	free(url);
	return 0;
}

static void
add_remedy(const struct job *j, struct err *e)
{
	size_t n = strlen(e->text);

	(void)snprintf(e->text + n, sizeof e->text - n,
	    storage_by_identity(j->storage)
		? " (the hub needs a managed identity with the role 'Storage "
		  "Blob Data Contributor' on '%s')"
		: " (what signs for '%s' must permit to read, write, delete "
		  "and list, and outlast the job)",
	    storage_account(j->storage));
}

/* A tenth of what has passed so far: soon noticed, and few calls. */
static double
honest_wait(double since, double least, double most)
{
	double wait = (monotonic() - since) / 10;

	return wait < least ? least : wait > most ? most : wait;
}

/* 1: it is there; 0: not yet; -1. */
static int
create(struct job *j, const struct job_spec *spec, char code[64], bool *doubt,
    struct err *e)
{
	struct http_request r =
	    hub_request(j->hub, "POST", NULL, "/jobs/create");
	struct http_reply reply = { 0 };
	char *id;
	int rc;

	if (job_body(j, spec, &r.body, e) != 0) {
		free(r.url);
		buf_wipe(&r.body);
		return -1;
	}
	r.expect_json = true;
	r.audit = "createJob";
	r.audit_id = xstrdup(job_kinds[j->kind]);
	http_one(hub_http(j->hub), &r, &reply);
	*doubt = reply.ambiguous;
	rc = hub_check(j->hub, &reply, hub_name(j->hub), code, e);
	if (rc == 0) {
		id = job_text(buf_peek(&reply.body), "jobId");
		job_take(j, buf_peek(&reply.body), NULL);
		rc = 1;
		if (id && strlen(id) < sizeof j->id)
			(void)snprintf(j->id, sizeof j->id, "%s", id);
		else
			rc = err_set(e, REMOTE_RETRY, hub_name(j->hub),
			    "began a job without saying which");
		free(id);
	}
	http_reply_free(&reply);
	return rc;
}

/* Until the job is there. */
static int
create_patiently(
    struct job *j, const struct job_spec *spec, char code[64], struct err *e)
{
	double since = monotonic();
	bool doubt = false, said = false, rights = false;
	char *other;
	int rc, lost = 0;

	for (;;) {
		other = NULL;
		rc = create(j, spec, code, &doubt, e);
		if (rc == 1)
			return 0;
		j->doubtful |= doubt;
		if ((doubt || !strcmp(code, "JobQuotaExceeded")) &&
		    job_find(j, &other)) {
			free(other);
			return 0;
		}
		if (doubt && ++lost < 5) {
			free(other);
			pause_for(j, 1);
		} else if (!doubt && !strcmp(code, "JobQuotaExceeded")) {
			if (!said)
				note("'%s': waits until another job is over "
				     "(%s): a hub has one import or export at "
				     "a time",
				    hub_name(j->hub),
				    other ? other : "which, it does not say");
			said = true;
			free(other);
			job_beat(j);
			pause_for(j, honest_wait(since, 0.5, 30));
		} else if (!strcmp(code, "BlobContainerValidationError") &&
			   storage_by_identity(j->storage) &&
			   strstr(e->text, "Unauthorized") &&
			   monotonic() - since < RIGHTS_SECONDS) {
			if (!rights)
				note("'%s': a role that was just given counts "
				     "after half a minute: trying for %d s",
				    storage_account(j->storage),
				    RIGHTS_SECONDS);
			rights = true;
			pause_for(j, 3);
		} else {
			if (!strcmp(code, "BlobContainerValidationError"))
				add_remedy(j, e);
			free(other);
			return -1;
		}
		if (interrupt_seen())
			return job_interrupt(j, e);
	}
}

int
job_begin(struct job *j, long round, const struct job_spec *spec, char code[64],
    struct err *e)
{
	code[0] = '\0';
	if (j->round == round && *j->id)
		return 0;
	if (spec->configurations && j->kind == JOB_IMPORT &&
	    blob_remove(j->storage, j->container, JOBLOG_CONFIGURATIONS, e) !=
		0)
		return -1;
	/* Who dies between the two notes is found by what the hub lists. */
	j->doubtful |= j->round == round;
	if (!(j->round == round && job_find(j, NULL))) {
		j->round = round;
		j->id[0] = '\0';
		j->begun = (long)time(NULL);
		j->state = JOB_NONE;
		if (jobnote_put(j, NULL, e) != 0 ||
		    create_patiently(j, spec, code, e) != 0)
			return -1;
	}
	trace("job %s", j->id);
	return jobnote_put(j, NULL, e);
}

/* Why a job is over that is not completed. */
static int
say_end(struct job *j, struct err *e)
{
	bool rights = strstr(j->reason, "Unauthorized") != NULL ||
		      strstr(j->reason, "AuthenticationFailed") != NULL;

	if (j->state == JOB_CANCELLED)
		return err_set(e, REMOTE_RETRY, hub_name(j->hub),
		    "its %s job %s was cancelled by somebody else",
		    job_kinds[j->kind], j->id);
	err_set(e, REMOTE_REFUSED, hub_name(j->hub), "its %s job %s failed: %s",
	    job_kinds[j->kind], j->id,
	    *j->reason ? j->reason : "it does not say why");
	if (rights)
		add_remedy(j, e);
	return -1;
}

int
job_wait(struct job *j, const char *what, long total, struct err *e)
{
	double since = monotonic();
	long shown = 0;
	int rc = 0;

	progress_begin(
	    total > 0 ? what : "per cent of the job", total > 0 ? total : 100);
	while (rc == 0) {
		long now;

		rc = job_look(j, NULL, e);
		/* It may not be seen at once. */
		if (rc != 0 && *j->id && monotonic() - since < YOUNG_SECONDS &&
		    strstr(e->text, "does not know")) {
			rc = 0;
			j->state = JOB_RUNNING;
		}
		if (rc != 0)
			break;
		now = (long)(j->progress * (total > 0 ? total : 100) / 100);
		if (now > shown)
			progress_add(now - shown);
		shown = now > shown ? now : shown;
		if (j->state != JOB_RUNNING)
			break;
		job_beat(j);
		/* hub-sim's are soon over; this costs the service ten looks. */
		pause_for(j, honest_wait(since,
				 monotonic() - since < 0.5 ? 0.05 : 0.25, 30));
		if (interrupt_seen())
			rc = job_interrupt(j, e);
	}
	progress_end();
	if (rc == 0 && j->state != JOB_COMPLETED)
		rc = say_end(j, e);
	return rc;
}

int
job_cancel(struct job *j, struct err *e)
{
	for (int i = 0;; i++) {
		struct http_request r =
		    hub_request(j->hub, "DELETE", NULL, "/jobs/%s", j->id);
		struct http_reply reply = { 0 };
		struct err ignored;
		char code[64];
		int rc;

		r.audit = "cancelJob";
		r.audit_id = xstrdup(j->id);
		/* One that is over can answer 500 (CONTRACT 16.1). */
		r.no_retry = true;
		http_one(hub_http(j->hub), &r, &reply);
		rc = hub_check(j->hub, &reply, hub_name(j->hub), code, e);
		http_reply_free(&reply);
		if (job_look(j, NULL, &ignored) == 0 && j->state != JOB_RUNNING)
			return 0;
		if (i == CANCEL_TRIES)
			return rc == 0
				   ? err_set(e, REMOTE_RETRY, hub_name(j->hub),
					 "job %s does not end", j->id)
				   : rc;
		http_sleep(hub_http(j->hub), 0.2 * (i + 1));
	}
}
