/*
 * record.h: one registry entry a line, in the service's import/export format
 * (CONTRACT 16.3), and the outcome of trying to apply one (DESIGN 2).
 */
#ifndef RECORD_H
#define RECORD_H

#include <stdbool.h>

#include "json.h"
#include "lines.h"
#include "out.h"

enum record_mode {
	RECORD_CREATE_OR_UPDATE = 0, /* the number is the service's own */
	RECORD_CREATE,
	RECORD_UPDATE,
	RECORD_UPDATE_IF_MATCH,
	RECORD_CREATE_OR_UPDATE_IF_MATCH,
	RECORD_DELETE,
	RECORD_DELETE_IF_MATCH,
	RECORD_UPDATE_TWIN,
	RECORD_UPDATE_TWIN_IF_MATCH,
};

/* "createOrUpdate", without case, or its number as text; -1 if none. */
int record_mode_of(const char *text);
const char *record_mode_name(enum record_mode m);

/* The members that tools act on, in the order of a dump. */
enum record_member {
	RECORD_ID,
	RECORD_MODULE,
	RECORD_ETAG,
	RECORD_MODE,
	RECORD_STATUS,
	RECORD_REASON,
	RECORD_AUTHENTICATION,
	RECORD_TWIN_ETAG,
	RECORD_TAGS,
	RECORD_PROPERTIES,
	RECORD_CAPABILITIES,
	RECORD_SCOPE,
	RECORD_PARENTS,
	RECORD_MANAGED,
	RECORD_OTHER
};

struct record {
	struct json json; /* the top level; spans point into the line */
	const struct json_member *known[RECORD_OTHER]; /* NULL: not there */
	char *id, *module; /* malloc'd; module NULL for a device */
	enum record_mode mode;
	bool edge;          /* capabilities.iotEdge is true */
	bool disabled;      /* status is "disabled" */
	bool system_module; /* module begins with '$' */
};

/*
 * Reads one line.  -1 with *e (BAD_DATA) for what is no record: no JSON, no
 * object, no id, id no string or too long or with characters the service has
 * not (CONTRACT 1), a member we act on there twice, an unknown importMode.
 * rec starts zeroed, is reused from line to line, ends with record_free().
 */
int record_read(struct span line, struct record *rec, struct err *e);
void record_free(struct record *rec);

/* The service's own warning, in plain words, at the top of an export without
 * keys (CONTRACT 16.3)?  Ask for the first line only: other lines that are no
 * JSON are rejects. */
bool record_is_comment(struct span line);

/* One line of outcomes: never any part of the record but its ids. */
struct outcome {
	long line;
	const char *id, *module; /* NULL: unknown, none */
	const char *tried;       /* "create", "updateTwin", ... */
	const char *code;        /* "applied", the service's or our own word */
	const char *text;        /* may be NULL */
	bool retry;              /* trying again can help */
};
void outcome_text(const struct outcome *what, struct buf *into);
void outcome_write(struct out *o, const struct outcome *what);

#endif
