// SPDX-License-Identifier: Apache-2.0
/*
 * The namespace family: what both directions need. Ids: docs/images.md; one counter for all sorts, the
 * dumper's own come first, in the order of ns_rows.
 */
#include "kind/ns-set.h"

#include "base/list.h"
#include "base/res.h"
#include "base/text.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>

#define ROW(n, f, field, kids)                                                                     \
	{                                                                                          \
		.bare = { .name = n, .flag = f }, .id = offsetof(TaskKobjIdsEntry, field),         \
		.has = offsetof(TaskKobjIdsEntry, has_##field), .children = kids                   \
	}

const struct ns_row ns_rows[NS_KINDS] = {
	ROW("pid", CLONE_NEWPID, pid_ns_id, "pid_for_children"),
	ROW("net", CLONE_NEWNET, net_ns_id, NULL),
	ROW("ipc", CLONE_NEWIPC, ipc_ns_id, NULL),
	ROW("uts", CLONE_NEWUTS, uts_ns_id, NULL),
	ROW("time", CLONE_NEWTIME, time_ns_id, "time_for_children"),
	ROW("mnt", CLONE_NEWNS, mnt_ns_id, NULL),
	ROW("user", CLONE_NEWUSER, user_ns_id, NULL),
	ROW("cgroup", CLONE_NEWCGROUP, cgroup_ns_id, NULL),
};

struct ns_set *ns_set(struct session *s)
{
	struct map *m = session_map(s, "ns");
	struct ns_set *set = map_get(m, 1);

	if (!set) {
		set = xalloc(sizeof(*set));
		set->go = set->home_net = set->root_fd = set->proc = set->our_root = -1;
		task_kobj_ids_entry__init(&set->own);
		map_put(m, 1, set);
	}
	return set;
}

void ns_set_clear(struct session *s)
{
	struct ns_set *set = ns_set(s);

	guest_kill(s, &set->guest);
	fd_close(set->go);
	set->go = -1;
	ns_enter_net(s, 0);
	for (size_t i = 0; i < set->all.n; i++) {
		fd_close(set->all.v[i]->fd);
		fd_close(set->all.v[i]->root);
		free(set->all.v[i]->label);
		free(set->all.v[i]);
	}
	set->all.n = 0;
	map_free(&set->mounts);
	set->mounts_read = false;
	memset(set->root, 0, sizeof(set->root));
	task_kobj_ids_entry__init(&set->own);
}

void ns_end(struct session *s)
{
	struct ns_set *set = ns_set(s);

	ns_set_clear(s);
	for (size_t i = 0; ns_kinds[i]; i++)
		if (ns_kinds[i]->end)
			ns_kinds[i]->end(s);
	free(set->all.v);
	fd_close(set->root_fd);
	fd_close(set->proc);
	free(set);
	map_free(session_map(s, "ns"));
	memset(session_map(s, "ns"), 0, sizeof(struct map));
}

const struct ns_kind *ns_kind_of(const struct ns_row *row)
{
	for (size_t i = 0; ns_kinds[i]; i++)
		if (ns_kinds[i]->flag == row->bare.flag)
			return ns_kinds[i];
	return &row->bare;
}

struct ns *ns_add(struct ns_set *set, const struct ns_row *row, uint32_t id)
{
	struct ns *ns = xalloc(sizeof(*ns));

	ns->kind = ns_kind_of(row);
	ns->id = id;
	ns->fd = ns->root = -1;
	*vec_add(&set->all) = ns;
	return ns;
}

struct ns *ns_add_kind(struct session *s, uint64_t flag, uint32_t id)
{
	size_t i = 0;

	while (ns_rows[i].bare.flag != flag)
		i++;
	return ns_add(ns_set(s), &ns_rows[i], id);
}

uint32_t ns_id_get(const struct ns_row *row, const TaskKobjIdsEntry *ids)
{
	const char *at = (const char *)ids;

	return *(const protobuf_c_boolean *)(at + row->has) ? *(const uint32_t *)(at + row->id) : 0;
}

void ns_id_put(const struct ns_row *row, TaskKobjIdsEntry *ids, uint32_t id)
{
	char *at = (char *)ids;

	*(protobuf_c_boolean *)(at + row->has) = 1;
	*(uint32_t *)(at + row->id) = id;
}

int ns_ino(int proc, const char *name, ino_t *ret)
{
	own_mem char *link = NULL, *path = xprintf("ns/%s", name);
	unsigned long long v;
	int r = text_readlink(proc, path, &link);
	const char *p = r == 0 ? strchr(link, '[') : NULL;

	if (r == -ENOENT) {
		*ret = 0;
		return faccessat(proc, "ns", F_OK, 0) < 0 ? -ESRCH : 0;
	}
	if (r < 0)
		return r;
	if (!p || sscanf(p, "[%llu]", &v) != 1)
		return -EBADMSG;
	*ret = v;
	return 0;
}

struct ns *ns_find(struct session *s, uint32_t id)
{
	struct ns_set *set = ns_set(s);

	for (size_t i = 0; i < set->all.n; i++)
		if (set->all.v[i]->id == id)
			return set->all.v[i];
	return NULL;
}

struct ns *ns_by_ino(struct session *s, ino_t ino)
{
	struct ns_set *set = ns_set(s);

	for (size_t i = 0; i < set->all.n; i++)
		if (set->all.v[i]->ino == ino)
			return set->all.v[i];
	return NULL;
}

struct ns *ns_nested(struct session *s, uint64_t flag, size_t n)
{
	struct ns_set *set = ns_set(s);

	for (size_t i = 0; i < set->all.n; i++) {
		struct ns *ns = set->all.v[i];

		if (ns->kind->flag == flag && ns->own && ns != ns_of(s, flag) && n-- == 0)
			return ns;
	}
	return NULL;
}

bool ns_is_own(struct session *s, uint64_t flag)
{
	const struct ns *ns = ns_of(s, flag);

	return ns && ns->own;
}

struct ns *ns_of(struct session *s, uint64_t flag)
{
	struct ns_set *set = ns_set(s);

	for (size_t i = 0; i < NS_KINDS; i++)
		if (ns_rows[i].bare.flag == flag)
			return set->root[i];
	return NULL;
}

int ns_proc(struct session *s)
{
	struct ns_set *set = ns_set(s);

	if (set->proc < 0)
		set->proc = fd_high(open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
	return set->proc < 0 ? session_fail(s, -errno, "open /proc") : set->proc;
}

int ns_enter_net(struct session *s, uint32_t id)
{
	struct ns_set *set = ns_set(s);
	struct ns *ns = id ? ns_find(s, id) : NULL;

	if (id && !ns)
		return session_fail(s, -EBADMSG, "network namespace %u: is not in the images", id);
	if (!ns || !ns->own) { /* home */
		if (set->home_net < 0)
			return 0;
		if (setns(set->home_net, CLONE_NEWNET) < 0)
			return session_fail(s, -errno, "network namespace: return to our own");
		fd_close(set->home_net);
		set->home_net = -1;
		return 0;
	}
	if (ns->fd < 0 && ns->task && ns->task->proc >= 0)
		ns->fd = fd_high(openat(ns->task->proc, "ns/net", O_RDONLY | O_CLOEXEC));
	if (ns->fd < 0)
		return session_fail(s, -ENOENT, "network namespace %u: does not exist yet", id);
	if (set->home_net < 0)
		set->home_net = fd_high(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
	if (set->home_net < 0)
		return session_fail(s, -errno, "network namespace: open our own");
	if (setns(ns->fd, CLONE_NEWNET) < 0)
		return session_fail(s, -errno, "network namespace %u: enter it", id);
	return 0;
}

int ns_socket(struct session *s, uint32_t net_ns_id, int family, int type, int protocol)
{
	const struct ns *net = net_ns_id ? ns_find(s, net_ns_id) : ns_of(s, CLONE_NEWNET);
	int r = net && net->own ? ns_enter_net(s, net->id) : 0, fd;

	if (r < 0)
		return r;
	fd = fd_high(socket(family, type | SOCK_CLOEXEC, protocol));
	if (fd < 0)
		r = session_fail(s, -errno, "make a socket of family %d, type %d", family, type);
	if (ns_enter_net(s, 0) < 0 && r == 0)
		r = -EIO;
	return r < 0 ? r : fd;
}
