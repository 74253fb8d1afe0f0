/* folder.c: see folder.h. */
#include "folder.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "msg.h"

/* atexit() hands nothing over. */
static char folder[256];

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	(void)remove(path);
	return 0;
}

void
folder_remove(void)
{
	if (*folder)
		(void)nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	*folder = '\0';
}

const char *
folder_make(void)
{
	const char *tmp = getenv("TMPDIR");
	char path[FOLDER_PATH];

	if (snprintf(folder, sizeof folder, "%s/hub-sim.XXXXXX",
		tmp && *tmp ? tmp : "/tmp") >= (int)sizeof folder ||
	    !mkdtemp(folder)) {
		*folder = '\0';
		die(LOCAL_FAILURE, tmp && *tmp ? tmp : "/tmp",
		    "no directory can be made: %s", strerror(errno));
	}
	(void)atexit(folder_remove);
	if (mkdir(folder_file("az", path), 0700) == -1)
		die(LOCAL_FAILURE, path, "cannot be made: %s", strerror(errno));
	return folder;
}

const char *
folder_file(const char *name, char out[FOLDER_PATH])
{
	(void)snprintf(out, FOLDER_PATH, "%s/%s", folder, name);
	return out;
}
