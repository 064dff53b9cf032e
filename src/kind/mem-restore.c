// SPDX-License-Identifier: Apache-2.0
/*
 * mem-restore: address spaces from images.
 *
 * A new task has its parent's memory (its own planned mappings, filled) or, for the root and after an
 * exec(), the supervisor's. What parent and child have in common at the same place is kept: the pages
 * stay shared by copy-on-write, and only those whose contents differ are read.
 *
 * Private mappings that are filled stay writable until mem_finish(), when all children were born.
 */
#include "kind/mem.h"

#include "base/list.h"
#include "base/text.h"
#include "kind/fd.h"
#include "kind/mem-aio.h"
#include "kind/mem-numa.h"
#include "kind/mem-vdso.h"
#include "kind/shmem.h"
#include "task/lend.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define TASK_END 0x7ffffffff000ULL
#define FILL_MAX (256ULL << 20) /* bytes asked of one batch: it has to end within its timeout */
#define IOVS 64
#define NAME_ROOM 256 /* bytes for the name of a mapping; the kernel takes 79 */
#define COMPARE 32 /* pages read at once to compare a child's with its parent's */
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

#ifndef SYS_mseal
#define SYS_mseal 462
#endif

struct span {
	uint64_t start, end;
};

struct mem_task {
	struct pages pages;
	struct mem_map *maps;
	size_t n;
	bool inherits; /* its memory began as its parent's */
	bool built, finished;
	struct {
		struct span *v; /* private ranges that came from the parent; ascending */
		size_t n, max;
	} kept;
};

static struct mem_task *mem_of(const struct task *k)
{
	return k->mem;
}

/* ---- reading ---- */

static const struct mem_kind *kind_of(const VmaEntry *e)
{
	for (size_t i = 0; mem_kinds[i]; i++)
		if (mem_kinds[i]->owns && mem_kinds[i]->owns(e))
			return mem_kinds[i];
	return NULL;
}

static int vma_check(struct session *s, const struct task *k, const VmaEntry *e, uint64_t last)
{
	bool guard = e->status & VMA_GUARD;

	if (e->status & VMA_VSYSCALL)
		return 0;
	if (e->start >= e->end || e->start % PAGE || e->end % PAGE || e->end > TASK_END ||
	    e->pgoff % PAGE || (e->prot & ~7U))
		return session_fail(s, -EBADMSG, "mm-%d.img: area %llx-%llx is out of range", k->vpid,
				    (unsigned long long)e->start, (unsigned long long)e->end);
	if (!guard && e->start < last)
		return session_fail(s, -EBADMSG, "mm-%d.img: area %llx is out of order", k->vpid,
				    (unsigned long long)e->start);
	if (!guard && !kind_of(e))
		return session_fail(s, -ENOTSUP,
				    "task %d: area %llx is of a sort (status 0x%x) that cannot be restored yet",
				    k->vpid, (unsigned long long)e->start, e->status);
	return 0;
}

/* Every stored page must lie in a private area. */
static int pages_check(struct session *s, const struct task *k, const struct pages *p)
{
	size_t v = 0;

	for (size_t i = 0; i < p->n; i++) {
		uint64_t at = p->v[i].vaddr, end = at + p->v[i].n * PAGE;

		while (at < end) {
			const VmaEntry *e = NULL;

			for (; v < k->mm->n_vmas; v++) {
				e = k->mm->vmas[v];
				if (!(e->status & (VMA_VSYSCALL | VMA_GUARD)) && e->end > at)
					break;
			}
			if (v == k->mm->n_vmas || e->start > at || !vma_private(e))
				return session_fail(s, -EBADMSG,
						    "pagemap-%d.img: page %llx is in no private area",
						    k->vpid, (unsigned long long)at);
			at = e->end < end ? e->end : end;
		}
	}
	return 0;
}

/* old dumps: areas in a file of their own */
static int legacy_vmas(struct session *s, struct task *k)
{
	own_image struct image img = { 0 };
	ProtobufCMessage *m;
	int r;

	if (k->mm->n_vmas)
		return 0;
	r = image_open(s, &img, MAGIC_VMAS, "vmas-%d.img", k->vpid);
	if (r == 1)
		return 0;
	while (r == 0 && (r = image_read(&img, &vma_entry__descriptor, &m)) == 1) {
		MmEntry *mm = k->mm;

		r = 0;
		mm->vmas = xgrow(mm->vmas, (mm->n_vmas + 1) * sizeof(*mm->vmas));
		mm->vmas[mm->n_vmas++] = (VmaEntry *)m;
	}
	return r;
}

static void note_filled(struct mem_task *mt)
{
	for (size_t i = 0; i < mt->n; i++) {
		struct mem_map *m = &mt->maps[i];
		size_t at = pages_find(&mt->pages, m->e->start);

		m->filled = at < mt->pages.n && mt->pages.v[at].vaddr < m->e->end;
	}
}

static int mem_read_task(struct session *s, struct task *k)
{
	struct mem_task *mt = xalloc(sizeof(*mt));
	uint64_t last = 0;
	int r;

	k->mem = mt;
	r = image_read_one(s, MAGIC_MM, &mm_entry__descriptor, (ProtobufCMessage **)&k->mm, "mm-%d.img",
			   k->vpid);
	if (r == 0)
		r = legacy_vmas(s, k);
	if (r < 0)
		return r;
	r = aio_check(s, k);
	if (r < 0)
		return r;
	mt->maps = xalloc((k->mm->n_vmas + 1) * sizeof(*mt->maps));
	for (size_t i = 0; i < k->mm->n_vmas; i++) {
		const VmaEntry *e = k->mm->vmas[i];
		struct mem_map *m = &mt->maps[mt->n];

		r = vma_check(s, k, e, last);
		if (r < 0)
			return r;
		if (e->status & (VMA_VSYSCALL | VMA_GUARD))
			continue;
		last = e->end;
		*m = (struct mem_map){ .e = e, .kind = kind_of(e), .fd = -1, .num = -1 };
		if (e->status & VMA_ANON_SHARED)
			shmem_anon_size(s, e->shmid, e->pgoff + e->end - e->start);
		mt->n++;
	}
	r = pages_read(s, &mt->pages, "%d", k->vpid);
	note_filled(mt);
	return r < 0 ? r : pages_check(s, k, &mt->pages);
}

int mem_read(struct session *s, struct tree *tree)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < tree->n; i++) {
		struct task *k = tree->all[i];

		if (k->state == TASK_DEAD)
			continue;
		k->mm_of = mem_shared_with(tree, i);
		if (!k->mm_of) {
			r = mem_read_task(s, k);
			continue;
		}
		k->mm = k->mm_of->mm;
		k->mem = k->mm_of->mem;
	}
	return r;
}

/* ---- a place for the agent ---- */

static int span_cmp(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

int mem_hole(struct session *s, struct tree *tree, size_t len, uint64_t *ret)
{
	struct {
		struct span *v;
		size_t n, max;
	} used = { 0 };
	own_mem char *text = NULL;
	uint64_t at = 0x10000000, guard = 1 << 20;
	int r = text_read(AT_FDCWD, "/proc/self/maps", &text, NULL);

	for (char *p = text; r == 0 && p && *p;) {
		struct span *u = vec_add(&used);
		char *end;

		u->start = strtoull(p, &end, 16);
		u->end = strtoull(end + 1, NULL, 16);
		p = strchr(p, '\n');
		p = p ? p + 1 : NULL;
	}
	for (size_t i = 0; i < tree->n; i++)
		for (size_t v = 0; tree->all[i]->mm && v < tree->all[i]->mm->n_vmas; v++) {
			const VmaEntry *e = tree->all[i]->mm->vmas[v];

			*vec_add(&used) = (struct span){ e->start, e->end };
		}
	qsort(used.v, used.n, sizeof(*used.v), span_cmp);
	for (size_t i = 0; i < used.n; i++) {
		if (used.v[i].start > at && used.v[i].start - at >= len + 2 * guard)
			break;
		if (used.v[i].end > at)
			at = used.v[i].end;
	}
	free(used.v);
	at = page_up(at) + guard;
	if (r < 0 || at + len > TASK_END)
		return session_fail(s, r ? r : -ENOMEM, "memory: no address is free in every task");
	*ret = at;
	return 0;
}

/* ---- batches that run when they are full ---- */

static int roomy(struct batch *b, unsigned calls, size_t bytes)
{
	int r = 0;

	if (!batch_room(b, calls, bytes)) {
		r = batch_run(b);
		batch_clear(b);
	}
	return r;
}

static int drained(struct batch *b)
{
	int r = batch_run(b);

	batch_clear(b);
	return r;
}

/* ---- descriptors to map from ---- */

static uint64_t open_key(const VmaEntry *e)
{
	unsigned mode = e->has_fdflags ? (e->fdflags & O_ACCMODE) : 3;

	return e->shmid << 4 | mode << 2 | ((e->status & VMA_ANON_SHARED) ? 1 : 0) | 2;
}

static int maps_open(struct session *s, struct task *k)
{
	struct map *known = session_map(s, "mem open");
	struct mem_task *mt = mem_of(k);

	for (size_t i = 0; i < mt->n; i++) {
		struct mem_map *m = &mt->maps[i];
		uintptr_t have;
		int fd = -1, r;

		if (!m->kind->open)
			continue;
		have = (uintptr_t)map_get(known, open_key(m->e));
		if (!have) {
			r = m->kind->open(s, k, m->e, &fd);
			if (r < 0)
				return r;
			have = fd + 1;
			map_put(known, open_key(m->e), (void *)have);
		}
		m->fd = have - 1;
	}
	return 0;
}

/* Lend each descriptor once; pages files come first. *base: number of pages file 0 in the task. */
static int maps_lend(struct session *s, struct task *k, int **ret_pages_num)
{
	struct mem_task *mt = mem_of(k);
	struct map where = { 0 };
	size_t n = 0, n_files = mt->pages.files.n;
	own_mem int *fds = xalloc((mt->n + n_files + 1) * sizeof(int));
	own_mem int *nums = xalloc((mt->n + n_files + 1) * sizeof(int));
	int r;

	*ret_pages_num = xalloc((n_files + 1) * sizeof(int));
	for (size_t i = 0; i < n_files; i++)
		if (mt->pages.files.v[i] >= 0)
			fds[n++] = mt->pages.files.v[i];
	for (size_t i = 0; i < mt->n; i++)
		if (mt->maps[i].fd >= 0 && !map_get(&where, mt->maps[i].fd)) {
			map_put(&where, mt->maps[i].fd, (void *)(uintptr_t)(n + 1));
			fds[n++] = mt->maps[i].fd;
		}
	r = lend_fds(s, task_leader(k), fds, n, nums);
	n = 0;
	for (size_t i = 0; i < n_files; i++)
		(*ret_pages_num)[i] = mt->pages.files.v[i] >= 0 ? nums[n++] : -1;
	for (size_t i = 0; i < mt->n; i++)
		if (mt->maps[i].fd >= 0)
			mt->maps[i].num = nums[(uintptr_t)map_get(&where, mt->maps[i].fd) - 1];
	map_free(&where);
	return r;
}

/* ---- what a child keeps of its parent ---- */

static bool same_area(const VmaEntry *a, const VmaEntry *b)
{
	const uint64_t not_inherited = 1ULL << MADV_DONTFORK | 1ULL << MADV_WIPEONFORK;
	const uint64_t huge = 1ULL << MADV_HUGEPAGE | 1ULL << MADV_NOHUGEPAGE;
	const uint32_t lock = MAP_LOCKED;

	return a->status == b->status && a->shmid == b->shmid &&
	       (a->flags & ~lock) == (b->flags & ~lock) &&
	       a->pgoff - a->start == b->pgoff - b->start && !(a->madv & not_inherited) &&
	       (a->madv & huge) == (b->madv & huge);
}

/*
 * Ranges that stay as they are. Areas of anonymous memory have offset 0, whatever their start:
 * same_area() would refuse one that grew downwards, so their offset is left out.
 */
static void find_kept(struct task *k)
{
	struct mem_task *mt = mem_of(k), *up = task_origin(k) ? mem_of(task_origin(k)) : NULL;
	size_t j = 0;

	if (!up || !mem_same_program(k->mm, task_origin(k)->mm))
		return;
	mt->inherits = true;
	for (size_t i = 0; i < mt->n; i++) {
		VmaEntry c = *mt->maps[i].e;

		while (j < up->n && up->maps[j].e->end <= c.start)
			j++;
		for (size_t x = j; x < up->n && up->maps[x].e->start < c.end; x++) {
			VmaEntry p = *up->maps[x].e;
			uint64_t start = p.start > c.start ? p.start : c.start;
			uint64_t end = p.end < c.end ? p.end : c.end;

			if (!(c.status & (VMA_FILE_PRIVATE | VMA_FILE_SHARED | VMA_ANON_SHARED)))
				p.pgoff = p.start, c.pgoff = c.start;
			if ((c.status & (VMA_VDSO | VMA_VVAR)) && (p.start != c.start || p.end != c.end))
				continue;
			if (same_area(&p, &c))
				*vec_add(&mt->kept) = (struct span){ start, end };
		}
	}
}

/* Unmap everything but the kept ranges and the agent. */
static int unmap_rest(struct session *s, struct task *k, struct batch *b)
{
	const struct mem_task *mt = mem_of(k);
	const struct area *a = task_leader(k)->area;
	/* a vdso that stands in for the parent's is kept with the agent */
	uint64_t at = 0, room = mt->inherits ? VDSO_ROOM : 0;
	size_t i = 0;
	bool area_done = false;
	int r = 0;

	while (r == 0 && at < TASK_END) {
		struct span next = { TASK_END, TASK_END };

		if (i < mt->kept.n)
			next = mt->kept.v[i];
		if (!area_done && a->remote <= next.start) {
			next = (struct span){ a->remote, a->remote + a->len + room };
			area_done = true;
		} else {
			i++;
		}
		if (next.start > at) {
			r = roomy(b, 1, 0);
			call2(b, "memory: clear", SYS_munmap, at, next.start - at);
		}
		at = next.end > at ? next.end : at;
	}
	return r;
}

/* The parts of an area that are not kept are mapped anew. */
static int map_area(struct session *s, struct task *k, struct mem_map *m, struct batch *b, size_t *ki)
{
	const struct mem_task *mt = mem_of(k);
	VmaEntry part = *m->e;
	struct mem_map pm = *m;
	uint64_t at = m->e->start;
	int r = 0;

	pm.e = &part;
	while (*ki < mt->kept.n && mt->kept.v[*ki].end <= at)
		(*ki)++;
	for (size_t i = *ki; r == 0 && at < m->e->end; i++) {
		uint64_t stop = m->e->end, next = m->e->end;

		if (i < mt->kept.n && mt->kept.v[i].start < m->e->end) {
			stop = mt->kept.v[i].start;
			next = mt->kept.v[i].end;
		}
		if (stop > at) {
			part.start = at;
			part.end = stop;
			part.pgoff = m->e->pgoff + (m->num >= 0 || (m->e->status & VMA_SYSVIPC) ? at - m->e->start : 0);
			r = roomy(b, 4, 0);
			if (r == 0)
				r = m->kind->map(s, &pm, b);
			if (r == 0 && (part.madv & 1ULL << MADV_HUGEPAGE))
				call3(b, NULL, SYS_madvise, at, stop - at, MADV_HUGEPAGE);
			if (r == 0 && (part.madv & 1ULL << MADV_NOHUGEPAGE))
				call3(b, NULL, SYS_madvise, at, stop - at, MADV_NOHUGEPAGE);
		}
		at = next;
	}
	if (r == 0 && mt->inherits && m->filled && vma_private(m->e)) { /* the parent may have other rights there */
		r = roomy(b, 1, 0);
		call3(b, "memory: let it be filled", SYS_mprotect, m->e->start, m->e->end - m->e->start, m->e->prot | PROT_WRITE);
	}
	return r;
}

/* ---- pages ---- */

struct filler {
	struct session *s;
	struct task *task;
	struct batch *b;
	const int *nums;
	int num; /* pages file of the calls being gathered */
	uint64_t off, len, asked;
	struct iovec iov[IOVS];
	unsigned n;
	struct {
		uint64_t *v; /* bytes each preadv() of the batch has to give */
		size_t n, max;
	} want;
};

static int fill_run(struct filler *f)
{
	int r = 0;

	if (f->b->n) {
		r = batch_run(f->b);
		for (size_t i = 0; r == 0 && i < f->want.n; i++)
			if (f->want.v[i] && (uint64_t)batch_ret(f->b, i) != f->want.v[i])
				r = session_fail(f->s, -EBADMSG,
						 "task %d: its pages file ended early or cannot be read",
						 f->task->vpid);
	}
	batch_clear(f->b);
	f->want.n = 0;
	f->asked = 0;
	return r;
}

static int fill_flush(struct filler *f)
{
	int64_t at;
	int r = 0;

	if (!f->n)
		return 0;
	if (!batch_room(f->b, 1, sizeof(f->iov)) || f->asked >= FILL_MAX)
		r = fill_run(f);
	if (r < 0)
		return r;
	at = batch_mem(f->b, f->iov, f->n * sizeof(f->iov[0]), NULL);
	call5(f->b, "memory: read pages", SYS_preadv, f->num, at, f->n, f->off, 0);
	*vec_add(&f->want) = f->len;
	f->asked += f->len;
	f->n = 0;
	f->len = 0;
	return 0;
}

static int fill_add(struct filler *f, const struct page_run *run, uint64_t vaddr, uint64_t len)
{
	uint64_t off = run->off + (vaddr - run->vaddr);

	while (len) {
		uint64_t k = len < FILL_MAX ? len : FILL_MAX;
		struct iovec *last = f->n ? &f->iov[f->n - 1] : NULL;
		int r;

		if (f->n && (f->num != f->nums[run->file] || f->off + f->len != off ||
			     f->len + k > FILL_MAX || f->n == IOVS)) {
			r = fill_flush(f);
			if (r < 0)
				return r;
			last = NULL;
		}
		if (!f->n) {
			f->num = f->nums[run->file];
			f->off = off;
			last = NULL;
		}
		if (last && (uint64_t)(uintptr_t)last->iov_base + last->iov_len == vaddr)
			last->iov_len += k;
		else
			f->iov[f->n++] = (struct iovec){ (void *)(uintptr_t)vaddr, k };
		f->len += k;
		vaddr += k;
		off += k;
		len -= k;
	}
	return 0;
}

static int pages_load(struct session *s, const struct pages *p, const struct page_run *r,
		      uint64_t vaddr, size_t n, char *buf)
{
	ssize_t got = pread(p->files.v[r->file], buf, n * PAGE, r->off + (vaddr - r->vaddr));

	return got == (ssize_t)(n * PAGE)
		       ? 0
		       : session_fail(s, -EBADMSG, "pages: read %llx", (unsigned long long)vaddr);
}

static bool in_kept(const struct mem_task *mt, uint64_t at, size_t *i, uint64_t *end)
{
	while (*i < mt->kept.n && mt->kept.v[*i].end <= at)
		(*i)++;
	if (*i < mt->kept.n && mt->kept.v[*i].start <= at) {
		*end = mt->kept.v[*i].end;
		return true;
	}
	*end = *i < mt->kept.n ? mt->kept.v[*i].start : TASK_END;
	return false;
}

/* Pages [at, +n) that both have: those that differ are read. */
static int fill_differing(struct filler *f, const struct page_run *run, const struct page_run *up,
			  uint64_t at, size_t n)
{
	char a[COMPARE * PAGE], b[COMPARE * PAGE];
	int r = pages_load(f->s, &mem_of(task_origin(f->task))->pages, up, at, n, a);

	if (r == 0)
		r = pages_load(f->s, &mem_of(f->task)->pages, run, at, n, b);
	f->s->stats.pages_compared += n;
	for (size_t i = 0; r == 0 && i < n; i++) {
		if (memcmp(a + i * PAGE, b + i * PAGE, PAGE))
			r = fill_add(f, run, at + i * PAGE, PAGE);
		else
			f->s->stats.pages_cow++;
	}
	return r;
}

/* One run of the child within a kept range: only pages that differ from the parent's are read. */
static int fill_compare(struct filler *f, const struct page_run *run, uint64_t at, uint64_t end)
{
	const struct pages *up = &mem_of(task_origin(f->task))->pages;
	int r = 0;

	for (size_t i = pages_find(up, at); r == 0 && at < end;) {
		const struct page_run *u;
		uint64_t n;

		while (i < up->n && up->v[i].vaddr + up->v[i].n * PAGE <= at)
			i++;
		u = i < up->n && up->v[i].vaddr < end ? &up->v[i] : NULL;
		if (!u || u->vaddr > at) {
			n = (u ? u->vaddr : end) - at;
			r = fill_add(f, run, at, n);
			at += n;
			continue;
		}
		n = u->vaddr + u->n * PAGE < end ? u->vaddr + u->n * PAGE - at : end - at;
		n = n / PAGE < COMPARE ? n / PAGE : COMPARE;
		r = fill_differing(f, run, u, at, n);
		at += n * PAGE;
	}
	return r;
}

/* Pages that the parent has and the child has not must go. */
static int drop_missing(struct filler *f)
{
	struct task *k = f->task;
	const struct mem_task *mt = mem_of(k);
	const struct pages *up = &mem_of(task_origin(k))->pages, *own = &mt->pages;
	size_t ki = 0, oi = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < up->n; i++) {
		uint64_t at = up->v[i].vaddr, end = at + up->v[i].n * PAGE;

		while (r == 0 && at < end) {
			uint64_t stop, from;
			bool kept = in_kept(mt, at, &ki, &stop);

			stop = stop < end ? stop : end;
			for (from = at; kept && at < stop;) {
				while (oi < own->n && own->v[oi].vaddr + own->v[oi].n * PAGE <= at)
					oi++;
				from = at;
				if (oi < own->n && own->v[oi].vaddr <= at) {
					at = own->v[oi].vaddr + own->v[oi].n * PAGE;
					at = at < stop ? at : stop;
					continue;
				}
				at = oi < own->n && own->v[oi].vaddr < stop ? own->v[oi].vaddr : stop;
				r = roomy(f->b, 1, 0);
				call3(f->b, "memory: drop pages", SYS_madvise, from, at - from,
				      MADV_DONTNEED);
			}
			at = stop;
		}
	}
	return r < 0 ? r : drained(f->b);
}

struct spans {
	struct span *v;
	size_t n, max;
};

/* Where the vdso and its data are: a few spans among thousands of areas. */
static void vdso_spans(const struct mem_task *mt, struct spans *ret)
{
	for (size_t i = 0; i < mt->n; i++) {
		const VmaEntry *e = mt->maps[i].e;

		if (e->status & (VMA_VDSO | VMA_VVAR))
			*vec_add(ret) = (struct span){ e->start, e->end };
	}
}

static bool vdso_page(const struct spans *vdso, uint64_t at, uint64_t *end)
{
	for (size_t i = 0; i < vdso->n; i++) {
		const struct span *v = &vdso->v[i];

		if (v->start <= at && at < v->end) {
			*end = v->end;
			return true;
		}
		if (v->start > at && v->start < *end)
			*end = v->start;
	}
	return false;
}

static int fill_pages(struct session *s, struct task *k, struct batch *b, const int *nums)
{
	struct mem_task *mt = mem_of(k);
	struct filler f = { .s = s, .task = k, .b = b, .nums = nums };
	struct spans vdso = { 0 };
	size_t ki = 0;
	int r = 0;

	vdso_spans(mt, &vdso);
	if (mt->inherits)
		r = drop_missing(&f);
	for (size_t i = 0; r == 0 && i < mt->pages.n; i++) {
		const struct page_run *run = &mt->pages.v[i];
		uint64_t at = run->vaddr, end = at + run->n * PAGE;

		while (r == 0 && at < end) {
			uint64_t stop = end, kept_end;

			if (vdso_page(&vdso, at, &stop)) {
				at = stop;
				continue;
			}
			if (in_kept(mt, at, &ki, &kept_end)) {
				stop = kept_end < stop ? kept_end : stop;
				r = fill_compare(&f, run, at, stop);
			} else {
				stop = kept_end < stop ? kept_end : stop;
				r = fill_add(&f, run, at, stop - at);
			}
			at = stop;
		}
	}
	if (r == 0)
		r = fill_flush(&f);
	if (r == 0)
		r = fill_run(&f);
	s->stats.pages_restored += mt->pages.total;
	free(f.want.v);
	free(vdso.v);
	return r;
}

static bool thp_disabled(const struct task *k)
{
	return k->mm->has_thp_disabled && k->mm->thp_disabled;
}

/* Is a userfaultfd to be told of missing pages? Then none may come in beside one that is filled, as huge pages do. */
static bool is_watched(const struct task *k)
{
	for (size_t i = 0; i < k->mm->n_vmas; i++)
		if (k->mm->vmas[i]->uffd)
			return true;
	return false;
}

/* Without huge pages but where they are advised (PR_THP_DISABLE_EXCEPT_ADVISED): Linux 6.18. */
static void thp_except(struct session *s, const struct task *k, struct batch *b)
{
	if (prctl(PR_SET_THP_DISABLE, 1, k->mm->thp_flags, 0, 0) == 0)
		prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
	else
		session_warn(s, "task %d: this kernel cannot refuse huge pages but where they are advised: it gets none",
			     k->vpid);
	call5(b, NULL, SYS_prctl, PR_SET_THP_DISABLE, 1, k->mm->thp_flags, 0, 0);
}

int mem_build(struct session *s, struct task *k)
{
	struct mem_task *mt = mem_of(k);
	own_mem int *nums = NULL;
	struct batch b;
	size_t ki = 0;
	int r = mt->built ? 0 : maps_open(s, k);

	if (mt->built) /* CLONE_VM: by the first of those who have it */
		return 0;
	mt->built = true;
	if (r == 0)
		r = maps_lend(s, k, &nums);
	if (r < 0)
		return r;
	find_kept(k);
	batch_start(s, &b, task_leader(k));
	call5(&b, NULL, SYS_prctl, PR_SET_THP_DISABLE, thp_disabled(k) || is_watched(k), 0, 0, 0);
	if (k->mm->thp_flags && !is_watched(k))
		thp_except(s, k, &b);
	r = unmap_rest(s, k, &b);
	if (r == 0)
		r = drained(&b);
	if (r == 0)
		r = vdso_build(s, k, &mt->pages, mt->inherits, &b);
	for (size_t i = 0; r == 0 && i < mt->n; i++)
		r = map_area(s, k, &mt->maps[i], &b, &ki);
	if (r == 0)
		r = drained(&b);
	if (r == 0)
		r = fill_pages(s, k, &b, nums);
	/* whoever shares the table has nothing in it yet either */
	if (r == 0) {
		if (is_watched(k) && !thp_disabled(k))
			call5(&b, NULL, SYS_prctl, PR_SET_THP_DISABLE, 0, 0, 0, 0);
		if (is_watched(k) && k->mm->thp_flags)
			thp_except(s, k, &b);
		call3(&b, "descriptors: clear", SYS_close_range, 0, ~0U, 0);
		r = drained(&b);
	}
	session_debug(s, "task %d: memory built, %llu pages", k->vpid,
		      (unsigned long long)mt->pages.total);
	return r;
}

/* ---- finish ---- */

/*
 * Every key is allocated, in order, so that each has its number; the kernel takes the one that is left, for memory
 * that may only be executed, by itself. What a thread may do with a key is in its registers.
 */
static int keys_take(struct session *s, const struct task *k, struct batch *b)
{
	const MmEntry *mm = k->mm;
	unsigned n = 0;
	int r;

	if (!mm->pkeys && !mm->has_exec_pkey)
		return 0;
	for (unsigned key = 1; key < PKEYS_MAX; key++)
		n = call2(b, NULL, SYS_pkey_alloc, 0, 0);
	r = batch_run(b);
	if (r == 0 && batch_ret(b, n) < 0)
		session_warn(s, "task %d: has memory protection keys, which this machine lacks or has less of: its memory is not protected by them",
			     k->vpid);
	batch_clear(b);
	if (r == 0 && mm->has_exec_pkey)
		call1(b, NULL, SYS_pkey_free, mm->exec_pkey);
	return r;
}

static void keys_give_back(const MmEntry *mm, struct batch *b)
{
	for (unsigned key = 1; (mm->pkeys || mm->has_exec_pkey) && key < PKEYS_MAX; key++)
		if (!(mm->pkeys >> key & 1) && !(mm->has_exec_pkey && mm->exec_pkey == key))
			call1(b, NULL, SYS_pkey_free, key);
}

static int finish_area(struct batch *b, const MmEntry *mm, const VmaEntry *e, bool inherited)
{
	static const int advices[] = { MADV_SEQUENTIAL, MADV_RANDOM,   MADV_DONTFORK,
				       MADV_DONTDUMP,	MADV_MERGEABLE, MADV_WIPEONFORK };
	uint64_t len = e->end - e->start;
	int r = roomy(b, 12, NAME_ROOM);

	if (r < 0 || (e->status & (VMA_VDSO | VMA_VVAR)))
		return r;
	/* a parent may have other rights there */
	if (inherited || !vma_private(e) || !(e->prot & PROT_WRITE))
		call3(b, "memory: protect", SYS_mprotect, e->start, len, e->prot);
	for (size_t i = 0; e->has_madv && i < sizeof(advices) / sizeof(advices[0]); i++)
		if (e->madv >> advices[i] & 1)
			call3(b, "memory: advise", SYS_madvise, e->start, len, advices[i]);
	if (e->has_pkey && mm->pkeys >> (e->pkey % PKEYS_MAX) & 1)
		call4(b, NULL, SYS_pkey_mprotect, e->start, len, e->prot, e->pkey);
	if (e->name && strlen(e->name) < NAME_ROOM)
		call5(b, NULL, SYS_prctl, PR_SET_VMA, PR_SET_VMA_ANON_NAME, e->start, len, batch_str(b, e->name));
	if (e->flags & MAP_LOCKED) /* pages that are missing, of which a userfaultfd is to be told, stay so */
		call3(b, "memory: lock", SYS_mlock2, e->start, len, e->uffd || e->lock_onfault ? MLOCK_ONFAULT : 0);
	return 0;
}

static int64_t put_mm_map(struct batch *b, const MmEntry *mm, int exe_num)
{
	struct prctl_mm_map m = {
		.start_code = mm->mm_start_code,
		.end_code = mm->mm_end_code,
		.start_data = mm->mm_start_data,
		.end_data = mm->mm_end_data,
		.start_brk = mm->mm_start_brk,
		.brk = mm->mm_brk,
		.start_stack = mm->mm_start_stack,
		.arg_start = mm->mm_arg_start,
		.arg_end = mm->mm_arg_end,
		.env_start = mm->mm_env_start,
		.env_end = mm->mm_env_end,
		.exe_fd = exe_num,
	};

	if (mm->n_mm_saved_auxv) {
		m.auxv_size = mm->n_mm_saved_auxv * 8;
		m.auxv = (void *)(uintptr_t)batch_mem(b, mm->mm_saved_auxv, m.auxv_size, NULL);
	}
	return batch_mem(b, &m, sizeof(m), NULL);
}

static int finish_mm(struct session *s, struct task *k, struct batch *b)
{
	const MmEntry *mm = k->mm;
	int num, fd, r;

	if (mm->n_mm_saved_auxv > 128)
		return session_fail(s, -EBADMSG, "mm-%d.img: auxv of %zu words is too long", k->vpid,
				    mm->n_mm_saved_auxv);
	fd = fd_open_reg(s, mm->exe_file_id, O_RDONLY);
	if (fd < 0)
		return fd;
	r = lend_fd(s, task_leader(k), fd, &num);
	fd_close(fd);
	if (r < 0)
		return r;
	batch_clear(b);
	call5(b, "memory: set the fields of mm (PR_SET_MM_MAP)", SYS_prctl, PR_SET_MM, PR_SET_MM_MAP,
	      put_mm_map(b, mm, num), sizeof(struct prctl_mm_map), 0);
	call1(b, NULL, SYS_close, num);
	return drained(b);
}

/* The last: nothing may be changed about them then. */
static int seal_areas(struct session *s, struct task *k, struct batch *b)
{
	const struct mem_task *mt = mem_of(k);
	bool here = syscall(SYS_mseal, 0, 0, 0) == 0, said = false;
	int r = 0;

	for (size_t i = 0; r == 0 && i < mt->n; i++) {
		const VmaEntry *e = mt->maps[i].e;

		if (!e->sealed || (e->status & (VMA_VDSO | VMA_VVAR)))
			continue;
		if (!here && !said)
			session_warn(s, "task %d: has sealed memory (mseal), which this kernel lacks: it is not sealed", k->vpid);
		said = true;
		if (!here)
			continue;
		r = roomy(b, 1, 0);
		call3(b, "memory: seal", SYS_mseal, e->start, e->end - e->start, 0);
	}
	return r < 0 ? r : drained(b);
}

/* Only now, as all that is mapped after it is locked, or has to find room below RLIMIT_MEMLOCK. */
static int lock_future(struct task *k, struct batch *b)
{
	if (!k->mm->lock_future)
		return 0;
	call1(b, "memory: lock what will be mapped (mlockall)", SYS_mlockall,
	      k->mm->lock_future & (MCL_FUTURE | MCL_ONFAULT));
	return drained(b);
}

int mem_finish(struct session *s, struct task *k)
{
	struct mem_task *mt = mem_of(k);
	struct batch b;
	int r = 0;

	if (mt->finished)
		return 0;
	mt->finished = true;
	batch_start(s, &b, task_leader(k));
	r = keys_take(s, k, &b);
	for (size_t i = 0; r == 0 && i < mt->n; i++)
		r = finish_area(&b, k->mm, mt->maps[i].e, mt->inherits);
	if (r == 0)
		r = roomy(&b, PKEYS_MAX, 0);
	if (r == 0)
		keys_give_back(k->mm, &b);
	for (size_t i = 0; r == 0 && i < k->mm->n_vmas; i++) {
		const VmaEntry *e = k->mm->vmas[i];

		if (!(e->status & VMA_GUARD))
			continue;
		r = roomy(&b, 1, 0);
		call3(&b, "memory: guard pages", SYS_madvise, e->start, e->end - e->start,
		      MADV_GUARD_INSTALL);
	}
	if (r == 0)
		r = drained(&b);
	if (r == 0)
		r = aio_finish(s, k);
	if (r == 0)
		r = mem_numa_restore(s, k, &b);
	if (r == 0)
		r = finish_mm(s, k, &b);
	if (r == 0)
		r = seal_areas(s, k, &b);
	return r < 0 ? r : lock_future(k, &b);
}

void mem_end(struct session *s, struct tree *tree)
{
	struct map *known = session_map(s, "mem open");
	struct map *shm = session_map(s, "shmem fd");

	for (size_t i = 0; i < known->max; i++)
		if (known->rows[i].value)
			fd_close((uintptr_t)known->rows[i].value - 1);
	map_free(known);
	for (size_t i = 0; i < shm->max; i++)
		if (shm->rows[i].value)
			fd_close((uintptr_t)shm->rows[i].value - 1);
	map_free(shm);
	for (size_t i = 0; i < tree->n; i++) {
		struct mem_task *mt = mem_of(tree->all[i]);

		if (!mt || tree->all[i]->mm_of)
			continue;
		pages_free(&mt->pages);
		free(mt->maps);
		free(mt->kept.v);
		free(mt);
		tree->all[i]->mem = NULL;
	}
}
