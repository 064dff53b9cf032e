// SPDX-License-Identifier: Apache-2.0
/*
 * inet-packet: a connection is brought into a state that only its peer could bring it into by the peer's
 * packet, which we make once more and send to ourselves.
 */
#include "kind/inet-tcp-own.h"

#include "base/res.h"

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

void inet_ends(const InetSkEntry *e, bool from_peer, struct inet_raw *ret)
{
	size_t skip, words;

	ret->v4 = is_v4(e);
	skip = ret->v4 && e->family == AF_INET6 ? 3 : 0;
	words = ret->v4 ? 4 : 16;
	memcpy(from_peer ? ret->src : ret->dst, e->dst_addr + skip, words);
	memcpy(from_peer ? ret->dst : ret->src, e->src_addr + skip, words);
}

static void packet_tcp(const struct stream *st, uint32_t seq, uint32_t ack, struct tcphdr *h)
{
	const TcpStreamEntry *t = st->t;
	uint32_t window = t->snd_wnd >> (t->opt_mask & TCPI_OPT_WSCALE ? t->snd_wscale : 0);

	memset(h, 0, sizeof(*h));
	h->source = htons(st->e->dst_port);
	h->dest = htons(st->e->src_port);
	h->seq = htonl(seq);
	h->ack_seq = htonl(ack);
	h->doff = 5;
	h->ack = 1;
	h->window = htons(window > 65535 ? 65535 : window);
}

static int packet_send(struct session *s, const struct stream *st, void *body, size_t n)
{
	const InetSkEntry *e = st->e;
	struct inet_raw p = { .protocol = IPPROTO_TCP, .ttl = 64 };
	int r;

	inet_ends(e, true, &p);
	r = inet_raw_send(s, e->has_ns_id ? e->ns_id : 0, &p, body, n, offsetof(struct tcphdr, check));
	return r < 0 ? conn_fail(s, r, e, "repeat its peer's last packet") : 0;
}

int peer_says(struct session *s, const struct stream *st, bool fin, uint32_t ack)
{
	int was = inet_tcp_state(st->o->fd), r;
	struct tcphdr h;

	/* the FIN comes before the acknowledgment of ours, and both are the last thing there is */
	packet_tcp(st, fin ? st->t->inq_seq - 1 : st->t->inq_seq, ack, &h);
	h.fin = fin;
	r = packet_send(s, st, &h, sizeof(h));
	if (r < 0)
		return r;
	for (unsigned ms = 0; ms < 2000; ms++) {
		if (inet_tcp_state(st->o->fd) != was)
			return 0;
		poll(NULL, 0, 1);
	}
	return conn_fail(s, -ETIMEDOUT, st->e,
			 "its peer's last packet does not arrive; does a firewall drop packets with mark 0xC114 on lo?");
}

int peer_urges(struct session *s, const struct stream *st, char c)
{
	const TcpStreamEntry *t = st->t;
	struct {
		struct tcphdr h;
		char c;
	} body = { .c = c };

	packet_tcp(st, t->inq_seq - t->inq_len - fin_received(st->e->state) + t->urgent - 1,
		   t->outq_seq - t->outq_len - fin_sent(st->e->state), &body.h);
	body.h.urg = 1;
	body.h.urg_ptr = htons(1);
	return packet_send(s, st, &body, sizeof(body.h) + 1);
}
