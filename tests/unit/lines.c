/* Tests of tools/lib/lines.c; prints TAP. */
#include "lines.h"

#include <stdlib.h>
#include <unistd.h>

#include "out.h"
#include "tap.h"

/* A file with that in it, at its start. */
static int
holding(const char *text, size_t len)
{
	struct err e;
	int fd = out_spool(&e);

	if (fd < 0 || write(fd, text, len) != (ssize_t)len)
		die(LOCAL_FAILURE, NULL, "spool");
	(void)lseek(fd, 0, SEEK_SET);
	return fd;
}

static bool
is(const struct line *l, long number, const char *text, const char *raw)
{
	return l->number == number && span_is(l->text, text) &&
	       span_is(l->raw, raw);
}

static void
test_ends(void)
{
	static const char text[] = "\xef\xbb\xbfone\ntwo\r\n\n\r\r\nl\0st";
	int fd = holding(text, sizeof text - 1);
	struct lines *l = lines_open(fd, "x");
	struct line line;
	struct err e;

	check(lines_next(l, &line, &e) == LINES_LINE &&
		  is(&line, 1, "one", "\xef\xbb\xbfone\n"),
	    "a byte order mark is skipped");
	check(lines_next(l, &line, &e) == LINES_LINE &&
		  is(&line, 2, "two", "two\r\n"),
	    "CRLF ends a line");
	check(lines_next(l, &line, &e) == LINES_LINE && is(&line, 3, "", "\n"),
	    "an empty line");
	check(lines_next(l, &line, &e) == LINES_LINE &&
		  is(&line, 4, "\r", "\r\r\n"),
	    "one CR belongs to the end");
	check(lines_next(l, &line, &e) == LINES_LINE && line.text.len == 4 &&
		  memcmp(line.text.at, "l\0st", 4) == 0 && line.number == 5,
	    "a NUL is data; the last line needs no end");
	check(lines_next(l, &line, &e) == LINES_END, "the end");
	check(lines_next(l, &line, &e) == LINES_END, "stays the end");
	lines_close(l);
	(void)close(fd);
	fd = holding("", 0);
	l = lines_open(fd, "x");
	check(lines_next(l, &line, &e) == LINES_END, "nothing");
	lines_close(l);
	(void)close(fd);
}

/* One line of so many bytes, then "x\n". */
static void
test_length(size_t len, bool whole, const char *name)
{
	char *text = xmalloc(len + 3);
	struct lines *l;
	struct line line;
	struct err e;
	enum lines_got got;
	size_t sum = 0;
	bool good = true;
	int fd;

	memset(text, 'a', len);
	text[len] = text[len + 2] = '\n';
	text[len + 1] = 'x';
	fd = holding(text, len + 3);
	l = lines_open(fd, "x");
	while ((got = lines_next(l, &line, &e)) == LINES_PIECE) {
		good &= line.number == 1;
		sum += line.raw.len;
	}
	sum += line.raw.len;
	good &= got == (whole ? LINES_LINE : LINES_LAST) && sum == len + 1 &&
		line.number == 1;
	good &= lines_next(l, &line, &e) == LINES_LINE &&
		is(&line, 2, "x", "x\n") &&
		lines_next(l, &line, &e) == LINES_END;
	check(good, name);
	lines_close(l);
	(void)close(fd);
	free(text);
}

/* Many lines of all lengths through a pipe, as reads cut them anywhere. */
static void
test_pipe(void)
{
	enum { N = 3000 };
	struct lines *l;
	struct line line;
	struct err e;
	bool good = true;
	int fds[2];
	long n = 0;

	if (pipe(fds) != 0)
		die(LOCAL_FAILURE, NULL, "pipe");
	if (fork() == 0) {
		char text[N];

		memset(text, 'b', sizeof text);
		for (int i = 0; i < N; i++) {
			struct buf b = BUF_INIT;

			buf_add(&b, text, (size_t)i);
			buf_char(&b, '\n');
			if (write(fds[1], b.at, b.len) != (ssize_t)b.len)
				_exit(1);
			buf_free(&b);
		}
		_exit(0);
	}
	(void)close(fds[1]);
	l = lines_open(fds[0], "x");
	for (; lines_next(l, &line, &e) == LINES_LINE; n++)
		good &= line.text.len == (size_t)n && line.number == n + 1;
	check(good && n == N, "lines through a pipe");
	lines_close(l);
	(void)close(fds[0]);
}

static void
test_failures(void)
{
	struct err e;
	struct line line;
	struct lines *l = lines_open(-1, "gone");

	check(lines_next(l, &line, &e) == LINES_FAILED &&
		  e.status == LOCAL_FAILURE && !strcmp(e.subject, "gone"),
	    "a read that fails");
	lines_close(l);
	check(!lines_open_file("/nonexistent", &e) &&
		  e.status == LOCAL_FAILURE && strstr(e.text, "No such file"),
	    "a file that is not there");
	l = lines_open_file("/", &e);
	check(l && lines_next(l, &line, &e) == LINES_FAILED &&
		  strstr(e.text, "directory"),
	    "a directory");
	lines_close(l);
}

int
main(void)
{
	test_ends();
	test_length((size_t)300 * 1024, true, "a line longer than one read");
	test_length(LINE_MAX_BYTES, true, "as long as allowed");
	test_length(LINE_MAX_BYTES + 1, false, "one byte longer");
	test_length(
	    (size_t)3 * LINE_MAX_BYTES + 7, false, "three times as long");
	test_pipe();
	test_failures();
	return done_testing();
}
