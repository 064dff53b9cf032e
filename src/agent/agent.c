// SPDX-License-Identifier: Apache-2.0
/*
 * The agent: executes batches of system calls in a task. It knows no noun, decides nothing and has
 * no data; see agent/batch.h for what it reads and writes.
 *
 * It never makes a timed or restartable call of its own, so the task's restart_block stays valid.
 */
#include "agent/batch.h"

#include "syscall.h"

#include <linux/futex.h>
#include <stdbool.h>
#include <sys/syscall.h>

#define ORPHAN_SPINS (1U << 24)

void agent_main(struct agent_slot *s);

static int64_t agent_do(struct agent_call *calls, struct agent_call *c)
{
	int64_t a[6];

	for (int i = 0; i < 6; i++)
		a[i] = c->retref >> i & 1 ? calls[c->args[i]].ret : c->args[i];
	switch (c->nr) {
	case AGENT_MEMCPY:
		for (int64_t i = 0; i < a[2]; i++)
			((volatile char *)a[0])[i] = ((const volatile char *)a[1])[i];
		return 0;
	case AGENT_STORE32:
		*(volatile uint32_t *)a[0] = a[1];
		return 0;
	case AGENT_STORE64:
		*(volatile uint64_t *)a[0] = a[1];
		return 0;
	}
	if (c->flags & AGENT_CLONE)
		return raw_clone(c->nr, a[0], a[1], a[2]);
	return raw_syscall(c->nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static void agent_batch(struct agent_slot *s)
{
	struct agent_call *calls = (struct agent_call *)((char *)s + SLOT_CALLS);
	uint32_t i;

	for (i = 0; i < s->n; i++) {
		struct agent_call *c = &calls[i];

		c->ret = agent_do(calls, c);
		c->done = 1;
		if ((c->flags & AGENT_STOP) && c->ret < 0 && c->ret >= -4095) {
			i++;
			break;
		}
	}
	s->executed = i;
}

static bool died(uint64_t word)
{
	return __atomic_load_n((const uint32_t *)word, __ATOMIC_ACQUIRE) & FUTEX_OWNER_DIED;
}

/*
 * The supervisor is dead. The warden, if it lives, stops this thread in a moment. If it is about to die too, the
 * thread's seccomp filter comes into force again, and then no call but rt_sigreturn(2) may be made: so its word
 * is watched without one.
 */
static void agent_orphaned(const struct agent_slot *s)
{
	for (uint32_t n = 0; n < ORPHAN_SPINS && !died(s->tracer); n++)
		arch_relax();
	if (!died(s->tracer))
		return;
	if (s->orphan == ORPHAN_CURE)
		raw_sigreturn(s->frame);
	if (s->orphan == ORPHAN_EXIT) {
		/* the kernel woke one of us */
		raw_syscall(SYS_futex, s->owner, FUTEX_WAKE, 0x7fffffff, 0, 0, 0);
		raw_syscall(SYS_exit_group, 137, 0, 0, 0, 0, 0);
	}
}

void agent_main(struct agent_slot *s)
{
	uint32_t done = s->done;
	struct futex_waitv w[2] = {
		{ .uaddr = (uint64_t)&s->cmd, .flags = FUTEX_32 },
		{ .flags = FUTEX_32 },
	};

	s->tid = raw_syscall(SYS_gettid, 0, 0, 0, 0, 0, 0);
	for (;;) {
		uint32_t cmd = __atomic_load_n(&s->cmd, __ATOMIC_ACQUIRE);

		if (cmd != done) {
			agent_batch(s);
			done = cmd;
			__atomic_store_n(&s->done, cmd, __ATOMIC_RELEASE);
			raw_syscall(SYS_futex, (int64_t)&s->done, FUTEX_WAKE, 1, 0, 0, 0);
			continue;
		}
		/* the supervisor's end wakes us, not the warden's: the supervisor cures us then */
		w[1].uaddr = s->owner;
		if (died(s->owner)) {
			agent_orphaned(s);
			w[1].uaddr = s->tracer;
		}
		w[0].val = cmd;
		w[1].val = __atomic_load_n((uint32_t *)w[1].uaddr, __ATOMIC_ACQUIRE);
		if (w[1].uaddr == s->tracer || !(w[1].val & FUTEX_OWNER_DIED))
			raw_syscall(SYS_futex_waitv, (int64_t)w, 2, 0, 0, 0, 0);
	}
}
