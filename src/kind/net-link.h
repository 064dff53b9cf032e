/* SPDX-License-Identifier: Apache-2.0 */
/* net-link: the links of a network namespace, netdev-N.img. */
#ifndef KIND_NET_LINK_H
#define KIND_NET_LINK_H

#include "images/netdev.pb-c.h"
#include "kind/net-rtnl.h"
#include "kind/ns.h"

/* What net.c and its helpers need from outside the namespace they are in. */
struct net_env {
	int proc; /* root of a proc */
	int host; /* the dumper's or restorer's network namespace, or -1 */
	int dev_tun; /* O_PATH of /dev/net/tun, or -1 */
	struct rtnl host_nl; /* rtnetlink socket of host; nl NULL if there is none */
};

/* links as read, for restore in steps */
struct net_links {
	NetDeviceEntry **v;
	size_t n, max;
};
void net_links_free(struct net_links *l);

/** net_links_check - links that cannot be kept: all are warned of, the first becomes the reason */
int net_links_check(struct session *s, struct rtnl *n);
int net_links_dump(struct session *s, const struct net_env *env, struct rtnl *n, const struct ns *ns);
int net_links_read(struct session *s, uint32_t id, struct net_links *l);
/**
 * net_links_outside - create those with an end outside: for a supervisor that has entered the namespace, as a
 * guest in a user namespace of its own may not change what is outside
 */
int net_links_outside(struct session *s, struct net_env *env, struct rtnl *n, const struct ns *ns,
		      const struct net_links *l);
/** net_links_make - create them, masters before ports; parameters, switches, then up */
int net_links_make(struct session *s, struct net_env *env, struct rtnl *n, const struct ns *ns,
		   const struct net_links *l);

/* What is set as it is told, by net-link-more.c. */
/** net_link_more_put, net_link_groups_put - write it down of a device that the kernel tells so of */
void net_link_more_put(NetDeviceEntry *e, const struct nlmsghdr *h);
void net_link_groups_put(struct session *s, int proc, NetDeviceEntry *e);
/** net_link_first - append to a request for a new device what only such a one takes */
void net_link_first(struct nlmsghdr *h, const NetDeviceEntry *e);
/** net_links_more - set the rest, when all devices are up; what is not taken is reported */
void net_links_more(struct session *s, struct rtnl *n, const struct net_links *l);

/** net_link_offloads_put, net_link_offloads_set - `ethtool -K`; fd is any socket of the namespace */
void net_link_offloads_put(struct session *s, int fd, NetDeviceEntry *e);
void net_link_offloads_set(struct session *s, int fd, const NetDeviceEntry *e);

/** net_link_flags - settable part of IFF_* */
uint32_t net_link_flags(void);
/** net_link_name_ok - fit for the kernel and for /proc/sys */
bool net_link_name_ok(const char *name);

#endif
