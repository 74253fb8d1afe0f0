/*
 * configurations.h: the automatic configurations and Edge deployments of a
 * hub: as lines of the service's own configurations.txt (CONTRACT 15, 16.3),
 * read, written, and made true on another hub; registry-diff compares them.
 *
 * A hub holds at most a hundred, so all are kept in memory.  What only the
 * hub can know (times, ETags, results of metrics) is not compared.
 */
#ifndef CONFIGURATIONS_H
#define CONFIGURATIONS_H

#include "hub.h"
#include "out.h"

struct configurations;

/*
 * From a file of lines; names of members in any case.  A line that is no
 * configuration is kept with what is wrong with it: configurations_wrong()
 * counts them.  NULL with *e: the file cannot be read, or is none.
 */
struct configurations *configurations_read(const char *path, struct err *e);
/* Those of a hub, in its order.  A tier that has none (CONTRACT Annex A) gives
 * an empty set with a warning.  NULL with *e. */
struct configurations *configurations_fetch(struct hub *hub, struct err *e);
void configurations_free(struct configurations *c);

long configurations_count(const struct configurations *c);
long configurations_wrong(const struct configurations *c);
/* One line for each, PascalCase, in a fixed order of members. */
void configurations_write(const struct configurations *c, struct out *out);

struct configurations_end {
	long applied, equal, failed, rejected, untried;
	bool retry; /* a failure that trying again may cure */
};

/*
 * Makes them true: creates, updates by ETag what differs, base deployments
 * before layered ones.  Equal counts as done.  Content cannot be changed
 * (CONTRACT 15): where it differs, that is an outcome.  An outcome goes to out
 * for each that was not applied, or (all) for every one.  -1 with *e: the hub
 * does not let us in, or a signal came; what was not tried has an outcome.
 */
int configurations_load(const struct configurations *c, struct hub *hub,
    struct http *http, struct out *out, bool all,
    struct configurations_end *end, struct err *e);
/*
 * By an import job instead (CONTRACT 16.3): the lines of those that are not yet
 * as they shall be, and what the log of the job says of one, by its id or by
 * the line that it quotes; false: it is about none.  configurations_load()
 * looks at all of them then, as it always does.
 */
long configurations_lines(
    struct configurations *c, struct hub *hub, struct buf *into, struct err *e);
bool configurations_refused(struct configurations *c, const char *id,
    const char *line, const char *code, const char *text);
/* Those that are wrong, as outcomes; for a dry run. */
void configurations_say_wrong(const struct configurations *c, struct out *out);

#endif
