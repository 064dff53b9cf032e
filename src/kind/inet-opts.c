// SPDX-License-Identifier: Apache-2.0
/*
 * inet-opts: options of the IP, TCP and UDP levels.
 *
 * Kept:   those that images have a place for; others with an int value in a list of ours, as far as they
 *         differ from a new socket's; the congestion control of TCP.
 * Lost:   keys of TCP_AO. What is no number: kind/inet-more.c.
 * Kernel: net/ipv4/ip_sockglue.c, net/ipv6/ipv6_sockglue.c, net/ipv4/tcp.c. A number set to what it is by
 *         default counts as set (it no longer follows a sysctl): equal values are left alone.
 */
#include "kind/inet-opts.h"

#include "base/res.h"
#include "kind/inet-tcp.h"
#include "kind/ns.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>

#ifndef IP_NODEFRAG
#define IP_NODEFRAG 22
#endif
#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78
#endif
#define TCP_MSS_LEAST 88 /* TCP_MIN_MSS */
#define RAW_FILTER 1 /* ICMP_FILTER and ICMPV6_FILTER */

/* by number, as no libc has all of them */
enum {
	FOR_V4 = 1,
	FOR_V6 = 2,
	FOR_TCP = 4,
	FOR_UDP = 8,
	NOT_CONNECTED = 16, /* a connection's was agreed upon, or came with a packet */
	NOT_STREAM = 32,    /* it cannot be set there; an accepted one's came with a packet */
	BOTH = FOR_V4 | FOR_V6
};

static const struct int_opt {
	int level, name, use;
} int_opts[] = {
	{ IPPROTO_IP, 1 /* IP_TOS */, FOR_V6 }, /* for IPv4 the image has a place */
	{ IPPROTO_IP, 2 /* IP_TTL */, FOR_V6 },
	{ IPPROTO_IP, 5 /* IP_ROUTER_ALERT */, FOR_V4 },
	{ IPPROTO_IP, 6 /* IP_RECVOPTS */, BOTH },
	{ IPPROTO_IP, 7 /* IP_RETOPTS */, BOTH },
	{ IPPROTO_IP, 8 /* IP_PKTINFO */, FOR_V6 },
	{ IPPROTO_IP, 10 /* IP_MTU_DISCOVER */, BOTH },
	{ IPPROTO_IP, 11 /* IP_RECVERR */, BOTH },
	{ IPPROTO_IP, 12 /* IP_RECVTTL */, BOTH },
	{ IPPROTO_IP, 13 /* IP_RECVTOS */, BOTH },
	{ IPPROTO_IP, 15 /* IP_FREEBIND */, FOR_V6 },
	{ IPPROTO_IP, 18 /* IP_PASSSEC */, BOTH },
	{ IPPROTO_IP, 19 /* IP_TRANSPARENT */, BOTH },
	{ IPPROTO_IP, 20 /* IP_RECVORIGDSTADDR */, BOTH },
	{ IPPROTO_IP, 21 /* IP_MINTTL */, BOTH },
	{ IPPROTO_IP, 22 /* IP_NODEFRAG */, BOTH },
	{ IPPROTO_IP, 23 /* IP_CHECKSUM */, BOTH },
	{ IPPROTO_IP, 24 /* IP_BIND_ADDRESS_NO_PORT */, BOTH },
	{ IPPROTO_IP, 25 /* IP_RECVFRAGSIZE */, BOTH },
	{ IPPROTO_IP, 26 /* IP_RECVERR_RFC4884 */, BOTH },
	{ IPPROTO_IP, 32 /* IP_MULTICAST_IF */, BOTH | NOT_STREAM },
	{ IPPROTO_IP, 33 /* IP_MULTICAST_TTL */, BOTH | NOT_STREAM },
	{ IPPROTO_IP, 34 /* IP_MULTICAST_LOOP */, BOTH | NOT_CONNECTED },
	{ IPPROTO_IP, 49 /* IP_MULTICAST_ALL */, BOTH | NOT_CONNECTED },
	{ IPPROTO_IP, 50 /* IP_UNICAST_IF */, BOTH },
	{ IPPROTO_IP, 51 /* IP_LOCAL_PORT_RANGE */, BOTH },
	{ IPPROTO_IPV6, 2 /* IPV6_2292PKTINFO */, FOR_V6 },
	{ IPPROTO_IPV6, 3 /* IPV6_2292HOPOPTS */, FOR_V6 },
	{ IPPROTO_IPV6, 4 /* IPV6_2292DSTOPTS */, FOR_V6 },
	{ IPPROTO_IPV6, 5 /* IPV6_2292RTHDR */, FOR_V6 },
	{ IPPROTO_IPV6, 8 /* IPV6_2292HOPLIMIT */, FOR_V6 },
	{ IPPROTO_IPV6, 11 /* IPV6_FLOWINFO */, FOR_V6 },
	{ IPPROTO_IPV6, 16 /* IPV6_UNICAST_HOPS */, FOR_V6 },
	{ IPPROTO_IPV6, 17 /* IPV6_MULTICAST_IF */, FOR_V6 | NOT_STREAM },
	{ IPPROTO_IPV6, 18 /* IPV6_MULTICAST_HOPS */, FOR_V6 | NOT_STREAM },
	{ IPPROTO_IPV6, 19 /* IPV6_MULTICAST_LOOP */, FOR_V6 },
	{ IPPROTO_IPV6, 22 /* IPV6_ROUTER_ALERT */, FOR_V6 },
	{ IPPROTO_IPV6, 23 /* IPV6_MTU_DISCOVER */, FOR_V6 },
	{ IPPROTO_IPV6, 25 /* IPV6_RECVERR */, FOR_V6 },
	{ IPPROTO_IPV6, 29 /* IPV6_MULTICAST_ALL */, FOR_V6 | NOT_CONNECTED },
	{ IPPROTO_IPV6, 30 /* IPV6_ROUTER_ALERT_ISOLATE */, FOR_V6 },
	{ IPPROTO_IPV6, 31 /* IPV6_RECVERR_RFC4884 */, FOR_V6 },
	{ IPPROTO_IPV6, 33 /* IPV6_FLOWINFO_SEND */, FOR_V6 },
	{ IPPROTO_IPV6, 51 /* IPV6_RECVHOPLIMIT */, FOR_V6 },
	{ IPPROTO_IPV6, 53 /* IPV6_RECVHOPOPTS */, FOR_V6 },
	{ IPPROTO_IPV6, 56 /* IPV6_RECVRTHDR */, FOR_V6 },
	{ IPPROTO_IPV6, 58 /* IPV6_RECVDSTOPTS */, FOR_V6 },
	{ IPPROTO_IPV6, 60 /* IPV6_RECVPATHMTU */, FOR_V6 },
	{ IPPROTO_IPV6, 62 /* IPV6_DONTFRAG */, FOR_V6 },
	{ IPPROTO_IPV6, 66 /* IPV6_RECVTCLASS */, FOR_V6 },
	{ IPPROTO_IPV6, 67 /* IPV6_TCLASS */, FOR_V6 },
	{ IPPROTO_IPV6, 70 /* IPV6_AUTOFLOWLABEL */, FOR_V6 },
	{ IPPROTO_IPV6, 72 /* IPV6_ADDR_PREFERENCES */, FOR_V6 },
	{ IPPROTO_IPV6, 73 /* IPV6_MINHOPCOUNT */, FOR_V6 },
	{ IPPROTO_IPV6, 74 /* IPV6_RECVORIGDSTADDR */, FOR_V6 },
	{ IPPROTO_IPV6, 75 /* IPV6_TRANSPARENT */, FOR_V6 },
	{ IPPROTO_IPV6, 76 /* IPV6_UNICAST_IF */, FOR_V6 },
	{ IPPROTO_IPV6, 77 /* IPV6_RECVFRAGSIZE */, FOR_V6 },
	{ SOL_RAW, 7 /* IPV6_CHECKSUM */, FOR_V6 | NOT_CONNECTED },
	{ IPPROTO_TCP, 2 /* TCP_MAXSEG */, FOR_TCP | NOT_CONNECTED },
	{ IPPROTO_TCP, 7 /* TCP_SYNCNT */, FOR_TCP },
	{ IPPROTO_TCP, 8 /* TCP_LINGER2 */, FOR_TCP },
	{ IPPROTO_TCP, 9 /* TCP_DEFER_ACCEPT */, FOR_TCP },
	{ IPPROTO_TCP, 10 /* TCP_WINDOW_CLAMP */, FOR_TCP | NOT_CONNECTED },
	{ IPPROTO_TCP, 16 /* TCP_THIN_LINEAR_TIMEOUTS */, FOR_TCP },
	{ IPPROTO_TCP, 18 /* TCP_USER_TIMEOUT */, FOR_TCP },
	{ IPPROTO_TCP, 23 /* TCP_FASTOPEN */, FOR_TCP },
	{ IPPROTO_TCP, 25 /* TCP_NOTSENT_LOWAT */, FOR_TCP },
	{ IPPROTO_TCP, 27 /* TCP_SAVE_SYN */, FOR_TCP },
	{ IPPROTO_TCP, 30 /* TCP_FASTOPEN_CONNECT */, FOR_TCP },
	{ IPPROTO_TCP, 34 /* TCP_FASTOPEN_NO_COOKIE */, FOR_TCP },
	{ IPPROTO_TCP, 36 /* TCP_INQ */, FOR_TCP },
	{ IPPROTO_TCP, 37 /* TCP_TX_DELAY */, FOR_TCP },
	{ IPPROTO_TCP, 44 /* TCP_RTO_MAX_MS */, FOR_TCP },
	{ IPPROTO_TCP, 45 /* TCP_RTO_MIN_US */, FOR_TCP },
	{ IPPROTO_TCP, 46 /* TCP_DELACK_MAX_US */, FOR_TCP },
	{ IPPROTO_UDP, 100 /* UDP_ENCAP */, FOR_UDP },
	{ IPPROTO_UDP, 101 /* UDP_NO_CHECK6_TX */, FOR_UDP },
	{ IPPROTO_UDP, 102 /* UDP_NO_CHECK6_RX */, FOR_UDP },
	{ IPPROTO_UDP, 103 /* UDP_SEGMENT */, FOR_UDP },
	{ IPPROTO_UDP, 104 /* UDP_GRO */, FOR_UDP },
	{ IPPROTO_UDPLITE, 10 /* UDPLITE_SEND_CSCOV */, FOR_UDP },
	{ IPPROTO_UDPLITE, 11 /* UDPLITE_RECV_CSCOV */, FOR_UDP },
	{ IPPROTO_UDPLITE, 100 /* UDP_ENCAP */, FOR_UDP },
	{ IPPROTO_UDPLITE, 101 /* UDP_NO_CHECK6_TX */, FOR_UDP },
	{ IPPROTO_UDPLITE, 102 /* UDP_NO_CHECK6_RX */, FOR_UDP },
	{ IPPROTO_UDPLITE, 103 /* UDP_SEGMENT */, FOR_UDP },
	{ IPPROTO_UDPLITE, 104 /* UDP_GRO */, FOR_UDP },
};
_Static_assert(ARRAY_SIZE(int_opts) <= INET_OTHER_MAX, "INET_OTHER_MAX is too small");

static bool get_int(int fd, int level, int name, int *ret)
{
	socklen_t n = sizeof(*ret);

	*ret = 0;
	return getsockopt(fd, level, name, ret, &n) == 0;
}

int inet_opt(int fd, int level, int name)
{
	int v;

	return get_int(fd, level, name, &v) ? v : 0;
}

static bool is_for(const struct int_opt *o, const InetSkEntry *e)
{
	int kind = (e->family == AF_INET ? FOR_V4 : FOR_V6) | (e->type == SOCK_STREAM ? FOR_TCP : 0) |
		   ((e->proto == IPPROTO_UDP || e->proto == IPPROTO_UDPLITE) && e->type == SOCK_DGRAM ? FOR_UDP : 0);

	if ((o->level == IPPROTO_UDP || o->level == IPPROTO_UDPLITE) && o->level != (int)e->proto)
		return false;
	if (o->use & NOT_STREAM && e->type == SOCK_STREAM)
		return false;
	return o->use & kind && !(o->use & NOT_CONNECTED && inet_tcp_is_connection(e));
}

/* ---- dump ---- */

static void get_ip(int fd, IpOptsEntry *o, InetSkEntry *e)
{
	bool v4 = e->family == AF_INET;

	o->has_freebind = o->freebind = v4 ? inet_opt(fd, IPPROTO_IP, IP_FREEBIND)
					   : inet_opt(fd, IPPROTO_IPV6, IPV6_FREEBIND);
	o->has_pktinfo = o->pktinfo = v4 ? inet_opt(fd, IPPROTO_IP, IP_PKTINFO)
					 : inet_opt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO);
	if (!v4) {
		e->v6only = inet_opt(fd, IPPROTO_IPV6, IPV6_V6ONLY);
		e->has_v6only = e->v6only;
		return;
	}
	o->tos = inet_opt(fd, IPPROTO_IP, IP_TOS);
	o->has_tos = o->tos != 0;
	o->ttl = inet_opt(fd, IPPROTO_IP, IP_TTL);
	o->has_ttl = o->ttl != 0;
}

static void get_raw(int fd, struct inet_opts *o, const InetSkEntry *e)
{
	bool v4 = e->family == AF_INET;
	socklen_t n = sizeof(o->filter);

	o->ip.raw = &o->raw;
	o->raw.has_hdrincl = o->raw.hdrincl = v4 ? inet_opt(fd, IPPROTO_IP, IP_HDRINCL)
						 : inet_opt(fd, IPPROTO_IPV6, IPV6_HDRINCL);
	if (v4)
		o->raw.has_nodefrag = o->raw.nodefrag = inet_opt(fd, IPPROTO_IP, IP_NODEFRAG);
	else
		o->raw.has_checksum = o->raw.checksum = inet_opt(fd, SOL_RAW, IPV6_CHECKSUM) > 0;
	if (e->proto != (v4 ? IPPROTO_ICMP : (uint32_t)IPPROTO_ICMPV6) ||
	    getsockopt(fd, v4 ? SOL_RAW : IPPROTO_ICMPV6, RAW_FILTER, o->filter, &n) < 0)
		return;
	o->raw.icmpv_filter = o->filter;
	o->raw.n_icmpv_filter = n / sizeof(uint32_t);
}

static void get_tcp(int fd, TcpOptsEntry *o)
{
	o->has_cork = o->cork = inet_opt(fd, IPPROTO_TCP, TCP_CORK);
	o->has_nodelay = o->nodelay = inet_opt(fd, IPPROTO_TCP, TCP_NODELAY);
	o->has_keepcnt = o->has_keepidle = o->has_keepintvl = true;
	o->keepcnt = inet_opt(fd, IPPROTO_TCP, TCP_KEEPCNT);
	o->keepidle = inet_opt(fd, IPPROTO_TCP, TCP_KEEPIDLE);
	o->keepintvl = inet_opt(fd, IPPROTO_TCP, TCP_KEEPINTVL);
}

static void get_other(int fd, int fresh, struct inet_opts *o, InetSkEntry *e)
{
	int now, was;

	e->other = o->others;
	for (size_t i = 0; i < ARRAY_SIZE(int_opts); i++) {
		const struct int_opt *p = &int_opts[i];
		InetIntOpt *to = &o->other[e->n_other];

		if (!is_for(p, e) || !get_int(fd, p->level, p->name, &now) ||
		    !get_int(fresh, p->level, p->name, &was) || now == was)
			continue;
		/* not set: what IP options leave of the default, or a connection that is over had */
		if (p->level == IPPROTO_TCP && p->name == TCP_MAXSEG && (now < TCP_MSS_LEAST || e->has_shutdown))
			continue;
		inet_int_opt__init(to);
		to->level = p->level;
		to->name = p->name;
		to->value = now;
		o->others[e->n_other++] = to;
	}
}

static void get_congestion(int fd, int fresh, struct inet_opts *o, InetSkEntry *e)
{
	char was[16] = "";
	socklen_t n = sizeof(was) - 1, n_was = n;

	if (getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, o->congestion, &n) == 0 &&
	    getsockopt(fresh, IPPROTO_TCP, TCP_CONGESTION, was, &n_was) == 0 &&
	    strcmp(o->congestion, was))
		e->congestion = o->congestion;
}

void inet_opts_get(struct session *s, int fd, struct inet_opts *o, InetSkEntry *e)
{
	own_fd int fresh = ns_socket(s, e->ns_id, e->family, e->type, e->proto);

	ip_opts_entry__init(&o->ip);
	ip_opts_raw_entry__init(&o->raw);
	tcp_opts_entry__init(&o->tcp);
	e->ip_opts = &o->ip;
	e->tcp_opts = &o->tcp;
	get_ip(fd, &o->ip, e);
	if (e->type == SOCK_RAW)
		get_raw(fd, o, e);
	if (e->type == SOCK_STREAM)
		get_tcp(fd, &o->tcp);
	if (fresh < 0)
		return;
	get_other(fd, fresh, o, e);
	if (e->type == SOCK_STREAM)
		get_congestion(fd, fresh, o, e);
}

/* ---- restore ---- */

static int set_int(int fd, int level, int name, int v)
{
	if (inet_opt(fd, level, name) == v)
		return 0;
	return setsockopt(fd, level, name, &v, sizeof(v)) < 0 ? -errno : 0;
}

static int set_raw(int fd, const InetSkEntry *e)
{
	const IpOptsRawEntry *o = e->ip_opts->raw;
	bool v4 = e->family == AF_INET;
	int r = 0;

	if (!o)
		return 0;
	if (o->hdrincl)
		r = v4 ? set_int(fd, IPPROTO_IP, IP_HDRINCL, 1) : set_int(fd, IPPROTO_IPV6, IPV6_HDRINCL, 1);
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

static bool is_known(const InetSkEntry *e, const InetIntOpt *o)
{
	for (size_t i = 0; i < ARRAY_SIZE(int_opts); i++)
		if (is_for(&int_opts[i], e) && (uint32_t)int_opts[i].level == o->level &&
		    (uint32_t)int_opts[i].name == o->name)
			return true;
	return false;
}

/* This kernel may know less than the one of the dump: that is said, and no reason to give up. */
static void set_other(struct session *s, int fd, const InetSkEntry *e)
{
	for (size_t i = 0; i < e->n_other && i < INET_OTHER_MAX; i++) {
		const InetIntOpt *o = e->other[i];

		if (!is_known(e, o) || set_int(fd, o->level, o->name, o->value) < 0)
			session_warn(s, "socket 0x%x: option %u of level %u cannot be set to %d", e->id,
				     o->name, o->level, o->value);
	}
	if (e->congestion && setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, e->congestion,
					strlen(e->congestion)) < 0)
		session_warn(s, "socket 0x%x: there is no congestion control %.16s here", e->id,
			     e->congestion);
}

int inet_opts_set(struct session *s, int fd, const InetSkEntry *e)
{
	int r = set_ip(fd, e);

	if (r == 0 && e->type == SOCK_STREAM)
		r = set_tcp(fd, e);
	if (r < 0)
		return session_fail(s, r, "socket 0x%x (family %u, protocol %u): set its options", e->id,
				    e->family, e->proto);
	set_other(s, fd, e);
	return 0;
}
