/*
 * jsondiff.h: where two JSON values differ, as JSON pointers (RFC 6901) down
 * to the deepest place.  Members may stand in any order.  Scalars are the same
 * when they are spelt the same (1.0 is not 1), strings when they read the same.
 */
#ifndef JSONDIFF_H
#define JSONDIFF_H

#include "json.h"

enum json_diff_rule {
	JSON_DIFF_ALL,     /* everything counts */
	JSON_DIFF_SECTION, /* of a twin: but $metadata and $version at its top;
			    * absent and null are {} */
	JSON_DIFF_SPARSE,  /* absent is null, "", false, [], {} or an object of
			    * such, as the services spell an identity */
};

/* a or b with .at NULL: not there on that side. */
typedef void json_differs(
    void *ctx, const char *pointer, struct span a, struct span b);

/* Both have been validated; at is the pointer to them, "" for the whole. */
void json_diff(struct span a, struct span b, enum json_diff_rule rule,
    const char *at, json_differs *differs, void *ctx);

#endif
