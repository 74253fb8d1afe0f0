/*
 * bulk.h: records sent a hundred at a time with POST /devices, and what became
 * of each (CONTRACT 12.5).
 */
#ifndef BULK_H
#define BULK_H

#include "entry.h"
#include "hub.h"

enum bulk_says {
	BULK_APPLIED,
	BULK_EXISTS,  /* the identity is there already */
	BULK_MISSING, /* it, or its device, is not there */
	BULK_LOOK,    /* nobody can tell, or a second try may do better */
	BULK_REFUSED,
};

struct bulk_result {
	enum bulk_says says;
	bool doubt; /* the call, or an earlier try of it, may have done it */
	const char *code, *text; /* the service's; NULL: none */
};

/* Called once for each record, from http_wait() or the like. */
typedef void bulk_said(
    void *ctx, uint32_t tag, const struct bulk_result *result);
/* The whole call was answered with 401 or 403.  True: nothing is said of its
 * records; false: they are BULK_LOOK. */
typedef bool bulk_denied(void *ctx, const struct err *e);

struct bulk;

struct bulk *bulk_open(struct hub *hub, struct http *http, struct pace *pace,
    bulk_said *said, bulk_denied *denied, void *ctx);
/* Sends what has come together when it is a full call: of a hundred, or as
 * many as the pace lets through in a moment.  pace NULL: the hub's own.  No two
 * records of one identity may be added before a flush.  The record has been
 * read before; key is what ledger_key() makes of its id; cuts may be NULL. */
void bulk_add(struct bulk *b, struct span line, const uint64_t key[2],
    const struct entry_cuts *cuts, enum record_mode mode, enum entry_form form,
    const char *scope, uint32_t tag);
/* Sends the rest; waits for no answer. */
void bulk_flush(struct bulk *b);
/* What an error code says, by name or number; also of an import's log. */
enum bulk_says bulk_meaning(const char *code);
/* Throws away what was not sent.  All answers must have come. */
void bulk_close(struct bulk *b);

#endif
