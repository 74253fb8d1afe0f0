/* record.c: records and outcomes; see record.h. */
#include "record.h"

#include <stdlib.h>
#include <strings.h>

enum { ID_MAX = 128 }; /* CONTRACT 1 */

/* By number: CONTRACT 16.3. */
static const char *const modes[] = {
	[RECORD_CREATE_OR_UPDATE] = "createOrUpdate",
	[RECORD_CREATE] = "create",
	[RECORD_UPDATE] = "update",
	[RECORD_UPDATE_IF_MATCH] = "updateIfMatchETag",
	[RECORD_CREATE_OR_UPDATE_IF_MATCH] = "createOrUpdateIfMatchETag",
	[RECORD_DELETE] = "delete",
	[RECORD_DELETE_IF_MATCH] = "deleteIfMatchETag",
	[RECORD_UPDATE_TWIN] = "updateTwin",
	[RECORD_UPDATE_TWIN_IF_MATCH] = "updateTwinIfMatchETag",
};
enum { MODES = sizeof modes / sizeof *modes };

#define SPELT(name)                      \
	{                                \
		(name), sizeof(name) + 1 \
	}
/* None of them may be there twice. */
static const struct {
	const char *name;
	size_t len; /* with its quotes */
} known[RECORD_OTHER] = {
	[RECORD_ID] = SPELT("id"),
	[RECORD_MODULE] = SPELT("moduleId"),
	[RECORD_ETAG] = SPELT("eTag"),
	[RECORD_MODE] = SPELT("importMode"),
	[RECORD_STATUS] = SPELT("status"),
	[RECORD_REASON] = SPELT("statusReason"),
	[RECORD_AUTHENTICATION] = SPELT("authentication"),
	[RECORD_TWIN_ETAG] = SPELT("twinETag"),
	[RECORD_TAGS] = SPELT("tags"),
	[RECORD_PROPERTIES] = SPELT("properties"),
	[RECORD_CAPABILITIES] = SPELT("capabilities"),
	[RECORD_SCOPE] = SPELT("deviceScope"),
	[RECORD_PARENTS] = SPELT("parentScopes"),
	[RECORD_MANAGED] = SPELT("managedBy"),
};

int
record_mode_of(const char *text)
{
	if (text[0] >= '0' && text[0] < '0' + MODES && !text[1])
		return text[0] - '0';
	for (int i = 0; i < MODES; i++)
		if (strcasecmp(modes[i], text) == 0)
			return i;
	return -1;
}

const char *
record_mode_name(enum record_mode m)
{
	return modes[m];
}

/* Its wording is not known (CONTRACT 16.3); what it must speak of is. */
bool
record_is_comment(struct span line)
{
	static const char *const words[] = { "warn", "key", "auth", "exclu",
		"secret", "credential" };
	char text[512];
	size_t n;

	while (line.len && (*line.at == ' ' || *line.at == '\t')) {
		line.at++;
		line.len--;
	}
	n = line.len < sizeof text ? line.len : sizeof text - 1;
	if (!n || strchr("{[\"", *line.at) || !*line.at)
		return false;
	memcpy(text, line.at, n);
	text[n] = '\0';
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (strcasestr(text, words[i]))
			return true;
	return *text == '#';
}

/* Letters, digits and -.+%_#*?!(),=@$':; as bits, 32 a word. */
static bool
is_id_char(unsigned char c)
{
	static const uint32_t allowed[8] = { 0, 0xafff7fba, 0x87ffffff,
		0x7fffffe };

	return allowed[c >> 5] >> (c & 31) & 1;
}

/* CONTRACT 1: device and module ids. */
static char *
read_id(const struct json_member *m, const char *what, struct err *e)
{
	struct span s = { m->value.at + 1, m->value.len - 2 };
	size_t n = 0;
	char *id;

	if (m->kind != JSON_STRING) {
		err_set(e, BAD_DATA, NULL, "%s is no string", what);
		return NULL;
	}
	while (n < s.len && is_id_char((unsigned char)s.at[n]))
		n++;
	if (n == s.len && n > 0 && n <= ID_MAX)
		return span_dup(s); /* nearly always */
	id = json_string(m->value);
	if (!id || !*id || strlen(id) > ID_MAX) {
		err_set(e, BAD_DATA, NULL,
		    "%s is empty, longer than %d, or no text", what, ID_MAX);
		free(id);
		return NULL;
	}
	for (const char *c = id; *c; c++)
		if (!is_id_char((unsigned char)*c)) {
			err_set(e, BAD_DATA, NULL,
			    "%s has a character that the service does not "
			    "allow, at %zu",
			    what, (size_t)(c - id) + 1);
			free(id);
			return NULL;
		}
	return id;
}

static int
read_mode(const struct json_member *m, struct record *rec, struct err *e)
{
	char *text;
	int mode = -1;

	if (m->kind == JSON_NULL)
		return 0;
	text =
	    m->kind == JSON_NUMBER ? span_dup(m->value) : json_string(m->value);
	if (text)
		mode = record_mode_of(text);
	free(text);
	if (mode < 0)
		return err_set(e, BAD_DATA, NULL, "unknown importMode");
	rec->mode = (enum record_mode)mode;
	return 0;
}

static int
read_status(const struct json_member *m, struct record *rec, struct err *e)
{
	char *text;
	int n = -1;

	/* Nearly all of them. */
	if (m->kind == JSON_NULL || span_is(m->value, "\"enabled\""))
		return 0;
	text = json_string(m->value);
	if (text) {
		rec->disabled = strcasecmp(text, "disabled") == 0;
		n = rec->disabled || strcasecmp(text, "enabled") == 0 ? 0 : -1;
	}
	free(text);
	if (n < 0)
		return err_set(e, BAD_DATA, NULL,
		    "status is neither enabled nor disabled");
	return 0;
}

static int
read_capabilities(
    const struct json_member *m, struct record *rec, struct err *e)
{
	static const char *const path[] = { "iotEdge", NULL };
	enum json_kind kind;
	struct span value;
	int found = json_get(m->value, path, &value, &kind);

	if (found < 0)
		return err_set(
		    e, BAD_DATA, NULL, "capabilities.iotEdge is there twice");
	rec->edge = found && kind == JSON_TRUE;
	return 0;
}

static int
read_member(enum record_member which, const struct json_member *m,
    struct record *rec, struct err *e)
{
	switch (which) {
	case RECORD_ID:
		rec->id = read_id(m, "id", e);
		return rec->id ? 0 : -1;
	case RECORD_MODULE:
		if (m->kind == JSON_NULL)
			return 0;
		rec->module = read_id(m, "moduleId", e);
		return rec->module ? 0 : -1;
	case RECORD_MODE:
		return read_mode(m, rec, e);
	case RECORD_STATUS:
		return read_status(m, rec, e);
	case RECORD_CAPABILITIES:
		return read_capabilities(m, rec, e);
	default:
		return 0; /* is read where it is needed */
	}
}

static enum record_member
member_of_escaped(struct span name)
{
	unsigned i = 0;

	while (i < RECORD_OTHER && !json_string_is(name, known[i].name))
		i++;
	return (enum record_member)i;
}

/* Which one has that name, with its quotes, as spelt?  Looks first at the one
 * that comes after `before`. */
static enum record_member
member_of(struct span name, enum record_member before)
{
	for (unsigned n = 0, i = before + 1; n < RECORD_OTHER; n++, i++) {
		if (i >= RECORD_OTHER)
			i = 0;
		if (name.len == known[i].len && name.at[1] == *known[i].name &&
		    !memcmp(name.at + 1, known[i].name, name.len - 2))
			return (enum record_member)i;
	}
	if (memchr(name.at, '\\', name.len))
		return member_of_escaped(name);
	return RECORD_OTHER;
}

static void
forget(struct record *rec)
{
	free(rec->id);
	free(rec->module);
	rec->id = rec->module = NULL;
	rec->mode = RECORD_CREATE_OR_UPDATE;
	rec->edge = rec->disabled = rec->system_module = false;
	memset(rec->known, 0, sizeof rec->known);
}

int
record_read(struct span line, struct record *rec, struct err *e)
{
	struct json_fault fault;
	enum record_member k = RECORD_OTHER;

	forget(rec);
	if (json_scan(line, &rec->json, &fault))
		return err_set(e, BAD_DATA, NULL, "no JSON: %s at byte %zu",
		    fault.reason, fault.offset + 1);
	if (rec->json.kind != JSON_OBJECT)
		return err_set(e, BAD_DATA, NULL, "no object");
	for (size_t i = 0; i < rec->json.count;) {
		const struct json_member *m = &rec->json.member[i];

		i = m->next;
		k = member_of(m->name, k);
		if (k == RECORD_OTHER)
			continue;
		if (rec->known[k])
			return err_set(e, BAD_DATA, NULL, "%s is there twice",
			    known[k].name);
		rec->known[k] = m;
		if (read_member(k, m, rec, e))
			return -1;
	}
	if (!rec->id)
		return err_set(e, BAD_DATA, NULL, "no id");
	rec->system_module = rec->module && *rec->module == '$';
	return 0;
}

void
record_free(struct record *rec)
{
	forget(rec);
	json_free(&rec->json);
}

static void
add_text(struct buf *b, const char *name, const char *text)
{
	if (!text)
		return;
	buf_printf(b, ",\"%s\":", name);
	buf_json(b, text, strlen(text));
}

void
outcome_text(const struct outcome *what, struct buf *into)
{
	buf_printf(into, "{\"line\":%ld", what->line);
	add_text(into, "id", what->id);
	add_text(into, "moduleId", what->module);
	add_text(into, "tried", what->tried);
	add_text(into, "code", what->code);
	add_text(into, "message", what->text);
	buf_printf(into, ",\"retry\":%s}\n", what->retry ? "true" : "false");
}

void
outcome_write(struct out *o, const struct outcome *what)
{
	struct buf b = BUF_INIT;

	outcome_text(what, &b);
	out_span(o, buf_peek(&b));
	buf_free(&b);
}
