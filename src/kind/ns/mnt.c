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
#include "kind/mnt-autofs.h"
#include "kind/mnt-binfmt.h"
#include "kind/mnt-build.h"
#include "kind/mnt-cgroup.h"
#include "kind/mnt-deleted.h"
#include "kind/mnt-detached.h"
#include "kind/mnt-files.h"
#include "kind/mnt-idmap.h"
#include "kind/mnt-overlay.h"
#include "kind/mnt-shown.h"
#include "kind/ns-held.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct mnt_lists {
	struct {
		struct mnt_list *v;
		size_t n, max;
	} lists;
	struct {
		const struct ns **v;
		size_t n, max;
	} where;
};

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

/*
 * A proc of a nested pid namespace shows that one's first task as its number 1. One that is hidden is taken for that
 * of the task whose mounts these are: it shall not show more to whom uncovers it.
 */
static void proc_note(struct session *s, const struct ns *ns, int root, MntEntry *e)
{
	own_mem char *path = xprintf("%s/1/ns/pid", e->mountpoint + 1), *dir = xprintf("./%s", e->mountpoint + 1);
	const struct ns *pid = ns_of(s, CLONE_NEWPID), *own;
	struct statx sx;
	struct stat st;

	if (e->fstype != FSTYPE__PROC || strcmp(e->root, "/") || !ns_nested(s, CLONE_NEWPID, 0))
		return;
	if (statx(root, dir, AT_SYMLINK_NOFOLLOW, STATX_MNT_ID, &sx) < 0 || sx.stx_mnt_id != e->mnt_id ||
	    fstatat(root, path, &st, 0) < 0)
		own = ns_find(s, ns->task->ids->pid_ns_id);
	else
		own = ns_by_ino(s, st.st_ino);
	if (!own || own == pid || own->kind->flag != CLONE_NEWPID || !own->own)
		return;
	e->has_pid_ns_id = true;
	e->pid_ns_id = own->id;
}

/* "net:[4026531840]" of nsfs: a namespace of the tasks */
static const struct ns *shown_ns(struct session *s, const MntEntry *e)
{
	unsigned long long ino;
	const char *p = strchr(e->root, '[');
	const struct ns *ns = *e->root != '/' && p && sscanf(p, "[%llu]", &ino) == 1 ? ns_by_ino(s, ino) : NULL;

	if (!ns || !ns->own || (ns != ns_of(s, ns->kind->flag) && (!ns_held_may(ns->kind->flag) || ns->for_children)))
		return NULL;
	if ((ns->kind->flag == CLONE_NEWCGROUP && ns->owner) || (ns->kind->flag == CLONE_NEWPID && ns->task))
		return NULL; /* they are made later */
	return ns;
}

/* The mounts of the task, externals marked; the caller is in our mount namespace. */
static int list_of(struct session *s, const struct ns *ns, struct mnt_list *l, const struct mnt_list *main)
{
	own_mem char *text = NULL;
	own_fd int fd = session_openat(s, ns->task->proc, "mountinfo", O_RDONLY, 0);
	own_fd int root = session_openat(s, ns->task->proc, "root", O_PATH | O_DIRECTORY, 0);
	own_fd int its = session_openat(s, ns->task->proc, "ns/mnt", O_RDONLY, 0);
	int r = fd < 0 ? fd : text_read_fd(fd, &text, NULL), proc = ns_proc(s);

	if (r < 0)
		return session_fail(s, r, "task %d: read its mounts", ns->task->vpid);
	if (proc < 0)
		return proc;
	r = mnt_parse(s, text, l);
	if (r == 0)
		r = mnt_cgroup_roots(s, ns, l);
	if (r == 0)
		mnt_keep(s, l, kept);
	if (r == 0 && !ids_mapped(s) && its >= 0)
		mnt_idmap_note(its, l);
	for (size_t i = 0; r == 0 && i < l->n; i++) {
		MntEntry *e = l->v[i]->e;
		const struct ns *shown = shown_ns(s, e);
		const char *key = main || l->v[i] == l->root ? NULL : external_find(s, "mnt", e->mountpoint);

		if (shown) {
			e->has_shown_ns_id = true;
			e->shown_ns_id = shown->id;
			free(e->root);
			e->root = xstrdup("/");
		}
		if (root >= 0)
			proc_note(s, ns, root, e);
		if (key && !e->ext_key)
			e->ext_key = xstrdup(*key ? key : e->mountpoint);
		if (!key && (main || l->v[i] != l->root) && ids_mapped(s) &&
		    (e->fstype == FSTYPE__TMPFS || e->fstype == FSTYPE__DEVPTS))
			r = options_inside(s, e);
	}
	if (root >= 0)
		mnt_deleted_note(s, root, l);
	if (root >= 0 && its >= 0)
		mnt_overlay_note(root, its, l, main);
	return r < 0 || !mnt_auto_asked(s) ? r : mnt_auto(s, proc, l, main);
}

/* Is its superblock mounted on the host, so that a new one would be another? */
static bool is_hosts(struct session *s, const struct mnt *m)
{
	struct mnt_list ours = { 0 };
	own_mem char *text = NULL;
	int proc = ns_proc(s);
	own_fd int fd = proc < 0 ? -1 : session_openat(s, proc, "self/mountinfo", O_RDONLY, 0);
	bool is = false;

	if (fd < 0 || text_read_fd(fd, &text, NULL) < 0 || mnt_parse_flat(s, text, &ours) < 0)
		is = true;
	for (size_t i = 0; !is && i < ours.n; i++)
		is = ours.v[i]->e->root_dev == m->e->root_dev;
	mnt_free(&ours);
	return is;
}

/* Of a kind that can be made anew though its root is mounted nowhere, as mnt-build.c does it. */
static bool is_own_super(struct session *s, const struct mnt *m)
{
	uint32_t type = m->e->fstype;

	if (type == FSTYPE__PROC && ns_nested(s, CLONE_NEWPID, 0))
		return false; /* of which namespace? */
	return (mnt_has_contents(m->e) || type == FSTYPE__PROC || type == FSTYPE__SYSFS || type == FSTYPE__MQUEUE) &&
	       !is_hosts(s, m);
}

static bool shown_anywhere(const struct mnt_list *lists, size_t n, const struct mnt *m)
{
	for (size_t i = 0; i < n; i++)
		if (mnt_shown_inside(&lists[i], m))
			return true;
	return false;
}

/* A directory or file of the tasks, by their name; -errno */
static int open_theirs(struct session *s, const struct ns *ns, const char *path, int flags)
{
	own_fd int root = session_openat(s, ns->task->proc, "root", O_PATH | O_DIRECTORY, 0);
	struct open_how how = { .flags = flags | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	int fd = root < 0 ? root : (int)syscall(SYS_openat2, root, path, &how, sizeof(how));

	return fd < 0 && root >= 0 ? -errno : fd;
}

/* What is in it, besides what the kernel puts into each new one; NULL */
static char *any_file(struct session *s, const struct ns *ns, const MntEntry *e)
{
	int fd = open_theirs(s, ns, e->mountpoint, O_RDONLY | O_DIRECTORY);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	char *found = NULL;
	struct statx sx;

	if (!dir || statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &sx) < 0 || sx.stx_mnt_id != e->mnt_id) {
		found = xstrdup("files that another mount hides");
		if (!dir)
			fd_close(fd);
	}
	for (struct dirent *d; dir && !found && (d = readdir(dir));)
		if (d->d_name[0] != '.' && strcmp(d->d_name, "maps.debug") && strcmp(d->d_name, "progs.debug"))
			found = xstrdup(d->d_name);
	if (dir)
		closedir(dir);
	return found;
}

/* Made anew, those are empty. */
static int check_empty(struct session *s, const struct ns *ns, const MntEntry *e)
{
	const char *type = e->fstype == FSTYPE__AUTO ? e->fsname : "";
	own_mem char *found = NULL;

	if (strcmp(type, "hugetlbfs") && strcmp(type, "bpf"))
		return 0;
	found = any_file(s, ns, e);
	return !found ? 0
		      : session_fail(s, -ENOTSUP,
				     "mount %s: this %s holds %s, which cannot be checkpointed; remove it, or declare the mount with --external 'mnt[%s]:KEY'",
				     e->mountpoint, type, found, e->mountpoint);
}

static int check_by_root(struct session *s, const struct ns *ns, const struct mnt *m,
			 int (*fn)(struct session *s, int root, const struct mnt *m))
{
	own_fd int root = session_openat(s, ns->task->proc, "root", O_PATH | O_DIRECTORY, 0);

	return root < 0 ? root : fn(s, root, m);
}

static int check_overlay(struct session *s, const struct mnt_lists *all, size_t at, const struct mnt *m)
{
	own_fd int root = session_openat(s, all->where.v[at]->task->proc, "root", O_PATH | O_DIRECTORY, 0);

	return root < 0 ? root : mnt_overlay_check(s, root, &all->lists.v[at], m);
}

static bool is_made_anew(struct session *s, const struct ns *ns, const struct mnt *m)
{
	return mnt_fsname(m->e) && !strcmp(m->e->root, "/") && !(binfmt_is_own(s, m->e, ns->owner) && is_hosts(s, m));
}

static int check(struct session *s, const struct mnt_lists *all, size_t at, const struct mnt *m)
{
	const struct mnt_list *l = &all->lists.v[at], *main = at ? all->lists.v : NULL;
	const MntEntry *e = m->e;
	int r = 0;

	if ((m == l->root && !main) || e->ext_key) {
		if (m->idmapped && m != l->root && !e->uid_map)
			session_warn(s, "mount %s: is idmapped; its source at the restore has to be so too", e->mountpoint);
		return 0;
	}
	if (m->idmapped && (!e->uid_map || mnt_has_contents(e)))
		r = session_fail(s, -ENOTSUP,
				 "mount %s: is idmapped, %s; give it from outside, from an idmapped mount: --external 'mnt[%s]:KEY'",
				 e->mountpoint, e->uid_map ? "and its files are the container's own, which cannot be checkpointed yet"
							 : "and how is not to be found out here (in a user namespace, or before Linux 6.15)",
				 e->mountpoint);
	else if (m->was && (r = check_by_root(s, all->where.v[at], m, mnt_deleted_check)) < 0)
		;
	else if (*e->root != '/' && !m->was && strstr(e->root, ":["))
		r = session_fail(s, -ENOTSUP, "mount %s: shows %s, a namespace that cannot be made for a mount; unmount it, or leave it out with --skip-mnt %s",
				 e->mountpoint, e->root, e->mountpoint);
	else if (e->has_shown_ns_id || (main && mnt_shown_by(main, m)))
		return 0;
	else if (!is_made_anew(s, all->where.v[at], m) && !shown_anywhere(all->lists.v, all->lists.n, m) &&
		 !is_own_super(s, m))
		r = session_fail(s, -ENOTSUP,
				 "mount %s: shows %s of %s, which is not in the container; declare it with --external 'mnt[%s]:KEY', or leave it out with --skip-mnt %s%s",
				 e->mountpoint, m->was ? m->was : e->root, e->source, e->mountpoint, e->mountpoint,
				 !strcmp(e->root, "/") && text_starts(e->source, "/dev/")
					 ? ", or have it mounted anew from that device with --enable-fs TYPE"
					 : "");
	else if (!strcmp(e->root, "/") && e->fstype == FSTYPE__OVERLAYFS)
		r = check_overlay(s, all, at, m);
	else if (e->fstype == FSTYPE__AUTOFS)
		r = check_by_root(s, all->where.v[at], m, autofs_check);
	else if (binfmt_is_own(s, e, all->where.v[at]->owner))
		r = check_by_root(s, all->where.v[at], m, binfmt_check);
	else if (!strcmp(e->root, "/"))
		r = check_empty(s, all->where.v[at], e);
	if (r < 0)
		session_warn(s, "obstacle: mount %s of %s", e->mountpoint, e->source);
	return r;
}

/* The lists of all namespaces, the root task's first; where[]: which they are. */
static int lists_of(struct session *s, struct mnt_lists *all)
{
	const struct ns *o = ns_of(s, CLONE_NEWNS);
	int r = 0, one;

	mnt_deleted_begin(s);
	for (size_t n = 0; o; o = ns_nested(s, CLONE_NEWNS, n++)) {
		*vec_add(&all->where) = o;
		*vec_add(&all->lists) = (struct mnt_list){ 0 };
		one = list_of(s, o, &all->lists.v[n], n ? all->lists.v : NULL);
		r = r < 0 ? r : one;
	}
	return r;
}

static void lists_free(struct mnt_lists *all)
{
	for (size_t i = 0; i < all->lists.n; i++)
		mnt_free(&all->lists.v[i]);
	free(all->lists.v);
	free(all->where.v);
}

/* All at once, with the root task's. */
static int mnt_preflight(struct session *s, const struct ns *ns)
{
	struct mnt_lists all = { 0 };
	int r;

	if (ns != ns_of(s, CLONE_NEWNS) && ns_is_own(s, CLONE_NEWNS))
		return 0;
	r = lists_of(s, &all);
	for (size_t n = 0; n < all.lists.n; n++)
		for (size_t i = 0; all.lists.v[n].root && i < all.lists.v[n].n; i++) {
			int one = check(s, &all, n, all.lists.v[n].v[i]);

			r = r < 0 ? r : one;
		}
	lists_free(&all);
	return r;
}

/* ---- dump ---- */

/* All lists first: the way into a mount namespace is one of no return. */
static int mnt_dump(struct session *s, const struct ns *ns)
{
	struct mnt_lists all = { 0 };
	int r = lists_of(s, &all);

	for (size_t n = 0; r == 0 && n < all.lists.n; n++) {
		own_fd int root = session_openat(s, all.where.v[n]->task->proc, "root", O_PATH | O_DIRECTORY, 0);

		r = root < 0 ? root : mnt_deleted_dump(s, root, &all.lists.v[n]);
		if (r == 0)
			r = autofs_dump(s, root, &all.lists.v[n]);
		if (r == 0)
			r = binfmt_dump(s, all.where.v[n], root, &all.lists.v[n], n == 0);
	}
	for (size_t n = 0; r == 0 && n < all.lists.n; n++)
		r = mnt_write(s, all.where.v[n]->id, &all.lists.v[n]);
	if (r == 0)
		r = mnt_files(s, all.lists.n, all.where.v, all.lists.v);
	lists_free(&all);
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
	if (r == 0)
		r = mnt_idmap_prepare(s, l);
	if (r == 0)
		r = autofs_prepare(s, l);
	mnt_shown_mark(s, l);
	return r < 0 ? r : mnt_sources(s, l, ns == top ? NULL : map_get(session_map(s, "mnt"), top->id));
}

static int mnt_restore(struct session *s, const struct ns *ns)
{
	return mnt_build(s, map_get(session_map(s, "mnt"), ns->id));
}

static void mnt_end(struct session *s)
{
	autofs_end(s);
	detached_end(s);
}

const struct ns_kind ns_kind_mnt = {
	.name = "mnt",
	.flag = CLONE_NEWNS,
	.dump = mnt_dump,
	.restore = mnt_restore,
	.prepare = mnt_prepare,
	.preflight = mnt_preflight,
	.end = mnt_end,
};
