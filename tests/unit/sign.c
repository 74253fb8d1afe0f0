/* sign.c: the vectors of CONTRACT 11.1, and what connection strings hold. */
#include "sign.h"

#include <stdio.h>
#include <stdlib.h>

#include "msg.h"

static int tests, failures;

static void
check(bool ok, const char *what)
{
	failures += !ok;
	printf("%sok %d - %s\n", ok ? "" : "not ", ++tests, what);
}

#define KEY "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

static void
signs(const char *resource, const char *policy, const char *want)
{
	struct buf b = BUF_INIT;
	int rc = sign_hub(&b, resource, KEY, policy, 1700000000);

	check(rc == 0 && !strcmp(b.at, want), want);
	if (rc == 0 && strcmp(b.at, want) != 0)
		printf("# %s\n", b.at);
	buf_free(&b);
}

static void
part(const char *string, const char *name, const char *want)
{
	char *got = sign_part(string, name);
	char *what = xasprintf("%s of '%s'", name, string);

	check(want ? got && !strcmp(got, want) : !got, what);
	free(got);
	free(what);
}

static void
unbase64(const char *text, const char *want)
{
	struct buf b = BUF_INIT;
	char *what = xasprintf("base64 '%s'", text);
	int rc = sign_unbase64(&b, text);

	if (!want)
		check(rc == -1 && b.len == 0, what);
	else
		check(rc == 0 && b.len == strlen(want) &&
			  memcmp(b.at ? b.at : "", want, b.len) == 0,
		    what);
	buf_free(&b);
	free(what);
}

int
main(void)
{
	static const char conn[] =
	    "HostName=contoso.azure-devices.net;"
	    "SharedAccessKeyName=iothubowner;SharedAccessKey=" KEY;
	struct buf b = BUF_INIT;

	signs("contoso.azure-devices.net", "iothubowner",
	    "SharedAccessSignature sr=contoso.azure-devices.net&"
	    "sig=WA5mJabSkWWSZo21WRgph5CHQ9FMXwo27EQaik72FJ0%3D&"
	    "se=1700000000&skn=iothubowner");
	signs("contoso.azure-devices.net/devices/dev-1", NULL,
	    "SharedAccessSignature "
	    "sr=contoso.azure-devices.net%2Fdevices%2Fdev-1&"
	    "sig=%2Fa37QTBoqk%2BDuH495BsVETZ6NYq4ElmEapfyWA5BERE%3D&"
	    "se=1700000000");
	check(sign_hub(&b, "h", "no base64!", "p", 1) == -1 && b.len == 0,
	    "a key that is no base64 signs nothing");
	check(sign_hub(&b, "h", "", "p", 1) == -1, "nor does an empty one");

	part(conn, "HostName", "contoso.azure-devices.net");
	part(conn, "sharedaccesskeyname", "iothubowner");
	part(conn, "SharedAccessKey", KEY);
	part(conn, "DeviceId", NULL);
	part(conn, "Key", NULL);
	part("", "HostName", NULL);
	part("HostName", "HostName", NULL);
	part("HostName=;A=b;", "HostName", "");
	part("A=b;; HostName=c=d==;", "HostName", "c=d==");
	part("XHostName=a;HostName=b", "HostName", "b");

	unbase64("", "");
	unbase64("YQ==", "a");
	unbase64("YWI=", "ab");
	unbase64("YWJj", "abc");
	unbase64("YWJjZA==", "abcd");
	unbase64("YQ", NULL);
	unbase64("YQ=", NULL);
	unbase64("YQ===", NULL);
	unbase64("=", NULL);
	unbase64("====", NULL);
	unbase64("Y===", NULL);
	unbase64("YQ==YQ==", NULL);
	unbase64("YW J", NULL);
	unbase64(" YWJj", NULL);
	unbase64("YWJj\n", NULL);
	unbase64("YW-_", NULL);
	printf("1..%d\n", tests);
	return failures != 0;
}
