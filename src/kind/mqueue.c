// SPDX-License-Identifier: Apache-2.0
/*
 * mqueue: POSIX message queues at dump: those that have a name, found by a mount of their file system that
 * nobody sees, and those that are only open.
 *
 * Kept:   name, also a removed one's, owner, mode, limits, messages with priorities, in order; who is to be
 *         notified by a signal, or silently (mq_notify).
 * Lost:   times; the value that a notification carries (sigev_value), which the kernel shows to nobody: that
 *         is reported. SIGEV_THREAD is refused.
 * Kernel: ipc/mqueue.c; a queue's file tells who is to be notified.
 */
#include "kind/mqueue.h"

#include "base/res.h"
#include "image/record.h"
#include "kind/ids.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#define MQUEUE_FS 0x19800202 /* statfs() */
#define MQUEUE_TEXT 80	     /* size of a queue's file, always */

bool mqueue_is(int fd, const struct stat *st)
{
	struct statfs fs;

	return S_ISREG(st->st_mode) && st->st_size == MQUEUE_TEXT && !major(st->st_dev) &&
	       fstatfs(fd, &fs) == 0 && fs.f_type == MQUEUE_FS;
}

/*
 * The namespace's file system; -ENODEV: the kernel has none. Opened by the supervisor, inside: a guest in a user
 * namespace may not.
 */
static int queues_open(struct session *s, const struct ns *ns)
{
	own_fd int fs = syscall(SYS_fsopen, "mqueue", 1 /* FSOPEN_CLOEXEC */);
	own_fd int mnt = -1;
	int top;

	if (fs < 0 && errno == ENODEV)
		return -ENODEV;
	if (fs >= 0 && syscall(SYS_fsconfig, fs, 6 /* FSCONFIG_CMD_CREATE */, NULL, NULL, 0) == 0)
		mnt = syscall(SYS_fsmount, fs, 1 /* FSMOUNT_CLOEXEC */, 0);
	top = mnt < 0 ? -1 : fd_high(openat(mnt, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	return top < 0 ? session_fail(s, -errno, "ipc namespace %u: look for message queues", ns->id) : top;
}

/* The one that the preflight opened, for the whole session. */
static int queues_top(struct session *s, const struct ns *ns)
{
	struct map *tops = session_map(s, "mqueue top");
	intptr_t have = (intptr_t)map_get(tops, ns->ino);

	if (!have) {
		have = queues_open(s, ns);
		have += have >= 0;
		map_put(tops, ns->ino, (void *)have);
	}
	return have > 0 ? have - 1 : have;
}

void mqueue_end(struct session *s)
{
	struct map *tops = session_map(s, "mqueue top");

	for (size_t i = 0; i < tops->max; i++)
		if ((intptr_t)tops->rows[i].value > 0)
			fd_close((intptr_t)tops->rows[i].value - 1);
	map_free(tops);
}

typedef int queue_fn(struct session *s, const struct ns *ns, int fd, const struct stat *st, const char *name,
		     void *arg);

static int queues_each(struct session *s, const struct ns *ns, queue_fn *fn, void *arg)
{
	int top = queues_top(s, ns), again = top < 0 ? top : openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	own_dir DIR *d = again < 0 ? NULL : fdopendir(again);
	struct dirent *e;

	if (top == -ENODEV)
		return 0;
	if (!d)
		return top < 0 ? top : session_fail(s, -errno, "ipc namespace %u: list its message queues", ns->id);
	while (r == 0 && (e = readdir(d))) {
		own_fd int fd = -1;
		struct stat st;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		fd = fd_high(openat(dirfd(d), e->d_name, O_RDWR | O_NONBLOCK | O_CLOEXEC));
		if (fd < 0 && errno == ENOENT)
			continue;
		if (fd < 0 || fstat(fd, &st) < 0)
			return session_fail(s, -errno, "message queue /%s: open it", e->d_name);
		r = fn(s, ns, fd, &st, e->d_name, arg);
	}
	return r;
}

/* ---- dump ---- */

static int messages_write(struct image *img, const struct mqueue_copy *c)
{
	int r = 0;

	for (uint64_t i = 0; r == 0 && i < c->was.count; i++) {
		MqueueMsgEntry m = MQUEUE_MSG_ENTRY__INIT;

		m.prio = c->rows[i].prio;
		m.size = c->rows[i].size;
		r = image_write(img, &m.base);
		if (r == 0)
			r = image_write_raw(img, c->data + c->rows[i].at, m.size);
	}
	return r;
}

static void describe_notify(struct session *s, MqueueEntry *e, const struct mqueue_state *was)
{
	for (size_t i = 0; was->notify_pid && i < s->tree->n; i++)
		if (s->tree->all[i]->tgid == was->notify_pid) {
			e->has_notify_pid = e->has_notify = e->has_signo = true;
			e->notify_pid = s->tree->all[i]->vpid;
			e->notify = was->notify;
			e->signo = was->signo;
		}
	if (was->notify_pid && !e->has_notify_pid)
		session_warn(s, "message queue /%s: process %d, which is to be notified, is no task of the tree; that is not kept",
			     e->name, was->notify_pid);
	if (e->has_notify_pid && e->notify == SIGEV_SIGNAL)
		session_warn(s, "message queue /%s: the value that its notification brings to task %u (sigev_value) is not shown by the kernel; it will be 0",
			     e->name, e->notify_pid);
}

static int queue_write(struct session *s, struct image *img, int fd, const struct stat *st, const char *name,
		       uint32_t ns_id)
{
	MqueueEntry e = MQUEUE_ENTRY__INIT;
	struct mqueue_copy c;
	int r = mqueue_peek(s, fd, name, &c);

	if (r < 0)
		return r;
	e.ino = st->st_ino;
	e.name = (char *)name;
	e.unlinked = !st->st_nlink;
	e.ns_id = ns_id;
	e.mode = st->st_mode & 07777;
	e.uid = st->st_uid;
	e.gid = st->st_gid;
	e.maxmsg = c.was.maxmsg;
	e.msgsize = c.was.msgsize;
	e.count = c.was.count;
	describe_notify(s, &e, &c.was);
	session_debug(s, "message queue /%s: %llu messages, %llu bytes", name, (unsigned long long)e.count,
		      (unsigned long long)c.was.bytes);
	r = image_write(img, &e.base);
	if (r == 0)
		r = messages_write(img, &c);
	mqueue_copy_free(&c);
	return r;
}

static int named_dump(struct session *s, const struct ns *ns, int fd, const struct stat *st, const char *name,
		      void *arg)
{
	struct image *img = arg;

	if (!img->writing) {
		int r = image_create(s, img, MAGIC_MQUEUE, "ipcns-mq-%u.img", ns->id);

		if (r < 0)
			return r;
	}
	return queue_write(s, img, fd, st, name, ns->id);
}

int mqueue_dump(struct session *s, const struct ns *ns)
{
	own_image struct image img = { .fd = -1 };
	int r = queues_each(s, ns, named_dump, &img);

	return r < 0 || !img.writing ? r : image_close(&img);
}

int mqueue_dump_gone(struct session *s, int fd, const struct stat *st, const char *name, uint32_t ns_id)
{
	struct map *done = session_map(s, "mqueue gone");
	struct stat in = *st;
	struct image *img;
	int r;

	if (map_get(done, st->st_ino))
		return 0;
	map_put(done, st->st_ino, s);
	img = image_shared(s, MAGIC_MQUEUE, "mqueue.img");
	if (!img)
		return -EIO;
	r = owner_in(s, &in.st_uid, &in.st_gid, "message queue /%s", name);
	return r < 0 ? r : queue_write(s, img, fd, &in, name, ns_id);
}

/* ---- preflight ---- */

static int check(struct session *s, const struct ns *ns, int fd, const struct stat *st, const char *name, void *arg)
{
	struct mqueue_state was;
	int r = mqueue_state(fd, &was);

	if (r < 0)
		return session_fail(s, r, "message queue /%s: look at it", name);
	if (was.notify_pid && was.notify == SIGEV_THREAD)
		return session_fail(s, -ENOTSUP,
				    "message queue /%s: process %d waits to be notified by a thread (SIGEV_THREAD), which cannot be restored; let it use a signal, or wait in mq_receive()",
				    name, was.notify_pid);
	return 0;
}

int mqueue_preflight(struct session *s, const struct ns *ns)
{
	int top = queues_top(s, ns);
	struct stat st;

	if (top >= 0 && fstat(top, &st) == 0)
		map_put(session_map(s, "mqueue device"), st.st_dev, s);
	return queues_each(s, ns, check, NULL);
}
