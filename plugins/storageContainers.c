/* storageContainers: a blob container as a routing endpoint, and the storage
 * account for file upload, which is one but for its place (CONTRACT 5). */
#define ACCOUNTS "Microsoft.Storage/storageAccounts"
#define VERSION "2023-05-01"
#define NO_ACCOUNT "connectionString lacks 'AccountName'"
#include "account.h"

/* Parts that hold a host whose first label is the account. */
static const char *const hosts[] = { "BlobEndpoint", "FileEndpoint",
	"QueueEndpoint", "TableEndpoint", NULL };

static jv
account_of(jv endpoint)
{
	jv account = part_text(endpoint, "AccountName");

	if (!is_text(account))
		account = label_of(text_of(endpoint, "endpointUri"));
	return account;
}

static jv
names(jv endpoint)
{
	jv out = put(jv_object(), "account", account_of(endpoint));

	out = put(out, "container", text_of(endpoint, "containerName"));
	jv_free(endpoint);
	return out;
}

/* An endpoint without any string and address is a new one. */
static jv
with_names(jv endpoint, jv wanted, jv cloud)
{
	jv account = text_of(wanted, "account"), host;
	jv uri = text_of(endpoint, "endpointUri");
	jv string = text_of(endpoint, "connectionString");
	jv suffix = text_of(cloud, "storageSuffix");

	endpoint = put(endpoint, "containerName", text_of(wanted, "container"));
	if (is_text(uri) && is_text(account))
		endpoint = put(endpoint, "endpointUri",
		    with_label(jv_copy(uri), jv_copy(account)));
	if (is_text(string) && is_text(account)) {
		for (int i = 0; hosts[i]; i++) {
			host = part_text(endpoint, hosts[i]);
			if (is_text(host))
				string = with_part(string, hosts[i],
				    with_label(host, jv_copy(account)));
			else
				jv_free(host);
		}
		string = with_part(string, "AccountName", jv_copy(account));
		endpoint = put(endpoint, "connectionString", jv_copy(string));
	} else if (!is_text(uri) && is_text(account) && is_text(suffix)) {
		endpoint = put(endpoint, "connectionString",
		    jv_string_fmt("DefaultEndpointsProtocol=https;"
				  "EndpointSuffix=%s;AccountName=%s;"
				  "AccountKey=****",
			jv_string_value(suffix), jv_string_value(account)));
	}
	jv_free(account);
	jv_free(uri);
	jv_free(string);
	jv_free(suffix);
	jv_free(wanted);
	jv_free(cloud);
	return endpoint;
}

/* A hub with no file upload has "" or null for a connection string. */
static jv
secrets(jv endpoint)
{
	jv string = text_of(endpoint, "connectionString");
	int keyless = is_identity_based(endpoint) || !is_text(string);

	jv_free(endpoint);
	if (keyless) {
		jv_free(string);
		return jv_array();
	}
	return JV_ARRAY(secret_in(string, "AccountKey",
	    JV_ARRAY(jv_string("keys"), jv_number(0), jv_string("value"))));
}

HUBPIPE_PLUGIN(.name = "storageContainers",
    .summary = "a blob container, by account key or identity", .names = names,
    .with_names = with_names, .secrets = secrets, .key_requests = key_requests,
    .resource = resource, .read_only = read_only,
    .role = "Storage Blob Data Contributor",
    .claims = "storageEndpoints.$default");
