// SPDX-License-Identifier: Apache-2.0
#include "kind/unix-caller.h"

#include "base/res.h"
#include "kind/ids.h"
#include "task/batch.h"

#include <fcntl.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

void unix_caller_note(struct session *s, const struct task *task, int fd, UnixSkEntry *e)
{
	struct ucred c;
	socklen_t len = sizeof(c);
	uint32_t uid, gid;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &len) < 0 || c.uid == (uid_t)-1)
		return;
	uid = uid_in(s, c.uid);
	gid = gid_in(s, c.gid);
	if (uid != ID_NONE && gid != ID_NONE) { /* else somebody from outside, who is nobody inside */
		e->has_peer_uid = e->has_peer_gid = true;
		e->peer_uid = uid;
		e->peer_gid = gid;
	}
	for (size_t i = 0; i < s->tree->n; i++)
		if (s->tree->all[i]->tgid == c.pid) {
			e->has_peer_pid = true;
			e->peer_pid = s->tree->all[i]->vpid;
		}
}

static bool usable(const struct task *k, const UnixSkEntry *e)
{
	return k && k->state != TASK_DEAD && !k->helper && k->ids && k->pidfd >= 0 &&
	       (!e->has_ns_id || e->ns_id == k->ids->net_ns_id);
}

struct unix_caller unix_caller_self(const UnixSkEntry *e, struct task *owner)
{
	struct unix_caller c = { .task = usable(owner, e) ? owner : NULL };
	const CoreEntry *core = c.task ? task_leader(c.task)->core : NULL;

	if (core && core->thread_core && core->thread_core->creds) {
		c.uid = core->thread_core->creds->euid;
		c.gid = core->thread_core->creds->egid;
	}
	return c;
}

struct unix_caller unix_caller_of(struct session *s, const UnixSkEntry *e, struct task *owner)
{
	struct task *k = e->has_peer_pid ? task_find(s->tree, e->peer_pid) : NULL;
	struct unix_caller c = unix_caller_self(e, usable(k, e) ? k : owner);

	if (e->has_peer_uid)
		c.uid = e->peer_uid;
	if (e->has_peer_gid)
		c.gid = e->peer_gid;
	return c;
}

/*
 * One call between becoming its user and root again, which it is until the end of the restore. It keeps
 * its capabilities meanwhile: the way to a name may be barred to that user by now.
 */
static int as_user(struct batch *b, const struct unix_caller *c, long nr, int64_t a0, int64_t a1,
		   int64_t a2, int64_t a3)
{
	unsigned n, bits = 0, uid = 0, gid = 0;
	/* in a user namespace that has no root it is another; or one that the namespace does not map */
	const char *back = c->task && c->task->user ? NULL : "unix socket: become root again";
	int r;

	if (c->gid) {
		gid = call1(b, NULL, SYS_getegid, 0);
		call3(b, NULL, SYS_setresgid, -1, c->gid, -1);
	}
	if (c->uid) {
		uid = call1(b, NULL, SYS_geteuid, 0);
		bits = call1(b, "unix socket: read securebits", SYS_prctl, PR_GET_SECUREBITS);
		call2(b, NULL, SYS_prctl, PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP);
		call3(b, NULL, SYS_setresuid, -1, c->uid, -1);
	}
	n = batch_call(b, NULL, nr, a0, a1, a2, a3, 0, 0);
	if (c->uid) {
		batch_use(b, call3(b, back, SYS_setresuid, -1, 0, -1), 1, uid);
		batch_use(b, call2(b, "unix socket: set securebits", SYS_prctl, PR_SET_SECUREBITS, 0), 1, bits);
	}
	if (c->gid)
		batch_use(b, call3(b, back, SYS_setresgid, -1, 0, -1), 1, gid);
	r = batch_run(b);
	return r < 0 ? r : (int)batch_ret(b, n);
}

static int take(struct session *s, const struct unix_caller *c, int num, int *fd)
{
	*fd = fd_high(syscall(SYS_pidfd_getfd, c->task->pidfd, num, 0));
	return *fd < 0 ? session_fail(s, -errno, "task %d: take its socket", c->task->vpid) : 0;
}

int unix_caller_socket(struct session *s, const struct unix_caller *c, int type, int *num, int *fd)
{
	struct batch b;
	int r;

	*num = -1;
	if (!c->task) {
		*fd = fd_high(socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
		return *fd < 0 ? session_fail(s, -errno, "make a unix socket") : 0;
	}
	batch_start(s, &b, task_leader(c->task));
	call3(&b, "unix socket: make", SYS_socket, AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	r = batch_run(&b);
	if (r < 0)
		return r;
	*num = batch_ret(&b, 0);
	return take(s, c, *num, fd);
}

int unix_caller_pair(struct session *s, const struct unix_caller *c, int type, int fd[2])
{
	struct batch b;
	int *there, r;
	int64_t at;

	type |= SOCK_CLOEXEC | SOCK_NONBLOCK;
	if (!c->task) {
		if (socketpair(AF_UNIX, type, 0, fd) < 0)
			return session_fail(s, -errno, "make a pair of unix sockets");
		fd[0] = fd_high(fd[0]);
		fd[1] = fd_high(fd[1]);
		return 0;
	}
	batch_start(s, &b, task_leader(c->task));
	at = batch_mem(&b, NULL, 2 * sizeof(int), &there);
	r = as_user(&b, c, SYS_socketpair, AF_UNIX, type, 0, at);
	if (r < 0)
		return session_fail(s, r, "task %d: make a pair of unix sockets", c->task->vpid);
	for (int i = 0; r == 0 && i < 2; i++)
		r = take(s, c, there[i], &fd[i]);
	for (int i = 0; r == 0 && i < 2; i++)
		r = unix_caller_close(s, c, there[i]);
	return r;
}

int unix_caller_listen(struct session *s, const struct unix_caller *c, int num, int backlog)
{
	struct batch b;

	batch_start(s, &b, task_leader(c->task));
	return as_user(&b, c, SYS_listen, num, backlog, 0, 0);
}

int unix_caller_connect(struct session *s, const struct unix_caller *c, int num,
			const struct sockaddr *a, socklen_t len)
{
	struct batch b;
	int64_t at;

	batch_start(s, &b, task_leader(c->task));
	at = batch_mem(&b, a, len, NULL);
	return as_user(&b, c, SYS_connect, num, at, len, 0);
}

int unix_caller_close(struct session *s, const struct unix_caller *c, int num)
{
	struct batch b;

	if (num < 0)
		return 0;
	batch_start(s, &b, task_leader(c->task));
	call1(&b, "unix socket: close", SYS_close, num);
	return batch_run(&b);
}
