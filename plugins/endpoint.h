/*
 * endpoint.h: what several endpoint plugins need: members of an endpoint,
 * host names and connection strings.  Not part of the contract.
 *
 * No suffix of any cloud stands here: a host is taken apart at its first dot
 * and the rest is kept.
 */
#ifndef ENDPOINT_H
#define ENDPOINT_H

#include <string.h>
#include <strings.h>

#include "hubpipe-plugin.h"

/* A member if it is a string with something in it, else jv_null().  Borrows
 * the endpoint. */
static inline jv
text_of(jv endpoint, const char *member)
{
	jv v = jv_object_get(jv_copy(endpoint), jv_string(member));

	if (jv_get_kind(v) == JV_KIND_STRING && *jv_string_value(v))
		return v;
	jv_free(v);
	return jv_null();
}

static inline int
is_text(jv v)
{
	return jv_get_kind(v) == JV_KIND_STRING;
}

/* Sets object.name = value unless value is null. */
static inline jv
put(jv object, const char *name, jv value)
{
	if (jv_get_kind(value) == JV_KIND_NULL)
		return object;
	return jv_object_set(object, jv_string(name), value);
}

static inline int
is_identity_based(jv endpoint)
{
	jv how = text_of(endpoint, "authenticationType");
	int is =
	    is_text(how) && !strcasecmp(jv_string_value(how), "identityBased");

	jv_free(how);
	return is;
}

/* Where the host's first label stands in "scheme://label.rest:port/path". */
static inline const char *
first_label(const char *uri, size_t *len)
{
	const char *host = strstr(uri, "://");

	host = host ? host + 3 : uri;
	*len = strcspn(host, ".:/");
	return host;
}

static inline jv
label_of(jv uri)
{
	size_t n = 0;
	const char *at;
	jv label;

	if (!is_text(uri))
		return uri;
	at = first_label(jv_string_value(uri), &n);
	label = n ? jv_string_sized(at, (int)n) : jv_null();
	jv_free(uri);
	return label;
}

/* The uri with another first label. */
static inline jv
with_label(jv uri, jv label)
{
	const char *text = jv_string_value(uri), *at;
	size_t n;
	jv out;

	at = first_label(text, &n);
	out = jv_string_sized(text, (int)(at - text));
	out = jv_string_concat(out, label);
	out = jv_string_append_str(out, at + n);
	jv_free(uri);
	return out;
}

/* The value of one part, "Name=value", of a connection string; NULL when it
 * is not there.  Names have no case; a value may contain "=". */
static inline const char *
part_of(const char *text, const char *name, size_t *len)
{
	size_t n = strlen(name);

	while (*text) {
		size_t whole = strcspn(text, ";");

		if (whole > n && text[n] == '=' &&
		    !strncasecmp(text, name, n)) {
			*len = whole - n - 1;
			return text + n + 1;
		}
		text += whole + (text[whole] == ';');
	}
	return NULL;
}

/* The same as a value, null when absent or empty.  Borrows the endpoint. */
static inline jv
part_text(jv endpoint, const char *name)
{
	jv s = text_of(endpoint, "connectionString"), out = jv_null();
	size_t n = 0;
	const char *at =
	    is_text(s) ? part_of(jv_string_value(s), name, &n) : NULL;

	if (at && n)
		out = jv_string_sized(at, (int)n);
	jv_free(s);
	return out;
}

/* A connection string with another value for one of its parts; as it was when
 * it has no such part or value is null. */
static inline jv
with_part(jv string, const char *name, jv value)
{
	const char *text = jv_string_value(string), *at;
	size_t n = 0;
	jv out;

	at = part_of(text, name, &n);
	if (!at || !is_text(value)) {
		jv_free(value);
		return string;
	}
	out = jv_string_sized(text, (int)(at - text));
	out = jv_string_concat(out, value);
	out = jv_string_append_str(out, at + n);
	jv_free(string);
	return out;
}

/* One element of secrets(): the key in the part called name, or the place at
 * the end where it would go. */
static inline jv
secret_in(jv string, const char *name, jv from)
{
	const char *text = jv_string_value(string), *at;
	size_t n = 0, len = strlen(text);
	jv out = jv_object(), before, value = jv_null();

	at = part_of(text, name, &n);
	if (at) {
		before = jv_string_sized(text, (int)(at - text));
		if (n)
			value = jv_string_sized(at, (int)n);
	} else {
		before = jv_string_fmt("%s%s%s=", text,
		    len && text[len - 1] == ';' ? "" : ";", name);
		at = text + len;
	}
	out = put(out, "member", jv_string("connectionString"));
	out = put(out, "before", before);
	out = put(out, "after", jv_string(at + n));
	out = jv_object_set(out, jv_string("value"), value);
	jv_free(string);
	return put(out, "from", from);
}

/* {"type","names","apiVersion","action"}; action NULL: none. */
static inline jv
request_for(const char *type, jv names, const char *api, const char *action)
{
	jv out = put(jv_object(), "type", jv_string(type));

	out = put(out, "names", names);
	out = put(out, "apiVersion", jv_string(api));
	return put(out, "action", action ? jv_string(action) : jv_null());
}

/* An array of the one request, or what is wrong with it. */
static inline jv
only(jv request)
{
	return jv_is_valid(request) ? JV_ARRAY(request) : request;
}

static inline jv
fail(const char *text)
{
	return jv_invalid_with_msg(jv_string(text));
}

#endif
