/*
 * iothubs.h: what the files of the hub provider share (CONTRACT 4, 5 and 7).
 *
 * iothubs.c receives requests; hub.c is the resource; endpoints.c, routes.c
 * and policies.c are the parts of it that have rules of their own,
 * endpointtargets.c and endpointkeys.c what stands behind an endpoint,
 * hubchildren.c consumer groups and certificates.
 *
 * A PUT is a draft: each part takes what was sent and gives what is stored.
 * The first refusal stays in the draft and the parts go on, so a part looks
 * at draft_refused() only where going on makes no sense.  jv arguments are
 * consumed as everywhere, but for those of the draft and of an endpoint, which
 * are borrowed; char * results are malloc'd.
 */
#ifndef HUB_ROOM_H
#define HUB_ROOM_H

#include "arm.h"

#define MASK "****" /* what GET shows instead of a key (CONTRACT 5.1) */

/* What is kept of a hub beside its body. */
struct hub_row {
	bool there;
	char sku[8], key[512];
	long units;
	bool local_auth;
	int64_t active, busy, gone; /* moments; 0: never */
};
struct hub_row hub_row(struct sim *s, const char *name);
void hub_row_keep(struct sim *s, const char *name, const struct hub_row *row);
/* 409002 while something is under way (CONTRACT 4.2); null: change it. */
jv hub_ready(struct sim *s, const char *name);
/* It can be changed again after that long. */
void hub_busy(struct sim *s, const char *name, int64_t lasts);

struct sku {
	const char *name, *tier;
	int units;                /* at most */
	int fewest, most, normal; /* partitions */
	int days;                 /* retention, at most */
	long messages, devices;   /* a day and unit; in all */
	int endpoints, routes, enrichments;
};
extern const struct sku hub_skus[]; /* name NULL ends; the free one first */
const struct sku *hub_sku(const char *name); /* any case; NULL: none */

/* The columns of hub_kinds[] for the hub; see arm.h. */
jv hub_put(struct sim *s, const struct arm_id *id, const char *api, jv body,
    jv old, enum arm_how how);
void hub_born(struct sim *s, const struct arm_id *id);
jv hub_view(struct sim *s, const struct arm_id *id, const char *api, jv stored);
jv hub_action(struct sim *s, const struct arm_id *id, jv stored,
    const char *action, jv request);

bool hub_name_good(const char *name); /* of an endpoint, route, policy... */
jv hub_next_etag(struct sim *s);
/* given over the defaults, which are JSON; a null member counts as absent. */
jv hub_defaulted(const char *defaults, jv given);
jv hub_without_nulls(jv given);

/* -- a hub being put together -------------------------------------------- */

struct draft {
	struct sim *s;
	const struct arm_id *id;
	const char *api;
	enum arm_how how;
	jv old;      /* stored body, or null */
	jv identity; /* of the new hub */
	jv secrets;  /* rows for the secret table */
	const struct sku *sku;
	jv wrong; /* the first refusal; null: none yet */
};
bool draft_refused(const struct draft *d);
/* 400 with the provider's number, unless there is a refusal already. */
__attribute__((format(printf, 3, 4))) void draft_refuse(
    struct draft *d, int code, const char *fmt, ...);

/* names, in and out: an object with a member for each name in use. */
jv draft_endpoints(struct draft *d, jv given, jv *names);
jv draft_storage(struct draft *d, jv given, bool notify);
jv draft_routing(struct draft *d, jv given);

/* policies.c (CONTRACT 4.3).  Keys are no part of the stored body. */
void policies_check(struct draft *d, jv given);
/* given null: the member was absent. */
void policies_write(struct draft *d, jv given);
/* As listkeys gives them; only: of that name, in any case, or NULL. */
jv policies_list(struct sim *s, const char *hub, const char *only);

/* -- an endpoint --------------------------------------------------------- */

enum family { BUS, STORAGE, COSMOS };
struct target {
	const char *array; /* under properties.routing.endpoints */
	enum family family;
	const char *what; /* as in the service's words */
	const char *type, *entity;
};
struct endpoint {
	struct draft *d;
	const struct target *t;
	const char *name; /* as messages call it */
	jv given;
	bool kept; /* it continues one that the hub has */
};
/* 400116, with the service's words around it. */
__attribute__((format(printf, 2, 3))) void endpoint_unusable(
    struct endpoint *e, const char *fmt, ...);

/*
 * endpointtargets.c: each refuses the draft where what the endpoint points at
 * does not do.  account and entity are keys in the store (arm_load).
 */
/* The key of the account or namespace; NULL: refused. */
char *target_account(struct endpoint *e, const char *account);
void target_entity(struct endpoint *e, const char *account, const char *name);
void target_container(struct endpoint *e, const char *account);
/* Both choose the first key where *secret is NULL (--from). */
void target_bus_key(struct endpoint *e, const char *account, const char *entity,
    const char *policy, char **secret);
void target_storage_key(struct endpoint *e, const char *account, char **secret);
/* Who writes to an endpoint without a key (CONTRACT 4.1, 5): has it the role
 * on what is there? */
void target_identity(struct endpoint *e, const char *account);
/* The key of KEY/KIND/NAME if it is there, or NULL. */
char *target_below(
    struct sim *s, const char *key, const char *kind, const char *name);
/* Is the text one of those members' values?  members end in NULL. */
bool key_among(jv keys, const char *const *members, const char *key);
/* "ns" of "sb://ns.servicebus.windows.net:5671/", or NULL. */
char *first_label(const char *uri);

/*
 * endpointkeys.c
 */
/* "A=b;C=d=e" as {"A":"b","C":"d=e"}. */
jv string_parts(const char *text);
/* What GET shows of it: masked, reordered, with port 5671. */
jv string_masked(jv parts, bool storage);
bool secret_is_mask(const char *text);
/* The key in the clear, or NULL where there is none and one may be chosen
 * (--from).  *bad: it was masked, and this hub keeps none for that endpoint
 * (its id; NULL: of none).  parts are borrowed. */
char *secret_unmask(struct draft *d, jv parts, const char *member,
    const char *endpoint, bool *bad);
/* That of the hub as it was, malloc'd; NULL: it had none. */
char *secret_stored(struct draft *d, const char *endpoint, const char *member);
/* Notes it in the draft; secrets_write() replaces all that the hub had. */
void secret_keep(struct draft *d, const char *endpoint, const char *name,
    const char *member, const char *value);
void secrets_write(struct draft *d);

/* -- hubchildren.c ------------------------------------------------------- */

jv consumer_group(struct sim *s, const char *id, const char *name);
jv consumer_group_put(struct sim *s, const struct arm_id *id, const char *api,
    jv body, jv old, enum arm_how how);
/* ARM_SEED: its ETag was given, so it may be replaced. */
jv certificate_put(struct sim *s, const struct arm_id *id, const char *api,
    jv body, jv old, enum arm_how how);
/* generateVerificationCode and verify. */
void certificate_action(struct sim *s, const struct sim_request *q,
    struct sim_reply *r, const struct arm_id *id, const char *action);

/* -- routetest.c --------------------------------------------------------- */

/* POST HUB/routing/routes/$testnew and $testall; false: another word. */
bool routes_test(struct sim *s, const struct sim_request *q,
    struct sim_reply *r, const struct arm_id *id, const char *what);

/* -- iothubs.c ----------------------------------------------------------- */

/* Where the operations of a hub in that region are polled; malloc'd. */
char *hub_operation_base(const char *region);

/* 1: If-Match fits, 0: there is none, -1: it does not fit.  Borrows. */
int hub_if_match(const struct sim_request *q, jv stored);
void hub_refuse_match(
    struct sim *s, struct sim_reply *r, const struct arm_id *id);

#endif
