/* route.c: which room answers for a host name (CONTRACT 1). */
#include "sim.h"

#include <stdlib.h>
#include <strings.h>

#include "blobroom.h"
#include "jobs.h"
#include "store.h"

/* The suffixes of share/clouds.json.  A simulator serves every cloud at once:
 * its names are fixed by Microsoft, not by the user's table. */
static const char *const logins[] = { "login.microsoftonline.com",
	"login.microsoftonline.us", "login.chinacloudapi.cn", NULL };
static const char *const managers[] = { "management.azure.com",
	"management.usgovcloudapi.net", "management.chinacloudapi.cn", NULL };
static const char *const hubs[] = { ".azure-devices.net", ".azure-devices.us",
	".azure-devices.cn", NULL };
static const char *const stores[] = { ".blob.core.windows.net",
	".blob.core.usgovcloudapi.net", ".blob.core.chinacloudapi.cn", NULL };
/* By these the control room is asked, without TLS as well. */
static const char *const here[] = { "127.0.0.1", "localhost", "::1", "[::1]",
	NULL };

static bool
is_one_of(const char *host, const char *const *names)
{
	for (; *names; names++)
		if (strcasecmp(host, *names) == 0)
			return true;
	return false;
}

static bool
is_below(const char *host, const char *const *suffixes)
{
	size_t len = strlen(host);

	for (; *suffixes; suffixes++)
		if (len > strlen(*suffixes) &&
		    strcasecmp(host + len - strlen(*suffixes), *suffixes) == 0)
			return true;
	return false;
}

/* az looks whether it reaches the world there before it says that it does not
 * (CLIENTS 1.2). */
static const char world[] = "azure.microsoft.com";

const char *
sim_authority(const struct sim_request *q)
{
	const char *named = q->header(q, "host");
	size_t n = strlen(q->host);

	return named && strncasecmp(named, q->host, n) == 0 ? named : q->host;
}

/* By our own name all that has no name of its own in the request: what we are
 * asked ourselves, and for a custom cloud of az and for SDKs with an endpoint
 * Entra ID and Resource Manager, on any port (CLIENTS 1.2 B, 4.2). */
static void
here_handle(struct sim *s, const struct sim_request *q, struct sim_reply *r)
{
	char *first = sim_segment(q, 0);
	static const char *const manager[] = { "subscriptions", "providers",
		"tenants", NULL };

	if (strcasecmp(q->path, "/metadata/endpoints") == 0)
		metadata_endpoints(q, r);
	else if (first && is_one_of(first, manager))
		arm_handle(s, q, r);
	else if (first && (strcasecmp(first, "adfs") == 0 ||
			      strcasecmp(first, SIM_TENANT) == 0))
		entra_handle(s, q, r);
	else if (first && strcasecmp(first, BLOB_EMULATOR) == 0)
		blob_handle(s, q, r);
	else
		control_handle(s, q, r);
	free(first);
}

enum sim_room
sim_room(const char *host)
{
	if (is_one_of(host, logins) || strcmp(host, "169.254.169.254") == 0)
		return ROOM_ENTRA;
	if (is_one_of(host, managers))
		return ROOM_ARM;
	if (is_below(host, hubs))
		return ROOM_HUB;
	if (is_below(host, stores))
		return ROOM_BLOB;
	if (is_one_of(host, here))
		return ROOM_CONTROL;
	return ROOM_NONE;
}

void
sim_route(struct sim *s, const struct sim_request *q, struct sim_reply *r)
{
	switch (sim_room(q->host)) {
	case ROOM_ENTRA:
		entra_handle(s, q, r);
		break;
	case ROOM_ARM:
		arm_handle(s, q, r);
		break;
	case ROOM_HUB:
		data_handle(s, q, r);
		break;
	case ROOM_BLOB:
		blob_handle(s, q, r);
		break;
	case ROOM_CONTROL:
		here_handle(s, q, r);
		break;
	case ROOM_NONE:
		if (strcasecmp(q->host, world) == 0) {
			r->status = 200;
			break;
		}
		if (*q->host)
			sim_error(r, 501, "NotSimulated",
			    "hub-sim does not simulate the host '%s'", q->host);
		else
			sim_error(r, 400, "InvalidHostName",
			    "the request names no host");
	}
	if (store_failed(s)) {
		buf_clear(&r->head);
		sim_error(r, 503, "ServiceUnavailable",
		    "The state could not be written; nothing was changed.");
	}
	if (r->status == 0 && !r->hang)
		bug("%s %s on '%s' was not answered", q->method, q->path,
		    q->host);
}

static int64_t
earlier(int64_t a, int64_t b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

int64_t
sim_tick(struct sim *s)
{
	int64_t next;

	s->wake = false;
	store_begin(s);
	next = earlier(jobs_tick(s), blob_tick(s));
	next = earlier(next, configurations_tick(s));
	if (store_commit(s)) {
		jobs_close(s); /* what it had in hand has gone too far */
		return 1000;
	}
	return next;
}

static const char *
own_header(const struct sim_request *q, const char *name)
{
	return strcasecmp(name, "authorization") == 0 ? q->headers : NULL;
}

void
sim_call(struct sim *s, const char *method, const char *path, struct span body,
    struct sim_reply *r)
{
	struct buf auth = BUF_INIT;
	size_t len = strcspn(path, "?");
	char *bare = xstrndup(path, len);
	struct sim_request q = { .method = method,
		.host = "management.azure.com",
		.path = bare,
		.query = path[len] ? path + len + 1 : "",
		.body = body,
		.header = own_header };

	buf_text(&auth, "Bearer ");
	entra_token(s, "https://management.azure.com", &auth);
	q.headers = auth.at;
	sim_route(s, &q, r);
	buf_wipe(&auth);
	free(bare);
}
