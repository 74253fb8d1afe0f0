/*
 * progress.h: what a long step shows on stderr.  A bar on a terminal after
 * two seconds, one JSON object a second with --progress=json, else nothing.
 * One step at a time.
 */
#ifndef PROGRESS_H
#define PROGRESS_H

/* mode: "auto", "json" or "none"; tool_start() calls it. */
void progress_mode(const char *mode);

/* total: how many there will be, 0 if nobody knows.  what is borrowed until
 * progress_end(): "devices", "operations". */
void progress_begin(const char *what, long total);

/*
 * The same for a step that is told by the clock: how many seconds it should
 * take (0: nobody knows), and how many had passed when we came.  state: a word
 * for what goes on now; call it often.
 */
void progress_begin_clock(const char *what, double expected, double passed);
void progress_clock(const char *state);

/* Who knows better than the count so far how many seconds are left (less than
 * 0: nobody); NULL: nobody does.  ctx is borrowed. */
void progress_expect(double (*left)(void *ctx), void *ctx);

/* So many seconds more, for what comes after this step and the next ones. */
void progress_beyond(double seconds);

/* count more are done. */
void progress_add(long count);

/* The service made us wait so many seconds. */
void progress_throttled(double seconds);

/* Clears the bar, or prints the last JSON object. */
void progress_end(void);

#endif
