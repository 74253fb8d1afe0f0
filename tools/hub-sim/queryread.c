/*
 * queryread.c: the parser of the query language (CONTRACT 14).
 */
#include "query.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum { MAX_DEPTH = 64 };

enum token { T_END, T_NAME, T_STRING, T_NUMBER, T_PUNCT, T_BAD };

struct parser {
	const char *p;
	enum token token;
	char punct[3];
	struct buf text; /* of a name, string (decoded) or number */
	struct refusal *f;
	int depth, parts;
};

static int
syntax(struct parser *p, const char *what)
{
	(void)refuse(p->f, ARGUMENT_INVALID,
	    "BadRequest: syntax error: %s near '%.40s'", what,
	    p->token == T_END ? "the end" : p->p);
	return -1;
}

static bool
is_name_byte(char c, bool first)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
	       c == '$' || (unsigned char)c >= 0x80 ||
	       (!first && c >= '0' && c <= '9');
}

/*
 * '...' or "...", with the escapes of JSON and both quotes, which the parser
 * of JSON then reads.
 */
static enum token
read_string(struct parser *p)
{
	char quote = *p->p++;
	struct buf json = BUF_INIT;
	enum token result = T_BAD;

	buf_char(&json, '"');
	for (; *p->p && *p->p != quote; p->p++) {
		if (*p->p == '\\' && p->p[1] == '\'') {
			buf_char(&json, *++p->p);
		} else if (*p->p == '\\' && p->p[1]) {
			buf_char(&json, *p->p++);
			buf_char(&json, *p->p);
		} else if (*p->p == '"') {
			buf_text(&json, "\\\"");
		} else if ((unsigned char)*p->p < ' ') {
			buf_printf(&json, "\\u%04x", (unsigned)*p->p);
		} else {
			buf_char(&json, *p->p);
		}
	}
	buf_char(&json, '"');
	if (*p->p) {
		struct json scan = { .count = 0 };
		struct json_fault why;

		p->p++;
		if (json_scan(buf_peek(&json), &scan, &why) == 0 &&
		    json_decode(buf_peek(&json), &p->text) == 0)
			result = T_STRING;
		json_free(&scan);
	}
	buf_free(&json);
	return result;
}

static enum token
read_number(struct parser *p)
{
	const char *from = p->p;
	struct json scan = { .count = 0 };
	struct json_fault why;
	enum token result;

	if (*p->p == '0' && (p->p[1] == 'x' || p->p[1] == 'X')) {
		char *end;
		unsigned long long n = strtoull(p->p, &end, 16);

		p->p = end;
		buf_printf(&p->text, "%llu", n);
		return T_NUMBER;
	}
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

	if (++p->parts > MAX_PARTS)
		return syntax(p, "the query is too complex");
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
read_nested(struct parser *p, struct node **into,
    int (*read)(struct parser *p, struct node **into))
{
	int result;

	if (++p->depth > MAX_DEPTH)
		return syntax(p, "nested too deep");
	result = read(p, into);
	p->depth--;
	return result;
}

static int
read_term(struct parser *p, struct node **into)
{
	struct node *n;

	if (take_punct(p, "(")) {
		if (read_nested(p, into, read_or))
			return -1;
		return take_punct(p, ")") ? 0 : syntax(p, ") expected");
	}
	n = *into = xcalloc(1, sizeof *n);
	if (take_word(p, "not")) {
		n->kind = NODE_NOT;
		return read_nested(p, &n->first, read_term);
	}
	if (take_word(p, "is_defined"))
		return read_function(p, n);
	return read_comparison(p, n);
}

/* One node for a whole chain, however long: nothing recurses over it. */
static int
read_chain(struct parser *p, struct node **into, enum node_kind kind,
    const char *word, int (*read)(struct parser *p, struct node **into))
{
	struct node *chain, **last;

	if (read(p, into))
		return -1;
	if (!is_word(p, word))
		return 0;
	chain = xcalloc(1, sizeof *chain);
	chain->kind = kind;
	chain->first = *into;
	last = &chain->first->next;
	*into = chain;
	while (take_word(p, word)) {
		if (read(p, last))
			return -1;
		last = &(*last)->next;
	}
	return 0;
}

static int
read_and(struct parser *p, struct node **into)
{
	return read_chain(p, into, NODE_AND, "and", read_term);
}

static int
read_or(struct parser *p, struct node **into)
{
	return read_chain(p, into, NODE_OR, "or", read_and);
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
	else if (from.count == 0 || from.count > 2 ||
		 strcasecmp(from.name[0], "devices") != 0)
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
		q->item =
		    xrealloc(q->item, (size_t)(q->items + 1) * sizeof *q->item);
		memset(&q->item[q->items], 0, sizeof *q->item);
		if (read_item(p, &q->item[q->items++]))
			return -1;
	} while (take_punct(p, ","));
	return 0;
}

static bool
same_path(const struct path *a, const struct path *b)
{
	for (int i = 0; i < a->count && i < b->count; i++)
		if (strcmp(a->name[i], b->name[i]) != 0)
			return false;
	return a->count == b->count;
}

/* Beside an aggregate stands only what is grouped by. */
static int
check_groups(struct parser *p, const struct query *q)
{
	bool counting = q->groups > 0;

	for (int i = 0; i < q->items; i++)
		counting = counting || q->item[i].aggregate != AGG_NONE;
	if (!counting)
		return 0;
	if (q->all)
		return syntax(p, "SELECT * cannot be grouped");
	for (int i = 0; i < q->items; i++) {
		int k = 0;

		if (q->item[i].aggregate != AGG_NONE)
			continue;
		while (
		    k < q->groups && !same_path(&q->item[i].path, &q->group[k]))
			k++;
		if (k == q->groups)
			return syntax(
			    p, "a property is selected, but not grouped by");
	}
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
			q->group = xrealloc(q->group,
			    (size_t)(q->groups + 1) * sizeof *q->group);
			memset(&q->group[q->groups], 0, sizeof *q->group);
			if (read_path(p, &q->group[q->groups++]))
				return -1;
		} while (take_punct(p, ","));
	}
	if (p->token != T_END)
		return syntax(p, "the end was expected");
	return check_groups(p, q);
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
	while (n) {
		struct node *next = n->next;

		free_node(n->first);
		free_operand(&n->a);
		free_operand(&n->b);
		for (int i = 0; i < n->count; i++)
			free_operand(&n->list[i]);
		free(n->list);
		free(n);
		n = next;
	}
}

void
query_free(struct query *q)
{
	for (int i = 0; i < q->items; i++) {
		free_path(&q->item[i].path);
		free(q->item[i].name);
	}
	for (int i = 0; i < q->groups; i++)
		free_path(&q->group[i]);
	free(q->item);
	free(q->group);
	free_node(q->where);
}

int
query_parse(const char *text, struct query *q, struct refusal *f)
{
	struct parser p = { .p = text, .f = f };
	int result;

	next(&p);
	result = read_query(&p, q);
	buf_free(&p.text);
	return result;
}

int
query_parse_condition(const char *text, struct query *q, struct refusal *f)
{
	char *whole;
	int result;

	text += strspn(text, " \t\r\n");
	if (!*text || strcmp(text, "*") == 0)
		return query_parse("SELECT * FROM devices", q, f);
	whole = xasprintf(strncasecmp(text, "from ", 5) == 0
			      ? "SELECT * %s"
			      : "SELECT * FROM devices WHERE %s",
	    text);
	result = query_parse(whole, q, f);
	free(whole);
	return result;
}

int
query_check(const char *text, bool condition, struct refusal *f)
{
	struct query q;
	int result;

	memset(&q, 0, sizeof q);
	result = condition ? query_parse_condition(text, &q, f)
			   : query_parse(text, &q, f);
	query_free(&q);
	return result;
}
