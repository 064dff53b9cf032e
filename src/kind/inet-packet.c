// SPDX-License-Identifier: Apache-2.0
/*
 * inet-packet: a connection is brought into a state that only its peer could bring it into by the peer's
 * packet, which we make once more and send to ourselves.
 */
#include "kind/inet-tcp-own.h"

#include "base/res.h"
#include "kind/inet-raw.h"

#include <poll.h>
#include <stddef.h>
#include <string.h>

static bool is_v4(const InetSkEntry *e)
{
	struct in6_addr a;

	if (e->family == AF_INET)
		return true;
	memcpy(&a, e->dst_addr, sizeof(a));
	return IN6_IS_ADDR_V4MAPPED(&a);
}

static void packet_tcp(const struct stream *st, bool fin, uint32_t ack, struct tcphdr *h)
{
	const TcpStreamEntry *t = st->t;
	uint32_t window = t->snd_wnd >> (t->opt_mask & TCPI_OPT_WSCALE ? t->snd_wscale : 0);

	memset(h, 0, sizeof(*h));
	h->source = htons(st->e->dst_port);
	h->dest = htons(st->e->src_port);
	/* the FIN comes before the acknowledgment of ours, and both are the last thing there is */
	h->seq = htonl(fin ? t->inq_seq - 1 : t->inq_seq);
	h->ack_seq = htonl(ack);
	h->doff = 5;
	h->ack = 1;
	h->fin = fin;
	h->window = htons(window > 65535 ? 65535 : window);
}

int peer_says(struct session *s, const struct stream *st, bool fin, uint32_t ack)
{
	const InetSkEntry *e = st->e;
	struct inet_raw p = { .v4 = is_v4(e), .protocol = IPPROTO_TCP, .ttl = 64 };
	size_t skip = p.v4 && e->family == AF_INET6 ? 3 : 0, n = p.v4 ? 4 : 16;
	int was = inet_tcp_state(st->o->fd), r;
	struct tcphdr h;

	memcpy(p.src, e->dst_addr + skip, n);
	memcpy(p.dst, e->src_addr + skip, n);
	packet_tcp(st, fin, ack, &h);
	r = inet_raw_send(s, e->has_ns_id ? e->ns_id : 0, &p, &h, sizeof(h), offsetof(struct tcphdr, check));
	if (r < 0)
		return conn_fail(s, r, e, "repeat its peer's last packet");
	for (unsigned ms = 0; ms < 2000; ms++) {
		if (inet_tcp_state(st->o->fd) != was)
			return 0;
		poll(NULL, 0, 1);
	}
	return conn_fail(s, -ETIMEDOUT, e,
			 "its peer's last packet does not arrive; does a firewall drop packets with mark 0xC114 on lo?");
}
