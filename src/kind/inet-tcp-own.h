/* SPDX-License-Identifier: Apache-2.0 */
/* inet-tcp-own: what the files of inet-tcp share with one another; nobody else includes it. */
#ifndef KIND_INET_TCP_OWN_H
#define KIND_INET_TCP_OWN_H

#include "images/tcp-stream.pb-c.h"
#include "kind/inet-raw.h"
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
/** inet_ends - the addresses of a packet of a connection */
void inet_ends(const InetSkEntry *e, bool from_peer, struct inet_raw *ret);
/**
 * peer_says - the connection gets a FIN or an acknowledgment from its peer and goes on to the next state;
 * we make that packet
 */
int peer_says(struct session *s, const struct stream *st, bool fin, uint32_t ack);

/** peer_urges - the connection gets its next byte, an urgent one, from its peer; it need not have come yet */
int peer_urges(struct session *s, const struct stream *st, char c);

/** urgent_find - is there urgent data in the queue, whose length is known? Fills in where it is, and the whole length */
int urgent_find(struct session *s, int fd, const InetSkEntry *e, TcpStreamEntry *t);
/** urgent_peek - the bytes of such a queue, in repair mode */
int urgent_peek(struct session *s, int fd, const InetSkEntry *e, const TcpStreamEntry *t, char **ret);
/** urgent_put - the queue is filled up to the urgent byte: that follows */
int urgent_put(struct session *s, const struct stream *st);

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

/** resend_note - the connection lives: inet_resend() is to ask its peer */
void resend_note(struct session *s, const struct stream *st);

#endif
