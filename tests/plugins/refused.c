/* refused: a plugin that the loader must not take, for the reason given by
 * -DREASON_...; without one it is good. */
#include "hubpipe-plugin.h"

#ifndef NAME
#define NAME "refused"
#endif

static jv
same(jv endpoint)
{
	return endpoint;
}

static jv
with_names(jv endpoint, jv names, jv cloud)
{
	jv_free(names);
	jv_free(cloud);
	return endpoint;
}

static jv
none(jv endpoint)
{
	jv_free(endpoint);
	return jv_array();
}

__attribute__((visibility("default")))
#ifdef REASON_SYMBOL
const struct hubpipe_plugin some_plugin = {
#else
const struct hubpipe_plugin hubpipe_plugin = {
#endif
	.struct_size = sizeof(struct hubpipe_plugin)
#ifdef REASON_SIZE
		       - 8
#endif
	,
#ifdef REASON_JV
	.jv_size = 8,
#else
	.jv_size = sizeof(jv),
#endif
#ifdef REASON_API
	.api = 7,
#else
	.api = HUBPIPE_PLUGIN_API,
#endif
	.name = NAME,
	.summary = "for tests",
	.names = same,
	.with_names = with_names,
#ifndef REASON_MEMBER
	.secrets = none,
#endif
	.key_requests = none,
	.resource = same,
};
