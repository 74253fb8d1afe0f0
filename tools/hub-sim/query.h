/*
 * query.h: a query as queryread.c reads it and query.c answers it
 * (CONTRACT 14).
 */
#ifndef QUERY_H
#define QUERY_H

#include "registry.h"

enum { MAX_PATH = 24, MAX_ITEMS = 64 };
/* Conditions and values of one query: more is refused, since each is asked of
 * each twin. */
enum { MAX_PARTS = 10000 };

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
	bool negated;       /* NIN, NOT IN */
	struct node *first; /* of NOT, AND, OR: what it joins */
	struct node *next;  /* beside it under the same AND or OR */
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
	struct item *item;
	int items;
	enum source source;
	struct node *where;
	struct path *group;
	int groups;
};

/* 0, or -1 with the syntax error as a fault; query_free() in both cases. */
int query_parse(const char *text, struct query *q, struct refusal *f);
void query_free(struct query *q);
/*
 * The same from a condition alone, as configurations and jobs have it: what
 * follows WHERE, or '*', or all from FROM on.  "" is '*' too; who means that
 * nothing is chosen asks before.  *q starts zeroed.
 */
int query_parse_condition(const char *text, struct query *q, struct refusal *f);
/* Does WHERE choose that twin?  Where the query looks is not compared. */
bool query_matches(
    struct visit *v, const struct query *q, const struct row *row);

#endif
