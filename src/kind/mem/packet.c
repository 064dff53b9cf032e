// SPDX-License-Identifier: Apache-2.0
/*
 * packet: the rings of a packet socket, mapped. What is in them belongs to the socket: kind/packet-ring.c.
 *
 * Kept:   addresses, protection, advice.
 * Lost:   nothing; those of which no task has a descriptor are refused, and so is what TCP maps (TCP_ZEROCOPY_RECEIVE).
 * Kernel: net/packet/af_packet.c, packet_mmap(): all or nothing. A mapping shows the inode of its socket.
 */
#include "kind/mem.h"
#include "kind/packet-ring.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

static bool packet_is(const struct mem_view *v)
{
	return v->ino && !strncmp(v->name, "socket:[", 8);
}

static int packet_dump(struct session *s, const struct mem_view *v)
{
	v->e->shmid = packet_ring_id(s, v->ino);
	if (!v->e->shmid)
		return session_fail(s, -ENOTSUP,
				    "task %d: has %s mapped at %llx, which is no packet socket that a task has a descriptor of; end the capture first",
				    v->task->vpid, v->name, (unsigned long long)v->e->start);
	v->e->status = VMA_REGULAR | VMA_SOCKET;
	v->e->flags |= MAP_SHARED;
	return 0;
}

static bool packet_owns(const VmaEntry *e)
{
	return e->status & VMA_SOCKET;
}

const struct mem_kind mem_kind_packet = {
	.name = "packet ring",
	.is = packet_is,
	.dump = packet_dump,
	.owns = packet_owns,
	.map = mem_mmap, /* memory in its place, until the socket is made: fd/packet.c */
};
