/* configurations.c: what is applied to many devices; see configurations.h. */
#include "configurations.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "entry.h"
#include "interrupt.h"
#include "lines.h"
#include "record.h"

enum {
	TOP = 100,   /* a hub holds no more (CONTRACT Annex A) */
	MOST = 1000, /* lines of a file that anybody meant */
	ROUNDS = 6,  /* somebody else writes it all the time: give up */
	MAX_ID = 128,
};

/* In the order of a line, and of its spelling there and in calls. */
enum part {
	SCHEMA,
	LABELS,
	CONTENT, /* the one kind that is there */
	TARGET,
	PRIORITY,
	QUERIES,
	ETAG,
	PARTS,
};

static const struct {
	const char *pascal, *camel;
	enum json_kind kind; /* what it has to be */
} parts[PARTS] = {
	{ "SchemaVersion", "schemaVersion", JSON_STRING },
	{ "Labels", "labels", JSON_OBJECT },
	{ "Content", "content", JSON_OBJECT },
	{ "TargetCondition", "targetCondition", JSON_STRING },
	{ "Priority", "priority", JSON_NUMBER },
	{ "Metrics", "metrics", JSON_OBJECT },
	{ "ETag", "etag", JSON_STRING },
};

static const struct {
	const char *pascal, *camel;
} contents[] = {
	{ "DeviceContent", "deviceContent" },
	{ "ModuleContent", "moduleContent" },
	{ "ModulesContent", "modulesContent" },
};

enum { KINDS = sizeof contents / sizeof *contents };

struct configuration {
	struct buf text; /* the spans point into it */
	struct span part[PARTS];
	char *id;
	size_t kind; /* of the content */
	enum record_mode mode;
	bool layered;
	long line;
	const char *code; /* our word for what is wrong, or NULL */
	char why[160];
	bool sent;               /* in the file of a job; */
	char *refused, *why_not; /* and what its log says of it, or NULL */
};

struct configurations {
	struct configuration *one;
	size_t count, cap;
	long wrong;
	bool no_tier; /* the hub has none at all */
};

/* -- reading -------------------------------------------------------------- */

static int wrong(struct configuration *c, const char *code, const char *fmt,
    ...) __attribute__((format(printf, 3, 4)));

static int
wrong(struct configuration *c, const char *code, const char *fmt, ...)
{
	va_list ap;

	c->code = code;
	va_start(ap, fmt);
	(void)vsnprintf(c->why, sizeof c->why, fmt, ap);
	va_end(ap);
	return -1;
}

/* A member, its name in any case; null is absent.  -1: there twice. */
static int
find(const struct json *j, const char *name, struct span *value)
{
	int found = 0;

	*value = (struct span){ NULL, 0 };
	for (size_t i = 0; i < j->count; i++) {
		char *have = json_string(j->member[i].name);

		if (have && strcasecmp(have, name) == 0 && found++ == 0 &&
		    j->member[i].kind != JSON_NULL)
			*value = j->member[i].value;
		free(have);
	}
	return found > 1 ? -1 : 0;
}

static int
find_in(struct span object, const char *name, struct span *value)
{
	struct json_fault fault;
	struct json j = { 0 };
	int rc = 0;

	*value = (struct span){ NULL, 0 };
	if (object.at && json_scan(object, &j, &fault) == 0)
		rc = find(&j, name, value);
	json_free(&j);
	return rc;
}

/* A layered deployment has no module with its whole properties.desired
 * (CONTRACT 15). */
static bool
is_layered(struct span content)
{
	struct json_fault fault;
	struct json modules = { 0 };
	bool base = false;

	if (json_scan(content, &modules, &fault))
		return false;
	for (size_t i = 0; i < modules.count && !base; i++) {
		const char *const path[] = { "properties.desired", NULL };
		struct span value;

		base =
		    modules.member[i].kind == JSON_OBJECT &&
		    json_get(modules.member[i].value, path, &value, NULL) == 1;
	}
	json_free(&modules);
	return !base;
}

static int
take_content(struct configuration *c)
{
	struct span all = c->part[CONTENT], value;
	int kinds = 0;

	c->part[CONTENT] = (struct span){ NULL, 0 };
	for (size_t i = 0; i < KINDS; i++) {
		if (find_in(all, contents[i].camel, &value))
			return wrong(c, "BadConfiguration", "%s is there twice",
			    contents[i].camel);
		if (!value.at)
			continue;
		kinds++;
		c->kind = i;
		c->part[CONTENT] = value;
	}
	if (kinds != 1 || *c->part[CONTENT].at != '{')
		return wrong(c, "BadConfiguration", "%s",
		    "its content is not one of deviceContent, moduleContent "
		    "and modulesContent");
	c->layered = c->kind == 2 && is_layered(c->part[CONTENT]);
	return 0;
}

static int
take_mode(struct configuration *c, const struct json *j)
{
	struct span value;
	char *text;
	int mode;

	c->mode = RECORD_CREATE_OR_UPDATE;
	if (find(j, "importMode", &value))
		return wrong(
		    c, "BadConfiguration", "%s", "importMode is there twice");
	if (!value.at)
		return 0;
	text = *value.at == '"' ? json_string(value) : span_dup(value);
	mode = text ? record_mode_of(text) : -1;
	free(text);
	if (mode < 0)
		return wrong(c, "BadConfiguration", "%s", "unknown importMode");
	c->mode = (enum record_mode)mode;
	if (mode == RECORD_DELETE || mode == RECORD_DELETE_IF_MATCH ||
	    mode == RECORD_UPDATE_TWIN || mode == RECORD_UPDATE_TWIN_IF_MATCH)
		return wrong(c, "BadConfiguration",
		    "importMode %s is not for configurations",
		    record_mode_name(c->mode));
	if ((mode == RECORD_UPDATE_IF_MATCH ||
		mode == RECORD_CREATE_OR_UPDATE_IF_MATCH) &&
	    !c->part[ETAG].at)
		return wrong(
		    c, "NoETag", "%s needs ETag", record_mode_name(c->mode));
	return 0;
}

static int
parse(struct configuration *c)
{
	struct json_fault fault;
	struct json j = { 0 };
	struct span id;
	int rc = -1;

	if (json_scan(buf_peek(&c->text), &j, &fault)) {
		wrong(c, "BadConfiguration", "is no JSON: %s", fault.reason);
		goto out;
	}
	if (j.kind != JSON_OBJECT || find(&j, "id", &id) || !id.at) {
		wrong(c, "BadConfiguration", "%s", "has no one id");
		goto out;
	}
	c->id = json_string(id);
	if (!c->id || !*c->id || strlen(c->id) > MAX_ID) {
		wrong(c, "BadConfiguration", "%s",
		    "its id is no string of 1 to 128 characters");
		goto out;
	}
	for (int i = 0; i < PARTS; i++) {
		if (find(&j, parts[i].camel, &c->part[i])) {
			wrong(c, "BadConfiguration", "%s is there twice",
			    parts[i].camel);
			goto out;
		}
		if (c->part[i].at &&
		    json_kind_of(c->part[i]) != parts[i].kind) {
			wrong(c, "BadConfiguration", "%s is of the wrong kind",
			    parts[i].camel);
			goto out;
		}
	}
	if (find_in(c->part[QUERIES], "queries", &c->part[QUERIES])) {
		wrong(c, "BadConfiguration", "%s", "queries is there twice");
		goto out;
	}
	rc = take_content(c) || take_mode(c, &j) ? -1 : 0;
out:
	json_free(&j);
	return rc;
}

static struct configuration *
find_id(const struct configurations *c, const char *id)
{
	for (size_t i = 0; id && i < c->count; i++)
		if (!c->one[i].code && strcmp(c->one[i].id, id) == 0)
			return &c->one[i];
	return NULL;
}

static void
add(struct configurations *c, struct span text, long line, const char *why)
{
	struct configuration one = { .line = line }, *twin;

	buf_span(&one.text, text);
	if (why)
		wrong(&one, "BadConfiguration", "%s", why);
	else if (parse(&one) == 0 && (twin = find_id(c, one.id))) {
		wrong(
		    &one, "DuplicateId", "the same id as line %ld", twin->line);
	}
	c->wrong += one.code != NULL;
	if (c->count == c->cap) {
		c->cap = c->cap ? c->cap * 2 : 16;
		c->one = xrealloc(c->one, c->cap * sizeof *c->one);
	}
	c->one[c->count++] = one;
}

struct configurations *
configurations_read(const char *path, struct err *e)
{
	struct configurations *c = xcalloc(1, sizeof *c);
	struct lines *in = lines_open_file(path, e);
	enum lines_got got = LINES_FAILED;
	struct line line;

	while (in && (got = lines_next(in, &line, e)) > LINES_END) {
		if (got == LINES_PIECE ||
		    (got == LINES_LINE && span_is_blank(line.text)))
			continue;
		if (c->count == MOST) {
			err_set(e, BAD_DATA, path,
			    "has more than %d lines (a hub holds %d "
			    "configurations)",
			    MOST, TOP);
			got = LINES_FAILED;
			break;
		}
		add(c, got == LINES_LAST ? span_of("") : line.text, line.number,
		    got == LINES_LAST ? "the line is too long" : NULL);
	}
	if (in)
		lines_close(in);
	if (got != LINES_FAILED)
		return c;
	configurations_free(c);
	return NULL;
}

static struct configurations *
from_list(struct span body, const struct hub *hub, struct err *e)
{
	struct configurations *c = xcalloc(1, sizeof *c);
	struct json_fault fault;
	struct json list = { 0 };

	if (json_scan(body, &list, &fault) || list.kind != JSON_ARRAY) {
		err_set(e, REMOTE_RETRY, hub_name(hub),
		    "the answer is no list of configurations");
		goto failed;
	}
	for (size_t i = 0; i < list.count; i++)
		add(c, list.member[i].value, (long)i + 1, NULL);
	for (size_t i = 0; i < c->count; i++)
		if (c->one[i].code) {
			err_set(e, REMOTE_RETRY, hub_name(hub),
			    "the list has a configuration that is none: %s",
			    c->one[i].why);
			goto failed;
		}
	json_free(&list);
	return c;
failed:
	json_free(&list);
	configurations_free(c);
	return NULL;
}

struct configurations *
configurations_fetch(struct hub *hub, struct err *e)
{
	struct configurations *c;
	struct buf body = BUF_INIT;
	char code[64];

	if (hub_get(hub, &body, code, e, "top=100", "/configurations")) {
		if (strcmp(code, "OperationNotAvailableInCurrentTier") != 0)
			return NULL;
		warn(hub_name(hub), "its tier has no configurations");
		c = xcalloc(1, sizeof *c);
		c->no_tier = true;
		return c;
	}
	c = from_list(buf_peek(&body), hub, e);
	buf_free(&body);
	return c;
}

void
configurations_free(struct configurations *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->count; i++) {
		free(c->one[i].id);
		free(c->one[i].refused);
		free(c->one[i].why_not);
		buf_free(&c->one[i].text);
	}
	free(c->one);
	free(c);
}

long
configurations_count(const struct configurations *c)
{
	return (long)c->count;
}

long
configurations_wrong(const struct configurations *c)
{
	return c->wrong;
}

/* -- writing -------------------------------------------------------------- */

static void
put(struct buf *b, const char *name, struct span value)
{
	if (!value.at)
		return;
	buf_printf(b,
	    "%s\"%s\":", b->len && b->at[b->len - 1] != '{' ? "," : "", name);
	buf_span(b, value);
}

static void
put_part(struct buf *b, const struct configuration *c, enum part i, bool pascal)
{
	const char *name = pascal ? parts[i].pascal : parts[i].camel;
	struct buf inner = BUF_INIT;

	if (!c->part[i].at)
		return;
	if (i == CONTENT || i == QUERIES) {
		buf_char(&inner, '{');
		put(&inner,
		    i == QUERIES ? pascal ? "Queries" : "queries"
		    : pascal     ? contents[c->kind].pascal
				 : contents[c->kind].camel,
		    c->part[i]);
		buf_char(&inner, '}');
		put(b, name, buf_peek(&inner));
		buf_free(&inner);
	} else {
		put(b, name, c->part[i]);
	}
}

static void
put_id(struct buf *b, const char *name, const char *id)
{
	buf_printf(b, "{\"%s\":", name);
	buf_json(b, id, strlen(id));
}

/* The service writes these in PascalCase, and without what only it can know
 * (CONTRACT 15, 16.3). */
void
configurations_write(const struct configurations *c, struct out *out)
{
	struct buf line = BUF_INIT;

	for (size_t i = 0; i < c->count; i++) {
		if (c->one[i].code)
			continue;
		buf_clear(&line);
		put_id(&line, "Id", c->one[i].id);
		for (int p = 0; p < PARTS; p++)
			put_part(&line, &c->one[i], (enum part)p, true);
		buf_one_line(&line);
		buf_text(&line, "}\n");
		out_span(out, buf_peek(&line));
	}
	buf_free(&line);
}

/* -- comparing ------------------------------------------------------------ */

/* Null, {} and absent are the same to the service. */
static bool
same_part(struct span a, struct span b)
{
	if (a.at && span_is(a, "{}"))
		a.at = NULL;
	if (b.at && span_is(b, "{}"))
		b.at = NULL;
	if (!a.at || !b.at)
		return a.at == b.at;
	return json_same(a, b);
}

static bool
same_content(const struct configuration *a, const struct configuration *b)
{
	return a->kind == b->kind &&
	       json_same(a->part[CONTENT], b->part[CONTENT]);
}

/* What the line does not say of priority and target may be as it is. */
static bool
same(const struct configuration *want, const struct configuration *have)
{
	for (int i = 0; i < ETAG; i++) {
		bool lenient = i == SCHEMA || i == TARGET || i == PRIORITY;

		if (i == CONTENT ? !same_content(want, have)
				 : !(lenient && !want->part[i].at) &&
				       !same_part(want->part[i], have->part[i]))
			return false;
	}
	return true;
}

/* -- making it true ------------------------------------------------------- */

struct loading {
	struct hub *hub;
	struct http *http;
	struct out *out;
	bool all;
	struct configurations *there;
	struct configurations_end *end;
	struct err *e;
};

/* One line of outcomes, for what became of a configuration on any path. */
static void
outcome(struct out *out, long line, const char *id, const char *tried,
    const char *code, const char *text, bool retry)
{
	struct buf b = BUF_INIT;

	buf_printf(&b, "{\"line\":%ld", line);
	if (id) {
		buf_text(&b, ",\"configurationId\":");
		buf_json(&b, id, strlen(id));
	}
	buf_printf(&b, ",\"tried\":\"%s\",\"code\":", tried);
	buf_json(&b, code, strlen(code));
	if (text) {
		buf_text(&b, ",\"message\":");
		buf_json(&b, text, strlen(text));
	}
	buf_printf(&b, ",\"retry\":%s}\n", retry ? "true" : "false");
	out_span(out, buf_peek(&b));
	buf_free(&b);
}

static void
say_wrong(const struct configuration *c, struct out *out)
{
	outcome(out, c->line, c->id, "read", c->code, c->why, false);
}

void
configurations_say_wrong(const struct configurations *c, struct out *out)
{
	for (size_t i = 0; i < c->count; i++)
		if (c->one[i].code)
			say_wrong(&c->one[i], out);
}

static void
fail(struct loading *l, const struct configuration *c, const char *tried,
    const char *code, const char *text, bool retry)
{
	l->end->failed++;
	l->end->retry |= retry;
	outcome(l->out, c->line, c->id, tried, code, text, retry);
}

static void
settle(struct loading *l, const struct configuration *c, const char *tried,
    bool wrote)
{
	*(wrote ? &l->end->applied : &l->end->equal) += 1;
	if (l->all)
		outcome(l->out, c->line, c->id, tried,
		    wrote ? "applied" : "equal", NULL, false);
}

/* What goes into a call: the content always, since it is wanted with every
 * update; what the line leaves out, as it is there. */
static void
body_of(const struct configuration *c, const struct configuration *there,
    bool pascal, struct buf *into)
{
	put_id(into, pascal ? "Id" : "id", c->id);
	for (int i = 0; i < ETAG; i++)
		put_part(into,
		    !c->part[i].at && there &&
			    (i == SCHEMA || i == TARGET || i == PRIORITY)
			? there
			: c,
		    (enum part)i, pascal);
}

static bool
by_etag(const struct configuration *c)
{
	return c->mode == RECORD_UPDATE_IF_MATCH ||
	       c->mode == RECORD_CREATE_OR_UPDATE_IF_MATCH;
}

/* The header wants it quoted: else a misleading 409 (CONTRACT 15). */
static char *
if_match(const struct configuration *c, const struct configuration *there)
{
	struct span etag = by_etag(c) ? c->part[ETAG] : there->part[ETAG];
	char *text = etag.at ? json_string(etag) : NULL, *header;

	if (!text || !*text || strcmp(text, "*") == 0 || strpbrk(text, "\r\n"))
		header = xstrdup("If-Match: \"*\"");
	else if (*text == '"')
		header = xasprintf("If-Match: %s", text);
	else
		header = xasprintf("If-Match: \"%s\"", text);
	free(text);
	return header;
}

/* Reads one again.  0, *into set or NULL (gone); -1 with *e and code. */
static int
look(struct loading *l, const char *id, struct configurations **into,
    char code[64], struct err *e)
{
	struct buf body = BUF_INIT;
	char *escaped = hub_escape(id);
	int rc;

	*into = NULL;
	rc = hub_get(
	    l->hub, &body, code, e, NULL, "/configurations/%s", escaped);
	free(escaped);
	if (rc && e->status == ANSWER_NO)
		return 0;
	if (rc == 0) {
		*into = xcalloc(1, sizeof **into);
		add(*into, buf_peek(&body), 1, NULL);
		if ((*into)->one->code) {
			rc = err_set(e, REMOTE_RETRY, id,
			    "the answer is no configuration");
			(void)snprintf(code, 64, "NoAnswer");
			configurations_free(*into);
			*into = NULL;
		}
	}
	buf_free(&body);
	return rc;
}

static int
write_one(struct loading *l, const struct configuration *c,
    const struct configuration *there, bool *doubt, char code[64],
    struct err *e)
{
	char *id = hub_escape(c->id);
	struct http_request r =
	    hub_request(l->hub, "PUT", NULL, "/configurations/%s", id);
	struct http_reply reply = { 0 };
	int rc;

	if (there)
		r.headers[0] = if_match(c, there);
	body_of(c, there, false, &r.body);
	buf_char(&r.body, '}');
	r.audit = there ? "updateConfiguration" : "createConfiguration";
	r.audit_id = xstrdup(c->id);
	http_one(l->http, &r, &reply);
	*doubt |= reply.ambiguous;
	rc = hub_check(l->hub, &reply, c->id, code, e);
	if (rc && !*code)
		(void)snprintf(
		    code, 64, "%s", reply.status ? "HTTPError" : "NoAnswer");
	/* Not as it was when we looked, or our own first try went through. */
	if (rc && (reply.status == 409 || reply.status == 412))
		rc = reply.status == 412 && !*doubt && by_etag(c) ? -1 : 1;
	/* About us, not about the configuration. */
	if (rc < 0 && reply.status == 401)
		rc = -2;
	http_reply_free(&reply);
	free(id);
	return rc;
}

/* 0: it has its outcome; -1: the hub does not let us in, with *l->e. */
static int
load_one(struct loading *l, const struct configuration *c)
{
	const struct configuration *there = find_id(l->there, c->id);
	struct configurations *again = NULL;
	const char *tried = c->sent ? "import" : there ? "update" : "create";
	bool doubt = c->sent;
	char code[64] = "";
	struct err e;

	for (int round = 0;; round++) {
		int rc;

		if (there && same(c, there)) {
			settle(l, c, tried, doubt);
			break;
		}
		if (c->refused) {
			fail(l, c, tried, c->refused, c->why_not, false);
			break;
		}
		if (there && c->mode == RECORD_CREATE) {
			fail(l, c, "create", "ConfigurationAlreadyExists",
			    "exists already, and is not the same", false);
			break;
		}
		if (!there && (c->mode == RECORD_UPDATE ||
				  c->mode == RECORD_UPDATE_IF_MATCH)) {
			fail(l, c, "update", "ConfigurationNotFound",
			    "is not there", false);
			break;
		}
		if (there && !same_content(c, there)) {
			fail(l, c, "update", "ContentFixed",
			    "its content differs, and the service does not "
			    "change that (delete the configuration on the hub "
			    "and load again)",
			    false);
			break;
		}
		if (round == ROUNDS) {
			fail(l, c, tried, "PreconditionFailed",
			    "somebody else writes it all the time", true);
			break;
		}
		tried = there ? "update" : "create";
		rc = write_one(l, c, there, &doubt, code, &e);
		if (rc == 0) {
			settle(l, c, tried, true);
			break;
		}
		if (rc == -2) {
			*l->e = e;
			configurations_free(again);
			return -1;
		}
		configurations_free(again);
		if (rc == 1)
			rc = look(l, c->id, &again, code, &e);
		else
			again = NULL;
		if (rc < 0) {
			fail(l, c, tried, *code ? code : "NoAnswer", e.text,
			    e.status == REMOTE_RETRY);
			return 0;
		}
		there = again ? again->one : NULL;
	}
	configurations_free(again);
	return 0;
}

int
configurations_load(const struct configurations *c, struct hub *hub,
    struct http *http, struct out *out, bool all,
    struct configurations_end *end, struct err *e)
{
	struct loading l = { hub, http, out, all, NULL, end, e };
	bool stopped = false;

	*end = (struct configurations_end){ 0 };
	configurations_say_wrong(c, out);
	end->rejected = c->wrong;
	l.there = configurations_fetch(hub, e);
	stopped = !l.there;
	/* Layered deployments last: they stand on the base (CONTRACT 15). */
	for (int layered = 0; layered <= 1; layered++) {
		for (size_t i = 0; i < c->count; i++) {
			const struct configuration *one = &c->one[i];

			if (one->code || one->layered != (layered == 1))
				continue;
			if (!stopped && interrupt_seen()) {
				err_set(e, LOCAL_FAILURE, hub_name(hub),
				    "stopped: the configurations that are left "
				    "are not sent (the same command goes on)");
				stopped = true;
			}
			if (stopped) {
				end->untried++;
				outcome(out, one->line, one->id, "update",
				    "NotTried", "the run was stopped", true);
			} else if (l.there->no_tier) {
				fail(&l, one, "create",
				    "OperationNotAvailableInCurrentTier",
				    "the tier of the hub has no configurations",
				    false);
			} else if (load_one(&l, one)) {
				stopped = true;
				end->untried++;
				outcome(out, one->line, one->id, "update",
				    "NotTried", e->text, true);
			}
		}
	}
	configurations_free(l.there);
	return stopped ? -1 : 0;
}

/* -- by a job ---------------------------------------------------------------
 */

/* A file has its layered deployments last, too.  What is there and has other
 * content, nobody can change. */
long
configurations_lines(
    struct configurations *c, struct hub *hub, struct buf *into, struct err *e)
{
	struct configurations *all = configurations_fetch(hub, e);
	long n = 0;

	if (!all)
		return -1;
	for (int layered = 0; layered <= 1 && !all->no_tier; layered++)
		for (size_t i = 0; i < c->count; i++) {
			struct configuration *one = &c->one[i];
			const struct configuration *there =
			    one->code ? NULL : find_id(all, one->id);
			const char *mode = record_mode_name(one->mode);
			struct buf line = BUF_INIT;

			if (one->code || one->layered != (layered == 1) ||
			    (there && (same(one, there) ||
					  !same_content(one, there))))
				continue;
			body_of(one, there, true, &line);
			put(&line, "ETag",
			    by_etag(one) ? one->part[ETAG]
					 : (struct span){ NULL, 0 });
			buf_printf(&line, ",\"importMode\":\"%s\"}", mode);
			buf_one_line(&line);
			buf_span(into, buf_peek(&line));
			buf_char(into, '\n');
			buf_free(&line);
			one->sent = true;
			n++;
		}
	configurations_free(all);
	return n;
}

bool
configurations_refused(struct configurations *c, const char *id,
    const char *line, const char *code, const char *text)
{
	struct configurations *quoted = xcalloc(1, sizeof *quoted);
	struct configuration *one;

	if (!id && line) {
		add(quoted, span_of(line), 1, NULL);
		id = quoted->one->id;
	}
	one = find_id(c, id);
	if (one && !one->refused) {
		one->refused = xstrdup(code);
		one->why_not = xstrdup(text);
	}
	configurations_free(quoted);
	return one != NULL;
}
