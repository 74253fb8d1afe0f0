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

enum {
	SKEW = 5, /* seconds: less is the grain of the header */
	PROBE = 20,
};

/* From there on hubs can be failed over (CONTRACT 6). */
static const char first_day[] = "2017-05-18";

double
failplan_now(const struct failplan *p)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9 +
	       (p->skew > SKEW || p->skew < -SKEW ? p->skew : 0);
}

/* One try, which may take so long. */
static jv
within(jv request, double seconds)
{
	return jv_put(
	    request, "limit", jv_number(seconds < 0.01 ? 0.01 : seconds));
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

static void
take_hub(struct failplan *p, jv hub)
{
	jv_free(p->hub);
	p->hub = hub;
	take(&p->state, text_at(jv_copy(p->hub), "properties.state"));
	take(&p->home, text_at(jv_copy(p->hub), "location"));
	if (p->home) {
		char *known = cloud_region(p->home);

		if (known)
			take(&p->home, known);
	}
	take_locations(p);
}

static int
look(struct failplan *p, struct arm *a, double seconds)
{
	jv answer = arm_answer(
	    a, within(arm_request("GET", ARM_API_HUB, jv_null(), "%s", p->id),
		   seconds));
	int status;

	if (!jv_is_valid(answer)) {
		(void)err_from_jv(&p->silence, answer);
		return -1;
	}
	take_clock(p, jv_copy(answer));
	status = (int)jv_number_value(jv_at(jv_copy(answer), "status"));
	answer = jv_at(answer, "body");
	if (status == 200 && jv_get_kind(answer) == JV_KIND_OBJECT) {
		take_hub(p, answer);
		return 1;
	}
	if (jv_get_kind(answer) == JV_KIND_OBJECT) {
		jv error = arm_error(answer);
		char *text = arm_error_text(jv_copy(error));

		(void)err_set(&p->silence, arm_status(status, error), p->name,
		    "HTTP %d: %s", status, text);
		free(text);
	} else {
		jv_free(answer);
		(void)err_set(
		    &p->silence, REMOTE_RETRY, p->name, "HTTP %d", status);
	}
	return status == 404 ? 0 : -1;
}

int
failplan_look(struct failplan *p, struct arm *a, double seconds)
{
	int there;

	http_until(arm_http(a), seconds);
	there = look(p, a, seconds);
	http_until(arm_http(a), 0);
	return there;
}

/* Looks for it in a subscription; what a list says of it is taken too. */
static int
find_it(struct failplan *p, struct arm *a, const char *scope, struct err *e)
{
	jv found = arm_list(a, within(arm_request("GET", ARM_API_HUB, jv_null(),
					  "%s/providers/" HUB_TYPE, scope),
				   http_left(arm_http(a))));

	if (!jv_is_valid(found)) {
		(void)err_from_jv(e, found);
		if (e->status == REMOTE_RETRY)
			(void)err_set(e, REMOTE_RETRY, p->name,
			    "nobody says where it is (give -g GROUP, or its "
			    "resource id: then it need not be looked for)");
		return -1;
	}
	jv_array_foreach(found, i, hub) {
		char *id = text_at(jv_copy(hub), "id");

		if (id && (p->id ? arm_id_same(id, p->id)
				 : jv_string_is_nocase(
				       jv_at(jv_copy(hub), "name"), p->name))) {
			take(&p->id, xstrdup(id));
			take(&p->name, text_at(jv_copy(hub), "name"));
			take_hub(p, jv_copy(hub));
		}
		free(id);
		jv_free(hub);
	}
	jv_free(found);
	return 0;
}

/* Its id, asked for only where it cannot be written down. */
static int
name_it(struct failplan *p, struct arm *a, const char *operand,
    const char *group, struct err *e)
{
	const char *sub;
	char *scope;
	int rc;

	p->name = arm_hub_name(operand, e);
	if (!p->name)
		return -1;
	if (*operand == '/') {
		p->id = xstrdup(operand);
		return 0;
	}
	sub = arm_subscription(a);
	if (group) {
		p->id = xasprintf("/subscriptions/%s/resourceGroups/%s/"
				  "providers/" HUB_TYPE "/%s",
		    sub, group, p->name);
		return 0;
	}
	scope = xasprintf("/subscriptions/%s", sub);
	rc = find_it(p, a, scope, e);
	free(scope);
	if (rc == 0 && !p->id)
		return err_set(e, ANSWER_NO, p->name,
		    "no such hub in subscription '%s' (-s names another)", sub);
	return rc;
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

/* The answer to one of them: null where there is none. */
static jv
taken(jv answers, int i, const char *member)
{
	jv one = jv_array_get(answers, i);

	if (!has_failed(jv_copy(one)))
		return jv_at(one, member);
	jv_free(one);
	return jv_null();
}

/* What the calls that may block later say now, all at once. */
static void
ask_rest(struct failplan *p, struct arm *a, double seconds, bool secrets)
{
	jv answers, n, calls = jv_array();

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
	n = taken(jv_copy(answers), 0, "totalDeviceCount");
	if (jv_get_kind(n) == JV_KIND_NUMBER)
		p->devices = jv_number_value(n);
	jv_free(n);
	n = taken(jv_copy(answers), 1, "value");
	if (jv_get_kind(n) == JV_KIND_ARRAY) {
		jv_free(p->groups);
		p->groups = member_of_all(n, "name");
	} else
		jv_free(n);
	if (secrets) {
		n = taken(jv_copy(answers), 2, "value");
		if (jv_get_kind(n) == JV_KIND_ARRAY) {
			jv_free(p->keys);
			p->keys = n;
		} else
			jv_free(n);
	}
	jv_free(answers);
}

void
failplan_rest(struct failplan *p, struct arm *a)
{
	http_until(arm_http(a), PROBE);
	ask_rest(p, a, PROBE, jv_get_kind(p->keys) == JV_KIND_NULL);
	http_until(arm_http(a), 0);
}

static int
ask_all(struct failplan *p, struct arm *a, const char *operand,
    const char *group, bool secrets, struct err *e)
{
	struct http *h = arm_http(a);
	int known;

	if (name_it(p, a, operand, group, e))
		return -1;
	/* Half of the time for the first question leaves some for the rest. */
	known = look(p, a, http_left(h) / 2);
	p->hidden = known == 0;
	if (p->hidden && !p->from) {
		char *end = strcasestr(p->id, "/resourceGroups/"), *scope;
		struct err ignored;

		/* It may hide: lists are made elsewhere. */
		scope = xstrndup(p->id, (size_t)(end - p->id));
		(void)find_it(p, a, scope, &ignored);
		free(scope);
	}
	/* These would hang now; they are asked for when it is over. */
	if (known != 0 && !failplan_under_way(p))
		ask_rest(p, a, http_left(h), secrets);
	return 0;
}

int
failplan_ask(struct failplan *p, struct arm *a, const char *operand,
    const char *group, double seconds, bool secrets, struct err *e)
{
	int rc;

	*p = (struct failplan){ .hub = jv_null(),
		.groups = jv_null(),
		.keys = jv_null(),
		.devices = -1 };
	http_until(arm_http(a), seconds);
	rc = ask_all(p, a, operand, group, secrets, e);
	http_until(arm_http(a), 0);
	return rc;
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
		if (!known && p->hidden)
			return err_set(e, ANSWER_NO, p->name,
			    "no such hub (or it is being failed over and "
			    "hides: --to names the region)");
		if (!known)
			return err_set(e, REMOTE_RETRY, p->name,
			    "nobody says where it is now (--to names the "
			    "region)");
		p->to = known;
		p->to_name = display_name(known);
		return 0;
	}
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
	return p->hidden ||
	       (p->state && strcasecmp(p->state, "FailingOver") == 0);
}

int
failplan_veto(const struct failplan *p, bool limits, struct err *e)
{
	char *sku = text_at(jv_copy(p->hub), "sku.name");
	char *made = text_at(jv_copy(p->hub), "systemData.createdAt");
	int rc = 0;

	if (p->state && strcasecmp(p->state, "Active") != 0)
		rc = err_set(e, ANSWER_NO, p->name,
		    "is %s, not Active: it cannot be failed over now",
		    p->state);
	else if (limits && sku && strcasecmp(sku, "F1") == 0)
		rc = err_set(e, ANSWER_NO, p->name,
		    "is a free hub (F1): these cannot be failed over "
		    "(--ignore-limits asks the service all the same)");
	else if (limits && made && strlen(made) >= 10 &&
		 strncmp(made, first_day, 10) < 0)
		rc = err_set(e, ANSWER_NO, p->name,
		    "was made on %.10s: hubs older than %s cannot be failed "
		    "over (--ignore-limits asks the service all the same)",
		    made, first_day);
	free(sku);
	free(made);
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
