/*
 * namespace.h: an endpoint that is an entity in a namespace and is reached by
 * "Endpoint=sb://NS...;SharedAccessKeyName=RULE;SharedAccessKey=K;
 * EntityPath=ENTITY" or, identity-based, by endpointUri and entityPath
 * (CONTRACT 5, 10).  The plugin that includes it has defined
 *
 *   NAMESPACES  the type of the namespace, "Microsoft.X/namespaces"
 *   ENTITIES    the type of the entity below it, such as "queues"
 *   VERSION     the api-version of both
 */
#include "endpoint.h"

static jv
names(jv endpoint)
{
	jv out = jv_object();

	if (is_identity_based(endpoint)) {
		out = put(out, "namespace",
		    label_of(text_of(endpoint, "endpointUri")));
		out = put(out, "entity", text_of(endpoint, "entityPath"));
	} else {
		out = put(out, "namespace",
		    label_of(part_text(endpoint, "Endpoint")));
		out = put(out, "entity", part_text(endpoint, "EntityPath"));
		out = put(
		    out, "rule", part_text(endpoint, "SharedAccessKeyName"));
	}
	jv_free(endpoint);
	return out;
}

static jv
with_names(jv endpoint, jv wanted, jv cloud)
{
	jv ns = text_of(wanted, "namespace");
	jv entity = text_of(wanted, "entity"), rule = text_of(wanted, "rule");
	jv uri = text_of(endpoint, "endpointUri");
	jv string = text_of(endpoint, "connectionString");
	jv host = part_text(endpoint, "Endpoint");

	if (is_text(uri) && is_text(ns))
		endpoint = put(endpoint, "endpointUri",
		    with_label(jv_copy(uri), jv_copy(ns)));
	if (is_text(string)) {
		if (is_text(host) && is_text(ns))
			string = with_part(string, "Endpoint",
			    with_label(jv_copy(host), jv_copy(ns)));
		string = with_part(string, "EntityPath", jv_copy(entity));
		string =
		    with_part(string, "SharedAccessKeyName", jv_copy(rule));
		endpoint = put(endpoint, "connectionString", jv_copy(string));
	}
	if (is_identity_based(endpoint))
		endpoint = put(endpoint, "entityPath", jv_copy(entity));
	jv_free(ns);
	jv_free(entity);
	jv_free(rule);
	jv_free(uri);
	jv_free(string);
	jv_free(host);
	jv_free(wanted);
	jv_free(cloud);
	return endpoint;
}

static jv
secrets(jv endpoint)
{
	jv string =
	    jv_object_get(jv_copy(endpoint), jv_string("connectionString"));
	int keyless = is_identity_based(endpoint) ||
		      jv_get_kind(string) == JV_KIND_OBJECT;

	jv_free(endpoint);
	if (keyless) {
		jv_free(string);
		return jv_array();
	}
	if (!is_text(string) || !*jv_string_value(string)) {
		jv_free(string);
		return fail("neither a connectionString nor identity-based");
	}
	return JV_ARRAY(secret_in(
	    string, "SharedAccessKey", JV_ARRAY(jv_string("primaryKey"))));
}

/* A rule of the entity goes first: the same name may exist on both. */
static jv
key_requests(jv endpoint)
{
	jv ns = label_of(part_text(endpoint, "Endpoint"));
	jv entity = part_text(endpoint, "EntityPath");
	jv rule = part_text(endpoint, "SharedAccessKeyName");
	jv out = jv_array();

	jv_free(endpoint);
	if (!is_text(ns) || !is_text(rule)) {
		jv_free(out);
		out = fail("connectionString lacks 'Endpoint' or "
			   "'SharedAccessKeyName'");
	} else {
		if (is_text(entity))
			out = jv_array_append(
			    out, request_for(NAMESPACES "/" ENTITIES
							"/authorizationRules",
				     JV_ARRAY(jv_copy(ns), jv_copy(entity),
					 jv_copy(rule)),
				     VERSION, "listKeys"));
		out = jv_array_append(
		    out, request_for(NAMESPACES "/authorizationRules",
			     JV_ARRAY(jv_copy(ns), jv_copy(rule)), VERSION,
			     "listKeys"));
	}
	jv_free(ns);
	jv_free(entity);
	jv_free(rule);
	return out;
}

static jv
resource(jv endpoint)
{
	jv all = names(endpoint), ns = text_of(all, "namespace");
	jv entity = text_of(all, "entity");

	jv_free(all);
	if (is_text(ns) && is_text(entity))
		return request_for(NAMESPACES "/" ENTITIES,
		    JV_ARRAY(ns, entity), VERSION, NULL);
	jv_free(entity);
	if (is_text(ns))
		return request_for(NAMESPACES, JV_ARRAY(ns), VERSION, NULL);
	jv_free(ns);
	return fail("names no namespace");
}

static const char *const read_only[] = { "id", NULL };
