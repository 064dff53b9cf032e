// SPDX-License-Identifier: Apache-2.0
/*
 * net-link-more: what a device has besides that which it is made with: sizes of packets, link mode, protocol state,
 * IPv6 token, groups of `ip maddr`, the stand-in of a bridge port.
 *
 * Kept:   these.
 * Lost:   what a device refuses at restore: reported.
 * Kernel: net/core/{rtnetlink,dev_addr_lists}.c, net/ipv6/addrconf.c, inet6_set_iftoken().
 */
#include "kind/net-link.h"

#include "base/res.h"
#include "base/text.h"

#include <netinet/in.h>

#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>

#define HEAD sizeof(struct ifinfomsg)
#define REQ_MAX 4096u
#define GROUPS_MAX 4096
#define ADDR_MAX 14 /* bytes of a group: of sa_data */
/* newer than our headers */
#define IFLA_GSO_IPV4_MAX 63
#define IFLA_GRO_IPV4_MAX 64

/* Attributes that are set as they are told, and their values in a new device. */
static const struct link_attr {
	uint16_t type;
	uint32_t fresh;
} set_later[] = { { IFLA_LINKMODE, 0 },		{ IFLA_GSO_MAX_SIZE, 65536 },	{ IFLA_GSO_MAX_SEGS, 65535 }, { IFLA_GRO_MAX_SIZE, 65536 },
		  { IFLA_GSO_IPV4_MAX, 65536 }, { IFLA_GRO_IPV4_MAX, 65536 }, { IFLA_PROTO_DOWN, 0 } };
/* What only a request for a new device takes. */
static const uint16_t set_first[] = { IFLA_NUM_TX_QUEUES, IFLA_NUM_RX_QUEUES };

static const struct nlattr *attr_of(const NetDeviceEntry *e, uint16_t type)
{
	return e->has_attrs && e->attrs.len <= REQ_MAX / 2 ? attr_in(e->attrs.data, e->attrs.len, type) : NULL;
}

/* ---- dump ---- */

static void attrs_add(NetDeviceEntry *e, const struct nlattr *a)
{
	size_t n = MNL_ALIGN(a->nla_len);

	e->attrs.data = xgrow(e->attrs.data, e->attrs.len + n);
	memset(e->attrs.data + e->attrs.len, 0, n);
	memcpy(e->attrs.data + e->attrs.len, a, a->nla_len);
	e->attrs.len += n;
	e->has_attrs = true;
}

static uint32_t number(const struct nlattr *a)
{
	size_t n = mnl_attr_get_payload_len(a);

	return n >= 4 ? mnl_attr_get_u32(a) : n ? mnl_attr_get_u8(a) : 0;
}

void net_link_more_put(NetDeviceEntry *e, const struct nlmsghdr *h)
{
	static const struct in6_addr none;
	const struct nlattr *a, *down;

	for (size_t i = 0; i < ARRAY_SIZE(set_later); i++)
		if ((a = attr_find(h, HEAD, set_later[i].type)) && number(a) != set_later[i].fresh)
			attrs_add(e, a);
	if (attr_of(e, IFLA_LINKMODE) && (a = attr_find(h, HEAD, IFLA_OPERSTATE)))
		attrs_add(e, a);
	down = attr_find(h, HEAD, IFLA_PROTO_DOWN_REASON);
	if (attr_nested(down, IFLA_PROTO_DOWN_REASON_VALUE))
		attrs_add(e, down);
	for (size_t i = 0; i < ARRAY_SIZE(set_first) && e->type != ND_TYPE__LOOPBACK && e->type != ND_TYPE__TUN; i++)
		if ((a = attr_find(h, HEAD, set_first[i])))
			attrs_add(e, a);
	a = attr_nested(attr_nested(attr_find(h, HEAD, IFLA_AF_SPEC), AF_INET6), IFLA_INET6_TOKEN);
	if (a && mnl_attr_get_payload_len(a) == sizeof(none) && memcmp(mnl_attr_get_payload(a), &none, sizeof(none))) {
		e->has_token = true;
		e->token.len = sizeof(none);
		e->token.data = xmemdup(mnl_attr_get_payload(a), sizeof(none));
	}
}

/* Two hexadecimal digits a byte. */
static size_t group_read(const char *text, uint8_t *to)
{
	size_t n = strlen(text) / 2;
	unsigned byte;

	for (size_t i = 0; i < n && n <= ADDR_MAX; i++) {
		if (sscanf(text + 2 * i, "%2x", &byte) != 1)
			return 0;
		to[i] = byte;
	}
	return n;
}

/* Lines: index, name, users, users by `ip maddr`, address. */
void net_link_groups_put(struct session *s, int proc, NetDeviceEntry *e)
{
	own_mem char *text = NULL;
	char *save = NULL;

	if (text_read(proc, "thread-self/net/dev_mcast", &text, NULL) < 0)
		return;
	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		char name[IF_NAMESIZE] = "", addr[65] = "";
		uint8_t bytes[ADDR_MAX];
		int by_hand = 0;
		size_t n;

		if (sscanf(l, "%*d %15s %*d %d %64s", name, &by_hand, addr) != 3 || by_hand <= 0 || strcmp(name, e->name) != 0)
			continue;
		n = group_read(addr, bytes);
		if (!n || n > ADDR_MAX || e->n_groups == GROUPS_MAX) {
			session_warn(s, "network link %s: the group %s (`ip maddr`) is not kept", name, addr);
			continue;
		}
		e->groups = xgrow(e->groups, (e->n_groups + 1) * sizeof(*e->groups));
		e->groups[e->n_groups].len = n;
		e->groups[e->n_groups++].data = xmemdup(bytes, n);
	}
}

/* ---- restore ---- */

static void attr_again(struct nlmsghdr *h, const NetDeviceEntry *e, uint16_t type)
{
	const struct nlattr *a = attr_of(e, type);

	if (a)
		mnl_attr_put(h, type, mnl_attr_get_payload_len(a), mnl_attr_get_payload(a));
}

void net_link_first(struct nlmsghdr *h, const NetDeviceEntry *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(set_first); i++)
		attr_again(h, e, set_first[i]);
}

struct more {
	struct session *s;
	struct rtnl *n;
	const NetDeviceEntry *e;
	char req[REQ_MAX] __attribute__((aligned(8)));
};

static struct nlmsghdr *more_begin(struct more *k)
{
	struct ifinfomsg *m;
	struct nlmsghdr *h = rtnl_begin(k->req, RTM_NEWLINK, 0, sizeof(*m), &m);

	m->ifi_index = (int)k->e->ifindex;
	return h;
}

static void more_talk(struct more *k, struct nlmsghdr *h, const char *what)
{
	int r = rtnl_talk(k->n, h, NULL, NULL);

	if (r < 0)
		session_warn(k->s, "network link %s: its %s cannot be set: %s%s", k->e->name, what, strerror(-r), k->n->why);
}

/*
 * In a link mode of its own the state is somebody else's to set. Else it follows the carrier, and what the kernel has
 * not got round to would undo it: asking for the carrier makes that happen.
 */
static void mode_restore(struct more *k, int fd)
{
	struct ethtool_value link = { .cmd = ETHTOOL_GLINK };
	struct ifreq q = { .ifr_data = (void *)&link };
	struct nlmsghdr *h;

	if (!attr_of(k->e, IFLA_LINKMODE))
		return;
	snprintf(q.ifr_name, sizeof(q.ifr_name), "%s", k->e->name);
	ioctl(fd, SIOCETHTOOL, &q);
	h = more_begin(k);
	attr_again(h, k->e, IFLA_LINKMODE);
	more_talk(k, h, "link mode");
	h = more_begin(k);
	attr_again(h, k->e, IFLA_OPERSTATE);
	more_talk(k, h, "state");
}

static void attrs_restore(struct more *k)
{
	const struct nlattr *why = attr_nested(attr_of(k->e, IFLA_PROTO_DOWN_REASON), IFLA_PROTO_DOWN_REASON_VALUE);
	struct nlmsghdr *h;
	struct nlattr *in;

	for (size_t i = 0; i < ARRAY_SIZE(set_later); i++) {
		if (!attr_of(k->e, set_later[i].type) || set_later[i].type == IFLA_LINKMODE)
			continue;
		h = more_begin(k);
		attr_again(h, k->e, set_later[i].type);
		if (set_later[i].type == IFLA_PROTO_DOWN && why) {
			in = mnl_attr_nest_start(h, IFLA_PROTO_DOWN_REASON);
			mnl_attr_put_u32(h, IFLA_PROTO_DOWN_REASON_VALUE, attr_u32(why, 0));
			mnl_attr_nest_end(h, in);
		}
		more_talk(k, h, set_later[i].type == IFLA_PROTO_DOWN ? "protocol state" : "sizes of packets");
	}
}

/* The port that takes over: it has to be one of the same bridge by then. */
static void port_restore(struct more *k)
{
	const struct nlattr *port = k->e->has_port ? attr_in(k->e->port.data, k->e->port.len, IFLA_BRPORT_BACKUP_PORT) : NULL;
	struct nlattr *info, *data;
	struct nlmsghdr *h;

	if (!port)
		return;
	h = more_begin(k);
	info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_strz(h, IFLA_INFO_SLAVE_KIND, "bridge");
	data = mnl_attr_nest_start(h, IFLA_INFO_SLAVE_DATA);
	mnl_attr_put_u32(h, IFLA_BRPORT_BACKUP_PORT, attr_u32(port, 0));
	mnl_attr_nest_end(h, data);
	mnl_attr_nest_end(h, info);
	more_talk(k, h, "backup port");
}

static void token_restore(struct more *k)
{
	struct nlmsghdr *h = more_begin(k);
	struct nlattr *spec = mnl_attr_nest_start(h, IFLA_AF_SPEC);
	struct nlattr *six = mnl_attr_nest_start(h, AF_INET6);

	mnl_attr_put(h, IFLA_INET6_TOKEN, k->e->token.len, k->e->token.data);
	mnl_attr_nest_end(h, six);
	mnl_attr_nest_end(h, spec);
	more_talk(k, h, "IPv6 token");
}

static void groups_restore(struct more *k, int fd)
{
	for (size_t i = 0; i < k->e->n_groups && i < GROUPS_MAX; i++) {
		const ProtobufCBinaryData *g = &k->e->groups[i];
		struct ifreq q = { .ifr_hwaddr.sa_family = AF_UNSPEC };

		snprintf(q.ifr_name, sizeof(q.ifr_name), "%s", k->e->name);
		memcpy(q.ifr_hwaddr.sa_data, g->data, g->len < ADDR_MAX ? g->len : ADDR_MAX);
		if (ioctl(fd, SIOCADDMULTI, &q) < 0 && errno != EEXIST)
			session_warn(k->s, "network link %s: a group cannot be joined (`ip maddr`): %s", k->e->name, strerror(errno));
	}
}

void net_links_more(struct session *s, struct rtnl *n, const struct net_links *l)
{
	own_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct more k = { .s = s, .n = n };

	for (size_t i = 0; i < l->n; i++) {
		k.e = l->v[i];
		net_link_offloads_set(s, fd, k.e);
		attrs_restore(&k);
		mode_restore(&k, fd);
		port_restore(&k);
		if (k.e->has_token && k.e->token.len == sizeof(struct in6_addr))
			token_restore(&k);
		groups_restore(&k, fd);
	}
}
