/* idset.c: a set of registry ids; see idset.h. */
#include "idset.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lines.h"
#include "record.h"

__extension__ typedef unsigned __int128 uint128;

/* FNV-1a of 128 bits.  No id holds the '/' that stands before the module. */
static struct idset_slot
hash_of(const char *id, const char *module)
{
	const uint128 prime = ((uint128)1 << 88) + 0x13b;
	uint128 h = (uint128)0x6c62272e07bb0142 << 64 | 0x62b821756295c58d;
	struct idset_slot s = { .value = 0 };

	for (; *id; id++)
		h = (h ^ (unsigned char)*id) * prime;
	if (module)
		h = (h ^ '/') * prime;
	for (; module && *module; module++)
		h = (h ^ (unsigned char)*module) * prime;
	s.hash[0] = (uint64_t)(h >> 64);
	s.hash[1] = (uint64_t)h | 1; /* never both 0 */
	return s;
}

static struct idset_slot *
slot_of(const struct idset *s, const uint64_t hash[2])
{
	size_t i = (size_t)(hash[0] ^ hash[1] >> 1) & (s->size - 1);

	while (s->slot[i].hash[1] &&
	       memcmp(s->slot[i].hash, hash, sizeof s->slot[i].hash) != 0)
		i = (i + 1) & (s->size - 1);
	return &s->slot[i];
}

uint64_t *
idset_find(const struct idset *s, const char *id, const char *module)
{
	struct idset_slot key = hash_of(id, module), *at;

	if (!s->size)
		return NULL;
	at = slot_of(s, key.hash);
	return at->hash[1] ? &at->value : NULL;
}

/* Zeroed.  A large one in large pages, where the system has them: each look is
 * at another page. */
static struct idset_slot *
new_slots(size_t size)
{
	enum { LARGE = 2 * 1024 * 1024 };
	size_t bytes = size * sizeof(struct idset_slot);
	void *slot;

	if (bytes < LARGE || bytes % LARGE)
		return xcalloc(size, sizeof(struct idset_slot));
	slot = aligned_alloc(LARGE, bytes);
	if (!slot)
		die(LOCAL_FAILURE, NULL, "out of memory");
	(void)madvise(slot, bytes, MADV_HUGEPAGE);
	memset(slot, 0, bytes);
	return slot;
}

static void
grow(struct idset *s)
{
	struct idset old = *s;

	s->size = old.size ? 2 * old.size : 256;
	s->slot = new_slots(s->size);
	for (size_t i = 0; i < old.size; i++)
		if (old.slot[i].hash[1])
			*slot_of(s, old.slot[i].hash) = old.slot[i];
	free(old.slot);
}

uint64_t *
idset_add(struct idset *s, const char *id, const char *module, bool *added)
{
	struct idset_slot key = hash_of(id, module), *at;

	if (4 * s->count >= 3 * s->size)
		grow(s);
	at = slot_of(s, key.hash);
	*added = !at->hash[1];
	if (*added) {
		*at = key;
		s->count++;
	}
	return &at->value;
}

/* A record or outcome, whose ids count, or id, or id/module. */
static int
read_line(struct span line, idset_met *met, void *ctx, struct err *e)
{
	struct record rec = { .id = NULL };
	char *id, *slash;
	int rc = 0;

	if (span_is_blank(line))
		return 0;
	if (*line.at == '{') {
		rc = record_read(line, &rec, e);
		if (rc == 0)
			met(ctx, rec.id, rec.module);
		record_free(&rec);
		return rc;
	}
	id = span_dup(line);
	slash = strchr(id, '/');
	if (slash)
		*slash++ = '\0';
	met(ctx, id, slash);
	free(id);
	return 0;
}

int
idset_each(const char *path, idset_met *met, void *ctx, struct err *e)
{
	struct lines *l = lines_open_file(path, e);
	enum lines_got got = LINES_FAILED;
	struct line line;
	struct err why;

	if (!l)
		return -1;
	while ((got = lines_next(l, &line, e)) == LINES_LINE)
		if (read_line(line.text, met, ctx, &why)) {
			lines_close(l);
			return err_set(e, BAD_DATA, path, "line %ld: %s",
			    line.number, why.text);
		}
	lines_close(l);
	if (got == LINES_FAILED)
		return -1;
	return got == LINES_END
		   ? 0
		   : err_set(e, BAD_DATA, path, "line %ld is longer than 4 MiB",
			 line.number);
}

static void
add(void *ctx, const char *id, const char *module)
{
	bool added;

	(void)idset_add(ctx, id, module, &added);
}

int
idset_read(struct idset *s, const char *path, struct err *e)
{
	if (idset_each(path, add, s, e))
		return -1;
	return s->count ? 0 : err_set(e, BAD_DATA, path, "holds no ids");
}

bool
idset_lists(const struct idset *s, const char *id, const char *module)
{
	uint64_t *met = idset_find(s, id, NULL);

	if (!met && module)
		met = idset_find(s, id, module);
	if (met)
		*met = 1;
	return met != NULL;
}

size_t
idset_unmet(const struct idset *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->size; i++)
		n += s->slot[i].hash[1] && !s->slot[i].value;
	return n;
}

void
idset_free(struct idset *s)
{
	free(s->slot);
	*s = (struct idset){ .size = 0 };
}
