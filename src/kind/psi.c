// SPDX-License-Identifier: Apache-2.0
/*
 * psi: triggers of pressure stall information (/proc/pressure/memory, memory.pressure of a cgroup), as systemd's services
 * set them.
 *
 * Kept:   that a descriptor has one.
 * Lost:   from which stalls on it tells of them, which the kernel does not show: it is 200 ms in 2 s then, systemd's own
 *         values (reported). Without one, a poll() of the descriptor would end at once for ever.
 * Kernel: kernel/sched/psi.c, Documentation/accounting/psi.rst. Each open file has one trigger at most: whoever writes
 *         another is told so before what he writes is looked at, and nothing happens.
 */
#include "kind/psi.h"

#include "base/res.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>

#define TRIGGER "some 200000 2000000" /* with its end */

static bool psi_is(int fd, const char *name)
{
	static const char *const what[] = { "memory", "cpu", "io", "irq" };
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0 || (fs.f_type != PROC_SUPER_MAGIC && fs.f_type != CGROUP2_SUPER_MAGIC))
		return false;
	for (size_t i = 0; i < sizeof(what) / sizeof(what[0]); i++) {
		own_mem char *end = xprintf(fs.f_type == PROC_SUPER_MAGIC ? "/pressure/%s" : "/%s.pressure", what[i]);
		size_t n = strlen(name), m = strlen(end);

		if (n >= m && !strcmp(name + n - m, end))
			return true;
	}
	return false;
}

bool psi_armed(struct session *s, const struct fd_view *v)
{
	if (!S_ISREG(v->st.st_mode) || (v->flags & O_PATH) || (v->flags & O_ACCMODE) == O_RDONLY ||
	    !psi_is(v->fd, v->link) || write(v->fd, "?", 1) >= 0 || errno != EBUSY)
		return false;
	session_warn(s, "task %d: descriptor %d is told of pressures (%s): from which on, the kernel does not show; restored, it is from stalls of 200 ms in 2 s on",
		     v->task->vpid, v->num, v->link);
	return true;
}

int psi_arm(struct session *s, int fd, const char *name)
{
	if (!psi_is(fd, name))
		return session_fail(s, -EBADMSG, "files.img: %s is no file of pressures", name);
	if (write(fd, TRIGGER, sizeof(TRIGGER)) < 0)
		return session_fail(s, -errno, "file %s: be told of pressures; see psi= of the kernel's command line", name);
	return 0;
}
