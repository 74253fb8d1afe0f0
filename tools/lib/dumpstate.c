/* dumpstate.c: a dump that goes on; see dumpstate.h. */
#include "dumpstate.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "entry.h"
#include "idfile.h"
#include "journal.h"
#include "monotonic.h"

/*
 * Lines of the journal: P (or S: on disk, D: all is read) and numbers: bytes,
 * lines, devices, gone, hidden, unlisted, doubtful; then the SHA-256.  V and
 * the path by which it is read.  C: complete.
 */
struct point {
	off_t offset;
	struct fleet_got got;
	unsigned char sum[32];
};

enum { PIECE = 256 * 1024 };

struct dumpstate {
	struct journal *file;
	char *path, *output, *part;
	struct out *out;
	EVP_MD_CTX *digest;
	char *by; /* the path, or NULL */
	/*
	 * What earlier runs wrote.  A hub mostly names it in the order in which
	 * it is in the part, which is read beside it (id: what comes next,
	 * NULL: no more); otherwise all ids are looked at.
	 */
	struct lines *written;
	off_t passed; /* of them */
	char *id, *module;
	struct idfile *ids;
	struct point at; /* what is good */
	bool read, complete;
	/* Of the journal: the last that is on disk, and those after it. */
	struct point *point;
	size_t count, cap;
	off_t offset;       /* of what is written by now */
	double start, next; /* when this run began; when to say so next */
};

static void
digest_now(const struct dumpstate *s, unsigned char sum[32])
{
	unsigned char all[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *copy = EVP_MD_CTX_new();

	if (!copy || EVP_MD_CTX_copy_ex(copy, s->digest) != 1 ||
	    EVP_DigestFinal_ex(copy, all, NULL) != 1)
		die(LOCAL_FAILURE, NULL, "SHA-256 failed");
	EVP_MD_CTX_free(copy);
	memcpy(sum, all, 32);
}

/* -- what earlier runs left ----------------------------------------------- */

static int
parse_point(const char *text, struct point *p)
{
	long long offset;
	int doubtful, n = 0;

	if (sscanf(text, " %lld %ld %ld %ld %ld %ld %d %n", &offset,
		&p->got.lines, &p->got.devices, &p->got.gone, &p->got.hidden,
		&p->got.unlisted, &doubtful, &n) != 7 ||
	    n == 0 || offset < 0 || strlen(text + n) != 64)
		return -1;
	p->offset = (off_t)offset;
	p->got.doubtful = doubtful != 0;
	for (size_t i = 0; i < 32; i++)
		if (sscanf(text + n + 2 * i, "%2hhx", &p->sum[i]) != 1)
			return -1;
	return 0;
}

static int
replay(void *ctx, char *text)
{
	struct dumpstate *s = ctx;
	struct point p = { 0 };

	if (strcmp(text, "C") == 0) {
		s->complete = true;
		return s->read ? 0 : -1;
	}
	if (strncmp(text, "V ", 2) == 0) {
		free(s->by);
		s->by = xstrdup(text + 2);
		return s->read || (strcmp(s->by, "job") != 0 &&
				      strcmp(s->by, "rest") != 0)
			   ? -1
			   : 0;
	}
	if (s->read || !strchr("PSD", *text) || parse_point(text + 1, &p))
		return -1;
	s->read = *text == 'D';
	if (*text != 'P')
		s->count = 0; /* what is on disk cannot be less */
	if (s->count == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 64;
		s->point = xrealloc(s->point, s->cap * sizeof *s->point);
	}
	s->point[s->count++] = p;
	return 0;
}

/* How far is that file what the journal says?  The digest stands there then. */
static int
verify(struct dumpstate *s, const char *name, struct err *e)
{
	struct point *good = NULL;
	EVP_MD_CTX *there = EVP_MD_CTX_new();
	unsigned char sum[32];
	char *piece = xmalloc(PIECE);
	off_t offset = 0;
	ssize_t n = 0;
	int fd = open(name, O_RDONLY | O_CLOEXEC);

	if (!there || fd < 0)
		die(LOCAL_FAILURE, name, "cannot be read: %s", strerror(errno));
	for (size_t i = 0; i < s->count && s->point[i].offset >= offset; i++) {
		off_t want = s->point[i].offset;

		while (offset < want) {
			size_t most = PIECE;

			if (want - offset < PIECE)
				most = (size_t)(want - offset);
			n = read(fd, piece, most);
			if (n <= 0)
				break;
			if (EVP_DigestUpdate(s->digest, piece, (size_t)n) != 1)
				die(LOCAL_FAILURE, NULL, "SHA-256 failed");
			offset += n;
		}
		if (n < 0)
			die(LOCAL_FAILURE, name, "cannot be read: %s",
			    strerror(errno));
		if (offset < want)
			break;
		digest_now(s, sum);
		if (memcmp(sum, s->point[i].sum, sizeof sum) != 0)
			continue;
		good = &s->point[i];
		if (EVP_MD_CTX_copy_ex(there, s->digest) != 1)
			die(LOCAL_FAILURE, NULL, "SHA-256 failed");
	}
	OPENSSL_cleanse(piece, PIECE);
	free(piece);
	(void)close(fd);
	if (!good) {
		EVP_MD_CTX_free(there);
		return err_set(e, BAD_DATA, name,
		    "is not as it was left: what '%s' says is not in it "
		    "(remove both to begin anew)",
		    s->path);
	}
	s->at = *good;
	EVP_MD_CTX_free(s->digest);
	s->digest = there;
	return 0;
}

/* The next of the lines that are good, which are known to be ours. */
static void
next_written(struct dumpstate *s)
{
	struct json j = { 0 };
	struct json_fault fault;
	struct line line;
	struct span of;
	struct err e;

	free(s->id);
	free(s->module);
	s->id = s->module = NULL;
	if (s->passed >= s->at.offset)
		return;
	if (lines_next(s->written, &line, &e) != LINES_LINE ||
	    json_scan(line.text, &j, &fault) || j.kind != JSON_OBJECT)
		die(BAD_DATA, s->part, "changed while it was read");
	s->id = json_string(entry_member(&j, "id"));
	of = entry_member(&j, "moduleId");
	if (of.at)
		s->module = json_string(of);
	if (!s->id || (of.at && !s->module))
		die(BAD_DATA, s->part, "changed while it was read");
	s->passed += (off_t)line.raw.len;
	json_free(&j);
}

static int
start_written(struct dumpstate *s, struct err *e)
{
	lines_close(s->written);
	s->written = NULL;
	s->passed = 0;
	if (s->read || !s->at.offset)
		return 0;
	s->written = lines_open_file(s->part, e);
	if (!s->written)
		return -1;
	next_written(s);
	return 0;
}

/* Another order, or one that is gone: from now on each is looked up. */
static void
note_ids(struct dumpstate *s)
{
	struct err e;

	s->ids = idfile_open(s->at.got.lines);
	if (start_written(s, &e))
		die_err(&e);
	for (; s->id; next_written(s))
		(void)idfile_add(s->ids, s->id, s->module);
}

/* A part that nobody speaks for is of a run that died at its very start; its
 * lines are written again. */
static int
take_over(struct dumpstate *s, struct err *e)
{
	struct point none = { 0 };
	struct stat st;
	bool part = stat(s->part, &st) == 0;

	if (!s->count) {
		digest_now(s, none.sum);
		s->at = none;
		return 0;
	}
	if (part && !s->complete)
		return verify(s, s->part, e) || start_written(s, e) ? -1 : 0;
	/* It may have its name already. */
	if (s->read && stat(s->output, &st) == 0 &&
	    st.st_size == s->point[0].offset)
		return verify(s, s->output, e);
	return err_set(e, BAD_DATA, s->read ? s->output : s->part,
	    "is not as it was left: it was there when '%s' was written (remove "
	    "that to begin anew)",
	    s->path);
}

static int
same(const struct dumpstate *s, const char *name, const char *value,
    const char *what, struct err *e)
{
	const char *then = journal_head(s->file, name);

	if (strcmp(then, value) == 0)
		return 0;
	return err_set(e, BAD_USAGE, s->path,
	    "was begun with %s %s, not %s (give the same, or begin another "
	    "state)",
	    what, *then ? then : "none", *value ? value : "none");
}

/* kind P: written; S and D: and on disk. */
static void
say_point(struct dumpstate *s, char kind, const struct fleet_got *got)
{
	struct buf b = BUF_INIT;
	unsigned char sum[32];
	struct err e;

	if (kind == 'P')
		out_flush(s->out);
	else
		out_sync(s->out);
	digest_now(s, sum);
	buf_printf(&b, "%c %lld %ld %ld %ld %ld %ld %d ", kind,
	    (long long)s->offset, got->lines, got->devices, got->gone,
	    got->hidden, got->unlisted, got->doubtful);
	for (size_t i = 0; i < sizeof sum; i++)
		buf_printf(&b, "%02x", sum[i]);
	if (journal_add(s->file, buf_peek(&b), kind != 'P', &e))
		die_err(&e);
	buf_free(&b);
}

static int
start(struct dumpstate *s, const struct hub *hub, const char *options,
    const char *began, struct err *e)
{
	const char *const pairs[] = { "hub", hub_host(hub), "options", options,
		"began", began, NULL };

	s->file = journal_open(s->path, "dump", false, e);
	if (!s->file)
		return -1;
	if (!journal_begun(s->file)) {
		if (journal_begin(s->file, pairs, e))
			return -1;
	} else if (same(s, "hub", hub_host(hub), "the hub", e) ||
		   same(s, "options", options, "the options", e) ||
		   journal_replay(s->file, replay, s, e)) {
		return -1;
	}
	if (take_over(s, e))
		return -1;
	s->offset = s->at.offset;
	if (s->read)
		return 0;
	s->out = out_open_part(s->output, s->part, s->at.offset);
	/* What the journal said of more is void. */
	if (s->count)
		say_point(s, 'S', &s->at.got);
	return 0;
}

struct dumpstate *
dumpstate_open(const char *path, const char *output, const struct hub *hub,
    const char *options, const char *began, struct err *e)
{
	struct dumpstate *s = xcalloc(1, sizeof *s);

	s->path = xstrdup(path);
	s->output = realpath(output, NULL); /* what a link points to */
	if (!s->output)
		s->output = xstrdup(output);
	s->part = xasprintf("%s.part", s->output);
	s->digest = EVP_MD_CTX_new();
	s->start = monotonic();
	if (!s->digest || EVP_DigestInit_ex(s->digest, EVP_sha256(), NULL) != 1)
		die(LOCAL_FAILURE, NULL, "SHA-256 does not start");
	if (start(s, hub, options, began, e)) {
		dumpstate_close(s);
		return NULL;
	}
	return s;
}

const char *
dumpstate_began(const struct dumpstate *s)
{
	return journal_head(s->file, "began");
}

struct fleet_got
dumpstate_got(const struct dumpstate *s)
{
	return s->at.got;
}

bool
dumpstate_read(const struct dumpstate *s)
{
	return s->read;
}

bool
dumpstate_complete(const struct dumpstate *s)
{
	return s->complete;
}

const char *
dumpstate_path(const struct dumpstate *s)
{
	/* Before it was noted, there were only calls. */
	return s->by ? s->by : s->count ? "rest" : "";
}

EVP_MD_CTX *
dumpstate_digest(struct dumpstate *s)
{
	return s->digest;
}

/* -- a run ---------------------------------------------------------------- */

void
dumpstate_line(struct span line, void *ctx)
{
	struct dumpstate *s = ctx;

	if (EVP_DigestUpdate(s->digest, line.at, line.len) != 1)
		die(LOCAL_FAILURE, NULL, "SHA-256 failed");
	out_span(s->out, line);
	s->offset += (off_t)line.len;
}

bool
dumpstate_skip(const char *id, const char *module, void *ctx)
{
	struct dumpstate *s = ctx;
	bool devices = !s->by || strcmp(s->by, "rest") == 0;

	if (s->ids)
		return idfile_has(s->ids, id, module);
	/* A device stands for its modules there. */
	while (devices && s->id && s->module)
		next_written(s);
	if (!s->id)
		return false;
	if (strcmp(s->id, id) == 0 && !s->module == !module &&
	    (!module || strcmp(s->module, module) == 0)) {
		next_written(s);
		return true;
	}
	note_ids(s);
	return idfile_has(s->ids, id, module);
}

static void
note_path(struct dumpstate *s, const char *path)
{
	struct buf b = BUF_INIT;
	struct err e;

	s->start = monotonic(); /* a job took its time before */
	if (s->by || s->count)
		return;
	s->by = xstrdup(path);
	buf_printf(&b, "V %s", path);
	if (journal_add(s->file, buf_peek(&b), true, &e))
		die_err(&e);
	buf_free(&b);
}

void
dumpstate_by_job(void *ctx)
{
	note_path(ctx, "job");
}

void
dumpstate_by_calls(void *ctx)
{
	note_path(ctx, "rest");
}

/* Often at first, then every ten seconds: what is lost is always little, of
 * the time and of the disk. */
void
dumpstate_device(const struct fleet_got *got, void *ctx)
{
	struct dumpstate *s = ctx;
	double age = monotonic() - s->start, wait = age / 16;

	if (age < s->next)
		return;
	say_point(s, wait < 1 ? 'P' : 'S', got);
	age = monotonic() - s->start;
	s->next = age + (wait < 0.005 ? 0.005 : wait > 10 ? 10 : wait);
}

void
dumpstate_all(const struct fleet_got *got, void *ctx)
{
	struct dumpstate *s = ctx;

	if (!s->read)
		say_point(s, 'D', got);
	s->read = true;
}

void
dumpstate_end_read(struct dumpstate *s, const struct fleet_got *got)
{
	dumpstate_all(got, s);
	if (s->out)
		out_close(s->out);
	else if (access(s->part, F_OK) == 0 && rename(s->part, s->output))
		die(LOCAL_FAILURE, s->output, "rename failed: %s",
		    strerror(errno));
	s->out = NULL;
}

void
dumpstate_end(struct dumpstate *s)
{
	struct err e;

	if (journal_add(s->file, span_of("C"), true, &e))
		die_err(&e);
	s->complete = true;
}

void
dumpstate_close(struct dumpstate *s)
{
	if (!s)
		return;
	journal_close(s->file);
	idfile_close(s->ids);
	lines_close(s->written);
	free(s->id);
	free(s->module);
	free(s->by);
	EVP_MD_CTX_free(s->digest);
	free(s->point);
	free(s->path);
	free(s->output);
	free(s->part);
	free(s);
}
