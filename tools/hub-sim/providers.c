/*
 * providers.c: what Resource Manager says of itself: the providers and their
 * types, tenants, and for a custom cloud of az where everything is
 * (CLIENTS 1.2).
 */
#include "arm.h"

#include <stdlib.h>
#include <strings.h>

static const char *const hub_versions[] = { "2023-06-30", "2022-04-30-preview",
	"2021-07-02", "2021-07-01", "2021-03-31", "2020-03-01", "2018-04-01",
	NULL };
static const char *const resource_versions[] = { "2022-09-01", "2021-04-01",
	NULL };
static const char *const bus_versions[] = { "2021-11-01", "2017-04-01", NULL };
static const char *const storage_versions[] = { "2023-05-01", "2022-09-01",
	NULL };
static const char *const cosmos_versions[] = { "2023-04-15", "2022-11-15",
	NULL };
static const char *const identity_versions[] = { "2023-01-31", NULL };

static const struct provider {
	const char *name;
	const char *const *versions; /* the newest first */
} providers[] = {
	{ "Microsoft.Devices", hub_versions },
	{ "Microsoft.DocumentDB", cosmos_versions },
	{ "Microsoft.EventHub", bus_versions },
	{ "Microsoft.ManagedIdentity", identity_versions },
	{ "Microsoft.Resources", resource_versions },
	{ "Microsoft.ServiceBus", bus_versions },
	{ "Microsoft.Storage", storage_versions },
};
enum { PROVIDERS = sizeof providers / sizeof *providers };

static const struct provider *
find(const char *name)
{
	for (int i = 0; i < PROVIDERS; i++)
		if (strcasecmp(providers[i].name, name) == 0)
			return &providers[i];
	return NULL;
}

const char *
arm_version_of(const char *type)
{
	char *name = xstrndup(type, strcspn(type, "/"));
	const struct provider *p = find(name);

	free(name);
	return p ? p->versions[0] : NULL;
}

static jv
titles(void)
{
	jv table = arm_regions(), list = jv_array();

	jv_object_foreach(table, k, region) {
		list = jv_array_append(list, jv_at(region, "displayName"));
		jv_free(k);
	}
	jv_free(table);
	return list;
}

static jv
one_type(const struct provider *p, const char *type, jv where)
{
	jv versions = jv_array();

	for (const char *const *v = p->versions; *v; v++)
		versions = jv_array_append(versions, jv_string(*v));
	return JV_OBJECT(jv_string("resourceType"), jv_string(type),
	    jv_string("locations"), where, jv_string("apiVersions"), versions,
	    jv_string("defaultApiVersion"), jv_string(p->versions[0]),
	    jv_string("capabilities"),
	    jv_string("SupportsTags, SupportsLocation"));
}

static jv
add_types(jv list, const struct provider *p, const struct arm_kind *kinds)
{
	size_t n = strlen(p->name);

	for (const struct arm_kind *k = kinds; k->type; k++)
		if (strncasecmp(k->type, p->name, n) == 0 && k->type[n] == '/')
			list = jv_array_append(
			    list, one_type(p, k->type + n + 1,
				      k->tracked ? titles() : jv_array()));
	return list;
}

static jv
describe(const struct provider *p)
{
	jv types =
	    add_types(add_types(jv_array(), p, hub_kinds), p, service_kinds);

	if (p->versions == resource_versions) {
		types = jv_array_append(
		    types, one_type(p, "deployments", jv_array()));
		types = jv_array_append(
		    types, one_type(p, "resourceGroups", jv_array()));
	}
	return JV_OBJECT(jv_string("id"),
	    jv_text(
		"/subscriptions/" SIM_SUBSCRIPTION "/providers/%s", p->name),
	    jv_string("namespace"), jv_string(p->name),
	    jv_string("registrationState"), jv_string("Registered"),
	    jv_string("registrationPolicy"), jv_string("RegistrationRequired"),
	    jv_string("resourceTypes"), types);
}

/* /subscriptions/{s}/providers[/{namespace}[/register]] */
bool
providers_handle(struct sim_reply *r, const struct sim_request *q, int n)
{
	bool get = strcmp(q->method, "GET") == 0;
	char *name = sim_segment(q, 3), *word = sim_segment(q, 4);
	const struct provider *p = name ? find(name) : NULL;
	bool post = strcmp(q->method, "POST") == 0 && word &&
		    (strcasecmp(word, "register") == 0 ||
			strcasecmp(word, "unregister") == 0);
	bool done = true;

	if (n == 3 && get) {
		jv list = jv_array();

		for (int i = 0; i < PROVIDERS; i++)
			list = jv_array_append(list, describe(&providers[i]));
		arm_answer(r, 200, jv_put(jv_object(), "value", list));
	} else if ((n == 4 && get) || (n == 5 && post)) {
		if (p)
			arm_answer(r, 200, describe(p));
		else
			sim_error(r, 404, "InvalidResourceNamespace",
			    "The resource namespace '%s' is invalid.", name);
	} else
		done = false;
	free(name);
	free(word);
	return done;
}

static jv
usage_of(const char *word, const char *title, long now, long most)
{
	return JV_OBJECT(jv_string("id"),
	    jv_text("/subscriptions/" SIM_SUBSCRIPTION
		    "/providers/Microsoft.Devices/usages/%s",
		word),
	    jv_string("type"), jv_string("Microsoft.Devices/usages"),
	    jv_string("unit"), jv_string("count"), jv_string("currentValue"),
	    jv_number((double)now), jv_string("limit"), jv_number((double)most),
	    jv_string("name"),
	    JV_OBJECT(jv_string("value"), jv_string(word),
		jv_string("localizedValue"), jv_string(title)));
}

/* Hubs of the subscription, and how many it may have (annex A). */
void
usages_answer(struct sim *s, struct sim_reply *r)
{
	sqlite3_stmt *q =
	    sim_sql(s, "SELECT count(*), total(upper(sku) = 'F1') FROM hub");
	long all = 0, without_price = 0;

	if (sim_step(s, q) == SQLITE_ROW) {
		all = (long)sqlite3_column_int64(q, 0);
		without_price = (long)sqlite3_column_int64(q, 1);
	}
	arm_answer(r, 200,
	    jv_put(jv_object(), "value",
		JV_ARRAY(usage_of("freeHubCount", "Free Hub Count",
			     without_price, 1),
		    usage_of("paidHubCount", "Paid Hub Count",
			all - without_price, 50))));
}

static jv
operation(
    const char *name, const char *resource, const char *what, const char *text)
{
	return jv_put(jv_put(jv_object(), "name", jv_string(name)), "display",
	    JV_OBJECT(jv_string("provider"), jv_string("Microsoft Devices"),
		jv_string("resource"), jv_string(resource),
		jv_string("operation"), jv_string(what),
		jv_string("description"), jv_string(text)));
}

/* /tenants, /providers/Microsoft.Devices/operations; false: neither. */
bool
tenant_handle(struct sim_reply *r, const struct sim_request *q)
{
	jv list;

	if (strcmp(q->method, "GET") != 0)
		return false;
	if (strcasecmp(q->path, "/tenants") == 0)
		list = JV_ARRAY(JV_OBJECT(jv_string("id"),
		    jv_string("/tenants/" SIM_TENANT), jv_string("tenantId"),
		    jv_string(SIM_TENANT), jv_string("displayName"),
		    jv_string("hub-sim"), jv_string("countryCode"),
		    jv_string("DE"), jv_string("tenantCategory"),
		    jv_string("Home")));
	else if (strcasecmp(
		     q->path, "/providers/Microsoft.Devices/operations") == 0)
		list = JV_ARRAY(
		    operation("Microsoft.Devices/iotHubs/Read", "IotHub",
			"Get IotHub(s)", "Gets the IotHub resource(s)"),
		    operation("Microsoft.Devices/iotHubs/Write", "IotHub",
			"Create or update IotHub Resource",
			"Create or update IotHub Resource"),
		    operation("Microsoft.Devices/iotHubs/Delete", "IotHub",
			"Delete IotHub Resource", "Delete IotHub Resource"),
		    operation("Microsoft.Devices/iotHubs/listkeys/Action",
			"IotHub", "Get all IotHub Keys",
			"Get all IotHub Keys"));
	else
		return false;
	arm_answer(r, 200, jv_put(jv_object(), "value", list));
	return true;
}

/* -- where everything is, for a cloud that is registered by one address -----
 */

static jv
authentication(const char *base)
{
	return JV_OBJECT(jv_string("loginEndpoint"), jv_text("%s/adfs", base),
	    jv_string("audiences"),
	    JV_ARRAY(jv_string("https://management.core.windows.net/"),
		jv_string(base)),
	    jv_string("tenant"), jv_string(SIM_TENANT),
	    jv_string("identityProvider"), jv_string("ADFS"));
}

/* Two shapes: an object in 2015, a list of clouds from 2019 on. */
void
metadata_endpoints(const struct sim_request *q, struct sim_reply *r)
{
	char *base = xasprintf("https://%s", sim_authority(q)),
	     *api = sim_query(q, "api-version");
	jv u = jv_string(base), out;

	if (api && strcmp(api, "2018") < 0)
		out = JV_OBJECT(jv_string("galleryEndpoint"), jv_copy(u),
		    jv_string("graphEndpoint"), jv_copy(u),
		    jv_string("portalEndpoint"), jv_copy(u),
		    jv_string("authentication"), authentication(base));
	else {
		out = JV_OBJECT(jv_string("name"), jv_string("hub-sim"),
		    jv_string("portal"), jv_copy(u),
		    jv_string("authentication"), authentication(base),
		    jv_string("graph"), jv_copy(u), jv_string("graphAudience"),
		    jv_copy(u), jv_string("media"), jv_copy(u),
		    jv_string("batch"), jv_copy(u));
		out = jv_put(out, "resourceManager", jv_copy(u));
		out = jv_put(out, "gallery", jv_copy(u));
		out = jv_put(out, "sqlManagement", jv_copy(u));
		out = jv_put(out, "vmImageAliasDoc", jv_copy(u));
		out = jv_put(out, "activeDirectoryDataLake", jv_copy(u));
		out = jv_put(out, "suffixes",
		    JV_OBJECT(jv_string("storage"),
			jv_string("core.windows.net"), jv_string("keyVaultDns"),
			jv_string("vault.azure.net"),
			jv_string("acrLoginServer"), jv_string("azurecr.io"),
			jv_string("sqlServerHostname"),
			jv_string("database.windows.net"),
			jv_string("azureDataLakeStoreFileSystem"),
			jv_string("azuredatalakestore.net"),
			jv_string("azureDataLakeAnalyticsCatalogAndJob"),
			jv_string("azuredatalakeanalytics.net")));
		out = JV_ARRAY(out);
	}
	jv_free(u);
	sim_json(r, 200, out);
	free(base);
	free(api);
}
