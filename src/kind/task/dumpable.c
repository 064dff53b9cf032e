// SPDX-License-Identifier: Apache-2.0
/*
 * dumpable: may a process leave a core, and be looked at by its user (PR_SET_DUMPABLE).
 *
 * Kept:   0 and 1, in mm-P.img (read with the memory). Set after the credentials, whose change resets it.
 * Lost:   2 (root only), which prctl() cannot set: it becomes what the credentials make of it.
 * Kernel: prctl(2); commit_creds().
 */
#include "kind/task.h"

#include <sys/prctl.h>
#include <sys/syscall.h>

static int dumpable_restore(struct session *s, struct thread *t, struct batch *b)
{
	const MmEntry *mm = t->task->mm;

	if (mm->has_dumpable && mm->dumpable >= 0 && mm->dumpable <= 1)
		call5(b, "set it", SYS_prctl, PR_SET_DUMPABLE, mm->dumpable, 0, 0, 0);
	return 0;
}

const struct task_kind task_kind_dumpable = {
	.name = "dumpable",
	.stage = STAGE_TIMERS,
	.restore = dumpable_restore,
};
