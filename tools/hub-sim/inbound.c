/* inbound.c: see inbound.h. */
#include "inbound.h"

#include <stdlib.h>
#include <strings.h>

/* A blob comes in one piece; nothing else is nearly as large. */
enum { BODY_MAX = 16 << 20, BLOB_MAX = 100 << 20, ROOM_MAX = 1 << 20 };

static int
on_url(http_parser *p, const char *at, size_t len)
{
	struct inbound *in = p->data;

	buf_add(&in->url, at, len);
	return 0;
}

static int
on_field(http_parser *p, const char *at, size_t len)
{
	struct inbound *in = p->data;

	if (in->in_value)
		buf_add(&in->headers, "", 1);
	in->in_value = false;
	buf_add(&in->headers, at, len);
	return 0;
}

static int
on_value(http_parser *p, const char *at, size_t len)
{
	struct inbound *in = p->data;

	if (!in->in_value)
		buf_add(&in->headers, "", 1);
	in->in_value = true;
	buf_add(&in->headers, at, len);
	return 0;
}

static const char *
header(const struct sim_request *q, const char *name)
{
	const struct buf *h = q->headers;

	for (size_t i = 0; i < h->len;) {
		const char *key = h->at + i, *value = key + strlen(key) + 1;

		if (strcasecmp(key, name) == 0)
			return value;
		i = (size_t)(value - h->at) + strlen(value) + 1;
	}
	return NULL;
}

/* Both callbacks that refuse stop the parser: the connection ends there. */
static int
on_headers(http_parser *p)
{
	struct inbound *in = p->data;
	struct sim_request q = { .headers = &in->headers };
	const char *expect;

	if (in->in_value)
		buf_add(&in->headers, "", 1);
	in->in_value = false;
	expect = header(&q, "expect");
	if (expect && strcasecmp(expect, "100-continue") != 0)
		in->refused = 417;
	else if (p->http_major != 1)
		in->refused = 505;
	else if (p->upgrade && p->method == HTTP_CONNECT)
		in->refused = 405;
	in->headed = true;
	in->body_max = BODY_MAX;
	if (p->method == HTTP_PUT) {
		char *host, *path;

		q = inbound_request(in, &host, &path);
		if (sim_room(q.host) == ROOM_BLOB ||
		    strncmp(q.path, "/devstoreaccount1/", 18) == 0)
			in->body_max = BLOB_MAX;
		free(host);
		free(path);
	}
	if (!in->refused && p->content_length != UINT64_MAX &&
	    p->content_length > in->body_max)
		in->refused = 413;
	in->expects = expect != NULL;
	return in->refused ? -1 : 0;
}

static int
on_body(http_parser *p, const char *at, size_t len)
{
	struct inbound *in = p->data;

	if (in->body.len + len > in->body_max) {
		in->refused = 413;
		return -1;
	}
	if (in->body.at && at == in->body.at + in->body.len) {
		in->body.len += len;
		in->body.at[in->body.len] = '\0';
	} else {
		buf_add(&in->body, at, len);
	}
	return 0;
}

static int
on_complete(http_parser *p)
{
	struct inbound *in = p->data;

	in->complete = true;
	http_parser_pause(p, 1);
	return 0;
}

static const http_parser_settings callbacks = {
	.on_url = on_url,
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_headers_complete = on_headers,
	.on_body = on_body,
	.on_message_complete = on_complete,
};

void
inbound_begin(struct inbound *in)
{
	memset(in, 0, sizeof *in);
	http_parser_init(&in->parser, HTTP_REQUEST);
	in->parser.data = in;
}

void
inbound_feed(struct inbound *in, const char *at, size_t len)
{
	size_t done = http_parser_execute(&in->parser, &callbacks, at, len);
	enum http_errno bad = HTTP_PARSER_ERRNO(&in->parser);

	in->taken += done;
	if (in->complete) {
		http_parser_pause(&in->parser, 0);
		in->last =
		    !http_should_keep_alive(&in->parser) || in->parser.upgrade;
		buf_add(&in->rest, at + done, len - done);
	} else if (bad != HPE_OK || done != len) {
		if (!in->refused)
			in->refused = bad == HPE_HEADER_OVERFLOW ? 431 : 400;
		in->last = true;
	}
}

char *
inbound_room(struct inbound *in, size_t least, size_t *size)
{
	uint64_t left = in->parser.content_length;

	if (!in->headed || in->complete || in->parser.flags & F_CHUNKED ||
	    left == UINT64_MAX || left < least)
		return NULL;
	*size = left < ROOM_MAX ? (size_t)left : ROOM_MAX;
	buf_reserve(&in->body, *size);
	return in->body.at + in->body.len;
}

void
inbound_clear(struct inbound *in)
{
	buf_free(&in->url);
	buf_wipe(&in->headers);
	buf_wipe(&in->body);
	in->in_value = in->complete = in->expects = in->last = false;
	in->headed = false;
	in->refused = 0;
	in->taken = 0;
}

void
inbound_next(struct inbound *in)
{
	struct buf rest = in->rest;

	inbound_clear(in);
	in->rest = (struct buf)BUF_INIT;
	if (rest.len)
		inbound_feed(in, rest.at, rest.len);
	buf_wipe(&rest);
}

void
inbound_free(struct inbound *in)
{
	inbound_clear(in);
	buf_wipe(&in->rest);
}

struct sim_request
inbound_request(const struct inbound *in, char **host, char **path)
{
	struct sim_request q = { .method = http_method_str(
				     (enum http_method)in->parser.method),
		.headers = &in->headers,
		.header = header,
		.query = "" };
	const char *url = in->url.at ? in->url.at : "", *name, *mark;
	char *colon;

	name = header(&q, "host");
	*host = xstrdup(name ? name : "");
	mark = strstr(url, "://");
	if (*url != '/' && mark) { /* as to a proxy */
		size_t len = strcspn(mark + 3, "/?");

		free(*host);
		*host = xstrndup(mark + 3, len);
		url = mark + 3 + len;
	}
	for (char *at = *host; *at; at++)
		if (*at >= 'A' && *at <= 'Z')
			*at = (char)(*at - 'A' + 'a');
	colon = strrchr(*host, ':');
	if (colon && colon[strspn(colon + 1, "0123456789") + 1] == '\0')
		*colon = '\0';
	*path = xstrndup(url, strcspn(url, "?#"));
	url += strlen(*path);
	if (*url == '?')
		q.query = url + 1;
	q.host = *host;
	q.path = **path ? *path : "/";
	q.body = buf_peek(&in->body);
	return q;
}

void
inbound_refuse(const struct inbound *in, struct sim_reply *r)
{
	switch (in->refused) {
	case 413:
		sim_error(r, 413, "RequestTooLarge",
		    "The body is larger than %zu bytes.", in->body_max);
		break;
	case 431:
		sim_error(r, 431, "RequestHeaderFieldsTooLarge",
		    "The header is too large.");
		break;
	case 417:
		sim_error(r, 417, "ExpectationFailed",
		    "Only 100-continue can be expected.");
		break;
	case 505:
		sim_error(r, 505, "HTTPVersionNotSupported",
		    "Only HTTP/1.1 and 1.0 are spoken here.");
		break;
	case 405:
		sim_error(r, 405, "MethodNotAllowed",
		    "hub-sim is no proxy: let the client connect to it.");
		break;
	default:
		sim_error(r, 400, "BadRequest", "This is no HTTP request: %s.",
		    http_errno_description(HTTP_PARSER_ERRNO(&in->parser)));
	}
}

const char *
inbound_reason(int status)
{
	switch (status) {
#define XX(num, name, string) \
	case num:             \
		return #string;
		HTTP_STATUS_MAP(XX)
#undef XX
	default:
		return "Unknown";
	}
}
