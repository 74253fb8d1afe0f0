/*
 * failwatch.h: a failover that is begun, and watched until the hub answers
 * again.  Nothing that is asked meanwhile can end the watch: the hub may hide,
 * polls may fail, the network may go (CONTRACT 6).
 */
#ifndef FAILWATCH_H
#define FAILWATCH_H

#include "failplan.h"
#include "out.h"

struct failwatch {
	struct arm *arm;       /* borrowed, as all of these */
	struct failplan *plan; /* the last that is known of the hub */
	struct out *out;       /* one line for each change */
	double every;          /* seconds between two looks */
	double give_up;        /* seconds after which it is no longer watched */

	char *operation; /* where the service tells of it; malloc'd or NULL */
	double began;    /* seconds since 1970; 0: before we came, unknown */
	/* Seconds since then, or since we came; less than 0: not seen. */
	double moved;  /* the built-in endpoint is another */
	double active; /* the hub is Active in its new region */
	double over;   /* the operation has ended */
	double dns;    /* the hub's name leads to another address */
	double data;   /* a first call of the data plane was answered */
	jv endpoint[2], address[2]; /* before, after */
};

/* Fills the members that it owns; notes endpoint and address as they are. */
void failwatch_start(struct failwatch *w);
/* Takes from a line of turns.h what it knows of one that is under way. */
void failwatch_resume(struct failwatch *w, jv turn);

/*
 * Asks the service, once.  0: it is under way, perhaps because another has
 * asked.  -1 with *e: refused, or nothing has begun.  Where no answer came, or
 * one that leaves doubt, the hub is looked at before anything is said.
 */
int failwatch_ask(struct failwatch *w, struct err *e);

/*
 * DONE: the hub is where it should be, and answers.  Otherwise *e says:
 * REMOTE_REFUSED: it failed; ANSWER_NO: it went elsewhere; REMOTE_RETRY: it is
 * not watched any longer, be it for a signal (interrupt.h).
 */
enum status failwatch_run(struct failwatch *w, struct err *e);

void failwatch_end(struct failwatch *w);

#endif
