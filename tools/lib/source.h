/*
 * source.h: the lines of a registry, from a dump or from a live hub.  A hub is
 * read by registry-dump, which stands beside the running tool, so that the
 * protocol lives in one place.
 */
#ifndef SOURCE_H
#define SOURCE_H

#include "lines.h"
#include "opt.h"

struct source;

/* What is handed to registry-dump beside the operand. */
struct source_options {
	const struct opt
	    *given;          /* OPT_TEXT and OPT_CHOICE: those that are set */
	const char *more[3]; /* NULL: no more */
	bool may_be_empty;   /* a file without a line says something */
	/* All of a hub is wanted.  Where it is not all, only because the hub
	 * counts more devices than its queries showed: so many. */
	long *counted;
};

/* A file that is there, or a name that can be nothing else? */
bool source_is_file(const char *operand);
/* Do both name stdin, one hub (as far as connection strings tell), or one
 * file? */
bool source_same(const char *a, const char *b);
/* "-" is stdin; what is no file names a hub (hub.h).  NULL with *e. */
struct source *source_open(
    const char *operand, const struct source_options *options, struct err *e);
/* As lines_next(), without blank lines and the warning above an export without
 * keys.  A line that is too long is LINES_FAILED, BAD_DATA. */
enum lines_got source_next(struct source *s, struct line *line, struct err *e);
/*
 * -1 with *e when the lines prove nothing: a registry-dump that failed (its
 * status) or died, a file without any line.  PARTLY_DONE: what was read is
 * good, but it is not all; see counted.  Frees it all the same.
 */
int source_close(struct source *s, struct err *e);

#endif
