// SPDX-License-Identifier: Apache-2.0
/*
 * net-route: addresses, routes and rules of a network namespace as the raw netlink messages that
 * `ip addr save`, `ip route save` and `ip rule save` write.
 *
 * Kept:   address labels, addresses with flags and lifetimes, routes of every table with nexthops and metrics, rules
 *         of both families and of multicast routing, permanent neighbours and proxies, static forwarding entries (fdb) of bridges, vxlan
 *         and devices, permanent groups (mdb) of bridges, nexthop objects.
 * Lost:   learned neighbours and cached routes, which come again by themselves.
 * Kernel: net/ipv4/{devinet,fib_frontend,nexthop}.c, net/ipv6/{addrconf,route}.c,
 *         net/core/{fib_rules,neighbour}.c.
 */
#include "base/list.h"
#include "image/record.h"
#include "kind/net-map.h"
#include "kind/net-raw.h"

#include <arpa/inet.h>
#include <linux/fib_rules.h>
#include <linux/if_bridge.h>
#include <linux/if_addr.h>
#include <linux/if_addrlabel.h>
#include <linux/neighbour.h>
#include <linux/nexthop.h>
#include <string.h>

/*
 * Routes the kernel makes of addresses are written too, as `ip route save` does; not those of the
 * local table, nor what is only a memory of packets sent.
 */
static enum raw_keep keep_route(const struct nlmsghdr *h)
{
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);
	uint32_t table = attr_u32(attr_find(h, sizeof(*m), RTA_TABLE), m->rtm_table);

	if (m->rtm_flags & RTM_F_CLONED)
		return RAW_SKIP;
	if (m->rtm_protocol == RTPROT_KERNEL && table == RT_TABLE_LOCAL)
		return RAW_SKIP;
	if (m->rtm_protocol == RTPROT_REDIRECT)
		return RAW_SKIP;
	return RAW_KEEP;
}

static enum raw_keep keep_neigh(const struct nlmsghdr *h)
{
	const struct ndmsg *m = mnl_nlmsg_get_payload(h);

	/* on a device without ARP the kernel itself makes permanent ones: NUD_NOARP */
	return m->ndm_state & NUD_PERMANENT ? RAW_KEEP : RAW_SKIP;
}

/* Without the flag they are no proxies; older kernels list all whatever is asked. */
static enum raw_keep keep_proxy(const struct nlmsghdr *h)
{
	const struct ndmsg *m = mnl_nlmsg_get_payload(h);

	return m->ndm_flags & NTF_PROXY ? RAW_KEEP : RAW_SKIP;
}

/*
 * Forwarding entries that somebody set: static ones of bridges, vxlan's, a device's own further addresses. Groups
 * of a device come from the protocols; what is permanent in a bridge is mostly its ports' addresses, see raw_rest().
 */
static enum raw_keep keep_fdb(const struct nlmsghdr *h)
{
	const struct ndmsg *m = mnl_nlmsg_get_payload(h);
	const struct nlattr *a = attr_find(h, sizeof(*m), NDA_LLADDR);
	bool group = a && mnl_attr_get_payload_len(a) && mnl_attr_get_u8(a) & 1;

	if (!(m->ndm_state & (NUD_PERMANENT | NUD_NOARP)) || m->ndm_flags & NTF_EXT_LEARNED)
		return RAW_SKIP;
	return group && m->ndm_flags & NTF_SELF && !attr_find(h, sizeof(*m), NDA_DST) ? RAW_SKIP : RAW_KEEP;
}

/* One message has all groups of a bridge, also those that were only heard of. */
static enum raw_keep keep_mdb(const struct nlmsghdr *h)
{
	const struct nlattr *all = attr_find(h, sizeof(struct br_port_msg), MDBA_MDB), *group, *one;

	if (!all)
		return RAW_SKIP;
	mnl_attr_for_each_nested(group, all)
		mnl_attr_for_each_nested(one, group)
			if (mnl_attr_get_payload_len(one) >= sizeof(struct br_mdb_entry) &&
			    ((const struct br_mdb_entry *)mnl_attr_get_payload(one))->state == MDB_PERMANENT)
				return RAW_KEEP;
	return RAW_SKIP;
}

/* IPv6 has two rules from the start: 0 local, 32766 main. */
static enum raw_keep keep_rule6(const struct nlmsghdr *h)
{
	const struct fib_rule_hdr *m = mnl_nlmsg_get_payload(h);
	uint32_t prio = attr_u32(attr_find(h, sizeof(*m), FRA_PRIORITY), 0);

	return (prio == 0 && m->table == RT_TABLE_LOCAL) || (prio == 32766 && m->table == RT_TABLE_MAIN)
		       ? RAW_DEFAULT
		       : RAW_KEEP;
}

/* Labels of IPv6 addresses (RFC 6724): those of the kernel's own. */
#define LABELS 10
static enum raw_keep keep_label(const struct nlmsghdr *h)
{
	static const struct {
		const char *prefix;
		uint8_t len, label;
	} own[LABELS] = { { "::1", 128, 0 },	 { "::", 0, 1 },	{ "::", 96, 3 },	{ "::ffff:0:0", 96, 4 }, { "fc00::", 7, 5 },
			  { "2001::", 32, 6 }, { "2001:10::", 28, 7 }, { "2002::", 16, 2 }, { "3ffe::", 16, 12 },	  { "fec0::", 10, 11 } };
	const struct ifaddrlblmsg *m = mnl_nlmsg_get_payload(h);
	const struct nlattr *a = attr_find(h, sizeof(*m), IFAL_ADDRESS);
	uint32_t label = attr_u32(attr_find(h, sizeof(*m), IFAL_LABEL), 0);
	struct in6_addr addr;

	for (size_t i = 0; a && mnl_attr_get_payload_len(a) == sizeof(addr) && !m->ifal_index && i < LABELS; i++)
		if (own[i].len == m->ifal_prefixlen && own[i].label == label && inet_pton(AF_INET6, own[i].prefix, &addr) == 1 &&
		    !memcmp(mnl_attr_get_payload(a), &addr, sizeof(addr)))
			return RAW_DEFAULT;
	return RAW_KEEP;
}

/* Rules of multicast routing: one from the start. */
static enum raw_keep keep_mrule(const struct nlmsghdr *h)
{
	const struct fib_rule_hdr *m = mnl_nlmsg_get_payload(h);

	uint8_t table = m->family == RTNL_FAMILY_IPMR ? RT_TABLE_DEFAULT : RT_TABLE_MAIN;

	return attr_u32(attr_find(h, sizeof(*m), FRA_PRIORITY), 0) == 32767 && m->table == table ? RAW_DEFAULT : RAW_KEEP;
}

/* Flags that only say how a nexthop is doing; the kernel refuses some of them as input. */
#define NEXTHOP_STATE (RTNH_F_DEAD | RTNH_F_LINKDOWN | RTNH_F_OFFLOAD | RTNH_F_TRAP | RTNH_F_UNRESOLVED)

/* A route by a nexthop object is told with the object's gateway and device, but taken without. */
static void route_by_object(struct nlmsghdr *h)
{
	const struct nlattr *a = attr_find(h, sizeof(struct rtmsg), RTA_NH_ID);
	size_t at = MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof(struct rtmsg)), to = at;
	char *m = (char *)h;

	if (!a)
		return;
	while (at + sizeof(*a) <= h->nlmsg_len) {
		size_t step;

		a = (const void *)(m + at);
		step = MNL_ALIGN(a->nla_len);
		if (a->nla_len < sizeof(*a) || step > MNL_ALIGN(h->nlmsg_len) - at)
			break;
		at += step;
		switch (a->nla_type & NLA_TYPE_MASK) {
		case RTA_OIF:
		case RTA_GATEWAY:
		case RTA_VIA:
		case RTA_MULTIPATH:
		case RTA_ENCAP:
		case RTA_ENCAP_TYPE:
			continue;
		default:
			memmove(m + to, a, step);
			to += step;
		}
	}
	h->nlmsg_len = to;
}

static void route_clean(struct nlmsghdr *h)
{
	struct rtmsg *m = mnl_nlmsg_get_payload(h);
	const struct nlattr *a = attr_find(h, sizeof(*m), RTA_MULTIPATH);
	size_t left = a ? mnl_attr_get_payload_len(a) : 0;
	struct rtnexthop *nh = a ? mnl_attr_get_payload(a) : NULL;

	m->rtm_flags &= ~(NEXTHOP_STATE | RTM_F_NOTIFY | RTM_F_CLONED);
	while (left >= sizeof(*nh) && nh->rtnh_len >= sizeof(*nh) && nh->rtnh_len <= left) {
		size_t step = RTNH_ALIGN(nh->rtnh_len);

		nh->rtnh_flags &= ~NEXTHOP_STATE;
		if (step >= left)
			break;
		left -= step;
		nh = (void *)((char *)nh + step);
	}
	route_by_object(h);
}

/* An entry of the bridge device's own is told like one of a port. */
static void fdb_clean(struct nlmsghdr *h)
{
	struct ndmsg *m = mnl_nlmsg_get_payload(h);

	if (attr_u32(attr_find(h, sizeof(*m), NDA_MASTER), 0) == (uint32_t)m->ndm_ifindex)
		m->ndm_flags |= NTF_SELF;
}

static int mdb_put(struct rtnl *n, uint32_t bridge, const struct br_mdb_entry *e)
{
	char req[256] __attribute__((aligned(8)));
	struct br_port_msg *m;
	struct nlmsghdr *h = rtnl_begin(req, RTM_NEWMDB, NLM_F_CREATE, sizeof(*m), &m);
	struct br_mdb_entry mine = *e;
	int r;

	m->family = AF_BRIDGE;
	m->ifindex = bridge;
	mine.flags = 0;
	mnl_attr_put(h, MDBA_SET_ENTRY, sizeof(mine), &mine);
	r = rtnl_talk(n, h, NULL, NULL);
	return r == -EEXIST ? 0 : r;
}

/* Told by bridge, set one by one. */
static int mdb_send(struct rtnl *n, struct nlmsghdr *h)
{
	const struct br_port_msg *m = mnl_nlmsg_get_payload(h);
	const struct nlattr *all = attr_find(h, sizeof(*m), MDBA_MDB), *group, *one;
	int r = 0;

	if (!all)
		return 0;
	mnl_attr_for_each_nested(group, all)
		mnl_attr_for_each_nested(one, group) {
			const struct br_mdb_entry *e = mnl_attr_get_payload(one);

			if (r == 0 && mnl_attr_get_payload_len(one) >= sizeof(*e) && e->state == MDB_PERMANENT)
				r = mdb_put(n, m->ifindex, e);
		}
	return r;
}

static int route_send(struct rtnl *n, struct nlmsghdr *h)
{
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);

	route_clean(h);
	if (m->rtm_family == AF_INET)
		h->nlmsg_flags |= NLM_F_APPEND; /* several of one prefix keep their order */
	return rtnl_talk(n, h, NULL, NULL);
}

/* Of what is told, only this is input. */
static int nexthop_send(struct rtnl *n, struct nlmsghdr *h)
{
	static const uint16_t input[] = { NHA_ID, NHA_GROUP, NHA_GROUP_TYPE, NHA_BLACKHOLE, NHA_OIF, NHA_GATEWAY, NHA_ENCAP_TYPE,
					  NHA_ENCAP | NLA_F_NESTED, NHA_FDB };
	static const uint16_t resilient[] = { NHA_RES_GROUP_BUCKETS, NHA_RES_GROUP_IDLE_TIMER, NHA_RES_GROUP_UNBALANCED_TIMER };
	const struct nhmsg *from = mnl_nlmsg_get_payload(h);
	const struct nlattr *group = attr_find(h, sizeof(*from), NHA_RES_GROUP), *a;
	own_mem char *buf = xalloc(RTNL_MSG_MAX + 256);
	struct nlattr *in;
	struct nhmsg *m;
	struct nlmsghdr *req = rtnl_begin(buf, h->nlmsg_type, h->nlmsg_flags, sizeof(*m), &m);

	m->nh_family = from->nh_family;
	m->nh_protocol = from->nh_protocol;
	m->nh_flags = from->nh_flags & RTNH_F_ONLINK;
	raw_input(req, h, sizeof(*m), input, ARRAY_SIZE(input));
	if (group) {
		in = mnl_attr_nest_start(req, NHA_RES_GROUP);
		for (size_t i = 0; i < ARRAY_SIZE(resilient); i++)
			if ((a = attr_nested(group, resilient[i])))
				mnl_attr_put(req, resilient[i], mnl_attr_get_payload_len(a), mnl_attr_get_payload(a));
		mnl_attr_nest_end(req, in);
	}
	return rtnl_talk(n, req, NULL, NULL);
}

static int fdb_send(struct rtnl *n, struct nlmsghdr *h)
{
	fdb_clean(h);
	h->nlmsg_flags |= NLM_F_APPEND; /* further remotes of one address */
	return rtnl_talk(n, h, NULL, NULL);
}

static int anew_send(struct rtnl *n, struct nlmsghdr *h)
{
	h->nlmsg_flags |= NLM_F_REPLACE;
	return rtnl_talk(n, h, NULL, NULL);
}

/* In the order of restore. Those without a magic are ours. */
static const struct raw_file raw_files[] = {
	{ "addrlabel", 0, RTM_GETADDRLABEL, RTM_NEWADDRLABEL, RTM_DELADDRLABEL, AF_INET6, sizeof(struct ifaddrlblmsg), .keep = keep_label,
	  .by_default = LABELS },
	{ "ifaddr", 0x47361222, RTM_GETADDR, RTM_NEWADDR, RTM_DELADDR, AF_UNSPEC, sizeof(struct ifaddrmsg), .send = anew_send,
	  .map = map_addr },
	{ "neigh", 0, RTM_GETNEIGH, RTM_NEWNEIGH, RTM_DELNEIGH, AF_UNSPEC, sizeof(struct ndmsg), .keep = keep_neigh, .send = anew_send,
	  .map = map_neigh },
	{ "proxy", 0, RTM_GETNEIGH, RTM_NEWNEIGH, RTM_DELNEIGH, AF_UNSPEC, sizeof(struct ndmsg), .keep = keep_proxy, .send = anew_send,
	  .map = map_neigh, .ask = NTF_PROXY, .asked_at = offsetof(struct ndmsg, ndm_flags) },
	{ "fdb", 0, RTM_GETNEIGH, RTM_NEWNEIGH, RTM_DELNEIGH, AF_BRIDGE, sizeof(struct ndmsg), .keep = keep_fdb, .send = fdb_send,
	  .map = map_neigh, .beside = true },
	{ "mdb", 0, RTM_GETMDB, RTM_NEWMDB, RTM_DELMDB, AF_BRIDGE, sizeof(struct br_port_msg), .keep = keep_mdb, .send = mdb_send,
	  .beside = true },
	{ "nexthop", 0, RTM_GETNEXTHOP, RTM_NEWNEXTHOP, RTM_DELNEXTHOP, AF_UNSPEC, sizeof(struct nhmsg), .send = nexthop_send,
	  .map = map_nexthop },
	{ "route", 0x45311224, RTM_GETROUTE, RTM_NEWROUTE, RTM_DELROUTE, AF_INET, sizeof(struct rtmsg), .keep = keep_route, .send = route_send,
	  .map = map_route },
	{ "route6", 0x45311224, RTM_GETROUTE, RTM_NEWROUTE, RTM_DELROUTE, AF_INET6, sizeof(struct rtmsg), .keep = keep_route, .send = route_send,
	  .map = map_route },
	{ "rule", 0x71706986, RTM_GETRULE, RTM_NEWRULE, RTM_DELRULE, AF_INET, sizeof(struct fib_rule_hdr), .map = map_rule },
	{ "rule6", 0, RTM_GETRULE, RTM_NEWRULE, RTM_DELRULE, AF_INET6, sizeof(struct fib_rule_hdr), .keep = keep_rule6,
	  .map = map_rule, .by_default = 2 },
	{ "mrule", 0, RTM_GETRULE, RTM_NEWRULE, RTM_DELRULE, RTNL_FAMILY_IPMR, sizeof(struct fib_rule_hdr), .keep = keep_mrule,
	  .by_default = 1 },
	{ "mrule6", 0, RTM_GETRULE, RTM_NEWRULE, RTM_DELRULE, RTNL_FAMILY_IP6MR, sizeof(struct fib_rule_hdr), .keep = keep_mrule,
	  .by_default = 1 },
};

static bool attr_same(const struct nlattr *x, const struct nlattr *y)
{
	return !x == !y && (!x || (x->nla_len == y->nla_len && !memcmp(mnl_attr_get_payload(x), mnl_attr_get_payload(y),
								       mnl_attr_get_payload_len(x))));
}

/* Two addresses or routes are one if this much is equal. */
static bool raw_same(const struct raw_file *f, const struct nlmsghdr *a, const struct nlmsghdr *b)
{
	static const uint16_t addr[] = { IFA_LOCAL, IFA_ADDRESS, 0 };
	static const uint16_t route[] = { RTA_DST, RTA_OIF, RTA_PRIORITY, RTA_TABLE, 0 };
	const uint16_t *t = f->new == RTM_NEWADDR ? addr : route;
	const struct ifaddrmsg *ia = mnl_nlmsg_get_payload(a), *ib = mnl_nlmsg_get_payload(b);

	if (ia->ifa_family != ib->ifa_family || ia->ifa_prefixlen != ib->ifa_prefixlen ||
	    (f->new == RTM_NEWADDR && ia->ifa_index != ib->ifa_index))
		return false;
	for (; *t; t++)
		if (!attr_same(attr_find(a, f->head, *t), attr_find(b, f->head, *t)))
			return false;
	return true;
}

static bool fdb_same(const struct nlmsghdr *a, const struct nlmsghdr *b)
{
	static const uint16_t t[] = { NDA_LLADDR, NDA_VLAN, NDA_DST, NDA_VNI, NDA_PORT, NDA_IFINDEX, NDA_SRC_VNI, NDA_NH_ID };
	const struct ndmsg *x = mnl_nlmsg_get_payload(a), *y = mnl_nlmsg_get_payload(b);
	bool same = x->ndm_ifindex == y->ndm_ifindex && x->ndm_flags == y->ndm_flags;

	for (size_t i = 0; same && i < ARRAY_SIZE(t); i++)
		same = attr_same(attr_find(a, sizeof(*x), t[i]), attr_find(b, sizeof(*x), t[i]));
	return same;
}

/*
 * raw_prune - remove what the kernel made by itself and the dumped namespace did not have: link-local
 * addresses, routes of addresses
 */
static int raw_prune(struct session *s, struct rtnl *n, const struct raw_list *want, uint32_t id)
{
	own_raw struct raw_list have = { 0 };
	const struct raw_file *f = want->f;
	int r = raw_list_get(n, f, &have);

	if (r < 0)
		return session_fail(s, r, "netns %u: list %s%s", id, f->name, n->why);
	for (size_t i = 0; i < have.n; i++) {
		struct nlmsghdr *h = have.v[i];
		const struct rtmsg *m = mnl_nlmsg_get_payload(h);
		size_t j = 0;

		if (f->new == RTM_NEWROUTE && (m->rtm_protocol != RTPROT_KERNEL || map_route_made(s, h)))
			continue;
		while (j < want->n && !raw_same(f, h, want->v[j]))
			j++;
		if (j < want->n)
			continue;
		h->nlmsg_type = f->del;
		h->nlmsg_flags = NLM_F_REQUEST;
		if (f->new == RTM_NEWROUTE)
			route_clean(h);
		r = rtnl_talk(n, h, NULL, NULL);
		if (r < 0 && r != -ESRCH && r != -EADDRNOTAVAIL && r != -ENOENT)
			session_warn(s, "netns %u: an entry of %s that was not there before cannot be "
				     "removed: %s%s", id, f->name, strerror(-r), n->why);
	}
	return 0;
}

/* Rules have no identity, and labels are not changed but made: the fresh ones go first. */
static int fresh_flush(struct session *s, struct rtnl *n, const struct raw_file *f, uint32_t id)
{
	own_raw struct raw_list have = { 0 };
	int r = raw_list_get(n, f, &have);

	for (size_t i = 0; i < have.n && r == 0; i++) {
		have.v[i]->nlmsg_type = f->del;
		have.v[i]->nlmsg_flags = NLM_F_REQUEST;
		r = rtnl_talk(n, have.v[i], NULL, NULL);
	}
	return r < 0 ? session_fail(s, r, "netns %u: remove the fresh entries of %s%s", id,
				    f->name, n->why)
		     : 0;
}

/* The kernel puts a new IPv6 address before the others of its scope: the last one goes first. */
static void addr_order(struct raw_list *l)
{
	size_t i = 0, j = l->n;

	while (i < j) {
		const struct ifaddrmsg *a = mnl_nlmsg_get_payload(l->v[i]);
		const struct ifaddrmsg *b = mnl_nlmsg_get_payload(l->v[j - 1]);
		struct nlmsghdr *h = l->v[i];

		if (a->ifa_family != AF_INET6) {
			i++;
		} else if (b->ifa_family != AF_INET6) {
			j--;
		} else {
			l->v[i++] = l->v[--j];
			l->v[j] = h;
		}
	}
}

/*
 * --address-map into another network: routes of the old one that the kernel made for the address are gone, it makes
 * those of the new one.
 */
static void routes_drop(struct session *s, struct raw_list *l)
{
	size_t keep = 0;

	for (size_t i = 0; i < l->n; i++)
		if (map_route_of_kernel(s, l->v[i]))
			free(l->v[i]);
		else
			l->v[keep++] = l->v[i];
	l->n = keep;
}

/* Forwarding entries: those that came with their devices stay; one that is not taken is reported. */
static int raw_rest(struct session *s, struct rtnl *n, const struct raw_list *want, uint32_t id)
{
	own_raw struct raw_list have = { 0 };
	const struct raw_file *f = want->f;
	int r = raw_list_get(n, f, &have);

	if (r < 0)
		return session_fail(s, r, "netns %u: list %s%s", id, f->name, n->why);
	for (size_t i = 0; i < want->n; i++) {
		size_t j = 0;

		while (f->new == RTM_NEWNEIGH && j < have.n && !fdb_same(have.v[j], want->v[i]))
			j++;
		if (f->new == RTM_NEWNEIGH && j < have.n)
			continue;
		r = raw_send(n, f, want->v[i]);
		if (r < 0)
			session_warn(s, "netns %u: %s: an entry cannot be set: %s%s", id, f->name, strerror(-r), n->why);
	}
	return 0;
}

static int raw_restore(struct session *s, struct rtnl *n, const struct raw_file *f, uint32_t id)
{
	own_raw struct raw_list l = { 0 };
	int r = raw_read(s, f, id, &l);

	if (r != 0)
		return r < 0 ? r : 0;
	if ((f->new == RTM_NEWRULE || f->new == RTM_NEWADDRLABEL) && (r = fresh_flush(s, n, f, id)) < 0)
		return r;
	if (s->opts->n_address_map)
		routes_drop(s, &l);
	if (f->new == RTM_NEWADDR)
		addr_order(&l);
	r = f->beside ? raw_rest(s, n, &l, id) : raw_replay(s, n, &l, id);
	if (r == 0 && (f->new == RTM_NEWADDR || f->new == RTM_NEWROUTE))
		r = raw_prune(s, n, &l, id);
	session_debug(s, "netns %u: %zu %s", id, l.n, f->name);
	return r;
}

int rtnl_files_dump(struct session *s, struct rtnl *n, uint32_t id)
{
	for (size_t i = 0; i < ARRAY_SIZE(raw_files); i++) {
		int r = raw_dump(s, n, &raw_files[i], id);

		if (r < 0)
			return r;
	}
	return 0;
}

int rtnl_files_restore(struct session *s, struct rtnl *n, uint32_t id)
{
	for (size_t i = 0; i < ARRAY_SIZE(raw_files); i++) {
		int r = raw_restore(s, n, &raw_files[i], id);

		if (r < 0)
			return r;
	}
	return 0;
}
