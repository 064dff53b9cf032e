// SPDX-License-Identifier: Apache-2.0
/*
 * Network, uts, ipc, mnt, time, cgroup, pid and user namespaces that no task is in, held by a descriptor of a task or by a mount
 * ("ip netns add", "unshare --mount=FILE"); user namespaces also by others that belong to them or are below. They stand in the root task's ids. At a dump a sitter, a guest that does
 * nothing else, is in those whose contents are read by way of a task.
 *
 * Kernel: a link in /proc/PID/fd leads to it also when it bears the name of a mount; in mountinfo "net:[4026531840]" is
 *         the root of a mount of nsfs.
 */
#include "kind/ns-held.h"

#include "base/res.h"
#include "base/text.h"
#include "kind/mnt-detached.h"
#include "kind/ns-user.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef NS_GET_PID_FROM_PIDNS
#define NS_GET_PID_FROM_PIDNS _IOR(0xb7, 0x6, int)
#endif

bool ns_held_may(uint64_t flag)
{
	return flag & (CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNS | CLONE_NEWTIME | CLONE_NEWUSER |
		       CLONE_NEWCGROUP | CLONE_NEWPID);
}

/* ---- dump ---- */

#define SITTERS "ns sitters"

struct sitter {
	struct guest guest;
	struct task task; /* what others see of it */
};

static int sit(struct session *s, void *arg)
{
	int r = guest_give_fd(s, 0, s->guest->sock); /* we are in */

	while (r == 0)
		pause();
	return r;
}

/* Return: what it gave when it was in, or -errno; the rest is known to *ret */
static int sitter_start(struct session *s, const struct task *root, const struct guest_where *w,
			int (*fn)(struct session *s, void *arg), void *arg, struct task **ret)
{
	struct map *all = session_map(s, SITTERS);
	struct sitter *t = xalloc(sizeof(*t));
	int r = ns_proc(s), tag;
	own_fd int fd = -1;
	char name[16];

	map_put(all, all->n + 1, t);
	t->task.proc = -1;
	if (r >= 0)
		r = guest_start(s, &t->guest, w, fn, arg);
	if (r == 0)
		r = fd = guest_take_fd(s, &t->guest, &tag);
	if (r < 0)
		return r;
	snprintf(name, sizeof(name), "%d", t->guest.pid);
	t->task.pid = t->task.tgid = t->guest.pid;
	t->task.proc = fd_high(openat(ns_proc(s), name, O_PATH | O_DIRECTORY | O_CLOEXEC));
	t->task.ids = root->ids;
	t->task.state = TASK_ALIVE;
	*ret = &t->task;
	return t->task.proc < 0 ? session_fail(s, -errno, "open /proc/%s", name) : take_fd(fd);
}

void ns_held_end(struct session *s)
{
	struct map *all = session_map(s, SITTERS);

	for (size_t i = 0; i < all->max; i++) {
		struct sitter *t = all->rows[i].value;

		if (!t)
			continue;
		guest_kill(s, &t->guest);
		fd_close(t->task.proc);
		free(t);
	}
	map_free(all);
	memset(all, 0, sizeof(*all));
}

static void put(TaskKobjIdsEntry *e, const struct ns *ns)
{
	e->held_ns = xgrow(e->held_ns, (e->n_held_ns + 1) * sizeof(*e->held_ns));
	e->held_ns[e->n_held_ns++] = ns->id;
	e->held_kind = xgrow(e->held_kind, (e->n_held_kind + 1) * sizeof(*e->held_kind));
	e->held_kind[e->n_held_kind++] = ns->kind->flag;
}

static struct ns *add(struct session *s, struct ns_set *set, struct task *root, uint64_t flag, ino_t ino, int fd)
{
	struct ns *ns = ns_note_new(s, set, flag, ino, NULL);

	ns->fd = fd;
	put(root->ids, ns);
	return ns;
}

static int enter(struct session *s, const struct task *root, struct ns *ns)
{
	struct guest_where w = { .pidns = -1, .ns = &ns->fd, .n = 1 };
	own_fd int fd = sitter_start(s, root, &w, sit, NULL, &ns->task);

	return fd < 0 ? session_fail(s, fd, "%s namespace %u, which no task is in: enter it", ns->kind->name, ns->id) : 0;
}

/* Those around it, and those that others belong to, become known too: see ns_held_users(). */
static int note_user(struct session *s, struct ns_set *set, ino_t ino, int taken)
{
	struct ns *ns;
	int r = ns_user_note(s, set, taken, &ns);

	return r != -EXDEV ? r
			   : session_fail(s, -ENOTSUP,
					  "user namespace [%llu]: a descriptor or a mount holds it, but it is not below that of the root task; let it go first",
					  (unsigned long long)ino);
}

/* A pid namespace whose first task has ended: nobody can be born there any more. Right below the root task's */
static bool is_over(struct session *s, int fd)
{
	own_fd int up = ioctl(fd, NS_GET_PARENT);
	const struct ns *root = ns_of(s, CLONE_NEWPID);
	struct stat st;

	return up >= 0 && root && fstat(up, &st) == 0 && st.st_ino == root->ino &&
	       ioctl(fd, NS_GET_PID_FROM_PIDNS, 1) < 0 && errno == ESRCH;
}

/* fd, which is taken, shows a namespace. */
static int note_one(struct session *s, struct ns_set *set, struct tree *tree, ino_t ino, int taken)
{
	own_fd int fd = taken;
	int flag = fd < 0 || ns_by_ino(s, ino) ? 0 : ioctl(fd, NS_GET_NSTYPE);
	struct ns *ns;

	if (flag <= 0)
		return 0;
	if (flag == CLONE_NEWUSER)
		return note_user(s, set, ino, take_fd(fd));
	if (flag == CLONE_NEWPID && !is_over(s, fd))
		return session_fail(s, -ENOTSUP,
				    "pid namespace [%llu]: a descriptor or a mount holds it, but its first task is none of the tree's, or its parent is not the root task's pid namespace, or this kernel is older than 6.11; let it go first",
				    (unsigned long long)ino);
	if (flag == CLONE_NEWNS && !ns_is_own(s, CLONE_NEWNS))
		return session_fail(s, -ENOTSUP,
				    "mnt namespace [%llu]: no task is in it and the tasks are in the host's; run them in one of their own, or close the descriptor",
				    (unsigned long long)ino);
	ns = add(s, set, tree->root, flag, ino, take_fd(fd));
	return flag & (CLONE_NEWNS | CLONE_NEWIPC) ? enter(s, tree->root, ns) : 0;
}

/* A descriptor of a task's that may be a detached mount. */
static int note_path(struct session *s, struct ns_set *set, struct tree *tree, const struct task *k, int at, const char *num)
{
	uint32_t id = ns_is_own(s, CLONE_NEWNS) ? detached_is_new(tree->root, k, at, num, s) : 0;
	own_fd int path = id ? fd_high(openat(at, num, O_PATH | O_CLOEXEC)) : -1;
	own_fd int there = id ? fd_high(openat(k->proc, "ns/mnt", O_RDONLY | O_CLOEXEC)) : -1;
	own_fd int user = id && ns_is_own(s, CLONE_NEWUSER) ? fd_high(openat(tree->root->proc, "ns/user", O_RDONLY | O_CLOEXEC)) : -1;
	struct guest_where w = { .pidns = -1, .ns = &there, .n = 1, .user = user < 0 ? 0 : user };
	struct task *sitter;
	struct stat st;
	struct ns *ns;
	int fd;

	if (!id)
		return 0;
	fd = sitter_start(s, tree->root, &w, detached_sit, &path, &sitter);
	if (fd < 0 || fstat(fd, &st) < 0)
		return session_fail(s, -ENOTSUP,
				    "task %d: descriptor %s is a detached mount (open_tree, fsmount) of a file, or this kernel is older than 6.15; let it be mounted or closed first",
				    k->vpid, num);
	ns = add(s, set, tree->root, CLONE_NEWNS, st.st_ino, fd);
	ns->task = sitter;
	detached_note(s, tree->root, id, ns);
	return 0;
}

static int note_fds(struct session *s, struct ns_set *set, struct tree *tree, const struct task *k, dev_t nsfs)
{
	own_fd int at = openat(k->proc, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	own_dir DIR *d = at < 0 ? NULL : fdopendir(at);
	struct dirent *e;
	int r = 0;

	if (d)
		take_fd(at);
	while (r == 0 && d && (e = readdir(d))) {
		struct stat st;

		if (fstatat(dirfd(d), e->d_name, &st, 0) == 0 && st.st_dev == nsfs)
			r = note_one(s, set, tree, st.st_ino, fd_high(openat(dirfd(d), e->d_name, O_RDONLY | O_CLOEXEC)));
		else
			r = note_path(s, set, tree, k, dirfd(d), e->d_name);
	}
	return r;
}

/* mountinfo: ID PARENT DEV ROOT MOUNTPOINT ... */
static int note_mount(struct session *s, struct ns_set *set, struct tree *tree, int root, const char *line)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	char link[64], path[512];
	struct stat st;
	int fd;

	if (sscanf(line, "%*s %*s %*s %63s %511s", link, path) != 2 || *link == '/' || !strstr(link, ":["))
		return 0;
	fd = fd_high(syscall(SYS_openat2, root, path, &how, sizeof(how)));
	return note_one(s, set, tree, fd >= 0 && fstat(fd, &st) == 0 ? st.st_ino : 0, fd);
}

static int note_mounts(struct session *s, struct ns_set *set, struct tree *tree, const struct task *k)
{
	own_fd int root = openat(k->proc, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	own_mem char *text = NULL;
	int r = 0;

	if (root < 0 || text_read(k->proc, "mountinfo", &text, NULL) < 0)
		return 0;
	for (const char *line = text; r == 0 && line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
		r = note_mount(s, set, tree, root, line);
	return r;
}

int ns_held_note(struct session *s, struct ns_set *set, struct tree *tree)
{
	struct stat st;
	int r = 0;

	detached_begin(s);
	if (fstatat(ns_proc(s), "self/ns/mnt", &st, 0) < 0)
		return 0;
	for (size_t i = 0; r == 0 && i < tree->n; i++) {
		const struct task *k = tree->all[i];

		if (k->state == TASK_DEAD || k->proc < 0)
			continue;
		r = note_fds(s, set, tree, k, st.st_dev);
		for (unsigned t = 1; r == 0 && t < k->n_threads; t++)
			if (k->threads[t].files_id)
				r = note_fds(s, set, tree, k->threads[t].apart, st.st_dev);
	}
	for (size_t i = 0; r == 0 && i < set->all.n; i++) { /* more may come from those that are found */
		const struct ns *ns = set->all.v[i];

		if (ns->kind->flag == CLONE_NEWNS && ns->own && ns->task)
			r = note_mounts(s, set, tree, ns->task);
	}
	return r;
}

void ns_held_users(struct session *s, struct task *root)
{
	const struct ns *ns;

	for (size_t n = 0; (ns = ns_nested(s, CLONE_NEWUSER, n)); n++)
		if (!ns->task)
			put(root->ids, ns);
}

/* ---- restore ---- */

int ns_held_plan(struct session *s, const TaskKobjIdsEntry *ids)
{
	if (ids->n_held_ns != ids->n_held_kind || ids->n_held_ns > HELD_MAX)
		return session_fail(s, -EBADMSG, "the root task's ids: namespaces without tasks do not fit");
	for (size_t i = 0; i < ids->n_held_ns; i++) {
		uint32_t kind = ids->held_kind[i], id = ids->held_ns[i];

		if (!ns_held_may(kind) || (kind & (kind - 1)) || !id || id > NS_TAG_ID || ns_find(s, id))
			return session_fail(s, -EBADMSG, "the root task's ids: namespace %u cannot be without tasks", id);
		if (kind != CLONE_NEWUSER) /* they are planned last: ns_users_plan() */
			ns_add_kind(s, kind, id)->own = true;
	}
	return 0;
}
