// SPDX-License-Identifier: Apache-2.0
/*
 * file: mappings of files, private and shared, and of memfds.
 *
 * Kept:   the file by its path (checked like an open file), offset, private pages that were written.
 * Lost:   nothing of its own; a deleted file is carried like an open one.
 * Kernel: mm/mmap.c; /proc/PID/map_files.
 */
#include "kind/fd.h"
#include "kind/filelock.h"
#include "kind/mem.h"
#include "kind/shmem.h"

#include "base/res.h"
#include "base/text.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#define SECRET "/secretmem (deleted)"

static bool file_is(const struct mem_view *v)
{
	return v->ino && strncmp(v->name, "/dev/zero (deleted)", 19) && strncmp(v->name, "/anon_hugepage", 14) &&
	       strncmp(v->name, "/SYSV", 5) && strncmp(v->name, "socket:[", 8) &&
	       strncmp(v->name, "/[aio]", 6);
}

/* one entry of files.img serves all mappings of a file with one access mode */
static uint64_t file_key(const struct mem_view *v, unsigned mode)
{
	return (v->ino << 2 | mode) ^ v->dev << 40;
}

/* Its build is read where it is mapped: to read the file would be an event for whoever watches it. */
static int file_put(struct session *s, const struct mem_view *v, int fd, const char *link, uint32_t *ret_id)
{
	struct elf_id build = { .n = 0 };

	if (!v->e->pgoff && !(v->e->prot & PROT_WRITE))
		elf_id_of_memory(v->task->pid, v->e->start, v->e->end, &build);
	return fd_put_path(s, v->task, fd, link, &build, ret_id);
}

/* By a descriptor: no mapping of secret memory leads to another. */
static int secret_note(struct session *s, const struct mem_view *v, uint32_t *ret_id)
{
	struct task *k;
	struct stat st;
	int num;

	if (!fd_find(s->tree, v->dev, v->ino, &k, &num, &st))
		return session_fail(s, -ENOTSUP, "task %d: has secret memory mapped, of which no task has a descriptor any more; try again",
				    v->task->vpid);
	return fd_note_held(s, k, num, ret_id);
}

static int file_dump(struct session *s, const struct mem_view *v)
{
	struct map *known = session_map(s, "mapped file");
	own_mem char *link = NULL;
	own_fd int fd = -1;
	bool secret = text_starts(v->name, SECRET), memfd = secret || text_starts(v->name, "/memfd:");
	unsigned mode;
	char path[80];
	struct stat st;
	uintptr_t have;
	uint32_t id;
	int r;

	snprintf(path, sizeof(path), "map_files/%llx-%llx", (unsigned long long)v->e->start,
		 (unsigned long long)v->e->end);
	if (!memfd && (v->e->flags & MAP_HUGETLB) && strstr(v->name, " (deleted)"))
		return session_fail(s, -ENOTSUP,
				    "task %d: has %s of a hugetlbfs mapped, whose contents could not be put back; let it keep the file's name",
				    v->task->vpid, v->name);
	if (fstatat(v->task->proc, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return session_fail(s, -errno, "task %d: look at the mapping of %s", v->task->vpid,
				    v->name);
	mode = st.st_mode & 0200 ? (st.st_mode & 0400 ? O_RDWR : O_WRONLY) : O_RDONLY;
	v->e->status = VMA_REGULAR | (v->shared ? VMA_FILE_SHARED : VMA_FILE_PRIVATE) |
		       (memfd ? VMA_MEMFD : 0);
	v->e->flags |= v->shared ? MAP_SHARED : MAP_PRIVATE;
	if (secret)
		v->e->flags &= ~MAP_LOCKED; /* it is by itself, and to lock it fails */
	v->e->has_fdflags = true;
	v->e->fdflags = mode;
	have = (uintptr_t)map_get(known, file_key(v, mode));
	if (have) {
		v->e->shmid = have;
		return 0;
	}
	r = text_readlink(v->task->proc, path, &link);
	if (r < 0)
		return session_fail(s, r, "task %d: name of the mapping %s", v->task->vpid, v->name);
	if (!secret)
		fd = fd_high(openat(v->task->proc, path, (memfd ? O_RDWR : O_PATH) | O_CLOEXEC));
	if (fd < 0 && memfd && errno == ETXTBSY) /* it is being executed */
		fd = fd_high(openat(v->task->proc, path, O_RDONLY | O_CLOEXEC));
	if (fd < 0 && !secret)
		return session_fail(s, -errno, "task %d: open the mapped file %s", v->task->vpid,
				    v->name);
	r = secret ? secret_note(s, v, &id) : memfd ? fd_note(s, v->task, fd, &id) : file_put(s, v, fd, link, &id);
	if (r < 0)
		return r;
	map_put(known, file_key(v, mode), (void *)(uintptr_t)id);
	v->e->shmid = id;
	return 0;
}

static bool file_owns(const VmaEntry *e)
{
	return e->status & (VMA_FILE_PRIVATE | VMA_FILE_SHARED);
}

static int file_open(struct session *s, struct task *task, const VmaEntry *e, int *ret_fd)
{
	int flags = O_RDONLY, fd;

	if (e->has_fdflags)
		flags = e->fdflags & O_ACCMODE;
	else if ((e->status & VMA_FILE_SHARED) && (e->prot & PROT_WRITE))
		flags = O_RDWR;
	if (e->status & VMA_MEMFD) {
		const struct fd_obj *o = fd_obj_get(s, e->shmid);

		if (!o)
			return -EIO;
		/* a descriptor of its own with the wanted mode: sealed objects refuse others */
		fd = shmem_again(o->fd, flags);
		if (fd < 0)
			return session_fail(s, fd, "memfd 0x%llx: open it for a mapping",
					    (unsigned long long)e->shmid);
	} else {
		fd = fd_open_reg(s, e->shmid, flags);
		if (fd < 0)
			return fd;
	}
	*ret_fd = fd;
	return 0;
}

static int file_map(struct session *s, struct mem_map *m, struct batch *b)
{
	filelock_mapping(s, b->t->task, m->e->start, m->num, b);
	return mem_mmap(s, m, b);
}

const struct mem_kind mem_kind_file = {
	.name = "file",
	.is = file_is,
	.dump = file_dump,
	.owns = file_owns,
	.open = file_open,
	.map = file_map,
	.pages = true,
};
