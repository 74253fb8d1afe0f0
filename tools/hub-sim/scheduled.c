/*
 * scheduled.c: the jobs of /jobs/v2: twins of all devices that match a
 * condition are changed at some time (CONTRACT 11.5, Annex A).
 *
 * A job begins when its time has come: first it lists the devices that match,
 * then it does them one by one.  Direct methods fail for each of them, since
 * no device is ever connected to this hub.
 */
#include "job.h"

#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "query.h"

#define JOB_THERE 409, 409000, "JobAlreadyExists"
#define NO_JOB 404, 404002, "JobNotFound"
#define TOO_MANY_JOBS 429, 429004, "ThrottlingMaxActiveJobCountExceeded"

enum { SLICE = 200, MAX_PAGE = 1000, DEFAULT_PAGE = 100 };
enum { DEVICE_PENDING, DEVICE_DONE, DEVICE_FAILED };

struct plan {
	char hub[64], id[72], type[32];
	enum job_status status;
	int64_t created, start, ended, most, listed;
	char *condition, *body, *reason;
};

#define COLUMNS                                                        \
	"hub, id, type, status, created, start, ended, most, listed, " \
	"condition, body, reason"

static void
plan_free(struct plan *p)
{
	free(p->condition);
	free(p->body);
	free(p->reason);
}

static void
plan_read(sqlite3_stmt *q, struct plan *p)
{
	span_copy(sim_column(q, 0), p->hub, sizeof p->hub);
	span_copy(sim_column(q, 1), p->id, sizeof p->id);
	span_copy(sim_column(q, 2), p->type, sizeof p->type);
	p->status = (enum job_status)sqlite3_column_int(q, 3);
	p->created = sqlite3_column_int64(q, 4);
	p->start = sqlite3_column_int64(q, 5);
	p->ended = sqlite3_column_int64(q, 6);
	p->most = sqlite3_column_int64(q, 7);
	p->listed = sqlite3_column_int64(q, 8);
	p->condition = span_dup(sim_column(q, 9));
	p->body = span_dup(sim_column(q, 10));
	p->reason = sim_text(q, 11);
}

static bool
plan_load(struct sim *s, const char *hub, const char *id, struct plan *p)
{
	sqlite3_stmt *q = sim_sql(
	    s, "SELECT " COLUMNS " FROM scheduled WHERE hub = ? AND id = ?");

	memset(p, 0, sizeof *p);
	sim_bind(q, 1, hub);
	sim_bind(q, 2, id);
	if (sim_step(s, q) != SQLITE_ROW)
		return false;
	plan_read(q, p);
	return true;
}

static void
plan_save(struct sim *s, const struct plan *p)
{
	sqlite3_stmt *q = sim_sql(s,
	    "UPDATE scheduled SET status = ?, ended = ?, listed = ?, "
	    "reason = ? WHERE hub = ? AND id = ?");

	(void)sqlite3_bind_int(q, 1, (int)p->status);
	(void)sqlite3_bind_int64(q, 2, p->ended);
	(void)sqlite3_bind_int64(q, 3, p->listed);
	sim_bind(q, 4, p->reason);
	sim_bind(q, 5, p->hub);
	sim_bind(q, 6, p->id);
	(void)sim_step(s, q);
}

/* -- showing -------------------------------------------------------------- */

static const char *
status_word(const struct plan *p, int64_t now)
{
	static const char *const words[] = { "enqueued", "running", "completed",
		"failed", "cancelled" };

	return p->status == JOB_ENQUEUED && p->start > now ? "scheduled"
							   : words[p->status];
}

static void
add_statistics(struct sim *s, const struct plan *p, struct buf *out)
{
	sqlite3_stmt *q =
	    sim_sql(s, "SELECT count(*), total(status = 0), total(status = 1), "
		       "total(status = 2) FROM scheduled_device WHERE hub = ? "
		       "AND job = ?");

	sim_bind(q, 1, p->hub);
	sim_bind(q, 2, p->id);
	if (sim_step(s, q) != SQLITE_ROW)
		return;
	buf_printf(out,
	    ",\"deviceJobStatistics\":{\"deviceCount\":%d,\"failedCount\":%d,"
	    "\"succeededCount\":%d,\"runningCount\":0,\"pendingCount\":%d}",
	    sqlite3_column_int(q, 0), sqlite3_column_int(q, 3),
	    sqlite3_column_int(q, 2), sqlite3_column_int(q, 1));
}

static void
plan_text(struct visit *v, const struct plan *p, struct buf *out)
{
	char time[32];

	buf_text(out, "{\"jobId\":");
	buf_json(out, p->id, strlen(p->id));
	buf_text(out, ",\"queryCondition\":");
	buf_json(out, p->condition, strlen(p->condition));
	sim_iso_time(p->created, time);
	text_or_null(out, ",\"createdTime\":", span_of(time));
	sim_iso_time(p->start, time);
	text_or_null(out, ",\"startTime\":", span_of(time));
	if (p->ended) {
		sim_iso_time(p->ended, time);
		text_or_null(out, ",\"endTime\":", span_of(time));
	}
	buf_printf(
	    out, ",\"maxExecutionTimeInSeconds\":%lld", (long long)p->most);
	text_or_null(out, ",\"type\":", span_of(p->type));
	buf_text(out, strcmp(p->type, "scheduleUpdateTwin") == 0
			  ? ",\"updateTwin\":"
			  : ",\"cloudToDeviceMethod\":");
	buf_text(out, p->body);
	text_or_null(out, ",\"status\":", span_of(status_word(p, v->now)));
	if (p->reason) {
		buf_text(out, ",\"failureReason\":");
		buf_json(out, p->reason, strlen(p->reason));
	}
	add_statistics(v->s, p, out);
	buf_char(out, '}');
}

sqlite3_stmt *
scheduled_devices(struct visit *v, const char *job, const char *device)
{
	sqlite3_stmt *q = sim_sql(v->s,
	    "SELECT d.job, d.device, d.status, d.ended, d.error, s.type, "
	    "s.created, s.start FROM scheduled_device AS d JOIN scheduled AS s "
	    "ON s.hub = d.hub AND s.id = d.job WHERE d.hub = ?1 AND "
	    "(d.job, d.device) > (?2, ?3) ORDER BY d.job, d.device");

	sim_bind(q, 1, v->hub.name);
	sim_bind(q, 2, job);
	sim_bind(q, 3, device);
	return q;
}

void
scheduled_device_text(sqlite3_stmt *q, struct buf *out)
{
	static const char *const words[] = { "pending", "completed", "failed" };
	struct span job = sim_column(q, 0), device = sim_column(q, 1),
		    error = sim_column(q, 4);
	int64_t start = sqlite3_column_int64(q, 7),
		ended = sqlite3_column_int64(q, 3);
	char time[32];

	buf_text(out, "{\"deviceId\":");
	buf_json(out, device.at, device.len);
	buf_text(out, ",\"jobId\":");
	buf_json(out, job.at, job.len);
	text_or_null(out, ",\"jobType\":", sim_column(q, 5));
	text_or_null(
	    out, ",\"status\":", span_of(words[sqlite3_column_int(q, 2)]));
	sim_iso_time(start, time);
	text_or_null(out, ",\"startTimeUtc\":", span_of(time));
	if (ended) {
		sim_iso_time(ended, time);
		text_or_null(out, ",\"endTimeUtc\":", span_of(time));
	}
	sim_iso_time(sqlite3_column_int64(q, 6), time);
	text_or_null(out, ",\"createdDateTimeUtc\":", span_of(time));
	sim_iso_time(ended ? ended : start, time);
	text_or_null(out, ",\"lastUpdatedDateTimeUtc\":", span_of(time));
	if (error.len) {
		text_or_null(out, ",\"error\":{\"code\":", error);
		buf_char(out, '}');
	}
	buf_text(out, ",\"outcome\":{\"deviceMethodResponse\":null}}");
}

static void
reply_plan(struct visit *v, const struct plan *p)
{
	struct buf body = BUF_INIT;

	plan_text(v, p, &body);
	reply_text(v, 200, &body);
	buf_free(&body);
}

static int
missing(struct refusal *f, const char *id)
{
	return refuse(f, NO_JOB, "Job with id '%.80s' was not found", id);
}

/* -- making --------------------------------------------------------------- */

/* "2026-11-21T08:50:00.000Z", or null: at once. */
static int
read_time(struct span value, int64_t now, int64_t *ms)
{
	char text[48];
	struct tm tm = { 0 };
	const char *rest;

	*ms = now;
	if (copy_string(value, text, sizeof text))
		return -1;
	if (!*text)
		return 0;
	rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	if (!rest)
		return -1;
	*ms = (int64_t)timegm(&tm) * 1000;
	if (*rest == '.')
		*ms += (int64_t)(strtod(rest, NULL) * 1000);
	return 0;
}

static int
read_plan(struct visit *v, struct span body, struct plan *p, struct refusal *f)
{
	struct span type = object_get(body, "type"),
		    start = object_get(body, "startTime"),
		    most = object_get(body, "maxExecutionTimeInSeconds"),
		    condition = object_get(body, "queryCondition"), what;
	char word[48] = "";
	bool twin;

	if (type.at && copy_string(type, word, sizeof word))
		return refuse(f, ARGUMENT_INVALID, "Unknown type of job");
	twin = strcasecmp(word, "scheduleUpdateTwin") == 0;
	if (!twin && strcasecmp(word, "scheduleDeviceMethod") != 0)
		return refuse(f, ARGUMENT_INVALID,
		    "The type of the job must be scheduleUpdateTwin or "
		    "scheduleDeviceMethod");
	(void)snprintf(p->type, sizeof p->type, "%s",
	    twin ? "scheduleUpdateTwin" : "scheduleDeviceMethod");
	what = object_get(body, twin ? "updateTwin" : "cloudToDeviceMethod");
	if (!what.at || json_kind_of(what) != JSON_OBJECT)
		return refuse(f, ARGUMENT_INVALID, "%s is required",
		    twin ? "updateTwin" : "cloudToDeviceMethod");
	p->body = span_dup(what);
	p->condition = condition.at ? json_string(condition) : NULL;
	if (!p->condition || !*p->condition) {
		(void)refuse(f, ARGUMENT_INVALID, "queryCondition is required");
		return -1;
	}
	if (query_check(p->condition, true, f))
		return -1;
	if (start.at && read_time(start, v->now, &p->start))
		return refuse(f, ARGUMENT_INVALID, "startTime is no time");
	if (!start.at)
		p->start = v->now;
	p->most = 3600;
	if (most.at && json_kind_of(most) == JSON_NUMBER)
		p->most = strtoll(most.at, NULL, 10);
	return p->most > 0 ? 0
			   : refuse(f, ARGUMENT_INVALID,
				 "maxExecutionTimeInSeconds must be positive");
}

static int
most_at_once(const struct visit *v)
{
	return v->hub.sku[1] == '3' ? 10 : v->hub.sku[1] == '2' ? 5 : 1;
}

static int
check_room(struct visit *v, struct refusal *f)
{
	sqlite3_stmt *q = sim_sql(v->s,
	    "SELECT count(*) FROM scheduled WHERE hub = ? AND status < 2 "
	    "AND start <= ?");

	sim_bind(q, 1, v->hub.name);
	(void)sqlite3_bind_int64(q, 2, v->now);
	if (sim_step(v->s, q) == SQLITE_ROW &&
	    sqlite3_column_int(q, 0) >= most_at_once(v))
		return refuse(f, TOO_MANY_JOBS,
		    "The number of active jobs has reached the limit of %d",
		    most_at_once(v));
	return 0;
}

static void
insert(struct sim *s, const struct plan *p)
{
	sqlite3_stmt *q = sim_sql(s, "INSERT INTO scheduled (" COLUMNS ") "
				     "VALUES (?, ?, ?, 0, ?, ?, 0, ?, 0, ?, ?, "
				     "NULL)");

	sim_bind(q, 1, p->hub);
	sim_bind(q, 2, p->id);
	sim_bind(q, 3, p->type);
	(void)sqlite3_bind_int64(q, 4, p->created);
	(void)sqlite3_bind_int64(q, 5, p->start);
	(void)sqlite3_bind_int64(q, 6, p->most);
	sim_bind(q, 7, p->condition);
	sim_bind(q, 8, p->body);
	(void)sim_step(s, q);
}

static int
create(struct visit *v, const char *id, struct refusal *f)
{
	struct plan p = { .created = v->now }, old;
	struct json body = { .count = 0 };
	int result = -1;

	if (visit_body(v, &body, f))
		goto out;
	if (body.kind != JSON_OBJECT || strlen(id) >= sizeof p.id ||
	    strpbrk(id, " \t\r\n")) {
		(void)refuse(f, ARGUMENT_INVALID, "This is no job");
		goto out;
	}
	span_copy(span_of(v->hub.name), p.hub, sizeof p.hub);
	span_copy(span_of(id), p.id, sizeof p.id);
	if (read_plan(v, body.text, &p, f))
		goto out;
	if (plan_load(v->s, v->hub.name, id, &old)) {
		plan_free(&old);
		(void)refuse(
		    f, JOB_THERE, "A job with id '%s' already exists", id);
		goto out;
	}
	if (check_room(v, f))
		goto out;
	job_forget_old(v->s);
	insert(v->s, &p);
	reply_plan(v, &p);
	sim_wake(v->s);
	result = 0;
out:
	plan_free(&p);
	json_free(&body);
	return result;
}

static int
cancel(struct visit *v, const char *id, struct refusal *f)
{
	struct plan p;

	if (!plan_load(v->s, v->hub.name, id, &p))
		return missing(f, id);
	if (p.status <= JOB_RUNNING) {
		p.status = JOB_CANCELLED;
		p.ended = v->now;
		plan_save(v->s, &p);
	}
	reply_plan(v, &p);
	plan_free(&p);
	return 0;
}

/* -- listing -------------------------------------------------------------- */

static long
page_size(const struct visit *v)
{
	const char *sent = v->q->header(v->q, "x-ms-max-item-count");
	long n = sent ? strtol(sent, NULL, 10) : 0;

	return n < 1 ? DEFAULT_PAGE : n > MAX_PAGE ? MAX_PAGE : n;
}

static bool
wanted(const struct visit *v, const char *name, const char *is)
{
	char *text = sim_query(v->q, name);
	bool result = !text || !*text || strcasecmp(text, "unknown") == 0 ||
		      strcasecmp(text, is) == 0;

	free(text);
	return result;
}

/* The continuation is how many were shown or passed over so far. */
static int
list(struct visit *v)
{
	const char *sent = v->q->header(v->q, "x-ms-continuation");
	long from = sent ? strtol(sent, NULL, 10) : 0, at = 0,
	     left = page_size(v);
	sqlite3_stmt *q = sim_sql(v->s,
	    "SELECT id FROM scheduled WHERE hub = ? ORDER BY created DESC, id");
	struct buf body = BUF_INIT;
	char **ids = NULL;
	size_t count = 0;

	sim_bind(q, 1, v->hub.name);
	while (sim_step(v->s, q) == SQLITE_ROW) {
		ids = xrealloc(ids, (count + 1) * sizeof *ids);
		ids[count++] = span_dup(sim_column(q, 0));
	}
	buf_char(&body, '[');
	for (size_t i = 0; i < count; i++, at++) {
		struct plan p;

		if (at < from || !plan_load(v->s, v->hub.name, ids[i], &p))
			continue;
		if (wanted(v, "jobType", p.type) &&
		    wanted(v, "jobStatus", status_word(&p, v->now))) {
			if (left-- == 0) {
				plan_free(&p);
				sim_head(v->r, "x-ms-continuation", "%ld", at);
				break;
			}
			if (body.len > 1)
				buf_char(&body, ',');
			plan_text(v, &p, &body);
		}
		plan_free(&p);
	}
	for (size_t i = 0; i < count; i++)
		free(ids[i]);
	free(ids);
	buf_char(&body, ']');
	sim_head(v->r, "x-ms-item-type", "JobResponse");
	reply_text(v, 200, &body);
	buf_free(&body);
	return 0;
}

/* /jobs/v2/query, /jobs/v2/{id} and /jobs/v2/{id}/cancel */
void
scheduled_handle(struct visit *v)
{
	char *id = sim_segment(v->q, 2), *word = sim_segment(v->q, 3);
	const char *method = v->q->method;
	struct refusal f;
	struct plan p;
	int result;

	if (visit_allowed(v, "ServiceConnect", &f)) {
		result = -1;
	} else if (v->hub.sku[0] == 'B') {
		result = refuse(&f, NOT_IN_TIER,
		    "The operation is not available in the tier %s",
		    v->hub.sku);
	} else if (id && !word && strcmp(id, "query") == 0 &&
		   strcmp(method, "GET") == 0) {
		result = list(v);
	} else if (id && !word && strcmp(method, "PUT") == 0) {
		result = create(v, id, &f);
	} else if (id && !word && strcmp(method, "GET") == 0) {
		result = 0;
		if (plan_load(v->s, v->hub.name, id, &p)) {
			reply_plan(v, &p);
			plan_free(&p);
		} else {
			result = missing(&f, id);
		}
	} else if (id && word && strcmp(word, "cancel") == 0 &&
		   strcmp(method, "POST") == 0) {
		result = cancel(v, id, &f);
	} else {
		result = visit_no_method(v, &f);
	}
	if (result)
		reply_refusal(v, &f);
	free(id);
	free(word);
}

/* -- doing ---------------------------------------------------------------- */

static void
add_device(struct visit *v, const struct plan *p, struct span id)
{
	sqlite3_stmt *q = sim_sql(v->s,
	    "INSERT OR IGNORE INTO scheduled_device VALUES (?, ?, ?, 0, 0, "
	    "NULL)");

	sim_bind(q, 1, p->hub);
	sim_bind(q, 2, p->id);
	sim_bind_span(q, 3, id);
	(void)sim_step(v->s, q);
}

/* A slice of those that match; listed -1: that were all. */
static void
list_devices(struct visit *v, struct plan *p)
{
	sqlite3_stmt *q = sim_sql(v->s,
	    "SELECT " ROW_COLUMNS " FROM registry WHERE +hub = ? AND seq > ? "
	    "AND module = '' ORDER BY seq LIMIT ?");
	const char *condition = p->condition + strspn(p->condition, " ");
	bool all = !*condition || strcmp(condition, "*") == 0,
	     whole = strncasecmp(condition, "from ", 5) == 0;
	char *text = xasprintf("SELECT * %s%s",
	    all     ? "FROM devices"
	    : whole ? ""
		    : "FROM devices WHERE ",
	    all ? "" : condition);
	struct query query;
	struct refusal f;
	struct row row;
	int n = 0;

	memset(&query, 0, sizeof query);
	sim_bind(q, 1, p->hub);
	(void)sqlite3_bind_int64(q, 2, p->listed);
	(void)sqlite3_bind_int(q, 3, SLICE);
	if (query_parse(text, &query, &f) == 0)
		while (sim_step(v->s, q) == SQLITE_ROW) {
			row_read(q, &row);
			p->listed = row.seq;
			n++;
			if (query_matches(v, &query, &row))
				add_device(v, p, row.id);
		}
	query_free(&query);
	free(text);
	if (n < SLICE)
		p->listed = -1;
	plan_save(v->s, p);
}

static void
end_device(struct visit *v, const struct plan *p, const char *device,
    int status, const char *error)
{
	sqlite3_stmt *q = sim_sql(v->s,
	    "UPDATE scheduled_device SET status = ?, ended = ?, error = ? "
	    "WHERE hub = ? AND job = ? AND device = ?");

	(void)sqlite3_bind_int(q, 1, status);
	(void)sqlite3_bind_int64(q, 2, v->now);
	sim_bind(q, 3, error);
	sim_bind(q, 4, p->hub);
	sim_bind(q, 5, p->id);
	sim_bind(q, 6, device);
	(void)sim_step(v->s, q);
}

/* null in a patch takes a section away, as in PATCH /twins. */
static void
do_device(struct visit *v, const struct plan *p, const char *device)
{
	struct span body = span_of(p->body), tags = object_get(body, "tags"),
		    properties = object_get(body, "properties"), desired;
	struct refusal f;

	if (strcmp(p->type, "scheduleUpdateTwin") != 0) {
		end_device(v, p, device, DEVICE_FAILED, "DeviceNotOnline");
		return;
	}
	desired = properties.at && json_kind_of(properties) == JSON_OBJECT
		      ? object_get(properties, "desired")
		      : (struct span){ NULL, 0 };
	if (tags.at && json_kind_of(tags) == JSON_NULL)
		tags.at = NULL;
	if (desired.at && json_kind_of(desired) == JSON_NULL)
		desired.at = NULL;
	if (twin_write(v, device, "", NULL, tags, desired, 0, &f))
		end_device(v, p, device, DEVICE_FAILED, f.code);
	else
		end_device(v, p, device, DEVICE_DONE, NULL);
}

/* How many of SLICE may be done now; 0: *wait for more (Annex A). */
static long
allowance(struct visit *v, const struct plan *p, int64_t *wait)
{
	long a_minute = v->hub.sku[1] == '3' ? 5000 : 100;
	sqlite3_stmt *q;
	int64_t done = 0, most;

	if (!v->s->real_times)
		return SLICE;
	a_minute *= v->hub.units > 0 ? v->hub.units : 1;
	q = sim_sql(v->s,
	    "SELECT count(*) FROM scheduled_device WHERE hub = ? AND job = ? "
	    "AND status > 0");
	sim_bind(q, 1, p->hub);
	sim_bind(q, 2, p->id);
	if (sim_step(v->s, q) == SQLITE_ROW)
		done = sqlite3_column_int64(q, 0);
	most = (v->now - p->start) * a_minute / 60000 - done;
	if (most >= 1)
		return most > SLICE ? SLICE : (long)most;
	*wait = sim_until(v->s, p->start + (done + 1) * 60000 / a_minute) + 1;
	return 0;
}

static int64_t
do_devices(struct visit *v, struct plan *p)
{
	char devices[SLICE][136];
	int64_t wait = 0;
	long most = allowance(v, p, &wait);
	int n = 0;
	sqlite3_stmt *q = sim_sql(v->s,
	    "SELECT device FROM scheduled_device WHERE hub = ? AND job = ? "
	    "AND status = 0 LIMIT ?");

	sim_bind(q, 1, p->hub);
	sim_bind(q, 2, p->id);
	(void)sqlite3_bind_int(q, 3, most ? (int)most : 1);
	while (sim_step(v->s, q) == SQLITE_ROW)
		span_copy(sim_column(q, 0), devices[n++], sizeof *devices);
	if (n && !most)
		return wait;
	for (int i = 0; i < n; i++)
		do_device(v, p, devices[i]);
	if (n)
		return 0;
	p->status = JOB_COMPLETED;
	p->ended = v->now;
	plan_save(v->s, p);
	return -1;
}

static int64_t
advance(struct sim *s, struct plan *p)
{
	struct visit v = { .s = s, .now = sim_now(s) };

	if (!sim_hub_find(s, p->hub, &v.hub)) {
		jobs_forget(s, p->hub);
		return -1;
	}
	if (p->start > v.now)
		return sim_until(s, p->start) + 1;
	if (strcmp(v.hub.state, "Active") != 0)
		return 500;
	if (p->status == JOB_ENQUEUED) {
		p->status = JOB_RUNNING;
		plan_save(s, p);
	}
	if ((v.now - p->start) / 1000 >=
	    p->most) { /* most may be all of 63 bits */
		p->status = JOB_FAILED;
		p->ended = v.now;
		p->reason = xstrdup("The job did not end within its maximum "
				    "execution time");
		plan_save(s, p);
		return -1;
	}
	if (p->listed < 0)
		return do_devices(&v, p);
	list_devices(&v, p);
	return 0;
}

int64_t
scheduled_tick(struct sim *s)
{
	enum { MOST = 64 };
	struct plan plans[MOST];
	sqlite3_stmt *q =
	    sim_sql(s, "SELECT " COLUMNS " FROM scheduled WHERE status < 2 "
		       "ORDER BY start LIMIT ?");
	int64_t next = -1;
	int n = 0;

	(void)sqlite3_bind_int(q, 1, MOST);
	while (sim_step(s, q) == SQLITE_ROW && n < MOST)
		plan_read(q, &plans[n++]);
	for (int i = 0; i < n; i++) {
		int64_t wait = advance(s, &plans[i]);

		/* The clock may be set meanwhile. */
		if (wait > 1000)
			wait = 1000;
		if (wait >= 0 && (next < 0 || wait < next))
			next = wait;
		plan_free(&plans[i]);
	}
	return next;
}
