/* log.c: see log.h. */
#include "log.h"

#include <stdlib.h>
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

static void
member(struct buf *line, const char *name, const char *text)
{
	buf_printf(line, ",\"%s\":", name);
	if (text)
		buf_json(line, text, strlen(text));
	else
		buf_text(line, "null");
}

/* The policy that a SharedAccessSignature names, the account of a SharedKey,
 * "sas" for a signed URL, the client of a token that is good: what is said,
 * not what was found true, but for the last. */
static char *
who(struct sim *s, const struct sim_request *q)
{
	const char *auth = q->header(q, "authorization"), *client, *audience;
	char *sig, *name = NULL;

	if (!auth) {
		sig = sim_query(q, "sig");
		name = sig ? sim_query(q, "si") : NULL;
		if (sig && !name)
			name = xstrdup("sas");
		free(sig);
	} else if (strncasecmp(auth, "SharedAccessSignature ", 22) == 0) {
		name = sim_form(span_of(auth + 22), "skn");
	} else if (strncasecmp(auth, "SharedKey ", 10) == 0) {
		name = xstrndup(auth + 10, strcspn(auth + 10, ":"));
	} else if (entra_bearer(s, q, &client, &audience) == 0 && client) {
		name = xstrdup(client);
	}
	return name;
}

int
log_request(FILE *log, struct sim *s, const struct log_line *l)
{
	static const struct sim_request nothing = {
		.method = "", .host = "", .path = "", .query = ""
	};
	const struct sim_request *q = l->q ? l->q : &nothing;
	struct buf line = BUF_INIT;
	char when[32], *name = l->q ? who(s, q) : NULL;
	bool bad;

	sim_iso_time(sim_now(s), when);
	buf_printf(&line, "{\"time\":\"%s\"", when);
	member(&line, "host", q->host);
	member(&line, "method", q->method);
	member(&line, "path", q->path);
	buf_text(&line, ",\"query\":");
	log_query(&line, q->query);
	if (l->status)
		buf_printf(&line, ",\"status\":%d", l->status);
	else
		buf_text(&line, ",\"status\":null");
	buf_printf(&line, ",\"in\":%llu,\"out\":%llu,\"ms\":%.3f",
	    (unsigned long long)l->in, (unsigned long long)l->out, l->ms);
	member(&line, "who", name);
	member(&line, "id", l->id);
	if (l->fault)
		member(&line, "fault", l->fault);
	buf_text(&line, "}\n");
	bad = fwrite(line.at, 1, line.len, log) != line.len;
	buf_free(&line);
	free(name);
	return bad ? -1 : 0;
}
