// SPDX-License-Identifier: Apache-2.0
/*
 * shared: MAP_SHARED|MAP_ANONYMOUS memory. The kernel keeps it in a nameless tmpfs file that shows as
 * "/dev/zero (deleted)", or with MAP_HUGETLB in one that shows as "/anon_hugepage (deleted)"; its inode number tells whether two mappings are one object.
 *
 * Kept:   contents, once per object; who shares it with whom; also mappings of a part.
 * Lost:   huge page policy of the object.
 * Kernel: mm/shmem.c, shmem_zero_setup().
 */
#include "kind/mem.h"
#include "kind/shmem.h"

#include "base/res.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

static bool shared_is(const struct mem_view *v)
{
	return v->ino && v->shared &&
	       (!strncmp(v->name, "/dev/zero (deleted)", 19) || !strncmp(v->name, "/anon_hugepage", 14) ||
		!strncmp(v->name, "[anon_shmem:", 12));
}

static int shared_dump(struct session *s, const struct mem_view *v)
{
	own_fd int fd = -1;
	char path[80];
	struct stat st;

	v->e->status = VMA_REGULAR | VMA_ANON_SHARED;
	v->e->flags |= MAP_SHARED | MAP_ANONYMOUS;
	v->e->shmid = shmem_id(v->ino);
	snprintf(path, sizeof(path), "map_files/%llx-%llx", (unsigned long long)v->e->start,
		 (unsigned long long)v->e->end);
	fd = fd_high(openat(v->task->proc, path, O_RDONLY | O_CLOEXEC));
	if (fd < 0 || fstat(fd, &st) < 0)
		return session_fail(s, -errno, "task %d: open shared memory at %llx", v->task->vpid,
				    (unsigned long long)v->e->start);
	return shmem_dump(s, v->e->shmid, fd, st.st_size);
}

static bool shared_owns(const VmaEntry *e)
{
	return (e->status & VMA_ANON_SHARED) && !(e->status & VMA_SYSVIPC);
}

static int shared_open(struct session *s, struct task *task, const VmaEntry *e, int *ret_fd)
{
	int fd = shmem_anon(s, e->shmid, e->pgoff + (e->end - e->start),
			    e->flags & MAP_HUGETLB ? e->flags & VMA_HUGE : 0);

	if (fd < 0)
		return fd;
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return session_fail(s, -errno, "shared memory %llu", (unsigned long long)e->shmid);
	*ret_fd = fd;
	return 0;
}

const struct mem_kind mem_kind_shared = {
	.name = "shared anonymous",
	.is = shared_is,
	.dump = shared_dump,
	.owns = shared_owns,
	.open = shared_open,
	.map = mem_mmap,
};
