// SPDX-License-Identifier: Apache-2.0
/*
 * Kernel: cgroup_namespaces(7): the root of a mount of cgroups is shown as seen from the cgroup namespace of the
 * reader of /proc/PID/mountinfo.
 */
#include "kind/mnt-cgroup.h"

#include "base/res.h"
#include "base/text.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#define ROOTS "mnt cgroup" /* id of a mount to its root as seen inside */

/* mountinfo as the namespace's tasks read it */
static int read_inside(struct session *s, const struct ns *ns, char **ret)
{
	own_fd int there = openat(ns->task->proc, "ns/cgroup", O_RDONLY | O_CLOEXEC);
	own_fd int home = open("/proc/self/ns/cgroup", O_RDONLY | O_CLOEXEC);
	int r;

	if (there < 0 || home < 0 || setns(there, CLONE_NEWCGROUP) < 0)
		return session_fail(s, -errno, "task %d: enter its cgroup namespace", ns->task->vpid);
	r = text_read(ns->task->proc, "mountinfo", ret, NULL);
	if (setns(home, CLONE_NEWCGROUP) < 0)
		return session_fail(s, -errno, "cgroup namespace: return to our own");
	return r < 0 ? session_fail(s, r, "task %d: read its mounts", ns->task->vpid) : 0;
}

static int note(struct session *s, const struct ns *ns)
{
	struct map *roots = session_map(s, ROOTS);
	struct mnt_list inside = { 0 };
	own_mem char *text = NULL;
	int r = read_inside(s, ns, &text);

	if (r == 0)
		r = mnt_parse_flat(s, text, &inside);
	for (size_t i = 0; r == 0 && i < inside.n; i++) {
		const MntEntry *e = inside.v[i]->e;

		if (e->fstype != FSTYPE__CGROUP && e->fstype != FSTYPE__CGROUP2)
			continue;
		free(map_get(roots, e->mnt_id));
		map_put(roots, e->mnt_id, xstrdup(e->root));
	}
	mnt_free(&inside);
	return r;
}

int mnt_cgroup_roots(struct session *s, const struct ns *ns, struct mnt_list *l)
{
	int r = s->guest || !ns_is_own(s, CLONE_NEWCGROUP) ? 0 : note(s, ns);

	for (size_t i = 0; r == 0 && i < l->n; i++) {
		MntEntry *e = l->v[i]->e;
		const char *root = map_get(session_map(s, ROOTS), e->mnt_id);

		if (!root || text_starts(root, "/..")) /* not of the namespace */
			continue;
		free(e->root);
		e->root = xstrdup(root);
	}
	return r;
}
