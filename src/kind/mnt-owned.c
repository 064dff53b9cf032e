// SPDX-License-Identifier: Apache-2.0
/*
 * A mount namespace that belongs to a nested user namespace began as a copy of a more privileged one. What came
 * with the copy is locked: it cannot be taken off alone, nor lose its flags, and so it is with what the copy's
 * user binds of it. Only such a copy makes that again: what shows mounts of more privileged namespaces is put
 * together there (each with the locked mounts on it, in a directory of a stage), and a process of the user
 * namespace copies that. From the copy they are cloned to their places.
 *
 * Locked is what lies in the same place of the same parent in a more privileged namespace.
 *
 * Kernel: mount_namespaces(7), "Restrictions on mount namespaces"; lock_mnt_tree(), copy_tree().
 */
#include "kind/mnt-owned.h"

#include "base/res.h"
#include "kind/ids.h"
#include "kind/mnt-build.h"
#include "kind/ns-user.h"
#include "task/guest.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* ---- what is locked ---- */

/* Where it is mounted, as a path in the file system below. */
static char *place(const struct mnt *m)
{
	const char *rel = mnt_below(m->e->mountpoint, m->parent->e->mountpoint);

	return xprintf("%s/%s", strcmp(m->parent->e->root, "/") ? m->parent->e->root : "", rel ? rel : "?");
}

static bool has_twin(const struct mnt_list *l, const struct mnt *m)
{
	own_mem char *where = place(m);

	for mnt_each_same (o, l, m->e->root_dev) {
		own_mem char *there = o->parent ? place(o) : NULL;

		if (there && !strcmp(o->e->root, m->e->root) && o->parent->e->root_dev == m->parent->e->root_dev &&
		    !strcmp(there, where))
			return true;
	}
	return false;
}

/* The n-th mount namespace whose user namespace is around ns's; NULL behind the last */
static struct mnt_list *list_above(struct session *s, const struct ns *ns, size_t n)
{
	const struct ns *o = ns_of(s, CLONE_NEWNS);

	for (size_t i = 0; o; o = ns_nested(s, CLONE_NEWNS, i++)) {
		const struct ns *up = ns->owner;

		if (o->owner == ns->owner)
			continue;
		while (up && up != o->owner)
			up = up->owner;
		if (up == o->owner && n-- == 0)
			return map_get(session_map(s, "mnt"), o->id);
	}
	return NULL;
}

static void mark_locked(struct session *s, const struct ns *ns, struct mnt_list *l)
{
	struct mnt_list *above;

	for (size_t n = 0; (above = list_above(s, ns, n)); n++)
		for (size_t i = 0; i < l->n; i++) {
			struct mnt *m = l->v[i];

			if (m->parent && m->source >= 0 && (m->parent->source >= 0 || m->parent->locked))
				m->locked |= has_twin(above, m);
		}
}

/* ---- the stage ---- */

/* A file system of its own becomes the root; all else is left. */
static int stage_make(struct session *s, const struct ns *ns)
{
	own_fd int fs = fsopen("tmpfs", FSOPEN_CLOEXEC), fd = -1;

	if (fs < 0 || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0 || (fd = fsmount(fs, FSMOUNT_CLOEXEC, 0)) < 0 ||
	    move_mount(fd, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return session_fail(s, -errno, "mnt namespace %u: make a stage for its mounts", ns->id);
	return mnt_root_turn(s, fd);
}

static char *stage_name(const struct mnt *m)
{
	return xprintf("/%u", m->e->mnt_id);
}

static int stage_top(struct session *s, struct mnt *m)
{
	own_mem char *name = stage_name(m);
	struct stat st;
	int r = fstat(m->source, &st);

	if (r == 0)
		r = S_ISDIR(st.st_mode) ? mkdir(name, 0700) : mknod(name, S_IFREG | 0600, 0);
	if (r == 0)
		r = move_mount(m->source, "", AT_FDCWD, name, MOVE_MOUNT_F_EMPTY_PATH);
	if (r < 0)
		return session_fail(s, -errno, "mount %s: put it on the stage", m->e->mountpoint);
	m->fd = take_fd(m->source);
	m->staged = true;
	return mnt_set_flags(s, m, MNT_FLAGS_CLEAR);
}

/* Parents come first; of siblings what lies deeper. */
static int stage_all(struct session *s, struct mnt_list *l)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < l->n; i++) {
		struct mnt *m = l->v[i];

		if (m->source >= 0 && !m->locked)
			r = stage_top(s, m);
		for (struct mnt *c = m->child; r == 0 && m->fd >= 0 && c; c = c->next) {
			if (!c->locked)
				continue;
			c->fd = take_fd(c->source);
			r = mnt_attach(s, c);
			if (r == 0)
				r = mnt_set_flags(s, c, MNT_FLAGS_ALL);
		}
	}
	return r;
}

/* ---- the copy ---- */

/* In it, each is cloned with what is locked on it; that is found again when it is in its place. */
static int unstage(struct session *s, struct mnt_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		struct mnt *m = l->v[i];
		own_mem char *name = stage_name(m);

		fd_close(m->fd);
		m->fd = -1;
		if (m->staged)
			m->source = fd_high(open_tree(AT_FDCWD, name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
		if (m->staged && m->source < 0)
			return session_fail(s, -errno, "mount %s: take it from the stage", m->e->mountpoint);
	}
	return 0;
}

int owned_stage(struct session *s, const struct ns *ns, struct mnt_list *l)
{
	own_fd int fd = -1;
	int r;

	mark_locked(s, ns, l);
	r = stage_make(s, ns);
	if (r == 0)
		r = stage_all(s, l);
	if (r == 0)
		r = ns_unshare(s, ns);
	if (r == 0)
		fd = fd_high(openat(ns_proc(s), "thread-self/ns/mnt", O_RDONLY | O_CLOEXEC));
	if (r == 0 && fd < 0)
		r = session_fail(s, -errno, "mnt namespace %u: open it", ns->id);
	if (r == 0)
		r = unstage(s, l);
	return r < 0 ? r : take_fd(fd);
}

/* What others hide is not seen: it stays in no group. */
static int find_one(struct session *s, struct mnt *m)
{
	const char *rel = mnt_below(m->e->mountpoint, m->parent->e->mountpoint);
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC | O_NOFOLLOW,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
	};
	own_fd int at = rel && *rel ? syscall(SYS_openat2, m->parent->fd, rel, &how, sizeof(how)) : -1;
	struct statx sx, below;

	if (at < 0 || statx(at, "", AT_EMPTY_PATH, STATX_MNT_ID, &sx) < 0 ||
	    statx(m->parent->fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &below) < 0 || sx.stx_mnt_id == below.stx_mnt_id) {
		if (m->e->shared_id || m->e->master_id)
			session_warn(s, "mount %s: others hide it; it shares no longer with its group", m->e->mountpoint);
		m->e->shared_id = m->e->master_id = 0;
		m->fd = fd_high(fcntl(m->parent->fd, F_DUPFD_CLOEXEC, 3));
	} else {
		m->fd = fd_high(take_fd(at));
	}
	return m->fd < 0 ? session_fail(s, -errno, "mount %s: open it", m->e->mountpoint) : 0;
}

int owned_find(struct session *s, struct mnt_list *l)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < l->n; i++)
		if (l->v[i]->locked && l->v[i]->fd < 0 && l->v[i]->parent->fd >= 0)
			r = find_one(s, l->v[i]);
	return r;
}

/* ---- its own file systems ---- */

struct super_job {
	const struct ns *ns;
	const struct mnt *m;
	int (*make)(struct session *s, const struct mnt *m);
};

static int super_inside(struct session *s, void *arg)
{
	const struct super_job *job = arg;
	int r = ns_user_enter(s, job->ns->owner);

	return r < 0 ? r : job->make(s, job->m);
}

int owned_super(struct session *s, const struct ns *ns, const struct mnt *m,
		int (*make)(struct session *s, const struct mnt *m))
{
	struct super_job job = { .ns = ns, .m = m, .make = make };

	return guest_errand(s, super_inside, &job);
}
