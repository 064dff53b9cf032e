// SPDX-License-Identifier: Apache-2.0
/*
 * signalfd: signals read from a descriptor. The signals themselves belong to the task.
 *
 * Kept:   mask, status flags.
 * Kernel: fs/signalfd.c, signalfd_show_fdinfo().
 */
#include "kind/fd.h"

#include "base/res.h"
#include "base/text.h"

#include <fcntl.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>

static bool signalfd_is(const struct fd_view *v)
{
	return !strcmp(v->link, "anon_inode:[signalfd]");
}

static int signalfd_dump(struct session *s, const struct fd_view *v)
{
	SignalfdEntry e = SIGNALFD_ENTRY__INIT;
	int r = text_u64(v->info, "sigmask:", 16, &e.sigmask);

	if (r < 0)
		return session_fail(s, r, "signalfd 0x%x: read its mask", v->id);
	e.id = v->id;
	e.flags = v->flags;
	e.fown = v->fown;
	return fd_put(s, v, &e.base);
}

/* The kernel's call: the library's masks hide its own signals 32 and 33. */
static int signalfd_restore(struct session *s, struct fd_obj *o)
{
	const SignalfdEntry *e = o->entry->sgfd;

	if (!e)
		return session_fail(s, -EBADMSG, "files.img: signalfd 0x%x is damaged", o->id);
	o->fd = fd_high(syscall(SYS_signalfd4, -1, &e->sigmask, sizeof(e->sigmask), SFD_CLOEXEC));
	return o->fd < 0 ? session_fail(s, -errno, "signalfd 0x%x: make", o->id) : 0;
}

const struct fd_kind fd_kind_signalfd = {
	.name = "signalfd",
	.type = FD_TYPES__SIGNALFD,
	.is = signalfd_is,
	.dump = signalfd_dump,
	.restore = signalfd_restore,
};
