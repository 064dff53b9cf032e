// SPDX-License-Identifier: Apache-2.0
/*
 * nsfile: descriptors of namespaces (/proc/PID/ns/...).
 *
 * Kept:   which namespace of the tasks, or of the dumper, it is; also those that no task is in
 *         (kind/ns-held.c).
 * Lost:   pid namespaces of tasks outside of the tree, and those that are over but lie deeper than right below the
 *         root task's: refused.
 * Kernel: nsfs; ioctl NS_GET_NSTYPE.
 */
#include "kind/fd.h"

#include "base/res.h"
#include "images/ns.pb-c.h"
#include "kind/ns.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <string.h>
#include <sys/ioctl.h>

static bool nsfile_is(const struct fd_view *v)
{
	/* opened by a mount of it, it bears that name */
	bool may = v->link[0] == '/' ? v->st.st_mode == (S_IFREG | 0444) && !v->st.st_size : strstr(v->link, ":[") != NULL;

	return may && v->fd >= 0 && ioctl(v->fd, NS_GET_NSTYPE) > 0;
}

static int nsfile_dump(struct session *s, const struct fd_view *v)
{
	NsFileEntry e = NS_FILE_ENTRY__INIT;
	const struct ns *ns = ns_by_ino(s, v->st.st_ino);

	if (!ns)
		return session_fail(s, -ENOTSUP,
				    "task %d: descriptor %d is %s, a namespace that no task of the tree is in; close it first",
				    v->task->vpid, v->num, v->link);
	e.id = v->id;
	e.ns_id = ns->id;
	e.ns_cflag = ioctl(v->fd, NS_GET_NSTYPE);
	e.flags = v->flags;
	return fd_put(s, v, &e.base);
}

/* A task in it: the root task, or ourselves. */
static int nsfile_restore(struct session *s, struct fd_obj *o)
{
	const NsFileEntry *e = o->entry->nsf;
	const struct ns *ns = e ? ns_of(s, e->ns_cflag) : NULL, *nested = e ? ns_find(s, e->ns_id) : NULL;
	own_mem char *path = NULL;
	int proc = ns_proc(s);

	if (!ns || proc < 0)
		return proc < 0 ? proc : session_fail(s, -EBADMSG, "files.img: namespace file 0x%x is damaged",
						      o->id);
	if (nested && nested->fd >= 0) {
		o->fd = fd_high(fcntl(nested->fd, F_DUPFD_CLOEXEC, 3));
		return o->fd < 0 ? session_fail(s, -errno, "namespace file 0x%x: copy it", o->id) : 0;
	}
	for (const struct pidns *p = s->tree->pidns; p && e->ns_cflag == CLONE_NEWPID; p = p->next)
		if (p->id == e->ns_id && p->init)
			path = xprintf("%d/ns/pid", p->init->pid);
	if (!path && nested && nested->own && nested != ns)
		return session_fail(s, -ENOTSUP, "namespace file 0x%x: is of %s namespace %u, which no task is in",
				    o->id, nested->kind->name, nested->id);
	if (path)
		;
	else if (ns->id == e->ns_id && ns->task && ns->task->pid > 0)
		path = xprintf("%d/ns/%s", ns->task->pid, ns->kind->name);
	else
		path = xprintf("self/ns/%s", ns->kind->name);
	o->fd = fd_high(openat(proc, path, O_RDONLY | O_CLOEXEC));
	return o->fd < 0 ? session_fail(s, -errno, "namespace file 0x%x: open /proc/%s", o->id, path) : 0;
}

const struct fd_kind fd_kind_nsfile = {
	.name = "namespace file",
	.type = FD_TYPES__NS,
	.is = nsfile_is,
	.dump = nsfile_dump,
	.restore = nsfile_restore,
};
