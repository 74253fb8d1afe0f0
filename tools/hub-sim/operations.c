/*
 * operations.c: long-running operations: what a client polls, and for how long
 * (CONTRACT 3.2).  What one ends with is known when it begins.
 */
#include "arm.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

long
arm_count_up(struct sim *s, const char *name)
{
	sqlite3_stmt *q = sim_sql(s,
	    "INSERT INTO counter VALUES (?, 1)"
	    " ON CONFLICT (name) DO UPDATE SET n = n + 1 RETURNING n");
	long n = 0;

	sim_bind(q, 1, name);
	if (sim_step(s, q) == SQLITE_ROW)
		n = (long)sqlite3_column_int64(q, 0);
	while (sim_step(s, q) == SQLITE_ROW)
		;
	return n;
}

void
arm_retry_header(struct sim_reply *r)
{
	if (sim_doubt_is("lro-retry-after", "ms"))
		sim_head(r, "x-ms-retry-after-ms", "20");
	else if (sim_doubt_is("lro-retry-after", "seconds"))
		sim_head(r, "Retry-After", "1");
}

static void
operation_headers(const struct sim_request *q, struct sim_reply *r,
    const char *base, const char *id, bool async, bool location)
{
	char *api = sim_query(q, "api-version");
	const char *last = strrchr(base, '/');
	bool results = last && strcasecmp(last, "/operationresults") == 0;
	bool hub = strcasestr(base, "/providers/Microsoft.Devices/") != NULL;
	const char *source = hub ? "&operationSource=os_ih" : "";

	if (async)
		sim_head(r, "Azure-AsyncOperation",
		    "https://%s%s/%s?api-version=%s%s%s", sim_authority(q),
		    base, id, api ? api : "", source,
		    results ? "&asyncinfo" : "");
	if (location && results)
		sim_head(r, "Location", "https://%s%s/%s?api-version=%s%s",
		    sim_authority(q), base, id, api ? api : "", source);
	else if (location)
		sim_head(r, "Location",
		    "https://%s/subscriptions/" SIM_SUBSCRIPTION
		    "/operationresults/%s?api-version=%s",
		    sim_authority(q), id, api ? api : "");
	free(api);
}

/* result: null (nothing), the final body, {"error":...}, or a failure. */
void
arm_operation(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    int status, const char *base, jv result, bool async, bool location)
{
	struct buf id = BUF_INIT;
	char *words, text[48], guid[37];
	sqlite3_stmt *put;
	int final = 200;

	words = xasprintf("operation/%ld", arm_count_up(s, "operation"));
	sim_guid(s, words, guid);
	free(words);
	(void)snprintf(text, sizeof text, "os_ih_%s", guid);
	buf_base64(&id, text, strlen(text));
	while (id.at[id.len - 1] == '=')
		id.at[--id.len] = '\0';
	if (!jv_is_valid(result)) {
		jv e = jv_invalid_get_msg(result);
		jv n = jv_at(jv_copy(e), "status");

		if (jv_get_kind(n) == JV_KIND_NUMBER)
			final = (int)jv_number_value(n);
		jv_free(n);
		result = jv_at(e, "body");
	} else if (jv_get_kind(result) == JV_KIND_OBJECT &&
		   jv_object_has(jv_copy(result), jv_string("error")) &&
		   jv_object_length(jv_copy(result)) == 1)
		final = 409;
	put = sim_sql(s, "INSERT INTO operation VALUES (?, ?, ?, ?)");
	sim_bind(put, 1, id.at);
	(void)sqlite3_bind_int64(put, 2, sim_now(s) + s->operation_ms);
	(void)sqlite3_bind_int(put, 3, final);
	arm_bind(put, 4, result);
	(void)sim_step(s, put);
	r->status = status;
	operation_headers(q, r, base, id.at, async, location);
	arm_retry_header(r);
	buf_free(&id);
}

/* The error that an operation ends with: the provider's flat form becomes the
 * two members that every client reads. */
static jv
error_of(jv body)
{
	jv e = jv_at(jv_copy(body), "error"), code;

	if (jv_get_kind(e) == JV_KIND_OBJECT) {
		jv_free(body);
		return e;
	}
	jv_free(e);
	code = jv_at(jv_copy(body), "code");
	if (jv_get_kind(code) == JV_KIND_NUMBER)
		code = jv_dump_string(code, 0);
	return jv_put(jv_put(jv_object(), "code", code), "message",
	    jv_at(body, "message"));
}

/* false: there is no such operation. */
bool
operation_poll(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    const char *place, const char *id)
{
	sqlite3_stmt *get =
	    sim_sql(s, "SELECT over, status, body FROM operation WHERE id = ?");
	bool async = strcasecmp(place, "operationresults") != 0 ||
		     strstr(q->query, "asyncinfo");
	int final;
	jv body;

	sim_bind(get, 1, id);
	if (sim_step(s, get) != SQLITE_ROW)
		return false;
	if (sim_now(s) < sqlite3_column_int64(get, 0)) {
		arm_retry_header(r);
		if (async) {
			arm_answer(r, 200,
			    jv_put(
				jv_object(), "status", jv_string("Running")));
			return true;
		}
		sim_head(r, "Location", "https://%s%s?%s", sim_authority(q),
		    q->path, q->query);
		arm_answer(r, 202, jv_null());
		return true;
	}
	final = sqlite3_column_int(get, 1);
	body = arm_column(get, 2);
	if (!async)
		arm_answer(r, final, body);
	else if (final < 400) {
		jv_free(body);
		arm_answer(r, 200,
		    jv_put(jv_object(), "status", jv_string("Succeeded")));
	} else
		arm_answer(r, 200,
		    jv_put(jv_put(jv_object(), "status", jv_string("Failed")),
			"error", error_of(body)));
	return true;
}
