// SPDX-License-Identifier: Apache-2.0
/*
 * fd: descriptors of all tasks. Dump: each open file is described once, however many descriptors, tasks
 * or queues share it; which are the same is asked of the kernel (kcmp), never guessed by looks.
 */
#include "kind/fd.h"

#include "base/list.h"
#include "base/text.h"
#include "image/record.h"
#include "kind/fd-legacy.h"
#include "kind/filelock.h"
#include "kind/ghost.h"
#include "kind/ns.h"
#include "task/lend.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/kcmp.h>
#include <linux/sockios.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#define FD_SETTABLE (O_APPEND | O_NONBLOCK | O_ASYNC | O_DIRECT | O_NOATIME) /* by F_SETFL */

/* an open file that has its entry */
struct known {
	struct known *below[2]; /* same inode: kcmp()'s order; many have one, as all eventfds do */
	uint32_t id;
	pid_t pid; /* who holds it, under which number: for kcmp() */
	int num;
	uint32_t type;
};

struct fd_dumping {
	struct image files;
	uint32_t last_id;
	struct map known; /* by inode */
};

static struct fd_dumping *dumping(struct session *s)
{
	return session_state(s, "fd dumping", sizeof(struct fd_dumping));
}

uint32_t fd_new_id(struct session *s)
{
	return ++dumping(s)->last_id;
}

/* The union's slot is the member whose type is the message's. */
int fd_put_id(struct session *s, uint32_t type, uint32_t id, const ProtobufCMessage *m)
{
	FileEntry e = FILE_ENTRY__INIT;
	const ProtobufCMessageDescriptor *d = &file_entry__descriptor;

	e.type = type;
	e.id = id;
	for (unsigned i = 0; i < d->n_fields; i++)
		if (d->fields[i].type == PROTOBUF_C_TYPE_MESSAGE &&
		    d->fields[i].descriptor == m->descriptor)
			*(const ProtobufCMessage **)((char *)&e + d->fields[i].offset) = m;
	return image_write(&dumping(s)->files, &e.base);
}

int fd_put(struct session *s, const struct fd_view *v, const ProtobufCMessage *m)
{
	return fd_put_id(s, v->kind->type, v->id, m);
}

char *fd_external(const struct session *s, const struct fd_view *v)
{
	static const char *const forms[] = { "%x:%" PRIx64, "%x:%" PRIu64 };

	if (v->link[0] != '/' || S_ISSOCK(v->st.st_mode) || S_ISFIFO(v->st.st_mode))
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		own_mem char *key = xprintf(forms[i], v->mnt_id, (uint64_t)v->st.st_ino);

		if (external_find(s, "file", key))
			return xprintf("file[%s]", key);
	}
	return NULL;
}

static const struct fd_kind *kind_of_type(uint32_t type)
{
	for (size_t i = 0; fd_kinds[i]; i++)
		if (fd_kinds[i]->type == type)
			return fd_kinds[i];
	return NULL;
}

/* What the caller will pass in again is a file for us, whatever else it may be. */
static const struct fd_kind *kind_of(struct session *s, const struct fd_view *v)
{
	own_mem char *key = fd_external(s, v);

	if (key)
		return kind_of_type(FD_TYPES__REG);
	for (size_t i = 0; fd_kinds[i]; i++)
		if (fd_kinds[i]->is(v))
			return fd_kinds[i];
	return NULL;
}

static uint64_t known_key(const struct fd_view *v)
{
	return v->st.st_ino ^ v->st.st_dev << 32 ^ 1;
}

/* slot: where a new one belongs; NULL: it is the first of its inode */
static struct known *known_find(struct fd_dumping *d, const struct fd_view *v, pid_t pid, int num,
				struct known ***slot)
{
	struct known *k = map_get(&d->known, known_key(v));

	*slot = NULL;
	while (k) {
		long order = syscall(SYS_kcmp, pid, k->pid, KCMP_FILE, num, k->num);

		if (order == 0)
			return k;
		*slot = &k->below[order == 1];
		k = **slot;
	}
	return NULL;
}

static void known_add(struct fd_dumping *d, const struct fd_view *v, pid_t pid, int num, struct known **slot)
{
	struct known *k = xalloc(sizeof(*k));

	k->id = v->id;
	k->pid = pid;
	k->num = num;
	k->type = v->kind->type;
	if (slot)
		*slot = k;
	else
		map_put(&d->known, known_key(v), k);
}

static pid_t owner_vpid(struct session *s, pid_t pid)
{
	for (size_t i = 0; i < s->tree->n; i++)
		if (s->tree->all[i]->tgid == pid)
			return s->tree->all[i]->vpid;
	return 0;
}

static void view_owner(struct session *s, struct fd_view *v)
{
	struct f_owner_ex o = { 0 };

	if (v->flags & O_PATH)
		return;
	v->fown->signum = fcntl(v->fd, F_GETSIG) > 0 ? fcntl(v->fd, F_GETSIG) : 0;
	if (fcntl(v->fd, F_GETOWN_EX, &o) == 0 && o.pid) {
		v->fown->pid_type = o.type;
		v->fown->pid = owner_vpid(s, o.pid);
		if (!v->fown->pid)
			session_warn(s, "task %d: descriptor %d: its owner %d (F_SETOWN) is no task of the tree; that is not kept",
				     v->task->vpid, v->num, o.pid);
	}
}

/* Everything that /proc and fstat() say of a descriptor; link and info are owned by the caller. */
static int view_fill(struct session *s, struct fd_view *v, int proc, const char *where, char **link,
		     char **info)
{
	char path[64];
	int64_t n;
	int r;

	if (fstat(v->fd, &v->st) < 0)
		return session_fail(s, -errno, "task %d: descriptor %d: stat", v->task->vpid, v->num);
	snprintf(path, sizeof(path), "%s/fd/%d", where, v->num);
	r = text_readlink(proc, path, link);
	snprintf(path, sizeof(path), "%s/fdinfo/%d", where, v->num);
	if (r == 0)
		r = text_read(proc, path, info, NULL);
	if (r == 0)
		r = text_i64(*info, "flags:", 8, &n);
	if (r < 0)
		return session_fail(s, r, "task %d: descriptor %d: read its state", v->task->vpid, v->num);
	v->flags = n & ~O_CLOEXEC;
	v->cloexec = n & O_CLOEXEC;
	v->pos = text_i64(*info, "pos:", 10, &n) == 0 ? (uint64_t)n : 0;
	v->mnt_id = text_i64(*info, "mnt_id:", 10, &n) == 0 ? n : -1;
	v->link = *link;
	v->info = *info;
	return 0;
}

/* A socket stays in the network namespace it was made in, wherever its owners go. */
static int view_net(struct session *s, struct fd_view *v)
{
	own_fd int fd = S_ISSOCK(v->st.st_mode) ? ioctl(v->fd, SIOCGSKNS) : -1;
	const struct ns *ns;
	struct stat st;

	v->net_ns_id = v->task->ids ? v->task->ids->net_ns_id : 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return 0;
	ns = ns_by_ino(s, st.st_ino);
	if (!ns || (!ns->own && ns_is_own(s, CLONE_NEWNET)))
		return session_fail(s, -ENOTSUP,
				    "task %d: descriptor %d is a socket of a network namespace that nothing else in the tree holds, no task, descriptor or mount, which cannot be checkpointed yet; close it",
				    v->task->vpid, v->num);
	v->net_ns_id = ns->id;
	return 0;
}

/* What the kernel gives no way to save, and what to do about it. */
static const struct {
	const char *link, *what, *remedy;
} hopeless[] = {
	{ "anon_inode:[perf_event]", "a performance event, whose counts cannot be set again",
	  "end the measurement first" },
	{ "anon_inode:bpf-prog", "a BPF program, which the kernel does not give back as it was loaded",
	  "let the program close it first, or load it from outside of the container" },
	{ "anon_inode:bpf-map", "a BPF map", "let the program close it first" },
	{ "anon_inode:bpf_link", "a BPF link", "detach it first" },
	{ "anon_inode:btf", "BPF type information", "let the program close it first" },
	{ "anon_inode:landlock-ruleset", "a landlock ruleset, which the kernel does not show",
	  "let the program close it first" },
	{ "anon_inode:kvm", "a virtual machine (KVM)", "end it first" },
};

/* Sockets that no kind claims; protocol 0: any of that family */
static const struct {
	int family, protocol;
	const char *what, *remedy;
} hopeless_sockets[] = {
	{ AF_INET, 132, "an SCTP socket", "let the program use TCP" },
	{ AF_INET6, 132, "an SCTP socket", "let the program use TCP" },
	{ AF_INET, 33, "a DCCP socket", "let the program use UDP" },
	{ AF_INET6, 33, "a DCCP socket", "let the program use UDP" },
	{ AF_INET, 115, "an L2TP socket", "end the tunnel first" },
	{ AF_INET6, 115, "an L2TP socket", "end the tunnel first" },
	{ 15, 0, "an IPsec key socket (PF_KEY)", "end the key daemon first" },
	{ 21, 0, "an RDS socket", "let the program close it first" },
	{ 24, 0, "a PPP socket (AF_PPPOX)", "end the PPP session first" },
	{ 29, 0, "a CAN socket (AF_CAN)", "let the program close it first" },
	{ 30, 0, "a TIPC socket (AF_TIPC)", "let the program use TCP or unix sockets" },
	{ 31, 0, "a Bluetooth socket", "let the program close it first" },
	{ 38, 0, "a socket of the kernel's crypto (AF_ALG), whose key cannot be read",
	  "let the program use a library, as OpenSSL does without its engine afalg" },
	{ 41, 0, "a KCM socket", "let the program close it first" },
	{ 43, 0, "an SMC socket (AF_SMC)", "run the program without smc_run" },
	{ 44, 0, "an AF_XDP socket, whose rings are shared with a device", "end the capture or forwarding first" },
};

static int socket_number(int fd, int option)
{
	int v = -1;
	socklen_t n = sizeof(v);

	return getsockopt(fd, SOL_SOCKET, option, &v, &n) < 0 ? -1 : v;
}

static int socket_refuse(struct session *s, const struct fd_view *v)
{
	int family = socket_number(v->fd, SO_DOMAIN), protocol = socket_number(v->fd, SO_PROTOCOL);

	for (size_t i = 0; i < ARRAY_SIZE(hopeless_sockets); i++)
		if (hopeless_sockets[i].family == family &&
		    (!hopeless_sockets[i].protocol || hopeless_sockets[i].protocol == protocol))
			return session_fail(s, -ENOTSUP, "task %d: descriptor %d is %s, which the kernel does not give back; %s",
					    v->task->vpid, v->num, hopeless_sockets[i].what, hopeless_sockets[i].remedy);
	return session_fail(s, -ENOTSUP,
			    "task %d: descriptor %d is a socket of family %d, protocol %d, which cannot be checkpointed; let the program close it first",
			    v->task->vpid, v->num, family, protocol);
}

static int refuse(struct session *s, const struct fd_view *v)
{
	if (v->fd >= 0 && S_ISSOCK(v->st.st_mode))
		return socket_refuse(s, v);
	for (size_t i = 0; i < sizeof(hopeless) / sizeof(hopeless[0]); i++)
		if (text_starts(v->link, hopeless[i].link))
			return session_fail(s, -ENOTSUP, "task %d: descriptor %d is %s; %s", v->task->vpid, v->num,
					    hopeless[i].what, hopeless[i].remedy);
	return session_fail(s, -ENOTSUP,
			    "task %d: descriptor %d is %s, of a kind that cannot be checkpointed yet; close it first",
			    v->task->vpid, v->num, v->link);
}

/* Describe the file behind our copy v->fd unless it is known. pid, num: who holds it, for kcmp(). */
static int view_dump(struct session *s, struct fd_view *v, int proc, const char *where, pid_t pid,
		     uint32_t *ret_type)
{
	struct fd_dumping *d = dumping(s);
	FownEntry fown = FOWN_ENTRY__INIT;
	own_mem char *link = NULL, *info = NULL;
	struct known *k, **slot;
	int r;

	v->fown = &fown;
	r = view_fill(s, v, proc, where, &link, &info);
	if (r < 0)
		return r;
	k = known_find(d, v, pid, v->num, &slot);
	if (k) {
		v->id = k->id;
		*ret_type = k->type;
		return pid == getpid() ? 0 : filelock_note(s, v);
	}
	v->kind = kind_of(s, v);
	if (!v->kind)
		return refuse(s, v);
	r = view_net(s, v);
	if (r < 0)
		return r;
	view_owner(s, v);
	v->id = fd_new_id(s);
	known_add(d, v, pid, v->num, slot);
	*ret_type = v->kind->type;
	session_debug(s, "file 0x%x: %s %s flags 0%o pos %llu", v->id, v->kind->name, v->link, v->flags,
		      (unsigned long long)v->pos);
	r = v->kind->dump(s, v);
	if (r == 0)
		r = pid == getpid() ? filelock_queued(s, v) : filelock_note(s, v);
	return r;
}

int fd_note(struct session *s, struct task *task, int fd, uint32_t *ret_id)
{
	struct fd_view v = { .task = task, .num = fd, .fd = fd, .queued = true };
	own_fd int self = fd_high(open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC));
	uint32_t type;
	int kept = fcntl(fd, F_DUPFD_CLOEXEC, 3), r;

	if (kept < 0)
		return session_fail(s, -errno, "descriptor: keep it");
	v.num = v.fd = kept; /* stays open until the end, for later comparisons */
	r = view_dump(s, &v, self, ".", getpid(), &type);
	*ret_id = v.id;
	if (r == 0 && type == FD_TYPES__NOTIFY) /* made only when messages are in their queues already */
		r = session_fail(s, -ENOTSUP,
				 "task %d: a seccomp listener is in a message that nobody has read yet; let the program read it first",
				 task->vpid);
	return r;
}

int fd_note_known(struct session *s, struct task *task, int fd, uint32_t *ret_id)
{
	struct fd_view v = { .task = task, .num = fd, .fd = fd };
	struct known *k, **slot;

	if (fstat(fd, &v.st) < 0)
		return session_fail(s, -errno, "descriptor: stat");
	k = known_find(dumping(s), &v, getpid(), fd, &slot);
	if (!k)
		return session_fail(s, -ENOENT, "a file in a message that nobody has read yet is open nowhere else");
	*ret_id = k->id;
	return 0;
}

/* Describe what a task has under that number; v->id is its file id then. */
static int held_dump(struct session *s, struct task *k, int num, struct fd_view *v, uint32_t *ret_type)
{
	own_fd int fd = fd_high(syscall(SYS_pidfd_getfd, k->pidfd, num, 0));

	*v = (struct fd_view){ .task = k, .num = num, .fd = fd };
	if (fd < 0)
		return session_fail(s, -errno, "task %d: descriptor %d: take a copy", k->vpid, num);
	return view_dump(s, v, k->proc, ".", k->pid, ret_type);
}

int fd_note_held(struct session *s, struct task *k, int num, uint32_t *ret_id)
{
	struct fd_view v;
	uint32_t type;
	int r = held_dump(s, k, num, &v, &type);

	*ret_id = v.id;
	return r;
}

bool fd_find(const struct tree *tree, uint32_t kdev, uint64_t ino, struct task **ret_task, int *ret_num, struct stat *ret)
{
	for (size_t i = 0; i < tree->n; i++) {
		struct task *k = tree->all[i];
		int fd = k->state == TASK_DEAD ? -1 : openat(k->proc, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		own_dir DIR *d = fd < 0 ? NULL : fdopendir(fd);
		struct dirent *e;

		while (d && (e = readdir(d)))
			if (e->d_name[0] != '.' && fstatat(dirfd(d), e->d_name, ret, 0) == 0 && ret->st_ino == ino &&
			    (uint32_t)(major(ret->st_dev) << 20 | minor(ret->st_dev)) == kdev) {
				*ret_task = k;
				*ret_num = atoi(e->d_name);
				return true;
			}
	}
	return false;
}

static int table_dump_one(struct session *s, struct task *k, struct image *img, int num)
{
	FdinfoEntry e = FDINFO_ENTRY__INIT;
	struct fd_view v;
	uint32_t type = 0;
	int r = held_dump(s, k, num, &v, &type);

	if (r < 0)
		return r;
	e.id = v.id;
	e.fd = num;
	e.type = type;
	e.flags = v.cloexec ? FD_CLOEXEC : 0;
	return image_write(img, &e.base);
}

static int int_cmp(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* numbers of a task's descriptors, ascending; owned by the caller */
static int table_list(struct session *s, const struct task *k, int **ret, size_t *ret_n)
{
	struct {
		int *v;
		size_t n, max;
	} nums = { 0 };
	int fd = openat(k->proc, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	own_dir DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d)
		return session_fail(s, -errno, "task %d: list its descriptors", k->vpid);
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			*vec_add(&nums) = atoi(e->d_name);
	qsort(nums.v, nums.n, sizeof(int), int_cmp);
	*ret = nums.v;
	*ret_n = nums.n;
	return 0;
}

static int table_dump(struct session *s, struct task *k)
{
	own_image struct image img = { 0 };
	own_mem int *nums = NULL;
	size_t n = 0;
	int r = table_list(s, k, &nums, &n);

	if (r < 0 || !n)
		return r;
	r = image_create(s, &img, MAGIC_FDINFO, "fdinfo-%u.img", k->ids->files_id);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = table_dump_one(s, k, &img, nums[i]);
	return r < 0 ? r : image_close(&img);
}

static int table_dump_once(struct session *s, struct map *seen, struct task *k)
{
	if (map_get(seen, k->ids->files_id))
		return 0;
	map_put(seen, k->ids->files_id, k);
	return table_dump(s, k);
}

int fd_dump_all(struct session *s, struct tree *tree)
{
	struct map seen = { 0 }; /* by files_id */
	int r = image_create(s, &dumping(s)->files, MAGIC_FILES, "files.img");

	for (size_t i = 0; r == 0 && i < tree->n; i++) {
		if (tree->all[i]->state == TASK_DEAD)
			continue;
		r = table_dump_once(s, &seen, tree->all[i]);
		for (unsigned n = 1; r == 0 && n < tree->all[i]->n_threads; n++)
			if (tree->all[i]->threads[n].files_id)
				r = table_dump_once(s, &seen, tree->all[i]->threads[n].apart);
	}
	map_free(&seen);
	return r;
}

int fd_dump_end(struct session *s)
{
	int r = 0;

	for (size_t i = 0; r == 0 && fd_kinds[i]; i++)
		if (fd_kinds[i]->dump_end)
			r = fd_kinds[i]->dump_end(s);
	return r < 0 ? r : image_close(&dumping(s)->files);
}

/* a descriptor to be looked at again after the stop */
struct watched {
	struct watched *next;
	pid_t pid;
	int num;
};

/* 1: it is in a passing state: no obstacle yet. Noted in any case, if it ever can be. */
static int watch(struct session *s, const struct fd_view *v)
{
	struct map *m = session_map(s, "fd watched");
	int passing = v->kind->passing ? v->kind->passing(s, v) : -1;
	struct watched *w;

	if (passing < 0)
		return 0;
	w = xalloc(sizeof(*w));
	w->next = map_get(m, 0);
	w->pid = v->task->pid;
	w->num = v->num;
	map_put(m, 0, w);
	return passing;
}

bool fd_passing(struct session *s, const struct tree *tree)
{
	for (struct watched *w = map_get(session_map(s, "fd watched"), 0); w; w = w->next)
		for (size_t i = 0; i < tree->n; i++) {
			struct task *k = tree->all[i];
			struct fd_view v = { .task = k, .num = w->num };
			own_mem char *link = NULL, *info = NULL;
			own_fd int fd = k->pid != w->pid ? -1
				: fd_high(syscall(SYS_pidfd_getfd, k->pidfd, w->num, 0));

			v.fd = fd;
			if (fd < 0 || view_fill(s, &v, k->proc, ".", &link, &info) < 0)
				continue;
			v.kind = kind_of(s, &v);
			if (v.kind && v.kind->passing && v.kind->passing(s, &v) == 1)
				return true;
		}
	return false;
}

static bool still_open(const struct task *k, int num, const char *link)
{
	own_mem char *path = xprintf("fd/%d", num), *now = NULL;

	return text_readlink(k->proc, path, &now) == 0 && !strcmp(now, link);
}

int fd_preflight_all(struct session *s, struct tree *tree)
{
	int all = 0;

	for (size_t i = 0; i < tree->n; i++) {
		struct task *k = tree->all[i];
		own_mem int *nums = NULL;
		bool had = s->why[0];
		size_t n = 0;

		if (k->state == TASK_DEAD)
			continue;
		if (table_list(s, k, &nums, &n) < 0)
			session_forget_new(s, had); /* it ended meanwhile: the tasks run */
		for (size_t j = 0; j < n; j++) {
			struct fd_view v = { .task = k, .num = nums[j] };
			own_mem char *link = NULL, *info = NULL;
			own_fd int fd = fd_high(syscall(SYS_pidfd_getfd, k->pidfd, nums[j], 0));
			int r;

			v.fd = fd;
			had = s->why[0];
			if (fd < 0)
				continue;
			if (view_fill(s, &v, k->proc, ".", &link, &info) < 0) {
				session_forget_new(s, had);
				continue;
			}
			v.kind = kind_of(s, &v);
			if (v.kind && watch(s, &v))
				continue;
			r = !v.kind ? refuse(s, &v) : view_net(s, &v);
			if (r == 0 && v.kind->preflight)
				r = v.kind->preflight(s, &v);
			if (r == 0)
				r = filelock_check(s, &v);
			if (r < 0 && !still_open(k, v.num, link)) { /* closed meanwhile */
				session_forget_new(s, had);
				r = 0;
			}
			if (r < 0)
				session_warn(s, "obstacle: task %d: descriptor %d: %s", k->vpid, v.num, link);
			all = all ? all : r;
		}
	}
	if (filelock_check_end(s, tree) < 0)
		all = all ? all : s->why_r;
	return all;
}

/* ---- restore ---- */

struct fd_restoring {
	struct {
		struct fd_obj **v;
		size_t n, max;
	} objs;
	struct map by_id;
	struct map tables; /* files_id -> struct fd_table */
	struct {
		struct fd_table **v;
		size_t n, max;
	} filled; /* the same */
};

struct fd_table {
	struct thread *thread; /* owner in whom it is filled */
	struct {
		FdinfoEntry **v;
		size_t n, max;
	} fds;
};

static struct fd_restoring *restoring(struct session *s)
{
	return session_state(s, "fd restoring", sizeof(struct fd_restoring));
}

static int obj_add(struct session *s, FileEntry *e)
{
	struct fd_restoring *f = restoring(s);
	struct fd_obj *o = map_get(&f->by_id, e->id);

	if (o && o->entry->reg && !o->entry->tunf && e->tunf) { /* a tun file has an entry of each sort */
		((FileEntry *)o->entry)->tunf = e->tunf;
		o->kind = kind_of_type(e->type);
		e->tunf = NULL;
		file_entry__free_unpacked(e, NULL);
		return 0;
	}
	if (o || f->objs.n > 1000000) {
		session_fail(s, -EBADMSG, "files.img: id 0x%x stands there twice", e->id);
		file_entry__free_unpacked(e, NULL);
		return -EBADMSG;
	}
	o = xalloc(sizeof(*o));
	o->id = e->id;
	o->entry = e;
	o->kind = kind_of_type(e->type);
	o->fd = -1;
	o->num = -1;
	map_put(&f->by_id, e->id, o);
	*vec_add(&f->objs) = o;
	return 0;
}

static int table_read(struct session *s, struct thread *owner, uint32_t files_id)
{
	struct task *k = owner->task;
	own_image struct image img = { 0 };
	struct fd_table *t = xalloc(sizeof(*t));
	ProtobufCMessage *m;
	int64_t last = -1;
	int r;

	t->thread = owner;
	map_put(&restoring(s)->tables, files_id, t);
	*vec_add(&restoring(s)->filled) = t;
	r = image_open(s, &img, MAGIC_FDINFO, "fdinfo-%u.img", files_id);
	if (r == 1)
		return 0;
	while (r == 0 && (r = image_read(&img, &fdinfo_entry__descriptor, &m)) == 1) {
		FdinfoEntry *e = (FdinfoEntry *)m;
		struct fd_obj *o = map_get(&restoring(s)->by_id, e->id);

		*vec_add(&t->fds) = e;
		r = 0;
		if (!o || e->fd > 1 << 20 || (int64_t)e->fd <= last)
			return session_fail(s, -EBADMSG,
					    "fdinfo-%u.img: descriptor %u has no file 0x%x or is out of order",
					    files_id, e->fd, e->id);
		if (!o->kind)
			return session_fail(s, -ENOTSUP,
					    "task %d: descriptor %u is of a kind (type %u) that cannot be restored yet",
					    k->vpid, e->fd, e->type);
		last = e->fd;
		if (!o->task) {
			o->task = k;
			o->thread = owner;
			o->num = e->fd;
		}
	}
	return r;
}

/* Of a thread; others of its process may share it. */
static int table_read_apart(struct session *s, struct thread *t)
{
	const struct fd_table *known = map_get(&restoring(s)->tables, t->files_id);

	if (!known)
		return table_read(s, t, t->files_id);
	if (known->thread->task != t->task || known->thread == task_leader(t->task))
		return session_fail(s, -EBADMSG, "core-%d.img: descriptors %u are another's", t->vtid, t->files_id);
	return 0;
}

int fd_read(struct session *s, struct tree *tree)
{
	own_image struct image img = { 0 };
	ProtobufCMessage *m;
	int r = image_open(s, &img, MAGIC_FILES, "files.img");

	if (r == 1)
		r = 0;
	else
		while (r == 0 && (r = image_read(&img, &file_entry__descriptor, &m)) == 1)
			r = obj_add(s, (FileEntry *)m);
	if (r == 0 && !restoring(s)->objs.n) {
		r = fd_legacy_read(s, obj_add);
		if (r == 0)
			return session_fail(s, -EBADMSG, "image files.img: is missing or empty; the checkpoint is not whole");
		r = r < 0 ? r : 0;
	}
	for (size_t i = 0; r == 0 && i < tree->n; i++) {
		struct task *k = tree->all[i];

		if (k->state == TASK_DEAD)
			continue;
		k->files = map_get(&restoring(s)->tables, k->ids->files_id);
		if (!k->files)
			r = table_read(s, task_leader(k), k->ids->files_id);
		k->files = map_get(&restoring(s)->tables, k->ids->files_id);
	}
	for (size_t i = 0; r == 0 && i < tree->n; i++)
		for (unsigned n = 1; r == 0 && n < tree->all[i]->n_threads; n++)
			if (tree->all[i]->threads[n].files_id)
				r = table_read_apart(s, &tree->all[i]->threads[n]);
	return r;
}

/* A field of the entry's union member, whatever kind it is of; NULL if that message has none. */
static const void *obj_field(const struct fd_obj *o, const char *name)
{
	const ProtobufCMessageDescriptor *d = &file_entry__descriptor;

	for (unsigned i = 0; i < d->n_fields; i++) {
		const ProtobufCFieldDescriptor *f;
		const char *m;

		if (d->fields[i].type != PROTOBUF_C_TYPE_MESSAGE)
			continue;
		m = *(const char *const *)((const char *)o->entry + d->fields[i].offset);
		f = m ? protobuf_c_message_descriptor_get_field_by_name(d->fields[i].descriptor, name)
		      : NULL;
		if (f)
			return m + f->offset;
	}
	return NULL;
}

/* A fifo's are in its path's entry. */
static const void *obj_common(struct session *s, const struct fd_obj *o, const char *name)
{
	const struct fd_obj *reg = o;

	if (o->entry->fifo && o->entry->fifo->has_regf_id)
		reg = map_get(&restoring(s)->by_id, o->entry->fifo->regf_id);
	return reg ? obj_field(reg, name) : NULL;
}

static int obj_owner(struct session *s, struct fd_obj *o, const FownEntry *f)
{
	struct task *owner = task_find(s->tree, f->pid);
	struct f_owner_ex ex = { .type = f->pid_type };

	if (!owner)
		return 0;
	ex.pid = owner->pid;
	if (fcntl(o->fd, F_SETOWN_EX, &ex) < 0 || (f->signum && fcntl(o->fd, F_SETSIG, f->signum) < 0))
		return session_fail(s, -errno, "file 0x%x: set its owner", o->id);
	return 0;
}

/* What every kind has: status flags and the owner of its signals. */
static int obj_finish(struct session *s, struct fd_obj *o)
{
	const uint32_t *flags = obj_common(s, o, "flags");
	FownEntry *const *f = obj_common(s, o, "fown");
	int now = fcntl(o->fd, F_GETFL), r = 0;

	if (o->borrowed || now < 0 || now & O_PATH)
		return 0;
	if (f && *f && (*f)->pid)
		r = obj_owner(s, o, *f);
	if (r == 0 && flags && ((now ^ *flags) & FD_SETTABLE) &&
	    fcntl(o->fd, F_SETFL, (now & ~FD_SETTABLE) | (*flags & FD_SETTABLE)) < 0)
		r = session_fail(s, -errno, "file 0x%x: set its flags 0%o", o->id, *flags);
	return r;
}

struct fd_obj *fd_obj_get(struct session *s, uint32_t id)
{
	struct fd_obj *o = map_get(&restoring(s)->by_id, id);
	int r;

	if (!o || !o->kind || o->making) {
		session_fail(s, -EBADMSG, "files.img: file 0x%x %s", id,
			     !o ? "is missing" : !o->kind ? "is of an unknown kind" : "refers to itself");
		return NULL;
	}
	if (o->fd >= 0)
		return o;
	o->making = true;
	r = o->kind->restore(s, o);
	o->making = false;
	if (r == 0)
		r = obj_finish(s, o);
	return r < 0 ? NULL : o;
}

struct fd_obj *fd_obj_at(struct session *s, size_t n)
{
	struct fd_restoring *f = restoring(s);

	return n < f->objs.n ? f->objs.v[n] : NULL;
}

const FileEntry *fd_entry(struct session *s, uint32_t id)
{
	struct fd_obj *o = map_get(&restoring(s)->by_id, id);

	return o ? o->entry : NULL;
}

/* Which of our standard three is open under that name; -1 none. */
static int std_named(const char *name)
{
	for (int fd = 0; fd <= 2; fd++) {
		own_mem char *path = xprintf("/proc/self/fd/%d", fd), *link = NULL;

		if (text_readlink(AT_FDCWD, path, &link) == 0 && !strcmp(link, name))
			return fd;
	}
	return -1;
}

static bool mode_fits(int fd, int want)
{
	int has = fcntl(fd, F_GETFL);

	return has >= 0 && ((has & O_ACCMODE) == O_RDWR || (has & O_ACCMODE) == want);
}

int fd_inherit(struct session *s, struct fd_obj *o, const char *key, int flags)
{
	int want = flags & O_ACCMODE, fd = inherit_find(s, key);

	if (fd < 0)
		return 0;
	if (!(flags & O_PATH) && !mode_fits(fd, want))
		return session_fail(s, -EINVAL, "%s: the caller's descriptor %d cannot be %s, as the task's can; pass another",
				    key, fd, want == O_RDONLY ? "read" : want == O_WRONLY ? "written" : "read and written");
	o->borrowed = true;
	o->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return o->fd < 0 ? session_fail(s, -errno, "%s: take the caller's descriptor %d", key, fd) : 1;
}

int fd_from_caller(struct session *s, struct fd_obj *o, const char *name, int flags)
{
	int want = flags & O_ACCMODE, r = fd_inherit(s, o, name + 1, flags), fd;

	if (r)
		return r < 0 ? r : 0;
	fd = std_named(name);
	if (fd < 0 && o->num >= 0 && o->num <= 2)
		fd = o->num;
	if (fd < 0 && want == O_WRONLY) { /* as shells keep it while theirs leads elsewhere */
		fd = 1;
		session_warn(s, "descriptor %d: %s lay outside of the container; our standard output takes its place",
			     o->num, name);
	}
	if (fd < 0 || !mode_fits(fd, want))
		return session_fail(s, -EINVAL,
				    "descriptor %d: %s lay outside of the container; pass something in its place: --inherit-fd 'fd[N]:%s'",
				    o->num, name, name + 1);
	session_info(s, "descriptor %d: %s is replaced by our descriptor %d", o->num, name, fd);
	o->borrowed = true;
	o->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return o->fd < 0 ? session_fail(s, -errno, "%s: take our descriptor %d", name, fd) : 0;
}

int fd_number_of(struct session *s, const struct task *k, bool (*match)(const struct fd_obj *o, const void *arg),
		 const void *arg)
{
	for (size_t i = 0; k->files && i < k->files->fds.n; i++)
		if (match(map_get(&restoring(s)->by_id, k->files->fds.v[i]->id), arg))
			return k->files->fds.v[i]->fd;
	return -1;
}

int fd_places(struct session *s, const struct fd_obj *o,
	      int (*fn)(struct session *s, struct thread *t, int num, bool cloexec, void *arg), void *arg)
{
	struct fd_restoring *f = restoring(s);
	int r = 0;

	for (size_t i = 0; i < f->filled.n; i++)
		for (size_t j = 0; r == 0 && j < f->filled.v[i]->fds.n; j++) {
			const FdinfoEntry *e = f->filled.v[i]->fds.v[j];

			if (e->id == o->id)
				r = fn(s, f->filled.v[i]->thread, e->fd, e->flags & FD_CLOEXEC, arg);
		}
	return r;
}

int fd_restore_make(struct session *s)
{
	struct fd_restoring *f = restoring(s);

	for (size_t i = 0; i < f->objs.n; i++)
		if (f->objs.v[i]->task && !fd_obj_get(s, f->objs.v[i]->id))
			return s->why_r ? s->why_r : -EIO;
	return 0;
}

/*
 * Descriptors land on the lowest free numbers of an empty table, in order, so each at or below the
 * number it is to have: moved up from the last to the first, none treads on another.
 */
static int table_move(struct session *s, const struct fd_table *t, const int *nums)
{
	struct batch b;
	int r = 0;

	batch_start(s, &b, t->thread);
	for (size_t i = t->fds.n; r == 0 && i-- > 0;) {
		const FdinfoEntry *e = t->fds.v[i];
		bool cloexec = e->flags & FD_CLOEXEC;

		if (nums[i] > (int)e->fd)
			return session_fail(s, -EBUSY,
					    "task %d: descriptor %u cannot be placed: its table is not empty",
					    t->thread->task->vpid, e->fd);
		if (!batch_room(&b, 2, 0)) {
			r = batch_run(&b);
			batch_clear(&b);
		}
		if (nums[i] == (int)e->fd) {
			call3(&b, "descriptors: flags", SYS_fcntl, e->fd, F_SETFD, cloexec);
			continue;
		}
		call3(&b, "descriptors: move", SYS_dup3, nums[i], e->fd, cloexec ? O_CLOEXEC : 0);
		call1(&b, NULL, SYS_close, nums[i]);
	}
	return r < 0 ? r : batch_run(&b);
}

/* Of a thread with a table of its own: it was born with a copy of another. */
static int table_clear(struct session *s, struct thread *t)
{
	struct batch b;

	if (!t->files_id)
		return 0;
	batch_start(s, &b, t);
	call3(&b, "descriptors: clear", SYS_close_range, 0, ~0U, 0);
	return batch_run(&b);
}

static int table_fill(struct session *s, const struct fd_table *t)
{
	own_mem int *fds = xalloc((t->fds.n + 1) * sizeof(int));
	own_mem int *nums = xalloc((t->fds.n + 1) * sizeof(int));
	int r;

	for (size_t i = 0; i < t->fds.n; i++) {
		struct fd_obj *o = map_get(&restoring(s)->by_id, t->fds.v[i]->id);

		fds[i] = o->fd;
	}
	r = table_clear(s, t->thread);
	if (r == 0)
		r = lend_fds(s, t->thread, fds, t->fds.n, nums);
	return r < 0 || !t->fds.n ? r : table_move(s, t, nums);
}

typedef int owner_fn(struct session *s, struct fd_obj *o, struct batch *b, int num);

/* What only an owner can do, by the numbers of its table. */
static int obj_by_owner(struct session *s, struct fd_obj *o, owner_fn *fn)
{
	struct batch b;
	int r;

	if (!fn || o->fd < 0 || !o->task)
		return 0;
	batch_start(s, &b, o->thread);
	r = fn(s, o, &b, o->num);
	return r < 0 ? r : batch_run(&b);
}

int fd_restore_tables(struct session *s, struct tree *tree)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < restoring(s)->filled.n; i++)
		r = table_fill(s, restoring(s)->filled.v[i]);
	for (size_t i = 0; r == 0 && i < restoring(s)->objs.n; i++) {
		struct fd_obj *o = restoring(s)->objs.v[i];

		r = o->kind ? obj_by_owner(s, o, o->kind->in_task) : 0;
	}
	return r;
}

int fd_restore_link(struct session *s)
{
	struct fd_restoring *f = restoring(s);
	int r = 0;

	for (size_t i = 0; r == 0 && i < f->objs.n; i++)
		if (f->objs.v[i]->fd >= 0 && f->objs.v[i]->kind->link)
			r = f->objs.v[i]->kind->link(s, f->objs.v[i]);
	for (size_t i = 0; r == 0 && i < f->objs.n; i++) {
		struct fd_obj *o = f->objs.v[i];

		if (o->kind && o->kind->watch && o->fd >= 0 && !o->task)
			r = o->kind->watch(s, o, NULL, -1);
		else if (o->kind)
			r = obj_by_owner(s, o, o->kind->watch);
	}
	return r;
}

void fd_restore_end(struct session *s)
{
	struct fd_restoring *f = restoring(s);

	for (size_t i = 0; i < f->objs.n; i++) {
		fd_close(f->objs.v[i]->fd);
		f->objs.v[i]->fd = -1;
	}
	ghost_restore_end(s);
}
