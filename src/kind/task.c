// SPDX-License-Identifier: Apache-2.0
/* task: runs the kinds over all threads; cores in and out of images. */
#include "kind/task.h"

#include "arch/arch.h"
#include "base/res.h"
#include "base/text.h"
#include "image/record.h"
#include "kind/cgroup.h"
#include "kind/mem.h"

#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>

#define KINDS_MAX 64
#define ASK_AHEAD 32 /* processes whose agents work while the answers of others are read */

struct asking {
	struct batch batch;
	unsigned first[KINDS_MAX];
};

static bool kind_applies(const struct task_kind *kind, const struct thread *t)
{
	return kind->per_thread || t == task_leader(t->task);
}

static CoreEntry *core_new(struct session *s, const struct thread *t)
{
	CoreEntry *c = xalloc(sizeof(*c));
	bool dead = t->task->state == TASK_DEAD;

	core_entry__init(c);
	c->mtype = CORE_ENTRY__MARCH__X86_64;
	if (t == task_leader(t->task)) {
		c->tc = xalloc(sizeof(*c->tc));
		task_core_entry__init(c->tc);
		c->tc->comm = xstrdup(t->task->comm);
		c->tc->task_state = t->task->state;
		c->tc->exit_code = t->task->exit_code;
		c->tc->has_exit_signal = t->task->exit_signal != SIGCHLD;
		c->tc->exit_signal = t->task->exit_signal;
	}
	if (!dead) {
		c->thread_core = xalloc(sizeof(*c->thread_core));
		thread_core_entry__init(c->thread_core);
		c->thread_core->has_cg_set = true;
		c->thread_core->cg_set = cgroup_set(s, t);
		c->thread_core->has_files_id = t->files_id;
		c->thread_core->files_id = t->files_id;
		c->thread_core->has_own_fs = c->thread_core->own_fs = t->fs_id;
		if (t->apart)
			c->ids = xmemdup(t->apart->ids, sizeof(*c->ids));
		c->thread_info = xalloc(sizeof(*c->thread_info));
		thread_info_x86__init(c->thread_info);
	}
	return c;
}

long task_restarting(struct session *s, const struct thread *t)
{
	const struct user_regs_struct *r = &t->tr->regs;
	unsigned char code[ARCH_CALL_CODE] = { 0 };
	struct iovec l = { code, sizeof(code) };
	struct iovec m = { (void *)(uintptr_t)(arch_ip(r) - sizeof(code)), sizeof(code) };
	long nr;

	process_vm_readv(t->task->pid, &l, 1, &m, 1, 0);
	nr = arch_restarting(r, code);
	if (nr < 0 && arch_resumes(r)) /* see preflight.c */
		nr = (uintptr_t)map_get(session_map(s, "restarted call"), t->tid);
	return nr > 0 ? nr : -1;
}

TaskTimersEntry *task_timers(CoreEntry *core)
{
	if (!core->tc->timers) {
		core->tc->timers = xalloc(sizeof(*core->tc->timers));
		task_timers_entry__init(core->tc->timers);
	}
	return core->tc->timers;
}

static int thread_ask(struct session *s, struct thread *t, struct asking *a)
{
	int r = 0;

	batch_start(s, &a->batch, t);
	for (size_t i = 0; r == 0 && task_kinds[i]; i++) {
		a->first[i] = a->batch.n;
		if (task_kinds[i]->ask && kind_applies(task_kinds[i], t))
			r = task_kinds[i]->ask(s, t, &a->batch);
	}
	if (r == 0)
		batch_send(&a->batch);
	return r;
}

/*
 * A main thread that has ended while others run comes back as a thread that does nothing but end: its
 * registers stand at a system call instruction, exit(2) in them. What was another's is taken out again.
 */
static int core_of_dead_leader(struct session *s, struct thread *t)
{
	ThreadCoreEntry *tc = t->core->thread_core;
	own_mem char *stat = NULL;
	uint64_t insn;
	int r = mem_exit_insn(s, t->task, &insn);

	if (r < 0)
		return r;
	if (text_readf(AT_FDCWD, &stat, "/proc/%d/stat", t->tid) == 0)
		t->core->tc->exit_code = atoi(strrchr(stat, ' ') + 1);
	arch_save_exit(t->core->thread_info, insn, t->core->tc->exit_code >> 8 & 0xff);
	t->core->tc->exit_code = 0;
	tc->futex_rla = 0;
	tc->futex_rla_len = sizeof(struct { long a[3]; });
	if (tc->signals_p)
		signal_queue_entry__free_unpacked(take_mem(tc->signals_p), NULL);
	if (tc->sas)
		thread_sas_entry__free_unpacked(take_mem(tc->sas), NULL);
	if (tc->rseq_entry)
		rseq_entry__free_unpacked(take_mem(tc->rseq_entry), NULL);
	if (tc->sleep)
		thread_sleep_entry__free_unpacked(take_mem(tc->sleep), NULL);
	tc->has_blk_sigset = true;
	tc->blk_sigset = t->core->tc->blk_sigset = ~0ULL;
	return 0;
}

static int thread_dump(struct session *s, struct thread *t, struct asking *a)
{
	int r = a ? batch_wait(&a->batch) : 0;

	for (size_t i = 0; r == 0 && task_kinds[i]; i++) {
		const struct task_kind *kind = task_kinds[i];

		if (kind->dump && kind_applies(kind, t) && (a || kind->zombies))
			r = kind->dump(s, t, a ? &a->batch : NULL, a ? a->first[i] : 0);
	}
	for (size_t i = 0; r == 0 && a && task_kinds[i]; i++)
		if (task_kinds[i]->more && kind_applies(task_kinds[i], t))
			r = task_kinds[i]->more(s, t);
	if (r == 0 && t->task->leader_dead && t == task_leader(t->task))
		r = core_of_dead_leader(s, t);
	if (r == 0)
		r = image_write_one(s, MAGIC_CORE, &t->core->base, "core-%d.img", t->vtid);
	return r;
}

static int process_ask(struct session *s, struct task *k, struct asking **ret)
{
	bool dead = k->state == TASK_DEAD;
	struct asking *a = *ret = dead ? NULL : xalloc(k->n_threads * sizeof(*a));
	int r = 0;

	for (unsigned i = 0; r == 0 && i < k->n_threads; i++) {
		k->threads[i].core = core_new(s, &k->threads[i]);
		if (!dead)
			r = thread_ask(s, &k->threads[i], &a[i]);
		if (r == 0 && i == 0 && k->leader_dead) /* another one's agent, who has its own turn yet */
			r = thread_dump(s, &k->threads[i], &a[i]);
	}
	return r;
}

static int process_dump(struct session *s, struct task *k, struct asking *a)
{
	int r = 0;

	for (unsigned i = k->leader_dead; r == 0 && i < k->n_threads; i++)
		r = thread_dump(s, &k->threads[i], a ? &a[i] : NULL);
	return r;
}

int task_dump_begin(struct session *s)
{
	int r = 0;

	for (size_t n = 0; r == 0 && task_kinds[n]; n++)
		if (task_kinds[n]->begin)
			r = task_kinds[n]->begin(s);
	return r;
}

int task_note_all(struct session *s, struct tree *tree)
{
	int r = 0;

	for (size_t n = 0; r == 0 && task_kinds[n]; n++)
		for (size_t i = 0; r == 0 && task_kinds[n]->note && i < tree->n; i++)
			for (unsigned k = 0; r == 0 && k < tree->all[i]->n_threads; k++)
				if (tree->all[i]->state != TASK_DEAD)
					r = task_kinds[n]->note(s, &tree->all[i]->threads[k]);
	return r;
}

int task_dump_all(struct session *s, struct tree *tree)
{
	struct asking *a[ASK_AHEAD] = { NULL };
	int r = 0;

	for (size_t i = 0, next = 0; r == 0 && i < tree->n; i++) {
		for (; r == 0 && next < tree->n && next < i + ASK_AHEAD; next++)
			r = process_ask(s, tree->all[next], &a[next % ASK_AHEAD]);
		if (r == 0)
			r = process_dump(s, tree->all[i], a[i % ASK_AHEAD]);
		free(take_mem(a[i % ASK_AHEAD]));
	}
	for (size_t i = 0; i < ASK_AHEAD; i++)
		free(a[i]);
	for (size_t n = 0; r == 0 && task_kinds[n]; n++)
		if (task_kinds[n]->dump_end)
			r = task_kinds[n]->dump_end(s);
	return r;
}

void task_dump_finish(struct session *s)
{
	for (size_t n = 0; task_kinds[n]; n++)
		if (task_kinds[n]->end)
			task_kinds[n]->end(s);
}

/* ---- restore ---- */

static int core_check(struct session *s, const struct thread *t)
{
	const CoreEntry *c = t->core;
	bool leader = t == task_leader(t->task), dead = t->task->state == TASK_DEAD;
	const char *lacks = NULL;

	if (c->mtype != CORE_ENTRY__MARCH__X86_64)
		lacks = "registers of this machine (x86_64)";
	else if (leader != !!c->tc)
		lacks = "the right tc part";
	else if (!dead && (!c->thread_core || !c->thread_info || !c->thread_info->gpregs))
		lacks = "thread_core or thread_info";
	else if (leader && !dead && (!c->tc->timers || !c->tc->rlimits))
		lacks = "timers or rlimits";
	else if (leader && !dead && c->tc->n_sigactions && c->tc->n_sigactions != 62)
		lacks = "62 sigactions";
	else if (!dead && !c->thread_core->creds)
		lacks = "credentials";
	if (lacks)
		return session_fail(s, -EBADMSG, "core-%d.img: lacks %s", t->vtid, lacks);
	if (leader && !dead && c->tc->task_state == TASK_STOPPED)
		t->task->state = TASK_STOPPED;
	if (leader && dead)
		t->task->exit_code = c->tc->exit_code;
	if (leader && c->tc->has_exit_signal && c->tc->exit_signal <= 64)
		t->task->exit_signal = c->tc->exit_signal;
	if (leader)
		snprintf(t->task->comm, sizeof(t->task->comm), "%s", c->tc->comm);
	return 0;
}

/* Images of old versions have signal actions and credentials in files of their own. */
static int core_read_old(struct session *s, struct thread *t)
{
	own_image struct image img = { .fd = -1 };
	CoreEntry *c = t->core;
	ProtobufCMessage *m;
	int r = 0;

	if (c->thread_core && !c->thread_core->creds && c->tc && t->task->state != TASK_DEAD)
		r = image_read_one(s, MAGIC_CREDS, &creds_entry__descriptor,
				   (ProtobufCMessage **)&c->thread_core->creds, "creds-%d.img", t->vtid);
	if (r < 0 || !c->tc || c->tc->n_sigactions || t->task->state == TASK_DEAD)
		return r;
	r = image_open(s, &img, MAGIC_SIGACTS, "sigacts-%d.img", t->vtid);
	if (r == 1)
		return 0;
	while (r == 0 && (r = image_read(&img, &sa_entry__descriptor, &m)) == 1) {
		c->tc->sigactions = xgrow(c->tc->sigactions,
					  (c->tc->n_sigactions + 1) * sizeof(*c->tc->sigactions));
		c->tc->sigactions[c->tc->n_sigactions++] = (SaEntry *)m;
		r = c->tc->n_sigactions <= 62 ? 0 : session_fail(s, -EBADMSG, "%s: is too long", img.name);
	}
	return r;
}

/* A thread with tables of its own; images made before ids were there tell of no two that share one. */
static int core_apart(struct session *s, struct thread *t)
{
	const ThreadCoreEntry *c = t->core->thread_core;

	if (!c || t == task_leader(t->task))
		return 0;
	t->files_id = c->has_files_id ? c->files_id : 0;
	if (c->has_own_fs && c->own_fs)
		t->fs_id = t->core->ids ? t->core->ids->fs_id : UINT32_MAX - t->vtid;
	return !t->fs_id ? 0
			 : image_read_one(s, MAGIC_FS, &fs_entry__descriptor, (ProtobufCMessage **)&t->fs,
					  "fs-%d.img", t->vtid);
}

static int core_kinds(struct session *s, const struct thread *t)
{
	int r = 0;

	for (size_t i = 0; r == 0 && t->core->thread_core && task_kinds[i]; i++)
		if (task_kinds[i]->check && kind_applies(task_kinds[i], t))
			r = task_kinds[i]->check(s, t);
	return r;
}

int task_read_cores(struct session *s, struct tree *tree)
{
	for (size_t i = 0; i < tree->n; i++)
		for (unsigned k = 0; k < tree->all[i]->n_threads; k++) {
			struct thread *t = &tree->all[i]->threads[k];
			int r = image_read_one(s, MAGIC_CORE, &core_entry__descriptor,
					       (ProtobufCMessage **)&t->core, "core-%d.img", t->vtid);

			if (r == 0)
				r = core_read_old(s, t);
			if (r == 0)
				r = core_check(s, t);
			if (r == 0)
				r = core_apart(s, t);
			if (r == 0)
				r = core_kinds(s, t);
			if (r < 0)
				return r;
		}
	return 0;
}

static int thread_stage(struct session *s, struct thread *t, enum task_stage stage)
{
	struct batch b;
	int r = 0;

	batch_start(s, &b, t);
	for (size_t i = 0; r == 0 && task_kinds[i]; i++) {
		const struct task_kind *kind = task_kinds[i];

		if (kind->stage != stage || !kind->restore || !kind_applies(kind, t))
			continue;
		r = kind->restore(s, t, &b);
		if (r == 0)
			r = batch_run(&b);
		batch_clear(&b);
		if (r < 0)
			session_fail(s, r, "^%s", kind->name);
	}
	return r;
}

int task_restore_stage(struct session *s, struct tree *tree, enum task_stage stage)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < tree->n; i++)
		for (unsigned k = 0; r == 0 && k < tree->all[i]->n_threads; k++)
			if (tree->all[i]->state != TASK_DEAD && !tree->all[i]->helper)
				r = thread_stage(s, &tree->all[i]->threads[k], stage);
	return r;
}
