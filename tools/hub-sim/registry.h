/*
 * registry.h: what the files of the data plane share (CONTRACT 11 to 15).
 *
 * registry.c receives the calls and words the errors; sas.c knows who asks;
 * identity.c keeps devices and modules, entry.c reads what is said of one;
 * bulk.c applies many at once, from a call or from a file; sections.c works on
 * the text of tags and properties; twins.c writes and shows twins; query.c
 * answers what queryread.c parsed (query.h); configurations.c keeps
 * configurations, and targets.c applies them.
 *
 * A device and a module are both one row: a device's module is ''.  Tags,
 * desired and reported properties are kept as the text that was sent; what the
 * service adds ($metadata, $version) stands in columns of its own and is put
 * in when a twin is shown.
 */
#ifndef REGISTRY_H
#define REGISTRY_H

#include "sim.h"

/* One call, and where it goes. */
struct visit {
	struct sim *s;
	const struct sim_request *q;
	struct sim_reply *r;
	struct sim_hub hub;
	int64_t now;
	bool by_key;  /* SharedAccessSignature, not a bearer token */
	bool loading; /* a file at start: q and r are NULL */
	enum { CONFIGURED_MAYBE, CONFIGURED_NO, CONFIGURED_YES } configured;
};

/*
 * Why the service says no.  The functions here return 0, or -1 with a fault.
 * The macros stand for the three facts of CONTRACT 11.3; where it gives no
 * number (UNCONFIRMED) the family's first one is used.
 */
struct refusal {
	int status, number;
	const char *code;
	char text[512];
};
#define ARGUMENT_INVALID 400, 400004, "ArgumentInvalid"
#define DEFINED_TWICE 400, 400011, "DeviceDefinedMultipleTimes"
#define NOT_PARSED 400, 400012, "DeserializationError"
#define FORMAT_ERROR 400, 400006, "IotHubFormatError"
#define BAD_SCOPE 400, 400000, "InvalidDeviceScope"
#define BAD_CONTENT 400, 400403, "InvalidConfigurationContent"
#define UNAUTHORIZED 401, 401002, "IotHubUnauthorizedAccess"
#define NO_SUCH_HUB 401, 401001, "IotHubNotFound"
#define SYSTEM_MODULE 401, 401000, "SystemModuleModifyUnauthorizedAccess"
#define HUB_FULL 403, 403002, "IotHubQuotaExceeded"
#define NOT_IN_TIER 403, 403010, "OperationNotAvailableInCurrentTier"
#define NO_DEVICE 404, 404001, "DeviceNotFound"
#define NO_MODULE 404, 404010, "ModuleNotFound"
#define FAILING_OVER 404, 404012, "IotHubFailingOver"
#define NO_CONFIGURATION 404, 404301, "ConfigurationNotFound"
#define DEVICE_EXISTS 409, 409001, "DeviceAlreadyExists"
#define MODULE_EXISTS 409, 409301, "ModuleAlreadyExistsOnDevice"
#define CONFIGURATION_EXISTS 409, 409401, "ConfigurationAlreadyExists"
#define PRECONDITION 412, 412001, "PreconditionFailed"
#define TOO_MANY_DEVICES 413, 413002, "TooManyDevices"
#define TOO_MANY_MODULES 413, 413003, "TooManyModulesOnDevice"

int refuse(struct refusal *f, int status, int number, const char *code,
    const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* Fills the reply, in the form the service has for that code. */
void reply_refusal(struct visit *v, const struct refusal *f);
/* The body is the reply's then. */
void reply_text(struct visit *v, int status, struct buf *body);

/* The body as JSON, or -1: it is none.  json_free() comes after either. */
int visit_body(struct visit *v, struct json *body, struct refusal *f);
/* The 405 for a method that is not known here. */
int visit_no_method(struct visit *v, struct refusal *f);
/* sas.c: may who asks do this?  NULL rights: being known is enough. */
int visit_allowed(struct visit *v, const char *right, struct refusal *f);

/*
 * sections.c: text that json_scan() has passed.
 */
struct each { /* walks the members of an object or elements of an array */
	const char *p, *end;
	bool object;             /* else an array, whose names are empty */
	struct span name, value; /* name without its quotes, as spelt */
};
void each_begin(struct each *e, struct span value);
bool each_next(struct each *e);
/* Without case, as the service reads members. */
bool name_is(struct span name, const char *text);
struct span object_get(struct span object, const char *name); /* as spelt */
/* A string value as C text; "" for null; -1: no string, or too long. */
int copy_string(struct span value, char *out, size_t size);

/* A section after check and clean: what is to be stored. */
enum { MAX_TAGS = 8 * 1024, MAX_PROPERTIES = 32 * 1024 };
int section_check(const char *what, struct span value, size_t max,
    bool *needs_cleaning, struct refusal *f);
/* Checks it as new content; *value then is what to store, in *room where it
 * is not the text that was sent (null members, $metadata, line ends). */
int section_take(const char *what, struct span *value, size_t max,
    struct buf *room, struct refusal *f);
void section_merge(struct span old, struct span patch, struct buf *out);
struct stamp {
	char time[32];
	int64_t version; /* 0: none is shown, as in reported */
};
/* Not negative; quicker than a format. */
void add_decimal(struct buf *out, int64_t n);
void metadata_merge(struct span old, struct span patch,
    const struct stamp *stamp, struct buf *out);
void metadata_follow(struct span old_meta, struct span old, struct span now,
    const struct stamp *stamp, struct buf *out);

/*
 * identity.c
 */
enum auth { AUTH_SAS, AUTH_SELF_SIGNED, AUTH_CA, AUTH_NONE };

struct row {
	int64_t seq;
	struct span id, module, generation; /* module "": a device */
	int64_t etag;
	bool disabled;
	struct span reason;  /* a JSON string as spelt; .at NULL: null */
	int64_t status_time; /* 0: never */
	enum auth auth;
	struct span key1, key2, thumb1, thumb2; /* .at NULL: null */
	bool edge;
	struct span scope;   /* an Edge device's own */
	struct span parent;  /* the scope of the device above */
	struct span managed; /* managedBy, a JSON string as spelt */
	struct span tags, desired, reported;
	struct span desired_meta; /* .at NULL: all as of birth, version 1 */
	int64_t version, twin_etag, desired_version, reported_version;
	int64_t born;
	bool deployed; /* by applyConfigurationContent */
};
#define ROW_COLUMNS                                                          \
	"seq, id, module, generation, etag, disabled, reason, status_time, " \
	"auth, key1, key2, thumb1, thumb2, edge, scope, parent, managed, "   \
	"tags, desired, reported, desired_meta, version, twin_etag, "        \
	"desired_version, reported_version, born, deployed"
void row_read(sqlite3_stmt *stmt, struct row *row);
/* Spans live until the next row_find() of this turn. */
bool row_find(
    struct visit *v, const char *id, const char *module, struct row *row);
/* Tells "no such device" from "no such module" in a fault; always -1. */
int row_missing(
    struct visit *v, const char *id, const char *module, struct refusal *f);
int row_save_twin(struct visit *v, const struct row *row);

/*
 * entry.c
 */
/* What a body or a line says about an identity and its twin. */
struct entry {
	char id[136], module[136], etag[64], twin_etag[64], mode[48];
	bool has_module, has_status, disabled, edge, has_edge;
	bool faulty; /* reading it found fault with some value */
	bool has_auth;
	enum auth auth;
	char key1[100], key2[100], thumb1[72], thumb2[72];
	char scope[256], parent[256];
	struct span reason, managed;
	struct span tags, desired, reported; /* .at NULL: not given */
};
enum entry_form { ENTRY_DEVICE, ENTRY_MODULE, ENTRY_LINE };
/* What the format of bulk calls and imports has no place for (CONTRACT 16.3).
 */
void entry_without_managed(struct entry *e);
int entry_read(struct span object, enum entry_form form, struct entry *e,
    struct refusal *f);
int id_check(const char *id, const char *what, struct refusal *f);

/*
 * identity.c, again
 */
/* match: what If-Match says; NULL or "" for none. */
int identity_create(struct visit *v, const struct entry *e, struct refusal *f);
int identity_update(struct visit *v, const struct entry *e, const char *match,
    struct refusal *f);
int identity_delete(struct visit *v, const char *id, const char *module,
    const char *match, struct refusal *f);
/* The 401 that calls on the modules of a missing or disabled device get. */
int modules_reachable(struct visit *v, const char *id, struct refusal *f);
void identity_text(const struct row *row, bool just_made, struct buf *out);
/* The value of its member "authentication". */
void authentication_text(const struct row *row, struct buf *out);
/* Its capabilities and scopes; empty: an array of no parents is shown. */
void edge_text(const struct row *row, bool empty, struct buf *out);
/* name and the text in quotes, or null where .at is NULL. */
void text_or_null(struct buf *out, const char *name, struct span text);
void etag_text(int64_t etag, char out[40]);
/* 1: it matches; 0: it does not; -1: nothing was given. */
int etag_matches(const char *match, const char *etag);
/* Only for loading a file, where parents may come after children. */
bool identity_set_parent(
    struct visit *v, const char *id, const char *parent_id);
void parent_id_of(const char *scope, char out[256]);

/*
 * twins.c
 */
void twin_etag_text(int64_t etag, char out[24]);
void twin_text(const struct row *row, struct buf *out);
void twin_show(struct visit *v, const struct row *row, struct buf *out);
/* .at NULL: leave that section.  What is not replaced is merged. */
enum { REPLACE_TAGS = 1, REPLACE_DESIRED = 2, REPLACE = 3 };
int twin_write(struct visit *v, const char *id, const char *module,
    const char *match, struct span tags, struct span desired, int replace,
    struct refusal *f);
/* Desired of a row as it is to become; version and metadata follow, of all of
 * it or of what is new. */
int twin_set_desired(struct visit *v, struct row *row, struct span desired,
    bool whole, struct refusal *f);
void twins_handle(struct visit *v);

void bulk_handle(struct visit *v);
void query_handle(struct visit *v);
/* 0: it is a query of that form (condition: only what follows WHERE). */
int query_check(const char *text, bool condition, struct refusal *f);

/*
 * configurations.c
 */
void configurations_handle(struct visit *v);
void apply_content(struct visit *v, const char *id);
/* Makes one (match NULL) or changes it; body has been scanned. */
int configuration_write(struct visit *v, const char *id, struct span body,
    const char *match, struct refusal *f);
int configuration_delete(
    struct visit *v, const char *id, const char *match, struct refusal *f);
/* now with each key of content set; -1 where one leads through no object. */
int content_set(struct span now, struct span content, struct buf *out);
/* The module of a deployment, if it is not there yet. */
int deployed_module(
    struct visit *v, const char *id, const char *module, struct refusal *f);
int deployed_modules(
    struct visit *v, const char *id, struct span agent, struct refusal *f);

/*
 * targets.c: configurations are applied in the background, some time after
 * they or a twin have changed.
 */
/* That row is new, or its tags are. */
void configurations_mark(struct visit *v, int64_t seq);
/* A device or a module goes. */
void configurations_unmark(struct visit *v, const char *id, const char *module);
/* One was made, changed or deleted. */
void configurations_changed(struct visit *v);
/* {"id":{"status":"Applied"}}; false, and {}: there is none. */
bool configurations_of(struct visit *v, int64_t seq, struct buf *out);
void configurations_forget(struct sim *s, const char *hub);
int64_t configurations_tick(struct sim *s);

#endif
