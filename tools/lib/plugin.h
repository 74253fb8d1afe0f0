/*
 * plugin.h: finds and loads endpoint plugins (hubpipe-plugin.h).  A tool
 * never names an endpoint type: it asks for the plugin of a key that stands
 * in a template.
 */
#ifndef PLUGIN_H
#define PLUGIN_H

#include <jv.h>
#include <stdbool.h>

#include "hubpipe-plugin.h"
#include "msg.h"
#include "opt.h"

/* What the service shows in the place of a key (CONTRACT 5.1). */
#define PLUGIN_MASK "****"

/* --plugin-dir=DIR, --skip-unknown, --list-plugins. */
extern const struct opt plugin_opts[];

/* Right after tool_start(): answers --list-plugins and ends. */
void plugin_start(void);

/*
 * The plugin of a key under routing.endpoints, without case, aliases too.
 * Looks in --plugin-dir, then in the installed directory.  NULL with *e
 * filled: BAD_DATA for a key that is not letters and digits, LOCAL_FAILURE
 * "no plugin for endpoint type 'x' (looked in ...)" or when one does not
 * load.  With --skip-unknown and no such plugin: NULL, e->status DONE, after
 * one warning.
 */
const struct hubpipe_plugin *plugin_for(const char *key, struct err *e);

/* The same without a word about --skip-unknown: NULL with e->status DONE when
 * there is none. */
const struct hubpipe_plugin *plugin_find(const char *key, struct err *e);

/* The first of all plugins that is wanted, NULL likewise. */
typedef bool plugin_wanted(const struct hubpipe_plugin *p, void *ctx);
const struct hubpipe_plugin *plugin_search(
    plugin_wanted *wanted, void *ctx, struct err *e);

/* The plugin that claims this path of properties; NULL with *e filled when
 * there is none. */
const struct hubpipe_plugin *plugin_claiming(const char *path, struct err *e);

/*
 * A hub's properties with every endpoint in its newest form: keys that are
 * aliases get their plugin's name, and plugins uplift their endpoints.
 * Properties may be lifted (expr.h).
 */
jv plugin_uplift(jv properties);

/*
 * Every slot of a hub's properties that some plugin looks after: all
 * endpoints under routing.endpoints, and what plugins claim elsewhere (the
 * file-upload storage).  Array of
 *   {"path": [...] from properties, "type": "TYPE", "endpoint": {...}}
 * in the order of the document; jv_setpath() puts an endpoint back.  Invalid
 * for an unknown type.  A list without endpoints needs no plugin.
 */
jv plugin_slots(jv properties);
/* The plugin of one slot; borrows. */
const struct hubpipe_plugin *plugin_of_slot_peek(jv slot);
/* "endpoint 'NAME'", or the path of what has no name. */
jv plugin_slot_label(jv slot);

/* secrets(), names() and so on of the slot's plugin with this endpoint; what
 * the plugin refuses names the endpoint. */
jv plugin_ask(jv slot, jv (*question)(jv endpoint));

/* endpoint with key, or PLUGIN_MASK, in one of the places that its plugin's
 * secrets() gave. */
jv plugin_fill(jv endpoint, jv secret, jv key);

/* with_names(); a key it had is masked if that changed it, since it opens
 * another door. */
jv plugin_rename(const struct hubpipe_plugin *p, jv endpoint, jv names,
    jv cloud, bool *masked);

/* Properties with every key masked, to be shown. */
jv plugin_mask_all(jv properties);

/* Is a key or a shared access policy in properties, not masked?  Consumes. */
bool plugin_has_secret(jv properties);

#endif
