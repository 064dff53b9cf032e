// SPDX-License-Identifier: Apache-2.0
/*
 * pdeathsig: the signal a thread gets when its parent dies.
 *
 * Kept:   the signal. Set after the credentials, whose change clears it.
 *         The root's parent is the restorer, at whose end it gets the signal, unless restored as a sibling: reported.
 * Kernel: prctl(2) PR_SET_PDEATHSIG; commit_creds().
 */
#include "kind/task.h"

#include <sys/prctl.h>
#include <sys/syscall.h>

static int pdeathsig_ask(struct session *s, struct thread *t, struct batch *b)
{
	call5(b, "parent death signal: read", SYS_prctl, PR_GET_PDEATHSIG,
	      batch_mem(b, NULL, 4, NULL), 0, 0, 0);
	return 0;
}

static int pdeathsig_dump(struct session *s, struct thread *t, struct batch *b, unsigned first)
{
	uint32_t sig = *(uint32_t *)batch_local(b, b->calls[first].args[1]);

	if (sig) {
		t->core->thread_core->has_pdeath_sig = true;
		t->core->thread_core->pdeath_sig = sig;
	}
	return 0;
}

static int pdeathsig_restore(struct session *s, struct thread *t, struct batch *b)
{
	uint32_t sig = t->core->thread_core->pdeath_sig;

	if (!t->core->thread_core->has_pdeath_sig)
		return 0;
	call2(b, "set it", SYS_prctl, PR_SET_PDEATHSIG, sig);
	if (sig && !t->task->parent && !s->opts->rst_sibling)
		session_warn(s, "thread %d: gets signal %u when the restorer ends, which is its parent (PR_SET_PDEATHSIG); "
			     "restored as a sibling (--restore-sibling), the caller is", t->vtid, sig);
	return 0;
}

const struct task_kind task_kind_pdeathsig = {
	.name = "parent death signal",
	.stage = STAGE_TIMERS,
	.per_thread = true,
	.ask = pdeathsig_ask,
	.dump = pdeathsig_dump,
	.restore = pdeathsig_restore,
};
