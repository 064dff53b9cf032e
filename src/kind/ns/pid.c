// SPDX-License-Identifier: Apache-2.0
/*
 * pid: the root task is the first of its own pid namespace (made by clone), or was put in one by the
 * caller, whose label is kept.
 *
 * Kept:   pids of all tasks, on every level of nested ones (pstree.img); the label of an external namespace.
 * Lost:   the number that the next task gets; kernel.ns_last_pid.
 * Kernel: clone3() with set_tid.
 */
#include "kind/ns.h"

#include "image/record.h"
#include "images/pidns.pb-c.h"

#include <linux/sched.h>

static int pid_dump(struct session *s, const struct ns *ns)
{
	PidnsEntry e = PIDNS_ENTRY__INIT;

	if (!ns->external)
		return 0;
	e.ext_key = (char *)ns->external;
	return image_write_one(s, MAGIC_PIDNS, &e.base, "pidns-%u.img", ns->id);
}

const struct ns_kind ns_kind_pid = {
	.name = "pid",
	.flag = CLONE_NEWPID,
	.dump = pid_dump,
};
