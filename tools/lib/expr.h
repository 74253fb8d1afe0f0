/*
 * expr.h: ARM template expressions: "[concat(parameters('a'), '-b')]".
 *
 * C lifts every expression string of a document to a small tree, jq programs
 * rewrite values and tree literals and see no syntax, C lowers the trees to
 * text again.  Trees (EXPR is the reserved member name "$expr"):
 *
 *   {"$expr": {"call": "concat", "args": [T, T, ...]}}   a function
 *   {"$expr": {"index": [T, T]}}                          T[T]
 *   {"$expr": {"member": [T, "name"]}}                    T.name
 *
 * where T is a tree or a literal JSON value (string, number, true, false,
 * null).  Function names are compared without case and kept as spelt.
 * "[[text]" is the literal "[text]" and stays as it is when lifted and
 * lowered; a string that does not end with "]" needs no escape and has none.
 * Inside of trees, and in what world->call gets and gives, strings mean
 * themselves: only the document's own strings are escaped.
 */
#ifndef EXPR_H
#define EXPR_H

#include <jv.h>
#include <stdbool.h>

#define EXPR "$expr"

/* Is this string an expression: "[...]" and not "[[..."?  Borrows. */
bool expr_is(const char *text);

/* Text with its brackets to a tree, or a literal for a constant.  Invalid,
 * BAD_DATA, with the column, when it does not parse. */
jv expr_parse(const char *text);
/* A tree to text with its brackets; a literal string to itself (escaped with
 * "[[" if it would read as an expression); other literals stay. */
jv expr_print(jv tree);

/* Every string of a value so that it means itself in a document, and back:
 * what a parameter's defaultValue says once it is lifted and folded. */
jv expr_escape(jv value);
jv expr_unescape(jv value);

/* Every expression string in value, at any depth, lifted; and back.  One that
 * does not parse: invalid, with its place ("resources[0].name") as subject. */
jv expr_lift(jv value);
jv expr_lower(jv value);

/*
 * What functions and parameters mean.  call() gets the lower-case name and
 * the evaluated args; it returns the value, or expr_unknown() for what it
 * does not know, which leaves the tree as it is (with its arguments folded),
 * or an invalid jv for an error.  A value may hold trees: of a parameter that
 * is known in part, the rest stays.  It is asked only when all args are known
 * and never for the functions named below.  deploy-time functions (reference,
 * listKeys, utcNow, ...) are simply unknown to tmpl-rewrite, and known to
 * hub-sim.
 */
struct expr_world {
	jv (*call)(void *ctx, const char *name, jv args);
	void *ctx;
};
jv expr_unknown(void);
bool expr_is_unknown(jv value); /* borrows, as jv_get_kind would not */

/*
 * Folds all of value that can be known: literals, the pure functions
 * (concat, format, toLower, toUpper, substring, take, skip, replace, split,
 * join, length, trim, string, int, bool, json, base64, if, equals, not, and,
 * or, greater, less, add, sub, mul, div, mod, min, max, empty, contains, first,
 * last, startsWith, endsWith, indexOf, createArray, createObject, array, union,
 * coalesce,
 * ...) and what world->call knows; resourceId is the world's, since it needs
 * the deployment's subscription and group, and so are uniqueString and guid,
 * whose hash only the service knows (CONTRACT 9.6).
 * value is lifted; the result is lifted where something stayed unknown.  Names
 * of members that are expressions stay text when lifted and are folded here.
 */
jv expr_fold(jv value, const struct expr_world *world);

/* Does value (lifted) still hold a tree anywhere?  Borrows. */
bool expr_has_tree_peek(jv value);

#endif
