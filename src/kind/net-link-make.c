// SPDX-License-Identifier: Apache-2.0
/*
 * net-link-make: making the links of a network namespace anew, see net-link.h.
 *
 * Order: devices (what they stand on first), then masters, addresses and switches, then up.
 */
#include "kind/net-link.h"

#include "base/res.h"
#include "kind/net-outside.h"
#include "kind/net-sysctl.h"

#include <fcntl.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/if_tunnel.h>
#include <linux/if_vlan.h>
#include <linux/veth.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>

#define REQ_MAX 32768u
#define OUTSIDE_GONE_MS 2000
#define INFO_MAX 8192u /* bytes of IFLA_INFO_DATA we take from an image */

enum made { MADE_NOT, MADE_YES };

struct making {
	struct session *s;
	struct net_env *env;
	struct rtnl *n;
	const struct ns *ns;
	const struct net_links *l;
	unsigned char *made; /* enum made, by number */
	char *req;	     /* REQ_MAX bytes */
};

static struct nlmsghdr *link_begin(struct making *k, int flags, uint32_t index)
{
	struct ifinfomsg *m;
	struct nlmsghdr *h = rtnl_begin(k->req, RTM_NEWLINK, flags, sizeof(*m), &m);

	m->ifi_index = (int)index;
	return h;
}

static int link_failed(struct making *k, int r, const NetDeviceEntry *e, const char *verb)
{
	return session_fail(k->s, r, "netns %u: link %s: %s: %s%s", k->ns->id, e->name, verb, strerror(-r), k->n->why);
}

static const char *const type_kinds[] = {
	[ND_TYPE__VETH] = "veth",	[ND_TYPE__BRIDGE] = "bridge",
	[ND_TYPE__MACVLAN] = "macvlan", [ND_TYPE__SIT] = "sit",
};

static void put_words(struct nlmsghdr *h, uint16_t type, const uint32_t *v, size_t n)
{
	if (n && n <= 4)
		mnl_attr_put(h, type, n * 4, v);
}

static void put_sit(struct nlmsghdr *h, const SitEntry *t)
{
	if (t->has_link)
		mnl_attr_put_u32(h, IFLA_IPTUN_LINK, t->link);
	put_words(h, IFLA_IPTUN_LOCAL, t->local, t->n_local);
	put_words(h, IFLA_IPTUN_REMOTE, t->remote, t->n_remote);
	if (t->has_ttl)
		mnl_attr_put_u8(h, IFLA_IPTUN_TTL, t->ttl);
	if (t->has_tos)
		mnl_attr_put_u8(h, IFLA_IPTUN_TOS, t->tos);
	if (t->has_pmtudisc)
		mnl_attr_put_u8(h, IFLA_IPTUN_PMTUDISC, t->pmtudisc);
	if (t->has_proto)
		mnl_attr_put_u8(h, IFLA_IPTUN_PROTO, t->proto);
	if (t->has_flags)
		mnl_attr_put_u16(h, IFLA_IPTUN_FLAGS, t->flags);
	if (t->has_encap_type && t->encap_type) {
		mnl_attr_put_u16(h, IFLA_IPTUN_ENCAP_TYPE, t->encap_type);
		mnl_attr_put_u16(h, IFLA_IPTUN_ENCAP_FLAGS, t->encap_flags);
		mnl_attr_put_u16(h, IFLA_IPTUN_ENCAP_SPORT, t->encap_sport);
		mnl_attr_put_u16(h, IFLA_IPTUN_ENCAP_DPORT, t->encap_dport);
	}
	if (t->has_rd_prefixlen && t->rd_prefixlen) {
		put_words(h, IFLA_IPTUN_6RD_PREFIX, t->rd_prefix, t->n_rd_prefix);
		mnl_attr_put_u16(h, IFLA_IPTUN_6RD_PREFIXLEN, t->rd_prefixlen);
		put_words(h, IFLA_IPTUN_6RD_RELAY_PREFIX, t->relay_prefix, t->n_relay_prefix);
		mnl_attr_put_u16(h, IFLA_IPTUN_6RD_RELAY_PREFIXLEN, t->relay_prefixlen);
	}
}

/* Options of a bridge and of its ports that can be set; the others tell how they are doing. */
#define BIT(n) (1ull << (n))
#define BITS(from, to) (BIT((to) + 1) - BIT(from))

/* newer than our headers: MAB, MCAST_MAX_GROUPS, NEIGH_VLAN_SUPPRESS, BACKUP_NHID */
#define PORT_NEWER (BIT(40) | BITS(42, 44))

static const uint64_t bridge_options =
	BITS(IFLA_BR_FORWARD_DELAY, IFLA_BR_GROUP_FWD_MASK) |
	BITS(IFLA_BR_MCAST_ROUTER, IFLA_BR_MCAST_QUERIER) | BIT(IFLA_BR_MCAST_HASH_MAX) |
	BITS(IFLA_BR_MCAST_LAST_MEMBER_CNT, IFLA_BR_VLAN_DEFAULT_PVID) |
	BITS(IFLA_BR_VLAN_STATS_ENABLED, IFLA_BR_VLAN_STATS_PER_PORT) | BIT(IFLA_BR_MULTI_BOOLOPT);
static const uint64_t port_options =
	BITS(IFLA_BRPORT_PRIORITY, IFLA_BRPORT_PROXYARP) | BIT(IFLA_BRPORT_PROXYARP_WIFI) |
	BIT(IFLA_BRPORT_MULTICAST_ROUTER) | BITS(IFLA_BRPORT_MCAST_FLOOD, IFLA_BRPORT_ISOLATED) |
	BIT(IFLA_BRPORT_MCAST_EHT_HOSTS_LIMIT) | BIT(IFLA_BRPORT_LOCKED) | PORT_NEWER;

/* Of a macvlan, beside its mode and flags; 9 is IFLA_MACVLAN_BC_CUTOFF. */
static const uint64_t macvlan_options = BIT(IFLA_MACVLAN_MACADDR_DATA) | BIT(IFLA_MACVLAN_BC_QUEUE_LEN) | BIT(9);

/* Switches of a bridge: those that are on; turning off what the kernel lacks would fail. */
static void put_switches(struct nlmsghdr *h, const struct nlattr *a)
{
	struct br_boolopt_multi m;

	if (mnl_attr_get_payload_len(a) < sizeof(m))
		return;
	memcpy(&m, mnl_attr_get_payload(a), sizeof(m));
	m.optmask &= m.optval;
	if (m.optmask)
		mnl_attr_put(h, IFLA_BR_MULTI_BOOLOPT, sizeof(m), &m);
}

/* Flags of a VLAN device are told with a mask of all bits, of which only those that exist are taken. */
static void put_vlan_flags(struct nlmsghdr *h, const struct nlattr *a)
{
	struct ifla_vlan_flags f;

	if (mnl_attr_get_payload_len(a) < sizeof(f))
		return;
	memcpy(&f, mnl_attr_get_payload(a), sizeof(f));
	f.mask = VLAN_FLAG_REORDER_HDR | VLAN_FLAG_GVRP | VLAN_FLAG_LOOSE_BINDING | VLAN_FLAG_MVRP | VLAN_FLAG_BRIDGE_BINDING;
	mnl_attr_put(h, IFLA_VLAN_FLAGS, sizeof(f), &f);
}

/* One attribute as it was read from the kernel, but for those that are taken in another form. */
static void put_attr(struct nlmsghdr *h, const char *kind, const struct nlattr *a)
{
	uint16_t type = a->nla_type & NLA_TYPE_MASK;
	size_t n = mnl_attr_get_payload_len(a);
	bool on = n && mnl_attr_get_u8(a);

	if (!strcmp(kind, "bridge") && type == IFLA_BR_MULTI_BOOLOPT)
		put_switches(h, a);
	else if (!strcmp(kind, "vlan") && type == IFLA_VLAN_FLAGS)
		put_vlan_flags(h, a);
	else if (!strcmp(kind, "bridge") && type == IFLA_BR_VLAN_FILTERING && !on)
		; /* as in a new bridge; a kernel without VLANs would refuse it */
	else if (!strcmp(kind, "vxlan") && !on &&
		 (type == IFLA_VXLAN_TTL_INHERIT || type == IFLA_VXLAN_REMCSUM_TX ||
		  type == IFLA_VXLAN_REMCSUM_RX))
		; /* that they are there counts */
	else if (!strcmp(kind, "vxlan") && type == IFLA_VXLAN_TTL_INHERIT)
		mnl_attr_put(h, type, 0, NULL); /* a flag, told as a number */
	else
		mnl_attr_put(h, a->nla_type, n, mnl_attr_get_payload(a));
}

/* Attributes as they were read from the kernel, those of a set. */
static void put_attrs(struct nlmsghdr *h, const char *kind, const ProtobufCBinaryData *d,
		      uint64_t which)
{
	size_t left = d->len <= INFO_MAX ? d->len : 0, step;
	const struct nlattr *a = (const void *)d->data;

	for (; left >= sizeof(*a) && a->nla_len >= sizeof(*a) && a->nla_len <= left;
	     a = (const void *)((const char *)a + step)) {
		uint16_t type = a->nla_type & NLA_TYPE_MASK;

		if (type < 64 && which & BIT(type))
			put_attr(h, kind, a);
		step = MNL_ALIGN(a->nla_len);
		if (step >= left)
			break;
		left -= step;
	}
}

static void put_info(struct nlmsghdr *h, const NetDeviceEntry *e, uint64_t which)
{
	struct nlattr *data = mnl_attr_nest_start(h, IFLA_INFO_DATA);

	if (e->type == ND_TYPE__MACVLAN && e->macvlan) {
		mnl_attr_put_u32(h, IFLA_MACVLAN_MODE, e->macvlan->mode);
		if (e->macvlan->has_flags)
			mnl_attr_put_u16(h, IFLA_MACVLAN_FLAGS, e->macvlan->flags);
		if (e->macvlan->mode == MACVLAN_MODE_SOURCE)
			mnl_attr_put_u32(h, IFLA_MACVLAN_MACADDR_MODE, MACVLAN_MACADDR_SET);
		if (e->has_info)
			put_attrs(h, "macvlan", &e->info, macvlan_options);
	} else if (e->type == ND_TYPE__SIT && e->sit) {
		put_sit(h, e->sit);
	} else if (e->type == ND_TYPE__BRIDGE) {
		if (e->has_info)
			put_attrs(h, "bridge", &e->info, which);
	} else if (e->has_info && e->kind) {
		put_attrs(h, e->kind, &e->info, UINT64_MAX);
	}
	mnl_attr_nest_end(h, data);
}

static void put_address(struct nlmsghdr *h, const NetDeviceEntry *e)
{
	if (e->has_address && e->address.len)
		mnl_attr_put(h, IFLA_ADDRESS, e->address.len, e->address.data);
}

/* A request for a device of its own: kind, name, index, and what it stands on. */
static struct nlmsghdr *device_request(struct making *k, const NetDeviceEntry *e, uint32_t lower,
				       uint64_t options)
{
	struct nlmsghdr *h = link_begin(k, NLM_F_CREATE | NLM_F_EXCL, e->ifindex);
	const char *kind = e->type == ND_TYPE__EXTLINK ? e->kind : type_kinds[e->type];
	struct nlattr *info;

	mnl_attr_put_strz(h, IFLA_IFNAME, e->name);
	put_address(h, e);
	net_link_first(h, e);
	if (lower)
		mnl_attr_put_u32(h, IFLA_LINK, lower);
	info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_strz(h, IFLA_INFO_KIND, kind);
	put_info(h, e, options);
	mnl_attr_nest_end(h, info);
	return h;
}

/* A bridge of a kernel that has other options: made without, then each by itself. */
static int bridge_make(struct making *k, const NetDeviceEntry *e)
{
	int r = rtnl_talk(k->n, device_request(k, e, 0, 0), NULL, NULL);

	for (unsigned i = 0; i < 64 && r == 0; i++) {
		struct nlmsghdr *h;
		struct nlattr *info;
		int one;

		if (!(bridge_options & BIT(i)) || i == IFLA_BR_MULTI_BOOLOPT)
			continue;
		h = link_begin(k, 0, e->ifindex);
		info = mnl_attr_nest_start(h, IFLA_LINKINFO);
		mnl_attr_put_strz(h, IFLA_INFO_KIND, "bridge");
		put_info(h, e, BIT(i));
		mnl_attr_nest_end(h, info);
		one = rtnl_talk(k->n, h, NULL, NULL);
		if (one < 0)
			session_warn(k->s, "netns %u: bridge %s: option %u cannot be set: %s%s",
				     k->ns->id, e->name, i, strerror(-one), k->n->why);
	}
	return r;
}

static int device_make(struct making *k, const NetDeviceEntry *e)
{
	uint32_t lower = e->has_lower ? e->lower : 0;
	int r = rtnl_talk(k->n, device_request(k, e, lower, bridge_options), NULL, NULL);

	if (r < 0 && r != -EEXIST && e->type == ND_TYPE__BRIDGE)
		r = bridge_make(k, e);
	return r < 0 ? link_failed(k, r, e, "create") : 0;
}

/* ---- devices with something outside ---- */

static int own_netns(struct making *k)
{
	int fd = openat(k->env->proc, "thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? session_fail(k->s, -errno, "netns %u: open it", k->ns->id) : fd;
}

static int outside_failed(struct making *k, int r, const NetDeviceEntry *e, const char *verb)
{
	return session_fail(k->s, r, "netns %u: link %s: %s%s", k->ns->id, e->name, verb,
			    k->env->host_nl.why);
}

/* Any link may be replaced by a device that stands ready: --external netdev[NAME]:HOSTDEV */
static int device_move(struct making *k, const NetDeviceEntry *e, const char *from)
{
	own_fd int fd = own_netns(k);
	int r;

	if (fd < 0)
		return fd;
	r = outside_move(k->env, from, fd, e->name, e->ifindex);
	return r < 0 ? outside_failed(k, r, e, "move in the device of --external netdev[]") : 0;
}

/* A macvlan's lower device outside: --external macvlan[NAME]:MASTER; made there, born in here */
static int macvlan_make(struct making *k, const NetDeviceEntry *e)
{
	const char *lower = external_find(k->s, "macvlan", e->name);
	own_fd int fd = -EBADF;
	struct nlmsghdr *h;
	int index, r;

	if (!lower && e->has_lower)
		return device_make(k, e);
	if (!lower)
		return session_fail(k->s, -ENOTSUP, "netns %u: macvlan %s: its lower device is outside: "
				    "give --external macvlan[%s]:DEVICE", k->ns->id, e->name, e->name);
	index = outside_index(k->env, lower);
	if (index <= 0)
		return outside_failed(k, index ? index : -ENODEV, e, "find the macvlan's lower device");
	fd = own_netns(k);
	if (fd < 0)
		return fd;
	h = device_request(k, e, index, 0);
	mnl_attr_put_u32(h, IFLA_NET_NS_FD, fd);
	r = rtnl_talk(&k->env->host_nl, h, NULL, NULL);
	return r < 0 ? outside_failed(k, r, e, "create the macvlan from outside") : 0;
}

/* ---- veth ---- */

/* Both ends in one request. The peer is described by p, or is outside with the name out. */
static int veth_request(struct making *k, const NetDeviceEntry *e, const NetDeviceEntry *p, int peer_ns,
			const char *out)
{
	struct nlmsghdr *h = link_begin(k, NLM_F_CREATE | NLM_F_EXCL, e->ifindex);
	struct nlattr *info, *data, *peer;
	struct ifinfomsg *m;
	int r;

	mnl_attr_put_strz(h, IFLA_IFNAME, e->name);
	put_address(h, e);
	net_link_first(h, e);
	info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_strz(h, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
	peer = mnl_attr_nest_start(h, VETH_INFO_PEER);
	m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	if (p) {
		m->ifi_index = (int)p->ifindex;
		mnl_attr_put_strz(h, IFLA_IFNAME, p->name);
		put_address(h, p);
		net_link_first(h, p);
	} else if (out && *out) {
		mnl_attr_put_strz(h, IFLA_IFNAME, out);
	}
	if (peer_ns >= 0)
		mnl_attr_put_u32(h, IFLA_NET_NS_FD, peer_ns);
	mnl_attr_nest_end(h, peer);
	mnl_attr_nest_end(h, data);
	mnl_attr_nest_end(h, info);
	r = rtnl_talk(k->n, h, NULL, NULL);
	/* the end outside that belonged to the tasks goes some moments after them, when the kernel clears their namespace up */
	for (int n = 0; r == -EEXIST && !p && n < OUTSIDE_GONE_MS; n += 10) {
		poll(NULL, 0, 10);
		r = rtnl_talk(k->n, h, NULL, NULL);
	}
	return r < 0 ? link_failed(k, r, e, "create the veth pair") : 0;
}

static const NetDeviceEntry *veth_peer(const NetDeviceEntry *e, const struct net_links *l, size_t *at)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i] != e && l->v[i]->type == ND_TYPE__VETH &&
		    l->v[i]->ifindex == e->peer_ifindex) {
			*at = i;
			return l->v[i];
		}
	return NULL;
}

/* --external veth[IN]:OUT[@BRIDGE]; without one the outer end gets a name from the kernel */
static int veth_outside(struct making *k, const NetDeviceEntry *e)
{
	const char *ext = external_find(k->s, "veth", e->name), *br = ext ? strchr(ext, '@') : NULL;
	own_mem char *out = ext ? xstrdup(ext) : NULL;
	int r;

	if (br)
		out[br++ - ext] = 0;
	if (out && !net_link_name_ok(out))
		return session_fail(k->s, -EINVAL, "--external veth[%s]:%s: not a device name", e->name,
				    out);
	if (!ext)
		session_warn(k->s, "netns %u: veth %s: its outer end gets any name and stays down: give "
			     "--external veth[%s]:NAME[@BRIDGE]", k->ns->id, e->name, e->name);
	r = veth_request(k, e, NULL, k->env->host, out);
	if (r < 0 || !ext)
		return r;
	r = br ? outside_bridge(k->env, out, br) : 0;
	return r < 0 ? outside_failed(k, r, e, "join its outer end to the bridge") : 0;
}

static int veth_make(struct making *k, const NetDeviceEntry *e)
{
	struct net_links other = { 0 };
	const NetDeviceEntry *p;
	const struct ns *o;
	size_t at = 0;
	int r;

	if (e->has_peer_nsid && e->peer_nsid == k->ns->id) {
		p = veth_peer(e, k->l, &at);
		if (p) {
			k->made[at] = MADE_YES;
			return veth_request(k, e, p, -1, NULL);
		}
	}
	o = e->has_peer_nsid && e->peer_nsid != k->ns->id ? ns_find(k->s, e->peer_nsid) : NULL;
	if (!o || !o->own)
		return veth_outside(k, e);
	if (if_nametoindex(e->name) == e->ifindex)
		return 0; /* came when the other namespace was filled */
	if (o->fd < 0)
		return session_fail(k->s, -ENOTSUP, "netns %u: veth %s: its peer's namespace %u is not "
				    "there", k->ns->id, e->name, o->id);
	r = net_links_read(k->s, o->id, &other);
	p = r == 0 ? veth_peer(e, &other, &at) : NULL;
	if (r == 0)
		r = p ? veth_request(k, e, p, o->fd, NULL)
		      : session_fail(k->s, -EBADMSG, "netns %u: veth %s: netdev-%u.img has no peer %u",
				     k->ns->id, e->name, o->id, e->peer_ifindex);
	net_links_free(&other);
	return r;
}

/* ---- tun ---- */

/*
 * A tun device lives by a descriptor or by being persistent: it is made persistent here; the restore
 * of descriptors attaches to it and takes that away again where it was not.
 */
static int tun_make(struct making *k, const NetDeviceEntry *e)
{
	char path[64];
	own_fd int fd = -EBADF;
	struct ifreq q = { 0 };
	unsigned index = e->ifindex;

	if (!e->tun)
		return session_fail(k->s, -EBADMSG, "netns %u: tun %s: no parameters", k->ns->id, e->name);
	snprintf(path, sizeof(path), "thread-self/fd/%d", k->env->dev_tun);
	/* opened here, as the device is born in the namespace of the opener */
	fd = openat(k->env->proc, path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return session_fail(k->s, -errno, "netns %u: tun %s: open /dev/net/tun", k->ns->id,
				    e->name);
	snprintf(q.ifr_name, sizeof(q.ifr_name), "%s", e->name);
	q.ifr_flags = e->tun->flags & ~(IFF_PERSIST | 0x0400 /* IFF_DETACH_QUEUE */) & 0xf10f;
	if (ioctl(fd, TUNSETIFINDEX, &index) < 0 || ioctl(fd, TUNSETIFF, &q) < 0 ||
	    ioctl(fd, TUNSETPERSIST, 1) < 0)
		return session_fail(k->s, -errno, "netns %u: tun %s: create", k->ns->id, e->name);
	if (e->tun->owner != -1 && ioctl(fd, TUNSETOWNER, (unsigned long)(uint32_t)e->tun->owner) < 0)
		return session_fail(k->s, -errno, "netns %u: tun %s: set owner", k->ns->id, e->name);
	if (e->tun->group != -1 && ioctl(fd, TUNSETGROUP, (unsigned long)(uint32_t)e->tun->group) < 0)
		return session_fail(k->s, -errno, "netns %u: tun %s: set group", k->ns->id, e->name);
	if (ioctl(fd, TUNSETVNETHDRSZ, &e->tun->vnethdr) < 0 && (e->tun->flags & IFF_VNET_HDR))
		return session_fail(k->s, -errno, "netns %u: tun %s: set header size", k->ns->id, e->name);
	if (ioctl(fd, TUNSETSNDBUF, &e->tun->sndbuf) < 0)
		return session_fail(k->s, -errno, "netns %u: tun %s: set buffer", k->ns->id, e->name);
	return 0;
}

/* ---- all ---- */

/* Making it changes the network outside as well. */
static bool touches_outside(const struct making *k, const NetDeviceEntry *e)
{
	const struct ns *o;

	if (external_find(k->s, "netdev", e->name))
		return true;
	if (e->type == ND_TYPE__MACVLAN)
		return external_find(k->s, "macvlan", e->name) || !e->has_lower;
	o = e->has_peer_nsid ? ns_find(k->s, e->peer_nsid) : NULL;
	return e->type == ND_TYPE__VETH && (!o || !o->own);
}

static int link_make(struct making *k, size_t i)
{
	const NetDeviceEntry *e = k->l->v[i];
	const char *ready = external_find(k->s, "netdev", e->name);

	if (k->made[i] == MADE_YES)
		return 0;
	k->made[i] = MADE_YES;
	if (e->type == ND_TYPE__LOOPBACK)
		return 0;
	if (touches_outside(k, e) && if_nametoindex(e->name) == e->ifindex)
		return 0; /* see net_links_outside() */
	if (ready)
		return device_move(k, e, ready);
	switch (e->type) {
	case ND_TYPE__VETH:
		return veth_make(k, e);
	case ND_TYPE__TUN:
		return tun_make(k, e);
	case ND_TYPE__MACVLAN:
		return macvlan_make(k, e);
	case ND_TYPE__BRIDGE:
	case ND_TYPE__SIT:
		return device_make(k, e);
	case ND_TYPE__EXTLINK:
		if (if_nametoindex(e->name))
			return 0;
		if (e->kind)
			return device_make(k, e);
		/* fall through */
	default:
		return session_fail(k->s, -ENOTSUP, "netns %u: link %s of type %d: cannot be made: give "
				    "--external netdev[%s]:DEVICE", k->ns->id, e->name, e->type, e->name);
	}
}

static bool lower_missing(struct making *k, size_t i)
{
	const NetDeviceEntry *e = k->l->v[i];

	for (size_t j = 0; e->has_lower && j < k->l->n; j++)
		if (k->l->v[j]->ifindex == e->lower && k->made[j] != MADE_YES)
			return true;
	return false;
}

static int links_create(struct making *k)
{
	size_t left = k->l->n, before = left + 1;
	int r;

	while (left && left < before) {
		before = left;
		left = 0;
		for (size_t i = 0; i < k->l->n; i++) {
			if (lower_missing(k, i))
				left++;
			else if ((r = link_make(k, i)) < 0)
				return r;
		}
	}
	return left ? session_fail(k->s, -EBADMSG, "netns %u: links stand on each other in a circle",
				   k->ns->id)
		    : 0;
}

/* A bridge port's attributes but its state, which the bridge decides. */
static void put_port(struct nlmsghdr *h, const NetDeviceEntry *e)
{
	struct nlattr *info = mnl_attr_nest_start(h, IFLA_LINKINFO), *data;

	mnl_attr_put_strz(h, IFLA_INFO_SLAVE_KIND, "bridge");
	data = mnl_attr_nest_start(h, IFLA_INFO_SLAVE_DATA);
	put_attrs(h, "port", &e->port, port_options);
	mnl_attr_nest_end(h, data);
	mnl_attr_nest_end(h, info);
}

static void put_addr_gen(struct nlmsghdr *h, uint32_t mode)
{
	struct nlattr *spec = mnl_attr_nest_start(h, IFLA_AF_SPEC);
	struct nlattr *six = mnl_attr_nest_start(h, AF_INET6);

	mnl_attr_put_u8(h, IFLA_INET6_ADDR_GEN_MODE, mode);
	mnl_attr_nest_end(h, six);
	mnl_attr_nest_end(h, spec);
}

static int link_altnames(struct making *k, const NetDeviceEntry *e)
{
	int r = 0;

	for (size_t i = 0; i < e->n_altnames && i < 1000 && r == 0; i++) {
		struct nlmsghdr *h = link_begin(k, NLM_F_CREATE | NLM_F_EXCL | NLM_F_APPEND, e->ifindex);
		struct nlattr *list = mnl_attr_nest_start(h, IFLA_PROP_LIST);

		if (strlen(e->altnames[i]) >= 128)
			return session_fail(k->s, -EBADMSG, "link %s: a name too long", e->name);
		h->nlmsg_type = RTM_NEWLINKPROP;
		mnl_attr_put_strz(h, IFLA_ALT_IFNAME, e->altnames[i]);
		mnl_attr_nest_end(h, list);
		r = rtnl_talk(k->n, h, NULL, NULL);
	}
	return r < 0 && r != -EEXIST ? link_failed(k, r, e, "add a name") : 0;
}

static int link_set(struct making *k, const NetDeviceEntry *e)
{
	struct nlmsghdr *h = link_begin(k, 0, e->ifindex);
	int r;

	if (e->mtu)
		mnl_attr_put_u32(h, IFLA_MTU, e->mtu);
	/* others were given theirs when they were made, and some cannot change it */
	if (e->type == ND_TYPE__TUN || external_find(k->s, "netdev", e->name))
		put_address(h, e);
	if (e->has_txqlen)
		mnl_attr_put_u32(h, IFLA_TXQLEN, e->txqlen);
	if (e->has_group)
		mnl_attr_put_u32(h, IFLA_GROUP, e->group);
	if (e->alias && *e->alias && strlen(e->alias) < 256)
		mnl_attr_put_str(h, IFLA_IFALIAS, e->alias);
	if (e->has_master && e->master)
		mnl_attr_put_u32(h, IFLA_MASTER, e->master);
	r = rtnl_talk(k->n, h, NULL, NULL);
	if (r < 0)
		return link_failed(k, r, e, "set MTU, address and master");
	if (e->has_port && e->port.len <= INFO_MAX) {
		h = link_begin(k, 0, e->ifindex);
		put_port(h, e);
		r = rtnl_talk(k->n, h, NULL, NULL);
		if (r < 0)
			session_warn(k->s, "netns %u: link %s: port options cannot be set: %s%s",
				     k->ns->id, e->name, strerror(-r), k->n->why);
	}
	if (e->has_addr_gen) {
		h = link_begin(k, 0, e->ifindex);
		put_addr_gen(h, e->addr_gen);
		r = rtnl_talk(k->n, h, NULL, NULL);
		if (r < 0 && r != -EAFNOSUPPORT)
			session_warn(k->s, "netns %u: link %s: address generation mode cannot be set: %s%s",
				     k->ns->id, e->name, strerror(-r), k->n->why);
	}
	return link_altnames(k, e);
}

/*
 * Switches, then up. Duplicate address detection is off until the addresses are there: they are in
 * use already, and a tentative one could not be bound. net.c sets accept_dad at the end.
 */
static int link_up(struct making *k, const NetDeviceEntry *e)
{
	struct ifinfomsg *m;
	struct nlmsghdr *h;
	int r = net_conf_restore(k->s, k->env->proc, NET_CONF4, e->name, e->conf4, e->n_conf4);

	if (r == 0)
		r = net_conf_restore(k->s, k->env->proc, NET_CONF6, e->name, e->conf6, e->n_conf6);
	if (r < 0)
		return r;
	net_conf_set(k->env->proc, NET_CONF6, e->name, "accept_dad", 0);
	h = rtnl_begin(k->req, RTM_NEWLINK, 0, sizeof(*m), &m);
	m->ifi_index = (int)e->ifindex;
	m->ifi_flags = e->flags;
	m->ifi_change = net_link_flags();
	r = rtnl_talk(k->n, h, NULL, NULL);
	if (r == -ENETDOWN)
		return r;
	return r < 0 ? link_failed(k, r, e, "set flags") : 0;
}

int net_links_outside(struct session *s, struct net_env *env, struct rtnl *n, const struct ns *ns,
		      const struct net_links *l)
{
	own_mem unsigned char *made = xalloc(l->n);
	own_mem char *req = xalloc(REQ_MAX);
	struct making k = { s, env, n, ns, l, made, req };
	int r = 0;

	for (size_t i = 0; i < l->n && r == 0; i++)
		if (l->v[i]->type != ND_TYPE__LOOPBACK && touches_outside(&k, l->v[i]))
			r = link_make(&k, i);
	return r;
}

static uint32_t port_number(const NetDeviceEntry *e)
{
	const struct nlattr *a = e->has_port ? attr_in(e->port.data, e->port.len, IFLA_BRPORT_NO) : NULL;

	return a && mnl_attr_get_payload_len(a) >= 2 ? mnl_attr_get_u16(a) : 0;
}

static int by_port(const void *a, const void *b)
{
	const NetDeviceEntry *x = *(NetDeviceEntry *const *)a, *y = *(NetDeviceEntry *const *)b;
	uint32_t p = port_number(x), q = port_number(y);

	return p != q ? (p < q ? -1 : 1) : x->ifindex < y->ifindex ? -1 : x->ifindex > y->ifindex;
}

/* A bridge numbers its ports as they come. */
static int links_set(struct making *k)
{
	own_mem NetDeviceEntry **order = xmemdup(k->l->v, k->l->n * sizeof(*order));
	int r = 0;

	qsort(order, k->l->n, sizeof(*order), by_port);
	for (size_t i = 0; i < k->l->n && r == 0; i++)
		r = link_set(k, order[i]);
	return r;
}

int net_links_make(struct session *s, struct net_env *env, struct rtnl *n, const struct ns *ns,
		   const struct net_links *l)
{
	own_mem unsigned char *made = xalloc(l->n);
	own_mem char *req = xalloc(REQ_MAX);
	struct making k = { s, env, n, ns, l, made, req };
	int r = links_create(&k);

	if (r == 0)
		r = links_set(&k);
	/* one that stands on another can go up only after it: two rounds do for two floors */
	for (size_t i = 0; i < l->n && r == 0; i++) {
		r = link_up(&k, l->v[i]);
		if (r == -ENETDOWN)
			r = 0;
	}
	for (size_t i = 0; i < l->n && r == 0; i++)
		if (l->v[i]->has_lower && (r = link_up(&k, l->v[i])) == -ENETDOWN)
			r = link_failed(&k, r, l->v[i], "set flags");
	if (r == 0)
		net_links_more(s, n, l);
	return r;
}
