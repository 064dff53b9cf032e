// SPDX-License-Identifier: Apache-2.0
/*
 * A detached mount, with what is mounted on it, is taken for a mnt namespace that no task is in: at a dump a guest
 * mounts a clone of it in a namespace of its own and makes that its root. The restore makes such a namespace, too, and
 * what the tasks get is a clone of its root; the namespace itself goes with the guest.
 *
 * Lost:   which number it has. Files that are open in it, other than its root: refused, as their names lead elsewhere.
 * Kernel: what is detached can be cloned since Linux 6.15, by who is in the namespace from where it was taken.
 */
#include "kind/mnt-detached.h"

#include "base/res.h"
#include "base/text.h"
#include "kind/ns.h"
#include "task/guest.h"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOUND "detached mounts" /* dump: number to namespace */
#define MADE "detached made"	/* restore: namespace to descriptor + 1 */

/* ---- dump ---- */

void detached_begin(struct session *s)
{
	struct map *m = session_map(s, FOUND);

	map_free(m);
	memset(m, 0, sizeof(*m));
}

uint32_t detached_ns(struct session *s, int mnt_id)
{
	return mnt_id < 0 ? 0 : (uintptr_t)map_get(session_map(s, FOUND), mnt_id);
}

/* In the mounts that a process sees? */
static bool listed(int proc, uint32_t id)
{
	own_mem char *text = NULL, *want = xprintf("%u ", id);

	if (text_read(proc, "mountinfo", &text, NULL) < 0)
		return true; /* it has ended */
	for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
		if (text_starts(line, want))
			return true;
	return false;
}

/* O_PATH shows as a link without rights; the root of what is in no namespace has the name "/". */
uint32_t detached_is_new(const struct task *root, const struct task *k, int at, const char *num, struct session *s)
{
	own_mem char *link = NULL;
	struct statx sx;
	struct stat st;

	if (fstatat(at, num, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_mode & 0700 || text_readlink(at, num, &link) < 0 ||
	    strcmp(link, "/") || statx(at, num, AT_NO_AUTOMOUNT, STATX_MNT_ID, &sx) < 0 ||
	    !(sx.stx_attributes & STATX_ATTR_MOUNT_ROOT) || detached_ns(s, sx.stx_mnt_id) || listed(k->proc, sx.stx_mnt_id) ||
	    listed(root->proc, sx.stx_mnt_id))
		return 0;
	return sx.stx_mnt_id;
}

int detached_sit(struct session *s, void *arg)
{
	own_fd int tree = open_tree(*(int *)arg, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE), fd = -1;
	int r = 0;

	if (tree < 0 || unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    move_mount(tree, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0 || fchdir(tree) < 0 || chroot(".") < 0)
		return -errno;
	fd = openat(ns_proc(s), "thread-self/ns/mnt", O_RDONLY | O_CLOEXEC);
	r = fd < 0 ? -errno : guest_give_fd(s, 0, fd);
	while (r == 0)
		pause();
	return r;
}

void detached_note(struct session *s, struct task *root, uint32_t mnt_id, const struct ns *ns)
{
	TaskKobjIdsEntry *e = root->ids;

	e->detached_ns = xgrow(e->detached_ns, (e->n_detached_ns + 1) * sizeof(*e->detached_ns));
	e->detached_ns[e->n_detached_ns++] = ns->id;
	map_put(session_map(s, FOUND), mnt_id, (void *)(uintptr_t)ns->id);
}

/* ---- restore ---- */

/*
 * Of which namespace a detached mount is, is told by where it was cloned: from a place among the root task's mounts,
 * which is made before those are shared with others.
 */
int detached_stage(struct session *s)
{
	own_fd int fs = fsopen("tmpfs", FSOPEN_CLOEXEC), fd = -1;
	own_fd int top = open("/..", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fs < 0 || top < 0 || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0 ||
	    (fd = fd_high(fsmount(fs, FSMOUNT_CLOEXEC, 0))) < 0 ||
	    move_mount(fd, "", top, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return session_fail(s, -errno, "detached mounts: make a place for them");
	return take_fd(fd);
}

int detached_give(struct session *s, uint32_t id, int stage, int tree)
{
	struct mount_attr alone = { .propagation = MS_PRIVATE };
	own_fd int fd = -1;
	int r = 0;

	if (move_mount(tree, "", stage, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return session_fail(s, -errno, "detached mount %u: mount it for a moment", id);
	fd = open_tree(tree, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
	/* or what is mounted on the members of its groups would go with it */
	if (fd < 0 || mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &alone, sizeof(alone)) < 0 || fchdir(stage) < 0 ||
	    umount2(".", MNT_DETACH) < 0)
		r = session_fail(s, -errno, "detached mount %u: clone it", id);
	return r < 0 ? r : guest_give_fd(s, NS_TAG + NS_TAG_DETACHED + (int)id, fd);
}

int detached_unstage(struct session *s, int stage)
{
	if (fchdir(stage) < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return session_fail(s, -errno, "detached mounts: leave their place");
	return 0;
}

void detached_take(struct session *s, uint32_t id, int fd)
{
	map_put(session_map(s, MADE), id, (void *)(intptr_t)(fd + 1));
}

int detached_open(struct session *s, uint32_t id)
{
	int made = (int)(intptr_t)map_get(session_map(s, MADE), id) - 1;
	int fd = made < 0 ? -1 : fd_high(fcntl(made, F_DUPFD_CLOEXEC, 3)); /* the mount lives by this open file */

	return made < 0 ? -ENOENT : fd < 0 ? -errno : fd;
}

void detached_end(struct session *s)
{
	struct map *m = session_map(s, MADE);

	for (size_t i = 0; i < m->max; i++)
		if (m->rows[i].value)
			fd_close((int)(intptr_t)m->rows[i].value - 1);
	map_free(m);
	memset(m, 0, sizeof(*m));
}
