// SPDX-License-Identifier: Apache-2.0
/*
 * inet: a tree whose sockets check themselves: listeners, connections in every state that lasts, with data
 * in both queues, between two tasks and to a peer outside, UDP.
 * Usage: inet CASE DIR [PORT]. PORT: of an echo server outside, on 127.0.0.1. CASE: quiet, or flood: talk all the
 * time to it, or to the other task.
 * DIR/ready appears when all is set up; on SIGTERM "OK" or "FAIL why" goes into DIR/verdict.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static char why[200];
static volatile sig_atomic_t got_term;

static void on_term(int sig)
{
	got_term = 1;
}

static void check(int ok, const char *what)
{
	if (!ok && !why[0])
		snprintf(why, sizeof(why), "%s (errno %d)", what, errno);
}

static void must(int ok, const char *what)
{
	if (!ok) {
		perror(what);
		exit(1);
	}
}

static socklen_t address(struct sockaddr_storage *a, int family, const char *text, int port)
{
	struct sockaddr_in *a4 = (void *)a;
	struct sockaddr_in6 *a6 = (void *)a;

	memset(a, 0, sizeof(*a));
	a->ss_family = family;
	if (family == AF_INET) {
		a4->sin_port = htons(port);
		inet_pton(family, text, &a4->sin_addr);
		return sizeof(*a4);
	}
	a6->sin6_port = htons(port);
	inet_pton(family, text, &a6->sin6_addr);
	return sizeof(*a6);
}

static int port_of(int fd)
{
	struct sockaddr_storage a;
	socklen_t n = sizeof(a);

	getsockname(fd, (void *)&a, &n);
	return ntohs(((struct sockaddr_in *)&a)->sin_port);
}

static int opt(int fd, int level, int name)
{
	int v = -1;
	socklen_t n = sizeof(v);

	getsockopt(fd, level, name, &v, &n);
	return v;
}

static int state(int fd)
{
	struct tcp_info ti = { 0 };
	socklen_t n = sizeof(ti);

	getsockopt(fd, IPPROTO_TCP, TCP_INFO, &ti, &n);
	return ti.tcpi_state;
}

static int bound(int family, int type, const char *text, int v6only)
{
	struct sockaddr_storage a;
	socklen_t n = address(&a, family, text, 0);
	int fd = socket(family, type, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only));
	must(bind(fd, (void *)&a, n) == 0, "bind");
	return fd;
}

static int client(int family, const char *text, int port, int small)
{
	struct sockaddr_storage a;
	socklen_t n = address(&a, family, text, port);
	int fd = socket(family, SOCK_STREAM, 0);

	if (small) {
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	}
	return connect(fd, (void *)&a, n) == 0 ? fd : -1;
}

/* ---- a stream of bytes that tell their place ---- */

static char place(size_t i)
{
	return (i * 2654435761u) >> 11;
}

static void put(int fd, size_t from, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char c[512];
		size_t k = 0;

		for (; k < sizeof(c) && i + k < n; k++)
			c[k] = place(from + i + k);
		must(send(fd, c, k, MSG_NOSIGNAL) == (ssize_t)k, "send");
		i += k - 1;
	}
}

/* until nothing more goes in; how much it was */
static size_t stuff(int fd)
{
	size_t n = 0;

	for (;;) {
		char c[4096];
		ssize_t r;

		for (size_t k = 0; k < sizeof(c); k++)
			c[k] = place(n + k);
		r = send(fd, c, sizeof(c), MSG_DONTWAIT | MSG_NOSIGNAL);
		if (r <= 0) {
			usleep(20000);
			r = send(fd, c, sizeof(c), MSG_DONTWAIT | MSG_NOSIGNAL);
		}
		if (r <= 0)
			return n;
		n += r;
	}
}

/* n bytes from place on, in ten seconds at most */
static int take(int fd, size_t from, size_t n)
{
	for (size_t done = 0; done < n;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		char c[65536];
		ssize_t r;

		r = poll(&p, 1, 10000);
		if (r < 0 && errno == EINTR)
			continue; /* a restore cannot know how long it had waited */
		if (r != 1)
			return 0;
		r = recv(fd, c, n - done < sizeof(c) ? n - done : sizeof(c), 0);
		if (r <= 0)
			return 0;
		for (ssize_t k = 0; k < r; k++)
			if (c[k] != place(from + done + k))
				return 0;
		done += r;
	}
	return 1;
}

static int at_end(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char c;

	return poll(&p, 1, 10000) == 1 && recv(fd, &c, 1, 0) == 0;
}

/* ---- what is set up ---- */

struct pair {
	int a, b; /* connected to; accepted */
	size_t sent_a, sent_b;
};

static struct pair pair(int l, int family, const char *text, int small)
{
	struct pair p = { client(family, text, port_of(l), small), -1, 0, 0 };

	must(p.a >= 0, "connect");
	p.b = accept(l, NULL, NULL);
	must(p.b >= 0, "accept");
	return p;
}

static int l4, l6, ldual, lsmall;
static struct pair plain, full, v6, mapped, half, fin1, last, closing, closed;
static int udp, udpc, udp6, udp6c, udpw, fresh, only_bound;
static int tcp2[2], udp2[2], raw, raw6;
static struct talk {
	int fd;
	size_t sent, got;
} child = { .fd = -1 }, outside = { .fd = -1 };

static void listeners(void)
{
	int small = 4096;

	l4 = bound(AF_INET, SOCK_STREAM, "0.0.0.0", 0);
	l6 = bound(AF_INET6, SOCK_STREAM, "::1", 1);
	ldual = bound(AF_INET6, SOCK_STREAM, "::", 0);
	lsmall = bound(AF_INET, SOCK_STREAM, "127.0.0.1", 0);
	setsockopt(lsmall, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	setsockopt(lsmall, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	must(!listen(l4, 7) && !listen(l6, 5) && !listen(ldual, 3) && !listen(lsmall, 3), "listen");
}

static void connections(void)
{
	int one = 1, idle = 321, tos = 16;

	plain = pair(l4, AF_INET, "127.0.0.1", 0);
	put(plain.a, 0, 5000);
	put(plain.b, 0, 3000);
	setsockopt(plain.a, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(plain.b, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	setsockopt(plain.b, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(plain.a, IPPROTO_TCP, TCP_USER_TIMEOUT, &idle, sizeof(idle));
	setsockopt(plain.a, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
	setsockopt(plain.b, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
	full = pair(l4, AF_INET, "127.0.0.1", 0);
	full.sent_a = stuff(full.a);
	full.sent_b = stuff(full.b);
	v6 = pair(l6, AF_INET6, "::1", 0);
	put(v6.a, 0, 700);
	mapped = pair(ldual, AF_INET, "127.0.0.1", 0);
	put(mapped.a, 0, 800);
	put(mapped.b, 0, 900);
}

static void states(void)
{
	half = pair(l6, AF_INET6, "::1", 0);
	put(half.a, 0, 10);
	shutdown(half.a, SHUT_WR);
	fin1 = pair(lsmall, AF_INET, "127.0.0.1", 4096);
	fin1.sent_a = stuff(fin1.a);
	shutdown(fin1.a, SHUT_WR);
	last = pair(lsmall, AF_INET, "127.0.0.1", 4096);
	shutdown(last.a, SHUT_WR);
	last.sent_b = stuff(last.b);
	shutdown(last.b, SHUT_WR);
	closing = pair(lsmall, AF_INET, "127.0.0.1", 4096);
	closing.sent_a = stuff(closing.a);
	shutdown(closing.a, SHUT_WR);
	put(closing.b, 0, 100);
	shutdown(closing.b, SHUT_WR);
	closed = pair(ldual, AF_INET, "127.0.0.1", 0);
	put(closed.a, 0, 1234);
	shutdown(closed.a, SHUT_WR);
	usleep(50000);
	shutdown(closed.b, SHUT_WR);
}

static void datagrams(void)
{
	struct sockaddr_storage a;
	int ttl = 33, one = 1, tclass = 32;

	udp = bound(AF_INET, SOCK_DGRAM, "127.0.0.1", 0);
	udpc = socket(AF_INET, SOCK_DGRAM, 0);
	must(!connect(udpc, (void *)&a, address(&a, AF_INET, "127.0.0.1", port_of(udp))), "udp");
	setsockopt(udpc, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl));
	setsockopt(udpc, IPPROTO_IP, IP_RECVERR, &one, sizeof(one));
	udp6 = bound(AF_INET6, SOCK_DGRAM, "::", 1);
	udp6c = socket(AF_INET6, SOCK_DGRAM, 0);
	must(!connect(udp6c, (void *)&a, address(&a, AF_INET6, "::1", port_of(udp6))), "udp6");
	setsockopt(udp6c, IPPROTO_IPV6, IPV6_TCLASS, &tclass, sizeof(tclass));
	shutdown(udp6c, SHUT_RD);
	shutdown(udpw = socket(AF_INET, SOCK_DGRAM, 0), SHUT_WR);
	must(!connect(udpw, (void *)&a, address(&a, AF_INET, "127.0.0.1", port_of(udp))), "udpw");
	shutdown(udpw, SHUT_WR);
}

/* two sockets with one port, and one that sees all pings that are answered */
static void shared_port(int type, int *ret)
{
	struct sockaddr_storage a;
	int one = 1, port = 0;

	for (int i = 0; i < 2; i++) {
		ret[i] = socket(AF_INET, type, 0);
		setsockopt(ret[i], SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
		must(!bind(ret[i], (void *)&a, address(&a, AF_INET, "127.0.0.1", port)), "reuseport");
		port = port_of(ret[i]);
		must(type == SOCK_DGRAM || !listen(ret[i], 5), "listen");
	}
}

static void odd_ones(void)
{
	uint32_t all_but_reply = ~1U;

	shared_port(SOCK_STREAM, tcp2);
	shared_port(SOCK_DGRAM, udp2);
	raw = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	setsockopt(raw, SOL_RAW, 1 /* ICMP_FILTER */, &all_but_reply, sizeof(all_but_reply));
	raw6 = socket(AF_INET6, SOCK_RAW, IPPROTO_RAW);
}

static void check_odd_ones(void)
{
	uint32_t filter = 0;
	socklen_t n = sizeof(filter);

	for (int i = 0; i < 2; i++) {
		check(port_of(tcp2[i]) == port_of(tcp2[0]) && state(tcp2[i]) == TCP_LISTEN, "shared port");
		check(opt(tcp2[i], SOL_SOCKET, SO_REUSEADDR) == 0, "shared port: reuseaddr");
		check(port_of(udp2[i]) == port_of(udp2[0]) && port_of(udp2[0]), "shared port, udp");
		check(opt(udp2[i], SOL_SOCKET, SO_REUSEPORT) == 1, "shared port: reuseport");
	}
	check(opt(raw, SOL_SOCKET, SO_PROTOCOL) == IPPROTO_ICMP, "raw");
	getsockopt(raw, SOL_RAW, 1, &filter, &n);
	check(filter == ~1U, "raw: filter");
	check(opt(raw6, SOL_SOCKET, SO_PROTOCOL) == IPPROTO_RAW && opt(raw6, SOL_SOCKET, SO_DOMAIN) == AF_INET6,
	      "raw6");
}

/* The other task: what comes to its end goes back. */
static void echo(void)
{
	struct pair p = pair(l4, AF_INET, "127.0.0.1", 0);
	char c[4096];
	ssize_t n;

	child.fd = p.a;
	if (fork() == 0) {
		for (int i = 3; i < 64; i++)
			if (i != p.b)
				close(i);
		while ((n = recv(p.b, c, sizeof(c), 0)) > 0)
			send(p.b, c, n, MSG_NOSIGNAL);
		_exit(0);
	}
	close(p.b);
}

/* ---- what is verified ---- */

static void check_states(void)
{
	check(state(half.a) == TCP_FIN_WAIT2 && state(half.b) == TCP_CLOSE_WAIT, "half: states");
	check(state(fin1.a) == TCP_FIN_WAIT1, "fin1: state");
	check(state(last.a) == TCP_FIN_WAIT2 && state(last.b) == TCP_LAST_ACK, "last: states");
	check(state(closing.a) == TCP_CLOSING, "closing: state");
	check(state(closed.a) == TCP_CLOSE && state(closed.b) == TCP_CLOSE, "closed: states");
	check(take(half.b, 0, 10) && at_end(half.b), "half: last words and end");
	put(half.b, 0, 6);
	check(take(half.a, 0, 6), "half: answer");
	check(take(fin1.b, 0, fin1.sent_a) && at_end(fin1.b), "fin1: rest and end");
	check(take(last.a, 0, last.sent_b) && at_end(last.a), "last: rest and end");
	check(take(closing.b, 0, closing.sent_a) && at_end(closing.b), "closing: rest and end");
	check(take(closing.a, 0, 100) && at_end(closing.a), "closing: other end");
	check(take(closed.b, 0, 1234) && at_end(closed.b), "closed: unread data and end");
	check(at_end(closed.a), "closed: end");
}

static void check_pair(const struct pair *p, size_t a, size_t b, const char *what)
{
	check(take(p->b, 0, a), what);
	check(take(p->a, 0, b), what);
	put(p->a, a, 20000);
	put(p->b, b, 20000);
	check(take(p->b, a, 20000) && take(p->a, b, 20000), what);
}

static void check_talk(struct talk *t, const char *what)
{
	put(t->fd, t->sent, 3000);
	check(take(t->fd, t->got, t->sent + 3000 - t->got), what);
}

static void check_connections(void)
{
	char name[16] = "";
	socklen_t n = sizeof(name);

	check_pair(&plain, 5000, 3000, "plain");
	check_pair(&full, full.sent_a, full.sent_b, "full");
	check_pair(&v6, 700, 0, "v6");
	check_pair(&mapped, 800, 900, "mapped");
	check(opt(plain.a, IPPROTO_TCP, TCP_NODELAY) == 1, "nodelay");
	check(opt(plain.b, IPPROTO_TCP, TCP_NODELAY) == 0, "no nodelay");
	check(opt(plain.b, SOL_SOCKET, SO_KEEPALIVE) == 1, "keepalive");
	check(opt(plain.b, IPPROTO_TCP, TCP_KEEPIDLE) == 321, "keepidle");
	check(opt(plain.a, IPPROTO_TCP, TCP_USER_TIMEOUT) == 321, "user timeout");
	check(opt(plain.b, IPPROTO_IP, IP_TOS) == 16, "tos");
	getsockopt(plain.a, IPPROTO_TCP, TCP_CONGESTION, name, &n);
	check(!strcmp(name, "reno"), "congestion control");
	check(opt(plain.a, SOL_SOCKET, SO_REUSEADDR) == 0, "no reuseaddr");
	check(opt(plain.b, SOL_SOCKET, SO_REUSEADDR) == 1, "reuseaddr");
	check(opt(plain.a, IPPROTO_TCP, TCP_REPAIR) == 0, "no repair mode");
	check_talk(&child, "echo of the other task");
	if (outside.fd >= 0)
		check_talk(&outside, "echo from outside");
}

static void check_listener(int l, int family, const char *text, int backlog, const char *what)
{
	struct tcp_info ti = { 0 };
	socklen_t n = sizeof(ti);
	struct pair p;

	getsockopt(l, IPPROTO_TCP, TCP_INFO, &ti, &n);
	check(ti.tcpi_state == TCP_LISTEN && (int)ti.tcpi_sacked == backlog, what);
	check(opt(l, SOL_SOCKET, SO_REUSEADDR) == 1, what);
	p = pair(l, family, text, 0);
	put(p.a, 0, 100);
	check(take(p.b, 0, 100), what);
	close(p.a);
	close(p.b);
}

static void check_datagrams(void)
{
	char c[8];
	struct pollfd p = { .fd = udp, .events = POLLIN };

	check(send(udpc, "four", 4, 0) == 4 && poll(&p, 1, 5000) == 1 && recv(udp, c, 8, 0) == 4, "udp");
	p.fd = udp6;
	check(send(udp6c, "six", 3, 0) == 3 && poll(&p, 1, 5000) == 1 && recv(udp6, c, 8, 0) == 3, "udp6");
	check(opt(udpc, IPPROTO_IP, IP_TTL) == 33, "ttl");
	check(opt(udpc, IPPROTO_IP, IP_RECVERR) == 1, "recverr");
	check(opt(udp6c, IPPROTO_IPV6, IPV6_TCLASS) == 32, "tclass");
	check(send(udpw, "no", 2, MSG_NOSIGNAL) < 0 && errno == EPIPE, "udp: shut down for sending");
	check(opt(udp6, IPPROTO_IPV6, IPV6_V6ONLY) == 1, "v6only");
	p.fd = udp6c;
	p.events = POLLRDHUP;
	check(poll(&p, 1, 0) == 1 && p.revents & POLLRDHUP, "udp6: shut down");
}

static void check_all(int fresh_port)
{
	check_states();
	check_connections();
	check_listener(l4, AF_INET, "127.0.0.1", 7, "listener 4");
	check_listener(l6, AF_INET6, "::1", 5, "listener 6");
	check_listener(ldual, AF_INET, "127.0.0.1", 3, "listener of both");
	check(opt(l6, IPPROTO_IPV6, IPV6_V6ONLY) == 1 && opt(ldual, IPPROTO_IPV6, IPV6_V6ONLY) == 0,
	      "v6only of listeners");
	check_datagrams();
	check_odd_ones();
	check(state(fresh) == TCP_CLOSE && port_of(fresh) == 0, "fresh socket");
	check(port_of(only_bound) == fresh_port && !listen(only_bound, 1), "bound socket");
	check_listener(only_bound, AF_INET, "127.0.0.1", 1, "bound socket that listens now");
}

/* there and back, all the time */
static void flood(struct talk *t)
{
	sigset_t term;

	while (sigpending(&term) == 0 && !sigismember(&term, SIGTERM) && !why[0]) {
		put(t->fd, t->sent, 8192);
		t->sent += 8192;
		check(take(t->fd, t->got, 8192), "flood");
		t->got += 8192;
	}
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_term };
	sigset_t term, old;
	FILE *f;
	int port;

	if (argc < 3 || chdir(argv[2]) < 0)
		return 2;
	setsid();
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	listeners();
	echo();
	connections();
	states();
	datagrams();
	odd_ones();
	if (argc > 3) {
		outside.fd = client(AF_INET, "127.0.0.1", atoi(argv[3]), 0);
		must(outside.fd >= 0, "outside");
		put(outside.fd, 0, 100);
		outside.sent = 100;
	}
	fresh = socket(AF_INET, SOCK_STREAM, 0);
	only_bound = bound(AF_INET, SOCK_STREAM, "127.0.0.1", 0);
	port = port_of(only_bound);
	usleep(100000);
	sigprocmask(SIG_BLOCK, &term, &old);
	sigaction(SIGTERM, &sa, NULL);
	fclose(fopen("ready", "w"));
	if (!strcmp(argv[1], "flood"))
		flood(outside.fd >= 0 ? &outside : &child);
	while (!got_term)
		sigsuspend(&old);
	check_all(port);
	f = fopen("verdict.new", "w");
	if (why[0])
		fprintf(f, "FAIL %s\n", why);
	else
		fprintf(f, "OK\n");
	fclose(f);
	rename("verdict.new", "verdict");
	return 0;
}
