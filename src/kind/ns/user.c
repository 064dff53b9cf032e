// SPDX-License-Identifier: Apache-2.0
/*
 * user: whose numbers of users and groups the tasks use. The root task's is our own or a child of that; others
 * may be below it (kind/ns-user.c).
 *
 * Kept:   both maps, literally; whether groups may be set; of nested ones who made them, and whose the other
 *         namespaces are. All numbers in other images are those inside the root task's (kind/ids.h).
 * Lost:   limits of the namespace (/proc/sys/user): reported.
 * Kernel: /proc/PID/{uid_map,gid_map,setgroups}: written once, by who is outside; ioctl_ns(2).
 */
#include "kind/ns.h"

#include "base/res.h"
#include "base/text.h"
#include "image/record.h"
#include "kind/ids.h"
#include "kind/ns-user.h"
#include "task/batch.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define EXTENTS_MAX 340 /* the kernel's limit */

/* ---- dump ---- */

static int read_map(int proc, const char *name, size_t *n, UidGidExtent ***ret)
{
	own_mem char *text = NULL;
	uint32_t in, out, count;
	int r = text_read(proc, name, &text, NULL);

	for (const char *p = text; r == 0 && *p && *n < EXTENTS_MAX; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : "") {
		if (sscanf(p, "%u %u %u", &in, &out, &count) != 3)
			return -EBADMSG;
		*ret = xgrow(*ret, (*n + 1) * sizeof(**ret));
		(*ret)[*n] = xalloc(sizeof(UidGidExtent));
		uid_gid_extent__init((*ret)[*n]);
		(*ret)[*n]->first = in;
		(*ret)[*n]->lower_first = out;
		(*ret)[(*n)++]->count = count;
	}
	return r;
}

int userns_read_maps(int proc, UsernsEntry *e)
{
	own_mem char *groups = NULL;
	int r = read_map(proc, "uid_map", &e->n_uid_map, &e->uid_map);

	if (r == 0)
		r = read_map(proc, "gid_map", &e->n_gid_map, &e->gid_map);
	if (r == 0 && text_read(proc, "setgroups", &groups, NULL) == 0 && text_starts(groups, "deny"))
		e->has_setgroups_denied = e->setgroups_denied = true;
	return r;
}

/* From the namespace of a task: owned. */
static int read_maps(struct session *s, const struct ns *ns, UsernsEntry **ret)
{
	UsernsEntry *e = xalloc(sizeof(*e));
	int r;

	userns_entry__init(e);
	*ret = e;
	r = userns_read_maps(ns->task->proc, e);
	return r < 0 ? session_fail(s, r, "task %d: read the maps of its user namespace", ns->task->vpid) : 0;
}

static int user_note(struct session *s, const struct ns *ns)
{
	UsernsEntry *e;
	int r = read_maps(s, ns, &e);

	if (r == 0)
		ids_use(s, e);
	userns_entry__free_unpacked(e, NULL);
	return r;
}

/* Of a fresh one all are INT_MAX. Source: /proc/sys/user shows those of the reader's namespace. */
void userns_report_limits(struct session *s, const struct ns *ns)
{
	own_fd int at = openat(ns_proc(s), "sys/user", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	own_dir DIR *d = at < 0 ? NULL : fdopendir(at);
	struct dirent *e;

	if (d)
		take_fd(at);
	while (d && (e = readdir(d))) {
		own_mem char *text = NULL;

		if (e->d_name[0] != '.' && text_read(dirfd(d), e->d_name, &text, NULL) == 0 &&
		    strtol(text, NULL, 10) != INT32_MAX)
			session_warn(s, "user namespace %u: its limit user.%s of %.*s is not kept", ns->id,
				     e->d_name, (int)strcspn(text, "\n"), text);
	}
}

/** user_dump - userns-N.img; Source: /proc/PID; Units: lower_first as our own user namespace counts */
static int user_dump(struct session *s, const struct ns *ns)
{
	UsernsEntry *e;
	int r = read_maps(s, ns, &e);

	if (r == 0)
		r = image_write_one(s, MAGIC_USERNS, &e->base, "userns-%u.img", ns->id);
	userns_entry__free_unpacked(e, NULL);
	userns_report_limits(s, ns);
	return r;
}

/* Inode of the user namespace that a namespace belongs to, or of a user namespace's parent; 0 unknown */
static ino_t ino_of(int proc, const char *path, unsigned long request)
{
	own_fd int fd = openat(proc, path, O_RDONLY | O_CLOEXEC), up = -1;
	struct stat st;

	up = fd < 0 ? -1 : ioctl(fd, request);
	return up >= 0 && fstat(up, &st) == 0 ? st.st_ino : 0;
}

/* Their rights in a namespace depend on whose it is: it is made by their root again. */
static int check_owned(struct session *s, const struct ns *user)
{
	static const uint64_t flags[] = { CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWIPC, CLONE_NEWUTS,
					  CLONE_NEWTIME, CLONE_NEWNS, CLONE_NEWCGROUP };
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		const struct ns *ns = ns_of(s, flags[i]);
		char path[16];

		if (!ns || !ns->own || ns->external)
			continue;
		snprintf(path, sizeof(path), "ns/%s", ns->kind->name);
		if (ino_of(user->task->proc, path, NS_GET_USERNS) == user->ino)
			continue;
		session_warn(s, "obstacle: %s namespace %u is of another user namespace", ns->kind->name, ns->id);
		r = session_fail(s, -ENOTSUP,
				 "task %d: its %s namespace does not belong to its user namespace; this cannot be checkpointed yet",
				 user->task->vpid, ns->kind->name);
	}
	return r;
}

/* Where pids are chosen, root of the namespace has to have the right to. */
static int check_pids(struct session *s, const struct ns *user)
{
	const struct ns *pid = ns_of(s, CLONE_NEWPID);

	if ((pid && pid->own && !pid->external) || (!user->task->first_child && user->task->n_threads == 1))
		return 0;
	return session_fail(s, -ENOTSUP,
			    "task %d: has its own user namespace, but no own pid namespace in it; this can be checkpointed for a single thread only",
			    user->task->vpid);
}

static int user_preflight(struct session *s, const struct ns *ns)
{
	struct stat own;
	int r = 0;

	if (ns != ns_of(s, CLONE_NEWUSER))
		return 0;
	if (stat("/proc/self/ns/user", &own) < 0)
		return session_fail(s, -errno, "read our own user namespace");
	if (ino_of(ns->task->proc, "ns/user", NS_GET_PARENT) != own.st_ino)
		r = session_fail(s, -ENOTSUP,
				 "task %d: its user namespace is no child of ours; dump it from the one above it",
				 ns->task->vpid);
	else if (uid_out(s, 0) == ID_NONE || gid_out(s, 0) == ID_NONE)
		r = session_fail(s, -ENOTSUP,
				 "task %d: its user namespace maps no root (0); this cannot be checkpointed yet",
				 ns->task->vpid);
	if (r == 0)
		r = check_owned(s, ns);
	return r < 0 ? r : check_pids(s, ns);
}

/* ---- restore ---- */

static int check_map(struct session *s, uint32_t id, const char *what, size_t n, UidGidExtent *const *v, bool nested)
{
	bool bad = n > EXTENTS_MAX, root = nested;

	for (size_t i = 0; i < n; i++) {
		bad |= !v[i]->count || v[i]->first + v[i]->count < v[i]->first ||
		       v[i]->lower_first + v[i]->count < v[i]->lower_first;
		root |= !v[i]->first;
	}
	if (bad || !root)
		return session_fail(s, bad ? -EBADMSG : -ENOTSUP, "userns-%u.img: the map of %s is %s", id, what,
				    bad ? "impossible" : "without root (0), which cannot be restored yet");
	return 0;
}

static int read_image(struct session *s, uint32_t id, UsernsEntry **e, bool nested)
{
	int r = image_read_one(s, MAGIC_USERNS, &userns_entry__descriptor, (ProtobufCMessage **)e,
			       "userns-%u.img", id);

	if (r == 0)
		r = check_map(s, id, "users", (*e)->n_uid_map, (*e)->uid_map, nested);
	return r < 0 ? r : check_map(s, id, "groups", (*e)->n_gid_map, (*e)->gid_map, nested);
}

int userns_read_image(struct session *s, uint32_t id, UsernsEntry **ret)
{
	return read_image(s, id, ret, true);
}

static int user_prepare(struct session *s, const struct ns *ns)
{
	UsernsEntry *e = NULL;
	int r = ns == ns_of(s, CLONE_NEWUSER) ? read_image(s, ns->id, &e, false) : 0;

	if (!e)
		return r;

	if (r == 0)
		ids_use(s, e);
	userns_entry__free_unpacked(e, NULL);
	return r;
}

static int write_map(int proc, const char *name, size_t n, UidGidExtent *const *v)
{
	own_mem char *text = xalloc(n * 36 + 1);
	char *at = text;

	for (size_t i = 0; i < n; i++)
		at += sprintf(at, "%u %u %u\n", v[i]->first, v[i]->lower_first, v[i]->count);
	return n ? text_write(proc, name, text) : 0;
}

int userns_write_maps(int proc, const UsernsEntry *e)
{
	int r = e->has_setgroups_denied && e->setgroups_denied ? text_write(proc, "setgroups", "deny") : 0;

	if (r == 0)
		r = write_map(proc, "uid_map", e->n_uid_map, e->uid_map);
	return r < 0 ? r : write_map(proc, "gid_map", e->n_gid_map, e->gid_map);
}

/*
 * Its root has no rights over limits: they are out of the way until the tasks' own are set, which are
 * lower. What the agents do under them (priorities, locked memory, numbers of descriptors) is allowed then.
 */
static void lift_limits(struct session *s, const struct task *root)
{
	own_mem char *text = NULL;
	struct rlimit l = { RLIM_INFINITY, RLIM_INFINITY };

	for (int i = 0; i < RLIM_NLIMITS; i++) {
		struct rlimit files = l;

		if (i == RLIMIT_NOFILE && text_read(ns_proc(s), "sys/fs/nr_open", &text, NULL) == 0)
			files.rlim_cur = files.rlim_max = strtoul(text, NULL, 10);
		if (prlimit(root->pid, i, &files, NULL) == 0)
			continue;
		/* not without CAP_SYS_RESOURCE: as far as it goes */
		if (prlimit(root->pid, i, NULL, &files) == 0) {
			files.rlim_cur = files.rlim_max;
			prlimit(root->pid, i, &files, NULL);
		}
	}
}

/* It was born with all rights in its namespace, but as nobody. */
static int become_root(struct session *s, const struct task *root, bool denied)
{
	struct batch b;

	batch_start(s, &b, task_leader(root));
	if (!denied)
		call2(&b, "user namespace: drop our groups", SYS_setgroups, 0, 0);
	call3(&b, "user namespace: become its root group", SYS_setresgid, 0, 0, 0);
	call3(&b, "user namespace: become its root", SYS_setresuid, 0, 0, 0);
	call5(&b, "user namespace: stay dumpable", SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
	return batch_run(&b);
}

int userns_settle(struct session *s, const struct task *root)
{
	lift_limits(s, root);
	return become_root(s, root, ids_groups_fixed(s));
}

static int user_made(struct session *s, const struct ns *ns, const struct task *root)
{
	UsernsEntry *e = NULL;
	int r = read_image(s, ns->id, &e, false);

	if (r == 0) {
		r = userns_write_maps(root->proc, e);
		if (r < 0)
			session_fail(s, r, "user namespace: set its maps");
	}
	if (e)
		userns_entry__free_unpacked(e, NULL);
	return r < 0 ? r : userns_settle(s, root);
}

const struct ns_kind ns_kind_user = {
	.name = "user",
	.flag = CLONE_NEWUSER,
	.note = user_note,
	.dump = user_dump,
	.prepare = user_prepare,
	.made = user_made,
	.preflight = user_preflight,
};
