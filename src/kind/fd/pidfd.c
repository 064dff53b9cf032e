// SPDX-License-Identifier: Apache-2.0
/*
 * pidfd: descriptors of processes and threads.
 *
 * Kept:   which task or thread of the tree it means; that it is over; status flags.
 * Lost:   how one that is over had ended. Refused: processes outside of the tree.
 * Kernel: kernel/pid.c, fs/pidfs.c; fdinfo.
 */
#include "kind/fd.h"

#include "base/res.h"
#include "base/text.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define STAND_INS_MAX 4096
#define PIDFD_FLAGS (O_NONBLOCK | O_EXCL) /* O_EXCL: of one thread (PIDFD_THREAD) */

static bool pidfd_is(const struct fd_view *v)
{
	return !strcmp(v->link, "anon_inode:[pidfd]") || text_starts(v->link, "pidfd:[");
}

/* Virtual id of a task or thread; 0: none of the tree. */
static pid_t virtual_of(const struct tree *tree, pid_t pid)
{
	for (size_t i = 0; i < tree->n; i++)
		for (unsigned n = 0; n < tree->all[i]->n_threads; n++)
			if (tree->all[i]->threads[n].tid == pid || (n == 0 && tree->all[i]->tgid == pid))
				return n ? tree->all[i]->threads[n].vtid : tree->all[i]->vpid;
	return 0;
}

/* Source: fdinfo "Pid", in our pid namespace; -1 when it is over and awaited. */
static int pidfd_dump(struct session *s, const struct fd_view *v)
{
	PidfdEntry e = PIDFD_ENTRY__INIT;
	int64_t pid;
	int r = text_i64(v->info, "Pid:", 10, &pid);

	if (r < 0)
		return session_fail(s, r, "pidfd 0x%x: read what it means", v->id);
	e.nspid = pid == -1 ? -1 : virtual_of(s->tree, pid);
	if (!e.nspid)
		return session_fail(s, -ENOTSUP,
				    "task %d: descriptor %d is a pidfd of process %lld, which is not of the tree that is dumped; close it first",
				    v->task->vpid, v->num, (long long)pid);
	e.id = v->id;
	e.ino = v->st.st_ino;
	e.flags = v->flags;
	e.fown = v->fown;
	return fd_put(s, v, &e.base);
}

/* ---- restore ---- */

static pid_t real_of(const struct tree *tree, pid_t vpid)
{
	const struct task *k = task_find(tree, vpid);

	if (k)
		return k->pid;
	for (size_t i = 0; i < tree->n; i++)
		for (unsigned n = 0; n < tree->all[i]->n_threads; n++)
			if (tree->all[i]->threads[n].vtid == vpid)
				return tree->all[i]->threads[n].tid;
	return 0;
}

struct stand_in {
	pid_t pid; /* 0: over */
};

static void stand_in_end(void *arg)
{
	struct stand_in *p = arg;

	if (!p->pid)
		return;
	kill(p->pid, SIGKILL);
	while (waitpid(p->pid, NULL, __WALL) < 0 && errno == EINTR)
		;
	p->pid = 0;
}

/* As from fork(); the child is seen from the pid namespace of the task that has the descriptor. */
static pid_t fork_near(const struct session *s, const struct fd_obj *o)
{
	const struct pidns *p = o->thread ? o->thread->task->pidns : NULL;
	const struct task *first = p ? p->init : s->tree->root;
	own_fd int home = open("/proc/self/ns/pid_for_children", O_RDONLY | O_CLOEXEC);
	own_fd int there = first && first->state != TASK_DEAD ? openat(first->proc, "ns/pid", O_RDONLY | O_CLOEXEC) : -1;
	bool moved = home >= 0 && there >= 0 && setns(there, CLONE_NEWPID) == 0;
	pid_t pid = fork();
	int e = errno;

	if (pid && moved && setns(home, CLONE_NEWPID) < 0)
		return -1;
	errno = e;
	return pid;
}

/* Somebody who can be opened now and is over when the tasks run; one for each that is over. */
static int stand_in(struct session *s, const struct fd_obj *o, uint32_t ino, pid_t *ret)
{
	struct map *m = session_map(s, "pidfd stand-ins");
	struct stand_in *p = map_get(m, ino);
	own_fd int us = syscall(SYS_pidfd_open, getpid(), 0);

	if (!p && m->n >= STAND_INS_MAX)
		return session_fail(s, -E2BIG, "files.img: more than %d pidfds of processes that are over",
				    STAND_INS_MAX);
	if (!p) {
		p = xalloc(sizeof(*p));
		p->pid = fork_near(s, o);
		if (p->pid < 0)
			return session_fail(s, -errno, "pidfd: make a process that can end");
		if (!p->pid) {
			struct pollfd over = { .fd = us, .events = POLLIN };

			prctl(PR_SET_PDEATHSIG, SIGKILL);
			poll(&over, 1, -1); /* its parent's number is not seen from there */
			_exit(0);
		}
		map_put(m, ino, p);
		session_undo(s, stand_in_end, p);
	}
	*ret = p->pid;
	return 0;
}

static int pidfd_restore(struct session *s, struct fd_obj *o)
{
	const PidfdEntry *e = o->entry->pidfd;
	pid_t pid = 0;
	int r = 0;

	if (!e || !e->nspid || e->nspid < -1)
		return session_fail(s, -EBADMSG, "files.img: pidfd 0x%x is damaged", o->id);
	if (e->nspid == -1)
		r = stand_in(s, o, e->ino, &pid);
	else
		pid = real_of(s->tree, e->nspid);
	if (r < 0 || !pid)
		return r < 0 ? r : session_fail(s, -EBADMSG, "files.img: pidfd 0x%x: there is no task %d", o->id,
						e->nspid);
	o->fd = fd_high(syscall(SYS_pidfd_open, pid, e->flags & PIDFD_FLAGS));
	return o->fd < 0 ? session_fail(s, -errno, "pidfd 0x%x: open task %d", o->id, e->nspid) : 0;
}

/* All are open: the stand-ins end. */
static int pidfd_link(struct session *s, struct fd_obj *o)
{
	struct map *m = session_map(s, "pidfd stand-ins");

	for (size_t i = 0; i < m->max; i++)
		if (m->rows[i].value)
			stand_in_end(m->rows[i].value);
	return 0;
}

const struct fd_kind fd_kind_pidfd = {
	.name = "pidfd",
	.type = FD_TYPES__PIDFD,
	.is = pidfd_is,
	.dump = pidfd_dump,
	.restore = pidfd_restore,
	.link = pidfd_link,
};
