/*
 * record.h: whole exchanges, keys and all, for the tests that hold them
 * against the published descriptions: one JSON line each, in a file of mode
 * 0600 of its own in the folder that HUB_SIM_RECORD names.
 */
#ifndef RECORD_H
#define RECORD_H

#include <stdio.h>

#include "sim.h"

/* NULL: HUB_SIM_RECORD is not set.  Ends the program where it is set and
 * no file can be made there. */
FILE *record_open(void);
/* A body of more than a mebibyte is left out, and a streamed one.  heads: the
 * request's own header lines that matter are taken from q. */
/* fault: what went wrong on purpose (--fault), or NULL. */
void record_exchange(FILE *record, const struct sim_request *q,
    const struct sim_reply *r, const char *fault);

#endif
