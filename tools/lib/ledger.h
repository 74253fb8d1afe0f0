/*
 * ledger.h: records that must all be seen before the first is acted on: kept
 * as they came in, in a file that nobody else sees (or left in the file that
 * they came from, which must not change then), and an index that says
 * where a record is and what became of it, in another.  In memory is some of
 * the index, and 4 to 8 bytes for each record to find it by its id.
 */
#ifndef LEDGER_H
#define LEDGER_H

#include <stdint.h>
#include <time.h>

#include "buf.h"
#include "entry.h"
#include "lines.h"
#include "msg.h"
#include "out.h"

#define LEDGER_NONE UINT32_MAX

enum ledger_state {
	LEDGER_TODO,
	LEDGER_LOOK, /* may have been applied: read and compare */
	LEDGER_HELD, /* there, but a later step has to finish it */
	LEDGER_APPLIED,
	LEDGER_EQUAL,    /* was so already */
	LEDGER_REJECTED, /* never tried: the record is wrong */
	LEDGER_FAILED,
};

struct ledger_entry {
	uint64_t key[2]; /* of id and module; 0: the line is no record */
	uint64_t offset; /* in the file, line end included */
	uint32_t length;
	uint32_t line;   /* from 1 */
	uint32_t device; /* of a module: its device's entry, or NONE */
	uint32_t parent; /* the caller's number for the parent, or NONE */
	uint8_t mode, state;
	struct entry_cuts cuts; /* for load_bulk_mode(), if kept */
	uint32_t flags;         /* the caller's */
};

struct ledger_page;

struct ledger {
	uint32_t count;
	/* The rest is ledger.c's. */
	uint32_t *slot, slots; /* finds an entry by its key */
	uint64_t end;
	struct buf pending;        /* of the spool, not written yet */
	struct buf window;         /* of the spool, read */
	uint64_t window_at, after; /* its place; where the last line ended */
	int fd, index;
	bool borrowed; /* fd is the caller's, as it was: */
	bool changed;  /* no more, or it cannot be read: */
	int unread;    /* errno */
	struct timespec written;
	struct ledger_page *page; /* of the index, those in memory */
	uint16_t *where, first; /* of each page: its place there; the latest */
	uint32_t pages;
};

struct ledger *ledger_open(struct err *e);
/* The lines stay where they come from, and are read there again; fd stays the
 * caller's. */
void ledger_borrow(struct ledger *l, int fd);
/* -1 with *e: that file has been written to, or cannot be read.  From then on
 * no line is read there any more: who asks for one gets an empty one, which no
 * record is. */
int ledger_changed(const struct ledger *l, struct err *e);
/*
 * An entry, to be read or to be changed.  The pointer is good until the
 * fiftieth call after it of any function here: never keep one while something
 * waits for an answer; get it again by its number.
 */
const struct ledger_entry *ledger_at(struct ledger *l, uint32_t index);
struct ledger_entry *ledger_edit(struct ledger *l, uint32_t index);
/* A new entry for a line, all zero but for offset, length, line, device and
 * parent.  Its index. */
uint32_t ledger_add(struct ledger *l, const struct line *line);
/* More of the last line. */
void ledger_more(struct ledger *l, struct span raw);
/*
 * Says whose it is.  NONE, or the entry that has the same id already: then
 * nothing is changed.
 */
uint32_t ledger_name(
    struct ledger *l, uint32_t index, const char *id, const char *module);
uint32_t ledger_find(struct ledger *l, const char *id, const char *module);
/* Gives back the memory by which entries are found by their ids; who looks for
 * one after that has it made anew. */
void ledger_forget_ids(struct ledger *l);
/* What ledger_name() has stored, for those who compare. */
void ledger_key(const char *id, const char *module, uint64_t key[2]);
/* The line without its end; of ledger_peek() borrowed until the next call of
 * any function here that gives a line. */
struct span ledger_peek(struct ledger *l, uint32_t index);
void ledger_text(struct ledger *l, uint32_t index, struct buf *into);
/* As it came in, of any length, in pieces.  -1: ledger_changed(), and what is
 * in out may be half of it. */
int ledger_copy(struct ledger *l, uint32_t index, struct out *out);
/* SHA-256 of all lines, in hex, unless ledger_changed(). */
void ledger_digest(struct ledger *l, char hex[65]);
void ledger_close(struct ledger *l);

#endif
