/*
 * jobstore.c: import and export jobs as they are kept, and as they are shown
 * (CONTRACT 16.1, 7).
 *
 * With --timing=fast a job may be over before its owner asks for the first
 * time.  It is then shown as running once, so that a client that waits meets
 * all three states as it does at Azure.
 */
#include "job.h"

#include <stdlib.h>

/* WITHOUT ROWID: identity.c counts devices by the last row number given. */
const char jobs_schema[] =
    "CREATE TABLE IF NOT EXISTS job (id TEXT PRIMARY KEY, hub TEXT NOT NULL,"
    " import INTEGER NOT NULL, exclude INTEGER NOT NULL,"
    " configurations INTEGER NOT NULL, by_identity INTEGER NOT NULL,"
    " status INTEGER NOT NULL, seen INTEGER NOT NULL, held INTEGER NOT NULL,"
    " created INTEGER NOT NULL, started INTEGER NOT NULL,"
    " ended INTEGER NOT NULL, progress INTEGER NOT NULL,"
    " phase INTEGER NOT NULL, offset INTEGER NOT NULL,"
    " size INTEGER NOT NULL, line INTEGER NOT NULL, input TEXT, output TEXT,"
    " in_name TEXT, out_name TEXT, config_name TEXT, identity TEXT,"
    " principal TEXT, reason TEXT) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS job_error (job TEXT NOT NULL,"
    " phase INTEGER NOT NULL, line INTEGER NOT NULL, text TEXT NOT NULL,"
    " PRIMARY KEY (job, phase, line)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS scheduled (hub TEXT NOT NULL,"
    " id TEXT NOT NULL, type TEXT NOT NULL, status INTEGER NOT NULL,"
    " created INTEGER NOT NULL, start INTEGER NOT NULL,"
    " ended INTEGER NOT NULL, most INTEGER NOT NULL,"
    " condition TEXT NOT NULL, body TEXT NOT NULL, reason TEXT,"
    " listed INTEGER NOT NULL, PRIMARY KEY (hub, id)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS scheduled_device (hub TEXT NOT NULL,"
    " job TEXT NOT NULL, device TEXT NOT NULL, status INTEGER NOT NULL,"
    " ended INTEGER NOT NULL, error TEXT,"
    " PRIMARY KEY (hub, job, device)) WITHOUT ROWID";

enum { HISTORY_DAYS = 30 };

#define JOB_COLUMNS                                                       \
	"id, hub, import, exclude, configurations, by_identity, status, " \
	"seen, held, created, started, ended, progress, phase, offset, "  \
	"size, line, input, output, in_name, out_name, config_name, "     \
	"identity, principal, reason"

void
job_free(struct job *job)
{
	char *const all[] = { job->input, job->output, job->in_name,
		job->out_name, job->config_name, job->identity, job->principal,
		job->reason };

	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		free(all[i]);
	memset(job, 0, sizeof *job);
}

static void
read_job(sqlite3_stmt *q, struct job *job)
{
	int i = 0;

	memset(job, 0, sizeof *job);
	span_copy(sim_column(q, i++), job->id, sizeof job->id);
	span_copy(sim_column(q, i++), job->hub, sizeof job->hub);
	job->import = sqlite3_column_int(q, i++);
	job->exclude_keys = sqlite3_column_int(q, i++);
	job->configurations = sqlite3_column_int(q, i++);
	job->by_identity = sqlite3_column_int(q, i++);
	job->status = (enum job_status)sqlite3_column_int(q, i++);
	job->seen = sqlite3_column_int(q, i++);
	job->held = sqlite3_column_int(q, i++);
	job->created = sqlite3_column_int64(q, i++);
	job->started = sqlite3_column_int64(q, i++);
	job->ended = sqlite3_column_int64(q, i++);
	job->progress = sqlite3_column_int(q, i++);
	job->phase = (enum job_phase)sqlite3_column_int(q, i++);
	job->offset = sqlite3_column_int64(q, i++);
	job->size = sqlite3_column_int64(q, i++);
	job->line = (long)sqlite3_column_int64(q, i++);
	job->input = sim_text(q, i++);
	job->output = sim_text(q, i++);
	job->in_name = sim_text(q, i++);
	job->out_name = sim_text(q, i++);
	job->config_name = sim_text(q, i++);
	job->identity = sim_text(q, i++);
	job->principal = sim_text(q, i++);
	job->reason = sim_text(q, i++);
}

bool
job_load(struct sim *s, const char *hub, const char *id, struct job *job)
{
	sqlite3_stmt *q = sim_sql(
	    s, "SELECT " JOB_COLUMNS " FROM job WHERE id = ? AND hub = ?");

	sim_bind(q, 1, id);
	sim_bind(q, 2, hub);
	if (sim_step(s, q) != SQLITE_ROW)
		return false;
	read_job(q, job);
	return true;
}

void
job_insert(struct sim *s, const struct job *job)
{
	sqlite3_stmt *q = sim_sql(s,
	    "INSERT INTO job (" JOB_COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, 0, 0, "
	    "0, ?, 0, 0, 0, 0, 0, -1, 0, ?, ?, ?, ?, ?, ?, ?, NULL)");
	int i = 1;

	sim_bind(q, i++, job->id);
	sim_bind(q, i++, job->hub);
	(void)sqlite3_bind_int(q, i++, job->import);
	(void)sqlite3_bind_int(q, i++, job->exclude_keys);
	(void)sqlite3_bind_int(q, i++, job->configurations);
	(void)sqlite3_bind_int(q, i++, job->by_identity);
	(void)sqlite3_bind_int64(q, i++, job->created);
	sim_bind(q, i++, job->input);
	sim_bind(q, i++, job->output);
	sim_bind(q, i++, job->in_name);
	sim_bind(q, i++, job->out_name);
	sim_bind(q, i++, job->config_name);
	sim_bind(q, i++, job->identity);
	sim_bind(q, i++, job->principal);
	(void)sim_step(s, q);
}

void
job_save(struct sim *s, const struct job *job)
{
	sqlite3_stmt *q = sim_sql(s,
	    "UPDATE job SET status = ?, seen = ?, held = ?, started = ?, "
	    "ended = ?, progress = ?, phase = ?, offset = ?, size = ?, "
	    "line = ?, reason = ? WHERE id = ?");
	int i = 1;

	(void)sqlite3_bind_int(q, i++, (int)job->status);
	(void)sqlite3_bind_int(q, i++, job->seen);
	(void)sqlite3_bind_int(q, i++, job->held);
	(void)sqlite3_bind_int64(q, i++, job->started);
	(void)sqlite3_bind_int64(q, i++, job->ended);
	(void)sqlite3_bind_int(q, i++, job->progress);
	(void)sqlite3_bind_int(q, i++, (int)job->phase);
	(void)sqlite3_bind_int64(q, i++, job->offset);
	(void)sqlite3_bind_int64(q, i++, job->size);
	(void)sqlite3_bind_int64(q, i++, job->line);
	sim_bind(q, i++, job->reason);
	sim_bind(q, i++, job->id);
	(void)sim_step(s, q);
}

bool
job_active(struct sim *s, const char *hub, char id[37])
{
	sqlite3_stmt *q =
	    sim_sql(s, "SELECT id FROM job WHERE hub = ? AND status < 2");

	sim_bind(q, 1, hub);
	if (sim_step(s, q) != SQLITE_ROW)
		return false;
	span_copy(sim_column(q, 0), id, 37);
	return true;
}

/* Rows of errors go with it: the logs are written. */
void
job_end(
    struct sim *s, struct job *job, enum job_status status, const char *reason)
{
	sqlite3_stmt *q = sim_sql(s, "DELETE FROM job_error WHERE job = ?");

	sim_bind(q, 1, job->id);
	(void)sim_step(s, q);
	job->status = status;
	job->ended = sim_now(s);
	if (status == JOB_COMPLETED)
		job->progress = 100;
	if (reason != job->reason) {
		free(job->reason);
		job->reason = reason ? xstrdup(reason) : NULL;
	}
	job_save(s, job);
}

void
jobs_forget(struct sim *s, const char *hub)
{
	static const char *const all[] = {
		"DELETE FROM job_error WHERE job IN "
		"(SELECT id FROM job WHERE hub = ?)",
		"DELETE FROM job WHERE hub = ?",
		"DELETE FROM scheduled WHERE hub = ?",
		"DELETE FROM scheduled_device WHERE hub = ?",
	};

	sim_of_hub(s, all, sizeof all / sizeof *all, hub);
}

void
job_forget_old(struct sim *s)
{
	int64_t old = sim_now(s) - INT64_C(1000) * 86400 * HISTORY_DAYS;
	static const char *const all[] = {
		"DELETE FROM job WHERE status > 1 AND ended < ?",
		"DELETE FROM scheduled_device WHERE (hub, job) IN (SELECT hub, "
		"id FROM scheduled WHERE status > 1 AND ended < ?)",
		"DELETE FROM scheduled WHERE status > 1 AND ended < ?",
	};

	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		sqlite3_stmt *q = sim_sql(s, all[i]);

		(void)sqlite3_bind_int64(q, 1, old);
		(void)sim_step(s, q);
	}
}

/* Errors. */

void
job_add_error(struct sim *s, const struct job *job, enum job_phase phase,
    long line, struct span text)
{
	sqlite3_stmt *q =
	    sim_sql(s, "INSERT OR REPLACE INTO job_error VALUES (?, ?, ?, ?)");

	sim_bind(q, 1, job->id);
	(void)sqlite3_bind_int(q, 2, (int)phase);
	(void)sqlite3_bind_int64(q, 3, line);
	sim_bind_span(q, 4, text);
	(void)sim_step(s, q);
}

int
job_errors(
    struct sim *s, const struct job *job, enum job_phase phase, struct carry *c)
{
	sqlite3_stmt *q =
	    sim_sql(s, "SELECT text FROM job_error WHERE job = ? AND phase = ? "
		       "ORDER BY line");
	int bad = 0;

	sim_bind(q, 1, job->id);
	(void)sqlite3_bind_int(q, 2, (int)phase);
	while (!bad && sim_step(s, q) == SQLITE_ROW)
		bad = carry_add(c, sim_column(q, 0)) ||
		      carry_add(c, span_of("\n"));
	return bad;
}

/* Showing. */

static enum job_status
shown_status(struct sim *s, struct job *job)
{
	if (s->real_times || job->seen || job->status < JOB_RUNNING ||
	    job->status == JOB_CANCELLED)
		return job->status;
	job->seen = true;
	job_save(s, job);
	return JOB_RUNNING;
}

static const char *
status_word(enum job_status status)
{
	static const char *const words[] = { "enqueued", "running", "completed",
		"failed", "cancelled" };

	return words[status];
}

static void
add_text(struct buf *out, const char *name, const char *text)
{
	if (!text)
		return;
	buf_printf(out, ",\"%s\":", name);
	buf_json(out, text, strlen(text));
}

static void
add_flag(struct buf *out, const char *name, bool value)
{
	buf_printf(out, ",\"%s\":%s", name, value ? "true" : "false");
}

/* It holds a SAS: live hubs give it back empty. */
static void
add_uri(struct buf *out, const char *name, const char *uri)
{
	if (uri)
		add_text(out, name,
		    sim_doubt_is("job-container-uri", "echoed") ? uri : "");
}

void
job_text(struct sim *s, struct job *job, struct buf *out)
{
	enum job_status status = shown_status(s, job);
	bool ended = status > JOB_RUNNING;
	char time[32];

	sim_iso_time(job->created, time);
	buf_printf(
	    out, "{\"jobId\":\"%s\",\"startTimeUtc\":\"%s\"", job->id, time);
	if (ended) {
		sim_iso_time(job->ended, time);
		add_text(out, "endTimeUtc", time);
	}
	add_text(out, "type", job->import ? "import" : "export");
	add_text(out, "status", status_word(status));
	buf_printf(out, ",\"progress\":%d",
	    ended || job->progress < 100 ? job->progress : 99);
	add_uri(out, "inputBlobContainerUri", job->input);
	add_text(out, "inputBlobName", job->in_name);
	add_uri(out, "outputBlobContainerUri", job->output);
	add_text(out, "outputBlobName", job->out_name);
	add_flag(out, "excludeKeysInExport", job->exclude_keys);
	add_text(out, "storageAuthenticationType",
	    job->by_identity ? "identityBased" : "keyBased");
	if (job->identity) {
		buf_text(out, ",\"identity\":{\"userAssignedIdentity\":");
		buf_json(out, job->identity, strlen(job->identity));
		buf_char(out, '}');
	}
	add_flag(out, "includeConfigurations", job->configurations);
	add_text(out, "configurationsBlobName", job->config_name);
	add_flag(out, "useSecondaryStorageAsSource", false);
	buf_text(out, ",\"failureReason\":");
	if (ended && job->reason)
		buf_json(out, job->reason, strlen(job->reason));
	else
		buf_text(out, "null");
	buf_char(out, '}');
}

jv
job_response(struct sim *s, struct job *job)
{
	enum job_status status = shown_status(s, job);
	jv answer = jv_object();
	char time[32];

	sim_http_time(job->created, time);
	answer = jv_put(answer, "jobId", jv_string(job->id));
	answer = jv_put(answer, "startTimeUtc", jv_string(time));
	if (status > JOB_RUNNING) {
		sim_http_time(job->ended, time);
		answer = jv_put(answer, "endTimeUtc", jv_string(time));
	}
	answer = jv_put(
	    answer, "type", jv_string(job->import ? "import" : "export"));
	answer = jv_put(answer, "status", jv_string(status_word(status)));
	if (status > JOB_RUNNING && job->reason)
		answer =
		    jv_put(answer, "failureReason", jv_string(job->reason));
	return answer;
}
