/*
 * plugin.h: finds and loads endpoint plugins (hubpipe-plugin.h).  A tool
 * never names an endpoint type: it asks for the plugin of a key that stands
 * in a template.
 */
#ifndef PLUGIN_H
#define PLUGIN_H

#include <jv.h>

#include "hubpipe-plugin.h"
#include "msg.h"
#include "opt.h"

/* --plugin-dir=DIR, --skip-unknown, --list-plugins. */
extern const struct opt plugin_opts[];

/* Right after tool_start(): answers --list-plugins and ends. */
void plugin_start(void);

/*
 * The plugin of a key under routing.endpoints, without case, aliases too.
 * Looks in --plugin-dir, then in the compiled-in directory.  NULL with *e
 * filled: BAD_DATA for a key that is not letters and digits, LOCAL_FAILURE
 * "no plugin for endpoint type 'x' (looked in ...)".  With --skip-unknown and
 * no such plugin: NULL, e->status DONE, after one warning.
 */
const struct hubpipe_plugin *plugin_for(const char *key, struct err *e);

/*
 * Every slot of a hub's properties that some plugin looks after: all
 * endpoints under routing.endpoints, and what plugins claim elsewhere (the
 * file-upload storage).  Array of
 *   {"path": [...] from properties, "type": "eventHubs", "endpoint": {...}}
 * in the order of the document.  Invalid for an unknown type.
 */
jv plugin_slots(jv properties);
/* The plugin of one slot; borrows. */
const struct hubpipe_plugin *plugin_of_slot_peek(jv slot);

#endif
