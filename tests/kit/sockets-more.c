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
#include <linux/net_tstamp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
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

/* ---- options ---- */

/* a connection that listens and one that does not; its packets shall leave by lo, from ::1 */
static void sender(void)
{
	struct sockaddr_in6 at = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct in6_pktinfo from = { IN6ADDR_LOOPBACK_INIT, if_nametoindex("lo") };
	socklen_t n = sizeof(at);
	int l = add(socket(AF_INET6, SOCK_STREAM, 0)), c;

	CHECK(bind(l, (void *)&at, n) == 0 && listen(l, 1) == 0 && getsockname(l, (void *)&at, &n) == 0);
	c = add(socket(AF_INET6, SOCK_STREAM, 0));
	CHECK(connect(c, (void *)&at, n) == 0);
	for (int i = 0; i < 2; i++)
		CHECK(setsockopt(fds[i], SOL_IPV6, IPV6_PKTINFO, &from, sizeof(from)) == 0);
}

static void sender_check(void)
{
	struct in6_pktinfo from = { IN6ADDR_LOOPBACK_INIT, if_nametoindex("lo") };

	for (int i = 0; i < 2; i++) {
		char room[200] __attribute__((aligned(8)));
		socklen_t n = sizeof(room);
		int on = 1;

		CHECK(getsockopt(fds[i], SOL_IPV6, IPV6_2292PKTOPTIONS, room, &n) == 0 && n == 0); /* asks for nothing */
		n = sizeof(room);
		CHECK(setsockopt(fds[i], SOL_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on)) == 0);
		CHECK(getsockopt(fds[i], SOL_IPV6, IPV6_2292PKTOPTIONS, room, &n) == 0 && memmem(room, n, &from, sizeof(from)));
	}
}

/* what is sent is numbered, so that completions and time stamps can tell of it */
static const int stamps = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_ID |
			  SOF_TIMESTAMPING_OPT_TSONLY;

static void numbered(void)
{
	struct sockaddr_in at = local(0);
	int l = add(socket(AF_INET, SOCK_STREAM, 0)), c = add(socket(AF_INET, SOCK_STREAM, 0)), on = 1;

	CHECK(bind(l, (void *)&at, sizeof(at)) == 0 && listen(l, 3) == 0);
	at = local(port_of(l));
	CHECK(connect(c, (void *)&at, sizeof(at)) == 0);
	add(accept(l, NULL, NULL));
	CHECK(setsockopt(c, SOL_SOCKET, SO_TIMESTAMPING, &stamps, sizeof(stamps)) == 0);
	CHECK(setsockopt(fds[2], SOL_SOCKET, SO_ZEROCOPY, &on, sizeof(on)) == 0);
}

static void numbered_check(void)
{
	int v = 0;
	socklen_t n = sizeof(v);

	CHECK(getsockopt(fds[1], SOL_SOCKET, SO_TIMESTAMPING, &v, &n) == 0 && v == stamps);
	n = sizeof(v);
	CHECK(getsockopt(fds[2], SOL_SOCKET, SO_ZEROCOPY, &v, &n) == 0 && v == 1);
}

/* ---- netlink ---- */

static int netlink(int protocol)
{
	struct sockaddr_nl at = { .nl_family = AF_NETLINK };
	int fd = add(socket(AF_NETLINK, SOCK_RAW, protocol));

	CHECK(bind(fd, (void *)&at, sizeof(at)) == 0);
	return fd;
}

static unsigned portid(int fd)
{
	struct sockaddr_nl at = { 0 };
	socklen_t n = sizeof(at);

	getsockname(fd, (void *)&at, &n);
	return at.nl_pid;
}

/* gives lo another address, or takes it away: whoever listens is told */
static void address(int on)
{
	struct ifreq r = { .ifr_name = "lo:more" };
	struct sockaddr_in *a = (void *)&r.ifr_addr;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (on) {
		*a = local(0);
		a->sin_addr.s_addr = htonl(INADDR_LOOPBACK + 0x070706);
		CHECK(ioctl(fd, SIOCSIFADDR, &r) == 0);
	} else {
		CHECK(ioctl(fd, SIOCSIFFLAGS, &r) == 0); /* down */
	}
	close(fd);
}

/* Two listeners with notices that nobody has read; of the first some were lost before. */
static void notices(void)
{
	int group = RTNLGRP_IPV4_IFADDR, one = 1, fd;
	struct pollfd p;

	for (int i = 0; i < 3; i++) {
		fd = netlink(NETLINK_ROUTE);
		CHECK(setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) == 0);
		if (i == 0)
			CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &one, sizeof(one)) == 0);
		if (i == 2)
			CHECK(setsockopt(fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, &one, sizeof(one)) == 0);
	}
	p = (struct pollfd){ .fd = fds[0] };
	for (int i = 0; i < 20; i++)
		address(i % 2 == 0);
	CHECK(poll(&p, 1, 0) == 1 && p.revents & POLLERR);
}

static void notices_check(void)
{
	char buf[4096] __attribute__((aligned(8)));
	struct nlmsghdr *h = (void *)buf;

	for (int i = 0; i < 3; i++) {
		if (i < 2)
			CHECK(recv(fds[i], buf, sizeof(buf), MSG_DONTWAIT) < 0 && errno == ENOBUFS);
		while (recv(fds[i], buf, sizeof(buf), MSG_DONTWAIT) > 0) /* acknowledgements of nothing */
			CHECK(i < 2 && h->nlmsg_type == NLMSG_ERROR && h->nlmsg_seq == 0 && *(int *)(h + 1) == 0);
		CHECK(errno == EAGAIN);
	}
	address(1);
	for (int i = 0; i < 3; i++)
		CHECK(recv(fds[i], buf, sizeof(buf), MSG_DONTWAIT) > 0 && h->nlmsg_type == RTM_NEWADDR);
}

/* a message to netfilter: bind to a queue or a group of logs; how much of a packet to copy */
static void netfilter(int fd, int subsystem, int number, const void *params, int n)
{
	struct {
		struct nlmsghdr h;
		struct nfgenmsg g;
		struct nfattr {
			uint16_t len, type;
		} a;
		unsigned char cmd[4];
		struct nfattr b;
		unsigned char params[8];
	} m = { { 0, subsystem << 8 | (subsystem == NFNL_SUBSYS_ULOG ? 1 : 2), NLM_F_REQUEST | NLM_F_ACK, 1, 0 },
		{ AF_UNSPEC, NFNETLINK_V0, htons(number) }, { subsystem == NFNL_SUBSYS_ULOG ? 5 : 8, 1 }, { 1 },
		{ 4 + n, 2 }, { 0 } };
	struct {
		struct nlmsghdr h;
		struct nlmsgerr e;
	} answer = { 0 };

	memcpy(m.params, params, n);
	m.h.nlmsg_len = offsetof(typeof(m), params) + (n + 3) / 4 * 4;
	CHECK(send(fd, &m, m.h.nlmsg_len, 0) == m.h.nlmsg_len && recv(fd, &answer, sizeof(answer), 0) > 0);
	if (answer.e.error) {
		fprintf(stderr, "netfilter: %s\n", strerror(-answer.e.error));
		exit(answer.e.error == -EINVAL || answer.e.error == -EOPNOTSUPP ? 3 : 1);
	}
}

static void bound(void)
{
	static const unsigned char packets[] = { 0, 0, 0, 200, 2 }, meta[] = { 0, 0, 0, 0, 1 },
				   logged[] = { 0, 0, 0, 100, 2, 0 };
	int fd = netlink(NETLINK_NETFILTER);

	netfilter(fd, NFNL_SUBSYS_QUEUE, 7, packets, 5);
	netfilter(fd, NFNL_SUBSYS_QUEUE, 300, meta, 5);
	netfilter(netlink(NETLINK_NETFILTER), NFNL_SUBSYS_ULOG, 5, logged, 6);
}

/* is there such a line, after the spaces? */
static int told(const char *file, const char *fmt, unsigned number, unsigned who)
{
	FILE *f = fopen(file, "r");
	char line[200], want[200];
	unsigned a, b, c, d;
	int found = 0;

	snprintf(want, sizeof(want), fmt, number, who);
	while (f && fgets(line, sizeof(line), f)) {
		char is[200];

		if (sscanf(line, "%u %u %*u %u %u", &a, &b, &c, &d) == 4) {
			snprintf(is, sizeof(is), "%u %u %u %u", a, b, c, d);
			found += !strcmp(is, want);
		}
	}
	if (f)
		fclose(f);
	return found;
}

static void bound_check(void)
{
	CHECK(told("/proc/net/netfilter/nfnetlink_queue", "%u %u 2 200", 7, portid(fds[0])));
	CHECK(told("/proc/net/netfilter/nfnetlink_queue", "%u %u 1 0", 300, portid(fds[0])));
	CHECK(told("/proc/net/netfilter/nfnetlink_log", "%u %u 2 100", 5, portid(fds[1])));
	CHECK(recv(fds[0], &(char){ 0 }, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
}

/* a packet with that text */
static int hands(int fd, int type, const char *text)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char buf[4096] __attribute__((aligned(8)));
	struct nlmsghdr *h = (void *)buf;
	int n = poll(&p, 1, 8000) == 1 ? recv(fd, buf, sizeof(buf), MSG_DONTWAIT) : 0;

	return n > 0 && h->nlmsg_type == type && memmem(buf, n, text, strlen(text));
}

/* The caller has netfilter hand datagrams to port 9 to log 5 and to queue 7. */
static void packets_check(void)
{
	struct sockaddr_in to = local(9);

	bound_check();
	CHECK(sendto(add(socket(AF_INET, SOCK_DGRAM, 0)), "hello", 5, 0, (void *)&to, sizeof(to)) == 5);
	CHECK(hands(fds[0], NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET, "hello"));
	CHECK(hands(fds[1], NFNL_SUBSYS_ULOG << 8, "hello"));
}

/* ---- rings of packet sockets: of 16 frames of which the program has read some, while it has the next ones unread ---- */

enum { FRAMES = 16, FRAME = 2048, BLOCKS = 4, BLOCK = 16384, TYPE = 0x88b6 };

struct capture {
	int fd, version; /* 1 to 3 */
	char *at;
	unsigned next;	 /* frame or block whose turn it is */
	int left;	 /* in that block */
	char *packet;
} captures[3];

static void tell_in(const char *text, size_t len)
{
	struct sockaddr_ll lo = { .sll_family = AF_PACKET, .sll_protocol = htons(TYPE), .sll_ifindex = if_nametoindex("lo"),
				  .sll_halen = 6 };
	char frame[BLOCK] = { [12] = TYPE >> 8, [13] = TYPE & 0xff };
	static int fd = -1; /* to close one takes long */

	if (fd < 0)
		fd = add(socket(AF_PACKET, SOCK_RAW, 0));
	strcpy(frame + 14, text);
	CHECK(sendto(fd, frame, len, 0, (void *)&lo, sizeof(lo)) == (ssize_t)len);
}

static void tell(const char *text)
{
	tell_in(text, 64);
}

static volatile uint32_t *status_of(const struct capture *c)
{
	char *p = c->at + c->next * (c->version == 3 ? BLOCK : FRAME);

	return c->version == 3 ? &((struct tpacket_block_desc *)p)->hdr.bh1.block_status : (void *)p;
}

/* The next packet's text, or "" when none comes. */
static void next_packet(struct capture *c, char text[32])
{
	volatile uint32_t *status = status_of(c);
	char *f = (char *)status;

	strcpy(text, "");
	for (int n = 0; !(*status & TP_STATUS_USER) && n < 5000; n++)
		usleep(1000);
	if (!(*status & TP_STATUS_USER))
		return;
	if (c->version == 3) {
		struct tpacket_block_desc *b = (void *)(c->at + c->next * BLOCK);

		f = c->left ? c->packet : (char *)b + b->hdr.bh1.offset_to_first_pkt;
		c->left = (c->left ? c->left : (int)b->hdr.bh1.num_pkts) - 1;
		c->packet = f + ((struct tpacket3_hdr *)f)->tp_next_offset;
	}
	memcpy(text, f + (c->version == 1 ? ((struct tpacket_hdr *)f)->tp_mac : c->version == 2 ? ((struct tpacket2_hdr *)f)->tp_mac :
			  ((struct tpacket3_hdr *)f)->tp_mac) + 14, 31);
	if (!c->left) {
		*status = TP_STATUS_KERNEL;
		c->next = (c->next + 1) % (c->version == 3 ? BLOCKS : FRAMES);
	}
}

static void expect_packet(struct capture *c, const char *want)
{
	char text[32];

	next_packet(c, text);
	if (strcmp(text, want) && !why[0])
		snprintf(why, sizeof(why), "version %d: \"%.31s\" instead of \"%s\"", c->version, text, want);
}

static void capture_begin(struct capture *c, int version, int wait)
{
	struct sockaddr_ll lo = { .sll_family = AF_PACKET, .sll_protocol = htons(TYPE), .sll_ifindex = if_nametoindex("lo") };
	struct tpacket_req3 q = { BLOCK, FRAMES * FRAME / BLOCK, FRAME, FRAMES, 0, 0, 0 };
	int v = version - 1;

	if (version == 3)
		q = (struct tpacket_req3){ BLOCK, BLOCKS, FRAME, BLOCKS * BLOCK / FRAME, wait, 0, 0 };
	c->version = version;
	c->fd = add(socket(AF_PACKET, SOCK_RAW, 0));
	CHECK(setsockopt(c->fd, SOL_PACKET, PACKET_VERSION, &v, sizeof(v)) == 0);
	CHECK(setsockopt(c->fd, SOL_PACKET, PACKET_RX_RING, &q, version == 3 ? sizeof(q) : sizeof(struct tpacket_req)) == 0);
	c->at = mmap(NULL, (size_t)q.tp_block_size * q.tp_block_nr, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0);
	CHECK(c->at != MAP_FAILED);
	CHECK(bind(c->fd, (void *)&lo, sizeof(lo)) == 0);
}

/* around their ends; of version 3 it stops between two packets of a block, if the timer lets them be in one */
static void ring(void)
{
	char text[32];

	for (int i = 0; i < 3; i++)
		capture_begin(&captures[i], i + 1, 20);
	for (int i = 0; i < 22; i++) {
		snprintf(text, sizeof(text), "packet %d", i);
		tell(text);
		if (i < 20)
			for (int c = 0; c < 2; c++)
				expect_packet(&captures[c], text);
		if (i < 2)
			expect_packet(&captures[2], text);
	}
	for (int i = 2; i < 21; i++) {
		snprintf(text, sizeof(text), "packet %d", i);
		expect_packet(&captures[2], text);
	}
}

static void ring_check(void)
{
	char text[32];

	for (int c = 0; c < 3; c++) {
		if (c < 2)
			expect_packet(&captures[c], "packet 20");
		expect_packet(&captures[c], "packet 21");
	}
	for (int i = 22; i < 60; i++) {
		snprintf(text, sizeof(text), "packet %d", i);
		tell(text);
		for (int c = 0; c < 3; c++)
			expect_packet(&captures[c], text);
	}
	for (int c = 0; c < 3; c++)
		CHECK(!(*status_of(&captures[c]) & TP_STATUS_USER));
}

/* of version 3, with packets in a block that the kernel closes only much later */
static void ring_open(void)
{
	capture_begin(&captures[0], 3, 2000);
	for (int i = 0; i < 2; i++) {
		tell("first");
		tell("second");
		if (i)
			break;
		expect_packet(&captures[0], "first");
		expect_packet(&captures[0], "second");
	}
}

static void ring_open_check(void)
{
	expect_packet(&captures[0], "first");
	expect_packet(&captures[0], "second");
	tell("third");
	expect_packet(&captures[0], "third");
}

/* the same when the next block still has what was read of it long ago */
static void ring_around(void)
{
	capture_begin(&captures[0], 3, 2000);
	for (int i = 0; i < BLOCKS + 2; i++) { /* each needs more than half a block, and so closes that before it */
		tell_in("long", BLOCK * 2 / 3);
		if (i)
			expect_packet(&captures[0], "long");
	}
	tell("first");
	tell("second");
}

static void ring_around_check(void)
{
	expect_packet(&captures[0], "long");
	ring_open_check();
}

static struct tpacket2_hdr *to_send;

/* for sending, and not used yet; what it sends is captured by the other */
static void ring_unsent(void)
{
	struct sockaddr_ll lo = { .sll_family = AF_PACKET, .sll_protocol = htons(TYPE), .sll_ifindex = if_nametoindex("lo") };
	struct tpacket_req q = { 4096, 2, 2048, 4 };
	int v = TPACKET_V2, fd;

	capture_begin(&captures[0], 2, 0);
	fd = add(socket(AF_PACKET, SOCK_RAW, 0));
	CHECK(setsockopt(fd, SOL_PACKET, PACKET_VERSION, &v, sizeof(v)) == 0);
	CHECK(setsockopt(fd, SOL_PACKET, PACKET_TX_RING, &q, sizeof(q)) == 0 && bind(fd, (void *)&lo, sizeof(lo)) == 0);
	to_send = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(to_send != MAP_FAILED);
}

static void send_by_ring(void)
{
	char *frame = (char *)to_send + TPACKET2_HDRLEN - sizeof(struct sockaddr_ll);

	frame[12] = TYPE >> 8;
	frame[13] = TYPE & 0xff;
	strcpy(frame + 14, "by a ring");
	to_send->tp_len = 60;
	to_send->tp_status = TP_STATUS_SEND_REQUEST;
	CHECK(send(fds[1], NULL, 0, 0) == 60);
	expect_packet(&captures[0], "by a ring");
}

static void ring_send(void)
{
	ring_unsent();
	send_by_ring();
}

/* the group of the controller of generic netlink */
static void genl(void)
{
	int fd = add(socket(AF_NETLINK, SOCK_DGRAM, NETLINK_GENERIC)), group = 16; /* GENL_ID_CTRL */

	CHECK(setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) == 0);
}

static void genl_check(void)
{
	uint32_t words[8] = { 0 };
	socklen_t n = sizeof(words);
	int type = 0;

	CHECK(getsockopt(fds[0], SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, words, &n) == 0 && words[0] == 1 << 15 && !words[1]);
	n = sizeof(type);
	CHECK(getsockopt(fds[0], SOL_SOCKET, SO_TYPE, &type, &n) == 0 && type == SOCK_DGRAM);
}

/* ---- AF_VSOCK: one that listens, one that is bound, one that is neither ---- */

static struct sockaddr_vm vm_at(int fd)
{
	struct sockaddr_vm a = { 0 };
	socklen_t n = sizeof(a);

	CHECK(getsockname(fd, (void *)&a, &n) == 0);
	return a;
}

static void vsock(void)
{
	struct sockaddr_vm a = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY };
	uint64_t sizes[] = { 70000, 500000, 90000 };

	if (socket(AF_VSOCK, SOCK_STREAM, 0) < 0)
		exit(3);
	for (int i = 0; i < 3; i++) {
		add(socket(AF_VSOCK, i == 1 ? SOCK_SEQPACKET : SOCK_STREAM, 0));
		a.svm_port = 50123 + i;
		if (i < 2)
			CHECK(bind(fds[i], (void *)&a, sizeof(a)) == 0);
	}
	CHECK(listen(fds[0], 7) == 0 && fcntl(fds[0], F_SETFL, O_NONBLOCK) == 0);
	CHECK(setsockopt(fds[2], AF_VSOCK, SO_VM_SOCKETS_BUFFER_MIN_SIZE, &sizes[0], 8) == 0);
	CHECK(setsockopt(fds[2], AF_VSOCK, SO_VM_SOCKETS_BUFFER_MAX_SIZE, &sizes[1], 8) == 0);
	CHECK(setsockopt(fds[2], AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE, &sizes[2], 8) == 0);
	CHECK(setsockopt(fds[1], AF_VSOCK, 8, (int64_t[]){ 3, 500000 }, 16) == 0); /* the time to connect */
}

static void vsock_check(void)
{
	static const int names[] = { SO_VM_SOCKETS_BUFFER_MIN_SIZE, SO_VM_SOCKETS_BUFFER_MAX_SIZE, SO_VM_SOCKETS_BUFFER_SIZE };
	static const uint64_t sizes[] = { 70000, 500000, 90000 };
	struct sockaddr_vm a;
	int64_t tv[2] = { 0 };
	socklen_t n = sizeof(tv);
	uint64_t v;
	int type;

	for (int i = 0; i < 3; i++) {
		a = vm_at(fds[i]);
		CHECK(a.svm_cid == VMADDR_CID_ANY && a.svm_port == (i < 2 ? 50123u + i : VMADDR_PORT_ANY));
		n = sizeof(v);
		CHECK(getsockopt(fds[2], AF_VSOCK, names[i], &v, &n) == 0 && v == sizes[i]);
		n = sizeof(type);
		CHECK(getsockopt(fds[i], SOL_SOCKET, SO_TYPE, &type, &n) == 0 && type == (i == 1 ? SOCK_SEQPACKET : SOCK_STREAM));
	}
	n = sizeof(tv);
	CHECK(getsockopt(fds[1], AF_VSOCK, 8, tv, &n) == 0 && tv[0] == 3 && tv[1] == 500000);
	CHECK(accept(fds[0], NULL, NULL) < 0 && errno == EAGAIN);
	CHECK(accept(fds[1], NULL, NULL) < 0 && errno == EINVAL); /* does not listen */
}

static void none_check(void)
{
}

int main(int argc, char **argv)
{
	static const struct judge_case cases[] = {
		{ "owned", owned, owned_check },
		{ "filtered", filtered, filtered_check },
		{ "sender", sender, sender_check },
		{ "numbered", numbered, numbered_check },
		{ "notices", notices, notices_check },
		{ "bound", bound, bound_check },
		{ "packets", bound, packets_check },
		{ "genl", genl, genl_check },
		{ "vsock", vsock, vsock_check },
		{ "ring", ring, ring_check },
		{ "ring-open", ring_open, ring_open_check },
		{ "ring-around", ring_around, ring_around_check },
		{ "ring-unsent", ring_unsent, send_by_ring },
		{ "ring-send", ring_send, none_check },
		{ NULL, NULL, NULL },
	};

	lo_up();
	return judge_begin(argc, argv) < 0 ? 2 : judge_case(cases, argv[1]);
}
