// SPDX-License-Identifier: Apache-2.0
/*
 * notify: a process whose seccomp filter leaves getppid() to its parent, which answers 1000, 1001 and so on.
 */
#define _GNU_SOURCE
#include "judge.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

static int line[2], listener;
static volatile int answered, withheld, go;
static volatile unsigned long long waiting;

static int filter(unsigned flags)
{
	struct sock_filter f[] = {
		{ BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr) },
		{ BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_getppid },
		{ BPF_RET | BPF_K, 0, 0, SECCOMP_RET_USER_NOTIF },
		{ BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW },
	};
	struct sock_fprog p = { 4, f };
	int fd;

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER | flags, &p);
	if (fd < 0)
		exit(3);
	return fd;
}

static int answer(unsigned long long id, int n)
{
	struct seccomp_notif_resp a = { .id = id, .val = n };

	return ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &a);
}

/* After a signal, as after a dump, a call that was told of is told of again, and nobody waits for the first answer. */
static void *supervise(void *arg)
{
	for (;;) {
		struct seccomp_notif q = { 0 };

		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &q) < 0) {
			CHECK(errno == EINTR || errno == ENOENT);
			continue;
		}
		if (withheld && !go)
			waiting = q.id;
		else if (answer(q.id, 1000 + answered) == 0)
			answered++;
		else
			CHECK(errno == ENOENT);
	}
	return NULL;
}

static void *idle(void *arg)
{
	for (;;)
		pause();
	return NULL;
}

/* For each byte that comes, it asks who its parent is. */
static void child_main(int threads)
{
	pthread_t t;
	int n;
	char c;

	for (int i = 0; i < threads; i++)
		pthread_create(&t, NULL, idle, NULL);
	n = filter(threads ? SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH : 0);
	if (write(line[1], &n, sizeof(n)) != sizeof(n))
		_exit(1);
	while (read(line[1], &c, 1) == 1) {
		n = syscall(SYS_getppid);
		if (write(line[1], &n, sizeof(n)) != sizeof(n))
			break;
	}
	_exit(0);
}

static int told(void)
{
	int n = -1;

	return read(line[0], &n, sizeof(n)) == sizeof(n) ? n : -1;
}

static void start(int threads)
{
	pthread_t t;
	pid_t pid;

	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, line) == 0);
	pid = fork();
	if (pid == 0)
		child_main(threads);
	listener = syscall(SYS_pidfd_getfd, syscall(SYS_pidfd_open, pid, 0), told(), 0);
	CHECK(listener >= 0 && pthread_create(&t, NULL, supervise, NULL) == 0);
	CHECK(write(line[0], "x", 1) == 1 && told() == 1000);
}

static void alone_setup(void) { start(0); }
static void threads_setup(void) { start(2); }

static void alone_check(void)
{
	for (int i = 1; i < 4; i++)
		CHECK(write(line[0], "x", 1) == 1 && told() == 1000 + i);
}

/* The child waits for an answer meanwhile. */
static void waits_setup(void)
{
	start(0);
	withheld = 1;
	CHECK(write(line[0], "x", 1) == 1);
	while (!waiting)
		usleep(1000);
}

static void waits_check(void)
{
	go = 1;
	if (answer(waiting, 1001) == 0)
		answered++;
	CHECK(told() == 1001);
	for (int i = 2; i < 4; i++)
		CHECK(write(line[0], "x", 1) == 1 && told() == 1000 + i);
}

/* An epoll watches it; a message that was not read has it. */
static void epoll_setup(void)
{
	struct epoll_event e = { .events = EPOLLIN };

	start(0);
	CHECK(epoll_ctl(epoll_create1(0), EPOLL_CTL_ADD, listener, &e) == 0);
}

static void sent_setup(void)
{
	char room[CMSG_SPACE(sizeof(int))] __attribute__((aligned(16))) = { 0 }, b = 'f';
	struct iovec io = { &b, 1 };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	int pair[2];

	start(0);
	*c = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int)) };
	memcpy(CMSG_DATA(c), &listener, sizeof(listener));
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && sendmsg(pair[0], &m, 0) == 1);
}

/* Two processes have it: it could be restored for one of them only. */
static void shared_setup(void)
{
	listener = filter(0);
	if (fork() == 0)
		idle(NULL);
}

static void nothing(void) { }

/* Nobody listens. */
static void unheard_setup(void)
{
	close(filter(0));
}

static void unheard_check(void)
{
	CHECK(syscall(SYS_getppid) < 0 && errno == ENOSYS);
}

int main(int argc, char **argv)
{
	static const struct judge_case cases[] = {
		{ "alone", alone_setup, alone_check },	 { "threads", threads_setup, alone_check },
		{ "waits", waits_setup, waits_check },	 { "shared", shared_setup, nothing },
		{ "epoll", epoll_setup, alone_check },	 { "sent", sent_setup, alone_check },
		{ "unheard", unheard_setup, unheard_check }, { NULL, NULL, NULL },
	};

	if (judge_begin(argc, argv) < 0)
		return 2;
	return judge_case(cases, argv[1]);
}
