// SPDX-License-Identifier: Apache-2.0
/*
 * eventpoll: epoll instances and what they watch.
 *
 * Kept:   targets by descriptor number, events, data; nested instances; targets that are closed, but open in another
 *         task; instances that are in messages; busy-poll parameters; which events of EPOLLET and EPOLLONESHOT targets
 *         had been told already, in an instance that had none to tell. In another those that still hold are told once
 *         more, so that none is missed; also in one that is in a message.
 * Lost:   an EPOLLONESHOT target that had fired hides errors and hang-ups too, until it is rearmed: those that
 *         come after a restore it does not hide. A target that no task of the tree has open is refused.
 * Kernel: fs/eventpoll.c, ep_show_fdinfo(); kcmp(KCMP_EPOLL_TFD); EPIOCGPARAMS (Linux 6.9).
 *
 * A target is known by the number it had when it was added. That number may mean another file by now
 * (closed, reused) while the watched one is still open elsewhere: the kernel is asked.
 */
#include "kind/fd.h"
#include "kind/notify.h"

#include "base/list.h"
#include "base/res.h"
#include "base/text.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#define WAIT_MAX 512 /* events taken at once */
#define ONCE (EPOLLET | EPOLLONESHOT) /* targets whose events are told once, not as long as they last */

#ifndef EPIOCGPARAMS
struct epoll_params {
	uint32_t busy_poll_usecs;
	uint16_t busy_poll_budget;
	uint8_t prefer_busy_poll, pad;
};
#define EPIOCSPARAMS _IOW(0x8A, 0x01, struct epoll_params)
#define EPIOCGPARAMS _IOR(0x8A, 0x02, struct epoll_params)
#endif

struct target {
	EventpollTfdEntry e; /* e.tfd: the number in use now */
	uint32_t added;	     /* the number it was added by */
	uint32_t turn;	     /* among those of one added, in the order of fdinfo */
	struct task *holder; /* who has it open, and under which number */
	int held;
};

struct targets {
	struct target *v;
	size_t n, max;
};

static bool eventpoll_is(const struct fd_view *v)
{
	return !strcmp(v->link, "anon_inode:[eventpoll]");
}

/* "tfd: 5 events: 19 data: 7 pos:0 ino:1b sdev:9": the first decimal, the others hexadecimal */
static int target_parse(struct session *s, const struct fd_view *v, const char *line, struct targets *t)
{
	unsigned long long data, ino = 0;
	unsigned events, sdev = 0;
	struct target *g;
	long long pos = 0;
	int tfd;

	if (sscanf(line, "%d events: %x data: %llx pos:%lli ino:%llx sdev:%x", &tfd, &events, &data, &pos,
		   &ino, &sdev) < 3 || tfd < 0)
		return session_fail(s, -EBADMSG, "epoll 0x%x: its list of targets cannot be read", v->id);
	g = vec_add(t);
	memset(g, 0, sizeof(*g));
	eventpoll_tfd_entry__init(&g->e);
	g->added = g->e.tfd = tfd;
	g->holder = v->task;
	g->e.events = events;
	g->e.data = data;
	g->e.has_dev = g->e.has_inode = g->e.has_pos = true;
	g->e.dev = sdev;
	g->e.inode = ino;
	g->e.pos = pos;
	for (size_t i = 0; i + 1 < t->n; i++)
		g->turn += t->v[i].added == g->added;
	return 0;
}

/* Is descriptor num of the task the file that this target watches? */
static bool target_is(const struct fd_view *v, const struct target *g, const struct task *k, uint32_t num)
{
	struct kcmp_epoll_slot slot = { .efd = v->fd, .tfd = g->added, .toff = g->turn };

	return syscall(SYS_kcmp, k->pid, getpid(), KCMP_EPOLL_TFD, (unsigned long)num, &slot) == 0;
}

/* a file is watched once by each number */
static bool number_used(const struct targets *t, uint32_t num)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->v[i].e.tfd == num)
			return true;
	return false;
}

/* A number of the watched file in that task, other than skip's; -1 it has none. */
static int target_in(const struct fd_view *v, const struct target *g, const struct task *k, const struct targets *skip)
{
	int fd = openat(k->proc, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	own_dir DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.' && !(skip && number_used(skip, atoi(e->d_name))) &&
		    target_is(v, g, k, atoi(e->d_name)))
			return atoi(e->d_name);
	return -1;
}

/* The watched file under another number; else in another task, to be watched by way of its file id. */
static int target_find(struct session *s, const struct fd_view *v, const struct targets *t,
		       struct target *g)
{
	int num = v->queued ? -1 : target_in(v, g, v->task, t);

	if (num >= 0) {
		session_debug(s, "epoll 0x%x: target added as %u is now %d", v->id, g->added, num);
		g->e.tfd = g->held = num;
		return 0;
	}
	for (size_t i = 0; i < s->tree->n; i++) {
		struct task *k = s->tree->all[i];

		if (k->state == TASK_DEAD || (num = target_in(v, g, k, NULL)) < 0)
			continue;
		g->e.tfd = g->added;
		g->e.has_file = true;
		g->holder = k;
		g->held = num;
		return fd_note_held(s, k, num, &g->e.file);
	}
	return session_fail(s, -ENOTSUP,
			    "task %d: epoll descriptor %d watches a file that it added as %u and has closed since, but which is open elsewhere; remove it by EPOLL_CTL_DEL first",
			    v->task->vpid, v->num, g->added);
}

/* A listener comes into being only after epolls are complete. */
static int target_check(struct session *s, const struct fd_view *v, const struct target *g)
{
	own_mem char *link = NULL;
	char path[32];

	snprintf(path, sizeof(path), "fd/%d", g->held);
	if (text_readlink(g->holder->proc, path, &link) < 0 || strcmp(link, NOTIFY_LINK))
		return 0;
	return session_fail(s, -ENOTSUP,
			    "task %d: epoll descriptor %d watches a seccomp listener (descriptor %u), which cannot be restored; let the program use poll() for it",
			    v->task->vpid, v->num, g->e.tfd);
}

static int targets_read(struct session *s, const struct fd_view *v, struct targets *t)
{
	int r = 0;

	for (const char *line = text_after(v->info, "tfd:"); r == 0 && line;
	     line = text_after(line, "tfd:"))
		r = target_parse(s, v, line, t);
	/* numbers that are right first: a search must not take them away */
	for (size_t i = 0; r == 0 && i < t->n; i++)
		if (v->queued || !target_is(v, &t->v[i], v->task, t->v[i].added))
			t->v[i].e.tfd = UINT32_MAX;
		else
			t->v[i].held = t->v[i].added;
	for (size_t i = 0; r == 0 && i < t->n; i++)
		if (t->v[i].e.tfd == UINT32_MAX)
			r = target_find(s, v, t, &t->v[i]);
	for (size_t i = 0; r == 0 && i < t->n; i++)
		r = target_check(s, v, &t->v[i]);
	return r;
}

static uint32_t ready(int fd, uint32_t events)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, 0) == 1 ? (uint16_t)p.revents : 0;
}

/* An instance that has nothing to tell has told all that is ready. */
static void targets_seen(const struct fd_view *v, struct targets *t)
{
	if (ready(v->fd, POLLIN))
		return;
	for (size_t i = 0; i < t->n; i++) {
		EventpollTfdEntry *e = &t->v[i].e;
		own_fd int fd = -1;

		if (e->events & ONCE)
			fd = fd_high(syscall(SYS_pidfd_getfd, t->v[i].holder->pidfd, t->v[i].held, 0));
		if (fd < 0)
			continue;
		e->seen = ready(fd, e->events & 0xffff);
		e->has_seen = e->seen;
	}
}

static int eventpoll_dump(struct session *s, const struct fd_view *v)
{
	EventpollFileEntry e = EVENTPOLL_FILE_ENTRY__INIT;
	own_mem EventpollTfdEntry **list = NULL;
	struct epoll_params poll = { 0 };
	struct targets t = { 0 };
	int r = targets_read(s, v, &t);

	if (r == 0)
		targets_seen(v, &t);
	if (ioctl(v->fd, EPIOCGPARAMS, &poll) == 0 && (poll.busy_poll_usecs || poll.busy_poll_budget || poll.prefer_busy_poll)) {
		e.has_busy_poll_usecs = e.has_busy_poll_budget = e.has_prefer_busy_poll = true;
		e.busy_poll_usecs = poll.busy_poll_usecs;
		e.busy_poll_budget = poll.busy_poll_budget;
		e.prefer_busy_poll = poll.prefer_busy_poll;
	}
	list = xalloc((t.n + 1) * sizeof(*list));
	for (size_t i = 0; i < t.n; i++)
		list[i] = &t.v[i].e;
	e.id = v->id;
	e.flags = v->flags;
	e.fown = v->fown;
	e.n_tfd = t.n;
	e.tfd = list;
	if (r == 0)
		r = fd_put(s, v, &e.base);
	free(t.v);
	return r;
}

/* ---- restore ---- */

static int eventpoll_restore(struct session *s, struct fd_obj *o)
{
	const EventpollFileEntry *e = o->entry->epfd;

	if (!e)
		return session_fail(s, -EBADMSG, "files.img: epoll 0x%x is damaged", o->id);
	o->fd = fd_high(epoll_create1(EPOLL_CLOEXEC));
	if (o->fd < 0)
		return session_fail(s, -errno, "epoll 0x%x: make", o->id);
	if (e->has_busy_poll_usecs) {
		struct epoll_params poll = { .busy_poll_usecs = e->busy_poll_usecs,
					     .busy_poll_budget = e->busy_poll_budget,
					     .prefer_busy_poll = e->prefer_busy_poll };

		if (ioctl(o->fd, EPIOCSPARAMS, &poll) < 0)
			session_warn(s, "epoll 0x%x: cannot poll devices for %u us: %s", o->id, e->busy_poll_usecs, strerror(errno));
	}
	return 0;
}

/*
 * A target that the owner has closed, by the number it had there: what belongs to that number is the pair of file and
 * number, not whose table it was in, so ours will do. What we have under that number is put aside meanwhile.
 */
static int target_away(struct session *s, struct fd_obj *o, const EventpollTfdEntry *t, int op)
{
	struct epoll_event ev = { .events = t->events, .data.u64 = t->data };
	const struct fd_obj *file = fd_obj_get(s, t->file);
	own_fd int ours = -1;
	int ep = o->fd, r;

	if (!file || t->tfd > INT_MAX)
		return session_fail(s, -EBADMSG, "epoll 0x%x: the file 0x%x that it watches is missing", o->id, t->file);
	ours = fcntl(t->tfd, F_DUPFD_CLOEXEC, 3);
	if (ep == (int)t->tfd)
		ep = ours;
	r = (file->fd != (int)t->tfd && dup3(file->fd, t->tfd, O_CLOEXEC) < 0) ||
			    epoll_ctl(ep, op, t->tfd, &ev) < 0 ?
		    session_fail(s, -errno, "epoll 0x%x: watch file 0x%x as descriptor %u", o->id, t->file, t->tfd) :
		    0;
	if (ours < 0)
		close(t->tfd);
	else if (dup3(ours, t->tfd, O_CLOEXEC) < 0)
		r = session_fail(s, -errno, "epoll 0x%x: take descriptor %u back", o->id, t->tfd);
	return r;
}

/* Run what is gathered, and look at what became of each. */
static int targets_run(struct session *s, struct fd_obj *o, struct batch *b)
{
	int r = batch_run(b);

	for (unsigned i = 0; r == 0 && i < b->n; i++)
		if (batch_ret(b, i) < 0)
			r = session_fail(s, batch_ret(b, i), "task %d: epoll 0x%x: watch descriptor %u",
					 o->task->vpid, o->id, (unsigned)b->calls[i].args[2]);
	batch_clear(b);
	return r;
}

/* What comes from a target is new, unless all of it had been told. */
static bool told_anew(const EventpollTfdEntry *t, const struct epoll_event *e, int n)
{
	for (int i = 0; i < n; i++)
		if (e[i].data.u64 == t->data && (e[i].events & ~t->seen))
			return true;
	return false;
}

static int target_rearm(struct session *s, struct fd_obj *o, struct batch *b, int num, const EventpollTfdEntry *t)
{
	struct epoll_event ev = { .events = t->events, .data.u64 = t->data };
	int64_t at;
	int r = 0;

	if (t->has_file) {
		r = t->events & EPOLLEXCLUSIVE ? target_away(s, o, t, EPOLL_CTL_DEL) : 0;
		return r < 0 ? r : target_away(s, o, t, t->events & EPOLLEXCLUSIVE ? EPOLL_CTL_ADD : EPOLL_CTL_MOD);
	}
	if (!batch_room(b, 2, sizeof(ev) + 16)) {
		r = batch_run(b);
		batch_clear(b);
	}
	at = batch_mem(b, &ev, sizeof(ev), NULL);
	if (t->events & EPOLLEXCLUSIVE) /* may not be modified */
		call4(b, NULL, SYS_epoll_ctl, num, EPOLL_CTL_DEL, t->tfd, at);
	call4(b, NULL, SYS_epoll_ctl, num, t->events & EPOLLEXCLUSIVE ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, t->tfd, at);
	return r;
}

/* Take what the new instance has to tell; what the old one had not told is put back. */
static int targets_quiet(struct session *s, struct fd_obj *o, struct batch *b, int num)
{
	const EventpollFileEntry *e = o->entry->epfd;
	struct epoll_event got[WAIT_MAX];
	size_t seen = 0;
	int64_t at;
	int n = WAIT_MAX, r = 0;

	for (size_t i = 0; i < e->n_tfd; i++)
		seen += e->tfd[i]->seen != 0;
	for (size_t taken = 0; r == 0 && seen && n == WAIT_MAX && taken < e->n_tfd; taken += n) {
		at = batch_mem(b, NULL, sizeof(got), NULL);
		call4(b, "epoll: take what had been told", SYS_epoll_wait, num, at, WAIT_MAX, 0);
		r = batch_run(b);
		n = r < 0 ? 0 : batch_ret(b, 0);
		memcpy(got, batch_local(b, at), sizeof(got));
		batch_clear(b);
		for (size_t i = 0; r == 0 && i < e->n_tfd; i++)
			if ((e->tfd[i]->events & ONCE) && told_anew(e->tfd[i], got, n))
				r = target_rearm(s, o, b, num, e->tfd[i]);
		if (r == 0)
			r = batch_run(b);
		batch_clear(b);
	}
	return r;
}

/*
 * By the owner, as the numbers are those of its table; and late, as what repair mode puts into a TCP
 * connection's queue wakes nobody: only who begins to watch afterwards sees it.
 */
static int eventpoll_watch(struct session *s, struct fd_obj *o, struct batch *b, int num)
{
	const EventpollFileEntry *e = o->entry->epfd;
	int r = 0;

	for (size_t i = 0; r == 0 && i < e->n_tfd; i++) {
		struct epoll_event ev = { .events = e->tfd[i]->events, .data.u64 = e->tfd[i]->data };

		if (e->tfd[i]->has_file) {
			r = target_away(s, o, e->tfd[i], EPOLL_CTL_ADD);
			continue;
		}
		if (!b) { /* an image of CRIU's: nobody whose numbers these are */
			session_warn(s, "epoll 0x%x: no task has it open; that it watched descriptor %u is lost", o->id, e->tfd[i]->tfd);
			continue;
		}
		if (!batch_room(b, 1, sizeof(ev)))
			r = targets_run(s, o, b);
		call4(b, NULL, SYS_epoll_ctl, num, EPOLL_CTL_ADD, e->tfd[i]->tfd,
		      batch_mem(b, &ev, sizeof(ev), NULL));
	}
	if (r == 0 && b)
		r = targets_run(s, o, b);
	return r < 0 || !b ? r : targets_quiet(s, o, b, num);
}

const struct fd_kind fd_kind_eventpoll = {
	.name = "epoll",
	.type = FD_TYPES__EVENTPOLL,
	.is = eventpoll_is,
	.dump = eventpoll_dump,
	.restore = eventpoll_restore,
	.watch = eventpoll_watch,
};
