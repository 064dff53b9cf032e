// SPDX-License-Identifier: Apache-2.0
/*
 * A user namespace has to be a child of ours, as those that we make: only then the numbers of users outside are
 * those that we count by. Its maps stand in no image: who has gone in reads them.
 *
 * Kernel: user_namespaces(7); who reads /proc/PID/uid_map in the namespace itself is shown the numbers of the one around
 * it. A pid namespace belongs to the user namespace of who makes it, and whoever is to be its first task is born in it.
 */
#include "kind/ns-join.h"

#include "base/res.h"
#include "base/text.h"
#include "kind/ids.h"
#include "kind/ns-user.h"
#include "task/lend.h"
#include "task/spawn.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define MAPS_MAX 65536 /* two times 340 extents, packed */

/* ---- plan ---- */

/* In an errand: a descriptor of a file with the maps, packed. */
static int maps_read(struct session *s, void *arg)
{
	const struct ns *ns = arg;
	own_fd int self = -1, fd = memfd_create("maps", MFD_CLOEXEC);
	UsernsEntry e = USERNS_ENTRY__INIT;
	own_mem uint8_t *packed = NULL;
	size_t size;
	int r;

	if (fd < 0 || setns(ns->fd, CLONE_NEWUSER) < 0)
		return session_fail(s, -errno, "--join-ns user:%s: enter it", ns->external);
	self = openat(ns_proc(s), "thread-self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	r = self < 0 ? -errno : userns_read_maps(self, &e);
	if (r < 0)
		return session_fail(s, r, "--join-ns user:%s: read its maps", ns->external);
	size = userns_entry__get_packed_size(&e);
	packed = xalloc(size + 1);
	userns_entry__pack(&e, packed);
	if (write(fd, packed, size) != (ssize_t)size)
		return session_fail(s, -errno, "--join-ns user:%s: pass its maps on", ns->external);
	return take_fd(fd);
}

static int user_maps(struct session *s, struct ns *ns)
{
	own_fd int fd = guest_errand(s, maps_read, ns);
	own_mem uint8_t *packed = xalloc(MAPS_MAX);
	UsernsEntry *e;
	ssize_t n;

	if (fd < 0)
		return fd;
	n = pread(fd, packed, MAPS_MAX, 0);
	e = n < 0 ? NULL : userns_entry__unpack(NULL, n, packed);
	if (!e)
		return session_fail(s, -EPROTO, "--join-ns user:%s: take its maps", ns->external);
	ids_use(s, e);
	userns_entry__free_unpacked(e, NULL);
	return 0;
}

/* UID,GID: who others would be in there while they restore. We are its root; that it knows them is all we need. */
static int user_extra(struct session *s, const JoinNamespace *j)
{
	unsigned uid, gid;
	char end;

	if (!j->extra_opt || !*j->extra_opt)
		return 0;
	if (sscanf(j->extra_opt, "%u,%u%c", &uid, &gid, &end) != 2)
		return session_fail(s, -EINVAL, "--join-ns user:%s,%s: what follows the file is not UID,GID", j->ns_file,
				    j->extra_opt);
	if (uid_out(s, uid) == ID_NONE || gid_out(s, gid) == ID_NONE)
		return session_fail(s, -EINVAL, "--join-ns user:%s,%s: the namespace has no such user or group", j->ns_file,
				    j->extra_opt);
	return 0;
}

static int join_user(struct session *s, struct ns *ns, const JoinNamespace *j)
{
	own_fd int up = ioctl(ns->fd, NS_GET_PARENT);
	struct stat there, here;
	int r;

	if (stat("/proc/self/ns/user", &here) < 0)
		return session_fail(s, -errno, "read our own user namespace");
	if (up < 0 || fstat(up, &there) < 0 || there.st_ino != here.st_ino)
		return session_fail(s, -ENOTSUP,
				    "--join-ns user:%s: is no child of our own user namespace; restore from the one above it",
				    j->ns_file);
	if (!ns_is_own(s, CLONE_NEWPID) && s->tree->n_threads > 1)
		return session_fail(s, -ENOTSUP,
				    "--join-ns user:%s: the tasks have no pid namespace of their own, in which its root may choose pids",
				    j->ns_file);
	r = user_maps(s, ns);
	if (r == 0 && (uid_out(s, 0) == ID_NONE || gid_out(s, 0) == ID_NONE))
		r = session_fail(s, -ENOTSUP, "--join-ns user:%s: maps no root (0); this cannot be joined yet", j->ns_file);
	return r < 0 ? r : user_extra(s, j);
}

static int plan_join(struct session *s, struct ns_set *set, const JoinNamespace *j)
{
	struct ns *ns = NULL;
	own_mem char *path = NULL;
	char *end;
	unsigned long pid = strtoul(j->ns_file, &end, 10);
	int type;

	for (size_t i = 0; i < NS_KINDS; i++)
		if (!strcmp(ns_rows[i].bare.name, j->ns))
			ns = set->root[i];
	if (!ns || ns->kind->flag & (CLONE_NEWPID | CLONE_NEWCGROUP))
		return session_fail(s, -ENOTSUP, "--join-ns %s: namespaces of this sort cannot be joined", j->ns);
	path = *j->ns_file && !*end && pid <= 65535 ? xprintf("/proc/%lu/ns/%s", pid, j->ns) : xstrdup(j->ns_file);
	fd_close(ns->fd);
	ns->fd = fd_high(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
	if (ns->fd < 0)
		return session_fail(s, -errno, "--join-ns %s:%s: open it", j->ns, j->ns_file);
	type = ioctl(ns->fd, NS_GET_NSTYPE);
	if (type < 0 || (uint64_t)type != ns->kind->flag)
		return session_fail(s, -EINVAL, "--join-ns %s:%s: is no %s namespace", j->ns, j->ns_file, j->ns);
	ns->own = true;
	ns->external = j->ns_file;
	return ns->kind->flag == CLONE_NEWUSER ? join_user(s, ns, j) : 0;
}

int ns_join_plan(struct session *s, struct ns_set *set)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < s->opts->n_join_ns; i++)
		r = plan_join(s, set, s->opts->join_ns[i]);
	return r;
}

/* ---- making ---- */

int ns_join_spawn(struct session *s, struct tree *tree, uint64_t flags)
{
	const struct ns *user = ns_of(s, CLONE_NEWUSER);
	bool inside = user && user->own && user->external && flags & CLONE_NEWPID;

	return spawn_root(s, tree, flags, inside ? user->fd : -1);
}

/* Born in it if it has a pid namespace of its own, else not. */
static bool is_in(const struct task *root, const struct ns *ns)
{
	struct stat here, there;

	return fstatat(root->proc, "ns/user", &here, 0) == 0 && fstat(ns->fd, &there) == 0 && here.st_ino == there.st_ino;
}

static int go_in(struct session *s, const struct ns *ns, struct task *root)
{
	struct batch b;
	int num, r = lend_fd(s, task_leader(root), ns->fd, &num);

	if (r < 0)
		return r;
	batch_start(s, &b, task_leader(root));
	call2(&b, "user namespace: enter", SYS_setns, num, CLONE_NEWUSER);
	call1(&b, NULL, SYS_close, num);
	return batch_run(&b);
}

int ns_join_user(struct session *s, const struct ns *ns, struct task *root)
{
	int r = is_in(root, ns) ? 0 : go_in(s, ns, root);

	return r < 0 ? r : userns_settle(s, root);
}
