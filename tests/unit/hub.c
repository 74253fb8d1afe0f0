/* hub.c: what a hub's answers mean (CONTRACT 11.3), and who a hub is. */
#include "hub.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tap.h"

#define KEY "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
#define CONN                                                                  \
	"HostName=Contoso.azure-devices.net;SharedAccessKeyName=iothubowner;" \
	"SharedAccessKey=" KEY

static struct hub *hub;

static void
means(const char *what, int status, const char *head, const char *body,
    const char *code, enum status want, const char *text)
{
	struct http_reply r = { .status = status };
	struct err e = { 0 };
	char got[64];
	int rc;

	if (head)
		buf_add(&r.head, head, strlen(head) + 1);
	buf_text(&r.body, body);
	rc = hub_check(hub, &r, "d1", got, &e);
	check(rc == -1 && !strcmp(got, code) && e.status == want &&
		  !strcmp(e.subject, "d1") && strstr(e.text, text),
	    what);
	if (strcmp(got, code) != 0 || !strstr(e.text, text))
		printf("# %s: %s\n", got, e.text);
	http_reply_free(&r);
}

static void
test_answers(void)
{
	struct http_reply r = { .status = 204 };
	struct err e;
	char code[64], date[64];
	time_t t = time(NULL) + 1000;
	struct tm tm;

	check(hub_check(hub, &r, "d1", code, &e) == 0, "204 is fine");
	means("the old form", 409, NULL,
	    "{\"Message\":\"ErrorCode:DeviceAlreadyExists;A device with ID "
	    "'d1' is already registered.\",\"ExceptionMessage\":\"Tracking "
	    "ID:28F7\"}",
	    "DeviceAlreadyExists", REMOTE_REFUSED,
	    "DeviceAlreadyExists: A device with ID 'd1' is already");
	means("the newer form", 409, NULL,
	    "{\"errorCode\":409301,\"message\":\"Device d1 already contains "
	    "Module m.\",\"trackingId\":\"x\"}",
	    "ModuleAlreadyExistsOnDevice", REMOTE_REFUSED,
	    "already contains Module m");
	means("the newer form in the older", 404, NULL,
	    "{\"Message\":\"{\\\"errorCode\\\":404010,\\\"message\\\":\\\"no "
	    "module\\\"}\",\"ExceptionMessage\":\"\"}",
	    "ModuleNotFound", ANSWER_NO, "no module");
	means("several lines", 403, NULL,
	    "{\"Message\":\"ErrorCode:JobQuotaExceeded;Error: 403 ErrorCode: "
	    "JobQuotaExceeded\\nMessage: over\\nTracking ID: \"}",
	    "JobQuotaExceeded", REMOTE_REFUSED, "JobQuotaExceeded: Error: 403");
	means("the header wins", 404, "iothub-errorcode: DeviceNotFound",
	    "{\"errorCode\":404999,\"message\":\"?\"}", "DeviceNotFound",
	    ANSWER_NO, "DeviceNotFound: ?");
	means("a hub that fails over", 404, NULL,
	    "{\"errorCode\":404012,\"message\":\"x\"}", "IotHubFailingOver",
	    REMOTE_RETRY, "IotHubFailingOver");
	means("no body", 503, NULL, "", "", REMOTE_RETRY, "HTTP 503");
	means("no JSON", 502, NULL, "<html>", "", REMOTE_RETRY, "HTTP 502");
	means("an unknown number", 400, NULL,
	    "{\"errorCode\":400999,\"message\":\"m\"}", "400999",
	    REMOTE_REFUSED, "400999: m");
	means("401 names the right and both remedies", 401, NULL, "", "",
	    REMOTE_REFUSED,
	    "policy 'iothubowner' has the wrong key or lacks RegistryWrite");
	means("401 names the role", 401, NULL, "", "", REMOTE_REFUSED,
	    "--auth=login with the role 'IoT Hub Data Contributor'");
	(void)gmtime_r(&t, &tm);
	(void)strftime(
	    date, sizeof date, "Date: %a, %d %b %Y %H:%M:%S GMT", &tm);
	means("401 says that the clock is off", 401, date, "", "",
	    REMOTE_REFUSED, "the clock of this machine is 1");
}

static void
opens(const char *what, const char *value, const char *want)
{
	struct err e = { 0 };
	struct hub *h;

	(void)setenv("CONN", value, 1);
	h = hub_open(NULL, "env:CONN", "NONE", &e);
	check(want ? !h && strstr(e.text, want) && !strstr(e.text, KEY) : !!h,
	    what);
	if (want && !h && !strstr(e.text, want))
		printf("# %s\n", e.text);
	hub_close(h);
}

static void
test_operands(void)
{
	char path[] = "/tmp/hub-unit-XXXXXX", *operand, *id;
	struct err e = { 0 };
	struct http_request r;
	struct hub *h;
	int fd = mkstemp(path);

	check(!strcmp(hub_host(hub), "contoso.azure-devices.net") &&
		  !strcmp(hub_name(hub), "contoso"),
	    "host in lower case, and name");
	opens("a ready-made signature",
	    "HostName=h.x;SharedAccessSignature=SharedAccessSignature sr=h",
	    NULL);
	opens("a device's string",
	    "HostName=h.x;DeviceId=d;SharedAccessKey=" KEY, "of a device");
	opens("no host", "SharedAccessKeyName=a;SharedAccessKey=" KEY,
	    "no HostName=");
	opens("no policy", "HostName=h.x;SharedAccessKey=" KEY,
	    "no SharedAccessKeyName=");
	opens("no key", "HostName=h.x;SharedAccessKeyName=a", "no base64");
	opens("a host that leads elsewhere",
	    "HostName=h.x/@evil;SharedAccessKeyName=a;SharedAccessKey=" KEY,
	    "no HostName=");
	opens("an empty variable", "", "is not set");
	h = hub_open(NULL, CONN, "NONE", &e);
	check(!h && e.status == BAD_USAGE && !strstr(e.text, KEY) &&
		  !*e.subject && strstr(e.text, "env:NAME or file:PATH"),
	    "a connection string as operand is refused, unseen");
	h = hub_open(NULL, NULL, "NO_SUCH_VARIABLE", &e);
	check(!h && strstr(e.text, "set NO_SUCH_VARIABLE"),
	    "no operand, no variable");

	(void)!write(fd, CONN "\n", strlen(CONN) + 1);
	(void)close(fd);
	operand = xasprintf("file:%s", path);
	h = hub_open(NULL, operand, "NONE", &e);
	check(h && hub_same(h, hub), "a file, and the same hub");
	hub_close(h);
	free(operand);
	(void)unlink(path);

	id = hub_escape("a#b%c?d/\xc3\xa9 $");
	check(!strcmp(id, "a%23b%25c%3Fd%2F%C3%A9%20%24"), "ids are escaped");
	r = hub_request(hub, "PATCH", "top=2", "/twins/%s", id);
	check(!strcmp(r.url,
		  "https://contoso.azure-devices.net/twins/"
		  "a%23b%25c%3Fd%2F%C3%A9%20%24?api-version=2021-04-12&top=2"),
	    "a request's URL");
	check(r.repeat == HTTP_ONCE, "a PATCH is not repeated blindly");
	free(r.url);
	free(id);
}

int
main(void)
{
	struct hub_limits l;
	struct err e;

	(void)setenv("IOTHUB_CONN_STRING", CONN, 1);
	hub = hub_open(NULL, NULL, "IOTHUB_CONN_STRING", &e);
	if (!hub)
		die_err(&e);
	test_answers();
	test_operands();
	l = hub_limits("S1", 3);
	check(l.identity == 300 && l.queries == 60 && l.twin_reads == 100 &&
		  l.twin_writes == 50,
	    "S1 x3");
	l = hub_limits("S2", 20);
	check(l.identity == 2000 && l.twin_reads == 200 && l.twin_writes == 100,
	    "S2 x20");
	l = hub_limits("S3", 2);
	check(l.identity == 10000 && l.queries == 2000 &&
		  l.twin_reads == 1000 && l.twin_writes == 500,
	    "S3 x2");
	l = hub_limits("F1", 1);
	check(l.identity == 100, "F1");
	hub_close(hub);
	return done_testing();
}
