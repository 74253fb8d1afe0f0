/* Unit tests of expr.c, as TAP. */
#include "expr.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doc.h"

static int number, failed;

static void
ok(bool yes, const char *what, const char *got)
{
	printf("%s %d - ", yes ? "ok" : "not ok", ++number);
	for (; *what; what++)
		putchar((unsigned char)*what < ' ' ? ' ' : *what);
	putchar('\n');
	if (!yes) {
		failed++;
		printf("# got: %s\n", got);
	}
}

/* A value as text: what is no string as compact JSON. */
static char *
shown(jv v)
{
	struct err e;
	jv text;
	char *s;

	if (!jv_is_valid(v)) {
		if (expr_is_unknown(v)) {
			jv_free(v);
			return strdup("(unknown)");
		}
		err_from_jv(&e, v);
		return xasprintf("error %d: %s%s%s", e.status, e.subject,
		    e.subject[0] ? ": " : "", e.text);
	}
	if (jv_get_kind(v) == JV_KIND_STRING) {
		s = strdup(jv_string_value(v));
		jv_free(v);
		return s;
	}
	text = jv_dump_string(v, JV_PRINT_SORTED);
	s = strdup(jv_string_value(text));
	jv_free(text);
	return s;
}

static void
is(jv got, const char *expected, const char *what)
{
	char *text = shown(got);

	ok(strcmp(text, expected) == 0, what, text);
	free(text);
}

/* Text in, the canonical text out; or an error. */
static const char *const print_cases[][2] = {
	{ "[parameters('location')]", "[parameters('location')]" },
	{ "[ concat( 'a' ,'b' ) ]", "[concat('a', 'b')]" },
	{ "[Concat('it''s',x())]", "[Concat('it''s', x())]" },
	{ "[resourceGroup().Name]", "[resourceGroup().Name]" },
	{ "[a().b.c[0][1].d]", "[a().b.c[0][1].d]" },
	{ "[a()['b c']]", "[a()['b c']]" },
	{ "[a()[parameters('n')]]", "[a()[parameters('n')]]" },
	{ "[ns.fn(1, -2)]", "[ns.fn(1, -2)]" },
	{ "[ns.fn(1).x]", "[ns.fn(1).x]" },
	{ "[if(true, FALSE, null)]", "[if(true(), false(), null())]" },
	{ "[f(true())]", "[f(true())]" },
	{ "[f(9007199254740993)]", "[f(9007199254740993)]" },
	{ "[f(\n  'a',\r\n\t2)\n]", "[f('a', 2)]" },
	{ "[f('\xc3\xa4\xe2\x82\xac')]", "[f('\xc3\xa4\xe2\x82\xac')]" },
	{ "[f('[x]')]", "[f('[x]')]" },
	{ "['constant']", "constant" },
	{ "['[x]']", "[[x]" },
	{ "['[x] y']", "[x] y" },
	{ "[42]", "42" },
	{ "[true]", "true" },
	{ "[f(]", "error 3: expression, column 4: it ends too early" },
	{ "[f('a]", "error 3: expression, column 4: this string has no end" },
	{ "[f('a' 'b')]",
	    "error 3: expression, column 8: ',' or ')' must stand here" },
	{ "[f('\xc3\xa4' x)]",
	    "error 3: expression, column 8: ',' or ')' must stand here" },
	{ "[f('a',)]",
	    "error 3: expression, column 8: a function, a string or a number "
	    "must stand here" },
	{ "[f('a']", "error 3: expression, column 3: this '(' has no ')'" },
	{ "[f()[0]", "error 3: expression, column 5: this '[' has no ']'" },
	{ "[f() g()]",
	    "error 3: expression, column 6: the expression ends before this" },
	{ "[f()]]",
	    "error 3: expression, column 5: the expression ends before this" },
	{ "[name]", "error 3: expression, column 6: '(' must follow a "
		    "function's name" },
	{ "[f().]", "error 3: expression, column 6: a name must stand here" },
	{ "[]", "error 3: expression, column 2: it ends too early" },
	{ "[-]", "error 3: expression, column 2: a digit must follow '-'" },
	{ "[1.5]",
	    "error 3: expression, column 3: the expression ends before this" },
	{ "plain", "error 3: an expression stands between '[' and ']'" },
};

static jv
print_once(const char *text)
{
	jv tree = expr_parse(text);

	return jv_is_valid(tree) ? expr_print(tree) : tree;
}

static void
test_print(void)
{
	size_t n = sizeof(print_cases) / sizeof(print_cases[0]);

	for (size_t i = 0; i < n; i++) {
		const char *want = print_cases[i][1];

		is(print_once(print_cases[i][0]), want, print_cases[i][0]);
		if (expr_is(want))
			is(print_once(want), want, "  and once more");
	}
}

static void
test_is(void)
{
	ok(expr_is("[a()]") && !expr_is("[[a()]") && !expr_is("[a") &&
		!expr_is("a]") && !expr_is("") && !expr_is("["),
	    "what is an expression", "");
}

/* "[" head, n times more, tail "]" */
static char *
repeated(const char *head, const char *more, int n, const char *tail)
{
	struct buf b = BUF_INIT;

	buf_printf(&b, "[%s", head);
	for (int i = 0; i < n; i++)
		buf_text(&b, more);
	buf_printf(&b, "%s]", tail);
	return b.at;
}

static void
test_depth(void)
{
	char *close = repeated("", ")", 90, ""), *deep;
	jv v;

	close[strlen(close) - 1] = '\0';
	close[0] = '1';
	deep = repeated("", "f(", 90, close);
	is(print_once(deep), deep, "ninety levels are parsed and printed");
	free(close);
	free(deep);
	deep = repeated("", "f(", 600, "");
	v = expr_parse(deep);
	ok(!jv_is_valid(v), "six hundred levels are refused", "a value");
	jv_free(v);
	free(deep);
	deep = repeated("f()", ".a", 600, "");
	v = expr_parse(deep);
	ok(!jv_is_valid(v), "six hundred members are refused", "a value");
	jv_free(v);
	free(deep);
}

/* A world with a few parameters, of which one is known in part. */
static jv
call(void *ctx, const char *name, jv args)
{
	jv key = jv_array_get(args, 0), value;

	(void)ctx;
	if (strcmp(name, "parameters") != 0 ||
	    jv_get_kind(key) != JV_KIND_STRING) {
		jv_free(key);
		return expr_unknown();
	}
	if (strcmp(jv_string_value(key), "name") == 0)
		value = jv_string("contoso");
	else if (strcmp(jv_string_value(key), "bracket") == 0)
		value = jv_string("[x]");
	else if (strcmp(jv_string_value(key), "list") == 0)
		value = jv_parse("[1,2,3]");
	else if (strcmp(jv_string_value(key), "tags") == 0)
		value = jv_parse("{\"env\":\"p\",\"n\":[10,20]}");
	else if (strcmp(jv_string_value(key), "half") == 0)
		value = expr_lift(jv_parse(
		    "{\"key\":\"[listKeys('a', 'b').key]\",\"known\":\"k\"}"));
	else if (strcmp(jv_string_value(key), "later") == 0)
		value = expr_unknown();
	else
		value = jv_fail(
		    BAD_DATA, NULL, "no parameter '%s'", jv_string_value(key));
	jv_free(key);
	return value;
}

static const struct expr_world world = { call, NULL };

static const char *const fold_cases[][2] = {
	{ "[parameters('name')]", "contoso" },
	{ "[PARAMETERS('name')]", "contoso" },
	{ "[parameters(concat('na', 'me'))]", "contoso" },
	{ "[parameters('bracket')]", "[[x]" },
	{ "[concat(parameters('bracket'), '!')]", "[x]!" },
	{ "[concat(parameters('name'), '/cert', 1)]", "contoso/cert1" },
	{ "[concat(createArray(1), parameters('list'))]", "[1,1,2,3]" },
	{ "[concat('a', 'b', later(), 'c', 'd')]",
	    "[concat('ab', later(), 'cd')]" },
	{ "[concat(parameters('list'), later())]",
	    "[concat(createArray(1, 2, 3), later())]" },
	{ "[concat(concat('a', later()), 'b')]",
	    "[concat(concat('a', later()), 'b')]" },
	{ "[Concat('x', listKeys(parameters('name'), '2').keys[0].value)]",
	    "[Concat('x', listKeys('contoso', '2').keys[0].value)]" },
	{ "[parameters('later')]", "[parameters('later')]" },
	{ "[parameters('half')]",
	    "{\"key\":\"[listKeys('a', 'b').key]\",\"known\":\"k\"}" },
	{ "[parameters('half').key]", "[listKeys('a', 'b').key]" },
	{ "[parameters('half').known]", "k" },
	{ "[string(parameters('half'))]",
	    "[string(createObject('key', listKeys('a', 'b').key, 'known', "
	    "'k'))]" },
	{ "[parameters('tags').ENV]", "p" },
	{ "[parameters('tags')['n'][1]]", "20" },
	{ "[parameters('tags').n[5]]",
	    "error 3: v: there is no '5' in an array" },
	{ "[parameters('tags').x]",
	    "error 3: v: the property 'x' doesn't exist, available properties "
	    "are 'env, n'" },
	{ "[parameters('none')]", "error 3: v: no parameter 'none'" },
	{ "[format('{0}-{1}-{0}{{}}', 'a', 2)]", "a-2-a{}" },
	{ "[format('{0:N2}', 2)]", "[format('{0:N2}', 2)]" },
	{ "[format('{1}', 2)]",
	    "error 3: v: format(): wrong number or kind of arguments" },
	{ "[format('x{0}', later())]", "[format('x{0}', later())]" },
	{ "[toLower('ABC')]", "abc" },
	{ "[toUpper('abc')]", "ABC" },
	{ "[substring('abcdef', 2, 3)]", "cde" },
	{ "[substring('abcdef', 4)]", "ef" },
	{ "[substring('abc', 2, 3)]",
	    "error 3: v: substring(): the part lies outside of the string" },
	{ "[substring('abc', mul(2147483648, 2147483648), mul(2147483648, "
	  "2147483648))]",
	    "error 3: v: substring(): the part lies outside of the string" },
	{ "[substring('abc', 0, 1, 2)]",
	    "error 3: v: substring(): wrong number or kind of arguments" },
	{ "[true(1)]",
	    "error 3: v: true(): wrong number or kind of arguments" },
	{ "[equals(1)]",
	    "error 3: v: equals(): wrong number or kind of arguments" },
	{ "[padLeft('a', 2, 7)]",
	    "error 3: v: padleft(): wrong number or kind of arguments" },
	{ "[take(7, 2)]",
	    "error 3: v: take(): wrong number or kind of arguments" },
	{ "[join('a', ',')]",
	    "error 3: v: join(): wrong number or kind of arguments" },
	{ "[base64ToString('?')]",
	    "error 3: v: base64tostring(): wrong number or kind of arguments" },
	{ "[empty(1)]",
	    "error 3: v: empty(): wrong number or kind of arguments" },
	{ "[length(1)]",
	    "error 3: v: length(): wrong number or kind of arguments" },
	{ "[contains('abc', 1)]",
	    "error 3: v: contains(): wrong number or kind of arguments" },
	{ "[bool('x')]",
	    "error 3: v: bool(): wrong number or kind of arguments" },
	{ "[concat('a', createArray())]",
	    "error 3: v: concat(): wrong number or kind of arguments" },
	{ "[not(1)]", "error 3: v: not(): wrong number or kind of arguments" },
	{ "[trim()]", "error 3: v: trim(): wrong number or kind of arguments" },
	{ "[toLower(later(), 'a')]", "[toLower(later(), 'a')]" },
	{ "[take('abc', -1)]", "" },
	{ "[last(createArray())]", "null" },
	{ "[first('')]", "" },
	{ "[coalesce()]", "null" },
	{ "[array(createArray(1))]", "[1]" },
	{ "[indexOf(createArray('a', 'b'), 'b')]", "1" },
	{ "[base64ToJson('eyJhIjoxfQ==').a]", "1" },
	{ "[empty(null())]", "true" },
	{ "[bool(2)]", "true" },
	{ "[replace('aXbX', 'X', '')]", "ab" },
	{ "[split('a', '')]", "[\"a\"]" },
	{ "[take('abc', 2)]", "ab" },
	{ "[take('\xc3\xa4\xc3\xb6', 1)]", "\xc3\xa4" },
	{ "[take('abc', 9)]", "abc" },
	{ "[skip(parameters('list'), 1)]", "[2,3]" },
	{ "[replace('a-b-c', '-', '+')]", "a+b+c" },
	{ "[split('a,b;c', createArray(',', ';'))]", "[\"a\",\"b\",\"c\"]" },
	{ "[split('a,b', ',')]", "[\"a\",\"b\"]" },
	{ "[join(parameters('list'), '-')]", "1-2-3" },
	{ "[length('a\xc3\xa4')]", "2" },
	{ "[length(parameters('list'))]", "3" },
	{ "[trim('  a b ')]", "a b" },
	{ "[string(true)]", "True" },
	{ "[string(12)]", "12" },
	{ "[string(parameters('tags'))]", "{\"env\":\"p\",\"n\":[10,20]}" },
	{ "[int('42')]", "42" },
	{ "[int('x')]",
	    "error 3: v: int(): wrong number or kind of arguments" },
	{ "[bool('TRUE')]", "true" },
	{ "[json('{\"a\":[1]}').a[0]]", "1" },
	{ "[json('null')]", "null" },
	{ "[base64('abc')]", "YWJj" },
	{ "[base64ToString('YWJj')]", "abc" },
	{ "[uriComponent('a b/c')]", "a%20b%2Fc" },
	{ "[if(equals(parameters('name'), 'contoso'), 'y', "
	  "parameters('none'))]",
	    "y" },
	{ "[if(later(), concat('a', 'b'), parameters('none'))]",
	    "[if(later(), 'ab', parameters('none'))]" },
	{ "[if('x', 1, 2)]",
	    "error 3: v: if(): wrong number or kind of arguments" },
	{ "[and(true, false, later())]", "false" },
	{ "[and(true, later())]", "[and(later(), true())]" },
	{ "[or(false, true)]", "true" },
	{ "[or(later(), parameters('none'))]",
	    "[or(later(), parameters('none'))]" },
	{ "[not(true)]", "false" },
	{ "[greater(2, 1)]", "true" },
	{ "[greaterOrEquals(2, 2)]", "true" },
	{ "[less('a', 'b')]", "true" },
	{ "[lessOrEquals(3, 2)]", "false" },
	{ "[add(1, 2)]", "3" },
	{ "[sub(1, 2)]", "-1" },
	{ "[mul(3, 2)]", "6" },
	{ "[div(7, 2)]", "3" },
	{ "[mod(7, 4)]", "3" },
	{ "[div(7, 0)]",
	    "error 3: v: div(): wrong number or kind of arguments" },
	{ "[min(3, 1, 2)]", "1" },
	{ "[max(createArray(3, 1))]", "3" },
	{ "[range(2, 3)]", "[2,3,4]" },
	{ "[empty('')]", "true" },
	{ "[empty(parameters('list'))]", "false" },
	{ "[contains('abc', 'bc')]", "true" },
	{ "[contains(parameters('tags'), 'ENV')]", "true" },
	{ "[contains(parameters('list'), 9)]", "false" },
	{ "[first(parameters('list'))]", "1" },
	{ "[last('abc')]", "c" },
	{ "[startsWith('ABC', 'ab')]", "true" },
	{ "[endsWith('abc', 'abcd')]", "false" },
	{ "[indexOf('abcabc', 'BC')]", "1" },
	{ "[lastIndexOf('abcabc', 'bc')]", "4" },
	{ "[createObject('a', 1, 'b', parameters('list'))]",
	    "{\"a\":1,\"b\":[1,2,3]}" },
	{ "[array('a')]", "[\"a\"]" },
	{ "[union(createArray(1, 2), createArray(2, 3))]", "[1,2,3]" },
	{ "[union(createObject('a', 1), createObject('b', 2))]",
	    "{\"a\":1,\"b\":2}" },
	{ "[intersection(createArray(1, 2), createArray(2, 3))]", "[2]" },
	{ "[coalesce(null(), 'a', 'b')]", "a" },
	{ "[padLeft(7, 3, '0')]", "007" },
	{ "[resourceId('T/t', 'n')]", "[resourceId('T/t', 'n')]" },
	{ "[reference(concat('a', 'b')).x]", "[reference('ab').x]" },
};

/* {"v": text} lifted, folded and lowered; of the result, v. */
static jv
fold_once(const char *text)
{
	jv doc = expr_lift(
	    jv_object_set(jv_object(), jv_string("v"), jv_string(text)));

	if (jv_is_valid(doc))
		doc = expr_fold(doc, &world);
	if (jv_is_valid(doc))
		doc = expr_lower(doc);
	return jv_is_valid(doc) ? jv_object_get(doc, jv_string("v")) : doc;
}

static void
test_fold(void)
{
	size_t n = sizeof(fold_cases) / sizeof(fold_cases[0]);
	jv a;

	for (size_t i = 0; i < n; i++)
		is(fold_once(fold_cases[i][0]), fold_cases[i][1],
		    fold_cases[i][0]);
	is(expr_fold(
	       expr_lift(jv_parse("{\"[concat(parameters('name'), '1')]\":"
				  "1,\"[later(concat('a', 'b'))]\":2}")),
	       &world),
	    "{\"[later('ab')]\":2,\"contoso1\":1}", "names of members");
	is(expr_fold(jv_parse("{\"a\":{\"[f(]\":1}}"), &world),
	    "error 3: a.[f(]: expression, column 4: it ends too early",
	    "a name that does not parse");
	is(expr_lower(expr_fold(expr_lift(jv_string("[concat(uniqueString("
						    "'a'), guid('b'), "
						    "'c')]")),
	       NULL)),
	    "[concat(uniqueString('a'), guid('b'), 'c')]",
	    "uniqueString and guid stay: only the service knows their hash");
	a = expr_fold(expr_lift(jv_string("[concat('a', b())]")), NULL);
	ok(expr_has_tree_peek(a), "without a world, what is unknown stays", "");
	jv_free(a);
}

static void
test_documents(void)
{
	static const char canonical[] =
	    "{\"a\":[\"[f('x', 1)]\",\"[[literal]\",\"[open\",\"plain\",1,"
	    "null,true,{\"b\":\"[g().h[0]]\"}],\"n\":\"\xee\x80\x80number:1."
	    "0\"}";
	jv doc = jv_parse(canonical), lifted = expr_lift(jv_copy(doc));

	ok(expr_has_tree_peek(lifted) && !expr_has_tree_peek(doc),
	    "a lifted document has trees", "");
	ok(jv_equal(expr_lower(lifted), jv_copy(doc)),
	    "lifted and lowered it is the same", "");
	jv_free(doc);
	is(expr_lift(jv_parse("{\"a\":[1,{\"b\":\"[f(]\"}]}")),
	    "error 3: a[1].b: expression, column 4: it ends too early",
	    "an error names its place");
	is(expr_lift(
	       jv_parse("{\"metadata\":{\"description\":\"[just (text]\"}}")),
	    "{\"metadata\":{\"description\":\"[just (text]\"}}",
	    "metadata is not evaluated");
	is(expr_lower(jv_parse("{\"a\":{\"$expr\":{\"call\":7}}}")),
	    "error 3: a: a tree under '$expr' is not one of expr.h's",
	    "a tree that is none");
	is(expr_lower(jv_parse("{\"$expr\":{\"call\":\"listKeys\",\"args\":["
			       "\"it's\",{\"k\":[null,1.5]}]}}")),
	    "[listKeys('it''s', createObject('k', createArray(null(), "
	    "json('1.5'))))]",
	    "literals that a program put into a tree");
	is(expr_unescape(jv_parse("{\"a\":[\"[[x]\",\"[[x\",\"y\"]}")),
	    "{\"a\":[\"[x]\",\"[[x\",\"y\"]}", "unescaped");
	is(expr_escape(jv_parse("{\"a\":[\"[x]\",\"[x\",\"y\"]}")),
	    "{\"a\":[\"[[x]\",\"[x\",\"y\"]}", "escaped");
}

/* Each expression of a document: parse, print, parse, print. */
static int
fixpoint(jv value)
{
	int bad = 0;

	if (jv_get_kind(value) == JV_KIND_ARRAY) {
		jv_array_foreach(value, i, item)
			bad += fixpoint(item);
	} else if (jv_get_kind(value) == JV_KIND_OBJECT) {
		jv_object_foreach(value, key, item) {
			jv_free(key);
			bad += fixpoint(item);
		}
	} else if (jv_get_kind(value) == JV_KIND_STRING &&
		   expr_is(jv_string_value(value))) {
		jv tree = expr_parse(jv_string_value(value)), again;
		jv text;

		if (!jv_is_valid(tree)) {
			printf("# %s\n", jv_string_value(value));
			jv_free(tree);
			jv_free(value);
			return 1;
		}
		text = expr_print(jv_copy(tree));
		again = expr_parse(jv_string_value(text));
		bad = !jv_equal(tree, again);
		jv_free(text);
	}
	jv_free(value);
	return bad;
}

static void
test_examples(void)
{
	const char *dir = getenv("HUBPIPE_SHARED");
	char *path = xasprintf("%s/azure/examples", dir ? dir : "/work/shared");
	DIR *d = opendir(path);
	struct dirent *e;

	if (d == NULL) {
		printf("ok %d # skip no %s\n", ++number, path);
		free(path);
		return;
	}
	while ((e = readdir(d)) != NULL) {
		char *file = xasprintf("%s/%s", path, e->d_name);
		size_t n = strlen(file);

		if (n > 5 && strcmp(file + n - 5, ".json") == 0) {
			jv doc = doc_read(file);

			ok(jv_is_valid(doc) && fixpoint(jv_copy(doc)) == 0,
			    e->d_name, "an expression that is no fixpoint");
			jv_free(doc);
		}
		free(file);
	}
	closedir(d);
	free(path);
}

int
main(void)
{
	test_is();
	test_print();
	test_depth();
	test_fold();
	test_documents();
	test_examples();
	printf("1..%d\n", number);
	return failed != 0;
}
