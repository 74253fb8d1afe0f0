/* loadplan.c: records put into steps; see loadplan.h. */
#include "loadplan.h"
#include "quota.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "ask.h"

struct parent {
	uint64_t key[2];
	char *id, *scope;
	bool wanted; /* somebody under it is not finished */
};

struct load_plan {
	struct ledger *ledger;
	struct parent *parent;
	uint32_t count, cap;
	uint32_t *slot, slots; /* finds a parent by key; 0: empty */
	long rejected, deletes;
	char input[65]; /* its digest, when somebody has asked for it */
	uint32_t twin;  /* the first record that brings one */
	/* Is there any, whatever becomes of it? */
	unsigned flags; /* of all entries */
	bool twins;
};

static const char *const step_names[] = {
	[LOAD_DELETE_MODULES] = "delete modules",
	[LOAD_DELETE_DEVICES] = "delete devices",
	[LOAD_EDGE] = "create Edge devices",
	[LOAD_SCOPES] = "read the scopes of parents",
	[LOAD_DEVICES] = "create devices",
	[LOAD_PARENTS] = "set the parents of Edge devices",
	[LOAD_PEEK] = "look at modules of disabled devices",
	[LOAD_OPEN] = "open disabled devices that lack modules",
	[LOAD_MODULES] = "create modules",
	[LOAD_CLOSE] = "set keys and status of disabled devices",
	[LOAD_SYSTEM] = "set the twins of system modules",
	[LOAD_TWINS] = "update twins",
};

/* -- reading -------------------------------------------------------------- */

struct reading {
	struct load_plan *p;
	const struct load_rules *rules;
	load_reject *reject;
	void *ctx;
};

static void
reject(struct reading *r, uint32_t i, const char *code, const char *text)
{
	r->p->rejected++;
	r->reject(r->ctx, i, code, text);
}

static bool
writes_identity(const struct ledger_entry *e)
{
	return !load_deletes(e) && !(e->flags & LOAD_IS_SYSTEM) &&
	       e->mode != RECORD_UPDATE_TWIN &&
	       e->mode != RECORD_UPDATE_TWIN_IF_MATCH;
}

/* A module with managedBy, which the service's format of many records has not
 * (CONTRACT 16.3). */
static bool
is_managed(const struct record *rec)
{
	return rec->module && !rec->system_module &&
	       rec->known[RECORD_MANAGED] &&
	       entry_member(&rec->json, "managedBy").len > 2;
}

static void
read_one(struct reading *r, const struct line *line, struct record *rec)
{
	struct ledger *l = r->p->ledger;
	uint32_t i = ledger_add(l, line), twin;
	struct ledger_entry *entry;
	const char *code = "BadRecord";
	char *parent, text[64];
	bool reported;
	struct err e;

	if (record_read(line->text, rec, &e)) {
		reject(r, i, code, e.text);
		return;
	}
	twin = ledger_name(l, i, rec->id, rec->module);
	entry = ledger_edit(l, i);
	entry->mode = (uint8_t)rec->mode;
	if (twin != LEDGER_NONE) {
		(void)snprintf(text, sizeof text, "the same id as line %u",
		    ledger_at(l, twin)->line);
		reject(r, i, "DuplicateId", text);
		return;
	}
	entry->flags =
	    (uint32_t)((rec->module ? LOAD_IS_MODULE : 0) |
		       (rec->system_module ? LOAD_IS_SYSTEM : 0) |
		       (rec->edge && !rec->module ? LOAD_IS_EDGE : 0) |
		       (rec->disabled ? LOAD_IS_DISABLED : 0) |
		       (is_managed(rec) ? LOAD_IS_MANAGED : 0));
	if (entry_check(rec, r->rules->generate_keys, &code, &e)) {
		reject(r, i, code, e.text);
		return;
	}
	r->p->flags |= entry->flags;
	entry_cut(line->text, rec, load_bulk_mode(entry), &entry->cuts);
	if (load_deletes(entry)) {
		r->p->deletes++;
		return;
	}
	r->p->twins |= !writes_identity(entry);
	if (entry_has_twin(rec, &reported))
		entry->flags |= LOAD_HAS_TWIN;
	if (reported)
		entry->flags |= LOAD_HAS_REPORTED;
	if (entry->flags & LOAD_HAS_TWIN && r->p->twin == LEDGER_NONE)
		r->p->twin = i;
	if (rec->module || !writes_identity(entry) ||
	    !(rec->known[RECORD_SCOPE] || rec->known[RECORD_PARENTS]))
		return;
	parent = entry_parents(&rec->json);
	if (parent)
		entry->flags |= LOAD_HAS_PARENT;
	r->p->flags |= entry->flags;
	free(parent);
}

/* The number of a parent, new or known. */
static uint32_t
parent_of(struct load_plan *p, const char *id)
{
	uint64_t key[2];
	uint32_t i;

	if (p->slots < p->count * 2 + 2) {
		p->slots = p->slots ? p->slots * 2 : 256;
		free(p->slot);
		p->slot = xcalloc(p->slots, sizeof *p->slot);
		for (uint32_t n = 0; n < p->count; n++) {
			i = (uint32_t)(p->parent[n].key[1] % p->slots);
			while (p->slot[i])
				i = i + 1 == p->slots ? 0 : i + 1;
			p->slot[i] = n + 1;
		}
	}
	ledger_key(id, NULL, key);
	i = (uint32_t)(key[1] % p->slots);
	while (p->slot[i]) {
		if (memcmp(p->parent[p->slot[i] - 1].key, key, sizeof key) == 0)
			return p->slot[i] - 1;
		i = i + 1 == p->slots ? 0 : i + 1;
	}
	if (p->count == p->cap) {
		p->cap = p->cap ? p->cap * 2 : 64;
		p->parent = xrealloc(p->parent, p->cap * sizeof *p->parent);
	}
	p->parent[p->count] = (struct parent){ .id = xstrdup(id) };
	memcpy(p->parent[p->count].key, key, sizeof key);
	p->slot[i] = ++p->count;
	return p->count - 1;
}

/* A module's device: who needs it must find it open (CONTRACT 12.4). */
static void
link_device(struct ledger *l, uint32_t module, const char *id)
{
	uint32_t device = ledger_find(l, id, NULL);
	const struct ledger_entry *d;

	ledger_edit(l, module)->device = device;
	if (device == LEDGER_NONE || !writes_identity(ledger_at(l, module)))
		return;
	d = ledger_at(l, device);
	if (writes_identity(d) && d->flags & LOAD_IS_DISABLED)
		ledger_edit(l, device)->flags |= LOAD_LOCKED;
}

/* The number of parents, as entry_parents() names them: of several, one more
 * that stands for all. */
static uint32_t
parents_of(struct load_plan *p, const char *ids)
{
	for (const char *id = ids; strchr(ids, ' ') && *id;) {
		size_t n = strcspn(id, " ");
		char *one = xstrndup(id, n);

		(void)parent_of(p, one);
		free(one);
		id += n + (id[n] == ' ');
	}
	return parent_of(p, ids);
}

/* Who of those that have the flag stands on whom? */
static void
link_those(struct load_plan *p, unsigned flag)
{
	struct ledger *l = p->ledger;
	struct buf text = BUF_INIT;
	struct record rec = { 0 };
	struct err e;
	char *parent;

	for (uint32_t i = 0; i < l->count && p->flags & flag; i++) {
		const struct ledger_entry *entry = ledger_at(l, i);

		if (entry->state != LEDGER_TODO || !(entry->flags & flag))
			continue;
		ledger_text(l, i, &text);
		if (!text.len)
			break; /* ledger_changed() */
		if (record_read(buf_peek(&text), &rec, &e))
			bug("a record that was read before is none: %s",
			    e.text);
		if (flag == LOAD_IS_MODULE) {
			link_device(l, i, rec.id);
		} else if ((parent = entry_parents(&rec.json))) {
			uint32_t n = parents_of(p, parent);

			ledger_edit(l, i)->parent = n;
			free(parent);
		}
	}
	record_free(&rec);
	buf_wipe(&text);
}

struct load_plan *
load_read(struct ledger *ledger, const struct load_rules *rules,
    load_reject *on_reject, void *ctx, struct err *e)
{
	struct load_plan *p = xcalloc(1, sizeof *p);
	struct reading r = { p, rules, on_reject, ctx };
	struct lines *in = lines_open(STDIN_FILENO, "stdin");
	struct record rec = { .json = { .levels = JSON_LEVELS } };
	struct line line;
	enum lines_got got;
	bool open = false; /* within a line that is too long */

	p->ledger = ledger;
	p->twin = LEDGER_NONE;
	if (lines_file(in) >= 0)
		ledger_borrow(ledger, lines_file(in));
	while ((got = lines_next(in, &line, e)) > LINES_END) {
		if (got != LINES_LINE) {
			if (open)
				ledger_more(ledger, line.raw);
			else
				(void)ledger_add(ledger, &line);
			open = got == LINES_PIECE;
			if (!open)
				reject(&r, ledger->count - 1, "BadRecord",
				    "the line is too long");
		} else if (line.number == 1 && record_is_comment(line.text)) {
			warn("stdin",
			    "begins with a text, as an export without keys "
			    "does: skipped");
		} else if (!span_is_blank(line.text)) {
			read_one(&r, &line, &rec);
		}
	}
	record_free(&rec);
	lines_close(in);
	if (got == LINES_FAILED) {
		load_free(p);
		return NULL;
	}
	/* Now that all are there.  Parents are found by a table of their own:
	 * two would be much memory. */
	link_those(p, LOAD_IS_MODULE);
	if (p->flags & LOAD_HAS_PARENT)
		ledger_forget_ids(ledger);
	link_those(p, LOAD_HAS_PARENT);
	if (ledger_changed(ledger, e)) {
		load_free(p);
		return NULL;
	}
	return p;
}

const char *
load_input(struct load_plan *p)
{
	if (!*p->input)
		ledger_digest(p->ledger, p->input);
	return p->input;
}

void
load_reopen(struct load_plan *p, uint32_t i)
{
	const struct ledger_entry *e = ledger_at(p->ledger, i);
	struct ledger_entry *device;

	if (e->device == LEDGER_NONE || !writes_identity(e))
		return;
	device = ledger_edit(p->ledger, e->device);
	if (device->flags & LOAD_LOCKED &&
	    (device->state == LEDGER_APPLIED || device->state == LEDGER_EQUAL ||
		device->state == LEDGER_HELD)) {
		device->state = LEDGER_TODO;
		device->flags |= LOAD_DOUBT | LOAD_OURS;
	}
}

void
load_free(struct load_plan *p)
{
	for (uint32_t i = 0; i < p->count; i++) {
		free(p->parent[i].id);
		free(p->parent[i].scope);
	}
	free(p->parent);
	free(p->slot);
	free(p);
}

/* -- may it be done? ------------------------------------------------------ */

static bool
names_hub(const char *text, const struct hub *hub)
{
	return text && (strcasecmp(text, hub_name(hub)) == 0 ||
			   strcasecmp(text, hub_host(hub)) == 0);
}

int
load_check_source(struct load_rules *rules, struct hub *hub, struct http *http,
    const char *operand, struct err *e)
{
	const char *source = getenv("IOTHUB_CONN_STRING");
	struct hub *from;

	if (rules->confirm && !names_hub(rules->confirm, hub))
		return err_set(
		    e, BAD_USAGE, hub_name(hub), "is not what --confirm names");
	if (!source || !*source)
		return 0;
	from =
	    hub_open(http, "env:IOTHUB_CONN_STRING", "IOTHUB_CONN_STRING", e);
	if (!from)
		return 0; /* not known, and not ours to judge */
	rules->same_hub = hub_same(from, hub);
	hub_close(from);
	if (rules->same_hub && !(operand && rules->confirm))
		return err_set(e, BAD_USAGE, hub_name(hub),
		    "is the source too (IOTHUB_CONN_STRING): name it as the "
		    "operand and with --confirm=%s if that is meant",
		    hub_name(hub));
	return 0;
}

static int
check_manifest(const char *path, long lines, struct err *e)
{
	struct buf text = BUF_INIT;
	struct json j = { 0 };
	struct json_fault fault;
	struct span complete, count;
	char chunk[4096];
	FILE *f = fopen(path, "re");
	size_t n;
	char *number;
	int rc = 0;

	if (!f)
		return err_set(e, BAD_DATA, path,
		    "cannot be read (a dump that died has no manifest)");
	while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
		buf_add(&text, chunk, n);
	(void)fclose(f);
	if (json_scan(buf_peek(&text), &j, &fault) || j.kind != JSON_OBJECT) {
		rc = err_set(e, BAD_DATA, path, "is no manifest");
	} else {
		complete = entry_member(&j, "complete");
		count = entry_member(&j, "lines");
		number = count.at ? span_dup(count) : xstrdup("-1");
		if (!complete.at || *complete.at != 't')
			rc = err_set(e, BAD_DATA, path,
			    "tells of a dump that is not complete");
		else if (strtol(number, NULL, 10) != lines)
			rc = err_set(e, BAD_DATA, path,
			    "tells of %s records, but the input has %ld",
			    number, lines);
		free(number);
	}
	json_free(&j);
	buf_free(&text);
	return rc;
}

static int
check_deletes(const struct load_plan *p, const struct load_rules *rules,
    const struct hub *hub, const char *operand, struct err *e)
{
	const char *name = hub_name(hub);

	if (p->rejected && !rules->allow_partial)
		return err_set(e, BAD_DATA, "stdin",
		    "%ld lines are wrong, and others delete: nothing is done "
		    "(--allow-partial does the rest)",
		    p->rejected);
	if (rules->dry_run)
		return 0;
	if (!operand)
		return err_set(e, BAD_USAGE, name,
		    "%ld records delete: the hub must be named as an operand, "
		    "not by the environment",
		    p->deletes);
	if (!rules->confirm && !ask_name("this deletes", name))
		return err_set(e, BAD_USAGE, name,
		    "%ld records delete: --confirm=%s is needed", p->deletes,
		    name);
	if (rules->same_hub)
		return err_set(e, BAD_USAGE, name,
		    "%ld records delete, and it is the source too "
		    "(IOTHUB_CONN_STRING)",
		    p->deletes);
	if (!rules->manifest && rules->expect < 0)
		return err_set(e, BAD_USAGE, name,
		    "%ld records delete: --manifest=FILE or --expect=N is "
		    "needed, since a dump that died looks short",
		    p->deletes);
	return 0;
}

int
load_check(const struct load_plan *p, const struct load_rules *rules,
    const struct hub *hub, const char *operand, struct err *e)
{
	long count = (long)p->ledger->count;

	/* With --configurations there may be nothing else. */
	if (count == 0 && rules->expect != 0)
		return err_set(e, BAD_DATA, "stdin",
		    "has no records (did the stage before fail?)");
	if (rules->expect >= 0 && rules->expect != count)
		return err_set(e, BAD_DATA, "stdin", "has %ld records, not %ld",
		    count, rules->expect);
	if (rules->manifest && check_manifest(rules->manifest, count, e))
		return -1;
	return p->deletes ? check_deletes(p, rules, hub, operand, e) : 0;
}

/* -- steps ---------------------------------------------------------------- */

bool
load_deletes(const struct ledger_entry *e)
{
	return e->mode == RECORD_DELETE || e->mode == RECORD_DELETE_IF_MATCH;
}

static bool
is_shut(const struct load_plan *p, uint32_t device)
{
	const struct ledger_entry *e;

	if (device == LEDGER_NONE)
		return false;
	e = ledger_at(p->ledger, device);
	return e->state == LEDGER_HELD && e->flags & LOAD_SHUT;
}

bool
load_takes_part(const struct load_plan *p, uint32_t i, enum load_step step)
{
	const struct ledger_entry *e = ledger_at(p->ledger, i);
	bool module = e->flags & LOAD_IS_MODULE;
	bool todo = e->state == LEDGER_TODO;

	switch (step) {
	case LOAD_DELETE_MODULES:
		return todo && load_deletes(e) && module;
	case LOAD_DELETE_DEVICES:
		return todo && load_deletes(e) && !module;
	case LOAD_EDGE:
		return todo && writes_identity(e) && !module &&
		       e->flags & LOAD_IS_EDGE;
	case LOAD_DEVICES:
		return todo && writes_identity(e) && !module &&
		       !(e->flags & LOAD_IS_EDGE);
	case LOAD_PARENTS:
		return e->state == LEDGER_HELD && e->flags & LOAD_IS_EDGE &&
		       e->parent != LEDGER_NONE && !(e->flags & LOAD_LOCKED);
	case LOAD_PEEK:
		return todo && writes_identity(e) && module &&
		       is_shut(p, e->device);
	case LOAD_OPEN:
		return e->state == LEDGER_HELD && e->flags & LOAD_LACKS;
	case LOAD_MODULES:
		return todo && writes_identity(e) && module;
	case LOAD_CLOSE:
		return e->state == LEDGER_HELD && e->flags & LOAD_LOCKED;
	case LOAD_SYSTEM:
		return todo && e->flags & LOAD_IS_SYSTEM && !load_deletes(e);
	case LOAD_TWINS:
		return todo && !load_deletes(e) && !writes_identity(e) &&
		       !(e->flags & LOAD_IS_SYSTEM);
	case LOAD_SCOPES:
	case LOAD_STEPS:
		break;
	}
	return false;
}

bool
load_has_step(const struct load_plan *p, enum load_step step)
{
	unsigned needs[LOAD_STEPS] = {
		[LOAD_EDGE] = LOAD_IS_EDGE,
		[LOAD_PARENTS] = LOAD_HAS_PARENT,
		[LOAD_PEEK] = LOAD_IS_DISABLED,
		[LOAD_OPEN] = LOAD_IS_DISABLED,
		[LOAD_MODULES] = LOAD_IS_MODULE,
		[LOAD_CLOSE] = LOAD_IS_DISABLED,
		[LOAD_SYSTEM] = LOAD_IS_SYSTEM,
	};

	if (step == LOAD_DELETE_MODULES || step == LOAD_DELETE_DEVICES)
		return p->deletes > 0;
	if (step == LOAD_TWINS)
		return p->twins;
	return (p->flags & needs[step]) == needs[step];
}

bool
load_later(const struct load_plan *p, uint32_t i, enum load_step step)
{
	const struct ledger_entry *e = ledger_at(p->ledger, i);

	if (e->flags & LOAD_LOCKED && step < LOAD_CLOSE)
		return true;
	return step == LOAD_EDGE && e->parent != LEDGER_NONE;
}

enum entry_form
load_form(const struct load_plan *p, uint32_t i, enum load_step step)
{
	const struct ledger_entry *e = ledger_at(p->ledger, i);

	if (e->flags & LOAD_LOCKED && step < LOAD_CLOSE)
		return ENTRY_LOCKED;
	if (step == LOAD_EDGE && e->parent != LEDGER_NONE)
		return ENTRY_ROOT;
	return ENTRY_FULL;
}

const char *
load_obstacle(
    const struct load_plan *p, uint32_t i, enum load_step step, bool *hopeless)
{
	const struct ledger_entry *e = ledger_at(p->ledger, i);
	enum ledger_state device = LEDGER_TODO;

	if (step == LOAD_MODULES || step == LOAD_SYSTEM)
		if (e->device != LEDGER_NONE)
			device =
			    (enum ledger_state)ledger_at(p->ledger, e->device)
				->state;
	*hopeless = device == LEDGER_REJECTED;
	if (device >= LEDGER_REJECTED)
		return "its device was not applied";
	if ((step == LOAD_DEVICES || step == LOAD_PARENTS) &&
	    e->parent != LEDGER_NONE && !p->parent[e->parent].scope)
		return "the hub has no Edge device of its parent's id";
	return NULL;
}

bool
load_orphan(const struct load_plan *p, uint32_t i, enum load_step step)
{
	const struct ledger_entry *e = ledger_at(p->ledger, i);

	return step == LOAD_CLOSE && e->parent != LEDGER_NONE &&
	       !p->parent[e->parent].scope;
}

bool
load_unsure(const struct load_plan *p, uint32_t i, enum load_step step)
{
	const struct ledger_entry *e = ledger_at(p->ledger, i);

	if (step == LOAD_MODULES)
		return e->flags & LOAD_IS_MANAGED;
	return step == LOAD_DEVICES && e->parent != LEDGER_NONE &&
	       !(e->flags & LOAD_LOCKED);
}

bool
load_goes_in_bulk(const struct ledger_entry *e, enum load_step step)
{
	switch (step) {
	case LOAD_DELETE_MODULES:
	case LOAD_DELETE_DEVICES:
	case LOAD_TWINS:
		return true;
	case LOAD_EDGE:
	case LOAD_DEVICES:
	case LOAD_MODULES:
		return e->mode == RECORD_CREATE ||
		       e->mode == RECORD_CREATE_OR_UPDATE ||
		       e->mode == RECORD_CREATE_OR_UPDATE_IF_MATCH;
	default:
		return false;
	}
}

enum record_mode
load_bulk_mode(const struct ledger_entry *e)
{
	/* The call has no createOrUpdate (CONTRACT 12.5). */
	return writes_identity(e) ? RECORD_CREATE : (enum record_mode)e->mode;
}

/* -- parents -------------------------------------------------------------- */

static long
count_step(struct load_plan *p, enum load_step step, long *calls)
{
	struct ledger *l = p->ledger;
	long n = 0, bulk = 0;

	for (uint32_t i = 0; i < l->count && load_has_step(p, step); i++) {
		if (!load_takes_part(p, i, step))
			continue;
		n++;
		bulk += load_goes_in_bulk(ledger_at(l, i), step);
		if (load_later(p, i, step))
			ledger_edit(l, i)->state = LEDGER_HELD;
	}
	if (step == LOAD_SCOPES)
		n = (long)p->count;
	*calls = (bulk + 99) / 100 + n - bulk;
	return n;
}

uint32_t
load_first_twin(const struct load_plan *p)
{
	return p->twin;
}

double
load_plan_text(struct load_plan *p, struct buf *into)
{
	double operations = 0;

	for (int s = 0; s < LOAD_STEPS; s++) {
		long calls, n = count_step(p, (enum load_step)s, &calls);

		if (!n)
			continue;
		operations += (double)n;
		buf_printf(into,
		    "{\"step\":\"%s\",\"records\":%ld,\"calls\":%ld}\n",
		    step_names[s], n, calls);
	}
	return operations;
}

/* What is finished needs none: a run may go on where another was killed. */
static void
want_parents(struct load_plan *p)
{
	for (uint32_t i = 0; i < p->ledger->count && p->count; i++) {
		const struct ledger_entry *e = ledger_at(p->ledger, i);

		if (e->parent != LEDGER_NONE && e->state <= LEDGER_HELD)
			p->parent[e->parent].wanted = true;
	}
	for (uint32_t i = 0; i < p->count; i++) {
		if (!p->parent[i].wanted || !strchr(p->parent[i].id, ' '))
			continue;
		for (const char *id = p->parent[i].id; *id;) {
			size_t n = strcspn(id, " ");
			char *one = xstrndup(id, n);

			p->parent[parent_of(p, one)].wanted = true;
			free(one);
			id += n + (id[n] == ' ');
		}
	}
}

/* Several at once stand for each of them. */
static bool
is_asked_for(const struct parent *one)
{
	return one->wanted && !strchr(one->id, ' ');
}

/* Read, compared and written by calls of its own. */
static void
cost_single(struct quota_cost *cost, bool identity, bool twin)
{
	if (identity)
		cost->of[HUB_IDENTITY] += 2;
	if (twin) {
		cost->of[HUB_TWIN_READ]++;
		cost->of[HUB_TWIN_WRITE]++;
	}
}

static void
cost_first(const struct load_plan *p, uint32_t i, struct quota_cost *cost)
{
	const struct ledger_entry *e = ledger_at(p->ledger, i);
	bool edge = e->flags & LOAD_IS_EDGE;

	if (e->flags & LOAD_IS_SYSTEM && !load_deletes(e)) {
		cost_single(cost, false, true);
	} else if (!writes_identity(e)) {
		cost->of[HUB_IDENTITY]++; /* a delete, or a twin in bulk */
	} else if (!load_goes_in_bulk(e, LOAD_DEVICES)) {
		cost_single(cost, true, true);
	} else {
		cost->of[HUB_IDENTITY]++;
		cost->of[HUB_TWIN_READ] += e->flags & LOAD_HAS_REPORTED ? 1 : 0;
		if (e->flags & LOAD_IS_MANAGED)
			cost_single(cost, true, true);
		else if (!edge && load_unsure(p, i, LOAD_DEVICES)) {
			cost->of[HUB_IDENTITY]++;
			cost->of[HUB_TWIN_READ]++;
		}
	}
}

void
load_cost_call(const struct load_plan *p, uint32_t i, enum load_step step,
    struct quota_cost *cost)
{
	if (step == LOAD_PARENTS || step == LOAD_CLOSE)
		cost_single(cost, true, step == LOAD_CLOSE);
	else
		cost_first(p, i, cost);
}

void
load_cost_look(struct quota_cost *cost)
{
	cost_single(cost, true, false);
	cost->of[HUB_TWIN_READ]++; /* which has come with the record */
}

void
load_cost_scopes(struct load_plan *p, struct quota_cost *cost)
{
	want_parents(p);
	for (uint32_t i = 0; i < p->count; i++)
		cost->of[HUB_IDENTITY] += is_asked_for(&p->parent[i]);
}

void
load_plan_cost(struct load_plan *p, struct quota_cost *cost)
{
	struct ledger *l = p->ledger;

	*cost = (struct quota_cost){ { 0 } };
	load_cost_scopes(p, cost);
	for (uint32_t i = 0; i < l->count; i++) {
		const struct ledger_entry *e = ledger_at(l, i);
		bool locked = e->flags & LOAD_LOCKED;

		if (e->state == LEDGER_TODO)
			cost_first(p, i, cost);
		else if (e->state == LEDGER_LOOK)
			cost_single(cost, true, true);
		else if (e->state != LEDGER_HELD)
			continue;
		e = ledger_at(l, i);
		if (load_deletes(e) || !writes_identity(e))
			continue;
		if (locked)
			cost_single(cost, true, true);
		else if (e->flags & LOAD_IS_EDGE && e->parent != LEDGER_NONE)
			cost_single(cost, true, false);
	}
}

const char *
load_scope(const struct load_plan *p, uint32_t i)
{
	uint32_t parent = ledger_at(p->ledger, i)->parent;

	return parent == LEDGER_NONE ? NULL : p->parent[parent].scope;
}

struct scope_call {
	struct parent *parent;
	struct hub *hub;
	struct err *e;
	bool *failed;
};

static void
take_scope(struct http_reply *r, void *ctx)
{
	static const char *const path[] = { "deviceScope", NULL };
	struct scope_call c = *(struct scope_call *)ctx;
	struct span edge, scope;
	struct err e;
	char code[64];

	free(ctx);
	if (hub_check(c.hub, r, c.parent->id, code, &e)) {
		if (e.status == ANSWER_NO || *c.failed)
			return;
		*c.failed = true;
		*c.e = e;
		return;
	}
	edge = entry_path(buf_peek(&r->body), "capabilities", "iotEdge");
	/* The scope of a leaf is its parent's. */
	if (edge.at && *edge.at == 't' &&
	    json_get(buf_peek(&r->body), path, &scope, NULL) == 1)
		c.parent->scope = json_string(scope);
}

/* Those of several parents, of what is there of them; none without the first,
 * who is the parent (CONTRACT 12.3). */
static void
join_scopes(struct load_plan *p, struct parent *all)
{
	struct buf scopes = BUF_INIT;

	for (const char *id = all->id; *id;) {
		size_t n = strcspn(id, " ");
		char *one = xstrndup(id, n);
		const char *scope = p->parent[parent_of(p, one)].scope;

		free(one);
		if (id == all->id && !scope)
			return;
		if (scope)
			buf_printf(
			    &scopes, "%s%s", scopes.len ? " " : "", scope);
		id += n + (id[n] == ' ');
	}
	all->scope = scopes.at;
}

/* One by one: no twin in a query has a scope, and the query may still show the
 * device that had the id before (CONTRACT 13, 14). */
int
load_read_scopes(
    struct load_plan *p, struct hub *hub, struct http *http, struct err *e)
{
	bool failed = false;

	want_parents(p);
	for (uint32_t i = 0; i < p->count && !failed; i++) {
		struct scope_call *c;
		struct http_request r;
		char *id;

		if (!is_asked_for(&p->parent[i]))
			continue;
		c = xmalloc(sizeof *c);
		id = hub_escape(p->parent[i].id);
		r = hub_request(hub, "GET", NULL, "/devices/%s", id);
		*c = (struct scope_call){ &p->parent[i], hub, e, &failed };
		r.done = take_scope;
		r.ctx = c;
		http_send(http, &r);
		free(id);
	}
	http_drain(http);
	for (uint32_t i = 0; i < p->count && !failed; i++)
		if (p->parent[i].wanted && strchr(p->parent[i].id, ' '))
			join_scopes(p, &p->parent[i]);
	return failed ? -1 : 0;
}
