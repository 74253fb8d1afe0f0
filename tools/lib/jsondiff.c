/* jsondiff.c: where two JSON values differ; see jsondiff.h. */
#include "jsondiff.h"

#include <stdio.h>
#include <stdlib.h>

static const struct span none = { NULL, 0 };

struct walk {
	struct buf path;
	json_differs *differs;
	void *ctx;
};

static void compare(
    struct walk *w, struct span a, struct span b, enum json_diff_rule rule);

static bool
holds_others(struct span v)
{
	return v.at && (*v.at == '{' || *v.at == '[');
}

static bool
is_sparse(struct span v)
{
	struct json j = { .count = 0 };
	struct json_fault f;
	bool sparse = true;

	if (!v.at || span_is(v, "null") || span_is(v, "\"\"") ||
	    span_is(v, "false"))
		return true;
	if (!holds_others(v) || json_scan(v, &j, &f))
		return false;
	for (size_t i = 0; sparse && i < j.count; i++)
		sparse = is_sparse(j.member[i].value);
	json_free(&j);
	return sparse;
}

/* What holds for the members of a value for which that rule holds. */
static enum json_diff_rule
below(enum json_diff_rule rule)
{
	return rule == JSON_DIFF_SECTION ? JSON_DIFF_ALL : rule;
}

static void
compare_member(struct walk *w, const char *name, struct span a, struct span b,
    enum json_diff_rule rule)
{
	size_t before = w->path.len;

	buf_char(&w->path, '/');
	for (; *name; name++)
		if (*name == '~' || *name == '/')
			buf_text(&w->path, *name == '~' ? "~0" : "~1");
		else
			buf_char(&w->path, *name);
	compare(w, a, b, below(rule));
	w->path.len = before;
	w->path.at[before] = '\0';
}

/* Names that C text cannot carry, or that are there twice. */
static bool
has_odd_names(const struct json *j)
{
	const struct json_member *m;
	bool odd = false;

	for (size_t i = 0; !odd && i < j->count; i++) {
		char *name = json_string(j->member[i].name);

		odd = !name || json_find(j, name, &m) != 1;
		free(name);
	}
	return odd;
}

static bool
is_skipped(const char *name, enum json_diff_rule rule)
{
	return rule == JSON_DIFF_SECTION &&
	       (!strcmp(name, "$metadata") || !strcmp(name, "$version"));
}

/* Members of the one; of those the other has too, only if both is set. */
static void
compare_members(struct walk *w, const struct json *one,
    const struct json *other, bool both, enum json_diff_rule rule)
{
	for (size_t i = 0; i < one->count; i++) {
		const struct json_member *m;
		struct span v = one->member[i].value;
		char *name = json_string(one->member[i].name);
		int found = json_find(other, name, &m);

		if (is_skipped(name, rule) || (found && !both))
			;
		else if (both)
			compare_member(
			    w, name, v, found ? m->value : none, rule);
		else
			compare_member(w, name, none, v, rule);
		free(name);
	}
}

static void
compare_arrays(struct walk *w, const struct json *a, const struct json *b,
    enum json_diff_rule rule)
{
	for (size_t i = 0; i < a->count || i < b->count; i++) {
		char index[24];

		(void)snprintf(index, sizeof index, "%zu", i);
		compare_member(w, index,
		    i < a->count ? a->member[i].value : none,
		    i < b->count ? b->member[i].value : none, rule);
	}
}

static void
compare_lists(
    struct walk *w, struct span a, struct span b, enum json_diff_rule rule)
{
	struct json x = { .count = 0 }, y = { .count = 0 };
	struct json_fault f;

	(void)json_scan(a, &x, &f);
	(void)json_scan(b, &y, &f);
	if (*a.at == '[') {
		compare_arrays(w, &x, &y, rule);
	} else if (has_odd_names(&x) || has_odd_names(&y)) {
		if (!json_same(a, b))
			w->differs(w->ctx, buf_peek(&w->path).at, a, b);
	} else {
		compare_members(w, &x, &y, true, rule);
		compare_members(w, &y, &x, false, rule);
	}
	json_free(&x);
	json_free(&y);
}

static void
compare(struct walk *w, struct span a, struct span b, enum json_diff_rule rule)
{
	if (!a.at && !b.at)
		return;
	if (a.at && b.at && a.len == b.len && !memcmp(a.at, b.at, a.len))
		return;
	if (rule == JSON_DIFF_SPARSE && is_sparse(a) && is_sparse(b))
		return;
	if (holds_others(a) && holds_others(b) && *a.at == *b.at)
		compare_lists(w, a, b, rule);
	else if (!a.at || !b.at || *a.at != '"' || !json_same(a, b))
		w->differs(w->ctx, buf_peek(&w->path).at, a, b);
}

void
json_diff(struct span a, struct span b, enum json_diff_rule rule,
    const char *at, json_differs *differs, void *ctx)
{
	struct walk w = { BUF_INIT, differs, ctx };
	struct span empty = { "{}", 2 };

	if (rule == JSON_DIFF_SECTION && (!a.at || span_is(a, "null")))
		a = empty;
	if (rule == JSON_DIFF_SECTION && (!b.at || span_is(b, "null")))
		b = empty;
	/* Most values are the same: no memory for those. */
	if (a.at && b.at && a.len == b.len && !memcmp(a.at, b.at, a.len))
		return;
	buf_text(&w.path, at);
	compare(&w, a, b, rule);
	buf_free(&w.path);
}
