/*
 * importroom.h: what the rooms of importjob.h share, and nobody else needs.
 */
#ifndef IMPORTROOM_H
#define IMPORTROOM_H

#include "idset.h"
#include "importjob.h"
#include "job.h"
#include "joblog.h"

/* ledger_entry.flags, beside those of loadplan.h; all gone after a round. */
enum {
	SENT = 1 << 15,  /* in this round's file, and nothing is said of it */
	MANY = 1 << 16,  /* a device with modules in this round's file */
	VAGUE = 1 << 17, /* an error is about it, or about one of its modules */
	PROBE = LOADRUN_SAID, /* to be read: does the job speak true? */
	WAITS = PROBE, /* while a file is made: a device, for its modules */
};
_Static_assert(((SENT | MANY | VAGUE | PROBE) & LOAD_FLAGS) == 0,
    "a flag of two meanings");

enum { FEW = 1000 }; /* so many doubtful ones are looked at one by one */

/* Of so many that a job says it applied, so many are looked at. */
static inline uint32_t
import_probes(uint32_t said)
{
	uint32_t want = said / 20 + 10;

	return want > 100 ? 100 : want;
}

struct importjob {
	struct loadrun *l;
	struct storage *storage;
	struct job *job;
	int round, attempt;
	bool again;       /* the lines may have been sent before */
	bool careful;     /* nothing that is there is written over */
	bool unread;      /* what the job holds is not known */
	bool unmade;      /* parents need not be there: only counting */
	uint32_t sent;    /* lines of this round */
	uint32_t orphans; /* of these, modules whose device has no record */
	struct idset strays;
	long unjoined, probes;
	struct buf left; /* outcomes of errors that fit no record */
	bool off;        /* the hub has no jobs: single calls do it */
};

/*
 * importlines.c: which records, and how.
 */
/* What goes into the file of each round, in this order. */
extern const enum load_step import_order[IMPORTJOB_ROUNDS][LOAD_STEPS];
/* The step that a record of this round's file is in. */
enum load_step import_step(
    const struct importjob *j, const struct ledger_entry *e);
/* A module of a device that is open only until its modules are there. */
bool import_is_hasty(struct ledger *g, const struct ledger_entry *e);
/* -1: ledger_changed(), and nothing is read. */
int import_record(
    struct importjob *j, uint32_t i, struct buf *line, struct record *rec);
/* Is nothing that is there to be written over? */
bool import_is_careful(const struct loadrun *l);
/* How much of all that is to be done goes into files, and what is left to
 * calls.  read: of each record it is known, which takes time. */
void import_count_all(
    const struct loadrun *l, bool read, struct import_cost *cost);
/* Marks what goes into this round's file: SENT, and j->sent of them. */
void import_choose(struct importjob *j);
/* The file, piece by piece. */
int import_write(struct importjob *j, struct blob_writer *to, struct err *e);
/* The file of an earlier run's job: what is not in it is not SENT. */
int import_read(struct importjob *j, const char *name, struct err *e);

/*
 * importword.c: what is believed.
 */
/* Our word for the service's, or its number. */
void import_code(const struct joblog_error *error, char code[64]);
/* One line of the log, whose ctx is the struct importjob. */
joblog_said import_take_error;
/* How many of the file nothing has been said of yet. */
uint32_t import_count(struct importjob *j);
/* What an error may be about is to be read. */
void import_look_at_vague(struct importjob *j);
/* Reads, compares and writes those that are to be looked at: all, or the
 * probes. */
void import_look(struct importjob *j, bool probes);
/* The job says that it has applied all that its log does not name. */
void import_believe(struct importjob *j);
/* What became of the rest, the job does not tell. */
void import_doubt(struct importjob *j, const struct err *why);
/* No flag of ours is left. */
void import_forget(struct importjob *j);

#endif
