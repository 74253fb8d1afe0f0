/* slots.c: the places of a hub's properties that plugins look after; see
 * plugin.h. */
#include "plugin.h"

#include <string.h>

#include "doc.h"

static jv
slot(jv path, const char *type, jv endpoint)
{
	jv s = jv_put(jv_object(), "path", path);

	s = jv_put(s, "type", jv_string(type));
	return jv_put(s, "endpoint", endpoint);
}

/* The endpoints of one type appended to slots; or invalid. */
static jv
add_type(jv slots, const char *key, jv list)
{
	const struct hubpipe_plugin *p;
	struct err e = { .status = DONE };

	p = jv_array_length(jv_copy(list)) ? plugin_for(key, &e) : NULL;
	if (e.status != DONE) {
		jv_free(slots);
		slots = jv_from_err(&e);
	}
	jv_array_foreach(list, i, endpoint) {
		if (!p) {
			jv_free(endpoint);
			continue;
		}
		if (jv_get_kind(endpoint) != JV_KIND_OBJECT) {
			jv_free(endpoint);
			jv_free(slots);
			slots = jv_fail(
			    BAD_DATA, key, "endpoint %d is no object", i);
			p = NULL;
			continue;
		}
		slots = jv_array_append(slots,
		    slot(JV_ARRAY(jv_string("routing"), jv_string("endpoints"),
			     jv_string(key), jv_number(i)),
			p->name, endpoint));
	}
	jv_free(list);
	return slots;
}

struct claims {
	jv properties, slots;
};

static bool
has_path(jv slots, jv path)
{
	bool has = false;

	jv_array_foreach(slots, i, s)
		has = jv_equal(jv_at(s, "path"), jv_copy(path)) || has;
	return has;
}

/* A plugin of --plugin-dir goes before a built-in one for the same path. */
static bool
add_claim(const struct hubpipe_plugin *p, void *ctx)
{
	struct claims *c = ctx;
	jv at, path;

	if (!p->claims)
		return false;
	at = jv_path(jv_copy(c->properties), p->claims);
	path = jv_string_split(jv_string(p->claims), jv_string("."));
	if (jv_get_kind(at) == JV_KIND_OBJECT && !has_path(c->slots, path)) {
		c->slots = jv_array_append(c->slots, slot(path, p->name, at));
		return false;
	}
	jv_free(at);
	jv_free(path);
	return false;
}

jv
plugin_slots(jv properties)
{
	struct claims c = { .properties = properties, .slots = jv_array() };
	jv endpoints = jv_path(jv_copy(properties), "routing.endpoints");
	struct err e;

	if (jv_get_kind(endpoints) == JV_KIND_OBJECT)
		jv_object_foreach(endpoints, key, list) {
			if (jv_is_valid(c.slots) &&
			    jv_get_kind(list) == JV_KIND_ARRAY)
				c.slots = add_type(c.slots,
				    jv_string_value(key), jv_copy(list));
			jv_free(key);
			jv_free(list);
		}
	jv_free(endpoints);
	if (jv_is_valid(c.slots)) {
		(void)plugin_search(add_claim, &c, &e);
		if (e.status != DONE) {
			jv_free(c.slots);
			c.slots = jv_from_err(&e);
		}
	}
	jv_free(properties);
	return c.slots;
}

const struct hubpipe_plugin *
plugin_of_slot_peek(jv s)
{
	jv type = jv_at(jv_copy(s), "type");
	struct err e;
	const struct hubpipe_plugin *p = plugin_for(jv_string_value(type), &e);

	jv_free(type);
	return p;
}

jv
plugin_slot_label(jv s)
{
	jv name = jv_path(jv_copy(s), "endpoint.name"), path;
	jv label = jv_string("");

	if (jv_get_kind(name) == JV_KIND_STRING) {
		jv_free(label);
		jv_free(s);
		label = jv_text("endpoint '%s'", jv_string_value(name));
		jv_free(name);
		return label;
	}
	jv_free(name);
	path = jv_at(s, "path");
	jv_array_foreach(path, i, part) {
		if (i)
			label = jv_string_append_str(label, ".");
		if (jv_get_kind(part) != JV_KIND_STRING)
			part = jv_dump_string(part, 0);
		label = jv_string_concat(label, part);
	}
	jv_free(path);
	return label;
}

jv
plugin_ask(jv s, jv (*question)(jv endpoint))
{
	jv answer = question(jv_at(jv_copy(s), "endpoint")), label;
	struct err e;

	if (jv_is_valid(answer)) {
		jv_free(s);
		return answer;
	}
	(void)err_from_jv(&e, answer);
	label = plugin_slot_label(s);
	answer = jv_fail(e.status, jv_string_value(label), "%s", e.text);
	jv_free(label);
	return answer;
}

/* ---- what a tool asks of all endpoints ---- */

static jv
uplift_type(jv endpoints, const char *key, jv list, struct err *e)
{
	/* What has no endpoints needs no plugin, but a key that is one. */
	bool empty = jv_array_length(jv_copy(list)) == 0;
	const struct hubpipe_plugin *p =
	    empty ? plugin_find(key, e) : plugin_for(key, e);
	jv out, old;

	if (!p)
		return jv_object_set(endpoints, jv_string(key), list);
	old = jv_at(jv_copy(endpoints), p->name);
	out = jv_get_kind(old) == JV_KIND_ARRAY ? old : jv_array();
	if (jv_get_kind(old) != JV_KIND_ARRAY)
		jv_free(old);
	jv_array_foreach(list, i, endpoint) {
		if (p->uplift && jv_get_kind(endpoint) == JV_KIND_OBJECT)
			endpoint = p->uplift(endpoint);
		if (!jv_is_valid(endpoint)) {
			(void)err_from_jv(e, endpoint);
			continue;
		}
		out = jv_array_append(out, endpoint);
	}
	jv_free(list);
	return jv_object_set(endpoints, jv_string(p->name), out);
}

jv
plugin_uplift(jv properties)
{
	jv endpoints = jv_path(jv_copy(properties), "routing.endpoints");
	jv out = jv_object();
	struct err e = { .status = DONE };

	if (jv_get_kind(endpoints) != JV_KIND_OBJECT ||
	    jv_object_length(jv_copy(endpoints)) == 0) {
		jv_free(endpoints);
		jv_free(out);
		return properties;
	}
	jv_object_foreach(endpoints, key, list) {
		if (e.status == DONE && jv_get_kind(list) == JV_KIND_ARRAY)
			out = uplift_type(
			    out, jv_string_value(key), jv_copy(list), &e);
		else
			out = jv_object_set(out, jv_copy(key), jv_copy(list));
		jv_free(key);
		jv_free(list);
	}
	jv_free(endpoints);
	if (e.status != DONE) {
		jv_free(properties);
		jv_free(out);
		return jv_from_err(&e);
	}
	return jv_setpath(properties,
	    JV_ARRAY(jv_string("routing"), jv_string("endpoints")), out);
}

static bool
is_key(jv secret)
{
	jv value = jv_at(secret, "value");
	const char *text = jv_string_peek(value);
	bool is = text && strcmp(text, PLUGIN_MASK) != 0;

	jv_free(value);
	return is;
}

/* Every key that is there, masked; null stays null. */
static jv
mask(const struct hubpipe_plugin *p, jv endpoint, bool *masked)
{
	jv all = p->secrets(jv_copy(endpoint));

	if (!jv_is_valid(all)) {
		jv_free(endpoint);
		return all;
	}
	jv_array_foreach(all, i, s) {
		if (is_key(jv_copy(s))) {
			*masked = true;
			endpoint = plugin_fill(
			    endpoint, jv_copy(s), jv_string(PLUGIN_MASK));
		}
		jv_free(s);
	}
	jv_free(all);
	return endpoint;
}

jv
plugin_rename(const struct hubpipe_plugin *p, jv endpoint, jv names, jv cloud,
    bool *masked)
{
	jv old = jv_copy(endpoint);

	*masked = false;
	endpoint = p->with_names(endpoint, names, cloud);
	if (!jv_is_valid(endpoint) || jv_equal(old, jv_copy(endpoint)))
		return endpoint;
	return mask(p, endpoint, masked);
}

jv
plugin_mask_all(jv properties)
{
	jv slots = plugin_slots(jv_copy(properties));
	bool masked = false;

	if (!jv_is_valid(slots)) {
		jv_free(properties);
		return slots;
	}
	jv_array_foreach(slots, i, s) {
		jv e = mask(plugin_of_slot_peek(s),
		    jv_at(jv_copy(s), "endpoint"), &masked);

		if (jv_is_valid(e))
			properties = jv_setpath(
			    properties, jv_at(jv_copy(s), "path"), e);
		else
			jv_free(e);
		jv_free(s);
	}
	jv_free(slots);
	return properties;
}

jv
plugin_fill(jv endpoint, jv secret, jv key)
{
	jv text = jv_string_concat(jv_at(jv_copy(secret), "before"), key);

	text = jv_string_concat(text, jv_at(jv_copy(secret), "after"));
	return jv_object_set(endpoint, jv_at(secret, "member"), text);
}

static bool
slot_has_secret(jv s)
{
	const struct hubpipe_plugin *p = plugin_of_slot_peek(s);
	jv secrets = p->secrets(jv_at(s, "endpoint"));
	bool has = false;

	if (!jv_is_valid(secrets)) {
		jv_free(secrets);
		return false;
	}
	jv_array_foreach(secrets, i, secret)
		has = is_key(secret) || has;
	jv_free(secrets);
	return has;
}

bool
plugin_has_secret(jv properties)
{
	jv policies = jv_at(jv_copy(properties), "authorizationPolicies");
	bool has = jv_get_kind(policies) == JV_KIND_ARRAY &&
		   jv_array_length(jv_copy(policies)) > 0;
	jv slots = plugin_slots(properties);

	jv_free(policies);
	if (!jv_is_valid(slots)) {
		jv_free(slots);
		return has;
	}
	jv_array_foreach(slots, i, s)
		has = slot_has_secret(s) || has;
	jv_free(slots);
	return has;
}
