// SPDX-License-Identifier: Apache-2.0
#include "task/batch.h"

#include "task/inject.h"
#include "task/warden.h"

#include <assert.h>
#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BATCH_TIMEOUT_NS 30000000000ULL /* a batch of calls that do not block */

static uint64_t slot_offset(const struct thread *t)
{
	return area_slot(t->area, t->slot) - t->area->remote;
}

void batch_start(struct session *s, struct batch *b, struct thread *t)
{
	assert(t->area && t->slot < t->area->n_slots);
	b->s = s;
	b->t = t;
	b->slot = (struct agent_slot *)(t->area->local + slot_offset(t));
	b->calls = (struct agent_call *)((char *)b->slot + SLOT_CALLS);
	b->running = false;
	batch_clear(b);
}

void batch_clear(struct batch *b)
{
	assert(!b->running);
	b->n = 0;
	b->arena = 0;
}

bool batch_room(const struct batch *b, unsigned calls, size_t bytes)
{
	return b->n + calls <= SLOT_CALLS_MAX && b->arena + bytes + 16 <= SLOT_ARENA_SIZE;
}

unsigned batch_call(struct batch *b, const char *what, long nr, int64_t a0, int64_t a1, int64_t a2,
		    int64_t a3, int64_t a4, int64_t a5)
{
	struct agent_call *c = &b->calls[b->n];

	assert(b->n < SLOT_CALLS_MAX);
	memset(c, 0, sizeof(*c));
	c->nr = nr;
	c->args[0] = a0;
	c->args[1] = a1;
	c->args[2] = a2;
	c->args[3] = a3;
	c->args[4] = a4;
	c->args[5] = a5;
	b->what[b->n] = what;
	return b->n++;
}

void batch_use(struct batch *b, unsigned n, unsigned arg, unsigned of)
{
	assert(n < b->n && of < n && arg < 6);
	b->calls[n].args[arg] = of;
	b->calls[n].retref |= 1 << arg;
}

void batch_stop(struct batch *b, unsigned n)
{
	assert(n < b->n);
	b->calls[n].flags |= AGENT_STOP;
}

int64_t batch_mem(struct batch *b, const void *init, size_t n, void *ret_local)
{
	char *local = (char *)b->slot + SLOT_ARENA + b->arena;
	int64_t remote = b->t->area->remote + slot_offset(b->t) + SLOT_ARENA + b->arena;

	assert(b->arena + n <= SLOT_ARENA_SIZE);
	if (init)
		memcpy(local, init, n);
	else
		memset(local, 0, n);
	b->arena = (b->arena + n + 15) & ~15u;
	if (ret_local)
		*(void **)ret_local = local;
	return remote;
}

int64_t batch_str(struct batch *b, const char *text)
{
	return batch_mem(b, text, strlen(text) + 1, NULL);
}

void *batch_local(const struct batch *b, int64_t addr)
{
	uint64_t off = addr - (b->t->area->remote + slot_offset(b->t));

	assert(off >= SLOT_ARENA && off < SLOT_ARENA + SLOT_ARENA_SIZE);
	return (char *)b->slot + off;
}

void batch_send(struct batch *b)
{
	assert(!b->running);
	b->slot->n = b->n;
	b->slot->executed = 0;
	b->running = true;
	__atomic_store_n(&b->slot->cmd, b->slot->cmd + 1, __ATOMIC_RELEASE);
	syscall(SYS_futex, &b->slot->cmd, FUTEX_WAKE, 1, NULL, NULL, 0);
}

bool batch_done(const struct batch *b)
{
	return __atomic_load_n(&b->slot->done, __ATOMIC_ACQUIRE) == b->slot->cmd;
}

static int batch_await(struct batch *b)
{
	const struct timespec tick = { .tv_nsec = 50000000 };
	uint64_t end = now_ns() + BATCH_TIMEOUT_NS;

	for (;;) {
		uint32_t done = __atomic_load_n(&b->slot->done, __ATOMIC_ACQUIRE);
		int r;

		if (done == b->slot->cmd)
			return 0;
		r = syscall(SYS_futex, &b->slot->done, FUTEX_WAIT, done, &tick, NULL, 0);
		if (r == 0 || errno != ETIMEDOUT)
			continue;
		if (b->s->warden) {
			r = warden_pump(b->s);
			if (r < 0)
				return r;
		}
		if (kill(b->t->task->pid, 0) < 0 && errno == ESRCH)
			return session_fail(b->s, -ESRCH, "task %d: died while its agent worked",
					    b->t->task->vpid);
		if (now_ns() > end)
			return session_fail(b->s, -ETIMEDOUT, "task %d: thread %d: the agent hangs",
					    b->t->task->vpid, b->t->vtid);
	}
}

int batch_wait(struct batch *b)
{
	int r;

	if (!b->running)
		return 0;
	r = batch_await(b);
	b->running = false;
	if (r < 0)
		return r;
	for (unsigned i = 0; i < b->n; i++) {
		int64_t ret = batch_ret(b, i);

		if (b->what[i] && ret < 0 && ret >= -4095)
			return session_fail(b->s, ret, "task %d: thread %d: %s", b->t->task->vpid,
					    b->t->vtid, b->what[i]);
	}
	return 0;
}

int batch_run(struct batch *b)
{
	if (!b->n)
		return 0;
	batch_send(b);
	return batch_wait(b);
}

int64_t batch_ret(const struct batch *b, unsigned n)
{
	assert(n < b->n);
	return n < b->slot->executed ? b->calls[n].ret : -ECANCELED;
}
