/*
 * fault.h: what goes wrong on purpose (--fault SPEC).
 *
 * SPEC is key=value, separated by commas: which requests (method=, host= and
 * path= as patterns), which of those (skip=, count=, prob=), and do= what.
 * The same --seed and the same order of requests give the same faults.
 */
#ifndef FAULT_H
#define FAULT_H

#include "sim.h"

enum fault_kind {
	FAULT_STATUS,  /* an error reply */
	FAULT_DELAY,   /* the reply comes late */
	FAULT_CUT,     /* closed, nothing applied, nothing sent */
	FAULT_LOSE,    /* applied, closed without a reply */
	FAULT_HALF,    /* applied, half of the body comes */
	FAULT_EMPTY,   /* 200 without a body, nothing applied */
	FAULT_GARBAGE, /* no HTTP at all, nothing applied */
	FAULT_BADJSON, /* applied, the body ends too early, correctly framed */
	FAULT_HANG,    /* never a reply, nothing applied */
};

struct fault {
	enum fault_kind kind;
	char text[128]; /* the SPEC, for the log */
	char method[16], host[128], path[256];
	long skip, count; /* count 0: for ever */
	double prob;
	long status, delay_ms, retry_after; /* retry_after -1: no header */
	char code[64];
	bool applied; /* the request is carried out all the same */
	long seen, done;
	uint64_t random;
};

struct faults {
	size_t count;
	struct fault *fault;
};

int fault_add(
    struct faults *f, const struct sim *s, const char *spec, struct err *e);
/* The first that is due for this request, or NULL; counts it. */
const struct fault *fault_pick(struct faults *f, const struct sim_request *q);
/* The reply that FAULT_STATUS, FAULT_EMPTY and FAULT_GARBAGE replace it by. */
void fault_reply(struct sim *s, const struct fault *f,
    const struct sim_request *q, struct sim_reply *r);

#endif
