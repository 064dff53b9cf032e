// SPDX-License-Identifier: Apache-2.0
#include "task/tree.h"

#include "base/list.h"

#include <string.h>

struct task *task_new(struct tree *t, struct task *parent, pid_t pid, pid_t vpid, unsigned n_threads)
{
	struct task *k = xalloc(sizeof(*k));
	struct {
		struct task **v;
		size_t n, max;
	} all = { t->all, t->n, t->max };

	k->parent = parent;
	k->pid = k->tgid = pid;
	k->vpid = vpid;
	k->state = TASK_ALIVE;
	k->exit_signal = SIGCHLD;
	k->proc = -EBADF;
	k->pidfd = -EBADF;
	k->n_threads = n_threads;
	k->threads = xalloc((n_threads ? n_threads : 1) * sizeof(*k->threads));
	for (unsigned i = 0; i < n_threads; i++)
		k->threads[i].task = k;
	if (!parent)
		t->root = k;
	else if (parent->last_child)
		parent->last_child->next = k;
	else
		parent->first_child = k;
	if (parent)
		parent->last_child = k;
	*vec_add(&all) = k;
	t->all = all.v;
	t->n = all.n;
	t->max = all.max;
	t->n_threads += n_threads;
	if (vpid > 0)
		map_put(&t->by_vpid, vpid, k);
	return k;
}

struct pidns *pidns_add(struct tree *t, struct pidns *up, uint32_t id)
{
	struct pidns *p = xalloc(sizeof(*p));

	p->next = t->pidns;
	p->up = up;
	p->depth = up ? up->depth + 1 : 1;
	p->id = id;
	p->fd = -1;
	t->pidns = p;
	return p;
}

struct userns *userns_add(struct tree *t, struct userns *up, uint32_t id)
{
	struct userns *u = xalloc(sizeof(*u));

	u->next = t->userns;
	u->up = up;
	u->id = id;
	u->fd = -1;
	t->userns = u;
	return u;
}

pid_t task_number(const struct task *k, const struct pidns *in)
{
	if (!in)
		return k->vpid;
	return pidns_sees(in, k->pidns) ? k->threads[0].deep[in->depth - 1] : 0;
}

/* It borrows from its process what is not named here. */
static void apart_free(struct task *a)
{
	fd_close(a->proc);
	fd_close(a->pidfd);
	free(a->ids);
	free(a);
}

static void task_free(struct task *k)
{
	fd_close(k->proc);
	fd_close(k->pidfd);
	for (unsigned i = 0; i < k->n_threads; i++) {
		struct thread *t = &k->threads[i];

		if (t->core)
			core_entry__free_unpacked(t->core, NULL);
		if (t->fs)
			fs_entry__free_unpacked(t->fs, NULL);
		if (t->apart)
			apart_free(t->apart);
		free(t->deep);
	}
	free(k->deep_pgid);
	free(k->deep_sid);
	free(k->threads);
	if (k->ids)
		task_kobj_ids_entry__free_unpacked(k->ids, NULL);
	if (k->fs)
		fs_entry__free_unpacked(k->fs, NULL);
	if (k->mm && !k->mm_of)
		mm_entry__free_unpacked(k->mm, NULL);
	free(k);
}

void tree_free(struct tree *t)
{
	for (size_t i = 0; i < t->n; i++)
		task_free(t->all[i]);
	for (struct pidns *p; (p = t->pidns);) {
		t->pidns = p->next;
		fd_close(p->fd);
		free(p);
	}
	for (struct userns *u; (u = t->userns);) {
		t->userns = u->next;
		free(u);
	}
	free(t->all);
	map_free(&t->by_vpid);
	memset(t, 0, sizeof(*t));
}

struct task *task_find(const struct tree *t, pid_t vpid)
{
	return vpid > 0 ? map_get(&t->by_vpid, vpid) : NULL;
}
