/*
 * entry.h: what one record means for the service: the member names of an
 * identity and of a bulk entry, what may be sent at which moment, and whether
 * what the hub has is what the record wants (CONTRACT 12, 13, 16.3).
 */
#ifndef ENTRY_H
#define ENTRY_H

#include <stdbool.h>

#include "json.h"
#include "record.h"

/* How much of a record is made true. */
enum entry_form {
	ENTRY_FULL,   /* all of it */
	ENTRY_ROOT,   /* an Edge device, its parent left as it is */
	ENTRY_LOCKED, /* enabled, with keys that nobody knows, so that modules
			 can be made: CONTRACT 12.4 */
};

/* Value of a top-level member; .at NULL when absent, null or there twice. */
struct span entry_member(const struct json *j, const char *name);

/* The same at a path of names. */
struct span entry_path(struct span text, const char *a, const char *b);

/* A desired or reported section without $metadata and $version. */
void entry_plain(struct span section, struct buf *into);

/*
 * May this record be applied?  -1 with *e, code set to our word for it, for
 * one whose mode needs what it lacks, or that could make the service generate
 * keys (unless generate).
 */
int entry_check(
    const struct record *rec, bool generate, const char **code, struct err *e);

/* Is it written to the identity, or (update of a twin) not? */
bool entry_has_identity(const struct record *rec);

/* Id of the Edge device above it, malloc'd; NULL if none.  Works on a record
 * and on an identity that the hub gave. */
char *entry_parent(const struct json *j);

/*
 * The element of a bulk call, with that importMode.  scope: the parent's
 * scope on this hub, or NULL.
 */
void entry_bulk(const struct record *rec, enum record_mode mode,
    enum entry_form form, const char *scope, struct buf *into);

/* The body of PUT /devices/{id}[/modules/{m}].  there: the identity as the hub
 * has it, or NULL. */
void entry_identity(const struct record *rec, enum entry_form form,
    const char *scope, const struct json *there, struct buf *into);
/* The body of PUT /twins/...: what the record does not have stays as there. */
void entry_twin(
    const struct record *rec, const struct json *there, struct buf *into);

bool entry_same_identity(const struct record *rec, enum entry_form form,
    const char *scope, const struct json *there);
/* there NULL: a twin that is empty. */
bool entry_same_twin(const struct record *rec, const struct json *there);
/* Has it reported properties that the hub has not? */
bool entry_reported_differs(const struct record *rec, const struct json *there);

#endif
