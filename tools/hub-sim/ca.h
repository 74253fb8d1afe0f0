/* ca.h: a certificate authority for one run, and the server's certificate. */
#ifndef CA_H
#define CA_H

#include <openssl/ssl.h>

#include "msg.h"

/*
 * Makes both, writes the authority's certificate as PEM to a new 0600 file,
 * and gives a context for the server side; NULL with *e.  The authority's key
 * is forgotten at once.
 */
SSL_CTX *ca_context(const char *pem_file, struct err *e);

#endif
