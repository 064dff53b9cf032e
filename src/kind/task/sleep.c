// SPDX-License-Identifier: Apache-2.0
/*
 * sleep: threads stopped in nanosleep(2), or clock_nanosleep(2) without TIMER_ABSTIME.
 *
 * Kept:   what is left of the sleep, where the program gave the kernel a place to say it; else it begins anew.
 *         A restored sleep lasts 50 ms at least.
 * Kernel: restart_block: what is to be resumed is known to the kernel only. In a new thread the agent makes the
 *         call, is stopped in it, and the thread resumes it when it is let go.
 */
#include "kind/task.h"

#include "arch/arch.h"
#include "base/res.h"
#include "base/text.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

#define SECOND 1000000000ULL
#define LEAST 50000000ULL /* ns: longer than what follows at a restore takes */
#define MOST (1ULL << 62)

static int peek(const struct thread *t, uint64_t at, void *buf, size_t n)
{
	struct iovec l = { buf, n }, m = { (void *)(uintptr_t)at, n };

	return process_vm_readv(t->task->pid, &l, 1, &m, 1, 0) == (ssize_t)n ? 0 : -EFAULT;
}

static int sleep_dump(struct session *s, struct thread *t, struct batch *b, unsigned first)
{
	const struct user_regs_struct *r = &t->tr->regs;
	ThreadSleepEntry *e;
	struct timespec left;
	long nr = task_restarting(s, t);

	if (nr != SYS_nanosleep && nr != SYS_clock_nanosleep)
		return 0;
	e = xalloc(sizeof(*e));
	thread_sleep_entry__init(e);
	e->clockid = nr == SYS_nanosleep ? -1 : (int)arch_call_arg(r, 0);
	e->rem = arch_call_arg(r, nr == SYS_nanosleep ? 1 : 3);
	if (peek(t, e->rem ? e->rem : arch_call_arg(r, nr == SYS_nanosleep ? 0 : 2), &left, sizeof(left)) < 0 ||
	    left.tv_sec < 0 || (uint64_t)left.tv_sec > MOST / SECOND || left.tv_nsec < 0) {
		free(e);
		return 0;
	}
	e->remaining = left.tv_sec * SECOND + left.tv_nsec;
	t->core->thread_core->sleep = e;
	return 0;
}

/* Until the agent is in that call, or through it. */
static int await_call(struct session *s, const struct thread *t, const struct batch *b, long nr)
{
	for (int n = 0; n < 5000; n++) {
		own_mem char *text = NULL;
		int r = text_readf(AT_FDCWD, &text, "/proc/%d/task/%d/syscall", t->task->pid, t->tid);

		if (r < 0)
			return session_fail(s, r, "thread %d: see whether it sleeps", t->vtid);
		if (strtol(text, NULL, 10) == nr || batch_done(b))
			return 0;
		if (n > 10)
			poll(NULL, 0, 1);
	}
	return session_fail(s, -ETIMEDOUT, "thread %d: does not go to sleep again", t->vtid);
}

static int sleep_restore(struct session *s, struct thread *t, struct batch *unused)
{
	const ThreadSleepEntry *e = t->core->thread_core->sleep;
	uint64_t ns = !e ? 0 : e->remaining < LEAST ? LEAST : e->remaining;
	struct timespec left = { ns / SECOND, ns % SECOND };
	long nr = e && e->clockid < 0 ? SYS_nanosleep : SYS_clock_nanosleep;
	struct batch b;
	int64_t at;
	int r;

	if (!e || ns > MOST)
		return 0;
	batch_start(s, &b, t);
	at = batch_mem(&b, &left, sizeof(left), NULL);
	if (nr == SYS_nanosleep)
		call2(&b, NULL, nr, at, e->rem);
	else
		call4(&b, NULL, nr, e->clockid, 0, at, e->rem);
	batch_send(&b);
	r = await_call(s, t, &b, nr);
	arch_resume_call(&t->tr->regs, nr);
	return r;
}

const struct task_kind task_kind_sleep = {
	.name = "sleep",
	.stage = STAGE_SLEEP,
	.per_thread = true,
	.dump = sleep_dump,
	.restore = sleep_restore,
};
