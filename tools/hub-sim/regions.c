/*
 * regions.c: the regions of the cloud, from share/regions.json.
 */
#include "arm.h"

#include <ctype.h>

#include "share.h"

jv
arm_regions(void)
{
	static jv table;
	static bool read;

	if (!read) {
		table = share_table("regions.json");
		read = true;
	}
	return jv_copy(table);
}

char *
arm_region(jv given)
{
	const char *text = jv_string_peek(given);
	struct buf name = BUF_INIT;
	jv found;

	for (; text && *text; text++)
		if (*text != ' ')
			buf_char(&name, (char)tolower((unsigned char)*text));
	jv_free(given);
	found = jv_at(arm_regions(), name.at ? name.at : "");
	if (jv_get_kind(found) != JV_KIND_OBJECT)
		buf_free(&name);
	jv_free(found);
	return name.at;
}

/* The table is never freed, so its texts can be lent. */
static const char *
region_text(const char *region, const char *member)
{
	jv v = jv_at(jv_at(arm_regions(), region), member);
	const char *text = jv_string_peek(v);

	jv_free(v);
	return text;
}

const char *
arm_region_title(const char *region)
{
	return region_text(region, "displayName");
}

const char *
arm_region_pair(const char *region)
{
	return region_text(region, "pairedWith");
}
