// SPDX-License-Identifier: Apache-2.0
/*
 * notify: a listener of seccomp notifications: whoever has it answers for system calls of others (seccomp_unotify(2)).
 *
 * Kept:   one that is the only one of the tree, of a filter that one process has (all its threads). A call that waits
 *         for an answer is made once more, and told of again, as after a signal.
 * Lost:   SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP: the kernel shows them to nobody.
 *         Refused: others, as it does not show whose filter a listener belongs to; one in an epoll or in a
 *         message that was not read.
 * Kernel: kernel/seccomp.c. Installing the filter makes it (task/seccomp.c), when all tables are complete already: until
 *         then /dev/null is in its place.
 */
#include "kind/fd.h"
#include "kind/notify.h"

#include "base/res.h"

#include <fcntl.h>
#include <string.h>

static bool notify_is(const struct fd_view *v)
{
	return !strcmp(v->link, NOTIFY_LINK);
}

static int notify_dump(struct session *s, const struct fd_view *v)
{
	NotifyFileEntry e = NOTIFY_FILE_ENTRY__INIT;

	e.id = v->id;
	e.flags = v->flags;
	e.fown = v->fown;
	notify_note(s, v->id);
	return fd_put(s, v, &e.base);
}

static int notify_restore(struct session *s, struct fd_obj *o)
{
	o->fd = fd_high(open("/dev/null", O_RDWR | O_CLOEXEC));
	return o->fd < 0 ? session_fail(s, -errno, "open /dev/null") : 0;
}

const struct fd_kind fd_kind_notify = {
	.name = "seccomp listener",
	.type = FD_TYPES__NOTIFY,
	.is = notify_is,
	.dump = notify_dump,
	.restore = notify_restore,
};
