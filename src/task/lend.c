// SPDX-License-Identifier: Apache-2.0
/*
 * The task makes a pair of sockets; we take one end out of it with pidfd_getfd() and send through it.
 * Its ends are moved out of the way first, so that what arrives takes the lowest free numbers.
 */
#include "task/lend.h"

#include "base/res.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define LEND_SPARE 64 /* numbers that may be taken below those that arrive */

struct lend_msg { /* what recvmsg() needs, in the arena */
	struct msghdr msg;
	struct iovec iov;
	char byte[16];
	char control[CMSG_SPACE(LEND_MAX * sizeof(int))] __attribute__((aligned(16)));
};

static int no_room(struct session *s, const struct batch *b, size_t n)
{
	return session_fail(s, -EMFILE, "task %d: has no room for %zu more descriptors; raise the limit of open files (ulimit -n)",
			    b->t->task->vpid, n);
}

static int lend_send(struct session *s, const struct thread *t, int sock, const int *fds, size_t n)
{
	char control[CMSG_SPACE(LEND_MAX * sizeof(int))] = { 0 }, byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = CMSG_SPACE(n * sizeof(int)),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	if (sendmsg(sock, &m, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return session_fail(s, -errno, "task %d: pass it %zu descriptors", t->task->vpid, n);
	return 0;
}

static int lend_receive(struct session *s, struct batch *b, int sock, size_t n, int *nums)
{
	struct lend_msg *m;
	int64_t at;
	uint64_t base;
	const struct cmsghdr *h;
	int r;

	batch_clear(b);
	at = batch_mem(b, NULL, sizeof(*m), &m);
	base = at;
	m->iov.iov_base = (void *)(uintptr_t)(base + offsetof(struct lend_msg, byte));
	m->iov.iov_len = 1;
	m->msg.msg_iov = (void *)(uintptr_t)(base + offsetof(struct lend_msg, iov));
	m->msg.msg_iovlen = 1;
	m->msg.msg_control = (void *)(uintptr_t)(base + offsetof(struct lend_msg, control));
	m->msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
	call3(b, "descriptors: receive", SYS_recvmsg, sock, at, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	r = batch_run(b);
	if (r < 0)
		return r;
	h = (const struct cmsghdr *)m->control;
	if (m->msg.msg_controllen < CMSG_LEN(n * sizeof(int)) ||
	    h->cmsg_len != CMSG_LEN(n * sizeof(int)) || h->cmsg_type != SCM_RIGHTS)
		return no_room(s, b, n);
	memcpy(nums, CMSG_DATA(h), n * sizeof(int));
	return 0;
}

/*
 * A pair in the task, above the n descriptors that are to arrive: *there stays, *here is our copy of the
 * other end, which the task closes.
 */
static int lend_pair(struct session *s, struct batch *b, size_t n, int *there, int *here)
{
	int pair[2], high[2], *sv;
	int64_t at = batch_mem(b, NULL, 8, &sv);
	own_fd int own = -1;
	int r;

	call4(b, "descriptors: socketpair", SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
	      at);
	r = batch_run(b);
	if (r < 0)
		return r;
	memcpy(pair, sv, sizeof(pair));
	batch_clear(b);
	call3(b, NULL, SYS_fcntl, pair[0], F_DUPFD_CLOEXEC, n + LEND_SPARE);
	call1(b, NULL, SYS_close, pair[0]);
	call3(b, NULL, SYS_fcntl, pair[1], F_DUPFD_CLOEXEC, n + LEND_SPARE);
	call1(b, NULL, SYS_close, pair[1]);
	r = batch_run(b);
	if (r < 0)
		return r;
	high[0] = batch_ret(b, 0);
	high[1] = batch_ret(b, 2);
	if (high[0] < 0 || high[1] < 0) { /* also -EINVAL: the number is beyond the limit */
		batch_clear(b);
		call1(b, NULL, SYS_close, high[0]);
		call1(b, NULL, SYS_close, high[1]);
		batch_run(b);
		return no_room(s, b, n);
	}
	if (b->t->files_id) /* a table of its own: the process's pidfd shows another */
		own = fd_high(syscall(SYS_pidfd_open, b->t->tid, O_EXCL /* PIDFD_THREAD */));
	*here = fd_high(syscall(SYS_pidfd_getfd, own >= 0 ? own : b->t->task->pidfd, high[1], 0));
	if (*here < 0)
		return session_fail(s, -errno, "task %d: take its socket", b->t->task->vpid);
	batch_clear(b);
	call1(b, NULL, SYS_close, high[1]);
	*there = high[0];
	return batch_run(b);
}

int lend_fds(struct session *s, struct thread *t, const int *fds, size_t n, int *nums)
{
	own_fd int here = -1;
	struct batch b;
	int there = -1, r;

	if (!n)
		return 0;
	batch_start(s, &b, t);
	r = lend_pair(s, &b, n, &there, &here);
	for (size_t i = 0; r == 0 && i < n; i += LEND_MAX) {
		size_t k = n - i < LEND_MAX ? n - i : LEND_MAX;

		r = lend_send(s, t, here, fds + i, k);
		if (r == 0)
			r = lend_receive(s, &b, there, k, nums + i);
	}
	if (r < 0)
		return r;
	batch_clear(&b);
	call1(&b, NULL, SYS_close, there);
	return batch_run(&b);
}
