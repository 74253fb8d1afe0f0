/*
 * since.h: did somebody else use a device since a moment?  As far as its
 * identity or twin tells (CONTRACT 12.2, 13.1): when it connected, was last
 * active, had its status set, and when its desired and reported properties
 * were last written.  Of a key or tag that was changed no time is kept.
 */
#ifndef SINCE_H
#define SINCE_H

#include <stdbool.h>

#include "json.h"

enum { SINCE_TEXT = 20 }; /* "2026-11-21T15:04:05" and its zero */

/* Of this machine's clock, plus so many seconds. */
void since_now(double ahead, char text[SINCE_TEXT]);
/*
 * there: an identity or a twin.  own: we may have written it ourselves in the
 * meantime, so only what the device itself did counts.  The answer is what
 * happened, static text, or NULL.
 */
const char *since_changed(
    const struct json *there, const char *since, bool own);

#endif
