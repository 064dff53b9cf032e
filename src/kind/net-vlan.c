// SPDX-License-Identifier: Apache-2.0
/*
 * net-vlan: which VLANs a bridge and each of its ports belong to, which network identifiers a vxlan takes.
 *
 * Kept:   VLANs with ranges, PVID, untagged ones, states, tunnels; identifiers of `vnifilter`.
 * Lost:   options of whole VLANs (multicast snooping by VLAN, MST): reported by net-link.c.
 * Kernel: net/bridge/br_vlan.c (RTM_NEWVLAN, Linux 5.6), drivers/net/vxlan/vxlan_vnifilter.c (5.18).
 */
#include "base/list.h"
#include "kind/net-raw.h"

#include <linux/if_bridge.h>
#include <string.h>

/* newer than our headers */
#define ENTRY_MCAST_MAX_GROUPS 8
#define ENTRY_NEIGH_SUPPRESS 9

static int vlan_send(struct rtnl *n, struct nlmsghdr *h);

static const struct raw_file vlan_file = {
	"brvlan", 0, RTM_GETVLAN, RTM_NEWVLAN, RTM_DELVLAN, AF_BRIDGE, sizeof(struct br_vlan_msg), .send = vlan_send
};
static const struct raw_file vni_file = {
	"vxvni", 0, RTM_GETTUNNEL, RTM_NEWTUNNEL, RTM_DELTUNNEL, AF_BRIDGE, sizeof(struct tunnel_msg), .keep = NULL
};

static void copy(struct nlmsghdr *req, const struct nlattr *entry, uint16_t type)
{
	const struct nlattr *a = attr_nested(entry, type);

	if (a && mnl_attr_get_payload_len(a) <= sizeof(struct bridge_vlan_info))
		mnl_attr_put(req, a->nla_type, mnl_attr_get_payload_len(a), mnl_attr_get_payload(a));
}

/* Options of an entry that differ from those of a fresh one: what a kernel does not know it refuses. */
static void options_put(struct nlmsghdr *req, const struct nlattr *entry)
{
	static const struct {
		uint16_t type;
		uint8_t fresh;
	} options[] = { { BRIDGE_VLANDB_ENTRY_STATE, BR_STATE_FORWARDING }, { BRIDGE_VLANDB_ENTRY_MCAST_ROUTER, 1 },
			{ ENTRY_MCAST_MAX_GROUPS, 0 }, { ENTRY_NEIGH_SUPPRESS, 0 } };
	const struct nlattr *tunnel = attr_nested(attr_nested(entry, BRIDGE_VLANDB_ENTRY_TUNNEL_INFO), BRIDGE_VLANDB_TINFO_ID);
	struct nlattr *in;

	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		const struct nlattr *a = attr_nested(entry, options[i].type);

		if (a && mnl_attr_get_payload_len(a) && mnl_attr_get_u8(a) != options[i].fresh)
			copy(req, entry, options[i].type);
	}
	if (!tunnel)
		return;
	in = mnl_attr_nest_start(req, BRIDGE_VLANDB_ENTRY_TUNNEL_INFO);
	mnl_attr_put_u32(req, BRIDGE_VLANDB_TINFO_ID, attr_u32(tunnel, 0));
	mnl_attr_put_u32(req, BRIDGE_VLANDB_TINFO_CMD, RTM_SETLINK);
	mnl_attr_nest_end(req, in);
}

/* A message has all VLANs of a device; each is a request of its own. */
static int vlan_send(struct rtnl *n, struct nlmsghdr *h)
{
	const struct br_vlan_msg *from = mnl_nlmsg_get_payload(h);
	const struct nlattr *entry;
	int r = 0;

	mnl_attr_for_each(entry, h, sizeof(*from)) {
		char buf[512] __attribute__((aligned(8)));
		struct br_vlan_msg *m;
		struct nlmsghdr *req = rtnl_begin(buf, h->nlmsg_type, h->nlmsg_flags, sizeof(*m), &m);
		const struct nlattr *info = attr_nested(entry, BRIDGE_VLANDB_ENTRY_INFO);
		struct nlattr *in;

		if (mnl_attr_get_type(entry) != BRIDGE_VLANDB_ENTRY || !info ||
		    mnl_attr_get_payload_len(info) != sizeof(struct bridge_vlan_info))
			continue;
		m->family = AF_BRIDGE;
		m->ifindex = from->ifindex;
		in = mnl_attr_nest_start(req, BRIDGE_VLANDB_ENTRY);
		copy(req, entry, BRIDGE_VLANDB_ENTRY_INFO);
		copy(req, entry, BRIDGE_VLANDB_ENTRY_RANGE);
		if (h->nlmsg_type == RTM_NEWVLAN)
			options_put(req, entry);
		mnl_attr_nest_end(req, in);
		if ((r = rtnl_talk(n, req, NULL, NULL)) < 0)
			break;
	}
	return r;
}

int vlan_files_dump(struct session *s, struct rtnl *n, uint32_t id)
{
	int r = raw_dump(s, n, &vlan_file, id);

	return r < 0 ? r : raw_dump(s, n, &vni_file, id);
}

static void entries_restore(struct session *s, struct rtnl *n, struct raw_list *l, uint32_t id)
{
	int r;
	size_t lost = raw_rounds(n, l, &r);

	if (lost)
		session_warn(s, "netns %u: %s: %zu of %zu entries cannot be set: %s%s", id, l->f->name, lost, l->n, strerror(-r), n->why);
}

int vlan_files_restore(struct session *s, struct rtnl *n, uint32_t id)
{
	own_raw struct raw_list vlans = { 0 }, vnis = { 0 }, fresh = { 0 };
	int r = raw_read(s, &vlan_file, id, &vlans);

	if (r < 0 || raw_read(s, &vni_file, id, &vnis) < 0)
		return -EBADMSG;
	if (r == 0 && raw_list_get(n, &vlan_file, &fresh) == 0)
		for (size_t i = 0; i < fresh.n; i++) { /* a new port is in the bridge's default VLAN */
			fresh.v[i]->nlmsg_type = RTM_DELVLAN;
			fresh.v[i]->nlmsg_flags = NLM_F_REQUEST;
			vlan_send(n, fresh.v[i]);
		}
	entries_restore(s, n, &vlans, id);
	entries_restore(s, n, &vnis, id);
	return 0;
}
