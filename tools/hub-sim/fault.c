/* fault.c: see fault.h. */
#include "fault.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

static int
copy(char *into, size_t size, const char *value, const char *spec,
    const char *key, struct err *e)
{
	if (!*value || strlen(value) >= size)
		return err_set(e, BAD_USAGE, spec,
		    "%s= needs a value of 1 to %zu bytes", key, size - 1);
	memcpy(into, value, strlen(value) + 1);
	return 0;
}

static int
number(long *into, const char *value, long low, long high, const char *spec,
    const char *what, struct err *e)
{
	char *end;

	errno = 0;
	*into = strtol(value, &end, 10);
	if (errno || end == value || *end || *into < low || *into > high)
		return err_set(e, BAD_USAGE, spec,
		    "%s: '%s' is not a whole number from %ld to %ld", what,
		    value, low, high);
	return 0;
}

static int
set_do(struct fault *f, const char *value, const char *spec, struct err *e)
{
	static const struct {
		const char *name;
		enum fault_kind kind;
		bool applied;
	} kinds[] = {
		{ "cut", FAULT_CUT, false },
		{ "lose", FAULT_LOSE, true },
		{ "half", FAULT_HALF, true },
		{ "empty", FAULT_EMPTY, false },
		{ "garbage", FAULT_GARBAGE, false },
		{ "badjson", FAULT_BADJSON, true },
		{ "hang", FAULT_HANG, false },
	};

	if (strncmp(value, "status:", 7) == 0) {
		f->kind = FAULT_STATUS;
		return number(
		    &f->status, value + 7, 200, 599, spec, "do=status", e);
	}
	if (strncmp(value, "delay:", 6) == 0) {
		f->kind = FAULT_DELAY;
		f->applied = true;
		return number(
		    &f->delay_ms, value + 6, 0, 3600000, spec, "do=delay", e);
	}
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (strcmp(value, kinds[i].name) == 0) {
			f->kind = kinds[i].kind;
			f->applied = kinds[i].applied;
			return 0;
		}
	return err_set(e, BAD_USAGE, spec,
	    "do=%s is none of status:CODE, delay:MS, cut, lose, half, empty, "
	    "garbage, badjson, hang",
	    value);
}

static int
set_prob(struct fault *f, const char *value, const char *spec, struct err *e)
{
	char *end;

	f->prob = strtod(value, &end);
	if (end == value || *end || !(f->prob >= 0 && f->prob <= 1))
		return err_set(e, BAD_USAGE, spec,
		    "prob: '%s' is not a number from 0 to 1", value);
	return 0;
}

static int
set(struct fault *f, const char *key, const char *value, const char *spec,
    struct err *e)
{
	long yes;

	if (strcmp(key, "method") == 0)
		return copy(f->method, sizeof f->method, value, spec, key, e);
	if (strcmp(key, "host") == 0)
		return copy(f->host, sizeof f->host, value, spec, key, e);
	if (strcmp(key, "path") == 0)
		return copy(f->path, sizeof f->path, value, spec, key, e);
	if (strcmp(key, "code") == 0)
		return copy(f->code, sizeof f->code, value, spec, key, e);
	if (strcmp(key, "skip") == 0)
		return number(&f->skip, value, 0, 1000000000, spec, key, e);
	if (strcmp(key, "count") == 0)
		return number(&f->count, value, 0, 1000000000, spec, key, e);
	if (strcmp(key, "retry-after") == 0)
		return number(&f->retry_after, value, 0, 86400, spec, key, e);
	if (strcmp(key, "prob") == 0)
		return set_prob(f, value, spec, e);
	if (strcmp(key, "applied") == 0) {
		if (number(&yes, value, 0, 1, spec, key, e))
			return -1;
		f->applied = yes;
		return 0;
	}
	return err_set(e, BAD_USAGE, spec,
	    "'%s' is none of method, host, path, skip, count, prob, do, code, "
	    "retry-after, applied",
	    key);
}

/* do= is set first: it says whether the request is applied, and applied= may
 * then say otherwise. */
static int
parse(struct fault *f, char *text, const char *spec, struct err *e)
{
	bool what = false;

	for (int pass = 0; pass < 2; pass++) {
		char *copied = xstrdup(text), *rest = copied, *part;
		int bad = 0;

		while (!bad && (part = strsep(&rest, ","))) {
			char *value = strchr(part, '=');
			bool is_do;

			if (!value) {
				bad = err_set(e, BAD_USAGE, spec,
				    "'%s' is not key=value", part);
				break;
			}
			*value++ = '\0';
			is_do = strcmp(part, "do") == 0;
			if (is_do && pass == 0) {
				what = true;
				bad = set_do(f, value, spec, e);
			} else if (!is_do && pass == 1) {
				bad = set(f, part, value, spec, e);
			}
		}
		free(copied);
		if (bad)
			return -1;
	}
	if (!what)
		return err_set(e, BAD_USAGE, spec, "do= is missing");
	return 0;
}

int
fault_add(
    struct faults *f, const struct sim *s, const char *spec, struct err *e)
{
	struct fault new = { .count = 1, .prob = 1, .retry_after = -1 };
	char *text = xstrdup(spec), name[32];
	int result = parse(&new, text, spec, e);

	free(text);
	if (result)
		return -1;
	(void)snprintf(new.text, sizeof new.text, "%s", spec);
	(void)snprintf(name, sizeof name, "fault/%zu", f->count);
	sim_mac(s, name, strlen(name), (unsigned char *)&new.random,
	    sizeof new.random);
	f->fault = xrealloc(f->fault, (f->count + 1) * sizeof new);
	f->fault[f->count++] = new;
	return 0;
}

/* splitmix64 */
static double
chance(struct fault *f)
{
	uint64_t z = f->random += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (double)((z ^ (z >> 31)) >> 11) / 9007199254740992.0;
}

static bool
matches(const struct fault *f, const struct sim_request *q)
{
	return (!*f->method || strcasecmp(f->method, q->method) == 0) &&
	       (!*f->host || fnmatch(f->host, q->host, FNM_CASEFOLD) == 0) &&
	       (!*f->path || fnmatch(f->path, q->path, FNM_CASEFOLD) == 0);
}

const struct fault *
fault_pick(struct faults *all, const struct sim_request *q)
{
	for (size_t i = 0; i < all->count; i++) {
		struct fault *f = &all->fault[i];

		if ((f->count && f->done == f->count) || !matches(f, q) ||
		    f->seen++ < f->skip ||
		    (f->prob < 1 && chance(f) >= f->prob))
			continue;
		f->done++;
		return f;
	}
	return NULL;
}

/* What a hub and what ARM call these statuses (CONTRACT 3.1, 3.4, 11.3). */
static const struct {
	long status;
	const char *hub, *arm, *text;
} codes[] = {
	{ 400, "ArgumentInvalid", "BadRequest", "The request is invalid." },
	{ 401, "IotHubUnauthorizedAccess", "AuthenticationFailed",
	    "Unauthorized" },
	{ 403, "IotHubQuotaExceeded", "AuthorizationFailed",
	    "The operation is not allowed." },
	{ 404, "IotHubNotFound", "ResourceNotFound", "It was not found." },
	{ 409, "DeviceAlreadyExists", "Conflict", "It is there already." },
	{ 412, "PreconditionFailed", "PreconditionFailed",
	    "Precondition failed: ETag mismatch" },
	{ 429, "ThrottlingBacklogTimeout", "TooManyRequests",
	    "The request has been throttled. Wait 10 seconds and try again. "
	    "Operation type: CRUD" },
	{ 500, "ServerError", "InternalServerError", "An error occurred." },
	{ 503, "ServiceUnavailable", "ServiceUnavailable",
	    "The service is unavailable. Please retry." },
	{ 504, "GatewayTimeout", "GatewayTimeout",
	    "The gateway did not receive a response." },
};

static void
hub_error(
    struct sim *s, struct sim_reply *r, const char *code, const char *text)
{
	char when[32];

	sim_iso_time(sim_now(s), when);
	sim_head(r, "iothub-errorcode", "%s", code);
	sim_json(r, r->status,
	    JV_OBJECT(jv_string("Message"),
		jv_string_fmt("ErrorCode:%s;%s", code, text),
		jv_string("ExceptionMessage"),
		jv_string_fmt("Tracking ID:00000000000000000000000000000000"
			      "-G2:-TimeStamp:%s",
		    when)));
}

static void
error_reply(struct sim *s, const struct fault *f, const struct sim_request *q,
    struct sim_reply *r)
{
	bool hub = sim_room(q->host) == ROOM_HUB;
	const char *code = f->code, *text = "A fault was asked for.";

	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
		if (codes[i].status == f->status) {
			text = codes[i].text;
			if (!*code)
				code = hub ? codes[i].hub : codes[i].arm;
			if (f->status == 429 && !hub && !*f->code &&
			    sim_doubt_is("throttle-code",
				"SubscriptionRequestsThrottled"))
				code = "SubscriptionRequestsThrottled";
		}
	r->status = (int)f->status;
	if (f->retry_after >= 0)
		sim_head(r, "Retry-After", "%ld", f->retry_after);
	if (hub) {
		hub_error(s, r, *code ? code : "GenericError", text);
		/* A hub that throttles also closes (CONTRACT 11.4). */
		if (f->status == 429)
			sim_head(r, "Connection", "close");
	} else if (f->status == 409 && !*f->code) {
		sim_json(r, 409,
		    JV_OBJECT(jv_string("code"), jv_number(409002),
			jv_string("httpStatusCode"), jv_number(409),
			jv_string("message"),
			jv_string("The operation cannot be carried out because "
				  "the hub is not in Active state, "
				  "errorcode: IH409002.")));
	} else if (f->status == 401 && !*f->code) {
		entra_refuse(s, r, ENTRA_EXPIRED);
	} else {
		sim_error(
		    r, (int)f->status, *code ? code : "Fault", "%s", text);
	}
}

void
fault_reply(struct sim *s, const struct fault *f, const struct sim_request *q,
    struct sim_reply *r)
{
	sim_reply_free(r);
	if (f->kind == FAULT_STATUS)
		error_reply(s, f, q, r);
	else
		r->status = 200;
}
