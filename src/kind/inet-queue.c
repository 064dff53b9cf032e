// SPDX-License-Identifier: Apache-2.0
/*
 * inet-queue: datagrams in sockets of UDP.
 *
 * Kept:   bytes, borders, sender, destination, TTL and TOS (hop limit and traffic class), the interface where
 *         the task asks for it.
 * Lost:   when they came; IP options; that several were one (UDP_GRO: they come back one by one). One to a group or
 *         to everybody, or to an address that is not here any more, comes back as one to the loopback address.
 * Kernel: net/ipv4/udp.c. A packet that a raw socket sends to an address of ours comes in by lo with its route
 *         attached: no filter of sources sees it, so that it may bear anybody's. Which of several sockets gets it
 *         is decided by a score: one that is bound to the interface has more than its like.
 */
#include "kind/inet-queue.h"

#include "base/res.h"
#include "kind/inet-map.h"
#include "kind/inet-raw.h"
#include "kind/ns.h"
#include "kind/sk-queue.h"

#include <fcntl.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>

#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62
#endif
#ifndef SO_MEMINFO
#define SO_MEMINFO 55
#endif
#ifndef IP_RECVORIGDSTADDR
#define IP_RECVORIGDSTADDR 20
#endif
#ifndef IPV6_RECVORIGDSTADDR
#define IPV6_RECVORIGDSTADDR 74
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif
#define DATAGRAM_MAX 65535
#define TTL_USUAL 64
#define ARRIVE_MS 200
#define LO 1 /* the kernel's LOOPBACK_IFINDEX */

/* ---- dump ---- */

static const struct {
	int level, name;
} ask[] = {
	{ IPPROTO_IP, IP_RECVORIGDSTADDR },	  { IPPROTO_IP, IP_RECVTTL },
	{ IPPROTO_IP, IP_RECVTOS },		  { IPPROTO_IPV6, IPV6_RECVORIGDSTADDR },
	{ IPPROTO_IPV6, IPV6_RECVPKTINFO },	  { IPPROTO_IPV6, IPV6_RECVHOPLIMIT },
	{ IPPROTO_IPV6, IPV6_RECVTCLASS },
};

uint32_t inet_head_ask(int fd)
{
	uint32_t asked = 0;

	for (size_t i = 0; i < ARRAY_SIZE(ask); i++) {
		int on = 1, was = 1;
		socklen_t n = sizeof(was);

		if (getsockopt(fd, ask[i].level, ask[i].name, &was, &n) == 0 && !was &&
		    setsockopt(fd, ask[i].level, ask[i].name, &on, sizeof(on)) == 0)
			asked |= 1u << i;
	}
	return asked;
}

void inet_head_ask_end(int fd, uint32_t asked)
{
	int off = 0;

	for (size_t i = 0; i < ARRAY_SIZE(ask); i++)
		if (asked & 1u << i)
			setsockopt(fd, ask[i].level, ask[i].name, &off, sizeof(off));
}

static int number_of(const struct cmsghdr *c)
{
	int v = 0;

	if (c->cmsg_len < CMSG_LEN(sizeof(v)))
		return *CMSG_DATA(c);
	memcpy(&v, CMSG_DATA(c), sizeof(v));
	return v;
}

static void head_put(struct inet_head *h, const struct cmsghdr *c)
{
	bool v4 = c->cmsg_level == IPPROTO_IP, v6 = c->cmsg_level == IPPROTO_IPV6;
	size_t n = c->cmsg_len - CMSG_LEN(0);

	if ((v4 && c->cmsg_type == IP_RECVORIGDSTADDR) || (v6 && c->cmsg_type == IPV6_RECVORIGDSTADDR))
		memcpy(&h->to, CMSG_DATA(c), n < sizeof(h->to) ? n : sizeof(h->to));
	else if ((v4 && c->cmsg_type == IP_TTL) || (v6 && c->cmsg_type == IPV6_HOPLIMIT))
		h->ttl = number_of(c);
	else if ((v4 && c->cmsg_type == IP_TOS) || (v6 && c->cmsg_type == IPV6_TCLASS))
		h->tos = number_of(c);
	else if (v4 && c->cmsg_type == IP_PKTINFO && n == sizeof(struct in_pktinfo))
		memcpy(&h->ifindex, CMSG_DATA(c) + offsetof(struct in_pktinfo, ipi_ifindex), sizeof(h->ifindex));
	else if (v6 && c->cmsg_type == IPV6_PKTINFO && n == sizeof(struct in6_pktinfo))
		memcpy(&h->ifindex, CMSG_DATA(c) + offsetof(struct in6_pktinfo, ipi6_ifindex), sizeof(h->ifindex));
	else if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO)
		h->segment = number_of(c);
}

void inet_head_read(struct inet_head *h, struct msghdr *m)
{
	memset(&h->to, 0, sizeof(h->to));
	h->ttl = h->tos = -1;
	h->ifindex = h->segment = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
		head_put(h, c);
}

/* A datagram of IPv4 has the sender ::ffff:A.B.C.D in a socket of IPv6, and a destination of IPv4. */
static void address_put(struct sockaddr_storage *a, ProtobufCBinaryData *ret, uint32_t *port)
{
	struct sockaddr_in *a4 = (struct sockaddr_in *)a;
	struct sockaddr_in6 *a6 = (struct sockaddr_in6 *)a;
	bool v4 = a->ss_family == AF_INET, mapped = !v4 && IN6_IS_ADDR_V4MAPPED(&a6->sin6_addr);

	ret->len = v4 || mapped ? 4 : 16;
	ret->data = v4 ? (uint8_t *)&a4->sin_addr : a6->sin6_addr.s6_addr + (mapped ? 12 : 0);
	*port = ntohs(v4 ? a4->sin_port : a6->sin6_port);
}

bool inet_head_entry(struct inet_head *h, InetHeadEntry *e)
{
	uint32_t port;

	if (!h->from.ss_family || !h->to.ss_family)
		return false;
	address_put(&h->from, &e->src, &e->src_port);
	address_put(&h->to, &e->dst, &port);
	e->has_ttl = h->ttl >= 0;
	e->ttl = h->ttl;
	e->has_tos = h->tos >= 0;
	e->tos = h->tos;
	e->has_ifindex = h->ifindex != 0;
	e->ifindex = h->ifindex;
	e->has_segment = h->segment != 0;
	e->segment = h->segment;
	return inet_head_check(e);
}

/* ---- restore ---- */

bool inet_head_check(const InetHeadEntry *e)
{
	return !e || ((e->src.len == 4 || e->src.len == 16) && e->dst.len == e->src.len && e->src_port <= 65535 &&
		      e->ttl <= 255 && e->tos <= 255 && e->ifindex <= INT32_MAX && e->segment <= DATAGRAM_MAX &&
		      (!e->has_segment || e->segment));
}

/* the socket being filled */
struct fill {
	struct session *s;
	int fd;
	const InetSkEntry *e;
	bool any; /* bound to no address */
	unsigned patience; /* ms */
	size_t lost;
};

static int number_get(int fd, int opt)
{
	int v = 0;
	socklen_t n = sizeof(v);

	return getsockopt(fd, SOL_SOCKET, opt, &v, &n) < 0 ? 0 : v;
}

static int number_set(int fd, int opt, int v)
{
	return setsockopt(fd, SOL_SOCKET, opt, &v, sizeof(v)) < 0 ? -errno : 0;
}

static uint32_t charged(int fd)
{
	uint32_t mem[SK_MEMINFO_VARS] = { 0 };
	socklen_t n = sizeof(mem);

	return getsockopt(fd, SOL_SOCKET, SO_MEMINFO, mem, &n) < 0 ? 0 : mem[SK_MEMINFO_RMEM_ALLOC];
}

/* An address that is not here must not be sent to: the packet would leave. */
static bool is_here(const struct fill *f, const struct inet_raw *p)
{
	own_fd int fd = ns_socket(f->s, f->e->has_ns_id ? f->e->ns_id : 0, p->v4 ? AF_INET : AF_INET6, SOCK_DGRAM, 0);
	struct sockaddr_in a4 = { .sin_family = AF_INET };
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_scope_id = p->scope };

	memcpy(&a4.sin_addr, p->dst, 4);
	memcpy(&a6.sin6_addr, p->dst, 16);
	if (fd < 0 || (p->v4 ? IN_MULTICAST(ntohl(a4.sin_addr.s_addr)) || a4.sin_addr.s_addr == INADDR_BROADCAST
			     : IN6_IS_ADDR_MULTICAST(&a6.sin6_addr)))
		return false;
	return (p->v4 ? bind(fd, (void *)&a4, sizeof(a4)) : bind(fd, (void *)&a6, sizeof(a6))) == 0;
}

/* The socket gets it for sure, and it seems to come in by that interface (0: by lo); false: it did not arrive. */
static bool arrives(struct fill *f, struct inet_raw *p, void *body, size_t n)
{
	uint32_t before = charged(f->fd);

	if (number_set(f->fd, SO_BINDTOIFINDEX, p->device ? p->device : LO) < 0 ||
	    inet_raw_send(f->s, f->e->has_ns_id ? f->e->ns_id : 0, p, body, n, offsetof(struct udphdr, check)) < 0)
		return false;
	for (unsigned ms = 0; charged(f->fd) == before; ms++) {
		if (ms == f->patience) {
			f->patience = ARRIVE_MS / 50; /* a filter drops them: the next will fare no better */
			return false;
		}
		poll(NULL, 0, 1);
	}
	return true;
}

static void to_loopback(struct inet_raw *p)
{
	static const uint8_t v4[16] = { 127, 0, 0, 1 }, v6[16] = { [15] = 1 };

	memcpy(p->dst, p->v4 ? v4 : v6, sizeof(p->dst));
	p->device = 0;
	p->scope = 0;
}

static int datagram_put(struct fill *f, const InetHeadEntry *h, const char *data, size_t n)
{
	struct inet_raw p = { .v4 = h->src.len == 4, .protocol = f->e->proto, .tos = h->has_tos ? h->tos : 0,
			      .ttl = h->has_ttl && h->ttl ? h->ttl : TTL_USUAL, .device = h->ifindex };
	own_mem struct udphdr *body = xalloc(sizeof(*body) + n);
	uint32_t dst[4];
	bool mapped;
	int r;

	if (n + sizeof(*body) > DATAGRAM_MAX)
		return -EBADMSG;
	memcpy(dst, h->dst.data, h->dst.len);
	r = inet_map_words(f->s, dst, h->dst.len / 4, &mapped);
	if (r < 0)
		return r;
	memcpy(p.src, h->src.data, h->src.len);
	memcpy(p.dst, dst, h->dst.len);
	if (!p.v4 && p.dst[0] == 0xfe && (p.dst[1] & 0xc0) == 0x80)
		p.scope = h->ifindex;
	body->source = htons(h->src_port);
	body->dest = htons(f->e->src_port);
	body->len = htons(sizeof(*body) + n);
	memcpy(body + 1, data, n);
	if (p.v4 && p.device == LO) /* addresses of other devices are no neighbours of lo */
		p.device = 0;
	if (is_here(f, &p)) {
		if (arrives(f, &p, body, sizeof(*body) + n))
			return 0;
		p.device = 0;
		if (arrives(f, &p, body, sizeof(*body) + n))
			return 0;
	}
	to_loopback(&p);
	if (!f->any || !arrives(f, &p, body, sizeof(*body) + n))
		f->lost++;
	return 0;
}

/* What UDP_GRO had put together is put back one by one. */
static int packet_put(struct fill *f, const struct sk_packet *p)
{
	const InetHeadEntry *h = p->e->inet;
	size_t n = p->e->length, step = h && h->has_segment ? h->segment : n, at = 0;
	int r = 0;

	if (!h) {
		f->lost++;
		return 0;
	}
	do {
		r = datagram_put(f, h, p->data + at, n - at < step ? n - at : step);
		at += step;
	} while (r == 0 && at < n);
	return r;
}

int inet_queue_fill(struct session *s, int fd, const InetSkEntry *e)
{
	struct fill f = { .s = s, .fd = fd, .e = e, .any = true, .patience = ARRIVE_MS };
	int device = number_get(fd, SO_BINDTOIFINDEX), port = number_get(fd, SO_REUSEPORT);
	int room = INT32_MAX / 2, flags = fcntl(fd, F_GETFL), r;
	struct sk_packet *p;

	for (size_t i = 0; i < e->n_src_addr; i++)
		f.any = f.any && !e->src_addr[i];
	r = sk_queue_get(s, e->id, &p);
	if (r < 0 || !p)
		return r;
	fcntl(fd, F_SETFL, flags & ~O_ASYNC); /* the task was told when they came */
	number_set(fd, SO_RCVBUFFORCE, room);
	number_set(fd, SO_REUSEPORT, 0); /* else its group is asked, which chooses by chance */
	for (; r == 0 && p; p = p->next)
		r = packet_put(&f, p);
	number_set(fd, SO_REUSEPORT, port);
	fcntl(fd, F_SETFL, flags);
	if (number_set(fd, SO_BINDTOIFINDEX, device) < 0 && r == 0)
		r = session_fail(s, -errno, "socket 0x%x (port %u): bind it to its device again", e->id, e->src_port);
	if (r < 0)
		return s->why_r ? r : session_fail(s, r, "socket 0x%x (port %u): put back its datagrams", e->id, e->src_port);
	if (f.lost)
		session_warn(s, "socket 0x%x (port %u): %zu datagrams that were not read yet cannot be put back here",
			     e->id, e->src_port, f.lost);
	return 0;
}
