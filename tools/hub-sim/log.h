/*
 * log.h: --log FILE: one JSON line for each request.  No header, no body, and
 * of the query no signature: any of them may hold a key.
 */
#ifndef LOG_H
#define LOG_H

#include <stdio.h>

#include "fault.h"
#include "sim.h"

/* status 0: there was no answer.  -1: the line could not be written. */
int log_request(FILE *log, const struct sim *s, const struct sim_request *q,
    int status, const struct fault *f);

#endif
