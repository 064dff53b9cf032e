// SPDX-License-Identifier: Apache-2.0
/*
 * eventfd: a 64-bit counter behind a descriptor.
 *
 * Kept:   counter, status flags, EFD_SEMAPHORE (in a field of ours).
 * Kernel: fs/eventfd.c, eventfd_show_fdinfo().
 */
#include "kind/fd.h"

#include "base/res.h"
#include "base/text.h"

#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>

static bool eventfd_is(const struct fd_view *v)
{
	return !strcmp(v->link, "anon_inode:[eventfd]");
}

/* Source: fdinfo "eventfd-count" (hex), "eventfd-semaphore" (Linux 6.5). */
static int eventfd_dump(struct session *s, const struct fd_view *v)
{
	EventfdFileEntry e = EVENTFD_FILE_ENTRY__INIT;
	uint64_t semaphore = 0;
	int r = text_u64(v->info, "eventfd-count:", 16, &e.counter);

	if (r < 0)
		return session_fail(s, r, "eventfd 0x%x: read its counter", v->id);
	text_u64(v->info, "eventfd-semaphore:", 10, &semaphore);
	e.id = v->id;
	e.flags = v->flags;
	e.fown = v->fown;
	e.has_semaphore = e.semaphore = semaphore;
	return fd_put(s, v, &e.base);
}

/* The counter is written, not passed to eventfd(), whose argument has 32 bits. */
static int eventfd_restore(struct session *s, struct fd_obj *o)
{
	const EventfdFileEntry *e = o->entry->efd;

	if (!e || e->counter == UINT64_MAX)
		return session_fail(s, -EBADMSG, "files.img: eventfd 0x%x is damaged", o->id);
	o->fd = fd_high(eventfd(0, EFD_CLOEXEC | (e->flags & O_NONBLOCK ? EFD_NONBLOCK : 0) |
					   (e->semaphore ? EFD_SEMAPHORE : 0)));
	if (o->fd < 0)
		return session_fail(s, -errno, "eventfd 0x%x: make", o->id);
	if (e->counter && write(o->fd, &e->counter, sizeof(e->counter)) < 0)
		return session_fail(s, -errno, "eventfd 0x%x: set its counter", o->id);
	return 0;
}

const struct fd_kind fd_kind_eventfd = {
	.name = "eventfd",
	.type = FD_TYPES__EVENTFD,
	.is = eventfd_is,
	.dump = eventfd_dump,
	.restore = eventfd_restore,
};
