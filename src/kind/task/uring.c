// SPDX-License-Identifier: Apache-2.0
/*
 * uring: io_urings that a thread has registered with the kernel, to name them by an index instead of a descriptor
 * (IORING_REGISTER_RING_FDS, io_uring_register_ring_fd(3)).
 *
 * Kept:   the index, where the tree has one ring only. fd/uring.c registers it again.
 * Lost:   nothing; where there are several, the kernel does not tell which of them it is: refused.
 * Kernel: io_uring/tctx.c; entering one by its index, with nothing to submit, tells whether it is there.
 */
#include "kind/task.h"
#include "kind/uring.h"

#include "base/res.h"

#include <sys/syscall.h>

#define ENTER_REGISTERED 0x10 /* IORING_ENTER_REGISTERED_RING, Linux 5.18 */

static int uring_more(struct session *s, struct thread *t)
{
	ThreadCoreEntry *tc = t->core->thread_core;
	uint32_t id = 0;
	unsigned rings = uring_noted_only(s, &id);
	struct batch b;
	int r;

	if (!rings)
		return 0;
	batch_start(s, &b, t);
	for (unsigned i = 0; i < URING_REGISTERED_MAX; i++)
		batch_call(&b, NULL, SYS_io_uring_enter, i, 0, 0, ENTER_REGISTERED, 0, 0);
	r = batch_run(&b);
	for (unsigned i = 0; r == 0 && i < URING_REGISTERED_MAX; i++) {
		if (batch_ret(&b, i) < 0)
			continue;
		if (rings > 1)
			return session_fail(s, -ENOTSUP,
					    "thread %d: has one of %u io_urings registered (IORING_REGISTER_RING_FDS), and the kernel does not show which; run the program without io_uring",
					    t->vtid, rings);
		tc->rings = xgrow(tc->rings, (tc->n_rings + 2) * sizeof(*tc->rings));
		tc->rings[tc->n_rings++] = i;
		tc->rings[tc->n_rings++] = id;
	}
	return r;
}

const struct task_kind task_kind_uring = {
	.name = "registered io_uring",
	.stage = STAGE_ATTR,
	.per_thread = true,
	.more = uring_more,
};
