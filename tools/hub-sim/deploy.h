/*
 * deploy.h: what the rooms of deployments share.  deploy.c answers requests,
 * history.c keeps what was deployed, plan.c reads a template, parameters.c its
 * parameters, world.c knows what its expressions mean, planrun.c carries it
 * out, whatif.c says what it would change, export.c writes templates, seed.c is
 * --from.
 *
 * Failures are those of arm.h: invalid, with {"status": N, "body": {...}}.
 */
#ifndef DEPLOY_H
#define DEPLOY_H

#include "arm.h"

enum part_state {
	PART_WAITING,
	PART_BUSY,
	PART_DONE,
	PART_FAILED,
	PART_SKIPPED, /* something it depends on failed */
	PART_ABSENT,  /* its condition is false */
};

/* One resource of a template; each turn of a copy loop is one. */
struct part {
	char *type, *name, *id, *api;
	jv raw;               /* as in the template, lifted */
	char *copy;           /* name of the loop, or NULL */
	int index;            /* turn of the loop */
	unsigned char *needs; /* per part: this one depends on it */
	enum part_state state;
	bool fresh; /* it was not there before */
	jv body;    /* evaluated; jv_null() while it is not */
	jv after;   /* what it became; jv_null() while it is not */
	jv failure; /* {"status", "body"} of a failed one */
};

struct copy_turn {
	const char *name;
	int index;
	const struct copy_turn *up;
};

struct plan {
	struct sim *s;
	char *group, *name;
	struct span text; /* of the request, for line numbers; borrowed */
	jv template;      /* as given */
	jv declared;      /* its parameters */
	jv given;         /* values for them: {"p": {"value": ...}} */
	jv values;        /* known values by declared name */
	jv variables;     /* lifted */
	jv outputs;       /* after plan_run() */
	jv output_failure;
	struct part *part;
	int count;
	enum arm_how how;
	bool lenient; /* the seed: a secret without value is null */
	/* while evaluating: */
	bool early; /* nothing is deployed: no reference(), no listKeys() */
	bool in_default; /* of a parameter: utcNow(), newGuid() */
	int depth;
	jv frame; /* arguments of a user's function, or invalid */
	const struct copy_turn *turn;
};

/* Template text as az sends it: comments, a name without quotes, line breaks
 * inside of strings.  Lines stay where they are. */
void deploy_tidy(struct span text, struct buf *out);

/* jv_null(), or why the template is refused.  text and s are borrowed;
 * template and given are consumed. */
jv plan_open(struct plan *p, struct sim *s, const char *group, const char *name,
    struct span text, jv template, jv given, enum arm_how how, bool lenient);
void plan_close(struct plan *p);
/* Carries it out, in the order of what depends on what. */
void plan_run(struct plan *p);
bool plan_failed(const struct plan *p);
/* What one part would send, as far as it is known without deploying: invalid
 * for what cannot be evaluated; plan_preview() gives {} then. */
jv plan_body(struct plan *p, int part);
jv plan_preview(struct plan *p, int part);
/* {"p": {"type", "value"}} for the history: no value of a secure one. */
jv plan_parameters(struct plan *p);
/* jv_null(), or the refusal that the provider would give before anything is
 * begun (bad region, name taken).  Runs the plan and undoes it. */
jv plan_preflight(struct plan *p);

/* The {"status": "Succeeded", "properties": {"changes": [...]}} of what-if. */
jv whatif_result(struct plan *p, bool ids_only);

/* POST resourcegroups/{group}/exportTemplate. */
void export_group(struct sim *s, const struct sim_request *q,
    struct sim_reply *r, const char *group, jv request);

/* As jv_at_nocase(), but jv_null() when absent. */
jv deploy_member(jv object, const char *name);

/* -- history.c ----------------------------------------------------------- */

/* What a request is about; borrowed. */
struct asked {
	struct sim *s;
	const struct sim_request *q;
	struct sim_reply *r;
	char *group, *name; /* name NULL: all deployments of the group */
	char *api;
};

struct record {
	bool there;
	int64_t started, over;
	char state[16], operation[32];
	jv body;
};

/* The body that answers show, in that state, without a result. */
jv deployment_frame(const struct asked *t, struct plan *p, const char *state);
/* [{"id"}] of its resources, or only of those that were made. */
jv deployment_parts(const struct plan *p, bool done_only);
/* Of several failed parts (CONTRACT 9.5); jv_null() while nothing failed. */
jv deployment_error(const struct plan *p);
void history_bind(sqlite3_stmt *q, const struct asked *t); /* 1 and 2 */
/* there is false: none.  The caller frees body. */
struct record history_find(const struct asked *t);
bool history_running(const struct asked *t, const struct record *rec);
/* "Accepted", "Running", then how it ended. */
const char *history_state(const struct asked *t, const struct record *rec);
/* The body as of now; consumes rec's. */
jv history_body(const struct asked *t, struct record *rec);
/* In place of what had that name; p has run.  body is consumed. */
void history_keep(
    const struct asked *t, struct plan *p, jv body, const char *operation);
/* Azure-AsyncOperation, and when to ask again. */
void history_header(const struct asked *t, const char *operation);
void history_none(const struct asked *t); /* answers 404 */

/* -- plan.c, for those who carry it out ----------------------------------- */

enum { MAX_PARTS = 800, MAX_DEPTH = 40 };

/* -1: none.  By full name, or by the last part of it if only one has it. */
int plan_part_by_id(const struct plan *p, const char *id);
int plan_part_by_name(const struct plan *p, const char *name);
/* Is there a chain of dependencies from part a to part b? */
bool plan_chained(const struct plan *p, int a, int b);
/* 400 InvalidTemplate; text is what stands between the quotes, info where it
 * is (null: not known).  Consumes. */
jv template_invalid(jv text, jv info) __attribute__((warn_unused_result));
/* An evaluation that failed, as the refusal of the template; what another
 * room said stays as it is. */
jv template_fault(jv invalid, const char *what);
int deploy_slashes(const char *text);

/* -- parameters.c -------------------------------------------------------- */

/* "secureString" in the service's spelling; NULL: no type.  type NULL too. */
const char *parameter_type(const char *type);
bool type_is_secure(const char *word);
/* A failure when it has none or a wrong one; evaluated once, then kept. */
jv parameter_value(struct plan *p, const char *name);
/* All of them, and what is given too much; jv_null() or a refusal. */
jv parameters_check(struct plan *p);

/* -- world.c ------------------------------------------------------------- */

/* An evaluation that fails says why; template_fault() makes it a refusal. */
#define fault(...) jv_fail(BAD_DATA, NULL, __VA_ARGS__)

/* A value without trees, its strings meaning themselves; or invalid. */
jv plan_evaluate(struct plan *p, jv lifted);
jv plan_lift_evaluate(struct plan *p, jv value); /* text of the template */
/* {"copy": [{"name", "count", "input"}], ...}: the loops of properties and
 * variables; what they make stands beside them. */
jv plan_expand(struct plan *p, jv value);
/* As far as it is known: trees may be left. */
jv plan_fold(struct plan *p, jv lifted);

/* -- planrun.c ----------------------------------------------------------- */

/* With what it needs, if it has not run; reference() does so. */
void plan_run_part(struct plan *p, int part);

/* unique.c: the arguments, all strings, to a stable text.  Consume. */
jv unique_string(jv args);
jv unique_guid(jv args);

#endif
