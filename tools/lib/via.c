/* via.c: REST or a job; see via.h. */
#include "via.h"

#include <string.h>

enum {
	WORTH_SECONDS = 900, /* calls that take less are no trouble */
	START_SECONDS = 30,  /* a small export took 3 s; container, polls */
};

static const char *via_option = "auto";

const struct opt via_opts[] = {
	OPT_CHOICE(0, "via", "rest|job|auto", &via_option,
	    "by calls, by a job of the hub through blobs, or what is faster "
	    "(default)"),
	OPT_GROUP(job_opts),
	OPT_END,
};

bool
via_is_told(void)
{
	return strcmp(via_option, "auto") != 0;
}

bool
via_told_job(void)
{
	return strcmp(via_option, "job") == 0;
}

/* A million take about four hours, half of them two (CONTRACT 16.1). */
double
via_job_seconds(long lines)
{
	return START_SECONDS + (double)(lines > 0 ? lines : 0) * 4 * 3600 / 1e6;
}

bool
via_may_choose_job(struct quota *q, const struct quota_cost *rest)
{
	return via_told_job() || (!via_is_told() && storage_configured() &&
				     quota_seconds(q, rest) > WORTH_SECONDS);
}

/* "bulk: about 6.9 days at S1 x1; job: about 4 h, about 12 min of it for calls
 * beside it". */
static void
arithmetic(struct quota *q, const struct via_work *work, double rest,
    double job, struct buf *text)
{
	double beside = quota_seconds(q, &work->beside);

	buf_printf(text, "%s: ", work->rest);
	quota_duration(rest, text);
	buf_text(text, " at ");
	quota_text(q, text);
	buf_text(text, "; job: ");
	quota_duration(job, text);
	if (beside < 60)
		return;
	buf_text(text, ", ");
	quota_duration(beside, text);
	buf_text(text, " of it for calls beside it");
}

enum via
via_choose(struct quota *q, const char *hub, const struct via_work *work)
{
	double rest = quota_seconds(q, &work->cost),
	       job = via_job_seconds(work->lines) +
		     (work->jobs > 1 ? work->jobs - 1 : 0) * START_SECONDS +
		     quota_seconds(q, &work->beside);
	bool worth = rest > WORTH_SECONDS && rest > 2 * job;
	const char *why, *since = "";
	enum via via = VIA_REST;
	struct buf text = BUF_INIT;

	if (!via_is_told() || via_told_job()) {
		if (via_told_job() && work->never)
			usage("--via=job: %s", work->never);
		if (via_told_job() && !storage_configured())
			usage("--via=job needs a storage account: set "
			      "STORAGE_ACCT_CONN_STRING, or name it with "
			      "--storage");
	}
	if (strcmp(via_option, "rest") == 0) {
		return VIA_REST;
	} else if (via_told_job()) {
		via = VIA_JOB;
		why = "as --via says";
	} else if (work->lines < 0) {
		why = "since nobody knows how large the registry is";
	} else if (!worth) {
		why = rest > WORTH_SECONDS
			  ? "since a job is not twice as fast"
			  : "since they take no quarter of an hour";
	} else if (work->never) {
		since = "since ";
		why = work->never;
	} else if (!storage_configured()) {
		why = "since no storage account is configured "
		      "(STORAGE_ACCT_CONN_STRING, or --storage)";
	} else {
		via = VIA_JOB;
		why = "since that is faster";
	}
	arithmetic(q, work, rest, job, &text);
	/* Nobody waits for what takes a minute. */
	if (via == VIA_JOB || worth)
		note("'%s': %s: by %s, %s%s", hub, text.at,
		    via == VIA_JOB ? "job" : "calls", since, why);
	else
		trace("'%s': %s: by calls, %s", hub, text.at, why);
	buf_free(&text);
	return via;
}
