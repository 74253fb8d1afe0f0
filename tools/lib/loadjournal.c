/* loadjournal.c: the journal of a load; see loadjournal.h. */
#include "loadjournal.h"

#include <stdio.h>
#include <stdlib.h>

#include "journal.h"
#include "since.h"

/* How many entries one line announces. */
enum { AHEAD_IN_BULK = 256, AHEAD_ALONE = 16 };

/*
 * Lines are words: B or L, step and range: may have been sent, in bulk or one
 * by one; a state and a range; C: complete; U: the undo file's inode and size.
 */
enum {
	APPLIED = 'A',
	EQUAL = 'E',
	HELD = 'H', /* and written by us */
	HELD_EQUAL = 'h',
	FAILED = 'F', /* and may have been written */
	FAILED_CLEAN = 'f',
	UNTOUCHED = 'u', /* by what was sent */
	IN_BULK = 'B',
	ALONE = 'L',
	COMPLETE = 'C',
	UNDO = 'U',
};

struct loadjournal {
	struct journal *file;
	struct hub *hub;
	char *path, *options;
	bool read_only, resumed, complete;
	struct load_plan *plan;
	struct ledger *ledger;
	uint32_t announced[LOAD_STEPS][2]; /* up to here */
	/* States to be written: words, and the last one still growing. */
	struct buf words;
	char kind;
	uint32_t from, to; /* to: not included; equal: none */
	struct err broken; /* status not DONE: the file failed */
	uint64_t undo[2];  /* inode and size; 0: none */
};

/* -- an old one ----------------------------------------------------------- */

static int
same(const struct loadjournal *j, const char *name, const char *now,
    const char *what, const char *next, struct err *e)
{
	const char *then = journal_head(j->file, name);

	if (!journal_begun(j->file) || strcmp(then, now) == 0)
		return 0;
	return err_set(e, BAD_USAGE, j->path,
	    "was begun with %s %s, not %s (%s)", what, *then ? then : "none",
	    *now ? now : "none", next);
}

struct loadjournal *
loadjournal_open(const char *path, struct hub *hub, const char *options,
    bool read_only, struct err *e)
{
	struct loadjournal *j = xcalloc(1, sizeof *j);

	*j = (struct loadjournal){ .hub = hub,
		.path = xstrdup(path),
		.read_only = read_only,
		.options = xstrdup(options) };
	j->file = journal_open(path, "load", read_only, e);
	if (!j->file ||
	    same(j, "hub", hub_host(hub), "the hub",
		"load into that, or begin another journal", e) ||
	    same(j, "options", options, "the options",
		"give the same, or begin another journal", e)) {
		loadjournal_close(j);
		return NULL;
	}
	return j;
}

/* It may have been sent in that step. */
static void
announce(struct loadjournal *j, uint32_t i, enum load_step step, bool alone)
{
	struct ledger_entry *e = ledger_edit(j->ledger, i);
	uint8_t state = e->state;

	/* What was refused is tried again by each run. */
	if (state == LEDGER_FAILED)
		e->state = LEDGER_TODO;
	if (load_takes_part(j->plan, i, step) &&
	    (alone || load_goes_in_bulk(e, step)))
		e->flags |= LOAD_DOUBT;
	else
		e->state = state;
}

static void
restore(struct ledger_entry *e, char kind)
{
	static const struct {
		char kind;
		uint8_t state;
		bool doubt;
	} kinds[] = {
		{ APPLIED, LEDGER_APPLIED, true },
		{ EQUAL, LEDGER_EQUAL, false },
		{ HELD, LEDGER_HELD, true },
		{ HELD_EQUAL, LEDGER_HELD, false },
		{ FAILED, LEDGER_FAILED, true },
		{ FAILED_CLEAN, LEDGER_FAILED, false },
		{ UNTOUCHED, LEDGER_TODO, false },
	};

	for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
		if (kinds[k].kind != kind)
			continue;
		e->state = kinds[k].state;
		if (kinds[k].doubt)
			e->flags |= LOAD_DOUBT;
		else
			e->flags &= ~(uint32_t)LOAD_DOUBT;
	}
}

static int
replay_word(struct loadjournal *j, const char *word)
{
	char kind = *word, *end;
	unsigned long step = 0, from, to;
	bool sent = kind == IN_BULK || kind == ALONE;

	if (kind == COMPLETE && !word[1]) {
		j->complete = true;
		return 0;
	}
	if (kind == UNDO) {
		j->undo[0] = strtoull(word + 1, &end, 10);
		if (end == word + 1 || *end != ':')
			return -1;
		j->undo[1] = strtoull(end + 1, &end, 10);
		return *end ? -1 : 0;
	}
	if (!kind || !strchr("AEHhFfuBL", kind))
		return -1;
	word++;
	if (sent) {
		step = strtoul(word, &end, 10);
		if (end == word || *end != ':' || step >= LOAD_STEPS)
			return -1;
		word = end + 1;
	}
	from = to = strtoul(word, &end, 10);
	if (end == word)
		return -1;
	if (*end == '-')
		to = strtoul(end + 1, &end, 10);
	if (*end || to < from || to >= j->ledger->count)
		return -1;
	j->complete = false;
	for (uint32_t i = (uint32_t)from; i <= to; i++) {
		struct ledger_entry *e = ledger_edit(j->ledger, i);

		if (e->state == LEDGER_REJECTED)
			continue;
		if (sent)
			announce(j, i, (enum load_step)step, kind == ALONE);
		else
			restore(e, kind);
	}
	return 0;
}

static int
replay_line(void *ctx, char *text)
{
	char *save, *word = strtok_r(text, " ", &save);

	for (; word; word = strtok_r(NULL, " ", &save))
		if (replay_word(ctx, word))
			return -1;
	return 0;
}

/*
 * What failed is tried again.  A module that is still to be made needs its
 * device open, though that was finished (CONTRACT 12.4).
 */
static void
prepare(struct loadjournal *j)
{
	struct ledger *l = j->ledger;

	for (uint32_t i = 0; i < l->count; i++) {
		const struct ledger_entry *e = ledger_at(l, i);

		if (e->state == LEDGER_FAILED)
			ledger_edit(l, i)->state = LEDGER_TODO;
		if (e->state == LEDGER_TODO)
			load_reopen(j->plan, i);
	}
}

/* The moment is the hub's: our own clock may be off. */
static void
ask_time(struct loadjournal *j, char now[SINCE_TEXT])
{
	struct http_request r =
	    hub_request(j->hub, "GET", NULL, "/statistics/devices");
	struct http_reply reply;

	r.repeat = HTTP_REPEAT;
	http_one(hub_http(j->hub), &r, &reply);
	since_now(reply.status ? http_clock_skew(&reply) : 0, now);
	http_reply_free(&reply);
}

int
loadjournal_start(struct loadjournal *j, struct load_plan *p, struct ledger *l,
    const char *input, struct err *e)
{
	char now[SINCE_TEXT], records[24];
	const char *const pairs[] = { "hub", hub_host(j->hub), "options",
		j->options, "input", input, "records", records, "began", now,
		NULL };

	if (ledger_changed(l, e)) /* and input is not its digest */
		return -1;
	(void)snprintf(records, sizeof records, "%u", l->count);
	j->plan = p;
	j->ledger = l;
	if (journal_begun(j->file)) {
		j->resumed = true;
		if (strcmp(journal_head(j->file, "input"), input) != 0)
			return err_set(e, BAD_DATA, j->path,
			    "was begun with another input, of %s records (give "
			    "the same bytes, or begin another journal)",
			    journal_head(j->file, "records"));
		if (journal_replay(j->file, replay_line, j, e))
			return -1;
		prepare(j);
		return 0;
	}
	if (j->read_only)
		return 0;
	ask_time(j, now);
	return journal_begin(j->file, pairs, e);
}

const char *
loadjournal_since(const struct loadjournal *j)
{
	return j->resumed ? journal_head(j->file, "began") : NULL;
}

bool
loadjournal_complete(const struct loadjournal *j)
{
	return j->complete;
}

/* -- a run ---------------------------------------------------------------- */

static void
end_range(struct loadjournal *j)
{
	if (j->to == j->from)
		return;
	buf_printf(
	    &j->words, "%s%c%u", j->words.len ? " " : "", j->kind, j->from);
	if (j->to > j->from + 1)
		buf_printf(&j->words, "-%u", j->to - 1);
	j->from = j->to = 0;
}

static void
write_words(struct loadjournal *j)
{
	struct err e;

	end_range(j);
	if (j->words.len && j->broken.status == DONE &&
	    journal_add(j->file, buf_peek(&j->words), false, &e))
		j->broken = e;
	buf_clear(&j->words);
}

void
loadjournal_sending(
    struct loadjournal *j, enum load_step step, bool alone, uint32_t i)
{
	uint32_t *upto = &j->announced[step][alone];
	uint32_t ahead = alone ? AHEAD_ALONE : AHEAD_IN_BULK;
	struct err e;

	if (i < *upto)
		return;
	*upto = j->ledger->count - i > ahead ? i + ahead : j->ledger->count;
	write_words(j);
	buf_printf(&j->words, "%c%d:%u-%u", alone ? ALONE : IN_BULK, (int)step,
	    i, *upto - 1);
	if (j->broken.status == DONE &&
	    journal_add(j->file, buf_peek(&j->words), !alone, &e))
		j->broken = e;
	buf_clear(&j->words);
}

void
loadjournal_state(
    struct loadjournal *j, const struct ledger_entry *e, uint32_t i)
{
	bool doubt = e->flags & LOAD_DOUBT;
	char kind = e->state == LEDGER_APPLIED ? APPLIED
		    : e->state == LEDGER_EQUAL ? EQUAL
		    : e->state == LEDGER_HELD  ? (doubt ? HELD : HELD_EQUAL)
		    : e->state == LEDGER_FAILED
			? (doubt ? FAILED : FAILED_CLEAN)
		    : e->state == LEDGER_LOOK && !doubt ? UNTOUCHED
							: '\0';

	if (!kind)
		return;
	if (j->to > j->from && kind == j->kind && i == j->to) {
		j->to++;
		return;
	}
	end_range(j);
	j->kind = kind;
	j->from = i;
	j->to = i + 1;
}

int
loadjournal_write(struct loadjournal *j, struct err *e)
{
	struct err failed;

	write_words(j);
	if (j->broken.status == DONE && journal_sync(j->file, true, &failed))
		j->broken = failed;
	if (j->broken.status == DONE)
		return 0;
	*e = j->broken;
	return -1;
}

int
loadjournal_undo(
    struct loadjournal *j, uint64_t inode, uint64_t size, struct err *e)
{
	char word[64];

	(void)snprintf(word, sizeof word, "%c%llu:%llu", UNDO,
	    (unsigned long long)inode, (unsigned long long)size);
	return journal_add(j->file, span_of(word), true, e);
}

bool
loadjournal_has_undo(const struct loadjournal *j, uint64_t inode, uint64_t size)
{
	return j->undo[0] && j->undo[0] == inode && j->undo[1] == size;
}

int
loadjournal_end(struct loadjournal *j, bool complete, struct err *e)
{
	write_words(j);
	if (complete && !j->complete && j->broken.status == DONE &&
	    journal_add(j->file, span_of("C"), true, e))
		return -1;
	return journal_sync(j->file, false, e);
}

void
loadjournal_close(struct loadjournal *j)
{
	if (!j)
		return;
	journal_close(j->file);
	buf_free(&j->words);
	free(j->path);
	free(j->options);
	free(j);
}
