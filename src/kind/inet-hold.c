// SPDX-License-Identifier: Apache-2.0
/*
 * inet-hold: see inet-hold.h. One table `inet stasis-away` in a namespace, for all dumps; a set of connections for
 * each of IPv4 and IPv6. What comes for one of them is dropped, unless it has SOCK_LOCK_MARK or finds a connection:
 * so nothing that lives is cut off, whoever has restored it, and whenever we die.
 *
 * It is put in place when the dump cannot fail any more, while the sockets of the killed tasks are still ours and let
 * nothing in: there is no moment without a guard, and none that must be taken back. Every request is good for any
 * state of the table, so dumps and restores need not know of each other.
 *
 * Lost:   after HOLD_MS the kernel forgets a connection; its peer has given up by then, if it was sending. A listener
 *         outside of the tree, at just that address and port, counts as a connection.
 * Kernel: nf_tables: sets with timeouts, the expression socket (CONFIG_NFT_SOCKET, Linux 5.10); a set that has
 *         elements cannot be deleted with NLM_F_NONREC.
 */
#include "kind/inet-hold.h"

#include "base/list.h"
#include "base/res.h"
#include "kind/inet-tcp.h"
#include "kind/net-nft-batch.h"
#include "kind/ns.h"
#include "task/sock-lock.h"

#include <arpa/inet.h>
#include <endian.h>
#include <linux/sched.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>

#define HOLD_TABLE "stasis-away"
#define HOLD_MS (15 * 60 * 1000) /* the last try of net.ipv4.tcp_retries2 (15) is before that */
#define CHUNK 128		 /* connections in a batch */

enum { HOLD_V4, HOLD_V6, HOLD_N };

/* an address and a port, twice, as the expressions load them: the peer's first */
#define KEY_MAX 40
static const struct hold_set {
	const char *name;
	uint8_t family;
	unsigned addr, src, dst; /* bytes of an address, where both are in the header */
	uint32_t type;		 /* for nft: ADDRESS . inet_service . ADDRESS . inet_service */
} sets[HOLD_N] = {
	[HOLD_V4] = { "v4", NFPROTO_IPV4, 4, offsetof(struct iphdr, saddr), offsetof(struct iphdr, daddr),
		      7 << 18 | 13 << 12 | 7 << 6 | 13 },
	[HOLD_V6] = { "v6", NFPROTO_IPV6, 16, offsetof(struct ip6_hdr, ip6_src), offsetof(struct ip6_hdr, ip6_dst),
		      8 << 18 | 13 << 12 | 8 << 6 | 13 },
};

struct held {
	unsigned set;
	uint8_t key[KEY_MAX]; /* zeros behind it */
};

/* the connections of one network namespace */
struct hold {
	uint32_t net;
	struct rtnl n;
	struct {
		struct held *v;
		size_t n, max;
	} conns;
};

struct holds {
	struct {
		struct hold *v;
		size_t n, max;
	} all;
};

static struct holds *holds(struct session *s)
{
	return session_state(s, "inet hold", sizeof(struct holds));
}

/* ---- what is noted ---- */

static size_t half_len(const struct hold_set *set)
{
	return set->addr + sizeof(uint32_t);
}

static size_t key_len(const struct hold_set *set)
{
	return 2 * half_len(set);
}

static void half_put(uint8_t *key, const struct hold_set *set, const uint8_t *addr, unsigned port)
{
	uint16_t be = htons(port);

	memcpy(key, addr + 16 - set->addr, set->addr);
	memcpy(key + set->addr, &be, sizeof(be));
}

static struct hold *hold_of(struct session *s, const struct ns *net)
{
	struct holds *a = holds(s);
	struct hold *h;

	for (size_t i = 0; i < a->all.n; i++)
		if (a->all.v[i].net == net->id)
			return &a->all.v[i];
	h = vec_add(&a->all);
	*h = (struct hold){ .net = net->id };
	if (!net->own || ns_enter_net(s, net->id) == 0)
		rtnl_open_bus(&h->n, NETLINK_NETFILTER); /* without it nothing can be held, which the dump says */
	ns_enter_net(s, 0);
	return h;
}

/* One that was just being made is begun anew; one that has ended is no more. */
void inet_hold_note(struct session *s, const InetSkEntry *e)
{
	const struct ns *net = e->ns_id ? ns_find(s, e->ns_id) : ns_of(s, CLONE_NEWNET);
	struct in6_addr src, dst;
	const struct hold_set *set;
	struct held *c;

	if (!net || (net->own && !net->external) || e->state == TCP_SYN_SENT || e->state == TCP_CLOSE)
		return;
	inet_tcp_address(e->src_addr, e->n_src_addr, src.s6_addr);
	inet_tcp_address(e->dst_addr, e->n_dst_addr, dst.s6_addr);
	c = vec_add(&hold_of(s, net)->conns);
	*c = (struct held){ .set = IN6_IS_ADDR_V4MAPPED(&dst) ? HOLD_V4 : HOLD_V6 };
	set = &sets[c->set];
	half_put(c->key, set, dst.s6_addr, e->dst_port);
	half_put(c->key + half_len(set), set, src.s6_addr, e->src_port);
}

static int held_compare(const void *a, const void *b)
{
	const struct held *x = a, *y = b;

	return x->set == y->set ? memcmp(x->key, y->key, KEY_MAX) : (int)x->set - (int)y->set;
}

/* Is the peer's socket noted as well? It is away, too. */
static bool is_inside(const struct hold *hold, const struct held *c)
{
	struct held other = { .set = c->set };
	size_t half = half_len(&sets[c->set]);

	memcpy(other.key, c->key + half, half);
	memcpy(other.key + half, c->key, half);
	return bsearch(&other, hold->conns.v, hold->conns.n, sizeof(other), held_compare);
}

/* Those with a peer outside, sorted; owned by the caller. */
static struct held *outside(struct hold *hold, size_t *ret)
{
	struct held *v = xalloc((hold->conns.n + 1) * sizeof(*v));

	*ret = 0;
	if (hold->conns.n)
		qsort(hold->conns.v, hold->conns.n, sizeof(*hold->conns.v), held_compare);
	for (size_t i = 0; i < hold->conns.n; i++)
		if (!is_inside(hold, &hold->conns.v[i]))
			v[(*ret)++] = hold->conns.v[i];
	return v;
}

/* ---- the table ---- */

static void set_new(struct nft_batch *b, unsigned id)
{
	struct nlmsghdr *h = nft_do(b, NFT_MSG_NEWSET, NLM_F_CREATE);
	const struct hold_set *set = &sets[id];

	mnl_attr_put_strz(h, NFTA_SET_TABLE, b->table);
	mnl_attr_put_strz(h, NFTA_SET_NAME, set->name);
	nft_put_be32(h, NFTA_SET_ID, id + 1); /* asked for, though ours are found by their names */
	nft_put_be32(h, NFTA_SET_FLAGS, NFT_SET_TIMEOUT);
	nft_put_be32(h, NFTA_SET_KEY_TYPE, set->type);
	nft_put_be32(h, NFTA_SET_KEY_LEN, key_len(set));
	mnl_attr_put_u64(h, NFTA_SET_TIMEOUT, htobe64(HOLD_MS));
	nft_added(b, h);
}

static void put_load(struct nlmsghdr *h, uint32_t reg, enum nft_payload_bases base, size_t at, size_t n)
{
	struct nft_expr e = nft_expr_begin(h, "payload");

	nft_put_be32(h, NFTA_PAYLOAD_DREG, reg);
	nft_put_be32(h, NFTA_PAYLOAD_BASE, base);
	nft_put_be32(h, NFTA_PAYLOAD_OFFSET, at);
	nft_put_be32(h, NFTA_PAYLOAD_LEN, n);
	nft_expr_end(h, e);
}

/* FAMILY saddr . tcp sport . FAMILY daddr . tcp dport @SET goto away */
static void set_rule(struct nft_batch *b, const struct hold_set *set)
{
	struct nlmsghdr *h = nft_rule_begin(b, "input");
	const uint8_t tcp = IPPROTO_TCP;
	uint32_t reg = NFT_REG32_00, words = set->addr / 4;
	struct nft_expr e;

	nft_put_meta(h, NFT_META_NFPROTO);
	nft_put_is(h, &set->family, sizeof(set->family));
	nft_put_meta(h, NFT_META_L4PROTO);
	nft_put_is(h, &tcp, sizeof(tcp));
	put_load(h, reg, NFT_PAYLOAD_NETWORK_HEADER, set->src, set->addr);
	put_load(h, reg + words, NFT_PAYLOAD_TRANSPORT_HEADER, offsetof(struct tcphdr, th_sport), 2);
	put_load(h, reg + words + 1, NFT_PAYLOAD_NETWORK_HEADER, set->dst, set->addr);
	put_load(h, reg + 2 * words + 1, NFT_PAYLOAD_TRANSPORT_HEADER, offsetof(struct tcphdr, th_dport), 2);
	e = nft_expr_begin(h, "lookup");
	mnl_attr_put_strz(h, NFTA_LOOKUP_SET, set->name);
	nft_put_be32(h, NFTA_LOOKUP_SREG, reg);
	nft_expr_end(h, e);
	nft_put_verdict(h, NFT_GOTO, "away");
	nft_rule_end(b, h);
}

/* socket wildcard 0 accept: a connection has an address; who listens to all addresses would answer with a reset */
static void socket_rule(struct nft_batch *b)
{
	struct nlmsghdr *h = nft_rule_begin(b, "away");
	struct nft_expr e = nft_expr_begin(h, "socket");
	const uint8_t no = 0;

	nft_put_be32(h, NFTA_SOCKET_KEY, NFT_SOCKET_WILDCARD);
	nft_put_be32(h, NFTA_SOCKET_DREG, NFT_REG_1);
	nft_expr_end(h, e);
	nft_put_is(h, &no, sizeof(no));
	nft_put_verdict(h, NF_ACCEPT, NULL);
	nft_rule_end(b, h);
}

/* It may be there already: then it becomes what it is. */
static void table_put(struct nft_batch *b)
{
	struct nlmsghdr *h;

	nft_table_new(b, 0);
	nft_chain_new(b, "away", -1, 0);
	nft_chain_new(b, "input", NF_INET_LOCAL_IN, NF_ACCEPT);
	nft_chain_flush(b, "away");
	nft_chain_flush(b, "input");
	for (unsigned i = 0; i < HOLD_N; i++) {
		set_new(b, i);
		set_rule(b, &sets[i]);
	}
	nft_rule_accept(b, "away", NFT_META_MARK, SOCK_LOCK_MARK);
	socket_rule(b);
	h = nft_rule_begin(b, "away");
	nft_put_verdict(h, NF_DROP, NULL);
	nft_rule_end(b, h);
}

/* Only if nothing is in it: else -EBUSY */
static void table_drop(struct nft_batch *b)
{
	nft_chain_flush(b, "input"); /* its rules hold the sets */
	for (unsigned i = 0; i < HOLD_N; i++) {
		struct nlmsghdr *h = nft_do(b, NFT_MSG_DELSET, NLM_F_NONREC);

		mnl_attr_put_strz(h, NFTA_SET_TABLE, b->table);
		mnl_attr_put_strz(h, NFTA_SET_NAME, sets[i].name);
		nft_added(b, h);
	}
	nft_table_delete(b);
}

/* ---- connections in it ---- */

/* n of one set */
static void conns_do(struct nft_batch *b, int type, int flags, const struct held *v, size_t n)
{
	struct nlmsghdr *h = nft_do(b, type, flags);
	const struct hold_set *set = &sets[v->set];
	struct nlattr *list;

	mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, b->table);
	mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, set->name);
	list = mnl_attr_nest_start(h, NFTA_SET_ELEM_LIST_ELEMENTS);
	for (size_t i = 0; i < n; i++) {
		struct nlattr *elem = mnl_attr_nest_start(h, NFTA_LIST_ELEM);
		struct nlattr *key = mnl_attr_nest_start(h, NFTA_SET_ELEM_KEY);

		mnl_attr_put(h, NFTA_DATA_VALUE, key_len(set), v[i].key);
		mnl_attr_nest_end(h, key);
		mnl_attr_nest_end(h, elem);
	}
	mnl_attr_nest_end(h, list);
	nft_added(b, h);
}

/* Taken out whether they are in or not, as they are put in first; put in, their time begins anew. */
static int conns_send(struct rtnl *n, const struct held *v, size_t n_conns, bool hold)
{
	struct nft_batch b;

	nft_begin(&b, n, HOLD_TABLE);
	if (hold)
		table_put(&b);
	conns_do(&b, NFT_MSG_NEWSETELEM, NLM_F_CREATE, v, n_conns);
	conns_do(&b, NFT_MSG_DELSETELEM, 0, v, n_conns);
	if (hold)
		conns_do(&b, NFT_MSG_NEWSETELEM, NLM_F_CREATE, v, n_conns);
	return nft_send(&b);
}

/* Return: how many were there, or -errno. */
static ssize_t conns_all(struct hold *h, bool hold)
{
	size_t n, len;
	own_mem struct held *v = outside(h, &n);
	int r = n && !h->n.nl ? -EPROTONOSUPPORT : 0;

	for (size_t i = 0; r == 0 && i < n; i += len) {
		for (len = 1; i + len < n && len < CHUNK && v[i + len].set == v[i].set;)
			len++;
		r = conns_send(&h->n, v + i, len, hold);
	}
	return r < 0 ? r : (ssize_t)n;
}

void inet_hold(struct session *s)
{
	struct holds *a = holds(s);
	bool wanted = s->opts->network_lock != CRIU_NETWORK_LOCK_METHOD__SKIP;

	for (size_t i = 0; wanted && i < a->all.n; i++) {
		struct hold *h = &a->all.v[i];
		ssize_t r = conns_all(h, true);

		if (r < 0)
			session_warn(s, "network namespace %u: packets for TCP connections of the killed tasks cannot be dropped by nf_tables: %s%s; a peer that sends before the restore ends its connection",
				     h->net, strerror(-r), h->n.why);
		else
			session_debug(s, "network namespace %u: packets for %zd TCP connections are dropped", h->net, r);
	}
}

/* No table, or no nf_tables: nothing is held. */
static int release(struct hold *h)
{
	ssize_t r = h->n.nl ? conns_all(h, false) : 0;
	struct nft_batch b;

	if (r > 0) {
		nft_begin(&b, &h->n, HOLD_TABLE);
		table_drop(&b);
		r = nft_send(&b);
	}
	return r == -ENOENT || r == -EOPNOTSUPP || r == -EBUSY ? 0 : r;
}

void inet_hold_release(struct session *s)
{
	struct holds *a = holds(s);

	for (size_t i = 0; i < a->all.n; i++) {
		struct hold *h = &a->all.v[i];
		int r = release(h);

		if (r < 0)
			session_warn(s, "network namespace %u: table inet %s: take the restored connections out: %s%s", h->net,
				     HOLD_TABLE, strerror(-r), h->n.why);
	}
}

void inet_hold_end(struct session *s)
{
	struct holds *a = holds(s);

	for (size_t i = 0; i < a->all.n; i++) {
		rtnl_close(&a->all.v[i].n);
		free(a->all.v[i].conns.v);
	}
	free(a->all.v);
	memset(a, 0, sizeof(*a));
}
