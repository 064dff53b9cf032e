// SPDX-License-Identifier: Apache-2.0
/*
 * net-raw: addresses, routes and rules of a network namespace as the raw netlink messages that
 * `ip addr save`, `ip route save` and `ip rule save` write.
 *
 * Kept:   addresses with flags and lifetimes, routes of every table with nexthops and metrics, rules
 *         of both families, permanent neighbours and proxies, static forwarding entries (fdb) of bridges, vxlan
 *         and devices, permanent groups (mdb) of bridges, nexthop objects, tracked connections and
 *         expectations.
 * Lost:   learned neighbours and cached routes, which come again by themselves.
 * Kernel: net/ipv4/{devinet,fib_frontend,nexthop}.c, net/ipv6/{addrconf,route}.c,
 *         net/core/{fib_rules,neighbour}.c.
 */
#include "base/list.h"
#include "image/record.h"
#include "kind/inet-map.h"
#include "kind/net-rtnl.h"

#include <linux/fib_rules.h>
#include <linux/if_bridge.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/nexthop.h>
#include <linux/xfrm.h>
#include <string.h>

#define RAW_MAX (256u << 20) /* bytes of one file */

enum raw_keep { RAW_SKIP, RAW_KEEP, RAW_DEFAULT /* keep only beside others */ };

struct raw_file {
	const char *name;
	uint32_t magic;
	uint16_t get, new, del; /* message types */
	uint8_t family;
	size_t head;
	enum raw_keep (*keep)(const struct nlmsghdr *h);
	uint8_t ask;   /* value of the header's byte asked_at: which of the sort are listed */
	uint8_t asked_at;
	bool beside;   /* some come by themselves: those that are there are left alone; others reported */
};

struct raw_list {
	struct nlmsghdr **v;
	size_t n, max;
	size_t bytes;
	bool special; /* something that is not there by default */
	const struct raw_file *f;
};

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

/* In the order of restore. Those without a magic are ours. */
static const struct raw_file raw_files[] = {
	{ "ifaddr", 0x47361222, RTM_GETADDR, RTM_NEWADDR, RTM_DELADDR, AF_UNSPEC,
	  sizeof(struct ifaddrmsg), .keep = NULL },
	{ "neigh", 0, RTM_GETNEIGH, RTM_NEWNEIGH, RTM_DELNEIGH, AF_UNSPEC, sizeof(struct ndmsg),
	  .keep = keep_neigh },
	{ "proxy", 0, RTM_GETNEIGH, RTM_NEWNEIGH, RTM_DELNEIGH, AF_UNSPEC, sizeof(struct ndmsg), keep_proxy,
	  .ask = NTF_PROXY, .asked_at = offsetof(struct ndmsg, ndm_flags) },
	{ "fdb", 0, RTM_GETNEIGH, RTM_NEWNEIGH, RTM_DELNEIGH, AF_BRIDGE, sizeof(struct ndmsg), keep_fdb,
	  .beside = true },
	{ "mdb", 0, RTM_GETMDB, RTM_NEWMDB, RTM_DELMDB, AF_BRIDGE, sizeof(struct br_port_msg), keep_mdb,
	  .beside = true },
	{ "nexthop", 0, RTM_GETNEXTHOP, RTM_NEWNEXTHOP, RTM_DELNEXTHOP, AF_UNSPEC,
	  sizeof(struct nhmsg), .keep = NULL },
	{ "route", 0x45311224, RTM_GETROUTE, RTM_NEWROUTE, RTM_DELROUTE, AF_INET,
	  sizeof(struct rtmsg), .keep = keep_route },
	{ "route6", 0x45311224, RTM_GETROUTE, RTM_NEWROUTE, RTM_DELROUTE, AF_INET6,
	  sizeof(struct rtmsg), .keep = keep_route },
	{ "rule", 0x71706986, RTM_GETRULE, RTM_NEWRULE, RTM_DELRULE, AF_INET,
	  sizeof(struct fib_rule_hdr), .keep = NULL },
	{ "rule6", 0, RTM_GETRULE, RTM_NEWRULE, RTM_DELRULE, AF_INET6, sizeof(struct fib_rule_hdr),
	  .keep = keep_rule6 },
};

#define CT(type) (NFNL_SUBSYS_CTNETLINK << 8 | (type))
#define EXP(type) (NFNL_SUBSYS_CTNETLINK_EXP << 8 | (type))

/* Tracked connections, of another netlink family. */
static const struct raw_file track_files[] = {
	{ "netns-ct", 0, CT(IPCTNL_MSG_CT_GET), CT(IPCTNL_MSG_CT_NEW), CT(IPCTNL_MSG_CT_DELETE),
	  AF_UNSPEC, sizeof(struct nfgenmsg), .keep = NULL },
	{ "netns-exp", 0, EXP(IPCTNL_MSG_EXP_GET), EXP(IPCTNL_MSG_EXP_NEW), EXP(IPCTNL_MSG_EXP_DELETE),
	  AF_UNSPEC, sizeof(struct nfgenmsg), .keep = NULL },
};

/* IPsec policies; those of sockets have other directions. */
static enum raw_keep keep_policy(const struct nlmsghdr *h)
{
	const struct xfrm_userpolicy_info *p = mnl_nlmsg_get_payload(h);

	return p->dir < XFRM_POLICY_MAX ? RAW_KEEP : RAW_SKIP;
}

static const struct raw_file xfrm_file = {
	"xfrm-policy", 0, XFRM_MSG_GETPOLICY, XFRM_MSG_NEWPOLICY, XFRM_MSG_DELPOLICY, AF_UNSPEC,
	sizeof(struct xfrm_userpolicy_info), .keep = keep_policy
};

static void raw_list_clear(struct raw_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i]);
	l->n = 0;
	l->bytes = 0;
	l->special = false;
}

static void raw_list_free(struct raw_list *l)
{
	raw_list_clear(l);
	free(l->v);
}
#define own_raw __attribute__((cleanup(raw_list_free)))

static int raw_take(const struct nlmsghdr *h, void *arg)
{
	struct raw_list *l = arg;
	enum raw_keep keep = RAW_KEEP;

	if (!h) {
		raw_list_clear(l);
		return 0;
	}
	/* groups of bridges are listed under the type of the question */
	if ((h->nlmsg_type != l->f->new && (l->f->new != RTM_NEWMDB || h->nlmsg_type != RTM_GETMDB)) || mnl_nlmsg_get_payload_len(h) < l->f->head)
		return 0;
	if (l->f->keep)
		keep = l->f->keep(h);
	if (keep == RAW_SKIP)
		return 0;
	l->special = l->special || keep == RAW_KEEP;
	l->bytes += h->nlmsg_len;
	if (l->bytes > RAW_MAX)
		return -EFBIG;
	*vec_add(l) = xmemdup(h, h->nlmsg_len);
	l->v[l->n - 1]->nlmsg_type = l->f->new;
	return 0;
}

static int raw_list_get(struct rtnl *n, const struct raw_file *f, struct raw_list *l)
{
	int r;

	l->f = f;
	r = rtnl_list_asked(n, f->get, f->family, f->head, f->asked_at, f->ask, raw_take, l);
	if (r == -EOPNOTSUPP || r == -EAFNOSUPPORT || (r == -EINVAL && f->new >= 1 << 8))
		r = 0; /* the kernel was built without: nothing is there */
	return r;
}

static int raw_dump(struct session *s, struct rtnl *n, const struct raw_file *f, uint32_t id)
{
	own_raw struct raw_list l = { 0 };
	static const char zero[NLMSG_ALIGNTO];
	own_image struct image img = { 0 };
	int r = raw_list_get(n, f, &l);

	if (r < 0)
		return session_fail(s, r, "netns %u: list %s%s", id, f->name, n->why);
	if (!f->magic && !l.special)
		return 0;
	r = image_create(s, &img, 0, "%s-%u.img", f->name, id);
	if (r == 0 && f->magic)
		r = image_write_raw(&img, &f->magic, sizeof(f->magic));
	for (size_t i = 0; i < l.n && r == 0; i++) {
		size_t len = l.v[i]->nlmsg_len;

		r = image_write_raw(&img, l.v[i], len);
		if (r == 0 && NLMSG_ALIGN(len) != len)
			r = image_write_raw(&img, zero, NLMSG_ALIGN(len) - len);
	}
	if (r < 0)
		return r;
	session_debug(s, "netns %u: %zu %s", id, l.n, f->name);
	return image_close(&img);
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

/*
 * raw_read - all messages of a file, each checked to be what the file is for
 * Return: 0, 1 no such file, -EBADMSG with the reason.
 */
static int raw_read(struct session *s, const struct raw_file *f, uint32_t id, struct raw_list *l)
{
	own_image struct image img = { 0 };
	uint32_t magic;
	int r = image_open(s, &img, 0, "%s-%u.img", f->name, id);

	l->f = f;
	if (r != 0)
		return r;
	if (image_left(&img) == 0)
		return 1;
	if (image_left(&img) > RAW_MAX)
		return session_fail(s, -EBADMSG, "image %s: larger than %u bytes", img.name, RAW_MAX);
	if (f->magic && (r = image_read_raw(&img, &magic, sizeof(magic))) < 0)
		return r;
	if (f->magic && magic != f->magic)
		return session_fail(s, -EBADMSG, "image %s: starts with 0x%x, not 0x%x", img.name,
				    magic, f->magic);
	while (image_left(&img) > 0) {
		struct nlmsghdr h, *m;
		size_t len;

		r = image_read_raw(&img, &h, sizeof(h));
		if (r < 0)
			return r;
		if (h.nlmsg_len < sizeof(h) + f->head || h.nlmsg_len > RTNL_MSG_MAX ||
		    h.nlmsg_type != f->new)
			return session_fail(s, -EBADMSG, "image %s: message %zu: type %u, %u bytes: "
					    "damaged file", img.name, l->n, h.nlmsg_type,
					    h.nlmsg_len);
		len = NLMSG_ALIGN(h.nlmsg_len);
		m = xalloc(len);
		memcpy(m, &h, sizeof(h));
		*vec_add(l) = m;
		r = image_read_raw(&img, m + 1, len - sizeof(h));
		if (r < 0)
			return r;
	}
	return 0;
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

static void nexthop_clean(struct nlmsghdr *h)
{
	struct nhmsg *m = mnl_nlmsg_get_payload(h);

	m->nh_scope = 0;
	m->resvd = 0;
	m->nh_flags &= RTNH_F_ONLINK;
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
static int mdb_send(struct rtnl *n, const struct nlmsghdr *h)
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

static int raw_send(struct rtnl *n, const struct raw_file *f, struct nlmsghdr *h)
{
	int r;

	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE;
	if (f->new == RTM_NEWROUTE) {
		route_clean(h);
		if (f->family == AF_INET)
			h->nlmsg_flags |= NLM_F_APPEND; /* several of one prefix keep their order */
	} else if (f->new == RTM_NEWNEXTHOP) {
		nexthop_clean(h);
	} else if (f->new == RTM_NEWNEIGH && f->family == AF_BRIDGE) {
		fdb_clean(h);
		h->nlmsg_flags |= NLM_F_APPEND; /* further remotes of one address */
	} else if (f->new == RTM_NEWMDB) {
		return mdb_send(n, h);
	} else if (f->new == RTM_NEWNEIGH || f->new == RTM_NEWADDR) {
		h->nlmsg_flags |= NLM_F_REPLACE;
	}
	r = rtnl_talk(n, h, NULL, NULL);
	return r == -EEXIST ? 0 : r;
}

/*
 * raw_replay - send the messages; those that fail wait for a later round, as a route may need one
 * that stands behind it
 */
static int raw_replay(struct session *s, struct rtnl *n, struct raw_list *l, uint32_t id)
{
	size_t left = l->n, before;
	char why[sizeof(n->why)] = "";
	int r = 0;

	do {
		size_t keep = 0;

		before = left;
		for (size_t i = 0; i < left; i++) {
			struct nlmsghdr *h = l->v[i];
			int e = raw_send(n, l->f, h);

			l->v[i] = l->v[keep];
			l->v[keep] = h;
			if (e == 0)
				continue;
			keep++;
			r = e;
			memcpy(why, n->why, sizeof(why));
		}
		left = keep;
	} while (left && left < before);
	if (!left)
		return 0;
	return session_fail(s, r, "netns %u: %s: %zu of %zu entries cannot be set%s", id, l->f->name,
			    left, l->n, why);
}

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
	static const uint16_t t[] = { NDA_LLADDR, NDA_VLAN, NDA_DST, NDA_VNI, NDA_PORT };
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

		if (f->new == RTM_NEWROUTE && m->rtm_protocol != RTPROT_KERNEL)
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

/* Rules have no identity: the fresh ones go first. */
static int rules_flush(struct session *s, struct rtnl *n, const struct raw_file *f, uint32_t id)
{
	own_raw struct raw_list have = { 0 };
	int r = raw_list_get(n, f, &have);

	for (size_t i = 0; i < have.n && r == 0; i++) {
		have.v[i]->nlmsg_type = f->del;
		have.v[i]->nlmsg_flags = NLM_F_REQUEST;
		r = rtnl_talk(n, have.v[i], NULL, NULL);
	}
	return r < 0 ? session_fail(s, r, "netns %u: remove the rules of a fresh namespace%s", id,
				    n->why)
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

/* --address-map: addresses of devices, preferred sources of routes, rules of one address. */
static int raw_map(struct session *s, struct raw_list *l)
{
	static const uint16_t addr[] = { IFA_LOCAL, IFA_ADDRESS, 0 }, route[] = { RTA_PREFSRC, 0 }, rule[] = { FRA_SRC, 0 };
	const uint16_t *t = l->f->new == RTM_NEWADDR ? addr : l->f->new == RTM_NEWROUTE ? route :
			    l->f->new == RTM_NEWRULE ? rule : NULL;
	int r = 0;

	for (size_t i = 0; t && s->opts->n_address_map && r == 0 && i < l->n; i++)
		for (const uint16_t *a = t; *a && r == 0; a++) {
			const struct nlattr *at = attr_find(l->v[i], l->f->head, *a);
			size_t len = at ? mnl_attr_get_payload_len(at) : 0;
			bool there;

			if (len == 4 || len == 16)
				r = inet_map_words(s, mnl_attr_get_payload(at), len / 4, &there);
		}
	return r;
}

/* Policies are listed the newest first. */
static void raw_reverse(struct raw_list *l)
{
	for (size_t i = 0, j = l->n; i + 1 < j; i++) {
		struct nlmsghdr *h = l->v[i];

		l->v[i] = l->v[--j];
		l->v[j] = h;
	}
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
	if (f->new == RTM_NEWRULE && (r = rules_flush(s, n, f, id)) < 0)
		return r;
	r = raw_map(s, &l);
	if (r < 0)
		return r;
	if (f->new == RTM_NEWADDR)
		addr_order(&l);
	if (f == &xfrm_file)
		raw_reverse(&l);
	r = f->beside ? raw_rest(s, n, &l, id) : raw_replay(s, n, &l, id);
	if (r == 0 && (f->new == RTM_NEWADDR || f->new == RTM_NEWROUTE))
		r = raw_prune(s, n, &l, id);
	session_debug(s, "netns %u: %zu %s", id, l.n, f->name);
	return r;
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

/* 1: the kernel was built without */
static int bus_open(struct session *s, struct rtnl *n, int bus, uint32_t id)
{
	int r = rtnl_open_bus(n, bus);

	if (r == -EPROTONOSUPPORT)
		return 1;
	return r < 0 ? session_fail(s, r, "netns %u: open netlink %d", id, bus) : 0;
}

static int track_open(struct session *s, struct rtnl *n, uint32_t id)
{
	return bus_open(s, n, NETLINK_NETFILTER, id);
}

/* Known to have keys, not an answer to be waited for. */
static int state_count(const struct nlmsghdr *h, void *arg)
{
	const struct xfrm_usersa_info *i = h ? mnl_nlmsg_get_payload(h) : NULL;

	if (!h)
		*(unsigned *)arg = 0;
	else if (h->nlmsg_type == XFRM_MSG_NEWSA && mnl_nlmsg_get_payload_len(h) >= sizeof(*i))
		*(unsigned *)arg += i->id.spi != 0;
	return 0;
}

int xfrm_check(struct session *s, uint32_t id)
{
	own_rtnl struct rtnl n = { 0 };
	unsigned states = 0;
	int r = bus_open(s, &n, NETLINK_XFRM, id);

	if (r != 0)
		return r < 0 ? r : 0;
	r = rtnl_list(&n, XFRM_MSG_GETSA, AF_UNSPEC, sizeof(struct xfrm_usersa_info), state_count, &states);
	if (r < 0 && r != -EOPNOTSUPP)
		return session_fail(s, r, "netns %u: list IPsec states%s", id, n.why);
	return states ? session_fail(s, -ENOTSUP,
				     "network namespace %u: has %u IPsec states (`ip xfrm state`), whose keys and sequence numbers are not kept; end the IPsec daemon first, or use --empty-ns net",
				     id, states)
		      : 0;
}

int xfrm_dump(struct session *s, uint32_t id)
{
	own_rtnl struct rtnl n = { 0 };
	int r = bus_open(s, &n, NETLINK_XFRM, id);

	if (r == 0)
		r = raw_dump(s, &n, &xfrm_file, id);
	return r < 0 ? r : 0;
}

int xfrm_restore(struct session *s, uint32_t id)
{
	own_rtnl struct rtnl n = { 0 };
	int r = bus_open(s, &n, NETLINK_XFRM, id);

	if (r == 0)
		r = raw_restore(s, &n, &xfrm_file, id);
	return r < 0 ? r : 0;
}

int track_files_dump(struct session *s, uint32_t id)
{
	own_rtnl struct rtnl n = { 0 };
	int r = track_open(s, &n, id);

	for (size_t i = 0; i < ARRAY_SIZE(track_files) && r == 0; i++)
		r = raw_dump(s, &n, &track_files[i], id);
	return r < 0 ? r : 0;
}

/* One that is not taken is found again by its next packet, or refused by the rules: reported. */
static int track_restore(struct session *s, struct rtnl *n, const struct raw_file *f, uint32_t id)
{
	own_raw struct raw_list l = { 0 };
	int r = raw_read(s, f, id, &l), bad;
	size_t lost = 0;

	for (size_t i = 0; i < l.n && r == 0; i++) {
		bad = raw_send(n, f, l.v[i]);
		if (bad < 0 && !lost++)
			session_warn(s, "netns %u: %s: an entry cannot be set: %s%s", id, f->name,
				     strerror(-bad), n->why);
	}
	if (lost > 1)
		session_warn(s, "netns %u: %s: %zu entries cannot be set", id, f->name, lost);
	return r < 0 ? r : 0;
}

int track_files_restore(struct session *s, uint32_t id)
{
	own_rtnl struct rtnl n = { 0 };
	int r = track_open(s, &n, id);

	for (size_t i = 0; i < ARRAY_SIZE(track_files) && r == 0; i++)
		r = track_restore(s, &n, &track_files[i], id);
	return r < 0 ? r : 0;
}
