// SPDX-License-Identifier: Apache-2.0
/*
 * mqueue: descriptors of POSIX message queues, and who is to be notified of messages (mq_notify).
 *
 * Kept:   the queue, access mode, O_NONBLOCK, position; notification by a signal, or a silent one.
 * Lost:   a queue opened below a mount shows that mount's name no more; the rest is in kind/mqueue.c.
 * Kernel: ipc/mqueue.c. A notification ends when its process closes any descriptor of the queue: it is
 *         registered when all tables are complete.
 */
#include "kind/fd.h"
#include "kind/mqueue.h"

#include "base/res.h"
#include "image/record.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>

static bool queue_is(const struct fd_view *v)
{
	return !(v->flags & O_PATH) && mqueue_is(v->fd, &v->st);
}

/* A descriptor for writing only shows nothing. */
static int queue_state(const struct fd_view *v, struct mqueue_state *ret)
{
	own_fd int fd = fd_reopen(v->fd, O_RDONLY | O_NONBLOCK);

	return fd < 0 ? fd : mqueue_state(fd, ret);
}

static int queue_preflight(struct session *s, const struct fd_view *v)
{
	struct mqueue_state now;

	if (!map_get(session_map(s, "mqueue device"), v->st.st_dev))
		return session_fail(s, -ENOTSUP,
				    "task %d: descriptor %d is the message queue %s of another ipc namespace, the host's maybe, which cannot be carried away; run it in an ipc namespace of its own",
				    v->task->vpid, v->num, v->link);
	if (queue_state(v, &now) == 0 && now.notify_pid && now.notify == SIGEV_THREAD)
		return session_fail(s, -ENOTSUP,
				    "task %d: descriptor %d is the message queue %s, which notifies a thread (SIGEV_THREAD); that cannot be restored; let it use a signal, or wait in mq_receive()",
				    v->task->vpid, v->num, v->link);
	return 0;
}

/* Messages wait and somebody is about to read them: he registered again before he does. */
static int queue_passing(struct session *s, const struct fd_view *v)
{
	struct mqueue_state now;

	return queue_state(v, &now) == 0 && now.notify_pid && now.notify != SIGEV_THREAD && now.count;
}

static int queue_dump(struct session *s, const struct fd_view *v)
{
	MqueueFileEntry e = MQUEUE_FILE_ENTRY__INIT;
	own_mem char *name = xstrdup(strrchr(v->link, '/') + 1);
	char *deleted = strstr(name, " (deleted)");
	int r = queue_preflight(s, v);

	if (r < 0)
		return r;
	if (deleted && !deleted[strlen(" (deleted)")])
		*deleted = 0;
	e.id = v->id;
	e.flags = v->flags;
	e.pos = v->pos;
	e.fown = v->fown;
	e.ns_id = v->task->ids->ipc_ns_id;
	e.queue = v->st.st_ino;
	if (!v->st.st_nlink)
		r = mqueue_dump_gone(s, v->fd, &v->st, name, e.ns_id);
	return r < 0 ? r : fd_put(s, v, &e.base);
}

static int queue_dump_end(struct session *s)
{
	return image_shared_end(s, "mqueue.img");
}

/* ---- restore ---- */

static const MqueueEntry *queue_of(struct session *s, const struct fd_obj *o, int *fd)
{
	const MqueueFileEntry *e = o->entry->mqueue;

	return e ? mqueue_get(s, e->ns_id, e->queue, fd) : NULL;
}

static int queue_restore(struct session *s, struct fd_obj *o)
{
	const MqueueFileEntry *e = o->entry->mqueue;
	int fd = -1;

	if (!queue_of(s, o, &fd))
		return session_fail(s, -EBADMSG, "file 0x%x: is a message queue that the images do not have", o->id);
	o->fd = fd_reopen(fd, e->flags & (O_ACCMODE | O_NONBLOCK));
	if (o->fd < 0)
		return session_fail(s, o->fd, "message queue 0x%x: open", o->id);
	if (e->pos && lseek(o->fd, e->pos, SEEK_SET) < 0)
		return session_fail(s, -errno, "message queue 0x%x: seek", o->id);
	return 0;
}

static bool same_queue(const struct fd_obj *o, const void *arg)
{
	const MqueueFileEntry *a = o->entry->mqueue, *b = arg;

	return a && a->queue == b->queue && a->ns_id == b->ns_id;
}

/* Once for each queue, by the process that waits, whatever descriptor it has. */
static int queue_notify(struct session *s, struct fd_obj *o, struct batch *own, int num)
{
	int fd, there;
	const MqueueEntry *q = queue_of(s, o, &fd);
	struct task *k = q && q->has_notify_pid ? task_find(s->tree, q->notify_pid) : NULL;
	struct map *done = session_map(s, "mqueue notified");
	struct sigevent ev = { 0 };
	struct batch b;

	if (!k || k->state == TASK_DEAD || map_get(done, (uintptr_t)q))
		return 0;
	map_put(done, (uintptr_t)q, k);
	there = fd_number_of(s, k, same_queue, o->entry->mqueue);
	if (there < 0 || (q->notify != SIGEV_SIGNAL && q->notify != SIGEV_NONE))
		return session_fail(s, -EBADMSG, "message queue /%s: who is to be notified has it not open, or in another way",
				    q->name);
	ev.sigev_notify = q->notify;
	ev.sigev_signo = q->signo;
	batch_start(s, &b, task_leader(k));
	call2(&b, "message queue: register a notification", SYS_mq_notify, there, batch_mem(&b, &ev, sizeof(ev), NULL));
	return batch_run(&b);
}

const struct fd_kind fd_kind_mqueue = {
	.name = "message queue",
	.type = FD_TYPES__MQUEUE,
	.is = queue_is,
	.dump = queue_dump,
	.dump_end = queue_dump_end,
	.restore = queue_restore,
	.watch = queue_notify,
	.preflight = queue_preflight,
	.passing = queue_passing,
};
