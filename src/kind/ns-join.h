/* SPDX-License-Identifier: Apache-2.0 */
/* ns-join: namespaces of others that the caller of a restore names (--join-ns); for the namespace family only. */
#ifndef KIND_NS_JOIN_H
#define KIND_NS_JOIN_H

#include "kind/ns-set.h"

/** ns_join_plan - open them; they take the place of those in the images. The maps of a user namespace hold then */
int ns_join_plan(struct session *s, struct ns_set *set);
/** ns_join_spawn - spawn_root(), where a pid namespace is to belong to a user namespace of others */
int ns_join_spawn(struct session *s, struct tree *tree, uint64_t flags);
/** ns_join_user - the root task goes into that user namespace, if it was not born there, and becomes its root */
int ns_join_user(struct session *s, const struct ns *ns, struct task *root);

#endif
