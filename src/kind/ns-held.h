/* SPDX-License-Identifier: Apache-2.0 */
/* ns-held: namespaces that no task is in; for the namespace family only. */
#ifndef KIND_NS_HELD_H
#define KIND_NS_HELD_H

#include "kind/ns-set.h"

#define HELD_MAX 4096

/** ns_held_note - dump: those that a descriptor or a mount holds; into the root task's ids */
void ns_held_note(struct session *s, struct ns_set *set, struct tree *tree);
/** ns_held_plan - restore: from there */
int ns_held_plan(struct session *s, const TaskKobjIdsEntry *ids);

#endif
