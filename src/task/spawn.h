/* SPDX-License-Identifier: Apache-2.0 */
/* spawn: new tasks and threads with the right pids, parents, sessions and groups, agents inside. */
#ifndef TASK_SPAWN_H
#define TASK_SPAWN_H

#include "task/inject.h"
#include "task/lend.h"

/** spawn_slots - how many agents the planned tree needs: threads, zombies, helpers */
unsigned spawn_slots(const struct tree *tree);
/** spawn_plan - give every planned thread its slot in the area */
void spawn_plan(struct tree *tree, struct area *a);
/**
 * spawn_root - clone the root task out of the supervisor
 * @flags: CLONE_NEW* it is born with, and CLONE_PARENT when it is to be our caller's child
 * The task dies with the supervisor until it is released.
 */
int spawn_root(struct session *s, struct tree *tree, uint64_t flags);
/** spawn_child - the parent's agent clones it */
int spawn_child(struct session *s, struct task *child, bool share_files);
/**
 * spawn_foreign - a task in a session that its parent never was in: its leader clones it as a sibling;
 * if that is dead, a helper takes its place until spawn_groups()
 */
int spawn_foreign(struct session *s, struct tree *tree, struct task *child, bool share_files);
/** spawn_session - make the task lead a session, if it is to */
int spawn_session(struct session *s, struct task *k);
/** spawn_groups - when all tasks exist: process groups, those of dead leaders too */
int spawn_groups(struct session *s, struct tree *tree);
/** spawn_threads - the other threads of a task */
int spawn_threads(struct session *s, struct task *k);
/** spawn_zombies - let the dead die */
int spawn_zombies(struct session *s, struct tree *tree);
/** spawn_kill - after a failure: end what was made */
void spawn_kill(struct tree *tree);
static inline int spawn_give_fd(struct session *s, struct thread *t, int fd, int *ret_num)
{
	return lend_fd(s, t, fd, ret_num);
}

#endif
