/*
 * registry-dump: the devices, modules, keys and twins of a hub, as records,
 * with a manifest that says what they are.  How they are read: fleet.h.
 */
#include <jv.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "configurations.h"
#include "dumpstate.h"
#include "exportjob.h"
#include "fleet.h"
#include "hub.h"
#include "opt.h"
#include "out.h"
#include "quota.h"

static const char *output, *state, *manifest, *configurations, *ids, *where;
static long limit = -1;
static bool metadata, exclude_keys;

static const struct opt opts[] = {
	OPT_TEXT('o', "output", "FILE", &output,
	    "write to FILE, which appears when it is complete"),
	OPT_TEXT(0, "state", "FILE", &state,
	    "note in FILE what is read; a dump that was killed goes on there"),
	OPT_TEXT(0, "manifest", "FILE", &manifest,
	    "say in FILE what the dump is, and whether it is complete"),
	OPT_TEXT(0, "configurations", "FILE", &configurations,
	    "write the configurations of the hub to FILE"),
	OPT_TEXT(0, "ids", "FILE", &ids,
	    "read only the devices listed: ids, records or outcomes, one a "
	    "line"),
	OPT_TEXT(0, "where", "CONDITION", &where,
	    "read only the devices of which a condition of IoT Hub's query "
	    "language is true"),
	OPT_NUMBER(0, "limit", "N", &limit, "read only the first N devices"),
	OPT_FLAG(0, "metadata", &metadata,
	    "keep $metadata and $version of the twins"),
	OPT_FLAG(0, "exclude-keys", &exclude_keys,
	    "leave out all keys; such a dump cannot be loaded"),
	OPT_GROUP(via_opts),
	OPT_GROUP(quota_opts),
	OPT_GROUP(hub_opts),
	OPT_END,
};
static const struct tool tool = {
	.name = "registry-dump",
	.synopsis = "[-o FILE] [--manifest=FILE] [HUB] > RECORDS",
	.summary = "Write the identities, keys and twins of a hub as records",
	.example = "registry-dump -o fleet.txt --manifest=fleet.json\n"
		   "registry-dump | registry-load",
	.opts = opts,
	.statuses = "01234567",
	.operands_max = 1,
};

struct dump {
	struct out *out;
	struct dumpstate *state; /* or NULL */
	EVP_MD_CTX *digest;
	char when[32];
};

static void
write_line(struct span line, void *ctx)
{
	struct dump *d = ctx;

	if (manifest && EVP_DigestUpdate(d->digest, line.at, line.len) != 1)
		die(LOCAL_FAILURE, NULL, "SHA-256 failed");
	out_span(d->out, line);
}

static void
dump_configurations(struct hub *hub)
{
	struct configurations *c;
	struct out *out;
	struct err e;

	c = configurations_fetch(hub, &e);
	if (!c)
		die_err(&e);
	out = out_open(configurations, false);
	configurations_write(c, out);
	out_close(out);
	configurations_free(c);
}

static void
add_text(struct buf *b, const char *name, const char *text)
{
	buf_printf(b, ",\"%s\":", name);
	buf_json(b, text, strlen(text));
}

/* Last of all: who sees "complete":true has the whole dump. */
static void
write_manifest(const struct hub *hub, const char *operand, const char *when,
    const struct fleet_got *got, const char *path, EVP_MD_CTX *digest)
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	struct buf b = BUF_INIT;
	unsigned len = 0;
	struct out *out;

	if (EVP_DigestFinal_ex(digest, sum, &len) != 1)
		die(LOCAL_FAILURE, NULL, "SHA-256 failed");
	buf_text(&b, "{\"hub\":");
	buf_json(&b, hub_host(hub), strlen(hub_host(hub)));
	if (operand && *operand == '/')
		add_text(&b, "id", operand);
	add_text(&b, "time", when);
	add_text(&b, "path", path);
	buf_printf(&b, ",\"lines\":%ld,\"devices\":%ld,\"sha256\":\"",
	    got->lines, got->devices);
	for (unsigned i = 0; i < len; i++)
		buf_printf(&b, "%02x", sum[i]);
	buf_printf(&b, "\",\"keys\":%s,\"unlisted\":%ld",
	    exclude_keys ? "false" : "true", got->unlisted);
	if (got->hidden)
		buf_printf(&b, ",\"hidden\":%ld", got->hidden);
	if (got->doubtful)
		buf_printf(&b, ",\"counted\":%ld", got->counted);
	buf_printf(&b, ",\"complete\":%s}\n",
	    got->hidden || got->doubtful ? "false" : "true");
	out = out_open(manifest, false);
	out_span(out, buf_peek(&b));
	out_close(out);
	buf_free(&b);
}

static void
now_text(char when[32])
{
	time_t t = time(NULL);
	struct tm tm;

	(void)gmtime_r(&t, &tm);
	(void)strftime(when, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

/* A name that will not do is found now, and not when all is read. */
static void
check_files(void)
{
	const struct out_file files[] = { { "output", output ? output : "-",
					      state ? OUT_OTHER : OUT_WRITE },
		{ "state", state, OUT_OTHER },
		{ "manifest", manifest, OUT_WRITE },
		{ "configurations", configurations, OUT_WRITE },
		{ "ids", ids, OUT_READ }, { NULL, NULL, 0 } };

	out_check(files);
}

static void
begin(struct dump *d)
{
	if (!d->digest || EVP_DigestInit_ex(d->digest, EVP_sha256(), NULL) != 1)
		die(LOCAL_FAILURE, NULL, "SHA-256 does not start");
	if (manifest && (ids || where || limit > 0))
		usage("a dump of some devices is no complete one: --manifest "
		      "does not go with --ids, --where and --limit");
	if (limit == 0)
		usage("--limit: a dump has at least one device");
	if (ids && where)
		usage("--ids and --where exclude each other");
	if (where && !where[strspn(where, " \t\r\n")])
		usage("--where: the condition is empty");
	if (state && (!output || strcmp(output, "-") == 0))
		usage("--state needs a file to go on with: -o FILE");
	check_files();
}

/* An old one must not speak for a dump that died. */
static void
remove_manifest(void)
{
	struct stat st;

	if (manifest && stat(manifest, &st) == 0 && S_ISREG(st.st_mode))
		(void)unlink(manifest);
}

static struct hub *
open_source(struct http *http, const char *operand)
{
	struct hub *hub;
	struct err e;

	quota_check();
	hub = hub_open(http, operand, "IOTHUB_CONN_STRING", &e);
	if (!hub)
		die_err(&e);
	return hub;
}

static struct dumpstate *
open_state(const struct hub *hub, const char *when)
{
	struct dumpstate *s;
	struct buf options = BUF_INIT;
	struct err e;

	if (!state)
		return NULL;
	buf_text(&options, metadata ? "--metadata " : "");
	buf_text(&options, exclude_keys ? "--exclude-keys " : "");
	if (ids)
		buf_printf(&options, "--ids=%s ", ids);
	if (where)
		buf_printf(&options, "--where=%s ", where);
	if (limit > 0)
		buf_printf(&options, "--limit=%ld ", limit);
	if (options.len)
		options.at[--options.len] = '\0';
	s = dumpstate_open(
	    state, output, hub, options.at ? options.at : "", when, &e);
	if (!s)
		die_err(&e);
	buf_free(&options);
	return s;
}

/* As it was begun, by a job or by calls. */
static bool
go_on(struct hub *hub, struct http *http, struct dump *d,
    struct fleet_want *want, struct fleet_got *got)
{
	const char *path = dumpstate_path(d->state);
	bool job = strcmp(path, "job") == 0;

	if (*path && via_is_told() && via_told_job() != job)
		usage("'%s' was begun with --via=%s: it goes on in that way",
		    state, path);
	*got = dumpstate_got(d->state);
	want->line = dumpstate_line;
	want->skip = dumpstate_skip;
	want->device = dumpstate_device;
	want->by_job = dumpstate_by_job;
	want->end = dumpstate_all;
	want->ctx = d->state;
	want->job = job;
	want->is_read = dumpstate_read(d->state);
	if (got->devices)
		note("'%s': %ld devices were read before", state, got->devices);
	if (job || !*path)
		job =
		    exportjob_read(hub, http, want, configurations, got) || job;
	if (!job && !want->is_read) {
		dumpstate_by_calls(d->state);
		fleet_read(hub, http, want, got);
	}
	dumpstate_end_read(d->state, got);
	if (EVP_MD_CTX_copy_ex(d->digest, dumpstate_digest(d->state)) != 1)
		die(LOCAL_FAILURE, NULL, "SHA-256 failed");
	return job;
}

/* Into a file that appears when it is complete.  By a job? */
static bool
read_fleet(struct hub *hub, struct http *http, struct dump *d,
    struct fleet_want *want, struct fleet_got *got)
{
	bool job;

	if (exclude_keys)
		warn(NULL,
		    "--exclude-keys: what is loaded from such a dump gets new "
		    "keys, that no device has");
	remove_manifest();
	if (d->state)
		return go_on(hub, http, d, want, got);
	d->out = out_open(output, !exclude_keys);
	job = exportjob_read(hub, http, want, configurations, got);
	if (!job)
		fleet_read(hub, http, want, got);
	out_close(d->out);
	return job;
}

static void
dump(struct hub *hub, struct http *http, const char *operand, struct dump *d,
    struct fleet_got *got)
{
	struct fleet_want want = { .metadata = metadata,
		.exclude_keys = exclude_keys,
		.ids = ids,
		.where = where,
		.limit = limit > 0 ? limit : 0,
		.line = write_line,
		.ctx = d,
		.quota = quota_open(hub) };
	bool job = read_fleet(hub, http, d, &want, got);

	if (configurations && !job)
		dump_configurations(hub);
	if (manifest)
		write_manifest(hub, operand,
		    d->state ? dumpstate_began(d->state) : d->when, got,
		    job ? "job" : "rest", d->digest);
	if (d->state)
		dumpstate_end(d->state);
	quota_close(want.quota);
}

/* It was complete, but was all of it asked for then? */
static void
check_complete(void)
{
	const char *const files[] = { output, manifest, configurations };

	for (size_t i = 0; i < sizeof files / sizeof *files; i++)
		if (files[i] && access(files[i], F_OK) != 0)
			die(BAD_USAGE, files[i],
			    "is not there, and '%s' is of a dump that was "
			    "complete without it (begin another state)",
			    state);
	note("'%s': is complete: nothing is left to do", state);
}

int
main(int argc, char *argv[])
{
	int first = tool_start(&tool, argc, argv);
	const char *operand = first < argc ? argv[first] : NULL;
	struct http *http = http_open();
	struct dump d = { .digest = EVP_MD_CTX_new() };
	struct fleet_got got = { 0 };
	struct hub *hub;

	begin(&d);
	hub = open_source(http, operand);
	now_text(d.when);
	d.state = open_state(hub, d.when);
	if (d.state && dumpstate_complete(d.state)) {
		check_complete();
		got = dumpstate_got(d.state);
	} else {
		dump(hub, http, operand, &d, &got);
	}
	note("'%s': %ld devices, %ld lines", hub_name(hub), got.devices,
	    got.lines);
	dumpstate_close(d.state);
	hub_close(hub);
	http_close(http);
	EVP_MD_CTX_free(d.digest);
	return got.hidden || got.doubtful ? PARTLY_DONE : DONE;
}
