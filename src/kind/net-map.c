// SPDX-License-Identifier: Apache-2.0
/*
 * net-map: see net-map.h.
 *
 * Kept:   mapped are addresses of devices, sources, gateways and hosts of routes and rules, neighbours, remotes of
 *         vxlan and sit, rules and sets of nftables, iptables-legacy and ipset, tracked connections, IPsec, MPTCP.
 * Lost:   ranges, networks, matches of iptables by range, what a program or file (/etc/hosts) remembers: as they were.
 * Kernel: the attributes of rtnetlink(7), ctnetlink, ipset, xfrm.
 */
#include "kind/net-map.h"

#include "base/res.h"
#include "kind/inet-map.h"

#include <arpa/inet.h>
#include <linux/fib_rules.h>
#include <linux/fou.h>
#include <linux/genetlink.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/mptcp.h>
#include <linux/neighbour.h>
#include <linux/netfilter/ipset/ip_set.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netfilter/x_tables.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <linux/nexthop.h>
#include <linux/xfrm.h>
#include <string.h>

/* ---- one address ---- */

/* IPv4 or IPv6, by its size; anything else stays. */
static int map_bytes(struct session *s, void *at, size_t len)
{
	uint32_t words[4];
	bool there = false;
	int r;

	if (len != 4 && len != 16)
		return 0;
	memcpy(words, at, len);
	r = inet_map_words(s, words, len / 4, &there);
	if (there)
		memcpy(at, words, len);
	return r;
}

static int map_attr(struct session *s, const struct nlattr *a)
{
	return a ? map_bytes(s, mnl_attr_get_payload(a), mnl_attr_get_payload_len(a)) : 0;
}

static int map_attrs(struct session *s, const struct nlmsghdr *h, size_t head, const uint16_t *types, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = map_attr(s, attr_find(h, head, types[i]));
	return r;
}

static int map_nested(struct session *s, const struct nlattr *in, const uint16_t *types, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = map_attr(s, attr_nested(in, types[i]));
	return r;
}

static size_t family_len(int family)
{
	return family == AF_INET ? 4 : family == AF_INET6 ? 16 : 0;
}

/* An address with the length of a prefix: only a host's. */
static int map_host(struct session *s, const struct nlattr *a, unsigned bits)
{
	return a && bits == mnl_attr_get_payload_len(a) * 8 ? map_attr(s, a) : 0;
}

/* ---- rtnetlink ---- */

int map_addr(struct session *s, struct nlmsghdr *h)
{
	static const uint16_t types[] = { IFA_LOCAL, IFA_ADDRESS };
	const struct ifaddrmsg *m = mnl_nlmsg_get_payload(h);
	const struct nlattr *local = attr_find(h, sizeof(*m), IFA_LOCAL), *all = attr_find(h, sizeof(*m), IFA_BROADCAST);
	uint32_t was = attr_u32(local, 0), mask = m->ifa_prefixlen && m->ifa_prefixlen < 32 ? htonl(~0u << (32 - m->ifa_prefixlen)) : ~0u;
	uint32_t now;
	int r = map_attrs(s, h, sizeof(*m), types, ARRAY_SIZE(types));

	if (r < 0 || m->ifa_family != AF_INET || !all || mnl_attr_get_payload_len(all) != sizeof(was) || attr_u32(all, 0) != (was | ~mask))
		return r;
	now = attr_u32(local, 0) | ~mask;
	memcpy(mnl_attr_get_payload(all), &now, sizeof(now));
	return 0;
}

int map_neigh(struct session *s, struct nlmsghdr *h)
{
	return map_attr(s, attr_find(h, sizeof(struct ndmsg), NDA_DST));
}

int map_nexthop(struct session *s, struct nlmsghdr *h)
{
	return map_attr(s, attr_find(h, sizeof(struct nhmsg), NHA_GATEWAY));
}

static int map_via(struct session *s, const struct nlattr *a)
{
	struct rtvia *via = a && mnl_attr_get_payload_len(a) >= sizeof(*via) ? mnl_attr_get_payload(a) : NULL;

	return via ? map_bytes(s, via->rtvia_addr, mnl_attr_get_payload_len(a) - sizeof(*via)) : 0;
}

static int map_multipath(struct session *s, const struct nlattr *a)
{
	size_t left = a ? mnl_attr_get_payload_len(a) : 0;
	struct rtnexthop *nh = a ? mnl_attr_get_payload(a) : NULL;
	int r = 0;

	while (r == 0 && left >= sizeof(*nh) && nh->rtnh_len >= sizeof(*nh) && nh->rtnh_len <= left) {
		size_t step = RTNH_ALIGN(nh->rtnh_len), in = nh->rtnh_len - sizeof(*nh);

		r = map_attr(s, attr_in(nh + 1, in, RTA_GATEWAY));
		if (r == 0)
			r = map_via(s, attr_in(nh + 1, in, RTA_VIA));
		if (step >= left)
			break;
		left -= step;
		nh = (void *)((char *)nh + step);
	}
	return r;
}

int map_route(struct session *s, struct nlmsghdr *h)
{
	static const uint16_t types[] = { RTA_PREFSRC, RTA_GATEWAY };
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);
	int r = map_attrs(s, h, sizeof(*m), types, ARRAY_SIZE(types));

	if (r == 0)
		r = map_host(s, attr_find(h, sizeof(*m), RTA_DST), m->rtm_dst_len);
	if (r == 0)
		r = map_host(s, attr_find(h, sizeof(*m), RTA_SRC), m->rtm_src_len);
	if (r == 0)
		r = map_via(s, attr_find(h, sizeof(*m), RTA_VIA));
	return r < 0 ? r : map_multipath(s, attr_find(h, sizeof(*m), RTA_MULTIPATH));
}

static bool of_kernel(struct session *s, const struct nlmsghdr *h, bool old)
{
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);
	const struct nlattr *dst = attr_find(h, sizeof(*m), RTA_DST);
	uint32_t words[4] = { 0 };
	size_t len = dst ? mnl_attr_get_payload_len(dst) : 0;

	if (h->nlmsg_type != RTM_NEWROUTE || m->rtm_protocol != RTPROT_KERNEL || !len || len != family_len(m->rtm_family))
		return false;
	memcpy(words, mnl_attr_get_payload(dst), len);
	return inet_map_moves(s, words, len / 4, m->rtm_dst_len, old);
}

bool map_route_of_kernel(struct session *s, const struct nlmsghdr *h)
{
	return of_kernel(s, h, true);
}

bool map_route_made(struct session *s, const struct nlmsghdr *h)
{
	return of_kernel(s, h, false);
}

int map_rule(struct session *s, struct nlmsghdr *h)
{
	const struct fib_rule_hdr *m = mnl_nlmsg_get_payload(h);
	int r = map_host(s, attr_find(h, sizeof(*m), FRA_SRC), m->src_len);

	return r < 0 ? r : map_host(s, attr_find(h, sizeof(*m), FRA_DST), m->dst_len);
}

/* ---- tracked connections ---- */

static const uint16_t tuple_addrs[] = { CTA_IP_V4_SRC, CTA_IP_V4_DST, CTA_IP_V6_SRC, CTA_IP_V6_DST };

static int map_tuple(struct session *s, const struct nlattr *tuple)
{
	return map_nested(s, attr_nested(tuple, CTA_TUPLE_IP), tuple_addrs, ARRAY_SIZE(tuple_addrs));
}

/* One of the connection's ends is a socket that keeps the old address. */
static bool tuple_kept(struct session *s, const struct nlattr *tuple)
{
	const struct nlattr *ip = attr_nested(tuple, CTA_TUPLE_IP), *proto = attr_nested(tuple, CTA_TUPLE_PROTO);

	for (size_t i = 0; i < ARRAY_SIZE(tuple_addrs); i++) {
		const struct nlattr *a = attr_nested(ip, tuple_addrs[i]);
		const struct nlattr *port = attr_nested(proto, i % 2 ? CTA_PROTO_DST_PORT : CTA_PROTO_SRC_PORT);
		uint32_t words[4] = { 0 };
		size_t len = a ? mnl_attr_get_payload_len(a) : 0;

		if (!len || len > sizeof(words) || !port || mnl_attr_get_payload_len(port) < 2)
			continue;
		memcpy(words, mnl_attr_get_payload(a), len);
		if (inet_map_kept(s, words, len / 4, ntohs(mnl_attr_get_u16(port))))
			return true;
	}
	return false;
}

int map_track(struct session *s, struct nlmsghdr *h)
{
	const struct nlattr *there = attr_find(h, sizeof(struct nfgenmsg), CTA_TUPLE_ORIG);
	const struct nlattr *back = attr_find(h, sizeof(struct nfgenmsg), CTA_TUPLE_REPLY);
	int r;

	if (tuple_kept(s, there) || tuple_kept(s, back))
		return 0;
	r = map_tuple(s, there);
	return r < 0 ? r : map_tuple(s, back);
}

int map_expect(struct session *s, struct nlmsghdr *h)
{
	int r = map_tuple(s, attr_find(h, sizeof(struct nfgenmsg), CTA_EXPECT_MASTER));

	if (r == 0)
		r = map_tuple(s, attr_find(h, sizeof(struct nfgenmsg), CTA_EXPECT_TUPLE));
	return r < 0 ? r : map_tuple(s, attr_nested(attr_find(h, sizeof(struct nfgenmsg), CTA_EXPECT_NAT), CTA_EXPECT_NAT_TUPLE));
}

/* ---- sets ---- */

static int map_member(struct session *s, const struct nlattr *data, uint16_t addr, uint16_t prefix)
{
	static const uint16_t types[] = { IPSET_ATTR_IPADDR_IPV4, IPSET_ATTR_IPADDR_IPV6 };
	const struct nlattr *a = attr_nested(data, addr), *bits = attr_nested(data, prefix);
	bool host = !bits || !mnl_attr_get_payload_len(bits) || mnl_attr_get_u8(bits) >= (attr_nested(a, types[1]) ? 128 : 32);

	return host ? map_nested(s, a, types, ARRAY_SIZE(types)) : 0;
}

int map_ipset(struct session *s, struct nlmsghdr *h)
{
	const struct nlattr *all = attr_find(h, sizeof(struct nfgenmsg), IPSET_ATTR_ADT), *data;
	int r = 0;

	if (!all)
		return 0;
	mnl_attr_for_each_nested(data, all) {
		if (attr_nested(data, IPSET_ATTR_IP_TO))
			continue;
		if (r == 0)
			r = map_member(s, data, IPSET_ATTR_IP, IPSET_ATTR_CIDR);
		if (r == 0)
			r = map_member(s, data, IPSET_ATTR_IP2, IPSET_ATTR_CIDR2);
	}
	return r;
}

/* ---- IPsec ---- */

static int map_selector(struct session *s, struct xfrm_selector *sel)
{
	size_t len = family_len(sel->family);
	int r = sel->prefixlen_s == len * 8 ? map_bytes(s, &sel->saddr, len) : 0;

	return r < 0 || sel->prefixlen_d != len * 8 ? r : map_bytes(s, &sel->daddr, len);
}

int map_xfrm_state(struct session *s, struct nlmsghdr *h)
{
	struct xfrm_usersa_info *i = mnl_nlmsg_get_payload(h);
	size_t len = family_len(i->family);
	int r = map_bytes(s, &i->id.daddr, len);

	if (r == 0)
		r = map_bytes(s, &i->saddr, len);
	return r < 0 ? r : map_selector(s, &i->sel);
}

int map_xfrm_policy(struct session *s, struct nlmsghdr *h)
{
	struct xfrm_userpolicy_info *p = mnl_nlmsg_get_payload(h);
	const struct nlattr *all = attr_find(h, sizeof(*p), XFRMA_TMPL);
	size_t n = all ? mnl_attr_get_payload_len(all) / sizeof(struct xfrm_user_tmpl) : 0;
	struct xfrm_user_tmpl *t = all ? mnl_attr_get_payload(all) : NULL;
	int r = map_selector(s, &p->sel);

	for (size_t i = 0; i < n && r == 0; i++) {
		r = map_bytes(s, &t[i].id.daddr, family_len(t[i].family));
		if (r == 0)
			r = map_bytes(s, &t[i].saddr, family_len(t[i].family));
	}
	return r;
}

/* ---- generic netlink ---- */

/* Endpoints of MPTCP in a nest, sources of segment routing, ends of FOU: whatever has the size of an address. */
int map_generic(struct session *s, struct nlmsghdr *h)
{
	static const uint16_t endpoint[] = { MPTCP_PM_ADDR_ATTR_ADDR4, MPTCP_PM_ADDR_ATTR_ADDR6 };
	const struct nlattr *a;
	int r = 0;

	mnl_attr_for_each(a, h, GENL_HDRLEN)
		if (r == 0)
			r = a->nla_type & NLA_F_NESTED ? map_nested(s, a, endpoint, ARRAY_SIZE(endpoint)) : map_attr(s, a);
	return r;
}

/* ---- devices ---- */

int map_link(struct session *s, NetDeviceEntry *e)
{
	static const uint16_t vxlan[] = { IFLA_VXLAN_GROUP, IFLA_VXLAN_GROUP6, IFLA_VXLAN_LOCAL, IFLA_VXLAN_LOCAL6 };
	int r = 0;

	for (size_t i = 0; e->has_info && e->kind && !strcmp(e->kind, "vxlan") && i < ARRAY_SIZE(vxlan) && r == 0; i++)
		r = map_attr(s, attr_in(e->info.data, e->info.len, vxlan[i]));
	if (e->sit && r == 0)
		r = map_bytes(s, e->sit->local, e->sit->n_local * 4);
	if (e->sit && r == 0)
		r = map_bytes(s, e->sit->remote, e->sit->n_remote * 4);
	return r;
}

/* ---- rules of iptables-legacy ---- */

static int map_masked(struct session *s, void *addr, const void *mask, size_t len)
{
	const unsigned char *m = mask;

	for (size_t i = 0; i < len; i++)
		if (m[i] != 0xff)
			return 0;
	return map_bytes(s, addr, len);
}

/* Of SNAT and DNAT: one address, as the least and the greatest of a range. */
static int map_nat(struct session *s, size_t len, struct xt_entry_target *t, size_t size)
{
	size_t min = t->u.user.revision ? 4 : 8, max = t->u.user.revision ? 20 : 12;
	unsigned char *data = t->data;
	int r;

	if ((strcmp(t->u.user.name, "SNAT") && strcmp(t->u.user.name, "DNAT")) || size < sizeof(*t) + max + len ||
	    memcmp(data + min, data + max, len))
		return 0;
	r = map_bytes(s, data + min, len);
	return r < 0 ? r : map_bytes(s, data + max, len);
}

int map_legacy(struct session *s, int family, void *entry, struct xt_entry_target *target, size_t size)
{
	size_t len = family_len(family);
	struct ipt_ip *four = entry;
	struct ip6t_ip6 *six = entry;
	int r = family == AF_INET ? map_masked(s, &four->src, &four->smsk, len) : map_masked(s, &six->src, &six->smsk, len);

	if (r == 0)
		r = family == AF_INET ? map_masked(s, &four->dst, &four->dmsk, len) : map_masked(s, &six->dst, &six->dmsk, len);
	return r < 0 || size < sizeof(*target) || !memchr(target->u.user.name, 0, sizeof(target->u.user.name)) ? r : map_nat(s, len, target, size);
}

/* ---- text of nftables ---- */

#define WORD "0123456789abcdefABCDEF.:"

/* The new address for a word, in ret; false: it stays. */
static int word_map(struct session *s, const char *word, size_t n, char *ret, bool *mapped)
{
	char old[INET6_ADDRSTRLEN];
	uint32_t words[4] = { 0 };
	int family = memchr(word, ':', n) ? AF_INET6 : AF_INET, r;

	*mapped = false;
	if (n >= sizeof(old))
		return 0;
	memcpy(old, word, n);
	old[n] = 0;
	if (inet_pton(family, old, words) != 1)
		return 0;
	r = inet_map_words(s, words, family_len(family) / 4, mapped);
	if (*mapped)
		inet_ntop(family, words, ret, INET6_ADDRSTRLEN);
	return r;
}

/* Of a word with a port (10.0.0.1:80): the address. */
static size_t word_len(const char *p)
{
	size_t n = strspn(p, WORD);
	const char *colon = memchr(p, ':', n);

	return colon && memchr(p, '.', colon - p) ? (size_t)(colon - p) : n;
}

/* Part of a network, a range, a name or a number? */
static bool stands_alone(const char *text, const char *word, size_t n)
{
	char before = word > text ? word[-1] : ' ', after = word[n];

	return strchr(" \t\n{[,(", before) && (strchr(" \t\n},;])", after) || after == ':');
}

int map_text(struct session *s, char **text)
{
	size_t len = strlen(*text), room = 2 * len + 1;
	char *to = xalloc(room), *out = to;
	const char *p = *text;
	bool quoted = false;
	int r = 0;

	while (*p && r == 0) {
		size_t n = quoted ? 0 : word_len(p);
		char word[INET6_ADDRSTRLEN];
		bool mapped = false;

		if (n && stands_alone(*text, p, n))
			r = word_map(s, p, n, word, &mapped);
		if (*p == '"')
			quoted = !quoted;
		else if (*p == '\n')
			quoted = false;
		n = n ? n : 1;
		if ((size_t)(out - to) + n + sizeof(word) + (len - (p - *text)) >= room) {
			size_t used = out - to;

			room *= 2;
			to = xgrow(to, room);
			out = to + used;
		}
		memcpy(out, mapped ? word : p, mapped ? strlen(word) : n);
		out += mapped ? strlen(word) : n;
		p += n;
	}
	*out = 0;
	free(*text);
	*text = to;
	return r;
}
