// SPDX-License-Identifier: Apache-2.0
/*
 * cgroup: the namespace in which a cgroup is seen as "/".
 *
 * Kept:   where it begins in each hierarchy: cgroup.img, the members' cgns_prefix. The root task is
 *         there when it makes the namespace, see cgroup_enter(); nested ones: cgroup_begin().
 *         Also if no task is in it, or they stand outside (kind/cgroup-tops.c).
 * Lost:   with --manage-cgroups=ignore, where it began.
 * Kernel: cgroup_namespaces(7).
 */
#include "kind/ns.h"

#include <linux/sched.h>

const struct ns_kind ns_kind_cgroup = {
	.name = "cgroup",
	.flag = CLONE_NEWCGROUP,
};
