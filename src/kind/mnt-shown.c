// SPDX-License-Identifier: Apache-2.0
/*
 * A mount may only show a mnt namespace that is younger than the one it is in, or they could hold each other. Which
 * is younger the kernel knows by their numbers. Since Linux 6.18 each CPU takes its numbers in lots of 4096, so that
 * one that is made later may have a lower one: then a lot is used up first.
 *
 * Kernel: mnt_ns_loop(), DEFINE_COOKIE(namespace_cookie).
 */
#include "kind/mnt-shown.h"

#include "base/res.h"
#include "task/guest.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>

#define LOT 4096

void mnt_shown_mark(struct session *s, struct mnt_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct ns *shown = l->v[i]->e->has_shown_ns_id ? ns_find(s, l->v[i]->e->shown_ns_id) : NULL;

		l->v[i]->shows_mnt = shown && shown->kind->flag == CLONE_NEWNS;
	}
}

static bool any_shown(struct session *s)
{
	const struct map *all = session_map(s, "mnt");

	for (size_t i = 0; i < all->max; i++) {
		const struct mnt_list *l = all->rows[i].value;

		for (size_t k = 0; l && k < l->n; k++)
			if (l->v[k]->shows_mnt)
				return true;
	}
	return false;
}

/* In a child: the namespaces are of no use. Return: the last one */
static int use_up(struct session *s, void *arg)
{
	int fd;

	for (int i = 0; i < LOT; i++)
		if (unshare(CLONE_NEWUTS) < 0)
			return session_fail(s, -errno, "mnt namespaces that mounts show: make younger ones");
	fd = openat(ns_proc(s), "thread-self/ns/uts", O_RDONLY | O_CLOEXEC);
	return fd < 0 ? session_fail(s, -errno, "uts namespace: open it") : fd;
}

int mnt_shown_age(struct session *s)
{
	cpu_set_t one;
	int cpu = any_shown(s) ? sched_getcpu() : -1;
	own_fd int last = -1;

	if (cpu < 0)
		return 0;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one) < 0)
		return session_fail(s, -errno, "stay on CPU %d", cpu);
	last = guest_errand(s, use_up, NULL);
	return last < 0 ? last : 0;
}
