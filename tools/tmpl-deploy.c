/*
 * tmpl-deploy: deploys a hub's template, or says what that would change.  What
 * becomes of the template and of the service's answers: share/jq/deploy.jq.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "arm.h"
#include "arrival.h"
#include "ask.h"
#include "deployment.h"
#include "doc.h"
#include "evaluate.h"
#include "jqrun.h"
#include "json.h"
#include "opt.h"
#include "out.h"
#include "plugin.h"
#include "template.h"

static const char *group, *location, *output, *confirm, *given_name;
static const char *parameters_file;
static bool dry_run;

static const struct opt opts[] = {
	OPT_TEXT('g', "resource-group", "GROUP", &group,
	    "deploy to GROUP; created when it is missing"),
	OPT_TEXT('l', "location", "REGION", &location,
	    "where a new GROUP is (default: the hub's region)"),
	OPT_FLAG('n', "dry-run", &dry_run,
	    "print what would change: + new, ~ changed, - deleted"),
	OPT_TEXT('o', "output", "FILE", &output, "write the result to FILE"),
	OPT_TEXT(0, "confirm", "HUB", &confirm,
	    "overwrite this hub, which is there already"),
	OPT_TEXT(0, "name", "DEPLOYMENT", &given_name,
	    "name of the deployment (default: follows from its content)"),
	OPT_TEXT(0, "parameters", "FILE", &parameters_file,
	    "values of the template's parameters"),
	OPT_GROUP(plugin_opts),
	OPT_GROUP(arm_opts),
	OPT_END,
};
static const struct tool tool = {
	.name = "tmpl-deploy",
	.synopsis = "-g GROUP [-n] [-l REGION] [--confirm=HUB] [TEMPLATE]",
	.summary = "Deploy a hub's template, safe to repeat",
	.example = "key-inject <east.json | tmpl-deploy -n -g east-rg\n"
		   "key-inject <east.json | tmpl-deploy -g east-rg",
	.opts = opts,
	.statuses = "0123456",
	.operands_max = 1,
};

struct job {
	struct jqrun *rules;
	jv template;           /* as it will be sent */
	jv known;              /* its resources, evaluated */
	jv values;             /* of its parameters, secrets among them */
	jv secrets;            /* texts never to show */
	int at;                /* the hub's index in resources */
	char *hub, *id;        /* its name and its id */
	char *name, *group_id; /* of the deployment, of the group */
	char *region;          /* its region; NULL: only the deployment knows */
	bool has_group, has_hub, carries; /* carries: the old hub's policies */
	bool attached; /* this very deployment runs already */
	struct deployment d;
};

static jv
rule(struct job *j, const char *name, jv input)
{
	return jv_or_die(
	    jqrun_first(j->rules, jv_put(input, "do", jv_string(name))));
}

/* -- read ----------------------------------------------------------------- */

static jv
hub_known(struct job *j, const char *member)
{
	return jv_at(jv_array_get(jv_copy(j->known), j->at), member);
}

/* Paths of the keys that stand in the template; one that is missing would be
 * missed by the service only after a while. */
static jv
key_places(struct job *j)
{
	jv slots, places = jv_array();

	slots = jv_or_die(plugin_slots(hub_known(j, "properties")));
	jv_array_foreach(slots, i, slot) {
		jv label = plugin_slot_label(jv_copy(slot));
		jv secrets = jv_or_die(plugin_ask(
		    jv_copy(slot), plugin_of_slot_peek(slot)->secrets));
		jv path = JV_ARRAY(jv_string("resources"), jv_number(j->at),
		    jv_string("properties"));

		path = jv_array_concat(path, jv_at(slot, "path"));
		jv_array_foreach(secrets, k, secret) {
			jv value = jv_at(jv_copy(secret), "value");
			jv place = jv_array_append(
			    jv_copy(path), jv_at(secret, "member"));
			jv text =
			    jv_getpath(jv_copy(j->template), jv_copy(place));

			if (jv_string_is(jv_copy(value), PLUGIN_MASK) ||
			    jv_get_kind(value) != JV_KIND_STRING)
				die(BAD_DATA, j->hub,
				    "%s has no key, only its place (run "
				    "key-inject first)",
				    jv_string_value(label));
			if (jv_get_kind(text) == JV_KIND_STRING &&
			    jv_string_value(text)[0] != '[')
				places = jv_array_append(places, place);
			else
				jv_free(place);
			jv_free(text);
			jv_free(value);
		}
		jv_free(secrets);
		jv_free(path);
		jv_free(label);
	}
	jv_free(slots);
	return places;
}

static void
refuse_names(jv names, const char *what)
{
	struct buf b = BUF_INIT;

	jv_array_foreach(names, i, name) {
		buf_printf(&b, "%s%s", i ? ", " : "", jv_string_value(name));
		jv_free(name);
	}
	jv_free(names);
	if (b.len)
		die(BAD_DATA, b.at, "%s", what);
}

/* Secrets out of the template.  What is left names the deployment, so that the
 * same command finds it again. */
static void
lift(struct job *j, jv places)
{
	jv in = jv_put(jv_object(), "template", j->template), out;
	struct buf text = BUF_INIT;
	char hex[65];

	in = jv_put(in, "values", j->values);
	out = rule(j, "lift", jv_put(in, "places", places));
	refuse_names(jv_at(jv_copy(out), "missing"),
	    "parameter has no value (give one with --parameters=FILE)");
	refuse_names(jv_at(jv_copy(out), "unknown"),
	    "the template has no such parameter");
	j->template = j->d.template = jv_at(jv_copy(out), "template");
	j->values = j->d.values = jv_at(jv_copy(out), "values");
	jv_free(j->secrets);
	j->secrets = jv_at(jv_copy(out), "secrets");
	if (!j->d.name) {
		doc_compact(
		    JV_ARRAY(jv_copy(j->template), jv_at(jv_copy(out), "plain"),
			jv_string(j->d.group)),
		    &text);
		json_sha256(buf_peek(&text), hex);
		j->d.name = j->name =
		    xasprintf("hubpipe-%.46s-%.8s", j->hub, hex);
		buf_free(&text);
	}
	jv_free(out);
}

static void
evaluate(struct job *j, jv where)
{
	jv scope = jv_put(
	    jv_object(), "subscription", jv_string(arm_subscription(j->d.arm)));

	scope = jv_put(scope, "group", jv_string(group));
	if (jv_get_kind(where) == JV_KIND_STRING)
		scope = jv_put(scope, "location", where);
	jv_free(j->known);
	j->known = jv_or_die(evaluate_resources(
	    jv_copy(j->template), jv_copy(j->values), scope));
	free(j->region);
	j->region = jv_dup_string(hub_known(j, "location"));
}

static void
read_job(struct job *j, const char *path)
{
	struct err e;

	j->template = template_read(path);
	j->at = template_hub_peek(j->template);
	j->values = evaluate_parameters(parameters_file);
	j->rules =
	    jqrun_compile("import \"deploy\" as d; d::run", jv_object(), &e);
	if (!j->rules)
		die_err(&e);
	j->d.arm = arm_open();
	j->d.name = given_name;
	j->d.group = j->group_id =
	    xasprintf("/subscriptions/%s/resourceGroups/%s",
		arm_subscription(j->d.arm), group);
	evaluate(j, location ? jv_string(location) : jv_null());
	j->hub = jv_dup_string(hub_known(j, "name"));
	if (!j->hub)
		die(BAD_DATA, NULL,
		    "the hub's name cannot be known before it is deployed "
		    "(run tmpl-rewrite first)");
	if (confirm && strcasecmp(confirm, j->hub) != 0)
		usage("--confirm: the template's hub is '%s', not '%s'", j->hub,
		    confirm);
	j->d.subject = j->hub;
	j->id = xasprintf("%s/providers/" HUB_TYPE "/%s", j->d.group, j->hub);
	lift(j, key_places(j));
}

/* -- plan ----------------------------------------------------------------- */

/* The old hub's policies, keys and all: a PUT without them may lose them
 * (CONTRACT 4.1). */
static void
carry_policies(struct job *j)
{
	jv place = JV_ARRAY(jv_string("resources"), jv_number(j->at),
	    jv_string("properties"), jv_string("authorizationPolicies"));
	jv own = jv_getpath(jv_copy(j->template), jv_copy(place));

	if (jv_get_kind(own) == JV_KIND_NULL) {
		jv old = jv_or_die(arm_list(
		    j->d.arm, jv_put(arm_request("POST", ARM_API_HUB, jv_null(),
					 "%s/listkeys", j->id),
				  "repeat", jv_true())));

		j->template = jv_setpath(j->template, place, old);
		lift(j, jv_array());
		j->carries = true;
	} else
		jv_free(place);
	jv_free(own);
}

/* What the hub has already, equal, is not deployed. */
static void
leave_out(struct job *j)
{
	jv gone = arrival_certificates(j->d.arm, jv_copy(j->known), j->id), out;

	if (jv_array_length(jv_copy(gone)) == 0) {
		jv_free(gone);
		return;
	}
	out = jv_put(jv_object(), "template", j->template);
	out = jv_put(out, "known", j->known);
	out = rule(j, "without", jv_put(out, "gone", gone));
	j->template = j->d.template = jv_at(jv_copy(out), "template");
	j->known = jv_at(out, "known");
	j->at = template_hub_peek(j->template);
}

/* Everything that can be found out without changing anything. */
static void
plan(struct job *j)
{
	jv found = jv_or_die(arm_look(j->d.arm,
	    arm_request("GET", ARM_API_GROUPS, jv_null(), "%s", j->d.group)));
	jv hub = jv_null();

	j->has_group = jv_get_kind(found) == JV_KIND_OBJECT;
	if (j->has_group) {
		evaluate(j, jv_at(jv_copy(found), "location"));
		hub = jv_or_die(arm_look(j->d.arm,
		    arm_request("GET", ARM_API_HUB, jv_null(), "%s", j->id)));
		j->attached = deployment_runs(&j->d);
	}
	jv_free(found);
	j->has_hub = jv_get_kind(hub) == JV_KIND_OBJECT;
	if (!location)
		location = j->region;
	if (!j->has_group && !location)
		usage("resource group '%s' does not exist: where is it to be? "
		      "(-l REGION)",
		    group);
	if (j->region)
		arrival_region(j->d.arm, j->region);
	if (location && location != j->region)
		arrival_region(j->d.arm, location);
	if (!j->attached) {
		if (!j->has_hub)
			arrival_name(j->d.arm, j->hub, group);
		arrival_identities(
		    jv_array_get(jv_copy(j->known), j->at), jv_copy(hub));
	}
	if (!j->attached && j->has_hub) {
		carry_policies(j);
		leave_out(j);
	}
	jv_free(hub);
}

/* {"lines","add","change","delete"} */
static jv
changes(struct job *j)
{
	jv in = jv_object();

	if (!j->has_group) {
		note("resource group '%s' does not exist yet: planned here, "
		     "not by the service",
		    group);
		in = jv_put(in, "resources", jv_copy(j->known));
		return rule(j, "local", in);
	}
	in = jv_put(in, "changes", jv_or_die(deployment_what_if(&j->d)));
	in = jv_put(in, "secrets", jv_copy(j->secrets));
	in = jv_put(in, "carried", j->carries ? jv_true() : jv_false());
	return rule(j, "plan", in);
}

static enum status
print_plan(struct job *j)
{
	jv totals, lines;
	struct out *out;

	if (j->attached) {
		note("deployment '%s' is running: the same command without -n "
		     "waits for it",
		    j->d.name);
		return DONE;
	}
	totals = changes(j);
	lines = jv_at(jv_copy(totals), "lines");
	out = out_open(output, false);
	jv_array_foreach(lines, i, line) {
		out_span(out, span_of(jv_string_value(line)));
		out_add(out, "\n", 1);
		jv_free(line);
	}
	out_close(out);
	note("plan: %.0f to add, %.0f to change, %.0f to delete",
	    jv_number_value(jv_at(jv_copy(totals), "add")),
	    jv_number_value(jv_at(jv_copy(totals), "change")),
	    jv_number_value(jv_at(jv_copy(totals), "delete")));
	jv_free(lines);
	jv_free(totals);
	return DONE;
}

/* -- act ------------------------------------------------------------------ */

/* What is there is overwritten only when nothing of it would change, or its
 * name has been said twice. */
static void
allow(struct job *j)
{
	jv totals;
	double n;

	if (!j->has_hub || confirm)
		return;
	totals = changes(j);
	n = jv_number_value(jv_at(jv_copy(totals), "change")) +
	    jv_number_value(jv_at(totals, "delete"));
	if (n > 0 && !ask_name("this hub is there and would change", j->hub))
		die(ANSWER_NO, j->hub,
		    "the hub is there and would change (see with -n how; then "
		    "--confirm=%s overwrites it)",
		    j->hub);
}

static void
make_group(struct job *j)
{
	if (j->has_group)
		return;
	note("making resource group '%s' in %s", group, location);
	jv_free(jv_or_die(arm_call(
	    j->d.arm, arm_request("PUT", ARM_API_GROUPS,
			  jv_put(jv_object(), "location", jv_string(location)),
			  "%s", j->d.group))));
}

static jv
act(struct job *j)
{
	jv out = jv_object();

	if (j->attached)
		note("deployment '%s' is running already: waiting for it",
		    j->d.name);
	else {
		allow(j);
		make_group(j);
		deployment_start(&j->d);
	}
	out = jv_put(out, "deployment", deployment_watch(&j->d));
	return rule(j, "result", jv_put(out, "secrets", jv_copy(j->secrets)));
}

static void
close_job(struct job *j)
{
	jv_free(j->template);
	jv_free(j->known);
	jv_free(j->values);
	jv_free(j->secrets);
	jqrun_free(j->rules);
	arm_close(j->d.arm);
	free(j->hub);
	free(j->id);
	free(j->region);
	free(j->name);
	free(j->group_id);
}

int
main(int argc, char *argv[])
{
	int at = tool_start(&tool, argc, argv);
	struct job j = { .known = jv_null(), .secrets = jv_array() };
	enum status s;

	plugin_start();
	if (!group)
		usage("no resource group (-g GROUP)");
	read_job(&j, argv[at]);
	plan(&j);
	s = dry_run ? print_plan(&j) : doc_write(act(&j), output, false);
	close_job(&j);
	return s;
}
