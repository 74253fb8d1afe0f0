/* converge.c: read, compare, write what differs; see converge.h. */
#include "converge.h"

#include <stdio.h>
#include <stdlib.h>

#include "since.h"

enum { ROUNDS = 6 }; /* somebody else writes it all the time: give up */

enum stage {
	READ_IDENTITY,
	WRITE_IDENTITY,
	DELETE_IDENTITY,
	ASK_DEVICE, /* a 401 for a module: is it the device? */
	READ_TWIN,
	WRITE_TWIN,
	LOOK_FIRST, /* at the twin, before anything is overwritten or deleted */
};

struct converge {
	struct converge_job job;
	struct record rec;
	enum stage stage;
	enum stage denied; /* what to do again, if ASK_DEVICE sees no reason */
	int rounds;
	bool wrote;
	bool looked;               /* what is there may be overwritten */
	struct buf identity, twin; /* as the hub has them; empty: not there */
	char *device, *module;     /* escaped */
	struct converge_result result;
};

static void answered(struct http_reply *reply, void *ctx);

static void
finish(struct converge *c, enum converge_end end)
{
	c->result.end = end;
	c->job.done(&c->result, c->job.ctx);
	record_free(&c->rec);
	buf_wipe(&c->job.line);
	buf_wipe(&c->identity);
	buf_free(&c->twin);
	free(c->device);
	free(c->module);
	free(c);
}

static bool
by_etag(const struct converge *c)
{
	return c->rec.mode == RECORD_UPDATE_IF_MATCH ||
	       c->rec.mode == RECORD_CREATE_OR_UPDATE_IF_MATCH ||
	       c->rec.mode == RECORD_DELETE_IF_MATCH ||
	       c->rec.mode == RECORD_UPDATE_TWIN_IF_MATCH;
}

static bool
may_create(const struct converge *c)
{
	return c->rec.mode == RECORD_CREATE_OR_UPDATE ||
	       c->rec.mode == RECORD_CREATE ||
	       c->rec.mode == RECORD_CREATE_OR_UPDATE_IF_MATCH;
}

static void
if_match(struct http_request *r, struct span etag)
{
	char *text = etag.at ? json_string(etag) : NULL;

	if (!text)
		r->headers[0] = xstrdup("If-Match: *");
	else if (*text == '"' || strcmp(text, "*") == 0)
		r->headers[0] = xasprintf("If-Match: %s", text);
	else
		r->headers[0] = xasprintf("If-Match: \"%s\"", text);
	if (strpbrk(r->headers[0], "\r\n"))
		memcpy(r->headers[0], "If-Match: *\0", 12);
	free(text);
}

static void
scan(const struct buf *body, struct json *into)
{
	struct json_fault fault;

	if (body->len == 0 || json_scan(buf_peek(body), into, &fault) ||
	    into->kind != JSON_OBJECT)
		into->count = 0;
}

static struct span
etag_of(struct converge *c, const struct json *there, const char *own)
{
	struct span mine = entry_member(&c->rec.json, own);

	return by_etag(c) && mine.at ? mine : entry_member(there, "etag");
}

static struct http_request
request_of(struct converge *c, const char *method, const char *root)
{
	struct hub *hub = c->stage == READ_IDENTITY && c->job.login
			      ? c->job.login
			      : c->job.hub;

	if (c->module && c->stage != ASK_DEVICE)
		return hub_request(hub, method, NULL, "/%s/%s/modules/%s", root,
		    c->device, c->module);
	return hub_request(hub, method, NULL, "/%s/%s", root, c->device);
}

static void
audit(struct converge *c, struct http_request *r, const char *operation)
{
	r->audit = operation;
	r->audit_id = c->rec.module
			  ? xasprintf("%s/%s", c->rec.id, c->rec.module)
			  : xstrdup(c->rec.id);
	c->result.tried = operation;
}

static void
go(struct converge *c, enum stage stage)
{
	struct json there = { 0 };
	struct http_request r;

	c->stage = stage;
	switch (stage) {
	case READ_IDENTITY:
	case ASK_DEVICE:
		r = request_of(c, "GET", "devices");
		break;
	case WRITE_IDENTITY:
		r = request_of(c, "PUT", "devices");
		scan(&c->identity, &there);
		if (c->identity.len)
			if_match(&r, etag_of(c, &there, "eTag"));
		entry_identity(&c->rec, c->job.form, c->job.scope,
		    c->identity.len ? &there : NULL, &r.body);
		audit(c, &r, c->identity.len ? "update" : "create");
		break;
	case DELETE_IDENTITY:
		r = request_of(c, "DELETE", "devices");
		if_match(&r, by_etag(c) ? entry_member(&c->rec.json, "eTag")
					: (struct span){ NULL, 0 });
		audit(c, &r, "delete");
		break;
	case READ_TWIN:
	case LOOK_FIRST:
		r = request_of(c, "GET", "twins");
		break;
	case WRITE_TWIN:
		r = request_of(c, "PUT", "twins");
		scan(&c->twin, &there);
		if_match(&r, etag_of(c, &there, "twinETag"));
		entry_twin(&c->rec, c->twin.len ? &there : NULL, &r.body);
		audit(c, &r, "updateTwin");
		break;
	}
	if (stage < READ_TWIN && c->job.pace)
		r.pace = c->job.pace;
	r.repeat = HTTP_REPEAT; /* with If-Match, or compared afterwards */
	r.done = answered;
	r.ctx = c;
	json_free(&there);
	http_send(c->job.http, &r);
}

static void
fail(struct converge *c, const char *code, const char *text)
{
	(void)snprintf(c->result.code, sizeof c->result.code, "%s", code);
	err_set(&c->result.err, REMOTE_REFUSED, c->rec.id, "%s", text);
	finish(c, CONVERGE_FAILED);
}

/* As the service answered.  401 and 403 are about us, not about the record. */
static void
fail_reply(struct converge *c, const struct http_reply *r, const char *code)
{
	(void)snprintf(c->result.code, sizeof c->result.code, "%s",
	    *code       ? code
	    : r->status ? "HTTPError"
			: "NoAnswer");
	finish(
	    c, r->status == 401 || r->status == 403 ||
		       (r->status == 0 && c->result.err.status != REMOTE_RETRY)
		   ? CONVERGE_REFUSED
		   : CONVERGE_FAILED);
}

/* Somebody else was at it: then it is not overwritten. */
static bool
changed(struct converge *c, const struct buf *body)
{
	struct json there = { 0 };
	const char *what;

	if (!c->job.since || !body->len)
		return false;
	c->looked = true;
	scan(body, &there);
	what = since_changed(&there, c->job.since, c->wrote);
	json_free(&there);
	if (what)
		fail(c, "ChangedSince", what);
	return what != NULL;
}

/* After the look. */
static void
go_on(struct converge *c)
{
	c->looked = true;
	go(c, c->rec.mode == RECORD_DELETE ||
		      c->rec.mode == RECORD_DELETE_IF_MATCH
		  ? DELETE_IDENTITY
		  : WRITE_IDENTITY);
}

/* The identity that is there.  Of what happened to it, its twin knows more. */
static void
overwrite(struct converge *c)
{
	if (!c->job.since || c->looked || !c->identity.len)
		go_on(c);
	else if (!changed(c, &c->identity))
		go(c, LOOK_FIRST);
}

static void
done(struct converge *c)
{
	finish(c, c->wrote ? CONVERGE_WROTE : CONVERGE_EQUAL);
}

static void
twin_next(struct converge *c)
{
	if (c->job.identity_only || c->job.form == ENTRY_LOCKED)
		done(c);
	else
		go(c, READ_TWIN);
}

/* What shall be enabled while its modules are made. */
static void
compare_lock(struct converge *c)
{
	bool creates = c->rec.mode == RECORD_CREATE && !c->wrote;
	struct json there = { 0 };
	enum entry_lock lock;

	scan(&c->identity, &there);
	lock = entry_lock(&c->rec, &there);
	/* Its keys are to be compared later, but it may not be ours. */
	if (creates && lock != ENTRY_OURS &&
	    !entry_same_identity(&c->rec, ENTRY_ROOT, c->job.scope, &there)) {
		json_free(&there);
		fail(c, "DeviceAlreadyExists",
		    "exists already, and is not the same");
		return;
	}
	json_free(&there);
	c->wrote |= lock == ENTRY_OURS;
	c->result.shut = lock == ENTRY_SHUT && !c->job.open;
	if (lock == ENTRY_OTHER || (lock == ENTRY_SHUT && c->job.open)) {
		if (c->rounds++ >= ROUNDS)
			fail(c, "PreconditionFailed",
			    "somebody else writes it all the time");
		else
			overwrite(c);
	} else {
		done(c);
	}
}

/* A try before this one may have been a bulk call, which does not take all of
 * it (CONTRACT 16.3): then what it left out is still to be written. */
static bool
lacks_only_that(const struct converge *c, const struct json *there)
{
	struct record rec = c->rec; /* without managedBy */
	struct span managed = entry_member(there, "managedBy");

	if (!c->job.ambiguous)
		return false;
	if (!rec.module)
		return c->job.scope &&
		       entry_same_identity(&rec, c->job.form, NULL, there);
	rec.known[RECORD_MANAGED] = NULL;
	return managed.len <= 2 &&
	       entry_same_identity(&rec, c->job.form, NULL, there);
}

static void
compare_identity(struct converge *c)
{
	struct json there = { 0 };
	bool equal, creates = c->rec.mode == RECORD_CREATE;

	if (c->job.form == ENTRY_LOCKED) {
		compare_lock(c);
		return;
	}
	scan(&c->identity, &there);
	equal = entry_same_identity(&c->rec, c->job.form, c->job.scope, &there);
	c->result.parents = equal && entry_lacks_parents(c->job.scope, &there);
	creates = creates && !equal && !lacks_only_that(c, &there);
	json_free(&there);
	if (equal)
		twin_next(c);
	else if (c->job.peek)
		finish(c, CONVERGE_ABSENT);
	else if (creates)
		fail(c,
		    c->module ? "ModuleAlreadyExistsOnDevice"
			      : "DeviceAlreadyExists",
		    "exists already, and is not the same");
	else if (c->rounds++ >= ROUNDS)
		fail(c, "PreconditionFailed",
		    "somebody else writes it all the time");
	else
		overwrite(c);
}

static void
compare_twin(struct converge *c)
{
	struct json there = { 0 };
	bool equal;

	scan(&c->twin, &there);
	equal = entry_same_twin(&c->rec, c->twin.len ? &there : NULL);
	c->result.reported =
	    entry_reported_differs(&c->rec, c->twin.len ? &there : NULL);
	json_free(&there);
	if (equal)
		done(c);
	else if (c->rounds++ >= ROUNDS)
		fail(c, "PreconditionFailed",
		    "somebody else writes its twin all the time");
	else if (c->looked || !changed(c, &c->twin))
		go(c, WRITE_TWIN);
}

static void
take(struct buf *into, struct http_reply *r)
{
	buf_wipe(into);
	*into = r->body;
	r->body = (struct buf)BUF_INIT;
}

static void
succeeded(struct converge *c, struct http_reply *r)
{
	struct json there = { 0 };
	bool disabled;

	switch (c->stage) {
	case READ_IDENTITY:
		take(&c->identity, r);
		compare_identity(c);
		break;
	case LOOK_FIRST:
		if (!changed(c, &r->body))
			go_on(c);
		break;
	case WRITE_IDENTITY:
		c->wrote = true;
		scan(&r->body, &there);
		c->result.parents = c->job.form == ENTRY_FULL &&
				    entry_lacks_parents(c->job.scope, &there);
		json_free(&there);
		twin_next(c);
		break;
	case ASK_DEVICE:
		scan(&r->body, &there);
		disabled =
		    json_string_is(entry_member(&there, "status"), "disabled");
		json_free(&there);
		if (!disabled && c->rounds++ < ROUNDS)
			go(c, c->denied); /* somebody's mistake */
		else
			fail(c, "IotHubUnauthorizedAccess",
			    "modules of a disabled device cannot be read or "
			    "written (load the line of the device with them)");
		break;
	case READ_TWIN:
		take(&c->twin, r);
		compare_twin(c);
		break;
	case DELETE_IDENTITY:
	case WRITE_TWIN:
		c->wrote = true;
		done(c);
		break;
	}
}

static void
missing(struct converge *c, const struct http_reply *r, const char *code)
{
	if (c->stage == LOOK_FIRST) {
		go_on(c);
	} else if (c->rec.mode == RECORD_DELETE ||
		   c->rec.mode == RECORD_DELETE_IF_MATCH) {
		done(c); /* gone is gone */
	} else if (c->job.peek && may_create(c)) {
		finish(c, CONVERGE_ABSENT);
	} else if (c->stage == READ_IDENTITY && may_create(c)) {
		buf_wipe(&c->identity);
		go_on(c);
	} else if (c->stage == READ_TWIN && entry_has_identity(&c->rec)) {
		/* A twin appears with the first write to it. */
		buf_free(&c->twin);
		compare_twin(c);
	} else {
		fail_reply(c, r, code);
	}
}

/* Not as it was when we looked, or our own first try went through. */
static bool
conflict(const struct converge *c, const struct http_reply *r)
{
	if (r->status != 412 && r->status != 409)
		return false;
	if (c->stage != WRITE_IDENTITY && c->stage != WRITE_TWIN)
		return false;
	if (r->status == 412 && by_etag(c) && !r->ambiguous)
		return false;
	return c->rounds < ROUNDS;
}

static void
answered(struct http_reply *reply, void *ctx)
{
	struct converge *c = ctx;
	char code[64];

	if (reply->ambiguous &&
	    (c->stage == WRITE_IDENTITY || c->stage == WRITE_TWIN))
		c->wrote = true;
	if (hub_check(c->job.hub, reply, c->rec.id, code, &c->result.err) ==
	    0) {
		succeeded(c, reply);
	} else if (c->job.peek && c->stage == READ_IDENTITY &&
		   (reply->status == 401 || reply->status == 403)) {
		c->result.blind = true; /* CONTRACT 12.4 */
		go(c, READ_TWIN);
	} else if (reply->status == 401 && c->module && c->stage < ASK_DEVICE) {
		c->denied =
		    c->stage == WRITE_IDENTITY ? READ_IDENTITY : c->stage;
		go(c, ASK_DEVICE);
	} else if (reply->status == 404 && c->result.err.status == ANSWER_NO) {
		missing(c, reply, code);
	} else if (conflict(c, reply)) {
		go(c, c->stage == WRITE_IDENTITY ? READ_IDENTITY : READ_TWIN);
	} else if (c->stage == LOOK_FIRST &&
		   strcmp(code, "OperationNotAvailableInCurrentTier") == 0) {
		go_on(c);
	} else if (c->stage == READ_TWIN &&
		   strcmp(code, "OperationNotAvailableInCurrentTier") == 0 &&
		   entry_same_twin(&c->rec, NULL)) {
		done(c);
	} else {
		fail_reply(c, reply, code);
	}
}

void
converge_start(struct converge_job *job)
{
	struct converge *c = xcalloc(1, sizeof *c);
	struct err e;

	c->job = *job;
	c->wrote = job->ambiguous;
	job->line = (struct buf)BUF_INIT;
	if (record_read(buf_peek(&c->job.line), &c->rec, &e))
		bug("a record that was read before is none: %s", e.text);
	if (job->ours)
		c->rec.mode = RECORD_CREATE_OR_UPDATE;
	c->device = hub_escape(c->rec.id);
	c->module = c->rec.module ? hub_escape(c->rec.module) : NULL;
	c->result.tried = record_mode_name(c->rec.mode);
	if (c->rec.mode == RECORD_DELETE ||
	    c->rec.mode == RECORD_DELETE_IF_MATCH)
		go(c, c->job.since ? LOOK_FIRST : DELETE_IDENTITY);
	else if (entry_has_identity(&c->rec) && !job->twin_only)
		go(c, READ_IDENTITY);
	else
		go(c, READ_TWIN);
}
