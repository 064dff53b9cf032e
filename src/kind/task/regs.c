// SPDX-License-Identifier: Apache-2.0
/*
 * regs: general and floating point registers, and the signal mask.
 *
 * Kept:   all general registers, x87, SSE, AVX, AVX-512, MPX and PKRU state, fs and gs base, the blocked signals.
 * Lost:   contents of AMX tiles and of what newer processors have (reported).
 * Kernel: PTRACE_GETREGSET NT_PRSTATUS, NT_X86_XSTATE; layout by CPUID leaf 0xD.
 */
#include "kind/task.h"

#include "arch/arch.h"
#include "base/res.h"

#include <string.h>
#include <sys/syscall.h>

/*
 * Calls with a timeout that the kernel resumes by a note of its own (restart_syscall): poll and futex are made
 * again, with their whole timeout; sleeps are kept by sleep.c.
 */
static long call_again(struct session *s, const struct thread *t)
{
	long nr = task_restarting(s, t);

	return nr == SYS_poll || nr == SYS_futex ? nr : -1;
}

static int regs_dump(struct session *s, struct thread *t, struct batch *b, unsigned first)
{
	ThreadInfoX86 *ti = t->core->thread_info;
	uint64_t lost;

	arch_save_regs(ti, &t->tr->regs, call_again(s, t));
	lost = arch_save_xstate(ti, t->tr->xstate, t->tr->xstate_size);
	if (lost)
		session_warn(s, "thread %d: has register state (AMX or newer: XSAVE components 0x%llx) that is not kept",
			     t->vtid, (unsigned long long)lost);
	t->core->thread_core->has_blk_sigset = true;
	t->core->thread_core->blk_sigset = t->tr->sigmask;
	if (t->core->tc)
		t->core->tc->blk_sigset = t->tr->sigmask;
	return 0;
}

static int regs_restore(struct session *s, struct thread *t, struct batch *b)
{
	const CoreEntry *c = t->core;
	int r;

	arch_load_regs(c->thread_info, &t->tr->regs);
	r = arch_load_xstate(c->thread_info, t->tr->xstate, XSTATE_MAX);
	if (r == -ENODEV)
		return session_fail(s, r,
				    "core-%d.img: the thread uses registers (AVX, AVX-512 ...) that this processor has not; restore on one that has them",
				    t->vtid);
	if (r < 0)
		return session_fail(s, -EBADMSG, "core-%d.img: floating point state is damaged", t->vtid);
	t->tr->xstate_size = r;
	t->tr->sigmask = c->tc ? c->tc->blk_sigset : c->thread_core->blk_sigset;
	if (c->tc && t->task->state == TASK_STOPPED)
		t->tr->stop_signo = c->tc->has_stop_signo && c->tc->stop_signo < 65 ? c->tc->stop_signo
										    : SIGSTOP;
	return 0;
}

const struct task_kind task_kind_regs = {
	.name = "registers",
	.stage = STAGE_REGS,
	.per_thread = true,
	.dump = regs_dump,
	.restore = regs_restore,
};
