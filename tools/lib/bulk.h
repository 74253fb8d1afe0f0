/*
 * bulk.h: what the answer to POST /devices says of each entry (CONTRACT 12.5).
 */
#ifndef BULK_H
#define BULK_H

#include "json.h"

enum {
	BULK_ENTRIES = 100,      /* the service takes no more in one call */
	BULK_BYTES = 256 * 1024, /* ours, so that memory stays small */
};

enum bulk_says {
	BULK_EXISTS,  /* the identity is there already */
	BULK_MISSING, /* it, or its device, is not there */
	BULK_LOOK,    /* not told apart from what a second try cures */
	BULK_REFUSED,
};

struct bulk_error {
	char *id, *module; /* module NULL: the device */
	char code[64];     /* as the service spells it, name or number */
	char *text;        /* may be NULL; nothing of the entry is in it */
	enum bulk_says says;
};

struct bulk_answer {
	bool successful;
	struct bulk_error *error; /* warnings too: they are BULK_LOOK */
	size_t count;
};

/* -1: the body is no such answer.  Frees what into held before. */
int bulk_read(struct span body, struct bulk_answer *into);
void bulk_free(struct bulk_answer *a);

#endif
