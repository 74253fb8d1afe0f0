/* fail-nth.c: preloaded, makes the FAIL_NTH-th write() or malloc() fail. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Is this the call that fails?  Counts only calls of the chosen kind. */
static bool
is_it(const char *call)
{
	static long left = -1;
	const char *chosen = getenv("FAIL_CALL"), *nth = getenv("FAIL_NTH");

	if (!chosen || !nth || strcmp(chosen, call) != 0)
		return false;
	if (left == -1)
		left = atol(nth);
	return left > 0 && --left == 0;
}

ssize_t
write(int fd, const void *bytes, size_t count)
{
	ssize_t (*real)(int, const void *, size_t) =
	    (ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");

	if (fd != STDERR_FILENO && is_it("write")) {
		errno = ENOSPC;
		return -1;
	}
	return real(fd, bytes, count);
}

void *
malloc(size_t size)
{
	static void *(*real)(size_t);

	if (!real)
		real = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
	if (is_it("malloc")) {
		errno = ENOMEM;
		return NULL;
	}
	return real(size);
}
