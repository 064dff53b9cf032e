// SPDX-License-Identifier: Apache-2.0
/*
 * verify: `stasis check DIR`: is this checkpoint whole? Every file is read to its end, and every number that
 * stands for something in another file is looked up there. All faults are listed, not the first.
 */
#include "oci/images.h"
#include "oci/people.h"
#include "oci/term.h"

#include "base/list.h"
#include "base/text.h"
#include "image/page.h"
#include "images/cgroup.pb-c.h"
#include "images/fs.pb-c.h"
#include "images/remap-file-path.pb-c.h"
#include "images/seccomp.pb-c.h"
#include "kind/mem.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>

#define FAULTS_MAX 1000

struct check {
	struct look l;
	bool whole; /* pages have their contents */
	struct {
		char **v;
		size_t n, max;
	} faults;
	uint64_t files, records, references;
	struct map memfds, ttys, mounts, cgroups, tids;
	size_t filters;
};

__attribute__((format(printf, 2, 3))) static void fault(struct check *c, const char *fmt, ...)
{
	char text[1200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (c->faults.n < FAULTS_MAX)
		*vec_add(&c->faults) = xstrdup(text);
}

/* what the session said becomes a fault; it goes on */
static void fault_said(struct check *c)
{
	if (c->l.s.why[0])
		fault(c, "%s", c->l.s.why);
	session_forget(&c->l.s);
}

static bool there(struct check *c, const char *fmt, uint64_t id)
{
	char name[64];

	c->references++;
	snprintf(name, sizeof(name), fmt, (unsigned long long)id);
	return faccessat(c->l.dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static const FileEntry *want_file(struct check *c, uint32_t id, const char *who, uint64_t n)
{
	const FileEntry *f = look_file(&c->l, id);

	c->references++;
	if (!f)
		fault(c, "%s %llu: refers to file 0x%x, which files.img does not have", who, (unsigned long long)n, id);
	return f;
}

/* ---- every file by itself ---- */

static void each_file(struct check *c)
{
	int fd = openat(c->l.dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	own_dir DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		const struct image_kind *k = image_kind_of(e->d_name);

		if (!k)
			continue;
		c->files++;
		if (image_verify(&c->l, k, e->d_name, &c->records) < 0)
			fault_said(c);
		if (k->tail == TAIL_MAP) {
			own_mem char *id = xprintf("%.*s", (int)(strlen(e->d_name) - strlen("pagemap-.img")),
						   e->d_name + strlen("pagemap-"));
			struct pages p = { 0 };

			c->references++;
			if (!c->l.s.why[0] && pages_read(&c->l.s, &p, "%s", id) < 0)
				fault_said(c);
			pages_free(&p);
		}
	}
}

/* ---- tables that others refer to ---- */

static void table(struct check *c, struct map *m, struct messages *list, uint32_t magic,
		  const ProtobufCMessageDescriptor *d, const char *name, uint64_t (*key)(const ProtobufCMessage *))
{
	look_list(&c->l, list, magic, d, name);
	session_forget(&c->l.s); /* is a fault already */
	for (size_t i = 0; i < list->n; i++)
		map_put(m, key(list->v[i]), list->v[i]);
}

static uint64_t memfd_key(const ProtobufCMessage *m)
{
	return ((const MemfdInodeEntry *)m)->inode_id;
}
static uint64_t tty_key(const ProtobufCMessage *m)
{
	return ((const TtyInfoEntry *)m)->id;
}

/* ---- references ---- */

static void memory(struct check *c, const struct look_task *t)
{
	uint64_t last = 0;

	for (size_t i = 0; i < t->mm->n_vmas; i++) {
		const VmaEntry *v = t->mm->vmas[i];

		if (v->start >= v->end || (v->start | v->end) % PAGE)
			fault(c, "mm %u: an area from %llx to %llx is impossible", t->e->pid, (unsigned long long)v->start,
			      (unsigned long long)v->end);
		if (v->status & VMA_GUARD)
			continue;
		if (v->start < last)
			fault(c, "mm %u: the area at %llx overlaps another", t->e->pid, (unsigned long long)v->start);
		last = v->end;
		if (v->status & (VMA_FILE_PRIVATE | VMA_FILE_SHARED | VMA_SOCKET))
			want_file(c, v->shmid, "mm", t->e->pid);
		else if ((v->status & VMA_ANON_SHARED) && !(v->status & VMA_SYSVIPC) &&
			 !there(c, "pagemap-shmem-%llu.img", v->shmid))
			fault(c, "mm %u: shared memory %llu has no pagemap-shmem-%llu.img", t->e->pid,
			      (unsigned long long)v->shmid, (unsigned long long)v->shmid);
	}
	want_file(c, t->mm->exe_file_id, "mm", t->e->pid);
}

static void fs(struct check *c, const struct look_task *t)
{
	struct messages list = { 0 };
	char name[64];

	snprintf(name, sizeof(name), "fs-%u.img", t->e->pid);
	look_list(&c->l, &list, MAGIC_FS, &fs_entry__descriptor, name);
	session_forget(&c->l.s);
	if (list.n) {
		want_file(c, ((FsEntry *)list.v[0])->cwd_id, "fs", t->e->pid);
		want_file(c, ((FsEntry *)list.v[0])->root_id, "fs", t->e->pid);
	}
	messages_free(&list);
}

static void descriptors(struct check *c, const struct look_task *t)
{
	struct map seen = { 0 };

	for (size_t i = 0; i < t->fds.n; i++) {
		const FdinfoEntry *d = (FdinfoEntry *)t->fds.v[i];
		/* legacy images keep files by type, in files of their own */
		const FileEntry *f = c->l.files.n ? want_file(c, d->id, "fdinfo of task", t->e->pid) : NULL;

		if (f && f->type != d->type)
			fault(c, "task %u: descriptor %u is said to be of type %u, but file 0x%x is of type %u", t->e->pid,
			      d->fd, d->type, d->id, f->type);
		if (map_get(&seen, d->fd + 1ull))
			fault(c, "task %u: descriptor %u is there twice", t->e->pid, d->fd);
		map_put(&seen, d->fd + 1ull, t->fds.v[i]);
	}
	map_free(&seen);
}

static void filter_of(struct check *c, const struct look_task *t)
{
	const ThreadCoreEntry *th = t->core->thread_core;
	const TaskCoreEntry *tc = t->core->tc;

	if (th && th->has_seccomp_filter && th->has_seccomp_mode && th->seccomp_mode == SECCOMP_MODE__filter) {
		c->references++;
		if (th->seccomp_filter >= c->filters)
			fault(c, "task %u: seccomp filter %u is not in seccomp.img", t->e->pid, th->seccomp_filter);
	}
	if (tc && tc->has_cg_set && c->cgroups.n && tc->cg_set) {
		c->references++;
		if (!map_get(&c->cgroups, tc->cg_set))
			fault(c, "task %u: cgroup set %u is not in cgroup.img", t->e->pid, tc->cg_set);
	}
}

static void task(struct check *c, const struct look_task *t)
{
	uint32_t pid = t->e->pid;
	bool dead = t->core && t->core->tc && t->core->tc->task_state == TASK_DEAD;

	if (!t->e->n_threads && !dead)
		fault(c, "task %u: has no thread", pid);
	for (size_t i = 0; !dead && i < t->e->n_threads; i++) {
		if (map_get(&c->tids, t->e->threads[i]))
			fault(c, "task %u: thread %u is there twice", pid, t->e->threads[i]);
		map_put(&c->tids, t->e->threads[i], (void *)t);
		if (!there(c, "core-%llu.img", t->e->threads[i]))
			fault(c, "task %u: core-%u.img is missing", pid, t->e->threads[i]);
	}
	if (!t->core && !there(c, "core-%llu.img", pid) && !t->e->n_threads)
		fault(c, "task %u: core-%u.img is missing", pid, pid);
	if (!t->core || dead)
		return;
	if (!t->core->tc)
		fault(c, "task %u: core-%u.img says nothing of the task", pid, pid);
	filter_of(c, t);
	if (!t->ids)
		fault(c, "task %u: ids-%u.img is missing", pid, pid);
	if (!t->mm)
		fault(c, "task %u: mm-%u.img is missing", pid, pid);
	if (!there(c, "fs-%llu.img", pid))
		fault(c, "task %u: fs-%u.img is missing", pid, pid);
	if (!there(c, "pagemap-%llu.img", pid))
		fault(c, "task %u: pagemap-%u.img is missing", pid, pid);
	if (t->mm && c->l.files.n)
		memory(c, t);
	if (c->l.files.n)
		fs(c, t);
	descriptors(c, t);
}

static void tree(struct check *c)
{
	struct map pids = { 0 };
	size_t roots = 0;

	for (size_t i = 0; i < c->l.tasks.n; i++) {
		const PstreeEntry *e = c->l.tasks.v[i].e;

		if (map_get(&pids, e->pid))
			fault(c, "pstree: task %u is there twice", e->pid);
		map_put(&pids, e->pid, (void *)e);
	}
	for (size_t i = 0; i < c->l.tasks.n; i++) {
		const PstreeEntry *e = c->l.tasks.v[i].e;

		c->references++;
		if (!e->ppid)
			roots++;
		else if (!map_get(&pids, e->ppid) || e->ppid == e->pid)
			fault(c, "pstree: task %u has a parent %u that is not there", e->pid, e->ppid);
		task(c, &c->l.tasks.v[i]);
	}
	if (!c->l.tasks.n && faccessat(c->l.dir, "pstree.img", F_OK, 0) < 0)
		fault(c, "pstree.img is missing: there are no tasks, perhaps as this is a pre-dump, which holds memory for the dump that builds upon it");
	else if (!roots)
		fault(c, "pstree: there is no first task");
	map_free(&pids);
}

static void file(struct check *c, const FileEntry *f)
{
	if (f->isk && f->isk->proto == IPPROTO_TCP && f->isk->state == 1 && !(c->l.inv->tcp_close) &&
	    !there(c, "tcp-stream-%llx.img", f->isk->ino))
		fault(c, "socket 0x%x: is connected, but tcp-stream-%x.img is missing", f->id, f->isk->ino);
	if (f->memfd && (c->references++, !map_get(&c->memfds, f->memfd->inode_id)))
		fault(c, "memfd 0x%x: inode %u is not in memfd.img", f->id, f->memfd->inode_id);
	if (f->tty && (c->references++, !map_get(&c->ttys, f->tty->tty_info_id)))
		fault(c, "terminal 0x%x: %u is not in tty-info.img", f->id, f->tty->tty_info_id);
	if (f->reg && f->reg->has_mnt_id && f->reg->mnt_id > 0 && c->mounts.n &&
	    (c->references++, !map_get(&c->mounts, f->reg->mnt_id)))
		fault(c, "file 0x%x (%.200s): mount %d is not in mountpoints", f->id, f->reg->name, f->reg->mnt_id);
}

static void remaps(struct check *c)
{
	struct messages list = { 0 };

	look_list(&c->l, &list, MAGIC_REMAP_FPATH, &remap_file_path_entry__descriptor, "remap-fpath.img");
	session_forget(&c->l.s);
	for (size_t i = 0; i < list.n; i++) {
		const RemapFilePathEntry *e = (RemapFilePathEntry *)list.v[i];
		bool old = !e->has_remap_type && (e->remap_id & (1u << 31));
		bool ghost = old || (e->has_remap_type && e->remap_type == REMAP_TYPE__GHOST);
		uint32_t id = old ? e->remap_id & ~(1u << 31) : e->remap_id;

		if (ghost && !there(c, "ghost-file-%llx.img", id))
			fault(c, "deleted file 0x%x: ghost-file-%x.img is missing", e->orig_id, id);
		if (!ghost && (!e->has_remap_type || e->remap_type == REMAP_TYPE__LINKED))
			want_file(c, id, "remap of", e->orig_id);
	}
	messages_free(&list);
}

static void namespaces(struct check *c)
{
	static const struct {
		const char *ns, *image;
	} must[] = { { "mnt", "mountpoints-%llu.img" }, { "uts", "utsns-%llu.img" },
		     { "ipc", "ipcns-var-%llu.img" }, { "net", "netns-%llu.img" }, { "user", "userns-%llu.img" } };

	for (size_t i = 0; i < c->l.n_ns; i++)
		for (size_t k = 0; k < ARRAY_SIZE(must); k++)
			if (!strcmp(must[k].ns, c->l.ns[i].name) && !there(c, must[k].image, c->l.ns[i].id))
				fault(c, "%s namespace %u: its image is missing", c->l.ns[i].name, c->l.ns[i].id);
	for (size_t i = 0; i < c->l.mounts.n; i++) {
		const MntEntry *e = (MntEntry *)c->l.mounts.v[i];

		c->references++;
		if (strcmp(e->mountpoint, "/") && strcmp(e->mountpoint, "./") && !map_get(&c->mounts, e->parent_mnt_id))
			fault(c, "mount %.300s: its parent %u is not there", e->mountpoint, e->parent_mnt_id);
	}
}

static void references(struct check *c)
{
	struct messages memfds = { 0 }, ttys = { 0 }, seccomp = { 0 }, cgroup = { 0 };

	table(c, &c->memfds, &memfds, MAGIC_MEMFD, &memfd_inode_entry__descriptor, "memfd.img", memfd_key);
	table(c, &c->ttys, &ttys, MAGIC_TTY_INFO, &tty_info_entry__descriptor, "tty-info.img", tty_key);
	look_list(&c->l, &seccomp, MAGIC_SECCOMP, &seccomp_entry__descriptor, "seccomp.img");
	if (seccomp.n)
		c->filters = ((SeccompEntry *)seccomp.v[0])->n_seccomp_filters;
	look_list(&c->l, &cgroup, MAGIC_CGROUP, &cgroup_entry__descriptor, "cgroup.img");
	for (size_t i = 0; cgroup.n && i < ((CgroupEntry *)cgroup.v[0])->n_sets; i++) {
		CgSetEntry *s = ((CgroupEntry *)cgroup.v[0])->sets[i];

		map_put(&c->cgroups, s->id, s);
	}
	session_forget(&c->l.s);
	for (size_t i = 0; i < c->l.mounts.n; i++)
		map_put(&c->mounts, ((MntEntry *)c->l.mounts.v[i])->mnt_id, c->l.mounts.v[i]);
	tree(c);
	for (size_t i = 0; i < c->l.files.n; i++)
		file(c, (FileEntry *)c->l.files.v[i]);
	remaps(c);
	namespaces(c);
	messages_free(&memfds);
	messages_free(&ttys);
	messages_free(&seccomp);
	messages_free(&cgroup);
}

static void around(struct check *c)
{
	static const char *const json[] = { "config.dump", "spec.dump" };

	if (c->l.inv->img_version != 1 && c->l.inv->img_version != 2)
		fault(c, "inventory: version %u of the images is not known", c->l.inv->img_version);
	for (size_t i = 0; c->l.top >= 0 && i < ARRAY_SIZE(json); i++) {
		own_json yajl_val v = json_read(c->l.top, json[i]);

		c->files++;
		if (!v)
			fault(c, "%s: %s", json[i], errno == EBADMSG ? "is no JSON" : strerror(errno));
	}
}

/* ---- the answer ---- */

static void answer_json(struct check *c)
{
	yajl_gen g = json_new();
	own_mem char *text = NULL;

	yajl_gen_map_open(g);
	json_put_bool(g, "whole", !c->faults.n);
	json_put_int(g, "files", c->files);
	json_put_int(g, "records", c->records);
	json_put_int(g, "references", c->references);
	json_key(g, "faults");
	yajl_gen_array_open(g);
	for (size_t i = 0; i < c->faults.n; i++)
		json_item(g, c->faults.v[i]);
	yajl_gen_array_close(g);
	yajl_gen_map_close(g);
	text = json_end(g);
	fputs(text, stdout);
}

static int answer(struct check *c, bool as_json)
{
	if (as_json) {
		answer_json(c);
		return c->faults.n > 0;
	}
	for (size_t i = 0; i < c->faults.n; i++) {
		own_mem char *clean = term_clean(c->faults.v[i]);

		printf("%sfault%s  %s\n", tint(stdout, TINT_RED), tint(stdout, TINT_NONE), clean);
	}
	if (c->faults.n) {
		printf("%zu fault%s%s: this checkpoint cannot be restored as it is.\n", c->faults.n,
		       c->faults.n == 1 ? "" : "s", c->faults.n == FAULTS_MAX ? " or more" : "");
		return 1;
	}
	printf("%swhole%s  %llu files, %llu records, %llu references, %zu tasks\n", tint(stdout, TINT_GREEN),
	       tint(stdout, TINT_NONE), (unsigned long long)c->files, (unsigned long long)c->records,
	       (unsigned long long)c->references, c->l.tasks.n);
	return 0;
}

int verify_run(struct people *p)
{
	char why[WHY_MAX] = "";
	struct check c = { 0 };
	int r = look_open(&c.l, p->what, false, why, sizeof(why));

	if (r < 0) {
		r = term_fail("%s", why);
	} else {
		each_file(&c);
		if (look_read(&c.l, why, sizeof(why)) < 0) {
			if (!c.faults.n)
				fault(&c, "%s", why);
		} else {
			around(&c);
			references(&c);
		}
		r = answer(&c, p->json);
	}
	for (size_t i = 0; i < c.faults.n; i++)
		free(c.faults.v[i]);
	free(c.faults.v);
	map_free(&c.memfds);
	map_free(&c.ttys);
	map_free(&c.mounts);
	map_free(&c.cgroups);
	map_free(&c.tids);
	look_close(&c.l);
	return r;
}
