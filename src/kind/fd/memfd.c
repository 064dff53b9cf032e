// SPDX-License-Identifier: Apache-2.0
/*
 * memfd: files that live in memory, made by memfd_create(2). Images also hold MAP_SHARED|MAP_ANONYMOUS
 * memory of CRIU's dumps as such, named "/dev/zero".
 *
 * Kept:   name, size, contents, seals, owner, mode, position; huge pages (MFD_HUGETLB); secret memory
 *         (memfd_secret), if a task has a descriptor of it.
 * Lost:   nothing. Secret memory that is only mapped is refused before anything is stopped.
 * Kernel: mm/memfd.c, mm/secretmem.c; contents by reading the object, or mapping it.
 */
#include "kind/fd.h"

#include "base/res.h"
#include "base/text.h"
#include "image/record.h"
#include "images/memfd.pb-c.h"
#include "kind/ids.h"
#include "kind/shmem.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define SIZE_MAX_MEMFD (1ULL << 46)
#define LATE "memfd seals" /* inode_id to seals that wait for all mappings */

static bool memfd_is(const struct fd_view *v)
{
	return S_ISREG(v->st.st_mode) && (text_starts(v->link, "/memfd:") || shmem_secret(v->fd));
}

static int inode_dump(struct session *s, const struct fd_view *v, uint32_t *ret_id)
{
	struct map *known = session_map(s, "memfd inode");
	uintptr_t have = (uintptr_t)map_get(known, v->st.st_ino);
	MemfdInodeEntry e = MEMFD_INODE_ENTRY__INIT;
	own_mem char *name = NULL;
	struct image *img;
	int seals = fcntl(v->fd, F_GET_SEALS), r;
	char *deleted;

	*ret_id = have;
	if (have)
		return 0;
	img = image_shared(s, MAGIC_MEMFD, "memfd.img");
	if (!img)
		return -EIO;
	have = known->n + 1;
	map_put(known, v->st.st_ino, (void *)have);
	*ret_id = have;
	e.secret = e.has_secret = shmem_secret(v->fd);
	name = xstrdup(e.secret ? v->link : v->link + strlen("/memfd:"));
	deleted = strstr(name, " (deleted)");
	if (deleted)
		*deleted = 0;
	e.name = name;
	e.uid = v->st.st_uid;
	e.gid = v->st.st_gid;
	r = owner_in(s, &e.uid, &e.gid, "memfd %s", name);
	if (r < 0)
		return r;
	e.size = v->st.st_size;
	e.shmid = shmem_id(v->st.st_ino);
	e.seals = seals < 0 ? 0 : seals;
	e.inode_id = have;
	e.has_mode = true;
	e.mode = v->st.st_mode;
	e.has_hugetlb_flag = shmem_huge(v->fd) > 0;
	if (e.has_hugetlb_flag)
		e.hugetlb_flag = MFD_HUGETLB | (uint32_t)__builtin_ctzll(shmem_huge(v->fd)) << MAP_HUGE_SHIFT;
	r = image_write(img, &e.base);
	return r < 0 || !e.size ? r : shmem_dump(s, e.shmid, v->fd, e.size);
}

static int memfd_dump(struct session *s, const struct fd_view *v)
{
	MemfdFileEntry e = MEMFD_FILE_ENTRY__INIT;
	int r = inode_dump(s, v, &e.inode_id);

	e.id = v->id;
	e.flags = v->flags;
	e.pos = v->pos;
	e.fown = v->fown;
	return r < 0 ? r : fd_put(s, v, &e.base);
}

static int memfd_dump_end(struct session *s)
{
	return image_shared_end(s, "memfd.img");
}

/* ---- restore ---- */

/* Another one in its place, with what is in that: --inherit-fd fd[N]:/memfd:NAME */
static int inherited(struct session *s, const char *name)
{
	own_mem char *key = xprintf("/memfd:%s", name);
	int fd = inherit_find(s, key);

	if (fd < 0)
		return fd;
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return fd < 0 ? session_fail(s, -errno, "%s: take the caller's", key) : fd;
}

/* F_SEAL_FUTURE_WRITE spares mappings that are there: it waits for them, and so does what forbids further seals. */
static uint32_t seals_early(const MemfdInodeEntry *e)
{
	return e->seals & F_SEAL_FUTURE_WRITE ? e->seals & ~(F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) : e->seals;
}

static int inode_make(struct session *s, const MemfdInodeEntry *e)
{
	uint32_t uid = e->uid, gid = e->gid, huge = e->has_hugetlb_flag ? e->hugetlb_flag : 0;
	uint32_t early = seals_early(e);
	int fd, r;

	if (e->size > SIZE_MAX_MEMFD || strlen(e->name) > 240 || (huge & ~(MFD_HUGETLB | 0x3fu << MAP_HUGE_SHIFT)))
		return session_fail(s, -EBADMSG, "memfd.img: memfd %.50s is out of range", e->name);
	if (!strcmp(e->name, "/dev/zero") || (huge && !strcmp(e->name, "/anon_hugepage"))) {
		shmem_anon_size(s, e->shmid, e->size);
		return shmem_anon(s, e->shmid, e->size, huge ? MAP_HUGETLB | (huge & ~MFD_HUGETLB) : 0);
	}
	fd = inherited(s, e->name);
	if (fd != -ENOENT)
		return fd;
	if (e->has_secret && e->secret)
		fd = fd_high(syscall(SYS_memfd_secret, 0));
	else
		fd = fd_high(memfd_create(e->name, MFD_CLOEXEC | huge | (e->seals == F_SEAL_SEAL ? 0 : MFD_ALLOW_SEALING)));
	if (fd < 0 || ftruncate(fd, e->size) < 0)
		return session_fail(s, -errno, "memfd %s: make%s", e->name, e->secret ? "; see secretmem.enable of the kernel's command line" : "");
	r = owner_out(s, &uid, &gid, "memfd %s", e->name);
	if (r == 0 && fchown(fd, uid, gid) < 0)
		r = session_fail(s, -errno, "memfd %s: set its owner", e->name);
	if (r == 0 && e->size)
		r = shmem_restore(s, e->shmid, fd, e->size);
	if (r == 0 && e->has_mode && fchmod(fd, e->mode & 07777) < 0)
		r = session_fail(s, -errno, "memfd %s: set its mode", e->name);
	if (r == 0 && early && early != F_SEAL_SEAL && fcntl(fd, F_ADD_SEALS, early) < 0)
		r = session_fail(s, -errno, "memfd %s: seal", e->name);
	if (r == 0 && early != e->seals)
		map_put(session_map(s, LATE), e->inode_id, (void *)(uintptr_t)(e->seals & ~early));
	return r < 0 ? r : fd;
}

/* Our descriptor of the object, made at the first call; it stays until the end of the session. */
static int inode_get(struct session *s, uint32_t id)
{
	own_image struct image img = { 0 };
	struct map *made = session_map(s, "memfd made");
	uintptr_t have = (uintptr_t)map_get(made, id);
	ProtobufCMessage *m;
	int fd = -ENOENT, r;

	if (have)
		return have - 1;
	r = image_open(s, &img, MAGIC_MEMFD, "memfd.img");
	while (r == 0 && (r = image_read(&img, &memfd_inode_entry__descriptor, &m)) == 1) {
		r = 0;
		if (((MemfdInodeEntry *)m)->inode_id == id && fd == -ENOENT) {
			fd = inode_make(s, (MemfdInodeEntry *)m);
			r = fd < 0 ? fd : 0;
		}
		protobuf_c_message_free_unpacked(m, NULL);
	}
	if (r < 0)
		return r;
	if (fd < 0)
		return session_fail(s, -EBADMSG, "memfd.img: memfd %u is missing", id);
	map_put(made, id, (void *)(uintptr_t)(fd + 1));
	return fd;
}

static int memfd_restore(struct session *s, struct fd_obj *o)
{
	const MemfdFileEntry *e = o->entry->memfd;
	int fd = e ? inode_get(s, e->inode_id)
		   : session_fail(s, -EBADMSG, "files.img: memfd 0x%x is damaged", o->id);

	if (fd < 0)
		return fd;
	/* an open file of its own, as each entry is */
	o->fd = shmem_again(fd, o->task ? (int)e->flags & (O_ACCMODE | O_APPEND | O_NONBLOCK) : O_RDWR);
	if (o->fd < 0)
		return session_fail(s, o->fd, "memfd 0x%x: open", o->id);
	if (e->pos && lseek(o->fd, e->pos, SEEK_SET) < 0)
		return session_fail(s, -errno, "memfd 0x%x: seek", o->id);
	return 0;
}

/* All mappings are made. */
static int memfd_link(struct session *s, struct fd_obj *o)
{
	uint32_t id = o->entry->memfd ? o->entry->memfd->inode_id : 0;
	int late = (uintptr_t)map_get(session_map(s, LATE), id), fd = late ? inode_get(s, id) : -1;
	bool sealed = !late || (fcntl(fd, F_GET_SEALS) & late) == late; /* by another open file of it */

	return sealed || fcntl(fd, F_ADD_SEALS, late) == 0 ? 0 : session_fail(s, -errno, "memfd 0x%x: seal", o->id);
}

const struct fd_kind fd_kind_memfd = {
	.name = "memfd",
	.type = FD_TYPES__MEMFD,
	.is = memfd_is,
	.dump = memfd_dump,
	.restore = memfd_restore,
	.link = memfd_link,
	.dump_end = memfd_dump_end,
};
