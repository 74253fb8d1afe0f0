/*
 * joblines.c: the lines of devices.txt and configurations.txt, written by an
 * export and applied by an import (CONTRACT 16.3, 16.4).
 */
#include "job.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

/* -- writing ----------------------------------------------------------------
 */

static const char *
line_end(void)
{
	return sim_doubt_is("export-line-end", "crlf") ? "\r\n" : "\n";
}

struct line_form
line_form(struct visit *v, const struct job *job)
{
	sqlite3_stmt *q = sim_sql(v->s,
	    "SELECT 1 FROM registry WHERE hub = ? AND module > '' LIMIT 1");

	sim_bind(q, 1, v->hub.name);
	return (struct line_form){ .keys = !job->exclude_keys,
		.metadata = sim_doubt_is("export-metadata", "yes"),
		.modules = sim_step(v->s, q) == SQLITE_ROW,
		.end = line_end() };
}

/* CONTRACT 16.3: it is there, it is no JSON; its words are not known. */
void
line_warning(struct buf *out)
{
	if (sim_doubt_is("export-warning-line", "no"))
		return;
	buf_text(out,
	    "Warning: the authentication keys were excluded from this export; "
	    "importing it will generate new keys for all devices.");
	buf_text(out, line_end());
}

/* The section as it travels, without or with what the service adds. */
static void
add_section(
    struct buf *out, struct span plain, struct span twin, const char *name)
{
	const char *path[] = { "properties", name, NULL };
	struct span found;

	if (twin.len && json_get(twin, path, &found, NULL) == 1)
		buf_span(out, found);
	else
		buf_span(out, plain);
}

static void
add_twin(const struct line_form *form, const struct row *row, struct buf *out)
{
	struct buf twin = BUF_INIT;
	char etag[24];

	if (form->metadata)
		twin_text(row, &twin);
	twin_etag_text(row->twin_etag, etag);
	text_or_null(out, ",\"twinETag\":", span_of(etag));
	buf_text(out, ",\"tags\":");
	buf_span(out, row->tags);
	buf_text(out, ",\"properties\":{\"desired\":");
	add_section(out, row->desired, buf_peek(&twin), "desired");
	buf_text(out, ",\"reported\":");
	add_section(out, row->reported, buf_peek(&twin), "reported");
	buf_char(out, '}');
	buf_free(&twin);
}

/* No managedBy: the format has no place for it. */
static void
write_one(const struct line_form *form, const struct row *row, struct buf *out)
{
	bool module = row->module.len > 0;
	char etag[40];

	etag_text(row->etag, etag);
	text_or_null(out, "{\"id\":", row->id);
	if (module)
		text_or_null(out, ",\"moduleId\":", row->module);
	text_or_null(out, ",\"eTag\":", span_of(etag));
	buf_text(out, row->disabled ? ",\"status\":\"disabled\""
				    : ",\"status\":\"enabled\"");
	if (!module) {
		buf_text(out, ",\"statusReason\":");
		buf_span(out, row->reason.at ? row->reason : span_of("\"\""));
	}
	buf_text(out, ",\"authentication\":");
	if (form->keys && row->auth != AUTH_NONE)
		authentication_text(row, out);
	else
		buf_text(out, "null");
	add_twin(form, row, out);
	edge_text(row, false, out);
	buf_char(out, '}');
	buf_text(out, form->end);
}

void
line_write(struct visit *v, const struct line_form *form, const struct row *row,
    struct buf *out)
{
	struct row module;
	sqlite3_stmt *q;

	write_one(form, row, out);
	if (!form->modules)
		return;
	q = sim_sql(v->s,
	    "SELECT " ROW_COLUMNS " FROM registry WHERE hub = ? AND id = ? "
	    "AND module > '' ORDER BY module");
	sim_bind(q, 1, v->hub.name);
	sim_bind_span(q, 2, row->id);
	while (sim_step(v->s, q) == SQLITE_ROW) {
		row_read(q, &module);
		write_one(form, &module, out);
	}
}

/* -- configurations, by the room that has them --------------------------------
 */

struct ask {
	const char *authorization, *match;
};

static const char *
ask_header(const struct sim_request *q, const char *name)
{
	const struct ask *a = q->headers;

	if (strcasecmp(name, "authorization") == 0)
		return a->authorization;
	return strcasecmp(name, "if-match") == 0 ? a->match : NULL;
}

/* Asks as a client would, but is not counted by any throttle. */
static void
ask_configurations(struct visit *v, const char *method, const char *id,
    const char *match, struct span body, struct sim_reply *r)
{
	struct buf token = BUF_INIT, path = BUF_INIT;
	char *host = xasprintf("%s.azure-devices.net", v->hub.name);
	struct ask a = { .match = match };
	struct sim_request q = { .method = method,
		.host = host,
		.query = "top=100",
		.body = body,
		.header = ask_header,
		.headers = &a };
	struct visit own = *v;

	buf_text(&token, "Bearer ");
	entra_token(v->s, "https://iothubs.azure.net", &token);
	a.authorization = token.at;
	buf_text(&path, "/configurations");
	if (id) {
		buf_char(&path, '/');
		buf_url(&path, id, strlen(id));
	}
	q.path = path.at;
	own.q = &q;
	own.r = r;
	configurations_handle(&own);
	buf_wipe(&token);
	buf_free(&path);
	free(host);
}

/* Names as the service's serializer spells them, and as its calls do. */
static const struct {
	const char *pascal, *camel, *below; /* below: the one member of it */
} members[] = {
	{ "Id", "id", NULL },
	{ "SchemaVersion", "schemaVersion", NULL },
	{ "Labels", "labels", NULL },
	{ "Content", "content", NULL },
	{ "TargetCondition", "targetCondition", NULL },
	{ "Priority", "priority", NULL },
	{ "Metrics", "metrics", NULL },
	{ "ETag", "etag", NULL },
	{ "DeviceContent", "deviceContent", "Content" },
	{ "ModulesContent", "modulesContent", "Content" },
	{ "ModuleContent", "moduleContent", "Content" },
	{ "Queries", "queries", "Metrics" },
};
enum { MEMBERS = sizeof members / sizeof *members };

/* An object with the members of that level renamed; the others are dropped. */
static void
rename_members(
    struct span object, const char *level, bool pascal, struct buf *out)
{
	struct each e;
	bool first = true;

	buf_char(out, '{');
	for (each_begin(&e, object); each_next(&e);)
		for (int i = 0; i < MEMBERS; i++) {
			bool inner = i == 3 || i == 6;

			if (!name_is(e.name, members[i].camel) ||
			    (level ? !members[i].below ||
					 strcmp(level, members[i].below) != 0
				   : members[i].below != NULL))
				continue;
			/* null where there is no such content */
			if (level && json_kind_of(e.value) == JSON_NULL)
				break;
			buf_printf(out, "%s\"%s\":", first ? "" : ",",
			    pascal ? members[i].pascal : members[i].camel);
			first = false;
			if (inner && json_kind_of(e.value) == JSON_OBJECT)
				rename_members(
				    e.value, members[i].pascal, pascal, out);
			else
				buf_span(out, e.value);
			break;
		}
	buf_char(out, '}');
}

void
configuration_lines(struct visit *v, struct buf *out)
{
	struct sim_reply r = { 0 };
	struct json list = { .count = 0 };
	struct buf line = BUF_INIT;
	struct json_fault fault;

	ask_configurations(v, "GET", NULL, NULL, span_of(""), &r);
	if (r.status == 200 && json_scan(buf_peek(&r.body), &list, &fault) == 0)
		for (size_t i = 0; i < list.count; i++) {
			buf_clear(&line);
			rename_members(list.member[i].value, NULL, true, &line);
			buf_one_line(&line);
			buf_span(out, buf_peek(&line));
			buf_text(out, line_end());
		}
	json_free(&list);
	buf_free(&line);
	sim_reply_free(&r);
}

/* -- applying -----------------------------------------------------------------
 */

enum mode {
	MODE_CREATE_OR_UPDATE,
	MODE_CREATE,
	MODE_UPDATE,
	MODE_UPDATE_IF_MATCH,
	MODE_CREATE_OR_UPDATE_IF_MATCH,
	MODE_DELETE,
	MODE_DELETE_IF_MATCH,
	MODE_TWIN,
	MODE_TWIN_IF_MATCH,
	MODES,
};
/* Numbered as the official enumeration is. */
static const char *const modes[MODES] = { "createOrUpdate", "create", "update",
	"updateIfMatchETag", "createOrUpdateIfMatchETag", "delete",
	"deleteIfMatchETag", "updateTwin", "updateTwinIfMatchETag" };

static int
mode_of(const char *text)
{
	if (!*text)
		return MODE_CREATE_OR_UPDATE;
	if (isdigit((unsigned char)*text) && !text[1] && *text - '0' < MODES)
		return *text - '0';
	for (int i = 0; i < MODES; i++)
		if (strcasecmp(text, modes[i]) == 0)
			return i;
	return -1;
}

static void
add_text(struct buf *log, const char *name, const char *text)
{
	buf_printf(log, "\"%s\":", name);
	buf_json(log, text, strlen(text));
	buf_char(log, ',');
}

/* Text that is no UTF-8 must not make the log no JSON. */
static void
add_line(struct buf *log, struct span line)
{
	enum { MOST = 64 * 1024 };
	struct buf quoted = BUF_INIT;
	struct json probe = { .count = 0 };
	struct json_fault fault;
	size_t len = line.len < MOST ? line.len : MOST;

	buf_json(&quoted, line.at, len);
	if (json_scan(buf_peek(&quoted), &probe, &fault)) {
		buf_clear(&quoted);
		buf_char(&quoted, '"');
		for (size_t i = 0; i < len; i++) {
			unsigned char c = (unsigned char)line.at[i];

			if (c < ' ' || c >= 0x7f)
				c = '?';
			if (c == '"' || c == '\\')
				buf_char(&quoted, '\\');
			buf_char(&quoted, (char)c);
		}
		buf_char(&quoted, '"');
	}
	buf_add(log, quoted.at + 1, quoted.len - 2);
	json_free(&probe);
	buf_free(&quoted);
}

static void
log_bad_line(struct buf *log, struct span line, const char *why)
{
	struct buf text = BUF_INIT;

	buf_printf(log,
	    "{\"errorCode\":%d,\"errorStatus\":\"Invalid device format in "
	    "line: ",
	    400012);
	add_line(log, line);
	buf_text(log, ". ");
	buf_json(&text, why, strlen(why));
	buf_add(log, text.at + 1, text.len - 1);
	buf_char(log, '}');
	buf_free(&text);
}

void
line_too_long(struct buf *log)
{
	log_bad_line(log, span_of("..."), "The line is too long");
}

static void
log_why(struct buf *log, const struct refusal *f)
{
	buf_printf(log, "\"errorCode\":%d,\"errorStatus\":", f->number);
	buf_json(log, f->text, strlen(f->text));
	buf_char(log, '}');
}

static void
log_refusal(struct buf *log, const struct entry *e, const struct refusal *f)
{
	buf_char(log, '{');
	add_text(log, "deviceId", e->id);
	if (e->has_module && sim_doubt_is("import-error-module", "given"))
		add_text(log, "moduleId", e->module);
	log_why(log, f);
}

/* Tags, desired and reported properties of the line in place of the twin's. */
static int
apply_twin(struct visit *v, const struct entry *e, const char *match,
    struct refusal *f)
{
	struct span reported = e->reported;
	struct buf room = BUF_INIT;
	struct row row;
	int result = -1;

	if (twin_write(
		v, e->id, e->module, match, e->tags, e->desired, REPLACE, f))
		return -1;
	if (!reported.at || sim_doubt_is("reported-on-create", "ignored"))
		return 0;
	if (section_take("properties.reported", &reported, MAX_PROPERTIES,
		&room, f) == 0 &&
	    row_find(v, e->id, e->module, &row)) {
		if (!json_same(reported, row.reported)) {
			row.reported = reported;
			row.reported_version++;
			row.version++;
			(void)row_save_twin(v, &row);
		}
		result = 0;
	}
	buf_free(&room);
	return result;
}

/* A device's own scope is not looked at (CONTRACT 12.3). */
static void
keep_scope(struct entry *e, const struct row *row)
{
	if (row->edge && (!e->has_edge || e->edge) && row->scope.at)
		span_copy(row->scope, e->scope, sizeof e->scope);
}

static int
apply_update(
    struct visit *v, struct entry *e, const char *match, struct refusal *f)
{
	struct row row;

	if (!row_find(v, e->id, e->module, &row))
		return row_missing(v, e->id, e->module, f);
	keep_scope(e, &row);
	if (identity_update(v, e, match, f))
		return -1;
	if (e->tags.at || e->desired.at || e->reported.at)
		return apply_twin(v, e, "*", f);
	return 0;
}

static const char *
given(const char *etag)
{
	return *etag ? etag : "\"missing\"";
}

static int
apply_entry(struct visit *v, struct entry *e, enum mode mode, struct refusal *f)
{
	struct row row;
	const char *match = "*";

	if (*e->module == '$')
		return refuse(f, SYSTEM_MODULE,
		    "The system module %s cannot be imported", e->module);
	entry_without_managed(e);
	switch (mode) {
	case MODE_CREATE_OR_UPDATE_IF_MATCH:
		match = given(e->etag);
		/* fall through */
	case MODE_CREATE_OR_UPDATE:
		if (row_find(v, e->id, e->module, &row))
			return apply_update(v, e, match, f);
		/* fall through */
	case MODE_CREATE:
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
	case MODES:
		break;
	}
	return 0;
}

static int
read_line(struct span text, struct json *scan, struct entry *e, int *mode,
    struct refusal *f)
{
	struct json_fault why;

	if (json_scan(text, scan, &why))
		return refuse(
		    f, NOT_PARSED, "%s at byte %zu", why.reason, why.offset);
	if (entry_read(scan->text, ENTRY_LINE, e, f))
		return -1;
	if (!*e->id || !e->has_status)
		return refuse(f, NOT_PARSED,
		    "Required property '%s' not found in JSON. Path ''",
		    *e->id ? "status" : "id");
	*mode = mode_of(e->mode);
	if (*mode < 0)
		return refuse(f, NOT_PARSED,
		    "Error converting value \"%s\" to type 'ImportMode'",
		    e->mode);
	return 0;
}

int
line_apply(struct visit *v, struct span text, struct json *scan,
    struct buf *log, struct refusal *f)
{
	struct entry e;
	int mode = 0, result;

	while (text.len && isspace((unsigned char)*text.at)) {
		text.at++;
		text.len--;
	}
	if (!text.len ||
	    (*text.at != '{' && sim_doubt_is("import-comment-line", "skipped")))
		return 0;
	memset(&e, 0, sizeof e);
	if (read_line(text, scan, &e, &mode, f)) {
		if (f->number == 400012)
			log_bad_line(log, text, f->text);
		else
			log_refusal(log, &e, f);
		return -1;
	}
	sim_savepoint(v->s);
	result = apply_entry(v, &e, (enum mode)mode, f);
	if (result) {
		sim_rollback(v->s);
		log_refusal(log, &e, f);
	} else {
		sim_release(v->s);
	}
	return result;
}

static bool
configuration_there(struct visit *v, const char *id)
{
	sqlite3_stmt *q = sim_sql(
	    v->s, "SELECT 1 FROM configuration WHERE hub = ? AND id = ?");

	sim_bind(q, 1, v->hub.name);
	sim_bind(q, 2, id);
	return sim_step(v->s, q) == SQLITE_ROW;
}

/* The modes of devices but for the twin's. */
static int
put_configuration(struct visit *v, const char *id, enum mode mode,
    const char *etag, struct span body, struct refusal *f)
{
	char match[80];

	(void)snprintf(match, sizeof match, "\"%s\"", *etag ? etag : "missing");
	switch (mode) {
	case MODE_DELETE:
		return configuration_delete(v, id, "\"*\"", f);
	case MODE_DELETE_IF_MATCH:
		return configuration_delete(v, id, match, f);
	case MODE_CREATE:
		return configuration_write(v, id, body, NULL, f);
	case MODE_UPDATE:
		return configuration_write(v, id, body, "\"*\"", f);
	case MODE_UPDATE_IF_MATCH:
		return configuration_write(v, id, body, match, f);
	case MODE_CREATE_OR_UPDATE:
	case MODE_CREATE_OR_UPDATE_IF_MATCH:
		if (!configuration_there(v, id))
			return configuration_write(v, id, body, NULL, f);
		return configuration_write(v, id, body,
		    mode == MODE_CREATE_OR_UPDATE || !*etag ? "\"*\"" : match,
		    f);
	default:
		return refuse(f, ARGUMENT_INVALID,
		    "The import mode %s is not for configurations",
		    modes[mode]);
	}
}

int
configuration_apply(struct visit *v, struct span text, struct json *scan,
    struct buf *log, struct refusal *f)
{
	struct json_fault why;
	struct buf body = BUF_INIT;
	char id[136] = "", word[48] = "", etag[64] = "";
	struct each e;
	int bad = 0, mode, result;

	if (json_scan(text, scan, &why) || scan->kind != JSON_OBJECT) {
		log_bad_line(log, text, "An object was expected");
		return refuse(f, NOT_PARSED, "An object was expected");
	}
	for (each_begin(&e, scan->text); each_next(&e);)
		if (name_is(e.name, "id"))
			bad |= copy_string(e.value, id, sizeof id);
		else if (name_is(e.name, "importMode"))
			bad |= copy_string(e.value, word, sizeof word);
		else if (name_is(e.name, "etag"))
			bad |= copy_string(e.value, etag, sizeof etag);
	if (bad || !*id) {
		log_bad_line(log, text,
		    "Required property 'Id' not found in JSON. Path ''");
		return refuse(f, NOT_PARSED, "no Id");
	}
	mode = mode_of(word);
	if (mode < 0) {
		log_bad_line(
		    log, text, "Error converting value to type 'ImportMode'");
		return refuse(f, NOT_PARSED, "unknown import mode");
	}
	rename_members(scan->text, NULL, false, &body);
	sim_savepoint(v->s);
	result =
	    put_configuration(v, id, (enum mode)mode, etag, buf_peek(&body), f);
	if (result) {
		sim_rollback(v->s);
		buf_char(log, '{');
		add_text(log, "configurationId", id);
		log_why(log, f);
	} else {
		sim_release(v->s);
	}
	buf_free(&body);
	return result;
}
