/*
 * jobrun.c: import and export jobs go on, one slice of some milliseconds at a
 * time (CONTRACT 16).
 *
 * What stands only here is lost with the program and is made again: the lines
 * of an export, the copy of what an import reads.  Where an
 * import stands is kept with what it did (job.h).
 */
#include "job.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "blob.h"
#include "lines.h"
#include "monotonic.h"
#include "store.h"

enum {
	SLICE = 500, /* lines */
	SLICE_MS = 8,
	SHOWN_MS = 100, /* between two looks at how far it is */
	MAX_AT_ONCE = 64,
	DEVICES_AN_HOUR = 250000,
};

enum step {
	STEP_BEGIN,
	STEP_FETCH, /* a blob is copied to the file */
	STEP_LINES,
	STEP_PUT, /* what was written becomes a blob */
};

struct run {
	char id[37];
	enum step step;
	enum job_phase phase;
	FILE *file; /* what an import reads */
	struct carry *carry;
	struct lines *in;
	int64_t pos;
	long line;
	/* An export: after which device it goes on. */
	char last[136];
	int64_t seq, total, done, checked, shown;
	bool partial;
	struct run *next;
};

static const char disk_full[] = "The disk of hub-sim is full";

struct jobs {
	struct run *first;
	struct json scan;
};

static void
put_down(struct run *r)
{
	carry_end(r->carry);
	lines_close(r->in);
	if (r->file)
		(void)fclose(r->file);
	r->carry = NULL;
	r->in = NULL;
	r->file = NULL;
	r->step = STEP_BEGIN;
}

void
jobs_close(struct sim *s)
{
	struct run *next;

	if (!s->jobs)
		return;
	for (struct run *r = s->jobs->first; r; r = next) {
		next = r->next;
		put_down(r);
		free(r);
	}
	json_free(&s->jobs->scan);
	free(s->jobs);
	s->jobs = NULL;
}

static struct run *
find_run(struct sim *s, const char *id)
{
	struct run *r;

	if (!s->jobs)
		s->jobs = xcalloc(1, sizeof *s->jobs);
	for (r = s->jobs->first; r; r = r->next)
		if (strcmp(r->id, id) == 0)
			return r;
	r = xcalloc(1, sizeof *r);
	(void)snprintf(r->id, sizeof r->id, "%s", id);
	r->next = s->jobs->first;
	s->jobs->first = r;
	return r;
}

/* An import says what went wrong until then in its log. */
static int64_t
fail(struct visit *v, struct run *r, struct job *job, const char *reason)
{
	if (job->import && job->phase != PHASE_LOGS) {
		job->reason = xstrdup(reason);
		job->phase = PHASE_LOGS;
		job_save(v->s, job);
		r->phase = PHASE_DEVICES;
	} else {
		job_end(
		    v->s, job, JOB_FAILED, job->reason ? job->reason : reason);
	}
	put_down(r); /* the reason may have stood in what it frees */
	return 0;
}

/* -- time ------------------------------------------------------------------ */

/* The moment by which so many are done. */
static int64_t
due(struct visit *v, const struct job *job, int64_t count)
{
	return job->started +
	       sim_lasts(v->s, 0, count * 3600000 / DEVICES_AN_HOUR);
}

/* How many of SLICE may be done now; else 0, and *wait. */
static long
allowance(struct visit *v, const struct job *job, int64_t done, int64_t *wait)
{
	int64_t most;

	if (!v->s->real_times)
		return SLICE;
	most = (v->now - job->started) * DEVICES_AN_HOUR / 3600000 - done;
	if (most >= 1)
		return most > SLICE ? SLICE : (long)most;
	*wait = sim_until(v->s, due(v, job, done + 1)) + 1;
	return 0;
}

/* A small one takes three seconds, of which one in the queue. */
static bool
too_early(struct visit *v, const struct job *job, int64_t *wait)
{
	int64_t end = job->started + sim_lasts(v->s, 0, 2000);

	if (v->now >= end)
		return false;
	*wait = sim_until(v->s, end) + 1;
	return true;
}

static void
set_knob(struct sim *s, const char *what, const char *hub, bool on)
{
	char *name = xasprintf("job-%s/%s", what, hub);

	store_set_note(s, name, on ? "1" : "");
	free(name);
}

static bool
is_set(struct sim *s, const char *what, const char *hub)
{
	char *name = xasprintf("job-%s/%s", what, hub),
	     *value = store_note(s, name);
	bool result = value && *value;

	free(name);
	free(value);
	return result;
}

/* -- both ways ---------------------------------------------------------------
 */

static const char *
log_name(const struct job *job, enum job_phase which)
{
	if (which == PHASE_CONFIGURATIONS)
		return "importConfigErrors.log";
	return job->out_name && sim_doubt_is("import-output-name", "log")
		   ? job->out_name
		   : "importErrors.log";
}

static const char *
config_name(const struct job *job)
{
	return job->config_name ? job->config_name : "configurations.txt";
}

/* All is written. */
static int64_t
start_put(struct visit *v, struct run *r, struct job *job)
{
	char why[512];
	const char *refused = carry_refused(v->s, job, true, "w", why);

	if (refused)
		return fail(v, r, job, refused);
	r->step = STEP_PUT;
	return 0;
}

/* 1: done; 0: not yet; -1: it failed, and the job with it. */
static int
carried(struct visit *v, struct run *r, struct job *job, int64_t *wait)
{
	const char *why;
	enum carry_got got = carry_poll(r->carry, &why);

	*wait = 2;
	if (got == CARRY_BUSY)
		return 0;
	if (got == CARRY_FAILED) {
		(void)fail(v, r, job, why);
		return -1;
	}
	carry_end(r->carry);
	r->carry = NULL;
	return 1;
}

/* Storage is looked at again while lines are made or read: a SAS expires, a
 * container goes. */
static int
look_again(struct visit *v, struct run *r, struct job *job)
{
	char why[512];
	const char *refused;

	if (v->now - r->checked < 1000)
		return 0;
	r->checked = v->now;
	refused = carry_refused(v->s, job, true, "w", why);
	if (refused)
		(void)fail(v, r, job, refused);
	return refused ? -1 : 0;
}

static void
set_progress(struct job *job, int64_t done, int64_t total)
{
	int progress = total > 0 ? (int)(done * 100 / total) : 0;

	job->progress = progress > 99 ? 99 : progress;
}

/* -- export ------------------------------------------------------------------
 */

static const char *
export_name(const struct job *job)
{
	return job->out_name ? job->out_name : "devices.txt";
}

static int64_t
begin_export(struct visit *v, struct run *r, struct job *job)
{
	bool devices = r->phase != PHASE_CONFIGURATIONS;
	struct buf first = BUF_INIT;
	sqlite3_stmt *q;
	int bad;

	*r->last = '\0';
	r->seq = r->done = r->shown = 0;
	r->partial = sim_doubt_is("export-partial-blob", "yes");
	r->carry = carry_put(
	    v->s, job->output, devices ? export_name(job) : config_name(job));
	if (!devices)
		configuration_lines(v, &first);
	else if (job->exclude_keys)
		line_warning(&first);
	bad = carry_add(r->carry, buf_peek(&first));
	buf_free(&first);
	if (bad)
		return fail(v, r, job, disk_full);
	if (!devices)
		return start_put(v, r, job);
	q = sim_sql(v->s,
	    "SELECT count(*) FROM registry WHERE hub = ? AND module = ''");
	sim_bind(q, 1, v->hub.name);
	r->total =
	    sim_step(v->s, q) == SQLITE_ROW ? sqlite3_column_int64(q, 0) : 0;
	r->step = STEP_LINES;
	return 0;
}

static sqlite3_stmt *
next_devices(struct visit *v, const struct run *r, long most)
{
	sqlite3_stmt *q;

	if (sim_doubt_is("list-order", "id"))
		q = sim_sql(v->s,
		    "SELECT " ROW_COLUMNS " FROM registry WHERE hub = ?1 "
		    "AND id > ?2 AND module = '' ORDER BY id LIMIT ?4");
	else
		q = sim_sql(v->s,
		    "SELECT " ROW_COLUMNS " FROM registry WHERE +hub = ?1 "
		    "AND seq > ?3 AND module = '' ORDER BY seq LIMIT ?4");
	sim_bind(q, 1, v->hub.name);
	sim_bind(q, 2, r->last);
	(void)sqlite3_bind_int64(q, 3, r->seq);
	(void)sqlite3_bind_int64(q, 4, most);
	return q;
}

/* The next ones, at most so many; how many there were. */
static long
export_some(struct visit *v, struct run *r, const struct line_form *form,
    long most, struct buf *out)
{
	sqlite3_stmt *q = next_devices(v, r, most);
	struct row row;
	long n = 0;

	while (sim_step(v->s, q) == SQLITE_ROW) {
		row_read(q, &row);
		line_write(v, form, &row, out);
		memcpy(r->last, row.id.at, row.id.len);
		r->last[row.id.len] = '\0';
		r->seq = row.seq;
		n++;
	}
	r->done += n;
	return n;
}

static int64_t
export_lines(struct visit *v, struct run *r, struct job *job)
{
	double until = monotonic() + SLICE_MS / 1e3;
	int64_t wait = 0;
	long most = allowance(v, job, r->done, &wait), n;
	struct line_form form = line_form(v, job);
	struct buf out = BUF_INIT;
	int bad;

	if (look_again(v, r, job))
		return 0;
	if (r->done >= r->total && !most)
		most = 1;
	if (!most)
		return wait;
	do {
		buf_clear(&out);
		n = export_some(v, r, &form, most, &out);
		bad = carry_add(r->carry, buf_peek(&out));
		if (r->partial)
			(void)blob_store(v->s, job->output, export_name(job),
			    buf_peek(&out));
		r->partial = false;
	} while (!bad && n == SLICE && monotonic() < until);
	buf_wipe(&out);
	if (bad)
		return fail(v, r, job, disk_full);
	set_progress(job, r->done, r->total);
	if (v->now - r->shown >= SHOWN_MS) {
		r->shown = v->now;
		job_save(v->s, job);
	}
	if (n == most)
		return 0;
	if (too_early(v, job, &wait))
		return wait;
	return start_put(v, r, job);
}

static int64_t
step_export(struct visit *v, struct run *r, struct job *job)
{
	int64_t wait = 0;

	if (r->step == STEP_BEGIN)
		return begin_export(v, r, job);
	if (r->step == STEP_LINES)
		return export_lines(v, r, job);
	if (carried(v, r, job, &wait) != 1)
		return wait;
	put_down(r);
	if (job->configurations && r->phase == PHASE_DEVICES) {
		r->phase = PHASE_CONFIGURATIONS;
		return 0;
	}
	job_end(v->s, job, JOB_COMPLETED, NULL);
	return 0;
}

/* -- import ------------------------------------------------------------------
 */

static int64_t
begin_import(struct visit *v, struct run *r, struct job *job)
{
	char why[512];
	const char *refused;

	if (job->phase == PHASE_LOGS) {
		r->carry =
		    carry_put(v->s, job->output, log_name(job, r->phase));
		if (job_errors(v->s, job, r->phase, r->carry))
			return fail(v, r, job, disk_full);
		return start_put(v, r, job);
	}
	r->file = carry_file();
	if (!r->file)
		return fail(v, r, job, strerror(errno));
	refused = carry_refused(v->s, job, false, "r", why);
	if (refused)
		return fail(v, r, job, refused);
	r->carry = carry_get(v->s, job->input,
	    job->phase == PHASE_CONFIGURATIONS ? config_name(job)
	    : job->in_name                     ? job->in_name
					       : "devices.txt",
	    r->file);
	r->step = STEP_FETCH;
	return 0;
}

static int64_t
fetched(struct visit *v, struct run *r, struct job *job)
{
	int64_t size;

	(void)fseeko(r->file, 0, SEEK_END);
	size = ftello(r->file);
	if (job->size >= 0 && job->size != size)
		return fail(v, r, job, "The input blob has changed");
	job->size = size;
	job_save(v->s, job);
	(void)fflush(r->file);
	(void)lseek(fileno(r->file), job->offset, SEEK_SET);
	r->pos = job->offset;
	r->line = job->line;
	r->in = lines_open(fileno(r->file), "blob");
	r->step = STEP_LINES;
	return 0;
}

static int64_t
next_phase(struct visit *v, struct run *r, struct job *job)
{
	put_down(r);
	job->phase = job->phase == PHASE_DEVICES && job->configurations
			 ? PHASE_CONFIGURATIONS
			 : PHASE_LOGS;
	job->offset = job->line = 0;
	job->size = -1;
	r->phase = PHASE_DEVICES; /* the first log */
	job_save(v->s, job);
	return 0;
}

/* The hub is full: no later line can do better (CONTRACT 16.3). */
static bool
is_full(const struct refusal *f)
{
	return f->number == 403002;
}

static bool
import_line(struct visit *v, struct run *r, struct job *job, struct span text,
    struct buf *log, struct refusal *f)
{
	struct json *scan = &v->s->jobs->scan;
	int result;

	buf_clear(log);
	f->number = 0;
	if (!text.at) {
		line_too_long(log);
		result = -1;
	} else if (job->phase == PHASE_DEVICES) {
		result = line_apply(v, text, scan, log, f);
	} else {
		result = configuration_apply(v, text, scan, log, f);
	}
	if (result)
		job_add_error(v->s, job, job->phase, r->line, buf_peek(log));
	return result && is_full(f);
}

static int64_t
import_lines(struct visit *v, struct run *r, struct job *job)
{
	int64_t wait = 0;
	long most = allowance(v, job, job->line, &wait);
	enum lines_got got = LINES_LINE;
	struct buf log = BUF_INIT;
	struct refusal f;
	struct line line;
	struct err e;
	bool full = false, lies = is_set(v->s, "lie", job->hub);

	if (look_again(v, r, job))
		return 0;
	if (!most && r->pos < job->size)
		return wait;
	while (most-- > 0 && !full) {
		got = lines_next(r->in, &line, &e);
		if (got != LINES_LINE && got != LINES_PIECE &&
		    got != LINES_LAST)
			break;
		r->pos += (int64_t)line.raw.len;
		if (got == LINES_PIECE)
			continue;
		r->line++;
		if (got == LINES_LAST)
			line.text.at = NULL;
		if ((got == LINES_LAST || !span_is_blank(line.text)) &&
		    !(lies && r->line % 2))
			full = import_line(v, r, job, line.text, &log, &f);
		job->offset = r->pos;
		job->line = r->line;
	}
	buf_wipe(&log);
	set_progress(job, job->offset, job->size);
	job_save(v->s, job);
	if (full)
		return fail(v, r, job, f.text);
	if (got == LINES_FAILED)
		return fail(v, r, job, e.text);
	if (got != LINES_END)
		return 0;
	return too_early(v, job, &wait) ? wait : next_phase(v, r, job);
}

static int64_t
step_import(struct visit *v, struct run *r, struct job *job)
{
	int64_t wait = 0;

	if (r->step == STEP_BEGIN)
		return begin_import(v, r, job);
	if (r->step == STEP_LINES)
		return import_lines(v, r, job);
	if (carried(v, r, job, &wait) != 1)
		return wait;
	if (r->step == STEP_FETCH)
		return fetched(v, r, job);
	put_down(r);
	if (job->configurations && r->phase == PHASE_DEVICES) {
		r->phase = PHASE_CONFIGURATIONS;
		return 0;
	}
	job_end(
	    v->s, job, job->reason ? JOB_FAILED : JOB_COMPLETED, job->reason);
	return 0;
}

/* -- all of them
 * --------------------------------------------------------------- */

static int64_t
advance(struct sim *s, const char *id, const char *hub)
{
	struct visit v = { .s = s, .now = sim_now(s) };
	struct job job;
	struct run *r = find_run(s, id);
	int64_t wait = 0;

	if (!sim_hub_find(s, hub, &v.hub)) {
		jobs_forget(s, hub);
		return -1;
	}
	if (!job_load(s, hub, id, &job))
		return -1;
	if (job.held || strcmp(v.hub.state, "Active") != 0) {
		wait = 500;
	} else if (job.status == JOB_ENQUEUED &&
		   v.now < job.created + sim_lasts(s, 0, 1000)) {
		wait = sim_until(s, job.created + sim_lasts(s, 0, 1000)) + 1;
	} else {
		if (job.status == JOB_ENQUEUED) {
			job.status = JOB_RUNNING;
			job.started = v.now;
			job_save(s, &job);
		}
		wait = job.import ? step_import(&v, r, &job)
				  : step_export(&v, r, &job);
	}
	job_free(&job);
	/* The clock may be set meanwhile. */
	return wait > 1000 ? 1000 : wait;
}

struct active {
	char id[37], hub[64];
};

static int
list_active(struct sim *s, struct active list[MAX_AT_ONCE])
{
	sqlite3_stmt *q =
	    sim_sql(s, "SELECT id, hub FROM job WHERE status < 2 LIMIT ?");
	int n = 0;

	(void)sqlite3_bind_int(q, 1, MAX_AT_ONCE);
	while (sim_step(s, q) == SQLITE_ROW && n < MAX_AT_ONCE) {
		span_copy(sim_column(q, 0), list[n].id, sizeof list[n].id);
		span_copy(sim_column(q, 1), list[n].hub, sizeof list[n].hub);
		n++;
	}
	return n;
}

/* Cancelled, failed from outside, or done. */
static void
drop_others(struct sim *s, const struct active *list, int n)
{
	struct run **p = s->jobs ? &s->jobs->first : NULL;

	while (p && *p) {
		struct run *r = *p;
		int i = 0;

		while (i < n && strcmp(list[i].id, r->id) != 0)
			i++;
		if (i < n) {
			p = &r->next;
			continue;
		}
		*p = r->next;
		put_down(r);
		free(r);
	}
}

int64_t
jobs_tick(struct sim *s)
{
	struct active list[MAX_AT_ONCE];
	int n = list_active(s, list);
	int64_t next = scheduled_tick(s);

	drop_others(s, list, n);
	for (int i = 0; i < n; i++) {
		int64_t wait = advance(s, list[i].id, list[i].hub);

		if (wait >= 0 && (next < 0 || wait < next))
			next = wait;
	}
	return next;
}

/* -- the knob ---------------------------------------------------------------
 */

bool
job_is_held(struct sim *s, const char *hub)
{
	return is_set(s, "hold", hub);
}

void
jobs_control(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const char *hub)
{
	struct job job = { .size = -1 };
	struct sim_hub h;
	char id[37], *text = span_dup(q->body);
	size_t len = strcspn(text, " \r\n");
	const char *reason = text + len + strspn(text + len, " ");
	bool fail_it = len == 4 && strncmp(text, "fail", 4) == 0,
	     end = fail_it || (len == 6 && strncmp(text, "cancel", 6) == 0),
	     hold = len == 4 && strncmp(text, "hold", 4) == 0,
	     release = len == 7 && strncmp(text, "release", 7) == 0,
	     lie = len == 3 && strncmp(text, "lie", 3) == 0, there;

	if (!sim_hub_find(s, hub, &h)) {
		sim_error(r, 404, "NotFound", "there is no hub '%s'", hub);
		goto out;
	}
	there = job_active(s, h.name, id) && job_load(s, h.name, id, &job);
	if (!end && !hold && !release && !lie) {
		sim_error(r, 400, "BadRequest",
		    "'%.20s' is none of fail REASON, cancel, hold, lie, "
		    "release",
		    text);
		goto out;
	}
	if (end && !there) {
		sim_error(r, 404, "NotFound", "no job of '%s' runs", hub);
		goto out;
	}
	if (end) {
		job_end(s, &job, fail_it ? JOB_FAILED : JOB_CANCELLED,
		    !fail_it  ? NULL
		    : *reason ? reason
			      : "An internal error occurred");
	} else if (lie) {
		set_knob(s, "lie", h.name, true);
	} else {
		set_knob(s, "hold", h.name, hold);
		if (release)
			set_knob(s, "lie", h.name, false);
		job.held = hold;
		if (there)
			job_save(s, &job);
	}
	sim_wake(s);
	r->status = 200;
	buf_text(&r->body, "{}");
out:
	job_free(&job);
	free(text);
}
