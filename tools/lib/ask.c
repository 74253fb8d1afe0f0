/* ask.c: a question at the terminal; see ask.h. */
#include "ask.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "msg.h"

static FILE *
terminal(void)
{
	/* stdin is the work; a run that logs its messages is nobody's. */
	return isatty(STDERR_FILENO) && !msg_quiet() ? fopen("/dev/tty", "r+e")
						     : NULL;
}

bool
ask_possible(void)
{
	FILE *tty = terminal();

	if (tty)
		(void)fclose(tty);
	return tty != NULL;
}

bool
ask_name(const char *question, const char *name)
{
	char line[256] = "";
	FILE *tty = terminal();

	if (!tty)
		return false;
	(void)fprintf(tty, "%s; type '%s' to go on: ", question, name);
	(void)fflush(tty);
	if (!fgets(line, sizeof line, tty))
		line[0] = '\0';
	(void)fclose(tty);
	line[strcspn(line, "\r\n")] = '\0';
	return strcasecmp(line, name) == 0;
}
