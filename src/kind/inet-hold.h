/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inet-hold: TCP connections between dump and restore, in a network namespace that stays: a packet from the peer
 * would meet no socket, and the kernel would answer that the connection is reset.
 */
#ifndef KIND_INET_HOLD_H
#define KIND_INET_HOLD_H

#include "images/sk-inet.pb-c.h"
#include "session/session.h"

/* of the table, which the dump of a namespace leaves out */
#define INET_HOLD_TABLE "stasis-away"

/**
 * inet_hold_note - a connection whose peer is outside of the tree; nothing if its network namespace goes with it
 *
 * Dump: while its task still is there. Nothing with --network-lock skip.
 */
void inet_hold_note(struct session *s, const InetSkEntry *e);
/** inet_hold - dump, the tasks were killed, their sockets are still ours: packets for what was noted are dropped */
void inet_hold(struct session *s);
/** inet_hold_release - restore, the connections live: nothing is dropped any more for what was noted */
void inet_hold_release(struct session *s);
/** inet_hold_end - forget what was noted */
void inet_hold_end(struct session *s);

#endif
