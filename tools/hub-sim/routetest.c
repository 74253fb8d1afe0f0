/*
 * routetest.c: HUB/routing/routes/$testnew and $testall (CONTRACT 5.2): does a
 * message meet the condition of a route?
 *
 * The language of conditions, as far as it is here: literals, application
 * properties by their names, $system properties, $body.x, $twin.x, = != <> < <=
 * > >=, IN, AND, OR, NOT, and functions of one or two arguments.  What is not
 * there is undefined, and so is what is made of it; an invalid jv stands for
 * it.
 */
#include "iothubs.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

enum { DEPTH = 64 };

struct reader {
	const char *at, *bad; /* bad: where it stopped, or NULL */
	const char *why;
	jv message, twin; /* borrowed */
	int depth;
};

static jv read_or(struct reader *c);

static jv
undefined(jv a, jv b)
{
	jv_free(a);
	jv_free(b);
	return jv_invalid();
}

static jv
give_up(struct reader *c, const char *why)
{
	if (!c->bad) {
		c->bad = c->at;
		c->why = why;
	}
	return jv_invalid();
}

static void
skip_blanks(struct reader *c)
{
	while (isspace((unsigned char)*c->at))
		c->at++;
}

static bool
name_byte(char b)
{
	return isalnum((unsigned char)b) || b == '_' || b == '-';
}

static bool
take_word(struct reader *c, const char *word)
{
	size_t n = strlen(word);

	skip_blanks(c);
	if (strncasecmp(c->at, word, n) != 0 ||
	    (isalpha((unsigned char)*word) && name_byte(c->at[n])))
		return false;
	c->at += n;
	return true;
}

static bool
expect(struct reader *c, const char *word, const char *why)
{
	if (take_word(c, word))
		return true;
	(void)give_up(c, why);
	return false;
}

/* -- values -------------------------------------------------------------- */

static jv
read_string(struct reader *c)
{
	struct buf text = BUF_INIT;
	char quote = *c->at++;
	jv out;

	while (*c->at && (*c->at != quote || c->at[1] == quote)) {
		c->at += *c->at == quote;
		buf_char(&text, *c->at++);
	}
	if (!*c->at) {
		buf_free(&text);
		return give_up(c, "a string without end");
	}
	c->at++;
	out = jv_string_sized(text.at ? text.at : "", (int)text.len);
	buf_free(&text);
	return out;
}

static char *
read_name(struct reader *c)
{
	const char *from = c->at;

	while (name_byte(*c->at))
		c->at++;
	return xstrndup(from, (size_t)(c->at - from));
}

static jv
element(struct reader *c, jv array)
{
	long n = strtol(c->at, (char **)&c->at, 10);

	if (*c->at != ']') {
		jv_free(array);
		return give_up(c, "']' is missing");
	}
	c->at++;
	if (jv_get_kind(array) == JV_KIND_ARRAY && n >= 0 && n < 1 << 20)
		return jv_array_get(array, (int)n);
	jv_free(array);
	return jv_invalid();
}

/* ".a.b[0]" of it. */
static jv
read_path(struct reader *c, jv v)
{
	while (*c->at == '.' || *c->at == '[') {
		if (*c->at++ == '[') {
			v = element(c, v);
		} else {
			char *name = read_name(c);

			v = jv_at_nocase(v, name);
			free(name);
		}
	}
	return v;
}

/* The body is text in a test message; JSON in it can be looked into. */
static jv
body_of(jv message)
{
	jv body = arm_member(message, "body"), parsed;

	if (jv_get_kind(body) != JV_KIND_STRING)
		return body;
	parsed = jv_parse(jv_string_value(body));
	if (!jv_is_valid(parsed)) {
		jv_free(parsed);
		return body;
	}
	jv_free(body);
	return parsed;
}

static jv
read_property(struct reader *c)
{
	bool system = *c->at == '$';
	char *name;
	jv v;

	c->at += system;
	name = read_name(c);
	if (!*name) {
		free(name);
		return give_up(c, "a value was expected");
	}
	if (!system && strcasecmp(name, "true") == 0)
		v = jv_true();
	else if (!system && strcasecmp(name, "false") == 0)
		v = jv_false();
	else if (!system && strcasecmp(name, "null") == 0)
		v = jv_null();
	else if (!system && strcasecmp(name, "undefined") == 0)
		v = jv_invalid();
	else if (system && strcasecmp(name, "body") == 0)
		v = read_path(c, body_of(c->message));
	else if (system && strcasecmp(name, "twin") == 0)
		v = read_path(c, jv_copy(c->twin));
	else
		v = jv_at_nocase(
		    arm_member(c->message,
			system ? "systemProperties" : "appProperties"),
		    name);
	free(name);
	return v;
}

/* -- functions ----------------------------------------------------------- */

static const struct function {
	const char *name;
	int arguments;
} functions[] = {
	{ "IS_DEFINED", 1 },
	{ "IS_NULL", 1 },
	{ "IS_BOOL", 1 },
	{ "IS_NUMBER", 1 },
	{ "IS_STRING", 1 },
	{ "IS_OBJECT", 1 },
	{ "IS_ARRAY", 1 },
	{ "LENGTH", 1 },
	{ "LOWER", 1 },
	{ "UPPER", 1 },
	{ "AS_NUMBER", 1 },
	{ "STARTS_WITH", 2 },
	{ "ENDS_WITH", 2 },
	{ "CONTAINS", 2 },
};

static jv
truth(bool is)
{
	return is ? jv_true() : jv_false();
}

static jv
change_case(jv text, int (*change)(int))
{
	char *s = jv_dup_string(text);
	jv out;

	if (!s)
		return jv_invalid();
	for (char *b = s; *b; b++)
		*b = (char)change((unsigned char)*b);
	out = jv_string(s);
	free(s);
	return out;
}

static jv
as_number(jv v)
{
	const char *text = jv_string_peek(v);
	char *end;
	double x;

	if (jv_get_kind(v) == JV_KIND_NUMBER)
		return v;
	x = text ? strtod(text, &end) : 0;
	if (!text || end == text || *end)
		return undefined(v, jv_invalid());
	jv_free(v);
	return jv_number(x);
}

static jv
in_text(const char *name, jv a, jv b)
{
	const char *text = jv_string_peek(a), *part = jv_string_peek(b);
	size_t n, m;
	bool is;

	if (!text || !part)
		return undefined(a, b);
	n = strlen(text);
	m = strlen(part);
	if (*name == 'C')
		is = strstr(text, part) != NULL;
	else if (*name == 'S')
		is = strncmp(text, part, m) == 0;
	else
		is = n >= m && strcmp(text + n - m, part) == 0;
	jv_free(a);
	jv_free(b);
	return truth(is);
}

static jv
call(const struct function *f, jv a, jv b)
{
	static const struct {
		const char *name;
		jv_kind kind;
	} kinds[] = { { "IS_NULL", JV_KIND_NULL },
		{ "IS_NUMBER", JV_KIND_NUMBER },
		{ "IS_STRING", JV_KIND_STRING },
		{ "IS_OBJECT", JV_KIND_OBJECT },
		{ "IS_ARRAY", JV_KIND_ARRAY } };
	jv_kind kind = jv_get_kind(a);

	if (f->arguments == 2)
		return in_text(f->name, a, b);
	jv_free(b);
	if (strcmp(f->name, "LENGTH") == 0 && kind == JV_KIND_STRING)
		return jv_number(jv_string_length_codepoints(a));
	if (strcmp(f->name, "LOWER") == 0)
		return change_case(a, tolower);
	if (strcmp(f->name, "UPPER") == 0)
		return change_case(a, toupper);
	if (strcmp(f->name, "AS_NUMBER") == 0)
		return as_number(a);
	jv_free(a);
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (strcmp(f->name, kinds[i].name) == 0)
			return truth(kind == kinds[i].kind);
	if (strcmp(f->name, "IS_DEFINED") == 0)
		return truth(kind != JV_KIND_INVALID);
	if (strcmp(f->name, "IS_BOOL") == 0)
		return truth(kind == JV_KIND_TRUE || kind == JV_KIND_FALSE);
	return jv_invalid();
}

static const struct function *
take_function(struct reader *c)
{
	const char *from = c->at;
	char *name = read_name(c);
	const struct function *f = functions,
			      *end = f + sizeof functions / sizeof *functions;

	skip_blanks(c);
	while (f < end && strcasecmp(f->name, name) != 0)
		f++;
	if (*name && *c->at == '(' && f == end &&
	    strcasecmp(name, "NOT") != 0 && strcasecmp(name, "IN") != 0)
		(void)give_up(c, "there is no such function");
	free(name);
	if (f < end && *c->at == '(') {
		c->at++;
		return f;
	}
	c->at = from;
	return NULL;
}

static jv
read_value(struct reader *c)
{
	const struct function *f;
	char *end;
	jv v, b = jv_invalid();

	skip_blanks(c);
	if (*c->at == '\'' || *c->at == '"')
		return read_string(c);
	if (isdigit((unsigned char)*c->at) ||
	    ((*c->at == '-' || *c->at == '.') &&
		isdigit((unsigned char)c->at[1]))) {
		v = jv_number(strtod(c->at, &end));
		c->at = end;
		return v;
	}
	if (*c->at == '(') {
		c->at++;
		v = read_or(c);
		return expect(c, ")", "')' is missing")
			   ? v
			   : undefined(v, jv_invalid());
	}
	f = take_function(c);
	if (c->bad)
		return jv_invalid();
	if (!f)
		return read_property(c);
	v = read_or(c);
	if (f->arguments == 2 && expect(c, ",", "',' is missing")) {
		jv_free(b);
		b = read_or(c);
	}
	(void)expect(c, ")", "')' is missing");
	return call(f, v, b);
}

/* -- conditions ---------------------------------------------------------- */

static bool
is_bool(jv v)
{
	return jv_get_kind(v) == JV_KIND_TRUE ||
	       jv_get_kind(v) == JV_KIND_FALSE;
}

/* Values of different kinds are neither equal nor different. */
static jv
compare(const char *sign, jv a, jv b)
{
	jv_kind kind = jv_get_kind(a);
	int order;

	if (kind == JV_KIND_INVALID || jv_get_kind(b) == JV_KIND_INVALID ||
	    (kind != jv_get_kind(b) && !(is_bool(a) && is_bool(b))))
		return undefined(a, b);
	order = jv_cmp(a, b);
	if (strcmp(sign, "=") == 0)
		return truth(order == 0);
	if (strcmp(sign, "!=") == 0 || strcmp(sign, "<>") == 0)
		return truth(order != 0);
	if (kind != JV_KIND_NUMBER && kind != JV_KIND_STRING)
		return jv_invalid();
	if (*sign == '<')
		return truth(order < 0 || (sign[1] && order == 0));
	return truth(order > 0 || (sign[1] && order == 0));
}

static jv
read_in(struct reader *c, jv v)
{
	bool in = false;

	if (!expect(c, "[", "'[' is missing"))
		return undefined(v, jv_invalid());
	do {
		jv one = compare("=", jv_copy(v), read_value(c));

		in |= jv_get_kind(one) == JV_KIND_TRUE;
		jv_free(one);
	} while (!c->bad && take_word(c, ","));
	(void)expect(c, "]", "']' is missing");
	if (!jv_is_valid(v))
		return v;
	jv_free(v);
	return truth(in);
}

static jv
read_compare(struct reader *c)
{
	static const char *const operators[] = { "!=", "<>", "<=", ">=", "=",
		"<", ">", NULL };
	jv v;

	if (take_word(c, "NOT")) {
		v = ++c->depth > DEPTH ? give_up(c, "it is nested too deep")
				       : read_compare(c);
		c->depth--;
		if (!is_bool(v))
			return undefined(v, jv_invalid());
		return truth(jv_get_kind(v) == JV_KIND_FALSE);
	}
	v = read_value(c);
	if (!c->bad && take_word(c, "IN"))
		return read_in(c, v);
	for (const char *const *o = operators; *o && !c->bad; o++)
		if (take_word(c, *o))
			return compare(*o, v, read_value(c));
	return v;
}

/* One that decides wins; else one that is undefined. */
static jv
join(jv a, jv b, jv_kind decides)
{
	jv_kind x = jv_get_kind(a), y = jv_get_kind(b);

	jv_free(a);
	jv_free(b);
	if (x == decides || y == decides)
		return truth(decides == JV_KIND_TRUE);
	if ((x != JV_KIND_TRUE && x != JV_KIND_FALSE) ||
	    (y != JV_KIND_TRUE && y != JV_KIND_FALSE))
		return jv_invalid();
	return truth(decides != JV_KIND_TRUE);
}

static jv
read_and(struct reader *c)
{
	jv v = read_compare(c);

	while (!c->bad && take_word(c, "AND"))
		v = join(v, read_compare(c), JV_KIND_FALSE);
	return v;
}

static jv
read_or(struct reader *c)
{
	jv v;

	if (++c->depth > DEPTH)
		return give_up(c, "it is nested too deep");
	v = read_and(c);
	while (!c->bad && take_word(c, "OR"))
		v = join(v, read_and(c), JV_KIND_TRUE);
	c->depth--;
	return v;
}

/* "true", "false" or "undefined"; *error, where it is not NULL: why it cannot
 * be read, or null. */
static const char *
evaluate(const char *condition, jv message, jv twin, jv *error)
{
	struct reader c = { .at = condition, .message = message, .twin = twin };
	jv v = read_or(&c), place;
	jv_kind kind = jv_get_kind(v);

	jv_free(v);
	skip_blanks(&c);
	if (!c.bad && *c.at)
		(void)give_up(&c, "something follows the condition");
	*error = jv_null();
	if (!c.bad)
		return kind == JV_KIND_TRUE    ? "true"
		       : kind == JV_KIND_FALSE ? "false"
					       : "undefined";
	place = jv_put(jv_put(jv_object(), "line", jv_number(1)), "column",
	    jv_number((double)(c.bad - condition + 1)));
	*error =
	    jv_put(jv_put(jv_object(), "message",
		       jv_text("The condition cannot be read: %s.", c.why)),
		"severity", jv_string("error"));
	*error = jv_put(*error, "location",
	    jv_put(jv_put(jv_object(), "start", jv_copy(place)), "end", place));
	return "undefined";
}

/* -- requests ------------------------------------------------------------ */

static const char *
meets(jv route, jv request, jv *error)
{
	char *condition = arm_text(route, "condition");
	jv message = arm_member(request, "message"),
	   twin = arm_member(request, "twin");
	const char *result =
	    evaluate(condition ? condition : "true", message, twin, error);

	jv_free(message);
	jv_free(twin);
	free(condition);
	return result;
}

static void
test_new(struct sim_reply *r, jv request)
{
	jv route = arm_member(request, "route"), error, out;
	const char *result = meets(route, request, &error);

	jv_free(route);
	jv_free(request);
	out = jv_put(jv_object(), "result", jv_string(result));
	if (jv_get_kind(error) == JV_KIND_OBJECT)
		out = jv_put(out, "details",
		    jv_put(jv_object(), "compilationErrors", JV_ARRAY(error)));
	else
		jv_free(error);
	arm_answer(r, 200, out);
}

/* The routes of that source that the message goes to. */
static void
test_all(struct sim_reply *r, jv request, jv hub)
{
	char *source = arm_text(request, "routingSource"), *own;
	jv routes = jv_path(hub, "properties.routing.routes"),
	   list = jv_array(), error;

	jv_array_foreach(routes, i, one) {
		const char *result = meets(one, request, &error);

		jv_free(error);
		own = arm_text(one, "source");
		if (arm_is_true(one, "isEnabled") && own &&
		    (!source || strcasecmp(source, own) == 0) &&
		    strcmp(result, "true") == 0)
			list = jv_array_append(list,
			    jv_put(jv_object(), "properties", jv_copy(one)));
		free(own);
		jv_free(one);
	}
	jv_free(routes);
	jv_free(request);
	free(source);
	arm_answer(r, 200, jv_put(jv_object(), "routes", list));
}

bool
routes_test(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const struct arm_id *id, const char *what)
{
	bool one = strcasecmp(what, "$testnew") == 0;
	jv request;

	if (!one && strcasecmp(what, "$testall") != 0)
		return false;
	request = arm_parse(q->body);
	if (!jv_is_valid(request))
		arm_refuse(r, request);
	else if (one)
		test_new(r, request);
	else
		test_all(r, request, arm_load(s, id->key));
	return true;
}
