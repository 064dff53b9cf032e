// SPDX-License-Identifier: Apache-2.0
#include "kind/ghost.h"

#include "base/list.h"
#include "base/res.h"
#include "base/text.h"
#include "image/record.h"
#include "images/ghost-file.pb-c.h"
#include "images/remap-file-path.pb-c.h"
#include "kind/ghost-attr.h"
#include "kind/ids.h"
#include "kind/ns.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#define LIMIT_DEFAULT (1u << 20)
#define CHUNKS_FROM 12288 /* smaller files are written whole */
#define GHOST_SIZE_MAX (1ULL << 50)
#define DELETED " (deleted)"
#define LINK_PREFIX "link_remap."
#define BLOCK (256u << 10)

/* ---- dump ---- */

/* one inode that is carried */
struct ghost {
	struct ghost *next; /* same key */
	dev_t dev;
	ino_t ino;
	uint32_t id;
};

static uint64_t kdev(dev_t dev)
{
	return (uint64_t)major(dev) << 20 | minor(dev);
}

/* Does the path lead to this very file or device, from that root? */
static bool leads_from(int root, const char *path, const struct stat *st)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC | O_NOFOLLOW, .resolve = RESOLVE_IN_ROOT };
	own_fd int fd = root < 0 ? -1 : syscall(SYS_openat2, root, path, &how, sizeof(how));
	struct stat now;

	if (fd < 0 || fstat(fd, &now) < 0)
		return false;
	if (S_ISCHR(st->st_mode)) /* each /dev has a null of its own */
		return now.st_mode == st->st_mode && now.st_rdev == st->st_rdev;
	return now.st_dev == st->st_dev && now.st_ino == st->st_ino;
}

static const struct task *root_of(const struct task *k)
{
	while (k->parent)
		k = k->parent;
	return k->view ? k->view->task : k;
}

/* Is it in another mount namespace than the root task? */
static bool in_nested(const struct task *k)
{
	const struct task *root = root_of(k);

	return k->ids && root->ids && k->ids->has_mnt_ns_id && k->ids->mnt_ns_id != root->ids->mnt_ns_id;
}

static uint64_t mount_of(int fd)
{
	struct statx sx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &sx) < 0)
		return 0;
	return sx.stx_mask & STATX_MNT_ID ? sx.stx_mnt_id : 0;
}

uint32_t ghost_mount(const struct task *k, int fd)
{
	return in_nested(k) ? mount_of(fd) : 0;
}

struct task *ghost_home(struct session *s, struct task *k, int fd)
{
	struct task *there = ns_nested(s, CLONE_NEWNS, 0) ? ns_mount_task(s, mount_of(fd)) : NULL;

	return there && k->ids && there->ids->mnt_ns_id != k->ids->mnt_ns_id ? there : k;
}

/* Not the task's own in a mount namespace of the root task: it may be in a chroot, and its files were opened before. */
int ghost_root(const struct task *k)
{
	struct stat its, ours;

	if (in_nested(k))
		return fd_high(openat(k->proc, "root", O_PATH | O_DIRECTORY | O_CLOEXEC));
	k = root_of(k);
	if (fstatat(k->proc, "ns/mnt", &its, 0) == 0 && stat("/proc/self/ns/mnt", &ours) == 0 &&
	    its.st_ino == ours.st_ino)
		return fd_high(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
	return fd_high(openat(k->proc, "root", O_PATH | O_DIRECTORY | O_CLOEXEC));
}

static bool leads_to(const struct task *k, const char *path, const struct stat *st)
{
	own_fd int root = ghost_root(k);

	if (leads_from(root, path, st) || !in_nested(k))
		return leads_from(root, path, st);
	return leads_to(root_of(k), path, st); /* opened before it went into its own */
}

bool ghost_outside(const struct task *k, const char *path, const struct stat *st)
{
	own_fd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	return (S_ISREG(st->st_mode) || S_ISFIFO(st->st_mode)) && st->st_nlink &&
	       leads_from(root, path, st) && !leads_to(k, path, st);
}

static const char *what(char buf[40], const struct task *k, int num)
{
	if (num < 0)
		snprintf(buf, 40, "task %d: a path in use", k->vpid);
	else
		snprintf(buf, 40, "task %d: descriptor %d", k->vpid, num);
	return buf;
}

int ghost_elsewhere(struct session *s, const struct task *k, int num, const char *link)
{
	char buf[40];

	return session_fail(s, -ENOTSUP,
			    "%s is %s, but that name leads elsewhere (covered by a mount, or replaced); such files cannot be checkpointed",
			    what(buf, k, num), link);
}

uint64_t ghost_limit(const struct session *s)
{
	return s->opts->has_ghost_limit ? s->opts->ghost_limit : LIMIT_DEFAULT;
}

static int limit_check(struct session *s, const struct task *k, const struct stat *st, const char *link,
		       int num)
{
	uint64_t limit = ghost_limit(s);
	uint64_t size = (uint64_t)st->st_blocks * 512;
	char buf[40];

	if (!S_ISREG(st->st_mode) || size <= limit)
		return 0;
	return session_fail(s, -ENOTSUP,
			    "%s is %s, of %llu bytes, and would go into the image; allow that with --ghost-limit %llu (it is %llu)",
			    what(buf, k, num), link, (unsigned long long)size, (unsigned long long)size,
			    (unsigned long long)limit);
}

/*
 * sem_open(3) makes a file under a name that it removes once it has linked the real one: that is in the same
 * directory. Owned by the caller; NULL: none.
 */
static char *semaphore_name(const struct task *k, const char *name, const struct stat *st)
{
	const char *base = strrchr(name, '/');
	own_mem char *dir = base ? strndup(name, base - name) : NULL;
	own_fd int root = dir ? ghost_root(k) : -1;
	struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	own_dir DIR *d = NULL;
	struct dirent *e;
	int fd;

	if (root < 0 || !text_starts(base, "/sem."))
		return NULL;
	fd = syscall(SYS_openat2, root, dir, &how, sizeof(how));
	d = fd < 0 ? NULL : fdopendir(fd);
	while (d && (e = readdir(d))) {
		struct stat its;

		if (e->d_ino == st->st_ino && text_starts(e->d_name, "sem.") &&
		    fstatat(dirfd(d), e->d_name, &its, AT_SYMLINK_NOFOLLOW) == 0 && its.st_ino == st->st_ino &&
		    its.st_dev == st->st_dev)
			return xprintf("%s/%s", dir, e->d_name);
	}
	return NULL;
}

/* Is it in the tasks' /proc, by a number? */
static bool proc_ghost(const struct task *k, const struct stat *st, const char *name)
{
	own_fd int root = text_starts(name, "/proc/") && name[6] >= '1' && name[6] <= '9' ? ghost_root(k) : -1;
	struct stat proc;

	return root >= 0 && fstatat(root, "proc", &proc, 0) == 0 && proc.st_dev == st->st_dev;
}

int ghost_check(struct session *s, const struct task *k, const struct stat *st, const char *link, int num,
		char **ret_name)
{
	char *other;
	size_t n = strlen(link), d = strlen(DELETED);
	bool cut = n > d && !strcmp(link + n - d, DELETED);
	char buf[40];
	int r;

	*ret_name = xstrdup(link);
	if (st->st_nlink && leads_to(k, link, st))
		return GHOST_NAMED;
	if (num >= 0 && ghost_outside(k, link, st))
		return GHOST_OUTSIDE;
	if (cut)
		(*ret_name)[n - d] = 0;
	if (cut && leads_to(k, *ret_name, st)) /* a mount shows it: kind/mnt-deleted.c */
		return GHOST_NAMED;
	if (proc_ghost(k, st, *ret_name))
		return ghost_proc_pid(k, *ret_name) > 0
			       ? GHOST_PROC
			       : session_fail(s, -ENOTSUP,
					      "%s is %s, which told of a task that has ended, and cannot be made again; close it first",
					      what(buf, k, num), link);
	if (link[0] == '/' && !cut && st->st_nlink && !in_nested(k))
		return GHOST_COVERED;
	if (link[0] != '/' || !(*ret_name)[1] || (!cut && st->st_nlink))
		return ghost_elsewhere(s, k, num, link);
	if (S_ISDIR(st->st_mode) || (!st->st_nlink && (S_ISREG(st->st_mode) || S_ISFIFO(st->st_mode) ||
						       S_ISCHR(st->st_mode) || S_ISLNK(st->st_mode)))) {
		r = limit_check(s, k, st, link, num);
		return r < 0 ? r : GHOST_CARRIED;
	}
	if (!st->st_nlink)
		return session_fail(s, -ENOTSUP, "%s is %s, a block device or socket without a name, which cannot be checkpointed",
				    what(buf, k, num), link);
	other = cut && !s->opts->link_remap ? semaphore_name(k, *ret_name, st) : NULL;
	if (other) {
		free(*ret_name);
		*ret_name = other;
		return GHOST_NAMED;
	}
	if (!s->opts->link_remap)
		return session_fail(s, -ENOTSUP,
				    "%s is %s, which lives on under another name; use --link-remap, which gives it a temporary one beside the old",
				    what(buf, k, num), link);
	return GHOST_LINKED;
}

static int remap_write(struct session *s, uint32_t id, uint32_t remap_id, RemapType type)
{
	struct image *img = image_shared(s, MAGIC_REMAP_FPATH, "remap-fpath.img");
	RemapFilePathEntry e = REMAP_FILE_PATH_ENTRY__INIT;

	e.orig_id = id;
	e.remap_id = remap_id;
	e.has_remap_type = true;
	e.remap_type = type;
	return img ? image_write(img, &e.base) : -EIO;
}

/* n bytes from at on; the tasks are stopped, yet somebody else may have cut the file */
static int bytes_write(struct session *s, struct image *img, int fd, uint64_t at, uint64_t n)
{
	own_mem char *buf = xalloc(BLOCK);

	while (n) {
		ssize_t got = pread(fd, buf, n < BLOCK ? n : BLOCK, at);
		int r;

		if (got <= 0)
			return session_fail(s, got < 0 ? -errno : -EAGAIN, "%s: read the file that it holds",
					    img->name);
		r = image_write_raw(img, buf, got);
		if (r < 0)
			return r;
		at += got;
		n -= got;
	}
	return 0;
}

static int chunks_write(struct session *s, struct image *img, int fd, uint64_t size)
{
	off_t at = 0;
	int r = 0;

	while (r == 0 && (at = lseek(fd, at, SEEK_DATA)) >= 0 && (uint64_t)at < size) {
		off_t end = lseek(fd, at, SEEK_HOLE);
		GhostChunkEntry e = GHOST_CHUNK_ENTRY__INIT;

		if (end < 0)
			return session_fail(s, -errno, "%s: look for holes", img->name);
		e.off = at;
		e.len = ((uint64_t)end < size ? (uint64_t)end : size) - at;
		r = image_write(img, &e.base);
		if (r == 0)
			r = bytes_write(s, img, fd, e.off, e.len);
		at = end;
	}
	if (at < 0 && errno != ENXIO)
		return session_fail(s, -errno, "%s: look for data", img->name);
	return r;
}

int ghost_write(struct session *s, int fd, const struct stat *st, uint32_t id)
{
	own_image struct image img = { 0 };
	GhostFileEntry e = GHOST_FILE_ENTRY__INIT;
	Timeval at = TIMEVAL__INIT, mt = TIMEVAL__INIT;
	bool reg = S_ISREG(st->st_mode);
	char target[PATH_MAX] = "";
	own_fd int data = -1;
	int r;

	e.uid = st->st_uid;
	e.gid = st->st_gid;
	r = s->guest ? 0 : owner_in(s, &e.uid, &e.gid, "file 0x%x, which has no name", id);
	if (r < 0)
		return r;
	e.mode = st->st_mode;
	e.has_dev = e.has_ino = true;
	e.dev = kdev(st->st_dev);
	e.ino = st->st_ino;
	if (S_ISLNK(st->st_mode)) {
		if (readlinkat(fd, "", target, sizeof(target) - 1) < 0)
			return session_fail(s, -errno, "ghost file 0x%x: where the link leads", id);
		e.symlnk_target = target;
	}
	e.has_rdev = S_ISCHR(st->st_mode);
	e.rdev = st->st_rdev;
	at.tv_sec = st->st_atim.tv_sec;
	at.tv_usec = st->st_atim.tv_nsec / 1000;
	mt.tv_sec = st->st_mtim.tv_sec;
	mt.tv_usec = st->st_mtim.tv_nsec / 1000;
	e.atim = &at;
	e.mtim = &mt;
	e.has_chunks = e.has_size = e.chunks = reg && st->st_size >= CHUNKS_FROM;
	e.size = st->st_size;
	e.has_atim_nsec = e.has_mtim_nsec = true;
	e.atim_nsec = st->st_atim.tv_nsec;
	e.mtim_nsec = st->st_mtim.tv_nsec;
	if (reg || S_ISDIR(st->st_mode)) {
		data = fd_reopen(fd, O_RDONLY | O_NOATIME);
		if (data == -EPERM)
			data = fd_reopen(fd, O_RDONLY);
		if (data < 0)
			return session_fail(s, data, "ghost file 0x%x: open it for reading", id);
		r = ghost_attr_read(s, data, &e, id);
	}
	if (r == 0)
		r = image_create(s, &img, MAGIC_GHOST_FILE, "ghost-file-%x.img", id);
	if (r == 0)
		r = image_write(&img, &e.base);
	if (r == 0 && reg)
		r = e.chunks ? chunks_write(s, &img, data, st->st_size)
			     : bytes_write(s, &img, data, 0, st->st_size);
	ghost_attr_free(&e);
	return r < 0 ? r : image_close(&img);
}

static int carried_dump(struct session *s, int fd, const struct stat *st, uint32_t id)
{
	struct map *m = session_map(s, "ghost inode"), *ids = session_map(s, "ghost ids");
	uint64_t key = st->st_ino ^ (uint64_t)st->st_dev << 32;
	struct ghost *g = map_get(m, key);
	int r;

	while (g && (g->dev != st->st_dev || g->ino != st->st_ino))
		g = g->next;
	if (!g) {
		g = xalloc(sizeof(*g));
		g->next = map_get(m, key);
		g->dev = st->st_dev;
		g->ino = st->st_ino;
		g->id = ids->n + 1;
		map_put(m, key, g);
		map_put(ids, g->id, g);
		r = ghost_write(s, fd, st, g->id);
		if (r < 0)
			return r;
	}
	return remap_write(s, id, g->id, REMAP_TYPE__GHOST);
}

static void temp_remove(void *arg)
{
	struct ghost_name *t = arg;

	unlinkat(t->dir, t->name, 0);
	fd_close(t->dir);
	free(t);
}

/* Directory part of an absolute path below root; *ret_base points into path. */
static int open_parent(int root, const char *path, const char **ret_base)
{
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	const char *slash = strrchr(path, '/');
	own_mem char *dir = xstrdup(path);
	int fd;

	*ret_base = slash + 1;
	dir[slash - path + 1] = 0;
	fd = fd_high(syscall(SYS_openat2, root, dir, &how, sizeof(how)));
	return fd < 0 ? -errno : fd;
}

static int linked_dump(struct session *s, const struct task *k, int fd, const char *name, uint32_t id)
{
	own_fd int root = ghost_root(k);
	RegFileEntry e = REG_FILE_ENTRY__INIT;
	FownEntry fown = FOWN_ENTRY__INIT;
	struct ghost_name *t = xalloc(sizeof(*t));
	own_mem char *path = NULL;
	const char *base = "";
	char self[32];
	int r = root < 0 ? root : open_parent(root, name, &base);

	t->dir = r;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	for (int i = 0; r >= 0 && i < 1000; i++) {
		snprintf(t->name, sizeof(t->name), i ? LINK_PREFIX "%u.%d" : LINK_PREFIX "%u", id, i);
		r = ids_assume(s);
		if (r == 0)
			r = linkat(AT_FDCWD, self, t->dir, t->name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
		ids_resign(s);
		if (r != -EEXIST)
			break;
		r = i < 999 ? 0 : r;
	}
	if (r < 0) {
		free(t);
		return session_fail(s, r, "file %s: make a temporary link beside its old name", name);
	}
	session_undo(s, temp_remove, t);
	path = xalloc(strlen(name) + sizeof(t->name));
	sprintf(path, "%.*s%s", (int)(base - name), name, t->name);
	e.id = fd_new_id(s);
	e.fown = &fown;
	e.name = path;
	e.mnt_id = ghost_mount(k, t->dir);
	e.has_mnt_id = e.mnt_id > 0;
	r = fd_put_id(s, FD_TYPES__REG, e.id, &e.base);
	return r < 0 ? r : remap_write(s, id, e.id, REMAP_TYPE__LINKED);
}

int ghost_dump(struct session *s, const struct task *k, enum ghost_how how, int fd, const struct stat *st,
	       const char *name, uint32_t id)
{
	return how == GHOST_CARRIED  ? carried_dump(s, fd, st, id)
	       : how == GHOST_LINKED ? linked_dump(s, k, fd, name, id)
	       : how == GHOST_PROC   ? remap_write(s, id, ghost_proc_pid(k, name), REMAP_TYPE__PROCFS)
				     : 0;
}

int ghost_dump_end(struct session *s)
{
	return image_shared_end(s, "remap-fpath.img");
}

/* ---- restore ---- */

/* a file being made */
struct making {
	struct session *s;
	const char *name, *base; /* as it was called; its last part */
	uint32_t id;
	int root; /* from where that name is looked up */
	int dir, fd;
	char temp[NAME_MAX + 1]; /* empty: it never had one */
	struct ghost_name *keep; /* takes its name, or NULL */
	struct {
		struct ghost_name *v;
		size_t n, max;
	} parents; /* directories made for it, outermost first */
};

static int making_fail(struct making *m, int r, const char *verb)
{
	return session_fail(m->s, r, "file %s, which had no name at the checkpoint: %s", m->name, verb);
}

/* The directory it was in; where that is gone too, it is made for the moment. */
static int making_dir(struct making *m)
{
	m->dir = open_parent(m->root, m->name, &m->base);
	for (const char *p = strchr(m->name + 1, '/'); m->dir == -ENOENT && p; p = strchr(p + 1, '/')) {
		own_mem char *part = xstrdup(m->name);
		const char *base;
		struct ghost_name *t;
		int dir;

		part[p - m->name] = 0;
		dir = open_parent(m->root, part, &base);
		if (dir < 0)
			return making_fail(m, dir, "make its directory");
		if (mkdirat(dir, base, 0755) < 0 || strlen(base) > NAME_MAX) {
			fd_close(dir); /* mostly EEXIST */
		} else {
			t = vec_add(&m->parents);
			t->dir = dir;
			strcpy(t->name, base);
		}
	}
	if (m->dir == -ENOENT)
		m->dir = open_parent(m->root, m->name, &m->base);
	return m->dir < 0 ? making_fail(m, m->dir, "open its directory") : 0;
}

static void making_end(struct making *m)
{
	for (size_t i = m->parents.n; i-- > 0;) {
		unlinkat(m->parents.v[i].dir, m->parents.v[i].name, AT_REMOVEDIR);
		fd_close(m->parents.v[i].dir);
	}
	free(m->parents.v);
	fd_close(m->dir);
}

static int making_node(struct making *m, const GhostFileEntry *e)
{
	switch (e->mode & S_IFMT) {
	case S_IFREG:
		m->fd = openat(m->dir, m->temp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		return m->fd < 0 ? -errno : 0;
	case S_IFDIR:
		return mkdirat(m->dir, m->temp, 0700) < 0 ? -errno : 0;
	case S_IFIFO:
		return mknodat(m->dir, m->temp, S_IFIFO | 0600, 0) < 0 ? -errno : 0;
	case S_IFCHR:
		return mknodat(m->dir, m->temp, S_IFCHR | 0600, e->rdev) < 0 ? -errno : 0;
	case S_IFLNK:
		return symlinkat(e->symlnk_target ? e->symlnk_target : "", m->dir, m->temp) < 0 ? -errno : 0;
	}
	return session_fail(m->s, -EBADMSG, "ghost-file-%x.img: mode 0%o is of no kind that is carried", m->id,
			    e->mode);
}

/* "#123": made by O_TMPFILE. Only such a file may still be given a name by linkat(2). */
static bool made_nameless(const char *base)
{
	return base[0] == '#' && base[1] && strspn(base + 1, "0123456789") == strlen(base + 1);
}

/* Under a temporary name that nobody has, or none. */
static int making_create(struct making *m, const GhostFileEntry *e)
{
	int r = -EEXIST;

	if (S_ISREG(e->mode) && made_nameless(m->base) && !m->keep) {
		m->fd = fd_high(openat(m->dir, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600));
		if (m->fd >= 0)
			return 0;
	}
	for (int i = 0; r == -EEXIST && i < 1000; i++) {
		snprintf(m->temp, sizeof(m->temp), i ? "%.200s.cr.%x.ghost.%d" : "%.200s.cr.%x.ghost", m->base,
			 m->id, i);
		r = making_node(m, e);
	}
	if (r == 0 && m->fd < 0)
		m->fd = openat(m->dir, m->temp, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (r == 0 && m->fd < 0)
		r = -errno;
	m->fd = fd_high(m->fd);
	return r < 0 ? making_fail(m, r, "make it again in its directory") : 0;
}

static int bytes_read(struct making *m, struct image *img, uint64_t at, uint64_t n)
{
	own_mem char *buf = xalloc(BLOCK);

	if (n > image_left(img) || lseek(m->fd, at, SEEK_SET) < 0)
		return session_fail(m->s, -EBADMSG, "%s: is too short or has a bad offset", img->name);
	while (n) {
		size_t part = n < BLOCK ? n : BLOCK;
		int r = image_read_raw(img, buf, part);

		if (r == 0)
			r = fd_write_all(m->fd, buf, part);
		if (r < 0)
			return making_fail(m, r, "write its contents");
		n -= part;
	}
	return 0;
}

static int chunks_read(struct making *m, struct image *img, const GhostFileEntry *e)
{
	ProtobufCMessage *c;
	int r;

	if (!e->has_size || e->size > GHOST_SIZE_MAX)
		return session_fail(m->s, -EBADMSG, "%s: has no size, or too large a one", img->name);
	if (ftruncate(m->fd, e->size) < 0)
		return making_fail(m, -errno, "set its size");
	while ((r = image_read(img, &ghost_chunk_entry__descriptor, &c)) == 1) {
		const GhostChunkEntry *k = (GhostChunkEntry *)c;

		r = k->off > e->size || k->len > e->size - k->off
			    ? session_fail(m->s, -EBADMSG, "%s: has data behind its end", img->name)
			    : bytes_read(m, img, k->off, k->len);
		protobuf_c_message_free_unpacked(c, NULL);
		if (r < 0)
			return r;
	}
	return r;
}

/* of an image: to the nanosecond, unless it is CRIU's */
static void time_from(struct timespec *ret, const Timeval *t, bool has_nsec, uint32_t nsec)
{
	if (t && t->tv_usec < 1000000)
		*ret = (struct timespec){ t->tv_sec, has_nsec && nsec < 1000000000 ? nsec : t->tv_usec * 1000 };
}

/* By the descriptor, also where it only names the file (O_PATH). */
static int making_attributes(struct making *m, const GhostFileEntry *e)
{
	struct timespec t[2] = { { 0, UTIME_OMIT }, { 0, UTIME_OMIT } };
	uint32_t uid = e->uid, gid = e->gid;
	int proc = ns_proc(m->s);
	char self[32];

	snprintf(self, sizeof(self), "self/fd/%d", m->fd);
	time_from(&t[0], e->atim, e->has_atim_nsec, e->atim_nsec);
	time_from(&t[1], e->mtim, e->has_mtim_nsec, e->mtim_nsec);
	if (!m->s->guest && owner_out(m->s, &uid, &gid, "ghost-file-%x.img: the file", m->id) < 0)
		return -EBADMSG;
	if (proc < 0 || fchownat(proc, self, uid, gid, 0) < 0 ||
	    (!S_ISLNK(e->mode) && fchmodat(proc, self, e->mode & 07777, 0) < 0))
		return making_fail(m, -errno, "set its owner and mode");
	if (e->n_attrs) {
		own_fd int fd = S_ISREG(e->mode) ? fcntl(m->fd, F_DUPFD_CLOEXEC, 3) :
						   openat(proc, self, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		ghost_attr_write(m->s, fd, e, m->id);
	}
	if ((e->atim || e->mtim) && utimensat(proc, self, t, 0) < 0)
		return making_fail(m, -errno, "set its times");
	return 0;
}

/* /proc shows the name it had last: its own, unless that belongs to another file now. */
int ghost_unname(const struct ghost_name *n)
{
	bool own = syscall(SYS_renameat2, n->dir, n->name, n->dir, n->last, RENAME_NOREPLACE) == 0;

	return unlinkat(n->dir, own ? n->last : n->name, n->is_dir ? AT_REMOVEDIR : 0) < 0 ? -errno : 0;
}

static int making_unname(struct making *m, const GhostFileEntry *e)
{
	struct ghost_name n = { .dir = m->dir, .is_dir = S_ISDIR(e->mode) };
	int r;

	if (!m->temp[0])
		return 0;
	snprintf(n.name, sizeof(n.name), "%s", m->temp);
	snprintf(n.last, sizeof(n.last), "%s", m->base);
	if (m->keep) {
		*m->keep = n;
		m->dir = -1;
		return 0;
	}
	r = ghost_unname(&n);
	return r < 0 ? making_fail(m, r, "take its name away") : 0;
}

/* Watchers of its directory hear it when a descriptor that can write is closed: done before they listen. */
static int making_path_only(struct making *m)
{
	own_mem char *self = xprintf("self/fd/%d", m->fd);
	int fd = fd_high(openat(ns_proc(m->s), self, O_PATH | O_CLOEXEC));

	if (fd < 0)
		return making_fail(m, -errno, "keep it");
	fd_close(m->fd);
	m->fd = fd;
	return 0;
}

static int carried_fill(struct making *m, struct image *img, const GhostFileEntry *e)
{
	int r = making_dir(m);

	if (r == 0)
		r = making_create(m, e);
	if (r < 0)
		return r;
	if (S_ISREG(e->mode))
		r = e->chunks ? chunks_read(m, img, e) : bytes_read(m, img, 0, image_left(img));
	if (r == 0)
		r = making_attributes(m, e);
	if (r == 0)
		r = making_path_only(m);
	if (r == 0)
		r = making_unname(m, e);
	else if (m->temp[0])
		unlinkat(m->dir, m->temp, S_ISDIR(e->mode) ? AT_REMOVEDIR : 0);
	return r;
}

/* Stays open until the restore is over. */
static void *fd_keep(struct session *s, int fd)
{
	struct map *fds = session_map(s, "ghost fds");
	void *v = (void *)(intptr_t)(fd + 1);

	map_put(fds, fds->n + 1, v);
	return v;
}

/* one that was made, by the inode it had at the checkpoint */
struct was {
	struct was *next; /* same number on another device */
	uint32_t dev;
	int fd;
};

static void inode_note(struct session *s, uint32_t dev, uint64_t ino, int fd)
{
	struct map *m = session_map(s, "ghost made by inode");
	struct was *w = xalloc(sizeof(*w));

	w->next = map_get(m, ino);
	w->dev = dev;
	w->fd = fd;
	map_put(m, ino, w);
}

int ghost_make(struct session *s, int root, const char *name, uint32_t id, struct ghost_name *ret)
{
	struct making m = { .s = s, .name = name, .id = id, .root = root, .dir = -1, .fd = -1, .keep = ret };
	own_image struct image img = { 0 };
	ProtobufCMessage *msg = NULL;
	const GhostFileEntry *e;
	int r;

	r = image_open(s, &img, MAGIC_GHOST_FILE, "ghost-file-%x.img", id);
	if (r == 0)
		r = image_read(&img, &ghost_file_entry__descriptor, &msg);
	else if (r == 1)
		r = 0;
	if (r != 1)
		return r < 0 ? r : session_fail(s, -EBADMSG, "image ghost-file-%x.img: is missing or empty; the checkpoint is not whole", id);
	e = (GhostFileEntry *)msg;
	r = carried_fill(&m, &img, e);
	making_end(&m);
	if (r == 0) {
		if (e->has_dev && e->has_ino)
			inode_note(s, e->dev, e->ino, m.fd);
		session_debug(s, "ghost 0x%x: %s made again, mode 0%o", id, name, e->mode);
	} else {
		fd_close(m.fd);
	}
	protobuf_c_message_free_unpacked(msg, NULL);
	return r < 0 ? r : m.fd;
}

static int carried_make(struct session *s, const char *name, uint32_t id, int *ret_fd)
{
	struct map *made = session_map(s, "ghost made");
	int root = ns_root_fd(s);

	*ret_fd = (int)(intptr_t)map_get(made, id) - 1;
	if (*ret_fd >= 0 || root < 0)
		return root < 0 ? root : 0;
	*ret_fd = ghost_make(s, root, name, id, NULL);
	if (*ret_fd >= 0)
		map_put(made, id, fd_keep(s, *ret_fd));
	return *ret_fd < 0 ? *ret_fd : 0;
}

/* Its temporary link goes at the end, if it looks like one. */
static void linked_note(struct session *s, int root, const char *name)
{
	struct map *m = session_map(s, "ghost links");
	const char *base;
	struct ghost_name *t;
	int dir = open_parent(root, name, &base);

	if (dir < 0 || !text_starts(base, LINK_PREFIX) || strlen(base) > NAME_MAX) {
		fd_close(dir);
		return;
	}
	t = xalloc(sizeof(*t));
	t->dir = dir;
	strcpy(t->name, base);
	map_put(m, m->n + 1, t);
}

/* The file has a link: named as before for a moment, so that /proc shows that name. */
static int linked_make(struct session *s, const char *name, uint32_t link_id, int *ret_fd)
{
	struct open_how how = { .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	const FileEntry *l = fd_entry(s, link_id);
	own_fd int dir = -1, fd = -1;
	struct stat a, b;
	const char *base;
	char self[32];
	int named, root;

	if (!l || !l->reg || l->reg->name[0] != '/')
		return session_fail(s, -EBADMSG, "remap-fpath.img: link 0x%x is missing", link_id);
	root = ns_root_of(s, l->reg->has_mnt_id && l->reg->mnt_id > 0 ? l->reg->mnt_id : 0);
	if (root < 0)
		return -EIO;
	fd = fd_high(syscall(SYS_openat2, root, l->reg->name, &how, sizeof(how)));
	if (fd < 0 || fstat(fd, &a) < 0)
		return session_fail(s, -errno, "file %s: open the link that --link-remap made", l->reg->name);
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	dir = open_parent(root, name, &base);
	if (dir >= 0 && linkat(AT_FDCWD, self, dir, base, AT_SYMLINK_FOLLOW) == 0) {
		named = fd_high(openat(dir, base, O_PATH | O_NOFOLLOW | O_CLOEXEC));
		if (named >= 0 && fstat(named, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev) {
			unlinkat(dir, base, 0);
			fd_close(fd);
			fd = named;
		} else {
			fd_close(named);
		}
	}
	linked_note(s, root, l->reg->name);
	*ret_fd = take_fd(fd);
	fd_keep(s, *ret_fd);
	return 0;
}

#define OLD_GHOST (1u << 31) /* images without remap_type: in remap_id */

static int remap_make(struct session *s, const RemapFilePathEntry *e)
{
	struct map *m = session_map(s, "ghost of entry");
	const FileEntry *f = fd_entry(s, e->orig_id);
	uint32_t id = e->remap_id;
	RemapType type = e->remap_type;
	const char *base;
	int fd = -1, r;

	if (!e->has_remap_type) {
		type = id & OLD_GHOST ? REMAP_TYPE__GHOST : REMAP_TYPE__LINKED;
		id &= ~OLD_GHOST;
	}
	base = f && f->reg ? strrchr(f->reg->name, '/') : NULL;
	if (!base || f->reg->name[0] != '/' || !base[1] || !strcmp(base, "/.") || !strcmp(base, "/..") ||
	    map_get(m, e->orig_id))
		return session_fail(s, -EBADMSG, "remap-fpath.img: file 0x%x has no path, or is there twice",
				    e->orig_id);
	if (type == REMAP_TYPE__GHOST)
		r = carried_make(s, f->reg->name, id, &fd);
	else if (type == REMAP_TYPE__LINKED)
		r = linked_make(s, f->reg->name, id, &fd);
	else if (type == REMAP_TYPE__PROCFS)
		r = ghost_proc_make(s, f->reg, id, &fd);
	else
		r = session_fail(s, -EBADMSG, "remap-fpath.img: file 0x%x is remapped in an unknown way", e->orig_id);
	if (r == 0 && type == REMAP_TYPE__PROCFS) {
		fd_keep(s, fd);
		map_put(session_map(s, "ghost in proc"), e->orig_id, s);
	}
	if (r == 0)
		map_put(m, e->orig_id, (void *)(intptr_t)(fd + 1));
	return r;
}

/* All at once, before anything watches their directories. */
static int remaps_make(struct session *s)
{
	struct map *done = session_map(s, "ghosts made");
	own_image struct image img = { 0 };
	ProtobufCMessage *m;
	int r;

	if (map_get(done, 0))
		return 0;
	map_put(done, 0, done);
	r = image_open(s, &img, MAGIC_REMAP_FPATH, "remap-fpath.img");
	if (r == 1)
		return 0;
	while (r == 0 && (r = image_read(&img, &remap_file_path_entry__descriptor, &m)) == 1) {
		r = remap_make(s, (RemapFilePathEntry *)m);
		protobuf_c_message_free_unpacked(m, NULL);
	}
	return r;
}

int ghost_get(struct session *s, uint32_t id, int *ret_fd)
{
	int r = remaps_make(s);

	if (r < 0)
		return r;
	*ret_fd = (int)(intptr_t)map_get(session_map(s, "ghost of entry"), id) - 1;
	return *ret_fd < 0 ? 0 : map_get(session_map(s, "ghost in proc"), id) ? 2 : 1;
}

int ghost_find(struct session *s, uint32_t dev, uint64_t ino)
{
	const struct was *w = map_get(session_map(s, "ghost made by inode"), ino);

	while (w && w->dev != dev)
		w = w->next;
	return w ? w->fd : -1;
}

void ghost_restore_end(struct session *s)
{
	struct map *links = session_map(s, "ghost links"), *fds = session_map(s, "ghost fds");

	for (size_t i = 1; i <= links->n; i++) {
		struct ghost_name *t = map_get(links, i);

		if (!s->why_r)
			unlinkat(t->dir, t->name, 0);
		fd_close(t->dir);
		free(t);
	}
	for (size_t i = 1; i <= fds->n; i++)
		fd_close((int)(intptr_t)map_get(fds, i) - 1);
	map_free(links);
	map_free(fds);
	ghost_proc_end(s);
}
