/* tmpl-rewrite: one hub's template becomes the template of another. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cloud.h"
#include "doc.h"
#include "evaluate.h"
#include "expr.h"
#include "jqrun.h"
#include "msg.h"
#include "opt.h"
#include "out.h"
#include "plugin.h"
#include "rules.h"
#include "template.h"

#define UPLOAD "storageEndpoints.$default"

static const char *name, *location, *sku, *group, *subscription;
static const char *parameters_file, *file_upload, *filter, *output;
static long capacity = -1, partitions = -1, retention = -1;
static bool ntoldfile_upload, explain, dry_run;
static struct opt_list renames;

static const struct opt opts[] = {
	OPT_TEXT(0, "name", "HUB", &name, "the new hub's name"),
	OPT_TEXT(0, "location", "REGION", &location, "its region"),
	OPT_TEXT(0, "sku", "SKU", &sku, "F1, B1 to B3 or S1 to S3"),
	OPT_NUMBER(0, "capacity", "UNITS", &capacity, "number of units"),
	OPT_NUMBER(0, "partitions", "N", &partitions,
	    "partitions of the built-in endpoint"),
	OPT_NUMBER(0, "retention", "DAYS", &retention,
	    "how long the built-in endpoint keeps messages"),
	OPT_TEXT(0, "endpoint-group", "GROUP", &group,
	    "resource group of what the routes lead to"),
	OPT_TEXT(0, "endpoint-subscription", "ID", &subscription,
	    "subscription of what the routes lead to"),
	OPT_LIST(0, "rename", "OLD=NEW", &renames,
	    "rename what an endpoint names: whole names only; repeatable"),
	OPT_TEXT(0, "parameters", "FILE", &parameters_file,
	    "values of the template's parameters"),
	OPT_TEXT(0, "file-upload", "ACCOUNT/CONTAINER", &file_upload,
	    "where devices upload files to"),
	OPT_FLAG(0, "no-file-upload", &ntoldfile_upload,
	    "the new hub has no file upload"),
	OPT_TEXT(0, "filter", "JQ", &filter,
	    "a last change of your own, on the lifted template"),
	OPT_FLAG(0, "explain", &explain, "say each change as one line"),
	OPT_FLAG('n', "dry-run", &dry_run,
	    "print the changes instead of the template"),
	OPT_TEXT('o', "output", "FILE", &output, "write to FILE"),
	OPT_GROUP(plugin_opts),
	OPT_GROUP(cloud_opts),
	OPT_END,
};

static const struct tool tool = {
	.name = "tmpl-rewrite",
	.synopsis = "[--name=HUB] [--location=REGION] [OPTION...] [TEMPLATE]",
	.summary = "Rewrite a hub's template into that of another hub",
	.example =
	    "tmpl-rewrite --name=contoso-east --location=eastus <contoso.json",
	.opts = opts,
	.statuses = "0234",
	.operands_max = 1,
};

/* ---- the command line ---- */

/* 3 to 50 letters, digits and hyphens, none at the ends (CONTRACT 1). */
static bool
is_hub_name(const char *s)
{
	size_t n = strlen(s);

	return n >= 3 && n <= 50 && s[0] != '-' && s[n - 1] != '-' &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyz"
			 "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == n;
}

static jv
known_sku(void)
{
	static const char *const all[] = { "F1", "B1", "B2", "B3", "S1", "S2",
		"S3" };

	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if (!strcasecmp(all[i], sku))
			return jv_string(all[i]);
	usage("--sku: '%s' is not one of F1, B1, B2, B3, S1, S2, S3", sku);
}

static jv
known_region(enum status s, const char *subject, const char *spelling)
{
	char *region = cloud_region(spelling);
	jv out;

	if (!region)
		die(s, subject,
		    "unknown region '%s' (share/regions.json has the list)",
		    spelling);
	out = jv_string(region);
	free(region);
	return out;
}

/* What the jq rules are told; checked. */
static jv
options(jv given)
{
	jv o = jv_put(jv_object(), "given", given);

	if (name && !is_hub_name(name))
		usage("--name: '%s' is no name of a hub: 3 to 50 letters, "
		      "digits and hyphens, not at the ends",
		    name);
	for (size_t i = 0; i < renames.count; i++)
		if (!strchr(renames.value[i], '='))
			usage(
			    "--rename: '%s' is not OLD=NEW", renames.value[i]);
	if (file_upload && ntoldfile_upload)
		usage("--file-upload and --no-file-upload exclude each other");
	if (file_upload && (!strchr(file_upload, '/') ||
			       strchr(file_upload, '/') == file_upload ||
			       !strchr(file_upload, '/')[1]))
		usage("--file-upload: '%s' is not ACCOUNT/CONTAINER",
		    file_upload);
	if (name)
		o = jv_put(o, "name", jv_string(name));
	if (location)
		o = jv_put(o, "location",
		    known_region(BAD_USAGE, "--location", location));
	if (sku)
		o = jv_put(o, "sku", known_sku());
	if (capacity >= 0)
		o = jv_put(o, "capacity", jv_number((double)capacity));
	if (partitions >= 0)
		o = jv_put(o, "partitions", jv_number((double)partitions));
	if (retention >= 0)
		o = jv_put(o, "retention", jv_number((double)retention));
	if (file_upload || ntoldfile_upload)
		o = jv_put(o, "fileUpload",
		    jv_string(ntoldfile_upload ? "none" : "given"));
	return o;
}

/* ---- the jq rules ---- */

static const char stages[] =
    "import \"rewrite\" as r; import \"changes\" as c; .o as $o | "
    "if .stage == \"prepare\" then .t | r::prepare($o) "
    "elif .stage == \"rewrite\" then .t | r::rewrite($o) "
    "elif .stage == \"unveil\" then .t | r::unveil "
    "elif .stage == \"before\" then .t | r::before($o) "
    "else c::all_changes($o.given) end";

static jv
run(struct jqrun *rules, const char *stage, jv o, jv t)
{
	return rules_run(
	    rules, stage, jv_put(jv_put(jv_object(), "o", o), "t", t));
}

static jv
run_filter(jv t)
{
	struct jqrun *p;
	struct err e;

	if (!filter)
		return t;
	p = jqrun_compile(filter, jv_object(), &e);
	if (!p)
		die(e.status, "--filter", "%s", e.text);
	t = jqrun_first(p, t);
	jqrun_free(p);
	if (!jv_is_valid(t) && !jv_invalid_has_msg(jv_copy(t)))
		die(BAD_DATA, "--filter", "gives no template");
	t = jv_or_die(t);
	if (jv_get_kind(t) != JV_KIND_OBJECT)
		die(BAD_DATA, "--filter", "gives no template");
	(void)template_hub_peek(t);
	return t;
}

/* ---- endpoints ---- */

/* The endpoint with other names; said aloud where that costs it its key. */
static jv
with_names(
    const struct hubpipe_plugin *p, jv endpoint, jv names, const char *label)
{
	bool masked = false;

	endpoint = jv_or_die(
	    plugin_rename(p, endpoint, names, cloud_table(), &masked));
	if (masked)
		warn(NULL,
		    "%s: its key was that of the old resource and is masked "
		    "now (key-inject fetches the new one)",
		    label);
	return endpoint;
}

/* Those of an endpoint's names that --rename changes. */
static jv
new_names(jv names)
{
	jv changed = jv_object();

	jv_object_foreach(names, key, value) {
		const char *now = jv_string_peek(value);

		for (size_t i = 0; now && i < renames.count; i++) {
			const char *from = renames.value[i];
			size_t n = strcspn(from, "=");

			if (strlen(now) == n && !strncasecmp(now, from, n))
				changed = jv_object_set(changed, jv_copy(key),
				    jv_string(from + n + 1));
		}
		jv_free(key);
		jv_free(value);
	}
	jv_free(names);
	return changed;
}

static jv
rewrite_endpoint(jv slot)
{
	const struct hubpipe_plugin *p = plugin_of_slot_peek(slot);
	jv label = plugin_slot_label(jv_copy(slot));
	jv names = new_names(jv_or_die(plugin_ask(jv_copy(slot), p->names)));
	bool is_route = jv_string_is(
	    jv_array_get(jv_at(jv_copy(slot), "path"), 0), "routing");
	jv endpoint = jv_at(slot, "endpoint");

	for (const char *const *m = p->read_only; m && *m; m++)
		endpoint = jv_without(endpoint, *m);
	if (jv_object_length(jv_copy(names)))
		endpoint =
		    with_names(p, endpoint, names, jv_string_value(label));
	else
		jv_free(names);
	if (is_route && group)
		endpoint = jv_put(endpoint, "resourceGroup", jv_string(group));
	if (is_route && subscription)
		endpoint =
		    jv_put(endpoint, "subscriptionId", jv_string(subscription));
	jv_free(label);
	return endpoint;
}

/* --file-upload: the account in its place, made anew where there was none. */
static jv
upload_to(jv properties)
{
	struct err e;
	const struct hubpipe_plugin *p = plugin_claiming(UPLOAD, &e);
	jv path = jv_string_split(jv_string(UPLOAD), jv_string("."));
	size_t n = strcspn(file_upload, "/");
	jv endpoint = jv_path(jv_copy(properties), UPLOAD), names;

	if (!p)
		die_err(&e);
	if (jv_get_kind(endpoint) != JV_KIND_OBJECT) {
		jv_free(endpoint);
		endpoint = jv_object();
	}
	names = jv_put(
	    jv_object(), "account", jv_string_sized(file_upload, (int)n));
	names = jv_put(names, "container", jv_string(file_upload + n + 1));
	endpoint = with_names(p, endpoint, names, "file upload");
	return jv_setpath(properties, path, endpoint);
}

/* A --rename that leads nowhere is a slip of the pen. */
static void
check_renames(jv properties)
{
	jv slots = jv_or_die(plugin_slots(properties));

	for (size_t i = 0; i < renames.count; i++) {
		const char *to = strchr(renames.value[i], '=') + 1;
		bool met = false;

		jv_array_foreach(slots, j, slot) {
			const struct hubpipe_plugin *p =
			    plugin_of_slot_peek(slot);
			jv names = jv_or_die(plugin_ask(slot, p->names));

			jv_object_foreach(names, key, value) {
				met = jv_string_is_nocase(value, to) || met;
				jv_free(key);
			}
			jv_free(names);
		}
		if (!met)
			warn(renames.value[i],
			    "no endpoint has the name that --rename changes");
	}
	jv_free(slots);
}

static jv
rewrite_endpoints(jv properties)
{
	jv slots;

	properties = jv_or_die(plugin_uplift(properties));
	if (file_upload)
		properties = upload_to(properties);
	slots = jv_or_die(plugin_slots(jv_copy(properties)));
	jv_array_foreach(slots, i, slot)
		properties = jv_setpath(properties,
		    jv_at(jv_copy(slot), "path"), rewrite_endpoint(slot));
	jv_free(slots);
	check_renames(jv_copy(properties));
	return properties;
}

/* ---- what comes out ---- */

/* Name and region that were not asked for must be good, too, where known. */
static void
check_hub(jv t)
{
	jv hub =
	    jv_array_get(jv_at(jv_copy(t), "resources"), template_hub_peek(t));
	jv n = jv_at(jv_copy(hub), "name"), l = jv_at(hub, "location");
	const char *hub_name = jv_string_peek(n), *where = jv_string_peek(l);

	if (hub_name && !is_hub_name(hub_name))
		die(BAD_DATA, hub_name,
		    "no name of a hub: 3 to 50 letters, digits and hyphens, "
		    "not at the ends (give --name)");
	if (where)
		jv_free(known_region(BAD_DATA, hub_name, where));
	jv_free(n);
	jv_free(l);
	jv_free(t);
}

/* The template without any key: for people to read. */
static jv
masked(jv t)
{
	return template_with_properties(
	    t, jv_or_die(plugin_mask_all(template_properties(jv_copy(t)))));
}

/* One line for each change, on stderr or, with -n, on stdout. */
static void
tell(struct jqrun *rules, jv o, jv old, jv was, jv now)
{
	jv in = jv_object(), lines;
	struct out *f = dry_run ? out_open(output, false) : NULL;
	int counts[3] = { 0, 0, 0 };

	was = masked(run(rules, "before", old, was));
	now = masked(now);
	in = jv_put(in, "old", jv_or_die(expr_lower(jv_copy(was))));
	in = jv_put(in, "new", jv_or_die(expr_lower(jv_copy(now))));
	in = jv_put(jv_put(in, "was", was), "now", now);
	lines = rules_run(rules, "changes", jv_put(in, "o", o));
	jv_array_foreach(lines, i, line) {
		const char *s = jv_string_value(line);

		counts[*s == '+' ? 0 : *s == '~' ? 1 : 2]++;
		if (f) {
			out_add(f, s, strlen(s));
			out_add(f, "\n", 1);
		} else {
			note("%s", s);
		}
		jv_free(line);
	}
	jv_free(lines);
	if (f)
		out_close(f);
	note("%d added, %d changed, %d removed", counts[0], counts[1],
	    counts[2]);
}

int
main(int argc, char *argv[])
{
	int operand = tool_start(&tool, argc, argv);
	jv t, o, given, ready, old, was;
	struct jqrun *rules;
	bool secret;

	plugin_start();
	given = evaluate_parameters(parameters_file);
	o = options(jv_copy(given));
	t = template_read(argv[operand]);
	(void)template_hub_peek(t);
	rules = rules_open(stages);

	ready = run(rules, "prepare", jv_copy(o), evaluate_lift(t));
	old = jv_at(jv_copy(ready), "old");
	was = evaluate_fold(jv_at(jv_copy(ready), "template"), given);
	o = jv_object_merge(o, jv_without(ready, "template"));
	t = run(rules, "rewrite", jv_copy(o), jv_copy(was));
	t = run(rules, "unveil", jv_null(), evaluate_fold(t, jv_object()));
	t = template_with_properties(
	    t, rewrite_endpoints(template_properties(jv_copy(t))));
	t = run_filter(t);
	check_hub(jv_copy(t));
	secret = plugin_has_secret(template_properties(jv_copy(t)));

	if (explain || dry_run)
		tell(rules, o, jv_copy(old), jv_copy(was), jv_copy(t));
	else
		jv_free(o);
	jqrun_free(rules);
	jv_free(old);
	jv_free(was);
	if (!dry_run)
		return doc_write(jv_or_die(expr_lower(t)), output, secret);
	jv_free(t);
	return DONE;
}
