// SPDX-License-Identifier: Apache-2.0
#include "kind/notify.h"

#include "base/res.h"
#include "kind/fd.h"
#include "task/lend.h"

#include <fcntl.h>
#include <sys/syscall.h>

void notify_note(struct session *s, uint32_t id)
{
	map_put(session_map(s, "listeners"), id, s);
	map_put(session_map(s, "last listener"), 0, (void *)(uintptr_t)id);
}

unsigned notify_noted(struct session *s, uint32_t *ret_id)
{
	*ret_id = (uintptr_t)map_get(session_map(s, "last listener"), 0);
	return session_map(s, "listeners")->n;
}

/* Over what was passed in its place. */
static int place(struct session *s, struct thread *t, int num, bool cloexec, void *arg)
{
	const struct fd_obj *o = arg;
	struct batch b;
	int have, r = lend_fd(s, t, o->fd, &have);

	if (r < 0)
		return r;
	batch_start(s, &b, t);
	call3(&b, "put it in its place", SYS_dup3, have, num, cloexec ? O_CLOEXEC : 0);
	call1(&b, NULL, SYS_close, have);
	return batch_run(&b);
}

int notify_place(struct session *s, uint32_t id, struct thread *t, int num)
{
	struct fd_obj *o = fd_obj_get(s, id);
	const NotifyFileEntry *e = o ? o->entry->notify : NULL;
	struct batch b;
	int r;

	if (!e)
		return session_fail(s, -EBADMSG, "seccomp.img: listener 0x%x is none", id);
	fd_close(o->fd);
	o->fd = fd_high(syscall(SYS_pidfd_getfd, t->task->pidfd, num, 0));
	if (o->fd < 0 || fcntl(o->fd, F_SETFL, e->flags & O_NONBLOCK) < 0)
		return session_fail(s, -errno, "thread %d: take its listener", t->vtid);
	batch_start(s, &b, t);
	call1(&b, NULL, SYS_close, num);
	r = batch_run(&b);
	return r < 0 ? r : fd_places(s, o, place, o);
}
