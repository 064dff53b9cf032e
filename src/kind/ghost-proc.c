// SPDX-License-Identifier: Apache-2.0
/*
 * ghost-proc: open files in /proc/PID of a task that has ended. What they tell has ended with it, but they are
 * there: at restore a child with that number opens them, and ends when they are open, and when the tasks have entered
 * those that are their roots (sandboxes of browsers are such).
 *
 * Kernel: such a file belongs to its task, not to the number; reading one of a dead task, or entering a directory, says
 *         ESRCH.
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
#include <unistd.h>

#define PID_MAX_EVER 4194304 /* 2^22 */
#define LIVING "ghost proc guests" /* pid to struct guest */

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
	const struct ns *user; /* of those that enter it; NULL: ours */
};

static int open_it(struct session *s, const struct wanted *w)
{
	struct open_how how = { .flags = w->flags, .resolve = RESOLVE_IN_ROOT };
	int fd = fd_high(syscall(SYS_openat2, w->root, w->name, &how, sizeof(how)));

	return fd < 0 ? session_fail(s, -errno, "file %s: open", w->name) : fd;
}

static int open_own(struct session *s, void *arg)
{
	const struct wanted *w = arg;
	int fd = open_it(s, w), r = fd < 0 ? fd : ns_user_enter(s, w->user);

	return r < 0 ? r : guest_stay(s, fd);
}

static bool is_there(const FsEntry *fs, uint32_t file)
{
	return fs && (fs->root_id == file || fs->cwd_id == file);
}

/* Nobody may enter who has no rights over that child: it goes to the user namespace of one who will. */
static const struct ns *user_of(struct session *s, uint32_t file)
{
	const struct ns *user = ns_of(s, CLONE_NEWUSER);

	for (size_t i = 0; i < s->tree->n; i++) {
		const struct task *k = s->tree->all[i];

		for (unsigned n = 0; k->ids && k->ids->user_ns_id && n < k->n_threads; n++)
			if (is_there(n ? k->threads[n].fs : k->fs, file))
				user = ns_find(s, k->ids->user_ns_id);
	}
	return user && user->own ? user : NULL;
}

static int first_open(struct session *s, struct guest *g, const struct guest_where *where, struct wanted *w)
{
	int r = guest_start(s, g, where, open_own, w), fd, tag;

	if (r < 0)
		return r;
	fd = guest_take_fd(s, g, &tag);
	if (fd >= 0)
		return fd;
	r = guest_wait(s, g); /* it has failed */
	return r < 0 ? r : session_fail(s, -EIO, "file %s: was not given", w->name);
}

int ghost_proc_make(struct session *s, const RegFileEntry *e, uint32_t pid, int *ret_fd)
{
	const struct ns *ns = ns_of(s, CLONE_NEWPID);
	const char *name = e->name;
	struct wanted w = { .name = name, .root = ns_root_fd(s), .user = user_of(s, e->id) };
	struct guest_where where = { .pidns = ns && ns->own ? ns->fd : -1, .vpid = pid };
	struct map *living = session_map(s, LIVING);
	struct guest *g = map_get(living, pid);

	if (pid_of(name) != (pid_t)pid || task_find(s->tree, pid))
		return session_fail(s, -EBADMSG, "file %s: is not of task %u, or that lives", name, pid);
	if (w.root < 0)
		return w.root;
	w.flags = (e->flags & (O_ACCMODE | O_DIRECTORY | O_NONBLOCK | O_PATH)) | O_CLOEXEC | O_NOFOLLOW;
	if (g) {
		*ret_fd = open_it(s, &w);
	} else {
		g = xalloc(sizeof(*g));
		map_put(living, pid, g);
		*ret_fd = first_open(s, g, &where, &w);
	}
	return *ret_fd < 0 ? *ret_fd : 0;
}

void ghost_proc_end(struct session *s)
{
	struct map *living = session_map(s, LIVING);

	for (size_t i = 0; i < living->max; i++)
		if (living->rows[i].value) {
			guest_kill(s, living->rows[i].value);
			free(living->rows[i].value);
		}
	map_free(living);
	*living = (struct map){ 0 };
}
