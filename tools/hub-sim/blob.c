/*
 * blob.c: the blob service (CONTRACT 17): what a request is for, and the
 * containers; see blobroom.h.
 *
 * Names are data here, never a path of this machine; what would climb out of
 * its container is refused all the same, as the service does before it looks.
 */
#include "blobroom.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

static bool
is_one_of(const char *word, const char *const *list)
{
	for (; word && *list; list++)
		if (strcasecmp(word, *list) == 0)
			return true;
	return false;
}

static bool
is(const char *word, const char *wanted)
{
	return word && strcasecmp(word, wanted) == 0;
}

/* -- names --------------------------------------------------------------- */

/* Percent-decoded; NULL for what no name can hold: a zero byte, half an
 * escape, or bytes that are no UTF-8. */
static char *
decode(const char *at, size_t len)
{
	struct buf out = BUF_INIT, text = BUF_INIT;
	bool good = true;

	buf_text(&out, "");
	for (size_t i = 0; i < len && good; i++) {
		int c = (unsigned char)at[i];

		if (c == '%') {
			int high = i + 2 < len ? hex_value(at[i + 1]) : -1,
			    low = i + 2 < len ? hex_value(at[i + 2]) : -1;

			c = high < 0 || low < 0 ? 0 : high * 16 + low;
			i += 2;
		}
		good = c != 0;
		buf_char(&out, (char)c);
	}
	if (good) { /* the scanner of JSON knows what UTF-8 is */
		struct json all = { 0 };
		struct json_fault fault;

		buf_json(&text, out.at ? out.at : "", out.len);
		good = json_scan(buf_peek(&text), &all, &fault) == 0;
		json_free(&all);
	}
	buf_free(&text);
	if (good && out.at)
		return out.at;
	buf_free(&out);
	return good ? xstrdup("") : NULL;
}

static bool
container_name_is_good(struct blob_visit *v, const char *name)
{
	static const char *const special[] = { "$root", "$web", "$logs", NULL };
	size_t n = strlen(name);

	if (is_one_of(name, special))
		return true;
	if (n < 3 || n > 63)
		blob_fail(v, 400, "OutOfRangeInput",
		    "The specified resource name length is not within the "
		    "permissible limits.");
	else if (name[0] == '-' || name[n - 1] == '-' || strstr(name, "--") ||
		 strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != n)
		blob_fail(v, 400, "InvalidResourceName",
		    "The specifed resource name contains invalid characters.");
	return v->r->status == 0;
}

static bool
bad_uri(struct blob_visit *v)
{
	blob_fail(v, 400, "InvalidUri",
	    "The requested URI does not represent any resource on the "
	    "server.");
	return false;
}

static bool
blob_name_is_good(struct blob_visit *v, const char *name)
{
	size_t characters = 0, segments = 1;

	for (const char *c = name; *c; c++) {
		characters += ((unsigned char)*c & 0xc0) != 0x80;
		segments += *c == '/';
	}
	if (characters > BLOB_NAME_MAX || segments > 254) {
		blob_fail(v, 400, "OutOfRangeInput",
		    "The specified resource name length is not within the "
		    "permissible limits.");
		return false;
	}
	for (const char *at = name;; at++) {
		size_t n = strcspn(at, "/\\");

		if ((n == 1 && *at == '.') ||
		    (n == 2 && at[0] == '.' && at[1] == '.'))
			return bad_uri(v);
		at += n;
		if (!*at)
			return true;
	}
}

/* Container and blob from the path after the account's part. */
static bool
read_names(struct blob_visit *v, const char *path)
{
	size_t n;

	path += *path == '/';
	n = strcspn(path, "/");
	if (n == 0)
		return *path ? bad_uri(v) : true;
	v->container = decode(path, n);
	if (path[n] && path[n + 1]) {
		v->name = decode(path + n + 1, strlen(path + n + 1));
		if (!v->name)
			return bad_uri(v);
	}
	if (!v->container)
		return bad_uri(v);
	/* What is in no container is in the root container. */
	if (!v->name && !v->restype) {
		v->name = v->container;
		v->container = xstrdup("$root");
	}
	if (!container_name_is_good(v, v->container) ||
	    (v->name && !blob_name_is_good(v, v->name)))
		return false;
	v->container_key = blob_container_key(&v->account, v->container);
	return true;
}

/* -- containers ---------------------------------------------------------- */

static void
stamp(struct blob_visit *v, jv body, int64_t *etag, int64_t *modified)
{
	char *tag = arm_text(body, "etag"),
	     *time = jv_dup_string(
		 jv_path(jv_copy(body), "properties.lastModifiedTime"));

	*etag = tag ? strtoll(tag + (*tag == '"'), NULL, 16) : 1;
	*modified = v->now;
	if (time)
		(void)blob_iso_date(time, modified);
	free(tag);
	free(time);
}

static void
say_stamp(struct blob_visit *v, jv body)
{
	int64_t etag, modified;

	stamp(v, body, &etag, &modified);
	blob_say_etag(v, etag, modified);
}

/* "None", "Blob" or "Container" as ARM spells it; NULL: answered. */
static const char *
wanted_access(struct blob_visit *v)
{
	const char *given = v->q->header(v->q, "x-ms-blob-public-access");

	if (!given)
		return "None";
	if (!is(given, "container") && !is(given, "blob")) {
		blob_bad_header(v, "x-ms-blob-public-access", given);
		return NULL;
	}
	if (!blob_account_is_open(v->s, &v->account)) {
		blob_fail(v, 409, "PublicAccessNotPermitted",
		    "Public access is not permitted on this storage account.");
		return NULL;
	}
	return is(given, "blob") ? "Blob" : "Container";
}

static void
answer_store(struct blob_visit *v, int status, jv properties)
{
	jv body =
	    blob_container_store(v->s, &v->account, v->container, properties);

	if (!jv_is_valid(body)) {
		jv_free(body);
		blob_fail(v, 400, "InvalidResourceName",
		    "The specifed resource name contains invalid characters.");
		return;
	}
	jv_free(body);
	body = blob_container_load(v->s, &v->account, v->container);
	v->r->status = status;
	say_stamp(v, body);
	jv_free(body);
}

static void
create(struct blob_visit *v)
{
	const char *access;
	char *metadata;

	if (!blob_allowed(v, ON_CONTAINER, "cw") ||
	    !(access = wanted_access(v)) || !(metadata = blob_metadata(v)))
		return;
	if (blob_container_exists(v->s, &v->account, v->container))
		blob_fail(v, 409, "ContainerAlreadyExists",
		    "The specified container already exists.");
	else
		answer_store(v, 201,
		    jv_put(
			jv_put(jv_object(), "publicAccess", jv_string(access)),
			"metadata", jv_parse(metadata)));
	free(metadata);
}

/* The container, its conditions met; invalid: answered. */
static jv
existing(struct blob_visit *v, bool reading)
{
	jv body = blob_container_load(v->s, &v->account, v->container);
	int64_t etag, modified;

	if (!jv_is_valid(body)) {
		jv_free(body);
		blob_no_container(v);
		return jv_invalid();
	}
	if (v->q->header(v->q, "x-ms-lease-id")) {
		jv_free(body);
		blob_fail(v, 412, "LeaseNotPresentWithContainerOperation",
		    "There is currently no lease on the container.");
		return jv_invalid();
	}
	stamp(v, body, &etag, &modified);
	if (blob_condition(v, etag, modified, reading))
		return body;
	jv_free(body);
	return jv_invalid();
}

static void
drop(struct blob_visit *v)
{
	jv body;

	if (!blob_allowed(v, ON_CONTAINER, "d"))
		return;
	body = existing(v, false);
	if (!jv_is_valid(body)) {
		jv_free(body);
		return;
	}
	jv_free(body);
	blob_container_delete(v->s, &v->account, v->container);
	v->r->status = 202;
}

static void
say_access(struct blob_visit *v, jv body)
{
	char *access =
	    jv_dup_string(jv_path(jv_copy(body), "properties.publicAccess"));

	if (is(access, "Blob") || is(access, "Container"))
		sim_head(v->r, "x-ms-blob-public-access", "%s",
		    is(access, "Blob") ? "blob" : "container");
	free(access);
}

static void
properties(struct blob_visit *v, const char *letters)
{
	struct buf text = BUF_INIT;
	jv body, metadata;

	if (!blob_allowed(v, ON_CONTAINER, letters))
		return;
	body = existing(v, true);
	if (!jv_is_valid(body)) {
		jv_free(body);
		return;
	}
	v->r->status = 200;
	say_stamp(v, body);
	say_access(v, body);
	if (is(v->comp, "acl")) {
		blob_xml_begin(v, 200);
		buf_text(&v->r->body, "<SignedIdentifiers/>");
	} else {
		metadata = jv_path(jv_copy(body), "properties.metadata");
		if (jv_get_kind(metadata) == JV_KIND_OBJECT) {
			json_add_jv(&text, metadata);
			blob_say_metadata(v, text.at);
		} else {
			jv_free(metadata);
		}
		sim_head(v->r, "x-ms-lease-status", "unlocked");
		sim_head(v->r, "x-ms-lease-state", "available");
		sim_head(v->r, "x-ms-has-immutability-policy", "false");
		sim_head(v->r, "x-ms-has-legal-hold", "false");
		sim_head(v->r, "x-ms-immutable-storage-with-versioning-enabled",
		    "false");
		sim_head(v->r, "x-ms-default-encryption-scope",
		    "$account-encryption-key");
		sim_head(v->r, "x-ms-deny-encryption-scope-override", "false");
	}
	buf_free(&text);
	jv_free(body);
}

static void
change(struct blob_visit *v)
{
	bool acl = is(v->comp, "acl");
	const char *access = "None";
	char *metadata = NULL;
	jv body, p;

	if (!blob_allowed(v, ON_CONTAINER, "w") ||
	    (acl && !(access = wanted_access(v))))
		return;
	if (acl && memmem(v->q->body.at, v->q->body.len, "<Id>", 4)) {
		blob_missing(v, "stored access policies");
		return;
	}
	if (!acl && !(metadata = blob_metadata(v)))
		return;
	body = existing(v, false);
	if (jv_is_valid(body)) {
		p = jv_at(body, "properties");
		p = acl ? jv_put(p, "publicAccess", jv_string(access))
			: jv_put(p, "metadata", jv_parse(metadata));
		answer_store(v, 200, p);
	} else {
		jv_free(body);
	}
	free(metadata);
}

/* -- what a request is for ----------------------------------------------- */

static void
unknown_comp(struct blob_visit *v)
{
	static const char *const known[] = { "lease", "snapshot", "copy",
		"tier", "undelete", "tags", "page", "pagelist",
		"incrementalcopy", "expiry", "query", "batch", "seal",
		"immutabilitypolicies", "legalhold", "rename", "blobs",
		"userdelegationkey", "stats", "properties", NULL };

	if (is_one_of(v->comp, known)) {
		char *what = xasprintf("comp=%s of blobs", v->comp);

		blob_missing(v, what);
		free(what);
	} else if (v->comp) {
		blob_bad_query(v, "comp", v->comp);
	} else {
		blob_fail(v, 405, "UnsupportedHttpVerb",
		    "The resource doesn't support specified Http Verb.");
	}
}

static void
account_properties(struct blob_visit *v)
{
	jv body;
	char *sku, *kind;

	if (!blob_allowed(v, ON_CONTAINER, "rl"))
		return;
	body = blob_account_body(v->s, &v->account);
	sku = jv_dup_string(jv_path(jv_copy(body), "sku.name"));
	kind = jv_dup_string(jv_path(body, "kind"));
	v->r->status = 200;
	sim_head(v->r, "x-ms-sku-name", "%s", sku ? sku : "Standard_LRS");
	sim_head(v->r, "x-ms-account-kind", "%s", kind ? kind : "StorageV2");
	sim_head(v->r, "x-ms-is-hns-enabled", "false");
	free(sku);
	free(kind);
}

static void
service(struct blob_visit *v)
{
	if (v->get && is(v->comp, "list"))
		blob_list_containers(v);
	else if (v->get && is(v->restype, "service") &&
		 is(v->comp, "properties"))
		blob_service_properties(v);
	else
		unknown_comp(v);
}

static void
container(struct blob_visit *v)
{
	bool plain = !v->comp, meta = is(v->comp, "metadata"),
	     acl = is(v->comp, "acl");

	if (v->put && plain)
		create(v);
	else if (v->put && (meta || acl))
		change(v);
	else if (v->delete &&plain)
		drop(v);
	else if ((v->get || v->head) && (plain || meta || acl))
		properties(v, "r");
	else if (v->get && is(v->comp, "list"))
		blob_list_blobs(v);
	else
		unknown_comp(v);
}

static void
blob(struct blob_visit *v)
{
	static const char *const writes[] = { "block", "blocklist",
		"appendblock", "metadata", "properties", NULL };
	char *snapshot = sim_query(v->q, "snapshot"),
	     *version = sim_query(v->q, "versionid");
	bool plain = !v->comp;

	if (snapshot || version)
		blob_missing(v, "snapshots and versions of blobs");
	else if (v->q->header(v->q, "x-ms-lease-id") && !is(v->comp, "lease"))
		blob_fail(v, 412, "LeaseNotPresentWithBlobOperation",
		    "There is currently no lease on the blob.");
	else if ((v->get || v->head) && (plain || is(v->comp, "metadata")))
		blob_get(v);
	else if (v->get && is(v->comp, "blocklist"))
		blob_get_block_list(v);
	else if (v->put && (plain || is_one_of(v->comp, writes)))
		blob_write(v);
	else if (v->delete &&plain)
		blob_remove_one(v);
	else
		unknown_comp(v);
	free(snapshot);
	free(version);
}

static void
dispatch(struct blob_visit *v)
{
	if (is(v->restype, "account"))
		account_properties(v);
	else if (!v->container)
		service(v);
	else if (!v->name && is(v->restype, "container"))
		container(v);
	else if (!v->name || v->restype)
		blob_bad_query(v, "restype", v->restype ? v->restype : "");
	else
		blob(v);
}

/* -- one request --------------------------------------------------------- */

/* The name before the first dot; or in path style the first segment, with
 * what follows it in *path. */
static bool
read_account(struct blob_visit *v, const char **path)
{
	size_t n = strcspn(v->q->host, ".");
	char *name;
	bool found;

	*path = v->q->path;
	v->path_style = sim_room(v->q->host) != ROOM_BLOB;
	if (v->path_style) {
		n = strcspn(v->q->path + 1, "/");
		name = xstrndup(v->q->path + 1, n);
		*path += 1 + n;
	} else {
		name = xstrndup(v->q->host, n);
	}
	found = blob_account_find(v->s, name, &v->account) &&
		v->account.emulator == v->path_style;
	free(name);
	return found;
}

/* What every answer says, failures too. */
static void
begin(struct blob_visit *v)
{
	struct timespec t;
	char words[64];
	const char *client = v->q->header(v->q, "x-ms-client-request-id"),
		   *version = v->q->header(v->q, "x-ms-version");
	char *signed_by = sim_query(v->q, "sv");
	int64_t day;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	(void)snprintf(words, sizeof words, "blob/%lld/%ld",
	    (long long)t.tv_sec, t.tv_nsec);
	sim_guid(v->s, words, v->id);
	if (!version)
		version = signed_by;
	sim_head(
	    v->r, "Server", "Windows-Azure-Blob/1.0 Microsoft-HTTPAPI/2.0");
	sim_head(v->r, "x-ms-request-id", "%s", v->id);
	if (client && strlen(client) <= 1024)
		sim_head(v->r, "x-ms-client-request-id", "%s", client);
	if (version && (strlen(version) != 10 || !blob_iso_date(version, &day)))
		blob_bad_header(v, "x-ms-version", version);
	else
		sim_head(v->r, "x-ms-version", "%s",
		    version ? version : "2021-12-02");
	free(signed_by);
}

void
blob_handle(struct sim *s, const struct sim_request *q, struct sim_reply *r)
{
	struct blob_visit v = { .s = s,
		.q = q,
		.r = r,
		.now = sim_now(s),
		.get = strcmp(q->method, "GET") == 0,
		.head = strcmp(q->method, "HEAD") == 0,
		.put = strcmp(q->method, "PUT") == 0,
		.post = strcmp(q->method, "POST") == 0,
		.delete = strcmp(q->method, "DELETE") == 0 };
	const char *path;

	v.comp = sim_query(q, "comp");
	v.restype = sim_query(q, "restype");
	begin(&v);
	if (r->status)
		;
	else if (!read_account(&v, &path))
		blob_fail(&v, 404, "ResourceNotFound",
		    "The specified resource does not exist.");
	else if (v.put && !q->header(q, "content-length"))
		blob_fail(&v, 411, "MissingContentLengthHeader",
		    "The Content-Length header was not specified.");
	else if (read_names(&v, path))
		dispatch(&v);
	blob_account_free(&v.account);
	free(v.container);
	free(v.name);
	free(v.container_key);
	free(v.comp);
	free(v.restype);
}
