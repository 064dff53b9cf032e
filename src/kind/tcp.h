/* SPDX-License-Identifier: Apache-2.0 */
/* tcp: connections. */
#ifndef KIND_TCP_H
#define KIND_TCP_H

#include "session/session.h"

/** tcp_restore_unlock - the network is open again: connections leave repair mode */
int tcp_restore_unlock(struct session *s);

#endif
