/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net-outside: what a network namespace has to do with the one of whoever dumps or restores: outer
 * ends of veth pairs, devices moved in, lower devices of macvlans.
 */
#ifndef KIND_NET_OUTSIDE_H
#define KIND_NET_OUTSIDE_H

#include "kind/net-link.h"

/**
 * net_env_get - descriptors and a socket of the outer namespace, made at the first call
 * To be called in the supervisor before guests are forked, which inherit it.
 */
int net_env_get(struct session *s, struct net_env **ret);
/** net_env_end - close them */
void net_env_end(struct session *s);
/** outside_index - index of a device outside; 0 or negative: there is none */
int outside_index(struct net_env *env, const char *name);
/** outside_bridge - make a device outside a port of a bridge there, and up; br may be NULL */
int outside_bridge(struct net_env *env, const char *name, const char *br);
/** outside_move - move a device from outside into ns_fd, with a new name and index */
int outside_move(struct net_env *env, const char *from, int ns_fd, const char *name, uint32_t index);

#endif
