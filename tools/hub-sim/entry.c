/*
 * entry.c: what a body or a line says about an identity and its twin
 * (CONTRACT 12, 13); identity.c makes it so.
 */
#include "registry.h"

#include <stdio.h>
#include <strings.h>

enum { MAX_ID = 128, MAX_REASON = 128 };

int
id_check(const char *id, const char *what, struct refusal *f)
{
	size_t len = strlen(id);

	if (len == 0 || len > MAX_ID ||
	    strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		       "0123456789-.+%_#*?!(),=@$':;") != len)
		return refuse(f, ARGUMENT_INVALID,
		    "The %s '%.130s' is empty, longer than %d characters or "
		    "holds a character that is not allowed",
		    what, id, MAX_ID);
	return 0;
}

static int
wrong(struct refusal *f, struct span name)
{
	return refuse(f, NOT_PARSED, "Error converting the value of '%.*s'",
	    name.len > 60 ? 60 : (int)name.len, name.at);
}

static bool
is_null(struct span value)
{
	return json_kind_of(value) == JSON_NULL;
}

static bool
thumbprint_is_good(const char *t)
{
	size_t len = strlen(t);

	return len == 0 || ((len == 40 || len == 64 ||
				sim_doubt_is("thumbprint-length", "any")) &&
			       strspn(t, "0123456789abcdefABCDEF") == len);
}

static bool
has_lower(const char *text)
{
	return text[strcspn(text, "abcdef")] != '\0';
}

static void
upper(char *text)
{
	for (; *text; text++)
		if (*text >= 'a' && *text <= 'f')
			*text = (char)(*text - 'a' + 'A');
}

static int
read_type(struct span value, enum auth *auth)
{
	static const char *const types[] = { "sas", "selfSigned",
		"certificateAuthority", "none" };
	char text[32];

	if (copy_string(value, text, sizeof text))
		return -1;
	for (int i = 0; i < 4; i++)
		if (strcasecmp(text, types[i]) == 0) {
			*auth = (enum auth)i;
			return 1;
		}
	return *text ? -1 : 0;
}

static int
read_pair(struct span object, const char *first, const char *second, char *out1,
    char *out2, size_t size)
{
	struct span a = object_get(object, first),
		    b = object_get(object, second);

	if ((a.at && copy_string(a, out1, size)) ||
	    (b.at && copy_string(b, out2, size)))
		return -1;
	return 0;
}

static int
read_authentication(struct span value, struct entry *e, struct refusal *f)
{
	int typed = 0;
	struct each m;

	if (is_null(value))
		return 0;
	e->has_auth = true;
	e->auth = AUTH_SAS;
	for (each_begin(&m, value); each_next(&m);) {
		if (name_is(m.name, "type")) {
			typed = read_type(m.value, &e->auth);
			if (typed < 0)
				return refuse(f, ARGUMENT_INVALID,
				    "Unknown authentication type");
		} else if (name_is(m.name, "symmetricKey")) {
			if (read_pair(m.value, "primaryKey", "secondaryKey",
				e->key1, e->key2, sizeof e->key1))
				return refuse(f, ARGUMENT_INVALID,
				    "Invalid device key length");
		} else if (name_is(m.name, "x509Thumbprint")) {
			if (read_pair(m.value, "primaryThumbprint",
				"secondaryThumbprint", e->thumb1, e->thumb2,
				sizeof e->thumb1))
				return refuse(f, ARGUMENT_INVALID,
				    "StringIsNotThumbprint");
		}
	}
	if (!typed && (*e->thumb1 || *e->thumb2))
		e->auth = AUTH_SELF_SIGNED;
	if (e->auth != AUTH_SAS) {
		*e->key1 = *e->key2 = '\0';
	} else if (!*e->key1 != !*e->key2) {
		return refuse(f, ARGUMENT_INVALID,
		    "Either no keys or both keys can be set");
	} else if (*e->key1 &&
		   (!sim_key_good(e->key1) || !sim_key_good(e->key2))) {
		return refuse(f, ARGUMENT_INVALID, "Invalid device key length");
	}
	if (e->auth != AUTH_SELF_SIGNED)
		*e->thumb1 = *e->thumb2 = '\0';
	if (!thumbprint_is_good(e->thumb1) || !thumbprint_is_good(e->thumb2))
		return refuse(f, ARGUMENT_INVALID, "StringIsNotThumbprint");
	if ((has_lower(e->thumb1) || has_lower(e->thumb2)) &&
	    sim_doubt_is("thumbprint-case", "upper")) {
		upper(e->thumb1);
		upper(e->thumb2);
	}
	return 0;
}

/* Characters of a JSON string as UTF-16 counts them. */
static size_t
string_units(struct span s)
{
	size_t n = 0;

	for (size_t i = 1; i + 1 < s.len; i++) {
		unsigned char c = (unsigned char)s.at[i];

		if (c == '\\')
			i += s.at[i + 1] == 'u' ? 5 : 1;
		else if (c >= 0xf0)
			n++;
		else if ((c & 0xc0) == 0x80)
			continue;
		n++;
	}
	return n;
}

static int
read_text(struct span value, struct span *into)
{
	if (is_null(value))
		return 0;
	if (json_kind_of(value) != JSON_STRING)
		return -1;
	*into = value;
	return 0;
}

static int
read_status(struct span value, bool *disabled)
{
	char text[16];

	if (copy_string(value, text, sizeof text))
		return -1;
	*disabled = strcasecmp(text, "disabled") == 0;
	return *text && !*disabled && strcasecmp(text, "enabled") != 0 ? -1 : 0;
}

static int
read_properties(struct span value, struct entry *e)
{
	struct each m;

	if (!is_null(value) && json_kind_of(value) != JSON_OBJECT)
		return -1;
	for (each_begin(&m, value); each_next(&m);) {
		if (is_null(m.value))
			continue;
		if (name_is(m.name, "desired"))
			e->desired = m.value;
		else if (name_is(m.name, "reported"))
			e->reported = m.value;
	}
	return 0;
}

static int
read_parents(struct span value, struct entry *e)
{
	struct each m;

	if (is_null(value))
		return 0;
	if (json_kind_of(value) != JSON_ARRAY)
		return -1;
	each_begin(&m, value);
	return each_next(&m) ? copy_string(m.value, e->parent, sizeof e->parent)
			     : 0;
}

static int
read_edge(struct span value, struct entry *e)
{
	struct span edge = object_get(value, "iotEdge");

	if (!edge.at || is_null(edge))
		return 0;
	if (json_kind_of(edge) != JSON_TRUE && json_kind_of(edge) != JSON_FALSE)
		return -1;
	e->has_edge = true;
	e->edge = json_kind_of(edge) == JSON_TRUE;
	return 0;
}

/* The official enumeration has numbers too (CONTRACT 16.3). */
static int
read_mode(struct span value, struct entry *e)
{
	if (json_kind_of(value) != JSON_NUMBER)
		return copy_string(value, e->mode, sizeof e->mode);
	(void)snprintf(e->mode, sizeof e->mode, "%.*s",
	    value.len > 8 ? 8 : (int)value.len, value.at);
	return 0;
}

static int
read_member(
    struct each *m, enum entry_form form, struct entry *e, struct refusal *f)
{
	struct span name = m->name, value = m->value;
	int bad = 0;

	if (name_is(name, form == ENTRY_LINE ? "id" : "deviceId")) {
		bad = copy_string(value, e->id, sizeof e->id);
	} else if (name_is(name, "moduleId") && form != ENTRY_DEVICE) {
		bad = copy_string(value, e->module, sizeof e->module);
		e->has_module = *e->module != '\0' || bad;
	} else if (name_is(name, "authentication")) {
		return read_authentication(value, e, f);
	} else if (name_is(name, "status")) {
		bad = read_status(value, &e->disabled);
		e->has_status = !is_null(value);
	} else if (name_is(name, "statusReason")) {
		bad = read_text(value, &e->reason);
	} else if (name_is(name, "capabilities")) {
		bad = read_edge(value, e);
	} else if (name_is(name, "deviceScope")) {
		bad = copy_string(value, e->scope, sizeof e->scope);
	} else if (name_is(name, "parentScopes")) {
		bad = read_parents(value, e);
	} else if (name_is(name, "managedBy")) {
		bad = read_text(value, &e->managed);
	} else if (form != ENTRY_LINE) {
		return 0;
	} else if (name_is(name, "eTag")) {
		bad = copy_string(value, e->etag, sizeof e->etag);
	} else if (name_is(name, "twinETag")) {
		bad = copy_string(value, e->twin_etag, sizeof e->twin_etag);
	} else if (name_is(name, "importMode")) {
		bad = read_mode(value, e);
	} else if (name_is(name, "tags")) {
		e->tags = value;
		if (is_null(value))
			e->tags.at = NULL;
	} else if (name_is(name, "properties")) {
		bad = read_properties(value, e);
	}
	return bad ? wrong(f, name) : 0;
}

void
entry_without_managed(struct entry *e)
{
	if (e->managed.at && sim_doubt_is("bulk-module-managed-by", "dropped"))
		e->managed = (struct span){ NULL, 0 };
}

int
entry_read(struct span object, enum entry_form form, struct entry *e,
    struct refusal *f)
{
	struct each m;

	memset(e, 0, sizeof *e);
	if (json_kind_of(object) != JSON_OBJECT)
		return refuse(f, NOT_PARSED, "An object was expected");
	for (each_begin(&m, object); each_next(&m);)
		if (read_member(&m, form, e, f))
			return -1;
	if (e->reason.at && string_units(e->reason) > MAX_REASON)
		return refuse(f, ARGUMENT_INVALID,
		    "The status reason is longer than %d characters",
		    MAX_REASON);
	return 0;
}
