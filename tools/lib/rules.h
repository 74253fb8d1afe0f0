/*
 * rules.h: the rules in share/jq as a tool runs them: one program, which
 * costs 17 ms to compile, for all of its stages; what a rule wants to say to
 * the person who runs the tool stands in "$say" (share/jq/hub.jq).
 */
#ifndef RULES_H
#define RULES_H

#include <jv.h>

#include "jqrun.h"

/* Compiles; dies when that fails. */
struct jqrun *rules_open(const char *program);
/* The program's result for input + {"stage": stage}; "$say" is said as
 * warnings and removed.  Dies when a rule refuses. */
jv rules_run(struct jqrun *rules, const char *stage, jv input);

#endif
