/* storagelist.c: containers made, removed and listed, and whether the account
 * keeps what is deleted; see storage.h. */
#include "storageroom.h"

#include <stdlib.h>
#include <strings.h>

enum { DELETED_TRIES = 30 };

int
storage_make(struct storage *s, const char *container, const char *owner,
    bool *existed, struct err *e)
{
	struct http_reply reply;
	char code[64];
	int rc;

	for (int i = 0;; i++) {
		struct http_request r = storage_request(
		    s, "PUT", container, NULL, "restype=container");

		if (owner)
			storage_header(
			    &r, xasprintf("x-ms-meta-hubpipe: %s", owner));
		r.audit = "createContainer";
		r.audit_id = xstrdup(container);
		storage_one(s, &r, &reply);
		rc = storage_check(s, &reply, container, code, e);
		/* A name is free half a minute after it was deleted. */
		if (rc == 0 || strcmp(code, "ContainerBeingDeleted") != 0 ||
		    i == DELETED_TRIES)
			break;
		http_reply_free(&reply);
		http_sleep(s->http, 2);
	}
	*existed = false;
	if (rc != 0 && !strcmp(code, "ContainerAlreadyExists")) {
		/* Or our own first try, whose answer was lost. */
		*existed = reply.attempts == 1;
		rc = 0;
	}
	http_reply_free(&reply);
	return rc;
}

int
storage_remove(struct storage *s, const char *container, struct err *e)
{
	struct http_request r =
	    storage_request(s, "DELETE", container, NULL, "restype=container");
	struct http_reply reply;
	char code[64];
	int rc;

	r.audit = "deleteContainer";
	r.audit_id = xstrdup(container);
	storage_one(s, &r, &reply);
	rc = storage_check(s, &reply, container, code, e);
	if (rc != 0 &&
	    (reply.status == 404 || !strcmp(code, "ContainerBeingDeleted")))
		rc = 0;
	http_reply_free(&reply);
	return rc;
}

/* One page of a list; *marker is set anew, NULL at the end. */
static int
read_page(struct storage *s, const struct http_reply *reply,
    const char *subject, const char *element, bool *go_on, char **marker,
    storage_name *each, void *ctx, struct err *e)
{
	static const char end[] = "</EnumerationResults>";
	struct span at = buf_peek(&reply->body);
	char *open = xasprintf("<%s>", element),
	     *close = xasprintf("</%s>", element);
	int rc = 0;

	(void)s;
	free(*marker);
	*marker = NULL;
	if (!memmem(at.at, at.len, end, strlen(end)))
		rc = err_set(e, REMOTE_RETRY, subject, "the answer is no list");
	while (rc == 0 && *go_on) {
		const char *from = memmem(at.at, at.len, open, strlen(open)),
			   *to;
		struct span inner;
		char *name;

		if (!from)
			break;
		to = memmem(from, at.len - (size_t)(from - at.at), close,
		    strlen(close));
		if (!to)
			break;
		inner = (struct span){ from, (size_t)(to - from) };
		at.len -= (size_t)(to - at.at);
		at.at = to;
		name = storage_xml(&inner, "Name");
		if (name)
			*go_on = each(ctx, name, inner);
		free(name);
	}
	if (rc == 0)
		*marker = storage_xml(&at, "NextMarker");
	free(open);
	free(close);
	return rc;
}

int
storage_list(struct storage *s, const char *container, const char *prefix,
    storage_name *each, void *ctx, struct err *e)
{
	char *marker = NULL, code[64];
	bool go_on = true;
	int rc;

	do {
		struct buf query = BUF_INIT;
		struct http_request r;
		struct http_reply reply;

		buf_printf(&query, "%scomp=list&maxresults=1000",
		    container ? "restype=container&" : "include=metadata&");
		if (prefix && *prefix) {
			buf_text(&query, "&prefix=");
			buf_url(&query, prefix, strlen(prefix));
		}
		if (marker) {
			buf_text(&query, "&marker=");
			buf_url(&query, marker, strlen(marker));
		}
		r = storage_request(s, "GET", container, NULL, query.at);
		storage_one(s, &r, &reply);
		rc = storage_check(
		    s, &reply, container ? container : s->account, code, e);
		if (rc == 0)
			rc = read_page(s, &reply,
			    container ? container : s->account,
			    container ? "Blob" : "Container", &go_on, &marker,
			    each, ctx, e);
		http_reply_free(&reply);
		buf_free(&query);
	} while (rc == 0 && go_on && marker && *marker);
	free(marker);
	return rc;
}

int
storage_containers(struct storage *s, const char *prefix, storage_name *each,
    void *ctx, struct err *e)
{
	return storage_list(s, NULL, prefix, each, ctx, e);
}

void
storage_warn_kept(struct storage *s)
{
	struct http_request r = storage_request(
	    s, "GET", NULL, NULL, "restype=service&comp=properties");
	struct http_reply reply;
	struct span at;
	char *enabled, *days;
	const char *policy;

	storage_one(s, &r, &reply);
	at = buf_peek(&reply.body);
	policy = reply.status == 200
		     ? memmem(at.at, at.len, "<DeleteRetentionPolicy>", 23)
		     : NULL;
	if (policy) {
		at.len -= (size_t)(policy - at.at);
		at.at = policy;
		enabled = storage_xml(&at, "Enabled");
		if (enabled && !strcasecmp(enabled, "true")) {
			days = storage_xml(&at, "Days");
			s->told_kept = true;
			warn(s->account,
			    "keeps deleted blobs for %s days (soft delete): "
			    "the "
			    "keys in them too",
			    days ? days : "some");
			free(days);
		}
		free(enabled);
	}
	http_reply_free(&reply);
}

void
storage_saw_version(struct storage *s, const struct http_reply *r)
{
	const char *version = http_header(r, "x-ms-version-id");

	if (s->told_kept || !version)
		return;
	s->told_kept = true;
	warn(s->account,
	    "keeps versions of blobs: those that are deleted, with the keys "
	    "in them, too");
}
