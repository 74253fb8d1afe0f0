/*
 * endpointtargets.c: what an endpoint points at: is it there, is the key one
 * of its keys, may the hub's identity send to it (CONTRACT 5)?
 *
 * An endpoint's resourceGroup and subscriptionId, where given, must be those
 * of the resource that it points at.  The service may be more lenient; a tool
 * that gets them wrong finds no key later, so hub-sim is not.
 */
#include "iothubs.h"

#include "roles.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

void
endpoint_unusable(struct endpoint *e, const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	draft_refuse(e->d, 400116,
	    "ConnectionString is invalid, endpointName:%s, "
	    "exceptionMessage:%s.",
	    e->name, text);
	free(text);
}

/* "ns" of "sb://ns.servicebus.windows.net:5671/"; malloc'd or NULL. */
char *
first_label(const char *uri)
{
	const char *at = uri ? strstr(uri, "://") : NULL;
	size_t n = at ? strcspn(at + 3, ".:/") : 0;

	return n ? xstrndup(at + 3, n) : NULL;
}

/* The key of the account or namespace, after the checks that need no secret;
 * NULL: refused. */
char *
target_account(struct endpoint *e, const char *account)
{
	char *key = account && *account
			? arm_find_global(e->d->s, e->t->type, account)
			: NULL;
	char *group = arm_text(e->given, "resourceGroup"),
	     *sub = arm_text(e->given, "subscriptionId");
	struct arm_id id;

	if (!key) {
		endpoint_unusable(e,
		    "The resource '%s' of type '%s' does not exist",
		    account ? account : "", e->t->type);
	} else if (arm_id_parse(e->d->s, key, &id)) {
		if (group && *group && strcasecmp(group, id.group) != 0)
			endpoint_unusable(e,
			    "'%s' is not in the resource group '%s' that the "
			    "endpoint names but in '%s'",
			    account, group, id.group);
		if (sub && *sub && strcasecmp(sub, SIM_SUBSCRIPTION) != 0)
			endpoint_unusable(e,
			    "'%s' is not in the subscription '%s' that the "
			    "endpoint names",
			    account, sub);
		arm_id_free(&id);
	}
	free(group);
	free(sub);
	if (draft_refused(e->d)) {
		free(key);
		return NULL;
	}
	return key;
}

/* The key of KEY/KIND/NAME if it is there. */
char *
target_below(struct sim *s, const char *key, const char *kind, const char *name)
{
	char *path = xasprintf("%s/%s/%s", key, kind, name), *low;

	low = arm_lower(path);
	free(path);
	if (arm_there(s, low))
		return low;
	free(low);
	return NULL;
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
bool
key_among(jv keys, const char *const *members, const char *key)
{
	bool is = false;

	for (; *members; members++)
		is |= jv_string_is(arm_member(keys, *members), key);
	jv_free(keys);
	return is;
}

void
target_bus_key(struct endpoint *e, const char *account, const char *entity,
    const char *policy, char **secret)
{
	static const char *const members[] = { "primaryKey", "secondaryKey",
		NULL };
	struct sim *s = e->d->s;
	char *rule = entity
			 ? target_below(s, entity, "authorizationRules", policy)
			 : NULL;
	jv keys;

	if (!rule)
		rule = target_below(s, account, "authorizationRules", policy);
	if (!rule) {
		endpoint_unusable(e,
		    "The authorization rule '%s' could not be found", policy);
		return;
	}
	keys = arm_keys_plain(s, rule, "listKeys", jv_object());
	if (!may_send(s, rule))
		endpoint_unusable(e,
		    "The authorization rule '%s' lacks the claim Send", policy);
	else if (!*secret)
		*secret = arm_text(keys, "primaryKey");
	else if (!key_among(jv_copy(keys), members, *secret))
		endpoint_unusable(e,
		    "InvalidSignature: The key is not one of the "
		    "authorization rule '%s'",
		    policy);
	jv_free(keys);
	free(rule);
}

void
target_storage_key(struct endpoint *e, const char *account, char **secret)
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
		endpoint_unusable(e,
		    "AuthenticationFailed: The key is not one of the "
		    "storage account");
}

void
target_entity(struct endpoint *e, const char *account, const char *name)
{
	char *found = name && *name
			  ? target_below(e->d->s, account, e->t->entity, name)
			  : NULL;

	if (!found)
		endpoint_unusable(e,
		    "The messaging entity '%s' could not be found",
		    name ? name : "");
	free(found);
}

void
target_container(struct endpoint *e, const char *account)
{
	char *name = arm_text(e->given, "containerName");
	char *base = arm_text(e->given, "databaseName"), *db = NULL, *c = NULL;

	if (e->t->family == STORAGE && name)
		c = target_below(e->d->s, account, e->t->entity, name);
	else if (name && base &&
		 (db = target_below(e->d->s, account, e->t->entity, base)))
		c = target_below(e->d->s, db, "containers", name);
	if (!c)
		endpoint_unusable(e,
		    "The container '%s%s%s' could not be found",
		    base ? base : "", base ? "/" : "", name ? name : "");
	free(name);
	free(base);
	free(db);
	free(c);
}

/* On the queue, event hub or container, or on anything above it. */
static bool
has_role(struct endpoint *e, const char *account)
{
	static const char
	    *const storage[] = { "Storage Blob Data Contributor", NULL },
		   *const events[] = { "Azure Event Hubs Data Sender", NULL },
		   *const bus[] = { "Azure Service Bus Data Sender", NULL },
		   *const cosmos[] = { "DocumentDB Account Contributor",
			   "Cosmos DB Built-in Data Contributor", NULL };
	const char *const *role = e->t->family == STORAGE          ? storage
				  : e->t->family == COSMOS         ? cosmos
				  : strstr(e->t->type, "EventHub") ? events
								   : bus;
	struct sim *s = e->d->s;
	char *principal = arm_text(e->d->identity, "principalId");
	char *name = arm_text(
	    e->given, e->t->family == BUS ? "entityPath" : "containerName");
	char *place =
	    name ? target_below(s, account, e->t->entity, name) : NULL;
	bool has = false;

	for (; principal && *role; role++)
		has |= role_held(s, principal, place ? place : account, *role);
	free(principal);
	free(name);
	free(place);
	return has;
}

/* Who writes to an endpoint without a key (CONTRACT 4.1, 5). */
void
target_identity(struct endpoint *e, const char *account)
{
	struct draft *d = e->d;
	jv map = arm_member(d->identity, "userAssignedIdentities");
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
			draft_refuse(d, 400000,
			    "The user-assigned identity '%s' of the endpoint "
			    "'%s' is not assigned to the hub.",
			    user, e->name);
	} else if (!type || !strcasestr(type, "SystemAssigned"))
		draft_refuse(d, 400000,
		    "The endpoint '%s' uses the system-assigned identity, "
		    "which the hub does not have.",
		    e->name);
	else if (d->how != ARM_SEED && !has_role(e, account))
		draft_refuse(d, 400116,
		    "Unauthorized: the system-assigned identity of the hub has "
		    "no role on what the endpoint points at, endpointName:%s. "
		    "A new hub's identity has none: create the hub, assign the "
		    "role, wait until it counts, then add the endpoint.",
		    e->name);
	jv_free(map);
	free(user);
	free(type);
}
