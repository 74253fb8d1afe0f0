/* Tests of tools/lib/entry.c and ledger.c; prints TAP. */
#include "entry.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ledger.h"
#include "tap.h"

static struct record rec;
static struct json there;

#define KEYS                                                      \
	"\"authentication\":{\"type\":\"sas\",\"symmetricKey\":{" \
	"\"primaryKey\":\"QUJD\",\"secondaryKey\":\"REVG\"}}"

static void
read_record(const char *line)
{
	struct err e;

	if (record_read(span_of(line), &rec, &e)) {
		printf("# %s\n", e.text);
		failures++;
	}
}

static void
scan(const char *text)
{
	struct json_fault fault;

	if (json_scan(span_of(text), &there, &fault))
		failures++;
}

static void
parent_is(const char *identity, const char *want)
{
	char *have;

	scan(identity);
	have = entry_parents(&there);
	check(want ? have && !strcmp(have, want) : !have,
	    want ? want : "no parent");
	free(have);
}

static void
test_parents(void)
{
	parent_is("{\"deviceScope\":\"ms-azure-iot-edge://a-b-12\"}", "a-b");
	parent_is("{\"parentScopes\":[\"ms-azure-iot-edge://c-1\"]}", "c");
	parent_is("{\"deviceScope\":\"\",\"parentScopes\":[]}", NULL);
	parent_is("{\"deviceScope\":null}", NULL);
	parent_is("{\"capabilities\":{\"iotEdge\":true},\"deviceScope\":"
		  "\"ms-azure-iot-edge://own-1\"}",
	    NULL);
	parent_is("{\"capabilities\":{\"iotEdge\":true},\"deviceScope\":"
		  "\"ms-azure-iot-edge://own-1\",\"parentScopes\":["
		  "\"ms-azure-iot-edge://up-2\"]}",
	    "up");
	parent_is("{\"capabilities\":{\"iotEdge\":true},\"parentScopes\":["
		  "\"ms-azure-iot-edge://up-2\",null,\"\","
		  "\"ms-azure-iot-edge://top-a-3\"]}",
	    "up top-a");
}

static bool
identity_is(enum entry_form form, const char *scope, const char *want)
{
	struct buf b = BUF_INIT;
	bool good;

	entry_identity(&rec, form, scope, there.count ? &there : NULL, &b);
	good = !strcmp(b.at, want);
	if (!good)
		printf("# %s\n", b.at);
	buf_free(&b);
	return good;
}

static void
test_identities(void)
{
	there.count = 0;
	read_record("{\"id\":\"d\",\"status\":\"enabled\",\"x\":1," KEYS
		    ",\"tags\":{\"a\":1.0},\"deviceScope\":"
		    "\"ms-azure-iot-edge://p-1\"}");
	check(identity_is(ENTRY_FULL, "ms-azure-iot-edge://p-9",
		  "{\"deviceId\":\"d\",\"status\":\"enabled\"," KEYS
		  ",\"deviceScope\":\"ms-azure-iot-edge://p-9\"}"),
	    "a leaf gets its parent's scope on this hub");
	read_record("{\"id\":\"e\",\"status\":\"enabled\"," KEYS
		    ",\"capabilities\":{\"iotEdge\":true},\"deviceScope\":"
		    "\"ms-azure-iot-edge://e-1\"}");
	scan("{\"deviceScope\":\"own\",\"parentScopes\":[\"up\"],"
	     "\"capabilities\":{\"iotEdge\":true}}");
	check(identity_is(ENTRY_ROOT, NULL,
		  "{\"deviceId\":\"e\",\"status\":\"enabled\"," KEYS
		  ",\"capabilities\":{\"iotEdge\":true},\"deviceScope\":"
		  "\"own\",\"parentScopes\":[\"up\"]}"),
	    "an Edge device repeats its own scope and keeps its parent");
	check(identity_is(ENTRY_FULL, "one two",
		  "{\"deviceId\":\"e\",\"status\":\"enabled\"," KEYS
		  ",\"capabilities\":{\"iotEdge\":true},\"deviceScope\":"
		  "\"own\",\"parentScopes\":[\"one\",\"two\"]}"),
	    "several parents, the nearest first");
	check(identity_is(ENTRY_FULL, "new",
		  "{\"deviceId\":\"e\",\"status\":\"enabled\"," KEYS
		  ",\"capabilities\":{\"iotEdge\":true},\"deviceScope\":"
		  "\"own\",\"parentScopes\":[\"new\"]}"),
	    "and gets another");
}

static void
test_locked(void)
{
	struct buf b = BUF_INIT;

	read_record("{\"id\":\"d\",\"status\":\"disabled\"," KEYS "}");
	entry_bulk(rec.json.text, NULL, RECORD_CREATE, ENTRY_LOCKED, NULL, &b);
	check(!strstr(b.at, "QUJD") && !strstr(b.at, "REVG") &&
		  strstr(b.at, "\"status\":\"enabled\"") &&
		  strstr(b.at, "\"importMode\":\"create\""),
	    "locked: enabled, without the keys of the record");
	buf_free(&b);
	entry_bulk(rec.json.text, NULL, RECORD_DELETE, ENTRY_FULL, NULL, &b);
	check(!strstr(b.at, "QUJD"), "what deletes sends no keys");
	buf_free(&b);
}

static bool
bulk_is(const char *line, enum record_mode mode, const char *scope,
    const char *want)
{
	struct buf b = BUF_INIT;
	bool is;

	read_record(line);
	entry_bulk(span_of(line), NULL, mode, ENTRY_FULL, scope, &b);
	is = !strcmp(b.at, want);
	if (!is)
		printf("# %s\n", b.at);
	buf_free(&b);
	return is;
}

static void
test_bulk(void)
{
	static const char line[] =
	    " {\"id\":\"d\",\"eTag\":\"x\",\"\\u0069mportMode\":\"update\", "
	    "\"status\" : \"enabled\"," KEYS ",\"tags\":{\"$version\":1},"
	    "\"properties\":{\"desired\": {\"$version\":1,\"a\":1.0,"
	    "\"$metadata\":{\"a\":{}},\"b\":[{\"$version\":2}],"
	    "\"\\u0024version\":3} ,\"reported\":null,\"x\":{\"$metadata\":"
	    "1}},\"deviceScope\":\"s\",\"z\":1e5 } ";
#define REST                                                                  \
	" \"status\" : \"enabled\"," KEYS ",\"tags\":{\"$version\":1},"       \
	"\"properties\":{\"desired\": {\"a\":1.0,\"b\":[{\"$version\":2}]} ," \
	"\"reported\":null,\"x\":{\"$metadata\":1}},\"z\":1e5 "

	check(bulk_is(line, RECORD_CREATE, NULL,
		  "{\"importMode\":\"create\",\"id\":\"d\"," REST "}"),
	    "of a bulk call: no byte else is changed");
	check(bulk_is(line, RECORD_UPDATE_IF_MATCH, "p q",
		  "{\"importMode\":\"updateIfMatchETag\",\"id\":\"d\",\"eTag\":"
		  "\"x\"," REST ",\"deviceScope\":\"p\",\"parentScopes\":"
		  "[\"p\",\"q\"]}"),
	    "with an ETag and parents");
#undef REST
	check(bulk_is("{\"status\":null,\"id\":\"d\"}", RECORD_UPDATE, NULL,
		  "{\"importMode\":\"update\",\"id\":\"d\",\"status\":"
		  "\"enabled\"}"),
	    "null is no status");
	check(bulk_is("{\"id\":\"d\",\"status\":\"disabled\",\"properties\":{"
		      "\"desired\":{\"$version\":1},\"reported\":{}}}",
		  RECORD_UPDATE_TWIN, NULL,
		  "{\"importMode\":\"updateTwin\",\"id\":\"d\",\"status\":"
		  "\"disabled\",\"properties\":{\"desired\":{},\"reported\":"
		  "{}}}"),
	    "an empty section stays");
}

/* A member less of an object; what is none stays as it is. */
static jv
without(jv object, const char *name)
{
	if (jv_get_kind(object) != JV_KIND_OBJECT)
		return object;
	return jv_object_delete(object, jv_string(name));
}

/* What an element of a bulk call must be, by the values alone. */
static jv
expected(const char *line, enum record_mode mode)
{
	static const char *const sections[] = { "desired", "reported" };
	bool etag = mode == RECORD_UPDATE_IF_MATCH ||
		    mode == RECORD_CREATE_OR_UPDATE_IF_MATCH ||
		    mode == RECORD_DELETE_IF_MATCH ||
		    mode == RECORD_UPDATE_TWIN_IF_MATCH;
	bool deletes = mode == RECORD_DELETE || mode == RECORD_DELETE_IF_MATCH;
	jv v = json_jv_loose(span_of(line)), status, properties;

	v = jv_object_set(
	    v, jv_string("importMode"), jv_string(record_mode_name(mode)));
	v = without(without(v, "deviceScope"), "parentScopes");
	if (!etag)
		v = without(without(v, "eTag"), "twinETag");
	if (deletes)
		v = without(without(v, "tags"), "properties");
	if (deletes || mode == RECORD_UPDATE_TWIN ||
	    mode == RECORD_UPDATE_TWIN_IF_MATCH)
		v = without(v, "authentication");
	status = jv_object_get(jv_copy(v), jv_string("status"));
	if (!jv_is_valid(status) || jv_get_kind(status) == JV_KIND_NULL)
		v = jv_object_set(v, jv_string("status"), jv_string("enabled"));
	jv_free(status);
	properties = jv_object_get(jv_copy(v), jv_string("properties"));
	if (jv_get_kind(properties) != JV_KIND_OBJECT) {
		jv_free(properties);
		return v;
	}
	for (int i = 0; i < 2; i++) {
		jv name = jv_string(sections[i]);
		jv one = jv_object_get(jv_copy(properties), jv_copy(name));

		if (jv_is_valid(one))
			properties = jv_object_set(properties, name,
			    without(without(one, "$metadata"), "$version"));
		else
			jv_free(name);
	}
	return jv_object_set(v, jv_string("properties"), properties);
}

/* With the cuts that were kept, if they are, as without; and as it must be. */
static bool
cuts_are_right(const char *line, enum record_mode mode, bool kept)
{
	struct entry_cuts cuts;
	struct buf b[2] = { BUF_INIT, BUF_INIT };
	struct json_fault fault;
	struct json j = { .count = 0 };
	bool right;

	read_record(line);
	entry_cut(span_of(line), &rec, mode, &cuts);
	for (int i = 0; i < 2; i++)
		entry_bulk(span_of(line), i ? NULL : &cuts, mode, ENTRY_FULL,
		    NULL, &b[i]);
	right = cuts.kept == kept && !strcmp(b[0].at, b[1].at) &&
		json_scan(buf_peek(&b[0]), &j, &fault) == 0 &&
		jv_equal(json_jv_loose(buf_peek(&b[0])), expected(line, mode));
	if (!right)
		printf("# %s %d: %.300s\n", record_mode_name(mode), cuts.kept,
		    b[0].at);
	json_free(&j);
	buf_free(&b[0]);
	buf_free(&b[1]);
	return right;
}

static void
test_cuts(void)
{
	static const char *const lines[] = {
		"{\"id\":\"d\"}",
		" \t{ \"id\" : \"d\" } \r",
		"{\"id\":\"d\",\"status\":null}",
		"{\"status\":null,\"id\":\"d\",\"eTag\":null}",
		"{\"eTag\":\"x\",\"id\":\"d\",\"status\":\"disabled\"}",
		"{\"id\":\"d\",\"status\":\"enabled\",\"twinETag\":\"}\"}",
		"{ \"eTag\" : \"x\" , \"twinETag\":\"y\",\"importMode\": 2 ,"
		" \"deviceScope\" : \"s\",\"parentScopes\":[ \"s\" , {} ] ,"
		" \"id\" : \"d\" }",
		"{\"id\":\"d\" , \"eTag\" : \"x\" , \"twinETag\" : \"y\" }",
		"{\"eTag\":\"x\",\"id\":\"d\",\"twinETag\":\"y\",\"tags\":{"
		"\"eTag\":1,\"properties\":{\"desired\":{\"$version\":1}}},"
		"\"deviceScope\":\"s\"}",
		"{\"\\u0065Tag\":\"x\",\"i\\u0064\":\"\\u0064\",\"status\":"
		"\"en\\u0061bled\",\"\\u0070roperties\":{\"desire\\u0064\":{"
		"\"\\u0024metadata\":{},\"a\\\"b\":\"{\",\"\\u0024version\":2}}"
		"}",
		"{\"id\":\"d\",\"properties\":null}",
		"{\"id\":\"d\",\"properties\":[{\"desired\":{\"$version\":1}}]"
		"}",
		"{\"id\":\"d\",\"properties\":{}}",
		"{\"id\":\"d\",\"properties\":{\"desired\":null,\"reported\":[]"
		"}}",
		"{\"id\":\"d\",\"properties\":{\"desired\":{},\"reported\":{ "
		"}}}",
		"{\"id\":\"d\",\"properties\":{\"reported\":{\"$version\":1}}}",
		"{\"id\":\"d\",\"properties\":{\"desired\":{ \"$metadata\" : {"
		"\"a\":{}} , \"$version\" : 1 } },\"status\":\"enabled\"}",
		"{\"id\":\"d\",\"properties\":{\"desired\":{\"$version\":1,"
		"\"a\":1.0,\"$metadata\":{\"a\":{\"$version\":1}},\"b\":{"
		"\"$version\":7}},\"reported\":{\"c\":[],\"$version\":1}}}",
		"{\"properties\":{\"x\":{\"$version\":1},\"desired\":{\"d\":{"
		"\"desired\":{\"$version\":1}}}},\"eTag\":\"\",\"id\":\"d\"}",
		"{\"id\":\"d\",\"properties\":{\"desired\":{\"$version\":1},"
		"\"desired\":{\"a\":1,\"$version\":2,\"$version\":3}}}",
		"{\"id\":\"d\",\"moduleId\":\"m\",\"managedBy\":\"$x\","
		"\"status\" : null , \"x\":{\"id\":null,\"eTag\":1}}",
		"{\"id\":\"d\",\"status\":\"enabled\"," KEYS
		",\"tags\":{\"$version\":1,\"z\":\"Z\xc3\xbcrich\"},\"eTag\":"
		"\"1\",\"capabilities\":{\"iotEdge\":true},\"n\":-1.50e+3}",
	};

	rec.json.levels = JSON_LEVELS;
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		bool right = true;

		for (unsigned mode = RECORD_CREATE_OR_UPDATE;
		     mode <= RECORD_UPDATE_TWIN_IF_MATCH; mode++)
			right &= cuts_are_right(
			    lines[i], (enum record_mode)mode, true);
		check(right, lines[i]);
	}
	check(cuts_are_right("{\"eTag\":\"1\",\"id\":\"d\",\"importMode\":0,"
			     "\"x\":1,\"twinETag\":\"1\",\"y\":1,"
			     "\"deviceScope\":\"\",\"properties\":{\"desired\":"
			     "{\"$version\":1,\"a\":1,\"$metadata\":{}},"
			     "\"reported\":{\"$version\":1}}}",
		  RECORD_CREATE, false),
	    "seven pieces are not kept");
}

/* A line whose last cut ends at that byte, from 0, and more behind it. */
static bool
cut_may_end_at(size_t end, bool kept)
{
	struct buf line = BUF_INIT;
	bool right;

	buf_text(&line, "{\"id\":\"d\",\"tags\":{\"a\":\"");
	while (line.len < end - strlen("\"},\"eTag\":\"x\""))
		buf_char(&line, '-');
	buf_text(&line, "\"},\"eTag\":\"x\"");
	right = line.len == end;
	buf_text(&line, ",\"z\":\"");
	while (line.len < 100000)
		buf_char(&line, '+');
	buf_text(&line, "\"}");
	right &= cuts_are_right(line.at, RECORD_CREATE, kept);
	buf_free(&line);
	return right;
}

static void
test_long_cuts(void)
{
	check(
	    cut_may_end_at(65535, true), "cuts of a long line, near its begin");
	check(cut_may_end_at(65536, false), "are not kept beyond 64 KB");
	rec.json.levels = 1;
}

/* What stays in its file is read there, and is the same to a journal. */
static void
test_borrowed(void)
{
	static const char text[] = "x\n\n\xef\xbb\xbf{1}\r\n\n{22}\n{333}";
	FILE *f = tmpfile();
	struct ledger *l[2] = { NULL, NULL };
	struct buf b = BUF_INIT;
	char hex[2][65];
	bool good = f && fputs(text, f) >= 0 && fflush(f) == 0;
	struct err e;

	for (int i = 0; good && i < 2; i++) {
		struct lines *in;
		struct line line;

		if (lseek(fileno(f), 3, SEEK_SET) != 3 ||
		    !(l[i] = ledger_open(&e))) {
			good = false;
			break;
		}
		in = lines_open(fileno(f), "x");
		if (i == 0)
			ledger_borrow(l[i], lines_file(in));
		while (good && lines_next(in, &line, &e) == LINES_LINE)
			if (line.text.len)
				(void)ledger_add(l[i], &line);
		lines_close(in);
		ledger_digest(l[i], hex[i]);
		for (uint32_t n = 0; n < l[i]->count; n++)
			buf_span(&b, ledger_peek(l[i], n));
		ledger_close(l[i]);
	}
	check(good && span_is(buf_peek(&b), "{1}{22}{333}{1}{22}{333}"),
	    "lines that stay where they are");
	check(good && !strcmp(hex[0], hex[1]), "have the same digest");
	buf_free(&b);
	if (f)
		(void)fclose(f);
}

static void
test_same(void)
{
	read_record("{\"id\":\"d\",\"status\":\"enabled\"," KEYS
		    ",\"tags\":{\"a\":1.0}}");
	scan("{\"status\":\"enabled\",\"statusReason\":null," KEYS "}");
	check(entry_same_identity(&rec, ENTRY_FULL, NULL, &there),
	    "an absent reason is the same as null");
	check(!entry_same_identity(&rec, ENTRY_FULL, "s", &there),
	    "a parent that is not there is a difference");
	check(entry_lock(&rec, &there) == ENTRY_OPEN,
	    "what is enabled need not be opened");
	scan("{\"status\":\"enabled\",\"statusReason\":\"enabled by "
	     "registry-load until its modules are there\"}");
	check(entry_lock(&rec, &there) == ENTRY_OURS,
	    "the reason tells whom a run before has opened");
	scan("{\"status\":\"disabled\",\"statusReason\":\"enabled by "
	     "registry-load until its modules are there\"}");
	check(entry_lock(&rec, &there) == ENTRY_SHUT,
	    "what is disabled is shut whatever its reason");
	scan("{\"status\":\"enabled\",\"capabilities\":{\"iotEdge\":true}}");
	check(entry_lock(&rec, &there) == ENTRY_OTHER,
	    "what has to become an Edge device, or none, is written");
	scan("{\"status\":\"enabled\",\"authentication\":{\"type\":\"sas\","
	     "\"symmetricKey\":{\"primaryKey\":\"QUJD\",\"secondaryKey\":"
	     "\"REVH\"}}}");
	check(!entry_same_identity(&rec, ENTRY_FULL, NULL, &there),
	    "one byte of a key is a difference");
	scan("{\"tags\":{\"a\":1},\"properties\":{\"desired\":{\"b\":2}}}");
	check(entry_same_twin(&rec, &there),
	    "numbers by value; what the record has not may be anything");
	scan("{\"tags\":{\"a\":1,\"b\":2}}");
	check(!entry_same_twin(&rec, &there), "a tag more is a difference");
}

static void
test_keys(void)
{
	static const struct {
		const char *line, *code;
	} bad[] = {
		{ "{\"id\":\"d\",\"status\":\"enabled\"}", "NoKeys" },
		{ "{\"id\":\"d\",\"status\":\"enabled\",\"authentication\":{"
		  "\"type\":\"sas\",\"symmetricKey\":{\"primaryKey\":\"\","
		  "\"secondaryKey\":\"\"}}}",
		    "NoKeys" },
		{ "{\"id\":\"d\",\"status\":\"enabled\",\"authentication\":{"
		  "\"type\":\"sas\",\"symmetricKey\":{\"primaryKey\":\"QQ==\","
		  "\"secondaryKey\":null}}}",
		    "HalfKey" },
		{ "{\"id\":\"d\",\"status\":\"enabled\",\"authentication\":{"
		  "\"type\":\"selfSigned\"}}",
		    "NoKeys" },
		{ "{\"id\":\"d\",\"moduleId\":\"m\",\"authentication\":{"
		  "\"type\":\"none\"}}",
		    "NoKeys" },
		{ "{\"id\":\"d\"," KEYS "}", "NoStatus" },
	};
	const char *code;
	struct err e;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		code = "";
		read_record(bad[i].line);
		check(entry_check(&rec, false, &code, &e) == -1 &&
			  !strcmp(code, bad[i].code),
		    bad[i].code);
	}
	read_record("{\"id\":\"d\",\"moduleId\":\"$edgeHub\"}");
	check(entry_check(&rec, false, &code, &e) == 0,
	    "a system module needs no keys");
	read_record("{\"id\":\"d\",\"importMode\":\"updateTwin\"}");
	check(entry_check(&rec, false, &code, &e) == 0,
	    "neither does what leaves the identity alone");
}

static void
test_ledger(void)
{
	struct err e;
	struct ledger *l = ledger_open(&e);
	struct buf b = BUF_INIT;
	char id[32], text[40];
	bool good = true;

	for (int i = 0; i < 20000; i++) {
		struct line line = { .number = i + 1 };

		(void)snprintf(id, sizeof id, "dev-%d", i);
		(void)snprintf(text, sizeof text, "%s\r\n", id);
		line.raw = line.text = span_of(text);
		good &= ledger_name(l, ledger_add(l, &line), id, NULL) ==
			LEDGER_NONE;
	}
	check(good, "20,000 names are all new");
	check(ledger_find(l, "dev-19999", NULL) == 19999 &&
		  ledger_find(l, "dev-0", NULL) == 0,
	    "and all found");
	check(ledger_find(l, "dev-0", "m") == LEDGER_NONE &&
		  ledger_find(l, "dev-20000", NULL) == LEDGER_NONE,
	    "others are not");
	check(ledger_name(l, 5, "dev-7", NULL) == 7, "a second one is told");
	ledger_text(l, 12345, &b);
	check(!strcmp(b.at, "dev-12345"), "the text, without its end");
	ledger_edit(l, 3)->flags = 7;
	for (uint32_t i = 0; i < 20000; i++)
		good &= ledger_at(l, i)->line == i + 1 &&
			ledger_at(l, i)->flags == (i == 3 ? 7 : 0);
	check(good, "entries come back from the file as they went");
	check(sizeof(struct ledger_entry) <= 72, "72 bytes a record");
	buf_free(&b);
	ledger_close(l);
}

int
main(void)
{
	msg_begin("entry", false, false);
	test_parents();
	test_identities();
	test_locked();
	test_bulk();
	test_cuts();
	test_long_cuts();
	test_same();
	test_keys();
	test_ledger();
	test_borrowed();
	record_free(&rec);
	json_free(&there);
	return done_testing();
}
