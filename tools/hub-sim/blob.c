/* blob.c: see blob.h. */
#include "blob.h"

const char blob_schema[] = "";

void
blob_handle(struct sim *s, const struct sim_request *q, struct sim_reply *r)
{
	(void)s;
	(void)q;
	sim_missing(r, "blobs");
}

enum blob_result
blob_permits(struct sim *s, const char *container_uri, enum blob_who who,
    const char *principal, const char *permissions, char *why)
{
	(void)s;
	(void)container_uri;
	(void)who;
	(void)principal;
	(void)permissions;
	(void)why;
	return BLOB_FOREIGN;
}

enum blob_result
blob_copy_out(
    struct sim *s, const char *container_uri, const char *name, FILE *file)
{
	(void)s;
	(void)container_uri;
	(void)name;
	(void)file;
	return BLOB_FOREIGN;
}

enum blob_result
blob_copy_in(
    struct sim *s, const char *container_uri, const char *name, FILE *file)
{
	(void)s;
	(void)container_uri;
	(void)name;
	(void)file;
	return BLOB_FOREIGN;
}

enum blob_result
blob_remove(struct sim *s, const char *container_uri, const char *name)
{
	(void)s;
	(void)container_uri;
	(void)name;
	return BLOB_FOREIGN;
}
