/* msg.c: warn, die, bug, note, trace; see msg.h. */
#include "msg.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *name = "hubpipe";
static bool quiet, verbose;

static const char *const texts[] = {
	[DONE] = "done",
	[ANSWER_NO] = "the answer is no: differs, not found, not allowed now",
	[BAD_USAGE] = "wrong command line",
	[BAD_DATA] = "bad input data",
	[LOCAL_FAILURE] = "local failure",
	[REMOTE_RETRY] = "remote failure, worth retrying",
	[REMOTE_REFUSED] = "remote refusal",
	[PARTLY_DONE] = "partly done",
};

const char *
status_text(enum status s)
{
	return s <= PARTLY_DONE ? texts[s] : NULL;
}

void
msg_begin(const char *tool_name, bool be_quiet, bool be_verbose)
{
	name = tool_name;
	quiet = be_quiet;
	verbose = be_verbose;
}

const char *
msg_tool(void)
{
	return name;
}

bool
msg_quiet(void)
{
	return quiet;
}

bool
msg_verbose(void)
{
	return verbose;
}

/* One write for one message, so that messages of two processes do not mix. */
static void
say(const char *severity, const char *subject, const char *fmt, va_list ap)
{
	char line[2048];
	size_t n;
	int k;

	if (subject && *subject)
		k = snprintf(line, sizeof line, "%s: %s'%.255s': ", name,
		    severity, subject);
	else
		k = snprintf(line, sizeof line, "%s: %s", name, severity);
	n = k < 0 ? 0 : (size_t)k;
	k = vsnprintf(line + n, sizeof line - n - 1, fmt, ap);
	if (k > 0)
		n += (size_t)k;
	if (n > sizeof line - 2)
		n = sizeof line - 2;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	line[n++] = '\n';
	(void)fwrite(line, 1, n, stderr);
	(void)fflush(stderr);
}

int
err_set(struct err *e, enum status s, const char *subject, const char *fmt, ...)
{
	va_list ap;

	e->status = s;
	(void)snprintf(
	    e->subject, sizeof e->subject, "%s", subject ? subject : "");
	va_start(ap, fmt);
	(void)vsnprintf(e->text, sizeof e->text, fmt, ap);
	va_end(ap);
	return -1;
}

void
warn(const char *subject, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("warning: ", subject, fmt, ap);
	va_end(ap);
}

void
warn_err(const struct err *e)
{
	warn(e->subject, "%s", e->text);
}

#ifdef __SANITIZE_ADDRESS__
/* Who dies leaves his memory to the system; only good ends must be clean. */
static bool dying;
int __lsan_is_turned_off(void);

int
__lsan_is_turned_off(void)
{
	return dying;
}
#define DYING() (dying = true)
#else
#define DYING() ((void)0)
#endif

void
die(enum status s, const char *subject, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("", subject, fmt, ap);
	va_end(ap);
	DYING();
	exit(s);
}

void
die_err(const struct err *e)
{
	die(e->status, e->subject, "%s", e->text);
}

void
bug(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("bug: ", NULL, fmt, ap);
	va_end(ap);
	abort();
}

void
note(const char *fmt, ...)
{
	va_list ap;

	if (quiet)
		return;
	va_start(ap, fmt);
	say("", NULL, fmt, ap);
	va_end(ap);
}

void
trace(const char *fmt, ...)
{
	va_list ap;

	if (!verbose)
		return;
	va_start(ap, fmt);
	say("", NULL, fmt, ap);
	va_end(ap);
}

void *
xmalloc(size_t size)
{
	return xrealloc(NULL, size);
}

void *
xcalloc(size_t count, size_t size)
{
	void *p = calloc(count ? count : 1, size ? size : 1);

	if (!p)
		die(LOCAL_FAILURE, NULL, "out of memory");
	return p;
}

void *
xrealloc(void *old, size_t size)
{
	void *p = realloc(old, size ? size : 1);

	if (!p)
		die(LOCAL_FAILURE, NULL, "out of memory");
	return p;
}

char *
xstrdup(const char *s)
{
	return xstrndup(s, strlen(s));
}

char *
xstrndup(const char *s, size_t n)
{
	char *p = xmalloc(n + 1);

	memcpy(p, s, n);
	p[n] = '\0';
	return p;
}

char *
xvasprintf(const char *fmt, va_list ap)
{
	char *s;

	if (vasprintf(&s, fmt, ap) < 0)
		die(LOCAL_FAILURE, NULL, "out of memory");
	return s;
}

char *
xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	s = xvasprintf(fmt, ap);
	va_end(ap);
	return s;
}
