/* ledger.c: a spool and its index; see ledger.h. */
#include "ledger.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	WRITE_AT = 1 << 16,
	READ_AHEAD = 1 << 17,
	PER_PAGE = 128, /* entries */
	KEY_BYTES = 16,
	IN_MEMORY = 64, /* pages: far more than hands out pointers at a time */
	ABSENT = IN_MEMORY,
	FIRST_SLOTS = 1 << 18, /* memory is taken where one is filled */
};

/* Those in memory are a ring by age, so that the oldest makes room. */
struct ledger_page {
	struct ledger_entry entry[PER_PAGE];
	uint32_t number; /* NONE: empty */
	uint16_t newer, older;
	bool dirty;
};

struct ledger *
ledger_open(struct err *e)
{
	struct ledger *l;
	int fd = out_spool(e), index = fd < 0 ? -1 : out_spool(e);

	if (index < 0) {
		if (fd >= 0)
			(void)close(fd);
		return NULL;
	}
	l = xcalloc(1, sizeof *l);
	l->fd = fd;
	l->index = index;
	l->page = xcalloc(IN_MEMORY, sizeof *l->page);
	for (unsigned i = 0; i < IN_MEMORY; i++) {
		l->page[i].number = LEDGER_NONE;
		l->page[i].older = (uint16_t)((i + 1) % IN_MEMORY);
		l->page[i].newer = (uint16_t)((i + IN_MEMORY - 1) % IN_MEMORY);
	}
	return l;
}

/* -- files ---------------------------------------------------------------- */

static void
write_at(int fd, const void *data, size_t len, uint64_t offset)
{
	const char *at = data;

	while (len) {
		ssize_t n = pwrite(fd, at, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			die(LOCAL_FAILURE, "temporary file",
			    "write failed: %s (TMPDIR names another place)",
			    strerror(errno));
		at += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
}

/* All of it, or -1; errno 0: it is shorter. */
static int
read_whole(int fd, void *data, size_t len, uint64_t offset)
{
	char *at = data;

	while (len) {
		ssize_t n = pread(fd, at, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			errno = 0;
		if (n <= 0)
			return -1;
		at += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

static void
read_at(int fd, void *data, size_t len, uint64_t offset)
{
	if (read_whole(fd, data, len, offset))
		die(LOCAL_FAILURE, "temporary file", "read failed: %s",
		    errno ? strerror(errno) : "it became shorter");
}

static struct timespec
written(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? (struct timespec){ 0 } : st.st_mtim;
}

void
ledger_borrow(struct ledger *l, int fd)
{
	(void)close(l->fd);
	l->fd = fd;
	l->borrowed = true;
	l->written = written(fd);
}

int
ledger_changed(const struct ledger *l, struct err *e)
{
	if (!l->changed)
		return 0;
	if (l->unread)
		return err_set(e, LOCAL_FAILURE, "stdin", "read failed: %s",
		    strerror(l->unread));
	return err_set(e, BAD_DATA, "stdin",
	    "the file was written to while it was loaded (load it again: what "
	    "is done is not done twice)");
}

static bool
is_as_it_was(struct ledger *l)
{
	struct timespec t = written(l->fd);

	l->changed |=
	    t.tv_sec != l->written.tv_sec || t.tv_nsec != l->written.tv_nsec;
	return !l->changed;
}

/* Of the lines.  A file that was cut has no more to read: so it is asked
 * before, too.  false: ledger_changed(). */
static bool
read_lines(struct ledger *l, void *data, size_t len, uint64_t offset)
{
	if (!l->borrowed) {
		read_at(l->fd, data, len, offset);
		return true;
	}
	if (!l->changed && is_as_it_was(l) &&
	    read_whole(l->fd, data, len, offset)) {
		l->changed = true;
		l->unread = errno;
	}
	return !l->changed && is_as_it_was(l);
}

static void
flush(struct ledger *l)
{
	if (!l->pending.len)
		return;
	write_at(l->fd, l->pending.at, l->pending.len, l->end - l->pending.len);
	buf_clear(&l->pending);
}

static void
spool(struct ledger *l, struct span raw)
{
	l->end += raw.len;
	if (l->borrowed)
		return;
	buf_span(&l->pending, raw);
	if (l->pending.len >= WRITE_AT)
		flush(l);
}

/* -- the index ------------------------------------------------------------ */

static uint64_t
page_offset(uint32_t number)
{
	return (uint64_t)number * sizeof(((struct ledger_page *)0)->entry);
}

/* The page, which is not the latest, becomes so. */
static struct ledger_page *
promote(struct ledger *l, uint16_t i)
{
	struct ledger_page *p = &l->page[i], *first = &l->page[l->first];

	l->page[p->newer].older = p->older;
	l->page[p->older].newer = p->newer;
	p->older = l->first;
	p->newer = first->newer;
	l->page[first->newer].older = i;
	first->newer = i;
	l->first = i;
	return p;
}

/* Brings it into memory; fresh: it is not in the file yet. */
static struct ledger_page *
load_page(struct ledger *l, uint32_t number, bool fresh)
{
	uint16_t i = l->page[l->first].newer; /* the oldest */
	struct ledger_page *p = promote(l, i);

	if (p->number != LEDGER_NONE) {
		if (p->dirty)
			write_at(l->index, p->entry, sizeof p->entry,
			    page_offset(p->number));
		l->where[p->number] = ABSENT;
	}
	p->number = number;
	p->dirty = false;
	if (fresh)
		memset(p->entry, 0, sizeof p->entry);
	else
		read_at(
		    l->index, p->entry, sizeof p->entry, page_offset(number));
	l->where[number] = i;
	return p;
}

static struct ledger_page *
page_of(struct ledger *l, uint32_t index)
{
	uint32_t number = index / PER_PAGE;
	uint16_t at;

	if (index >= l->count)
		bug("entry %u of %u", index, l->count);
	at = l->where[number];
	if (at == l->first)
		return &l->page[at]; /* nearly always */
	return at == ABSENT ? load_page(l, number, false) : promote(l, at);
}

const struct ledger_entry *
ledger_at(struct ledger *l, uint32_t index)
{
	return &page_of(l, index)->entry[index % PER_PAGE];
}

struct ledger_entry *
ledger_edit(struct ledger *l, uint32_t index)
{
	struct ledger_page *p = page_of(l, index);

	p->dirty = true;
	return &p->entry[index % PER_PAGE];
}

uint32_t
ledger_add(struct ledger *l, const struct line *line)
{
	uint32_t number = l->count / PER_PAGE;

	if (l->count >= LEDGER_NONE / 4)
		die(BAD_DATA, NULL, "too many records");
	if (l->count % PER_PAGE == 0) {
		if (number == l->pages) {
			l->pages = l->pages ? l->pages * 2 : 64;
			l->where =
			    xrealloc(l->where, l->pages * sizeof *l->where);
		}
		(void)load_page(l, number, true);
	}
	l->count++;
	if (l->borrowed)
		l->end = line->at;
	*ledger_edit(l, l->count - 1) = (struct ledger_entry){
		.offset = l->end,
		.length = (uint32_t)line->raw.len,
		.line = (uint32_t)line->number,
		.device = LEDGER_NONE,
		.parent = LEDGER_NONE,
	};
	spool(l, line->raw);
	return l->count - 1;
}

void
ledger_more(struct ledger *l, struct span raw)
{
	struct ledger_entry *e = ledger_edit(l, l->count - 1);

	if (raw.len > UINT32_MAX - e->length)
		die(BAD_DATA, NULL, "line %u is longer than 4 GB", e->line);
	e->length += (uint32_t)raw.len;
	spool(l, raw);
}

/* -- by id ---------------------------------------------------------------- */

static uint64_t
turned(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static void
stir(uint64_t v[4], int rounds)
{
	while (rounds--) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = turned(v[1], 13) ^ v[0];
		v[3] = turned(v[3], 16) ^ v[2];
		v[0] = turned(v[0], 32);
		v[2] += v[1];
		v[0] += v[3];
		v[1] = turned(v[1], 17) ^ v[2];
		v[3] = turned(v[3], 21) ^ v[0];
		v[2] = turned(v[2], 32);
	}
}

/* SipHash-2-4 of 128 bits, by its paper, with a key that is no secret: that two
 * ids meet is left to chance, and SHA-256 takes a hundred times as long. */
void
ledger_key(const char *id, const char *module, uint64_t key[2])
{
	uint64_t v[4] = { 0x736f6d6570736575, 0x646f72616e646f6d ^ 0xee,
		0x6c7967656e657261, 0x7465646279746573 };
	char text[304] = "";
	size_t len = strlen(id), more = module ? strlen(module) + 1 : 0;

	/* Ids have at most 128 bytes; '\n' is in none of them. */
	if (len + more >= sizeof text - 8)
		bug("an id of %zu bytes", len + more);
	memcpy(text, id, len + 1);
	if (module) {
		text[len] = '\n';
		memcpy(text + len + 1, module, more); /* and its end */
	}
	len += more;
	for (size_t at = 0; at <= len; at += 8) {
		uint64_t word;

		memcpy(&word, text + at, 8);
		if (len - at < 8)
			word |= (uint64_t)len << 56;
		v[3] ^= word;
		stir(v, 2);
		v[0] ^= word;
	}
	v[2] ^= 0xee;
	stir(v, 4);
	key[0] = (v[0] ^ v[1] ^ v[2] ^ v[3]) | 1; /* 0: a line, no record */
	v[1] ^= 0xdd;
	stir(v, 4);
	key[1] = v[0] ^ v[1] ^ v[2] ^ v[3];
}

static bool
same(const uint64_t a[2], const uint64_t b[2])
{
	return a[0] == b[0] && a[1] == b[1];
}

/* Not by way of a page: one look at another's entry must push nothing out. */
static void
key_of(struct ledger *l, uint32_t index, uint64_t key[2])
{
	uint16_t at = l->where[index / PER_PAGE];

	if (at == ABSENT)
		read_at(l->index, key, KEY_BYTES,
		    page_offset(index / PER_PAGE) +
			index % PER_PAGE * sizeof(struct ledger_entry));
	else
		memcpy(key, l->page[at].entry[index % PER_PAGE].key, KEY_BYTES);
}

/*
 * There are always fewer entries than slots, a power of two.  So of the 32
 * bits of a slot those of slots - 1 hold the entry's number + 1, 0 if empty,
 * and the others a piece of its key, that few others need to be looked at.
 */
static uint32_t
tag_of(const struct ledger *l, const uint64_t key[2])
{
	return (uint32_t)(key[0] >> 32) & ~(l->slots - 1);
}

/* The slot where that key is, or would be; *index: who is there, or NONE. */
static uint32_t *
probe(struct ledger *l, const uint64_t key[2], uint32_t *index)
{
	uint32_t mask = l->slots - 1, tag = tag_of(l, key);
	uint32_t i = (uint32_t)key[1] & mask;
	uint64_t there[2];

	for (; l->slot[i]; i = (i + 1) & mask) {
		if ((l->slot[i] & ~mask) != tag)
			continue;
		*index = (l->slot[i] & mask) - 1;
		key_of(l, *index, there);
		if (same(there, key))
			return &l->slot[i];
	}
	*index = LEDGER_NONE;
	return &l->slot[i];
}

/* No two are the same, so nobody's key is looked at but one's own. */
static void
grow(struct ledger *l)
{
	uint32_t mask, i;

	l->slots = l->slots ? l->slots * 2 : FIRST_SLOTS;
	while (l->slots < l->count + l->count / 2 + 1)
		l->slots *= 2;
	mask = l->slots - 1;
	free(l->slot);
	l->slot = xcalloc(l->slots, sizeof *l->slot);
	for (uint32_t n = 0; n < l->count; n++) {
		const struct ledger_entry *e = ledger_at(l, n);

		if (!e->key[0])
			continue;
		for (i = (uint32_t)e->key[1] & mask; l->slot[i];)
			i = (i + 1) & mask;
		l->slot[i] = tag_of(l, e->key) | (n + 1);
	}
}

uint32_t
ledger_name(
    struct ledger *l, uint32_t index, const char *id, const char *module)
{
	uint64_t key[2];
	uint32_t *slot, other;

	if (l->slots < l->count + l->count / 2 + 1)
		grow(l);
	ledger_key(id, module, key);
	slot = probe(l, key, &other);
	if (other != LEDGER_NONE)
		return other;
	memcpy(ledger_edit(l, index)->key, key, sizeof key);
	*slot = tag_of(l, key) | (index + 1);
	return LEDGER_NONE;
}

uint32_t
ledger_find(struct ledger *l, const char *id, const char *module)
{
	uint64_t key[2];
	uint32_t index;

	if (!l->slots)
		grow(l);
	ledger_key(id, module, key);
	(void)probe(l, key, &index);
	return index;
}

void
ledger_forget_ids(struct ledger *l)
{
	free(l->slot);
	l->slot = NULL;
	l->slots = 0;
}

/* -- the lines ------------------------------------------------------------ */

/* Who reads one after the other finds the next in memory. */
static struct span
raw(struct ledger *l, const struct ledger_entry *e)
{
	struct buf *w = &l->window;
	uint64_t end = e->offset + e->length, left = l->end - e->offset;
	size_t n = e->length;

	flush(l);
	if (e->offset < l->window_at || end > l->window_at + w->len) {
		if (e->offset >= l->after &&
		    e->offset - l->after < READ_AHEAD && n < READ_AHEAD)
			n = left < READ_AHEAD ? (size_t)left : READ_AHEAD;
		buf_clear(w);
		buf_reserve(w, n);
		if (!read_lines(l, w->at, n, e->offset))
			return (struct span){ "", 0 };
		w->len = n;
		l->window_at = e->offset;
	}
	l->after = end;
	return (struct span){ w->at + (e->offset - l->window_at), e->length };
}

struct span
ledger_peek(struct ledger *l, uint32_t index)
{
	const struct ledger_entry *e = ledger_at(l, index);
	struct span s = raw(l, e);

	if (e->line == 1 && s.len >= 3 &&
	    memcmp(s.at, "\xef\xbb\xbf", 3) == 0) {
		s.at += 3;
		s.len -= 3;
	}
	while (s.len && (s.at[s.len - 1] == '\n' || s.at[s.len - 1] == '\r'))
		s.len--;
	return s;
}

void
ledger_text(struct ledger *l, uint32_t index, struct buf *into)
{
	buf_clear(into);
	buf_span(into, ledger_peek(l, index));
}

int
ledger_copy(struct ledger *l, uint32_t index, struct out *out)
{
	const struct ledger_entry *e = ledger_at(l, index);
	char piece[16 * 1024];

	flush(l);
	for (uint32_t done = 0; done < e->length;) {
		size_t n = e->length - done;

		if (n > sizeof piece)
			n = sizeof piece;
		if (!read_lines(l, piece, n, e->offset + done))
			break;
		out_add(out, piece, n);
		done += (uint32_t)n;
	}
	OPENSSL_cleanse(piece, sizeof piece);
	return l->changed ? -1 : 0;
}

void
ledger_digest(struct ledger *l, char hex[65])
{
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	unsigned char sum[EVP_MAX_MD_SIZE], piece[16 * 1024];
	bool good =
	    digest && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1;

	flush(l);
	/* What is no record may stand between those of a file. */
	for (uint32_t i = 0; good && i < l->count;) {
		uint64_t at = ledger_at(l, i)->offset, end = at;

		while (i < l->count && ledger_at(l, i)->offset == end)
			end += ledger_at(l, i++)->length;
		for (size_t n; good && at < end; at += n) {
			n = end - at < sizeof piece ? (size_t)(end - at)
						    : sizeof piece;
			good = !read_lines(l, piece, n, at) ||
			       EVP_DigestUpdate(digest, piece, n) == 1;
		}
	}
	if (!good || EVP_DigestFinal_ex(digest, sum, NULL) != 1)
		die(LOCAL_FAILURE, NULL, "SHA-256 failed");
	EVP_MD_CTX_free(digest);
	OPENSSL_cleanse(piece, sizeof piece);
	for (int i = 0; i < 32; i++)
		(void)snprintf(hex + (size_t)2 * (size_t)i, 3, "%02x", sum[i]);
}

void
ledger_close(struct ledger *l)
{
	if (!l->borrowed)
		(void)close(l->fd);
	(void)close(l->index);
	free(l->page);
	free(l->where);
	free(l->slot);
	buf_wipe(&l->pending);
	buf_wipe(&l->window);
	free(l);
}
