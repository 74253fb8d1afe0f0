/*
 * expr.c: see expr.h.  Parsing and printing are each other's inverse but for
 * white space; the pure functions that fold are in one table at the end.
 */
#include "expr.h"

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

enum { EXPR_DEPTH = 100 };

/* ---- trees ---- */

static jv
tree(jv body)
{
	return jv_object_set(jv_object(), jv_string(EXPR), body);
}

static jv
tree_call(jv name, jv args)
{
	return tree(
	    jv_object_set(jv_object_set(jv_object(), jv_string("call"), name),
		jv_string("args"), args));
}

static jv
tree_pair(const char *kind, jv a, jv b)
{
	return tree(jv_object_set(jv_object(), jv_string(kind),
	    jv_array_append(jv_array_append(jv_array(), a), b)));
}

/* Of a tree its body {"call", ...}; invalid if value is no tree.  Borrows. */
static jv
tree_body_peek(jv value)
{
	jv body;

	if (jv_get_kind(value) != JV_KIND_OBJECT)
		return jv_invalid();
	body = jv_object_get(jv_copy(value), jv_string(EXPR));
	if (jv_get_kind(body) == JV_KIND_OBJECT)
		return body;
	jv_free(body);
	return jv_invalid();
}

static bool
is_tree_peek(jv value)
{
	jv body = tree_body_peek(value);
	bool yes = jv_is_valid(body);

	jv_free(body);
	return yes;
}

bool
expr_has_tree_peek(jv value)
{
	bool has = false;

	if (jv_get_kind(value) == JV_KIND_ARRAY) {
		jv_array_foreach(value, i, item) {
			has = has || expr_has_tree_peek(item);
			jv_free(item);
		}
	} else if (jv_get_kind(value) == JV_KIND_OBJECT) {
		if (is_tree_peek(value))
			return true;
		jv_object_foreach(value, key, item) {
			has = has || expr_has_tree_peek(item);
			jv_free(key);
			jv_free(item);
		}
	}
	return has;
}

/* ---- parsing ---- */

struct parser {
	const char *start, *at;
	int depth;         /* of calls that are open */
	int height;        /* of the tree that was parsed last */
	const char *fault; /* static; NULL while all is well */
	const char *fault_at;
};

static jv parse_value(struct parser *p);

static jv
parse_fault(struct parser *p, const char *at, const char *reason)
{
	if (p->fault == NULL) {
		p->fault = reason;
		p->fault_at = at;
	}
	return jv_invalid();
}

static void
parse_blanks(struct parser *p)
{
	while (
	    *p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r')
		p->at++;
}

static bool
name_byte(char c, bool first)
{
	return isalpha((unsigned char)c) || c == '_' ||
	       (!first && isdigit((unsigned char)c));
}

static jv
parse_name(struct parser *p)
{
	const char *from = p->at;

	if (!name_byte(*p->at, true))
		return parse_fault(p, p->at, "a name must stand here");
	while (name_byte(*p->at, false))
		p->at++;
	return jv_string_sized(from, (int)(p->at - from));
}

static jv
parse_string(struct parser *p)
{
	const char *open = p->at++;
	struct buf b = BUF_INIT;
	jv s;

	for (;; p->at++) {
		if (*p->at == '\0') {
			buf_wipe(&b);
			return parse_fault(p, open, "this string has no end");
		}
		if (*p->at == '\'') {
			if (p->at[1] != '\'')
				break;
			p->at++;
		}
		buf_char(&b, *p->at);
	}
	p->at++;
	s = jv_string_sized(b.len ? b.at : "", (int)b.len);
	buf_wipe(&b);
	return s;
}

static jv
parse_number(struct parser *p)
{
	const char *from = p->at;
	size_t len;
	char text[32];

	if (*p->at == '-')
		p->at++;
	if (!isdigit((unsigned char)*p->at))
		return parse_fault(p, from, "a digit must follow '-'");
	while (isdigit((unsigned char)*p->at))
		p->at++;
	len = (size_t)(p->at - from);
	/* Longer than a double carries exactly: kept as doc.h keeps them. */
	if (len > 15)
		return jv_text("%s%.*s", DOC_NUMBER, (int)len, from);
	memcpy(text, from, len);
	text[len] = '\0';
	return jv_number(strtod(text, NULL));
}

/* The arguments, after '('.  p->height becomes the highest one's. */
static jv
parse_args(struct parser *p)
{
	const char *open = p->at - 1;
	int height = 0;
	jv args = jv_array();

	parse_blanks(p);
	if (*p->at == ')') {
		p->at++;
		p->height = 0;
		return args;
	}
	for (;;) {
		jv arg = parse_value(p);

		if (!jv_is_valid(arg)) {
			jv_free(args);
			return arg;
		}
		args = jv_array_append(args, arg);
		if (p->height > height)
			height = p->height;
		parse_blanks(p);
		if (*p->at == ')')
			break;
		if (*p->at == '\0') {
			jv_free(args);
			return parse_fault(p, open, "this '(' has no ')'");
		}
		if (*p->at != ',') {
			jv_free(args);
			return parse_fault(
			    p, p->at, "',' or ')' must stand here");
		}
		p->at++;
	}
	p->at++;
	p->height = height;
	return args;
}

/* A function call; or true, false, null, which other writers spell bare. */
static jv
parse_call(struct parser *p)
{
	const char *from = p->at, *end;
	jv name = parse_name(p), args;

	if (!jv_is_valid(name))
		return name;
	if (*p->at == '.' && name_byte(p->at[1], true)) { /* a user's own */
		p->at++;
		while (name_byte(*p->at, false))
			p->at++;
		jv_free(name);
		name = jv_string_sized(from, (int)(p->at - from));
	}
	end = p->at;
	parse_blanks(p);
	if (*p->at != '(') {
		size_t len = (size_t)(end - from);

		p->at = end;
		jv_free(name);
		p->height = 0;
		if (len == 4 && strncasecmp(from, "true", 4) == 0)
			return jv_true();
		if (len == 5 && strncasecmp(from, "false", 5) == 0)
			return jv_false();
		if (len == 4 && strncasecmp(from, "null", 4) == 0)
			return jv_null();
		return parse_fault(p, end, "'(' must follow a function's name");
	}
	p->at++;
	args = parse_args(p);
	if (!jv_is_valid(args)) {
		jv_free(name);
		return args;
	}
	p->height++;
	return tree_call(name, args);
}

/* What may follow a call: .member and [index], any number of times. */
static jv
parse_rest(struct parser *p, jv value)
{
	for (;;) {
		int height = p->height;
		const char *mark = p->at;
		jv part;

		parse_blanks(p);
		if (*p->at == '.') {
			p->at++;
			parse_blanks(p);
			part = parse_name(p);
			if (!jv_is_valid(part)) {
				jv_free(value);
				return part;
			}
			value = tree_pair("member", value, part);
		} else if (*p->at == '[') {
			const char *open = p->at++;

			part = parse_value(p);
			if (!jv_is_valid(part)) {
				jv_free(value);
				return part;
			}
			parse_blanks(p);
			if (*p->at != ']') {
				jv_free(value);
				jv_free(part);
				return parse_fault(
				    p, open, "this '[' has no ']'");
			}
			p->at++;
			if (p->height > height)
				height = p->height;
			value = tree_pair("index", value, part);
		} else {
			p->at = mark;
			return value;
		}
		p->height = height + 1;
		if (p->height > EXPR_DEPTH) {
			jv_free(value);
			return parse_fault(p, mark, "nested too deeply");
		}
	}
}

static jv
parse_value(struct parser *p)
{
	jv value;

	parse_blanks(p);
	if (p->depth >= EXPR_DEPTH)
		return parse_fault(p, p->at, "nested too deeply");
	if (*p->at == '\'') {
		p->height = 0;
		return parse_string(p);
	}
	if (*p->at == '-' || isdigit((unsigned char)*p->at)) {
		p->height = 0;
		return parse_number(p);
	}
	if (!name_byte(*p->at, true))
		return parse_fault(p, p->at,
		    *p->at ? "a function, a string or a number must stand here"
			   : "it ends too early");
	p->depth++;
	value = parse_call(p);
	p->depth--;
	if (!is_tree_peek(value))
		return value;
	return parse_rest(p, value);
}

bool
expr_is(const char *text)
{
	size_t len = text ? strlen(text) : 0;

	return len >= 2 && text[0] == '[' && text[1] != '[' &&
	       text[len - 1] == ']';
}

jv
expr_parse(const char *text)
{
	size_t len = strlen(text);
	char *inner;
	struct parser p;
	jv value;

	if (!expr_is(text))
		return jv_fail(
		    BAD_DATA, NULL, "an expression stands between '[' and ']'");
	inner = xstrndup(text + 1, len - 2);
	p = (struct parser){ .start = inner, .at = inner };
	value = parse_value(&p);
	if (p.fault == NULL) {
		parse_blanks(&p);
		if (*p.at != '\0')
			parse_fault(
			    &p, p.at, "the expression ends before this");
	}
	if (p.fault) {
		int column = 2; /* the first after '[' */

		for (const char *c = inner; c < p.fault_at; c++)
			column += ((unsigned char)*c & 0xc0) != 0x80;
		jv_free(value);
		value = jv_fail(BAD_DATA, NULL, "expression, column %d: %s",
		    column, p.fault);
	}
	memset(inner, 0, len - 2); /* it may hold a connection string */
	free(inner);
	return value;
}

/* ---- printing ---- */

static int print_value(struct buf *b, jv value, int depth);

static void
print_string(struct buf *b, const char *s)
{
	buf_char(b, '\'');
	for (; *s; s++) {
		if (*s == '\'')
			buf_char(b, '\'');
		buf_char(b, *s);
	}
	buf_char(b, '\'');
}

static int
print_args(struct buf *b, jv args, int depth)
{
	int rc = 0;

	buf_char(b, '(');
	jv_array_foreach(args, i, arg) {
		if (i > 0)
			buf_text(b, ", ");
		if (rc == 0)
			rc = print_value(b, arg, depth);
		else
			jv_free(arg);
	}
	buf_char(b, ')');
	jv_free(args);
	return rc;
}

/* Consumes the body of a tree. */
static int
print_body(struct buf *b, jv body, int depth)
{
	jv name = jv_at(jv_copy(body), "call"), pair, second;
	int rc = -1;
	bool index;

	if (jv_get_kind(name) == JV_KIND_STRING) {
		jv args = jv_at(body, "args");

		buf_text(b, jv_string_value(name));
		jv_free(name);
		if (jv_get_kind(args) == JV_KIND_ARRAY)
			return print_args(b, args, depth);
		jv_free(args);
		return -1;
	}
	jv_free(name);
	pair = jv_at(jv_copy(body), "index");
	index = jv_get_kind(pair) == JV_KIND_ARRAY;
	if (!index) {
		jv_free(pair);
		pair = jv_at(jv_copy(body), "member");
	}
	jv_free(body);
	if (jv_get_kind(pair) != JV_KIND_ARRAY ||
	    jv_array_length(jv_copy(pair)) != 2) {
		jv_free(pair);
		return -1;
	}
	rc = print_value(b, jv_array_get(jv_copy(pair), 0), depth);
	second = jv_array_get(pair, 1);
	if (rc == 0 && !index && jv_get_kind(second) == JV_KIND_STRING) {
		const char *s = jv_string_value(second);
		bool plain = name_byte(*s, true);

		for (const char *c = s; *c; c++)
			plain = plain && name_byte(*c, false);
		if (plain) {
			buf_char(b, '.');
			buf_text(b, s);
			jv_free(second);
			return 0;
		}
	}
	if (rc < 0) {
		jv_free(second);
		return rc;
	}
	buf_char(b, '[');
	rc = print_value(b, second, depth);
	buf_char(b, ']');
	return rc;
}

static int
print_object(struct buf *b, jv object, int depth)
{
	bool first = true;
	int rc = 0;

	buf_text(b, "createObject(");
	jv_object_foreach(object, key, item) {
		if (!first)
			buf_text(b, ", ");
		first = false;
		print_string(b, jv_string_value(key));
		jv_free(key);
		buf_text(b, ", ");
		if (rc == 0)
			rc = print_value(b, item, depth);
		else
			jv_free(item);
	}
	buf_char(b, ')');
	jv_free(object);
	return rc;
}

static void
print_number(struct buf *b, double n)
{
	if (n > -9007199254740992.0 && n < 9007199254740992.0 &&
	    n == (double)(long long)n) {
		buf_printf(b, "%.0f", n == 0 ? 0.0 : n);
	} else { /* the language has whole numbers only */
		jv text = jv_dump_string(jv_number(n), 0);

		buf_printf(b, "json('%s')", jv_string_value(text));
		jv_free(text);
	}
}

static int
print_value(struct buf *b, jv value, int depth)
{
	size_t mark = strlen(DOC_NUMBER);
	jv body;

	if (depth > 4 * EXPR_DEPTH) {
		jv_free(value);
		return -1;
	}
	switch (jv_get_kind(value)) {
	case JV_KIND_NULL:
		buf_text(b, "null()");
		break;
	case JV_KIND_TRUE:
		buf_text(b, "true()");
		break;
	case JV_KIND_FALSE:
		buf_text(b, "false()");
		break;
	case JV_KIND_NUMBER:
		print_number(b, jv_number_value(value));
		break;
	case JV_KIND_STRING: {
		const char *s = jv_string_value(value);

		if (strncmp(s, DOC_NUMBER, mark) != 0)
			print_string(b, s);
		else if (strspn(s + mark, "-0123456789") == strlen(s + mark))
			buf_text(b, s + mark);
		else
			buf_printf(b, "json('%s')", s + mark);
		break;
	}
	case JV_KIND_ARRAY:
		buf_text(b, "createArray");
		return print_args(b, value, depth + 1);
	case JV_KIND_OBJECT:
		body = tree_body_peek(value);
		if (!jv_is_valid(body)) {
			jv_free(body);
			return print_object(b, value, depth + 1);
		}
		jv_free(value);
		return print_body(b, body, depth + 1);
	default:
		jv_free(value);
		return -1;
	}
	jv_free(value);
	return 0;
}

/* A string of a template that means itself: only what both begins and ends
 * with a bracket has to be escaped. */
static jv
escape_string(jv s)
{
	const char *text = jv_string_value(s);
	size_t len = strlen(text);

	if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
		jv escaped = jv_string_concat(jv_string("["), s);

		return escaped;
	}
	return s;
}

jv
expr_print(jv value)
{
	struct buf b = BUF_INIT;
	jv text;

	if (jv_get_kind(value) == JV_KIND_STRING)
		return escape_string(value);
	if (!is_tree_peek(value))
		return value;
	buf_char(&b, '[');
	if (print_value(&b, value, 0) < 0) {
		buf_wipe(&b);
		return jv_fail(BAD_DATA, NULL,
		    "a tree under '" EXPR "' is not one of expr.h's");
	}
	buf_char(&b, ']');
	text = jv_string_sized(b.at, (int)b.len);
	buf_wipe(&b);
	return text;
}

/* ---- whole documents ---- */

/* Where in the document we are, for messages: resources[0].name */
struct place {
	const struct place *up;
	const char *name; /* NULL: an element */
	int index;
};

static void
place_text(const struct place *at, struct buf *b)
{
	if (at == NULL)
		return;
	place_text(at->up, b);
	if (at->name)
		buf_printf(b, "%s%s", b->len ? "." : "", at->name);
	else
		buf_printf(b, "[%d]", at->index);
}

/* Gives an error of ours the place as its subject, if it has none. */
static jv
placed(jv invalid, const struct place *at)
{
	struct err e, there;
	struct buf b = BUF_INIT;
	jv msg = jv_invalid_get_msg(jv_copy(invalid));
	bool ours = jv_get_kind(msg) == JV_KIND_OBJECT &&
		    jv_object_has(jv_copy(msg), jv_string("subject"));

	jv_free(msg);
	if (!ours) /* a world's own */
		return invalid;
	err_from_jv(&e, invalid);
	if (e.subject[0] != '\0' || at == NULL)
		return jv_from_err(&e);
	place_text(at, &b);
	err_set(&there, e.status, b.at, "%s", e.text);
	buf_free(&b);
	return jv_from_err(&there);
}

/* One string or tree into something else; at says where. */
typedef jv leaf_fn(void *ctx, jv leaf, const struct place *at);

struct walk {
	bool strings;       /* fn gets every string; otherwise every tree */
	leaf_fn *fn, *name; /* name: NULL, or for names of members */
	void *ctx;
};

static jv
walk(const struct walk *w, jv value, const struct place *at)
{
	jv result;

	switch (jv_get_kind(value)) {
	case JV_KIND_STRING:
		return w->strings ? w->fn(w->ctx, value, at) : value;
	case JV_KIND_ARRAY:
		result = jv_array();
		jv_array_foreach(value, i, item) {
			struct place here = { at, NULL, i };

			item = walk(w, item, &here);
			if (!jv_is_valid(item)) {
				jv_free(result);
				jv_free(value);
				return item;
			}
			result = jv_array_append(result, item);
		}
		jv_free(value);
		return result;
	case JV_KIND_OBJECT:
		if (is_tree_peek(value))
			return w->strings ? value : w->fn(w->ctx, value, at);
		result = jv_object();
		jv_object_foreach(value, key, item) {
			struct place here = { at, jv_string_value(key), 0 };

			item = walk(w, item, &here);
			if (jv_is_valid(item) && w->name) {
				jv name = w->name(w->ctx, jv_copy(key), &here);

				if (!jv_is_valid(name)) {
					jv_free(item);
					item = name;
				} else {
					jv_free(key);
					key = name;
				}
			}
			if (!jv_is_valid(item)) {
				jv_free(key);
				jv_free(result);
				jv_free(value);
				return item;
			}
			result = jv_object_set(result, key, item);
		}
		jv_free(value);
		return result;
	default:
		return value;
	}
}

static jv
walk_strings(jv value, leaf_fn *fn)
{
	struct walk w = { true, fn, NULL, NULL };

	return walk(&w, value, NULL);
}

static bool
in_metadata(const struct place *at)
{
	for (; at; at = at->up)
		if (at->name && strcasecmp(at->name, "metadata") == 0)
			return true;
	return false;
}

static jv
lift_string(void *ctx, jv s, const struct place *at)
{
	jv parsed;

	(void)ctx;
	if (!expr_is(jv_string_value(s)))
		return s;
	parsed = expr_parse(jv_string_value(s));
	if (!jv_is_valid(parsed) && in_metadata(at)) {
		jv_free(parsed); /* a description is never evaluated */
		return s;
	}
	if (!jv_is_valid(parsed)) {
		jv_free(s);
		return placed(parsed, at);
	}
	jv_free(s);
	return jv_get_kind(parsed) == JV_KIND_STRING ? escape_string(parsed)
						     : parsed;
}

jv
expr_lift(jv value)
{
	return walk_strings(value, lift_string);
}

static jv
lower_tree(void *ctx, jv leaf, const struct place *at)
{
	jv text = expr_print(leaf);

	(void)ctx;
	return jv_is_valid(text) ? text : placed(text, at);
}

jv
expr_lower(jv value)
{
	struct walk w = { false, lower_tree, NULL, NULL };

	return walk(&w, value, NULL);
}

static jv
escape_leaf(void *ctx, jv s, const struct place *at)
{
	(void)ctx;
	(void)at;
	return escape_string(s);
}

jv
expr_escape(jv value)
{
	return walk_strings(value, escape_leaf);
}

static jv
unescape_leaf(void *ctx, jv s, const struct place *at)
{
	const char *text = jv_string_value(s);
	size_t len = strlen(text);

	(void)ctx;
	(void)at;
	if (len >= 3 && text[0] == '[' && text[1] == '[' &&
	    text[len - 1] == ']') {
		jv plain = jv_string_sized(text + 1, (int)len - 1);

		jv_free(s);
		return plain;
	}
	return s;
}

jv
expr_unescape(jv value)
{
	return walk_strings(value, unescape_leaf);
}

/* ---- what is not known ---- */

jv
expr_unknown(void)
{
	return jv_invalid_with_msg(
	    jv_object_set(jv_object(), jv_string(EXPR), jv_true()));
}

bool
expr_is_unknown(jv value)
{
	jv msg;
	bool yes;

	if (jv_is_valid(value) || !jv_invalid_has_msg(jv_copy(value)))
		return false;
	msg = jv_invalid_get_msg(jv_copy(value));
	yes = jv_get_kind(msg) == JV_KIND_OBJECT &&
	      jv_object_has(jv_copy(msg), jv_string(EXPR));
	jv_free(msg);
	return yes;
}

/* ---- pure functions ---- */

/* args are all known; consumed.  expr_unknown() leaves the call as it is. */
typedef jv pure_fn(const char *name, jv args);

static jv
bad_args(const char *name, jv args)
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
static jv
to_text(jv value)
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
		while (b.len && b.at[b.len - 1] == '\n')
			b.len--;
		text = jv_string_sized(b.at, (int)b.len);
		buf_wipe(&b);
		return text;
	}
	default:
		return value;
	}
}

static bool
is_scalar(jv_kind k)
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
			return bad_args(name, args);
		out = jv_array();
		jv_array_foreach(args, i, a)
			out = jv_array_concat(out, a);
		jv_free(args);
		return out;
	}
	out = jv_string("");
	jv_array_foreach(args, i, a) {
		if (!is_scalar(jv_get_kind(a))) {
			jv_free(a);
			jv_free(out);
			return bad_args(name, args);
		}
		out = jv_string_concat(out, to_text(a));
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
		return bad_args(name, args);
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
			return bad_args(name, args);
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
			return bad_args(name, args);
		}
		part = to_text(arg(args, (int)n + 1));
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
		return bad_args(name, args);
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
		return bad_args(name, args);
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
		return bad_args(name, args);
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
		return bad_args(name, args);
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
		return bad_args(name, args);
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
		return bad_args(name, args);
	list = arg(args, 0);
	sep = arg(args, 1);
	out = jv_string("");
	jv_array_foreach(list, i, a) {
		if (i > 0)
			out = jv_string_concat(out, jv_copy(sep));
		out = jv_string_concat(out, to_text(a));
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
		return bad_args(name, args);
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
		return bad_args(name, args);
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
		return bad_args(name, args);
	}
	jv_free(args);
	return to_text(v);
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
		return bad_args(name, args);
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
		return bad_args(name, args);
	jv_free(args);
	return jv_bool_of(yes);
}

static jv
f_json(const char *name, jv args)
{
	jv s = arg(args, 0), v;

	if (jv_get_kind(s) != JV_KIND_STRING) {
		jv_free(s);
		return bad_args(name, args);
	}
	v = doc_parse(span_of(jv_string_value(s)), NULL);
	jv_free(s);
	if (!jv_is_valid(v)) {
		jv_free(v);
		return bad_args(name, args);
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
		return bad_args(name, args);
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
		return bad_args(name, args);
	}
	for (const char *c = jv_string_value(s); *c && *c != '='; c++) {
		const char *at = strchr(set, *c);

		if (at == NULL) {
			buf_wipe(&b);
			jv_free(s);
			return bad_args(name, args);
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
		return bad_args(name, args);
	}
	buf_url(&b, jv_string_value(s), strlen(jv_string_value(s)));
	out = jv_string_sized(b.len ? b.at : "", (int)b.len);
	buf_free(&b);
	jv_free(s);
	jv_free(args);
	return out;
}

/* FNV-1a over the arguments, each with its length's end marked. */
static uint64_t
hash(jv args, uint64_t h)
{
	jv_array_foreach(args, i, a) {
		jv text = to_text(a);

		for (const char *c = jv_string_value(text); *c; c++)
			h = (h ^ (unsigned char)*c) * 1099511628211u;
		h = (h ^ 0xff) * 1099511628211u;
		jv_free(text);
	}
	/* The last bytes must reach the first characters as well. */
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdu;
	h ^= h >> 33;
	return h;
}

static jv
f_unique_string(const char *name, jv args)
{
	char out[14];
	uint64_t h;

	if (arg_count(args) < 1 || !all_are(args, JV_KIND_STRING))
		return bad_args(name, args);
	h = hash(args, 14695981039346656037u);
	for (int i = 0; i < 13; i++) {
		out[i] = "abcdefghijklmnopqrstuvwxyz234567"[h & 31];
		h = h >> 5 | h << 59;
	}
	out[13] = '\0';
	jv_free(args);
	return jv_string(out);
}

static jv
f_guid(const char *name, jv args)
{
	uint64_t a, b;

	if (arg_count(args) < 1 || !all_are(args, JV_KIND_STRING))
		return bad_args(name, args);
	a = hash(args, 14695981039346656037u);
	b = hash(args, 1099511628211u);
	jv_free(args);
	return jv_text("%08" PRIx32 "-%04x-5%03x-%04x-%012" PRIx64,
	    (uint32_t)(a >> 32), (unsigned)(a >> 16 & 0xffff),
	    (unsigned)(a & 0xfff), (unsigned)(0x8000 | (b >> 48 & 0x3fff)),
	    b & 0xffffffffffffu);
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
		return bad_args(name, args);
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
		return bad_args(name, args);
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
		return bad_args(name, args);
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
		return bad_args(name, args);
	a = arg_number(args, 0);
	b = arg_number(args, 1);
	if ((*name == 'd' || strcmp(name, "mod") == 0) && b == 0)
		return bad_args(name, args);
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
		return bad_args(name, args);
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
		return bad_args(name, args);
	from = (long)arg_number(args, 0);
	count = (long)arg_number(args, 1);
	if (count < 0 || count > 10000)
		return bad_args(name, args);
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
		return bad_args(name, args);
	}
	jv_free(v);
	jv_free(args);
	return jv_bool_of(yes);
}

/* The member of that name, without case; invalid when there is none. */
static jv
member_nocase(jv object, const char *name)
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

	if (arg_count(args) != 2 || !is_scalar(jv_get_kind(what)) ||
	    (k != JV_KIND_ARRAY && jv_get_kind(what) != JV_KIND_STRING)) {
		jv_free(in);
		jv_free(what);
		return bad_args(name, args);
	}
	if (k == JV_KIND_STRING) {
		yes =
		    strstr(jv_string_value(in), jv_string_value(what)) != NULL;
	} else if (k == JV_KIND_OBJECT) {
		jv m = member_nocase(jv_copy(in), jv_string_value(what));

		yes = jv_is_valid(m);
		jv_free(m);
	} else if (k == JV_KIND_ARRAY) {
		jv_array_foreach(in, i, item)
			yes = jv_equal(item, jv_copy(what)) || yes;
	}
	jv_free(in);
	jv_free(what);
	if (k != JV_KIND_STRING && k != JV_KIND_OBJECT && k != JV_KIND_ARRAY)
		return bad_args(name, args);
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
	return bad_args(name, args);
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
		return bad_args(name, args);
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
		return bad_args(name, args);
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
			return bad_args(name, args);
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
		return bad_args(name, args);
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
		return bad_args(name, args);
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
		return bad_args(name, args);
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
	jv s = to_text(arg(args, 0)), pad = arg(args, 2), out;
	struct buf b = BUF_INIT;
	long width, len;

	if (!arg_is(args, 1, JV_KIND_NUMBER) ||
	    (arg_count(args) > 2 && jv_get_kind(pad) != JV_KIND_STRING) ||
	    arg_number(args, 1) > 1000) {
		jv_free(s);
		jv_free(pad);
		return bad_args(name, args);
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
	{ "guid", f_guid },
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
	{ "uniquestring", f_unique_string },
	{ "uricomponent", f_uri_component },
};

/* ---- folding ---- */

struct fold {
	const struct expr_world *world;
};

static jv fold_value(const struct fold *f, jv value);

/*
 * concat() of which a part is unknown: neighbours that are known become one.
 * Only with a string among them, which says that it is no concat() of arrays.
 */
static jv
merge_literals(jv args)
{
	bool strings = false;
	jv out = jv_array();

	jv_array_foreach(args, i, a) {
		strings = strings || jv_get_kind(a) == JV_KIND_STRING;
		jv_free(a);
	}
	if (!strings) {
		jv_free(out);
		return args;
	}
	jv_array_foreach(args, i, a) {
		int n = jv_array_length(jv_copy(out));
		jv last = n ? jv_array_get(jv_copy(out), n - 1) : jv_invalid();

		if (is_scalar(jv_get_kind(a)) && is_scalar(jv_get_kind(last))) {
			a = jv_string_concat(to_text(last), to_text(a));
			out = jv_array_set(out, n - 1, a);
		} else {
			jv_free(last);
			out = jv_array_append(out, a);
		}
	}
	jv_free(args);
	return out;
}

/* A branch that may not be taken: what fails in it stays as it is. */
static jv
fold_maybe(const struct fold *f, jv value)
{
	jv folded = fold_value(f, jv_copy(value));

	if (jv_is_valid(folded)) {
		jv_free(value);
		return folded;
	}
	jv_free(folded);
	return value;
}

static jv
fold_if(const struct fold *f, jv name, jv args)
{
	jv test;

	if (arg_count(args) != 3) {
		jv_free(name);
		return bad_args("if", args);
	}
	test = fold_value(f, arg(args, 0));
	switch (jv_get_kind(test)) {
	case JV_KIND_INVALID:
		jv_free(name);
		jv_free(args);
		return test;
	case JV_KIND_TRUE:
	case JV_KIND_FALSE: {
		jv branch =
		    arg(args, jv_get_kind(test) == JV_KIND_TRUE ? 1 : 2);

		jv_free(test);
		jv_free(name);
		jv_free(args);
		return fold_value(f, branch);
	}
	default:
		break;
	}
	if (!is_tree_peek(test)) {
		jv_free(test);
		jv_free(name);
		return bad_args("if", args);
	}
	args = jv_array_set(args, 0, test);
	for (int i = 1; i < 3; i++)
		args = jv_array_set(args, i, fold_maybe(f, arg(args, i)));
	return tree_call(name, args);
}

/* and(), or(): the first that decides ends it; what is known and does not
 * decide is dropped. */
static jv
fold_and_or(const struct fold *f, jv name, jv args, bool and)
{
	jv left = jv_array();
	jv_kind decides = and? JV_KIND_FALSE : JV_KIND_TRUE;
	jv_kind neutral = and? JV_KIND_TRUE : JV_KIND_FALSE;
	int n = arg_count(args);

	for (int i = 0; i < n; i++) {
		bool unsure = arg_count(left) > 0;
		jv a = unsure ? fold_maybe(f, arg(args, i))
			      : fold_value(f, arg(args, i));

		if (!jv_is_valid(a)) {
			jv_free(name);
			jv_free(args);
			jv_free(left);
			return a;
		}
		if (jv_get_kind(a) == decides && !unsure) {
			jv_free(name);
			jv_free(args);
			jv_free(left);
			return a;
		}
		if (jv_get_kind(a) == neutral) {
			jv_free(a);
		} else if (jv_get_kind(a) == decides || is_tree_peek(a)) {
			left = jv_array_append(left, a);
		} else {
			jv_free(a);
			jv_free(name);
			jv_free(left);
			return bad_args(and? "and" : "or", args);
		}
	}
	jv_free(args);
	if (arg_count(left) == 0) {
		jv_free(name);
		jv_free(left);
		return jv_bool_of(and);
	}
	/* Never with one argument, which the service refuses. */
	if (arg_count(left) == 1)
		left = jv_array_append(left, jv_bool_of(and));
	return tree_call(name, left);
}

static jv
call_known(const struct fold *f, const char *name, jv args)
{
	for (size_t i = 0; i < sizeof(pure) / sizeof(pure[0]); i++)
		if (strcmp(pure[i].name, name) == 0)
			return pure[i].fn(name, args);
	if (f->world && f->world->call)
		return f->world->call(f->world->ctx, name, args);
	jv_free(args);
	return expr_unknown();
}

static jv
fold_call(const struct fold *f, jv name, jv args)
{
	char low[128];
	size_t n = strlen(jv_string_value(name));
	bool known = true;
	jv folded, result;

	if (n >= sizeof(low)) {
		jv_free(name);
		jv_free(args);
		return jv_fail(BAD_DATA, NULL, "a function's name is too long");
	}
	for (size_t i = 0; i <= n; i++)
		low[i] = (char)tolower((unsigned char)jv_string_value(name)[i]);
	if (strcmp(low, "if") == 0)
		return fold_if(f, name, args);
	if (strcmp(low, "and") == 0 || strcmp(low, "or") == 0)
		return fold_and_or(f, name, args, *low == 'a');
	folded = jv_array();
	jv_array_foreach(args, i, a) {
		a = fold_value(f, a);
		if (!jv_is_valid(a)) {
			jv_free(folded);
			jv_free(name);
			jv_free(args);
			return a;
		}
		known = known && !expr_has_tree_peek(a);
		folded = jv_array_append(folded, a);
	}
	jv_free(args);
	if (!known) {
		if (strcmp(low, "concat") == 0)
			folded = merge_literals(folded);
		/* What only builds needs no known parts. */
		if (strcmp(low, "createarray") == 0) {
			jv_free(name);
			return folded;
		}
		return tree_call(name, folded);
	}
	result = call_known(f, low, jv_copy(folded));
	if (expr_is_unknown(result)) {
		jv_free(result);
		return tree_call(name, folded);
	}
	jv_free(name);
	jv_free(folded);
	return result;
}

static jv
known_names(jv object)
{
	jv names = jv_string("");

	jv_object_foreach(object, key, item) {
		if (*jv_string_value(names))
			names = jv_string_append_str(names, ", ");
		names = jv_string_concat(names, key);
		jv_free(item);
	}
	jv_free(object);
	return names;
}

static jv
fold_select(jv value, jv key, const char *kind)
{
	jv found = jv_invalid(), names;

	if (is_tree_peek(value) || is_tree_peek(key))
		return tree_pair(kind, value, key);
	if (jv_get_kind(value) == JV_KIND_OBJECT &&
	    jv_get_kind(key) == JV_KIND_STRING) {
		found = member_nocase(jv_copy(value), jv_string_value(key));
		if (!jv_is_valid(found)) {
			jv_free(found);
			names = known_names(value);
			found = jv_fail(BAD_DATA, NULL,
			    "the property '%s' doesn't exist, available "
			    "properties are '%s'",
			    jv_string_value(key), jv_string_value(names));
			jv_free(names);
			jv_free(key);
			return found;
		}
	} else if (jv_get_kind(value) == JV_KIND_ARRAY &&
		   jv_get_kind(key) == JV_KIND_NUMBER) {
		double i = jv_number_value(key);

		if (i >= 0 && i < jv_array_length(jv_copy(value)))
			found = jv_array_get(jv_copy(value), (int)i);
	}
	if (!jv_is_valid(found)) {
		const char *what = jv_get_kind(value) == JV_KIND_ARRAY
				       ? "an array"
				   : jv_get_kind(value) == JV_KIND_OBJECT
				       ? "an object"
				       : "a value that has no parts";
		jv text = to_text(jv_copy(key));

		jv_free(found);
		found = jv_fail(BAD_DATA, NULL, "there is no '%s' in %s",
		    jv_string_value(text), what);
		jv_free(text);
	}
	jv_free(value);
	jv_free(key);
	return found;
}

static jv
fold_body(const struct fold *f, jv body)
{
	static const char *const kinds[] = { "index", "member" };
	jv name = jv_at(jv_copy(body), "call");

	if (jv_get_kind(name) == JV_KIND_STRING) {
		jv args = jv_at(body, "args");

		if (jv_get_kind(args) == JV_KIND_ARRAY)
			return fold_call(f, name, args);
		jv_free(args);
		jv_free(name);
		return jv_fail(
		    BAD_DATA, NULL, "a call under '" EXPR "' has no args");
	}
	jv_free(name);
	for (size_t i = 0; i < 2; i++) {
		jv pair = jv_at(jv_copy(body), kinds[i]), value, key;

		if (jv_get_kind(pair) != JV_KIND_ARRAY) {
			jv_free(pair);
			continue;
		}
		jv_free(body);
		value = fold_value(f, arg(pair, 0));
		key = jv_is_valid(value) ? fold_value(f, arg(pair, 1))
					 : jv_null();
		jv_free(pair);
		if (!jv_is_valid(value)) {
			jv_free(key);
			return value;
		}
		if (!jv_is_valid(key)) {
			jv_free(value);
			return key;
		}
		return fold_select(value, key, kinds[i]);
	}
	jv_free(body);
	return jv_fail(
	    BAD_DATA, NULL, "a tree under '" EXPR "' is not one of expr.h's");
}

/* Inside of a tree: a tree, or a literal, in which trees may stand. */
static jv
fold_leaf(void *ctx, jv leaf, const struct place *at)
{
	jv body = tree_body_peek(leaf);

	(void)at;
	jv_free(leaf);
	return fold_body(ctx, body);
}

static jv
fold_value(const struct fold *f, jv value)
{
	struct fold copy = *f;
	struct walk w = { false, fold_leaf, NULL, &copy };

	return walk(&w, value, NULL);
}

/* In the document: a string that came out has to mean itself there. */
static jv
fold_tree(void *ctx, jv leaf, const struct place *at)
{
	jv value = fold_leaf(ctx, leaf, at);

	if (!jv_is_valid(value))
		return placed(value, at);
	return expr_escape(value);
}

/* A member's name, as that of a user-assigned identity, may be one too. */
static jv
fold_name(void *ctx, jv name, const struct place *at)
{
	jv value;

	if (!expr_is(jv_string_value(name)))
		return name;
	value = expr_parse(jv_string_value(name));
	if (!jv_is_valid(value)) {
		jv_free(name);
		return placed(value, at);
	}
	if (is_tree_peek(value))
		value = fold_leaf(ctx, value, at);
	jv_free(name);
	if (!jv_is_valid(value))
		return placed(value, at);
	if (jv_get_kind(value) == JV_KIND_STRING)
		return value;
	value = expr_print(value);
	if (jv_get_kind(value) == JV_KIND_STRING)
		return value;
	jv_free(value);
	return placed(
	    jv_fail(BAD_DATA, NULL, "a member's name must be a string"), at);
}

jv
expr_fold(jv value, const struct expr_world *world)
{
	struct fold f = { world };
	struct walk w = { false, fold_tree, fold_name, &f };

	return walk(&w, value, NULL);
}
