// SPDX-License-Identifier: Apache-2.0
/*
 * Idmapped mounts.
 *
 * Kept:   the maps, of mounts whose files are not in the images, where the tasks have no user namespace of their own.
 * Lost:   which user namespace the map came from: the restore makes one for it.
 * Kernel: statmount(2) with STATMOUNT_MNT_UIDMAP, open_tree_attr(2): Linux 6.15. A clone of an idmapped mount is so,
 *         too: every mount gets its own map, or none, when it is cloned.
 */
#include "kind/mnt-idmap.h"

#include "base/res.h"
#include "base/text.h"
#include "kind/mnt-stat.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define NR_OPEN_TREE_ATTR 467
#define WANTED (MNT_STAT_BASIC | MNT_STAT_UIDMAP | MNT_STAT_GIDMAP)
#define MAP_MAX 4096

/* ---- dump ---- */

/* n strings behind each other, as lines */
static char *lines(const struct mnt_stat *m, uint32_t n, uint32_t at)
{
	char *ret = xalloc(sizeof(m->text) + 1);
	size_t left = at < sizeof(m->text) ? sizeof(m->text) - at : 0;
	const char *p = m->text + at;

	for (uint32_t i = 0; i < n; i++) {
		size_t len = strnlen(p, left);

		if (len == left)
			break;
		strcat(strcat(ret, p), "\n");
		p += len + 1;
		left -= len + 1;
	}
	return ret;
}

static void note_one(void *arg, const struct mnt_stat *m)
{
	const struct mnt_list *l = arg;
	struct mnt *of = map_get(&l->by_id, m->id_old);

	if (!of || !of->idmapped || of->e->uid_map)
		return;
	of->e->uid_map = lines(m, m->n_uid, m->uid);
	of->e->gid_map = lines(m, m->n_gid, m->gid);
}

void mnt_idmap_note(int ns, struct mnt_list *l)
{
	bool any = false;

	for (size_t i = 0; i < l->n; i++)
		any |= l->v[i]->idmapped;
	if (any)
		mnt_stat_each(ns, WANTED, note_one, l);
}

/* ---- restore ---- */

static int write_map(pid_t pid, const char *name, const char *text)
{
	own_mem char *path = xprintf("/proc/%d/%s", pid, name);

	return text_write(AT_FDCWD, path, text);
}

/* A user namespace lives by a process in it, or by what holds it open. */
static int userns_of(const MntEntry *e)
{
	own_mem char *path = NULL;
	int sync[2], r, fd = -1;
	char c = 0;
	pid_t pid;

	if (pipe2(sync, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		c = unshare(CLONE_NEWUSER) == 0;
		if (write(sync[1], &c, 1) == 1)
			pause();
		_exit(0);
	}
	r = pid < 0 ? -errno : 0;
	if (r == 0 && (read(sync[0], &c, 1) != 1 || !c))
		r = -EPERM;
	if (r == 0)
		r = write_map(pid, "uid_map", e->uid_map);
	if (r == 0)
		r = write_map(pid, "gid_map", e->gid_map);
	path = xprintf("/proc/%d/ns/user", pid);
	if (r == 0 && (fd = fd_high(open(path, O_RDONLY | O_CLOEXEC))) < 0)
		r = -errno;
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	close(sync[0]);
	close(sync[1]);
	return r < 0 ? r : fd;
}

int mnt_idmap_prepare(struct session *s, struct mnt_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		struct mnt *m = l->v[i];

		if (!m->e->uid_map || !m->e->gid_map)
			continue;
		if (strlen(m->e->uid_map) >= MAP_MAX || strlen(m->e->gid_map) >= MAP_MAX)
			return session_fail(s, -EBADMSG, "mount %s: its id map is out of range", m->e->mountpoint);
		m->userns = userns_of(m->e);
		if (m->userns < 0)
			return session_fail(s, m->userns, "mount %s: make a user namespace with its id map", m->e->mountpoint);
		l->idmaps = true;
	}
	return 0;
}

int mnt_idmap_set(struct session *s, const struct mnt_list *l, const struct mnt *m, int fd)
{
	struct mount_attr a = { .attr_clr = MOUNT_ATTR_IDMAP };
	int mapped;

	if (!l->idmaps || fd < 0)
		return fd;
	if (m->userns >= 0) {
		a.attr_set = MOUNT_ATTR_IDMAP;
		a.userns_fd = m->userns;
	}
	mapped = syscall(NR_OPEN_TREE_ATTR, fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC, &a, sizeof(a));
	if (mapped < 0 && m->userns < 0) /* it has none */
		return fd;
	fd_close(fd);
	return mapped < 0 ? session_fail(s, -errno, "mount %s: give it its id map", m->e->mountpoint) : fd_high(mapped);
}
