/*
 * policies.c: the access policies of a hub and their keys (CONTRACT 4.3).
 */
#include "iothubs.h"

#include <stdlib.h>
#include <strings.h>

static const struct {
	const char *name, *rights;
} default_policies[] = {
	{ "iothubowner", "RegistryWrite, ServiceConnect, DeviceConnect" },
	{ "service", "ServiceConnect" },
	{ "device", "DeviceConnect" },
	{ "registryRead", "RegistryRead" },
	{ "registryReadWrite", "RegistryWrite" },
};

static char *
policy_key(struct sim *s, const char *hub, const char *name, const char *which)
{
	char *words = xasprintf("hub/%s/%s/%s", hub, name, which);
	struct buf key = BUF_INIT;

	sim_key(s, words, 32, &key);
	free(words);
	return key.at;
}

static void
add_policy(struct sim *s, const char *hub, int place, const char *name,
    const char *first, const char *second, const char *rights)
{
	sqlite3_stmt *q = sim_sql(
	    s, "INSERT OR REPLACE INTO policy VALUES (?, ?, ?, ?, ?, ?)");
	char *one = first && *first ? xstrdup(first)
				    : policy_key(s, hub, name, "primary"),
	     *two = second && *second ? xstrdup(second)
				      : policy_key(s, hub, name, "secondary");

	sim_bind(q, 1, hub);
	(void)sqlite3_bind_int(q, 2, place);
	sim_bind(q, 3, name);
	sim_bind(q, 4, one);
	sim_bind(q, 5, two);
	sim_bind(q, 6, rights);
	(void)sim_step(s, q);
	free(one);
	free(two);
}

/* Where none is given, one is made. */
static bool
no_key(const char *text)
{
	return text && *text && !sim_key_good(text);
}

static const char *
bad_rights(const char *rights)
{
	static const char *const known[] = { "RegistryRead", "RegistryWrite",
		"ServiceConnect", "DeviceConnect", NULL };
	size_t n;

	for (; *rights; rights += n) {
		const char *const *k = known;

		rights += strspn(rights, ", ");
		n = strcspn(rights, ", ");
		while (n && *k &&
		       (strlen(*k) != n || strncasecmp(*k, rights, n) != 0))
			k++;
		if (n && !*k)
			return rights;
	}
	return NULL;
}

void
policies_check(struct draft *d, jv given)
{
	jv seen = jv_object();

	if (jv_array_length(jv_copy(given)) > 16)
		draft_refuse(
		    d, 400000, "A hub has at most 16 access policies.");
	jv_array_foreach(given, i, one) {
		char *name = arm_text(one, "keyName"),
		     *rights = arm_text(one, "rights"),
		     *first = arm_text(one, "primaryKey"),
		     *second = arm_text(one, "secondaryKey");

		if (!hub_name_good(name) || arm_has(seen, name))
			draft_refuse(d, 400000,
			    "'%s' is not a valid name of an access policy, or "
			    "is there twice.",
			    name ? name : "");
		else if (!rights || !*rights || bad_rights(rights))
			draft_refuse(d, 400000,
			    "The access policy '%s' has no valid rights.",
			    name);
		else if (no_key(first) || no_key(second))
			draft_refuse(d, 400000,
			    "A key of the access policy '%s' is no base64 text "
			    "of 16 to 64 bytes.",
			    name);
		if (name)
			seen = jv_put(seen, name, jv_true());
		free(name);
		free(rights);
		free(first);
		free(second);
		jv_free(one);
	}
	jv_free(seen);
}

/* given: null where the member was absent. */
void
policies_write(struct draft *d, jv given)
{
	bool fresh = jv_get_kind(d->old) == JV_KIND_NULL;
	char *hub = arm_lower(d->id->name[0]);
	int place = 0;
	sqlite3_stmt *q;

	if (jv_get_kind(given) != JV_KIND_ARRAY && !fresh &&
	    !sim_doubt_is("policies-without-member", "defaults"))
		goto out;
	q = sim_sql(d->s, "DELETE FROM policy WHERE hub = ?");
	sim_bind(q, 1, hub);
	(void)sim_step(d->s, q);
	if (jv_get_kind(given) != JV_KIND_ARRAY) {
		for (; place < 5; place++)
			add_policy(d->s, hub, place,
			    default_policies[place].name, NULL, NULL,
			    default_policies[place].rights);
		goto out;
	}
	jv_array_foreach(given, i, one) {
		char *name = arm_text(one, "keyName"),
		     *rights = arm_text(one, "rights"),
		     *first = arm_text(one, "primaryKey"),
		     *second = arm_text(one, "secondaryKey");

		add_policy(d->s, hub, place++, name, first, second, rights);
		free(name);
		free(rights);
		free(first);
		free(second);
		jv_free(one);
	}
out:
	free(hub);
	jv_free(given);
}

jv
policies_list(struct sim *s, const char *hub, const char *only)
{
	sqlite3_stmt *q = sim_sql(s,
	    "SELECT name, first, second, rights FROM policy WHERE hub = ?1"
	    " AND (?2 = '' OR name = ?2 COLLATE NOCASE) ORDER BY place");
	static const char *const members[] = { "keyName", "primaryKey",
		"secondaryKey", "rights" };
	char *key = arm_lower(hub);
	jv list = jv_array();

	sim_bind(q, 1, key);
	sim_bind(q, 2, only ? only : "");
	while (sim_step(s, q) == SQLITE_ROW) {
		jv one = jv_object();

		for (int i = 0; i < 4; i++)
			one = jv_put(one, members[i],
			    jv_string((const char *)sqlite3_column_text(q, i)));
		list = jv_array_append(list, one);
	}
	free(key);
	return list;
}
