/*
 * ledger.h: records that must all be seen before the first is acted on: kept
 * as they came in, in a file that nobody else sees, with an index of 48 bytes
 * each that says where a record is and what became of it.
 */
#ifndef LEDGER_H
#define LEDGER_H

#include <stdint.h>

#include "buf.h"
#include "lines.h"
#include "msg.h"

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
	uint64_t offset; /* in the spool, line end included */
	uint32_t length;
	uint32_t line;   /* from 1 */
	uint32_t device; /* of a module: its device's entry, or NONE */
	uint32_t parent; /* the caller's number for the parent, or NONE */
	uint8_t mode, state;
	uint16_t flags; /* the caller's */
};

struct ledger {
	struct ledger_entry *entry;
	uint32_t count;
	/* The rest is ledger.c's. */
	uint32_t cap, *slot, slots;
	uint64_t end;
	struct buf pending; /* of the spool, not written yet */
	int fd;
};

struct ledger *ledger_open(struct err *e);
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
uint32_t ledger_find(
    const struct ledger *l, const char *id, const char *module);
/* What ledger_name() has stored, for those who compare. */
void ledger_key(const char *id, const char *module, uint64_t key[2]);
/* The line as it came in; without its end for ledger_text(). */
void ledger_raw(struct ledger *l, uint32_t index, struct buf *into);
void ledger_text(struct ledger *l, uint32_t index, struct buf *into);
void ledger_close(struct ledger *l);

#endif
