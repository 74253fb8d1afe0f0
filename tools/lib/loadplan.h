/*
 * loadplan.h: what a stream of records asks of a hub: read whole and checked,
 * linked (modules to devices, children to parents), and put into steps.
 *
 * Edge devices come first and without parents, since the hub chooses their
 * scopes, which children need (CONTRACT 12.3).  A disabled device that gets
 * modules is enabled until they are there, but with keys that nobody knows,
 * and gets its own with its status, in one write (CONTRACT 12.4).
 */
#ifndef LOADPLAN_H
#define LOADPLAN_H

#include "entry.h"
#include "hub.h"
#include "ledger.h"

enum load_step {
	LOAD_DELETE_DEVICES, /* with them go their modules */
	LOAD_DELETE_MODULES,
	LOAD_EDGE,   /* Edge devices, parents left as they are */
	LOAD_SCOPES, /* read back the scopes that children need */
	LOAD_DEVICES,
	LOAD_PARENTS, /* of Edge devices */
	LOAD_PEEK,    /* modules of devices that are disabled already */
	LOAD_OPEN,    /* of these devices, those that lack one */
	LOAD_MODULES,
	LOAD_CLOSE,  /* real keys and status of disabled devices */
	LOAD_SYSTEM, /* desired of $edgeAgent and $edgeHub */
	LOAD_TWINS,
	LOAD_STEPS,
};

/* ledger_entry.flags */
enum {
	LOAD_IS_MODULE = 1,
	LOAD_IS_SYSTEM = 2,
	LOAD_IS_EDGE = 4,
	LOAD_IS_DISABLED = 8,
	LOAD_HAS_PARENT = 16,
	LOAD_LOCKED = 32,    /* disabled, and modules come with it */
	LOAD_DOUBT = 64,     /* an earlier call may have written it */
	LOAD_SHUT = 128,     /* locked, but is disabled on the hub already */
	LOAD_LACKS = 256,    /* shut, and a module of it is missing */
	LOAD_HAS_TWIN = 512, /* tags or properties */
	LOAD_HAS_REPORTED = 1024, /* reported properties */
	LOAD_KNOWN = 2048,        /* its identity was written by this run */
	LOAD_OURS = 4096,         /* we have written it, as its mode permits */
	LOAD_IS_MANAGED = 8192,   /* a module with managedBy */
	LOAD_FLAGS = 16383,       /* all of these */
};

struct load_rules {
	bool generate_keys, allow_partial, dry_run;
	const char *manifest, *confirm;
	long expect;   /* -1: any */
	bool same_hub; /* found out by load_check_source() */
};

struct load_plan;

typedef void load_reject(
    void *ctx, uint32_t entry, const char *code, const char *text);

/* Refuses a destination that is the source too, where both are known. */
int load_check_source(struct load_rules *rules, struct hub *hub,
    struct http *http, const char *operand, struct err *e);
/* Reads stdin to its end.  reject is called for each line that is no record,
 * or one that may not be applied. */
struct load_plan *load_read(struct ledger *ledger,
    const struct load_rules *rules, load_reject *reject, void *ctx,
    struct err *e);
/* May this input be applied at all? */
int load_check(const struct load_plan *p, const struct load_rules *rules,
    const struct hub *hub, const char *operand, struct err *e);
/* SHA-256 of all lines that may be records, in hex. */
const char *load_input(struct load_plan *p);
/* A record that an earlier run left undone: if it is a module of a device that
 * is opened for its modules, that is to be looked at, and opened, once more. */
void load_reopen(struct load_plan *p, uint32_t entry);
void load_free(struct load_plan *p);

bool load_takes_part(
    const struct load_plan *p, uint32_t entry, enum load_step step);
/* May there be one that does, now or later?  Spares a look at each. */
bool load_has_step(const struct load_plan *p, enum load_step step);
/* Does a later step go on with it? */
bool load_later(const struct load_plan *p, uint32_t entry, enum load_step step);
enum entry_form load_form(
    const struct load_plan *p, uint32_t entry, enum load_step step);
/* Why it cannot be applied in this step, or NULL.  *hopeless: trying again
 * cannot help, since what it stands on was rejected. */
const char *load_obstacle(const struct load_plan *p, uint32_t entry,
    enum load_step step, bool *hopeless);
/* In LOAD_CLOSE, which has no obstacles: its parent is not there. */
bool load_orphan(
    const struct load_plan *p, uint32_t entry, enum load_step step);
/* Whether a bulk call takes parents is UNCONFIRMED, and managedBy is no member
 * of its entries (CONTRACT 16.3): look afterwards. */
bool load_unsure(
    const struct load_plan *p, uint32_t entry, enum load_step step);
bool load_deletes(const struct ledger_entry *e);
bool load_goes_in_bulk(const struct ledger_entry *e, enum load_step step);
enum record_mode load_bulk_mode(const struct ledger_entry *e);

/* A record that brings a twin; LEDGER_NONE: none does. */
uint32_t load_first_twin(const struct load_plan *p);

/* One JSON line for each step that has something to do, and how many
 * operations that is.  Plays the plan through: do it instead of running it. */
double load_plan_text(struct load_plan *p, struct buf *into);
/* What the plan, as far as it is not done yet, will ask of the hub.  Calls that
 * doubt and failures make necessary are not foreseen. */
struct quota_cost;
void load_plan_cost(struct load_plan *p, struct quota_cost *cost);
/* The same of pieces, added to *cost: a record in one step, one that is looked
 * at, and the scopes of parents. */
void load_cost_call(const struct load_plan *p, uint32_t entry,
    enum load_step step, struct quota_cost *cost);
void load_cost_look(struct quota_cost *cost);
void load_cost_scopes(struct load_plan *p, struct quota_cost *cost);
/* Asks the hub for the scopes of all parents.  One that is not there has none.
 */
int load_read_scopes(
    struct load_plan *p, struct hub *hub, struct http *http, struct err *e);
/* Scopes of the entry's parents on this hub, with blanks between them, the
 * nearest first; NULL: none, or not there. */
const char *load_scope(const struct load_plan *p, uint32_t entry);

#endif
