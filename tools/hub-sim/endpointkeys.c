/*
 * endpointkeys.c: the secrets of a hub's endpoints: connection strings taken
 * apart, what GET shows instead of a key, and what the hub keeps, so that a
 * masked endpoint that is sent back has its key again (CONTRACT 5.1).
 */
#include "iothubs.h"

#include <stdio.h>
#include <stdlib.h>

/* -- connection strings (CONTRACT 5.1) ----------------------------------- */

/* "A=b;C=d=e" as {"A":"b","C":"d=e"}. */
jv
string_parts(const char *text)
{
	jv out = jv_object();

	while (text && *text) {
		size_t n = strcspn(text, ";");
		const char *is = memchr(text, '=', n);

		if (is)
			out = jv_object_set(out,
			    jv_string_sized(text, (int)(is - text)),
			    jv_string_sized(is + 1, (int)(text + n - is - 1)));
		text += n + (text[n] == ';');
	}
	return out;
}

static const char *const bus_order[] = { "Endpoint", "SharedAccessKeyName",
	"SharedAccessKey", "EntityPath", NULL };
static const char *const storage_order[] = { "DefaultEndpointsProtocol",
	"EndpointSuffix", "BlobEndpoint", "FileEndpoint", "QueueEndpoint",
	"TableEndpoint", "AccountName", "AccountKey", NULL };

static void
add_part(struct buf *b, const char *name, jv value)
{
	const char *text = jv_string_peek(value);

	if (text)
		buf_printf(b, "%s%s=%s", b->len ? ";" : "", name, text);
	jv_free(value);
}

static jv
string_of(jv parts, const char *const *order)
{
	struct buf b = BUF_INIT;
	jv out;

	for (; *order; order++) {
		add_part(&b, *order, arm_member(parts, *order));
		parts = jv_without(parts, *order);
	}
	jv_object_foreach(parts, k, v) {
		add_part(&b, jv_string_value(k), v);
		jv_free(k);
	}
	jv_free(parts);
	out = jv_string(b.at ? b.at : "");
	buf_wipe(&b);
	return out;
}

/* What GET shows: masked, reordered, with port 5671. */
jv
string_masked(jv parts, bool storage)
{
	char *endpoint = arm_text(parts, "Endpoint");

	if (endpoint && strncmp(endpoint, "sb://", 5) == 0) {
		size_t n = 5 + strcspn(endpoint + 5, ":/");

		parts = jv_put(
		    parts, "Endpoint", jv_text("%.*s:5671/", (int)n, endpoint));
	}
	free(endpoint);
	parts = jv_put(
	    parts, storage ? "AccountKey" : "SharedAccessKey", jv_string(MASK));
	return string_of(parts, storage ? storage_order : bus_order);
}

/* -- what the hub keeps ------------------------------------------------------
 */

/* The stored secret of an endpoint of this hub; malloc'd or NULL. */
char *
secret_stored(struct draft *d, const char *endpoint, const char *member)
{
	sqlite3_stmt *q =
	    sim_sql(d->s, "SELECT value FROM secret"
			  " WHERE hub = ? AND endpoint = ? AND member = ?");
	char *hub = arm_lower(d->id->name[0]), *value = NULL;

	sim_bind(q, 1, hub);
	sim_bind(q, 2, endpoint);
	sim_bind(q, 3, member);
	if (sim_step(d->s, q) == SQLITE_ROW)
		value = span_dup(sim_column(q, 0));
	free(hub);
	return value;
}

void
secret_keep(struct draft *d, const char *endpoint, const char *name,
    const char *member, const char *value)
{
	d->secrets = jv_array_append(
	    d->secrets, JV_ARRAY(jv_string(endpoint), jv_string(name),
			    jv_string(member), jv_string(value)));
}

void
secrets_write(struct draft *d)
{
	char *hub = arm_lower(d->id->name[0]);
	sqlite3_stmt *q = sim_sql(d->s, "DELETE FROM secret WHERE hub = ?");

	sim_bind(q, 1, hub);
	(void)sim_step(d->s, q);
	jv_array_foreach(d->secrets, i, row) {
		q = sim_sql(d->s,
		    "INSERT OR REPLACE INTO secret VALUES (?, ?, ?, ?, ?)");
		sim_bind(q, 1, hub);
		for (int c = 0; c < 4; c++) {
			jv v = jv_array_get(jv_copy(row), c);

			sim_bind(q, 2 + c, jv_string_value(v));
			jv_free(v);
		}
		(void)sim_step(d->s, q);
		jv_free(row);
	}
	free(hub);
}

bool
secret_is_mask(const char *text)
{
	return text && *text && strspn(text, "*") == strlen(text);
}

/*
 * The key that a connection string holds, in the clear, or NULL where there
 * is none and one may be chosen (--from).  *bad: it was masked, and this hub
 * keeps none for it.
 */
char *
secret_unmask(struct draft *d, jv parts, const char *member,
    const char *endpoint, bool *bad)
{
	char *key = arm_text(parts, member), *kept;

	*bad = false;
	if (key && *key && !secret_is_mask(key))
		return key;
	free(key);
	kept = endpoint ? secret_stored(d, endpoint, member) : NULL;
	if (!kept)
		*bad = d->how != ARM_SEED &&
		       sim_doubt_is("masked-new-hub", "400116");
	return kept;
}
