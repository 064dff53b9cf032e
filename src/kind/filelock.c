// SPDX-License-Identifier: Apache-2.0
/*
 * filelock: POSIX, flock and OFD locks, leases.
 *
 * Kept:   kind, range, holder; a lease's signal is the descriptor's (F_SETSIG, F_SETOWN).
 * Lost:   an OFD lock on a file that is only mapped, which nothing shows. A lease that somebody is
 *         breaking right now, a lock shared with a process outside of the tree, a flock on a file that
 *         no task has a descriptor or its holder a mapping of are refused. Who waits for a lock asks again after the restore;
 *         the order of those who wait is not kept.
 * Kernel: fs/locks.c, __show_fd_locks(): "lock:" lines of fdinfo show the locks made through that open
 *         file, POSIX ones only to the descriptor table that owns them.
 */
#include "kind/filelock.h"

#include "base/list.h"
#include "base/text.h"
#include "image/record.h"
#include "images/file-lock.pb-c.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/kcmp.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

enum { LOCK_POSIX = 1, LOCK_FLOCK = 2, LOCK_OFD = 4, LOCK_LEASE = 8 }; /* wire: file_lock_entry.flag */
enum { LEASE_BREAKING = 4 };

#define LOCKS_MAX 1000000

/* one "lock:" line; pid as /proc shows it: 0 dead or hidden, -1 none (OFD) */
struct lock {
	uint32_t flag, type;
	bool breaking;
	pid_t pid;
	char where[40]; /* "maj:min:ino" */
	uint64_t start, len;
};

static const struct {
	const char *name;
	uint32_t flag;
} lock_flags[] = {
	{ "POSIX", LOCK_POSIX }, { "FLOCK", LOCK_FLOCK }, { "OFDLCK", LOCK_OFD }, { "LEASE", LOCK_LEASE },
};
static const char *const lock_types[] = { "READ", "WRITE", "UNLCK" }; /* F_RDLCK, F_WRLCK, F_UNLCK */

static const char *lock_name(uint32_t flag)
{
	for (size_t i = 0; i < ARRAY_SIZE(lock_flags); i++)
		if (lock_flags[i].flag == flag)
			return flag == LOCK_OFD ? "OFD" : lock_flags[i].name;
	return "unknown";
}

/**
 * lock_parse - what stands behind "N: " in /proc/locks and fdinfo
 * Return: 0, -EBADMSG.
 */
static int lock_parse(const char *line, struct lock *l)
{
	char kind[16], state[16], type[16], end[24];

	*l = (struct lock){ .type = UINT32_MAX };
	if (sscanf(line, "%15s %15s %15s %d %39s %" SCNu64 " %23s", kind, state, type, &l->pid, l->where,
		   &l->start, end) != 7)
		return -EBADMSG;
	for (size_t i = 0; i < ARRAY_SIZE(lock_flags); i++)
		if (!strcmp(kind, lock_flags[i].name))
			l->flag = lock_flags[i].flag;
	for (size_t i = 0; i < ARRAY_SIZE(lock_types); i++)
		if (!strcmp(type, lock_types[i]))
			l->type = i;
	l->breaking = !strncmp(state, "BREAK", 5);
	l->len = strcmp(end, "EOF") ? strtoull(end, NULL, 10) - l->start + 1 : 0;
	return l->flag && l->type != UINT32_MAX ? 0 : -EBADMSG;
}

/* Next line of fdinfo that tells of a lock; NULL at the end. */
static const char *lock_line(const char *text)
{
	text = text_after(text, "lock:");
	return text ? strchr(text, ' ') : NULL; /* behind "N:" */
}

/* The task with that pid below k, which is stopped or (preflight) still running. */
static struct task *task_below(struct task *k, pid_t pid)
{
	struct task *found = k->tgid == pid ? k : NULL;

	for (struct task *c = k->first_child; !found && c; c = c->next)
		found = task_below(c, pid);
	return found;
}

static struct task *task_of(struct task *any, pid_t pid)
{
	while (any->parent)
		any = any->parent;
	return task_below(any, pid);
}

/* Has another process than those of the tree the very open file of v? Then its lock outlives the tree. */
static bool held_by(const struct fd_view *v, pid_t pid)
{
	own_mem char *path = xprintf("/proc/%d/fd", pid);
	own_dir DIR *d = opendir(path);
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.' &&
		    syscall(SYS_kcmp, pid, v->task->pid, KCMP_FILE, atoi(e->d_name), v->num) == 0)
			return true;
	return false;
}

static int lock_check(struct session *s, const struct fd_view *v, const struct lock *l)
{
	if (!s->opts->has_file_locks || !s->opts->file_locks)
		return session_fail(s, -ENOTSUP,
				    "task %d: descriptor %d: %s has a lock (%s); use --file-locks to keep it",
				    v->task->vpid, v->num, v->link, lock_name(l->flag));
	if (l->breaking || l->type == F_UNLCK)
		return session_fail(s, -EBUSY,
				    "task %d: descriptor %d: somebody is breaking the lease on %s; wait until its holder has given way",
				    v->task->vpid, v->num, v->link);
	if (l->flag != LOCK_POSIX && l->pid > 0 && !task_of(v->task, l->pid) &&
	    held_by(v, l->pid))
		return session_fail(s, -ENOTSUP,
				    "task %d: descriptor %d: the lock on %s is shared with process %d outside of the tree; close it in one of them",
				    v->task->vpid, v->num, v->link, l->pid);
	return 0;
}

static int bad_line(struct session *s, const struct fd_view *v, const char *line)
{
	return session_fail(s, -ENOTSUP, "task %d: descriptor %d: %s has a lock that is not understood:%.*s",
			    v->task->vpid, v->num, v->link, (int)strcspn(line, "\n"), line);
}

/* flock()s that were met, as /proc/locks names them: holder and file. */
static uint64_t flock_key(const struct lock *l);

int filelock_check(struct session *s, const struct fd_view *v)
{
	for (const char *p = v->info; (p = lock_line(p));) {
		struct lock l;
		int r = lock_parse(p, &l) < 0 ? bad_line(s, v, p) : lock_check(s, v, &l);

		if (l.flag == LOCK_FLOCK)
			map_put(session_map(s, "flocks seen"), flock_key(&l), s);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- dump ---- */

static uint64_t text_hash(const char *p)
{
	uint64_t h = 14695981039346656037ULL;

	for (; *p; p++)
		h = (h ^ (unsigned char)*p) * 1099511628211ULL;
	return h;
}

static uint64_t flock_key(const struct lock *l)
{
	return text_hash(l->where) ^ (uint64_t)l->pid << 32;
}

static int lock_write(struct session *s, FileLockEntry *e, const struct lock *l)
{
	struct image *img = image_shared(s, MAGIC_FILE_LOCKS, "filelocks.img");

	e->flag = l->flag;
	e->type = l->type;
	e->start = l->start;
	e->len = l->len;
	session_debug(s, "lock: task %d descriptor %d %s type %u from %llu, %llu bytes", e->pid, e->fd,
		      lock_name(l->flag), l->type, (unsigned long long)l->start,
		      (unsigned long long)l->len);
	return img ? image_write(img, &e->base) : s->why_r;
}

static int lock_put(struct session *s, const struct fd_view *v, const struct lock *l)
{
	FileLockEntry e = FILE_LOCK_ENTRY__INIT;
	struct task *owner = l->flag == LOCK_POSIX && l->pid > 0 ? task_of(v->task, l->pid) : NULL;

	/* tasks that share a table share its locks; F_GETLK names the one that asked for it */
	if (!owner || !owner->ids || owner->ids->files_id != v->task->ids->files_id)
		owner = v->task;
	e.pid = owner->vpid;
	e.fd = v->num;
	return lock_write(s, &e, l);
}

int filelock_note(struct session *s, const struct fd_view *v)
{
	struct map *posix = session_map(s, "locks of tables"), *others = session_map(s, "locks of files");
	uint64_t key = (uint64_t)v->task->ids->files_id << 32 | v->id;
	bool new_posix = !map_get(posix, key), new_others = !map_get(others, v->id);

	if (lock_line(v->info))
		map_put(posix, key, s);
	map_put(others, v->id, s); /* it has a holder, see filelock_queued() */
	for (const char *p = v->info; (p = lock_line(p));) {
		struct lock l;
		int r = lock_parse(p, &l) < 0 ? bad_line(s, v, p) : lock_check(s, v, &l);

		if (r == 0 && l.flag == LOCK_FLOCK)
			map_put(session_map(s, "flocks met"), flock_key(&l), s);
		if (r == 0 && (l.flag == LOCK_POSIX ? new_posix : new_others))
			r = lock_put(s, v, &l);
		if (r < 0)
			return r;
	}
	return 0;
}

int filelock_queued(struct session *s, const struct fd_view *v)
{
	if (lock_line(v->info))
		map_put(session_map(s, "locks in queues"), v->id, xstrdup(v->link));
	return 0;
}

/* Where the task maps that file; 0 nowhere. */
static uint64_t mapped_at(const struct task *k, const char *where)
{
	own_mem char *text = NULL;

	if (text_read(k->proc, "maps", &text, NULL) < 0)
		return 0;
	for (char *p = text; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
		char dev[24], have[60];
		uint64_t start, ino;

		if (sscanf(p, "%" SCNx64 "-%*x %*s %*x %23s %" SCNu64, &start, dev, &ino) != 3)
			continue;
		snprintf(have, sizeof(have), "%s:%" PRIu64, dev, ino);
		if (!strcmp(have, where))
			return start;
	}
	return 0;
}

/* Does a descriptor of the task show that lock? */
static bool flock_shown(const struct task *k, const struct lock *l)
{
	int fd = openat(k->proc, "fdinfo", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	own_dir DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		own_mem char *info = NULL;
		struct lock have;

		if (text_read(dirfd(d), e->d_name, &info, NULL) < 0)
			continue;
		for (const char *p = info; (p = lock_line(p));)
			if (lock_parse(p, &have) == 0 && have.flag == LOCK_FLOCK && !strcmp(have.where, l->where))
				return true;
	}
	return false;
}

/* A flock() of a task that has no descriptor of the file: by the mapping that keeps it open. */
static int flock_mapped(struct session *s, const struct task *k, const struct lock *l, bool write)
{
	FileLockEntry e = FILE_LOCK_ENTRY__INIT;
	uint64_t at = mapped_at(k, l->where);

	if (!write && (!at || flock_shown(k, l))) /* it runs: its descriptors may be others by now */
		return 0;
	if (!at)
		return session_fail(s, -ENOTSUP,
				    "task %d: has a lock (flock) on file %s without a descriptor or a mapping of it; keep the descriptor or give the lock up",
				    k->vpid, l->where);
	if (!s->opts->has_file_locks || !s->opts->file_locks)
		return session_fail(s, -ENOTSUP,
				    "task %d: maps file %s at %" PRIx64 ", on which it has a lock (flock); use --file-locks to keep it",
				    k->vpid, l->where, at);
	if (!write)
		return 0;
	e.pid = k->vpid;
	e.fd = -1;
	e.has_mapped_at = true;
	e.mapped_at = at;
	return lock_write(s, &e, l);
}

/* Does the task map a file of which it runs nothing? The loader's libraries have no locks. */
static bool maps_data(const struct task *k)
{
	own_mem char *text = NULL;
	char file[60] = "";
	bool runs = true;

	if (text_read(k->proc, "maps", &text, NULL) < 0)
		return false;
	for (char *p = text; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
		char prot[8], dev[24], here[60];
		uint64_t ino;

		if (sscanf(p, "%*x-%*x %7s %*x %23s %" SCNu64, prot, dev, &ino) != 3 || !ino)
			continue;
		snprintf(here, sizeof(here), "%s:%" PRIu64, dev, ino);
		if (strcmp(here, file) && !runs)
			return true;
		runs = (!strcmp(here, file) && runs) || strchr(prot, 'x');
		strcpy(file, here);
	}
	return !runs;
}

static bool tree_maps_data(const struct tree *tree)
{
	for (size_t i = 0; i < tree->n; i++)
		if (tree->all[i]->state != TASK_DEAD && maps_data(tree->all[i]))
			return true;
	return false;
}

/*
 * A flock() on a file that is only mapped any more has no descriptor whose fdinfo would show it.
 * To read /proc/locks waits for a grace period of RCU, some 20 ms: only if there may be one.
 */
static int flocks_mapped(struct session *s, const struct tree *tree, const char *met, bool write)
{
	own_mem char *text = NULL;
	int r;

	if (!tree_maps_data(tree))
		return 0;
	r = text_read(AT_FDCWD, "/proc/locks", &text, NULL);
	if (r < 0)
		return session_fail(s, r, "file locks: read /proc/locks");
	for (char *p = text; r == 0 && p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
		const char *at = strchr(p, ' ');
		struct task *k;
		struct lock l;

		if (!at || lock_parse(at, &l) < 0 || l.flag != LOCK_FLOCK || l.pid <= 0 ||
		    map_get(session_map(s, met), flock_key(&l)))
			continue;
		k = task_below(tree->root, l.pid);
		if (k && k->state != TASK_DEAD)
			r = flock_mapped(s, k, &l, write);
	}
	return r;
}

int filelock_check_end(struct session *s, const struct tree *tree)
{
	return flocks_mapped(s, tree, "flocks seen", false);
}

int filelock_dump_end(struct session *s)
{
	const struct map *queued = session_map(s, "locks in queues");

	for (size_t i = 0; i < queued->max; i++) {
		const struct map_row *row = &queued->rows[i];

		if (row->value && !map_get(session_map(s, "locks of files"), row->key))
			return session_fail(s, -ENOTSUP,
					    "file %s: is locked, but no task has a descriptor of it (it waits in a socket, or is only mapped); receive it or give the lock up",
					    (char *)row->value);
	}
	if (flocks_mapped(s, s->tree, "flocks met", true) < 0)
		return s->why_r;
	return image_shared_end(s, "filelocks.img");
}

/* ---- restore ---- */

struct locks {
	FileLockEntry **v;
	size_t n, max;
	struct map mapped; /* those set when their mapping was made */
};

static struct locks *locks_of(struct session *s)
{
	return session_state(s, "locks", sizeof(struct locks));
}

static int entry_check(struct session *s, const FileLockEntry *e)
{
	const struct task *k = task_find(s->tree, e->pid);

	if (e->flag == LOCK_LEASE && (e->type & LEASE_BREAKING))
		return session_fail(s, -ENOTSUP,
				    "filelocks.img: task %d: the lease on descriptor %d was being broken at the checkpoint, which cannot be restored; checkpoint again when its holder has given way",
				    e->pid, e->fd);
	if (!k || k->state == TASK_DEAD || (e->has_mapped_at ? e->flag != LOCK_FLOCK : e->fd < 0) || !strcmp(lock_name(e->flag), "unknown") ||
	    e->type > F_WRLCK || e->start < 0 || e->len < 0)
		return session_fail(s, -EBADMSG,
				    "filelocks.img: a lock of kind %u, type %u on descriptor %d of task %d is impossible",
				    e->flag, e->type, e->fd, e->pid);
	return 0;
}

int filelock_read(struct session *s)
{
	own_image struct image img = { .fd = -1 };
	struct locks *all = locks_of(s);
	ProtobufCMessage *m;
	int r = image_open(s, &img, MAGIC_FILE_LOCKS, "filelocks.img");

	if (r == 1)
		return 0;
	while (r == 0 && (r = image_read(&img, &file_lock_entry__descriptor, &m)) == 1) {
		*vec_add(all) = (FileLockEntry *)m;
		r = all->n > LOCKS_MAX ? session_fail(s, -E2BIG, "filelocks.img: too many locks")
				       : entry_check(s, all->v[all->n - 1]);
	}
	if (r == 0 && all->n && (!s->opts->has_file_locks || !s->opts->file_locks))
		return session_fail(s, -EINVAL,
				    "filelocks.img: the checkpoint has %zu file locks; use --file-locks to restore them",
				    all->n);
	return r;
}

/* The call that sets a lock, from its holder by descriptor fd. */
static unsigned lock_call(struct batch *b, const FileLockEntry *e, int fd)
{
	struct flock range = { .l_type = e->type, .l_whence = SEEK_SET, .l_start = e->start, .l_len = e->len };
	static const int flock_ops[] = { [F_RDLCK] = 1 /* LOCK_SH */, [F_WRLCK] = 2 /* LOCK_EX */ };

	if (e->flag == LOCK_FLOCK)
		return call2(b, NULL, SYS_flock, fd, flock_ops[e->type] | 4 /* LOCK_NB */);
	if (e->flag == LOCK_LEASE)
		return call3(b, NULL, SYS_fcntl, fd, F_SETLEASE, e->type);
	return call3(b, NULL, SYS_fcntl, fd, e->flag == LOCK_OFD ? F_OFD_SETLK : F_SETLK,
		     batch_mem(b, &range, sizeof(range), NULL));
}

static int lock_failed(struct session *s, const FileLockEntry *e, int r)
{
	if (r == -EAGAIN || r == -EACCES)
		return session_fail(s, r, "task %d: descriptor %d: set its lock (%s): somebody else has the file locked or open now",
				    e->pid, e->fd, lock_name(e->flag));
	return session_fail(s, r, "task %d: descriptor %d: set its lock (%s)", e->pid, e->fd,
			    lock_name(e->flag));
}

void filelock_mapping(struct session *s, const struct task *k, uint64_t start, int num, struct batch *b)
{
	struct locks *all = locks_of(s);

	for (size_t i = 0; i < all->n; i++)
		if (all->v[i]->has_mapped_at && all->v[i]->mapped_at == start && all->v[i]->pid == k->vpid) {
			unsigned call = lock_call(b, all->v[i], num);

			b->what[call] = "lock a mapped file, which somebody else may have locked now";
			map_put(&all->mapped, i + 1, all->v[i]);
		}
}

/* One holder's, in the order of the image. */
static int locks_of_task(struct session *s, struct task *k)
{
	const struct locks *all = locks_of(s);
	size_t at = 0;
	int r = 0;

	while (r == 0 && at < all->n) {
		struct { const FileLockEntry *e; unsigned call; } sent[64];
		size_t n = 0;
		struct batch b;

		batch_start(s, &b, task_leader(k));
		for (; at < all->n && n < ARRAY_SIZE(sent); at++) {
			if (all->v[at]->pid != k->vpid || all->v[at]->has_mapped_at)
				continue;
			sent[n].e = all->v[at];
			sent[n].call = lock_call(&b, all->v[at], all->v[at]->fd);
			n++;
		}
		r = n ? batch_run(&b) : 0;
		for (size_t i = 0; r == 0 && i < n; i++)
			if (batch_ret(&b, sent[i].call) < 0)
				r = lock_failed(s, sent[i].e, batch_ret(&b, sent[i].call));
	}
	return r;
}

int filelock_restore(struct session *s)
{
	int r = 0;

	for (size_t i = 0; i < locks_of(s)->n; i++) {
		const FileLockEntry *e = locks_of(s)->v[i];

		if (e->has_mapped_at && !map_get(&locks_of(s)->mapped, i + 1))
			return session_fail(s, -EBADMSG,
					    "filelocks.img: task %d: the file it locked is not mapped by itself at %" PRIx64,
					    e->pid, e->mapped_at);
	}
	if (!locks_of(s)->n)
		return 0;
	for (size_t i = 0; r == 0 && i < s->tree->n; i++)
		if (s->tree->all[i]->state != TASK_DEAD && !s->tree->all[i]->helper)
			r = locks_of_task(s, s->tree->all[i]);
	return r;
}
