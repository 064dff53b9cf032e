// SPDX-License-Identifier: Apache-2.0
/*
 * sockets-more: what else sockets have, one thing at a time. Usage: sockets-more CASE DIR, as in judge.h.
 * Exit status 3: this kernel has none of it.
 */
#define _GNU_SOURCE
#include "judge.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static int fds[16], n_fds;

static int add(int fd)
{
	CHECK(fd >= 0);
	return fds[n_fds++] = fd;
}

static struct sockaddr_in local(int port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = { htonl(INADDR_LOOPBACK) } };
}

static int port_of(int fd)
{
	struct sockaddr_in a = { 0 };
	socklen_t n = sizeof(a);

	getsockname(fd, (void *)&a, &n);
	return ntohs(a.sin_port);
}

/* An own network namespace has its lo down. */
static void lo_up(void)
{
	struct ifreq r = { .ifr_name = "lo" };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (ioctl(fd, SIOCGIFFLAGS, &r) == 0 && !(r.ifr_flags & IFF_UP)) {
		r.ifr_flags |= IFF_UP;
		ioctl(fd, SIOCSIFFLAGS, &r);
	}
	close(fd);
}

static int shared_udp(int port)
{
	struct sockaddr_in at = local(port);
	int on = 1, fd = socket(AF_INET, SOCK_DGRAM, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	if (bind(fd, (void *)&at, sizeof(at)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* ---- whose they are: one that another user makes belongs to that one, as long as it lives ---- */

enum { USER = 61, GROUP = 51 };

static void be(int uid, int gid)
{
	setfsgid(gid);
	setfsuid(uid);
}

static void owned(void)
{
	struct sockaddr_in at = local(0);
	struct sockaddr_un un = { AF_UNIX, "\0owned" };
	int l, pair[2];

	be(USER, GROUP);
	add(shared_udp(0));
	l = add(socket(AF_INET, SOCK_STREAM, 0));
	CHECK(bind(l, (void *)&at, sizeof(at)) == 0 && listen(l, 3) == 0);
	at = local(port_of(l));
	CHECK(connect(add(socket(AF_INET, SOCK_STREAM, 0)), (void *)&at, sizeof(at)) == 0);
	add(accept(l, NULL, NULL));
	add(socket(AF_INET6, SOCK_STREAM, 0));
	add(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
	add(socket(AF_PACKET, SOCK_DGRAM, 0));
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	add(pair[0]);
	add(pair[1]);
	be(0, 0);
	l = add(socket(AF_UNIX, SOCK_STREAM, 0));
	CHECK(bind(l, (void *)&un, sizeof(un)) == 0 && listen(l, 3) == 0 && fchown(l, USER, GROUP) == 0);
	be(USER, GROUP);
	CHECK(connect(add(socket(AF_UNIX, SOCK_STREAM, 0)), (void *)&un, sizeof(un)) == 0);
	add(accept(l, NULL, NULL));
	add(socket(AF_UNIX, SOCK_DGRAM, 0));
	be(0, 0);
	add(socket(AF_INET, SOCK_DGRAM, 0));
	CHECK(fchmod(fds[1], 0640) == 0 && fchmod(pair[0], 0600) == 0);
}

static void owned_check(void)
{
	struct stat st;

	for (int i = 0; i < n_fds; i++) {
		int root = i == n_fds - 1;

		CHECK(fstat(fds[i], &st) == 0);
		if (st.st_uid != (root ? 0 : USER) || st.st_gid != (root ? 0 : GROUP))
			snprintf(why, sizeof(why), "socket %d: belongs to %u and %u", i, st.st_uid, st.st_gid);
		CHECK((st.st_mode & 07777) == (i == 1 ? 0640u : i == 7 ? 0600u : 0777u));
	}
	CHECK(shared_udp(port_of(fds[0])) < 0); /* a port is shared with sockets of the same user only */
	be(USER, GROUP);
	CHECK(shared_udp(port_of(fds[0])) >= 0);
	be(0, 0);
}

/* The caller has nftables drop what that user's sockets send, which is the one who made them. */
static void filtered(void)
{
	be(USER, 0);
	add(socket(AF_INET, SOCK_DGRAM, 0));
	be(0, 0);
	add(socket(AF_INET, SOCK_DGRAM, 0));
}

static void filtered_check(void)
{
	struct sockaddr_in to = local(9);

	CHECK(sendto(fds[0], "x", 1, 0, (void *)&to, sizeof(to)) < 0 && errno == EPERM);
	CHECK(sendto(fds[1], "x", 1, 0, (void *)&to, sizeof(to)) == 1);
}

int main(int argc, char **argv)
{
	static const struct judge_case cases[] = {
		{ "owned", owned, owned_check },
		{ "filtered", filtered, filtered_check },
		{ NULL, NULL, NULL },
	};

	lo_up();
	return judge_begin(argc, argv) < 0 ? 2 : judge_case(cases, argv[1]);
}
