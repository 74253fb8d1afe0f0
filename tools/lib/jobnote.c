/* jobnote.c: what a run leaves for the next one; see jobroom.h. */
#include "jobroom.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "json.h"

enum {
	ALIVE_SECONDS = 600, /* of a run on another machine */
	BEAT_SECONDS = 120,
};

void
jobnote_free(struct jobnote *n)
{
	free(n->hub);
	free(n->kind);
	free(n->mark);
	free(n->run);
	free(n->id);
	free(n->node);
	free(n->start);
	free(n->etag);
	*n = (struct jobnote){ 0 };
}

/* When a process began, in ticks since the machine did: with its number this
 * tells it from another that got the same one later. */
static char *
start_of(long pid)
{
	char path[48], text[1024], *p;
	FILE *f;
	size_t n;

	(void)snprintf(path, sizeof path, "/proc/%ld/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return NULL;
	n = fread(text, 1, sizeof text - 1, f);
	(void)fclose(f);
	text[n] = '\0';
	p = strrchr(text, ')');
	/* Killed, but its parent does not ask. */
	if (p && p[1] == ' ' && strchr("ZX", p[2]))
		return NULL;
	for (int i = 0; p && i < 20; i++)
		p = strchr(p + 1, ' ');
	return p ? xstrndup(p + 1, strcspn(p + 1, " ")) : NULL;
}

static void
own_node(char node[256])
{
	if (gethostname(node, 255) != 0)
		(void)snprintf(node, 256, "unknown");
	node[255] = '\0';
}

/* etag: only over that version; NULL: whatever there is. */
int
jobnote_put(struct job *j, const char *etag, struct err *e)
{
	struct buf b = BUF_INIT;
	char node[256], *start = start_of((long)getpid());
	int rc;

	own_node(node);
	buf_char(&b, '{');
	job_add(&b, "program", "hubpipe");
	job_add(&b, "hub", hub_host(j->hub));
	job_add(&b, "kind", job_kinds[j->kind]);
	job_add(&b, "mark", j->mark);
	job_add(&b, "run", j->run);
	job_add(&b, "job", j->id);
	job_add(&b, "node", node);
	job_add(&b, "start", start ? start : "");
	buf_printf(&b,
	    ",\"round\":%ld,\"begun\":%ld,\"pid\":%ld,\"beat\":%ld,"
	    "\"made\":%s}\n",
	    j->round, j->begun, (long)getpid(), (long)time(NULL),
	    j->made ? "true" : "false");
	rc = blob_put_over(
	    j->storage, j->container, j->note, etag, buf_peek(&b), e);
	j->beaten = time(NULL);
	free(start);
	buf_free(&b);
	return rc;
}

void
job_beat(struct job *j)
{
	struct err e;

	if (time(NULL) < j->beaten + BEAT_SECONDS)
		return;
	if (jobnote_put(j, NULL, &e) != 0)
		trace("note of %s: %s", j->container, e.text);
}

static bool
is_true(struct span object, const char *name)
{
	const char *const path[] = { name, NULL };
	struct span value;

	return json_get(object, path, &value, NULL) == 1 && value.len == 4 &&
	       *value.at == 't';
}

/* 1, 0: there is none, -1. */
int
jobnote_read(
    struct job *j, const char *container, struct jobnote *n, struct err *e)
{
	struct buf text = BUF_INIT;
	char *etag = NULL;
	struct span s;
	struct json scanned = { 0 };
	struct json_fault fault;
	int rc;

	*n = (struct jobnote){ 0 };
	rc = blob_get_tagged(j->storage, container, j->note, &text, &etag, e);
	if (rc != 0)
		return e->status == ANSWER_NO ? 0 : -1;
	s = buf_peek(&text);
	rc = json_scan(s, &scanned, &fault);
	json_free(&scanned);
	if (rc == 0) {
		*n = (struct jobnote){ job_text(s, "hub"), job_text(s, "kind"),
			job_text(s, "mark"), job_text(s, "run"),
			job_text(s, "job"), job_text(s, "node"),
			job_text(s, "start"), etag, job_number(s, "round"),
			job_number(s, "begun"), job_number(s, "pid"),
			job_number(s, "beat"), is_true(s, "made") };
		rc = n->hub && n->kind && n->mark && n->run && n->id &&
		     n->node && n->start && strlen(n->run) == 16 &&
		     strcasecmp(n->hub, hub_host(j->hub)) == 0 &&
		     strcmp(n->kind, job_kinds[j->kind]) == 0;
	}
	if (!n->etag)
		free(etag);
	if (rc != 1)
		jobnote_free(n);
	buf_free(&text);
	return rc == 1;
}

/* Is who wrote it still at work? */
bool
jobnote_is_alive(const struct jobnote *n)
{
	char node[256], *start;
	bool alive;

	own_node(node);
	if (!n->node || strcmp(node, n->node) != 0)
		return n->beat + ALIVE_SECONDS > (long)time(NULL);
	start = start_of(n->pid);
	alive =
	    start && strcmp(start, n->start) == 0 && n->pid != (long)getpid();
	free(start);
	return alive;
}

bool
jobnote_is_mine(const struct jobnote *n)
{
	char node[256], *start = start_of((long)getpid());
	bool mine;

	own_node(node);
	mine = n->pid == (long)getpid() && start && n->start && n->node &&
	       strcmp(start, n->start) == 0 && strcmp(node, n->node) == 0;
	free(start);
	return mine;
}

/* "PID-START-NODE", for a container that has no note yet. */
char *
jobnote_owner(void)
{
	char node[256], *start = start_of((long)getpid()), *name;

	own_node(node);
	name = xasprintf("%ld-%s-%s", (long)getpid(), start ? start : "", node);
	free(start);
	return name;
}

/* Did somebody on this machine make it who is gone? */
bool
jobnote_is_orphan(const char *owner)
{
	struct jobnote n = { .beat = (long)time(NULL) };
	char *copy = xstrdup(owner), *start, *node = NULL;
	bool dead = false;

	start = strchr(copy, '-');
	if (start)
		node = strchr(start + 1, '-');
	if (node) {
		*start++ = *node++ = '\0';
		n.pid = strtol(copy, NULL, 10);
		n.start = start;
		n.node = node;
		dead = !jobnote_is_alive(&n);
	}
	free(copy);
	return dead;
}
