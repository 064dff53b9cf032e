// SPDX-License-Identifier: Apache-2.0
/*
 * uring: the rings of an io_uring, mapped. The ring itself, and what is in it, belong to its descriptor.
 *
 * Kept:   addresses, which ring, which of its parts.
 * Lost:   nothing; one that no task has a descriptor of is refused.
 * Kernel: io_uring/memmap.c; each ring is an inode of its own, which its mappings show.
 */
#include "kind/mem.h"
#include "kind/uring.h"

#include "base/res.h"

#include <string.h>
#include <sys/mman.h>

#define IORING_OFF_MMAP_MASK 0xf8000000ULL /* what says which of its parts; Linux 6.4 */

static bool uring_is(const struct mem_view *v)
{
	return v->ino && !strcmp(v->name, "anon_inode:[io_uring]");
}

static int uring_dump(struct session *s, const struct mem_view *v)
{
	v->e->shmid = uring_noted(s, v->ino);
	if (!v->e->shmid)
		return session_fail(s, -ENOTSUP,
				    "task %d: has an io_uring mapped at %llx that no task has a descriptor of; run the program without io_uring",
				    v->task->vpid, (unsigned long long)v->e->start);
	if (v->e->pgoff & ~(uint64_t)IORING_OFF_MMAP_MASK)
		return session_fail(s, -ENOTSUP,
				    "task %d: has a part of an io_uring mapped at %llx, which cannot be mapped without the rest; run the program without io_uring",
				    v->task->vpid, (unsigned long long)v->e->start);
	v->e->status = VMA_REGULAR | VMA_URING;
	v->e->flags |= MAP_SHARED;
	return 0;
}

static bool uring_owns(const VmaEntry *e)
{
	return e->status & VMA_URING;
}

const struct mem_kind mem_kind_uring = {
	.name = "io_uring",
	.is = uring_is,
	.dump = uring_dump,
	.owns = uring_owns,
	.map = mem_mmap, /* memory in its place, until the ring is made: fd/uring.c */
};
