/* since.c: times of an identity or twin; see since.h. */
#include "since.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

#include "entry.h"

void
since_now(double ahead, char text[SINCE_TEXT])
{
	time_t t = time(NULL) + (time_t)lround(ahead);
	struct tm tm;

	(void)gmtime_r(&t, &tm);
	(void)strftime(text, SINCE_TEXT, "%Y-%m-%dT%H:%M:%S", &tm);
}

/* Times are UTC in one form, with or without a fraction and Z. */
static bool
later(struct span time, const char *since)
{
	size_t n = SINCE_TEXT - 1;

	return time.at && time.len >= n + 2 && *time.at == '"' &&
	       memcmp(time.at + 1, since, n) > 0;
}

/* The first version is as old as the device, which we may have made. */
static bool
written(struct span properties, const char *section, const char *since)
{
	struct span all = entry_path(properties, section, NULL);

	return !span_is(entry_path(all, "$version", NULL), "1") &&
	       later(entry_path(all, "$metadata", "$lastUpdated"), since);
}

const char *
since_changed(const struct json *there, const char *since, bool own)
{
	struct span properties = entry_member(there, "properties");

	if (later(entry_member(there, "connectionStateUpdatedTime"), since))
		return "the device connected or disconnected";
	if (later(entry_member(there, "lastActivityTime"), since))
		return "the device was active";
	if (own)
		return NULL;
	if (later(entry_member(there, "statusUpdatedTime"), since) ||
	    later(entry_member(there, "statusUpdateTime"), since))
		return "its status was set";
	if (written(properties, "reported", since))
		return "it reported properties";
	if (written(properties, "desired", since))
		return "its desired properties were written";
	return NULL;
}
