/*
 * lines.h: a stream of lines, read in constant memory.  \n and \r\n end a
 * line; the last needs no end; a UTF-8 byte order mark at the start is
 * skipped.  Enlarges the pipe it reads from (PERFORMANCE 0.8).
 */
#ifndef LINES_H
#define LINES_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "msg.h"

enum { LINE_MAX_BYTES = 4 * 1024 * 1024 }; /* longer ones come in pieces */

struct lines;

enum lines_got {
	LINES_END = 0,
	LINES_LINE = 1,  /* one whole line */
	LINES_PIECE = 2, /* a part of a line that is too long: to be rejected */
	LINES_LAST = 3,  /* the last part of such a line */
	LINES_FAILED = -1,
};

struct line {
	struct span text; /* without its end; borrowed until the next call */
	struct span raw;  /* as it came in, end included */
	uint64_t at;      /* bytes before it, of the file or the stream */
	long number;      /* from 1 */
};

/* name is for messages; fd stays the caller's.  Ends with lines_close(). */
struct lines *lines_open(int fd, const char *name);
/* A file of that name, "-" or NULL for stdin. */
struct lines *lines_open_file(const char *path, struct err *e);
enum lines_got lines_next(struct lines *l, struct line *line, struct err *e);
void lines_close(struct lines *l);
/* The descriptor, if what is read can be read again where it was (a file). */
int lines_file(const struct lines *l);
/* Nothing but white space: no record, and no reject either. */
bool span_is_blank(struct span s);

#endif
