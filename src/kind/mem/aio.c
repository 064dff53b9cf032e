// SPDX-License-Identifier: Apache-2.0
/*
 * aio: contexts of io_setup(2). The ring that a program maps is their only trace in /proc, and its address
 * their name.
 *
 * Kept:   address, size, completed events that were not read yet.
 * Lost:   requests that wait for something to happen (IOCB_CMD_POLL), which the kernel does not show: reported.
 *         Those on block devices are waited for. The number of requests that the program asked for, of which the
 *         ring shows what it was rounded up to.
 * Kernel: fs/aio.c. The kernel's own end of the ring moves only by completions: requests on /dev/null turn a
 *         new ring to where the old one was. mremap(2) of a ring renames its context.
 */
#include "kind/mem-aio.h"

#include "base/res.h"
#include "base/text.h"
#include "task/lend.h"

#include <fcntl.h>
#include <linux/aio_abi.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

#define RING_MAGIC 0xa10a10a1
#define SETTLE_TRIES 2000 /* ms */
#define PORTION 32	  /* requests at once */
#define RING_LEN_MAX (128u << 20)

/* wire and kernel: what the mapping begins with; events follow */
struct ring {
	uint32_t id, nr, head, tail, magic, compat, incompat, header;
};

static bool aio_is(const struct mem_view *v)
{
	return v->ino && !strncmp(v->name, "/[aio]", 6);
}

static int ring_read(pid_t pid, uint64_t at, struct ring *ret)
{
	struct iovec l = { ret, sizeof(*ret) }, m = { (void *)(uintptr_t)at, sizeof(*ret) };

	return process_vm_readv(pid, &l, 1, &m, 1, 0) == sizeof(*ret) ? 0 : -EFAULT;
}

static bool ring_sane(const struct ring *g, uint64_t len)
{
	return g->magic == RING_MAGIC && g->header == sizeof(*g) && g->nr > 2 && g->head < g->nr && g->tail < g->nr &&
	       g->nr <= (len - sizeof(*g)) / sizeof(struct io_event);
}

/* Has the device nothing under way at this moment? */
static bool idle(const char *name)
{
	own_mem char *text = NULL;
	unsigned long reads, writes;

	return text_readf(AT_FDCWD, &text, "/sys/block/%s/inflight", name) < 0 ||
	       sscanf(text, "%lu %lu", &reads, &writes) != 2 || !(reads + writes);
}

/* What was under way when the tasks stopped has ended once each device was idle for a moment. */
static int settle(struct session *s)
{
	own_dir DIR *d = opendir("/sys/block");
	struct dirent *e;

	if (map_get(session_map(s, "aio settled"), 0))
		return 0;
	map_put(session_map(s, "aio settled"), 0, s);
	while (d && (e = readdir(d)))
		for (int n = 0; e->d_name[0] != '.' && !idle(e->d_name); n++) {
			if (n == SETTLE_TRIES)
				return session_fail(s, -EBUSY,
						    "block device %s: is busy all the time, so that requests of AIO contexts may be under way; try again",
						    e->d_name);
			nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
		}
	nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL); /* completions that go through a work queue */
	return 0;
}

static int aio_dump(struct session *s, const struct mem_view *v)
{
	uint64_t len = v->e->end - v->e->start;
	MmEntry *mm = v->task->mm;
	AioRingEntry *a;
	struct ring g;
	int r = settle(s);

	if (r < 0)
		return r;
	if (ring_read(v->task->pid, v->e->start, &g) < 0 || !ring_sane(&g, len))
		return session_fail(s, -ENOTSUP, "task %d: the AIO ring at %llx is damaged or mapped in part; let the program destroy it (io_destroy)",
				    v->task->vpid, (unsigned long long)v->e->start);
	session_warn(s, "task %d: has an AIO context (io_setup); requests that wait for descriptors to be ready (IOCB_CMD_POLL) are not kept, if there are any",
		     v->task->vpid);
	v->e->status = VMA_REGULAR | VMA_ANON_PRIVATE | VMA_AIORING;
	v->e->flags = MAP_PRIVATE | MAP_ANONYMOUS;
	v->e->has_madv = v->e->madv = 0;
	v->e->pgoff = 0;
	a = xalloc(sizeof(*a));
	aio_ring_entry__init(a);
	a->id = v->e->start;
	a->ring_len = len;
	a->nr_req = (g.nr - 2) / 2;
	mm->aios = xgrow(mm->aios, (mm->n_aios + 1) * sizeof(*mm->aios));
	mm->aios[mm->n_aios++] = a;
	return 0;
}

/* ---- restore ---- */

static bool aio_owns(const VmaEntry *e)
{
	return e->status & VMA_AIORING;
}

/* Every context has its area, and the other way round. */
int aio_check(struct session *s, const struct task *k)
{
	size_t areas = 0, found = 0;

	for (size_t i = 0; i < k->mm->n_vmas; i++) {
		const VmaEntry *e = k->mm->vmas[i];

		if (!(e->status & VMA_AIORING))
			continue;
		areas++;
		for (size_t j = 0; j < k->mm->n_aios; j++)
			found += k->mm->aios[j]->id == e->start && k->mm->aios[j]->ring_len == e->end - e->start &&
				 k->mm->aios[j]->nr_req && k->mm->aios[j]->ring_len <= RING_LEN_MAX && e->prot & PROT_WRITE;
	}
	return areas == found && areas == k->mm->n_aios
		       ? 0
		       : session_fail(s, -EBADMSG, "mm-%d.img: AIO contexts and their areas do not fit", k->vpid);
}

/* n requests that complete at once; read: their events are taken out. */
static int turn(struct batch *b, uint64_t ctx, uint32_t n, int null, bool read)
{
	int r = 0;

	while (r == 0 && n) {
		uint32_t k = n < PORTION ? n : PORTION;
		struct iocb io = { .aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = null };
		uint64_t ptrs[PORTION], at;
		unsigned call;

		if (!batch_room(b, 2, sizeof(io) + sizeof(ptrs) + PORTION * sizeof(struct io_event) + 64)) {
			r = batch_run(b);
			batch_clear(b);
		}
		at = batch_mem(b, &io, sizeof(io), NULL);
		for (uint32_t i = 0; i < k; i++)
			ptrs[i] = at;
		call = call3(b, NULL, SYS_io_submit, ctx, k, batch_mem(b, ptrs, k * sizeof(ptrs[0]), NULL));
		batch_stop(b, call);
		if (read)
			call5(b, "AIO: turn the ring", SYS_io_getevents, ctx, k, k,
			      batch_mem(b, NULL, k * sizeof(struct io_event), NULL), 0);
		n -= k;
	}
	return r;
}

/* All but the first field, which is the kernel's number of the new context. */
static int ring_write(struct session *s, const struct task *k, const AioRingEntry *a, const char *was)
{
	struct iovec l = { (char *)was + 4, a->ring_len - 4 };
	struct iovec m = { (void *)(uintptr_t)(a->id + 4), a->ring_len - 4 };

	return process_vm_writev(k->pid, &l, 1, &m, 1, 0) == (ssize_t)l.iov_len
		       ? 0
		       : session_fail(s, -EFAULT, "task %d: fill the AIO ring at %llx", k->vpid, (unsigned long long)a->id);
}

static int ring_copy(struct session *s, const struct task *k, const AioRingEntry *a, char *to)
{
	struct iovec l = { to, a->ring_len }, m = { (void *)(uintptr_t)a->id, a->ring_len };

	if (process_vm_readv(k->pid, &l, 1, &m, 1, 0) != (ssize_t)a->ring_len)
		return session_fail(s, -EFAULT, "task %d: read the AIO ring at %llx", k->vpid, (unsigned long long)a->id);
	return ring_sane((struct ring *)to, a->ring_len)
		       ? 0
		       : session_fail(s, -EBADMSG, "pages of task %d: the AIO ring at %llx is damaged", k->vpid,
				      (unsigned long long)a->id);
}

static int ring_make(struct session *s, struct task *k, const AioRingEntry *a, int null)
{
	own_mem char *was = xalloc(a->ring_len);
	const struct ring *g = (struct ring *)was;
	struct ring now;
	struct batch b;
	uint64_t ctx = 0, *ret;
	int r = ring_copy(s, k, a, was);
	int64_t at;

	if (r < 0)
		return r;
	batch_start(s, &b, task_leader(k));
	at = batch_mem(&b, NULL, sizeof(ctx), &ret);
	call2(&b, "AIO: io_setup (fs.aio-max-nr says how many requests there may be)", SYS_io_setup, a->nr_req, at);
	r = batch_run(&b);
	if (r == 0)
		ctx = *(uint64_t *)batch_local(&b, at);
	batch_clear(&b);
	if (r < 0)
		return r;
	if (ring_read(k->pid, ctx, &now) < 0 || now.nr != g->nr)
		return session_fail(s, -ENOTSUP,
				    "task %d: an AIO ring has %u events on this machine, and had %u: the numbers of CPUs differ too much",
				    k->vpid, now.nr, g->nr);
	r = turn(&b, ctx, g->head, null, true);
	if (r == 0)
		r = turn(&b, ctx, (g->tail + g->nr - g->head) % g->nr, null, false);
	if (r == 0)
		r = batch_run(&b);
	batch_clear(&b);
	if (r < 0)
		return r;
	if (ring_read(k->pid, ctx, &now) < 0 || now.tail != g->tail || now.head != g->head)
		return session_fail(s, -EAGAIN, "task %d: turn an AIO ring to %u, %u: it is at %u, %u", k->vpid, g->head, g->tail,
				    now.head, now.tail);
	call5(&b, "AIO: move the ring to its place", SYS_mremap, ctx, a->ring_len, a->ring_len, MREMAP_MAYMOVE | MREMAP_FIXED, a->id);
	r = batch_run(&b);
	return r < 0 ? r : ring_write(s, k, a, was);
}

int aio_finish(struct session *s, struct task *k)
{
	own_fd int fd = k->mm->n_aios ? fd_high(open("/dev/null", O_RDONLY | O_CLOEXEC)) : -1;
	struct batch b;
	int null, r;

	if (!k->mm->n_aios)
		return 0;
	if (fd < 0)
		return session_fail(s, -errno, "open /dev/null");
	r = lend_fd(s, task_leader(k), fd, &null);
	for (size_t i = 0; r == 0 && i < k->mm->n_aios; i++)
		r = ring_make(s, k, k->mm->aios[i], null);
	if (r < 0)
		return r;
	batch_start(s, &b, task_leader(k));
	call1(&b, NULL, SYS_close, null);
	return batch_run(&b);
}

const struct mem_kind mem_kind_aio = {
	.name = "AIO ring",
	.is = aio_is,
	.dump = aio_dump,
	.owns = aio_owns,
	.map = mem_mmap, /* memory in its place, until aio_finish() */
	.pages = true,
};
