// SPDX-License-Identifier: Apache-2.0
/*
 * semundo: what the kernel will add to semaphores when a process ends, as it used SEM_UNDO (semop(2)).
 *
 * Kept:   the adjustment of every semaphore of the container's ipc namespaces, of every process, and of a thread that
 *         has its own; who shares them (CLONE_SYSVSEM) is pstree.c's.
 * Lost:   reported: those of sets that the process may not change any more, and of sets of the host's ipc namespace,
 *         which are made when the dump ends the process.
 * Kernel: ipc/sem.c shows adjustments to nobody. But an operation that would take one out of its range fails with
 *         ERANGE, and one that would have to wait fails with EAGAIN (IPC_NOWAIT), and both change nothing: so the
 *         process tries, and how far it is to the end of the range tells the adjustment.
 */
#include "kind/task.h"

#include "base/list.h"

#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define VALUE_MAX 32767	 /* of a semaphore, and of an adjustment; the kernel's SEMVMX */
#define HALF 16384	 /* of the way from 0 to the least adjustment */
#define OPS_MAX 7
#define SETS_MAX 32768	 /* the kernel's IPCMNI is that */
#define SEMAPHORES_MAX 100000u
#ifndef SEM_STAT_ANY
#define SEM_STAT_ANY 20
#endif

struct semaphore {
	int id, num, value;
	int low, high, mid; /* how far from 0 the adjustment is: bounds, both included, and what is asked about */
	unsigned call; /* its last, in the batch */
	bool *untold; /* one did not show */
};
struct semaphores {
	struct semaphore *v;
	size_t n, max;
};

struct ops {
	struct sembuf v[OPS_MAX];
	unsigned n;
};

/* An operation of 0 would be another one: to wait for 0. */
static void op_add(struct ops *o, int num, int n, int flags)
{
	if (n)
		o->v[o->n++] = (struct sembuf){ num, n, flags | IPC_NOWAIT };
}

/* Changes the adjustment by -n and leaves the value as it is. value: the semaphore's now. */
static void ops_adjust(struct ops *o, int num, int value, int n)
{
	int first = n < HALF ? n : HALF;

	op_add(o, num, -value, 0);
	if (n < 0) {
		op_add(o, num, -n, 0);
		op_add(o, num, n, SEM_UNDO);
	} else {
		op_add(o, num, first, SEM_UNDO);
		op_add(o, num, -first, 0);
		op_add(o, num, n - first, SEM_UNDO);
		op_add(o, num, first - n, 0);
	}
	op_add(o, num, value, 0);
}

static unsigned ops_call(struct batch *b, const char *what, int id, const struct ops *o)
{
	return call3(b, what, SYS_semop, id, batch_mem(b, o->v, o->n * sizeof(*o->v), NULL), o->n);
}

/* ---- dump ---- */

typedef void (*ask_fn)(struct batch *b, struct semaphore *e, int arg);
typedef bool (*answer_fn)(struct batch *b, struct semaphore *e, int arg);

/* Asks of all semaphores, as many at once as there is room for. Answers: false, no more of that one. */
static int each(struct session *s, struct thread *t, struct semaphores *all, ask_fn ask, answer_fn answer, int arg)
{
	size_t kept = 0;
	struct batch b;
	int r = 0;

	batch_start(s, &b, t);
	for (size_t i = 0, n; r == 0 && i < all->n; i += n) {
		for (n = 0; i + n < all->n && batch_room(&b, 1, sizeof(struct semid_ds)); n++)
			ask(&b, &all->v[i + n], arg);
		r = batch_run(&b);
		for (size_t k = 0; r == 0 && k < n; k++)
			if (answer(&b, &all->v[i + k], arg))
				all->v[kept++] = all->v[i + k];
		batch_clear(&b);
	}
	all->n = kept;
	return r;
}

static void ask_set(struct batch *b, struct semaphore *e, int arg)
{
	e->call = call4(b, NULL, SYS_semctl, e->num, 0, SEM_STAT_ANY, batch_mem(b, NULL, sizeof(struct semid_ds), NULL));
}

/* num becomes how many semaphores the set has */
static bool answer_set(struct batch *b, struct semaphore *e, int arg)
{
	const struct semid_ds *ds = batch_local(b, b->calls[e->call].args[3]);

	e->id = batch_ret(b, e->call);
	e->num = ds->sem_nsems;
	return e->id >= 0;
}

static void ask_value(struct batch *b, struct semaphore *e, int arg)
{
	e->call = call3(b, NULL, SYS_semctl, e->id, e->num, GETVAL);
}

static bool answer_value(struct batch *b, struct semaphore *e, int arg)
{
	e->value = batch_ret(b, e->call);
	*e->untold |= e->value < 0;
	return e->value >= 0;
}

/* Is the adjustment further from 0 than mid, on the side of sign? The last operation would have to wait for ever. */
static void ask_beyond(struct batch *b, struct semaphore *e, int sign)
{
	struct ops o = { 0 };

	e->mid = (e->low + e->high) / 2;
	ops_adjust(&o, e->num, e->value, sign > 0 ? e->mid - VALUE_MAX : VALUE_MAX + 1 - e->mid);
	op_add(&o, e->num, -VALUE_MAX - 1, 0);
	e->call = ops_call(b, NULL, e->id, &o);
}

static bool answer_beyond(struct batch *b, struct semaphore *e, int sign)
{
	if (batch_ret(b, e->call) == -ERANGE)
		e->low = e->mid + 1;
	else if (batch_ret(b, e->call) == -EAGAIN)
		e->high = e->mid;
	else
		*e->untold = true;
	return e->low > 0 && !*e->untold;
}

static void undo_put(ThreadCoreEntry *tc, const struct semaphore *e, int sign)
{
	SemUndoEntry *u = xalloc(sizeof(*u));

	sem_undo_entry__init(u);
	u->id = e->id;
	u->num = e->num;
	u->adjust = sign * e->low;
	tc->sem_undo = xgrow(tc->sem_undo, (tc->n_sem_undo + 1) * sizeof(*tc->sem_undo));
	tc->sem_undo[tc->n_sem_undo++] = u;
}

/* Adjustments of one sign; all is not changed. First, whether it is anything but 0; then halves of what is left. */
static int undo_find(struct session *s, struct thread *t, const struct semaphores *all, int sign)
{
	struct semaphores left = { xmemdup(all->v, all->n * sizeof(*all->v)), all->n, all->n };
	int r = 0, far = sign > 0 ? VALUE_MAX : VALUE_MAX + 1;

	for (size_t i = 0; i < left.n; i++)
		left.v[i].low = left.v[i].high = 0;
	r = each(s, t, &left, ask_beyond, answer_beyond, sign);
	for (size_t i = 0; i < left.n; i++)
		left.v[i].high = far;
	for (int width = far; r == 0 && left.n && width; width /= 2)
		r = each(s, t, &left, ask_beyond, answer_beyond, sign);
	for (size_t i = 0; r == 0 && i < left.n; i++)
		undo_put(t->core->thread_core, &left.v[i], sign);
	free(left.v);
	return r;
}

/* All semaphores of the task's ipc namespace, with their values. */
static int semaphores_list(struct session *s, struct thread *t, bool *untold, struct semaphores *ret)
{
	struct semaphores sets = { 0 };
	struct batch b;
	unsigned n;
	int r;

	batch_start(s, &b, t);
	n = call4(&b, NULL, SYS_semctl, 0, 0, SEM_INFO, batch_mem(&b, NULL, sizeof(struct seminfo), NULL));
	r = batch_run(&b);
	for (int i = 0; r == 0 && i <= batch_ret(&b, n) && i < SETS_MAX; i++)
		*vec_add(&sets) = (struct semaphore){ .num = i };
	if (r == 0)
		r = each(s, t, &sets, ask_set, answer_set, 0);
	for (size_t i = 0; r == 0 && i < sets.n; i++)
		for (int k = 0; k < sets.v[i].num; k++) {
			*untold |= ret->n == SEMAPHORES_MAX;
			if (ret->n < SEMAPHORES_MAX)
				*vec_add(ret) = (struct semaphore){ .id = sets.v[i].id, .num = k, .untold = untold };
		}
	free(sets.v);
	return r < 0 ? r : each(s, t, ret, ask_value, answer_value, 0);
}

/* Its process, or an earlier one, has the same list, or there is none, as we have none to compare with. */
static bool has_none(struct session *s, const struct thread *t)
{
	const struct thread *leader = task_leader(t->task);

	if (t != leader && syscall(SYS_kcmp, leader->tid, t->tid, KCMP_SYSVSEM, 0, 0) == 0)
		return true;
	for (size_t i = 0; s->tree->all[i] != t->task; i++)
		if (s->tree->all[i]->state != TASK_DEAD &&
		    syscall(SYS_kcmp, task_leader(s->tree->all[i])->tid, t->tid, KCMP_SYSVSEM, 0, 0) == 0)
			return true;
	return syscall(SYS_kcmp, getpid(), t->tid, KCMP_SYSVSEM, 0, 0) == 0;
}

static bool of_host(const struct thread *t)
{
	struct stat its, ours;
	char path[48];

	snprintf(path, sizeof(path), "task/%d/ns/ipc", t->tid);
	return fstatat(t->task->proc, path, &its, 0) == 0 && stat("/proc/self/ns/ipc", &ours) == 0 && its.st_ino == ours.st_ino;
}

static int semundo_more(struct session *s, struct thread *t)
{
	struct semaphores all = { 0 };
	bool untold = false;
	int r;

	if (has_none(s, t))
		return 0;
	r = semaphores_list(s, t, &untold, &all);
	for (int sign = -1; r == 0 && sign <= 1; sign += 2)
		r = undo_find(s, t, &all, sign);
	free(all.v);
	if (untold)
		session_warn(s, "task %d: may have semaphores to be undone at its end (SEM_UNDO) that it may not change now; that is not kept",
			     t->task->vpid);
	if (r < 0 || !of_host(t) || !t->core->thread_core->n_sem_undo)
		return r;
	session_warn(s, "task %d: has semaphores of the host's ipc namespace to be undone at its end (SEM_UNDO): that is done when it is ended now",
		     t->task->vpid);
	for (size_t i = 0; i < t->core->thread_core->n_sem_undo; i++)
		free(t->core->thread_core->sem_undo[i]);
	t->core->thread_core->n_sem_undo = 0;
	return 0;
}

/* ---- restore ---- */

static int semundo_check(struct session *s, const struct thread *t)
{
	const ThreadCoreEntry *tc = t->core->thread_core;

	for (size_t i = 0; i < tc->n_sem_undo; i++)
		if (tc->sem_undo[i]->adjust > VALUE_MAX || tc->sem_undo[i]->adjust < -VALUE_MAX - 1 || tc->sem_undo[i]->num > UINT16_MAX)
			return session_fail(s, -EBADMSG, "core-%d.img: an adjustment of semaphore %u is out of range", t->vtid,
					    tc->sem_undo[i]->id);
	return 0;
}

static int semundo_restore(struct session *s, struct thread *t, struct batch *b)
{
	const ThreadCoreEntry *tc = t->core->thread_core;
	int r = 0;

	for (size_t i = 0; r == 0 && i < tc->n_sem_undo; i++) {
		const SemUndoEntry *e = tc->sem_undo[i];
		struct ops o = { 0 };
		unsigned n;

		n = call3(b, "find a semaphore", SYS_semctl, e->id, e->num, GETVAL);
		r = batch_run(b);
		if (r < 0)
			return r;
		ops_adjust(&o, e->num, batch_ret(b, n), -e->adjust);
		batch_clear(b);
		ops_call(b, "have a semaphore undone at the end", e->id, &o);
		r = batch_run(b);
		batch_clear(b);
	}
	return r;
}

const struct task_kind task_kind_semundo = {
	.name = "semaphore adjustments",
	.stage = STAGE_ATTR,
	.per_thread = true,
	.more = semundo_more,
	.check = semundo_check,
	.restore = semundo_restore,
};
