/*
 * hubchildren.c: what is below a hub: consumer groups of its built-in
 * endpoint and certificates (CONTRACT 7).
 */
#include "iothubs.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* -- consumer groups ----------------------------------------------------- */

jv
consumer_group(struct sim *s, const char *id, const char *name)
{
	char when[32];

	sim_http_time(sim_now(s), when);
	return JV_OBJECT(jv_string("properties"),
	    JV_OBJECT(jv_string("created"), jv_string(when)), jv_string("id"),
	    jv_string(id), jv_string("name"), jv_string(name),
	    jv_string("type"),
	    jv_string("Microsoft.Devices/IotHubs/EventHubEndpoints/"
		      "ConsumerGroups"),
	    jv_string("etag"), jv_null());
}

jv
consumer_group_put(struct sim *s, const struct arm_id *id, const char *api,
    jv body, jv old, enum arm_how how)
{
	jv e = hub_ready(s, id->name[0]);

	(void)api;
	(void)how;
	jv_free(body);
	if (!jv_is_valid(e)) {
		jv_free(old);
		return e;
	}
	jv_free(e);
	if (strcasecmp(id->name[1], "events") != 0) {
		jv_free(old);
		return hub_fail(s, 404, 404000,
		    "The hub has no event endpoint '%s'.", id->name[1]);
	}
	if (jv_get_kind(old) != JV_KIND_NULL)
		return old;
	jv_free(old);
	{
		char *hub = xstrndup(id->key,
		    (size_t)(strcasestr(id->key, "/eventHubEndpoints/") -
			     id->key));
		int count = jv_array_length(arm_list(s, id->kind->type, hub));

		free(hub);
		if (count >= 50 ||
		    (count >= 20 && sim_doubt_is("consumer-groups-max", "20")))
			return hub_fail(s, 400, 400000,
			    "The event endpoint has the %d consumer groups "
			    "that it may have.",
			    count);
	}
	return consumer_group(s, id->id, id->name[2]);
}

/* -- certificates (CONTRACT 7) ------------------------------------------- */

static X509 *
read_certificate(const char *base64)
{
	size_t n = base64 ? strlen(base64) : 0;
	unsigned char *raw = xmalloc(n + 4);
	char *packed = xmalloc(n + 1);
	X509 *x = NULL;
	int len = -1, pad = 0;
	size_t k = 0;

	for (size_t i = 0; i < n; i++)
		if (!isspace((unsigned char)base64[i]))
			packed[k++] = base64[i];
	packed[k] = '\0';
	for (size_t i = k; i > 0 && packed[i - 1] == '='; i--)
		pad++;
	if (k && k % 4 == 0 && pad <= 2)
		len = EVP_DecodeBlock(raw, (unsigned char *)packed, (int)k);
	if (len > pad) {
		const unsigned char *at = raw;
		BIO *bio = BIO_new_mem_buf(raw, len - pad);

		x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
		if (!x)
			x = d2i_X509(NULL, &at, len - pad);
		BIO_free(bio);
	}
	free(raw);
	free(packed);
	return x;
}

static char *
common_name(X509 *x)
{
	char name[256] = "";

	(void)X509_NAME_get_text_by_NID(
	    X509_get_subject_name(x), NID_commonName, name, sizeof name);
	return xstrdup(name);
}

static jv
thumbprint(X509 *x)
{
	unsigned char raw[EVP_MAX_MD_SIZE];
	struct buf hex = BUF_INIT;
	unsigned int n = 0;
	jv out;

	(void)X509_digest(x, EVP_sha1(), raw, &n);
	for (unsigned int i = 0; i < n; i++)
		buf_printf(&hex, "%02X", raw[i]);
	out = jv_string(hex.at ? hex.at : "");
	buf_free(&hex);
	return out;
}

static jv
expiry(X509 *x)
{
	struct tm t;
	char text[32];

	memset(&t, 0, sizeof t);
	(void)ASN1_TIME_to_tm(X509_get0_notAfter(x), &t);
	sim_http_time((int64_t)timegm(&t) * 1000, text);
	return jv_string(text);
}

/* 52 characters: base64 of a GUID in quotes. */
static jv
certificate_etag(struct sim *s, const struct arm_id *id)
{
	jv n = hub_next_etag(s), out;
	char *words = xasprintf("%s/%s", id->key, jv_string_value(n));
	char guid[37], quoted[40];
	struct buf text = BUF_INIT;

	sim_guid(s, words, guid);
	(void)snprintf(quoted, sizeof quoted, "\"%s\"", guid);
	buf_base64(&text, quoted, strlen(quoted));
	out = jv_string(text.at);
	buf_free(&text);
	free(words);
	jv_free(n);
	return out;
}

jv
certificate_put(struct sim *s, const struct arm_id *id, const char *api,
    jv body, jv old, enum arm_how how)
{
	jv e = hub_ready(s, id->name[0]), out;
	jv given = jv_path(body, "properties");
	jv text = arm_member(given, "certificate"), created;
	X509 *x = read_certificate(jv_string_peek(text));
	char when[32], *cn;

	(void)api;
	if (!jv_is_valid(e))
		out = e;
	/* Replacing needs its ETag, which a template cannot carry; a request
	 * with If-Match comes with the old one taken away (ARM_SEED). */
	else if (jv_get_kind(old) != JV_KIND_NULL && how != ARM_SEED)
		out = hub_fail(s, 412, 412001,
		    "The certificate '%s' exists already; If-Match with its "
		    "ETag is required to replace it.",
		    id->name[1]);
	else if (!hub_name_good(id->name[1]))
		out = hub_fail(s, 400, 400000,
		    "'%s' is not a valid certificate name.", id->name[1]);
	else if (!x)
		out = hub_fail(s, 400, 400000,
		    "The certificate '%s' cannot be read.", id->name[1]);
	else {
		sim_http_time(sim_now(s), when);
		created = arm_or(jv_path(jv_copy(old), "properties.created"),
		    jv_string(when));
		cn = common_name(x);
		out = jv_put(jv_put(jv_object(), "subject", jv_string(cn)),
		    "expiry", expiry(x));
		free(cn);
		out = jv_put(out, "thumbprint", thumbprint(x));
		out = jv_put(out, "isVerified",
		    arm_is_true(given, "isVerified") ? jv_true() : jv_false());
		out = jv_put(out, "created", created);
		out = jv_put(out, "updated", jv_string(when));
		out = jv_put(out, "certificate", jv_copy(text));
		out = jv_put(jv_object(), "properties", out);
		out = jv_put(out, "id", jv_string(id->id));
		out = jv_put(out, "name", jv_string(id->name[1]));
		out = jv_put(out, "type",
		    jv_string("Microsoft.Devices/IotHubs/Certificates"));
		out = jv_put(out, "etag", certificate_etag(s, id));
	}
	if (jv_is_valid(e))
		jv_free(e);
	X509_free(x);
	jv_free(given);
	jv_free(text);
	jv_free(old);
	return out;
}

/* generateVerificationCode and verify: the proof is a certificate signed by
 * the one that is proven, whose common name is the code. */
void
certificate_action(struct sim *s, const struct sim_request *q,
    struct sim_reply *r, const struct arm_id *id, const char *action)
{
	bool verify = strcasecmp(action, "verify") == 0;
	jv stored = arm_load(s, id->key), props, shown, sent;
	struct buf code = BUF_INIT;
	char when[32], *words, *text, *cn = NULL;
	X509 *ca, *proof = NULL;

	if (!jv_is_valid(stored)) {
		jv_free(stored);
		arm_refuse(r, hub_fail(s, 404, 404000,
				  "The certificate '%s' could not be found.",
				  id->name[1]));
		return;
	}
	if (hub_if_match(q, stored) != 1) {
		jv_free(stored);
		hub_refuse_match(s, r, id);
		return;
	}
	words = xasprintf("verification/%s", id->key);
	{
		unsigned char raw[24];

		sim_mac(s, words, strlen(words), raw, sizeof raw);
		for (size_t i = 0; i < sizeof raw; i++)
			buf_printf(&code, "%02X", raw[i]);
	}
	free(words);
	props = arm_member(stored, "properties");
	if (verify) {
		text = arm_text(props, "certificate");
		ca = read_certificate(text);
		free(text);
		sent = jv_at(doc_parse(q->body, "request"), "certificate");
		proof = read_certificate(jv_string_peek(sent));
		jv_free(sent);
		cn = proof ? common_name(proof) : NULL;
		if (!ca || !cn || strcasecmp(cn, code.at) != 0 ||
		    X509_verify(proof, X509_get0_pubkey(ca)) != 1) {
			arm_refuse(r, hub_fail(s, 400, 400000,
					  "The certificate sent does not prove "
					  "possession of '%s'.",
					  id->name[1]));
			jv_free(props);
			jv_free(stored);
			X509_free(ca);
			goto out;
		}
		X509_free(ca);
		props = jv_put(props, "isVerified", jv_true());
	}
	sim_http_time(sim_now(s), when);
	props = jv_put(props, "updated", jv_string(when));
	stored = jv_put(stored, "properties", jv_copy(props));
	stored = jv_put(stored, "etag", certificate_etag(s, id));
	arm_store(s, id, jv_copy(stored));
	shown = verify ? props
		       : jv_object_merge(jv_put(jv_object(), "verificationCode",
					     jv_string(code.at)),
			     props);
	arm_answer(r, 200, jv_put(stored, "properties", shown));
out:
	X509_free(proof);
	free(cn);
	buf_free(&code);
}
