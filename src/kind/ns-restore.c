// SPDX-License-Identifier: Apache-2.0
/*
 * Namespaces at restore. The root task is born in its pid namespace, in its agent, and makes or joins
 * the others itself; then one guest enters them all and fills them. Children inherit them.
 *
 * Kernel: a cgroup namespace shows the cgroup of who makes it as "/", so the task must have been moved
 * before. Offsets of a time namespace can be set until somebody enters.
 */
#include "kind/ns-set.h"

#include "base/res.h"
#include "image/record.h"
#include "images/netdev.pb-c.h"
#include "images/pidns.pb-c.h"
#include "images/timens.pb-c.h"
#include "kind/creds.h"
#include "kind/ids.h"
#include "kind/mnt-autofs.h"
#include "kind/mnt-build.h"
#include "kind/mnt-detached.h"
#include "kind/mnt-list.h"
#include "kind/mqueue.h"
#include "kind/ns-held.h"
#include "kind/ns-join.h"
#include "kind/ns-user.h"
#include "kind/tty.h"
#include "task/spawn.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>

#define NESTED_MAX 4096

enum { ROW_PID, ROW_NET, ROW_IPC, ROW_UTS, ROW_TIME, ROW_MNT, ROW_USER, ROW_CGROUP };

/* order of filling and entering; a user namespace is made first of all, with the root task */
static const unsigned order[] = { ROW_CGROUP, ROW_UTS, ROW_IPC, ROW_NET, ROW_TIME, ROW_MNT };

/* ---- plan ---- */

/* The label of a namespace that the caller of the dump named external. */
static int read_label(struct session *s, struct ns *ns)
{
	bool pid = ns->kind->flag == CLONE_NEWPID;
	ProtobufCMessage *m = NULL;
	own_image struct image img = { .fd = -1 };
	const char *key = NULL;
	int r;

	if (!pid && ns->kind->flag != CLONE_NEWNET)
		return 0;
	r = pid ? image_open(s, &img, MAGIC_PIDNS, "pidns-%u.img", ns->id)
		: image_open(s, &img, MAGIC_NETNS, "netns-%u.img", ns->id);
	if (r != 0)
		return r < 0 ? r : 0;
	r = image_read(&img, pid ? &pidns_entry__descriptor : &netns_entry__descriptor, &m);
	if (r <= 0)
		return r;
	key = pid ? ((PidnsEntry *)m)->ext_key : ((NetnsEntry *)m)->ext_key;
	if (key)
		ns->external = ns->label = xstrdup(key);
	protobuf_c_message_free_unpacked(m, NULL);
	if (!ns->external)
		return 0;
	r = inherit_find(s, ns->external);
	if (r < 0)
		return session_fail(s, -EINVAL,
				    "%s namespace %u: is external; pass it with --inherit-fd fd[N]:%s",
				    ns->kind->name, ns->id, ns->external);
	ns->fd = fd_high(fcntl(r, F_DUPFD_CLOEXEC, 3));
	return ns->fd < 0 ? session_fail(s, -errno, "%s namespace %s: take descriptor %d",
					 ns->kind->name, ns->external, r)
			  : 0;
}

/* The clocks of tasks that had no time namespace go on in one. */
static int plan_clocks(struct session *s, struct ns *ns)
{
	own_image struct image img = { .fd = -1 };
	int r;

	if (!ns || ns->external)
		return 0;
	if (access("/proc/self/ns/time_for_children", F_OK) < 0) {
		session_warn(s, "time: this kernel has no time namespaces; monotonic clocks will jump");
		return ns->own ? session_fail(s, -ENOTSUP,
					      "time namespace %u: this kernel has no time namespaces", ns->id)
			       : 0;
	}
	if (ns->own)
		return 0;
	if (!ids_capable(CAP_SYS_ADMIN)) {
		session_warn(s, "time: a time namespace takes CAP_SYS_ADMIN; monotonic clocks will jump");
		return 0;
	}
	r = image_open(s, &img, MAGIC_TIMENS, "timens-0.img");
	if (r < 0)
		return r;
	if (r == 1 || !image_left(&img)) {
		session_warn(s, "time: no timens-0.img; monotonic clocks will jump");
		return 0;
	}
	ns->own = true;
	ns->id = 0;
	return 0;
}

static bool ns_nested_id(struct session *s, uint32_t id)
{
	const struct ns *ns = ns_find(s, id);

	return ns && ns->own;
}

/* A time namespace is only made for the children of who makes it: that task does it again. */
static int plan_time_children(struct session *s, struct ns_set *set, const struct tree *tree)
{
	for (size_t i = 0; i < tree->n; i++) {
		struct task *k = tree->all[i];
		uint32_t id = k->ids && k->ids->has_time_for_children_ns_id ? k->ids->time_for_children_ns_id : 0;
		struct ns *ns = id ? ns_find(s, id) : NULL;

		if (!id)
			continue;
		if (id > NS_TAG_ID || (ns && (ns->for_children || ns->kind->flag != CLONE_NEWTIME || ns == set->root[ROW_TIME])))
			return session_fail(s, -EBADMSG, "ids-%d.img: children of the task cannot be in time namespace %u",
					    k->vpid, id);
		ns = ns ? ns : ns_add(set, &ns_rows[ROW_TIME], id);
		ns->own = ns->for_children = true;
		ns->task = k;
	}
	return 0;
}

/* Some are common to all threads of a process. */
static bool is_common(size_t row)
{
	return row == ROW_PID || row == ROW_TIME || row == ROW_USER;
}

/* Namespaces of another task, or thread, that the root task is not in. */
static int plan_nested(struct session *s, struct thread *t, const TaskKobjIdsEntry *ids, const TaskKobjIdsEntry *own)
{
	struct ns_set *set = ns_set(s);
	int r = 0;

	for (size_t i = 0; r == 0 && i < NS_KINDS; i++) {
		uint32_t id = ns_id_get(&ns_rows[i], ids);
		struct ns *ns;

		if (is_common(i) && t->task->ids && id != ns_id_get(&ns_rows[i], t->task->ids))
			return session_fail(s, -EBADMSG, "core-%d.img: the thread cannot be in another %s namespace than its process",
					    t->vtid, ns_rows[i].bare.name);
		if (!id || ns_find(s, id) || id == ns_id_get(&ns_rows[i], own) || !set->root[i]->id ||
		    (i == ROW_MNT && !set->root[i]->own))
			continue;
		if (set->all.n >= NESTED_MAX || id > NS_TAG_ID)
			return session_fail(s, -EBADMSG, "ids-%d.img: more than %d namespaces, or a number out of range",
					    t->vtid, NESTED_MAX);
		ns = ns_add(set, &ns_rows[i], id);
		ns->own = true;
		ns->task = t->task;
		ns->ids = ids;
		r = read_label(s, ns);
	}
	return r;
}

/* Of a thread that is not where the root task is. */
static int plan_may_differ(struct session *s, struct thread *t, const TaskKobjIdsEntry *ids, const TaskKobjIdsEntry *own)
{
	for (size_t i = 0; i < NS_KINDS; i++) {
		uint32_t id = ns_id_get(&ns_rows[i], ids);

		if (id != ns_id_get(&ns_rows[i], s->tree->root->ids) && !ns_nested_id(s, id))
			return session_fail(s, -ENOTSUP,
					    "task %d: is in another %s namespace than the root task; this cannot be restored yet",
					    t->vtid, ns_rows[i].bare.name);
	}
	return 0;
}

typedef int ids_fn(struct session *s, struct thread *t, const TaskKobjIdsEntry *ids, const TaskKobjIdsEntry *own);

/* All but the root task's own, which the others are compared with. */
static int plan_each(struct session *s, struct tree *tree, const TaskKobjIdsEntry *own, ids_fn *fn)
{
	int r = 0;

	for (size_t k = 0; r == 0 && k < tree->n; k++)
		for (unsigned n = 0; r == 0 && n < tree->all[k]->n_threads; n++) {
			struct thread *t = &tree->all[k]->threads[n];
			const TaskKobjIdsEntry *ids = n ? t->core->ids : k ? tree->all[k]->ids : NULL;

			r = ids ? fn(s, t, ids, own) : 0;
		}
	return r;
}

static int plan_check(struct session *s, struct ns_set *set, struct tree *tree, const TaskKobjIdsEntry *own)
{
	const struct ns *pid = set->root[ROW_PID];

	for (size_t i = 0; i < NS_KINDS; i++) {
		const struct ns *ns = set->root[i];

		if (ns->own && !ns->external && ns->kind == &ns_rows[i].bare)
			return session_fail(s, -ENOTSUP, "%s namespace %u: cannot be restored yet",
					    ns->kind->name, ns->id);
	}
	if (pid->own && !pid->external && tree->root->vpid != 1)
		return session_fail(s, -EBADMSG, "pstree.img: task %d is the first of its own pid namespace, but not pid 1",
				    tree->root->vpid);
	return plan_each(s, tree, own, plan_may_differ);
}

static int plan_roots(struct session *s, struct ns_set *set, const struct task *root,
		      const TaskKobjIdsEntry *own)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < NS_KINDS; i++) {
		uint32_t id = ns_id_get(&ns_rows[i], root->ids);
		struct ns *ns = ns_add(set, &ns_rows[i], id);

		ns->own = id && id != ns_id_get(&ns_rows[i], own);
		ns->task = (struct task *)root;
		set->root[i] = ns;
		if (ns->own)
			r = read_label(s, ns);
	}
	return r;
}

int ns_plan(struct session *s, struct tree *tree, const TaskKobjIdsEntry *root_ids)
{
	struct ns_set *set = ns_set(s);
	int r;

	ns_set_clear(s);
	ids_use(s, NULL);
	if (!tree->root->ids)
		return session_fail(s, -EBADMSG, "ids-%d.img: is missing", tree->root->vpid);
	r = plan_roots(s, set, tree->root, root_ids);
	if (r == 0)
		r = plan_each(s, tree, root_ids, plan_nested);
	if (r == 0)
		r = plan_time_children(s, set, tree);
	if (r == 0)
		r = ns_held_plan(s, tree->root->ids);
	if (r == 0)
		r = ns_users_plan(s, tree);
	if (r == 0)
		r = ns_join_plan(s, set);
	if (r == 0)
		r = plan_clocks(s, set->root[ROW_TIME]);
	if (r == 0)
		r = plan_check(s, set, tree, root_ids);
	for (size_t i = 0; r == 0 && i < set->all.n; i++) {
		struct ns *ns = set->all.v[i];

		session_debug(s, "%s namespace %u: %s", ns->kind->name, ns->id,
			      !ns->own ? "ours" : ns->external ? ns->external : "new");
		if (ns->own && !ns->external && ns->kind->prepare)
			r = ns->kind->prepare(s, ns);
	}
	return r;
}

bool ns_any(struct session *s)
{
	const struct ns_set *set = ns_set(s);

	for (size_t i = 0; i < NS_KINDS; i++)
		if (set->root[i] && set->root[i]->own && set->root[i]->id)
			return true;
	return false;
}

/* ---- birth ---- */

/* Where groups cannot be set inside, the root task is born with them. The bare call: only this thread. */
static int spawn_with_groups(struct session *s, struct tree *tree, uint64_t flags)
{
	const CoreEntry *core = task_leader(tree->root)->core;
	const CredsEntry *e = core && core->thread_core ? core->thread_core->creds : NULL;
	gid_t ours[256], theirs[256];
	int n = getgroups(ARRAY_SIZE(ours), ours), r;

	if (!ids_groups_fixed(s) || !e)
		return ns_join_spawn(s, tree, flags);
	if (n < 0 || e->n_groups > ARRAY_SIZE(theirs))
		return session_fail(s, -E2BIG, "task %d: has too many groups", tree->root->vpid);
	for (size_t i = 0; i < e->n_groups; i++) {
		uint32_t root = 0, gid = e->groups[i];

		r = owner_out(s, &root, &gid, "core-%d.img: a group", tree->root->vpid);
		if (r < 0)
			return r;
		theirs[i] = gid;
	}
	if (syscall(SYS_setgroups, e->n_groups, theirs) < 0)
		return session_fail(s, -errno, "task %d: give it its groups", tree->root->vpid);
	r = ns_join_spawn(s, tree, flags);
	if (syscall(SYS_setgroups, n, ours) < 0 && r == 0)
		r = session_fail(s, -errno, "take our own groups back");
	return r;
}

/*
 * Is it entered by the supervisor for a moment, so that the root task is born in it? Children of a pid
 * namespace are born there; and others' namespaces are barred to it once it is in its user namespace.
 */
static bool is_birthplace(struct session *s, const struct ns *ns)
{
	uint64_t flags = CLONE_NEWPID;

	if (ns_is_own(s, CLONE_NEWUSER))
		flags |= CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;
	return ns && ns->own && ns->external && ns->kind->flag & flags;
}

/* Enter them; what leads back is put into home[], by row. */
static int birthplaces_enter(struct session *s, struct ns_set *set, int *home)
{
	for (size_t i = 0; i < NS_KINDS; i++) {
		const struct ns *ns = set->root[i];
		char path[40];

		if (!is_birthplace(s, ns))
			continue;
		snprintf(path, sizeof(path), "/proc/self/ns/%s", i == ROW_PID ? "pid_for_children" : ns->kind->name);
		home[i] = fd_high(open(path, O_RDONLY | O_CLOEXEC));
		if (home[i] < 0)
			return session_fail(s, -errno, "open our own %s namespace", ns->kind->name);
		if (setns(ns->fd, ns->kind->flag) < 0)
			return session_fail(s, -errno, "%s namespace %s: enter it", ns->kind->name, ns->external);
	}
	return 0;
}

int ns_spawn_root(struct session *s, struct tree *tree, uint64_t flags)
{
	int home[NS_KINDS] = { -1, -1, -1, -1, -1, -1, -1, -1 }, r;
	struct ns_set *set = ns_set(s);
	const struct ns *pid = set->root[ROW_PID];

	if (ns_is_own(s, CLONE_NEWUSER) && !set->root[ROW_USER]->external)
		flags |= CLONE_NEWUSER;
	if (pid && pid->own && !pid->external)
		flags |= CLONE_NEWPID;
	r = birthplaces_enter(s, set, home);
	if (r == 0)
		r = spawn_with_groups(s, tree, flags);
	for (size_t i = 0; i < NS_KINDS; i++) {
		if (home[i] >= 0 && setns(home[i], 0) < 0 && r == 0)
			r = session_fail(s, -errno, "return to our own %s namespace", set->root[i]->kind->name);
		fd_close(home[i]);
	}
	return r;
}

/* ---- making ---- */

static bool is_made(const struct ns *ns)
{
	return ns && ns->own && !ns->external && !(ns->kind->flag & (CLONE_NEWPID | CLONE_NEWUSER));
}

static int open_of_root(struct session *s, struct ns *ns, const struct task *root)
{
	char path[32];

	snprintf(path, sizeof(path), "ns/%s",
		 ns->kind->flag == CLONE_NEWTIME ? "time_for_children" : ns->kind->name);
	if (ns->fd < 0)
		ns->fd = fd_high(openat(root->proc, path, O_RDONLY | O_CLOEXEC));
	return ns->fd < 0 ? session_fail(s, -errno, "task %d: open its %s namespace", root->vpid,
					 ns->kind->name)
			  : 0;
}

static int make_all(struct session *s, struct ns_set *set, struct task *root)
{
	uint64_t flags = 0;
	struct batch b;
	int r = 0;

	for (size_t i = 0; i < NS_KINDS; i++)
		flags |= is_made(set->root[i]) ? set->root[i]->kind->flag : 0;
	if (!flags)
		return 0;
	batch_start(s, &b, task_leader(root));
	call1(&b, "namespaces: make", SYS_unshare, flags);
	r = batch_run(&b);
	for (size_t i = 0; r == 0 && i < NS_KINDS; i++) {
		struct ns *ns = set->root[i];

		if (!is_made(ns))
			continue;
		r = open_of_root(s, ns, root);
		if (r == 0 && ns->kind->made)
			r = ns->kind->made(s, ns, root);
	}
	return r;
}

/* The thread's agent enters them, in that order. */
static int enter_all(struct session *s, struct thread *t, const struct ns *const which[], size_t n)
{
	int fds[NS_KINDS] = { 0 }, nums[NS_KINDS], r;
	struct batch b;

	if (!n)
		return 0;
	for (size_t i = 0; i < n; i++)
		fds[i] = which[i]->fd;
	r = lend_fds(s, t, fds, n, nums);
	if (r < 0)
		return r;
	batch_start(s, &b, t);
	for (size_t i = 0; i < n; i++) {
		call2(&b, NULL, SYS_setns, nums[i], which[i]->kind->flag);
		call1(&b, NULL, SYS_close, nums[i]);
	}
	r = batch_run(&b);
	for (size_t i = 0; r == 0 && i < n; i++)
		if (batch_ret(&b, 2 * i) < 0)
			r = session_fail(s, batch_ret(&b, 2 * i), "task %d: enter its %s namespace",
					 t->vtid, which[i]->kind->name);
	return r;
}

/* Those of others, and the time namespace, which unshare() leaves to children. */
static int join_all(struct session *s, struct ns_set *set, struct task *root)
{
	const struct ns *which[NS_KINDS];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		const struct ns *ns = set->root[order[i]];

		if (!ns->own || is_birthplace(s, ns) || (is_made(ns) && ns->kind->flag != CLONE_NEWTIME))
			continue;
		which[n++] = ns;
	}
	return enter_all(s, task_leader(root), which, n);
}

/* Born with the task: it has to be its root before it makes others, which then belong to it. */
static int finish_user(struct session *s, struct ns_set *set, struct task *root)
{
	struct ns *user = set->root[ROW_USER];
	int r;

	if (!user->own)
		return 0;
	if (user->external)
		return ns_join_user(s, user, root);
	r = open_of_root(s, user, root);
	return r < 0 ? r : user->kind->made(s, user, root);
}

int ns_make(struct session *s, struct task *root)
{
	struct ns_set *set = ns_set(s);
	int r = finish_user(s, set, root);

	if (r == 0)
		r = make_all(s, set, root);
	return r < 0 ? r : join_all(s, set, root);
}

/* ---- filling ---- */

static int nested_make(struct session *s, struct ns *ns, const char *path)
{
	int r = ns_unshare(s, ns);

	if (r < 0)
		return r;
	ns->fd = fd_high(openat(ns_proc(s), path, O_RDONLY | O_CLOEXEC)); /* for the mounts that show it, too */
	return ns->fd < 0 ? session_fail(s, -errno, "%s namespace %u: open it", ns->kind->name, ns->id) : 0;
}

static int nested_fill(struct session *s, struct ns *ns)
{
	int r = setns(ns->fd, ns->kind->flag);

	if (r < 0)
		return session_fail(s, -errno, "%s namespace %u: enter it", ns->kind->name, ns->id);
	r = ns->kind->restore ? ns->kind->restore(s, ns) : 0;
	return r < 0 ? r : guest_give_fd(s, NS_TAG + (int)ns->id, ns->fd);
}

/* All are made, as devices may join any two; one after the other is filled; then back to the root task's. */
static int fill_nested(struct session *s, uint64_t flag, const char *name)
{
	own_mem char *path = xprintf("thread-self/ns/%s", name);
	own_fd int home = ns_nested(s, flag, 0) ? openat(ns_proc(s), path, O_RDONLY | O_CLOEXEC) : -1;
	struct ns *ns;
	int r = 0;

	if (home < 0)
		return ns_nested(s, flag, 0) ? session_fail(s, -errno, "%s namespace: open the root task's", name) : 0;
	for (size_t n = 0; r == 0 && (ns = ns_nested(s, flag, n)); n++)
		if (!ns->external && !ns->for_children)
			r = nested_make(s, ns, path);
	for (size_t n = 0; r == 0 && (ns = ns_nested(s, flag, n)); n++)
		if (!ns->external && !ns->for_children)
			r = nested_fill(s, ns);
	/* the host's is barred to who is in a user namespace, and of no use any more */
	if (setns(home, flag) < 0 && r == 0 && ns_is_own(s, flag))
		r = session_fail(s, -errno, "%s namespace: return to the root task's", name);
	return r;
}

static int fill_guest(struct session *s, void *arg)
{
	struct ns_set *set = arg;
	int r = ns_users_make(s);

	if (r == 0)
		r = ns_pids_make(s);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(order); i++) {
		const struct ns *ns = set->root[order[i]];

		if (!(ns->kind->flag & (CLONE_NEWNS | CLONE_NEWCGROUP)) && r == 0)
			r = fill_nested(s, ns->kind->flag, ns->kind->name);
		if (r == 0 && is_made(ns) && ns->kind->restore)
			r = ns->kind->restore(s, ns);
	}
	return r;
}

/* What the guest gave: message queues, masters of terminals (mnt-build.c), nested namespaces, their roots. */
static int fill_take(struct session *s, int tag, int fd)
{
	struct ns *ns = tag >= NS_TAG ? ns_find(s, (tag - NS_TAG) & NS_TAG_ID) : NULL;

	if (tag >= AUTOFS_TAG) {
		autofs_take(s, tag - AUTOFS_TAG, fd);
		return 0;
	}
	if (tag >= MQUEUE_TAG)
		return mqueue_take(s, tag - MQUEUE_TAG, fd);
	if (tag < NS_TAG) {
		tty_made(s, tag, fd);
		return 0;
	}
	if (!ns) {
		fd_close(fd);
		return session_fail(s, -EPROTO, "guest: gave descriptor %d", tag);
	}
	if ((tag - NS_TAG) & NS_TAG_DETACHED) {
		detached_take(s, ns->id, fd);
		return 0;
	}
	if ((tag - NS_TAG) & NS_TAG_ROOT)
		ns->root = fd;
	else
		ns->fd = fd;
	if (ns->kind->flag == CLONE_NEWUSER)
		ns_user_taken(s, ns);
	return 0;
}

/* Born in the tasks' pid namespace, so that a proc mounted there is of it. */
int ns_fill(struct session *s, struct task *root)
{
	struct ns_set *set = ns_set(s);
	struct guest_where w = { .pidns = -1 };
	struct ns *pid = set->root[ROW_PID];
	int fds[NS_KINDS], r = ns_proc(s), fd, index, taken = 0;
	bool needed = ns_nested(s, CLONE_NEWUSER, 0) || ns_nested(s, CLONE_NEWPID, 0);

	if (r >= 0)
		r = pid->own ? open_of_root(s, pid, root) : 0;
	w.pidns = pid->own ? pid->fd : -1;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(order); i++) {
		const struct ns *ns = set->root[order[i]];

		needed |= ns_nested(s, ns->kind->flag, 0) != NULL;
		if (!ns->own)
			continue;
		needed |= is_made(ns) && ns->kind->restore;
		fds[w.n++] = ns->fd;
	}
	if (r < 0 || !needed)
		return r;
	w.ns = fds;
	if (s->tree->pidns && w.pidns >= 0) { /* it may stay until the tasks are there */
		w.vpid = spawn_spare(s->tree, 32768);
		w.keeper = w.vpid ? spawn_spare(s->tree, w.vpid) : 0;
	}
	w.user = ns_is_own(s, CLONE_NEWUSER) ? set->root[ROW_USER]->fd : 0;
	r = ns_cgroups_make(s); /* mounts may show them */
	if (r == 0)
		r = guest_start(s, &set->guest, &w, fill_guest, set);
	while (r == 0 && !set->waits && (fd = guest_take_fd(s, &set->guest, &index)) >= 0) {
		set->waits = index == NS_TAG_WAITS;
		if (set->waits)
			fd_close(fd);
		else
			taken = fill_take(s, index, fd) < 0 ? -EPROTO : taken;
	}
	if (r == 0 && !set->waits)
		r = guest_wait(s, &set->guest);
	r = r == 0 ? taken : r;
	if (r == 0)
		r = ns_cgroups_make(s);
	for (size_t i = 0; r == 0 && i < set->all.n; i++) {
		const struct ns *ns = set->all.v[i];

		if (is_made(ns) && ns->kind->restore_home)
			r = ns->kind->restore_home(s, ns);
	}
	return r;
}

int ns_fill_end(struct session *s)
{
	struct ns_set *set = ns_set(s);
	int r;

	if (!set->waits)
		return 0;
	r = mnt_late(s, &set->guest);
	set->waits = false;
	return r < 0 ? r : guest_wait(s, &set->guest);
}

/* ---- the tasks' root directory ---- */

int ns_root_fd(struct session *s)
{
	struct ns_set *set = ns_set(s);
	const struct ns *mnt = ns_of(s, CLONE_NEWNS);
	const char *path = s->opts->root && *s->opts->root ? s->opts->root : "/";

	if (set->root_fd >= 0)
		return set->root_fd;
	if (mnt && mnt->own)
		set->root_fd = fd_high(openat(mnt->task->proc, "root", O_PATH | O_DIRECTORY | O_CLOEXEC));
	else
		set->root_fd = fd_high(open(path, O_PATH | O_DIRECTORY | O_CLOEXEC));
	return set->root_fd < 0 ? session_fail(s, -errno, "root directory %s: open it", path)
				: set->root_fd;
}

int ns_root_of(struct session *s, uint32_t mnt_id)
{
	const struct ns *ns = mnt_id ? ns_find(s, mnt_ns_of(s, mnt_id)) : NULL;

	return ns && ns->root >= 0 ? ns->root : ns_root_fd(s);
}

int ns_enter_root(struct session *s, uint32_t mnt_id)
{
	struct ns_set *set = ns_set(s);
	int root = ns_root_of(s, mnt_id);

	if (root < 0)
		return root;
	set->our_root = fd_high(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
	if (set->our_root < 0)
		return session_fail(s, -errno, "open /");
	if (fchdir(root) < 0 || chroot(".") < 0)
		return session_fail(s, -errno, "enter the root of the tasks");
	return 0;
}

int ns_leave_root(struct session *s)
{
	struct ns_set *set = ns_set(s);
	int r = 0;

	if (set->our_root < 0)
		return 0;
	if (fchdir(set->our_root) < 0 || chroot(".") < 0)
		r = session_fail(s, -errno, "return to our own root");
	fd_close(set->our_root);
	set->our_root = -1;
	return r;
}

/* ---- a task's own, a thread's own ---- */

/* Is it where it is to be, having been born where from says? NULL: nothing is known */
static bool is_there(const struct thread *t, unsigned row, uint32_t id, const TaskKobjIdsEntry *from)
{
	bool elsewhere = row == ROW_TIME && t == task_leader(t->task) && from && from->has_time_for_children_ns_id;

	return from && !elsewhere && id == ns_id_get(&ns_rows[row], from);
}

/* From where ids from say to where ids to say, in those kinds; all: also where it is already. */
static int enter_own(struct session *s, struct thread *t, const TaskKobjIdsEntry *to, const TaskKobjIdsEntry *from,
		     uint64_t kinds, bool all)
{
	const struct ns *which[NS_KINDS];
	size_t n = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && to && i < ARRAY_SIZE(order); i++) {
		const struct ns_row *row = &ns_rows[order[i]];
		uint32_t id = ns_id_get(row, to);
		bool as_root = id == ns_id_get(row, s->tree->root->ids);
		struct ns *ns = as_root ? ns_set(s)->root[order[i]] : ns_find(s, id);

		if (!(kinds & row->bare.flag) || !ns_nested(s, row->bare.flag, 0) || !ns ||
		    (!all && is_there(t, order[i], id, from)))
			continue;
		if (ns->fd < 0 && as_root)
			r = open_of_root(s, ns, s->tree->root);
		else if (ns->fd < 0)
			r = session_fail(s, -ENOTSUP, "task %d: its %s namespace %u is made by a task that is made later",
					 t->vtid, ns->kind->name, id);
		which[n++] = ns;
	}
	if (r == 0 && n && t->tid < 0)
		r = spawn_find_threads(s, t->task);
	return r < 0 ? r : enter_all(s, t, which, n);
}

int ns_enter_task(struct session *s, struct task *k, bool foreign)
{
	return enter_own(s, task_leader(k), k->ids, k->parent->ids, ~0ULL, foreign);
}

int ns_enter_mnt(struct session *s, struct thread *t, const struct thread *by)
{
	return enter_own(s, t, thread_ids(t), thread_ids(by), CLONE_NEWNS, false);
}

int ns_enter_threads(struct session *s, struct task *k)
{
	int r = 0;

	for (unsigned n = 1; r == 0 && n < k->n_threads; n++)
		r = enter_own(s, &k->threads[n], k->threads[n].core->ids, k->ids, ~(uint64_t)CLONE_NEWNS, false);
	return r;
}

static struct userns *user_of(struct session *s, const struct ns *ns)
{
	struct userns *u = ns && ns->owner ? s->tree->userns : NULL;

	while (u && u->id != ns->owner->id)
		u = u->next;
	return u;
}

static bool is_out_of(struct session *s, const struct task *k, const struct task *up)
{
	bool out = !userns_rules(up->user, k->user);

	for (size_t i = 0; !out && k->ids && up->ids && i < NS_KINDS; i++) {
		uint32_t id = ns_id_get(&ns_rows[i], k->ids);

		if (i != ROW_USER && i != ROW_PID && id && id != ns_id_get(&ns_rows[i], up->ids))
			out = !userns_rules(up->user, user_of(s, ns_find(s, id)));
	}
	for (const struct task *c = k->first_child; !out && c; c = c->next)
		out = !c->helper && c->state != TASK_DEAD && is_out_of(s, c, up);
	return out;
}

bool ns_is_outer(struct session *s, const struct task *k)
{
	return k->parent->user && k->state != TASK_DEAD && is_out_of(s, k, k->parent);
}

static int make_for_children(struct session *s, struct task *k)
{
	uint32_t id = k->ids && k->ids->has_time_for_children_ns_id ? k->ids->time_for_children_ns_id : 0;
	struct ns *ns = id ? ns_find(s, id) : NULL;
	struct batch b;
	int r;

	if (!ns || ns->fd >= 0)
		return 0;
	batch_start(s, &b, task_leader(k));
	call1(&b, "time namespace for children: make", SYS_unshare, CLONE_NEWTIME);
	r = batch_run(&b);
	if (r == 0)
		r = ns->kind->made(s, ns, k);
	return r < 0 ? r : open_of_root(s, ns, k);
}

int ns_enter_user(struct session *s, struct task *k)
{
	bool goes = k->in_user != k->user;
	int r = goes ? creds_before(s, k) : 0;

	if (r == 0)
		r = spawn_enter_user(s, k, k->user);
	if (r == 0 && goes)
		r = creds_inside(s, k);
	return r < 0 ? r : make_for_children(s, k);
}
