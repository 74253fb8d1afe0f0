/*
 * buf.h: a growable piece of text, and a piece of somebody else's.
 * A buf starts as BUF_INIT, is owned by who declared it, and ends with
 * buf_free() (or buf_wipe() where it held a secret).
 */
#ifndef BUF_H
#define BUF_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
	const char *at; /* borrowed; not terminated */
	size_t len;
};

struct buf {
	char *at; /* NULL while empty; else at[len] is '\0' */
	size_t len, cap;
};

#define BUF_INIT           \
	{                  \
		NULL, 0, 0 \
	}

void buf_reserve(struct buf *b, size_t more);
void buf_add(struct buf *b, const char *text, size_t len);
void buf_text(struct buf *b, const char *text);
void buf_span(struct buf *b, struct span s);
void buf_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* A JSON string of UTF-8 text, with quotes and the escapes that must be. */
void buf_json(struct buf *b, const char *text, size_t len);
/* Percent-encodes all but letters, digits and -._~ (upper-case hex). */
void buf_url(struct buf *b, const char *text, size_t len);
void buf_base64(struct buf *b, const void *bytes, size_t len);
/* With - and _ and without =, as in a JWT. */
void buf_base64url(struct buf *b, const void *bytes, size_t len);
void buf_clear(struct buf *b); /* empty, memory kept */
/* JSON as a line of a stream: blanks for the line ends in it. */
void buf_one_line(struct buf *b);
void buf_free(struct buf *b);
void buf_wipe(struct buf *b); /* OPENSSL_cleanse, then buf_free */

static inline struct span
span_of(const char *text)
{
	return (struct span){ text, strlen(text) };
}

static inline struct span
buf_peek(const struct buf *b)
{
	return (struct span){ b->at ? b->at : "", b->len };
}

static inline int
span_is(struct span s, const char *text)
{
	return strlen(text) == s.len && memcmp(s.at, text, s.len) == 0;
}

/* FNV-1a; journals have it in their lines: it stays as it is. */
static inline uint32_t
span_hash(struct span s)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < s.len; i++)
		h = (h ^ (unsigned char)s.at[i]) * 16777619u;
	return h;
}

char *span_dup(struct span s); /* malloc'd, terminated */
/* Terminated, and cut where it does not fit. */
void span_copy(struct span s, char *into, size_t size);

/* Of a hexadecimal digit; -1: it is none. */
static inline int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

#endif
