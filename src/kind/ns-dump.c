// SPDX-License-Identifier: Apache-2.0
/*
 * Namespaces at dump: numbering, obstacles, and one guest in all of the root task's own namespaces that
 * writes their images while the supervisor goes on.
 *
 * Tasks may be in other namespaces than the root task: those follow when it is done with the root task's. So may
 * threads: they are looked at like tasks of their own (thread.apart).
 *
 * Lost:   nothing; what cannot be restored yet is refused.
 * Kernel: /proc/PID/ns.
 */
#include "kind/ns-set.h"

#include "base/res.h"
#include "base/text.h"
#include "images/timens.pb-c.h"
#include "image/record.h"
#include "kind/ids.h"
#include "kind/ns-held.h"
#include "kind/ns-user.h"
#include "task/note.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

/* An obstacle: all stand in the log, the first becomes the reason. */
static int __attribute__((format(printf, 2, 3))) obstacle(struct session *s, const char *fmt, ...)
{
	char text[800];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	session_warn(s, "%s", text);
	return session_fail(s, -ENOTSUP, "%s", text);
}

static int note_own(struct session *s, struct ns_set *set)
{
	own_fd int self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (self < 0)
		return session_fail(s, -errno, "open /proc/self");
	for (size_t i = 0; i < NS_KINDS; i++) {
		struct ns *ns = ns_add(set, &ns_rows[i], i + 1);
		int r = ns_ino(self, ns_rows[i].bare.name, &ns->ino);

		if (r < 0)
			return session_fail(s, r, "read our own %s namespace", ns_rows[i].bare.name);
		ns_id_put(&ns_rows[i], &set->own, ns->id);
	}
	return 0;
}

static struct ns *find_ino(struct ns_set *set, const struct ns_row *row, ino_t ino)
{
	for (size_t i = 0; i < set->all.n; i++)
		if (set->all.v[i]->ino == ino && set->all.v[i]->kind->flag == row->bare.flag)
			return set->all.v[i];
	return NULL;
}

struct ns *ns_note_new(struct session *s, struct ns_set *set, uint64_t flag, ino_t ino, struct task *k)
{
	struct ns *ns = ns_add_kind(s, flag, set->all.n + 1);
	char key[24];

	ns->ino = ino;
	ns->own = true;
	ns->task = k;
	snprintf(key, sizeof(key), "%llu", (unsigned long long)ino);
	if (flag & (CLONE_NEWNET | CLONE_NEWPID))
		ns->external = external_find(s, ns->kind->name, key);
	session_debug(s, "%s namespace %u: [%llu] of task %d%s%s", ns->kind->name, ns->id,
		      (unsigned long long)ino, k ? k->vpid : 0, ns->external ? ", external " : "",
		      ns->external ? ns->external : "");
	return ns;
}

/*
 * Is r how the kernel says that the task has ended? A link below ns/ of one that is gone is denied; the view of a thread that
 * ended earlier has no directory.
 */
static bool has_ended(const struct task *k, int r)
{
	return (k->view && k->proc < 0) || r == -ESRCH || r == -ENOENT || (r == -EACCES && faccessat(k->proc, "stat", F_OK, 0) < 0);
}

static int note_one(struct session *s, struct ns_set *set, size_t row, struct task *k)
{
	const char *name = ns_rows[row].bare.name;
	bool root = !k->parent && !k->view;
	ino_t ino;
	struct ns *ns;
	int r = ns_ino(k->proc, name, &ino);

	/* it ended meanwhile, or is about to: it has let go of its namespaces */
	if (set->running && (has_ended(k, r) || (r == 0 && !ino && set->all.v[row]->ino)))
		return 0;
	if (r < 0)
		return session_fail(s, r, "task %d: read its %s namespace", k->vpid, name);
	ns = find_ino(set, &ns_rows[row], ino);
	if (!ns)
		ns = ns_note_new(s, set, ns_rows[row].bare.flag, ino, k);
	if (root)
		set->root[row] = ns;
	if (!k->ids) {
		k->ids = xalloc(sizeof(*k->ids));
		task_kobj_ids_entry__init(k->ids);
	}
	ns_id_put(&ns_rows[row], k->ids, ns->id);
	if (!root && ns != set->root[row] && !ns->own)
		return obstacle(s,
				"%s %d: is in the host's %s namespace while task %d is not; this cannot be checkpointed yet",
				k->view ? "thread" : "task", k->view ? k->view->vtid : k->vpid, name,
				set->root[row]->task ? set->root[row]->task->vpid : 1);
	if (!root && ns != set->root[row] && ns_rows[row].bare.flag == CLONE_NEWNS && !set->root[row]->own)
		return obstacle(s,
				"%s %d: is in another %s namespace than task %d; this cannot be checkpointed yet",
				k->view ? "thread" : "task", k->view ? k->view->vtid : k->vpid, name,
				set->root[row]->task ? set->root[row]->task->vpid : 1);
	return 0;
}

static int note_task(struct session *s, struct ns_set *set, struct task *k)
{
	int bad = 0;

	for (size_t row = 0; row < NS_KINDS; row++) {
		int one = note_one(s, set, row, k);

		bad = bad < 0 ? bad : one;
	}
	return bad;
}

struct ns_links { /* what a thread's directory ns/ shows, one text after the other */
	char text[512];
};

static void read_links(const struct task *k, pid_t tid, struct ns_links *ret)
{
	static const char *const names[] = { "net", "uts", "ipc", "mnt", "cgroup", "pid_for_children", "time_for_children" };
	size_t at = 0;

	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char path[64];
		ssize_t n;

		snprintf(path, sizeof(path), "task/%d/ns/%s", tid, names[i]);
		n = readlinkat(k->proc, path, ret->text + at, sizeof(ret->text) - at - 1);
		at += n > 0 ? n : 0;
	}
}

/* Threads that are where their process is not, by unshare() or setns(). */
static int note_threads(struct session *s, struct ns_set *set, struct task *k)
{
	struct ns_links its, leaders;
	int bad = 0;

	if (!k->ids || k->n_threads < 2)
		return 0;
	read_links(k, k->pid, &leaders);
	for (unsigned n = 1; n < k->n_threads; n++) {
		struct thread *t = &k->threads[n];
		int one;

		if (!t->apart) {
			read_links(k, t->tid, &its);
			if (!memcmp(&its, &leaders, sizeof(its)))
				continue;
		}
		one = note_apart(t);
		if (set->running && one < 0) /* it has ended */
			continue;
		one = one < 0 ? session_fail(s, one, "task %d: thread %d is in namespaces of its own; open it", k->vpid, t->vtid)
			      : note_task(s, set, t->apart);
		bad = bad < 0 ? bad : one;
	}
	return bad;
}

/* Tasks may be there, or none yet. */
static struct ns *time_children(struct session *s, struct ns_set *set, ino_t ino, struct task *k)
{
	struct ns *ns = ns_by_ino(s, ino);

	if (!ns) {
		ns = ns_note_new(s, set, CLONE_NEWTIME, ino, k);
		ns->for_children = true;
	}
	return ns;
}

/* Where its children are born, if not where it is itself: all namespaces with tasks are known by now. */
static int note_children(struct session *s, struct ns_set *set, size_t row, struct task *k)
{
	const char *name = ns_rows[row].bare.name;
	bool pid = ns_rows[row].bare.flag == CLONE_NEWPID;
	ino_t ino, kids;
	struct ns *ns;
	int r = ns_ino(k->proc, name, &ino);

	if (r == 0)
		r = ns_ino(k->proc, ns_rows[row].children, &kids);
	if (set->running && has_ended(k, r))
		return 0;
	if (r < 0)
		return session_fail(s, r, "task %d: read its %s namespace", k->vpid, name);
	if (!ino || kids == ino || (!pid && !kids))
		return 0;
	if (pid && !kids && !set->running) /* unshared, but no child was born there yet */
		ns = ns_note_new(s, set, CLONE_NEWPID, 0, k);
	else if (pid)
		ns = kids ? find_ino(set, &ns_rows[row], kids) : NULL;
	else
		ns = time_children(s, set, kids, k);
	if (ns && !pid) {
		k->ids->has_time_for_children_ns_id = true;
		k->ids->time_for_children_ns_id = ns->id;
	} else if (ns) {
		k->ids->has_pid_for_children_ns_id = true;
		k->ids->pid_for_children_ns_id = ns->id;
	} else if (kids && pid) {
		return obstacle(s,
				"task %d: its children would be born in a pid namespace in which no task of the tree is; end it, or those who hold it from outside",
				k->vpid);
	}
	return 0;
}

/* A thread is made where its process's children are born by then: what that makes later would not be the thread's. */
static int check_births(struct session *s, const struct thread *t)
{
	const TaskKobjIdsEntry *its = t->apart->ids, *leaders = t->task->ids;

	return its->time_for_children_ns_id == leaders->time_for_children_ns_id
		       ? 0
		       : obstacle(s,
				  "task %d: children of thread %d would be born in another time namespace than those of its process; this cannot be checkpointed yet",
				  t->task->vpid, t->vtid);
}

static int note_births(struct session *s, struct ns_set *set, struct task *k)
{
	int bad = 0;

	for (unsigned n = 0; n < k->n_threads; n++) {
		struct task *who = n ? k->threads[n].apart : k;
		int one = 0;

		for (size_t row = 0; who && who->ids && row < NS_KINDS; row++) {
			one = ns_rows[row].children ? note_children(s, set, row, who) : 0;
			bad = bad < 0 ? bad : one;
		}
		one = n && who && who->ids ? check_births(s, &k->threads[n]) : 0;
		bad = bad < 0 ? bad : one;
	}
	return bad;
}

/* Nested pid namespaces have the ids of ns; one whose tasks are all dead gets its own. */
static void note_pidns(struct session *s, struct ns_set *set, struct tree *tree)
{
	for (size_t i = 0; i < tree->n; i++)
		for (struct pidns *p = tree->all[i]->pidns; p; p = p->up) {
			struct ns *ns = find_ino(set, &ns_rows[0], p->ino);

			if (!ns)
				ns = ns_note_new(s, set, CLONE_NEWPID, p->ino, tree->all[i]);
			p->id = ns->id;
		}
}

/* What the root task's namespaces must be like. */
static int check_root(struct session *s, struct ns_set *set, const struct task *root)
{
	int r = 0;

	for (size_t i = 0; i < NS_KINDS; i++) {
		const struct ns *ns = set->root[i];

		if (!ns || !ns->own || ns->external)
			continue;
		if (ns_rows[i].bare.flag == CLONE_NEWPID && root->vpid != 1)
			r = obstacle(s,
				     "task %d: is in another pid namespace but not its first task; dump pid 1 of it, or name the namespace by --external pid[%llu]:LABEL",
				     root->pid, (unsigned long long)ns->ino);
		else if (ns->kind == &ns_rows[i].bare)
			r = obstacle(s,
				     "task %d: has its own %s namespace, which cannot be checkpointed yet",
				     root->vpid, ns_rows[i].bare.name);
	}
	return r;
}

int ns_note(struct session *s, struct tree *tree)
{
	struct ns_set *set = ns_set(s);
	int r, one, bad = 0;

	ns_set_clear(s);
	ids_use(s, NULL);
	r = note_own(s, set);
	for (size_t i = 0; r == 0 && i < tree->n; i++) {
		if (tree->all[i]->state == TASK_DEAD)
			continue;
		one = note_task(s, set, tree->all[i]);
		bad = bad < 0 ? bad : one;
		one = note_threads(s, set, tree->all[i]);
		bad = bad < 0 ? bad : one;
	}
	if (r == 0 && bad == 0)
		note_pidns(s, set, tree);
	for (size_t i = 0; r == 0 && bad == 0 && i < tree->n; i++)
		if (tree->all[i]->state != TASK_DEAD)
			bad = note_births(s, set, tree->all[i]);
	if (r == 0 && bad == 0 && tree->root->ids)
		r = ns_held_note(s, set, tree);
	if (r == 0 && bad == 0)
		bad = check_root(s, set, tree->root);
	if (r == 0 && bad == 0)
		bad = ns_owners_note(s, set, tree);
	if (r == 0 && bad == 0 && tree->root->ids)
		ns_held_users(s, tree->root);
	for (size_t i = 0; r == 0 && bad == 0 && i < NS_KINDS; i++)
		if (set->root[i] && set->root[i]->own && set->root[i]->kind->note)
			r = set->root[i]->kind->note(s, set->root[i]);
	return r < 0 ? r : bad;
}

int ns_preflight_all(struct session *s, struct tree *tree)
{
	struct ns_set *set = ns_set(s);
	int r;

	set->running = true;
	r = ns_note(s, tree);
	set->running = false;
	for (size_t i = 0; i < set->all.n; i++) {
		struct ns *ns = set->all.v[i];
		int one = 0;

		if (ns->own && !ns->external && ns->kind->preflight)
			one = ns->kind->preflight(s, ns);
		r = r < 0 ? r : one;
	}
	return r;
}

void ns_preflight_end(struct session *s)
{
	ns_set_clear(s);
}

struct task *ns_mount_task(struct session *s, uint64_t mnt_id)
{
	struct ns_set *set = ns_set(s);
	const struct ns *ns;

	for (size_t n = 0; !set->mounts_read && (ns = ns_nested(s, CLONE_NEWNS, n)); n++) {
		own_mem char *text = NULL;

		if (text_read(ns->task->proc, "mountinfo", &text, NULL) < 0)
			continue; /* it ended meanwhile */
		for (const char *p = text; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : NULL)
			map_put(&set->mounts, strtoull(p, NULL, 10), ns->task);
	}
	set->mounts_read = true;
	return map_get(&set->mounts, mnt_id);
}

const TaskKobjIdsEntry *ns_own_ids(struct session *s)
{
	return &ns_set(s)->own;
}

/* ---- contents ---- */

/* Those that the root task is not in: the guest goes from one to the other. */
static int dump_nested(struct session *s, uint64_t flag)
{
	struct ns *ns;
	int r = 0;

	for (size_t n = 0; r == 0 && (ns = ns_nested(s, flag, n)); n++) {
		own_mem char *path = xprintf("ns/%s%s", ns->kind->name, ns->for_children ? "_for_children" : "");
		own_fd int fd = ns->task ? session_openat(s, ns->task->proc, path, O_RDONLY, 0)
					 : fcntl(ns->fd, F_DUPFD_CLOEXEC, 3);
		uint64_t t = now_ns();

		if (fd < 0 || setns(fd, flag) < 0)
			return session_fail(s, -errno, "%s namespace %u: enter it", ns->kind->name, ns->id);
		s->log.t0 += now_ns() - t; /* another time namespace's clock */
		if (ns->kind->dump)
			r = ns->kind->dump(s, ns);
	}
	return r;
}

/* mnt last: it leaves the host's files behind. */
static int dump_guest(struct session *s, void *arg)
{
	struct ns_set *set = arg;
	struct ns *mnt = ns_of(s, CLONE_NEWNS);
	uint64_t go;
	int r = 0;

	for (size_t i = 0; r == 0 && i < NS_KINDS; i++) {
		struct ns *ns = set->root[i];

		if (ns && ns != mnt && ns->own && ns->kind->dump)
			r = ns->kind->dump(s, ns);
	}
	for (size_t i = 0; r == 0 && i < NS_KINDS; i++)
		if (!(ns_rows[i].bare.flag & (CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUSER | CLONE_NEWCGROUP)))
			r = dump_nested(s, ns_rows[i].bare.flag);
	if (r < 0 || !mnt || !mnt->own)
		return r;
	if (read(set->go, &go, sizeof(go)) != sizeof(go))
		return session_fail(s, -errno, "mounts: wait for the supervisor");
	return mnt->kind->dump(s, mnt);
}

/* Tasks without an own time namespace: what the clocks showed, so that they can go on from there. */
static int dump_clocks(struct session *s)
{
	struct timespec mono, boot;
	Timespec m = TIMESPEC__INIT, b = TIMESPEC__INIT;
	TimensEntry e = TIMENS_ENTRY__INIT;

	clock_gettime(CLOCK_MONOTONIC, &mono);
	clock_gettime(CLOCK_BOOTTIME, &boot);
	m.tv_sec = mono.tv_sec;
	m.tv_nsec = mono.tv_nsec;
	b.tv_sec = boot.tv_sec;
	b.tv_nsec = boot.tv_nsec;
	e.monotonic = &m;
	e.boottime = &b;
	return image_write_one(s, MAGIC_TIMENS, &e.base, "timens-0.img");
}

/*
 * User is entered last, see task/guest.c. Not mnt: its kind enters that when all others
 * are done, so that no library is ever loaded from the container's files. Not pid: a guest born there would take a
 * number of the container's, and nothing of a pid namespace is seen from inside only.
 */
static int enter_list(struct session *s, struct ns_set *set, int *fds, size_t *ret_n)
{
	static const unsigned order[] = { 1, 2, 3, 4, 7, 6 }; /* rows; mnt enters its own; user the last */
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		struct ns *ns = set->root[order[i]];
		char path[16];

		if (!ns || !ns->own)
			continue;
		snprintf(path, sizeof(path), "ns/%s", ns->kind->name);
		if (ns->fd < 0)
			ns->fd = fd_high(openat(ns->task->proc, path, O_RDONLY | O_CLOEXEC));
		if (ns->fd < 0)
			return session_fail(s, -errno, "task %d: open its %s namespace", ns->task->vpid,
					    ns->kind->name);
		fds[n++] = ns->fd;
	}
	*ret_n = n;
	return 0;
}

int ns_dump_start(struct session *s)
{
	struct ns_set *set = ns_set(s);
	const struct ns *tm = ns_of(s, CLONE_NEWTIME);
	struct guest_where w = { .pidns = -1 };
	int fds[NS_KINDS], r = ns_proc(s);
	bool any = false;

	if (r >= 0)
		r = tm && tm->own ? 0 : dump_clocks(s);
	if (r == 0)
		r = ns_users_dump(s);
	if (r == 0)
		r = enter_list(s, set, fds, &w.n);
	if (r < 0)
		return r;
	for (size_t i = 0; i < NS_KINDS; i++)
		any |= set->root[i] && set->root[i]->own && set->root[i]->kind->dump;
	any |= ns_nested(s, CLONE_NEWTIME, 0) || ns_nested(s, CLONE_NEWUTS, 0) || ns_nested(s, CLONE_NEWIPC, 0) ||
	       ns_nested(s, CLONE_NEWNET, 0);
	w.ns = fds;
	if (ns_is_own(s, CLONE_NEWUSER))
		w.user = fds[--w.n];
	set->go = fd_high(eventfd(0, EFD_CLOEXEC));
	if (set->go < 0)
		return session_fail(s, -errno, "namespaces: make an eventfd");
	return any ? guest_start(s, &set->guest, &w, dump_guest, set) : 0;
}

int ns_dump_go(struct session *s)
{
	uint64_t one = 1;

	return write(ns_set(s)->go, &one, sizeof(one)) < 0
		       ? session_fail(s, -errno, "namespaces: tell the guest")
		       : 0;
}

int ns_dump_wait(struct session *s)
{
	return guest_wait(s, &ns_set(s)->guest);
}
