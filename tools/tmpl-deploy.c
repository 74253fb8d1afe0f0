/*
 * tmpl-deploy: deploys a hub's template, or says what that would change.  What
 * becomes of the template and of the service's answers: share/jq/deploy.jq.
 */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "arm.h"
#include "cloud.h"
#include "doc.h"
#include "jqrun.h"
#include "json.h"
#include "known.h"
#include "opt.h"
#include "out.h"
#include "plugin.h"
#include "progress.h"
#include "sign.h"
#include "template.h"

enum { TRIES = 6 };

static const char *group, *location, *output, *confirm, *deployment;
static const char *parameters_file;
static bool dry_run;

static const struct opt opts[] = {
	OPT_TEXT('g', "resource-group", "GROUP", &group,
	    "deploy to GROUP; created when it is missing"),
	OPT_TEXT('l', "location", "REGION", &location,
	    "where a new GROUP is (default: the hub's region)"),
	OPT_FLAG('n', "dry-run", &dry_run,
	    "print what would change: + new, ~ changed, - deleted"),
	OPT_TEXT('o', "output", "FILE", &output, "write the result to FILE"),
	OPT_TEXT(0, "confirm", "HUB", &confirm,
	    "overwrite this hub, which is there already"),
	OPT_TEXT(0, "name", "DEPLOYMENT", &deployment,
	    "name of the deployment (default: follows from its content)"),
	OPT_TEXT(0, "parameters", "FILE", &parameters_file,
	    "values of the template's parameters"),
	OPT_GROUP(plugin_opts),
	OPT_GROUP(arm_opts),
	OPT_END,
};
static const struct tool tool = {
	.name = "tmpl-deploy",
	.synopsis = "-g GROUP [-n] [-l REGION] [--confirm=HUB] [TEMPLATE]",
	.summary = "Deploy a hub's template, safe to repeat",
	.example = "hub-export -g west-rg contoso |\n"
		   "    tmpl-rewrite --name=contoso-east --location=eastus |\n"
		   "    key-inject | tmpl-deploy -g east-rg",
	.opts = opts,
	.statuses = "0123456",
	.operands_max = 1,
};

struct job {
	struct arm *arm;
	struct jqrun *rules;
	jv template;    /* as it will be sent */
	jv known;       /* its resources, evaluated */
	jv values;      /* of its parameters, secrets among them */
	jv secrets;     /* texts never to show */
	jv policies;    /* of the hub that is there; null: none to carry */
	int at;         /* the hub's index in resources */
	char *hub, *id; /* its name and its id */
	char *group_id, *path;
	bool group_exists, hub_exists, attached;
};

static jv
rule(struct job *j, const char *name, jv input)
{
	jv out = jqrun_first(j->rules, jv_put(input, "do", jv_string(name)));

	if (!jv_is_valid(out))
		out = jv_or_die(out);
	return out;
}

/* The body of a GET; null when there is no such thing; dies otherwise. */
static jv
look(struct job *j, const char *api, const char *path)
{
	jv all = arm_all(
	    j->arm, JV_ARRAY(arm_request("GET", api, jv_null(), "%s", path)));
	jv one = jv_array_get(all, 0), failed;

	failed = jv_at(jv_copy(one), "failed");
	if (jv_get_kind(failed) == JV_KIND_OBJECT) {
		jv http = jv_at(jv_copy(failed), "http");
		jv status = jv_at(jv_copy(failed), "status");
		jv text = jv_at(failed, "text");

		if (jv_number_value(http) != 404)
			die((enum status)jv_number_value(status),
			    strrchr(path, '/') + 1, "%s",
			    jv_string_value(text));
		jv_free(text);
		jv_free(one);
		return jv_null();
	}
	jv_free(failed);
	return one;
}

/* -- read ----------------------------------------------------------------- */

static jv
given_values(void)
{
	jv file, values;

	if (!parameters_file)
		return jv_object();
	file = jv_or_die(doc_read(parameters_file));
	values = jv_at(jv_copy(file), "parameters");
	if (jv_get_kind(values) != JV_KIND_OBJECT) {
		jv_free(values);
		values = jv_copy(file);
	}
	jv_free(file);
	if (jv_get_kind(values) != JV_KIND_OBJECT)
		die(BAD_DATA, parameters_file, "no object with parameters");
	jv_object_foreach(values, key, value) {
		if (jv_get_kind(value) != JV_KIND_OBJECT)
			die(BAD_DATA, parameters_file,
			    "parameter '%s' is no object with a value",
			    jv_string_value(key));
		jv_free(key);
		jv_free(value);
	}
	return values;
}

static jv
hub_known(struct job *j)
{
	return jv_array_get(jv_copy(j->known), j->at);
}

/* Places of the keys that are there; a key that is not there yet is not for
 * the service to miss. */
static jv
key_places(struct job *j)
{
	jv slots, places = jv_array();

	slots = jv_or_die(plugin_slots(jv_at(hub_known(j), "properties")));
	jv_array_foreach(slots, i, slot) {
		jv label = plugin_slot_label(jv_copy(slot));
		jv secrets = jv_or_die(plugin_ask(
		    jv_copy(slot), plugin_of_slot_peek(slot)->secrets));
		jv path = JV_ARRAY(jv_string("resources"), jv_number(j->at),
		    jv_string("properties"));

		path = jv_array_concat(path, jv_at(slot, "path"));
		jv_array_foreach(secrets, k, secret) {
			jv value = jv_at(jv_copy(secret), "value");
			jv place = jv_array_append(
			    jv_copy(path), jv_at(secret, "member"));
			jv text =
			    jv_getpath(jv_copy(j->template), jv_copy(place));

			if (jv_string_is(jv_copy(value), PLUGIN_MASK) ||
			    jv_get_kind(value) != JV_KIND_STRING)
				die(BAD_DATA, j->hub,
				    "%s has no key, only its place (run "
				    "key-inject first)",
				    jv_string_value(label));
			if (jv_get_kind(text) == JV_KIND_STRING &&
			    jv_string_value(text)[0] != '[')
				places = jv_array_append(places, place);
			else
				jv_free(place);
			jv_free(text);
			jv_free(value);
		}
		jv_free(secrets);
		jv_free(path);
		jv_free(label);
	}
	jv_free(slots);
	return places;
}

static void
refuse_names(jv names, const char *what)
{
	struct buf b = BUF_INIT;

	jv_array_foreach(names, i, name) {
		buf_printf(&b, "%s%s", i ? ", " : "", jv_string_value(name));
		jv_free(name);
	}
	jv_free(names);
	if (b.len)
		die(BAD_DATA, b.at, "%s", what);
}

/* Secrets out of the template; what its parameters lack. */
static void
lift(struct job *j, jv places)
{
	jv in = jv_put(jv_object(), "template", j->template), out;

	in = jv_put(in, "values", j->values);
	out = rule(j, "lift", jv_put(in, "places", places));
	refuse_names(jv_at(jv_copy(out), "missing"),
	    "parameter has no value (give one with --parameters=FILE)");
	refuse_names(jv_at(jv_copy(out), "unknown"),
	    "the template has no such parameter");
	j->template = jv_at(jv_copy(out), "template");
	j->values = jv_at(jv_copy(out), "values");
	jv_free(j->secrets);
	j->secrets = jv_at(jv_copy(out), "secrets");
	if (!j->path) { /* the first time: before the old hub's keys join */
		struct buf text = BUF_INIT;
		char hex[65];

		doc_compact(
		    JV_ARRAY(jv_copy(j->template), jv_at(jv_copy(out), "plain"),
			jv_string(j->group_id)),
		    &text);
		json_sha256(buf_peek(&text), hex);
		buf_free(&text);
		j->path =
		    deployment
			? xasprintf(
			      "%s/providers/Microsoft.Resources/deployments/"
			      "%s",
			      j->group_id, deployment)
			: xasprintf(
			      "%s/providers/Microsoft.Resources/deployments/"
			      "hubpipe-%.46s-%.8s",
			      j->group_id, j->hub, hex);
	}
	jv_free(out);
}

static void
evaluate(struct job *j, const char *where)
{
	jv scope = jv_put(
	    jv_object(), "subscription", jv_string(arm_subscription(j->arm)));

	scope = jv_put(scope, "group", jv_string(group));
	if (where)
		scope = jv_put(scope, "location", jv_string(where));
	jv_free(j->known);
	j->known = jv_or_die(
	    template_known(jv_copy(j->template), jv_copy(j->values), scope));
}

static void
read_job(struct job *j, const char *path)
{
	struct err e;
	jv name, where;

	j->template = template_read(path);
	j->at = template_hub_peek(j->template);
	j->values = given_values();
	j->rules =
	    jqrun_compile("import \"deploy\" as d; d::run", jv_object(), &e);
	if (!j->rules)
		die_err(&e);
	j->arm = arm_open();
	j->group_id = xasprintf("/subscriptions/%s/resourceGroups/%s",
	    arm_subscription(j->arm), group);
	evaluate(j, location);
	name = jv_at(hub_known(j), "name");
	j->hub = jv_dup_string(name);
	if (!j->hub)
		die(BAD_DATA, NULL,
		    "the hub's name cannot be known before it is deployed "
		    "(run tmpl-rewrite first)");
	j->id = xasprintf("%s/providers/" HUB_TYPE "/%s", j->group_id, j->hub);
	where = jv_at(hub_known(j), "location");
	if (!location && jv_get_kind(where) == JV_KIND_STRING)
		location = xstrdup(jv_string_value(where));
	jv_free(where);
	if (confirm && strcasecmp(confirm, j->hub) != 0)
		usage("--confirm: the template's hub is '%s', not '%s'", j->hub,
		    confirm);
	lift(j, key_places(j));
}

/* -- plan ----------------------------------------------------------------- */

/* A region that our table lacks may still be new: the service knows. */
static void
check_region(struct job *j, const char *spelling)
{
	char *region = cloud_region(spelling);
	jv all;
	bool found = false;

	free(region);
	if (region)
		return;
	all = arm_list(j->arm,
	    arm_request("GET", ARM_API_LOCATIONS, jv_null(),
		"/subscriptions/%s/locations", arm_subscription(j->arm)));
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
static void
check_name(struct job *j)
{
	jv body = jv_put(jv_object(), "name", jv_string(j->hub)), answer;
	size_t len = strlen(j->hub);

	for (const char *p = j->hub; *p; p++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVW"
			    "XYZ0123456789-",
			*p))
			len = 0;
	if (len < 3 || len > 50)
		die(BAD_DATA, j->hub,
		    "no name for a hub: 3 to 50 letters, digits and -");
	answer = arm_call(
	    j->arm, jv_put(arm_request("POST", ARM_API_HUB, body,
			       "/subscriptions/%s/providers/Microsoft.Devices/"
			       "checkNameAvailability",
			       arm_subscription(j->arm)),
			"repeat", jv_true()));
	if (jv_is_valid(answer) && jv_get_kind(jv_at(jv_copy(answer),
				       "nameAvailable")) == JV_KIND_FALSE)
		die(REMOTE_REFUSED, j->hub,
		    "name is taken by a hub that is not in resource group '%s' "
		    "(take another with tmpl-rewrite --name)",
		    group);
	jv_free(answer); /* who may not ask will see */
}

/* An identity of the hub itself exists, and gets its role, after the hub. */
static void
check_identities(struct job *j, jv old)
{
	jv slots = jv_or_die(plugin_slots(jv_at(hub_known(j), "properties")));
	jv type = jv_path(old, "identity.type");
	const char *has = jv_string_peek(type);
	bool ready = has && strcasestr(has, "SystemAssigned");

	jv_array_foreach(slots, i, slot) {
		jv endpoint = jv_at(jv_copy(slot), "endpoint");
		jv user =
		    jv_path(jv_copy(endpoint), "identity.userAssignedIdentity");

		if (!ready && jv_get_kind(user) == JV_KIND_NULL &&
		    jv_string_is_nocase(jv_at(endpoint, "authenticationType"),
			"identityBased")) {
			const struct hubpipe_plugin *p =
			    plugin_of_slot_peek(slot);
			jv names = jv_at(
			    jv_or_die(plugin_ask(jv_copy(slot), p->resource)),
			    "names");
			jv label = plugin_slot_label(jv_copy(slot));
			jv last = jv_array_get(jv_copy(names), 0);

			die(ANSWER_NO, j->hub,
			    "%s is reached as the hub's own identity, which "
			    "there is only after the hub (deploy without it, "
			    "give the hub's identity the role '%s' on '%s', "
			    "deploy again; or let a user-assigned identity "
			    "reach it)",
			    jv_string_value(label), p->role ? p->role : "?",
			    jv_string_peek(last) ? jv_string_value(last) : "?");
		}
		jv_free(user);
		jv_free(slot);
	}
	jv_free(slots);
	jv_free(type);
}

/* The old hub's policies, keys and all: a PUT without them may lose them
 * (CONTRACT 4.1). */
static void
carry_policies(struct job *j)
{
	jv place = JV_ARRAY(jv_string("resources"), jv_number(j->at),
	    jv_string("properties"), jv_string("authorizationPolicies"));
	jv own = jv_getpath(jv_copy(j->template), jv_copy(place));

	if (jv_get_kind(own) == JV_KIND_NULL) {
		j->policies = jv_or_die(arm_list(
		    j->arm, jv_put(arm_request("POST", ARM_API_HUB, jv_null(),
				       "%s/listkeys", j->id),
				"repeat", jv_true())));
		j->template =
		    jv_setpath(j->template, place, jv_copy(j->policies));
		lift(j, jv_array());
	} else
		jv_free(place);
	jv_free(own);
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

/* Is the hub's certificate the one in the template?  A template has no ETag,
 * so the service would refuse to write it again (CONTRACT 7). */
static bool
same_certificate(struct job *j, jv resource, const char *name)
{
	char *path = xasprintf("%s/certificates/%s", j->id, name), *print;
	jv old = look(j, ARM_API_HUB, path), text, was;
	bool same;

	free(path);
	text = jv_path(resource, "properties.certificate");
	if (jv_get_kind(old) == JV_KIND_NULL || !jv_string_peek(text)) {
		jv_free(old);
		jv_free(text);
		return false;
	}
	was = jv_path(jv_copy(old), "properties.thumbprint");
	print = thumbprint(jv_string_value(text));
	same = (print && jv_string_is_nocase(was, print)) ||
	       jv_string_is(jv_path(jv_copy(old), "properties.certificate"),
		   jv_string_value(text));
	if (!same)
		die(ANSWER_NO, name,
		    "hub '%s' has another certificate of that name, which a "
		    "template cannot replace (delete or rename it there)",
		    j->hub);
	free(print);
	jv_free(old);
	jv_free(text);
	return true;
}

/* Without the resource at index i; what waited for it waits for what it
 * waited for. */
static void
leave_out(struct job *j, int at, const char *tail)
{
	jv resources = jv_at(jv_copy(j->template), "resources");
	jv gone = jv_array_get(jv_copy(resources), at), out = jv_array();
	jv heirs = jv_at(gone, "dependsOn");
	size_t len = strlen(tail);

	if (jv_get_kind(heirs) != JV_KIND_ARRAY) {
		jv_free(heirs);
		heirs = jv_array();
	}
	jv_array_foreach(resources, i, r) {
		jv k = jv_array_get(jv_copy(j->known), i);
		jv deps = jv_at(k, "dependsOn"), kept = jv_array();
		jv texts = jv_at(jv_copy(r), "dependsOn");

		if (i == at) {
			jv_free(r);
			jv_free(texts);
			jv_free(deps);
			jv_free(kept);
			continue;
		}
		if (jv_get_kind(deps) == JV_KIND_ARRAY) {
			jv_array_foreach(deps, d, dep) {
				const char *s = jv_string_peek(dep);
				size_t n = s ? strlen(s) : 0;

				if (s && n >= len &&
				    !strcasecmp(s + n - len, tail))
					kept = jv_array_concat(
					    kept, jv_copy(heirs));
				else
					kept = jv_array_append(kept,
					    jv_array_get(jv_copy(texts), d));
				jv_free(dep);
			}
			r = jv_put(r, "dependsOn", jv_copy(kept));
		}
		jv_free(kept);
		jv_free(deps);
		jv_free(texts);
		out = jv_array_append(out, r);
	}
	jv_free(resources);
	jv_free(heirs);
	j->template = jv_put(j->template, "resources", out);
	j->at -= at < j->at;
	evaluate(j, location);
}

static void
skip_certificates(struct job *j)
{
	for (int i = 0; i < jv_array_length(jv_copy(j->known)); i++) {
		jv r = jv_array_get(jv_copy(j->known), i);
		jv name = jv_at(jv_copy(r), "name");
		const char *n = jv_string_peek(name);
		const char *leaf = n ? strchr(n, '/') : NULL;

		if (leaf &&
		    template_type_is(jv_copy(r), HUB_TYPE "/certificates") &&
		    same_certificate(j, jv_copy(r), leaf + 1)) {
			char *tail = xasprintf("/certificates/%s", leaf + 1);

			note("certificate '%s' is equal there; left alone",
			    leaf + 1);
			leave_out(j, i--, tail);
			free(tail);
		}
		jv_free(name);
		jv_free(r);
	}
}

static jv
deployment_body(struct job *j)
{
	jv p = jv_object();

	p = jv_put(p, "mode", jv_string("Incremental"));
	p = jv_put(p, "template", jv_copy(j->template));
	p = jv_put(p, "parameters", jv_copy(j->values));
	return jv_put(jv_object(), "properties", p);
}

/* What would change: {"lines","add","change","delete"}. */
static jv
what_if(struct job *j)
{
	jv body = deployment_body(j), in, changes, answer;

	if (!j->group_exists) {
		note("resource group '%s' does not exist yet: planned here, "
		     "not by the service",
		    group);
		return rule(j, "local",
		    jv_put(jv_object(), "resources", jv_copy(j->known)));
	}
	body = jv_setpath(body,
	    JV_ARRAY(jv_string("properties"), jv_string("whatIfSettings"),
		jv_string("resultFormat")),
	    jv_string("FullResourcePayloads"));
	answer = jv_or_die(
	    arm_call(j->arm, jv_put(arm_request("POST", ARM_API_DEPLOYMENTS,
					body, "%s/whatIf", j->path),
				 "repeat", jv_true())));
	changes = jv_path(jv_copy(answer), "properties.changes");
	if (jv_get_kind(changes) != JV_KIND_ARRAY) {
		jv_free(changes);
		changes = jv_at(answer, "changes");
	} else
		jv_free(answer);
	if (jv_get_kind(changes) != JV_KIND_ARRAY)
		die(REMOTE_RETRY, j->hub, "what-if gave no list of changes");
	in = jv_put(jv_object(), "changes", changes);
	in = jv_put(in, "secrets", jv_copy(j->secrets));
	return rule(j, "plan",
	    jv_put(in, "carried",
		jv_get_kind(j->policies) == JV_KIND_ARRAY ? jv_true()
							  : jv_false()));
}

/* Who sits at a terminal is asked. */
static bool
confirmed_by_hand(struct job *j)
{
	char line[128] = "";
	FILE *tty = isatty(STDERR_FILENO) && !msg_quiet()
			? fopen("/dev/tty", "r+e")
			: NULL;

	if (!tty)
		return false;
	(void)fprintf(
	    tty, "hub '%s' is there; type its name to overwrite: ", j->hub);
	(void)fflush(tty);
	if (!fgets(line, sizeof line, tty))
		line[0] = '\0';
	(void)fclose(tty);
	line[strcspn(line, "\r\n")] = '\0';
	return strcasecmp(line, j->hub) == 0;
}

static jv
state_of(jv body)
{
	return jv_path(body, "properties.provisioningState");
}

static bool
has_ended(jv body)
{
	jv state = state_of(body);
	bool ended = jv_string_is_nocase(jv_copy(state), "Succeeded") ||
		     jv_string_is_nocase(jv_copy(state), "Failed") ||
		     jv_string_is_nocase(jv_copy(state), "Canceled");

	jv_free(state);
	return ended;
}

/* Everything that can be found out without changing anything. */
static void
plan(struct job *j)
{
	jv found = look(j, ARM_API_GROUPS, j->group_id), hub = jv_null();
	jv running = jv_null();

	j->group_exists = jv_get_kind(found) == JV_KIND_OBJECT;
	if (j->group_exists) {
		hub = look(j, ARM_API_HUB, j->id);
		running = look(j, ARM_API_DEPLOYMENTS, j->path);
		if (!location)
			location =
			    jv_dup_string(jv_at(jv_copy(found), "location"));
		evaluate(j, jv_string_value(jv_at(found, "location")));
	} else {
		jv_free(found);
		if (!location)
			usage("resource group '%s' does not exist: where is it "
			      "to be? (-l REGION)",
			    group);
	}
	j->hub_exists = jv_get_kind(hub) == JV_KIND_OBJECT;
	j->attached = jv_get_kind(running) == JV_KIND_OBJECT &&
		      !has_ended(jv_copy(running));
	if (location)
		check_region(j, location);
	if (!j->attached && !j->hub_exists)
		check_name(j);
	if (!j->attached)
		check_identities(j, jv_copy(hub));
	if (!j->attached && j->hub_exists) {
		carry_policies(j);
		skip_certificates(j);
	}
	jv_free(hub);
	jv_free(running);
}

/* May it be deployed?  A hub that is there is overwritten only when nothing
 * would change, or its name has been said twice. */
static void
allow(struct job *j)
{
	jv changes;
	double n;

	if (!j->hub_exists || confirm)
		return;
	changes = what_if(j);
	n = jv_number_value(jv_at(jv_copy(changes), "change")) +
	    jv_number_value(jv_at(changes, "delete"));
	if (n == 0 || confirmed_by_hand(j))
		return;
	die(ANSWER_NO, j->hub,
	    "hub is there already and would change (look with -n; then "
	    "--confirm=%s overwrites it)",
	    j->hub);
}

static enum status
print_plan(struct job *j)
{
	jv changes, lines;
	struct out *out;

	if (j->attached) {
		note("deployment '%s' is running: the same command without -n "
		     "waits for it",
		    strrchr(j->path, '/') + 1);
		return DONE;
	}
	changes = what_if(j);
	lines = jv_at(jv_copy(changes), "lines");
	out = out_open(output, false);
	jv_array_foreach(lines, i, line) {
		out_span(out, span_of(jv_string_value(line)));
		out_add(out, "\n", 1);
		jv_free(line);
	}
	out_close(out);
	note("plan: %.0f to add, %.0f to change, %.0f to delete",
	    jv_number_value(jv_at(jv_copy(changes), "add")),
	    jv_number_value(jv_at(jv_copy(changes), "change")),
	    jv_number_value(jv_at(jv_copy(changes), "delete")));
	jv_free(lines);
	jv_free(changes);
	return DONE;
}

/* -- act ------------------------------------------------------------------ */

static void
make_group(struct job *j)
{
	if (j->group_exists)
		return;
	note("making resource group '%s' in %s", group, location);
	jv_free(jv_or_die(arm_call(
	    j->arm, arm_request("PUT", ARM_API_GROUPS,
			jv_put(jv_object(), "location", jv_string(location)),
			"%s", j->group_id))));
	j->group_exists = true;
}

/* The run that a deployment record is of. */
static jv
run_of(struct job *j)
{
	jv d = look(j, ARM_API_DEPLOYMENTS, j->path);
	jv run = jv_null();

	if (jv_get_kind(d) == JV_KIND_OBJECT)
		run = JV_ARRAY(jv_path(jv_copy(d), "properties.correlationId"),
		    jv_path(jv_copy(d), "properties.timestamp"));
	jv_free(d);
	return run;
}

/* Sends it once.  1: it runs; 0: it was not taken, try again; dies when it is
 * refused.  Without an answer only the deployment itself can tell. */
static int
send_once(struct job *j)
{
	jv before = run_of(j), answer, error, now;
	int status, same;

	answer =
	    arm_answer(j->arm, jv_put(arm_request("PUT", ARM_API_DEPLOYMENTS,
					  deployment_body(j), "%s", j->path),
				   "repeat", jv_false()));
	status = jv_is_valid(answer)
		     ? (int)jv_number_value(jv_at(jv_copy(answer), "status"))
		     : 0;
	if (status == 200 || status == 201 || status == 202) {
		jv_free(before);
		jv_free(answer);
		return 1;
	}
	error = jv_is_valid(answer) ? arm_error(jv_at(answer, "body"))
				    : jv_object();
	if (status == 0) {
		struct err e;

		(void)err_from_jv(&e, answer);
		if (e.status != REMOTE_RETRY)
			die_err(&e);
		trace("no answer: %s; looking whether it runs", e.text);
	}
	if (arm_status(status, jv_copy(error)) != REMOTE_RETRY)
		die(arm_status(status, jv_copy(error)), j->hub, "%s: %s",
		    jv_string_value(jv_at(jv_copy(error), "code")),
		    jv_string_value(jv_at(error, "message")));
	now = run_of(j);
	same = jv_equal(before, jv_copy(now));
	jv_free(error);
	/* DeploymentActive: somebody runs the very same. */
	if (jv_get_kind(now) != JV_KIND_NULL && (!same || status == 409)) {
		jv_free(now);
		return 1;
	}
	jv_free(now);
	return 0;
}

static void
deploy(struct job *j)
{
	double wait = 0.5;

	jv_free(jv_or_die(arm_call(
	    j->arm, jv_put(arm_request("POST", ARM_API_DEPLOYMENTS,
			       deployment_body(j), "%s/validate", j->path),
			"repeat", jv_true()))));
	for (int i = 0; i < TRIES; i++, wait *= 2) {
		if (send_once(j))
			return;
		http_sleep(arm_http(j->arm), wait);
	}
	die(REMOTE_RETRY, j->hub,
	    "the service does not take the deployment (run this again)");
}

/* One line for each resource that failed; the status they come to. */
static enum status
complain(struct job *j, jv operations, jv ended)
{
	enum status all = REMOTE_RETRY;
	int n = 0;

	jv_array_foreach(operations, i, operation) {
		jv p = jv_at(operation, "properties"), e, code, message;
		jv target = jv_path(jv_copy(p), "targetResource.resourceName");
		const char *hint = "";

		if (!jv_string_is_nocase(
			jv_at(jv_copy(p), "provisioningState"), "Failed")) {
			jv_free(p);
			jv_free(target);
			continue;
		}
		e = arm_error(jv_at(p, "statusMessage"));
		code = jv_at(jv_copy(e), "code");
		message = jv_at(jv_copy(e), "message");
		if (jv_string_is(jv_copy(code), "400116"))
			hint = " (key-inject puts keys into endpoints)";
		if (jv_string_is(jv_copy(code), "409002"))
			hint = " (run this again)";
		warn(jv_string_peek(target) ? jv_string_value(target) : "?",
		    "%s: %s%s", jv_string_value(code), jv_string_value(message),
		    hint);
		if (arm_status(400, e) != REMOTE_RETRY)
			all = REMOTE_REFUSED;
		n++;
		jv_free(code);
		jv_free(message);
		jv_free(target);
	}
	jv_free(operations);
	if (n == 0) { /* it failed as a whole */
		jv e = arm_error(jv_path(jv_copy(ended), "properties.error"));

		warn(j->hub, "%s: %s",
		    jv_string_value(jv_at(jv_copy(e), "code")),
		    jv_string_value(jv_at(jv_copy(e), "message")));
		all = arm_status(400, e);
	}
	jv_free(ended);
	return all;
}

static jv
operations(struct job *j)
{
	jv all = arm_list(j->arm, arm_request("GET", ARM_API_DEPLOYMENTS,
				      jv_null(), "%s/deployments/%s/operations",
				      j->group_id, strrchr(j->path, '/') + 1));

	if (jv_is_valid(all))
		return all;
	jv_free(all);
	return jv_array();
}

/* Until it has ended; gives the deployment as it is then, or dies. */
static jv
watch(struct job *j)
{
	jv resources = jv_at(jv_copy(j->template), "resources"), d;
	double wait = 0.1;
	long seen = 0, done;

	progress_begin("resources", jv_array_length(resources));
	for (;;) {
		jv all;

		d = jv_or_die(
		    arm_call(j->arm, arm_request("GET", ARM_API_DEPLOYMENTS,
					 jv_null(), "%s", j->path)));
		if (has_ended(jv_copy(d)))
			break;
		jv_free(d);
		http_sleep(arm_http(j->arm), wait);
		wait = wait * 1.5 > 10 ? 10 : wait * 1.5;
		all = operations(j);
		done = 0;
		jv_array_foreach(all, i, o) {
			done += jv_string_is_nocase(state_of(o), "Succeeded");
		}
		jv_free(all);
		if (done > seen)
			progress_add(done - seen);
		seen = done > seen ? done : seen;
	}
	progress_end();
	if (!jv_string_is_nocase(state_of(jv_copy(d)), "Succeeded"))
		die(complain(j, operations(j), d), j->hub,
		    "deployment '%s' failed", strrchr(j->path, '/') + 1);
	return d;
}

int
main(int argc, char *argv[])
{
	int at = tool_start(&tool, argc, argv);
	struct job j = {
		.known = jv_null(), .secrets = jv_array(), .policies = jv_null()
	};
	jv in;

	plugin_start();
	if (!group)
		usage("no resource group (-g GROUP)");
	read_job(&j, argv[at]);
	plan(&j);
	if (dry_run)
		return print_plan(&j);
	if (j.attached)
		note("deployment '%s' is running already: waiting for it",
		    strrchr(j.path, '/') + 1);
	else {
		allow(&j);
		make_group(&j);
		deploy(&j);
	}
	in = jv_put(jv_object(), "deployment", watch(&j));
	in = jv_put(in, "secrets", jv_copy(j.secrets));
	return doc_write(rule(&j, "result", in), output, false);
}
