// SPDX-License-Identifier: Apache-2.0
#include "task/inject.h"

#include "agent/blob.h"
#include "base/res.h"
#include "task/warden.h"

#include <assert.h>
#include <fcntl.h>
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

static struct agent_slot *area_slot_local(const struct area *a, unsigned slot)
{
	return (struct agent_slot *)(a->local + (area_slot(a, slot) - a->remote));
}

/* Fill a fresh area: the code, and in every slot whose lives its thread hangs on. */
static void area_fill(struct area *a, enum agent_orphan orphan)
{
	assert(agent_blob_end - agent_blob <= AREA_CODE);
	memcpy(a->local + AREA_HEAD, agent_blob, agent_blob_end - agent_blob);
	for (unsigned i = 0; i < a->n_slots; i++) {
		struct agent_slot *slot = area_slot_local(a, i);

		slot->orphan = orphan;
		slot->owner = a->remote + offsetof(struct agent_head, life.word);
		slot->tracer = slot->owner;
		if (orphan == ORPHAN_EXIT)
			continue;
		slot->owner = area_slot(a, i) + offsetof(struct agent_slot, life[0].word);
		slot->tracer = area_slot(a, i) + offsetof(struct agent_slot, life[1].word);
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
	map_put(session_map(s, "agents' areas"), k->pid, a); /* never freed: the words of our life are in it */
	area_fill(a, ORPHAN_WAIT);
	for (unsigned i = 0; i < a->n_slots; i++)
		life_hang(&warden_table(s)->lives[0], &area_slot_local(a, i)->life[0]);
	for (unsigned i = 0; i < k->n_threads; i++) {
		struct thread *t = &k->threads[i];

		t->area = a;
		t->slot = i;
		t->tr->entry = area_entry(a);
		t->tr->slot = area_slot(a, i);
		t->tr->area_row = task_leader(k)->tr - warden_table(s)->t;
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
	lives_begin(&warden_table(s)->lives[0]);
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

void area_own(struct area *a)
{
	struct agent_head *h = (struct agent_head *)a->local;

	lives_begin(&h->list);
	life_hang(&h->list, &h->life);
}

void area_keep(struct area *a)
{
	for (unsigned i = 0; i < a->n_slots; i++)
		area_slot_local(a, i)->orphan = ORPHAN_WAIT;
}
