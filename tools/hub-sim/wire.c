/* wire.c: see wire.h. */
#include "wire.h"

#include <errno.h>
#include <openssl/err.h>
#include <sys/socket.h>
#include <unistd.h>

/* 0x16 begins a TLS handshake and no HTTP request. */
static int
know_protocol(struct wire *w, SSL_CTX *tls)
{
	unsigned char first;
	ssize_t got = recv(w->fd, &first, 1, MSG_PEEK);

	if (got == -1 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (got <= 0)
		return -1;
	w->known = true;
	if (first != 0x16)
		return 0;
	w->ssl = SSL_new(tls);
	if (!w->ssl || !SSL_set_fd(w->ssl, w->fd))
		return -1;
	SSL_set_accept_state(w->ssl);
	return 0;
}

ssize_t
wire_get(struct wire *w, SSL_CTX *tls, char *into, size_t size)
{
	ssize_t got;

	if (!w->known && know_protocol(w, tls))
		return -1;
	if (!w->known)
		return 0;
	w->wants_write = false;
	if (!w->ssl) {
		got = recv(w->fd, into, size, 0);
		if (got == -1 && (errno == EAGAIN || errno == EINTR))
			return 0;
		return got > 0 ? got : -1;
	}
	ERR_clear_error();
	got = SSL_read(w->ssl, into, (int)size);
	if (got > 0)
		return got;
	switch (SSL_get_error(w->ssl, (int)got)) {
	case SSL_ERROR_WANT_READ:
		return 0;
	case SSL_ERROR_WANT_WRITE:
		w->wants_write = true;
		return 0;
	default:
		return -1;
	}
}

ssize_t
wire_put(struct wire *w, const char *at, size_t len)
{
	ssize_t done;

	w->wants_write = false;
	if (!w->ssl) {
		done = send(w->fd, at, len, MSG_NOSIGNAL);
		if (done >= 0)
			return done;
		w->wants_write = errno == EAGAIN;
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	}
	ERR_clear_error();
	done = SSL_write(w->ssl, at, len > 1 << 30 ? 1 << 30 : (int)len);
	if (done > 0)
		return done;
	switch (SSL_get_error(w->ssl, (int)done)) {
	case SSL_ERROR_WANT_WRITE:
		w->wants_write = true;
		return 0;
	case SSL_ERROR_WANT_READ:
		return 0;
	default:
		return -1;
	}
}

void
wire_end(struct wire *w)
{
	if (w->ssl)
		(void)SSL_shutdown(w->ssl);
}

void
wire_close(struct wire *w)
{
	(void)close(w->fd);
	if (w->ssl)
		SSL_free(w->ssl);
	w->ssl = NULL;
	w->fd = -1;
}
