// SPDX-License-Identifier: Apache-2.0
/*
 * inet-diag: what sock_diag alone shows: UDP sockets that were shut down for sending; of TCP, MD5 keys, what is
 * hidden behind urgent data, and connections that are just being made.
 */
#include "kind/inet-diag.h"

#include "base/list.h"
#include "base/res.h"
#include "kind/ns.h"

#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#define CLOSED (1ULL << 41) /* beside inode numbers */
#define ALL (1ULL << 42)

static void address_put(uint8_t *to, int family, const __be32 *words)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (family == AF_INET) {
		memcpy(to, mapped, sizeof(mapped));
		memcpy(to + sizeof(mapped), words, 4);
	} else {
		memcpy(to, words, 16);
	}
}

static void tcp_list(struct map *m, const struct inet_diag_msg *d, const struct rtattr *info)
{
	struct inet_tcp_all *all = map_get(m, ALL);
	const struct tcp_info *ti = info ? RTA_DATA(info) : NULL;
	struct inet_tcp_any *a = vec_add(all);

	*a = (struct inet_tcp_any){ .src_port = ntohs(d->id.idiag_sport), .dst_port = ntohs(d->id.idiag_dport),
				    .state = d->idiag_state, .inode = d->idiag_inode, .unread = d->idiag_rqueue };
	address_put(a->src, d->idiag_family, d->id.idiag_src);
	address_put(a->dst, d->idiag_family, d->id.idiag_dst);
	if (ti && RTA_PAYLOAD(info) >= offsetof(struct tcp_info, tcpi_pmtu))
		a->quiet = ti->tcpi_last_ack_recv;
}

static void tcp_answer(struct map *m, const struct inet_diag_msg *d, const struct rtattr *a)
{
	size_t n = a ? RTA_PAYLOAD(a) / sizeof(struct inet_key) : 0;
	struct inet_tcp_seen *k;

	if (!d->idiag_inode && d->idiag_wqueue && (d->idiag_state == TCP_FIN_WAIT1 ||
						   d->idiag_state == TCP_LAST_ACK || d->idiag_state == TCP_CLOSING))
		map_put(m, CLOSED, (char *)map_get(m, CLOSED) + 1);
	if (!d->idiag_inode || (!d->idiag_rqueue && !n))
		return;
	k = xalloc(sizeof(*k) + n * sizeof(k->keys[0]));
	k->unread = d->idiag_rqueue;
	k->n = n;
	if (n)
		memcpy(k->keys, RTA_DATA(a), n * sizeof(k->keys[0]));
	map_put(m, d->idiag_inode, k);
}

static void diag_answer(struct map *m, const struct nlmsghdr *h, bool tcp)
{
	const struct inet_diag_msg *d = NLMSG_DATA(h);
	int left = (int)h->nlmsg_len - (int)NLMSG_SPACE(sizeof(*d));
	const struct rtattr *a = (const void *)(d + 1), *keys = NULL, *info = NULL;

	for (; left > 0 && RTA_OK(a, left); a = RTA_NEXT(a, left))
		if (a->rta_type == INET_DIAG_MD5SIG)
			keys = a;
		else if (a->rta_type == INET_DIAG_INFO)
			info = a;
		else if (!tcp && a->rta_type == INET_DIAG_SHUTDOWN && *(const uint8_t *)RTA_DATA(a))
			map_put(m, d->idiag_inode, (void *)(uintptr_t)*(const uint8_t *)RTA_DATA(a));
	if (tcp) {
		tcp_list(m, d, info);
		tcp_answer(m, d, keys);
	}
}

/* 1 more is to come, 0 the end, -errno */
static int diag_read(int nl, struct map *m, bool tcp)
{
	static const size_t size = 1 << 16;
	own_mem char *buf = xalloc(size);
	ssize_t got = recv(nl, buf, size, 0);
	int n = got;

	if (got < 0)
		return -errno;
	for (struct nlmsghdr *h = (void *)buf; mnl_nlmsg_ok(h, n); h = mnl_nlmsg_next(h, &n)) {
		if (h->nlmsg_type == NLMSG_DONE)
			return 0;
		if (h->nlmsg_type == NLMSG_ERROR)
			return ((struct nlmsgerr *)NLMSG_DATA(h))->error;
		if (h->nlmsg_type == SOCK_DIAG_BY_FAMILY &&
		    h->nlmsg_len >= NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
			diag_answer(m, h, tcp);
	}
	return 1;
}

/* m: one map for each family, protocol and namespace */
static int diag_ask(struct session *s, const InetSkEntry *e, bool tcp, struct map **ret)
{
	struct {
		struct nlmsghdr h;
		struct inet_diag_req_v2 q;
	} m = {
		.h = { sizeof(m), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, 0, 0 },
		.q = { e->family, e->proto, /* keys come with this only */ tcp ? 1 << (INET_DIAG_INFO - 1) : 0, 0, ~0U,
		       { 0 } },
	};
	uint64_t key = (uint64_t)e->ns_id << 32 | e->family << 16 | e->proto;
	struct map *all = session_map(s, tcp ? "inet tcp seen" : "inet diag");
	own_fd int nl = -1;
	int r = 1;

	*ret = map_get(all, key);
	if (*ret)
		return 0;
	*ret = xalloc(sizeof(**ret));
	map_put(all, key, *ret);
	map_put(*ret, ALL, xalloc(sizeof(struct inet_tcp_all)));
	nl = ns_socket(s, e->ns_id, AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG);
	if (nl < 0)
		return nl;
	if (send(nl, &m, sizeof(m), 0) < 0)
		r = -errno;
	while (r == 1)
		r = diag_read(nl, *ret, tcp);
	return r;
}

int inet_diag(struct session *s, const InetSkEntry *e, struct map **ret)
{
	return diag_ask(s, e, false, ret);
}

const struct inet_tcp_seen *inet_diag_tcp(struct session *s, const InetSkEntry *e)
{
	struct map *m;

	return diag_ask(s, e, true, &m) == 0 ? map_get(m, e->ino) : NULL;
}

const struct inet_tcp_all *inet_diag_all(struct session *s, const InetSkEntry *e, int family)
{
	InetSkEntry of = *e;
	struct map *m;

	of.proto = IPPROTO_TCP;
	of.family = family;
	return diag_ask(s, &of, true, &m) == 0 ? map_get(m, ALL) : NULL;
}

size_t inet_diag_closed(struct session *s, const InetSkEntry *e)
{
	struct map *m;

	return e->proto == IPPROTO_TCP && diag_ask(s, e, true, &m) == 0 ? (size_t)map_get(m, CLOSED) : 0;
}
