// SPDX-License-Identifier: Apache-2.0
/*
 * mem-dump: private pages of stopped tasks into images.
 *
 * Pages are found with PAGEMAP_SCAN (page-scan.c) and copied with process_vm_readv() through page aligned buffers: while
 * one is filled, a second thread writes the other into the image.
 * Where a page may be shared by copy-on-write with a relative they are read through /proc/PID/mem:
 * process_vm_readv() pins pages, and the kernel would give the task its own copy of each.
 */
#include "kind/mem.h"

#include "base/list.h"
#include "base/text.h"
#include "kind/page-scan.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#define CHUNK (1u << 20)
#define BUFS 2
#define ALONE_MAX 4096 /* pages, before the second thread is started */
#define HUGE (2u << 20) /* bytes of a huge page */
#define REGIONS 512 /* with more, walk_end can be stale and the tail would come twice */

/* a buffer on its way into the image */
struct portion {
	char *buf; /* CHUNK bytes */
	uint64_t vaddr;
	size_t n; /* pages; 0: free */
	bool zero_matters;
};

/* The thread that writes. Whatever says why something failed is called while it is idle, or by it. */
struct writer {
	pthread_t thread;
	bool started; /* little is written without it: handing over costs more than it brings */
	size_t pages; /* written so far */
	pthread_mutex_t lock;
	pthread_cond_t change;
	struct page_out *out; /* of the task that is being copied */
	struct portion p[BUFS];
	unsigned put, next; /* portions handed over, written */
	bool end;
	int r; /* first failure; its reason is said */
	uint64_t zero;
};

struct copier {
	struct session *s;
	struct task *task;
	struct page_out out;
	struct writer *w;
	int pagemap, mem;
	bool *by_reading; /* see page_scan() */
	bool cow;	 /* pages may be shared with a relative */
	uint64_t guards; /* PAGE_IS_GUARD, or 0 where the kernel does not know it */
	struct {
		struct page_region *v;
		size_t n, max;
	} guard; /* ranges of guard pages (MADV_GUARD_INSTALL) */
};

/* Zero pages are left out where a missing page reads as zero. */
static int portion_write(struct writer *w, const struct portion *p)
{
	return p->zero_matters ? page_out_add(w->out, p->vaddr, p->n, p->buf)
			       : page_out_sparse(w->out, p->vaddr, p->n, p->buf, &w->zero);
}

static void *writer_main(void *arg)
{
	struct writer *w = arg;

	pthread_mutex_lock(&w->lock);
	while (!w->end || w->next != w->put) {
		struct portion *p = &w->p[w->next % BUFS];
		int r = w->r;

		if (w->next == w->put) {
			pthread_cond_wait(&w->change, &w->lock);
			continue;
		}
		pthread_mutex_unlock(&w->lock);
		if (r == 0)
			r = portion_write(w, p);
		pthread_mutex_lock(&w->lock);
		w->r = r;
		w->next++;
		pthread_cond_signal(&w->change);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static void writer_init(struct writer *w, char *bufs)
{
	*w = (struct writer){ 0 };
	for (unsigned i = 0; i < BUFS; i++)
		w->p[i].buf = bufs + i * CHUNK;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->change, NULL);
}

/* With nothing underway. Clearing a huge page takes longer than all copying from a small process: not before. */
static void writer_start(struct writer *w)
{
	sigset_t all, old;

	madvise(w->p[0].buf, BUFS * CHUNK, MADV_DONTNEED);
	madvise(w->p[0].buf, BUFS * CHUNK, MADV_HUGEPAGE);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	w->started = pthread_create(&w->thread, NULL, writer_main, w) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* The next free portion, to be filled and handed over; NULL after a failure. */
static struct portion *writer_free(struct writer *w)
{
	int r;

	pthread_mutex_lock(&w->lock);
	while (w->put - w->next == BUFS)
		pthread_cond_wait(&w->change, &w->lock);
	r = w->r;
	pthread_mutex_unlock(&w->lock);
	return r < 0 ? NULL : &w->p[w->put % BUFS];
}

static void writer_put(struct writer *w)
{
	struct portion *p = &w->p[w->put % BUFS];

	w->pages += p->n;
	if (!w->started) {
		w->r = portion_write(w, p);
		w->put++;
		w->next++;
		if (w->pages > ALONE_MAX)
			writer_start(w);
		return;
	}
	pthread_mutex_lock(&w->lock);
	w->put++;
	pthread_cond_signal(&w->change);
	pthread_mutex_unlock(&w->lock);
}

/* Until all that was handed over is written. */
static int writer_wait(struct writer *w)
{
	int r;

	pthread_mutex_lock(&w->lock);
	while (w->next != w->put)
		pthread_cond_wait(&w->change, &w->lock);
	r = w->r;
	pthread_mutex_unlock(&w->lock);
	return r;
}

static void writer_end(struct writer *w)
{
	pthread_mutex_lock(&w->lock);
	w->end = true;
	pthread_cond_signal(&w->change);
	pthread_mutex_unlock(&w->lock);
	if (w->started)
		pthread_join(w->thread, NULL);
	pthread_cond_destroy(&w->change);
	pthread_mutex_destroy(&w->lock);
}

static int copier_read(struct copier *c, char *buf, uint64_t vaddr, size_t len, bool readable)
{
	struct iovec l = { buf, len }, m = { (void *)(uintptr_t)vaddr, len };
	ssize_t n = -1;

	if (!c->cow && readable)
		n = process_vm_readv(c->task->pid, &l, 1, &m, 1, 0);
	for (size_t have = n > 0 ? n : 0; have < len; have += n) {
		n = pread(c->mem, buf + have, len - have, vaddr + have);
		if (n <= 0) {
			int r = n < 0 ? -errno : -EFAULT;

			writer_wait(c->w);
			return session_fail(c->s, r, "task %d: read memory at %llx", c->task->vpid,
					    (unsigned long long)(vaddr + have));
		}
	}
	return 0;
}

static int copier_range(struct copier *c, const VmaEntry *e, uint64_t start, uint64_t end)
{
	/*
	 * Huge ones are whole: what a child drops of its parent's are whole ones, too (mem-restore.c). Of a missing page
	 * a userfaultfd would be told.
	 */
	bool zero_matters = !(e->status & VMA_ANON_PRIVATE) || (e->status & (VMA_VDSO | VMA_AIORING)) ||
			    (e->flags & MAP_HUGETLB) || e->uffd;
	int r = 0;

	while (r == 0 && start < end) {
		size_t len = end - start < CHUNK ? end - start : CHUNK;
		struct portion *p = writer_free(c->w);

		if (!p)
			return writer_wait(c->w);
		r = copier_read(c, p->buf, start, len, e->prot & PROT_READ);
		p->vaddr = start;
		p->n = len / PAGE;
		p->zero_matters = zero_matters;
		c->s->stats.pages_scanned += p->n;
		if (r == 0)
			writer_put(c->w);
		start += len;
	}
	return r;
}

static int copier_regions(struct copier *c, const VmaEntry *e, const struct page_region *v, int n)
{
	int r = 0;

	for (int i = 0; r == 0 && i < n; i++)
		if (v[i].categories & c->guards)
			*vec_add(&c->guard) = v[i];
		else
			r = copier_range(c, e, v[i].start, v[i].end);
	return r;
}

/* The ioctl takes a mark that userfaultfd set where there is no page for a page that was swapped out. */
static int copier_find(struct copier *c, const VmaEntry *e, struct pm_scan_arg *arg)
{
	bool by_reading = true;

	return page_scan(c->pagemap, e->uffd & UFFDIO_REGISTER_MODE_WP ? &by_reading : c->by_reading, arg);
}

/* what: the categories that are looked for */
static int copier_scan(struct copier *c, const VmaEntry *e, uint64_t what)
{
	struct page_region regions[REGIONS];
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = e->start,
		.end = e->end,
		.vec = (uintptr_t)regions,
		.vec_len = REGIONS,
		.category_anyof_mask = what | c->guards,
		.return_mask = what | c->guards,
	};

	if (e->status & VMA_FILE_PRIVATE && what) { /* only what is no longer the file's page */
		arg.category_inverted = PAGE_IS_FILE;
		arg.category_mask = PAGE_IS_FILE;
	}
	for (;;) {
		int n = copier_find(c, e, &arg), r;

		if (n < 0 && errno == EINVAL && c->guards) {
			arg.return_mask = arg.category_anyof_mask = what;
			c->guards = 0;
			continue;
		}
		if (n < 0) {
			r = -errno;
			writer_wait(c->w);
			return session_fail(c->s, r, "task %d: find its pages", c->task->vpid);
		}
		r = copier_regions(c, e, regions, n);
		if (r < 0 || n < REGIONS || arg.walk_end >= e->end)
			return r;
		arg.start = arg.walk_end;
	}
}

static int copier_vma(struct copier *c, const VmaEntry *e)
{
	if (e->status & (VMA_VDSO | VMA_AIORING))
		return copier_range(c, e, e->start, e->end);
	if (vma_private(e))
		return copier_scan(c, e, PAGE_IS_PRESENT | PAGE_IS_SWAPPED);
	return c->guards ? copier_scan(c, e, 0) : 0;
}

/* Areas of their own, behind all others. */
static void copier_guards(struct copier *c)
{
	MmEntry *mm = c->task->mm;

	for (size_t i = 0; i < c->guard.n; i++) {
		VmaEntry *e = xalloc(sizeof(*e));

		vma_entry__init(e);
		e->start = c->guard.v[i].start;
		e->end = c->guard.v[i].end;
		e->status = VMA_GUARD;
		e->fd = -1;
		mm->vmas = xgrow(mm->vmas, (mm->n_vmas + 1) * sizeof(*mm->vmas));
		mm->vmas[mm->n_vmas++] = e;
	}
	free(c->guard.v);
}

static int dump_task(struct session *s, struct task *task, struct writer *w, bool *by_reading, bool cow)
{
	struct copier c = {
		.s = s, .task = task, .w = w, .by_reading = by_reading, .cow = cow, .guards = PAGE_IS_GUARD
	};
	own_fd int pagemap = fd_high(openat(task->proc, "pagemap", O_RDONLY | O_CLOEXEC));
	own_fd int mem = fd_high(openat(task->proc, "mem", O_RDONLY | O_CLOEXEC));
	int r, more;

	if (pagemap < 0 || mem < 0)
		return session_fail(s, -errno, "task %d: open its memory", task->vpid);
	c.pagemap = pagemap;
	c.mem = mem;
	r = page_out_open(s, &c.out, "%d", task->vpid);
	w->out = &c.out;
	for (size_t i = 0; r == 0 && i < task->mm->n_vmas; i++) {
		const VmaEntry *e = task->mm->vmas[i];

		if (!(e->status & (VMA_VVAR | VMA_VSYSCALL)))
			r = copier_vma(&c, e);
	}
	more = writer_wait(w);
	r = r < 0 ? r : more;
	copier_guards(&c);
	s->stats.pages_written += c.out.total;
	session_debug(s, "task %d: %llu pages", task->vpid, (unsigned long long)c.out.total);
	if (page_out_close(&c.out) < 0 && r == 0)
		r = s->why_r;
	if (r == 0)
		r = image_write_one(s, MAGIC_MM, &task->mm->base, "mm-%d.img", task->vpid);
	return r;
}

static bool has_relative(const struct tree *tree, const struct task *k)
{
	own_mem char *stat = NULL;
	char needle[32];
	int ppid = 0;

	for (size_t i = 0; i < tree->n; i++) {
		const struct task *o = tree->all[i];

		if (o != k && o->mm && !o->mm_of && mem_same_program(o->mm, k->mm))
			return true;
	}
	if (k != tree->root || text_read(k->proc, "stat", &stat, NULL) < 0 ||
	    sscanf(strrchr(stat, ')') + 1, " %*c %d", &ppid) != 1 || ppid <= 0)
		return false;
	free(take_mem(stat));
	if (text_readf(AT_FDCWD, &stat, "/proc/%d/stat", ppid) < 0)
		return false;
	snprintf(needle, sizeof(needle), " %llu ", (unsigned long long)k->mm->mm_start_stack);
	return strstr(strrchr(stat, ')'), needle);
}

int mem_dump(struct session *s, struct tree *tree)
{
	uint64_t t0 = now_ns();
	char *raw = mmap(NULL, HUGE + BUFS * CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct writer w;
	char *bufs;
	bool by_reading = false;
	int r = 0;

	if (raw == MAP_FAILED)
		return session_fail(s, -errno, "memory: copy buffers");
	bufs = (char *)(((uintptr_t)raw + HUGE - 1) & ~(uintptr_t)(HUGE - 1));
	writer_init(&w, bufs);
	for (size_t i = 0; r == 0 && i < tree->n; i++)
		if (tree->all[i]->state != TASK_DEAD && !tree->all[i]->mm_of)
			r = dump_task(s, tree->all[i], &w, &by_reading, has_relative(tree, tree->all[i]));
	writer_end(&w);
	s->stats.pages_zero += w.zero;
	munmap(raw, HUGE + BUFS * CHUNK);
	s->stats.memdump = (now_ns() - t0) / 1000;
	return r;
}
