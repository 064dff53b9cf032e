// SPDX-License-Identifier: Apache-2.0
#include "kind/pstree.h"

#include "base/list.h"
#include "base/res.h"
#include "base/text.h"
#include "image/record.h"
#include "images/pstree.pb-c.h"
#include "kind/fd.h"
#include "kind/lsm.h"
#include "kind/ns.h"
#include "task/lend.h"
#include "task/note.h"
#include "task/spawn.h"

#include <fcntl.h>
#include <linux/kcmp.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define FIRST_ID 2 /* 1 is the dumper's own */
#define TASKS_MAX 65536
#define THREADS_MAX 32768
#define PID_MAX_LIMIT (4 << 20)

/* ---- dump ---- */

static bool kcmp_same(pid_t a, pid_t b, int type)
{
	return syscall(SYS_kcmp, a, b, type, 0, 0) == 0;
}

struct odd { /* threads that do not have what their process has */
	struct thread **v;
	size_t n, max;
};

/* From a table of its process a thread can only be born, in that process. */
static int odd_shared_outside(struct session *s, const struct tree *tree, const struct thread *t, const struct odd *odd,
			      const uint32_t *ids, size_t at, int type)
{
	const char *what = type == KCMP_FILES ? "descriptors" : "working directory";
	const struct task *with = NULL;

	for (size_t i = 0; i < at && !with; i++)
		if (ids[i] == ids[at] && odd->v[i]->task == t->task)
			return 0; /* it has been looked at */
		else if (ids[i] == ids[at])
			with = odd->v[i]->task;
	for (size_t i = 0; i < tree->n && !with; i++)
		if (tree->all[i]->state != TASK_DEAD && kcmp_same(t->tid, tree->all[i]->pid, type))
			with = tree->all[i];
	return !with ? 0
		     : session_fail(s, -ENOTSUP,
				    "task %d: thread %d shares its %s with task %d, but not with its own process, which cannot be checkpointed yet; end one of them first",
				    t->task->vpid, t->vtid, what, with->vpid);
}

/* Who shares with whom among them; ids of theirs follow those of the tasks. */
static int odd_note(struct session *s, const struct tree *tree, const struct odd *odd, int type)
{
	own_mem pid_t *pids = xalloc((odd->n + 1) * sizeof(*pids));
	own_mem uint32_t *ids = xalloc((odd->n + 1) * sizeof(*ids));
	int r;

	for (size_t i = 0; i < odd->n; i++)
		pids[i] = odd->v[i]->tid;
	r = note_shared(s, pids, odd->n, type, FIRST_ID + tree->n, ids);
	for (size_t i = 0; r == 0 && i < odd->n; i++) {
		struct thread *t = odd->v[i];

		r = odd_shared_outside(s, tree, t, odd, ids, i, type);
		if (r < 0)
			return r;
		r = note_apart(t);
		if (r < 0)
			return session_fail(s, r, "task %d: thread %d has descriptors or directories of its own; open it",
					    t->task->vpid, t->vtid);
		if (type == KCMP_FILES)
			t->files_id = t->apart->ids->files_id = ids[i];
		else
			t->fs_id = t->apart->ids->fs_id = ids[i];
	}
	return r;
}

static int note_odd(struct session *s, const struct tree *tree, int type)
{
	struct odd odd = { 0 };
	int r;

	for (size_t i = 0; i < tree->n; i++) {
		struct task *k = tree->all[i];

		for (unsigned n = 1; n < k->n_threads; n++)
			if (!kcmp_same(k->pid, k->threads[n].tid, type))
				*vec_add(&odd) = &k->threads[n];
	}
	r = odd_note(s, tree, &odd, type);
	free(odd.v);
	return r;
}

/* One that has nothing: a child of ours that has ended. We may have an I/O context, if called by ionice(1). */
static pid_t bare_task(void)
{
	siginfo_t si;
	pid_t pid = vfork();

	if (pid == 0)
		_exit(0);
	if (pid > 0)
		waitid(P_PID, pid, &si, WEXITED | WNOWAIT);
	return pid;
}

/* Ids of those that tasks share. A thread gets none again that it has in common with anybody: reported. */
static int io_shared(struct session *s, const struct odd *has, const uint32_t *ids)
{
	struct map first = { 0 };

	for (size_t i = 0; i < has->n; i++) {
		struct thread *t = has->v[i], *with = map_get(&first, ids[i]);

		if (!with) {
			map_put(&first, ids[i], t);
			continue;
		}
		if (t != task_leader(t->task) || with != task_leader(with->task))
			session_warn(s, "threads %d and %d share an I/O context (CLONE_IO); each gets its own: a priority that one sets is no longer the other's",
				     with->vtid, t->vtid);
		t->task->ids->has_io_id = with->task->ids->has_io_id = true;
		t->task->ids->io_id = with->task->ids->io_id = ids[i];
	}
	map_free(&first);
	return 0;
}

static int note_io(struct session *s, const struct tree *tree, pid_t bare)
{
	struct odd has = { 0 }; /* leaders come before the other threads */
	own_mem pid_t *pids = NULL;
	own_mem uint32_t *ids = NULL;
	int r;

	for (int others = 0; others < 2; others++)
		for (size_t i = 0; i < tree->n; i++) {
			struct task *k = tree->all[i];
			unsigned end = k->state == TASK_DEAD ? 0 : others ? k->n_threads : 1;

			for (unsigned n = others; n < end; n++)
				if (!kcmp_same(bare, n ? k->threads[n].tid : k->pid, KCMP_IO))
					*vec_add(&has) = &k->threads[n];
		}
	pids = xalloc((has.n + 1) * sizeof(*pids));
	ids = xalloc((has.n + 1) * sizeof(*ids));
	for (size_t i = 0; i < has.n; i++)
		pids[i] = has.v[i] == task_leader(has.v[i]->task) ? has.v[i]->task->pid : has.v[i]->tid;
	r = note_shared(s, pids, has.n, KCMP_IO, FIRST_ID, ids);
	if (r == 0)
		r = io_shared(s, &has, ids);
	free(has.v);
	return r;
}

static int note_undo(struct session *s, const struct tree *tree, pid_t bare)
{
	own_mem pid_t *have = xalloc((tree->n + 1) * sizeof(*have));
	own_mem uint32_t *ids = xalloc((tree->n + 1) * sizeof(*ids));
	int r;

	for (size_t i = 0; i < tree->n; i++) {
		const struct task *k = tree->all[i];

		have[i] = k->state == TASK_DEAD || kcmp_same(bare, k->pid, KCMP_SYSVSEM) ? 0 : k->pid;
	}
	r = note_shared(s, have, tree->n, KCMP_SYSVSEM, FIRST_ID, ids);
	for (size_t i = 0; r == 0 && i < tree->n; i++)
		if (ids[i]) {
			tree->all[i]->ids->has_sysvsem_id = true;
			tree->all[i]->ids->sysvsem_id = ids[i];
		}
	return r;
}

/*
 * What a task has only when it was needed: ids are 0 for who has none, as a fresh process does: lists of
 * adjustments of semaphores, block I/O contexts.
 */
static int note_lazy(struct session *s, const struct tree *tree)
{
	pid_t bare = bare_task();
	int r;

	if (bare < 0)
		return session_fail(s, -errno, "tasks: make one to compare with");
	r = note_undo(s, tree, bare);
	if (r == 0)
		r = note_io(s, tree, bare);
	waitpid(bare, NULL, 0);
	return r;
}

int pstree_note_ids(struct session *s, struct tree *tree)
{
	static const int kinds[] = { KCMP_VM, KCMP_FILES, KCMP_FS, KCMP_SIGHAND };
	own_mem uint32_t *ids = xalloc((tree->n + 1) * 4 * sizeof(*ids));
	own_mem pid_t *pids = xalloc((tree->n + 1) * sizeof(*pids));
	int r = 0;

	for (size_t i = 0; i < tree->n; i++)
		pids[i] = tree->all[i]->state == TASK_DEAD ? 0 : tree->all[i]->pid;
	for (unsigned k = 0; r == 0 && k < 4; k++)
		r = note_shared(s, pids, tree->n, kinds[k], FIRST_ID, ids + k * tree->n);
	for (size_t i = 0; r == 0 && i < tree->n; i++) {
		struct task *t = tree->all[i];

		if (t->state == TASK_DEAD)
			continue;
		if (!t->ids) {
			t->ids = xalloc(sizeof(*t->ids));
			task_kobj_ids_entry__init(t->ids);
		}
		t->ids->vm_id = ids[i];
		t->ids->files_id = ids[tree->n + i];
		t->ids->fs_id = ids[2 * tree->n + i];
		t->ids->sighand_id = ids[3 * tree->n + i];
	}
	if (r == 0)
		r = note_lazy(s, tree);
	if (r == 0)
		r = note_odd(s, tree, KCMP_FILES);
	if (r == 0)
		r = note_odd(s, tree, KCMP_FS);
	return r < 0 ? r : spawn_check(s, tree);
}

/* Numbers in nested pid namespaces; those of group and session only where no task of the tree tells them. */
static void pstree_inner(const struct tree *tree, const struct task *k, PstreeEntry *e)
{
	unsigned depth = k->pidns->depth;
	const struct pidns *p = k->pidns;

	e->n_inner_ns = depth;
	e->inner_ns = xalloc(depth * sizeof(uint32_t));
	for (unsigned i = depth; i-- > 0; p = p->up)
		e->inner_ns[i] = p->id;
	e->n_inner = (size_t)depth * k->n_threads;
	e->inner = xalloc(e->n_inner * sizeof(uint32_t));
	for (unsigned i = 0; i < k->n_threads; i++)
		for (unsigned d = 0; d < depth; d++)
			e->inner[i * depth + d] = k->threads[i].deep[d];
	if (k->pgid && !task_find(tree, k->pgid)) {
		e->n_inner_group = depth;
		e->inner_group = (uint32_t *)k->deep_pgid;
	}
	if (k->sid && !task_find(tree, k->sid)) {
		e->n_inner_session = depth;
		e->inner_session = (uint32_t *)k->deep_sid;
	}
}

static int pstree_put(const struct tree *tree, struct image *img, const struct task *k)
{
	PstreeEntry e = PSTREE_ENTRY__INIT;
	own_mem uint32_t *threads = xalloc((k->n_threads + 1) * sizeof(*threads));
	int r;

	e.pid = k->vpid;
	e.ppid = k->parent ? k->parent->vpid : 0;
	e.pgid = k->pgid;
	e.sid = k->sid;
	e.n_threads = k->n_threads;
	e.threads = threads;
	for (unsigned i = 0; i < k->n_threads; i++)
		threads[i] = k->state == TASK_DEAD ? 0 : k->threads[i].vtid;
	if (k->pidns)
		pstree_inner(tree, k, &e);
	r = image_write(img, &e.base);
	free(e.inner);
	free(e.inner_ns);
	return r;
}

int pstree_dump(struct session *s, struct tree *tree)
{
	own_image struct image img = { 0 };
	int r = image_create(s, &img, MAGIC_PSTREE, "pstree.img");

	for (size_t i = 0; r == 0 && i < tree->n; i++) {
		const struct task *k = tree->all[i];

		r = pstree_put(tree, &img, k);
		if (r == 0 && k->state != TASK_DEAD)
			r = image_write_one(s, MAGIC_IDS, &k->ids->base, "ids-%d.img", k->vpid);
	}
	return r < 0 ? r : image_close(&img);
}

static int fs_path(struct session *s, struct task *k, const char *name, uint32_t *ret_id)
{
	own_mem char *link = NULL;
	own_fd int fd = fd_high(openat(k->proc, name, O_PATH | O_DIRECTORY | O_CLOEXEC));
	int r = fd < 0 ? -errno : text_readlink(k->proc, name, &link);

	if (r < 0)
		return session_fail(s, r, "task %d: find its %s", k->vpid, name);
	return fd_put_path(s, k, fd, link, NULL, ret_id);
}

/* k may be a thread's view; its image bears the number of that thread */
static int fs_dump(struct session *s, struct task *k, pid_t number)
{
	FsEntry e = FS_ENTRY__INIT;
	own_mem char *status = NULL;
	uint64_t umask_bits;
	int r = text_read(k->proc, "status", &status, NULL);

	if (r == 0)
		r = text_u64(status, "Umask:", 8, &umask_bits);
	if (r < 0)
		return session_fail(s, r, "task %d: read its umask", k->vpid);
	e.has_umask = true;
	e.umask = umask_bits;
	r = fs_path(s, k, "cwd", &e.cwd_id);
	if (r == 0)
		r = fs_path(s, k, "root", &e.root_id);
	return r < 0 ? r : image_write_one(s, MAGIC_FS, &e.base, "fs-%d.img", number);
}

int pstree_dump_fs(struct session *s, struct tree *tree)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < tree->n; i++) {
		struct task *k = tree->all[i];

		if (k->state == TASK_DEAD)
			continue;
		r = fs_dump(s, k, k->vpid);
		for (unsigned n = 1; r == 0 && n < k->n_threads; n++)
			if (k->threads[n].fs_id)
				r = fs_dump(s, k->threads[n].apart, k->threads[n].vtid);
	}
	return r;
}

int inventory_dump(struct session *s)
{
	InventoryEntry e = INVENTORY_ENTRY__INIT;
	PluginsEntry plugins = PLUGINS_ENTRY__INIT;
	TaskKobjIdsEntry ids = *ns_own_ids(s);

	ids.vm_id = ids.files_id = ids.fs_id = ids.sighand_id = 1;
	e.img_version = 2;
	e.has_fdinfo_per_id = e.fdinfo_per_id = true;
	e.root_ids = &ids;
	e.has_ns_per_id = e.ns_per_id = true;
	e.has_root_cg_set = true;
	e.root_cg_set = 1; /* tasks stay in the restorer's cgroups */
	e.has_lsmtype = true;
	e.lsmtype = lsm_here();
	e.plugins_entry = &plugins;
	e.dump_criu_run_id = s->run_id;
	e.has_network_lock_method = true;
	e.network_lock_method = 2; /* skip: our lock is gone when the dump ends */
	if (s->opts->has_tcp_close && s->opts->tcp_close)
		e.has_tcp_close = e.tcp_close = true;
	return image_write_one(s, MAGIC_INVENTORY, &e.base, "inventory.img");
}

/* ---- restore ---- */

int inventory_read(struct session *s, InventoryEntry **ret)
{
	InventoryEntry *e;
	int r = image_read_one(s, MAGIC_INVENTORY, &inventory_entry__descriptor,
			       (ProtobufCMessage **)&e, "inventory.img");

	if (r < 0)
		return r;
	*ret = e;
	if (e->img_version != 2)
		return session_fail(s, -ENOTSUP, "inventory.img: image version %u is not known",
				    e->img_version);
	if (!e->fdinfo_per_id || !e->root_ids || (e->has_root_cg_set && !e->root_cg_set))
		return session_fail(s, -EBADMSG,
				    "inventory.img: made by a version that is too old, or damaged");
	if (e->plugins_entry && e->plugins_entry->n_plugins)
		return session_fail(s, -ENOTSUP, "inventory.img: needs plugin %s, which is not there",
				    e->plugins_entry->plugins[0]);
	if (e->has_tcp_close && e->tcp_close && !s->opts->tcp_close)
		return session_fail(s, -EINVAL,
				    "inventory.img: dumped with --tcp-close; restore with --tcp-close too");
	if (e->has_allow_uprobes && e->allow_uprobes)
		return session_fail(s, -ENOTSUP, "inventory.img: dumped with uprobes present");
	return lsm_check(s, e->has_lsmtype ? e->lsmtype : LSMTYPE__NO_LSM);
}

static struct pidns *pidns_find(const struct tree *tree, uint32_t id)
{
	for (struct pidns *p = tree->pidns; p; p = p->next)
		if (p->id == id)
			return p;
	return NULL;
}

static bool inner_numbers(size_t n, const uint32_t *v)
{
	for (size_t i = 0; i < n; i++)
		if (!v[i] || v[i] > PID_MAX_LIMIT)
			return false;
	return true;
}

/* A namespace that was not seen yet begins with its first task, pid 1 of it. */
static struct pidns *pidns_read(struct tree *tree, struct task *k, const PstreeEntry *e)
{
	struct pidns *up = NULL, *p;

	for (size_t i = 0; i < e->n_inner_ns; i++) {
		p = pidns_find(tree, e->inner_ns[i]);
		if (!p) {
			if (i + 1 < e->n_inner_ns || e->inner[i] != 1 || !e->inner_ns[i])
				return NULL;
			p = pidns_add(tree, up, e->inner_ns[i]);
			p->init = k;
		} else if (p->up != up || (i + 1 == e->n_inner_ns && e->inner[i] == 1)) {
			return NULL;
		}
		up = p;
	}
	return up;
}

/* Numbers are unique in each namespace: else there would be two tasks that cannot both be born. */
static int pstree_inner_read(struct session *s, struct tree *tree, struct task *k, const PstreeEntry *e)
{
	size_t depth = e->n_inner_ns;

	if (!depth)
		return 0;
	if (depth > 32 || e->n_inner != depth * k->n_threads || !inner_numbers(e->n_inner, e->inner) ||
	    (e->n_inner_group && e->n_inner_group != depth) || (e->n_inner_session && e->n_inner_session != depth) ||
	    !k->parent || !(k->pidns = pidns_read(tree, k, e)))
		return session_fail(s, -EBADMSG, "pstree.img: the pid namespaces of task %u do not fit", e->pid);
	for (unsigned i = 0; i < k->n_threads; i++)
		k->threads[i].deep = xmemdup(e->inner + i * depth, depth * sizeof(pid_t));
	if (e->n_inner_group)
		k->deep_pgid = xmemdup(e->inner_group, depth * sizeof(pid_t));
	if (e->n_inner_session)
		k->deep_sid = xmemdup(e->inner_session, depth * sizeof(pid_t));
	return pidns_sees(k->parent->pidns, k->pidns)
		       ? 0
		       : session_fail(s, -EBADMSG, "pstree.img: task %u is in a pid namespace that its parent %u cannot see",
				      e->pid, e->ppid);
}

static int pstree_add(struct session *s, struct tree *tree, const PstreeEntry *e)
{
	struct task *parent = NULL, *k;

	if (!e->pid || e->pid > PID_MAX_LIMIT || !e->n_threads || e->n_threads > THREADS_MAX ||
	    tree->n >= TASKS_MAX || e->pgid > PID_MAX_LIMIT || e->sid > PID_MAX_LIMIT)
		return session_fail(s, -EBADMSG, "pstree.img: task %u is out of range", e->pid);
	if (task_find(tree, e->pid))
		return session_fail(s, -EBADMSG, "pstree.img: task %u stands there twice", e->pid);
	if (e->ppid) {
		parent = task_find(tree, e->ppid);
		if (!parent || parent->state == TASK_DEAD)
			return session_fail(s, -EBADMSG, "pstree.img: task %u has no parent %u before it",
					    e->pid, e->ppid);
	} else if (tree->root) {
		return session_fail(s, -EBADMSG, "pstree.img: tasks %d and %u are both roots",
				    tree->root->vpid, e->pid);
	}
	k = task_new(tree, parent, -1, e->pid, e->n_threads);
	k->pgid = e->pgid;
	k->sid = e->sid;
	for (size_t i = 0; i < e->n_threads; i++) {
		if (e->threads[i] > PID_MAX_LIMIT)
			return session_fail(s, -EBADMSG, "pstree.img: thread %u is out of range",
					    e->threads[i]);
		k->threads[i].vtid = e->threads[i];
		k->threads[i].tid = -1;
	}
	if (!e->threads[0]) {
		k->state = TASK_DEAD;
		k->threads[0].vtid = e->pid;
		if (e->n_threads != 1)
			return session_fail(s, -EBADMSG, "pstree.img: zombie %u has threads", e->pid);
	}
	return pstree_inner_read(s, tree, k, e);
}

static int pstree_read_task(struct session *s, struct task *k)
{
	int r;

	if (k->state == TASK_DEAD)
		return 0;
	r = image_read_one(s, MAGIC_IDS, &task_kobj_ids_entry__descriptor,
			   (ProtobufCMessage **)&k->ids, "ids-%d.img", k->vpid);
	if (r == 0)
		r = image_read_one(s, MAGIC_FS, &fs_entry__descriptor, (ProtobufCMessage **)&k->fs,
				   "fs-%d.img", k->vpid);
	return r;
}

int pstree_read(struct session *s, struct tree *tree)
{
	own_image struct image img = { 0 };
	ProtobufCMessage *m;
	int r = image_open(s, &img, MAGIC_PSTREE, "pstree.img");

	if (r == 1)
		return session_fail(s, -EBADMSG, "image pstree.img: is missing; is this the directory of a checkpoint?");
	while (r == 0 && (r = image_read(&img, &pstree_entry__descriptor, &m)) == 1) {
		r = pstree_add(s, tree, (PstreeEntry *)m);
		protobuf_c_message_free_unpacked(m, NULL);
	}
	if (r == 0 && (!tree->root || tree->root->state == TASK_DEAD))
		r = session_fail(s, -EBADMSG, "pstree.img: holds no living root task");
	for (size_t i = 0; r == 0 && i < tree->n; i++)
		r = pstree_read_task(s, tree->all[i]);
	return r;
}

/* Where tasks are born they have our root; CAP_SYS_CHROOT is needed for another only. */
static bool is_our_root(int fd)
{
	struct statx a, b;

	return statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_MNT_ID, &a) == 0 &&
	       statx(AT_FDCWD, "/", 0, STATX_INO | STATX_MNT_ID, &b) == 0 && a.stx_ino == b.stx_ino &&
	       a.stx_mnt_id == b.stx_mnt_id && a.stx_dev_major == b.stx_dev_major && a.stx_dev_minor == b.stx_dev_minor;
}

/* A thread enters its root and working directory by descriptors that it is lent. */
static int thread_restore_fs(struct session *s, struct thread *t, const FsEntry *fs)
{
	int fds[2] = { -1, -1 }, nums[2] = { -1, -1 };
	struct batch b;
	int r = 0;

	fds[0] = fd_open_reg(s, fs->root_id, O_PATH | O_DIRECTORY);
	fds[1] = fds[0] < 0 ? fds[0] : fd_open_reg(s, fs->cwd_id, O_PATH | O_DIRECTORY);
	if (fds[1] < 0)
		r = fds[1];
	if (r == 0)
		r = lend_fds(s, t, fds, 2, nums);
	if (r == 0) {
		batch_start(s, &b, t);
		if (!is_our_root(fds[0])) {
			call1(&b, "root: enter", SYS_fchdir, nums[0]);
			call1(&b, "root: set", SYS_chroot, batch_str(&b, "."));
		}
		call1(&b, "working directory: enter", SYS_fchdir, nums[1]);
		if (fs->has_umask)
			call1(&b, NULL, SYS_umask, fs->umask & 0777);
		call1(&b, NULL, SYS_close, nums[0]);
		call1(&b, NULL, SYS_close, nums[1]);
		r = batch_run(&b);
	}
	fd_close(fds[0]);
	fd_close(fds[1]);
	return r;
}

int pstree_restore_fs(struct session *s, struct task *k)
{
	int r = thread_restore_fs(s, task_leader(k), k->fs);

	for (unsigned n = 1; r == 0 && n < k->n_threads; n++)
		if (k->threads[n].fs_id)
			r = thread_restore_fs(s, &k->threads[n], k->threads[n].fs);
	return r;
}
