/*
 * hub.h: the data plane of one IoT hub: who it is, how to talk to it, what
 * its answers mean (CONTRACT 11 to 15).
 *
 * An operand names a hub: a full ARM resource id, a hub name, a host name,
 * env:NAME or file:PATH (a connection string kept there).  A connection
 * string itself is refused: it would show in ps.
 */
#ifndef HUB_H
#define HUB_H

#include <jv.h>

#include "arm.h"
#include "http.h"
#include "json.h"

/* --auth=login|key, and arm_opts. */
extern const struct opt hub_opts[];

#define HUB_API "2021-04-12" /* CONTRACT 1 */

struct hub;

/*
 * operand NULL: the connection string in the environment variable
 * fallback_env ("IOTHUB_CONN_STRING").  A connection string signs its own
 * tokens and needs no ARM; a name or id asks ARM for the host name, and for a
 * key with --auth=key.  http is borrowed.  NULL with *e filled.
 */
struct hub *hub_open(struct http *http, const char *operand,
    const char *fallback_env, struct err *e);
/* The same hub with an Entra token, for what a key does not open (CONTRACT
 * 12.4); NULL where no credentials stand ready in the environment. */
struct hub *hub_open_login(const struct hub *same);
/* One whose host is known, and a policy with its key, or NULL for an Entra
 * token: asks nobody, whatever --auth says. */
struct hub *hub_open_at(
    struct http *http, const char *host, const char *policy, const char *key);
const char *hub_host(const struct hub *h); /* contoso.azure-devices.net */
const char *hub_name(const struct hub *h); /* contoso */
bool hub_same(const struct hub *a, const struct hub *b);
void hub_close(struct hub *h);

/*
 * A request with url, api-version, auth and audit target filled; add body,
 * done and ctx, then http_send().  The path is made by printf; ids go through
 * hub_escape() first.  query: more of the query string, or NULL.
 */
struct http_request hub_request(struct hub *h, const char *method,
    const char *query, const char *path_fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Percent-encoded device or module id, malloc'd. */
char *hub_escape(const char *id);

/*
 * What an answer means.  0 for 2xx; otherwise -1 with *e filled (status
 * ANSWER_NO for 404, REMOTE_RETRY, REMOTE_REFUSED) and code, the hub's error
 * name ("DeviceAlreadyExists") from iothub-errorcode or either body form
 * (CONTRACT 11.3), "" if none.  A 401 names the right that is missing and
 * both remedies, and says when the clock is off.
 */
int hub_check(const struct hub *h, const struct http_reply *r,
    const char *subject, char code[64], struct err *e);

/* The name of an error that came as a number (409001); "" if unknown. */
const char *hub_error_name(long number);

/* One call; the body of the answer.  -1 with *e and code (may be NULL). */
int hub_get(struct hub *h, struct buf *into, char code[64], struct err *e,
    const char *query, const char *path_fmt, ...)
    __attribute__((format(printf, 6, 7)));

/* How many devices it counts, which is late (CONTRACT 15); -1 with *e. */
long hub_devices(struct hub *h, struct err *e);

/* The lines of CONTRACT Annex A: what is counted by itself. */
enum hub_kind {
	HUB_IDENTITY, /* each device of a bulk call */
	HUB_TWIN_READ,
	HUB_TWIN_WRITE,
	HUB_QUERY, /* each page */
	HUB_CONFIGURATION,
	HUB_JOB,
	HUB_KINDS,
};
/* From now on each request takes 1 from the bucket of its kind, or its cost;
 * borrowed, may be NULL. */
void hub_pace(struct hub *h, enum hub_kind kind, struct pace *pace);
struct pace *hub_pace_of(const struct hub *h, enum hub_kind kind);
struct http *hub_http(const struct hub *h);

/* What a hub permits a minute, by SKU name and units (CONTRACT Annex A). */
struct hub_limits {
	double identity, queries;       /* a minute, whole hub */
	double twin_reads, twin_writes; /* a second, whole hub */
	double configurations, jobs;    /* a minute, whole hub */
};
struct hub_limits hub_limits(const char *sku, long units);
/* From ARM where we may ask it; false when unknown (then S1 x1 is assumed). */
bool hub_sku(struct hub *h, char sku[8], long *units);

#endif
