/*
 * fleet.h: all devices and modules of a hub, read by single calls, as lines in
 * the service's import/export format (CONTRACT 16.3), in the service's order.
 *
 * One call lists up to 1,000 identities with keys; a larger hub gives its ids
 * by query, page by page, and each identity by a call of its own.  Twins and
 * modules always come one by one: what a query says of them is late
 * (CONTRACT 12.6, 14).  Devices are read side by side and handed over in order
 * from a ring of places, so memory does not grow.
 */
#ifndef FLEET_H
#define FLEET_H

#include "hub.h"
#include "quota.h"

struct fleet_got;

struct fleet_want {
	bool metadata;     /* keep $metadata and $version of the twins */
	bool exclude_keys; /* authentication is null everywhere */
	/* Only the devices listed in this file; of this condition of the
	 * query language, which may be late (CONTRACT 14); or that next()
	 * names one by one, malloc'd, NULL at the end.  NULL: all. */
	const char *ids, *where;
	char *(*next)(void *ctx);
	long limit; /* so many devices, the first; 0: all */
	void (*line)(struct span line, void *ctx); /* with its \n */
	void *ctx;
	/*
	 * For one that goes on; all may be NULL.  What need not be read
	 * (module NULL: a device, and by calls its modules too); after each
	 * device, with its lines; that a job is read, before its first line;
	 * that all of it was, before it is removed.
	 */
	bool (*skip)(const char *id, const char *module, void *ctx);
	void (*device)(const struct fleet_got *got, void *ctx);
	void (*by_job)(void *ctx);
	void (*end)(const struct fleet_got *got, void *ctx);
	bool job;     /* --via=auto: by a job, as it was begun */
	bool is_read; /* the job was read: what is left of it is removed */
	struct quota *quota; /* tells what it will cost; may be NULL */
};

struct fleet_got {
	long lines, devices;
	long gone;   /* deleted while we looked, or listed and not there */
	long hidden; /* disabled devices whose modules the hub does not show */
	long unlisted; /* those of which we only believe that they have none */
	bool doubtful; /* the hub counts more devices than it showed */
	long counted;  /* so many, where doubtful */
};

/* Says what it will cost, reads all, dies where it cannot go on.  Shows
 * progress.  *got: what earlier runs got, at first zeros; this adds to it.
 * got->hidden > 0: the lines are not the whole fleet. */
void fleet_read(struct hub *hub, struct http *http,
    const struct fleet_want *want, struct fleet_got *got);

#endif
