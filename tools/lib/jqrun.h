/*
 * jqrun.h: a jq program run by libjq, from share/jq or from the user.
 * $HOME/.jq is never read (libjq 1.6 would).  Compiling costs about 17 ms, so
 * compile only what will run.
 */
#ifndef JQRUN_H
#define JQRUN_H

#include <jv.h>

#include "msg.h"

struct jqrun;

/*
 * program: jq text, which may `import "name" as x;` from share/jq.
 * args: an object; its members become $variables.  Consumed.
 * Returns NULL with *e filled (BAD_USAGE) when it does not compile.
 */
struct jqrun *jqrun_compile(const char *program, jv args, struct err *e);
/* The first result; jv_invalid() without message when there is none; invalid
 * with message on an error.  Consumes input. */
jv jqrun_first(struct jqrun *p, jv input);
/* The message of an error, malloc'd, to be shown: libjq quotes values in
 * parentheses, and a value may be a key, so these are left out.  Consumes it.
 */
char *jqrun_why(jv error);
void jqrun_free(struct jqrun *p);

#endif
