/* registry-diff: do two registries hold the same devices and modules? */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diffreport.h" /* what is said */
#include "entrydiff.h"  /* what two records differ in */
#include "mergeplan.h"  /* the records that make B like A */
#include "msg.h"        /* warn, die, and the exit statuses */
#include "opt.h"        /* one table for parsing, --help and completion */
#include "out.h"        /* stdout, or a file that is complete or not there */
#include "shelf.h"      /* the entries of A, and of B alone, by their ids */
#include "source.h"     /* a dump, or a live hub */

static const char *output, *plan_file;
static const char *auth, *subscription, *credential, *cloud, *jobs, *timeout,
    *retry_delay, *retry_max_time, *via, *sku, *share, *rate;
static bool reported, summary, configurations;

/* Handed to registry-dump. */
static const struct opt hub_options[] = {
	OPT_CHOICE(0, "auth", "login|key", &auth,
	    "of a hub: how registry-dump gets access"),
	OPT_TEXT('s', "subscription", "ID", &subscription,
	    "of a hub: its subscription"),
	OPT_TEXT(0, "credential", "PREFIX", &credential,
	    "of a hub: read PREFIX_AZURE_* instead of AZURE_*"),
	OPT_TEXT(0, "cloud", "NAME", &cloud, "of a hub: its cloud"),
	OPT_CHOICE(0, "via", "rest|job|auto", &via,
	    "of a hub: by calls, by a job of the hub, or what is faster"),
	OPT_TEXT(0, "sku", "SKU[:UNITS]", &sku, "of a hub: what it is"),
	OPT_TEXT(0, "share", "PCT", &share,
	    "of a hub: percent of what it permits to take"),
	OPT_TEXT(0, "rate", "N", &rate,
	    "of a hub: at most N identity operations a minute"),
	OPT_TEXT('j', "jobs", "N", &jobs, "of a hub: N requests at once"),
	OPT_TEXT(0, "timeout", "SECONDS", &timeout,
	    "of a hub: give up one try after SECONDS"),
	OPT_TEXT(0, "retry-delay", "SECONDS", &retry_delay,
	    "of a hub: first wait before trying again"),
	OPT_TEXT(0, "retry-max-time", "SECONDS", &retry_max_time,
	    "of a hub: do not try again after SECONDS"),
	OPT_END,
};
static const struct opt opts[] = {
	OPT_TEXT('o', "output", "FILE", &output, "write there (mode 0600)"),
	OPT_FLAG(0, "summary", &summary,
	    "print one line that counts the differences by kind, not each"),
	OPT_TEXT(0, "plan", "FILE", &plan_file,
	    "write the records with which registry-load makes B like A"),
	OPT_FLAG(0, "configurations", &configurations,
	    "compare configurations instead of devices and modules"),
	OPT_FLAG(0, "reported", &reported,
	    "compare reported properties too, instead of counting them"),
	OPT_GROUP(hub_options),
	OPT_END,
};
static const struct tool tool = {
	.name = "registry-diff",
	.synopsis = "[--summary] [--plan=FILE] [--reported] [A [B]]",
	.summary = "Compare two registries: dumps, - for stdin, or live hubs",
	.example = "registry-dump | registry-load && registry-diff\n"
		   "registry-diff contoso.txt contoso-east",
	.opts = opts,
	.statuses = "01234567",
	.operands_max = 2,
};

enum { A, B };
enum { ASK_AT_MOST = 100 }; /* devices: minutes, on a small hub */
static const uint64_t has[] = { ON_A, ON_B };

struct side {
	const char *operand, *name;
	struct source *source;
	bool live;
	bool again;   /* what is read now was asked for by ids */
	bool partial; /* registry-dump could not read all */
	long devices; /* how many were read */
	long counted; /* the hub says it has so many, and showed fewer */
};

struct diff {
	struct diffreport report;
	struct mergeplan plan;
	struct side side[2];
	struct shelf shelf;
	const struct entry *entry; /* the one being compared */
	uint64_t *slot;            /* of it */
	bool reported;             /* its reported properties differ */
};

/* May it be an export by a job, which is without managedBy (CONTRACT 16.3)? */
static bool
is_mute(const struct side *s)
{
	if (!s->live)
		return true;
	if (via && strcmp(via, "auto") != 0)
		return strcmp(via, "job") == 0;
	return getenv("STORAGE_ACCT_CONN_STRING") != NULL;
}

static void
on_difference(void *ctx, enum entry_part part, const char *pointer,
    struct span a, struct span b)
{
	struct diff *d = ctx;

	if (part == REPORTED && !reported) {
		d->reported = true;
		return;
	}
	if (part == MANAGED && ((!a.at && is_mute(&d->side[A])) ||
				   (!b.at && is_mute(&d->side[B])))) {
		d->report.unmanaged++;
		return;
	}
	*d->slot |= mergeplan_flag(d->entry, part, !a.at);
	diffreport_part(&d->report, d->entry, part, pointer, a, b);
}

static int
read_entry(struct span text, struct entry *e, struct err *why)
{
	return configurations ? entry_read_configuration(text, e, why)
			      : entry_read(text, e, why);
}

/* It was read before and is good. */
static void
from_shelf(struct diff *d, uint64_t known, struct entry *e)
{
	struct err why;

	if (read_entry(shelf_text(&d->shelf, known), e, &why))
		bug("an entry changed in the spool: %s", why.text);
}

static void
compare(struct diff *d, const struct entry *a, const struct entry *b,
    uint64_t *slot)
{
	d->entry = a;
	d->slot = slot;
	d->reported = false;
	entry_diff(a, b, on_difference, d);
	d->report.reported_count += d->reported;
}

/* wanted: --ids=FILE of those that are asked for by themselves, or NULL. */
static void
open_side(struct diff *d, int side, const char *wanted)
{
	struct side *s = &d->side[side];
	const char *ids = configurations ? "--ids=/dev/null" : wanted;
	/* A job knows no ids. */
	const struct source_options options = { .given = hub_options,
		.more = { ids, ids ? "--via=rest" : NULL,
		    configurations ? "--configurations=/dev/stdout" : NULL },
		.may_be_empty = configurations,
		.counted = ids ? NULL : &s->counted };
	struct err e;

	s->source = source_open(s->operand, &options, &e);
	if (!s->source)
		die_err(&e);
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
	if (got == LINES_LINE && read_entry(line->text, e, &why) == 0)
		return true;
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
		s->partial = s->partial || s->again || !s->counted;
	}
	return false;
}

/* All entries of a side; of those that the other side was found to have, none
 * is kept. */
static void
take(struct diff *d, int side)
{
	struct entry e = { .part = { { NULL, 0 } } }, other = e;
	struct side *s = &d->side[side];
	struct line line;

	while (next_entry(s, &e, &line)) {
		uint64_t *slot = shelf_slot(&d->shelf, e.rec.id, e.rec.module);
		struct span text = { NULL, 0 };

		if (*slot & has[side]) {
			if (s->again)
				continue;
			die(BAD_DATA, s->name,
			    "line %ld: '%s%s%s' is there twice", line.number,
			    e.rec.id, e.rec.module ? "/" : "",
			    e.rec.module ? e.rec.module : "");
		}
		d->report.entries[side]++;
		s->devices += !e.rec.module;
		if (*slot)
			text = shelf_text(&d->shelf, *slot);
		*slot |= ON_BOTH;
		if (!text.at) {
			*slot = has[side];
			shelf_keep(&d->shelf, slot, line.text);
		} else if (text.len != line.text.len ||
			   memcmp(text.at, line.text.at, text.len) != 0) {
			from_shelf(d, *slot, &other);
			compare(d, side == A ? &e : &other,
			    side == A ? &other : &e, slot);
			if (side == A)
				shelf_keep(&d->shelf, slot, line.text);
			if (*slot & (TO_UPDATE | TO_TWIN))
				mergeplan_module(&d->shelf, &e.rec);
		}
	}
	entry_free(&e);
	entry_free(&other);
}

/* The ids of what only the other side has, in a file that a child can read. */
static int
missing_on(struct diff *d, int side, size_t *count)
{
	struct entry e = { .part = { { NULL, 0 } } };
	size_t n;
	uint64_t *list =
	    shelf_list(&d->shelf, ON_BOTH, ON_BOTH & ~has[side], &n);
	struct err why;
	struct out *o;
	int fd = out_spool(&why);

	if (fd < 0 || fcntl(fd, F_SETFD, 0) < 0)
		die_err(&why);
	o = out_open_fd(fd, "temporary file");
	for (size_t i = 0; i < n; i++) {
		from_shelf(d, list[i], &e);
		if (!entry_counts(&e))
			continue;
		++*count;
		out_span(o, span_of(e.rec.id));
		out_add(o, "\n", 1);
	}
	out_close(o);
	free(list);
	entry_free(&e);
	return fd;
}

/* What a live hub did not list, its queries may only not show yet: each of
 * those devices is asked for by itself.  After a job many of that would take
 * longer than all the rest. */
static void
ask_again(struct diff *d, int side)
{
	size_t n = 0;
	char *option;
	int fd;

	if (!d->side[side].live || configurations)
		return;
	fd = missing_on(d, side, &n);
	if (n > ASK_AT_MOST && is_mute(&d->side[side])) {
		note("'%s' did not export %zu entries: they count as missing "
		     "(up to %d would be asked for by calls)",
		    d->side[side].name, n, ASK_AT_MOST);
	} else if (n) {
		note("'%s' did not list %zu entries: asking for each",
		    d->side[side].name, n);
		option = xasprintf("--ids=/dev/fd/%d", fd);
		d->side[side].again = true;
		open_side(d, side, option);
		take(d, side);
		free(option);
	}
	(void)close(fd);
}

/* The devices that it did not list may have been found since. */
static bool
is_partial(struct side *s)
{
	if (s->devices < s->counted) {
		warn(s->name, "counts %ld devices, and %ld were found",
		    s->counted, s->devices);
		s->partial = true;
	}
	return s->partial;
}

/* What only one side has, as it was kept: in the order of A, then of B. */
static void
list_only(struct diff *d, int side)
{
	struct entry e = { .part = { { NULL, 0 } } };
	size_t n;
	uint64_t *list = shelf_list(&d->shelf, ON_BOTH, has[side], &n);

	for (size_t i = 0; i < n; i++) {
		from_shelf(d, list[i], &e);
		if (!entry_counts(&e))
			continue;
		diffreport_only(&d->report, &e, side);
		if (side == A)
			mergeplan_module(&d->shelf, &e.rec);
	}
	free(list);
	entry_free(&e);
}

static void
check_operand(const char *operand)
{
	const char *outputs[] = { output, plan_file };

	if (strcasestr(operand, "SharedAccessKey="))
		usage("a connection string would show in ps: use env:NAME or "
		      "file:PATH");
	if (strncmp(operand, "env:", 4) == 0 && !getenv(operand + 4))
		usage("%s is not set: name what to compare", operand + 4);
	for (size_t i = 0; i < 2; i++)
		if (outputs[i] && source_is_file(operand) &&
		    source_same(outputs[i], operand))
			usage(
			    "'%s' is compared, and would be replaced", operand);
}

/* Comparing a hub with itself says equal, and proves nothing. */
static void
check_operands(const char *a, const char *b)
{
	check_operand(a);
	check_operand(b);
	if (plan_file && configurations)
		usage("--plan is for devices and modules, not for "
		      "--configurations");
	if (plan_file && output && strcmp(plan_file, output) == 0)
		usage("--plan and -o name the same: '%s'", output);
	if (!source_is_file(a) && source_same(a, b))
		usage("both sides are the same: '%s' and '%s'", a, b);
}

static void
write_plan(struct diff *d)
{
	struct mergeplan *p = &d->plan;

	p->delete_none = d->side[A].partial;
	mergeplan_write(p, &d->shelf);
	out_close(p->out);
	note("'%s': %ld to create, %ld to update, %ld twins to update, %ld to "
	     "delete",
	    plan_file, p->created, p->updated, p->twins, p->deleted);
	if (p->delete_none && d->report.only[B])
		warn(plan_file,
		    "deletes nothing: '%s' may have more than it "
		    "showed",
		    d->side[A].name);
}

static void
name_side(struct side *s, const char *operand)
{
	bool is_stdin = strcmp(operand, "-") == 0;

	*s = (struct side){ .operand = operand,
		.name = is_stdin ? "stdin" : operand,
		.live = !is_stdin && !source_is_file(operand) };
}

int
main(int argc, char *argv[])
{
	int first = tool_start(&tool, argc, argv);
	const char *left =
	    first < argc ? argv[first] : "env:IOTHUB_CONN_STRING";
	const char *right =
	    first + 1 < argc ? argv[first + 1] : "env:DEST_IOTHUB_CONN_STRING";
	static struct diff d;

	check_operands(left, right);
	name_side(&d.side[A], left);
	name_side(&d.side[B], right);
	d.report.summary = summary;
	d.report.reported = reported || configurations;
	/* A plan on stdout is all that is there. */
	if (output || !plan_file || strcmp(plan_file, "-") != 0)
		d.report.out = out_open(output, false);
	if (plan_file)
		d.plan.out = out_open(plan_file, true);
	shelf_open(&d.shelf);
	for (int s = A; s <= B; s++) {
		open_side(&d, s, NULL);
		take(&d, s);
	}
	ask_again(&d, B);
	ask_again(&d, A);
	list_only(&d, B);
	list_only(&d, A);
	d.report.partial = is_partial(&d.side[A]) | is_partial(&d.side[B]);
	diffreport_end(&d.report);
	if (d.plan.out)
		write_plan(&d);
	if (d.report.out)
		out_close(d.report.out);
	shelf_close(&d.shelf);
	if (d.report.differences)
		return ANSWER_NO;
	return d.report.partial ? PARTLY_DONE : DONE;
}
