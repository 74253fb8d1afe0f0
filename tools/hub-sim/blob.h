/*
 * blob.h: the storage accounts' blobs (CONTRACT 17), for the other rooms.
 *
 * The blob service itself is asked by HTTP like any other room.  A job of a hub
 * reads and writes blobs too: it holds a container URI, with a SAS or, for an
 * identity, without one.  These functions are for that, and are served from
 * the same tables; a URI that leads to no account of ours is told apart, since
 * another server may be meant (Azurite).
 */
#ifndef BLOB_H
#define BLOB_H

#include <stdio.h>

#include "sim.h"

enum blob_who {
	BLOB_SAS,      /* what the SAS in the URI permits */
	BLOB_IDENTITY, /* a hub's identity: principal has, or lacks, its role */
};
enum blob_result {
	BLOB_OK = 0,
	BLOB_FOREIGN = 1,  /* no account of ours */
	BLOB_REFUSED = -1, /* signature, time, permission, role: see why */
	BLOB_MISSING = -2, /* no such container or blob */
};

/*
 * May whoever holds this container URI do these ("rwdl", the letters of
 * CONTRACT 17.2) there now?  why: text for an error message, size at least
 * 256.
 */
enum blob_result blob_permits(struct sim *s, const char *container_uri,
    enum blob_who who, const char *principal, const char *permissions,
    char *why);
/* Makes or replaces a block blob; no permission is asked. */
enum blob_result blob_store(struct sim *s, const char *container_uri,
    const char *name, struct span content);
enum blob_result blob_remove(
    struct sim *s, const char *container_uri, const char *name);

/*
 * The same in slices, for what is too large for one turn.  blob_read() appends
 * what comes at that offset, at most 256 KiB, nothing at the end; size is the
 * whole blob's.  An upload is content that no blob has yet, and goes with the
 * program; after blob_upload_end(), which makes or replaces the blob, it is to
 * be dropped too.
 */
enum blob_result blob_read(struct sim *s, const char *container_uri,
    const char *name, uint64_t offset, struct buf *out, uint64_t *size);
struct blob_upload;
struct blob_upload *blob_upload_begin(struct sim *s);
/* -1 with errno: there is no room for it. */
int blob_upload_add(struct blob_upload *u, struct span content);
enum blob_result blob_upload_end(
    struct blob_upload *u, const char *container_uri, const char *name);
void blob_upload_drop(struct blob_upload *u);

/* The connection string (CONTRACT 17.4) of the account that was made first;
 * malloc'd, NULL: there is none. */
char *blob_connection_string(struct sim *s);

#endif
