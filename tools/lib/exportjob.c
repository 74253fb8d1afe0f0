/* exportjob.c: a hub's devices by an export job; see exportjob.h. */
#include "exportjob.h"

#include <stdlib.h>

#include "entry.h"
#include "interrupt.h"
#include "out.h"
#include "progress.h"

enum { END_SECONDS = 20, LIST_MAX = 1000 };

struct export
{
	struct hub *hub;
	const struct fleet_want *want;
	struct fleet_got *got;
	struct storage *storage;
	struct job *job;
	long total; /* devices that the hub counts; -1 */
	struct buf line, device, properties;
	long astray;  /* modules that do not follow their device */
	bool began;   /* a record came */
	bool stamped; /* with $version */
	bool lost;    /* what the job wrote is not there */
};

/* -- is it to be by job --------------------------------------------------- */

/* What calls would cost; modules are not counted by anybody. */
static bool
is_chosen(struct export *x)
{
	const struct fleet_want *want = x->want;
	struct via_work work = { .rest = "calls", .lines = -1 };
	bool some = want->ids || want->where || want->next || want->limit;
	struct err e;
	double n;

	if (some)
		work.never = "--ids, --where and --limit read single devices";
	else if (want->metadata)
		work.never = "an export has no $metadata and $version";
	/* Who says job gets what an export has. */
	if (via_told_job() && want->metadata && !some)
		work.never = NULL;
	if (via_is_told() && !via_told_job())
		return false;
	if (!some)
		x->total = hub_devices(x->hub, &e);
	if (want->job)
		return true;
	if (x->total >= 0) {
		n = (double)x->total;
		work.lines = x->total;
		work.cost.of[HUB_IDENTITY] =
		    n + (n > LIST_MAX ? n - LIST_MAX : 0);
		work.cost.of[HUB_TWIN_READ] = n;
		if (x->total > LIST_MAX)
			work.cost.of[HUB_QUERY] = n / LIST_MAX + 1;
	}
	return via_choose(want->quota, hub_name(x->hub), &work) == VIA_JOB;
}

/* -- lines ---------------------------------------------------------------- */

/* The members of a line in the order in which fleet.c writes them; a module's
 * line has not all of them. */
static const char *const order[] = { "id", "moduleId", "eTag", "status",
	"statusReason", "authentication", "twinETag", "tags", "properties",
	"capabilities", "deviceScope", "parentScopes", "managedBy" };
enum { ORDER = sizeof order / sizeof *order };

static void
put(struct buf *line, struct span name, struct span value)
{
	buf_char(line, line->len ? ',' : '{');
	buf_span(line, name);
	buf_char(line, ':');
	buf_span(line, value);
}

/* desired and reported, without what a dump by calls does not have either. */
static void
put_properties(struct export *x, struct span name, struct span value)
{
	static const char *const sections[] = { "desired", "reported" };
	struct buf *all = &x->properties;

	buf_clear(all);
	for (int i = 0; i < 2; i++) {
		struct span s = entry_path(value, sections[i], NULL);

		if (!s.at)
			continue;
		buf_text(all, all->len ? ",\"" : "{\"");
		buf_text(all, sections[i]);
		buf_text(all, "\":");
		entry_plain(s, all);
	}
	if (all->len) {
		buf_char(all, '}');
		value = buf_peek(all);
	}
	put(&x->line, name, value);
}

static void
put_member(struct export *x, const struct json_member *m, bool module)
{
	/* What every export says of a module, and no call: it is no Edge
	 * device. */
	if (module && (json_name_is(m, "capabilities") ||
			  json_name_is(m, "statusReason")))
		return;
	if (json_name_is(m, "statusReason") && m->value.len == 2)
		put(&x->line, m->name, span_of("null"));
	else if (json_name_is(m, "authentication") && x->want->exclude_keys)
		put(&x->line, m->name, span_of("null"));
	else if (json_name_is(m, "properties") && !x->want->metadata)
		put_properties(x, m->name, m->value);
	else
		put(&x->line, m->name, m->value);
}

static bool
is_known(const struct json_member *m)
{
	for (size_t i = 0; i < ORDER; i++)
		if (json_name_is(m, order[i]))
			return true;
	return false;
}

/* Is it of an earlier run's lines? */
static bool
is_written(const struct export *x, struct span id, struct span module)
{
	char *text, *of;
	bool is;

	if (!x->want->skip)
		return false;
	text = json_string(id);
	of = module.at ? json_string(module) : NULL;
	is =
	    text && (of || !module.at) && x->want->skip(text, of, x->want->ctx);
	free(text);
	free(of);
	return is;
}

/* As the service writes them: each once, and in that order. */
static bool
is_in_order(const struct json *j)
{
	size_t at = 0;

	for (size_t i = 0; i < j->count; i++, at++) {
		while (at < ORDER && !json_name_is(&j->member[i], order[at]))
			at++;
		if (at == ORDER)
			return false;
	}
	return true;
}

static void
put_members(struct export *x, const struct json *j, bool module)
{
	const struct json_member *m;

	if (is_in_order(j)) {
		for (size_t i = 0; i < j->count; i++)
			put_member(x, &j->member[i], module);
		return;
	}
	for (size_t i = 0; i < ORDER; i++)
		if (json_find(j, order[i], &m) == 1)
			put_member(x, m, module);
	for (size_t i = 0; i < j->count; i++)
		if (!is_known(&j->member[i]))
			put_member(x, &j->member[i], module);
}

static void
write_record(struct export *x, const struct json *j)
{
	struct span id = entry_member(j, "id"),
		    module = entry_member(j, "moduleId");
	bool known;

	if (!module.at && x->want->device)
		x->want->device(x->got, x->want->ctx);
	known = is_written(x, id, module);
	if (!module.at) {
		buf_clear(&x->device);
		buf_span(&x->device, id);
		x->got->devices += !known;
		progress_add(1);
	} else if (!x->device.at || !id.at || x->device.len != id.len ||
		   memcmp(x->device.at, id.at, id.len) != 0) {
		x->astray++;
	}
	if (x->want->metadata && !x->stamped)
		x->stamped =
		    entry_path(entry_path(entry_member(j, "properties"),
				   "desired", NULL),
			"$version", NULL)
			.at != NULL;
	if (known)
		return;
	put_members(x, j, module.at != NULL);
	/* As calls say of $edgeAgent and $edgeHub. */
	if (module.at && module.len > 2 && module.at[1] == '$' &&
	    !entry_member(j, "managedBy").at)
		buf_text(&x->line, ",\"managedBy\":\"iotEdge\"");
	buf_text(&x->line, "}\n");
	x->want->line(buf_peek(&x->line), x->want->ctx);
	buf_clear(&x->line);
	x->got->lines++;
}

/* A record, or what stands above the first one (CONTRACT 16.3). */
static void
take_line(struct export *x, const struct line *line, bool whole, struct json *j)
{
	struct json_fault fault;

	if (whole && span_is_blank(line->text))
		return;
	if (whole && line->text.len && *line->text.at != '{' && !x->began) {
		trace("line %ld of the export is no record", line->number);
		return;
	}
	if (whole && json_scan(line->text, j, &fault) == 0 &&
	    j->kind == JSON_OBJECT && entry_member(j, "id").at) {
		x->began = true;
		write_record(x, j);
		return;
	}
	/* Never its text: it may hold keys. */
	warn(hub_name(x->hub), "line %ld of the export is no record: left out",
	    line->number);
	x->got->hidden++;
}

/* -- the job -------------------------------------------------------------- */

/* What is of no use to a next run goes. */
static _Noreturn void
give_up(struct export *x, const struct err *why)
{
	enum job_state state = job_state(x->job);

	progress_end();
	job_close(x->job, x->lost || state == JOB_FAILED ||
			      state == JOB_CANCELLED ||
			      (state == JOB_NONE && !*job_id(x->job)));
	storage_close(x->storage);
	die_err(why);
}

static void
read_devices(struct export *x)
{
	const char *name = job_blob(x->job, "devices", ".txt");
	struct blob_reader *r;
	struct json j = { 0 };
	struct line line;
	enum lines_got got;
	struct err e;

	r = blob_read(x->storage, job_container(x->job), name, 0, &e);
	/* A hub that does not heed the name. */
	if (!r && e.status == ANSWER_NO)
		r = blob_read(
		    x->storage, job_container(x->job), "devices.txt", 0, &e);
	if (!r) {
		x->lost = e.status == ANSWER_NO;
		if (x->lost)
			err_set(&e, REMOTE_RETRY, hub_name(x->hub),
			    "its export is not in container '%s'",
			    job_container(x->job));
		give_up(x, &e);
	}
	if (x->want->by_job)
		x->want->by_job(x->want->ctx);
	progress_begin("devices", x->total > 0 ? x->total : 0);
	while ((got = blob_read_line(r, &line, &e)) > 0) {
		if (got == LINES_PIECE)
			continue;
		take_line(x, &line, got == LINES_LINE, &j);
		job_beat(x->job);
		if (job_interrupted()) {
			(void)job_interrupt(x->job, &e);
			got = LINES_FAILED;
			break;
		}
	}
	progress_end();
	json_free(&j);
	blob_read_close(r);
	if (got == LINES_FAILED)
		give_up(x, &e);
}

static void
read_configurations(struct export *x, const char *file)
{
	const char *name = job_blob(x->job, "configurations", ".txt");
	struct blob_reader *r;
	struct line line;
	enum lines_got got;
	struct out *out;
	struct err e;

	r = blob_read(x->storage, job_container(x->job), name, 0, &e);
	if (!r && e.status == ANSWER_NO)
		r = blob_read(x->storage, job_container(x->job),
		    "configurations.txt", 0, &e);
	if (!r && e.status != ANSWER_NO)
		give_up(x, &e);
	out = out_open(file, false);
	while (r && (got = blob_read_line(r, &line, &e)) > 0) {
		if (got != LINES_PIECE && got != LINES_LAST &&
		    (!line.text.len || *line.text.at != '{'))
			continue;
		out_span(out, line.text);
		if (got != LINES_PIECE)
			out_add(out, "\n", 1);
	}
	if (r && got == LINES_FAILED)
		give_up(x, &e);
	if (r)
		blob_read_close(r);
	out_close(out);
}

/* false: the tier has no jobs, and calls may do it. */
static bool
run(struct export *x, bool configurations)
{
	struct job_spec spec = { .output = job_blob(x->job, "devices", ".txt"),
		.exclude_keys = x->want->exclude_keys };
	char code[64];
	struct err e;

	if (configurations)
		spec.configurations =
		    job_blob(x->job, "configurations", ".txt");
	if (job_begin(x->job, 0, &spec, code, &e) != 0) {
		if (strcmp(code, "OperationNotAvailableInCurrentTier") != 0 ||
		    via_is_told())
			give_up(x, &e);
		warn_err(&e);
		note("'%s': by calls, then", hub_name(x->hub));
		job_close(x->job, true);
		return false;
	}
	if (job_state(x->job) != JOB_COMPLETED &&
	    job_wait(x->job, "devices", x->total, &e) != 0)
		give_up(x, &e);
	return true;
}

static void
say_what_is_missing(const struct export *x)
{
	if (x->astray)
		warn(hub_name(x->hub),
		    "its export has %ld modules that do not follow their "
		    "device",
		    x->astray);
	if (x->want->metadata && !x->stamped)
		warn(hub_name(x->hub),
		    "its export has no $metadata and $version (--via=rest has "
		    "them)");
}

bool
exportjob_read(struct hub *hub, struct http *http,
    const struct fleet_want *want, const char *configurations,
    struct fleet_got *got)
{
	struct export x = { .hub = hub, .want = want, .got = got, .total = -1 };
	struct err e;
	bool done;

	if (!is_chosen(&x))
		return false;
	interrupt_catch(END_SECONDS);
	x.storage = storage_open(http, &e);
	if (!x.storage)
		die_err(&e);
	x.job = job_open(hub, x.storage, JOB_EXPORT,
	    configurations ? want->exclude_keys ? "configurations without keys"
						: "configurations"
	    : want->exclude_keys ? "without keys"
				 : "",
	    &e);
	if (!x.job) {
		storage_close(x.storage);
		die_err(&e);
	}
	done = !want->is_read && run(&x, configurations != NULL);
	if (want->is_read) {
		job_close(x.job, true);
	} else if (done) {
		read_devices(&x);
		if (configurations)
			read_configurations(&x, configurations);
		say_what_is_missing(&x);
		if (want->end)
			want->end(got, want->ctx);
		job_close(x.job, true);
	}
	storage_close(x.storage);
	buf_wipe(&x.line);
	buf_wipe(&x.properties);
	buf_free(&x.device);
	return done;
}
