// SPDX-License-Identifier: Apache-2.0
/*
 * user: maps of user and group ids. An own user namespace is refused for now (ns-dump.c,
 * ns-restore.c); this file is its place in the table.
 *
 * Kept:   -
 * Lost:   -
 * Kernel: /proc/PID/uid_map, gid_map.
 */
#include "kind/ns.h"

#include <linux/sched.h>

const struct ns_kind ns_kind_user = {
	.name = "user",
	.flag = CLONE_NEWUSER,
};
