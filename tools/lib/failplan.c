/* failplan.c: what is known before a failover; see failplan.h. */
#include "failplan.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "cloud.h"
#include "doc.h"
#include "share.h"

#define HUB_TYPE "Microsoft.Devices/IotHubs"

static double
seconds_now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* One try, which may take so long. */
static jv
within(jv request, double seconds)
{
	return jv_put(request, "limit", jv_number(seconds < 1 ? 1 : seconds));
}

static void
take(char **into, char *value)
{
	free(*into);
	*into = value;
}

static char *
text_at(jv value, const char *path)
{
	return jv_dup_string(jv_path(value, path));
}

/* Both locations with their roles; a hub without a pair has one. */
static void
take_locations(struct failplan *p)
{
	jv all = jv_path(jv_copy(p->hub), "properties.locations");

	take(&p->from, NULL);
	take(&p->paired, NULL);
	take(&p->paired_name, NULL);
	if (jv_get_kind(all) != JV_KIND_ARRAY) {
		jv_free(all);
		return;
	}
	jv_array_foreach(all, i, place) {
		char *name = jv_dup_string(jv_at(jv_copy(place), "location"));
		char *known = name ? cloud_region(name) : NULL;

		if (jv_string_is_nocase(
			jv_at(jv_copy(place), "role"), "primary")) {
			take(&p->from, known ? known : name);
			if (known)
				free(name);
		} else {
			take(&p->paired_name, name);
			take(
			    &p->paired, known || !name ? known : xstrdup(name));
		}
		jv_free(place);
	}
	jv_free(all);
}

static void
take_clock(struct failplan *p, jv answer)
{
	char *date = text_at(answer, "headers.date");
	time_t there = date ? curl_getdate(date, NULL) : -1;

	if (there > 0)
		p->skew = difftime(there, time(NULL));
	free(date);
}

int
failplan_look(struct failplan *p, struct arm *a, double seconds)
{
	jv answer = arm_answer(
	    a, within(arm_request("GET", ARM_API_HUB, jv_null(), "%s", p->id),
		   seconds));
	int status;

	if (!jv_is_valid(answer)) {
		jv_free(answer);
		return -1;
	}
	take_clock(p, jv_copy(answer));
	status = (int)jv_number_value(jv_at(jv_copy(answer), "status"));
	answer = jv_at(answer, "body");
	if (status != 200 || jv_get_kind(answer) != JV_KIND_OBJECT) {
		jv_free(answer);
		return status == 404 ? 0 : -1;
	}
	jv_free(p->hub);
	p->hub = answer;
	take(&p->state, text_at(jv_copy(p->hub), "properties.state"));
	take(&p->home, text_at(jv_copy(p->hub), "location"));
	if (p->home) {
		char *known = cloud_region(p->home);

		if (known)
			take(&p->home, known);
	}
	take_locations(p);
	return 1;
}

/* Its id, asked for only where it cannot be written down. */
static int
name_it(struct failplan *p, struct arm *a, const char *operand,
    const char *group, double seconds, struct err *e)
{
	const char *suffix = cloud_get("hubSuffix"), *sub;
	size_t n = strlen(operand), m = strlen(suffix);
	jv id, found;

	if (*operand == '/') {
		id = arm_id_parse(operand);
		if (!jv_is_valid(id) ||
		    !jv_string_is_nocase(
			jv_at(jv_copy(id), "type"), HUB_TYPE)) {
			jv_free(id);
			return err_set(e, BAD_USAGE, operand,
			    "no resource id of an IoT hub");
		}
		p->id = xstrdup(operand);
		id = jv_at(id, "names");
		p->name = jv_dup_string(jv_array_get(id, 0));
		return 0;
	}
	if (n > m + 1 && operand[n - m - 1] == '.' &&
	    strcasecmp(operand + n - m, suffix) == 0)
		n -= m + 1;
	p->name = xstrndup(operand, n);
	if (!n ||
	    strspn(p->name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWX"
			    "YZ0123456789-") != n)
		return err_set(e, BAD_USAGE, operand,
		    "no name of a hub: letters, digits and - only");
	sub = arm_subscription(a);
	if (group) {
		p->id = xasprintf(
		    "/subscriptions/%s/resourceGroups/%s/providers/" HUB_TYPE
		    "/%s",
		    sub, group, p->name);
		return 0;
	}
	found = arm_list(
	    a, within(arm_request("GET", ARM_API_HUB, jv_null(),
			  "/subscriptions/%s/providers/" HUB_TYPE, sub),
		   seconds));
	if (!jv_is_valid(found)) {
		(void)err_from_jv(e, found);
		if (e->status == REMOTE_RETRY)
			(void)err_set(e, REMOTE_RETRY, operand,
			    "nobody says where it is (give -g GROUP, or its "
			    "resource id: then it need not be looked for)");
		return -1;
	}
	jv_array_foreach(found, i, hub) {
		if (!p->id &&
		    jv_string_is_nocase(jv_at(jv_copy(hub), "name"), p->name))
			p->id = text_at(jv_copy(hub), "id");
		jv_free(hub);
	}
	jv_free(found);
	if (p->id)
		return 0;
	return err_set(e, ANSWER_NO, p->name,
	    "no such hub in subscription '%s' (-s names another)", sub);
}

static bool
has_failed(jv answer)
{
	jv failed = jv_get_kind(answer) == JV_KIND_OBJECT
			? jv_at(jv_copy(answer), "failed")
			: jv_null();
	bool is = jv_get_kind(failed) != JV_KIND_NULL;

	jv_free(failed);
	jv_free(answer);
	return is;
}

static jv
member_of_all(jv list, const char *name)
{
	jv out = jv_array();

	jv_array_foreach(list, i, one)
		out = jv_array_append(out, jv_at(one, name));
	jv_free(list);
	return out;
}

/* What the calls that may block later say now, all at once. */
static void
ask_rest(struct failplan *p, struct arm *a, double seconds, bool secrets)
{
	jv calls = jv_array(), answers, one;

	calls = jv_array_append(
	    calls, within(arm_request("GET", ARM_API_HUB, jv_null(),
			      "%s/IotHubStats", p->id),
		       seconds));
	calls = jv_array_append(calls,
	    within(arm_request("GET", ARM_API_HUB, jv_null(),
		       "%s/eventHubEndpoints/events/ConsumerGroups", p->id),
		seconds));
	if (secrets)
		calls = jv_array_append(
		    calls, within(jv_put(arm_request("POST", ARM_API_HUB,
					     jv_null(), "%s/listkeys", p->id),
				      "repeat", jv_true()),
			       seconds));
	answers = arm_all(a, calls);
	one = jv_array_get(jv_copy(answers), 0);
	if (!has_failed(jv_copy(one))) {
		jv n = jv_at(jv_copy(one), "totalDeviceCount");

		if (jv_get_kind(n) == JV_KIND_NUMBER)
			p->devices = jv_number_value(n);
		jv_free(n);
	}
	jv_free(one);
	one = jv_array_get(jv_copy(answers), 1);
	if (!has_failed(jv_copy(one)))
		p->groups = member_of_all(jv_at(jv_copy(one), "value"), "name");
	jv_free(one);
	if (secrets) {
		one = jv_array_get(jv_copy(answers), 2);
		if (!has_failed(jv_copy(one)))
			p->keys = jv_at(jv_copy(one), "value");
		jv_free(one);
	}
	jv_free(answers);
}

int
failplan_ask(struct failplan *p, struct arm *a, const char *operand,
    const char *group, double seconds, bool secrets, struct err *e)
{
	double end = seconds_now() + seconds;
	int known;

	*p = (struct failplan){ .hub = jv_null(),
		.groups = jv_null(),
		.keys = jv_null(),
		.devices = -1 };
	if (name_it(p, a, operand, group, seconds, e))
		return -1;
	/* Half of the time for the first question leaves some for the rest. */
	known = failplan_look(p, a, (end - seconds_now()) / 2);
	if (known == 0 && !group)
		return err_set(e, ANSWER_NO, p->name, "no such hub");
	if (known == 0)
		return err_set(e, ANSWER_NO, p->name,
		    "no such hub in resource group '%s' (or it is being failed "
		    "over and hides)",
		    group);
	if (end - seconds_now() >= 1)
		ask_rest(p, a, end - seconds_now(), secrets);
	return 0;
}

static char *
display_name(const char *region)
{
	jv table = share_table("regions.json");
	char *name = text_at(jv_at(table, region), "displayName");

	return name ? name : xstrdup(region);
}

/* By the table: for planning, where the hub itself says nothing. */
static bool
is_pair(const char *a, const char *b)
{
	jv table = share_table("regions.json");
	char *pa = text_at(jv_at(jv_copy(table), a), "pairedWith");
	char *pb = text_at(jv_at(table, b), "pairedWith");
	/* Not every pair is mutual. */
	bool is = (pa && !strcmp(pa, b)) || (pb && !strcmp(pb, a));

	free(pa);
	free(pb);
	return is;
}

int
failplan_target(struct failplan *p, const char *region, struct err *e)
{
	char *known = region ? cloud_region(region) : NULL;

	if (region && !known)
		return err_set(e, BAD_USAGE, region, "no such region");
	if (!p->from) { /* the hub was not answered for */
		if (!known)
			return err_set(e, REMOTE_RETRY, p->name,
			    "nobody says where it is now (--to names the "
			    "region)");
		p->to = known;
		p->to_name = display_name(known);
		return 0;
	}
	if (!known && !p->paired)
		return err_set(e, ANSWER_NO, p->name,
		    "has no paired region: it cannot be failed over");
	if (!known)
		known = xstrdup(p->home && strcasecmp(p->from, p->home) != 0
				    ? p->home
				    : p->from);
	p->to = known;
	if (!strcasecmp(known, p->from)) {
		p->to_name = display_name(known);
		return 0;
	}
	if (!p->paired)
		return err_set(e, ANSWER_NO, p->name,
		    "has no paired region: it cannot be failed over%s",
		    is_pair(p->from, known) ? " (its data stays in its region)"
					    : "");
	if (strcasecmp(known, p->paired) != 0)
		return err_set(e, ANSWER_NO, p->name,
		    "cannot go to %s: it is in %s, whose pair is %s", known,
		    p->from, p->paired);
	p->to_name = xstrdup(p->paired_name);
	return 0;
}

bool
failplan_is_there(const struct failplan *p)
{
	return p->from && p->to && strcasecmp(p->from, p->to) == 0 &&
	       !failplan_under_way(p);
}

bool
failplan_under_way(const struct failplan *p)
{
	return p->state && strcasecmp(p->state, "FailingOver") == 0;
}

int
failplan_veto(const struct failplan *p, struct err *e)
{
	char *sku = text_at(jv_copy(p->hub), "sku.name");
	int rc = 0;

	if (sku && strcasecmp(sku, "F1") == 0)
		rc = err_set(e, ANSWER_NO, p->name,
		    "is a free hub (F1): these cannot be failed over");
	else if (p->state && strcasecmp(p->state, "Active") != 0)
		rc = err_set(e, ANSWER_NO, p->name,
		    "is %s, not Active: it cannot be failed over now",
		    p->state);
	free(sku);
	return rc;
}

double
failplan_expected(const struct failplan *p)
{
	double n = p->devices < 0 ? 0 : p->devices;

	/* 10 minutes at least, about 15 at 100,000 devices, an hour or more
	 * at five million. */
	return n <= 1e5 ? 600 + 300 * n / 1e5 : 900 + 2700 * (n - 1e5) / 4.9e6;
}

jv
failplan_endpoint(const struct failplan *p)
{
	jv events =
	    jv_path(jv_copy(p->hub), "properties.eventHubEndpoints.events");
	char *url, *path;
	jv out;

	if (jv_get_kind(events) != JV_KIND_OBJECT) {
		jv_free(events);
		return jv_null();
	}
	url = text_at(jv_copy(events), "endpoint");
	path = text_at(events, "path");
	out = jv_put(jv_object(), "endpoint", url ? jv_string(url) : jv_null());
	out = jv_put(out, "path", path ? jv_string(path) : jv_null());
	out = jv_put(out, "connectionString",
	    url && path ? jv_text("Endpoint=%s;SharedAccessKeyName=service;"
				  "SharedAccessKey=****;EntityPath=%s",
			      url, path)
			: jv_null());
	free(url);
	free(path);
	return out;
}

void
failplan_free(struct failplan *p)
{
	jv_free(p->hub);
	jv_free(p->groups);
	jv_free(p->keys);
	free(p->name);
	free(p->id);
	free(p->state);
	free(p->from);
	free(p->paired);
	free(p->paired_name);
	free(p->home);
	free(p->to);
	free(p->to_name);
}
