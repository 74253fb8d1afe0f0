/* doc.c: documents keep what libjq alone would change. */
#include "doc.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tap.h"

/* Parsed and written again on one line. */
static void
same(const char *text)
{
	struct buf out = BUF_INIT;
	char *what = xasprintf("unchanged: %s", text);

	doc_compact(jv_or_die(doc_parse(span_of(text), "test")), &out);
	check(!strcmp(out.at, text), what);
	free(what);
	buf_free(&out);
}

static void
refused(const char *text, const char *with)
{
	struct err e = { 0 };
	jv v = doc_parse(span_of(text), "test");
	char *what = xasprintf("refused: %.*s", (int)strcspn(text, "\n"), text);
	bool valid = jv_is_valid(v);

	if (valid)
		jv_free(v);
	else
		(void)err_from_jv(&e, v);
	check(!valid && e.status == BAD_DATA && strstr(e.text, with), what);
	if (!valid && !strstr(e.text, with))
		printf("# %s\n", e.text);
	free(what);
}

/* What memory held before is no part of a number. */
static void
test_bare_number(void)
{
	char path[] = "/tmp/hubpipe-doc-XXXXXX";
	char *dirty = memset(xmalloc(1 << 16), '7', 1 << 16);
	int fd = mkstemp(path);
	jv v;

	free(dirty);
	check(fd >= 0 && write(fd, "12", 2) == 2, "a file is made");
	(void)close(fd);
	v = doc_read(path);
	check(jv_number_value(v) == 12, "a number that ends with its file");
	jv_free(v);
	(void)unlink(path);
}

int
main(void)
{
	jv v;

	test_bare_number();

	same("{}");
	same("[]");
	same("null");
	same("{\"b\":1,\"a\":2}");
	same("[1.0,1e2,9007199254740993,-0,1E400,0.30000000000000004,0.1]");
	same("{\"z\":{\"y\":[true,false,null,\"\\\"\\\\\"]}}");
	same("\"Z\xc3\xbcrich\"");
	same("[18446744073709551615]");

	refused("", "empty");
	refused(" \n", "empty");
	refused("{\"a\":1,\"a\":2}", "line 1, column 8: member is there twice");
	refused("{\"a\":\n01}", "line 2");
	refused("{} {}", "line 1");
	refused("[\"\\ud800\"]", "surrogate");
	refused("\"\xee\x80\x80number:1\"", "U+E000");

	v = jv_or_die(doc_parse(span_of("{\"a\":{\"b\":\"C\"}}"), "test"));
	check(jv_string_is_nocase(jv_path(jv_copy(v), "a.b"), "c"),
	    "jv_path finds what is there");
	check(jv_get_kind(jv_path(jv_copy(v), "a.x.y")) == JV_KIND_NULL,
	    "jv_path gives null for what is not");
	jv_free(v);

	return done_testing();
}
