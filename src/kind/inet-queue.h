/* SPDX-License-Identifier: Apache-2.0 */
/* inet-queue: datagrams that wait in sockets of UDP, with what their headers said. They are read by sk-queue.c. */
#ifndef KIND_INET_QUEUE_H
#define KIND_INET_QUEUE_H

#include "images/sk-inet.pb-c.h"
#include "images/sk-packet.pb-c.h"
#include "session/session.h"

#include <sys/socket.h>

/* what headers said of one datagram */
struct inet_head {
	struct sockaddr_storage from, to;
	int ttl, tos; /* or hop limit and traffic class; -1: not known */
	uint32_t ifindex, segment;
};

/* ---- dump ---- */

/** inet_head_ask - let a socket tell of headers; inet_head_ask_end() takes back what was changed */
uint32_t inet_head_ask(int fd);
void inet_head_ask_end(int fd, uint32_t asked);
/** inet_head_read - from one recvmsg(), whose name is h->from */
void inet_head_read(struct inet_head *h, struct msghdr *m);
/** inet_head_entry - as the image has it; borrows from h. false: its addresses are not known */
bool inet_head_entry(struct inet_head *h, InetHeadEntry *e);

/* ---- restore ---- */

/** inet_head_check - is it sound? NULL is */
bool inet_head_check(const InetHeadEntry *e);
/**
 * inet_queue_fill - put back what waited in a socket of UDP
 * It is bound, not connected, and so is no other one that shares its port. What cannot be put back is reported.
 */
int inet_queue_fill(struct session *s, int fd, const InetSkEntry *e);

#endif
