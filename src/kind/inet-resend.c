// SPDX-License-Identifier: Apache-2.0
/*
 * inet-resend: an ICMP error that quotes a repeated segment makes its sender take back one doubling of its time, and
 * send if that is over then (RFC 6069; Linux tcp_ld_RTO_revert()). For a connection it is a soft error (RFC 1122,
 * 4.2.3.9), forgotten with the next acknowledgment. A peer that repeats nothing does nothing.
 */
#include "kind/inet-tcp-own.h"

#include "base/list.h"
#include "base/res.h"

#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS 6 /* doublings taken back: a minute becomes a second */

struct ends {
	uint8_t src[16], dst[16];
	uint32_t src_port, dst_port;
};

struct peer {
	struct ends ends;
	struct inet_raw to;
	uint32_t seq; /* of what it repeats, if it does */
	int fd;	      /* of a way */
};

/* a raw socket in a network namespace; -1 if there can be none */
struct way {
	uint32_t net_ns_id;
	bool v4;
	int fd;
};

struct resend {
	struct {
		struct peer *v;
		size_t n, max;
	} peers;
	struct {
		struct way *v;
		size_t n, max;
	} ways;
};

static struct resend *resend(struct session *s)
{
	return session_state(s, "inet resend", sizeof(struct resend));
}

static int way_get(struct session *s, uint32_t net_ns_id, bool v4)
{
	struct resend *a = resend(s);
	int fd;

	for (size_t i = 0; i < a->ways.n; i++)
		if (a->ways.v[i].net_ns_id == net_ns_id && a->ways.v[i].v4 == v4)
			return a->ways.v[i].fd;
	fd = inet_raw_open(s, net_ns_id, v4);
	if (fd < 0) {
		session_debug(s, "peers are not asked to send again: no raw socket");
		session_forget(s);
	}
	*vec_add(&a->ways) = (struct way){ net_ns_id, v4, fd };
	return fd;
}

void resend_note(struct session *s, const struct stream *st)
{
	const InetSkEntry *e = st->e;
	struct peer p = { .seq = st->t->inq_seq };
	struct sockaddr_storage a;

	p.to.protocol = IPPROTO_ICMP;
	p.to.ttl = 64;
	inet_ends(e, false, &p.to);
	if (!p.to.v4) {
		p.to.protocol = IPPROTO_ICMPV6;
		inet_addr_get(st->o->fd, e, true, &a);
		p.to.scope = ((struct sockaddr_in6 *)&a)->sin6_scope_id;
	}
	memcpy(p.ends.src, p.to.src, sizeof(p.ends.src));
	memcpy(p.ends.dst, p.to.dst, sizeof(p.ends.dst));
	p.ends.src_port = e->src_port;
	p.ends.dst_port = e->dst_port;
	p.fd = way_get(s, e->has_ns_id ? e->ns_id : 0, p.to.v4);
	if (p.fd >= 0)
		*vec_add(&resend(s)->peers) = p;
}

static int by_ends(const void *a, const void *b)
{
	return memcmp(&((const struct peer *)a)->ends, &((const struct peer *)b)->ends, sizeof(struct ends));
}

/* Is the peer's socket restored as well? It waits for nothing. */
static bool is_inside(const struct resend *a, const struct peer *p)
{
	struct peer other = { .ends = { .src_port = p->ends.dst_port, .dst_port = p->ends.src_port } };

	memcpy(other.ends.src, p->ends.dst, sizeof(other.ends.src));
	memcpy(other.ends.dst, p->ends.src, sizeof(other.ends.dst));
	return bsearch(&other, a->peers.v, a->peers.n, sizeof(other), by_ends);
}

/* Host unreachable, or no route to it; with the header of the segment, and of TCP's what must be there. */
static void peer_tell(const struct peer *p)
{
	struct inet_raw quoted = { .v4 = p->to.v4, .protocol = IPPROTO_TCP, .ttl = 64 };
	struct {
		uint8_t type, code;
		uint16_t sum;
		uint32_t unused;
		char quote[INET_RAW_HEAD + 8];
	} m = { 0 };
	uint16_t ports[2] = { htons(p->ends.dst_port), htons(p->ends.src_port) };
	uint32_t seq = htonl(p->seq);
	size_t n;

	m.type = p->to.v4 ? ICMP_DEST_UNREACH : ICMP6_DST_UNREACH;
	m.code = p->to.v4 ? ICMP_HOST_UNREACH : ICMP6_DST_UNREACH_NOROUTE;
	memcpy(quoted.src, p->to.dst, sizeof(quoted.src));
	memcpy(quoted.dst, p->to.src, sizeof(quoted.dst));
	n = inet_raw_head(&quoted, sizeof(struct tcphdr), m.quote);
	memcpy(m.quote + n, ports, sizeof(ports));
	memcpy(m.quote + n + sizeof(ports), &seq, sizeof(seq));
	(void)!inet_raw_put(p->fd, &p->to, &m, offsetof(typeof(m), quote) + n + 8, offsetof(typeof(m), sum));
}

void inet_resend(struct session *s, bool final)
{
	struct resend *a = resend(s);

	if (a->peers.n)
		qsort(a->peers.v, a->peers.n, sizeof(*a->peers.v), by_ends);
	for (unsigned round = 0; final && round < ROUNDS; round++)
		for (size_t i = 0; i < a->peers.n; i++)
			if (!is_inside(a, &a->peers.v[i]))
				peer_tell(&a->peers.v[i]);
	for (size_t i = 0; i < a->ways.n; i++)
		if (a->ways.v[i].fd >= 0)
			close(a->ways.v[i].fd);
	a->peers.n = a->ways.n = 0;
}
