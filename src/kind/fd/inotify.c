// SPDX-License-Identifier: Apache-2.0
/*
 * inotify: watches on files and directories.
 *
 * Kept:   what is watched, masks, watch numbers; that there were events which nobody had read.
 * Lost:   those events, which only reading shows, and nothing puts back: reported, and the program reads IN_Q_OVERFLOW
 *         instead, as whenever events are lost. The number that the next new watch would get, where higher ones
 *         were removed.
 * Kernel: fs/notify/fdinfo.c, fs/notify/notification.c; INOTIFY_IOC_SETNEXTWD.
 */
#include "kind/fhandle.h"

#include "base/list.h"
#include "base/res.h"
#include "base/text.h"
#include "images/fsnotify.pb-c.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef INOTIFY_IOC_SETNEXTWD
#define INOTIFY_IOC_SETNEXTWD _IOW('I', 0, int32_t)
#endif

#define QUEUE_MAX (1 << 20) /* events; fs.inotify.max_queued_events is 16384 */
#define MASK_USER (IN_ALL_EVENTS | IN_EXCL_UNLINK | IN_ONESHOT) /* images may hold bits of the kernel's */

static bool inotify_is(const struct fd_view *v)
{
	return !strcmp(v->link, "anon_inode:inotify");
}

struct watches {
	struct watch {
		InotifyWdEntry e;
		struct fhandle h;
	} **v;
	size_t n, max;
};

static int watch_parse(struct session *s, const struct fd_view *v, const char *line, struct watches *all)
{
	uint64_t wd = 0, mask = 0, ignored = 0;
	struct watch *w = xalloc(sizeof(*w));
	char who[60];
	int r;

	*vec_add(all) = w;
	inotify_wd_entry__init(&w->e);
	snprintf(who, sizeof(who), "task %d: inotify descriptor %d", v->task->vpid, v->num);
	if (!fhandle_field(line, "wd", &wd) || !fhandle_field(line, "mask", &mask))
		return session_fail(s, -EBADMSG, "%s: its watches cannot be read", who);
	fhandle_field(line, "ignored_mask", &ignored);
	r = fhandle_parse(s, v->task, line, who, &w->h);
	w->e.id = v->id;
	w->e.wd = wd;
	w->e.mask = mask;
	w->e.ignored_mask = ignored;
	w->e.i_ino = w->h.ino;
	w->e.s_dev = w->h.sdev;
	w->e.f_handle = &w->h.e;
	return r;
}

static int inotify_dump(struct session *s, const struct fd_view *v)
{
	InotifyFileEntry e = INOTIFY_FILE_ENTRY__INIT;
	own_mem InotifyWdEntry **list = NULL;
	struct watches all = { 0 };
	int r = 0, queued = 0;

	if (ioctl(v->fd, FIONREAD, &queued) == 0 && queued)
		session_warn(s, "task %d: inotify descriptor %d: %d bytes of events that were not read are lost; restored, it tells the program so (IN_Q_OVERFLOW)",
			     v->task->vpid, v->num, queued);
	for (const char *l = text_after(v->info, "inotify "); r == 0 && l; l = text_after(l, "inotify "))
		r = watch_parse(s, v, l, &all);
	list = xalloc((all.n + 1) * sizeof(*list));
	for (size_t i = 0; i < all.n; i++)
		list[i] = &all.v[i]->e;
	e.id = v->id;
	e.flags = v->flags;
	e.fown = v->fown;
	e.has_lost = e.lost = queued;
	e.n_wd = all.n;
	e.wd = list;
	if (r == 0)
		r = fd_put(s, v, &e.base);
	for (size_t i = 0; i < all.n; i++) {
		fhandle_free(&all.v[i]->h);
		free(all.v[i]);
	}
	free(all.v);
	return r;
}

/* ---- restore ---- */

static int inotify_restore(struct session *s, struct fd_obj *o)
{
	if (!o->entry->ify)
		return session_fail(s, -EBADMSG, "files.img: inotify 0x%x is damaged", o->id);
	o->fd = fd_high(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
	return o->fd < 0 ? session_fail(s, -errno, "inotify 0x%x: make; see fs.inotify.max_user_instances", o->id)
			 : 0;
}

/* Events until the queue takes no more; two like ones after each other would be one. Return: its bytes. */
static int queue_fill(int fd, int file)
{
	int have = 0, before = -1;
	char c;

	for (int n = 0; n < QUEUE_MAX && have != before; n += 1024) {
		before = have;
		for (int i = 0; i < 512; i++)
			if (pwrite(file, "", 1, 0) != 1 || pread(file, &c, 1, 0) != 1)
				return -errno;
		if (ioctl(fd, FIONREAD, &have) < 0)
			return -errno;
	}
	return have == before ? have : -E2BIG;
}

/*
 * The kernel tells of lost events when the queue is full, behind what is in it: fill it, while nothing else is
 * watched, and take all out but that.
 */
static int queue_overflow(struct session *s, struct fd_obj *o)
{
	own_fd int memory = fd_high(memfd_create("events", MFD_CLOEXEC)), file = -1;
	struct inotify_event buf[256];
	char path[32];
	int wd, left;

	file = memory < 0 ? -1 : fd_reopen(memory, O_RDWR); /* what is done to the first one are no events */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", memory);
	wd = file < 0 ? -1 : inotify_add_watch(o->fd, path, IN_ACCESS | IN_MODIFY);
	left = wd < 0 ? -errno : queue_fill(o->fd, file);
	if (wd >= 0)
		inotify_rm_watch(o->fd, wd); /* an event, too, which is not taken any more */
	if (left < 0 && left != -E2BIG)
		return session_fail(s, left, "inotify 0x%x: tell of lost events", o->id);
	if (left == -E2BIG) {
		session_warn(s, "inotify 0x%x: the program is not told of lost events, as fs.inotify.max_queued_events is very large", o->id);
		left = INT_MAX;
	}
	for (left -= sizeof(*buf); left > 0;) {
		size_t n = (size_t)left < sizeof(buf) ? (size_t)left : sizeof(buf);
		ssize_t got = read(o->fd, buf, n);

		if (got <= 0)
			return got < 0 && errno == EAGAIN ? 0 : session_fail(s, -errno, "inotify 0x%x: empty it", o->id);
		left -= got;
	}
	return 0;
}

static int watch_add(struct session *s, struct fd_obj *o, const InotifyWdEntry *e)
{
	own_fd int fd = -1;
	char who[60], path[32];
	int got;

	if (e->wd < 1 || e->wd > INT_MAX)
		return session_fail(s, -EBADMSG, "files.img: inotify 0x%x: watch %u", o->id, e->wd);
	snprintf(who, sizeof(who), "inotify 0x%x: watch %u", o->id, e->wd);
	fd = fhandle_open(s, e->s_dev, e->i_ino, e->f_handle, who);
	if (fd < 0)
		return fd;
	if (ioctl(o->fd, INOTIFY_IOC_SETNEXTWD, (unsigned long)e->wd) < 0)
		return session_fail(s, -errno, "%s: choose the number", who);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	got = inotify_add_watch(o->fd, path, e->mask & MASK_USER);
	if (got < 0)
		return session_fail(s, -errno, "%s: add; see fs.inotify.max_user_watches", who);
	if (got != (int)e->wd)
		return session_fail(s, -EINVAL, "%s: came out as %d; %s has two watches", who, got,
				    e->f_handle->path ? e->f_handle->path : "its file");
	return 0;
}

static int wd_cmp(const void *a, const void *b)
{
	const InotifyWdEntry *const *x = a, *const *y = b;

	return (*x)->wd < (*y)->wd ? -1 : (*x)->wd > (*y)->wd;
}

/* Late: opening files and making those without a name shall be no events. */
static int inotify_link(struct session *s, struct fd_obj *o)
{
	const InotifyFileEntry *e = o->entry->ify;
	own_mem InotifyWdEntry **sorted = xmemdup(e->wd, e->n_wd * sizeof(*sorted));
	int r = e->has_lost && e->lost ? queue_overflow(s, o) : 0;

	if (e->n_wd > 1)
		qsort(sorted, e->n_wd, sizeof(*sorted), wd_cmp);
	for (size_t i = 0; r == 0 && i < e->n_wd; i++)
		r = watch_add(s, o, sorted[i]);
	return r;
}

const struct fd_kind fd_kind_inotify = {
	.name = "inotify",
	.type = FD_TYPES__INOTIFY,
	.is = inotify_is,
	.dump = inotify_dump,
	.restore = inotify_restore,
	.link = inotify_link,
};
