/* SPDX-License-Identifier: Apache-2.0 */
/* inet-tcp-own: what the files of inet-tcp share with one another; nobody else includes it. */
#ifndef KIND_INET_TCP_OWN_H
#define KIND_INET_TCP_OWN_H

#include "images/tcp-stream.pb-c.h"
#include "kind/inet-tcp.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#define TCP_QUEUE_MAX (1u << 30) /* bytes; the kernel's own limits of a buffer are below that */

/* a connection being restored */
struct stream {
	struct fd_obj *o;
	const InetSkEntry *e;
	TcpStreamEntry *t; /* owned, as the queues are */
	char *in, *out;
};

/** conn_fail - session_fail() that names the connection */
int conn_fail(struct session *s, int r, const InetSkEntry *e, const char *what);
/**
 * peer_says - the connection gets a FIN or an acknowledgment from its peer and goes on to the next state;
 * we make that packet
 */
int peer_says(struct session *s, const struct stream *st, bool fin, uint32_t ack);

static inline int opt_set(int fd, int opt, int v)
{
	return setsockopt(fd, IPPROTO_TCP, opt, &v, sizeof(v)) < 0 ? -errno : 0;
}

/* did we send a FIN; did the peer */
static inline bool fin_sent(unsigned state)
{
	return state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 || state == TCP_CLOSING ||
	       state == TCP_LAST_ACK || state == TCP_CLOSE;
}
static inline bool fin_received(unsigned state)
{
	return state == TCP_CLOSE_WAIT || state == TCP_CLOSING || state == TCP_LAST_ACK ||
	       state == TCP_CLOSE;
}

#endif
