/* ledger.c: a spool and its index; see ledger.h. */
#include "ledger.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "out.h"

enum { WRITE_AT = 1 << 18 };

struct ledger *
ledger_open(struct err *e)
{
	struct ledger *l;
	int fd = out_spool(e);

	if (fd < 0)
		return NULL;
	l = xcalloc(1, sizeof *l);
	l->fd = fd;
	return l;
}

static void
flush(struct ledger *l)
{
	const char *at = l->pending.at;
	size_t left = l->pending.len;

	while (left) {
		ssize_t n = write(l->fd, at, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			die(LOCAL_FAILURE, "temporary file",
			    "write failed: %s (TMPDIR names another place)",
			    strerror(errno));
		at += n;
		left -= (size_t)n;
	}
	buf_clear(&l->pending);
}

static void
spool(struct ledger *l, struct span raw)
{
	buf_span(&l->pending, raw);
	l->end += raw.len;
	if (l->pending.len >= WRITE_AT)
		flush(l);
}

uint32_t
ledger_add(struct ledger *l, const struct line *line)
{
	if (l->count == l->cap) {
		if (l->cap >= LEDGER_NONE / 4)
			die(BAD_DATA, NULL, "too many records");
		/* Room that is not needed would count: a quarter more. */
		l->cap = l->cap ? l->cap + l->cap / 4 : 1024;
		l->entry = xrealloc(l->entry, l->cap * sizeof *l->entry);
	}
	l->entry[l->count] = (struct ledger_entry){
		.offset = l->end,
		.length = (uint32_t)line->raw.len,
		.line = (uint32_t)line->number,
		.device = LEDGER_NONE,
		.parent = LEDGER_NONE,
	};
	spool(l, line->raw);
	return l->count++;
}

void
ledger_more(struct ledger *l, struct span raw)
{
	struct ledger_entry *e = &l->entry[l->count - 1];

	if (raw.len > UINT32_MAX - e->length)
		die(BAD_DATA, NULL, "line %u is longer than 4 GB", e->line);
	e->length += (uint32_t)raw.len;
	spool(l, raw);
}

void
ledger_key(const char *id, const char *module, uint64_t key[2])
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	char text[300];
	/* Ids have at most 128 bytes; '\n' is in none of them. */
	int n = snprintf(text, sizeof text, "%s%s%s", id, module ? "\n" : "",
	    module ? module : "");

	if (n < 0 || (size_t)n >= sizeof text)
		bug("an id of %d bytes", n);
	if (EVP_Digest(text, (size_t)n, sum, NULL, EVP_sha256(), NULL) != 1)
		die(LOCAL_FAILURE, NULL, "SHA-256 failed");
	memcpy(key, sum, 16);
	key[0] |= 1; /* 0 is for lines that are no record */
}

static bool
same(const uint64_t a[2], const uint64_t b[2])
{
	return a[0] == b[0] && a[1] == b[1];
}

/* The slot where that key is, or would be. */
static uint32_t *
probe(const struct ledger *l, const uint64_t key[2])
{
	uint32_t i = (uint32_t)(key[1] % l->slots);

	while (l->slot[i] && !same(l->entry[l->slot[i] - 1].key, key))
		i = i + 1 == l->slots ? 0 : i + 1;
	return &l->slot[i];
}

static void
grow(struct ledger *l)
{
	l->slots = l->slots ? l->slots * 2 : 4096;
	free(l->slot);
	l->slot = xcalloc(l->slots, sizeof *l->slot);
	for (uint32_t i = 0; i < l->count; i++)
		if (l->entry[i].key[0])
			*probe(l, l->entry[i].key) = i + 1;
}

uint32_t
ledger_name(
    struct ledger *l, uint32_t index, const char *id, const char *module)
{
	uint64_t key[2];
	uint32_t *slot;

	if (l->slots < l->count + l->count / 2 + 1)
		grow(l);
	ledger_key(id, module, key);
	slot = probe(l, key);
	if (*slot)
		return *slot - 1;
	memcpy(l->entry[index].key, key, sizeof key);
	*slot = index + 1;
	return LEDGER_NONE;
}

uint32_t
ledger_find(const struct ledger *l, const char *id, const char *module)
{
	uint64_t key[2];

	if (!l->slots)
		return LEDGER_NONE;
	ledger_key(id, module, key);
	return *probe(l, key) - 1; /* 0 - 1 is NONE */
}

void
ledger_raw(struct ledger *l, uint32_t index, struct buf *into)
{
	const struct ledger_entry *e = &l->entry[index];

	if (l->pending.len)
		flush(l);
	buf_clear(into);
	buf_reserve(into, e->length + 1);
	while (into->len < e->length) {
		ssize_t n = pread(l->fd, into->at + into->len,
		    e->length - into->len, (off_t)(e->offset + into->len));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			die(LOCAL_FAILURE, "temporary file", "read failed: %s",
			    n < 0 ? strerror(errno) : "it became shorter");
		into->len += (size_t)n;
	}
	if (into->at)
		into->at[into->len] = '\0';
}

void
ledger_text(struct ledger *l, uint32_t index, struct buf *into)
{
	ledger_raw(l, index, into);
	if (l->entry[index].offset == 0 && into->len >= 3 &&
	    memcmp(into->at, "\xef\xbb\xbf", 3) == 0) {
		memmove(into->at, into->at + 3, into->len - 3);
		into->len -= 3;
	}
	while (into->len && (into->at[into->len - 1] == '\n' ||
				into->at[into->len - 1] == '\r'))
		into->at[--into->len] = '\0';
}

void
ledger_close(struct ledger *l)
{
	(void)close(l->fd);
	free(l->entry);
	free(l->slot);
	buf_wipe(&l->pending);
	free(l);
}
