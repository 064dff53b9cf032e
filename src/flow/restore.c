// SPDX-License-Identifier: Apache-2.0
/*
 * restore: the story of a restore, in order. Until warden_release() every task that was made dies with
 * this process; what is made outside the tasks stands on the session's undo stack.
 */
#include "flow/flow.h"

#include "base/res.h"
#include "kind/cgroup.h"
#include "kind/cpuinfo.h"
#include "kind/fd.h"
#include "kind/filelock.h"
#include "kind/ghost.h"
#include "kind/ids.h"
#include "kind/inet-hold.h"
#include "kind/inet-tcp.h"
#include "kind/lsm.h"
#include "kind/mem.h"
#include "kind/mnt-autofs.h"
#include "kind/net-lock.h"
#include "kind/ns.h"
#include "kind/pstree.h"
#include "kind/sysv.h"
#include "kind/task.h"
#include "kind/tty.h"
#include "task/inject.h"
#include "task/sock-lock.h"
#include "task/spawn.h"
#include "task/warden.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* 1: everything is read and checked before anything is made */
static int flow_read(struct session *s, InventoryEntry **inventory)
{
	int r = inventory_read(s, inventory);

	if (r == 0 && s->opts->has_cpu_cap && s->opts->cpu_cap)
		r = cpuinfo_check(s, s->opts->cpu_cap);
	if (r == 0)
		r = pstree_read(s, s->tree);
	if (r == 0)
		r = task_read_cores(s, s->tree);
	if (r == 0)
		r = fd_read(s, s->tree);
	if (r == 0)
		r = filelock_read(s);
	if (r == 0)
		r = mem_read(s, s->tree);
	if (r == 0)
		r = ns_plan(s, s->tree, (*inventory)->root_ids);
	if (r == 0)
		r = cgroup_read(s, s->tree, (*inventory)->has_root_cg_set ? (*inventory)->root_cg_set : 1);
	return r;
}

#define CPUS_MAX 8192 /* bits */
#define IOPRIO_PROCESS 1
#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#endif

/*
 * Nothing of the supervisor's stays in the root task, so that none has it by inheritance: its descriptors, and what
 * taskset(1), numactl(8), ionice(1) or a service manager gave it. Images name what differs from a new task's only.
 */
static int root_bare(struct session *s, struct task *root)
{
	unsigned char all[CPUS_MAX / 8];
	struct batch b;

	memset(all, 0xff, sizeof(all));
	batch_start(s, &b, task_leader(root));
	call3(&b, "descriptors: clear", SYS_close_range, 0, ~0U, 0);
	call3(&b, NULL, SYS_sched_setaffinity, 0, sizeof(all), batch_mem(&b, all, sizeof(all), NULL));
	call3(&b, NULL, SYS_set_mempolicy, 0 /* MPOL_DEFAULT */, 0, 0);
	if (syscall(SYS_ioprio_get, IOPRIO_PROCESS, 0) > 0)
		call3(&b, NULL, SYS_ioprio_set, IOPRIO_PROCESS, 0, 0);
	call5(&b, NULL, SYS_prctl, PR_SET_MEMORY_MERGE, 0, 0, 0, 0);
	call5(&b, NULL, SYS_prctl, PR_SET_IO_FLUSHER, 0, 0, 0, 0);
	call5(&b, NULL, SYS_prctl, PR_MCE_KILL, PR_MCE_KILL_CLEAR, 0, 0, 0);
	return batch_run(&b);
}

/* 2: the root task, in its agent */
static int flow_root(struct session *s, struct area **area)
{
	struct tree *tree = s->tree;
	uint64_t at, flags = 0;
	int r = mem_hole(s, tree, area_size(spawn_slots(tree)), &at);

	if (r == 0)
		r = area_new(s, at, spawn_slots(tree), area);
	if (r == 0)
		area_own(*area);
	if (r < 0)
		return r;
	spawn_plan(tree, *area);
	if (s->opts->rst_sibling)
		flags |= CLONE_PARENT;
	r = ns_spawn_root(s, tree, flags);
	return r < 0 ? r : root_bare(s, tree->root);
}

static int flow_namespaces(struct session *s)
{
	struct task *root = s->tree->root;
	int r = cgroup_enter(s, root);

	if (r == 0)
		r = ns_make(s, root);
	if (r == 0)
		r = net_lock_restore(s);
	if (r == 0 && ns_any(s))
		r = session_notify(s, "setup-namespaces", root->pid, -1);
	if (r == 0)
		r = ns_fill(s, root);
	if (r == 0 && ns_any(s))
		r = session_notify(s, "post-setup-namespaces", 0, -1);
	return r;
}

/* When a child is born, by its session. */
enum birth { BIRTH_BEFORE, BIRTH_AFTER, BIRTH_FOREIGN };

static enum birth flow_birth(const struct task *c)
{
	const struct task *k = c->parent;

	if (c->sid == c->vpid || c->sid == k->sid)
		return BIRTH_AFTER;
	/* its parent led its own session only later */
	if (k->sid == k->vpid && c->sid == (k->parent ? k->parent->sid : 0))
		return BIRTH_BEFORE;
	return BIRTH_FOREIGN;
}

static int flow_task(struct session *s, struct task *k);

/* outer: only those that its user namespace would bar it from bearing */
static int flow_children(struct session *s, struct task *k, enum birth when, bool outer)
{
	int r = 0;

	for (struct task *c = k->first_child; r == 0 && c; c = c->next)
		if (!c->helper && c->pidfd < 0 && flow_birth(c) == when && (!outer || ns_is_outer(s, c)))
			r = flow_task(s, c);
	return r;
}

static bool flow_outer_later(struct session *s, const struct task *k)
{
	for (const struct task *c = k->first_child; c; c = c->next)
		if (!c->helper && flow_birth(c) != BIRTH_BEFORE && ns_is_outer(s, c))
			return true;
	return false;
}

/*
 * 3: a task's memory, then its children, who inherit it; the session is led and the user namespace entered at the
 * right moment
 */
static int flow_task(struct session *s, struct task *k)
{
	int r = k->parent ? spawn_task(s, s->tree, k) : 0;

	if (r == 0 && k->parent && k->state != TASK_DEAD)
		r = ns_enter_task(s, k, flow_birth(k) == BIRTH_FOREIGN);
	if (r < 0 || k->state == TASK_DEAD)
		return r < 0 || k->sid != k->vpid ? r : spawn_session(s, k);
	r = mem_build(s, k);
	if (r == 0)
		r = flow_children(s, k, BIRTH_BEFORE, true);
	if (r == 0 && !flow_outer_later(s, k))
		r = ns_enter_user(s, k);
	if (r == 0)
		r = flow_children(s, k, BIRTH_BEFORE, false);
	if (r == 0)
		r = spawn_session(s, k);
	if (r == 0)
		r = flow_children(s, k, BIRTH_AFTER, true);
	if (r == 0)
		r = flow_children(s, k, BIRTH_FOREIGN, true);
	if (r == 0)
		r = ns_enter_user(s, k);
	if (r == 0)
		r = flow_children(s, k, BIRTH_AFTER, false);
	return r < 0 ? r : flow_children(s, k, BIRTH_FOREIGN, false);
}

static int each_live(struct session *s, int (*fn)(struct session *s, struct task *k))
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < s->tree->n; i++)
		if (s->tree->all[i]->state != TASK_DEAD && !s->tree->all[i]->helper)
			r = fn(s, s->tree->all[i]);
	return r;
}

/* Its memory first: to say which program it runs is for who may restore. */
static int flow_label(struct session *s, struct task *k)
{
	int r = ids_assume(s);

	if (r == 0)
		r = mem_finish(s, k);
	ids_resign(s);
	return r < 0 ? r : lsm_threads(s, k);
}

static int flow_threads(struct session *s, struct task *k)
{
	int r = lsm_before_threads(s, k) ? flow_label(s, k) : 0;

	if (r == 0)
		r = spawn_threads(s, k);
	if (r == 0)
		r = spawn_threads_apart(s, k, ns_enter_mnt);
	if (r == 0)
		r = spawn_check_threads(s, k);
	return r < 0 ? r : ns_enter_threads(s, k);
}

static int flow_tree(struct session *s)
{
	uint64_t t0 = now_ns();
	int r = ids_assume(s);

	if (r == 0)
		r = flow_task(s, s->tree->root);
	ids_resign(s);
	if (r == 0)
		r = spawn_groups(s, s->tree);
	if (r == 0)
		r = each_live(s, flow_threads);
	if (r == 0)
		r = ns_fill_end(s);
	if (r == 0)
		r = spawn_zombies(s, s->tree);
	if (r == 0)
		r = each_live(s, spawn_birthplace);
	if (r == 0)
		r = cgroup_place(s, s->tree);
	s->stats.forking = (now_ns() - t0) / 1000;
	return r;
}

/* 4: what the tasks have open, where they are, what they are */
static int flow_objects(struct session *s)
{
	int r = task_restore_stage(s, s->tree, STAGE_EARLY);

	if (r == 0)
		r = ids_assume(s);
	if (r == 0)
		r = each_live(s, mem_finish);
	if (r == 0)
		r = sysv_finish(s);
	if (r == 0)
		r = fd_restore_make(s);
	if (r == 0)
		r = fd_restore_tables(s, s->tree);
	if (r == 0)
		r = autofs_connect(s, s->tree);
	if (r == 0)
		r = fd_restore_link(s);
	if (r == 0)
		r = each_live(s, pstree_restore_fs);
	ghost_proc_end(s);
	if (r == 0)
		r = filelock_restore(s);
	ids_resign(s);
	return r;
}

/* Rows of the warden's table for every thread, the root's first. */
static int flow_seize(struct session *s, struct area *area)
{
	int r;

	for (size_t i = 0; i < s->tree->n; i++) {
		struct task *k = s->tree->all[i];

		for (unsigned t = 0; k->state != TASK_DEAD && !k->helper && t < k->n_threads; t++) {
			struct tracee *tr = warden_tracee(s, k->threads[t].tid, k->pid);

			if (!tr)
				return session_fail(s, -E2BIG, "too many threads");
			k->threads[t].tr = tr;
			tr->entry = area_entry(area);
			tr->slot = area_slot(area, k->threads[t].slot);
			if (t == 0 && !k->mm_of) {
				tr->area = area->remote;
				tr->area_len = area->len;
			}
		}
	}
	r = warden_seize(s);
	if (r == 0)
		area_keep(area);
	return r;
}

static void flow_tell(struct session *s, const char *step)
{
	if (s->notify.call)
		s->notify.call(s->notify.arg, step, 0, -1); /* too late for a failure to matter */
}

static int flow_attributes(struct session *s, struct area *area)
{
	int r = task_restore_stage(s, s->tree, STAGE_ATTR);

	if (r == 0)
		r = flow_seize(s, area);
	if (r == 0)
		r = task_restore_stage(s, s->tree, STAGE_PENDING);
	if (r == 0)
		r = task_restore_stage(s, s->tree, STAGE_SECCOMP);
	if (r == 0)
		r = tty_keep(s);
	if (r == 0)
		r = cgroup_attach(s);
	if (r == 0)
		r = session_notify(s, "post-restore", s->tree->root->pid, -1);
	return r;
}

/* 5: the point of no return */
static int flow_release(struct session *s)
{
	int r = task_restore_stage(s, s->tree, STAGE_CREDS);

	if (r == 0)
		r = task_restore_stage(s, s->tree, STAGE_REGS);
	if (r == 0) {
		net_unlock(s, true);
		flow_tell(s, "pre-resume");
	}
	if (r == 0)
		r = task_restore_stage(s, s->tree, STAGE_TIMERS);
	if (r == 0)
		r = task_restore_stage(s, s->tree, STAGE_SLEEP);
	if (r == 0)
		r = warden_ready(s);
	if (r == 0) /* as late as can be: what a peer hears from now on, a restore that is killed would take back */
		r = inet_tcp_unlock(s);
	if (r == 0)
		r = warden_release(s, s->opts->leave_stopped ? TRACE_STOP : TRACE_RUN);
	if (r == 0)
		cgroup_freeze(s);
	return r;
}

static int flow_restore_all(struct session *s, struct area **area)
{
	InventoryEntry *inventory = NULL;
	int r = flow_read(s, &inventory);

	if (inventory)
		inventory_entry__free_unpacked(inventory, NULL);
	if (r == 0)
		r = session_notify(s, "pre-restore", 0, -1);
	if (r == 0)
		r = warden_start(s, true);
	if (r == 0)
		r = flow_root(s, area);
	if (r == 0)
		r = flow_namespaces(s);
	if (r == 0)
		r = flow_tree(s);
	if (r == 0)
		r = flow_objects(s);
	if (r == 0)
		r = flow_attributes(s, *area);
	return r < 0 ? r : flow_release(s);
}

int flow_restore(struct session *s, pid_t *ret_root)
{
	struct tree tree = { 0 };
	struct area *area = NULL;
	uint64_t t0 = now_ns();
	int r;

	s->tree = &tree;
	r = flow_restore_all(s, &area);
	if (r < 0 && !(s->warden && warden_table(s)->let_go)) {
		if (s->warden && warden_table(s)->repairing)
			sock_hold_all(warden_table(s));
		spawn_kill(&tree);
		warden_end(s);
		spawn_reap(&tree);
		inet_resend(s, false);
		session_undo_all(s);
	} else {
		session_undo_drop(s);
		inet_hold_release(s);
		*ret_root = tree.root->pid;
		flow_tell(s, "post-resume");
	}
	s->stats.restore = (now_ns() - t0) / 1000;
	net_unlock(s, false);
	inet_hold_end(s);
	fd_restore_end(s);
	mem_end(s, &tree);
	ns_end(s);
	area_free(area);
	s->tree = NULL;
	tree_free(&tree);
	return r;
}

void flow_restore_end(struct session *s, bool wanted)
{
	if (s->warden && !wanted)
		warden_disown(s);
	warden_end(s); /* until now our death would end the tasks */
	inet_resend(s, wanted);
}
