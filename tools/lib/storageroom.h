/*
 * storageroom.h: what the rooms of storage.h share, and nobody else needs.
 */
#ifndef STORAGEROOM_H
#define STORAGEROOM_H

#include "storage.h"

#define STORAGE_VARIABLE "STORAGE_ACCT_CONN_STRING"

struct storage {
	struct http *http;
	char *endpoint; /* https://contoso.blob.core.windows.net */
	char *path;     /* "/devstoreaccount1", or "" */
	char *account;
	struct buf key;    /* decoded; or */
	char *sas;         /* without '?'; or */
	struct cred *cred; /* neither: bearer tokens */
	char *audience;
	const char *from; /* for messages: an option or a variable */
	bool told_kept;
};

/* %41 is A; malloc'd. */
char *storage_decoded(const char *text, size_t len);
/* A parameter of a SAS, decoded; malloc'd, NULL. */
char *storage_sas_part(const char *sas, const char *name);
/* Seconds since 1970 of "2030-01-01T00:00:00Z"; -1. */
long storage_time_of(const char *text);

#endif
