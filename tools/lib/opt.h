/*
 * opt.h: one table per tool gives parsing, --help, --list-options (which
 * completion reads) and the check of the manual.
 *
 * Every tool also has, without listing them: -h --help, --version,
 * --list-options, -q --quiet, -v --verbose, --progress=WHEN.  Options may
 * come in any order, -- ends them, - is an operand.
 */
#ifndef OPT_H
#define OPT_H

#include <stdbool.h>
#include <stddef.h>

#include "msg.h"

/* All values of an option that may be repeated, in order; borrowed from argv.
 */
struct opt_list {
	size_t count;
	const char **value;
};

enum opt_kind {
	OPT_KIND_END,
	OPT_KIND_FLAG,
	OPT_KIND_TEXT,
	OPT_KIND_NUMBER,
	OPT_KIND_SECONDS,
	OPT_KIND_LIST,
	OPT_KIND_CHOICE,
	OPT_KIND_GROUP,
};

struct opt {
	enum opt_kind kind;
	int letter; /* 0: no short form */
	const char *name;
	const char *arg; /* what --help shows; for a choice: "one|two" */
	void *into;
	const char *help; /* lower case, no full stop */
};

/* bool: becomes true. */
#define OPT_FLAG(letter, name, into, help)                    \
	{                                                     \
		OPT_KIND_FLAG, letter, name, NULL, into, help \
	}
/* const char *: points into argv.  The caller sets the default. */
#define OPT_TEXT(letter, name, arg, into, help)              \
	{                                                    \
		OPT_KIND_TEXT, letter, name, arg, into, help \
	}
/* long: a whole number of at least 0; anything else is BAD_USAGE. */
#define OPT_NUMBER(letter, name, arg, into, help)              \
	{                                                      \
		OPT_KIND_NUMBER, letter, name, arg, into, help \
	}
/* double: at least 0, with decimals or without; anything else is BAD_USAGE. */
#define OPT_SECONDS(letter, name, into, help)                         \
	{                                                             \
		OPT_KIND_SECONDS, letter, name, "SECONDS", into, help \
	}
/* struct opt_list: one more value each time. */
#define OPT_LIST(letter, name, arg, into, help)              \
	{                                                    \
		OPT_KIND_LIST, letter, name, arg, into, help \
	}
/* const char *: one of the words in "a|b|c"; anything else is BAD_USAGE. */
#define OPT_CHOICE(letter, name, words, into, help)              \
	{                                                        \
		OPT_KIND_CHOICE, letter, name, words, into, help \
	}
/* Another table, such as http_opts or arm_opts, shown after ours. */
#define OPT_GROUP(table)                                             \
	{                                                            \
		OPT_KIND_GROUP, 0, NULL, NULL, (void *)(table), NULL \
	}
#define OPT_END                                         \
	{                                               \
		OPT_KIND_END, 0, NULL, NULL, NULL, NULL \
	}

struct tool {
	const char *name;
	const char *synopsis; /* after the name: "[-n] [-o FILE] [TEMPLATE]" */
	const char *summary;  /* one sentence without full stop */
	const char *example;  /* a pipeline; lines separated by \n */
	const struct opt *opts;
	const char *statuses; /* the digits this tool can end with: "01234" */
	int operands_max;     /* more are BAD_USAGE; -1: any number */
};

/*
 * Parses the command line, answers --help and the like itself, names the
 * tool for messages, switches off core dumps and SIGPIPE, and makes sure that
 * descriptors 0 to 2 are open.  Returns the index of the first operand in
 * argv, which may be reordered.  Does not return when the line is wrong.
 */
int tool_start(const struct tool *tool, int argc, char *argv[]);

/* Such a value; dies with BAD_USAGE.  option: its name, for the message. */
double opt_seconds(const char *option, const char *value);

/* After something like --help: stdout is flushed and checked, status DONE. */
_Noreturn void tool_end(void);

/*
 * One line and "try 'tool --help'" on stderr, status BAD_USAGE; for what the
 * table cannot say, such as two options that exclude each other.
 */
_Noreturn void usage(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));

#endif
