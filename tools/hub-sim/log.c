/* log.c: see log.h. */
#include "log.h"

#include <strings.h>

/* sig and the like in a query are as good as a key. */
static void
log_query(struct buf *line, const char *query)
{
	struct buf text = BUF_INIT;

	while (*query) {
		size_t len = strcspn(query, "&"), name = strcspn(query, "=&");

		if (name < len &&
		    ((name == 3 && strncasecmp(query, "sig", 3) == 0) ||
			(name == 4 && strncasecmp(query, "code", 4) == 0))) {
			buf_add(&text, query, name);
			buf_text(&text, "=****");
		} else {
			buf_add(&text, query, len);
		}
		query += len;
		if (*query == '&') {
			buf_char(&text, '&');
			query++;
		}
	}
	buf_json(line, text.at ? text.at : "", text.len);
	buf_free(&text);
}

int
log_request(FILE *log, const struct sim *s, const struct sim_request *q,
    int status, const struct fault *f)
{
	struct buf line = BUF_INIT;
	char when[32];
	bool bad;

	sim_iso_time(sim_now(s), when);
	buf_printf(&line, "{\"time\":\"%s\",\"host\":", when);
	buf_json(&line, q->host, strlen(q->host));
	buf_text(&line, ",\"method\":");
	buf_json(&line, q->method, strlen(q->method));
	buf_text(&line, ",\"path\":");
	buf_json(&line, q->path, strlen(q->path));
	buf_text(&line, ",\"query\":");
	log_query(&line, q->query);
	if (status)
		buf_printf(&line, ",\"status\":%d", status);
	else
		buf_text(&line, ",\"status\":null");
	if (f) {
		buf_text(&line, ",\"fault\":");
		buf_json(&line, f->text, strlen(f->text));
	}
	buf_text(&line, "}\n");
	bad = fwrite(line.at, 1, line.len, log) != line.len;
	buf_free(&line);
	return bad ? -1 : 0;
}
