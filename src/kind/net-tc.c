// SPDX-License-Identifier: Apache-2.0
/*
 * net-tc: queueing disciplines, their classes and filters, as `tc` sets them.
 *
 * Kept:   disciplines with a handle, also of ingress and clsact; classes that somebody made; filters with their
 *         actions, on disciplines and classes.
 * Lost:   statistics, packets that wait; filters by eBPF programs, blocks that devices share, actions that no
 *         filter uses: reported.
 * Kernel: net/sched/{sch_api,cls_api}.c; what a discipline or filter tells of itself is what it takes, but for
 *         the few things in tc_clean().
 */
#include "kind/net-tc.h"

#include "base/list.h"
#include "kind/net-raw.h"

#include <errno.h>
#include <linux/pkt_cls.h>
#include <linux/rtnetlink.h>
#include <linux/pkt_sched.h>
#include <string.h>

#define HEAD sizeof(struct tcmsg)

static const char *tc_kind(const struct nlmsghdr *h)
{
	const struct nlattr *a = attr_find(h, HEAD, TCA_KIND);
	const char *t = a ? mnl_attr_get_payload(a) : "";

	return a && memchr(t, 0, mnl_attr_get_payload_len(a)) ? t : "";
}

/* Those without a handle came with their device or class. */
static enum raw_keep keep_qdisc(const struct nlmsghdr *h)
{
	const struct tcmsg *m = mnl_nlmsg_get_payload(h);

	return TC_H_MAJ(m->tcm_handle) && m->tcm_ifindex > 0 ? RAW_KEEP : RAW_SKIP;
}

/* Other disciplines make their classes themselves. */
static enum raw_keep keep_class(const struct nlmsghdr *h)
{
	static const char *const made[] = { "htb", "hfsc", "drr", "qfq" };

	for (size_t i = 0; i < ARRAY_SIZE(made); i++)
		if (!strcmp(tc_kind(h), made[i]))
			return RAW_KEEP;
	return RAW_SKIP;
}

/* A hash table of u32's that came with the filter's priority. */
static bool u32_root(const struct nlmsghdr *h)
{
	const struct tcmsg *m = mnl_nlmsg_get_payload(h);

	return !strcmp(tc_kind(h), "u32") && TC_U32_HTID(m->tcm_handle) & 0x80000000u && !TC_U32_KEY(m->tcm_handle);
}

/* The first message of a priority tells that there is one, and no filter. */
static enum raw_keep keep_filter(const struct nlmsghdr *h)
{
	const struct tcmsg *m = mnl_nlmsg_get_payload(h);

	return m->tcm_handle && m->tcm_ifindex > 0 && !u32_root(h) ? RAW_KEEP : RAW_SKIP;
}

static int tc_send(struct rtnl *n, struct nlmsghdr *h);

enum { QDISC, CLASS, FILTER };
static const struct raw_file tc_files[] = {
	[QDISC] = { "qdisc", 0, RTM_GETQDISC, RTM_NEWQDISC, RTM_DELQDISC, AF_UNSPEC, HEAD, .keep = keep_qdisc, .send = tc_send },
	[CLASS] = { "tclass", 0, RTM_GETTCLASS, RTM_NEWTCLASS, RTM_DELTCLASS, AF_UNSPEC, HEAD, .keep = keep_class, .send = tc_send },
	[FILTER] = { "tfilter", 0, RTM_GETTFILTER, RTM_NEWTFILTER, RTM_DELTFILTER, AF_UNSPEC, HEAD, .keep = keep_filter,
		     .send = tc_send },
};

/* ---- dump ---- */

/* What hangs on one point of a device. */
static int tc_ask(struct rtnl *n, const struct raw_file *f, int link, uint32_t parent, struct raw_list *l)
{
	struct tcmsg m = { .tcm_ifindex = link, .tcm_parent = parent };

	return raw_list_ask(n, f, &m, l);
}

static bool first_of_link(const struct raw_list *l, size_t at)
{
	const struct tcmsg *m = mnl_nlmsg_get_payload(l->v[at]), *o;

	for (size_t i = 0; i < at; i++) {
		o = mnl_nlmsg_get_payload(l->v[i]);
		if (o->tcm_ifindex == m->tcm_ifindex)
			return false;
	}
	return true;
}

static int filters_of_qdisc(struct rtnl *n, const struct nlmsghdr *h, struct raw_list *filters)
{
	const struct tcmsg *m = mnl_nlmsg_get_payload(h);
	int r;

	if (strcmp(tc_kind(h), "clsact") != 0)
		return tc_ask(n, &tc_files[FILTER], m->tcm_ifindex, m->tcm_handle, filters);
	r = tc_ask(n, &tc_files[FILTER], m->tcm_ifindex, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS), filters);
	return r < 0 ? r : tc_ask(n, &tc_files[FILTER], m->tcm_ifindex, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS), filters);
}

/* What the kernel tells no more of than a name. */
static void filters_report(struct session *s, const struct raw_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct tcmsg *m = mnl_nlmsg_get_payload(l->v[i]);
		char name[IF_NAMESIZE] = "?";

		if (strcmp(tc_kind(l->v[i]), "bpf") != 0 ||
		    !attr_nested(attr_find(l->v[i], HEAD, TCA_OPTIONS), TCA_BPF_ID))
			continue;
		if_indextoname(m->tcm_ifindex, name);
		session_warn(s, "network link %s: the eBPF program of a filter at %x:%x is not kept; attach it again after the restore",
			     name, m->tcm_parent >> 16, m->tcm_parent & 0xffff);
	}
}

static void blocks_report(struct session *s, const struct raw_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct tcmsg *m = mnl_nlmsg_get_payload(l->v[i]);
		char name[IF_NAMESIZE] = "?";

		if (!attr_find(l->v[i], HEAD, TCA_INGRESS_BLOCK) && !attr_find(l->v[i], HEAD, TCA_EGRESS_BLOCK))
			continue;
		if_indextoname(m->tcm_ifindex, name);
		session_warn(s, "network link %s: filters in a block that devices share are not kept", name);
	}
}

/* ---- actions that no filter has ---- */

struct actions {
	struct session *s;
	const char *kind;
	uint32_t id;
};

/* All begin with the same words: index, capabilities, what to do, users, filters among them. */
static int action_take(const struct nlmsghdr *h, void *arg)
{
	const struct actions *a = arg;
	const struct nlattr *tab = h ? attr_find(h, sizeof(struct tcamsg), TCA_ACT_TAB) : NULL, *one;
	uint16_t parms = strcmp(a->kind, "police") ? 2 /* TCA_GACT_PARMS and its like */ : TCA_POLICE_TBF;

	if (!tab)
		return 0;
	mnl_attr_for_each_nested(one, tab) {
		const struct nlattr *p = attr_nested(attr_nested(one, TCA_ACT_OPTIONS), parms);
		struct tc_police police = { 0 };
		struct { tc_gen; } any = { 0 };

		if (parms == TCA_POLICE_TBF && p && mnl_attr_get_payload_len(p) >= sizeof(police)) {
			memcpy(&police, mnl_attr_get_payload(p), sizeof(police));
			any.index = police.index;
			any.bindcnt = police.bindcnt;
		} else if (parms != TCA_POLICE_TBF && p && mnl_attr_get_payload_len(p) >= sizeof(any)) {
			memcpy(&any, mnl_attr_get_payload(p), sizeof(any));
		} else {
			continue;
		}
		if (!any.bindcnt)
			session_warn(a->s, "network namespace %u: action %s %u of traffic control, which no filter uses, is not kept", a->id,
				     a->kind, any.index);
	}
	return 0;
}

/* Asked by their kinds; of one that is not loaded there is none. */
static void actions_report(struct session *s, struct rtnl *n, uint32_t id)
{
	static const char *const all[] = { "bpf", "connmark", "csum", "ct", "ctinfo", "gact", "gate", "ife", "mirred", "mpls", "nat",
					   "pedit", "police", "sample", "simple", "skbedit", "skbmod", "tunnel_key", "vlan", "xt" };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		struct actions a = { s, all[i], id };
		char buf[256] __attribute__((aligned(8)));
		struct tcamsg *m;
		struct nlmsghdr *h = rtnl_begin(buf, RTM_GETACTION, NLM_F_DUMP, sizeof(*m), &m);
		struct nlattr *tab = mnl_attr_nest_start(h, TCA_ACT_TAB), *one = mnl_attr_nest_start(h, 1);

		mnl_attr_put_strz(h, TCA_ACT_KIND, all[i]);
		mnl_attr_nest_end(h, one);
		mnl_attr_nest_end(h, tab);
		rtnl_talk(n, h, action_take, &a);
	}
}

int tc_dump(struct session *s, struct rtnl *n, uint32_t id)
{
	own_raw struct raw_list q = { 0 }, c = { .f = &tc_files[CLASS] }, f = { .f = &tc_files[FILTER] };
	int r = raw_list_get(n, &tc_files[QDISC], &q);

	for (size_t i = 0; i < q.n && r == 0; i++) {
		const struct tcmsg *m = mnl_nlmsg_get_payload(q.v[i]);

		if (first_of_link(&q, i))
			r = tc_ask(n, &tc_files[CLASS], m->tcm_ifindex, 0, &c);
		if (r == 0)
			r = filters_of_qdisc(n, q.v[i], &f);
	}
	for (size_t i = 0; i < c.n && r == 0; i++) {
		const struct tcmsg *m = mnl_nlmsg_get_payload(c.v[i]);

		r = tc_ask(n, &tc_files[FILTER], m->tcm_ifindex, m->tcm_handle, &f);
	}
	if (r < 0)
		return session_fail(s, r, "netns %u: list traffic control%s", id, n->why);
	blocks_report(s, &q);
	filters_report(s, &f);
	actions_report(s, n, id);
	r = raw_write(s, &q, id);
	if (r == 0)
		r = raw_write(s, &c, id);
	return r < 0 ? r : raw_write(s, &f, id);
}

/* ---- restore ---- */

/* The flags of a filter, among which it tells what its device has made of it. */
static uint16_t filter_flags(const char *kind)
{
	return !strcmp(kind, "u32")      ? TCA_U32_FLAGS :
	       !strcmp(kind, "flower")   ? TCA_FLOWER_FLAGS :
	       !strcmp(kind, "matchall") ? TCA_MATCHALL_FLAGS :
	       !strcmp(kind, "bpf")      ? TCA_BPF_FLAGS_GEN : 0;
}

/* The attribute of a copy, to be changed in place; it has at least size bytes. */
static void *option(struct nlmsghdr *h, uint16_t type, size_t size)
{
	const struct nlattr *a = attr_nested(attr_find(h, HEAD, TCA_OPTIONS), type);

	return a && mnl_attr_get_payload_len(a) >= size ? mnl_attr_get_payload(a) : NULL;
}

static void tc_clean(struct nlmsghdr *h)
{
	const char *kind = tc_kind(h);
	uint32_t *flags = h->nlmsg_type == RTM_NEWTFILTER && filter_flags(kind) ? option(h, filter_flags(kind), sizeof(*flags)) : NULL;
	struct tc_htb_glob *htb = h->nlmsg_type == RTM_NEWQDISC && !strcmp(kind, "htb") ? option(h, TCA_HTB_INIT, sizeof(*htb)) : NULL;

	if (flags)
		*flags &= ~(uint32_t)(TCA_CLS_FLAGS_IN_HW | TCA_CLS_FLAGS_NOT_IN_HW);
	if (htb) {
		htb->version = TC_HTB_PROTOVER; /* told with the minor version, taken without */
		htb->direct_pkts = 0;
	}
}

/* htb makes a class whose parent is not there one of the root, without a word. */
static int parent_there(struct rtnl *n, const struct tcmsg *class)
{
	char buf[256] __attribute__((aligned(8)));
	struct tcmsg *m;
	struct nlmsghdr *req = rtnl_begin(buf, RTM_GETTCLASS, 0, sizeof(*m), &m);

	if (class->tcm_parent == TC_H_ROOT || !TC_H_MIN(class->tcm_parent))
		return 0;
	m->tcm_ifindex = class->tcm_ifindex;
	m->tcm_handle = class->tcm_parent;
	return rtnl_talk(n, req, NULL, NULL);
}

/* Of what is told, only this is input. */
static int tc_send(struct rtnl *n, struct nlmsghdr *h)
{
	static const uint16_t input[] = { TCA_KIND, TCA_OPTIONS, TCA_STAB, TCA_CHAIN };
	const struct tcmsg *from = mnl_nlmsg_get_payload(h);
	own_mem char *buf = xalloc(RTNL_MSG_MAX + 256);
	struct tcmsg *m;
	struct nlmsghdr *req = rtnl_begin(buf, h->nlmsg_type, h->nlmsg_flags, sizeof(*m), &m);

	int r = h->nlmsg_type == RTM_NEWTCLASS ? parent_there(n, from) : 0;

	if (r < 0)
		return r;
	*m = *from;
	if (h->nlmsg_type != RTM_NEWTFILTER)
		m->tcm_info = 0; /* else priority and protocol */
	if (h->nlmsg_type == RTM_NEWQDISC)
		req->nlmsg_flags |= NLM_F_REPLACE; /* of what came with the device */
	raw_input(req, h, HEAD, input, ARRAY_SIZE(input));
	tc_clean(req);
	return rtnl_talk(n, req, NULL, NULL);
}

int tc_restore(struct session *s, struct rtnl *n, uint32_t id)
{
	own_raw struct raw_list l = { 0 };
	size_t lost;
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(tc_files) && r >= 0; i++)
		r = raw_read(s, &tc_files[i], id, &l);
	if (r < 0 || !l.n)
		return r < 0 ? r : 0;
	lost = raw_rounds(n, &l, &r); /* a discipline may hang on a class of another */
	for (size_t i = 0; i < lost; i++) {
		const struct tcmsg *m = mnl_nlmsg_get_payload(l.v[i]);
		char name[IF_NAMESIZE] = "?";

		if_indextoname(m->tcm_ifindex, name);
		session_warn(s, "network link %s: %s %s %x:%x cannot be set: %s%s", name,
			     l.v[i]->nlmsg_type == RTM_NEWQDISC	   ? "queueing discipline" :
			     l.v[i]->nlmsg_type == RTM_NEWTCLASS ? "class" :
								     "filter", tc_kind(l.v[i]),
			     m->tcm_handle >> 16, m->tcm_handle & 0xffff, strerror(-r), n->why);
	}
	return 0;
}
