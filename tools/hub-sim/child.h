/*
 * child.h: COMMAND, its environment, and the signals of hub-sim.
 */
#ifndef CHILD_H
#define CHILD_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#include "msg.h"

/* A whole environment: ours, with some variables set and others taken out. */
struct env {
	char **list; /* NULL ends it */
	size_t count;
	size_t set; /* the last so many were set by env_set() */
};

/* A copy of environ without proxies, credentials and connection strings: what
 * COMMAND does must not reach the real Azure. */
void env_begin(struct env *e);
void env_set(struct env *e, const char *name, const char *value);
/* As shell text: unset lines, then export lines. */
void env_print(const struct env *e);
void env_free(struct env *e);

struct child {
	pid_t pid; /* 0: there is none */
	bool ended;
	int status; /* of waitpid(2), or the signal that ended hub-sim itself */
	int signals; /* signalfd(2) */
	sigset_t old_mask;
};

/* Must come before child_start(); 0, or -1 with *e. */
int child_signals(struct child *c, struct err *e);
/* 0, or the status to end with: 127 not found, 126 cannot be run. */
int child_start(struct child *c, char *argv[], char *env[]);
/* Reads what came in; false: it is time to end.  arg: struct child. */
bool child_on_signals(int signals, void *arg);
/* The status of the whole run; does not return where COMMAND died of a
 * signal: so do we. */
int child_end(struct child *c);

#endif
