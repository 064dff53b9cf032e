/* SPDX-License-Identifier: Apache-2.0 */
/* ns-held: namespaces that no task is in; for the namespace family only. */
#ifndef KIND_NS_HELD_H
#define KIND_NS_HELD_H

#include "kind/ns-set.h"

#define HELD_MAX 4096

/** ns_held_may - can namespaces of that sort be without a task? */
bool ns_held_may(uint64_t flag);
/** ns_held_note - dump: those that a descriptor or a mount holds; into the root task's ids */
int ns_held_note(struct session *s, struct ns_set *set, struct tree *tree);
/** ns_held_users - dump, when whose all others are is known: user namespaces that no task is in */
void ns_held_users(struct session *s, struct task *root);
/** ns_held_end - nobody needs to be in them any more; also after failures */
void ns_held_end(struct session *s);
/** ns_held_plan - restore: from there */
int ns_held_plan(struct session *s, const TaskKobjIdsEntry *ids);

#endif
