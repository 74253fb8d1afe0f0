/* cosmosDBSqlContainers: a Cosmos DB container as a routing endpoint; its
 * keys are members that no answer shows (CONTRACT 5, 10). */
#define ACCOUNTS "Microsoft.DocumentDB/databaseAccounts"
#define VERSION "2023-04-15"
#define NO_ACCOUNT "no endpointUri"
#include "account.h"

static jv
account_of(jv endpoint)
{
	return label_of(text_of(endpoint, "endpointUri"));
}

static jv
names(jv endpoint)
{
	jv out = jv_object();

	out = put(out, "account", account_of(endpoint));
	out = put(out, "database", text_of(endpoint, "databaseName"));
	out = put(out, "container", text_of(endpoint, "containerName"));
	jv_free(endpoint);
	return out;
}

static jv
with_names(jv endpoint, jv wanted, jv cloud)
{
	jv account = text_of(wanted, "account");
	jv uri = text_of(endpoint, "endpointUri");

	if (is_text(uri) && is_text(account))
		endpoint = put(endpoint, "endpointUri",
		    with_label(jv_copy(uri), jv_copy(account)));
	endpoint = put(endpoint, "databaseName", text_of(wanted, "database"));
	endpoint = put(endpoint, "containerName", text_of(wanted, "container"));
	jv_free(account);
	jv_free(uri);
	jv_free(wanted);
	jv_free(cloud);
	return endpoint;
}

static jv
secret(jv endpoint, const char *member, const char *from)
{
	jv out = put(jv_object(), "member", jv_string(member));

	out = put(put(out, "before", jv_string("")), "after", jv_string(""));
	out = jv_object_set(out, jv_string("value"), text_of(endpoint, member));
	return put(out, "from", JV_ARRAY(jv_string(from)));
}

/* An expression (an object) stays; a mask or nothing is to be filled in. */
static jv
secrets(jv endpoint)
{
	static const char *const keys[][2] = {
		{ "primaryKey", "primaryMasterKey" },
		{ "secondaryKey", "secondaryMasterKey" },
	};
	jv out = jv_array(), v;

	for (int i = 0; i < 2 && !is_identity_based(endpoint); i++) {
		v = jv_object_get(jv_copy(endpoint), jv_string(keys[i][0]));
		if (jv_get_kind(v) != JV_KIND_OBJECT)
			out = jv_array_append(
			    out, secret(endpoint, keys[i][0], keys[i][1]));
		jv_free(v);
	}
	jv_free(endpoint);
	return out;
}

/* The previews of 2022 said collection. */
static jv
uplift(jv endpoint)
{
	jv old = text_of(endpoint, "collectionName");
	jv now = text_of(endpoint, "containerName");

	if (is_text(old))
		endpoint =
		    put(jv_object_delete(endpoint, jv_string("collectionName")),
			"containerName",
			is_text(now) ? jv_copy(now) : jv_copy(old));
	jv_free(old);
	jv_free(now);
	return endpoint;
}

static const char *const aliases[] = { "cosmosDBSqlCollections", NULL };

HUBPIPE_PLUGIN(.name = "cosmosDBSqlContainers",
    .summary = "a Cosmos DB container, by account keys or identity",
    .names = names, .with_names = with_names, .secrets = secrets,
    .key_requests = key_requests, .resource = resource, .aliases = aliases,
    .read_only = read_only, .role = "Cosmos DB Built-in Data Contributor",
    .uplift = uplift);
