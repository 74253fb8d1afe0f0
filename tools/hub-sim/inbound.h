/*
 * inbound.h: one HTTP/1.1 request as its bytes come in, by http_parser.
 * Starts with inbound_begin(); inbound_clear() makes ready for the next one.
 */
#ifndef INBOUND_H
#define INBOUND_H

#include <http_parser.h>

#include "sim.h"

struct inbound {
	http_parser parser;
	bool complete; /* the request is whole */
	int refused;   /* status for one that cannot be taken; 0: fine */
	bool expects;  /* 100-continue is to be said */
	bool last;     /* the client wants no second request here */
	bool in_value;
	bool headed;     /* url and headers are whole */
	uint64_t taken;  /* bytes of this request so far */
	size_t body_max; /* of the room it is for */
	struct buf url, body;
	struct buf headers; /* name NUL value NUL ... */
	struct buf rest;    /* of the next request, read already */
};

void inbound_begin(struct inbound *in);
/* Takes bytes until a request is whole or refused; keeps what is left. */
void inbound_feed(struct inbound *in, const char *at, size_t len);
/* Where the next bytes belong, if they are all of the body, and at least so
 * many: read there, and fed, they are not copied.  Else NULL. */
char *inbound_room(struct inbound *in, size_t least, size_t *size);
/* Forgets the request and takes what is left of the bytes. */
void inbound_next(struct inbound *in);
void inbound_clear(struct inbound *in); /* the rest stays */
void inbound_free(struct inbound *in);

/* What a request is called, in memory of its own: *host and *path. */
struct sim_request inbound_request(
    const struct inbound *in, char **host, char **path);
/* The reply to a refused one. */
void inbound_refuse(const struct inbound *in, struct sim_reply *r);
const char *inbound_reason(int status);

#endif
