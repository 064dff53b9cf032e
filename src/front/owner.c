// SPDX-License-Identifier: Apache-2.0
/*
 * owner: requests of another user than the superuser. The rule: such a user may dump trees of tasks that
 * are all its own, and touches files as itself. A restore is done as that user: images can ask for anything, so
 * the kernel says what it may; we only keep CAP_CHECKPOINT_RESTORE, by which pids can be chosen.
 *
 * Kernel: setfsuid() to another user takes the capabilities over files away and leaves those to trace. Nobody can
 * trace who has capabilities that it has not itself, so the user cannot make use of ours.
 */
#include "front/request.h"

#include "base/res.h"
#include "base/text.h"

#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* The peer's groups; of a setuid program the caller's are there already. */
static int owner_groups(int sock)
{
	gid_t groups[NGROUPS_MAX / 64];
	socklen_t len = sizeof(groups);

	if (sock < 0)
		return 0;
	if (getsockopt(sock, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0)
		return -errno;
	return setgroups(len / sizeof(*groups), groups) < 0 ? -errno : 0;
}

int owner_assume(struct request *q, int sock, char *why, size_t n)
{
	if (!q->foreign)
		return 0;
	setfsgid(q->gid);
	setfsuid(q->uid);
	if (owner_groups(sock) < 0 || (uid_t)setfsuid(-1) != q->uid || (gid_t)setfsgid(-1) != q->gid) {
		snprintf(why, n, "user %u: files cannot be opened as this user", q->uid);
		return -EPERM;
	}
	return 0;
}

int owner_become(struct request *q, int sock, char *why, size_t n)
{
	const unsigned cap = CAP_CHECKPOINT_RESTORE;
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2] = { 0 };
	int r;

	if (!q->foreign || (getuid() == q->uid && geteuid() == q->uid))
		return 0;
	d[cap / 32].effective = d[cap / 32].permitted = 1u << cap % 32;
	r = owner_groups(sock);
	if (r == 0 && (prctl(PR_SET_KEEPCAPS, 1) < 0 || setresgid(q->gid, q->gid, q->gid) < 0 ||
		       setresuid(q->uid, q->uid, q->uid) < 0 || syscall(SYS_capset, &h, d) < 0 ||
		       prctl(PR_SET_KEEPCAPS, 0) < 0 || prctl(PR_SET_DUMPABLE, 1) < 0))
		r = -errno;
	if (r < 0)
		snprintf(why, n, "user %u: cannot be served as this user: %s", q->uid, strerror(-r));
	return r;
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

static int owner_not(const struct request *q, pid_t pid, char *why, size_t n)
{
	snprintf(why, n, "task %d: is not user %u's own; only the superuser may dump it", pid, q->uid);
	return -EPERM;
}

static int owner_task(const struct request *q, pid_t pid, int depth, char *why, size_t n);

/* One thread: its ids, and the children that it made. */
static int owner_thread(const struct request *q, pid_t pid, const char *tid, int depth, char *why, size_t n)
{
	own_mem char *status = NULL, *children = NULL;
	char *end;
	long child;
	int r = 0;

	if (text_readf(AT_FDCWD, &status, "/proc/%d/task/%s/status", pid, tid) < 0 ||
	    text_readf(AT_FDCWD, &children, "/proc/%d/task/%s/children", pid, tid) < 0)
		return 0; /* it has just ended */
	if (!all_four(status, "Uid:", q->uid) || !all_four(status, "Gid:", q->gid))
		return owner_not(q, pid, why, n);
	for (const char *p = children; r == 0 && (child = strtol(p, &end, 10)) > 0; p = end)
		r = owner_task(q, child, depth + 1, why, n);
	return r;
}

/* A task that may not be looked into (it runs what its user cannot read) shows in /proc as root's. */
static int owner_task(const struct request *q, pid_t pid, int depth, char *why, size_t n)
{
	char path[64];
	own_dir DIR *d = NULL;
	struct dirent *e;
	struct stat st;
	int r = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	d = opendir(path);
	if (!d) {
		snprintf(why, n, "task %d: there is no such process", pid);
		return -ESRCH;
	}
	if (depth >= DEPTH_MAX || fstat(dirfd(d), &st) < 0 || st.st_uid != q->uid)
		return owner_not(q, pid, why, n);
	while (r == 0 && (e = readdir(d)))
		if (*e->d_name != '.')
			r = owner_thread(q, pid, e->d_name, depth, why, n);
	return r;
}

int owner_check(const struct request *q, pid_t root, char *why, size_t n)
{
	return q->foreign ? owner_task(q, root, 0, why, n) : 0;
}
