/*
 * due.h: what is due when: a heap of moments, each inside of what it is for,
 * so that the next one is known at once however many there are.
 */
#ifndef DUE_H
#define DUE_H

#include <stddef.h>
#include <stdint.h>

struct due {
	int64_t at;
	size_t place; /* in the heap, from 1; 0: not in it */
	void *of;     /* the caller's */
};

struct dues {
	struct due **heap;
	size_t count, cap;
};

/* Sets it, or moves it. */
void due_set(struct dues *all, struct due *d, int64_t at);
void due_clear(struct dues *all, struct due *d);
/* The earliest, or NULL; it stays. */
struct due *due_first(const struct dues *all);

#endif
