// SPDX-License-Identifier: Apache-2.0
/*
 * net: what is in a network namespace, or the label of one that the caller has made.
 *
 * Kept:   the label of an external namespace; else switches (net-sysctl.c), links (net-link.c), VLANs (net-vlan.c),
 *         addresses, neighbours, routes and rules (net-route.c), traffic control (net-tc.c), numbers of other
 *         namespaces, nftables (net-nft.c), iptables-legacy
 *         (net-legacy.c) and its sets (net-ipset.c), tracked connections (net-track.c), IPsec (net-xfrm.c), what
 *         has a generic netlink (net-genl.c).
 * Lost:   with --empty-ns net, all but the state of lo, as the caller asked.
 * Kernel: rtnetlink(7); /proc/sys/net.
 */
#include "kind/ns.h"

#include "base/res.h"
#include "base/text.h"
#include "image/record.h"
#include "kind/net-genl.h"
#include "kind/net-ipset.h"
#include "kind/net-legacy.h"
#include "kind/net-link.h"
#include "kind/net-nft.h"
#include "kind/net-nsid.h"
#include "kind/net-outside.h"
#include "kind/net-sysctl.h"
#include "kind/net-tc.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static bool net_empty(const struct session *s)
{
	return s->opts->has_empty_ns && s->opts->empty_ns & CLONE_NEWNET;
}

/* ---- before anything is stopped ---- */

static int net_check(struct session *s, const struct ns *ns)
{
	own_rtnl struct rtnl n = { 0 };
	int r = rtnl_open(&n);

	if (r < 0)
		return session_fail(s, r, "network namespace %u: open rtnetlink", ns->id);
	r = net_links_check(s, &n);
	if (r == 0)
		r = xfrm_check(s, ns->id);
	return r < 0 ? r : nft_check(s, ns->id);
}

/* The supervisor goes there and comes back. */
static int net_there(struct session *s, const struct ns *ns,
		     int (*fn)(struct session *s, const struct ns *ns))
{
	int r, back;

	if (net_empty(s))
		return 0;
	r = ns_enter_net(s, ns->id);
	if (r == 0)
		r = fn(s, ns);
	back = ns_enter_net(s, 0);
	return r < 0 ? r : back;
}

static int net_preflight(struct session *s, const struct ns *ns)
{
	return net_there(s, ns, net_check);
}

/* ---- rules: loaded by the supervisor, since a guest at restore has the tasks' files before it ---- */

static int rules_restore(struct session *s, const struct ns *ns)
{
	int r = named_files_restore(s, ns->id);

	if (r == 0)
		r = nft_restore(s, ns->id);
	if (r == 0)
		r = ipset_restore(s, ns->id);
	if (r == 0)
		r = legacy_restore(s, ns->id);
	if (r == 0)
		r = xfrm_restore(s, ns->id);
	if (r == 0)
		r = genl_restore(s, ns->id);
	return r < 0 ? r : track_files_restore(s, ns->id);
}

static int net_restore_rules(struct session *s, const struct ns *ns)
{
	return net_there(s, ns, rules_restore);
}

/* ---- devices with an end outside, where the guest has no rights: made by the supervisor ---- */

static int outside_restore(struct session *s, const struct ns *ns)
{
	own_rtnl struct rtnl n = { 0 };
	struct net_links l = { 0 };
	struct net_env *env;
	int r = net_env_get(s, &env);

	if (r == 0 && (r = rtnl_open(&n)) < 0)
		r = session_fail(s, r, "network namespace %u: open rtnetlink", ns->id);
	if (r == 0)
		r = net_links_read(s, ns->id, &l);
	if (r == 0)
		r = net_links_outside(s, env, &n, ns, &l);
	net_links_free(&l);
	return r;
}

static int net_made(struct session *s, const struct ns *ns, const struct task *root)
{
	(void)root;
	return ns_is_own(s, CLONE_NEWUSER) ? net_there(s, ns, outside_restore) : 0;
}

/* ---- lo alone ---- */

static int lo_flags(struct session *s, bool set, short *flags)
{
	own_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq q = { .ifr_name = "lo" };

	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &q) < 0)
		return session_fail(s, -errno, "network device lo: read its flags");
	if (!set) {
		*flags = q.ifr_flags;
		return 0;
	}
	q.ifr_flags = (q.ifr_flags & ~IFF_UP) | (*flags & IFF_UP);
	if (ioctl(fd, SIOCSIFFLAGS, &q) < 0)
		return session_fail(s, -errno, "network device lo: set its flags");
	return 0;
}

static int net_dump_lo(struct session *s, const struct ns *ns)
{
	NetDeviceEntry e = NET_DEVICE_ENTRY__INIT;
	short flags = 0;
	int r = lo_flags(s, false, &flags);

	e.type = ND_TYPE__LOOPBACK;
	e.ifindex = 1;
	e.mtu = 65536;
	e.flags = (unsigned short)flags;
	e.name = "lo";
	return r < 0 ? r : image_write_one(s, MAGIC_NETDEV, &e.base, "netdev-%u.img", ns->id);
}

/* Without a record lo is brought up: a dump of CRIU's with an empty namespace tells nothing of it. */
static int net_restore_lo(struct session *s, const struct net_links *l)
{
	short up = IFF_UP;

	for (size_t i = 0; i < l->n; i++)
		if (l->v[i]->type == ND_TYPE__LOOPBACK)
			up = l->v[i]->flags & IFF_UP;
	return lo_flags(s, true, &up);
}

/* ---- dump ---- */

/* The supervisor's network namespace, as its guest finds it. */
static int net_outside(int proc)
{
	char path[32];

	snprintf(path, sizeof(path), "%d/ns/net", getppid());
	return openat(proc, path, O_RDONLY | O_CLOEXEC);
}

static int net_dump_switches(struct session *s, int proc, NetnsEntry *e)
{
	int r = net_conf_dump(s, proc, NET_CONF4, "default", &e->def_conf4, &e->n_def_conf4);

	if (r == 0)
		r = net_conf_dump(s, proc, NET_CONF4, "all", &e->all_conf4, &e->n_all_conf4);
	if (r == 0)
		r = net_conf_dump(s, proc, NET_CONF6, "default", &e->def_conf6, &e->n_def_conf6);
	if (r == 0)
		r = net_conf_dump(s, proc, NET_CONF6, "all", &e->all_conf6, &e->n_all_conf6);
	if (r == 0)
		net_tune_dump(proc, e);
	return r < 0 ? r : net_sysctl_dump(s, proc, e);
}

/* Interfaces and routes of a daemon (smcroute, pimd) live as long as its socket is one of multicast routing. */
static void mroute_report(struct session *s, int proc, uint32_t id)
{
	static const char *const families[] = { "ipv4", "ipv6" };

	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		own_mem char *on = NULL;
		char path[64];

		snprintf(path, sizeof(path), "sys/net/%s/conf/all/mc_forwarding", families[i]);
		if (text_read(proc, path, &on, NULL) == 0 && strtol(on, NULL, 10) > 0)
			session_warn(s, "network namespace %u: its multicast routing (%s) is not kept; start its daemon again after the restore",
				     id, families[i]);
	}
}

static int net_dump_all(struct session *s, const struct ns *ns, NetnsEntry *e)
{
	own_rtnl struct rtnl n = { 0 };
	struct net_env env = { .proc = ns_proc(s), .host = -1, .dev_tun = -1 };
	own_fd int outside = net_outside(env.proc);
	int r = env.proc < 0 ? env.proc : net_dump_switches(s, env.proc, e);

	if (r == 0 && (r = rtnl_open(&n)) < 0)
		r = session_fail(s, r, "network namespace %u: open rtnetlink", ns->id);
	if (r == 0)
		mroute_report(s, env.proc, ns->id);
	if (r == 0)
		nsid_dump(s, &n, outside, e);
	if (r == 0)
		r = net_links_dump(s, &env, &n, ns);
	if (r == 0)
		r = vlan_files_dump(s, &n, ns->id);
	if (r == 0)
		r = rtnl_files_dump(s, &n, ns->id);
	if (r == 0)
		r = tc_dump(s, &n, ns->id);
	if (r == 0)
		r = nft_dump(s, ns->id);
	if (r == 0)
		r = ipset_dump(s, ns->id);
	if (r == 0)
		r = legacy_dump(s, env.proc, ns->id);
	if (r == 0)
		r = xfrm_dump(s, ns->id);
	if (r == 0)
		r = genl_dump(s, ns->id);
	if (r == 0)
		r = track_files_dump(s, ns->id);
	return r;
}

static int net_dump(struct session *s, const struct ns *ns)
{
	NetnsEntry *e = xalloc(sizeof(*e));
	int r = 0;

	netns_entry__init(e);
	if (ns->external)
		e->ext_key = xstrdup(ns->external);
	else
		r = net_empty(s) ? net_dump_lo(s, ns) : net_dump_all(s, ns, e);
	if (r == 0)
		r = image_write_one(s, MAGIC_NETNS, &e->base, "netns-%u.img", ns->id);
	netns_entry__free_unpacked(e, NULL);
	return r;
}

/* ---- restore ---- */

/* Descriptors of outside, before guests are forked, which inherit them. */
static int net_prepare(struct session *s, const struct ns *ns)
{
	struct net_env *env;

	(void)ns;
	return net_env_get(s, &env);
}

/*
 * "all" goes first, as setting it sets every device too. Duplicate address detection waits for the
 * end, see link_up().
 */
static int net_restore_switches(struct session *s, int proc, const NetnsEntry *e)
{
	int r = net_sysctl_restore(s, proc, e);

	if (r == 0)
		r = net_conf_restore(s, proc, NET_CONF4, "all", e->all_conf4, e->n_all_conf4);
	if (r == 0)
		r = net_conf_restore(s, proc, NET_CONF4, "default", e->def_conf4, e->n_def_conf4);
	if (r == 0)
		r = net_conf_restore(s, proc, NET_CONF6, "all", e->all_conf6, e->n_all_conf6);
	if (r == 0)
		r = net_conf_restore(s, proc, NET_CONF6, "default", e->def_conf6, e->n_def_conf6);
	if (r == 0)
		net_conf_set(proc, NET_CONF6, "all", "accept_dad", 0);
	return r;
}

static int net_restore_dad(struct session *s, int proc, const NetnsEntry *e, const struct net_links *l)
{
	int dflt = net_conf_at(NET_CONF6, e->def_conf6, e->n_def_conf6, "accept_dad", 1);
	int r = net_conf_set(proc, NET_CONF6, "all", "accept_dad",
			     net_conf_at(NET_CONF6, e->all_conf6, e->n_all_conf6, "accept_dad", 0));

	for (size_t i = 0; i < l->n && r == 0; i++)
		r = net_conf_set(proc, NET_CONF6, l->v[i]->name, "accept_dad",
				 net_conf_at(NET_CONF6, l->v[i]->conf6, l->v[i]->n_conf6,
					     "accept_dad", dflt));
	return r < 0 ? session_fail(s, r, "sysctl accept_dad: set it") : 0;
}

static int net_restore_all(struct session *s, const struct ns *ns, const NetnsEntry *e,
			   const struct net_links *l)
{
	own_rtnl struct rtnl n = { 0 };
	struct net_env *env;
	int r = net_env_get(s, &env);

	if (r == 0 && (r = rtnl_open(&n)) < 0)
		r = session_fail(s, r, "network namespace %u: open rtnetlink", ns->id);
	if (r == 0)
		r = net_restore_switches(s, env->proc, e);
	if (r == 0)
		r = nsid_restore(s, &n, env->host, e);
	if (r == 0)
		r = net_links_make(s, env, &n, ns, l);
	if (r == 0)
		r = net_tune_restore(s, env->proc, e);
	if (r == 0)
		r = vlan_files_restore(s, &n, ns->id);
	if (r == 0)
		r = rtnl_files_restore(s, &n, ns->id);
	if (r == 0)
		r = tc_restore(s, &n, ns->id);
	if (r == 0)
		r = net_restore_dad(s, env->proc, e, l);
	return r;
}

static int net_restore(struct session *s, const struct ns *ns)
{
	ProtobufCMessage *m = NULL;
	struct net_links l = { 0 };
	int r = image_read_one(s, MAGIC_NETNS, &netns_entry__descriptor, &m, "netns-%u.img", ns->id);

	if (r == 0)
		r = net_links_read(s, ns->id, &l);
	if (r == 0)
		r = net_empty(s) || !l.n ? net_restore_lo(s, &l)
					 : net_restore_all(s, ns, (NetnsEntry *)m, &l);
	net_links_free(&l);
	if (m)
		protobuf_c_message_free_unpacked(m, NULL);
	return r;
}

const struct ns_kind ns_kind_net = {
	.name = "net",
	.flag = CLONE_NEWNET,
	.dump = net_dump,
	.restore = net_restore,
	.restore_home = net_restore_rules,
	.prepare = net_prepare,
	.made = net_made,
	.preflight = net_preflight,
	.end = net_env_end,
};
