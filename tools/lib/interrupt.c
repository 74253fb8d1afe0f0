/* interrupt.c: a signal is noted; see interrupt.h. */
#include "interrupt.h"

#include <signal.h>
#include <stddef.h>
#include <unistd.h>

/* What a handler can reach is global. */
static volatile sig_atomic_t seen;
static volatile unsigned patience;

static void
on_signal(int sig)
{
	seen = sig; /* SA_RESETHAND: the next one ends us */
	(void)alarm(patience);
}

static void
on_alarm(int sig)
{
	(void)sig;
	(void)signal(seen, SIG_DFL);
	(void)raise(seen);
}

void
interrupt_catch(unsigned seconds)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction old, act = { .sa_handler = on_signal };

	patience = seconds;
	act.sa_flags = (int)SA_RESETHAND;
	(void)sigemptyset(&act.sa_mask);
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
		/* nohup(1), and shells for what runs in the background */
		if (sigaction(signals[i], NULL, &old) == 0 &&
		    old.sa_handler != SIG_IGN)
			(void)sigaction(signals[i], &act, NULL);
	(void)signal(SIGALRM, on_alarm);
}

int
interrupt_seen(void)
{
	return seen;
}

void
interrupt_die(void)
{
	if (!seen)
		return;
	(void)signal(seen, SIG_DFL);
	(void)raise(seen);
}
