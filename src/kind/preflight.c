// SPDX-License-Identifier: Apache-2.0
/* preflight: attributes of tasks that cannot be kept yet, found without stopping anybody. */
#include "kind/task.h"

#include "base/res.h"
#include "base/text.h"

#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

static int thread_preflight(struct session *s, const struct thread *t)
{
	own_mem char *status = NULL;
	uint64_t v = 0;

	if (text_readf(AT_FDCWD, &status, "/proc/%d/task/%d/status", t->task->pid, t->tid) < 0)
		return 0; /* ended meanwhile */
	if (text_u64(status, "TracerPid:", 10, &v) == 0 && v)
		return session_fail(s, -EBUSY, "task %d: is traced by %d; detach that debugger or tracer first",
				    t->task->vpid, (int)v);
	if (text_u64(status, "Seccomp:", 10, &v) == 0 && v && prctl(PR_GET_SECCOMP) != 0)
		return session_fail(s, -ENOTSUP,
				    "task %d: thread %d has a seccomp filter, which we cannot read as we have one ourselves; run stasis without",
				    t->task->vpid, t->vtid);
	return 0;
}

/* Segments of the host's: mem/sysv.c refuses them, this says so before anything is stopped. */
static int segments_preflight(struct session *s, const struct task *k)
{
	own_mem char *maps = NULL;
	struct stat its, ours;

	if (fstatat(k->proc, "ns/ipc", &its, 0) < 0 || stat("/proc/self/ns/ipc", &ours) < 0 ||
	    its.st_ino != ours.st_ino || text_read(k->proc, "maps", &maps, NULL) < 0 ||
	    !strstr(maps, " /SYSV"))
		return 0;
	return session_fail(s, -ENOTSUP,
			    "task %d: has a System V segment of the host attached, which cannot be carried away; run it in an ipc namespace of its own",
			    k->vpid);
}

int task_preflight_all(struct session *s, struct tree *tree)
{
	int all = 0;

	for (size_t i = 0; i < tree->n; i++) {
		struct task *k = tree->all[i];
		int r = 0;

		if (k->state == TASK_DEAD)
			continue;
		r = segments_preflight(s, k);
		for (unsigned n = 0; r == 0 && n < k->n_threads; n++)
			r = thread_preflight(s, &k->threads[n]);
		all = all ? all : r;
	}
	return all;
}
