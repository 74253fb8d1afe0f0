/* failwatch.c: a failover under way; see failwatch.h. */
#include "failwatch.h"

#include <math.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <arpa/inet.h>

#include "cloud.h"
#include "doc.h"
#include "hub.h"
#include "interrupt.h"
#include "monotonic.h"
#include "progress.h"
#include "sign.h"
#include "turns.h"

/* Seconds. */
enum {
	LOOK = 20,     /* for one look */
	POST = 60,     /* for the answer to the request itself */
	NAME = 2,      /* for the DNS */
	PROBE = 10,    /* for one call of the data plane */
	SKEW = 240,    /* by which a clock may be wrong for what it signs */
	REASON = 300,  /* for why it failed, once its state says so */
	PATIENCE = 600 /* for all that comes after it is Active */
};
enum {
	SURE = 5,  /* looks that agree, after an answer that was lost */
	TWICE = 2, /* the same after one that refuses */
};

struct watch {
	struct failwatch *w;
	double began;  /* monotonic: when we came */
	double passed; /* seconds that it had been under way then */
	double stamp;  /* time of the last line */
	jv shown;      /* the last line, without its time */
	char *first;   /* the endpoint at the start */
	int silent;    /* looks without an answer, in a row */
	double failed; /* when the state first said so; 0: it did not */
	int quiet;     /* looks that saw nothing happen */
	bool hid;      /* under way, or not to be found, was seen */
	bool refused;  /* the data plane does not let us in */
	bool asked;    /* for what was unknown */
	jv failure;    /* what the operation said */
};

static bool
is_place(const struct failplan *p, const char *region)
{
	return p->from && strcasecmp(p->from, region) == 0;
}

static bool
is_active(const struct failplan *p)
{
	return p->state && strcasecmp(p->state, "Active") == 0;
}

/* -- names ---------------------------------------------------------------- */

static char *
host_of(const struct failplan *p)
{
	char *host =
	    jv_dup_string(jv_path(jv_copy(p->hub), "properties.hostName"));

	return host ? host
		    : xasprintf("%s.%s", p->name, cloud_get("hubSuffix"));
}

static jv
addresses(const struct addrinfo *list)
{
	jv all = jv_array();

	for (; list; list = list->ai_next) {
		char text[INET6_ADDRSTRLEN] = "";
		const void *at =
		    list->ai_family == AF_INET6
			? (const void *)&(
			      (const struct sockaddr_in6 *)(const void *)
				  list->ai_addr)
			      ->sin6_addr
			: (const void *)&(
			      (const struct sockaddr_in *)(const void *)
				  list->ai_addr)
			      ->sin_addr;

		if (inet_ntop(list->ai_family, at, text, sizeof text))
			all = jv_array_append(all, jv_string(text));
	}
	return jv_sort(all, jv_copy(all));
}

/*
 * Where its name leads, or null.  A resolver that hangs must not hold us, and
 * its answer may come after we have gone on: what it writes to is kept.
 */
static jv
resolve(const struct failplan *p)
{
	static struct gaicb *pending;
	static struct addrinfo hints;
	struct gaicb *ask[1];
	struct timespec wait = { .tv_sec = NAME };
	jv found = jv_null();

	/* Names that are not looked up are led elsewhere. */
	if (getenv("HUBPIPE_CONNECT_TO"))
		return found;
	if (!pending) {
		hints.ai_socktype = SOCK_STREAM;
		pending = xcalloc(1, sizeof *pending);
		pending->ar_name = host_of(p);
		pending->ar_request = &hints;
		ask[0] = pending;
		if (getaddrinfo_a(GAI_NOWAIT, ask, 1, NULL)) {
			free((char *)(uintptr_t)pending->ar_name);
			free(pending);
			pending = NULL;
			return found;
		}
	}
	ask[0] = pending;
	(void)gai_suspend((const struct gaicb *const *)ask, 1, &wait);
	if (gai_error(pending) == EAI_INPROGRESS)
		return found;
	if (gai_error(pending) == 0) {
		found = addresses(pending->ar_result);
		freeaddrinfo(pending->ar_result);
	}
	free((char *)(uintptr_t)pending->ar_name);
	free(pending);
	pending = NULL;
	return found;
}

/* -- the data plane ------------------------------------------------------- */

/* What a clock that is wrong signs is not accepted. */
static bool
has_key(const struct failplan *p)
{
	return jv_get_kind(p->keys) == JV_KIND_ARRAY && fabs(p->skew) < SKEW;
}

/* The key whose rights let it read: fetched before, or none. */
static struct hub *
open_data(struct failwatch *w)
{
	struct failplan *p = w->plan;
	char *host = host_of(p), *policy = NULL, *key = NULL;
	struct hub *hub;

	if (has_key(p))
		jv_array_foreach(p->keys, i, one) {
			char *rights =
			    jv_dup_string(jv_at(jv_copy(one), "rights"));

			if (!key && rights &&
			    strcasestr(rights, "RegistryRead")) {
				policy = jv_dup_string(
				    jv_at(jv_copy(one), "keyName"));
				key = jv_dup_string(
				    jv_at(jv_copy(one), "primaryKey"));
			}
			free(rights);
			jv_free(one);
		}
	hub = hub_open_at(arm_http(w->arm), host, key ? policy : NULL, key);
	free(host);
	free(policy);
	secret_free(key);
	return hub;
}

static bool
answers(struct watch *t)
{
	struct hub *hub = open_data(t->w);
	struct http_request r =
	    hub_request(hub, "GET", NULL, "/statistics/devices");
	struct http_reply reply;
	bool with_key = has_key(t->w->plan);
	int status;

	r.no_retry = true;
	r.timeout = PROBE;
	http_until(arm_http(t->w->arm), PROBE);
	http_one(arm_http(t->w->arm), &r, &reply);
	http_until(arm_http(t->w->arm), 0);
	status = reply.status;
	http_reply_free(&reply);
	hub_close(hub);
	/* An Entra token without a role never gets in. */
	t->refused = !with_key && (status == 401 || status == 403);
	return status == 200;
}

/* -- looking -------------------------------------------------------------- */

static char *
endpoint_of(const struct failplan *p)
{
	return jv_dup_string(jv_path(
	    jv_copy(p->hub), "properties.eventHubEndpoints.events.endpoint"));
}

static jv
or_null(const char *text)
{
	return text ? jv_string(text) : jv_null();
}

/* {"time",...}: by the service's clock, and never back. */
static void
print(struct watch *t, jv line)
{
	struct buf b = BUF_INIT, rest = BUF_INIT;
	double at = failplan_now(t->w->plan);
	char text[32];

	if (at < t->stamp)
		at = t->stamp;
	t->stamp = at;
	turns_time(at, text);
	text[strlen(text) - 1] = '\0'; /* Z */
	buf_printf(&b, "{\"time\":\"%s.%03dZ\",", text,
	    (int)((at - floor(at)) * 1000));
	doc_compact(line, &rest);
	buf_add(&b, rest.at + 1, rest.len - 1);
	if (b.at[b.len - 1] != '\n')
		buf_char(&b, '\n');
	out_span(t->w->out, buf_peek(&b));
	out_flush(t->w->out);
	buf_free(&rest);
	buf_free(&b);
}

/* One line for each thing that is new. */
static void
show(struct watch *t, const char *state)
{
	const struct failplan *p = t->w->plan;
	char *endpoint = endpoint_of(p);
	jv line = jv_put(jv_object(), "state", or_null(state));

	line = jv_put(line, "endpoint", or_null(endpoint));
	line = jv_put(line, "location", or_null(p->from));
	free(endpoint);
	if (jv_equal(jv_copy(line), jv_copy(t->shown))) {
		jv_free(line);
		return;
	}
	jv_free(t->shown);
	t->shown = jv_copy(line);
	print(t, line);
}

/* Does the operation say that it has ended?  1 well, -1 not well, 0 no. */
static int
operation(struct watch *t)
{
	jv answer, body, word;
	int status, said = 0;

	if (!t->w->operation)
		return 0;
	http_until(arm_http(t->w->arm), LOOK);
	answer = arm_answer(t->w->arm,
	    jv_put(arm_request("GET", NULL, jv_null(), "%s", t->w->operation),
		"limit", jv_number(LOOK)));
	http_until(arm_http(t->w->arm), 0);
	if (!jv_is_valid(answer)) {
		jv_free(answer);
		return 0;
	}
	status = (int)jv_number_value(jv_at(jv_copy(answer), "status"));
	body = jv_at(answer, "body");
	word = jv_get_kind(body) == JV_KIND_OBJECT
		   ? jv_at(jv_copy(body), "status")
		   : jv_null();
	if (jv_string_is_nocase(jv_copy(word), "Failed") ||
	    jv_string_is_nocase(jv_copy(word), "Canceled")) {
		jv_free(t->failure);
		t->failure = arm_error(jv_copy(body));
		said = -1;
	} else if (jv_string_is_nocase(jv_copy(word), "Succeeded") ||
		   (jv_get_kind(word) != JV_KIND_STRING &&
		       (status == 200 || status == 204)))
		said = 1;
	jv_free(word);
	jv_free(body);
	return said;
}

/* Whose state is that of a failover that did not work. */
static bool
has_failed(const struct failplan *p)
{
	return p->state && strcasecmp(p->state, "FailoverFailed") == 0;
}

static double
elapsed(const struct watch *t)
{
	return t->passed + monotonic() - t->began;
}

static void
mark(struct watch *t, double *when)
{
	if (*when < 0)
		*when = elapsed(t);
}

/* Another address, or less or more of them. */
static void
look_up(struct watch *t)
{
	struct failwatch *w = t->w;
	jv now = resolve(w->plan);

	if (jv_get_kind(now) != JV_KIND_ARRAY) {
		jv_free(now);
		return;
	}
	if (jv_get_kind(w->address[0]) == JV_KIND_ARRAY &&
	    !jv_equal(jv_copy(now), jv_copy(w->address[0])))
		mark(t, &w->dns);
	jv_free(w->address[1]);
	w->address[1] = now;
}

/* One turn: the hub, its operation, and when it is back its name and data. */
static int
turn(struct watch *t)
{
	struct failwatch *w = t->w;
	struct failplan *p = w->plan;
	int there = failplan_look(p, w->arm, LOOK), said;
	char *endpoint;

	t->silent = there < 0 ? t->silent + 1 : 0;
	if (t->silent == 3)
		note("'%s': no answer: %s; watching on", p->name,
		    p->silence.text);
	p->hidden = there == 0 || (there < 0 && p->hidden);
	if (there == 0)
		show(t, "NotFound");
	else if (there > 0)
		show(t, p->state);
	t->hid |= there == 0 || (there > 0 && failplan_under_way(p));
	endpoint = endpoint_of(p);
	if (there > 0 && endpoint && t->first &&
	    strcmp(endpoint, t->first) != 0)
		mark(t, &w->moved);
	free(endpoint);
	said = w->over < 0 ? operation(t) : 1;
	if (said > 0)
		mark(t, &w->over);
	if (there > 0 && is_active(p) && is_place(p, p->to))
		mark(t, &w->active);
	if (w->dns < 0)
		look_up(t);
	/* What could not be asked while it was under way. */
	if (w->active >= 0 && !t->asked &&
	    (jv_get_kind(p->groups) == JV_KIND_NULL ||
		jv_get_kind(p->keys) == JV_KIND_NULL))
		failplan_rest(p, w->arm);
	t->asked |= w->active >= 0;
	if (w->active >= 0 && w->data < 0 && !t->refused && answers(t))
		mark(t, &w->data);
	return said;
}

/* So that the bar moves, and a signal is seen soon. */
static void
pause_for(struct watch *t, double seconds)
{
	const struct failplan *p = t->w->plan;
	double until = monotonic() + seconds, left = seconds;

	while (left > 0 && !interrupt_seen()) {
		progress_clock(t->silent   ? "NoAnswer"
			       : p->hidden ? "NotFound"
			       : p->state  ? p->state
					   : "Unknown");
		http_sleep(arm_http(t->w->arm), left < 0.5 ? left : 0.5);
		left = until - monotonic();
	}
}

static void
begin(struct watch *t, struct failwatch *w)
{
	double since = w->began > 0 ? failplan_now(w->plan) - w->began : 0;

	*t = (struct watch){ .w = w,
		.began = monotonic(),
		.passed = since > 0 ? since : 0,
		.shown = jv_null(),
		.failure = jv_null(),
		.hid = failplan_under_way(w->plan) };
	if (jv_get_kind(w->endpoint[0]) == JV_KIND_OBJECT)
		t->first =
		    jv_dup_string(jv_at(jv_copy(w->endpoint[0]), "endpoint"));
	progress_begin_clock("failover", failplan_expected(w->plan), t->passed);
}

static void
end(struct watch *t)
{
	jv_free(t->shown);
	jv_free(t->failure);
	free(t->first);
}

void
failwatch_start(struct failwatch *w)
{
	w->began = 0;
	w->moved = w->active = w->over = w->dns = w->data = -1;
	w->endpoint[0] = failplan_endpoint(w->plan);
	w->endpoint[1] = jv_null();
	w->address[0] = resolve(w->plan);
	w->address[1] = jv_null();
}

void
failwatch_resume(struct failwatch *w, jv turn)
{
	char *time, *endpoint;

	if (jv_get_kind(turn) != JV_KIND_OBJECT) {
		jv_free(turn);
		return;
	}
	free(w->operation);
	w->operation = jv_dup_string(jv_at(jv_copy(turn), "operation"));
	time = jv_dup_string(jv_at(jv_copy(turn), "time"));
	w->began = time ? turns_parse(time) : 0;
	endpoint = jv_dup_string(jv_at(turn, "endpoint"));
	if (endpoint) {
		jv_free(w->endpoint[0]);
		w->endpoint[0] =
		    jv_put(jv_object(), "endpoint", jv_string(endpoint));
	}
	free(time);
	free(endpoint);
}

/* -- asking --------------------------------------------------------------- */

/* No answer, or one that leaves doubt: has it begun? */
static int
find_out(struct failwatch *w, int sure, const struct err *why, struct err *e)
{
	struct failplan *p = w->plan;
	bool told = false;
	int still = 0;

	for (double until = monotonic() + PATIENCE; monotonic() < until;) {
		int there = failplan_look(p, w->arm, LOOK);

		p->hidden = there == 0;
		if (there == 0 || (there > 0 && failplan_under_way(p))) {
			note("'%s': it is under way all the same", p->name);
			return 0;
		}
		if (there > 0 && is_place(p, p->to)) {
			note("'%s': is in %s already", p->name, p->to);
			return 0;
		}
		still += there > 0;
		if (still >= sure)
			return err_set(e, why->status, p->name,
			    "%s; the hub is %s in %s, and nothing has begun",
			    why->text, p->state ? p->state : "there",
			    p->from ? p->from : "its region");
		if (there < 0 && !told)
			note("'%s': %s; has it begun? Asking for up to %d "
			     "minutes",
			    p->name, why->text, PATIENCE / 60);
		told |= there < 0;
		if (interrupt_seen())
			break;
		http_sleep(arm_http(w->arm), w->every);
	}
	return err_set(e, REMOTE_RETRY, p->name,
	    "%s, and nobody says whether it has begun (the same command looks, "
	    "and does not ask twice)",
	    why->text);
}

/*
 * The one request.  It is sent again only while it is sure that none has left
 * this machine.  Invalid with *e: no answer.
 */
static jv
post(struct failwatch *w, struct err *e)
{
	struct failplan *p = w->plan;
	double until = monotonic() + PATIENCE;
	bool told = false;

	for (;;) {
		jv answer;

		w->began = failplan_now(p);
		answer = arm_answer(w->arm,
		    jv_put(jv_put(arm_request("POST", ARM_API_HUB,
				      jv_put(jv_object(), "failoverRegion",
					  jv_string(p->to_name)),
				      "%s/failover", p->id),
			       "repeat", jv_false()),
			"limit", jv_number(POST)));

		if (jv_is_valid(answer))
			return answer;
		(void)err_from_jv(e, answer);
		if (arm_in_doubt(w->arm) || e->status != REMOTE_RETRY ||
		    interrupt_seen() || monotonic() > until)
			return jv_invalid();
		if (!told)
			note("'%s': nothing could be asked yet: %s; trying on",
			    p->name, e->text);
		told = true;
		http_sleep(arm_http(w->arm), w->every);
	}
}

/* What an answer that is no yes means. */
static int
refused(struct failwatch *w, int status, jv body, struct err *e)
{
	struct failplan *p = w->plan;
	jv error = jv_get_kind(body) == JV_KIND_OBJECT
		       ? arm_error(body)
		       : (jv_free(body), jv_text("HTTP %d", status));
	char *text = arm_error_text(jv_copy(error));
	struct err why;

	(void)err_set(&why, arm_status(status, error), p->name, "%s", text);
	free(text);
	/* Nothing was asked of the hub itself. */
	if (status == 401 || status == 403 || status == 404)
		return err_set(e, why.status, p->name,
		    "%.700s; nothing has begun%s", why.text,
		    status == 403 ? " (the caller lacks the right "
				    "Microsoft.Devices/IotHubs/failover/Action)"
				  : "");
	/* A limit, or whatever it was: somebody else may have asked a moment
	 * before; or it was there, and nobody had said so. */
	return find_out(
	    w, status >= 500 || status == 408 ? SURE : TWICE, &why, e);
}

int
failwatch_ask(struct failwatch *w, struct err *e)
{
	jv answer = post(w, e);
	struct err why = *e;
	int status;

	if (!jv_is_valid(answer)) {
		jv_free(answer);
		/* Not in doubt: it never left. */
		if (!arm_in_doubt(w->arm))
			return -1;
		return find_out(w, SURE, &why, e);
	}
	status = (int)jv_number_value(jv_at(jv_copy(answer), "status"));
	if (status < 200 || status > 299)
		return refused(w, status, jv_at(answer, "body"), e);
	w->operation = jv_dup_string(
	    jv_path(jv_copy(answer), "headers.azure-asyncoperation"));
	if (!w->operation)
		w->operation =
		    jv_dup_string(jv_path(jv_copy(answer), "headers.location"));
	jv_free(answer);
	return 0;
}

/* -- watching ------------------------------------------------------------- */

/* Is it over?  Then *status and *e say how. */
static bool
decided(struct watch *t, int said, enum status *status, struct err *e)
{
	struct failwatch *w = t->w;
	struct failplan *p = w->plan;
	double now = elapsed(t);
	char *text;

	if (has_failed(p) && t->hid && t->failed <= 0)
		t->failed = now;
	if (said < 0 ||
	    (t->failed > 0 && has_failed(p) &&
		(!w->operation || said > 0 || now - t->failed > REASON))) {
		text = jv_get_kind(t->failure) == JV_KIND_NULL
			   ? xstrdup("no reason given")
			   : arm_error_text(jv_copy(t->failure));
		*status = REMOTE_REFUSED;
		(void)err_set(e, *status, p->name,
		    "the failover failed: %.600s; the hub is %s in %s (try "
		    "again in an hour, or open a support request)",
		    text, p->state ? p->state : "there",
		    p->from ? p->from : "its region");
		free(text);
		return true;
	}
	if (w->active >= 0) {
		bool late = now - w->active > PATIENCE;

		*status = DONE;
		return (w->over >= 0 || !w->operation || late) &&
		       (w->data >= 0 || t->refused || late);
	}
	/* Active, but not where it should be: not begun yet, or never. */
	if (t->silent == 0 && is_active(p) && !is_place(p, p->to) &&
	    (t->hid || said > 0 || !w->operation))
		t->quiet++;
	else
		t->quiet = 0;
	if (t->quiet < SURE)
		return false;
	*status = ANSWER_NO;
	(void)err_set(e, *status, p->name,
	    t->hid || said > 0
		? "the failover that was under way has ended in %s, not in %s"
		: "is Active in %s: no failover to %s is under way",
	    p->from, p->to);
	return true;
}

enum status
failwatch_run(struct failwatch *w, struct err *e)
{
	struct watch t;
	enum status status = DONE;

	begin(&t, w);
	for (;;) {
		int said = turn(&t);

		if (decided(&t, said, &status, e))
			break;
		if (interrupt_seen() || monotonic() - t.began > w->give_up) {
			status = REMOTE_RETRY;
			(void)err_set(e, status, w->plan->name,
			    "not watched any longer; the failover goes on (the "
			    "same command watches it again)");
			break;
		}
		pause_for(&t, w->every);
	}
	progress_end();
	w->endpoint[1] = failplan_endpoint(w->plan);
	/* Who came late does not know what was before. */
	if (w->began <= 0 && w->moved < 0) {
		jv_free(w->endpoint[0]);
		w->endpoint[0] = jv_null();
	}
	end(&t);
	return status;
}

void
failwatch_end(struct failwatch *w)
{
	free(w->operation);
	for (int i = 0; i < 2; i++) {
		jv_free(w->endpoint[i]);
		jv_free(w->address[i]);
	}
}
