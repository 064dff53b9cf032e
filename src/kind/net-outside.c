// SPDX-License-Identifier: Apache-2.0
/*
 * net-outside: see net-outside.h.
 *
 * Kernel: IFLA_NET_NS_FD; IFLA_NEW_IFINDEX (Linux 5.13).
 */
#include "kind/net-outside.h"

#include "base/res.h"

#include <fcntl.h>
#include <linux/if_link.h>
#include <string.h>

static void env_close(struct net_env *env)
{
	fd_close(env->proc);
	fd_close(env->host);
	fd_close(env->dev_tun);
	rtnl_close(&env->host_nl);
}

int net_env_get(struct session *s, struct net_env **ret)
{
	struct map *m = session_map(s, "net-env");
	struct net_env *env = map_get(m, 1);
	int r;

	if (env) {
		*ret = env;
		return 0;
	}
	env = xalloc(sizeof(*env));
	env->proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	env->host = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	env->dev_tun = open("/dev/net/tun", O_PATH | O_CLOEXEC);
	r = env->proc < 0 || env->host < 0 ? -errno : rtnl_open(&env->host_nl);
	if (r < 0) {
		env_close(env);
		free(env);
		return session_fail(s, r, "/proc, network namespace of ours: open");
	}
	map_put(m, 1, env);
	*ret = env;
	return 0;
}

void net_env_end(struct session *s)
{
	struct map *m = session_map(s, "net-env");
	struct net_env *env = map_get(m, 1);

	if (!env)
		return;
	env_close(env);
	free(env);
	map_free(m);
	memset(m, 0, sizeof(*m));
}

static int index_take(const struct nlmsghdr *h, void *arg)
{
	const struct ifinfomsg *m = mnl_nlmsg_get_payload(h);

	if (h->nlmsg_type == RTM_NEWLINK && mnl_nlmsg_get_payload_len(h) >= sizeof(*m))
		*(int *)arg = m->ifi_index;
	return 0;
}

int outside_index(struct net_env *env, const char *name)
{
	char req[256] __attribute__((aligned(8)));
	struct ifinfomsg *m;
	struct nlmsghdr *h = rtnl_begin(req, RTM_GETLINK, 0, sizeof(*m), &m);
	int index = -ENODEV, r;

	if (!net_link_name_ok(name))
		return -EINVAL;
	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	r = rtnl_talk(&env->host_nl, h, index_take, &index);
	return r < 0 ? r : index;
}

int outside_bridge(struct net_env *env, const char *name, const char *br)
{
	char req[256] __attribute__((aligned(8)));
	int index = outside_index(env, name), master = br ? outside_index(env, br) : 0;
	struct ifinfomsg *m;
	struct nlmsghdr *h = rtnl_begin(req, RTM_NEWLINK, 0, sizeof(*m), &m);

	if (index <= 0 || master < 0)
		return index <= 0 ? index : master;
	m->ifi_index = index;
	m->ifi_flags = m->ifi_change = IFF_UP;
	if (br)
		mnl_attr_put_u32(h, IFLA_MASTER, master);
	return rtnl_talk(&env->host_nl, h, NULL, NULL);
}

int outside_move(struct net_env *env, const char *from, int ns_fd, const char *name, uint32_t index)
{
	char req[256] __attribute__((aligned(8)));
	int at = outside_index(env, from);
	struct ifinfomsg *m;
	struct nlmsghdr *h = rtnl_begin(req, RTM_NEWLINK, 0, sizeof(*m), &m);

	if (at <= 0)
		return at < 0 ? at : -ENODEV;
	m->ifi_index = at;
	m->ifi_change = IFF_UP; /* down: only such a device can be renamed and moved */
	mnl_attr_put_u32(h, IFLA_NET_NS_FD, ns_fd);
	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	mnl_attr_put_u32(h, IFLA_NEW_IFINDEX, index);
	return rtnl_talk(&env->host_nl, h, NULL, NULL);
}
