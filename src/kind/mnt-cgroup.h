/* SPDX-License-Identifier: Apache-2.0 */
/* mnt-cgroup: mounts of cgroups, whose roots depend on the cgroup namespace of who reads mountinfo. */
#ifndef KIND_MNT_CGROUP_H
#define KIND_MNT_CGROUP_H

#include "kind/mnt-list.h"
#include "kind/ns.h"

/**
 * mnt_cgroup_roots - dump: the roots of a namespace's mounts as the container's cgroup namespace has them: what it
 * mounted itself shows "/", wherever it stands. The supervisor looks before the tasks are stopped, a guest, which
 * could not come back from there, takes what was found.
 */
int mnt_cgroup_roots(struct session *s, const struct ns *ns, struct mnt_list *l);

#endif
