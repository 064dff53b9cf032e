/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup: where tasks and threads stand in every hierarchy (v1 and v2), and the directories with their
 * limits. --manage-cgroups says how much of it is made anew: see docs/design.md.
 */
#ifndef KIND_CGROUP_H
#define KIND_CGROUP_H

#include "task/tree.h"

/** cgroup_preflight - is what the caller says about limits right? */
int cgroup_preflight(struct session *s);
/** cgroup_frozen_preflight - is somebody frozen who would not be thawed? */
int cgroup_frozen_preflight(struct session *s, const struct tree *tree);
/** cgroup_note - dump: the sets of all threads; directories and limits of those that are not ours */
int cgroup_note(struct session *s, struct tree *tree);
/** cgroup_set - dump: number of the set of a thread; 1 is the dumper's own */
uint32_t cgroup_set(struct session *s, const struct thread *t);
/** cgroup_dump - cgroup.img, if somebody is in another set than we are */
int cgroup_dump(struct session *s);

/** cgroup_read - restore: cgroup.img, checked against the tasks and the hierarchies of this host */
int cgroup_read(struct session *s, struct tree *tree, uint32_t root_set);
/**
 * cgroup_enter - make the directories; the root task goes where its cgroup namespace is to begin, or
 * where it stood. What was made is removed when the session fails or the supervisor dies.
 */
int cgroup_enter(struct session *s, struct task *root);
/** cgroup_begin - a guest outside goes where nested cgroup namespace ns_id is to begin */
int cgroup_begin(struct session *s, uint32_t ns_id);
/** cgroup_place - all tasks and threads go where they stood; then the limits are set */
int cgroup_place(struct session *s, struct tree *tree);
/** cgroup_attach - the BPF programs of the directories that were made; before the tasks run */
int cgroup_attach(struct session *s);
/** cgroup_freeze - at the very end: a container that was found frozen is frozen again */
void cgroup_freeze(struct session *s);

#endif
