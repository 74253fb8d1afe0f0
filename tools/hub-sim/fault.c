/* fault.c: see fault.h. */
#include "fault.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "blobroom.h"

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

/* "N": so many requests; "Ns": so many simulated seconds. */
static int
set_burst(struct fault *f, const char *value, const char *spec, struct err *e)
{
	size_t len = strlen(value);
	char *digits;
	int bad;

	f->kind = FAULT_THROTTLE;
	f->status = 429;
	if (len == 0 || value[len - 1] != 's')
		return number(
		    &f->burst, value, 1, 1000000000, spec, "do=throttle", e);
	digits = xstrndup(value, len - 1);
	bad = number(&f->burst_ms, digits, 1, 1000000, spec, "do=throttle", e);
	f->burst_ms *= 1000;
	free(digits);
	return bad;
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
		{ "expired", FAULT_EXPIRED, false },
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
	if (strncmp(value, "throttle:", 9) == 0)
		return set_burst(f, value + 9, spec, e);
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (strcmp(value, kinds[i].name) == 0) {
			f->kind = kinds[i].kind;
			f->applied = kinds[i].applied;
			return 0;
		}
	return err_set(e, BAD_USAGE, spec,
	    "do=%s is none of status:CODE, delay:MS, cut, lose, half, empty, "
	    "garbage, badjson, hang, throttle:N, throttle:Ns, expired",
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
seconds(int64_t *into, const char *value, long low, const char *spec,
    const char *what, struct err *e)
{
	long n;

	if (number(&n, value, low, 1000000000, spec, what, e))
		return -1;
	*into = (int64_t)n * 1000;
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
	if (strcmp(key, "every") == 0)
		return number(&f->every, value, 1, 1000000000, spec, key, e);
	if (strcmp(key, "count") == 0)
		return number(&f->count, value, 0, 1000000000, spec, key, e);
	if (strcmp(key, "after") == 0)
		return seconds(&f->from, value, 0, spec, key, e);
	if (strcmp(key, "for") == 0)
		return seconds(&f->until, value, 1, spec, key, e);
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
	if (strcmp(key, "once") == 0) {
		if (number(&yes, value, 0, 1, spec, key, e))
			return -1;
		f->once = yes;
		return 0;
	}
	return err_set(e, BAD_USAGE, spec,
	    "'%s' is none of method, host, path, after, for, skip, every, "
	    "count, "
	    "prob, once, do, code, retry-after, applied",
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

/* Only who came with a token can be told that it has expired. */
static bool
has_token(const struct sim_request *q)
{
	const char *auth = q->header(q, "authorization");
	char *sig;
	bool signed_query;

	if (auth)
		return strncasecmp(auth, "SharedKey ", 10) != 0;
	sig = sim_query(q, "sig");
	signed_query = sig != NULL;
	free(sig);
	return signed_query;
}

static void
free_fault(struct fault *f)
{
	free(f->text);
	free(f->met);
	free(f);
}

long
fault_add(
    struct faults *f, const struct sim *s, const char *spec, struct err *e)
{
	struct fault *new = xcalloc(1, sizeof *new);
	char name[32];

	*new = (struct fault){
		.count = 1, .every = 1, .prob = 1, .retry_after = -1
	};
	new->text = xstrdup(spec);
	if (parse(new, new->text, spec, e)) {
		free_fault(new);
		return -1;
	}
	new->from += sim_now(s);
	if (new->until)
		new->until += new->from;
	(void)snprintf(name, sizeof name, "fault/%ld", f->last);
	sim_mac(s, name, strlen(name), (unsigned char *)&new->random,
	    sizeof new->random);
	new->number = ++f->last;
	f->fault = xrealloc(f->fault, (f->count + 1) * sizeof(struct fault *));
	f->fault[f->count++] = new;
	return new->number;
}

bool
fault_remove(struct faults *f, long number)
{
	size_t kept = 0;
	bool found = number == 0;

	for (size_t i = 0; i < f->count; i++) {
		if (number == 0 || f->fault[i]->number == number) {
			free_fault(f->fault[i]);
			found = true;
		} else {
			f->fault[kept++] = f->fault[i];
		}
	}
	f->count = kept;
	if (kept == 0) {
		free(f->fault);
		f->fault = NULL;
	}
	return found;
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
	       (!*f->path || fnmatch(f->path, q->path, FNM_CASEFOLD) == 0) &&
	       (f->kind != FAULT_EXPIRED || has_token(q));
}

/* FNV-1a, never 0. */
static uint64_t
hash_of(const struct sim_request *q)
{
	const struct span part[] = { span_of(q->method), span_of(q->host),
		span_of(q->path), span_of(q->query), q->body };
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
		for (size_t k = 0; k < part[i].len; k++)
			h = (h ^ (unsigned char)part[i].at[k]) * 0x100000001b3u;
		h = (h ^ 0x100) * 0x100000001b3u;
	}
	return h ? h : 1;
}

/* false: it is there already. */
static bool
put_met(struct fault *f, uint64_t h)
{
	size_t i = h & (f->met_size - 1);

	for (; f->met[i]; i = (i + 1) & (f->met_size - 1))
		if (f->met[i] == h)
			return false;
	f->met[i] = h;
	f->met_count++;
	return true;
}

/* Is it the first of its kind?  From now on it is not. */
static bool
first_time(struct fault *f, const struct sim_request *q)
{
	uint64_t *old = f->met;
	size_t size = f->met_size;

	if (2 * f->met_count >= size) {
		f->met_size = size ? 2 * size : 1024;
		f->met_count = 0;
		f->met = xcalloc(f->met_size, sizeof *f->met);
		for (size_t i = 0; i < size; i++)
			if (old[i])
				(void)put_met(f, old[i]);
		free(old);
	}
	return put_met(f, hash_of(q));
}

static bool
in_burst(const struct fault *f, int64_t now)
{
	return f->burst_left > 0 || now < f->burst_until;
}

bool
fault_alive(const struct fault *f, int64_t now)
{
	return in_burst(f, now) || ((f->count == 0 || f->done < f->count) &&
				       (f->until == 0 || now < f->until));
}

/* A burst that has begun meets all that match, whatever their turn. */
static bool
is_due(struct fault *f, const struct sim_request *q, int64_t now)
{
	long turn;

	if (in_burst(f, now)) {
		f->seen++;
		f->burst_left -= f->burst_left > 0;
		return true;
	}
	if (!fault_alive(f, now) || now < f->from)
		return false;
	turn = ++f->seen - f->skip;
	if (turn < 1 || turn % f->every != 0 ||
	    (f->prob < 1 && chance(f) >= f->prob) ||
	    (f->once && !first_time(f, q)))
		return false;
	f->done++;
	if (f->burst)
		f->burst_left = f->burst - 1;
	if (f->burst_ms)
		f->burst_until = now + f->burst_ms;
	return true;
}

enum sim_room
fault_room(const struct sim_request *q)
{
	static const char emulator[] = "/" BLOB_EMULATOR "/";
	enum sim_room room = sim_room(q->host);

	return room == ROOM_CONTROL &&
		       strncasecmp(q->path, emulator, sizeof emulator - 1) == 0
		   ? ROOM_BLOB
		   : room;
}

const struct fault *
fault_pick(struct faults *all, const struct sim *s, const struct sim_request *q)
{
	int64_t now;

	/* The room where faults are taken back must be free of them. */
	if (all->count == 0 || fault_room(q) == ROOM_CONTROL)
		return NULL;
	now = sim_now(s);
	for (size_t i = 0; i < all->count; i++)
		if (matches(all->fault[i], q) && is_due(all->fault[i], q, now))
			return all->fault[i];
	return NULL;
}

bool
fault_replies(const struct fault *f)
{
	return f->kind == FAULT_STATUS || f->kind == FAULT_EMPTY ||
	       f->kind == FAULT_GARBAGE || f->kind == FAULT_THROTTLE ||
	       f->kind == FAULT_EXPIRED;
}
