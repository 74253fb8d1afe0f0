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

static bool
is_alias(const struct hubpipe_plugin *p, void *key)
{
	for (const char *const *a = p->aliases; a && *a; a++)
		if (!strcasecmp(*a, key))
			return true;
	return false;
}

static bool
is_claim(const struct hubpipe_plugin *p, void *path)
{
	return p->claims && !strcmp(p->claims, path);
}

/* The first plugin in dir that is wanted, or the one in KEY.so; NULL with
 * e->status DONE when there is none. */
static const struct hubpipe_plugin *
search(const char *dir, const char *key, plugin_wanted *wanted, void *ctx,
    struct err *e)
{
	const struct hubpipe_plugin *p = NULL;
	struct dirent **files = NULL;
	int n = scandir(dir, &files, is_plugin_file, alphasort);

	e->status = DONE;
	if (n < 0 && (errno != ENOENT || dir == plugin_dir))
		(void)err_set(
		    e, LOCAL_FAILURE, dir, "cannot read: %s", strerror(errno));
	for (int i = 0; i < n; i++) {
		const char *file = files[i]->d_name;

		if (p || e->status != DONE)
			continue;
		if (key && (strlen(file) != strlen(key) + 3 ||
			       strncasecmp(file, key, strlen(key)) != 0))
			continue;
		p = load(dir, file, e);
		if (p && !key && !wanted(p, ctx))
			p = NULL;
	}
	for (int i = 0; i < n; i++)
		free(files[i]);
	free(files);
	return p;
}

static const struct hubpipe_plugin *
search_both(const char *key, plugin_wanted *wanted, void *ctx, struct err *e)
{
	char *builtin = share_plugin_dir();
	const struct hubpipe_plugin *p = NULL;

	e->status = DONE;
	if (plugin_dir)
		p = search(plugin_dir, key, wanted, ctx, e);
	if (!p && e->status == DONE)
		p = search(builtin, key, wanted, ctx, e);
	free(builtin);
	return p;
}

const struct hubpipe_plugin *
plugin_find(const char *text, struct err *e)
{
	const struct hubpipe_plugin *p;
	char *key = xstrdup(text);
	bool good = *key != '\0';

	for (const char *c = key; *c; c++)
		good = good && isalnum((unsigned char)*c);
	if (!good) {
		(void)err_set(e, BAD_DATA, key,
		    "an endpoint type has letters and digits only");
		free(key);
		return NULL;
	}
	p = search_both(key, NULL, NULL, e);
	if (!p && e->status == DONE)
		p = search_both(NULL, is_alias, key, e);
	free(key);
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
	const struct hubpipe_plugin *p = plugin_find(key, e);
	char *builtin;

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
plugin_search(plugin_wanted *wanted, void *ctx, struct err *e)
{
	return search_both(NULL, wanted, ctx, e);
}

const struct hubpipe_plugin *
plugin_claiming(const char *path, struct err *e)
{
	char *wanted = xstrdup(path);
	const struct hubpipe_plugin *p = search_both(NULL, is_claim, wanted, e);

	free(wanted);
	if (!p && e->status == DONE)
		(void)err_set(e, LOCAL_FAILURE, NULL,
		    "no plugin looks after '%s' (see --list-plugins)", path);
	return p;
}

/* ---- --list-plugins ---- */

/* The whole directory is walked: this wants none of them. */
static bool
list_one(const struct hubpipe_plugin *p, void *ctx)
{
	(void)ctx;
	printf("%s\t%s\n", p->name, p->summary);
	return false;
}

void
plugin_start(void)
{
	struct err e;

	if (!list_plugins)
		return;
	(void)search_both(NULL, list_one, NULL, &e);
	if (e.status != DONE)
		die_err(&e);
	tool_end();
}
