/*
 * seed.c: --from TEMPLATE.  The template of a hub as somebody exported it
 * names things that are elsewhere and holds no keys: what its endpoints point
 * at is made here, so that a copy of a real hub can be tried.
 */
#include "deploy.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "expr.h"
#include "iothubs.h"
#include "sign.h"
#include "throttle.h"

static const char hub_type[] = "Microsoft.Devices/IotHubs";
static const char rule_name[] = "iothubroutes";

struct seed {
	struct plan *p;
	int hub;          /* its part */
	const char *path; /* of the template, for messages */
	char *location;
	struct err *e;
	bool failed;
};

/* ---- reading ---- */

/* "/subscriptions/THEIRS/..." is in this simulator's subscription. */
static jv
moved_text(jv text)
{
	static const char head[] = "/subscriptions/";
	const char *s = jv_string_value(text), *rest;
	jv moved;

	if (strncasecmp(s, head, sizeof head - 1) != 0)
		return text;
	rest = strchr(s + sizeof head - 1, '/');
	moved = jv_text("%s" SIM_SUBSCRIPTION "%s", head, rest ? rest : "");
	jv_free(text);
	return moved;
}

static jv
moved(jv value)
{
	jv out;

	switch (jv_get_kind(value)) {
	case JV_KIND_STRING:
		return moved_text(value);
	case JV_KIND_ARRAY:
		out = jv_array();
		jv_array_foreach(value, i, item)
			out = jv_array_append(out, moved(item));
		jv_free(value);
		return out;
	case JV_KIND_OBJECT:
		out = jv_object();
		jv_object_foreach(value, key, item)
			out = jv_object_set(out, moved_text(key), moved(item));
		jv_free(value);
		return out;
	default:
		return value;
	}
}

/* The template in a file: itself, an answer of exportTemplate, or the state
 * file of the az extension. */
static jv
read_template(const char *path, struct err *e)
{
	static const char *const wraps[] = { "template", "arm" };
	struct buf raw = BUF_INIT, text = BUF_INIT;
	jv doc, inner;

	if (doc_read_text(path, &raw, e)) {
		buf_free(&raw);
		return jv_invalid();
	}
	deploy_tidy(buf_peek(&raw), &text);
	doc = doc_parse(buf_peek(&text), path);
	buf_wipe(&raw);
	buf_wipe(&text);
	if (!jv_is_valid(doc)) {
		(void)err_from_jv(e, doc);
		return jv_invalid();
	}
	for (int i = 0; i < 2; i++) {
		inner = jv_get_kind(doc) == JV_KIND_OBJECT
			    ? jv_at(jv_copy(doc), wraps[i])
			    : jv_null();
		if (jv_get_kind(inner) == JV_KIND_OBJECT) {
			jv_free(doc);
			doc = inner;
		} else {
			jv_free(inner);
		}
	}
	inner = jv_get_kind(doc) == JV_KIND_OBJECT
		    ? jv_at(jv_copy(doc), "resources")
		    : jv_null();
	if (jv_get_kind(inner) != JV_KIND_ARRAY) {
		(void)err_set(
		    e, BAD_DATA, path, "is no template: it has no resources");
		jv_free(doc);
		doc = jv_invalid();
	}
	jv_free(inner);
	return jv_is_valid(doc) ? moved(doc) : doc;
}

/* ---- what endpoints point at ---- */

/* The words of the deepest error in a provider's answer; malloc'd. */
static char *
reason(jv failure)
{
	jv body = jv_at(failure, "body"), error = jv_at(jv_copy(body), "error");
	char *text;

	if (jv_get_kind(error) != JV_KIND_OBJECT) {
		jv_free(error);
		error = jv_copy(body);
	}
	jv_free(body);
	text = arm_text(error, "message");
	jv_free(error);
	return text ? text : xstrdup("refused");
}

static void
seed_fail(struct seed *d, const char *id, jv failure)
{
	char *why = reason(failure);

	if (!d->failed)
		(void)err_set(
		    d->e, BAD_DATA, d->path, "cannot make '%s': %s", id, why);
	d->failed = true;
	free(why);
}

/* A resource that the template itself makes comes before the hub. */
static bool
of_template(struct seed *d, const char *id)
{
	for (int j = 0; j < d->p->count; j++)
		if (j != d->hub && strcasecmp(d->p->part[j].id, id) == 0) {
			d->p->part[d->hub].needs[j] = 1;
			return true;
		}
	return false;
}

/* JSON in which '@' stands for the location. */
static jv
body_of(const struct seed *d, const char *json)
{
	struct buf text = BUF_INIT;
	jv body;

	for (; *json; json++)
		if (*json == '@')
			buf_json(&text, d->location, strlen(d->location));
		else
			buf_char(&text, *json);
	body = doc_parse(buf_peek(&text), "seed");
	buf_free(&text);
	return body;
}

/* Makes it unless it is there; consumes body. */
static void
ensure(struct seed *d, const char *id, const char *api, jv body)
{
	struct sim *s = d->p->s;
	jv there = arm_resource(s, id), made;
	bool skip = jv_is_valid(there) || d->failed || of_template(d, id);

	jv_free(there);
	if (skip) {
		jv_free(body);
		return;
	}
	made = arm_put_as(s, id, api, body, ARM_SEED);
	if (jv_is_valid(made))
		jv_free(made);
	else
		seed_fail(d, id, jv_invalid_get_msg(made));
}

static void
ensure_group(struct seed *d, const char *group)
{
	jv made;

	if (d->failed || arm_group_exists(d->p->s, group))
		return;
	made = arm_group_put(d->p->s, group,
	    jv_put(jv_object(), "location", jv_string(d->location)));
	if (jv_is_valid(made))
		jv_free(made);
	else
		seed_fail(d, group, jv_invalid_get_msg(made));
}

/* "A=x;B=y" with one word set. */
static char *
with_word(const char *text, const char *name, const char *value)
{
	struct buf b = BUF_INIT;
	size_t n = strlen(name);
	bool done = false;

	while (*text) {
		size_t len = strcspn(text, ";");

		if (len > 0) {
			if (b.len)
				buf_char(&b, ';');
			if (len > n && text[n] == '=' &&
			    strncasecmp(text, name, n) == 0) {
				buf_printf(&b, "%s=%s", name, value);
				done = true;
			} else {
				buf_add(&b, text, len);
			}
		}
		text += len + (text[len] == ';');
	}
	if (!done)
		buf_printf(&b, "%s%s=%s", b.len ? ";" : "", name, value);
	return b.at;
}

/* Names of accounts and namespaces are the world's: one that is there already
 * is meant, in whatever group it is. */
static char *
base_of(struct seed *d, const char *group, const char *type, const char *name)
{
	char *key = arm_find_global(d->p->s, type, name);

	return key ? key
		   : xasprintf("/subscriptions/" SIM_SUBSCRIPTION
			       "/resourceGroups/%s/providers/%s/%s",
			 group, type, name);
}

static void
make_bus(struct seed *d, const char *group, const char *type, const char *kind,
    const char *name, const char *entity, const char *policy)
{
	static const char api[] = "2021-11-01";
	char *ns = base_of(d, group, type, name), *rule;
	char *of = xasprintf("%s/%s/%s", ns, kind, entity);

	ensure(d, ns, api,
	    body_of(d,
		"{\"location\":@,\"sku\":{\"name\":\"Standard\",\"tier\":"
		"\"Standard\"},\"properties\":{}}"));
	ensure(d, of, api,
	    body_of(d, strcmp(kind, "eventhubs") == 0
			   ? "{\"properties\":{\"messageRetentionInDays\":1,"
			     "\"partitionCount\":4}}"
			   : "{\"properties\":{}}"));
	if (policy && strcasecmp(policy, "RootManageSharedAccessKey") != 0) {
		rule = xasprintf("%s/authorizationRules/%s", of, policy);
		ensure(d, rule, api,
		    body_of(d, "{\"properties\":{\"rights\":[\"Send\"]}}"));
		free(rule);
	}
	free(ns);
	free(of);
}

static void
make_storage(struct seed *d, const char *group, const char *account,
    const char *container)
{
	static const char api[] = "2023-05-01";
	char *id =
	    base_of(d, group, "Microsoft.Storage/storageAccounts", account);

	ensure(d, id, api,
	    body_of(d, "{\"location\":@,\"sku\":{\"name\":\"Standard_LRS\"},"
		       "\"kind\":\"StorageV2\",\"properties\":{}}"));
	if (container && *container) {
		char *c = xasprintf(
		    "%s/blobServices/default/containers/%s", id, container);

		ensure(d, c, api,
		    body_of(d, "{\"properties\":{\"publicAccess\":\"None\"}}"));
		free(c);
	}
	free(id);
}

static jv
cosmos_body(const char *name, const char *key)
{
	jv resource = jv_put(jv_object(), "id", jv_string(name));

	if (key) {
		jv paths = jv_array_append(jv_array(), jv_text("/%s", key));

		resource = jv_put(resource, "partitionKey",
		    jv_put(jv_put(jv_object(), "paths", paths), "kind",
			jv_string("Hash")));
	}
	return jv_put(jv_object(), "properties",
	    jv_put(jv_put(jv_object(), "resource", resource), "options",
		jv_object()));
}

static void
make_cosmos(struct seed *d, const char *group, const char *account,
    const char *database, const char *container, const char *key)
{
	static const char api[] = "2023-04-15";
	char *id =
	    base_of(d, group, "Microsoft.DocumentDB/databaseAccounts", account);
	char *db = xasprintf("%s/sqlDatabases/%s", id, database);
	char *c = xasprintf("%s/containers/%s", db, container);

	ensure(d, id, api,
	    body_of(d,
		"{\"location\":@,\"kind\":\"GlobalDocumentDB\","
		"\"properties\":{\"databaseAccountOfferType\":\"Standard\","
		"\"locations\":[{\"locationName\":@,\"failoverPriority\":0}]}"
		"}"));
	ensure(d, db, api, cosmos_body(database, NULL));
	ensure(d, c, api, cosmos_body(container, key));
	free(id);
	free(db);
	free(c);
}

static void
make_identity(struct seed *d, const char *id)
{
	const char *group = strcasestr(id, "/resourceGroups/");
	char *name;

	if (group == NULL || !strcasestr(id, "/userAssignedIdentities/"))
		return;
	group += strlen("/resourceGroups/");
	name = xstrndup(group, strcspn(group, "/"));
	ensure_group(d, name);
	ensure(d, id, "2023-01-31", body_of(d, "{\"location\":@}"));
	free(name);
}

static bool
same_word(const char *a, const char *b)
{
	return strcasecmp(a, b) == 0;
}

/* The preview of 2022 called the container a collection (CONTRACT 5). */
static jv
seed_cosmos(struct seed *d, const char *group, const char *account, jv endpoint)
{
	char *container = arm_text(endpoint, "containerName");
	char *database = arm_text(endpoint, "databaseName");
	char *key = arm_text(endpoint, "partitionKeyName");

	if (container == NULL)
		container = arm_text(endpoint, "collectionName");
	if (database && container)
		make_cosmos(d, group, account, database, container,
		    key && *key ? key : "id");
	free(container);
	free(database);
	free(key);
	return jv_without(jv_without(endpoint, "primaryKey"), "secondaryKey");
}

/* One endpoint: what it points at is made; a literal key gives way to a mask,
 * for which ARM_SEED takes the key of what was made. */
static jv
seed_endpoint(struct seed *d, const char *type, jv endpoint)
{
	jv given = jv_at(jv_copy(endpoint), "connectionString");
	bool computed = jv_get_kind(given) == JV_KIND_OBJECT;
	char *text = jv_dup_string(given);
	char *sub = arm_text(endpoint, "subscriptionId");
	char *uri = arm_text(endpoint, "endpointUri"), *host = NULL;
	char *group = arm_text(endpoint, "resourceGroup");
	char *container = arm_text(endpoint, "containerName");
	char *entity = NULL, *policy = NULL, *with = NULL;
	bool bus = same_word(type, "eventHubs") ||
		   same_word(type, "serviceBusQueues") ||
		   same_word(type, "serviceBusTopics");

	if (sub)
		endpoint = jv_put(
		    endpoint, "subscriptionId", jv_string(SIM_SUBSCRIPTION));
	if (group == NULL || *group == '\0') {
		free(group);
		group = xstrdup(d->p->group);
	}
	if (computed || (text && expr_is(text)))
		goto out; /* listKeys(): the template knows best */
	ensure_group(d, group);
	if (bus && text && *text) {
		uri = (free(uri), sign_part(text, "Endpoint"));
		entity = sign_part(text, "EntityPath");
		policy = sign_part(text, "SharedAccessKeyName");
		if (policy == NULL) {
			policy = xstrdup(rule_name);
			with = with_word(text, "SharedAccessKeyName", policy);
			free(text);
			text = with;
		}
		with = with_word(text, "SharedAccessKey", "****");
	} else if (bus) {
		entity = arm_text(endpoint, "entityPath");
	} else if (text && *text) {
		host = sign_part(text, "AccountName");
		with = with_word(text, "AccountKey", "****");
	}
	if (host == NULL)
		host = first_label(uri);
	if (host == NULL)
		goto out; /* the provider will say what is missing */
	if (bus && entity) {
		bool events = same_word(type, "eventHubs");

		make_bus(d, group,
		    events ? "Microsoft.EventHub/namespaces"
			   : "Microsoft.ServiceBus/namespaces",
		    events                                ? "eventhubs"
		    : same_word(type, "serviceBusQueues") ? "queues"
							  : "topics",
		    host, entity, policy);
	} else if (same_word(type, "storageContainers")) {
		make_storage(d, group, host, container);
	} else if (strncasecmp(type, "cosmosDB", 8) == 0) {
		endpoint = seed_cosmos(d, group, host, endpoint);
	}
	if (with)
		endpoint =
		    jv_put(endpoint, "connectionString", jv_string(with));
out:
	free(with);
	free(text);
	free(sub);
	free(uri);
	free(host);
	free(group);
	free(container);
	free(entity);
	free(policy);
	return endpoint;
}

static jv
seed_endpoints(struct seed *d, jv endpoints)
{
	jv out = jv_object();

	if (jv_get_kind(endpoints) != JV_KIND_OBJECT) {
		jv_free(out);
		return endpoints;
	}
	jv_object_foreach(endpoints, type, list) {
		jv done = jv_array();

		if (jv_get_kind(list) != JV_KIND_ARRAY) {
			out = jv_object_set(out, type, list);
			jv_free(done);
			continue;
		}
		jv_array_foreach(list, i, one) {
			if (jv_get_kind(one) == JV_KIND_OBJECT)
				one = seed_endpoint(
				    d, jv_string_value(type), one);
			done = jv_array_append(done, one);
		}
		jv_free(list);
		out = jv_object_set(out, type, done);
	}
	jv_free(endpoints);
	return out;
}

/* The file-upload storage: none, where the template does not say which. */
static jv
seed_upload(struct seed *d, jv properties)
{
	jv all = jv_at(jv_copy(properties), "storageEndpoints");
	jv one = jv_get_kind(all) == JV_KIND_OBJECT
		     ? jv_at(jv_copy(all), "$default")
		     : jv_null();
	jv given = jv_get_kind(one) == JV_KIND_OBJECT
		       ? jv_at(jv_copy(one), "connectionString")
		       : jv_null();
	char *text = jv_dup_string(jv_copy(given)), *account, *container;
	bool computed =
	    jv_get_kind(given) == JV_KIND_OBJECT || (text && expr_is(text));

	jv_free(given);
	account = computed || !text ? NULL : sign_part(text, "AccountName");
	if (account) {
		char *with = with_word(text, "AccountKey", "****");

		container = arm_text(one, "containerName");
		make_storage(d, d->p->group, account, container);
		one = jv_put(one, "connectionString", jv_string(with));
		free(with);
		free(container);
		properties = jv_put(properties, "storageEndpoints",
		    jv_put(all, "$default", one));
	} else {
		jv_free(all);
		jv_free(one);
		if (!computed) {
			properties = jv_without(properties, "storageEndpoints");
			properties = jv_without(
			    properties, "enableFileUploadNotifications");
		}
	}
	free(account);
	free(text);
	return properties;
}

/* Exports drop endpoints that are younger than their schema and keep the
 * routes to them, which no hub would take (CONTRACT 8). */
static jv
without_lost(jv list, jv known)
{
	jv out = jv_array();

	if (jv_get_kind(list) != JV_KIND_ARRAY) {
		jv_free(out);
		jv_free(known);
		return list;
	}
	jv_array_foreach(list, i, one) {
		jv names = jv_get_kind(one) == JV_KIND_OBJECT
			       ? jv_at(jv_copy(one), "endpointNames")
			       : jv_null();
		bool lost = false;

		if (jv_get_kind(names) == JV_KIND_ARRAY) {
			jv_array_foreach(names, k, name) {
				const char *text = jv_string_peek(name);

				lost = lost ||
				       (text && strcmp(text, "events") != 0 &&
					   !expr_is(text) &&
					   !jv_object_has(
					       jv_copy(known), jv_copy(name)));
				jv_free(name);
			}
		}
		jv_free(names);
		if (lost) {
			char *name = arm_text(one, "name");

			warn(name ? name : "enrichment",
			    "left out: the template lacks the endpoint that "
			    "it names");
			free(name);
			jv_free(one);
		} else {
			out = jv_array_append(out, one);
		}
	}
	jv_free(list);
	jv_free(known);
	return out;
}

/* The names of all endpoints; invalid when one of them is not known yet. */
static jv
endpoint_names(jv endpoints)
{
	jv names = jv_object();

	if (jv_get_kind(endpoints) == JV_KIND_OBJECT) {
		jv_object_foreach(endpoints, type, list) {
			jv_free(type);
			if (jv_get_kind(list) == JV_KIND_ARRAY) {
				jv_array_foreach(list, i, one) {
					jv name = jv_at(one, "name");

					if (jv_get_kind(name) !=
						JV_KIND_STRING ||
					    !jv_is_valid(names)) {
						jv_free(name);
						jv_free(names);
						names = jv_invalid();
					} else {
						names = jv_object_set(
						    names, name, jv_true());
					}
				}
			}
			jv_free(list);
		}
	}
	jv_free(endpoints);
	return names;
}

static void
seed_identities(struct seed *d, jv identity)
{
	jv users = jv_get_kind(identity) == JV_KIND_OBJECT
		       ? jv_at(jv_copy(identity), "userAssignedIdentities")
		       : jv_null();

	if (jv_get_kind(users) == JV_KIND_OBJECT) {
		jv_object_foreach(users, key, v) {
			make_identity(d, jv_string_value(key));
			jv_free(key);
			jv_free(v);
		}
	}
	jv_free(users);
	jv_free(identity);
}

static void
seed_hub(struct seed *d)
{
	struct part *part = &d->p->part[d->hub];
	jv body = plan_preview(d->p, d->hub);
	jv properties = jv_at(jv_copy(body), "properties"), routing;

	seed_identities(d, jv_at(body, "identity"));
	if (jv_get_kind(properties) != JV_KIND_OBJECT) {
		jv_free(properties);
		part->raw = sku_apply(d->p->s, part->raw);
		return;
	}
	routing = jv_at(jv_copy(properties), "routing");
	if (jv_get_kind(routing) == JV_KIND_OBJECT) {
		jv endpoints =
		    seed_endpoints(d, jv_at(jv_copy(routing), "endpoints"));

		jv names = endpoint_names(jv_copy(endpoints));
		jv routes = jv_at(jv_copy(routing), "routes");
		jv more = jv_at(jv_copy(routing), "enrichments");

		routing = jv_put(routing, "endpoints", endpoints);
		if (jv_is_valid(names) && jv_get_kind(routes) == JV_KIND_ARRAY)
			routing = jv_put(routing, "routes",
			    without_lost(jv_copy(routes), jv_copy(names)));
		if (jv_is_valid(names) && jv_get_kind(more) == JV_KIND_ARRAY)
			routing = jv_put(routing, "enrichments",
			    without_lost(jv_copy(more), jv_copy(names)));
		jv_free(names);
		jv_free(routes);
		jv_free(more);
		properties = jv_put(properties, "routing", routing);
	} else {
		jv_free(routing);
	}
	properties = seed_upload(d, properties);
	part->raw = jv_put(part->raw, "properties", properties);
	part->raw = sku_apply(d->p->s, part->raw);
}

/* ---- the whole ---- */

/* A region that can be read off the hub without evaluating anything but its
 * parameters' defaults. */
static char *
hub_location(struct sim *s, jv template, const char *group)
{
	struct plan p;
	char *found = NULL;
	jv no;

	sim_savepoint(s);
	jv_free(arm_group_put(
	    s, group, jv_put(jv_object(), "location", jv_string("westus"))));
	no = plan_open(&p, s, group, "seed", (struct span){ NULL, 0 }, template,
	    jv_object(), ARM_SEED, true);
	for (int i = 0; i < p.count && jv_is_valid(no) && !found; i++)
		if (strcasecmp(p.part[i].type, hub_type) == 0)
			found =
			    arm_region(jv_at(plan_preview(&p, i), "location"));
	jv_free(no);
	plan_close(&p);
	sim_rollback(s);
	return found ? found : xstrdup("westus");
}

static int
seed_plan(struct plan *p, struct seed *d)
{
	for (int i = 0; i < p->count && !d->failed; i++)
		if (p->part[i].state == PART_WAITING &&
		    strcasecmp(p->part[i].type, hub_type) == 0) {
			d->hub = i;
			seed_hub(d);
		}
	if (!d->failed)
		plan_run(p);
	for (int i = 0; i < p->count; i++)
		if (p->part[i].state == PART_FAILED)
			seed_fail(
			    d, p->part[i].id, jv_copy(p->part[i].failure));
	return d->failed ? -1 : 0;
}

int
deploy_seed(struct sim *s, const char *path, const char *group, struct err *e)
{
	jv template = read_template(path, e), no;
	long operation_ms = s->operation_ms;
	struct plan p;
	struct seed d = { .p = &p, .path = path, .e = e };
	int rc = -1;

	if (!jv_is_valid(template)) {
		jv_free(template);
		return -1;
	}
	d.location = hub_location(s, jv_copy(template), group);
	if (!arm_group_exists(s, group)) {
		jv made = arm_group_put(s, group,
		    jv_put(jv_object(), "location", jv_string(d.location)));

		if (!jv_is_valid(made)) {
			char *why = reason(jv_invalid_get_msg(made));

			(void)err_set(e, BAD_USAGE, group, "%s", why);
			free(why);
			free(d.location);
			jv_free(template);
			return -1;
		}
		jv_free(made);
	}
	s->operation_ms = 0; /* it has been there for long */
	no = plan_open(&p, s, group, "seed", (struct span){ NULL, 0 }, template,
	    jv_object(), ARM_SEED, true);
	if (jv_is_valid(no)) {
		jv_free(no);
		rc = seed_plan(&p, &d);
	} else {
		char *why = reason(jv_invalid_get_msg(no));

		rc = err_set(e, BAD_DATA, path, "%s", why);
		free(why);
	}
	plan_close(&p);
	s->operation_ms = operation_ms;
	free(d.location);
	return rc;
}
