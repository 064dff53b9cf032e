// SPDX-License-Identifier: Apache-2.0
/*
 * address: sockets of one address of the host. Usage: address FILE OLD PEER PORT; at SIGTERM FILE.want says NEW (-: it
 * is gone; *: all) and what became of the connection to PEER (kept, closed, reset, rebound), and the verdict is in
 * FILE. address - PEER PORT: a peer that never ends its connection.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT 4711

static FILE *out;
static int bad;

static void check(int ok, const char *what, const char *detail)
{
	if (!ok && ++bad)
		fprintf(out, "%s: %s\n", what, detail);
}

union address {
	struct sockaddr any;
	struct sockaddr_in four;
	struct sockaddr_in6 six;
};

static socklen_t at(union address *a, const char *addr, int port)
{
	memset(a, 0, sizeof(*a));
	a->any.sa_family = strchr(addr, ':') ? AF_INET6 : AF_INET;
	if (a->any.sa_family == AF_INET6) {
		a->six.sin6_port = htons(port);
		inet_pton(AF_INET6, addr, &a->six.sin6_addr);
		return sizeof(a->six);
	}
	a->four.sin_port = htons(port);
	inet_pton(AF_INET, addr, &a->four.sin_addr);
	return sizeof(a->four);
}

static int or_die(int r, const char *what)
{
	if (r < 0) {
		perror(what);
		exit(1);
	}
	return r;
}

static int made(int type, const char *addr, int port)
{
	union address a;
	socklen_t n = at(&a, addr, port);
	int fd = or_die(socket(a.any.sa_family, type, 0), "socket");

	or_die(bind(fd, &a.any, n), "bind");
	if (type == SOCK_STREAM)
		or_die(listen(fd, 5), "listen");
	return fd;
}

static int joined(const char *from, const char *addr, int port)
{
	union address a, f;
	socklen_t n = at(&a, addr, port);
	int fd = or_die(socket(a.any.sa_family, SOCK_STREAM, 0), "socket");

	or_die(bind(fd, &f.any, at(&f, from, 0)), "bind");
	or_die(connect(fd, &a.any, n), "connect");
	return fd;
}

/* What a socket of IPv6 calls an address of IPv4. */
static const char *mapped(const char *addr)
{
	static char text[INET6_ADDRSTRLEN];

	snprintf(text, sizeof(text), "%s%s", strchr(addr, ':') ? "" : "::ffff:", addr);
	return text;
}

/* Its own address as text. */
static const char *name(int fd)
{
	static char text[INET6_ADDRSTRLEN];
	struct sockaddr_storage a;
	socklen_t n = sizeof(a);

	if (getsockname(fd, (void *)&a, &n) < 0)
		return "?";
	if (a.ss_family == AF_INET)
		inet_ntop(AF_INET, &((struct sockaddr_in *)&a)->sin_addr, text, sizeof(text));
	else
		inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&a)->sin6_addr, text, sizeof(text));
	return text;
}

static void talk(int a, int b)
{
	char buf[8] = "";

	check(send(a, "hello", 5, MSG_NOSIGNAL) == 5, "inner connection", "cannot be written to");
	check(recv(b, buf, 5, 0) == 5 && !strcmp(buf, "hello"), "inner connection", "brings something else");
}

/* Does the peer take what it is sent? */
static int taken(int fd)
{
	int left = 1;

	if (send(fd, "x", 1, MSG_NOSIGNAL) != 1)
		return 0;
	for (int i = 0; i < 1000 && left; i++) {
		if (ioctl(fd, SIOCOUTQ, &left) < 0)
			return 0;
		usleep(10000);
	}
	return !left;
}

static void outer(int fd, const char *want, const char *own)
{
	char c;
	ssize_t n = recv(fd, &c, 1, MSG_DONTWAIT);
	int e = n < 0 ? errno : 0, rebound = !strcmp(want, "rebound");

	if (rebound || !strcmp(want, "kept")) {
		check(n < 0 && e == EAGAIN, "kept connection", strerror(e));
		check(!strcmp(name(fd), own), "kept connection", name(fd));
		if (rebound)
			check(taken(fd), "rebound connection", "the peer takes nothing");
		return;
	}
	if (!strcmp(want, "reset")) {
		check(n < 0 && e == ECONNRESET, "reset connection: first", strerror(e));
		n = recv(fd, &c, 1, MSG_DONTWAIT);
	}
	check(n == 0, want, "no end of file");
	check(send(fd, "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE, want, "can be written to");
}

static void peer(const char *addr, int port)
{
	int fd = made(SOCK_STREAM, addr, port);

	printf("ready\n");
	fflush(stdout);
	for (;;)
		accept(fd, NULL, NULL);
}

int main(int argc, char **argv)
{
	int l, u, s6, a, b, out_fd, signal;
	char path[256], new[64] = "", want[16] = "";
	const char *all;
	sigset_t set;
	FILE *f;

	if (argc == 4 && !strcmp(argv[1], "-"))
		peer(argv[2], atoi(argv[3]));
	if (argc != 5)
		return 2;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	setsid();
	l = made(SOCK_STREAM, argv[2], PORT);
	u = made(SOCK_DGRAM, argv[2], PORT);
	s6 = made(SOCK_STREAM, mapped(argv[2]), PORT + 1);
	a = joined(argv[2], argv[2], PORT);
	b = or_die(accept(l, NULL, NULL), "accept");
	out_fd = joined(argv[2], argv[3], atoi(argv[4]));
	printf("ready\n");
	fflush(stdout);
	sigwait(&set, &signal);

	snprintf(path, sizeof(path), "%s.new", argv[1]);
	out = fopen(path, "w");
	snprintf(path, sizeof(path), "%s.want", argv[1]);
	f = fopen(path, "r");
	if (!out || !f || fscanf(f, "%63s %15s", new, want) != 2)
		return 1;
	all = strchr(argv[2], ':') ? "::" : "0.0.0.0";
	outer(out_fd, want, strcmp(want, "rebound") ? argv[2] : new);
	if (!strcmp(new, "*")) {
		check(!strcmp(name(l), all), "listener", name(l));
		check(!strcmp(name(u), all), "udp", name(u));
		check(!strcmp(name(s6), mapped(all)), "v6 listener", name(s6));
	} else if (strcmp(new, "-")) {
		check(!strcmp(name(l), new), "listener", name(l));
		check(!strcmp(name(u), new), "udp", name(u));
		check(!strcmp(name(s6), mapped(new)), "v6 listener", name(s6));
		check(!strcmp(name(a), new) && !strcmp(name(b), new), "inner connection", name(a));
		talk(a, b);
		talk(b, a);
		a = joined(new, new, PORT);
		talk(a, or_die(accept(l, NULL, NULL), "accept"));
	} else {
		check(accept(l, NULL, NULL) < 0 && errno == EINVAL, "listener", "listens");
	}
	if (!bad)
		fprintf(out, "OK\n");
	fclose(out);
	snprintf(path, sizeof(path), "%s.new", argv[1]);
	return rename(path, argv[1]) != 0;
}
