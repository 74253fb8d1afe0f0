/*
 * idfile.h: a set of registry ids that takes no more memory the more there are
 * in it: keys of 16 bytes in a file that nobody else sees, 16 to 64 bytes an
 * id there.  A small one is in memory, at most 512 KiB.
 */
#ifndef IDFILE_H
#define IDFILE_H

#include <stdbool.h>
#include <stddef.h>

struct idfile;

/* Nothing is made before the first id.  expected: about how many there will
 * be, or 0.  All die on failure. */
struct idfile *idfile_open(long expected);
/* module NULL for a device.  true: it was not there. */
bool idfile_add(struct idfile *f, const char *id, const char *module);
bool idfile_has(struct idfile *f, const char *id, const char *module);
void idfile_close(struct idfile *f);

#endif
