/*
 * sim.h: the one seam of hub-sim: a request comes in, a reply goes out.
 *
 * net.c reads requests and sends replies; route.c picks the room by host
 * name; the rooms know Azure: entra.c (tokens), arm.c (Resource Manager) with
 * iothubs.c, services.c and deploy.c, registry.c (data plane) with twins.c,
 * query.c and configurations.c, jobs.c (import and export), blob.c (storage).
 * control.c is the one room that Azure does not have.  store.c keeps all state
 * in SQLite.
 *
 * All requests that are ready in one turn of the loop share one transaction:
 * it is committed before any of their replies is sent, so what was
 * acknowledged survives kill -9.  A room that has to undo half of what it did
 * uses sim_savepoint().
 *
 * The simulator is the only program that knows both ends of a protocol.  From
 * tools/lib it uses what knows no guess: msg, opt, buf, json, lines, doc,
 * expr, jqrun, share.  Not http, arm, hub, sign or cloud.
 */
#ifndef SIM_H
#define SIM_H

#include <jv.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "json.h"
#include "msg.h"

#define SIM_SUBSCRIPTION "11111111-1111-1111-1111-111111111111"
#define SIM_TENANT "22222222-2222-2222-2222-222222222222"
#define SIM_CLIENT "33333333-3333-3333-3333-333333333333"
#define SIM_SECRET "hub-sim-secret"

struct sim {
	sqlite3 *db;
	const char *seed;  /* --seed: ids and keys follow from it */
	long operation_ms; /* --operation-ms: how long an ARM operation runs */
	bool real_times; /* --timing=real: as long as Azure was seen to take */
	bool operation_given; /* --operation-ms was said, and wins */
	bool throttled;       /* --throttle=real (CONTRACT annex A) */
	long load;          /* --load: percent of each limit that others use */
	long lose_ms;       /* --lose: twin data that a failover loses */
	bool sink;          /* --sink: bulk calls are counted, not kept */
	bool wake;          /* sim_wake() was called in this turn */
	long token_seconds; /* --token-seconds: life of an Entra token */
	int64_t
	    clock_offset;   /* --clock: milliseconds ahead of the real clock */
	double speed;       /* --speed */
	int64_t speeded;    /* so much of clock_offset came of a --speed */
	int64_t started_ms; /* real clock */
	int port;
	struct store *store;       /* store.c's own: statements, failure */
	struct content *content;   /* content.c's own: of large blobs */
	struct jobs *jobs;         /* jobrun.c's own: what is in hand */
	struct faults *faults;     /* fault.h */
	uint64_t requests;         /* so far */
	long connections;          /* now */
	double began;              /* monotonic clock, seconds */
	struct throttle *throttle; /* throttle.c's own: buckets and counts */
	const char *sku;           /* --sku: of the hubs of --from, or NULL */
	long sku_units;
	struct {           /* identity.c's own: when devices were counted */
		char *hub; /* of which hub, or NULL */
		int64_t devices, row; /* how many, and the last row then */
	} count;
};

/* Simulated time, milliseconds since 1970. */
int64_t sim_now(const struct sim *s);
/*
 * The time as a client knows it, whose clock --clock moves and --speed does
 * not.  What a client has signed and dated is held against this one: else it
 * would be called late as soon as a fast simulator is an hour ahead.
 */
int64_t sim_client_now(const struct sim *s);
/* "2026-11-21T08:50:00.1234567Z" and "Sat, 21 Nov 2026 08:50:00 GMT". */
void sim_iso_time(int64_t ms, char out[32]);
void sim_http_time(int64_t ms, char out[32]);

struct sim_request {
	const char *method;
	const char *host;  /* lower case, without port */
	const char *path;  /* as sent, still percent-encoded, without query */
	const char *query; /* as sent; "" if none */
	struct span body;
	const char *(*header)(const struct sim_request *, const char *name);
	const void *headers;
	const char *peer; /* address of the client; NULL: not known */
	bool tls;         /* it came over TLS */
};

/*
 * The rest of a long body, read while it is sent, after the turn and outside
 * of its transaction.  more() appends at least a byte and at most what is left
 * to out; false cuts the connection.  end() frees; it is called once.
 */
struct sim_stream {
	uint64_t left; /* bytes that follow body */
	bool (*more)(struct sim *s, struct sim_stream *st, struct buf *out);
	void (*end)(struct sim_stream *st);
};

struct sim_reply {
	int status;
	/* NULL: application/json; charset=utf-8; "": head says it */
	const char *content_type;
	struct buf head; /* more header lines, each "Name: value\r\n" */
	struct buf body;
	struct sim_stream *stream; /* NULL: body is all */
	long delay_ms;             /* of real time, before it is sent */
	bool hang;                 /* never sent, though what it did is done */
};

/* Decoded value of one query parameter, name without case; malloc'd. */
char *sim_query(const struct sim_request *q, const char *name);
/* The same from a form in a body; NULL when absent. */
char *sim_form(struct span form, const char *name);
/* Path segment n (from 0), percent-decoded, malloc'd; NULL when absent. */
char *sim_segment(const struct sim_request *q, int n);
int sim_segments(const struct sim_request *q);

/* The host and port that the client named, for addresses in answers. */
const char *sim_authority(const struct sim_request *q);

/* Replies.  jv is consumed. */
void sim_json(struct sim_reply *r, int status, jv body);
void sim_head(struct sim_reply *r, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* {"error":{"code","message"}}, the standard envelope (CONTRACT 3.1). */
void sim_error(struct sim_reply *r, int status, const char *code,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* 501 and a sentence: what hub-sim does not simulate. */
void sim_missing(struct sim_reply *r, const char *what);

/* Which room a host name leads to. */
enum sim_room {
	ROOM_NONE,
	ROOM_ENTRA,
	ROOM_ARM,
	ROOM_HUB,
	ROOM_BLOB,
	ROOM_CONTROL,
};
enum sim_room sim_room(const char *host);

/* Asks ARM as a client would, with a token; path with its query. */
void sim_call(struct sim *s, const char *method, const char *path,
    struct span body, struct sim_reply *r);
void sim_reply_free(struct sim_reply *r);

/* /metadata/endpoints of a custom cloud (providers.c). */
void metadata_endpoints(const struct sim_request *q, struct sim_reply *r);

/* The rooms.  Each fills *r. */
void sim_route(struct sim *s, const struct sim_request *q, struct sim_reply *r);
void entra_handle(
    struct sim *s, const struct sim_request *q, struct sim_reply *r);
void arm_handle(
    struct sim *s, const struct sim_request *q, struct sim_reply *r);
void data_handle(
    struct sim *s, const struct sim_request *q, struct sim_reply *r);
void blob_handle(
    struct sim *s, const struct sim_request *q, struct sim_reply *r);
void control_handle(
    struct sim *s, const struct sim_request *q, struct sim_reply *r);

/*
 * What goes on without a request, such as a job.  sim_tick() does one slice of
 * it (some milliseconds, so that clients do not wait) in a transaction of its
 * own and gives the real milliseconds until it wants to be called again: 0 for
 * at once, -1 for not before sim_wake() is called.
 */
int64_t sim_tick(struct sim *s);
void sim_wake(struct sim *s);
/* Simulated milliseconds that something takes: real_ms with --timing=real. */
int64_t sim_lasts(const struct sim *s, int64_t fast_ms, int64_t real_ms);
/* Real milliseconds until a simulated moment; 0 when it has come. */
int64_t sim_until(const struct sim *s, int64_t moment);

/*
 * store.c.  sim_sql prepares once per text and keeps the statement: text must
 * be a literal.  The statement comes reset and unbound; step it, read it, and
 * leave it.  A failing statement answers the request with 503 (sim_step does:
 * SQLITE_ROW, SQLITE_DONE, or SQLITE_CONSTRAINT are given back; the rest is
 * marked and sim_route turns the reply into 503).
 */
sqlite3_stmt *sim_sql(struct sim *s, const char *text);
int sim_step(struct sim *s, sqlite3_stmt *stmt);
/* Each of the statements, whose one parameter is the hub's name. */
void sim_of_hub(
    struct sim *s, const char *const *texts, size_t count, const char *hub);
/* Each room has one: CREATE TABLE IF NOT EXISTS ...; run at start. */
extern const char arm_schema[], registry_schema[], deploy_schema[],
    blob_schema[], jobs_schema[];
void sim_savepoint(struct sim *s);
void sim_release(struct sim *s);
void sim_rollback(struct sim *s); /* to the savepoint, and releases it */
/* Bound text of a column as a span, valid until the next step. */
struct span sim_column(sqlite3_stmt *stmt, int column);
char *sim_text(sqlite3_stmt *stmt, int column); /* malloc'd; NULL: null */
void sim_bind(sqlite3_stmt *stmt, int index, const char *text);
void sim_bind_span(sqlite3_stmt *stmt, int index, struct span s);

/* Deterministic material: same --seed and same words, same answer.  sim_key
 * appends the base64 text of that many bytes. */
void sim_key(const struct sim *s, const char *what, int bytes, struct buf *out);
void sim_guid(const struct sim *s, const char *what, char out[37]);
/* What the service takes for a key: base64 of 16 to 64 bytes. */
bool sim_key_good(const char *key);
/* Is that the base64 of the text's HMAC-SHA256 with a key in base64? */
bool sim_signed(const char *key, const struct buf *text, const char *signature);
void sim_mac(const struct sim *s, const char *what, size_t len,
    unsigned char *out, int bytes); /* the bytes themselves */

/*
 * doubt.c: a switch for each fact that CONTRACT.md calls UNCONFIRMED and a
 * tool depends on.  One table: name, its positions, default, and why.
 */
bool sim_doubt_is(const char *name, const char *position);
/* --doubt NAME=POSITION; -1 with *e (BAD_USAGE). */
int sim_doubt_set(const char *assignment, struct err *e);
/* The same for each word of HUB_SIM_DOUBTS, which --doubt overrides. */
int sim_doubt_environment(struct err *e);
void sim_doubt_list(void);                        /* --list-doubts */
const char *sim_doubt_position(const char *name); /* NULL: no such doubt */

/*
 * entra.c: what a bearer token says.  0 and *client, *audience (borrowed until
 * the next call; without slash at its end, ARM's always as
 * https://management.azure.com); or less than 0: why not.  entra_refuse()
 * fills the reply with ARM's 401 for that reason; the data plane has its own.
 */
enum entra_fault {
	ENTRA_MISSING = -1, /* no Authorization, or not Bearer */
	ENTRA_INVALID = -2, /* not a token of ours */
	ENTRA_EXPIRED = -3,
};
int entra_bearer(struct sim *s, const struct sim_request *q,
    const char **client, const char **audience);
void entra_refuse(struct sim *s, struct sim_reply *r, int why);
/* A token for ourselves, to ask a room as a client would (sim_call). */
void entra_token(struct sim *s, const char *audience, struct buf *out);

/*
 * Resource Manager, for the other rooms: resources.c, operations.c.
 *
 * A resource is kept whole, as GET gives it, but its secrets live in a table
 * of their own.  id in any case.
 */
jv arm_resource(struct sim *s, const char *id); /* jv_invalid(): none */
/*
 * Creates or replaces it as PUT would: checks, defaults, unmasking.  Result:
 * the resource; or invalid whose message is {"status": 400, "body": {...}}
 * with the error body as that provider words it.
 */
jv arm_put(struct sim *s, const char *id, const char *api, jv body);
/* The answer of a listKeys-like action on id ("listKeys", any case). */
jv arm_keys(struct sim *s, const char *id, const char *action);
/* Starts a long-running operation: fills r with status and both or one of the
 * headers.  What it ends with is known at once and kept. */
void arm_operation(struct sim *s, const struct sim_request *q,
    struct sim_reply *r, int status, const char *location_base, jv result,
    bool async_header, bool location_header);
bool arm_group_exists(struct sim *s, const char *group);

/* hub.c: a hub as the data plane sees it. */
struct sim_hub {
	char name[64];  /* lower case */
	char state[32]; /* "Active", ... as of now */
	char sku[8];
	long units;
	bool local_auth; /* SAS is allowed */
};
/* false: no such hub. host may be the name or the host name. */
bool sim_hub_find(struct sim *s, const char *host, struct sim_hub *out);
/* One access policy; false: none of that name.  Keys are base64 text. */
struct sim_policy {
	char primary[96], secondary[96], rights[128];
};
bool sim_hub_policy(struct sim *s, const struct sim_hub *h, const char *name,
    struct sim_policy *out);

/* deploy.c: everything under /providers/Microsoft.Resources/deployments and
 * exportTemplate; arm.c hands over what is its. */
void deploy_handle(
    struct sim *s, const struct sim_request *q, struct sim_reply *r);
/* --from TEMPLATE: deploys it into the group at start, making what its routing
 * endpoints point at if it is not there.  -1 with *e. */
int deploy_seed(
    struct sim *s, const char *path, const char *group, struct err *e);

/* registry.c: --registry FILE and the deletion of a hub. */
int registry_seed(
    struct sim *s, const char *hub, const char *path, struct err *e);
void registry_forget(struct sim *s, const char *hub);

/* net.c, fault.c, ca.c, child.c: see their heads. */

#endif
