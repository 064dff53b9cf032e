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

/* Somebody who can be opened now and is over when the tasks run; one for each that is over. */
static int stand_in(struct session *s, uint32_t ino, pid_t *ret)
{
	struct map *m = session_map(s, "pidfd stand-ins");
	struct stand_in *p = map_get(m, ino);
	pid_t us = getpid();

	if (!p && m->n >= STAND_INS_MAX)
		return session_fail(s, -E2BIG, "files.img: more than %d pidfds of processes that are over",
				    STAND_INS_MAX);
	if (!p) {
		p = xalloc(sizeof(*p));
		p->pid = fork();
		if (p->pid < 0)
			return session_fail(s, -errno, "pidfd: make a process that can end");
		if (!p->pid) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			while (getppid() == us)
				pause();
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
		r = stand_in(s, e->ino, &pid);
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
