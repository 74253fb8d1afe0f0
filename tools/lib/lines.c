/* lines.c: lines from a descriptor in constant memory; see lines.h. */
#include "lines.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Small enough for a filter of 4 MB, large enough that read() is rare. */
enum { FIRST_READ = 256 * 1024, PIPE_BYTES = 1024 * 1024 };

struct lines {
	int fd;
	bool own; /* fd is ours to close */
	char *name;
	char *at; /* cap bytes; the unread ones are from..to */
	size_t cap, from, to;
	size_t searched;  /* no line end from `from` up to here */
	long number;      /* of the line at hand */
	uint64_t given;   /* bytes; of a file, those before it count */
	bool end, inside; /* inside: a piece of this line was given */
};

struct lines *
lines_open(int fd, const char *name)
{
	struct lines *l = xcalloc(1, sizeof *l);

	/* A file has no pipe to enlarge, and the limit may be lower: then it
	 * stays as it is. */
	(void)fcntl(fd, F_SETPIPE_SZ, PIPE_BYTES);
	l->fd = fd;
	l->name = xstrdup(name);
	l->given = lines_file(l) >= 0 ? (uint64_t)lseek(fd, 0, SEEK_CUR) : 0;
	l->cap = FIRST_READ;
	l->at = xmalloc(l->cap);
	return l;
}

struct lines *
lines_open_file(const char *path, struct err *e)
{
	struct lines *l;
	int fd;

	if (!path && isatty(STDIN_FILENO)) {
		err_set(e, BAD_USAGE, NULL,
		    "nothing is piped in and stdin is a terminal (name a "
		    "file, or - to type; try '%s --help')",
		    msg_tool());
		return NULL;
	}
	if (!path || strcmp(path, "-") == 0)
		return lines_open(STDIN_FILENO, "stdin");
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0) {
		err_set(
		    e, LOCAL_FAILURE, path, "open failed: %s", strerror(errno));
		return NULL;
	}
	l = lines_open(fd, path);
	l->own = true;
	return l;
}

int
lines_file(const struct lines *l)
{
	struct stat st;

	return fstat(l->fd, &st) == 0 && S_ISREG(st.st_mode) ? l->fd : -1;
}

void
lines_close(struct lines *l)
{
	if (!l)
		return;
	if (l->own)
		(void)close(l->fd);
	free(l->name);
	free(l->at);
	free(l);
}

/* Room behind the unread bytes: by moving them, else by growing. */
static void
make_room(struct lines *l)
{
	if (l->from) {
		memmove(l->at, l->at + l->from, l->to - l->from);
		l->to -= l->from;
		l->searched -= l->from;
		l->from = 0;
	}
	if (l->to == l->cap) {
		l->cap *= 2;
		l->at = xrealloc(l->at, l->cap);
	}
}

static int
read_more(struct lines *l, struct err *e)
{
	ssize_t n;

	make_room(l);
	while ((n = read(l->fd, l->at + l->to, l->cap - l->to)) < 0) {
		struct pollfd p = { .fd = l->fd, .events = POLLIN };

		if (errno == EAGAIN)
			(void)poll(&p, 1, -1);
		else if (errno != EINTR)
			return err_set(e, LOCAL_FAILURE, l->name,
			    "read failed: %s", strerror(errno));
	}
	if (n == 0)
		l->end = true;
	l->to += (size_t)n;
	return 0;
}

/* Hands out the next len bytes; ending of them are the line's end. */
static void
give(struct lines *l, struct line *line, size_t len, size_t ending)
{
	const char *at = l->at + l->from;
	size_t mark = 0;

	if (!l->inside)
		l->number++;
	if (l->number == 1 && !l->inside && len >= 3 &&
	    memcmp(at, "\xef\xbb\xbf", 3) == 0)
		mark = 3;
	line->raw = (struct span){ at, len };
	line->text = (struct span){ at + mark, len - ending - mark };
	line->number = l->number;
	line->at = l->given;
	l->given += len;
	l->from += len;
	l->searched = l->from;
}

enum lines_got
lines_next(struct lines *l, struct line *line, struct err *e)
{
	for (;;) {
		char *start = l->at + l->searched;
		char *nl = memchr(start, '\n', l->to - l->searched);
		size_t have = l->to - l->from, len, ending;
		bool was_inside = l->inside;

		if (!nl && !l->end && have <= LINE_MAX_BYTES + 2) {
			l->searched = l->to;
			if (read_more(l, e))
				return LINES_FAILED;
			continue;
		}
		if (!nl && have == 0)
			return was_inside ? (give(l, line, 0, 0),
						l->inside = false, LINES_LAST)
					  : LINES_END;
		len = nl ? (size_t)(nl + 1 - l->at) - l->from : have;
		ending = nl ? 1 : 0;
		if (ending && len > 1 && nl[-1] == '\r')
			ending = 2;
		if (!was_inside && len - ending <= LINE_MAX_BYTES) {
			give(l, line, len, ending);
			return LINES_LINE;
		}
		if (nl || l->end) {
			give(l, line, len, ending);
			l->inside = false;
			/* Too long, though its end is here: still a piece. */
			return LINES_LAST;
		}
		give(l, line, have, 0);
		l->inside = true;
		return LINES_PIECE;
	}
}

bool
span_is_blank(struct span s)
{
	while (s.len && (*s.at == ' ' || *s.at == '\t' || *s.at == '\r')) {
		s.at++;
		s.len--;
	}
	return !s.len;
}
