// SPDX-License-Identifier: Apache-2.0
/*
 * mqueue-peek: what is in a POSIX message queue whose users are stopped.
 *
 * Messages can only be received, so all are taken out and put back in the same order: the kernel sorts them
 * by priority and keeps the order among equals. In between they are in memory shared by two processes, and
 * the queue itself tells how far the other has come, should it be killed.
 *
 * Lost:   nothing, unless both are killed at once. Whoever waits for changes (EPOLLET) may be woken once more.
 * Kernel: ipc/mqueue.c. The first message into an empty queue sets off a registered notification: queues
 *         that have both, messages and somebody to be notified, are not touched.
 */
#include "kind/mqueue.h"

#include "base/res.h"
#include "base/text.h"

#include <mqueue.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#define COUNT_MAX 65536 /* the kernel's own limits */
#define SIZE_MAX_MSG (16ULL << 20)
#define LOCK_TRIES 1000 /* ms */

enum phase { TAKING, PUTTING, DONE };

/* shared by the two; rows and data follow */
struct shared {
	volatile int phase;
	volatile uint64_t taken;
	int r;
};

int mqueue_state(int fd, struct mqueue_state *ret)
{
	struct mq_attr a;
	char text[200];
	unsigned long long bytes;
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n < 0 || mq_getattr(fd, &a) < 0)
		return -errno;
	text[n] = 0;
	if (sscanf(text, "QSIZE:%llu NOTIFY:%d SIGNO:%d NOTIFY_PID:%d", &bytes, &ret->notify, &ret->signo,
		   &ret->notify_pid) != 4)
		return -EBADMSG;
	ret->bytes = bytes;
	ret->count = a.mq_curmsgs;
	ret->maxmsg = a.mq_maxmsg;
	ret->msgsize = a.mq_msgsize;
	return 0;
}

static int take(int fd, struct shared *sh, const struct mqueue_copy *c)
{
	uint64_t at = 0;

	for (uint64_t i = 0; i < sh->taken; i++)
		at += c->rows[i].size;
	while (sh->taken < c->was.count) {
		struct mqueue_row *row = &c->rows[sh->taken];
		ssize_t n = mq_receive(fd, c->data + at, c->was.msgsize, &row->prio);

		if (n < 0)
			return -errno;
		row->at = at;
		row->size = n;
		at += n;
		sh->taken++;
	}
	return 0;
}

static int put(int fd, struct shared *sh, const struct mqueue_copy *c)
{
	struct mqueue_state now;
	int r = mqueue_state(fd, &now);

	for (uint64_t i = r == 0 ? now.count : 0; r == 0 && i < sh->taken; i++)
		if (mq_send(fd, c->data + c->rows[i].at, c->rows[i].size, c->rows[i].prio) < 0)
			r = -errno;
	return r;
}

/* The whole way, from wherever it stopped. */
static void cycle(int fd, struct shared *sh, const struct mqueue_copy *c)
{
	int r = 0;

	if (sh->phase == TAKING)
		r = take(fd, sh, c);
	if (sh->phase == TAKING && (r == 0 || sh->taken))
		sh->phase = PUTTING;
	if (sh->phase == PUTTING) {
		int more = put(fd, sh, c);

		r = r < 0 ? r : more;
	}
	sh->r = r;
	sh->phase = DONE;
}

/* One that was received, but not noted any more, before the other was killed. */
static void mend(int fd, struct shared *sh, const struct mqueue_copy *c)
{
	struct mqueue_row *row = &c->rows[sh->taken];
	struct mqueue_state now;
	uint64_t at = 0;

	if (sh->phase != TAKING || mqueue_state(fd, &now) < 0 || sh->taken + now.count >= c->was.count)
		return;
	for (uint64_t i = 0; i < sh->taken; i++)
		at += c->rows[i].size;
	row->at = at;
	row->size = c->was.bytes - now.bytes - at;
	sh->taken++;
}

static int run(struct session *s, int fd, const char *name, struct shared *sh, const struct mqueue_copy *c)
{
	sigset_t all, old;
	int status = 0;
	pid_t pid;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	pid = fork();
	if (pid == 0) {
		setsid();
		cycle(fd, sh, c);
		_exit(0);
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (pid < 0)
		return session_fail(s, -errno, "message queue /%s: fork", name);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (sh->phase != DONE) {
		mend(fd, sh, c);
		cycle(fd, sh, c);
	}
	if (sh->r < 0)
		return session_fail(s, sh->r, "message queue /%s: copy its messages: somebody outside of the tree uses it", name);
	return 0;
}

/* Whoever copied before us may have been killed: the process that puts its messages back holds the lock. */
static int lock(int fd)
{
	for (int n = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; n++) {
		if (errno != EWOULDBLOCK || n == LOCK_TRIES)
			return -errno;
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	return 0;
}

int mqueue_peek(struct session *s, int fd, const char *name, struct mqueue_copy *ret)
{
	own_fd int rw = fd_reopen(fd, O_RDWR | O_NONBLOCK);
	struct mqueue_state *was = &ret->was;
	int r = rw < 0 ? rw : lock(rw);
	size_t rows;

	*ret = (struct mqueue_copy){ 0 };
	if (r == 0)
		r = mqueue_state(rw, was);
	if (r == 0 && (was->count > COUNT_MAX || was->msgsize > SIZE_MAX_MSG))
		r = -EFBIG;
	if (r < 0)
		return session_fail(s, r, "message queue /%s: look at it%s", name,
				    r == -EWOULDBLOCK ? ": somebody holds a lock on it (flock)" : "");
	if (!was->count)
		return 0;
	if (was->notify_pid)
		return session_fail(s, -ENOTSUP,
				    "message queue /%s: holds messages while process %d waits to be notified (mq_notify), and copying them would set that off; let the program read them first",
				    name, was->notify_pid);
	rows = page_up(sizeof(struct shared) + was->count * sizeof(struct mqueue_row));
	ret->len = rows + page_up(was->bytes + was->msgsize);
	ret->mem = mmap(NULL, ret->len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ret->mem == MAP_FAILED) {
		ret->mem = NULL;
		return session_fail(s, -errno, "message queue /%s: memory for its messages", name);
	}
	ret->rows = (void *)((char *)ret->mem + sizeof(struct shared));
	ret->data = (char *)ret->mem + rows;
	r = run(s, rw, name, ret->mem, ret);
	if (r < 0)
		mqueue_copy_free(ret);
	return r;
}

void mqueue_copy_free(struct mqueue_copy *c)
{
	if (c->mem)
		munmap(c->mem, c->len);
	c->mem = NULL;
}
