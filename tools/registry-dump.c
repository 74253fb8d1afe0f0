/*
 * registry-dump: the devices, modules, keys and twins of a hub, as records,
 * with a manifest that says what they are.  How they are read: fleet.h.
 */
#include <jv.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "configurations.h"
#include "exportjob.h"
#include "fleet.h"
#include "hub.h"
#include "opt.h"
#include "out.h"
#include "quota.h"

static const char *output, *manifest, *configurations, *ids;
static bool metadata, exclude_keys;

static const struct opt opts[] = {
	OPT_TEXT('o', "output", "FILE", &output,
	    "write to FILE, which appears when it is complete"),
	OPT_TEXT(0, "manifest", "FILE", &manifest,
	    "say in FILE what the dump is, and whether it is complete"),
	OPT_TEXT(0, "configurations", "FILE", &configurations,
	    "write the configurations of the hub to FILE"),
	OPT_TEXT(0, "ids", "FILE", &ids,
	    "read only the devices listed: ids, records or outcomes, one a "
	    "line"),
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
	.statuses = "0124567",
	.operands_max = 1,
};

struct dump {
	struct out *out;
	EVP_MD_CTX *digest;
};

static void
write_line(struct span line, void *ctx)
{
	struct dump *d = ctx;

	if (EVP_DigestUpdate(d->digest, line.at, line.len) != 1)
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
	buf_printf(&b, "\",\"keys\":%s,\"unlisted\":%ld,\"complete\":%s}\n",
	    exclude_keys ? "false" : "true", got->unlisted,
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

static void
begin(struct dump *d)
{
	if (!d->digest || EVP_DigestInit_ex(d->digest, EVP_sha256(), NULL) != 1)
		die(LOCAL_FAILURE, NULL, "SHA-256 does not start");
	if (ids && manifest)
		usage("a dump of some devices is no complete one: --manifest "
		      "does not go with --ids");
	/* An old one must not speak for a dump that died. */
	if (manifest)
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

int
main(int argc, char *argv[])
{
	int first = tool_start(&tool, argc, argv);
	const char *operand = first < argc ? argv[first] : NULL;
	struct http *http = http_open();
	struct dump d = { .digest = EVP_MD_CTX_new() };
	struct fleet_want want = { metadata, exclude_keys, ids, write_line, &d,
		NULL };
	struct fleet_got got;
	struct hub *hub;
	char when[32];
	bool job;

	begin(&d);
	hub = open_source(http, operand);
	want.quota = quota_open(hub);
	now_text(when);
	d.out = out_open(output, !exclude_keys);
	/* A job exports all there is. */
	job = !ids && exportjob_read(hub, http, &want, configurations, &got);
	if (!job)
		fleet_read(hub, http, &want, &got);
	out_close(d.out);
	if (configurations && !job)
		dump_configurations(hub);
	if (manifest)
		write_manifest(
		    hub, operand, when, &got, job ? "job" : "rest", d.digest);
	note("'%s': %ld devices, %ld lines", hub_name(hub), got.devices,
	    got.lines);
	quota_close(want.quota);
	hub_close(hub);
	http_close(http);
	EVP_MD_CTX_free(d.digest);
	return got.hidden || got.doubtful ? PARTLY_DONE : DONE;
}
