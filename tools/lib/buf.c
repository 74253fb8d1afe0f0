/* buf.c: growable text; see buf.h. */
#include "buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "msg.h"

void
buf_reserve(struct buf *b, size_t more)
{
	size_t need = b->len + more + 1;

	if (need <= b->cap)
		return;
	b->cap = need > 2 * b->cap ? need : 2 * b->cap;
	if (b->cap < 64)
		b->cap = 64;
	b->at = xrealloc(b->at, b->cap);
}

void
buf_add(struct buf *b, const char *text, size_t len)
{
	buf_reserve(b, len);
	if (len)
		memcpy(b->at + b->len, text, len);
	b->len += len;
	b->at[b->len] = '\0';
}

void
buf_text(struct buf *b, const char *text)
{
	buf_add(b, text, strlen(text));
}

void
buf_span(struct buf *b, struct span s)
{
	buf_add(b, s.at, s.len);
}

void
buf_char(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	char small[256];
	int n;

	va_start(ap, fmt);
	n = vsnprintf(small, sizeof small, fmt, ap);
	va_end(ap);
	if (n < 0)
		bug("bad format '%s'", fmt);
	if ((size_t)n < sizeof small) {
		buf_add(b, small, (size_t)n);
		return;
	}
	buf_reserve(b, (size_t)n);
	va_start(ap, fmt);
	(void)vsnprintf(b->at + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
}

void
buf_json(struct buf *b, const char *text, size_t len)
{
	const char *end = text + len, *run = text;

	buf_char(b, '"');
	for (; text < end; text++) {
		unsigned char c = (unsigned char)*text;

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		buf_add(b, run, (size_t)(text - run));
		run = text + 1;
		if (c == '"' || c == '\\')
			buf_printf(b, "\\%c", c);
		else if (c == '\n')
			buf_text(b, "\\n");
		else
			buf_printf(b, "\\u%04x", c);
	}
	buf_add(b, run, (size_t)(end - run));
	buf_char(b, '"');
}

void
buf_url(struct buf *b, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		    (c >= '0' && c <= '9') || (c && strchr("-._~", c)))
			buf_char(b, (char)c);
		else
			buf_printf(b, "%%%02X", c);
	}
}

void
buf_clear(struct buf *b)
{
	b->len = 0;
	if (b->at)
		b->at[0] = '\0';
}

void
buf_free(struct buf *b)
{
	free(b->at);
	*b = (struct buf)BUF_INIT;
}

void
buf_one_line(struct buf *b)
{
	for (size_t i = 0; i < b->len; i++)
		if (b->at[i] == '\r' || b->at[i] == '\n')
			b->at[i] = ' ';
}

void
buf_wipe(struct buf *b)
{
	if (b->at)
		explicit_bzero(b->at, b->cap);
	buf_free(b);
}

char *
span_dup(struct span s)
{
	return xstrndup(s.at, s.len);
}

void
span_copy(struct span s, char *into, size_t size)
{
	size_t n = s.len < size ? s.len : size - 1;

	if (n)
		memcpy(into, s.at, n);
	into[n] = '\0';
}
