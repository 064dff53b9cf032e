/* SPDX-License-Identifier: Apache-2.0 */
/*
 * warden: the tracer. A child of the supervisor that does all ptrace and holds the freezer; it keeps
 * what the kernel does not undo by itself. When the supervisor dies in a dump, the warden lets every
 * thread go as it was found and thaws the cgroup; in a restore it kills what was made.
 * See docs/design.md, "Who traces".
 */
#ifndef TASK_WARDEN_H
#define TASK_WARDEN_H

#include "task/trace.h"
#include "task/tree.h"

/** warden_start - fork it; nothing is stopped yet. restoring: what it holds is killed at the end */
int warden_start(struct session *s, bool restoring);
/** warden_end - end and reap it; what it still holds is cured (dump) or killed (restore) */
void warden_end(struct session *s);
/** warden_table - the threads it holds, in memory shared with it */
struct trace_table *warden_table(struct session *s);

/* dump */
/**
 * warden_stop - freeze and seize the tree of root, until it is closed; note registers and masks
 * @freezer: directory of the freezer cgroup (v1 or v2), or NULL
 */
int warden_stop(struct session *s, pid_t root, const char *freezer, unsigned timeout_ms);
/** warden_inject - make areas, see trace_inject(); warden_run - start the agents */
int warden_inject(struct session *s);
int warden_run(struct session *s);
/** warden_pump - serve what happens to threads that run agents; called while waiting for them */
int warden_pump(struct session *s);
/** warden_finish - kill all, or cure and let go */
int warden_finish(struct session *s, enum trace_how how);

/**
 * warden_ptrace - one ptrace() request on a stopped thread
 * @data: pass warden_scratch() as its data, else NULL
 * Return: its result or -errno; no reason is said.
 */
long warden_ptrace(struct session *s, int request, pid_t tid, uint64_t addr, bool data);
/** warden_scratch - TRACE_SCRATCH bytes shared with the warden */
void *warden_scratch(struct session *s);

/* restore */
/** warden_tracee - a new row of the table, for a thread of ours; then warden_seize() all new ones */
struct tracee *warden_tracee(struct session *s, pid_t tid, pid_t tgid);
int warden_seize(struct session *s);
/** warden_ready - all threads are stopped where their program goes on; nothing but warden_release() is left to do */
int warden_ready(struct session *s);
int warden_release(struct session *s, enum trace_how how);
/** warden_disown - what was released is not wanted after all: warden_end() ends it, as our death would */
void warden_disown(struct session *s);

/**
 * warden_undo_file - should the supervisor die: write text to path (thaw, say). A second call with
 * the same path replaces the text; NULL cancels.
 */
int warden_undo_file(struct session *s, const char *path, const char *text);
/** warden_undo_rmdir - should the supervisor die in a restore: remove that directory (a cgroup) */
int warden_undo_rmdir(struct session *s, const char *path);

#endif
