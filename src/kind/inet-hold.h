/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inet-hold: TCP connections between dump and restore, in a network namespace that stays: a packet from the peer
 * would meet no socket, and the kernel would answer that the connection is reset.
 */
#ifndef KIND_INET_HOLD_H
#define KIND_INET_HOLD_H

#include "images/sk-inet.pb-c.h"
#include "session/session.h"

/**
 * inet_hold_note - a connection was met, with its addresses as at the dump; nothing if its network namespace goes
 * with it. Dump: while its task still is there.
 */
void inet_hold_note(struct session *s, const InetSkEntry *e);
/**
 * inet_hold - dump, the tasks were killed, their sockets are still ours: from now on packets for what was noted are
 * dropped. Nothing with --network-lock skip; what cannot be done is reported.
 */
void inet_hold(struct session *s);
/** inet_hold_release - restore, the connections live: they are left to themselves again */
void inet_hold_release(struct session *s);
/** inet_hold_end - forget what was noted */
void inet_hold_end(struct session *s);

#endif
