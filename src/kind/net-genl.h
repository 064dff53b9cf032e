/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net-genl: what a network namespace has by generic netlink: MPTCP endpoints, segment routing, IOAM, FOU, ILA.
 */
#ifndef KIND_NET_GENL_H
#define KIND_NET_GENL_H

#include "session/session.h"

/** genl_dump - a file for each sort that is there; reports those that cannot be kept */
int genl_dump(struct session *s, uint32_t id);
/** genl_restore - set them; devices and addresses are there. What is not taken is reported. */
int genl_restore(struct session *s, uint32_t id);

#endif
