// SPDX-License-Identifier: Apache-2.0
/*
 * net-nsid: see net-nsid.h.
 *
 * Kept:   numbers of namespaces in the images, and of the one outside (in a field of ours).
 * Lost:   numbers of others, which are no part of the tree.
 * Kernel: RTM_GETNSID, RTM_NEWNSID (net/core/net_namespace.c).
 */
#include "kind/net-nsid.h"

#include "base/res.h"
#include "kind/ns.h"

#include <linux/net_namespace.h>
#include <linux/sched.h>
#include <string.h>

#define NS_MAX 4096 /* ids of namespaces we look at */

static int nsid_take(const struct nlmsghdr *h, void *arg)
{
	const struct nlattr *a = h ? attr_find(h, sizeof(struct rtgenmsg), NETNSA_NSID) : NULL;

	if (a)
		*(int *)arg = (int)attr_u32(a, -1);
	return 0;
}

int nsid_of(struct rtnl *n, int ns_fd)
{
	char req[128] __attribute__((aligned(8)));
	struct rtgenmsg *g;
	struct nlmsghdr *h = rtnl_begin(req, RTM_GETNSID, 0, sizeof(*g), &g);
	int id = -1;

	mnl_attr_put_u32(h, NETNSA_FD, ns_fd);
	return rtnl_talk(n, h, nsid_take, &id) == 0 ? id : -1;
}

static int nsid_set(struct session *s, struct rtnl *n, int ns_fd, int nsid)
{
	char req[128] __attribute__((aligned(8)));
	struct rtgenmsg *g;
	struct nlmsghdr *h = rtnl_begin(req, RTM_NEWNSID, 0, sizeof(*g), &g);
	int r;

	mnl_attr_put_u32(h, NETNSA_FD, ns_fd);
	mnl_attr_put_u32(h, NETNSA_NSID, nsid);
	r = rtnl_talk(n, h, NULL, NULL);
	return r < 0 && r != -EEXIST ? session_fail(s, r, "network namespace number %d: set it%s", nsid,
						    n->why)
				     : 0;
}

void nsid_dump(struct session *s, struct rtnl *n, int outside, NetnsEntry *e)
{
	e->outer_nsid = outside >= 0 ? nsid_of(n, outside) : -1;
	e->has_outer_nsid = e->outer_nsid >= 0;
	for (uint32_t id = 1; id < NS_MAX; id++) {
		const struct ns *o = ns_find(s, id);
		int v = o && o->own && o->kind->flag == CLONE_NEWNET && o->fd >= 0 ? nsid_of(n, o->fd)
										   : -1;

		if (v < 0)
			continue;
		e->nsids = xgrow(e->nsids, (e->n_nsids + 1) * sizeof(*e->nsids));
		e->nsids[e->n_nsids] = xalloc(sizeof(**e->nsids));
		netns_id__init(e->nsids[e->n_nsids]);
		e->nsids[e->n_nsids]->target_ns_id = id;
		e->nsids[e->n_nsids++]->netnsid_value = v;
	}
}

int nsid_restore(struct session *s, struct rtnl *n, int outside, const NetnsEntry *e)
{
	int r = 0;

	if (e->has_outer_nsid && e->outer_nsid >= 0 && outside >= 0)
		r = nsid_set(s, n, outside, e->outer_nsid);
	for (size_t i = 0; r == 0 && i < e->n_nsids; i++) {
		const struct ns *o = ns_find(s, e->nsids[i]->target_ns_id);

		if (e->nsids[i]->netnsid_value < 0)
			continue;
		if (o && o->kind->flag == CLONE_NEWNET && o->fd >= 0)
			r = nsid_set(s, n, o->fd, e->nsids[i]->netnsid_value);
		else
			session_warn(s, "network namespace number %d: namespace %u is not restored, so it has none",
				     e->nsids[i]->netnsid_value, e->nsids[i]->target_ns_id);
	}
	return r;
}
