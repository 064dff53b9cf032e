// SPDX-License-Identifier: Apache-2.0
/*
 * sysv: attached segments of System V shared memory. Contents and the segment itself belong to the ipc
 * namespace (kind/sysv.c); here is where it is attached.
 *
 * Kept:   address, access, parts that were unmapped or protected.
 * Lost:   nothing; segments of the host's ipc namespace are refused: they are not ours to carry away.
 * Kernel: ipc/shm.c; the inode number of such a mapping is the segment's id.
 */
#include "kind/mem.h"
#include "kind/ns.h"
#include "kind/sysv.h"

#include "base/res.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>

static bool sysv_is(const struct mem_view *v)
{
	return v->shared && !(v->dev >> 20) && !strncmp(v->name, "/SYSV", 5);
}

static int sysv_attached(struct session *s, const struct mem_view *v)
{
	char path[80];
	struct stat st;

	const struct ns *ns = ns_find(s, v->task->ids->ipc_ns_id);

	if (!ns || !ns->own)
		return session_fail(s, -ENOTSUP,
				    "task %d: has System V segment %llu of the host attached, which cannot be carried away; run it in an ipc namespace of its own",
				    v->task->vpid, (unsigned long long)v->ino);
	snprintf(path, sizeof(path), "map_files/%llx-%llx", (unsigned long long)v->e->start,
		 (unsigned long long)v->e->end);
	if (fstatat(v->task->proc, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return session_fail(s, -errno, "task %d: look at the mapping of segment %llu",
				    v->task->vpid, (unsigned long long)v->ino);
	v->e->status = VMA_REGULAR | VMA_ANON_SHARED | VMA_SYSVIPC;
	v->e->flags |= MAP_SHARED | MAP_ANONYMOUS;
	v->e->shmid = sysv_key(s, ns->id, v->ino);
	v->e->has_fdflags = true;
	v->e->fdflags = st.st_mode & 0200 ? O_RDWR : O_RDONLY;
	return 0;
}

static bool sysv_owns(const VmaEntry *e)
{
	return (e->status & VMA_ANON_SHARED) && (e->status & VMA_SYSVIPC);
}

/* Only a part is left: attach all of it anywhere, move the part, drop the rest. */
static int map_part(struct session *s, const VmaEntry *e, uint64_t size, int flags, struct batch *b)
{
	uint64_t len = e->end - e->start, after = e->pgoff + len;
	int64_t at;
	unsigned n;
	int r = batch_run(b); /* what was added before comes before */

	if (r < 0)
		return r;
	batch_clear(b);
	n = call3(b, "memory: attach a segment", SYS_shmat, (uint32_t)e->shmid, 0, flags);
	r = batch_run(b);
	at = batch_ret(b, n);
	batch_clear(b);
	if (r < 0)
		return r;
	n = call5(b, "memory: move a part of a segment", SYS_mremap, at + e->pgoff, len, len,
		  MREMAP_MAYMOVE | MREMAP_FIXED, e->start);
	batch_stop(b, n);
	if (e->pgoff)
		call2(b, "memory: drop a part of a segment", SYS_munmap, at, e->pgoff);
	if (after < size)
		call2(b, "memory: drop a part of a segment", SYS_munmap, at + after, size - after);
	return 0;
}

static int sysv_map(struct session *s, struct mem_map *m, struct batch *b)
{
	const VmaEntry *e = m->e;
	uint64_t size = sysv_size(s, e->shmid), len = e->end - e->start;
	int flags = e->has_fdflags && (e->fdflags & O_ACCMODE) == O_RDONLY ? SHM_RDONLY : 0;
	int prot = flags ? PROT_READ : PROT_READ | PROT_WRITE, r = 0;

	if (!size || e->pgoff >= size || len > size - e->pgoff)
		return session_fail(s, -EBADMSG,
				    "area %llx: is of System V segment %llu, which the images do not have, or not of that size",
				    (unsigned long long)e->start, (unsigned long long)e->shmid);
	if (e->prot & PROT_EXEC) {
		flags |= SHM_EXEC;
		prot |= PROT_EXEC;
	}
	if (e->pgoff || len != size)
		r = map_part(s, e, size, flags, b);
	else
		batch_stop(b, call3(b, "memory: attach a segment", SYS_shmat, (uint32_t)e->shmid, e->start,
				    flags | SHM_REMAP));
	if (r == 0 && prot != (int)e->prot)
		call3(b, "memory: protect a segment", SYS_mprotect, e->start, len, e->prot);
	return r;
}

const struct mem_kind mem_kind_sysv = {
	.name = "System V segment",
	.is = sysv_is,
	.dump = sysv_attached,
	.owns = sysv_owns,
	.map = sysv_map,
};
