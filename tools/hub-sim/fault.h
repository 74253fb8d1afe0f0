/*
 * fault.h: what goes wrong on purpose (--fault SPEC, and the control room).
 *
 * SPEC is key=value, separated by commas: which requests (method=, host= and
 * path= as patterns), when (after=, for=), which of those (skip=, every=,
 * count=, prob=), and do= what.  The same --seed and the same order of
 * requests give the same faults.  fault.c has the rules, faultreply.c the
 * words of the room that was asked.
 */
#ifndef FAULT_H
#define FAULT_H

#include "sim.h"

enum fault_kind {
	FAULT_STATUS,   /* an error reply */
	FAULT_DELAY,    /* the reply comes late */
	FAULT_CUT,      /* closed, nothing applied, nothing sent */
	FAULT_LOSE,     /* applied, closed without a reply */
	FAULT_HALF,     /* applied, half of the body comes */
	FAULT_EMPTY,    /* 200 without a body, nothing applied */
	FAULT_GARBAGE,  /* no HTTP at all, nothing applied */
	FAULT_BADJSON,  /* applied, the body ends too early, correctly framed */
	FAULT_HANG,     /* never a reply, nothing applied */
	FAULT_THROTTLE, /* from a trigger on, all that match are throttled */
	FAULT_EXPIRED,  /* refused as if its token had expired */
};

struct fault {
	enum fault_kind kind;
	long number; /* its name in the control room */
	char *text;  /* the SPEC, for the log */
	char method[16], host[128], path[256];
	long skip, every, count; /* count 0: for ever */
	int64_t from, until;     /* simulated time; until 0: for ever */
	double prob;
	long status, delay_ms, retry_after; /* retry_after -1: none said */
	char code[64];
	bool applied;  /* the request is carried out all the same */
	bool once;     /* ... and no request is met twice */
	uint64_t *met; /* hashes of those, in a table with holes */
	size_t met_count, met_size; /* a power of two */
	long burst, burst_ms;       /* FAULT_THROTTLE: one of them, or ... */
	long burst_left;            /* requests, of the burst that goes on */
	int64_t burst_until;        /* simulated time, of the same */
	long seen, done;            /* requests that match; that were met */
	uint64_t random;
};

struct faults {
	size_t count;
	struct fault **fault;
	long last; /* number given to one */
};

/* The new one's number, or -1 with *e. */
long fault_add(
    struct faults *f, const struct sim *s, const char *spec, struct err *e);
/* false: there is none of that number.  0: all of them. */
bool fault_remove(struct faults *f, long number);
/* May it still meet a request? */
bool fault_alive(const struct fault *f, int64_t now);
/* The first that is due for this request, or NULL; counts it. */
const struct fault *fault_pick(
    struct faults *f, const struct sim *s, const struct sim_request *q);

/* The room that is asked: the emulator's account (CONTRACT 17.5) is one of
 * blobs under our own name.  Faults never meet ROOM_CONTROL. */
enum sim_room fault_room(const struct sim_request *q);

/* Does a reply of the fault's own replace that of the room? */
bool fault_replies(const struct fault *f);
void fault_reply(struct sim *s, const struct fault *f,
    const struct sim_request *q, struct sim_reply *r);

#endif
