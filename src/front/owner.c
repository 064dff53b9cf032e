// SPDX-License-Identifier: Apache-2.0
/*
 * owner: requests of another user than the superuser. The rule: such a user may dump trees of tasks that
 * are all its own, and touches files as itself; it may not restore, as images can ask for anything.
 *
 * Kernel: setfsuid() to another user takes the capabilities over files away and leaves those to trace.
 */
#include "front/request.h"

#include "base/res.h"
#include "base/text.h"

#include <fcntl.h>
#include <grp.h>
#include <string.h>
#include <sys/fsuid.h>

int owner_assume(struct request *q, char *why, size_t n)
{
	if (!q->foreign)
		return 0;
	setfsgid(q->gid);
	setfsuid(q->uid);
	if (setgroups(0, NULL) < 0 || (uid_t)setfsuid(-1) != q->uid || (gid_t)setfsgid(-1) != q->gid) {
		snprintf(why, n, "user %u: files cannot be opened as this user", q->uid);
		return -EPERM;
	}
	return 0;
}

#define DEPTH_MAX 1000 /* of a tree; what is below could not be checked */

/* Source: /proc/PID/status, "Uid:" and "Gid:": real, effective, saved, filesystem. */
static bool all_four(const char *status, const char *key, unsigned want)
{
	const char *p = text_after(status, key);
	unsigned v[4];

	return p && sscanf(p, "%u %u %u %u", &v[0], &v[1], &v[2], &v[3]) == 4 && v[0] == want &&
	       v[1] == want && v[2] == want && v[3] == want;
}

static int owner_children(const struct request *q, pid_t pid, int depth, char *why, size_t n);

static int owner_task(const struct request *q, pid_t pid, int depth, char *why, size_t n)
{
	own_mem char *status = NULL;
	int r = text_readf(AT_FDCWD, &status, "/proc/%d/status", pid);

	if (r < 0) {
		snprintf(why, n, "task %d: there is no such process", pid);
		return -ESRCH;
	}
	if (!all_four(status, "Uid:", q->uid) || !all_four(status, "Gid:", q->gid)) {
		snprintf(why, n, "task %d: is not user %u's own; only the superuser may dump it", pid, q->uid);
		return -EPERM;
	}
	return owner_children(q, pid, depth, why, n);
}

static int owner_children(const struct request *q, pid_t pid, int depth, char *why, size_t n)
{
	char path[64];
	own_dir DIR *d = NULL;
	struct dirent *e;
	int r = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	d = depth < DEPTH_MAX ? opendir(path) : NULL;
	if (!d) {
		snprintf(why, n, "task %d: its children cannot be seen", pid);
		return -EPERM;
	}
	while (r == 0 && (e = readdir(d))) {
		own_mem char *text = NULL;
		char *end;
		long child;

		if (*e->d_name == '.' ||
		    text_readf(AT_FDCWD, &text, "/proc/%d/task/%s/children", pid, e->d_name) < 0)
			continue;
		for (const char *p = text; r == 0 && (child = strtol(p, &end, 10)) > 0; p = end)
			r = owner_task(q, child, depth + 1, why, n);
	}
	return r;
}

int owner_check(const struct request *q, pid_t root, char *why, size_t n)
{
	return q->foreign ? owner_task(q, root, 0, why, n) : 0;
}
