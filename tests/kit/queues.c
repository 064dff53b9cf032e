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

static const struct {
	const char *name;
	void (*make)(void), (*check)(void);
} cases[] = {
	{ "plain", plain, plain_check }, { "v6", v6, v6_check },	 { "headers", headers, headers_check },
	{ "shared", shared, shared_check }, { "full", full, full_check }, { "lite", lite, lite_check },
	{ "gro", gro, gro_check },
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
