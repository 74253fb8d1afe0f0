/* bulk.c: calls of a hundred records; see bulk.h. */
#include "bulk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger.h"

enum {
	ENTRIES = 100,      /* the service takes no more in one call */
	BYTES = 192 * 1024, /* ours, so that memory stays small */
};

struct bulk {
	struct hub *hub;
	struct http *http;
	struct pace *pace;
	bulk_said *said;
	bulk_denied *denied;
	void *ctx;
	struct call *next; /* being filled, or NULL */
	size_t last;       /* the length of the call before */
};

struct call {
	struct bulk *b;
	struct buf body;
	size_t count;
	struct entry {
		uint64_t key[2];
		uint32_t tag;
		bool said;
	} entry[ENTRIES];
};

/* What the answer says of one entry.  Warnings too: they are BULK_LOOK. */
struct complaint {
	char *id, *module;
	char code[64]; /* as the service spells it, name or number */
	char *text;
	enum bulk_says says;
};

struct answer {
	bool successful;
	struct complaint *error;
	size_t count;
};

static void
answer_free(struct answer *a)
{
	for (size_t i = 0; i < a->count; i++) {
		free(a->error[i].id);
		free(a->error[i].module);
		free(a->error[i].text);
	}
	free(a->error);
	*a = (struct answer){ 0 };
}

/* A name in the specification, a number in import logs: both are taken. */
enum bulk_says
bulk_meaning(const char *code)
{
	if (strstr(code, "AlreadyExists") || strncmp(code, "409", 3) == 0)
		return BULK_EXISTS;
	if (strstr(code, "NotFound") || strncmp(code, "404", 3) == 0)
		return BULK_MISSING;
	/* A module's 401 may be its device's (CONTRACT 12.4); a 412 may be
	 * our own first try. */
	if (strncmp(code, "401", 3) == 0 || strncmp(code, "412", 3) == 0 ||
	    strncmp(code, "429", 3) == 0 || *code == '5' || !*code ||
	    strcasestr(code, "Unauthorized") || strcasestr(code, "Throttl") ||
	    strcasestr(code, "Precondition") || strcasestr(code, "Timeout") ||
	    strcasestr(code, "Unavailable") || strcasestr(code, "ServerError"))
		return BULK_LOOK;
	return BULK_REFUSED;
}

/* A JSON string of the service, malloc'd, or NULL if there is none.  It may
 * quote the entry, and the entry holds keys. */
static char *
plain_text(struct span text)
{
	char *s = text.at ? json_string(text) : NULL;

	if (s)
		s[strcspn(s, "{\r\n")] = '\0';
	return s;
}

static int
read_list(struct span list, bool warnings, struct answer *into)
{
	struct json_fault fault;
	struct json a = { 0 }, one = { 0 };

	if (!list.at)
		return 0;
	if (json_scan(list, &a, &fault) || a.kind != JSON_ARRAY) {
		json_free(&a);
		return -1;
	}
	into->error = xrealloc(
	    into->error, (into->count + a.count + 1) * sizeof *into->error);
	for (size_t i = 0; i < a.count; i++) {
		struct complaint *e = &into->error[into->count++];
		struct span id, module, code;
		const char *name;
		char *word;

		(void)json_scan(a.member[i].value, &one, &fault);
		id = entry_member(&one, "deviceId");
		module = entry_member(&one, "moduleId");
		code =
		    entry_member(&one, warnings ? "warningCode" : "errorCode");
		*e = (struct complaint){ 0 };
		e->id = id.at ? json_string(id) : NULL;
		e->module =
		    module.at && module.len > 2 ? json_string(module) : NULL;
		word = !code.at          ? NULL
		       : *code.at == '"' ? json_string(code)
					 : span_dup(code);
		(void)snprintf(e->code, sizeof e->code, "%s", word ? word : "");
		free(word);
		e->text = plain_text(entry_member(
		    &one, warnings ? "warningStatus" : "errorStatus"));
		e->says = warnings ? BULK_LOOK : bulk_meaning(e->code);
		/* Who reads the rejects meets one word for it. */
		name = hub_error_name(strtol(e->code, NULL, 10));
		if (*name)
			(void)snprintf(e->code, sizeof e->code, "%s", name);
	}
	json_free(&a);
	json_free(&one);
	return 0;
}

/* -1: the body is no such answer. */
static int
answer_read(struct span body, struct answer *into)
{
	struct json_fault fault;
	struct json j = { 0 };
	struct span ok;
	int rc = -1;

	if (json_scan(body, &j, &fault) == 0 && j.kind == JSON_OBJECT) {
		ok = entry_member(&j, "isSuccessful");
		into->successful = ok.at && *ok.at == 't';
		if (ok.at && (*ok.at == 't' || *ok.at == 'f') &&
		    read_list(entry_member(&j, "errors"), false, into) == 0)
			rc =
			    read_list(entry_member(&j, "warnings"), true, into);
	}
	json_free(&j);
	return rc;
}

static struct entry *
entry_of(struct call *c, const struct complaint *error)
{
	uint64_t key[2];

	if (!error->id || strlen(error->id) > 128 ||
	    (error->module && strlen(error->module) > 128))
		return NULL;
	ledger_key(error->id, error->module, key);
	for (size_t k = 0; k < c->count; k++)
		if (memcmp(c->entry[k].key, key, sizeof key) == 0)
			return &c->entry[k];
	return NULL;
}

static void
say(struct call *c, struct entry *e, enum bulk_says says, bool doubt,
    const struct complaint *error)
{
	struct bulk_result r = { says, doubt, error ? error->code : NULL,
		error ? error->text : NULL };

	if (e->said)
		return; /* an error and a warning */
	e->said = true;
	c->b->said(c->b->ctx, e->tag, &r);
}

static void
answered(struct http_reply *r, void *ctx)
{
	struct call *c = ctx;
	struct bulk *b = c->b;
	struct answer a = { 0 };
	struct err e;
	char code[64];
	bool again = r->attempts > 1, whole, denied;

	denied = hub_check(b->hub, r, hub_name(b->hub), code, &e) != 0 &&
		 (r->status == 401 || r->status == 403) &&
		 b->denied(b->ctx, &e);
	if ((r->status == 200 || r->status == 400) &&
	    answer_read(buf_peek(&r->body), &a) == 0) {
		whole = a.successful && r->status == 200;
		for (size_t n = 0; n < a.count; n++) {
			struct entry *of = entry_of(c, &a.error[n]);

			if (of)
				say(c, of, a.error[n].says, again, &a.error[n]);
			else
				whole = false;
		}
		/* Is an entry applied when another fails?  UNCONFIRMED. */
		for (size_t k = 0; k < c->count; k++)
			say(c, &c->entry[k], whole ? BULK_APPLIED : BULK_LOOK,
			    true, NULL);
	} else if (!denied) {
		for (size_t k = 0; k < c->count; k++)
			say(c, &c->entry[k], BULK_LOOK, r->ambiguous || again,
			    NULL);
	}
	answer_free(&a);
	free(c);
}

struct bulk *
bulk_open(struct hub *hub, struct http *http, struct pace *pace,
    bulk_said *said, bulk_denied *denied, void *ctx)
{
	struct bulk *b = xcalloc(1, sizeof *b);

	*b = (struct bulk){ hub, http, pace, said, denied, ctx, NULL, 0 };
	return b;
}

void
bulk_flush(struct bulk *b)
{
	struct http_request r;
	struct call *c = b->next;

	if (!c)
		return;
	b->next = NULL;
	buf_char(&c->body, ']');
	b->last = c->body.len;
	r = hub_request(b->hub, "POST", NULL, "/devices");
	r.body = c->body;
	c->body = (struct buf)BUF_INIT;
	r.repeat = HTTP_ONCE; /* the entries are looked at instead */
	r.expect_json = true;
	if (b->pace)
		r.pace = b->pace;
	r.cost = (double)c->count;
	r.audit = "bulk";
	r.audit_id = xasprintf("%zu entries", c->count);
	r.done = answered;
	r.ctx = c;
	http_send(b->http, &r);
}

/* No more in a call than comes in a second or two: a small hub would take a
 * minute for a hundred, and a call waits no longer than its timeout. */
static size_t
fill_to(const struct bulk *b)
{
	const struct pace *p =
	    b->pace ? b->pace : hub_pace_of(b->hub, HUB_IDENTITY);

	return p ? (size_t)pace_batch(p, ENTRIES) : ENTRIES;
}

void
bulk_add(struct bulk *b, struct span line, const uint64_t key[2],
    const struct entry_cuts *cuts, enum record_mode mode, enum entry_form form,
    const char *scope, uint32_t tag)
{
	struct call *c = b->next;

	if (!c) {
		c = b->next = xcalloc(1, sizeof *c);
		c->b = b;
		buf_reserve(&c->body, b->last + b->last / 8);
	}
	buf_char(&c->body, c->count ? ',' : '[');
	entry_bulk(line, cuts, mode, form, scope, &c->body);
	memcpy(c->entry[c->count].key, key, sizeof c->entry->key);
	c->entry[c->count++].tag = tag;
	if (c->count >= fill_to(b) || c->body.len > BYTES)
		bulk_flush(b);
}

void
bulk_close(struct bulk *b)
{
	if (b->next)
		buf_wipe(&b->next->body);
	free(b->next);
	free(b);
}
