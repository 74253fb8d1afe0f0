/* exprfold.c: evaluates what can be known; see expr_fold(). */
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

		if (expr_is_scalar(jv_get_kind(a)) &&
		    expr_is_scalar(jv_get_kind(last))) {
			a = jv_string_concat(
			    expr_text_of(last), expr_text_of(a));
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

	if (jv_array_length(jv_copy(args)) != 3) {
		jv_free(name);
		jv_free(args);
		return expr_bad_args("if");
	}
	test = fold_value(f, jv_array_get(jv_copy(args), 0));
	switch (jv_get_kind(test)) {
	case JV_KIND_INVALID:
		jv_free(name);
		jv_free(args);
		return test;
	case JV_KIND_TRUE:
	case JV_KIND_FALSE: {
		jv branch = jv_array_get(
		    jv_copy(args), jv_get_kind(test) == JV_KIND_TRUE ? 1 : 2);

		jv_free(test);
		jv_free(name);
		jv_free(args);
		return fold_value(f, branch);
	}
	default:
		break;
	}
	if (!expr_is_tree_peek(test)) {
		jv_free(test);
		jv_free(name);
		jv_free(args);
		return expr_bad_args("if");
	}
	args = jv_array_set(args, 0, test);
	for (int i = 1; i < 3; i++)
		args = jv_array_set(
		    args, i, fold_maybe(f, jv_array_get(jv_copy(args), i)));
	return expr_tree_call(name, args);
}

/* and(), or(): the first that decides ends it; what is known and does not
 * decide is dropped. */
static jv
fold_and_or(const struct fold *f, jv name, jv args, bool all)
{
	jv left = jv_array();
	jv_kind decides = all ? JV_KIND_FALSE : JV_KIND_TRUE;
	jv_kind neutral = all ? JV_KIND_TRUE : JV_KIND_FALSE;
	int n = jv_array_length(jv_copy(args));

	for (int i = 0; i < n; i++) {
		bool unsure = jv_array_length(jv_copy(left)) > 0;
		jv a = unsure ? fold_maybe(f, jv_array_get(jv_copy(args), i))
			      : fold_value(f, jv_array_get(jv_copy(args), i));

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
		} else if (jv_get_kind(a) == decides || expr_is_tree_peek(a)) {
			left = jv_array_append(left, a);
		} else {
			jv_free(a);
			jv_free(name);
			jv_free(args);
			jv_free(left);
			return expr_bad_args(all ? "and" : "or");
		}
	}
	jv_free(args);
	if (jv_array_length(jv_copy(left)) == 0) {
		jv_free(name);
		jv_free(left);
		return (all ? jv_true() : jv_false());
	}
	/* Never with one argument, which the service refuses. */
	if (jv_array_length(jv_copy(left)) == 1)
		left = jv_array_append(left, (all ? jv_true() : jv_false()));
	return expr_tree_call(name, left);
}

static jv
call_known(const struct fold *f, const char *name, jv args)
{
	jv result = expr_call(name, jv_copy(args));

	if (expr_is_unknown(result) && f->world && f->world->call) {
		jv_free(result);
		return f->world->call(f->world->ctx, name, args);
	}
	jv_free(args);
	return result;
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
		return expr_tree_call(name, folded);
	}
	result = call_known(f, low, jv_copy(folded));
	if (expr_is_unknown(result)) {
		jv_free(result);
		return expr_tree_call(name, folded);
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

	if (expr_is_tree_peek(value) || expr_is_tree_peek(key))
		return expr_tree_pair(kind, value, key);
	if (jv_get_kind(value) == JV_KIND_OBJECT &&
	    jv_get_kind(key) == JV_KIND_STRING) {
		found = jv_at_nocase(jv_copy(value), jv_string_value(key));
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
		jv text = expr_text_of(jv_copy(key));

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
		value = fold_value(f, jv_array_get(jv_copy(pair), 0));
		key = jv_is_valid(value)
			  ? fold_value(f, jv_array_get(jv_copy(pair), 1))
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
fold_leaf(void *ctx, jv leaf, const struct expr_place *at)
{
	jv body = expr_tree_body_peek(leaf);

	(void)at;
	jv_free(leaf);
	return fold_body(ctx, body);
}

static jv
fold_value(const struct fold *f, jv value)
{
	struct fold copy = *f;
	struct expr_walk w = { false, fold_leaf, NULL, &copy };

	return expr_walk(&w, value, NULL);
}

/* In the document: a string that came out has to mean itself there. */
static jv
fold_tree(void *ctx, jv leaf, const struct expr_place *at)
{
	jv value = fold_leaf(ctx, leaf, at);

	if (!jv_is_valid(value))
		return expr_placed(value, at);
	return expr_escape(value);
}

/* A member's name, as that of a user-assigned identity, may be one too. */
static jv
fold_name(void *ctx, jv name, const struct expr_place *at)
{
	jv value;

	if (!expr_is(jv_string_value(name)))
		return name;
	value = expr_parse(jv_string_value(name));
	if (!jv_is_valid(value)) {
		jv_free(name);
		return expr_placed(value, at);
	}
	if (expr_is_tree_peek(value))
		value = fold_leaf(ctx, value, at);
	jv_free(name);
	if (!jv_is_valid(value))
		return expr_placed(value, at);
	if (jv_get_kind(value) == JV_KIND_STRING)
		return value;
	value = expr_print(value);
	if (jv_get_kind(value) == JV_KIND_STRING)
		return value;
	jv_free(value);
	return expr_placed(
	    jv_fail(BAD_DATA, NULL, "a member's name must be a string"), at);
}

jv
expr_fold(jv value, const struct expr_world *world)
{
	struct fold f = { world };
	struct expr_walk w = { false, fold_tree, fold_name, &f };

	return expr_walk(&w, value, NULL);
}
