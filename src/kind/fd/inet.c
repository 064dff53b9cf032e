// SPDX-License-Identifier: Apache-2.0
/*
 * inet: TCP, UDP, ping and raw sockets of IPv4 and IPv6, listeners of MPTCP. TCP connections: kind/inet-tcp.c.
 *
 * Kept:   addresses, peers, listening and its backlog, v6only, options of images, shutdown.
 * Lost:   datagrams in ping and raw sockets, errors that wait to be read, numbers of what was sent (MSG_ZEROCOPY,
 *         SOF_TIMESTAMPING_OPT_ID): said; see also kind/inet-opts.c, inet-more.c, sock-opts.c, inet-queue.c,
 *         inet-pending.c.
 * Kernel: net/ipv4/af_inet.c; TCP_INFO of a listener: tcpi_unacked waiting, tcpi_sacked backlog.
 *         What UDP has shut down for sending is shown by sock_diag only.
 */
#include "kind/fd.h"

#include "base/list.h"
#include "base/res.h"
#include "kind/inet-diag.h"
#include "kind/inet-hold.h"
#include "kind/inet-map.h"
#include "kind/inet-more.h"
#include "kind/inet-opts.h"
#include "kind/inet-pending.h"
#include "kind/inet-queue.h"
#include "kind/inet-tcp.h"
#include "kind/ns.h"
#include "kind/sk-queue.h"
#include "kind/sock-opts.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/net_tstamp.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#ifndef SO_PEERNAME
#define SO_PEERNAME 28
#endif
#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
#ifndef SOL_MPTCP
#define SOL_MPTCP 284
#endif
#define MPTCP_INFO_OPT 1
#define UDP_CORK_OPT 1
#define BACKLOG_MAX INT32_MAX
#define PATIENCE 32 /* stops that hit connections not accepted yet, if these can be kept */

static bool inet_is(const struct fd_view *v)
{
	int family, type, protocol;

	if (!S_ISSOCK(v->st.st_mode) || v->fd < 0)
		return false;
	family = inet_opt(v->fd, SOL_SOCKET, SO_DOMAIN);
	type = inet_opt(v->fd, SOL_SOCKET, SO_TYPE);
	protocol = inet_opt(v->fd, SOL_SOCKET, SO_PROTOCOL);
	if (family != AF_INET && family != AF_INET6)
		return false;
	if (type == SOCK_STREAM)
		return protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP;
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

/* Those whose clients are in the tree are kept, where connections are. */
static bool pending_kept(const struct session *s)
{
	return s->opts->tcp_established && !s->opts->tcp_close && !s->opts->tcp_skip_in_flight;
}

static int listener_check(struct session *s, const struct fd_view *v, const struct tcp_info *ti)
{
	if (!ti->tcpi_unacked || pending_kept(s))
		return 0;
	if (!s->opts->tcp_skip_in_flight)
		return session_fail(s, -ENOTSUP,
				    "task %d: descriptor %d listens and %u connections wait to be accepted; let it accept them, keep them with --tcp-established, or drop them with --skip-in-flight",
				    v->task->vpid, v->num, ti->tcpi_unacked);
	session_warn(s, "task %d: descriptor %d: %u connections that wait to be accepted are dropped",
		     v->task->vpid, v->num, ti->tcpi_unacked);
	return 0;
}

/* Connections that wait to be accepted: a server at work takes them soon. */
static int inet_passing(struct session *s, const struct fd_view *v)
{
	struct map *seen = session_map(s, "inet passing");
	uintptr_t times = (uintptr_t)map_get(seen, v->st.st_ino);
	struct tcp_info ti = { 0 };
	socklen_t n = sizeof(ti);

	if (s->opts->tcp_skip_in_flight || inet_opt(v->fd, SOL_SOCKET, SO_TYPE) != SOCK_STREAM ||
	    getsockopt(v->fd, IPPROTO_TCP, TCP_INFO, &ti, &n) < 0 || ti.tcpi_state != TCP_LISTEN)
		return -1;
	if (!ti.tcpi_unacked)
		return 0;
	map_put(seen, v->st.st_ino, (void *)(times + 1));
	return !pending_kept(s) || times < PATIENCE;
}

/* The kernel lets nobody repair it, one that fell back to TCP neither; closed, it is a socket like any other. */
static int mptcp_check(struct session *s, const struct fd_view *v)
{
	char info[256];
	socklen_t n = sizeof(info);
	bool fell = getsockopt(v->fd, SOL_MPTCP, MPTCP_INFO_OPT, info, &n) < 0 && errno == EOPNOTSUPP;

	if (s->opts->tcp_close)
		return 0;
	return session_fail(s, -ENOTSUP,
			    "task %d: descriptor %d is an MPTCP connection%s, which the kernel does not give back; have it closed at restore with --tcp-close, or let the program use plain TCP (Go: GODEBUG=multipathtcp=0; all: sysctl net.mptcp.enabled=0)",
			    v->task->vpid, v->num, fell ? " that fell back to TCP" : "");
}

static int tcp_check(struct session *s, const struct fd_view *v)
{
	struct tcp_info ti = { 0 };
	socklen_t n = sizeof(ti);
	char ulp[16] = "";

	if (getsockopt(v->fd, IPPROTO_TCP, TCP_INFO, &ti, &n) < 0)
		return session_fail(s, -errno, "task %d: descriptor %d: read TCP_INFO", v->task->vpid,
				    v->num);
	if (ti.tcpi_state == TCP_LISTEN) /* of running tasks it says nothing, see inet_passing() */
		return v->fown ? listener_check(s, v, &ti) : 0;
	if (ti.tcpi_state == TCP_CLOSE)
		return 0;
	if (inet_opt(v->fd, SOL_SOCKET, SO_PROTOCOL) == IPPROTO_MPTCP)
		return mptcp_check(s, v);
	if (ti.tcpi_state == TCP_SYN_RECV)
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
	if (n || inet_opt(v->fd, IPPROTO_UDP, UDP_CORK_OPT))
		return session_fail(s, -ENOTSUP,
				    "task %d: descriptor %d is a UDP socket that is corked or still sending; let the program finish its datagram first",
				    v->task->vpid, v->num);
	return 0;
}

static int inet_preflight(struct session *s, const struct fd_view *v)
{
	int protocol = inet_opt(v->fd, SOL_SOCKET, SO_PROTOCOL);

	if (inet_opt(v->fd, SOL_SOCKET, SO_TYPE) == SOCK_STREAM)
		return tcp_check(s, v);
	return is_udp(protocol) ? udp_check(s, v) : 0;
}

/* An entry with all its parts, as one piece of memory (but what sock_opts_get() allocates). */
struct inet_note {
	InetSkEntry e;
	FownEntry fown;
	SkOptsEntry opts;
	struct inet_opts inet;
	uint32_t src[4], dst[4];
	char ifname[IF_NAMESIZE];
};

static struct inet_note *note_new(const struct fd_view *v)
{
	struct inet_note *n = xalloc(sizeof(*n));

	inet_sk_entry__init(&n->e);
	sk_opts_entry__init(&n->opts);
	n->fown = *v->fown;
	n->e.id = v->id;
	n->e.ino = v->st.st_ino;
	n->e.flags = v->flags;
	n->e.fown = &n->fown;
	n->e.opts = &n->opts;
	n->e.src_addr = n->src;
	n->e.dst_addr = n->dst;
	n->e.has_ns_id = true;
	n->e.ns_id = v->net_ns_id;
	n->e.family = inet_opt(v->fd, SOL_SOCKET, SO_DOMAIN);
	n->e.type = inet_opt(v->fd, SOL_SOCKET, SO_TYPE);
	n->e.proto = inet_opt(v->fd, SOL_SOCKET, SO_PROTOCOL);
	n->e.n_src_addr = n->e.n_dst_addr = n->e.family == AF_INET ? 1 : 4;
	return n;
}

static void note_free(struct inet_note *n)
{
	sock_opts_free(&n->opts);
	inet_more_free(&n->e);
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
	int waiting = 0;

	getsockopt(v->fd, IPPROTO_TCP, TCP_INFO, &ti, &len);
	n->e.state = ti.tcpi_state;
	if (n->e.state == TCP_LISTEN) {
		n->e.backlog = ti.tcpi_sacked;
	} else {
		n->e.shutdown = inet_tcp_shutdown(v->fd, n->e.state);
		n->e.has_shutdown = n->e.shutdown != SK_SHUTDOWN__NONE;
	}
	if (n->e.proto == IPPROTO_MPTCP && n->e.dst_port && n->e.state != TCP_LISTEN) { /* --tcp-close: dead already */
		n->e.state = TCP_CLOSE;
		n->e.shutdown = SK_SHUTDOWN__BOTH;
		n->e.has_shutdown = true;
		note_dead(n);
	}
	if (n->e.state == TCP_CLOSE && (ioctl(v->fd, SIOCINQ, &waiting) < 0 || !waiting))
		note_dead(n);
}

/* An error that waits would be taken away by looking at the datagrams behind it. Ping and raw sockets show none. */
static int note_datagrams(struct session *s, const struct fd_view *v, const struct inet_note *n, bool error)
{
	if (is_udp(n->e.proto) && n->e.type == SOCK_DGRAM && !error)
		return sk_queue_dump(s, v->task, v->fd, v->id, SOCK_DGRAM, true);
	session_warn(s, "task %d: descriptor %d: datagrams that were not read yet are not kept",
		     v->task->vpid, v->num);
	return 0;
}

static int note_udp(struct session *s, const struct fd_view *v, struct inet_note *n)
{
	struct pollfd p = { .fd = v->fd, .events = POLLIN | POLLRDHUP };
	struct map *m;
	int ready = poll(&p, 1, 0), r = 0;

	n->e.state = n->e.dst_port ? TCP_ESTABLISHED : TCP_CLOSE;
	if (ready == 1 && p.revents & POLLRDHUP)
		n->e.shutdown = SK_SHUTDOWN__READ;
	if (ready == 1 && p.revents & POLLIN)
		r = note_datagrams(s, v, n, p.revents & POLLERR);
	if (r < 0)
		return r;
	if (is_udp(n->e.proto) && n->e.src_port) {
		r = inet_diag(s, &n->e, &m);
		if (r == 0)
			n->e.shutdown = (uintptr_t)map_get(m, n->e.ino) & SK_SHUTDOWN__BOTH;
		else
			session_warn(s, "socket 0x%x: sock_diag does not answer; whether it was shut down for sending is not kept",
				     v->id);
	}
	n->e.has_shutdown = n->e.shutdown != SK_SHUTDOWN__NONE;
	return 0;
}

/* Reading them would take them away: what a peer or a router answered, time stamps, ends of MSG_ZEROCOPY. */
static void note_errors(struct session *s, const struct fd_view *v)
{
	struct pollfd p = { .fd = v->fd };

	if (poll(&p, 1, 0) == 1 && p.revents & POLLERR)
		session_warn(s, "task %d: descriptor %d: errors that wait to be read (SO_ERROR, MSG_ERRQUEUE) are not kept",
			     v->task->vpid, v->num);
}

/* The kernel does not say how far it has counted. */
static void note_numbers(struct session *s, const struct fd_view *v, const InetSkEntry *e)
{
	if ((e->type == SOCK_STREAM && e->state != TCP_ESTABLISHED && e->state != TCP_CLOSE_WAIT) ||
	    !(inet_opt(v->fd, SOL_SOCKET, SO_ZEROCOPY) ||
	      inet_opt(v->fd, SOL_SOCKET, SO_TIMESTAMPING) & SOF_TIMESTAMPING_OPT_ID))
		return;
	session_warn(s, "task %d: descriptor %d: what it sends is numbered from 0 on again (MSG_ZEROCOPY, SOF_TIMESTAMPING_OPT_ID), and nothing tells of what it had sent before",
		     v->task->vpid, v->num);
}

/* They end with their network namespace; in the host's they go on. */
static void note_closed(struct session *s, const InetSkEntry *e)
{
	struct map *told = session_map(s, "inet closed told");
	const struct ns *net = ns_of(s, CLONE_NEWNET);
	uint64_t key = (uint64_t)e->ns_id << 32 | e->family;
	size_t n;

	if (!net || !net->own || map_get(told, key) || s->opts->leave_running)
		return;
	map_put(told, key, told);
	n = inet_diag_closed(s, e);
	if (n)
		session_warn(s, "network namespace %u: %zu connections that the tasks have closed still send; what their peers have not got yet is lost",
			     e->ns_id, n);
}

static int note_listener(struct session *s, const struct fd_view *v, const InetSkEntry *e)
{
	struct tcp_info ti = { 0 };
	socklen_t n = sizeof(ti);

	if (getsockopt(v->fd, IPPROTO_TCP, TCP_INFO, &ti, &n) < 0)
		return session_fail(s, -errno, "socket 0x%x: read TCP_INFO", v->id);
	return inet_pending_note(s, v, e, pending_kept(s) ? ti.tcpi_unacked : 0);
}

static int note_fill(struct session *s, const struct fd_view *v, struct inet_note *n)
{
	int r = sock_opts_get(s, v->fd, &n->opts);

	if (r == 0)
		r = note_addresses(s, v, n);
	if (r < 0)
		return r;
	if (n->e.type == SOCK_STREAM)
		note_tcp(v, n); /* first: what a connection has agreed upon are no options */
	inet_opts_get(s, v->fd, &n->inet, &n->e);
	inet_more_get(s, v, &n->e);
	note_errors(s, v);
	note_numbers(s, v, &n->e);
	if (n->e.type != SOCK_STREAM)
		return note_udp(s, v, n);
	note_closed(s, &n->e);
	return n->e.state == TCP_LISTEN ? note_listener(s, v, &n->e) : 0;
}

static int inet_dump_end(struct session *s)
{
	int r = inet_tcp_dump_end(s);

	return r < 0 ? r : inet_pending_dump_end(s);
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
	return session_state(s, "inet made", sizeof(struct inet_made));
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
	    (e->type == SOCK_STREAM ? e->proto != IPPROTO_TCP && e->proto != IPPROTO_MPTCP : e->proto > 255) ||
	    (e->proto == IPPROTO_MPTCP && e->dst_port && e->state != TCP_LISTEN && e->state != TCP_CLOSE) ||
	    e->src_port > 65535 || e->dst_port > 65535 || e->backlog > BACKLOG_MAX ||
	    (e->n_src_addr && e->n_src_addr != words) || (e->n_dst_addr && e->n_dst_addr != words) ||
	    (inet_tcp_is_connection(e) && (!e->n_src_addr || !e->n_dst_addr)) ||
	    (e->ifname && strlen(e->ifname) >= IF_NAMESIZE))
		return session_fail(s, -EBADMSG, "files.img: socket 0x%x is damaged", id);
	return 0;
}

/* Others may have the same port: reuse is on until all are bound, see inet_settle(). */
static int inet_options(struct session *s, int fd, const InetSkEntry *e)
{
	SkOptsEntry o = *e->opts;
	int on = 1, r;

	o.n_so_filter = o.n_other = 0; /* come with the rest, at the end: some want a connection */
	o.has_so_lock_filter = false;
	r = sock_opts_set(s, fd, &o);
	if (r < 0)
		return r;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return inet_fail(s, -errno, e, "let it share its port");
	r = inet_opts_set(s, fd, e);
	if (r == 0)
		inet_more_set(s, fd, e);
	return r;
}

static int inet_bind(struct session *s, int fd, const InetSkEntry *e)
{
	struct sockaddr_storage a;
	socklen_t n = inet_bind_get(s, fd, e, &a);
	bool any = true, lent;
	int r;

	for (size_t i = 0; i < e->n_src_addr; i++)
		any = any && !e->src_addr[i];
	if (e->type == SOCK_RAW ? any : !e->src_port)
		return 0;
	lent = inet_borrow(s, fd, e);
	r = bind(fd, (void *)&a, n) < 0 ? -errno : 0;
	if (lent)
		inet_return(fd, e);
	return r == 0 ? 0 : inet_fail(s, r, e,
			 r == -EADDRINUSE	  ? "bind: the port is in use by somebody else here"
			 : r == -EADDRNOTAVAIL ? "bind: its address is not on this host; give --address-map or --address-policy"
						  : "bind it to its address");
}

static int inet_connect(struct session *s, int fd, const InetSkEntry *e)
{
	struct sockaddr_storage a;
	socklen_t n = inet_addr_get(fd, e, true, &a);

	if (!e->dst_port)
		return 0;
	return connect(fd, (void *)&a, n) < 0 ? inet_fail(s, -errno, e, "set its peer") : 0;
}

/* also raw and ping sockets */
static bool is_datagram(const InetSkEntry *e)
{
	return e->type != SOCK_STREAM;
}

/* With --tcp-close a connection is a socket whose peer has gone away. */
static int inet_make_connection(struct session *s, struct fd_obj *o, const InetSkEntry *e)
{
	int pending;

	if (s->opts->tcp_close)
		return shutdown(o->fd, SHUT_RDWR) < 0 && errno != ENOTCONN
			       ? inet_fail(s, -errno, e, "close it")
			       : 0;
	if (!s->opts->tcp_established)
		return inet_fail(s, -EINVAL, e,
				 "is a TCP connection; restore it with --tcp-established, or closed with --tcp-close");
	pending = inet_pending_is_client(s, e->id);
	if (pending < 0)
		return pending;
	if (e->state == TCP_SYN_SENT || pending) {
		int r = inet_bind(s, o->fd, e);

		if (r == 0)
			r = inet_more_keys(s, o->fd, e);
		return r < 0 ? r : pending ? inet_tcp_again(s, o) : inet_tcp_anew(s, o);
	}
	if (e->state == TCP_SYN_RECV || e->state > TCP_CLOSING)
		return inet_fail(s, -ENOTSUP, e,
				 "was a TCP connection just being made, which cannot be restored yet; use --tcp-close");
	return inet_tcp_make(s, o, o->fd);
}

/* A kernel without MPTCP, or told not to use it: what it is to its peers then anyway. */
static int inet_socket(struct session *s, const InetSkEntry *e)
{
	uint32_t ns = e->has_ns_id ? e->ns_id : 0;
	int fd = sock_make(s, ns, e->family, e->type, e->proto, e->opts);

	if (fd >= 0 || e->proto != IPPROTO_MPTCP)
		return fd;
	session_forget(s);
	session_warn(s, "socket 0x%x: there is no MPTCP here; it becomes one of TCP", e->id);
	return sock_make(s, ns, e->family, e->type, IPPROTO_TCP, e->opts);
}

static int inet_restore(struct session *s, struct fd_obj *o)
{
	InetSkEntry *e = o->entry->isk;
	int r = inet_check(s, o->id, e);

	if (r == 0 && inet_tcp_is_connection(e))
		inet_hold_note(s, e);
	if (r == 0)
		r = inet_map_apply(s, e, inet_tcp_is_connection(e));
	if (r < 0)
		return r;
	o->fd = inet_socket(s, e);
	if (o->fd < 0)
		return o->fd;
	*vec_add(&made(s)->all) = o;
	r = inet_options(s, o->fd, e);
	if (r < 0)
		return r;
	if (inet_gone(s, e->id))
		return inet_shut(s, o->fd, e);
	if (inet_tcp_is_connection(e))
		return inet_make_connection(s, o, e);
	if (is_datagram(e))
		return 0; /* the rest is done by inet_datagrams() */
	r = inet_more_keys(s, o->fd, e);
	return r < 0 ? r : inet_bind(s, o->fd, e);
}

/* All are bound and listen: flags that shared ports get their values, and nothing comes in before. */
static int inet_settle(struct session *s, const struct fd_obj *o)
{
	const InetSkEntry *e = o->entry->isk;
	int reuse = e->opts->reuseaddr;

	if (inet_tcp_is_connection(e) && !s->opts->tcp_close && !inet_gone(s, e->id) &&
	    inet_pending_is_client(s, e->id) != 1)
		return 0; /* done by inet_tcp_unlock() */
	if (setsockopt(o->fd, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof(reuse)) < 0)
		return inet_fail(s, -errno, e, "set SO_REUSEADDR");
	if (e->has_shutdown && e->shutdown >= SK_SHUTDOWN__READ && e->shutdown <= SK_SHUTDOWN__BOTH &&
	    shutdown(o->fd, e->shutdown - 1) < 0 && errno != ENOTCONN)
		return inet_fail(s, -errno, e, "shut it down");
	return sock_opts_set(s, o->fd, e->opts);
}

static bool is_bound_to_any(const InetSkEntry *e)
{
	for (size_t i = 0; i < e->n_src_addr; i++)
		if (e->src_addr[i])
			return false;
	return true;
}

/* Those that datagrams wait in are filled before others share their ports, and before any has a peer. */
static int inet_bind_datagrams(struct session *s, bool waiting, bool any)
{
	struct inet_made *m = made(s);
	struct sk_packet *p;
	int r = 0;

	for (size_t i = 0; r == 0 && i < m->all.n; i++) {
		const struct fd_obj *o = m->all.v[i];
		const InetSkEntry *e = o->entry->isk;

		if (!is_datagram(e) || inet_gone(s, e->id))
			continue;
		r = sk_queue_get(s, e->id, &p);
		if (r < 0 || (p != NULL) != waiting || (waiting && is_bound_to_any(e) != any))
			continue;
		r = inet_bind(s, o->fd, e);
		if (r == 0 && waiting)
			r = inet_queue_fill(s, o->fd, e);
	}
	return r;
}

/* One that is bound to an address would be preferred to one that is bound to none: these are filled first. */
static int inet_datagrams(struct session *s)
{
	struct inet_made *m = made(s);
	int r = inet_bind_datagrams(s, true, true);

	if (r == 0)
		r = inet_bind_datagrams(s, true, false);
	if (r == 0)
		r = inet_bind_datagrams(s, false, false);
	for (size_t i = 0; r == 0 && i < m->all.n; i++)
		if (is_datagram(m->all.v[i]->entry->isk) && !inet_gone(s, m->all.v[i]->id))
			r = inet_connect(s, m->all.v[i]->fd, m->all.v[i]->entry->isk);
	return r;
}

static bool is_listener(struct session *s, const InetSkEntry *e)
{
	return e->state == TCP_LISTEN && e->type == SOCK_STREAM && !inet_gone(s, e->id);
}

/* Its place among those of the tree that share its port and listen already; -1: it shares none. */
static int place_in_group(struct session *s, const struct inet_made *m, size_t me)
{
	const InetSkEntry *e = m->all.v[me]->entry->isk;
	int place = 0;

	if (!e->opts->so_reuseport)
		return -1;
	for (size_t i = 0; i < me; i++) {
		const InetSkEntry *o = m->all.v[i]->entry->isk;

		place += is_listener(s, o) && o->opts->so_reuseport && o->family == e->family && o->ns_id == e->ns_id &&
			 o->src_port == e->src_port && o->v6only == e->v6only && o->n_src_addr == e->n_src_addr &&
			 !memcmp(o->src_addr, e->src_addr, e->n_src_addr * sizeof(*e->src_addr));
	}
	return place;
}

/* As many as waited before may be more than its queue takes, if some had come when it was shorter. */
static int inet_listen(struct session *s, struct inet_made *m, size_t i)
{
	const struct fd_obj *o = m->all.v[i];
	const InetSkEntry *e = o->entry->isk;
	size_t waiting = s->opts->tcp_close ? 0 : inet_pending_count(s, e->id);
	int r = 0;

	if (listen(o->fd, e->backlog + (waiting < 65536 ? waiting : 0)) < 0)
		return inet_fail(s, -errno, e, "listen");
	if (!waiting)
		return 0;
	r = inet_pending_fill(s, o, place_in_group(s, m, i));
	return r == 0 && listen(o->fd, e->backlog) < 0 ? inet_fail(s, -errno, e, "listen") : r;
}

/* For all sockets at the first call: what one is depends on what others are bound to. */
static int inet_link(struct session *s, struct fd_obj *first)
{
	struct inet_made *m = made(s);
	int r = 0;

	if (m->linked)
		return 0;
	m->linked = true;
	r = inet_datagrams(s);
	for (size_t i = 0; r == 0 && i < m->all.n; i++)
		if (is_listener(s, m->all.v[i]->entry->isk))
			r = inet_listen(s, m, i);
	if (r == 0)
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
	.dump_end = inet_dump_end,
	.preflight = inet_preflight,
	.passing = inet_passing,
};
