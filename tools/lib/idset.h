/*
 * idset.h: a set of registry ids (device, or device and module), each with a
 * number of the caller's.  It keeps a 128-bit hash and not the text: 29 to 35
 * bytes an id, also while it grows.  The hash is no secret and no proof: who
 * acts on a hit compares the ids it stands for.
 */
#ifndef IDSET_H
#define IDSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "msg.h"

struct idset_entry {
	uint64_t hash[2];
	uint64_t value;
};

/* Starts zeroed, ends with idset_free(). */
struct idset {
	struct idset_entry *entry; /* in the order in which they were added */
	size_t count;
	/* The rest is idset.c's. */
	size_t cap;
	uint32_t *slot, slots; /* finds an entry by its hash */
	size_t next;           /* behind the one that was met last */
};

/* The value of an id, or NULL; module NULL for a device.  Borrowed until the
 * next idset_add(). */
uint64_t *idset_find(const struct idset *s, const char *id, const char *module);
/* The same, made with value 0 when it was not there: *added tells. */
uint64_t *idset_add(
    struct idset *s, const char *id, const char *module, bool *added);
/* Calls for each id listed in a file ("-": stdin), one a line: id, id/module,
 * or a record or outcome, whose ids count.  -1 with *e. */
typedef void idset_met(void *ctx, const char *id, const char *module);
int idset_each(const char *path, idset_met *met, void *ctx, struct err *e);
/* Adds them all.  -1 with *e, also when there is none. */
int idset_read(struct idset *s, const char *path, struct err *e);
/* Is it listed?  A device's own id lists its modules too.  Marks what it
 * finds: value 1; and how many have never been marked. */
bool idset_lists(const struct idset *s, const char *id, const char *module);
size_t idset_unmet(const struct idset *s);
void idset_free(struct idset *s);

#endif
