// SPDX-License-Identifier: Apache-2.0
/*
 * A superblock is read through the mounts of it that show most; mostly one that shows its root. Mounts that
 * others hide are laid bare in a copy of the mount namespace, by unmounting there what hides them.
 *
 * Lost:   what no mount shows, of a file system whose root is mounted nowhere; nobody can see it.
 * Kernel: open_tree(2); unshare(2): mounts in the copy have other ids, but the same tree.
 */
#include "kind/mnt-files.h"

#include "base/list.h"
#include "base/res.h"
#include "base/text.h"
#include "kind/mnt-tar.h"
#include "kind/ns-user.h"

#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

/* Where something may be mounted on "/", its tree begins at "/.."; a lookup does not follow from "/" itself. */
static int open_top(const MntEntry *e)
{
	static const char *const from[] = { "", "/.." };

	for (size_t i = 0; i < ARRAY_SIZE(from); i++) {
		own_mem char *path = xprintf("%s%s", from[i], e->mountpoint);
		own_fd int fd = open(path, O_PATH | O_CLOEXEC | O_NOFOLLOW);
		struct statx sx;

		if (fd >= 0 && statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &sx) == 0 &&
		    sx.stx_mask & STATX_MNT_ID && sx.stx_mnt_id == e->mnt_id)
			return take_fd(fd);
	}
	return -1;
}

/* Does it come from outside at a restore? */
static bool is_given(const struct mnt_list *main, const struct mnt *m)
{
	for mnt_each_same (o, main, m->e->root_dev)
		if ((o == main->root || o->e->ext_key) && mnt_below(m->e->root, o->e->root))
			return true;
	return false;
}

/* The mount that stands for all of the superblock that m shows: the first of those with the shortest root. */
static struct mnt *bearer(const struct mnt_list *world, const struct mnt *m)
{
	struct mnt *best = NULL;

	for mnt_each_same (o, world, m->e->root_dev) {
		if (!o->e->ext_key && mnt_below(m->e->root, o->e->root) &&
		    (!best || strlen(o->e->root) < strlen(best->e->root)))
			best = o;
		if (best && !strcmp(best->e->root, "/"))
			break;
	}
	return best;
}

/* Is its superblock read through this one alone? */
static bool is_alone(const struct mnt_list *world, const struct mnt *b)
{
	if (!strcmp(b->e->root, "/"))
		return true;
	for mnt_each_same (o, world, b->e->root_dev)
		if (!o->was && !mnt_below(o->e->root, b->e->root))
			return false;
	return true;
}

static int put(struct session *s, const struct mnt *b)
{
	struct mnt_part part = { .fd = b->fd, .root = b->e->root };

	return mnt_tar_write(s, b->e->root_dev, b->e->mountpoint, 1, &part);
}

/* m is open at top: what it bears is read, or kept open till all parts are there */
static int take(struct session *s, const struct mnt_list *world, struct mnt *b, int top)
{
	int r = 0;

	b->done = true;
	b->fd = fd_high(open_tree(top, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH));
	if (b->fd < 0)
		return session_fail(s, -errno, "mount %s: clone it", b->e->mountpoint);
	if (is_alone(world, b)) {
		r = put(s, b);
		fd_close(b->fd);
		b->fd = -1;
	}
	return r;
}

/* The one whose files are still wanted, of those that m shows as a whole; NULL */
static struct mnt *wanted(const struct mnt_list *main, const struct mnt_list *world, const struct mnt *m)
{
	struct mnt *b;

	if (!mnt_has_contents(m->e) || m->e->ext_key || m->was)
		return NULL;
	b = bearer(world, m);
	return b && !b->done && !strcmp(b->e->root, m->e->root) && !is_given(main, m) ? b : NULL;
}

/* ---- what is hidden ---- */

/* Made by its own user namespace: else all would be locked there. */
static int copy_read(struct session *s, const struct ns *ns, struct mnt_list *copy)
{
	own_mem char *text = NULL;
	int r, proc = ns_proc(s);
	own_fd int fd = -1;

	r = ns_unshare(s, ns);
	if (r < 0)
		return r;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return session_fail(s, -errno, "mounts: copy them, to read what is hidden");
	fd = openat(proc, "thread-self/mountinfo", O_RDONLY | O_CLOEXEC);
	r = fd < 0 ? -errno : text_read_fd(fd, &text, NULL);
	return r < 0 ? session_fail(s, r, "mounts: read the copy's") : mnt_parse(s, text, copy);
}

/* Both trees are sorted alike; --skip-mnt made holes in the first. *pairs: copy's id to the original */
static void pair(const struct mnt_list *l, const struct mnt_list *copy, struct map *pairs)
{
	map_put(pairs, copy->root->e->mnt_id, l->root);
	for (size_t i = 0; i < copy->n; i++) {
		struct mnt *m = copy->v[i], *of = map_get(pairs, m->e->mnt_id), *o = of ? of->child : NULL;

		m->done = false;
		m->kids = 0;
		for (struct mnt *c = m->child; c; c = c->next) {
			m->kids++;
			while (o && strcmp(o->e->mountpoint, c->e->mountpoint) > 0)
				o = o->next;
			if (o && !strcmp(o->e->mountpoint, c->e->mountpoint)) {
				map_put(pairs, c->e->mnt_id, o);
				o = o->next;
			}
		}
	}
}

static int peel_one(struct session *s, const struct mnt_list *main, const struct mnt_list *world,
		    const struct ns *ns, const struct map *pairs, struct mnt *m)
{
	struct mnt *of = map_get(pairs, m->e->mnt_id), *b = of ? wanted(main, world, of) : NULL;
	own_fd int top = open_top(m->e);
	own_mem char *path = NULL;
	int r = 0;

	if (top < 0)
		return 0;
	if (b)
		r = take(s, world, b, top);
	if (r < 0 || !m->parent)
		return r;
	path = xprintf("thread-self/fd/%d", top);
	if (fchdir(ns_proc(s)) < 0)
		return session_fail(s, -errno, "enter /proc");
	if (umount2(path, MNT_DETACH) < 0) {
		m->done = true;
		if (errno == EINVAL && ns->owner) /* locked: what it hides is not of this namespace */
			return 0;
		return session_fail(s, -errno, "mount %s: take it off in a copy of the mounts", m->e->mountpoint);
	}
	m->done = true;
	m->parent->kids--;
	return 1;
}

static bool any_wanted(const struct mnt_list *main, const struct mnt_list *world, const struct mnt_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		if (wanted(main, world, l->v[i]))
			return true;
	return false;
}

static int peel(struct session *s, const struct mnt_list *main, const struct mnt_list *world,
		const struct ns *ns, const struct mnt_list *l)
{
	struct mnt_list copy = { 0 };
	struct map pairs = { 0 };
	int r = copy_read(s, ns, &copy);
	bool progress = r == 0;

	if (r == 0)
		pair(l, &copy, &pairs);
	while (r >= 0 && progress && any_wanted(main, world, l)) {
		progress = false;
		for (size_t i = copy.n; r >= 0 && i-- > 0;) {
			struct mnt *m = copy.v[i];

			if (m->done || m->kids)
				continue;
			r = peel_one(s, main, world, ns, &pairs, m);
			progress |= r > 0;
		}
	}
	map_free(&pairs);
	mnt_free(&copy);
	return r < 0 ? r : 0;
}

/* ---- all ---- */

static int enter(struct session *s, const struct ns *ns)
{
	own_fd int root = session_openat(s, ns->task->proc, "root", O_PATH | O_DIRECTORY, 0);
	own_fd int there = session_openat(s, ns->task->proc, "ns/mnt", O_RDONLY, 0);

	if (there < 0 || setns(there, CLONE_NEWNS) < 0)
		return session_fail(s, -errno, "task %d: enter its mnt namespace", ns->task->vpid);
	/* paths are as this task sees them */
	if (root < 0 || fchdir(root) < 0 || chroot(".") < 0)
		return session_fail(s, -errno, "task %d: enter its root", ns->task->vpid);
	return 0;
}

static int read_from(struct session *s, const struct mnt_list *main, const struct mnt_list *world,
		     const struct ns *ns, const struct mnt_list *l, bool hidden)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < l->n; i++) {
		/* unbindable ones are cloned in a copy only */
		struct mnt *b = l->v[i]->e->flags & MS_UNBINDABLE ? NULL : wanted(main, world, l->v[i]);
		own_fd int top = b ? open_top(l->v[i]->e) : -1;

		if (top >= 0)
			r = take(s, world, b, top);
	}
	return r == 0 && hidden && any_wanted(main, world, l) ? peel(s, main, world, ns, l) : r;
}

/* Superblocks that several mounts show in parts. */
static int put_parts(struct session *s, const struct mnt_list *world)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < world->n; i++) {
		struct {
			struct mnt_part *v;
			size_t n, max;
		} parts = { 0 };
		uint32_t dev = world->v[i]->e->root_dev;

		if (map_get(&world->by_dev, dev) != world->v[i])
			continue;
		for mnt_each_same (o, world, dev)
			if (o->fd >= 0)
				*vec_add(&parts) = (struct mnt_part){ .fd = o->fd, .root = o->e->root };
		if (parts.n)
			r = mnt_tar_write(s, dev, world->v[i]->e->mountpoint, parts.n, parts.v);
		for mnt_each_same (o, world, dev) {
			fd_close(o->fd);
			o->fd = -1;
		}
		free(parts.v);
	}
	return r;
}

int mnt_files(struct session *s, size_t n, const struct ns *const *ns, struct mnt_list *lists)
{
	struct mnt_list world = { 0 };
	int r = 0;

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < lists[i].n; k++) {
			lists[i].v[k]->done = false;
			*vec_add(&world) = lists[i].v[k];
		}
	mnt_by_dev(&world);
	mnt_tar_ready();
	for (size_t i = 0; r == 0 && i < 2 * n; i++) {
		r = enter(s, ns[i % n]);
		if (r == 0)
			r = read_from(s, &lists[0], &world, ns[i % n], &lists[i % n], i >= n);
	}
	for (size_t i = 0; r == 0 && i < world.n; i++)
		if (wanted(&lists[0], &world, world.v[i]))
			r = session_fail(s, -ENOTSUP,
					 "mount %s: another mount hides all of it, so that its files cannot be read",
					 world.v[i]->e->mountpoint);
	if (r == 0)
		r = put_parts(s, &world);
	free(world.v);
	map_free(&world.by_dev);
	return r;
}
