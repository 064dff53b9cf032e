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
 * @others: also one that the caller has made
 *
 * The lock ends with this process at the latest. With --network-lock skip there is none; a kernel that
 * cannot do it is reported.
 */
int net_lock(struct session *s, bool others);
/** net_unlock - take the lock away, if there is one */
void net_unlock(struct session *s);

#endif
