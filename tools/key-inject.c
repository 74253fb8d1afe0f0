/* key-inject: fills in the keys that the service shows as "****". */
#include <stdlib.h>
#include <string.h>

#include "arm.h"
#include "doc.h"
#include "expr.h"
#include "msg.h"
#include "opt.h"
#include "out.h"
#include "plugin.h"
#include "rules.h"
#include "template.h"

static bool dry_run, by_reference, drop_unreachable;
static const char *output;

static const struct opt opts[] = {
	OPT_FLAG('n', "dry-run", &dry_run,
	    "print the plan, one endpoint a line, and send nothing"),
	OPT_FLAG(0, "by-reference", &by_reference,
	    "write listKeys() instead of keys: no secret travels"),
	OPT_FLAG(0, "drop-unreachable", &drop_unreachable,
	    "drop an endpoint whose key cannot be had, and its routes"),
	OPT_TEXT('o', "output", "FILE", &output, "write to FILE"),
	OPT_GROUP(plugin_opts),
	OPT_GROUP(arm_opts),
	OPT_END,
};

static const struct tool tool = {
	.name = "key-inject",
	.synopsis = "[-n] [--by-reference] [OPTION...] [TEMPLATE]",
	.summary = "Put the keys of endpoints into an exported hub template",
	.example = "key-inject --by-reference <contoso.json >ready.json",
	.opts = opts,
	.statuses = "0123456",
	.operands_max = 1,
};

/* ---- the plan: what is missing, and who is asked for it ---- */

/* Those secrets of a slot that are masked or absent. */
static jv
missing(jv slot)
{
	const struct hubpipe_plugin *p = plugin_of_slot_peek(slot);
	jv all = jv_or_die(plugin_ask(slot, p->secrets)), out = jv_array();

	jv_array_foreach(all, i, secret) {
		jv value = jv_at(jv_copy(secret), "value");
		const char *text = jv_string_peek(value);

		if (!text || !strcmp(text, PLUGIN_MASK))
			out = jv_array_append(out, jv_copy(secret));
		jv_free(value);
		jv_free(secret);
	}
	jv_free(all);
	return out;
}

/* What the plugins know of each endpoint that lacks a key (keys.jq). */
static jv
lacking(jv properties)
{
	jv slots = jv_or_die(plugin_slots(properties)), jobs = jv_array();

	jv_array_foreach(slots, i, slot) {
		const struct hubpipe_plugin *p = plugin_of_slot_peek(slot);
		jv secrets = missing(jv_copy(slot)), job = jv_object();
		jv e = jv_at(jv_copy(slot), "endpoint");

		if (jv_array_length(jv_copy(secrets)) > 0) {
			job = jv_put(
			    job, "endpoint", plugin_slot_label(jv_copy(slot)));
			job = jv_put(job, "name", jv_at(jv_copy(e), "name"));
			job = jv_put(job, "path", jv_at(jv_copy(slot), "path"));
			job = jv_put(job, "subscription",
			    jv_at(jv_copy(e), "subscriptionId"));
			job = jv_put(
			    job, "group", jv_at(jv_copy(e), "resourceGroup"));
			job = jv_put(job, "want",
			    jv_or_die(
				plugin_ask(jv_copy(slot), p->key_requests)));
			job = jv_put(job, "secrets", jv_copy(secrets));
			jobs = jv_array_append(jobs, jv_copy(job));
		}
		jv_free(job);
		jv_free(e);
		jv_free(secrets);
		jv_free(slot);
	}
	jv_free(slots);
	return jobs;
}

static const char stages[] =
    "import \"keys\" as k; .o as $o | .with as $w | .stage as $s | .jobs | "
    "if $s == \"plan\" then k::plan($o) "
    "elif $s == \"located\" then k::located($w; $o) "
    "elif $s == \"due\" then k::due($w) "
    "elif $s == \"settle\" then k::settle($w.round; $w.answers; $o) "
    "elif $s == \"fill\" then k::fill($o) "
    "else k::endpoint($w.path; $w.name) end";

/* One of the rules, on the jobs; what else it needs goes in with. */
static jv
run(struct jqrun *rules, const char *stage, jv jobs, jv o, jv with)
{
	jv in = jv_put(jv_put(jv_object(), "jobs", jobs), "o", o);

	return rules_run(rules, stage, jv_put(in, "with", with));
}

/* Only asked for where an endpoint does not say. */
static jv
options(struct arm **a, jv jobs)
{
	jv o = jv_put(jv_object(), "reference", jv_bool(by_reference));

	jv_array_foreach(jobs, i, job) {
		jv s = jv_at(job, "subscription");

		if (!jv_string_peek(s) || !*jv_string_value(s)) {
			if (!*a)
				*a = arm_open();
			o = jv_put(
			    o, "subscription", jv_string(arm_subscription(*a)));
		}
		jv_free(s);
	}
	jv_free(jobs);
	return o;
}

/* -n: what of the plan a person wants to see. */
static void
show(jv jobs)
{
	struct out *o = out_open(output, false);

	jv_array_foreach(jobs, i, job) {
		struct buf b = BUF_INIT;
		jv secrets = jv_at(jv_copy(job), "secrets"), names = jv_array();

		jv_array_foreach(secrets, j, s)
			names = jv_array_append(names, jv_at(s, "member"));
		jv_free(secrets);
		job = jv_without(jv_without(job, "want"), "secrets");
		doc_compact(jv_put(job, "members", names), &b);
		buf_char(&b, '\n');
		out_span(o, buf_peek(&b));
		buf_free(&b);
	}
	jv_free(jobs);
	out_close(o);
}

/* ---- acting on it ---- */

/* Every list that a job wants to be looked up in, once. */
static jv
lists(struct arm *a, jv jobs)
{
	jv out = jv_object();

	jv_array_foreach(jobs, i, job) {
		jv find = jv_at(job, "find"),
		   path = jv_at(jv_copy(find), "path");

		if (jv_get_kind(path) == JV_KIND_STRING &&
		    !jv_object_has(jv_copy(out), jv_copy(path)))
			out = jv_object_set(out, jv_copy(path),
			    jv_or_die(arm_list(a, jv_copy(find))));
		jv_free(find);
		jv_free(path);
	}
	jv_free(jobs);
	return out;
}

/* All jobs' first requests at once, then the second ones of those that got
 * 404, and so on. */
static jv
fetch(struct jqrun *rules, struct arm *a, jv jobs, jv o)
{
	jv due, with;

	jobs = run(rules, "located", jobs, jv_copy(o), lists(a, jv_copy(jobs)));
	for (int round = 0;; round++) {
		due = run(
		    rules, "due", jv_copy(jobs), jv_null(), jv_number(round));
		if (jv_array_length(jv_copy(due)) == 0)
			break;
		with = jv_put(jv_object(), "round", jv_number(round));
		with = jv_put(with, "answers", arm_all(a, due));
		jobs = run(rules, "settle", jobs, jv_copy(o), with);
	}
	jv_free(due);
	return run(rules, "fill", jobs, o, jv_null());
}

/* before + listKeys(...).x + after, as one expression. */
static jv
concat(jv secret, jv tree)
{
	jv before = jv_at(jv_copy(secret), "before");
	jv after = jv_at(secret, "after"), call = jv_object(),
	   args = jv_array();

	if (!*jv_string_value(before) && !*jv_string_value(after)) {
		jv_free(before);
		jv_free(after);
		jv_free(call);
		jv_free(args);
		return jv_or_die(expr_print(tree));
	}
	args = jv_array_append(jv_array_append(args, before), tree);
	if (*jv_string_value(after))
		args = jv_array_append(args, after);
	else
		jv_free(after);
	call = jv_put(jv_put(call, "call", jv_string("concat")), "args", args);
	return jv_or_die(expr_print(jv_put(jv_object(), EXPR, call)));
}

static jv
fill(jv endpoint, jv filled)
{
	jv_array_foreach(filled, i, f) {
		jv secret = jv_at(jv_copy(f), "secret"), key = jv_at(f, "key");

		if (jv_get_kind(key) == JV_KIND_STRING)
			endpoint = plugin_fill(endpoint, secret, key);
		else
			endpoint = jv_object_set(endpoint,
			    jv_at(jv_copy(secret), "member"),
			    concat(secret, key));
	}
	jv_free(filled);
	return endpoint;
}

/* Says what failed; all of it before the end. */
static void
complain(jv jobs)
{
	struct err last = { .status = DONE };
	int n = 0;

	jv_array_foreach(jobs, i, job) {
		jv failed = jv_at(jv_copy(job), "failed"), who, text;

		if (jv_get_kind(failed) != JV_KIND_OBJECT) {
			jv_free(failed);
			jv_free(job);
			continue;
		}
		if (n++)
			warn_err(&last);
		who = jv_at(job, "endpoint");
		text = jv_at(jv_copy(failed), "text");
		(void)err_set(&last,
		    (enum status)jv_number_value(jv_at(failed, "status")), NULL,
		    "%s: %s", jv_string_value(who), jv_string_value(text));
		jv_free(who);
		jv_free(text);
	}
	jv_free(jobs);
	if (!n)
		return;
	if (!drop_unreachable)
		die(last.status, NULL,
		    "%s (--drop-unreachable goes on without)", last.text);
	warn_err(&last);
}

static jv
drop(struct jqrun *rules, jv properties, jv job)
{
	jv with = jv_put(jv_object(), "path", jv_at(jv_copy(job), "path"));

	with = jv_put(with, "name", jv_at(job, "name"));
	return run(rules, "drop", properties, jv_null(), with);
}

/* From the end, so that places stay right when endpoints go. */
static jv
apply(struct jqrun *rules, jv properties, jv jobs)
{
	for (int i = jv_array_length(jv_copy(jobs)); i-- > 0;) {
		jv job = jv_array_get(jv_copy(jobs), i);
		jv filled = jv_at(jv_copy(job), "fill");
		jv path = jv_at(jv_copy(job), "path");

		if (jv_get_kind(filled) == JV_KIND_ARRAY) {
			jv e = jv_getpath(jv_copy(properties), jv_copy(path));

			properties =
			    jv_setpath(properties, path, fill(e, filled));
			jv_free(job);
			continue;
		}
		jv_free(path);
		jv_free(filled);
		properties = drop(rules, properties, job);
	}
	jv_free(jobs);
	return properties;
}

/* Masked keys that no plugin looks after would fail far from here. */
static void
check_masks(jv value, const char *name)
{
	const char *text = jv_string_peek(value);

	if (text &&
	    (strstr(text, "=" PLUGIN_MASK) || !strcmp(text, PLUGIN_MASK)))
		warn(name, "is masked and no plugin looks after it");
	if (jv_get_kind(value) == JV_KIND_ARRAY)
		jv_array_foreach(value, i, v)
			check_masks(v, name);
	if (jv_get_kind(value) == JV_KIND_OBJECT &&
	    !jv_string_is_nocase(
		jv_at(jv_copy(value), "authenticationType"), "identityBased"))
		jv_object_foreach(value, key, v) {
			check_masks(v, jv_string_value(key));
			jv_free(key);
		}
	jv_free(value);
}

int
main(int argc, char *argv[])
{
	int operand = tool_start(&tool, argc, argv);
	struct jqrun *rules;
	struct arm *a = NULL;
	jv t, properties, jobs, o;

	plugin_start();
	t = template_read(argv[operand]);
	properties = template_properties(jv_copy(t));
	jobs = lacking(jv_or_die(expr_lift(jv_copy(properties))));

	if (dry_run || jv_array_length(jv_copy(jobs)) > 0) {
		rules = rules_open(stages);
		o = options(&a, jv_copy(jobs));
		jobs = run(rules, "plan", jobs, jv_copy(o), jv_null());
		if (!dry_run) {
			if (!a)
				a = arm_open();
			jobs = fetch(rules, a, jobs, jv_copy(o));
			complain(jv_copy(jobs));
			properties = apply(rules, properties, jv_copy(jobs));
		}
		jv_free(o);
		jqrun_free(rules);
		if (a)
			arm_close(a);
	}
	if (dry_run) {
		show(jobs);
		jv_free(properties);
		jv_free(t);
		return DONE;
	}
	jv_free(jobs);
	check_masks(jv_copy(properties), NULL);
	t = template_with_properties(t, jv_copy(properties));
	return doc_write(
	    t, output, plugin_has_secret(jv_or_die(expr_lift(properties))));
}
