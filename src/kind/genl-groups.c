// SPDX-License-Identifier: Apache-2.0
/*
 * genl-groups: see genl-groups.h.
 *
 * Kept:   groups of generic netlink that a socket is in, by the names of family and group.
 * Lost:   one that is not here, as its module is not loaded: reported. Numbers of families, which programs ask for once.
 * Kernel: genetlink(7), CTRL_CMD_GETFAMILY; groups get their numbers in the order in which modules are loaded.
 */
#include "kind/genl-groups.h"

#include "base/list.h"
#include "base/res.h"
#include "kind/net-rtnl.h"

#include <linux/genetlink.h>
#include <string.h>

#define GROUPS_MAX 4096

/* All that there are on this machine. */
struct genl_groups {
	bool loaded;
	struct {
		NetlinkGroup **v;
		size_t n, max;
	} all;
};

static char *text_of(const struct nlattr *a)
{
	return a ? xprintf("%.*s", (int)mnl_attr_get_payload_len(a), (const char *)mnl_attr_get_payload(a)) : NULL;
}

static void group_free(NetlinkGroup *g)
{
	netlink_group__free_unpacked(g, NULL);
}

static int family_take(const struct nlmsghdr *h, void *arg)
{
	struct genl_groups *all = arg;
	const struct nlattr *family, *groups, *a;

	if (!h) {
		while (all->all.n)
			group_free(all->all.v[--all->all.n]);
		return 0;
	}
	family = attr_find(h, GENL_HDRLEN, CTRL_ATTR_FAMILY_NAME);
	groups = attr_find(h, GENL_HDRLEN, CTRL_ATTR_MCAST_GROUPS);
	if (!family || !groups)
		return 0;
	mnl_attr_for_each_nested(a, groups) {
		const struct nlattr *name = attr_nested(a, CTRL_ATTR_MCAST_GRP_NAME);
		NetlinkGroup *g;

		if (!name || all->all.n >= GROUPS_MAX)
			continue;
		*vec_add(&all->all) = g = xalloc(sizeof(*g));
		netlink_group__init(g);
		g->family = text_of(family);
		g->name = text_of(name);
		g->id = attr_u32(attr_nested(a, CTRL_ATTR_MCAST_GRP_ID), 0);
	}
	return 0;
}

static const struct genl_groups *groups_here(struct session *s)
{
	struct genl_groups *g = session_state(s, "generic netlink groups", sizeof(*g));
	struct genlmsghdr head = { .cmd = CTRL_CMD_GETFAMILY, .version = 1 };
	own_rtnl struct rtnl n = { 0 };

	if (!g->loaded && rtnl_open_bus(&n, NETLINK_GENERIC) == 0)
		rtnl_list_asked(&n, GENL_ID_CTRL, GENL_HDRLEN, &head, family_take, g);
	g->loaded = true;
	return g;
}

static bool is_member(const NetlinkSkEntry *e, uint32_t group)
{
	uint32_t word = group / 32 - (group % 32 == 0), bit = (group - 1) % 32;

	return group && (word ? word <= e->n_more_groups && e->more_groups[word - 1] >> bit & 1
			      : e->n_groups && e->groups[0] >> bit & 1);
}

void genl_groups_note(struct session *s, NetlinkSkEntry *e)
{
	const struct genl_groups *g;

	if (e->protocol != NETLINK_GENERIC || (!e->n_groups && !e->n_more_groups))
		return;
	g = groups_here(s);
	e->genl = xalloc((g->all.n + 1) * sizeof(*e->genl));
	for (size_t i = 0; i < g->all.n; i++) {
		const NetlinkGroup *from = g->all.v[i];
		NetlinkGroup *to;

		if (!is_member(e, from->id))
			continue;
		to = e->genl[e->n_genl++] = xalloc(sizeof(*to));
		netlink_group__init(to);
		to->id = from->id;
		to->family = xstrdup(from->family);
		to->name = xstrdup(from->name);
	}
}

void genl_groups_free(NetlinkSkEntry *e)
{
	for (size_t i = 0; i < e->n_genl; i++)
		group_free(e->genl[i]);
	free(e->genl);
}

int genl_group_here(struct session *s, const NetlinkSkEntry *e, uint32_t group, const NetlinkGroup **ret)
{
	const struct genl_groups *g;
	const NetlinkGroup *was = NULL;

	for (size_t i = 0; !was && i < e->n_genl && e->protocol == NETLINK_GENERIC; i++)
		was = e->genl[i]->id == group ? e->genl[i] : NULL;
	*ret = was;
	if (!was)
		return group;
	g = groups_here(s);
	for (size_t i = 0; i < g->all.n; i++)
		if (!strcmp(g->all.v[i]->family, was->family) && !strcmp(g->all.v[i]->name, was->name))
			return g->all.v[i]->id;
	return -ENOENT;
}
