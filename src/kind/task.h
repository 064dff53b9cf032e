/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task kinds: attributes of a thread or process. One file per attribute in kind/task/, found by its
 * name; nobody includes a kind. Each fills part of the CoreEntry at dump and replays it at restore.
 *
 * At dump the thread is stopped and its agent idle: ask() adds calls to one batch of all kinds,
 * dump() reads the answers (batch_ret(b, first + i), batch_local()) and fills t->core.
 * At restore the agent runs in the new thread: restore() adds calls.
 */
#ifndef KIND_TASK_H
#define KIND_TASK_H

#include "task/batch.h"

/* Order at restore; within a stage order must not matter. */
enum task_stage {
	STAGE_EARLY,	/* before memory and descriptors: personality */
	STAGE_ATTR,	/* most: sigactions, altstack, prctl, robust list, sched, rseq */
	STAGE_PENDING,	/* signals are queued: all are blocked, actions are set */
	STAGE_SECCOMP,	/* the thread is seized with its filters suspended; it still has all rights */
	STAGE_CREDS,	/* from here on the task has few rights: rlimits, ids, groups, capabilities */
	STAGE_TIMERS,	/* armed last, so that none fires in the agent */
	STAGE_REGS,	/* no calls: what the tracer loads in the end goes into t->tr */
	STAGE_SLEEP,	/* the last calls: not waited for, the thread is stopped in them */
	STAGE_END,
};

struct task_kind {
	const char *name;
	enum task_stage stage;
	bool per_thread; /* called for every thread; else for leaders only */
	bool zombies;	 /* dump() is called for zombies too (no batch) */
	/** dump: the tasks run yet; what takes time is made ready; may be NULL */
	int (*begin)(struct session *s);
	/** the thread is stopped, no agent runs yet: what only the tracer can see; may be NULL */
	int (*note)(struct session *s, struct thread *t);
	/** add the calls whose answers dump() needs; may be NULL */
	int (*ask)(struct session *s, struct thread *t, struct batch *b);
	/** fill t->core; first: number of this kind's first call. b is NULL for zombies */
	int (*dump)(struct session *s, struct thread *t, struct batch *b, unsigned first);
	/** after the dump() of all kinds: what takes batches of its own, as the answers say; may be NULL */
	int (*more)(struct session *s, struct thread *t);
	/** once, after all threads: images of the kind's own; may be NULL */
	int (*dump_end)(struct session *s);
	/** restore: t->core was read, nothing is made yet: can it be given back here? May be NULL */
	int (*check)(struct session *s, const struct thread *t);
	/** dump: whatever came of it, give back what begin() and more() took; may be NULL */
	void (*end)(struct session *s);
	/** add calls that set what t->core says; may batch_run() itself if it needs answers */
	int (*restore)(struct session *s, struct thread *t, struct batch *b);
};

extern const struct task_kind *const task_kinds[]; /* NULL at the end */

/**
 * task_restarting - dump: number of the system call that the kernel would go on with by restart_syscall(2)
 * Told by the code that made the call, or by what it slept in before it was stopped; -1 none or unknown.
 */
long task_restarting(struct session *s, const struct thread *t);
/** task_timers - a leader's timers part, made at the first call */
TaskTimersEntry *task_timers(CoreEntry *core);
/** task_preflight_all - what of the tasks themselves cannot be kept, before anything is stopped */
int task_preflight_all(struct session *s, struct tree *tree);
/** task_dump_begin - the kinds' begin(); task_dump_finish() must follow */
int task_dump_begin(struct session *s);
/** task_note_all - what is to be noted before agents run */
int task_note_all(struct session *s, struct tree *tree);
/** task_dump_all - every kind, every thread, in parallel; fills the cores */
int task_dump_all(struct session *s, struct tree *tree);
/** task_dump_finish - whatever came of the dump: the kinds' end() */
void task_dump_finish(struct session *s);
/** task_read_cores - core-P.img of every thread into t->core, checked */
int task_read_cores(struct session *s, struct tree *tree);
/** task_restore_stage - run one stage's kinds on every thread of the tree */
int task_restore_stage(struct session *s, struct tree *tree, enum task_stage stage);

#endif
