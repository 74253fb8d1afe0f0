/*
 * sections.c: the text of tags, desired and reported properties: walking,
 * checking, merging, and the $metadata beside it (CONTRACT 13).
 *
 * All text here has passed json_scan(), so nothing is validated twice, and
 * nesting is bounded by JSON_DEPTH, so recursion is.
 */
#include "registry.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

enum {
	MAX_KEY = 1024,
	MAX_STRING = 4096,
	MAX_NESTING = 10,
};
#define MIN_INTEGER "4503599627370496" /* without its sign */
#define MAX_INTEGER "4503599627370495"

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const bool in_string[256] = { ['"'] = true, ['\\'] = true };

static const char *
past_string(const char *p)
{
	for (p++;; p += 2) {
		while (!in_string[(unsigned char)*p])
			p++;
		if (*p == '"')
			return p + 1;
	}
}

/* Quickly, since each level of nesting is walked over again by the one above.
 */
static const char *
past_value(const char *p, const char *end)
{
	struct json_walk w = { .p = p, .end = end };

	json_skip(&w);
	return w.p;
}

void
each_begin(struct each *e, struct span value)
{
	bool list = value.len && (*value.at == '{' || *value.at == '[');

	e->p = list ? value.at + 1 : "";
	e->end = list ? value.at + value.len - 1 : e->p;
	e->object = list && *value.at == '{';
	e->name = e->value = (struct span){ "", 0 };
}

bool
each_next(struct each *e)
{
	const char *p = e->p;

	while (p < e->end && (is_blank(*p) || *p == ','))
		p++;
	if (p >= e->end)
		return false;
	if (e->object) {
		const char *stop = past_string(p);

		e->name = (struct span){ p + 1, (size_t)(stop - p) - 2 };
		for (p = stop; is_blank(*p) || *p == ':'; p++)
			;
	}
	e->value.at = p;
	p = past_value(p, e->end);
	e->value.len = (size_t)(p - e->value.at);
	e->p = p;
	return true;
}

/* A name without quotes, as a span with them: it came from between two. */
static struct span
quoted(struct span name)
{
	return (struct span){ name.at - 1, name.len + 2 };
}

bool
name_is(struct span name, const char *text)
{
	size_t len = strlen(text);
	char *plain;
	bool same;

	if (name.len == len)
		return strncasecmp(name.at, text, len) == 0;
	if (name.len < len || !memchr(name.at, '\\', name.len))
		return false;
	plain = json_string(quoted(name));
	same = plain && strcasecmp(plain, text) == 0;
	free(plain);
	return same;
}

/* Two names that are the same, however spelt; case matters. */
static bool
same_name(struct span a, struct span b)
{
	if (a.len == b.len && memcmp(a.at, b.at, a.len) == 0)
		return true;
	if (!memchr(a.at, '\\', a.len) && !memchr(b.at, '\\', b.len))
		return false;
	return json_same(quoted(a), quoted(b));
}

/* The last of that name, as the service's own reader would take it. */
static struct span
find_name(struct span object, struct span name)
{
	struct span found = { NULL, 0 };
	struct each e;

	if (!object.len || *object.at != '{')
		return found;
	for (each_begin(&e, object); each_next(&e);)
		if (same_name(e.name, name))
			found = e.value;
	return found;
}

struct span
object_get(struct span object, const char *name)
{
	struct span found = { NULL, 0 };
	struct each e;

	if (!object.len || *object.at != '{')
		return found;
	for (each_begin(&e, object); each_next(&e);)
		if (name_is(e.name, name))
			found = e.value;
	return found;
}

int
copy_string(struct span value, char *out, size_t size)
{
	struct buf text = BUF_INIT;
	int result = -1;

	out[0] = '\0';
	if (json_kind_of(value) == JSON_NULL)
		return 0;
	if (json_kind_of(value) != JSON_STRING)
		return -1;
	if (!memchr(value.at, '\\', value.len)) {
		if (value.len - 2 >= size)
			return -1;
		memcpy(out, value.at + 1, value.len - 2);
		out[value.len - 2] = '\0';
		return 0;
	}
	if (json_decode(value, &text) == 0 && text.len < size) {
		memcpy(out, text.len ? text.at : "", text.len);
		out[text.len] = '\0';
		result = 0;
	}
	buf_free(&text);
	return result;
}

/* Bytes of UTF-8 that a string (without its quotes) stands for. */
static size_t
string_bytes(struct span s)
{
	size_t n = 0;

	if (!memchr(s.at, '\\', s.len))
		return s.len;
	for (size_t i = 0; i < s.len; i++, n++) {
		unsigned long c;

		if (s.at[i] != '\\')
			continue;
		i++;
		if (s.at[i] != 'u')
			continue;
		c = strtoul((char[]){ s.at[i + 1], s.at[i + 2], s.at[i + 3],
				s.at[i + 4], '\0' },
		    NULL, 16);
		i += 4;
		/* Either half of a pair counts two of its four. */
		if (c >= 0xd800 && c <= 0xdfff)
			n += 1;
		else
			n += c >= 0x800 ? 2 : c >= 0x80;
	}
	return n;
}

struct check {
	const char *what;
	size_t size;
	bool has_null, has_extra;
	struct refusal *f;
};

static int
check_name(struct check *c, struct span name)
{
	struct buf text = BUF_INIT;
	int result = 0;

	if (memchr(name.at, '\\', name.len)) {
		if (json_decode(quoted(name), &text))
			result = -1;
		name = buf_peek(&text);
	}
	if (name.len > MAX_KEY)
		result = -1;
	for (size_t i = 0; result == 0 && i < name.len; i++) {
		unsigned char u = (unsigned char)name.at[i];

		if (u <= 0x20 || u == 0x7f || u == '.' || u == '$' ||
		    u == '#' ||
		    (u == 0xc2 && (unsigned char)name.at[i + 1] < 0xa0))
			result = -1;
	}
	if (result)
		(void)refuse(c->f, ARGUMENT_INVALID,
		    "%s: a property name is longer than %d bytes or holds a "
		    "character that is not allowed: '%.*s'",
		    c->what, MAX_KEY, name.len > 64 ? 64 : (int)name.len,
		    name.at);
	c->size += name.len;
	buf_free(&text);
	return result;
}

static int
check_number(struct check *c, struct span n)
{
	struct span digits = n;
	const char *limit = MAX_INTEGER;

	c->size += 8;
	for (size_t i = 0; i < n.len; i++)
		if (n.at[i] == '.' || n.at[i] == 'e' || n.at[i] == 'E')
			return 0;
	if (*n.at == '-') {
		limit = MIN_INTEGER;
		digits.at++;
		digits.len--;
	}
	if (digits.len < strlen(limit) ||
	    (digits.len == strlen(limit) &&
		memcmp(digits.at, limit, digits.len) <= 0))
		return 0;
	return refuse(c->f, ARGUMENT_INVALID,
	    "%s: the integer %.*s is out of range (-%s to %s)", c->what,
	    n.len > 40 ? 40 : (int)n.len, n.at, MIN_INTEGER, MAX_INTEGER);
}

static bool
is_extra(struct span name)
{
	/* Few names begin with either, and this is asked of all. */
	return (*name.at == '$' || *name.at == '\\') &&
	       (name_is(name, "$metadata") || name_is(name, "$version"));
}

static const char *
past_between(const char *p)
{
	static const bool between[256] = { [' '] = true,
		['\t'] = true,
		['\n'] = true,
		['\r'] = true,
		[','] = true,
		[':'] = true };

	while (between[(unsigned char)*p])
		p++;
	return p;
}

/* Where a name ends that needs no closer look; else NULL. */
static const char *
past_plain_name(const char *p)
{
	const char *from = ++p;

	while (isalnum((unsigned char)*p) || *p == '_' || *p == '-')
		p++;
	return *p == '"' && p - from <= MAX_KEY ? p + 1 : NULL;
}

/* Goes over the text once, nesting and all; *p ends after the value. */
static int
check_value(
    struct check *c, const char **at, const char *end, int depth, bool in_array)
{
	const char *p = *at, *stop;
	size_t bytes;

	switch (*p) {
	case '"':
		for (stop = p + 1; !in_string[(unsigned char)*stop]; stop++)
			;
		bytes = (size_t)(stop - p) - 1;
		if (*stop++ != '"') {
			stop = past_string(p);
			bytes = string_bytes(
			    (struct span){ p + 1, (size_t)(stop - p) - 2 });
		}
		c->size += bytes;
		*at = stop;
		if (bytes > MAX_STRING)
			return refuse(c->f, ARGUMENT_INVALID,
			    "%s: a string value is longer than %d bytes",
			    c->what, MAX_STRING);
		return 0;
	case '[':
		for (p = past_between(p + 1); *p != ']'; p = past_between(p))
			if (check_value(c, &p, end, depth, true))
				return -1;
		*at = p + 1;
		return 0;
	case '{':
		break;
	default:
		*at = stop = past_value(p, end);
		if (*p == 't' || *p == 'f') {
			c->size += 4;
			return 0;
		}
		if (*p != 'n')
			return check_number(
			    c, (struct span){ p, (size_t)(stop - p) });
		if (in_array)
			return refuse(c->f, ARGUMENT_INVALID,
			    "%s: null is not allowed in an array", c->what);
		c->has_null = true;
		return 0;
	}
	if (depth > MAX_NESTING)
		return refuse(c->f, ARGUMENT_INVALID,
		    "%s: objects are nested deeper than %d levels", c->what,
		    MAX_NESTING);
	for (p = past_between(p + 1); *p != '}'; p = past_between(p)) {
		struct span name = { p + 1, 0 };
		bool plain = (stop = past_plain_name(p)) != NULL;

		if (!plain)
			stop = past_string(p);
		name.len = (size_t)(stop - p) - 2;
		p = past_between(stop);
		if (depth == 0 && is_extra(name)) {
			c->has_extra = true;
			p = past_value(p, end);
			continue;
		}
		if (plain)
			c->size += name.len;
		else if (check_name(c, name))
			return -1;
		if (check_value(c, &p, end, depth + 1, in_array))
			return -1;
	}
	*at = p + 1;
	return 0;
}

int
section_check(const char *what, struct span value, size_t max,
    bool *needs_cleaning, struct refusal *f)
{
	struct check c = { .what = what, .f = f };
	const char *p = value.at;

	if (json_kind_of(value) != JSON_OBJECT)
		return refuse(
		    f, ARGUMENT_INVALID, "%s must be an object", what);
	if (check_value(&c, &p, value.at + value.len, 0, false))
		return -1;
	if (c.size > max)
		return refuse(f, ARGUMENT_INVALID,
		    "%s: the size of %zu bytes exceeds the limit of %zu", what,
		    c.size, max);
	*needs_cleaning = c.has_null || c.has_extra;
	return 0;
}

/* Without white space between tokens: a line of devices.txt is one line. */
static void
flatten(struct span value, struct buf *out)
{
	const char *p = value.at, *end = value.at + value.len;

	while (p < end) {
		const char *from = p;

		if (*p == '"')
			p = past_string(p);
		else
			p++;
		if (!is_blank(*from))
			buf_add(out, from, (size_t)(p - from));
	}
}

static bool
has_line_end(struct span value)
{
	return memchr(value.at, '\n', value.len) ||
	       memchr(value.at, '\r', value.len);
}

int
section_take(const char *what, struct span *value, size_t max, struct buf *room,
    struct refusal *f)
{
	bool cleaning = false;

	if (!value->at)
		return 0;
	if (section_check(what, *value, max, &cleaning, f))
		return -1;
	if (!cleaning && !has_line_end(*value))
		return 0;
	buf_clear(room);
	if (cleaning)
		section_merge(span_of("{}"), *value, room);
	if (has_line_end(cleaning ? buf_peek(room) : *value)) {
		struct buf flat = BUF_INIT;

		flatten(cleaning ? buf_peek(room) : *value, &flat);
		buf_free(room);
		*room = flat;
	}
	*value = buf_peek(room);
	return 0;
}

static void
add_member(struct buf *out, struct span name)
{
	if (out->at[out->len - 1] != '{')
		buf_char(out, ',');
	buf_char(out, '"');
	buf_span(out, name);
	buf_text(out, "\":");
}

static bool
is_object(struct span value)
{
	return value.at && value.len && *value.at == '{';
}

static bool
is_null(struct span value)
{
	return json_kind_of(value) == JSON_NULL;
}

/* RFC 7396, on text: what is not named keeps its bytes. */
static void
merge(struct span old, struct span patch, int depth, struct buf *out)
{
	struct each e;

	buf_char(out, '{');
	for (each_begin(&e, old); each_next(&e);) {
		struct span change = find_name(patch, e.name);

		if (change.at && is_null(change))
			continue;
		add_member(out, e.name);
		if (!change.at)
			buf_span(out, e.value);
		else if (is_object(change))
			merge(is_object(e.value) ? e.value : span_of("{}"),
			    change, depth + 1, out);
		else
			buf_span(out, change);
	}
	for (each_begin(&e, patch); each_next(&e);) {
		if (is_null(e.value) || find_name(old, e.name).at ||
		    (depth == 0 && e.name.len && *e.name.at == '$'))
			continue;
		add_member(out, e.name);
		if (is_object(e.value))
			merge(span_of("{}"), e.value, depth + 1, out);
		else
			buf_span(out, e.value);
	}
	buf_char(out, '}');
}

void
section_merge(struct span old, struct span patch, struct buf *out)
{
	merge(old, patch, 0, out);
}

void
add_decimal(struct buf *out, int64_t n)
{
	char digits[24], *at = digits + sizeof digits;

	do
		*--at = (char)('0' + n % 10);
	while ((n /= 10) > 0);
	buf_add(out, at, (size_t)(digits + sizeof digits - at));
}

static void
add_stamp(const struct stamp *stamp, struct buf *out)
{
	buf_text(out, "{\"$lastUpdated\":\"");
	buf_text(out, stamp->time);
	buf_char(out, '"');
	if (stamp->version) {
		buf_text(out, ",\"$lastUpdatedVersion\":");
		add_decimal(out, stamp->version);
	}
}

/* The stamp goes on what the patch names and on the way to it; an array is
 * one thing, without stamps inside. */
void
metadata_merge(struct span old, struct span patch, const struct stamp *stamp,
    struct buf *out)
{
	struct each e;

	add_stamp(stamp, out);
	for (each_begin(&e, old); each_next(&e);) {
		struct span change = find_name(patch, e.name);

		if (*e.name.at == '$' || (change.at && is_null(change)))
			continue;
		add_member(out, e.name);
		if (!change.at) {
			buf_span(out, e.value);
		} else if (is_object(change)) {
			metadata_merge(e.value, change, stamp, out);
		} else {
			add_stamp(stamp, out);
			buf_char(out, '}');
		}
	}
	for (each_begin(&e, patch); each_next(&e);) {
		if (is_null(e.value) || (e.name.len && *e.name.at == '$') ||
		    find_name(old, e.name).at)
			continue;
		add_member(out, e.name);
		if (is_object(e.value)) {
			metadata_merge(span_of("{}"), e.value, stamp, out);
		} else {
			add_stamp(stamp, out);
			buf_char(out, '}');
		}
	}
	buf_char(out, '}');
}

/* The stamp goes on what is other than before, and on the way to it. */
void
metadata_follow(struct span old_meta, struct span old, struct span now,
    const struct stamp *stamp, struct buf *out)
{
	struct each e;

	add_stamp(stamp, out);
	for (each_begin(&e, now); each_next(&e);) {
		struct span before = find_name(old, e.name),
			    meta = find_name(old_meta, e.name);

		if (*e.name.at == '$')
			continue;
		add_member(out, e.name);
		if (before.at && meta.at && json_same(before, e.value)) {
			buf_span(out, meta);
		} else if (is_object(e.value)) {
			metadata_follow(meta.at ? meta : span_of("{}"),
			    is_object(before) ? before : span_of("{}"), e.value,
			    stamp, out);
		} else {
			add_stamp(stamp, out);
			buf_char(out, '}');
		}
	}
	buf_char(out, '}');
}
