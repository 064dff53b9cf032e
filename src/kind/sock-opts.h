/* SPDX-License-Identifier: Apache-2.0 */
/* sock-opts: options that sockets of all families have (SOL_SOCKET), as images hold them. */
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

#endif
