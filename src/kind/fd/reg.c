// SPDX-License-Identifier: Apache-2.0
/*
 * reg: files that are opened by their name: regular files, directories, memory devices.
 *
 * Kept:   path, position, access mode and status flags; size and mode are checked at restore.
 * Lost:   nothing; files without a name (deleted, O_TMPFILE) are refused. A file outside of the tasks'
 *         root (standard output, say) is known by its name only: whoever restores passes one in.
 * Kernel: /proc/PID/fd, fdinfo.
 */
#include "kind/fd.h"

#include "base/res.h"
#include "base/text.h"
#include "kind/ns.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#define MEM_MAJOR 1 /* null, zero, full, random, urandom, kmsg */

static bool reg_is(const struct fd_view *v)
{
	if (v->link[0] != '/')
		return false;
	return S_ISREG(v->st.st_mode) ? !text_starts(v->link, "/memfd:") &&
						!text_starts(v->link, "/dev/zero (deleted)")
	       : S_ISDIR(v->st.st_mode) ? true
					: S_ISCHR(v->st.st_mode) && major(v->st.st_rdev) == MEM_MAJOR;
}

/* Does the name, looked up below that root, lead to this very file or device? */
static bool reg_leads(int root, const struct stat *st, const char *link)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	own_fd int fd = root < 0 ? -1 : syscall(SYS_openat2, root, link, &how, sizeof(how));
	struct stat now;

	if (fd < 0 || fstat(fd, &now) < 0)
		return false;
	if (S_ISCHR(st->st_mode)) /* each /dev has a null of its own */
		return now.st_mode == st->st_mode && now.st_rdev == st->st_rdev;
	return now.st_dev == st->st_dev && now.st_ino == st->st_ino;
}

/*
 * The name must lead to the file from the task's root, or, for what a runtime has passed in, from ours:
 * then *ret_outside is set.
 */
static int reg_named(struct session *s, const struct task *k, const struct stat *st, const char *link,
		     int num, bool *ret_outside)
{
	own_fd int root = openat(k->proc, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	own_fd int ours = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (reg_leads(root, st, link))
		return 0;
	if (ret_outside && S_ISREG(st->st_mode) && reg_leads(ours, st, link)) {
		*ret_outside = true;
		return 0;
	}
	return session_fail(s, -ENOTSUP,
			    "task %d: descriptor %d is %s, which has no name any more; such files cannot be checkpointed yet",
			    k->vpid, num, link);
}

static int reg_preflight(struct session *s, const struct fd_view *v)
{
	bool outside = false;

	return reg_named(s, v->task, &v->st, v->link, v->num, &outside);
}

static void reg_describe(RegFileEntry *e, const struct stat *st, const char *link)
{
	e->name = (char *)link;
	e->has_mode = true;
	e->mode = st->st_mode;
	if (S_ISREG(st->st_mode)) {
		e->has_size = true;
		e->size = st->st_size;
	}
}

static int reg_dump(struct session *s, const struct fd_view *v)
{
	RegFileEntry e = REG_FILE_ENTRY__INIT;
	bool outside = false;
	int r = reg_named(s, v->task, &v->st, v->link, v->num, &outside);

	if (r < 0)
		return r;
	reg_describe(&e, &v->st, v->link);
	e.has_outside = e.outside = outside;
	if ((v->flags & O_ACCMODE) == O_WRONLY && (v->flags & O_APPEND))
		e.has_size = false; /* logs grow */
	e.id = v->id;
	e.flags = v->flags;
	e.pos = v->pos;
	e.fown = v->fown;
	return fd_put(s, v, &e.base);
}

int fd_put_path(struct session *s, struct task *task, int fd, const char *link, uint32_t *ret_id)
{
	RegFileEntry e = REG_FILE_ENTRY__INIT;
	FownEntry fown = FOWN_ENTRY__INIT;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return session_fail(s, -errno, "task %d: %s: stat", task->vpid, link);
	r = reg_named(s, task, &st, link, -1, NULL);
	if (r < 0)
		return r;
	reg_describe(&e, &st, link);
	e.fown = &fown;
	e.id = *ret_id = fd_new_id(s);
	session_debug(s, "file 0x%x: path %s", e.id, link);
	return fd_put_id(s, FD_TYPES__REG, e.id, &e.base);
}

/* ---- restore ---- */

static int reg_check(struct session *s, const RegFileEntry *e, int fd)
{
	bool rwx = s->opts->has_skip_file_rwx_check && s->opts->skip_file_rwx_check;
	mode_t care = rwx ? ~0777U : ~0U;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return session_fail(s, -errno, "file %s: stat", e->name);
	if (e->has_mode && (e->mode & care) != (st.st_mode & care))
		return session_fail(s, -EINVAL,
				    "file %s: its mode is 0%o, it was 0%o at the checkpoint; put the right file there%s",
				    e->name, st.st_mode, e->mode,
				    (e->mode ^ st.st_mode) & ~0777U ? "" : " or use --skip-file-rwx-check");
	if (e->has_size && e->size != (uint64_t)st.st_size)
		return session_fail(s, -EINVAL,
				    "file %s: has %llu bytes, it had %llu at the checkpoint; put the right file there",
				    e->name, (unsigned long long)st.st_size, (unsigned long long)e->size);
	return 0;
}

static int reg_open(struct session *s, const RegFileEntry *e, int flags)
{
	struct open_how how = { .resolve = RESOLVE_IN_ROOT };
	int root = ns_root_fd(s), fd, r;

	if (e->has_ext && e->ext)
		return session_fail(s, -ENOTSUP, "file %s: external files are not supported yet", e->name);
	if (e->name[0] != '/')
		return session_fail(s, -EBADMSG, "files.img: the name \"%.100s\" is not absolute", e->name);
	how.flags = (flags & ~(O_CREAT | O_EXCL | O_TRUNC | __O_TMPFILE)) | O_CLOEXEC | O_NOCTTY;
	if (!(flags & O_PATH))
		how.flags |= flags & O_DIRECTORY;
	else
		how.flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	fd = fd_high(syscall(SYS_openat2, root, e->name, &how, sizeof(how)));
	if (fd < 0)
		return session_fail(s, -errno, "file %s: open", e->name);
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
	return reg_open(s, e->reg, flags < 0 ? (int)e->reg->flags : flags);
}

/*
 * A file from outside comes from the caller: by its key, or, as one of the standard three, as the
 * caller's own. Its name is never opened: an image could name any file of the host.
 */
static int reg_outside(struct session *s, struct fd_obj *o, const RegFileEntry *e)
{
	int fd = inherit_find(s, e->name + 1), want = e->flags & O_ACCMODE, has;

	if (fd < 0 && o->num >= 0 && o->num <= 2)
		fd = o->num;
	has = fd < 0 ? -1 : fcntl(fd, F_GETFL);
	if (has < 0 || ((has & O_ACCMODE) != O_RDWR && (has & O_ACCMODE) != want))
		return session_fail(s, -EINVAL,
				    "descriptor %d: file %s lay outside of the container; pass one in its place: --inherit-fd 'fd[N]:%s'",
				    o->num, e->name, e->name + 1);
	session_info(s, "descriptor %d: %s is replaced by our descriptor %d", o->num, e->name, fd);
	o->borrowed = true;
	o->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return o->fd < 0 ? session_fail(s, -errno, "file %s: take descriptor %d", e->name, fd) : 0;
}

static int reg_restore(struct session *s, struct fd_obj *o)
{
	const RegFileEntry *e = o->entry->reg;

	if (!e)
		return session_fail(s, -EBADMSG, "files.img: file 0x%x has no reg part", o->id);
	if (e->has_outside && e->outside && e->name[0])
		return reg_outside(s, o, e);
	o->fd = reg_open(s, e, e->flags);
	if (o->fd < 0)
		return o->fd;
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
	.restore = reg_restore,
	.preflight = reg_preflight,
};
