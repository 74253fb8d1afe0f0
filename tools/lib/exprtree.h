/*
 * exprtree.h: what the rooms of expr.h share: expr.c (text and trees),
 * exprcall.c (the pure functions), exprfold.c (evaluation).  Nobody else.
 */
#ifndef EXPRTREE_H
#define EXPRTREE_H

#include "expr.h"

/* Trees of the three kinds of expr.h.  All consume. */
jv expr_tree_call(jv name, jv args);
jv expr_tree_pair(const char *kind, jv a, jv b);
/* Of a tree its body {"call", ...}; invalid if value is no tree.  Borrows. */
jv expr_tree_body_peek(jv value);
bool expr_is_tree_peek(jv value);

/* Where in the document we are, for messages: resources[0].name */
struct expr_place {
	const struct expr_place *up;
	const char *name; /* NULL: an element */
	int index;
};

/* Gives an error of ours the place as its subject, if it has none. */
jv expr_placed(jv invalid, const struct expr_place *at);

/* One string or tree into something else; at says where. */
typedef jv expr_leaf_fn(void *ctx, jv leaf, const struct expr_place *at);

struct expr_walk {
	bool strings; /* fn gets every string; otherwise every tree */
	expr_leaf_fn *fn, *name; /* name: NULL, or for names of members */
	void *ctx;
};

jv expr_walk(const struct expr_walk *w, jv value, const struct expr_place *at);

/* A pure function by its lower-case name, all args known; consumes them.
 * expr_unknown() when there is no such function. */
jv expr_call(const char *name, jv args);
bool expr_is_scalar(jv_kind k);     /* string, number, true or false */
jv expr_bad_args(const char *name); /* that their number or kind is wrong */
/* As the service writes a value into text; consumes. */
jv expr_text_of(jv value);

#endif
