// SPDX-License-Identifier: Apache-2.0
/*
 * rlimit: resource limits of a process.
 *
 * Kept:   soft and hard limit of all 16 resources; one that may not be raised is reported.
 * Kernel: prlimit64(2), by the task itself: of others it needs CAP_SYS_RESOURCE.
 */
#include "kind/task.h"

#include "base/res.h"

#include <sys/resource.h>
#include <sys/syscall.h>

#define LIMITS 16

static int rlimit_ask(struct session *s, struct thread *t, struct batch *b)
{
	for (int i = 0; i < LIMITS; i++)
		call4(b, "limits: read", SYS_prlimit64, 0, i, 0,
		      batch_mem(b, NULL, sizeof(struct rlimit), NULL));
	return 0;
}

static int rlimit_dump(struct session *s, struct thread *t, struct batch *b, unsigned first)
{
	TaskRlimitsEntry *e = xalloc(sizeof(*e));

	task_rlimits_entry__init(e);
	e->rlimits = xalloc(LIMITS * sizeof(*e->rlimits));
	for (int i = 0; i < LIMITS; i++) {
		const struct rlimit *l = batch_local(b, b->calls[first + i].args[3]);
		RlimitEntry *le = xalloc(sizeof(*le));

		rlimit_entry__init(le);
		le->cur = l->rlim_cur;
		le->max = l->rlim_max;
		e->rlimits[e->n_rlimits++] = le;
	}
	t->core->tc->rlimits = e;
	return 0;
}

static int rlimit_restore(struct session *s, struct thread *t, struct batch *b)
{
	const TaskRlimitsEntry *e = t->core->tc->rlimits;
	int r;

	for (size_t i = 0; i < e->n_rlimits && i < LIMITS; i++) {
		struct rlimit l = { e->rlimits[i]->cur, e->rlimits[i]->max };

		if (l.rlim_cur > l.rlim_max)
			l.rlim_cur = l.rlim_max;
		call4(b, NULL, SYS_prlimit64, 0, i, batch_mem(b, &l, sizeof(l), NULL), 0);
	}
	r = batch_run(b);
	for (unsigned i = 0; r == 0 && i < b->n; i++)
		if (batch_ret(b, i) < 0)
			session_warn(s, "task %d: limit %u cannot be raised to %llu without CAP_SYS_RESOURCE",
				     t->task->vpid, i, (unsigned long long)e->rlimits[i]->max);
	batch_clear(b);
	return r;
}

const struct task_kind task_kind_rlimit = {
	.name = "resource limits",
	.stage = STAGE_SECCOMP,
	.ask = rlimit_ask,
	.dump = rlimit_dump,
	.restore = rlimit_restore,
};
