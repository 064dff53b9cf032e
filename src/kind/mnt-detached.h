/* SPDX-License-Identifier: Apache-2.0 */
/* mnt-detached: mounts that are in no namespace, held by a descriptor (open_tree(2), fsmount(2)). */
#ifndef KIND_MNT_DETACHED_H
#define KIND_MNT_DETACHED_H

#include "kind/mnt-list.h"
#include "kind/ns-set.h"

/** detached_begin - dump: forget what was found before */
void detached_begin(struct session *s);
/** detached_is_new - is descriptor num (below at, /proc/PID/fd) of a task a detached mount that is not known yet? its number then */
uint32_t detached_is_new(const struct task *root, const struct task *k, int at, const char *num, struct session *s);
/** detached_sit - in a guest in the task's mnt namespace: go where what *arg shows is "/", and stay there */
int detached_sit(struct session *s, void *arg);
/** detached_note - that mount is all of that namespace */
void detached_note(struct session *s, struct task *root, uint32_t mnt_id, const struct ns *ns);
/** detached_ns - dump: of the mount with that number, or 0 */
uint32_t detached_ns(struct session *s, int mnt_id);

/** detached_stage - restore, in the guest: a place where they are cloned from; owned by the caller, or -errno */
int detached_stage(struct session *s);
/** detached_give - a clone of tree, which is detached from such a namespace, to the supervisor */
int detached_give(struct session *s, uint32_t id, int stage, int tree);
int detached_unstage(struct session *s, int stage);
/** detached_take - supervisor: what the guest gave; owned from here */
void detached_take(struct session *s, uint32_t id, int fd);
/** detached_open - a descriptor of it, or -errno */
int detached_open(struct session *s, uint32_t id);
void detached_end(struct session *s);

#endif
