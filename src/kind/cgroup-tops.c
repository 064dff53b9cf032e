// SPDX-License-Identifier: Apache-2.0
/*
 * Where a cgroup namespace begins that no task of the tree is in, or whose tasks stand outside of it. A guest mounts
 * every hierarchy inside, in a mount namespace of its own: what such a mount shows is the top.
 *
 * Lost:   namespaces that begin in a directory which was removed: refused.
 * Kernel: cgroup_do_get_tree(); mountinfo shows the root of such a mount as the reader's cgroup namespace sees it.
 */
#include "kind/cgroup-hier.h"

#include "base/res.h"
#include "base/text.h"
#include "kind/ns.h"
#include "task/guest.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

struct job {
	uint32_t id;
	int ns;
	const char *own; /* our /proc/self/cgroup */
};

/* Return: its number among the mounts, or -errno */
static int64_t mount_inside(const struct hier *h)
{
	own_fd int fd = hier_mount(h);
	struct statx sx;

	if (fd < 0)
		return fd;
	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &sx) < 0)
		return -errno;
	return move_mount(fd, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0 ? -errno : (int64_t)sx.stx_mnt_id;
}

/* Owned by the caller; NULL: not there, or of no use to us */
static char *root_of(const char *mountinfo, int64_t id)
{
	for (const char *p = mountinfo; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
		char path[4096];

		if (strtoll(p, NULL, 10) != id || sscanf(p, "%*s %*s %*s %4095s", path) != 1)
			continue;
		text_unescape(path);
		return *path == '/' && !text_starts(path, "/..") ? xstrdup(path) : NULL;
	}
	return NULL;
}

static int put_tops(struct session *s, const struct job *job, const struct hiers *h, const int64_t *ids, int to)
{
	own_mem char *text = NULL;
	const char *line = job->own;
	int r = text_read(ns_proc(s), "thread-self/mountinfo", &text, NULL);

	for (size_t i = 0; r == 0 && i < h->n; i++, line = strchr(line, '\n') + 1) {
		own_mem char *path = root_of(text, ids[i]);
		const char *name = strchr(line, ':');

		if (!path || !name)
			return -ENOENT;
		name = strchr(name + 1, ':');
		if (!name || dprintf(to, "%.*s%s\n", (int)(name + 1 - line), line, path) < 0)
			return -EIO;
	}
	return r;
}

static int look(struct session *s, void *arg)
{
	const struct job *job = arg;
	own_fd int home = openat(ns_proc(s), "self/ns/cgroup", O_RDONLY | O_CLOEXEC);
	own_fd int to = memfd_create("tops", MFD_CLOEXEC);
	struct hiers h = { 0 };
	int r = hiers_parse(s, job->own, &h);
	own_mem int64_t *ids = xalloc((h.n + 1) * sizeof(*ids));

	if (r < 0)
		return r;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || home < 0 || to < 0 || setns(job->ns, CLONE_NEWCGROUP) < 0)
		return session_fail(s, -errno, "cgroup namespace %u: enter it", job->id);
	for (size_t i = 0; r == 0 && i < h.n; i++) {
		ids[i] = mount_inside(&h.v[i]);
		r = ids[i] < 0 ? ids[i] : 0;
	}
	if (r == 0 && setns(home, CLONE_NEWCGROUP) < 0)
		r = -errno;
	if (r == 0)
		r = put_tops(s, job, &h, ids, to);
	hiers_free(&h);
	if (r < 0)
		return session_fail(s, r, "cgroup namespace %u: find where it begins; was that directory removed?", job->id);
	return guest_give_fd(s, 0, to);
}

int cgroup_tops(struct session *s, uint32_t id, int ns, const char *own, char **ret)
{
	struct guest_where w = { .pidns = -1, .unshare = CLONE_NEWNS };
	struct job job = { .id = id, .ns = ns, .own = own };
	own_fd int fd = -1;
	struct guest g;
	int r = ns_proc(s), tag;

	if (r >= 0)
		r = guest_start(s, &g, &w, look, &job);
	if (r < 0)
		return r;
	fd = guest_take_fd(s, &g, &tag);
	r = guest_wait(s, &g);
	if (r == 0 && (fd < 0 || lseek(fd, 0, SEEK_SET) < 0))
		r = session_fail(s, -EPROTO, "cgroup namespace %u: no answer where it begins", id);
	return r < 0 ? r : text_read_fd(fd, ret, NULL);
}
