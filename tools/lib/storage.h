/*
 * storage.h: one storage account, and who we are to it (CONTRACT 17).
 *
 * --storage=ACCOUNT (a name or a blob URL) with Entra tokens for our own calls,
 * and the hub's identity for those of its jobs; else STORAGE_ACCT_CONN_STRING,
 * with the account's key or a SharedAccessSignature.
 */
#ifndef STORAGE_H
#define STORAGE_H

#include "http.h"

extern const struct opt storage_opts[]; /* --storage; part of job_opts */

struct storage;

/* Is one named, by the option or the environment?  Asks nobody. */
bool storage_configured(void);
/* http is borrowed.  NULL with *e (BAD_USAGE) when nothing is configured or
 * what is says nothing; no secret is ever in *e. */
struct storage *storage_open(struct http *http, struct err *e);
const char *storage_account(const struct storage *s);
/* A hub's job has no signature of ours: storageAuthenticationType is
 * identityBased (CONTRACT 16.1). */
bool storage_by_identity(const struct storage *s);
/* May containers be made?  Not with the SAS of one container. */
bool storage_makes_containers(const struct storage *s);
void storage_close(struct storage *s);

/*
 * A request of one call: add body, done and ctx, then storage_send().  query:
 * "restype=container&comp=list", encoded, or NULL.  blob NULL: the container;
 * container NULL: the account.
 */
struct http_request storage_request(struct storage *s, const char *method,
    const char *container, const char *blob, const char *query);
/* One header more; malloc'd, consumed; at most four. */
void storage_header(struct http_request *r, char *line);
/* As http_send() and http_one(); signs what the request is then. */
void storage_send(struct storage *s, struct http_request *r);
void storage_one(
    struct storage *s, struct http_request *r, struct http_reply *into);
/* 200 by something in between that is not the service's answer: nothing is
 * known to be done.  storage_one() asks again then. */
bool storage_is_odd(const char *method, const struct http_reply *r);
struct http *storage_http(const struct storage *s);

/*
 * What an answer means: 0 for 2xx; else -1 with *e (ANSWER_NO for 404) and
 * code, the service's name of the error ("BlobNotFound").  A 403 names the role
 * or the permission that is missing.
 */
int storage_check(const struct storage *s, const struct http_reply *r,
    const char *subject, char code[64], struct err *e);

/* The URL of a container, malloc'd: what a job is given.  With a signature for
 * so many seconds, unless storage_by_identity(); rights as "rwdl". */
char *storage_job_url(struct storage *s, const char *container,
    const char *rights, long seconds, struct err *e);
/* The same without a signature, for messages. */
char *storage_url(
    const struct storage *s, const char *container, const char *blob);

/* Private; *existed instead of a failure when it is there.  owner: who made it,
 * kept as its metadata "hubpipe", or NULL. */
int storage_make(struct storage *s, const char *container, const char *owner,
    bool *existed, struct err *e);
/* What is not there is removed. */
int storage_remove(struct storage *s, const char *container, struct err *e);

/* A name in a list, and what else is said of it, as XML; false: enough. */
typedef bool storage_name(void *ctx, const char *name, struct span properties);
int storage_containers(struct storage *s, const char *prefix,
    storage_name *each, void *ctx, struct err *e);

/* Of blobs, or of containers if container is NULL. */
int storage_list(struct storage *s, const char *container, const char *prefix,
    storage_name *each, void *ctx, struct err *e);

/* Warns where the account would keep what is deleted: soft delete is asked for
 * here, versioning shows in the answer to the first blob that is put.  Silent
 * where the account does not say. */
void storage_warn_kept(struct storage *s);

/* ... which is shown here. */
void storage_saw_version(struct storage *s, const struct http_reply *r);

/* The text of an element of XML, decoded, from *at on; malloc'd; *at moves
 * behind it.  NULL: there is none. */
char *storage_xml(struct span *at, const char *element);

#endif
