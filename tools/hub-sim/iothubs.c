/*
 * iothubs.c: the provider Microsoft.Devices: hubs, their built-in endpoint's
 * consumer groups, certificates, keys (CONTRACT 4, 5 and 7).
 *
 * Numbers of the provider's errors that CONTRACT 3.1 lists are the service's;
 * the others are ours: 400000 for what is simply wrong, 409005 for a name that
 * is taken, 412001 for a stale ETag.
 *
 * An endpoint's resourceGroup and subscriptionId, where given, must be those
 * of the resource that it points at.  The service may be more lenient; a tool
 * that gets them wrong finds no key later, so hub-sim is not.
 */
#include "arm.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define MASK "****"

/* -- rows ---------------------------------------------------------------- */

struct row {
	bool there;
	char sku[8], key[512];
	long units;
	bool local_auth;
	int64_t active, busy, gone; /* moments; 0: never */
};

static struct row
row_of(struct sim *s, const char *name)
{
	sqlite3_stmt *q = sim_sql(s,
	    "SELECT key, sku, units, local_auth, active, busy, gone FROM hub"
	    " WHERE name = ?");
	char *key = arm_lower(name);
	struct row row = { .there = false };

	sim_bind(q, 1, key);
	free(key);
	if (sim_step(s, q) != SQLITE_ROW)
		return row;
	row.there = true;
	(void)snprintf(row.key, sizeof row.key, "%s",
	    (const char *)sqlite3_column_text(q, 0));
	(void)snprintf(row.sku, sizeof row.sku, "%s",
	    (const char *)sqlite3_column_text(q, 1));
	row.units = (long)sqlite3_column_int64(q, 2);
	row.local_auth = sqlite3_column_int(q, 3) != 0;
	row.active = sqlite3_column_int64(q, 4);
	row.busy = sqlite3_column_int64(q, 5);
	row.gone = sqlite3_column_int64(q, 6);
	return row;
}

static void
keep_row(struct sim *s, const char *name, const struct row *row)
{
	sqlite3_stmt *q = sim_sql(
	    s, "INSERT OR REPLACE INTO hub VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
	char *key = arm_lower(name);

	sim_bind(q, 1, key);
	sim_bind(q, 2, row->key);
	sim_bind(q, 3, row->sku);
	(void)sqlite3_bind_int64(q, 4, row->units);
	(void)sqlite3_bind_int(q, 5, row->local_auth);
	(void)sqlite3_bind_int64(q, 6, row->active);
	(void)sqlite3_bind_int64(q, 7, row->busy);
	(void)sqlite3_bind_int64(q, 8, row->gone);
	(void)sim_step(s, q);
	free(key);
}

static const char *
state_of(struct sim *s, const struct row *row)
{
	if (row->gone)
		return "Deleting";
	return sim_now(s) < row->active ? "Activating" : "Active";
}

void
hub_forget(struct sim *s, const char *name)
{
	char *key = arm_lower(name);
	sqlite3_stmt *q;

	q = sim_sql(s, "DELETE FROM hub WHERE name = ?");
	sim_bind(q, 1, key);
	(void)sim_step(s, q);
	q = sim_sql(s, "DELETE FROM policy WHERE hub = ?");
	sim_bind(q, 1, key);
	(void)sim_step(s, q);
	q = sim_sql(s, "DELETE FROM secret WHERE hub = ?");
	sim_bind(q, 1, key);
	(void)sim_step(s, q);
	registry_forget(s, key);
	free(key);
}

void
hub_reap(struct sim *s)
{
	sqlite3_stmt *q = sim_sql(
	    s, "SELECT key FROM hub WHERE gone > 0 AND gone <= ? LIMIT 1");
	char *key;

	(void)sqlite3_bind_int64(q, 1, sim_now(s));
	if (sim_step(s, q) != SQLITE_ROW)
		return;
	key = span_dup(sim_column(q, 0));
	(void)sqlite3_reset(q);
	(void)arm_delete(s, key);
	free(key);
	hub_reap(s);
}

/* -- for the data plane -------------------------------------------------- */

bool
sim_hub_find(struct sim *s, const char *host, struct sim_hub *out)
{
	struct row row;
	size_t n = strcspn(host, ".");

	memset(out, 0, sizeof *out);
	if (n == 0 || n >= sizeof out->name)
		return false;
	for (size_t i = 0; i < n; i++)
		out->name[i] = (char)tolower((unsigned char)host[i]);
	row = row_of(s, out->name);
	if (!row.there || (row.gone && row.gone <= sim_now(s)))
		return false;
	(void)snprintf(out->state, sizeof out->state, "%s", state_of(s, &row));
	(void)snprintf(out->sku, sizeof out->sku, "%s", row.sku);
	out->units = row.units;
	out->local_auth = row.local_auth;
	return true;
}

bool
sim_hub_policy(struct sim *s, const struct sim_hub *h, const char *name,
    struct sim_policy *out)
{
	sqlite3_stmt *q = sim_sql(s, "SELECT first, second, rights FROM policy"
				     " WHERE hub = ? AND name = ?");

	sim_bind(q, 1, h->name);
	sim_bind(q, 2, name);
	if (sim_step(s, q) != SQLITE_ROW)
		return false;
	(void)snprintf(out->primary, sizeof out->primary, "%s",
	    (const char *)sqlite3_column_text(q, 0));
	(void)snprintf(out->secondary, sizeof out->secondary, "%s",
	    (const char *)sqlite3_column_text(q, 1));
	(void)snprintf(out->rights, sizeof out->rights, "%s",
	    (const char *)sqlite3_column_text(q, 2));
	return true;
}

/* -- SKUs ---------------------------------------------------------------- */

static const struct sku {
	const char *name, *tier;
	int units;                /* at most */
	int fewest, most, normal; /* partitions */
	int days;                 /* retention, at most */
	long messages, devices;   /* a day and unit; in all */
	int endpoints, routes, enrichments;
} skus[] = {
	{ "F1", "Free", 1, 2, 2, 2, 1, 8000, 500, 1, 5, 2 },
	{ "B1", "Basic", 200, 2, 8, 4, 7, 400000, 1000000, 10, 100, 10 },
	{ "B2", "Basic", 200, 2, 8, 4, 7, 6000000, 1000000, 10, 100, 10 },
	{ "B3", "Basic", 10, 2, 8, 4, 7, 300000000, 1000000, 10, 100, 10 },
	{ "S1", "Standard", 200, 2, 32, 4, 7, 400000, 1000000, 10, 100, 10 },
	{ "S2", "Standard", 200, 2, 32, 4, 7, 6000000, 1000000, 10, 100, 10 },
	{ "S3", "Standard", 10, 2, 32, 4, 7, 300000000, 1000000, 10, 100, 10 },
	{ NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 },
};

static const struct sku *
sku_of(const char *name)
{
	for (const struct sku *k = skus; name && k->name; k++)
		if (strcasecmp(k->name, name) == 0)
			return k;
	return NULL;
}

/* -- a hub being put together -------------------------------------------- */

struct draft {
	struct sim *s;
	const struct arm_id *id;
	const char *api;
	enum arm_how how;
	jv old;      /* stored body, or null */
	jv identity; /* of the new hub */
	jv secrets;  /* rows for the secret table */
	const struct sku *sku;
	bool system_trusted; /* the system identity can have its roles */
	jv wrong;            /* the first refusal; null: none yet */
};

static bool
is_wrong(const struct draft *d)
{
	return !jv_is_valid(d->wrong);
}

__attribute__((format(printf, 3, 4))) static void
wrong(struct draft *d, int code, const char *fmt, ...)
{
	va_list ap;
	char *text;

	if (is_wrong(d))
		return;
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		die(LOCAL_FAILURE, NULL, "out of memory");
	va_end(ap);
	jv_free(d->wrong);
	d->wrong = hub_fail(d->s, 400, code, "%s", text);
	free(text);
}

static void
wrong_jv(struct draft *d, jv failure)
{
	if (is_wrong(d)) {
		jv_free(failure);
		return;
	}
	jv_free(d->wrong);
	d->wrong = failure;
}

static jv
peek(jv object, const char *name)
{
	return jv_at(jv_copy(object), name);
}

static bool
has(jv object, const char *name)
{
	jv v = peek(object, name);
	bool is = jv_get_kind(v) != JV_KIND_NULL;

	jv_free(v);
	return is;
}

/* A whole number in an object; otherwise when absent.  Microsoft's own sample
 * templates give capacity and partitionCount as text. */
static long
number(jv object, const char *name, long otherwise)
{
	jv v = peek(object, name);
	const char *text = jv_string_peek(v);
	char *end = NULL;
	long n = otherwise;

	if (jv_get_kind(v) == JV_KIND_NUMBER)
		n = (long)jv_number_value(v);
	else if (text && *text) {
		if (strncmp(text, DOC_NUMBER, strlen(DOC_NUMBER)) == 0)
			text += strlen(DOC_NUMBER);
		n = (long)strtod(text, &end);
		if (*end)
			n = otherwise;
	}
	jv_free(v);
	return n;
}

static bool
is_name(const char *name)
{
	size_t n = name ? strlen(name) : 0;

	if (n < 1 || n > 64)
		return false;
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && !strchr("-._", *name))
			return false;
	return true;
}

/* A member that is null counts as absent. */
static jv
without_nulls(jv given)
{
	jv out = jv_object();

	jv_object_foreach(given, k, v) {
		if (jv_get_kind(v) == JV_KIND_NULL) {
			jv_free(k);
			jv_free(v);
		} else
			out = jv_object_set(out, k, v);
	}
	jv_free(given);
	return out;
}

/* given over the defaults, object into object. */
static jv
defaulted(const char *defaults, jv given)
{
	jv out = jv_parse(defaults);

	if (jv_get_kind(given) == JV_KIND_OBJECT)
		return jv_object_merge_recursive(out, without_nulls(given));
	jv_free(given);
	return out;
}

/* -- connection strings (CONTRACT 5.1) ----------------------------------- */

/* "A=b;C=d=e" as {"A":"b","C":"d=e"}. */
static jv
string_parts(const char *text)
{
	jv out = jv_object();

	while (text && *text) {
		size_t n = strcspn(text, ";");
		const char *is = memchr(text, '=', n);

		if (is)
			out = jv_object_set(out,
			    jv_string_sized(text, (int)(is - text)),
			    jv_string_sized(is + 1, (int)(text + n - is - 1)));
		text += n + (text[n] == ';');
	}
	return out;
}

static const char *const bus_order[] = { "Endpoint", "SharedAccessKeyName",
	"SharedAccessKey", "EntityPath", NULL };
static const char *const storage_order[] = { "DefaultEndpointsProtocol",
	"EndpointSuffix", "BlobEndpoint", "FileEndpoint", "QueueEndpoint",
	"TableEndpoint", "AccountName", "AccountKey", NULL };

static void
add_part(struct buf *b, const char *name, jv value)
{
	const char *text = jv_string_peek(value);

	if (text)
		buf_printf(b, "%s%s=%s", b->len ? ";" : "", name, text);
	jv_free(value);
}

static jv
string_of(jv parts, const char *const *order)
{
	struct buf b = BUF_INIT;
	jv out;

	for (; *order; order++) {
		add_part(&b, *order, peek(parts, *order));
		parts = jv_without(parts, *order);
	}
	jv_object_foreach(parts, k, v) {
		add_part(&b, jv_string_value(k), v);
		jv_free(k);
	}
	jv_free(parts);
	out = jv_string(b.at ? b.at : "");
	buf_wipe(&b);
	return out;
}

/* What GET shows: masked, reordered, with port 5671. */
static jv
masked(jv parts, bool storage)
{
	char *endpoint = arm_text(parts, "Endpoint");

	if (endpoint && strncmp(endpoint, "sb://", 5) == 0) {
		size_t n = 5 + strcspn(endpoint + 5, ":/");

		parts = jv_put(
		    parts, "Endpoint", jv_text("%.*s:5671/", (int)n, endpoint));
	}
	free(endpoint);
	parts = jv_put(
	    parts, storage ? "AccountKey" : "SharedAccessKey", jv_string(MASK));
	return string_of(parts, storage ? storage_order : bus_order);
}

/* -- what an endpoint points at ------------------------------------------ */

/* The five arrays of CONTRACT 5, in the order of the service's answers. */
enum family { BUS, STORAGE, COSMOS };
static const struct target {
	const char *array;
	enum family family;
	const char *what; /* as in the service's words */
	const char *type, *entity;
} targets[] = {
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

struct endpoint {
	struct draft *d;
	const struct target *t;
	const char *name; /* as messages call it */
	jv given;
	bool kept; /* it continues one that the hub has */
};

__attribute__((format(printf, 2, 3))) static void
unusable(struct endpoint *e, const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		die(LOCAL_FAILURE, NULL, "out of memory");
	va_end(ap);
	wrong(e->d, 400116,
	    "ConnectionString is invalid, endpointName:%s, "
	    "exceptionMessage:%s.",
	    e->name, text);
	free(text);
}

/* "ns" of "sb://ns.servicebus.windows.net:5671/"; malloc'd or NULL. */
static char *
first_label(const char *uri)
{
	const char *at = uri ? strstr(uri, "://") : NULL;
	size_t n = at ? strcspn(at + 3, ".:/") : 0;

	return n ? xstrndup(at + 3, n) : NULL;
}

/* The key of the account or namespace, after the checks that need no secret;
 * NULL: refused. */
static char *
find_account(struct endpoint *e, const char *account)
{
	char *key = account && *account
			? arm_find_global(e->d->s, e->t->type, account)
			: NULL;
	char *group = arm_text(e->given, "resourceGroup"),
	     *sub = arm_text(e->given, "subscriptionId");
	struct arm_id id;

	if (!key) {
		unusable(e, "The resource '%s' of type '%s' does not exist",
		    account ? account : "", e->t->type);
	} else if (arm_id_parse(e->d->s, key, &id)) {
		if (group && *group && strcasecmp(group, id.group) != 0)
			unusable(e,
			    "'%s' is not in the resource group '%s' that the "
			    "endpoint names but in '%s'",
			    account, group, id.group);
		if (sub && *sub && strcasecmp(sub, SIM_SUBSCRIPTION) != 0)
			unusable(e,
			    "'%s' is not in the subscription '%s' that the "
			    "endpoint names",
			    account, sub);
		arm_id_free(&id);
	}
	free(group);
	free(sub);
	if (is_wrong(e->d)) {
		free(key);
		return NULL;
	}
	return key;
}

/* The key of KEY/KIND/NAME if it is there. */
static char *
below(struct sim *s, const char *key, const char *kind, const char *name)
{
	char *path = xasprintf("%s/%s/%s", key, kind, name), *low;
	jv found;

	low = arm_lower(path);
	free(path);
	found = arm_load(s, low);
	if (!jv_is_valid(found)) {
		free(low);
		low = NULL;
	}
	jv_free(found);
	return low;
}

static bool
may_send(struct sim *s, const char *rule)
{
	jv rights = jv_path(arm_load(s, rule), "properties.rights");
	bool yes = false;

	jv_array_foreach(rights, i, right)
		yes |= jv_string_is_nocase(jv_copy(right), "Send") |
		       jv_string_is_nocase(right, "Manage");
	jv_free(rights);
	return yes;
}

/* One of the texts among those members? */
static bool
key_among(jv keys, const char *const *members, const char *key)
{
	bool is = false;

	for (; *members; members++)
		is |= jv_string_is(peek(keys, *members), key);
	jv_free(keys);
	return is;
}

static void
check_bus_key(struct endpoint *e, const char *account, const char *entity,
    const char *policy, char **secret)
{
	static const char *const members[] = { "primaryKey", "secondaryKey",
		NULL };
	struct sim *s = e->d->s;
	char *rule =
	    entity ? below(s, entity, "authorizationRules", policy) : NULL;
	jv keys;

	if (!rule)
		rule = below(s, account, "authorizationRules", policy);
	if (!rule) {
		unusable(e, "The authorization rule '%s' could not be found",
		    policy);
		return;
	}
	keys = arm_keys_plain(s, rule, "listKeys", jv_object());
	if (!may_send(s, rule))
		unusable(e, "The authorization rule '%s' lacks the claim Send",
		    policy);
	else if (!*secret)
		*secret = arm_text(keys, "primaryKey");
	else if (!key_among(jv_copy(keys), members, *secret))
		unusable(e,
		    "InvalidSignature: The key is not one of the "
		    "authorization rule '%s'",
		    policy);
	jv_free(keys);
	free(rule);
}

static void
check_storage_key(struct endpoint *e, const char *account, char **secret)
{
	jv keys = jv_at(
	    arm_keys_plain(e->d->s, account, "listKeys", jv_object()), "keys");
	bool is = false;

	if (!*secret) {
		*secret = jv_dup_string(
		    jv_at(jv_array_get(jv_copy(keys), 0), "value"));
		is = true;
	}
	jv_array_foreach(keys, i, one)
		is |= jv_string_is(jv_at(one, "value"), *secret);
	jv_free(keys);
	if (!is)
		unusable(e, "AuthenticationFailed: The key is not one of the "
			    "storage account");
}

static const char *const cosmos_keys[] = { "primaryMasterKey",
	"secondaryMasterKey", NULL };

static void
check_entity(struct endpoint *e, const char *account, const char *name)
{
	char *found =
	    name && *name ? below(e->d->s, account, e->t->entity, name) : NULL;

	if (!found)
		unusable(e, "The messaging entity '%s' could not be found",
		    name ? name : "");
	free(found);
}

static void
check_container(struct endpoint *e, const char *account)
{
	char *name = arm_text(e->given, "containerName");
	char *base = arm_text(e->given, "databaseName"), *db = NULL, *c = NULL;

	if (e->t->family == STORAGE && name)
		c = below(e->d->s, account, e->t->entity, name);
	else if (name && base &&
		 (db = below(e->d->s, account, e->t->entity, base)))
		c = below(e->d->s, db, "containers", name);
	if (!c)
		unusable(e, "The container '%s%s%s' could not be found",
		    base ? base : "", base ? "/" : "", name ? name : "");
	free(name);
	free(base);
	free(db);
	free(c);
}

/* Who writes to an endpoint without a key (CONTRACT 4.1, 5). */
static void
check_identity(struct endpoint *e)
{
	struct draft *d = e->d;
	jv map = peek(d->identity, "userAssignedIdentities");
	char *user = jv_dup_string(
	    jv_path(jv_copy(e->given), "identity.userAssignedIdentity"));
	char *type = arm_text(d->identity, "type");
	bool on = false;

	if (user && *user) {
		if (jv_get_kind(map) == JV_KIND_OBJECT)
			jv_object_foreach(map, k, v) {
				on |= strcasecmp(jv_string_value(k), user) == 0;
				jv_free(k);
				jv_free(v);
			}
		if (!on)
			wrong(d, 400000,
			    "The user-assigned identity '%s' of the endpoint "
			    "'%s' is not assigned to the hub.",
			    user, e->name);
	} else if (!type || !strcasestr(type, "SystemAssigned"))
		wrong(d, 400000,
		    "The endpoint '%s' uses the system-assigned identity, "
		    "which the hub does not have.",
		    e->name);
	else if (!d->system_trusted)
		wrong(d, 400116,
		    "Unauthorized: the system-assigned identity of the hub has "
		    "no role on what the endpoint points at, endpointName:%s. "
		    "A new hub's identity has none: create the hub, assign the "
		    "role, then add the endpoint.",
		    e->name);
	jv_free(map);
	free(user);
	free(type);
}

/* -- secrets ------------------------------------------------------------- */

/* The stored secret of an endpoint of this hub; malloc'd or NULL. */
static char *
stored_secret(struct draft *d, const char *endpoint, const char *member)
{
	sqlite3_stmt *q =
	    sim_sql(d->s, "SELECT value FROM secret"
			  " WHERE hub = ? AND endpoint = ? AND member = ?");
	char *hub = arm_lower(d->id->name[0]), *value = NULL;

	sim_bind(q, 1, hub);
	sim_bind(q, 2, endpoint);
	sim_bind(q, 3, member);
	if (sim_step(d->s, q) == SQLITE_ROW)
		value = span_dup(sim_column(q, 0));
	free(hub);
	return value;
}

static void
keep_secret(struct draft *d, const char *endpoint, const char *name,
    const char *member, const char *value)
{
	jv row = jv_array();

	row = jv_array_append(row, jv_string(endpoint));
	row = jv_array_append(row, jv_string(name));
	row = jv_array_append(row, jv_string(member));
	row = jv_array_append(row, jv_string(value));
	d->secrets = jv_array_append(d->secrets, row);
}

static void
write_secrets(struct draft *d)
{
	char *hub = arm_lower(d->id->name[0]);
	sqlite3_stmt *q = sim_sql(d->s, "DELETE FROM secret WHERE hub = ?");

	sim_bind(q, 1, hub);
	(void)sim_step(d->s, q);
	jv_array_foreach(d->secrets, i, row) {
		q = sim_sql(d->s,
		    "INSERT OR REPLACE INTO secret VALUES (?, ?, ?, ?, ?)");
		sim_bind(q, 1, hub);
		for (int c = 0; c < 4; c++) {
			jv v = jv_array_get(jv_copy(row), c);

			sim_bind(q, 2 + c, jv_string_value(v));
			jv_free(v);
		}
		(void)sim_step(d->s, q);
		jv_free(row);
	}
	free(hub);
}

static bool
is_mask(const char *text)
{
	return text && *text && strspn(text, "*") == strlen(text);
}

/*
 * The key that a connection string holds, in the clear, or NULL where there
 * is none and one may be chosen (--from).  *bad: it was masked, and this hub
 * keeps none for it.
 */
static char *
unmask(struct draft *d, jv parts, const char *member, const char *endpoint,
    bool *bad)
{
	char *key = arm_text(parts, member), *kept;

	*bad = false;
	if (key && *key && !is_mask(key))
		return key;
	free(key);
	kept = endpoint ? stored_secret(d, endpoint, member) : NULL;
	if (!kept)
		*bad = d->how != ARM_SEED &&
		       sim_doubt_is("masked-new-hub", "400116");
	return kept;
}

/* -- endpoints ----------------------------------------------------------- */

/* The endpoint of the stored hub that this one continues: by id, and by name
 * where doubt unmask-by says so.  Its id; malloc'd or NULL. */
static char *
continued(struct draft *d, const char *array, jv given, const char *name)
{
	jv list = jv_at(
	    jv_path(jv_copy(d->old), "properties.routing.endpoints"), array);
	char *id = arm_text(given, "id"), *found = NULL;
	bool by_name = !(id && *id) || sim_doubt_is("unmask-by", "name");

	if (sim_doubt_is("unmask-by", "id"))
		by_name = false;
	if (jv_get_kind(list) == JV_KIND_ARRAY)
		jv_array_foreach(list, i, one) {
			char *its = arm_text(one, "id"),
			     *called = arm_text(one, "name");

			if (its && ((id && strcasecmp(id, its) == 0) ||
				       (!found && by_name && called &&
					   strcmp(called, name) == 0))) {
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
	long every = number(e->given, "batchFrequencyInSeconds", 300),
	     most = number(e->given, "maxChunkSizeInBytes", 314572800);

	for (const char *const *t = tokens; format && *t; t++)
		if (!strstr(format, *t))
			wrong(e->d, 400000,
			    "fileNameFormat of the endpoint '%s' lacks %s.",
			    e->name, *t);
	if (encoding && strcasecmp(encoding, "Avro") &&
	    strcasecmp(encoding, "AvroDeflate") && strcasecmp(encoding, "JSON"))
		wrong(e->d, 400000,
		    "encoding '%s' of the endpoint '%s' is not valid.",
		    encoding, e->name);
	if (every < 60 || every > 720)
		wrong(e->d, 400000,
		    "batchFrequencyInSeconds of the endpoint '%s' must be "
		    "between 60 and 720.",
		    e->name);
	if (most < 10485760 || most > 524288000)
		wrong(e->d, 400000,
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
	char *key = unmask(e->d, parts, member, e->kept ? id : NULL, &bad);
	char *uri = arm_text(parts, "Endpoint"),
	     *policy = arm_text(parts, "SharedAccessKeyName"),
	     *entity = arm_text(parts, "EntityPath");
	char *name =
	    storage ? arm_text(parts, "AccountName") : first_label(uri);
	char *account = NULL, *low = NULL;

	if (!storage && !uri)
		unusable(e, "The %s connection string is missing 'Endpoint'",
		    e->t->what);
	else if (!storage && (!policy || !entity))
		unusable(e, "The %s connection string is missing '%s'",
		    e->t->what, policy ? "EntityPath" : "SharedAccessKeyName");
	else if (storage && !name)
		unusable(e,
		    "The Storage connection string is missing 'AccountName'");
	else if (bad)
		unusable(e,
		    "The key is masked or missing, and the hub has no endpoint "
		    "whose key could be kept");
	else if ((account = find_account(e, name))) {
		bool dead = !key && e->d->how != ARM_SEED;

		if (storage) {
			check_container(e, account);
			if (!dead)
				check_storage_key(e, account, &key);
		} else if (dead) {
			check_entity(e, account, entity);
		} else {
			check_entity(e, account, entity);
			low = below(e->d->s, account, e->t->entity, entity);
			check_bus_key(e, account, low, policy, &key);
		}
	}
	if (!is_wrong(e->d) && key)
		keep_secret(e->d, id, e->name, member, key);
	free(key);
	free(uri);
	free(policy);
	free(entity);
	free(name);
	free(account);
	free(low);
	return masked(parts, storage);
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

		if (!key || !*key || is_mask(key)) {
			free(key);
			key = e->kept ? stored_secret(e->d, id, members[i])
				      : NULL;
			if (!key && e->d->how == ARM_SEED)
				key = arm_text(keys, cosmos_keys[i]);
		}
		if (!key && sim_doubt_is("masked-new-hub", "accepted"))
			; /* a dead endpoint */
		else if (!key)
			unusable(e,
			    "%s is masked or missing, and the hub has no "
			    "endpoint whose key could be kept",
			    members[i]);
		else if (!key_among(jv_copy(keys), cosmos_keys, key))
			unusable(e,
			    "Unauthorized: %s is not a key of the account",
			    members[i]);
		else
			keep_secret(e->d, id, e->name, members[i], key);
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
		jv v = peek(given, order[i]);

		if (jv_get_kind(v) != JV_KIND_NULL)
			out = jv_put(out, order[i], v);
		else
			jv_free(v);
		given = jv_without(given, order[i]);
	}
	return jv_object_merge(out, without_nulls(given));
}

static void
check_endpoint_name(struct draft *d, const char *name, jv names)
{
	bool twice = name && jv_object_has(jv_copy(names), jv_string(name));

	if (!is_name(name) || strcasecmp(name, "events") == 0 ||
	    strcasecmp(name, "fileNotifications") == 0 ||
	    strcmp(name, "$default") == 0)
		wrong(d, 400000, "'%s' is not a valid endpoint name.",
		    name ? name : "");
	else if (twice)
		wrong(d, 400000,
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
	if (t->family != BUS && !has(given, "containerName"))
		wrong(d, 400000, "The endpoint '%s' lacks containerName.",
		    e.name);
	if (t->family == STORAGE) {
		check_storage_members(&e);
		out = defaulted("{\"fileNameFormat\":\"{iothub}/{partition}/"
				"{YYYY}/{MM}/{DD}/{HH}/{mm}\","
				"\"batchFrequencyInSeconds\":300,"
				"\"maxChunkSizeInBytes\":314572800,"
				"\"encoding\":\"avro\"}",
		    out);
	}
	if (auth && strcasecmp(auth, "identityBased") == 0) {
		char *entity = arm_text(given, "entityPath");

		check_identity(&e);
		if (!is_wrong(d) && (account = find_account(&e, host))) {
			if (t->family == BUS)
				check_entity(&e, account, entity);
			else
				check_container(&e, account);
		}
		out = jv_without(out, "connectionString");
		out = jv_without(jv_without(out, "primaryKey"), "secondaryKey");
		free(entity);
	} else if (t->family == COSMOS) {
		if (!uri || strncmp(uri, "https://", 8) != 0)
			wrong(d, 400000,
			    "endpointUri of the endpoint '%s' must begin with "
			    "https://.",
			    e.name);
		else if ((account = find_account(&e, host))) {
			check_container(&e, account);
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
	jv old = peek(endpoint, "collectionName");

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
		wrong(d, 400000, "An endpoint must be a JSON object.");
	else
		check_endpoint_name(d, name, *names);
	if (name)
		*names = jv_put(*names, name, jv_true());
	free(name);
	return jv_get_kind(one) == JV_KIND_OBJECT;
}

static jv
take_endpoints(struct draft *d, jv given, jv *names)
{
	jv out = jv_object();
	int count = 0;

	if (jv_get_kind(given) != JV_KIND_OBJECT) {
		jv_free(given);
		given = jv_object();
	}
	for (int t = 0; t < TARGETS; t++) {
		jv list = pick(&given, targets[t].array), done = jv_array();

		if (jv_get_kind(list) != JV_KIND_ARRAY) {
			jv_free(list);
			list = jv_array();
		}
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
		wrong(d, 400000,
		    "%d custom endpoints are more than the %d that a hub of "
		    "this SKU may have.",
		    count, d->sku->endpoints);
	return out;
}

/* -- routes and enrichments (CONTRACT 5.2) ------------------------------- */

static const char *const sources[] = { "DeviceMessages", "TwinChangeEvents",
	"DeviceLifecycleEvents", "DeviceJobLifecycleEvents",
	"DeviceConnectionStateEvents", "DigitalTwinChangeEvents",
	"MqttBrokerMessages", "Invalid", NULL };

static jv
take_route(struct draft *d, jv given, jv names, bool fallback)
{
	jv out = defaulted("{\"name\":\"$fallback\",\"source\":"
			   "\"DeviceMessages\",\"condition\":\"true\","
			   "\"endpointNames\":[],\"isEnabled\":true}",
	    given);
	char *name = arm_text(out, "name"), *source = arm_text(out, "source");
	jv to = peek(out, "endpointNames");
	const char *const *is = sources;

	while (*is && source && strcasecmp(*is, source) != 0)
		is++;
	if (!fallback && !is_name(name))
		wrong(d, 400000, "'%s' is not a valid route name.",
		    name ? name : "");
	else if (!source || !*is)
		wrong(d, 400000, "The route '%s' has an unknown source '%s'.",
		    name, source ? source : "");
	else if (fallback && is != sources)
		wrong(d, 400000,
		    "The fallback route must have the source DeviceMessages.");
	else if (jv_get_kind(to) != JV_KIND_ARRAY ||
		 jv_array_length(jv_copy(to)) != 1)
		wrong(d, 400000,
		    "The route '%s' must name exactly one endpoint.", name);
	else {
		char *one = jv_dup_string(jv_array_get(jv_copy(to), 0));

		out = jv_put(out, "source", jv_string(*is));
		if (!one || !jv_object_has(jv_copy(names), jv_string(one)))
			wrong(d, 400131,
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
	jv to = peek(given, "endpointNames");

	if (!key || !*key || !value || jv_get_kind(to) != JV_KIND_ARRAY ||
	    jv_array_length(jv_copy(to)) < 1)
		wrong(d, 400000,
		    "An enrichment must have key, value and endpointNames.");
	else
		jv_array_foreach(to, i, one) {
			const char *name = jv_string_peek(one);

			if (!name ||
			    !jv_object_has(jv_copy(names), jv_string(name)))
				wrong(d, 400131,
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
static jv
take_routing(struct draft *d, jv given)
{
	bool sent = jv_get_kind(given) == JV_KIND_OBJECT;
	jv names = jv_put(jv_object(), "events", jv_true());
	jv seen = jv_object(), routes = jv_array(), out, list, fallback;

	out = jv_put(jv_object(), "endpoints",
	    take_endpoints(d, peek(given, "endpoints"), &names));
	list = peek(given, "routes");
	if (jv_get_kind(list) == JV_KIND_ARRAY) {
		if (jv_array_length(jv_copy(list)) > d->sku->routes)
			wrong(d, 400000,
			    "More routes than the %d that a hub of this SKU "
			    "may have.",
			    d->sku->routes);
		jv_array_foreach(list, i, one) {
			char *name = arm_text(one, "name");

			if (name && has(seen, name))
				wrong(d, 400000,
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
	fallback = peek(given, "fallbackRoute");
	if (jv_get_kind(fallback) != JV_KIND_OBJECT) {
		jv_free(fallback);
		fallback = jv_put(
		    jv_put(jv_object(), "endpointNames",
			jv_array_append(jv_array(), jv_string("events"))),
		    "isEnabled", sent ? jv_false() : jv_true());
	}
	out =
	    jv_put(out, "fallbackRoute", take_route(d, fallback, names, true));
	list = peek(given, "enrichments");
	if (jv_get_kind(list) == JV_KIND_ARRAY) {
		if (jv_array_length(jv_copy(list)) > d->sku->enrichments)
			wrong(d, 400000,
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
	jv out = defaulted("{\"sasTtlAsIso8601\":\"PT1H\","
			   "\"connectionString\":\"\",\"containerName\":\"\"}",
	    jv_copy(given));
	jv parts = string_parts(text);

	name = arm_text(parts, "AccountName");
	key = unmask(d, parts, "AccountKey", "$default", &bad);
	if (!text || !*text) {
		if (notify)
			wrong(d, 400000,
			    "A storage container is required where "
			    "enableFileUploadNotifications is true.");
		out = jv_put(out, "connectionString", jv_string(""));
	} else {
		char *account;

		if (!name)
			unusable(&e, "The Storage connection string is missing "
				     "'AccountName'");
		else if (bad && !identity)
			unusable(&e, "The key is masked or missing, and the "
				     "hub has no storage whose key could be "
				     "kept");
		else if ((account = find_account(&e, name))) {
			if (!identity && (key || d->how == ARM_SEED))
				check_storage_key(&e, account, &key);
			if (identity)
				check_identity(&e);
			free(account);
		}
		if (!is_wrong(d) && key)
			keep_secret(
			    d, "$default", "$default", "AccountKey", key);
		out = jv_put(
		    out, "connectionString", masked(jv_copy(parts), true));
	}
	jv_free(parts);
	jv_free(given);
	free(text);
	free(auth);
	free(name);
	free(key);
	return out;
}

static jv
take_storage(struct draft *d, jv given, bool notify)
{
	jv one;

	if (jv_get_kind(given) != JV_KIND_OBJECT) {
		jv_free(given);
		given = jv_put(jv_object(), "$default", jv_object());
	}
	one = peek(given, "$default");
	if (jv_object_length(jv_copy(given)) >
	    (jv_get_kind(one) != JV_KIND_NULL))
		wrong(d, 400000,
		    "storageEndpoints can only have the member $default.");
	if (jv_get_kind(one) != JV_KIND_OBJECT) {
		if (jv_get_kind(one) != JV_KIND_NULL)
			wrong(d, 400000,
			    "storageEndpoints.$default must be a JSON object.");
		jv_free(one);
		if (!notify)
			return given;
		one = jv_object();
	}
	given = jv_put(given, "$default", take_upload(d, one, notify));
	return given;
}

/* -- identity ------------------------------------------------------------ */

static jv
take_identity(struct draft *d, jv given)
{
	char *type = arm_text(given, "type"), *words, guid[37];
	jv map = peek(given, "userAssignedIdentities"), out = jv_object();
	bool system = type && strcasestr(type, "SystemAssigned");
	bool user = type && strcasestr(type, "UserAssigned");

	jv_free(given);
	if (system)
		out = jv_put(out, "tenantId", jv_string(SIM_TENANT));
	out = jv_put(out, "type",
	    jv_string(system && user ? "SystemAssigned, UserAssigned"
		      : system       ? "SystemAssigned"
		      : user         ? "UserAssigned"
				     : "None"));
	if (type && !system && !user && strcasecmp(type, "None") != 0)
		wrong(d, 400000, "'%s' is not a valid identity type.", type);
	if (user && jv_get_kind(map) == JV_KIND_OBJECT) {
		jv done = jv_object();

		jv_object_foreach(map, k, v) {
			jv found = jv_at(arm_resource(d->s, jv_string_value(k)),
			    "properties");

			if (jv_get_kind(found) != JV_KIND_OBJECT)
				wrong_jv(d,
				    arm_fail(400, "FailedIdentityOperation",
					"Identity operation for resource '%s' "
					"failed: the identity '%s' could not "
					"be found.",
					d->id->id, jv_string_value(k)));
			done = jv_object_set(done, k,
			    jv_put(jv_put(jv_object(), "clientId",
				       jv_at(jv_copy(found), "clientId")),
				"principalId",
				jv_at(jv_copy(found), "principalId")));
			jv_free(found);
			jv_free(v);
		}
		out = jv_put(out, "userAssignedIdentities", done);
	} else if (user)
		wrong(d, 400000,
		    "The identity type UserAssigned needs "
		    "userAssignedIdentities.");
	if (system) {
		words = xasprintf("principal/%s", d->id->key);
		sim_guid(d->s, words, guid);
		out = jv_put(out, "principalId", jv_string(guid));
		free(words);
	}
	jv_free(map);
	free(type);
	return out;
}

/* -- policies (CONTRACT 4.3) --------------------------------------------- */

static const struct {
	const char *name, *rights;
} default_policies[] = {
	{ "iothubowner", "RegistryWrite, ServiceConnect, DeviceConnect" },
	{ "service", "ServiceConnect" },
	{ "device", "DeviceConnect" },
	{ "registryRead", "RegistryRead" },
	{ "registryReadWrite", "RegistryWrite" },
};

static char *
policy_key(struct sim *s, const char *hub, const char *name, const char *which)
{
	char *words = xasprintf("hub/%s/%s/%s", hub, name, which);
	struct buf key = BUF_INIT;

	sim_key(s, words, 32, &key);
	free(words);
	return key.at;
}

static void
add_policy(struct sim *s, const char *hub, int place, const char *name,
    const char *first, const char *second, const char *rights)
{
	sqlite3_stmt *q = sim_sql(
	    s, "INSERT OR REPLACE INTO policy VALUES (?, ?, ?, ?, ?, ?)");
	char *one = first && *first ? xstrdup(first)
				    : policy_key(s, hub, name, "primary"),
	     *two = second && *second ? xstrdup(second)
				      : policy_key(s, hub, name, "secondary");

	sim_bind(q, 1, hub);
	(void)sqlite3_bind_int(q, 2, place);
	sim_bind(q, 3, name);
	sim_bind(q, 4, one);
	sim_bind(q, 5, two);
	sim_bind(q, 6, rights);
	(void)sim_step(s, q);
	free(one);
	free(two);
}

static bool
is_key(const char *text)
{
	size_t n = text ? strlen(text) : 0;
	unsigned char raw[96];

	/* What the service accepts: base64 of 16 to 64 bytes. */
	return n == 0 ||
	       (n % 4 == 0 && n >= 24 && n <= 88 &&
		   strspn(text,
		       "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
		       "0123456789+/=") == n &&
		   EVP_DecodeBlock(raw, (const unsigned char *)text, (int)n) >
		       0);
}

static const char *
bad_rights(const char *rights)
{
	static const char *const known[] = { "RegistryRead", "RegistryWrite",
		"ServiceConnect", "DeviceConnect", NULL };
	size_t n;

	for (; *rights; rights += n) {
		const char *const *k = known;

		rights += strspn(rights, ", ");
		n = strcspn(rights, ", ");
		while (n && *k &&
		       (strlen(*k) != n || strncasecmp(*k, rights, n) != 0))
			k++;
		if (n && !*k)
			return rights;
	}
	return NULL;
}

static void
check_policies(struct draft *d, jv given)
{
	jv seen = jv_object();

	if (jv_array_length(jv_copy(given)) > 16)
		wrong(d, 400000, "A hub has at most 16 access policies.");
	jv_array_foreach(given, i, one) {
		char *name = arm_text(one, "keyName"),
		     *rights = arm_text(one, "rights"),
		     *first = arm_text(one, "primaryKey"),
		     *second = arm_text(one, "secondaryKey");

		if (!is_name(name) || has(seen, name))
			wrong(d, 400000,
			    "'%s' is not a valid name of an access policy, or "
			    "is there twice.",
			    name ? name : "");
		else if (!rights || !*rights || bad_rights(rights))
			wrong(d, 400000,
			    "The access policy '%s' has no valid rights.",
			    name);
		else if (!is_key(first) || !is_key(second))
			wrong(d, 400000,
			    "A key of the access policy '%s' is no base64 text "
			    "of 16 to 64 bytes.",
			    name);
		if (name)
			seen = jv_put(seen, name, jv_true());
		free(name);
		free(rights);
		free(first);
		free(second);
		jv_free(one);
	}
	jv_free(seen);
}

/* given: null where the member was absent. */
static void
write_policies(struct draft *d, jv given)
{
	bool fresh = jv_get_kind(d->old) == JV_KIND_NULL;
	char *hub = arm_lower(d->id->name[0]);
	int place = 0;
	sqlite3_stmt *q;

	if (jv_get_kind(given) != JV_KIND_ARRAY && !fresh &&
	    !sim_doubt_is("policies-without-member", "defaults"))
		goto out;
	q = sim_sql(d->s, "DELETE FROM policy WHERE hub = ?");
	sim_bind(q, 1, hub);
	(void)sim_step(d->s, q);
	if (jv_get_kind(given) != JV_KIND_ARRAY) {
		for (; place < 5; place++)
			add_policy(d->s, hub, place,
			    default_policies[place].name, NULL, NULL,
			    default_policies[place].rights);
		goto out;
	}
	jv_array_foreach(given, i, one) {
		char *name = arm_text(one, "keyName"),
		     *rights = arm_text(one, "rights"),
		     *first = arm_text(one, "primaryKey"),
		     *second = arm_text(one, "secondaryKey");

		add_policy(d->s, hub, place++, name, first, second, rights);
		free(name);
		free(rights);
		free(first);
		free(second);
		jv_free(one);
	}
out:
	free(hub);
	jv_free(given);
}

static jv
policies(struct sim *s, const char *hub, const char *only)
{
	sqlite3_stmt *q = sim_sql(s,
	    "SELECT name, first, second, rights FROM policy WHERE hub = ?1"
	    " AND (?2 = '' OR name = ?2 COLLATE NOCASE) ORDER BY place");
	static const char *const members[] = { "keyName", "primaryKey",
		"secondaryKey", "rights" };
	char *key = arm_lower(hub);
	jv list = jv_array();

	sim_bind(q, 1, key);
	sim_bind(q, 2, only ? only : "");
	while (sim_step(s, q) == SQLITE_ROW) {
		jv one = jv_object();

		for (int i = 0; i < 4; i++)
			one = jv_put(one, members[i],
			    jv_string((const char *)sqlite3_column_text(q, i)));
		list = jv_array_append(list, one);
	}
	free(key);
	return list;
}

/* -- the resource -------------------------------------------------------- */

static jv
next_etag(struct sim *s)
{
	sqlite3_stmt *q = sim_sql(s,
	    "INSERT INTO counter VALUES ('etag', 0x0c7fe1dc4d)"
	    " ON CONFLICT (name) DO UPDATE SET n = n + 131 RETURNING n");
	unsigned char raw[8] = { 0 };
	struct buf text = BUF_INIT;
	sqlite3_int64 n = 0;
	jv out;

	if (sim_step(s, q) == SQLITE_ROW)
		n = sqlite3_column_int64(q, 0);
	while (sim_step(s, q) == SQLITE_ROW)
		;
	for (int i = 7; i >= 0; i--, n >>= 8)
		raw[i] = (unsigned char)(n & 0xff);
	buf_base64(&text, raw, sizeof raw);
	out = jv_string(text.at);
	buf_free(&text);
	return out;
}

static jv
take_events(struct draft *d, jv given)
{
	jv events = peek(given, "events");
	jv was =
	    jv_path(jv_copy(d->old), "properties.eventHubEndpoints.events");
	long before = number(was, "partitionCount", 0);
	long count =
	    number(events, "partitionCount", before ? before : d->sku->normal);
	long days = number(events, "retentionTimeInDays", 1);

	jv_free(given);
	jv_free(events);
	jv_free(was);
	if (count < d->sku->fewest || count > d->sku->most)
		wrong(d, 400016,
		    "Invalid PartitionCount %ld - value must be between %d and "
		    "%d.",
		    count, d->sku->fewest, d->sku->most);
	else if (before && before != count)
		wrong(d, 400016,
		    "Invalid PartitionCount %ld - the value %ld cannot be "
		    "changed after the hub was created.",
		    count, before);
	if (days < 1 || days > d->sku->days)
		wrong(d, 400000,
		    "Invalid RetentionTimeInDays %ld - value must be between 1 "
		    "and %d.",
		    days, d->sku->days);
	return jv_put(jv_object(), "events",
	    jv_put(jv_put(jv_object(), "retentionTimeInDays", jv_number(days)),
		"partitionCount", jv_number(count)));
}

/* path, endpoint and partitionIds: once the hub is active. */
static jv
with_endpoint(struct sim *s, const struct arm_id *id, jv endpoints)
{
	jv events = jv_at(endpoints, "events"), ids = jv_array();
	char *words = xasprintf("namespace/%s", id->key), guid[37];
	char *low = arm_lower(id->name[0]);
	long count = number(events, "partitionCount", 0);
	jv out;

	sim_guid(s, words, guid);
	for (long i = 0; i < count; i++)
		ids = jv_array_append(ids, jv_text("%ld", i));
	events =
	    jv_put(jv_put(events, "partitionIds", ids), "path", jv_string(low));
	events = jv_put(events, "endpoint",
	    jv_text("sb://iothub-ns-%.10s-%lu-%.8s%.2s.servicebus.windows.net/",
		low, 10000000 + strtoul(guid + 28, NULL, 16) % 90000000, guid,
		guid + 9));
	out = jv_put(jv_object(), "events", events);
	free(words);
	free(low);
	return out;
}

static jv
locations(const char *region, bool resident)
{
	const char *pair = arm_region_pair(region);
	jv list = jv_array_append(
	    jv_array(), jv_put(jv_put(jv_object(), "location",
				   jv_string(arm_region_title(region))),
			    "role", jv_string("primary")));

	if (pair && arm_region_title(pair) && !resident)
		list = jv_array_append(
		    list, jv_put(jv_put(jv_object(), "location",
				     jv_string(arm_region_title(pair))),
			      "role", jv_string("secondary")));
	return list;
}

static bool
is_true(jv object, const char *name)
{
	jv v = peek(object, name);
	bool is = jv_get_kind(v) == JV_KIND_TRUE;

	jv_free(v);
	return is;
}

static jv
take_properties(struct draft *d, jv given, const char *region)
{
	static const char *const handled[] = { "locations", "state",
		"provisioningState", "hostName", "eventHubEndpoints", "routing",
		"storageEndpoints", "messagingEndpoints",
		"enableFileUploadNotifications", "cloudToDevice",
		"authorizationPolicies", "operationsMonitoringProperties",
		"privateEndpointConnections", "allowedFqdnList",
		"ipFilterRules", "features" };
	bool notify = is_true(given, "enableFileUploadNotifications");
	jv out = jv_object(), v;
	char *text;

	out = jv_put(out, "locations",
	    locations(region, is_true(given, "enableDataResidency")));
	out = jv_put(out, "state", jv_string("Active"));
	out = jv_put(out, "provisioningState", jv_string("Succeeded"));
	v = peek(given, "ipFilterRules");
	out = jv_put(out, "ipFilterRules",
	    jv_get_kind(v) == JV_KIND_ARRAY ? v : (jv_free(v), jv_array()));
	text = arm_lower(d->id->name[0]);
	out = jv_put(out, "hostName", jv_text("%s.azure-devices.net", text));
	free(text);
	out = jv_put(out, "eventHubEndpoints",
	    take_events(d, peek(given, "eventHubEndpoints")));
	out = jv_put(out, "routing", take_routing(d, peek(given, "routing")));
	out = jv_put(out, "storageEndpoints",
	    take_storage(d, peek(given, "storageEndpoints"), notify));
	out = jv_put(out, "messagingEndpoints",
	    defaulted("{\"fileNotifications\":{\"lockDurationAsIso8601\":"
		      "\"PT1M\",\"ttlAsIso8601\":\"PT1H\","
		      "\"maxDeliveryCount\":10}}",
		peek(given, "messagingEndpoints")));
	out = jv_put(out, "enableFileUploadNotifications",
	    notify ? jv_true() : jv_false());
	out = jv_put(out, "cloudToDevice",
	    defaulted("{\"maxDeliveryCount\":10,\"defaultTtlAsIso8601\":"
		      "\"PT1H\",\"feedback\":{\"lockDurationAsIso8601\":"
		      "\"PT1M\",\"ttlAsIso8601\":\"PT1H\","
		      "\"maxDeliveryCount\":10}}",
		peek(given, "cloudToDevice")));
	v = peek(given, "features");
	out = jv_put(out, "features",
	    jv_get_kind(v) == JV_KIND_STRING ? v
					     : (jv_free(v), jv_string("None")));
	text = arm_text(given, "minTlsVersion");
	if (text && strcmp(text, "1.0") && strcmp(text, "1.1") &&
	    strcmp(text, "1.2") && strcmp(text, "1.3"))
		wrong(
		    d, 400089, "%s is not a valid MinTlsVersion value.", text);
	free(text);
	jv_object_foreach(given, k, rest) {
		bool known = jv_get_kind(rest) == JV_KIND_NULL;

		for (size_t i = 0; i < sizeof handled / sizeof *handled; i++)
			known |= strcmp(jv_string_value(k), handled[i]) == 0;
		if (known) {
			jv_free(k);
			jv_free(rest);
		} else
			out = jv_object_set(out, k, rest);
	}
	v = peek(given, "allowedFqdnList");
	jv_free(given);
	return jv_put(out, "allowedFqdnList",
	    jv_get_kind(v) == JV_KIND_ARRAY ? v : (jv_free(v), jv_array()));
}

static jv
take_sku(struct draft *d, jv given)
{
	char *name = arm_text(given, "name"), *was;
	long units = number(given, "capacity", 0);
	const struct sku *old;

	jv_free(given);
	d->sku = sku_of(name);
	if (!d->sku) {
		wrong(d, 400000, "'%s' is not a valid SKU of an IoT hub.",
		    name ? name : "");
		d->sku = sku_of("S1");
	} else if (units < 1 || units > d->sku->units)
		wrong(d, 400000,
		    "Invalid capacity %ld of SKU %s - value must be between 1 "
		    "and %d.",
		    units, d->sku->name, d->sku->units);
	was = jv_dup_string(jv_path(jv_copy(d->old), "sku.name"));
	old = sku_of(was);
	if (old && (old == skus) != (d->sku == skus))
		wrong(d, 400000, "A hub cannot be changed from SKU %s to %s.",
		    old->name, d->sku->name);
	free(was);
	free(name);
	return jv_put(
	    jv_put(jv_put(jv_object(), "name", jv_string(d->sku->name)), "tier",
		jv_string(d->sku->tier)),
	    "capacity", jv_number(units));
}

static void
check_hub_name(struct draft *d)
{
	const char *name = d->id->name[0];
	size_t n = strlen(name);
	bool bad =
	    n < 3 || n > 50 ||
	    (name[n - 1] == '-' && sim_doubt_is("hub-name-hyphen", "refused"));

	for (; *name; name++)
		bad |= !isalnum((unsigned char)*name) && *name != '-';
	if (bad)
		wrong(d, 400000,
		    "'%s' is not a valid name of an IoT hub: 3 to 50 letters, "
		    "digits and hyphens.",
		    d->id->name[0]);
}

/* What can be changed at no time (CONTRACT 4.1). */
static void
check_fixed(struct draft *d, jv given)
{
	bool was, is;
	jv old = jv_path(jv_copy(d->old), "properties");

	was = is_true(old, "enableDataResidency");
	is = is_true(given, "enableDataResidency");
	if (jv_get_kind(d->old) != JV_KIND_NULL && was != is)
		wrong(d, 400000,
		    "enableDataResidency cannot be changed after the hub was "
		    "created.");
	jv_free(old);
}

static bool
had_system_identity(jv old)
{
	char *type = jv_dup_string(jv_path(jv_copy(old), "identity.type"));
	bool had = type && strcasestr(type, "SystemAssigned");

	free(type);
	return had;
}

static jv
hub_body(struct draft *d, jv body, const char *region)
{
	jv given = peek(body, "properties"), tags = peek(body, "tags"), out;
	jv created = peek(d->old, "systemData"), sku;

	if (jv_get_kind(given) != JV_KIND_OBJECT) {
		jv_free(given);
		given = jv_object();
	}
	sku = take_sku(d, peek(body, "sku"));
	check_hub_name(d);
	check_fixed(d, given);
	d->identity = take_identity(d, peek(body, "identity"));
	out = jv_put(jv_object(), "id", jv_string(d->id->id));
	out = jv_put(out, "name", jv_string(d->id->name[0]));
	out = jv_put(out, "type", jv_string("Microsoft.Devices/IotHubs"));
	out = jv_put(out, "location", jv_string(region));
	out = jv_put(out, "tags",
	    jv_get_kind(tags) == JV_KIND_OBJECT ? tags
						: (jv_free(tags), jv_object()));
	out = jv_put(out, "subscriptionid", jv_string(SIM_SUBSCRIPTION));
	out = jv_put(out, "resourcegroup", jv_string(d->id->group));
	out = jv_put(out, "etag", next_etag(d->s));
	out = jv_put(out, "properties", take_properties(d, given, region));
	out = jv_put(out, "sku", sku);
	out = jv_put(out, "identity", jv_copy(d->identity));
	if (jv_get_kind(created) != JV_KIND_OBJECT) {
		jv_free(created);
		created =
		    jv_put(jv_object(), "createdAt", arm_time(sim_now(d->s)));
	}
	return jv_put(out, "systemData", created);
}

static void
write_row(struct draft *d, jv body)
{
	struct row row = row_of(d->s, d->id->name[0]);
	int64_t now = sim_now(d->s),
		over = now + (d->how == ARM_SLOW ? d->s->operation_ms : 0);
	jv props = peek(body, "properties"), sku = peek(body, "sku");

	if (!row.there)
		row.active = over;
	row.busy = over;
	row.gone = 0;
	(void)snprintf(row.key, sizeof row.key, "%s", d->id->key);
	(void)snprintf(row.sku, sizeof row.sku, "%s", d->sku->name);
	row.units = number(sku, "capacity", 1);
	row.local_auth = !is_true(props, "disableLocalAuth");
	keep_row(d->s, d->id->name[0], &row);
	jv_free(props);
	jv_free(sku);
}

/* 409002 while something is under way; null: it may be changed. */
static jv
hub_ready(struct sim *s, const char *name)
{
	struct row row = row_of(s, name);

	if (!row.there ||
	    (!row.gone && sim_now(s) >= row.active && sim_now(s) >= row.busy))
		return jv_null();
	return hub_fail(s, 409, 409002,
	    "Operation cannot be completed because IotHub %s is not in Active "
	    "state. Please try again later.",
	    name);
}

static jv
hub_put(struct sim *s, const struct arm_id *id, const char *api, jv body,
    jv old, enum arm_how how)
{
	struct draft d = { .s = s,
		.id = id,
		.api = api,
		.how = how,
		.old = old,
		.identity = jv_null(),
		.secrets = jv_array(),
		.wrong = hub_ready(s, id->name[0]) };
	char *region = arm_region(peek(body, "location"));
	jv list = jv_path(jv_copy(body), "properties.authorizationPolicies");
	jv out = jv_null();

	d.system_trusted = how == ARM_SEED || had_system_identity(old);
	if (!is_wrong(&d)) {
		out = hub_body(&d, body, region);
		if (jv_get_kind(list) == JV_KIND_ARRAY)
			check_policies(&d, list);
	}
	jv_free(body);
	if (!is_wrong(&d)) {
		write_row(&d, out);
		write_secrets(&d);
		write_policies(&d, jv_copy(list));
		jv_free(d.wrong);
	} else {
		jv_free(out);
		out = d.wrong;
	}
	jv_free(list);
	jv_free(d.secrets);
	jv_free(d.identity);
	jv_free(old);
	free(region);
	return out;
}

static jv
consumer_group(struct sim *s, const char *id, const char *name)
{
	char when[32];

	sim_http_time(sim_now(s), when);
	return jv_put(jv_put(jv_put(jv_put(jv_put(jv_object(), "properties",
					       jv_put(jv_object(), "created",
						   jv_string(when))),
					"id", jv_string(id)),
				 "name", jv_string(name)),
			  "type",
			  jv_string("Microsoft.Devices/IotHubs/"
				    "EventHubEndpoints/ConsumerGroups")),
	    "etag", jv_null());
}

static void
hub_born(struct sim *s, const struct arm_id *id)
{
	char *path = xasprintf(
	    "%s/eventHubEndpoints/events/ConsumerGroups/%%24Default", id->id);
	struct arm_id group;

	if (arm_id_parse(s, path, &group)) {
		arm_store(s, &group, consumer_group(s, group.id, "$Default"));
		arm_id_free(&group);
	}
	free(path);
}

static jv
hub_view(struct sim *s, const struct arm_id *id, const char *api, jv stored)
{
	struct row row = row_of(s, id->name[0]);
	const char *state = state_of(s, &row);
	jv props = peek(stored, "properties");

	props = jv_put(props, "state", jv_string(state));
	if (strcmp(state, "Active") != 0)
		props = jv_put(props, "provisioningState", jv_string(state));
	if (strcmp(state, "Activating") == 0)
		props = jv_without(props, "hostName");
	else
		props = jv_put(props, "eventHubEndpoints",
		    with_endpoint(s, id, peek(props, "eventHubEndpoints")));
	/* Cosmos DB endpoints came with the previews of 2022 (CONTRACT 1). */
	if (api && strcmp(api, "2022") < 0) {
		jv routing = peek(props, "routing"),
		   all = peek(routing, "endpoints");

		props = jv_put(props, "routing",
		    jv_put(routing, "endpoints",
			jv_without(all, "cosmosDBSqlContainers")));
	}
	return jv_put(stored, "properties", props);
}

static jv
hub_action(struct sim *s, const struct arm_id *id, jv stored,
    const char *action, jv request)
{
	const char *slash;
	char *name;
	jv list;

	jv_free(stored);
	jv_free(request);
	if (strcasecmp(action, "listkeys") == 0)
		return jv_put(
		    jv_object(), "value", policies(s, id->name[0], NULL));
	if (strncasecmp(action, "IotHubKeys/", 11) != 0 ||
	    !(slash = strrchr(action + 11, '/')))
		return jv_null();
	name = xstrndup(action + 11, (size_t)(slash - action - 11));
	list = policies(s, id->name[0], name);
	if (jv_array_length(jv_copy(list)) == 0) {
		jv_free(list);
		list = hub_fail(s, 404, 404000,
		    "The access policy '%s' could not be found.", name);
	} else
		list = jv_array_get(list, 0);
	free(name);
	return list;
}

/* -- consumer groups ----------------------------------------------------- */

static jv
group_put(struct sim *s, const struct arm_id *id, const char *api, jv body,
    jv old, enum arm_how how)
{
	jv e = hub_ready(s, id->name[0]);

	(void)api;
	(void)how;
	jv_free(body);
	if (!jv_is_valid(e)) {
		jv_free(old);
		return e;
	}
	jv_free(e);
	if (strcasecmp(id->name[1], "events") != 0) {
		jv_free(old);
		return hub_fail(s, 404, 404000,
		    "The hub has no event endpoint '%s'.", id->name[1]);
	}
	if (jv_get_kind(old) != JV_KIND_NULL)
		return old;
	jv_free(old);
	{
		char *hub = xstrndup(id->key,
		    (size_t)(strcasestr(id->key, "/eventHubEndpoints/") -
			     id->key));
		int most = sim_doubt_is("consumer-groups-max", "20") ? 20 : 50;
		jv all = arm_list(s, id->kind->type, hub);

		free(hub);
		if (jv_array_length(all) >= most)
			return hub_fail(s, 400, 400000,
			    "The event endpoint has the %d consumer groups "
			    "that it may have.",
			    most);
	}
	return consumer_group(s, id->id, id->name[2]);
}

/* -- certificates (CONTRACT 7) ------------------------------------------- */

static X509 *
read_certificate(const char *base64)
{
	size_t n = base64 ? strlen(base64) : 0;
	unsigned char *raw = xmalloc(n + 4);
	char *packed = xmalloc(n + 1);
	X509 *x = NULL;
	int len = -1, pad = 0;
	size_t k = 0;

	for (size_t i = 0; i < n; i++)
		if (!isspace((unsigned char)base64[i]))
			packed[k++] = base64[i];
	packed[k] = '\0';
	for (size_t i = k; i > 0 && packed[i - 1] == '='; i--)
		pad++;
	if (k && k % 4 == 0 && pad <= 2)
		len = EVP_DecodeBlock(raw, (unsigned char *)packed, (int)k);
	if (len > pad) {
		const unsigned char *at = raw;
		BIO *bio = BIO_new_mem_buf(raw, len - pad);

		x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
		if (!x)
			x = d2i_X509(NULL, &at, len - pad);
		BIO_free(bio);
	}
	free(raw);
	free(packed);
	return x;
}

static char *
common_name(X509 *x)
{
	char name[256] = "";

	(void)X509_NAME_get_text_by_NID(
	    X509_get_subject_name(x), NID_commonName, name, sizeof name);
	return xstrdup(name);
}

static jv
thumbprint(X509 *x)
{
	unsigned char raw[EVP_MAX_MD_SIZE];
	struct buf hex = BUF_INIT;
	unsigned int n = 0;
	jv out;

	(void)X509_digest(x, EVP_sha1(), raw, &n);
	for (unsigned int i = 0; i < n; i++)
		buf_printf(&hex, "%02X", raw[i]);
	out = jv_string(hex.at ? hex.at : "");
	buf_free(&hex);
	return out;
}

static jv
expiry(X509 *x)
{
	struct tm t;
	char text[32];

	memset(&t, 0, sizeof t);
	(void)ASN1_TIME_to_tm(X509_get0_notAfter(x), &t);
	sim_http_time((int64_t)timegm(&t) * 1000, text);
	return jv_string(text);
}

/* 52 characters: base64 of a GUID in quotes. */
static jv
certificate_etag(struct sim *s, const struct arm_id *id)
{
	jv n = next_etag(s), out;
	char *words = xasprintf("%s/%s", id->key, jv_string_value(n));
	char guid[37], quoted[40];
	struct buf text = BUF_INIT;

	sim_guid(s, words, guid);
	(void)snprintf(quoted, sizeof quoted, "\"%s\"", guid);
	buf_base64(&text, quoted, strlen(quoted));
	out = jv_string(text.at);
	buf_free(&text);
	free(words);
	jv_free(n);
	return out;
}

static jv
certificate_put(struct sim *s, const struct arm_id *id, const char *api,
    jv body, jv old, enum arm_how how)
{
	jv e = hub_ready(s, id->name[0]), out;
	jv given = jv_path(body, "properties");
	jv text = peek(given, "certificate"), created;
	X509 *x = read_certificate(jv_string_peek(text));
	char when[32], *cn;

	(void)api;
	if (!jv_is_valid(e))
		out = e;
	/* Replacing needs its ETag, which a template cannot carry; a request
	 * with If-Match comes with the old one taken away (ARM_SEED). */
	else if (jv_get_kind(old) != JV_KIND_NULL && how != ARM_SEED)
		out = hub_fail(s, 412, 412001,
		    "The certificate '%s' exists already; If-Match with its "
		    "ETag is required to replace it.",
		    id->name[1]);
	else if (!is_name(id->name[1]))
		out = hub_fail(s, 400, 400000,
		    "'%s' is not a valid certificate name.", id->name[1]);
	else if (!x)
		out = hub_fail(s, 400, 400000,
		    "The certificate '%s' cannot be read.", id->name[1]);
	else {
		sim_http_time(sim_now(s), when);
		created = jv_path(jv_copy(old), "properties.created");
		if (jv_get_kind(created) != JV_KIND_STRING) {
			jv_free(created);
			created = jv_string(when);
		}
		cn = common_name(x);
		out = jv_put(jv_put(jv_object(), "subject", jv_string(cn)),
		    "expiry", expiry(x));
		free(cn);
		out = jv_put(out, "thumbprint", thumbprint(x));
		out = jv_put(out, "isVerified",
		    is_true(given, "isVerified") ? jv_true() : jv_false());
		out = jv_put(out, "created", created);
		out = jv_put(out, "updated", jv_string(when));
		out = jv_put(out, "certificate", jv_copy(text));
		out = jv_put(jv_object(), "properties", out);
		out = jv_put(out, "id", jv_string(id->id));
		out = jv_put(out, "name", jv_string(id->name[1]));
		out = jv_put(out, "type",
		    jv_string("Microsoft.Devices/IotHubs/Certificates"));
		out = jv_put(out, "etag", certificate_etag(s, id));
	}
	if (jv_is_valid(e))
		jv_free(e);
	X509_free(x);
	jv_free(given);
	jv_free(text);
	jv_free(old);
	return out;
}

const struct arm_kind hub_kinds[] = {
	{ .type = "Microsoft.Devices/IotHubs",
	    .created = 201,
	    .replaced = 201,
	    .tracked = true,
	    .global = true,
	    .hub = true,
	    .put = hub_put,
	    .born = hub_born,
	    .view = hub_view,
	    .action = hub_action },
	{ .type = "Microsoft.Devices/IotHubs/eventHubEndpoints/ConsumerGroups",
	    .created = 200,
	    .replaced = 200,
	    .hub = true,
	    .put = group_put },
	{ .type = "Microsoft.Devices/IotHubs/certificates",
	    .created = 200,
	    .replaced = 200,
	    .hub = true,
	    .put = certificate_put },
	{ .type = NULL },
};

/* -- HTTP ---------------------------------------------------------------- */

static void
refuse_or(struct sim_reply *r, int status, jv answer)
{
	if (jv_is_valid(answer))
		arm_answer(r, status, answer);
	else
		arm_refuse(r, answer);
}

/* 1: If-Match fits, 0: there is none, -1: it does not fit. */
static int
if_match(const struct sim_request *q, jv stored)
{
	const char *want = q->header(q, "If-Match");
	char *etag = jv_is_valid(stored) ? arm_text(stored, "etag") : NULL;
	size_t n;
	int is;

	if (!want || !*want) {
		const char *none = q->header(q, "If-None-Match");

		is = none && strcmp(none, "*") == 0 && jv_is_valid(stored) ? -1
									   : 0;
		free(etag);
		return is;
	}
	n = strlen(want);
	if (n >= 2 && want[0] == '"' && want[n - 1] == '"') {
		want++;
		n -= 2;
	}
	if (!jv_is_valid(stored))
		is = -1;
	else if (n == 1 && *want == '*')
		is = 1;
	else
		is = etag && strlen(etag) == n && strncmp(etag, want, n) == 0
			 ? 1
			 : -1;
	free(etag);
	return is;
}

static void
refuse_match(struct sim *s, struct sim_reply *r, const struct arm_id *id)
{
	static const char words[] =
	    "The condition of the request is not met: the ETag of '%s' is "
	    "another, or it is required.";
	const char *name = id->name[id->depth - 1];

	arm_refuse(r, sim_doubt_is("etag-stale-body", "flat")
			  ? hub_fail(s, 412, 412001, words, name)
			  : arm_fail(412, "PreconditionFailed", words, name));
}

/* The 201 shows what was sent, keys included, and no state (CONTRACT 4.2). */
static jv
accepted(struct sim *s, const struct arm_id *id, jv sent, jv stored, jv old)
{
	static const char *const given[] = { "storageEndpoints" };
	jv out = stored, props = peek(out, "properties"), v;
	jv routing = peek(props, "routing");

	(void)s;
	(void)id;
	props = jv_without(jv_without(props, "state"), "locations");
	props = jv_without(props, "hostName");
	props = jv_put(props, "provisioningState", jv_string("Accepted"));
	v = jv_at(peek(props, "eventHubEndpoints"), "events");
	v = jv_without(jv_without(v, "partitionIds"), "path");
	props = jv_put(props, "eventHubEndpoints",
	    jv_put(jv_object(), "events", jv_without(v, "endpoint")));
	for (size_t i = 0; i < sizeof given / sizeof *given; i++) {
		v = jv_at(peek(sent, "properties"), given[i]);
		if (jv_get_kind(v) == JV_KIND_OBJECT)
			props = jv_put(props, given[i], v);
		else
			jv_free(v);
	}
	v = jv_path(jv_copy(sent), "properties.routing.endpoints");
	if (jv_get_kind(v) == JV_KIND_OBJECT)
		props =
		    jv_put(props, "routing", jv_put(routing, "endpoints", v));
	else {
		jv_free(v);
		jv_free(routing);
	}
	v = jv_path(sent, "properties.authorizationPolicies");
	if (jv_get_kind(v) == JV_KIND_ARRAY)
		props = jv_put(props, "authorizationPolicies", v);
	else
		jv_free(v);
	out = jv_put(out, "properties", props);
	out = jv_without(out, "systemData");
	v = jv_at(old, "etag");
	if (jv_get_kind(v) == JV_KIND_STRING)
		return jv_put(out, "etag", v);
	jv_free(v);
	return jv_without(out, "etag");
}

static char *
operation_base(const char *region)
{
	return xasprintf("/subscriptions/" SIM_SUBSCRIPTION
			 "/providers/Microsoft.Devices/locations/%s"
			 "/operationResults",
	    region);
}

static void
hub_put_whole(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const struct arm_id *id, const char *api, jv body, jv old)
{
	jv sent = jv_copy(body),
	   now = arm_put_as(s, id->id, api, body, ARM_SLOW);
	char *region, *base;

	if (!jv_is_valid(now)) {
		jv_free(sent);
		jv_free(old);
		arm_refuse(r, now);
		return;
	}
	region = arm_text(now, "location");
	base = operation_base(region);
	arm_operation(s, q, r, 201, base, jv_null(), true, false);
	arm_answer(r, 201,
	    accepted(s, id, sent, now,
		jv_is_valid(old) ? old : (jv_free(old), jv_null())));
	free(region);
	free(base);
}

void
hub_put_http(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const struct arm_id *id, const char *api, jv body)
{
	jv old = arm_load(s, id->key);
	int match = if_match(q, old);

	if (match < 0) {
		jv_free(old);
		jv_free(body);
		refuse_match(s, r, id);
	} else if (id->kind == &hub_kinds[0]) {
		hub_put_whole(s, q, r, id, api, body, old);
	} else if (id->kind == &hub_kinds[1]) {
		jv out = arm_put(s, id->id, api, body);

		jv_free(old);
		/* The answer to PUT has the name once more inside. */
		if (jv_is_valid(out))
			out = jv_put(out, "properties",
			    jv_put(peek(out, "properties"), "properties",
				jv_put(jv_object(), "name",
				    jv_string(id->name[2]))));
		refuse_or(r, 200, out);
	} else {
		bool fresh = !jv_is_valid(old);

		jv_free(old);
		refuse_or(r, fresh ? 201 : 200,
		    arm_put_as(s, id->id, api, body,
			match == 1 ? ARM_SEED : ARM_SETTLED));
	}
}

void
hub_delete(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const struct arm_id *id)
{
	jv stored = arm_load(s, id->key);
	int match = if_match(q, stored);
	jv busy = hub_ready(s, id->name[0]);
	bool there = jv_is_valid(stored);
	char *region = there ? arm_text(stored, "location") : NULL, *base;

	if (!there)
		r->status = 204;
	else if (!jv_is_valid(busy)) {
		arm_refuse(r, jv_copy(busy));
	} else if (match < 0 || (id->kind == &hub_kinds[2] && match == 0)) {
		refuse_match(s, r, id);
	} else if (id->kind == &hub_kinds[0]) {
		struct row row = row_of(s, id->name[0]);

		row.gone = sim_now(s) + s->operation_ms;
		keep_row(s, id->name[0], &row);
		base = operation_base(region);
		arm_operation(s, q, r, 202, base, jv_null(), true, true);
		free(base);
	} else if (strcasecmp(id->name[id->depth - 1], "$Default") == 0) {
		sim_error(r, 400, "BadRequest",
		    "The consumer group $Default cannot be deleted.");
	} else {
		(void)arm_delete(s, id->key);
		r->status = 200;
	}
	jv_free(stored);
	jv_free(busy);
	free(region);
}

static jv
list_skus(const char *now)
{
	const struct sku *own = sku_of(now);
	jv list = jv_array();

	for (const struct sku *k = skus; k->name; k++)
		if (own && strcmp(k->tier, own->tier) == 0)
			list = jv_array_append(list,
			    jv_put(jv_put(jv_put(jv_object(), "resourceType",
					      jv_string(hub_kinds[0].type)),
				       "sku",
				       jv_put(jv_put(jv_object(), "name",
						  jv_string(k->name)),
					   "tier", jv_string(k->tier))),
				"capacity",
				jv_put(
				    jv_put(jv_put(jv_put(jv_object(), "minimum",
						      jv_number(1)),
					       "maximum", jv_number(k->units)),
					"default", jv_number(1)),
				    "scaleType", jv_string("Manual"))));
	return jv_put(jv_object(), "value", list);
}

static jv
quota(const char *name, double now, double most)
{
	return jv_put(jv_put(jv_put(jv_object(), "name", jv_string(name)),
			  "currentValue", jv_number(now)),
	    "maxValue", jv_number(most));
}

/* The one thing that is asked of the data plane's table (identity.c). */
static void
count_devices(struct sim *s, const char *hub, long *all, long *enabled)
{
	sqlite3_stmt *q =
	    sim_sql(s, "SELECT count(*), total(NOT disabled) FROM registry"
		       " WHERE hub = ? AND module = ''");
	char *key = arm_lower(hub);

	sim_bind(q, 1, key);
	*all = *enabled = 0;
	if (sim_step(s, q) == SQLITE_ROW) {
		*all = (long)sqlite3_column_int64(q, 0);
		*enabled = (long)sqlite3_column_int64(q, 1);
	}
	free(key);
}

static jv
list_quotas(struct sim *s, const char *hub, const struct row *row)
{
	const struct sku *k = sku_of(row->sku);
	long all, enabled;
	jv list = jv_array();

	count_devices(s, hub, &all, &enabled);
	list = jv_array_append(list,
	    quota("TotalMessages", 0, (double)(k->messages * row->units)));
	list = jv_array_append(
	    list, quota("TotalDeviceCount", (double)all, (double)k->devices));
	return jv_put(jv_object(), "value", list);
}

static jv
statistics(struct sim *s, const char *hub)
{
	long all, enabled;

	count_devices(s, hub, &all, &enabled);
	return jv_put(jv_put(jv_put(jv_object(), "totalDeviceCount",
				 jv_number((double)all)),
			  "enabledDeviceCount", jv_number((double)enabled)),
	    "disabledDeviceCount", jv_number((double)(all - enabled)));
}

static jv
health(jv stored)
{
	jv all = jv_path(stored, "properties.routing.endpoints"),
	   list = jv_array();

	jv_object_foreach(all, k, array) {
		jv_array_foreach(array, i, one) {
			list = jv_array_append(
			    list, jv_put(jv_put(jv_object(), "endpointId",
					     jv_at(one, "name")),
				      "healthStatus", jv_string("unknown")));
		}
		jv_free(k);
		jv_free(array);
	}
	jv_free(all);
	return jv_put(jv_object(), "value", list);
}

/* generateVerificationCode and verify: the proof is a certificate signed by
 * the one that is proven, whose common name is the code. */
static void
certificate_action(struct sim *s, const struct sim_request *q,
    struct sim_reply *r, const struct arm_id *id, const char *action)
{
	bool verify = strcasecmp(action, "verify") == 0;
	jv stored = arm_load(s, id->key), props, shown, sent;
	struct buf code = BUF_INIT;
	char when[32], *words, *text, *cn = NULL;
	X509 *ca, *proof = NULL;

	if (!jv_is_valid(stored)) {
		jv_free(stored);
		arm_refuse(r, hub_fail(s, 404, 404000,
				  "The certificate '%s' could not be found.",
				  id->name[1]));
		return;
	}
	if (if_match(q, stored) != 1) {
		jv_free(stored);
		refuse_match(s, r, id);
		return;
	}
	words = xasprintf("verification/%s", id->key);
	{
		unsigned char raw[24];

		sim_mac(s, words, strlen(words), raw, sizeof raw);
		for (size_t i = 0; i < sizeof raw; i++)
			buf_printf(&code, "%02X", raw[i]);
	}
	free(words);
	props = peek(stored, "properties");
	if (verify) {
		text = arm_text(props, "certificate");
		ca = read_certificate(text);
		free(text);
		sent = jv_at(doc_parse(q->body, "request"), "certificate");
		proof = read_certificate(jv_string_peek(sent));
		jv_free(sent);
		cn = proof ? common_name(proof) : NULL;
		if (!ca || !cn || strcasecmp(cn, code.at) != 0 ||
		    X509_verify(proof, X509_get0_pubkey(ca)) != 1) {
			arm_refuse(r, hub_fail(s, 400, 400000,
					  "The certificate sent does not prove "
					  "possession of '%s'.",
					  id->name[1]));
			jv_free(props);
			jv_free(stored);
			X509_free(ca);
			goto out;
		}
		X509_free(ca);
		props = jv_put(props, "isVerified", jv_true());
	}
	sim_http_time(sim_now(s), when);
	props = jv_put(props, "updated", jv_string(when));
	stored = jv_put(stored, "properties", jv_copy(props));
	stored = jv_put(stored, "etag", certificate_etag(s, id));
	arm_store(s, id, jv_copy(stored));
	shown = verify ? props
		       : jv_object_merge(jv_put(jv_object(), "verificationCode",
					     jv_string(code.at)),
			     props);
	arm_answer(r, 200, jv_put(stored, "properties", shown));
out:
	X509_free(proof);
	free(cn);
	buf_free(&code);
}

bool
hub_handle(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const struct arm_id *id, int segment)
{
	char *what = sim_segment(q, segment), *second, *third;
	bool get = strcmp(q->method, "GET") == 0,
	     post = strcmp(q->method, "POST") == 0, done = true;
	struct row row;

	if (!id->kind->hub || !what) {
		free(what);
		return false;
	}
	second = sim_segment(q, segment + 1);
	third = sim_segment(q, segment + 2);
	row = row_of(s, id->name[0]);
	if (id->kind == &hub_kinds[2] && post && !second &&
	    (strcasecmp(what, "generateVerificationCode") == 0 ||
		strcasecmp(what, "verify") == 0))
		certificate_action(s, q, r, id, what);
	else if (id->kind != &hub_kinds[0])
		done = false;
	else if (!row.there)
		sim_error(r, 404, "ResourceNotFound",
		    "The Resource 'Microsoft.Devices/IotHubs/%s' under "
		    "resource "
		    "group '%s' was not found.",
		    id->name[0], id->group);
	else if (post && second && third &&
		 strcasecmp(what, "IotHubKeys") == 0 &&
		 strcasecmp(third, "listkeys") == 0) {
		char *action = xasprintf("IotHubKeys/%s/listkeys", second);

		refuse_or(r, 200, arm_keys(s, id->id, action));
		free(action);
	} else if (get && !second && strcasecmp(what, "quotaMetrics") == 0)
		arm_answer(r, 200, list_quotas(s, id->name[0], &row));
	else if (get && !second && strcasecmp(what, "IotHubStats") == 0)
		arm_answer(r, 200, statistics(s, id->name[0]));
	else if (get && !second && strcasecmp(what, "skus") == 0)
		arm_answer(r, 200, list_skus(row.sku));
	else if (get && !second &&
		 strcasecmp(what, "routingEndpointsHealth") == 0)
		arm_answer(r, 200, health(arm_load(s, id->key)));
	else if (post && !second && strcasecmp(what, "listkeys") == 0)
		done = false;
	else if (post && strcasecmp(what, "failover") == 0)
		sim_missing(r, "manual failover of a hub yet");
	else {
		char *words = xasprintf("%s %s of a hub", q->method, what);

		sim_missing(r, words);
		free(words);
	}
	free(what);
	free(second);
	free(third);
	return done;
}
