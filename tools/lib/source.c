/* source.c: the lines of a registry; see source.h. */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "json.h"
#include "record.h"
#include "share.h"

struct source {
	char *name; /* for messages */
	struct lines *lines;
	pid_t dump; /* registry-dump, or 0 */
	int fd;     /* the pipe from it */
	long count;
	bool may_be_empty;
	int manifest; /* a pipe from it too, or -1 */
	long *counted;
};

/* For what registry-dump says of the whole; the other end, which it inherits.
 */
static int
open_manifest(struct source *s)
{
	int pipes[2];

	if (pipe(pipes) || fcntl(pipes[0], F_SETFD, FD_CLOEXEC) < 0 ||
	    fcntl(pipes[0], F_SETFL, O_NONBLOCK) < 0)
		die(LOCAL_FAILURE, NULL, "pipe: %s", strerror(errno));
	s->manifest = pipes[0];
	return pipes[1];
}

/* Modules that it does not show, or maybe devices that it does not show yet? */
static void
read_manifest(struct source *s)
{
	static const char *const hidden[] = { "hidden", NULL };
	static const char *const counted[] = { "counted", NULL };
	struct span value, text;
	char said[4096];
	ssize_t n = read(s->manifest, said, sizeof said - 1);

	text = (struct span){ said, n > 0 ? (size_t)n : 0 };
	said[text.len] = '\0';
	if (json_get(text, hidden, &value, NULL) != 1 &&
	    json_get(text, counted, &value, NULL) == 1)
		*s->counted = strtol(value.at, NULL, 10);
}

static int
start_dump(struct source *s, const char *operand,
    const struct source_options *o, struct err *e)
{
	enum { MORE = sizeof o->more / sizeof *o->more, MAX = 32 };
	char *argv[MAX] = { share_tool("registry-dump") };
	posix_spawn_file_actions_t actions;
	int pipes[2], n = 1, rc, manifest = -1;

	for (const struct opt *p = o->given; p->kind != OPT_KIND_END; p++) {
		const char *value = *(const char *const *)p->into;

		if (value && n < MAX - MORE - 5)
			argv[n++] = xasprintf("--%s=%s", p->name, value);
	}
	for (size_t i = 0; i < MORE && o->more[i]; i++)
		argv[n++] = xstrdup(o->more[i]);
	if (o->counted) {
		manifest = open_manifest(s);
		argv[n++] = xasprintf("--manifest=/dev/fd/%d", manifest);
	}
	if (msg_quiet())
		argv[n++] = xstrdup("--quiet");
	argv[n++] = xstrdup("--");
	argv[n++] = xstrdup(operand);
	if (pipe2(pipes, O_CLOEXEC))
		die(LOCAL_FAILURE, NULL, "pipe: %s", strerror(errno));
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_adddup2(&actions, pipes[1], 1);
	rc = posix_spawn(&s->dump, argv[0], &actions, NULL, argv, environ);
	if (rc)
		err_set(e, LOCAL_FAILURE, argv[0], "cannot be run: %s",
		    strerror(rc));
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)close(pipes[1]);
	if (manifest >= 0)
		(void)close(manifest);
	while (n--)
		free(argv[n]);
	s->fd = pipes[0];
	s->lines = lines_open(s->fd, operand);
	return rc ? -1 : 0;
}

bool
source_is_file(const char *operand)
{
	struct stat st;

	if (stat(operand, &st) == 0)
		return !S_ISDIR(st.st_mode);
	return strchr(operand, '/') && strncmp(operand, "file:", 5) != 0 &&
	       strncasecmp(operand, "/subscriptions/", 15) != 0;
}

/* HostName of env:NAME; NULL when the operand says it in another way. */
static const char *
host_of(const char *operand)
{
	const char *text = NULL, *host;

	if (strncmp(operand, "env:", 4) == 0)
		text = getenv(operand + 4);
	host = text ? strcasestr(text, "HostName=") : NULL;
	return host ? host + 9 : NULL;
}

bool
source_same(const char *a, const char *b)
{
	const char *x = host_of(a), *y = host_of(b);
	struct stat s, t;

	if (source_is_file(a) || source_is_file(b))
		return stat(a, &s) == 0 && stat(b, &t) == 0 &&
		       S_ISREG(s.st_mode) && s.st_dev == t.st_dev &&
		       s.st_ino == t.st_ino;
	return strcmp(a, b) == 0 ||
	       (x && y && strcspn(x, ";") == strcspn(y, ";") &&
		   strncasecmp(x, y, strcspn(x, ";")) == 0);
}

static void
source_free(struct source *s)
{
	lines_close(s->lines);
	if (s->fd >= 0)
		(void)close(s->fd);
	if (s->manifest >= 0)
		(void)close(s->manifest);
	free(s->name);
	free(s);
}

struct source *
source_open(
    const char *operand, const struct source_options *options, struct err *e)
{
	struct source *s = xcalloc(1, sizeof *s);
	bool is_stdin = strcmp(operand, "-") == 0;

	s->fd = s->manifest = -1;
	s->counted = options->counted;
	s->may_be_empty = options->may_be_empty;
	s->name = xstrdup(is_stdin ? "stdin" : operand);
	if (is_stdin || source_is_file(operand))
		s->lines = lines_open_file(operand, e);
	else if (start_dump(s, operand, options, e)) {
		source_free(s);
		return NULL;
	}
	if (s->lines)
		return s;
	source_free(s);
	return NULL;
}

enum lines_got
source_next(struct source *s, struct line *line, struct err *e)
{
	enum lines_got got;

	while ((got = lines_next(s->lines, line, e)) == LINES_LINE)
		if (!span_is_blank(line->text) &&
		    (line->number > 1 || !record_is_comment(line->text))) {
			s->count++;
			return got;
		}
	if (got == LINES_PIECE || got == LINES_LAST) {
		err_set(e, BAD_DATA, s->name, "line %ld is longer than 4 MiB",
		    line->number);
		return LINES_FAILED;
	}
	return got;
}

static int
check_end(struct source *s, struct err *e)
{
	int status;

	if (!s->dump)
		return s->count || s->may_be_empty
			   ? 0
			   : err_set(e, BAD_DATA, s->name,
				 "is empty: no record in it");
	while (waitpid(s->dump, &status, 0) < 0)
		if (errno != EINTR)
			return err_set(e, LOCAL_FAILURE, s->name, "wait: %s",
			    strerror(errno));
	if (!WIFEXITED(status) || WEXITSTATUS(status) > PARTLY_DONE)
		return err_set(e, LOCAL_FAILURE, s->name, "registry-dump died");
	if (s->manifest >= 0)
		read_manifest(s);
	if (WEXITSTATUS(status) == PARTLY_DONE)
		return err_set(e, PARTLY_DONE, s->name,
		    "registry-dump could not read all of it");
	if (WEXITSTATUS(status))
		return err_set(e, (enum status)WEXITSTATUS(status), s->name,
		    "registry-dump failed with status %d", WEXITSTATUS(status));
	return 0;
}

int
source_close(struct source *s, struct err *e)
{
	int rc;

	/* One that is still writing must see that nobody reads. */
	if (s->fd >= 0)
		(void)close(s->fd);
	s->fd = -1;
	rc = check_end(s, e);
	source_free(s);
	return rc;
}
