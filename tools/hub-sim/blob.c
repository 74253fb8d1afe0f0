/* blob.c: see blob.h and blobroom.h. */
#include "blobroom.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

void
blob_handle(struct sim *s, const struct sim_request *q, struct sim_reply *r)
{
	(void)s;
	(void)q;
	sim_missing(r, "blobs");
}
