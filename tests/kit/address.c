// SPDX-License-Identifier: Apache-2.0
/*
 * address: sockets of one address of the host. Usage: address FILE OLD PEER PORT; at SIGTERM FILE.want says NEW and
 * what became of the connection to PEER (kept, closed, reset), and the verdict is in FILE. address - PEER PORT: a
 * peer that never ends its connection.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

static struct sockaddr_in at(const char *addr, int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

	inet_pton(AF_INET, addr, &a.sin_addr);
	return a;
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
	struct sockaddr_in a = at(addr, port);
	int fd = or_die(socket(AF_INET, type, 0), "socket");

	or_die(bind(fd, (void *)&a, sizeof(a)), "bind");
	if (type == SOCK_STREAM)
		or_die(listen(fd, 5), "listen");
	return fd;
}

static int joined(const char *from, const char *addr, int port)
{
	struct sockaddr_in a = at(addr, port), f = at(from, 0);
	int fd = or_die(socket(AF_INET, SOCK_STREAM, 0), "socket");

	or_die(bind(fd, (void *)&f, sizeof(f)), "bind");
	or_die(connect(fd, (void *)&a, sizeof(a)), "connect");
	return fd;
}

static int six(const char *addr)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_port = htons(PORT + 1) };
	char text[64];
	int fd = or_die(socket(AF_INET6, SOCK_STREAM, 0), "socket");

	snprintf(text, sizeof(text), "::ffff:%s", addr);
	inet_pton(AF_INET6, text, &a.sin6_addr);
	or_die(bind(fd, (void *)&a, sizeof(a)), "bind");
	or_die(listen(fd, 5), "listen");
	return fd;
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

static void outer(int fd, const char *want, const char *old)
{
	char c;
	ssize_t n = recv(fd, &c, 1, MSG_DONTWAIT);
	int e = n < 0 ? errno : 0;

	if (!strcmp(want, "kept")) {
		check(n < 0 && e == EAGAIN, "kept connection", strerror(e));
		check(!strcmp(name(fd), old), "kept connection", name(fd));
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
	s6 = six(argv[2]);
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
	outer(out_fd, want, argv[2]);
	if (strcmp(new, "-")) {
		check(!strcmp(name(l), new), "listener", name(l));
		check(!strcmp(name(u), new), "udp", name(u));
		snprintf(path, sizeof(path), "::ffff:%s", new);
		check(!strcmp(name(s6), path), "v6 listener", name(s6));
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
