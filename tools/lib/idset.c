/* idset.c: a set of registry ids; see idset.h. */
#include "idset.h"

#include <stdlib.h>
#include <string.h>

#include "lines.h"
#include "record.h"

__extension__ typedef unsigned __int128 uint128;

/* FNV-1a of 128 bits.  No id holds the '/' that stands before the module. */
static struct idset_entry
hash_of(const char *id, const char *module)
{
	const uint128 prime = ((uint128)1 << 88) + 0x13b;
	uint128 h = (uint128)0x6c62272e07bb0142 << 64 | 0x62b821756295c58d;
	struct idset_entry e = { .value = 0 };

	for (; *id; id++)
		h = (h ^ (unsigned char)*id) * prime;
	if (module)
		h = (h ^ '/') * prime;
	for (; module && *module; module++)
		h = (h ^ (unsigned char)*module) * prime;
	e.hash[0] = (uint64_t)(h >> 64);
	e.hash[1] = (uint64_t)h;
	return e;
}

static bool
is(const struct idset_entry *a, const struct idset_entry *b)
{
	return a->hash[0] == b->hash[0] && a->hash[1] == b->hash[1];
}

/*
 * There are always fewer entries than slots, a power of two.  So of the 32
 * bits of a slot those of slots - 1 hold the entry's number + 1, 0 if empty,
 * and the others a piece of its hash, that few others need to be looked at.
 */
static uint32_t
tag_of(const struct idset *s, const struct idset_entry *e)
{
	return (uint32_t)(e->hash[0] >> 32) & ~(s->slots - 1);
}

/* Where it is, or would be. */
static uint32_t *
slot_of(const struct idset *s, const struct idset_entry *e)
{
	uint32_t mask = s->slots - 1, tag = tag_of(s, e);
	uint32_t i = (uint32_t)(e->hash[0] ^ e->hash[1]) & mask;

	while (s->slot[i] && ((s->slot[i] & ~mask) != tag ||
				 !is(&s->entry[(s->slot[i] & mask) - 1], e)))
		i = (i + 1) & mask;
	return &s->slot[i];
}

uint64_t *
idset_find(const struct idset *s, const char *id, const char *module)
{
	struct idset_entry e = hash_of(id, module);
	uint32_t slot;

	if (!s->slots)
		return NULL;
	slot = *slot_of(s, &e);
	return slot ? &s->entry[(slot & (s->slots - 1)) - 1].value : NULL;
}

static void
grow(struct idset *s)
{
	s->slots = s->slots ? 2 * s->slots : 256;
	free(s->slot);
	s->slot = xcalloc(s->slots, sizeof *s->slot);
	for (size_t i = 0; i < s->count; i++)
		*slot_of(s, &s->entry[i]) =
		    tag_of(s, &s->entry[i]) | (uint32_t)(i + 1);
}

uint64_t *
idset_add(struct idset *s, const char *id, const char *module, bool *added)
{
	struct idset_entry e = hash_of(id, module);
	uint32_t *slot;

	/* Two lists mostly come in one order. */
	*added = s->next >= s->count || !is(&s->entry[s->next], &e);
	if (!*added)
		return &s->entry[s->next++].value;
	if (4 * s->count >= 3 * (size_t)s->slots)
		grow(s);
	slot = slot_of(s, &e);
	*added = !*slot;
	if (*added) {
		if (s->count == s->cap) {
			/* What is not used yet takes no memory. */
			s->cap = s->cap ? 2 * s->cap : 256;
			s->entry = xrealloc(s->entry, s->cap * sizeof e);
		}
		s->entry[s->count++] = e;
		*slot = tag_of(s, &e) | (uint32_t)s->count;
	}
	s->next = *slot & (s->slots - 1);
	return &s->entry[s->next - 1].value;
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

	for (size_t i = 0; i < s->count; i++)
		n += !s->entry[i].value;
	return n;
}

void
idset_free(struct idset *s)
{
	free(s->slot);
	free(s->entry);
	*s = (struct idset){ .count = 0 };
}
