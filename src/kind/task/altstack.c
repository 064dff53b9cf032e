// SPDX-License-Identifier: Apache-2.0
/*
 * altstack: the alternate signal stack of a thread.
 *
 * Kept:   address, size, SS_DISABLE, SS_AUTODISARM.
 * Kernel: sigaltstack(2). "On the stack" is where the stack pointer is, nothing to be set.
 */
#include "kind/task.h"

#include "base/res.h"

#include <sys/syscall.h>

static int altstack_ask(struct session *s, struct thread *t, struct batch *b)
{
	call2(b, "alternate stack: read", SYS_sigaltstack, 0, batch_mem(b, NULL, sizeof(stack_t), NULL));
	return 0;
}

static int altstack_dump(struct session *s, struct thread *t, struct batch *b, unsigned first)
{
	const stack_t *ss = batch_local(b, b->calls[first].args[1]);
	ThreadSasEntry *e = xalloc(sizeof(*e));

	thread_sas_entry__init(e);
	e->ss_sp = (uintptr_t)ss->ss_sp;
	e->ss_size = ss->ss_size;
	e->ss_flags = ss->ss_flags & ~SS_ONSTACK;
	t->core->thread_core->sas = e;
	return 0;
}

static int altstack_restore(struct session *s, struct thread *t, struct batch *b)
{
	const ThreadSasEntry *e = t->core->thread_core->sas;
	stack_t ss;

	if (!e)
		return 0;
	ss = (stack_t){ .ss_sp = (void *)(uintptr_t)e->ss_sp,
			.ss_size = e->ss_size,
			.ss_flags = e->ss_flags & ~SS_ONSTACK };
	call2(b, "set it", SYS_sigaltstack, batch_mem(b, &ss, sizeof(ss), NULL), 0);
	return 0;
}

const struct task_kind task_kind_altstack = {
	.name = "alternate stack",
	.stage = STAGE_ATTR,
	.per_thread = true,
	.ask = altstack_ask,
	.dump = altstack_dump,
	.restore = altstack_restore,
};
