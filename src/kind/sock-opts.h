/* SPDX-License-Identifier: Apache-2.0 */
/* sock-opts: what sockets of all families have, as images hold it: options (SOL_SOCKET), owner, permissions. */
#ifndef KIND_SOCK_OPTS_H
#define KIND_SOCK_OPTS_H

#include "images/sk-opts.pb-c.h"
#include "session/session.h"

/**
 * sock_opts_get - fill an initialised entry from a socket
 * What it allocates is freed by sock_opts_free(), also after a failure.
 */
int sock_opts_get(struct session *s, int fd, SkOptsEntry *e);
void sock_opts_free(SkOptsEntry *e);
/**
 * sock_opts_set - give a socket what the entry says; absent fields are left as they are
 * Reuse flags are set too: whoever binds with others calls it last. tcp_keep* are the inet family's.
 */
int sock_opts_set(struct session *s, int fd, const SkOptsEntry *e);
/**
 * sock_make - ns_socket() that belongs to whom the entry says, before anything looks at that (SO_REUSEPORT, owner matches
 * of netfilter)
 */
int sock_make(struct session *s, uint32_t net_ns_id, int family, int type, int protocol, const SkOptsEntry *e);

#endif
