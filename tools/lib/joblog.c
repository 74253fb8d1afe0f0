/* joblog.c: what an import could not apply; see joblog.h. */
#include "joblog.h"

#include <stdlib.h>

#include "hub.h"
#include "jobroom.h"
#include "json.h"

/* "Invalid device format in line: {...}. Error converting value ...": the line
 * and what is said of it, each malloc'd. */
static void
split_status(const char *status, char **text, char **line)
{
	const char *at = strstr(status, " in line: "), *end = NULL, *p;

	*line = NULL;
	if (!at) {
		*text = xstrdup(status);
		return;
	}
	at += strlen(" in line: ");
	/* The last sentence is the reason; a line may hold such ends too. */
	for (p = strstr(at, ". "); p; p = strstr(p + 1, ". "))
		if (!end || p[-1] == '}')
			end = p;
	*line = end ? xstrndup(at, (size_t)(end - at)) : xstrdup(at);
	*text = xasprintf("%.*s%s%s", (int)(at - status - 10), status,
	    end ? ": " : "", end ? end + 2 : "");
}

static void
say_error(struct span text, joblog_said *said, void *ctx)
{
	char *id = job_text(text, "deviceId"),
	     *module = job_text(text, "moduleId"),
	     *configuration = job_text(text, "configurationId"),
	     *status = job_text(text, "errorStatus"), *words, *line;
	struct joblog_error error = { id, module, configuration,
		job_number(text, "errorCode"), "", "", NULL };

	if (!id)
		error.id = id = job_text(text, "id");
	split_status(status ? status : "", &words, &line);
	error.name = hub_error_name(error.code);
	error.text = words;
	error.line = line;
	said(ctx, &error);
	free(id);
	free(module);
	free(configuration);
	free(status);
	free(words);
	free(line);
}

static int
read_lines(struct blob_reader *r, const char *blob, joblog_said *said,
    void *ctx, struct err *e)
{
	struct line line;
	enum lines_got got;

	while ((got = blob_read_line(r, &line, e)) > 0) {
		struct json scanned = { 0 };
		struct json_fault fault;
		int rc;

		if (got == LINES_LINE && span_is_blank(line.text))
			continue;
		rc = got == LINES_LINE ? json_scan(line.text, &scanned, &fault)
				       : -1;
		if (rc == 0 && scanned.kind != JSON_OBJECT)
			rc = -1;
		json_free(&scanned);
		if (rc != 0)
			return err_set(e, REMOTE_REFUSED, blob,
			    "line %ld of the log is no JSON object",
			    line.number);
		say_error(line.text, said, ctx);
	}
	return got == LINES_END ? 0 : -1;
}

int
joblog_read(struct storage *s, const char *container, const char *blob,
    joblog_said *said, void *ctx, bool *found, struct err *e)
{
	struct blob_reader *r = blob_read(s, container, blob, 0, e);
	int rc;

	/* A hub that does not heed the name of the log. */
	if (!r && e->status == ANSWER_NO &&
	    strcmp(blob, JOBLOG_CONFIGURATIONS) != 0)
		r = blob_read(s, container, "importErrors.log", 0, e);
	*found = r != NULL;
	if (!r)
		return e->status == ANSWER_NO ? 0 : -1;
	rc = read_lines(r, blob, said, ctx, e);
	blob_read_close(r);
	return rc;
}
