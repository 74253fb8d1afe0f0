/* sas.c: who asks the data plane, and may they (CONTRACT 11.1, 11.2). */
#include "registry.h"

#include "arm.h"
#include "roles.h"

#include "store.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* The object id of the one service principal (entra.c). */
#define SIM_PRINCIPAL "44444444-4444-4444-4444-444444444444"

static const char scheme[] = "SharedAccessSignature ";

/* One part of "sr=..&sig=..&se=..&skn=..", as sent; at NULL when absent. */
static struct span
part(struct span token, const char *name)
{
	size_t want = strlen(name);
	const char *p = token.at, *end = token.at + token.len;

	while (p < end) {
		const char *stop = memchr(p, '&', (size_t)(end - p));

		if (!stop)
			stop = end;
		if ((size_t)(stop - p) > want && p[want] == '=' &&
		    memcmp(p, name, want) == 0)
			return (struct span){ p + want + 1,
				(size_t)(stop - p) - want - 1 };
		p = stop + 1;
	}
	return (struct span){ NULL, 0 };
}

/*
 * The signature over "<sr as sent>\n<se>" with the decoded key, and the time.
 * token: what follows the scheme.  sim_form() decodes '+' as blank, which is
 * what a client that forgot to encode the '+' of its signature deserves; the
 * real service does the same.
 */
static bool
sas_is_valid(struct span token, const char *key, int64_t now_s)
{
	struct span sr = part(token, "sr"), se = part(token, "se");
	char *sig = sim_form(token, "sig"), *end, expiry[24];
	struct buf text = BUF_INIT;
	long long seconds;
	bool ok = false;

	if (!sr.at || !se.at || !sig || se.len == 0 || se.len > 19)
		goto out;
	memcpy(expiry, se.at, se.len);
	expiry[se.len] = '\0';
	seconds = strtoll(expiry, &end, 10);
	if (*end || seconds <= now_s)
		goto out;
	buf_span(&text, sr);
	buf_char(&text, '\n');
	buf_span(&text, se);
	ok = sim_signed(key, &text, sig);
out:
	buf_free(&text);
	free(sig);
	return ok;
}

/* The token's resource is the host, or a path that the request lies under.
 * A port, which some clients sign, is not compared. */
static bool
covers(struct visit *v, const char *resource)
{
	size_t host = strlen(v->q->host), len;
	const char *path;

	if (strncasecmp(resource, v->q->host, host) != 0)
		return false;
	path = resource + host;
	if (*path == ':')
		path += 1 + strspn(path + 1, "0123456789");
	if (*path && *path != '/')
		return false;
	len = strlen(path);
	while (len && path[len - 1] == '/')
		len--;
	if (len == 0)
		return true;
	for (int i = 0; path < resource + host + len + 1; i++) {
		size_t piece;
		char *segment;
		bool same;

		if (*path != '/')
			return *path == '\0';
		piece = strcspn(++path, "/");
		if (piece == 0)
			return true;
		segment = sim_segment(v->q, i);
		same = segment && strlen(segment) == piece &&
		       strncmp(segment, path, piece) == 0;
		free(segment);
		if (!same)
			return false;
		path += piece;
	}
	return true;
}

/* "RegistryWrite, ServiceConnect": a word of that list; write implies read. */
static bool
has_right(const char *rights, const char *right)
{
	return strstr(rights, right) || (strcmp(right, "RegistryRead") == 0 &&
					    strstr(rights, "RegistryWrite"));
}

/*
 * Tokens that were found good, with what they are good for: a client sends the
 * same one with every call.  A token is good for as long as nothing is written
 * (a key, a policy) and its time has not come.
 */
enum { GOOD = 64 };
static struct good {
	uint64_t version;
	char *token, *resource;
	char hub[64], rights[128];
	int64_t expires; /* seconds */
} good[GOOD];

static struct good *
good_place(struct span token)
{
	return &good[span_hash(token) % GOOD];
}

static const struct good *
good_find(struct visit *v, struct span token, int64_t now_s)
{
	const struct good *g = good_place(token);

	return g->token && g->version == store_version(v->s) &&
		       g->expires > now_s && span_is(token, g->token) &&
		       strcmp(g->hub, v->hub.name) == 0
		   ? g
		   : NULL;
}

static void
good_keep(struct visit *v, struct span token, const char *resource,
    const char *rights)
{
	struct good *g = good_place(token);
	struct span se = part(token, "se");
	char expiry[24];

	span_copy(se, expiry, sizeof expiry);
	free(g->token);
	free(g->resource);
	g->token = span_dup(token);
	g->resource = xstrdup(resource);
	g->expires = strtoll(expiry, NULL, 10);
	g->version = store_version(v->s);
	(void)snprintf(g->hub, sizeof g->hub, "%s", v->hub.name);
	(void)snprintf(g->rights, sizeof g->rights, "%s", rights);
}

static int
by_signature(
    struct visit *v, struct span token, const char *right, struct refusal *f)
{
	struct sim_policy policy;
	char *name, *resource;
	int64_t now_s = sim_client_now(v->s) / 1000;
	const struct good *known = good_find(v, token, now_s);
	int result = -1;

	if (known && v->hub.local_auth && covers(v, known->resource) &&
	    (!right || has_right(known->rights, right)))
		return 0;
	name = sim_form(token, "skn");
	resource = sim_form(token, "sr");
	if (!v->hub.local_auth) {
		(void)refuse(f, UNAUTHORIZED,
		    "Shared access signatures are disabled for IotHub %s",
		    v->hub.name);
	} else if (!resource || !covers(v, resource)) {
		(void)refuse(f, UNAUTHORIZED,
		    "The audience of the token does not contain '%s'",
		    v->q->host);
	} else if (!name || !sim_hub_policy(v->s, &v->hub, name, &policy)) {
		(void)refuse(f, UNAUTHORIZED,
		    "IotHub %s does not contain a rule named '%s'", v->hub.name,
		    name ? name : "");
	} else if (!sas_is_valid(token, policy.primary, now_s) &&
		   !sas_is_valid(token, policy.secondary, now_s)) {
		(void)refuse(f, UNAUTHORIZED,
		    "Principal %s signature is invalid or has expired", name);
	} else if (right && !has_right(policy.rights, right)) {
		(void)refuse(f, UNAUTHORIZED,
		    "Authorization rule %s does not allow access for %s", name,
		    right);
	} else {
		good_keep(v, token, resource, policy.rights);
		result = 0;
	}
	free(name);
	free(resource);
	return result;
}

/*
 * The simulator's own client may do everything, unless the hub (or what it
 * lies in) has the tag hub-sim-deny: data; then the roles of CONTRACT 11.2
 * count, which the Owner of a subscription does not have by that.
 */
static bool
needs_role(struct visit *v, char **key)
{
	/* The last answer, for as long as nothing is written. */
	static struct {
		uint64_t version;
		char hub[64];
	} trusted;
	sqlite3_stmt *q = sim_sql(v->s, "SELECT key FROM hub WHERE name = ?");
	struct arm_id id;
	jv denied;
	bool result;

	*key = NULL;
	if (*trusted.hub && trusted.version == store_version(v->s) &&
	    strcmp(trusted.hub, v->hub.name) == 0)
		return false;
	sim_bind(q, 1, v->hub.name);
	*key = sim_step(v->s, q) == SQLITE_ROW ? span_dup(sim_column(q, 0))
					       : xstrdup("");
	if (!arm_id_parse(v->s, *key, &id))
		return false;
	denied = arm_denied(v->s, &id, "data");
	result = !jv_is_valid(denied);
	jv_free(denied);
	arm_id_free(&id);
	if (!result) {
		(void)snprintf(
		    trusted.hub, sizeof trusted.hub, "%s", v->hub.name);
		trusted.version = store_version(v->s);
	}
	return result;
}

static bool
holds_role(struct visit *v, const char *key, const char *right)
{
	bool reads = strcmp(v->q->method, "GET") == 0 ||
		     strcmp(v->q->path, "/devices/query") == 0,
	     twins = right && strcmp(right, "ServiceConnect") == 0;

	return (reads && role_held(v->s, SIM_PRINCIPAL, key,
			     "IoT Hub Data Reader")) ||
	       role_held(v->s, SIM_PRINCIPAL, key,
		   twins ? "IoT Hub Twin Contributor"
			 : "IoT Hub Registry Contributor");
}

static int
by_role(struct visit *v, const char *right, struct refusal *f)
{
	char *key;
	int result = 0;

	if (needs_role(v, &key) && !holds_role(v, key, right))
		result = refuse(f, UNAUTHORIZED,
		    "Principal %s is not authorized for %s on %s due to no "
		    "assigned permissions",
		    SIM_PRINCIPAL, v->q->method, v->q->path);
	free(key);
	return result;
}

int
visit_allowed(struct visit *v, const char *right, struct refusal *f)
{
	const char *header = v->q->header(v->q, "authorization"), *client,
		   *audience;
	int why;

	if (header && strncasecmp(header, scheme, strlen(scheme)) == 0) {
		v->by_key = true;
		return by_signature(
		    v, span_of(header + strlen(scheme)), right, f);
	}
	v->by_key = false;
	why = entra_bearer(v->s, v->q, &client, &audience);
	if (why == ENTRA_EXPIRED)
		return refuse(f, UNAUTHORIZED, "The token has expired");
	if (why)
		return refuse(f, UNAUTHORIZED, "Unauthorized");
	if (strcmp(audience, "https://iothubs.azure.net") != 0)
		return refuse(f, UNAUTHORIZED,
		    "The token's audience is not https://iothubs.azure.net");
	return by_role(v, right, f);
}
