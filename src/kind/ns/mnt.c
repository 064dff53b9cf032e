// SPDX-License-Identifier: Apache-2.0
/*
 * mnt: the mounts of the container.
 *
 * Kept:   the tree of mounts, their flags and groups, contents of tmpfs; proc, sysfs, devpts, mqueue,
 *         cgroup and the like are mounted anew.
 * Lost:   files of other file systems: those come from --root or --external.
 * Kernel: /proc/PID/mountinfo, open_tree(2).
 */
#include "kind/ns.h"

#include "base/list.h"
#include "base/res.h"
#include "base/text.h"
#include "kind/ids.h"
#include "kind/mnt-auto.h"
#include "kind/mnt-build.h"
#include "kind/mnt-files.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>

/*
 * "uid=100000": as the first user namespace counts, in file systems that are made anew inside.
 * Source: shmem_show_options(), devpts_show_options().
 */
static int options_inside(struct session *s, MntEntry *e)
{
	own_mem char *old = e->options;
	char *save = NULL, *out = xalloc(2 * strlen(old) + 32), *at = out;

	for (char *o = strtok_r(old, ",", &save); o; o = strtok_r(NULL, ",", &save)) {
		bool uid = text_starts(o, "uid="), gid = text_starts(o, "gid=");
		uint32_t v = strtoul(uid || gid ? o + 4 : "0", NULL, 10);

		v = uid ? uid_in(s, v) : gid_in(s, v);
		if ((uid || gid) && v == ID_NONE) {
			free(out);
			e->options = xstrdup("");
			return session_fail(s, -ENOTSUP,
					    "mount %s: its option %s names nobody of the tasks' user namespace; remount it with another",
					    e->mountpoint, o);
		}
		at += uid || gid ? sprintf(at, "%s%.4s%u", at == out ? "" : ",", o, v)
				 : sprintf(at, "%s%s", at == out ? "" : ",", o);
	}
	e->options = out;
	return 0;
}

static bool skipped(const struct session *s, const struct mnt *m)
{
	for (size_t i = 0; m->parent && i < s->opts->n_skip_mnt; i++)
		if (!strcmp(s->opts->skip_mnt[i], m->e->mountpoint))
			return true;
	return false;
}

/* --skip-mnt: with what is mounted below */
static bool kept(struct session *s, const struct mnt *m)
{
	bool skip = s->opts->n_skip_mnt && skipped(s, m);

	if (skip)
		session_warn(s, "mount %s of %s: is left out (--skip-mnt)", m->e->mountpoint, m->e->source);
	return !skip;
}

/* The mounts of the task, externals marked; the caller is in our mount namespace. */
static int list_of(struct session *s, const struct ns *ns, struct mnt_list *l, const struct mnt_list *main)
{
	own_mem char *text = NULL;
	own_fd int fd = session_openat(s, ns->task->proc, "mountinfo", O_RDONLY, 0);
	int r = fd < 0 ? fd : text_read_fd(fd, &text, NULL), proc = ns_proc(s);

	if (r < 0)
		return session_fail(s, r, "task %d: read its mounts", ns->task->vpid);
	if (proc < 0)
		return proc;
	r = mnt_parse(s, text, l);
	if (r == 0)
		mnt_keep(s, l, kept);
	for (size_t i = 0; r == 0 && i < l->n; i++) {
		MntEntry *e = l->v[i]->e;
		const char *key = main || l->v[i] == l->root ? NULL : external_find(s, "mnt", e->mountpoint);

		if (key)
			e->ext_key = xstrdup(*key ? key : e->mountpoint);
		if (!key && l->v[i] != l->root && ids_mapped(s) &&
		    (e->fstype == FSTYPE__TMPFS || e->fstype == FSTYPE__DEVPTS))
			r = options_inside(s, e);
	}
	return r < 0 || !mnt_auto_asked(s) ? r : mnt_auto(s, proc, l, main);
}

static int check(struct session *s, const struct mnt_list *l, const struct mnt_list *main, const struct mnt *m)
{
	const MntEntry *e = m->e;
	int r = 0;

	if ((m == l->root && !main) || e->ext_key)
		return 0;
	if (e->has_deleted && e->deleted)
		r = session_fail(s, -ENOTSUP,
				 "mount %s: its root directory %s was deleted, which cannot be checkpointed yet; unmount it",
				 e->mountpoint, e->root);
	else if (main && mnt_shown_by(main, m))
		return 0;
	else if (!(mnt_fsname(e) && !strcmp(e->root, "/")) && !mnt_shown_inside(l, m))
		r = session_fail(s, -ENOTSUP,
				 "mount %s: shows %s of %s, which is not in the container; declare it with --external 'mnt[%s]:KEY', or leave it out with --skip-mnt %s",
				 e->mountpoint, e->root, e->source, e->mountpoint, e->mountpoint);
	if (r < 0)
		session_warn(s, "obstacle: mount %s of %s", e->mountpoint, e->source);
	return r;
}

static int mnt_preflight(struct session *s, const struct ns *ns)
{
	const struct ns *top = ns_of(s, CLONE_NEWNS);
	struct mnt_list main = { 0 }, l = { 0 };
	int all = top == ns ? 0 : list_of(s, top, &main, NULL);

	if (all == 0)
		all = list_of(s, ns, &l, top == ns ? NULL : &main);
	for (size_t i = 0; i < l.n; i++) {
		int r = check(s, &l, top == ns ? NULL : &main, l.v[i]);

		all = all < 0 ? all : r;
	}
	mnt_free(&l);
	mnt_free(&main);
	return all;
}

/* ---- dump ---- */

/* All lists first: the way into a mount namespace is one of no return. */
static int mnt_dump(struct session *s, const struct ns *ns)
{
	struct {
		struct mnt_list *v;
		size_t n, max;
	} all = { 0 };
	struct {
		const struct ns **v;
		size_t n, max;
	} where = { 0 };
	const struct ns *o = ns;
	int r = 0;

	for (size_t n = 0; r == 0 && o; o = ns_nested(s, CLONE_NEWNS, n++)) {
		*vec_add(&where) = o;
		*vec_add(&all) = (struct mnt_list){ 0 };
		r = list_of(s, o, &all.v[all.n - 1], all.n > 1 ? all.v : NULL);
		if (r == 0)
			r = mnt_write(s, o->id, &all.v[all.n - 1]);
	}
	if (r == 0)
		r = mnt_files(s, all.n, where.v, all.v);
	for (size_t n = 0; n < all.n; n++)
		mnt_free(&all.v[n]);
	free(all.v);
	free(where.v);
	return r;
}

/* ---- restore ---- */

static int mnt_prepare(struct session *s, const struct ns *ns)
{
	const struct ns *top = ns_of(s, CLONE_NEWNS);
	struct mnt_list *l = xalloc(sizeof(*l));
	int r;

	map_put(session_map(s, "mnt"), ns->id, l);
	r = mnt_read(s, ns->id, l);
	return r < 0 ? r : mnt_sources(s, l, ns == top ? NULL : map_get(session_map(s, "mnt"), top->id));
}

static int mnt_restore(struct session *s, const struct ns *ns)
{
	return mnt_build(s, map_get(session_map(s, "mnt"), ns->id));
}

const struct ns_kind ns_kind_mnt = {
	.name = "mnt",
	.flag = CLONE_NEWNS,
	.dump = mnt_dump,
	.restore = mnt_restore,
	.prepare = mnt_prepare,
	.preflight = mnt_preflight,
};
