// SPDX-License-Identifier: Apache-2.0
/*
 * cpu: what a thread asked of its processor.
 *
 * Kept:   speculation controls, whether RDTSC and CPUID trap, what a memory error does (PR_MCE_KILL), permission
 *         for AMX.
 * Lost:   a control that this processor or kernel lacks (reported).
 * Kernel: prctl(2) PR_GET_SPECULATION_CTRL, PR_GET_TSC, PR_MCE_KILL_GET; arch_prctl(2) ARCH_GET_CPUID,
 *         ARCH_GET_XCOMP_PERM.
 */
#include "kind/task.h"

#include "base/res.h"

#include <asm/prctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#ifndef ARCH_GET_XCOMP_PERM
#define ARCH_GET_XCOMP_PERM 0x1022
#define ARCH_REQ_XCOMP_PERM 0x1023
#endif
#define XCOMP_ASKED (1ULL << 18) /* AMX tile data: what is not permitted from the beginning */
#define KINDS 3 /* of speculation: store bypass, indirect branches, level 1 data cache */
#define L1D_FLUSH 2u
#define MCE_DEFAULT 2 /* PR_MCE_KILL_DEFAULT */

static int cpu_ask(struct session *s, struct thread *t, struct batch *b)
{
	for (int i = 0; i < KINDS; i++)
		call5(b, NULL, SYS_prctl, PR_GET_SPECULATION_CTRL, i, 0, 0, 0);
	call5(b, NULL, SYS_prctl, PR_GET_TSC, batch_mem(b, NULL, 4, NULL), 0, 0, 0);
	call5(b, NULL, SYS_prctl, PR_MCE_KILL_GET, 0, 0, 0, 0);
	call2(b, NULL, SYS_arch_prctl, ARCH_GET_CPUID, 0);
	call2(b, NULL, SYS_arch_prctl, ARCH_GET_XCOMP_PERM, batch_mem(b, NULL, 8, NULL));
	return 0;
}

/* Chosen by the program, and not what every thread begins with. */
static bool speculation_chosen(unsigned which, int64_t v)
{
	if (v < 0 || !(v & PR_SPEC_PRCTL))
		return false;
	return v & (which == L1D_FLUSH ? (int64_t)PR_SPEC_ENABLE : ~(int64_t)(PR_SPEC_PRCTL | PR_SPEC_ENABLE));
}

static int cpu_dump(struct session *s, struct thread *t, struct batch *b, unsigned first)
{
	ThreadCoreEntry *tc = t->core->thread_core;
	const uint32_t *tsc = batch_local(b, b->calls[first + KINDS].args[1]);
	const uint64_t *perm = batch_local(b, b->calls[first + KINDS + 3].args[1]);
	int64_t mce = batch_ret(b, first + KINDS + 1);

	for (unsigned i = 0; i < KINDS; i++) {
		int64_t v = batch_ret(b, first + i);

		if (!speculation_chosen(i, v))
			continue;
		tc->speculation = xgrow(tc->speculation, (tc->n_speculation + 2) * sizeof(*tc->speculation));
		tc->speculation[tc->n_speculation++] = i;
		tc->speculation[tc->n_speculation++] = v & ~(int64_t)PR_SPEC_PRCTL;
	}
	if (batch_ret(b, first + KINDS) == 0 && *tsc == PR_TSC_SIGSEGV)
		tc->has_tsc_traps = tc->tsc_traps = true;
	tc->has_mce_kill = mce >= 0 && mce != MCE_DEFAULT;
	tc->mce_kill = mce;
	if (batch_ret(b, first + KINDS + 2) == 0)
		tc->has_cpuid_traps = tc->cpuid_traps = true;
	if (t->core->tc && batch_ret(b, first + KINDS + 3) == 0 && *perm & XCOMP_ASKED) {
		t->core->tc->has_xcomp_perm = true;
		t->core->tc->xcomp_perm = *perm & XCOMP_ASKED;
	}
	return 0;
}

static int cpu_restore(struct session *s, struct thread *t, struct batch *b)
{
	const ThreadCoreEntry *tc = t->core->thread_core;
	const char *what[16];
	unsigned n = 0;
	int r;

	for (size_t i = 0; i + 1 < tc->n_speculation && i < 2 * KINDS; i += 2) {
		what[n++] = "the choice about speculation (PR_SET_SPECULATION_CTRL)";
		call5(b, NULL, SYS_prctl, PR_SET_SPECULATION_CTRL, tc->speculation[i], tc->speculation[i + 1], 0, 0);
	}
	if (tc->has_mce_kill) {
		what[n++] = "what a memory error does (PR_MCE_KILL)";
		call5(b, NULL, SYS_prctl, PR_MCE_KILL, PR_MCE_KILL_SET, tc->mce_kill, 0, 0);
	}
	if (tc->has_tsc_traps && tc->tsc_traps) {
		what[n++] = "the trap of RDTSC (PR_SET_TSC)";
		call5(b, NULL, SYS_prctl, PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0);
	}
	if (tc->has_cpuid_traps && tc->cpuid_traps) {
		what[n++] = "the trap of CPUID (ARCH_SET_CPUID)";
		call2(b, NULL, SYS_arch_prctl, ARCH_SET_CPUID, 0);
	}
	if (t->core->tc && t->core->tc->has_xcomp_perm && t->core->tc->xcomp_perm & XCOMP_ASKED) {
		what[n++] = "the permission to use AMX (ARCH_REQ_XCOMP_PERM)";
		call2(b, NULL, SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, __builtin_ctzll(XCOMP_ASKED));
	}
	r = n ? batch_run(b) : 0;
	for (unsigned i = 0; r == 0 && i < n; i++)
		if (batch_ret(b, i) < 0)
			session_warn(s, "thread %d: %s cannot be had on this machine", t->vtid, what[i]);
	return r;
}

const struct task_kind task_kind_cpu = {
	.name = "processor",
	.stage = STAGE_ATTR,
	.per_thread = true,
	.ask = cpu_ask,
	.dump = cpu_dump,
	.restore = cpu_restore,
};
