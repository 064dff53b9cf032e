// SPDX-License-Identifier: Apache-2.0
/*
 * Overlays are mounted anew, their layers looked up by the names that the overlay was given. Such a name may lead
 * elsewhere by now: a later mount is over it. So the overlay has to be made between what was there before it, on which
 * its layers lie, and what came later.
 *
 * Kept:   type, options, and layers below mounts that came after the overlay.
 * Lost:   layers that were deleted, renamed, or come from outside: refused.
 * Kernel: fs/overlayfs/params.c keeps the names only. The numbers of statmount(2) (Linux 6.11 for another namespace)
 *         grow with each new mount, but a copy of a namespace numbers its mounts in the order of the tree; so what the
 *         layers and the overlay have in common, times above all, counts more.
 */
#include "kind/mnt-overlay.h"

#include "base/res.h"
#include "base/text.h"
#include "kind/mnt-auto.h"
#include "kind/mnt-stat.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define LOOK_MAX 256 /* files of a layer that are compared */

/* ---- layers ---- */

/* Calls fn for the name of each layer, until that says no. */
static bool each_layer(const struct mnt *m, bool (*fn)(void *arg, const char *name), void *arg)
{
	own_mem char *opts = xstrdup(m->e->fstype == FSTYPE__OVERLAYFS && m->e->options ? m->e->options : "");
	char *save = NULL, *part;

	for (char *o = strtok_r(opts, ",", &save); o; o = strtok_r(NULL, ",", &save)) {
		char *dirs = mnt_layers(o);

		while ((part = dirs ? strsep(&dirs, ":") : NULL))
			if (*part && !fn(arg, part))
				return false;
	}
	return true;
}

static int open_layer(int root, const char *name, int flags)
{
	struct open_how how = { .flags = flags | O_DIRECTORY | O_CLOEXEC,
				.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };

	return *name == '/' ? fd_high(syscall(SYS_openat2, root, name, &how, sizeof(how))) : -1;
}

/* ---- dump ---- */

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec &&
	       a->st_mode == b->st_mode && a->st_uid == b->st_uid && a->st_gid == b->st_gid;
}

/* A file of a lower layer shows in the overlay with all its times, unless an upper one has another. */
static bool shows_files(int over, int layer)
{
	int fd = openat(layer, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOATIME), n = 0;
	own_dir DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct stat a, b;

	for (struct dirent *e; d && n < LOOK_MAX && (e = readdir(d)); n++)
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") &&
		    fstatat(layer, e->d_name, &a, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) == 0 && !S_ISDIR(a.st_mode) &&
		    fstatat(over, e->d_name, &b, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) == 0 && same_file(&a, &b))
			return true;
	return false;
}

/* what is asked about the layers of one overlay */
struct ask {
	int root, over;
	const struct mnt_list *l;
	const struct mnt *m; /* the overlay */
	const struct mnt *o; /* a mount that may cover a layer */
	bool found;
	char *missing;
};

/* Is one of the overlay's layers to be seen on that mount? Then it was there before. */
static bool not_seen_on(void *arg, const char *name)
{
	struct ask *q = arg;
	own_fd int layer = q->over >= 0 && mnt_below(name, q->o->e->mountpoint) ? open_layer(q->root, name, O_PATH) : -1;
	struct stat a, b;

	if (layer < 0 || fstat(layer, &a) < 0 || fstat(q->over, &b) < 0)
		return true;
	q->found = same_file(&a, &b) || shows_files(q->over, layer);
	return !q->found;
}

static bool not_below(void *arg, const char *name)
{
	struct ask *q = arg;

	q->found = mnt_below(name, q->o->e->mountpoint);
	return !q->found;
}

static void note_number(void *arg, const struct mnt_stat *m)
{
	struct map *numbers = arg;

	map_put(numbers, m->id_old, (void *)(uintptr_t)m->id);
}

/* Its first mount. */
static uintptr_t overlay_number(const struct map *numbers, const struct mnt_list *l, const struct mnt *m)
{
	uintptr_t first = 0;

	for mnt_each_same (o, l, m->e->root_dev) {
		uintptr_t n = (uintptr_t)map_get(numbers, o->e->mnt_id);

		if (n && (!first || n < first))
			first = n;
	}
	return first;
}

/* those that may cover a layer of m, and did not when it was made */
static void note_one(struct ask *q, const struct map *numbers)
{
	uintptr_t first = overlay_number(numbers, q->l, q->m);
	MntEntry *e = q->m->e;

	e->n_covers = 0;
	for (size_t i = 0; i < q->l->n; i++) {
		q->o = q->l->v[i];
		q->found = false;
		if (q->o == q->l->root || q->o->e->root_dev == e->root_dev || each_layer(q->m, not_below, q))
			continue;
		q->found = false;
		if ((uintptr_t)map_get(numbers, q->o->e->mnt_id) <= first || !each_layer(q->m, not_seen_on, q))
			continue;
		e->covers = xgrow(e->covers, (e->n_covers + 1) * sizeof(*e->covers));
		e->covers[e->n_covers++] = q->o->e->mnt_id;
	}
}

void mnt_overlay_note(int root, int ns, struct mnt_list *l, const struct mnt_list *main)
{
	struct map numbers = { 0 };
	bool read = false;

	for (size_t i = 1; i < l->n; i++) {
		struct mnt *m = l->v[i];
		own_fd int over = -1;
		struct ask q = { .root = root, .l = l, .m = m };

		if (m->e->fstype != FSTYPE__OVERLAYFS || m->e->ext_key || (main && mnt_shown_inside(main, m)))
			continue;
		if (!read)
			mnt_stat_each(ns, MNT_STAT_BASIC, note_number, &numbers);
		read = true;
		q.over = over = mnt_open(root, m);
		note_one(&q, &numbers);
	}
	map_free(&numbers);
}

static bool is_covered(const struct mnt_list *l, const struct mnt *m, const char *name)
{
	for (size_t i = 0; i < m->e->n_covers; i++) {
		const struct mnt *o = map_get(&l->by_id, m->e->covers[i]);

		if (o && mnt_below(name, o->e->mountpoint))
			return true;
	}
	return false;
}

static bool is_there(void *arg, const char *name)
{
	struct ask *q = arg;
	bool covered = is_covered(q->l, q->m, name);
	own_fd int fd = covered ? -1 : open_layer(q->root, name, O_PATH);

	if (fd >= 0 || (covered && *name == '/'))
		return true;
	q->missing = xstrdup(name);
	return false;
}

int mnt_overlay_check(struct session *s, int root, const struct mnt_list *l, const struct mnt *m)
{
	struct ask q = { .root = root, .l = l, .m = m };
	own_mem char *missing = NULL;

	if (each_layer(m, is_there, &q))
		return 0;
	missing = q.missing;
	return session_fail(s, -ENOTSUP,
			    "mount %s: its layer %s is no directory of that name in the container (deleted, or from outside); declare the mount with --external 'mnt[%s]:KEY'",
			    m->e->mountpoint, missing, m->e->mountpoint);
}

/* ---- restore ---- */

bool mnt_overlay_covers(const struct mnt *o, const struct mnt *m)
{
	for (size_t i = 0; i < o->e->n_covers; i++)
		if (o->e->covers[i] == m->e->mnt_id)
			return true;
	return false;
}

static bool is_made(void *arg, const char *name)
{
	const struct ask *q = arg;

	for (size_t i = 1; i < q->l->n; i++) {
		const struct mnt *o = q->l->v[i];

		if (o != q->m && o->fd < 0 && mnt_below(name, o->e->mountpoint) && !mnt_overlay_covers(q->m, o))
			return false;
	}
	return true;
}

bool mnt_overlay_lacks(const struct mnt_list *l, const struct mnt *m)
{
	struct ask q = { .l = l, .m = m };

	return !each_layer(m, is_made, &q);
}
