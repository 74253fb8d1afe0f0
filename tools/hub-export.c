/* hub-export: an IoT hub as an ARM template. */
#include <string.h>

#include "arm.h"
#include "doc.h"
#include "expr.h"
#include "msg.h"
#include "opt.h"
#include "plugin.h"
#include "rules.h"
#include "template.h"

static bool policies, allow_partial;
static const char *group, *output, *via = "get";

static const struct opt opts[] = {
	OPT_TEXT('g', "resource-group", "GROUP", &group,
	    "resource group of the hub"),
	OPT_TEXT('o', "output", "FILE", &output, "write to FILE"),
	OPT_FLAG(0, "policies", &policies,
	    "with shared access policies and their keys"),
	OPT_CHOICE(0, "via", "get|export", &via,
	    "ask for the hub itself, or for the service's own export"),
	OPT_FLAG(0, "allow-partial", &allow_partial,
	    "take an export that the service calls incomplete"),
	OPT_GROUP(plugin_opts),
	OPT_GROUP(arm_opts),
	OPT_END,
};

static const struct tool tool = {
	.name = "hub-export",
	.synopsis = "[-g GROUP] [--policies] [-o FILE] [OPTION...] HUB",
	.summary = "Print an IoT hub as an ARM template",
	.example = "hub-export -g west-rg contoso >contoso.json",
	.opts = opts,
	.statuses = "01234567",
	.operands_max = 1,
};

/* ---- what the service knows ---- */

/* A list below the hub.  The address is the hub's own: its id. */
static jv
children(struct arm *a, jv hub, const char *below)
{
	jv id = jv_at(hub, "id"), list;

	list = jv_or_die(arm_list(a, arm_request("GET", ARM_API_HUB, jv_null(),
					 "%s/%s", jv_string_value(id), below)));
	jv_free(id);
	return list;
}

/* No GET shows policies; listkeys gives them, keys included (CONTRACT 4.1). */
static jv
all_policies(struct arm *a, jv hub)
{
	jv id = jv_at(hub, "id"), request, answer;

	if (!policies) {
		jv_free(id);
		return jv_null();
	}
	request = arm_request(
	    "POST", ARM_API_HUB, jv_null(), "%s/listkeys", jv_string_value(id));
	jv_free(id);
	request = jv_put(request, "repeat", jv_true());
	answer = jv_or_die(arm_call(a, request));
	return jv_at(answer, "value");
}

/* The service's own export of this one hub; null with --via=get. */
static jv
exported(struct arm *a, jv hub, bool *partial)
{
	jv id = jv_at(hub, "id"), parts, body, answer, error;

	if (strcmp(via, "export") != 0) {
		jv_free(id);
		return jv_null();
	}
	parts = jv_or_die(arm_id_parse(jv_string_value(id)));
	body = jv_put(jv_object(), "resources", JV_ARRAY(id));
	body = jv_put(body, "options", jv_string("SkipAllParameterization"));
	id = jv_at(jv_copy(parts), "subscription");
	parts = jv_at(parts, "group");
	answer = jv_or_die(
	    arm_call(a, jv_put(arm_request("POST", ARM_API_GROUPS, body,
				   "/subscriptions/%s/resourcegroups/%s/"
				   "exportTemplate",
				   jv_string_value(id), jv_string_value(parts)),
			    "repeat", jv_true())));
	jv_free(id);
	jv_free(parts);
	error = jv_at(jv_copy(answer), "error");
	if (jv_get_kind(error) == JV_KIND_OBJECT) {
		jv said = arm_error(jv_copy(answer));
		jv text = jv_at(said, "message");
		const char *s = jv_string_peek(text);

		if (!allow_partial)
			die(REMOTE_REFUSED, NULL,
			    "the export is incomplete: %s (--via=get does "
			    "without it, --allow-partial takes it)",
			    s ? s : "");
		warn(NULL, "the export is incomplete: %s", s ? s : "");
		*partial = true;
		jv_free(text);
	}
	jv_free(error);
	answer = jv_at(answer, "template");
	if (jv_get_kind(answer) != JV_KIND_OBJECT)
		die(REMOTE_REFUSED, NULL,
		    "the export holds no template (--via=get does without it)");
	return answer;
}

static jv
gather(struct arm *a, jv hub, bool *partial)
{
	jv all = jv_put(jv_object(), "hub", jv_copy(hub));

	all = jv_put(all, "export", exported(a, jv_copy(hub), partial));
	all = jv_put(
	    all, "certificates", children(a, jv_copy(hub), "certificates"));
	all = jv_put(all, "groups",
	    children(
		a, jv_copy(hub), "eventHubEndpoints/events/ConsumerGroups"));
	return jv_put(all, "policies", all_policies(a, hub));
}

/* ---- what becomes of it ---- */

/* Endpoint ids are the old hub's: plugins say which members are. */
static jv
without_read_only(jv properties)
{
	jv slots;

	properties = jv_or_die(plugin_uplift(properties));
	slots = jv_or_die(plugin_slots(jv_copy(properties)));
	jv_array_foreach(slots, i, slot) {
		const struct hubpipe_plugin *p = plugin_of_slot_peek(slot);
		jv endpoint = jv_at(jv_copy(slot), "endpoint");

		for (const char *const *m = p->read_only; m && *m; m++)
			endpoint = jv_without(endpoint, *m);
		properties =
		    jv_setpath(properties, jv_at(slot, "path"), endpoint);
	}
	jv_free(slots);
	return properties;
}

int
main(int argc, char *argv[])
{
	int operand = tool_start(&tool, argc, argv);
	bool partial = false;
	struct arm *a;
	struct jqrun *rules;
	jv all, t;

	plugin_start();
	if (!argv[operand])
		usage("which hub?");
	rules = rules_open("import \"export\" as e; e::export");
	a = arm_open();
	all = gather(a, jv_or_die(arm_hub(a, argv[operand], group)), &partial);
	t = rules_run(rules, "export", all);
	t = template_with_properties(
	    t, without_read_only(template_properties(jv_copy(t))));
	jqrun_free(rules);
	arm_close(a);
	(void)doc_write(jv_or_die(expr_lower(t)), output, policies);
	return partial ? PARTLY_DONE : DONE;
}
