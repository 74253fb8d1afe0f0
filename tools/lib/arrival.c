/* arrival.c: what a hub's template meets where it goes; see arrival.h. */
#include "arrival.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cloud.h"
#include "doc.h"
#include "plugin.h"
#include "sign.h"
#include "template.h"

/* A region that our table lacks may still be new: the service knows. */
void
arrival_region(struct arm *a, const char *spelling)
{
	char *region = cloud_region(spelling);
	jv all;
	bool found = false;

	free(region);
	if (region)
		return;
	all = arm_list(
	    a, arm_request("GET", ARM_API_LOCATIONS, jv_null(),
		   "/subscriptions/%s/locations", arm_subscription(a)));
	if (!jv_is_valid(all)) { /* then the deployment will tell */
		jv_free(all);
		return;
	}
	jv_array_foreach(all, i, one) {
		found |=
		    jv_string_is_nocase(jv_at(jv_copy(one), "name"), spelling);
		found |=
		    jv_string_is_nocase(jv_at(one, "displayName"), spelling);
	}
	jv_free(all);
	if (!found)
		die(BAD_DATA, spelling,
		    "no such region (tmpl-rewrite --location=REGION sets it)");
}

/* Hub names are names in the DNS: one hub in the world may have each. */
void
arrival_name(struct arm *a, const char *hub, const char *group)
{
	jv body = jv_put(jv_object(), "name", jv_string(hub)), answer;
	size_t len = strlen(hub);

	for (const char *p = hub; *p; p++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVW"
			    "XYZ0123456789-",
			*p))
			len = 0;
	if (len < 3 || len > 50)
		die(BAD_DATA, hub,
		    "no name for a hub: 3 to 50 letters, digits and -");
	answer = arm_call(
	    a, jv_put(arm_request("POST", ARM_API_HUB, body,
			  "/subscriptions/%s/providers/Microsoft.Devices/"
			  "checkNameAvailability",
			  arm_subscription(a)),
		   "repeat", jv_true()));
	if (jv_is_valid(answer) && jv_get_kind(jv_at(jv_copy(answer),
				       "nameAvailable")) == JV_KIND_FALSE)
		die(REMOTE_REFUSED, hub,
		    "name is taken by a hub that is not in resource group '%s' "
		    "(take another with tmpl-rewrite --name)",
		    group);
	jv_free(answer); /* who may not ask will see */
}

static bool
needs_own_identity(jv slot)
{
	jv endpoint = jv_at(slot, "endpoint");
	jv user = jv_path(jv_copy(endpoint), "identity.userAssignedIdentity");
	bool own = jv_get_kind(user) == JV_KIND_NULL;

	jv_free(user);
	return jv_string_is_nocase(
		   jv_at(endpoint, "authenticationType"), "identityBased") &&
	       own;
}

_Noreturn static void
die_identity(const char *hub, jv slot)
{
	const struct hubpipe_plugin *p = plugin_of_slot_peek(slot);
	jv names =
	    jv_at(jv_or_die(plugin_ask(jv_copy(slot), p->resource)), "names");
	char *target = jv_dup_string(jv_array_get(names, 0));
	char *endpoint = jv_dup_string(plugin_slot_label(slot));

	die(ANSWER_NO, hub,
	    "%s is reached as the hub's own identity, which there is only "
	    "after the hub (deploy without it, give the hub's identity the "
	    "role '%s' on '%s', deploy again; or let a user-assigned identity "
	    "reach it)",
	    endpoint, p->role ? p->role : "?", target ? target : "?");
}

/* An identity of the hub itself exists, and gets its role, after the hub. */
void
arrival_identities(jv hub, jv old)
{
	jv slots = jv_or_die(plugin_slots(jv_at(jv_copy(hub), "properties")));
	jv type = jv_path(old, "identity.type"), name = jv_at(hub, "name");
	const char *has = jv_string_peek(type);
	bool ready = has && strcasestr(has, "SystemAssigned");

	jv_array_foreach(slots, i, slot) {
		if (!ready && needs_own_identity(jv_copy(slot)))
			die_identity(
			    jv_string_peek(name) ? jv_string_value(name) : "",
			    slot);
		jv_free(slot);
	}
	jv_free(slots);
	jv_free(type);
	jv_free(name);
}

/* SHA-1 of the certificate that a template holds: base64 of PEM or DER. */
static char *
thumbprint(const char *text)
{
	struct buf raw = BUF_INIT, hex = BUF_INIT;
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned int n = 0;
	const unsigned char *der;
	X509 *cert = NULL;
	BIO *in;

	if (sign_unbase64(&raw, text) == 0) {
		in = BIO_new_mem_buf(raw.at, (int)raw.len);
		cert = in ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
		BIO_free(in);
		der = (const unsigned char *)raw.at;
		if (!cert)
			cert = d2i_X509(NULL, &der, (long)raw.len);
	}
	if (cert && X509_digest(cert, EVP_sha1(), md, &n) == 1)
		for (unsigned int i = 0; i < n; i++)
			buf_printf(&hex, "%02X", md[i]);
	X509_free(cert);
	buf_free(&raw);
	return hex.at;
}

static bool
same_certificate(struct arm *a, const char *id, const char *name, jv resource)
{
	jv old =
	    jv_or_die(arm_look(a, arm_request("GET", ARM_API_HUB, jv_null(),
				      "%s/certificates/%s", id, name)));
	jv text = jv_path(resource, "properties.certificate");
	const char *ours = jv_string_peek(text);
	char *print = ours ? thumbprint(ours) : NULL;
	bool there = jv_get_kind(old) == JV_KIND_OBJECT, same;

	same = there && print &&
	       jv_string_is_nocase(
		   jv_path(jv_copy(old), "properties.thumbprint"), print);
	same = same ||
	       (there && ours &&
		   jv_string_is(
		       jv_path(jv_copy(old), "properties.certificate"), ours));
	if (there && ours && !same)
		die(ANSWER_NO, name,
		    "the hub has another certificate of that name, which no "
		    "template can replace (delete it there, or rename this "
		    "one)");
	free(print);
	jv_free(old);
	jv_free(text);
	return same;
}

jv
arrival_certificates(struct arm *a, jv known, const char *id)
{
	jv same = jv_array();

	jv_array_foreach(known, i, r) {
		jv name = jv_at(jv_copy(r), "name");
		const char *n = jv_string_peek(name);
		const char *leaf = n ? strchr(n, '/') : NULL;

		if (leaf &&
		    template_type_is(jv_copy(r), HUB_TYPE "/certificates") &&
		    same_certificate(a, id, leaf + 1, jv_copy(r))) {
			note("certificate '%s' is equal there; left alone",
			    leaf + 1);
			same = jv_array_append(same, jv_number(i));
		}
		jv_free(name);
		jv_free(r);
	}
	jv_free(known);
	return same;
}
