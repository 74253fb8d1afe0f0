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

int64_t
arm_lasts(const struct sim *s, enum arm_work work)
{
	static const int64_t real[] = { [WORK_OTHER] = 10000,
		[WORK_CREATE] = 165000,
		[WORK_UPDATE] = 45000,
		[WORK_DELETE] = 50000,
		[WORK_FAILOVER] = 570000,
		[WORK_CHILD] = 3000 };

	if (s->real_times && !s->operation_given)
		return real[work];
	/* So short that one client never meets its own. */
	return work == WORK_CHILD ? s->operation_ms / 10 : s->operation_ms;
}

/* When to ask again: real time, as the client's clock runs. */
static void
retry_in(struct sim_reply *r, int64_t ms)
{
	if (sim_doubt_is("lro-retry-after", "ms"))
		sim_head(r, "x-ms-retry-after-ms", "%lld", (long long)ms);
	else if (sim_doubt_is("lro-retry-after", "seconds"))
		sim_head(
		    r, "Retry-After", "%lld", (long long)(ms + 999) / 1000);
}

/* Ten simulated seconds while operations take minutes. */
void
arm_retry_long(const struct sim *s, struct sim_reply *r)
{
	int64_t ms = s->real_times && !s->operation_given
			 ? (int64_t)(10000 / s->speed)
			 : 20;

	retry_in(r, ms < 20 ? 20 : ms);
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

/* Base64 of os_ih_GUID, or of more in newer recordings (CONTRACT 3.2). */
static void
next_id(struct sim *s, const char *base, struct buf *out)
{
	char *words = xasprintf("operation/%ld", arm_count_up(s, "operation"));
	const char *region = strcasestr(base, "/locations/");
	char guid[37], *text;

	sim_guid(s, words, guid);
	free(words);
	if (region && sim_doubt_is("operation-id", "region"))
		text = xasprintf("id=os_ih_%s;region=%.*s", guid,
		    (int)strcspn(region + 11, "/"), region + 11);
	else
		text = xasprintf("os_ih_%s", guid);
	buf_base64(out, text, strlen(text));
	while (out->at[out->len - 1] == '=')
		out->at[--out->len] = '\0';
	free(text);
}

/* result: null (nothing), the final body, {"error":...}, or a failure. */
void
arm_operation_for(struct sim *s, const struct sim_request *q,
    struct sim_reply *r, int status, const char *base, jv result, bool async,
    bool location, int64_t lasts)
{
	struct buf id = BUF_INIT;
	sqlite3_stmt *put;
	int final = 200;

	next_id(s, base, &id);
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
	(void)sqlite3_bind_int64(put, 2, sim_now(s) + lasts);
	(void)sqlite3_bind_int(put, 3, final);
	arm_bind(put, 4, result);
	(void)sim_step(s, put);
	r->status = status;
	operation_headers(q, r, base, id.at, async, location);
	arm_retry_long(s, r);
	buf_free(&id);
}

void
arm_operation(struct sim *s, const struct sim_request *q, struct sim_reply *r,
    int status, const char *base, jv result, bool async, bool location)
{
	arm_operation_for(s, q, r, status, base, result, async, location,
	    arm_lasts(s, WORK_OTHER));
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

/* What a synchronous answer would have been; the hub provider says once more
 * where it was found (CONTRACT 3.2). */
static void
answer_done(
    const struct sim_request *q, struct sim_reply *r, int status, jv body)
{
	if (strcasestr(q->path, "/providers/Microsoft.Devices/"))
		sim_head(r, "Location", "https://%s%s?%s", sim_authority(q),
		    q->path, q->query);
	arm_answer(r, status, body);
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
		arm_retry_long(s, r);
		if (async) {
			arm_answer(r, 200,
			    jv_put(jv_object(), "status",
				/* in Cosmos DB's words */
				jv_string(
				    strcasecmp(place, "operationsStatus") == 0
					? "Enqueued"
					: "Running")));
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
		answer_done(q, r, final, body);
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
