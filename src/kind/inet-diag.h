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

/* one TCP socket */
struct inet_tcp_seen {
	uint32_t unread; /* bytes, what lies behind urgent data and an end included */
	size_t n;
	struct inet_key { /* the kernel's struct tcp_diag_md5sig, whose header no libc bears */
		uint8_t family, prefix;
		uint16_t len;
		uint32_t addr[4];
		uint8_t key[80];
	} keys[];
};
/** inet_diag_tcp - the entry's socket, or NULL; of those that are connected or listen, read once per session */
const struct inet_tcp_seen *inet_diag_tcp(struct session *s, const InetSkEntry *e);
/** inet_diag_making - connections that a listener's clients are just making with it, of both families */
size_t inet_diag_making(struct session *s, const InetSkEntry *e);
/** inet_diag_closed - connections in the entry's namespace that nobody has open and that still send */
size_t inet_diag_closed(struct session *s, const InetSkEntry *e);

#endif
