/* share.c: where hubpipe's own files are; see share.h. */
#include "share.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doc.h"
#include "msg.h"

/* BIN/.. of the running program; dies without /proc. */
static char *
root(void)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);

	if (n <= 0)
		die(LOCAL_FAILURE, "/proc/self/exe", "cannot read: %s",
		    strerror(errno));
	path[n] = '\0';
	for (int up = 0; up < 2; up++) {
		char *slash = strrchr(path, '/');

		if (slash)
			*slash = '\0';
	}
	return xstrdup(path);
}

char *
share_path(const char *name)
{
	char *r = root();
	char *path = xasprintf("%s/share/hubpipe/%s", r, name);

	free(r);
	return path;
}

char *
share_plugin_dir(void)
{
	char *r = root();
	char *path = xasprintf("%s/lib/hubpipe", r);

	free(r);
	return path;
}

char *
share_tool(const char *name)
{
	char *r = root();
	char *path = xasprintf("%s/bin/%s", r, name);

	free(r);
	return path;
}

jv
share_table(const char *name)
{
	char *path = share_path(name);
	jv table = jv_or_die(doc_read(path));

	free(path);
	return table;
}
