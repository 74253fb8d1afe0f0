/* The journal of own failovers, and what the rules make of it. */
#include "turns.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doc.h"
#include "tap.h"

enum { T = 1800000000, HOUR = 3600, DAY = 24 * HOUR };

/* One line in words: minutes since T, event, where to. */
static jv
turn(jv all, int minute, const char *event, const char *to)
{
	char text[32];
	jv one = jv_put(jv_object(), "event", jv_string(event));

	turns_time(T + 60.0 * minute, text);
	one = jv_put(one, "to", jv_string(to));
	return jv_array_append(all, jv_put(one, "time", jv_string(text)));
}

/* Minutes from T until it is allowed; -1: now. */
static int
allowed(jv turns, int minute, const char *to, const char *rule)
{
	char *why;
	double at = turns_allowed(turns, T + 60.0 * minute, to, "westus", &why);
	bool good =
	    (at > 0) == (why != NULL) && (!rule || (why && strstr(why, rule)));

	free(why);
	return !good ? -99 : at > 0 ? (int)((at - T) / 60) : -1;
}

static void
test_rules(void)
{
	jv a = jv_array(), two;

	check(allowed(jv_array(), 0, "eastus", NULL) == -1, "none: now");
	a = turn(turn(turn(a, 0, "asked", "eastus"), 0, "begun", "eastus"), 10,
	    "done", "eastus");
	check(allowed(jv_copy(a), 20, "westus", "an hour") == 70,
	    "an hour after the end, not the start");
	check(allowed(jv_copy(a), 70, "westus", NULL) == -1, "then: now");
	check(allowed(jv_copy(a), 69, "westus", "an hour") == 70, "not before");
	two = turn(
	    turn(jv_copy(a), 100, "done", "westus"), 200, "done", "eastus");
	check(allowed(jv_copy(two), 300, "westus", NULL) == -1,
	    "one back and one more: back is allowed");
	two = turn(two, 300, "done", "westus");
	check(allowed(jv_copy(two), 400, "eastus", "2 failovers") == 10 + 1440,
	    "two there: a day after the first");
	check(allowed(jv_copy(two), 400, "WestUS", "2 failbacks") == 100 + 1440,
	    "two back: a day after the first, in any spelling");
	check(allowed(jv_copy(two), 1451, "eastus", NULL) == -1,
	    "the day is over for the first");
	two = turn(two, 1430, "begun", "eastus");
	check(
	    allowed(jv_copy(two), 1445, "eastus", "3 failovers") == 200 + 1440,
	    "three known: a day after the last but one");
	jv_free(two);
	check(allowed(turn(jv_copy(a), 100, "failed", "westus"), 110, "westus",
		  NULL) == -1,
	    "one that failed counts for nothing");
	check(allowed(turn(turn(jv_copy(a), 100, "begun", "westus"), 105,
			  "failed", "westus"),
		  110, "westus", NULL) == -1,
	    "nor one that was begun and failed");
	check(allowed(turn(jv_copy(a), 100, "begun", "westus"), 110, "eastus",
		  "an hour") == 160,
	    "one whose end nobody saw counts from its start");
	check(allowed(turn(jv_copy(a), 100, "asked", "westus"), 110, "eastus",
		  NULL) == -1,
	    "one that was only asked for does not");
	check(allowed(turn(jv_array(), 5000, "done", "eastus"), 0, "westus",
		  NULL) == -1,
	    "a time that is to come is a wrong clock, no rule");
	jv_free(a);
}

/* Where the one leads that is under way; "": none is. */
static bool
open_is(jv turns, int minute, const char *to, const char *event)
{
	jv found = turns_open(turns, T + 60.0 * minute, to);
	bool is = jv_get_kind(found) == JV_KIND_OBJECT
		      ? jv_string_is(jv_at(jv_copy(found), "event"), event)
		      : !*event;

	jv_free(found);
	return is;
}

static void
test_open(void)
{
	jv a = turn(jv_array(), 0, "asked", "eastus");

	check(open_is(jv_array(), 0, "eastus", ""), "nothing is under way");
	check(
	    open_is(jv_copy(a), 1, "eastus", "asked"), "asked for, no answer");
	a = turn(a, 0, "begun", "eastus");
	check(open_is(jv_copy(a), 1, "EastUS", "begun"), "begun");
	check(open_is(jv_copy(a), 1, NULL, "begun"), "anywhere");
	check(open_is(jv_copy(a), 1, "westus", ""), "not to another region");
	check(open_is(jv_copy(a), 1500, "eastus", ""), "not a day later");
	check(open_is(turn(jv_copy(a), 9, "done", "eastus"), 10, "eastus", ""),
	    "not when it is done");
	check(open_is(turn(jv_copy(a), 9, "failed", "eastus"), 10, NULL, ""),
	    "not when it has failed");
	jv_free(a);
}

static void
test_file(void)
{
	char dir[] = "/tmp/turns.XXXXXX", *file, *deep;
	struct err e;
	jv all, one;
	FILE *f;

	if (!mkdtemp(dir))
		return;
	deep = xasprintf("%s/a", dir);
	file = xasprintf("%s/a/b.jsonl", dir);
	all = turns_of(file, "/H");
	check(jv_array_length(all) == 0, "no file is no turn");
	check(turns_add(file, T, "/h", "begun", NULL, "eastus", "https://x/\"y",
		  "sb://z/", &e) == 0 &&
		  turns_add(file, T + 1, "/other", "begun", "a", "b", NULL,
		      NULL, &e) == 0,
	    "lines are added, folders made");
	f = fopen(file, "ae");
	if (f) {
		(void)fputs("no json\n[]\n{\"hub\":3}\n{\"hub\":\"/h\"", f);
		(void)fclose(f);
	}
	all = turns_of(file, "/H");
	check(jv_array_length(jv_copy(all)) == 1,
	    "of one hub, whatever else is there");
	one = jv_array_get(all, 0);
	check(jv_string_is(jv_at(jv_copy(one), "operation"), "https://x/\"y") &&
		  jv_string_is(jv_at(jv_copy(one), "endpoint"), "sb://z/") &&
		  jv_string_is(
		      jv_at(jv_copy(one), "time"), "2027-01-15T08:00:00Z"),
	    "as it was written");
	jv_free(one);
	check(
	    turns_add(dir, T, "/h", "done", NULL, "x", NULL, NULL, &e) == -1 &&
		e.status == LOCAL_FAILURE,
	    "what cannot be written is said");
	check(turns_add(NULL, T, "/h", "done", NULL, "x", NULL, NULL, &e) == 0,
	    "no file, no journal");
	(void)unlink(file);
	(void)rmdir(deep);
	(void)rmdir(dir);
	free(file);
	free(deep);
}

static void
test_time(void)
{
	char text[32];

	turns_time(T, text);
	check(!strcmp(text, "2027-01-15T08:00:00Z"), "time as text");
	check(turns_parse(text) == T, "and back");
	check(turns_parse("2027-01-15T08:00:00.123Z") == T, "with a fraction");
	check(turns_parse("yesterday") < 0 && turns_parse("") < 0, "none");
}

int
main(void)
{
	test_rules();
	test_open();
	test_file();
	test_time();
	return done_testing();
}
