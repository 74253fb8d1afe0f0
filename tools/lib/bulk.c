/* bulk.c: answers to bulk calls; see bulk.h. */
#include "bulk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "entry.h"

void
bulk_free(struct bulk_answer *a)
{
	for (size_t i = 0; i < a->count; i++) {
		free(a->error[i].id);
		free(a->error[i].module);
		free(a->error[i].text);
	}
	free(a->error);
	*a = (struct bulk_answer){ 0 };
}

/* A name in the specification, a number in import logs: both are taken. */
static enum bulk_says
meaning(const char *code)
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

/* The service may quote the entry, and the entry holds keys. */
static char *
without_entry(struct span text)
{
	char *s = text.at ? json_string(text) : NULL;

	if (s)
		s[strcspn(s, "{\r\n")] = '\0';
	return s;
}

static int
read_list(struct span list, bool warnings, struct bulk_answer *into)
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
		struct bulk_error *e = &into->error[into->count++];
		struct span id, module, code;
		char *word;

		(void)json_scan(a.member[i].value, &one, &fault);
		id = entry_member(&one, "deviceId");
		module = entry_member(&one, "moduleId");
		code =
		    entry_member(&one, warnings ? "warningCode" : "errorCode");
		*e = (struct bulk_error){ 0 };
		e->id = id.at ? json_string(id) : NULL;
		e->module =
		    module.at && module.len > 2 ? json_string(module) : NULL;
		word = !code.at          ? NULL
		       : *code.at == '"' ? json_string(code)
					 : span_dup(code);
		(void)snprintf(e->code, sizeof e->code, "%s", word ? word : "");
		free(word);
		e->text = without_entry(entry_member(
		    &one, warnings ? "warningStatus" : "errorStatus"));
		e->says = warnings ? BULK_LOOK : meaning(e->code);
	}
	json_free(&a);
	json_free(&one);
	return 0;
}

int
bulk_read(struct span body, struct bulk_answer *into)
{
	struct json_fault fault;
	struct json j = { 0 };
	struct span ok;
	int rc = -1;

	bulk_free(into);
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
