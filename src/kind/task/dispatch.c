// SPDX-License-Identifier: Apache-2.0
/*
 * dispatch: system calls that a thread has sent to itself as SIGSYS (PR_SET_SYSCALL_USER_DISPATCH).
 *
 * Kept:   mode, range, address of the selector.
 * Kernel: PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG (Linux 6.4), with which the tracer switches it off while agents
 *         work. On an older kernel the agent's first call would be sent to the task: such a kernel tells nothing.
 */
#include "kind/task.h"

#include "base/res.h"

static int dispatch_dump(struct session *s, struct thread *t, struct batch *b, unsigned first)
{
	ThreadDispatchEntry *e;

	if (!t->tr->sud_mode)
		return 0;
	e = xalloc(sizeof(*e));
	thread_dispatch_entry__init(e);
	e->mode = t->tr->sud_mode;
	e->selector = t->tr->sud_selector;
	e->offset = t->tr->sud_offset;
	e->len = t->tr->sud_len;
	t->core->thread_core->dispatch = e;
	return 0;
}

static int dispatch_restore(struct session *s, struct thread *t, struct batch *b)
{
	const ThreadDispatchEntry *e = t->core->thread_core->dispatch;

	if (!e)
		return 0;
	t->tr->sud_mode = e->mode;
	t->tr->sud_selector = e->selector;
	t->tr->sud_offset = e->offset;
	t->tr->sud_len = e->len;
	return 0;
}

const struct task_kind task_kind_dispatch = {
	.name = "syscall user dispatch",
	.stage = STAGE_REGS,
	.per_thread = true,
	.dump = dispatch_dump,
	.restore = dispatch_restore,
};
