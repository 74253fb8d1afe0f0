/* faultreply.c: what a fault answers, in the words of the room that was asked;
 * see fault.h. */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "arm.h"
#include "fault.h"

/* What a hub, Resource Manager and the blob service call these statuses
 * (CONTRACT 3.1, 3.4, 11.3, 11.4, 17.3); 0: no number of the hub provider. */
static const struct word {
	long status;
	const char *hub, *arm, *blob, *text;
	int provider;
} words[] = {
	{ 400, "ArgumentInvalid", "BadRequest", "InvalidInput",
	    "The request is invalid.", 400000 },
	{ 401, "IotHubUnauthorizedAccess", "AuthenticationFailed",
	    "InvalidAuthenticationInfo", "Unauthorized", 0 },
	{ 403, "IotHubQuotaExceeded", "AuthorizationFailed",
	    "AuthorizationPermissionMismatch", "The operation is not allowed.",
	    0 },
	{ 404, "IotHubNotFound", "ResourceNotFound", "BlobNotFound",
	    "It was not found.", 0 },
	{ 409, "DeviceAlreadyExists", "Conflict", "ContainerAlreadyExists",
	    "It is there already.", 409002 },
	{ 412, "PreconditionFailed", "PreconditionFailed", "ConditionNotMet",
	    "Precondition failed: ETag mismatch", 412000 },
	{ 413, "MessageTooLarge", "RequestTooLarge", "RequestBodyTooLarge",
	    "The request is too large.", 0 },
	{ 429, "ThrottlingBacklogTimeout", "TooManyRequests", "ServerBusy",
	    "The request has been throttled. Wait 10 seconds and try again. "
	    "Operation type: CRUD",
	    0 },
	{ 500, "ServerError", "InternalServerError", "InternalError",
	    "An error occurred.", 500019 },
	{ 503, "ServiceUnavailable", "ServiceUnavailable", "ServerBusy",
	    "The service is unavailable. Please retry.", 503000 },
	{ 504, "GatewayTimeout", "GatewayTimeout", "OperationTimedOut",
	    "The gateway did not receive a response.", 0 },
	{ 0, "GenericError", "Fault", "Fault", "A fault was asked for.", 0 },
};

static const struct word *
find_word(long status)
{
	const struct word *w = words;

	while (w->status && w->status != status)
		w++;
	return w;
}

static bool
by_signature(const struct sim_request *q)
{
	const char *auth = q->header(q, "authorization");

	return auth && strncasecmp(auth, "SharedAccessSignature ", 22) == 0;
}

/* The last part of one, as clients take it apart. */
static char *
policy_name(const struct sim_request *q)
{
	return sim_form(span_of(q->header(q, "authorization") + 22), "skn");
}

static void
hub_reply(struct sim *s, const struct fault *f, const struct word *w,
    const struct sim_request *q, struct sim_reply *r)
{
	const char *code = *f->code ? f->code : w->hub;
	char when[32], id[37], hex[33], *text = NULL, *policy = NULL;
	size_t n = 0;

	sim_iso_time(sim_now(s), when);
	sim_guid(s, when, id);
	for (const char *c = id; *c; c++)
		if (*c != '-')
			hex[n++] =
			    (char)(*c >= 'a' && *c <= 'f' ? *c - 'a' + 'A'
							  : *c);
	hex[n] = '\0';
	if (f->kind == FAULT_EXPIRED && by_signature(q)) {
		policy = policy_name(q);
		text = xasprintf("Principal %s signature is invalid or has "
				 "expired",
		    policy ? policy : "");
	} else if (f->kind == FAULT_EXPIRED) {
		text = xstrdup("The token has expired");
	}
	sim_head(r, "iothub-errorcode", "%s", code);
	sim_json(r, r->status,
	    JV_OBJECT(jv_string("Message"),
		jv_string_fmt("ErrorCode:%s;%s", code, text ? text : w->text),
		jv_string("ExceptionMessage"),
		jv_string_fmt("Tracking ID:%s-G2:-TimeStamp:%s", hex, when)));
	/* A hub that throttles also closes (CONTRACT 11.4). */
	if (r->status == 429)
		sim_head(r, "Connection", "close");
	free(policy);
	free(text);
}

/* In ARM, a hub's own calls are answered by its provider, in another form;
 * who may call and how often, Resource Manager decides before that. */
static void
arm_reply(struct sim *s, const struct fault *f, const struct word *w,
    const struct sim_request *q, struct sim_reply *r)
{
	static const char provider[] = "/providers/Microsoft.Devices/IotHubs";
	const char *code = *f->code ? f->code : w->arm;

	if (r->status == 401 && !*f->code) {
		entra_refuse(s, r, ENTRA_EXPIRED);
	} else if (r->status == 409 && !*f->code) {
		arm_refuse(r,
		    hub_fail(s, 409, 409002,
			"The operation cannot be carried out because the hub "
			"is not in Active state."));
	} else if (w->provider && strcasestr(q->path, provider) && !*f->code &&
		   (r->status != 412 ||
		       sim_doubt_is("etag-stale-body", "flat"))) {
		arm_refuse(
		    r, hub_fail(s, r->status, w->provider, "%s", w->text));
	} else {
		if (r->status == 429 && !*f->code &&
		    sim_doubt_is(
			"throttle-code", "SubscriptionRequestsThrottled"))
			code = "SubscriptionRequestsThrottled";
		sim_error(r, r->status, code, "%s", w->text);
	}
}

static void
blob_reply(struct sim *s, const struct fault *f, const struct word *w,
    const struct sim_request *q, struct sim_reply *r)
{
	const char *code = *f->code ? f->code : w->blob, *text = w->text,
		   *auth = q->header(q, "authorization");
	char when[32], id[37];

	if (f->kind == FAULT_EXPIRED && !auth) {
		r->status = 403; /* a SAS in the query */
		code = "AuthenticationFailed";
		text = "Server failed to authenticate the request. Make sure "
		       "the value of Authorization header is formed correctly "
		       "including the signature.";
	} else if (r->status == 401) {
		text = "Lifetime validation failed. The token is expired.";
		sim_head(r, "WWW-Authenticate",
		    "Bearer authorization_uri=https://"
		    "login.microsoftonline.com/%s/oauth2/authorize "
		    "resource_id=https://storage.azure.com",
		    SIM_TENANT);
	} else if (strcmp(code, "ServerBusy") == 0) {
		text = "The server is busy.";
	}
	sim_iso_time(sim_now(s), when);
	sim_guid(s, when, id);
	sim_head(r, "x-ms-error-code", "%s", code);
	r->content_type = "application/xml";
	buf_clear(&r->body);
	buf_printf(&r->body,
	    "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>%s</Code>"
	    "<Message>%s\nRequestId:%s\nTime:%s</Message></Error>",
	    code, text, id, when);
}

static void
entra_reply(struct sim *s, const struct fault *f, const struct word *w,
    struct sim_reply *r)
{
	char when[32];

	sim_iso_time(sim_now(s), when);
	sim_json(r, r->status,
	    JV_OBJECT(jv_string("error"),
		jv_string(*f->code          ? f->code
			  : r->status < 500 ? "invalid_request"
					    : "temporarily_unavailable"),
		jv_string("error_description"),
		jv_string_fmt("AADSTS90033: %s Timestamp: %.10s %.8sZ", w->text,
		    when, when + 11),
		jv_string("error_codes"), JV_ARRAY(jv_number(90033))));
}

/* Resource Manager says when to come back, in seconds; hubs and blobs were not
 * seen to do that (CONTRACT 3.4, 11.4). */
static void
say_when(struct sim *s, const struct fault *f, enum sim_room room,
    struct sim_reply *r)
{
	long seconds = f->retry_after;

	if (seconds < 0 && f->kind == FAULT_THROTTLE && room == ROOM_ARM)
		seconds =
		    f->burst_ms
			? (long)(sim_until(s, f->burst_until) + 998) / 1000
			: 10;
	if (seconds >= 0)
		sim_head(r, "Retry-After", "%ld", seconds);
}

static void
error_reply(struct sim *s, const struct fault *f, const struct sim_request *q,
    struct sim_reply *r)
{
	enum sim_room room = fault_room(q);
	const struct word *w;

	r->status = f->kind == FAULT_EXPIRED ? 401 : (int)f->status;
	if (f->kind == FAULT_THROTTLE && room == ROOM_BLOB)
		r->status = 503;
	w = find_word(r->status);
	say_when(s, f, room, r);
	if (room == ROOM_HUB)
		hub_reply(s, f, w, q, r);
	else if (room == ROOM_BLOB)
		blob_reply(s, f, w, q, r);
	else if (room == ROOM_ENTRA)
		entra_reply(s, f, w, r);
	else
		arm_reply(s, f, w, q, r);
}

void
fault_reply(struct sim *s, const struct fault *f, const struct sim_request *q,
    struct sim_reply *r)
{
	sim_reply_free(r);
	if (f->kind == FAULT_EMPTY || f->kind == FAULT_GARBAGE)
		r->status = 200;
	else
		error_reply(s, f, q, r);
}
