/* fleet.c: a hub's devices as lines; see fleet.h. */
#include "fleet.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "entry.h"
#include "idfile.h"
#include "idset.h"
#include "progress.h"

enum { LIST_MAX = 1000, SETTLE_FIRST = 1, SETTLE_LAST = 4 /* seconds */ };
enum { UNHEARD_MOST = 4 }; /* refusals of modules that may be shown */

struct module {
	struct span identity; /* in place.modules */
	char *id;
	struct buf twin;
	bool gone;
};

/* One device on its way to the output. */
struct place {
	char *id;
	struct buf identity, twin, modules;
	struct module *module;
	size_t count;
	long pending; /* answers it waits for */
	int unheard;  /* 401 for its modules without a reason */
	bool gone;    /* deleted while we looked */
	bool refused; /* its modules are not shown */
	bool login;   /* its modules are asked for with an Entra token */
};

struct fleet {
	struct hub *hub;
	struct http *http;
	const struct fleet_want *want;
	struct fleet_got *got;
	struct place *place; /* a ring: next to write, how many in use */
	size_t size, first, used;
	long asked;        /* calls not answered yet */
	struct hub *login; /* the same hub with an Entra token, or NULL */
	bool no_login;
	bool no_twins; /* a basic tier has none (CONTRACT Annex A) */
	struct idfile *with_modules; /* of whom the query knows some; or NULL */
	struct idfile *met;          /* devices that were begun, or skipped */
	long begun;                  /* how many; at want->limit it is enough */
	struct buf line;
};

/* STATUS is IDENTITY again: its modules were refused. */
enum what { IDENTITY, STATUS, TWIN, MODULES, MODULE_TWIN };

struct call {
	struct fleet *d;
	struct place *p;
	enum what what;
	size_t module;
};

static void answered(struct http_reply *reply, void *ctx);

static void
ask(struct fleet *d, struct place *p, enum what what, size_t module)
{
	struct call *c = xcalloc(1, sizeof *c);
	struct http_request r;
	char *id = hub_escape(p->id), *m = NULL;

	*c = (struct call){ d, p, what, module };
	if (what == IDENTITY || what == STATUS) {
		r = hub_request(d->hub, "GET", NULL, "/devices/%s", id);
	} else if (what == TWIN) {
		r = hub_request(d->hub, "GET", NULL, "/twins/%s", id);
	} else if (what == MODULES) {
		r = hub_request(p->login ? d->login : d->hub, "GET", NULL,
		    "/devices/%s/modules", id);
	} else {
		m = hub_escape(p->module[module].id);
		r = hub_request(
		    d->hub, "GET", NULL, "/twins/%s/modules/%s", id, m);
	}
	r.done = answered;
	r.ctx = c;
	p->pending++;
	d->asked++;
	http_send(d->http, &r);
	free(id);
	free(m);
}

static bool
is_missing(const struct err *e, const char *code)
{
	return e->status == ANSWER_NO &&
	       (!*code || strcmp(code, "DeviceNotFound") == 0 ||
		   strcmp(code, "ModuleNotFound") == 0 ||
		   strncmp(code, "4040", 4) == 0);
}

/* Lists what the hub has under it; a module twin's call for each. */
static void
take_modules(struct fleet *d, struct place *p)
{
	struct json_fault fault;
	struct json list = { 0 }, one = { 0 };

	if (json_scan(buf_peek(&p->modules), &list, &fault) ||
	    list.kind != JSON_ARRAY)
		die(REMOTE_RETRY, p->id, "the answer is no list of modules");
	p->module = xcalloc(list.count + 1, sizeof *p->module);
	for (size_t i = 0; i < list.count; i++) {
		struct module *m = &p->module[p->count];

		m->identity = list.member[i].value;
		if (json_scan(m->identity, &one, &fault) == 0)
			m->id = json_string(entry_member(&one, "moduleId"));
		if (!m->id)
			die(REMOTE_RETRY, p->id, "a module without moduleId");
		p->count++;
	}
	json_free(&list);
	json_free(&one);
	if (d->want->quota && !d->no_twins)
		quota_more(d->want->quota, HUB_TWIN_READ, (double)p->count);
	for (size_t i = 0; i < p->count && !d->no_twins; i++)
		ask(d, p, MODULE_TWIN, i);
}

/*
 * Modules of a device that is missing or disabled are answered with 401, key
 * right or not (CONTRACT 12.4).  What an Edge device always has can be told
 * without its identities: their twins go on working.
 */
static void
take_refused(struct fleet *d, struct place *p)
{
	static const char *const names[] = { "$edgeAgent", "$edgeHub" };
	const char *const status[] = { "status", NULL };
	struct span value, edge;

	if (json_get(buf_peek(&p->identity), status, &value, NULL) != 1 ||
	    !json_string_is(value, "disabled")) {
		if (p->unheard++ < UNHEARD_MOST) {
			ask(d, p, MODULES, 0);
			return;
		}
		die(REMOTE_REFUSED, p->id,
		    "its modules cannot be read: 401, though it is not "
		    "disabled (the policy needs RegistryRead)");
	}
	if (!d->login && !d->no_login) {
		d->login = hub_open_login(d->hub);
		d->no_login = !d->login;
	}
	if (!d->no_login) {
		/* What CONTRACT 12.4 says is said of keys. */
		p->login = true;
		ask(d, p, MODULES, 0);
		return;
	}
	p->refused = true;
	edge = entry_path(buf_peek(&p->identity), "capabilities", "iotEdge");
	if (!edge.at || *edge.at != 't')
		return;
	p->module = xcalloc(2, sizeof *p->module);
	for (size_t i = 0; i < 2; i++) {
		p->module[p->count++].id = xstrdup(names[i]);
		if (!d->no_twins)
			ask(d, p, MODULE_TWIN, i);
	}
}

static void
answered(struct http_reply *reply, void *ctx)
{
	struct call c = *(struct call *)ctx;
	struct place *p = c.p;
	struct err e;
	char code[64];
	struct buf *into = c.what == TWIN          ? &p->twin
			   : c.what == MODULES     ? &p->modules
			   : c.what == MODULE_TWIN ? &p->module[c.module].twin
						   : &p->identity;

	free(ctx);
	p->pending--;
	c.d->asked--;
	if (hub_check(c.d->hub, reply, p->id, code, &e) == 0) {
		buf_wipe(into);
		*into = reply->body;
		reply->body = (struct buf)BUF_INIT;
		if (c.what == MODULES)
			take_modules(c.d, p);
		else if (c.what == STATUS)
			take_refused(c.d, p);
	} else if (c.what == MODULES && p->login && e.status != REMOTE_RETRY) {
		p->login = false;
		c.d->no_login = true;
		ask(c.d, p, STATUS, 0);
	} else if (c.what == MODULES && reply->status == 401) {
		ask(c.d, p, STATUS, 0);
	} else if (strcmp(code, "OperationNotAvailableInCurrentTier") == 0 &&
		   (c.what == TWIN || c.what == MODULE_TWIN)) {
		if (!c.d->no_twins)
			warn(hub_name(c.d->hub), "its tier has no twins");
		c.d->no_twins = true;
	} else if (is_missing(&e, code)) {
		/* A twin that is not there may still have its device. */
		if (c.what == TWIN)
			ask(c.d, p, IDENTITY, 0);
		else if (c.what == MODULE_TWIN)
			p->module[c.module].gone = true;
		else
			p->gone = true;
	} else {
		die_err(&e);
	}
}

/* Text that became one member; a line has no line ends in it. */
static void
put(struct buf *line, const char *name, struct span value)
{
	if (!value.at)
		return;
	buf_printf(line, "%s\"%s\":", line->len ? "," : "{", name);
	for (const char *c = value.at, *end = c + value.len; c < end;) {
		const char *stop = c;

		while (stop < end && *stop != '\n' && *stop != '\r')
			stop++;
		buf_add(line, c, (size_t)(stop - c));
		if (stop < end)
			buf_char(line, ' ');
		c = stop + 1;
	}
}

/* As spelt, null included. */
static struct span
raw(const struct json *j, const char *name)
{
	const struct json_member *m;

	return json_find(j, name, &m) == 1 ? m->value
					   : (struct span){ NULL, 0 };
}

static void
put_twin(struct buf *line, const struct json *twin, bool metadata)
{
	static const char *const names[] = { "desired", "reported" };
	struct span properties = entry_member(twin, "properties");
	struct buf all = BUF_INIT;

	put(line, "twinETag", raw(twin, "etag"));
	put(line, "tags", raw(twin, "tags"));
	for (int i = 0; i < 2; i++) {
		struct span s = entry_path(properties, names[i], NULL);

		if (!s.at)
			continue;
		buf_printf(&all, "%s\"%s\":", all.len ? "," : "{", names[i]);
		if (metadata)
			buf_span(&all, s);
		else
			entry_plain(s, &all);
	}
	if (all.len) {
		buf_char(&all, '}');
		put(line, "properties", buf_peek(&all));
	}
	buf_free(&all);
}

static void
write_line(struct fleet *d)
{
	buf_text(&d->line, "}\n");
	d->want->line(buf_peek(&d->line), d->want->ctx);
	buf_clear(&d->line);
	d->got->lines++;
}

static void
scan(struct span text, const char *id, struct json *into)
{
	struct json_fault fault;

	if (json_scan(text, into, &fault) || into->kind != JSON_OBJECT)
		die(REMOTE_RETRY, id, "the answer is no identity: %s",
		    into->kind == JSON_OBJECT ? fault.reason : "no object");
}

static void
write_device(struct fleet *d, struct place *p)
{
	struct json identity = { 0 }, twin = { 0 };
	struct span none = { NULL, 0 }, parents;

	scan(buf_peek(&p->identity), p->id, &identity);
	parents = entry_member(&identity, "parentScopes");
	if (p->twin.len)
		scan(buf_peek(&p->twin), p->id, &twin);
	put(&d->line, "id", raw(&identity, "deviceId"));
	put(&d->line, "eTag", raw(&identity, "etag"));
	put(&d->line, "status", raw(&identity, "status"));
	put(&d->line, "statusReason", raw(&identity, "statusReason"));
	put(&d->line, "authentication",
	    d->want->exclude_keys ? span_of("null")
				  : raw(&identity, "authentication"));
	if (p->twin.len)
		put_twin(&d->line, &twin, d->want->metadata);
	put(&d->line, "capabilities", raw(&identity, "capabilities"));
	put(&d->line, "deviceScope", entry_member(&identity, "deviceScope"));
	/* An export does not have it where there is none. */
	if (parents.len != 2)
		put(&d->line, "parentScopes", parents);
	write_line(d);
	for (size_t i = 0; i < p->count; i++) {
		struct module *m = &p->module[i];
		bool system = *m->id == '$';
		struct json own = { 0 }, its = { 0 };
		struct buf id = BUF_INIT;

		if (m->gone)
			continue;
		if (m->identity.at)
			scan(m->identity, p->id, &own);
		if (m->twin.len)
			scan(buf_peek(&m->twin), p->id, &its);
		buf_json(&id, m->id, strlen(m->id));
		put(&d->line, "id", raw(&identity, "deviceId"));
		put(&d->line, "moduleId", buf_peek(&id));
		put(&d->line, "eTag",
		    own.kind ? raw(&own, "etag") : raw(&its, "deviceEtag"));
		put(&d->line, "status", span_of("\"enabled\""));
		/* As the service's own export has it (CONTRACT 16.3). */
		put(&d->line, "authentication",
		    system || d->want->exclude_keys
			? span_of("null")
			: raw(&own, "authentication"));
		if (m->twin.len)
			put_twin(&d->line, &its, d->want->metadata);
		put(&d->line, "managedBy",
		    own.kind ? entry_member(&own, "managedBy")
		    : system ? span_of("\"iotEdge\"")
			     : none);
		write_line(d);
		json_free(&own);
		json_free(&its);
		buf_free(&id);
	}
	json_free(&identity);
	json_free(&twin);
}

/* One page of a query; *more holds the continuation, freed and set anew. */
static void
query(struct fleet *d, const char *text, char **more, struct json *rows,
    struct buf *page)
{
	struct http_request r =
	    hub_request(d->hub, "POST", NULL, "/devices/query");
	struct http_reply reply;
	struct json_fault fault;
	struct err e;
	char code[64];
	const char *next;

	buf_text(&r.body, "{\"query\":");
	buf_json(&r.body, text, strlen(text));
	buf_char(&r.body, '}');
	r.repeat = HTTP_REPEAT;
	r.headers[0] = xasprintf("x-ms-max-item-count: %d", LIST_MAX);
	if (*more)
		r.headers[1] = xasprintf("x-ms-continuation: %s", *more);
	free(*more);
	*more = NULL;
	http_one(d->http, &r, &reply);
	if (hub_check(d->hub, &reply, hub_name(d->hub), code, &e)) {
		if (d->want->where && reply.status == 400)
			die(BAD_USAGE, d->want->where,
			    "the hub does not take this condition: %s", e.text);
		die_err(&e);
	}
	buf_free(page);
	*page = reply.body;
	reply.body = (struct buf)BUF_INIT;
	if (json_scan(buf_peek(page), rows, &fault) || rows->kind != JSON_ARRAY)
		die(REMOTE_RETRY, hub_name(d->hub), "the query gave no list");
	next = http_header(&reply, "x-ms-continuation");
	if (next && *next)
		*more = xstrdup(next);
	http_reply_free(&reply);
}

/* May the device that hides its modules have some?  Asked once for all. */
static bool
has_modules(struct fleet *d, const char *id)
{
	static const char *const path[] = { "deviceId", NULL };
	static const char *const name[] = { "moduleId", NULL };
	struct json rows = { 0 };
	struct buf page = BUF_INIT;
	char *more = NULL;

	if (d->with_modules)
		return idfile_has(d->with_modules, id, NULL);
	d->with_modules = idfile_open(0);
	do {
		query(d, "SELECT deviceId, moduleId FROM devices.modules",
		    &more, &rows, &page);
		for (size_t i = 0; i < rows.count; i++) {
			struct span row = rows.member[i].value, at, m;
			char *device = NULL;

			if (json_get(row, path, &at, NULL) == 1 &&
			    json_get(row, name, &m, NULL) == 1 && m.len > 2 &&
			    m.at[1] != '$')
				device = json_string(at);
			if (device)
				(void)idfile_add(d->with_modules, device, NULL);
			free(device);
		}
	} while (more);
	json_free(&rows);
	buf_free(&page);
	return idfile_has(d->with_modules, id, NULL);
}

/* Writes what is ready at the head of the ring; one more place is free then,
 * or (all) none is used. */
static void
write_ready(struct fleet *d, bool all)
{
	while (d->used &&
	       (all || d->used == d->size || d->place[d->first].pending == 0)) {
		struct place *p = &d->place[d->first];

		while (p->pending)
			http_wait(d->http, d->asked);
		if (p->gone) {
			note("'%s': %s", p->id,
			    d->want->ids || d->want->where || d->want->next
				? "is not there"
				: "deleted while the dump was made");
			d->got->gone++;
		} else {
			write_device(d, p);
			d->got->devices++;
			if (p->refused && has_modules(d, p->id)) {
				warn(p->id,
				    "its modules are left out: a key does not "
				    "show them while it is disabled "
				    "(--auth=login may)");
				d->got->hidden++;
			} else if (p->refused) {
				d->got->unlisted++;
			}
		}
		if (d->want->device)
			d->want->device(d->got, d->want->ctx);
		progress_add(1);
		for (size_t i = 0; i < p->count; i++) {
			free(p->module[i].id);
			buf_wipe(&p->module[i].twin);
		}
		free(p->module);
		free(p->id);
		buf_wipe(&p->identity);
		buf_wipe(&p->modules);
		buf_free(&p->twin);
		*p = (struct place){ 0 };
		d->first = (d->first + 1) % d->size;
		d->used--;
	}
}

/* Begins to read a device; id is consumed.  identity.at NULL: not known. */
static void
begin(struct fleet *d, char *id, struct span identity)
{
	struct place *p;

	d->begun++;
	if (d->want->skip && d->want->skip(id, NULL, d->want->ctx)) {
		progress_add(1);
		free(id);
		return;
	}
	write_ready(d, false);
	p = &d->place[(d->first + d->used++) % d->size];
	p->id = id;
	if (identity.at)
		buf_span(&p->identity, identity);
	else
		ask(d, p, IDENTITY, 0);
	if (!d->no_twins)
		ask(d, p, TWIN, 0);
	ask(d, p, MODULES, 0);
}

static bool
is_enough(const struct fleet *d)
{
	return d->want->limit && d->begun >= d->want->limit;
}

/* One of the identities that the list gave. */
struct listed {
	char *id;
	struct span identity;
};

static int
by_id(const void *a, const void *b)
{
	return strcmp(
	    ((const struct listed *)a)->id, ((const struct listed *)b)->id);
}

/* A page at a time, all ids that are new; what the list gave need not be asked
 * again. */
static void
read_queried(struct fleet *d, const struct listed *listed, size_t count)
{
	static const char *const path[] = { "deviceId", NULL };
	struct json rows = { 0 };
	struct buf page = BUF_INIT;
	char *more = NULL;

	do {
		query(d, "SELECT deviceId FROM devices", &more, &rows, &page);
		for (size_t i = 0; i < rows.count && !is_enough(d); i++) {
			const struct listed *l = NULL;
			struct listed key = { 0 };
			struct span at;

			if (json_get(rows.member[i].value, path, &at, NULL) ==
			    1)
				key.id = json_string(at);
			if (!key.id)
				die(REMOTE_RETRY, hub_name(d->hub),
				    "the query gave a row without deviceId");
			if (!idfile_add(d->met, key.id, NULL)) {
				free(key.id);
				continue;
			}
			if (count)
				l = bsearch(
				    &key, listed, count, sizeof key, by_id);
			begin(d, key.id,
			    l ? l->identity : (struct span){ NULL, 0 });
		}
	} while (more && !is_enough(d));
	free(more);
	json_free(&rows);
	buf_free(&page);
}

static void
read_large(struct fleet *d, struct listed *listed, size_t count)
{
	qsort(listed, count, sizeof *listed, by_id);
	read_queried(d, listed, count);
	/* The query is late: a device may be in the list only. */
	for (size_t i = 0; i < count && !is_enough(d); i++)
		if (idfile_add(d->met, listed[i].id, NULL))
			begin(d, xstrdup(listed[i].id), listed[i].identity);
}

static void
read_listed(struct fleet *d, const struct json *list)
{
	size_t n = list->count;
	struct listed *listed = xcalloc(n + 1, sizeof *listed);
	struct json_fault fault;
	struct json one = { 0 };

	for (size_t i = 0; i < n; i++) {
		listed[i].identity = list->member[i].value;
		if (json_scan(listed[i].identity, &one, &fault) == 0)
			listed[i].id =
			    json_string(entry_member(&one, "deviceId"));
		if (!listed[i].id)
			die(REMOTE_RETRY, hub_name(d->hub),
			    "the list has an identity without deviceId");
	}
	if (n < LIST_MAX)
		for (size_t i = 0; i < n && !is_enough(d); i++)
			begin(d, xstrdup(listed[i].id), listed[i].identity);
	else
		read_large(d, listed, n);
	for (size_t i = 0; i < n; i++)
		free(listed[i].id);
	free(listed);
	json_free(&one);
}

/* A device of a list, by calls of its own: no query is asked, so what queries
 * do not show yet is found. */
static void
read_from_file(void *ctx, const char *id, const char *module)
{
	struct fleet *d = ctx;

	(void)module; /* modules come with their device */
	if (!is_enough(d) && idfile_add(d->met, id, NULL))
		begin(d, xstrdup(id), (struct span){ NULL, 0 });
}

/* What is asked of the hub's throttle, which its devices share: the modules of
 * each device, its twin, and where one list does not hold all, its identity.
 * The twins of modules are added when they are seen. */
static void
say_cost(struct fleet *d, long devices, bool large)
{
	struct quota_cost cost = { { 0 } };

	if (!d->want->quota)
		return;
	cost.of[HUB_IDENTITY] =
	    (double)(devices + (large ? devices - LIST_MAX : 0));
	cost.of[HUB_TWIN_READ] = (double)devices;
	if (large)
		cost.of[HUB_QUERY] = ceil((double)devices / LIST_MAX);
	quota_plan(d->want->quota, &cost);
}

/*
 * The hub counts more than its queries showed.  A new device is shown within
 * seconds (CONTRACT 14), and the count is late as well: both are asked again,
 * a few times.  Returns what it counts then.
 */
static long
settle(struct fleet *d, long total)
{
	for (unsigned wait = SETTLE_FIRST; wait <= SETTLE_LAST; wait *= 2) {
		struct err e;
		long now;

		if (d->got->devices >= total)
			break;
		note("'%s' counts %ld devices and showed %ld: asking again in "
		     "%u s",
		    hub_name(d->hub), total, d->got->devices, wait);
		(void)sleep(wait);
		now = hub_devices(d->hub, &e);
		if (now >= 0 && now < total)
			total = now;
		if (d->got->devices >= total)
			break;
		if (d->want->quota)
			quota_more(d->want->quota, HUB_QUERY,
			    ceil((double)total / LIST_MAX));
		read_queried(d, NULL, 0);
		write_ready(d, true);
	}
	return total;
}

/* How many the hub counts, where it may count more than it showed; else 0. */
static long
read_all(struct fleet *d)
{
	struct json_fault fault;
	struct json list = { 0 };
	struct buf body = BUF_INIT;
	struct err e;
	long few = d->want->limit ? d->want->limit : LIST_MAX;
	char top[32] = "top=1000";
	bool large;
	long total;

	if (few < LIST_MAX)
		(void)snprintf(top, sizeof top, "top=%ld", few);
	if (hub_get(d->hub, &body, NULL, &e, top, "/devices"))
		die_err(&e);
	if (json_scan(buf_peek(&body), &list, &fault) ||
	    list.kind != JSON_ARRAY)
		die(REMOTE_RETRY, hub_name(d->hub), "the answer is no list");
	large = list.count >= LIST_MAX;
	total = large ? hub_devices(d->hub, &e) : (long)list.count;
	if (total < (long)list.count)
		total = (long)list.count;
	if (d->want->limit && total > d->want->limit)
		total = d->want->limit;
	say_cost(d, total, large);
	d->met = idfile_open(total);
	progress_begin("devices", total);
	read_listed(d, &list);
	write_ready(d, true);
	buf_wipe(&body);
	json_free(&list);
	return large && !d->want->limit ? settle(d, total) : 0;
}

/* The query names them, and each is read by calls of its own. */
static void
read_where(struct fleet *d)
{
	static const char *const path[] = { "deviceId", NULL };
	char *text =
	    xasprintf("SELECT deviceId FROM devices WHERE %s", d->want->where);
	struct json rows = { 0 };
	struct buf page = BUF_INIT;
	char *more = NULL;

	do {
		query(d, text, &more, &rows, &page);
		for (size_t i = 0; i < rows.count && !is_enough(d); i++) {
			struct span at;
			char *id = NULL;

			if (json_get(rows.member[i].value, path, &at, NULL) ==
			    1)
				id = json_string(at);
			if (!id)
				die(BAD_USAGE, d->want->where,
				    "is more than a condition: the query gave "
				    "a row without deviceId");
			read_from_file(d, id, NULL);
			free(id);
		}
	} while (more && !is_enough(d));
	free(more);
	free(text);
	json_free(&rows);
	buf_free(&page);
}

static void
read_these(struct fleet *d)
{
	struct err e;
	char *id;

	progress_begin("devices", 0);
	d->met = idfile_open(0);
	if (d->want->where)
		read_where(d);
	else if (!d->want->next &&
		 idset_each(d->want->ids, read_from_file, d, &e))
		die_err(&e);
	while (d->want->next && (id = d->want->next(d->want->ctx)))
		begin(d, id, (struct span){ NULL, 0 });
	write_ready(d, true);
}

void
fleet_read(struct hub *hub, struct http *http, const struct fleet_want *want,
    struct fleet_got *got)
{
	struct fleet d = { .hub = hub, .http = http, .want = want, .got = got };
	long total = 0;

	d.size = (size_t)http_jobs() * 4;
	d.place = xcalloc(d.size, sizeof *d.place);
	if (want->ids || want->where || want->next)
		read_these(&d);
	else
		total = read_all(&d);
	progress_end();
	if (got->devices + got->gone < total) {
		got->doubtful = true;
		got->counted = total;
		warn(hub_name(hub),
		    "counts %ld devices, but showed %ld: queries are late (run "
		    "again in a while)",
		    total, got->devices);
	}
	/* Does a query know modules that never connected?  UNCONFIRMED. */
	if (got->unlisted)
		warn(hub_name(hub),
		    "does not list the modules of %ld disabled devices; a "
		    "query knows of none, but may not know all",
		    got->unlisted);
	buf_free(&d.line);
	hub_close(d.login);
	free(d.place);
	idfile_close(d.with_modules);
	idfile_close(d.met);
}
