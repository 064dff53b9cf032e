// SPDX-License-Identifier: Apache-2.0
/*
 * net-lock: see net-lock.h. A table `inet CRIU-<run id>` of two chains that drop all but packets with
 * SOCK_LOCK_MARK, and at a restore those by lo.
 *
 * Kernel: NFT_TABLE_F_OWNER (Linux 5.12): the table belongs to a socket of ours and goes with it, also
 * when we are killed; nobody else can change it.
 */
#include "kind/net-lock.h"

#include "base/list.h"
#include "base/res.h"
#include "base/text.h"
#include "kind/net-nft-batch.h"
#include "kind/ns.h"
#include "task/sock-lock.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <string.h>
#include <sys/stat.h>

#define LO 1 /* the kernel's LOOPBACK_IFINDEX */

struct net_lock {
	struct rtnl n;
	bool told; /* "network-lock" was told, or is not */
	char table[48];
};

/* At a restore nobody but us can send by lo: connections that wait to be accepted are made once more. */
static int lock_send(struct net_lock *l, bool lo)
{
	struct nft_batch b;

	nft_begin(&b, &l->n, l->table);
	nft_table_new(&b, NFT_TABLE_F_OWNER);
	nft_chain_new(&b, "input", NF_INET_LOCAL_IN, NF_DROP);
	nft_chain_new(&b, "output", NF_INET_LOCAL_OUT, NF_DROP);
	if (lo) {
		nft_rule_accept(&b, "input", NFT_META_IIF, LO);
		nft_rule_accept(&b, "output", NFT_META_OIF, LO);
	}
	nft_rule_accept(&b, "input", NFT_META_MARK, SOCK_LOCK_MARK);
	nft_rule_accept(&b, "output", NFT_META_MARK, SOCK_LOCK_MARK);
	return nft_send(&b);
}

static int unlock_send(struct net_lock *l)
{
	struct nft_batch b;

	nft_begin(&b, &l->n, l->table);
	nft_table_delete(&b);
	return nft_send(&b);
}

/* The session's, made at the first call. */
static struct net_lock *lock_of(struct session *s, bool make)
{
	struct map *m = session_map(s, "net-lock");
	struct net_lock *l = map_get(m, 1);

	if (!l && make) {
		l = xalloc(sizeof(*l));
		map_put(m, 1, l);
	}
	return l;
}

/* Only loopback: whoever could send stands still. Source: a line "NAME: ..." for every device */
static bool is_alone(const struct ns *net)
{
	own_mem char *text = NULL;
	unsigned n = 0;

	if (!net->task || text_read(net->task->proc, "net/dev", &text, NULL) < 0)
		return false;
	for (const char *p = text; (p = strchr(p, ':')); p++)
		n++;
	return n == 1 && strstr(text, " lo:");
}

static int lock_make(struct session *s, const struct ns *net, struct net_lock *l, bool restore)
{
	int r, back;

	if (s->opts->network_lock == CRIU_NETWORK_LOCK_METHOD__SKIP || (!restore && is_alone(net))) /* its devices come later */
		return 0;
	snprintf(l->table, sizeof(l->table), "CRIU-%s", s->run_id);
	r = ns_enter_net(s, net->id);
	if (r < 0)
		return r;
	r = rtnl_open_bus(&l->n, NETLINK_NETFILTER);
	if (r == 0)
		r = lock_send(l, restore);
	back = ns_enter_net(s, 0);
	if (r < 0) {
		session_warn(s, "network namespace %u: cannot be locked: %s%s; packets for the stopped tasks may be answered by the kernel",
			     net->id, strerror(-r), l->n.why);
		rtnl_close(&l->n);
	} else {
		session_debug(s, "network namespace %u: locked", net->id);
	}
	return back;
}

int net_lock(struct session *s)
{
	const struct ns *net = ns_of(s, CLONE_NEWNET);
	struct net_lock *l;
	int r;

	if (!net || !net->own)
		return 0;
	l = lock_of(s, true);
	r = lock_make(s, net, l, false);
	if (r < 0)
		return r;
	l->told = true;
	return session_notify(s, "network-lock", 0, -1);
}

int net_lock_restore(struct session *s)
{
	const struct ns *net = ns_of(s, CLONE_NEWNET);
	struct net_lock *l;

	if (!net || !net->own)
		return 0;
	l = lock_of(s, true);
	l->told = true;
	return net->external ? 0 : lock_make(s, net, l, true);
}

/* Is anybody left in it, or does a mount hold it? What cannot be read has ended, or is nobody's business. */
static bool is_held(struct session *s, const struct ns *net)
{
	own_mem char *mounts = NULL, *name = xprintf(" net:[%llu] ", (unsigned long long)net->ino);
	int proc = ns_proc(s), fd = proc < 0 ? -1 : openat(proc, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	bool held = false;
	struct dirent *e;

	if (!d || text_read(proc, "self/mountinfo", &mounts, NULL) < 0 || strstr(mounts, name))
		held = true;
	while (!held && (e = readdir(d))) {
		char path[NAME_MAX + 16];
		struct stat st;

		snprintf(path, sizeof(path), "%s/ns/net", e->d_name);
		held = isdigit((unsigned char)*e->d_name) && fstatat(proc, path, &st, 0) == 0 && st.st_ino == net->ino;
	}
	if (d)
		closedir(d);
	else
		fd_close(fd);
	return held;
}

struct links_up {
	int *v;
	size_t n, max;
};

static int link_is_up(const struct nlmsghdr *h, void *arg)
{
	const struct ifinfomsg *m = h ? mnl_nlmsg_get_payload(h) : NULL;
	struct links_up *l = arg;

	if (!h)
		l->n = 0;
	else if (h->nlmsg_type == RTM_NEWLINK && mnl_nlmsg_get_payload_len(h) >= sizeof(*m) && m->ifi_flags & IFF_UP &&
		 !(m->ifi_flags & IFF_LOOPBACK))
		*vec_add(l) = m->ifi_index;
	return 0;
}

static int links_down(void)
{
	char req[128] __attribute__((aligned(8)));
	own_rtnl struct rtnl n = { 0 };
	struct links_up l = { 0 };
	int r = rtnl_open(&n);

	if (r == 0)
		r = rtnl_list(&n, RTM_GETLINK, AF_UNSPEC, sizeof(struct ifinfomsg), link_is_up, &l);
	for (size_t i = 0; r == 0 && i < l.n; i++) {
		struct ifinfomsg *m;
		struct nlmsghdr *h = rtnl_begin(req, RTM_NEWLINK, 0, sizeof(*m), &m);

		m->ifi_index = l.v[i];
		m->ifi_change = IFF_UP;
		r = rtnl_talk(&n, h, NULL, NULL);
		r = r == -ENODEV ? 0 : r;
	}
	free(l.v);
	return r;
}

void net_lock_quiet(struct session *s)
{
	const struct ns *net = ns_of(s, CLONE_NEWNET);
	struct net_lock *l = lock_of(s, false);
	int r, back;

	if (!l || !l->n.nl || !net || net->external || is_held(s, net) || ns_enter_net(s, net->id) < 0)
		return;
	r = links_down();
	back = ns_enter_net(s, 0);
	if (r < 0 && back == 0)
		session_debug(s, "network namespace %u: its devices cannot be set down: %s", net->id, strerror(-r));
}

void net_unlock(struct session *s, bool tell)
{
	struct net_lock *l = lock_of(s, false);
	struct map *m = session_map(s, "net-lock");
	int r = 0;

	if (!l)
		return;
	if (l->n.nl)
		r = unlock_send(l); /* at once: closing would do it a little later */
	if (r < 0 && r != -ENOENT)
		session_warn(s, "network lock %s: remove it: %s%s", l->table, strerror(-r), l->n.why);
	rtnl_close(&l->n);
	if (tell && l->told && s->notify.call)
		s->notify.call(s->notify.arg, "network-unlock", 0, -1); /* its failure changes nothing */
	free(l);
	map_free(m);
	memset(m, 0, sizeof(*m));
}
