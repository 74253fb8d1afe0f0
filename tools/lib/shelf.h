/*
 * shelf.h: the records of two registries, kept in a file without a name and
 * found again by their ids.  In memory an entry takes 29 to 35 bytes.
 */
#ifndef SHELF_H
#define SHELF_H

#include "buf.h"
#include "idset.h"

/* What is known of an entry: its place in the file, and four bits. */
enum { SHELF_LENGTH_BITS = 23, SHELF_PLACE_BITS = 60 };
#define SHELF_FLAG(n) (UINT64_C(1) << (SHELF_PLACE_BITS + (n)))
#define SHELF_FLAGS (UINT64_C(15) << SHELF_PLACE_BITS)

/* Starts zeroed. */
struct shelf {
	struct idset ids;
	struct out *out;
	int fd;
	uint64_t end; /* of the file */
	bool unread;  /* something written may not be in the file yet */
	char *window; /* what was read last */
	size_t cap, have;
	uint64_t at, next; /* where that begins; where the last text ended */
};

/* Dies when there is no room for a file. */
void shelf_open(struct shelf *s);
void shelf_close(struct shelf *s);
/* What is known of an id; 0 when it is new.  Good until the next call. */
uint64_t *shelf_slot(struct shelf *s, const char *id, const char *module);
/* NULL when it was never met. */
uint64_t *shelf_find(const struct shelf *s, const char *id, const char *module);
/* Keeps its text, instead of what was kept before. */
void shelf_keep(struct shelf *s, uint64_t *slot, struct span text);
/* The text, as it was kept; good until the next call. */
struct span shelf_text(struct shelf *s, uint64_t known);
/* All entries with those of the flags in mask, in the order in which they were
 * kept; malloc'd, *count of them. */
uint64_t *shelf_list(
    const struct shelf *s, uint64_t mask, uint64_t flags, size_t *count);

#endif
