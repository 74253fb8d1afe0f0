/*
 * http.c: one libcurl multi loop; see http.h.
 *
 * A request is an item that moves between lists: queued (no slot yet), waiting
 * (for its time: a retry, its pace, a delay), running (libcurl has it), ended
 * (to be judged).  Whatever runs foreign code (a done callback, an authorize
 * hook) does so with the item in no list, since that code may come back here.
 */
#include "http.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>

#include "json.h"
#include "monotonic.h"
#include "progress.h"

enum { CONNECT_MS = 20000, MAX_JOBS = 1024, DNS_TRIES = 5 };

static long jobs = 8;
static const char *timeout_text = "60", *delay_text, *max_text = "600";
static const char *audit_path;

const struct opt http_opts[] = {
	OPT_NUMBER(
	    'j', "jobs", "N", &jobs, "run N requests at once (default 8)"),
	OPT_TEXT(0, "timeout", "SECONDS", &timeout_text,
	    "give up one try after SECONDS (default 60)"),
	OPT_TEXT(0, "retry-delay", "SECONDS", &delay_text,
	    "first wait before trying again (default 0.5, throttled 10)"),
	OPT_TEXT(0, "retry-max-time", "SECONDS", &max_text,
	    "do not try again after SECONDS (default 600)"),
	OPT_TEXT(0, "audit", "FILE", &audit_path,
	    "append one line to FILE for each remote write"),
	OPT_END,
};

struct item {
	TAILQ_ENTRY(item) link;
	struct http_request r;
	struct http_reply reply;
	CURL *easy;
	struct curl_slist *head;
	CURLcode result;
	double first, sent, due;
	double limit;            /* of this try */
	double paced_at;         /* by the clock of its pace */
	int throttles, failures; /* so far, each with its own back-off */
	int unheard;             /* times it got a 401 after its renewal */
	int sends;               /* within one try: libcurl repeats by itself */
	bool urgent;             /* sent by an authorize hook */
	bool refused;            /* got a 401: the hook must renew */
	bool doubt;              /* an attempt may have been applied */
	bool head_whole;         /* the empty line after the headers came */
	bool throttled;          /* waits because the service said so */
	bool paid;               /* its pace has been taken, and is owed */
	bool paced;              /* waits for its pace */
	bool dead;               /* could not be started; reply.err says why */
};
TAILQ_HEAD(items, item);

/*
 * A 401 after a new token is final: nothing would help.  But where the same
 * kind of call with the same credentials has got in a moment ago, it is some
 * front end's mistake.
 */
enum { WELCOMES = 16, UNHEARD_MOST = 5 };
#define WELCOME_SECONDS 60.0

struct welcome {
	const void *auth;
	const char *method; /* static text */
	char room[16];      /* first part of the path */
	double at;
};

struct http {
	CURLM *multi;
	struct items queued, waiting, ended;
	long active, running; /* active: holds a slot of -j */
	int in_callback, authorizing;
	CURL **idle;
	size_t idle_count, idle_cap;
	struct curl_slist *connect_to;
	const char *ca;
	double timeout, delay, max_time;
	double until; /* monotonic; 0: none: http_until() */
	int audit;
	bool grumbled; /* has told about the retries */
	struct welcome welcome[WELCOMES];
	size_t welcomes; /* all ever; the oldest make room */
};

long
http_jobs(void)
{
	return jobs;
}

/* ADDR:PORT, with brackets around an IPv6 address, and nothing else: what
 * libcurl cannot use it would ignore, and real hosts would be asked. */
static void
check_connect_to(const char *value)
{
	const char *colon = strrchr(value, ':');
	size_t len = colon ? (size_t)(colon - value) : 0;
	char *end = NULL;
	long port = colon && colon[1] >= '0' && colon[1] <= '9'
			? strtol(colon + 1, &end, 10)
			: 0;
	bool six = len > 2 && value[0] == '[' && value[len - 1] == ']';

	if (!len || !end || *end || port < 1 || port > 65535 ||
	    (!six && memchr(value, ':', len)) || strpbrk(value, " ,/@"))
		die(BAD_USAGE, value, "HUBPIPE_CONNECT_TO is not ADDR:PORT");
}

static void
find_connect_to(struct http *h)
{
	static bool said;
	const char *value = getenv("HUBPIPE_CONNECT_TO");
	char *rule;

	if (!value || !*value)
		return;
	check_connect_to(value);
	rule = xasprintf("::%s", value);
	h->connect_to = curl_slist_append(NULL, rule);
	free(rule);
	if (!said)
		warn(NULL, "HUBPIPE_CONNECT_TO is set: all hosts are at %s",
		    value);
	said = true;
}

/* libcurl does not look at SSL_CERT_FILE by itself (PROBES). */
static void
find_ca(struct http *h)
{
	const char *file = getenv("SSL_CERT_FILE");

	if (!file || !*file)
		return;
	if (access(file, R_OK) != 0)
		die(LOCAL_FAILURE, file, "cannot read SSL_CERT_FILE: %s",
		    strerror(errno));
	h->ca = file;
}

struct http *
http_open(void)
{
	struct http *h = xcalloc(1, sizeof *h);

	if (jobs < 1 || jobs > MAX_JOBS)
		usage("--jobs: %ld is not between 1 and %d", jobs, MAX_JOBS);
	h->timeout = opt_seconds("timeout", timeout_text);
	if (h->timeout <= 0)
		usage("--timeout: must be more than 0");
	h->delay = delay_text ? opt_seconds("retry-delay", delay_text) : -1;
	h->max_time = opt_seconds("retry-max-time", max_text);
	TAILQ_INIT(&h->queued);
	TAILQ_INIT(&h->waiting);
	TAILQ_INIT(&h->ended);
	find_connect_to(h);
	find_ca(h);
	h->audit = -1;
	if (audit_path) {
		h->audit = open(audit_path,
		    O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
		if (h->audit < 0)
			die(LOCAL_FAILURE, audit_path, "cannot open: %s",
			    strerror(errno));
	}
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
	    !(h->multi = curl_multi_init()))
		die(LOCAL_FAILURE, NULL, "libcurl does not start");
	(void)curl_multi_setopt(
	    h->multi, CURLMOPT_MAXCONNECTS, jobs < 8 ? 16L : 2 * jobs);
	return h;
}

void
http_until(struct http *h, double s)
{
	h->until = s > 0 ? monotonic() + s : 0;
}

double
http_left(const struct http *h)
{
	return h->until > 0 ? fmax(h->until - monotonic(), 0) : INFINITY;
}

/* One header line, without CR LF.  A new status line begins a new head: what
 * came before was 100 Continue or a proxy's answer. */
static size_t
take_head(char *at, size_t size, size_t count, void *ctx)
{
	struct item *it = ctx;
	size_t len = size * count, all = len;

	while (len && (at[len - 1] == '\n' || at[len - 1] == '\r' ||
			  at[len - 1] == ' '))
		len--;
	if (len >= 5 && memcmp(at, "HTTP/", 5) == 0) {
		buf_clear(&it->reply.head);
		it->head_whole = false;
	}
	if (len == 0) {
		it->head_whole = true;
		return all;
	}
	buf_add(&it->reply.head, at, len);
	buf_char(&it->reply.head, '\0');
	return all;
}

static size_t
take_body(char *at, size_t size, size_t count, void *ctx)
{
	struct item *it = ctx;

	buf_add(&it->reply.body, at, size * count);
	return size * count;
}

/*
 * Called before each sending.  When a kept connection ends without a byte of
 * answer, libcurl sends again on a new one, without asking; but the service may
 * have done what it did not answer.
 */
static int
before_send(void *ctx, char *to, char *from, int to_port, int from_port)
{
	struct item *it = ctx;

	(void)to, (void)from, (void)to_port, (void)from_port;
	if (it->sends++ == 0)
		return CURL_PREREQFUNC_OK;
	it->doubt = true;
	return it->r.repeat == HTTP_REPEAT ? CURL_PREREQFUNC_OK
					   : CURL_PREREQFUNC_ABORT;
}

static CURL *
make_easy(struct http *h)
{
	CURL *c;

	if (h->idle_count)
		return h->idle[--h->idle_count];
	c = curl_easy_init();
	if (!c)
		die(LOCAL_FAILURE, NULL, "out of memory");
	(void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	/* A name that nobody resolves holds us no longer than the timeout. */
	(void)curl_easy_setopt(c, CURLOPT_QUICK_EXIT, 1L);
	(void)curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(
	    c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	(void)curl_easy_setopt(
	    c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	(void)curl_easy_setopt(
	    c, CURLOPT_USERAGENT, "hubpipe/" HUBPIPE_VERSION);
	(void)curl_easy_setopt(c, CURLOPT_BUFFERSIZE, 65536L);
	(void)curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, take_head);
	(void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body);
	(void)curl_easy_setopt(c, CURLOPT_PREREQFUNCTION, before_send);
	if (h->connect_to) {
		(void)curl_easy_setopt(c, CURLOPT_CONNECT_TO, h->connect_to);
		/* A proxy variable would win over the line above. */
		(void)curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
	}
	if (h->ca)
		(void)curl_easy_setopt(c, CURLOPT_CAINFO, h->ca);
	return c;
}

static void
put_easy(struct http *h, CURL *c)
{
	if (h->idle_count == h->idle_cap) {
		h->idle_cap = h->idle_cap ? 2 * h->idle_cap : 8;
		h->idle = xrealloc(h->idle, h->idle_cap * sizeof *h->idle);
	}
	h->idle[h->idle_count++] = c;
}

static void
drop_head(struct item *it)
{
	for (struct curl_slist *s = it->head; s; s = s->next)
		OPENSSL_cleanse(s->data, strlen(s->data));
	curl_slist_free_all(it->head);
	it->head = NULL;
}

static void
add_head(struct item *it, const char *line)
{
	struct curl_slist *s = curl_slist_append(it->head, line);

	if (!s)
		die(LOCAL_FAILURE, NULL, "out of memory");
	it->head = s;
}

/* A URL fit to be seen: what signs it is left out. */
static void
shown_url(struct buf *b, const char *url)
{
	static const char *const secret[] = { "sig=", "code=" };

	for (const char *p = url; *p;) {
		size_t cut = 0;

		for (size_t i = 0; i < 2; i++)
			if (p > url && (p[-1] == '?' || p[-1] == '&') &&
			    strncasecmp(p, secret[i], strlen(secret[i])) == 0)
				cut = strlen(secret[i]);
		if (!cut) {
			buf_char(b, *p++);
			continue;
		}
		buf_add(b, p, cut);
		buf_text(b, "****");
		p += strcspn(p, "&");
	}
}

static struct span
host_of(const char *url)
{
	const char *p = strstr(url, "://");

	p = p ? p + 3 : url;
	return (struct span){ p, strcspn(p, "/?:") };
}

/* The first part of the path, cut to what a welcome holds. */
static struct span
room_of(const char *url)
{
	struct span host = host_of(url);
	const char *at = host.at + host.len + strcspn(host.at + host.len, "/");
	size_t len;

	at += *at == '/';
	len = strcspn(at, "/?");
	return (struct span){ at, len < 15 ? len : 15 };
}

/* "Authorization: ..." from the caller's hook; -1: reply.err says why not. */
static int
authorize(struct http *h, struct item *it)
{
	struct buf line = BUF_INIT;
	int rc;

	buf_text(&line, "Authorization: ");
	h->authorizing++;
	rc = it->r.authorize(it->r.auth, it->refused, &line, &it->reply.err);
	h->authorizing--;
	if (rc == 0)
		add_head(it, line.at);
	buf_wipe(&line);
	return rc;
}

static void
set_body(CURL *c, const struct item *it)
{
	const char *m = it->r.method;

	/* Resets what a former request has set. */
	(void)curl_easy_setopt(c, CURLOPT_HTTPGET, 1L);
	(void)curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, m);
	if (!strcmp(m, "HEAD"))
		(void)curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
	else if (it->r.body.len || !strcmp(m, "POST") || !strcmp(m, "PUT")) {
		(void)curl_easy_setopt(c, CURLOPT_POST, 1L);
		(void)curl_easy_setopt(
		    c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)it->r.body.len);
		(void)curl_easy_setopt(
		    c, CURLOPT_POSTFIELDS, it->r.body.at ? it->r.body.at : "");
	}
}

/* Hands it to libcurl; it is in no list before, running after, or ended when
 * there is no authorization. */
static void
start(struct http *h, struct item *it)
{
	CURL *c;

	buf_clear(&it->reply.body);
	buf_clear(&it->reply.head);
	it->reply.status = 0;
	it->head_whole = false;
	it->sends = 0;
	it->reply.err = (struct err){ 0 };
	if (it->r.authorize && authorize(h, it) != 0) {
		it->dead = true;
		drop_head(it);
		TAILQ_INSERT_TAIL(&h->ended, it, link);
		return;
	}
	add_head(it, "Expect:");
	add_head(it, "Accept: application/json");
	if (it->r.body.len) {
		char *type = xasprintf("Content-Type: %s",
		    it->r.content_type ? it->r.content_type
				       : "application/json; charset=utf-8");

		add_head(it, type);
		free(type);
	} else
		add_head(it, "Content-Type:");
	for (size_t i = 0; i < 6 && it->r.headers[i]; i++)
		add_head(it, it->r.headers[i]);

	c = it->easy = make_easy(h);
	set_body(c, it);
	(void)curl_easy_setopt(c, CURLOPT_URL, it->r.url);
	(void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, it->head);
	(void)curl_easy_setopt(c, CURLOPT_HEADERDATA, it);
	(void)curl_easy_setopt(c, CURLOPT_WRITEDATA, it);
	(void)curl_easy_setopt(c, CURLOPT_PREREQDATA, it);
	(void)curl_easy_setopt(c, CURLOPT_PRIVATE, it);
	it->limit =
	    fmin(it->r.timeout > 0 ? it->r.timeout : h->timeout, http_left(h));
	(void)curl_easy_setopt(
	    c, CURLOPT_TIMEOUT_MS, (long)(it->limit * 1000) + 1);
	(void)curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS,
	    (it->r.timeout > 0 || h->until > 0) && it->limit * 1000 < CONNECT_MS
		? (long)(it->limit * 1000) + 1
		: (long)CONNECT_MS);
	if (msg_verbose()) {
		struct buf url = BUF_INIT;

		shown_url(&url, it->r.url);
		trace("> %s %s", it->r.method, url.at);
		buf_free(&url);
	}
	it->sent = monotonic();
	it->reply.attempts++;
	if (curl_multi_add_handle(h->multi, c) != CURLM_OK)
		bug("libcurl takes no request");
	h->running++;
}

/* Into the list of those that wait for their time. */
static void
postpone(struct http *h, struct item *it, double wait, bool throttled)
{
	it->due = monotonic() + wait;
	it->throttled = throttled;
	it->paced = false;
	TAILQ_INSERT_TAIL(&h->waiting, it, link);
}

/* Has the service refused for so long that it is told as a failure?  What was
 * never sent waits as long as its pace demands, unless nothing else goes. */
static bool
given_up(const struct http *h, const struct item *it, double wait)
{
	double refusing = it->r.pace ? pace_refusing(it->r.pace) : 0;
	double tried = it->first > 0 ? monotonic() - it->first : 0;

	return wait + fmax(refusing, tried) > h->max_time;
}

static void finish(struct http *h, struct item *it);

static void
give_up(struct http *h, struct item *it)
{
	struct span host = host_of(it->r.url);
	char name[256];

	span_copy(host, name, sizeof name);
	it->reply.status = 429;
	(void)err_set(&it->reply.err, REMOTE_RETRY, name,
	    "throttled for longer than the %g s that --retry-max-time allows "
	    "(go on later, or with a smaller --share)",
	    h->max_time);
	finish(h, it);
}

/* Starts one whose time has come, if its pace lets it; else it waits on. */
static void
try_start(struct http *h, struct item *it)
{
	double wait = 0;

	if (it->r.pace && !it->paid)
		wait = pace_take(it->r.pace, it->r.cost);
	if (wait > 0) {
		if (given_up(h, it, wait) &&
		    (it->throttles > 0 || pace_refusing(it->r.pace) > 0)) {
			give_up(h, it);
			return;
		}
		postpone(h, it, wait, true);
		it->paced = true;
		return;
	}
	it->paid = it->r.pace != NULL;
	it->paced_at = it->paid ? pace_now(it->r.pace) : 0;
	if (it->first == 0)
		it->first = monotonic();
	start(h, it);
}

static void
start_due(struct http *h)
{
	struct item *it, *next;
	double t;

	if (TAILQ_EMPTY(&h->waiting))
		return;
	t = monotonic();
	for (it = TAILQ_FIRST(&h->waiting); it; it = next) {
		next = TAILQ_NEXT(it, link);
		if (it->due > t || (h->authorizing && !it->urgent))
			continue;
		TAILQ_REMOVE(&h->waiting, it, link);
		try_start(h, it);
		/* An authorize hook may have changed the list. */
		next = TAILQ_FIRST(&h->waiting);
	}
}

static void
perform(struct http *h)
{
	CURLMsg *m;
	int left;

	(void)curl_multi_perform(h->multi, &left);
	while ((m = curl_multi_info_read(h->multi, &left))) {
		struct item *it;
		CURL *c = m->easy_handle;

		if (m->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(c, CURLINFO_PRIVATE, (char **)&it);
		it->result = m->data.result;
		(void)curl_multi_remove_handle(h->multi, c);
		h->running--;
		TAILQ_INSERT_TAIL(&h->ended, it, link);
	}
}

const char *
http_header(const struct http_reply *r, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < r->head.len;) {
		const char *line = r->head.at + i;

		if (strncasecmp(line, name, len) == 0 && line[len] == ':')
			return line + len + 1 + strspn(line + len + 1, " \t");
		i += strlen(line) + 1;
	}
	return NULL;
}

double
http_retry_after(const struct http_reply *r)
{
	const char *ms = http_header(r, "x-ms-retry-after-ms");
	const char *s = http_header(r, "Retry-After");
	char *end;
	double wait;

	if (ms) {
		wait = strtod(ms, &end) / 1000;
		if (end != ms && isfinite(wait) && wait >= 0)
			return wait;
	}
	if (!s)
		return -1;
	wait = strtod(s, &end);
	if (end != s && !*end && isfinite(wait) && wait >= 0)
		return wait;
	if (curl_getdate(s, NULL) != -1) {
		/* By the server's clock, where it tells it. */
		wait = (double)(curl_getdate(s, NULL) - time(NULL)) -
		       http_clock_skew(r);
		return wait > 0 ? wait : 0;
	}
	return -1;
}

double
http_clock_skew(const struct http_reply *r)
{
	const char *date = http_header(r, "Date");
	time_t t = date ? curl_getdate(date, NULL) : -1;

	return t == -1 ? 0 : (double)(t - time(NULL));
}

bool
http_clock_remedy(
    const struct http_reply *r, const char *where, struct buf *text)
{
	double skew = http_clock_skew(r);

	if (fabs(skew) <= 300)
		return false;
	buf_printf(text,
	    " (the clock of this machine is %.0f s %s that of the %s: set it "
	    "right)",
	    fabs(skew), skew > 0 ? "behind" : "ahead of", where);
	return true;
}

static void
write_audit(struct http *h, const struct item *it)
{
	const struct http_reply *r = &it->reply;
	const char *request = http_header(r, "x-ms-request-id");
	struct buf b = BUF_INIT;
	struct timespec t;
	struct tm tm;
	char when[32];
	ssize_t n;
	const char *const part[][2] = {
		{ "principal", it->r.principal },
		{ "target", it->r.target },
		{ "operation", it->r.audit },
		{ "id", it->r.audit_id },
		{ "request", request },
		{ "error", r->status ? NULL : r->err.text },
	};

	(void)clock_gettime(CLOCK_REALTIME, &t);
	(void)gmtime_r(&t.tv_sec, &tm);
	(void)strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &tm);
	buf_printf(&b, "{\"time\":\"%s.%03ldZ\",\"status\":%d", when,
	    t.tv_nsec / 1000000, r->status);
	for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
		if (!part[i][1])
			continue;
		buf_printf(&b, ",\"%s\":", part[i][0]);
		buf_json(&b, part[i][1], strlen(part[i][1]));
	}
	buf_text(&b, "}\n");
	/* One write, so that lines of several processes do not mix. */
	n = write(h->audit, b.at, b.len);
	if (n != (ssize_t)b.len)
		die(LOCAL_FAILURE, audit_path, "write failed: %s",
		    n < 0 ? strerror(errno) : "no room for a whole line");
	buf_free(&b);
}

/*
 * libcurl calls it success when the head is cut short, or a body whose length
 * nobody has told (PROBES), and gateways cut bodies and count what is left:
 * such an answer is none.
 */
static const char *
half_an_answer(const struct item *it, long status)
{
	const struct http_reply *r = &it->reply;
	const char *type = http_header(r, "Content-Type");
	struct json j = { 0 };
	struct json_fault fault;
	int rc;

	if (!it->head_whole)
		return "the answer ends within its headers";
	if (status < 200 || status > 299 || status == 204 ||
	    !strcmp(it->r.method, "HEAD"))
		return NULL;
	if (r->body.len == 0)
		return it->r.expect_json ? "the answer has no body" : NULL;
	if (!type || !strcasestr(type, "json"))
		return NULL;
	rc = json_scan(buf_peek(&r->body), &j, &fault);
	json_free(&j);
	return rc == 0 ? NULL : "the answer ends within its body";
}

/* Errors of libcurl that trying again does not cure. */
static bool
hopeless(CURLcode c, struct err *e, const char *host, const char *ca)
{
	switch (c) {
	case CURLE_PEER_FAILED_VERIFICATION:
		err_set(e, REMOTE_REFUSED, host,
		    "its certificate is not trusted: %s%s%s%s",
		    curl_easy_strerror(c),
		    ca ? " (SSL_CERT_FILE is '"
		       : " (SSL_CERT_FILE names a "
			 "bundle of trusted CAs",
		    ca ? ca : "", ca ? "')" : ")");
		return true;
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_ENGINE_INITFAILED:
		err_set(e, LOCAL_FAILURE, ca ? ca : host, "%s",
		    curl_easy_strerror(c));
		return true;
	case CURLE_URL_MALFORMAT:
		err_set(e, BAD_USAGE, host, "no usable host name");
		return true;
	default:
		return false;
	}
}

/* Did it fail before a byte of the request was sent? */
static bool
never_sent(const struct item *it)
{
	long sent = 0;

	switch (it->result) {
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_COULDNT_CONNECT:
	case CURLE_SSL_CONNECT_ERROR:
		return true;
	case CURLE_ABORTED_BY_CALLBACK: /* before_send() */
		return false;
	default:
		(void)curl_easy_getinfo(it->easy, CURLINFO_REQUEST_SIZE, &sent);
		return sent == 0;
	}
}

static double
chance(void)
{
	return (double)arc4random() / 4294967296.0;
}

static double
back_off(double first, double most, int n)
{
	double d = first;

	for (int i = 0; i < n && d < most; i++)
		d *= 2;
	return d < most ? d : most;
}

/* Seconds until the next try of what the service will not take now. */
static double
wait_throttled(struct http *h, struct item *it)
{
	double d = http_retry_after(&it->reply);

	if (d < 0) {
		d = back_off(h->delay >= 0 ? h->delay : 10, 60, it->throttles);
		d = d / 2 + d / 2 * chance();
	}
	it->throttles++;
	return d;
}

static double
wait_failed(struct http *h, struct item *it)
{
	double asked = it->reply.status ? http_retry_after(&it->reply) : -1;
	double d = back_off(h->delay >= 0 ? h->delay : 0.5, 30, it->failures++);

	return asked >= 0 ? asked : d * chance();
}

/* Gives the slot back and tells the caller. */
static void
finish(struct http *h, struct item *it)
{
	http_done *done = it->r.done;
	struct http_reply reply = it->reply;
	void *ctx = it->r.ctx;

	if (!it->urgent)
		h->active--;
	reply.ambiguous =
	    it->doubt && (reply.status < 200 || reply.status > 299);
	free(it->r.url);
	buf_wipe(&it->r.body);
	for (size_t i = 0; i < 6 && it->r.headers[i]; i++)
		free(it->r.headers[i]);
	free(it->r.audit_id);
	free(it);
	h->in_callback++;
	if (done)
		done(&reply, ctx);
	h->in_callback--;
	http_reply_free(&reply);
	while (h->active < jobs && (it = TAILQ_FIRST(&h->queued))) {
		TAILQ_REMOVE(&h->queued, it, link);
		h->active++;
		postpone(h, it, it->r.delay, false);
	}
}

/* After some seconds of retrying a person wants to know why nothing comes. */
static void
grumble(struct http *h, const struct item *it, double wait)
{
	const struct http_reply *r = &it->reply;
	struct span host = host_of(it->r.url);
	char why[1100];

	if (r->status)
		(void)snprintf(why, sizeof why, "HTTP %d", r->status);
	else
		(void)snprintf(why, sizeof why, "%s", r->err.text);
	trace("again in %.2f s: %s", wait, why);
	if (h->grumbled || r->status == 429 ||
	    monotonic() + wait - it->first < 3)
		return;
	h->grumbled = true;
	note("'%.*s': %s; trying again for up to %.0f s", (int)host.len,
	    host.at, why, h->max_time);
}

static const char *
reason(CURLcode c)
{
	if (c == CURLE_UNSUPPORTED_PROTOCOL) /* a status line that is none */
		return "the answer is no HTTP";
	if (c == CURLE_ABORTED_BY_CALLBACK) /* before_send() */
		c = CURLE_GOT_NOTHING;
	return curl_easy_strerror(c);
}

/* What the attempt came to: reply.status, reply.err; true: sure that nothing
 * was applied, or that asking again is no risk of libcurl's making. */
static void
read_answer(struct http *h, struct item *it, bool *sure, bool *hope)
{
	struct http_reply *r = &it->reply;
	struct span host = host_of(it->r.url);
	char name[256];
	const char *half = NULL;
	long status = 0;

	span_copy(host, name, sizeof name);
	*sure = *hope = true;
	if (it->result == CURLE_OK) {
		(void)curl_easy_getinfo(
		    it->easy, CURLINFO_RESPONSE_CODE, &status);
		half = half_an_answer(it, status);
	}
	if (it->result == CURLE_OK && !half) {
		r->status = (int)status;
		*sure = status < 500 && status != 408;
		return;
	}
	r->status = 0;
	*sure = !half && never_sent(it);
	if (half)
		err_set(&r->err, REMOTE_RETRY, name, "%s", half);
	else if (hopeless(it->result, &r->err, name, h->ca))
		*hope = false;
	else if (it->result == CURLE_OPERATION_TIMEDOUT)
		err_set(&r->err, REMOTE_RETRY, name, "no answer within %.0f s",
		    ceil(it->limit));
	else
		err_set(&r->err, REMOTE_RETRY, name, "%s", reason(it->result));
	if (it->result == CURLE_COULDNT_RESOLVE_HOST &&
	    it->failures + 1 >= DNS_TRIES)
		*hope = false;
}

/* The one that is like this, or NULL. */
static struct welcome *
find_welcome(struct http *h, const struct item *it)
{
	struct span room = room_of(it->r.url);

	for (size_t i = 0; i < WELCOMES && i < h->welcomes; i++) {
		struct welcome *w = &h->welcome[i];

		if (w->auth == it->r.auth && !strcmp(w->method, it->r.method) &&
		    !strncmp(w->room, room.at, room.len) && !w->room[room.len])
			return w;
	}
	return NULL;
}

static void
note_welcome(struct http *h, const struct item *it)
{
	struct welcome *w = find_welcome(h, it);
	struct span room = room_of(it->r.url);

	if (!w) {
		w = &h->welcome[h->welcomes++ % WELCOMES];
		*w = (struct welcome){ .auth = it->r.auth,
			.method = it->r.method };
		memcpy(w->room, room.at, room.len);
	}
	w->at = it->sent;
}

/* A 401, though the token was new. */
static bool
is_unheard(struct http *h, struct item *it)
{
	const struct welcome *w = find_welcome(h, it);

	return it->r.odd_401 && w && monotonic() - w->at < WELCOME_SECONDS &&
	       it->unheard++ < UNHEARD_MOST;
}

/* Is it to be sent again?  *wait: after how many seconds. */
static bool
again(struct http *h, struct item *it, bool sure, double *wait)
{
	const struct http_reply *r = &it->reply;
	int s = r->status;

	*wait = 0;
	/* It was not heard at all. */
	if (s == 401 && it->r.authorize && !it->refused && http_left(h) > 0)
		return it->refused = true;
	if (it->r.no_retry)
		return false;
	if (s == 429)
		*wait = wait_throttled(h, it);
	else if (s == 401 && it->refused && is_unheard(h, it))
		*wait = wait_failed(h, it);
	else if (s == 409 && it->r.retry_conflict && r->body.at &&
		 memmem(r->body.at, r->body.len, "409002", 6))
		*wait = wait_failed(h, it);
	else if (s == 0 || s == 408 || s == 500 || s == 502 || s == 503 ||
		 s == 504) {
		if (!sure && it->r.repeat != HTTP_REPEAT)
			return false;
		*wait = wait_failed(h, it);
	} else
		return false;
	return !given_up(h, it, *wait) && *wait < http_left(h);
}

/* The pace learns what became of its call; who waits for it may go now. */
static void
tell_pace(struct http *h, struct item *it, double wait)
{
	struct pace *p = it->r.pace;
	int s = it->reply.status;
	curl_off_t before = 0, all = 0;
	struct item *other;

	if (!it->paid)
		return;
	it->paid = false;
	if (it->easy) {
		(void)curl_easy_getinfo(
		    it->easy, CURLINFO_PRETRANSFER_TIME_T, &before);
		(void)curl_easy_getinfo(it->easy, CURLINFO_TOTAL_TIME_T, &all);
	}
	pace_answered(p, it->r.cost,
	    s == 429              ? PACE_REFUSED
	    : s >= 200 && s < 429 ? PACE_PASSED
				  : PACE_LOST,
	    it->paced_at, (double)(all - before) / 1e6, wait,
	    s == 429 && http_retry_after(&it->reply) >= 0);
	TAILQ_FOREACH(other, &h->waiting, link)
	if (other->paced && other->r.pace == p)
		other->due = 0;
}

static void
judge(struct http *h, struct item *it)
{
	struct http_reply *r = &it->reply;
	bool sure, hope, more;
	double wait = 0;

	if (it->dead) {
		tell_pace(h, it, 0);
		finish(h, it);
		return;
	}
	read_answer(h, it, &sure, &hope);
	more = hope && again(h, it, sure, &wait);
	tell_pace(h, it, wait);
	put_easy(h, it->easy);
	it->easy = NULL;
	drop_head(it);
	if (!sure)
		it->doubt = true;
	if (it->r.odd_401 && r->status >= 200 && r->status <= 299)
		note_welcome(h, it);
	if (r->status)
		trace("< %d in %.0f ms: %s %.*s", r->status,
		    (monotonic() - it->sent) * 1000, it->r.method,
		    (int)strcspn(it->r.url, "?"), it->r.url);
	if (it->r.audit && h->audit >= 0)
		write_audit(h, it);
	if (!more && r->status == 429 && !it->r.no_retry) {
		give_up(h, it);
		return;
	}
	if (!more) {
		finish(h, it);
		return;
	}
	if (r->status != 401)
		grumble(h, it, wait);
	postpone(h, it, wait, r->status == 429);
}

/* Judges all that has ended; within an authorize hook only what that hook has
 * sent, since the callbacks of the others may come here again. */
static bool
judge_ended(struct http *h)
{
	struct item *it;
	bool any = false;

	for (;;) {
		TAILQ_FOREACH(it, &h->ended, link)
		if (!h->authorizing || it->urgent)
			break;
		if (!it)
			return any;
		TAILQ_REMOVE(&h->ended, it, link);
		judge(h, it);
		any = true;
	}
}

/* Seconds until the first that waits is due, at most max. */
static double
next_due(const struct http *h, double max, bool *throttled)
{
	const struct item *it;
	double t = monotonic(), wait = max;

	*throttled = false;
	TAILQ_FOREACH(it, &h->waiting, link)
	{
		if (h->authorizing && !it->urgent)
			continue;
		wait = fmin(wait, fmax(0, it->due - t));
		*throttled |= it->throttled;
	}
	return wait;
}

/* One turn of the loop, of at most max seconds. */
static void
turn(struct http *h, double max)
{
	bool throttled;
	double wait, before;

	start_due(h);
	perform(h);
	if (judge_ended(h) || max <= 0)
		return;
	wait = next_due(h, max, &throttled);
	if (wait <= 0)
		return;
	before = monotonic();
	(void)curl_multi_poll(h->multi, NULL, 0, (int)(wait * 1000) + 1, NULL);
	if (throttled && h->running == 0)
		progress_throttled(monotonic() - before);
}

void
http_send(struct http *h, struct http_request *r)
{
	struct item *it = xcalloc(1, sizeof *it);
	bool urgent = h->authorizing > 0;

	it->r = *r;
	*r = (struct http_request){ 0 };
	it->urgent = urgent;
	if (!h->in_callback && !urgent)
		while (h->active >= jobs)
			turn(h, 1);
	if (!urgent && h->active >= jobs) {
		TAILQ_INSERT_TAIL(&h->queued, it, link);
		return;
	}
	if (!urgent)
		h->active++;
	if (it->r.delay > 0)
		postpone(h, it, it->r.delay, false);
	else
		try_start(h, it); /* may end it: it is gone then */
	if (!h->in_callback && !urgent)
		turn(h, 0);
}

static long
unanswered(const struct http *h)
{
	const struct item *it;
	long n = h->active;

	TAILQ_FOREACH(it, &h->queued, link)
	n++;
	return n;
}

void
http_wait(struct http *h, long n)
{
	while (unanswered(h) >= n && unanswered(h) > 0)
		turn(h, 1);
}

void
http_drain(struct http *h)
{
	http_wait(h, 1);
}

struct one {
	struct http_reply *into;
	bool done;
};

static void
keep_one(struct http_reply *reply, void *ctx)
{
	struct one *one = ctx;

	*one->into = *reply;
	reply->body = reply->head = (struct buf)BUF_INIT;
	one->done = true;
}

void
http_one(struct http *h, struct http_request *r, struct http_reply *into)
{
	struct one one = { into, false };

	r->done = keep_one;
	r->ctx = &one;
	http_send(h, r);
	while (!one.done)
		turn(h, 1);
}

void
http_reply_free(struct http_reply *r)
{
	buf_wipe(&r->body);
	buf_free(&r->head);
}

void
http_sleep(struct http *h, double s)
{
	double end = monotonic() + s, left = s;

	while (left > 0) {
		turn(h, left);
		left = end - monotonic();
	}
}

void
http_close(struct http *h)
{
	http_drain(h);
	for (size_t i = 0; i < h->idle_count; i++)
		curl_easy_cleanup(h->idle[i]);
	free(h->idle);
	(void)curl_multi_cleanup(h->multi);
	curl_slist_free_all(h->connect_to);
	if (h->audit >= 0 && close(h->audit) != 0)
		die(LOCAL_FAILURE, audit_path, "write failed: %s",
		    strerror(errno));
	free(h);
	curl_global_cleanup();
}
