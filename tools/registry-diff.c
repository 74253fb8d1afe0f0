/* registry-diff: do two registries hold the same devices and modules? */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "entrydiff.h" /* what two records differ in */
#include "idset.h"     /* where the entries of A are */
#include "lines.h"     /* one record a line */
#include "msg.h"       /* warn, die, and the exit statuses */
#include "opt.h"       /* one table for parsing, --help and completion */
#include "out.h"       /* stdout, or a file that is complete or not there */
#include "source.h"    /* a dump, or a live hub */

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
		   "registry-diff contoso.txt contoso-east",
	.opts = opts,
	.statuses = "01234567",
	.operands_max = 2,
};

/* A record in the spool: its offset, its length, and whether B has it too.  An
 * entry that only B has is met and has no length. */
enum { LENGTH_BITS = 23 };
#define LENGTH ((UINT64_C(1) << LENGTH_BITS) - 1)
#define MET (UINT64_C(1) << 63)

/* A or B. */
struct side {
	const char *name;
	struct source *source;
	long entries;
	bool partial; /* registry-dump could not read all */
};

struct diff {
	struct out *out;
	struct idset ids;
	int spool;
	const struct record *rec; /* the one being compared */
	bool reported;            /* its reported properties differ */
	long differences, reported_count;
};

/* Keys are shown as hashes. */
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
print(struct diff *d, const char *pointer, struct span a, struct span b,
    bool secret, const char *only)
{
	struct buf line = BUF_INIT;

	buf_text(&line, "{\"id\":");
	buf_json(&line, d->rec->id, strlen(d->rec->id));
	if (d->rec->module) {
		buf_text(&line, ",\"moduleId\":");
		buf_json(&line, d->rec->module, strlen(d->rec->module));
	}
	buf_text(&line, ",\"path\":");
	buf_json(&line, pointer, strlen(pointer));
	print_side(&line, "a", a, secret);
	print_side(&line, "b", b, secret);
	if (only)
		buf_printf(&line, ",\"only\":\"%s\"", only);
	buf_text(&line, "}\n");
	out_span(d->out, buf_peek(&line));
	buf_free(&line);
	d->differences++;
}

static void
on_difference(void *ctx, enum entry_part part, const char *pointer,
    struct span a, struct span b)
{
	struct diff *d = ctx;

	if (part == REPORTED && !reported)
		d->reported = true;
	else
		print(d, pointer, a, b, part == KEYS, NULL);
}

/* Two entries of one id. */
static void
compare(struct diff *d, const struct entry *a, const struct entry *b)
{
	d->rec = &a->rec;
	d->reported = false;
	entry_diff(a, b, on_difference, d);
	d->rec = NULL;
	d->reported_count += d->reported;
}

/* An entry that only one side has. */
static void
print_only(struct diff *d, const struct entry *e, const char *side)
{
	struct span none = { NULL, 0 };

	d->rec = &e->rec;
	if (entry_counts(e))
		print(d, "", none, none, false, side);
	d->rec = NULL;
}

static struct side
open_side(const char *operand)
{
	const struct source_options options = { auth, subscription, credential,
		cloud, jobs };
	struct side s = { .name = strcmp(operand, "-") ? operand : "stdin" };
	struct err e;

	s.source = source_open(operand, &options, &e);
	if (!s.source)
		die_err(&e);
	return s;
}

/* The next entry; false at the end.  What is no record ends the run: there is
 * no verdict over half of a registry. */
static bool
next_entry(struct side *s, struct entry *e, struct line *line)
{
	enum lines_got got;
	struct err why, died;
	long number;

	got = source_next(s->source, line, &why);
	if (got == LINES_LINE && entry_read(line->text, e, &why) == 0) {
		s->entries++;
		return true;
	}
	if (got == LINES_LINE) {
		/* Half a line may be the end of a dump that failed: then that
		 * is the reason. */
		number = line->number;
		while (source_next(s->source, line, &died) == LINES_LINE)
			;
		if (source_close(s->source, &died) &&
		    died.status != PARTLY_DONE)
			die_err(&died);
		die(why.status, s->name, "line %ld: %s", number, why.text);
	}
	if (got == LINES_FAILED)
		die_err(&why);
	if (source_close(s->source, &why)) {
		if (why.status != PARTLY_DONE)
			die_err(&why);
		warn_err(&why);
		s->partial = true;
	}
	return false;
}

_Noreturn static void
die_twice(
    const struct side *s, const struct line *line, const struct record *rec)
{
	die(BAD_DATA, s->name, "line %ld: '%s%s%s' is there twice",
	    line->number, rec->id, rec->module ? "/" : "",
	    rec->module ? rec->module : "");
}

/* A: to the spool, and where each entry lies there. */
static void
load(struct diff *d, struct side *a)
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
	out_close(spool);
	entry_free(&e);
}

/* An entry of A, from the spool. */
static void
fetch(const struct diff *d, uint64_t place, struct buf *text)
{
	size_t len = (size_t)(place & LENGTH), done = 0;
	off_t at = (off_t)((place & ~MET) >> LENGTH_BITS);
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
}

/* It was read before and is good. */
static void
read_again(const struct buf *text, struct entry *e)
{
	struct err why;

	if (entry_read(buf_peek(text), e, &why))
		bug("an entry changed in the spool: %s", why.text);
}

/* B, as it comes, against A. */
static void
match(struct diff *d, struct side *b)
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
			fetch(d, *at, &text);
			if (text.len != line.text.len ||
			    memcmp(text.at, line.text.at, text.len) != 0) {
				read_again(&text, &x);
				compare(d, &x, &y);
			}
		}
		*at |= MET;
	}
	buf_wipe(&text);
	entry_free(&x);
	entry_free(&y);
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
		fetch(d, place[i], &text);
		read_again(&text, &e);
		print_only(d, &e, "a");
	}
	free(place);
	buf_wipe(&text);
	entry_free(&e);
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
	if ((strcmp(a, b) == 0 && (!strcmp(a, "-") || !source_is_file(a))) ||
	    (x && y && strcspn(x, ";") == strcspn(y, ";") &&
		!strncasecmp(x, y, strcspn(x, ";"))))
		usage("both sides are the same: '%s' and '%s'", a, b);
}

static enum status
say_verdict(const struct diff *d, const struct side *a, const struct side *b)
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
	if (d->differences)
		return ANSWER_NO;
	return a->partial || b->partial ? PARTLY_DONE : DONE;
}

int
main(int argc, char *argv[])
{
	int first = tool_start(&tool, argc, argv);
	const char *left =
	    first < argc ? argv[first] : "env:IOTHUB_CONN_STRING";
	const char *right =
	    first + 1 < argc ? argv[first + 1] : "env:DEST_IOTHUB_CONN_STRING";
	struct side a, b;
	struct diff d = { .spool = -1 };

	check_operands(left, right);
	d.out = out_open(output, false);
	a = open_side(left);
	load(&d, &a);
	b = open_side(right);
	match(&d, &b);
	list_unmet(&d);
	out_close(d.out);
	idset_free(&d.ids);
	(void)close(d.spool);
	return say_verdict(&d, &a, &b);
}
