// SPDX-License-Identifier: Apache-2.0
/*
 * sleep: calls with a timeout that the kernel would go on with by restart_syscall(2): nanosleep(),
 * clock_nanosleep(), poll(), futex().
 *
 * Kept:   the remaining time of nanosleep() and clock_nanosleep() whose caller asked for it (rem is not
 *         NULL); absolute times of futex().
 * Lost:   what has passed of the other relative timeouts: they begin anew, and end later. A call
 *         that was restarted before, where the kernel does not tell which it is: it returns EINTR.
 * Kernel: the restart_block is neither shown nor set. At the interruption the remaining time is written to
 *         rem. At restore the agent sleeps that time in the new thread, and the stop that ends its work
 *         leaves a restart_block of the same sort behind: the kernel itself goes on with it.
 */
#include "kind/task.h"

#include "arch/arch.h"
#include "base/res.h"

#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

#define SECOND 1000000000ULL
#define AT_LEAST 300000000ULL /* ns; the rest of the restore must be done before the sleep is over */

static bool time_left(const struct thread *t, uint64_t rem, uint64_t *ret)
{
	struct timespec ts;
	struct iovec l = { &ts, sizeof(ts) }, m = { (void *)(uintptr_t)rem, sizeof(ts) };

	if (!rem || process_vm_readv(t->task->pid, &l, 1, &m, 1, 0) != sizeof(ts) || ts.tv_sec < 0 ||
	    ts.tv_nsec < 0 || ts.tv_nsec >= (long)SECOND || (uint64_t)ts.tv_sec > UINT64_MAX / SECOND / 2)
		return false;
	*ret = ts.tv_sec * SECOND + ts.tv_nsec;
	return true;
}

static int sleep_dump(struct session *s, struct thread *t, struct batch *b, unsigned first)
{
	ThreadInfoX86 *ti = t->core->thread_info;
	long nr = arch_restart_call(&t->tr->regs);
	uint64_t args[4], left;

	if (nr == SYS_restart_syscall)
		nr = (uintptr_t)map_get(session_map(s, "restarted call"), t->tid); /* see preflight.c */
	if (nr <= 0)
		return 0;
	arch_restart_args(ti, args);
	if ((nr == SYS_nanosleep && time_left(t, args[1], &left)) ||
	    (nr == SYS_clock_nanosleep && time_left(t, args[3], &left))) {
		t->core->thread_core->has_sleep_call = t->core->thread_core->has_sleep_left = true;
		t->core->thread_core->sleep_call = nr;
		t->core->thread_core->sleep_left = left;
		return 0; /* for a restore without these fields: EINTR */
	}
	if (nr == SYS_nanosleep || nr == SYS_clock_nanosleep || nr == SYS_poll || nr == SYS_futex)
		arch_save_again(ti, nr);
	return 0;
}

static int sleep_restore(struct session *s, struct thread *t, struct batch *unused)
{
	const ThreadCoreEntry *c = t->core->thread_core;
	uint64_t left = c->sleep_left > AT_LEAST ? c->sleep_left : AT_LEAST, args[4];
	struct timespec ts = { left / SECOND, left % SECOND };
	struct batch b;
	int64_t at;

	if (!c->has_sleep_call || (c->sleep_call != SYS_nanosleep && c->sleep_call != SYS_clock_nanosleep))
		return 0;
	arch_restart_args(t->core->thread_info, args);
	batch_start(s, &b, t);
	at = batch_mem(&b, &ts, sizeof(ts), NULL);
	if (c->sleep_call == SYS_nanosleep)
		call2(&b, NULL, SYS_nanosleep, at, args[1]);
	else
		call4(&b, NULL, SYS_clock_nanosleep, args[0], args[1], at, args[3]);
	batch_send(&b);
	arch_restart_load(&t->tr->regs, c->sleep_call);
	return 0;
}

const struct task_kind task_kind_sleep = {
	.name = "sleep",
	.stage = STAGE_SLEEP,
	.per_thread = true,
	.dump = sleep_dump,
	.restore = sleep_restore,
};
