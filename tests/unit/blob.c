/* Storage accounts: connection strings, signatures, lists (CONTRACT 17). */
#include <stdlib.h>
#include <time.h>

#include "storage.h"
#include "tap.h"

static struct storage *
with(struct http *http, const char *text, struct err *e)
{
	(void)setenv("STORAGE_ACCT_CONN_STRING", text, 1);
	return storage_open(http, e);
}

/* The vector of CONTRACT 17.2, whose end is a moment. */
static void
test_signature(struct http *http)
{
	static const char want[] =
	    "http://127.0.0.1:10000/devstoreaccount1/devicefiles"
	    "?sv=2021-12-02&sr=c&sp=rwdl&se=2030-01-01T00%3A00%3A00Z&sig="
	    "R%2F07TFE6feCc3iHzM4IZdCBhDpRuKYoOllxZ5vPQSbs%3D";
	struct err e;
	struct storage *s = with(http, "UseDevelopmentStorage=true", &e);
	char *url = NULL;

	check(s && strcmp(storage_account(s), "devstoreaccount1") == 0,
	    "the emulator's account");
	check(s && storage_makes_containers(s) && !storage_by_identity(s),
	    "a key makes containers");
	/* Again when a second passes in between. */
	for (int i = 0; s && i < 3 && (!url || strcmp(url, want) != 0); i++) {
		free(url);
		url = storage_job_url(s, "devicefiles", "rwdl",
		    1893456000L - (long)time(NULL), &e);
	}
	check(url && strcmp(url, want) == 0, "the signature of a container");
	free(url);
	url = s ? storage_url(s, "c", "a/b c+.txt") : NULL;
	check(url && strcmp(url, "http://127.0.0.1:10000/devstoreaccount1/c/a/"
				 "b%20c%2B.txt") == 0,
	    "a path keeps its slashes");
	free(url);
	storage_close(s);
}

static void
test_strings(struct http *http)
{
	static const struct {
		const char *text, *account;
	} good[] = {
		{ "AccountName=abc;AccountKey=MDEyMw==;", "abc" },
		{ " EndpointSuffix=core.x ; accountkey=MDEyMw== "
		  ";ACCOUNTNAME=abc",
		    NULL },
		{ "BlobEndpoint=https://abc.blob.core.windows.net/;"
		  "SharedAccessSignature=?sv=1&ss=b&sig=x",
		    "abc" },
		{ "BlobEndpoint=http://127.0.0.1:10000/abc/;AccountName=abc;"
		  "AccountKey=MDEyMw==",
		    "abc" },
	};
	static const char *const bad[] = {
		"c2VjcmV0",
		"AccountName=abc;AccountKey=c2VjcmV0=",
		"AccountName=abc;AccountKey=",
		"AccountName=ABC;AccountKey=c2VjcmV0",
		"DefaultEndpointsProtocol=http;AccountName=abc;AccountKey="
		"c2VjcmV0",
		"BlobEndpoint=http://127.0.0.1.evil/abc;AccountName=abc;"
		"AccountKey=c2VjcmV0",
		"BlobEndpoint=https://u@h/;AccountName=abc;AccountKey=c2VjcmV0",
		"AccountName=abc;SharedAccessSignature=sv=1&c2VjcmV0",
		"AccountName=abc;SharedAccessSignature=sig=c2VjcmV0&"
		"se=2020-01-01T00%3A00%3A00Z",
		"HostName=h;SharedAccessKeyName=n;SharedAccessKey=c2VjcmV0",
	};
	struct storage *s;
	struct err e;

	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		s = with(http, good[i].text, &e);
		/* Blanks belong to a value; the key above has one. */
		check(good[i].account
			  ? s && !strcmp(storage_account(s), good[i].account)
			  : !s,
		    good[i].account ? "a connection string" : "blanks");
		storage_close(s);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		s = with(http, bad[i], &e);
		check(!s && e.status == BAD_USAGE && !strstr(e.text, "c2Vj") &&
			  !strstr(e.subject, "c2Vj"),
		    e.text);
		storage_close(s);
	}
	(void)unsetenv("STORAGE_ACCT_CONN_STRING");
	check(!storage_configured() && !storage_open(http, &e),
	    "nothing is configured");
}

static void
test_xml(void)
{
	struct span at = span_of("<a><Name>x&amp;&lt;y</Name><Name></Name>"
				 "<NextMarker/></a>");
	char *one = storage_xml(&at, "Name"), *two = storage_xml(&at, "Name"),
	     *three = storage_xml(&at, "NextMarker");

	check(one && !strcmp(one, "x&<y"), "a text is decoded");
	check(two && !*two, "an empty one");
	check(!three, "none");
	free(one);
	free(two);
	free(three);
}

int
main(void)
{
	struct http *http;

	msg_begin("blob", true, false);
	http = http_open();
	test_signature(http);
	test_strings(http);
	test_xml();
	http_close(http);
	return done_testing();
}
