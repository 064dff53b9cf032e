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
#include "kind/net-rtnl.h"
#include "kind/ns.h"
#include "task/sock-lock.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/sched.h>
#include <string.h>
#include <sys/stat.h>

#define LOCK_PRIORITY (-350) /* before connection tracking and address translation */
#define LO 1 /* the kernel's LOOPBACK_IFINDEX */
#define BATCH_MAX 4096u	     /* bytes; ours have about 1500 */

struct net_lock {
	struct rtnl n;
	bool told; /* "network-lock" was told, or is not */
	char table[48];
};

/* requests to nf_tables, taken all or none */
struct nft_batch {
	unsigned seq;
	char *buf;
	size_t len;
};

static struct nlmsghdr *nft_add(struct nft_batch *b, int type, int flags, int family, int res_id)
{
	struct nfgenmsg *g;
	struct nlmsghdr *h = rtnl_begin(b->buf + b->len, type, flags, sizeof(*g), &g);

	h->nlmsg_seq = b->seq;
	g->nfgen_family = family;
	g->version = NFNETLINK_V0;
	g->res_id = htons(res_id);
	return h;
}

/* One is complete: the next starts behind it. */
static void nft_added(struct nft_batch *b, const struct nlmsghdr *h)
{
	b->len += MNL_ALIGN(h->nlmsg_len);
}

static struct nlmsghdr *nft_do(struct nft_batch *b, int type, int flags)
{
	return nft_add(b, NFNL_SUBSYS_NFTABLES << 8 | type, flags, NFPROTO_INET, 0);
}

static void nft_edge(struct nft_batch *b, int type)
{
	nft_added(b, nft_add(b, type, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
}

static void put_be32(struct nlmsghdr *h, uint16_t type, uint32_t v)
{
	mnl_attr_put_u32(h, type, htonl(v));
}

static void lock_table(struct nft_batch *b, const char *table)
{
	struct nlmsghdr *h = nft_do(b, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL);

	mnl_attr_put_strz(h, NFTA_TABLE_NAME, table);
	put_be32(h, NFTA_TABLE_FLAGS, NFT_TABLE_F_OWNER);
	nft_added(b, h);
}

static void lock_chain(struct nft_batch *b, const char *table, const char *chain, uint32_t hook)
{
	struct nlmsghdr *h = nft_do(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE | NLM_F_EXCL);
	struct nlattr *nest;

	mnl_attr_put_strz(h, NFTA_CHAIN_TABLE, table);
	mnl_attr_put_strz(h, NFTA_CHAIN_NAME, chain);
	mnl_attr_put_strz(h, NFTA_CHAIN_TYPE, "filter");
	put_be32(h, NFTA_CHAIN_POLICY, NF_DROP);
	nest = mnl_attr_nest_start(h, NFTA_CHAIN_HOOK);
	put_be32(h, NFTA_HOOK_HOOKNUM, hook);
	put_be32(h, NFTA_HOOK_PRIORITY, (uint32_t)LOCK_PRIORITY);
	mnl_attr_nest_end(h, nest);
	nft_added(b, h);
}

/* An expression of a rule: its name, then what begin..end put in */
static struct nlattr *expr_begin(struct nlmsghdr *h, const char *name, struct nlattr **ret_data)
{
	struct nlattr *elem = mnl_attr_nest_start(h, NFTA_LIST_ELEM);

	mnl_attr_put_strz(h, NFTA_EXPR_NAME, name);
	*ret_data = mnl_attr_nest_start(h, NFTA_EXPR_DATA);
	return elem;
}

static void expr_end(struct nlmsghdr *h, struct nlattr *elem, struct nlattr *data)
{
	mnl_attr_nest_end(h, data);
	mnl_attr_nest_end(h, elem);
}

/* meta KEY == VALUE accept */
static void put_accept_rule(struct nlmsghdr *h, enum nft_meta_keys key, uint32_t is)
{
	struct nlattr *elem, *data, *value, *verdict;

	elem = expr_begin(h, "meta", &data);
	put_be32(h, NFTA_META_KEY, key);
	put_be32(h, NFTA_META_DREG, NFT_REG_1);
	expr_end(h, elem, data);

	elem = expr_begin(h, "cmp", &data);
	put_be32(h, NFTA_CMP_SREG, NFT_REG_1);
	put_be32(h, NFTA_CMP_OP, NFT_CMP_EQ);
	value = mnl_attr_nest_start(h, NFTA_CMP_DATA);
	mnl_attr_put(h, NFTA_DATA_VALUE, sizeof(is), &is);
	mnl_attr_nest_end(h, value);
	expr_end(h, elem, data);

	elem = expr_begin(h, "immediate", &data);
	put_be32(h, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	value = mnl_attr_nest_start(h, NFTA_IMMEDIATE_DATA);
	verdict = mnl_attr_nest_start(h, NFTA_DATA_VERDICT);
	put_be32(h, NFTA_VERDICT_CODE, NF_ACCEPT);
	mnl_attr_nest_end(h, verdict);
	mnl_attr_nest_end(h, value);
	expr_end(h, elem, data);
}

static void lock_rule(struct nft_batch *b, const char *table, const char *chain, enum nft_meta_keys key, uint32_t is,
		      int flags)
{
	struct nlmsghdr *h = nft_do(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND | flags);
	struct nlattr *list;

	mnl_attr_put_strz(h, NFTA_RULE_TABLE, table);
	mnl_attr_put_strz(h, NFTA_RULE_CHAIN, chain);
	list = mnl_attr_nest_start(h, NFTA_RULE_EXPRESSIONS);
	put_accept_rule(h, key, is);
	mnl_attr_nest_end(h, list);
	nft_added(b, h);
}

/* At a restore nobody but us can send by lo: connections that wait to be accepted are made once more. */
static int lock_send(struct net_lock *l, bool lo)
{
	own_mem char *buf = xalloc(BATCH_MAX);
	struct nft_batch b = { .seq = rtnl_seq(&l->n), .buf = buf };

	nft_edge(&b, NFNL_MSG_BATCH_BEGIN);
	lock_table(&b, l->table);
	lock_chain(&b, l->table, "input", NF_INET_LOCAL_IN);
	lock_chain(&b, l->table, "output", NF_INET_LOCAL_OUT);
	if (lo) {
		lock_rule(&b, l->table, "input", NFT_META_IIF, LO, 0);
		lock_rule(&b, l->table, "output", NFT_META_OIF, LO, 0);
	}
	lock_rule(&b, l->table, "input", NFT_META_MARK, SOCK_LOCK_MARK, 0);
	lock_rule(&b, l->table, "output", NFT_META_MARK, SOCK_LOCK_MARK, NLM_F_ACK); /* the only answer, if all went well */
	nft_edge(&b, NFNL_MSG_BATCH_END);
	return rtnl_batch(&l->n, b.buf, b.len);
}

static int unlock_send(struct net_lock *l)
{
	own_mem char *buf = xalloc(BATCH_MAX);
	struct nft_batch b = { .seq = rtnl_seq(&l->n), .buf = buf };
	struct nlmsghdr *h;

	nft_edge(&b, NFNL_MSG_BATCH_BEGIN);
	h = nft_do(&b, NFT_MSG_DELTABLE, NLM_F_ACK);
	mnl_attr_put_strz(h, NFTA_TABLE_NAME, l->table);
	nft_added(&b, h);
	nft_edge(&b, NFNL_MSG_BATCH_END);
	return rtnl_batch(&l->n, b.buf, b.len);
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
