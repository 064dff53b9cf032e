// SPDX-License-Identifier: Apache-2.0
/*
 * covered: files that are in use below a place where something else is mounted now.
 *
 * Kept:   the file, by its name as if nothing were mounted on its file system.
 * Lost:   on file systems without handles, an overlay for one, the descriptor shows no path in the container.
 *         Refused: files of a mount that is covered itself, or in a nested mount namespace.
 * Kernel: a name leads to what is mounted last. In a copy of the mount without those on it (open_tree(2)) it leads to the
 *         file, and the file's handle leads there in the mount itself: open_by_handle_at(2) crosses no mounts.
 */
#include "kind/covered.h"

#include "base/res.h"
#include "base/text.h"
#include "kind/fhandle.h"
#include "kind/ns.h"
#include "task/guest.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>

static int64_t mount_id(int fd)
{
	own_mem char *info = NULL;
	int64_t id;

	return text_readf(AT_FDCWD, &info, "/proc/self/fdinfo/%d", fd) < 0 || text_i64(info, "mnt_id:", 10, &id) < 0 ? -1 : id;
}

static int open_at(int dir, const char *path, int flags, uint64_t resolve)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .resolve = resolve };
	int fd = fd_high(syscall(SYS_openat2, dir, path, &how, sizeof(how)));

	return fd < 0 ? -errno : fd;
}

/* The name below the mount point; NULL it is not. */
static const char *below(const char *mount, const char *name)
{
	size_t n = strcmp(mount, "/") ? strlen(mount) : 0;

	return !strncmp(mount, name, n) && name[n] == '/' && name[n + 1] ? name + n + 1 : NULL;
}

char *covered_mount(const struct task *k, int fd, const char *link)
{
	int64_t id = mount_id(fd);
	own_mem char *path = id < 0 ? NULL : fhandle_mount(k, id);
	own_fd int root = -1, at = -1;

	if (!path || !below(path, link))
		return NULL;
	root = openat(k->proc, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	at = root < 0 ? -1 : open_at(root, path, O_PATH, RESOLVE_IN_ROOT);
	return at >= 0 && mount_id(at) == id ? take_mem(path) : NULL;
}

struct covered {
	int root; /* the tasks' */
	const char *mount, *rel;
	int flags;
};

/* By the handle of place, in the mount; where there are none, in the copy. */
static int open_again(const struct covered *c, int copy, int place)
{
	own_fd int mount = open_at(c->root, c->mount, O_RDONLY | O_DIRECTORY, RESOLVE_IN_ROOT);
	struct {
		struct file_handle h;
		unsigned char room[MAX_HANDLE_SZ];
	} h = { .h.handle_bytes = MAX_HANDLE_SZ };
	int id, fd = -1;

	if (mount >= 0 && name_to_handle_at(place, "", &h.h, &id, AT_EMPTY_PATH) == 0)
		fd = fd_high(open_by_handle_at(mount, &h.h, c->flags | O_CLOEXEC));
	return fd >= 0 ? fd : open_at(copy, c->rel, c->flags & ~O_NOFOLLOW, RESOLVE_BENEATH | RESOLVE_NO_XDEV);
}

/* In the mount namespace of the tasks. */
static int open_there(struct session *s, void *arg)
{
	const struct covered *c = arg;
	own_fd int at = open_at(c->root, c->mount, O_PATH, RESOLVE_IN_ROOT);
	own_fd int copy = at < 0 ? at : fd_high(syscall(SYS_open_tree, at, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
	own_fd int place = copy < 0 ? -errno : open_at(copy, c->rel, O_PATH | O_NOFOLLOW, RESOLVE_BENEATH | RESOLVE_NO_XDEV);
	own_fd int fd = place < 0 ? place : open_again(c, copy, place);

	return fd < 0 ? session_fail(s, fd, "file %s: open it below what is mounted on %s", c->rel, c->mount)
		      : guest_give_fd(s, 0, fd);
}

int covered_open(struct session *s, const char *mount, const char *name, int flags)
{
	struct covered c = { .root = ns_root_fd(s), .mount = mount, .rel = below(mount, name), .flags = flags };
	own_mem char *path = xprintf("/proc/%d/ns/mnt", s->tree->root->pid);
	own_fd int ns = open(path, O_RDONLY | O_CLOEXEC);
	struct guest_where w = { .pidns = -1, .ns = &ns, .n = 1 };
	int fd, tag, r;
	struct guest g;

	if (ns < 0 || c.root < 0 || !c.rel || mount[0] != '/')
		return ns < 0 ? -errno : -EBADMSG;
	r = guest_start(s, &g, &w, open_there, &c);
	if (r < 0)
		return r;
	fd = guest_take_fd(s, &g, &tag);
	r = guest_wait(s, &g);
	if (r < 0)
		fd_close(fd);
	return r < 0 ? r : fd;
}
