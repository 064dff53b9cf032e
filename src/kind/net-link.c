// SPDX-License-Identifier: Apache-2.0
/*
 * net-link: describing the links of a network namespace.
 *
 * Kept:   lo, veth, bridge, macvlan, tun, sit, dummy, ifb, vlan, vrf, ipvlan, nlmon, vcan: index, name,
 *         address, MTU, flags, master, queue length, alias, alternative names, group, options of
 *         bridges and their ports, switches of /proc/sys/net/ipv[46]/conf.
 * Lost:   XDP programs, options of single VLANs of bridges: reported. A link of another kind: refused.
 * Kernel: net/core/rtnetlink.c, rtnl_fill_ifinfo().
 */
#include "kind/net-link.h"

#include "base/list.h"
#include "base/text.h"
#include "image/record.h"
#include "kind/net-map.h"
#include "kind/net-nsid.h"
#include "kind/net-sysctl.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/if_arp.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/if_tunnel.h>
#include <linux/sched.h>
#include <string.h>

#define LINKS_MAX 65536
#define KIND_MAX 64 /* bytes of a kind's name; the kernel's limit is 56 */
#define HEAD sizeof(struct ifinfomsg)
#define BOOLOPT_MST 2 /* newer than our headers */

struct link_kind {
	const char *kind;
	NdType type;
};
static const struct link_kind kinds[] = {
	{ "veth", ND_TYPE__VETH },     { "bridge", ND_TYPE__BRIDGE }, { "macvlan", ND_TYPE__MACVLAN },
	{ "tun", ND_TYPE__TUN },       { "sit", ND_TYPE__SIT },	      { "dummy", ND_TYPE__EXTLINK },
	{ "ifb", ND_TYPE__EXTLINK },   { "vlan", ND_TYPE__EXTLINK },  { "vrf", ND_TYPE__EXTLINK },
	{ "ipvlan", ND_TYPE__EXTLINK }, { "nlmon", ND_TYPE__EXTLINK }, { "vcan", ND_TYPE__EXTLINK },
	{ "vxlan", ND_TYPE__EXTLINK },
};

/* Made by the kernel in every namespace once their module is there. */
static const char *const by_themselves[] = { "tunl0",	"gre0",	   "gretap0", "erspan0", "ip_vti0",
					     "ip6_vti0", "sit0",   "ip6tnl0", "ip6gre0" };

struct link_msgs {
	struct nlmsghdr **v;
	size_t n, max;
};

static void link_msgs_free(struct link_msgs *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i]);
	free(l->v);
}
#define own_msgs __attribute__((cleanup(link_msgs_free)))

void net_links_free(struct net_links *l)
{
	for (size_t i = 0; i < l->n; i++)
		net_device_entry__free_unpacked(l->v[i], NULL);
	free(l->v);
	l->v = NULL;
	l->n = l->max = 0;
}

bool net_link_name_ok(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n < IF_NAMESIZE && !strchr(name, '/') && strcmp(name, ".") &&
	       strcmp(name, "..");
}

uint32_t net_link_flags(void)
{
	return IFF_UP | IFF_DEBUG | IFF_NOTRAILERS | IFF_NOARP | IFF_DYNAMIC | IFF_MULTICAST |
	       IFF_PORTSEL | IFF_AUTOMEDIA | IFF_PROMISC | IFF_ALLMULTI;
}

static int link_take(const struct nlmsghdr *h, void *arg)
{
	struct link_msgs *l = arg;

	if (!h) {
		for (size_t i = 0; i < l->n; i++)
			free(l->v[i]);
		l->n = 0;
	} else if (h->nlmsg_type == RTM_NEWLINK && mnl_nlmsg_get_payload_len(h) >= HEAD) {
		if (l->n == LINKS_MAX)
			return -EFBIG;
		*vec_add(l) = xmemdup(h, h->nlmsg_len);
	}
	return 0;
}

static const char *attr_text(const struct nlattr *a, const char *def)
{
	size_t n = a ? mnl_attr_get_payload_len(a) : 0;

	return n && memchr(mnl_attr_get_payload(a), 0, n) ? mnl_attr_get_payload(a) : def;
}

static const char *link_name(const struct nlmsghdr *h)
{
	return attr_text(attr_find(h, HEAD, IFLA_IFNAME), "?");
}

static const char *link_kind(const struct nlmsghdr *h)
{
	return attr_text(attr_nested(attr_find(h, HEAD, IFLA_LINKINFO), IFLA_INFO_KIND), "");
}

static bool link_by_itself(const struct nlmsghdr *h)
{
	for (size_t i = 0; *link_kind(h) && i < ARRAY_SIZE(by_themselves); i++)
		if (!strcmp(link_name(h), by_themselves[i]))
			return true;
	return false;
}

/* The type on the wire; 0 if the link cannot be kept. */
static int link_type(struct session *s, const struct nlmsghdr *h)
{
	const struct ifinfomsg *m = mnl_nlmsg_get_payload(h);

	if (m->ifi_type == ARPHRD_LOOPBACK)
		return ND_TYPE__LOOPBACK;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(link_kind(h), kinds[i].kind))
			return kinds[i].type;
	return external_find(s, "netdev", link_name(h)) ? ND_TYPE__EXTLINK : 0;
}

static int link_refuse(struct session *s, const struct nlmsghdr *h)
{
	const char *name = link_name(h), *kind = link_kind(h);

	session_warn(s, "obstacle: network link %s (%s): devices of this kind cannot be made again", name,
		     *kind ? kind : "hardware");
	return session_fail(s, -ENOTSUP,
			    "network link %s (%s): devices of this kind cannot be made again; have one ready at restore and give --external netdev[%s] now, netdev[%s]:DEVICE then, or use --empty-ns net",
			    name, *kind ? kind : "hardware", name, name);
}

int net_links_check(struct session *s, struct rtnl *n)
{
	own_msgs struct link_msgs l = { 0 };
	int r = rtnl_list(n, RTM_GETLINK, AF_UNSPEC, HEAD, link_take, &l), bad = 0;

	if (r < 0)
		return session_fail(s, r, "network links: list%s", n->why);
	for (size_t i = 0; i < l.n; i++)
		if (!link_by_itself(l.v[i]) && !link_type(s, l.v[i])) {
			r = link_refuse(s, l.v[i]);
			bad = bad < 0 ? bad : r;
		}
	return bad;
}

/* ---- peers in other namespaces ---- */

/* Image id of the network namespace that the current one calls nsid; 0 unknown. */
static uint32_t ns_by_nsid(struct session *s, struct rtnl *n, int nsid)
{
	for (uint32_t id = 1; id < 4096; id++) {
		const struct ns *o = ns_find(s, id);

		if (o && o->kind && o->kind->flag == CLONE_NEWNET && o->fd >= 0 &&
		    nsid_of(n, o->fd) == nsid)
			return id;
	}
	return 0;
}

/* ---- one link ---- */

static void bytes_put(const struct nlattr *a, ProtobufCBinaryData *d, protobuf_c_boolean *has)
{
	if (!a || !mnl_attr_get_payload_len(a))
		return;
	*has = true;
	d->len = mnl_attr_get_payload_len(a);
	d->data = xmemdup(mnl_attr_get_payload(a), d->len);
}

static void tun_put(NetDeviceEntry *e, const struct nlattr *data)
{
	TunLinkEntry *t = e->tun = xalloc(sizeof(*t));
	const struct nlattr *a;

	tun_link_entry__init(t);
	t->owner = (int32_t)attr_u32(attr_nested(data, IFLA_TUN_OWNER), -1);
	t->group = (int32_t)attr_u32(attr_nested(data, IFLA_TUN_GROUP), -1);
	t->vnethdr = 10;     /* bytes; sizeof(struct virtio_net_hdr), the kernel's default */
	t->sndbuf = INT_MAX; /* bytes; likewise. Both show only at an open descriptor: kind/fd/tun */
	a = attr_nested(data, IFLA_TUN_TYPE);
	t->flags = a && mnl_attr_get_payload_len(a) ? mnl_attr_get_u8(a) : IFF_TUN;
	static const struct {
		uint16_t attr;
		bool inverse;
		uint32_t flag;
	} bits[] = {
		{ IFLA_TUN_PI, true, IFF_NO_PI },
		{ IFLA_TUN_VNET_HDR, false, IFF_VNET_HDR },
		{ IFLA_TUN_PERSIST, false, IFF_PERSIST },
		{ IFLA_TUN_MULTI_QUEUE, false, IFF_MULTI_QUEUE },
	};
	for (size_t i = 0; i < ARRAY_SIZE(bits); i++) {
		a = attr_nested(data, bits[i].attr);
		if ((a && mnl_attr_get_payload_len(a) && mnl_attr_get_u8(a)) != bits[i].inverse)
			t->flags |= bits[i].flag;
	}
}

static void macvlan_put(NetDeviceEntry *e, const struct nlattr *data)
{
	const struct nlattr *a = attr_nested(data, IFLA_MACVLAN_FLAGS);

	e->macvlan = xalloc(sizeof(*e->macvlan));
	macvlan_link_entry__init(e->macvlan);
	e->macvlan->mode = attr_u32(attr_nested(data, IFLA_MACVLAN_MODE), MACVLAN_MODE_BRIDGE);
	if (a && mnl_attr_get_payload_len(a) >= 2) {
		e->macvlan->has_flags = true;
		e->macvlan->flags = mnl_attr_get_u16(a);
	}
}

static void words_put(const struct nlattr *a, uint32_t **v, size_t *n)
{
	size_t len = a ? mnl_attr_get_payload_len(a) : 0;

	if (len < 4)
		return;
	*n = len / 4;
	*v = xmemdup(mnl_attr_get_payload(a), *n * 4);
}

static void number_put(const struct nlattr *a, uint32_t *v, protobuf_c_boolean *has)
{
	size_t len = a ? mnl_attr_get_payload_len(a) : 0;

	*has = len >= 1;
	*v = len >= 4 ? mnl_attr_get_u32(a) : len >= 2 ? mnl_attr_get_u16(a) :
	     len >= 1 ? mnl_attr_get_u8(a) : 0;
}

static void sit_put(NetDeviceEntry *e, const struct nlattr *d)
{
	SitEntry *t = e->sit = xalloc(sizeof(*t));
	protobuf_c_boolean on = false;
	uint32_t v;

	sit_entry__init(t);
	number_put(attr_nested(d, IFLA_IPTUN_LINK), &t->link, &t->has_link);
	words_put(attr_nested(d, IFLA_IPTUN_LOCAL), &t->local, &t->n_local);
	words_put(attr_nested(d, IFLA_IPTUN_REMOTE), &t->remote, &t->n_remote);
	number_put(attr_nested(d, IFLA_IPTUN_TTL), &t->ttl, &t->has_ttl);
	number_put(attr_nested(d, IFLA_IPTUN_TOS), &t->tos, &t->has_tos);
	number_put(attr_nested(d, IFLA_IPTUN_PMTUDISC), &v, &on);
	t->has_pmtudisc = on;
	t->pmtudisc = on && v;
	number_put(attr_nested(d, IFLA_IPTUN_PROTO), &t->proto, &t->has_proto);
	number_put(attr_nested(d, IFLA_IPTUN_FLAGS), &t->flags, &t->has_flags);
	number_put(attr_nested(d, IFLA_IPTUN_ENCAP_TYPE), &t->encap_type, &t->has_encap_type);
	number_put(attr_nested(d, IFLA_IPTUN_ENCAP_FLAGS), &t->encap_flags, &t->has_encap_flags);
	number_put(attr_nested(d, IFLA_IPTUN_ENCAP_SPORT), &t->encap_sport, &t->has_encap_sport);
	number_put(attr_nested(d, IFLA_IPTUN_ENCAP_DPORT), &t->encap_dport, &t->has_encap_dport);
	number_put(attr_nested(d, IFLA_IPTUN_6RD_PREFIXLEN), &t->rd_prefixlen, &t->has_rd_prefixlen);
	words_put(attr_nested(d, IFLA_IPTUN_6RD_PREFIX), &t->rd_prefix, &t->n_rd_prefix);
	number_put(attr_nested(d, IFLA_IPTUN_6RD_RELAY_PREFIXLEN), &t->relay_prefixlen,
		   &t->has_relay_prefixlen);
	words_put(attr_nested(d, IFLA_IPTUN_6RD_RELAY_PREFIX), &t->relay_prefix, &t->n_relay_prefix);
}

static void altnames_put(NetDeviceEntry *e, const struct nlattr *list)
{
	const struct nlattr *a;

	if (!list)
		return;
	mnl_attr_for_each_nested(a, list) {
		if ((a->nla_type & NLA_TYPE_MASK) != IFLA_ALT_IFNAME || !attr_text(a, NULL))
			continue;
		e->altnames = xgrow(e->altnames, (e->n_altnames + 1) * sizeof(*e->altnames));
		e->altnames[e->n_altnames++] = xstrdup(attr_text(a, ""));
	}
}

/* What CRIU's message has no place for. */
static void link_more(NetDeviceEntry *e, const struct nlmsghdr *h)
{
	const struct nlattr *info = attr_find(h, HEAD, IFLA_LINKINFO), *a;
	const char *alias = attr_text(attr_find(h, HEAD, IFLA_IFALIAS), NULL);

	if (e->type == ND_TYPE__EXTLINK && *link_kind(h))
		e->kind = xstrdup(link_kind(h));
	if (e->type != ND_TYPE__VETH && e->type != ND_TYPE__TUN)
		bytes_put(attr_nested(info, IFLA_INFO_DATA), &e->info, &e->has_info);
	if (!strcmp(attr_text(attr_nested(info, IFLA_INFO_SLAVE_KIND), ""), "bridge"))
		bytes_put(attr_nested(info, IFLA_INFO_SLAVE_DATA), &e->port, &e->has_port);
	if (alias)
		e->alias = xstrdup(alias);
	e->has_txqlen = true;
	e->txqlen = attr_u32(attr_find(h, HEAD, IFLA_TXQLEN), 0);
	e->group = attr_u32(attr_find(h, HEAD, IFLA_GROUP), 0);
	e->has_group = e->group != 0;
	altnames_put(e, attr_find(h, HEAD, IFLA_PROP_LIST));
	a = attr_nested(attr_nested(attr_find(h, HEAD, IFLA_AF_SPEC), AF_INET6),
			IFLA_INET6_ADDR_GEN_MODE);
	if (a && mnl_attr_get_payload_len(a)) {
		e->has_addr_gen = true;
		e->addr_gen = mnl_attr_get_u8(a);
	}
}

/* Where the other end, or the device below, is. */
static void link_peer(struct session *s, struct rtnl *n, NetDeviceEntry *e, const struct nlmsghdr *h,
		      const struct ns *ns)
{
	const struct nlattr *there = attr_find(h, HEAD, IFLA_LINK_NETNSID);
	const struct nlattr *link = attr_find(h, HEAD, IFLA_LINK);

	e->peer_ifindex = attr_u32(link, e->ifindex);
	e->has_peer_ifindex = true;
	e->peer_nsid = there ? ns_by_nsid(s, n, (int)attr_u32(there, -1)) : ns->id;
	e->has_peer_nsid = e->peer_nsid != 0;
	if (!strcmp(link_kind(h), "vxlan")) /* it tells its own way what it stands on */
		e->lower = attr_u32(attr_nested(attr_nested(attr_find(h, HEAD, IFLA_LINKINFO),
							    IFLA_INFO_DATA),
						IFLA_VXLAN_LINK), 0);
	e->has_lower = e->lower != 0;
	if (e->type != ND_TYPE__VETH && link && !there && e->peer_ifindex &&
	    e->peer_ifindex != e->ifindex) {
		e->has_lower = true;
		e->lower = e->peer_ifindex;
	}
}

static int link_conf(struct session *s, const struct net_env *env, NetDeviceEntry *e)
{
	int r = net_conf_dump(s, env->proc, NET_CONF4, e->name, &e->conf4, &e->n_conf4);

	return r < 0 ? r : net_conf_dump(s, env->proc, NET_CONF6, e->name, &e->conf6, &e->n_conf6);
}

/* What has no place in the images yet: a bridge's switches for whole VLANs. */
static void link_report(struct session *s, const NetDeviceEntry *e, const struct nlmsghdr *h)
{
	const struct nlattr *a = attr_nested(attr_nested(attr_find(h, HEAD, IFLA_LINKINFO), IFLA_INFO_DATA), IFLA_BR_MULTI_BOOLOPT);
	const struct br_boolopt_multi *m = a && mnl_attr_get_payload_len(a) >= sizeof(*m) ? mnl_attr_get_payload(a) : NULL;

	if (e->type == ND_TYPE__BRIDGE && m && m->optval & (1 << BR_BOOLOPT_MCAST_VLAN_SNOOPING | 1 << BOOLOPT_MST))
		session_warn(s, "network link %s: options of single VLANs of the bridge (multicast snooping, MST) are not kept", e->name);
}

static int link_dump(struct session *s, const struct net_env *env, struct rtnl *n,
		     const struct nlmsghdr *h, const struct ns *ns, struct image *img)
{
	const struct ifinfomsg *m = mnl_nlmsg_get_payload(h);
	const struct nlattr *data = attr_nested(attr_find(h, HEAD, IFLA_LINKINFO), IFLA_INFO_DATA);
	int type = link_type(s, h), r;
	NetDeviceEntry *e;

	if (!type)
		return link_refuse(s, h);
	e = xalloc(sizeof(*e));
	net_device_entry__init(e);
	e->type = type;
	e->ifindex = m->ifi_index;
	e->flags = m->ifi_flags;
	e->name = xstrdup(link_name(h));
	e->mtu = attr_u32(attr_find(h, HEAD, IFLA_MTU), 0);
	e->master = attr_u32(attr_find(h, HEAD, IFLA_MASTER), 0);
	e->has_master = e->master != 0;
	if (type != ND_TYPE__LOOPBACK)
		bytes_put(attr_find(h, HEAD, IFLA_ADDRESS), &e->address, &e->has_address);
	link_report(s, e, h);
	link_peer(s, n, e, h, ns);
	link_more(e, h);
	net_link_more_put(e, h);
	net_link_groups_put(s, env->proc, e);
	if (type != ND_TYPE__TUN)
		net_link_offloads_put(s, mnl_socket_get_fd(n->nl), e);
	if (type == ND_TYPE__TUN)
		tun_put(e, data);
	else if (type == ND_TYPE__MACVLAN)
		macvlan_put(e, data);
	else if (type == ND_TYPE__SIT)
		sit_put(e, data);
	r = link_conf(s, env, e);
	if (r == 0)
		r = image_write(img, &e->base);
	session_debug(s, "netns %u: link %u %s", ns->id, e->ifindex, e->name);
	net_device_entry__free_unpacked(e, NULL);
	return r;
}

int net_links_dump(struct session *s, const struct net_env *env, struct rtnl *n, const struct ns *ns)
{
	own_msgs struct link_msgs l = { 0 };
	own_image struct image img = { 0 };
	int r = rtnl_list(n, RTM_GETLINK, AF_UNSPEC, HEAD, link_take, &l);

	if (r < 0)
		return session_fail(s, r, "netns %u: list links%s", ns->id, n->why);
	r = image_create(s, &img, MAGIC_NETDEV, "netdev-%u.img", ns->id);
	for (size_t i = 0; i < l.n && r == 0; i++) {
		const struct nlattr *xdp = attr_find(l.v[i], HEAD, IFLA_XDP);

		if (link_by_itself(l.v[i]))
			continue;
		xdp = attr_nested(xdp, IFLA_XDP_ATTACHED);
		if (xdp && mnl_attr_get_payload_len(xdp) && mnl_attr_get_u8(xdp))
			session_warn(s, "network link %s: its XDP program is not kept",
				     link_name(l.v[i]));
		r = link_dump(s, env, n, l.v[i], ns, &img);
	}
	return r < 0 ? r : image_close(&img);
}

int net_links_read(struct session *s, uint32_t id, struct net_links *l)
{
	own_image struct image img = { 0 };
	ProtobufCMessage *m;
	int r = image_open(s, &img, MAGIC_NETDEV, "netdev-%u.img", id);

	if (r != 0)
		return r < 0 ? r : 0;
	while ((r = image_read(&img, &net_device_entry__descriptor, &m)) > 0) {
		NetDeviceEntry *e = (NetDeviceEntry *)m;

		*vec_add(l) = e;
		if (l->n > LINKS_MAX)
			return session_fail(s, -EBADMSG, "image %s: more than %u links", img.name,
					    LINKS_MAX);
		if (!net_link_name_ok(e->name) || !e->ifindex || e->ifindex > INT_MAX)
			return session_fail(s, -EBADMSG, "image %s: link %zu has a bad name or index",
					    img.name, l->n);
		if (e->kind && strlen(e->kind) >= KIND_MAX)
			return session_fail(s, -EBADMSG, "image %s: link %s: its kind is too long",
					    img.name, e->name);
		if ((r = s->opts->n_address_map ? map_link(s, e) : 0) < 0)
			return r;
		if (e->address.len > 32)
			return session_fail(s, -EBADMSG, "image %s: link %s: address of %zu bytes",
					    img.name, e->name, e->address.len);
	}
	return r;
}
