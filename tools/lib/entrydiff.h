/*
 * entrydiff.h: do two records say the same of a device or module, or two lines
 * of configurations the same of one?  What the hub makes anew (ETags, times,
 * metadata, the number in an Edge scope) does not count, and what services
 * spell in several ways counts once.
 */
#ifndef ENTRYDIFF_H
#define ENTRYDIFF_H

#include "jsondiff.h"
#include "record.h"

/* What is compared of a record, in the order of the report. */
enum entry_part {
	STATUS,
	REASON,
	TYPE,
	KEYS,
	THUMBPRINTS,
	CAPABILITIES,
	MANAGED,
	SCOPE,
	PARENTS,
	TAGS,
	DESIRED,
	REPORTED,
	RECORD_PARTS,
	SCHEMA = RECORD_PARTS, /* from here on, of a configuration */
	LABELS,
	DEVICE_CONTENT,
	MODULE_CONTENT,
	MODULES_CONTENT,
	CONDITION,
	PRIORITY,
	METRICS,
	PARTS,
};

/* Where it stands: "/tags", "/Content/deviceContent". */
const char *entry_part_pointer(enum entry_part part);

/* One record, understood.  Starts zeroed, may be used again and again, ends
 * with entry_free(). */
struct entry {
	struct record rec;
	bool configuration; /* rec has its id and json, nothing else */
	struct span part[PARTS];
	struct buf parents[2]; /* ids, which two of the parts point to */
};

/* As record_read(); -1 also when a part is there twice. */
int entry_read(struct span line, struct entry *e, struct err *why);
/* The same of a line of the service's configurations.txt (CONTRACT 16.3). */
int entry_read_configuration(
    struct span line, struct entry *e, struct err *why);
void entry_free(struct entry *e);

typedef void entry_differs(void *ctx, enum entry_part part, const char *pointer,
    struct span a, struct span b);

/* Calls for each difference.  The spans may be keys: see part. */
void entry_diff(const struct entry *a, const struct entry *b,
    entry_differs *differs, void *ctx);

/* Does it hold what a hub would not make by itself?  The system modules of an
 * Edge device come with the device, and only their twins can be written. */
bool entry_counts(const struct entry *e);

#endif
