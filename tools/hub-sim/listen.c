/* listen.c: see wire.h. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire.h"

static int
split_address(const char *where, char host[64], char port[8], struct err *e)
{
	const char *colon = strrchr(where, ':');
	size_t len = colon ? (size_t)(colon - where) : 0;

	if (len >= 2 && where[0] == '[' && where[len - 1] == ']') {
		where++;
		len -= 2;
	}
	if (!colon || len == 0 || len >= 64 || strlen(colon + 1) >= 8 ||
	    colon[1] == '\0' ||
	    colon[1 + strspn(colon + 1, "0123456789")] != '\0')
		return err_set(e, BAD_USAGE, where,
		    "is no address to listen on (say ADDR:PORT)");
	memcpy(host, where, len);
	host[len] = '\0';
	(void)snprintf(port, 8, "%s", colon + 1);
	return 0;
}

/* A client must come to where we are, which 0.0.0.0 does not say. */
static int
name_address(int fd, char out[64], struct err *e)
{
	struct sockaddr_storage a = { 0 };
	struct sockaddr_in *v4 = (struct sockaddr_in *)&a;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a;
	socklen_t len = sizeof a;
	char host[48], port[8];

	if (getsockname(fd, (struct sockaddr *)&a, &len) == -1)
		return err_set(
		    e, LOCAL_FAILURE, NULL, "no address: %s", strerror(errno));
	if (a.ss_family == AF_INET && v4->sin_addr.s_addr == INADDR_ANY)
		v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else if (a.ss_family == AF_INET6 &&
		 IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr))
		v6->sin6_addr = in6addr_loopback;
	if (getnameinfo((struct sockaddr *)&a, len, host, sizeof host, port,
		sizeof port, NI_NUMERICHOST | NI_NUMERICSERV))
		return err_set(e, LOCAL_FAILURE, NULL, "no address");
	(void)snprintf(
	    out, 64, a.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
	return 0;
}

int
listen_at(const char *where, char address[64], struct err *e)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE },
			*found;
	char host[64], port[8];
	int yes = 1, bad, fd;

	if (split_address(where, host, port, e))
		return -1;
	bad = getaddrinfo(host, port, &hints, &found);
	if (bad)
		return err_set(e, BAD_USAGE, where,
		    "is no address to listen on: %s", gai_strerror(bad));
	fd = socket(
	    found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == -1 ||
	    bind(fd, found->ai_addr, found->ai_addrlen) == -1 ||
	    listen(fd, SOMAXCONN) == -1)
		bad = err_set(e, LOCAL_FAILURE, where, "cannot listen: %s",
		    strerror(errno));
	freeaddrinfo(found);
	if (bad || name_address(fd, address, e)) {
		if (fd != -1)
			(void)close(fd);
		return -1;
	}
	return fd;
}
