/*
 * bulk.c: many identities at once: POST /devices (CONTRACT 12.5), and the
 * lines of a devices.txt that hub-sim starts with (16.3).
 */
#include "registry.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "lines.h"
#include "throttle.h"

enum { MAX_BULK = 100 };
#define NOTHING_WRONG "{\"isSuccessful\":true,\"errors\":[],\"warnings\":[]}"

enum mode {
	MODE_CREATE,
	MODE_UPDATE,
	MODE_UPDATE_IF_MATCH,
	MODE_DELETE,
	MODE_DELETE_IF_MATCH,
	MODE_TWIN,
	MODE_TWIN_IF_MATCH,
};
static const char *const modes[] = { "create", "update", "updateIfMatchETag",
	"delete", "deleteIfMatchETag", "updateTwin", "updateTwinIfMatchETag",
	NULL };

/* Clients differ in case (CLIENTS 2); createOrUpdate is not of this call. */
static int
mode_of(const char *text)
{
	for (int i = 0; modes[i]; i++)
		if (strcasecmp(text, modes[i]) == 0)
			return i;
	return -1;
}

static int
apply_twin(struct visit *v, const struct entry *e, const char *match,
    struct refusal *f)
{
	return twin_write(
	    v, e->id, e->module, match, e->tags, e->desired, REPLACE, f);
}

static int
apply_update(struct visit *v, const struct entry *e, const char *match,
    struct refusal *f)
{
	if (identity_update(v, e, match, f))
		return -1;
	if ((e->tags.at || e->desired.at) &&
	    sim_doubt_is("bulk-update-twin", "both"))
		return apply_twin(v, e, "*", f);
	return 0;
}

static const char *
given(const char *etag)
{
	return *etag ? etag : "\"missing\"";
}

static int
apply(struct visit *v, struct entry *e, enum mode mode, struct refusal *f)
{
	entry_without_managed(e);
	switch (mode) {
	case MODE_CREATE:
		if ((*e->scope || *e->parent) &&
		    sim_doubt_is("bulk-edge-scope", "ignored"))
			*e->scope = *e->parent = '\0';
		return identity_create(v, e, f);
	case MODE_UPDATE:
		return apply_update(v, e, "*", f);
	case MODE_UPDATE_IF_MATCH:
		return apply_update(v, e, given(e->etag), f);
	case MODE_DELETE:
		return identity_delete(v, e->id, e->module, "*", f);
	case MODE_DELETE_IF_MATCH:
		return identity_delete(v, e->id, e->module, given(e->etag), f);
	case MODE_TWIN:
		return apply_twin(v, e, "*", f);
	case MODE_TWIN_IF_MATCH:
		return apply_twin(v, e, given(e->twin_etag), f);
	}
	return 0;
}

static void
add_error(struct buf *errors, const struct entry *e, enum mode mode,
    const struct refusal *f)
{
	buf_text(errors, errors->len ? ",{\"deviceId\":" : "{\"deviceId\":");
	buf_json(errors, e->id, strlen(e->id));
	buf_text(errors, ",\"moduleId\":");
	if (e->has_module)
		buf_json(errors, e->module, strlen(e->module));
	else
		buf_text(errors, "null");
	buf_text(errors, ",\"errorCode\":");
	if (sim_doubt_is("bulk-error-code", "number"))
		buf_printf(errors, "%d", f->number);
	else
		buf_json(errors, f->code, strlen(f->code));
	buf_text(errors, ",\"errorStatus\":");
	buf_json(errors, f->text, strlen(f->text));
	buf_text(errors, ",\"operation\":");
	buf_json(errors, modes[mode], strlen(modes[mode]));
	buf_char(errors, '}');
}

/* All must be readable, of a known mode, and about different identities; a
 * device and its modules count as the same one (CONTRACT 12.5). */
static int
read_all(const struct json *body, struct entry *entries, struct refusal *f)
{
	for (size_t i = 0; i < body->count; i++) {
		struct entry *e = &entries[i];

		if (entry_read(body->member[i].value, ENTRY_LINE, e, f)) {
			e->faulty = true;
			if (f->number == 400012 || !*e->id)
				return -1;
		}
		if (mode_of(e->mode) < 0)
			return refuse(f, ARGUMENT_INVALID,
			    "The import mode '%s' is not allowed in this call",
			    e->mode);
		for (size_t k = 0; k < i; k++)
			if (strcmp(e->id, entries[k].id) == 0 &&
			    (!e->has_module || !entries[k].has_module ||
				strcmp(e->module, entries[k].module) == 0))
				return refuse(f, DEFINED_TWICE,
				    "Device %s is defined more than once",
				    e->id);
	}
	return 0;
}

static void
apply_all(struct visit *v, const struct json *body, struct entry *entries)
{
	struct buf errors = BUF_INIT, out = BUF_INIT;
	bool whole = sim_doubt_is("bulk-partial", "none");

	if (whole)
		sim_savepoint(v->s);
	for (size_t i = 0; i < body->count; i++) {
		struct entry *e = &entries[i];
		enum mode mode = (enum mode)mode_of(e->mode);
		struct refusal f;

		/* Read again, for the fault that reading found. */
		if ((e->faulty &&
			entry_read(body->member[i].value, ENTRY_LINE, e, &f)) ||
		    apply(v, e, mode, &f))
			add_error(&errors, e, mode, &f);
	}
	if (whole && errors.len)
		sim_rollback(v->s);
	else if (whole)
		sim_release(v->s);
	buf_text(&out, errors.len ? "{\"isSuccessful\":false,\"errors\":["
				  : "{\"isSuccessful\":true,\"errors\":[");
	buf_span(&out, buf_peek(&errors));
	buf_text(&out, "],\"warnings\":[]}");
	reply_text(v, errors.len ? 400 : 200, &out);
	buf_free(&errors);
	buf_free(&out);
}

/* The elements of an array whose brackets fit; -1: it is none.  Nothing else of
 * it is looked at. */
static long
elements(struct span body)
{
	struct json_walk w;
	struct span name, value;
	long n = 0;

	if (!json_walk(&w, body) || w.object)
		return -1;
	while (json_next(&w, &name, &value))
		n++;
	return w.p < w.end && *w.p == ']' ? n : -1;
}

/* --sink; false: it is a call to say something about. */
static bool
count_only(struct visit *v)
{
	long n = elements(v->q->body);
	struct buf body = BUF_INIT;
	struct refusal f;

	if (n < 1 || n > MAX_BULK)
		return false;
	if (!throttle_admit(v, "devices", n))
		return true;
	if (visit_allowed(v, "RegistryWrite", &f)) {
		reply_refusal(v, &f);
		return true;
	}
	buf_text(&body, NOTHING_WRONG);
	reply_text(v, 200, &body);
	buf_free(&body);
	return true;
}

void
bulk_handle(struct visit *v)
{
	struct json body = { .count = 0 };
	struct json_fault why;
	struct refusal f;
	struct entry *entries = NULL;
	int result = -1, bad;

	if (v->s->sink && count_only(v))
		return;
	bad = json_scan(v->q->body, &body, &why);
	/* Each device of the call costs one operation (CONTRACT Annex A). */
	if (!throttle_admit(v, "devices",
		!bad && body.kind == JSON_ARRAY && body.count ? (long)body.count
							      : 1)) {
		json_free(&body);
		return;
	}
	if (visit_allowed(v, "RegistryWrite", &f))
		goto out;
	if (bad) {
		(void)refuse(
		    &f, NOT_PARSED, "%s at byte %zu", why.reason, why.offset);
		goto out;
	}
	if (body.kind != JSON_ARRAY || body.count == 0) {
		(void)refuse(
		    &f, ARGUMENT_INVALID, "An array of devices was expected");
		goto out;
	}
	if (body.count > MAX_BULK) {
		(void)refuse(&f, TOO_MANY_DEVICES,
		    "%zu devices in one call; at most %d are allowed",
		    body.count, MAX_BULK);
		goto out;
	}
	entries = xmalloc(body.count * sizeof *entries);
	if (read_all(&body, entries, &f))
		goto out;
	apply_all(v, &body, entries);
	result = 0;
out:
	if (result)
		reply_refusal(v, &f);
	free(entries);
	json_free(&body);
}

/*
 * Loading a file: in one pass, whatever its order.  What names a device that
 * is not there yet waits until the end.
 */
struct later {
	long number;
	char *id, *parent; /* a parent to be set */
	char *text;        /* or a module's line */
	struct later *next;
};

struct load {
	struct visit v;
	const char *path;
	struct json scan;
	struct later *first, **last;
};

static struct later *
put_off(struct load *l, long number)
{
	struct later *later = xcalloc(1, sizeof *later);

	later->number = number;
	*l->last = later;
	l->last = &later->next;
	return later;
}

/* The hub makes these itself; of the line only the twin counts. */
static int
load_system_module(struct load *l, const struct entry *e, struct refusal *f)
{
	struct row row;
	struct buf tags = BUF_INIT, desired = BUF_INIT, reported = BUF_INIT;
	struct span t = e->tags, d = e->desired, p = e->reported;
	int result = -1;

	if (!row_find(&l->v, e->id, e->module, &row))
		return refuse(f, NO_DEVICE,
		    "there is no Edge device '%s' for the module", e->id);
	if (section_take("tags", &t, MAX_TAGS, &tags, f) ||
	    section_take(
		"properties.desired", &d, MAX_PROPERTIES, &desired, f) ||
	    section_take(
		"properties.reported", &p, MAX_PROPERTIES, &reported, f))
		goto out;
	if (t.at)
		row.tags = t;
	if (d.at)
		row.desired = d;
	if (p.at)
		row.reported = p;
	result = row_save_twin(&l->v, &row);
out:
	buf_free(&tags);
	buf_free(&desired);
	buf_free(&reported);
	return result;
}

/* Scopes in the file are another hub's: parents are found by id. */
static int
load_device(struct load *l, struct entry *e, long number, struct refusal *f)
{
	char parent[256];

	parent_id_of(e->edge ? e->parent : e->scope, parent);
	*e->scope = *e->parent = '\0';
	if (identity_create(&l->v, e, f))
		return -1;
	if (*parent && !identity_set_parent(&l->v, e->id, parent)) {
		struct later *later = put_off(l, number);

		later->id = xstrdup(e->id);
		later->parent = xstrdup(parent);
	}
	return 0;
}

static int
load_line(struct load *l, struct span text, long number, bool again,
    struct refusal *f)
{
	struct json_fault why;
	struct entry e;
	int result;

	if (json_scan(text, &l->scan, &why))
		return refuse(
		    f, NOT_PARSED, "%s at byte %zu", why.reason, why.offset);
	if (entry_read(l->scan.text, ENTRY_LINE, &e, f))
		return -1;
	if (!e.has_module)
		return load_device(l, &e, number, f);
	result = *e.module == '$' ? load_system_module(l, &e, f)
				  : identity_create(&l->v, &e, f);
	if (result && f->number == 404001 && !again) {
		put_off(l, number)->text = span_dup(text);
		return 0;
	}
	return result;
}

static int
load_later(struct load *l, struct later *later, struct refusal *f)
{
	if (later->text)
		return load_line(
		    l, span_of(later->text), later->number, true, f);
	if (identity_set_parent(&l->v, later->id, later->parent))
		return 0;
	return refuse(f, BAD_SCOPE,
	    "the parent '%s' of '%s' is no Edge device of this file",
	    later->parent, later->id);
}

static int
load_lines(struct load *l, struct lines *in, struct err *e)
{
	struct line line;
	struct refusal f;
	enum lines_got got;

	while ((got = lines_next(in, &line, e)) == LINES_LINE) {
		/* The warning at the top of an export without keys. */
		if (span_is_blank(line.text) ||
		    (line.number == 1 && isalpha((unsigned char)*line.text.at)))
			continue;
		if (load_line(l, line.text, line.number, false, &f))
			return err_set(e, BAD_DATA, l->path, "line %ld: %s",
			    line.number, f.text);
	}
	if (got == LINES_FAILED)
		return -1;
	if (got != LINES_END)
		return err_set(e, BAD_DATA, l->path,
		    "line %ld: longer than %d bytes", line.number,
		    LINE_MAX_BYTES);
	for (struct later *later = l->first; later; later = later->next)
		if (load_later(l, later, &f))
			return err_set(e, BAD_DATA, l->path, "line %ld: %s",
			    later->number, f.text);
	return 0;
}

static bool
is_empty(struct visit *v)
{
	sqlite3_stmt *q =
	    sim_sql(v->s, "SELECT 1 FROM registry WHERE hub = ? LIMIT 1");

	sim_bind(q, 1, v->hub.name);
	return sim_step(v->s, q) != SQLITE_ROW;
}

int
registry_seed(struct sim *s, const char *hub, const char *path, struct err *e)
{
	struct load l = { .v = { .s = s, .now = sim_now(s), .loading = true },
		.path = path };
	struct lines *in;
	int result;

	l.last = &l.first;
	if (!sim_hub_find(s, hub, &l.v.hub))
		return err_set(
		    e, BAD_USAGE, hub, "there is no such hub to load into");
	if (!is_empty(&l.v)) {
		note("'%s': the registry is in the database already: '%s' is "
		     "not loaded",
		    hub, path);
		return 0;
	}
	in = lines_open_file(path, e);
	if (!in)
		return -1;
	result = load_lines(&l, in, e);
	while (l.first) {
		struct later *next = l.first->next;

		free(l.first->id);
		free(l.first->parent);
		free(l.first->text);
		free(l.first);
		l.first = next;
	}
	json_free(&l.scan);
	lines_close(in);
	return result;
}
