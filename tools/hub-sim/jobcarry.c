/*
 * jobcarry.c: a job's blobs, to and from files (CONTRACT 16.2, 17).
 *
 * The accounts of hub-sim are read slice by slice, and what is written goes
 * there as it is made.  A container URI that leads elsewhere is served by HTTP,
 * without TLS, from a thread: that is for Azurite.  No https:, on purpose: a
 * rehearsal must not write to a real account.  A client of a page's length does
 * for GET and PUT; libcurl would have made the start of hub-sim three times as
 * long.
 */
#include "job.h"

#include <errno.h>
#include <http_parser.h>
#include <netdb.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "blob.h"

enum { SLICES = 8, SECONDS = 10 };

struct carry {
	struct sim *s;
	bool put, foreign;
	char *container, *name;
	FILE *file; /* the caller's; or our own, of what is put elsewhere */
	enum carry_got got; /* once it is over */
	char why[512];
	/* Our own accounts. */
	uint64_t offset;
	struct blob_upload *upload;
	/* Elsewhere. */
	pthread_t thread;
	bool started;
	atomic_int socket; /* -1: none */
	atomic_bool over, stop;
	bool good;
	char *host, *port, *target;
	http_parser parser;
	bool complete;
};

__attribute__((format(printf, 2, 3))) static enum carry_got
fail(struct carry *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(c->why, sizeof c->why, fmt, ap);
	va_end(ap);
	return c->got = CARRY_FAILED;
}

/* -- elsewhere ------------------------------------------------------------ */

static int
on_body(http_parser *p, const char *at, size_t len)
{
	struct carry *c = p->data;

	if (c->put || p->status_code != 200)
		return 0;
	return fwrite(at, 1, len, c->file) == len ? 0 : -1;
}

static int
on_complete(http_parser *p)
{
	struct carry *c = p->data;

	c->complete = true;
	return 0;
}

static int
dial(struct carry *c)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list, *a;
	struct timeval limit = { .tv_sec = SECONDS };
	int fd = -1, code = getaddrinfo(c->host, c->port, &hints, &list);

	if (code) {
		(void)snprintf(c->why, sizeof c->why, "%s: %s", c->host,
		    gai_strerror(code));
		return -1;
	}
	for (a = list; a; a = a->ai_next) {
		fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		(void)setsockopt(
		    fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
		(void)setsockopt(
		    fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
		if (fd != -1 && connect(fd, a->ai_addr, a->ai_addrlen) == 0)
			break;
		(void)snprintf(c->why, sizeof c->why, "%s:%s: %s", c->host,
		    c->port, strerror(errno));
		if (fd != -1)
			(void)close(fd);
		fd = -1;
	}
	freeaddrinfo(list);
	return fd;
}

static int
send_all(int fd, const char *at, size_t len)
{
	while (len) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);

		if (n <= 0)
			return -1;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* -1: the server may have answered already, and that says why. */
static int
send_request(struct carry *c, int fd)
{
	struct buf head = BUF_INIT;
	char chunk[16 * 1024], date[32];
	struct timespec now;
	size_t n;
	int result;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	sim_http_time((int64_t)now.tv_sec * 1000, date);
	buf_printf(&head, "%s %s HTTP/1.1\r\nHost: %s:%s\r\n",
	    c->put ? "PUT" : "GET", c->target, c->host, c->port);
	buf_printf(&head,
	    "x-ms-version: 2021-12-02\r\nx-ms-date: %s\r\n"
	    "Connection: close\r\n",
	    date);
	if (c->put) {
		(void)fflush(c->file);
		(void)fseeko(c->file, 0, SEEK_END);
		buf_printf(&head,
		    "x-ms-blob-type: BlockBlob\r\n"
		    "Content-Type: application/octet-stream\r\n"
		    "Content-Length: %lld\r\n",
		    (long long)ftello(c->file));
		rewind(c->file);
	}
	buf_text(&head, "\r\n");
	result = send_all(fd, head.at, head.len);
	buf_free(&head);
	while (!result && c->put &&
	       (n = fread(chunk, 1, sizeof chunk, c->file)) > 0)
		result = send_all(fd, chunk, n);
	return result;
}

static void
receive(struct carry *c, int fd)
{
	static const http_parser_settings calls = { .on_body = on_body,
		.on_message_complete = on_complete };
	char chunk[64 * 1024];
	ssize_t n;

	http_parser_init(&c->parser, HTTP_RESPONSE);
	c->parser.data = c;
	do {
		n = recv(fd, chunk, sizeof chunk, 0);
		if (n < 0 || http_parser_execute(&c->parser, &calls, chunk,
				 (size_t)n) != (size_t)n)
			break;
	} while (n && !c->complete);
	if (!c->complete)
		(void)snprintf(c->why, sizeof c->why,
		    "%s:%s: the answer is not complete", c->host, c->port);
	else if (c->parser.status_code != (c->put ? 201 : 200))
		(void)snprintf(c->why, sizeof c->why,
		    "%s:%s answered %s of the blob '%s' with %u", c->host,
		    c->port, c->put ? "PUT" : "GET", c->name,
		    c->parser.status_code);
	else
		c->good = fflush(c->file) == 0 && !ferror(c->file);
}

static void *
work(void *arg)
{
	struct carry *c = arg;
	int fd = dial(c);

	if (fd != -1) {
		atomic_store(&c->socket, fd);
		if (!atomic_load(&c->stop)) {
			(void)send_request(c, fd);
			receive(c, fd);
		}
	}
	atomic_store(&c->over, true);
	return NULL;
}

/* http://host:port/account/container?sas, and the name of a blob in it. */
static int
take_apart(struct carry *c)
{
	struct http_parser_url u;
	struct buf target = BUF_INIT;
	const char *uri = c->container;

	http_parser_url_init(&u);
	if (strncasecmp(uri, "http://", 7) != 0 ||
	    http_parser_parse_url(uri, strlen(uri), 0, &u) ||
	    !(u.field_set & (1 << UF_PATH))) {
		(void)fail(c, "%s",
		    "hub-sim has no such storage account, and writes to "
		    "other servers by http: only");
		return -1;
	}
	c->host = xstrndup(
	    uri + u.field_data[UF_HOST].off, u.field_data[UF_HOST].len);
	c->port = xasprintf("%u", u.port ? u.port : 80u);
	buf_add(&target, uri + u.field_data[UF_PATH].off,
	    u.field_data[UF_PATH].len);
	if (target.at[target.len - 1] != '/')
		buf_char(&target, '/');
	for (const char *p = c->name; *p; p++)
		if (*p == '/')
			buf_char(&target, '/');
		else
			buf_url(&target, p, 1);
	if (u.field_set & (1 << UF_QUERY)) {
		buf_char(&target, '?');
		buf_add(&target, uri + u.field_data[UF_QUERY].off,
		    u.field_data[UF_QUERY].len);
	}
	c->target = target.at;
	return 0;
}

static void
begin_foreign(struct carry *c)
{
	c->foreign = true;
	if (take_apart(c))
		return;
	if (pthread_create(&c->thread, NULL, work, c)) {
		(void)fail(c, "no thread can be started");
		return;
	}
	c->started = true;
}

/* Keys are in it: nobody else can open it, and it has no name. */
FILE *
carry_file(void)
{
	const char *tmp = getenv("TMPDIR");
	char *path = xasprintf("%s/hub-sim.XXXXXX", tmp && *tmp ? tmp : "/tmp");
	int fd = mkstemp(path);
	FILE *file = fd == -1 ? NULL : fdopen(fd, "w+");

	if (fd != -1)
		(void)unlink(path);
	if (fd != -1 && !file)
		(void)close(fd);
	free(path);
	return file;
}

/* -- our own --------------------------------------------------------------- */

static enum carry_got
result_of(struct carry *c, enum blob_result result)
{
	if (result == BLOB_OK)
		return CARRY_BUSY;
	if (result == BLOB_MISSING)
		return fail(c, "The blob '%s' or its container does not exist",
		    c->name);
	return fail(c, "The storage account refused the blob '%s'", c->name);
}

static enum carry_got
read_slice(struct carry *c, struct buf *slice)
{
	uint64_t size;
	enum blob_result result =
	    blob_read(c->s, c->container, c->name, c->offset, slice, &size);

	if (result == BLOB_FOREIGN) {
		begin_foreign(c);
		return c->got;
	}
	if (result_of(c, result) == CARRY_FAILED)
		return c->got;
	if (fwrite(slice->at ? slice->at : "", 1, slice->len, c->file) !=
	    slice->len)
		return fail(c, "the disk of hub-sim is full");
	c->offset += slice->len;
	if (slice->len && c->offset < size)
		return CARRY_BUSY;
	return c->got = fflush(c->file) ? fail(c, "%s", strerror(errno))
					: CARRY_DONE;
}

static struct carry *
begin(struct sim *s, bool put, const char *container, const char *name)
{
	struct carry *c = xcalloc(1, sizeof *c);

	c->s = s;
	c->put = put;
	c->container = xstrdup(container);
	c->name = xstrdup(name);
	atomic_init(&c->socket, -1);
	return c;
}

/* Told apart before a byte is copied to the wrong place. */
static bool
is_foreign(struct sim *s, const char *container)
{
	char why[512];

	return blob_permits(s, container, BLOB_SAS, NULL, "r", why) ==
	       BLOB_FOREIGN;
}

struct carry *
carry_get(struct sim *s, const char *container, const char *name, FILE *file)
{
	struct carry *c = begin(s, false, container, name);

	c->file = file;
	rewind(file);
	if (is_foreign(s, container))
		begin_foreign(c);
	return c;
}

struct carry *
carry_put(struct sim *s, const char *container, const char *name)
{
	struct carry *c = begin(s, true, container, name);

	if (!is_foreign(s, container))
		c->upload = blob_upload_begin(s);
	else if (!(c->file = carry_file()))
		(void)fail(c, "%s", strerror(errno));
	return c;
}

int
carry_add(struct carry *c, struct span content)
{
	if (c->upload)
		return blob_upload_add(c->upload, content);
	return c->file && fwrite(content.at, 1, content.len, c->file) ==
			      content.len
		   ? 0
		   : -1;
}

/* All that is to be put is here. */
static void
finish(struct carry *c)
{
	if (!c->upload)
		begin_foreign(c);
	else if (result_of(c, blob_upload_end(c->upload, c->container,
				  c->name)) != CARRY_FAILED)
		c->got = CARRY_DONE;
}

enum carry_got
carry_poll(struct carry *c, const char **why)
{
	struct buf slice = BUF_INIT;

	*why = c->why;
	for (int i = 0; i < SLICES && !c->got && !c->foreign; i++) {
		buf_clear(&slice);
		if (c->put)
			finish(c);
		else
			(void)read_slice(c, &slice);
	}
	buf_wipe(&slice);
	if (c->foreign && !c->got && atomic_load(&c->over))
		c->got = c->good ? CARRY_DONE : CARRY_FAILED;
	return c->got;
}

void
carry_end(struct carry *c)
{
	int fd;

	if (!c)
		return;
	blob_upload_drop(c->upload);
	if (c->started) {
		atomic_store(&c->stop, true);
		fd = atomic_load(&c->socket);
		if (fd != -1)
			(void)shutdown(fd, SHUT_RDWR);
		(void)pthread_join(c->thread, NULL);
		fd = atomic_load(&c->socket);
		if (fd != -1)
			(void)close(fd);
	}
	if (c->put && c->file)
		(void)fclose(c->file);
	free(c->container);
	free(c->name);
	free(c->host);
	free(c->port);
	free(c->target);
	free(c);
}

/* -- permissions ------------------------------------------------------------
 */

/* What can be seen of a SAS that only its own server can check.  Its server's
 * clock is the real one. */
static bool
foreign_permits(const char *uri, char letter, const char **why)
{
	struct sim_request q = { .query = strchr(uri, '?') };
	char *sp, *se, now[32];
	struct timespec t;
	bool good;

	q.query = q.query ? q.query + 1 : "";
	sp = sim_query(&q, "sp");
	se = sim_query(&q, "se");
	(void)clock_gettime(CLOCK_REALTIME, &t);
	sim_iso_time((int64_t)t.tv_sec * 1000, now);
	good = sp && strchr(sp, letter);
	*why = "Its SAS does not permit that.";
	if (good && se && strncmp(se, now, strlen(se) < 19 ? 10 : 19) < 0) {
		*why = "Its SAS has expired.";
		good = false;
	}
	free(sp);
	free(se);
	return good;
}

const char *
carry_refused(struct sim *s, const struct job *job, bool output,
    const char *permissions, char why[512])
{
	const char *uri = output ? job->output : job->input, *reason;
	char detail[512];

	for (const char *p = permissions; *p; p++) {
		char one[2] = { *p, '\0' };
		enum blob_result result;

		*detail = '\0';
		reason = detail;
		result = blob_permits(s, uri,
		    job->by_identity ? BLOB_IDENTITY : BLOB_SAS, job->principal,
		    one, detail);
		if (result == BLOB_OK)
			continue;
		if (result == BLOB_FOREIGN &&
		    strncasecmp(uri, "http://", 7) != 0)
			reason = "hub-sim has no such storage account.";
		else if (result == BLOB_FOREIGN &&
			 foreign_permits(uri, *p, &reason))
			continue;
		if (result == BLOB_MISSING)
			reason = "The specified container does not exist.";
		(void)snprintf(why, 512,
		    "Unauthorized to %s %s blob container. %.300s",
		    *p == 'r'   ? "read from"
		    : *p == 'w' ? "write to"
				: "delete from",
		    output ? "output" : "input", reason);
		return why;
	}
	return NULL;
}
