/*
 * export.c: POST resourcegroups/{group}/exportTemplate (CONTRACT 8).  What
 * the real export leaves out is left out here too: keys, consumer groups,
 * access policies, settings that are younger than the schema it uses.
 */
#include "deploy.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

#include "expr.h"

enum { MAX_EXPORT = 200 };

struct export
{
	struct sim *s;
	bool names, secrets; /* become parameters */
	jv parameters, resources, details;
};

static const char hub_type[] = "Microsoft.Devices/IotHubs";

/* IotHubs_contoso_west_name: the last word of the type, the name, a word. */
static char *
parameter_name(const char *type, const char *name, const char *word)
{
	const char *last = strrchr(type, '/');
	char *text = xasprintf("%s_%s_%s", last ? last + 1 : type, name, word);
	bool keep = sim_doubt_is("parameter-name-hyphen", "kept");

	for (char *c = text; *c; c++)
		if (!isalnum((unsigned char)*c) && !(keep && *c == '-'))
			*c = '_';
	return text;
}

static jv
call_tree(const char *name, jv args)
{
	jv call =
	    jv_put(jv_put(jv_object(), "call", jv_string(name)), "args", args);

	return jv_put(jv_object(), EXPR, call);
}

static jv
parameter_tree(const char *parameter)
{
	return call_tree(
	    "parameters", jv_array_append(jv_array(), jv_string(parameter)));
}

/* A literal of the service as text of a template. */
static jv
literal(jv text)
{
	return expr_print(text);
}

/* The name of a resource: of its top one a parameter, the rest literal. */
static jv
name_of(struct export *x, const char *type, const char *full)
{
	size_t top = strcspn(full, "/");
	const char *second = strchr(type, '/');
	char *head = xstrndup(full, top), *parameter, *top_type;
	jv tree;

	if (!x->names) {
		free(head);
		return literal(jv_string(full));
	}
	top_type = xstrndup(
	    type, (size_t)(second - type) + 1 + strcspn(second + 1, "/"));
	parameter = parameter_name(top_type, head, "name");
	tree = parameter_tree(parameter);
	if (full[top])
		tree = call_tree(
		    "concat", jv_array_append(jv_array_append(jv_array(), tree),
				  jv_string(full + top)));
	x->parameters = jv_put(x->parameters, parameter,
	    jv_put(jv_put(jv_object(), "defaultValue", jv_string(head)), "type",
		jv_string("String")));
	free(head);
	free(parameter);
	free(top_type);
	return expr_print(tree);
}

/* resourceId('A/b/c', parameters('...'), 'n2') of the nearest parent that is a
 * resource here: a blob service is not. */
static jv
parent_id(struct export *x, const char *type, const char *full)
{
	char *parent = xstrdup(type), *name = xstrdup(full), *at, *rest;
	jv args;

	do {
		*strrchr(parent, '/') = '\0';
		*strrchr(name, '/') = '\0';
	} while (!arm_type_known(parent) && strchr(name, '/'));
	args = jv_array_append(jv_array(), jv_string(parent));
	rest = name;
	while ((at = strsep(&rest, "/")) != NULL) {
		if (at == name && x->names) {
			char *top, *parameter;
			const char *second = strchr(type, '/') + 1;

			top = xstrndup(type,
			    (size_t)(second - type) + strcspn(second, "/"));
			parameter = parameter_name(top, at, "name");
			args = jv_array_append(args, parameter_tree(parameter));
			free(top);
			free(parameter);
		} else {
			args = jv_array_append(args, jv_string(at));
		}
	}
	free(parent);
	free(name);
	return expr_print(call_tree("resourceId", args));
}

/* Strings that mean themselves; with the doubt, the hub's name in them gives
 * way to its parameter (CONTRACT 8). */
static jv
embed(jv value, const char *name, const char *parameter)
{
	size_t n = strlen(name);

	if (jv_get_kind(value) == JV_KIND_STRING) {
		const char *text = jv_string_value(value), *at, *from = text;
		jv args = jv_array(), tree;

		if (parameter == NULL || strstr(text, name) == NULL) {
			jv_free(args);
			return literal(value);
		}
		while ((at = strstr(from, name)) != NULL) {
			if (at > from)
				args = jv_array_append(args,
				    jv_string_sized(from, (int)(at - from)));
			args = jv_array_append(args, parameter_tree(parameter));
			from = at + n;
		}
		if (*from)
			args = jv_array_append(args, jv_string(from));
		if (jv_array_length(jv_copy(args)) == 1)
			tree = jv_array_get(args, 0);
		else
			tree = call_tree("concat", args);
		jv_free(value);
		return expr_print(tree);
	}
	if (jv_get_kind(value) == JV_KIND_ARRAY) {
		jv out = jv_array();

		jv_array_foreach(value, i, item)
			out =
			    jv_array_append(out, embed(item, name, parameter));
		jv_free(value);
		return out;
	}
	if (jv_get_kind(value) == JV_KIND_OBJECT) {
		jv out = jv_object();

		jv_object_foreach(value, key, item)
			out = jv_object_set(
			    out, key, embed(item, name, parameter));
		jv_free(value);
		return out;
	}
	return value;
}

static jv
drop(jv object, const char *const *names)
{
	if (jv_get_kind(object) == JV_KIND_OBJECT)
		for (; *names; names++)
			object = jv_without(object, *names);
	return object;
}

static const char *const read_only[] = { "provisioningState", "state",
	"hostName", "locations", "privateEndpointConnections",
	"authorizationPolicies", "createdAt", "updatedAt", "created", "updated",
	"creationTime", "serviceBusEndpoint", "metricId", "status",
	"primaryEndpoints", "primaryLocation", "statusOfPrimary",
	"documentEndpoint", "expiry", "subject", "thumbprint", "principalId",
	"clientId", "tenantId", NULL };

/* Younger than 2021-07-01, which this export speaks. */
static const char *const younger[] = { "deviceStreams", "rootCertificate",
	"ipVersion", "enableDataResidency", "disableDeviceSAS",
	"disableModuleSAS", NULL };

static jv
hub_properties(struct export *x, jv properties, const char *name)
{
	static const char *const of_events[] = { "partitionIds", "path",
		"endpoint", NULL };
	static const char *const endpoints_younger[] = {
		"cosmosDBSqlContainers", NULL
	};
	static const char *const secrets[] = { "connectionString",
		"containerName" };
	jv part;

	properties = drop(properties, younger);
	part = jv_at(jv_copy(properties), "eventHubEndpoints");
	if (jv_get_kind(part) == JV_KIND_OBJECT)
		part = jv_put(part, "events",
		    drop(jv_at(jv_copy(part), "events"), of_events));
	properties = arm_put_some(properties, "eventHubEndpoints", part);
	part = jv_at(jv_copy(properties), "routing");
	if (jv_get_kind(part) == JV_KIND_OBJECT)
		part = jv_put(part, "endpoints",
		    drop(jv_at(jv_copy(part), "endpoints"), endpoints_younger));
	properties = arm_put_some(properties, "routing", part);
	part = jv_path(jv_copy(properties), "storageEndpoints");
	if (jv_get_kind(part) == JV_KIND_OBJECT) {
		jv one = jv_at(jv_copy(part), "$default");

		for (int i = 0; i < 2; i++) {
			char *parameter =
			    parameter_name(hub_type, name, secrets[i]);

			if (x->secrets) {
				x->parameters = jv_put(x->parameters, parameter,
				    jv_put(jv_object(), "type",
					jv_string("SecureString")));
				one = jv_put(
				    one, secrets[i], parameter_tree(parameter));
			} else {
				one = jv_put(one, secrets[i], jv_null());
			}
			free(parameter);
		}
		part = jv_put(part, "$default", one);
	}
	return arm_put_some(properties, "storageEndpoints", part);
}

/* Trees that stand in an embedded value are printed. */
static jv
identity_of(jv identity)
{
	static const char *const own[] = { "principalId", "tenantId", NULL };
	jv users;

	if (jv_get_kind(identity) != JV_KIND_OBJECT)
		return identity;
	identity = drop(identity, own);
	users = jv_at(jv_copy(identity), "userAssignedIdentities");
	if (jv_get_kind(users) == JV_KIND_OBJECT) {
		jv out = jv_object();

		jv_object_foreach(users, key, v) {
			jv_free(v);
			out = jv_object_set(out, key, jv_object());
		}
		identity = jv_put(identity, "userAssignedIdentities", out);
	}
	jv_free(users);
	return identity;
}

/* "A/b/c" and "n1/n2" of an id; malloc'd. */
static void
take_apart(const char *id, char **type, char **name)
{
	struct buf t = BUF_INIT, n = BUF_INIT;
	const char *at = strstr(id, "/providers/");

	at = at ? at + 11 : id;
	for (int i = 0; *at; i++) {
		size_t len = strcspn(at, "/");
		struct buf *b = i > 0 && i % 2 == 0 ? &n : &t;

		if (b->len)
			buf_char(b, '/');
		buf_add(b, at, len);
		at += len + (at[len] == '/');
	}
	*type = t.at ? t.at : xstrdup("");
	*name = n.at ? n.at : xstrdup("");
}

static const char *
api_of(const char *type)
{
	static const char *const versions[][2] = {
		{ "Microsoft.Devices/", "2021-07-01" },
		{ "Microsoft.EventHub/", "2021-11-01" },
		{ "Microsoft.ServiceBus/", "2021-11-01" },
		{ "Microsoft.Storage/", "2022-09-01" },
		{ "Microsoft.DocumentDB/", "2022-11-15" },
		{ "Microsoft.ManagedIdentity/", "2023-01-31" },
	};

	for (size_t i = 0; i < sizeof versions / sizeof *versions; i++)
		if (strncasecmp(type, versions[i][0], strlen(versions[i][0])) ==
		    0)
			return versions[i][1];
	return "2021-04-01";
}

static void
export_one(struct export *x, jv resource)
{
	static const char *const top[] = { "location", "tags", "sku", "kind",
		"zones" };
	char *id = arm_text(resource, "id"), *type, *name, *parameter = NULL;
	char *hub;
	jv out = jv_object(), properties, part;
	bool is_hub;

	take_apart(id, &type, &name);
	is_hub = strcasecmp(type, hub_type) == 0;
	hub = xstrndup(name, strcspn(name, "/"));
	if (x->names && sim_doubt_is("export-embeds-name", "yes"))
		parameter = parameter_name(hub_type, hub, "name");
	out = jv_put(out, "type", jv_string(type));
	out = jv_put(out, "apiVersion", jv_string(api_of(type)));
	out = jv_put(out, "name", name_of(x, type, name));
	for (size_t i = 0; i < sizeof top / sizeof *top; i++)
		out = arm_put_some(out, top[i],
		    embed(jv_at(jv_copy(resource), top[i]), hub,
			is_hub && i == 1 ? parameter : NULL));
	out = arm_put_some(
	    out, "identity", identity_of(jv_at(jv_copy(resource), "identity")));
	properties = drop(jv_at(jv_copy(resource), "properties"), read_only);
	if (is_hub) {
		properties = hub_properties(x, properties, name);
		part = jv_at(jv_copy(properties), "storageEndpoints");
		properties = embed(
		    jv_without(properties, "storageEndpoints"), hub, parameter);
		properties = arm_put_some(
		    properties, "storageEndpoints", expr_lower(part));
	} else {
		properties = embed(properties, hub, NULL);
	}
	if (strchr(name, '/'))
		out = jv_put(out, "dependsOn",
		    jv_array_append(jv_array(), parent_id(x, type, name)));
	out = arm_put_some(out, "properties", properties);
	x->resources = jv_array_append(x->resources, out);
	jv_free(resource);
	free(id);
	free(type);
	free(name);
	free(hub);
	free(parameter);
}

static bool
is_exported(const char *type)
{
	return strcasestr(type, "/ConsumerGroups") == NULL &&
	       strcasestr(type, "/authorizationRules") == NULL &&
	       strcasestr(type, "/privateEndpointConnections") == NULL;
}

/* Is id named by the request: itself, or as a child of what is? */
static bool
is_asked(jv wanted, const char *id)
{
	bool yes = false;

	jv_array_foreach(wanted, i, one) {
		const char *text = jv_string_peek(one);
		size_t n = text ? strlen(text) : 0;

		yes = yes || (text && strcmp(text, "*") == 0) ||
		      (n && strncasecmp(id, text, n) == 0 &&
			  (id[n] == '\0' || id[n] == '/'));
		jv_free(one);
	}
	return yes;
}

static bool
has_word(const char *options, const char *word)
{
	size_t n = strlen(word);

	for (const char *at = options; at && *at;) {
		size_t len = strcspn(at, ",");

		while (len && *at == ' ') {
			at++;
			len--;
		}
		if (len == n && strncasecmp(at, word, n) == 0)
			return true;
		at += len + (at[len] == ',');
	}
	return false;
}

/* What was asked for by id and is not there.  Borrows wanted. */
static void
look_for(struct export *x, jv wanted)
{
	jv_array_foreach(wanted, i, one) {
		const char *text = jv_string_peek(one);
		jv there = text && strcmp(text, "*") != 0
			       ? arm_resource(x->s, text)
			       : jv_null();

		if (!jv_is_valid(there)) {
			jv d = jv_put(
			    jv_object(), "code", jv_string("ResourceNotFound"));

			d = jv_put(d, "message",
			    jv_text(
				"The resource '%s' could not be found.", text));
			x->details = jv_array_append(
			    x->details, jv_put(d, "target", jv_string(text)));
		}
		jv_free(there);
		jv_free(one);
	}
}

static jv
export_result(struct export *x)
{
	jv t = jv_put(jv_object(), "$schema",
	       jv_string("https://schema.management.azure.com/schemas/"
			 "2019-04-01/deploymentTemplate.json#")),
	   out;

	t = jv_put(t, "contentVersion", jv_string("1.0.0.0"));
	t = jv_put(t, "parameters", x->parameters);
	t = jv_put(t, "variables", jv_object());
	t = jv_put(t, "resources", x->resources);
	out = jv_put(jv_object(), "template", t);
	if (jv_array_length(jv_copy(x->details)) > 0) {
		bool first = sim_doubt_is("export-error-code", "ExportFailed");
		jv e = jv_put(jv_object(), "code",
		    jv_string(first ? "ExportFailed"
				    : "ExportTemplateCompletedWithErrors"));

		e = jv_put(e, "message",
		    jv_string("Export template operation completed with "
			      "errors. Some resources were not exported. "
			      "Please see details for more information."));
		return jv_put(out, "error", jv_put(e, "details", x->details));
	}
	jv_free(x->details);
	return out;
}

void
export_group(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const char *group, jv request)
{
	jv wanted = jv_at(jv_copy(request), "resources");
	char *options = arm_text(request, "options");
	jv all = arm_group_resources(s, group);
	struct export x = { .s = s,
		.parameters = jv_object(),
		.resources = jv_array(),
		.details = jv_array() };
	int count = 0;

	jv_free(request);
	x.secrets = !has_word(options, "SkipAllParameterization");
	x.names =
	    x.secrets && !has_word(options, "SkipResourceNameParameterization");
	free(options);
	wanted = arm_or(wanted, JV_ARRAY(jv_string("*")));
	jv_array_foreach(all, i, one) {
		char *id = arm_text(one, "id"), *type, *name;

		take_apart(id, &type, &name);
		if (is_asked(wanted, id) && is_exported(type)) {
			count++;
			export_one(&x, one);
		} else {
			jv_free(one);
		}
		free(id);
		free(type);
		free(name);
	}
	look_for(&x, wanted);
	jv_free(wanted);
	if (count > MAX_EXPORT) {
		jv_free(export_result(&x));
		sim_error(r, 400, "ExportTemplateLimitExceeded",
		    "Export template is not supported for resource groups "
		    "more than 200 resources.");
	} else if (jv_array_length(jv_copy(all)) == 0) {
		arm_answer(r, 200, export_result(&x));
	} else {
		arm_operation(s, q, r, 202,
		    "/subscriptions/" SIM_SUBSCRIPTION "/operationresults",
		    export_result(&x), false, true);
	}
	jv_free(all);
}
