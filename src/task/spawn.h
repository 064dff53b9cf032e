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
 * @user: descriptor of the user namespace, a child of ours, that it is born in; -1: our own, or a new one by flags
 * The task dies with the supervisor until it is released.
 */
int spawn_root(struct session *s, struct tree *tree, uint64_t flags, int user);
/**
 * spawn_task - a task other than the root, cloned so that it has the right parent and session and shares
 * (CLONE_VM, CLONE_FILES, CLONE_FS, CLONE_SIGHAND) what its ids say: by its parent, a sibling, or a
 * descendant of its parent. When its session's leader is dead a helper takes that one's place until
 * spawn_groups().
 */
int spawn_task(struct session *s, struct tree *tree, struct task *k);
/** spawn_enter_user - go down into a nested user namespace */
int spawn_enter_user(struct session *s, struct task *k, struct userns *user);
/** spawn_check - dump: can everybody who shares something be born so again? */
int spawn_check(struct session *s, const struct tree *tree);
/** spawn_spare - a pid, less than below, that nobody of the tree is to have; 0 none */
pid_t spawn_spare(const struct tree *tree, pid_t below);
/** spawn_session - make the task lead a session, if it is to */
int spawn_session(struct session *s, struct task *k);
/** spawn_groups - when all tasks exist: process groups, those of dead leaders too */
int spawn_groups(struct session *s, struct tree *tree);
/** spawn_confined - a security module may have taken from the task the right to choose its threads' numbers: find out */
int spawn_confined(struct session *s, struct task *k);
/** spawn_threads - the other threads of a task, but for those that do not share everything with it */
int spawn_threads(struct session *s, struct task *k);
/**
 * spawn_threads_apart - those: after the others, one by one
 * @born: called after each birth; by: whose namespaces it is in
 */
int spawn_threads_apart(struct session *s, struct task *k,
			int (*born)(struct session *s, struct thread *t, const struct thread *by));
/** spawn_find_threads - the pids, as we see them, of the threads that exist by now */
int spawn_find_threads(struct session *s, struct task *k);
/** spawn_check_threads - find them all, or fail */
int spawn_check_threads(struct session *s, struct task *k);
/** spawn_birthplace - the pid namespace of the children that its threads will have, when all tasks and threads exist */
int spawn_birthplace(struct session *s, struct task *k);
/** spawn_zombies - let the dead die */
int spawn_zombies(struct session *s, struct tree *tree);
/** spawn_kill - after a failure: end what was made */
void spawn_kill(struct tree *tree);
/** spawn_reap - wait until all have ended, when the warden is gone: a tracer keeps threads that have ended */
void spawn_reap(struct tree *tree);
static inline int spawn_give_fd(struct session *s, struct thread *t, int fd, int *ret_num)
{
	return lend_fd(s, t, fd, ret_num);
}

#endif
