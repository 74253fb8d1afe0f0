/*
 * arm.h: what arm.c, iothubs.c, services.c and deploy.c share; iothubs.h and
 * deploy.h say what theirs share besides.
 *
 * A kind of resource is one row in a table: iothubs.c and services.c each have
 * one, and what Resource Manager does for all of them is done once: arm.c has
 * requests, paths and lists, resources.c what is stored, its groups and the
 * deny knob, operations.c long-running operations, regions.c regions, and
 * armwords.c failures and answers.
 *
 * Failure is an invalid jv whose message is {"status": N, "body": {...}}:
 * arm_fail() makes one in the standard envelope (CONTRACT 3.1), hub_fail() in
 * the hub provider's flat form, arm_refuse() turns one into a reply.
 */
#ifndef ARM_ROOM_H
#define ARM_ROOM_H

#include "doc.h"
#include "sim.h"

enum { ARM_DEPTH = 6 };

struct arm_kind;

/* A resource id, taken apart.  Names are decoded; type and id are spelt as
 * answers spell them, whatever the request did. */
struct arm_id {
	char *key; /* the id in lower case: its place in the store */
	char *id;
	char *group; /* as the group was created */
	char *name[ARM_DEPTH];
	int depth;
	const struct arm_kind *kind;
};
/* false: no resource id, or of a type that hub-sim does not have. */
bool arm_id_parse(struct sim *s, const char *text, struct arm_id *out);
void arm_id_free(struct arm_id *id);
/* "Microsoft.Devices/IotHubs", any case, known? */
bool arm_type_known(const char *type);

/* How a PUT is meant. */
enum arm_how {
	/* At once and over when it returns, as a deployment wants it: the
	 * deployment has its own time.  arm_put() is this. */
	ARM_SETTLED = 0,
	/* As a client's own PUT: a new hub is Activating for operation_ms. */
	ARM_SLOW = 1,
	/* --from: as if the hub had been there for long.  Masked keys are
	 * replaced by the first key of what the endpoint points at, and a
	 * system-assigned identity counts as having its roles. */
	ARM_SEED = 2,
};
jv arm_put_as(
    struct sim *s, const char *id, const char *api, jv body, enum arm_how how);

/* {"name","location","id","tags"...}; invalid: no such group. */
jv arm_group(struct sim *s, const char *group);
/* 0, or -1 with *r filled where r is not NULL. */
jv arm_group_put(struct sim *s, const char *group, jv body);
/* All resources of a group as GET gives them, in the order they were made,
 * parents first; of every group with NULL. */
jv arm_group_resources(struct sim *s, const char *group);
/* Removes it and what is in it; false: was not there. */
bool arm_delete(struct sim *s, const char *id);

jv arm_failure(int status, jv body); /* {"status", "body"} as an invalid jv */
__attribute__((format(printf, 3, 4))) jv arm_fail(
    int status, const char *code, const char *fmt, ...);
__attribute__((format(printf, 4, 5))) jv hub_fail(
    struct sim *s, int status, int code, const char *fmt, ...);
void arm_refuse(struct sim_reply *r, jv failure);
/* Like sim_json(), but numbers that libjq would alter come out as they came
 * in (doc.h). */
void arm_answer(struct sim_reply *r, int status, jv body);
/* The answer, or arm_refuse() where it is invalid. */
void arm_answer_or(struct sim_reply *r, int status, jv answer);

/* -- for the tables of kinds --------------------------------------------- */

struct arm_kind {
	const char *type;
	int created, replaced; /* what PUT answers */
	bool tracked;          /* has a location, may have tags */
	bool global;           /* its name is unique in the whole world */
	bool hub;              /* belongs to the hub provider */
	bool implied;          /* there with its parent, kept once changed */
	/* The new stored body from what was sent; old is jv_null() for a new
	 * one.  Consumes body and old. */
	jv (*put)(struct sim *s, const struct arm_id *id, const char *api,
	    jv body, jv old, enum arm_how how);
	/* What comes into being with it. */
	void (*born)(struct sim *s, const struct arm_id *id);
	/* What GET shows of the stored body; NULL: all of it. */
	jv (*view)(
	    struct sim *s, const struct arm_id *id, const char *api, jv stored);
	/* POST id/action.  jv_null(): no such action.  Consumes. */
	jv (*action)(struct sim *s, const struct arm_id *id, jv stored,
	    const char *action, jv request);
};
extern const struct arm_kind hub_kinds[], service_kinds[]; /* type NULL ends */

/* The stored body; invalid: none.  key in lower case. */
jv arm_load(struct sim *s, const char *key);
bool arm_there(struct sim *s, const char *key);
void arm_store(struct sim *s, const struct arm_id *id, jv body);
/* The key of the one resource of that type with that name, in any group;
 * malloc'd, NULL: none. */
char *arm_find_global(struct sim *s, const char *type, const char *name);
/* Stored bodies of that type below that key (NULL: anywhere). */
jv arm_list(struct sim *s, const char *type, const char *below);
/* arm_keys() without the deny knob. */
jv arm_keys_plain(
    struct sim *s, const char *id, const char *action, jv request);
/* Short name of a region ("West US 2" too), malloc'd; NULL: no such region. */
char *arm_region(jv given);
const char *arm_region_title(const char *region); /* display name */
const char *arm_region_pair(const char *region);  /* short name or NULL */
char *arm_lower(const char *text);
/* Members of an object, which is borrowed. */
char *arm_text(jv object, const char *name); /* malloc'd; NULL: no string */
jv arm_member(jv object, const char *name);  /* jv_null(): none */
bool arm_has(jv object, const char *name);   /* and it is not null */
bool arm_is_true(jv object, const char *name);
/* jv_put() unless the value is null.  Consumes, as jv_put() does. */
jv arm_put_some(jv object, const char *name, jv value);
/* The value if it is of the kind of the other one, else that.  Consumes. */
jv arm_or(jv value, jv otherwise);
/* A whole number; otherwise when absent.  Microsoft's own sample templates
 * give capacity and partitionCount as text. */
long arm_number(jv object, const char *name, long otherwise);
/* 'X' of "member eq 'X'" or "member('X')" in a $filter, malloc'd; NULL: it is
 * not said. */
char *arm_filtered(const char *filter, const char *member);
/* Text that a date and time can be made of, in the form of ARM. */
jv arm_time(int64_t ms);

/* -- between arm.c, resources.c and operations.c -------------------------- */

/* A request's body, an object; or a failure. */
jv arm_parse(struct span text);
jv arm_not_found(const struct arm_id *id); /* 404, and of a group */
jv arm_no_group(const char *group);
/* JSON in a column, and bound to a statement (consumed). */
jv arm_column(sqlite3_stmt *q, int column);
void arm_bind(sqlite3_stmt *q, int index, jv v);
jv arm_regions(void); /* {"westus": {"displayName", "pairedWith"...}} */

const struct arm_kind *arm_kind_of(const char *type); /* any case, or NULL */
/* The nearest resource above key that the store could have; false: none. */
bool arm_parent(struct sim *s, const char *key, struct arm_id *out);
/* What GET shows of it.  Consumes stored. */
jv arm_view(struct sim *s, const struct arm_id *id, const char *api, jv stored);
/* Keys of a group's (NULL: any) resources of a type (NULL: any). */
jv arm_keys_where(struct sim *s, const char *group, const char *type);
/* The 403 of the deny knob (resources.c), or null. */
jv arm_denied(struct sim *s, const struct arm_id *id, const char *action);
/* POST id/action; knob: the deny knob counts. */
jv arm_act(
    struct sim *s, const char *id, const char *action, jv request, bool knob);
void arm_group_delete(struct sim *s, const char *group);
/* When to ask again (doubt lro-retry-after): at once, or later where operations
 * last as long as Azure's. */
void arm_retry_long(const struct sim *s, struct sim_reply *r);
/* The next number of that name, from 1. */
long arm_count_up(struct sim *s, const char *name);
/* GET of .../{place}/{id}; false: there is no such operation. */
bool operation_poll(struct sim *s, const struct sim_request *q,
    struct sim_reply *r, const char *place, const char *id);
/* Simulated milliseconds: --operation-ms for all, or with --timing=real as
 * long as Azure was seen to take (CONTRACT 3.2). */
enum arm_work {
	WORK_OTHER,
	WORK_CREATE, /* of a hub, as the next two */
	WORK_UPDATE,
	WORK_DELETE,
	WORK_FAILOVER,
	WORK_CHILD, /* a hub is busy with a consumer group, a certificate */
};
int64_t arm_lasts(const struct sim *s, enum arm_work work);
/* arm_operation() that takes so long. */
void arm_operation_for(struct sim *s, const struct sim_request *q,
    struct sim_reply *r, int status, const char *location_base, jv result,
    bool async_header, bool location_header, int64_t lasts);

/* -- providers.c --------------------------------------------------------- */

/* The newest api-version of a type, or of a provider's; NULL: not known. */
const char *arm_version_of(const char *type);
/* Below /subscriptions/{s}/providers; false: not it.  n: segments. */
bool providers_handle(struct sim_reply *r, const struct sim_request *q, int n);
/* .../providers/Microsoft.Devices/usages */
void usages_answer(struct sim *s, struct sim_reply *r);
/* /tenants, and the operations of a provider; false: neither. */
bool tenant_handle(struct sim_reply *r, const struct sim_request *q);

/* -- iothubs.c and hub.c ------------------------------------------------- */

bool hub_handle(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const struct arm_id *hub, int segment);
void hub_put_http(struct sim *s, const struct sim_request *q,
    struct sim_reply *r, const struct arm_id *id, const char *api, jv body);
void hub_delete(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const struct arm_id *id);
void hub_forget(struct sim *s, const char *name); /* rows of a hub */
void hub_reap(struct sim *s); /* what was deleted long enough ago, goes */
/* A deployment that ends at over has written it; fresh: made it. */
void hub_deployed(struct sim *s, const char *name, bool fresh, int64_t over);
/* Requests to a hub, or below it, that do not reach it now; true: answered.
 * It may also have made the reply late. */
bool hub_gate(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const struct arm_id *id);

#endif
