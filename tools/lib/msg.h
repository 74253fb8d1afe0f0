/*
 * msg.h: what a tool says on stderr, and the status it ends with.
 *
 * Form of every message: "tool: 'subject': what failed: reason", lower case,
 * no full stop; a next step, where known, follows in parentheses.  Control
 * bytes are replaced by '?'.  The subject may be NULL.  Nothing else in
 * hubpipe writes to stderr, but progress.c.  Statuses: hubpipe(7), DESIGN 5.
 */
#ifndef MSG_H
#define MSG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

enum status {
	DONE = 0,          /* all of the job was done */
	ANSWER_NO = 1,     /* differs, not found, not allowed now */
	BAD_USAGE = 2,     /* the command line is wrong */
	BAD_DATA = 3,      /* the input is wrong */
	LOCAL_FAILURE = 4, /* memory, disk, a missing file or plugin */
	REMOTE_RETRY = 5,  /* the service failed; trying again may help */
	REMOTE_REFUSED =
	    6,           /* the service said no; trying again will not help */
	PARTLY_DONE = 7, /* some of it was done; outcomes say which */
};

/* One line for --help and the manual; NULL for a number that is no status. */
const char *status_text(enum status s);

/*
 * The one error record.  A function that can fail returns 0 or -1 and fills
 * it; a function that returns jv returns an invalid jv with the same three
 * things (doc.h).  Text is cut, never overrun.
 */
struct err {
	enum status status;
	char subject[256]; /* empty: no subject */
	char text[1024];
};

/* Fills *e and returns -1, so that one can write: return err_set(...). */
int err_set(struct err *e, enum status s, const char *subject, const char *fmt,
    ...) __attribute__((format(printf, 4, 5)));

/* Set by tool_start(): the name that begins each message. */
void msg_begin(const char *tool_name, bool quiet, bool verbose);
const char *msg_tool(void);
bool msg_quiet(void);
bool msg_verbose(void);

/* Trouble that does not end the run. */
void warn(const char *subject, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void warn_err(const struct err *e);

/* Trouble that does.  Temporary output is removed (out.h). */
_Noreturn void die(enum status s, const char *subject, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
_Noreturn void die_err(const struct err *e);

/* A thing that cannot happen, happened. */
_Noreturn void bug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* What a person wants to know while it runs; silent with -q. */
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Only with -v.  Never pass a secret: nothing here can know what one is. */
void trace(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Memory or death (LOCAL_FAILURE); the result is never NULL. */
void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *old, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *xvasprintf(const char *fmt, va_list ap)
    __attribute__((format(printf, 1, 0)));

#endif
