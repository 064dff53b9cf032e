/* SPDX-License-Identifier: Apache-2.0 */
/* inet-pending: TCP connections that nobody has accepted yet, between sockets of the tree: tcp-pending.img. */
#ifndef KIND_INET_PENDING_H
#define KIND_INET_PENDING_H

#include "images/sk-inet.pb-c.h"
#include "kind/fd.h"

/* ---- dump ---- */

/** inet_pending_note - a listener was met, and so many wait there; judged by inet_pending_dump_end() */
int inet_pending_note(struct session *s, const struct fd_view *v, const InetSkEntry *e, unsigned waiting);
/** inet_pending_dump_end - all connections are known: whose are those that wait? Refuses, or drops, others' */
int inet_pending_dump_end(struct session *s);
/**
 * inet_pending_take - the tasks are about to be killed: what clients have sent can only be read by accepting
 * The space for it is reserved. Return: 0, or -errno; then clients see their connections reset.
 */
int inet_pending_take(struct session *s);
void inet_pending_end(struct session *s);

/* ---- restore ---- */

/** inet_pending_is_client - is the socket a client of one that waits? 1, 0, or -errno */
int inet_pending_is_client(struct session *s, uint32_t id);
/** inet_pending_count - how many wait at a listener */
size_t inet_pending_count(struct session *s, uint32_t id);
/**
 * inet_pending_fill - clients connect to a listener once more and send what they had sent
 * @place: its place in its SO_REUSEPORT group, or -1
 */
int inet_pending_fill(struct session *s, const struct fd_obj *o, int place);

#endif
