/*
 * endpoints.c: custom endpoints and the container for file upload: their
 * members, defaults, names and ids (CONTRACT 5).  What they point at is in
 * endpointtargets.c, their keys in endpointkeys.c.
 */
#include "iothubs.h"

#include <stdlib.h>
#include <strings.h>

/* The five arrays of CONTRACT 5, in the order of the service's answers. */
static const struct target targets[] = {
	{ "serviceBusQueues", BUS, "Queue", "Microsoft.ServiceBus/namespaces",
	    "queues" },
	{ "serviceBusTopics", BUS, "Topic", "Microsoft.ServiceBus/namespaces",
	    "topics" },
	{ "eventHubs", BUS, "EventHub", "Microsoft.EventHub/namespaces",
	    "eventhubs" },
	{ "storageContainers", STORAGE, "Storage",
	    "Microsoft.Storage/storageAccounts",
	    "blobServices/default/containers" },
	{ "cosmosDBSqlContainers", COSMOS, "CosmosDB",
	    "Microsoft.DocumentDB/databaseAccounts", "sqlDatabases" },
};
enum { TARGETS = sizeof targets / sizeof *targets };

static const char *const cosmos_keys[] = { "primaryMasterKey",
	"secondaryMasterKey", NULL };

/* -- endpoints ----------------------------------------------------------- */

/* The endpoint of the stored hub that this one continues: by id, and by name
 * where doubt unmask-by says so.  Its id; malloc'd or NULL. */
static char *
continued(struct draft *d, const char *array, jv given, const char *name)
{
	jv list = jv_at(
	    jv_path(jv_copy(d->old), "properties.routing.endpoints"), array);
	char *id = arm_text(given, "id"), *found = NULL;

	if (jv_get_kind(list) == JV_KIND_ARRAY)
		jv_array_foreach(list, i, one) {
			char *its = arm_text(one, "id"),
			     *called = arm_text(one, "name");

			if (its &&
			    ((id && strcasecmp(id, its) == 0) ||
				(!found && called &&
				    strcmp(called, name) == 0 &&
				    sim_doubt_is("unmask-by", "name")))) {
				free(found);
				found = xstrdup(its);
			}
			free(its);
			free(called);
			jv_free(one);
		}
	jv_free(list);
	free(id);
	return found;
}

static void
check_storage_members(struct endpoint *e)
{
	static const char *const tokens[] = { "{iothub}", "{partition}",
		"{YYYY}", "{MM}", "{DD}", "{HH}", "{mm}", NULL };
	char *format = arm_text(e->given, "fileNameFormat"),
	     *encoding = arm_text(e->given, "encoding");
	long every = arm_number(e->given, "batchFrequencyInSeconds", 300),
	     most = arm_number(e->given, "maxChunkSizeInBytes", 314572800);

	for (const char *const *t = tokens; format && *t; t++)
		if (!strstr(format, *t))
			draft_refuse(e->d, 400000,
			    "fileNameFormat of the endpoint '%s' lacks %s.",
			    e->name, *t);
	if (encoding && strcasecmp(encoding, "Avro") != 0 &&
	    strcasecmp(encoding, "AvroDeflate") != 0 &&
	    strcasecmp(encoding, "JSON") != 0)
		draft_refuse(e->d, 400000,
		    "encoding '%s' of the endpoint '%s' is not valid.",
		    encoding, e->name);
	if (every < 60 || every > 720)
		draft_refuse(e->d, 400000,
		    "batchFrequencyInSeconds of the endpoint '%s' must be "
		    "between 60 and 720.",
		    e->name);
	if (most < 10485760 || most > 524288000)
		draft_refuse(e->d, 400000,
		    "maxChunkSizeInBytes of the endpoint '%s' must be between "
		    "10485760 and 524288000.",
		    e->name);
	free(format);
	free(encoding);
}

/* Checks a connection string, keeps its key, and gives what GET will show. */
static jv
take_string(struct endpoint *e, const char *text, const char *id)
{
	bool storage = e->t->family == STORAGE, bad;
	const char *member = storage ? "AccountKey" : "SharedAccessKey";
	jv parts = string_parts(text);
	char *key =
	    secret_unmask(e->d, parts, member, e->kept ? id : NULL, &bad);
	char *uri = arm_text(parts, "Endpoint"),
	     *policy = arm_text(parts, "SharedAccessKeyName"),
	     *entity = arm_text(parts, "EntityPath");
	char *name =
	    storage ? arm_text(parts, "AccountName") : first_label(uri);
	char *account = NULL, *low = NULL;

	if (!storage && !uri)
		endpoint_unusable(e,
		    "The %s connection string is missing 'Endpoint'",
		    e->t->what);
	else if (!storage && (!policy || !entity))
		endpoint_unusable(e, "The %s connection string is missing '%s'",
		    e->t->what, policy ? "EntityPath" : "SharedAccessKeyName");
	else if (storage && !name)
		endpoint_unusable(e,
		    "The Storage connection string is missing 'AccountName'");
	else if (bad)
		endpoint_unusable(e,
		    "The key is masked or missing, and the hub has no endpoint "
		    "whose key could be kept");
	else if ((account = target_account(e, name))) {
		bool dead = !key && e->d->how != ARM_SEED;

		if (storage) {
			target_container(e, account);
			if (!dead)
				target_storage_key(e, account, &key);
		} else {
			target_entity(e, account, entity);
			low = target_below(
			    e->d->s, account, e->t->entity, entity);
			if (!dead)
				target_bus_key(e, account, low, policy, &key);
		}
	}
	if (!draft_refused(e->d) && key)
		secret_keep(e->d, id, e->name, member, key);
	free(key);
	free(uri);
	free(policy);
	free(entity);
	free(name);
	free(account);
	free(low);
	return string_masked(parts, storage);
}

/* Cosmos DB keeps its keys as members, and GET shows none (CONTRACT 5). */
static jv
take_cosmos_keys(
    struct endpoint *e, jv out, const char *account, const char *id)
{
	static const char *const members[] = { "primaryKey", "secondaryKey" };
	jv keys = arm_keys_plain(e->d->s, account, "listKeys", jv_object());

	for (int i = 0; i < 2; i++) {
		char *key = arm_text(e->given, members[i]);

		if (!key || !*key || secret_is_mask(key)) {
			free(key);
			key = e->kept ? secret_stored(e->d, id, members[i])
				      : NULL;
			if (!key && e->d->how == ARM_SEED)
				key = arm_text(keys, cosmos_keys[i]);
		}
		if (!key && sim_doubt_is("masked-new-hub", "accepted"))
			; /* a dead endpoint */
		else if (!key)
			endpoint_unusable(e,
			    "%s is masked or missing, and the hub has no "
			    "endpoint whose key could be kept",
			    members[i]);
		else if (!key_among(jv_copy(keys), cosmos_keys, key))
			endpoint_unusable(e,
			    "Unauthorized: %s is not a key of the account",
			    members[i]);
		else
			secret_keep(e->d, id, e->name, members[i], key);
		free(key);
		out = sim_doubt_is("cosmos-mask", "stars")
			  ? jv_put(out, members[i], jv_string(MASK))
			  : jv_without(out, members[i]);
	}
	jv_free(keys);
	return out;
}

/* In the order of the service's answers; what is not named here follows. */
static jv
in_order(jv given)
{
	static const char *const order[] = { "connectionString", "endpointUri",
		"entityPath", "databaseName", "primaryKey", "secondaryKey",
		"containerName", "partitionKeyName", "partitionKeyTemplate",
		"fileNameFormat", "batchFrequencyInSeconds",
		"maxChunkSizeInBytes", "encoding", "authenticationType",
		"identity", "name", "id", "subscriptionId", "resourceGroup" };
	jv out = jv_object();

	for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
		out = arm_put_some(out, order[i], arm_member(given, order[i]));
		given = jv_without(given, order[i]);
	}
	return jv_object_merge(out, hub_without_nulls(given));
}

static void
check_endpoint_name(struct draft *d, const char *name, jv names)
{
	bool twice = name && jv_object_has(jv_copy(names), jv_string(name));

	if (!name || !hub_name_good(name) || strcasecmp(name, "events") == 0 ||
	    strcasecmp(name, "fileNotifications") == 0 ||
	    strcmp(name, "$default") == 0)
		draft_refuse(d, 400000, "'%s' is not a valid endpoint name.",
		    name ? name : "");
	else if (twice)
		draft_refuse(d, 400000,
		    "The endpoint name '%s' is used more than once.", name);
}

static char *
new_endpoint_id(struct draft *d, const char *array, const char *name)
{
	char *words = xasprintf("endpoint/%s/%s/%s", d->id->key, array, name);
	char guid[37];

	sim_guid(d->s, words, guid);
	free(words);
	return xstrdup(guid);
}

static jv
take_endpoint(struct draft *d, const struct target *t, jv given)
{
	char *name = arm_text(given, "name"), *auth, *uri, *host, *account;
	char *id = continued(d, t->array, given, name ? name : "");
	struct endpoint e = { d, t, name ? name : "", given, id != NULL };
	jv out;

	if (!id)
		id = new_endpoint_id(d, t->array, e.name);
	auth = arm_text(given, "authenticationType");
	uri = arm_text(given, "endpointUri");
	host = first_label(uri);
	account = NULL;
	out = jv_put(jv_copy(given), "id", jv_string(id));
	if (t->family != BUS && !arm_has(given, "containerName"))
		draft_refuse(d, 400000,
		    "The endpoint '%s' lacks containerName.", e.name);
	if (t->family == STORAGE) {
		check_storage_members(&e);
		out =
		    hub_defaulted("{\"fileNameFormat\":\"{iothub}/{partition}/"
				  "{YYYY}/{MM}/{DD}/{HH}/{mm}\","
				  "\"batchFrequencyInSeconds\":300,"
				  "\"maxChunkSizeInBytes\":314572800,"
				  "\"encoding\":\"avro\"}",
			out);
	}
	if (auth && strcasecmp(auth, "identityBased") == 0) {
		char *entity = arm_text(given, "entityPath");

		if ((account = target_account(&e, host))) {
			if (t->family == BUS)
				target_entity(&e, account, entity);
			else
				target_container(&e, account);
			target_identity(&e, account);
		}
		out = jv_without(out, "connectionString");
		out = jv_without(jv_without(out, "primaryKey"), "secondaryKey");
		free(entity);
	} else if (t->family == COSMOS) {
		if (!uri || strncmp(uri, "https://", 8) != 0)
			draft_refuse(d, 400000,
			    "endpointUri of the endpoint '%s' must begin with "
			    "https://.",
			    e.name);
		else if ((account = target_account(&e, host))) {
			target_container(&e, account);
			out = take_cosmos_keys(&e, out, account, id);
		}
	} else {
		char *text = arm_text(given, "connectionString");

		out =
		    jv_put(out, "connectionString", take_string(&e, text, id));
		free(text);
	}
	free(name);
	free(auth);
	free(uri);
	free(host);
	free(account);
	free(id);
	jv_free(given);
	return in_order(out);
}

/* A member of the endpoints whatever its case, and taken out of them. */
static jv
pick(jv *endpoints, const char *array)
{
	jv found = jv_null(), rest = jv_object();

	jv_object_foreach(*endpoints, k, v) {
		const char *name = jv_string_value(k);

		if (strcasecmp(name, array) == 0 ||
		    (strcmp(array, "cosmosDBSqlContainers") == 0 &&
			strcasecmp(name, "cosmosDBSqlCollections") == 0)) {
			jv_free(found);
			found = v;
			jv_free(k);
		} else
			rest = jv_object_set(rest, k, v);
	}
	jv_free(*endpoints);
	*endpoints = rest;
	return found;
}

/* The preview of 2022 called the container a collection (CONTRACT 5). */
static jv
modern(jv endpoint)
{
	jv old = arm_member(endpoint, "collectionName");

	if (jv_get_kind(old) == JV_KIND_NULL) {
		jv_free(old);
		return endpoint;
	}
	return jv_put(
	    jv_without(endpoint, "collectionName"), "containerName", old);
}

/* Lists an endpoint's name; false: it is none, and was refused. */
static bool
enlist(struct draft *d, jv one, jv *names)
{
	char *name = arm_text(one, "name");

	if (jv_get_kind(one) != JV_KIND_OBJECT)
		draft_refuse(d, 400000, "An endpoint must be a JSON object.");
	else
		check_endpoint_name(d, name, *names);
	if (name)
		*names = jv_put(*names, name, jv_true());
	free(name);
	return jv_get_kind(one) == JV_KIND_OBJECT;
}

jv
draft_endpoints(struct draft *d, jv given, jv *names)
{
	jv out = jv_object();
	int count = 0;

	given = arm_or(given, jv_object());
	for (int t = 0; t < TARGETS; t++) {
		jv list = arm_or(pick(&given, targets[t].array), jv_array());
		jv done = jv_array();

		jv_array_foreach(list, i, one) {
			count++;
			if (enlist(d, one, names))
				done = jv_array_append(done,
				    take_endpoint(d, &targets[t], modern(one)));
			else
				jv_free(one);
		}
		jv_free(list);
		out = jv_put(out, targets[t].array, done);
	}
	/* A type that the service may have one day: kept as it was sent. */
	jv_object_foreach(given, k, list) {
		jv done = jv_array();

		if (jv_get_kind(list) == JV_KIND_ARRAY)
			jv_array_foreach(list, i, one) {
				char *name = arm_text(one, "name"), *id;

				id = new_endpoint_id(
				    d, jv_string_value(k), name ? name : "");
				if (enlist(d, one, names))
					done = jv_array_append(done,
					    jv_put(one, "id", jv_string(id)));
				else
					jv_free(one);
				free(id);
				free(name);
				count++;
			}
		jv_free(list);
		out = jv_object_set(out, k, done);
	}
	jv_free(given);
	if (count > d->sku->endpoints)
		draft_refuse(d, 400000,
		    "%d custom endpoints are more than the %d that a hub of "
		    "this SKU may have.",
		    count, d->sku->endpoints);
	return out;
}

/* -- file upload --------------------------------------------------------- */

static jv
take_upload(struct draft *d, jv given, bool notify)
{
	static const struct target t = { "storageEndpoints", STORAGE, "Storage",
		"Microsoft.Storage/storageAccounts",
		"blobServices/default/containers" };
	struct endpoint e = { d, &t, "$default", given, true };
	char *text = arm_text(given, "connectionString"),
	     *auth = arm_text(given, "authenticationType"), *name, *key;
	bool identity = auth && strcasecmp(auth, "identityBased") == 0, bad;
	jv out =
	    hub_defaulted("{\"sasTtlAsIso8601\":\"PT1H\","
			  "\"connectionString\":\"\",\"containerName\":\"\"}",
		jv_copy(given));
	jv parts = string_parts(text);

	name = arm_text(parts, "AccountName");
	key = secret_unmask(d, parts, "AccountKey", "$default", &bad);
	if (!text || !*text) {
		if (notify)
			draft_refuse(d, 400000,
			    "A storage container is required where "
			    "enableFileUploadNotifications is true.");
		out = jv_put(out, "connectionString", jv_string(""));
	} else {
		char *account;

		if (!name)
			endpoint_unusable(&e,
			    "The Storage connection string is missing "
			    "'AccountName'");
		else if (bad && !identity)
			endpoint_unusable(&e,
			    "The key is masked or missing, and the "
			    "hub has no storage whose key could be "
			    "kept");
		else if ((account = target_account(&e, name))) {
			if (!identity && (key || d->how == ARM_SEED))
				target_storage_key(&e, account, &key);
			if (identity)
				target_identity(&e, account);
			free(account);
		}
		if (!draft_refused(d) && key)
			secret_keep(
			    d, "$default", "$default", "AccountKey", key);
		out = jv_put(out, "connectionString",
		    string_masked(jv_copy(parts), true));
	}
	jv_free(parts);
	jv_free(given);
	free(text);
	free(auth);
	free(name);
	free(key);
	return out;
}

jv
draft_storage(struct draft *d, jv given, bool notify)
{
	jv one;

	given = arm_or(given, jv_put(jv_object(), "$default", jv_object()));
	one = arm_member(given, "$default");
	if (jv_object_length(jv_copy(given)) >
	    (jv_get_kind(one) != JV_KIND_NULL))
		draft_refuse(d, 400000,
		    "storageEndpoints can only have the member $default.");
	if (jv_get_kind(one) != JV_KIND_OBJECT) {
		if (jv_get_kind(one) != JV_KIND_NULL)
			draft_refuse(d, 400000,
			    "storageEndpoints.$default must be a JSON object.");
		jv_free(one);
		if (!notify)
			return given;
		one = jv_object();
	}
	given = jv_put(given, "$default", take_upload(d, one, notify));
	return given;
}
