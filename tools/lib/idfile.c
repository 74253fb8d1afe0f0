/* idfile.c: a hash table in a file; see idfile.h. */
#include "idfile.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ledger.h"
#include "msg.h"
#include "out.h"

/* An id belongs into a bucket, or the next one with room. */
enum { PER_BUCKET = 16, IN_MEMORY = 2048 /* buckets */, LONGEST = 256 };

struct key {
	uint64_t half[2]; /* the first is never 0: then the place is free */
};

struct bucket {
	struct key key[PER_BUCKET];
};

struct idfile {
	struct bucket *memory; /* or in the file */
	int fd;
	size_t buckets, count; /* buckets: a power of two, or 0 */
	size_t expected;
	struct bucket window; /* what was read last */
};

struct idfile *
idfile_open(long expected)
{
	struct idfile *f = xcalloc(1, sizeof *f);

	f->expected = expected > 0 ? (size_t)expected : 0;
	f->fd = -1;
	return f;
}

void
idfile_close(struct idfile *f)
{
	if (!f)
		return;
	if (f->fd >= 0)
		(void)close(f->fd);
	free(f->memory);
	free(f);
}

static _Noreturn void
failed(const char *what)
{
	die(LOCAL_FAILURE, "temporary file",
	    "%s failed: %s (TMPDIR names another place)", what,
	    strerror(errno));
}

/* What was never written is a hole, whose bytes are 0. */
static const struct bucket *
look(struct idfile *f, size_t i)
{
	char *at = (char *)&f->window;
	size_t done = 0;

	if (f->memory)
		return &f->memory[i];
	while (done < sizeof f->window) {
		ssize_t n = pread(f->fd, at + done, sizeof f->window - done,
		    (off_t)(i * sizeof f->window + done));

		if (n < 0 && errno != EINTR)
			failed("read");
		if (n == 0) {
			errno = ENODATA;
			failed("read");
		}
		done += n > 0 ? (size_t)n : 0;
	}
	return &f->window;
}

static void
put(struct idfile *f, size_t i, size_t slot, const struct key *key)
{
	const char *from = (const char *)key;
	size_t done = 0;

	if (f->memory) {
		f->memory[i].key[slot] = *key;
		return;
	}
	while (done < sizeof *key) {
		ssize_t n = pwrite(f->fd, from + done, sizeof *key - done,
		    (off_t)((i * PER_BUCKET + slot) * sizeof *key + done));

		if (n < 0 && errno != EINTR)
			failed("write");
		done += n > 0 ? (size_t)n : 0;
	}
}

/* Where it is, or would be. */
static bool
find(struct idfile *f, const struct key *key, size_t *i, size_t *slot)
{
	for (*i = key->half[1] & (f->buckets - 1);;
	     *i = (*i + 1) & (f->buckets - 1)) {
		const struct bucket *b = look(f, *i);

		for (*slot = 0; *slot < PER_BUCKET; ++*slot) {
			const struct key *k = &b->key[*slot];

			if (k->half[0] == key->half[0] &&
			    k->half[1] == key->half[1])
				return true;
			if (!k->half[0])
				return false;
		}
	}
}

static void
grow(struct idfile *f)
{
	struct idfile old = *f;
	size_t i, slot;
	struct err e;

	f->buckets = old.buckets ? old.buckets * 2 : 16;
	while (f->buckets * PER_BUCKET / 2 < f->expected)
		f->buckets *= 2;
	if (f->buckets <= IN_MEMORY) {
		f->memory = xcalloc(f->buckets, sizeof *f->memory);
	} else {
		f->memory = NULL;
		f->fd = out_spool(&e);
		if (f->fd < 0)
			die_err(&e);
		if (ftruncate(
			f->fd, (off_t)(f->buckets * sizeof(struct bucket))))
			failed("write");
	}
	for (size_t from = 0; from < old.buckets; from++) {
		const struct bucket *b = look(&old, from);

		for (size_t k = 0; k < PER_BUCKET && b->key[k].half[0]; k++) {
			(void)find(f, &b->key[k], &i, &slot);
			put(f, i, slot, &b->key[k]);
		}
	}
	free(old.memory);
	if (old.fd >= 0)
		(void)close(old.fd);
}

static struct key
key_of(const char *id, const char *module)
{
	size_t len = strlen(id) + (module ? strlen(module) : 0);
	unsigned char sum[EVP_MAX_MD_SIZE];
	struct key key;
	char *text;

	if (len <= LONGEST) {
		ledger_key(id, module, key.half);
		return key;
	}
	/* No id of a hub, but a list may have it. */
	text = xasprintf("%s\n%s", id, module ? module : "");
	if (EVP_Q_digest(NULL, "SHA256", NULL, text, strlen(text), sum, NULL) !=
	    1)
		die(LOCAL_FAILURE, NULL, "SHA-256 failed");
	free(text);
	memcpy(key.half, sum, sizeof key.half);
	key.half[0] |= 1;
	return key;
}

bool
idfile_has(struct idfile *f, const char *id, const char *module)
{
	struct key key = key_of(id, module);
	size_t i, slot;

	return f->buckets && find(f, &key, &i, &slot);
}

bool
idfile_add(struct idfile *f, const char *id, const char *module)
{
	struct key key = key_of(id, module);
	size_t i, slot;

	if (f->count >= f->buckets * PER_BUCKET / 2)
		grow(f);
	if (find(f, &key, &i, &slot))
		return false;
	put(f, i, slot, &key);
	f->count++;
	return true;
}
