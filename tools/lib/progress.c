/* progress.c: a bar on a terminal, JSON for machines; see progress.h. */
#include "progress.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "msg.h"

static enum { NONE, BAR, JSON } mode;
static const char *what;
static long done, total;
static double throttled, began, shown;
static double (*expected)(void *ctx);
static void *expected_ctx;

static double
now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

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
	return total > done && rate > 0 ? (double)(total - done) / rate : 0;
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
	double t = now(), elapsed = t - began;
	double rate = elapsed > 0 ? (double)done / elapsed : 0;

	if (mode == NONE || !what)
		return;
	if (!last && (t - shown < (mode == BAR ? 0.2 : 1)))
		return;
	if (mode == BAR && elapsed < 2)
		return;
	shown = t;
	if (mode == BAR && last)
		fprintf(stderr, "\r\033[K");
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
	total = count;
	done = 0;
	throttled = 0;
	began = shown = now();
}

void
progress_expect(double (*left)(void *ctx), void *ctx)
{
	expected = left;
	expected_ctx = ctx;
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
