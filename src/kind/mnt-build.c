// SPDX-License-Identifier: Apache-2.0
/*
 * A mount can be made when its parent is there, what lies deeper under the same parent is there too (it
 * would be hidden), and what it shows is there: a clone taken outside, another mount of the same
 * superblock, or a new superblock. Everything is private until all is made; groups are set at the end.
 *
 * Names from the image are looked up beneath the parent mount only, without following links.
 * Kernel: open_tree(2), move_mount(2) (MOVE_MOUNT_SET_GROUP: Linux 5.15), fsopen(2), mount_setattr(2).
 */
#include "kind/mnt-build.h"
#include "kind/mnt-idmap.h"

#include "base/list.h"
#include "base/res.h"
#include "base/text.h"
#include "kind/ids.h"
#include "kind/lsm.h"
#include "kind/mnt-auto.h"
#include "kind/mnt-autofs.h"
#include "kind/mnt-binfmt.h"
#include "kind/mnt-deleted.h"
#include "kind/mnt-detached.h"
#include "kind/mnt-device.h"
#include "kind/mnt-overlay.h"
#include "kind/mnt-owned.h"
#include "kind/mnt-shown.h"
#include "kind/mnt-tar.h"
#include "kind/ns.h"
#include "kind/tty.h"
#include "task/guest.h"
#include "task/batch.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>

/* The kernel looks at all mounts on a mount that is cloned or whose group is taken: with that many, a bare clone
 * is better. Source: has_locked_children(). */
#define KIDS_MANY 64

static bool peer_in(const struct mnt_list *l, uint32_t group)
{
	for (size_t i = 0; group && i < l->n; i++)
		if (l->v[i]->e->shared_id == group)
			return true;
	return false;
}

/* ---- sources ---- */

static int clone_tree(struct session *s, const struct mnt_list *l, const struct mnt_list *main, struct mnt *m,
		      const char *path)
{
	struct mount_attr a = { .propagation = MS_PRIVATE };

	m->peer_outside = m->e->shared_id && m->e->ext_key && !strcmp(m->e->ext_key, MNT_AUTO_KEY) &&
			  !m->e->internal_sharing;
	m->slave_outside = !m->peer_outside && m->e->master_id && !peer_in(l, m->e->master_id) &&
			   !(main && peer_in(main, m->e->master_id));
	if (m->slave_outside)
		a.propagation = MS_SLAVE; /* of the group it was cloned in */
	m->source = fd_high(open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
	if (m->source < 0 && errno == EINVAL && m == l->root)
		return session_fail(s, -EINVAL,
				    "--root %s: is no mount point of ours; make it one: mount --bind %s %s",
				    path, path, path);
	if (m->source < 0)
		return session_fail(s, -errno, "mount %s: take %s", m->e->mountpoint, path);
	if (!m->peer_outside && mount_setattr(m->source, "", AT_EMPTY_PATH, &a, sizeof(a)) < 0)
		return session_fail(s, -errno, "mount %s: part %s from the host's", m->e->mountpoint, path);
	return 0;
}

/* Where the contents of an external mount come from; NULL with the reason said. */
static const char *outside_path(struct session *s, const struct mnt *m)
{
	const MntEntry *e = m->e;
	const char *key = e->ext_key, *path = NULL;

	if (e->ext_mount && !key)
		key = e->root; /* old images */
	if (!strcmp(key, MNT_AUTO_KEY)) {
		if (!mnt_auto_asked(s)) /* an image could name anything */
			session_fail(s, -EINVAL, "mount %s: shows %s of the host; allow it with --ext-mount-map auto",
				     e->mountpoint, e->source);
		return mnt_auto_asked(s) ? e->source : NULL;
	}
	if (!(path = external_find(s, "mnt", key)) || !*path)
		session_fail(s, -EINVAL,
			     "mount %s: is external; say where it comes from: --external 'mnt[%s]:PATH'",
			     e->mountpoint, key);
	return path;
}

int mnt_sources(struct session *s, struct mnt_list *l, const struct mnt_list *main)
{
	int r = 0;

	if (!s->opts->root || !*s->opts->root)
		return session_fail(s, -EINVAL,
				    "the tasks had their own mounts; give the directory that is to be their root: --root DIR");
	if (!main)
		r = clone_tree(s, l, NULL, l->root, s->opts->root);
	for (size_t i = 0; r == 0 && i < l->n; i++) {
		struct mnt *m = l->v[i];
		const char *path;

		if (m == l->root || (!m->e->ext_key && !m->e->ext_mount) || (main && mnt_shown_by(main, m)))
			continue;
		if (mnt_is_device(m->e)) {
			r = mnt_device_take(s, m);
			continue;
		}
		path = outside_path(s, m);
		r = path ? clone_tree(s, l, main, m, path) : s->why_r;
	}
	return r;
}

/* ---- superblocks ---- */

#define MAIN "mnt main" /* the root task's namespace: descriptor + 1 */

/* What the file system says itself about a refusal. */
static int fs_fail(struct session *s, int fs, const struct mnt *m, const char *what)
{
	char text[200] = "";
	int e = -errno;
	ssize_t n = read(fs, text, sizeof(text) - 1);

	if (n <= 0)
		return session_fail(s, e, "mount %s: %s: %s", m->e->mountpoint, mnt_fsname(m->e), what);
	text[strcspn(text, "\n")] = 0;
	return session_fail(s, e, "mount %s: %s: %s (%s)", m->e->mountpoint, mnt_fsname(m->e), what,
			    text);
}

static int fs_set(int fs, const char *key, const char *value)
{
	return fsconfig(fs, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, key, value, 0);
}

/* "uid=100000" as the user namespace counts that it will belong to. */
static int fs_owner(struct session *s, int fs, const struct mnt *m, const char *key, const char *value)
{
	uint32_t v = strtoul(value, NULL, 10), user = m->in->owner->id;
	char text[16];

	snprintf(text, sizeof(text), "%u", !strcmp(key, "uid") ? uid_nested(s, user, v) : gid_nested(s, user, v));
	return fs_set(fs, key, text);
}

/* There is one hierarchy for all: beside which one is meant, its options are the host's to choose. */
static bool of_host(const char *option)
{
	static const char *const names[] = { "release_agent=", "xattr", "clone_children", "noprefix", "cpuset_v2_mode",
					     "favordynmods" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (text_starts(option, names[i]))
			return true;
	return false;
}

static int fs_options(struct session *s, int fs, const struct mnt *m)
{
	own_mem char *context = NULL, *opts = lsm_mount_options(s, m->e->options, &context);
	char *save = NULL;

	if (context && fs_set(fs, "context", context) < 0)
		return fs_fail(s, fs, m, "context");
	for (char *o = strtok_r(opts, ",", &save); o; o = strtok_r(NULL, ",", &save)) {
		char *value = strchr(o, '=');

		if (!strcmp(o, "newinstance")) /* every one is, today */
			continue;
		if (m->e->fstype == FSTYPE__CGROUP && of_host(o))
			continue;
		if (value)
			*value++ = 0;
		if (m->in && value && (!strcmp(o, "uid") || !strcmp(o, "gid")) ? fs_owner(s, fs, m, o, value) < 0
										   : fs_set(fs, o, value) < 0)
			return fs_fail(s, fs, m, o);
	}
	if (m->e->sb_flags & MS_SYNCHRONOUS && fs_set(fs, "sync", NULL) < 0)
		return fs_fail(s, fs, m, "sync");
	if (m->e->sb_flags & MS_DIRSYNC && fs_set(fs, "dirsync", NULL) < 0)
		return fs_fail(s, fs, m, "dirsync");
	return 0;
}

/* Is it of the container alone, so that making it read-only touches nobody else? */
static bool super_own(struct session *s, const MntEntry *e)
{
	return mnt_is_device(e)		     ? true
	       : e->fstype == FSTYPE__SYSFS  ? ns_is_own(s, CLONE_NEWNET)
	       : e->fstype == FSTYPE__MQUEUE ? ns_is_own(s, CLONE_NEWIPC)
					     : e->fstype == FSTYPE__PROC || e->fstype == FSTYPE__DEVPTS;
}

int mnt_super_bare(struct session *s, const struct mnt *m)
{
	const char *type = mnt_fsname(m->e);
	own_fd int fs = fsopen(type, FSOPEN_CLOEXEC), fd = -1;
	int r = 0;

	if (fs < 0)
		return session_fail(s, -errno, "mount %s: this kernel has no %s", m->e->mountpoint, type);
	if (*m->e->source && fs_set(fs, "source", m->e->source) < 0)
		r = fs_fail(s, fs, m, "source");
	/* of cgroup2 there is one for all: its options are the host's to choose */
	if (r == 0 && m->e->fstype != FSTYPE__CGROUP2)
		r = fs_options(s, fs, m);
	if (r == 0 && m->shows && fsconfig(fs, FSCONFIG_SET_FD, "pidns", NULL, m->shows) < 0)
		r = fs_fail(s, fs, m, "show a pid namespace of another user namespace, which needs Linux 6.17");
	if (r == 0 && m->e->sb_flags & MS_RDONLY && super_own(s, m->e) && fs_set(fs, "ro", NULL) < 0)
		r = fs_fail(s, fs, m, "ro");
	if (r == 0 && fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		r = fs_fail(s, fs, m, "make it");
	if (r == 0) {
		fd = fd_high(fsmount(fs, FSMOUNT_CLOEXEC, 0));
		r = fd < 0 ? fs_fail(s, fs, m, "mount it") : 0;
	}
	return r < 0 ? r : take_fd(fd);
}

int mnt_super_read_only(struct session *s, const struct mnt *m, int fd)
{
	own_fd int pick = fspick(fd, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH);

	return pick < 0 || fs_set(pick, "ro", NULL) < 0 || fsconfig(pick, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0) < 0
		       ? session_fail(s, -errno, "mount %s: make it read-only", m->e->mountpoint)
		       : 0;
}

/* Made as that of a user namespace, it takes no other owners than that knows. */
static int fill_super(struct session *s, const struct mnt *m, int fd)
{
	int r = m->in ? ids_assume_nested(s, m->in->owner->id) : 0;

	if (r == 0)
		r = mnt_tar_read(s, m->e->root_dev, m->e->mnt_id, fd, m->e->mountpoint);
	if (m->in)
		ids_resign(s);
	return r == 0 && m->e->sb_flags & MS_RDONLY ? mnt_super_read_only(s, m, fd) : r;
}

static int there(struct session *s, int ns, int (*fn)(struct session *s, const struct mnt *m, struct mnt *of),
		 const struct mnt *m, struct mnt *of);

static int make_bare_here(struct session *s, const struct mnt *m, struct mnt *of)
{
	return mnt_super_bare(s, m);
}

/*
 * One that shows a namespace belongs to that one's user namespace by itself, but may only be made where the like is
 * mounted already: among the root task's mounts. Others belong to who makes them.
 */
static int make_owned(struct session *s, const struct mnt *m)
{
	uint32_t type = m->e->fstype;

	if (type == FSTYPE__PROC || type == FSTYPE__SYSFS || type == FSTYPE__MQUEUE)
		return there(s, (int)(intptr_t)map_get(session_map(s, MAIN), 0) - 1, make_bare_here, m, NULL);
	return owned_super(s, m->in, m, mnt_super_bare);
}

/* A new superblock, filled. Return: its detached mount, or -errno. */
static int make_super(struct session *s, const struct mnt *m)
{
	own_fd int fd = m->e->fstype == FSTYPE__AUTOFS ? autofs_make(s, m) : m->in ? make_owned(s, m) : mnt_super_bare(s, m);
	int r = fd < 0 ? fd : mnt_has_contents(m->e) ? fill_super(s, m, fd) : 0;

	return r < 0 ? r : take_fd(fd);
}

/* ---- one mount ---- */

static int open_below(int dir, const char *rel)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC | O_NOFOLLOW,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS |
			   RESOLVE_NO_SYMLINKS,
	};

	return syscall(SYS_openat2, dir, rel, &how, sizeof(how));
}

/* Its root directory: mounted, or a clone that waits for its turn. */
static int seen_fd(const struct mnt *o)
{
	return o->fd >= 0 ? o->fd : o->source;
}

static bool shows(const struct mnt *o, const struct mnt *m)
{
	return o != m && seen_fd(o) >= 0 && mnt_below(m->e->root, o->e->root);
}

/*
 * A slave that is mounted (/dev/console) has to exist before its tasks do: its master is made here, and
 * handed to the supervisor for them. Return: the slave's node or -errno.
 */
static int terminal_make(struct session *s, const struct mnt *of, const char *rel)
{
	char *end;
	unsigned long index = strtoul(rel, &end, 10);
	own_fd int fd = -1;
	int r;

	if (strcmp(mnt_fsname(of->e) ? mnt_fsname(of->e) : "", "devpts") || *end || end == rel ||
	    index > PTY_INDEX_MAX)
		return -ENOENT;
	fd = tty_master(of->fd, "ptmx", index);
	if (fd < 0)
		return fd;
	r = guest_give_fd(s, index, fd);
	return r < 0 ? r : open_below(of->fd, rel);
}

/* m's root below mount of, which other mounts may hide by now; -errno */
static int open_root(struct session *s, const struct mnt *m, const struct mnt *of)
{
	const char *rel = mnt_below(m->e->root, of->e->root);
	int fd = *rel ? open_below(seen_fd(of), rel) : fcntl(seen_fd(of), F_DUPFD_CLOEXEC, 3);

	fd = fd < 0 ? -errno : fd;
	return fd == -ENOENT ? terminal_make(s, of, rel) : fd;
}

/* A clone of what is at rel below a mount, without what is mounted there. */
static int bind_from(int at)
{
	int fd = fd_high(open_tree(at, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH));

	return fd < 0 ? -errno : fd;
}

/* The same when mounts are in the way; what is detached can be cloned from since Linux 6.15. */
int mnt_part(int bare, const char *rel)
{
	own_fd int at = *rel ? open_below(bare, rel) : -1;

	return !*rel ? bind_from(bare) : at < 0 ? -errno : bind_from(at);
}

/* Only who is in its namespace may clone or change a mount: fn() there; ns -1: here */
static int there(struct session *s, int ns, int (*fn)(struct session *s, const struct mnt *m, struct mnt *of),
		 const struct mnt *m, struct mnt *of)
{
	own_fd int home = ns < 0 ? -1 : openat(ns_proc(s), "thread-self/ns/mnt", O_RDONLY | O_CLOEXEC);
	own_fd int root = ns < 0 ? -1 : open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (ns >= 0 && (home < 0 || setns(ns, CLONE_NEWNS) < 0))
		return session_fail(s, -errno, "mount %s: enter its namespace", m->e->mountpoint);
	r = fn(s, m, of);
	/* "/" would be what is on top of it by now */
	if (home >= 0 && (setns(home, CLONE_NEWNS) < 0 || fchdir(root) < 0 || chroot(".") < 0))
		r = session_fail(s, -errno, "mount %s: return from its namespace", m->e->mountpoint);
	return r;
}

static int bare_fd(struct mnt *of)
{
	if (of->bare < 0)
		of->bare = bind_from(seen_fd(of));
	return of->bare;
}

static int bind_of(struct session *s, const struct mnt *m, struct mnt *of)
{
	const char *rel = mnt_below(m->e->root, of->e->root);
	int r = of->kids > KIDS_MANY && bare_fd(of) >= 0 ? mnt_part(of->bare, rel) : -EINVAL;
	own_fd int at = -1;

	if (r >= 0)
		return r;
	at = open_root(s, m, of);
	if (at == -EXDEV)
		return bare_fd(of) < 0 ? of->bare : mnt_part(of->bare, rel);
	return at < 0 ? at : bind_from(at);
}

static int bind_deleted(struct session *s, const struct mnt *m, struct mnt *of)
{
	own_fd int fd = mnt_deleted_make(s, m, of, seen_fd(of));

	return fd < 0 ? fd : bind_from(fd);
}

/* From a mount of l, made already. Return: a clone, -ENOENT: there is none, or -errno with the reason */
static int bind_in(struct session *s, const struct mnt_list *l, const struct mnt *m)
{
	const struct mnt *last = NULL;
	int r = -ENOENT;

	for mnt_each_same (o, l, m->e->root_dev) {
		if (!shows(o, m))
			continue;
		last = o;
		/* not mounted: everybody's */
		r = there(s, o->fd >= 0 && o->ns != m->ns ? o->ns : -1, bind_of, m, o);
		if (r >= 0)
			return r;
	}
	return last ? session_fail(s, r, "mount %s: find its root %s below %s", m->e->mountpoint, m->e->root,
				   last->e->mountpoint)
		    : -ENOENT;
}

#define SUPERS "mnt super" /* superblock to descriptor + 1, of those whose root is mounted nowhere */

/* What was deleted is made in any mount that shows its file system; likewise bind_in() */
static int bind_deleted_in(struct session *s, const struct mnt_list *l, const struct mnt *m)
{
	for mnt_each_same (o, l, m->e->root_dev) {
		int ns = o->ns < 0 ? (int)(intptr_t)map_get(session_map(s, MAIN), 0) - 1 : o->ns;
		struct stat st;

		if (o->was || seen_fd(o) < 0 || fstat(seen_fd(o), &st) < 0 || !S_ISDIR(st.st_mode))
			continue;
		return there(s, o->fd >= 0 && o->ns != m->ns ? ns : -1, bind_deleted, m, o);
	}
	return -ENOENT;
}

static int bind_deleted_any(struct session *s, const struct mnt_list *l, const struct mnt *m)
{
	const struct map *all = session_map(s, "mnt");
	int super = (int)(intptr_t)map_get(session_map(s, SUPERS), m->e->root_dev) - 1;
	int r = bind_deleted_in(s, l, m);

	for (size_t i = 0; r == -ENOENT && i < all->max; i++)
		if (all->rows[i].value && all->rows[i].value != l)
			r = bind_deleted_in(s, all->rows[i].value, m);
	if (r == -ENOENT && super >= 0) {
		struct mnt top = { .e = &(MntEntry){ .root = "/" }, .fd = super, .bare = -1, .userns = -1 };

		r = bind_deleted(s, m, &top);
	}
	return r;
}

/*
 * From another mount of the same superblock, made already: the own list first, then other namespaces, but not
 * the root task's, from which nested_sources() took what it has.
 */
static int bind_same(struct session *s, const struct mnt_list *l, const struct mnt *m)
{
	const struct map *all = session_map(s, "mnt");
	int super = (int)(intptr_t)map_get(session_map(s, SUPERS), m->e->root_dev) - 1;
	int r = bind_in(s, l, m);

	for (size_t i = 0; r == -ENOENT && m->ns >= 0 && i < all->max; i++)
		if (all->rows[i].value && all->rows[i].value != l)
			r = bind_in(s, all->rows[i].value, m);
	if (r == -ENOENT && m->was)
		return bind_deleted_any(s, l, m);
	if (r == -ENOENT && super >= 0) {
		r = mnt_part(super, m->e->root + 1);
		r = r < 0 ? session_fail(s, r, "mount %s: find its root %s in a new file system", m->e->mountpoint,
					 m->e->root)
			  : r;
	}
	return r;
}

/* A proc of a nested pid namespace, whose first task makes it: until then it waits. */
static bool is_late_proc(const struct mnt *m)
{
	return m->fd < 0 && m->source < 0 && m->e->has_pid_ns_id;
}

static bool is_late(const struct mnt *m)
{
	return is_late_proc(m) || (m->fd < 0 && m->source < 0 && m->shows_mnt);
}

/* In whatever namespace: others may show parts of it. */
static bool any_late(struct session *s)
{
	const struct map *all = session_map(s, "mnt");

	for (size_t i = 0; i < all->max; i++) {
		const struct mnt_list *l = all->rows[i].value;

		for (size_t k = 0; l && k < l->n; k++)
			if (is_late(l->v[k]))
				return true;
	}
	return false;
}

/* Can its superblock be made though its root will not be mounted, or not yet? */
static bool can_force(struct session *s, const struct mnt *m)
{
	const struct map *all = session_map(s, "mnt");
	uint32_t type = m->e->fstype;

	if (!mnt_fsname(m->e) || map_get(session_map(s, SUPERS), m->e->root_dev))
		return false;
	for (size_t i = 0; i < all->max; i++)
		if (all->rows[i].value)
			for mnt_each_same (o, (struct mnt_list *)all->rows[i].value, m->e->root_dev)
				if (o->e->has_pid_ns_id)
					return false;
	if (mnt_has_contents(m->e) || type == FSTYPE__PROC || type == FSTYPE__SYSFS || type == FSTYPE__MQUEUE)
		return true;
	for (size_t i = 0; i < all->max; i++)
		if (all->rows[i].value)
			for mnt_each_same (o, (struct mnt_list *)all->rows[i].value, m->e->root_dev)
				if (!strcmp(o->e->root, "/"))
					return true;
	return false;
}

/* Its layers are looked up as the tasks see them. */
static int make_overlay(struct session *s, const struct mnt_list *l, const struct mnt *m)
{
	own_fd int home = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (home < 0 || !l->root || l->root->fd < 0 || fchdir(l->root->fd) < 0 || chroot(".") < 0)
		return session_fail(s, -errno, "mount %s: enter the new root", m->e->mountpoint);
	r = make_super(s, m);
	if (fchdir(home) < 0 || chroot(".") < 0)
		return session_fail(s, -errno, "mount %s: leave the new root", m->e->mountpoint);
	return r;
}

static int force_super(struct session *s, const struct mnt_list *l, const struct mnt *m)
{
	int fd = m->e->fstype == FSTYPE__OVERLAYFS ? make_overlay(s, l, m) : make_super(s, m);

	if (fd >= 0)
		map_put(session_map(s, SUPERS), m->e->root_dev, (void *)(intptr_t)(fd + 1));
	return fd < 0 ? fd : 0;
}

int mnt_attach(struct session *s, struct mnt *m)
{
	const char *rel = mnt_below(m->e->mountpoint, m->parent->e->mountpoint);
	own_fd int at = -1;

	if (!rel)
		return session_fail(s, -EBADMSG, "mount %s: is not below its parent %s",
				    m->e->mountpoint, m->parent->e->mountpoint);
	at = !*rel ? fcntl(m->parent->fd, F_DUPFD_CLOEXEC, 3)
	     : m->parent->e->fstype == FSTYPE__AUTOFS ? autofs_open_below(m->parent->fd, rel)
						      : open_below(m->parent->fd, rel);
	if (at < 0 && errno == ENOENT)
		return session_fail(s, -ENOENT,
				    "mount %s: its mount point is missing in the new root; make it there first",
				    m->e->mountpoint);
	if (at < 0)
		return session_fail(s, -errno, "mount %s: find its mount point", m->e->mountpoint);
	if (move_mount(m->fd, "", at, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return session_fail(s, -errno, "mount %s: put it in its place", m->e->mountpoint);
	m->parent->kids++;
	session_debug(s, "mount %u: %s of type %s made", m->e->mnt_id, m->e->mountpoint,
		      mnt_fsname(m->e) ? mnt_fsname(m->e) : "-");
	return 0;
}

/* Would it hide the mount point of one that is not made yet? Those stand before it. */
static bool would_hide(const struct mnt *m)
{
	size_t n = strlen(m->e->mountpoint);

	for (const struct mnt *o = m->prev; o && !strncmp(o->e->mountpoint, m->e->mountpoint, n); o = o->prev) {
		const char *rel = mnt_below(o->e->mountpoint, m->e->mountpoint);

		if (o->fd < 0 && rel && *rel)
			return true;
	}
	return false;
}

static bool super_there(struct session *s, const struct mnt_list *l, uint32_t dev)
{
	if (map_get(session_map(s, SUPERS), dev))
		return true;
	for mnt_each_same (o, l, dev)
		if (o->fd >= 0)
			return true;
	return false;
}

/* Would it cover layers of an overlay that is not made yet? */
static bool would_cover(struct session *s, const struct mnt_list *l, const struct mnt *m)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i]->e->n_covers && mnt_overlay_covers(l->v[i], m) && !super_there(s, l, l->v[i]->e->root_dev))
			return true;
	return false;
}

static bool has_place(struct session *s, const struct mnt_list *l, const struct mnt *m)
{
	return m->fd < 0 && !would_cover(s, l, m) && !m->locked && (!m->parent || m->parent->fd >= 0) && !would_hide(m);
}

/* A namespace, of the root task or one that was made before. */
static int bind_ns(struct session *s, const struct mnt *m)
{
	const struct ns *ns = ns_find(s, m->e->shown_ns_id);
	const struct mnt_list *its = m->shows_mnt ? map_get(session_map(s, "mnt"), m->e->shown_ns_id) : NULL;
	int of = its ? its->root->ns : ns ? ns->fd : -1;
	int fd = of >= 0 ? bind_from(of) : -ENOENT;

	return fd < 0 ? session_fail(s, fd, "mount %s: show namespace %u", m->e->mountpoint, m->e->shown_ns_id) : fd;
}

/* What m shows, detached. -ENOENT: not possible yet; -errno with the reason */
static int source_of(struct session *s, const struct mnt_list *l, struct mnt *m)
{
	int r;

	if (m->source >= 0)
		return take_fd(m->source);
	if (is_late(m))
		return -ENOENT;
	if (m->e->has_shown_ns_id)
		return bind_ns(s, m);
	r = bind_same(s, l, m);
	/* an overlay waits for its layers: unlock() */
	return r == -ENOENT && mnt_fsname(m->e) && !strcmp(m->e->root, "/") && m->e->fstype != FSTYPE__OVERLAYFS
		       ? make_super(s, m)
		       : r;
}

/* 1: made; 0: not possible yet */
static int try_mount(struct session *s, struct mnt_list *l, struct mnt *m)
{
	int r;

	if (!has_place(s, l, m))
		return 0;
	r = source_of(s, l, m);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	m->fd = mnt_idmap_set(s, l, m, r);
	if (m->fd < 0)
		return m->fd;
	r = mnt_attach(s, m);
	if (r == 0 && m->staged)
		r = owned_find(s, l);
	return r < 0 ? r : 1;
}

/* Nothing goes on: the root of a superblock is mounted nowhere, or waits for what it shows. 1: one was made */
static int unlock(struct session *s, const struct mnt_list *l)
{
	for (int whole = 1; whole >= 0; whole--)
		for (size_t i = 1; i < l->n; i++) {
			const struct mnt *m = l->v[i];
			int r;

			/* one that must be made before what will cover its layers needs no place yet */
			if (!(has_place(s, l, m) || (whole && m->e->n_covers && m->fd < 0)) || !can_force(s, m) ||
			    (whole && mnt_overlay_lacks(l, m)))
				continue;
			r = force_super(s, l, l->v[i]);
			return r < 0 ? r : 1;
		}
	return 0;
}

static int mount_all(struct session *s, struct mnt_list *l)
{
	int progress = 1;

	while (progress) {
		progress = 0;
		for (size_t i = 1; i < l->n; i++) {
			int r = try_mount(s, l, l->v[i]);

			if (r < 0)
				return r;
			progress |= r;
		}
		if (!progress)
			progress = unlock(s, l);
		if (progress < 0)
			return progress;
	}
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i]->fd < 0 && !any_late(s))
			return session_fail(s, -ENOTSUP,
					    "mount %s: nothing shows what it showed (%s of %s); it has to be given from outside (--external)",
					    l->v[i]->e->mountpoint, l->v[i]->e->root,
					    l->v[i]->e->source);
	return 0;
}

/* ---- flags and groups ---- */

int mnt_set_flags(struct session *s, struct mnt *m, enum mnt_flags which)
{
	static const struct {
		uint32_t ms;
		uint64_t attr;
	} flags[] = {
		{ MS_RDONLY, MOUNT_ATTR_RDONLY },     { MS_NOSUID, MOUNT_ATTR_NOSUID },
		{ MS_NODEV, MOUNT_ATTR_NODEV },	      { MS_NOEXEC, MOUNT_ATTR_NOEXEC },
		{ MS_NODIRATIME, MOUNT_ATTR_NODIRATIME }, { MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW },
	};
	struct mount_attr a = { .attr_clr = MOUNT_ATTR__ATIME };

	if (m->fd < 0 || m->flagged)
		return 0;
	m->flagged = which == MNT_FLAGS_ALL;
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (m->e->flags & flags[i].ms)
			a.attr_set |= flags[i].attr;
		else
			a.attr_clr |= flags[i].attr;
	if (m->e->flags & MS_NOATIME)
		a.attr_set |= MOUNT_ATTR_NOATIME;
	else if (m->e->flags & MS_STRICTATIME)
		a.attr_set |= MOUNT_ATTR_STRICTATIME;
	if (which == MNT_FLAGS_CLEAR)
		a.attr_set &= MOUNT_ATTR__ATIME;
	if (mount_setattr(m->fd, "", AT_EMPTY_PATH, &a, sizeof(a)) < 0)
		return session_fail(s, -errno, "mount %s: set its flags 0x%x", m->e->mountpoint,
				    m->e->flags);
	return 0;
}

static int change(struct session *s, const struct mnt *m, uint64_t type)
{
	struct mount_attr a = { .propagation = type };

	return mount_setattr(m->fd, "", AT_EMPTY_PATH, &a, sizeof(a)) < 0
		       ? session_fail(s, -errno, "mount %s: set its propagation", m->e->mountpoint)
		       : 0;
}
static int make_slave(struct session *s, const struct mnt *m, struct mnt *of)
{
	return change(s, m, MS_SLAVE);
}
static int make_shared(struct session *s, const struct mnt *m, struct mnt *of)
{
	return change(s, m, MS_SHARED);
}
static int make_unbindable(struct session *s, const struct mnt *m, struct mnt *of)
{
	return change(s, m, MS_UNBINDABLE);
}

static int take_group(struct session *s, const struct mnt *m, const struct mnt *of)
{
	return move_mount(of->fd, "", m->fd, "",
			  MOVE_MOUNT_SET_GROUP | MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0
		       ? session_fail(s, -errno, "mount %s: share with %s", m->e->mountpoint,
				      of->e->mountpoint)
		       : 0;
}

/*
 * Whose group m can be put in: one with that group that is done and shows all of m, as the kernel demands.
 * *wait: such a one exists but is not done yet.
 */
static const struct mnt *group_source(const struct map *groups, const struct mnt *m, uint32_t group, bool *wait)
{
	for (const struct mnt *o = group ? map_get(groups, group) : NULL; o; o = o->peer) {
		if (o == m || o->e->root_dev != m->e->root_dev || !mnt_below(m->e->root, o->e->root))
			continue;
		if (o->done)
			return o;
		/* of equals, the first begins */
		*wait |= strcmp(m->e->root, o->e->root) || group != m->e->shared_id;
	}
	return NULL;
}

static bool group_begun(const struct map *groups, const struct mnt *m)
{
	for (const struct mnt *o = m->e->shared_id ? map_get(groups, m->e->shared_id) : NULL; o; o = o->peer)
		if (o->done)
			return true;
	return false;
}

/* One mount joins its groups. 1: done, 0: another has to be done first */
static int set_group(struct session *s, const struct map *groups, const struct mnt *m)
{
	const struct mnt *peer, *master = NULL;
	bool wait = false;
	int r = 0;

	if (m->peer_outside)
		return 1;
	peer = group_source(groups, m, m->e->shared_id, &wait);
	if (!peer && !wait)
		master = group_source(groups, m, m->e->master_id, &wait);
	if (!peer && wait)
		return 0;
	if (peer)
		r = take_group(s, m, peer);
	else if (group_begun(groups, m))
		session_warn(s, "mount %s: shares no longer with its group, whose mounts show other directories than %s",
			     m->e->mountpoint, m->e->root);
	if (!peer && master) {
		r = take_group(s, m, master);
		if (r == 0)
			r = there(s, m->ns, make_slave, m, NULL);
	} else if (!peer && m->e->master_id && !m->slave_outside) {
		session_warn(s, "mount %s: was a slave of a group outside; it gets nothing from there any more",
			     m->e->mountpoint);
	}
	if (r == 0 && !peer && m->e->shared_id)
		r = there(s, m->ns, make_shared, m, NULL);
	if (r == 0 && m->e->flags & MS_UNBINDABLE)
		r = there(s, m->ns, make_unbindable, m, NULL);
	return r < 0 ? r : 1;
}

/* ---- groups whose mounts show different directories ---- */

/* The longest path above both. */
static char *common(const char *a, const char *b)
{
	size_t n = 0, last = 0;

	while (a[n] && a[n] == b[n]) {
		if (a[n] == '/')
			last = n;
		n++;
	}
	if ((!a[n] || a[n] == '/') && (!b[n] || b[n] == '/'))
		last = n;
	return last ? xprintf("%.*s", (int)last, a) : xstrdup("/");
}

/* What a member must show for all of the group, and all its slaves, to be put in; NULL if one does and serves. */
static char *wanted_root(const struct map *groups, const struct map *slaves, uint32_t group)
{
	const struct mnt *first = map_get(groups, group);
	own_mem char *root = xstrdup(first->e->root);
	bool many = false;

	for (const struct mnt *o = first; o; o = o->peer) {
		char *c = common(root, o->e->root);

		free(root);
		root = c;
		many |= o->kids > KIDS_MANY;
	}
	for (const struct mnt *o = map_get(slaves, group); o; o = o->slave) {
		char *c = common(root, o->e->root);

		free(root);
		root = c;
	}
	for (const struct mnt *o = first; o; o = o->peer)
		if (o->peer_outside || (!many && !strcmp(o->e->root, root)))
			return NULL;
	return take_mem(root);
}

/* A mount that nobody will see, member of the group of first till all are in. */
static int stand_in(struct session *s, struct mnt_list *all, struct map *groups, struct mnt *first, char *root)
{
	struct mnt *m = xalloc(sizeof(*m));
	int r;

	m->fd = m->source = m->ns = m->bare = m->userns = -1;
	m->e = xalloc(sizeof(*m->e));
	mnt_entry__init(m->e);
	m->e->root = root;
	m->e->mountpoint = xprintf("%s (its group)", first->e->mountpoint);
	m->e->root_dev = first->e->root_dev;
	m->e->shared_id = first->e->shared_id;
	m->e->master_id = first->e->master_id;
	m->peer = first;
	map_put(groups, first->e->shared_id, m);
	*vec_add(all) = m;
	for mnt_each_same (o, all, m->e->root_dev)
		if (shows(o, m)) {
			r = there(s, o->ns, bind_of, m, o);
			if (r >= 0)
				m->fd = r;
			break;
		}
	if (m->fd < 0)
		m->fd = bind_same(s, all, m);
	if (m->fd == -ENOENT || m->fd == -1) { /* the warning comes from set_group() */
		map_put(groups, first->e->shared_id, first);
		m->done = true;
		return 0;
	}
	return m->fd < 0 ? m->fd : 0;
}

static int stand_ins(struct session *s, struct mnt_list *all, struct map *groups, const struct map *slaves)
{
	size_t n = all->n;
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++) {
		struct mnt *m = all->v[i];
		char *root = m->e->shared_id && map_get(groups, m->e->shared_id) == m
				     ? wanted_root(groups, slaves, m->e->shared_id)
				     : NULL;

		if (root)
			r = stand_in(s, all, groups, m, root);
	}
	return r;
}

static int set_groups(struct session *s, struct mnt_list *l)
{
	struct map groups = { 0 }, slaves = { 0 };
	bool progress = true;
	size_t n = l->n;
	int r;

	mnt_by_dev(l);
	for (size_t i = l->n; i-- > 0;) {
		struct mnt *m = l->v[i];

		m->done = false;
		if (m->e->shared_id) {
			m->peer = map_get(&groups, m->e->shared_id);
			map_put(&groups, m->e->shared_id, m);
		}
		if (m->e->master_id) {
			m->slave = map_get(&slaves, m->e->master_id);
			map_put(&slaves, m->e->master_id, m);
		}
	}
	r = stand_ins(s, l, &groups, &slaves);
	while (r >= 0 && progress) {
		progress = false;
		for (size_t i = 0; r >= 0 && i < l->n; i++) {
			struct mnt *m = l->v[(i + n) % l->n]; /* stand-ins first */

			if (m->done)
				continue;
			r = set_group(s, &groups, m);
			m->done = r > 0;
			progress |= r > 0;
		}
	}
	for (size_t i = 0; r >= 0 && i < l->n; i++)
		if (!l->v[i]->done)
			r = session_fail(s, -EBADMSG, "mount %s: its groups %u and %u go round in a circle",
					 l->v[i]->e->mountpoint, l->v[i]->e->shared_id, l->v[i]->e->master_id);
	for (; l->n > n; l->n--) {
		fd_close(l->v[l->n - 1]->fd);
		mnt_entry__free_unpacked(l->v[l->n - 1]->e, NULL);
		free(l->v[l->n - 1]);
	}
	map_free(&groups);
	map_free(&slaves);
	return r < 0 ? r : 0;
}

/* ---- the root ---- */

static int root_in(struct session *s, struct mnt_list *l, bool first)
{
	if (first && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return session_fail(s, -errno, "mounts: part them from the host's");
	l->root->fd = take_fd(l->root->source);
	/* root of a user namespace may have no way to that directory: any other place does as well */
	if (move_mount(l->root->fd, "", AT_FDCWD, ids_mapped(s) || l->root->in ? "/" : s->opts->root,
		       MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return session_fail(s, -errno, "--root %s: mount it", s->opts->root);
	return 0;
}

static uint64_t mount_at(const char *path)
{
	struct statx sx;

	return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_MNT_ID, &sx) < 0 ? 0 : sx.stx_mnt_id;
}

/*
 * The old root is stacked on the new one for a moment: no directory is needed for it. There may be other roots on it;
 * "/.." is what is on top.
 */
int mnt_root_turn(struct session *s, int fd)
{
	uint64_t old = mount_at("/"), top;

	if (fchdir(fd) < 0)
		return session_fail(s, -errno, "--root %s: enter it", s->opts->root);
	if (syscall(SYS_pivot_root, ".", ".") < 0) {
		if (errno != EINVAL)
			return session_fail(s, -errno, "--root %s: make it the root", s->opts->root);
		/* our own root is the initial ramfs, which stays */
		if ((!ids_mapped(s) && mount(".", "/", NULL, MS_MOVE, NULL) < 0) || chroot(".") < 0)
			return session_fail(s, -errno, "--root %s: move it to the root", s->opts->root);
	} else {
		do {
			top = mount_at("/..");
			if (umount2(".", MNT_DETACH) < 0)
				return session_fail(s, -errno, "mounts: let the old root go");
		} while (top != old);
	}
	return chdir("/") < 0 ? session_fail(s, -errno, "enter the new root") : 0;
}

/* ---- nested namespaces ---- */

/* What the root task's mounts show is cloned from there, while we still are among them. */
static int nested_sources(struct session *s, const struct mnt_list *main, struct mnt_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		struct mnt *m = l->v[i];
		int r = m->fd < 0 && m->source < 0 && !m->e->has_pid_ns_id && !m->e->has_shown_ns_id ? bind_in(s, main, m) : -ENOENT;

		if (r >= 0)
			m->source = r;
		else if (r != -ENOENT)
			return r;
	}
	return 0;
}

/* It may have a root of its own. */
static int nested_root(struct session *s, struct mnt_list *l)
{
	struct mnt *m = l->root;
	int r;

	if (m->source >= 0)
		return 0;
	r = source_of(s, l, m);

	if (r == -ENOENT && can_force(s, m)) {
		r = force_super(s, l, m);
		r = r < 0 ? r : source_of(s, l, m);
	}
	if (r == -ENOENT)
		return session_fail(s, -ENOTSUP,
				    "mount / of a nested namespace: is %s of %s, which the root task does not see; that cannot be restored yet",
				    m->e->root, m->e->source);
	m->source = r;
	return r < 0 ? r : 0;
}

static int nested_give(struct session *s, const struct ns *ns, int fd)
{
	own_fd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (fd < 0 || root < 0)
		return session_fail(s, -errno, "mnt namespace %u: open it", ns->id);
	r = guest_give_fd(s, NS_TAG + (int)ns->id, fd);
	return r < 0 ? r : guest_give_fd(s, NS_TAG + NS_TAG_ROOT + (int)ns->id, root);
}

/*
 * File systems that show a namespace (sysfs, mqueue) are made in those of the first task in it; home: the way
 * back.
 */
static const struct {
	uint64_t flag;
	const char *path;
	size_t id;
} seen_in[] = {
	{ CLONE_NEWNET, "thread-self/ns/net", offsetof(TaskKobjIdsEntry, net_ns_id) },
	{ CLONE_NEWIPC, "thread-self/ns/ipc", offsetof(TaskKobjIdsEntry, ipc_ns_id) },
};

static int neighbours_enter(struct session *s, const struct ns *ns, int *home)
{
	for (size_t i = 0; i < ARRAY_SIZE(seen_in); i++) {
		const struct ns *o = ns->ids ? ns_find(s, *(const uint32_t *)((const char *)ns->ids + seen_in[i].id)) : NULL;

		home[i] = -1;
		if (!o || o->fd < 0 || o == ns_of(s, seen_in[i].flag))
			continue;
		home[i] = openat(ns_proc(s), seen_in[i].path, O_RDONLY | O_CLOEXEC);
		if (home[i] < 0 || setns(o->fd, seen_in[i].flag) < 0)
			return session_fail(s, -errno, "mnt namespace %u: enter the %s namespace of its tasks", ns->id,
					    o->kind->name);
	}
	return 0;
}

static int neighbours_leave(struct session *s, int *home)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(seen_in); i++) {
		if (home[i] >= 0 && setns(home[i], seen_in[i].flag) < 0)
			r = session_fail(s, -errno, "mnt namespace: return to the root task's");
		fd_close(home[i]);
	}
	return r;
}

/* The mounts of a nested namespace, in which we are, with their flags. */
static int nested_mount(struct session *s, const struct ns *ns, struct mnt_list *l)
{
	int home[ARRAY_SIZE(seen_in)] = { -1, -1 }, r;

	r = neighbours_enter(s, ns, home);
	if (r == 0)
		r = mount_all(s, l);
	if (neighbours_leave(s, home) < 0)
		r = -EIO;
	for (size_t i = 0; r == 0 && i < l->n; i++)
		r = mnt_set_flags(s, l->v[i], MNT_FLAGS_ALL);
	return r;
}

/* It begins as a copy of the root task's, which is left behind. */
static int nested_build(struct session *s, const struct ns *ns, struct mnt_list *l)
{
	int r, fd;

	if (unshare(CLONE_NEWNS) < 0)
		return session_fail(s, -errno, "mnt namespace %u: make it", ns->id);
	for (size_t i = 0; i < l->n; i++)
		l->v[i]->in = ns->owner ? ns : NULL;
	fd = ns->owner ? owned_stage(s, ns, l)
		       : fd_high(openat(ns_proc(s), "thread-self/ns/mnt", O_RDONLY | O_CLOEXEC)); /* till we end */
	if (fd < 0)
		return fd;
	for (size_t i = 0; i < l->n; i++)
		l->v[i]->ns = fd;
	r = nested_root(s, l);
	if (r == 0)
		r = root_in(s, l, false);
	if (r == 0)
		r = owned_find(s, l);
	if (r == 0)
		r = nested_mount(s, ns, l);
	if (r == 0)
		r = mnt_root_turn(s, l->root->fd);
	return r < 0 ? r : nested_give(s, ns, fd);
}

/*
 * Groups may cross namespaces: *all gets the mounts of all. Who comes back is at the top of what is stacked on the old
 * root, which it must leave by root_turn() yet: so it goes down again.
 */
static int nested_all(struct session *s, const struct mnt_list *main, struct mnt_list *all)
{
	own_fd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int home = fd_high(openat(ns_proc(s), "thread-self/ns/mnt", O_RDONLY | O_CLOEXEC)); /* till we end */
	const struct ns *ns;
	int r = home < 0 ? session_fail(s, -errno, "mnt namespace: open the root task's") : 0;

	map_put(session_map(s, MAIN), 0, (void *)(intptr_t)(home + 1));
	if (r == 0)
		r = mnt_shown_age(s);
	for (size_t n = 0; r == 0 && (ns = ns_nested(s, CLONE_NEWNS, n)); n++) {
		struct mnt_list *l = map_get(session_map(s, "mnt"), ns->id);

		r = nested_sources(s, main, l);
		if (r == 0)
			r = nested_build(s, ns, l);
		if ((setns(home, CLONE_NEWNS) < 0 || fchdir(root) < 0 || chroot(".") < 0) && r == 0)
			r = session_fail(s, -errno, "mnt namespace: return to the root task's");
		for (size_t i = 0; i < l->n; i++)
			*vec_add(all) = l->v[i];
	}
	return r;
}

/* ---- what waits for tasks ---- */

static struct mnt_list *list_n(struct session *s, size_t n)
{
	const struct ns *ns = n ? ns_nested(s, CLONE_NEWNS, n - 1) : ns_of(s, CLONE_NEWNS);

	return ns ? map_get(session_map(s, "mnt"), ns->id) : NULL;
}

static struct mnt *late_find(struct session *s, uint32_t id)
{
	struct mnt_list *l;

	for (size_t n = 0; (l = list_n(s, n)); n++)
		for (size_t i = 0; i < l->n; i++)
			if (l->v[i]->e->mnt_id == id && is_late_proc(l->v[i]))
				return l->v[i];
	return NULL;
}

static bool is_whole(const struct mnt_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i]->fd < 0)
			return false;
	return true;
}

/* Of one namespace, in the guest, which goes there. */
static int late_mount(struct session *s, const struct ns *ns, struct mnt_list *l)
{
	if (l->root->ns >= 0 && setns(l->root->ns, CLONE_NEWNS) < 0)
		return session_fail(s, -errno, "mounts: enter a nested namespace");
	return nested_mount(s, ns, l);
}

static int late_all(struct session *s)
{
	own_fd int home = openat(ns_proc(s), "thread-self/ns/mnt", O_RDONLY | O_CLOEXEC);
	const struct ns *ns = ns_of(s, CLONE_NEWNS);
	const struct mnt_list *main = map_get(session_map(s, "mnt"), ns->id);
	int r = home < 0 ? session_fail(s, -errno, "mnt namespace: open it") : 0;

	for (size_t n = 0; r == 0 && ns; ns = ns_nested(s, CLONE_NEWNS, n++)) {
		struct mnt_list *l = map_get(session_map(s, "mnt"), ns->id);

		if (is_whole(l))
			continue;
		r = n ? nested_sources(s, main, l) : 0;
		if (r == 0)
			r = late_mount(s, ns, l);
		if (setns(home, CLONE_NEWNS) < 0 && r == 0)
			r = session_fail(s, -errno, "mnt namespace: return to the root task's");
	}
	return r;
}

/* The guest waits till the supervisor has them. */
static int late_take(struct session *s, size_t waiting)
{
	own_fd int home = openat(ns_proc(s), "thread-self/ns/mnt", O_RDONLY | O_CLOEXEC);
	int r = home < 0 ? session_fail(s, -errno, "mnt namespace: open it") : guest_give_fd(s, NS_TAG_WAITS, home);
	int id, fd;

	for (; r == 0 && waiting; waiting--) {
		struct mnt *m;

		fd = guest_take_fd(s, s->guest, &id);
		if (fd < 0)
			return session_fail(s, fd, "mounts: wait for the supervisor");
		m = late_find(s, id);
		if (!m) {
			fd_close(fd);
			return session_fail(s, -EPROTO, "mounts: got one that was not asked for");
		}
		if (ioctl(fd, NS_GET_NSTYPE) == CLONE_NEWPID) {
			m->shows = fd;
			fd = mnt_super_bare(s, m);
		}
		if (fd < 0)
			return fd;
		m->source = fd;
	}
	return r < 0 ? r : late_all(s);
}

/* All namespaces are made: what shows one can be, by who is in the first of them. */
static int late_shown(struct session *s, struct mnt_list *all)
{
	bool any = false;

	for (size_t i = 0; i < all->n; i++) {
		struct mnt *m = all->v[i];

		if (is_late_proc(m) || !is_late(m))
			continue;
		m->source = bind_ns(s, m);
		if (m->source < 0)
			return m->source;
		any = true;
	}
	return any ? late_all(s) : 0;
}

/* By the first task of the pid namespace: a detached mount of a new proc. */
static int late_make(struct session *s, const struct mnt *m, struct task *init)
{
	own_mem char *opts = xstrdup(m->e->options);
	char *save = NULL;
	unsigned first, last;
	struct batch b;
	int fs, r, fd;

	batch_start(s, &b, task_leader(init));
	first = call2(&b, NULL, SYS_fsopen, batch_str(&b, "proc"), 0);
	r = batch_run(&b);
	if (r < 0 || (fs = batch_ret(&b, first)) < 0)
		return r < 0 ? r : session_fail(s, fs, "mount %s: begin a proc in task %d", m->e->mountpoint, init->vpid);
	batch_clear(&b);
	if (*m->e->source)
		call5(&b, NULL, SYS_fsconfig, fs, FSCONFIG_SET_STRING, batch_str(&b, "source"),
		      batch_str(&b, m->e->source), 0);
	for (char *o = strtok_r(opts, ",", &save); o; o = strtok_r(NULL, ",", &save)) {
		char *value = strchr(o, '=');

		if (!batch_room(&b, 4, 1024) || strlen(o) > 255)
			return session_fail(s, -EBADMSG, "mount %s: has too many options", m->e->mountpoint);
		if (value)
			*value++ = 0;
		call5(&b, "options of a proc", SYS_fsconfig, fs, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG,
		      batch_str(&b, o), value ? batch_str(&b, value) : 0, 0);
	}
	if (m->e->sb_flags & MS_RDONLY)
		call5(&b, "options of a proc", SYS_fsconfig, fs, FSCONFIG_SET_FLAG, batch_str(&b, "ro"), 0, 0);
	call5(&b, "make a proc", SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, 0, 0, 0);
	last = call3(&b, "mount a proc", SYS_fsmount, fs, 0, 0);
	r = batch_run(&b);
	if (r < 0)
		return r;
	fd = fd_high(syscall(SYS_pidfd_getfd, init->pidfd, (int)batch_ret(&b, last), 0));
	r = fd < 0 ? session_fail(s, -errno, "mount %s: take it from task %d", m->e->mountpoint, init->vpid) : fd;
	last = batch_ret(&b, last);
	batch_clear(&b);
	call1(&b, NULL, SYS_close, last);
	call1(&b, NULL, SYS_close, fs);
	batch_run(&b);
	return r;
}

static int late_one(struct session *s, struct guest *g, const struct mnt *m)
{
	const struct pidns *p = s->tree->pidns;
	own_fd int fd = -1;

	while (p && p->id != m->e->pid_ns_id)
		p = p->next;
	if (!p || !p->init || p->init->state == TASK_DEAD)
		return session_fail(s, -EBADMSG, "mount %s: pid namespace %u has no first task", m->e->mountpoint,
				    m->e->pid_ns_id);
	/* in a less privileged mount namespace it may only make what others there see already */
	fd = p->user ? fd_high(openat(p->init->proc, "ns/pid", O_RDONLY | O_CLOEXEC)) : late_make(s, m, p->init);
	if (fd < 0 && p->user)
		return session_fail(s, -errno, "task %d: open its pid namespace", p->init->vpid);
	return fd < 0 ? fd : guest_pass_fd(s, g, m->e->mnt_id, fd);
}

int mnt_late(struct session *s, struct guest *g)
{
	const struct mnt_list *l;
	int r = 0;

	for (size_t n = 0; r == 0 && (l = list_n(s, n)); n++)
		for (size_t i = 0; r == 0 && i < l->n; i++)
			if (is_late_proc(l->v[i]))
				r = late_one(s, g, l->v[i]);
	return r;
}

static int clone_all(struct session *s, const struct mnt *m, struct mnt *of)
{
	int fd = fd_high(open_tree(of->fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE));

	return fd < 0 ? session_fail(s, -errno, "mount %s: clone all of it", of->e->mountpoint) : fd;
}

/* When all have their groups: detached mounts, which are namespaces up to now. */
static int detached_all(struct session *s, int stage)
{
	const TaskKobjIdsEntry *ids = s->tree->root->ids;
	int r = 0;

	for (size_t i = 0; r == 0 && i < ids->n_detached_ns; i++) {
		struct mnt_list *l = map_get(session_map(s, "mnt"), ids->detached_ns[i]);
		own_fd int tree = -1;

		if (!l || !l->root || l->root->ns < 0)
			return session_fail(s, -EBADMSG, "the root task's ids: detached mount %u has no namespace", ids->detached_ns[i]);
		r = tree = there(s, l->root->ns, clone_all, l->root, l->root);
		if (r >= 0)
			r = detached_give(s, ids->detached_ns[i], stage, tree);
	}
	return r < 0 ? r : detached_unstage(s, stage);
}

static int binfmt_there(struct session *s, const struct mnt *m, struct mnt *of)
{
	return binfmt_fill(s, m);
}

/* Interpreters are looked for below the root of those whose mounts they are. */
static int binfmt_all(struct session *s, const struct mnt_list *all)
{
	struct map done = { 0 };
	int r = 0;

	for (size_t i = 0; r == 0 && i < all->n; i++) {
		const struct mnt *m = all->v[i];

		if (m->fd < 0 || !binfmt_is_own(s, m->e, m->in) || map_get(&done, m->e->root_dev))
			continue;
		map_put(&done, m->e->root_dev, s);
		r = there(s, m->ns, binfmt_there, m, NULL);
	}
	map_free(&done);
	return r;
}

int mnt_build(struct session *s, struct mnt_list *l)
{
	struct mnt_list all = { 0 };
	own_fd int stage = -1;
	size_t late = 0;
	int r = root_in(s, l, true);

	if (r == 0)
		r = mount_all(s, l);
	for (size_t i = 0; r == 0 && i < l->n; i++) {
		r = mnt_set_flags(s, l->v[i], MNT_FLAGS_ALL);
		*vec_add(&all) = l->v[i];
	}
	if (r == 0)
		r = nested_all(s, l, &all);
	if (r == 0)
		r = mnt_root_turn(s, l->root->fd); /* before a shared root would forbid it */
	if (r == 0)
		r = binfmt_all(s, &all);
	for (size_t i = 0; i < all.n; i++)
		late += is_late_proc(all.v[i]);
	if (r == 0)
		r = late_shown(s, &all);
	if (r == 0 && late)
		r = late_take(s, late);
	if (mnt_deleted_end(s) < 0 && r == 0) /* whatever has become of the mounts */
		r = -EIO;
	if (r == 0 && s->tree->root->ids && s->tree->root->ids->n_detached_ns)
		r = stage = detached_stage(s);
	if (r >= 0)
		r = set_groups(s, &all);
	if (r == 0 && stage >= 0)
		r = detached_all(s, stage);
	free(all.v);
	map_free(&all.by_dev);
	return r;
}
