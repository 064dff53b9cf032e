// SPDX-License-Identifier: Apache-2.0
#include "task/note.h"

#include "base/list.h"
#include "base/res.h"
#include "base/text.h"
#include "task/warden.h"

#include <fcntl.h>
#include <linux/kcmp.h>
#include <linux/nsfs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

struct noting {
	struct session *s;
	struct tree *tree;
	unsigned level; /* which number of the NSpid line is the root's own pid namespace */
	bool running;
	struct tracee **rows; /* stopped: the warden's rows by process */
	size_t n_rows;
};

/* The number of a "NSpid:\t31001\t1" line at the root's level; 0 when it is not seen there. */
static pid_t ns_number(const char *status, const char *key, unsigned level)
{
	const char *p = text_after(status, key);
	char *end;
	long v = 0;

	for (unsigned i = 0; p && i <= level; i++) {
		v = strtol(p, &end, 10);
		if (end == p || (*end != '\t' && *end != '\n'))
			return 0;
		p = end;
		if (*p == '\n' && i < level)
			return 0;
	}
	return v;
}

static unsigned ns_levels(const char *status)
{
	const char *p = text_after(status, "NSpid:");
	unsigned n = 0;

	while (p && *p && *p != '\n') {
		n++;
		p = strpbrk(p, "\t\n");
		if (p && *p == '\t')
			p++;
	}
	return n;
}

/* ---- nested pid namespaces ---- */

#define DEPTH_MAX 32 /* the kernel's limit */

/* By a descriptor of it, which is taken; those around it become known too. NULL: the reason is told. */
static struct pidns *pidns_note(struct noting *n, int taken, unsigned depth)
{
	own_fd int fd = taken;
	struct pidns *up = NULL, *p;
	struct stat st;
	int outer;

	if (fstat(fd, &st) < 0)
		return NULL;
	for (p = n->tree->pidns; p; p = p->next)
		if (p->ino == st.st_ino)
			return p;
	if (depth > 1) {
		outer = ioctl(fd, NS_GET_PARENT);
		up = outer < 0 ? NULL : pidns_note(n, fd_high(outer), depth - 1);
		if (!up)
			return NULL;
	}
	p = pidns_add(n->tree, up, 0);
	p->ino = st.st_ino;
	return p;
}

/* Numbers below the root task's level, of a line of status. */
static pid_t *deep_numbers(const struct noting *n, const char *status, const char *key, unsigned depth)
{
	pid_t *deep = xalloc((depth + 1) * sizeof(*deep));

	for (unsigned i = 0; i < depth; i++)
		deep[i] = ns_number(status, key, n->level + 1 + i);
	return deep;
}

static int task_depth_note(struct noting *n, struct task *k, const char *status)
{
	unsigned levels = ns_levels(status), depth = levels - n->level - 1;
	char path[32];
	int fd;

	if (levels <= n->level + 1)
		return 0;
	if (depth > DEPTH_MAX)
		return session_fail(n->s, -EBADMSG, "task %d: its status is not understood", k->vpid);
	snprintf(path, sizeof(path), "/proc/%d/ns/pid", k->pid);
	fd = fd_high(open(path, O_RDONLY | O_CLOEXEC));
	if (fd < 0 && (errno == ENOENT || errno == ESRCH) && n->running)
		return -ESRCH;
	if (fd < 0)
		return session_fail(n->s, -errno, "task %d: open its pid namespace", k->vpid);
	k->pidns = pidns_note(n, fd, depth);
	if (!k->pidns)
		return session_fail(n->s, -errno, "task %d: find the pid namespaces around its own", k->vpid);
	k->deep_pgid = deep_numbers(n, status, "NSpgid:", depth);
	k->deep_sid = deep_numbers(n, status, "NSsid:", depth);
	k->threads[0].deep = deep_numbers(n, status, "NSpid:", depth);
	return 0;
}

static int thread_note(struct noting *n, struct thread *t, pid_t tgid)
{
	own_mem char *status = NULL;
	int r = text_readf(AT_FDCWD, &status, "/proc/%d/task/%d/status", tgid, t->tid);

	if (r < 0)
		return session_fail(n->s, r == -ENOENT ? -ESRCH : r, "task %d: thread %d: read status",
				    tgid, t->tid);
	t->vtid = ns_number(status, "NSpid:", n->level);
	if (!t->vtid && n->running && ns_levels(status) > n->level) /* its numbers are 0 at the end */
		return session_fail(n->s, -ESRCH, "task %d: thread %d: has ended", tgid, t->tid);
	if (!t->vtid)
		return session_fail(n->s, -ENOTSUP,
				    "task %d: thread %d is not in the pid namespace of the root task",
				    tgid, t->tid);
	if (t->task->pidns && !t->deep)
		t->deep = deep_numbers(n, status, "NSpid:", t->task->pidns->depth);
	return 0;
}

static int by_vtid(const void *a, const void *b)
{
	const struct thread *x = a, *y = b;

	return x->vtid < y->vtid ? -1 : x->vtid > y->vtid;
}

static int by_tgid(const void *a, const void *b)
{
	const struct tracee *x = *(struct tracee *const *)a, *y = *(struct tracee *const *)b;

	if (x->tgid != y->tgid)
		return x->tgid < y->tgid ? -1 : 1;
	return x < y ? -1 : x > y;
}

static void rows_sort(struct noting *n, struct trace_table *tt)
{
	n->rows = xalloc((tt->n + 1) * sizeof(*n->rows));
	for (uint32_t i = 0; i < tt->n; i++)
		if (!tt->t[i].zombie && tt->t[i].state != TRACEE_GONE)
			n->rows[n->n_rows++] = &tt->t[i];
	qsort(n->rows, n->n_rows, sizeof(*n->rows), by_tgid);
}

struct found { /* a thread of a process */
	pid_t tid;
	struct tracee *tr;
};
struct threads {
	struct found *v;
	size_t n, max;
};

static void threads_stopped(const struct noting *n, pid_t pid, struct threads *ret)
{
	size_t lo = 0, hi = n->n_rows;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (n->rows[mid]->tgid < pid)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < n->n_rows && n->rows[lo]->tgid == pid; lo++)
		*vec_add(ret) = (struct found){ n->rows[lo]->tid, n->rows[lo] };
}

/* Threads of a process: from the warden's table, or from /proc while it runs. */
static void thread_list(const struct noting *n, pid_t pid, struct threads *ret)
{
	char path[64];
	own_dir DIR *d = NULL;
	struct dirent *e;

	if (!n->running) {
		threads_stopped(n, pid, ret);
		return;
	}
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	d = opendir(path);
	while (d && (e = readdir(d)) && ret->n < TRACE_MAX)
		if (atoi(e->d_name) > 0 && (atoi(e->d_name) == pid || !trace_is_worker(atoi(e->d_name))))
			*vec_add(ret) = (struct found){ atoi(e->d_name), NULL };
}

static int task_numbers(struct noting *n, struct task *k, const char *status)
{
	const char *name = text_after(status, "Name:");
	size_t len = name ? strcspn(name, "\n") : 0;
	int r = 0;

	(void)r;
	k->pgid = ns_number(status, "NSpgid:", n->level);
	k->sid = ns_number(status, "NSsid:", n->level);
	if (len >= sizeof(k->comm))
		len = sizeof(k->comm) - 1;
	memcpy(k->comm, name ? name : "", len);
	return 0;
}

/* Field 38 of stat; it ends a list of fields of which the name, in brackets, may hold anything. */
static void exit_signal_note(struct task *k)
{
	own_mem char *stat = NULL;
	const char *p;

	if (text_readf(AT_FDCWD, &stat, "/proc/%d/stat", k->pid) < 0 || !(p = strrchr(stat, ')')))
		return;
	for (int field = 2; field < 38 && p; field++)
		p = strchr(p + 1, ' ');
	if (p && atoi(p) >= 0)
		k->exit_signal = atoi(p);
}

static int zombie_note(struct noting *n, struct task *parent, pid_t pid, pid_t vpid,
		       const char *status)
{
	struct task *k = task_new(n->tree, parent, pid, vpid, 1);
	own_mem char *stat = NULL;
	char *p;

	k->state = TASK_DEAD;
	k->threads[0].tid = pid;
	k->threads[0].vtid = vpid;
	task_numbers(n, k, status);
	exit_signal_note(k);
	if (task_depth_note(n, k, status) < 0)
		return n->running ? -ESRCH : session_fail(n->s, -ESRCH, "task %d: has been waited for meanwhile", vpid);
	/* the wait status is the last field of stat */
	if (text_readf(AT_FDCWD, &stat, "/proc/%d/stat", pid) == 0 && (p = strrchr(stat, ' ')))
		k->exit_code = atoi(p + 1);
	return 0;
}

static int task_open(struct noting *n, struct task *k)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d", k->pid);
	k->proc = fd_high(open(path, O_PATH | O_DIRECTORY | O_CLOEXEC));
	k->pidfd = fd_high(syscall(SYS_pidfd_open, k->pid, k->leader_dead ? O_EXCL /* PIDFD_THREAD */ : 0));
	if (k->proc < 0 || k->pidfd < 0)
		return session_fail(n->s, errno == ENOENT ? -ESRCH : -errno, "task %d: open /proc/%d",
				    k->vpid, k->pid);
	return 0;
}

/*
 * The main thread has ended, others run: it stands first in the list all the same, with the tracee of the
 * next one, which answers for the process.
 */
static void leader_dead_first(struct threads *list, pid_t pid)
{
	size_t k = 0;

	for (size_t i = 0; i < list->n; i++)
		if (list->v[i].tid != pid)
			list->v[k++] = list->v[i];
	list->n = k;
	if (!k)
		return;
	vec_add(list);
	memmove(list->v + 1, list->v, k * sizeof(*list->v));
	list->v[0] = (struct found){ pid, NULL };
}

static void leader_dead_stand_in(struct task *k)
{
	for (unsigned i = 1; i < k->n_threads; i++)
		if (k->threads[i].tid == k->pid)
			k->threads[0].tr = k->threads[i].tr;
}

static bool others_run(pid_t pid)
{
	char path[64];
	own_dir DIR *d = NULL;
	struct dirent *e;
	bool others = false;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	d = opendir(path);
	while (d && (e = readdir(d)))
		others |= atoi(e->d_name) > 0 && atoi(e->d_name) != pid;
	return others;
}

static int live_note(struct noting *n, struct task *parent, pid_t pid, pid_t vpid,
		     const char *status, bool dead, struct task **ret)
{
	struct threads list = { 0 };
	own_mem struct found *found = NULL;
	unsigned nt;
	struct task *k;
	int r;

	thread_list(n, pid, &list);
	if (dead)
		leader_dead_first(&list, pid);
	found = list.v;
	nt = list.n;
	if (!nt)
		return session_fail(n->s, -ESRCH, "task %d: ended meanwhile", pid);
	k = task_new(n->tree, parent, pid, vpid, nt);
	task_numbers(n, k, status);
	exit_signal_note(k);
	k->leader_dead = dead;
	if (dead)
		k->pid = found[1].tid;
	r = task_open(n, k);
	if (r == 0)
		r = task_depth_note(n, k, status);
	free(k->threads[0].deep); /* not in its place yet */
	k->threads[0].deep = NULL;
	for (unsigned i = 0; r == 0 && i < nt; i++) {
		k->threads[i].tid = found[i].tid;
		k->threads[i].tr = found[i].tr;
		r = thread_note(n, &k->threads[i], pid);
		if (found[i].tid == pid && i) {
			struct thread first = k->threads[0];

			k->threads[0] = k->threads[i];
			k->threads[i] = first;
		}
	}
	if (r == 0 && k->threads[0].tid != pid)
		return session_fail(n->s, n->running ? -ESRCH : -EBADMSG,
				    "task %d: its main thread ended just now", pid);
	if (r == 0)
		qsort(k->threads + 1, nt - 1, sizeof(*k->threads), by_vtid);
	if (r == 0 && dead)
		leader_dead_stand_in(k);
	if (r == 0 && k->threads[0].tr && k->threads[0].tr->group_stop)
		k->state = TASK_STOPPED;
	*ret = k;
	return r;
}

static int note_below(struct noting *n, struct task *parent, pid_t pid, unsigned depth);

static int children_note(struct noting *n, struct task *k, unsigned depth)
{
	char path[64];
	own_dir DIR *d = NULL;
	struct dirent *e;
	int r = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", k->tgid);
	d = opendir(path);
	while (r == 0 && d && (e = readdir(d))) {
		own_mem char *kids = NULL;

		if (atoi(e->d_name) <= 0 ||
		    text_readf(AT_FDCWD, &kids, "/proc/%d/task/%s/children", k->tgid, e->d_name) < 0)
			continue;
		for (char *p = kids, *end; r == 0 && *p; p = end) {
			pid_t kid = strtol(p, &end, 10);

			if (end == p)
				break;
			while (*end == ' ')
				end++;
			r = note_below(n, k, kid, depth + 1);
		}
	}
	return r;
}

static int note_below(struct noting *n, struct task *parent, pid_t pid, unsigned depth)
{
	own_mem char *status = NULL;
	struct task *k = NULL;
	const char *state;
	bool dead;
	pid_t vpid;
	int r = text_readf(AT_FDCWD, &status, "/proc/%d/status", pid);

	if (r == -ENOENT && n->running && parent)
		return 0;
	if (r < 0)
		return session_fail(n->s, r == -ENOENT ? -ESRCH : r, "task %d: read its status", pid);
	if (depth > 8192)
		return session_fail(n->s, -E2BIG, "task %d: the tree is too deep", pid);
	if (!parent)
		n->level = ns_levels(status) - 1;
	vpid = ns_number(status, "NSpid:", n->level);
	state = text_after(status, "State:");
	if (n->running && parent && !vpid)
		return 0; /* it was reaped while we looked: it has no numbers any more */
	if (!vpid || !state)
		return session_fail(n->s, -EBADMSG, "task %d: its status is not understood", pid);
	dead = *state == 'Z' || *state == 'X';
	if (dead && !others_run(pid))
		return parent ? zombie_note(n, parent, pid, vpid, status)
			      : session_fail(n->s, -ESRCH, "task %d: has already ended", pid);
	r = live_note(n, parent, pid, vpid, status, dead, &k);
	return r < 0 ? r : children_note(n, k, depth);
}

int note_tree(struct session *s, struct tree *tree, pid_t root)
{
	struct noting n = { .s = s, .tree = tree };
	int r;

	rows_sort(&n, warden_table(s));
	r = note_below(&n, NULL, root, 0);
	free(n.rows);
	return r;
}

int note_running(struct session *s, struct tree *tree, pid_t root)
{
	struct noting n = { .s = s, .tree = tree, .running = true };

	return note_below(&n, NULL, root, 0);
}

int note_shared(struct session *s, const pid_t *pids, size_t n, int type, uint32_t first, uint32_t *ids)
{
	own_mem size_t *sorted = xalloc((n + 1) * sizeof(*sorted));
	size_t known = 0;

	/* kcmp() orders objects, so each is found among those known by bisection */
	for (size_t i = 0; i < n; i++) {
		size_t lo = 0, hi = known;
		bool same = false;

		ids[i] = 0;
		if (!pids[i])
			continue;
		while (lo < hi && !same) {
			size_t mid = lo + (hi - lo) / 2;
			long r = syscall(SYS_kcmp, pids[i], pids[sorted[mid]], type, 0, 0);

			if (r < 0)
				return session_fail(s, -errno, "task %d: compare with task %d", pids[i], pids[sorted[mid]]);
			if (r == 0) {
				ids[i] = ids[sorted[mid]];
				same = true;
			} else if (r == 1) {
				hi = mid;
			} else {
				lo = mid + 1;
			}
		}
		if (same)
			continue;
		memmove(sorted + lo + 1, sorted + lo, (known - lo) * sizeof(*sorted));
		sorted[lo] = i;
		ids[i] = first + known++;
	}
	return 0;
}

int note_apart(struct thread *t)
{
	struct task *a = t->apart;
	char path[32];

	if (a)
		return 0;
	t->apart = a = xmemdup(t->task, sizeof(*a));
	a->view = t;
	a->pid = t->tid;
	a->leader_dead = false;
	a->ids = xmemdup(t->task->ids, sizeof(*a->ids));
	snprintf(path, sizeof(path), "/proc/%d", t->tid);
	a->proc = fd_high(open(path, O_PATH | O_DIRECTORY | O_CLOEXEC));
	a->pidfd = fd_high(syscall(SYS_pidfd_open, t->tid, O_EXCL /* PIDFD_THREAD, Linux 6.9 */));
	return a->proc < 0 || a->pidfd < 0 ? -errno : 0;
}
