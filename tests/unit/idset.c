/* The set of ids: what was put in is found, and only that, at any size. */
#include "idset.h"

#include <stdio.h>
#include <stdlib.h>

#include "tap.h"

enum { IDS = 200000 };

/* Every third is a module of the device before it. */
static void
name(int i, char id[32], const char **module)
{
	(void)snprintf(id, 32, "device-%06d", i - i % 3 / 2);
	*module = i % 3 == 2 ? "m" : NULL;
}

static void
fill(struct idset *s, int from, int to)
{
	const char *module;
	char id[32];
	long wrong = 0;
	bool added;

	for (int i = from; i < to; i++) {
		name(i, id, &module);
		*idset_add(s, id, module, &added) = (uint64_t)i + 1;
		wrong += !added;
	}
	check(wrong == 0, "each is new");
	check(s->count == (size_t)to, "and counted");
}

static void
find(const struct idset *s, int to)
{
	const char *module;
	char id[32];
	long lost = 0, strangers = 0;

	for (int i = 0; i < IDS; i++) {
		uint64_t *value;

		name(i, id, &module);
		value = idset_find(s, id, module);
		lost += i < to && (!value || *value != (uint64_t)i + 1);
		strangers += i >= to && value;
	}
	check(lost == 0, "what was put in is found, with its value");
	check(strangers == 0, "and nothing else");
}

/* In the order of the first time, and in another. */
static void
again(struct idset *s)
{
	const char *module;
	char id[32];
	long wrong = 0;
	bool added;

	for (int round = 0; round < 2; round++)
		for (int i = 0; i < IDS; i++) {
			int at = round ? (int)((long)i * 7919 % IDS) : i;
			uint64_t *value;

			name(at, id, &module);
			value = idset_add(s, id, module, &added);
			wrong += added || *value != (uint64_t)at + 1;
		}
	check(wrong == 0, "what is added again has its value, in any order");
}

int
main(void)
{
	struct idset s = { .count = 0 };
	bool added;

	check(!idset_find(&s, "a", NULL), "an empty set has none");
	for (int from = 0, to = 1; from < IDS; from = to, to *= 10) {
		if (to > IDS)
			to = IDS;
		fill(&s, from, to);
		find(&s, to);
		if (to == IDS)
			break;
	}
	again(&s);
	(void)idset_add(&s, "device-000000", NULL, &added);
	check(!added && s.count == IDS, "one that is there is not new");
	*idset_find(&s, "device-000000", NULL) = 0;
	check(idset_unmet(&s) == 1, "unmet are those without a value");
	check(idset_lists(&s, "device-000000", "any"),
	    "a device lists its modules");
	check(idset_unmet(&s) == 0, "and is met by that");
	check(!idset_lists(&s, "nobody", "m"), "no device, no module");
	idset_free(&s);
	return done_testing();
}
