/*
 * routes.c: routes, the fallback route and enrichments: which endpoint of the
 * hub gets which messages (CONTRACT 5.2).
 */
#include "iothubs.h"

#include <stdlib.h>
#include <strings.h>

static const char *const sources[] = { "DeviceMessages", "TwinChangeEvents",
	"DeviceLifecycleEvents", "DeviceJobLifecycleEvents",
	"DeviceConnectionStateEvents", "DigitalTwinChangeEvents",
	"MqttBrokerMessages", "Invalid", NULL };

static jv
take_route(struct draft *d, jv given, jv names, bool fallback)
{
	jv out = hub_defaulted("{\"name\":\"$fallback\",\"source\":"
			       "\"DeviceMessages\",\"condition\":\"true\","
			       "\"endpointNames\":[],\"isEnabled\":true}",
	    given);
	char *name = arm_text(out, "name"), *source = arm_text(out, "source");
	jv to = arm_member(out, "endpointNames");
	const char *const *is = sources;

	while (*is && source && strcasecmp(*is, source) != 0)
		is++;
	if (!fallback && !hub_name_good(name))
		draft_refuse(d, 400000, "'%s' is not a valid route name.",
		    name ? name : "");
	else if (!source || !*is)
		draft_refuse(d, 400000,
		    "The route '%s' has an unknown source '%s'.", name,
		    source ? source : "");
	else if (fallback && is != sources)
		draft_refuse(d, 400000,
		    "The fallback route must have the source DeviceMessages.");
	else if (jv_get_kind(to) != JV_KIND_ARRAY ||
		 jv_array_length(jv_copy(to)) != 1)
		draft_refuse(d, 400000,
		    "The route '%s' must name exactly one endpoint.", name);
	else {
		char *one = jv_dup_string(jv_array_get(jv_copy(to), 0));

		out = jv_put(out, "source", jv_string(*is));
		if (!one || !jv_object_has(jv_copy(names), jv_string(one)))
			draft_refuse(d, 400131,
			    "Route has an undefined endpoint, Route Name:%s, "
			    "EndpointName:%s.",
			    name, one ? one : "");
		free(one);
	}
	jv_free(to);
	free(name);
	free(source);
	return out;
}

static void
check_enrichment(struct draft *d, jv given, jv names)
{
	char *key = arm_text(given, "key"), *value = arm_text(given, "value");
	jv to = arm_member(given, "endpointNames");

	if (!key || !*key || !value || jv_get_kind(to) != JV_KIND_ARRAY ||
	    jv_array_length(jv_copy(to)) < 1)
		draft_refuse(d, 400000,
		    "An enrichment must have key, value and endpointNames.");
	else
		jv_array_foreach(to, i, one) {
			const char *name = jv_string_peek(one);

			if (!name ||
			    !jv_object_has(jv_copy(names), jv_string(name)))
				draft_refuse(d, 400131,
				    "Enrichment has an undefined endpoint, "
				    "Enrichment Key:%s, EndpointName:%s.",
				    key, name ? name : "");
			jv_free(one);
		}
	jv_free(to);
	free(key);
	free(value);
}

/* Without a routing member the fallback route is on; with one that does not
 * name it, it is off ([sw-hub], RoutingProperties). */
jv
draft_routing(struct draft *d, jv given)
{
	bool sent = jv_get_kind(given) == JV_KIND_OBJECT;
	jv names = jv_put(jv_object(), "events", jv_true());
	jv seen = jv_object(), routes = jv_array(), out, list, fallback;

	out = jv_put(jv_object(), "endpoints",
	    draft_endpoints(d, arm_member(given, "endpoints"), &names));
	list = arm_member(given, "routes");
	if (jv_get_kind(list) == JV_KIND_ARRAY) {
		if (jv_array_length(jv_copy(list)) > d->sku->routes)
			draft_refuse(d, 400000,
			    "More routes than the %d that a hub of this SKU "
			    "may have.",
			    d->sku->routes);
		jv_array_foreach(list, i, one) {
			char *name = arm_text(one, "name");

			if (name && arm_has(seen, name))
				draft_refuse(d, 400000,
				    "The route name '%s' is used more than "
				    "once.",
				    name);
			if (name)
				seen = jv_put(seen, name, jv_true());
			routes = jv_array_append(
			    routes, take_route(d, one, names, false));
			free(name);
		}
	}
	jv_free(list);
	out = jv_put(out, "routes", routes);
	fallback = arm_or(arm_member(given, "fallbackRoute"),
	    jv_put(jv_put(jv_object(), "endpointNames",
		       JV_ARRAY(jv_string("events"))),
		"isEnabled", sent ? jv_false() : jv_true()));
	out =
	    jv_put(out, "fallbackRoute", take_route(d, fallback, names, true));
	list = arm_member(given, "enrichments");
	if (jv_get_kind(list) == JV_KIND_ARRAY) {
		if (jv_array_length(jv_copy(list)) > d->sku->enrichments)
			draft_refuse(d, 400000,
			    "More enrichments than the %d that a hub of this "
			    "SKU may have.",
			    d->sku->enrichments);
		jv_array_foreach(list, i, one) {
			check_enrichment(d, one, names);
			jv_free(one);
		}
		out = jv_put(out, "enrichments", list);
	} else
		jv_free(list);
	jv_free(given);
	jv_free(names);
	jv_free(seen);
	return out;
}
