/*
 * loadrun.h: a plan of loadplan.h carried out: step by step, what can in calls
 * of a hundred, then one by one each record of which the answer left doubt;
 * and an outcome for each.
 */
#ifndef LOADRUN_H
#define LOADRUN_H

#include "loadjournal.h"
#include "loadplan.h"
#include "out.h"
#include "quota.h"

enum { IMPORTJOB_ROUNDS = 2 };

/* What jobs do, and what they leave to calls, as far as it is foreseen. */
struct import_cost {
	long lines[IMPORTJOB_ROUNDS];
	struct quota_cost calls;
};

struct loadrun {
	/* The caller's. */
	struct hub *hub;
	struct http *http;
	struct quota *quota; /* of the hub; may be NULL */
	struct pace *pace;   /* of identity operations; NULL: the hub's */
	struct ledger *ledger;
	struct load_plan *plan;
	struct out *out;            /* of outcomes */
	bool all;                   /* those too of records that were applied */
	bool dry_run;               /* nothing is sent */
	bool by_job;                /* see importjob.h; then also: */
	struct import_cost by_jobs; /* how much; */
	struct configurations *configurations; /* or NULL */
	const char *rejects; /* a file for what was not applied, or NULL */
	struct loadjournal *journal; /* of what is done, started; or NULL */
	bool overwrite; /* what changed since the journal began, too */

	/* What came of it. */
	enum status stop; /* not DONE: the run was stopped, and why */
	long applied, equal, failed, rejected, untried;
	long reported; /* records whose reported properties did not go over */
	long no_twin;  /* failed, but for a twin that the tier has not */
	long parents;  /* devices of which the hub keeps not all parents */
	long blind; /* modules of disabled devices, whose keys are not shown */
	bool retry; /* some failure may be cured by trying again */

	long wrote; /* records that were written one by one */

	/* For loadrun.c and importjob.c. */
	const char *remark; /* for the next outcome, or NULL */
	bool twinless;      /* the tier has no twins (CONTRACT Annex A) */
	struct hub *login;  /* the hub as somebody who is not a key, or NULL */
	bool looks;         /* some record may be LEDGER_LOOK */
	enum load_step step;
	long silent; /* failures of the service in a row */
};

/* ledger_entry.flags: a job says that it was applied; not in a journal. */
enum { LOADRUN_SAID = 1 << 14 };

/* For load_read(), whose ctx is the struct loadrun: a record that is wrong. */
load_reject loadrun_reject;
/* Carries the plan out; shows progress. */
void loadrun_steps(struct loadrun *l);
/* Outcomes of what was stopped before its turn. */
void loadrun_finish(struct loadrun *l);
/* The file of rejects: when all is said, since a disk may be full. */
void loadrun_rejects(struct loadrun *l);

/* -- for importjob.c ------------------------------------------------------ */

/* Done (LEDGER_APPLIED or LEDGER_EQUAL), as far as this step goes. */
void loadrun_settle(
    struct loadrun *l, uint32_t i, enum ledger_state state, const char *tried);
void loadrun_fail(struct loadrun *l, uint32_t i, const char *tried,
    const char *code, const char *text, bool retry);
/* To be read and compared; doubt: a call may have applied it. */
void loadrun_look(struct loadrun *l, uint32_t i, bool doubt);
/* This run has written it, as its mode permits, but perhaps not all of it. */
void loadrun_look_ours(struct loadrun *l, uint32_t i);
/* Reads, compares and writes one, in this step; do not change the step before
 * all is answered. */
void loadrun_single(struct loadrun *l, uint32_t i);
/* Before one is sent in this step in another way than by loadrun_single(). */
void loadrun_sending(struct loadrun *l, uint32_t i);
/* Between two records, and after answers: the journal is written, and a
 * signal stops the run. */
void loadrun_tick(struct loadrun *l);
/* Until all is answered. */
void loadrun_drain(struct loadrun *l);
/* Nothing more is sent; what is under way comes to its end. */
void loadrun_stop(struct loadrun *l, const struct err *e);

#endif
