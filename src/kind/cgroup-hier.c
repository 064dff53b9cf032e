// SPDX-License-Identifier: Apache-2.0
/* Kernel: Documentation/admin-guide/cgroup-v1, cgroup-v2.rst; /proc/PID/cgroup, mountinfo. */
#include "kind/cgroup-hier.h"

#include "base/list.h"
#include "base/text.h"
#include "kind/mnt-list.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/vfs.h>

const struct prop_name prop_names[] = {
	{ NULL, false, "cgroup.clone_children", PROP_EARLY, PROP_VALUE },
	{ NULL, false, "notify_on_release", PROP_LATE, PROP_VALUE },
	{ NULL, false, "cgroup.procs", PROP_LATE, PROP_PERMS },
	{ NULL, false, "tasks", PROP_LATE, PROP_PERMS },
	{ "cpuset", false, "cpuset.cpus", PROP_EARLY, PROP_VALUE },
	{ "cpuset", false, "cpuset.mems", PROP_EARLY, PROP_VALUE },
	{ "memory", false, "memory.use_hierarchy", PROP_EARLY, PROP_VALUE },
	{ "memory", false, "memory.swappiness", PROP_EARLY, PROP_VALUE },
	{ "memory", false, "memory.oom_control", PROP_EARLY, PROP_VALUE },
	{ "memory", false, "memory.kmem.limit_in_bytes", PROP_EARLY, PROP_VALUE },
	{ "devices", false, "devices.list", PROP_EARLY, PROP_DEVICES },
	{ "cpu", false, "cpu.idle", PROP_LATE, PROP_VALUE }, /* the shares of an idle one are the kernel's */
	{ "cpu", false, "cpu.shares", PROP_LATE, PROP_VALUE },
	{ "cpu", false, "cpu.cfs_period_us", PROP_LATE, PROP_VALUE },
	{ "cpu", false, "cpu.cfs_quota_us", PROP_LATE, PROP_VALUE },
	{ "cpu", false, "cpu.cfs_burst_us", PROP_LATE, PROP_VALUE },
	{ "cpu", false, "cpu.rt_period_us", PROP_LATE, PROP_VALUE },
	{ "cpu", false, "cpu.rt_runtime_us", PROP_LATE, PROP_VALUE },
	{ "cpu", false, "cpu.uclamp.min", PROP_LATE, PROP_VALUE },
	{ "cpu", false, "cpu.uclamp.max", PROP_LATE, PROP_VALUE },
	{ "memory", false, "memory.limit_in_bytes", PROP_LATE, PROP_VALUE },
	{ "memory", false, "memory.memsw.limit_in_bytes", PROP_LATE, PROP_VALUE },
	{ "memory", false, "memory.soft_limit_in_bytes", PROP_LATE, PROP_VALUE },
	{ "memory", false, "memory.kmem.tcp.limit_in_bytes", PROP_LATE, PROP_VALUE },
	{ "memory", false, "memory.move_charge_at_immigrate", PROP_LATE, PROP_VALUE },
	{ "memory", false, "cgroup.event_control", PROP_LATE, PROP_PERMS },
	{ "memory", false, "memory.pressure_level", PROP_LATE, PROP_PERMS },
	{ "cpuset", false, "cpuset.memory_migrate", PROP_LATE, PROP_VALUE },
	{ "cpuset", false, "cpuset.cpu_exclusive", PROP_LATE, PROP_VALUE },
	{ "cpuset", false, "cpuset.mem_exclusive", PROP_LATE, PROP_VALUE },
	{ "cpuset", false, "cpuset.mem_hardwall", PROP_LATE, PROP_VALUE },
	{ "cpuset", false, "cpuset.memory_spread_page", PROP_LATE, PROP_VALUE },
	{ "cpuset", false, "cpuset.memory_spread_slab", PROP_LATE, PROP_VALUE },
	{ "cpuset", false, "cpuset.sched_load_balance", PROP_LATE, PROP_VALUE },
	{ "cpuset", false, "cpuset.sched_relax_domain_level", PROP_LATE, PROP_VALUE },
	{ "blkio", false, "blkio.weight", PROP_LATE, PROP_VALUE },
	{ "blkio", false, "blkio.weight_device", PROP_LATE, PROP_LINES },
	{ "blkio", false, "blkio.leaf_weight", PROP_LATE, PROP_VALUE },
	{ "blkio", false, "blkio.leaf_weight_device", PROP_LATE, PROP_LINES },
	{ "blkio", false, "blkio.bfq.weight", PROP_LATE, PROP_VALUE },
	{ "blkio", false, "blkio.bfq.weight_device", PROP_LATE, PROP_LINES },
	{ "blkio", false, "blkio.throttle.read_bps_device", PROP_LATE, PROP_LINES },
	{ "blkio", false, "blkio.throttle.read_iops_device", PROP_LATE, PROP_LINES },
	{ "blkio", false, "blkio.throttle.write_bps_device", PROP_LATE, PROP_LINES },
	{ "blkio", false, "blkio.throttle.write_iops_device", PROP_LATE, PROP_LINES },
	{ "pids", false, "pids.max", PROP_LATE, PROP_VALUE },
	{ "net_cls", false, "net_cls.classid", PROP_LATE, PROP_VALUE },
	{ "net_prio", false, "net_prio.ifpriomap", PROP_LATE, PROP_LINES },
	{ "hugetlb", false, "hugetlb.2MB.limit_in_bytes", PROP_LATE, PROP_VALUE },
	{ "hugetlb", false, "hugetlb.1GB.limit_in_bytes", PROP_LATE, PROP_VALUE },
	{ "hugetlb", false, "hugetlb.2MB.rsvd.limit_in_bytes", PROP_LATE, PROP_VALUE },
	{ "hugetlb", false, "hugetlb.1GB.rsvd.limit_in_bytes", PROP_LATE, PROP_VALUE },
	{ "rdma", false, "rdma.max", PROP_LATE, PROP_LINES },
	{ "misc", false, "misc.max", PROP_LATE, PROP_LINES },
	{ NULL, true, "cgroup.type", PROP_EARLY, PROP_VALUE },
	{ NULL, true, "cgroup.subtree_control", PROP_LATE, PROP_SUBTREE },
	{ NULL, true, "cgroup.max.descendants", PROP_LATE, PROP_VALUE },
	{ NULL, true, "cgroup.max.depth", PROP_LATE, PROP_VALUE },
	{ NULL, true, "cgroup.procs", PROP_LATE, PROP_PERMS },
	{ NULL, true, "cgroup.threads", PROP_LATE, PROP_PERMS },
	{ NULL, true, "cgroup.pressure", PROP_LATE, PROP_VALUE },
	{ NULL, true, "cpu.pressure", PROP_LATE, PROP_PERMS },
	{ NULL, true, "memory.pressure", PROP_LATE, PROP_PERMS },
	{ NULL, true, "io.pressure", PROP_LATE, PROP_PERMS },
	{ NULL, true, "irq.pressure", PROP_LATE, PROP_PERMS },
	{ NULL, true, "cpu.idle", PROP_LATE, PROP_VALUE },
	{ NULL, true, "cpu.weight", PROP_LATE, PROP_VALUE },
	{ NULL, true, "cpu.max", PROP_LATE, PROP_VALUE },
	{ NULL, true, "cpu.max.burst", PROP_LATE, PROP_VALUE },
	{ NULL, true, "cpu.uclamp.min", PROP_LATE, PROP_VALUE },
	{ NULL, true, "cpu.uclamp.max", PROP_LATE, PROP_VALUE },
	{ NULL, true, "memory.min", PROP_LATE, PROP_VALUE },
	{ NULL, true, "memory.low", PROP_LATE, PROP_VALUE },
	{ NULL, true, "memory.high", PROP_LATE, PROP_VALUE },
	{ NULL, true, "memory.max", PROP_LATE, PROP_VALUE },
	{ NULL, true, "memory.swap.max", PROP_LATE, PROP_VALUE },
	{ NULL, true, "memory.swap.high", PROP_LATE, PROP_VALUE },
	{ NULL, true, "memory.zswap.max", PROP_LATE, PROP_VALUE },
	{ NULL, true, "memory.zswap.writeback", PROP_LATE, PROP_VALUE },
	{ NULL, true, "memory.oom.group", PROP_LATE, PROP_VALUE },
	{ NULL, true, "memory.reclaim", PROP_LATE, PROP_PERMS },
	{ NULL, true, "io.weight", PROP_LATE, PROP_LINES },
	{ NULL, true, "io.bfq.weight", PROP_LATE, PROP_LINES },
	{ NULL, true, "io.prio.class", PROP_LATE, PROP_VALUE },
	{ NULL, true, "io.latency", PROP_LATE, PROP_LINES },
	{ NULL, true, "io.max", PROP_LATE, PROP_LINES },
	{ NULL, true, "pids.max", PROP_LATE, PROP_VALUE },
	{ NULL, true, "cpuset.cpus", PROP_LATE, PROP_VALUE },
	{ NULL, true, "cpuset.mems", PROP_LATE, PROP_VALUE },
	{ NULL, true, "cpuset.cpus.exclusive", PROP_LATE, PROP_VALUE },
	{ NULL, true, "cpuset.cpus.partition", PROP_LATE, PROP_VALUE },
	{ NULL, true, "hugetlb.2MB.max", PROP_LATE, PROP_VALUE },
	{ NULL, true, "hugetlb.1GB.max", PROP_LATE, PROP_VALUE },
	{ NULL, true, "hugetlb.2MB.rsvd.max", PROP_LATE, PROP_VALUE },
	{ NULL, true, "hugetlb.1GB.rsvd.max", PROP_LATE, PROP_VALUE },
	{ NULL, true, "rdma.max", PROP_LATE, PROP_LINES },
	{ NULL, true, "misc.max", PROP_LATE, PROP_LINES },
	{ NULL, true, "dmem.min", PROP_LATE, PROP_LINES },
	{ NULL, true, "dmem.low", PROP_LATE, PROP_LINES },
	{ NULL, true, "dmem.max", PROP_LATE, PROP_LINES },
	{ NULL, false, NULL, PROP_LATE, PROP_VALUE },
};

int hiers_parse(struct session *s, const char *text, struct hiers *ret)
{
	own_mem char *copy = xstrdup(text);
	char *save = NULL;

	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *name = strchr(line, ':'), *path = name ? strchr(name + 1, ':') : NULL;
		struct hier *h;

		if (!path || path[1] != '/')
			return session_fail(s, -EBADMSG, "/proc/PID/cgroup: a line cannot be read");
		*path = 0;
		h = vec_add(ret);
		*h = (struct hier){ xstrdup(name + 1), xstrdup(path + 1), -1, NULL };
	}
	return 0;
}

void hiers_free(struct hiers *h)
{
	for (size_t i = 0; i < h->n; i++) {
		free(h->v[i].name);
		free(h->v[i].own);
		free(h->v[i].path);
		fd_close(h->v[i].fd);
	}
	free(h->v);
	*h = (struct hiers){ 0 };
}

struct hier *hiers_find(const struct hiers *h, const char *name)
{
	for (size_t i = 0; i < h->n; i++)
		if (!strcmp(h->v[i].name, name))
			return &h->v[i];
	return NULL;
}

static bool in_list(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = list; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
		if (!strncmp(p, word, n) && (!p[n] || p[n] == ','))
			return true;
	return false;
}

bool hier_has(const struct hier *h, const char *controller)
{
	return in_list(h->name, controller);
}

const char *hier_root(const struct session *s, const struct hier *h)
{
	const char *all = NULL;

	for (size_t i = 0; i < s->opts->n_cg_root; i++) {
		const CgroupRoot *r = s->opts->cg_root[i];

		if (!r->ctrl)
			all = r->path;
		else if (!strcmp(r->ctrl, h->name) || (*r->ctrl && hier_has(h, r->ctrl)))
			return r->path;
	}
	return all;
}

/* Is it this hierarchy that is mounted there, from its root on? */
static bool mounts_it(const MntEntry *e, const struct hier *h)
{
	if (strcmp(e->root, "/"))
		return false;
	if (!*h->name)
		return e->fstype == FSTYPE__CGROUP2;
	if (e->fstype != FSTYPE__CGROUP)
		return false;
	for (const char *p = h->name; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
		own_mem char *one = xstrdup(p);

		one[strcspn(one, ",")] = 0;
		if (!in_list(e->options, one))
			return false;
	}
	return true;
}

/* The host's mounts, read once. */
static int mounts_of(struct session *s, struct mnt_list **ret)
{
	struct map *m = session_map(s, "cgroup mounts");
	own_mem char *text = NULL;
	int r = 0;

	*ret = map_get(m, 0);
	if (*ret)
		return 0;
	*ret = xalloc(sizeof(**ret));
	map_put(m, 0, *ret);
	r = text_read(AT_FDCWD, "/proc/self/mountinfo", &text, NULL);
	return r < 0 ? session_fail(s, r, "read our own mounts") : mnt_parse(s, text, *ret);
}

int hier_mounted(struct session *s, struct hier *h)
{
	struct mnt_list *l;
	int r = mounts_of(s, &l);

	for (size_t i = 0; r == 0 && h->fd < 0 && i < l->n; i++)
		if (mounts_it(l->v[i]->e, h)) {
			h->fd = fd_high(open(l->v[i]->e->mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
			if (h->fd >= 0)
				h->path = xstrdup(l->v[i]->e->mountpoint);
		}
	return r;
}

int hier_mount(const struct hier *h)
{
	own_fd int fs = fsopen(*h->name ? "cgroup" : "cgroup2", FSOPEN_CLOEXEC);
	own_mem char *copy = xstrdup(h->name);
	char *save = NULL;
	int mnt;

	if (fs < 0)
		return -errno;
	if (!strncmp(copy, "name=", 5)) {
		if (fsconfig(fs, FSCONFIG_SET_FLAG, "none", NULL, 0) < 0 ||
		    fsconfig(fs, FSCONFIG_SET_STRING, "name", copy + 5, 0) < 0)
			return -errno;
	} else {
		for (char *o = strtok_r(copy, ",", &save); o; o = strtok_r(NULL, ",", &save))
			if (fsconfig(fs, FSCONFIG_SET_FLAG, o, NULL, 0) < 0)
				return -errno;
	}
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	mnt = fsmount(fs, FSMOUNT_CLOEXEC, 0);
	return mnt < 0 ? -errno : mnt;
}

/* Only v1: another mount of v2 would change options of all. */
static int hier_own_mount(const struct hier *h)
{
	own_fd int mnt = hier_mount(h);

	return mnt < 0 ? mnt : fd_high(openat(mnt, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

const char *hier_dir(const struct hier *h)
{
	return !*h->name ? "unified" : text_starts(h->name, "name=") ? h->name + 5 : h->name;
}

/* --cgroup-yard: the caller has mounted them all. */
static int hier_in_yard(struct session *s, struct hier *h)
{
	own_mem char *path = xprintf("%s/%s", s->opts->cgroup_yard, hier_dir(h));
	struct statfs st;

	h->fd = fd_high(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (h->fd < 0)
		return session_fail(s, -errno, "cgroup-yard: hierarchy \"%s\": %s", h->name, path);
	if (fstatfs(h->fd, &st) < 0 || st.f_type != (*h->name ? CGROUP_SUPER_MAGIC : CGROUP2_SUPER_MAGIC))
		return session_fail(s, -EINVAL, "cgroup-yard: %s is no mount of hierarchy \"%s\"", path, h->name);
	h->path = take_mem(path);
	return 0;
}

int hier_open(struct session *s, struct hier *h)
{
	bool yard = s->opts->cgroup_yard && *s->opts->cgroup_yard;
	int r = h->fd >= 0 ? 0 : yard ? hier_in_yard(s, h) : hier_mounted(s, h);

	if (r == 0 && h->fd < 0 && *h->name)
		h->fd = hier_own_mount(h);
	if (r == 0 && h->fd < 0)
		r = session_fail(s, -ENOENT,
				 "cgroup hierarchy \"%s\": is not mounted from its root; mount it, or use --manage-cgroups=ignore",
				 *h->name ? h->name : "v2");
	return r;
}
