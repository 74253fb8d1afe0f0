/*
 * jobs.h: import and export jobs (CONTRACT 16) and scheduled jobs.
 */
#ifndef JOBS_H
#define JOBS_H

#include "arm.h"
#include "registry.h"

/* /jobs and all below it, in the data plane. */
void jobs_handle(struct visit *v);
/* The other door: POST HUB/exportDevices and importDevices, GET HUB/jobs[/ID]
 * (CONTRACT 7).  what is the word, second what follows it or NULL. */
void jobs_arm(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const struct arm_id *id, const char *what, const char *second);
/* One slice of what runs; see sim_tick(). */
int64_t jobs_tick(struct sim *s);
/* Frees what jobs_tick() has in hand. */
void jobs_close(struct sim *s);
/* All jobs of a hub that is deleted. */
void jobs_forget(struct sim *s, const char *hub);

/* POST /hub-sim/jobs/HUB, of the control room; the body says what is done to
 * the job that the hub has: "fail REASON" or "cancel"; "hold" and "lie",
 * which those to come meet as well, until "release". */
void jobs_control(struct sim *s, const struct sim_request *q,
    struct sim_reply *r, const char *hub);

#endif
