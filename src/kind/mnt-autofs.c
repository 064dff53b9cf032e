// SPDX-License-Identifier: Apache-2.0
/*
 * An autofs tells its automounter by a pipe what is to be mounted. At the restore it is made with a pipe that nobody
 * reads and put out of service; when the tasks have their descriptors, one of the automounter's process group gives it
 * the writing end of the pipe that the automounter reads.
 *
 * Kept:   mode, timeout, group and pipe of the automounter, directories in it.
 * Lost:   nothing; while somebody waits for a mount a dump is refused.
 * Kernel: fs/autofs; Documentation/filesystems/autofs-mount-control.rst. A pipe can be given by who is in the group
 *         only, and to a file system that is out of service ("catatonic").
 */
#include "kind/mnt-autofs.h"

#include "base/list.h"
#include "base/res.h"
#include "base/text.h"
#include "image/record.h"
#include "images/autofs.pb-c.h"
#include "kind/fd.h"
#include "kind/ids.h"
#include "task/guest.h"
#include "task/lend.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/auto_dev-ioctl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#define DIRS_MAX 4096
#define ENTRIES "autofs entries" /* device to AutofsEntry, restore */
#define ROOTS "autofs roots"	 /* device to descriptor + 1, supervisor */

/* ---- dump ---- */

uint32_t autofs_root(int fd)
{
	struct statx sx;
	struct statfs fs;
	bool is = fd >= 0 && fstatfs(fd, &fs) == 0 && fs.f_type == AUTOFS_SUPER_MAGIC &&
		  statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_BASIC_STATS, &sx) == 0 &&
		  sx.stx_attributes & STATX_ATTR_MOUNT_ROOT;

	return is ? sx.stx_dev_major << 20 | sx.stx_dev_minor : 0;
}

/* "minproto=5" and the like of a mount's options; or -1 */
static long option(const MntEntry *e, const char *key)
{
	const char *p = e->options;
	size_t n = strlen(key);

	for (; p && *p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
		if (!strncmp(p, key, n) && p[n] == '=')
			return strtol(p + n + 1, NULL, 10);
	return -1;
}

static bool reads(const struct task *k, const char *num, ino_t pipe)
{
	own_mem char *path = xprintf("fd/%s", num), *info = xprintf("fdinfo/%s", num), *text = NULL;
	struct stat st;
	uint64_t flags;

	return fstatat(k->proc, path, &st, 0) == 0 && S_ISFIFO(st.st_mode) && st.st_ino == pipe &&
	       text_read(k->proc, info, &text, NULL) == 0 && text_u64(text, "flags:", 8, &flags) == 0 &&
	       (flags & O_ACCMODE) != O_WRONLY;
}

/* A task that reads that pipe, and its descriptor; NULL */
static const struct task *reader_of(struct session *s, ino_t pipe, int *num)
{
	for (size_t i = 0; s->tree && i < s->tree->n; i++) {
		const struct task *k = s->tree->all[i];
		own_fd int at = k->state == TASK_DEAD ? -1 : session_openat(s, k->proc, "fd", O_RDONLY | O_DIRECTORY, 0);
		own_dir DIR *d = at < 0 ? NULL : fdopendir(at);
		struct dirent *e;

		if (d)
			take_fd(at);
		while (d && (e = readdir(d)))
			if (reads(k, e->d_name, pipe)) {
				*num = atoi(e->d_name);
				return k;
			}
	}
	return NULL;
}

/* As the tasks count; 0: of none of them */
static pid_t group_inside(struct session *s, pid_t group)
{
	for (size_t i = 0; group > 0 && i < s->tree->n; i++) {
		const struct task *k = s->tree->all[i];

		if (k->state != TASK_DEAD && !k->pidns && getpgid(k->pid) == group)
			return k->pgid;
	}
	return 0;
}

static int waiting(struct session *s, const struct mnt *m)
{
	for (size_t i = 0; i < s->tree->n; i++)
		for (unsigned n = 0; s->tree->all[i]->state != TASK_DEAD && n < s->tree->all[i]->n_threads; n++) {
			const struct thread *t = &s->tree->all[i]->threads[n];
			own_mem char *where = NULL;

			if (text_readf(AT_FDCWD, &where, "/proc/%d/task/%d/wchan", t->task->pid, t->tid) == 0 &&
			    text_starts(where, "autofs_wait"))
				return session_fail(s, -EBUSY,
						    "mount %s: task %d waits for its automounter; let it mount what is wanted and try again",
						    m->e->mountpoint, t->task->vpid);
		}
	return 0;
}

static int is_pending(struct session *s, const struct mnt *m, const struct task *k, int num)
{
	own_mem char *path = xprintf("fd/%d", num);
	own_fd int fd = session_openat(s, k->proc, path, O_RDONLY | O_NONBLOCK, 0);
	int n = 0;

	if (fd >= 0 && ioctl(fd, FIONREAD, &n) == 0 && n)
		return session_fail(s, -EBUSY, "mount %s: its automounter has not read what is wanted of it; try again",
				    m->e->mountpoint);
	return 0;
}

/* The directories in it; to look into one would ask for a mount. */
static int dirs_note(struct session *s, const struct mnt *m, AutofsEntry *a, int top)
{
	own_fd int fd = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	own_dir DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	struct stat st, its;

	if (!d || fstat(top, &its) < 0)
		return session_fail(s, -errno, "mount %s: read its directories", m->e->mountpoint);
	take_fd(fd);
	while ((e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (e->d_type != DT_DIR || a->n_dirs == DIRS_MAX ||
		    fstatat(dirfd(d), e->d_name, &st, AT_NO_AUTOMOUNT | AT_SYMLINK_NOFOLLOW) < 0 ||
		    (st.st_dev == its.st_dev && st.st_nlink > 2))
			return session_fail(s, -ENOTSUP,
					    "mount %s: this autofs holds %s, a link or a directory with others in it, which cannot be checkpointed; unmount it",
					    m->e->mountpoint, e->d_name);
		a->dirs = xgrow(a->dirs, (a->n_dirs + 1) * sizeof(*a->dirs));
		a->dirs[a->n_dirs++] = xstrdup(e->d_name);
	}
	return 0;
}

static const char *const modes[] = { "direct", "indirect", "offset" };

static int describe(struct session *s, int root, const struct mnt *m, AutofsEntry *a)
{
	const MntEntry *e = m->e;
	const struct task *k;
	own_fd int path = -1;
	int r = 0;

	a->fd = option(e, "fd");
	a->timeout = option(e, "timeout");
	a->minproto = option(e, "minproto");
	a->maxproto = option(e, "maxproto");
	a->has_uid = (a->uid = option(e, "uid")) > 0;
	a->has_gid = (a->gid = option(e, "gid")) > 0;
	a->mode = strstr(e->options, "indirect") ? 1 : strstr(e->options, "offset") ? 2 : 0;
	if (ids_mapped(s))
		return session_fail(s, -ENOTSUP, "mount %s: an autofs, which cannot be mounted in a user namespace; declare it with --external 'mnt[%s]:KEY'",
				    e->mountpoint, e->mountpoint);
	if (a->mode == 1) {
		path = mnt_open(root, m);
		r = path < 0 ? session_fail(s, -ENOTSUP, "mount %s: is an autofs that another mount hides; unmount one of them", e->mountpoint)
			     : dirs_note(s, m, a, path);
	}
	if (r < 0 || a->fd < 0)
		return r; /* out of service */
	k = reader_of(s, option(e, "pipe_ino"), &a->read_fd);
	a->pgrp = k ? group_inside(s, option(e, "pgrp")) : 0;
	if (!a->pgrp)
		return session_fail(s, -ENOTSUP,
				    "mount %s: an autofs whose automounter is not one of the tasks; unmount it, declare it with --external 'mnt[%s]:KEY', or leave it out with --skip-mnt %s",
				    e->mountpoint, e->mountpoint, e->mountpoint);
	a->has_read_fd = a->has_reader = true;
	a->reader = k->vpid;
	r = is_pending(s, m, k, a->read_fd);
	return r < 0 ? r : waiting(s, m);
}

static void forget(AutofsEntry *a)
{
	for (size_t i = 0; i < a->n_dirs; i++)
		free(a->dirs[i]);
	free(a->dirs);
}

int autofs_check(struct session *s, int root, const struct mnt *m)
{
	AutofsEntry a = AUTOFS_ENTRY__INIT;
	int r = describe(s, root, m, &a);

	forget(&a);
	return r;
}

int autofs_dump(struct session *s, int root, const struct mnt_list *l)
{
	struct map *done = session_map(s, "autofs done");
	int r = 0;

	for (size_t i = 0; r == 0 && i < l->n; i++) {
		const struct mnt *m = l->v[i];
		AutofsEntry a = AUTOFS_ENTRY__INIT;

		if (m->e->fstype != FSTYPE__AUTOFS || m->e->ext_key || map_get(done, m->e->root_dev))
			continue;
		map_put(done, m->e->root_dev, s);
		r = describe(s, root, m, &a);
		if (r == 0)
			r = image_write_one(s, MAGIC_AUTOFS, &a.base, "autofs-%u.img", m->e->root_dev);
		forget(&a);
	}
	return r;
}

/* ---- restore ---- */

static bool is_name(const char *path)
{
	return *path && strlen(path) < 256 && !strchr(path, '/') && strcmp(path, ".") && strcmp(path, "..");
}

int autofs_prepare(struct session *s, const struct mnt_list *l)
{
	struct map *all = session_map(s, ENTRIES);

	for (size_t i = 0; i < l->n; i++) {
		const MntEntry *e = l->v[i]->e;
		AutofsEntry *a = NULL;
		int r;

		if (e->fstype != FSTYPE__AUTOFS || e->ext_key || l->v[i] == l->root || map_get(all, e->root_dev))
			continue;
		r = image_read_one(s, MAGIC_AUTOFS, &autofs_entry__descriptor, (ProtobufCMessage **)&a, "autofs-%u.img", e->root_dev);
		if (r < 0)
			return r;
		map_put(all, e->root_dev, a);
		for (size_t k = 0; k < a->n_dirs; k++)
			if (a->n_dirs > DIRS_MAX || !is_name(a->dirs[k]))
				return session_fail(s, -EBADMSG, "autofs-%u.img: has a damaged directory, or too many", e->root_dev);
		if (a->mode < 0 || a->mode >= (int)ARRAY_SIZE(modes) || e->root_dev > 0xfffff)
			return session_fail(s, -EBADMSG, "autofs-%u.img: has a mode or a number out of range", e->root_dev);
	}
	return 0;
}

static int set_number(int fs, const char *key, long value)
{
	char text[24];

	snprintf(text, sizeof(text), "%ld", value);
	return fsconfig(fs, FSCONFIG_SET_STRING, key, text, 0);
}

/* The guest is a group of its own, and as the automounter's may make directories. */
static int make_served(const struct mnt *m, const AutofsEntry *a, int pipe)
{
	own_fd int fs = fsopen("autofs", FSOPEN_CLOEXEC);

	if (fs < 0 || (*m->e->source && fsconfig(fs, FSCONFIG_SET_STRING, "source", m->e->source, 0) < 0) ||
	    set_number(fs, "fd", pipe) < 0 || set_number(fs, "pgrp", getpgrp()) < 0 ||
	    set_number(fs, "minproto", a->minproto) < 0 || set_number(fs, "maxproto", a->maxproto) < 0 ||
	    fsconfig(fs, FSCONFIG_SET_FLAG, modes[a->mode], NULL, 0) < 0 || (a->has_uid && set_number(fs, "uid", a->uid) < 0) ||
	    (a->has_gid && set_number(fs, "gid", a->gid) < 0) ||
	    (strstr(m->e->options, "strictexpire") && fsconfig(fs, FSCONFIG_SET_FLAG, "strictexpire", NULL, 0) < 0) ||
	    (strstr(m->e->options, "ignore") && fsconfig(fs, FSCONFIG_SET_FLAG, "ignore", NULL, 0) < 0) ||
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	return fsmount(fs, FSMOUNT_CLOEXEC, 0);
}

int autofs_make(struct session *s, const struct mnt *m)
{
	const AutofsEntry *a = map_get(session_map(s, ENTRIES), m->e->root_dev);
	own_fd int fd = -1, root = -1;
	int end[2], r = 0;

	if (!a)
		return session_fail(s, -EBADMSG, "mount %s: has no autofs-%u.img", m->e->mountpoint, m->e->root_dev);
	setpgid(0, 0);
	if (pipe2(end, O_CLOEXEC) < 0)
		return session_fail(s, -errno, "mount %s: make a pipe", m->e->mountpoint);
	fd = fd_high(make_served(m, a, end[1]));
	if (fd < 0 || (root = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		r = session_fail(s, -errno, "mount %s: make an autofs", m->e->mountpoint);
	for (size_t i = 0; r == 0 && i < a->n_dirs; i++)
		if (mkdirat(root, a->dirs[i], 0755) < 0)
			r = session_fail(s, -errno, "mount %s: make the directory %s", m->e->mountpoint, a->dirs[i]);
	if (r == 0 && ioctl(root, AUTOFS_IOC_CATATONIC, 0) < 0)
		r = session_fail(s, -errno, "mount %s: put it out of service", m->e->mountpoint);
	close(end[0]);
	close(end[1]);
	if (r == 0)
		r = guest_give_fd(s, AUTOFS_TAG + (int)m->e->root_dev, root);
	return r < 0 ? r : take_fd(fd);
}

/* For the kernel each of them is a way into another file system (RESOLVE_NO_XDEV). */
int autofs_open_below(int root, const char *name)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC | O_NOFOLLOW,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
	};

	return syscall(SYS_openat2, root, name, &how, sizeof(how));
}

void autofs_take(struct session *s, uint32_t dev, int fd)
{
	map_put(session_map(s, ROOTS), dev, (void *)(intptr_t)(fd + 1));
}

int autofs_open(struct session *s, uint32_t dev, int flags)
{
	int root = (int)(intptr_t)map_get(session_map(s, ROOTS), dev) - 1;
	int fd = root < 0 ? -1 : fd_high(openat(root, ".", flags | O_CLOEXEC));

	return root < 0 ? -ENOENT : fd < 0 ? -errno : fd;
}

struct place {
	pid_t pid;
	int num;
	bool found;
};

static int is_place(struct session *s, struct thread *t, int num, bool cloexec, void *arg)
{
	struct place *p = arg;

	p->found |= t->task->vpid == p->pid && num == p->num;
	return 0;
}

/* The writing end of what the automounter reads. */
static int pipe_of(struct session *s, const AutofsEntry *a)
{
	struct fd_obj *o;

	for (size_t n = 0; (o = fd_obj_at(s, n)); n++) {
		struct place p = { .pid = a->has_reader ? a->reader : a->pgrp, .num = a->read_fd };

		if (o->entry->pipe && o->fd >= 0 && fd_places(s, o, is_place, &p) == 0 && p.found)
			return fd_reopen(o->fd, O_WRONLY | O_NONBLOCK);
	}
	return -ENOENT;
}

static struct task *member_of(struct tree *tree, pid_t group)
{
	for (size_t i = 0; i < tree->n; i++)
		if (tree->all[i]->state != TASK_DEAD && !tree->all[i]->pidns && tree->all[i]->pgid == group)
			return tree->all[i];
	return NULL;
}

static int give_pipe(struct session *s, struct task *k, const int fds[3])
{
	struct autofs_dev_ioctl p;
	int nums[3], r = lend_fds(s, task_leader(k), fds, 3, nums);
	struct batch b;
	int64_t at;

	if (r < 0)
		return r;
	batch_start(s, &b, task_leader(k));
	init_autofs_dev_ioctl(&p);
	p.ioctlfd = nums[1];
	p.setpipefd.pipefd = nums[2];
	at = batch_mem(&b, &p, sizeof(p), NULL);
	call3(&b, "autofs: give it its automounter's pipe", SYS_ioctl, nums[0], AUTOFS_DEV_IOCTL_SETPIPEFD, at);
	for (int i = 0; i < 3; i++)
		call1(&b, NULL, SYS_close, nums[i]);
	return batch_run(&b);
}

static int connect_one(struct session *s, struct tree *tree, uint32_t dev, const AutofsEntry *a)
{
	own_fd int control = fd_high(open("/dev/autofs", O_RDONLY | O_CLOEXEC)), pipe = -1;
	int root = (int)(intptr_t)map_get(session_map(s, ROOTS), dev) - 1;
	struct task *k = member_of(tree, a->pgrp);
	struct autofs_dev_ioctl p;

	if (root < 0)
		return 0; /* made by nobody: it was hidden for good */
	if (control < 0)
		return session_fail(s, -errno, "autofs: open /dev/autofs (load the module, or make the device: c 10 235)");
	init_autofs_dev_ioctl(&p);
	p.ioctlfd = root;
	p.timeout.timeout = a->timeout > 0 ? a->timeout : 0;
	if (ioctl(control, AUTOFS_DEV_IOCTL_TIMEOUT, &p) < 0)
		return session_fail(s, -errno, "autofs-%u.img: set the timeout", dev);
	if (a->fd < 0)
		return 0;
	pipe = pipe_of(s, a);
	if (!k || pipe < 0)
		return session_fail(s, -EBADMSG, "autofs-%u.img: its automounter, or the pipe that one reads, is not in the images", dev);
	return give_pipe(s, k, (int[]){ control, root, pipe });
}

int autofs_connect(struct session *s, struct tree *tree)
{
	const struct map *all = session_map(s, ENTRIES);
	int r = 0;

	for (size_t i = 0; r == 0 && i < all->max; i++)
		if (all->rows[i].value)
			r = connect_one(s, tree, all->rows[i].key, all->rows[i].value);
	return r;
}

void autofs_end(struct session *s)
{
	struct map *all = session_map(s, ENTRIES), *roots = session_map(s, ROOTS);

	for (size_t i = 0; i < all->max; i++)
		if (all->rows[i].value)
			autofs_entry__free_unpacked(all->rows[i].value, NULL);
	for (size_t i = 0; i < roots->max; i++)
		if (roots->rows[i].value)
			fd_close((int)(intptr_t)roots->rows[i].value - 1);
	map_free(all);
	map_free(roots);
	*all = *roots = (struct map){ 0 };
}
