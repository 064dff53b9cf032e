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

/* MD5 keys of one TCP socket; one is the kernel's struct tcp_diag_md5sig, whose header no libc bears */
struct inet_keys {
	size_t n;
	struct inet_key {
		uint8_t family, prefix;
		uint16_t len;
		uint32_t addr[4];
		uint8_t key[80];
	} v[];
};
/** inet_diag_keys - the entry's socket's, or NULL; of those that are connected or listen, read once per session */
const struct inet_keys *inet_diag_keys(struct session *s, const InetSkEntry *e);

#endif
