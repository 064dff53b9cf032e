/* SPDX-License-Identifier: Apache-2.0 */
/* unix-pending: what clients of unix sockets have sent before they were accepted: unix-pending.img. */
#ifndef KIND_UNIX_PENDING_H
#define KIND_UNIX_PENDING_H

#include "images/unix-pending.pb-c.h"
#include "kind/fd.h"
#include "kind/sk-queue.h"

/* ---- dump ---- */

/* one that waits at a listener */
struct unix_guest {
	uint32_t client; /* file id, or 0: closed again */
	bool stranger;	 /* outside of the tree: not kept */
};

/**
 * unix_pending_note - some who wait at a listener have sent something, or are closed again
 * @v: the listener
 * @g: all that wait there, in their order
 * @room: bytes that they have sent; the space for them is reserved
 * Only a dump that kills the tasks can have it.
 */
int unix_pending_note(struct session *s, const struct fd_view *v, const struct unix_guest *g, size_t n, size_t room);
/** unix_pending_take - the tasks are about to be killed: what was sent can only be read by accepting */
int unix_pending_take(struct session *s);
void unix_pending_end(struct session *s);

/* ---- restore ---- */

/* a connection that waits */
struct unix_pending {
	struct unix_pending *next; /* in the order of the queue */
	UnixPendingEntry *e;
	struct sk_packet *queue;
};

/** unix_pending_get - those that wait at a listener, borrowed; NULL: none. The image is read at the first call */
int unix_pending_get(struct session *s, uint32_t listener, struct unix_pending **ret);

#endif
