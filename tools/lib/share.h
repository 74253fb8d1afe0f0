/*
 * share.h: where hubpipe's own files are.  Tools find them beside themselves:
 * BIN/../share/hubpipe and BIN/../lib/hubpipe, so that an installed tree and
 * build/ work alike, wherever they stand.
 */
#ifndef SHARE_H
#define SHARE_H

#include <jv.h>

/* malloc'd path; "jq", "clouds.json". */
char *share_path(const char *name);
/* malloc'd path of the directory of plugins that are installed with it. */
char *share_plugin_dir(void);
/* malloc'd path of a sibling program: one tool that runs another. */
char *share_tool(const char *name);
/* Reads share/NAME as a document; a missing or broken file dies. */
jv share_table(const char *name);

#endif
