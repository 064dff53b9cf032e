/* SPDX-License-Identifier: Apache-2.0 */
/* sk-queue: what waits in the receive queues of sockets of unix and UDP: sk-queues.img. */
#ifndef KIND_SK_QUEUE_H
#define KIND_SK_QUEUE_H

#include "images/sk-packet.pb-c.h"
#include "task/tree.h"

/* One record of the image, in the order of its queue. */
struct sk_packet {
	struct sk_packet *next;
	SkPacketEntry *e;
	char *data; /* e->length bytes */
};

/**
 * sk_queue_dump - describe a queue, leaving it as it is
 * @fd: our copy of the socket
 * @id: its file id
 * @type: SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET
 * @udp: packets have headers that tell more, see inet-queue.h
 */
int sk_queue_dump(struct session *s, struct task *task, int fd, uint32_t id, int type, bool udp);
int sk_queue_dump_end(struct session *s);
/** sk_queue_get - the packets of a socket, borrowed; NULL: none. The image is read at the first call */
int sk_queue_get(struct session *s, uint32_t id, struct sk_packet **ret);
/** sk_queue_make - make the files that packets carry; more of the queues may become needed by that */
int sk_queue_make(struct session *s, const struct sk_packet *p);
/** sk_queue_send - send all packets of a queue through a connected socket */
int sk_queue_send(struct session *s, const struct sk_packet *p, int fd, int type);

#endif
