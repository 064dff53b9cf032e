/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net-lock: while the tasks are stopped nothing gets into or out of their own network namespace, so
 * that no peer gets an answer which the tasks did not give.
 */
#ifndef KIND_NET_LOCK_H
#define KIND_NET_LOCK_H

#include "session/session.h"

/**
 * net_lock - lock the root task's own network namespace; nothing if it has none
 *
 * The lock ends with this process at the latest. With --network-lock skip there is none, but the step
 * "network-lock" is told; a kernel that cannot do it is reported.
 */
int net_lock(struct session *s);
/**
 * net_lock_restore - the same for a namespace that was just made, without telling; not for one that
 * the caller has made
 */
int net_lock_restore(struct session *s);
/**
 * net_lock_quiet - dump, the tasks were killed: devices of a namespace that goes with them are set down
 *
 * The kernel takes a while to remove it. A packet that comes in between lock and end would find no socket, and its
 * sender would be told that the connection is reset. Nothing if somebody else is in the namespace or keeps it by a
 * bind mount, or if the caller made it.
 */
void net_lock_quiet(struct session *s);
/**
 * net_unlock - take the lock away
 * @tell: tell the step "network-unlock" if net_lock() was there before, or the namespace is restored
 */
void net_unlock(struct session *s, bool tell);

#endif
