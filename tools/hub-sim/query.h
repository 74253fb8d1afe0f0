/*
 * query.h: a query as queryread.c reads it and query.c answers it
 * (CONTRACT 14).
 */
#ifndef QUERY_H
#define QUERY_H

#include "registry.h"

enum { MAX_PATH = 24, MAX_ITEMS = 64 };

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

/* 0, or -1 with the syntax error as a fault; query_free() in both cases. */
int query_parse(const char *text, struct query *q, struct refusal *f);
void query_free(struct query *q);

#endif
