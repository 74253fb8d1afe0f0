/* blob.c: block blobs as streams; see blob.h. */
#include "blob.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	PIECE = 1024 * 1024,
	BLOCK = PIECE / 2, /* it is in memory twice: it may have to go again */
	AT_ONCE = 4, /* pieces in memory; more of them are not faster, since the
		      * service takes some 60 MB/s for one blob */
	TRIES = 6,   /* of what had an answer, but no honest one */
	BLOCKS_MAX = 50000,
	SMALL_MAX = 16 * 1024 * 1024,
};

int
blob_list(struct storage *s, const char *container, const char *prefix,
    storage_name *each, void *ctx, struct err *e)
{
	return storage_list(s, container, prefix, each, ctx, e);
}

static char *
shown(const char *container, const char *name)
{
	return xasprintf("%s/%s", container, name);
}

/* Sends it; *reply is the caller's to free. */
static int
one(struct storage *s, struct http_request *r, const char *container,
    const char *name, struct http_reply *reply, char code[64], struct err *e)
{
	char *subject = shown(container, name);
	int rc;

	storage_one(s, r, reply);
	rc = storage_check(s, reply, subject, code, e);
	free(subject);
	return rc;
}

int
blob_remove(
    struct storage *s, const char *container, const char *name, struct err *e)
{
	struct http_request r =
	    storage_request(s, "DELETE", container, name, NULL);
	struct http_reply reply;
	char code[64];
	int rc;

	r.audit = "deleteBlob";
	r.audit_id = shown(container, name);
	rc = one(s, &r, container, name, &reply, code, e);
	if (rc != 0 && reply.status == 404)
		rc = 0;
	http_reply_free(&reply);
	return rc;
}

int
blob_put_over(struct storage *s, const char *container, const char *name,
    const char *etag, struct span content, struct err *e)
{
	struct http_request r =
	    storage_request(s, "PUT", container, name, NULL);
	struct http_reply reply;
	char code[64];
	int rc;

	buf_span(&r.body, content);
	storage_header(&r, xstrdup("x-ms-blob-type: BlockBlob"));
	if (etag)
		storage_header(&r, xasprintf("If-Match: %s", etag));
	r.audit = "putBlob";
	r.audit_id = shown(container, name);
	rc = one(s, &r, container, name, &reply, code, e);
	if (rc == 0)
		storage_saw_version(s, &reply);
	else if (reply.status == 412)
		e->status = ANSWER_NO;
	http_reply_free(&reply);
	return rc;
}

int
blob_put(struct storage *s, const char *container, const char *name,
    struct span content, struct err *e)
{
	return blob_put_over(s, container, name, NULL, content, e);
}

int
blob_get_tagged(struct storage *s, const char *container, const char *name,
    struct buf *into, char **etag, struct err *e)
{
	struct http_request r =
	    storage_request(s, "GET", container, name, NULL);
	struct http_reply reply;
	char code[64];
	int rc;

	rc = one(s, &r, container, name, &reply, code, e);
	if (rc == 0) {
		const char *tag = http_header(&reply, "ETag");

		if (etag)
			*etag = tag ? xstrdup(tag) : NULL;
		buf_wipe(into);
		*into = reply.body;
		reply.body = (struct buf)BUF_INIT;
	}
	http_reply_free(&reply);
	return rc;
}

int
blob_get(struct storage *s, const char *container, const char *name,
    struct buf *into, struct err *e)
{
	return blob_get_tagged(s, container, name, into, NULL, e);
}

/* -- writing -------------------------------------------------------------- */

struct blob_writer {
	struct storage *s;
	char *container, *name;
	struct buf piece;
	long blocks; /* sent */
	long long size;
	long flying;
	bool failed;
	struct err err;
};

static void
block_id(char id[48], long n)
{
	struct buf b = BUF_INIT;
	char text[32];

	(void)snprintf(text, sizeof text, "hubpipe-%010ld", n);
	buf_base64(&b, text, strlen(text));
	(void)snprintf(id, 48, "%s", b.at);
	buf_free(&b);
}

struct blob_writer *
blob_write(struct storage *s, const char *container, const char *name)
{
	struct blob_writer *w = xcalloc(1, sizeof *w);

	w->s = s;
	w->container = xstrdup(container);
	w->name = xstrdup(name);
	return w;
}

static void
writer_fail(struct blob_writer *w, const struct err *e)
{
	if (w->failed)
		return;
	w->failed = true;
	w->err = *e;
}

/* A block on its way. */
struct block {
	struct blob_writer *w;
	struct buf bytes;
	long number;
	int tries;
};

static void send_block(struct block *b);

static void
wrote(struct http_reply *reply, void *ctx)
{
	struct block *b = ctx;
	struct blob_writer *w = b->w;
	char code[64], *subject = shown(w->container, w->name);
	struct err e;

	w->flying--;
	if (storage_check(w->s, reply, subject, code, &e) != 0) {
		writer_fail(w, &e);
	} else if (storage_is_odd("PUT", reply)) {
		if (++b->tries < TRIES) {
			send_block(b);
			free(subject);
			return;
		}
		err_set(&e, REMOTE_RETRY, subject, "no honest answer");
		writer_fail(w, &e);
	}
	buf_wipe(&b->bytes);
	free(b);
	free(subject);
}

/* Until fewer than n pieces are on their way. */
static void
wait_pieces(const struct blob_writer *w, long n)
{
	while (w->flying >= n && w->flying > 0)
		http_wait(storage_http(w->s), w->flying);
}

static void
send_block(struct block *b)
{
	struct blob_writer *w = b->w;
	struct buf query = BUF_INIT;
	struct http_request r;
	char id[48];

	block_id(id, b->number);
	buf_text(&query, "comp=block&blockid=");
	buf_url(&query, id, strlen(id));
	r = storage_request(w->s, "PUT", w->container, w->name, query.at);
	buf_span(&r.body, buf_peek(&b->bytes));
	r.delay = 0.2 * b->tries;
	r.done = wrote;
	r.ctx = b;
	w->flying++;
	storage_send(w->s, &r);
	buf_free(&query);
}

static void
send_piece(struct blob_writer *w)
{
	struct block *b = xcalloc(1, sizeof *b);

	wait_pieces(w, AT_ONCE);
	*b = (struct block){ w, w->piece, w->blocks++, 0 };
	w->piece = (struct buf)BUF_INIT;
	send_block(b);
}

int
blob_write_add(struct blob_writer *w, struct span more, struct err *e)
{
	while (more.len && !w->failed) {
		size_t room = BLOCK - w->piece.len,
		       n = more.len < room ? more.len : room;

		if (!w->piece.cap)
			buf_reserve(&w->piece, BLOCK);
		buf_add(&w->piece, more.at, n);
		more.at += n;
		more.len -= n;
		w->size += (long long)n;
		if (w->piece.len < BLOCK)
			break;
		if (w->blocks == BLOCKS_MAX) {
			w->failed = true;
			err_set(&w->err, REMOTE_REFUSED, w->name,
			    "is too large for one blob");
			break;
		}
		send_piece(w);
	}
	if (!w->failed)
		return 0;
	*e = w->err;
	return -1;
}

static void
writer_free(struct blob_writer *w)
{
	wait_pieces(w, 1);
	buf_wipe(&w->piece);
	free(w->container);
	free(w->name);
	free(w);
}

static int
commit(struct blob_writer *w, struct err *e)
{
	struct http_request r = storage_request(
	    w->s, "PUT", w->container, w->name, "comp=blocklist");
	struct http_reply reply;
	char id[48], code[64];
	int rc;

	buf_text(
	    &r.body, "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>");
	for (long i = 0; i < w->blocks; i++) {
		block_id(id, i);
		buf_printf(&r.body, "<Latest>%s</Latest>", id);
	}
	buf_text(&r.body, "</BlockList>");
	r.content_type = "application/xml";
	r.audit = "putBlob";
	r.audit_id = shown(w->container, w->name);
	rc = one(w->s, &r, w->container, w->name, &reply, code, e);
	if (rc == 0)
		storage_saw_version(w->s, &reply);
	http_reply_free(&reply);
	return rc;
}

int
blob_write_close(struct blob_writer *w, long long *size, struct err *e)
{
	int rc = 0;

	if (!w->failed && w->piece.len)
		send_piece(w);
	wait_pieces(w, 1);
	if (w->failed) {
		*e = w->err;
		rc = -1;
	} else {
		rc = commit(w, e);
	}
	if (size)
		*size = w->size;
	writer_free(w);
	return rc;
}

void
blob_write_drop(struct blob_writer *w)
{
	writer_free(w);
}

/* -- reading -------------------------------------------------------------- */

struct piece {
	struct blob_reader *r;
	struct buf body;
	long long from;
	size_t length;
	int tries;
	bool here;
};

struct blob_reader {
	struct storage *s;
	char *container, *name, *etag;
	long long size, asked; /* asked: from here on nothing is asked yet */
	struct piece piece[AT_ONCE];
	size_t first, used;
	bool lent; /* the first one is the caller's */
	long flying;
	bool failed;
	struct err err;
	/* Lines: what is left of a piece, and a line that crosses two. */
	struct span rest;
	struct buf held;
	long number;
	bool begun, ended;
	bool cut;   /* in the middle of a long line */
	bool spent; /* what is held has been handed out */
};

static int
look(struct blob_reader *r, struct err *e)
{
	struct http_request q =
	    storage_request(r->s, "HEAD", r->container, r->name, NULL);
	struct http_reply reply;
	const char *length, *etag;
	char code[64];
	int rc;

	rc = one(r->s, &q, r->container, r->name, &reply, code, e);
	if (rc == 0) {
		length = http_header(&reply, "Content-Length");
		etag = http_header(&reply, "ETag");
		if (!length || !etag)
			rc = err_set(e, REMOTE_RETRY, r->name,
			    "the answer says no size");
		else {
			r->size = strtoll(length, NULL, 10);
			r->etag = xstrdup(etag);
		}
	}
	http_reply_free(&reply);
	return rc;
}

static void
fail(struct blob_reader *r, const struct err *e)
{
	if (r->failed)
		return;
	r->failed = true;
	r->err = *e;
}

static void send_range(struct piece *p);

static void
came(struct http_reply *reply, void *ctx)
{
	struct piece *p = ctx;
	struct blob_reader *r = p->r;
	char code[64], *subject = shown(r->container, r->name);
	struct err e;

	r->flying--;
	if (storage_check(r->s, reply, subject, code, &e) != 0) {
		if (reply->status == 412)
			err_set(&e, REMOTE_RETRY, subject,
			    "changed while it was read");
		fail(r, &e);
	} else if (reply->body.len == p->length) {
		p->body = reply->body;
		reply->body = (struct buf)BUF_INIT;
		p->here = true;
	} else if (++p->tries < TRIES) {
		send_range(p);
	} else {
		err_set(&e, REMOTE_RETRY, subject,
		    "%zu bytes came instead of %zu", reply->body.len,
		    p->length);
		fail(r, &e);
	}
	free(subject);
}

static void
send_range(struct piece *p)
{
	struct blob_reader *r = p->r;
	struct http_request q =
	    storage_request(r->s, "GET", r->container, r->name, NULL);

	storage_header(&q, xasprintf("x-ms-range: bytes=%lld-%lld", p->from,
			       p->from + (long long)p->length - 1));
	storage_header(&q, xasprintf("If-Match: %s", r->etag));
	q.delay = 0.2 * p->tries;
	q.done = came;
	q.ctx = p;
	r->flying++;
	storage_send(r->s, &q);
}

/* Fills the ring. */
static void
ask(struct blob_reader *r)
{
	while (!r->failed && r->used < AT_ONCE && r->asked < r->size) {
		struct piece *p = &r->piece[(r->first + r->used++) % AT_ONCE];
		long long left = r->size - r->asked;

		*p = (struct piece){ .r = r,
			.from = r->asked,
			.length = left < PIECE ? (size_t)left : PIECE };
		r->asked += (long long)p->length;
		send_range(p);
	}
}

struct blob_reader *
blob_read(struct storage *s, const char *container, const char *name,
    long long from, struct err *e)
{
	struct blob_reader *r = xcalloc(1, sizeof *r);

	r->s = s;
	r->container = xstrdup(container);
	r->name = xstrdup(name);
	r->asked = from;
	if (look(r, e) == 0)
		return r;
	blob_read_close(r);
	return NULL;
}

/* What comes next, borrowed until the next call; an empty span at the end. */
static int
read_more(struct blob_reader *r, struct span *piece, struct err *e)
{
	struct piece *p = &r->piece[r->first];

	*piece = (struct span){ "", 0 };
	if (r->lent) {
		buf_wipe(&p->body);
		r->lent = false;
		r->first = (r->first + 1) % AT_ONCE;
		r->used--;
	}
	ask(r);
	if (!r->used && !r->failed)
		return 0;
	p = &r->piece[r->first];
	while (!r->failed && !p->here)
		http_wait(storage_http(r->s), r->flying);
	if (!p->here) {
		*e = r->err;
		return -1;
	}
	r->lent = true;
	*piece = buf_peek(&p->body);
	return 0;
}

/* A line that is whole: without its end, a byte order mark and CR. */
static void
give(struct blob_reader *r, struct span raw, struct line *line)
{
	struct span text = raw;

	if (text.len && text.at[text.len - 1] == '\n')
		text.len--;
	if (text.len && text.at[text.len - 1] == '\r')
		text.len--;
	if (!r->begun && text.len >= 3 && !memcmp(text.at, "\xef\xbb\xbf", 3)) {
		text.at += 3;
		text.len -= 3;
	}
	r->begun = true;
	line->raw = raw;
	line->text = text;
	line->number = r->number;
}

/* What came with the last call is the caller's no more. */
static enum lines_got
end_of_blob(struct blob_reader *r, struct line *line)
{
	r->ended = true;
	if (!r->held.len)
		return LINES_END;
	if (!r->cut)
		r->number++;
	give(r, buf_peek(&r->held), line);
	return r->cut ? LINES_LAST : LINES_LINE;
}

enum lines_got
blob_read_line(struct blob_reader *r, struct line *line, struct err *e)
{
	struct span raw;
	const char *nl;
	bool cut = r->cut;

	if (r->ended)
		return LINES_END;
	if (r->spent)
		buf_clear(&r->held);
	r->spent = false;
	for (;;) {
		if (!r->rest.len) {
			if (read_more(r, &r->rest, e) != 0)
				return LINES_FAILED;
			if (!r->rest.len)
				return end_of_blob(r, line);
		}
		nl = memchr(r->rest.at, '\n', r->rest.len);
		raw = nl ? (struct span){ r->rest.at,
			(size_t)(nl - r->rest.at) + 1 }
			 : r->rest;
		if (nl && !r->held.len) {
			r->rest.at += raw.len;
			r->rest.len -= raw.len;
			break;
		}
		buf_span(&r->held, raw);
		r->rest.at += raw.len;
		r->rest.len -= raw.len;
		raw = buf_peek(&r->held);
		r->spent = nl != NULL;
		if (nl)
			break;
		if (r->held.len > LINE_MAX_BYTES) {
			if (!cut)
				r->number++;
			r->cut = true;
			r->spent = true;
			give(r, raw, line);
			return LINES_PIECE;
		}
	}
	if (!cut)
		r->number++;
	r->cut = false;
	give(r, raw, line);
	return cut ? LINES_LAST : LINES_LINE;
}

void
blob_read_close(struct blob_reader *r)
{
	if (!r)
		return;
	while (r->flying)
		http_wait(storage_http(r->s), r->flying);
	for (size_t i = 0; i < AT_ONCE; i++)
		buf_wipe(&r->piece[i].body);
	buf_wipe(&r->held);
	free(r->container);
	free(r->name);
	free(r->etag);
	free(r);
}
