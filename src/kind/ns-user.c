// SPDX-License-Identifier: Apache-2.0
/*
 * User namespaces below the root task's, and whose the other namespaces are. A process that has entered one
 * has no way back: what must be done there is done by guests and their errands, which end.
 *
 * Kernel: ioctl_ns(2); user_namespaces(7): maps are written once, by who has the rights in the namespace around;
 * a namespace belongs to the user namespace of who makes it.
 */
#include "kind/ns-set.h"

#include "base/list.h"
#include "base/res.h"
#include "base/text.h"
#include "image/record.h"
#include "kind/cgroup.h"
#include "kind/ids.h"
#include "kind/ns-user.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define DEPTH_MAX 33 /* the kernel's limit */

/* ---- dump ---- */

int ns_user_note(struct session *s, struct ns_set *set, int taken, struct ns **ret)
{
	own_fd int fd = taken;
	const struct ns *root = ns_of(s, CLONE_NEWUSER);
	struct ns *ns, *up = NULL;
	struct stat st;
	int r, outer;

	if (fd < 0 || fstat(fd, &st) < 0)
		return session_fail(s, -errno, "find the user namespace around one of the tasks'");
	ns = ns_by_ino(s, st.st_ino);
	*ret = ns == root ? NULL : ns;
	if (ns && (ns == root || ns->fd >= 0))
		return 0;
	if (ns && !ns->own)
		return -EXDEV;
	outer = ioctl(fd, NS_GET_PARENT);
	if (outer < 0)
		return -EXDEV;
	r = ns_user_note(s, set, fd_high(outer), &up);
	if (r < 0)
		return r;
	if (!ns)
		ns = ns_note_new(s, set, CLONE_NEWUSER, st.st_ino, NULL);
	ns->owner = up;
	ns->fd = fd_high(take_fd(fd));
	*ret = ns;
	return 0;
}

/* By a task in it; of pid namespaces by one that may be deeper, or dead. */
static int open_ns(const struct ns *ns)
{
	own_mem char *path = xprintf("/proc/%d/ns/%s%s", ns->task->pid, ns->kind->name,
				     ns->for_children ? "_for_children" : "");
	own_fd int fd = fd_high(open(path, O_RDONLY | O_CLOEXEC));
	struct stat st;

	while (fd >= 0 && ns->kind->flag == CLONE_NEWPID && fstat(fd, &st) == 0 && st.st_ino != ns->ino) {
		int up = ioctl(fd, NS_GET_PARENT);

		fd_close(fd);
		fd = up;
	}
	return fd < 0 ? -1 : take_fd(fd);
}

static int owner_of(struct session *s, struct ns_set *set, struct ns *ns)
{
	own_fd int fd = -1;
	struct ns *user = NULL;
	int r;

	if ((!ns->task && ns->fd < 0) || !ns->ino) /* unshared, and empty */
		return 0;
	fd = ns->task ? open_ns(ns) : fd_high(fcntl(ns->fd, F_DUPFD_CLOEXEC, 3));
	if (fd < 0 && set->running)
		return 0;
	if (fd < 0)
		return session_fail(s, -errno, "%s namespace %u: open it", ns->kind->name, ns->id);
	if (ns->kind->flag == CLONE_NEWUSER)
		r = ns_user_note(s, set, fd_high(take_fd(fd)), &user);
	else
		r = ns_user_note(s, set, fd_high(ioctl(fd, NS_GET_USERNS)), &ns->owner);
	return r != -EXDEV ? r
			   : session_fail(s, -ENOTSUP,
					  "task %d: its %s namespace is not of the user namespace of task %d, nor of one below that; this cannot be checkpointed yet",
					  ns->task ? ns->task->vpid : 0, ns->kind->name,
					  set->root[0] && set->root[0]->task ? set->root[0]->task->vpid : 1);
}

/* A thread goes to its namespaces when its process is in its user namespace for good. */
static int thread_check(struct session *s, const struct thread *t)
{
	const struct ns *user = ns_find(s, t->task->ids->user_ns_id), *root = ns_of(s, CLONE_NEWUSER);

	for (size_t i = 0; user != root && i < NS_KINDS; i++) {
		const struct ns *ns = ns_find(s, ns_id_get(&ns_rows[i], t->apart->ids)), *up;

		if (!ns || ns->id == ns_id_get(&ns_rows[i], t->task->ids))
			continue;
		for (up = ns->owner; up && up != user; up = up->owner)
			;
		if (!up)
			return session_fail(s, -ENOTSUP,
					    "task %d: the %s namespace of thread %d does not belong to its user namespace, nor to one below; this cannot be checkpointed yet",
					    t->task->vpid, ns->kind->name, t->vtid);
	}
	return 0;
}

static int threads_check(struct session *s, const struct task *k)
{
	int r = 0;

	for (unsigned n = 1; r == 0 && n < k->n_threads; n++)
		if (k->threads[n].apart)
			r = thread_check(s, &k->threads[n]);
	return r;
}

int ns_owners_note(struct session *s, struct ns_set *set, const struct tree *tree)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < set->all.n; i++) { /* user namespaces may be added meanwhile */
		struct ns *ns = set->all.v[i];
		bool root = false;

		for (size_t k = 0; k < NS_KINDS; k++)
			root |= set->root[k] == ns;
		if (ns->own && !ns->external && !root)
			r = owner_of(s, set, ns);
	}
	for (size_t i = 0; r == 0 && i < tree->n; i++)
		r = tree->all[i]->state == TASK_DEAD || !tree->all[i]->ids ? 0 : threads_check(s, tree->all[i]);
	return r;
}

/* In a guest: the namespace around shows who made it, it itself shows its maps. */
static int user_read(struct session *s, const struct ns *ns, UsernsEntry *e)
{
	own_fd int self = openat(ns_proc(s), "thread-self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	const struct ns *root = ns_of(s, CLONE_NEWUSER);
	own_fd int around = ns->owner ? fcntl(ns->owner->fd, F_DUPFD_CLOEXEC, 3) :
			    root->own ? openat(root->task->proc, "ns/user", O_RDONLY | O_CLOEXEC) : -1;
	uid_t owner;
	int r;

	if ((ns->owner || root->own) && (around < 0 || setns(around, CLONE_NEWUSER) < 0))
		return session_fail(s, -errno, "user namespace %u: enter the one around it", ns->id);
	if (ioctl(ns->fd, NS_GET_OWNER_UID, &owner) < 0)
		return session_fail(s, -errno, "user namespace %u: find who made it", ns->id);
	e->has_owner = true;
	e->owner = owner;
	if (setns(ns->fd, CLONE_NEWUSER) < 0)
		return session_fail(s, -errno, "user namespace %u: enter it", ns->id);
	userns_report_limits(s, ns);
	r = userns_read_maps(self, e);
	return r < 0 ? session_fail(s, r, "user namespace %u: read its maps", ns->id) : 0;
}

static int user_write(struct session *s, void *arg)
{
	const struct ns *ns = arg;
	const struct ns_set *set = ns_set(s);
	UsernsEntry *e = xalloc(sizeof(*e));
	own_image struct image img = { .fd = -1 };
	int r;

	userns_entry__init(e);
	for (size_t i = 0; i < set->all.n; i++)
		if (set->all.v[i]->owner == ns && set->all.v[i]->kind->flag != CLONE_NEWUSER) {
			e->owns = xgrow(e->owns, (e->n_owns + 1) * sizeof(*e->owns));
			e->owns[e->n_owns++] = set->all.v[i]->id;
		}
	e->has_parent = ns->owner != NULL;
	e->parent = ns->owner ? ns->owner->id : 0;
	r = image_create(s, &img, MAGIC_USERNS, "userns-%u.img", ns->id); /* while that is allowed */
	if (r == 0)
		r = user_read(s, ns, e);
	if (r == 0)
		r = image_write(&img, &e->base);
	if (r == 0)
		r = image_close(&img);
	userns_entry__free_unpacked(e, NULL);
	return r;
}

int ns_users_dump(struct session *s)
{
	struct guest_where w = { .pidns = -1 };
	struct ns *ns;
	int r = 0;

	for (size_t n = 0; r == 0 && (ns = ns_nested(s, CLONE_NEWUSER, n)); n++)
		r = guest_run(s, &w, user_write, ns);
	return r;
}

/* ---- plan ---- */

static struct userns *userns_find(const struct tree *tree, uint32_t id)
{
	for (struct userns *u = tree->userns; u; u = u->next)
		if (u->id == id)
			return u;
	return NULL;
}

static int plan_owns(struct session *s, const struct tree *tree, struct ns *ns, const UsernsEntry *e)
{
	for (size_t i = 0; i < e->n_owns; i++) {
		struct ns *o = ns_find(s, e->owns[i]);

		if (!o || !o->own)
			continue; /* one that no task is in any more */
		if (o->kind->flag == CLONE_NEWUSER || (o->owner && o->owner != ns))
			return session_fail(s, -EBADMSG, "userns-%u.img: namespace %u cannot belong to it", ns->id, o->id);
		o->owner = ns;
		for (struct pidns *p = tree->pidns; p; p = p->next)
			if (p->id == o->id && o->kind->flag == CLONE_NEWPID)
				p->user = userns_find(tree, ns->id);
	}
	return 0;
}

/* Those around it first. */
static int plan_user(struct session *s, struct tree *tree, uint32_t id, unsigned depth, struct userns **ret)
{
	const struct ns *root = ns_of(s, CLONE_NEWUSER);
	struct ns *ns = ns_find(s, id), *up = NULL;
	struct userns *outer = NULL;
	UsernsEntry *e = NULL;
	int r = 0;

	*ret = id && ns != root ? userns_find(tree, id) : NULL;
	if (!id || ns == root || *ret)
		return 0;
	if (depth > DEPTH_MAX || id > NS_TAG_ID || (ns && ns->kind->flag != CLONE_NEWUSER))
		return session_fail(s, -EBADMSG, "userns-%u.img: is no user namespace, or too deep", id);
	r = userns_read_image(s, id, &e);
	if (r == 0 && e->has_parent && e->parent) {
		r = plan_user(s, tree, e->parent, depth + 1, &outer);
		up = ns_find(s, e->parent);
	}
	if (r == 0) {
		ns = ns ? ns : ns_add_kind(s, CLONE_NEWUSER, id);
		ns->own = true;
		ns->owner = up == root ? NULL : up;
		*ret = userns_add(tree, outer, id);
		ids_nest(s, id, outer ? outer->id : 0, e);
		r = plan_owns(s, tree, ns, e);
	}
	if (e)
		userns_entry__free_unpacked(e, NULL);
	return r;
}

int ns_users_plan(struct session *s, struct tree *tree)
{
	const TaskKobjIdsEntry *ids = tree->root->ids;
	int r = 0;

	for (size_t i = 0; r == 0 && i < tree->n; i++) {
		struct task *k = tree->all[i];

		if (k->ids && k->ids->has_user_ns_id)
			r = plan_user(s, tree, k->ids->user_ns_id, 0, &k->user);
	}
	for (size_t i = 0; r == 0 && i < ids->n_held_ns; i++) { /* that no task is in */
		struct userns *u;

		if (ids->held_kind[i] == CLONE_NEWUSER)
			r = plan_user(s, tree, ids->held_ns[i], 0, &u);
	}
	return r;
}

/* ---- making ---- */

int ns_user_enter(struct session *s, const struct ns *user)
{
	uint32_t uid, gid;

	if (!user)
		return 0;
	if (setns(user->fd, CLONE_NEWUSER) < 0)
		return session_fail(s, -errno, "user namespace %u: enter it", user->id);
	ids_nested_root(s, user->id, &uid, &gid);
	if ((gid != ID_NONE && setresgid(gid, gid, gid) < 0) || (uid != ID_NONE && setresuid(uid, uid, uid) < 0))
		return session_fail(s, -errno, "user namespace %u: be a user of it", user->id);
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	return 0;
}

static int inside_make(struct session *s, void *arg)
{
	const struct ns *ns = arg;
	own_mem char *offsets = NULL, *path = xprintf("thread-self/ns/%s%s", ns->kind->name,
						      ns->kind->flag == CLONE_NEWTIME ? "_for_children" : "");
	int r = ns->kind->offsets ? ns->kind->offsets(s, ns, &offsets) : 0, fd;

	if (r == 0)
		r = ns_user_enter(s, ns->owner);
	if (r < 0)
		return r;
	if (unshare(ns->kind->flag) < 0)
		return session_fail(s, -errno, "%s namespace %u: make it", ns->kind->name, ns->id);
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* or our /proc is another's */
	r = offsets ? text_write(ns_proc(s), "self/timens_offsets", offsets) : 0;
	if (r < 0)
		return session_fail(s, r, "%s namespace %u: set its offsets", ns->kind->name, ns->id);
	fd = openat(ns_proc(s), path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? session_fail(s, -errno, "%s namespace %u: open it", ns->kind->name, ns->id) : fd;
}

static int cgroup_make(struct session *s, void *arg)
{
	const struct ns *ns = arg;
	own_fd int fd = -1;
	const struct ns *root = ns_of(s, CLONE_NEWUSER);
	int r = cgroup_begin(s, ns->id);

	if (r == 0 && !ns->owner && root->own && setns(root->fd, CLONE_NEWUSER) < 0)
		return session_fail(s, -errno, "cgroup namespace %u: enter the user namespace that it belongs to", ns->id);
	if (r == 0)
		fd = inside_make(s, arg);
	return r < 0 ? r : fd < 0 ? fd : guest_give_fd(s, 0, fd);
}

/*
 * By a guest with our rights over cgroups; none of the tasks is moved for it. Those whose user namespace is not there
 * yet are left for later.
 */
int ns_cgroups_make(struct session *s)
{
	struct guest_where w = { .pidns = -1 };
	struct ns *ns;
	int r = 0, tag;

	for (size_t n = 0; r == 0 && (ns = ns_nested(s, CLONE_NEWCGROUP, n)); n++) {
		struct guest g;

		if (ns->fd >= 0 || (ns->owner && ns->owner->fd < 0))
			continue;
		r = guest_start(s, &g, &w, cgroup_make, ns);
		if (r < 0)
			return r;
		ns->fd = guest_take_fd(s, &g, &tag);
		r = guest_wait(s, &g);
		if (r == 0 && ns->fd < 0)
			r = session_fail(s, ns->fd, "cgroup namespace %u: take it from its maker", ns->id);
	}
	return r;
}

int ns_unshare(struct session *s, const struct ns *ns)
{
	own_fd int fd = -1;
	int r = 0;

	if (!ns->owner && ns->kind->flag != CLONE_NEWTIME) { /* that is entered by children only */
		r = unshare(ns->kind->flag);
	} else {
		fd = guest_errand(s, inside_make, (void *)ns);
		if (fd < 0)
			return fd;
		r = setns(fd, ns->kind->flag);
	}
	return r < 0 ? session_fail(s, -errno, "%s namespace %u: make it", ns->kind->name, ns->id) : 0;
}

/* The directory below /proc of a child, by its pidfd. */
static int proc_of(struct session *s, int pidfd)
{
	own_mem char *info = NULL, *path = xprintf("thread-self/fdinfo/%d", pidfd);
	char name[24];
	uint64_t pid;
	int r = text_read(ns_proc(s), path, &info, NULL), fd;

	if (r == 0)
		r = text_u64(info, "Pid:", 10, &pid);
	if (r < 0)
		return r;
	snprintf(name, sizeof(name), "%d", (int)pid);
	fd = openat(ns_proc(s), name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* A process of its owner makes it and waits until it has been looked at. */
static void __attribute__((noreturn)) owner_main(uint32_t uid, uint32_t gid, int told, int wait)
{
	char c = 0;

	if ((gid != ID_NONE && setresgid(gid, gid, gid) < 0) || setresuid(uid, uid, uid) < 0 || unshare(CLONE_NEWUSER) < 0)
		c = errno;
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	if (write(told, &c, 1) == 1 && c == 0 && read(wait, &c, 1) < 0)
		_exit(1);
	_exit(0);
}

static int user_fill(struct session *s, const struct ns *ns, const UsernsEntry *e, int pidfd)
{
	own_fd int proc = proc_of(s, pidfd);
	int r = proc < 0 ? proc : 0, fd;

	if (r == 0)
		r = userns_write_maps(proc, e);
	if (r < 0)
		return session_fail(s, r, "user namespace %u: set its maps", ns->id);
	fd = openat(proc, "ns/user", O_RDONLY | O_CLOEXEC);
	return fd < 0 ? session_fail(s, -errno, "user namespace %u: open it", ns->id) : fd;
}

struct user_job {
	const struct ns *ns;
	const UsernsEntry *e;
};

static int user_make(struct session *s, void *arg)
{
	const struct user_job *job = arg;
	int told[2], wait[2], pidfd = -1, r = ns_user_enter(s, job->ns->owner);
	struct clone_args ca = { .flags = CLONE_PIDFD, .pidfd = (uintptr_t)&pidfd, .exit_signal = SIGCHLD };
	uint32_t uid, gid;
	char c;
	long pid;

	if (r < 0)
		return r;
	ids_nested_root(s, job->ns->owner ? job->ns->owner->id : 0, &uid, &gid);
	if (pipe2(told, O_CLOEXEC) < 0 || pipe2(wait, O_CLOEXEC) < 0)
		return session_fail(s, -errno, "user namespace %u: make a pipe", job->ns->id);
	pid = syscall(SYS_clone3, &ca, sizeof(ca));
	if (pid == 0) {
		close(wait[1]);
		owner_main(job->e->has_owner ? job->e->owner : uid, gid, told[1], wait[0]);
	}
	close(told[1]);
	if (pid < 0 || read(told[0], &c, 1) != 1 || c)
		r = session_fail(s, pid < 0 ? -errno : -(int)c, "user namespace %u: make it as user %u", job->ns->id,
				 job->e->owner);
	if (r == 0)
		r = user_fill(s, job->ns, job->e, pidfd);
	close(wait[1]);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return r;
}

int ns_users_make(struct session *s)
{
	struct ns *ns;
	int r = 0;
	bool progress = true;

	while (r == 0 && progress) {
		progress = false;
		for (size_t n = 0; r == 0 && (ns = ns_nested(s, CLONE_NEWUSER, n)); n++) {
			struct user_job job = { .ns = ns };
			UsernsEntry *e = NULL;

			if (ns->fd >= 0 || (ns->owner && ns->owner->fd < 0))
				continue;
			r = userns_read_image(s, ns->id, &e);
			job.e = e;
			if (r == 0)
				r = ns->fd = guest_errand(s, user_make, &job);
			if (e)
				userns_entry__free_unpacked(e, NULL);
			if (r >= 0)
				r = guest_give_fd(s, NS_TAG + (int)ns->id, ns->fd);
			progress = true;
		}
	}
	return r;
}

static int pid_make(struct session *s, void *arg)
{
	const struct ns *ns = arg;
	int end[2], pidfd = -1, r = ns_user_enter(s, ns->owner), fd = -1;
	struct clone_args ca = { .flags = CLONE_PIDFD | CLONE_NEWPID, .pidfd = (uintptr_t)&pidfd, .exit_signal = SIGCHLD };
	own_fd int proc = -1;
	char c;
	long pid;

	if (r < 0)
		return r;
	if (pipe2(end, O_CLOEXEC) < 0)
		return session_fail(s, -errno, "pid namespace %u: make a pipe", ns->id);
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	pid = syscall(SYS_clone3, &ca, sizeof(ca));
	if (pid == 0) {
		close(end[1]);
		_exit(read(end[0], &c, 1) < 0);
	}
	if (pid < 0)
		return session_fail(s, -errno, "pid namespace %u: make it", ns->id);
	proc = proc_of(s, pidfd);
	fd = proc < 0 ? proc : openat(proc, "ns/pid", O_RDONLY | O_CLOEXEC);
	r = fd < 0 ? session_fail(s, proc < 0 ? proc : -errno, "pid namespace %u: open it", ns->id) : fd;
	close(end[1]);
	waitpid(pid, NULL, 0);
	return r;
}

int ns_pids_make(struct session *s)
{
	struct ns *ns;
	int r = 0;

	for (size_t n = 0; r >= 0 && (ns = ns_nested(s, CLONE_NEWPID, n)); n++) {
		if (ns->task)
			continue;
		r = ns->fd = guest_errand(s, pid_make, ns);
		if (r >= 0)
			r = guest_give_fd(s, NS_TAG + (int)ns->id, ns->fd);
	}
	return r < 0 ? r : 0;
}

void ns_user_taken(struct session *s, const struct ns *ns)
{
	struct userns *u = userns_find(s->tree, ns->id);

	if (u)
		u->fd = ns->fd;
}
