/* net.c: see net.h. */
#include "net.h"

#include <errno.h>
#include <http_parser.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "store.h"

enum {
	EVENTS = 256,       /* taken from the kernel in one turn */
	CHUNK = 16384,      /* one TLS record at most */
	CHUNKS_A_TURN = 64, /* read from one client before others */
	BODY_MAX = 16 << 20,
	KEEP = 4096,      /* a larger buffer is freed between requests */
	LINGER_MS = 5000, /* for a client that still sends what we refused */
};

enum state {
	READING, /* waiting for a request, or in the middle of one */
	READY,   /* whole request is here: answered in this turn */
	DELAYED, /* the reply is done and waits for its time */
	SENDING,
	HANGING,   /* a fault: never answered */
	LINGERING, /* refused; what comes is thrown away until the client ends
		    */
	GONE,      /* closed in this turn, freed at its end */
};

struct conn {
	struct conn *prev, *next; /* all of them */
	struct conn *next_ready, *next_gone;
	int fd;
	enum state state;
	bool known; /* TLS or plain is decided */
	bool handshake_done, close_after, cut_after, wants_write;
	bool expects; /* 100-continue is to be said */
	uint32_t watched;
	SSL *ssl; /* NULL: plain */
	http_parser parser;
	int refused; /* status for a request that cannot be taken; 0: fine */
	bool in_value, complete;
	struct buf url, headers; /* headers: name NUL value NUL ... */
	struct buf body;
	struct buf rest; /* of the next request, read already */
	struct buf out;
	size_t sent;
	int64_t due; /* DELAYED, LINGERING: by net_ms() */
	struct sim_reply reply;
	const struct fault *fault; /* what meets this request, or NULL */
};

struct net {
	int listener, epoll;
	bool listening, warned;
	bool timed; /* some connection may wait for its time */
	SSL_CTX *tls;
	struct conn *all, *ready, *gone;
	char address[64];
	uint64_t requests;
	http_parser_settings settings;
	struct sim *sim;
	struct faults *faults;
	FILE *log;
};

static int64_t
net_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- listening ---- */

static int
split_address(const char *where, char host[64], char port[8], struct err *e)
{
	const char *colon = strrchr(where, ':');
	size_t len = colon ? (size_t)(colon - where) : 0;

	if (len >= 2 && where[0] == '[' && where[len - 1] == ']') {
		where++;
		len -= 2;
	}
	if (!colon || len == 0 || len >= 64 || strlen(colon + 1) >= 8 ||
	    colon[1] == '\0' ||
	    colon[1 + strspn(colon + 1, "0123456789")] != '\0')
		return err_set(e, BAD_USAGE, where,
		    "is no address to listen on (say ADDR:PORT)");
	memcpy(host, where, len);
	host[len] = '\0';
	(void)snprintf(port, 8, "%s", colon + 1);
	return 0;
}

/* A client must come to where we are, which 0.0.0.0 does not say. */
static int
name_address(struct net *n, struct err *e)
{
	struct sockaddr_storage a = { 0 };
	struct sockaddr_in *v4 = (struct sockaddr_in *)&a;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a;
	socklen_t len = sizeof a;
	char host[48], port[8];

	if (getsockname(n->listener, (struct sockaddr *)&a, &len) == -1)
		return err_set(
		    e, LOCAL_FAILURE, NULL, "no address: %s", strerror(errno));
	if (a.ss_family == AF_INET && v4->sin_addr.s_addr == INADDR_ANY)
		v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else if (a.ss_family == AF_INET6 &&
		 IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr))
		v6->sin6_addr = in6addr_loopback;
	if (getnameinfo((struct sockaddr *)&a, len, host, sizeof host, port,
		sizeof port, NI_NUMERICHOST | NI_NUMERICSERV))
		return err_set(e, LOCAL_FAILURE, NULL, "no address");
	(void)snprintf(n->address, sizeof n->address,
	    a.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
	return 0;
}

static int
open_listener(struct net *n, const char *where, struct err *e)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE },
			*found;
	char host[64], port[8];
	int yes = 1, bad;

	if (split_address(where, host, port, e))
		return -1;
	bad = getaddrinfo(host, port, &hints, &found);
	if (bad)
		return err_set(e, BAD_USAGE, where,
		    "is no address to listen on: %s", gai_strerror(bad));
	n->listener = socket(
	    found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (n->listener == -1 ||
	    setsockopt(n->listener, SOL_SOCKET, SO_REUSEADDR, &yes,
		sizeof yes) == -1 ||
	    bind(n->listener, found->ai_addr, found->ai_addrlen) == -1 ||
	    listen(n->listener, 1024) == -1)
		bad = err_set(e, LOCAL_FAILURE, where, "cannot listen: %s",
		    strerror(errno));
	freeaddrinfo(found);
	return bad ? -1 : name_address(n, e);
}

static int on_url(http_parser *p, const char *at, size_t len);
static int on_field(http_parser *p, const char *at, size_t len);
static int on_value(http_parser *p, const char *at, size_t len);
static int on_headers(http_parser *p);
static int on_body(http_parser *p, const char *at, size_t len);
static int on_complete(http_parser *p);

struct net *
net_listen(const char *where, SSL_CTX *tls, struct err *e)
{
	struct net *n = xcalloc(1, sizeof *n);

	n->listener = n->epoll = -1;
	n->tls = tls;
	http_parser_settings_init(&n->settings);
	n->settings.on_url = on_url;
	n->settings.on_header_field = on_field;
	n->settings.on_header_value = on_value;
	n->settings.on_headers_complete = on_headers;
	n->settings.on_body = on_body;
	n->settings.on_message_complete = on_complete;
	if (open_listener(n, where, e)) {
		net_close(n);
		return NULL;
	}
	n->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (n->epoll == -1) {
		(void)err_set(
		    e, LOCAL_FAILURE, NULL, "no epoll: %s", strerror(errno));
		net_close(n);
		return NULL;
	}
	return n;
}

const char *
net_address(const struct net *n)
{
	return n->address;
}

/* ---- connections ---- */

static void
shrink(struct buf *b)
{
	if (b->cap > KEEP)
		buf_wipe(b);
	else
		buf_clear(b);
}

static void
forget_request(struct conn *c)
{
	buf_free(&c->url);
	buf_wipe(&c->headers);
	buf_wipe(&c->body);
	c->in_value = c->complete = c->expects = false;
	c->refused = 0;
}

/* Freed at the end of the turn: events for it may still be in the array. */
static void
close_conn(struct net *n, struct conn *c)
{
	if (c->state == GONE)
		return;
	(void)close(c->fd);
	if (c->ssl)
		SSL_free(c->ssl);
	forget_request(c);
	buf_wipe(&c->rest);
	buf_wipe(&c->out);
	sim_reply_free(&c->reply);
	c->state = GONE;
	c->next_gone = n->gone;
	n->gone = c;
}

static void
free_gone(struct net *n)
{
	while (n->gone) {
		struct conn *c = n->gone;

		n->gone = c->next_gone;
		if (c->prev)
			c->prev->next = c->next;
		else
			n->all = c->next;
		if (c->next)
			c->next->prev = c->prev;
		free(c);
	}
}

static void
watch(struct net *n, struct conn *c)
{
	struct epoll_event ev = { .events = 0, .data.ptr = c };

	if (c->state == READING || c->state == LINGERING)
		ev.events = c->wants_write ? EPOLLOUT : EPOLLIN;
	else if (c->state == SENDING)
		ev.events = c->wants_write ? EPOLLOUT : EPOLLIN;
	else if (c->state == HANGING)
		ev.events = EPOLLRDHUP;
	if (c->state == GONE || c->state == READY || ev.events == c->watched)
		return;
	c->watched = ev.events;
	(void)epoll_ctl(n->epoll, EPOLL_CTL_MOD, c->fd, &ev);
}

static void
listen_again(struct net *n, bool on)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = n };

	if (on == n->listening)
		return;
	n->listening = on;
	(void)epoll_ctl(
	    n->epoll, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, n->listener, &ev);
}

static void
accept_all(struct net *n)
{
	for (;;) {
		int fd = accept4(
			n->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC),
		    yes = 1;
		struct conn *c;
		struct epoll_event ev = { .events = EPOLLIN };

		if (fd == -1 && (errno == EMFILE || errno == ENFILE)) {
			if (!n->warned)
				warn(NULL, "no more connections: %s",
				    strerror(errno));
			n->warned = true;
			listen_again(n, false); /* until one is closed */
			return;
		}
		if (fd == -1)
			return;
		(void)setsockopt(
		    fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
		c = xcalloc(1, sizeof *c);
		c->fd = fd;
		c->watched = EPOLLIN;
		http_parser_init(&c->parser, HTTP_REQUEST);
		c->parser.data = c;
		c->next = n->all;
		if (n->all)
			n->all->prev = c;
		n->all = c;
		ev.data.ptr = c;
		if (epoll_ctl(n->epoll, EPOLL_CTL_ADD, fd, &ev) == -1)
			close_conn(n, c);
	}
}

/* ---- bytes ---- */

/* More than 0: bytes; 0: later (watch is told for what); -1: the end. */
static ssize_t
get(struct conn *c, char *into, size_t size)
{
	ssize_t got;

	c->wants_write = false;
	if (!c->ssl) {
		got = recv(c->fd, into, size, 0);
		if (got == -1 && (errno == EAGAIN || errno == EINTR))
			return 0;
		return got > 0 ? got : -1;
	}
	ERR_clear_error();
	got = SSL_read(c->ssl, into, (int)size);
	if (got > 0)
		return got;
	switch (SSL_get_error(c->ssl, (int)got)) {
	case SSL_ERROR_WANT_READ:
		return 0;
	case SSL_ERROR_WANT_WRITE:
		c->wants_write = true;
		return 0;
	default:
		return -1;
	}
}

static ssize_t
put(struct conn *c, const char *at, size_t len)
{
	ssize_t done;

	c->wants_write = false;
	if (!c->ssl) {
		done = send(c->fd, at, len, MSG_NOSIGNAL);
		if (done >= 0)
			return done;
		c->wants_write = errno == EAGAIN;
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	}
	ERR_clear_error();
	done = SSL_write(c->ssl, at, len > 1 << 30 ? 1 << 30 : (int)len);
	if (done > 0)
		return done;
	switch (SSL_get_error(c->ssl, (int)done)) {
	case SSL_ERROR_WANT_WRITE:
		c->wants_write = true;
		return 0;
	case SSL_ERROR_WANT_READ:
		return 0;
	default:
		return -1;
	}
}

/* 0x16 begins a TLS handshake and no HTTP request. */
static int
know_protocol(struct net *n, struct conn *c)
{
	unsigned char first;
	ssize_t got = recv(c->fd, &first, 1, MSG_PEEK);

	if (got == -1 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (got <= 0)
		return -1;
	c->known = true;
	if (first != 0x16)
		return 0;
	c->ssl = SSL_new(n->tls);
	if (!c->ssl || !SSL_set_fd(c->ssl, c->fd))
		return -1;
	SSL_set_accept_state(c->ssl);
	return 0;
}

/* ---- parsing ---- */

static int
on_url(http_parser *p, const char *at, size_t len)
{
	struct conn *c = p->data;

	buf_add(&c->url, at, len);
	return 0;
}

static int
on_field(http_parser *p, const char *at, size_t len)
{
	struct conn *c = p->data;

	if (c->in_value)
		buf_add(&c->headers, "", 1);
	c->in_value = false;
	buf_add(&c->headers, at, len);
	return 0;
}

static int
on_value(http_parser *p, const char *at, size_t len)
{
	struct conn *c = p->data;

	if (!c->in_value)
		buf_add(&c->headers, "", 1);
	c->in_value = true;
	buf_add(&c->headers, at, len);
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
	struct conn *c = p->data;
	struct sim_request q = { .headers = &c->headers };
	const char *expect;

	if (c->in_value)
		buf_add(&c->headers, "", 1);
	c->in_value = false;
	expect = header(&q, "expect");
	if (expect && strcasecmp(expect, "100-continue") != 0)
		c->refused = 417;
	else if (p->upgrade && p->method == HTTP_CONNECT)
		c->refused = 405;
	else if (p->content_length != UINT64_MAX &&
		 p->content_length > BODY_MAX)
		c->refused = 413;
	c->expects = expect != NULL;
	return c->refused ? -1 : 0;
}

static int
on_body(http_parser *p, const char *at, size_t len)
{
	struct conn *c = p->data;

	if (c->body.len + len > BODY_MAX) {
		c->refused = 413;
		return -1;
	}
	buf_add(&c->body, at, len);
	return 0;
}

static int
on_complete(http_parser *p)
{
	struct conn *c = p->data;

	c->complete = true;
	http_parser_pause(p, 1);
	return 0;
}

static void
make_ready(struct net *n, struct conn *c)
{
	c->state = READY;
	c->next_ready = n->ready;
	n->ready = c;
}

static void
say_continue(struct conn *c)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";

	/* A fresh reply buffer of the kernel takes 25 bytes. */
	c->expects = false;
	(void)put(c, text, sizeof text - 1);
	c->wants_write = false;
}

/* Takes bytes until a request is whole; what is left is the next one's. */
static void
parse(struct net *n, struct conn *c, const char *at, size_t len)
{
	size_t done = http_parser_execute(&c->parser, &n->settings, at, len);
	enum http_errno bad = HTTP_PARSER_ERRNO(&c->parser);

	if (c->complete) {
		http_parser_pause(&c->parser, 0);
		c->close_after =
		    !http_should_keep_alive(&c->parser) || c->parser.upgrade;
		buf_add(&c->rest, at + done, len - done);
		make_ready(n, c);
		return;
	}
	if (bad != HPE_OK || (len && done != len)) {
		if (!c->refused)
			c->refused = bad == HPE_HEADER_OVERFLOW ? 431 : 400;
		c->close_after = true;
		make_ready(n, c);
		return;
	}
	if (c->expects)
		say_continue(c);
}

static void
read_conn(struct net *n, struct conn *c)
{
	char chunk[CHUNK];

	if (!c->known && know_protocol(n, c)) {
		close_conn(n, c);
		return;
	}
	if (!c->known)
		return;
	for (int i = 0; i < CHUNKS_A_TURN && c->state == READING; i++) {
		ssize_t got = get(c, chunk, sizeof chunk);

		if (got == 0)
			return;
		if (got < 0) {
			close_conn(n, c);
			return;
		}
		parse(n, c, chunk, (size_t)got);
	}
}

static void
discard(struct net *n, struct conn *c)
{
	char chunk[CHUNK];
	ssize_t got;

	for (int i = 0; i < CHUNKS_A_TURN; i++) {
		got = recv(c->fd, chunk, sizeof chunk, 0);
		if (got == -1 && (errno == EAGAIN || errno == EINTR))
			return;
		if (got <= 0) {
			close_conn(n, c);
			return;
		}
	}
}

/* ---- sending ---- */

/*
 * A client that still sends would answer a plain close with a reset, and might
 * throw our refusal away unread: let it finish first.
 */
static void
linger(struct net *n, struct conn *c)
{
	if (c->ssl)
		(void)SSL_shutdown(c->ssl);
	if (!c->refused) {
		close_conn(n, c);
		return;
	}
	(void)shutdown(c->fd, SHUT_WR);
	forget_request(c);
	c->state = LINGERING;
	c->due = net_ms() + LINGER_MS;
	n->timed = true;
}

static void
next_request(struct net *n, struct conn *c)
{
	struct buf rest = c->rest;

	forget_request(c);
	c->state = READING;
	c->rest = (struct buf)BUF_INIT;
	if (rest.len)
		parse(n, c, rest.at, rest.len);
	buf_wipe(&rest);
}

static void
send_conn(struct net *n, struct conn *c)
{
	while (c->sent < c->out.len) {
		ssize_t done =
		    put(c, c->out.at + c->sent, c->out.len - c->sent);

		if (done < 0) {
			close_conn(n, c);
			return;
		}
		if (done == 0)
			return;
		c->sent += (size_t)done;
	}
	shrink(&c->out);
	c->sent = 0;
	if (c->cut_after)
		close_conn(n, c);
	else if (c->close_after)
		linger(n, c);
	else
		next_request(n, c);
}

static const char *
reason(int status)
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

static void
add_head(struct net *n, struct conn *c, bool has_body)
{
	struct sim_reply *r = &c->reply;
	char when[32], words[32], guid[37];
	const char *head = r->head.len ? r->head.at : "";

	sim_http_time(sim_now(n->sim), when);
	buf_printf(&c->out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", r->status,
	    reason(r->status), when);
	if (!strcasestr(head, "x-ms-request-id:")) {
		(void)snprintf(words, sizeof words, "request/%llu",
		    (unsigned long long)n->requests);
		sim_guid(n->sim, words, guid);
		buf_printf(&c->out, "x-ms-request-id: %s\r\n", guid);
	}
	if (has_body && r->body.len)
		buf_printf(&c->out, "Content-Type: %s\r\n",
		    r->content_type ? r->content_type
				    : "application/json; charset=utf-8");
	if (has_body)
		buf_printf(&c->out, "Content-Length: %zu\r\n", r->body.len);
	buf_text(&c->out, head);
	if (strcasestr(head, "connection: close"))
		c->close_after = true;
	else if (c->close_after)
		buf_text(&c->out, "Connection: close\r\n");
	buf_text(&c->out, "\r\n");
}

static void
format(struct net *n, struct conn *c, const struct fault *f)
{
	struct sim_reply *r = &c->reply;
	bool has_body =
	    r->status >= 200 && r->status != 204 && r->status != 304;
	size_t len = r->body.len;

	if (f && f->kind == FAULT_GARBAGE) {
		buf_text(&c->out, "\x01\x02 nonsense\r\n\r\n");
		c->cut_after = true;
		return;
	}
	if (f && f->kind == FAULT_BADJSON && len) {
		len--; /* the last brace, or all but the first byte */
		r->body.len = len;
	}
	add_head(n, c, has_body);
	if (f && f->kind == FAULT_HALF) {
		c->cut_after = true;
		if (len == 0)
			c->out.len /= 2;
		len /= 2;
	}
	if (has_body && c->parser.method != HTTP_HEAD)
		buf_add(&c->out, r->body.at ? r->body.at : "", len);
}

/* ---- one turn ---- */

/* sig and the like in a query are as good as a key. */
static void
log_query(struct buf *line, const char *query)
{
	struct buf text = BUF_INIT;

	while (*query) {
		size_t len = strcspn(query, "&"), name = strcspn(query, "=&");

		if (name < len &&
		    ((name == 3 && strncasecmp(query, "sig", 3) == 0) ||
			(name == 4 && strncasecmp(query, "code", 4) == 0))) {
			buf_add(&text, query, name);
			buf_text(&text, "=****");
		} else {
			buf_add(&text, query, len);
		}
		query += len;
		if (*query == '&') {
			buf_char(&text, '&');
			query++;
		}
	}
	buf_json(line, text.at ? text.at : "", text.len);
	buf_free(&text);
}

static void
log_request(struct net *n, const struct sim_request *q, int status,
    const struct fault *f)
{
	struct buf line = BUF_INIT;
	char when[32];

	sim_iso_time(sim_now(n->sim), when);
	buf_printf(&line, "{\"time\":\"%s\",\"host\":", when);
	buf_json(&line, q->host, strlen(q->host));
	buf_text(&line, ",\"method\":");
	buf_json(&line, q->method, strlen(q->method));
	buf_text(&line, ",\"path\":");
	buf_json(&line, q->path, strlen(q->path));
	buf_text(&line, ",\"query\":");
	log_query(&line, q->query);
	if (status)
		buf_printf(&line, ",\"status\":%d", status);
	else
		buf_text(&line, ",\"status\":null");
	if (f) {
		buf_text(&line, ",\"fault\":");
		buf_json(&line, f->text, strlen(f->text));
	}
	buf_text(&line, "}\n");
	if (fwrite(line.at, 1, line.len, n->log) != line.len)
		n->log = NULL;
	buf_free(&line);
}

/* What a request is called, in memory of its own: *host and *path. */
static struct sim_request
request_of(struct conn *c, char **host, char **path)
{
	struct sim_request q = { .method = http_method_str(
				     (enum http_method)c->parser.method),
		.headers = &c->headers,
		.header = header,
		.query = "" };
	const char *url = c->url.at ? c->url.at : "", *name, *mark;
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
	q.body = buf_peek(&c->body);
	return q;
}

static void
refuse(struct conn *c)
{
	struct sim_reply *r = &c->reply;

	switch (c->refused) {
	case 413:
		sim_error(r, 413, "RequestTooLarge",
		    "The body is larger than %d bytes.", BODY_MAX);
		break;
	case 431:
		sim_error(r, 431, "RequestHeaderFieldsTooLarge",
		    "The header is too large.");
		break;
	case 417:
		sim_error(r, 417, "ExpectationFailed",
		    "Only 100-continue can be expected.");
		break;
	case 405:
		sim_error(r, 405, "MethodNotAllowed",
		    "hub-sim is no proxy: let the client connect to it.");
		break;
	default:
		sim_error(r, 400, "BadRequest", "This is no HTTP request: %s.",
		    http_errno_description(HTTP_PARSER_ERRNO(&c->parser)));
	}
}

/* Takes one request to its room, unless a fault meets it before. */
static void
answer(struct net *n, struct conn *c)
{
	const struct fault *f;
	struct sim_request q;
	char *host, *path;

	n->requests++;
	if (c->refused) {
		refuse(c);
		return;
	}
	q = request_of(c, &host, &path);
	c->fault = f = fault_pick(n->faults, &q);
	if (!f || f->applied)
		sim_route(n->sim, &q, &c->reply);
	if (f && (f->kind == FAULT_STATUS || f->kind == FAULT_EMPTY ||
		     f->kind == FAULT_GARBAGE))
		fault_reply(n->sim, f, &q, &c->reply);
	if (n->log)
		log_request(n, &q,
		    f && (f->kind == FAULT_CUT || f->kind == FAULT_LOSE ||
			     f->kind == FAULT_HANG)
			? 0
			: c->reply.status,
		    f);
	free(host);
	free(path);
}

static void
undo(struct conn *c)
{
	sim_reply_free(&c->reply);
	sim_error(&c->reply, 503, "ServiceUnavailable",
	    "The state could not be written; nothing was changed.");
}

static void
reply(struct net *n, struct conn *c)
{
	const struct fault *f = c->fault;

	c->fault = NULL;
	if (f && f->kind == FAULT_HANG) {
		c->state = HANGING;
		return;
	}
	if (f && (f->kind == FAULT_CUT || f->kind == FAULT_LOSE)) {
		close_conn(n, c);
		return;
	}
	format(n, c, f);
	sim_reply_free(&c->reply);
	if (f && f->kind == FAULT_DELAY) {
		c->state = DELAYED;
		c->due = net_ms() + f->delay_ms;
		n->timed = true;
		return;
	}
	c->state = SENDING;
	send_conn(n, c);
}

/*
 * The order of arrival is kept, so that the same requests meet the same
 * faults.  Nothing is sent before the commit: what a client is told is kept.
 */
static void
turn(struct net *n)
{
	struct conn *first = NULL, *next;
	bool failed;

	for (struct conn *c = n->ready; c; c = next) {
		next = c->next_ready;
		c->next_ready = first;
		first = c;
	}
	n->ready = NULL;
	if (!first)
		return;
	store_begin(n->sim);
	for (struct conn *c = first; c; c = c->next_ready)
		answer(n, c);
	failed = store_commit(n->sim) != 0;
	if (failed)
		warn(NULL,
		    "the state could not be written, all requests of "
		    "this turn are answered with 503: %s",
		    store_reason(n->sim));
	for (struct conn *c = first; c; c = next) {
		next = c->next_ready;
		c->next_ready = NULL;
		if (failed && !c->refused)
			undo(c);
		reply(n, c);
		watch(n, c);
	}
	if (n->log && fflush(n->log))
		n->log = NULL;
}

static void
event(struct net *n, struct conn *c, uint32_t what)
{
	switch (c->state) {
	case READING:
		read_conn(n, c);
		break;
	case SENDING:
		send_conn(n, c);
		break;
	case LINGERING:
		discard(n, c);
		break;
	case HANGING:
		if (what & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
			close_conn(n, c);
		break;
	case READY: /* in the list of this turn */
		break;
	case DELAYED:
		if (what & (EPOLLHUP | EPOLLERR))
			close_conn(n, c);
		break;
	case GONE:
		break;
	}
	watch(n, c);
}

/* Milliseconds to the next thing that is due, -1 for none. */
static int
timers(struct net *n)
{
	int64_t now = net_ms(), next = -1;
	bool timed = n->timed;

	n->timed = false;
	for (struct conn *c = timed ? n->all : NULL; c; c = c->next) {
		if (c->state != DELAYED && c->state != LINGERING)
			continue;
		if (c->due > now) {
			n->timed = true;
			if (next < 0 || c->due - now < next)
				next = c->due - now;
			continue;
		}
		if (c->state == DELAYED) {
			c->state = SENDING;
			send_conn(n, c);
		} else {
			close_conn(n, c);
		}
		watch(n, c);
	}
	return n->ready ? 0 : (int)(next > 60000 ? 60000 : next);
}

/* Each client is a descriptor, and the usual limit is 1024. */
static void
raise_limit(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
		l.rlim_cur = l.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &l);
	}
}

void
net_run(struct net *n, struct sim *s, struct faults *faults, FILE *log,
    int signals, bool (*on_signals)(int signals, void *arg), void *arg)
{
	struct epoll_event ev[EVENTS] = { { .events = EPOLLIN } };
	bool go_on = true;

	n->sim = s;
	n->faults = faults;
	n->log = log;
	raise_limit();
	ev[0].data.ptr = NULL;
	(void)epoll_ctl(n->epoll, EPOLL_CTL_ADD, signals, &ev[0]);
	listen_again(n, true);
	while (go_on) {
		int count = epoll_wait(n->epoll, ev, EVENTS, timers(n));

		for (int i = 0; i < count; i++) {
			if (!ev[i].data.ptr)
				go_on = on_signals(signals, arg);
			else if (ev[i].data.ptr == n)
				accept_all(n);
			else
				event(n, ev[i].data.ptr, ev[i].events);
		}
		turn(n);
		if (n->gone) {
			free_gone(n);
			listen_again(n, true);
		}
		if (log && !n->log) {
			warn("log", "cannot be written, and ends here: %s",
			    strerror(errno));
			log = NULL;
		}
	}
}

void
net_close(struct net *n)
{
	if (!n)
		return;
	for (struct conn *c = n->all; c; c = c->next)
		close_conn(n, c);
	free_gone(n);
	if (n->listener != -1)
		(void)close(n->listener);
	if (n->epoll != -1)
		(void)close(n->epoll);
	SSL_CTX_free(n->tls);
	free(n);
}
