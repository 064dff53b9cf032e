// SPDX-License-Identifier: Apache-2.0
/*
 * inet: TCP, UDP, ping and raw sockets of IPv4 and IPv6. TCP connections: kind/inet-tcp.c.
 *
 * Kept:   addresses, peers, listening and its backlog, v6only, options of images, shutdown.
 * Lost:   datagrams that were not read yet (said), connections not accepted yet (refused, or dropped
 *         with --skip-in-flight), the user who made a socket (SO_REUSEPORT groups are root's then),
 *         multicast memberships, options that images have no place for.
 * Kernel: net/ipv4/af_inet.c; TCP_INFO of a listener: tcpi_unacked waiting, tcpi_sacked backlog.
 *         What UDP has shut down for sending is shown by sock_diag only.
 */
#include "kind/fd.h"

#include "base/list.h"
#include "base/res.h"
#include "kind/inet-tcp.h"
#include "kind/ns.h"
#include "kind/sock-opts.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#ifndef SO_PEERNAME
#define SO_PEERNAME 28
#endif
#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78
#endif
#ifndef IP_NODEFRAG
#define IP_NODEFRAG 22
#endif
#define UDP_CORK_OPT 1
#define RAW_FILTER 1 /* ICMP_FILTER and ICMPV6_FILTER */
#define BACKLOG_MAX INT32_MAX

static int opt_int(int fd, int level, int opt)
{
	int v = 0;
	socklen_t n = sizeof(v);

	return getsockopt(fd, level, opt, &v, &n) < 0 ? 0 : v;
}

static bool inet_is(const struct fd_view *v)
{
	int family, type, protocol;

	if (!S_ISSOCK(v->st.st_mode) || v->fd < 0)
		return false;
	family = opt_int(v->fd, SOL_SOCKET, SO_DOMAIN);
	type = opt_int(v->fd, SOL_SOCKET, SO_TYPE);
	protocol = opt_int(v->fd, SOL_SOCKET, SO_PROTOCOL);
	if (family != AF_INET && family != AF_INET6)
		return false;
	if (type == SOCK_STREAM)
		return protocol == IPPROTO_TCP;
	if (type == SOCK_DGRAM)
		return protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE ||
		       protocol == (family == AF_INET ? IPPROTO_ICMP : (int)IPPROTO_ICMPV6);
	return type == SOCK_RAW;
}

static bool is_udp(int protocol)
{
	return protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE;
}

/* ---- dump ---- */

static int listener_check(struct session *s, const struct fd_view *v, const struct tcp_info *ti)
{
	if (!ti->tcpi_unacked)
		return 0;
	if (!s->opts->tcp_skip_in_flight)
		return session_fail(s, -ENOTSUP,
				    "task %d: descriptor %d listens and %u connections wait to be accepted; let it accept them, or drop them with --skip-in-flight",
				    v->task->vpid, v->num, ti->tcpi_unacked);
	session_warn(s, "task %d: descriptor %d: %u connections that wait to be accepted are dropped",
		     v->task->vpid, v->num, ti->tcpi_unacked);
	return 0;
}

static int tcp_check(struct session *s, const struct fd_view *v)
{
	struct tcp_info ti = { 0 };
	socklen_t n = sizeof(ti);
	char ulp[16] = "";

	if (getsockopt(v->fd, IPPROTO_TCP, TCP_INFO, &ti, &n) < 0)
		return session_fail(s, -errno, "task %d: descriptor %d: read TCP_INFO", v->task->vpid,
				    v->num);
	if (ti.tcpi_state == TCP_LISTEN)
		return listener_check(s, v, &ti);
	if (ti.tcpi_state == TCP_CLOSE)
		return 0;
	if (ti.tcpi_state == TCP_SYN_SENT || ti.tcpi_state == TCP_SYN_RECV)
		return session_fail(s, -ENOTSUP,
				    "task %d: descriptor %d is a TCP connection that is just being made; wait until it is established",
				    v->task->vpid, v->num);
	if (!s->opts->tcp_established && !s->opts->tcp_close)
		return session_fail(s, -ENOTSUP,
				    "task %d: descriptor %d is a TCP connection; keep it with --tcp-established, or have it closed at restore with --tcp-close",
				    v->task->vpid, v->num);
	n = sizeof(ulp) - 1;
	if (getsockopt(v->fd, IPPROTO_TCP, TCP_ULP, ulp, &n) == 0 && n && ulp[0])
		return session_fail(s, -ENOTSUP,
				    "task %d: descriptor %d is a TCP connection with %s in the kernel, which cannot be checkpointed",
				    v->task->vpid, v->num, ulp);
	return 0;
}

/* A datagram under construction is in no queue; what the device still has is charged the same way. */
static int udp_check(struct session *s, const struct fd_view *v)
{
	int n = 0;

	for (unsigned ms = 0; ms < 50; ms++) {
		n = 0;
		if (ioctl(v->fd, SIOCOUTQ, &n) < 0 || !n)
			break;
		poll(NULL, 0, 1);
	}
	if (n || opt_int(v->fd, IPPROTO_UDP, UDP_CORK_OPT))
		return session_fail(s, -ENOTSUP,
				    "task %d: descriptor %d is a UDP socket that is corked or still sending; let the program finish its datagram first",
				    v->task->vpid, v->num);
	return 0;
}

static int inet_preflight(struct session *s, const struct fd_view *v)
{
	int protocol = opt_int(v->fd, SOL_SOCKET, SO_PROTOCOL);

	if (opt_int(v->fd, SOL_SOCKET, SO_TYPE) == SOCK_STREAM)
		return tcp_check(s, v);
	return is_udp(protocol) ? udp_check(s, v) : 0;
}

/* An entry with all its parts, as one piece of memory (but what sock_opts_get() allocates). */
struct inet_note {
	InetSkEntry e;
	FownEntry fown;
	SkOptsEntry opts;
	IpOptsEntry ip;
	IpOptsRawEntry raw;
	TcpOptsEntry tcp;
	uint32_t src[4], dst[4], filter[8];
	char ifname[IF_NAMESIZE];
};

static struct inet_note *note_new(const struct fd_view *v)
{
	struct inet_note *n = xalloc(sizeof(*n));

	inet_sk_entry__init(&n->e);
	sk_opts_entry__init(&n->opts);
	ip_opts_entry__init(&n->ip);
	ip_opts_raw_entry__init(&n->raw);
	tcp_opts_entry__init(&n->tcp);
	n->fown = *v->fown;
	n->e.id = v->id;
	n->e.ino = v->st.st_ino;
	n->e.flags = v->flags;
	n->e.fown = &n->fown;
	n->e.opts = &n->opts;
	n->e.ip_opts = &n->ip;
	n->e.tcp_opts = &n->tcp;
	n->e.src_addr = n->src;
	n->e.dst_addr = n->dst;
	n->e.has_ns_id = true;
	n->e.ns_id = v->task->ids->net_ns_id;
	n->e.family = opt_int(v->fd, SOL_SOCKET, SO_DOMAIN);
	n->e.type = opt_int(v->fd, SOL_SOCKET, SO_TYPE);
	n->e.proto = opt_int(v->fd, SOL_SOCKET, SO_PROTOCOL);
	n->e.n_src_addr = n->e.n_dst_addr = n->e.family == AF_INET ? 1 : 4;
	return n;
}

static void note_free(struct inet_note *n)
{
	sock_opts_free(&n->opts);
	free(n);
}

/* words of the image; ret_scope: interface of a link-local address */
static void addr_put(const struct sockaddr_storage *a, uint32_t *words, uint32_t *port,
		     uint32_t *ret_scope)
{
	const struct sockaddr_in *a4 = (const void *)a;
	const struct sockaddr_in6 *a6 = (const void *)a;

	if (a->ss_family == AF_INET) {
		words[0] = a4->sin_addr.s_addr;
		*port = ntohs(a4->sin_port);
	} else if (a->ss_family == AF_INET6) {
		memcpy(words, &a6->sin6_addr, 16);
		*port = ntohs(a6->sin6_port);
		if (a6->sin6_scope_id)
			*ret_scope = a6->sin6_scope_id;
	}
}

/* SO_PEERNAME shows the peer of a dead connection too. */
static int note_addresses(struct session *s, const struct fd_view *v, struct inet_note *n)
{
	struct sockaddr_storage a = { 0 };
	socklen_t len = sizeof(a);
	struct ifreq ifr = { 0 };
	uint32_t scope = 0;

	if (getsockname(v->fd, (void *)&a, &len) < 0)
		return session_fail(s, -errno, "socket 0x%x: its address", v->id);
	addr_put(&a, n->src, &n->e.src_port, &scope);
	memset(&a, 0, sizeof(a));
	/* SO_PEERNAME refuses a larger one than it fills */
	len = n->e.family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
	if (getpeername(v->fd, (void *)&a, &len) == 0 ||
	    getsockopt(v->fd, SOL_SOCKET, SO_PEERNAME, &a, &len) == 0)
		addr_put(&a, n->dst, &n->e.dst_port, &scope);
	ifr.ifr_ifindex = scope;
	if (scope && ioctl(v->fd, SIOCGIFNAME, &ifr) == 0) {
		memcpy(n->ifname, ifr.ifr_name, IF_NAMESIZE - 1);
		n->e.ifname = n->ifname;
	}
	return 0;
}

static void note_ip(const struct fd_view *v, struct inet_note *n)
{
	bool v4 = n->e.family == AF_INET;

	n->ip.has_freebind = n->ip.freebind = v4 ? opt_int(v->fd, IPPROTO_IP, IP_FREEBIND)
						 : opt_int(v->fd, IPPROTO_IPV6, IPV6_FREEBIND);
	n->ip.has_pktinfo = n->ip.pktinfo = v4 ? opt_int(v->fd, IPPROTO_IP, IP_PKTINFO)
					       : opt_int(v->fd, IPPROTO_IPV6, IPV6_RECVPKTINFO);
	if (!v4) {
		n->e.v6only = opt_int(v->fd, IPPROTO_IPV6, IPV6_V6ONLY);
		n->e.has_v6only = n->e.v6only;
		return;
	}
	n->ip.tos = opt_int(v->fd, IPPROTO_IP, IP_TOS);
	n->ip.has_tos = n->ip.tos != 0;
	n->ip.ttl = opt_int(v->fd, IPPROTO_IP, IP_TTL);
	n->ip.has_ttl = n->ip.ttl != 0;
}

static void note_raw(const struct fd_view *v, struct inet_note *n)
{
	bool v4 = n->e.family == AF_INET;
	socklen_t len = sizeof(n->filter);

	n->ip.raw = &n->raw;
	n->raw.has_hdrincl = n->raw.hdrincl = opt_int(v->fd, v4 ? IPPROTO_IP : IPPROTO_IPV6,
						      v4 ? IP_HDRINCL : IPV6_HDRINCL);
	if (v4)
		n->raw.has_nodefrag = n->raw.nodefrag = opt_int(v->fd, IPPROTO_IP, IP_NODEFRAG);
	else if (opt_int(v->fd, IPPROTO_RAW, IPV6_CHECKSUM) >= 0)
		n->raw.has_checksum = n->raw.checksum = opt_int(v->fd, IPPROTO_RAW, IPV6_CHECKSUM) > 0;
	if ((n->e.proto == IPPROTO_ICMP && v4) || (n->e.proto == IPPROTO_ICMPV6 && !v4)) {
		if (getsockopt(v->fd, v4 ? SOL_RAW : IPPROTO_ICMPV6, RAW_FILTER, n->filter, &len) == 0) {
			n->raw.icmpv_filter = n->filter;
			n->raw.n_icmpv_filter = len / sizeof(uint32_t);
		}
	}
}

/*
 * A dead connection with nothing to be read is no more than a socket. The port that it still shows is no
 * longer its own.
 */
static void note_dead(struct inet_note *n)
{
	if (n->e.dst_port && n->e.shutdown == SK_SHUTDOWN__BOTH) {
		n->e.src_port = 0;
		memset(n->src, 0, sizeof(n->src));
	}
	n->e.dst_port = 0;
	memset(n->dst, 0, sizeof(n->dst));
}

static void note_tcp(const struct fd_view *v, struct inet_note *n)
{
	struct tcp_info ti = { 0 };
	socklen_t len = sizeof(ti);
	TcpOptsEntry *o = &n->tcp;
	int waiting = 0;

	getsockopt(v->fd, IPPROTO_TCP, TCP_INFO, &ti, &len);
	n->e.state = ti.tcpi_state;
	if (n->e.state == TCP_LISTEN) {
		n->e.backlog = ti.tcpi_sacked;
	} else {
		n->e.shutdown = inet_tcp_shutdown(v->fd, n->e.state);
		n->e.has_shutdown = n->e.shutdown != SK_SHUTDOWN__NONE;
	}
	if (n->e.state == TCP_CLOSE && (ioctl(v->fd, SIOCINQ, &waiting) < 0 || !waiting))
		note_dead(n);
	o->has_cork = o->cork = opt_int(v->fd, IPPROTO_TCP, TCP_CORK);
	o->has_nodelay = o->nodelay = opt_int(v->fd, IPPROTO_TCP, TCP_NODELAY);
	o->has_keepcnt = o->has_keepidle = o->has_keepintvl = true;
	o->keepcnt = opt_int(v->fd, IPPROTO_TCP, TCP_KEEPCNT);
	o->keepidle = opt_int(v->fd, IPPROTO_TCP, TCP_KEEPIDLE);
	o->keepintvl = opt_int(v->fd, IPPROTO_TCP, TCP_KEEPINTVL);
}

/* ---- shutdown of UDP ---- */

static void diag_answer(struct map *m, const struct nlmsghdr *h)
{
	const struct inet_diag_msg *d = NLMSG_DATA(h);
	int left = (int)h->nlmsg_len - (int)NLMSG_SPACE(sizeof(*d));
	const struct rtattr *a = (const void *)(d + 1);

	for (; left > 0 && RTA_OK(a, left); a = RTA_NEXT(a, left))
		if (a->rta_type == INET_DIAG_SHUTDOWN && *(const uint8_t *)RTA_DATA(a))
			map_put(m, d->idiag_inode, (void *)(uintptr_t)*(const uint8_t *)RTA_DATA(a));
}

/* 1 more is to come, 0 the end, -errno */
static int diag_read(int nl, struct map *m)
{
	static const size_t size = 1 << 16;
	own_mem char *buf = xalloc(size);
	ssize_t got = recv(nl, buf, size, 0);
	int n = got;

	if (got < 0)
		return -errno;
	for (struct nlmsghdr *h = (void *)buf; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
		if (h->nlmsg_type == NLMSG_DONE)
			return 0;
		if (h->nlmsg_type == NLMSG_ERROR)
			return ((struct nlmsgerr *)NLMSG_DATA(h))->error;
		if (h->nlmsg_type == SOCK_DIAG_BY_FAMILY &&
		    h->nlmsg_len >= NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
			diag_answer(m, h);
	}
	return 1;
}

/* Every socket of that family and protocol that has something shut down, by inode; read once. */
static int diag_load(struct session *s, const InetSkEntry *e, struct map **ret)
{
	struct {
		struct nlmsghdr h;
		struct inet_diag_req_v2 q;
	} m = {
		.h = { sizeof(m), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, 0, 0 },
		.q = { e->family, e->proto, 0, 0, ~0U, { 0 } },
	};
	uint64_t key = (uint64_t)e->ns_id << 32 | e->family << 16 | e->proto;
	struct map *all = session_map(s, "inet diag");
	own_fd int nl = -1;
	int r = 1;

	*ret = map_get(all, key);
	if (*ret)
		return 0;
	*ret = xalloc(sizeof(**ret));
	map_put(all, key, *ret);
	nl = ns_socket(s, e->ns_id, AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG);
	if (nl < 0)
		return nl;
	if (send(nl, &m, sizeof(m), 0) < 0)
		r = -errno;
	while (r == 1)
		r = diag_read(nl, *ret);
	return r;
}

static int note_udp(struct session *s, const struct fd_view *v, struct inet_note *n)
{
	struct pollfd p = { .fd = v->fd, .events = POLLIN | POLLRDHUP };
	struct map *m;
	int ready = poll(&p, 1, 0), r = 0;

	n->e.state = n->e.dst_port ? TCP_ESTABLISHED : TCP_CLOSE;
	if (ready == 1 && p.revents & POLLRDHUP)
		n->e.shutdown = SK_SHUTDOWN__READ;
	else if (ready == 1 && p.revents & POLLIN)
		session_warn(s, "task %d: descriptor %d: datagrams that were not read yet are not kept",
			     v->task->vpid, v->num);
	if (is_udp(n->e.proto) && n->e.src_port) {
		r = diag_load(s, &n->e, &m);
		if (r == 0)
			n->e.shutdown = (uintptr_t)map_get(m, n->e.ino) & SK_SHUTDOWN__BOTH;
		else
			session_warn(s, "socket 0x%x: sock_diag does not answer; whether it was shut down for sending is not kept",
				     v->id);
	}
	n->e.has_shutdown = n->e.shutdown != SK_SHUTDOWN__NONE;
	return 0;
}

static int note_fill(struct session *s, const struct fd_view *v, struct inet_note *n)
{
	int r = sock_opts_get(s, v->fd, &n->opts);

	if (r == 0)
		r = note_addresses(s, v, n);
	if (r < 0)
		return r;
	note_ip(v, n);
	if (n->e.type == SOCK_RAW)
		note_raw(v, n);
	if (n->e.type != SOCK_STREAM)
		return note_udp(s, v, n);
	note_tcp(v, n);
	return 0;
}

static int inet_dump(struct session *s, const struct fd_view *v)
{
	struct inet_note *n = note_new(v);
	int r = inet_preflight(s, v), fd; /* once more, now that nothing changes */

	if (r == 0)
		r = note_fill(s, v, n);
	if (r == 0 && inet_tcp_is_connection(&n->e) && !s->opts->tcp_close) {
		fd = fcntl(v->fd, F_DUPFD_CLOEXEC, 3);
		if (fd >= 0)
			return inet_tcp_note(s, fd, &n->e);
		r = session_fail(s, -errno, "socket 0x%x: keep it", v->id);
	}
	if (r == 0)
		r = fd_put(s, v, &n->e.base);
	note_free(n);
	return r;
}

/* ---- restore ---- */

struct inet_made {
	struct {
		struct fd_obj **v;
		size_t n, max;
	} all;
	bool linked;
};

static struct inet_made *made(struct session *s)
{
	struct map *m = session_map(s, "inet made");

	if (!map_get(m, 0))
		map_put(m, 0, xalloc(sizeof(struct inet_made)));
	return map_get(m, 0);
}

static int inet_fail(struct session *s, int r, const InetSkEntry *e, const char *what)
{
	return session_fail(s, r, "socket 0x%x (family %u, protocol %u, port %u): %s", e->id, e->family,
			    e->proto, e->src_port, what);
}

static int inet_check(struct session *s, uint32_t id, const InetSkEntry *e)
{
	size_t words = e && e->family == AF_INET ? 1 : 4;

	if (!e || (e->family != AF_INET && e->family != AF_INET6) ||
	    (e->type != SOCK_STREAM && e->type != SOCK_DGRAM && e->type != SOCK_RAW) ||
	    (e->type == SOCK_STREAM && e->proto != IPPROTO_TCP) || e->proto > 255 ||
	    e->src_port > 65535 || e->dst_port > 65535 || e->backlog > BACKLOG_MAX ||
	    (e->n_src_addr && e->n_src_addr != words) || (e->n_dst_addr && e->n_dst_addr != words) ||
	    (inet_tcp_is_connection(e) && (!e->n_src_addr || !e->n_dst_addr)) ||
	    (e->ifname && strlen(e->ifname) >= IF_NAMESIZE))
		return session_fail(s, -EBADMSG, "files.img: socket 0x%x is damaged", id);
	return 0;
}

static int set_int(int fd, int level, int opt, int v)
{
	if (opt_int(fd, level, opt) == v) /* what was not set stays unset */
		return 0;
	return setsockopt(fd, level, opt, &v, sizeof(v)) < 0 ? -errno : 0;
}

static int set_raw(int fd, const InetSkEntry *e)
{
	const IpOptsRawEntry *o = e->ip_opts->raw;
	bool v4 = e->family == AF_INET;
	int r = 0;

	if (!o)
		return 0;
	if (o->hdrincl)
		r = set_int(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_HDRINCL : IPV6_HDRINCL, 1);
	if (r == 0 && o->nodefrag && v4)
		r = set_int(fd, IPPROTO_IP, IP_NODEFRAG, 1);
	if (r == 0 && o->n_icmpv_filter && o->n_icmpv_filter <= 8 &&
	    setsockopt(fd, v4 ? SOL_RAW : IPPROTO_ICMPV6, RAW_FILTER, o->icmpv_filter,
		       o->n_icmpv_filter * sizeof(uint32_t)) < 0)
		r = -errno;
	return r;
}

static int set_ip(int fd, const InetSkEntry *e)
{
	const IpOptsEntry *o = e->ip_opts;
	bool v4 = e->family == AF_INET;
	int r = v4 ? 0 : set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, e->has_v6only && e->v6only);

	if (!o || r < 0)
		return r;
	if (o->freebind)
		r = v4 ? set_int(fd, IPPROTO_IP, IP_FREEBIND, 1)
		       : set_int(fd, IPPROTO_IPV6, IPV6_FREEBIND, 1);
	if (r == 0 && o->pktinfo)
		r = v4 ? set_int(fd, IPPROTO_IP, IP_PKTINFO, 1)
		       : set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
	if (r == 0 && v4 && o->has_tos)
		r = set_int(fd, IPPROTO_IP, IP_TOS, o->tos);
	if (r == 0 && v4 && o->has_ttl && o->ttl)
		r = set_int(fd, IPPROTO_IP, IP_TTL, o->ttl);
	return r < 0 || e->type != SOCK_RAW ? r : set_raw(fd, e);
}

/* New images have them in tcp_opts, older ones among the common options. */
static int set_tcp(int fd, const InetSkEntry *e)
{
	const TcpOptsEntry *o = e->tcp_opts;
	const SkOptsEntry *c = e->opts;
	uint32_t cnt = o && o->has_keepcnt ? o->keepcnt : c->tcp_keepcnt;
	uint32_t idle = o && o->has_keepidle ? o->keepidle : c->tcp_keepidle;
	uint32_t intvl = o && o->has_keepintvl ? o->keepintvl : c->tcp_keepintvl;
	int r = cnt ? set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, cnt) : 0;

	if (r == 0 && idle)
		r = set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle);
	if (r == 0 && intvl)
		r = set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, intvl);
	if (r == 0 && o && o->nodelay && !inet_tcp_is_connection(e))
		r = set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (r == 0 && o && o->cork && !inet_tcp_is_connection(e))
		r = set_int(fd, IPPROTO_TCP, TCP_CORK, 1);
	return r;
}

/* Others may have the same port: reuse is on until all are bound, see inet_settle(). */
static int inet_options(struct session *s, int fd, const InetSkEntry *e)
{
	SkOptsEntry o = *e->opts;
	int on = 1, r;

	o.n_so_filter = 0; /* comes with the rest, at the end */
	o.has_so_lock_filter = false;
	r = sock_opts_set(s, fd, &o);
	if (r < 0)
		return r;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return inet_fail(s, -errno, e, "let it share its port");
	r = set_ip(fd, e);
	if (r == 0 && e->type == SOCK_STREAM)
		r = set_tcp(fd, e);
	return r < 0 ? inet_fail(s, r, e, "set its options") : 0;
}

static int inet_bind(struct session *s, int fd, const InetSkEntry *e)
{
	struct sockaddr_storage a;
	socklen_t n = inet_addr_get(fd, e, false, &a);
	bool any = true;

	for (size_t i = 0; i < e->n_src_addr; i++)
		any = any && !e->src_addr[i];
	if (e->type == SOCK_RAW ? any : !e->src_port)
		return 0;
	if (bind(fd, (void *)&a, n) == 0)
		return 0;
	return inet_fail(s, -errno, e,
			 errno == EADDRINUSE	  ? "bind: the port is in use by somebody else here"
			 : errno == EADDRNOTAVAIL ? "bind: its address is not on this host"
						  : "bind it to its address");
}

static int inet_connect(struct session *s, int fd, const InetSkEntry *e)
{
	struct sockaddr_storage a;
	socklen_t n = inet_addr_get(fd, e, true, &a);

	if (!e->dst_port || e->type == SOCK_STREAM)
		return 0;
	return connect(fd, (void *)&a, n) < 0 ? inet_fail(s, -errno, e, "set its peer") : 0;
}

/* With --tcp-close a connection is a socket whose peer has gone away. */
static int inet_make_connection(struct session *s, struct fd_obj *o, const InetSkEntry *e)
{
	if (s->opts->tcp_close)
		return shutdown(o->fd, SHUT_RDWR) < 0 && errno != ENOTCONN
			       ? inet_fail(s, -errno, e, "close it")
			       : 0;
	if (!s->opts->tcp_established)
		return inet_fail(s, -EINVAL, e,
				 "is a TCP connection; restore it with --tcp-established, or closed with --tcp-close");
	if (e->state == TCP_SYN_SENT || e->state == TCP_SYN_RECV || e->state > TCP_CLOSING)
		return inet_fail(s, -ENOTSUP, e,
				 "was a TCP connection just being made, which cannot be restored yet; use --tcp-close");
	return inet_tcp_make(s, o, o->fd);
}

static int inet_restore(struct session *s, struct fd_obj *o)
{
	const InetSkEntry *e = o->entry->isk;
	int r = inet_check(s, o->id, e);

	if (r < 0)
		return r;
	o->fd = ns_socket(s, e->has_ns_id ? e->ns_id : 0, e->family, e->type, e->proto);
	if (o->fd < 0)
		return o->fd;
	*vec_add(&made(s)->all) = o;
	r = inet_options(s, o->fd, e);
	if (r < 0)
		return r;
	if (inet_tcp_is_connection(e))
		return inet_make_connection(s, o, e);
	r = inet_bind(s, o->fd, e);
	return r < 0 ? r : inet_connect(s, o->fd, e);
}

/* All are bound and listen: flags that shared ports get their values, and nothing comes in before. */
static int inet_settle(struct session *s, const struct fd_obj *o)
{
	const InetSkEntry *e = o->entry->isk;
	int reuse = e->opts->reuseaddr;

	if (inet_tcp_is_connection(e) && !s->opts->tcp_close)
		return 0; /* done by inet_tcp_unlock() */
	if (setsockopt(o->fd, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof(reuse)) < 0)
		return inet_fail(s, -errno, e, "set SO_REUSEADDR");
	if (e->has_shutdown && e->shutdown >= SK_SHUTDOWN__READ && e->shutdown <= SK_SHUTDOWN__BOTH &&
	    shutdown(o->fd, e->shutdown - 1) < 0 && errno != ENOTCONN)
		return inet_fail(s, -errno, e, "shut it down");
	return sock_opts_set(s, o->fd, e->opts);
}

/* For all sockets at the first call: what one is depends on what others are bound to. */
static int inet_link(struct session *s, struct fd_obj *first)
{
	struct inet_made *m = made(s);
	int r = 0;

	if (m->linked)
		return 0;
	m->linked = true;
	for (size_t i = 0; i < m->all.n; i++) {
		const InetSkEntry *e = m->all.v[i]->entry->isk;

		if (e->state == TCP_LISTEN && e->type == SOCK_STREAM &&
		    listen(m->all.v[i]->fd, e->backlog) < 0)
			return inet_fail(s, -errno, e, "listen");
	}
	r = inet_tcp_fill(s);
	for (size_t i = 0; r == 0 && i < m->all.n; i++)
		r = inet_settle(s, m->all.v[i]);
	return r;
}

const struct fd_kind fd_kind_inet = {
	.name = "inet",
	.type = FD_TYPES__INETSK,
	.is = inet_is,
	.dump = inet_dump,
	.restore = inet_restore,
	.link = inet_link,
	.dump_end = inet_tcp_dump_end,
	.preflight = inet_preflight,
};
