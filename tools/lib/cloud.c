/* cloud.c: the table of clouds and regions; see cloud.h. */
#include "cloud.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "buf.h"
#include "doc.h"
#include "msg.h"
#include "share.h"

static const char *cloud_name;

const struct opt cloud_opts[] = {
	OPT_TEXT(0, "cloud", "NAME", &cloud_name,
	    "a cloud of share/clouds.json, or a file with one (AZURE_CLOUD)"),
	OPT_END,
};

static void
check_cloud(jv cloud, const char *name)
{
	static const char *const members[] = { "arm", "armAudience", "login",
		"hubSuffix", "hubAudience", "storageSuffix", "serviceBusSuffix",
		"cosmosSuffix", "dpsSuffix" };

	for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
		jv value = jv_at(jv_copy(cloud), members[i]);

		if (jv_get_kind(value) != JV_KIND_STRING)
			die(BAD_USAGE, name, "cloud has no member '%s'",
			    members[i]);
		/* Tokens and secrets go there. */
		if ((!strcmp(members[i], "arm") ||
			!strcmp(members[i], "login")) &&
		    strncmp(jv_string_value(value), "https://", 8) != 0)
			die(BAD_USAGE, name, "cloud: '%s' is no https:// URL",
			    members[i]);
		jv_free(value);
	}
	jv_free(cloud);
}

static jv
find_cloud(const char *name)
{
	jv table = share_table("clouds.json"), found = jv_null();
	struct buf names = BUF_INIT;

	if (strchr(name, '/') || strchr(name, '.')) {
		jv_free(table);
		return jv_or_die(doc_read(name));
	}
	jv_object_foreach(table, key, value) {
		const char *text = jv_string_value(key);

		buf_printf(&names, "%s%s", names.len ? ", " : "", text);
		if (strcasecmp(text, name) == 0) {
			jv_free(found);
			found = jv_copy(value);
		}
		jv_free(key);
		jv_free(value);
	}
	jv_free(table);
	if (jv_get_kind(found) != JV_KIND_OBJECT)
		die(BAD_USAGE, name,
		    "unknown cloud (known are %s; or name a file)", names.at);
	buf_free(&names);
	return found;
}

/* Chosen once; lives as long as the process, as what cloud_get() lends. */
static jv
cloud_peek(void)
{
	static bool known;
	static jv cloud;
	const char *name = cloud_name;

	if (known)
		return cloud;
	if (!name)
		name = getenv("AZURE_CLOUD");
	if (!name || !*name)
		name = "AzureCloud";
	cloud = find_cloud(name);
	check_cloud(jv_copy(cloud), name);
	known = true;
	return cloud;
}

const char *
cloud_get(const char *member)
{
	jv value = jv_at(jv_copy(cloud_peek()), member);
	const char *text = jv_string_peek(value);

	if (!text)
		bug("no member '%s' of a cloud", member);
	jv_free(value); /* the table holds it */
	return text;
}

size_t
cloud_hub_name(const char *host)
{
	const char *suffix = cloud_get("hubSuffix");
	size_t n = strlen(host), m = strlen(suffix);

	return n > m + 1 && host[n - m - 1] == '.' &&
		       strcasecmp(host + n - m, suffix) == 0
		   ? n - m - 1
		   : n;
}

jv
cloud_table(void)
{
	return jv_copy(cloud_peek());
}

char *
cloud_region(const char *any_spelling)
{
	char *name = xmalloc(strlen(any_spelling) + 1), *to = name;
	jv table, region;

	for (const char *p = any_spelling; *p; p++)
		if (*p != ' ')
			*to++ = (char)tolower((unsigned char)*p);
	*to = '\0';
	table = share_table("regions.json");
	region = jv_at(table, name);
	if (jv_get_kind(region) != JV_KIND_OBJECT) {
		free(name);
		name = NULL;
	}
	jv_free(region);
	return name;
}
