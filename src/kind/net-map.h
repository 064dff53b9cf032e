/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net-map: --address-map for what is in a network namespace that is made anew. Each changes a message of an image in
 * place, and an address only where it stands for that one host: not a network, not a range.
 */
#ifndef KIND_NET_MAP_H
#define KIND_NET_MAP_H

#include "images/netdev.pb-c.h"
#include "kind/net-rtnl.h"

struct xt_entry_target;

/* Hooks of struct raw_file; 0, or -errno with the reason. */
int map_addr(struct session *s, struct nlmsghdr *h);
int map_neigh(struct session *s, struct nlmsghdr *h);
int map_nexthop(struct session *s, struct nlmsghdr *h);
int map_route(struct session *s, struct nlmsghdr *h);
int map_rule(struct session *s, struct nlmsghdr *h);
int map_track(struct session *s, struct nlmsghdr *h);
int map_expect(struct session *s, struct nlmsghdr *h);
int map_ipset(struct session *s, struct nlmsghdr *h);
int map_xfrm_state(struct session *s, struct nlmsghdr *h);
int map_xfrm_policy(struct session *s, struct nlmsghdr *h);
int map_generic(struct session *s, struct nlmsghdr *h);

/** map_link - ends of tunnels */
int map_link(struct session *s, NetDeviceEntry *e);
/** map_text - addresses that stand alone in a ruleset of nftables; *text is owned, and replaced */
int map_text(struct session *s, char **text);
/** map_legacy - addresses of an entry of iptables-legacy, family AF_INET or AF_INET6, and of its target of size bytes */
int map_legacy(struct session *s, int family, void *entry, struct xt_entry_target *target, size_t size);
/**
 * map_route_of_kernel, map_route_made - a route that the kernel makes of an address: of one that is mapped into
 * another network, or of what it was mapped to
 */
bool map_route_of_kernel(struct session *s, const struct nlmsghdr *h);
bool map_route_made(struct session *s, const struct nlmsghdr *h);

#endif
