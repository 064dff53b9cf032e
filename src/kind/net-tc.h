/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net-tc: traffic control of the network namespace the caller is in.
 */
#ifndef KIND_NET_TC_H
#define KIND_NET_TC_H

#include "kind/net-rtnl.h"

/** tc_dump - qdisc-N, tclass-N and tfilter-N, if somebody set any */
int tc_dump(struct session *s, struct rtnl *n, uint32_t id);
/** tc_restore - set them; links exist. What the kernel does not take is reported */
int tc_restore(struct session *s, struct rtnl *n, uint32_t id);

#endif
