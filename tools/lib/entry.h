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
	ENTRY_LOCKED, /* enabled, with keys that nobody knows and a
		       * statusReason that says so, so that modules can be
		       * made: CONTRACT 12.4 */
};

/*
 * What a bulk call leaves out of a record: its importMode and eTags, scopes,
 * what the service itself adds to a section of the twin.  Each piece goes with
 * the comma beside it, so that the line without them is a record still.  A
 * piece is from..to, bytes from the begin of the line, in their order; one
 * that ends at 0 is none, nor are those after it.
 */
enum { ENTRY_CUTS = 6 };
struct entry_cuts {
	struct {
		uint16_t from, to;
	} piece[ENTRY_CUTS];
	bool kept;   /* else nothing is known of the record */
	bool status; /* it has one that is not null */
};

/* How a device stands that shall be ENTRY_LOCKED. */
enum entry_lock {
	ENTRY_OPEN,  /* enabled, by others: modules can be made as it is */
	ENTRY_OURS,  /* enabled, by us: locked in this run or one that died */
	ENTRY_SHUT,  /* disabled already: to be opened if a module is missing */
	ENTRY_OTHER, /* must be written: it is an Edge device, or none */
};

/* Value of a top-level member; .at NULL when absent, null or there twice. */
struct span entry_member(const struct json *j, const char *name);

/* The same at a path of names. */
struct span entry_path(struct span text, const char *a, const char *b);

/* A desired or reported section, validated, without $metadata and $version. */
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

/* Ids of the Edge devices above it, with a blank between them, malloc'd; NULL
 * if none.  The first is the parent; more come only in parentScopes with
 * several entries.  Works on a record and on an identity that the hub gave. */
char *entry_parents(const struct json *j);

/* The cuts for that mode, of a record JSON_LEVELS of which are listed.  Not
 * kept where there are more than fit, or beyond 64 KB of the line. */
void entry_cut(struct span line, const struct record *rec,
    enum record_mode mode, struct entry_cuts *cuts);
/*
 * The element of a bulk call, with that importMode.  line: the record's, which
 * has been read before.  cuts: the same that entry_cut() has given for the line
 * and the mode, which spare another look at it; NULL or not kept: they are
 * found anew.  scope: the parents' scopes on this hub with blanks between them,
 * or NULL.
 */
void entry_bulk(struct span line, const struct entry_cuts *cuts,
    enum record_mode mode, enum entry_form form, const char *scope,
    struct buf *into);

/* The body of PUT /devices/{id}[/modules/{m}].  there: the identity as the hub
 * has it, or NULL. */
void entry_identity(const struct record *rec, enum entry_form form,
    const char *scope, const struct json *there, struct buf *into);
/* The body of PUT /twins/...: what the record does not have stays as there. */
void entry_twin(
    const struct record *rec, const struct json *there, struct buf *into);

/* Not for ENTRY_LOCKED, of which entry_lock() tells. */
bool entry_same_identity(const struct record *rec, enum entry_form form,
    const char *scope, const struct json *there);
/* Does the hub keep fewer parents than scope names?  Only the first counts as
 * a difference, since a hub may take no more (CONTRACT 12.3). */
bool entry_lacks_parents(const char *scope, const struct json *there);
enum entry_lock entry_lock(const struct record *rec, const struct json *there);
/* there NULL: a twin that is empty. */
bool entry_same_twin(const struct record *rec, const struct json *there);
/* Has it tags, desired or reported properties that are not empty?  Of the
 * record JSON_LEVELS are listed. */
bool entry_has_twin(const struct record *rec, bool *reported);
/* Has it reported properties that the hub has not? */
bool entry_reported_differs(const struct record *rec, const struct json *there);

#endif
