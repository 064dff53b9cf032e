// SPDX-License-Identifier: Apache-2.0
#include "task/inject.h"

#include "agent/blob.h"
#include "base/res.h"
#include "task/warden.h"

#include <assert.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

size_t area_size(unsigned n_slots)
{
	return AREA_HEAD + AREA_CODE + (size_t)n_slots * SLOT_SIZE;
}

uint64_t area_entry(const struct area *a)
{
	return a->remote + AREA_HEAD;
}

uint64_t area_slot(const struct area *a, unsigned slot)
{
	return a->remote + AREA_HEAD + AREA_CODE + (uint64_t)slot * SLOT_SIZE;
}

/* Fill a fresh area: the code, and in every slot where its owner word is. */
static void area_fill(struct area *a, enum agent_orphan orphan)
{
	assert(agent_blob_end - agent_blob <= AREA_CODE);
	memcpy(a->local + AREA_HEAD, agent_blob, agent_blob_end - agent_blob);
	for (unsigned i = 0; i < a->n_slots; i++) {
		struct agent_slot *slot =
			(struct agent_slot *)(a->local + (area_slot(a, i) - a->remote));

		slot->owner = a->remote + offsetof(struct agent_head, owner);
		slot->orphan = orphan;
	}
}

void area_free(struct area *a)
{
	if (!a)
		return;
	munmap(a->local, a->len);
	free(a);
}

/* The task's shared pages, seen from here: no descriptor is needed in the task. */
static int area_open(struct session *s, struct task *k, struct area *a)
{
	const size_t mapped[] = { a->len, AREA_HEAD }; /* in one piece, or see map_area() in trace.c */
	char path[80];
	own_fd int fd = -1;

	for (int i = 0; fd < 0 && i < 2; i++) {
		snprintf(path, sizeof(path), "map_files/%lx-%lx", (unsigned long)a->remote,
			 (unsigned long)(a->remote + mapped[i]));
		fd = openat(k->proc, path, O_RDWR | O_CLOEXEC);
	}
	if (fd < 0)
		return session_fail(s, -errno, "task %d: open the agent's memory", k->vpid);
	a->local = mmap(NULL, a->len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (a->local == MAP_FAILED)
		return session_fail(s, -errno, "task %d: map the agent's memory", k->vpid);
	return 0;
}

static int inject_task(struct session *s, struct task *k)
{
	struct area *a = xalloc(sizeof(*a));
	int r;

	a->n_slots = k->n_threads;
	a->len = area_size(a->n_slots);
	a->remote = task_leader(k)->tr->area;
	r = area_open(s, k, a);
	if (r < 0) {
		free(a);
		return r;
	}
	area_fill(a, ORPHAN_WAIT);
	for (unsigned i = 0; i < k->n_threads; i++) {
		struct thread *t = &k->threads[i];

		t->area = a;
		t->slot = i;
		t->tr->entry = area_entry(a);
		t->tr->slot = area_slot(a, i);
	}
	for (unsigned i = 1; k->leader_dead && i < k->n_threads; i++)
		if (k->threads[i].tr == k->threads[0].tr)
			k->threads[0].slot = i;
	return 0;
}

int inject_all(struct session *s, struct tree *tree)
{
	int r;

	for (size_t i = 0; i < tree->n; i++)
		if (tree->all[i]->state != TASK_DEAD)
			task_leader(tree->all[i])->tr->area_len = area_size(tree->all[i]->n_threads);
	r = warden_inject(s);
	for (size_t i = 0; r == 0 && i < tree->n; i++)
		if (tree->all[i]->state != TASK_DEAD)
			r = inject_task(s, tree->all[i]);
	return r < 0 ? r : warden_run(s);
}

int area_new(struct session *s, uint64_t at, unsigned n_slots, struct area **ret)
{
	struct area *a = xalloc(sizeof(*a));

	a->n_slots = n_slots;
	a->len = area_size(n_slots);
	a->remote = at;
	a->local = mmap((void *)at, a->len, PROT_READ | PROT_WRITE | PROT_EXEC,
			MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	if (a->local == MAP_FAILED) {
		free(a);
		return session_fail(s, -errno, "agent: map %u slots", n_slots);
	}
	area_fill(a, ORPHAN_EXIT);
	*ret = a;
	return 0;
}

int area_own(struct session *s, struct area *a)
{
	struct agent_head *h = (struct agent_head *)a->local;
	/* the kernel walks this list when we end; it lives in the area's head page */
	struct robust_list_head *list = (struct robust_list_head *)(a->local + 64);

	h->owner = syscall(SYS_gettid) | FUTEX_WAITERS;
	h->node = (uint64_t)(uintptr_t)&list->list;
	list->list.next = (struct robust_list *)&h->node;
	list->futex_offset = offsetof(struct agent_head, owner) - offsetof(struct agent_head, node);
	list->list_op_pending = NULL;
	if (syscall(SYS_set_robust_list, list, sizeof(*list)) < 0)
		return session_fail(s, -errno, "agent: watch over the supervisor");
	return 0;
}
