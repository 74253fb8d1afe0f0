/*
 * converge.h: one record made true on a hub, whatever is there: read, compare,
 * write what differs, and look again where an answer leaves doubt.  Equal
 * counts as done, so that it can be repeated at will (CONTRACT 12.2, 13).
 */
#ifndef CONVERGE_H
#define CONVERGE_H

#include "entry.h"
#include "hub.h"

enum converge_end {
	CONVERGE_WROTE,
	CONVERGE_EQUAL,   /* nothing had to be written */
	CONVERGE_FAILED,  /* this record; others may do better */
	CONVERGE_REFUSED, /* the hub does not let us in: no record will do */
	CONVERGE_ABSENT,  /* (peek) it has to be written, which cannot be now */
};

struct converge_result {
	enum converge_end end;
	const char *tried; /* "update", "delete", ...: static */
	char code[64];
	struct err err;
	bool reported; /* reported properties differ; nobody can write them */
	bool parents;  /* the hub keeps fewer parents than the record has */
	bool shut;     /* to be locked, and is disabled already: not written */
	bool blind;    /* (peek) the hub does not show its keys */
};

typedef void converge_done(const struct converge_result *result, void *ctx);

struct converge_job {
	struct hub *hub;
	struct http *http;
	struct pace *pace; /* of identity operations; may be NULL */
	struct buf line;   /* the record's text; consumed */
	enum entry_form form;
	const char *scope;  /* of its parent on this hub, or NULL; borrowed */
	bool identity_only; /* leave the twin for another time */
	bool twin_only;     /* the identity is as it shall be */
	bool ambiguous;     /* a try before this one may have been applied */
	bool ours; /* written before by the same run: the mode was obeyed then
		    */
	bool open; /* ENTRY_LOCKED: also if it is disabled already */
	/* A module of a disabled device, which a key does not show (CONTRACT
	 * 12.4): its twin tells that it is there. */
	bool peek;
	struct hub *login; /* the hub as somebody who may see it, or NULL */
	/* What exists is overwritten or deleted only if nobody else used it
	 * since that moment, as far as that can be told: since.h.  NULL:
	 * always. */
	const char *since;
	converge_done *done;
	void *ctx;
};

/* Sends the first request; done is called from http_wait() or the like.  One
 * request at a time is under way for each job. */
void converge_start(struct converge_job *job);

#endif
