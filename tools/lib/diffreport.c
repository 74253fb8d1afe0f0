/* diffreport.c: what registry-diff says; see diffreport.h. */
#include "diffreport.h"

#include <stdlib.h>

/* Keys are shown as hashes. */
static void
add_side(struct buf *b, const char *side, struct span value, bool secret)
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

static void
begin_line(struct buf *b, const struct entry *e, const char *pointer)
{
	buf_text(b, e->configuration ? "{\"configuration\":" : "{\"id\":");
	buf_json(b, e->rec.id, strlen(e->rec.id));
	if (e->rec.module) {
		buf_text(b, ",\"moduleId\":");
		buf_json(b, e->rec.module, strlen(e->rec.module));
	}
	buf_text(b, ",\"path\":");
	buf_json(b, pointer, strlen(pointer));
}

static void
end_line(struct diffreport *r, struct buf *b)
{
	buf_text(b, "}\n");
	out_span(r->out, buf_peek(b));
	buf_free(b);
}

void
diffreport_part(struct diffreport *r, const struct entry *e,
    enum entry_part part, const char *pointer, struct span a, struct span b)
{
	struct buf line = BUF_INIT;

	r->differences++;
	r->part[part]++;
	if (!r->out || r->summary)
		return;
	begin_line(&line, e, pointer);
	add_side(&line, "a", a, part == KEYS);
	add_side(&line, "b", b, part == KEYS);
	end_line(r, &line);
}

void
diffreport_only(struct diffreport *r, const struct entry *e, int side)
{
	struct buf line = BUF_INIT;

	r->differences++;
	r->only[side]++;
	if (!r->out || r->summary)
		return;
	begin_line(&line, e, "");
	buf_printf(&line, ",\"only\":\"%s\"", side ? "b" : "a");
	end_line(r, &line);
}

/* {"a":5,...,"differences":{"/tags":2}} */
static void
print_summary(const struct diffreport *r)
{
	struct buf b = BUF_INIT;
	const char *comma = "";

	buf_printf(&b, "{\"a\":%ld,\"b\":%ld,\"onlyA\":%ld,\"onlyB\":%ld",
	    r->entries[0], r->entries[1], r->only[0], r->only[1]);
	buf_text(&b, ",\"differences\":{");
	for (int p = 0; p < PARTS; p++)
		if (r->part[p]) {
			buf_printf(&b, "%s\"%s\":%ld", comma,
			    entry_part_pointer((enum entry_part)p), r->part[p]);
			comma = ",";
		}
	buf_char(&b, '}');
	if (!r->reported)
		buf_printf(&b, ",\"reportedDiffer\":%ld", r->reported_count);
	if (r->unmanaged)
		buf_printf(&b, ",\"managedByUnknown\":%ld", r->unmanaged);
	buf_printf(&b, ",\"complete\":%s}\n", r->partial ? "false" : "true");
	out_span(r->out, buf_peek(&b));
	buf_free(&b);
}

void
diffreport_end(struct diffreport *r)
{
	struct buf kinds = BUF_INIT, more = BUF_INIT;

	if (r->summary && r->out)
		print_summary(r);
	for (int s = 0; s < 2; s++)
		if (r->only[s])
			buf_printf(
			    &kinds, ", %ld only in %c", r->only[s], "AB"[s]);
	for (int p = 0; p < PARTS; p++)
		if (r->part[p])
			buf_printf(&kinds, ", %ld in %s", r->part[p],
			    entry_part_pointer((enum entry_part)p));
	if (!r->reported)
		buf_printf(&more,
		    "; reported properties differ on %ld (--reported lists "
		    "them)",
		    r->reported_count);
	if (r->unmanaged)
		buf_printf(&more,
		    "; managedBy of %ld modules, of which one side says "
		    "nothing, as an export by job does, is not compared",
		    r->unmanaged);
	if (r->differences)
		note("%ld differences between %ld and %ld entries: %s%s",
		    r->differences, r->entries[0], r->entries[1], kinds.at + 2,
		    buf_peek(&more).at);
	else
		note("equal: %ld entries%s", r->entries[0], buf_peek(&more).at);
	buf_free(&kinds);
	buf_free(&more);
}
