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
/* a TCP socket of whomever */
struct inet_tcp_any {
	uint8_t src[16], dst[16]; /* of IPv4 as ::ffff:A.B.C.D */
	uint16_t src_port, dst_port;
	uint8_t state;
	uint32_t inode;	 /* 0: it has no descriptor (yet, or any more) */
	uint32_t unread; /* bytes, an end included */
	uint32_t quiet;	 /* ms since its peer was heard */
};
struct inet_tcp_all {
	struct inet_tcp_any *v;
	size_t n, max;
};
/** inet_diag_all - those of a family in the entry's namespace; NULL: the kernel does not tell */
const struct inet_tcp_all *inet_diag_all(struct session *s, const InetSkEntry *e, int family);
/** inet_diag_closed - connections in the entry's namespace that nobody has open and that still send */
size_t inet_diag_closed(struct session *s, const InetSkEntry *e);

#endif
