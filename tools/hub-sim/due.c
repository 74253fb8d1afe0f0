/* due.c: see due.h. */
#include "due.h"

#include "msg.h"

static void
place(struct dues *all, struct due *d, size_t at)
{
	all->heap[at - 1] = d;
	d->place = at;
}

/* To where its parent is not later and its children are not earlier. */
static void
settle(struct dues *all, struct due *d, size_t at)
{
	while (at > 1 && all->heap[at / 2 - 1]->at > d->at) {
		place(all, all->heap[at / 2 - 1], at);
		at /= 2;
	}
	for (;;) {
		size_t child = 2 * at;

		if (child < all->count &&
		    all->heap[child]->at < all->heap[child - 1]->at)
			child++;
		if (child > all->count || all->heap[child - 1]->at >= d->at)
			break;
		place(all, all->heap[child - 1], at);
		at = child;
	}
	place(all, d, at);
}

void
due_set(struct dues *all, struct due *d, int64_t at)
{
	d->at = at;
	if (d->place) {
		settle(all, d, d->place);
		return;
	}
	if (all->count == all->cap) {
		all->cap = all->cap ? 2 * all->cap : 64;
		all->heap =
		    xrealloc(all->heap, all->cap * sizeof(struct due *));
	}
	all->count++;
	settle(all, d, all->count);
}

void
due_clear(struct dues *all, struct due *d)
{
	size_t at = d->place;
	struct due *last;

	if (!at)
		return;
	d->place = 0;
	last = all->heap[--all->count];
	if (last != d)
		settle(all, last, at);
}

struct due *
due_first(const struct dues *all)
{
	return all->count ? all->heap[0] : NULL;
}
