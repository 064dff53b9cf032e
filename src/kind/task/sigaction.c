// SPDX-License-Identifier: Apache-2.0
/*
 * sigaction: what a process does on each signal.
 *
 * Kept:   handler, flags, restorer and mask of all 62 signals that can be handled.
 * Kernel: rt_sigaction(2), struct kernel_sigaction {handler, flags, restorer, mask}.
 */
#include "kind/task.h"

#include "base/res.h"

#include <string.h>
#include <sys/syscall.h>

struct kernel_sigaction {
	uint64_t handler, flags, restorer, mask;
};

static bool fixed(int sig)
{
	return sig == SIGKILL || sig == SIGSTOP;
}

static int sigaction_ask(struct session *s, struct thread *t, struct batch *b)
{
	for (int sig = 1; sig <= 64; sig++)
		if (!fixed(sig))
			call4(b, "signals: read actions", SYS_rt_sigaction, sig, 0,
			      batch_mem(b, NULL, sizeof(struct kernel_sigaction), NULL), 8);
	return 0;
}

static int sigaction_dump(struct session *s, struct thread *t, struct batch *b, unsigned first)
{
	TaskCoreEntry *tc = t->core->tc;

	tc->sigactions = xalloc(62 * sizeof(*tc->sigactions));
	for (int i = 0; i < 62; i++) {
		const struct kernel_sigaction *k = batch_local(b, b->calls[first + i].args[2]);
		SaEntry *e = xalloc(sizeof(*e));

		sa_entry__init(e);
		e->sigaction = k->handler;
		e->flags = k->flags;
		e->restorer = k->restorer;
		e->mask = k->mask;
		tc->sigactions[tc->n_sigactions++] = e;
	}
	return 0;
}

static int sigaction_restore(struct session *s, struct thread *t, struct batch *b)
{
	const TaskCoreEntry *tc = t->core->tc;
	int i = 0;

	for (int sig = 1; sig <= 64 && tc->n_sigactions == 62; sig++) {
		struct kernel_sigaction k;

		if (fixed(sig))
			continue;
		k = (struct kernel_sigaction){ tc->sigactions[i]->sigaction, tc->sigactions[i]->flags,
					       tc->sigactions[i]->restorer, tc->sigactions[i]->mask };
		i++;
		call4(b, "set an action", SYS_rt_sigaction, sig, batch_mem(b, &k, sizeof(k), NULL), 0, 8);
	}
	return 0;
}

const struct task_kind task_kind_sigaction = {
	.name = "signal actions",
	.stage = STAGE_ATTR,
	.ask = sigaction_ask,
	.dump = sigaction_dump,
	.restore = sigaction_restore,
};
