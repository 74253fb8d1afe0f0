/* shelf.c: records in a file, found by id; see shelf.h. */
#include "shelf.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "out.h"

enum { WINDOW = 256 * 1024 };
#define LENGTH ((UINT64_C(1) << SHELF_LENGTH_BITS) - 1)
#define END_MAX (UINT64_C(1) << (SHELF_PLACE_BITS - SHELF_LENGTH_BITS))

void
shelf_open(struct shelf *s)
{
	struct err e;

	s->fd = out_spool(&e);
	if (s->fd < 0)
		die_err(&e);
	s->out = out_open_fd(s->fd, "temporary file");
}

void
shelf_close(struct shelf *s)
{
	out_close(s->out);
	(void)close(s->fd);
	idset_free(&s->ids);
	if (s->window)
		memset(s->window, 0, s->cap);
	free(s->window);
	*s = (struct shelf){ .fd = -1 };
}

uint64_t *
shelf_slot(struct shelf *s, const char *id, const char *module)
{
	bool added;

	return idset_add(&s->ids, id, module, &added);
}

uint64_t *
shelf_find(const struct shelf *s, const char *id, const char *module)
{
	return idset_find(&s->ids, id, module);
}

void
shelf_keep(struct shelf *s, uint64_t *slot, struct span text)
{
	if (s->end + text.len >= END_MAX)
		die(LOCAL_FAILURE, "temporary file", "is larger than %llu GiB",
		    (unsigned long long)(END_MAX >> 30));
	out_span(s->out, text);
	*slot = (*slot & SHELF_FLAGS) | s->end << SHELF_LENGTH_BITS | text.len;
	s->end += text.len;
	s->unread = true;
}

/* From there on, at least len bytes. */
static void
read_window(struct shelf *s, uint64_t at, size_t len, size_t want)
{
	ssize_t n;

	if (s->unread)
		out_flush(s->out);
	s->unread = false;
	if (s->cap < want) {
		s->window = xrealloc(s->window, want);
		s->cap = want;
	}
	s->at = at;
	for (s->have = 0; s->have < len; s->have += (size_t)n) {
		n = pread(s->fd, s->window + s->have, want - s->have,
		    (off_t)(at + s->have));
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n <= 0)
			die(LOCAL_FAILURE, "temporary file", "read failed: %s",
			    n ? strerror(errno) : "it is too short");
	}
}

struct span
shelf_text(struct shelf *s, uint64_t known)
{
	size_t len = (size_t)(known & LENGTH);
	uint64_t at = (known & ~SHELF_FLAGS) >> SHELF_LENGTH_BITS;

	/* Two registries mostly come in one order: then the next is near. */
	if (at < s->at || at + len > s->at + s->have)
		read_window(s, at, len,
		    at == s->next && len < WINDOW ? WINDOW : len + 1);
	s->next = at + len;
	return (struct span){ s->window + (at - s->at), len };
}

static int
by_place(const void *va, const void *vb)
{
	uint64_t a = *(const uint64_t *)va & ~SHELF_FLAGS;
	uint64_t b = *(const uint64_t *)vb & ~SHELF_FLAGS;

	return a < b ? -1 : a > b;
}

uint64_t *
shelf_list(const struct shelf *s, uint64_t mask, uint64_t flags, size_t *count)
{
	uint64_t *list = NULL;
	size_t n = 0;

	/* Once to count, so that the list has its size at once. */
	for (int round = 0; round < 2; round++) {
		if (round)
			list = xcalloc(n + 1, sizeof *list);
		n = 0;
		for (size_t i = 0; i < s->ids.count; i++) {
			uint64_t value = s->ids.entry[i].value;

			if ((value & mask) != flags)
				continue;
			if (list)
				list[n] = value;
			n++;
		}
	}
	if (list && n)
		qsort(list, n, sizeof *list, by_place);
	*count = n;
	return list;
}
