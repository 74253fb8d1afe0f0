/*
 * interrupt.h: SIGINT, SIGTERM and SIGHUP for a tool that stops in its own
 * way: the first is noted, so that what is under way can come to its end; the
 * second ends the process at once, and so does time.
 */
#ifndef INTERRUPT_H
#define INTERRUPT_H

/* From now on; seconds: how long the end may take after the first signal. */
void interrupt_catch(unsigned seconds);
/* The signal that came, or 0. */
int interrupt_seen(void);
/* Dies by it, if one came: whoever waits for us must learn it. */
void interrupt_die(void);

#endif
