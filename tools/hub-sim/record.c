/* record.c: see record.h. */
#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { BODY_MAX = 1 << 20 };

FILE *
record_open(void)
{
	const char *folder = getenv("HUB_SIM_RECORD");
	char *path;
	FILE *file;
	int fd;

	if (!folder || !*folder)
		return NULL;
	path = xasprintf("%s/XXXXXX.jsonl", folder);
	fd = mkostemps(path, 6, O_APPEND | O_CLOEXEC);
	if (fd == -1 || !(file = fdopen(fd, "a")))
		die(LOCAL_FAILURE, folder, "no record can be made there: %s",
		    strerror(errno));
	free(path);
	return file;
}

static void
member(struct buf *line, const char *name, const char *text, size_t len)
{
	buf_printf(line, ",\"%s\":", name);
	buf_json(line, text ? text : "", len);
}

void
record_exchange(FILE *record, const struct sim_request *q,
    const struct sim_reply *r, const char *fault)
{
	static const char *const kept[] = { "content-type", "if-match",
		"x-ms-max-item-count", "x-ms-continuation", "user-agent",
		"x-ms-client-request-id" };
	struct buf line = BUF_INIT;

	buf_text(&line, "{\"host\":");
	buf_json(&line, q->host, strlen(q->host));
	member(&line, "method", q->method, strlen(q->method));
	member(&line, "path", q->path, strlen(q->path));
	member(&line, "query", q->query, strlen(q->query));
	for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
		const char *value = q->header(q, kept[i]);

		if (value)
			member(&line, kept[i], value, strlen(value));
	}
	if (q->body.len <= BODY_MAX)
		member(&line, "request", q->body.at, q->body.len);
	buf_printf(&line, ",\"status\":%d", r->status);
	member(&line, "head", r->head.at, r->head.len);
	member(&line, "type", r->content_type ? r->content_type : "",
	    r->content_type ? strlen(r->content_type) : 0);
	if (!r->stream && r->body.len <= BODY_MAX)
		member(&line, "reply", r->body.at, r->body.len);
	if (fault)
		member(&line, "fault", fault, strlen(fault));
	buf_text(&line, "}\n");
	if (fwrite(line.at, 1, line.len, record) != line.len || fflush(record))
		die(LOCAL_FAILURE, "HUB_SIM_RECORD", "write failed: %s",
		    strerror(errno));
	buf_wipe(&line);
}
