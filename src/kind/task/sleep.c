// SPDX-License-Identifier: Apache-2.0
/*
 * sleep: threads stopped in nanosleep(2), clock_nanosleep(2) without TIMER_ABSTIME, poll(2) or a futex(2) that
 * waits for a time.
 *
 * Kept:   what is left of the time: of a sleep, as the kernel says it where the program gave a place for it; else
 *         as kind/asleep.c knows it. A restored sleep lasts 50 ms at least.
 * Lost:   what is left, where neither knows it: the time begins anew.
 * Kernel: restart_block: what is to be resumed is known to the kernel only. In a new thread the agent makes the
 *         call, is stopped in it, and the thread resumes it when it is let go.
 */
#include "kind/task.h"

#include "arch/arch.h"
#include "base/res.h"
#include "base/text.h"
#include "kind/asleep.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
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

static bool timespec_at(const struct thread *t, uint64_t at, uint64_t *ret)
{
	struct timespec v;

	if (peek(t, at, &v, sizeof(v)) < 0 || v.tv_sec < 0 || (uint64_t)v.tv_sec > MOST / SECOND || v.tv_nsec < 0)
		return false;
	*ret = v.tv_sec * SECOND + v.tv_nsec;
	return true;
}

/* The time that a call was given, or what is left of it where the kernel said so (*exact). */
static bool time_of(const struct thread *t, long nr, uint64_t *ret, bool *exact)
{
	const struct user_regs_struct *r = &t->tr->regs;
	bool nano = nr == SYS_nanosleep;
	uint64_t rem = arch_call_arg(r, nano ? 1 : 3);
	int ms = arch_call_arg(r, 2);

	switch (nr) {
	case SYS_nanosleep:
	case SYS_clock_nanosleep:
		*exact = rem;
		return timespec_at(t, rem ? rem : arch_call_arg(r, nano ? 0 : 2), ret);
	case SYS_poll:
		*ret = ms * (SECOND / 1000);
		return ms >= 0;
	case SYS_futex: /* the others wait until a time */
		return (arch_call_arg(r, 1) & FUTEX_CMD_MASK) == FUTEX_WAIT && rem && timespec_at(t, rem, ret);
	}
	return false;
}

static int sleep_note(struct session *s, struct thread *t)
{
	asleep_stopped(s, t);
	return 0;
}

static int sleep_dump(struct session *s, struct thread *t, struct batch *b, unsigned first)
{
	const struct user_regs_struct *r = &t->tr->regs;
	ThreadSleepEntry *e;
	long nr = task_restarting(s, t);
	uint64_t left, slept = asleep_for(s, t, nr);
	bool exact = false, nano = nr == SYS_nanosleep || nr == SYS_clock_nanosleep;

	if (!time_of(t, nr, &left, &exact) || (!nano && !slept))
		return 0;
	e = xalloc(sizeof(*e));
	thread_sleep_entry__init(e);
	e->clockid = nr == SYS_clock_nanosleep ? (int)arch_call_arg(r, 0) : -1;
	e->rem = nano ? arch_call_arg(r, nr == SYS_nanosleep ? 1 : 3) : 0;
	e->remaining = exact ? left : left > slept ? left - slept : 0;
	e->has_call = !nano;
	e->call = nr;
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

/* The call that the agent makes in the thread's stead. */
static void add_call(struct batch *b, const struct thread *t, const ThreadSleepEntry *e, long nr, uint64_t ns)
{
	const struct user_regs_struct *r = &t->tr->regs;
	struct timespec left = { ns / SECOND, ns % SECOND };
	int64_t at = batch_mem(b, &left, sizeof(left), NULL);

	switch (nr) {
	case SYS_nanosleep:
		call2(b, NULL, nr, at, e->rem);
		break;
	case SYS_clock_nanosleep:
		call4(b, NULL, nr, e->clockid, 0, at, e->rem);
		break;
	case SYS_poll:
		call3(b, NULL, nr, arch_call_arg(r, 0), arch_call_arg(r, 1), ns / (SECOND / 1000) + 1);
		break;
	case SYS_futex:
		call4(b, NULL, nr, arch_call_arg(r, 0), arch_call_arg(r, 1), arch_call_arg(r, 2), at);
		break;
	}
}

static int sleep_restore(struct session *s, struct thread *t, struct batch *unused)
{
	const ThreadSleepEntry *e = t->core->thread_core->sleep;
	uint64_t ns = !e ? 0 : e->remaining < LEAST ? LEAST : e->remaining;
	long nr = e && e->has_call ? (long)e->call : e && e->clockid < 0 ? SYS_nanosleep : SYS_clock_nanosleep;
	struct batch b;
	int r;

	if (!e || ns > MOST || (e->has_call && (nr != SYS_poll && nr != SYS_futex)))
		return 0;
	if (nr == SYS_poll && ns / (SECOND / 1000) >= INT_MAX)
		return 0;
	batch_start(s, &b, t);
	add_call(&b, t, e, nr, ns);
	batch_send(&b);
	r = await_call(s, t, &b, nr);
	if (e->has_call)
		arch_enter_again(&t->tr->regs); /* images say: make it again */
	arch_resume_call(&t->tr->regs, nr);
	return r;
}

const struct task_kind task_kind_sleep = {
	.name = "sleep",
	.stage = STAGE_SLEEP,
	.per_thread = true,
	.note = sleep_note,
	.dump = sleep_dump,
	.restore = sleep_restore,
};
