/* net.c: see net.h. */
#include "net.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "inbound.h"
#include "log.h"
#include "record.h"
#include "store.h"
#include "wire.h"

enum {
	EVENTS = 256,       /* taken from the kernel in one turn */
	CHUNK = 16384,      /* one TLS record at most */
	CHUNKS_A_TURN = 64, /* read from one client before others */
	KEEP = 4096,        /* a larger buffer is freed between requests */
	LINGER_MS = 5000,   /* for a client that still sends what we refused */
};

enum state {
	READING, /* waiting for a request, or in the middle of one */
	READY,   /* the request is whole: answered in this turn */
	DELAYED, /* the reply is done and waits for its time */
	SENDING,
	HANGING,   /* a fault: never answered */
	LINGERING, /* refused: what comes is thrown away */
	GONE,      /* closed in this turn, freed at its end */
};

struct conn {
	struct conn *prev, *next; /* all of them */
	struct conn *next_ready, *next_gone;
	enum state state;
	bool close_after, cut_after;
	uint32_t watched;
	struct wire wire;
	struct inbound in;
	struct sim_reply reply;
	const struct fault *fault; /* what meets this request, or NULL */
	struct buf out;
	size_t sent;
	int64_t due;               /* DELAYED, LINGERING: by net_ms() */
	struct sim_stream *stream; /* of the reply that is being sent */
};

struct net {
	int listener, epoll;
	bool listening, warned;
	bool timed;   /* some connection may wait for its time */
	int64_t tick; /* when sim_tick() is due, by net_ms(); -1: not */
	SSL_CTX *tls;
	struct conn *all, *ready, *gone;
	char address[64];
	uint64_t requests;
	struct sim *sim;
	struct faults *faults;
	FILE *log, *record;
};

static int64_t
net_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

struct net *
net_listen(const char *where, SSL_CTX *tls, struct err *e)
{
	struct net *n = xcalloc(1, sizeof *n);

	n->tls = tls;
	n->epoll = -1;
	n->listener = listen_at(where, n->address, e);
	if (n->listener != -1)
		n->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (n->epoll != -1)
		return n;
	if (n->listener != -1)
		(void)err_set(
		    e, LOCAL_FAILURE, NULL, "no epoll: %s", strerror(errno));
	net_close(n);
	return NULL;
}

const char *
net_address(const struct net *n)
{
	return n->address;
}

/* ---- connections ---- */

static void
end_stream(struct conn *c)
{
	if (c->stream)
		c->stream->end(c->stream);
	c->stream = NULL;
}

static void
shrink(struct buf *b)
{
	if (b->cap > KEEP)
		buf_wipe(b);
	else
		buf_clear(b);
}

/* Freed at the end of the turn: events for it may still be in the array. */
static void
close_conn(struct net *n, struct conn *c)
{
	if (c->state == GONE)
		return;
	wire_close(&c->wire);
	inbound_free(&c->in);
	buf_wipe(&c->out);
	sim_reply_free(&c->reply);
	end_stream(c);
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
		ev.events = c->wire.wants_write ? EPOLLOUT : EPOLLIN;
	else if (c->state == SENDING)
		ev.events = c->wire.wants_write ? EPOLLOUT : EPOLLIN;
	else if (c->state == HANGING)
		ev.events = EPOLLRDHUP;
	if (c->state == GONE || c->state == READY || ev.events == c->watched)
		return;
	c->watched = ev.events;
	(void)epoll_ctl(n->epoll, EPOLL_CTL_MOD, c->wire.fd, &ev);
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
		c->wire.fd = fd;
		c->watched = EPOLLIN;
		inbound_begin(&c->in);
		c->next = n->all;
		if (n->all)
			n->all->prev = c;
		n->all = c;
		ev.data.ptr = c;
		if (epoll_ctl(n->epoll, EPOLL_CTL_ADD, fd, &ev) == -1)
			close_conn(n, c);
	}
}

/* ---- in ---- */

/* A whole request, or one that is refused, waits for the turn. */
static void
take(struct net *n, struct conn *c)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";

	if (c->in.complete || c->in.refused) {
		c->close_after = c->in.last;
		c->state = READY;
		c->next_ready = n->ready;
		n->ready = c;
	} else if (c->in.expects) {
		/* 25 bytes fit into a socket that nothing was sent to. */
		c->in.expects = false;
		(void)wire_put(&c->wire, text, sizeof text - 1);
		c->wire.wants_write = false;
	}
}

static void
read_conn(struct net *n, struct conn *c)
{
	char chunk[CHUNK];

	for (int i = 0; i < CHUNKS_A_TURN && c->state == READING; i++) {
		ssize_t got = wire_get(&c->wire, n->tls, chunk, sizeof chunk);

		if (got == 0)
			return;
		if (got < 0) {
			close_conn(n, c);
			return;
		}
		inbound_feed(&c->in, chunk, (size_t)got);
		take(n, c);
	}
}

static void
discard(struct net *n, struct conn *c)
{
	char chunk[CHUNK];
	ssize_t got;

	for (int i = 0; i < CHUNKS_A_TURN; i++) {
		got = recv(c->wire.fd, chunk, sizeof chunk, 0);
		if (got == -1 && (errno == EAGAIN || errno == EINTR))
			return;
		if (got <= 0) {
			close_conn(n, c);
			return;
		}
	}
}

/* ---- out ---- */

/*
 * A client that still sends would answer a plain close with a reset, and might
 * throw our refusal away unread: let it finish first.
 */
static void
linger(struct net *n, struct conn *c)
{
	wire_end(&c->wire);
	if (!c->in.refused) {
		close_conn(n, c);
		return;
	}
	(void)shutdown(c->wire.fd, SHUT_WR);
	inbound_clear(&c->in);
	c->state = LINGERING;
	c->due = net_ms() + LINGER_MS;
	n->timed = true;
}

static void
next_request(struct net *n, struct conn *c)
{
	c->state = READING;
	inbound_next(&c->in);
	take(n, c);
}

/* The next part of a long body; false: there is none. */
static bool
refill(struct net *n, struct conn *c)
{
	struct sim_stream *st = c->stream;
	bool good;

	if (!st || st->left == 0)
		return false;
	buf_clear(&c->out);
	c->sent = 0;
	good = st->more(n->sim, st, &c->out) && c->out.len &&
	       c->out.len <= st->left;
	st->left -= good ? c->out.len : st->left;
	c->cut_after |= !good;
	return good;
}

static void
send_conn(struct net *n, struct conn *c)
{
	while (c->sent < c->out.len || refill(n, c)) {
		ssize_t done = wire_put(
		    &c->wire, c->out.at + c->sent, c->out.len - c->sent);

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
	end_stream(c);
	if (c->cut_after)
		close_conn(n, c);
	else if (c->close_after)
		linger(n, c);
	else
		next_request(n, c);
}

static void
add_head(struct net *n, struct conn *c, bool has_body)
{
	struct sim_reply *r = &c->reply;
	char when[32], words[32], guid[37];
	const char *head = r->head.len ? r->head.at : "";

	sim_http_time(sim_now(n->sim), when);
	buf_printf(&c->out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", r->status,
	    inbound_reason(r->status), when);
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
		buf_printf(&c->out, "Content-Length: %llu\r\n",
		    (unsigned long long)r->body.len +
			(r->stream ? r->stream->left : 0));
	buf_text(&c->out, head);
	if (strcasestr(head, "connection: close"))
		c->close_after = true;
	else if (c->close_after)
		buf_text(&c->out, "Connection: close\r\n");
	buf_text(&c->out, "\r\n");
}

static void
format(struct net *n, struct conn *c)
{
	const struct fault *f = c->fault;
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
	if (has_body && c->in.parser.method != HTTP_HEAD) {
		buf_add(&c->out, r->body.at ? r->body.at : "", len);
		if (!c->cut_after) {
			c->stream = r->stream;
			r->stream = NULL;
		}
	}
}

/* ---- one turn ---- */

/* Takes one request to its room, unless a fault meets it before. */
static void
answer(struct net *n, struct conn *c)
{
	const struct fault *f;
	struct sim_request q;
	char *host, *path;
	bool silent;

	n->requests++;
	if (c->in.refused) {
		inbound_refuse(&c->in, &c->reply);
		return;
	}
	q = inbound_request(&c->in, &host, &path);
	c->fault = f = fault_pick(n->faults, &q);
	if (!f || f->applied)
		sim_route(n->sim, &q, &c->reply);
	if (f && (f->kind == FAULT_STATUS || f->kind == FAULT_EMPTY ||
		     f->kind == FAULT_GARBAGE))
		fault_reply(n->sim, f, &q, &c->reply);
	if (n->record)
		record_exchange(n->record, &q, &c->reply);
	silent = f && (f->kind == FAULT_CUT || f->kind == FAULT_LOSE ||
			  f->kind == FAULT_HANG);
	if (n->log &&
	    log_request(n->log, n->sim, &q, silent ? 0 : c->reply.status, f))
		n->log = NULL;
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
	long delay =
	    c->reply.delay_ms + (f && f->kind == FAULT_DELAY ? f->delay_ms : 0);

	if ((f && f->kind == FAULT_HANG) || c->reply.hang) {
		c->state = HANGING;
		return;
	}
	if (f && (f->kind == FAULT_CUT || f->kind == FAULT_LOSE)) {
		close_conn(n, c);
		return;
	}
	format(n, c);
	sim_reply_free(&c->reply);
	c->fault = NULL;
	if (delay > 0) {
		c->state = DELAYED;
		c->due = net_ms() + delay;
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
		if (failed && !c->in.refused)
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
	if (n->tick >= 0 && (next < 0 || n->tick - now < next))
		next = n->tick > now ? n->tick - now : 0;
	return n->ready ? 0 : (int)(next > 60000 ? 60000 : next);
}

/* What goes on without a request. */
static void
background(struct net *n)
{
	if (!n->sim->wake && (n->tick < 0 || n->tick > net_ms()))
		return;
	n->tick = sim_tick(n->sim);
	if (n->tick >= 0)
		n->tick += net_ms();
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
	n->record = record_open();
	n->tick = 0; /* what an earlier run left behind */
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
		background(n);
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
	if (n->record)
		(void)fclose(n->record);
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
