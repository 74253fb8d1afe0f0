/*
 * hubpipe-plugin.h: the whole contract between hubpipe's tools and an
 * endpoint plugin.  Taught in hubpipe-plugin(3); what is not in that page, do
 * not rely on.
 *
 * A plugin knows one type of routing endpoint and does no I/O: it says which
 * request fetches a key and where the key goes.  The tool talks to Azure, so
 * concurrency, retries, dry runs and secrets are solved once, there.
 *
 * As in libjq, every jv argument is consumed and every jv result is the
 * caller's.  Failure is an invalid jv with a string for its message:
 * jv_invalid_with_msg(jv_string("...")).  A member of an endpoint may be an
 * object instead of a string: an ARM expression that nobody knows yet.  Leave
 * those alone.
 */
#ifndef HUBPIPE_PLUGIN_H
#define HUBPIPE_PLUGIN_H

#include <jv.h>
#include <stddef.h>

/*
 * 0: members may still change, and every number but this one is refused.
 * From 1 on members are only added at the end, and old builds keep loading.
 */
#define HUBPIPE_PLUGIN_API 0

struct hubpipe_plugin {
	/* Set by HUBPIPE_PLUGIN(). */
	size_t struct_size, jv_size;
	int api;

	/* Required. */

	/* The key under properties.routing.endpoints, spelt as the newest
	 * api-version spells it, and the name of the file without ".so". */
	const char *name;
	/* One line for --list-plugins. */
	const char *summary;

	/*
	 * The names that stand in an endpoint, as an object of strings: for
	 * an event hub {"namespace","entity","rule"}.  A rename by the user
	 * compares whole values, never parts.
	 */
	jv (*names)(jv endpoint);
	/*
	 * The endpoint with those names put in their places.  Names that are
	 * missing stay as they are.  cloud is the table of the cloud
	 * ("storageSuffix", ...), for an endpoint that is made anew, without
	 * a connection string to take the rest from.
	 */
	jv (*with_names)(jv endpoint, jv names, jv cloud);

	/*
	 * Where the secrets are: an array of
	 *   {"member": "connectionString",   the member of the endpoint
	 *    "before": "...SharedAccessKey=", "after": ";EntityPath=e",
	 *    "value": "****",                what is there now, or null
	 *    "from": ["primaryKey"]}         its path in the keys' answer
	 * The member is before + key + after.  Empty for an identity-based
	 * endpoint.
	 */
	jv (*secrets)(jv endpoint);
	/*
	 * The requests that fetch the key, the most specific first: an array
	 * of {"type": "Microsoft.EventHub/namespaces/authorizationRules",
	 *     "names": ["ns", "rule"], "apiVersion": "2021-11-01",
	 *     "action": "listKeys"}
	 * The tool takes subscription and resource group from the endpoint, or
	 * finds the resource by listing.
	 */
	jv (*key_requests)(jv endpoint);
	/* The Azure resource behind it, in the same form, without action. */
	jv (*resource)(jv endpoint);

	/* Optional: NULL where there is none. */

	/* Older spellings of the key, NULL at the end. */
	const char *const *aliases;
	/* Members that the service gives and a new hub must not get, such as
	 * "id"; NULL at the end. */
	const char *const *read_only;
	/* The role that an identity needs to send there. */
	const char *role;
	/* Another place in properties that holds an object of this type:
	 * "storageEndpoints.$default", whose names must be "account" and
	 * "container". */
	const char *claims;
	/* An endpoint in an older api-version's form in the newest one. */
	jv (*uplift)(jv endpoint);
};

#define HUBPIPE_PLUGIN(...)                                   \
	__attribute__((visibility("default")))                \
	const struct hubpipe_plugin hubpipe_plugin = {        \
		.struct_size = sizeof(struct hubpipe_plugin), \
		.jv_size = sizeof(jv),                        \
		.api = HUBPIPE_PLUGIN_API,                    \
		__VA_ARGS__                                   \
	}

#endif
