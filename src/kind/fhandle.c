// SPDX-License-Identifier: Apache-2.0
#include "kind/fhandle.h"

#include "base/list.h"
#include "base/res.h"
#include "base/text.h"
#include "kind/ghost.h"
#include "kind/ns.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#define HANDLE_MAX (FH_WORDS * 8)
#define SEARCH_MAX 500000 /* names looked at: the tasks are stopped meanwhile */

struct paths {
	char **v;
	size_t n, max;
};

static void paths_free(struct paths *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->v[i]);
	free(p->v);
}

bool fhandle_field(const char *line, const char *name, uint64_t *ret)
{
	size_t n = strlen(name);

	for (const char *p = line; *p && *p != '\n'; p++)
		if ((p == line || p[-1] == ' ') && !strncmp(p, name, n) && p[n] == ':') {
			*ret = strtoull(p + n + 1, NULL, 16);
			return true;
		}
	return false;
}

static int path_open(int root, const char *path, int flags)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	int fd = fd_high(syscall(SYS_openat2, root, path, &how, sizeof(how)));

	return fd < 0 ? -errno : fd;
}

static bool is_inode(const struct stat *st, uint32_t sdev, uint64_t ino)
{
	return st->st_ino == ino && (uint32_t)(major(st->st_dev) << 20 | minor(st->st_dev)) == sdev;
}

static bool is_file(int fd, uint32_t sdev, uint64_t ino, struct stat *st)
{
	return fstat(fd, st) == 0 && st->st_nlink && is_inode(st, sdev, ino);
}

/* "\040" and its like in mountinfo */
static void unescape(char *p)
{
	char *to = p;

	for (; *p; p++, to++)
		if (p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' && p[3] >= '0' &&
		    p[3] <= '7') {
			*to = (p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0');
			p += 3;
		} else {
			*to = *p;
		}
	*to = 0;
}

/* Mount points of one device, or of one id, in the order of mountinfo. */
static int mounts_list(pid_t pid, uint32_t sdev, int64_t id, struct paths *ret)
{
	own_mem char *text = NULL;
	char *save = NULL;
	int r = text_readf(AT_FDCWD, &text, "/proc/%d/mountinfo", pid);

	for (char *l = r < 0 ? NULL : strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		unsigned major, minor;
		int its, at = 0, end = 0;

		if (sscanf(l, "%d %*d %u:%u %*s %n%*s%n", &its, &major, &minor, &at, &end) < 3 || !end)
			continue;
		if (id >= 0 ? its != id : (major << 20 | minor) != sdev)
			continue;
		l[end] = 0;
		unescape(l + at);
		*vec_add(ret) = xstrdup(l + at);
	}
	return r;
}

static char *mount_first(const struct task *task, uint32_t sdev, int64_t id)
{
	struct paths p = { 0 };
	char *path;

	mounts_list(task->pid, sdev, id, &p);
	path = p.n ? xstrdup(p.v[0]) : NULL;
	paths_free(&p);
	return path;
}

char *fhandle_mount_of(const struct task *task, uint32_t sdev) { return mount_first(task, sdev, -1); }

char *fhandle_mount(const struct task *task, uint32_t mnt_id) { return mount_first(task, 0, mnt_id); }

/* The handle's file through some mount of its filesystem: O_PATH, or -errno. */
static int handle_open(int root, const struct paths *mounts, const FhEntry *e)
{
	struct {
		struct file_handle h;
		unsigned char room[HANDLE_MAX];
	} h;
	int fd = -ESTALE;

	if (e->bytes > HANDLE_MAX || e->bytes > e->n_handle * 8)
		return -EBADMSG;
	h.h.handle_bytes = e->bytes;
	h.h.handle_type = e->type;
	memcpy(h.h.f_handle, e->handle, e->bytes);
	for (size_t i = 0; fd < 0 && i < mounts->n; i++) {
		own_fd int place = path_open(root, mounts->v[i], O_PATH), dir = -1;
		struct stat st;

		/* a mount may cover a device or a fifo, which open() would wake */
		if (place < 0 || fstat(place, &st) < 0 || (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode)))
			continue;
		dir = fd_reopen(place, O_RDONLY | O_NONBLOCK);
		fd = dir < 0 ? dir : open_by_handle_at(dir, &h.h, O_PATH | O_CLOEXEC);
		fd = fd < 0 ? -errno : fd_high(fd);
	}
	return fd;
}

/* ---- dump ---- */

static char *path_join(const char *dir, const char *name)
{
	size_t n = strlen(dir);
	char *p = xalloc(n + strlen(name) + 2);

	sprintf(p, "%s%s%s", dir, n && dir[n - 1] == '/' ? "" : "/", name);
	return p;
}

static bool leads_to(int root, const char *path, const struct fhandle *h)
{
	own_fd int fd = path_open(root, path, O_PATH | O_NOFOLLOW);
	struct stat st;

	return fd >= 0 && is_file(fd, h->sdev, h->ino, &st);
}

/* One directory: is it there? Its subdirectories are added to the search. */
static bool dir_search(int root, struct fhandle *h, const char *path, struct paths *more, size_t *looked)
{
	int fd = path_open(root, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK);
	own_dir DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	struct stat st;

	if (!d || fstat(fd, &st) < 0 || (uint32_t)(major(st.st_dev) << 20 | minor(st.st_dev)) != h->sdev)
		return false;
	while ((e = readdir(d)) && ++*looked < SEARCH_MAX) {
		own_mem char *sub = NULL;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (e->d_ino != h->ino && e->d_type != DT_DIR)
			continue;
		sub = path_join(path, e->d_name);
		if (e->d_ino == h->ino && leads_to(root, sub, h)) {
			h->path = take_mem(sub);
			return true;
		}
		if (e->d_type == DT_DIR)
			*vec_add(more) = take_mem(sub);
	}
	return false;
}

/* Some filesystems (overlay) show handles that nobody can open: the inode is searched, shallow first. */
static void path_search(struct session *s, int root, struct fhandle *h, const struct paths *mounts)
{
	struct paths todo = { 0 };
	size_t looked = 0;

	for (size_t i = 0; i < s->opts->n_irmap_scan_paths; i++)
		*vec_add(&todo) = xstrdup(s->opts->irmap_scan_paths[i]);
	for (size_t i = 0; i < mounts->n; i++)
		*vec_add(&todo) = xstrdup(mounts->v[i]);
	for (size_t i = 0; !h->path && i < todo.n && looked < SEARCH_MAX; i++)
		if (leads_to(root, todo.v[i], h))
			h->path = xstrdup(todo.v[i]);
		else
			dir_search(root, h, todo.v[i], &todo, &looked);
	paths_free(&todo);
}

/* Has a task that file open, which has no name any more? Then it is made again for that one. */
static bool held_nameless(const struct session *s, const struct fhandle *h)
{
	struct task *k;
	struct stat st;
	int num;

	return fd_find(s->tree, h->sdev, h->ino, &k, &num, &st) && !st.st_nlink;
}

/* Its path now. None is fine where the file has lost its name, but can be found: by its handle, or as one of a task's. */
static int path_find(struct session *s, const struct task *task, const char *who, struct fhandle *h)
{
	own_fd int root = fd_high(openat(task->proc, "root", O_PATH | O_DIRECTORY | O_CLOEXEC));
	own_fd int fd = -1;
	struct paths mounts = { 0 };
	own_mem char *link = NULL;
	struct stat st;
	char self[32];

	mounts_list(task->pid, h->sdev, -1, &mounts);
	fd = handle_open(root, &mounts, &h->e);
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (fd >= 0 && text_readlink(AT_FDCWD, self, &link) == 0 && link[0] == '/' &&
	    leads_to(root, link, h))
		h->path = take_mem(link);
	if (!h->path && !(fd >= 0 && fstat(fd, &st) == 0 && !st.st_nlink))
		path_search(s, root, h, &mounts);
	paths_free(&mounts);
	if (!h->path && fd < 0 && !held_nameless(s, h))
		return session_fail(s, -ENOTSUP,
				    "%s watches inode %llu of device 0x%x, whose path cannot be found; name its directory with --irmap-scan-path",
				    who, (unsigned long long)h->ino, h->sdev);
	return 0;
}

int fhandle_parse(struct session *s, const struct task *task, const char *line, const char *who,
		  struct fhandle *h)
{
	uint64_t bytes = 0, type = 0, sdev = 0;
	const char *hex = strstr(line, "f_handle:"), *end = strchrnul(line, '\n');

	memset(h, 0, sizeof(*h));
	fh_entry__init(&h->e);
	h->e.handle = h->words;
	h->e.n_handle = FH_WORDS;
	if (!fhandle_field(line, "ino", &h->ino) || !fhandle_field(line, "sdev", &sdev))
		return session_fail(s, -EBADMSG, "%s: what it watches cannot be read", who);
	h->sdev = sdev;
	fhandle_field(line, "fhandle-bytes", &bytes);
	fhandle_field(line, "fhandle-type", &type);
	if (bytes > HANDLE_MAX)
		return session_fail(s, -ENOTSUP, "%s: watches a file whose handle is too large", who);
	if (hex && hex < end) /* filesystems without handles show none: the path must do */
		for (size_t i = 0; i < bytes; i++) {
			unsigned v = 0;

			sscanf(hex + strlen("f_handle:") + 2 * i, "%2x", &v);
			((unsigned char *)h->words)[i] = v;
		}
	h->e.bytes = bytes;
	h->e.type = type;
	if (path_find(s, task, who, h) < 0)
		return -ENOTSUP;
	h->e.path = h->path;
	return 0;
}

void fhandle_free(struct fhandle *h)
{
	free(h->path);
	h->path = NULL;
}

/* ---- restore ---- */

int fhandle_open(struct session *s, uint32_t sdev, uint64_t ino, const FhEntry *e, const char *who)
{
	int root = ns_root_fd(s), ghost = ghost_find(s, sdev, ino), fd;
	struct paths mounts = { 0 };
	struct stat st;

	if (root < 0)
		return root;
	if (ghost >= 0)
		return fd_reopen(ghost, O_PATH);
	if (e->bytes) {
		mounts_list(s->tree->root->pid, sdev, -1, &mounts);
		fd = handle_open(root, &mounts, e);
		paths_free(&mounts);
		if (fd >= 0 && fstat(fd, &st) == 0 && st.st_ino == ino)
			return fd;
		fd_close(fd);
	}
	if (!e->path || e->path[0] != '/')
		return session_fail(s, -ENOENT, "%s: the file that it watched (inode %llu) is gone, and no path is known",
				    who, (unsigned long long)ino);
	fd = path_open(root, e->path, O_PATH | O_NOFOLLOW);
	return fd < 0 ? session_fail(s, fd, "%s: open %s, which it watched", who, e->path) : fd;
}
