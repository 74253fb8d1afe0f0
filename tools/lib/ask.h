/*
 * ask.h: --confirm=NAME, asked for at a terminal (DESIGN 5): what destroys
 * has its target named twice.
 */
#ifndef ASK_H
#define ASK_H

#include <stdbool.h>

/* Is there a person at a terminal? */
bool ask_possible(void);

/* Does the person at the terminal type that name?  false where nobody sits. */
bool ask_name(const char *question, const char *name);

#endif
