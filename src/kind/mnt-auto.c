// SPDX-License-Identifier: Apache-2.0
/*
 * Whatever a mount of ours shows of the same superblock can be bound from there at restore. What the
 * container's root shows itself is not looked for outside: --root may lead elsewhere next time.
 *
 * Kernel: /proc/PID/mountinfo: device and root of each mount; statx(2), STATX_MNT_ID (Linux 5.8).
 */
#include "kind/mnt-auto.h"

#include "base/res.h"
#include "base/text.h"
#include "kind/ids.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

bool mnt_auto_asked(const struct session *s)
{
	return (s->opts->has_auto_ext_mnt && s->opts->auto_ext_mnt) || external_find(s, "mnt", "");
}

static bool allowed(const struct session *s, char letter, bool option)
{
	const char *v = external_find(s, "mnt", "");

	return option || (v && *v == letter);
}

/* Mounted anew, it is the same file system again: there is one for the machine or the namespace. */
static bool one_for_all(struct session *s, const MntEntry *e)
{
	switch (e->fstype) {
	case FSTYPE__SYSFS:
	case FSTYPE__MQUEUE:
	case FSTYPE__CGROUP:
	case FSTYPE__CGROUP2:
	case FSTYPE__SECURITYFS:
	case FSTYPE__DEBUGFS:
	case FSTYPE__TRACEFS:
	case FSTYPE__PSTORE:
	case FSTYPE__FUSECTL:
	case FSTYPE__DEVTMPFS:
		return !strcmp(e->root, "/");
	case FSTYPE__BINFMT_MISC:
		return !strcmp(e->root, "/") && !ids_mapped(s);
	default:
		return false;
	}
}

bool mnt_shown_inside(const struct mnt_list *l, const struct mnt *m)
{
	for mnt_each_same (o, l, m->e->root_dev) {
		bool itself = o == l->root || o->e->ext_key ||
			      (mnt_fsname(o->e) && !strcmp(o->e->root, "/"));

		if (o != m && itself && !o->was && (m->was || mnt_below(m->e->root, o->e->root)))
			return true;
	}
	return false;
}

bool mnt_shown_by(const struct mnt_list *main, const struct mnt *m)
{
	for mnt_each_same (o, main, m->e->root_dev)
		if (mnt_below(m->e->root, o->e->root))
			return true;
	return false;
}

/* The path in our namespace that leads to m's root through mount h; NULL if something hides it. */
static char *path_through(const struct mnt *m, const struct mnt *h)
{
	const char *rel = mnt_below(m->e->root, h->e->root), *at = h->e->mountpoint;
	own_mem char *path = NULL;
	struct statx sx;

	if (!rel || h->e->root_dev != m->e->root_dev || (h->e->has_deleted && h->e->deleted))
		return NULL;
	path = *rel ? xprintf("%s/%s", strcmp(at, "/") ? at : "", rel) : xstrdup(at);
	if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_MNT_ID, &sx) < 0 ||
	    !(sx.stx_mask & STATX_MNT_ID) || sx.stx_mnt_id != h->e->mnt_id)
		return NULL;
	return take_mem(path);
}

/* Of the same group if there is one: propagation is then as it was. */
static const struct mnt *find_outside(const struct mnt_list *ours, const struct mnt *m, char **ret)
{
	const struct mnt *found = NULL;

	for (size_t i = 0; i < ours->n; i++) {
		const MntEntry *h = ours->v[i]->e;
		bool group = h->shared_id && (h->shared_id == m->e->shared_id || h->shared_id == m->e->master_id);
		char *path = found && !group ? NULL : path_through(m, ours->v[i]);

		if (!path)
			continue;
		free(*ret);
		*ret = path;
		found = ours->v[i];
		if (group)
			break;
	}
	return found;
}

static bool group_inside(const struct mnt_list *l, uint32_t group)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i]->e->shared_id == group)
			return true;
	return false;
}

static int mark(struct session *s, const struct mnt_list *l, const struct mnt_list *main, struct mnt *m,
		const struct mnt *h, char *path)
{
	MntEntry *e = m->e;
	bool peer = e->shared_id && e->shared_id == h->e->shared_id;
	bool slave = e->master_id && !group_inside(l, e->master_id) &&
		     !(main && group_inside(main, e->master_id));

	free(e->source);
	e->source = path;
	e->ext_key = xstrdup(MNT_AUTO_KEY);
	if (e->shared_id && !peer)
		e->has_internal_sharing = e->internal_sharing = true;
	session_debug(s, "mount %s: is %s outside", e->mountpoint, path);
	if (peer && !allowed(s, 's', s->opts->ext_sharing))
		return session_fail(s, -ENOTSUP,
				    "mount %s: shares its mounts with %s of the host; allow that with --enable-external-sharing, or make it private",
				    e->mountpoint, h->e->mountpoint);
	if (slave && !allowed(s, 'm', s->opts->ext_masters))
		return session_fail(s, -ENOTSUP,
				    "mount %s: receives mounts from the host (a slave of %s); allow that with --enable-external-masters, or make it private",
				    e->mountpoint, h->e->mountpoint);
	return 0;
}

static bool made_inside(struct session *s, const struct mnt_list *l, const struct mnt *m)
{
	const MntEntry *e = m->e;

	if (m == l->root || e->ext_key || one_for_all(s, e))
		return true;
	for mnt_each_same (o, l, e->root_dev)
		if (o != m && (o == l->root || one_for_all(s, o->e)) && mnt_below(e->root, o->e->root))
			return true;
	return false;
}

int mnt_auto(struct session *s, int proc, struct mnt_list *l, const struct mnt_list *main)
{
	struct mnt_list ours = { 0 };
	own_mem char *text = NULL;
	own_fd int fd = session_openat(s, proc, "self/mountinfo", O_RDONLY, 0); /* the supervisor's */
	int r = fd < 0 ? fd : text_read_fd(fd, &text, NULL), one;

	if (r < 0)
		return session_fail(s, r, "mounts: read our own");
	r = mnt_parse_flat(s, text, &ours);
	for (size_t i = 0; i < l->n; i++) {
		const struct mnt *h;
		char *path = NULL;

		if (made_inside(s, l, l->v[i]) || (main && mnt_shown_by(main, l->v[i])) || !(h = find_outside(&ours, l->v[i], &path)))
			continue;
		one = mark(s, l, main, l->v[i], h, path);
		r = r < 0 ? r : one;
	}
	mnt_free(&ours);
	return r;
}
