/*
 * net.h: requests in, replies out: one epoll loop, no threads.
 *
 * One port carries TLS and plain HTTP; the first byte tells them apart.  All
 * requests that are ready in one turn of the loop share one transaction of
 * the store, which is committed before the first of their replies is sent.
 */
#ifndef NET_H
#define NET_H

#include <openssl/ssl.h>
#include <stdio.h>

#include "fault.h"
#include "sim.h"

struct net;

/* "ADDR:PORT", "[ADDR]:PORT", port 0 for any free one; NULL with *e.  tls is
 * net's from then on. */
struct net *net_listen(const char *where, SSL_CTX *tls, struct err *e);
/* How a client reaches it: "127.0.0.1:PORT". */
const char *net_address(const struct net *n);
/* Runs until a signal that is waited for ends it: a descriptor of signalfd(2);
 * on_signals is asked after each and says whether to go on. */
void net_run(struct net *n, struct sim *s, FILE *log, int signals,
    bool (*on_signals)(int signals, void *arg), void *arg);
void net_close(struct net *n);

#endif
