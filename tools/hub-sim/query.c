/*
 * query.c: POST /devices/query (CONTRACT 14): a parser for the language, and
 * its evaluation on the text of each twin.
 *
 * Logic has three values, as in the store the service is built on: what
 * compares with a property that is not there, or with one of another type, is
 * neither true nor false, and NOT of that is the same.
 */
#include "registry.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum {
	MAX_PATH = 24,
	MAX_ITEMS = 64,
	MAX_DEPTH = 64,
	MAX_PAGE = 1000,
	DEFAULT_PAGE = 100,
};

/* A path of names, each as UTF-8. */
struct path {
	char *name[MAX_PATH];
	int count;
};

enum node_kind {
	NODE_AND,
	NODE_OR,
	NODE_NOT,
	NODE_COMPARE,
	NODE_IN,
	NODE_DEFINED,
	NODE_VALUE
};
enum operator{ OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE };

struct operand {
	bool literal;
	struct span json; /* the literal as JSON text; points into own */
	struct buf own;
	struct path path;
};

struct node {
	enum node_kind kind;
	enum operator op;
	bool negated; /* NIN, NOT IN */
	struct node *left, *right;
	struct operand a, b;
	struct operand *list;
	int count;
};

enum aggregate { AGG_NONE, AGG_COUNT, AGG_SUM, AGG_AVG, AGG_MIN, AGG_MAX };

struct item {
	enum aggregate aggregate;
	struct path path;
	char *name; /* AS; NULL: the last name of the path */
};

enum source { FROM_DEVICES, FROM_MODULES, FROM_JOBS };

struct query {
	bool all; /* SELECT * */
	long top; /* -1: no limit */
	struct item item[MAX_ITEMS];
	int items;
	enum source source;
	struct node *where;
	struct path group[MAX_ITEMS];
	int groups;
};

/* Reading. */

enum token { T_END, T_NAME, T_STRING, T_NUMBER, T_PUNCT, T_BAD };

struct parser {
	const char *p;
	enum token token;
	char punct[3];
	struct buf text; /* of a name, string (decoded) or number */
	struct refusal *f;
	int depth;
};

static int
syntax(struct parser *p, const char *what)
{
	return refuse(p->f, ARGUMENT_INVALID,
	    "BadRequest: syntax error: %s near '%.40s'", what,
	    p->token == T_END ? "the end" : p->p);
}

static bool
is_name_byte(char c, bool first)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
	       c == '$' || (unsigned char)c >= 0x80 ||
	       (!first && c >= '0' && c <= '9');
}

/* '...' or "...", with backslash escapes. */
static enum token
read_string(struct parser *p)
{
	char quote = *p->p++;

	for (; *p->p && *p->p != quote; p->p++) {
		if (*p->p == '\\' && p->p[1])
			p->p++;
		buf_char(&p->text, *p->p);
	}
	if (!*p->p)
		return T_BAD;
	p->p++;
	return T_STRING;
}

static enum token
read_number(struct parser *p)
{
	const char *from = p->p;
	struct json scan = { .count = 0 };
	struct json_fault why;
	enum token result;

	if (*p->p == '-')
		p->p++;
	while ((*p->p >= '0' && *p->p <= '9') || *p->p == '.' || *p->p == 'e' ||
	       *p->p == 'E' ||
	       ((*p->p == '-' || *p->p == '+') &&
		   (p->p[-1] == 'e' || p->p[-1] == 'E')))
		p->p++;
	buf_add(&p->text, from, (size_t)(p->p - from));
	result = json_scan(buf_peek(&p->text), &scan, &why) ? T_BAD : T_NUMBER;
	json_free(&scan);
	return result;
}

static void
next(struct parser *p)
{
	static const char *const twins[] = { "!=", "<>", "<=", ">=", "[[",
		"]]" };

	buf_clear(&p->text);
	p->punct[0] = p->punct[1] = p->punct[2] = '\0';
	while (*p->p && (unsigned char)*p->p <= ' ')
		p->p++;
	if (!*p->p) {
		p->token = T_END;
	} else if (is_name_byte(*p->p, true)) {
		while (is_name_byte(*p->p, false))
			buf_char(&p->text, *p->p++);
		p->token = T_NAME;
	} else if (*p->p == '\'' || *p->p == '"') {
		p->token = read_string(p);
	} else if ((*p->p >= '0' && *p->p <= '9') ||
		   (*p->p == '-' && p->p[1] >= '0' && p->p[1] <= '9')) {
		p->token = read_number(p);
	} else if (strchr("()[]*,.=<>!", *p->p)) {
		p->token = T_PUNCT;
		p->punct[0] = *p->p++;
		for (size_t i = 0; i < sizeof twins / sizeof *twins; i++)
			if (twins[i][0] == p->punct[0] &&
			    twins[i][1] == *p->p) {
				p->punct[1] = *p->p++;
				break;
			}
	} else {
		p->token = T_BAD;
	}
}

static bool
is_word(const struct parser *p, const char *word)
{
	return p->token == T_NAME && strcasecmp(p->text.at, word) == 0;
}

static bool
take_word(struct parser *p, const char *word)
{
	if (!is_word(p, word))
		return false;
	next(p);
	return true;
}

static bool
is_punct(const struct parser *p, const char *punct)
{
	return p->token == T_PUNCT && strcmp(p->punct, punct) == 0;
}

static bool
take_punct(struct parser *p, const char *punct)
{
	if (!is_punct(p, punct))
		return false;
	next(p);
	return true;
}

static int
add_name(struct parser *p, struct path *path)
{
	if (path->count == MAX_PATH)
		return syntax(p, "the path is too long");
	path->name[path->count++] = xstrdup(p->text.at ? p->text.at : "");
	return 0;
}

/* [[id]]: everything up to the brackets is one name. */
static int
read_bracketed(struct parser *p, struct path *path)
{
	const char *stop = strstr(p->p, "]]");

	if (!stop)
		return syntax(p, "]] expected");
	buf_clear(&p->text);
	buf_add(&p->text, p->p, (size_t)(stop - p->p));
	p->p = stop + 2;
	if (add_name(p, path))
		return -1;
	next(p);
	return 0;
}

static int
read_path(struct parser *p, struct path *path)
{
	static const char *const reserved[] = { "select", "from", "where",
		"and", "or", "not", "in", "nin", "group", "by", "as", "top",
		"order" };

	if (p->token != T_NAME)
		return syntax(p, "a property was expected");
	for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
		if (strcasecmp(p->text.at, reserved[i]) == 0)
			return syntax(p, "a property was expected");
	for (;;) {
		if (add_name(p, path))
			return -1;
		next(p);
		if (!take_punct(p, "."))
			return 0;
		while (is_punct(p, "[["))
			if (read_bracketed(p, path))
				return -1;
			else if (!take_punct(p, "."))
				return 0;
		if (p->token != T_NAME)
			return syntax(p, "a property name was expected");
	}
}

static int
read_operand(struct parser *p, struct operand *o)
{
	static const char *const words[] = { "true", "false", "null" };

	o->literal = true;
	if (p->token == T_STRING) {
		buf_json(&o->own, p->text.at ? p->text.at : "", p->text.len);
	} else if (p->token == T_NUMBER) {
		buf_span(&o->own, buf_peek(&p->text));
	} else {
		for (int i = 0; i < 3; i++)
			if (is_word(p, words[i]))
				buf_text(&o->own, words[i]);
		if (!o->own.len) {
			o->literal = false;
			return read_path(p, &o->path);
		}
	}
	o->json = buf_peek(&o->own);
	next(p);
	return 0;
}

static int
read_list(struct parser *p, struct node *n)
{
	const char *close = is_punct(p, "(") ? ")" : "]";

	if (!take_punct(p, "[") && !take_punct(p, "("))
		return syntax(p, "a list was expected");
	do {
		n->list =
		    xrealloc(n->list, (size_t)(n->count + 1) * sizeof *n->list);
		memset(&n->list[n->count], 0, sizeof *n->list);
		n->count++;
		if (read_operand(p, &n->list[n->count - 1]))
			return -1;
	} while (take_punct(p, ","));
	return take_punct(p, close) ? 0 : syntax(p, "the list is not closed");
}

static int read_or(struct parser *p, struct node **into);

static int
read_function(struct parser *p, struct node *n)
{
	n->kind = NODE_DEFINED;
	if (!take_punct(p, "("))
		return syntax(p, "( expected");
	if (read_path(p, &n->a.path))
		return -1;
	return take_punct(p, ")") ? 0 : syntax(p, ") expected");
}

static int
read_comparison(struct parser *p, struct node *n)
{
	static const struct {
		const char *text;
		enum operator op;
	} operators[] = { { "=", OP_EQ }, { "!=", OP_NE }, { "<>", OP_NE },
		{ "<", OP_LT }, { "<=", OP_LE }, { ">", OP_GT },
		{ ">=", OP_GE } };

	if (read_operand(p, &n->a))
		return -1;
	if (is_punct(p, "("))
		return syntax(p, "the only function is is_defined()");
	if (is_word(p, "not") || is_word(p, "in") || is_word(p, "nin")) {
		n->kind = NODE_IN;
		n->negated = take_word(p, "not");
		if (!n->negated && take_word(p, "nin")) {
			n->negated = true;
			return read_list(p, n);
		}
		if (!take_word(p, "in"))
			return syntax(p, "IN expected");
		return read_list(p, n);
	}
	for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
		if (take_punct(p, operators[i].text)) {
			n->kind = NODE_COMPARE;
			n->op = operators[i].op;
			return read_operand(p, &n->b);
		}
	n->kind = NODE_VALUE;
	if (n->a.literal && *n->a.json.at != 't' && *n->a.json.at != 'f')
		return syntax(p, "a condition was expected");
	return 0;
}

static int
read_term(struct parser *p, struct node **into)
{
	struct node *n;
	int result;

	if (take_punct(p, "(")) {
		if (++p->depth > MAX_DEPTH)
			return syntax(p, "nested too deep");
		result = read_or(p, into);
		p->depth--;
		if (result)
			return -1;
		return take_punct(p, ")") ? 0 : syntax(p, ") expected");
	}
	n = *into = xcalloc(1, sizeof *n);
	if (take_word(p, "not")) {
		n->kind = NODE_NOT;
		if (++p->depth > MAX_DEPTH)
			return syntax(p, "nested too deep");
		result = read_term(p, &n->left);
		p->depth--;
		return result;
	}
	if (take_word(p, "is_defined"))
		return read_function(p, n);
	return read_comparison(p, n);
}

static struct node *
join(enum node_kind kind, struct node *left)
{
	struct node *n = xcalloc(1, sizeof *n);

	n->kind = kind;
	n->left = left;
	return n;
}

static int
read_and(struct parser *p, struct node **into)
{
	if (read_term(p, into))
		return -1;
	while (take_word(p, "and")) {
		*into = join(NODE_AND, *into);
		if (read_term(p, &(*into)->right))
			return -1;
	}
	return 0;
}

static int
read_or(struct parser *p, struct node **into)
{
	if (read_and(p, into))
		return -1;
	while (take_word(p, "or")) {
		*into = join(NODE_OR, *into);
		if (read_and(p, &(*into)->right))
			return -1;
	}
	return 0;
}

static enum aggregate
aggregate_of(const struct parser *p)
{
	static const char *const words[] = { "count", "sum", "avg", "min",
		"max" };
	const char *after = p->p + strspn(p->p, " \t\r\n");

	if (*after == '(')
		for (int i = 0; i < 5; i++)
			if (is_word(p, words[i]))
				return (enum aggregate)(AGG_COUNT + i);
	return AGG_NONE;
}

static int
read_item(struct parser *p, struct item *item)
{
	item->aggregate = aggregate_of(p);
	if (item->aggregate != AGG_NONE) {
		next(p);
		next(p);
		if (!is_punct(p, ")") && read_path(p, &item->path))
			return -1;
		if (item->aggregate != AGG_COUNT && item->path.count == 0)
			return syntax(p, "a property was expected");
		if (!take_punct(p, ")"))
			return syntax(p, ") expected");
	} else if (read_path(p, &item->path)) {
		return -1;
	} else if (is_punct(p, "(")) {
		return syntax(p, "unknown function");
	}
	if (!take_word(p, "as"))
		return 0;
	if (p->token != T_NAME)
		return syntax(p, "a name was expected");
	item->name = xstrdup(p->text.at);
	next(p);
	return 0;
}

static int
read_source(struct parser *p, struct query *q)
{
	struct path from = { .count = 0 };
	int result = 0;

	if (read_path(p, &from))
		result = -1;
	else if (from.count > 2 || strcasecmp(from.name[0], "devices") != 0)
		result = syntax(p, "FROM devices or devices.modules expected");
	else if (from.count == 1)
		q->source = FROM_DEVICES;
	else if (strcasecmp(from.name[1], "modules") == 0)
		q->source = FROM_MODULES;
	else if (strcasecmp(from.name[1], "jobs") == 0)
		q->source = FROM_JOBS;
	else
		result = syntax(p, "FROM devices or devices.modules expected");
	for (int i = 0; i < from.count; i++)
		free(from.name[i]);
	return result;
}

static int
read_select(struct parser *p, struct query *q)
{
	if (!take_word(p, "select"))
		return syntax(p, "SELECT expected");
	q->top = -1;
	if (take_word(p, "top")) {
		if (p->token != T_NUMBER ||
		    (q->top = strtol(p->text.at, NULL, 10)) < 1)
			return syntax(p, "a number was expected");
		next(p);
	}
	if (take_punct(p, "*")) {
		q->all = true;
		return 0;
	}
	do {
		if (q->items == MAX_ITEMS)
			return syntax(p, "too many properties");
		if (read_item(p, &q->item[q->items++]))
			return -1;
	} while (take_punct(p, ","));
	return 0;
}

static int
read_query(struct parser *p, struct query *q)
{
	if (read_select(p, q))
		return -1;
	if (!take_word(p, "from"))
		return syntax(p, "FROM expected");
	if (read_source(p, q))
		return -1;
	if (take_word(p, "where") && read_or(p, &q->where))
		return -1;
	if (take_word(p, "group")) {
		if (!take_word(p, "by"))
			return syntax(p, "BY expected");
		do {
			if (q->groups == MAX_ITEMS)
				return syntax(p, "too many properties");
			if (read_path(p, &q->group[q->groups++]))
				return -1;
		} while (take_punct(p, ","));
	}
	return p->token == T_END ? 0 : syntax(p, "the end was expected");
}

static void
free_path(struct path *path)
{
	for (int i = 0; i < path->count; i++)
		free(path->name[i]);
}

static void
free_operand(struct operand *o)
{
	buf_free(&o->own);
	free_path(&o->path);
}

static void
free_node(struct node *n)
{
	if (!n)
		return;
	free_node(n->left);
	free_node(n->right);
	free_operand(&n->a);
	free_operand(&n->b);
	for (int i = 0; i < n->count; i++)
		free_operand(&n->list[i]);
	free(n->list);
	free(n);
}

static void
free_query(struct query *q)
{
	for (int i = 0; i < q->items; i++) {
		free_path(&q->item[i].path);
		free(q->item[i].name);
	}
	for (int i = 0; i < q->groups; i++)
		free_path(&q->group[i]);
	free_node(q->where);
}

static int
parse(const char *text, struct query *q, struct refusal *f)
{
	struct parser p = { .p = text, .f = f };
	int result;

	next(&p);
	result = read_query(&p, q);
	buf_free(&p.text);
	return result;
}

/* A target condition is what follows WHERE, or '*', or begins with FROM. */
int
query_check(const char *text, bool condition, struct refusal *f)
{
	struct query q;
	char *whole = NULL;
	int result;

	memset(&q, 0, sizeof q);
	if (condition) {
		text += strspn(text, " ");
		if (!*text || strcmp(text, "*") == 0)
			return 0;
		whole = xasprintf(strncasecmp(text, "from ", 5) == 0
				      ? "SELECT * %s"
				      : "SELECT * FROM devices WHERE %s",
		    text);
	}
	result = parse(whole ? whole : text, &q, f);
	free_query(&q);
	free(whole);
	return result;
}

/* Evaluation. */

struct subject {
	const struct row *row; /* NULL: only text */
	struct buf text;       /* the twin; made when it is needed */
};

struct value {
	struct span json; /* .at NULL: undefined */
	bool plain;       /* a string without quotes and escapes */
};

static struct value
plain_value(struct span text)
{
	return (struct value){ text, true };
}

static struct span
descend(struct span object, const struct path *path, int from)
{
	for (int i = from; object.at && i < path->count; i++) {
		struct span found = { NULL, 0 };
		size_t len = strlen(path->name[i]);
		struct each e;

		if (!object.len || *object.at != '{')
			return found;
		for (each_begin(&e, object); each_next(&e);)
			if ((e.name.len == len &&
				memcmp(e.name.at, path->name[i], len) == 0) ||
			    (memchr(e.name.at, '\\', e.name.len) &&
				json_string_is((struct span){ e.name.at - 1,
						   e.name.len + 2 },
				    path->name[i])))
				found = e.value;
		object = found;
	}
	return object;
}

static bool
is_at(const struct path *path, int i, const char *name)
{
	return i < path->count && strcasecmp(path->name[i], name) == 0;
}

static struct value
look_up(struct subject *s, const struct path *path)
{
	const struct row *row = s->row;
	struct span section;

	if (row && is_at(path, 0, "deviceId") && path->count == 1)
		return plain_value(row->id);
	if (row && is_at(path, 0, "tags"))
		return (struct value){ descend(row->tags, path, 1), false };
	if (row && is_at(path, 0, "properties") && path->count > 2 &&
	    *path->name[2] != '$') {
		section = is_at(path, 1, "desired")    ? row->desired
			  : is_at(path, 1, "reported") ? row->reported
						       : span_of("{}");
		return (struct value){ descend(section, path, 2), false };
	}
	if (row && !s->text.len)
		twin_text(row, &s->text);
	section = object_get(buf_peek(&s->text), path->name[0]);
	if (section.at && path->count > 1 &&
	    (is_at(path, 0, "capabilities") || is_at(path, 0, "properties") ||
		is_at(path, 0, "x509Thumbprint"))) {
		section = object_get(section, path->name[1]);
		return (struct value){ descend(section, path, 2), false };
	}
	return (struct value){ descend(section, path, 1), false };
}

static struct value
value_of(struct subject *s, const struct operand *o)
{
	if (o->literal)
		return (struct value){ o->json, false };
	return look_up(s, &o->path);
}

static enum json_kind
kind_of(struct value v)
{
	return v.plain ? JSON_STRING : json_kind_of(v.json);
}

/* Decoded bytes of a string value; into holds them where it must. */
static struct span
string_of(struct value v, struct buf *into)
{
	if (v.plain)
		return v.json;
	if (!memchr(v.json.at, '\\', v.json.len))
		return (struct span){ v.json.at + 1, v.json.len - 2 };
	(void)json_decode(v.json, into);
	return buf_peek(into);
}

static double
number_of(struct span json)
{
	char text[400];

	(void)snprintf(text, sizeof text, "%.*s",
	    json.len < sizeof text ? (int)json.len : (int)sizeof text - 1,
	    json.at);
	return strtod(text, NULL);
}

/* 0: they can be compared, and *order says how.  -1: they cannot. */
static int
compare(struct value a, struct value b, int *order)
{
	enum json_kind kind = kind_of(a), other = kind_of(b);

	if (!a.json.at || !b.json.at)
		return -1;
	if (kind == JSON_STRING && other == JSON_STRING) {
		struct buf x = BUF_INIT, y = BUF_INIT;
		struct span s = string_of(a, &x), t = string_of(b, &y);

		*order = memcmp(s.at, t.at, s.len < t.len ? s.len : t.len);
		if (*order == 0)
			*order = (s.len > t.len) - (s.len < t.len);
		buf_free(&x);
		buf_free(&y);
		return 0;
	}
	if (kind == JSON_NUMBER && other == JSON_NUMBER) {
		double x = number_of(a.json), y = number_of(b.json);

		*order = (x > y) - (x < y);
		return 0;
	}
	if ((kind == JSON_TRUE || kind == JSON_FALSE) &&
	    (other == JSON_TRUE || other == JSON_FALSE)) {
		*order = (kind == JSON_TRUE) - (other == JSON_TRUE);
		return 0;
	}
	if (kind == JSON_NULL && other == JSON_NULL) {
		*order = 0;
		return 0;
	}
	return -1;
}

enum { UNKNOWN = -1 };

static int
holds(enum operator op, int order)
{
	switch (op) {
	case OP_EQ:
		return order == 0;
	case OP_NE:
		return order != 0;
	case OP_LT:
		return order < 0;
	case OP_LE:
		return order <= 0;
	case OP_GT:
		return order > 0;
	case OP_GE:
		return order >= 0;
	}
	return 0;
}

static int
is_member(struct subject *s, const struct node *n)
{
	struct value a = value_of(s, &n->a);
	int order;

	if (!a.json.at)
		return UNKNOWN;
	for (int i = 0; i < n->count; i++)
		if (compare(a, value_of(s, &n->list[i]), &order) == 0 &&
		    order == 0)
			return !n->negated;
	return n->negated;
}

static int
evaluate(struct subject *s, const struct node *n)
{
	struct value v;
	int a, b, order;

	switch (n->kind) {
	case NODE_AND:
	case NODE_OR:
		a = evaluate(s, n->left);
		if (a == (n->kind == NODE_OR))
			return a;
		b = evaluate(s, n->right);
		if (b == (n->kind == NODE_OR))
			return b;
		return a == UNKNOWN || b == UNKNOWN ? UNKNOWN : b;
	case NODE_NOT:
		a = evaluate(s, n->left);
		return a == UNKNOWN ? UNKNOWN : !a;
	case NODE_COMPARE:
		if (compare(value_of(s, &n->a), value_of(s, &n->b), &order))
			return UNKNOWN;
		return holds(n->op, order);
	case NODE_IN:
		return is_member(s, n);
	case NODE_DEFINED:
		return look_up(s, &n->a.path).json.at != NULL;
	case NODE_VALUE:
		v = value_of(s, &n->a);
		if (!v.json.at ||
		    (kind_of(v) != JSON_TRUE && kind_of(v) != JSON_FALSE))
			return UNKNOWN;
		return kind_of(v) == JSON_TRUE;
	}
	return UNKNOWN;
}

/* Answers. */

static void
add_value(struct buf *out, struct value v)
{
	if (v.plain)
		buf_json(out, v.json.at, v.json.len);
	else
		buf_span(out, v.json);
}

static void
add_item_name(struct buf *out, const struct query *q, int i)
{
	const struct item *item = &q->item[i];
	char number[16];
	const char *name = item->name;

	(void)snprintf(number, sizeof number, "$%d", i + 1);
	if (!name && item->aggregate == AGG_NONE)
		name = item->path.name[item->path.count - 1];
	if (!name)
		name = number;
	if (out->at[out->len - 1] != '{')
		buf_char(out, ',');
	buf_json(out, name, strlen(name));
	buf_char(out, ':');
}

static void
add_subject(struct buf *out, const struct query *q, struct subject *s)
{
	if (out->len > 1)
		buf_char(out, ',');
	if (q->all) {
		if (s->text.len)
			buf_span(out, buf_peek(&s->text));
		else
			twin_text(s->row, out);
		return;
	}
	buf_char(out, '{');
	for (int i = 0; i < q->items; i++) {
		struct value v = look_up(s, &q->item[i].path);

		if (!v.json.at)
			continue;
		add_item_name(out, q, i);
		add_value(out, v);
	}
	buf_char(out, '}');
}

struct group {
	char *key; /* the values it is for, as JSON text, one after another */
	struct buf *shown; /* per item: a plain item's value */
	double *sum, *least, *most;
	long *count;
	struct group *next;
};

struct run {
	struct visit *v;
	struct query q;
	uint32_t hash;
	long page, left; /* of this page; of TOP, -1: no limit */
	bool more;
	struct buf out;
	char id[136], module[136]; /* the last that was answered */
	int64_t seq;
	struct group *groups;
};

static bool
is_aggregate(const struct query *q)
{
	for (int i = 0; i < q->items; i++)
		if (q->item[i].aggregate != AGG_NONE)
			return true;
	return q->groups > 0;
}

static struct group *
find_group(struct run *r, struct subject *s)
{
	struct buf key = BUF_INIT;
	struct group *g;

	buf_text(&key, "");
	for (int i = 0; i < r->q.groups; i++) {
		struct value v = look_up(s, &r->q.group[i]);

		if (v.json.at)
			add_value(&key, v);
		buf_char(&key, '\n');
	}
	for (g = r->groups; g; g = g->next)
		if (strcmp(g->key, buf_peek(&key).at) == 0)
			break;
	if (!g) {
		size_t n = (size_t)r->q.items;

		g = xcalloc(1, sizeof *g);
		g->key = xstrdup(buf_peek(&key).at);
		g->shown = xcalloc(n, sizeof *g->shown);
		g->sum = xcalloc(n, sizeof *g->sum);
		g->least = xcalloc(n, sizeof *g->least);
		g->most = xcalloc(n, sizeof *g->most);
		g->count = xcalloc(n, sizeof *g->count);
		g->next = r->groups;
		r->groups = g;
	}
	buf_free(&key);
	return g;
}

static void
count_subject(struct run *r, struct subject *s)
{
	struct group *g = find_group(r, s);

	for (int i = 0; i < r->q.items; i++) {
		const struct item *item = &r->q.item[i];
		struct value v = { { NULL, 0 }, false };
		double x;

		if (item->path.count)
			v = look_up(s, &item->path);
		if (item->aggregate == AGG_NONE) {
			if (v.json.at && !g->shown[i].len)
				add_value(&g->shown[i], v);
			continue;
		}
		if (item->aggregate == AGG_COUNT) {
			g->count[i] += !item->path.count || v.json.at;
			continue;
		}
		if (!v.json.at || kind_of(v) != JSON_NUMBER)
			continue;
		x = number_of(v.json);
		if (!g->count[i] || x < g->least[i])
			g->least[i] = x;
		if (!g->count[i] || x > g->most[i])
			g->most[i] = x;
		g->sum[i] += x;
		g->count[i]++;
	}
}

static void
add_number(struct buf *out, enum aggregate a, const struct group *g, int i)
{
	double x = a == AGG_SUM   ? g->sum[i]
		   : a == AGG_AVG ? g->sum[i] / (double)g->count[i]
		   : a == AGG_MIN ? g->least[i]
				  : g->most[i];

	if (a == AGG_COUNT)
		buf_printf(out, "%ld", g->count[i]);
	else
		buf_printf(out, "%.17g", x);
}

static void
add_groups(struct run *r)
{
	struct group *g = r->groups, *last = NULL;

	/* Without GROUP BY there is always one, even of nothing. */
	if (!g && !r->q.groups) {
		struct subject nothing = { .row = NULL };

		g = find_group(r, &nothing);
	}
	for (; g; g = last) {
		buf_text(&r->out, r->out.len > 1 ? ",{" : "{");
		for (int i = 0; i < r->q.items; i++) {
			enum aggregate a = r->q.item[i].aggregate;

			if (a == AGG_NONE ? !g->shown[i].len
					  : a != AGG_COUNT && !g->count[i])
				continue;
			add_item_name(&r->out, &r->q, i);
			if (a == AGG_NONE)
				buf_span(&r->out, buf_peek(&g->shown[i]));
			else
				add_number(&r->out, a, g, i);
		}
		buf_char(&r->out, '}');
		last = g->next;
		for (int i = 0; i < r->q.items; i++)
			buf_free(&g->shown[i]);
		free(g->key);
		free(g->shown);
		free(g->sum);
		free(g->least);
		free(g->most);
		free(g->count);
		free(g);
	}
	r->groups = NULL;
}

/* Keyset paging: a page begins after the last one answered. */
static sqlite3_stmt *
open_scan(struct run *r)
{
	struct visit *v = r->v;
	bool by_id = sim_doubt_is("list-order", "id");
	sqlite3_stmt *q;

	if (r->q.source == FROM_DEVICES && by_id)
		q = sim_sql(v->s,
		    "SELECT " ROW_COLUMNS " FROM registry WHERE hub = ?1 "
		    "AND id > ?2 AND module = '' ORDER BY id");
	else if (r->q.source == FROM_DEVICES)
		q = sim_sql(v->s,
		    "SELECT " ROW_COLUMNS " FROM registry WHERE +hub = ?1 "
		    "AND seq > ?4 AND module = '' ORDER BY seq");
	else if (by_id)
		q = sim_sql(v->s,
		    "SELECT " ROW_COLUMNS " FROM registry WHERE hub = ?1 "
		    "AND (id, module) > (?2, ?3) AND module > '' "
		    "ORDER BY id, module");
	else
		q = sim_sql(v->s,
		    "SELECT " ROW_COLUMNS " FROM registry WHERE +hub = ?1 "
		    "AND seq > ?4 AND module > '' ORDER BY seq");
	sim_bind(q, 1, v->hub.name);
	sim_bind(q, 2, r->id);
	sim_bind(q, 3, r->module);
	(void)sqlite3_bind_int64(q, 4, r->seq);
	return q;
}

static bool
is_indexed(struct run *r, const struct row *row)
{
	if (!sim_doubt_is("query-lag", "off") && row->born > r->v->now - 1400)
		return false;
	/* A module that never connected has reported nothing. */
	return r->q.source != FROM_MODULES || row->deployed ||
	       row->reported.len > 2 || sim_doubt_is("modules-query", "all");
}

static void
answer_rows(struct run *r)
{
	sqlite3_stmt *q = open_scan(r);
	bool counting = is_aggregate(&r->q);
	struct row row;
	struct subject s = { .row = &row };

	while (sim_step(r->v->s, q) == SQLITE_ROW) {
		row_read(q, &row);
		buf_clear(&s.text);
		if (!is_indexed(r, &row) ||
		    (r->q.where && evaluate(&s, r->q.where) != 1))
			continue;
		if (counting) {
			count_subject(r, &s);
			continue;
		}
		if (r->left == 0)
			break;
		if (r->page == 0) {
			r->more = true;
			break;
		}
		add_subject(&r->out, &r->q, &s);
		r->page--;
		if (r->left > 0)
			r->left--;
		r->seq = row.seq;
		(void)snprintf(
		    r->id, sizeof r->id, "%.*s", (int)row.id.len, row.id.at);
		(void)snprintf(r->module, sizeof r->module, "%.*s",
		    (int)row.module.len, row.module.at);
	}
	buf_free(&s.text);
	if (counting)
		add_groups(r);
}

/* Deleted devices that the index still knows, after all others. */
static void
answer_ghosts(struct run *r)
{
	sqlite3_stmt *q;
	struct subject s = { .row = NULL };

	if (r->more || r->q.source != FROM_DEVICES || is_aggregate(&r->q) ||
	    sim_doubt_is("query-lag", "off"))
		return;
	q = sim_sql(r->v->s,
	    "SELECT twin FROM ghost WHERE hub = ?1 AND until > ?2 AND NOT "
	    "EXISTS (SELECT 1 FROM registry AS d WHERE d.hub = ?1 "
	    "AND d.id = ghost.id AND d.module = '') GROUP BY id");
	sim_bind(q, 1, r->v->hub.name);
	(void)sqlite3_bind_int64(q, 2, r->v->now);
	while (sim_step(r->v->s, q) == SQLITE_ROW) {
		buf_clear(&s.text);
		buf_span(&s.text, sim_column(q, 0));
		if (!r->q.where || evaluate(&s, r->q.where) == 1)
			add_subject(&r->out, &r->q, &s);
	}
	buf_free(&s.text);
}

/* "hash left seq id module", in base64: ids have no blanks. */
static void
add_continuation(struct run *r)
{
	struct buf plain = BUF_INIT, text = BUF_INIT;

	buf_printf(&plain, "%08x %ld %lld %s %s", r->hash, r->left,
	    (long long)r->seq, r->id, *r->module ? r->module : "-");
	buf_base64(&text, plain.at, plain.len);
	sim_head(r->v->r, "x-ms-continuation", "%s", text.at);
	buf_free(&plain);
	buf_free(&text);
}

static int
read_continuation(struct run *r, struct refusal *f)
{
	const char *sent = r->v->q->header(r->v->q, "x-ms-continuation");
	char plain[512];
	unsigned hash;
	long long seq;
	size_t len = sent ? strlen(sent) : 0;

	if (!len)
		return 0;
	memset(plain, 0, sizeof plain);
	if (len > 640 || len % 4 ||
	    EVP_DecodeBlock((unsigned char *)plain, (const unsigned char *)sent,
		(int)len) < 0 ||
	    sscanf(plain, "%8x %ld %lld %135s %135s", &hash, &r->left, &seq,
		r->id, r->module) != 5 ||
	    hash != r->hash)
		return refuse(f, ARGUMENT_INVALID,
		    "BadRequest: the continuation token is not of this query");
	r->seq = seq;
	if (strcmp(r->module, "-") == 0)
		*r->module = '\0';
	return 0;
}

static int
read_page_size(struct run *r, struct refusal *f)
{
	const char *sent = r->v->q->header(r->v->q, "x-ms-max-item-count");
	long most = sim_doubt_is("query-max", "100") ? 100 : MAX_PAGE;
	char *end;

	r->page = DEFAULT_PAGE;
	if (sent && *sent) {
		r->page = strtol(sent, &end, 10);
		if (*end || r->page < 1)
			return refuse(f, ARGUMENT_INVALID,
			    "BadRequest: x-ms-max-item-count is no number");
	}
	if (r->page > most)
		r->page = most;
	return 0;
}

static int
run(struct run *r, char *text, struct refusal *f)
{
	if (!text)
		return refuse(
		    f, ARGUMENT_INVALID, "BadRequest: there is no query");
	if (parse(text, &r->q, f))
		return -1;
	r->left = r->q.top;
	r->hash = 2166136261u;
	for (const char *p = text; *p; p++)
		r->hash = (r->hash ^ (unsigned char)*p) * 16777619u;
	if (read_page_size(r, f) || read_continuation(r, f))
		return -1;
	if (r->q.source == FROM_JOBS) {
		sim_missing(r->v->r, "jobs");
		return 0;
	}
	buf_char(&r->out, '[');
	answer_rows(r);
	answer_ghosts(r);
	buf_char(&r->out, ']');
	if (r->more)
		add_continuation(r);
	sim_head(r->v->r, "x-ms-item-type", "%s", r->q.all ? "Twin" : "Raw");
	reply_text(r->v, 200, &r->out);
	return 0;
}

void
query_handle(struct visit *v)
{
	struct run r;
	struct json body = { .count = 0 };
	struct json_fault why;
	struct refusal f;
	char *text = NULL;
	int result = -1;

	memset(&r, 0, sizeof r);
	r.v = v;
	if (visit_allowed(v, "ServiceConnect", &f))
		goto out;
	if (v->hub.sku[0] == 'B') {
		(void)refuse(&f, NOT_IN_TIER,
		    "The operation is not available in the tier %s",
		    v->hub.sku);
		goto out;
	}
	if (json_scan(v->q->body, &body, &why)) {
		(void)refuse(
		    &f, NOT_PARSED, "%s at byte %zu", why.reason, why.offset);
		goto out;
	}
	if (body.kind == JSON_OBJECT && object_get(body.text, "query").at)
		text = json_string(object_get(body.text, "query"));
	result = run(&r, text, &f);
out:
	if (result)
		reply_refusal(v, &f);
	free_query(&r.q);
	buf_free(&r.out);
	json_free(&body);
	free(text);
}
