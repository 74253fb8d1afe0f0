/* digest.c: what buf.h and json.h need libcrypto for: who does not use it, such
 * as a filter, does not load it either. */
#include <openssl/evp.h>

#include "json.h"
#include "msg.h"

void
buf_base64(struct buf *b, const void *bytes, size_t len)
{
	size_t n = (len + 2) / 3 * 4;

	buf_reserve(b, n);
	(void)EVP_EncodeBlock((unsigned char *)b->at + b->len, bytes, (int)len);
	b->len += n;
	b->at[b->len] = '\0';
}

void
buf_base64url(struct buf *b, const void *bytes, size_t len)
{
	size_t from = b->len;

	buf_base64(b, bytes, len);
	for (size_t i = from; i < b->len; i++)
		if (b->at[i] == '+')
			b->at[i] = '-';
		else if (b->at[i] == '/')
			b->at[i] = '_';
	while (b->len > from && b->at[b->len - 1] == '=')
		b->at[--b->len] = '\0';
}

void
json_sha256(struct span bytes, char hex[65])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (EVP_Digest(bytes.at, bytes.len, digest, &n, EVP_sha256(), NULL) !=
		1 ||
	    n != 32)
		die(LOCAL_FAILURE, NULL, "SHA-256 failed");
	for (size_t i = 0; i < n; i++) {
		hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
		hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
	}
	hex[64] = '\0';
}
