/* SPDX-License-Identifier: Apache-2.0 */
/* net-lock: no packet passes the tasks' network namespace while their sockets are read or made. */
#ifndef KIND_NET_LOCK_H
#define KIND_NET_LOCK_H

#include "session/session.h"

/** net_lock - dump: lock the root task's own net namespace if it has connections to outside */
int net_lock(struct session *s);
/** net_unlock - remove the lock, of a dump or a restore; nothing to do if there is none */
void net_unlock(struct session *s);

#endif
