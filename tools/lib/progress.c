/* progress.c: a bar on a terminal, JSON for machines; see progress.h. */
#include "progress.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "monotonic.h"
#include "msg.h"

static enum { NONE, BAR, JSON } mode;
static const char *what;
static long done, total;
static double throttled, began, shown;
static double takes, passed; /* of a clock */
static bool is_clock;
static char word[32];
static double beyond; /* seconds that come after it */
static double (*expected)(void *ctx);
static void *expected_ctx;

void
progress_mode(const char *m)
{
	if (!strcmp(m, "json"))
		mode = JSON;
	else if (!strcmp(m, "none"))
		mode = NONE;
	else /* not in the background: a bar would stop the job (SIGTTOU) */
		mode = isatty(STDERR_FILENO) &&
			       tcgetpgrp(STDERR_FILENO) == getpgrp()
			   ? BAR
			   : NONE;
}

/* Seconds; 0 when nobody knows. */
static double
time_left(double rate)
{
	double s = expected && done < total ? expected(expected_ctx) : -1;

	if (s >= 0)
		return s;
	return total > done && rate > 0 ? (double)(total - done) / rate + beyond
					: 0;
}

/* "3:07"; malloc is too much for it. */
static const char *
minutes(double s, char text[24])
{
	long n = (long)s;

	(void)snprintf(text, 24, "%ld:%02ld", n / 60, n % 60);
	return text;
}

static void
show_clock(double elapsed, bool last)
{
	char bar[21] = "                    ", a[24], b[24], c[24];
	double t = passed + elapsed, left = takes > t ? takes - t : 0;

	if (mode == JSON) {
		fprintf(stderr,
		    "{\"what\":\"%s\",\"state\":\"%s\",\"elapsed\":%.1f,"
		    "\"expected\":%.0f,\"left\":%.0f,\"last\":%s}\n",
		    what, word, t, takes, last ? 0 : left,
		    last ? "true" : "false");
		return;
	}
	for (int i = 0; i < 20 && takes > 0 && i < t * 20 / takes; i++)
		bar[i] = '#';
	if (takes <= 0)
		fprintf(stderr, "\r%s: %s: %s so far\033[K", msg_tool(), word,
		    minutes(t, a));
	else if (left > 0)
		fprintf(stderr, "\r%s: [%s] %s: %s of about %s, %s left\033[K",
		    msg_tool(), bar, word, minutes(t, a), minutes(takes, b),
		    minutes(left, c));
	else
		fprintf(stderr,
		    "\r%s: [%s] %s: %s, longer than the expected %s\033[K",
		    msg_tool(), bar, word, minutes(t, a), minutes(takes, b));
}

static void
show_bar(double elapsed, double rate)
{
	char bar[21] = "                    ";
	long left = (long)time_left(rate);

	if (total <= 0) {
		fprintf(stderr, "\r%s: %ld %s, %.0f/s, %.0f s\033[K",
		    msg_tool(), done, what, rate, elapsed);
		return;
	}
	for (long i = 0; i < 20 && i < done * 20 / total; i++)
		bar[i] = '#';
	fprintf(stderr,
	    "\r%s: [%s] %ld of %ld %s, %.0f/s, throttled %.0f s, "
	    "%ld:%02ld left\033[K",
	    msg_tool(), bar, done, total, what, rate, throttled, left / 60,
	    left % 60);
}

static void
show(bool last)
{
	double t, elapsed, rate;

	/* Asked for each record, by many that show nothing. */
	if (mode == NONE || !what)
		return;
	t = monotonic();
	elapsed = t - began;
	rate = elapsed > 0 ? (double)done / elapsed : 0;
	if (!last && (t - shown < (mode == BAR ? 0.2 : 1)))
		return;
	if (mode == BAR && elapsed < 2)
		return;
	shown = t;
	if (mode == BAR && last)
		fprintf(stderr, "\r\033[K");
	else if (is_clock)
		show_clock(elapsed, last);
	else if (mode == BAR)
		show_bar(elapsed, rate);
	else
		fprintf(stderr,
		    "{\"what\":\"%s\",\"done\":%ld,\"total\":%ld,"
		    "\"rate\":%.1f,\"throttled\":%.1f,\"elapsed\":%.1f,"
		    "\"left\":%.0f,\"last\":%s}\n",
		    what, done, total, rate, throttled, elapsed,
		    last ? 0 : time_left(rate), last ? "true" : "false");
	(void)fflush(stderr);
}

void
progress_begin(const char *name, long count)
{
	what = name;
	is_clock = false;
	total = count;
	done = 0;
	throttled = 0;
	began = shown = monotonic();
}

void
progress_begin_clock(const char *name, double expects, double before)
{
	progress_begin(name, 0);
	is_clock = true;
	takes = expects;
	passed = before;
	word[0] = '\0';
}

void
progress_clock(const char *state)
{
	size_t n = 0;

	/* It comes from the service, and goes to a terminal. */
	for (; *state && n < sizeof word - 1; state++)
		if (isalnum((unsigned char)*state))
			word[n++] = *state;
	word[n] = '\0';
	show(false);
}

void
progress_expect(double (*left)(void *ctx), void *ctx)
{
	expected = left;
	expected_ctx = ctx;
}

void
progress_beyond(double seconds)
{
	beyond = seconds;
}

void
progress_add(long count)
{
	done += count;
	show(false);
}

void
progress_throttled(double seconds)
{
	throttled += seconds;
	show(false);
}

void
progress_end(void)
{
	show(true);
	what = NULL;
}
