/* arm.c: what errors of Resource Manager say, and what ids hold. */
#include "arm.h"

#include <stdio.h>
#include <stdlib.h>

#include "doc.h"
#include "tap.h"

static void
says(const char *what, const char *body, const char *code, const char *text)
{
	jv e = arm_error(jv_or_die(doc_parse(span_of(body), "test")));
	jv c = jv_at(jv_copy(e), "code"), m = jv_at(jv_copy(e), "message");

	check(jv_string_is(jv_copy(c), code) && jv_string_is(jv_copy(m), text),
	    what);
	if (!jv_string_is(c, code) || !jv_string_is(m, text)) {
		struct buf b = BUF_INIT;

		doc_compact(e, &b);
		printf("# %s\n", b.at);
		buf_free(&b);
	} else
		jv_free(e);
}

static void
status(const char *what, int http, const char *code, enum status want)
{
	check(arm_status(http, jv_put(jv_object(), "code", jv_string(code))) ==
		  want,
	    what);
}

static void
id(const char *text, const char *want)
{
	jv v = arm_id_parse(text);
	struct buf b = BUF_INIT;

	if (jv_is_valid(v))
		doc_compact(v, &b);
	else
		jv_free(v);
	check(want ? b.at && !strcmp(b.at, want) : !b.at, text);
	if (want && (!b.at || strcmp(b.at, want) != 0))
		printf("# %s\n", b.at ? b.at : "invalid");
	buf_free(&b);
}

static void
test_errors(void)
{
	char *masked;

	says("the standard envelope",
	    "{\"error\":{\"code\":\"ResourceGroupNotFound\",\"message\":"
	    "\"no group\",\"target\":null,\"details\":[]}}",
	    "ResourceGroupNotFound", "no group");
	says("details within details",
	    "{\"error\":{\"code\":\"InvalidTemplateDeployment\",\"message\":"
	    "\"outer\",\"details\":[{\"code\":"
	    "\"PreflightValidationCheckFailed\",\"message\":\"middle\","
	    "\"details\":[{\"code\":\"Inner\",\"message\":\"deep\"}]}]}}",
	    "Inner", "deep");
	says("the flat form of hubs, its code a number",
	    "{\"code\":400016,\"httpStatusCode\":400,\"message\":"
	    "\"Invalid PartitionCount 4\"}",
	    "400016", "Invalid PartitionCount 4");
	says("JSON in a string (CONTRACT 9.5)",
	    "{\"status\":\"Failed\",\"error\":{\"code\":\"DeploymentFailed\","
	    "\"message\":\"At least one\",\"details\":[{\"code\":\"Conflict\","
	    "\"message\":\"{\\r\\n  \\\"code\\\": 409002,\\r\\n  "
	    "\\\"httpStatusCode\\\": 409,\\r\\n  \\\"message\\\": "
	    "\\\"not active\\\"\\r\\n}\"}]}}",
	    "409002", "not active");
	says("an envelope in a string in a status message",
	    "{\"statusMessage\":\"{\\\"error\\\":{\\\"code\\\":\\\"A\\\","
	    "\\\"message\\\":\\\"b\\\"}}\"}",
	    "A", "b");
	says("Cosmos DB, without a wrapper",
	    "{\"code\":\"NotFound\",\"message\":\"Message: "
	    "{\\\"code\\\":\\\"NotFound\\\",\\\"message\\\":\\\"no such "
	    "database\\\"}\\r\\nActivityId: 1\"}",
	    "NotFound", "no such database");
	says("a message with braces that are no JSON",
	    "{\"code\":\"X\",\"message\":\"use {iothub}/{partition}\"}", "X",
	    "use {iothub}/{partition}");
	says("raw text", "\"it broke\"", "", "it broke");
	says("an empty object", "{}", "", "");
	says("a list with nothing in it", "[]", "", "");
	says("keys are masked",
	    "{\"code\":400116,\"message\":\"ConnectionString is invalid: "
	    "Endpoint=sb://x;SharedAccessKey=c2VjcmV0;EntityPath=e\"}",
	    "400116",
	    "ConnectionString is invalid: "
	    "Endpoint=sb://x;SharedAccessKey=****;EntityPath=e");
	masked = arm_masked("AccountKey=abc== and ?sig=x%3D&se=1");
	check(!strcmp(masked, "AccountKey=**** and ?sig=****&se=1"),
	    "account keys and signatures too");
	free(masked);
}

int
main(void)
{
	test_errors();
	status("404 is an answer", 404, "ResourceNotFound", ANSWER_NO);
	status("429 passes", 429, "TooManyRequests", REMOTE_RETRY);
	status("503 passes", 503, "", REMOTE_RETRY);
	status("so does a hub in transition", 409, "409002", REMOTE_RETRY);
	status("also within a failed operation", 400, "409002", REMOTE_RETRY);
	status("500019 too", 400, "500019", REMOTE_RETRY);
	status("400116 does not", 400, "400116", REMOTE_REFUSED);
	status("403 does not", 403, "AuthorizationFailed", REMOTE_REFUSED);

	id("/subscriptions/S/resourceGroups/G/providers/Microsoft.Devices/"
	   "IotHubs/h",
	    "{\"subscription\":\"S\",\"group\":\"G\",\"type\":"
	    "\"Microsoft.Devices/IotHubs\",\"names\":[\"h\"]}");
	id("/subscriptions/S/resourcegroups/G/providers/N/a/b/c/d",
	    "{\"subscription\":\"S\",\"group\":\"G\",\"type\":\"N/a/c\","
	    "\"names\":[\"b\",\"d\"]}");
	id("/subscriptions/S/resourceGroups/G", NULL);
	id("/subscriptions/S/resourceGroups/G/providers/N/a", NULL);
	id("/subscriptions/S/resourceGroups/G/providers/N/a/b/", NULL);
	id("/subscriptions//resourceGroups/G/providers/N/a/b", NULL);
	id("/subscriptions/S/groups/G/providers/N/a/b", NULL);
	id("contoso", NULL);
	id("", NULL);
	check(arm_id_same("/A/b/", "/a/B") && !arm_id_same("/a", "/ab"),
	    "ids compare without case");
	return done_testing();
}
