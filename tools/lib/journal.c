/* journal.c: lines that outlive the process; see journal.h. */
#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "json.h"
#include "lines.h"

enum {
	VERSION = 1,
	CHECK = 10 /* " #01234567" */,
	SYNC_EVERY = 1,
	PATIENCE = 40
};

struct journal {
	char *path, *kind;
	int fd;
	bool read_only, broken, unsynced;
	off_t end;  /* behind the last good line */
	char *text; /* of the head */
	struct json head;
	char **value; /* of its members that are texts, decoded */
	time_t synced;
};

static bool
is_whole(const struct line *line)
{
	return line->raw.len == line->text.len + 1 &&
	       line->raw.at[line->raw.len - 1] == '\n';
}

/* Is it whole?  Then its text, without the checksum. */
static bool
check(const struct line *line, struct span *text)
{
	char want[CHECK + 1];
	struct span s = line->text;

	if (!is_whole(line) || s.len < CHECK)
		return false;
	s.len -= CHECK;
	(void)snprintf(want, sizeof want, " #%08x", span_hash(s));
	*text = s;
	return memcmp(s.at + s.len, want, CHECK) == 0;
}

static char *
begin_of(const char *kind)
{
	return xasprintf("{\"hubpipe\":\"%s\",\"version\":", kind);
}

/* Scans what is in j->text. */
static int
take_head(struct journal *j)
{
	struct json_fault fault;

	if (json_scan(span_of(j->text), &j->head, &fault) ||
	    j->head.kind != JSON_OBJECT)
		return -1;
	j->value = xcalloc(j->head.count, sizeof *j->value);
	for (size_t i = 0; i < j->head.count; i++)
		if (j->head.member[i].kind == JSON_STRING)
			j->value[i] = json_string(j->head.member[i].value);
	return 0;
}

/* A first line that is torn was never acted on. */
static int
read_head(struct journal *j, struct err *e)
{
	struct lines *in = lines_open(j->fd, j->path);
	struct line line;
	struct span text;
	char *begin = begin_of(j->kind), *version;
	enum lines_got got = lines_next(in, &line, e);
	size_t n;
	int rc = 0;

	if (got == LINES_FAILED) {
		rc = -1;
	} else if (got == LINES_LINE && is_whole(&line) &&
		   line.text.len > strlen(begin) &&
		   memcmp(line.text.at, begin, strlen(begin)) == 0) {
		bool good = check(&line, &text);

		j->text = span_dup(good ? text : line.text);
		version = j->text + strlen(begin);
		if (strtol(version, NULL, 10) != VERSION)
			rc = err_set(e, BAD_DATA, j->path,
			    "is of another version of %s: finish with that "
			    "one, or begin anew with another file",
			    msg_tool());
		else if (!good || take_head(j))
			rc = err_set(e, BAD_DATA, j->path, "is damaged");
		j->end = (off_t)line.raw.len;
	} else if (got != LINES_END) {
		n = line.raw.len < strlen(begin) ? line.raw.len : strlen(begin);
		if (line.raw.at[line.raw.len - 1] == '\n' ||
		    memcmp(line.raw.at, begin, n) != 0)
			rc = err_set(e, BAD_DATA, j->path,
			    "is no file that %s has begun (give it one that "
			    "does not exist)",
			    msg_tool());
	}
	lines_close(in);
	free(begin);
	return rc;
}

static int
open_file(struct journal *j, struct err *e)
{
	const struct timespec pause = { 0, 50L * 1000 * 1000 };
	struct stat st;
	bool locked = false;

	j->fd = open(j->path,
	    (j->read_only ? O_RDONLY : O_RDWR | O_CREAT) | O_CLOEXEC |
		O_NOCTTY | O_NONBLOCK,
	    0600);
	if (j->fd < 0 && j->read_only && errno == ENOENT)
		return 0;
	if (j->fd < 0)
		return err_set(e, LOCAL_FAILURE, j->path,
		    "cannot be opened: %s", strerror(errno));
	if (fstat(j->fd, &st) || !S_ISREG(st.st_mode))
		return err_set(e, BAD_USAGE, j->path, "is no regular file");
	/* One that was just killed may hold it a moment longer. */
	for (int i = 0; i < PATIENCE; i++) {
		locked =
		    !flock(j->fd, (j->read_only ? LOCK_SH : LOCK_EX) | LOCK_NB);
		if (locked || errno != EWOULDBLOCK)
			break;
		(void)nanosleep(&pause, NULL);
	}
	if (!locked)
		return err_set(e, LOCAL_FAILURE, j->path,
		    errno == EWOULDBLOCK ? "another run is at work with it"
					 : "cannot be locked");
	return read_head(j, e);
}

struct journal *
journal_open(const char *path, const char *kind, bool read_only, struct err *e)
{
	struct journal *j = xcalloc(1, sizeof *j);

	*j = (struct journal){ .path = xstrdup(path),
		.kind = xstrdup(kind),
		.fd = -1,
		.read_only = read_only };
	if (open_file(j, e)) {
		journal_close(j);
		return NULL;
	}
	return j;
}

bool
journal_begun(const struct journal *j)
{
	return j->text != NULL;
}

const char *
journal_head(const struct journal *j, const char *name)
{
	const struct json_member *m;
	const char *value = NULL;

	if (j->text && json_find(&j->head, name, &m) == 1)
		value = j->value[m - j->head.member];
	return value ? value : "";
}

/* Cuts off what is torn. */
static int
cut(struct journal *j, struct err *e)
{
	if (j->fd < 0 || j->read_only)
		return 0;
	if (ftruncate(j->fd, j->end) || lseek(j->fd, j->end, SEEK_SET) < 0)
		return err_set(e, LOCAL_FAILURE, j->path,
		    "cannot be written: %s", strerror(errno));
	return 0;
}

int
journal_replay(struct journal *j, journal_line *each, void *ctx, struct err *e)
{
	struct lines *in;
	struct line line;
	struct span text;
	enum lines_got got = LINES_END;
	int rc = 0;

	if (!j->text)
		return 0;
	if (lseek(j->fd, j->end, SEEK_SET) < 0)
		return err_set(e, LOCAL_FAILURE, j->path, "cannot be read: %s",
		    strerror(errno));
	in = lines_open(j->fd, j->path);
	while (rc == 0 && (got = lines_next(in, &line, e)) == LINES_LINE &&
	       check(&line, &text)) {
		char *copy = span_dup(text);

		rc = each(ctx, copy);
		free(copy);
		j->end += (off_t)line.raw.len;
	}
	lines_close(in);
	if (rc)
		return err_set(e, BAD_DATA, j->path,
		    "is damaged: begin anew with another file");
	return got == LINES_FAILED ? -1 : cut(j, e);
}

/* -- writing -------------------------------------------------------------- */

static int
broke(struct journal *j, struct err *e)
{
	int why = errno;

	j->broken = true;
	/* Half a line would be cut off by the next run as well. */
	(void)!ftruncate(j->fd, j->end);
	return err_set(e, LOCAL_FAILURE, j->path,
	    "write failed: %s (the same command goes on from here)",
	    strerror(why));
}

int
journal_sync(struct journal *j, bool lazily, struct err *e)
{
	time_t now = time(NULL);

	if (j->broken || !j->unsynced ||
	    (lazily && now >= j->synced && now < j->synced + SYNC_EVERY))
		return 0;
	j->unsynced = false;
	if (fdatasync(j->fd))
		return broke(j, e);
	j->synced = time(NULL);
	return 0;
}

int
journal_add(struct journal *j, struct span text, bool sync, struct err *e)
{
	struct buf line = BUF_INIT;
	size_t done = 0;

	if (j->broken || j->read_only)
		return 0;
	buf_span(&line, text);
	buf_printf(&line, " #%08x\n", span_hash(text));
	while (done < line.len) {
		ssize_t n = write(j->fd, line.at + done, line.len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			buf_free(&line);
			return broke(j, e);
		}
		done += (size_t)n;
	}
	j->end += (off_t)line.len;
	j->unsynced = true;
	buf_free(&line);
	return sync ? journal_sync(j, false, e) : 0;
}

/* A new file is on disk when its directory is. */
static void
sync_directory(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir =
	    slash ? xstrndup(path, (size_t)(slash - path) + 1) : xstrdup(".");
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0) {
		(void)fsync(fd); /* some file systems cannot */
		(void)close(fd);
	}
	free(dir);
}

int
journal_begin(struct journal *j, const char *const pairs[], struct err *e)
{
	struct buf head = BUF_INIT;
	char *begin = begin_of(j->kind);

	buf_printf(&head, "%s%d", begin, VERSION);
	for (size_t i = 0; pairs[i]; i += 2) {
		buf_printf(&head, ",\"%s\":", pairs[i]);
		buf_json(&head, pairs[i + 1], strlen(pairs[i + 1]));
	}
	buf_char(&head, '}');
	free(begin);
	j->text = xstrdup(head.at);
	if (take_head(j))
		bug("the head of a journal is no JSON");
	j->end = 0;
	if (cut(j, e) || journal_add(j, buf_peek(&head), true, e)) {
		buf_free(&head);
		return -1;
	}
	if (!j->read_only)
		sync_directory(j->path);
	buf_free(&head);
	return 0;
}

void
journal_close(struct journal *j)
{
	if (!j)
		return;
	if (j->fd >= 0)
		(void)close(j->fd);
	for (size_t i = 0; j->value && i < j->head.count; i++)
		free(j->value[i]);
	free(j->value);
	json_free(&j->head);
	free(j->text);
	free(j->path);
	free(j->kind);
	free(j);
}
