// SPDX-License-Identifier: Apache-2.0
/*
 * sched: scheduling policy, nice value, real-time priority.
 *
 * Kept:   policy, nice, priority.
 * Lost:   CPU affinity, I/O priority, uclamp; deadline tasks are refused.
 * Kernel: sched_setscheduler(2), setpriority(2), from outside.
 */
#include "kind/task.h"

#include "base/res.h"

#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#ifndef SCHED_DEADLINE
#define SCHED_DEADLINE 6
#endif

static int sched_dump(struct session *s, struct thread *t, struct batch *b, unsigned first)
{
	ThreadCoreEntry *tc = t->core->thread_core;
	struct sched_param p = { 0 };
	int policy = sched_getscheduler(t->tid), nice;

	if (policy < 0 || sched_getparam(t->tid, &p) < 0)
		return session_fail(s, -errno, "thread %d: read its scheduling", t->vtid);
	policy &= ~SCHED_RESET_ON_FORK;
	if (policy == SCHED_DEADLINE)
		return session_fail(s, -ENOTSUP,
				    "thread %d: runs under SCHED_DEADLINE, which is not supported yet",
				    t->vtid);
	errno = 0;
	nice = getpriority(PRIO_PROCESS, t->tid);
	if (errno)
		return session_fail(s, -errno, "thread %d: read its nice value", t->vtid);
	tc->has_sched_policy = true;
	tc->sched_policy = policy;
	tc->has_sched_nice = true;
	tc->sched_nice = nice;
	if (policy == SCHED_FIFO || policy == SCHED_RR) {
		tc->has_sched_prio = true;
		tc->sched_prio = p.sched_priority;
	}
	return 0;
}

static int sched_restore(struct session *s, struct thread *t, struct batch *b)
{
	const ThreadCoreEntry *tc = t->core->thread_core;
	struct sched_param p = { .sched_priority = tc->has_sched_prio ? tc->sched_prio : 0 };

	if (tc->has_sched_nice && setpriority(PRIO_PROCESS, t->tid, tc->sched_nice) < 0)
		return session_fail(s, -errno, "thread %d: set nice %d", t->vtid, tc->sched_nice);
	if (tc->has_sched_policy && sched_setscheduler(t->tid, tc->sched_policy, &p) < 0)
		return session_fail(s, -errno, "thread %d: set policy %u priority %d", t->vtid,
				    tc->sched_policy, p.sched_priority);
	return 0;
}

const struct task_kind task_kind_sched = {
	.name = "scheduling",
	.stage = STAGE_ATTR,
	.per_thread = true,
	.dump = sched_dump,
	.restore = sched_restore,
};
