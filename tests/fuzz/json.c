/*
 * Reads texts (length in 4 bytes, big end first, then that many bytes) and
 * prints a line for each: what json_scan() says of it.  For an accepted one,
 * what the other functions make of it must hold together, or it aborts.
 */
#include "json.h"

#include <stdio.h>
#include <stdlib.h>

static void
must(bool holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "broken: %s\n", what);
		abort();
	}
}

static bool
scans(struct span text)
{
	struct json j = { .count = 0 };
	struct json_fault f;
	int rc = json_scan(text, &j, &f);

	json_free(&j);
	return rc == 0;
}

/* Puts it there, finds it, drops it: what is left is what was. */
static void
check_edit(const struct json *j, const char *name)
{
	static const struct span value = { "[{\"x\":1.0}]", 11 };
	const char *path[] = { name, NULL };
	struct json_edit set = { name, value }, drop = { name, { NULL, 0 } };
	struct buf with = BUF_INIT, without = BUF_INIT, same = BUF_INIT;
	const struct json_member *m;
	struct json k = { .count = 0 };
	struct json_fault f;
	int found = json_find(j, name, &m);
	struct span got;

	json_splice(j, &set, 1, &with);
	must(json_scan(buf_peek(&with), &k, &f) == 0, "put is JSON");
	must(k.count == j->count + !found, "put adds at most one");
	if (found >= 0) {
		must(json_get(buf_peek(&with), path, &got, NULL) == 1 &&
			 span_is(got, value.at),
		    "put is found");
		must(json_set_path(j->text, path, value, &same) == 0 &&
			 same.len == with.len &&
			 memcmp(same.at, with.at, same.len) == 0,
		    "a path does the same");
	}
	json_splice(&k, &drop, 1, &without);
	must(scans(buf_peek(&without)), "drop is JSON");
	if (!found)
		must(json_same(buf_peek(&without), j->text), "put and drop");
	json_free(&k);
	buf_free(&with);
	buf_free(&without);
	buf_free(&same);
}

static void
check_accepted(const struct json *j)
{
	bool altered = false;
	struct span name, value;
	struct json_walk w;
	size_t n = 0;

	must(json_same(j->text, j->text), "same as itself");
	if (json_walk(&w, j->text))
		for (; json_next(&w, &name, &value); n++)
			must(
			    n < j->count && value.at == j->member[n].value.at &&
				value.len == j->member[n].value.len &&
				name.at + name.len == j->member[n].name.at +
							  j->member[n].name.len,
			    "walked as scanned");
	must(n == j->count, "as many walked");
	must(json_kind_of(j->text) == j->kind, "kind");
	for (size_t i = 0; i < j->count; i++) {
		const struct json_member *m = &j->member[i];
		struct buf b = BUF_INIT;

		must(scans(m->value), "a member is JSON");
		must(!json_numbers_altered(m->value) || m->altered,
		    "the quick look at numbers misses none");
		altered |= m->altered;
		if (m->name.len) {
			must(scans(m->name), "a name is JSON");
			if (json_decode(m->name, &b) == 0 && b.len) {
				const struct json_member *n;

				must(json_find(j, b.at, &n) != 0, "found");
				check_edit(j, b.at);
			}
		}
		buf_free(&b);
	}
	if (j->count)
		must(altered == j->altered, "numbers of the whole");
	if (j->kind == JSON_OBJECT)
		check_edit(j, "a name that is \"new\"");
}

int
main(void)
{
	unsigned char head[4];

	while (fread(head, 1, 4, stdin) == 4) {
		size_t len = (size_t)head[0] << 24 | (size_t)head[1] << 16 |
			     (size_t)head[2] << 8 | head[3];
		/* No byte more, so that a sanitizer sees one too far. */
		char *text = malloc(len ? len : 1);
		struct json j = { .count = 0 };
		struct json_fault f;

		if (!text || fread(text, 1, len, stdin) != len)
			return 1;
		if (json_scan((struct span){ text, len }, &j, &f) == 0) {
			check_accepted(&j);
			printf("yes %c %zu\n", (char)j.kind, j.count);
		} else {
			must(
			    f.offset <= len && f.reason, "a fault has a place");
			printf("no %zu %s\n", f.offset, f.reason);
		}
		json_free(&j);
		free(text);
	}
	return 0;
}
