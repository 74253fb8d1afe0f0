/* exprcall.c: the functions that need nothing but their arguments. */
#include "exprtree.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "buf.h"
#include "doc.h"
#include "msg.h"

/* args are all known; consumed.  expr_unknown() leaves the call as it is. */
typedef jv pure_fn(const char *name, jv args);

jv
expr_bad_args(const char *name, jv args)
{
	jv_free(args);
	return jv_fail(
	    BAD_DATA, NULL, "%s(): wrong number or kind of arguments", name);
}

static jv
arg(jv args, int i) /* borrows args; null when absent */
{
	if (i >= jv_array_length(jv_copy(args)))
		return jv_null();
	return jv_array_get(jv_copy(args), i);
}

static int
arg_count(jv args)
{
	return jv_array_length(jv_copy(args));
}

static bool
arg_is(jv args, int i, jv_kind kind)
{
	jv a = arg(args, i);
	bool yes = jv_get_kind(a) == kind;

	jv_free(a);
	return yes && i < arg_count(args);
}

static double
arg_number(jv args, int i)
{
	jv a = arg(args, i);
	double n = jv_number_value(a);

	jv_free(a);
	return n;
}

static bool
all_are(jv args, jv_kind kind)
{
	bool yes = true;

	jv_array_foreach(args, i, a) {
		yes = yes && jv_get_kind(a) == kind;
		jv_free(a);
	}
	return yes;
}

static jv
jv_bool_of(bool yes)
{
	return yes ? jv_true() : jv_false();
}

/* As the service writes a value into text; consumes. */
jv
expr_text_of(jv value)
{
	switch (jv_get_kind(value)) {
	case JV_KIND_STRING:
		if (strncmp(jv_string_value(value), DOC_NUMBER,
			strlen(DOC_NUMBER)) == 0) {
			jv text = jv_string(
			    jv_string_value(value) + strlen(DOC_NUMBER));

			jv_free(value);
			return text;
		}
		return value;
	case JV_KIND_TRUE:
		jv_free(value);
		return jv_string("True");
	case JV_KIND_FALSE:
		jv_free(value);
		return jv_string("False");
	case JV_KIND_NULL:
		jv_free(value);
		return jv_string("");
	case JV_KIND_NUMBER:
	case JV_KIND_ARRAY:
	case JV_KIND_OBJECT: {
		struct buf b = BUF_INIT;
		jv text;

		doc_compact(value, &b);
		text = jv_string_sized(b.at, (int)b.len);
		buf_wipe(&b);
		return text;
	}
	default:
		return value;
	}
}

bool
expr_is_scalar(jv_kind k)
{
	return k == JV_KIND_STRING || k == JV_KIND_NUMBER ||
	       k == JV_KIND_TRUE || k == JV_KIND_FALSE;
}

static jv
f_concat(const char *name, jv args)
{
	jv out;

	if (arg_is(args, 0, JV_KIND_ARRAY)) {
		if (!all_are(args, JV_KIND_ARRAY))
			return expr_bad_args(name, args);
		out = jv_array();
		jv_array_foreach(args, i, a)
			out = jv_array_concat(out, a);
		jv_free(args);
		return out;
	}
	out = jv_string("");
	jv_array_foreach(args, i, a) {
		if (!expr_is_scalar(jv_get_kind(a))) {
			jv_free(a);
			jv_free(out);
			return expr_bad_args(name, args);
		}
		out = jv_string_concat(out, expr_text_of(a));
	}
	jv_free(args);
	return out;
}

static jv
f_format(const char *name, jv args)
{
	jv form = arg(args, 0);
	struct buf b = BUF_INIT;
	jv out;

	if (jv_get_kind(form) != JV_KIND_STRING) {
		jv_free(form);
		return expr_bad_args(name, args);
	}
	for (const char *c = jv_string_value(form); *c; c++) {
		char *end;
		long n;
		jv part;

		if ((*c == '{' || *c == '}') && c[1] == *c) {
			buf_char(&b, *c++);
			continue;
		}
		if (*c != '{') {
			buf_char(&b, *c);
			continue;
		}
		n = strtol(c + 1, &end, 10);
		if (end == c + 1 || n < 0 || n > 1000 || *end == '\0') {
			buf_wipe(&b);
			jv_free(form);
			return expr_bad_args(name, args);
		}
		if (*end != '}') { /* {0:N2}: .NET's formats are not ours */
			buf_wipe(&b);
			jv_free(form);
			jv_free(args);
			return expr_unknown();
		}
		if (n + 1 >= arg_count(args)) {
			buf_wipe(&b);
			jv_free(form);
			return expr_bad_args(name, args);
		}
		part = expr_text_of(arg(args, (int)n + 1));
		buf_text(&b, jv_string_value(part));
		jv_free(part);
		c = end;
	}
	out = jv_string_sized(b.len ? b.at : "", (int)b.len);
	buf_wipe(&b);
	jv_free(form);
	jv_free(args);
	return out;
}

static jv
f_case(const char *name, jv args)
{
	bool up = strcmp(name, "toupper") == 0;
	jv s;
	char *text;

	if (!arg_is(args, 0, JV_KIND_STRING) || arg_count(args) != 1)
		return expr_bad_args(name, args);
	s = arg(args, 0);
	text = xstrdup(jv_string_value(s));
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < 0x80)
			*c = (char)(up ? toupper((unsigned char)*c)
				       : tolower((unsigned char)*c));
	jv_free(s);
	jv_free(args);
	s = jv_string(text);
	free(text);
	return s;
}

/* Byte where character n begins, or the end. */
static const char *
character(const char *s, long n)
{
	while (n > 0 && *s) {
		s++;
		while (((unsigned char)*s & 0xc0) == 0x80)
			s++;
		n--;
	}
	return s;
}

static long
characters(const char *s)
{
	long n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static jv
string_part(jv s, long from, long count)
{
	const char *text = jv_string_value(s);
	const char *a = character(text, from), *b = character(a, count);
	jv part = jv_string_sized(a, (int)(b - a));

	jv_free(s);
	return part;
}

static jv
f_substring(const char *name, jv args)
{
	jv s = arg(args, 0);
	long len, from, count;

	if (jv_get_kind(s) != JV_KIND_STRING ||
	    !arg_is(args, 1, JV_KIND_NUMBER) ||
	    (arg_count(args) > 2 && !arg_is(args, 2, JV_KIND_NUMBER))) {
		jv_free(s);
		return expr_bad_args(name, args);
	}
	len = characters(jv_string_value(s));
	from = (long)arg_number(args, 1);
	count = arg_count(args) > 2 ? (long)arg_number(args, 2) : len - from;
	jv_free(args);
	if (from < 0 || count < 0 || from + count > len) {
		jv_free(s);
		return jv_fail(BAD_DATA, NULL,
		    "%s(): the part lies outside of the string", name);
	}
	return string_part(s, from, count);
}

static jv
f_take_skip(const char *name, jv args)
{
	bool take = strcmp(name, "take") == 0;
	jv v = arg(args, 0);
	jv_kind k = jv_get_kind(v);
	long n, len;

	if ((k != JV_KIND_STRING && k != JV_KIND_ARRAY) ||
	    !arg_is(args, 1, JV_KIND_NUMBER)) {
		jv_free(v);
		return expr_bad_args(name, args);
	}
	n = (long)arg_number(args, 1);
	len = k == JV_KIND_STRING ? characters(jv_string_value(v))
				  : jv_array_length(jv_copy(v));
	n = n < 0 ? 0 : n > len ? len : n;
	jv_free(args);
	if (k == JV_KIND_STRING)
		return take ? string_part(v, 0, n) : string_part(v, n, len - n);
	return take ? jv_array_slice(v, 0, (int)n)
		    : jv_array_slice(v, (int)n, (int)len);
}

static jv
f_replace(const char *name, jv args)
{
	jv s, from, to, out;
	struct buf b = BUF_INIT;
	size_t step;
	const char *c;

	if (!all_are(args, JV_KIND_STRING) || arg_count(args) != 3)
		return expr_bad_args(name, args);
	s = arg(args, 0);
	from = arg(args, 1);
	to = arg(args, 2);
	step = strlen(jv_string_value(from));
	for (c = jv_string_value(s); *c;) {
		if (step && strncmp(c, jv_string_value(from), step) == 0) {
			buf_text(&b, jv_string_value(to));
			c += step;
		} else {
			buf_char(&b, *c++);
		}
	}
	out = jv_string_sized(b.len ? b.at : "", (int)b.len);
	buf_wipe(&b);
	jv_free(s);
	jv_free(from);
	jv_free(to);
	jv_free(args);
	return out;
}

static jv
f_split(const char *name, jv args)
{
	jv s = arg(args, 0), seps = arg(args, 1), out = jv_array();
	const char *c, *from;

	if (jv_get_kind(seps) == JV_KIND_STRING)
		seps = jv_array_append(jv_array(), seps);
	if (jv_get_kind(s) != JV_KIND_STRING ||
	    jv_get_kind(seps) != JV_KIND_ARRAY ||
	    !all_are(seps, JV_KIND_STRING)) {
		jv_free(s);
		jv_free(seps);
		jv_free(out);
		return expr_bad_args(name, args);
	}
	for (c = from = jv_string_value(s);;) {
		size_t step = 0;

		jv_array_foreach(seps, i, sep) {
			size_t n = strlen(jv_string_value(sep));

			if (step == 0 && n &&
			    strncmp(c, jv_string_value(sep), n) == 0)
				step = n;
			jv_free(sep);
		}
		if (step || *c == '\0') {
			out = jv_array_append(
			    out, jv_string_sized(from, (int)(c - from)));
			if (*c == '\0')
				break;
			c += step;
			from = c;
		} else {
			c++;
		}
	}
	jv_free(s);
	jv_free(seps);
	jv_free(args);
	return out;
}

static jv
f_join(const char *name, jv args)
{
	jv list, sep, out;

	if (!arg_is(args, 0, JV_KIND_ARRAY) || !arg_is(args, 1, JV_KIND_STRING))
		return expr_bad_args(name, args);
	list = arg(args, 0);
	sep = arg(args, 1);
	out = jv_string("");
	jv_array_foreach(list, i, a) {
		if (i > 0)
			out = jv_string_concat(out, jv_copy(sep));
		out = jv_string_concat(out, expr_text_of(a));
	}
	jv_free(list);
	jv_free(sep);
	jv_free(args);
	return out;
}

static jv
f_length(const char *name, jv args)
{
	jv v = arg(args, 0);
	long n;

	switch (jv_get_kind(v)) {
	case JV_KIND_STRING:
		n = characters(jv_string_value(v));
		break;
	case JV_KIND_ARRAY:
		n = jv_array_length(jv_copy(v));
		break;
	case JV_KIND_OBJECT:
		n = jv_object_length(jv_copy(v));
		break;
	default:
		jv_free(v);
		return expr_bad_args(name, args);
	}
	jv_free(v);
	jv_free(args);
	return jv_number((double)n);
}

static jv
f_trim(const char *name, jv args)
{
	jv s = arg(args, 0), out;
	const char *a, *b;

	if (jv_get_kind(s) != JV_KIND_STRING) {
		jv_free(s);
		return expr_bad_args(name, args);
	}
	a = jv_string_value(s);
	b = a + strlen(a);
	while (a < b && isspace((unsigned char)*a))
		a++;
	while (b > a && isspace((unsigned char)b[-1]))
		b--;
	out = jv_string_sized(a, (int)(b - a));
	jv_free(s);
	jv_free(args);
	return out;
}

static jv
f_string(const char *name, jv args)
{
	jv v = arg(args, 0);

	if (arg_count(args) != 1) {
		jv_free(v);
		return expr_bad_args(name, args);
	}
	jv_free(args);
	return expr_text_of(v);
}

static jv
f_int(const char *name, jv args)
{
	jv v = arg(args, 0);

	if (jv_get_kind(v) == JV_KIND_STRING) {
		char *end;
		double n;

		errno = 0;
		n = (double)strtoll(jv_string_value(v), &end, 10);
		if (end != jv_string_value(v) && *end == '\0' && errno == 0) {
			jv_free(v);
			v = jv_number(n);
		}
	}
	if (jv_get_kind(v) != JV_KIND_NUMBER) {
		jv_free(v);
		return expr_bad_args(name, args);
	}
	jv_free(args);
	return v;
}

static jv
f_bool(const char *name, jv args)
{
	jv v = arg(args, 0);
	int yes = -1;

	switch (jv_get_kind(v)) {
	case JV_KIND_TRUE:
		yes = 1;
		break;
	case JV_KIND_FALSE:
		yes = 0;
		break;
	case JV_KIND_NUMBER:
		yes = jv_number_value(v) != 0;
		break;
	case JV_KIND_STRING:
		if (strcasecmp(jv_string_value(v), "true") == 0 ||
		    strcmp(jv_string_value(v), "1") == 0)
			yes = 1;
		else if (strcasecmp(jv_string_value(v), "false") == 0 ||
			 strcmp(jv_string_value(v), "0") == 0)
			yes = 0;
		break;
	default:
		break;
	}
	jv_free(v);
	if (yes < 0)
		return expr_bad_args(name, args);
	jv_free(args);
	return jv_bool_of(yes);
}

static jv
f_json(const char *name, jv args)
{
	jv s = arg(args, 0), v;

	if (jv_get_kind(s) != JV_KIND_STRING) {
		jv_free(s);
		return expr_bad_args(name, args);
	}
	v = doc_parse(span_of(jv_string_value(s)), NULL);
	jv_free(s);
	if (!jv_is_valid(v)) {
		jv_free(v);
		return expr_bad_args(name, args);
	}
	jv_free(args);
	return v;
}

static jv
f_base64(const char *name, jv args)
{
	jv s = arg(args, 0), out;
	struct buf b = BUF_INIT;

	if (jv_get_kind(s) != JV_KIND_STRING) {
		jv_free(s);
		return expr_bad_args(name, args);
	}
	buf_base64(&b, jv_string_value(s), strlen(jv_string_value(s)));
	out = jv_string_sized(b.len ? b.at : "", (int)b.len);
	buf_wipe(&b);
	jv_free(s);
	jv_free(args);
	return out;
}

static jv
f_base64_text(const char *name, jv args)
{
	static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqr"
				  "stuvwxyz0123456789+/";
	jv s = arg(args, 0), out;
	struct buf b = BUF_INIT;
	uint32_t bits = 0;
	int have = 0;

	if (jv_get_kind(s) != JV_KIND_STRING) {
		jv_free(s);
		return expr_bad_args(name, args);
	}
	for (const char *c = jv_string_value(s); *c && *c != '='; c++) {
		const char *at = strchr(set, *c);

		if (at == NULL) {
			buf_wipe(&b);
			jv_free(s);
			return expr_bad_args(name, args);
		}
		bits = bits << 6 | (uint32_t)(at - set);
		have += 6;
		if (have >= 8) {
			have -= 8;
			buf_char(&b, (char)(bits >> have & 0xff));
		}
	}
	out = jv_string_sized(b.len ? b.at : "", (int)b.len);
	buf_wipe(&b);
	jv_free(s);
	if (strcmp(name, "base64tojson") == 0) {
		jv_free(args);
		return f_json(name, jv_array_append(jv_array(), out));
	}
	jv_free(args);
	return out;
}

static jv
f_uri_component(const char *name, jv args)
{
	jv s = arg(args, 0), out;
	struct buf b = BUF_INIT;

	if (jv_get_kind(s) != JV_KIND_STRING) {
		jv_free(s);
		return expr_bad_args(name, args);
	}
	buf_url(&b, jv_string_value(s), strlen(jv_string_value(s)));
	out = jv_string_sized(b.len ? b.at : "", (int)b.len);
	buf_free(&b);
	jv_free(s);
	jv_free(args);
	return out;
}

static jv
f_constant(const char *name, jv args)
{
	jv_free(args);
	return *name == 't' ? jv_true() : *name == 'f' ? jv_false() : jv_null();
}

static jv
f_equals(const char *name, jv args)
{
	jv a, b;

	if (arg_count(args) != 2)
		return expr_bad_args(name, args);
	a = arg(args, 0);
	b = arg(args, 1);
	jv_free(args);
	return jv_bool_of(jv_equal(a, b));
}

static jv
f_not(const char *name, jv args)
{
	bool yes;

	if (arg_is(args, 0, JV_KIND_TRUE))
		yes = false;
	else if (arg_is(args, 0, JV_KIND_FALSE))
		yes = true;
	else
		return expr_bad_args(name, args);
	jv_free(args);
	return jv_bool_of(yes);
}

static jv
f_compare(const char *name, jv args)
{
	jv a = arg(args, 0), b = arg(args, 1);
	jv_kind k = jv_get_kind(a);
	bool greater = *name == 'g', or_equal = strstr(name, "equals") != NULL;
	int order;

	if (k != jv_get_kind(b) ||
	    (k != JV_KIND_NUMBER && k != JV_KIND_STRING)) {
		jv_free(a);
		jv_free(b);
		return expr_bad_args(name, args);
	}
	if (k == JV_KIND_STRING)
		order = strcmp(jv_string_value(a), jv_string_value(b));
	else
		order = (jv_number_value(a) > jv_number_value(b)) -
			(jv_number_value(a) < jv_number_value(b));
	jv_free(a);
	jv_free(b);
	jv_free(args);
	if (order == 0)
		return jv_bool_of(or_equal);
	return jv_bool_of(greater == (order > 0));
}

static jv
f_sum(const char *name, jv args)
{
	double a, b;

	if (arg_count(args) != 2 || !all_are(args, JV_KIND_NUMBER))
		return expr_bad_args(name, args);
	a = arg_number(args, 0);
	b = arg_number(args, 1);
	if ((*name == 'd' || strcmp(name, "mod") == 0) && b == 0)
		return expr_bad_args(name, args);
	jv_free(args);
	switch (name[1]) {
	case 'd': /* add */
		return jv_number(a + b);
	case 'u': /* sub, mul */
		return jv_number(*name == 's' ? a - b : a * b);
	case 'i': /* div */
		return jv_number((double)(long long)(a / b));
	default: /* mod */
		return jv_number(a - b * (double)(long long)(a / b));
	}
}

static jv
f_min_max(const char *name, jv args)
{
	bool max = strcmp(name, "max") == 0;
	double best;
	jv list = jv_copy(args);

	if (arg_count(args) == 1 && arg_is(args, 0, JV_KIND_ARRAY)) {
		jv_free(list);
		list = arg(args, 0);
	}
	if (arg_count(list) < 1 || !all_are(list, JV_KIND_NUMBER)) {
		jv_free(list);
		return expr_bad_args(name, args);
	}
	best = arg_number(list, 0);
	jv_array_foreach(list, i, n) {
		double v = jv_number_value(n);

		if (max ? v > best : v < best)
			best = v;
		jv_free(n);
	}
	jv_free(list);
	jv_free(args);
	return jv_number(best);
}

static jv
f_range(const char *name, jv args)
{
	jv out;
	long from, count;

	if (arg_count(args) != 2 || !all_are(args, JV_KIND_NUMBER))
		return expr_bad_args(name, args);
	from = (long)arg_number(args, 0);
	count = (long)arg_number(args, 1);
	if (count < 0 || count > 10000)
		return expr_bad_args(name, args);
	jv_free(args);
	out = jv_array();
	for (long i = 0; i < count; i++)
		out = jv_array_append(out, jv_number((double)(from + i)));
	return out;
}

static jv
f_empty(const char *name, jv args)
{
	jv v = arg(args, 0);
	bool yes;

	switch (jv_get_kind(v)) {
	case JV_KIND_NULL:
		yes = true;
		break;
	case JV_KIND_STRING:
		yes = *jv_string_value(v) == '\0';
		break;
	case JV_KIND_ARRAY:
		yes = jv_array_length(jv_copy(v)) == 0;
		break;
	case JV_KIND_OBJECT:
		yes = jv_object_length(jv_copy(v)) == 0;
		break;
	default:
		jv_free(v);
		return expr_bad_args(name, args);
	}
	jv_free(v);
	jv_free(args);
	return jv_bool_of(yes);
}

/* The member of that name, without case; invalid when there is none. */
jv
expr_member(jv object, const char *name)
{
	jv exact = jv_object_get(jv_copy(object), jv_string(name));

	if (jv_is_valid(exact)) {
		jv_free(object);
		return exact;
	}
	jv_free(exact);
	exact = jv_invalid();
	jv_object_foreach(object, key, item) {
		if (!jv_is_valid(exact) &&
		    strcasecmp(jv_string_value(key), name) == 0)
			exact = item;
		else
			jv_free(item);
		jv_free(key);
	}
	jv_free(object);
	return exact;
}

static jv
f_contains(const char *name, jv args)
{
	jv in = arg(args, 0), what = arg(args, 1);
	jv_kind k = jv_get_kind(in);
	bool yes = false;

	if (arg_count(args) != 2 || !expr_is_scalar(jv_get_kind(what)) ||
	    (k != JV_KIND_ARRAY && jv_get_kind(what) != JV_KIND_STRING)) {
		jv_free(in);
		jv_free(what);
		return expr_bad_args(name, args);
	}
	if (k == JV_KIND_STRING) {
		yes =
		    strstr(jv_string_value(in), jv_string_value(what)) != NULL;
	} else if (k == JV_KIND_OBJECT) {
		jv m = expr_member(jv_copy(in), jv_string_value(what));

		yes = jv_is_valid(m);
		jv_free(m);
	} else if (k == JV_KIND_ARRAY) {
		jv_array_foreach(in, i, item)
			yes = jv_equal(item, jv_copy(what)) || yes;
	}
	jv_free(in);
	jv_free(what);
	if (k != JV_KIND_STRING && k != JV_KIND_OBJECT && k != JV_KIND_ARRAY)
		return expr_bad_args(name, args);
	jv_free(args);
	return jv_bool_of(yes);
}

static jv
f_first_last(const char *name, jv args)
{
	bool first = strcmp(name, "first") == 0;
	jv v = arg(args, 0);

	if (jv_get_kind(v) == JV_KIND_STRING) {
		long n = characters(jv_string_value(v));

		jv_free(args);
		return string_part(v, first || n == 0 ? 0 : n - 1, 1);
	}
	if (jv_get_kind(v) == JV_KIND_ARRAY) {
		int n = jv_array_length(jv_copy(v));

		jv_free(args);
		if (n == 0) {
			jv_free(v);
			return jv_null();
		}
		return jv_array_get(v, first ? 0 : n - 1);
	}
	jv_free(v);
	return expr_bad_args(name, args);
}

static jv
f_starts_ends(const char *name, jv args)
{
	jv s = arg(args, 0), t = arg(args, 1);
	size_t n, m;
	bool yes;

	if (arg_count(args) != 2 || !all_are(args, JV_KIND_STRING)) {
		jv_free(s);
		jv_free(t);
		return expr_bad_args(name, args);
	}
	n = strlen(jv_string_value(s));
	m = strlen(jv_string_value(t));
	yes = m <= n &&
	      strncasecmp(jv_string_value(s) + (*name == 's' ? 0 : n - m),
		  jv_string_value(t), m) == 0;
	jv_free(s);
	jv_free(t);
	jv_free(args);
	return jv_bool_of(yes);
}

static jv
f_index_of(const char *name, jv args)
{
	bool last = *name == 'l';
	jv s = arg(args, 0), t = arg(args, 1);
	long at = -1, n = 0;
	size_t m;

	if (jv_get_kind(s) == JV_KIND_ARRAY) {
		jv_array_foreach(s, i, item) {
			if (jv_equal(item, jv_copy(t)) && (at < 0 || last))
				at = i;
		}
	} else if (arg_count(args) == 2 && all_are(args, JV_KIND_STRING)) {
		m = strlen(jv_string_value(t));
		for (const char *c = jv_string_value(s);; n++) {
			if (strncasecmp(c, jv_string_value(t), m) == 0 &&
			    (at < 0 || last))
				at = n;
			if (*c == '\0')
				break;
			c = character(c, 1);
		}
	} else {
		jv_free(s);
		jv_free(t);
		return expr_bad_args(name, args);
	}
	jv_free(s);
	jv_free(t);
	jv_free(args);
	return jv_number((double)at);
}

static jv
f_create_array(const char *name, jv args)
{
	(void)name;
	return args;
}

static jv
f_create_object(const char *name, jv args)
{
	jv out = jv_object();
	int n = arg_count(args);

	for (int i = 0; i < n; i += 2) {
		if (n % 2 || !arg_is(args, i, JV_KIND_STRING)) {
			jv_free(out);
			return expr_bad_args(name, args);
		}
		out = jv_object_set(out, arg(args, i), arg(args, i + 1));
	}
	jv_free(args);
	return out;
}

static jv
f_array(const char *name, jv args)
{
	jv v = arg(args, 0);

	if (arg_count(args) != 1) {
		jv_free(v);
		return expr_bad_args(name, args);
	}
	jv_free(args);
	return jv_get_kind(v) == JV_KIND_ARRAY ? v
					       : jv_array_append(jv_array(), v);
}

static bool
array_has(jv list, jv what) /* borrows both */
{
	bool has = false;

	jv_array_foreach(list, i, item)
		has = jv_equal(item, jv_copy(what)) || has;
	return has;
}

static jv
f_union(const char *name, jv args)
{
	bool arrays = arg_is(args, 0, JV_KIND_ARRAY);
	jv out;

	if (!all_are(args, arrays ? JV_KIND_ARRAY : JV_KIND_OBJECT))
		return expr_bad_args(name, args);
	out = arrays ? jv_array() : jv_object();
	jv_array_foreach(args, i, a) {
		if (!arrays) {
			out = jv_object_merge_recursive(out, a);
			continue;
		}
		jv_array_foreach(a, j, item) {
			if (array_has(out, item))
				jv_free(item);
			else
				out = jv_array_append(out, item);
		}
		jv_free(a);
	}
	jv_free(args);
	return out;
}

static jv
f_intersection(const char *name, jv args)
{
	jv out = arg(args, 0);

	if (arg_count(args) < 1 || !all_are(args, JV_KIND_ARRAY)) {
		jv_free(out);
		return expr_bad_args(name, args);
	}
	jv_array_foreach(args, i, a) {
		jv kept = jv_array();

		jv_array_foreach(out, j, item) {
			if (array_has(a, item))
				kept = jv_array_append(kept, item);
			else
				jv_free(item);
		}
		jv_free(a);
		jv_free(out);
		out = kept;
	}
	jv_free(args);
	return out;
}

static jv
f_coalesce(const char *name, jv args)
{
	jv out = jv_null();

	(void)name;
	jv_array_foreach(args, i, a) {
		if (jv_get_kind(out) == JV_KIND_NULL)
			out = a;
		else
			jv_free(a);
	}
	jv_free(args);
	return out;
}

static jv
f_pad_left(const char *name, jv args)
{
	jv s = expr_text_of(arg(args, 0)), pad = arg(args, 2), out;
	struct buf b = BUF_INIT;
	long width, len;

	if (!arg_is(args, 1, JV_KIND_NUMBER) ||
	    (arg_count(args) > 2 && jv_get_kind(pad) != JV_KIND_STRING) ||
	    arg_number(args, 1) > 1000) {
		jv_free(s);
		jv_free(pad);
		return expr_bad_args(name, args);
	}
	width = (long)arg_number(args, 1);
	len = characters(jv_string_value(s));
	for (; len < width; len++)
		buf_text(&b, jv_get_kind(pad) == JV_KIND_STRING
				 ? jv_string_value(pad)
				 : " ");
	buf_text(&b, jv_string_value(s));
	out = jv_string_sized(b.len ? b.at : "", (int)b.len);
	buf_wipe(&b);
	jv_free(s);
	jv_free(pad);
	jv_free(args);
	return out;
}

static const struct {
	const char *name; /* lower case */
	pure_fn *fn;
} pure[] = {
	{ "add", f_sum },
	{ "array", f_array },
	{ "base64", f_base64 },
	{ "base64tojson", f_base64_text },
	{ "base64tostring", f_base64_text },
	{ "bool", f_bool },
	{ "coalesce", f_coalesce },
	{ "concat", f_concat },
	{ "contains", f_contains },
	{ "createarray", f_create_array },
	{ "createobject", f_create_object },
	{ "div", f_sum },
	{ "empty", f_empty },
	{ "endswith", f_starts_ends },
	{ "equals", f_equals },
	{ "false", f_constant },
	{ "first", f_first_last },
	{ "format", f_format },
	{ "greater", f_compare },
	{ "greaterorequals", f_compare },
	{ "indexof", f_index_of },
	{ "int", f_int },
	{ "intersection", f_intersection },
	{ "join", f_join },
	{ "json", f_json },
	{ "last", f_first_last },
	{ "lastindexof", f_index_of },
	{ "length", f_length },
	{ "less", f_compare },
	{ "lessorequals", f_compare },
	{ "max", f_min_max },
	{ "min", f_min_max },
	{ "mod", f_sum },
	{ "mul", f_sum },
	{ "not", f_not },
	{ "null", f_constant },
	{ "padleft", f_pad_left },
	{ "range", f_range },
	{ "replace", f_replace },
	{ "skip", f_take_skip },
	{ "split", f_split },
	{ "startswith", f_starts_ends },
	{ "string", f_string },
	{ "sub", f_sum },
	{ "substring", f_substring },
	{ "take", f_take_skip },
	{ "tolower", f_case },
	{ "toupper", f_case },
	{ "trim", f_trim },
	{ "true", f_constant },
	{ "union", f_union },
	{ "uricomponent", f_uri_component },
};

jv
expr_call(const char *name, jv args)
{
	for (size_t i = 0; i < sizeof(pure) / sizeof(pure[0]); i++)
		if (strcmp(pure[i].name, name) == 0)
			return pure[i].fn(name, args);
	jv_free(args);
	return expr_unknown();
}
