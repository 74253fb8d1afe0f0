/*
 * services.c: the services that a hub's routes end in, as far as Resource
 * Manager shows them: accounts, namespaces, what is in them, and their keys
 * (CONTRACT 10).  The shapes follow recorded answers.
 *
 * Keys follow from --seed and the resource's name, and from how often they
 * were regenerated.
 */
#include "arm.h"
#include "blobroom.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* given over the defaults, which are JSON. */
static jv
defaulted(const char *defaults, jv given)
{
	jv out = jv_parse(defaults);

	if (jv_get_kind(given) == JV_KIND_OBJECT)
		return jv_object_merge_recursive(out, given);
	jv_free(given);
	return out;
}

/* The frame of a tracked resource, and of an untracked one. */
static jv
frame(const struct arm_id *id, const char *type)
{
	return jv_put(jv_put(jv_put(jv_object(), "id", jv_string(id->id)),
			  "name", jv_string(id->name[id->depth - 1])),
	    "type", jv_string(type));
}

/* "West US" where title, else "westus". */
static jv
with_place(jv out, jv body, bool title)
{
	char *region = arm_region(arm_member(body, "location"));

	out = jv_put(out, "location",
	    jv_string(title ? arm_region_title(region) : region));
	free(region);
	return jv_put(
	    out, "tags", arm_or(arm_member(body, "tags"), jv_object()));
}

/* A text of the stored properties, or the present moment. */
static jv
born_at(struct sim *s, jv old, const char *member)
{
	return arm_or(jv_at(jv_path(jv_copy(old), "properties"), member),
	    arm_time(sim_now(s)));
}

static void
drop(const char *api, jv body, jv old, enum arm_how how)
{
	(void)api;
	(void)how;
	jv_free(body);
	jv_free(old);
}

/* The same short region that the tracked resource above it has. */
static jv
place_above(struct sim *s, const struct arm_id *id)
{
	struct arm_id up;
	jv above, place = jv_null();
	char *region;

	if (!arm_parent(s, id->key, &up))
		return place;
	above = arm_load(s, up.key);
	if (jv_is_valid(above) &&
	    (region = arm_region(arm_member(above, "location")))) {
		place = jv_string(region);
		free(region);
	}
	jv_free(above);
	arm_id_free(&up);
	return place;
}

/* -- keys ---------------------------------------------------------------- */

/* How often it was regenerated. */
static long
generation(struct sim *s, const char *what)
{
	sqlite3_stmt *q =
	    sim_sql(s, "SELECT n FROM counter WHERE name = 'key/' || ?");

	sim_bind(q, 1, what);
	return sim_step(s, q) == SQLITE_ROW ? (long)sqlite3_column_int64(q, 0)
					    : 0;
}

/* The key "what" of a resource, as base64 text. */
static char *
make_key(struct sim *s, const struct arm_id *id, const char *what, int bytes)
{
	char *words = xasprintf("%s/%s", id->key, what);
	long n = generation(s, words);
	struct buf key = BUF_INIT;

	if (n) {
		char *again = xasprintf("%s#%ld", words, n);

		free(words);
		words = again;
	}
	sim_key(s, words, bytes, &key);
	free(words);
	return key.at;
}

static jv
key_jv(struct sim *s, const struct arm_id *id, const char *what, int bytes)
{
	char *text = make_key(s, id, what, bytes);
	jv v = jv_string(text);

	free(text);
	return v;
}

static void
next_key(struct sim *s, const struct arm_id *id, const char *what)
{
	char *words = xasprintf("key/%s/%s", id->key, what);

	(void)arm_count_up(s, words);
	free(words);
}

/* -- storage ------------------------------------------------------------- */

static jv
storage_put(struct sim *s, const struct arm_id *id, const char *api, jv body,
    jv old, enum arm_how how)
{
	const char *name = id->name[0];
	jv out, props, ends = jv_object(), sku = arm_member(body, "sku");
	static const char *const services[] = { "blob", "file", "queue",
		"table", "dfs", "web" };
	size_t n = strlen(name);
	char *kind = arm_text(body, "kind"), *region, *tier;

	if (n < 3 || n > 24 ||
	    strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789") != n) {
		jv_free(ends);
		jv_free(sku);
		free(kind);
		drop(api, body, old, how);
		return arm_fail(400, "AccountNameInvalid",
		    "%s is not a valid storage account name. Storage account "
		    "name must be between 3 and 24 characters in length and "
		    "use numbers and lower-case letters only.",
		    name);
	}
	for (size_t i = 0; i < sizeof services / sizeof *services; i++)
		ends = jv_put(ends, services[i],
		    jv_text(
			"https://%s.%s.core.windows.net/", name, services[i]));
	region = arm_region(arm_member(body, "location"));
	sku = arm_or(sku, jv_parse("{\"name\":\"Standard_LRS\"}"));
	tier = arm_text(sku, "name");
	sku = jv_put(sku, "tier",
	    jv_string(tier && strncmp(tier, "Premium", 7) == 0 ? "Premium"
							       : "Standard"));
	out = jv_put(jv_object(), "sku", sku);
	out = jv_put(out, "kind", jv_string(kind ? kind : "StorageV2"));
	out = jv_object_merge(
	    out, frame(id, "Microsoft.Storage/storageAccounts"));
	out = with_place(out, body, false);
	props = defaulted("{\"minimumTlsVersion\":\"TLS1_2\","
			  "\"allowBlobPublicAccess\":false,"
			  "\"supportsHttpsTrafficOnly\":true,"
			  "\"accessTier\":\"Hot\"}",
	    arm_member(body, "properties"));
	props = jv_put(props, "provisioningState", jv_string("Succeeded"));
	props = jv_put(props, "creationTime", born_at(s, old, "creationTime"));
	props = jv_put(props, "primaryEndpoints", ends);
	props = jv_put(props, "primaryLocation", jv_string(region));
	props = jv_put(props, "statusOfPrimary", jv_string("available"));
	out = jv_put(out, "properties", props);
	free(kind);
	free(region);
	free(tier);
	drop(api, body, old, how);
	return out;
}

static jv
storage_action(struct sim *s, const struct arm_id *id, jv stored,
    const char *action, jv request)
{
	static const char *const names[] = { "key1", "key2" };
	jv when = jv_path(stored, "properties.creationTime"), list = jv_array();
	char *which = arm_text(request, "keyName");

	jv_free(request);
	if (strcasecmp(action, "regenerateKey") == 0) {
		if (!which || (strcmp(which, "key1") != 0 &&
				  strcmp(which, "key2") != 0)) {
			free(which);
			jv_free(when);
			jv_free(list);
			return arm_fail(400,
			    "InvalidValuesForRequestParameters",
			    "Values for request parameters are invalid: "
			    "keyName.");
		}
		next_key(s, id, which);
	}
	free(which);
	if (strcasecmp(action, "listKeys") != 0 &&
	    strcasecmp(action, "regenerateKey") != 0) {
		jv_free(when);
		jv_free(list);
		return jv_null();
	}
	for (int i = 0; i < 2; i++)
		list = jv_array_append(list,
		    jv_put(jv_put(jv_put(jv_put(jv_object(), "creationTime",
					     jv_copy(when)),
				      "keyName", jv_string(names[i])),
			       "value", key_jv(s, id, names[i], 64)),
			"permissions", jv_string("FULL")));
	jv_free(when);
	return jv_put(jv_object(), "keys", list);
}

/* What is kept of what was deleted, and of earlier versions. */
static jv
blob_service_put(struct sim *s, const struct arm_id *id, const char *api,
    jv body, jv old, enum arm_how how)
{
	jv out = frame(id, "Microsoft.Storage/storageAccounts/blobServices");

	(void)s;
	out = jv_put(out, "properties",
	    defaulted("{\"cors\":{\"corsRules\":[]},"
		      "\"deleteRetentionPolicy\":{\"enabled\":false,"
		      "\"allowPermanentDelete\":false}}",
		arm_member(body, "properties")));
	drop(api, body, old, how);
	return out;
}

static jv
container_put(struct sim *s, const struct arm_id *id, const char *api, jv body,
    jv old, enum arm_how how)
{
	const char *name = id->name[2];
	size_t n = strlen(name);
	jv out, etag;

	if (n < 3 || n > 63 || name[0] == '-' || name[n - 1] == '-' ||
	    strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != n) {
		drop(api, body, old, how);
		return arm_fail(400, "InvalidResourceName",
		    "The specifed resource name '%s' contains invalid "
		    "characters.",
		    name);
	}
	out = frame(
	    id, "Microsoft.Storage/storageAccounts/blobServices/containers");
	etag = jv_text("\"0x%llX\"", (unsigned long long)blob_next_etag(s));
	out = jv_put(out, "etag", etag);
	out = jv_put(out, "properties",
	    jv_put(defaulted("{\"deleted\":false,\"remainingRetentionDays\":0,"
			     "\"publicAccess\":\"None\","
			     "\"leaseStatus\":\"Unlocked\","
			     "\"leaseState\":\"Available\","
			     "\"hasImmutabilityPolicy\":false,"
			     "\"hasLegalHold\":false}",
		       arm_member(body, "properties")),
		"lastModifiedTime", born_at(s, old, "lastModifiedTime")));
	drop(api, body, old, how);
	return out;
}

/* -- Event Hubs and Service Bus ------------------------------------------ */

static bool
is_events(const struct arm_id *id)
{
	return strncmp(id->kind->type, "Microsoft.EventHub/", 19) == 0;
}

static jv
namespace_put(struct sim *s, const struct arm_id *id, const char *api, jv body,
    jv old, enum arm_how how)
{
	bool events = is_events(id);
	const char *name = id->name[0];
	jv out, props, sku;
	char guid[37];

	if (strlen(name) < 6 || strlen(name) > 50) {
		drop(api, body, old, how);
		return arm_fail(400, "BadRequest",
		    "The specified service namespace '%s' is invalid: 6 to 50 "
		    "characters.",
		    name);
	}
	sku = defaulted("{\"name\":\"Standard\",\"tier\":\"Standard\"}",
	    arm_member(body, "sku"));
	if (events)
		sku = defaulted("{\"capacity\":1}", sku);
	out = jv_put(jv_object(), "sku", sku);
	out = jv_object_merge(
	    out, frame(id, events ? "Microsoft.EventHub/Namespaces"
				  : "Microsoft.ServiceBus/Namespaces"));
	out = with_place(out, body, true);
	props = defaulted(
	    events ? "{\"minimumTlsVersion\":\"1.2\",\"publicNetworkAccess\":"
		     "\"Enabled\",\"disableLocalAuth\":false,\"zoneRedundant\":"
		     "false,\"isAutoInflateEnabled\":false,"
		     "\"maximumThroughputUnits\":0,\"kafkaEnabled\":true}"
		   : "{\"premiumMessagingPartitions\":0,\"minimumTlsVersion\":"
		     "\"1.2\",\"publicNetworkAccess\":\"Enabled\","
		     "\"disableLocalAuth\":false,\"zoneRedundant\":false}",
	    arm_member(body, "properties"));
	sim_guid(s, id->key, guid);
	/* Right after a PUT it is not yet ready (CONTRACT 3.2). */
	if (how == ARM_SLOW && jv_get_kind(old) == JV_KIND_NULL)
		out = jv_put(out, "ready",
		    jv_number((double)(sim_now(s) + arm_lasts(s, WORK_OTHER))));
	props = jv_put(props, "provisioningState", jv_string("Succeeded"));
	props =
	    jv_put(props, "metricId", jv_text("%s:%s", SIM_SUBSCRIPTION, name));
	props = jv_put(props, "createdAt", born_at(s, old, "createdAt"));
	props = jv_put(props, "updatedAt", arm_time(sim_now(s)));
	props = jv_put(props, "serviceBusEndpoint",
	    jv_text("https://%s.servicebus.windows.net:443/", name));
	props = jv_put(props, "status", jv_string("Active"));
	out = jv_put(out, "properties", props);
	drop(api, body, old, how);
	return out;
}

static jv
namespace_view(
    struct sim *s, const struct arm_id *id, const char *api, jv stored)
{
	double ready = (double)arm_number(stored, "ready", 0);

	(void)id;
	(void)api;
	if ((double)sim_now(s) < ready)
		stored = jv_put(stored, "properties",
		    jv_put(jv_put(arm_member(stored, "properties"),
			       "provisioningState", jv_string("Created")),
			"status", jv_string("Activating")));
	return jv_without(stored, "ready");
}

/* The type in the words of the recordings, which differ by depth. */
static jv
rule_body(struct sim *s, const struct arm_id *id, jv rights)
{
	bool below = id->depth > 2;
	char *space = xstrndup(id->kind->type, strcspn(id->kind->type, "/"));
	char *type = below ? arm_lower(strrchr(id->kind->type, '/')) : NULL;
	jv out;

	if (below) {
		char *whole = xasprintf("%.*s%s",
		    (int)(strrchr(id->kind->type, '/') - id->kind->type),
		    id->kind->type, type);

		out = frame(id, whole);
		free(whole);
	} else {
		char *whole =
		    xasprintf("%s/Namespaces/AuthorizationRules", space);

		out = frame(id, whole);
		out = arm_put_some(out, "location", place_above(s, id));
		free(whole);
	}
	free(space);
	free(type);
	return jv_put(out, "properties", jv_put(jv_object(), "rights", rights));
}

static void
namespace_born(struct sim *s, const struct arm_id *id)
{
	char *path = xasprintf(
	    "%s/authorizationRules/RootManageSharedAccessKey", id->id);
	struct arm_id rule;

	if (arm_id_parse(s, path, &rule)) {
		arm_store(s, &rule,
		    rule_body(s, &rule,
			jv_parse("[\"Listen\",\"Manage\",\"Send\"]")));
		arm_id_free(&rule);
	}
	free(path);
}

#define ENTITY_DEFAULTS                                                     \
	"\"duplicateDetectionHistoryTimeWindow\":\"PT10M\","                \
	"\"autoDeleteOnIdle\":\"P10675199DT2H48M5.4775807S\","              \
	"\"countDetails\":{\"activeMessageCount\":0,"                       \
	"\"deadLetterMessageCount\":0,\"scheduledMessageCount\":0,"         \
	"\"transferMessageCount\":0,\"transferDeadLetterMessageCount\":0}," \
	"\"accessedAt\":\"0001-01-01T00:00:00Z\","

/* The entity of a namespace: an event hub, a queue, a topic and what is in
 * one.  Its defaults are chosen by the last part of its type. */
static jv
entity_put(struct sim *s, const struct arm_id *id, const char *api, jv body,
    jv old, enum arm_how how)
{
	const char *what = strrchr(id->kind->type, '/') + 1;
	jv props = arm_member(body, "properties"),
	   out = frame(id, id->kind->type);

	if (id->depth == 2)
		out = arm_put_some(out, "location", place_above(s, id));
	if (strcmp(what, "eventhubs") == 0) {
		jv ids = jv_array(), n;

		props = defaulted("{\"messageRetentionInDays\":7,"
				  "\"partitionCount\":4,\"status\":\"Active\"}",
		    props);
		n = arm_member(props, "partitionCount");
		for (int i = 0; jv_get_kind(n) == JV_KIND_NUMBER &&
				i < (int)jv_number_value(n) && i < 1024;
		     i++)
			ids = jv_array_append(ids, jv_text("%d", i));
		jv_free(n);
		props = jv_put(props, "partitionIds", ids);
		if (api && strcmp(api, "2022-10") > 0)
			props = jv_put(props, "retentionDescription",
			    JV_OBJECT(jv_string("cleanupPolicy"),
				jv_string("Delete"),
				jv_string("retentionTimeInHours"),
				jv_number(
				    24 * (double)arm_number(props,
					     "messageRetentionInDays", 7))));
	} else if (strcmp(what, "queues") == 0) {
		props = defaulted(
		    "{\"maxMessageSizeInKilobytes\":256,\"lockDuration\":"
		    "\"PT1M\",\"maxSizeInMegabytes\":1024,"
		    "\"requiresDuplicateDetection\":false,\"requiresSession\":"
		    "false," ENTITY_DEFAULTS "\"defaultMessageTimeToLive\":"
		    "\"P10675199DT2H48M5.4775807S\","
		    "\"deadLetteringOnMessageExpiration\":false,"
		    "\"enableBatchedOperations\":true,\"maxDeliveryCount\":10,"
		    "\"status\":\"Active\",\"enablePartitioning\":false,"
		    "\"enableExpress\":false,\"sizeInBytes\":0,"
		    "\"messageCount\":0}",
		    props);
	} else if (strcmp(what, "topics") == 0) {
		props = defaulted(
		    "{\"maxMessageSizeInKilobytes\":256,"
		    "\"defaultMessageTimeToLive\":"
		    "\"P10675199DT2H48M5.4775807S\",\"maxSizeInMegabytes\":"
		    "1024,\"requiresDuplicateDetection\":false," ENTITY_DEFAULTS
		    "\"enableBatchedOperations\":true,\"sizeInBytes\":0,"
		    "\"status\":\"Active\",\"supportOrdering\":true,"
		    "\"enablePartitioning\":false,\"enableExpress\":false,"
		    "\"subscriptionCount\":0}",
		    props);
	} else
		props = defaulted("{}", props);
	props = jv_put(props, "createdAt", born_at(s, old, "createdAt"));
	props = jv_put(props, "updatedAt", arm_time(sim_now(s)));
	drop(api, body, old, how);
	return jv_put(out, "properties", props);
}

/* A rule with the right Manage must have the other two as well. */
static jv
rule_put(struct sim *s, const struct arm_id *id, const char *api, jv body,
    jv old, enum arm_how how)
{
	jv rights = jv_path(jv_copy(body), "properties.rights");
	bool listen = false, send = false, manage = false, bad = false;

	drop(api, body, old, how);
	if (jv_get_kind(rights) == JV_KIND_ARRAY)
		jv_array_foreach(rights, i, one) {
			if (jv_string_is(jv_copy(one), "Listen"))
				listen = true;
			else if (jv_string_is(jv_copy(one), "Send"))
				send = true;
			else if (jv_string_is(jv_copy(one), "Manage"))
				manage = true;
			else
				bad = true;
			jv_free(one);
		}
	if (bad || !(listen || send || manage) ||
	    (manage && !(listen && send))) {
		jv_free(rights);
		return arm_fail(400, "BadRequest",
		    "The rights of the authorization rule '%s' must be some of "
		    "Listen, Send and Manage; Manage needs the other two.",
		    id->name[id->depth - 1]);
	}
	return rule_body(s, id, rights);
}

static jv
rule_string(const struct arm_id *id, const char *key)
{
	char *host = arm_lower(id->name[0]);
	jv v = jv_text("Endpoint=sb://%s.servicebus.windows.net/;"
		       "SharedAccessKeyName=%s;SharedAccessKey=%s%s%s",
	    host, id->name[id->depth - 1], key,
	    id->depth > 2 ? ";EntityPath=" : "",
	    id->depth > 2 ? id->name[1] : "");

	free(host);
	return v;
}

static jv
rule_action(struct sim *s, const struct arm_id *id, jv stored,
    const char *action, jv request)
{
	char *type = arm_text(request, "keyType"), *first, *second;
	jv out;

	jv_free(stored);
	jv_free(request);
	if (strcasecmp(action, "regenerateKeys") == 0)
		next_key(s, id,
		    type && strcasecmp(type, "SecondaryKey") == 0 ? "secondary"
								  : "primary");
	else if (strcasecmp(action, "listKeys") != 0) {
		free(type);
		return jv_null();
	}
	first = make_key(s, id, "primary", 32);
	second = make_key(s, id, "secondary", 32);
	out = jv_put(
	    jv_object(), "primaryConnectionString", rule_string(id, first));
	out = jv_put(out, "secondaryConnectionString", rule_string(id, second));
	out = jv_put(out, "primaryKey", jv_string(first));
	out = jv_put(out, "secondaryKey", jv_string(second));
	out = jv_put(out, "keyName", jv_string(id->name[id->depth - 1]));
	free(type);
	free(first);
	free(second);
	return out;
}

/* -- Cosmos DB ----------------------------------------------------------- */

/* Where an account is, as it is answered four times. */
static jv
cosmos_places(const char *name, jv given, bool policy)
{
	jv out = jv_array();

	if (jv_get_kind(given) != JV_KIND_ARRAY) {
		jv_free(given);
		return out;
	}
	jv_array_foreach(given, i, one) {
		char *region = arm_region(arm_member(one, "locationName"));
		jv place = jv_put(jv_object(), "id",
		    jv_text("%s-%s", name, region ? region : ""));

		place = jv_put(place, "locationName",
		    region ? jv_string(arm_region_title(region))
			   : arm_member(one, "locationName"));
		if (!policy) {
			place = jv_put(place, "documentEndpoint",
			    jv_text("https://%s-%s.documents.azure.com:443/",
				name, region ? region : ""));
			place = jv_put(
			    place, "provisioningState", jv_string("Succeeded"));
		}
		place = jv_put(place, "failoverPriority",
		    jv_number((double)arm_number(one, "failoverPriority", 0)));
		if (!policy)
			place = jv_put(place, "isZoneRedundant",
			    arm_is_true(one, "isZoneRedundant") ? jv_true()
								: jv_false());
		out = jv_array_append(out, place);
		free(region);
		jv_free(one);
	}
	jv_free(given);
	return out;
}

/* The properties of an account, from what was sent. */
static jv
cosmos_account(struct sim *s, const struct arm_id *id, jv given, jv since)
{
	static const char *const keys[] = { "primaryMasterKey",
		"secondaryMasterKey", "primaryReadonlyMasterKey",
		"secondaryReadonlyMasterKey" };
	const char *name = id->name[0];
	jv props, places = jv_null(), ages = jv_object();
	char guid[37];

	if (jv_get_kind(given) == JV_KIND_OBJECT)
		places = arm_member(given, "locations");
	props = defaulted(
	    "{\"provisioningState\":\"Succeeded\","
	    "\"publicNetworkAccess\":\"Enabled\","
	    "\"enableAutomaticFailover\":false,"
	    "\"enableMultipleWriteLocations\":false,"
	    "\"enablePartitionKeyMonitor\":false,"
	    "\"isVirtualNetworkFilterEnabled\":false,"
	    "\"virtualNetworkRules\":[],\"EnabledApiTypes\":\"Sql\","
	    "\"disableKeyBasedMetadataWriteAccess\":false,"
	    "\"enableFreeTier\":false,\"enableAnalyticalStorage\":false,"
	    "\"analyticalStorageConfiguration\":"
	    "{\"schemaType\":\"WellDefined\"},"
	    "\"databaseAccountOfferType\":\"Standard\","
	    "\"defaultIdentity\":\"FirstPartyIdentity\","
	    "\"networkAclBypass\":\"None\",\"disableLocalAuth\":false,"
	    "\"enablePartitionMerge\":false,\"enableBurstCapacity\":false,"
	    "\"minimalTlsVersion\":\"Tls12\","
	    "\"consistencyPolicy\":{\"defaultConsistencyLevel\":"
	    "\"Session\",\"maxIntervalInSeconds\":5,"
	    "\"maxStalenessPrefix\":100},"
	    "\"configurationOverrides\":"
	    "{\"EnablePerRegionPerPartitionAutoscaleOptIn\":\"True\"},"
	    "\"cors\":[],\"capabilities\":[],\"ipRules\":[],"
	    "\"backupPolicy\":{\"type\":\"Periodic\","
	    "\"periodicModeProperties\":{\"backupIntervalInMinutes\":240,"
	    "\"backupRetentionIntervalInHours\":8,"
	    "\"backupStorageRedundancy\":\"Geo\"}},"
	    "\"networkAclBypassResourceIds\":[]}",
	    jv_without(jv_without(given, "createMode"), "apiProperties"));
	props = jv_put(props, "provisioningState", jv_string("Succeeded"));
	for (int i = 0; i < 2; i++)
		props = jv_put(props, i ? "sqlEndpoint" : "documentEndpoint",
		    jv_text("https://%s.documents.azure.com:443/", name));
	sim_guid(s, id->key, guid);
	props = jv_put(props, "instanceId", jv_string(guid));
	props = jv_put(props, "writeLocations",
	    cosmos_places(name, jv_copy(places), false));
	props = jv_put(props, "readLocations",
	    cosmos_places(name, jv_copy(places), false));
	props = jv_put(
	    props, "locations", cosmos_places(name, jv_copy(places), false));
	props = jv_put(
	    props, "failoverPolicies", cosmos_places(name, places, true));
	for (int i = 0; i < 4; i++)
		ages = jv_put(ages, keys[i],
		    jv_put(jv_object(), "generationTime", jv_copy(since)));
	jv_free(since);
	return jv_put(props, "keysMetadata", ages);
}

static jv
cosmos_put(struct sim *s, const struct arm_id *id, const char *api, jv body,
    jv old, enum arm_how how)
{
	const char *name = id->name[0];
	char *kind = arm_text(body, "kind");
	jv out = jv_object(), props, created;

	out = jv_put(out, "id", jv_string(id->id));
	out = jv_put(out, "name", jv_string(name));
	out = jv_put(out, "location", jv_null()); /* keeps its place */
	out = jv_put(
	    out, "type", jv_string("Microsoft.DocumentDB/databaseAccounts"));
	out = jv_put(out, "kind", jv_string(kind ? kind : "GlobalDocumentDB"));
	out = with_place(out, body, true);
	created = arm_or(arm_member(old, "systemData"),
	    jv_put(jv_object(), "createdAt", arm_time(sim_now(s))));
	props = cosmos_account(s, id, arm_member(body, "properties"),
	    arm_member(created, "createdAt"));
	out = jv_put(out, "systemData", created);
	out = jv_put(out, "properties", props);
	out = jv_put(out, "identity",
	    arm_or(
		arm_member(body, "identity"), jv_parse("{\"type\":\"None\"}")));
	free(kind);
	drop(api, body, old, how);
	return out;
}

static jv
cosmos_action(struct sim *s, const struct arm_id *id, jv stored,
    const char *action, jv request)
{
	static const struct {
		const char *member, *regenerate, *title;
	} keys[] = {
		{ "primaryMasterKey", "primary",
		    "Primary SQL Connection String" },
		{ "secondaryMasterKey", "secondary",
		    "Secondary SQL Connection String" },
		{ "primaryReadonlyMasterKey", "primaryReadonly",
		    "Primary Read-Only SQL Connection String" },
		{ "secondaryReadonlyMasterKey", "secondaryReadonly",
		    "Secondary Read-Only SQL Connection String" },
	};
	char *which = arm_text(request, "keyKind");
	jv out = jv_null(), list = jv_array();

	jv_free(stored);
	jv_free(request);
	if (strcasecmp(action, "listKeys") == 0) {
		out = jv_object();
		for (int i = 0; i < 4; i++)
			out = jv_put(out, keys[i].member,
			    key_jv(s, id, keys[i].member, 64));
	} else if (strcasecmp(action, "readonlykeys") == 0) {
		out = jv_object();
		for (int i = 2; i < 4; i++)
			out = jv_put(out, keys[i].member,
			    key_jv(s, id, keys[i].member, 64));
	} else if (strcasecmp(action, "regenerateKey") == 0) {
		for (int i = 0; i < 4; i++)
			if (which && strcmp(which, keys[i].regenerate) == 0)
				next_key(s, id, keys[i].member);
		out = jv_object();
	} else if (strcasecmp(action, "listConnectionStrings") == 0) {
		for (int i = 0; i < 4; i++) {
			char *key = make_key(s, id, keys[i].member, 64);

			list = jv_array_append(list,
			    jv_put(jv_put(jv_object(), "connectionString",
				       jv_text("AccountEndpoint=https://%s."
					       "documents.azure.com:443/;"
					       "AccountKey=%s;",
					   id->name[0], key)),
				"description", jv_string(keys[i].title)));
			free(key);
		}
		out = jv_put(jv_object(), "connectionStrings", jv_copy(list));
	}
	jv_free(list);
	free(which);
	return out;
}

/* What the service adds to a database or a container. */
static jv
cosmos_inside(const struct arm_id *id, jv given, const char *rid)
{
	static const char *const base[] = { "colls", "users", NULL },
				 *const box[] = { "docs", "sprocs", "triggers",
					 "udfs", "conflicts", NULL };
	bool container = id->depth == 3;

	if (container)
		given = defaulted(
		    "{\"indexingPolicy\":{\"indexingMode\":\"consistent\","
		    "\"automatic\":true,\"includedPaths\":[{\"path\":\"/*\"}],"
		    "\"excludedPaths\":[{\"path\":\"/\\\"_etag\\\"/?\"}]},"
		    "\"conflictResolutionPolicy\":"
		    "{\"mode\":\"LastWriterWins\","
		    "\"conflictResolutionPath\":\"/_ts\","
		    "\"conflictResolutionProcedure\":\"\"},"
		    "\"geospatialConfig\":{\"type\":\"Geography\"},"
		    "\"computedProperties\":[],\"statistics\":[{\"id\":\"0\","
		    "\"sizeInKB\":0,\"documentCount\":0,"
		    "\"sampledDistinctPartitionKeyCount\":0,"
		    "\"partitionKeys\":[]}]}",
		    given);
	given = jv_put(given, "_rid", jv_text("%s==", rid));
	given = jv_put(given, "_self",
	    jv_text("dbs/%s==/%s", rid, container ? "colls/" : ""));
	given = jv_put(given, "_etag",
	    jv_text("\"0000%.4s-0000-0700-0000-%s0000\"", rid, rid));
	for (const char *const *m = container ? box : base; *m; m++) {
		char *name = xasprintf("_%s", *m);

		given = jv_put(given, name, jv_text("%s/", *m));
		free(name);
	}
	return given;
}

/* Databases and containers: the resource inside the resource. */
static jv
cosmos_child_put(struct sim *s, const struct arm_id *id, const char *api,
    jv body, jv old, enum arm_how how)
{
	jv given = jv_path(jv_copy(body), "properties.resource");
	jv key = jv_path(jv_copy(given), "partitionKey");
	jv was =
	    jv_path(jv_copy(old), "properties.resource.partitionKey.paths");
	char *name = arm_text(given, "id"), guid[37];
	int64_t seconds = sim_now(s) / 1000;
	jv out;

	if (!name || strcmp(name, id->name[id->depth - 1]) != 0)
		out = arm_fail(400, "BadRequest",
		    "The resource's id must be its name, '%s'.",
		    id->name[id->depth - 1]);
	else if (id->depth == 3 && jv_get_kind(key) != JV_KIND_OBJECT)
		out = arm_fail(400, "BadRequest",
		    "The container '%s' needs a partitionKey.", name);
	else if (jv_get_kind(was) == JV_KIND_ARRAY &&
		 !jv_equal(jv_copy(was), jv_path(jv_copy(key), "paths")))
		out = arm_fail(400, "BadRequest",
		    "Document collection partition key cannot be changed.");
	else {
		sim_guid(s, id->key, guid);
		guid[8] = '\0';
		given = jv_without(given, "createMode");
		given = cosmos_inside(id, given, guid);
		given = jv_put(given, "_ts", jv_number((double)seconds));
		out = jv_put(jv_put(jv_object(), "id", jv_string(id->id)),
		    "type", jv_string(id->kind->type));
		out = jv_put(out, "name", jv_string(name));
		out = jv_put(out, "properties",
		    jv_put(jv_object(), "resource", jv_copy(given)));
	}
	free(name);
	jv_free(given);
	jv_free(key);
	jv_free(was);
	drop(api, body, old, how);
	return out;
}

/* -- identities ---------------------------------------------------------- */

static jv
identity_put(struct sim *s, const struct arm_id *id, const char *api, jv body,
    jv old, enum arm_how how)
{
	static const char *const members[] = { "principalId", "clientId" };
	jv out = with_place(frame(id, id->kind->type), body, false);
	jv props = jv_put(jv_object(), "tenantId", jv_string(SIM_TENANT));

	for (int i = 0; i < 2; i++) {
		char *words = xasprintf("%s/%s", members[i], id->key), guid[37];

		sim_guid(s, words, guid);
		props = jv_put(props, members[i], jv_string(guid));
		free(words);
	}
	drop(api, body, old, how);
	return jv_put(out, "properties", props);
}

#define ENTITY(what)                                             \
	{                                                        \
		.type = (what), .created = 200, .replaced = 200, \
		.put = entity_put                                \
	}
#define RULE(what)                                               \
	{                                                        \
		.type = (what), .created = 200, .replaced = 200, \
		.put = rule_put, .action = rule_action           \
	}
#define NAMESPACE(what)                                                \
	{                                                              \
		.type = (what), .created = 200, .replaced = 200,       \
		.tracked = true, .global = true, .put = namespace_put, \
		.view = namespace_view, .born = namespace_born         \
	}

const struct arm_kind service_kinds[] = {
	{ .type = "Microsoft.Storage/storageAccounts",
	    .created = 200,
	    .replaced = 200,
	    .tracked = true,
	    .global = true,
	    .put = storage_put,
	    .action = storage_action },
	{ .type = "Microsoft.Storage/storageAccounts/blobServices",
	    .created = 200,
	    .replaced = 200,
	    .implied = true,
	    .put = blob_service_put },
	{ .type = "Microsoft.Storage/storageAccounts/blobServices/containers",
	    .created = 201,
	    .replaced = 200,
	    .put = container_put },
	NAMESPACE("Microsoft.EventHub/namespaces"),
	RULE("Microsoft.EventHub/namespaces/authorizationRules"),
	ENTITY("Microsoft.EventHub/namespaces/eventhubs"),
	RULE("Microsoft.EventHub/namespaces/eventhubs/authorizationRules"),
	ENTITY("Microsoft.EventHub/namespaces/eventhubs/consumergroups"),
	NAMESPACE("Microsoft.ServiceBus/namespaces"),
	RULE("Microsoft.ServiceBus/namespaces/authorizationRules"),
	ENTITY("Microsoft.ServiceBus/namespaces/queues"),
	RULE("Microsoft.ServiceBus/namespaces/queues/authorizationRules"),
	ENTITY("Microsoft.ServiceBus/namespaces/topics"),
	RULE("Microsoft.ServiceBus/namespaces/topics/authorizationRules"),
	ENTITY("Microsoft.ServiceBus/namespaces/topics/subscriptions"),
	{ .type = "Microsoft.DocumentDB/databaseAccounts",
	    .created = 200,
	    .replaced = 200,
	    .tracked = true,
	    .global = true,
	    .put = cosmos_put,
	    .action = cosmos_action },
	{ .type = "Microsoft.DocumentDB/databaseAccounts/sqlDatabases",
	    .created = 200,
	    .replaced = 200,
	    .put = cosmos_child_put },
	{ .type =
		"Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers",
	    .created = 200,
	    .replaced = 200,
	    .put = cosmos_child_put },
	{ .type = "Microsoft.ManagedIdentity/userAssignedIdentities",
	    .created = 201,
	    .replaced = 200,
	    .tracked = true,
	    .put = identity_put },
	{ .type = NULL },
};
