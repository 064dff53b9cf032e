// SPDX-License-Identifier: Apache-2.0
/*
 * The kernel maps a ring where it likes: with an address, even one to be moved to, it refuses (io_uring/memmap.c,
 * io_uring_get_unmapped_area()). So every other hole that is large enough is filled for that moment.
 */
#include "kind/uring.h"
#include "kind/mem.h"

#include "base/list.h"
#include "base/text.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define HOLES_FROM 0x10000ULL	     /* the usual vm.mmap_min_addr */
#define HOLES_END 0x7ffffffff000ULL /* nothing is mapped above without being asked for */

struct hole {
	uint64_t start, end;
};
struct holes {
	struct hole *v;
	size_t n, max;
};

static void hole_add(struct holes *h, uint64_t start, uint64_t end, uint64_t len)
{
	if (start < end && end - start >= len)
		*vec_add(h) = (struct hole){ start, end };
}

/* What is free between two areas, in which len bytes have room; not the place at. */
static void holes_add(struct holes *h, uint64_t start, uint64_t end, uint64_t at, uint64_t len)
{
	bool here = start <= at && at + len <= end;

	if (!here) {
		hole_add(h, start, end, len);
		return;
	}
	/* beside it, however little that is: with it, there would be room for another place */
	hole_add(h, start, at, 1);
	hole_add(h, at + len, end, 1);
}

static int holes_find(struct session *s, const struct task *k, uint64_t at, uint64_t len, struct holes *ret)
{
	own_mem char *maps = NULL;
	unsigned long long start, end, free_from = HOLES_FROM;
	int r = text_readf(AT_FDCWD, &maps, "/proc/%d/maps", k->pid);

	if (r < 0)
		return session_fail(s, r, "task %d: read its mappings", k->vpid);
	for (char *p = maps; sscanf(p, "%llx-%llx", &start, &end) == 2 && start < HOLES_END; p = strchr(p, '\n') + 1) {
		if (start > free_from)
			holes_add(ret, free_from, start, at, len);
		free_from = end > free_from ? end : free_from;
	}
	if (free_from < HOLES_END)
		holes_add(ret, free_from, HOLES_END, at, len);
	return 0;
}

static int holes_each(struct batch *b, const struct holes *h, bool fill)
{
	int r = 0;

	batch_clear(b);
	for (size_t i = 0; r == 0 && i < h->n; i++) {
		uint64_t start = h->v[i].start, len = h->v[i].end - start;

		if (!batch_room(b, 1, 0)) {
			r = batch_run(b);
			batch_clear(b);
		}
		if (fill)
			batch_call(b, "io_uring: fill a hole", SYS_mmap, start, len, PROT_NONE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
		else
			call2(b, "io_uring: free a hole again", SYS_munmap, start, len);
	}
	return r < 0 ? r : batch_run(b);
}

int uring_place(struct session *s, struct task *k, int num, const VmaEntry *e)
{
	uint64_t len = e->end - e->start, at = 0;
	struct holes holes = { 0 };
	struct batch b;
	unsigned n;
	int r;

	batch_start(s, &b, task_leader(k));
	call2(&b, "io_uring: free its place", SYS_munmap, e->start, len);
	r = batch_run(&b);
	if (r == 0)
		r = holes_find(s, k, e->start, len, &holes);
	if (r == 0)
		r = holes_each(&b, &holes, true);
	if (r == 0) {
		batch_clear(&b);
		n = batch_call(&b, "io_uring: map its rings", SYS_mmap, 0, len, e->prot, MAP_SHARED | MAP_POPULATE, num, e->pgoff);
		r = batch_run(&b);
		at = batch_ret(&b, n);
	}
	if (r == 0)
		r = holes_each(&b, &holes, false);
	free(holes.v);
	if (r == 0 && at != e->start)
		r = session_fail(s, -EIO, "task %d: an io_uring was mapped at %llx instead of %llx", k->vpid,
				 (unsigned long long)at, (unsigned long long)e->start);
	if (r < 0 || !(e->madv & 1ULL << MADV_DONTFORK))
		return r;
	batch_clear(&b);
	call3(&b, "io_uring: advice on its rings", SYS_madvise, e->start, len, MADV_DONTFORK);
	return batch_run(&b);
}
