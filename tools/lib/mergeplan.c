/* mergeplan.c: records that carry differences over; see mergeplan.h. */
#include "mergeplan.h"

#include <stdlib.h>

enum merge { CREATE, UPDATE, TWIN, DELETE };

uint64_t
mergeplan_flag(const struct entry *e, enum entry_part part, bool missing)
{
	if (part == REPORTED)
		return 0;
	if (e->rec.system_module)
		return TO_TWIN;
	/* A bulk call merges a twin: it takes nothing away. */
	if (part == TAGS || part == DESIRED)
		return missing ? TO_UPDATE : TO_TWIN;
	return TO_UPDATE;
}

static void
read_text(struct shelf *s, uint64_t known, struct record *rec)
{
	struct err e;

	if (record_read(shelf_text(s, known), rec, &e))
		bug("an entry changed in the spool: %s", e.text);
}

/* Those of a disabled device can be written with it only. */
void
mergeplan_module(struct shelf *s, const struct record *module)
{
	struct record device = { .id = NULL };
	uint64_t *slot;

	if (!module->module || module->system_module)
		return;
	slot = shelf_find(s, module->id, NULL);
	if (!slot || *slot & TO_UPDATE || ~*slot & ON_BOTH)
		return;
	read_text(s, *slot, &device);
	if (device.disabled)
		*slot |= TO_UPDATE;
	record_free(&device);
}

/* A section that is not said would stay as it is. */
static void
say_sections(struct buf *record)
{
	static const char *const path[][3] = { { "tags", NULL },
		{ "properties", "desired", NULL } };
	struct buf next = BUF_INIT;

	for (size_t i = 0; i < 2; i++) {
		struct span value;
		enum json_kind kind;

		if (json_get(buf_peek(record), path[i], &value, &kind) == 1 &&
		    kind != JSON_NULL)
			continue;
		buf_clear(&next);
		if (json_set_path(
			buf_peek(record), path[i], span_of("{}"), &next))
			continue; /* properties is no object: it is refused */
		buf_clear(record);
		buf_span(record, buf_peek(&next));
	}
	buf_wipe(&next);
}

static void
write_deletion(struct out *o, const struct record *rec)
{
	struct buf b = BUF_INIT;

	buf_text(&b, "{\"id\":");
	buf_json(&b, rec->id, strlen(rec->id));
	if (rec->module) {
		buf_text(&b, ",\"moduleId\":");
		buf_json(&b, rec->module, strlen(rec->module));
	}
	buf_text(&b, ",\"importMode\":\"delete\"}\n");
	out_span(o, buf_peek(&b));
	buf_free(&b);
}

static void
write_record(struct out *o, const struct record *rec, enum merge what)
{
	static const struct json_edit edits[] = {
		/* Not "create": the plan may be run again after a failure. */
		[CREATE] = { "importMode", { "\"createOrUpdate\"", 16 } },
		[UPDATE] = { "importMode", { "\"update\"", 8 } },
		[TWIN] = { "importMode", { "\"updateTwin\"", 12 } },
	};
	struct buf record = BUF_INIT;

	json_splice(&rec->json, &edits[what], 1, &record);
	if (what != CREATE)
		say_sections(&record);
	buf_char(&record, '\n');
	out_span(o, buf_peek(&record));
	buf_wipe(&record);
}

/* What goes with its device, or cannot be deleted at all, stays. */
static bool
can_be_deleted(const struct shelf *s, const struct record *rec)
{
	const uint64_t *device = shelf_find(s, rec->id, NULL);

	if (!rec->module)
		return true;
	return !rec->system_module && (!device || *device & ON_A);
}

void
mergeplan_write(struct mergeplan *p, struct shelf *s)
{
	const struct {
		enum merge what;
		uint64_t mask, flags;
		long *count;
	} steps[] = {
		{ CREATE, ON_BOTH, ON_A, &p->created },
		{ UPDATE, ON_BOTH | TO_UPDATE, ON_BOTH | TO_UPDATE,
		    &p->updated },
		{ TWIN, SHELF_FLAGS, ON_BOTH | TO_TWIN, &p->twins },
		{ DELETE, ON_BOTH, ON_B, &p->deleted },
	};
	struct record rec = { .id = NULL };

	for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
		size_t n;
		uint64_t *list =
		    shelf_list(s, steps[k].mask, steps[k].flags, &n);

		if (steps[k].what == DELETE && p->delete_none)
			n = 0;
		for (size_t i = 0; i < n; i++) {
			read_text(s, list[i], &rec);
			if (steps[k].what != DELETE)
				write_record(p->out, &rec, steps[k].what);
			else if (can_be_deleted(s, &rec))
				write_deletion(p->out, &rec);
			else
				continue;
			++*steps[k].count;
		}
		free(list);
	}
	record_free(&rec);
}
