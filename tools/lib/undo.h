/*
 * undo.h: before the first record of a load deletes: how many that are, that
 * they are not more than was meant (--max-delete), and a file with all that
 * will be gone, keys included, which registry-load takes back (--undo).
 */
#ifndef UNDO_H
#define UNDO_H

#include "loadjournal.h"
#include "quota.h"

/* --max-delete, --undo, --no-undo. */
extern const struct opt undo_opts[];

/* Dies (usage) when an option is wrong; before anything is read. */
void undo_check(void);
/* What --undo names, or NULL. */
const char *undo_file(void);

struct undo_work {
	struct hub *hub;
	struct http *http;
	struct quota *quota;
	struct ledger *ledger;
	bool dry_run; /* say what would stop it, and write no file */
	struct loadjournal *journal; /* may know the file of a run before; or
					NULL */
};

/* When all is checked and nothing is done.  Dies where it must not go on.
 * Nothing to delete: does nothing. */
void undo_prepare(const struct undo_work *w);

#endif
