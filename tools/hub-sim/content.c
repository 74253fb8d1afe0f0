/* content.c: see content.h. */
#include "content.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct content {
	int fd;
	bool kept;
	int64_t next;
	int64_t *named; /* in this turn */
	size_t count, cap;
};

/* One more than the last that a row names. */
static int64_t
end_of(struct sim *s)
{
	sqlite3_stmt *q;
	int64_t end = 0;

	if (sqlite3_prepare_v2(s->db,
		"SELECT 1 + max(data) FROM blob_chunk "
		"WHERE typeof(data) = 'integer'",
		-1, &q, NULL) == SQLITE_OK &&
	    sqlite3_step(q) == SQLITE_ROW)
		end = sqlite3_column_int64(q, 0);
	(void)sqlite3_finalize(q);
	return end;
}

int
content_open(struct sim *s, const char *database, bool kept, struct err *e)
{
	char *path = xasprintf("%s-blobs", database);
	struct content *c = xcalloc(1, sizeof *c);
	int result = 0;

	c->kept = kept;
	c->next = end_of(s);
	c->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (c->fd == -1 || ftruncate(c->fd, c->next * CONTENT_PIECE) == -1)
		result = err_set(e, LOCAL_FAILURE, path, "cannot be opened: %s",
		    strerror(errno));
	s->content = c;
	free(path);
	return result;
}

void
content_close(struct sim *s)
{
	if (!s->content)
		return;
	if (s->content->fd != -1)
		(void)close(s->content->fd);
	free(s->content->named);
	free(s->content);
	s->content = NULL;
}

int64_t
content_put(struct sim *s, const char *at)
{
	struct content *c = s->content;
	off_t to = c->next * CONTENT_PIECE;

	for (size_t done = 0; done < CONTENT_PIECE;) {
		ssize_t n = pwrite(
		    c->fd, at + done, CONTENT_PIECE - done, to + (off_t)done);

		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		done += (size_t)n;
	}
	return c->next++;
}

bool
content_get(
    struct sim *s, int64_t piece, size_t from, size_t max, struct buf *out)
{
	ssize_t n;

	if (max > CONTENT_PIECE - from)
		max = CONTENT_PIECE - from;
	buf_reserve(out, max);
	n = pread(s->content->fd, out->at + out->len, max,
	    piece * CONTENT_PIECE + (off_t)from);
	if (n <= 0)
		return false;
	out->len += (size_t)n;
	out->at[out->len] = '\0';
	return true;
}

/* Its number stays free: the file is as long as all that were, and as large as
 * those that are. */
void
content_drop(struct sim *s, int64_t piece)
{
	(void)fallocate(s->content->fd,
	    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, piece * CONTENT_PIECE,
	    CONTENT_PIECE);
}

/* No row can come back that names it. */
void
content_take_back(struct sim *s, int64_t piece)
{
	struct content *c = s->content;

	content_drop(s, piece);
	if (piece == c->next - 1 &&
	    ftruncate(c->fd, piece * CONTENT_PIECE) == 0)
		c->next = piece;
}

void
content_named(struct sim *s, int64_t piece)
{
	struct content *c = s->content;

	if (c->count == c->cap) {
		c->cap = c->cap ? 2 * c->cap : 64;
		c->named = xrealloc(c->named, c->cap * sizeof *c->named);
	}
	c->named[c->count++] = piece;
}

int
content_settle(struct sim *s)
{
	struct content *c = s->content;

	return c && c->count && c->kept ? fdatasync(c->fd) : 0;
}

void
content_turned(struct sim *s, bool failed)
{
	struct content *c = s->content;

	if (!c)
		return;
	while (failed && c->count)
		content_take_back(s, c->named[--c->count]);
	c->count = 0;
}
