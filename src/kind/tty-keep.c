// SPDX-License-Identifier: Apache-2.0
/*
 * tty-keep: terminals of a container whose masters are outside of it, as those that LXC makes for
 * lxc-console (tty1, tty2...). In a devpts of the container's own they are made anew with it, and nobody
 * outside has their masters any more. Closed, they would hang up whoever sits on them, for ever; so a
 * process of ours holds them, as the monitor had held them, until the container ends.
 *
 * Lost:   the connection to whoever held the master: lxc-console finds no such terminal.
 * Kernel: drivers/tty/pty.c, pty_close(): the slave is hung up and its node removed.
 */
#include "kind/tty.h"

#include "base/list.h"
#include "base/res.h"
#include "base/text.h"
#include "kind/mnt-list.h"
#include "kind/ns.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

static bool devpts_in(const struct mnt_list *l, dev_t dev, bool made_anew)
{
	uint32_t kdev = (uint32_t)major(dev) << 20 | (uint32_t)minor(dev);

	for (size_t i = 0; l && i < l->n; i++) {
		const MntEntry *e = l->v[i]->e;

		if (e->root_dev == kdev && (!made_anew || (e->fstype == FSTYPE__DEVPTS && !e->ext_key &&
							   !strcmp(e->root, "/"))))
			return true;
	}
	return false;
}

bool tty_devpts_own(struct session *s, const struct fd_view *v)
{
	struct mnt_list ours = { 0 };
	own_mem char *text = NULL;
	struct stat its, our;
	bool own;

	if (fstatat(v->task->proc, "ns/mnt", &its, 0) < 0 || stat("/proc/self/ns/mnt", &our) < 0 ||
	    its.st_ino == our.st_ino || text_read(AT_FDCWD, "/proc/self/mountinfo", &text, NULL) < 0 ||
	    mnt_parse_flat(s, text, &ours) < 0)
		return false;
	own = !devpts_in(&ours, v->st.st_dev, false);
	mnt_free(&ours);
	return own;
}

bool tty_kept(struct session *s, const TtyInfoEntry *e)
{
	const struct ns *mnt = ns_of(s, CLONE_NEWNS);

	return mnt && mnt->own && e->has_dev &&
	       devpts_in(map_get(session_map(s, "mnt"), mnt->id), e->dev, true);
}

static __attribute__((noreturn)) void keeper(int *fds, size_t n, int root)
{
	struct pollfd p = { .fd = root, .events = POLLIN };
	int null = open("/dev/null", O_RDWR);
	size_t at = 3;

	setsid();
	prctl(PR_SET_NAME, "stasis-ttys");
	signal(SIGHUP, SIG_IGN);
	for (int i = 0; i < 3 && null >= 0; i++)
		dup2(null, i);
	/* descriptors are above all others here: down they go, in order */
	p.fd = dup2(root, at++);
	for (size_t i = 0; i < n; i++)
		dup2(fds[i], at++);
	close_range(at, ~0U, 0);
	if (chdir("/") < 0)
		_exit(1);
	while (poll(&p, 1, -1) < 0 && errno == EINTR)
		;
	_exit(0);
}

int tty_keep(struct session *s)
{
	const struct map *made = session_map(s, "tty made");
	struct {
		int *v;
		size_t n, max;
	} fds = { 0 };
	int low = 3, unlock = 0, root;
	pid_t pid;

	for (size_t i = 0; i < made->max; i++)
		if ((intptr_t)made->rows[i].value > TTY_TAKEN)
			*vec_add(&fds) = (int)(intptr_t)made->rows[i].value - 1;
	if (!fds.n)
		return 0;
	/* out of the way of the numbers that the keeper gives them */
	low += fds.n + 1;
	root = fcntl(s->tree->root->pidfd, F_DUPFD_CLOEXEC, low);
	for (size_t i = 0; i < fds.n; i++) {
		/* a new one is locked; that of a slave which somebody mounted was not */
		ioctl(fds.v[i], TTY_SET_LOCK, &unlock);
		fds.v[i] = fcntl(fds.v[i], F_DUPFD_CLOEXEC, low);
	}
	pid = fork();
	if (pid == 0)
		keeper(fds.v, fds.n, root);
	for (size_t i = 0; i < fds.n; i++)
		fd_close(fds.v[i]);
	fd_close(root);
	session_info(s, "%zu terminals whose other side was outside are held by process %d until the tasks end",
		     fds.n, pid);
	free(fds.v);
	return pid < 0 ? session_fail(s, -errno, "terminals: fork a process that holds them") : 0;
}
