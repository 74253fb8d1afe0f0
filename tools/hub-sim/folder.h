/*
 * folder.h: the folder of one run: its certificates, its database unless --db
 * names one, and what COMMAND is to take for the home of az.
 */
#ifndef FOLDER_H
#define FOLDER_H

#include <stddef.h>

/* Made at the start under TMPDIR, removed however we end but by kill -9; ends
 * the program where it cannot be made.  The name lives as long as we do. */
const char *folder_make(void);
void folder_remove(void);
/* The name of a file in it, as long as name is short; gives out back. */
enum { FOLDER_PATH = 280 };
const char *folder_file(const char *name, char out[FOLDER_PATH]);

#endif
