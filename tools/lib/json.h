/*
 * json.h: JSON text as it stands.  A validating scanner (RFC 8259, UTF-8,
 * depth JSON_DEPTH, no recursion) that lists the members of an object and
 * splices them without touching any other byte.  It builds no tree: records,
 * twins and bulk answers go through here, so numbers, order and spelling come
 * out as they went in (PERFORMANCE 1).  Documents that a jq program rewrites
 * go through doc.h instead.
 *
 * Everything here borrows: spans point into the text that was scanned.
 */
#ifndef JSON_H
#define JSON_H

#include <jv.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"

enum {
	JSON_DEPTH = 128, /* deeper text is refused, at any level */
	JSON_LEVELS = 3,  /* are listed at most */
};

enum json_kind {
	JSON_OBJECT = '{',
	JSON_ARRAY = '[',
	JSON_STRING = '"',
	JSON_NUMBER = '0',
	JSON_TRUE = 't',
	JSON_FALSE = 'f',
	JSON_NULL = 'n',
};

struct json_member {
	struct span name;  /* with its quotes, as spelt; empty in an array */
	struct span value; /* without white space around it */
	enum json_kind kind;
	bool escaped;  /* the name is spelt with escapes */
	bool altered;  /* may hold a number that libjq 1.6 would alter: a quick
			* look; json_numbers_altered() is exact */
	unsigned next; /* which one comes behind it and all that is in it */
};

/* The members of one object, or the elements of one array.  Starts zeroed,
 * may be used again and again, ends with json_free(). */
struct json {
	/* With 2 to JSON_LEVELS those of its members follow each member, as
	 * deep: who wants the top level alone then goes from next to next. */
	unsigned levels;
	enum json_kind kind;
	struct span text; /* the value itself, without white space around */
	struct json_member *member;
	size_t count, cap;
	bool altered; /* the same, of all of it */
};

struct json_fault {
	size_t offset;      /* byte in the text, from 0 */
	const char *reason; /* static: "control byte in string" */
};

/*
 * Checks that text is exactly one JSON value with white space around it, and
 * lists its top level.  Returns 0, or -1 with *fault filled.
 */
int json_scan(struct span text, struct json *into, struct json_fault *fault);
void json_free(struct json *j);

/*
 * One member after the other of an object or array that has been validated,
 * without a list in memory: a good deal quicker than a scan.  False when value
 * is neither, or has no more.
 */
struct json_walk {
	const char *p, *end;
	bool object;
};
bool json_walk(struct json_walk *w, struct span value);
/* name with its quotes, as spelt; empty in an array. */
bool json_next(struct json_walk *w, struct span *name, struct span *value);
/* Puts w->p, where a value begins, behind it. */
void json_skip(struct json_walk *w);

/*
 * The member of that name (given as UTF-8; escapes in the text are decoded
 * before comparing).  1: found, *m set; 0: absent; -1: there twice or more,
 * which no caller that acts on a member may accept.
 */
int json_find(
    const struct json *j, const char *name, const struct json_member **m);
/* The same among what is listed of a member. */
int json_find_in(const struct json *j, const struct json_member *within,
    const char *name, const struct json_member **m);

/* Is that the name of a member, however it is spelt? */
bool json_name_is(const struct json_member *m, const char *name);

/*
 * Follows a path of names, NULL at its end, from text through objects.
 * 1: found; 0: absent or something on the way is no object; -1: twice.
 * Text must have been validated before.  *kind may be NULL.
 */
int json_get(struct span text, const char *const path[], struct span *value,
    enum json_kind *kind);

/* Kind of a value by its first byte. */
enum json_kind json_kind_of(struct span value);

/* Decodes a JSON string (quotes included in the span) to UTF-8.  -1 for a
 * lone surrogate or \u0000, which C text cannot carry; nothing is added. */
int json_decode(struct span string, struct buf *into);
/* The same, malloc'd; NULL where json_decode() fails or it is no string. */
char *json_string(struct span value);
/* A string value equal to that text?  No allocation. */
bool json_string_is(struct span value, const char *text);

/* Would libjq print this number otherwise? (1.0, 1e2, 2^53+1, ...)  Exact. */
bool json_number_altered(struct span number);
/* Would it any number in a value that has been validated? */
bool json_numbers_altered(struct span value);

/* Same JSON value, whatever its spelling: strings decoded, members in any
 * order, numbers equal as numbers of any length (1.0 = 1, 1e2 = 100). */
bool json_same(struct span a, struct span b);

/* One change to the top level of an object. */
struct json_edit {
	const char *name;  /* UTF-8 */
	struct span value; /* valid JSON; .at == NULL: drop the member */
};

/*
 * Appends the object to out with the changes made.  A member that is there
 * keeps its place; a new one is added at the end, in the order of the edits.
 * All other bytes stay.  With no change needed the bytes are the same.
 */
void json_splice(const struct json *object, const struct json_edit *edits,
    size_t count, struct buf *out);

/* Sets (or with value.at == NULL drops) what a path of names leads to,
 * making objects on the way as needed; null on the way counts as absent.
 * Object must have been validated.  Dropping what is not there changes
 * nothing.  -1, and nothing is added: the path is empty, something on the way
 * is neither object nor null, or a name is there twice. */
int json_set_path(struct span object, const char *const path[],
    struct span value, struct buf *out);

/* Into and out of libjq.  json_jv gives an invalid jv with a message for what
 * libjq would lose in silence (half a surrogate pair, a member that is there
 * twice); it does not check json_numbers_altered(). */
jv json_jv(struct span value);
/* For a program that only looks: libjq takes the last of two members and
 * U+FFFD for half a pair. */
jv json_jv_loose(struct span value);
void json_add_jv(struct buf *out, jv value); /* compact */

/* Lower-case hex SHA-256 of some bytes, for showing and comparing keys. */
void json_sha256(struct span bytes, char hex[65]);

#endif
