/* Tests of tools/lib/record.c; prints TAP. */
#include "record.h"

#include <stdio.h>
#include <stdlib.h>

#include "tap.h"

static struct record rec;

static bool
reads(const char *line)
{
	struct err e;

	if (record_read(span_of(line), &rec, &e) == 0)
		return true;
	printf("# %s\n", e.text);
	return false;
}

static void
refused(const char *line, const char *why)
{
	struct err e = { .text = "" };

	check(record_read(span_of(line), &rec, &e) == -1 &&
		  e.status == BAD_DATA && strstr(e.text, why),
	    why);
	if (failures)
		printf("# %s\n", e.text);
}

static void
test_good(void)
{
	check(reads("{\"id\":\"a-.+%_#*?!(),=@$':;Z9\"}") &&
		  !strcmp(rec.id, "a-.+%_#*?!(),=@$':;Z9") && !rec.module &&
		  !rec.edge && !rec.disabled &&
		  rec.mode == RECORD_CREATE_OR_UPDATE,
	    "an id with all that is allowed");
	check(reads("{\"id\":\"d\",\"moduleId\":\"$edgeHub\",\"importMode\":"
		    "\"UPDATETWIN\",\"status\":\"Disabled\",\"capabilities\":{"
		    "\"iotEdge\":true}}") &&
		  !strcmp(rec.module, "$edgeHub") && rec.system_module &&
		  rec.edge && rec.disabled && rec.mode == RECORD_UPDATE_TWIN,
	    "all that is read");
	check(
	    reads("{\"id\":\"d\",\"moduleId\":null,\"importMode\":5,\"status\":"
		  "null}") &&
		!rec.module && !rec.system_module && !rec.edge &&
		!rec.disabled && rec.mode == RECORD_DELETE,
	    "nothing stays from the line before; the mode as a number");
	check(reads("{\"i\\u0064\":\"\\u0064\"}") && !strcmp(rec.id, "d"),
	    "names and ids spelt with escapes");
	check(reads("{\"id\":\"d\",\"x\":1,\"x\":2}"),
	    "what nobody acts on may be there twice");
}

static void
test_bad(void)
{
	char line[300];

	refused("", "no JSON");
	refused("{\"id\":\"d\"", "no JSON");
	refused("[]", "no object");
	refused("{}", "no id");
	refused("{\"deviceId\":\"d\"}", "no id");
	refused("{\"id\":1}", "id is no string");
	refused("{\"id\":null}", "id is no string");
	refused("{\"id\":\"\"}", "id is empty");
	refused("{\"id\":\"\\ud800\"}", "id is empty");
	refused("{\"id\":\"a b\"}", "at 2");
	refused("{\"id\":\"\xc3\xa9\"}", "at 1");
	refused("{\"id\":\"a/b\"}", "at 2");
	refused("{\"id\":\"d\",\"moduleId\":\"\"}", "moduleId is empty");
	refused("{\"id\":\"d\",\"id\":\"e\"}", "id is there twice");
	refused("{\"id\":\"d\",\"tags\":{},\"t\\u0061gs\":{}}",
	    "tags is there twice");
	refused(
	    "{\"id\":\"d\",\"importMode\":\"upsert\"}", "unknown importMode");
	refused("{\"id\":\"d\",\"importMode\":9}", "unknown importMode");
	refused("{\"id\":\"d\",\"importMode\":{}}", "unknown importMode");
	refused("{\"id\":\"d\",\"status\":\"off\"}", "status is neither");
	refused("{\"id\":\"d\",\"capabilities\":{\"iotEdge\":true,\"iotEdge\":"
		"false}}",
	    "capabilities.iotEdge is there twice");
	(void)snprintf(line, sizeof line, "{\"id\":\"%0*d\"}", 128, 0);
	check(reads(line), "an id of 128 characters");
	(void)snprintf(line, sizeof line, "{\"id\":\"%0*d\"}", 129, 0);
	refused(line, "longer than 128");
}

static void
test_modes(void)
{
	bool good = true;

	for (int i = 0; i <= RECORD_UPDATE_TWIN_IF_MATCH; i++)
		good &=
		    record_mode_of(record_mode_name((enum record_mode)i)) == i;
	check(good, "each mode has a name");
	check(record_mode_of("delete") == 5 && record_mode_of("8") == 8 &&
		  record_mode_of("9") == -1 && record_mode_of("") == -1 &&
		  record_mode_of("55") == -1,
	    "their numbers are the service's");
	check(record_is_comment(span_of("Warning: no keys")) &&
		  !record_is_comment(span_of("{\"id\":1}")) &&
		  !record_is_comment(span_of("[1]")) &&
		  !record_is_comment(span_of("")),
	    "the line before an export without keys");
}

int
main(void)
{
	test_good();
	test_bad();
	test_modes();
	record_free(&rec);
	return done_testing();
}
