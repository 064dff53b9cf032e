// SPDX-License-Identifier: Apache-2.0
#include "kind/pstree.h"

#include "base/res.h"
#include "base/text.h"
#include "image/record.h"
#include "images/pstree.pb-c.h"
#include "kind/fd.h"
#include "kind/ns.h"
#include "task/lend.h"
#include "task/note.h"
#include "task/spawn.h"

#include <fcntl.h>
#include <linux/kcmp.h>
#include <string.h>
#include <sys/syscall.h>

#define FIRST_ID 2 /* 1 is the dumper's own */
#define TASKS_MAX 65536
#define THREADS_MAX 32768
#define PID_MAX_LIMIT (4 << 20)

/* ---- dump ---- */

int pstree_note_ids(struct session *s, struct tree *tree)
{
	static const int kinds[] = { KCMP_VM, KCMP_FILES, KCMP_FS, KCMP_SIGHAND };
	own_mem uint32_t *ids = xalloc((tree->n + 1) * 4 * sizeof(*ids));
	int r = 0;

	for (unsigned k = 0; r == 0 && k < 4; k++)
		r = note_shared(s, tree, kinds[k], FIRST_ID, ids + k * tree->n);
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
	return r < 0 ? r : spawn_check(s, tree);
}

static int pstree_put(struct image *img, const struct task *k)
{
	PstreeEntry e = PSTREE_ENTRY__INIT;
	own_mem uint32_t *threads = xalloc((k->n_threads + 1) * sizeof(*threads));

	e.pid = k->vpid;
	e.ppid = k->parent ? k->parent->vpid : 0;
	e.pgid = k->pgid;
	e.sid = k->sid;
	e.n_threads = k->n_threads;
	e.threads = threads;
	for (unsigned i = 0; i < k->n_threads; i++)
		threads[i] = k->state == TASK_DEAD ? 0 : k->threads[i].vtid;
	return image_write(img, &e.base);
}

int pstree_dump(struct session *s, struct tree *tree)
{
	own_image struct image img = { 0 };
	int r = image_create(s, &img, MAGIC_PSTREE, "pstree.img");

	for (size_t i = 0; r == 0 && i < tree->n; i++) {
		const struct task *k = tree->all[i];

		r = pstree_put(&img, k);
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
	return fd_put_path(s, k, fd, link, ret_id);
}

int pstree_dump_fs(struct session *s, struct tree *tree)
{
	for (size_t i = 0; i < tree->n; i++) {
		struct task *k = tree->all[i];
		FsEntry e = FS_ENTRY__INIT;
		own_mem char *status = NULL;
		uint64_t umask_bits;
		int r;

		if (k->state == TASK_DEAD)
			continue;
		r = text_read(k->proc, "status", &status, NULL);
		if (r == 0)
			r = text_u64(status, "Umask:", 8, &umask_bits);
		if (r < 0)
			return session_fail(s, r, "task %d: read its umask", k->vpid);
		e.has_umask = true;
		e.umask = umask_bits;
		r = fs_path(s, k, "cwd", &e.cwd_id);
		if (r == 0)
			r = fs_path(s, k, "root", &e.root_id);
		if (r == 0)
			r = image_write_one(s, MAGIC_FS, &e.base, "fs-%d.img", k->vpid);
		if (r < 0)
			return r;
	}
	return 0;
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
	e.lsmtype = LSMTYPE__NO_LSM;
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
	if (e->has_lsmtype && e->lsmtype != LSMTYPE__NO_LSM)
		return session_fail(s, -ENOTSUP,
				    "inventory.img: made on a host with another security module (%d)",
				    e->lsmtype);
	if (e->has_tcp_close && e->tcp_close && !s->opts->tcp_close)
		return session_fail(s, -EINVAL,
				    "inventory.img: dumped with --tcp-close; restore with --tcp-close too");
	if (e->has_allow_uprobes && e->allow_uprobes)
		return session_fail(s, -ENOTSUP, "inventory.img: dumped with uprobes present");
	return 0;
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
	return 0;
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
		return session_fail(s, -ENOENT, "image pstree.img is missing");
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

/* The task enters its root and working directory by descriptors that it is lent. */
int pstree_restore_fs(struct session *s, struct task *k)
{
	int fds[2] = { -1, -1 }, nums[2] = { -1, -1 };
	struct batch b;
	int r = 0;

	fds[0] = fd_open_reg(s, k->fs->root_id, O_PATH | O_DIRECTORY);
	fds[1] = fds[0] < 0 ? fds[0] : fd_open_reg(s, k->fs->cwd_id, O_PATH | O_DIRECTORY);
	if (fds[1] < 0)
		r = fds[1];
	if (r == 0)
		r = lend_fds(s, task_leader(k), fds, 2, nums);
	if (r == 0) {
		batch_start(s, &b, task_leader(k));
		call1(&b, "root: enter", SYS_fchdir, nums[0]);
		call1(&b, "root: set", SYS_chroot, batch_str(&b, "."));
		call1(&b, "working directory: enter", SYS_fchdir, nums[1]);
		if (k->fs->has_umask)
			call1(&b, NULL, SYS_umask, k->fs->umask & 0777);
		call1(&b, NULL, SYS_close, nums[0]);
		call1(&b, NULL, SYS_close, nums[1]);
		r = batch_run(&b);
	}
	fd_close(fds[0]);
	fd_close(fds[1]);
	return r;
}
