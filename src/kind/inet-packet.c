// SPDX-License-Identifier: Apache-2.0
/*
 * inet-tcp, packets: a connection is brought into a state that only its peer could bring it into by the
 * peer's packet, which we make once more and send to ourselves. It carries the mark that the lock lets
 * through.
 */
#include "kind/inet-tcp-own.h"

#include "base/res.h"
#include "kind/ns.h"
#include "task/sock-lock.h"

#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <poll.h>
#include <string.h>

static uint32_t sum_words(uint32_t sum, const void *p, size_t n)
{
	const unsigned char *b = p;

	for (size_t i = 0; i + 1 < n; i += 2)
		sum += (uint32_t)b[i] << 8 | b[i + 1];
	return sum;
}

static uint16_t sum_end(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons(~sum);
}

struct packet {
	union {
		struct iphdr v4;
		struct ip6_hdr v6;
	} ip;
	struct tcphdr tcp;
};

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
	const InetSkEntry *e = st->e;
	const TcpStreamEntry *t = st->t;
	size_t at = is_v4(e) && e->family == AF_INET6 ? 3 : 0, n = is_v4(e) ? 4 : 16;
	uint32_t window = t->snd_wnd >> (t->opt_mask & TCPI_OPT_WSCALE ? t->snd_wscale : 0);
	uint32_t sum;

	memset(h, 0, sizeof(*h));
	h->source = htons(e->dst_port);
	h->dest = htons(e->src_port);
	/* the FIN comes before the acknowledgment of ours, and both are the last thing there is */
	h->seq = htonl(fin ? t->inq_seq - 1 : t->inq_seq);
	h->ack_seq = htonl(ack);
	h->doff = 5;
	h->ack = 1;
	h->fin = fin;
	h->window = htons(window > 65535 ? 65535 : window);
	sum = sum_words(IPPROTO_TCP + sizeof(*h), e->dst_addr + at, n);
	sum = sum_words(sum, e->src_addr + at, n);
	h->check = sum_end(sum_words(sum, h, sizeof(*h)));
}

/* from the peer, to us; at: what is sent, n: its length */
static const void *packet_make(const struct stream *st, bool fin, uint32_t ack, struct packet *p,
			       size_t *n)
{
	const InetSkEntry *e = st->e;
	void *at = &p->tcp;

	packet_tcp(st, fin, ack, &p->tcp);
	if (is_v4(e)) {
		size_t w = e->family == AF_INET ? 0 : 3;
		struct iphdr h = { .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP };

		h.saddr = e->dst_addr[w];
		h.daddr = e->src_addr[w];
		h.tot_len = htons(sizeof(h) + sizeof(p->tcp));
		at = (char *)at - sizeof(h);
		memcpy(at, &h, sizeof(h));
		*n = sizeof(h) + sizeof(p->tcp);
	} else {
		struct ip6_hdr h = { 0 };

		h.ip6_flow = htonl(6u << 28);
		h.ip6_plen = htons(sizeof(p->tcp));
		h.ip6_nxt = IPPROTO_TCP;
		h.ip6_hlim = 64;
		memcpy(&h.ip6_src, e->dst_addr, 16);
		memcpy(&h.ip6_dst, e->src_addr, 16);
		at = (char *)at - sizeof(h);
		memcpy(at, &h, sizeof(h));
		*n = sizeof(h) + sizeof(p->tcp);
	}
	return at;
}

static socklen_t packet_to(const InetSkEntry *e, struct sockaddr_storage *ret)
{
	struct sockaddr_in *a4 = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *a6 = (struct sockaddr_in6 *)ret;

	memset(ret, 0, sizeof(*ret));
	if (is_v4(e)) {
		a4->sin_family = AF_INET;
		a4->sin_addr.s_addr = e->src_addr[e->family == AF_INET ? 0 : 3];
		return sizeof(*a4);
	}
	a6->sin6_family = AF_INET6;
	memcpy(&a6->sin6_addr, e->src_addr, 16);
	return sizeof(*a6);
}

int peer_says(struct session *s, const struct stream *st, bool fin, uint32_t ack)
{
	const InetSkEntry *e = st->e;
	own_fd int raw = ns_socket(s, e->has_ns_id ? e->ns_id : 0, is_v4(e) ? AF_INET : AF_INET6,
				   SOCK_RAW, IPPROTO_RAW);
	int mark = SOCK_LOCK_MARK, was = inet_tcp_state(st->o->fd);
	struct sockaddr_storage to;
	struct packet p;
	size_t n;
	const void *at = packet_make(st, fin, ack, &p, &n);

	if (raw < 0)
		return raw;
	if (setsockopt(raw, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0 ||
	    sendto(raw, at, n, 0, (void *)&to, packet_to(e, &to)) < 0)
		return conn_fail(s, -errno, e, "repeat its peer's last packet");
	for (unsigned ms = 0; ms < 2000; ms++) {
		if (inet_tcp_state(st->o->fd) != was)
			return 0;
		poll(NULL, 0, 1);
	}
	return conn_fail(s, -ETIMEDOUT, e,
			 "its peer's last packet does not arrive; does a firewall drop packets with mark 0xC114 on lo?");
}
