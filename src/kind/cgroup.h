/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup: which cgroups the tasks are in, and what these are: cgroup.img. */
#ifndef KIND_CGROUP_H
#define KIND_CGROUP_H

#include "task/tree.h"

/** cgroup_note - number the sets of all threads; writes cgroup.img */
int cgroup_note(struct session *s, struct tree *tree);
/** cgroup_set_of - set id of a thread, for its core; cgroup_root_set - the dumper's own */
uint32_t cgroup_set_of(struct session *s, const struct thread *t);
uint32_t cgroup_root_set(struct session *s);

/** cgroup_restore_dirs - read cgroup.img; make what is missing; undone when the session fails */
int cgroup_restore_dirs(struct session *s);
/** cgroup_enter - move a new task (all its threads) into its set; cgroup_enter_threads - strays */
int cgroup_enter(struct session *s, struct task *k);
int cgroup_enter_threads(struct session *s, struct task *k);
/** cgroup_restore_props - properties, limits; the freezer's state stays for the very end */
int cgroup_restore_props(struct session *s);

#endif
