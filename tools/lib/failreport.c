/* failreport.c: what is said of a failover; see failreport.h. */
#include "failreport.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "doc.h"
#include "turns.h"

/* What a manual failover loses (CONTRACT 6). */
static const char *const losses[][2] = {
	{ "identity registry and twins", "what was written in up to 5 min" },
	{ "cloud-to-device messages, parent jobs", "all" },
	{ "device jobs", "what was written in up to 5 min" },
	{ "device-to-cloud messages, feedback", "all unread" },
	{ "offsets that readers have stored", "all" },
};
enum { LOSSES = sizeof losses / sizeof *losses };

char *
failreport_minutes(double seconds)
{
	return seconds <= 90 ? xasprintf("%.0f s", ceil(seconds))
			     : xasprintf("%.0f min", ceil(seconds / 60));
}

static jv
text_or_null(const char *text)
{
	return text ? jv_string(text) : jv_null();
}

static jv
time_or_null(double when)
{
	char text[32];

	turns_time(when, text);
	return when > 0 ? jv_string(text) : jv_null();
}

/* -- before --------------------------------------------------------------- */

jv
failreport_plan(const struct failplan *p, jv turns, double allowed)
{
	jv plan = jv_put(jv_object(), "hub", jv_string(p->name));
	jv all = jv_array();

	for (size_t i = 0; i < LOSSES; i++)
		all = jv_array_append(all,
		    jv_put(jv_put(jv_object(), "data", jv_string(losses[i][0])),
			"lost", jv_string(losses[i][1])));
	plan = jv_put(plan, "id", jv_string(p->id));
	plan = jv_put(plan, "state", text_or_null(p->state));
	plan = jv_put(plan, "from", text_or_null(p->from));
	plan = jv_put(plan, "to", jv_string(p->to));
	plan = jv_put(plan, "paired", text_or_null(p->paired));
	plan = jv_put(plan, "devices",
	    p->devices < 0 ? jv_null() : jv_number(p->devices));
	plan = jv_put(
	    plan, "expectedSeconds", jv_number(ceil(failplan_expected(p))));
	plan = jv_put(plan, "allowedFrom", time_or_null(allowed));
	plan = jv_put(plan, "endpoint", failplan_endpoint(p));
	plan = jv_put(plan, "consumerGroups", jv_copy(p->groups));
	plan = jv_put(plan, "today", turns);
	return jv_put(plan, "losses", all);
}

/* How often it was moved from here within a day, and when last. */
static void
tell_turns(const struct failplan *p, jv turns)
{
	int count = 0;
	char *last = NULL;

	jv_array_foreach(turns, i, turn) {
		char *at = jv_dup_string(jv_at(jv_copy(turn), "time"));

		if (at &&
		    jv_string_is(jv_at(jv_copy(turn), "event"), "begun") &&
		    turns_parse(at) > failplan_now(p) - 24 * 3600) {
			count++;
			free(last);
			last = xstrdup(at);
		}
		free(at);
		jv_free(turn);
	}
	jv_free(turns);
	if (count)
		note("  begun from here in the last 24 h: %d, the last at %s",
		    count, last);
	free(last);
}

void
failreport_tell_plan(const struct failplan *p, jv turns, double allowed)
{
	char *expected = failreport_minutes(failplan_expected(p));
	char *devices = p->devices < 0 ? xstrdup("number of devices unknown")
				       : xasprintf("%.0f devices", p->devices);
	char at[32];

	note("'%s': %s in %s, pair %s, %s", p->name,
	    p->hidden  ? "hidden"
	    : p->state ? p->state
		       : "state unknown",
	    p->from ? p->from : "an unknown region",
	    p->paired ? p->paired : "unknown", devices);
	note("  to %s: expected in about %s (documented: 10 min to 2 h)", p->to,
	    expected);
	tell_turns(p, turns);
	turns_time(allowed, at);
	if (allowed > 0)
		note("  permitted from %s", at);
	note("  lost will be:");
	for (size_t i = 0; i < LOSSES; i++)
		note("    %-38s %s", losses[i][0], losses[i][1]);
	if (fabs(p->skew) > 300)
		warn(p->name,
		    "the clock of this machine is %.0f s %s the service's, "
		    "whose clock counts",
		    fabs(p->skew), p->skew > 0 ? "behind" : "ahead of");
	free(expected);
	free(devices);
}

/* -- after ---------------------------------------------------------------- */

static jv
seconds(double s)
{
	return s < 0 ? jv_null() : jv_number(floor(s * 10 + 0.5) / 10);
}

jv
failreport_end(const struct failwatch *w, const char *from, const char *result)
{
	const struct failplan *p = w->plan;
	jv r = jv_put(jv_object(), "hub", jv_string(p->name)), t = jv_object();

	r = jv_put(r, "id", jv_string(p->id));
	r = jv_put(r, "result", jv_string(result));
	r = jv_put(r, "began", time_or_null(w->began));
	r = jv_put(r, "ended", time_or_null(failplan_now(p)));
	r = jv_put(r, "from", text_or_null(from));
	r = jv_put(r, "to", jv_string(p->to));
	r = jv_put(r, "state", text_or_null(p->state));
	r = jv_put(
	    r, "locations", jv_path(jv_copy(p->hub), "properties.locations"));
	t = jv_put(t, "expected", jv_number(ceil(failplan_expected(p))));
	t = jv_put(t, "endpointMoved", seconds(w->moved));
	t = jv_put(t, "active", seconds(w->active));
	t = jv_put(t, "operation", seconds(w->over));
	t = jv_put(t, "dns", seconds(w->dns));
	t = jv_put(t, "firstCall", seconds(w->data));
	r = jv_put(r, "seconds", t);
	r = jv_put(r, "endpointBefore", jv_copy(w->endpoint[0]));
	r = jv_put(r, "endpointAfter", jv_copy(w->endpoint[1]));
	r = jv_put(r, "addressesBefore", jv_copy(w->address[0]));
	r = jv_put(r, "addressesAfter", jv_copy(w->address[1]));
	r = jv_put(r, "consumerGroups", jv_copy(p->groups));
	return jv_put(
	    r, "devices", p->devices < 0 ? jv_null() : jv_number(p->devices));
}

static void
tell_time(const char *what, double s)
{
	if (s < 0)
		note("  %-24s not seen", what);
	else
		note("  %-24s %.0f:%04.1f min", what, floor(s / 60),
		    s - 60 * floor(s / 60));
}

static char *
text_at(jv value, const char *name)
{
	if (jv_get_kind(value) == JV_KIND_OBJECT)
		return jv_dup_string(jv_at(value, name));
	jv_free(value);
	return NULL;
}

static void
tell_consumers(const struct failplan *p)
{
	if (jv_get_kind(p->groups) != JV_KIND_ARRAY) {
		note("  (the consumer groups are not known)");
		return;
	}
	jv_array_foreach(p->groups, i, name) {
		char *text = jv_dup_string(name);

		note("  readers of consumer group %s", text ? text : "?");
		free(text);
	}
}

void
failreport_tell_end(const struct failwatch *w, const char *from)
{
	const struct failplan *p = w->plan;
	char *before = text_at(jv_copy(w->endpoint[0]), "endpoint");
	char *after = text_at(jv_copy(w->endpoint[1]), "endpoint");
	char *shape = text_at(jv_copy(w->endpoint[1]), "connectionString");

	note("'%s': has moved from %s to %s, and is Active; %s:", p->name,
	    from && strcmp(from, p->to) != 0 ? from : "its other region", p->to,
	    w->began > 0 ? "after its start"
			 : "since this watch began, later than it");
	tell_time("endpoint moved", w->moved);
	tell_time("hub Active", w->active);
	tell_time("operation over", w->over);
	tell_time("other address in DNS", w->dns);
	tell_time("first call answered", w->data);
	if (after && (!before || strcmp(before, after) != 0)) {
		note("built-in endpoint before: %s",
		    before ? before : "not known");
		note("built-in endpoint now:    %s", after);
		note("  %s", shape);
		note("to restart, with that name and without stored offsets:");
		tell_consumers(p);
	}
	free(before);
	free(after);
	free(shape);
}
