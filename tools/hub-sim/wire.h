/*
 * wire.h: a connection's bytes, TLS or plain on the same port, and the socket
 * that new ones come from.
 */
#ifndef WIRE_H
#define WIRE_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <sys/types.h>

#include "msg.h"

struct wire {
	int fd;
	SSL *ssl;         /* NULL: plain */
	bool known;       /* TLS or plain is decided */
	bool wants_write; /* what get or put waits for, where it gave 0 */
};

/* More than 0: so many bytes; 0: later; -1: the end. */
ssize_t wire_get(struct wire *w, SSL_CTX *tls, char *into, size_t size);
ssize_t wire_put(struct wire *w, const char *at, size_t len);
/* Says good-bye in TLS; the socket stays. */
void wire_end(struct wire *w);
void wire_close(struct wire *w);

/* A listening socket for "ADDR:PORT" or "[ADDR]:PORT", port 0 for any free
 * one; address is how a client reaches it.  -1 with *e. */
int listen_at(const char *where, char address[64], struct err *e);

#endif
