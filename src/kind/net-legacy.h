/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net-legacy: tables of iptables-legacy and ip6tables-legacy in the network namespace the caller is in.
 */
#ifndef KIND_NET_LEGACY_H
#define KIND_NET_LEGACY_H

#include "session/session.h"

/** legacy_dump - xtables-N.img, if there are rules or changed policies; proc is a /proc of this namespace */
int legacy_dump(struct session *s, int proc, uint32_t id);
/** legacy_restore - set them, with their counters; what is only in CRIU's images is reported */
int legacy_restore(struct session *s, uint32_t id);

#endif
