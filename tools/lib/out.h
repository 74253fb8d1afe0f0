/*
 * out.h: where results go.  stdout, or -o FILE: a temporary file beside it
 * with mode 0600 that takes its name when it is complete, so that a reader
 * never sees half.  A die() in between removes it.  Every write is checked;
 * closing says so if one failed.
 */
#ifndef OUT_H
#define OUT_H

#include <stdbool.h>
#include <sys/types.h>

#include "buf.h"
#include "msg.h"

struct out;

/* A file that an option names, and what for. */
enum out_use {
	OUT_READ,
	OUT_WRITE, /* by out_open(): "-" is stdout */
	OUT_NAMED, /* the same, but not stdout */
	OUT_OTHER, /* in another way, and not stdout */
};

struct out_file {
	const char *option, *path; /* path NULL: not given */
	enum out_use use;
};

/* Before anything is done; option NULL ends.  Dies where a name is empty, where
 * two are one file and one of them is written, and where what is to be written
 * in the end could not be. */
void out_check(const struct out_file *files);
/* path NULL or "-": stdout.  secret: the output holds keys; warns once when
 * stdout is a regular file that others can read.  Dies on failure. */
struct out *out_open(const char *path, bool secret);
/* part, 0600, from that byte on; it stays when the process dies, and becomes
 * path when it is closed.  Dies on failure. */
struct out *out_open_part(const char *path, const char *part, off_t offset);
/* Batches to a descriptor that stays the caller's, such as a spool's. */
struct out *out_open_fd(int fd, const char *name);
/* A failed write dies at once with LOCAL_FAILURE: "stdout: write failed". */
void out_add(struct out *o, const char *text, size_t len);
void out_span(struct out *o, struct span s);
void out_flush(struct out *o); /* for lines a person waits for */
void out_sync(struct out *o);  /* ... and for what must be on disk */
/* Flushes, checks, renames; dies on failure. */
void out_close(struct out *o);
/* What is in it is written even if the process dies; one at a time. */
void out_keep(struct out *o);
/* It was not to be: a temporary file goes, and what had its name stays. */
void out_drop(struct out *o);
/* An empty file that nobody else can see: 0600, unlinked, for spooling. */
int out_spool(struct err *e);

#endif
