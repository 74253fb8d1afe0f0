/* turns.c: what was done before; see turns.h. */
#include "turns.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "doc.h"
#include "lines.h"

enum { HOUR = 3600, DAY = 24 * HOUR, A_DAY = 2 };

char *
turns_file(void)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");

	if (state && *state == '/')
		return xasprintf("%s/hubpipe/failovers.jsonl", state);
	if (home && *home == '/')
		return xasprintf(
		    "%s/.local/state/hubpipe/failovers.jsonl", home);
	return NULL;
}

void
turns_time(double when, char text[32])
{
	time_t t = (time_t)when;
	struct tm tm;

	if (!gmtime_r(&t, &tm) ||
	    !strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm))
		(void)snprintf(text, 32, "1970-01-01T00:00:00Z");
}

double
turns_parse(const char *text)
{
	struct tm tm = { 0 };
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);

	return end && (*end == 'Z' || *end == '.') ? (double)timegm(&tm) : -1;
}

/* The folders above it, for us alone. */
static void
make_folders(const char *file)
{
	char *path = xstrdup(file);

	for (char *p = path + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		(void)mkdir(path, 0700);
		*p = '/';
	}
	free(path);
}

static void
add(struct buf *line, const char *name, const char *value)
{
	if (!value)
		return;
	buf_printf(line, "%s\"%s\":", line->len > 1 ? "," : "", name);
	buf_json(line, value, strlen(value));
}

int
turns_add(const char *file, double now, const char *hub, const char *event,
    const char *from, const char *to, const char *operation,
    const char *endpoint, struct err *e)
{
	struct buf line = BUF_INIT;
	char time[32];
	ssize_t n;
	int fd, rc = 0;

	if (!file)
		return 0;
	make_folders(file);
	fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(
		    e, LOCAL_FAILURE, file, "cannot open: %s", strerror(errno));
	turns_time(now, time);
	buf_char(&line, '{');
	add(&line, "time", time);
	add(&line, "hub", hub);
	add(&line, "event", event);
	add(&line, "from", from);
	add(&line, "to", to);
	add(&line, "operation", operation);
	add(&line, "endpoint", endpoint);
	buf_text(&line, "}\n");
	/* One write: two runs at once do not mix their lines. */
	n = write(fd, line.at, line.len);
	if (n != (ssize_t)line.len || fsync(fd))
		rc = err_set(e, LOCAL_FAILURE, file, "write failed: %s",
		    n < 0 ? strerror(errno) : "no room");
	(void)close(fd);
	buf_free(&line);
	return rc;
}

static bool
is(jv turn, const char *name, const char *value)
{
	return jv_string_is_nocase(jv_at(jv_copy(turn), name), value);
}

jv
turns_of(const char *file, const char *hub)
{
	struct err e;
	struct lines *in = NULL;
	struct line line;
	jv all = jv_array();

	if (file && access(file, R_OK) == 0)
		in = lines_open_file(file, &e);
	while (in && lines_next(in, &line, &e) > LINES_END) {
		jv turn = doc_parse(line.text, file);

		if (jv_is_valid(turn) && jv_get_kind(turn) == JV_KIND_OBJECT &&
		    is(turn, "hub", hub))
			all = jv_array_append(all, turn);
		else
			jv_free(turn);
	}
	if (in)
		lines_close(in);
	return all;
}

static double
when(jv turn)
{
	char *text = jv_dup_string(jv_at(turn, "time"));
	double t = text ? turns_parse(text) : -1;

	free(text);
	return t;
}

/* Has the one that was begun there an end?  Then that line tells of it. */
static bool
has_end(jv turns, int i)
{
	int n = jv_array_length(jv_copy(turns));
	bool ended = false;

	for (int k = i + 1; k < n && !ended; k++) {
		jv later = jv_array_get(jv_copy(turns), k);

		if (is(later, "event", "begun")) {
			jv_free(later);
			break;
		}
		ended =
		    is(later, "event", "done") || is(later, "event", "failed");
		jv_free(later);
	}
	return ended;
}

double
turns_allowed(
    jv turns, double now, const char *to, const char *home, char **why)
{
	bool back = strcasecmp(to, home) == 0;
	double last = -1, until = 0;
	double latest = -1, before = -1; /* the two last of that kind */
	int n = jv_array_length(jv_copy(turns)), count = 0;

	*why = NULL;
	for (int i = 0; i < n; i++) {
		jv turn = jv_array_get(jv_copy(turns), i);
		/* One whose end nobody saw has most likely come to one. */
		bool counts =
		    is(turn, "event", "done") ||
		    (is(turn, "event", "begun") && !has_end(turns, i));
		double t = when(jv_copy(turn));

		if (counts && t > now - DAY && t <= now + HOUR) {
			last = t;
			if (is(turn, "to", home) == back) {
				count++;
				before = latest;
				latest = t;
			}
		}
		jv_free(turn);
	}
	jv_free(turns);
	if (last >= 0 && last + HOUR > now) {
		until = last + HOUR;
		*why = xstrdup("an hour must pass between two failovers");
	}
	if (count >= A_DAY && before + DAY > until && before + DAY > now) {
		until = before + DAY;
		free(*why);
		*why = xasprintf("there were %d %s within a day", count,
		    back ? "failbacks" : "failovers");
	}
	return until;
}

jv
turns_open(jv turns, double now, const char *to)
{
	int n = jv_array_length(jv_copy(turns));
	jv found = jv_null();

	for (int i = n - 1; i >= 0 && jv_get_kind(found) == JV_KIND_NULL; i--) {
		jv turn = jv_array_get(jv_copy(turns), i);
		double t = when(jv_copy(turn));

		if (!is(turn, "event", "begun") &&
		    !is(turn, "event", "asked")) {
			jv_free(turn);
			break; /* it came to an end */
		}
		if (t > now - DAY && t <= now + HOUR &&
		    (!to || is(turn, "to", to)))
			found = turn;
		else {
			jv_free(turn);
			break;
		}
	}
	jv_free(turns);
	return found;
}
