// SPDX-License-Identifier: Apache-2.0
/*
 * sigpending: signals that were sent and not yet taken, of a thread and of the whole process.
 *
 * Kept:   both queues with their siginfo, in order.
 * Kernel: PTRACE_PEEKSIGINFO; rt_sigqueueinfo(2) by the thread itself, which may use any si_code.
 *         What our own restore left (SIGCHLD of zombies) is taken away first.
 */
#include "kind/task.h"

#include "base/list.h"
#include "base/res.h"
#include "task/warden.h"

#include <assert.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#define PIECE 256u /* signals asked for at once */

/* what the tracer's table had no room for */
struct rest {
	struct queue {
		struct info {
			unsigned char siginfo[128];
		} *v;
		size_t n, max;
	} queue[2]; /* private, shared */
};

static int rest_note(struct session *s, struct thread *t, unsigned shared, struct queue *q)
{
	struct info *scratch = warden_scratch(s);
	struct __ptrace_peeksiginfo_args *args = (void *)(scratch + PIECE);
	long r;

	static_assert(PIECE * sizeof(struct info) + sizeof(*args) <= TRACE_SCRATCH, "scratch is too small");
	do {
		args->flags = shared ? PTRACE_PEEKSIGINFO_SHARED : 0;
		args->off = TRACEE_PENDING + q->n;
		args->nr = PIECE;
		r = warden_ptrace(s, PTRACE_PEEKSIGINFO, t->tid, (uintptr_t)args, true);
		if (r < 0)
			return session_fail(s, r, "task %d: thread %d: read its pending signals",
					    t->task->vpid, t->vtid);
		for (long i = 0; i < r; i++)
			*vec_add(q) = scratch[i];
	} while (r == PIECE);
	return 0;
}

static int sigpending_note(struct session *s, struct thread *t)
{
	struct rest *rest = NULL;
	int r = 0;

	for (unsigned shared = 0; r == 0 && shared < 2; shared++) {
		if (t->tr->n_pending[shared] < TRACEE_PENDING)
			continue;
		if (!rest) {
			rest = xalloc(sizeof(*rest));
			map_put(session_map(s, "pending signals"), t->tid, rest);
		}
		r = rest_note(s, t, shared, &rest->queue[shared]);
	}
	return r;
}

static void signal_add(SignalQueueEntry *q, const unsigned char *info)
{
	SiginfoEntry *e = xalloc(sizeof(*e));

	siginfo_entry__init(e);
	e->siginfo.len = 128;
	e->siginfo.data = xmemdup(info, 128);
	q->signals[q->n_signals++] = e;
}

static SignalQueueEntry *queue_dump(struct session *s, const struct thread *t, unsigned shared)
{
	const struct tracee *tr = t->tr;
	const struct rest *rest = map_get(session_map(s, "pending signals"), t->tid);
	const struct queue none = { 0 }, *more = rest ? &rest->queue[shared] : &none;
	SignalQueueEntry *q = xalloc(sizeof(*q));

	signal_queue_entry__init(q);
	q->signals = xalloc((tr->n_pending[shared] + more->n + 1) * sizeof(*q->signals));
	for (uint32_t i = 0; i < tr->n_pending[shared]; i++)
		signal_add(q, tr->pending[shared][i]);
	for (size_t i = 0; i < more->n; i++)
		signal_add(q, more->v[i].siginfo);
	return q;
}

static int sigpending_dump(struct session *s, struct thread *t, struct batch *b, unsigned first)
{
	t->core->thread_core->signals_p = queue_dump(s, t, 0);
	if (t->core->tc)
		t->core->tc->signals_s = queue_dump(s, t, 1);
	return 0;
}

static int queue_restore(struct session *s, struct thread *t, struct batch *b,
			 const SignalQueueEntry *q, bool shared)
{
	for (size_t i = 0; q && i < q->n_signals; i++) {
		int sig, r;

		if (q->signals[i]->siginfo.len != 128)
			return session_fail(s, -EBADMSG, "core-%d.img: a pending signal is damaged", t->vtid);
		memcpy(&sig, q->signals[i]->siginfo.data, 4);
		if (!batch_room(b, 1, 128)) {
			r = batch_run(b);
			batch_clear(b);
			if (r < 0)
				return r;
		}
		if (shared)
			call3(b, "queue it", SYS_rt_sigqueueinfo, task_self(t->task), sig,
			      batch_mem(b, q->signals[i]->siginfo.data, 128, NULL));
		else
			call4(b, "queue it", SYS_rt_tgsigqueueinfo, task_self(t->task), thread_self(t), sig,
			      batch_mem(b, q->signals[i]->siginfo.data, 128, NULL));
	}
	return 0;
}

static int sigpending_restore(struct session *s, struct thread *t, struct batch *b)
{
	uint64_t all = ~0ULL, zero[2] = { 0, 0 };
	int r;

	if (t->core->tc) {
		for (int i = 0; i < 64; i++)
			call4(b, NULL, SYS_rt_sigtimedwait, batch_mem(b, &all, 8, NULL), 0,
			      batch_mem(b, zero, 16, NULL), 8);
		r = batch_run(b);
		batch_clear(b);
		if (r < 0)
			return r;
	}
	r = queue_restore(s, t, b, t->core->thread_core->signals_p, false);
	if (r == 0 && t->core->tc)
		r = queue_restore(s, t, b, t->core->tc->signals_s, true);
	return r;
}

const struct task_kind task_kind_sigpending = {
	.name = "pending signals",
	.stage = STAGE_PENDING,
	.per_thread = true,
	.note = sigpending_note,
	.dump = sigpending_dump,
	.restore = sigpending_restore,
};
