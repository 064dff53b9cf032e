// SPDX-License-Identifier: Apache-2.0
/*
 * inet-hold: see inet-hold.h. One table `inet stasis-away` in the namespace, for all dumps; a set of connections for
 * each of IPv4 and IPv6. What comes for one of them is dropped, unless it has SOCK_LOCK_MARK or there is a socket
 * again: so nothing that lives is cut off, whoever has restored it, and if we die before we can release it.
 *
 * Lost:   after HOLD_MS the kernel forgets a connection; its peer has given up by then, if it was sending.
 * Kernel: nf_tables: sets with timeouts, the expression socket (Linux 5.10 for NFT_SOCKET_WILDCARD, and its
 *         CONFIG_NFT_SOCKET may be off: then even what lives is dropped until it is released).
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
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <stddef.h>
#include <string.h>

#define HOLD_MS (15 * 60 * 1000) /* the last try of net.ipv4.tcp_retries2 (15) is before that */
#define HOLD_TRIES 50
#define CHUNK 256 /* connections in a batch */
#define SET_ID 1  /* any number: our sets are found by their names */

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
	} all;
};

struct holds {
	struct {
		struct hold *v;
		size_t n, max;
	} all;
};

static size_t key_len(const struct hold_set *set)
{
	return 2 * (set->addr + sizeof(uint32_t));
}

static struct holds *holds(struct session *s)
{
	struct map *m = session_map(s, "inet hold");

	if (!map_get(m, 0))
		map_put(m, 0, xalloc(sizeof(struct holds)));
	return map_get(m, 0);
}

/* ---- what is noted ---- */

static void key_put(uint8_t *key, const struct hold_set *set, const uint32_t *words, size_t n, unsigned port)
{
	uint16_t be = htons(port);
	uint8_t addr[16];

	inet_tcp_address(words, n, addr);
	memcpy(key, addr + 16 - set->addr, set->addr);
	memcpy(key + set->addr, &be, sizeof(be));
}

static bool is_v4(const InetSkEntry *e)
{
	struct in6_addr a;

	inet_tcp_address(e->dst_addr, e->n_dst_addr, a.s6_addr);
	return IN6_IS_ADDR_V4MAPPED(&a);
}

static struct hold *hold_of(struct session *s, const struct ns *net)
{
	struct holds *a = holds(s);
	struct hold *h;
	int r;

	for (size_t i = 0; i < a->all.n; i++)
		if (a->all.v[i].net == net->id)
			return &a->all.v[i];
	h = vec_add(&a->all);
	*h = (struct hold){ .net = net->id };
	r = net->own ? ns_enter_net(s, net->id) : 0;
	if (r == 0)
		rtnl_open_bus(&h->n, NETLINK_NETFILTER); /* without it nothing can be held, which the dump says */
	ns_enter_net(s, 0);
	return h;
}

void inet_hold_note(struct session *s, const InetSkEntry *e)
{
	const struct ns *net = e->ns_id ? ns_find(s, e->ns_id) : ns_of(s, CLONE_NEWNET);
	const struct hold_set *set;
	struct held *c;

	if (!net || (net->own && !net->external) || !e->dst_port)
		return;
	c = vec_add(&hold_of(s, net)->all);
	*c = (struct held){ .set = is_v4(e) ? HOLD_V4 : HOLD_V6 };
	set = &sets[c->set];
	key_put(c->key, set, e->dst_addr, e->n_dst_addr, e->dst_port);
	key_put(c->key + key_len(set) / 2, set, e->src_addr, e->n_src_addr, e->src_port);
}

static int held_compare(const void *a, const void *b)
{
	const struct held *x = a, *y = b;

	return x->set == y->set ? memcmp(x->key, y->key, KEY_MAX) : (int)x->set - (int)y->set;
}

/* ---- the table ---- */

static void set_new(struct nft_batch *b, unsigned id)
{
	struct nlmsghdr *h = nft_do(b, NFT_MSG_NEWSET, NLM_F_CREATE | NLM_F_EXCL);
	const struct hold_set *set = &sets[id];

	mnl_attr_put_strz(h, NFTA_SET_TABLE, b->table);
	mnl_attr_put_strz(h, NFTA_SET_NAME, set->name);
	nft_put_be32(h, NFTA_SET_ID, SET_ID + id);
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

/* FAMILY saddr . tcp sport . FAMILY daddr . tcp dport @SET goto chain */
static void set_rule(struct nft_batch *b, const struct hold_set *set, const char *chain)
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
	put_load(h, reg + words, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2);
	put_load(h, reg + words + 1, NFT_PAYLOAD_NETWORK_HEADER, set->dst, set->addr);
	put_load(h, reg + 2 * words + 1, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2);
	e = nft_expr_begin(h, "lookup");
	mnl_attr_put_strz(h, NFTA_LOOKUP_SET, set->name);
	nft_put_be32(h, NFTA_LOOKUP_SREG, reg);
	nft_expr_end(h, e);
	nft_put_verdict(h, NFT_GOTO, chain);
	nft_rule_end(b, h);
}

/* socket wildcard 0 accept: a connection has an address, what listens to all addresses would answer with a reset */
static void socket_rule(struct nft_batch *b, const char *chain)
{
	struct nlmsghdr *h = nft_rule_begin(b, chain);
	struct nft_expr e = nft_expr_begin(h, "socket");
	const uint8_t no = 0;

	nft_put_be32(h, NFTA_SOCKET_KEY, NFT_SOCKET_WILDCARD);
	nft_put_be32(h, NFTA_SOCKET_DREG, NFT_REG_1);
	nft_expr_end(h, e);
	nft_put_is(h, &no, sizeof(no));
	nft_put_verdict(h, NF_ACCEPT, NULL);
	nft_rule_end(b, h);
}

static void table_put(struct nft_batch *b, bool has_socket)
{
	struct nlmsghdr *h;

	nft_table_new(b, 0);
	nft_chain_new(b, "away", -1, 0);
	nft_chain_new(b, "input", NF_INET_LOCAL_IN, NF_ACCEPT);
	for (unsigned i = 0; i < HOLD_N; i++) {
		set_new(b, i);
		set_rule(b, &sets[i], "away");
	}
	nft_rule_accept(b, "away", NFT_META_MARK, SOCK_LOCK_MARK);
	if (has_socket)
		socket_rule(b, "away");
	h = nft_rule_begin(b, "away");
	nft_put_verdict(h, NF_DROP, NULL);
	nft_rule_end(b, h);
}

/* ---- connections in it ---- */

static void elements_put(struct nft_batch *b, int type, int flags, unsigned id, const struct held *v, size_t n)
{
	struct nlmsghdr *h = nft_do(b, type, flags);
	struct nlattr *list;

	mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, b->table);
	mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, sets[id].name);
	list = mnl_attr_nest_start(h, NFTA_SET_ELEM_LIST_ELEMENTS);
	for (size_t i = 0; i < n; i++) {
		struct nlattr *elem = mnl_attr_nest_start(h, NFTA_LIST_ELEM);
		struct nlattr *key = mnl_attr_nest_start(h, NFTA_SET_ELEM_KEY);

		mnl_attr_put(h, NFTA_DATA_VALUE, key_len(&sets[id]), v[i].key);
		mnl_attr_nest_end(h, key);
		mnl_attr_nest_end(h, elem);
	}
	mnl_attr_nest_end(h, list);
	nft_added(b, h);
}

/* Of one set, as many as fit from there. */
static size_t chunk(const struct held *v, size_t n)
{
	size_t k = 0;

	while (k < n && k < CHUNK && v[k].set == v->set)
		k++;
	return k;
}

enum hold_way { HOLD_NEW, HOLD_NEW_PLAIN, HOLD_THERE }; /* the table is made; without expression socket; is there */

/* Somebody else may make the table at the same time, or remove it with what was in it last. */
static int hold_chunk(struct hold *hold, const struct held *v, size_t n)
{
	enum hold_way way = HOLD_NEW, make = HOLD_NEW;
	int r = -EAGAIN;

	for (int i = 0; i < HOLD_TRIES && r < 0; i++) {
		struct nft_batch b;

		nft_begin(&b, &hold->n, INET_HOLD_TABLE, 0);
		if (way != HOLD_THERE)
			table_put(&b, way == HOLD_NEW);
		elements_put(&b, NFT_MSG_NEWSETELEM, NLM_F_CREATE, v->set, v, n);
		r = nft_send(&b);
		if (r == -EEXIST && way != HOLD_THERE)
			way = HOLD_THERE;
		else if (r == -ENOENT && way == HOLD_THERE)
			way = make;
		else if ((r == -ENOENT || r == -EOPNOTSUPP) && way == HOLD_NEW)
			way = make = HOLD_NEW_PLAIN;
		else
			break;
	}
	return r;
}

static int hold_put(struct hold *hold)
{
	int r = hold->n.nl ? 0 : -EPROTONOSUPPORT;

	for (size_t i = 0, n; r == 0 && i < hold->all.n; i += n) {
		n = chunk(hold->all.v + i, hold->all.n - i);
		r = hold_chunk(hold, hold->all.v + i, n);
	}
	return r;
}

void inet_hold(struct session *s)
{
	struct holds *a = holds(s);

	for (size_t i = 0; i < a->all.n; i++) {
		struct hold *hold = &a->all.v[i];
		int r;

		qsort(hold->all.v, hold->all.n, sizeof(*hold->all.v), held_compare);
		r = hold_put(hold);
		if (r < 0)
			session_warn(s, "network namespace %u: %zu TCP connections cannot be kept from resets by nf_tables: %s%s; a peer that sends while the tasks are away ends its connection",
				     hold->net, hold->all.n, strerror(-r), hold->n.why);
		else
			session_debug(s, "network namespace %u: packets for %zu TCP connections are dropped", hold->net,
				      hold->all.n);
	}
}

/* ---- release ---- */

/* What is in the table now: ours, and how many others */
struct census {
	const struct hold *hold;
	unsigned set;
	struct {
		struct held *v;
		size_t n, max;
	} ours;
	size_t others, others_before;
};

static int census_take(const struct nlmsghdr *h, void *arg)
{
	struct census *c = arg;
	const struct nlattr *list, *elem;

	if (!h) {
		while (c->ours.n && c->ours.v[c->ours.n - 1].set == c->set)
			c->ours.n--;
		c->others = c->others_before;
		return 0;
	}
	list = attr_find(h, sizeof(struct nfgenmsg), NFTA_SET_ELEM_LIST_ELEMENTS);
	if (!list)
		return 0;
	mnl_attr_for_each_nested(elem, list) {
		const struct nlattr *key = attr_nested(attr_nested(elem, NFTA_SET_ELEM_KEY), NFTA_DATA_VALUE);
		struct held one = { .set = c->set };

		if (key && mnl_attr_get_payload_len(key) == key_len(&sets[c->set]))
			memcpy(one.key, mnl_attr_get_payload(key), key_len(&sets[c->set]));
		if (bsearch(&one, c->hold->all.v, c->hold->all.n, sizeof(one), held_compare))
			*vec_add(&c->ours) = one;
		else
			c->others++;
	}
	return 0;
}

static int census_set(struct hold *hold, struct census *c, unsigned id)
{
	char req[RTNL_HEAD_MAX] __attribute__((aligned(8)));
	struct nfgenmsg *g;
	struct nlmsghdr *h = rtnl_begin(req, 0, 0, sizeof(*g), &g);

	g->nfgen_family = NFPROTO_INET;
	mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, INET_HOLD_TABLE);
	mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, sets[id].name);
	c->set = id;
	c->others_before = c->others;
	return rtnl_list_asked(&hold->n, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETSETELEM, mnl_nlmsg_get_payload_len(h), g,
			       census_take, c);
}

/*
 * The table goes with the last connection in it: only if nobody has put another there meanwhile (-ERESTART). One may
 * have reached its time (-ENOENT).
 * Return: 1 there may be more of ours, 0 none, -errno.
 */
static int release_some(struct hold *hold)
{
	struct census c = { .hold = hold };
	struct nft_batch b;
	uint32_t gen;
	int r = nft_generation(&hold->n, &gen);
	size_t n;

	for (unsigned i = 0; r == 0 && i < HOLD_N; i++)
		r = census_set(hold, &c, i);
	n = r == 0 ? chunk(c.ours.v, c.ours.n) : 0;
	if (r == 0 && (n || !c.others)) {
		nft_begin(&b, &hold->n, INET_HOLD_TABLE, gen);
		if (c.others)
			elements_put(&b, NFT_MSG_DELSETELEM, 0, c.ours.v->set, c.ours.v, n);
		else
			nft_table_delete(&b);
		r = nft_send(&b);
		r = r < 0 ? r : c.others && n < c.ours.n;
	}
	free(c.ours.v);
	return r;
}

/* No table, no nf_tables: nothing is held, and most often nothing was. */
static int release(struct hold *hold)
{
	int r = 1;

	for (int i = 0; i < HOLD_TRIES && r; i++) {
		r = release_some(hold);
		if (r < 0 && r != -ERESTART && r != -ENOENT)
			break;
	}
	return r;
}

void inet_hold_release(struct session *s)
{
	struct holds *a = holds(s);

	for (size_t i = 0; i < a->all.n; i++) {
		struct hold *hold = &a->all.v[i];
		int r = 0;

		qsort(hold->all.v, hold->all.n, sizeof(*hold->all.v), held_compare);
		if (hold->n.nl)
			r = release(hold);
		if (r < 0)
			session_warn(s, "network namespace %u: table inet %s: take the restored connections out: %s%s", hold->net,
				     INET_HOLD_TABLE, strerror(-r), hold->n.why);
	}
}

void inet_hold_end(struct session *s)
{
	struct holds *a = holds(s);

	for (size_t i = 0; i < a->all.n; i++) {
		rtnl_close(&a->all.v[i].n);
		free(a->all.v[i].all.v);
	}
	free(a->all.v);
	memset(a, 0, sizeof(*a));
}
