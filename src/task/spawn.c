// SPDX-License-Identifier: Apache-2.0
#include "task/spawn.h"

#include "base/pass.h"
#include "base/res.h"
#include "base/text.h"
#include "task/guest.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/rseq.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define DEPTH_MAX 32 /* of pid namespaces: the kernel's limit */
#define THREAD_FLAGS (CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)
#define PID_SPARE 32768 /* pids below are free in every pid namespace, if nobody has them */

unsigned spawn_slots(const struct tree *tree)
{
	return tree->n_threads + tree->n + 8; /* and room for leaders of dead sessions and groups */
}

void spawn_plan(struct tree *tree, struct area *a)
{
	unsigned slot = 0;

	for (size_t i = 0; i < tree->n; i++)
		for (unsigned k = 0; k < tree->all[i]->n_threads; k++) {
			tree->all[i]->threads[k].area = a;
			tree->all[i]->threads[k].slot = slot++;
		}
}

/* ---- birth ---- */

/* The pid is taken: by whom, so that the user can do something about it. */
static int pid_taken(struct session *s, pid_t pid)
{
	own_mem char *comm = NULL, *status = NULL;
	const char *state = NULL;

	if (text_readf(AT_FDCWD, &comm, "/proc/%d/comm", pid) == 0)
		comm[strcspn(comm, "\n")] = 0;
	if (text_readf(AT_FDCWD, &status, "/proc/%d/status", pid) == 0)
		state = text_after(status, "State:");
	if (state && *state == 'Z')
		session_fail(s, -EINVAL,
			     "task %d: its pid is held by a zombie (%s) that its parent has not waited for; end that parent first",
			     pid, comm ? comm : "?");
	else
		session_fail(s, -EINVAL,
			     "task %d: its pid is in use by %s; end that, or restore into a pid namespace",
			     pid, comm ? comm : "another task");
	if (s->why_r == -EINVAL)
		s->why_r = -EEXIST;
	return -EEXIST;
}

static int task_opened(struct session *s, struct task *k)
{
	own_mem char *info = NULL;
	char path[64];
	uint64_t pid;
	int r;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", k->pidfd);
	r = text_read(AT_FDCWD, path, &info, NULL);
	if (r == 0)
		r = text_u64(info, "Pid:", 10, &pid);
	if (r < 0)
		return session_fail(s, r, "task %d: find its pid", k->vpid);
	k->pid = k->tgid = pid;
	k->threads[0].tid = pid;
	snprintf(path, sizeof(path), "/proc/%d", k->pid);
	k->proc = fd_high(open(path, O_PATH | O_DIRECTORY | O_CLOEXEC));
	if (k->proc < 0)
		return session_fail(s, -errno, "task %d: open /proc/%d", k->vpid, k->pid);
	session_debug(s, "task %d: born as pid %d", k->vpid, k->pid);
	return 0;
}

/* What libc registered with the kernel would be written to after its memory is gone. */
static void forget_libc(void)
{
	char *rseq = (char *)__builtin_thread_pointer() + __rseq_offset;

	if (__rseq_size)
		syscall(SYS_rseq, rseq, 32, 1 /* RSEQ_FLAG_UNREGISTER */, RSEQ_SIG);
	syscall(SYS_set_robust_list, NULL, sizeof(struct { long a[3]; }));
	syscall(SYS_set_tid_address, NULL);
}

/*
 * clone3() by a process that has gone into a user namespace, which is the task's sibling: the pid namespace that the
 * task is born in belongs to that user namespace then. A sibling is its parent's to wait for: our own, or our parent's.
 */
static long clone_inside(struct clone_args *ca, int user)
{
	struct clone_args step = { .flags = ca->flags & CLONE_PARENT, .exit_signal = ca->exit_signal };
	int pair[2], e = 0, *pidfd = (int *)(uintptr_t)ca->pidfd;
	long pid, by;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	by = syscall(SYS_clone3, &step, sizeof(step));
	if (by == 0) {
		ca->flags |= CLONE_PARENT;
		ca->exit_signal = 0;
		pid = setns(user, CLONE_NEWUSER) < 0 ? -1 : syscall(SYS_clone3, ca, sizeof(*ca));
		if (pid == 0)
			return 0;
		e = errno;
		_exit(pass_send(pair[1], &e, sizeof(e), pid < 0 ? -1 : *pidfd) < 0);
	}
	e = by < 0 ? errno : 0;
	close(pair[1]);
	if (by > 0 && pass_take(pair[0], &e, sizeof(e), pidfd) < 0)
		e = EPROTO;
	close(pair[0]);
	while (by > 0 && !step.flags && waitpid(by, NULL, 0) < 0 && errno == EINTR)
		;
	errno = e;
	return *pidfd < 0 ? -1 : 1;
}

int spawn_root(struct session *s, struct tree *tree, uint64_t flags, int user)
{
	struct task *k = tree->root;
	const struct area *a = task_leader(k)->area;
	pid_t set_tid = k->vpid;
	int pidfd = -1;
	struct clone_args ca = {
		.flags = flags | CLONE_PIDFD,
		.pidfd = (uintptr_t)&pidfd,
		.exit_signal = flags & CLONE_PARENT ? 0 : SIGCHLD,
		.set_tid = (uintptr_t)&set_tid,
		.set_tid_size = 1,
	};
	sigset_t all, old;
	long pid;
	int e;

	log_flush(&s->log);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	pid = user < 0 ? syscall(SYS_clone3, &ca, sizeof(ca)) : clone_inside(&ca, user);
	e = errno;
	if (pid == 0) {
		void (*enter)(uint64_t) = (void (*)(uint64_t))(uintptr_t)area_entry(a);

		forget_libc();
		enter(area_slot(a, task_leader(k)->slot));
		__builtin_unreachable();
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (pid < 0 && e == EEXIST)
		return pid_taken(s, k->vpid);
	if (pid < 0)
		return session_fail(s, -e, "task %d: clone it", k->vpid);
	k->pidfd = fd_high(pidfd);
	k->in_session = k->sid == k->vpid ? 0 : k->sid;
	return task_opened(s, k);
}

/* Where a task's first fork puts it: in its own pid namespace, or into the one around the new one. */
static struct pidns *birth_ns(const struct task *k)
{
	return task_first(k) ? k->pidns->up : k->pidns;
}

/* The numbers a thread is born with, the innermost first. */
static unsigned numbers_of(const struct thread *t, pid_t *ret)
{
	unsigned depth = t->deep ? t->task->pidns->depth : 0;

	for (unsigned i = 0; i < depth; i++)
		ret[i] = t->deep[depth - 1 - i];
	ret[depth] = t->vtid;
	return depth + 1;
}

/* How many of them, the innermost first, who is in that user namespace may choose. */
static unsigned n_chosen(const struct thread *t, const struct userns *user)
{
	const struct pidns *p = t->deep ? t->task->pidns : NULL;
	unsigned n = 0;

	if (t->task->confined && t != task_leader(t->task))
		return 0;
	for (; p && userns_rules(user, p->user); p = p->up)
		n++;
	return n + (!p && !user);
}

/* The namespace of the i-th number from within. */
static struct pidns *number_ns(const struct thread *t, unsigned i)
{
	struct pidns *p = t->deep ? t->task->pidns : NULL;

	for (; p && i; i--)
		p = p->up;
	return p;
}

/* Somebody who may say which number a pid namespace gives out next. */
static struct task *number_ruler(const struct tree *tree, const struct pidns *in)
{
	for (size_t i = 0; i < tree->n; i++) {
		struct task *k = tree->all[i];

		if (k->pidfd >= 0 && !k->helper && !k->confined && k->pidns == in && userns_rules(k->in_user, in ? in->user : NULL))
			return k;
	}
	return NULL;
}

#define LAST_PID "/proc/sys/kernel/ns_last_pid" /* that of the writer's pid namespace */

static int number_by_task(struct session *s, struct task *by, const char *text)
{
	own_fd int fd = fd_high(open(LAST_PID, O_WRONLY | O_CLOEXEC));
	struct batch b;
	int num, r;

	if (fd < 0)
		return session_fail(s, -errno, "open %s", LAST_PID);
	r = lend_fd(s, task_leader(by), fd, &num);
	if (r < 0)
		return r;
	batch_start(s, &b, task_leader(by));
	call3(&b, "next pid: set", SYS_write, num, batch_str(&b, text), strlen(text));
	call1(&b, NULL, SYS_close, num);
	return batch_run(&b);
}

static int number_write(struct session *s, void *arg)
{
	int r = text_write(AT_FDCWD, LAST_PID, arg);

	return r < 0 ? session_fail(s, r, "set %s", LAST_PID) : 0;
}

/* All who are there have gone on to where they have no right to: a guest of ours is born there. NULL: the root task's */
static int number_by_guest(struct session *s, struct pidns *in, char *text)
{
	const struct task *init = in ? in->init : s->tree->root;
	own_fd int fd = init && init->proc >= 0 ? openat(init->proc, "ns/pid", O_RDONLY | O_CLOEXEC) : -1;
	struct guest_where w = { .pidns = fd, .vpid = spawn_spare(s->tree, PID_SPARE) };

	if (fd < 0)
		return session_fail(s, -ESRCH, "find a pid namespace, to say which number it gives out next");
	return guest_run(s, &w, number_write, text);
}

/* Numbers that it may not choose are those that are given out next. A guest takes one of the outer ones: inner first */
static int numbers_prepare(struct session *s, const struct thread *t, const struct userns *user)
{
	pid_t numbers[DEPTH_MAX + 1];
	unsigned n = numbers_of(t, numbers);
	int r = 0;

	for (unsigned i = n_chosen(t, user); r == 0 && i < n; i++) {
		struct pidns *in = number_ns(t, i);
		struct task *by = number_ruler(s->tree, in);
		char text[16];

		snprintf(text, sizeof(text), "%d", numbers[i] - 1);
		r = by ? number_by_task(s, by, text) : number_by_guest(s, in, text);
	}
	return r;
}

/* Are some numbers of a task's threads not its to choose? */
static bool numbers_given(const struct task *k)
{
	return k->in_user || k->confined;
}

int spawn_confined(struct session *s, struct task *k)
{
	struct clone_args ca = { .flags = THREAD_FLAGS, .set_tid_size = 1 };
	pid_t own = k->vpid;
	struct batch b;
	int r;

	batch_start(s, &b, task_leader(k));
	ca.set_tid = batch_mem(&b, &own, sizeof(own), NULL);
	call2(&b, NULL, SYS_clone3, batch_mem(&b, &ca, sizeof(ca), NULL), sizeof(ca)); /* the number is taken: EEXIST */
	r = batch_run(&b);
	k->confined = r == 0 && batch_ret(&b, 0) == -EPERM;
	return r;
}

/* Has it the numbers that it is to have? Others may have been quicker. */
static int numbers_check(struct session *s, const struct thread *t, const char *status)
{
	pid_t numbers[DEPTH_MAX + 1];
	unsigned n = numbers_of(t, numbers), i = 0;
	const char *p = text_after(status, "NSpid:"), *end = p ? p + strcspn(p, "\n") : NULL;

	for (; p && i < n && end > p; i++) {
		while (end > p && end[-1] != '\t')
			end--;
		if (atoi(end) != numbers[i])
			break;
		end--;
	}
	return i == n ? 0
		      : session_fail(s, -EAGAIN,
				     "task %d: number %d of thread %d is another's meanwhile; restore again, or into a pid namespace",
				     t->task->vpid, i < n ? numbers[i] : 0, t->vtid);
}

/*
 * Calls that clone a task or thread; the number of the clone3() call is returned. user: the user namespace of who
 * clones, after numbers_prepare().
 */
static unsigned clone_call(struct batch *b, const struct thread *t, uint64_t flags, const struct userns *user,
			   int64_t *pidfd_at)
{
	struct clone_args ca = { .flags = flags };
	pid_t numbers[DEPTH_MAX + 1];
	unsigned n;

	numbers_of(t, numbers);
	ca.set_tid_size = n_chosen(t, user);
	if (ca.set_tid_size)
		ca.set_tid = batch_mem(b, numbers, ca.set_tid_size * sizeof(*numbers), NULL);
	if (flags & CLONE_PIDFD) {
		*pidfd_at = batch_mem(b, NULL, sizeof(int), NULL);
		ca.pidfd = *pidfd_at;
	}
	if (!(flags & (CLONE_THREAD | CLONE_PARENT)))
		ca.exit_signal = t->task->exit_signal;
	n = call3(b, NULL, SYS_clone3, batch_mem(b, &ca, sizeof(ca), NULL), sizeof(ca),
		  area_slot(t->area, t->slot));
	b->calls[n].flags |= AGENT_CLONE;
	return n;
}

/* by's children are born in that pid namespace from now on; NULL: the root task's. */
static int birthplace(struct session *s, struct thread *by, struct pidns *in)
{
	own_fd int root = -1;
	struct batch b;
	unsigned n;
	int num, r, fd;

	if (in && in->fd < 0)
		in->fd = in->init && in->init->proc >= 0
				 ? fd_high(openat(in->init->proc, "ns/pid", O_RDONLY | O_CLOEXEC))
				 : -1;
	if (!in)
		root = fd_high(openat(s->tree->root->proc, "ns/pid", O_RDONLY | O_CLOEXEC));
	fd = in ? in->fd : root;
	if (fd < 0)
		return session_fail(s, -ESRCH, "thread %d: open a pid namespace for its children", by->vtid);
	r = lend_fd(s, by, fd, &num);
	if (r < 0)
		return r;
	batch_start(s, &b, by);
	n = call2(&b, NULL, SYS_setns, num, CLONE_NEWPID);
	call1(&b, NULL, SYS_close, num);
	r = batch_run(&b);
	if (r == 0 && batch_ret(&b, n) < 0)
		r = session_fail(s, batch_ret(&b, n), "thread %d: set the pid namespace of its children", by->vtid);
	return r;
}

static int thread_birthplace(struct session *s, struct thread *t)
{
	const TaskKobjIdsEntry *ids = thread_ids(t);
	uint32_t id = ids && ids->has_pid_for_children_ns_id ? ids->pid_for_children_ns_id : 0;
	struct pidns *p = s->tree->pidns;
	struct batch b;

	if (!id)
		return 0;
	while (p && p->id != id)
		p = p->next;
	if (p)
		return pidns_sees(t->task->pidns, p)
			       ? birthplace(s, t, p)
			       : session_fail(s, -EBADMSG, "task %d: children of thread %d cannot be in pid namespace %u",
					      t->task->vpid, t->vtid, id);
	batch_start(s, &b, t);
	call1(&b, "pid namespace for children: make", SYS_unshare, CLONE_NEWPID);
	return batch_run(&b);
}

int spawn_birthplace(struct session *s, struct task *k)
{
	int r = 0;

	for (unsigned n = 0; r == 0 && n < k->n_threads; n++)
		if (!n || k->threads[n].core->ids)
			r = thread_birthplace(s, &k->threads[n]);
	return r;
}

/* by clones child; CLONE_PARENT: as its sibling. */
static int clone_in(struct session *s, struct task *by, struct task *child, uint64_t flags)
{
	struct batch b;
	own_mem char *status = NULL;
	int64_t at = 0;
	unsigned n;
	int r, num;

	r = numbers_prepare(s, task_leader(child), by->in_user);
	if (r < 0)
		return r;
	batch_start(s, &b, task_leader(by));
	if (flags & CLONE_IO) /* there has to be one to share */
		call3(&b, "I/O context: make", SYS_ioprio_set, 1 /* IOPRIO_WHO_PROCESS */, 0, 0);
	n = clone_call(&b, task_leader(child), CLONE_PIDFD | flags, by->in_user, &at);
	r = batch_run(&b);
	if (r < 0)
		return r;
	if (batch_ret(&b, n) == -EEXIST)
		return pid_taken(s, child->vpid);
	if (batch_ret(&b, n) < 0)
		return session_fail(s, batch_ret(&b, n), "task %d: clone it in task %d", child->vpid,
				    by->vpid);
	num = *(int *)batch_local(&b, at);
	child->pidfd = fd_high(syscall(SYS_pidfd_getfd, by->pidfd, num, 0));
	if (child->pidfd < 0)
		return session_fail(s, -errno, "task %d: take its pidfd", child->vpid);
	batch_clear(&b);
	call1(&b, NULL, SYS_close, num);
	r = batch_run(&b);
	child->in_user = by->in_user;
	if (r == 0)
		r = task_opened(s, child);
	if (r < 0 || !by->in_user)
		return r;
	r = text_read(child->proc, "status", &status, NULL);
	return r < 0 ? session_fail(s, r, "task %d: read its numbers", child->vpid)
		     : numbers_check(s, task_leader(child), status);
}

static int group_of_outside(struct session *s, struct task *k);

static int clone_between(struct session *s, struct task *by, struct task *child, uint64_t flags);

/*
 * A new pid namespace belongs to the user namespace of who clones its first task; and who has left the one that
 * its own pid namespace belongs to cannot return from another.
 */
static bool needs_between(const struct task *by, const struct task *child)
{
	if (task_first(child))
		return by->in_user != child->pidns->user;
	return birth_ns(child) != by->pidns && !by->helper && !userns_rules(by->in_user, by->pidns ? by->pidns->user : NULL);
}

static int clone_by(struct session *s, struct task *by, struct task *child, uint64_t flags)
{
	struct pidns *in = birth_ns(child);
	int r;

	if (needs_between(by, child))
		return clone_between(s, by, child, flags);
	r = in == by->pidns ? 0 : birthplace(s, task_leader(by), in);
	if (task_first(child))
		flags |= CLONE_NEWPID;
	if (r == 0)
		r = clone_in(s, by, child, flags);
	if (r == 0 && in != by->pidns && !by->helper)
		r = birthplace(s, task_leader(by), by->pidns);
	return r < 0 || child->helper || child->pidns == child->parent->pidns ? r : group_of_outside(s, child);
}

static int spawn_child(struct session *s, struct task *child, uint64_t flags)
{
	child->in_session = child->parent->in_session;
	return clone_by(s, child->parent, child, flags);
}

/* A task that only takes a pid, beside member and like it; the agents of dead tasks are not reused. */
static struct task *helper_new(struct tree *tree, struct task *parent, pid_t vpid, const struct area *a)
{
	struct task *h = task_new(tree, parent, -1, vpid, 1);

	h->helper = true;
	h->threads[0].vtid = vpid;
	h->threads[0].area = (struct area *)a;
	h->threads[0].slot = tree->n_threads - 1;
	return h;
}

/* It is in its parent's pid namespace; numbers: there, as many as are needed. */
static int helper_inside(struct session *s, struct task *h, const pid_t *numbers)
{
	h->pidns = h->parent->pidns;
	if (!h->pidns)
		return 0;
	h->threads[0].deep = xalloc(h->pidns->depth * sizeof(pid_t));
	for (unsigned i = 0; i < h->pidns->depth; i++) {
		h->threads[0].deep[i] = numbers ? numbers[i] : h->vpid;
		if (h->threads[0].deep[i] <= 1)
			return session_fail(s, -ENOTSUP,
					    "task %d: led a session or group of tasks of another pid namespace, and is dead; this cannot be restored",
					    h->vpid);
	}
	return 0;
}

/* ---- who clones ---- */

/* What tasks may have in common without being threads of one another. */
static const struct {
	uint64_t flag;
	size_t at;
	const char *what;
} shares[] = {
	{ CLONE_VM, offsetof(TaskKobjIdsEntry, vm_id), "memory" },
	{ CLONE_FILES, offsetof(TaskKobjIdsEntry, files_id), "descriptors" },
	{ CLONE_FS, offsetof(TaskKobjIdsEntry, fs_id), "working directory" },
	{ CLONE_SIGHAND, offsetof(TaskKobjIdsEntry, sighand_id), "signal handlers" },
	{ CLONE_SYSVSEM, offsetof(TaskKobjIdsEntry, sysvsem_id), "semaphore adjustments" },
	{ CLONE_IO, offsetof(TaskKobjIdsEntry, io_id), "I/O context" },
};
#define N_SHARES (sizeof(shares) / sizeof(shares[0]))

static uint32_t share_id(const struct task *k, size_t share)
{
	return k->ids ? *(const uint32_t *)((const char *)k->ids + shares[share].at) : 0;
}

static uint64_t common(const struct task *a, const struct task *b)
{
	uint64_t flags = 0;

	for (size_t i = 0; i < N_SHARES; i++)
		if (share_id(a, i) && share_id(a, i) == share_id(b, i))
			flags |= shares[i].flag;
	return flags;
}

/*
 * Can x bear k for its parent? As the parent; as a sibling (CLONE_PARENT); or, below the parent, by a child
 * that ends at once and leaves k to the parent, as orphans are left: the lower the better, 0 not.
 */
enum { KIN_NONE, KIN_PARENT, KIN_SIBLING, KIN_BELOW };

static int kin(const struct task *k, const struct task *x)
{
	if (x == k->parent)
		return KIN_PARENT;
	if (x->parent == k->parent)
		return KIN_SIBLING;
	for (const struct task *p = x->parent; p; p = p->parent)
		if (p == k->parent)
			return KIN_BELOW;
	return KIN_NONE;
}

/* Among the first n of the tree that exist: who can clone k, with everything of these that they have in common. */
static struct task *cloner_for(const struct tree *tree, size_t n, const struct task *k, bool session, uint64_t of,
			       uint64_t *ret_flags, int *ret_kin)
{
	struct task *best = NULL;
	uint64_t needs = 0;

	*ret_kin = 4;
	for (size_t i = 0; i < n; i++)
		if (tree->all[i] != k && tree->all[i]->pidfd >= 0)
			needs |= common(tree->all[i], k) & of;
	for (size_t i = 0; i < n; i++) {
		struct task *x = tree->all[i];
		int how = kin(k, x);

		if (!pidns_sees(x->pidns, birth_ns(k)) || (how == KIN_SIBLING && task_first(x)) ||
		    (how == KIN_BELOW && x->pidns != k->parent->pidns))
			continue;
		if (x == k || x->pidfd < 0 || x->helper || !how || how >= *ret_kin ||
		    (common(x, k) & needs) != needs)
			continue;
		if (session && k->sid != k->vpid && x->in_session != k->sid)
			continue;
		best = x;
		*ret_kin = how;
	}
	*ret_flags = needs;
	return best;
}

/* A task can live without an I/O context that it shared. */
static struct task *cloner(struct session *s, const struct tree *tree, size_t n, const struct task *k, bool session,
			   uint64_t *ret_flags, int *ret_kin)
{
	struct task *x = cloner_for(tree, n, k, session, ~0ULL, ret_flags, ret_kin);

	if (x || !(*ret_flags & CLONE_IO))
		return x;
	x = cloner_for(tree, n, k, session, ~(uint64_t)CLONE_IO, ret_flags, ret_kin);
	if (x)
		session_warn(s, "task %d: shares an I/O context (CLONE_IO) with a task that it cannot be born from again; it gets its own: a priority that one sets is no longer the other's",
			     k->vpid);
	return x;
}

static int no_cloner(struct session *s, const struct task *k, uint64_t flags)
{
	for (size_t i = 0; i < N_SHARES; i++)
		if (flags & shares[i].flag)
			return session_fail(s, -ENOTSUP,
					    "task %d: shares its %s with a task that it cannot be born from again; end one of them first",
					    k->vpid, shares[i].what);
	return session_fail(s, -ENOTSUP,
			    "task %d: is in the session of task %d, in which no task is left that it could be born from",
			    k->vpid, k->sid);
}

int spawn_check(struct session *s, const struct tree *tree)
{
	uint64_t flags;
	int how;

	for (size_t i = 1; i < tree->n; i++)
		if (tree->all[i]->state != TASK_DEAD &&
		    !cloner(s, tree, i, tree->all[i], false, &flags, &how))
			return no_cloner(s, tree->all[i], flags);
	return 0;
}

static bool pid_free(struct session *s, struct task *x, pid_t pid)
{
	struct batch b;

	batch_start(s, &b, task_leader(x));
	call1(&b, NULL, SYS_getsid, pid);
	return batch_run(&b) == 0 && batch_ret(&b, 0) == -ESRCH;
}

/* A pid for a moment that nobody of the tree is to have. */
pid_t spawn_spare(const struct tree *tree, pid_t below)
{
	for (pid_t pid = below - 1; pid > 300; pid--) {
		bool used = task_find(tree, pid);

		for (size_t i = 0; !used && i < tree->n; i++)
			used = tree->all[i]->pgid == pid || tree->all[i]->sid == pid;
		for (size_t i = 0; !used && i < tree->n; i++)
			for (unsigned t = 1; t < tree->all[i]->n_threads; t++)
				used |= tree->all[i]->threads[t].vtid == pid;
		for (size_t i = 0; !used && i < tree->n; i++)
			for (unsigned t = 0; t < tree->all[i]->n_threads && tree->all[i]->pidns; t++)
				for (unsigned d = 0; d < tree->all[i]->pidns->depth; d++)
					used |= tree->all[i]->threads[t].deep[d] == pid;
		if (!used)
			return pid;
	}
	return 0;
}

static int helper_end(struct session *s, struct task *h);

/* In every pid namespace in which a child of x gets a number. */
static bool pid_free_around(struct session *s, struct task *x, pid_t pid)
{
	bool is = pid_free(s, x, pid) && pid_free(s, s->tree->root, pid);

	for (const struct pidns *p = x->pidns ? x->pidns->up : NULL; is && p; p = p->up)
		is = !p->init || p->init->pidfd < 0 || pid_free(s, p->init, pid);
	return is;
}

/* A pid that nobody of the tree is to have and nobody uses; 0 none */
static pid_t spare_for(struct session *s, struct task *x)
{
	pid_t pid = spawn_spare(s->tree, PID_SPARE);

	while (pid && !pid_free_around(s, x, pid))
		pid = spawn_spare(s->tree, pid);
	return pid;
}

int spawn_enter_user(struct session *s, struct task *k, struct userns *user)
{
	struct batch b;
	unsigned n;
	int num, r;

	if (k->in_user == user)
		return 0;
	if (!user || user->fd < 0 || !userns_rules(k->in_user, user))
		return session_fail(s, -ENOTSUP, "task %d: has no way back into its user namespace", k->vpid);
	r = lend_fd(s, task_leader(k), user->fd, &num);
	if (r < 0)
		return r;
	batch_start(s, &b, task_leader(k));
	n = call2(&b, NULL, SYS_setns, num, CLONE_NEWUSER);
	call1(&b, NULL, SYS_close, num);
	call5(&b, "user namespace: stay dumpable", SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
	r = batch_run(&b);
	if (r == 0 && batch_ret(&b, n) < 0)
		r = session_fail(s, batch_ret(&b, n), "task %d: enter user namespace %u", k->vpid, user->id);
	k->in_user = user;
	return r;
}

/* A sibling to be goes where by has no way to, or none back from, and bears the child for by's sake. */
static int clone_between(struct session *s, struct task *by, struct task *child, uint64_t flags)
{
	struct task *up = flags & CLONE_PARENT ? by->parent : by, *h = NULL;
	pid_t pid = spare_for(s, by);
	int r = pid && up ? 0 : session_fail(s, -EAGAIN, "task %d: no pid is free for a moment", child->vpid);

	if (r == 0) {
		h = helper_new(s->tree, up, pid, task_leader(by)->area);
		r = helper_inside(s, h, NULL);
	}
	if (r == 0)
		r = clone_by(s, by, h, flags);
	if (r == 0 && task_first(child))
		r = spawn_enter_user(s, h, child->pidns->user);
	if (r == 0)
		r = clone_by(s, h, child, flags | CLONE_PARENT);
	return r < 0 ? r : helper_end(s, h);
}

/* x's child bears k and ends; the parent, a subreaper meanwhile, gets the orphan. */
static int clone_orphan(struct session *s, struct tree *tree, struct task *x, struct task *k, uint64_t flags)
{
	struct task *h = NULL;
	struct batch b;
	pid_t pid;
	int r;

	batch_start(s, &b, task_leader(k->parent));
	call5(&b, "subreaper: set", SYS_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	r = batch_run(&b);
	pid = r == 0 ? spare_for(s, x) : 0;
	if (r == 0 && !pid)
		r = session_fail(s, -EAGAIN, "task %d: no pid is free for a moment", k->vpid);
	if (r == 0) {
		h = helper_new(tree, x, pid, task_leader(x)->area);
		r = helper_inside(s, h, NULL);
		if (r == 0)
			r = spawn_child(s, h, flags);
	}
	if (r == 0)
		r = clone_by(s, h, k, flags);
	if (r == 0)
		r = helper_end(s, h);
	if (r == 0) {
		batch_start(s, &b, task_leader(k->parent));
		call5(&b, "subreaper: clear", SYS_prctl, PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
		r = batch_run(&b);
	}
	return r;
}

/* A leader that is dead lives again for a while, beside k. */
static int clone_in_dead_session(struct session *s, struct tree *tree, struct task *k, uint64_t flags)
{
	struct task *up = k->parent, *leader = NULL;
	int r = 0;

	for (size_t i = 0; i < tree->n; i++)
		if (tree->all[i]->helper && tree->all[i]->vpid == k->sid && tree->all[i]->parent == up)
			leader = tree->all[i];
	if (!leader) {
		leader = helper_new(tree, up, k->sid, task_leader(up)->area);
		leader->sid = leader->pgid = k->sid;
		r = helper_inside(s, leader, k->deep_sid);
		if (r == 0)
			r = spawn_child(s, leader, flags);
		if (r == 0)
			r = spawn_session(s, leader);
	}
	k->in_session = k->sid;
	return r < 0 ? r : clone_by(s, leader, k, flags | CLONE_PARENT);
}

int spawn_task(struct session *s, struct tree *tree, struct task *k)
{
	uint64_t flags;
	int how;
	struct task *x = cloner(s, tree, tree->n, k, true, &flags, &how);
	const struct task *leader = task_find(tree, k->sid);

	if (!x && k->sid && (!leader || (leader->helper && leader->parent == k->parent)) &&
	    (common(k->parent, k) & flags) == flags)
		return clone_in_dead_session(s, tree, k, flags | (common(k->parent, k) & CLONE_IO));
	if (!x)
		return no_cloner(s, k, flags);
	k->in_session = x->in_session;
	if (how == KIN_PARENT)
		return clone_by(s, x, k, flags);
	k->origin = x;
	return how == KIN_SIBLING ? clone_by(s, x, k, flags | CLONE_PARENT)
				  : clone_orphan(s, tree, x, k, flags);
}

int spawn_session(struct session *s, struct task *k)
{
	struct batch b;

	if (k->sid != k->vpid)
		return 0;
	batch_start(s, &b, task_leader(k));
	call1(&b, "session: lead", SYS_setsid, 0);
	k->in_session = k->vpid;
	return batch_run(&b);
}

/* ---- threads ---- */

int spawn_find_threads(struct session *s, struct task *k)
{
	struct map planned = { 0 }; /* by their own numbers */
	char path[64];
	own_dir DIR *d = NULL;
	struct dirent *e;
	int r = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", k->pid);
	d = opendir(path);
	if (!d)
		return session_fail(s, -errno, "task %d: list its threads", k->vpid);
	for (unsigned i = 1; i < k->n_threads; i++)
		map_put(&planned, thread_self(&k->threads[i]), &k->threads[i]);
	while (r == 0 && (e = readdir(d))) {
		own_mem char *status = NULL;
		struct thread *t;
		const char *p;
		pid_t tid = atoi(e->d_name), vtid = 0;

		if (tid <= 0 || tid == k->pid ||
		    text_readf(AT_FDCWD, &status, "/proc/%d/task/%d/status", k->pid, tid) < 0)
			continue;
		p = text_after(status, "NSpid:");
		if (!p)
			continue;
		for (size_t n = strcspn(p, "\n"); n && p[n - 1] != '\t';)
			n--, vtid = atoi(p + n);
		t = map_get(&planned, vtid);
		if (t)
			t->tid = tid;
		r = t && numbers_given(k) ? numbers_check(s, t, status) : 0;
	}
	map_free(&planned);
	return r;
}

/* Run the calls of a batch that clones the n threads of list. */
static int threads_clone(struct session *s, struct batch *b, struct thread *const *list)
{
	int r = batch_run(b);

	for (unsigned n = 0; r == 0 && n < b->n; n++) {
		if (batch_ret(b, n) == -EEXIST)
			r = pid_taken(s, list[n]->vtid);
		else if (batch_ret(b, n) < 0)
			r = session_fail(s, batch_ret(b, n), "task %d: clone thread %d", list[n]->task->vpid,
					 list[n]->vtid);
	}
	batch_clear(b);
	return r;
}

/* Is there anything but memory and signal handlers that it may not share with its process? */
static bool is_apart(const struct thread *t)
{
	return t != task_leader(t->task) && (t->files_id || t->fs_id || t->core->ids);
}

int spawn_threads(struct session *s, struct task *k)
{
	own_mem struct thread **list = xalloc(k->n_threads * sizeof(*list));
	bool given = numbers_given(k);
	unsigned n = 0, from = 0;
	struct batch b;
	int r = 0;

	for (unsigned i = 1; i < k->n_threads; i++)
		if (!is_apart(&k->threads[i]))
			list[n++] = &k->threads[i];
	batch_start(s, &b, task_leader(k));
	for (unsigned i = 0; r == 0 && i < n; i++) {
		bool last = given || i + 1 == n; /* where numbers are not chosen, one by one */

		r = given ? numbers_prepare(s, list[i], k->in_user) : 0;
		if (r < 0)
			break;
		clone_call(&b, list[i], THREAD_FLAGS | CLONE_FS | CLONE_FILES, k->in_user, NULL);
		if (!last && batch_room(&b, 1, 256))
			continue;
		r = threads_clone(s, &b, list + from);
		from = i + 1;
	}
	return r;
}

/*
 * Threads that share one of two things with another: who has what already, by files_id, by fs_id, by both.
 * What two have in common one of them had from the other, so they form no circles.
 */
struct kin_threads {
	struct map files, fs, both;
};

static uint64_t both_ids(const struct thread *t)
{
	return (uint64_t)t->files_id << 32 | t->fs_id;
}

static void kin_add(struct kin_threads *kin, struct thread *t)
{
	if (!map_get(&kin->files, t->files_id))
		map_put(&kin->files, t->files_id, t);
	if (!map_get(&kin->fs, t->fs_id))
		map_put(&kin->fs, t->fs_id, t);
	if (!map_get(&kin->both, both_ids(t)))
		map_put(&kin->both, both_ids(t), t);
}

/* From whom t can be born now; NULL: it shares things with two that have nothing in common. */
static struct thread *kin_cloner(const struct kin_threads *kin, const struct thread *t, uint64_t *ret_flags)
{
	struct thread *both = map_get(&kin->both, both_ids(t));
	struct thread *files = map_get(&kin->files, t->files_id), *fs = map_get(&kin->fs, t->fs_id);

	*ret_flags = THREAD_FLAGS | (files ? CLONE_FILES : 0) | (fs ? CLONE_FS : 0);
	if (files && fs)
		return both;
	return files ? files : fs ? fs : task_leader(t->task);
}

static bool is_kin(const struct kin_threads *kin, const struct thread *t)
{
	return map_get(&kin->files, t->files_id) || map_get(&kin->fs, t->fs_id);
}

/* From its process's mount namespace there is a way to all others. */
static bool is_home(const struct thread *t)
{
	return !t->core->ids || !t->task->ids || t->core->ids->mnt_ns_id == t->task->ids->mnt_ns_id;
}

/* The next to be born: one that shares something with those who are there, if possible; at home, if possible. */
static unsigned kin_next(const struct kin_threads *kin, struct thread *const *list, unsigned n)
{
	unsigned best = 0, best_rank = 0;

	for (unsigned i = 0; i < n; i++) {
		unsigned rank = is_kin(kin, list[i]) * 2 + is_home(list[i]);

		if (rank > best_rank)
			best = i, best_rank = rank;
	}
	return best;
}

int spawn_threads_apart(struct session *s, struct task *k,
			int (*born)(struct session *s, struct thread *t, const struct thread *by))
{
	own_mem struct thread **list = xalloc(k->n_threads * sizeof(*list));
	struct kin_threads kin = { 0 };
	unsigned n = 0;
	int r = 0;

	for (unsigned i = 1; i < k->n_threads; i++)
		if (is_apart(&k->threads[i]))
			list[n++] = &k->threads[i];
	kin_add(&kin, task_leader(k));
	while (r == 0 && n) {
		unsigned i = kin_next(&kin, list, n);
		struct thread *t = list[i], *by;
		struct batch b;
		uint64_t flags;

		by = kin_cloner(&kin, t, &flags);
		if (!by) {
			r = session_fail(s, -EBADMSG, "core-%d.img: what the thread shares with others cannot be", t->vtid);
			break;
		}
		r = numbers_given(k) ? numbers_prepare(s, t, k->in_user) : 0;
		if (r < 0)
			break;
		batch_start(s, &b, by);
		clone_call(&b, t, flags, k->in_user, NULL);
		r = threads_clone(s, &b, &t);
		if (r == 0)
			r = born(s, t, by);
		kin_add(&kin, t);
		list[i] = list[--n];
	}
	map_free(&kin.files);
	map_free(&kin.fs);
	map_free(&kin.both);
	return r;
}

int spawn_check_threads(struct session *s, struct task *k)
{
	int r = k->n_threads > 1 ? spawn_find_threads(s, k) : 0;

	for (unsigned i = 1; r == 0 && i < k->n_threads; i++)
		if (k->threads[i].tid < 0)
			r = session_fail(s, -ESRCH, "task %d: thread %d is gone", k->vpid, k->threads[i].vtid);
	return r;
}

/* ---- groups ---- */

static int set_group(struct session *s, struct task *k)
{
	const struct task *leader = k->pidns ? task_find(s->tree, k->pgid) : NULL;
	pid_t number = leader ? task_number(leader, k->pidns) : 0;
	struct batch b;

	if (k->pidns && leader && leader != k) {
		if (!number && getpgid(k->pid) != leader->pid)
			session_warn(s, "task %d: its process group %d is not seen from its pid namespace; it gets its parent's",
				     k->vpid, k->pgid);
		if (!number)
			return 0; /* born in it: group_of_outside() */
		batch_start(s, &b, task_leader(k));
		call2(&b, "process group: join", SYS_setpgid, 0, number);
		return batch_run(&b);
	}

	batch_start(s, &b, task_leader(k));
	call2(&b, "process group: join", SYS_setpgid, 0, k->pgid == k->vpid ? 0 : k->pgid);
	return batch_run(&b);
}

static bool group_inherited(const struct task *k)
{
	return k->pgid == 0 || k->sid == k->vpid || (!k->parent && !k->pgid);
}

/* A helper has done its work: its parent waits for its end. */
static int helper_end(struct session *s, struct task *h)
{
	struct batch b;

	batch_start(s, &b, task_leader(h));
	call1(&b, NULL, SYS_exit_group, 0);
	batch_send(&b);
	batch_start(s, &b, task_leader(h->parent));
	call4(&b, "wait for a helper", SYS_wait4, task_number(h, h->parent->pidns), 0, 0, 0);
	h->state = TASK_DEAD;
	return batch_run(&b);
}

/* A group whose leader is dead: a child of a member takes its pid, leads the group, and ends. */
static int lead_dead_group(struct session *s, struct tree *tree, struct task *member)
{
	struct task *h = helper_new(tree, member, member->pgid, task_leader(member)->area);
	int r;

	h->pgid = member->pgid;
	h->sid = member->sid;
	r = helper_inside(s, h, member->deep_pgid);
	if (r == 0)
		r = spawn_child(s, h, 0);
	if (r == 0)
		r = set_group(s, h);
	if (r == 0)
		r = set_group(s, member);
	return r < 0 ? r : helper_end(s, h);
}

/* The group that k, or one below, is in though it is not seen from k's pid namespace; 0 none. */
static pid_t outside_group(const struct tree *tree, const struct task *k)
{
	const struct task *leader = task_find(tree, k->pgid);
	pid_t found = 0;

	if (k->pgid && !k->helper && (leader ? !task_number(leader, k->pidns) : k->deep_pgid && !k->deep_pgid[k->pidns->depth - 1]))
		return k->pgid;
	for (const struct task *c = k->first_child; !found && c; c = c->next)
		found = outside_group(tree, c);
	return found;
}

/* Whom nobody inside could put into such a group is put there by the parent, before it has children. */
static int group_of_outside(struct session *s, struct task *k)
{
	pid_t pgid = outside_group(s->tree, k);
	struct task *leader = task_find(s->tree, pgid), *up = k->parent;
	struct batch b;
	int r = 0;

	if (!pgid || (!leader && pgid == up->pgid && k->sid == up->sid && !up->deep_pgid))
		return 0;
	if (leader && (leader->pidfd < 0 || !task_number(leader, up->pidns)))
		return 0;
	if (!leader && up->pidns && (!k->deep_pgid || !k->deep_pgid[up->pidns->depth - 1]))
		return 0;
	if (!leader) {
		leader = helper_new(s->tree, up, pgid, task_leader(up)->area);
		leader->pgid = pgid;
		leader->sid = k->sid;
		r = helper_inside(s, leader, k->deep_pgid);
		if (r == 0)
			r = spawn_child(s, leader, 0);
	}
	if (r == 0 && leader->sid != leader->vpid && leader->pgid == leader->vpid && leader->state != TASK_DEAD)
		r = set_group(s, leader);
	if (r < 0)
		return r;
	batch_start(s, &b, task_leader(up));
	call2(&b, "process group: of its child", SYS_setpgid, task_number(k, up->pidns), task_number(leader, up->pidns));
	r = batch_run(&b);
	return r < 0 || !leader->helper || leader->state == TASK_DEAD ? r : helper_end(s, leader);
}

int spawn_groups(struct session *s, struct tree *tree)
{
	size_t n = tree->n;
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++) /* leaders first: their groups must exist */
		if (!group_inherited(tree->all[i]) && tree->all[i]->pgid == tree->all[i]->vpid &&
		    !tree->all[i]->helper)
			r = set_group(s, tree->all[i]);
	for (size_t i = 0; r == 0 && i < n; i++) {
		struct task *k = tree->all[i];
		bool led = false;

		if (group_inherited(k) || k->pgid == k->vpid || k->helper)
			continue;
		if (!k->parent && !task_find(tree, k->pgid))
			continue; /* the root's group is its caller's: it stays in ours */
		if (k->parent && k->parent->pgid == k->pgid && !task_find(tree, k->pgid) &&
		    k->sid == k->parent->sid)
			led = true; /* inherited with the parent's, which is outside or done */
		if (!led && !task_find(tree, k->pgid))
			r = lead_dead_group(s, tree, k);
		else if (!led)
			r = set_group(s, k);
	}
	for (size_t i = 0; r == 0 && i < n; i++) /* leaders of dead sessions */
		if (tree->all[i]->helper && tree->all[i]->state != TASK_DEAD)
			r = helper_end(s, tree->all[i]);
	return r;
}

/* ---- the dead ---- */

static int die(struct session *s, struct task *k)
{
	int sig = k->exit_code & 0x7f;
	struct pollfd p = { .fd = k->pidfd, .events = POLLIN };
	struct batch b;
	uint64_t none = 0;
	uint64_t dfl[4] = { 0 }, no_core[2] = { 0, 0 };

	batch_start(s, &b, task_leader(k));
	call2(&b, NULL, SYS_prctl, PR_SET_NAME, batch_str(&b, k->comm));
	if (sig && task_first(k)) {
		/* the first of a pid namespace is not ended by signals from inside; who looks sees this one */
		if (sig != SIGKILL)
			session_warn(s, "task %d: signal %d ended it; as the first of its pid namespace it will have been ended by signal %d",
				     k->vpid, sig, SIGKILL);
		syscall(SYS_pidfd_send_signal, k->pidfd, SIGKILL, NULL, 0);
	} else if (sig) {
		/* no core file of ours */
		call2(&b, NULL, SYS_setrlimit, 4 /* RLIMIT_CORE */, batch_mem(&b, no_core, 16, NULL));
		call4(&b, NULL, SYS_rt_sigaction, sig, batch_mem(&b, dfl, 32, NULL), 0, 8);
		call3(&b, NULL, SYS_tgkill, task_self(k), task_self(k), sig);
		call4(&b, NULL, SYS_rt_sigprocmask, SIG_SETMASK, batch_mem(&b, &none, 8, NULL), 0, 8);
	}
	call1(&b, NULL, SYS_exit_group, k->exit_code >> 8 & 0xff);
	batch_send(&b);
	if (poll(&p, 1, 5000) != 1)
		return session_fail(s, -ETIMEDOUT, "task %d: does not end as the zombie it was", k->vpid);
	return 0;
}

int spawn_zombies(struct session *s, struct tree *tree)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < tree->n; i++)
		if (tree->all[i]->state == TASK_DEAD && !tree->all[i]->helper)
			r = die(s, tree->all[i]);
	return r;
}

void spawn_kill(struct tree *tree)
{
	for (size_t i = 0; i < tree->n; i++)
		if (tree->all[i]->pidfd >= 0)
			syscall(SYS_pidfd_send_signal, tree->all[i]->pidfd, SIGKILL, NULL, 0);
}

void spawn_reap(struct tree *tree)
{
	for (size_t i = 0; i < tree->n; i++) {
		struct pollfd p = { .fd = tree->all[i]->pidfd, .events = POLLIN };

		if (p.fd < 0)
			continue;
		poll(&p, 1, 5000);
		waitpid(tree->all[i]->pid, NULL, WNOHANG); /* ours only if it is our child */
	}
}
