/* reply.c: reading a request and filling a reply; see sim.h. */
#include "sim.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "doc.h"
#include "sign.h"

int64_t
sim_now(const struct sim *s)
{
	struct timespec t;
	int64_t real;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	real = (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
	if (s->speed == 1)
		return real + s->clock_offset;
	return s->started_ms + s->clock_offset +
	       (int64_t)((double)(real - s->started_ms) * s->speed);
}

int64_t
sim_client_now(const struct sim *s)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000 +
	       s->clock_offset - s->speeded;
}

int64_t
sim_lasts(const struct sim *s, int64_t fast_ms, int64_t real_ms)
{
	return s->real_times ? real_ms : fast_ms;
}

int64_t
sim_until(const struct sim *s, int64_t moment)
{
	int64_t left = moment - sim_now(s);

	return left > 0 ? (int64_t)((double)left / s->speed) + 1 : 0;
}

void
sim_wake(struct sim *s)
{
	s->wake = true;
}

static void
put_digits(char *end, int n, int width)
{
	for (; width > 0; width--, n /= 10)
		*--end = (char)('0' + n % 10);
}

/* Milliseconds before 1970 do not occur; a clock that far off is not ours. */
void
sim_iso_time(int64_t ms, char out[32])
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm t;

	(void)gmtime_r(&seconds, &t);
	memcpy(out, "0000-00-00T00:00:00.0000000Z", 29);
	put_digits(out + 4, t.tm_year + 1900, 4);
	put_digits(out + 7, t.tm_mon + 1, 2);
	put_digits(out + 10, t.tm_mday, 2);
	put_digits(out + 13, t.tm_hour, 2);
	put_digits(out + 16, t.tm_min, 2);
	put_digits(out + 19, t.tm_sec, 2);
	put_digits(out + 23, (int)(ms % 1000), 3);
}

void
sim_http_time(int64_t ms, char out[32])
{
	static const char days[] = "SunMonTueWedThuFriSat",
			  months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t seconds = (time_t)(ms / 1000);
	struct tm t;

	(void)gmtime_r(&seconds, &t);
	(void)snprintf(out, 32, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT",
	    days + (ptrdiff_t)3 * t.tm_wday, (unsigned)t.tm_mday % 100,
	    months + (ptrdiff_t)3 * t.tm_mon,
	    ((unsigned)t.tm_year + 1900) % 10000, (unsigned)t.tm_hour % 100,
	    (unsigned)t.tm_min % 100, (unsigned)t.tm_sec % 100);
}

/* A percent sign that is not followed by two digits stands for itself; %00
 * cannot be carried by C text and stays as it is spelt. */
static char *
unescape(const char *at, size_t len, bool plus)
{
	char *out = xmalloc(len + 1);
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		int high, low;

		if (at[i] == '%' && i + 2 < len &&
		    (high = hex_value(at[i + 1])) >= 0 &&
		    (low = hex_value(at[i + 2])) >= 0 && high + low > 0) {
			out[n++] = (char)(high * 16 + low);
			i += 2;
		} else {
			out[n++] = (char)(plus && at[i] == '+' ? ' ' : at[i]);
		}
	}
	out[n] = '\0';
	return out;
}

char *
sim_form(struct span form, const char *name)
{
	size_t want = strlen(name), i = 0;

	while (i < form.len) {
		const char *at = form.at + i,
			   *end = memchr(at, '&', form.len - i), *is;
		size_t len = end ? (size_t)(end - at) : form.len - i;
		char *key;
		bool found;

		is = memchr(at, '=', len);
		key = unescape(at, is ? (size_t)(is - at) : len, true);
		found = strlen(key) == want && strcasecmp(key, name) == 0;
		free(key);
		if (found)
			return is ? unescape(is + 1,
					len - (size_t)(is - at) - 1, true)
				  : xstrdup("");
		i += len + 1;
	}
	return NULL;
}

char *
sim_query(const struct sim_request *q, const char *name)
{
	return sim_form(span_of(q->query), name);
}

/* "/a/b" and "/a/b/" have two segments, "/" has none. */
static const char *
segment(const struct sim_request *q, int n, size_t *len)
{
	const char *at = q->path;

	for (int i = 0; *at == '/'; i++) {
		at++;
		*len = strcspn(at, "/");
		if (*len == 0 && at[0] == '\0')
			return NULL;
		if (i == n)
			return at;
		at += *len;
	}
	return NULL;
}

char *
sim_segment(const struct sim_request *q, int n)
{
	size_t len;
	const char *at = segment(q, n, &len);

	return at ? unescape(at, len, false) : NULL;
}

int
sim_segments(const struct sim_request *q)
{
	size_t len;
	int n = 0;

	while (segment(q, n, &len))
		n++;
	return n;
}

void
sim_json(struct sim_reply *r, int status, jv body)
{
	r->status = status;
	r->content_type = NULL;
	buf_clear(&r->body);
	doc_compact(body, &r->body); /* numbers as they came */
}

void
sim_head(struct sim_reply *r, const char *name, const char *fmt, ...)
{
	va_list ap;
	char *value;

	va_start(ap, fmt);
	value = xvasprintf(fmt, ap);
	va_end(ap);
	/* What came in with a request must not make a header line here. */
	for (char *c = value; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = ' ';
	buf_text(&r->head, name);
	buf_text(&r->head, ": ");
	buf_text(&r->head, value);
	buf_text(&r->head, "\r\n");
	free(value);
}

static void
error_text(struct sim_reply *r, int status, const char *code, const char *text)
{
	r->status = status;
	r->content_type = NULL;
	buf_clear(&r->body);
	buf_text(&r->body, "{\"error\":{\"code\":");
	buf_json(&r->body, code, strlen(code));
	buf_text(&r->body, ",\"message\":");
	buf_json(&r->body, text, strlen(text));
	buf_text(&r->body, "}}");
}

void
sim_error(
    struct sim_reply *r, int status, const char *code, const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	error_text(r, status, code, text);
	free(text);
}

void
sim_missing(struct sim_reply *r, const char *what)
{
	sim_error(r, 501, "NotSimulated", "hub-sim does not simulate %s", what);
}

void
sim_reply_free(struct sim_reply *r)
{
	buf_wipe(&r->head);
	buf_wipe(&r->body);
	if (r->stream)
		r->stream->end(r->stream);
	memset(r, 0, sizeof *r);
}

/* Block i of the stream for those words is HMAC(seed, i | words). */
void
sim_mac(const struct sim *s, const char *what, size_t len, unsigned char *out,
    int bytes)
{
	for (int i = 0; bytes > 0; i++, bytes -= 32, out += 32) {
		unsigned char mac[EVP_MAX_MD_SIZE];
		struct buf text = BUF_INIT;
		unsigned int n;

		buf_char(&text, (char)i);
		buf_add(&text, what, len);
		if (!HMAC(EVP_sha256(), s->seed, (int)strlen(s->seed),
			(unsigned char *)text.at, text.len, mac, &n))
			die(LOCAL_FAILURE, NULL, "HMAC failed");
		memcpy(out, mac, bytes < 32 ? (size_t)bytes : 32);
		buf_free(&text);
	}
}

void
sim_key(const struct sim *s, const char *what, int bytes, struct buf *out)
{
	unsigned char *raw = xmalloc((size_t)bytes);

	sim_mac(s, what, strlen(what), raw, bytes);
	buf_base64(out, raw, (size_t)bytes);
	free(raw);
}

bool
sim_key_good(const char *key)
{
	unsigned char raw[96];
	size_t len = strlen(key);
	int n;

	/* What EVP_DecodeBlock() would cut off is no part of a key. */
	if (len == 0 || len % 4 || len > 92 || strpbrk(key, " \t\r\n-"))
		return false;
	n = EVP_DecodeBlock(raw, (const unsigned char *)key, (int)len);
	n -= (key[len - 1] == '=') + (key[len - 2] == '=');
	return n >= 16 && n <= 64;
}

bool
sim_signed(const char *key, const struct buf *text, const char *signature)
{
	struct buf raw = BUF_INIT, want = BUF_INIT;
	bool good = *key && sign_unbase64(&raw, key) == 0 &&
		    sign_mac(&raw, text, &want) == 0 &&
		    strlen(signature) == want.len &&
		    CRYPTO_memcmp(signature, want.at, want.len) == 0;

	buf_wipe(&raw);
	buf_wipe(&want);
	return good;
}

void
sim_guid(const struct sim *s, const char *what, char out[37])
{
	unsigned char b[16];

	sim_mac(s, what, strlen(what), b, 16);
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	(void)snprintf(out, 37,
	    "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
	    "%02x%02x%02x%02x%02x%02x",
	    b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10],
	    b[11], b[12], b[13], b[14], b[15]);
}
