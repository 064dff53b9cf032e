// SPDX-License-Identifier: Apache-2.0
#include "oci/inspect.h"

#include "base/list.h"
#include "base/text.h"
#include "image/page.h"
#include "oci/archive.h"
#include "oci/bundle.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define RECORDS_MAX 4000000
#define ARGS_MAX 4096

void messages_free(struct messages *list)
{
	for (size_t i = 0; i < list->n; i++)
		protobuf_c_message_free_unpacked(list->v[i], NULL);
	free(list->v);
	memset(list, 0, sizeof(*list));
}

int look_list(struct look *l, struct messages *list, uint32_t magic, const ProtobufCMessageDescriptor *d,
	      const char *name)
{
	own_image struct image img = { 0 };
	ProtobufCMessage *m;
	int r = image_open(&l->s, &img, magic, "%s", name);

	if (r != 0)
		return r;
	while ((r = image_read(&img, d, &m)) > 0) {
		*vec_add(list) = m;
		if (list->n > RECORDS_MAX)
			return session_fail(&l->s, -E2BIG, "image %s: holds too many records", name);
	}
	return r;
}

/* the only record of an image; NULL if there is none, or no such image */
static void *one(struct look *l, uint32_t magic, const ProtobufCMessageDescriptor *d, const char *fmt, uint32_t id)
{
	struct messages list = { 0 };
	char name[64];
	void *m = NULL;

	snprintf(name, sizeof(name), fmt, id);
	if (look_list(l, &list, magic, d, name) == 0 && list.n) {
		m = list.v[0];
		list.v[0] = list.v[--list.n];
	}
	session_forget(&l->s);
	messages_free(&list);
	return m;
}

const FileEntry *look_file(const struct look *l, uint32_t id)
{
	return map_get(&l->file_by_id, id);
}

const char *look_comm(const struct look_task *t)
{
	return t->core && t->core->tc ? t->core->tc->comm : "?";
}

/* ---- where the images are ---- */

static int open_dir(int at, const char *path)
{
	return fd_high(openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static int unpack(struct look *l, const char *path, bool contents, char *why, size_t n)
{
	const char *tmp = getenv("TMPDIR");
	int r;

	l->tmp = xprintf("%s/stasis-XXXXXX", tmp && *tmp ? tmp : "/var/tmp");
	if (!mkdtemp(l->tmp)) {
		snprintf(why, n, "directory %s: %s", l->tmp, strerror(errno));
		free(l->tmp);
		l->tmp = NULL;
		return -EIO;
	}
	l->top = open_dir(AT_FDCWD, l->tmp);
	r = l->top < 0 ? -errno : archive_unpack(path, l->top, contents, why, n);
	if (r == 0)
		l->dir = open_dir(l->top, "checkpoint");
	if (r == 0 && l->dir < 0) {
		snprintf(why, n, "archive %.300s: holds no checkpoint/: is it one?", path);
		r = -ENOENT;
	}
	return r;
}

int look_open(struct look *l, const char *path, bool contents, char *why, size_t n)
{
	struct stat st;
	int r = 0, images;

	memset(l, 0, sizeof(*l));
	l->top = l->dir = -1;
	criu_opts__init(&l->opts);
	if (stat(path, &st) < 0) {
		snprintf(why, n, "%.300s: %s", path, strerror(errno));
		r = -errno;
	} else if (!S_ISDIR(st.st_mode)) {
		r = unpack(l, path, contents, why, n);
	} else {
		l->dir = open_dir(AT_FDCWD, path);
		/* an archive that somebody has unpacked */
		if (l->dir >= 0 && faccessat(l->dir, "inventory.img", F_OK, 0) < 0 &&
		    (images = open_dir(l->dir, "checkpoint")) >= 0) {
			l->top = l->dir;
			l->dir = images;
		}
		if (l->dir < 0) {
			snprintf(why, n, "%.300s: %s", path, strerror(errno));
			r = -errno;
		}
	}
	session_init(&l->s, &l->opts, l->dir, l->dir);
	log_open(&l->s.log, -1, LOG_ERROR);
	if (r == 0 && faccessat(l->dir, "inventory.img", F_OK, 0) < 0) {
		snprintf(why, n, "%.300s: has no inventory.img: it is no checkpoint, or one that was not finished", path);
		r = -ENOENT;
	}
	return r;
}

void look_close(struct look *l)
{
	for (size_t i = 0; i < l->tasks.n; i++) {
		struct look_task *t = &l->tasks.v[i];

		if (t->core)
			core_entry__free_unpacked(t->core, NULL);
		if (t->ids)
			task_kobj_ids_entry__free_unpacked(t->ids, NULL);
		if (t->mm)
			mm_entry__free_unpacked(t->mm, NULL);
		messages_free(&t->fds);
		free(t->args);
	}
	free(l->tasks.v);
	messages_free(&l->pstree);
	messages_free(&l->files);
	messages_free(&l->mounts);
	map_free(&l->file_by_id);
	if (l->inv)
		inventory_entry__free_unpacked(l->inv, NULL);
	if (l->stats)
		stats_entry__free_unpacked(l->stats, NULL);
	yajl_tree_free(l->config);
	yajl_tree_free(l->spec);
	yajl_tree_free(l->network);
	yajl_tree_free(l->note);
	session_deinit(&l->s);
	fd_close(l->dir);
	fd_close(l->top);
	if (l->tmp)
		dir_remove(AT_FDCWD, l->tmp);
	free(l->tmp);
	memset(l, 0, sizeof(*l));
}

/* ---- what there is ---- */

static void count_pages(struct look *l, struct look_task *t)
{
	struct messages list = { 0 };
	own_image struct image img = { 0 };
	ProtobufCMessage *m = NULL;
	char name[64];

	snprintf(name, sizeof(name), "pagemap-%u.img", t->e->pid);
	if (image_open(&l->s, &img, MAGIC_PAGEMAP, "%s", name) != 0 ||
	    image_read(&img, &pagemap_head__descriptor, &m) <= 0)
		return;
	protobuf_c_message_free_unpacked(m, NULL);
	while (image_read(&img, &pagemap_entry__descriptor, &m) > 0) {
		PagemapEntry *e = (PagemapEntry *)m;
		uint64_t n = e->has_nr_pages ? e->nr_pages : e->compat_nr_pages;

		if ((e->has_flags && e->flags & PE_PARENT) || e->in_parent)
			t->parent_pages += n;
		else
			t->pages += n;
		protobuf_c_message_free_unpacked(m, NULL);
	}
	messages_free(&list);
}

/* The command line lies in the pages of the task, at the place that mm names. */
static void read_args(struct look *l, struct look_task *t)
{
	struct pages p = { 0 };
	uint64_t at = t->mm->mm_arg_start, end = t->mm->mm_arg_end;
	size_t got = 0, i;

	if (end <= at || pages_read(&l->s, &p, "%u", t->e->pid) < 0) {
		pages_free(&p);
		return;
	}
	if (end - at > ARGS_MAX)
		end = at + ARGS_MAX;
	t->args = xalloc(ARGS_MAX + 1);
	while (at < end && (i = pages_find(&p, at & ~(PAGE - 1))) < p.n) {
		const struct page_run *run = &p.v[i];
		uint64_t stop = run->vaddr + run->n * PAGE, n = (stop < end ? stop : end) - at;

		if (run->vaddr > at || pread(p.files.v[run->file], t->args + got, n,
					     run->off + (at - run->vaddr)) != (ssize_t)n)
			break;
		got += n;
		at += n;
	}
	for (i = 0; i < got; i++)
		if (!t->args[i])
			t->args[i] = ' ';
	while (got && t->args[got - 1] == ' ')
		t->args[--got] = 0;
	pages_free(&p);
	if (!got) {
		free(t->args);
		t->args = NULL;
	}
}

static void read_task(struct look *l, const PstreeEntry *e)
{
	struct look_task *t = vec_add(&l->tasks);
	char name[64];

	memset(t, 0, sizeof(*t));
	t->e = e;
	t->core = one(l, MAGIC_CORE, &core_entry__descriptor, "core-%u.img", e->pid);
	t->ids = one(l, MAGIC_IDS, &task_kobj_ids_entry__descriptor, "ids-%u.img", e->pid);
	if (!t->ids && t->core && t->core->ids) {
		size_t n = task_kobj_ids_entry__get_packed_size(t->core->ids);
		own_mem uint8_t *buf = xalloc(n + 1);

		task_kobj_ids_entry__pack(t->core->ids, buf);
		t->ids = task_kobj_ids_entry__unpack(NULL, n, buf);
	}
	t->mm = one(l, MAGIC_MM, &mm_entry__descriptor, "mm-%u.img", e->pid);
	if (t->ids) {
		snprintf(name, sizeof(name), "fdinfo-%u.img", t->ids->files_id);
		look_list(l, &t->fds, MAGIC_FDINFO, &fdinfo_entry__descriptor, name);
	}
	count_pages(l, t);
	if (t->mm)
		read_args(l, t);
	session_forget(&l->s);
}

static void read_ns(struct look *l)
{
	const TaskKobjIdsEntry *k = l->inv->root_ids ? l->inv->root_ids : l->tasks.n ? l->tasks.v[0].ids : NULL;
	const struct look_ns all[] = {
		{ "pid", k && k->has_pid_ns_id ? k->pid_ns_id : 0 },
		{ "net", k && k->has_net_ns_id ? k->net_ns_id : 0 },
		{ "ipc", k && k->has_ipc_ns_id ? k->ipc_ns_id : 0 },
		{ "uts", k && k->has_uts_ns_id ? k->uts_ns_id : 0 },
		{ "mnt", k && k->has_mnt_ns_id ? k->mnt_ns_id : 0 },
		{ "user", k && k->has_user_ns_id ? k->user_ns_id : 0 },
		{ "cgroup", k && k->has_cgroup_ns_id ? k->cgroup_ns_id : 0 },
		{ "time", k && k->has_time_ns_id ? k->time_ns_id : 0 },
	};

	/* the ids of the first task; those that differ from inventory.root_ids are the tree's own */
	const TaskKobjIdsEntry *t = l->tasks.n ? l->tasks.v[0].ids : NULL;
	const uint32_t root[] = { t ? t->pid_ns_id : 0, t ? t->net_ns_id : 0, t ? t->ipc_ns_id : 0,
				  t ? t->uts_ns_id : 0, t ? t->mnt_ns_id : 0, t ? t->user_ns_id : 0,
				  t ? t->cgroup_ns_id : 0, t ? t->time_ns_id : 0 };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (root[i] && (!l->inv->root_ids || root[i] != all[i].id)) {
			l->ns[l->n_ns] = all[i];
			l->ns[l->n_ns++].id = root[i];
		}
}

static uint64_t size_in(int dir, const char *name)
{
	struct stat st;

	return dir >= 0 && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) ? st.st_size : 0;
}

static void read_around(struct look *l)
{
	own_image struct image img = { 0 };
	own_dir DIR *d = NULL;
	own_json yajl_val deleted = l->top >= 0 ? json_read(l->top, "deleted.files") : NULL;
	int where = size_in(l->dir, "stats-dump") || l->top < 0 ? l->dir : l->top;
	int fd = fcntl(l->dir, F_DUPFD_CLOEXEC, 3);
	struct dirent *e;

	l->note = json_read(l->dir, BUNDLE_NOTE);
	l->deleted = json_n(deleted);
	if (l->top >= 0) {
		l->config = json_read(l->top, "config.dump");
		l->spec = json_read(l->top, "spec.dump");
		l->network = json_read(l->top, "network.status");
		l->diff_bytes = size_in(l->top, "rootfs-diff.tar");
	}
	if (image_open_at(&l->s, &img, where, MAGIC_SERVICE, MAGIC_STATS, "stats-dump") == 0)
		image_read(&img, &stats_entry__descriptor, (ProtobufCMessage **)&l->stats);
	d = fd < 0 ? NULL : fdopendir(fd);
	if (d)
		rewinddir(d);
	while (d && (e = readdir(d)))
		if (text_starts(e->d_name, "pages-"))
			l->pages_bytes += size_in(l->dir, e->d_name);
	session_forget(&l->s);
}

int look_read(struct look *l, char *why, size_t n)
{
	char name[64];
	int r = image_read_one(&l->s, MAGIC_INVENTORY, &inventory_entry__descriptor, (ProtobufCMessage **)&l->inv,
			       "inventory.img");

	if (r == 0)
		r = look_list(l, &l->pstree, MAGIC_PSTREE, &pstree_entry__descriptor, "pstree.img");
	if (r == 0)
		r = look_list(l, &l->files, MAGIC_FILES, &file_entry__descriptor, "files.img");
	if (r == 1)
		r = 0; /* images of old versions have other files */
	if (r < 0) {
		snprintf(why, n, "%s", l->s.why);
		return r;
	}
	for (size_t i = 0; i < l->files.n; i++)
		map_put(&l->file_by_id, ((FileEntry *)l->files.v[i])->id, l->files.v[i]);
	for (size_t i = 0; i < l->pstree.n; i++)
		read_task(l, (PstreeEntry *)l->pstree.v[i]);
	read_ns(l);
	for (size_t i = 0; i < l->n_ns; i++)
		if (!strcmp(l->ns[i].name, "mnt")) {
			snprintf(name, sizeof(name), "mountpoints-%u.img", l->ns[i].id);
			look_list(l, &l->mounts, MAGIC_MNTS, &mnt_entry__descriptor, name);
		}
	session_forget(&l->s);
	read_around(l);
	return 0;
}
