// SPDX-License-Identifier: Apache-2.0
/*
 * A deleted directory is empty, a deleted file goes into the image as one that is open does (ghost.h). At the restore
 * it is made in its file system, through another mount, and deleted again when all is mounted. All mounts of one of
 * these have the same root in their entries, and no other mount has a root that is below or above that.
 *
 * Kernel: "//deleted" at the end of a root in mountinfo. What has no name any more cannot be mounted.
 */
#include "kind/mnt-deleted.h"

#include "base/res.h"
#include "base/text.h"
#include "kind/ghost.h"
#include "kind/ids.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define INODES "mnt deleted inodes" /* inode and device to id */
#define NAMES "mnt deleted names"   /* those that are still there */
#define ID_FIRST 0x40000000u	    /* those of other ghosts count from 1 */

void mnt_deleted_begin(struct session *s)
{
	struct map *m = session_map(s, INODES);

	map_free(m);
	memset(m, 0, sizeof(*m));
}

void mnt_deleted_note(struct session *s, int root, struct mnt_list *l)
{
	struct map *inodes = session_map(s, INODES);

	for (size_t i = 0; i < l->n; i++) {
		struct mnt *m = l->v[i];
		own_fd int fd = -1;
		uintptr_t id = ID_FIRST | m->e->mnt_id;
		struct stat st;
		uint64_t key;

		if (!m->e->has_deleted || !m->e->deleted || m == l->root || m->e->ext_key)
			continue;
		fd = mnt_open(root, m);
		if (fd >= 0 && fstat(fd, &st) == 0) {
			key = st.st_ino ^ (uint64_t)st.st_dev << 40;
			if (map_get(inodes, key))
				id = (uintptr_t)map_get(inodes, key);
			map_put(inodes, key, (void *)id);
		}
		mnt_forsake(m, id);
	}
}

int mnt_deleted_check(struct session *s, int root, const struct mnt *m)
{
	own_fd int fd = mnt_open(root, m);
	const char *at = m->e->mountpoint;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return session_fail(s, -ENOTSUP, "mount %s: its root %s was deleted and another mount hides it; unmount it",
				    at, m->was);
	if (!S_ISDIR(st.st_mode) && st.st_nlink)
		return session_fail(s, -ENOTSUP,
				    "mount %s: its root %s was deleted, but lives on under another name; unmount it, or mount it from there",
				    at, m->was);
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode))
		return session_fail(s, -ENOTSUP,
				    "mount %s: its root %s, a block device, socket or symbolic link, was deleted; unmount it", at,
				    m->was);
	if (mnt_has_contents(m->e) && m->e->sb_flags & MS_RDONLY)
		return session_fail(s, -ENOTSUP, "mount %s: its root %s was deleted, of a read-only %s; unmount it", at, m->was,
				    m->e->source);
	if (S_ISREG(st.st_mode) && (uint64_t)st.st_blocks * 512 > ghost_limit(s))
		return session_fail(s, -ENOTSUP,
				    "mount %s: its root %s was deleted and would go into the image; allow that with --ghost-limit %llu",
				    at, m->was, (unsigned long long)st.st_blocks * 512);
	return 0;
}

int mnt_deleted_dump(struct session *s, int root, const struct mnt_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct mnt *m = l->v[i];
		own_fd int fd = -1;
		struct stat st;
		int r;

		if (!m->was)
			continue;
		r = mnt_deleted_check(s, root, m);
		if (r < 0)
			return r;
		fd = mnt_open(root, m);
		if (fd < 0 || fstat(fd, &st) < 0)
			return session_fail(s, -EAGAIN, "mount %s: open it", m->e->mountpoint);
		r = ghost_write(s, fd, &st, m->e->ghost_id);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- restore ---- */

/* a name to be taken away, and what its directory was like before */
struct gone {
	struct ghost_name name;
	struct timespec times[2];
};

/* The name it had below that mount; where its directory is gone, too, one at the top. *st: of that directory */
static char *name_below(const struct mnt *m, const struct mnt *of, int dir, struct stat *st)
{
	struct open_how how = {
		.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
	};
	const char *rel = mnt_below(m->was, of->e->root), *base = strrchr(m->was, '/');
	own_mem char *up = rel && strchr(rel, '/') ? strndup(rel, strrchr(rel, '/') - rel) : NULL;
	own_fd int fd = up ? (int)syscall(SYS_openat2, dir, up, &how, sizeof(how)) : -1;

	if (fstat(fd < 0 ? dir : fd, st) < 0)
		return NULL;
	return fd >= 0 ? xprintf("/%s", rel) : xstrdup(base && base[1] ? base : "/deleted");
}

/* By a mount of its own: the one it was made through may be read-only by then. */
static void gone_note(struct session *s, struct gone *g)
{
	struct map *names = session_map(s, NAMES);
	int own = fd_high(open_tree(g->name.dir, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH));

	if (own >= 0) {
		fd_close(g->name.dir);
		g->name.dir = own;
	}
	map_put(names, names->n + 1, g);
}

int mnt_deleted_make(struct session *s, const struct mnt *m, const struct mnt *of, int dir)
{
	struct stat up;
	own_mem char *name = name_below(m, of, dir, &up);
	own_mem struct gone *g = xalloc(sizeof(*g));
	int r = !name ? -errno : m->in ? ids_assume_nested(s, m->in->owner->id) : 0;

	if (r == 0)
		r = ghost_make(s, dir, name, m->e->ghost_id, &g->name);
	if (m->in)
		ids_resign(s);
	if (r < 0)
		return r;
	g->times[0] = up.st_atim;
	g->times[1] = up.st_mtim;
	gone_note(s, take_mem(g));
	return r;
}

static int gone_end(struct session *s, struct gone *g)
{
	int r = ghost_unname(&g->name);

	if (r < 0)
		r = session_fail(s, r, "%s, which was deleted at the checkpoint: delete it", g->name.last);
	else if (utimensat(g->name.dir, "", g->times, AT_EMPTY_PATH) < 0)
		session_debug(s, "directory of %s: set its times: %m", g->name.last);
	fd_close(g->name.dir);
	free(g);
	return r;
}

int mnt_deleted_end(struct session *s)
{
	struct map *names = session_map(s, NAMES);
	int r = 0;

	for (size_t i = names->n; i; i--) { /* the first saw the times as they were */
		int one = gone_end(s, map_get(names, i));

		r = r < 0 ? r : one;
	}
	map_free(names);
	memset(names, 0, sizeof(*names));
	return r;
}
