// SPDX-License-Identifier: Apache-2.0
/*
 * dump: the story of a checkpoint, in order. Until flow_finish() nothing in the tasks has changed; the
 * warden lets them go as they were found when anything here fails, or when this process dies.
 */
#include "flow/flow.h"

#include "base/res.h"
#include "image/old.h"
#include "kind/apparmor.h"
#include "kind/bpf-prog.h"
#include "kind/cgroup.h"
#include "kind/cpuinfo.h"
#include "kind/fd.h"
#include "kind/filelock.h"
#include "kind/inet-hold.h"
#include "kind/inet-pending.h"
#include "kind/inet-tcp.h"
#include "kind/mem.h"
#include "kind/net-lock.h"
#include "kind/ns.h"
#include "kind/pstree.h"
#include "kind/task.h"
#include "kind/unix-pending.h"
#include "task/inject.h"
#include "task/note.h"
#include "task/warden.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#define TIMEOUT_DEFAULT 10 /* seconds */
#define LOOK_TRIES 100
#define ASK_AT_ONCE 32 /* tasks */
#define SETTLE_TRIES 100
#define SETTLE_NS 500000L /* longer after every 16th try */

static bool in_tree(const struct tree *tree, pid_t pid)
{
	for (size_t i = 0; i < tree->n; i++)
		if (tree->all[i]->pid == pid)
			return true;
	return false;
}

/* The tasks run on while they are looked at: when one ends on the way, it is done again. */
static int flow_look(struct session *s, struct tree *tree)
{
	int r = note_running(s, tree, s->opts->pid);

	for (int n = 0; r == -ESRCH && n < LOOK_TRIES && kill(s->opts->pid, 0) == 0; n++) {
		tree_free(tree);
		session_forget(s);
		r = note_running(s, tree, s->opts->pid);
	}
	return r;
}

/* Every obstacle that can be seen while the tasks run; the first becomes the reason. */
int flow_preflight(struct session *s)
{
	struct tree tree = { 0 };
	int r = flow_look(s, &tree), more;

	if (r == 0 && in_tree(&tree, getpid()))
		r = session_fail(s, -EINVAL, "The criu itself is within dumped tree");
	s->tree = &tree;
	if (r == 0) {
		r = ns_preflight_all(s, &tree);
		more = task_preflight_all(s, &tree);
		r = r < 0 ? r : more;
		more = fd_preflight_all(s, &tree);
		r = r < 0 ? r : more;
		more = cgroup_preflight(s);
		r = r < 0 ? r : more;
		more = cgroup_frozen_preflight(s, &tree);
		r = r < 0 ? r : more;
	}
	ns_preflight_end(s);
	s->tree = NULL;
	tree_free(&tree);
	return r;
}

static int flow_stop_once(struct session *s)
{
	unsigned seconds = s->opts->has_timeout && s->opts->timeout ? s->opts->timeout
								    : TIMEOUT_DEFAULT;
	struct trace_table *tt;
	int r = warden_start(s, false);

	if (r == 0)
		r = warden_stop(s, s->opts->pid, s->opts->freeze_cgroup, seconds * 1000);
	if (r < 0)
		return r;
	tt = warden_table(s);
	s->stats.freezing = (tt->stopped_ns - tt->stop_ns) / 1000;
	return note_tree(s, s->tree, s->opts->pid);
}

/* Where the stop hits a state that passes by itself, the tasks run on for a moment. */
static int flow_stop(struct session *s)
{
	int r = flow_stop_once(s);

	for (int n = 0; n < SETTLE_TRIES && (r == -EAGAIN || (r == 0 && fd_passing(s, s->tree))); n++) {
		if (r < 0)
			session_forget(s);
		warden_end(s);
		tree_free(s->tree);
		nanosleep(&(struct timespec){ .tv_nsec = SETTLE_NS << (n / 16) }, NULL);
		r = flow_stop_once(s);
	}
	return r;
}

/* What is known of the tasks from outside. */
static int flow_note(struct session *s)
{
	int r = pstree_note_ids(s, s->tree);

	if (r == 0)
		r = ns_note(s, s->tree);
	if (r == 0)
		r = net_lock(s);
	if (r == 0) /* the caller may name more of what is external now */
		r = session_notify(s, "query-ext-files", 0, -1);
	if (r == 0)
		r = cgroup_note(s, s->tree);
	if (r == 0)
		r = ns_dump_start(s);
	if (r == 0)
		r = fd_dump_all(s, s->tree);
	if (r == 0)
		r = pstree_dump_fs(s, s->tree);
	for (size_t i = 0; r == 0 && i < s->tree->n; i++)
		if (s->tree->all[i]->state != TASK_DEAD)
			r = mem_note(s, s->tree, i);
	return r < 0 ? r : ns_dump_go(s);
}

/* Of their memory; several at a time. */
static int flow_ask_memory(struct session *s)
{
	own_mem struct batch *b = xalloc(ASK_AT_ONCE * sizeof(*b));
	int r = 0;

	for (size_t from = 0; r == 0 && from < s->tree->n; from += ASK_AT_ONCE) {
		struct task **k = s->tree->all + from;
		size_t n = s->tree->n - from < ASK_AT_ONCE ? s->tree->n - from : ASK_AT_ONCE;

		for (size_t i = 0; i < n; i++) {
			if (k[i]->state == TASK_DEAD || k[i]->mm_of)
				continue;
			batch_start(s, &b[i], task_leader(k[i]));
			mem_ask(s, k[i], &b[i]);
			batch_send(&b[i]);
		}
		for (size_t i = 0; r == 0 && i < n; i++) {
			if (k[i]->state == TASK_DEAD || k[i]->mm_of)
				continue;
			r = batch_wait(&b[i]);
			if (r == 0)
				r = mem_tell(s, k[i], &b[i]);
		}
	}
	return r;
}

/* What only the tasks themselves can tell. */
static int flow_ask(struct session *s)
{
	int r = task_note_all(s, s->tree);

	if (r == 0)
		r = inject_all(s, s->tree);
	session_info(s, "agents run");
	if (r == 0)
		r = flow_ask_memory(s);
	return r < 0 ? r : task_dump_all(s, s->tree);
}

static int flow_images(struct session *s)
{
	int r = mem_dump(s, s->tree);

	session_info(s, "memory copied");
	if (r == 0)
		r = pstree_dump(s, s->tree);
	if (r == 0)
		r = fd_dump_end(s);
	if (r == 0)
		r = filelock_dump_end(s);
	if (r == 0)
		r = ns_dump_wait(s);
	if (r == 0)
		r = cgroup_dump(s);
	if (r == 0)
		r = bpf_prog_dump_end(s);
	if (r == 0)
		r = apparmor_dump(s);
	if (r == 0 && s->opts->has_cpu_cap)
		r = cpuinfo_dump(s);
	if (r == 0)
		r = inventory_dump(s);
	return r;
}

static enum trace_how flow_how(const struct session *s)
{
	if (s->opts->leave_stopped)
		return TRACE_STOP;
	return s->opts->leave_running ? TRACE_RUN : TRACE_KILL;
}

static int flow_finish(struct session *s)
{
	enum trace_how how = flow_how(s);
	int r = how == TRACE_KILL ? inet_pending_take(s) : 0;

	if (r == 0 && how == TRACE_KILL)
		r = unix_pending_take(s);
	if (r < 0)
		return r;
	if (how == TRACE_KILL)
		inet_tcp_hold(s);
	else
		net_unlock(s, true);
	r = warden_finish(s, how);
	s->stats.frozen = (now_ns() - warden_table(s)->stop_ns) / 1000;
	return r;
}

static int flow_stopped(struct session *s)
{
	int r;

	session_info(s, "%zu tasks, %u threads stopped", s->tree->n, s->tree->n_threads);
	r = flow_note(s);
	session_info(s, "noted");
	if (r == 0)
		r = flow_ask(s);
	session_info(s, "asked");
	if (r == 0)
		r = flow_images(s);
	session_info(s, "written");
	if (r == 0)
		r = session_notify(s, "post-dump", 0, -1);
	return r;
}

int flow_dump(struct session *s)
{
	struct tree tree = { 0 };
	int r = flow_preflight(s);

	if (r < 0)
		return r;
	s->tree = &tree;
	r = session_notify(s, "pre-dump", 0, -1);
	if (r == 0)
		r = image_remove_old(s);
	if (r == 0)
		r = task_dump_begin(s);
	if (r == 0)
		r = flow_stop(s);
	if (r == 0)
		r = flow_stopped(s);
	if (r == 0)
		r = flow_finish(s);
	task_dump_finish(s);
	if (r < 0) {
		unlinkat(s->images, "inventory.img", 0); /* nobody shall take it for a checkpoint */
	} else {
		session_undo_drop(s); /* what the images need stays */
	}
	if (r == 0 && flow_how(s) == TRACE_KILL) {
		inet_hold(s);
		net_lock_quiet(s);
	}
	net_unlock(s, r < 0);
	ns_end(s);
	inet_hold_end(s);
	inet_tcp_end(s, r < 0);
	inet_pending_end(s);
	unix_pending_end(s);
	warden_end(s);
	s->tree = NULL;
	tree_free(&tree);
	return r;
}
