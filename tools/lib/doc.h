/*
 * doc.h: one JSON document, such as a template, as a jv (libjq).
 *
 * Ownership is libjq's everywhere in hubpipe: a function consumes its jv
 * arguments and its jv result is the caller's; what only looks is named
 * *_peek.  Failure is an invalid jv that carries status, subject and text.
 *
 * libjq 1.6 alters 1.0, 1e2 and large integers.  doc_read() carries such a
 * number as a string that begins with DOC_NUMBER and doc_write() puts the
 * number back, so documents keep their numbers byte for byte; jq programs see
 * an opaque string.  A member that is there twice is refused with its place,
 * since libjq would drop one in silence.
 */
#ifndef DOC_H
#define DOC_H

#include <jv.h>
#include <stdio.h>

#include "buf.h"
#include "msg.h"

#define DOC_NUMBER "\xee\x80\x80number:" /* U+E000, of the private use area */

/* path NULL or "-": stdin.  Empty input, no JSON, more than one document:
 * invalid, BAD_DATA, with line and column.  On a terminal with nothing piped
 * it says how to use the tool instead of waiting. */
jv doc_read(const char *path);
/* Appends the whole of a file, "-": stdin; -1 with *e (LOCAL_FAILURE). */
int doc_read_text(const char *path, struct buf *into, struct err *e);
jv doc_parse(struct span text, const char *name);

/* Pretty-printed, two blanks, final newline; compact with one line. */
void doc_text(jv doc, struct buf *into);
void doc_compact(jv doc, struct buf *into);
/* Writes to path (NULL: stdout) by out.h and returns DONE; dies otherwise. */
enum status doc_write(jv doc, const char *path, bool secret);

/* Failure as a jv. */
jv jv_fail(enum status s, const char *subject, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
jv jv_from_err(const struct err *e);
/* Fills *e and returns -1; an invalid jv without our members (libjq's own, a
 * plugin's) is BAD_DATA with its text.  Consumes. */
int err_from_jv(struct err *e, jv invalid);
/* Dies with what an invalid jv says; gives a valid one back. */
jv jv_or_die(jv value);

/* Small readers.  All consume; absent or of another kind gives the default. */
jv jv_at(jv object, const char *name); /* jv_null() when absent */
/* As Resource Manager reads names: without case; invalid when absent. */
jv jv_at_nocase(jv object, const char *name);
jv jv_path(jv value, const char *path); /* "properties.routing.endpoints" */
char *jv_dup_string(jv value); /* malloc'd; NULL unless it is a string */
bool jv_string_is(jv value, const char *text);
bool jv_string_is_nocase(jv value, const char *text);
/* Borrows value; the text lives as long as value does. NULL if no string. */
const char *jv_string_peek(jv value);
jv jv_put(jv object, const char *name, jv value);
jv jv_without(jv object, const char *name);
jv jv_text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
