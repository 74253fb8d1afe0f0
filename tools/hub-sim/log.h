/*
 * log.h: --log FILE: one JSON line for each request, written before its reply
 * is sent.  No header, no body, and of the query no signature: any of them may
 * hold a key.
 */
#ifndef LOG_H
#define LOG_H

#include <stdio.h>

#include "sim.h"

struct log_line {
	const struct sim_request *q; /* NULL: nobody could tell what it asks */
	int status;                  /* 0: there was no answer */
	const char *id;              /* x-ms-request-id; NULL: none was sent */
	uint64_t in, out;            /* bytes of HTTP */
	double ms;                   /* first byte of it until it is answered */
	const char *fault;           /* NULL: none met it */
};

/* -1: the line could not be written. */
int log_request(FILE *log, struct sim *s, const struct log_line *l);

#endif
