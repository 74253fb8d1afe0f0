/* importlog.c: lines of importErrors.log; see importlog.h. */
#include "importlog.h"

#include <stdio.h>
#include <stdlib.h>

#include "bulk.h"
#include "record.h"

/* The object at the start of a text; .at NULL if it does not end there. */
static struct span
object_at(const char *text)
{
	long depth = 0;
	bool quoted = false;

	for (const char *p = text; *p; p++) {
		if (quoted) {
			if (*p == '\\' && p[1])
				p++;
			else if (*p == '"')
				quoted = false;
		} else if (*p == '"') {
			quoted = true;
		} else if (*p == '{' || *p == '[') {
			depth++;
		} else if ((*p == '}' || *p == ']') && --depth == 0) {
			return (struct span){ text, (size_t)(p - text) + 1 };
		}
	}
	return (struct span){ NULL, 0 };
}

/* "Invalid device format in line: {...}. Error converting ..." */
static void
take_quoted(const char *text, struct importlog_line *into)
{
	const char *from = strchr(text, '{');
	struct span object = { NULL, 0 };
	struct record rec = { 0 };
	struct err e;

	if (from)
		object = object_at(from);
	if (object.at && record_read(object, &rec, &e) == 0) {
		into->id = xstrdup(rec.id);
		into->module = rec.module ? xstrdup(rec.module) : NULL;
	}
	record_free(&rec);
}

static char *
text_of(const struct json *j, const char *name)
{
	struct span value = entry_member(j, name);

	return value.at && value.len > 2 ? json_string(value) : NULL;
}

int
importlog_read(struct span line, struct importlog_line *into)
{
	struct json j = { 0 };
	struct json_fault fault;
	struct span code;
	char *word, *whole;
	int rc = -1;

	*into = (struct importlog_line){ 0 };
	if (json_scan(line, &j, &fault) || j.kind != JSON_OBJECT)
		goto out;
	code = entry_member(&j, "errorCode");
	into->id = text_of(&j, "deviceId");
	into->module = text_of(&j, "moduleId");
	word = !code.at          ? NULL
	       : *code.at == '"' ? json_string(code)
				 : span_dup(code);
	(void)snprintf(
	    into->code, sizeof into->code, "%s", word ? word : "ImportError");
	free(word);
	whole = text_of(&j, "errorStatus");
	if (whole && !into->id)
		take_quoted(whole, into);
	free(whole);
	into->text = bulk_plain_text(entry_member(&j, "errorStatus"));
	rc = 0;
out:
	json_free(&j);
	return rc;
}

void
importlog_free(struct importlog_line *line)
{
	free(line->id);
	free(line->module);
	free(line->text);
	*line = (struct importlog_line){ 0 };
}
