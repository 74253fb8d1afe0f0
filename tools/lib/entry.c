/* entry.c: records as the service takes them; see entry.h. */
#include "entry.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <strings.h>

/* What a person reads who finds a device that was left so. */
#define LOCK_REASON "\"enabled by registry-load until its modules are there\""

struct span
entry_member(const struct json *j, const char *name)
{
	const struct json_member *m;

	if (json_find(j, name, &m) != 1 || m->kind == JSON_NULL)
		return (struct span){ NULL, 0 };
	return m->value;
}

struct span
entry_path(struct span text, const char *a, const char *b)
{
	const char *const path[] = { a, b, NULL };
	struct span value;
	enum json_kind kind;

	if (!text.at || json_get(text, path, &value, &kind) != 1 ||
	    kind == JSON_NULL)
		return (struct span){ NULL, 0 };
	return value;
}

/* The same of a record. */
static struct span
part(const struct record *rec, enum record_member which)
{
	const struct json_member *m = rec->known[which];

	return !m || m->kind == JSON_NULL ? (struct span){ NULL, 0 } : m->value;
}

/* The same of what is in authentication, which may have been listed. */
static struct span
auth_part(const struct record *rec, const char *a, const char *b)
{
	const struct json_member *m = rec->known[RECORD_AUTHENTICATION];

	if (!m)
		return (struct span){ NULL, 0 };
	if (rec->json.levels < JSON_LEVELS)
		return entry_path(m->value, a, b);
	if (json_find_in(&rec->json, m, a, &m) != 1 ||
	    (b && json_find_in(&rec->json, m, b, &m) != 1) ||
	    m->kind == JSON_NULL)
		return (struct span){ NULL, 0 };
	return m->value;
}

static bool
is_service_made(struct span name)
{
	/* Most names are told by their first byte. */
	return name.len > 2 && (name.at[1] == '$' || name.at[1] == '\\') &&
	       (json_string_is(name, "$metadata") ||
		   json_string_is(name, "$version"));
}

static void
add_run(struct buf *into, const char *from, const char *to)
{
	if (!from)
		return;
	if (into->at[into->len - 1] != '{')
		buf_char(into, ',');
	buf_add(into, from, (size_t)(to - from));
}

void
entry_plain(struct span section, struct buf *into)
{
	const char *run = NULL, *end = NULL; /* kept, not copied yet */
	struct span name, value;
	struct json_walk w;

	if (!section.len || *section.at != '{') {
		buf_span(into, section);
		return;
	}
	(void)json_walk(&w, section);
	buf_char(into, '{');
	while (json_next(&w, &name, &value)) {
		if (is_service_made(name)) {
			add_run(into, run, end);
			run = NULL;
			continue;
		}
		if (!run)
			run = name.at;
		end = value.at + value.len;
	}
	add_run(into, run, end);
	buf_char(into, '}');
}

bool
entry_has_identity(const struct record *rec)
{
	return !rec->system_module && rec->mode != RECORD_UPDATE_TWIN &&
	       rec->mode != RECORD_UPDATE_TWIN_IF_MATCH;
}

/* A string that is there and not empty. */
static bool
has_text(struct span value)
{
	return value.at && *value.at == '"' && value.len > 2;
}

static int
no_keys(const char **code, struct err *e, const char *text)
{
	*code = "NoKeys";
	return err_set(e, BAD_DATA, NULL,
	    "%s: the service would make new keys (--generate-keys lets it)",
	    text);
}

/* CONTRACT 12.1, 12.2: what is left out of authentication is generated. */
static int
check_keys(
    const struct record *rec, bool generate, const char **code, struct err *e)
{
	struct span auth = part(rec, RECORD_AUTHENTICATION), type;
	bool first = has_text(auth_part(rec, "symmetricKey", "primaryKey"));
	bool second = has_text(auth_part(rec, "symmetricKey", "secondaryKey"));

	if (auth.at && *auth.at != '{') {
		*code = "NoKeys";
		return err_set(
		    e, BAD_DATA, NULL, "authentication is no object");
	}
	if (first != second) {
		*code = "HalfKey";
		return err_set(e, BAD_DATA, NULL,
		    "one of the two keys is missing (the service wants both)");
	}
	if (first || generate)
		return 0;
	type = entry_path(auth, "type", NULL);
	if (type.at && json_string_is(type, "certificateAuthority"))
		return 0;
	if (!auth.at)
		return no_keys(code, e, "no authentication");
	if (type.at && json_string_is(type, "selfSigned")) {
		if (has_text(entry_path(
			auth, "x509Thumbprint", "primaryThumbprint")) ||
		    has_text(entry_path(
			auth, "x509Thumbprint", "secondaryThumbprint")))
			return 0;
		return no_keys(code, e, "selfSigned without thumbprint");
	}
	/* CONTRACT 12.1: type none of a module is turned into sas. */
	return no_keys(code, e, "authentication without keys");
}

static int
check_etag(const struct record *rec, enum record_member which, const char *name,
    const char **code, struct err *e)
{
	if (has_text(part(rec, which)))
		return 0;
	*code = "NoETag";
	return err_set(e, BAD_DATA, NULL, "%s needs %s",
	    record_mode_name(rec->mode), name);
}

int
entry_check(
    const struct record *rec, bool generate, const char **code, struct err *e)
{
	bool deletes =
	    rec->mode == RECORD_DELETE || rec->mode == RECORD_DELETE_IF_MATCH;

	if (rec->mode == RECORD_UPDATE_IF_MATCH ||
	    rec->mode == RECORD_DELETE_IF_MATCH ||
	    rec->mode == RECORD_CREATE_OR_UPDATE_IF_MATCH)
		if (!rec->system_module &&
		    check_etag(rec, RECORD_ETAG, "eTag", code, e))
			return -1;
	if (rec->mode == RECORD_UPDATE_TWIN_IF_MATCH &&
	    check_etag(rec, RECORD_TWIN_ETAG, "twinETag", code, e))
		return -1;
	if (deletes || !entry_has_identity(rec))
		return 0;
	/* The service would take a missing one for enabled. */
	if (!rec->module && !part(rec, RECORD_STATUS).at) {
		*code = "NoStatus";
		return err_set(e, BAD_DATA, NULL, "no status");
	}
	return check_keys(rec, generate, code, e);
}

static bool
is_edge(const struct json *j)
{
	struct span edge =
	    entry_path(entry_member(j, "capabilities"), "iotEdge", NULL);

	return edge.at && *edge.at == 't';
}

/* The first element of parentScopes. */
static struct span
first_scope(const struct json *j)
{
	struct span list = entry_member(j, "parentScopes");
	struct span first = { NULL, 0 };
	struct json_fault fault;
	struct json a = { 0 };

	if (list.at && json_scan(list, &a, &fault) == 0 &&
	    a.kind == JSON_ARRAY && a.count > 0)
		first = a.member[0].value;
	json_free(&a);
	return first;
}

/* An Edge device says its parent in parentScopes, a leaf in deviceScope
 * (CONTRACT 12.3); one with parentScopes only means the same. */
static struct span
parent_scope(const struct json *j)
{
	struct span scope = { NULL, 0 };

	if (!is_edge(j))
		scope = entry_member(j, "deviceScope");
	return has_text(scope) ? scope : first_scope(j);
}

/* The id in ms-azure-iot-edge://{id}-{number}. */
static void
add_parent(struct span scope, struct buf *ids)
{
	static const char scheme[] = "ms-azure-iot-edge://";
	char *text = has_text(scope) ? json_string(scope) : NULL;
	const char *id, *dash;

	if (!text || !*text) {
		free(text);
		return;
	}
	id = text;
	dash = NULL;
	if (strncmp(text, scheme, sizeof scheme - 1) == 0) {
		id += sizeof scheme - 1;
		dash = strrchr(id, '-');
	} /* else it will not be found, and that is said */
	if (ids->len)
		buf_char(ids, ' ');
	buf_add(ids, id, dash ? (size_t)(dash - id) : strlen(id));
	free(text);
}

char *
entry_parents(const struct json *j)
{
	struct span list = entry_member(j, "parentScopes");
	struct buf ids = BUF_INIT;
	struct json_fault fault;
	struct json a = { 0 };

	if (!list.at && !entry_member(j, "deviceScope").at)
		return NULL; /* most have none */
	add_parent(parent_scope(j), &ids);
	if (list.at && json_scan(list, &a, &fault) == 0 && a.kind == JSON_ARRAY)
		for (size_t i = 1; i < a.count; i++)
			add_parent(a.member[i].value, &ids);
	json_free(&a);
	return ids.at;
}

/* Keys that nobody knows and nothing keeps. */
static void
throwaway(struct buf *into)
{
	static const char *const names[] = { "primaryKey", "secondaryKey" };
	unsigned char key[32];

	buf_text(into, "{\"type\":\"sas\",\"symmetricKey\":{");
	for (int i = 0; i < 2; i++) {
		if (RAND_bytes(key, sizeof key) != 1)
			die(LOCAL_FAILURE, NULL, "no random bytes");
		buf_printf(into, "%s\"%s\":\"", i ? "," : "", names[i]);
		buf_base64(into, key, sizeof key);
		buf_char(into, '"');
	}
	buf_text(into, "}}");
	OPENSSL_cleanse(key, sizeof key);
}

/* own: the first; list: all. */
static void
scope_texts(const char *scope, struct buf *own, struct buf *list)
{
	buf_json(own, scope, strcspn(scope, " "));
	buf_char(list, '[');
	while (*scope) {
		size_t n = strcspn(scope, " ");

		buf_json(list, scope, n);
		scope += n;
		if (*scope == ' ') {
			buf_char(list, ',');
			scope++;
		}
	}
	buf_char(list, ']');
}

/* Which members of the record are not sent, or not as they are: a bit each. */
static unsigned
left_out(enum record_mode mode, enum entry_form form)
{
	unsigned out =
	    1u << RECORD_MODE | 1u << RECORD_SCOPE | 1u << RECORD_PARENTS;
	bool deletes = mode == RECORD_DELETE || mode == RECORD_DELETE_IF_MATCH;
	bool by_etag = mode == RECORD_DELETE_IF_MATCH ||
		       mode == RECORD_UPDATE_IF_MATCH ||
		       mode == RECORD_CREATE_OR_UPDATE_IF_MATCH ||
		       mode == RECORD_UPDATE_TWIN_IF_MATCH;

	if (form == ENTRY_LOCKED)
		out |= 1u << RECORD_STATUS | 1u << RECORD_REASON |
		       1u << RECORD_AUTHENTICATION;
	if (deletes || mode == RECORD_UPDATE_TWIN ||
	    mode == RECORD_UPDATE_TWIN_IF_MATCH)
		out |= 1u << RECORD_AUTHENTICATION;
	if (deletes)
		out |= 1u << RECORD_TAGS | 1u << RECORD_PROPERTIES;
	if (!by_etag)
		out |= 1u << RECORD_ETAG | 1u << RECORD_TWIN_ETAG;
	return out;
}

static void
add_scope_members(const char *scope, struct buf *into)
{
	struct buf own = BUF_INIT, list = BUF_INIT;

	scope_texts(scope, &own, &list);
	buf_text(into, ",\"deviceScope\":");
	buf_span(into, buf_peek(&own));
	buf_text(into, ",\"parentScopes\":");
	buf_span(into, buf_peek(&list));
	buf_free(&own);
	buf_free(&list);
}

/* Takes the cuts of one line, in their order. */
struct cutter {
	const struct record *rec;
	const struct json_member *out[RECORD_OTHER]; /* its members that go */
	unsigned outs;
	const char *line;        /* its begin */
	struct entry_cuts *keep; /* gets the cuts; NULL: into gets the line */
	unsigned count; /* of them; more than ENTRY_CUTS: they do not fit */
	struct buf *into;
	const char *done; /* it has what stays before this */
};

static void
cut(struct cutter *c, const char *from, const char *to)
{
	ptrdiff_t end = to - c->line;

	if (!c->keep) {
		buf_add(c->into, c->done, (size_t)(from - c->done));
		c->done = to;
	} else if (c->count < ENTRY_CUTS && end <= UINT16_MAX) {
		c->keep->piece[c->count].from = (uint16_t)(from - c->line);
		c->keep->piece[c->count++].to = (uint16_t)end;
	} else {
		c->count = ENTRY_CUTS + 1;
	}
}

/* The objects that something is cut out of. */
enum cut_from { CUT_RECORD, CUT_PROPERTIES, CUT_SECTION };

static bool
is_cut(const struct cutter *c, const struct json_member *m, enum cut_from in)
{
	if (in == CUT_SECTION)
		return is_service_made(m->name);
	for (unsigned i = 0; i < c->outs && in == CUT_RECORD; i++)
		if (c->out[i] == m)
			return true;
	return false;
}

/* Is it an object that something may have to be cut out of? */
static bool
is_cut_within(
    const struct cutter *c, const struct json_member *m, enum cut_from in)
{
	if (m->kind != JSON_OBJECT || in == CUT_SECTION)
		return false;
	if (in == CUT_RECORD)
		return m == c->rec->known[RECORD_PROPERTIES];
	return json_name_is(m, "desired") || json_name_is(m, "reported");
}

/* Of an object those of its members, i up to end of the list, that go.  What
 * goes takes along the comma before it, or, if nothing that stays is before
 * it, the one behind it. */
static void
cut_members(struct cutter *c, size_t i, size_t end, enum cut_from in)
{
	const struct json *j = &c->rec->json;
	const char *from = NULL, *to = NULL; /* of what goes, not cut yet */
	const char *stays = NULL;            /* the end of what does */

	for (; i < end; i = j->member[i].next) {
		const struct json_member *m = &j->member[i];

		if (is_cut(c, m, in)) {
			if (!from)
				from = stays ? stays : m->name.at;
			to = m->value.at + m->value.len;
			continue;
		}
		if (from)
			cut(c, from, stays ? to : m->name.at);
		from = NULL;
		if (is_cut_within(c, m, in))
			cut_members(c, i + 1, m->next, in + 1);
		stays = m->value.at + m->value.len;
	}
	if (from)
		cut(c, from, to);
}

/* All of them; is there a status? */
static bool
cut_record(struct cutter *c, const struct record *rec, enum record_mode mode,
    enum entry_form form)
{
	bool status = part(rec, RECORD_STATUS).at != NULL;
	unsigned out = left_out(mode, form);

	if (rec->json.levels < JSON_LEVELS)
		bug("a record of which too little is listed");
	if (!status)
		out |= 1u << RECORD_STATUS; /* null is as good as absent */
	c->rec = rec;
	for (unsigned i = 0; i < RECORD_OTHER; i++)
		if (out >> i & 1 && rec->known[i])
			c->out[c->outs++] = rec->known[i];
	cut_members(c, 0, rec->json.count, CUT_RECORD);
	return status;
}

void
entry_cut(struct span line, const struct record *rec, enum record_mode mode,
    struct entry_cuts *cuts)
{
	struct cutter c = { .line = line.at, .keep = cuts };

	*cuts = (struct entry_cuts){ .kept = false };
	cuts->status = cut_record(&c, rec, mode, ENTRY_FULL);
	cuts->kept = c.count <= ENTRY_CUTS;
}

/* The line without its cuts, up to the last; is there a status? */
static bool
read_and_cut(struct cutter *c, struct span line, enum record_mode mode,
    enum entry_form form)
{
	struct record rec = { .json.levels = JSON_LEVELS };
	struct err e;
	bool status;

	if (record_read(line, &rec, &e))
		bug("a record that was read before is none: %s", e.text);
	status = cut_record(c, &rec, mode, form);
	record_free(&rec);
	return status;
}

void
entry_bulk(struct span line, const struct entry_cuts *cuts,
    enum record_mode mode, enum entry_form form, const char *scope,
    struct buf *into)
{
	const char *begin = memchr(line.at, '{', line.len);
	const char *end = memrchr(line.at, '}', line.len);
	struct cutter c = { .line = line.at, .into = into };
	bool status;

	if (!begin || !end)
		bug("a record that was read before is none");
	buf_reserve(into, line.len + 64);
	buf_text(into, "{\"importMode\":\"");
	buf_text(into, record_mode_name(mode));
	buf_text(into, "\",");
	c.done = begin + 1;
	if (cuts && cuts->kept && form != ENTRY_LOCKED) {
		for (int i = 0; i < ENTRY_CUTS && cuts->piece[i].to; i++)
			cut(&c, line.at + cuts->piece[i].from,
			    line.at + cuts->piece[i].to);
		status = cuts->status;
	} else {
		status = read_and_cut(&c, line, mode, form);
	}
	buf_add(into, c.done, (size_t)(end - c.done));
	if (form == ENTRY_LOCKED) {
		buf_text(into,
		    ",\"statusReason\":" LOCK_REASON ",\"authentication\":");
		throwaway(into);
	}
	if (form == ENTRY_LOCKED || !status)
		buf_text(into, ",\"status\":\"enabled\"");
	if (scope)
		add_scope_members(scope, into);
	buf_char(into, '}');
}

static void
add(struct buf *into, const char *name, struct span value)
{
	if (!value.at)
		return;
	if (into->len > 0 && into->at[into->len - 1] != '{')
		buf_char(into, ',');
	buf_printf(into, "\"%s\":", name);
	buf_span(into, value);
}

/* CONTRACT 12.3: an Edge device repeats its own scope, and its parents or
 * loses them; a leaf has its parent's. */
static void
add_scopes(const struct record *rec, enum entry_form form, const char *scope,
    const struct json *there, struct buf *into)
{
	struct buf own = BUF_INIT, list = BUF_INIT;

	if (scope)
		scope_texts(scope, &own, &list);
	if (rec->edge) {
		if (there && is_edge(there))
			add(into, "deviceScope",
			    entry_member(there, "deviceScope"));
		if (form == ENTRY_ROOT || (form == ENTRY_LOCKED && !scope))
			add(into, "parentScopes",
			    there ? entry_member(there, "parentScopes")
				  : (struct span){ NULL, 0 });
		else if (scope)
			add(into, "parentScopes", buf_peek(&list));
	} else if (scope) {
		add(into, "deviceScope", buf_peek(&own));
	}
	buf_free(&own);
	buf_free(&list);
}

void
entry_identity(const struct record *rec, enum entry_form form,
    const char *scope, const struct json *there, struct buf *into)
{
	struct span auth = part(rec, RECORD_AUTHENTICATION);
	struct span status = part(rec, RECORD_STATUS);
	struct span reason = part(rec, RECORD_REASON);
	struct span managed = part(rec, RECORD_MANAGED);
	struct buf locked = BUF_INIT;

	if (form == ENTRY_LOCKED) {
		throwaway(&locked);
		auth = buf_peek(&locked);
		status = span_of("\"enabled\"");
		reason = span_of(LOCK_REASON);
	} else if (!auth.at && there) {
		/* Only who is new gets new keys. */
		auth = entry_member(there, "authentication");
	}
	buf_char(into, '{');
	add(into, "deviceId", part(rec, RECORD_ID));
	if (rec->module) {
		add(into, "moduleId", part(rec, RECORD_MODULE));
		if (!managed.at && there)
			managed = entry_member(there, "managedBy");
		add(into, "managedBy", managed);
		add(into, "authentication", auth);
	} else {
		add(into, "status", status);
		add(into, "statusReason", reason);
		add(into, "authentication", auth);
		add(into, "capabilities", part(rec, RECORD_CAPABILITIES));
		add_scopes(rec, form, scope, there, into);
	}
	buf_char(into, '}');
	buf_wipe(&locked);
}

static struct span
section_of(const struct json *j, const char *name)
{
	return entry_path(entry_member(j, "properties"), name, NULL);
}

void
entry_twin(const struct record *rec, const struct json *there, struct buf *into)
{
	struct span tags = part(rec, RECORD_TAGS);
	struct span desired = section_of(&rec->json, "desired");
	struct buf plain = BUF_INIT;

	if (!tags.at && there)
		tags = entry_member(there, "tags");
	if (!desired.at && there)
		desired = section_of(there, "desired");
	entry_plain(desired.at ? desired : span_of("{}"), &plain);
	buf_char(into, '{');
	add(into, "deviceId", part(rec, RECORD_ID));
	add(into, "moduleId", part(rec, RECORD_MODULE));
	add(into, "tags", tags.at ? tags : span_of("{}"));
	buf_text(into, ",\"properties\":{\"desired\":");
	buf_span(into, buf_peek(&plain));
	buf_text(into, "}}");
	buf_free(&plain);
}

/* Absent, null and "" are the same to the service. */
static bool
same_text(const struct json *a, const struct json *b, const char *name)
{
	struct span x = entry_member(a, name), y = entry_member(b, name);

	if (!has_text(x) || !has_text(y))
		return has_text(x) == has_text(y);
	return json_same(x, y);
}

static bool
same_status(const struct record *rec, const struct json *there)
{
	struct span status = entry_member(there, "status");

	return status.at &&
	       json_string_is(status, rec->disabled ? "disabled" : "enabled") &&
	       same_text(&rec->json, there, "statusReason");
}

static bool
same_auth(const struct record *rec, const struct json *there)
{
	static const char *const secrets[][2] = {
		{ "symmetricKey", "primaryKey" },
		{ "symmetricKey", "secondaryKey" },
		{ "x509Thumbprint", "primaryThumbprint" },
		{ "x509Thumbprint", "secondaryThumbprint" },
	};
	struct span want = part(rec, RECORD_AUTHENTICATION);
	struct span have = entry_member(there, "authentication");
	struct span type = entry_path(want, "type", NULL);
	struct span type_there = entry_path(have, "type", NULL);
	bool authority =
	    type.at && json_string_is(type, "certificateAuthority");

	if (!want.at)
		return true;
	if (!have.at)
		return false;
	if (type.at && type_there.at && !json_same(type, type_there))
		return false;
	if (authority)
		return true;
	for (size_t i = 0; i < 4; i++) {
		struct span a = entry_path(want, secrets[i][0], secrets[i][1]);
		struct span b = entry_path(have, secrets[i][0], secrets[i][1]);

		/* What the record does not have cannot differ: a self-signed
		 * device has keys that nobody chose. */
		/* Hex digits: whether their case is kept is UNCONFIRMED. */
		if (has_text(a) &&
		    (!has_text(b) ||
			(i < 2 ? !json_same(a, b)
			       : a.len != b.len ||
				     strncasecmp(a.at, b.at, a.len) != 0)))
			return false;
		if (i >= 2 && !has_text(a) && has_text(b))
			return false;
	}
	return true;
}

static bool
same_parent(const char *scope, const struct json *there)
{
	struct span have = parent_scope(there);
	char *first;
	bool same;

	if (!scope)
		return !has_text(have);
	first = xstrndup(scope, strcspn(scope, " "));
	same = has_text(have) && json_string_is(have, first);
	free(first);
	return same;
}

bool
entry_same_identity(const struct record *rec, enum entry_form form,
    const char *scope, const struct json *there)
{
	if (!same_auth(rec, there))
		return false;
	if (rec->module)
		/* The service's own export does not have it. */
		return !part(rec, RECORD_MANAGED).at ||
		       same_text(&rec->json, there, "managedBy");
	return same_status(rec, there) && rec->edge == is_edge(there) &&
	       (form == ENTRY_ROOT || same_parent(scope, there));
}

bool
entry_lacks_parents(const char *scope, const struct json *there)
{
	struct span list = entry_member(there, "parentScopes");
	struct json_fault fault;
	struct json a = { 0 };
	size_t want = 1, have = 0;

	if (!scope || !strchr(scope, ' '))
		return false;
	while ((scope = strchr(scope, ' '))) {
		scope++;
		want++;
	}
	if (list.at && json_scan(list, &a, &fault) == 0 && a.kind == JSON_ARRAY)
		have = a.count;
	json_free(&a);
	return have < want;
}

enum entry_lock
entry_lock(const struct record *rec, const struct json *there)
{
	struct span status = entry_member(there, "status");
	struct span reason = entry_member(there, "statusReason");

	if (rec->edge != is_edge(there))
		return ENTRY_OTHER;
	if (!status.at || !json_string_is(status, "enabled"))
		return ENTRY_SHUT;
	return reason.at && json_same(reason, span_of(LOCK_REASON))
		   ? ENTRY_OURS
		   : ENTRY_OPEN;
}

/* want absent: whatever is there will do. */
static bool
same_section(struct span want, struct span have)
{
	struct buf a = BUF_INIT, b = BUF_INIT;
	bool same;

	if (!want.at)
		return true;
	entry_plain(want, &a);
	entry_plain(have.at ? have : span_of("{}"), &b);
	same = json_same(buf_peek(&a), buf_peek(&b));
	buf_free(&a);
	buf_free(&b);
	return same;
}

bool
entry_same_twin(const struct record *rec, const struct json *there)
{
	struct span none = { NULL, 0 };

	return same_section(part(rec, RECORD_TAGS),
		   there ? entry_member(there, "tags") : none) &&
	       same_section(section_of(&rec->json, "desired"),
		   there ? section_of(there, "desired") : none);
}

/* Has a section something beside what the service adds? */
static bool
has_more(const struct json *j, const struct json_member *section)
{
	size_t i = (size_t)(section - j->member) + 1;

	if (section->kind != JSON_OBJECT)
		return section->kind != JSON_NULL;
	while (i < section->next && is_service_made(j->member[i].name))
		i = j->member[i].next;
	return i < section->next;
}

bool
entry_has_twin(const struct record *rec, bool *reported)
{
	const struct json *j = &rec->json;
	const struct json_member *m = rec->known[RECORD_TAGS], *section;
	bool twin = m && has_more(j, m);

	if (j->levels < JSON_LEVELS)
		bug("a record of which too little is listed");
	*reported = false;
	m = rec->known[RECORD_PROPERTIES];
	if (!m || m->kind != JSON_OBJECT)
		return twin;
	for (size_t i = (size_t)(m - j->member) + 1; i < m->next;
	     i = section->next) {
		bool said;

		section = &j->member[i];
		said = json_name_is(section, "reported");
		if (!(said || json_name_is(section, "desired")) ||
		    !has_more(j, section))
			continue;
		twin = true;
		*reported |= said;
	}
	return twin;
}

bool
entry_reported_differs(const struct record *rec, const struct json *there)
{
	return !same_section(section_of(&rec->json, "reported"),
	    there ? section_of(there, "reported") : (struct span){ NULL, 0 });
}
