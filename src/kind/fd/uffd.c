// SPDX-License-Identifier: Apache-2.0
/*
 * uffd: a userfaultfd: whoever reads it brings the pages of somebody's memory.
 *
 * Kept:   features, whose memory it watches (also that of a task that ended), ranges and their modes; pages that are
 *         missing stay missing, those that are write-protected stay so, minor faults that were answered are not
 *         told again. A thread that waits for a page goes on to wait, and its fault is told once more.
 * Lost:   UFFD_USER_MODE_ONLY, which the kernel does not show. Refused: one whose memory is of a process outside of
 *         the tree, memory that is watched from outside. A thread that waits for a page inside of a system call cannot
 *         be stopped: a dump then fails, unless the page comes in time.
 * Kernel: fs/userfaultfd.c, mm/userfaultfd.c. It belongs to the memory of whoever made it, so a task makes it; all
 *         else can be done by whoever has it.
 */
#include "kind/fd.h"
#include "kind/mem.h"
#include "kind/shmem.h"

#include "base/list.h"
#include "base/text.h"
#include "task/lend.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define INITIALIZED (1ull << 31) /* the kernel's own flag among the features */
#ifndef USERFAULTFD_IOC_NEW /* Linux 6.1 */
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0)
#endif
#define PM_PRESENT (1ull << 63) /* a word of /proc/PID/pagemap */
#define PM_UFFD_WP (1ull << 57)
#define WORDS 4096

/* One that was seen at the dump; it is described when all mappings are known. */
struct seen {
	struct seen *next;
	uint32_t id, flags;
	FownEntry fown;
	int fd, num;	     /* ours; number in task */
	struct task *task;   /* who has it */
	struct task *memory; /* whose memory it watches */
	bool ended;	     /* of nobody who lives */
	bool ready;	     /* ioctl(UFFDIO_API) was called */
	uint64_t features;
};

static bool uffd_is(const struct fd_view *v)
{
	return !strcmp(v->link, "anon_inode:[userfaultfd]");
}

/* ---- dump ---- */

/* "API:    aa:80003001:80000000000001ff": version, features, ioctls */
static bool features_read(const char *info, uint64_t *ret)
{
	const char *p = text_after(info, "API:");
	unsigned long long features;

	if (!p || sscanf(p, "%*x:%llx", &features) != 1)
		return false;
	*ret = features;
	return true;
}

/* From now on no page of shared memory is left out: missing ones are told from those that hold zeroes. */
static int uffd_preflight(struct session *s, const struct fd_view *v)
{
	uint64_t features;

	if (!features_read(v->info, &features))
		return session_fail(s, -ENOTSUP,
				    "task %d: descriptor %d is a userfaultfd whose features this kernel does not show; let the program close it first",
				    v->task->vpid, v->num);
	shmem_keep_zeroes(s);
	return 0;
}

static int uffd_dump(struct session *s, const struct fd_view *v)
{
	struct map *m = session_map(s, "uffd");
	struct seen *u = xalloc(sizeof(*u));

	*u = (struct seen){ .next = map_get(m, 0), .id = v->id, .flags = v->flags, .fown = *v->fown, .num = v->num, .task = v->task };
	map_put(m, 0, u);
	u->fd = fcntl(v->fd, F_DUPFD_CLOEXEC, 3);
	if (u->fd < 0)
		return session_fail(s, -errno, "userfaultfd 0x%x: keep it", v->id);
	if (!features_read(v->info, &u->features))
		return uffd_preflight(s, v);
	u->ready = u->features & INITIALIZED;
	u->features &= ~INITIALIZED;
	return 0;
}

static int range_register(int fd, uint64_t start, uint64_t end, uint64_t mode)
{
	struct uffdio_register r = { .range = { start, end - start }, .mode = mode };

	return ioctl(fd, UFFDIO_REGISTER, &r) < 0 ? -errno : 0;
}

/* Is it this task's? Tried with a page that is nowhere else, and taken back at once. */
static int memory_try(struct session *s, struct seen *all, struct task *k, uint64_t at)
{
	struct uffdio_range page = { at, PAGE };
	struct batch b;
	int r;

	batch_start(s, &b, task_leader(k));
	batch_call(&b, "userfaultfd: map a page to find out whose it is", SYS_mmap, at, PAGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	r = batch_run(&b);
	batch_clear(&b);
	for (struct seen *u = all; r == 0 && u; u = u->next) {
		int got = u->memory || !u->ready ? -EINVAL : range_register(u->fd, at, at + PAGE, UFFDIO_REGISTER_MODE_MISSING);

		if (got == -ENOMEM)
			u->ended = true;
		if (got < 0)
			continue;
		u->memory = k;
		if (ioctl(u->fd, UFFDIO_UNREGISTER, &page) < 0)
			r = session_fail(s, -errno, "userfaultfd 0x%x: let go of a page", u->id);
	}
	call2(&b, NULL, SYS_munmap, at, PAGE);
	return r < 0 ? (batch_run(&b), r) : batch_run(&b);
}

static int memory_find(struct session *s, struct seen *all)
{
	uint64_t at;
	int r = mem_hole(s, s->tree, PAGE, &at);

	for (size_t i = 0; r == 0 && i < s->tree->n; i++)
		if (s->tree->all[i]->state != TASK_DEAD && !s->tree->all[i]->mm_of)
			r = memory_try(s, all, s->tree->all[i], at);
	for (struct seen *u = all; r == 0 && u; u = u->next) {
		if (!u->ready) /* it has told nobody of anything yet; those who have it were forked by who made it, or are that */
			u->memory = u->task->mm_of ? u->task->mm_of : u->task;
		if (!u->memory && !u->ended)
			r = session_fail(s, -ENOTSUP,
					 "task %d: descriptor %d is a userfaultfd for memory of a process outside of the tree; close it first",
					 u->task->vpid, u->num);
	}
	return r;
}

struct ranges {
	UffdRangeEntry **v;
	size_t n, max;
};

static void range_add(struct ranges *a, uint64_t start, uint64_t end, uint32_t mode)
{
	UffdRangeEntry *e = a->n && !mode ? a->v[a->n - 1] : NULL;

	if (e && e->end == start) {
		e->end = end;
		return;
	}
	e = xalloc(sizeof(*e));
	uffd_range_entry__init(e);
	e->start = start;
	e->end = end;
	e->has_mode = mode != 0;
	e->mode = mode;
	*vec_add(a) = e;
}

static void ranges_free(struct ranges *a)
{
	for (size_t i = 0; i < a->n; i++)
		free(a->v[i]);
	free(a->v);
}

/* Pages of a mapping whose word in /proc/PID/pagemap has that bit. */
static int bits_find(struct session *s, const struct task *k, const VmaEntry *e, uint64_t bit, struct ranges *ret)
{
	own_fd int fd = fd_high(openat(k->proc, "pagemap", O_RDONLY | O_CLOEXEC));
	uint64_t words[WORDS], at = e->start;

	while (at < e->end) {
		uint64_t left = (e->end - at) / PAGE;
		ssize_t got = pread(fd, words, (left < WORDS ? left : WORDS) * sizeof(*words), at / PAGE * sizeof(*words));

		if (got < (ssize_t)sizeof(*words))
			return session_fail(s, got < 0 ? -errno : -ESRCH, "task %d: read its pagemap", k->vpid);
		for (size_t i = 0; i < got / sizeof(*words); i++, at += PAGE)
			if (words[i] & bit)
				range_add(ret, at, at + PAGE, 0);
	}
	return 0;
}

/* What of its memory is told to this one: registering again what is registered changes nothing, and fails for others. */
static int ranges_find(struct session *s, const struct seen *u, struct ranges *registered, struct ranges *protected,
		       struct ranges *mapped)
{
	const MmEntry *mm = u->ready && u->memory ? u->memory->mm : NULL;
	int r = 0;

	for (size_t i = 0; r == 0 && mm && i < mm->n_vmas; i++) {
		const VmaEntry *e = mm->vmas[i];

		if (!e->uffd || range_register(u->fd, e->start, e->end, e->uffd) < 0)
			continue;
		range_add(registered, e->start, e->end, e->uffd);
		if (e->uffd & UFFDIO_REGISTER_MODE_WP)
			r = bits_find(s, u->memory, e, PM_UFFD_WP, protected);
		if (r == 0 && (e->uffd & UFFDIO_REGISTER_MODE_MINOR))
			r = bits_find(s, u->memory, e, PM_PRESENT, mapped);
	}
	return r;
}

static int seen_put(struct session *s, struct seen *u, size_t *ret_ranges)
{
	struct ranges registered = { 0 }, protected = { 0 }, mapped = { 0 };
	UffdFileEntry e = UFFD_FILE_ENTRY__INIT;
	int r = ranges_find(s, u, &registered, &protected, &mapped);

	e.id = u->id;
	e.flags = u->flags;
	e.fown = &u->fown;
	e.pid = u->memory ? u->memory->vpid : 0;
	e.has_features = u->ready;
	e.features = u->features;
	e.registered = registered.v;
	e.n_registered = *ret_ranges = registered.n;
	e.protected_ = protected.v;
	e.n_protected_ = protected.n;
	e.mapped = mapped.v;
	e.n_mapped = mapped.n;
	if (r == 0)
		r = fd_put_id(s, FD_TYPES__USERFAULTFD, u->id, &e.base);
	session_debug(s, "userfaultfd 0x%x: memory of task %d, %zu ranges", u->id, e.pid, registered.n);
	ranges_free(&registered);
	ranges_free(&protected);
	ranges_free(&mapped);
	return r;
}

/* Mappings that some userfaultfd is told of. */
static size_t watched(const struct tree *tree, const struct task **ret)
{
	size_t n = 0;

	for (size_t i = 0; i < tree->n; i++)
		for (size_t v = 0; tree->all[i]->mm && !tree->all[i]->mm_of && v < tree->all[i]->mm->n_vmas; v++)
			if (tree->all[i]->mm->vmas[v]->uffd) {
				n++;
				*ret = tree->all[i];
			}
	return n;
}

static int uffd_dump_end(struct session *s)
{
	struct seen *all = map_get(session_map(s, "uffd"), 0);
	const struct task *k = NULL;
	size_t left = watched(s->tree, &k), n;
	int r = all ? memory_find(s, all) : 0;

	for (struct seen *u = all; r == 0 && u; u = u->next) {
		r = seen_put(s, u, &n);
		left -= n;
	}
	for (struct seen *u = all; u; u = u->next)
		fd_close(u->fd);
	if (r == 0 && left)
		return session_fail(s, -ENOTSUP,
				    "task %d: faults in its memory are told to a userfaultfd that no task of the tree has; include who reads it, or let that end",
				    k->vpid);
	return r;
}

/* ---- restore ---- */

static struct task *task_of(struct session *s, uint32_t vpid)
{
	for (size_t i = 0; i < s->tree->n; i++) {
		struct task *k = s->tree->all[i];

		if ((uint32_t)k->vpid == vpid && k->state != TASK_DEAD && !k->helper)
			return k;
	}
	return NULL;
}

/* Where the task may not by the system call, it may by the device that we open. */
static int make_in(struct session *s, struct thread *t, struct fd_obj *o)
{
	own_fd int dev = -1;
	struct batch b;
	unsigned n;
	int num = -1, r;

	batch_start(s, &b, t);
	n = call1(&b, NULL, SYS_userfaultfd, O_CLOEXEC);
	r = batch_run(&b);
	if (r == 0 && batch_ret(&b, n) == -EPERM) {
		dev = fd_high(open("/dev/userfaultfd", O_RDWR | O_CLOEXEC));
		if (dev < 0)
			return session_fail(s, -errno, "open /dev/userfaultfd");
		r = lend_fd(s, t, dev, &num);
		batch_start(s, &b, t);
		n = call3(&b, NULL, SYS_ioctl, num, USERFAULTFD_IOC_NEW, O_CLOEXEC);
		call1(&b, NULL, SYS_close, num);
		r = r < 0 ? r : batch_run(&b);
	}
	if (r < 0)
		return r;
	num = batch_ret(&b, n);
	if (num < 0)
		return session_fail(s, num, "task %d: userfaultfd: make one", t->task->vpid);
	o->fd = fd_high(syscall(SYS_pidfd_getfd, t->task->pidfd, num, 0));
	r = -errno;
	batch_clear(&b);
	call1(&b, NULL, SYS_close, num);
	if (batch_run(&b) < 0)
		return s->why_r;
	return o->fd < 0 ? session_fail(s, r, "task %d: take its userfaultfd", t->task->vpid) : 0;
}

/* A process that shares our descriptors makes it, and ends. */
static int make_ended(struct session *s, struct fd_obj *o)
{
	int num = -1, fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return session_fail(s, -errno, "userfaultfd: make a pipe");
	pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	if (pid == 0) {
		num = syscall(SYS_userfaultfd, O_CLOEXEC);
		num = num < 0 ? -errno : num;
		_exit(write(fds[1], &num, sizeof(num)) != sizeof(num));
	}
	if (pid > 0 && (waitpid(pid, NULL, 0) != pid || read(fds[0], &num, sizeof(num)) != sizeof(num)))
		num = -ECHILD;
	close(fds[0]);
	close(fds[1]);
	if (pid < 0 || num < 0)
		return session_fail(s, pid < 0 ? -errno : num, "userfaultfd 0x%x: make one whose memory is gone", o->id);
	o->fd = fd_high(num);
	return o->fd < 0 ? session_fail(s, -errno, "userfaultfd 0x%x", o->id) : 0;
}

static int uffd_restore(struct session *s, struct fd_obj *o)
{
	const UffdFileEntry *e = o->entry->uffd;
	struct uffdio_api api = { .api = UFFD_API };
	struct task *k = e && e->pid ? task_of(s, e->pid) : NULL;
	int r;

	if (!e || (e->pid && !k))
		return session_fail(s, -EBADMSG, "files.img: userfaultfd 0x%x is damaged", o->id);
	r = k ? make_in(s, task_leader(k), o) : make_ended(s, o);
	if (r < 0 || !e->has_features)
		return r;
	api.features = e->features;
	return ioctl(o->fd, UFFDIO_API, &api) < 0
		       ? session_fail(s, -errno, "userfaultfd 0x%x: this kernel has not all of its features 0x%llx", o->id,
				      (unsigned long long)e->features)
		       : 0;
}

/* When all memory is filled, and nobody but the program will touch it any more. */
static int uffd_link(struct session *s, struct fd_obj *o)
{
	const UffdFileEntry *e = o->entry->uffd;
	int r = 0;

	for (size_t i = 0; r == 0 && i < e->n_registered; i++)
		r = range_register(o->fd, e->registered[i]->start, e->registered[i]->end, e->registered[i]->mode);
	for (size_t i = 0; r == 0 && i < e->n_mapped; i++) {
		struct uffdio_continue c = { .range = { e->mapped[i]->start, e->mapped[i]->end - e->mapped[i]->start } };

		r = ioctl(o->fd, UFFDIO_CONTINUE, &c) < 0 ? -errno : 0;
	}
	for (size_t i = 0; r == 0 && i < e->n_protected_; i++) {
		struct uffdio_writeprotect w = {
			.range = { e->protected_[i]->start, e->protected_[i]->end - e->protected_[i]->start },
			.mode = UFFDIO_WRITEPROTECT_MODE_WP,
		};

		r = ioctl(o->fd, UFFDIO_WRITEPROTECT, &w) < 0 ? -errno : 0;
	}
	return r < 0 ? session_fail(s, r, "userfaultfd 0x%x: register the memory of task %u", o->id, e->pid) : 0;
}

const struct fd_kind fd_kind_uffd = {
	.name = "userfaultfd",
	.type = FD_TYPES__USERFAULTFD,
	.is = uffd_is,
	.dump = uffd_dump,
	.dump_end = uffd_dump_end,
	.restore = uffd_restore,
	.link = uffd_link,
	.preflight = uffd_preflight,
};
