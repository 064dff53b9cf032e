// SPDX-License-Identifier: Apache-2.0
/*
 * sockets: one sort of socket at a time, which checks itself.
 * Usage: sockets WHAT DIR. DIR/ready appears when it is set up; on SIGTERM DIR/verdict says OK or what is wrong.
 * Exit status 3: this kernel has none of it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/errqueue.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char why[200];

static void check(int ok, const char *what)
{
	if (!ok && !why[0])
		snprintf(why, sizeof(why), "%s (errno %d)", what, errno);
}

static void must(int ok, const char *what)
{
	int e = errno;

	if (!ok) {
		perror(what);
		exit(e == EPROTONOSUPPORT || e == ESOCKTNOSUPPORT || e == EAFNOSUPPORT || e == ENODEV || e == ENOPROTOOPT ? 3 : 1);
	}
}

static struct sockaddr_in local(int port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port),
				     .sin_addr = { htonl(INADDR_LOOPBACK) } };
}

static int port_of(int fd)
{
	struct sockaddr_in a;
	socklen_t n = sizeof(a);

	getsockname(fd, (void *)&a, &n);
	return ntohs(a.sin_port);
}

static int listener(int protocol)
{
	struct sockaddr_in a = local(0);
	int fd = socket(AF_INET, SOCK_STREAM, protocol);

	must(fd >= 0, "socket");
	must(!bind(fd, (void *)&a, sizeof(a)) && !listen(fd, 5), "listen");
	return fd;
}

static int client(int port, int nonblock)
{
	struct sockaddr_in a = local(port);
	int fd = socket(AF_INET, SOCK_STREAM | nonblock, 0);

	if (connect(fd, (void *)&a, sizeof(a)) < 0 && !nonblock)
		return -1;
	return fd;
}

/* does what one end sends arrive at the other? */
static int talks(int a, int b)
{
	struct pollfd p = { .fd = b, .events = POLLIN };
	char c[8] = "";

	return send(a, "hello", 5, MSG_NOSIGNAL) == 5 && poll(&p, 1, 8000) == 1 && recv(b, c, 8, 0) == 5 &&
	       !memcmp(c, "hello", 5);
}

static int a, b, l, fds[6];

/* ---- groups ---- */

static void join(int fd, int level, const char *group, const char *source)
{
	struct group_req q = { .gr_interface = if_nametoindex("lo") };
	struct group_source_req sq = { .gsr_interface = q.gr_interface };
	int family = level == SOL_IP ? AF_INET : AF_INET6;
	void *at = family == AF_INET ? (void *)&((struct sockaddr_in *)&q.gr_group)->sin_addr :
				       (void *)&((struct sockaddr_in6 *)&q.gr_group)->sin6_addr;

	q.gr_group.ss_family = family;
	inet_pton(family, group, at);
	if (!source) {
		must(!setsockopt(fd, level, MCAST_JOIN_GROUP, &q, sizeof(q)), group);
		return;
	}
	sq.gsr_group = q.gr_group;
	sq.gsr_source.ss_family = family;
	inet_pton(family, source,
		  family == AF_INET ? (void *)&((struct sockaddr_in *)&sq.gsr_source)->sin_addr :
				      (void *)&((struct sockaddr_in6 *)&sq.gsr_source)->sin6_addr);
	must(!setsockopt(fd, level, MCAST_JOIN_SOURCE_GROUP, &sq, sizeof(sq)), group);
}

/* members of the group on lo: sources they are limited to, -1: none of it */
static int member(int fd, int level, const char *group)
{
	char buf[GROUP_FILTER_SIZE(8)] = "";
	struct group_filter *f = (void *)buf;
	socklen_t n = sizeof(buf);

	f->gf_interface = if_nametoindex("lo");
	f->gf_numsrc = 8;
	f->gf_group.ss_family = level == SOL_IP ? AF_INET : AF_INET6;
	inet_pton(f->gf_group.ss_family, group,
		  level == SOL_IP ? (void *)&((struct sockaddr_in *)&f->gf_group)->sin_addr :
				    (void *)&((struct sockaddr_in6 *)&f->gf_group)->sin6_addr);
	return getsockopt(fd, level, MCAST_MSFILTER, f, &n) < 0 ? -1 : (int)(f->gf_numsrc + 100 * f->gf_fmode);
}

static void groups(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET };

	a = socket(AF_INET, SOCK_DGRAM, 0);
	must(!bind(a, (void *)&to, sizeof(to)), "bind");
	join(a, SOL_IP, "239.7.7.7", NULL);
	join(a, SOL_IP, "232.7.7.7", "127.0.0.1");
	join(a, SOL_IP, "232.7.7.7", "127.0.0.9");
	b = socket(AF_INET6, SOCK_DGRAM, 0);
	join(b, SOL_IPV6, "ff02::7777", NULL);
	join(b, SOL_IPV6, "ff32::7777", "::1");
	l = socket(AF_INET, SOCK_DGRAM, 0); /* in none */
}

static void groups_check(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port_of(a)) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct ip_mreqn lo = { .imr_ifindex = if_nametoindex("lo") };
	struct pollfd p = { .fd = a, .events = POLLIN };
	struct sockaddr_in from = local(0);

	check(member(a, SOL_IP, "239.7.7.7") == 100 * MCAST_EXCLUDE, "in a group");
	check(member(a, SOL_IP, "232.7.7.7") == 100 * MCAST_INCLUDE + 2, "in a group, from two senders");
	check(member(b, SOL_IPV6, "ff02::7777") == 100 * MCAST_EXCLUDE, "in a group of IPv6");
	check(member(b, SOL_IPV6, "ff32::7777") == 100 * MCAST_INCLUDE + 1, "in a group of IPv6, from one sender");
	check(member(l, SOL_IP, "239.7.7.7") == -1, "in no group");
	bind(fd, (void *)&from, sizeof(from));
	setsockopt(fd, SOL_IP, IP_MULTICAST_IF, &lo, sizeof(lo));
	inet_pton(AF_INET, "239.7.7.7", &to.sin_addr);
	sendto(fd, "x", 1, 0, (void *)&to, sizeof(to));
	check(poll(&p, 1, 5000) == 1, "hears its group");
}

/* ---- TCP ---- */

static void key(int fd)
{
	struct tcp_md5sig k = { .tcpm_keylen = 6 };
	struct sockaddr_in at = local(0);

	memcpy(&k.tcpm_addr, &at, sizeof(at));
	memcpy(k.tcpm_key, "secret", 6);
	must(!setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG, &k, sizeof(k)), "TCP_MD5SIG");
}

static int with_key(int port)
{
	struct sockaddr_in at = local(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	key(fd);
	connect(fd, (void *)&at, sizeof(at));
	return poll(&p, 1, 5000) == 1 && !(p.revents & (POLLERR | POLLHUP)) ? fd : -1;
}

static void md5(void)
{
	l = listener(0);
	key(l);
	a = with_key(port_of(l));
	must(a >= 0, "connect with a key");
	b = accept(l, NULL, NULL);
	must(talks(a, b), "talk");
}

static void md5_check(void)
{
	struct pollfd p = { .events = POLLOUT };

	check(talks(a, b) && talks(b, a), "signed connection");
	check(with_key(port_of(l)) >= 0, "a new one with the key");
	p.fd = client(port_of(l), SOCK_NONBLOCK);
	check(poll(&p, 1, 300) == 0, "none without");
}

static void mptcp(void)
{
	l = listener(262);
	a = client(port_of(l), 0);
	b = accept(l, NULL, NULL);
	must(a >= 0 && b >= 0 && talks(a, b), "talk");
}

static void mptcp_check(void)
{
	int v = 0;
	socklen_t n = sizeof(v);

	check(talks(a, b) && talks(b, a), "a client that knows TCP only");
	check(!getsockopt(l, SOL_SOCKET, SO_PROTOCOL, &v, &n) && v == 262, "still MPTCP");
	a = client(port_of(l), 0);
	b = accept(l, NULL, NULL);
	check(talks(a, b), "a new one");
}

/* a listener that drops what comes: its client stays in SYN_SENT */
static void syn_sent(void)
{
	struct sock_filter f[] = { BPF_STMT(BPF_RET | BPF_K, 0) };
	struct sock_fprog p = { 1, f };

	l = listener(0);
	must(!setsockopt(l, SOL_SOCKET, SO_ATTACH_FILTER, &p, sizeof(p)), "filter");
	a = client(port_of(l), SOCK_NONBLOCK);
	fds[0] = port_of(a);
	must(fds[0] > 0, "port");
}

static void syn_sent_check(void)
{
	struct pollfd p = { .fd = a, .events = POLLOUT };
	struct tcp_info ti = { 0 };
	socklen_t n = sizeof(ti);

	check(!getsockopt(a, IPPROTO_TCP, TCP_INFO, &ti, &n) && ti.tcpi_state == TCP_SYN_SENT, "SYN_SENT");
	check(fcntl(a, F_GETFL) & O_NONBLOCK && port_of(a) == fds[0], "flags and port");
	setsockopt(l, SOL_SOCKET, SO_DETACH_FILTER, &n, sizeof(n));
	check(poll(&p, 1, 20000) == 1 && !(p.revents & POLLERR), "it connects in the end");
	b = accept(l, NULL, NULL);
	check(talks(a, b) && talks(b, a), "talk");
}

static void urgent(void)
{
	l = listener(0);
	a = client(port_of(l), 0);
	b = accept(l, NULL, NULL);
	must(send(a, "abc", 3, MSG_OOB) == 3 && send(a, "def", 3, 0) == 3, "send");
	usleep(50000);
	if (fds[0]) { /* the urgent byte was read, what is around it was not */
		char c;

		must(recv(b, &c, 1, MSG_OOB) == 1 && c == 'c', "urgent");
	}
}

static void urgent_read(void)
{
	fds[0] = 1;
	urgent();
}

static void urgent_check(void)
{
	char c[9] = "";

	check(recv(b, c, 8, 0) == 2 && !memcmp(c, "ab", 2), "before the mark");
	if (!fds[0])
		check(recv(b, c, 8, MSG_OOB) == 1 && c[0] == 'c', "urgent byte");
	check(recv(b, c, 8, 0) == 3 && !memcmp(c, "def", 3), "after the mark");
}

/* the mark is at the first byte, and all comes in one stream */
static void urgent_inline(void)
{
	int on = 1;

	l = listener(0);
	a = client(port_of(l), 0);
	b = accept(l, NULL, NULL);
	must(!setsockopt(b, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on)) && !fcntl(b, F_SETOWN, getpid()), "in line");
	signal(SIGURG, SIG_DFL);
	must(send(a, "!", 1, MSG_OOB) == 1 && send(a, "def", 3, 0) == 3 && !shutdown(a, SHUT_WR), "send");
	usleep(50000);
}

static void urgent_inline_check(void)
{
	char c[9] = "";
	int on = 0;
	socklen_t n = sizeof(on);

	check(!ioctl(b, SIOCATMARK, &on) && on, "at the mark");
	check(recv(b, c, 8, 0) == 4 && !memcmp(c, "!def", 4), "all");
	check(!ioctl(b, SIOCATMARK, &on) && !on, "behind the mark");
	check(recv(b, c, 8, 0) == 0, "end");
	check(!getsockopt(b, SOL_SOCKET, SO_OOBINLINE, &on, &n) && on && fcntl(b, F_GETOWN) == getpid(), "options");
	check(talks(b, a), "the other way");
}

/* the client thinks it is connected, the server waits for its first words */
static void deferred(void)
{
	int on = 30;

	l = listener(0);
	setsockopt(l, IPPROTO_TCP, TCP_DEFER_ACCEPT, &on, sizeof(on));
	a = client(port_of(l), 0);
	must(a >= 0, "connect");
}

static void deferred_check(void)
{
	check(send(a, "hello", 5, MSG_NOSIGNAL) == 5, "send");
	b = accept(l, NULL, NULL);
	check(b >= 0 && recv(b, fds, 8, 0) == 5 && talks(b, a), "talk");
}

/* ---- UDP ---- */

static void datagrams(void)
{
	struct sockaddr_in at = local(0);

	l = socket(AF_INET, SOCK_DGRAM, 0);
	must(!bind(l, (void *)&at, sizeof(at)), "bind");
	at = local(port_of(l));
	a = socket(AF_INET, SOCK_DGRAM, 0);
	must(!connect(a, (void *)&at, sizeof(at)) && send(a, "one", 3, 0) == 3 && send(a, "three", 5, 0) == 5, "send");
}

static void datagrams_check(void)
{
	char c[9] = "";
	struct sockaddr_in from = { 0 };
	socklen_t n = sizeof(from);

	check(recvfrom(l, c, 8, MSG_DONTWAIT, (void *)&from, &n) == 3 && !memcmp(c, "one", 3), "the first");
	check(from.sin_port == htons(port_of(a)) && from.sin_addr.s_addr == htonl(INADDR_LOOPBACK), "its sender");
	check(recv(l, c, 8, MSG_DONTWAIT) == 5 && !memcmp(c, "three", 5), "the last");
	check(recv(l, c, 8, MSG_DONTWAIT) < 0 && errno == EAGAIN, "no more");
	check(talks(a, l), "new ones");
}

static void errors(void)
{
	int on = 1;
	struct sockaddr_in at;

	l = socket(AF_INET, SOCK_DGRAM, 0);
	at = local(0);
	must(!bind(l, (void *)&at, sizeof(at)), "bind");
	at = local(port_of(l));
	close(l);
	a = socket(AF_INET, SOCK_DGRAM, 0);
	setsockopt(a, SOL_IP, IP_RECVERR, &on, sizeof(on));
	must(!connect(a, (void *)&at, sizeof(at)) && send(a, "x", 1, 0) == 1, "send");
	usleep(50000);
}

static void none_check(void)
{
}

/* ---- unix ---- */

static volatile sig_atomic_t told_urgent;

static void on_urgent(int sig)
{
	told_urgent++;
}

/* Its owner is told once, now. */
static void unix_oob(void)
{
	signal(SIGURG, on_urgent);
	must(!socketpair(AF_UNIX, SOCK_STREAM, 0, fds) && !fcntl(fds[1], F_SETOWN, getpid()) &&
	     send(fds[0], "abc", 3, MSG_OOB) == 3 && send(fds[0], "def", 3, 0) == 3 && told_urgent == 1, "MSG_OOB");
}

static void unix_oob_first(void)
{
	char c[2];

	unix_oob();
	must(recv(fds[1], c, 2, 0) == 2, "recv");
}

static void unix_oob_inline(void)
{
	int on = 1;

	unix_oob();
	must(!setsockopt(fds[1], SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on)), "in line");
}

static void unix_oob_passcred(void)
{
	int on = 1;

	unix_oob();
	must(!setsockopt(fds[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), "SO_PASSCRED");
}

static void unix_oob_check(void)
{
	char c[9] = "";

	check(recv(fds[1], c, 8, 0) == 2 && !memcmp(c, "ab", 2), "before the mark");
	check(recv(fds[1], c, 8, MSG_OOB) == 1 && c[0] == 'c', "urgent byte");
	check(recv(fds[1], c, 8, 0) == 3 && !memcmp(c, "def", 3), "after the mark");
	check(told_urgent == 1 && fcntl(fds[1], F_GETOWN) == getpid(), "owner");
}

static void unix_oob_first_check(void)
{
	char c[9] = "";
	int on = 0;

	check(!ioctl(fds[1], SIOCATMARK, &on) && on, "at the mark");
	check(recv(fds[1], c, 8, MSG_OOB) == 1 && c[0] == 'c', "urgent byte");
	check(recv(fds[1], c, 8, 0) == 3 && !memcmp(c, "def", 3) && told_urgent == 1, "after the mark");
}

static void unix_oob_inline_check(void)
{
	char c[9] = "";
	int on = 0;

	check(recv(fds[1], c, 8, 0) == 2 && !memcmp(c, "ab", 2), "before the mark");
	check(!ioctl(fds[1], SIOCATMARK, &on) && on, "at the mark");
	check(recv(fds[1], c, 8, 0) == 4 && !memcmp(c, "cdef", 4) && told_urgent == 1, "the rest");
}

static struct sockaddr_un name;
static socklen_t name_len = sizeof(name);

static void autobound(void)
{
	struct sockaddr_un none = { .sun_family = AF_UNIX };

	a = socket(AF_UNIX, SOCK_DGRAM, 0);
	must(!bind(a, (void *)&none, sizeof(sa_family_t)) && !getsockname(a, (void *)&name, &name_len), "autobind");
	must(name_len == sizeof(sa_family_t) + 6, "its length");
	b = socket(AF_UNIX, SOCK_DGRAM, 0);
	must(!connect(b, (void *)&name, name_len), "connect");
}

static void autobound_check(void)
{
	struct sockaddr_un now;
	socklen_t n = sizeof(now);

	check(!getsockname(a, (void *)&now, &n) && n == name_len && !memcmp(&now, &name, n), "its name");
	check(talks(b, a), "talk");
}

/* ---- several that share ---- */

static pid_t twin;

/* two tasks, each with its listener at the same port: each gets its part */
static void reuseport(void)
{
	struct sockaddr_in at = local(0);
	int on = 1, p[2], to[2];

	must(!pipe(p) && !pipe(to), "pipe");
	l = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(l, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	must(!bind(l, (void *)&at, sizeof(at)) && !listen(l, 50), "listen");
	at = local(port_of(l));
	twin = fork();
	if (!twin) {
		char c;

		close(l);
		l = socket(AF_INET, SOCK_STREAM, 0);
		setsockopt(l, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
		must(!bind(l, (void *)&at, sizeof(at)) && !listen(l, 50), "listen beside it");
		must(write(p[1], "x", 1) == 1 && read(to[0], &c, 1) == 1, "wait");
		fcntl(l, F_SETFL, O_NONBLOCK);
		on = 0;
		while (accept(l, NULL, NULL) >= 0)
			on++;
		_exit(on);
	}
	must(read(p[0], &on, 1) == 1, "its twin");
	fds[0] = to[1];
}

static void reuseport_check(void)
{
	int mine = 0, status = 0;

	for (int i = 0; i < 40; i++)
		check(client(port_of(l), 0) >= 0, "connect");
	check(write(fds[0], "x", 1) == 1 && waitpid(twin, &status, 0) == twin, "its twin");
	fcntl(l, F_SETFL, O_NONBLOCK);
	while (accept(l, NULL, NULL) >= 0)
		mine++;
	check(mine > 0 && mine < 40 && mine + WEXITSTATUS(status) == 40, "both get some");
}

static void fanout(void)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP),
				  .sll_ifindex = if_nametoindex("lo") };
	int group = 4242 | PACKET_FANOUT_LB << 16;
	struct packet_mreq promisc = { .mr_ifindex = at.sll_ifindex, .mr_type = PACKET_MR_PROMISC };

	for (int i = 0; i < 2; i++) {
		fds[i] = socket(AF_PACKET, SOCK_DGRAM, 0);
		must(!bind(fds[i], (void *)&at, sizeof(at)) &&
		     !setsockopt(fds[i], SOL_PACKET, PACKET_FANOUT, &group, sizeof(group)), "fanout");
	}
	must(!setsockopt(fds[0], SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promisc, sizeof(promisc)), "promisc");
}

static void fanout_check(void)
{
	struct sockaddr_in to = local(9);
	int s = socket(AF_INET, SOCK_DGRAM, 0), v = 0;
	struct packet_mreq promisc = { .mr_ifindex = if_nametoindex("lo"), .mr_type = PACKET_MR_PROMISC };
	socklen_t n = sizeof(v);

	for (int i = 0; i < 2; i++) {
		v = 0;
		check(!getsockopt(fds[i], SOL_PACKET, PACKET_FANOUT, &v, &n) && (v & 0xffff) == 4242, "group");
	}
	for (int i = 0; i < 20; i++)
		sendto(s, "x", 1, 0, (void *)&to, sizeof(to));
	for (int i = 0; i < 2; i++) {
		struct pollfd p = { .fd = fds[i], .events = POLLIN };

		check(poll(&p, 1, 3000) == 1, "each gets some");
	}
	check(!setsockopt(fds[0], SOL_PACKET, PACKET_DROP_MEMBERSHIP, &promisc, sizeof(promisc)), "promisc");
}

/* groups above 32 need NETLINK_ADD_MEMBERSHIP */
static void netlink(void)
{
	int group = RTNLGRP_STATS;

	a = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	must(!setsockopt(a, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)), "group");
}

static void netlink_check(void)
{
	uint32_t words[4] = { 0 };
	socklen_t n = sizeof(words);

	check(!getsockopt(a, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, words, &n) &&
	      words[(RTNLGRP_STATS - 1) / 32] == 1u << (RTNLGRP_STATS - 1) % 32, "group above 32");
}

static void netlink_queued(void)
{
	struct {
		struct nlmsghdr h;
		struct rtgenmsg g;
	} m = { { sizeof(m), RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 1, 0 }, { AF_UNSPEC } };

	a = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	must(send(a, &m, sizeof(m), 0) == sizeof(m), "ask");
}

/* bound to a device, and to addresses that mean something there only; d0 is set up by the caller */
static struct sockaddr_in6 scoped_at = { .sin6_family = AF_INET6 };

static void scoped(void)
{
	socklen_t n = sizeof(scoped_at);

	scoped_at.sin6_scope_id = if_nametoindex("d0");
	inet_pton(AF_INET6, "fe80::77", &scoped_at.sin6_addr);
	l = socket(AF_INET6, SOCK_STREAM, 0);
	must(!setsockopt(l, SOL_SOCKET, SO_BINDTODEVICE, "d0", 2) && !bind(l, (void *)&scoped_at, n) && !listen(l, 3), "bind");
	getsockname(l, (void *)&scoped_at, &n);
	a = socket(AF_INET6, SOCK_STREAM, 0);
	must(!connect(a, (void *)&scoped_at, n), "connect");
	b = accept(l, NULL, NULL);
	must(talks(a, b), "talk");
}

static void scoped_check(void)
{
	struct sockaddr_in6 now;
	socklen_t n = sizeof(now);

	check(!getsockname(l, (void *)&now, &n) && !memcmp(&now, &scoped_at, n), "scope of a listener");
	check(!getpeername(a, (void *)&now, &n) && !memcmp(&now, &scoped_at, n), "scope of a peer");
	check(talks(a, b) && talks(b, a), "talk");
	a = socket(AF_INET6, SOCK_STREAM, 0);
	check(!connect(a, (void *)&scoped_at, n) && talks(a, accept(l, NULL, NULL)), "a new one");
}

/* closed by the program, but the kernel still sends; its peer does not read */
static void closed(void)
{
	static char big[1 << 20];
	int small = 4096;

	l = listener(0);
	setsockopt(l, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	a = client(port_of(l), 0);
	b = accept(l, NULL, NULL);
	must(send(a, big, sizeof(big), MSG_DONTWAIT) > 0, "send");
	close(a);
}

/* ---- families that are refused, and how they are refused ---- */

static void other(int family, int type, int protocol)
{
	a = socket(family, type, protocol);
	must(a >= 0, "socket");
}

static void xdp(void) { other(44, SOCK_RAW, 0); }
static void alg(void) { other(38, SOCK_SEQPACKET, 0); }
static void can(void) { other(29, SOCK_RAW, 1); }
static void sctp(void) { other(AF_INET, SOCK_SEQPACKET, 132); }

static void mptcp_client(void)
{
	struct sockaddr_in at;

	l = listener(262);
	at = local(port_of(l));
	other(AF_INET, SOCK_STREAM, 262);
	must(!connect(a, (void *)&at, sizeof(at)), "connect");
	b = accept(l, NULL, NULL);
}

/* one that fell back, as its listener knows TCP only */
static void mptcp_fallen(void)
{
	struct sockaddr_in at;

	l = listener(0);
	at = local(port_of(l));
	other(AF_INET, SOCK_STREAM, 262);
	must(!connect(a, (void *)&at, sizeof(at)), "connect");
	b = accept(l, NULL, NULL);
	must(talks(a, b), "talk");
}

/* both ends are closed, as if the peer had done so, and are still MPTCP's */
static void mptcp_closed_check(void)
{
	struct sockaddr_in at = local(port_of(l));
	socklen_t n = sizeof(int);
	int v = 0;
	char c;

	check(recv(a, &c, 1, MSG_DONTWAIT) == 0 && recv(b, &c, 1, MSG_DONTWAIT) == 0, "their end");
	check(send(a, "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE, "sending");
	check(!getsockopt(a, SOL_SOCKET, SO_PROTOCOL, &v, &n) && v == 262, "still MPTCP");
	a = socket(AF_INET, SOCK_STREAM, 262);
	check(!connect(a, (void *)&at, sizeof(at)) && talks(a, accept(l, NULL, NULL)), "a new one");
}

static void corked(void)
{
	int on = 1;
	struct sockaddr_in at = local(9);

	a = socket(AF_INET, SOCK_DGRAM, 0);
	setsockopt(a, IPPROTO_UDP, 1, &on, sizeof(on));
	must(!connect(a, (void *)&at, sizeof(at)) && send(a, "half", 4, 0) == 4, "send");
}

static const struct {
	const char *name;
	void (*make)(void), (*check)(void);
} sorts[] = {
	{ "groups", groups, groups_check },
	{ "md5", md5, md5_check },
	{ "mptcp", mptcp, mptcp_check },
	{ "mptcp-client", mptcp_client, none_check },
	{ "mptcp-fallen", mptcp_fallen, none_check },
	{ "mptcp-closed", mptcp_client, mptcp_closed_check },
	{ "syn-sent", syn_sent, syn_sent_check },
	{ "urgent", urgent, urgent_check },
	{ "urgent-read", urgent_read, urgent_check },
	{ "urgent-inline", urgent_inline, urgent_inline_check },
	{ "deferred", deferred, deferred_check },
	{ "datagrams", datagrams, datagrams_check },
	{ "errors", errors, none_check },
	{ "unix-oob", unix_oob, unix_oob_check },
	{ "unix-oob-first", unix_oob_first, unix_oob_first_check },
	{ "unix-oob-inline", unix_oob_inline, unix_oob_inline_check },
	{ "unix-oob-passcred", unix_oob_passcred, unix_oob_check },
	{ "autobound", autobound, autobound_check },
	{ "reuseport", reuseport, reuseport_check },
	{ "fanout", fanout, fanout_check },
	{ "netlink", netlink, netlink_check },
	{ "netlink-queued", netlink_queued, none_check },
	{ "scoped", scoped, scoped_check },
	{ "closed", closed, none_check },
	{ "xdp", xdp, none_check },
	{ "alg", alg, none_check },
	{ "can", can, none_check },
	{ "sctp", sctp, none_check },
	{ "corked", corked, none_check },
};

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

int main(int argc, char **argv)
{
	char name[4200], to[4200];
	sigset_t term;
	size_t i = 0;
	FILE *f;
	int sig;

	setsid();
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, NULL);
	lo_up();
	while (i < sizeof(sorts) / sizeof(sorts[0]) && (argc != 3 || strcmp(argv[1], sorts[i].name)))
		i++;
	if (i == sizeof(sorts) / sizeof(sorts[0]))
		return 2;
	sorts[i].make();
	snprintf(name, sizeof(name), "%s/ready", argv[2]);
	fclose(fopen(name, "w"));
	sigwait(&term, &sig);
	sorts[i].check();
	snprintf(name, sizeof(name), "%s/verdict.tmp", argv[2]);
	f = fopen(name, "w");
	fprintf(f, why[0] ? "FAIL %s\n" : "OK\n", why);
	fclose(f);
	snprintf(to, sizeof(to), "%s/verdict", argv[2]);
	rename(name, to);
	return 0;
}
