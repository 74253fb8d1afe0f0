/* child.c: see child.h. */
#include "child.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

static const char name_bytes[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				 "abcdefghijklmnopqrstuvwxyz0123456789_";

/* Taken out whatever the case: some programs read https_proxy. */
static const char *const unwanted[] = { "HTTPS_PROXY", "HTTP_PROXY",
	"ALL_PROXY", "NO_PROXY", "SSL_CERT_DIR", "SSL_CERT_FILE",
	"CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS",
	"IOTHUB_CONN_STRING", "DEST_IOTHUB_CONN_STRING",
	"STORAGE_ACCT_CONN_STRING", "IDENTITY_ENDPOINT", "IDENTITY_HEADER",
	"MSI_ENDPOINT", "MSI_SECRET", "ARM_CLIENT_ID", "ARM_CLIENT_SECRET",
	"ARM_TENANT_ID", "ARM_SUBSCRIPTION_ID", "HUBPIPE_CONNECT_TO",
	"HUBPIPE_PACE", NULL };

/* Every AZURE_ variable but the choice of a cloud; with any prefix, since
 * --credential=PREFIX reads PREFIX_AZURE_ (DESIGN 5). */
static bool
is_azure(const char *text, size_t len)
{
	static const char name[] = "AZURE_";
	const char *at = memmem(text, len, name, sizeof name - 1);

	return at && (at == text || at[-1] == '_') &&
	       !(len == 11 && strncmp(text, "AZURE_CLOUD", 11) == 0);
}

static bool
is_unwanted(const char *text)
{
	size_t len = strcspn(text, "=");

	if (is_azure(text, len))
		return true;
	for (const char *const *u = unwanted; *u; u++)
		if (strlen(*u) == len && strncasecmp(text, *u, len) == 0)
			return true;
	return false;
}

static void
append(struct env *e, char *text)
{
	e->list = xrealloc(e->list, (e->count + 2) * sizeof *e->list);
	e->list[e->count++] = text;
	e->list[e->count] = NULL;
}

void
env_begin(struct env *e)
{
	memset(e, 0, sizeof *e);
	for (char **at = environ; *at; at++)
		if (!is_unwanted(*at))
			append(e, xstrdup(*at));
}

void
env_set(struct env *e, const char *name, const char *value)
{
	append(e, xasprintf("%s=%s", name, value));
	e->set++;
}

void
env_print(const struct env *e)
{
	/* A name may hold any byte but =, and this text is for a shell. */
	for (char **at = environ; *at; at++)
		if (is_unwanted(*at) && (*at)[strspn(*at, name_bytes)] == '=')
			printf("unset %.*s\n", (int)strcspn(*at, "="), *at);
	for (size_t i = e->count - e->set; i < e->count; i++) {
		const char *text = e->list[i];
		size_t name = strcspn(text, "=");

		printf("export %.*s='", (int)name, text);
		for (text += name + 1; *text; text++)
			if (*text == '\'')
				(void)fputs("'\\''", stdout);
			else
				(void)putchar(*text);
		(void)puts("'");
	}
}

void
env_free(struct env *e)
{
	for (size_t i = 0; i < e->count; i++)
		free(e->list[i]);
	free(e->list);
	memset(e, 0, sizeof *e);
}

int
child_signals(struct child *c, struct err *e)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	(void)sigprocmask(SIG_BLOCK, &set, &c->old_mask);
	/* An ignored SIGCHLD, which is inherited, would give no status. */
	(void)signal(SIGCHLD, SIG_DFL);
	c->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (c->signals == -1)
		return err_set(
		    e, LOCAL_FAILURE, NULL, "no signals: %s", strerror(errno));
	return 0;
}

int
child_start(struct child *c, char *argv[], char *env[])
{
	posix_spawnattr_t attr;
	sigset_t defaults;
	int bad;

	(void)sigemptyset(&defaults);
	(void)sigaddset(&defaults, SIGPIPE); /* ours is ignored */
	(void)posix_spawnattr_init(&attr);
	(void)posix_spawnattr_setsigmask(&attr, &c->old_mask);
	(void)posix_spawnattr_setsigdefault(&attr, &defaults);
	(void)posix_spawnattr_setflags(
	    &attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	bad = posix_spawnp(&c->pid, argv[0], NULL, &attr, argv, env);
	(void)posix_spawnattr_destroy(&attr);
	if (!bad)
		return 0;
	c->pid = 0;
	warn(argv[0], "cannot be run: %s", strerror(bad));
	return bad == ENOENT ? 127 : 126;
}

/* A signal from the terminal has reached COMMAND already: it is of our group.
 */
static bool
on_signal(struct child *c, const struct signalfd_siginfo *info)
{
	if (info->ssi_signo == SIGCHLD) {
		pid_t pid;
		int status;

		while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
			if (pid == c->pid) {
				c->ended = true;
				c->status = status;
			}
		return !c->ended;
	}
	if (c->pid == 0) {
		c->status = (int)info->ssi_signo;
		return false;
	}
	if (info->ssi_code != SI_KERNEL)
		(void)kill(c->pid, (int)info->ssi_signo);
	return true;
}

bool
child_on_signals(int signals, void *arg)
{
	struct signalfd_siginfo info;
	struct child *c = arg;
	bool go_on = true;

	while (read(signals, &info, sizeof info) == (ssize_t)sizeof info)
		go_on = on_signal(c, &info) && go_on;
	return go_on;
}

int
child_end(struct child *c)
{
	int number;
	sigset_t set;

	(void)close(c->signals);
	if (c->pid == 0)
		return DONE; /* a server that was told to end has done its job
			      */
	if (WIFEXITED(c->status))
		return WEXITSTATUS(c->status);
	number = WTERMSIG(c->status);
	(void)signal(number, SIG_DFL);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, number);
	(void)sigprocmask(SIG_UNBLOCK, &set, NULL);
	(void)raise(number);
	return 128 + number; /* SIGKILL of ourselves cannot fail, others can */
}
