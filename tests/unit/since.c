/* Tests of tools/lib/since.c; prints TAP. */
#include "since.h"

#include <stdio.h>
#include <string.h>

static int count, failed;

static void
check(const char *there, bool own, const char *want, const char *name)
{
	struct json j = { 0 };
	struct json_fault fault;
	const char *got;
	bool good;

	if (json_scan(span_of(there), &j, &fault))
		printf("# not JSON: %s\n", there);
	got = since_changed(&j, "2026-11-21T15:00:00", own);
	good = want ? got && strstr(got, want) : !got;
	printf("%sok %d - %s\n", good ? "" : "not ", ++count, name);
	if (!good)
		printf("# got %s\n", got ? got : "nothing");
	failed += !good;
	json_free(&j);
}

#define NEVER "0001-01-01T00:00:00"

int
main(void)
{
	char now[SINCE_TEXT];

	check("{\"connectionState\":\"Disconnected\","
	      "\"connectionStateUpdatedTime\":\"" NEVER "\","
	      "\"statusUpdatedTime\":\"" NEVER "Z\","
	      "\"lastActivityTime\":\"" NEVER "Z\"}",
	    false, NULL, "a device that never connected");
	check("{\"lastActivityTime\":\"2026-11-21T14:59:59.9999999Z\"}", false,
	    NULL, "active before");
	check("{\"lastActivityTime\":\"2026-11-21T15:00:00.1Z\"}", true, NULL,
	    "in the same second: before, as far as can be told");
	check("{\"lastActivityTime\":\"2026-11-21T15:00:01Z\"}", true, "active",
	    "active since");
	check("{\"connectionState\":\"Connected\","
	      "\"connectionStateUpdatedTime\":\"2026-11-22T00:00:00.12Z\"}",
	    true, "connected", "connected since");
	check("{\"statusUpdatedTime\":\"2026-11-21T15:00:01Z\"}", false,
	    "status", "disabled by somebody");
	check("{\"statusUpdatedTime\":\"2026-11-21T15:00:01Z\"}", true, NULL,
	    "or by us");
	check("{\"properties\":{\"desired\":{\"$version\":4,\"$metadata\":"
	      "{\"$lastUpdated\":\"2026-11-21T15:00:09.5Z\"}}}}",
	    false, "desired", "a twin that somebody wrote");
	check("{\"properties\":{\"desired\":{\"$version\":1,\"$metadata\":"
	      "{\"$lastUpdated\":\"2026-11-21T15:00:09.5Z\"}}}}",
	    false, NULL, "one as new as its device");
	check("{\"properties\":{\"reported\":{\"$version\":2,\"$metadata\":"
	      "{\"$lastUpdated\":\"2027-01-01T00:00:00Z\"}}}}",
	    false, "reported", "a device that reported");
	check("{\"lastActivityTime\":17,\"connectionStateUpdatedTime\":null,"
	      "\"properties\":[]}",
	    false, NULL, "what is no time tells nothing");
	since_now(0, now);
	printf("%sok %d - the moment has that form\n",
	    strlen(now) == 19 && now[10] == 'T' ? "" : "not ", ++count);
	printf("1..%d\n", count);
	return failed != 0;
}
