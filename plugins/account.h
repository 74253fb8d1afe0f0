/*
 * account.h: an endpoint that lies in an account whose keys Azure lists.  The
 * plugin that includes it has account_of() and has defined
 *
 *   ACCOUNTS    the type of the account, "Microsoft.X/accounts"
 *   VERSION     its api-version
 *   NO_ACCOUNT  what is wrong with an endpoint that names none
 */
#include "endpoint.h"

static jv account_of(jv endpoint); /* its name or jv_null(); borrows */

static jv
account_request(jv endpoint, const char *action)
{
	jv account = account_of(endpoint);

	jv_free(endpoint);
	if (is_text(account))
		return request_for(
		    ACCOUNTS, JV_ARRAY(account), VERSION, action);
	jv_free(account);
	return fail(NO_ACCOUNT);
}

static jv
key_requests(jv endpoint)
{
	return only(account_request(endpoint, "listKeys"));
}

static jv
resource(jv endpoint)
{
	return account_request(endpoint, NULL);
}

static const char *const read_only[] = { "id", NULL };
