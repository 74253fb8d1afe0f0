/* json.c: scanning, comparing and splicing JSON text; see json.h. */
#include "json.h"

#include <stdlib.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "msg.h"

/* What a scan found.  Its functions take the place where something begins and
 * give the place after it, or NULL: so the place stays in a register. */
struct scan {
	const char *end;
	const char *at;     /* where it failed */
	const char *reason; /* and why */
	bool altered;       /* a number since this was last cleared */
	bool escaped;       /* the same of a string */
};

static const char *
fail(struct scan *s, const char *p, const char *reason)
{
	s->at = p;
	s->reason = p < s->end ? reason : "unexpected end";
	return NULL;
}

static inline bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static inline const char *
skip_blank(const char *p, const char *end)
{
	while (p < end && *p <= ' ' && is_blank(*p))
		p++;
	return p;
}

/*
 * One character beyond ASCII.  The narrower limits of the second byte keep out
 * overlong forms, surrogates and what is above U+10FFFF.
 */
static const char *
scan_utf8(struct scan *s, const char *p)
{
	const unsigned char *u = (const unsigned char *)p;
	unsigned char low = 0x80, high = 0xbf;
	int more;

	if (u[0] >= 0xc2 && u[0] <= 0xdf) {
		more = 1;
	} else if (u[0] >= 0xe0 && u[0] <= 0xef) {
		more = 2;
		low = u[0] == 0xe0 ? 0xa0 : 0x80;
		high = u[0] == 0xed ? 0x9f : 0xbf;
	} else if (u[0] >= 0xf0 && u[0] <= 0xf4) {
		more = 3;
		low = u[0] == 0xf0 ? 0x90 : 0x80;
		high = u[0] == 0xf4 ? 0x8f : 0xbf;
	} else {
		return fail(s, p, "invalid UTF-8");
	}
	if (s->end - p <= more || u[1] < low || u[1] > high)
		return fail(s, p, "invalid UTF-8");
	for (int i = 2; i <= more; i++)
		if ((u[i] & 0xc0) != 0x80)
			return fail(s, p, "invalid UTF-8");
	return p + more + 1;
}

/* The first byte from p on that is no plain ASCII of a string. */
static inline const char *
skip_plain(const char *p, const char *end)
{
#if defined __SSE2__ && !defined JSON_PLAIN_C
	const __m128i quote = _mm_set1_epi8('"');
	const __m128i backslash = _mm_set1_epi8('\\');
	const __m128i blank = _mm_set1_epi8(0x20);

	while (end - p >= 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
		/* Signed: less than blank is control or beyond ASCII. */
		__m128i odd = _mm_or_si128(_mm_cmplt_epi8(v, blank),
		    _mm_or_si128(_mm_cmpeq_epi8(v, quote),
			_mm_cmpeq_epi8(v, backslash)));
		int mask = _mm_movemask_epi8(odd);

		if (mask)
			return p + (unsigned)__builtin_ctz((unsigned)mask);
		p += 16;
	}
#endif
	while (p < end && (signed char)*p >= 0x20 && *p != '"' && *p != '\\')
		p++;
	return p;
}

static const char *
scan_escape(struct scan *s, const char *p)
{
	p++;
	if (p == s->end)
		return fail(s, p, NULL);
	switch (*p++) {
	case '"':
	case '\\':
	case '/':
	case 'b':
	case 'f':
	case 'n':
	case 'r':
	case 't':
		return p;
	case 'u':
		break;
	default:
		return fail(s, p - 1, "unknown escape in string");
	}
	for (int i = 0; i < 4; i++, p++)
		if (p == s->end || hex_value(*p) < 0)
			return fail(s, p, "bad \\u escape in string");
	return p;
}

/* From what is no plain ASCII in a string to behind its end. */
static const char *
scan_odd_string(struct scan *s, const char *p)
{
	while (p && p < s->end && *p != '"') {
		if (*p == '\\') {
			s->escaped = true;
			p = scan_escape(s, p);
		} else if ((unsigned char)*p < 0x20) {
			return fail(s, p, "control byte in string");
		} else if (*p >= (char)0xc2 && *p <= (char)0xdf &&
			   s->end - p > 1 && (p[1] & 0xc0) == 0x80) {
			p += 2; /* most of what is not ASCII in Europe */
		} else {
			p = scan_utf8(s, p);
		}
		if (p)
			p = skip_plain(p, s->end);
	}
	if (p == s->end)
		return fail(s, p, NULL);
	return p ? p + 1 : NULL;
}

/* Nearly all strings are plain. */
static inline const char *
scan_string(struct scan *s, const char *p)
{
	p = skip_plain(p + 1, s->end);
	if (p < s->end && *p == '"')
		return p + 1;
	return scan_odd_string(s, p);
}

static inline const char *
skip_digits(const char *p, const char *end)
{
	while (p < end && is_digit(*p))
		p++;
	return p;
}

/*
 * A number.  libjq 1.6 keeps a double and prints its shortest form, without an
 * exponent only where the first digit stands from 4 places after the point to
 * 15 places before the last: so what has no exponent, at most 15 digits, no
 * zero at the end of a fraction and at most three at its start stays as it is.
 */
static const char *
scan_number(struct scan *s, const char *p)
{
	const char *start = p, *first, *end = s->end;
	ptrdiff_t digits;

	p += *p == '-';
	first = p;
	p = skip_digits(p, end);
	digits = p - first;
	if (digits == 0)
		return fail(s, p, "bad number");
	if (*first == '0' && digits > 1)
		return fail(s, first + 1, "number with a leading zero");
	if (p < end && *p == '.') {
		const char *fraction = p + 1;

		p = skip_digits(fraction, end);
		if (p == fraction)
			return fail(s, p, "bad number");
		digits += p - fraction;
		if (p[-1] == '0' || (*first == '0' && digits > 4 &&
					!memcmp(fraction, "0000", 4)))
			s->altered = true;
	} else if (*first == '0' && first > start) {
		s->altered = true; /* -0: kept by a copy, lost by a sum */
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		const char *exponent = p + 1;

		s->altered = true;
		if (exponent < end && (*exponent == '+' || *exponent == '-'))
			exponent++;
		p = skip_digits(exponent, end);
		if (p == exponent)
			return fail(s, p, "bad number");
	}
	if (digits > 15)
		s->altered = true;
	return p;
}

static const char *
scan_word(struct scan *s, const char *p, const char *word, size_t len)
{
	if ((size_t)(s->end - p) < len || memcmp(p, word, len) != 0)
		return fail(s, p, "unexpected word");
	return p + len;
}

static inline const char *
scan_scalar(struct scan *s, const char *p)
{
	switch (*p) {
	case '"':
		return scan_string(s, p);
	case 't':
		return scan_word(s, p, "true", 4);
	case 'f':
		return scan_word(s, p, "false", 5);
	case 'n':
		return scan_word(s, p, "null", 4);
	default:
		if (*p == '-' || is_digit(*p))
			return scan_number(s, p);
		return fail(s, p, "unexpected byte");
	}
}

static void
grow(struct json *j)
{
	j->cap = j->cap ? 2 * j->cap : 16;
	j->member = xrealloc(j->member, j->cap * sizeof *j->member);
}

/* Filled by begin_member() and end_member(). */
static inline struct json_member *
new_member(struct json *j, struct span name, bool escaped)
{
	struct json_member *m;

	if (j->count == j->cap)
		grow(j);
	m = &j->member[j->count++];
	m->name = name;
	m->escaped = escaped;
	return m;
}

/* To that byte, or what is there in its place: mostly no blank is before it. */
static inline const char *
seek(const char *p, const char *end, char c)
{
	return p < end && *p == c ? p : skip_blank(p, end);
}

/* "name" and its colon; listed: the name is kept. */
static inline const char *
scan_name(struct scan *s, const char *p, struct json *j, bool listed)
{
	const char *start;

	p = seek(p, s->end, '"');
	if (p == s->end || *p != '"')
		return fail(s, p, "expected a member name");
	start = p;
	if (listed)
		s->escaped = false;
	p = scan_string(s, p);
	if (!p)
		return NULL;
	if (listed)
		(void)new_member(
		    j, (struct span){ start, (size_t)(p - start) }, s->escaped);
	p = seek(p, s->end, ':');
	if (p == s->end || *p != ':')
		return fail(s, p, "expected ':'");
	return p + 1;
}

enum json_kind
json_kind_of(struct span value)
{
	char c = value.len ? *value.at : 'n';

	return c == '-' || is_digit(c) ? JSON_NUMBER : (enum json_kind)c;
}

/* A value that is listed begins at p; which one it is. */
static inline size_t
begin_member(const char *p, struct json *j, bool named)
{
	struct json_member *m;

	m = named ? &j->member[j->count - 1]
		  : new_member(j, (struct span){ "", 0 }, false);
	m->value.at = p;
	m->kind = json_kind_of((struct span){ p, 1 });
	return j->count - 1;
}

static inline void
end_member(struct scan *s, const char *p, struct json *j, size_t which)
{
	struct json_member *m = &j->member[which];

	m->value.len = (size_t)(p - m->value.at);
	m->altered = s->altered;
	m->next = (unsigned)j->count;
}

/* The value and all in it.  No recursion: close[] holds the brackets that are
 * to come, the last of them closing. */
static const char *
scan_value(struct scan *s, const char *p, struct json *j)
{
	const char *end = s->end;
	char close[JSON_DEPTH + 1], closing = '\0';
	size_t depth = 0, levels = j->levels ? j->levels : 1;
	size_t open[JSON_LEVELS + 1]; /* the members that p is in */

	for (;;) {
		if (closing == '}') {
			p = scan_name(s, p, j, depth <= levels);
			if (!p)
				return NULL;
		}
		p = skip_blank(p, end);
		if (p == end)
			return fail(s, p, NULL);
		/* Elements of an array within are of no use, and may be many.
		 */
		if (depth == 0)
			j->kind = json_kind_of((struct span){ p, 1 });
		else if (depth <= levels && (depth == 1 || closing == '}'))
			open[depth] = begin_member(p, j, closing == '}');
		if (*p == '{' || *p == '[') {
			if (depth == JSON_DEPTH)
				return fail(s, p, "nested too deep");
			close[depth++] = closing;
			closing = (char)(*p + 2); /* { } and [ ] */
			p = skip_blank(p + 1, end);
			if (p == end || *p != closing)
				continue;
			p++;
			closing = close[--depth];
		} else {
			p = scan_scalar(s, p);
			if (!p)
				return NULL;
		}
		/* A value has ended; so may what holds it. */
		for (;; p++, closing = close[--depth]) {
			if (depth == 0)
				return p;
			if (depth <= levels && (depth == 1 || closing == '}'))
				end_member(s, p, j, open[depth]);
			if (depth == 1) {
				j->altered |= s->altered;
				s->altered = false;
			}
			p = skip_blank(p, end);
			if (p == end || *p != closing)
				break;
		}
		if (p == end || *p != ',')
			return fail(s, p,
			    closing == '}' ? "expected ',' or '}'"
					   : "expected ',' or ']'");
		p++;
	}
}

int
json_scan(struct span text, struct json *into, struct json_fault *fault)
{
	struct scan s = { .end = text.at + text.len };
	const char *p = skip_blank(text.at, s.end);

	into->count = 0;
	into->altered = false;
	into->text.at = p;
	p = scan_value(&s, p, into);
	if (p) {
		if (into->count == 0)
			into->altered = s.altered;
		into->text.len = (size_t)(p - into->text.at);
		p = skip_blank(p, s.end);
		if (p == s.end)
			return 0;
		(void)fail(&s, p, "unexpected byte after the value");
	}
	fault->offset = (size_t)(s.at - text.at);
	fault->reason = s.reason;
	return -1;
}

void
json_free(struct json *j)
{
	free(j->member);
	*j = (struct json){ .count = 0 };
}

/* -- walking text that has been validated ---------------------------------- */

static const char *
past_string(const char *p, const char *end)
{
	for (p++; p < end; p++) {
		p = skip_plain(p, end);
		if (p < end && *p == '"')
			return p + 1;
		if (p < end && *p == '\\')
			p++;
	}
	return end;
}

/* What 64 bytes hold, a bit for each. */
struct block {
	uint64_t quote, backslash, opens, closes;
};

#if defined __SSE2__ && !defined JSON_PLAIN_C
static inline void
read_part(const char *p, int at, struct block *b)
{
	const __m128i low = _mm_set1_epi8(0x20); /* makes a brace of [ and ] */
	__m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + at));
	__m128i brace = _mm_or_si128(v, low);

#define BITS(in, c)                                \
	((uint64_t)(unsigned)_mm_movemask_epi8(    \
	     _mm_cmpeq_epi8(in, _mm_set1_epi8(c))) \
	    << at)
	b->quote |= BITS(v, '"');
	b->backslash |= BITS(v, '\\');
	b->opens |= BITS(brace, '{');
	b->closes |= BITS(brace, '}');
#undef BITS
}

static inline struct block
read_block(const char *p)
{
	struct block b = { 0 };

	read_part(p, 0, &b);
	read_part(p, 16, &b);
	read_part(p, 32, &b);
	read_part(p, 48, &b);
	return b;
}
#else
static struct block
read_block(const char *p)
{
	struct block b = { 0 };

	for (int i = 0; i < 64; i++) {
		b.quote |= (uint64_t)(p[i] == '"') << i;
		b.backslash |= (uint64_t)(p[i] == '\\') << i;
		b.opens |= (uint64_t)((p[i] | 0x20) == '{') << i;
		b.closes |= (uint64_t)((p[i] | 0x20) == '}') << i;
	}
	return b;
}
#endif

/* Takes from quote what a backslash stands before.  *next: one stands before
 * the next block, or did before this. */
static uint64_t
without_escaped(const struct block *b, bool *next)
{
	uint64_t quote = b->quote, left = b->backslash;

	if (*next) {
		quote &= ~(uint64_t)1;
		left &= ~(uint64_t)1;
	}
	*next = false;
	while (left) {
		uint64_t escaped = (left & -left) << 1;

		*next = !escaped;
		quote &= ~escaped;
		left &= (left - 1) & ~escaped;
	}
	return quote;
}

/* An object or array: by counting brackets, but not those within strings. */
static const char *
past_list(const char *p, const char *end)
{
	uint64_t inside = 0; /* all ones: within a string */
	size_t depth = 0;
	bool escaped = false;

	for (; p < end; p += 64) {
		struct block b;

		if (end - p < 64) {
			char last[64] = "";

			memcpy(last, p, (size_t)(end - p));
			b = read_block(last);
		} else {
			b = read_block(p);
		}
		if (b.backslash || escaped)
			b.quote = without_escaped(&b, &escaped);
		/* A bit for each byte that an odd number of quotes precede. */
		b.quote ^= b.quote << 1;
		b.quote ^= b.quote << 2;
		b.quote ^= b.quote << 4;
		b.quote ^= b.quote << 8;
		b.quote ^= b.quote << 16;
		b.quote ^= b.quote << 32;
		inside ^= b.quote;
		b.opens &= ~inside;
		b.closes &= ~inside;
		inside = inside >> 63 ? ~(uint64_t)0 : 0;
		for (uint64_t m = b.opens | b.closes; m; m &= m - 1)
			if (b.opens & m & -m)
				depth++;
			else if (--depth == 0)
				return p + __builtin_ctzll(m) + 1;
	}
	return end;
}

static const char *
past_value(const char *p, const char *end)
{
	if (p < end && *p == '"')
		return past_string(p, end);
	if (p < end && (*p | 0x20) == '{')
		return past_list(p, end);
	while (p < end && *p != ',' && (*p | 0x20) != '}' && !is_blank(*p))
		p++;
	return p;
}

static inline const char *
past_blank(const char *p, const char *end)
{
	while (p < end && (*p == ',' || *p == ':' || is_blank(*p)))
		p++;
	return p;
}

bool
json_walk(struct json_walk *w, struct span value)
{
	const char *end = value.at + value.len;
	const char *begin = value.len ? skip_blank(value.at, end) : end;
	char first = begin < end ? *begin : '\0';

	w->p = begin + 1;
	w->end = end;
	w->object = first == '{';
	return w->object || first == '[';
}

void
json_skip(struct json_walk *w)
{
	w->p = past_value(w->p, w->end);
}

bool
json_next(struct json_walk *w, struct span *name, struct span *value)
{
	w->p = past_blank(w->p, w->end);
	if (w->p >= w->end || *w->p == '}' || *w->p == ']')
		return false;
	*name = (struct span){ "", 0 };
	if (w->object) {
		name->at = w->p;
		w->p = past_string(w->p, w->end);
		name->len = (size_t)(w->p - name->at);
		w->p = past_blank(w->p, w->end);
	}
	value->at = w->p;
	json_skip(w);
	value->len = (size_t)(w->p - value->at);
	return true;
}

static bool
is_escaped(struct span string)
{
	return memchr(string.at, '\\', string.len) != NULL;
}

static void
add_utf8(struct buf *b, unsigned c)
{
	if (c < 0x80) {
		buf_char(b, (char)c);
		return;
	}
	if (c < 0x800) {
		buf_char(b, (char)(0xc0 | c >> 6));
	} else {
		if (c < 0x10000) {
			buf_char(b, (char)(0xe0 | c >> 12));
		} else {
			buf_char(b, (char)(0xf0 | c >> 18));
			buf_char(b, (char)(0x80 | (c >> 12 & 0x3f)));
		}
		buf_char(b, (char)(0x80 | (c >> 6 & 0x3f)));
	}
	buf_char(b, (char)(0x80 | (c & 0x3f)));
}

static unsigned
four_hex(const char *p)
{
	unsigned c = 0;

	for (int i = 0; i < 4; i++)
		c = c << 4 | (unsigned)hex_value(p[i]);
	return c;
}

/* What decode() met that C text or libjq cannot carry. */
enum { DECODED_NUL = 1, DECODED_LONE = 2 };

/*
 * Decodes validated text between quotes.  A lone surrogate becomes the three
 * bytes that UTF-8 forbids, so that two spellings of it compare equal.
 */
static int
decode(struct span string, struct buf *into)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *p = string.at + 1, *end = string.at + string.len - 1;
	int met = 0;

	while (p < end) {
		const char *q = memchr(p, '\\', (size_t)(end - p));
		unsigned c;

		if (!q)
			q = end;
		buf_add(into, p, (size_t)(q - p));
		if (q == end)
			break;
		p = q + 2;
		if (q[1] != 'u') {
			buf_char(into, to[strchr(from, q[1]) - from]);
			continue;
		}
		c = four_hex(p);
		p += 4;
		if (c >= 0xd800 && c < 0xdc00 && end - p >= 6 && p[0] == '\\' &&
		    p[1] == 'u' && (four_hex(p + 2) & 0xfc00) == 0xdc00) {
			c = 0x10000 +
			    ((c & 0x3ff) << 10 | (four_hex(p + 2) & 0x3ff));
			p += 6;
		} else if (c >= 0xd800 && c < 0xe000) {
			met |= DECODED_LONE;
		}
		if (c == 0)
			met |= DECODED_NUL;
		add_utf8(into, c);
	}
	return met;
}

int
json_decode(struct span string, struct buf *into)
{
	size_t before = into->len;

	if (decode(string, into) == 0)
		return 0;
	into->len = before;
	if (into->at)
		into->at[before] = '\0';
	return -1;
}

char *
json_string(struct span value)
{
	struct buf b = BUF_INIT;

	if (!value.len || *value.at != '"')
		return NULL;
	buf_reserve(&b, value.len);
	b.at[0] = '\0';
	if (json_decode(value, &b) == 0)
		return b.at;
	buf_free(&b);
	return NULL;
}

bool
json_string_is(struct span value, const char *text)
{
	size_t len = strlen(text), raw = value.len - 2;
	struct buf b = BUF_INIT;
	bool is;

	if (value.len < 2 || *value.at != '"')
		return false;
	/* What is escaped is longer than what it stands for. */
	if (raw <= len)
		return raw == len && !memcmp(value.at + 1, text, len) &&
		       !memchr(text, '\\', len);
	if (!is_escaped(value))
		return false;
	is = json_decode(value, &b) == 0 && span_is(buf_peek(&b), text);
	buf_free(&b);
	return is;
}

bool
json_name_is(const struct json_member *m, const char *name)
{
	size_t len;

	/* Most names differ in their first byte. */
	if (m->escaped)
		return json_string_is(m->name, name);
	if (m->name.at[1] != *name)
		return !*name && m->name.len == 2;
	len = strlen(name);
	return m->name.len - 2 == len && !memcmp(m->name.at + 1, name, len);
}

static int
find(const struct json *j, size_t i, size_t end, const char *name,
    const struct json_member **m)
{
	int found = 0;

	for (; i < end; i = j->member[i].next) {
		if (!json_name_is(&j->member[i], name))
			continue;
		if (found)
			return -1;
		*m = &j->member[i];
		found = 1;
	}
	return found;
}

int
json_find(const struct json *j, const char *name, const struct json_member **m)
{
	return j->kind == JSON_OBJECT ? find(j, 0, j->count, name, m) : 0;
}

int
json_find_in(const struct json *j, const struct json_member *within,
    const char *name, const struct json_member **m)
{
	if (within->kind != JSON_OBJECT)
		return 0;
	return find(j, (size_t)(within - j->member) + 1, within->next, name, m);
}

int
json_get(struct span text, const char *const path[], struct span *value,
    enum json_kind *kind)
{
	struct span at = text;

	for (; *path; path++) {
		struct span name, v, inner = { NULL, 0 };
		struct json_walk w;

		if (!json_walk(&w, at) || !w.object)
			return 0;
		while (json_next(&w, &name, &v)) {
			if (!json_string_is(name, *path))
				continue;
			if (inner.at)
				return -1;
			inner = v;
		}
		if (!inner.at)
			return 0;
		at = inner;
	}
	*value = at;
	if (kind)
		*kind = json_kind_of(at);
	return 1;
}

bool
json_number_altered(struct span number)
{
	struct scan s = { .end = number.at + number.len };
	bool altered = true;
	jv v;

	if (scan_number(&s, number.at) && !s.altered)
		return false;
	v = jv_parse_sized(number.at, (int)number.len);
	if (jv_get_kind(v) == JV_KIND_NUMBER) {
		jv text = jv_dump_string(v, 0);

		altered = !span_is(number, jv_string_value(text));
		jv_free(text);
	} else {
		jv_free(v);
	}
	return altered;
}

bool
json_numbers_altered(struct span value)
{
	struct span name, inner;
	struct json_walk w;

	if (json_kind_of(value) == JSON_NUMBER)
		return json_number_altered(value);
	if (json_walk(&w, value))
		while (json_next(&w, &name, &inner))
			if (json_numbers_altered(inner))
				return true;
	return false;
}

/* A number as 0.DIGITS * 10^exponent, without zeros at either end. */
struct decimal {
	bool negative, beyond; /* beyond: an exponent we do not count with */
	struct span whole, fraction;
	long long exponent;
	size_t digits; /* from the first to the last that is not zero */
	size_t skip;   /* zeros before the first */
};

static char
digit_at(const struct decimal *d, size_t i)
{
	i += d->skip;
	return i < d->whole.len ? d->whole.at[i]
				: d->fraction.at[i - d->whole.len];
}

static struct decimal
read_decimal(struct span number)
{
	const char *p = number.at, *end = p + number.len;
	struct decimal d = { .fraction = { "", 0 } };
	size_t all;

	if (*p == '-') {
		d.negative = true;
		p++;
	}
	d.whole.at = p;
	while (p < end && is_digit(*p))
		p++;
	d.whole.len = (size_t)(p - d.whole.at);
	if (p < end && *p == '.') {
		d.fraction.at = ++p;
		while (p < end && is_digit(*p))
			p++;
		d.fraction.len = (size_t)(p - d.fraction.at);
	}
	if (p < end) { /* e or E */
		bool minus = *++p == '-';

		if (*p == '-' || *p == '+')
			p++;
		while (p < end && *p == '0')
			p++;
		d.beyond = end - p > 17;
		for (; p < end && !d.beyond; p++)
			d.exponent = 10 * d.exponent + (*p - '0');
		if (minus)
			d.exponent = -d.exponent;
	}
	all = d.whole.len + d.fraction.len;
	while (d.skip < all && digit_at(&d, 0) == '0')
		d.skip++;
	d.digits = all - d.skip;
	while (d.digits && digit_at(&d, d.digits - 1) == '0')
		d.digits--;
	d.exponent += (long long)d.whole.len - (long long)d.skip;
	return d;
}

static bool
same_number(struct span a, struct span b)
{
	struct decimal x = read_decimal(a), y = read_decimal(b);

	if (x.digits == 0 || y.digits == 0)
		return x.digits == y.digits;
	/* Equal bytes were seen before; 18 digits of exponent are no number
	 * that anybody compares. */
	if (x.beyond || y.beyond)
		return false;
	if (x.negative != y.negative || x.exponent != y.exponent ||
	    x.digits != y.digits)
		return false;
	for (size_t i = 0; i < x.digits; i++)
		if (digit_at(&x, i) != digit_at(&y, i))
			return false;
	return true;
}

static bool
same_string(struct span a, struct span b)
{
	struct buf x = BUF_INIT, y = BUF_INIT;
	bool same;

	if (!is_escaped(a) && !is_escaped(b))
		return false; /* equal bytes were seen before */
	(void)decode(a, &x);
	(void)decode(b, &y);
	same = x.len == y.len && (!x.len || !memcmp(x.at, y.at, x.len));
	buf_free(&x);
	buf_free(&y);
	return same;
}

/* The members of an object, sorted by decoded name. */
struct named {
	size_t at, len; /* the name, in the list's text */
	const char *text;
	struct span value;
};

struct sorted {
	struct named *list;
	size_t count;
	struct buf names;
};

/* Names that are there twice keep their order. */
static int
by_name(const void *va, const void *vb)
{
	const struct named *a = va, *b = vb;
	int c = memcmp(a->text + a->at, b->text + b->at,
	    a->len < b->len ? a->len : b->len);

	if (c == 0 && a->len != b->len)
		c = a->len < b->len ? -1 : 1;
	return c ? c : (a->at < b->at ? -1 : a->at > b->at);
}

static bool
same_name(const struct named *a, const struct named *b)
{
	return a->len == b->len &&
	       memcmp(a->text + a->at, b->text + b->at, a->len) == 0;
}

static struct sorted
sort_members(struct span object)
{
	struct sorted s = { NULL, 0, BUF_INIT };
	struct span name, value;
	struct json_walk w;
	size_t cap = 0;

	(void)json_walk(&w, object);
	while (json_next(&w, &name, &value)) {
		if (s.count == cap) {
			cap = cap ? 2 * cap : 16;
			s.list = xrealloc(s.list, cap * sizeof *s.list);
		}
		s.list[s.count].at = s.names.len;
		(void)decode(name, &s.names);
		s.list[s.count].len = s.names.len - s.list[s.count].at;
		s.list[s.count++].value = value;
	}
	for (size_t i = 0; i < s.count; i++)
		s.list[i].text = buf_peek(&s.names).at;
	if (s.count > 1)
		qsort(s.list, s.count, sizeof *s.list, by_name);
	return s;
}

static void
free_sorted(struct sorted *s)
{
	free(s->list);
	buf_free(&s->names);
}

static bool
same_object(struct span a, struct span b)
{
	struct sorted x = sort_members(a), y = sort_members(b);
	bool same = x.count == y.count;

	for (size_t i = 0; same && i < x.count; i++)
		same = same_name(&x.list[i], &y.list[i]) &&
		       json_same(x.list[i].value, y.list[i].value);
	free_sorted(&x);
	free_sorted(&y);
	return same;
}

static bool
same_array(struct span a, struct span b)
{
	struct span name, x, y;
	struct json_walk v, w;

	(void)json_walk(&v, a);
	(void)json_walk(&w, b);
	for (;;) {
		bool more = json_next(&v, &name, &x);

		if (json_next(&w, &name, &y) != more)
			return false;
		if (!more)
			return true;
		if (!json_same(x, y))
			return false;
	}
}

bool
json_same(struct span a, struct span b)
{
	enum json_kind kind = json_kind_of(a);

	if (a.len == b.len && memcmp(a.at, b.at, a.len) == 0)
		return true;
	if (json_kind_of(b) != kind)
		return false;
	switch (kind) {
	case JSON_OBJECT:
		return same_object(a, b);
	case JSON_ARRAY:
		return same_array(a, b);
	case JSON_STRING:
		return same_string(a, b);
	case JSON_NUMBER:
		return same_number(a, b);
	case JSON_TRUE:
	case JSON_FALSE:
	case JSON_NULL:
		break;
	}
	return true;
}

static const struct json_edit *
edit_of(
    const struct json_member *m, const struct json_edit *edits, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (json_name_is(m, edits[i].name))
			return &edits[i];
	return NULL;
}

static void
add_range(struct buf *out, const char *from, const char *to)
{
	buf_add(out, from, (size_t)(to - from));
}

/* Where a member ends, or done when that is behind it. */
static const char *
end_of(const struct json_member *m, const char *done)
{
	const char *end = m->value.at + m->value.len;

	return end > done ? end : done;
}

static void
add_new_members(const struct json *object, const struct json_edit *edits,
    size_t count, bool any, struct buf *out)
{
	for (size_t i = 0; i < count; i++) {
		const struct json_member *m;

		if (!edits[i].value.at || json_find(object, edits[i].name, &m))
			continue;
		if (any)
			buf_char(out, ',');
		any = true;
		buf_json(out, edits[i].name, strlen(edits[i].name));
		buf_char(out, ':');
		buf_span(out, edits[i].value);
	}
}

void
json_splice(const struct json *object, const struct json_edit *edits,
    size_t count, struct buf *out)
{
	const char *done = object->text.at; /* copied or dropped up to here */
	bool any = false;                   /* a member has been kept */

	buf_reserve(out, object->text.len);
	for (size_t i = 0; i < object->count; i++) {
		const struct json_member *m = &object->member[i];
		const struct json_edit *e = edit_of(m, edits, count);
		const char *end = m->value.at + m->value.len;

		if (e && !e->value.at) {
			/* The first keeps the bracket before it; with each
			 * other goes the comma before it. */
			if (i == 0)
				add_range(out, done, m->name.at);
			else
				add_range(out, done, end_of(m - 1, done));
			done = end;
			continue;
		}
		/* What comes first now needs no comma. */
		if (!any && i > 0)
			done = m->name.at;
		any = true;
		if (!e)
			continue; /* with what stays behind it, at once */
		add_range(out, done, m->value.at);
		buf_span(out, e->value);
		done = end;
	}
	if (object->count == 0) {
		buf_char(out, '{');
		done++;
	} else {
		const char *last =
		    end_of(&object->member[object->count - 1], done);

		add_range(out, done, last);
		done = last;
	}
	add_new_members(object, edits, count, any, out);
	add_range(out, done, object->text.at + object->text.len);
}

/* {"b":{"c":VALUE}} for the names from path on. */
static void
wrap(const char *const path[], struct span value, struct buf *into)
{
	size_t n = 0;

	for (; path[n]; n++) {
		buf_char(into, '{');
		buf_json(into, path[n], strlen(path[n]));
		buf_char(into, ':');
	}
	buf_span(into, value);
	while (n--)
		buf_char(into, '}');
}

int
json_set_path(struct span object, const char *const path[], struct span value,
    struct buf *out)
{
	const char *one[2] = { NULL, NULL };
	struct span at = object, next;
	struct buf wrapped = BUF_INIT;
	struct json_edit edit;
	struct json_fault fault;
	struct json j = { .count = 0 };
	int found;

	if (!*path)
		return -1;
	/* Down to the object that holds, or will hold, the rest of the path. */
	for (; path[1]; path++, at = next) {
		one[0] = *path;
		found = json_get(at, one, &next, NULL);
		if (found < 0)
			return -1;
		if (found == 0 || json_kind_of(next) != JSON_OBJECT)
			break;
	}
	one[0] = *path;
	found = json_get(at, one, &next, NULL);
	if (found < 0 ||
	    (path[1] && found && value.at && json_kind_of(next) != JSON_NULL))
		return -1;
	if (!value.at && (!found || path[1])) { /* nothing there to drop */
		buf_span(out, object);
		return 0;
	}
	if (value.at)
		wrap(path + 1, value, &wrapped);
	edit.name = *path;
	edit.value = value.at ? buf_peek(&wrapped) : value;
	if (json_kind_of(at) != JSON_OBJECT || json_scan(at, &j, &fault)) {
		buf_free(&wrapped);
		json_free(&j);
		return -1;
	}
	add_range(out, object.at, at.at);
	json_splice(&j, &edit, 1, out);
	add_range(out, at.at + at.len, object.at + object.len);
	json_free(&j);
	buf_free(&wrapped);
	return 0;
}

/* What libjq would change in silence: says what, or NULL. */
static const char *
lost_in_libjq(struct span value)
{
	struct span name, inner;
	struct json_walk w;
	const char *why = NULL;

	if (json_kind_of(value) == JSON_STRING && is_escaped(value)) {
		struct buf b = BUF_INIT;

		if (decode(value, &b) & DECODED_LONE)
			why = "half a surrogate pair";
		buf_free(&b);
		return why;
	}
	if (!json_walk(&w, value))
		return NULL;
	while (!why && json_next(&w, &name, &inner)) {
		why = lost_in_libjq(inner);
		if (!why && name.len)
			why = lost_in_libjq(name);
	}
	if (!why && w.object) {
		struct sorted s = sort_members(value);

		for (size_t i = 1; i < s.count; i++)
			if (same_name(&s.list[i - 1], &s.list[i]))
				why = "a member that is there twice";
		free_sorted(&s);
	}
	return why;
}

/* libjq refuses half a surrogate pair: it becomes what a decoder would show. */
static void
mend_surrogates(char *p, const char *end)
{
	while ((p = memchr(p, '\\', (size_t)(end - p)))) {
		unsigned c = p[1] == 'u' ? four_hex(p + 2) : 0;

		if ((c & 0xfc00) == 0xd800 && end - p >= 12 && p[6] == '\\' &&
		    p[7] == 'u' && (four_hex(p + 8) & 0xfc00) == 0xdc00)
			p += 12;
		else if ((c & 0xf800) == 0xd800)
			p[2] = p[3] = p[4] = 'f', p[5] = 'd';
		else
			p += 2;
	}
}

jv
json_jv_loose(struct span value)
{
	/* libjq 1.6 puts the text into its messages as a C string. */
	char *text = span_dup(value);
	jv v;

	mend_surrogates(text, text + value.len);
	v = jv_parse_sized(text, (int)value.len);
	free(text);
	return v;
}

jv
json_jv(struct span value)
{
	const char *why = lost_in_libjq(value);

	if (why)
		return jv_invalid_with_msg(
		    jv_string_fmt("%s, which libjq cannot keep", why));
	return json_jv_loose(value);
}

void
json_add_jv(struct buf *out, jv value)
{
	jv text = jv_dump_string(value, 0);

	buf_add(out, jv_string_value(text),
	    (size_t)jv_string_length_bytes(jv_copy(text)));
	jv_free(text);
}
