/* doc.c: one JSON document as a jv; see doc.h. */
#include "doc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "json.h"
#include "opt.h"
#include "out.h"

/* -- reading ------------------------------------------------------------- */

/* The text has passed json_scan(), so its syntax and depth are known good. */
struct reader {
	const char *start, *at, *end;
	const char *name;
};

static jv read_value(struct reader *r);

static jv
refuse(const struct reader *r, const char *at, const char *what)
{
	long line = 1, column = 1;

	for (const char *p = r->start; p < at; p++) {
		column++;
		if (*p == '\n') {
			line++;
			column = 1;
		}
	}
	return jv_fail(
	    BAD_DATA, r->name, "line %ld, column %ld: %s", line, column, what);
}

static void
skip_blank(struct reader *r)
{
	while (r->at < r->end && strchr(" \t\r\n", *r->at))
		r->at++;
}

static jv
read_string(struct reader *r)
{
	const char *start = r->at++;
	struct buf text = BUF_INIT;
	struct span s;
	jv out;

	while (*r->at != '"')
		r->at += *r->at == '\\' ? 2 : 1;
	r->at++;
	s = (struct span){ start, (size_t)(r->at - start) };
	if (json_decode(s, &text) != 0) {
		buf_free(&text);
		return refuse(r, start,
		    "string with a lone surrogate or a NUL character");
	}
	if (text.len >= strlen(DOC_NUMBER) &&
	    memcmp(text.at, DOC_NUMBER, strlen(DOC_NUMBER)) == 0)
		out = refuse(r, start, "string begins with U+E000 'number:'");
	else
		out = jv_string_sized(text.at ? text.at : "", (int)text.len);
	buf_free(&text);
	return out;
}

static jv
read_number(struct reader *r)
{
	struct span s = { r->at, 0 };

	while (r->at < r->end && strchr("+-.0123456789eE", *r->at))
		r->at++;
	s.len = (size_t)(r->at - s.at);
	if (json_number_altered(s))
		return jv_text("%s%.*s", DOC_NUMBER, (int)s.len, s.at);
	return jv_number(strtod(s.at, NULL));
}

static jv
read_array(struct reader *r)
{
	jv out = jv_array();

	for (r->at++, skip_blank(r); *r->at != ']'; skip_blank(r)) {
		jv v = read_value(r);

		if (!jv_is_valid(v)) {
			jv_free(out);
			return v;
		}
		out = jv_array_append(out, v);
		skip_blank(r);
		if (*r->at == ',')
			r->at++;
	}
	r->at++;
	return out;
}

static jv
read_object(struct reader *r)
{
	jv out = jv_object();

	for (r->at++, skip_blank(r); *r->at != '}'; skip_blank(r)) {
		const char *start = r->at;
		jv k = read_string(r), v;

		if (jv_is_valid(k) && jv_object_has(jv_copy(out), jv_copy(k))) {
			jv_free(k);
			k = refuse(r, start, "member is there twice");
		}
		if (!jv_is_valid(k)) {
			jv_free(out);
			return k;
		}
		skip_blank(r);
		r->at++; /* the colon */
		v = read_value(r);
		if (!jv_is_valid(v)) {
			jv_free(out);
			jv_free(k);
			return v;
		}
		out = jv_object_set(out, k, v);
		skip_blank(r);
		if (*r->at == ',')
			r->at++;
	}
	r->at++;
	return out;
}

static jv
read_value(struct reader *r)
{
	skip_blank(r);
	switch (*r->at) {
	case '{':
		return read_object(r);
	case '[':
		return read_array(r);
	case '"':
		return read_string(r);
	case 't':
		r->at += 4;
		return jv_true();
	case 'f':
		r->at += 5;
		return jv_false();
	case 'n':
		r->at += 4;
		return jv_null();
	default:
		return read_number(r);
	}
}

jv
doc_parse(struct span text, const char *name)
{
	struct reader r = { text.at, text.at, text.at + text.len, name };
	struct json top = { 0 };
	struct json_fault fault = { 0, NULL };
	jv out;

	if (text.len >= 3 && memcmp(text.at, "\xef\xbb\xbf", 3) == 0) {
		r.at += 3;
		text.at += 3;
		text.len -= 3;
	}
	skip_blank(&r);
	if (r.at == r.end)
		return jv_fail(BAD_DATA, name,
		    "empty input (did the program before it fail?)");
	if (json_scan(text, &top, &fault) != 0)
		out = refuse(&r, text.at + fault.offset, fault.reason);
	else
		out = read_value(&r);
	json_free(&top);
	return out;
}

int
doc_read_text(const char *path, struct buf *into, struct err *e)
{
	bool from_stdin = !strcmp(path, "-");
	int fd = from_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;
	int rc = 0;

	if (fd == -1)
		return err_set(
		    e, LOCAL_FAILURE, path, "cannot open: %s", strerror(errno));
	do {
		buf_reserve(into, 1 << 16);
		n = read(fd, into->at + into->len, 1 << 16);
		if (n > 0)
			into->len += (size_t)n;
		into->at[into->len] = '\0';
	} while (n > 0 || (n == -1 && errno == EINTR));
	if (n == -1)
		rc = err_set(e, LOCAL_FAILURE, from_stdin ? "stdin" : path,
		    "read failed: %s", strerror(errno));
	if (!from_stdin)
		(void)close(fd);
	return rc;
}

jv
doc_read(const char *path)
{
	struct buf text = BUF_INIT;
	struct err e;
	jv doc;

	if (!path && isatty(STDIN_FILENO))
		usage("no input: give a file or pipe one in");
	if (!path)
		path = "-";
	if (doc_read_text(path, &text, &e))
		doc = jv_from_err(&e);
	else
		doc = doc_parse(
		    buf_peek(&text), !strcmp(path, "-") ? "stdin" : path);
	buf_wipe(&text); /* a template may hold keys */
	return doc;
}

/* -- writing ------------------------------------------------------------- */

static void add_value(struct buf *b, jv v, int indent);

/* indent < 0: on one line. */
static void
new_line(struct buf *b, int indent)
{
	if (indent < 0)
		return;
	buf_char(b, '\n');
	for (int i = 0; i < indent; i++)
		buf_text(b, "  ");
}

static void
add_string(struct buf *b, jv s)
{
	const char *text = jv_string_value(s);
	size_t len = (size_t)jv_string_length_bytes(jv_copy(s));
	size_t mark = strlen(DOC_NUMBER);

	if (len > mark && memcmp(text, DOC_NUMBER, mark) == 0)
		buf_add(b, text + mark, len - mark);
	else
		buf_json(b, text, len);
	jv_free(s);
}

static void
add_array(struct buf *b, jv a, int indent)
{
	int inner = indent < 0 ? indent : indent + 1;
	int n = jv_array_length(jv_copy(a));

	buf_char(b, '[');
	for (int i = 0; i < n; i++) {
		if (i)
			buf_char(b, ',');
		new_line(b, inner);
		add_value(b, jv_array_get(jv_copy(a), i), inner);
	}
	if (n)
		new_line(b, indent);
	buf_char(b, ']');
	jv_free(a);
}

static void
add_object(struct buf *b, jv o, int indent)
{
	int inner = indent < 0 ? indent : indent + 1;
	bool any = false;

	buf_char(b, '{');
	jv_object_foreach(o, k, v) {
		if (any)
			buf_char(b, ',');
		any = true;
		new_line(b, inner);
		add_string(b, k);
		buf_text(b, indent < 0 ? ":" : ": ");
		add_value(b, v, inner);
	}
	if (any)
		new_line(b, indent);
	buf_char(b, '}');
	jv_free(o);
}

static void
add_value(struct buf *b, jv v, int indent)
{
	jv text;

	switch (jv_get_kind(v)) {
	case JV_KIND_STRING:
		add_string(b, v);
		return;
	case JV_KIND_ARRAY:
		add_array(b, v, indent);
		return;
	case JV_KIND_OBJECT:
		add_object(b, v, indent);
		return;
	case JV_KIND_INVALID:
		bug("an invalid value would be written");
	default:
		text = jv_dump_string(v, 0);
		buf_text(b, jv_string_value(text));
		jv_free(text);
	}
}

void
doc_text(jv doc, struct buf *into)
{
	add_value(into, doc, 0);
	buf_char(into, '\n');
}

void
doc_compact(jv doc, struct buf *into)
{
	add_value(into, doc, -1);
}

enum status
doc_write(jv doc, const char *path, bool secret)
{
	struct out *o = out_open(path, secret);
	struct buf text = BUF_INIT;

	doc_text(doc, &text);
	out_span(o, buf_peek(&text));
	out_close(o);
	buf_wipe(&text);
	return DONE;
}

/* -- failure as a jv ------------------------------------------------------ */

jv
jv_from_err(const struct err *e)
{
	jv m = jv_object();

	m = jv_put(m, "status", jv_number(e->status));
	m = jv_put(m, "subject", jv_string(e->subject));
	return jv_invalid_with_msg(jv_put(m, "text", jv_string(e->text)));
}

jv
jv_fail(enum status s, const char *subject, const char *fmt, ...)
{
	struct err e;
	char text[sizeof e.text];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	(void)err_set(&e, s, subject, "%s", text);
	return jv_from_err(&e);
}

int
err_from_jv(struct err *e, jv invalid)
{
	jv m = jv_invalid_get_msg(invalid);
	jv status, subject, text;

	if (jv_get_kind(m) == JV_KIND_STRING) {
		(void)err_set(e, BAD_DATA, NULL, "%s", jv_string_value(m));
		jv_free(m);
		return -1;
	}
	status = jv_at(jv_copy(m), "status");
	subject = jv_at(jv_copy(m), "subject");
	text = jv_at(jv_copy(m), "text");
	if (jv_get_kind(status) == JV_KIND_NUMBER)
		(void)err_set(e, (enum status)jv_number_value(status),
		    jv_string_peek(subject), "%s",
		    jv_string_peek(text) ? jv_string_peek(text) : "failed");
	else
		(void)err_set(e, BAD_DATA, NULL, "no value");
	jv_free(status);
	jv_free(subject);
	jv_free(text);
	jv_free(m);
	return -1;
}

jv
jv_or_die(jv value)
{
	struct err e;

	if (jv_is_valid(value))
		return value;
	(void)err_from_jv(&e, value);
	die_err(&e);
}

/* -- small readers --------------------------------------------------------- */

jv
jv_at(jv object, const char *name)
{
	jv v;

	if (jv_get_kind(object) != JV_KIND_OBJECT) {
		jv_free(object);
		return jv_null();
	}
	v = jv_object_get(object, jv_string(name));
	if (jv_is_valid(v))
		return v;
	jv_free(v);
	return jv_null();
}

jv
jv_at_nocase(jv object, const char *name)
{
	jv found = jv_invalid();

	if (jv_get_kind(object) == JV_KIND_OBJECT) {
		found = jv_object_get(jv_copy(object), jv_string(name));
		jv_object_foreach(object, key, item) {
			if (!jv_is_valid(found) &&
			    strcasecmp(jv_string_value(key), name) == 0)
				found = item;
			else
				jv_free(item);
			jv_free(key);
		}
	}
	jv_free(object);
	return found;
}

jv
jv_path(jv value, const char *path)
{
	while (*path) {
		size_t n = strcspn(path, ".");
		char *name = xstrndup(path, n);

		value = jv_at(value, name);
		free(name);
		path += n + (path[n] == '.');
	}
	return value;
}

char *
jv_dup_string(jv value)
{
	const char *text = jv_string_peek(value);
	char *s = text ? xstrdup(text) : NULL;

	jv_free(value);
	return s;
}

bool
jv_string_is(jv value, const char *text)
{
	const char *s = jv_string_peek(value);
	bool is = s && !strcmp(s, text);

	jv_free(value);
	return is;
}

bool
jv_string_is_nocase(jv value, const char *text)
{
	const char *s = jv_string_peek(value);
	bool is = s && !strcasecmp(s, text);

	jv_free(value);
	return is;
}

const char *
jv_string_peek(jv value)
{
	return jv_get_kind(value) == JV_KIND_STRING ? jv_string_value(value)
						    : NULL;
}

jv
jv_put(jv object, const char *name, jv value)
{
	return jv_object_set(object, jv_string(name), value);
}

jv
jv_without(jv object, const char *name)
{
	return jv_object_delete(object, jv_string(name));
}

jv
jv_text(const char *fmt, ...)
{
	va_list ap;
	char *s;
	jv v;

	va_start(ap, fmt);
	s = xvasprintf(fmt, ap);
	va_end(ap);
	v = jv_string(s);
	free(s);
	return v;
}
