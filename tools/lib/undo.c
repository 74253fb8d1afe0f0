/* undo.c: the way back from what deletes; see undo.h. */
#include "undo.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fleet.h"
#include "idset.h"
#include "opt.h"
#include "out.h"

enum { SAMPLES = 10 };

static const char *max_delete = "10%", *undo;
static bool no_undo;

const struct opt undo_opts[] = {
	OPT_TEXT(0, "max-delete", "PCT|N", &max_delete,
	    "delete no more than N, or PCT% of the registry (default 10%)"),
	OPT_TEXT(0, "undo", "FILE", &undo,
	    "write first what is to be deleted, with keys, to FILE (default: "
	    "a new file named for the hub and the time)"),
	OPT_FLAG(0, "no-undo", &no_undo, "delete without such a file"),
	OPT_END,
};

/* N, or a part of the whole.  -1: nonsense. */
static int
read_limit(const char *text, double *n, bool *percent)
{
	size_t digits = strspn(text, "0123456789");
	size_t len = strlen(text);
	char *end;

	*percent = len && text[len - 1] == '%';
	if (!digits || digits > 9)
		return -1;
	if (*percent && text[digits] == '.')
		digits += 1 + strspn(text + digits + 1, "0123456789");
	*n = strtod(text, &end);
	if (end != text + digits || digits + (size_t)*percent != len)
		return -1;
	return *percent && *n > 100 ? -1 : 0;
}

void
undo_check(void)
{
	bool percent;
	double n;

	if (read_limit(max_delete, &n, &percent))
		usage("--max-delete: '%s' is neither a number nor a percentage "
		      "of at most 100%%",
		    max_delete);
	if (undo && no_undo)
		usage("--undo and --no-undo exclude each other");
	if (undo && (!*undo || strcmp(undo, "-") == 0))
		usage("--undo: needs the name of a file: it holds keys, and "
		      "has to outlive the run");
}

const char *
undo_file(void)
{
	return undo;
}

/* -- how many ------------------------------------------------------------- */

struct count {
	long devices;
	long modules; /* of devices that stay */
	long gone;    /* of both, deleted by runs before this one; */
	long gone_devices;
};

/* What is still to be done: a run that goes on has done some. */
static bool
will_delete(const struct ledger_entry *e)
{
	return load_deletes(e) && e->state <= LEDGER_HELD;
}

static bool
has_deleted(const struct ledger_entry *e)
{
	return load_deletes(e) && e->state == LEDGER_APPLIED;
}

static bool
with_its_device(struct ledger *l, uint32_t device)
{
	const struct ledger_entry *e =
	    device == LEDGER_NONE ? NULL : ledger_at(l, device);

	return e && (will_delete(e) || has_deleted(e));
}

static struct count
count_deletes(struct ledger *l)
{
	struct count c = { 0 };

	for (uint32_t i = 0; i < l->count; i++) {
		const struct ledger_entry *e = ledger_at(l, i);

		if (!will_delete(e) && !has_deleted(e))
			continue;
		if (!(e->flags & LOAD_IS_MODULE)) {
			c.devices++;
			c.gone_devices += has_deleted(e);
		} else if (!with_its_device(l, e->device)) {
			c.modules++;
		} else {
			continue;
		}
		c.gone += has_deleted(e);
	}
	return c;
}

/* -- which of them are there -------------------------------------------------
 */

struct looking {
	const struct undo_work *w;
	long there, gone;
	bool failed;
	struct err e;
};

static void
looked(struct http_reply *r, void *ctx)
{
	struct looking *k = ctx;
	char code[64];
	struct err e;

	if (hub_check(k->w->hub, r, hub_name(k->w->hub), code, &e) == 0) {
		k->there++;
	} else if (e.status == ANSWER_NO) {
		k->gone++;
	} else if (r->status == 401) {
		k->there++; /* a module of a disabled device: who knows */
	} else if (!k->failed) {
		k->failed = true;
		k->e = e;
	}
}

static void
look(struct looking *k, uint32_t i)
{
	struct buf line = BUF_INIT;
	struct record rec = { 0 };
	struct http_request r;
	struct err e;
	char *id, *module;

	ledger_text(k->w->ledger, i, &line);
	if (ledger_changed(k->w->ledger, &e))
		die_err(&e);
	if (record_read(buf_peek(&line), &rec, &e))
		bug("a record that was read before is none: %s", e.text);
	id = hub_escape(rec.id);
	module = rec.module ? hub_escape(rec.module) : NULL;
	if (module)
		r = hub_request(k->w->hub, "GET", NULL,
		    "/devices/%s/modules/%s", id, module);
	else
		r = hub_request(k->w->hub, "GET", NULL, "/devices/%s", id);
	r.done = looked;
	r.ctx = k;
	http_send(k->w->http, &r);
	free(id);
	free(module);
	record_free(&rec);
	buf_wipe(&line);
}

/* Looks at each stride'th of those that delete, devices first, until more than
 * limit are there. */
static void
look_at_each(struct looking *k, long stride, double limit)
{
	struct ledger *l = k->w->ledger;
	long n = 0;

	for (int modules = 0; modules <= 1; modules++)
		for (uint32_t i = 0; i < l->count; i++) {
			const struct ledger_entry *e = ledger_at(l, i);
			bool module = e->flags & LOAD_IS_MODULE;

			if (!will_delete(e) || module != (modules == 1) ||
			    (module && with_its_device(l, e->device)) ||
			    n++ % stride)
				continue;
			if (k->failed || (double)k->there > limit)
				break;
			look(k, i);
		}
	http_drain(k->w->http);
	if (k->failed)
		die_err(&k->e);
}

/*
 * A run that was killed is started again, and what it has deleted is missing
 * in the hub's count: then only what is still there counts.  Most runs have
 * deleted nothing yet: some are asked for first.
 */
static long
count_gone(const struct undo_work *w, long deletes, double limit)
{
	struct looking some = { .w = w }, all = { .w = w };

	look_at_each(&some, deletes / SAMPLES + 1, SAMPLES);
	if (some.gone)
		look_at_each(&all, 1, limit);
	return all.gone;
}

static void
too_many(const struct undo_work *w, const char *what, long deletes)
{
	if (w->dry_run)
		warn(hub_name(w->hub),
		    "%s: more than --max-delete=%s: refused without "
		    "--max-delete=%ld",
		    what, max_delete, deletes);
	else
		die(BAD_USAGE, hub_name(w->hub),
		    "%s: more than --max-delete=%s, nothing is done "
		    "(--max-delete=%ld allows it)",
		    what, max_delete, deletes);
}

static void
say_what(const struct count *c, long gone, long total, struct buf *what)
{
	if (!c->devices)
		buf_printf(what, "deletes %ld modules", c->modules);
	else
		buf_printf(
		    what, "deletes %ld devices with their modules", c->devices);
	if (c->devices && c->modules)
		buf_printf(what, " and %ld modules of others", c->modules);
	if (gone)
		buf_printf(what, " (%ld are gone already)", gone);
	if (total >= 0)
		buf_printf(what, ", of %ld devices", total);
}

/*
 * All that the input deletes, of all devices that there were before the first
 * run: a run that goes on is held to the same as the one that began.
 */
static void
check_count(const struct undo_work *w, const struct count *c)
{
	long deletes = c->devices + c->modules, gone = c->gone, total;
	struct buf what = BUF_INIT;
	struct err e;
	bool percent = false;
	double limit = 0;

	(void)read_limit(max_delete, &limit, &percent);
	total = hub_devices(w->hub, &e);
	if (total < 0 && percent) {
		if (!w->dry_run)
			warn(hub_name(w->hub),
			    "of how many devices %ld are %s is not known "
			    "(--max-delete=%ld needs no count)",
			    deletes, max_delete, deletes);
		die_err(&e);
	}
	if (percent)
		limit = limit * (double)(total + c->gone_devices) / 100;
	/* What a run before has deleted, and nobody noted, is missing in the
	 * hub's count. */
	if ((double)deletes > limit) {
		long unnoted = count_gone(w, deletes - gone, limit);

		gone += unnoted;
		deletes -= unnoted;
	}
	say_what(c, gone, total, &what);
	if ((double)deletes > limit)
		too_many(w, what.at, deletes);
	note("'%s': %s", hub_name(w->hub), what.at);
	buf_free(&what);
}

/* -- what it was ---------------------------------------------------------- */

struct writing {
	const struct undo_work *w;
	uint32_t next;     /* entry to be asked for */
	struct idset seen; /* devices that stay, of which modules go */
	struct out *out;
	long lines;
};

/* The id of one more device that has to be read. */
static char *
next_device(void *ctx)
{
	struct writing *u = ctx;
	struct ledger *l = u->w->ledger;
	struct buf line = BUF_INIT;
	struct record rec = { 0 };
	char *id = NULL;
	struct err e;

	while (!id && u->next < l->count) {
		uint32_t i = u->next++;
		const struct ledger_entry *entry = ledger_at(l, i);
		bool module = entry->flags & LOAD_IS_MODULE, added = true;

		if (!will_delete(entry) ||
		    (module && with_its_device(l, entry->device)))
			continue;
		ledger_text(l, i, &line);
		if (ledger_changed(l, &e))
			die_err(&e);
		if (record_read(buf_peek(&line), &rec, &e))
			bug("a record that was read before is none: %s",
			    e.text);
		if (module)
			(void)idset_add(&u->seen, rec.id, NULL, &added);
		if (added)
			id = xstrdup(rec.id);
	}
	record_free(&rec);
	buf_wipe(&line);
	return id;
}

static bool
is_deleted(struct ledger *l, const char *id, const char *module)
{
	uint32_t i = ledger_find(l, id, module);

	return i != LEDGER_NONE && will_delete(ledger_at(l, i));
}

static void
write_line(struct span line, void *ctx)
{
	static const struct json_edit mode = { "importMode",
		{ "\"createOrUpdate\"", 16 } };
	struct writing *u = ctx;
	struct buf with_mode = BUF_INIT;
	struct record rec = { 0 };
	struct err e;

	if (record_read(line, &rec, &e))
		bug("a line of the hub is no record: %s", e.text);
	if (is_deleted(u->w->ledger, rec.id, NULL) ||
	    (rec.module && is_deleted(u->w->ledger, rec.id, rec.module))) {
		json_splice(&rec.json, &mode, 1, &with_mode);
		buf_char(&with_mode, '\n');
		out_span(u->out, buf_peek(&with_mode));
		u->lines++;
	}
	record_free(&rec);
	buf_wipe(&with_mode);
}

static char *
default_name(const struct hub *hub)
{
	time_t t = time(NULL);
	char when[32], *name;
	struct tm tm;

	(void)gmtime_r(&t, &tm);
	(void)strftime(when, sizeof when, "%Y%m%dT%H%M%SZ", &tm);
	name = xasprintf("undo-%s-%s.txt", hub_name(hub), when);
	/* Another run in the same second. */
	for (int n = 2; n < 100 && access(name, F_OK) == 0; n++) {
		free(name);
		name = xasprintf("undo-%s-%s-%d.txt", hub_name(hub), when, n);
	}
	return name;
}

static _Noreturn void
exists(const char *path)
{
	die(BAD_USAGE, path,
	    "exists already, and may be the way back from another run: "
	    "nothing is done (--undo=FILE names another)");
}

/* Without a name until it is complete: a run that dies here leaves nothing,
 * and what has the name is whole. */
static int
open_nameless(const char *path)
{
	char *copy = xstrdup(path), *dir = dirname(copy);
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	/* Not every file system can do that. */
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
		fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		die(LOCAL_FAILURE, path,
		    "the undo file cannot be written: %s: nothing is done",
		    strerror(errno));
	free(copy);
	return fd;
}

/* It has its name, and both are on disk. */
static void
give_name(int fd, const char *path)
{
	char *copy = xstrdup(path), *dir = dirname(copy);
	char *own = xasprintf("/proc/self/fd/%d", fd);
	struct stat st;
	int at;

	if (fsync(fd) != 0 || fstat(fd, &st) != 0 ||
	    (st.st_nlink == 0 && linkat(AT_FDCWD, own, AT_FDCWD, path,
				     AT_SYMLINK_FOLLOW) != 0)) {
		if (errno == EEXIST)
			exists(path);
		die(LOCAL_FAILURE, path,
		    "the undo file cannot be written: %s: nothing is done",
		    strerror(errno));
	}
	at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (at >= 0) {
		(void)fsync(at);
		(void)close(at);
	}
	free(own);
	free(copy);
}

/* A run that goes on must know it from one that was there before. */
static void
note_file(const struct undo_work *w, int fd, const char *path)
{
	struct stat st;
	struct err e;

	if (!w->journal)
		return;
	if (fstat(fd, &st) != 0)
		die(LOCAL_FAILURE, path,
		    "the undo file cannot be written: %s: nothing is done",
		    strerror(errno));
	if (loadjournal_undo(
		w->journal, (uint64_t)st.st_ino, (uint64_t)st.st_size, &e))
		die_err(&e);
}

/* That of a run before this one, of the same journal. */
static bool
is_ours(const struct undo_work *w)
{
	struct stat st;

	return w->journal && undo && stat(undo, &st) == 0 &&
	       loadjournal_has_undo(
		   w->journal, (uint64_t)st.st_ino, (uint64_t)st.st_size);
}

static void
write_undo(const struct undo_work *w, const char *path)
{
	struct writing u = { .w = w };
	struct fleet_want want = {
		.line = write_line, .next = next_device, .ctx = &u
	};
	struct fleet_got got = { 0 };
	int fd = open_nameless(path);

	u.out = out_open_fd(fd, path);
	fleet_read(w->hub, w->http, &want, &got);
	if (got.hidden)
		die(REMOTE_REFUSED, hub_name(w->hub),
		    "the undo file would lack the modules of %ld disabled "
		    "devices, which a key does not show: nothing is done "
		    "(--auth=login may show them; --no-undo goes on without)",
		    got.hidden);
	out_close(u.out);
	if (u.lines) {
		note_file(w, fd, path);
		give_name(fd, path);
	}
	(void)close(fd);
	idset_free(&u.seen);
	if (!u.lines) {
		note("'%s': nothing of it is there: no undo file is written",
		    hub_name(w->hub));
		return;
	}
	note("'%s': %ld records as they are now are in '%s': 'registry-load < "
	     "%s' takes them back",
	    hub_name(w->hub), u.lines, path, path);
}

void
undo_prepare(const struct undo_work *w)
{
	struct count c = count_deletes(w->ledger);
	char *path;

	if (c.devices + c.modules == c.gone)
		return;
	check_count(w, &c);
	if (w->dry_run || no_undo || is_ours(w))
		return;
	path = undo ? xstrdup(undo) : default_name(w->hub);
	if (access(path, F_OK) == 0)
		exists(path);
	write_undo(w, path);
	free(path);
}
