/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KIND_INET_DIAG_H
#define KIND_INET_DIAG_H

#include "images/sk-inet.pb-c.h"
#include "session/session.h"

/**
 * inet_diag - sockets of the entry's family, protocol and namespace that have something shut down
 * @ret: SK_SHUTDOWN by inode; read once per session
 */
int inet_diag(struct session *s, const InetSkEntry *e, struct map **ret);

#endif
