// SPDX-License-Identifier: Apache-2.0
/*
 * uring: an io_uring with no request in flight.
 *
 * Kept:   sizes, both rings with their heads and tails, completions not yet read, requests prepared but not yet
 *         submitted, registered buffers; who shares it, also by mapping only.
 * Lost:   flags that only save work (COOP_TASKRUN, ATTACH_WQ, IOPOLL) or choose what follows a bad request
 *         (SUBMIT_ALL), limits and affinity of its worker threads, tags of buffers: the kernel shows none of them.
 *         Refused: requests in flight, which it does not show either (those that only go through a disk are waited
 *         for); registered files, eventfds, buffer rings and personalities; IORING_SETUP_SQPOLL, _SINGLE_ISSUER,
 *         _NO_MMAP, _R_DISABLED, _SQE128, _CQE32; restricted ones.
 * Kernel: io_uring/fdinfo.c, io_uring.c. Its own ends of the rings move only by requests: ones that do nothing
 *         (IORING_OP_NOP) turn a new ring to where the old one was. A ring passes through no socket: the task makes
 *         it, and others take it by pidfd_getfd(2).
 */
#include "kind/fd.h"
#include "kind/mem.h"
#include "kind/uring.h"

#include "base/res.h"
#include "base/text.h"
#include "task/lend.h"

#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define PBUF_STATUS 26	      /* IORING_REGISTER_PBUF_STATUS, Linux 6.8 */
#define PBUF_GROUPS 65536u
#define BUFFERS_MAX 16384u    /* the kernel's IORING_MAX_REG_BUFFERS */

static bool uring_is(const struct fd_view *v)
{
	return !strcmp(v->link, "anon_inode:[io_uring]");
}

/* ---- dump: what is it? ---- */

/* What fdinfo says. */
struct shown {
	uint64_t sq_mask, cq_mask, submitted, completed, files, buffers;
	int64_t thread;
	unsigned polls, overflown; /* requests that wait for a descriptor; completions that found no room */
};

/* Indented lines below a heading. */
static unsigned lines_below(const char *info, const char *heading)
{
	const char *p = text_after(info, heading);
	unsigned n = 0;

	for (p = p ? strchr(p - 1, '\n') : NULL; p && p[1] == ' '; p = strchr(p + 1, '\n'))
		n++;
	return n;
}

static bool shown_read(const char *info, struct shown *w)
{
	*w = (struct shown){ .thread = -1 };
	if (text_u64(info, "SqMask:", 16, &w->sq_mask) < 0 || text_u64(info, "CqMask:", 16, &w->cq_mask) < 0 ||
	    text_u64(info, "CachedSqHead:", 10, &w->submitted) < 0 ||
	    text_u64(info, "CachedCqTail:", 10, &w->completed) < 0 || w->sq_mask >= URING_SQ_MAX ||
	    w->cq_mask >= URING_CQ_MAX)
		return false;
	text_u64(info, "UserFiles:", 10, &w->files);
	text_u64(info, "UserBufs:", 10, &w->buffers);
	text_i64(info, "SqThread:", 10, &w->thread);
	w->polls = lines_below(info, "PollList:");
	w->overflown = lines_below(info, "CqOverflowList:");
	return true;
}

static int ring_register(int fd, unsigned op, void *arg, unsigned n)
{
	return syscall(SYS_io_uring_register, fd, op, arg, n) < 0 ? -errno : 0;
}

/* Asking by an attempt that is taken back at once: there can be one. */
static bool has_eventfd(int fd)
{
	own_fd int e = fd_high(eventfd(0, EFD_CLOEXEC));
	int r = ring_register(fd, IORING_REGISTER_EVENTFD, &e, 1);

	if (r == 0)
		ring_register(fd, IORING_UNREGISTER_EVENTFD, NULL, 0);
	return r == -EBUSY;
}

static bool has_buffer_ring(int fd)
{
	for (uint32_t group = 0; group < PBUF_GROUPS; group++) {
		uint32_t status[10] = { group };
		int r = ring_register(fd, PBUF_STATUS, status, 1);

		if (r != -ENOENT)
			return r == 0;
	}
	return false;
}

/* Why a ring cannot be kept, or NULL. */
static const char *ring_obstacle(int fd, const struct shown *w, const char *info)
{
	uint64_t probe[3] = { 0 };
	int r = ring_register(fd, IORING_REGISTER_PROBE, probe, 1);

	if (w->thread >= 0)
		return "has a kernel thread that polls it (IORING_SETUP_SQPOLL)";
	if (w->files)
		return "has registered files, which the kernel shows by their names only";
	if (strstr(info, "\nPersonalities:"))
		return "has registered personalities";
	if (r == -EEXIST)
		return "belongs to one thread (IORING_SETUP_SINGLE_ISSUER)";
	if (r < 0 || (syscall(SYS_io_uring_enter, fd, 0, 0, 0, NULL, 0) < 0 && errno == EBADFD))
		return "is restricted, or not enabled yet";
	if (has_eventfd(fd))
		return "has a registered eventfd, and the kernel does not show which";
	if (has_buffer_ring(fd))
		return "has a ring of buffers (IORING_REGISTER_PBUF_RING), whose place the kernel does not show";
	return NULL;
}

#define REMEDY "run the program without io_uring (its own setting, such as UV_USE_IO_URING=0 for node, or sysctl kernel.io_uring_disabled=2 before it starts)"

static int requests_check(struct session *s, const struct fd_view *v, const struct shown *w)
{
	int32_t waiting = (uint32_t)w->submitted - (uint32_t)w->completed - w->overflown;

	if (w->polls)
		return session_fail(s, -ENOTSUP,
				    "task %d: descriptor %d is an io_uring with %u requests in flight that wait for descriptors to be ready, which the kernel does not give back; " REMEDY,
				    v->task->vpid, v->num, w->polls);
	if (waiting < 0)
		return session_fail(s, -ENOTSUP,
				    "task %d: descriptor %d is an io_uring with more answers than requests (multishot), so that it does not show whether any are in flight; " REMEDY,
				    v->task->vpid, v->num);
	if (waiting || w->overflown)
		return session_fail(s, -EBUSY,
				    "task %d: descriptor %d is an io_uring with %d requests in flight and %u completions that find no room; try again when they have ended, or " REMEDY,
				    v->task->vpid, v->num, waiting, w->overflown);
	return 0;
}

static int uring_preflight(struct session *s, const struct fd_view *v)
{
	struct shown w;
	const char *why;

	if (!shown_read(v->info, &w))
		return session_fail(s, -ENOTSUP,
				    "task %d: descriptor %d is an io_uring whose state this kernel does not show in /proc; " REMEDY,
				    v->task->vpid, v->num);
	why = ring_obstacle(v->fd, &w, v->info);
	if (why)
		return session_fail(s, -ENOTSUP, "task %d: descriptor %d is an io_uring that %s; " REMEDY, v->task->vpid,
				    v->num, why);
	return requests_check(s, v, &w);
}

/* Requests that go through a disk end by themselves. */
static int uring_passing(struct session *s, const struct fd_view *v)
{
	struct shown w;

	if (!shown_read(v->info, &w))
		return 1; /* it was just being used */
	return !w.polls && (int32_t)((uint32_t)w.submitted - (uint32_t)w.completed) > 0;
}

/* ---- dump: its memory ---- */

static bool any(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return true;
	return false;
}

/* Are there more bytes of that mapping than a ring of the usual sort has? */
static bool longer(int fd, uint64_t offset, size_t len)
{
	void *m = mmap(NULL, 2 * len, PROT_READ, MAP_SHARED, fd, offset);
	bool more = m != MAP_FAILED && uring_readable(m, 2 * len) > len;

	if (m != MAP_FAILED)
		munmap(m, 2 * len);
	return more;
}

/* Entries of double size: the kernel does not tell, but they take more memory. */
static bool wide(const struct uring *u)
{
	size_t rings = u->p.sq_off.array + u->p.sq_entries * sizeof(uint32_t);
	size_t sqes = u->p.sq_entries * sizeof(*u->sqes);

	return longer(u->fd, IORING_OFF_SQ_RING, u->rings_len) || longer(u->fd, IORING_OFF_SQES, u->sqes_len) ||
	       (uring_readable(u->rings, u->rings_len) == u->rings_len && any(u->rings + rings, u->rings_len - rings)) ||
	       any((char *)u->sqes + sqes, u->sqes_len - sqes);
}

/*
 * A ring made with IORING_SETUP_NO_SQARRAY takes the requests in their order. The kernel does not tell; but
 * in another, the program has filled the array for each request that it submitted.
 */
static void array_complete(const struct uring *u, char *rings)
{
	const char *array = rings + u->p.sq_off.array;

	if (any(array, u->p.sq_entries * sizeof(uint32_t)) || !any((const char *)(u->sqes + 1), (u->p.sq_entries - 1) * sizeof(*u->sqes)))
		return;
	for (uint32_t i = 0; i < u->p.sq_entries; i++)
		memcpy(rings + u->p.sq_off.array + i * sizeof(i), &i, sizeof(i));
}

/* Requests that may have answered never, or several times: then their number says little. */
static bool uneven(const struct uring *u)
{
	const struct io_uring_cqe *cqes = (void *)(u->rings + u->p.cq_off.cqes);

	for (uint32_t i = 0; i < u->p.sq_entries; i++)
		if (u->sqes[i].flags & IOSQE_CQE_SKIP_SUCCESS)
			return true;
	for (uint32_t i = 0; i < u->p.cq_entries; i++)
		if (cqes[i].flags & IORING_CQE_F_MORE)
			return true;
	return false;
}

/* The layout that a ring of its sizes has, from another one. */
static int ring_open(struct session *s, const struct fd_view *v, const struct shown *w, struct uring *u)
{
	own_fd int like = -1;
	int r;

	*u = (struct uring){ .fd = v->fd, .p = { .sq_entries = w->sq_mask + 1, .cq_entries = w->cq_mask + 1 } };
	like = uring_setup(&u->p);
	if (like < 0)
		return session_fail(s, like, "io_uring 0x%x: make one like it (sysctl kernel.io_uring_disabled may forbid it)", v->id);
	r = uring_map(u);
	if (r == -EINVAL)
		return session_fail(s, -ENOTSUP,
				    "task %d: descriptor %d is an io_uring in memory of the program's (IORING_SETUP_NO_MMAP), whose place the kernel does not show; " REMEDY,
				    v->task->vpid, v->num);
	if (r < 0)
		return session_fail(s, r, "io_uring 0x%x: map it", v->id);
	if (*uring_word(u, u->p.sq_off.ring_entries) == u->p.sq_entries &&
	    *uring_word(u, u->p.cq_off.ring_entries) == u->p.cq_entries && !wide(u))
		return 0;
	uring_unmap(u);
	return session_fail(s, -ENOTSUP, "task %d: descriptor %d is an io_uring with entries of double size; " REMEDY,
			    v->task->vpid, v->num);
}

/* "    0: 0x7ffc5d528620/100", or "<none>" */
static void buffers_read(const char *info, uint64_t n, UringFileEntry *e)
{
	const char *p = text_after(info, "UserBufs:");

	e->buffers = xalloc((n + 1) * sizeof(*e->buffers));
	for (p = p ? strchr(p, '\n') : NULL; p && p[1] == ' ' && e->n_buffers < n; p = strchr(p + 1, '\n')) {
		UringBufferEntry *b = xalloc(sizeof(*b));
		unsigned long long index = 0, addr = 0, len = 0;

		uring_buffer_entry__init(b);
		if (sscanf(p, " %llu: %llx/%llu", &index, &addr, &len) == 3) {
			b->addr = addr;
			b->len = len;
		}
		e->buffers[e->n_buffers++] = b;
	}
}

static void buffers_free(UringFileEntry *e)
{
	for (size_t i = 0; i < e->n_buffers; i++)
		free(e->buffers[i]);
	free(e->buffers);
}

static int ring_put(struct session *s, const struct fd_view *v, const struct shown *w, const struct uring *u)
{
	own_mem char *rings = xalloc(u->rings_len);
	UringFileEntry e = URING_FILE_ENTRY__INIT;
	int r;

	memcpy(rings, u->rings, uring_readable(u->rings, u->rings_len));
	array_complete(u, rings);
	e.id = v->id;
	e.flags = v->flags;
	e.fown = v->fown;
	e.setup = u->p.flags;
	e.sq_entries = u->p.sq_entries;
	e.cq_entries = u->p.cq_entries;
	e.features = u->p.features;
	e.rings = (ProtobufCBinaryData){ u->rings_len, (uint8_t *)rings };
	e.sqes = (ProtobufCBinaryData){ u->p.sq_entries * sizeof(*u->sqes), (uint8_t *)u->sqes };
	buffers_read(v->info, w->buffers, &e);
	if (e.n_buffers != w->buffers)
		r = session_fail(s, -EBADMSG, "io_uring 0x%x: its registered buffers are not understood", v->id);
	else
		r = fd_put(s, v, &e.base);
	buffers_free(&e);
	return r;
}

static int uring_dump(struct session *s, const struct fd_view *v)
{
	struct shown w;
	struct uring u;
	int r = uring_preflight(s, v);

	if (r < 0)
		return r;
	shown_read(v->info, &w);
	r = ring_open(s, v, &w, &u);
	if (r < 0)
		return r;
	if (uneven(&u))
		session_warn(s, "task %d: descriptor %d: an io_uring that answers some requests never or several times: whether such are in flight does not show, and they would not be kept",
			     v->task->vpid, v->num);
	r = ring_put(s, v, &w, &u);
	uring_unmap(&u);
	uring_note(s, v->st.st_ino, v->id);
	return r;
}

/* ---- restore ---- */

static int entry_check(struct session *s, const struct fd_obj *o)
{
	const UringFileEntry *e = o->entry->uring;
	uint32_t sq = e ? e->sq_entries : 0, cq = e ? e->cq_entries : 0;

	if (!sq || sq > URING_SQ_MAX || (sq & (sq - 1)) || cq < sq || cq > URING_CQ_MAX || (cq & (cq - 1)) ||
	    e->setup != IORING_SETUP_CQSIZE || e->n_buffers > BUFFERS_MAX)
		return session_fail(s, -EBADMSG, "files.img: io_uring 0x%x is damaged", o->id);
	return 0;
}

/* Something that can be passed, to be replaced in the tables: see uring_in_task(). */
static int uring_restore(struct session *s, struct fd_obj *o)
{
	int r = entry_check(s, o);

	if (r < 0)
		return r;
	o->fd = fd_high(open("/dev/null", O_RDWR | O_CLOEXEC));
	return o->fd < 0 ? session_fail(s, -errno, "open /dev/null") : 0;
}

/* The ring that is being made, and where it is for the moment: in the table of by, under number num. */
struct made {
	struct fd_obj *o;
	struct thread *by;
	int num;
};

/* A descriptor of the ring for another thread, to be closed by it. */
static int ring_take(struct session *s, const struct made *m, struct thread *t, int *ret)
{
	struct batch b;
	unsigned n;
	int pidfd, r;

	if (t->task->files == m->by->task->files && !t->files_id && !m->by->files_id) {
		batch_start(s, &b, t);
		n = call3(&b, "io_uring: take it", SYS_fcntl, m->num, F_DUPFD_CLOEXEC, 0);
		r = batch_run(&b);
		*ret = batch_ret(&b, n);
		return r;
	}
	r = lend_fd(s, t, m->by->task->pidfd, &pidfd);
	if (r < 0)
		return r;
	batch_start(s, &b, t);
	n = call3(&b, "io_uring: take it from who made it", SYS_pidfd_getfd, pidfd, m->num, 0);
	call1(&b, NULL, SYS_close, pidfd);
	r = batch_run(&b);
	*ret = batch_ret(&b, n);
	return r;
}

static int ring_make(struct session *s, struct made *m)
{
	const UringFileEntry *e = m->o->entry->uring;
	struct io_uring_params p = { .flags = e->setup, .cq_entries = e->cq_entries };
	struct batch b;
	unsigned n;
	int r;

	batch_start(s, &b, m->by);
	n = call2(&b, "io_uring: make it (sysctl kernel.io_uring_disabled may forbid it)", SYS_io_uring_setup, e->sq_entries,
		  batch_mem(&b, &p, sizeof(p), NULL));
	r = batch_run(&b);
	if (r < 0)
		return r;
	m->num = batch_ret(&b, n);
	fd_close(m->o->fd);
	m->o->fd = fd_high(syscall(SYS_pidfd_getfd, m->by->task->pidfd, m->num, 0));
	return m->o->fd < 0 ? session_fail(s, -errno, "task %d: take its io_uring", m->by->task->vpid) : 0;
}

/* Over what was passed in its place. */
static int ring_place(struct session *s, struct thread *t, int num, bool cloexec, void *arg)
{
	struct batch b;
	int have, r = ring_take(s, arg, t, &have);

	if (r < 0)
		return r;
	batch_start(s, &b, t);
	call3(&b, "io_uring: put it in its place", SYS_dup3, have, num, cloexec ? O_CLOEXEC : 0);
	call1(&b, NULL, SYS_close, have);
	return batch_run(&b);
}

static bool ring_mapped(const struct task *k, const struct fd_obj *o)
{
	for (size_t i = 0; i < k->mm->n_vmas; i++)
		if ((k->mm->vmas[i]->status & VMA_URING) && k->mm->vmas[i]->shmid == o->id)
			return true;
	return false;
}

/* Over the memory that kept its place. */
static int ring_map_into(struct session *s, const struct made *m, struct task *k)
{
	struct batch b;
	int num, r = ring_take(s, m, task_leader(k), &num);

	for (size_t i = 0; r == 0 && i < k->mm->n_vmas; i++) {
		const VmaEntry *e = k->mm->vmas[i];

		if ((e->status & VMA_URING) && e->shmid == m->o->id)
			r = uring_place(s, k, num, e);
	}
	if (r < 0)
		return r;
	batch_start(s, &b, task_leader(k));
	call1(&b, NULL, SYS_close, num);
	return batch_run(&b);
}

static int ring_map_all(struct session *s, const struct made *m)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < s->tree->n; i++) {
		struct task *k = s->tree->all[i];

		if (k->state != TASK_DEAD && !k->helper && !k->mm_of && ring_mapped(k, m->o))
			r = ring_map_into(s, m, k);
	}
	return r;
}

/* Their pages are pinned: the memory has what it is to have. */
static int buffers_register(struct session *s, const struct made *m)
{
	const UringFileEntry *e = m->o->entry->uring;
	own_mem struct iovec *v = xalloc((e->n_buffers + 1) * sizeof(*v));
	struct batch b;
	int64_t at;

	batch_start(s, &b, m->by);
	if (!e->n_buffers)
		return 0;
	if (!batch_room(&b, 1, e->n_buffers * sizeof(*v) + 64))
		return session_fail(s, -E2BIG, "io_uring 0x%x: has more registered buffers than can be passed (%zu)", e->id, e->n_buffers);
	for (size_t i = 0; i < e->n_buffers; i++)
		v[i] = (struct iovec){ (void *)(uintptr_t)e->buffers[i]->addr, e->buffers[i]->len };
	at = batch_mem(&b, v, e->n_buffers * sizeof(*v), NULL);
	call4(&b, "io_uring: register its buffers", SYS_io_uring_register, m->num, IORING_REGISTER_BUFFERS, at, e->n_buffers);
	return batch_run(&b);
}

/* By its index, for a thread that had registered it. */
static int ring_index(struct session *s, const struct made *m, struct thread *t, uint32_t index)
{
	struct io_uring_files_update u = { .offset = index };
	struct batch b;
	int num, r = ring_take(s, m, t, &num);

	if (r < 0)
		return r;
	u.fds = num; /* .data of struct io_uring_rsrc_update, which is laid out alike */
	batch_start(s, &b, t);
	call4(&b, "io_uring: register it for a thread", SYS_io_uring_register, num, IORING_REGISTER_RING_FDS,
	      batch_mem(&b, &u, sizeof(u), NULL), 1);
	call1(&b, NULL, SYS_close, num);
	return batch_run(&b);
}

static int ring_index_all(struct session *s, const struct made *m)
{
	int r = 0;

	for (size_t i = 0; i < s->tree->n; i++) {
		struct task *k = s->tree->all[i];

		for (unsigned n = 0; r == 0 && k->state != TASK_DEAD && !k->helper && n < k->n_threads; n++) {
			const ThreadCoreEntry *c = k->threads[n].core->thread_core;

			for (size_t j = 0; r == 0 && j + 1 < c->n_rings; j += 2)
				if (c->rings[j] < URING_REGISTERED_MAX && c->rings[j + 1] == m->o->id)
					r = ring_index(s, m, &k->threads[n], c->rings[j]);
		}
	}
	return r;
}

static int uring_in_task(struct session *s, struct fd_obj *o, struct batch *b, int num)
{
	struct made m = { .o = o, .by = o->thread };
	struct batch end;
	int r = ring_make(s, &m);

	if (r == 0)
		r = fd_places(s, o, ring_place, &m);
	if (r == 0)
		r = ring_map_all(s, &m);
	if (r == 0)
		r = buffers_register(s, &m);
	if (r == 0)
		r = ring_index_all(s, &m);
	if (r < 0)
		return r;
	batch_start(s, &end, m.by);
	call1(&end, NULL, SYS_close, m.num);
	return batch_run(&end);
}

/* Requests that do nothing, until the kernel's ends are at end; read: so are their completions. */
static int ring_turn(const struct uring *u, uint32_t end, bool read)
{
	uint32_t *submit = uring_word(u, u->p.sq_off.tail);

	for (uint32_t at = *submit; at != end; at = *submit) {
		uint32_t n = end - at < u->p.sq_entries ? end - at : u->p.sq_entries;

		__atomic_store_n(submit, at + n, __ATOMIC_RELEASE);
		if (syscall(SYS_io_uring_enter, u->fd, n, 0, 0, NULL, 0) != n ||
		    __atomic_load_n(uring_word(u, u->p.cq_off.tail), __ATOMIC_ACQUIRE) != at + n)
			return -EIO;
		if (read)
			__atomic_store_n(uring_word(u, u->p.cq_off.head), at + n, __ATOMIC_RELEASE);
	}
	return 0;
}

/*
 * The kernel keeps count of completions that it may still write without looking; none that the program has not
 * read is among them if their requests come last, unread.
 */
static int ring_fill(const struct uring *u, const UringFileEntry *e)
{
	struct uring was = { .rings = (char *)e->rings.data };
	uint32_t tail = *uring_word(&was, u->p.cq_off.tail), head = *uring_word(&was, u->p.cq_off.head);
	int r = ring_turn(u, head, true);

	if (r == 0)
		r = ring_turn(u, tail, false);
	if (r < 0)
		return r;
	memcpy(u->rings, e->rings.data, u->p.sq_off.array + u->p.sq_entries * sizeof(uint32_t));
	memcpy(u->sqes, e->sqes.data, e->sqes.len);
	return 0;
}

/* Does what an image has of the rings fit the layout that they have here? */
static bool fits(const struct uring *u, const UringFileEntry *e)
{
	struct uring was = { .rings = (char *)e->rings.data };

	return u->p.sq_entries == e->sq_entries && u->p.cq_entries == e->cq_entries && e->rings.len >= u->rings_len &&
	       e->sqes.len == u->p.sq_entries * sizeof(*u->sqes) &&
	       *uring_word(&was, u->p.sq_off.ring_entries) == u->p.sq_entries &&
	       *uring_word(&was, u->p.cq_off.ring_entries) == u->p.cq_entries &&
	       *uring_word(&was, u->p.sq_off.ring_mask) == u->p.sq_entries - 1 &&
	       *uring_word(&was, u->p.cq_off.ring_mask) == u->p.cq_entries - 1 &&
	       *uring_word(&was, u->p.sq_off.head) == *uring_word(&was, u->p.cq_off.tail) &&
	       *uring_word(&was, u->p.cq_off.tail) - *uring_word(&was, u->p.cq_off.head) <= u->p.cq_entries;
}

static int uring_link(struct session *s, struct fd_obj *o)
{
	const UringFileEntry *e = o->entry->uring;
	struct uring u = { .fd = o->fd, .p = { .flags = e->setup, .sq_entries = e->sq_entries, .cq_entries = e->cq_entries } };
	own_fd int like = uring_setup(&u.p); /* tells the layout */
	int r = like < 0 ? like : uring_map(&u);

	if (r < 0)
		return session_fail(s, r, "io_uring 0x%x: map it", o->id);
	if (e->features & ~u.p.features)
		session_warn(s, "io_uring 0x%x: this kernel lacks features that the program was told of (0x%x)", o->id,
			     e->features & ~u.p.features);
	if (!fits(&u, e))
		r = session_fail(s, -EBADMSG, "files.img: io_uring 0x%x is damaged, or its rings are laid out otherwise on this kernel", o->id);
	else if ((r = ring_fill(&u, e)) < 0)
		r = session_fail(s, r, "io_uring 0x%x: turn its rings to where they were", o->id);
	uring_unmap(&u);
	return r;
}

const struct fd_kind fd_kind_uring = {
	.name = "io_uring",
	.type = FD_TYPES__IO_URING,
	.is = uring_is,
	.dump = uring_dump,
	.restore = uring_restore,
	.in_task = uring_in_task,
	.link = uring_link,
	.passing = uring_passing,
	.preflight = uring_preflight,
};
