/* registry-diff: do two registries hold the same devices and modules? */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "idset.h"    /* where the entries of A are */
#include "jsondiff.h" /* values, and where they differ */
#include "lines.h"    /* one record a line */
#include "msg.h"      /* warn, die, and the exit statuses */
#include "opt.h"      /* one table for parsing, --help and completion */
#include "out.h"      /* stdout, or a file that is complete or not there */
#include "record.h"   /* what a record is */
#include "share.h"    /* registry-dump, beside us */

static const char *output, *auth, *subscription, *credential, *cloud, *jobs;
static bool reported;

static const struct opt opts[] = {
	OPT_FLAG(0, "reported", &reported,
	    "compare reported properties too, instead of counting them"),
	OPT_TEXT('o', "output", "FILE", &output, "write there (mode 0600)"),
	OPT_CHOICE(0, "auth", "login|key", &auth,
	    "of a hub: how registry-dump gets access"),
	OPT_TEXT('s', "subscription", "ID", &subscription,
	    "of a hub: its subscription"),
	OPT_TEXT(0, "credential", "PREFIX", &credential,
	    "of a hub: read PREFIX_AZURE_* instead of AZURE_*"),
	OPT_TEXT(0, "cloud", "NAME", &cloud, "of a hub: its cloud"),
	OPT_TEXT('j', "jobs", "N", &jobs, "of a hub: N requests at once"),
	OPT_END,
};
static const struct tool tool = {
	.name = "registry-diff",
	.synopsis = "[--reported] [A [B]]",
	.summary = "Compare two registries: dumps, - for stdin, or live hubs",
	.example = "registry-dump | registry-load && registry-diff\n"
		   "registry-diff monday.txt contoso-east",
	.opts = opts,
	.statuses = "01234567",
	.operands_max = 2,
};

/* A record in the spool: its offset, its length, and whether B has it too.  An
 * entry that only B has is met and has no length. */
enum { LENGTH_BITS = 23 };
#define LENGTH ((UINT64_C(1) << LENGTH_BITS) - 1)
#define MET (UINT64_C(1) << 63)

/* What is compared of a record. */
enum part {
	STATUS,
	REASON,
	TYPE,
	KEYS,
	THUMBPRINTS,
	CAPABILITIES,
	MANAGED,
	SCOPE,
	PARENTS,
	TAGS,
	DESIRED,
	REPORTED,
	PARTS,
};
static const struct {
	const char *path[3];
	const char *pointer;
	enum json_diff_rule rule;
} parts[PARTS] = {
	[STATUS] = { { "status" }, "/status", JSON_DIFF_ALL },
	[REASON] = { { "statusReason" }, "/statusReason", JSON_DIFF_SPARSE },
	[TYPE] = { { "authentication", "type" }, "/authentication/type",
	    JSON_DIFF_SPARSE },
	[KEYS] = { { "authentication", "symmetricKey" },
	    "/authentication/symmetricKey", JSON_DIFF_SPARSE },
	[THUMBPRINTS] = { { "authentication", "x509Thumbprint" },
	    "/authentication/x509Thumbprint", JSON_DIFF_SPARSE },
	[CAPABILITIES] = { { "capabilities" }, "/capabilities",
	    JSON_DIFF_SPARSE },
	[MANAGED] = { { "managedBy" }, "/managedBy", JSON_DIFF_SPARSE },
	[SCOPE] = { { "deviceScope" }, "/deviceScope", JSON_DIFF_SPARSE },
	[PARENTS] = { { "parentScopes" }, "/parentScopes", JSON_DIFF_SPARSE },
	[TAGS] = { { "tags" }, "/tags", JSON_DIFF_SECTION },
	[DESIRED] = { { "properties", "desired" }, "/properties/desired",
	    JSON_DIFF_SECTION },
	[REPORTED] = { { "properties", "reported" }, "/properties/reported",
	    JSON_DIFF_SECTION },
};

struct entry {
	struct record rec;
	struct span part[PARTS];
	struct buf parents[2]; /* what SCOPE and PARENTS point to */
};

struct source {
	const char *name; /* for messages */
	struct lines *lines;
	pid_t dump; /* registry-dump, or 0 */
	long entries;
};

struct diff {
	struct out *out;
	struct idset ids;
	int spool;
	const struct entry *entry; /* the one being compared */
	enum part part;
	long differences, reported_count;
};

/* The parent in ms-azure-iot-edge://{parent}-{number}: the number is the
 * hub's own (CONTRACT 12.3). */
static void
add_parent(struct buf *b, struct span scope)
{
	static const char prefix[] = "ms-azure-iot-edge://";
	char *text = json_string(scope), *id = text, *dash;

	if (text && !strncmp(text, prefix, sizeof prefix - 1)) {
		id += sizeof prefix - 1;
		dash = strrchr(id, '-');
		if (dash)
			*dash = '\0';
	}
	if (text)
		buf_json(b, id, strlen(id));
	else
		buf_span(b, scope);
	free(text);
}

/* Replaces the scopes by the parents they name.  A device that is no Edge
 * device has the same one twice, and either says it. */
static void
name_parents(struct entry *e)
{
	struct span *scope = &e->part[SCOPE], *list = &e->part[PARENTS];
	struct buf *one = &e->parents[0], *all = &e->parents[1];
	struct json j = { .count = 0 };
	struct json_fault f;

	buf_clear(one);
	buf_clear(all);
	if (list->at && *list->at == '[' && !json_scan(*list, &j, &f) &&
	    j.count) {
		buf_char(all, '[');
		for (size_t i = 0; i < j.count; i++) {
			if (i)
				buf_char(all, ',');
			add_parent(all, j.member[i].value);
		}
		buf_char(all, ']');
		*list = buf_peek(all);
	}
	if (e->rec.edge || e->rec.module)
		*scope = (struct span){ NULL, 0 };
	else if (scope->len > 2)
		add_parent(one, *scope);
	else if (j.count)
		add_parent(one, j.member[0].value);
	if (one->len)
		*scope = buf_peek(one);
	if (one->len && !all->len) {
		buf_printf(all, "[%s]", one->at);
		*list = buf_peek(all);
	}
	json_free(&j);
}

/* What a service fills in when it is not said. */
static void
fill_in(struct entry *e)
{
	struct span *type = &e->part[TYPE], *status = &e->part[STATUS];

	if (!status->at || span_is(*status, "null"))
		*status = span_of("\"enabled\"");
	if (type->at && !span_is(*type, "null"))
		return;
	if (e->part[KEYS].len > 4)
		*type = span_of("\"sas\"");
	else if (e->part[THUMBPRINTS].len > 4)
		*type = span_of("\"selfSigned\"");
}

static int
read_entry(struct span text, struct entry *e, struct err *why)
{
	if (record_read(text, &e->rec, why))
		return -1;
	for (size_t p = 0; p < PARTS; p++) {
		e->part[p] = (struct span){ NULL, 0 };
		if (json_get(
			e->rec.json.text, parts[p].path, &e->part[p], NULL) < 0)
			return err_set(why, BAD_DATA, NULL,
			    "%s: a member is there twice", parts[p].pointer);
	}
	fill_in(e);
	name_parents(e);
	return 0;
}

static void
free_entry(struct entry *e)
{
	record_free(&e->rec);
	buf_free(&e->parents[0]);
	buf_free(&e->parents[1]);
}

static void
print_side(struct buf *b, const char *side, struct span value, bool secret)
{
	char *text, hex[65];

	if (!value.at)
		return;
	buf_printf(b, ",\"%s\":", side);
	if (!secret) {
		buf_span(b, value);
		return;
	}
	text = json_string(value);
	json_sha256(text ? span_of(text) : value, hex);
	buf_printf(b, "\"sha256:%.12s\"", hex);
	free(text);
}

/* One line of output; a and b may be absent, or only says who has it. */
static void
print(struct diff *d, const struct record *rec, const char *pointer,
    struct span a, struct span b, const char *only)
{
	struct buf line = BUF_INIT;

	buf_text(&line, "{\"id\":");
	buf_json(&line, rec->id, strlen(rec->id));
	if (rec->module) {
		buf_text(&line, ",\"moduleId\":");
		buf_json(&line, rec->module, strlen(rec->module));
	}
	buf_text(&line, ",\"path\":");
	buf_json(&line, pointer, strlen(pointer));
	print_side(&line, "a", a, d->part == KEYS);
	print_side(&line, "b", b, d->part == KEYS);
	if (only)
		buf_printf(&line, ",\"only\":\"%s\"", only);
	buf_text(&line, "}\n");
	out_span(d->out, buf_peek(&line));
	buf_free(&line);
	d->differences++;
}

static void
on_difference(void *ctx, const char *pointer, struct span a, struct span b)
{
	struct diff *d = ctx;

	print(d, &d->entry->rec, pointer, a, b, NULL);
}

static void
on_any(void *ctx, const char *pointer, struct span a, struct span b)
{
	bool *differ = ctx;

	(void)pointer, (void)a, (void)b;
	*differ = true;
}

/* Of a system module only the twin travels (CONTRACT 16.3). */
static void
compare_entries(struct diff *d, const struct entry *a, const struct entry *b)
{
	struct span none = { NULL, 0 };
	int p = a->rec.system_module ? DESIRED : STATUS;
	bool count = false;

	d->entry = a;
	for (; p < PARTS; p++) {
		/* An Edge device's own scope is nobody's parent. */
		bool own = p == SCOPE && (a->rec.edge || b->rec.edge);
		bool counted = p == REPORTED && !reported;

		d->part = (enum part)p;
		json_diff(own ? none : a->part[p], own ? none : b->part[p],
		    parts[p].rule, parts[p].pointer,
		    counted ? on_any : on_difference,
		    counted ? (void *)&count : d);
	}
	d->reported_count += count;
}

/* An entry that only one side has.  A hub makes the system modules of an Edge
 * device by itself: one without desired properties is none. */
static void
print_only(struct diff *d, const struct entry *e, const char *side)
{
	struct span none = { NULL, 0 };
	bool any = !e->rec.system_module;

	json_diff(e->part[DESIRED], none, JSON_DIFF_SECTION, "", on_any, &any);
	d->part = STATUS;
	if (any)
		print(d, &e->rec, "", none, none, side);
}

/* ---- where the entries come from ---- */

/* registry-dump reads a hub, so that the protocol lives in one tool. */
static void
start_dump(struct source *s, const char *operand)
{
	const struct {
		const char *option, *value;
	} pass[] = { { "--auth", auth }, { "--subscription", subscription },
		{ "--credential", credential }, { "--cloud", cloud },
		{ "--jobs", jobs } };
	char *argv[16] = { share_tool("registry-dump") };
	int pipes[2], n = 1, rc;
	posix_spawn_file_actions_t actions;

	for (size_t i = 0; i < sizeof pass / sizeof *pass; i++)
		if (pass[i].value)
			argv[n++] =
			    xasprintf("%s=%s", pass[i].option, pass[i].value);
	if (msg_quiet())
		argv[n++] = xstrdup("--quiet");
	argv[n++] = xstrdup("--");
	argv[n++] = xstrdup(operand);
	if (pipe2(pipes, O_CLOEXEC))
		die(LOCAL_FAILURE, NULL, "pipe: %s", strerror(errno));
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_adddup2(&actions, pipes[1], 1);
	rc = posix_spawn(&s->dump, argv[0], &actions, NULL, argv, environ);
	if (rc)
		die(LOCAL_FAILURE, argv[0], "cannot be run: %s", strerror(rc));
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)close(pipes[1]);
	while (n--)
		free(argv[n]);
	s->lines = lines_open(pipes[0], operand);
}

/* A file that is there, or what can be nothing else. */
static bool
is_file(const char *operand)
{
	struct stat st;

	if (stat(operand, &st) == 0)
		return !S_ISDIR(st.st_mode);
	return strchr(operand, '/') && strncmp(operand, "file:", 5) != 0 &&
	       strncasecmp(operand, "/subscriptions/", 15) != 0;
}

static void
open_source(struct source *s, const char *operand)
{
	struct err e;

	s->name = strcmp(operand, "-") == 0 ? "stdin" : operand;
	if (s->name == operand && !is_file(operand)) {
		start_dump(s, operand);
		return;
	}
	s->lines = lines_open_file(operand, &e);
	if (!s->lines)
		die_err(&e);
}

/* A dump that died proves nothing, whatever it said before. */
static void
end_source(struct source *s)
{
	int status;

	lines_close(s->lines);
	if (!s->dump) {
		if (!s->entries)
			die(BAD_DATA, s->name, "is empty: no record in it");
		return;
	}
	while (waitpid(s->dump, &status, 0) < 0)
		if (errno != EINTR)
			die(LOCAL_FAILURE, s->name, "wait: %s",
			    strerror(errno));
	if (!WIFEXITED(status) || WEXITSTATUS(status) > PARTLY_DONE)
		die(LOCAL_FAILURE, s->name, "registry-dump died: no verdict");
	if (WEXITSTATUS(status))
		die((enum status)WEXITSTATUS(status), s->name,
		    "registry-dump failed: no verdict");
}

/* The next entry; false at the end.  What is no record ends the run: there is
 * no verdict over half of a registry. */
static bool
next_entry(struct source *s, struct entry *e, struct line *line)
{
	enum lines_got got;
	struct err why;

	while ((got = lines_next(s->lines, line, &why)) == LINES_LINE) {
		if (span_is_blank(line->text) ||
		    (line->number == 1 && record_is_comment(line->text)))
			continue;
		if (read_entry(line->text, e, &why)) {
			if (s->dump)
				end_source(s);
			die(why.status, s->name, "line %ld: %s", line->number,
			    why.text);
		}
		s->entries++;
		return true;
	}
	if (got == LINES_FAILED)
		die_err(&why);
	if (got != LINES_END)
		die(BAD_DATA, s->name, "line %ld is longer than 4 MiB",
		    line->number);
	return false;
}

_Noreturn static void
die_twice(
    const struct source *s, const struct line *line, const struct record *rec)
{
	die(BAD_DATA, s->name, "line %ld: '%s%s%s' is there twice",
	    line->number, rec->id, rec->module ? "/" : "",
	    rec->module ? rec->module : "");
}

/* A: to the spool, and where each entry lies there. */
static void
load(struct diff *d, struct source *a)
{
	struct entry e = { .part = { { NULL, 0 } } };
	struct line line;
	struct out *spool;
	struct err why;
	uint64_t offset = 0;
	bool added;

	d->spool = out_spool(&why);
	if (d->spool < 0)
		die_err(&why);
	spool = out_open_fd(d->spool, "temporary file");
	while (next_entry(a, &e, &line)) {
		uint64_t *at =
		    idset_add(&d->ids, e.rec.id, e.rec.module, &added);

		if (!added)
			die_twice(a, &line, &e.rec);
		out_span(spool, line.text);
		*at = offset << LENGTH_BITS | line.text.len;
		offset += line.text.len;
	}
	end_source(a);
	out_close(spool);
	free_entry(&e);
}

/* An entry of A, from the spool; it was read before and is good. */
static void
fetch(const struct diff *d, uint64_t place, struct buf *text, struct entry *e)
{
	size_t len = (size_t)(place & LENGTH), done = 0;
	off_t at = (off_t)((place & ~MET) >> LENGTH_BITS);
	struct err why;
	ssize_t n;

	buf_clear(text);
	buf_reserve(text, len);
	for (; done < len; done += (size_t)n) {
		n = pread(
		    d->spool, text->at + done, len - done, at + (off_t)done);
		if (n <= 0)
			die(LOCAL_FAILURE, "temporary file", "read failed: %s",
			    n ? strerror(errno) : "it is too short");
	}
	text->len = len;
	if (read_entry(buf_peek(text), e, &why))
		bug("an entry changed in the spool: %s", why.text);
}

/* B, as it comes, against A. */
static void
match(struct diff *d, struct source *b)
{
	struct entry x = { .part = { { NULL, 0 } } }, y = x;
	struct buf text = BUF_INIT;
	struct line line;
	bool added;

	while (next_entry(b, &y, &line)) {
		uint64_t *at =
		    idset_add(&d->ids, y.rec.id, y.rec.module, &added);

		if (*at & MET)
			die_twice(b, &line, &y.rec);
		if (added) {
			print_only(d, &y, "b");
		} else {
			fetch(d, *at, &text, &x);
			compare_entries(d, &x, &y);
		}
		*at |= MET;
	}
	end_source(b);
	buf_wipe(&text);
	free_entry(&x);
	free_entry(&y);
}

static int
by_place(const void *va, const void *vb)
{
	uint64_t a = *(const uint64_t *)va, b = *(const uint64_t *)vb;

	return a < b ? -1 : a > b;
}

/* What B lacks, in the order of A. */
static void
list_unmet(struct diff *d)
{
	struct entry e = { .part = { { NULL, 0 } } };
	struct buf text = BUF_INIT;
	uint64_t *place = NULL;
	size_t n = 0;

	for (size_t i = 0; i < d->ids.size; i++)
		if (d->ids.slot[i].hash[1] && !(d->ids.slot[i].value & MET)) {
			if ((n & (n + 1)) == 0)
				place = xrealloc(
				    place, 2 * (n + 1) * sizeof *place);
			place[n++] = d->ids.slot[i].value;
		}
	if (n)
		qsort(place, n, sizeof *place, by_place);
	for (size_t i = 0; i < n; i++) {
		fetch(d, place[i], &text, &e);
		print_only(d, &e, "a");
	}
	free(place);
	buf_wipe(&text);
	free_entry(&e);
}

/* HostName of env:NAME; NULL when the operand says it in another way. */
static const char *
host_of(const char *operand)
{
	const char *text = NULL, *host;

	if (strncmp(operand, "env:", 4) == 0)
		text = getenv(operand + 4);
	host = text ? strcasestr(text, "HostName=") : NULL;
	return host ? host + 9 : NULL;
}

/* Comparing a hub with itself says equal, and proves nothing. */
static void
check_operands(const char *a, const char *b)
{
	const char *x = host_of(a), *y = host_of(b);
	const char *both[] = { a, b };

	for (size_t i = 0; i < 2; i++)
		if (strcasestr(both[i], "SharedAccessKey="))
			usage("a connection string would show in ps: use "
			      "env:NAME or file:PATH");
		else if (!strncmp(both[i], "env:", 4) && !getenv(both[i] + 4))
			usage(
			    "%s is not set: name what to compare", both[i] + 4);
	if ((strcmp(a, b) == 0 && (!strcmp(a, "-") || !is_file(a))) ||
	    (x && y && strcspn(x, ";") == strcspn(y, ";") &&
		!strncasecmp(x, y, strcspn(x, ";"))))
		usage("both sides are the same: '%s' and '%s'", a, b);
}

static enum status
say_verdict(
    const struct diff *d, const struct source *a, const struct source *b)
{
	char uncompared[96] = "";

	if (!reported)
		(void)snprintf(uncompared, sizeof uncompared,
		    "; reported properties differ on %ld (--reported lists "
		    "them)",
		    d->reported_count);
	if (d->differences)
		note("%ld differences between %ld and %ld entries%s",
		    d->differences, a->entries, b->entries, uncompared);
	else
		note("equal: %ld entries%s", a->entries, uncompared);
	return d->differences ? ANSWER_NO : DONE;
}

int
main(int argc, char *argv[])
{
	int first = tool_start(&tool, argc, argv);
	const char *left =
	    first < argc ? argv[first] : "env:IOTHUB_CONN_STRING";
	const char *right =
	    first + 1 < argc ? argv[first + 1] : "env:DEST_IOTHUB_CONN_STRING";
	struct source a = { .entries = 0 }, b = a;
	struct diff d = { .spool = -1 };

	check_operands(left, right);
	open_source(&a, left);
	d.out = out_open(output, false);
	load(&d, &a);
	open_source(&b, right);
	match(&d, &b);
	list_unmet(&d);
	out_close(d.out);
	idset_free(&d.ids);
	(void)close(d.spool);
	return say_verdict(&d, &a, &b);
}
