/* net.c: see net.h. */
#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "due.h"
#include "inbound.h"
#include "log.h"
#include "monotonic.h"
#include "record.h"
#include "store.h"
#include "wire.h"

enum {
	EVENTS = 256,          /* taken from the kernel in one turn */
	CHUNK = 16384,         /* one TLS record at most */
	CHUNKS_A_TURN = 64,    /* read from one client before others */
	SEND_A_TURN = 1 << 20, /* bytes to one client before others */
	LONG_BODY = 65536,     /* is not copied */
	LINGER_MS = 5000, /* for a client that still sends what we refused */
	IDLE_MS =
	    240000, /* as Azure: four minutes without a byte are the end */
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

/* What meets a request.  The rule itself may be taken back in the same turn. */
struct met {
	bool met;
	enum fault_kind kind;
	long delay_ms;
	char *text; /* for the log */
};

struct conn {
	struct conn *prev, *next; /* all of them */
	struct conn *next_ready, *next_gone;
	enum state state;
	bool close_after, cut_after;
	uint32_t watched;
	struct wire wire;
	char peer[INET_ADDRSTRLEN]; /* 0.0.0.0: by IPv6 */
	struct inbound in;
	struct sim_reply reply;
	struct met fault;
	struct buf out, rest; /* a long body follows out as it was made */
	size_t sent;
	int64_t active;            /* when a byte came or went */
	int64_t began;             /* first byte of a request, microseconds */
	struct due due;            /* the end of DELAYED, LINGERING, idleness */
	struct sim_stream *stream; /* of the reply that is being sent */
	uint64_t stream_left;      /* of it, less what a fault holds back */
};

struct net {
	int listener, epoll;
	bool listening, warned;
	int64_t now;  /* by net_ms(), of this turn */
	int64_t tick; /* when sim_tick() is due, by net_ms(); -1: not */
	SSL_CTX *tls;
	struct conn *all, *ready, *gone;
	struct dues dues;
	char address[64];
	char guid[37];  /* request ids begin as this does */
	char date[32];  /* as it was at ... */
	int64_t date_s; /* this second */
	struct sim *sim;
	FILE *log, *record;
	int log_errno;
};

static int64_t
net_us(void)
{
	return (int64_t)(monotonic() * 1e6);
}

static int64_t
net_ms(void)
{
	return net_us() / 1000;
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
forget_fault(struct conn *c)
{
	free(c->fault.text);
	memset(&c->fault, 0, sizeof c->fault);
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
	buf_wipe(&c->rest);
	sim_reply_free(&c->reply);
	end_stream(c);
	forget_fault(c);
	due_clear(&n->dues, &c->due);
	if (n->sim)
		n->sim->connections--;
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
		/* As large as either kind. */
		struct sockaddr_in6 from = { .sin6_family = AF_UNSPEC };
		socklen_t len = sizeof from;
		int fd = accept4(n->listener, (struct sockaddr *)&from, &len,
			SOCK_NONBLOCK | SOCK_CLOEXEC),
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
		(void)inet_ntop(AF_INET,
		    from.sin6_family == AF_INET
			? &((struct sockaddr_in *)&from)->sin_addr
			: &(struct in_addr){ 0 },
		    c->peer, sizeof c->peer);
		c->watched = EPOLLIN;
		inbound_begin(&c->in);
		c->active = n->now;
		c->due.of = c;
		due_set(&n->dues, &c->due, n->now + IDLE_MS);
		n->sim->connections++;
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
		/* Less room than for a whole record would leave some of it in
		 * OpenSSL, of which epoll knows nothing. */
		size_t size = sizeof chunk;
		char *room = inbound_room(&c->in, sizeof chunk, &size),
		     *into = room ? room : chunk;
		ssize_t got = wire_get(&c->wire, n->tls, into, size);

		if (got == 0)
			return;
		if (got < 0) {
			close_conn(n, c);
			return;
		}
		c->active = n->now;
		if (n->log && c->in.taken == 0)
			c->began = net_us();
		inbound_feed(&c->in, into, (size_t)got);
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
	due_set(&n->dues, &c->due, n->now + LINGER_MS);
}

static void
next_request(struct net *n, struct conn *c)
{
	c->state = READING;
	if (n->log)
		c->began = net_us();
	inbound_next(&c->in);
	take(n, c);
}

/* The next part of a long body; false: there is none. */
static bool
refill(struct net *n, struct conn *c)
{
	struct sim_stream *st = c->stream;

	if (c->rest.len) {
		buf_wipe(&c->out);
		c->out = c->rest;
		c->rest = (struct buf)BUF_INIT;
		c->sent = 0;
		return true;
	}
	if (!st || c->stream_left == 0)
		return false;
	buf_clear(&c->out);
	c->sent = 0;
	if (!st->more(n->sim, st, &c->out) || c->out.len == 0 ||
	    c->out.len > st->left) {
		buf_clear(&c->out);
		c->stream_left = 0;
		c->cut_after = true;
		return false;
	}
	st->left -= c->out.len;
	if (c->out.len > c->stream_left)
		c->out.len = (size_t)c->stream_left;
	c->stream_left -= c->out.len;
	return true;
}

/* Not more at once than is fair, however fast the client takes it. */
static void
send_conn(struct net *n, struct conn *c)
{
	size_t budget = SEND_A_TURN;

	while (c->sent < c->out.len || refill(n, c)) {
		ssize_t done = wire_put(
		    &c->wire, c->out.at + c->sent, c->out.len - c->sent);

		if (done < 0) {
			close_conn(n, c);
			return;
		}
		if (done == 0)
			return;
		c->active = n->now;
		c->sent += (size_t)done;
		if ((size_t)done >= budget) {
			c->wire.wants_write = true; /* go on in the next turn */
			return;
		}
		budget -= (size_t)done;
	}
	buf_wipe(&c->out); /* an idle client shall cost little */
	c->sent = 0;
	end_stream(c);
	if (c->cut_after)
		close_conn(n, c);
	else if (c->close_after)
		linger(n, c);
	else
		next_request(n, c);
}

/* A header line of that name; name with its colon. */
static bool
head_has(const struct buf *head, const char *name)
{
	const char *at = head->len ? head->at : NULL;

	for (; at; at = strchr(at, '\n'), at += at != NULL)
		if (strncasecmp(at, name, strlen(name)) == 0)
			return true;
	return false;
}

static void
date_line(struct net *n, struct buf *out)
{
	int64_t now = sim_now(n->sim);

	if (now / 1000 != n->date_s)
		sim_http_time(now, n->date);
	n->date_s = now / 1000;
	buf_text(out, "\r\nDate: ");
	buf_text(out, n->date);
	buf_text(out, "\r\n");
}

/* Every reply has an id that the log has too; the room may have made one. */
static void
id_line(struct net *n, struct conn *c)
{
	char id[40];

	if (head_has(&c->reply.head, "x-ms-request-id:"))
		return;
	(void)snprintf(id, sizeof id, "%.24s%012llx", n->guid,
	    (unsigned long long)n->sim->requests & 0xffffffffffff);
	sim_head(&c->reply, "x-ms-request-id", "%s", id);
}

static void
add_head(struct net *n, struct conn *c, bool has_body, uint64_t length)
{
	struct sim_reply *r = &c->reply;
	char number[64];

	(void)snprintf(number, sizeof number, "HTTP/1.1 %d ", r->status);
	buf_text(&c->out, number);
	buf_text(&c->out, inbound_reason(r->status));
	date_line(n, &c->out);
	if (has_body && (r->body.len || r->stream) &&
	    !(r->content_type && !*r->content_type)) {
		buf_text(&c->out, "Content-Type: ");
		buf_text(&c->out, r->content_type
				      ? r->content_type
				      : "application/json; charset=utf-8");
		buf_text(&c->out, "\r\n");
	}
	if (has_body) {
		(void)snprintf(number, sizeof number,
		    "Content-Length: %llu\r\n", (unsigned long long)length);
		buf_text(&c->out, number);
	}
	buf_span(&c->out, buf_peek(&r->head));
	if (head_has(&r->head, "connection: close"))
		c->close_after = true;
	else if (c->close_after)
		buf_text(&c->out, "Connection: close\r\n");
	buf_text(&c->out, "\r\n");
}

/* total: of the body as the room made it; keep: what is sent of it. */
static void
format(struct net *n, struct conn *c)
{
	const struct met *f = &c->fault;
	struct sim_reply *r = &c->reply;
	bool has_body =
	    r->status >= 200 && r->status != 204 && r->status != 304;
	uint64_t total = r->body.len + (r->stream ? r->stream->left : 0),
		 keep = total;
	size_t now;

	if (f->met && f->kind == FAULT_GARBAGE) {
		buf_text(&c->out, "\x01\x02 nonsense\r\n\r\n");
		c->cut_after = true;
		return;
	}
	if (f->met && f->kind == FAULT_BADJSON && total)
		total = --keep; /* the last brace, or all but the first byte */
	add_head(n, c, has_body, total);
	if (f->met && f->kind == FAULT_HALF) {
		c->cut_after = true;
		if (total == 0)
			c->out.len /= 2;
		keep /= 2;
	}
	if (!has_body || c->in.parser.method == HTTP_HEAD)
		return;
	now = r->body.len < keep ? r->body.len : (size_t)keep;
	if (now == r->body.len && now >= LONG_BODY) {
		c->rest = r->body;
		r->body = (struct buf)BUF_INIT;
	} else {
		buf_add(&c->out, r->body.at, now);
	}
	if (keep > now) {
		c->stream = r->stream;
		c->stream_left = keep - now;
		r->stream = NULL;
	}
}

/* ---- one turn ---- */

/* Has the room nothing to do with it? */
static bool
is_prevented(struct net *n, struct conn *c, const struct sim_request *q)
{
	const struct fault *f = fault_pick(n->sim->faults, n->sim, q);

	if (!f)
		return false;
	c->fault = (struct met){ .met = true,
		.kind = f->kind,
		.delay_ms = f->kind == FAULT_DELAY ? f->delay_ms : 0,
		.text = xstrdup(f->text) };
	if (f->applied)
		sim_route(n->sim, q, &c->reply);
	if (fault_replies(f))
		fault_reply(n->sim, f, q, &c->reply);
	return true;
}

/* Takes one request to its room, unless a fault meets it before. */
static void
answer(struct net *n, struct conn *c)
{
	struct sim_request q;
	char *host, *path;

	n->sim->requests++;
	if (c->in.refused) {
		inbound_refuse(&c->in, &c->reply);
	} else {
		q = inbound_request(&c->in, &host, &path);
		q.tls = c->wire.ssl != NULL;
		q.peer = c->peer;
		if (!is_prevented(n, c, &q))
			sim_route(n->sim, &q, &c->reply);
		if (n->record && fault_room(&q) != ROOM_CONTROL)
			record_exchange(
			    n->record, &q, &c->reply, c->fault.text);
		free(host);
		free(path);
	}
	id_line(n, c);
}

static void
undo(struct net *n, struct conn *c)
{
	sim_reply_free(&c->reply);
	sim_error(&c->reply, 503, "ServiceUnavailable",
	    "The state could not be written; nothing was changed.");
	id_line(n, c);
}

static void
write_log(struct net *n, struct conn *c, bool silent, long delay)
{
	struct log_line l = { .in = c->in.taken, .fault = c->fault.text };
	struct sim_request q;
	char *host = NULL, *path = NULL, *id = NULL;
	const char *at;

	if (c->in.headed) {
		q = inbound_request(&c->in, &host, &path);
		l.q = &q;
	}
	if (!silent && !(c->fault.met && c->fault.kind == FAULT_GARBAGE)) {
		l.status = c->reply.status;
		at = strcasestr(c->reply.head.at, "x-ms-request-id: ");
		id = at ? xstrndup(at + 17, strcspn(at + 17, "\r")) : NULL;
		l.id = id;
	}
	l.out = c->out.len + c->rest.len + c->stream_left;
	l.ms = (double)(net_us() - c->began) / 1000 + (double)delay;
	if (log_request(n->log, n->sim, &l)) {
		n->log_errno = errno;
		n->log = NULL;
	}
	free(id);
	free(host);
	free(path);
}

static void
reply(struct net *n, struct conn *c)
{
	const struct met *f = &c->fault;
	bool cut = f->met && (f->kind == FAULT_CUT || f->kind == FAULT_LOSE),
	     hang = (f->met && f->kind == FAULT_HANG) || c->reply.hang;
	long delay = c->reply.delay_ms + f->delay_ms;

	if (!cut && !hang)
		format(n, c);
	if (n->log)
		write_log(n, c, cut || hang, delay);
	sim_reply_free(&c->reply);
	forget_fault(c);
	if (hang) {
		c->state = HANGING;
		due_clear(&n->dues, &c->due);
	} else if (cut) {
		close_conn(n, c);
	} else if (delay > 0) {
		c->state = DELAYED;
		due_set(&n->dues, &c->due, net_ms() + delay);
	} else {
		c->state = SENDING;
		send_conn(n, c);
	}
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
			undo(n, c);
		reply(n, c);
		watch(n, c);
	}
	if (n->log && fflush(n->log)) {
		n->log_errno = errno;
		n->log = NULL;
	}
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

static void
end_of_wait(struct net *n, struct conn *c)
{
	if (c->state == DELAYED) {
		c->active = n->now;
		due_set(&n->dues, &c->due, n->now + IDLE_MS);
		c->state = SENDING;
		send_conn(n, c);
	} else if (c->state == LINGERING || n->now - c->active >= IDLE_MS) {
		close_conn(n, c);
	} else {
		due_set(&n->dues, &c->due, c->active + IDLE_MS);
	}
	watch(n, c);
}

/* Milliseconds to the next thing that is due, -1 for none. */
static int
timers(struct net *n)
{
	struct due *d;
	int64_t next = -1;

	n->now = net_ms();
	while ((d = due_first(&n->dues)) && d->at <= n->now)
		end_of_wait(n, d->of);
	if (d)
		next = d->at - n->now;
	if (n->tick >= 0 && (next < 0 || n->tick - n->now < next))
		next = n->tick > n->now ? n->tick - n->now : 0;
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

/* Each client is a descriptor, and the usual limit is 1024.  What a request
 * took, the next will: it does not go back to the kernel. */
static void
raise_limits(void)
{
	struct rlimit l;

	(void)mallopt(M_MMAP_THRESHOLD, 4 << 20);
	(void)mallopt(M_TRIM_THRESHOLD, 16 << 20);

	if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
		l.rlim_cur = l.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &l);
	}
}

void
net_run(struct net *n, struct sim *s, FILE *log, int signals,
    bool (*on_signals)(int signals, void *arg), void *arg)
{
	struct epoll_event ev[EVENTS] = { { .events = EPOLLIN } };
	bool go_on = true;

	n->sim = s;
	sim_guid(s, "request", n->guid);
	s->began = monotonic();
	n->log = log;
	n->record = record_open();
	n->tick = 0; /* what an earlier run left behind */
	raise_limits();
	ev[0].data.ptr = NULL;
	(void)epoll_ctl(n->epoll, EPOLL_CTL_ADD, signals, &ev[0]);
	listen_again(n, true);
	while (go_on) {
		int count = epoll_wait(n->epoll, ev, EVENTS, timers(n));

		n->now = net_ms();
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
			    strerror(n->log_errno));
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
	free(n->dues.heap);
	if (n->listener != -1)
		(void)close(n->listener);
	if (n->epoll != -1)
		(void)close(n->epoll);
	SSL_CTX_free(n->tls);
	free(n);
}
