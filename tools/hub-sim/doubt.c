/*
 * doubt.c: a switch for each fact that CONTRACT.md calls UNCONFIRMED and a
 * tool depends on, so that tools and simulator never share a guess: the tests
 * pass with each switch in each of its positions.  The first position is the
 * default.
 */
#include "sim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct doubt {
	const char *name;
	const char *positions; /* a|b|c, the default first */
	const char *why;       /* with the section of CONTRACT.md */
} doubts[] = {
	{ "bulk-partial", "applied|none",
	    "12.5: whether the good entries of a bulk call are applied when "
	    "others fail" },
	{ "bulk-error-code", "text|number",
	    "12.5: errorCode of a bulk result is a word in the specification, "
	    "a number in logs" },
	{ "bulk-update-twin", "ignored|both",
	    "12.5: whether a bulk update also takes tags and desired "
	    "properties" },
	{ "bulk-module-managed-by", "dropped|kept",
	    "12.5, 16.3: whether managedBy of a module, which the format of "
	    "many does not have, is taken all the same" },
	{ "bulk-edge-scope", "applied|ignored",
	    "12.3, 12.5: whether a bulk create takes scopes and parents" },
	{ "cosmos-mask", "absent|stars",
	    "4, 5.1: whether keys of Cosmos DB endpoints are left out or "
	    "masked when read" },
	{ "masked-new-hub", "400116|accepted",
	    "5.1: how a masked key of an endpoint that has none stored is "
	    "refused; accepted: the endpoint is dead" },
	{ "unmask-by", "id|name",
	    "5.1: whether a mask that is written back is matched by the id of "
	    "the endpoint or also by its name" },
	{ "policies-without-member", "kept|defaults",
	    "4.1: whether a PUT without authorizationPolicies keeps the "
	    "policies of a hub" },
	{ "lro-retry-after", "ms|none|seconds",
	    "3.2: whether the hub provider sends Retry-After while an "
	    "operation runs" },
	{ "list-order", "id|created",
	    "12.6: the order in which devices are listed" },
	{ "query-max", "1000|100",
	    "14: the largest page of a query, whatever is asked for" },
	{ "modules-query", "all|connected",
	    "14: whether modules that never connected are found in "
	    "devices.modules" },
	{ "query-lag", "off|on",
	    "14: whether queries still find a device that was deleted, and a "
	    "new one late" },
	{ "configuration-tie", "newest|oldest",
	    "15: which of two configurations of one priority wins" },
	{ "twin-configurations", "absent|shown",
	    "13, 14: whether a twin tells which configurations it has" },
	{ "twin-metadata", "ignored|refused",
	    "13: what a PATCH does with $metadata and $version in its body" },
	{ "reported-on-create", "applied|ignored",
	    "16.3: whether a bulk create or an import takes reported "
	    "properties" },
	{ "job-container-uri", "empty|echoed",
	    "16.1: whether a job gives its container URIs back" },
	{ "cancel-unknown-job", "500|404",
	    "16.1: what cancelling an unknown or long finished job answers" },
	{ "export-warning-line", "yes|no",
	    "16.3: whether an export without keys begins with a line of plain "
	    "text" },
	{ "export-line-end", "lf|crlf", "16.3: what ends a line of an export" },
	{ "export-metadata", "no|yes",
	    "16.3: whether an export has $metadata and $version" },
	{ "export-partial-blob", "no|yes",
	    "16.1: whether the blob of an export is seen before it is "
	    "complete" },
	{ "import-comment-line", "error|skipped",
	    "16.3: what an import makes of a line that does not begin with {" },
	{ "import-error-module", "given|left-out",
	    "16.4: whether an error about a module names it" },
	{ "import-output-name", "log|ignored",
	    "16.1, 16.4: whether outputBlobName renames importErrors.log" },
	{ "thumbprint-case", "kept|upper",
	    "12.1: whether a thumbprint comes back as it was typed" },
	{ "thumbprint-length", "40-64|any",
	    "12.1: which lengths a thumbprint may have" },
	{ "module-of-disabled", "refused|answered",
	    "12.4: what an identity call for a module of a disabled device "
	    "answers with SAS" },
	{ "no-change-version", "bumped|same",
	    "18.1: whether a twin write that changes nothing raises "
	    "$version" },
	{ "max-modules", "50|20", "12.4: how many modules a device may have" },
	{ "deployment-active", "409|attach",
	    "9.4: a second PUT of a deployment that still runs" },
	{ "etag-stale-body", "envelope|flat",
	    "3.3: the body of the 412 for a hub's stale ETag" },
	{ "throttle-burst", "large|small",
	    "11.4: how much a hub lets through at once before it delays: some "
	    "140 s worth, as one measurement says, or 5 s" },
	{ "throttle-retry-after", "none|seconds",
	    "11.4: whether the 429 of a hub says when to come back" },
	{ "throttle-refusal", "at-once|late",
	    "11.4: whether a call that is refused has waited before, for some "
	    "40 s" },
	{ "basic-query", "refused|answered",
	    "annex A: whether a hub of the basic tier answers queries" },
	{ "throttle-code", "TooManyRequests|SubscriptionRequestsThrottled",
	    "3.4: the code of Resource Manager's 429" },
	{ "if-match-malformed", "ignored|refused",
	    "3.3: what the hub provider makes of an If-Match that is no ETag, "
	    "such as az sends" },
	{ "hub-name-hyphen", "refused|accepted",
	    "1: whether a hub's name may end in a hyphen" },
	{ "group-location", "409|kept",
	    "9.4: a PUT of a resource group with another location" },
	{ "consumer-groups-max", "20|50",
	    "7: how many consumer groups an endpoint may have" },
	{ "children-conflict", "yes|no",
	    "4.2, 9.4: whether children of one hub that a template does not "
	    "chain meet 409002 when they are deployed" },
	{ "operation-id", "plain|region",
	    "3.2: whether the id of a hub's operation also holds the region, "
	    "as newer recordings have it" },
	{ "failover-provisioning", "FailingOver|Succeeded",
	    "4.2: provisioningState of a hub whose state is FailingOver" },
	{ "failover-region-name", "display|both",
	    "6: whether failoverRegion may be a short name" },
	{ "failover-region", "400|409",
	    "6: the status for a region that is not the paired one" },
	{ "failover-free-tier", "refused|allowed",
	    "6: whether a free hub can fail over" },
	{ "failover-limit", "409|429|400",
	    "6: the status for more than two failovers in a day, or one "
	    "within an hour" },
	{ "failover-hour", "end|start",
	    "6: whether the hour between failovers begins with the end of "
	    "the last one or with its start" },
	{ "failover-day", "rolling|utc",
	    "6: whether the day of two failovers is the last 24 hours or the "
	    "date" },
	{ "failover-roles", "end|endpoint",
	    "6: whether the roles of the locations change when the hub is "
	    "Active again or with its endpoint" },
	{ "failover-data-plane", "404012|401001",
	    "6: whether the data plane of a hub that fails over says so, or "
	    "that there is no such hub" },
	{ "failover-get", "answered|missing",
	    "6: whether Resource Manager says for a while of a failover that "
	    "there is no such hub" },
	{ "failover-keys", "delay|hang|answer",
	    "6: whether keys and consumer groups, asked for during a failover, "
	    "come late, never or at once" },
	{ "failover-failed-state", "Active|FailoverFailed",
	    "4.2, 6: the state of a hub whose failover failed" },
	{ "export-embeds-name", "no|yes",
	    "8: whether exportTemplate writes the hub's name inside of other "
	    "strings as its parameter" },
	{ "export-error-code", "ExportTemplateCompletedWithErrors|ExportFailed",
	    "8: the code beside a template that is not complete" },
	{ "parameter-name-hyphen", "underscore|kept",
	    "8: how a hyphen of the hub's name is spelt in the names of "
	    "exported parameters" },
	{ "not-found-code", "ResourceNotFound|NotFound",
	    "3.1: the code of Resource Manager's 404" },
	{ "append-block-max", "version|4",
	    "17.3: whether a version from 2022-11-02 appends 100 MiB at once "
	    "or 4 as the older ones" },
	{ "forbidden-code", "AuthorizationFailed|Forbidden",
	    "2: the code of Resource Manager's 403" },
};

enum { COUNT = sizeof doubts / sizeof *doubts };

/* What --doubt or HUB_SIM_DOUBTS said; NULL: the default. */
static char chosen[COUNT][64];
static bool noted[COUNT];

static int
find(const char *name, size_t len)
{
	for (int i = 0; i < COUNT; i++)
		if (strlen(doubts[i].name) == len &&
		    strncmp(doubts[i].name, name, len) == 0)
			return i;
	return -1;
}

static bool
is_position(const char *positions, const char *wanted)
{
	size_t len = strlen(wanted);

	while (*positions) {
		size_t n = strcspn(positions, "|");

		if (n == len && strncmp(positions, wanted, n) == 0)
			return true;
		positions += n + (positions[n] == '|');
	}
	return false;
}

/* HUB_SIM_ASKED: which test depends on which doubt, for make check-doubts.
 * One write, since many may append. */
static void
note_asked(int i)
{
	const char *path = getenv("HUB_SIM_ASKED"),
		   *file = getenv("BATS_TEST_FILENAME"),
		   *test = getenv("BATS_TEST_DESCRIPTION");
	char *line;
	int fd;

	noted[i] = true;
	if (!path || !*path)
		return;
	line = xasprintf(
	    "%s\t%s\t%s\n", doubts[i].name, file ? file : "", test ? test : "");
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd == -1 || write(fd, line, strlen(line)) != (ssize_t)strlen(line))
		die(LOCAL_FAILURE, path, "cannot be written: %s",
		    strerror(errno));
	(void)close(fd);
	free(line);
}

bool
sim_doubt_is(const char *name, const char *position)
{
	int i = find(name, strlen(name));
	size_t n;

	if (i < 0 || !is_position(doubts[i].positions, position))
		bug("no doubt '%s' with a position '%s'", name, position);
	if (!noted[i])
		note_asked(i);
	if (*chosen[i])
		return strcmp(chosen[i], position) == 0;
	n = strcspn(doubts[i].positions, "|");
	return strlen(position) == n &&
	       strncmp(doubts[i].positions, position, n) == 0;
}

int
sim_doubt_set(const char *assignment, struct err *e)
{
	size_t len = strcspn(assignment, "=");
	int i = find(assignment, len);

	if (!assignment[len])
		return err_set(e, BAD_USAGE, assignment,
		    "is not NAME=POSITION (see --list-doubts)");
	if (i < 0)
		return err_set(e, BAD_USAGE, assignment,
		    "no doubt has this name (see --list-doubts)");
	if (!is_position(doubts[i].positions, assignment + len + 1))
		return err_set(e, BAD_USAGE, assignment,
		    "the positions of %s are %s", doubts[i].name,
		    doubts[i].positions);
	(void)snprintf(chosen[i], sizeof chosen[i], "%s", assignment + len + 1);
	return 0;
}

const char *
sim_doubt_position(const char *name)
{
	int i = find(name, strlen(name));

	if (i >= 0 && !*chosen[i])
		(void)snprintf(chosen[i], sizeof chosen[i], "%.*s",
		    (int)strcspn(doubts[i].positions, "|"),
		    doubts[i].positions);
	return i < 0 ? NULL : chosen[i];
}

int
sim_doubt_environment(struct err *e)
{
	const char *at = getenv("HUB_SIM_DOUBTS");
	int bad = 0;

	while (at && *at && !bad) {
		size_t len = strcspn(at, " ");
		/* Kept, as what --doubt gives is. */
		char *one = xstrndup(at, len);

		if (len)
			bad = sim_doubt_set(one, e);
		at += len + (at[len] == ' ');
	}
	return bad;
}

void
sim_doubt_list(void)
{
	for (int i = 0; i < COUNT; i++) {
		int n = (int)strcspn(doubts[i].positions, "|");

		printf("%s\t%.*s\t%s\t%s\n", doubts[i].name, n,
		    doubts[i].positions, doubts[i].positions, doubts[i].why);
	}
}
