/* out.c: checked, batched output; see out.h. */
#include "out.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BATCH = 128 * 1024, PIPE_BYTES = 1024 * 1024, MAX_TEMPS = 8 };

struct out {
	int fd;
	char *name;    /* for messages, and what the file will be called */
	bool borrowed; /* fd is not ours to close */
	size_t temp;   /* 1 + index in temps[]; 0: none */
	char *part;    /* what it is called until then, or NULL */
	char *at;      /* BATCH bytes */
	size_t len;
};

/*
 * The globals of the library: files that must go when the process does,
 * whichever way it ends; a signal handler reads these, so a slot is filled
 * last.  And what must be said then.
 */
static char *volatile temps[MAX_TEMPS];
static struct out *kept;

static void
remove_temps(void)
{
	for (size_t i = 0; i < MAX_TEMPS; i++)
		if (temps[i])
			(void)unlink(temps[i]);
}

static void
on_signal(int sig)
{
	remove_temps();
	(void)raise(sig); /* SA_RESETHAND: this time it ends us */
}

static void
guard_temps(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	static bool guarded;
	struct sigaction old, act = { .sa_handler = on_signal };

	if (guarded)
		return;
	guarded = true;
	(void)atexit(remove_temps);
	act.sa_flags = (int)SA_RESETHAND;
	(void)sigemptyset(&act.sa_mask);
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
		/* A tool that stops in its own way keeps its handler. */
		if (sigaction(signals[i], NULL, &old) == 0 &&
		    old.sa_handler == SIG_DFL)
			(void)sigaction(signals[i], &act, NULL);
}

/* .NAME.XXXXXX in the directory of path, 0600. */
static int
open_temp(struct out *o)
{
	const char *slash = strrchr(o->name, '/');
	const char *base = slash ? slash + 1 : o->name;
	char *temp =
	    xasprintf("%.*s.%s.XXXXXX", (int)(base - o->name), o->name, base);
	size_t i;
	int fd;

	for (i = 0; i < MAX_TEMPS && temps[i]; i++)
		;
	if (i == MAX_TEMPS)
		bug("more than %d files written at once", MAX_TEMPS);
	guard_temps();
	fd = mkostemp(temp, O_CLOEXEC);
	if (fd < 0)
		die(LOCAL_FAILURE, o->name, "cannot be written: %s",
		    strerror(errno));
	temps[i] = temp;
	o->temp = i + 1;
	return fd;
}

static int
open_path(struct out *o)
{
	struct stat st;
	char *real;
	int fd;

	if (!*o->name)
		die(BAD_USAGE, NULL, "the name of the output file is empty");
	if (stat(o->name, &st) == 0) {
		if (S_ISDIR(st.st_mode))
			die(LOCAL_FAILURE, o->name,
			    "cannot be written: is a directory");
		if (!S_ISREG(st.st_mode)) {
			/* A device or a pipe must not be replaced. */
			fd = open(o->name, O_WRONLY | O_CLOEXEC | O_NOCTTY);
			if (fd < 0)
				die(LOCAL_FAILURE, o->name, "open failed: %s",
				    strerror(errno));
			return fd;
		}
		/* What a link points to is replaced, not the link. */
		real = realpath(o->name, NULL);
		if (real) {
			free(o->name);
			o->name = real;
		}
	}
	return open_temp(o);
}

struct out *
out_open(const char *path, bool secret)
{
	struct out *o = xcalloc(1, sizeof *o);
	struct stat st;

	o->at = xmalloc(BATCH);
	if (path && strcmp(path, "-") != 0) {
		o->name = xstrdup(path);
		o->fd = open_path(o);
	} else {
		o->name = xstrdup("stdout");
		o->fd = STDOUT_FILENO;
		o->borrowed = true;
		if (secret && fstat(o->fd, &st) == 0 && S_ISREG(st.st_mode) &&
		    (st.st_mode & (S_IRGRP | S_IROTH)))
			warn("stdout",
			    "keys go into a file that others can read (use -o "
			    "FILE, or umask 077)");
	}
	(void)fcntl(o->fd, F_SETPIPE_SZ, PIPE_BYTES);
	return o;
}

/* The same for two names of one file, also of one that is not there. */
static char *
place_of(const char *path)
{
	char *place = realpath(path, NULL), *dir;
	const char *slash = strrchr(path, '/');

	if (place)
		return place;
	dir = slash ? xstrndup(path, (size_t)(slash - path) + 1) : xstrdup(".");
	place = realpath(dir, NULL);
	free(dir);
	if (!place)
		return xstrdup(path);
	dir = place;
	place = xasprintf("%s/%s", dir, slash ? slash + 1 : path);
	free(dir);
	return place;
}

/* Devices and pipes may be named twice. */
static bool
is_special(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && !S_ISREG(st.st_mode) &&
	       !S_ISDIR(st.st_mode);
}

static void
check_pair(const struct out_file *a, const struct out_file *b)
{
	bool written = a->use != OUT_READ || b->use != OUT_READ;
	char *x, *y;

	if (!a->path || !b->path || !written)
		return;
	if (strcmp(a->path, "-") == 0 || strcmp(b->path, "-") == 0) {
		if (strcmp(a->path, b->path) == 0 && a->use == b->use)
			die(BAD_USAGE, NULL,
			    "--%s and --%s would both be on stdout (name a "
			    "file)",
			    a->option, b->option);
		return;
	}
	x = place_of(a->path);
	y = place_of(b->path);
	if (strcmp(x, y) == 0 && !is_special(x))
		die(BAD_USAGE, a->path,
		    "--%s and --%s name the same file: one would take the "
		    "other's place (give another name)",
		    a->option, b->option);
	free(x);
	free(y);
}

static void
check_file(const struct out_file *f)
{
	bool standard = f->path && strcmp(f->path, "-") == 0;

	if (!f->path)
		return;
	if (!*f->path)
		die(BAD_USAGE, NULL, "--%s: needs the name of a file",
		    f->option);
	if (standard && f->use >= OUT_NAMED)
		die(BAD_USAGE, NULL,
		    "--%s: needs the name of a file, not stdout", f->option);
	if (standard || (f->use != OUT_WRITE && f->use != OUT_NAMED))
		return;
	/* To open a pipe would be seen at its other end. */
	if (!is_special(f->path))
		out_drop(out_open(f->path, false));
	else if (access(f->path, W_OK) != 0)
		die(LOCAL_FAILURE, f->path, "cannot be written: %s",
		    strerror(errno));
}

void
out_check(const struct out_file *files)
{
	for (const struct out_file *f = files; f->option; f++) {
		check_file(f);
		for (const struct out_file *g = files; g < f; g++)
			check_pair(g, f);
	}
}

struct out *
out_open_part(const char *path, const char *part, off_t offset)
{
	struct out *o = xcalloc(1, sizeof *o);
	struct stat st;

	o->at = xmalloc(BATCH);
	o->name = xstrdup(path);
	o->part = xstrdup(part);
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		die(BAD_USAGE, path, "is no regular file");
	o->fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (o->fd < 0 || fchmod(o->fd, 0600) || ftruncate(o->fd, offset) ||
	    lseek(o->fd, offset, SEEK_SET) < 0)
		die(LOCAL_FAILURE, part, "cannot be written: %s",
		    strerror(errno));
	return o;
}

struct out *
out_open_fd(int fd, const char *name)
{
	struct out *o = xcalloc(1, sizeof *o);

	o->at = xmalloc(BATCH);
	o->name = xstrdup(name);
	o->fd = fd;
	o->borrowed = true;
	return o;
}

static void
write_all(struct out *o, const char *text, size_t len)
{
	while (len) {
		struct pollfd p = { .fd = o->fd, .events = POLLOUT };
		ssize_t n = write(o->fd, text, len);

		if (n >= 0) {
			text += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN) {
			(void)poll(&p, 1, -1);
		} else if (errno != EINTR) {
			die(LOCAL_FAILURE, o->name, "write failed: %s",
			    strerror(errno));
		}
	}
}

void
out_flush(struct out *o)
{
	size_t len = o->len;

	o->len = 0; /* die() must not find it again */
	write_all(o, o->at, len);
}

void
out_sync(struct out *o)
{
	out_flush(o);
	if (fdatasync(o->fd) != 0 && errno != EINVAL)
		die(LOCAL_FAILURE, o->name, "write failed: %s",
		    strerror(errno));
}

void
out_add(struct out *o, const char *text, size_t len)
{
	if (len > BATCH - o->len) {
		out_flush(o);
		if (len >= BATCH) {
			write_all(o, text, len);
			return;
		}
	}
	if (len)
		memcpy(o->at + o->len, text, len);
	o->len += len;
}

void
out_span(struct out *o, struct span s)
{
	out_add(o, s.at, s.len);
}

/* A file system may keep an error back until the file is closed. */
static void
finish(struct out *o)
{
	char *temp = o->part ? o->part : o->temp ? temps[o->temp - 1] : NULL;
	int fd = o->borrowed ? dup(o->fd) : o->fd;

	if (temp && fsync(fd) != 0)
		die(LOCAL_FAILURE, o->name, "write failed: %s",
		    strerror(errno));
	if (fd < 0 || close(fd) != 0)
		die(LOCAL_FAILURE, o->name, "close failed: %s",
		    strerror(errno));
	if (!temp)
		return;
	if (rename(temp, o->name) != 0)
		die(LOCAL_FAILURE, o->name, "rename failed: %s",
		    strerror(errno));
	if (o->temp)
		temps[o->temp - 1] = NULL;
	free(temp);
}

void
out_close(struct out *o)
{
	out_flush(o);
	if (kept == o)
		kept = NULL;
	finish(o);
	free(o->at);
	free(o->name);
	free(o);
}

/* No die() here: this is one already. */
static void
say_kept(void)
{
	struct out *o = kept;

	kept = NULL;
	for (size_t at = 0; o && at < o->len;) {
		ssize_t n = write(o->fd, o->at + at, o->len - at);

		if (n < 0 && errno != EINTR)
			break;
		at += n > 0 ? (size_t)n : 0;
	}
}

void
out_keep(struct out *o)
{
	kept = o;
	(void)atexit(say_kept);
}

void
out_drop(struct out *o)
{
	char *temp = o->temp ? temps[o->temp - 1] : NULL;

	if (!o->borrowed)
		(void)close(o->fd);
	if (temp) {
		(void)unlink(temp);
		temps[o->temp - 1] = NULL;
		free(temp);
	}
	free(o->part);
	free(o->at);
	free(o->name);
	free(o);
}

int
out_spool(struct err *e)
{
	const char *dirs[] = { getenv("TMPDIR"), "/var/tmp", "/tmp" };
	int fd = -1;

	for (size_t i = 0; fd < 0 && i < sizeof dirs / sizeof *dirs; i++) {
		char *name;

		if (!dirs[i] || !*dirs[i])
			continue;
		fd = open(
		    dirs[i], O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
		if (fd >= 0)
			break;
		name = xasprintf("%s/hubpipe.XXXXXX", dirs[i]);
		fd = mkostemp(name, O_CLOEXEC);
		if (fd >= 0)
			(void)unlink(name);
		free(name);
	}
	if (fd < 0)
		return err_set(e, LOCAL_FAILURE, NULL,
		    "no directory for temporary files: %s (set TMPDIR)",
		    strerror(errno));
	return fd;
}
