// SPDX-License-Identifier: Apache-2.0
/* queues: what waits in sockets of IPv4 and IPv6; one case at a time. Usage: see judge.h. Exit status 3: not here. */
#define _GNU_SOURCE
#include "judge.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define MUST(c) do { if (!(c)) { perror(#c); exit(errno == EPROTONOSUPPORT ? 3 : 1); } } while (0)

static int fds[16];

static socklen_t address(struct sockaddr_storage *a, const char *text, int port)
{
	struct sockaddr_in *a4 = (void *)a;
	struct sockaddr_in6 *a6 = (void *)a;

	memset(a, 0, sizeof(*a));
	a->ss_family = strchr(text, ':') ? AF_INET6 : AF_INET;
	a4->sin_port = htons(port); /* at the same place in both */
	inet_pton(a->ss_family, text, a->ss_family == AF_INET ? (void *)&a4->sin_addr : &a6->sin6_addr);
	return a->ss_family == AF_INET ? sizeof(*a4) : sizeof(*a6);
}

static int port_of(int fd)
{
	struct sockaddr_in6 a;
	socklen_t n = sizeof(a);

	getsockname(fd, (void *)&a, &n);
	return ntohs(a.sin6_port);
}

static int option(int fd, int level, int name, int v)
{
	MUST(!setsockopt(fd, level, name, &v, sizeof(v)));
	return fd;
}

static int bound_as(int fd, const char *at, int port)
{
	struct sockaddr_storage a;

	MUST(fd >= 0 && !bind(fd, (void *)&a, address(&a, at, port)));
	return fd;
}

static int bound(const char *at, int port)
{
	return bound_as(socket(strchr(at, ':') ? AF_INET6 : AF_INET, SOCK_DGRAM, 0), at, port);
}

static void peer(int fd, const char *at, int port)
{
	struct sockaddr_storage a;

	MUST(!connect(fd, (void *)&a, address(&a, at, port)));
}

static void say(int fd, const char *at, int port, const char *text)
{
	struct sockaddr_storage a;

	MUST(sendto(fd, text, strlen(text), 0, (void *)&a, address(&a, at, port)) == (ssize_t)strlen(text));
}

/* the next one is that text and from there */
static int next(int fd, const char *text, const char *from, int port)
{
	static char buf[70000];
	struct sockaddr_storage a, b;
	socklen_t n = sizeof(a), m = address(&b, from, port);
	ssize_t got = recvfrom(fd, buf, sizeof(buf), MSG_DONTWAIT, (void *)&a, &n);

	return got == (ssize_t)strlen(text) && !memcmp(buf, text, got) && n == m && !memcmp(&a, &b, m);
}

static int nothing(int fd)
{
	char c;

	return recv(fd, &c, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static int talks(int from, const char *at, int to)
{
	struct pollfd p = { .fd = to, .events = POLLIN };
	char c[8];

	say(from, at, port_of(to), "later");
	return poll(&p, 1, 5000) == 1 && recv(to, c, sizeof(c), 0) == 5;
}

/* ---- UDP ---- */

static char big[60001];

static void plain(void)
{
	memset(big, 'b', sizeof(big) - 1);
	fds[0] = bound("127.0.0.1", 0);
	fds[1] = bound("127.0.0.1", 0);
	fds[2] = bound("127.0.0.7", 0);
	say(fds[1], "127.0.0.1", port_of(fds[0]), "");
	say(fds[1], "127.0.0.1", port_of(fds[0]), "one");
	say(fds[2], "127.0.0.1", port_of(fds[0]), "");
	say(fds[2], "127.0.0.1", port_of(fds[0]), big);
	say(fds[1], "127.0.0.1", port_of(fds[0]), "last");
}

static void plain_check(void)
{
	int a = port_of(fds[1]), b = port_of(fds[2]);

	CHECK(next(fds[0], "", "127.0.0.1", a));
	CHECK(next(fds[0], "one", "127.0.0.1", a));
	CHECK(next(fds[0], "", "127.0.0.7", b));
	CHECK(next(fds[0], big, "127.0.0.7", b));
	CHECK(next(fds[0], "last", "127.0.0.1", a));
	CHECK(nothing(fds[0]));
	CHECK(talks(fds[1], "127.0.0.1", fds[0]));
}

static void v6(void)
{
	fds[0] = bound("::1", 0);
	fds[1] = bound("::1", 0);
	fds[2] = bound("::", 0); /* of both families */
	fds[3] = bound("127.0.0.1", 0);
	say(fds[1], "::1", port_of(fds[0]), "six");
	say(fds[1], "::1", port_of(fds[2]), "six to both");
	say(fds[3], "127.0.0.1", port_of(fds[2]), "four to both");
}

static void v6_check(void)
{
	CHECK(next(fds[0], "six", "::1", port_of(fds[1])) && nothing(fds[0]));
	CHECK(next(fds[2], "six to both", "::1", port_of(fds[1])));
	CHECK(next(fds[2], "four to both", "::ffff:127.0.0.1", port_of(fds[3])) && nothing(fds[2]));
	CHECK(talks(fds[3], "127.0.0.1", fds[2]));
}

static uint32_t ancillary(int fd, int level, int type, size_t at)
{
	char c[8], control[256];
	struct iovec io = { c, sizeof(c) };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	uint32_t v = 0;

	CHECK(recvmsg(fd, &m, MSG_DONTWAIT | MSG_PEEK) >= 0);
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h))
		if (h->cmsg_level == level && h->cmsg_type == type)
			memcpy(&v, CMSG_DATA(h) + at, 4);
	return v;
}

/* d0 and its addresses are the caller's; from outside of the namespace comes what 10.77.0.9 says there */
static void headers(void)
{
	fds[0] = option(bound("0.0.0.0", 7001), SOL_IP, IP_PKTINFO, 1);
	fds[1] = option(bound("::", 7002), SOL_IPV6, IPV6_RECVPKTINFO, 1);
	fds[2] = option(option(bound("127.0.0.1", 0), SOL_IP, IP_TTL, 33), SOL_IP, IP_TOS, 16);
	fds[3] = option(bound("::1", 0), SOL_IPV6, IPV6_UNICAST_HOPS, 44);
	fds[4] = option(option(bound("127.0.0.1", 0), SOL_IP, IP_RECVTTL, 1), SOL_IP, IP_RECVTOS, 1);
	fds[5] = option(bound("::1", 0), SOL_IPV6, IPV6_RECVHOPLIMIT, 1);
	fds[6] = option(bound("0.0.0.0", 7003), SOL_IP, IP_PKTINFO, 1);
	MUST(!setsockopt(fds[6], SOL_SOCKET, SO_BINDTODEVICE, "d0", 2));
	say(fds[2], "127.0.0.1", port_of(fds[4]), "ttl");
	say(fds[3], "::1", port_of(fds[5]), "hops");
	close(open("listening", O_CREAT | O_WRONLY, 0600));
	for (int i = 0; i < 7; i++) {
		struct pollfd p = { .fd = fds[i], .events = POLLIN };

		MUST(i == 2 || i == 3 || poll(&p, 1, 10000) == 1);
	}
}

static void headers_check(void)
{
	int d0 = if_nametoindex("d0");

	CHECK(ancillary(fds[0], SOL_IP, IP_PKTINFO, 0) == (uint32_t)d0);
	CHECK(ancillary(fds[0], SOL_IP, IP_PKTINFO, 8) == inet_addr("10.77.0.1"));
	CHECK(next(fds[0], "four", "10.77.0.9", 9001) && nothing(fds[0]));
	CHECK(ancillary(fds[1], SOL_IPV6, IPV6_PKTINFO, 16) == (uint32_t)d0);
	CHECK(ancillary(fds[1], SOL_IPV6, IPV6_PKTINFO, 12) == htonl(1));
	CHECK(next(fds[1], "six", "fd77::9", 9002) && nothing(fds[1]));
	CHECK(ancillary(fds[6], SOL_IP, IP_PKTINFO, 0) == (uint32_t)d0);
	CHECK(next(fds[6], "device", "10.77.0.9", 9001) && nothing(fds[6]));
	CHECK(ancillary(fds[4], SOL_IP, IP_TTL, 0) == 33);
	CHECK((ancillary(fds[4], SOL_IP, IP_TOS, 0) & 0xff) == 16);
	CHECK(next(fds[4], "ttl", "127.0.0.1", port_of(fds[2])));
	CHECK(ancillary(fds[5], SOL_IPV6, IPV6_HOPLIMIT, 0) == 44);
	CHECK(next(fds[5], "hops", "::1", port_of(fds[3])));
}

/* several at one port, with a queue each: a group, one for any address, one that has a peer now */
static void shared(void)
{
	static const char *const text[] = { "zero", "one", "two" };

	fds[9] = bound("127.0.0.1", 0);
	fds[8] = bound("127.0.0.2", 0);
	for (int i = 0; i < 3; i++) {
		fds[i] = option(socket(AF_INET, SOCK_DGRAM, 0), SOL_SOCKET, SO_REUSEPORT, 1);
		bound_as(fds[i], "127.0.0.1", 7004);
		peer(fds[i], "127.0.0.1", port_of(fds[9])); /* so that it gets this one, whoever else is there */
		say(fds[9], "127.0.0.1", 7004, text[i]);
		MUST(!connect(fds[i], &(struct sockaddr){ .sa_family = AF_UNSPEC }, sizeof(struct sockaddr)));
	}
	fds[3] = option(socket(AF_INET, SOCK_DGRAM, 0), SOL_SOCKET, SO_REUSEADDR, 1);
	bound_as(fds[3], "0.0.0.0", 7005);
	say(fds[9], "127.0.0.1", 7005, "any");
	fds[4] = option(socket(AF_INET, SOCK_DGRAM, 0), SOL_SOCKET, SO_REUSEADDR, 1);
	bound_as(fds[4], "127.0.0.1", 7005);
	say(fds[9], "127.0.0.1", 7005, "somebody else");
	peer(fds[4], "127.0.0.2", port_of(fds[8]));
	say(fds[8], "127.0.0.1", 7005, "the peer");
}

static void shared_check(void)
{
	struct sockaddr_storage a;
	socklen_t n = sizeof(a);

	CHECK(next(fds[0], "zero", "127.0.0.1", port_of(fds[9])) && nothing(fds[0]));
	CHECK(next(fds[1], "one", "127.0.0.1", port_of(fds[9])) && nothing(fds[1]));
	CHECK(next(fds[2], "two", "127.0.0.1", port_of(fds[9])) && nothing(fds[2]));
	CHECK(next(fds[3], "any", "127.0.0.1", port_of(fds[9])) && nothing(fds[3]));
	CHECK(next(fds[4], "somebody else", "127.0.0.1", port_of(fds[9])));
	CHECK(next(fds[4], "the peer", "127.0.0.2", port_of(fds[8])) && nothing(fds[4]));
	CHECK(!getpeername(fds[4], (void *)&a, &n));
	CHECK(getpeername(fds[1], (void *)&a, &n) < 0);
	for (int i = 0; i < 60; i++)
		say(fds[9], "127.0.0.1", 7004, "spread");
	for (int i = 0; i < 3; i++) {
		int v = 0;

		n = sizeof(v);
		CHECK(!getsockopt(fds[i], SOL_SOCKET, SO_REUSEPORT, &v, &n) && v == 1);
	}
}

/* many small ones in a buffer that is full, a peek offset, shut down for receiving */
static void full(void)
{
	struct sockaddr_storage a;
	socklen_t n;

	fds[0] = option(bound("127.0.0.1", 0), SOL_SOCKET, SO_RCVBUF, 20000);
	fds[1] = bound("127.0.0.1", 0);
	n = address(&a, "127.0.0.1", port_of(fds[0]));
	for (uint32_t i = 0; i < 100; i++)
		sendto(fds[1], &i, sizeof(i), 0, (void *)&a, n);
	fds[2] = option(bound("127.0.0.1", 0), SOL_SOCKET, SO_PEEK_OFF, 2);
	say(fds[1], "127.0.0.1", port_of(fds[2]), "peek");
	fds[3] = bound("127.0.0.1", 0);
	say(fds[1], "127.0.0.1", port_of(fds[3]), "shut");
	shutdown(fds[3], SHUT_RD);
	peer(fds[3], "127.0.0.1", port_of(fds[1]));
	shutdown(fds[3], SHUT_RD);
}

static void full_check(void)
{
	uint32_t v, i = 0;
	socklen_t n = sizeof(v);
	char c[8];

	while (recv(fds[0], &v, sizeof(v), MSG_DONTWAIT) == sizeof(v))
		CHECK(v == i++);
	CHECK(i > 10 && i < 100);
	CHECK(!getsockopt(fds[0], SOL_SOCKET, SO_RCVBUF, &v, &n) && v == 40000);
	CHECK(!getsockopt(fds[2], SOL_SOCKET, SO_PEEK_OFF, &v, &n) && v == 2);
	CHECK(recv(fds[2], c, 8, MSG_PEEK) == 2 && !memcmp(c, "ek", 2));
	CHECK(next(fds[3], "shut", "127.0.0.1", port_of(fds[1])));
}

/* what was only connected is not of IPv6 only, what was bound to an address is */
static void v6only(void)
{
	fds[0] = bound("::1", 0);
	fds[1] = socket(AF_INET6, SOCK_DGRAM, 0);
	peer(fds[1], "::1", port_of(fds[0]));
	MUST(!listen(bound_as(fds[2] = socket(AF_INET6, SOCK_STREAM, 0), "::", 0), 5));
	for (int i = 0; i < 2; i++) {
		fds[3 + 2 * i] = socket(AF_INET6, SOCK_STREAM, 0);
		peer(fds[3 + 2 * i], i ? "::1" : "::ffff:127.0.0.1", port_of(fds[2]));
		fds[4 + 2 * i] = accept(fds[2], NULL, NULL);
	}
	fds[7] = bound("::1", 0);
	peer(fds[7], "::1", port_of(fds[0]));
}

static void v6only_check(void)
{
	char c;

	for (int i = 0; i < 8; i++) {
		int v = -1;
		socklen_t n = sizeof(v);

		CHECK(!getsockopt(fds[i], SOL_IPV6, IPV6_V6ONLY, &v, &n) && v == (i == 0 || i == 7));
	}
	CHECK(send(fds[1], "a", 1, 0) == 1 && next(fds[0], "a", "::1", port_of(fds[1])));
	for (int i = 3; i < 7; i += 2)
		CHECK(send(fds[i], "a", 1, 0) == 1 && recv(fds[i + 1], &c, 1, 0) == 1);
}

static void lite(void)
{
	fds[0] = bound_as(socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE), "127.0.0.1", 0);
	fds[1] = bound_as(socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE), "127.0.0.1", 0);
	say(fds[1], "127.0.0.1", port_of(fds[0]), "light");
}

static void lite_check(void)
{
	CHECK(next(fds[0], "light", "127.0.0.1", port_of(fds[1])) && nothing(fds[0]));
}

/* what the kernel put together comes back one by one */
static void gro(void)
{
	struct sockaddr_storage a;

	fds[0] = option(bound("127.0.0.1", 0), SOL_UDP, 104 /* UDP_GRO */, 1);
	fds[1] = option(bound("127.0.0.1", 0), SOL_UDP, 103 /* UDP_SEGMENT */, 4);
	MUST(sendto(fds[1], "onnetwwothr", 11, 0, (void *)&a, address(&a, "127.0.0.1", port_of(fds[0]))) == 11);
	fds[2] = option(bound("0.0.0.0", 0), SOL_SOCKET, SO_BROADCAST, 1);
	fds[3] = option(bound("127.0.0.1", 0), SOL_SOCKET, SO_BROADCAST, 1);
	say(fds[3], "127.255.255.255", port_of(fds[2]), "everybody");
}

static void gro_check(void)
{
	int v = 0;
	socklen_t n = sizeof(v);
	char c[12], all[12] = "";
	ssize_t got, sum = 0;

	while ((got = recv(fds[0], c, 12, MSG_DONTWAIT)) > 0 && sum + got < 12) {
		memcpy(all + sum, c, got);
		sum += got;
	}
	CHECK(!strcmp(all, "onnetwwothr"));
	CHECK(!getsockopt(fds[0], SOL_UDP, 104, &v, &n) && v == 1);
	CHECK(next(fds[2], "everybody", "127.0.0.1", port_of(fds[3])));
}

/* ---- connections that nobody has accepted yet ---- */

static int listener(const char *at, int backlog)
{
	int fd = socket(strchr(at, ':') ? AF_INET6 : AF_INET, SOCK_STREAM, 0);

	MUST(!listen(bound_as(fd, at, 0), backlog));
	return fd;
}

static int client(const char *at, int port, const char *text)
{
	int fd = socket(strchr(at, ':') ? AF_INET6 : AF_INET, SOCK_STREAM, 0);

	peer(fd, at, port);
	MUST(send(fd, text, strlen(text), MSG_DONTWAIT) == (ssize_t)strlen(text));
	return fd;
}

static void many(int fd, size_t n)
{
	for (uint32_t i = 0; i < n / 4; i++)
		MUST(send(fd, &i, 4, MSG_DONTWAIT) == 4);
}

static int ports[16];

static int accepted(int l, int from)
{
	struct pollfd p = { .fd = l, .events = POLLIN };
	struct sockaddr_in6 a = { 0 };
	socklen_t n = sizeof(a);
	int fd = poll(&p, 1, 5000) == 1 ? accept(l, NULL, NULL) : -1;

	CHECK(fd >= 0);
	if (from >= 0) {
		CHECK(!getpeername(fd, (void *)&a, &n));
		CHECK(ntohs(a.sin6_port) == from);
	}
	return fd;
}

static int hears(int fd, const char *text)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char c[32];
	size_t n = 0;
	ssize_t got;

	while (n < strlen(text) && poll(&p, 1, 5000) == 1 && (got = recv(fd, c + n, strlen(text) - n, 0)) > 0)
		n += got;
	return n == strlen(text) && !memcmp(c, text, n);
}

static int ends(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char c;

	return poll(&p, 1, 5000) == 1 && recv(fd, &c, 1, 0) == 0;
}

static void pending_in(const char *at, const char *to)
{
	int l = listener(at, 10), port = port_of(l);

	fds[0] = l;
	fds[1] = client(to, port, "");
	fds[2] = client(to, port, "hello");
	fds[3] = client(to, port, "half");
	shutdown(fds[3], SHUT_WR);
	fds[4] = client(to, port, "last words");
	fds[6] = client(to, port, "");
	many(fds[6], 400000);
	fds[7] = option(client(to, port, ""), SOL_TCP, TCP_NODELAY, 1);
	for (int i = 1; i < 8; i++)
		ports[i] = fds[i] > 0 ? port_of(fds[i]) : 0;
	close(fds[4]);
	usleep(50000);
}

static void pending(void) { pending_in("127.0.0.1", "127.0.0.1"); }
static void pending6(void) { pending_in("::1", "::1"); }
static void pending_dual(void) { pending_in("::", "127.0.0.1"); }

static void pending_check(void)
{
	int a = accepted(fds[0], ports[1]), b = accepted(fds[0], ports[2]), c = accepted(fds[0], ports[3]), v = 0;
	int d = accepted(fds[0], -1), e = accepted(fds[0], ports[6]), f = accepted(fds[0], ports[7]);
	socklen_t n = sizeof(v);

	CHECK(recv(a, &v, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
	CHECK(send(fds[1], "more", 4, 0) == 4 && hears(a, "more"));
	CHECK(hears(b, "hello") && send(b, "back", 4, 0) == 4 && hears(fds[2], "back"));
	CHECK(hears(c, "half") && ends(c) && send(c, "back", 4, 0) == 4 && hears(fds[3], "back"));
	CHECK(hears(d, "last words") && ends(d));
	for (uint32_t i = 0, got; i < 100000; i++)
		CHECK(recv(e, &got, 4, MSG_WAITALL) == 4 && got == i);
	CHECK(send(fds[7], "late", 4, 0) == 4 && hears(f, "late"));
	CHECK(!getsockopt(fds[7], SOL_TCP, TCP_NODELAY, &v, &n) && v);
	CHECK(!getsockopt(fds[6], SOL_TCP, TCP_NODELAY, &v, &n) && !v);
	CHECK(!getsockopt(fds[7], SOL_SOCKET, SO_REUSEADDR, &v, &n) && !v);
}

static void pending_quiet(void)
{
	fds[0] = listener("127.0.0.1", 10);
	for (int i = 1; i < 5; i++) {
		ports[i] = port_of(fds[i] = client("127.0.0.1", port_of(fds[0]), ""));
		usleep(30000);
	}
	shutdown(fds[3], SHUT_WR);
}

static void pending_quiet_check(void)
{
	for (int i = 1; i < 5; i++) {
		int fd = accepted(fds[0], ports[i]);

		CHECK(i == 3 ? ends(fd) : send(fds[i], "word", 4, 0) == 4 && hears(fd, "word"));
	}
}

/* a full queue: the last ones believe that they are connected; and one that was reset */
static void pending_full(void)
{
	struct linger now = { 1, 0 };

	fds[0] = listener("127.0.0.1", 2);
	for (int i = 1; i < 4; i++)
		ports[i] = port_of(fds[i] = client("127.0.0.1", port_of(fds[0]), "full"));
	setsockopt(fds[2], SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fds[2]);
	usleep(50000);
}

static void pending_full_check(void)
{
	int a = accepted(fds[0], ports[1]), b = accepted(fds[0], -1), c = accepted(fds[0], ports[3]);
	struct tcp_info ti;
	socklen_t n = sizeof(ti);
	char buf[8];

	CHECK(hears(a, "full") && hears(b, "full") && hears(c, "full"));
	CHECK(recv(b, buf, 8, 0) < 0 && errno == ECONNRESET);
	CHECK(!getsockopt(fds[0], SOL_TCP, TCP_INFO, &ti, &n) && ti.tcpi_sacked == 2);
}

/* each listener of a group has its own */
static void pending_group(void)
{
	struct sockaddr_storage a;

	for (int i = 0; i < 4; i++) {
		fds[i] = option(socket(AF_INET, SOCK_STREAM, 0), SOL_SOCKET, SO_REUSEPORT, 1);
		MUST(!bind(fds[i], (void *)&a, address(&a, "127.0.0.1", 7010)) && !listen(fds[i], 30));
	}
	for (int i = 0; i < 20; i++) {
		char text[8];

		snprintf(text, sizeof(text), "from%02d", i);
		client("127.0.0.1", 7010, text);
	}
	for (int i = 0; i < 4; i++) {
		struct tcp_info ti;
		socklen_t n = sizeof(ti);

		MUST(!getsockopt(fds[i], SOL_TCP, TCP_INFO, &ti, &n));
		ports[i] = ti.tcpi_unacked;
	}
}

static void pending_group_check(void)
{
	for (int i = 0; i < 4; i++) {
		int n = 0;

		for (struct pollfd p = { .fd = fds[i], .events = POLLIN }; poll(&p, 1, 100) == 1; n++)
			CHECK(hears(accept(fds[i], NULL, NULL), "from"));
		CHECK(n == ports[i]);
	}
	for (int i = 0; i < 60; i++) /* by chance again */
		client("127.0.0.1", 7010, "");
	for (int i = 0; i < 4; i++) {
		struct pollfd p = { .fd = fds[i], .events = POLLIN };

		CHECK(poll(&p, 1, 1000) == 1);
	}
}

static const struct {
	const char *name;
	void (*make)(void), (*check)(void);
} cases[] = {
	{ "plain", plain, plain_check }, { "v6", v6, v6_check },	 { "headers", headers, headers_check },
	{ "shared", shared, shared_check }, { "full", full, full_check }, { "lite", lite, lite_check },
	{ "gro", gro, gro_check }, { "v6only", v6only, v6only_check }, { "pending", pending, pending_check }, { "pending6", pending6, pending_check },
	{ "pending-dual", pending_dual, pending_check }, { "pending-quiet", pending_quiet, pending_quiet_check },
	{ "pending-full", pending_full, pending_full_check }, { "pending-group", pending_group, pending_group_check },
};

int main(int argc, char **argv)
{
	size_t i = 0;

	if (judge_begin(argc, argv) < 0)
		return 2;
	setsid();
	while (i < sizeof(cases) / sizeof(cases[0]) && strcmp(argv[1], cases[i].name))
		i++;
	if (i == sizeof(cases) / sizeof(cases[0]))
		return 2;
	cases[i].make();
	wait_term();
	cases[i].check();
	finish();
}
