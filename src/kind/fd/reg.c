// SPDX-License-Identifier: Apache-2.0
/*
 * reg: files that are opened by their name: regular files, directories, memory and block devices.
 *
 * Kept:   path, position, access mode and status flags; size and mode are checked at restore, of a mapped program or
 *         library which build it is, of a block device its number and size.
 * Lost:   whether a block device was opened exclusively (O_EXCL), which does not show: reported. Files without a
 *         name (deleted, O_TMPFILE) are carried in the image, see ghost.h. Of an external file (--external
 *         file[MOUNT:INODE]) all but the key, by which whoever restores passes one in. A file outside of the
 *         tasks' root (standard output, say) is known by its name only, and is passed in, too.
 * Kernel: /proc/PID/fd, fdinfo.
 */
#include "kind/fd.h"

#include "base/res.h"
#include "base/text.h"
#include "kind/covered.h"
#include "kind/ghost.h"
#include "kind/mnt-autofs.h"
#include "kind/mnt-detached.h"
#include "kind/mqueue.h"
#include "kind/ns.h"
#include "kind/psi.h"
#include "kind/shmem.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#define MEM_MAJOR 1 /* null, zero, full, random, urandom, kmsg */

static bool reg_is(const struct fd_view *v)
{
	if (v->link[0] != '/')
		return false;
	if ((v->flags & O_PATH) &&
	    (S_ISFIFO(v->st.st_mode) || S_ISLNK(v->st.st_mode) || S_ISSOCK(v->st.st_mode)))
		return true; /* only a place, not an end of it */
	return S_ISREG(v->st.st_mode) ? !text_starts(v->link, "/memfd:") &&
						!text_starts(v->link, "/dev/zero (deleted)") &&
						!shmem_secret(v->fd) && ((v->flags & O_PATH) || !mqueue_is(v->fd, &v->st))
	       : S_ISDIR(v->st.st_mode) ? true
	       : S_ISBLK(v->st.st_mode) ? true
					: S_ISCHR(v->st.st_mode) && major(v->st.st_rdev) == MEM_MAJOR;
}

int fd_path_check(struct session *s, const struct fd_view *v)
{
	own_mem char *name = NULL, *external = fd_external(s, v);
	int r = external || autofs_root(v->fd) || detached_ns(s, v->mnt_id)
			? 0
			: ghost_check(s, ghost_home(s, v->task, v->fd), &v->st, v->link, v->num, &name);

	if (r == GHOST_COVERED) {
		own_mem char *mount = covered_mount(v->task, v->fd, v->link);

		return mount ? 0 : ghost_elsewhere(s, v->task, v->num, v->link);
	}
	return r < 0 ? r : 0;
}

static void reg_describe(RegFileEntry *e, int fd, const struct stat *st, const char *link)
{
	e->name = (char *)link;
	e->has_mode = true;
	e->mode = st->st_mode;
	if (S_ISREG(st->st_mode)) {
		e->has_size = true;
		e->size = st->st_size;
	}
	if (S_ISBLK(st->st_mode)) {
		e->has_rdev = true;
		e->rdev = st->st_rdev;
		e->has_size = ioctl(fd, BLKGETSIZE64, &e->size) == 0;
	}
}

/* The entry, and the file itself where the name does not lead to it. */
static int reg_put(struct session *s, struct task *task, RegFileEntry *e, int fd, const struct stat *st,
		   const char *link, int num)
{
	struct task *home = ghost_home(s, task, fd);
	own_mem char *name = NULL, *mount = NULL;
	int how = ghost_check(s, home, st, link, num, &name), r;

	if (how < 0)
		return how;
	if (how == GHOST_COVERED && !(e->covered = mount = covered_mount(home, fd, link)))
		return ghost_elsewhere(s, task, num, link);
	reg_describe(e, fd, st, name);
	e->mnt_id = ghost_mount(home, fd);
	e->has_mnt_id = e->mnt_id > 0;
	e->has_outside = e->outside = how == GHOST_OUTSIDE;
	if ((e->flags & O_ACCMODE) == O_WRONLY && (e->flags & O_APPEND) && how != GHOST_CARRIED)
		e->has_size = false; /* logs grow */
	r = fd_put_id(s, FD_TYPES__REG, e->id, &e->base);
	return r < 0 ? r : ghost_dump(s, home, how, fd, st, name, e->id);
}

static int reg_put_open(struct session *s, const struct fd_view *v, uint32_t id)
{
	RegFileEntry e = REG_FILE_ENTRY__INIT;

	e.id = id;
	e.flags = v->flags;
	e.pos = v->pos;
	e.fown = v->fown;
	e.has_pressure = e.pressure = psi_armed(s, v);
	return reg_put(s, v->task, &e, v->fd, &v->st, v->link, v->num);
}

/* Nothing but the key: the restore is given the file. */
static int reg_put_external(struct session *s, const struct fd_view *v, char *key)
{
	RegFileEntry e = REG_FILE_ENTRY__INIT;

	e.id = v->id;
	e.flags = v->flags;
	e.pos = v->pos;
	e.fown = v->fown;
	e.name = key;
	e.has_ext = e.ext = true;
	return fd_put(s, v, &e.base);
}

/*
 * The root of a mount to which no name leads: of an autofs (an automounter has it open to tell the kernel what it did; its
 * name leads to what is mounted there), or of a detached one.
 */
static int reg_put_root(struct session *s, const struct fd_view *v, uint32_t autofs)
{
	RegFileEntry e = REG_FILE_ENTRY__INIT;

	e.id = v->id;
	e.flags = v->flags;
	e.fown = v->fown;
	e.name = (char *)v->link;
	e.has_autofs = autofs;
	e.autofs = autofs;
	e.detached_ns = autofs ? 0 : detached_ns(s, v->mnt_id);
	e.has_detached_ns = e.detached_ns;
	return fd_put(s, v, &e.base);
}

static int reg_dump(struct session *s, const struct fd_view *v)
{
	own_mem char *external = fd_external(s, v);
	uint32_t autofs = S_ISDIR(v->st.st_mode) && !external ? autofs_root(v->fd) : 0;

	if (external)
		return reg_put_external(s, v, external);
	if (autofs || detached_ns(s, v->mnt_id))
		return reg_put_root(s, v, autofs);
	if (S_ISBLK(v->st.st_mode) && !(v->flags & O_PATH))
		session_warn(s, "task %d: descriptor %d is the block device %s: if it was opened for nobody else (O_EXCL), that is not kept",
			     v->task->vpid, v->num, v->link);
	return reg_put_open(s, v, v->id);
}

int fd_put_named(struct session *s, const struct fd_view *v, uint32_t *ret_id)
{
	*ret_id = fd_new_id(s);
	return reg_put_open(s, v, *ret_id);
}

int fd_put_named_as(struct session *s, const struct fd_view *v, uint32_t id)
{
	return reg_put_open(s, v, id);
}

int fd_put_path(struct session *s, struct task *task, int fd, const char *link, const struct elf_id *build,
		uint32_t *ret_id)
{
	RegFileEntry e = REG_FILE_ENTRY__INIT;
	FownEntry fown = FOWN_ENTRY__INIT;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return session_fail(s, -errno, "task %d: %s: stat", task->vpid, link);
	e.fown = &fown;
	e.id = *ret_id = fd_new_id(s);
	if (build) {
		e.build_id = (uint32_t *)build->words;
		e.n_build_id = build->n;
	}
	session_debug(s, "file 0x%x: path %s", e.id, link);
	return reg_put(s, task, &e, fd, &st, link, -1);
}

static int reg_dump_end(struct session *s)
{
	return ghost_dump_end(s);
}

/* ---- restore ---- */

/* A library of another build may well have the same size; who has it mapped would run into other code. */
static int build_check(struct session *s, const RegFileEntry *e, int fd)
{
	struct map *known = session_map(s, "build checked");
	own_fd int again = -1;
	struct elf_id here;

	if (!e->n_build_id || !e->has_size || s->opts->file_size_only || map_get(known, e->id))
		return 0;
	map_put(known, e->id, known); /* every task maps the same libraries */
	again = fd_reopen(fd, O_RDONLY);
	if (again < 0)
		return session_fail(s, again, "file %s: open it, to see which build it is", e->name);
	elf_id_of_file(again, &here);
	if (here.n == e->n_build_id && !memcmp(here.words, e->build_id, here.n * sizeof(*here.words)))
		return 0;
	return session_fail(s, -EINVAL,
			    "file %s: is another build of the program or library than at the checkpoint; put the right file there, or use --file-validation filesize",
			    e->name);
}

static int reg_check(struct session *s, const RegFileEntry *e, int fd)
{
	bool rwx = s->opts->has_skip_file_rwx_check && s->opts->skip_file_rwx_check;
	mode_t care = rwx ? ~0777U : ~0U;
	uint64_t size;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return session_fail(s, -errno, "file %s: stat", e->name);
	if (e->has_mode && (e->mode & care) != (st.st_mode & care))
		return session_fail(s, -EINVAL,
				    "file %s: its mode is 0%o, it was 0%o at the checkpoint; put the right file there%s",
				    e->name, st.st_mode, e->mode,
				    (e->mode ^ st.st_mode) & ~0777U ? "" : " or use --skip-file-rwx-check");
	if (e->has_rdev && (e->rdev != st.st_rdev || (e->has_size && ioctl(fd, BLKGETSIZE64, &size) == 0 && size != e->size)))
		return session_fail(s, -EINVAL, "block device %s: is another (%u:%u), or of another size, than at the checkpoint (%u:%u)",
				    e->name, major(st.st_rdev), minor(st.st_rdev), major(e->rdev), minor(e->rdev));
	if (e->has_size && !e->has_rdev && e->size != (uint64_t)st.st_size)
		return session_fail(s, -EINVAL,
				    "file %s: has %llu bytes, it had %llu at the checkpoint; put the right file there",
				    e->name, (unsigned long long)st.st_size, (unsigned long long)e->size);
	return build_check(s, e, fd);
}

/* By its name, or once more what was made for it. */
static int reg_open_any(struct session *s, uint32_t id, const RegFileEntry *e, struct open_how *how)
{
	int root = ns_root_of(s, e->has_mnt_id && e->mnt_id > 0 ? e->mnt_id : 0), held, fd, r = ghost_get(s, id, &held);

	if (root < 0 || r < 0)
		return root < 0 ? root : r;
	if (r == 2) {
		fd = fcntl(held, F_DUPFD_CLOEXEC, 3);
		return fd < 0 ? -errno : fd;
	}
	if (r)
		return fd_reopen(held, how->flags & ~O_NOFOLLOW);
	if (e->covered)
		return covered_open(s, e->covered, e->name, how->flags);
	fd = fd_high(syscall(SYS_openat2, root, e->name, how, sizeof(*how)));
	return fd < 0 ? -errno : fd;
}

static int reg_open(struct session *s, uint32_t id, const RegFileEntry *e, int flags)
{
	struct open_how how = { .resolve = RESOLVE_IN_ROOT };
	int fd, r;

	if (e->has_ext && e->ext)
		return session_fail(s, -EINVAL,
				    "file 0x%x: was declared external at the checkpoint; pass it in with --inherit-fd 'fd[N]:%s'",
				    id, e->name);
	if (e->name[0] != '/')
		return session_fail(s, -EBADMSG, "files.img: the name \"%.100s\" is not absolute", e->name);
	if ((flags & O_TMPFILE) == O_TMPFILE)
		flags &= ~O_TMPFILE; /* holds O_DIRECTORY */
	how.flags = (flags & ~(O_CREAT | O_EXCL | O_TRUNC | __O_TMPFILE)) | O_CLOEXEC | O_NOCTTY;
	if (!(flags & O_PATH))
		how.flags |= flags & O_DIRECTORY;
	else
		how.flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	fd = reg_open_any(s, id, e, &how);
	if (fd < 0)
		return session_fail(s, fd, "file %s: open%s", e->name,
				    fd == -ENOENT ? ": it was open at the checkpoint; put the file that was there back" : "");
	r = reg_check(s, e, fd);
	if (r < 0) {
		fd_close(fd);
		return r;
	}
	return fd;
}

int fd_open_reg(struct session *s, uint32_t id, int flags)
{
	const FileEntry *e = fd_entry(s, id);

	if (!e || !e->reg)
		return session_fail(s, -EBADMSG, "files.img: file 0x%x is missing or has no name", id);
	return reg_open(s, id, e->reg, flags < 0 ? (int)e->reg->flags : flags);
}

/* Of what devices there are, a cgroup may allow a few: the task itself has to be able to open it. */
static int device_allowed(struct session *s, const struct fd_obj *o)
{
	const RegFileEntry *e = o->entry->reg;
	struct stat st;
	struct batch b;
	unsigned n;
	int r;

	if (fstat(o->fd, &st) < 0 || (e->flags & O_PATH) || !o->thread || strlen(e->name) > 4000 ||
	    !(S_ISBLK(st.st_mode) || (S_ISCHR(st.st_mode) && major(st.st_rdev) != MEM_MAJOR)))
		return 0;
	batch_start(s, &b, o->thread);
	n = call4(&b, NULL, SYS_openat, AT_FDCWD, batch_str(&b, e->name), (e->flags & O_ACCMODE) | O_NOCTTY | O_CLOEXEC, 0);
	batch_use(&b, call1(&b, NULL, SYS_close, 0), 0, n);
	r = batch_run(&b);
	if (r == 0 && batch_ret(&b, n) < 0)
		r = session_fail(s, batch_ret(&b, n), "device %s: the task may not open it; allow it in its cgroup", e->name);
	return r;
}

static int reg_restore(struct session *s, struct fd_obj *o)
{
	const RegFileEntry *e = o->entry->reg;
	int r;

	if (!e)
		return session_fail(s, -EBADMSG, "files.img: file 0x%x has no reg part", o->id);
	r = fd_inherit(s, o, e->has_ext && e->ext ? e->name : e->name + (*e->name == '/'), e->flags);
	if (r)
		return r < 0 ? r : 0;
	if (e->has_outside && e->outside && e->name[0])
		return fd_from_caller(s, o, e->name, e->flags);
	if (e->has_autofs || e->has_detached_ns) {
		o->fd = e->has_autofs ? autofs_open(s, e->autofs, e->flags) : detached_open(s, e->detached_ns);
		return o->fd < 0 ? session_fail(s, o->fd, "file 0x%x: open the root of its mount", o->id) : 0;
	}
	o->fd = reg_open(s, o->id, e, e->flags);
	if (o->fd < 0)
		return o->fd;
	if (device_allowed(s, o) < 0)
		return s->why_r ? s->why_r : -EPERM;
	if (e->has_pressure && e->pressure && psi_arm(s, o->fd, e->name) < 0)
		return s->why_r;
	if (e->pos != UINT64_MAX && !(e->flags & O_PATH) && e->pos &&
	    lseek(o->fd, e->pos, SEEK_SET) < 0)
		return session_fail(s, -errno, "file %s: seek to %llu", e->name,
				    (unsigned long long)e->pos);
	return 0;
}

const struct fd_kind fd_kind_reg = {
	.name = "file",
	.type = FD_TYPES__REG,
	.is = reg_is,
	.dump = reg_dump,
	.dump_end = reg_dump_end,
	.restore = reg_restore,
	.preflight = fd_path_check,
};
