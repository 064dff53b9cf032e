/* SPDX-License-Identifier: Apache-2.0 */
/* sk-queue: what waits in the receive queues of sockets of unix and UDP: sk-queues.img. */
#ifndef KIND_SK_QUEUE_H
#define KIND_SK_QUEUE_H

#include "images/sk-packet.pb-c.h"
#include "image/record.h"
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

/* where packets go: all are noted before the first is put */
struct sk_sink {
	/** the id of a descriptor that one carries: fd_note(), or another like it */
	int (*note)(struct session *s, struct task *task, int fd, uint32_t *ret_id);
	int (*put)(struct session *s, void *arg, const SkPacketEntry *e, const char *data);
	void *arg;
};

/** sk_queue_dump_to - the same, into another image */
int sk_queue_dump_to(struct session *s, struct task *task, int fd, uint32_t id, int type, bool udp,
		     const struct sk_sink *to);
int sk_queue_dump_end(struct session *s);
/** sk_queue_get - the packets of a socket, borrowed; NULL: none. The image is read at the first call */
int sk_queue_get(struct session *s, uint32_t id, struct sk_packet **ret);
/** sk_packet_read - what follows an entry, which is checked; the packet, *ret, has both also after failures */
int sk_packet_read(struct session *s, struct image *img, SkPacketEntry *e, struct sk_packet **ret);
/** sk_queue_make - make the files that packets carry; more of the queues may become needed by that */
int sk_queue_make(struct session *s, const struct sk_packet *p);
/** sk_queue_send - send all packets of a queue through a connected socket */
int sk_queue_send(struct session *s, const struct sk_packet *p, int fd, int type);

#endif
