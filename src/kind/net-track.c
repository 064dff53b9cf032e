// SPDX-License-Identifier: Apache-2.0
/*
 * net-track: connections that netfilter tracks.
 *
 * Kept:   entries and expectations; counters (nfacct), timeouts and helpers that rules call by name.
 * Lost:   where the windows of a TCP connection are: it is tracked with the mark that forgives what lies outside;
 *         entries that the kernel does not take: reported.
 * Kernel: net/netfilter/nf_conntrack_netlink.c. A listing walks through the hash table of all network namespaces, for 14 ms
 *         where it has 262,144 buckets; how many entries a namespace has is told at once.
 */
#include "base/list.h"
#include "image/record.h"
#include "kind/net-map.h"
#include "kind/net-raw.h"

#include <errno.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_acct.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netfilter/nfnetlink_cthelper.h>
#include <linux/netfilter/nfnetlink_cttimeout.h>
#include <string.h>

#define CT(type) (NFNL_SUBSYS_CTNETLINK << 8 | (type))
#define EXP(type) (NFNL_SUBSYS_CTNETLINK_EXP << 8 | (type))

/*
 * Flags of a TCP connection are told without a mask, and without one not taken: then its windows would be seen
 * unscaled. Where the windows are is not told at all, so that they are not to be judged by.
 */
static void ends_keep(const struct nlattr *tcp, uint16_t type)
{
	const struct nlattr *a = attr_nested(tcp, type);
	struct nf_ct_tcp_flags *f = a && mnl_attr_get_payload_len(a) >= sizeof(*f) ? mnl_attr_get_payload(a) : NULL;

	if (!f)
		return;
	f->flags |= IP_CT_TCP_FLAG_BE_LIBERAL;
	f->mask = IP_CT_TCP_FLAG_WINDOW_SCALE | IP_CT_TCP_FLAG_SACK_PERM | IP_CT_TCP_FLAG_CLOSE_INIT | IP_CT_TCP_FLAG_BE_LIBERAL;
}

static int track_send(struct rtnl *n, struct nlmsghdr *h)
{
	const struct nlattr *tcp = attr_nested(attr_find(h, sizeof(struct nfgenmsg), CTA_PROTOINFO), CTA_PROTOINFO_TCP);

	if (tcp) {
		ends_keep(tcp, CTA_PROTOINFO_TCP_FLAGS_ORIGINAL);
		ends_keep(tcp, CTA_PROTOINFO_TCP_FLAGS_REPLY);
	}
	return rtnl_talk(n, h, NULL, NULL);
}

/* What rules of iptables call by its name: counters, timeouts, helpers outside of the kernel. */
#define ACCT(type) (NFNL_SUBSYS_ACCT << 8 | (type))
#define TIMEOUT(type) (NFNL_SUBSYS_CTNETLINK_TIMEOUT << 8 | (type))
#define HELPER(type) (NFNL_SUBSYS_CTHELPER << 8 | (type))
static const struct raw_file named_files[] = {
	{ "nfacct", 0, ACCT(NFNL_MSG_ACCT_GET), ACCT(NFNL_MSG_ACCT_NEW), ACCT(NFNL_MSG_ACCT_DEL), AF_UNSPEC, sizeof(struct nfgenmsg),
	  .keep = NULL },
	{ "cttimeout", 0, TIMEOUT(IPCTNL_MSG_TIMEOUT_GET), TIMEOUT(IPCTNL_MSG_TIMEOUT_NEW), TIMEOUT(IPCTNL_MSG_TIMEOUT_DELETE),
	  AF_UNSPEC, sizeof(struct nfgenmsg), .keep = NULL },
	{ "cthelper", 0, HELPER(NFNL_MSG_CTHELPER_GET), HELPER(NFNL_MSG_CTHELPER_NEW), HELPER(NFNL_MSG_CTHELPER_DEL), AF_UNSPEC,
	  sizeof(struct nfgenmsg), .hosts = true },
};

/* Tracked connections, of another netlink family. */
static const struct raw_file track_files[] = {
	{ "netns-ct", 0, CT(IPCTNL_MSG_CT_GET), CT(IPCTNL_MSG_CT_NEW), CT(IPCTNL_MSG_CT_DELETE),
	  AF_UNSPEC, sizeof(struct nfgenmsg), .send = track_send, .map = map_track },
	{ "netns-exp", 0, EXP(IPCTNL_MSG_EXP_GET), EXP(IPCTNL_MSG_EXP_NEW), EXP(IPCTNL_MSG_EXP_DELETE),
	  AF_UNSPEC, sizeof(struct nfgenmsg), .map = map_expect },
};

static int files_dump(struct session *s, const struct raw_file *f, size_t files, uint32_t id)
{
	own_rtnl struct rtnl n = { 0 };
	int r = raw_open(s, &n, NETLINK_NETFILTER, id);

	for (size_t i = 0; i < files && r == 0; i++)
		r = raw_dump(s, &n, &f[i], id);
	return r < 0 ? r : 0;
}

static int count_seen(const struct nlmsghdr *h, void *ret)
{
	const struct nlattr *a = attr_find(h, sizeof(struct nfgenmsg), CTA_STATS_GLOBAL_ENTRIES);

	if (a && mnl_attr_validate(a, MNL_TYPE_U32) >= 0)
		*(bool *)ret = mnl_attr_get_u32(a) != 0;
	return 0;
}

/* Not to be told counts as yes. */
static bool any_tracked(struct session *s, uint32_t id)
{
	own_rtnl struct rtnl n = { 0 };
	char buf[NLMSG_HDRLEN + sizeof(struct nfgenmsg)] __attribute__((aligned(8)));
	struct nfgenmsg *m;
	bool any = true;

	if (raw_open(s, &n, NETLINK_NETFILTER, id) == 0)
		rtnl_talk(&n, rtnl_begin(buf, CT(IPCTNL_MSG_CT_GET_STATS), 0, sizeof(*m), &m), count_seen, &any);
	return any;
}

int track_files_dump(struct session *s, uint32_t id)
{
	int r = files_dump(s, named_files, ARRAY_SIZE(named_files), id);

	return r < 0 || !any_tracked(s, id) ? r : files_dump(s, track_files, ARRAY_SIZE(track_files), id);
}

/* A connection that is not taken is found again by its next packet, or refused by the rules: reported. */
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

static int files_restore(struct session *s, const struct raw_file *f, size_t files, uint32_t id)
{
	own_rtnl struct rtnl n = { 0 };
	int r = raw_open(s, &n, NETLINK_NETFILTER, id);

	for (size_t i = 0; i < files && r == 0; i++)
		r = track_restore(s, &n, &f[i], id);
	return r < 0 ? r : 0;
}

int named_files_restore(struct session *s, uint32_t id)
{
	return files_restore(s, named_files, ARRAY_SIZE(named_files), id);
}

int track_files_restore(struct session *s, uint32_t id)
{
	return files_restore(s, track_files, ARRAY_SIZE(track_files), id);
}
