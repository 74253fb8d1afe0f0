/*
 * sign.h: shared access signatures (CONTRACT 11.1, 19.1) and the parts of
 * connection strings (CONTRACT 4.3, 17.4).
 */
#ifndef SIGN_H
#define SIGN_H

#include <stdbool.h>

#include "buf.h"

/* "SharedAccessSignature sr=..." for a resource, with a base64 key.  policy
 * NULL: none (device tokens).  -1: the key is no base64. */
int sign_hub(struct buf *into, const char *resource, const char *key,
    const char *policy, long expiry);

/*
 * The assertion that stands for a client's secret: a JWT for url, signed RS256
 * by the key in pem, which also holds the certificate that x5t names; valid
 * from now (seconds since 1970) for ten minutes.  -1: no such key.
 */
int sign_jwt(struct buf *jwt, struct span pem, const char *url,
    const char *client, long now);

/* HMAC-SHA256 of a text in base64, appended; -1: the library failed. */
int sign_mac(const struct buf *key, const struct buf *text, struct buf *into);

/* One part of "A=b;C=d=", name without case; malloc'd, NULL when absent. */
char *sign_part(const char *connection_string, const char *name);

/* OPENSSL_cleanse(), then free(); NULL is fine. */
void secret_free(char *text);

/* Base64 to bytes, appended; -1 if it is not strict base64. */
int sign_unbase64(struct buf *into, const char *text);

#endif
