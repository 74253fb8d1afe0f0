/*
 * expr.c: text to trees and back; see expr.h.  Parsing and printing are each
 * other's inverse but for white space.
 */
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
#include "sign.h"

enum { EXPR_DEPTH = 100 };

/* ---- trees ---- */

static jv
expr_tree(jv body)
{
	return jv_object_set(jv_object(), jv_string(EXPR), body);
}

jv
expr_tree_call(jv name, jv args)
{
	return expr_tree(
	    jv_object_set(jv_object_set(jv_object(), jv_string("call"), name),
		jv_string("args"), args));
}

jv
expr_tree_pair(const char *kind, jv a, jv b)
{
	return expr_tree(jv_object_set(jv_object(), jv_string(kind),
	    jv_array_append(jv_array_append(jv_array(), a), b)));
}

/* Of a tree its body {"call", ...}; invalid if value is no tree.  Borrows. */
jv
expr_tree_body_peek(jv value)
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

bool
expr_is_tree_peek(jv value)
{
	jv body = expr_tree_body_peek(value);
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
		if (expr_is_tree_peek(value))
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
	return expr_tree_call(name, args);
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
			value = expr_tree_pair("member", value, part);
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
			value = expr_tree_pair("index", value, part);
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
	if (!expr_is_tree_peek(value))
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
	secret_free(inner); /* it may hold a connection string */
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
		body = expr_tree_body_peek(value);
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

	if (len >= 2 && text[0] == '[' && text[len - 1] == ']')
		return jv_string_concat(jv_string("["), s);
	return s;
}

jv
expr_print(jv value)
{
	struct buf b = BUF_INIT;
	jv text;

	if (jv_get_kind(value) == JV_KIND_STRING)
		return escape_string(value);
	if (!expr_is_tree_peek(value))
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

static void
place_text(const struct expr_place *at, struct buf *b)
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
jv
expr_placed(jv invalid, const struct expr_place *at)
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

jv
expr_walk(const struct expr_walk *w, jv value, const struct expr_place *at)
{
	jv result;

	switch (jv_get_kind(value)) {
	case JV_KIND_STRING:
		return w->strings ? w->fn(w->ctx, value, at) : value;
	case JV_KIND_ARRAY:
		result = jv_array();
		jv_array_foreach(value, i, item) {
			struct expr_place here = { at, NULL, i };

			item = expr_walk(w, item, &here);
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
		if (expr_is_tree_peek(value))
			return w->strings ? value : w->fn(w->ctx, value, at);
		result = jv_object();
		jv_object_foreach(value, key, item) {
			struct expr_place here = { at, jv_string_value(key),
				0 };

			item = expr_walk(w, item, &here);
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
walk_strings(jv value, expr_leaf_fn *fn)
{
	struct expr_walk w = { true, fn, NULL, NULL };

	return expr_walk(&w, value, NULL);
}

static bool
in_metadata(const struct expr_place *at)
{
	for (; at; at = at->up)
		if (at->name && strcasecmp(at->name, "metadata") == 0)
			return true;
	return false;
}

static jv
lift_string(void *ctx, jv s, const struct expr_place *at)
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
		return expr_placed(parsed, at);
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
lower_tree(void *ctx, jv leaf, const struct expr_place *at)
{
	jv text = expr_print(leaf);

	(void)ctx;
	return jv_is_valid(text) ? text : expr_placed(text, at);
}

jv
expr_lower(jv value)
{
	struct expr_walk w = { false, lower_tree, NULL, NULL };

	return expr_walk(&w, value, NULL);
}

static jv
escape_leaf(void *ctx, jv s, const struct expr_place *at)
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
unescape_leaf(void *ctx, jv s, const struct expr_place *at)
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
