/* SPDX-License-Identifier: Apache-2.0 */
/* net-nsid: the numbers by which a network namespace calls others (`ip netns list-id`). */
#ifndef KIND_NET_NSID_H
#define KIND_NET_NSID_H

#include "images/netdev.pb-c.h"
#include "kind/net-rtnl.h"

/** nsid_of - the number the current namespace has for another; -1 none */
int nsid_of(struct rtnl *n, int ns_fd);
/** nsid_dump - those of namespaces in the images, and of outside; outside is a descriptor or -1 */
void nsid_dump(struct session *s, struct rtnl *n, int outside, NetnsEntry *e);
/** nsid_restore - give them out, before links that lead there make the kernel choose */
int nsid_restore(struct session *s, struct rtnl *n, int outside, const NetnsEntry *e);

#endif
