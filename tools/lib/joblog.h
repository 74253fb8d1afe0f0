/*
 * joblog.h: the log that an import job writes beside its input, one line for
 * each line that it did not apply (CONTRACT 16.4).  A job is completed though
 * every line failed, so only this tells.
 */
#ifndef JOBLOG_H
#define JOBLOG_H

#include "blob.h"

/* The log of configurations has a fixed name, that of devices one of ours. */
#define JOBLOG_CONFIGURATIONS "importConfigErrors.log"

/* All borrowed; NULL where the line does not say. */
struct joblog_error {
	const char *id, *module, *configuration;
	long code;        /* 409001; 0: none */
	const char *name; /* "DeviceAlreadyExists", "" if unknown */
	const char *text; /* as the service says, a quoted line cut out */
	const char *line; /* the beginning of the line that it could not read,
			   * where it quotes one; it may hold keys */
};
typedef void joblog_said(void *ctx, const struct joblog_error *error);
/* Each line of a log.  The blob is the one that job_spec.output named or, where
 * a hub does not heed that, importErrors.log; no blob at all: no errors, and
 * *found is false. */
int joblog_read(struct storage *s, const char *container, const char *blob,
    joblog_said *said, void *ctx, bool *found, struct err *e);

#endif
