/*
 * importlog.h: importErrors.log, line by line (CONTRACT 16.4): which record a
 * line is about, and what it says of it.
 */
#ifndef IMPORTLOG_H
#define IMPORTLOG_H

#include "buf.h"

struct importlog_line {
	char *id, *module; /* NULL: the line does not say */
	char code[64];     /* as the service spells it, name or number */
	char *text;        /* without what it quotes: that holds keys */
};

/* 0, or -1: it is no such line.  Ends with importlog_free() either way. */
int importlog_read(struct span line, struct importlog_line *into);
void importlog_free(struct importlog_line *line);

#endif
