/*
 * mergeplan.h: the records that make one registry like another when
 * registry-load reads them.  They say all that A has of an entry: what
 * registry-load does with one must not depend on the call it takes for it.
 */
#ifndef MERGEPLAN_H
#define MERGEPLAN_H

#include "entrydiff.h"
#include "out.h"
#include "shelf.h"

/* Of an entry on the shelf: which side has it (its text is that of A where A
 * has it), and what the plan does to one that both have. */
#define ON_A SHELF_FLAG(0)
#define ON_B SHELF_FLAG(1)
#define ON_BOTH (ON_A | ON_B)
#define TO_UPDATE SHELF_FLAG(2)
#define TO_TWIN SHELF_FLAG(3)

struct mergeplan {
	struct out *out;
	bool delete_none; /* A may have more than it showed */
	long created, updated, twins, deleted;
};

/* The flag for a difference in that part; 0 for reported properties, which
 * nobody but the device can write.  missing: A lacks what B has. */
uint64_t mergeplan_flag(
    const struct entry *e, enum entry_part part, bool missing);
/* A module is to be written: is more to be written for that? */
void mergeplan_module(struct shelf *s, const struct record *module);
/* All of it. */
void mergeplan_write(struct mergeplan *p, struct shelf *s);

#endif
