// SPDX-License-Identifier: Apache-2.0
/*
 * seccomp: strict mode and filters of every thread.
 *
 * Kept:   the chain of filters, the LOG flag; one chain for all threads is installed with TSYNC.
 *         A filter that one process has, and its listener (SECCOMP_FILTER_FLAG_NEW_LISTENER), see fd/notify.c.
 * Lost:   listeners that no task of the tree has: reported.
 * Kernel: PTRACE_SECCOMP_GET_FILTER (0 is the oldest), PTRACE_SECCOMP_GET_METADATA (Linux 4.16). The tracer
 *         suspends filters of what it holds; they come into force when it lets go.
 */
#include "kind/task.h"

#include "base/list.h"
#include "base/text.h"
#include "image/record.h"
#include "images/seccomp.pb-c.h"
#include "kind/ids.h"
#include "kind/notify.h"
#include "task/warden.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#define INSNS_MAX 4096 /* BPF_MAXINSNS */
#define CHAIN_MAX 1024
#define INSN sizeof(struct sock_filter)

struct filter {
	struct sock_filter *insns; /* owned */
	uint32_t n, flags;
	bool asks; /* leaves calls to a listener */
	uint32_t listener; /* its file id, or 0 */
};

/* what one thread has, oldest first */
struct chain {
	uint64_t mode;
	struct filter *v;
	size_t n, max;
	bool everywhere;   /* all threads of the task have the same */
	uint32_t oldest;   /* index in the image */
};

/* the image's list of filters */
struct rows {
	struct filter **v;
	size_t n, max;
	int64_t *prev; /* -1 none */
};

/* ---- dump ---- */

static bool filter_asks(const struct sock_filter *insns, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (insns[i].code == (BPF_RET | BPF_K) && (insns[i].k & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_USER_NOTIF)
			return true;
	return false;
}

static int chain_fetch(struct session *s, const struct thread *t, struct chain *c)
{
	for (uint32_t i = 0; i < CHAIN_MAX; i++) {
		struct seccomp_metadata {
			uint64_t filter_off, flags;
		} meta = { .filter_off = i };
		void *scratch = warden_scratch(s);
		struct filter *f;
		long n = warden_ptrace(s, PTRACE_SECCOMP_GET_FILTER, thread_pid(t), i, false), m;

		if (n == -ENOENT)
			return 0;
		if (n > 0 && n <= INSNS_MAX)
			m = warden_ptrace(s, PTRACE_SECCOMP_GET_FILTER, thread_pid(t), i, true);
		if (n <= 0 || n > INSNS_MAX || m != n)
			return session_fail(s, n < 0 ? n : -EINVAL, "thread %d: read its seccomp filter %u",
					    t->vtid, i);
		f = vec_add(c);
		*f = (struct filter){ .insns = xmemdup(scratch, n * INSN), .n = n };
		f->asks = filter_asks(f->insns, n);
		memcpy(scratch, &meta, sizeof(meta));
		if (warden_ptrace(s, PTRACE_SECCOMP_GET_METADATA, thread_pid(t), sizeof(meta), true) > 0)
			f->flags = ((struct seccomp_metadata *)scratch)->flags;
	}
	return session_fail(s, -E2BIG, "thread %d: has more than %d seccomp filters", t->vtid, CHAIN_MAX);
}

static bool chain_same(const struct chain *a, const struct chain *b)
{
	if (!a || !b || a->mode != b->mode || a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (a->v[i].n != b->v[i].n || a->v[i].flags != b->v[i].flags ||
		    memcmp(a->v[i].insns, b->v[i].insns, a->v[i].n * INSN))
			return false;
	return true;
}

static struct chain *chain_of(struct session *s, const struct thread *t)
{
	return map_get(session_map(s, "seccomp"), thread_pid(t));
}

static int seccomp_note(struct session *s, struct thread *t)
{
	own_mem char *status = NULL;
	struct chain *c;
	uint64_t mode = 0;
	int r = text_readf(AT_FDCWD, &status, "/proc/%d/task/%d/status", t->task->pid, thread_pid(t));

	if (r < 0)
		return session_fail(s, r, "thread %d: read its status", t->vtid);
	text_u64(status, "Seccomp:", 10, &mode);
	if (!mode)
		return 0;
	c = xalloc(sizeof(*c));
	c->mode = mode;
	map_put(session_map(s, "seccomp"), thread_pid(t), c);
	return mode == SECCOMP_MODE_FILTER ? chain_fetch(s, t, c) : 0;
}

/* In the image a chain stands newest first; prev leads from one to the next newer. */
static void chain_put(struct session *s, struct chain *c)
{
	struct rows *all = session_state(s, "seccomp image", sizeof(*all));

	for (size_t i = c->n; i-- > 0;) {
		*vec_add(all) = &c->v[i];
		all->prev = xgrow(all->prev, all->n * sizeof(*all->prev));
		all->prev[all->n - 1] = i + 1 < c->n ? (int64_t)all->n - 2 : -1;
		if (c->everywhere)
			c->v[i].flags |= SECCOMP_FILTER_FLAG_TSYNC;
	}
	c->oldest = all->n - 1;
}

static int seccomp_dump(struct session *s, struct thread *t, struct batch *b, unsigned first)
{
	struct chain *c = chain_of(s, t), *lead = chain_of(s, task_leader(t->task));
	ThreadCoreEntry *e = t->core->thread_core;

	if (!c)
		return 0;
	e->has_seccomp_mode = true;
	e->seccomp_mode = c->mode;
	if (c->mode != SECCOMP_MODE_FILTER)
		return 0;
	if (t == task_leader(t->task)) {
		c->everywhere = t->task->n_threads > 1;
		for (unsigned i = 1; i < t->task->n_threads; i++)
			c->everywhere &= chain_same(c, chain_of(s, &t->task->threads[i]));
	} else if (lead && lead->everywhere) {
		return 0;
	}
	chain_put(s, c);
	e->has_seccomp_filter = true;
	e->seccomp_filter = c->oldest;
	return 0;
}

/* Which filter has which listener is shown to nobody: where there is one of each, they belong together. */
static int listeners_match(struct session *s, struct rows *all)
{
	uint32_t id;
	unsigned listeners = notify_noted(s, &id), asking = 0;

	for (size_t i = 0; i < all->n; i++)
		if (all->v[i]->asks) {
			all->v[i]->listener = id;
			asking++;
		}
	if (!listeners && asking)
		session_warn(s, "seccomp: %u filters leave system calls to a listener that no task of the tree has: after a restore those calls fail with ENOSYS",
			     asking);
	if (!listeners || (listeners == 1 && asking == 1))
		return 0;
	return session_fail(s, -ENOTSUP,
			    "seccomp: %u listeners and %u filters that may have one, and the kernel does not show which belong together, nor lets processes share one again; end the supervisor of the filters first",
			    listeners, asking);
}

static int seccomp_dump_end(struct session *s)
{
	struct rows none = { 0 }, *all = map_get(session_map(s, "seccomp image"), 0);
	SeccompEntry e = SECCOMP_ENTRY__INIT;
	own_mem SeccompFilter *f = NULL;
	own_mem SeccompFilter **list = NULL;
	int r;

	if (!all)
		all = &none;
	r = listeners_match(s, all);
	if (r < 0)
		return r;
	f = xalloc((all->n + 1) * sizeof(*f));
	list = xalloc((all->n + 1) * sizeof(*list));
	for (size_t i = 0; i < all->n; i++) {
		seccomp_filter__init(&f[i]);
		f[i].filter = (ProtobufCBinaryData){ all->v[i]->n * INSN, (uint8_t *)all->v[i]->insns };
		f[i].has_flags = all->v[i]->flags != 0;
		f[i].flags = all->v[i]->flags;
		f[i].has_listener = all->v[i]->listener != 0;
		f[i].listener = all->v[i]->listener;
		f[i].has_prev = all->prev[i] >= 0;
		f[i].prev = f[i].has_prev ? all->prev[i] : 0;
		list[i] = &f[i];
	}
	e.n_seccomp_filters = all->n;
	e.seccomp_filters = list;
	return image_write_one(s, MAGIC_SECCOMP, &e.base, "seccomp.img");
}

/* ---- restore ---- */

static const SeccompEntry *entry_read(struct session *s)
{
	struct map *m = session_map(s, "seccomp read");
	SeccompEntry *e = map_get(m, 0);

	if (!e && image_read_one(s, MAGIC_SECCOMP, &seccomp_entry__descriptor, (ProtobufCMessage **)&e,
				 "seccomp.img") == 0)
		map_put(m, 0, e);
	return e;
}

static int seccomp_check(struct session *s, const struct thread *t)
{
	const ThreadCoreEntry *c = t->core->thread_core;

	if (c->has_seccomp_mode && c->seccomp_mode && !ids_capable(CAP_SYS_ADMIN))
		return session_fail(s, -EPERM, "thread %d: has seccomp filters, which only who has CAP_SYS_ADMIN can restore", t->vtid);
	return 0;
}

static int install(struct session *s, struct thread *t, struct batch *b, const SeccompFilter *f)
{
	const uint32_t known = SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG |
			       SECCOMP_FILTER_FLAG_SPEC_ALLOW;
	struct sock_fprog prog = { .len = f->filter.len / INSN };
	uint32_t flags = f->has_flags ? f->flags : 0;
	unsigned n;
	int r;

	if (f->filter.len % INSN || !prog.len || f->filter.len > INSNS_MAX * INSN ||
	    (flags & ~known))
		return session_fail(s, -EBADMSG, "seccomp.img: a filter of thread %d is damaged", t->vtid);
	prog.filter = (void *)batch_mem(b, f->filter.data, f->filter.len, NULL);
	if (f->has_listener)
		flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER | (flags & SECCOMP_FILTER_FLAG_TSYNC ? SECCOMP_FILTER_FLAG_TSYNC_ESRCH : 0);
	n = call3(b, "seccomp: install a filter", SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags,
		  batch_mem(b, &prog, sizeof(prog), NULL));
	r = batch_run(b);
	if (r == 0 && f->has_listener)
		r = notify_place(s, f->listener, t, batch_ret(b, n));
	batch_clear(b);
	return r;
}

static int seccomp_restore(struct session *s, struct thread *t, struct batch *b)
{
	const ThreadCoreEntry *c = t->core->thread_core;
	const SeccompEntry *e;
	uint32_t i = c->seccomp_filter;
	int r = 0;

	if (c->has_seccomp_mode && c->seccomp_mode == SECCOMP_MODE_STRICT)
		call2(b, "seccomp: strict mode", SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
	if (!c->has_seccomp_mode || c->seccomp_mode != SECCOMP_MODE_FILTER || !c->has_seccomp_filter)
		return 0;
	e = entry_read(s);
	if (!e)
		return s->why_r;
	for (uint32_t last = UINT32_MAX; r == 0; last = i, i = e->seccomp_filters[i]->prev) {
		if (i >= e->n_seccomp_filters || i >= last)
			return session_fail(s, -EBADMSG, "seccomp.img: lacks filter %u of thread %d", i,
					    t->vtid);
		r = install(s, t, b, e->seccomp_filters[i]);
		if (!e->seccomp_filters[i]->has_prev)
			break;
	}
	return r;
}

const struct task_kind task_kind_seccomp = {
	.name = "seccomp",
	.stage = STAGE_SECCOMP,
	.per_thread = true,
	.note = seccomp_note,
	.dump = seccomp_dump,
	.dump_end = seccomp_dump_end,
	.check = seccomp_check,
	.restore = seccomp_restore,
};
