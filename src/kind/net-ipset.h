/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net-ipset: sets of ipset(8) of the network namespace the caller is in, which rules of iptables look into.
 */
#ifndef KIND_NET_IPSET_H
#define KIND_NET_IPSET_H

#include "session/session.h"

/** ipset_dump - ipset-N.img, if there are sets */
int ipset_dump(struct session *s, uint32_t id);
/** ipset_restore - make them, under the numbers by which rules know them */
int ipset_restore(struct session *s, uint32_t id);

#endif
