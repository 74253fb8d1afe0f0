/* opt.c: option tables; see opt.h. */
#include "opt.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "progress.h"

enum { MAX_OPTS = 96, FIRST_LONG = 1000 };

static bool help, version, list, quiet, verbose;
static const char *progress = "auto";

static const struct opt common[] = {
	OPT_FLAG('h', "help", &help, "print this and end"),
	OPT_FLAG(0, "version", &version, "print the version and end"),
	OPT_FLAG(0, "list-options", &list, "print the long options and end"),
	OPT_FLAG('q', "quiet", &quiet, "say nothing but warnings and errors"),
	OPT_FLAG('v', "verbose", &verbose, "say what is done, without secrets"),
	OPT_CHOICE(0, "progress", "auto|json|none", &progress,
	    "show progress on stderr: on a terminal, as JSON, or never"),
	OPT_END,
};

/* Flattens the groups into one array; returns how many there are. */
static size_t
flatten(const struct opt *table, const struct opt **into, size_t n)
{
	for (; table->kind != OPT_KIND_END; table++) {
		if (table->kind == OPT_KIND_GROUP) {
			n = flatten(table->into, into, n);
			continue;
		}
		if (n == MAX_OPTS)
			bug("more than %d options", MAX_OPTS);
		into[n++] = table;
	}
	return n;
}

void
usage(const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	die(BAD_USAGE, NULL, "%s (try '%s --help')", text, msg_tool());
}

static void
print_option(const struct opt *o)
{
	char left[64];
	int n;

	n = snprintf(left, sizeof left, "  %c%c%s --%s%s%s",
	    o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
	    o->letter ? "," : " ", o->name, o->arg ? "=" : "",
	    o->arg ? o->arg : "");
	if (n > 29)
		printf("%s\n%30s%s\n", left, "", o->help);
	else
		printf("%-30s%s\n", left, o->help);
}

static void
print_help(const struct tool *tool, const struct opt **opts, size_t n)
{
	const char *line = tool->example;

	printf("usage: %s %s\n%s.\n\nexample:\n", tool->name, tool->synopsis,
	    tool->summary);
	while (line && *line) {
		size_t len = strcspn(line, "\n");

		printf("    %.*s\n", (int)len, line);
		line += len + (line[len] == '\n');
	}
	printf("\noptions:\n");
	for (size_t i = 0; i < n; i++)
		print_option(opts[i]);
	printf("\nexit status:\n");
	for (const char *s = tool->statuses; *s; s++)
		printf("  %c  %s\n", *s, status_text((enum status)(*s - '0')));
}

static void
set_choice(const struct opt *o, const char *value)
{
	size_t len = strlen(value);

	for (const char *w = o->arg; *w;) {
		size_t n = strcspn(w, "|");

		if (n == len && strncmp(w, value, n) == 0) {
			*(const char **)o->into = value;
			return;
		}
		w += n + (w[n] == '|');
	}
	usage("--%s: '%s' is not one of %s", o->name, value, o->arg);
}

static void
set_number(const struct opt *o, const char *value)
{
	char *end;

	errno = 0;
	*(long *)o->into = strtol(value, &end, 10);
	if (errno || end == value || *end || *value < '0' || *value > '9')
		usage("--%s: '%s' is not a whole number", o->name, value);
}

double
opt_seconds(const char *option, const char *value)
{
	char *end;
	double s = strtod(value, &end);

	if (end == value || *end || !isfinite(s) || s < 0 || s > 1e6)
		usage("--%s: '%s' is not a number of seconds", option, value);
	return s;
}

static void
set_option(const struct opt *o, const char *value)
{
	struct opt_list *l;

	switch (o->kind) {
	case OPT_KIND_FLAG:
		*(bool *)o->into = true;
		break;
	case OPT_KIND_TEXT:
		*(const char **)o->into = value;
		break;
	case OPT_KIND_NUMBER:
		set_number(o, value);
		break;
	case OPT_KIND_SECONDS:
		*(double *)o->into = opt_seconds(o->name, value);
		break;
	case OPT_KIND_CHOICE:
		set_choice(o, value);
		break;
	case OPT_KIND_LIST:
		l = o->into;
		l->value =
		    xrealloc(l->value, (l->count + 1) * sizeof *l->value);
		l->value[l->count++] = value;
		break;
	case OPT_KIND_GROUP:
	case OPT_KIND_END:
		bug("option --%s has no value", o->name);
	}
}

static void
parse(const struct opt **opts, size_t n, int argc, char *argv[])
{
	struct option longs[MAX_OPTS + 1];
	char letters[2 * MAX_OPTS + 2] = ":", *l = letters + 1;
	int c;

	memset(longs, 0, sizeof longs);
	for (size_t i = 0; i < n; i++) {
		longs[i].name = opts[i]->name;
		longs[i].has_arg = opts[i]->kind != OPT_KIND_FLAG;
		longs[i].val = FIRST_LONG + (int)i;
		if (opts[i]->letter) {
			*l++ = (char)opts[i]->letter;
			if (longs[i].has_arg)
				*l++ = ':';
		}
	}
	*l = '\0';
	opterr = 0;
	while ((c = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		size_t i;

		if (c == '?' && optopt && optopt < FIRST_LONG)
			usage("unknown option -%c", optopt);
		if (c == '?')
			usage("unknown option '%s'", argv[optind - 1]);
		if (c == ':' && optopt >= FIRST_LONG)
			usage("--%s needs %s", opts[optopt - FIRST_LONG]->name,
			    opts[optopt - FIRST_LONG]->arg);
		if (c == ':')
			usage("-%c needs a value", optopt);
		for (i = 0; i < n; i++)
			if (c == FIRST_LONG + (int)i || c == opts[i]->letter)
				break;
		if (i == n)
			bug("option %d is in no table", c);
		set_option(opts[i], optarg);
	}
}

/*
 * A descriptor that is closed would be given to the next open file.  Opened
 * the wrong way round, it fails with EBADF where it is used, as it should.
 */
static void
open_standard_files(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) == -1 && errno == EBADF)
			(void)open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
}

/* Keys pass through memory: no core, no ptrace by others (DESIGN 5). */
static void
forbid_dumps(void)
{
	struct rlimit none = { 0, 0 };

	(void)setrlimit(RLIMIT_CORE, &none);
	(void)prctl(PR_SET_DUMPABLE, 0);
}

/* Status and --help must not differ on /dev/full: see the last write. */
_Noreturn void
tool_end(void)
{
	if (fflush(stdout) || ferror(stdout))
		die(LOCAL_FAILURE, "stdout", "write failed: %s",
		    strerror(errno));
	exit(DONE);
}

int
tool_start(const struct tool *tool, int argc, char *argv[])
{
	const struct opt *opts[MAX_OPTS];
	size_t n;

	open_standard_files();
	forbid_dumps();
	(void)signal(SIGPIPE, SIG_IGN);
	msg_begin(tool->name, false, false);
	n = flatten(tool->opts, opts, 0);
	n = flatten(common, opts, n);

	/* -h wins over whatever else is wrong with the line. */
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (!strcmp(argv[i], "-h") || !strcmp(argv[i], "--help")) {
			print_help(tool, opts, n);
			tool_end();
		}
	parse(opts, n, argc, argv);
	if (version) {
		printf("%s (hubpipe) %s\n", tool->name, HUBPIPE_VERSION);
		tool_end();
	}
	if (list) {
		for (size_t i = 0; i < n; i++)
			printf(
			    "--%s%s\n", opts[i]->name, opts[i]->arg ? "=" : "");
		tool_end();
	}
	msg_begin(tool->name, quiet, verbose);
	progress_mode(quiet ? "none" : progress);
	if (tool->operands_max >= 0 && argc - optind > tool->operands_max)
		usage("unexpected operand '%s'",
		    argv[optind + tool->operands_max]);
	return optind;
}
