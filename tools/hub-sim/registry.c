/*
 * registry.c: the hub's data plane: which call it is, how errors are worded,
 * and the single calls on devices and modules (CONTRACT 11, 12).
 */
#include "registry.h"

#include "jobs.h"
#include "throttle.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_LIST = 1000 };

/* A message quotes what was sent, cut at some byte: half a character must not
 * make the answer something else than UTF-8. */
static void
mend(char *text)
{
	for (unsigned char *p = (unsigned char *)text; *p;) {
		int more = *p < 0x80   ? 0
			   : *p < 0xc2 ? -1
			   : *p < 0xe0 ? 1
			   : *p < 0xf0 ? 2
			   : *p < 0xf5 ? 3
				       : -1;
		int n = 0;

		while (n < more && (p[n + 1] & 0xc0) == 0x80)
			n++;
		if (n == more) {
			p += n + 1;
			continue;
		}
		*p++ = '?';
		while ((*p & 0xc0) == 0x80)
			*p++ = '?';
	}
}

int
refuse(struct refusal *f, int status, int number, const char *code,
    const char *fmt, ...)
{
	va_list ap;

	f->status = status;
	f->number = number;
	f->code = code;
	va_start(ap, fmt);
	(void)vsnprintf(f->text, sizeof f->text, fmt, ap);
	va_end(ap);
	mend(f->text);
	return -1;
}

int
visit_body(struct visit *v, struct json *body, struct refusal *f)
{
	struct json_fault why;

	if (json_scan(v->q->body, body, &why) == 0)
		return 0;
	return refuse(f, NOT_PARSED, "%s at byte %zu", why.reason, why.offset);
}

void
reply_text(struct visit *v, int status, struct buf *body)
{
	v->r->status = status;
	v->r->content_type = NULL;
	buf_wipe(&v->r->body);
	v->r->body = *body;
	*body = (struct buf)BUF_INIT;
}

/* Two bodies are in use (CONTRACT 11.3); conflicts of modules have the
 * second. */
void
reply_refusal(struct visit *v, const struct refusal *f)
{
	struct buf text = BUF_INIT, body = BUF_INIT;
	char time[32], id[37];

	sim_iso_time(v->now, time);
	(void)snprintf(id, sizeof id, "%lld%d", (long long)v->now,
	    sqlite3_total_changes(v->s->db));
	sim_guid(v->s, id, id);
	/* 32 upper-case hex digits, without hyphens. */
	for (char *from = id, *to = id;; from++) {
		if (*from >= 'a' && *from <= 'f')
			*to++ = (char)(*from - 'a' + 'A');
		else if (*from != '-')
			*to++ = *from;
		if (!*from)
			break;
	}
	if (f->number == 409301) {
		buf_printf(&body, "{\"errorCode\":%d,\"message\":", f->number);
		buf_json(&body, f->text, strlen(f->text));
		buf_printf(&body, ",\"trackingId\":\"%s\",", id);
		buf_printf(&body, "\"timestampUtc\":\"%s\"}", time);
	} else {
		buf_printf(&text, "ErrorCode:%s;", f->code);
		buf_text(&text, f->text);
		buf_text(&body, "{\"Message\":");
		buf_json(&body, text.at, text.len);
		buf_printf(&body,
		    ",\"ExceptionMessage\":\"Tracking "
		    "ID:%s-G2:-TimeStamp:%s\"}",
		    id, time);
	}
	sim_head(v->r, "iothub-errorcode", "%s", f->code);
	reply_text(v, f->status, &body);
	buf_free(&text);
	buf_free(&body);
}

int
visit_no_method(struct visit *v, struct refusal *f)
{
	return refuse(f, 405, 405000, "GenericMethodNotAllowed",
	    "%s is not allowed here", v->q->method);
}

static bool
is_method(struct visit *v, const char *method)
{
	return strcmp(v->q->method, method) == 0;
}

static void
reply_identity(struct visit *v, const struct row *row, bool made)
{
	struct buf body = BUF_INIT;
	char etag[40];

	etag_text(row->etag, etag);
	identity_text(row, made, &body);
	sim_head(v->r, "ETag", "\"%s\"", etag);
	reply_text(v, 200, &body);
	buf_free(&body);
}

static int
put_identity(
    struct visit *v, const char *id, const char *module, struct refusal *f)
{
	struct json body = { .count = 0 };
	struct entry e;
	struct row row;
	const char *match = v->q->header(v->q, "if-match");
	bool update = etag_matches(match, "") >= 0;
	int result = -1;

	if (visit_body(v, &body, f))
		goto out;
	if (entry_read(body.text, *module ? ENTRY_MODULE : ENTRY_DEVICE, &e, f))
		goto out;
	if ((*e.id && strcmp(e.id, id) != 0) ||
	    (*e.module && strcmp(e.module, module) != 0) ||
	    strlen(id) >= sizeof e.id || strlen(module) >= sizeof e.module) {
		(void)refuse(f, ARGUMENT_INVALID,
		    "The id in the body is not the id in the path");
		goto out;
	}
	(void)snprintf(e.id, sizeof e.id, "%s", id);
	(void)snprintf(e.module, sizeof e.module, "%s", module);
	e.has_module = *module != '\0';
	if (update ? identity_update(v, &e, match, f)
		   : identity_create(v, &e, f))
		goto out;
	if (row_find(v, id, module, &row)) /* else: the store failed, a 503 */
		reply_identity(v, &row, !update);
	result = 0;
out:
	json_free(&body);
	return result;
}

/* GET, PUT and DELETE of one device, or of one module of it. */
static int
one_identity(
    struct visit *v, const char *id, const char *module, struct refusal *f)
{
	struct row row;

	if (visit_allowed(
		v, is_method(v, "GET") ? "RegistryRead" : "RegistryWrite", f))
		return -1;
	if (is_method(v, "PUT"))
		return put_identity(v, id, module, f);
	if (is_method(v, "DELETE")) {
		if (identity_delete(
			v, id, module, v->q->header(v->q, "if-match"), f))
			return -1;
		v->r->status = 204;
		return 0;
	}
	if (!is_method(v, "GET"))
		return visit_no_method(v, f);
	if (*module && modules_reachable(v, id, f))
		return -1;
	if (!row_find(v, id, module, &row))
		return row_missing(v, id, module, f);
	reply_identity(v, &row, false);
	return 0;
}

/* All rows that a statement gives, as one array. */
static int
reply_rows(struct visit *v, sqlite3_stmt *q)
{
	struct buf body = BUF_INIT;
	struct row row;

	buf_char(&body, '[');
	while (sim_step(v->s, q) == SQLITE_ROW) {
		if (body.len > 1)
			buf_char(&body, ',');
		row_read(q, &row);
		identity_text(&row, false, &body);
	}
	buf_char(&body, ']');
	reply_text(v, 200, &body);
	buf_free(&body);
	return 0;
}

static int
list_modules(struct visit *v, const char *id, struct refusal *f)
{
	sqlite3_stmt *q;

	if (!is_method(v, "GET"))
		return visit_no_method(v, f);
	if (visit_allowed(v, "RegistryRead", f) || modules_reachable(v, id, f))
		return -1;
	q = sim_sql(v->s,
	    "SELECT " ROW_COLUMNS " FROM registry WHERE hub = ? AND id = ? "
	    "AND module > '' ORDER BY module");
	sim_bind(q, 1, v->hub.name);
	sim_bind(q, 2, id);
	return reply_rows(v, q);
}

static int
list_devices(struct visit *v, struct refusal *f)
{
	char *top = sim_query(v->q, "top");
	long most = top && *top ? strtol(top, NULL, 10) : MAX_LIST;
	sqlite3_stmt *q;

	free(top);
	if (visit_allowed(v, "RegistryRead", f))
		return -1;
	if (most < 1)
		return refuse(
		    f, ARGUMENT_INVALID, "top must be a positive number");
	if (most > MAX_LIST)
		most = MAX_LIST;
	if (sim_doubt_is("list-order", "id"))
		q = sim_sql(v->s,
		    "SELECT " ROW_COLUMNS " FROM registry WHERE hub = ? "
		    "AND module = '' ORDER BY id LIMIT ?");
	else
		q = sim_sql(v->s,
		    "SELECT " ROW_COLUMNS " FROM registry WHERE +hub = ? "
		    "AND module = '' ORDER BY seq LIMIT ?");
	sim_bind(q, 1, v->hub.name);
	(void)sqlite3_bind_int64(q, 2, most);
	return reply_rows(v, q);
}

static int
purge_commands(struct visit *v, const char *id, struct refusal *f)
{
	struct row row;
	struct buf body = BUF_INIT;

	if (!is_method(v, "DELETE"))
		return visit_no_method(v, f);
	if (visit_allowed(v, "ServiceConnect", f))
		return -1;
	if (!row_find(v, id, "", &row))
		return row_missing(v, id, "", f);
	buf_text(&body, "{\"deviceId\":");
	buf_json(&body, id, strlen(id));
	buf_text(&body, ",\"totalMessagesPurged\":0,\"moduleId\":null}");
	reply_text(v, 200, &body);
	buf_free(&body);
	return 0;
}

/* /devices/{id} and what lies below it. */
static void
device_call(struct visit *v, const char *id)
{
	char *word = sim_segment(v->q, 2), *module = sim_segment(v->q, 3);
	struct refusal f;
	int result;

	if (!word) {
		result = one_identity(v, id, "", &f);
	} else if (strcmp(word, "modules") == 0) {
		result = module ? one_identity(v, id, module, &f)
				: list_modules(v, id, &f);
	} else if (strcmp(word, "applyConfigurationContent") == 0) {
		apply_content(v, id);
		result = 0;
	} else if (strcmp(word, "commands") == 0) {
		result = purge_commands(v, id, &f);
	} else {
		sim_missing(v->r, "what a device itself calls");
		result = 0;
	}
	if (result)
		reply_refusal(v, &f);
	free(word);
	free(module);
}

static bool
is_bulk(struct visit *v, const char *room)
{
	char *id = sim_segment(v->q, 1);
	bool is = !id && strcmp(room, "devices") == 0 && is_method(v, "POST");

	free(id);
	return is;
}

static void
devices_call(struct visit *v)
{
	char *id = sim_segment(v->q, 1);
	struct refusal f;
	int result = 0;

	if (!id && is_method(v, "GET"))
		result = list_devices(v, &f);
	else if (!id)
		result = visit_no_method(v, &f);
	else if (strcmp(id, "query") == 0 && is_method(v, "POST"))
		query_handle(v);
	else
		device_call(v, id);
	if (result)
		reply_refusal(v, &f);
	free(id);
}

static int
count_devices(struct visit *v, struct refusal *f)
{
	sqlite3_stmt *q;
	struct buf body = BUF_INIT;
	long long all = 0, disabled = 0;

	if (visit_allowed(v, "RegistryRead", f))
		return -1;
	q = sim_sql(v->s,
	    "SELECT (SELECT count(*) FROM registry WHERE hub = ?1) - "
	    "(SELECT count(*) FROM registry WHERE hub = ?1 AND module > ''), "
	    "(SELECT count(*) FROM registry WHERE hub = ?1 AND disabled = 1 "
	    "AND module = '')");
	sim_bind(q, 1, v->hub.name);
	if (sim_step(v->s, q) == SQLITE_ROW) {
		all = sqlite3_column_int64(q, 0);
		disabled = sqlite3_column_int64(q, 1);
	}
	buf_printf(&body,
	    "{\"totalDeviceCount\":%lld,\"enabledDeviceCount\":%lld,"
	    "\"disabledDeviceCount\":%lld}",
	    all, all - disabled, disabled);
	reply_text(v, 200, &body);
	buf_free(&body);
	return 0;
}

static void
statistics_call(struct visit *v)
{
	char *what = sim_segment(v->q, 1);
	struct buf body = BUF_INIT;
	struct refusal f;
	int result = 0;

	if (what && strcmp(what, "devices") == 0) {
		result = count_devices(v, &f);
	} else if (visit_allowed(v, "ServiceConnect", &f)) {
		result = -1;
	} else {
		/* No device ever connects to this hub. */
		buf_text(&body, "{\"connectedDeviceCount\":0}");
		reply_text(v, 200, &body);
	}
	if (result)
		reply_refusal(v, &f);
	buf_free(&body);
	free(what);
}

/* A hub that fails over answers as if it were not there, with a code of its
 * own; any other state than Active as an unknown one (CONTRACT 6). */
static int
hub_reachable(struct visit *v, struct refusal *f)
{
	if (!sim_hub_find(v->s, v->q->host, &v->hub))
		return refuse(
		    f, NO_SUCH_HUB, "IotHub not found: %s", v->q->host);
	if (strcmp(v->hub.state, "FailingOver") == 0 &&
	    sim_doubt_is("failover-data-plane", "404012"))
		return refuse(
		    f, FAILING_OVER, "IotHub %s is failing over", v->hub.name);
	if (strcmp(v->hub.state, "Active") != 0)
		return refuse(
		    f, NO_SUCH_HUB, "IotHub not found: %s", v->q->host);
	return 0;
}

static void
dispatch(struct visit *v, const char *room)
{
	struct refusal f;

	if (tier_check(v, room, &f)) {
		reply_refusal(v, &f);
	} else if (is_bulk(v, room)) {
		bulk_handle(v); /* counts its devices for the throttle */
	} else if (!throttle_admit(v, room, 1)) {
		; /* answered */
	} else if (strcmp(room, "devices") == 0) {
		devices_call(v);
	} else if (strcmp(room, "twins") == 0) {
		twins_handle(v);
	} else if (strcmp(room, "configurations") == 0) {
		configurations_handle(v);
	} else if (strcmp(room, "statistics") == 0) {
		statistics_call(v);
	} else if (strcmp(room, "jobs") == 0) {
		jobs_handle(v);
	} else {
		sim_missing(v->r, "this call of the data plane");
	}
}

void
data_handle(struct sim *s, const struct sim_request *q, struct sim_reply *r)
{
	struct visit v = { .s = s, .q = q, .r = r, .now = sim_now(s) };
	char *room = sim_segment(q, 0);
	struct refusal f;

	if (hub_reachable(&v, &f))
		reply_refusal(&v, &f);
	else
		dispatch(&v, room ? room : "");
	free(room);
}

void
registry_forget(struct sim *s, const char *hub)
{
	static const char *const all[] = { "DELETE FROM registry WHERE hub = ?",
		"DELETE FROM ghost WHERE hub = ?",
		"DELETE FROM configuration WHERE hub = ?" };

	sim_of_hub(s, all, sizeof all / sizeof *all, hub);
	configurations_forget(s, hub);
	jobs_forget(s, hub);
}
