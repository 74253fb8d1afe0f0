/*
 * unique.c: uniqueString() and guid().  The service's hash is private; any
 * stable one will do here (CONTRACT 9.6), and nowhere else: a tool that folded
 * these would rename what the service calls otherwise.
 */
#include <inttypes.h>
#include <stdint.h>

#include "deploy.h"
#include "doc.h"

static bool
strings(jv args)
{
	bool all = jv_array_length(jv_copy(args)) > 0;

	jv_array_foreach(args, i, a) {
		all = all && jv_get_kind(a) == JV_KIND_STRING;
		jv_free(a);
	}
	return all;
}

/* FNV-1a over the arguments, each with its length's end marked. */
static uint64_t
hash(jv args, uint64_t h)
{
	jv_array_foreach(args, i, a) {
		for (const char *c = jv_string_value(a); *c; c++)
			h = (h ^ (unsigned char)*c) * 1099511628211u;
		h = (h ^ 0xff) * 1099511628211u;
		jv_free(a);
	}
	/* The last bytes must reach the first characters as well. */
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdu;
	h ^= h >> 33;
	return h;
}

static jv
need_strings(jv args)
{
	jv_free(args);
	return jv_fail(BAD_DATA, NULL, "uniqueString(), guid(): need strings");
}

jv
unique_string(jv args)
{
	char out[14];
	uint64_t h;

	if (!strings(args))
		return need_strings(args);
	h = hash(args, 14695981039346656037u);
	for (int i = 0; i < 13; i++) {
		out[i] = "abcdefghijklmnopqrstuvwxyz234567"[h & 31];
		h = h >> 5 | h << 59;
	}
	out[13] = '\0';
	jv_free(args);
	return jv_string(out);
}

jv
unique_guid(jv args)
{
	uint64_t a, b;

	if (!strings(args))
		return need_strings(args);
	a = hash(args, 14695981039346656037u);
	b = hash(args, 1099511628211u);
	jv_free(args);
	return jv_text("%08" PRIx32 "-%04x-5%03x-%04x-%012" PRIx64,
	    (uint32_t)(a >> 32), (unsigned)(a >> 16 & 0xffff),
	    (unsigned)(a & 0xfff), (unsigned)(0x8000 | (b >> 48 & 0x3fff)),
	    b & 0xffffffffffffu);
}
