/* exprcall.c: the functions that need nothing but their arguments. */
#include "exprtree.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "buf.h"
#include "doc.h"
#include "msg.h"

/* args are known, of the kinds that the table below says, and borrowed. */
typedef jv pure_fn(const char *name, jv args);

jv
expr_bad_args(const char *name)
{
	return jv_fail(
	    BAD_DATA, NULL, "%s(): wrong number or kind of arguments", name);
}

static int
arg_count(jv args)
{
	return jv_array_length(jv_copy(args));
}

static jv
arg(jv args, int i)
{
	return jv_array_get(jv_copy(args), i);
}

static jv_kind
arg_kind(jv args, int i) /* JV_KIND_INVALID: absent */
{
	jv a = arg(args, i);
	jv_kind kind = jv_get_kind(a);

	jv_free(a);
	return kind;
}

static const char *
arg_text(jv args, int i) /* as long as args are there */
{
	jv a = arg(args, i);
	const char *text = jv_string_value(a);

	jv_free(a);
	return text;
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

static jv
jv_text_of(struct buf *b) /* wipes it */
{
	jv text = jv_string_sized(b->len ? b->at : "", (int)b->len);

	buf_wipe(b);
	return text;
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

		doc_compact(value, &b);
		return jv_text_of(&b);
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
	bool arrays = arg_kind(args, 0) == JV_KIND_ARRAY;
	jv out = arrays ? jv_array() : jv_string("");

	jv_array_foreach(args, i, a) {
		jv_kind k = jv_get_kind(a);

		if (arrays ? k != JV_KIND_ARRAY : !expr_is_scalar(k)) {
			jv_free(a);
			jv_free(out);
			return expr_bad_args(name);
		}
		out = arrays ? jv_array_concat(out, a)
			     : jv_string_concat(out, expr_text_of(a));
	}
	return out;
}

static jv
f_format(const char *name, jv args)
{
	struct buf b = BUF_INIT;

	for (const char *c = arg_text(args, 0); *c; c++) {
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
		if (end == c + 1 || n < 0 || n > 1000 || *end == '\0' ||
		    (*end == '}' && n + 1 >= arg_count(args))) {
			buf_wipe(&b);
			return expr_bad_args(name);
		}
		if (*end != '}') { /* {0:N2}: .NET's formats are not ours */
			buf_wipe(&b);
			return expr_unknown();
		}
		part = expr_text_of(arg(args, (int)n + 1));
		buf_text(&b, jv_string_value(part));
		jv_free(part);
		c = end;
	}
	return jv_text_of(&b);
}

static jv
f_case(const char *name, jv args)
{
	bool up = strcmp(name, "toupper") == 0;
	struct buf b = BUF_INIT;

	for (const char *c = arg_text(args, 0); *c; c++)
		if ((unsigned char)*c < 0x80)
			buf_char(&b, (char)(up ? toupper(*c) : tolower(*c)));
		else
			buf_char(&b, *c);
	return jv_text_of(&b);
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

/* Characters, elements or members; -1: a value that has no parts. */
static long
length(jv v)
{
	long n = -1;

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
		break;
	}
	jv_free(v);
	return n;
}

static jv
string_part(const char *text, long from, long count)
{
	const char *a = character(text, from), *b = character(a, count);

	return jv_string_sized(a, (int)(b - a));
}

static jv
f_substring(const char *name, jv args)
{
	const char *s = arg_text(args, 0);
	long len = characters(s), from = (long)arg_number(args, 1);
	long count =
	    arg_count(args) > 2 ? (long)arg_number(args, 2) : len - from;

	if (from < 0 || count < 0 || from > len || count > len - from)
		return jv_fail(BAD_DATA, NULL,
		    "%s(): the part lies outside of the string", name);
	return string_part(s, from, count);
}

static jv
f_take_skip(const char *name, jv args)
{
	bool take = strcmp(name, "take") == 0;
	bool string = arg_kind(args, 0) == JV_KIND_STRING;
	long len = length(arg(args, 0));
	double given = arg_number(args, 1);
	long n = given < 0 ? 0 : given > (double)len ? len : (long)given;
	long from = take ? 0 : n, to = take ? n : len;

	return string ? string_part(arg_text(args, 0), from, to - from)
		      : jv_array_slice(arg(args, 0), (int)from, (int)to);
}

static jv
f_replace(const char *name, jv args)
{
	const char *from = arg_text(args, 1), *to = arg_text(args, 2);
	size_t step = strlen(from);
	struct buf b = BUF_INIT;

	(void)name;
	for (const char *c = arg_text(args, 0); *c;) {
		if (step && strncmp(c, from, step) == 0) {
			buf_text(&b, to);
			c += step;
		} else {
			buf_char(&b, *c++);
		}
	}
	return jv_text_of(&b);
}

static jv
f_split(const char *name, jv args)
{
	jv seps = arg(args, 1), out = jv_array();
	const char *c, *from;

	if (jv_get_kind(seps) == JV_KIND_STRING)
		seps = jv_array_append(jv_array(), seps);
	if (!all_are(seps, JV_KIND_STRING)) {
		jv_free(seps);
		jv_free(out);
		return expr_bad_args(name);
	}
	for (c = from = arg_text(args, 0);;) {
		size_t step = 0;

		for (int i = 0; i < arg_count(seps) && !step; i++) {
			size_t n = strlen(arg_text(seps, i));

			if (strncmp(c, arg_text(seps, i), n) == 0)
				step = n;
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
	jv_free(seps);
	return out;
}

static jv
f_join(const char *name, jv args)
{
	jv list = arg(args, 0), out = jv_string("");

	(void)name;
	jv_array_foreach(list, i, a) {
		if (i > 0)
			out = jv_string_concat(out, arg(args, 1));
		out = jv_string_concat(out, expr_text_of(a));
	}
	jv_free(list);
	return out;
}

static jv
f_length(const char *name, jv args)
{
	long n = length(arg(args, 0));

	return n < 0 ? expr_bad_args(name) : jv_number((double)n);
}

static jv
f_empty(const char *name, jv args)
{
	long n = arg_kind(args, 0) == JV_KIND_NULL ? 0 : length(arg(args, 0));

	return n < 0 ? expr_bad_args(name) : jv_bool_of(n == 0);
}

static jv
f_trim(const char *name, jv args)
{
	const char *a = arg_text(args, 0), *b = a + strlen(a);

	(void)name;
	while (a < b && isspace((unsigned char)*a))
		a++;
	while (b > a && isspace((unsigned char)b[-1]))
		b--;
	return jv_string_sized(a, (int)(b - a));
}

static jv
f_string(const char *name, jv args)
{
	(void)name;
	return expr_text_of(arg(args, 0));
}

static jv
f_int(const char *name, jv args)
{
	const char *text;
	char *end;
	double n;

	if (arg_kind(args, 0) == JV_KIND_NUMBER)
		return arg(args, 0);
	if (arg_kind(args, 0) != JV_KIND_STRING)
		return expr_bad_args(name);
	text = arg_text(args, 0);
	errno = 0;
	n = (double)strtoll(text, &end, 10);
	return end == text || *end || errno ? expr_bad_args(name)
					    : jv_number(n);
}

static jv
f_bool(const char *name, jv args)
{
	const char *text;

	switch (arg_kind(args, 0)) {
	case JV_KIND_TRUE:
	case JV_KIND_FALSE:
		return arg(args, 0);
	case JV_KIND_NUMBER:
		return jv_bool_of(arg_number(args, 0) != 0);
	case JV_KIND_STRING:
		text = arg_text(args, 0);
		if (!strcasecmp(text, "true") || !strcmp(text, "1"))
			return jv_true();
		if (!strcasecmp(text, "false") || !strcmp(text, "0"))
			return jv_false();
		return expr_bad_args(name);
	default:
		return expr_bad_args(name);
	}
}

static jv
from_json(const char *name, const char *text)
{
	jv v = doc_parse(span_of(text), NULL);

	if (jv_is_valid(v))
		return v;
	jv_free(v);
	return expr_bad_args(name);
}

static jv
f_json(const char *name, jv args)
{
	return from_json(name, arg_text(args, 0));
}

static jv
f_base64(const char *name, jv args)
{
	struct buf b = BUF_INIT;

	(void)name;
	buf_base64(&b, arg_text(args, 0), strlen(arg_text(args, 0)));
	return jv_text_of(&b);
}

static jv
f_base64_text(const char *name, jv args)
{
	static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqr"
				  "stuvwxyz0123456789+/";
	struct buf b = BUF_INIT;
	uint32_t bits = 0;
	int have = 0;
	jv text, json;

	for (const char *c = arg_text(args, 0); *c && *c != '='; c++) {
		const char *at = strchr(set, *c);

		if (at == NULL) {
			buf_wipe(&b);
			return expr_bad_args(name);
		}
		bits = bits << 6 | (uint32_t)(at - set);
		have += 6;
		if (have >= 8) {
			have -= 8;
			buf_char(&b, (char)(bits >> have & 0xff));
		}
	}
	text = jv_text_of(&b);
	if (strcmp(name, "base64tojson") != 0)
		return text;
	json = from_json(name, jv_string_value(text));
	jv_free(text);
	return json;
}

static jv
f_uri_component(const char *name, jv args)
{
	struct buf b = BUF_INIT;

	(void)name;
	buf_url(&b, arg_text(args, 0), strlen(arg_text(args, 0)));
	return jv_text_of(&b);
}

static jv
f_constant(const char *name, jv args)
{
	(void)args;
	return *name == 't' ? jv_true() : *name == 'f' ? jv_false() : jv_null();
}

static jv
f_equals(const char *name, jv args)
{
	(void)name;
	return jv_bool_of(jv_equal(arg(args, 0), arg(args, 1)));
}

static jv
f_not(const char *name, jv args)
{
	(void)name;
	return jv_bool_of(arg_kind(args, 0) == JV_KIND_FALSE);
}

static jv
f_compare(const char *name, jv args)
{
	bool greater = *name == 'g', or_equal = strstr(name, "equals") != NULL;
	int order;

	if (all_are(args, JV_KIND_STRING))
		order = strcmp(arg_text(args, 0), arg_text(args, 1));
	else if (all_are(args, JV_KIND_NUMBER))
		order = (arg_number(args, 0) > arg_number(args, 1)) -
			(arg_number(args, 0) < arg_number(args, 1));
	else
		return expr_bad_args(name);
	return jv_bool_of(order ? greater == (order > 0) : or_equal);
}

static jv
f_sum(const char *name, jv args)
{
	double a = arg_number(args, 0), b = arg_number(args, 1);

	if ((*name == 'd' || strcmp(name, "mod") == 0) && b == 0)
		return expr_bad_args(name);
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
	jv list = arg_count(args) == 1 && arg_kind(args, 0) == JV_KIND_ARRAY
		      ? arg(args, 0)
		      : jv_copy(args);
	double best;

	if (arg_count(list) < 1 || !all_are(list, JV_KIND_NUMBER)) {
		jv_free(list);
		return expr_bad_args(name);
	}
	best = arg_number(list, 0);
	for (int i = 1; i < arg_count(list); i++)
		best = max ? fmax(best, arg_number(list, i))
			   : fmin(best, arg_number(list, i));
	jv_free(list);
	return jv_number(best);
}

static jv
f_range(const char *name, jv args)
{
	long from = (long)arg_number(args, 0);
	double count = arg_number(args, 1);
	jv out;

	if (count < 0 || count > 10000)
		return expr_bad_args(name);
	out = jv_array();
	for (long i = 0; i < (long)count; i++)
		out = jv_array_append(out, jv_number((double)(from + i)));
	return out;
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
f_contains(const char *name, jv args)
{
	jv in = arg(args, 0), what = arg(args, 1), m;
	bool text = jv_get_kind(what) == JV_KIND_STRING;
	jv_kind k = jv_get_kind(in);
	int yes = -1;

	if (k == JV_KIND_STRING && text) {
		yes =
		    strstr(jv_string_value(in), jv_string_value(what)) != NULL;
	} else if (k == JV_KIND_OBJECT && text) {
		m = jv_at_nocase(jv_copy(in), jv_string_value(what));
		yes = jv_is_valid(m);
		jv_free(m);
	} else if (k == JV_KIND_ARRAY && expr_is_scalar(jv_get_kind(what))) {
		yes = array_has(in, what);
	}
	jv_free(in);
	jv_free(what);
	return yes < 0 ? expr_bad_args(name) : jv_bool_of(yes);
}

static jv
f_first_last(const char *name, jv args)
{
	bool first = strcmp(name, "first") == 0;
	jv v = arg(args, 0);
	int n = (int)length(jv_copy(v));

	if (jv_get_kind(v) == JV_KIND_STRING) {
		jv_free(v);
		return string_part(
		    arg_text(args, 0), first || n == 0 ? 0 : n - 1, 1);
	}
	if (n > 0)
		return jv_array_get(v, first ? 0 : n - 1);
	jv_free(v);
	return jv_null();
}

static jv
f_starts_ends(const char *name, jv args)
{
	const char *s = arg_text(args, 0), *part = arg_text(args, 1);
	size_t n = strlen(s), m = strlen(part);

	return jv_bool_of(m <= n && strncasecmp(s + (*name == 's' ? 0 : n - m),
					part, m) == 0);
}

static jv
f_index_of(const char *name, jv args)
{
	bool last = *name == 'l';
	long at = -1, n = 0;

	if (arg_kind(args, 0) == JV_KIND_ARRAY) {
		jv list = arg(args, 0);

		jv_array_foreach(list, i, item)
			if (jv_equal(item, arg(args, 1)) && (at < 0 || last))
				at = i;
		jv_free(list);
	} else if (all_are(args, JV_KIND_STRING)) {
		const char *part = arg_text(args, 1);

		for (const char *c = arg_text(args, 0);; n++) {
			if (strncasecmp(c, part, strlen(part)) == 0 &&
			    (at < 0 || last))
				at = n;
			if (*c == '\0')
				break;
			c = character(c, 1);
		}
	} else {
		return expr_bad_args(name);
	}
	return jv_number((double)at);
}

static jv
f_create_array(const char *name, jv args)
{
	(void)name;
	return jv_copy(args);
}

static jv
f_create_object(const char *name, jv args)
{
	jv out = jv_object();
	int n = arg_count(args);

	for (int i = 0; i < n; i += 2) {
		if (n % 2 || arg_kind(args, i) != JV_KIND_STRING) {
			jv_free(out);
			return expr_bad_args(name);
		}
		out = jv_object_set(out, arg(args, i), arg(args, i + 1));
	}
	return out;
}

static jv
f_array(const char *name, jv args)
{
	(void)name;
	return arg_kind(args, 0) == JV_KIND_ARRAY ? arg(args, 0)
						  : jv_copy(args);
}

static jv
f_union(const char *name, jv args)
{
	bool arrays = arg_kind(args, 0) == JV_KIND_ARRAY;
	jv out;

	if (!all_are(args, arrays ? JV_KIND_ARRAY : JV_KIND_OBJECT))
		return expr_bad_args(name);
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
	return out;
}

static jv
f_intersection(const char *name, jv args)
{
	jv out = arg(args, 0);

	if (!all_are(args, JV_KIND_ARRAY)) {
		jv_free(out);
		return expr_bad_args(name);
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
	return out;
}

static jv
f_coalesce(const char *name, jv args)
{
	(void)name;
	for (int i = 0; i < arg_count(args); i++)
		if (arg_kind(args, i) != JV_KIND_NULL)
			return arg(args, i);
	return jv_null();
}

static jv
f_pad_left(const char *name, jv args)
{
	jv s = expr_text_of(arg(args, 0));
	struct buf b = BUF_INIT;

	if (arg_number(args, 1) > 1000) {
		jv_free(s);
		return expr_bad_args(name);
	}
	for (long len = characters(jv_string_value(s));
	     (double)len < arg_number(args, 1); len++)
		buf_text(&b, arg_count(args) > 2 ? arg_text(args, 2) : " ");
	buf_text(&b, jv_string_value(s));
	jv_free(s);
	return jv_text_of(&b);
}

/*
 * What each takes, a letter an argument: a string, a number, a boolean, an
 * array, a list (a string or an array), or anything (.); after ? it may be
 * absent, and * is any number of anything.
 */
static const struct {
	const char *name; /* lower case */
	const char *takes;
	pure_fn *fn;
} pure[] = {
	{ "add", "nn", f_sum },
	{ "array", ".", f_array },
	{ "base64", "s", f_base64 },
	{ "base64tojson", "s", f_base64_text },
	{ "base64tostring", "s", f_base64_text },
	{ "bool", ".", f_bool },
	{ "coalesce", "*", f_coalesce },
	{ "concat", "*", f_concat },
	{ "contains", "..", f_contains },
	{ "createarray", "*", f_create_array },
	{ "createobject", "*", f_create_object },
	{ "div", "nn", f_sum },
	{ "empty", ".", f_empty },
	{ "endswith", "ss", f_starts_ends },
	{ "equals", "..", f_equals },
	{ "false", "", f_constant },
	{ "first", "l", f_first_last },
	{ "format", "s*", f_format },
	{ "greater", "..", f_compare },
	{ "greaterorequals", "..", f_compare },
	{ "indexof", "l.", f_index_of },
	{ "int", ".", f_int },
	{ "intersection", ".*", f_intersection },
	{ "join", "as", f_join },
	{ "json", "s", f_json },
	{ "last", "l", f_first_last },
	{ "lastindexof", "l.", f_index_of },
	{ "length", ".", f_length },
	{ "less", "..", f_compare },
	{ "lessorequals", "..", f_compare },
	{ "max", "*", f_min_max },
	{ "min", "*", f_min_max },
	{ "mod", "nn", f_sum },
	{ "mul", "nn", f_sum },
	{ "not", "b", f_not },
	{ "null", "", f_constant },
	{ "padleft", ".n?s", f_pad_left },
	{ "range", "nn", f_range },
	{ "replace", "sss", f_replace },
	{ "skip", "ln", f_take_skip },
	{ "split", "sl", f_split },
	{ "startswith", "ss", f_starts_ends },
	{ "string", ".", f_string },
	{ "sub", "nn", f_sum },
	{ "substring", "sn?n", f_substring },
	{ "take", "ln", f_take_skip },
	{ "tolower", "s", f_case },
	{ "toupper", "s", f_case },
	{ "trim", "s", f_trim },
	{ "true", "", f_constant },
	{ "union", "*", f_union },
	{ "uricomponent", "s", f_uri_component },
};

static bool
is_taken(char letter, jv_kind k)
{
	switch (letter) {
	case 's':
		return k == JV_KIND_STRING;
	case 'n':
		return k == JV_KIND_NUMBER;
	case 'b':
		return k == JV_KIND_TRUE || k == JV_KIND_FALSE;
	case 'a':
		return k == JV_KIND_ARRAY;
	case 'l':
		return k == JV_KIND_ARRAY || k == JV_KIND_STRING;
	default:
		return true;
	}
}

static bool
are_taken(const char *takes, jv args)
{
	int n = arg_count(args);

	for (int i = 0; i < n; i++) {
		takes += *takes == '?';
		if (*takes == '*')
			return true;
		if (!*takes || !is_taken(*takes++, arg_kind(args, i)))
			return false;
	}
	return !*takes || *takes == '?' || *takes == '*';
}

jv
expr_call(const char *name, jv args)
{
	jv out = expr_unknown();

	for (size_t i = 0; i < sizeof(pure) / sizeof(pure[0]); i++)
		if (strcmp(pure[i].name, name) == 0) {
			jv_free(out);
			out = are_taken(pure[i].takes, args)
				  ? pure[i].fn(name, args)
				  : expr_bad_args(name);
			break;
		}
	jv_free(args);
	return out;
}
