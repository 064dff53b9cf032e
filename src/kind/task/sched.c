// SPDX-License-Identifier: Apache-2.0
/*
 * sched: scheduling policy, nice value, priorities for CPU and disk, CPUs.
 *
 * Kept:   policy (deadline too), nice, time slice, real-time priority, reset-on-fork, utilisation clamps, CPU
 *         affinity, I/O priority.
 * Lost:   whether an affinity was chosen or came from a cpuset; which threads may share a core (PR_SCHED_CORE,
 *         reported).
 * Kernel: sched_getattr(2), sched_getaffinity(2), ioprio_get(2), from outside.
 */
#include "kind/task.h"

#include "base/res.h"

#include <limits.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#ifndef PR_SCHED_CORE
#define PR_SCHED_CORE 62
#define PR_SCHED_CORE_GET 0
#endif

#define POLICY_FIFO 1
#define POLICY_RR 2
#define POLICY_DEADLINE 6
#define FLAG_UTIL_MIN 0x20
#define FLAG_UTIL_MAX 0x40
#define FLAGS_KEPT 0x07 /* reset on fork, reclaim, overrun signal */
#define CLAMP_NONE 1024 /* of util_max */
#define IOPRIO_PROCESS 1
#define CPUS_MAX 8192 /* bits */

struct attr { /* struct sched_attr of the kernel, its second version */
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
	uint32_t util_min, util_max;
};

/* Source: the kernel fills whole words; all bits set up to the last CPU is no restriction. */
static void cpus_dump(const struct thread *t, ThreadCoreEntry *tc)
{
	unsigned long mask[CPUS_MAX / 8 / sizeof(long)] = { 0 };
	long n = syscall(SYS_sched_getaffinity, t->tid, sizeof(mask), mask);
	long online = sysconf(_SC_NPROCESSORS_ONLN), have = 0;

	for (long i = 0; n > 0 && i < n * 8; i++)
		have += mask[i / 64] >> i % 64 & 1;
	if (n <= 0 || have >= online)
		return;
	tc->has_cpus = true;
	tc->cpus = (ProtobufCBinaryData){ n, xmemdup(mask, n) };
}

/* The kernel does not show which slices were chosen: one that differs from what a task has by default. */
static int slice_begin(struct session *s)
{
	struct attr a = { .size = sizeof(a) };

	if (syscall(SYS_sched_getattr, 0, &a, sizeof(a), 0) < 0)
		return 0;
	if (a.policy == POLICY_DEADLINE || !a.runtime) /* a real-time one has none, older kernels tell none */
		return 0;
	a.runtime = 0; /* ours may be chosen, too: no longer */
	syscall(SYS_sched_setattr, 0, &a, 0);
	syscall(SYS_sched_getattr, 0, &a, sizeof(a), 0);
	map_put(session_map(s, "time slice"), 0, (void *)(uintptr_t)a.runtime);
	return 0;
}

static int sched_dump(struct session *s, struct thread *t, struct batch *b, unsigned first)
{
	ThreadCoreEntry *tc = t->core->thread_core;
	struct attr a = { .size = sizeof(a) };
	uint64_t cookie = 0, usual = (uintptr_t)map_get(session_map(s, "time slice"), 0);
	long io;

	if (syscall(SYS_sched_getattr, t->tid, &a, sizeof(a), 0) < 0)
		return session_fail(s, -errno, "thread %d: read its scheduling", t->vtid);
	tc->has_sched_policy = tc->has_sched_nice = true;
	tc->sched_policy = a.policy;
	tc->sched_nice = a.nice;
	tc->has_sched_prio = a.policy == POLICY_FIFO || a.policy == POLICY_RR;
	tc->sched_prio = a.priority;
	tc->has_sched_flags = a.flags & FLAGS_KEPT;
	tc->sched_flags = a.flags & FLAGS_KEPT;
	if (a.policy == POLICY_DEADLINE) {
		tc->has_sched_runtime = tc->has_sched_deadline = tc->has_sched_period = true;
		tc->sched_runtime = a.runtime;
		tc->sched_deadline = a.deadline;
		tc->sched_period = a.period;
	} else if (a.runtime && usual && a.runtime != usual) {
		tc->has_sched_runtime = true;
		tc->sched_runtime = a.runtime;
	}
	tc->has_util_min = a.util_min != 0;
	tc->util_min = a.util_min;
	tc->has_util_max = a.util_max && a.util_max != CLAMP_NONE;
	tc->util_max = a.util_max;
	cpus_dump(t, tc);
	if (prctl(PR_SCHED_CORE, PR_SCHED_CORE_GET, t->tid, 0, &cookie) == 0 && cookie)
		session_warn(s, "thread %d: has a core scheduling cookie (PR_SCHED_CORE), which is not kept", t->vtid);
	io = syscall(SYS_ioprio_get, IOPRIO_PROCESS, t->tid);
	tc->has_ioprio = io > 0;
	tc->ioprio = io;
	return 0;
}

static int attr_restore(struct session *s, const struct thread *t, const ThreadCoreEntry *tc)
{
	struct attr a = {
		.size = sizeof(a),
		.policy = tc->sched_policy,
		.flags = (tc->sched_flags & FLAGS_KEPT) | (tc->has_util_min ? FLAG_UTIL_MIN : 0) |
			 (tc->has_util_max ? FLAG_UTIL_MAX : 0),
		.nice = tc->sched_nice,
		.priority = tc->has_sched_prio ? tc->sched_prio : 0,
		.runtime = tc->sched_runtime,
		.deadline = tc->sched_deadline,
		.period = tc->sched_period,
		.util_min = tc->util_min,
		.util_max = tc->util_max,
	};

	if (syscall(SYS_sched_setattr, t->tid, &a, 0) == 0)
		return 0;
	return session_fail(s, -errno, "thread %d: set policy %u, nice %d, priority %u", t->vtid, a.policy,
			    a.nice, a.priority);
}

static int sched_restore(struct session *s, struct thread *t, struct batch *b)
{
	const ThreadCoreEntry *tc = t->core->thread_core;
	int r = 0;

	if (tc->has_cpus && tc->cpus.len <= CPUS_MAX / 8 &&
	    syscall(SYS_sched_setaffinity, t->tid, tc->cpus.len, tc->cpus.data) < 0)
		session_warn(s, "thread %d: none of the CPUs it was bound to is here; it runs on any", t->vtid);
	if (tc->has_ioprio && syscall(SYS_ioprio_set, IOPRIO_PROCESS, t->tid, tc->ioprio) < 0)
		session_warn(s, "thread %d: I/O priority 0x%x cannot be set", t->vtid, tc->ioprio);
	if (tc->has_sched_policy || tc->has_sched_nice)
		r = attr_restore(s, t, tc);
	return r;
}

const struct task_kind task_kind_sched = {
	.name = "scheduling",
	.stage = STAGE_ATTR,
	.per_thread = true,
	.begin = slice_begin,
	.dump = sched_dump,
	.restore = sched_restore,
};
