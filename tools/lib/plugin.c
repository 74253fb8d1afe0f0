/* plugin.c: finds, checks and loads endpoint plugins; see plugin.h. */
#include "plugin.h"

#include <ctype.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "doc.h"
#include "out.h"
#include "share.h"

static const char *plugin_dir;
static bool skip_unknown, list_plugins;

const struct opt plugin_opts[] = {
	OPT_TEXT(0, "plugin-dir", "DIR", &plugin_dir,
	    "look there for endpoint plugins first"),
	OPT_FLAG(0, "skip-unknown", &skip_unknown,
	    "pass endpoint types without a plugin through, with a warning"),
	OPT_FLAG(0, "list-plugins", &list_plugins,
	    "print the endpoint types that have a plugin and end"),
	OPT_END,
};

/* ---- loading ---- */

/* What was opened stays: a plugin is not closed, the process is short. */
struct loaded {
	struct loaded *next;
	char *path;
	const struct hubpipe_plugin *plugin;
};
static struct loaded *all_loaded;

static const char *
missing_member(const struct hubpipe_plugin *p)
{
	return !p->summary        ? "summary"
	       : !p->names        ? "names"
	       : !p->with_names   ? "with_names"
	       : !p->secrets      ? "secrets"
	       : !p->key_requests ? "key_requests"
	       : !p->resource     ? "resource"
				  : NULL;
}

/* base: the file's name without ".so". */
static int
check(const struct hubpipe_plugin *p, const char *path, const char *base,
    struct err *e)
{
	if (p->api != HUBPIPE_PLUGIN_API)
		return err_set(e, LOCAL_FAILURE, path,
		    "plugin refused: it was built for API %d, this is %d "
		    "(build it again with this hubpipe-plugin.h)",
		    p->api, HUBPIPE_PLUGIN_API);
	if (p->jv_size != sizeof(jv) || p->struct_size != sizeof *p)
		return err_set(e, LOCAL_FAILURE, path,
		    "plugin refused: its sizes are %zu and %zu bytes instead "
		    "of %zu and %zu (build it again with this "
		    "hubpipe-plugin.h and libjq)",
		    p->struct_size, p->jv_size, sizeof *p, sizeof(jv));
	if (!p->name || strcmp(p->name, base) != 0)
		return err_set(e, LOCAL_FAILURE, path,
		    "plugin refused: it calls itself '%s', its file must be "
		    "called '%s.so'",
		    p->name ? p->name : "", p->name ? p->name : "NAME");
	if (missing_member(p))
		return err_set(e, LOCAL_FAILURE, path,
		    "plugin refused: it lacks '%s'", missing_member(p));
	return 0;
}

static const struct hubpipe_plugin *
load(const char *dir, const char *file, struct err *e)
{
	char *path = xasprintf("%s/%s", dir, file), *base;
	const struct hubpipe_plugin *p = NULL;
	struct loaded *l;
	void *so;
	int rc;

	for (l = all_loaded; l; l = l->next)
		if (!strcmp(l->path, path)) {
			free(path);
			return l->plugin;
		}
	base = xstrndup(file, strlen(file) - strlen(".so"));
	so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (so)
		p = dlsym(so, "hubpipe_plugin");
	if (!p)
		rc =
		    err_set(e, LOCAL_FAILURE, path, "no plugin: %s", dlerror());
	else
		rc = check(p, path, base, e);
	free(base);
	if (rc != 0) {
		free(path);
		return NULL;
	}
	l = xcalloc(1, sizeof *l);
	*l = (struct loaded){ .next = all_loaded, .path = path, .plugin = p };
	all_loaded = l;
	return p;
}

/* ---- looking in a directory ---- */

static int
is_plugin_file(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return n > 3 && d->d_name[0] != '.' &&
	       !strcmp(d->d_name + n - 3, ".so");
}

typedef bool wanted_fn(
    const struct hubpipe_plugin *p, const char *key, const char *dir);

/* The first plugin in dir that is wanted; NULL with e->status DONE when there
 * is none.  With a key, only the file of that name is opened. */
static const struct hubpipe_plugin *
search(const char *dir, const char *file_key, wanted_fn *wanted,
    const char *key, struct err *e)
{
	const struct hubpipe_plugin *p = NULL;
	struct dirent **files = NULL;
	int n = scandir(dir, &files, is_plugin_file, alphasort);

	e->status = DONE;
	if (n < 0 && errno != ENOENT)
		(void)err_set(
		    e, LOCAL_FAILURE, dir, "cannot read: %s", strerror(errno));
	for (int i = 0; i < n; i++) {
		const char *file = files[i]->d_name;

		if (p || e->status != DONE)
			continue;
		if (file_key &&
		    (strlen(file) != strlen(file_key) + 3 ||
			strncasecmp(file, file_key, strlen(file_key)) != 0))
			continue;
		p = load(dir, file, e);
		if (p && !wanted(p, key, dir))
			p = NULL;
	}
	for (int i = 0; i < n; i++)
		free(files[i]);
	free(files);
	return p;
}

static bool
any(const struct hubpipe_plugin *p, const char *key, const char *dir)
{
	(void)p;
	(void)key;
	(void)dir;
	return true;
}

static bool
is_alias(const struct hubpipe_plugin *p, const char *key, const char *dir)
{
	(void)dir;
	for (const char *const *a = p->aliases; a && *a; a++)
		if (!strcasecmp(*a, key))
			return true;
	return false;
}

static bool
is_claim(const struct hubpipe_plugin *p, const char *key, const char *dir)
{
	(void)dir;
	return p->claims && !strcmp(p->claims, key);
}

/* In both directories; by file name if that is asked for. */
static const struct hubpipe_plugin *
search_both(bool by_file, wanted_fn *wanted, const char *key, struct err *e)
{
	char *builtin = share_plugin_dir();
	const struct hubpipe_plugin *p = NULL;

	e->status = DONE;
	if (plugin_dir)
		p = search(plugin_dir, by_file ? key : NULL, wanted, key, e);
	if (!p && e->status == DONE)
		p = search(builtin, by_file ? key : NULL, wanted, key, e);
	free(builtin);
	return p;
}

static const struct hubpipe_plugin *
find(const char *key, struct err *e)
{
	const struct hubpipe_plugin *p;

	for (const char *c = key; *c; c++)
		if (!isalnum((unsigned char)*c) || (unsigned char)*c > 127) {
			(void)err_set(e, BAD_DATA, key,
			    "an endpoint type has letters and digits only");
			return NULL;
		}
	p = search_both(true, any, key, e);
	if (!p && e->status == DONE)
		p = search_both(false, is_alias, key, e);
	return p;
}

/* Types of which a warning has been given; grows only with --skip-unknown. */
static bool
warned_before(const char *key)
{
	static struct opt_list seen;

	for (size_t i = 0; i < seen.count; i++)
		if (!strcmp(seen.value[i], key))
			return true;
	seen.value =
	    xrealloc(seen.value, (seen.count + 1) * sizeof *seen.value);
	seen.value[seen.count++] = xstrdup(key);
	return false;
}

const struct hubpipe_plugin *
plugin_for(const char *key, struct err *e)
{
	const struct hubpipe_plugin *p = *key ? find(key, e) : NULL;
	char *builtin;

	if (!*key)
		(void)err_set(e, BAD_DATA, NULL, "an endpoint type is empty");
	if (p || e->status != DONE)
		return p;
	builtin = share_plugin_dir();
	if (skip_unknown && !warned_before(key))
		warn(NULL,
		    "no plugin for endpoint type '%s': its endpoints are "
		    "passed through as they are",
		    key);
	if (!skip_unknown)
		(void)err_set(e, LOCAL_FAILURE, NULL,
		    "no plugin for endpoint type '%s' (looked in '%s%s%s'; "
		    "--skip-unknown passes it through)",
		    key, plugin_dir ? plugin_dir : "", plugin_dir ? "', '" : "",
		    builtin);
	free(builtin);
	return NULL;
}

const struct hubpipe_plugin *
plugin_claiming(const char *path, struct err *e)
{
	const struct hubpipe_plugin *p = search_both(false, is_claim, path, e);

	if (!p && e->status == DONE)
		(void)err_set(e, LOCAL_FAILURE, NULL,
		    "no plugin looks after '%s' (see --list-plugins)", path);
	return p;
}

/* ---- --list-plugins ---- */

/* The whole directory is walked: this wants none of them. */
static bool
list_one(const struct hubpipe_plugin *p, const char *key, const char *dir)
{
	(void)key;
	printf("%s\t%s\t%s\n", p->name, p->summary, dir);
	return false;
}

void
plugin_start(void)
{
	struct err e;

	if (!list_plugins)
		return;
	(void)search_both(false, list_one, NULL, &e);
	if (e.status != DONE)
		die_err(&e);
	if (fflush(stdout) || ferror(stdout))
		die(LOCAL_FAILURE, "stdout", "write failed: %s",
		    strerror(errno));
	exit(DONE);
}

/* ---- slots of a hub's properties ---- */

static jv
slot(jv path, const char *type, jv endpoint)
{
	jv s = jv_put(jv_object(), "path", path);

	s = jv_put(s, "type", jv_string(type));
	return jv_put(s, "endpoint", endpoint);
}

/* The endpoints of one type appended to slots; or invalid. */
static jv
add_type(jv slots, const char *key, jv list)
{
	const struct hubpipe_plugin *p;
	struct err e = { .status = DONE };

	/* A key is checked even where no plugin is needed. */
	p = jv_array_length(jv_copy(list)) ? plugin_for(key, &e) : NULL;
	if (e.status != DONE) {
		jv_free(slots);
		slots = jv_from_err(&e);
	}
	jv_array_foreach(list, i, endpoint) {
		if (!p) {
			jv_free(endpoint);
			continue;
		}
		if (jv_get_kind(endpoint) != JV_KIND_OBJECT) {
			jv_free(endpoint);
			jv_free(slots);
			slots = jv_fail(
			    BAD_DATA, key, "endpoint %d is no object", i);
			p = NULL;
			continue;
		}
		slots = jv_array_append(slots,
		    slot(JV_ARRAY(jv_string("routing"), jv_string("endpoints"),
			     jv_string(key), jv_number(i)),
			p->name, endpoint));
	}
	jv_free(list);
	return slots;
}

struct claims {
	jv properties, slots;
};
static struct claims *claiming; /* during one walk over the plugins */

static bool
add_claim(const struct hubpipe_plugin *p, const char *key, const char *dir)
{
	jv at, path = jv_array(), part;

	(void)key;
	(void)dir;
	if (!p->claims)
		return false;
	at = jv_path(jv_copy(claiming->properties), p->claims);
	if (jv_get_kind(at) != JV_KIND_OBJECT) {
		jv_free(at);
		jv_free(path);
		return false;
	}
	part = jv_string_split(jv_string(p->claims), jv_string("."));
	path = jv_array_concat(path, part);
	claiming->slots =
	    jv_array_append(claiming->slots, slot(path, p->name, at));
	return false;
}

jv
plugin_slots(jv properties)
{
	struct claims c = { .properties = properties, .slots = jv_array() };
	jv endpoints = jv_path(jv_copy(properties), "routing.endpoints");
	struct err e;

	if (jv_get_kind(endpoints) == JV_KIND_OBJECT)
		jv_object_foreach(endpoints, key, list) {
			if (jv_is_valid(c.slots) &&
			    jv_get_kind(list) == JV_KIND_ARRAY)
				c.slots = add_type(c.slots,
				    jv_string_value(key), jv_copy(list));
			jv_free(key);
			jv_free(list);
		}
	jv_free(endpoints);
	if (jv_is_valid(c.slots)) {
		claiming = &c;
		(void)search_both(false, add_claim, NULL, &e);
		claiming = NULL;
		if (e.status != DONE) {
			jv_free(c.slots);
			c.slots = jv_from_err(&e);
		}
	}
	jv_free(properties);
	return c.slots;
}

const struct hubpipe_plugin *
plugin_of_slot_peek(jv s)
{
	jv type = jv_at(jv_copy(s), "type");
	struct err e;
	const struct hubpipe_plugin *p = plugin_for(jv_string_value(type), &e);

	jv_free(type);
	return p;
}

jv
plugin_slot_label(jv s)
{
	jv name = jv_path(jv_copy(s), "endpoint.name"), path;
	jv label = jv_string("");

	if (jv_get_kind(name) == JV_KIND_STRING) {
		jv_free(label);
		jv_free(s);
		label = jv_text("endpoint '%s'", jv_string_value(name));
		jv_free(name);
		return label;
	}
	jv_free(name);
	path = jv_at(s, "path");
	jv_array_foreach(path, i, part) {
		if (i)
			label = jv_string_append_str(label, ".");
		if (jv_get_kind(part) != JV_KIND_STRING)
			part = jv_dump_string(part, 0);
		label = jv_string_concat(label, part);
	}
	jv_free(path);
	return label;
}

jv
plugin_ask(jv s, jv (*question)(jv endpoint))
{
	jv answer = question(jv_at(jv_copy(s), "endpoint")), label;
	struct err e;

	if (jv_is_valid(answer)) {
		jv_free(s);
		return answer;
	}
	(void)err_from_jv(&e, answer);
	label = plugin_slot_label(s);
	answer = jv_fail(e.status, jv_string_value(label), "%s", e.text);
	jv_free(label);
	return answer;
}

/* ---- what a tool asks of all endpoints ---- */

static jv
uplift_type(jv endpoints, const char *key, jv list, struct err *e)
{
	const struct hubpipe_plugin *p = plugin_for(key, e);
	jv out, old;

	if (!p) {
		/* What has no endpoints needs no plugin. */
		if (e->status == LOCAL_FAILURE &&
		    jv_array_length(jv_copy(list)) == 0)
			e->status = DONE;
		return jv_object_set(endpoints, jv_string(key), list);
	}
	old = jv_at(jv_copy(endpoints), p->name);
	out = jv_get_kind(old) == JV_KIND_ARRAY ? old : jv_array();
	if (jv_get_kind(old) != JV_KIND_ARRAY)
		jv_free(old);
	jv_array_foreach(list, i, endpoint) {
		if (p->uplift && jv_get_kind(endpoint) == JV_KIND_OBJECT)
			endpoint = p->uplift(endpoint);
		if (!jv_is_valid(endpoint)) {
			(void)err_from_jv(e, endpoint);
			continue;
		}
		out = jv_array_append(out, endpoint);
	}
	jv_free(list);
	return jv_object_set(endpoints, jv_string(p->name), out);
}

jv
plugin_uplift(jv properties)
{
	jv endpoints = jv_path(jv_copy(properties), "routing.endpoints");
	jv out = jv_object();
	struct err e = { .status = DONE };

	if (jv_get_kind(endpoints) != JV_KIND_OBJECT ||
	    jv_object_length(jv_copy(endpoints)) == 0) {
		jv_free(endpoints);
		jv_free(out);
		return properties;
	}
	jv_object_foreach(endpoints, key, list) {
		if (e.status == DONE && jv_get_kind(list) == JV_KIND_ARRAY)
			out = uplift_type(
			    out, jv_string_value(key), jv_copy(list), &e);
		else
			out = jv_object_set(out, jv_copy(key), jv_copy(list));
		jv_free(key);
		jv_free(list);
	}
	jv_free(endpoints);
	if (e.status != DONE) {
		jv_free(properties);
		jv_free(out);
		return jv_from_err(&e);
	}
	return jv_setpath(properties,
	    JV_ARRAY(jv_string("routing"), jv_string("endpoints")), out);
}

static bool
slot_has_secret(jv s)
{
	const struct hubpipe_plugin *p = plugin_of_slot_peek(s);
	jv secrets = p->secrets(jv_at(s, "endpoint"));
	bool has = false;

	if (!jv_is_valid(secrets)) {
		jv_free(secrets);
		return false;
	}
	jv_array_foreach(secrets, i, secret) {
		jv value = jv_at(secret, "value");
		const char *text = jv_string_peek(value);

		has = has || (text && strcmp(text, PLUGIN_MASK) != 0);
		jv_free(value);
	}
	jv_free(secrets);
	return has;
}

bool
plugin_has_secret(jv properties)
{
	jv policies = jv_at(jv_copy(properties), "authorizationPolicies");
	bool has = jv_get_kind(policies) == JV_KIND_ARRAY &&
		   jv_array_length(jv_copy(policies)) > 0;
	jv slots = plugin_slots(properties);

	jv_free(policies);
	if (!jv_is_valid(slots)) {
		jv_free(slots);
		return has;
	}
	jv_array_foreach(slots, i, s)
		has = slot_has_secret(s) || has;
	jv_free(slots);
	return has;
}
