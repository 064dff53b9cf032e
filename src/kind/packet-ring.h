/* SPDX-License-Identifier: Apache-2.0 */
/* packet-ring: the rings of a packet socket (PACKET_RX_RING, PACKET_TX_RING), which programs map. */
#ifndef KIND_PACKET_RING_H
#define KIND_PACKET_RING_H

#include "images/packet-sock.pb-c.h"
#include "session/session.h"

#include <linux/packet_diag.h>

/** packet_ring_geometry - an entry of what the kernel shows; owned by who asks */
PacketRing *packet_ring_geometry(const struct packet_diag_ring *d);
void packet_ring_free(PacketRing *ring);
/**
 * packet_ring_note - where the kernel goes on to fill the ring of a socket, and what is in it and was not read yet
 * Fails with -ENOTSUP if that does not show.
 */
int packet_ring_note(struct session *s, int fd, const char *who, PacketSockEntry *e);
/** packet_ring_make - give a new socket its rings, as they were; before it is bound */
int packet_ring_make(struct session *s, int fd, const PacketSockEntry *e);
/** packet_ring_known - dump: the socket with that inode number has this file id */
void packet_ring_known(struct session *s, uint64_t ino, uint32_t id);
/** packet_ring_id - its file id, or 0: no task has a descriptor of it */
uint32_t packet_ring_id(struct session *s, uint64_t ino);

#endif
