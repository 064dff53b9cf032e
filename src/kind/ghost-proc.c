// SPDX-License-Identifier: Apache-2.0
/*
 * ghost-proc: open files in /proc/PID of a task that has ended. What they tell has ended with it, but they are
 * there: at restore a child with that number opens them, and ends.
 *
 * Kernel: such a file belongs to its task, not to the number; reading one of a dead task says ESRCH.
 */
#include "kind/ghost.h"
#include "kind/ns.h"

#include "base/res.h"
#include "task/guest.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <string.h>
#include <sys/syscall.h>

#define PID_MAX_EVER 4194304 /* 2^22 */

/* Of "/proc/PID" or "/proc/PID/NAME"; -1: another name. */
static pid_t pid_of(const char *name)
{
	char *end;
	unsigned long pid;

	if (strncmp(name, "/proc/", 6) || name[6] < '1' || name[6] > '9')
		return -1;
	pid = strtoul(name + 6, &end, 10);
	if (pid >= PID_MAX_EVER || (*end && (*end != '/' || !end[1] || strchr(end + 1, '/') || end[1] == '.')))
		return -1;
	return pid;
}

static bool in_tree(const struct task *k, pid_t vpid)
{
	if (k->vpid == vpid || k->pgid == vpid || k->sid == vpid)
		return true;
	for (unsigned i = 0; i < k->n_threads; i++)
		if (k->threads[i].vtid == vpid)
			return true;
	for (const struct task *c = k->first_child; c; c = c->next)
		if (in_tree(c, vpid))
			return true;
	return false;
}

pid_t ghost_proc_pid(const struct task *k, const char *name)
{
	pid_t pid = pid_of(name);

	while (k->parent)
		k = k->parent;
	return pid > 0 && !in_tree(k, pid) ? pid : -1;
}

/* ---- restore ---- */

struct wanted {
	const char *name;
	int root, flags;
};

static int open_own(struct session *s, void *arg)
{
	const struct wanted *w = arg;
	struct open_how how = { .flags = w->flags, .resolve = RESOLVE_IN_ROOT };
	int fd = fd_high(syscall(SYS_openat2, w->root, w->name, &how, sizeof(how)));

	return fd < 0 ? session_fail(s, -errno, "file %s: open", w->name) : guest_give_fd(s, 0, fd);
}

int ghost_proc_make(struct session *s, const char *name, uint32_t pid, uint32_t flags, int *ret_fd)
{
	const struct ns *ns = ns_of(s, CLONE_NEWPID);
	struct wanted w = { .name = name, .root = ns_root_fd(s) };
	struct guest_where where = { .pidns = ns && ns->own ? ns->fd : -1, .vpid = pid };
	struct guest g;
	int fd, tag, r;

	if (pid_of(name) != (pid_t)pid || task_find(s->tree, pid))
		return session_fail(s, -EBADMSG, "file %s: is not of task %u, or that lives", name, pid);
	if (w.root < 0)
		return w.root;
	w.flags = (flags & (O_ACCMODE | O_DIRECTORY | O_NONBLOCK | O_PATH)) | O_CLOEXEC | O_NOFOLLOW;
	r = guest_start(s, &g, &where, open_own, &w);
	if (r < 0)
		return r;
	fd = guest_take_fd(s, &g, &tag);
	r = guest_wait(s, &g);
	if (r == 0 && fd < 0)
		r = session_fail(s, -EIO, "file %s: was not given", name);
	if (r < 0)
		fd_close(fd);
	*ret_fd = fd;
	return r;
}
