// SPDX-License-Identifier: Apache-2.0
#include "kind/ns.h"

#include "base/res.h"
#include "image/record.h"
#include "images/timens.pb-c.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

/* in the order in which images number them, then where children will be born */
static const char *const ns_names[] = { "pid",	 "net",	 "ipc",
					"uts",	 "time", "mnt",
					"user", "cgroup", "pid_for_children",
					"time_for_children" };

int ns_preflight_all(struct session *s, struct tree *tree)
{
	int r = 0;

	for (size_t i = 0; i < tree->n; i++) {
		const struct task *k = tree->all[i];

		for (size_t n = 0; k->state != TASK_DEAD && n < ARRAY_SIZE(ns_names); n++) {
			struct stat own, its;
			char path[48];

			snprintf(path, sizeof(path), "/proc/self/ns/%s", ns_names[n]);
			if (stat(path, &own) < 0)
				continue; /* this kernel has no such namespaces */
			if (fstatat(k->proc, path + 11, &its, 0) < 0 || its.st_ino == own.st_ino)
				continue;
			session_warn(s, "obstacle: task %d: has its own %s namespace", k->vpid, ns_names[n]);
			if (r == 0)
				r = session_fail(s, -ENOTSUP,
						 "task %d: has its own %s namespace, which cannot be checkpointed yet; run stasis in that namespace",
						 k->vpid, ns_names[n]);
		}
	}
	return r;
}

void ns_own_ids(TaskKobjIdsEntry *e)
{
	e->has_pid_ns_id = e->has_net_ns_id = e->has_ipc_ns_id = e->has_uts_ns_id = true;
	e->has_time_ns_id = e->has_mnt_ns_id = e->has_user_ns_id = e->has_cgroup_ns_id = true;
	e->pid_ns_id = 1;
	e->net_ns_id = 2;
	e->ipc_ns_id = 3;
	e->uts_ns_id = 4;
	e->time_ns_id = 5;
	e->mnt_ns_id = 6;
	e->user_ns_id = 7;
	e->cgroup_ns_id = 8;
}

int ns_note(struct session *s, struct tree *tree)
{
	int r = ns_preflight_all(s, tree); /* once more, now that nothing can change */

	for (size_t i = 0; r == 0 && i < tree->n; i++)
		if (tree->all[i]->state != TASK_DEAD)
			ns_own_ids(tree->all[i]->ids);
	return r;
}

int ns_plan(struct session *s, const struct tree *tree, const TaskKobjIdsEntry *d)
{
	for (size_t i = 0; i < tree->n; i++) {
		const TaskKobjIdsEntry *e = tree->all[i]->ids;
		const char *own = NULL;

		if (!e)
			continue;
		own = e->pid_ns_id != d->pid_ns_id   ? "pid"
		      : e->net_ns_id != d->net_ns_id ? "net"
		      : e->ipc_ns_id != d->ipc_ns_id ? "ipc"
		      : e->uts_ns_id != d->uts_ns_id ? "uts"
		      : e->mnt_ns_id != d->mnt_ns_id ? "mnt"
		      : e->user_ns_id != d->user_ns_id ? "user"
		      : e->has_cgroup_ns_id && e->cgroup_ns_id != d->cgroup_ns_id ? "cgroup"
		      : e->has_time_ns_id && e->time_ns_id != d->time_ns_id ? "time"
									     : NULL;
		if (own)
			return session_fail(s, -ENOTSUP,
					    "task %d: had its own %s namespace, which cannot be restored yet",
					    tree->all[i]->vpid, own);
	}
	return 0;
}

int ns_dump_clocks(struct session *s)
{
	TimensEntry e = TIMENS_ENTRY__INIT;
	Timespec mono = TIMESPEC__INIT, boot = TIMESPEC__INIT;
	struct timespec m, b;

	clock_gettime(CLOCK_MONOTONIC, &m);
	clock_gettime(CLOCK_BOOTTIME, &b);
	mono.tv_sec = m.tv_sec;
	mono.tv_nsec = m.tv_nsec;
	boot.tv_sec = b.tv_sec;
	boot.tv_nsec = b.tv_nsec;
	e.monotonic = &mono;
	e.boottime = &boot;
	return image_write_one(s, MAGIC_TIMENS, &e.base, "timens-0.img");
}

int ns_check_clocks(struct session *s)
{
	own_image struct image img = { 0 };
	ProtobufCMessage *m;
	struct timespec now;
	int r = image_open(s, &img, MAGIC_TIMENS, "timens-0.img");

	if (r != 0 || (r = image_read(&img, &timens_entry__descriptor, &m)) != 1)
		return r < 0 ? r : 0; /* an empty one is as good as none */
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (((TimensEntry *)m)->monotonic->tv_sec > (uint64_t)now.tv_sec)
		session_warn(s, "the monotonic clock of this host is behind the one at the checkpoint; the tasks will see it go back");
	protobuf_c_message_free_unpacked(m, NULL);
	return 0;
}

void ns_end(struct session *s)
{
	struct map *m = session_map(s, "root fd");

	if (map_get(m, 0))
		fd_close((int)(uintptr_t)map_get(m, 0) - 1);
	map_free(m);
}

int ns_root_fd(struct session *s)
{
	struct map *m = session_map(s, "root fd");

	if (!map_get(m, 0)) {
		int fd = fd_high(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));

		if (fd < 0)
			return session_fail(s, -errno, "open /");
		map_put(m, 0, (void *)(uintptr_t)(fd + 1));
	}
	return (int)(uintptr_t)map_get(m, 0) - 1;
}

int ns_enter_net(struct session *s, uint32_t id)
{
	return 0;
}

int ns_socket(struct session *s, uint32_t net_ns_id, int family, int type, int protocol)
{
	int fd = fd_high(socket(family, type | SOCK_CLOEXEC, protocol));

	return fd < 0 ? session_fail(s, -errno, "make a socket of family %d, type %d", family, type) : fd;
}

int ns_enter_root(struct session *s)
{
	struct map *m = session_map(s, "our root");
	int root = ns_root_fd(s), fd = fd_high(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));

	if (root < 0 || fd < 0)
		return root < 0 ? root : session_fail(s, -errno, "open /");
	map_put(m, 0, (void *)(uintptr_t)(fd + 1));
	if (fchdir(root) < 0 || chroot(".") < 0)
		return session_fail(s, -errno, "enter the root of the tasks");
	return 0;
}

int ns_leave_root(struct session *s)
{
	struct map *m = session_map(s, "our root");
	int fd = (int)(uintptr_t)map_get(m, 0) - 1, r = 0;

	if (fd < 0)
		return 0;
	if (fchdir(fd) < 0 || chroot(".") < 0)
		r = session_fail(s, -errno, "return to our own root");
	fd_close(fd);
	map_free(m);
	return r;
}
