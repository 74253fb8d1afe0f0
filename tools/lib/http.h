/*
 * http.h: many requests at once over kept connections: one thread, one
 * libcurl multi handle, HTTP/1.1 (PERFORMANCE 2.3), TLS always verified.
 *
 * Retry: a request that was refused before it could act (connect failed, 429,
 * 409 of a hub in transition where the caller says so) is repeated.  One that
 * may have acted (no answer, half an answer, 500, 502, 503, 504) is repeated
 * only if HTTP_REPEAT says that doing it twice is the same as once; otherwise
 * the caller gets it marked ambiguous and has to look.  Waits: Retry-After or
 * x-ms-retry-after-ms where given; else full jitter of 0.5 s doubled each time
 * up to 30 s, and for 429 half to all of 10 s doubled up to 60 s (CONTRACT
 * 11.4); --retry-delay replaces both first steps.  No repeat begins later than
 * --retry-max-time after the first try.
 *
 * HUBPIPE_CONNECT_TO=ADDR:PORT leads every host there (hub-sim); one line on
 * stderr says so.  SSL_CERT_FILE names the CA bundle.  HTTPS_PROXY and
 * NO_PROXY are libcurl's, but not with HUBPIPE_CONNECT_TO.
 */
#ifndef HTTP_H
#define HTTP_H

#include <stdbool.h>

#include "buf.h"
#include "msg.h"
#include "opt.h"
#include "pace.h"

/* -j JOBS, --timeout, --retry-delay, --retry-max-time, --audit. */
extern const struct opt http_opts[];
/* The value of -j: how many are in flight at most (default 8). */
long http_jobs(void);

struct http;
struct http_request;

enum http_repeat {
	HTTP_REPEAT, /* doing it twice is the same as once: GET, PUT whole */
	HTTP_ONCE,   /* look first: POST that creates, failover */
};

struct http_reply {
	int status;      /* HTTP status; 0: no answer worth the name */
	struct buf body; /* may be taken by the callee: set .at = NULL */
	struct buf head; /* header lines, each ended by a zero byte */
	bool ambiguous;  /* no 2xx came, and it may have been applied; the
			  * doubt of an earlier attempt stays */
	int attempts;    /* how many times it was sent */
	struct err err;  /* filled when status is 0, or auth failed */
};

/* A header's value, first one, name without case; NULL when absent.  Borrowed
 * until the reply goes. */
const char *http_header(const struct http_reply *r, const char *name);

/*
 * Adds "Authorization: ..." for one attempt.  refused is true when the last
 * attempt got 401 with a token that may have expired: get a new one.
 * 0, or -1 with *e filled.
 */
typedef int http_authorize(
    void *auth, bool refused, struct buf *value, struct err *e);

/* Called once per request, from http_send, http_wait or http_drain.  The
 * reply and all it holds go when it returns.  It may send new requests: these
 * are queued, not waited for, when all slots are taken. */
typedef void http_done(struct http_reply *reply, void *ctx);

struct http_request {
	const char *method;       /* static text */
	char *url;                /* malloc'd, consumed */
	struct buf body;          /* consumed */
	const char *content_type; /* static; NULL: application/json */
	char *headers[6]; /* malloc'd "Name: value", consumed; NULL ends */
	enum http_repeat repeat;
	bool retry_conflict; /* 409 of a hub in transition (409002): repeat */
	bool expect_json;    /* a 2xx without a body is half an answer */
	bool no_retry;       /* the first answer, or none, is the last; but a
			      * token that is refused is renewed once */
	double timeout;      /* seconds for one attempt; 0: --timeout */
	double delay;        /* seconds before it is sent first */
	bool odd_401; /* a 401 where others get in is not believed at once */
	http_authorize *authorize; /* NULL: none */
	void *auth;
	struct pace *pace; /* borrowed; NULL: none */
	double cost;       /* taken from pace before it is sent */
	const char *audit; /* static name of the operation if it writes */
	char *audit_id;    /* malloc'd, what it writes to; consumed */
	const char *principal, *target; /* borrowed, for the audit line */
	http_done *done;
	void *ctx;
};

/* Reads the option values and the environment.  Dies if that fails. */
struct http *http_open(void);
/* Sends, or waits until one of -j slots is free; callbacks may run. */
void http_send(struct http *h, struct http_request *r);
/* Runs callbacks until fewer than n requests are unanswered. */
void http_wait(struct http *h, long n);
/* Runs callbacks until all are answered. */
void http_drain(struct http *h);
/* One request, its answer; other requests go on meanwhile.  Free the reply
 * with http_reply_free(). */
void http_one(struct http *h, struct http_request *r, struct http_reply *into);
void http_reply_free(struct http_reply *r);
void http_close(struct http *h);

/* Seconds that the answer asks us to wait (x-ms-retry-after-ms, Retry-After
 * in seconds or as a date); -1 when it does not. */
double http_retry_after(const struct http_reply *r);

/*
 * What is asked from now on ends within so many seconds, with its login and
 * its repetitions; 0: no such end.  How much of it is left; infinite without.
 */
void http_until(struct http *h, double seconds);
double http_left(const struct http *h);

/* Sleeps, but callbacks of requests in flight go on. */
void http_sleep(struct http *h, double seconds);

/* Seconds by which the server's Date header is ahead of our clock (negative:
 * behind); 0 when there is none.  Answers of 401 say so when it is > 300. */
double http_clock_skew(const struct http_reply *r);
/* Appends what to do about a clock so far off that of `where` that no
 * signature counts; false: that is not it. */
bool http_clock_remedy(
    const struct http_reply *r, const char *where, struct buf *text);

#endif
