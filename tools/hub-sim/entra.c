/* entra.c: tokens of Entra ID and of the managed identity (CONTRACT 2). */
#include "sim.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "doc.h"

static const char arm_audience[] = "https://management.azure.com";

static int
read_base64url(struct span text, struct buf *out)
{
	struct buf padded = BUF_INIT;
	int n;

	buf_span(&padded, text);
	for (size_t i = 0; i < padded.len; i++) {
		if (padded.at[i] == '-')
			padded.at[i] = '+';
		else if (padded.at[i] == '_')
			padded.at[i] = '/';
	}
	while (padded.len % 4)
		buf_char(&padded, '=');
	buf_reserve(out, padded.len);
	n = EVP_DecodeBlock((unsigned char *)out->at,
	    (unsigned char *)padded.at, (int)padded.len);
	buf_free(&padded);
	if (n < 0)
		return -1;
	/* EVP_DecodeBlock counts the padding as bytes of zero. */
	out->len = text.len * 3 / 4;
	out->at[out->len] = '\0';
	return 0;
}

/* The signature covers the words "entra." and all before the last dot. */
static void
sign(const struct sim *s, struct span text, struct buf *out)
{
	struct buf signed_text = BUF_INIT;
	unsigned char mac[32];

	buf_text(&signed_text, "entra.");
	buf_span(&signed_text, text);
	sim_mac(s, signed_text.at, signed_text.len, mac, 32);
	buf_base64url(out, mac, 32);
	buf_free(&signed_text);
}

/*
 * Shaped as a JWT, since some clients look into it (CLIENTS 1.3), and
 * verified without any state: a token outlives a restart, as it should.
 */
static void
make_token(
    struct sim *s, const char *client, const char *audience, struct buf *out)
{
	static const char header[] = "{\"typ\":\"JWT\",\"alg\":\"HS256\"}";
	struct buf claims = BUF_INIT, token = BUF_INIT;
	int64_t now = sim_now(s) / 1000;

	buf_text(&claims, "{\"aud\":");
	buf_json(&claims, audience, strlen(audience));
	buf_printf(&claims,
	    ",\"iss\":\"https://sts.windows.net/" SIM_TENANT "/\""
	    ",\"iat\":%lld,\"nbf\":%lld,\"exp\":%lld,\"appid\":",
	    (long long)now, (long long)now, (long long)now + s->token_seconds);
	buf_json(&claims, client, strlen(client));
	buf_text(&claims, ",\"oid\":\"44444444-4444-4444-4444-444444444444\""
			  ",\"tid\":\"" SIM_TENANT "\",\"ver\":\"1.0\"}");
	buf_base64url(&token, header, sizeof header - 1);
	buf_char(&token, '.');
	buf_base64url(&token, claims.at, claims.len);
	buf_span(out, buf_peek(&token));
	buf_char(out, '.');
	sign(s, buf_peek(&token), out);
	buf_free(&claims);
	buf_free(&token);
}

void
entra_token(struct sim *s, const char *audience, struct buf *out)
{
	make_token(s, SIM_CLIENT, audience, out);
}

/* The last token that was found good: most requests carry the same one. */
static struct {
	char *token, *client, *audience;
	int64_t expires;
} last;

static int
verify(struct sim *s, const char *token)
{
	const char *dot = strrchr(token, '.'), *first = strchr(token, '.');
	struct buf mac = BUF_INIT, text = BUF_INIT;
	jv claims = jv_invalid(), expires;
	int result = ENTRA_INVALID;

	if (!dot || first == dot)
		return ENTRA_INVALID;
	sign(s, (struct span){ token, (size_t)(dot - token) }, &mac);
	if (strlen(dot + 1) != mac.len ||
	    CRYPTO_memcmp(dot + 1, mac.at, mac.len) != 0 ||
	    read_base64url(
		(struct span){ first + 1, (size_t)(dot - first) - 1 }, &text))
		goto out;
	claims = jv_parse_sized(text.at, (int)text.len);
	if (jv_get_kind(claims) != JV_KIND_OBJECT)
		goto out;
	free(last.token);
	free(last.client);
	free(last.audience);
	last.token = xstrdup(token);
	last.client = jv_dup_string(jv_at(jv_copy(claims), "appid"));
	last.audience = jv_dup_string(jv_at(jv_copy(claims), "aud"));
	expires = jv_at(jv_copy(claims), "exp");
	last.expires = (int64_t)jv_number_value(expires);
	jv_free(expires);
	result = 0;
out:
	jv_free(claims);
	buf_free(&mac);
	buf_free(&text);
	return result;
}

int
entra_bearer(struct sim *s, const struct sim_request *q, const char **client,
    const char **audience)
{
	const char *auth = q->header(q, "authorization");
	int bad;

	if (!auth || strncasecmp(auth, "Bearer ", 7) != 0)
		return ENTRA_MISSING;
	auth += 7 + strspn(auth + 7, " ");
	if ((!last.token || strcmp(last.token, auth) != 0) &&
	    (bad = verify(s, auth)))
		return bad;
	if (last.expires <= sim_now(s) / 1000)
		return ENTRA_EXPIRED;
	*client = last.client;
	*audience = last.audience;
	return 0;
}

void
entra_refuse(struct sim *s, struct sim_reply *r, int why)
{
	char now[32];
	const char *code, *text;

	sim_iso_time(sim_now(s), now);
	if (why == ENTRA_EXPIRED) {
		code = "ExpiredAuthenticationToken";
		text = "The access token expiry is before the current time.";
	} else if (why == ENTRA_MISSING) {
		code = "AuthenticationFailed";
		text = "Authentication failed. The 'Authorization' header is "
		       "missing.";
	} else {
		code = "InvalidAuthenticationToken";
		text = "The access token is invalid.";
	}
	sim_error(r, 401, code, "%s Current time: %s", text, now);
	sim_head(r, "WWW-Authenticate",
	    "Bearer authorization_uri=\"https://login.microsoftonline.com/"
	    "%s\", error=\"invalid_token\", error_description=\"%s\"",
	    SIM_TENANT, text);
}

/* {"error","error_description","error_codes",...} */
static void
refuse(struct sim *s, struct sim_reply *r, int status, const char *error,
    int number, const char *fmt, const char *what)
{
	char when[32], stamp[24], trace[37];
	char *text;

	sim_iso_time(sim_now(s), when);
	(void)snprintf(stamp, sizeof stamp, "%.10s %.8sZ", when, when + 11);
	sim_guid(s, when, trace);
	text = what ? xasprintf("%s'%s'", fmt, what) : xstrdup(fmt);
	sim_json(r, status,
	    JV_OBJECT(jv_string("error"), jv_string(error),
		jv_string("error_description"),
		jv_string_fmt("AADSTS%d: %s. Trace ID: %s Timestamp: %s",
		    number, text, trace, stamp),
		jv_string("error_codes"), JV_ARRAY(jv_number(number)),
		jv_string("timestamp"), jv_string(stamp), jv_string("trace_id"),
		jv_string(trace), jv_string("correlation_id"),
		jv_string(trace)));
	free(text);
}

/*
 * "https://x/.default" is for https://x.  ARM is known by two names, of which
 * az uses the older with two slashes.  NULL: no resource at all.
 */
static char *
audience_of(const char *wanted, bool is_scope)
{
	static const char suffix[] = "/.default";
	size_t len = strlen(wanted);
	char *audience;

	if (is_scope) {
		if (len <= sizeof suffix - 1 ||
		    strcmp(wanted + len - (sizeof suffix - 1), suffix) != 0)
			return NULL;
		len -= sizeof suffix - 1;
	}
	while (len && wanted[len - 1] == '/')
		len--;
	if (len < 9 || strncmp(wanted, "https://", 8) != 0)
		return NULL;
	audience = xstrndup(wanted, len);
	if (strcmp(audience, "https://management.core.windows.net") == 0) {
		free(audience);
		audience = xstrdup(arm_audience);
	}
	return audience;
}

/* A certificate or a federated token proves the client here by its shape
 * alone: no certificate of the client is known. */
static bool
assertion_good(struct span form)
{
	char *type = sim_form(form, "client_assertion_type"),
	     *jwt = sim_form(form, "client_assertion");
	const char *dot = jwt ? strchr(jwt, '.') : NULL;
	bool good = type && dot && strchr(dot + 1, '.') &&
		    strcmp(type, "urn:ietf:params:oauth:client-assertion-type:"
				 "jwt-bearer") == 0;

	free(type);
	free(jwt);
	return good;
}

static void
token(struct sim *s, const struct sim_request *q, struct sim_reply *r)
{
	char *grant = sim_form(q->body, "grant_type"),
	     *client = sim_form(q->body, "client_id"),
	     *secret = sim_form(q->body, "client_secret"),
	     *scope = sim_form(q->body, "scope"),
	     *resource = sim_form(q->body, "resource"), *audience = NULL;
	struct buf text = BUF_INIT;

	if (scope)
		audience = audience_of(scope, true);
	else if (resource)
		audience = audience_of(resource, false);
	if (!grant || strcmp(grant, "client_credentials") != 0)
		refuse(s, r, 400, "unsupported_grant_type", 70003,
		    "The app requested an unsupported grant type ",
		    grant ? grant : "");
	else if (!client || strcasecmp(client, SIM_CLIENT) != 0)
		refuse(s, r, 400, "unauthorized_client", 700016,
		    "Application was not found in the directory: ",
		    client ? client : "");
	else if (secret ? strcmp(secret, SIM_SECRET) != 0
			: !assertion_good(q->body))
		refuse(s, r, 401, "invalid_client", 7000215,
		    "Invalid client secret provided. Ensure the secret being "
		    "sent in the request is the client secret value, not the "
		    "client secret ID",
		    NULL);
	else if (!audience)
		refuse(s, r, 400, "invalid_scope", 70011,
		    "The provided value for the input parameter 'scope' is "
		    "not valid: ",
		    scope ? scope : "");
	else {
		make_token(s, client, audience, &text);
		sim_json(r, 200,
		    JV_OBJECT(jv_string("token_type"), jv_string("Bearer"),
			jv_string("expires_in"),
			jv_number((double)s->token_seconds),
			jv_string("ext_expires_in"),
			jv_number((double)s->token_seconds),
			jv_string("access_token"), jv_string(text.at)));
		sim_head(r, "Cache-Control", "no-store, no-cache");
	}
	buf_wipe(&text);
	free(grant);
	free(client);
	free(secret);
	free(scope);
	free(resource);
	free(audience);
}

/* Every member is a string, numbers included. */
static void
managed_identity(
    struct sim *s, const struct sim_request *q, struct sim_reply *r)
{
	const char *metadata = q->header(q, "metadata");
	char *resource = sim_query(q, "resource"),
	     *version = sim_query(q, "api-version"),
	     *audience = resource ? audience_of(resource, false) : NULL;
	long long now = sim_now(s) / 1000;
	struct buf text = BUF_INIT;

	if (!metadata || strcasecmp(metadata, "true") != 0 || !version ||
	    !audience) {
		sim_json(r, 400,
		    JV_OBJECT(jv_string("error"), jv_string("invalid_request"),
			jv_string("error_description"),
			jv_string("Required metadata header not specified, or "
				  "api-version or resource missing")));
	} else {
		make_token(s, SIM_CLIENT, audience, &text);
		sim_json(r, 200,
		    JV_OBJECT(jv_string("access_token"), jv_string(text.at),
			jv_string("refresh_token"), jv_string(""),
			jv_string("expires_in"),
			jv_string_fmt("%ld", s->token_seconds),
			jv_string("expires_on"),
			jv_string_fmt("%lld", now + s->token_seconds),
			jv_string("not_before"), jv_string_fmt("%lld", now),
			jv_string("resource"), jv_string(resource),
			jv_string("token_type"), jv_string("Bearer")));
	}
	buf_wipe(&text);
	free(resource);
	free(version);
	free(audience);
}

/* Absolute URLs, made from the Host header (CLIENTS 1.3, 4.4). */
static void
configuration(const struct sim_request *q, struct sim_reply *r, bool adfs)
{
	char *base =
	    adfs ? xasprintf("https://%s/adfs", sim_authority(q))
		 : xasprintf("https://%s/" SIM_TENANT, sim_authority(q));
	const char *v = adfs ? "" : "/v2.0";

	sim_json(r, 200,
	    JV_OBJECT(jv_string("authorization_endpoint"),
		jv_string_fmt("%s/oauth2%s/authorize", base, v),
		jv_string("token_endpoint"),
		jv_string_fmt("%s/oauth2%s/token", base, v),
		jv_string("device_authorization_endpoint"),
		jv_string_fmt("%s/oauth2%s/devicecode", base, v),
		jv_string("jwks_uri"),
		jv_string_fmt("%s/discovery%s/keys", base, v),
		jv_string("issuer"), jv_string_fmt("%s%s", base, v),
		jv_string("token_endpoint_auth_methods_supported"),
		JV_ARRAY(jv_string("client_secret_post"),
		    jv_string("private_key_jwt"))));
	free(base);
}

static void
discovery(const struct sim_request *q, struct sim_reply *r)
{
	sim_json(r, 200,
	    JV_OBJECT(jv_string("tenant_discovery_endpoint"),
		jv_string_fmt("https://%s/%s/v2.0/.well-known/"
			      "openid-configuration",
		    sim_authority(q), SIM_TENANT),
		jv_string("api-version"), jv_string("1.1"),
		jv_string("metadata"),
		JV_ARRAY(JV_OBJECT(jv_string("preferred_network"),
		    jv_string(sim_authority(q)), jv_string("preferred_cache"),
		    jv_string(sim_authority(q)), jv_string("aliases"),
		    JV_ARRAY(jv_string(sim_authority(q)))))));
}

static bool
ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && strcasecmp(text + n - m, end) == 0;
}

void
entra_handle(struct sim *s, const struct sim_request *q, struct sim_reply *r)
{
	char *tenant = sim_segment(q, 0);
	bool get = strcmp(q->method, "GET") == 0,
	     post = strcmp(q->method, "POST") == 0,
	     adfs = tenant && strcasecmp(tenant, "adfs") == 0;

	if (get && strcmp(q->path, "/metadata/identity/oauth2/token") == 0)
		managed_identity(s, q, r);
	else if (get && strcmp(q->path, "/common/discovery/instance") == 0)
		discovery(q, r);
	else if (!tenant)
		sim_missing(r, "this page of the sign-in service");
	else if (!adfs && strcasecmp(tenant, SIM_TENANT) != 0)
		refuse(s, r, 400, "invalid_request", 90002,
		    "No such tenant: ", tenant);
	else if (post && (ends_with(q->path, "/oauth2/v2.0/token") ||
			     ends_with(q->path, "/oauth2/token")))
		token(s, q, r);
	else if (get && ends_with(q->path, "/keys")) /* our tokens need none */
		sim_json(r, 200, JV_OBJECT(jv_string("keys"), jv_array()));
	else if (get && ends_with(q->path, "/.well-known/openid-configuration"))
		configuration(q, r, adfs);
	else
		sim_missing(r, "this page of the sign-in service");
	free(tenant);
}
