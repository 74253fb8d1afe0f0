/* Tests of tools/lib/json.c; prints TAP. */
#include "json.h"

#include <stdio.h>
#include <stdlib.h>

#include "msg.h"
#include "tap.h"

static int
scan(const char *text, size_t len, struct json *j, struct json_fault *f)
{
	/* Exactly as long as the text, so that ASan sees one byte too far. */
	char *copy = malloc(len ? len : 1);
	int rc;

	memcpy(copy, text, len);
	rc = json_scan((struct span){ copy, len }, j, f);
	free(copy);
	return rc;
}

static bool
valid(const char *text)
{
	struct json j = { .count = 0 };
	struct json_fault f;
	int rc = scan(text, strlen(text), &j, &f);

	json_free(&j);
	return rc == 0;
}

static bool
nested(size_t depth)
{
	struct buf b = BUF_INIT;
	bool good;

	for (size_t i = 0; i < depth; i++)
		buf_text(&b, i % 2 ? "[" : "{\"a\":");
	buf_text(&b, "0");
	for (size_t i = depth; i-- > 0;)
		buf_char(&b, i % 2 ? ']' : '}');
	good = valid(b.at);
	buf_free(&b);
	return good;
}

static void
test_grammar(void)
{
	static const char *const good[] = { "0", "-0", "1.5e+10", "1E400",
		"\"\"", "true", "false", "null", "[]", "{}", " [ 1 , 2 ] ",
		"{\"a\":{}}", "[[],[{}]]", "\"\\u0000\\ud800\\/\"",
		"\"\xc3\xa9\xed\x9f\xbf\"", "\"\xf4\x8f\xbf\xbf\"", "\"\x7f\"",
		"\t\r\n1", "{\"\":0}", "{\"a\":1,\"a\":2}",
		"123456789012345678901234567890" };
	static const char *const bad[] = { "", " ", "01", "-", "+1", "1.", ".5",
		"1e", "1e+", "-01", "tru", "nul", "NaN", "Infinity", "[1,]",
		"[,1]", "{\"a\":1,}", "{\"a\"}", "{a:1}", "{\"a\":}", "[1 2]",
		"[", "{", "]", "[}", "{]", "{\"a\":1]", "\"", "\"\\", "\"\\x\"",
		"\"\\u12\"", "\"\\u12g4\"", "\"\x01\"", "\"\t\"",
		"\"\xc0\x80\"", "\"\xc1\xbf\"", "\"\xe0\x9f\xbf\"",
		"\"\xed\xa0\x80\"", "\"\xf0\x8f\xbf\xbf\"",
		"\"\xf4\x90\x80\x80\"", "\"\xf5\x80\x80\x80\"", "\"\xff\"",
		"\"\x80\"", "\"\xc3\"", "\"\xe2\x82\"", "1 2", "{} {}",
		"\xef\xbb\xbf{}", "'a'", "[1]x", "\"a\"\"b\"", "/**/1", "\v1",
		"\f1" };
	struct json j = { .count = 0 };
	struct json_fault f;

	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		check(valid(good[i]), good[i][0] ? "valid" : "empty");
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		if (valid(bad[i]))
			printf("# accepted: %s\n", bad[i]);
		check(!valid(bad[i]), "refused");
	}
	check(nested(JSON_DEPTH), "as deep as allowed");
	check(!nested(JSON_DEPTH + 1), "one deeper is refused");
	check(!nested(100000), "100,000 levels do not end the process");
	check(scan("\"a\0b\"", 5, &j, &f) == -1 && f.offset == 2,
	    "a NUL byte is refused, with its place");
	check(scan("{\"a\":01}", 8, &j, &f) == -1 && f.offset == 6,
	    "a fault names its byte");
	json_free(&j);
}

/* Every length and place around the 16 bytes that are looked at together. */
static void
test_blocks(void)
{
	bool good = true;

	for (size_t len = 0; len < 70; len++)
		for (size_t at = 0; at < len; at++) {
			char text[80];
			struct json j = { .count = 0 };
			struct json_fault f;

			memset(text, 'x', sizeof text);
			text[0] = text[len + 1] = '"';
			good &= scan(text, len + 2, &j, &f) == 0;
			text[at + 1] = 0x1f;
			good &= scan(text, len + 2, &j, &f) == -1 &&
				f.offset == at + 1;
			text[at + 1] = (char)0xff;
			good &= scan(text, len + 2, &j, &f) == -1 &&
				f.offset == at + 1;
			text[at + 1] = '"';
			good &= scan(text, len + 2, &j, &f) == -1 &&
				f.offset == at + 2;
			good &= scan(text, at + 2, &j, &f) == 0;
			text[at + 1] = '\\';
			good &= scan(text, len + 2, &j, &f) == -1;
			json_free(&j);
		}
	check(good, "a bad byte is found at each place of a string");
}

static void
test_find(void)
{
	const char *text =
	    " {\"a\":1, \"e\\u0054ag\" : [1.0] ,\"d\":0,\"d\":1} ";
	const struct json_member *m;
	struct json j = { .count = 0 };
	struct json_fault f;

	check(json_scan(span_of(text), &j, &f) == 0 && j.count == 4, "members");
	check(json_find(&j, "eTag", &m) == 1 && span_is(m->value, "[1.0]") &&
		  m->kind == JSON_ARRAY && m->escaped && m->altered,
	    "a name spelt with escapes is found");
	check(json_find(&j, "a", &m) == 1 && !m->altered && !m->escaped &&
		  m->kind == JSON_NUMBER,
	    "a plain one too");
	check(json_find(&j, "d", &m) == -1, "a name that is there twice");
	check(json_find(&j, "x", &m) == 0, "an absent one");
	check(j.altered && j.text.at == text + 1 && j.kind == JSON_OBJECT,
	    "the whole");
	check(json_scan(span_of("[1,\"x\",{\"a\":[2]}]"), &j, &f) == 0 &&
		  j.count == 3 && span_is(j.member[2].value, "{\"a\":[2]}"),
	    "elements of an array");
	check(json_scan(span_of(" 12 "), &j, &f) == 0 && j.count == 0 &&
		  span_is(j.text, "12"),
	    "a scalar");
	json_free(&j);
}

static void
test_get(void)
{
	static const char *const ab[] = { "a", "b", NULL }, *const none[] = {
		NULL
	};
	struct span v, text = span_of("{\"x\":\"}\\\"]\",\"a\":{\"c\":[{\"b\":"
				      "1}],\"b\" : -1.5 },\"y\":{}}");
	enum json_kind kind;

	check(json_get(text, ab, &v, &kind) == 1 && span_is(v, "-1.5") &&
		  kind == JSON_NUMBER,
	    "a path");
	check(json_get(text, none, &v, &kind) == 1 && v.len == text.len,
	    "the empty path is the whole");
	check(json_get(span_of("{\"a\":[]}"), ab, &v, NULL) == 0, "no object");
	check(
	    json_get(span_of("{\"a\":{},\"\\u0061\":{}}"), ab, &v, NULL) == -1,
	    "twice on the way");
	check(
	    json_get(span_of("{\"a\":{\"b\":1,\"b\":1}}"), ab, &v, NULL) == -1,
	    "twice at the end");
}

static bool
decodes(const char *from, const char *to)
{
	char *s = json_string(span_of(from));
	bool same = to ? s && strcmp(s, to) == 0 : !s;

	free(s);
	return same;
}

static void
test_decode(void)
{
	check(decodes("\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "a\"\\/\b\f\n\r\t"),
	    "short escapes");
	check(decodes("\"\\u00e9\\u20AC\\ud83d\\ude00\"",
		  "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
	    "\\u escapes");
	check(decodes("\"\"", ""), "the empty string");
	check(decodes("\"\\ud800\"", NULL), "half a pair");
	check(
	    decodes("\"\\udc00\\ud800\"", NULL), "a pair the wrong way round");
	check(decodes("\"\\ud800\\u0041\"", NULL), "half a pair and a letter");
	check(decodes("\"\\u0000\"", NULL), "a zero");
	check(decodes("12", NULL), "no string");
	check(json_string_is(span_of("\"a\\u0062\""), "ab"), "string_is");
	check(!json_string_is(span_of("\"a\\u0062\""), "abc"), "string_is not");
	check(!json_string_is(span_of("{}"), ""), "string_is no string");
}

/* The quick look may say yes for no; never the other way round. */
static void
test_altered(void)
{
	static const char *const kept[] = { "0", "1", "-1", "0.5", "-0.125",
		"0.1", "123456789012345", "0.0001", "1.5", "100",
		"0.30000000000000004", "47.62345678901234", "999999999999999",
		"0.00012" },
				 *const lost[] = { "1.0", "1e2",
					 "9007199254740993",
					 "18446744073709551615", "1E400",
					 "0.00001", "0.50",
					 "100000000000000000", "1E+2", "0.0",
					 "0.12345678901234567890" };
	static const char *const numbers[] = { "1", "12", "123456789", "0",
		"9" };

	for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
		check(!json_number_altered(span_of(kept[i])), kept[i]);
	}
	for (size_t i = 0; i < sizeof lost / sizeof *lost; i++) {
		struct json j = { .count = 0 };
		struct json_fault f;
		struct buf b = BUF_INIT;

		buf_printf(&b, "{\"a\":[{\"b\":%s}]}", lost[i]);
		(void)json_scan(buf_peek(&b), &j, &f);
		check(json_number_altered(span_of(lost[i])) && j.altered &&
			  json_numbers_altered(buf_peek(&b)),
		    lost[i]);
		json_free(&j);
		buf_free(&b);
	}
	/* All numbers w.f that the quick look lets pass, against libjq. */
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		for (int places = 0; places < 18; places++) {
			char text[64];
			struct json j = { .count = 0 };
			struct json_fault f;
			jv v;
			jv dumped;

			(void)snprintf(text, sizeof text, "%s.%0*d7",
			    numbers[i], places, 0);
			(void)json_scan(span_of(text), &j, &f);
			v = jv_parse(text);
			dumped = jv_dump_string(v, 0);
			if (!j.altered &&
			    strcmp(jv_string_value(dumped), text) != 0)
				check(false, text);
			jv_free(dumped);
			json_free(&j);
		}
}

static void
test_same(void)
{
	static const char *const
	    same[][2] = { { "1", "1.0" }, { "1e2", "100" }, { "-0", "0" },
		    { "0.0e9", "0" }, { "1E400", "10e399" },
		    { "0.0012", "12e-4" }, { "120", "1.2E+2" },
		    { "\"a\\u0062\"", "\"ab\"" }, { "\"\\/\"", "\"/\"" },
		    { "[1,2]", "[ 1.0 , 2 ]" },
		    { "{\"a\":1,\"b\":2}", "{\"b\":2, \"\\u0061\":1}" },
		    { "{}", "{ }" }, { "\"\\ud800\"", "\"\\uD800\"" },
		    { "0e99999999999999999999", "0" },
		    { "9007199254740993", "9007199254740993.0" } },
	    *const differ[][2] = { { "9007199254740993", "9007199254740992" },
		    { "1", "-1" }, { "1", "10" }, { "1", "\"1\"" },
		    { "\"a\"", "\"b\"" }, { "[1]", "[1,1]" }, { "[]", "{}" },
		    { "{\"a\":1}", "{\"a\":2}" }, { "{\"a\":1}", "{\"b\":1}" },
		    { "true", "false" }, { "null", "0" },
		    { "\"a\\u0000b\"", "\"a\"" },
		    { "{\"a\":1,\"a\":2}", "{\"a\":2,\"a\":1}" },
		    { "1e99999999999999999999", "1e99999999999999999998" },
		    { "1e-3", "1e3" } };

	for (size_t i = 0; i < sizeof same / sizeof *same; i++)
		check(json_same(span_of(same[i][0]), span_of(same[i][1])) &&
			  json_same(span_of(same[i][1]), span_of(same[i][0])),
		    same[i][0]);
	for (size_t i = 0; i < sizeof differ / sizeof *differ; i++)
		check(!json_same(span_of(differ[i][0]), span_of(differ[i][1])),
		    differ[i][0]);
}

static bool
splices(const char *from, const char *name, const char *value, const char *to)
{
	struct json_edit edit = { name,
		value ? span_of(value) : (struct span){ NULL, 0 } };
	struct json j = { .count = 0 };
	struct json_fault f;
	struct buf b = BUF_INIT;
	bool good;

	(void)json_scan(span_of(from), &j, &f);
	json_splice(&j, &edit, 1, &b);
	good = span_is(buf_peek(&b), to) && valid(b.at);
	if (!good)
		printf("# got %s\n# not %s\n", b.at, to);
	buf_free(&b);
	json_free(&j);
	return good;
}

static void
test_splice(void)
{
	const char *abc = "{ \"a\":1 , \"b\" : 2 ,\"c\":3 }";

	check(splices(abc, "b", "[]", "{ \"a\":1 , \"b\" : [] ,\"c\":3 }"),
	    "set");
	check(splices(abc, "b", "2", abc), "set to what it is");
	check(splices(abc, "a", NULL, "{ \"b\" : 2 ,\"c\":3 }"), "drop first");
	check(splices(abc, "b", NULL, "{ \"a\":1 ,\"c\":3 }"), "drop middle");
	check(splices(abc, "c", NULL, "{ \"a\":1 , \"b\" : 2 }"), "drop last");
	check(splices(abc, "x", NULL, abc), "drop nothing");
	check(splices(abc, "x\"", "4",
		  "{ \"a\":1 , \"b\" : 2 ,\"c\":3,\"x\\\"\":4 }"),
	    "add");
	check(splices("{ }", "x", "4", "{\"x\":4 }"), "add to the empty one");
	check(splices("{\"a\":1}", "a", NULL, "{}"), "drop the only one");
	check(splices("{\"\\u0061\":1,\"z\":0}", "a", "2",
		  "{\"\\u0061\":2,\"z\":0}"),
	    "set an escaped name");
}

static bool
sets(const char *from, const char *a, const char *b, const char *value,
    const char *to)
{
	const char *const path[] = { a, b, NULL };
	struct buf out = BUF_INIT;
	int rc = json_set_path(span_of(from), path,
	    value ? span_of(value) : (struct span){ NULL, 0 }, &out);
	bool good =
	    to ? rc == 0 && span_is(buf_peek(&out), to) : rc == -1 && !out.len;

	if (!good)
		printf("# got %d %s\n", rc, out.at ? out.at : "");
	buf_free(&out);
	return good;
}

static void
test_set_path(void)
{
	check(sets("{\"t\":{\"x\": 1.0}}", "t", "s", "2",
		  "{\"t\":{\"x\": 1.0,\"s\":2}}"),
	    "a new member below");
	check(
	    sets("{\"t\": {\"s\" :1} }", "t", "s", "2", "{\"t\": {\"s\" :2} }"),
	    "one that is there");
	check(sets("{\"i\":1}", "t", "s", "2", "{\"i\":1,\"t\":{\"s\":2}}"),
	    "an object on the way is made");
	check(sets("{\"t\":null}", "t", "s", "2", "{\"t\":{\"s\":2}}"),
	    "null on the way counts as absent");
	check(sets("{\"t\":1}", "t", "s", "2", NULL), "a number on the way");
	check(sets("{\"t\":{},\"t\":{}}", "t", "s", "2", NULL), "twice");
	check(sets("{\"t\":{\"s\":1}}", "t", "s", NULL, "{\"t\":{}}"), "drop");
	check(sets("{\"t\":null}", "t", "s", NULL, "{\"t\":null}"),
	    "drop what is not there");
	check(sets("{\"t\":1}", "t", NULL, "2", "{\"t\":2}"), "one name");
	check(sets("{\"t\":1}", "u", NULL, "2", "{\"t\":1,\"u\":2}"),
	    "one new name");
}

static void
test_jv(void)
{
	jv v = json_jv(span_of("{\"a\":[1,\"\\u00e9\\u0000\"]}"));
	struct buf b = BUF_INIT;
	char hex[65];

	check(jv_is_valid(v), "into libjq");
	json_add_jv(&b, v);
	check(span_is(buf_peek(&b), "{\"a\":[1,\"\xc3\xa9\\u0000\"]}"),
	    "and out");
	buf_free(&b);
	v = json_jv(span_of("[{\"a\":1,\"\\u0061\":2}]"));
	check(!jv_is_valid(v), "a member twice is not lost in silence");
	jv_free(v);
	v = json_jv(span_of("[\"\\ud800\"]"));
	check(!jv_is_valid(v), "nor half a surrogate pair");
	jv_free(v);
	json_sha256(span_of("abc"), hex);
	check(strcmp(hex,
		  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f"
		  "20015ad") == 0,
	    "SHA-256");
}

/* What is walked without checks is what a scan lists, wherever quotes and
 * brackets stand in the blocks that are looked at. */
static void
test_walk(void)
{
	static const char *const ends[] = { "{}", "[[],{}]", "\"}\"", "[\"]\"]",
		"{\"a\\\\\":\"\\\"}{][\\\\\\\"\",\"b\":[{\"c\":\"\\\\]\"}]}",
		"[1,{\"x\":[{\"y\":[true,null]}],\"z\":\"\u00fc\"}]" };
	struct json a = { .count = 0 };
	struct json_fault fault;
	struct buf text = BUF_INIT;
	struct span name, value;
	struct json_walk w;
	bool good = true;

	for (size_t i = 0; i < 1200; i++) {
		size_t n = 0;

		buf_clear(&text);
		buf_printf(&text,
		    " { \"in\" : {\"%*s\":%s},\"q\":%s , \"%*s\\\\\":-1.5 } ",
		    (int)(i / 6), "", ends[i % 6], ends[i % 6], (int)(i / 6),
		    "\\\"");
		good &= json_scan(buf_peek(&text), &a, &fault) == 0 &&
			a.count == 3 && json_walk(&w, buf_peek(&text));
		for (; good && json_next(&w, &name, &value); n++)
			good &= n < 3 && a.member[n].name.at == name.at &&
				a.member[n].name.len == name.len &&
				a.member[n].value.at == value.at &&
				a.member[n].value.len == value.len;
		good &= n == 3;
	}
	check(good, "a walk without checks meets what a scan lists");
	good = json_walk(&w, span_of(" [1, [2]]")) && !w.object;
	good = good && json_next(&w, &name, &value) &&
	       json_next(&w, &name, &value) && span_is(value, "[2]") &&
	       !name.len && !json_next(&w, &name, &value);
	check(good, "of an array too");
	check(!json_walk(&w, span_of(" 1.5 ")) && !json_walk(&w, span_of(" ")),
	    "and of neither");
	json_free(&a);
	buf_free(&text);
}

static void
test_levels(void)
{
	const struct json_member *a, *b, *m;
	struct json j = { .levels = JSON_LEVELS };
	struct json_fault fault;
	struct buf names = BUF_INIT;

	if (json_scan(span_of("{\"a\":{\"b\":{\"c\":[1,2],\"d\":{\"e\":2}},"
			      "\"b2\":-0},\"f\":\"g\",\"a2\":{\"\\u0062\":1,"
			      "\"b\":2},\"y\":[{\"x\":1},2],\"z\":null}"),
		&j, &fault) ||
	    json_find(&j, "a", &a) != 1 || json_find_in(&j, a, "b", &b) != 1) {
		check(false, "three levels are scanned");
		json_free(&j);
		return;
	}
	for (size_t i = 0; i < j.count; i = j.member[i].next)
		buf_span(&names, j.member[i].name);
	check(span_is(buf_peek(&names), "\"a\"\"f\"\"a2\"\"y\"\"z\""),
	    "from next to next: the top level");
	check(json_find_in(&j, b, "c", &m) == 1 && span_is(m->value, "[1,2]"),
	    "the third");
	check(json_find_in(&j, b, "d", &m) == 1 && m->kind == JSON_OBJECT &&
		  json_find_in(&j, m, "e", &m) == 0,
	    "and not the fourth");
	check(json_find_in(&j, a, "c", &m) == 0 &&
		  json_find_in(&j, a, "f", &m) == 0 &&
		  json_find(&j, "b", &m) == 0,
	    "each level by itself");
	check(
	    json_find(&j, "a2", &m) == 1 && json_find_in(&j, m, "b", &b) == -1,
	    "twice, however it is spelt");
	check(json_find(&j, "y", &m) == 1 && json_find_in(&j, m, "x", &b) == 0,
	    "nothing of an array");
	check(a->altered && j.altered && !m->altered, "numbers of a member");
	json_free(&j);
	buf_free(&names);
}

int
main(void)
{
	test_levels();
	test_walk();
	test_grammar();
	test_blocks();
	test_find();
	test_get();
	test_decode();
	test_altered();
	test_same();
	test_splice();
	test_set_path();
	test_jv();
	return done_testing();
}
