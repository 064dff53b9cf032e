/* SPDX-License-Identifier: Apache-2.0 */
/* note: the tree of tasks as /proc shows it, stopped or (for a preflight) running. */
#ifndef TASK_NOTE_H
#define TASK_NOTE_H

#include "task/tree.h"

/**
 * note_tree - build s->tree from the warden's table: parents, virtual pids, sessions, groups
 * Tasks get /proc directories and pidfds; threads their tracees, leader first.
 */
int note_tree(struct session *s, struct tree *tree, pid_t root);
/** note_running - the same of running tasks, without a tracer: what is there at this moment */
int note_running(struct session *s, struct tree *tree, pid_t root);
/**
 * note_shared - group tasks, or threads, by an object of the kernel that they may share
 * @pids: n of them; 0: nobody
 * @type: KCMP_FILES, KCMP_VM, KCMP_FS, KCMP_SIGHAND
 * @ids: one per pid; equal numbers, from first on, for the same object; 0 for nobody
 */
int note_shared(struct session *s, const pid_t *pids, size_t n, int type, uint32_t first, uint32_t *ids);
/**
 * note_apart - make the view of a thread that differs from its process: t->apart, with the process's ids
 * Return: 0, also if there is one; -errno without a reason told.
 */
int note_apart(struct thread *t);

#endif
