// SPDX-License-Identifier: Apache-2.0
/*
 * mqueue: POSIX message queues of an ipc namespace, in two tasks.
 * Usage: mqueue CASE DIR. DIR/ready appears when all is set up; on SIGTERM "OK" or the first failure goes
 * into DIR/verdict.
 */
#define _GNU_SOURCE
#include "judge.h"

#include <mqueue.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

static volatile sig_atomic_t told;

static void on_message(int sig) { told++; }

static mqd_t make(const char *name, int flags, long max, long size)
{
	struct mq_attr a = { .mq_maxmsg = max, .mq_msgsize = size };
	mqd_t q = mq_open(name, flags | O_CREAT | O_EXCL, 0600, &a);

	CHECK(q >= 0);
	return q;
}

static void say(mqd_t q, const char *text, unsigned prio)
{
	CHECK(mq_send(q, text, strlen(text), prio) == 0);
}

static void hear(mqd_t q, const char *text, unsigned prio)
{
	char buf[9000];
	unsigned p = 77;
	ssize_t n = mq_receive(q, buf, sizeof(buf), &p);

	CHECK(n == (ssize_t)strlen(text) && !memcmp(buf, text, n) && p == prio);
}

static long in(mqd_t q)
{
	struct mq_attr a = { 0 };

	return mq_getattr(q, &a) < 0 ? -1 : a.mq_curmsgs;
}

static pid_t kid(int (*fn)(void))
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(fn());
	return pid;
}

static mqd_t empty, full, full_out, told_q;

static int receiver(void)
{
	hear(empty, "at last", 4);
	return !!why[0];
}

static int sender(void)
{
	say(full, "third", 1);
	return !!why[0];
}

static int notified(void)
{
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3 };

	signal(SIGRTMIN + 3, on_message);
	CHECK(mq_notify(told_q, &ev) == 0);
	close(open("notified", O_CREAT | O_WRONLY, 0600));
	sleep_term();
	CHECK(told == 0);
	say(told_q, "news", 0);
	CHECK(told == 1);
	hear(told_q, "news", 0);
	return !!why[0];
}

static void all(void)
{
	mqd_t a = make("/a", O_RDWR, 7, 8192), ro = mq_open("/a", O_RDONLY | O_NONBLOCK), wo = mq_open("/a", O_WRONLY);
	mqd_t gone = make("/b", O_RDWR, 3, 10), other, nobodys, quiet = make("/quiet", O_RDWR | O_NONBLOCK, 2, 2);
	struct sigevent none = { .sigev_notify = SIGEV_NONE };
	struct mq_attr at;
	struct stat st;
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = 0x1234 };
	int ep = epoll_create1(0);
	pid_t kids[3];
	int status;

	say(a, "low 1", 0);
	say(wo, "high 1", 32767);
	say(a, "low 2", 0);
	say(a, "mid", 5);
	say(a, "", 5);
	say(a, "high 2", 32767);
	say(gone, "removed", 9);
	CHECK(mq_unlink("/b") == 0);
	other = make("/b", O_RDWR, 4, 11);
	say(other, "named", 2);
	nobodys = make("/nobody has it open", O_RDWR, 1, 20);
	say(nobodys, "kept", 3);
	CHECK(fchown(nobodys, 12, 34) == 0 && fchmod(nobodys, 0640) == 0 && close(nobodys) == 0);
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, a, &ev) == 0 && epoll_ctl(ep, EPOLL_CTL_ADD, quiet, &ev) == 0);
	CHECK(mq_notify(quiet, &none) == 0);
	empty = make("/empty", O_RDWR, 5, 100);
	full = make("/full", O_RDWR, 2, 100);
	full_out = mq_open("/full", O_RDONLY);
	told_q = make("/told", O_RDWR, 5, 100);
	say(full, "first", 1);
	say(full, "second", 1);
	kids[0] = kid(receiver);
	kids[1] = kid(sender);
	kids[2] = kid(notified);
	while (access("notified", F_OK) < 0)
		usleep(1000);
	wait_term();
	CHECK(mq_getattr(a, &at) == 0 && at.mq_maxmsg == 7 && at.mq_msgsize == 8192 && at.mq_curmsgs == 6 && !at.mq_flags);
	CHECK(epoll_wait(ep, &ev, 1, 0) == 1 && ev.data.u64 == 0x1234);
	CHECK(mq_getattr(ro, &at) == 0 && at.mq_flags == O_NONBLOCK);
	CHECK(mq_send(ro, "x", 1, 0) < 0 && errno == EBADF);
	CHECK(mq_receive(wo, why + 100, 90, NULL) < 0 && errno == EBADF);
	hear(ro, "high 1", 32767);
	hear(ro, "high 2", 32767);
	hear(a, "mid", 5);
	hear(a, "", 5);
	hear(a, "low 1", 0);
	hear(a, "low 2", 0);
	CHECK(mq_receive(ro, why + 100, 8192, NULL) < 0 && errno == EAGAIN);
	CHECK(epoll_wait(ep, &ev, 1, 0) == 0);
	hear(gone, "removed", 9);
	CHECK(in(gone) == 0 && in(other) == 1);
	CHECK(mq_getattr(gone, &at) == 0 && at.mq_maxmsg == 3);
	CHECK(close(other) == 0);
	other = mq_open("/b", O_RDWR);
	hear(other, "named", 2);
	nobodys = mq_open("/nobody has it open", O_RDWR | O_NONBLOCK);
	CHECK(nobodys >= 0 && fstat(nobodys, &st) == 0 && st.st_uid == 12 && st.st_gid == 34 && st.st_mode == (S_IFREG | 0640));
	hear(nobodys, "kept", 3);
	CHECK(mq_notify(quiet, &none) < 0 && errno == EBUSY); /* registered already */
	say(quiet, "q", 0);
	CHECK(mq_notify(quiet, &none) == 0); /* and used up */
	say(empty, "at last", 4);
	CHECK(waitpid(kids[0], &status, 0) == kids[0] && status == 0);
	CHECK(in(full) == 2);
	hear(full_out, "first", 1);
	CHECK(waitpid(kids[1], &status, 0) == kids[1] && status == 0);
	hear(full_out, "second", 1);
	hear(full_out, "third", 1);
	kill(kids[2], SIGTERM);
	CHECK(waitpid(kids[2], &status, 0) == kids[2] && status == 0);
	finish();
}

/* Many messages, for those who kill the dumper: none may be lost or twice. */
static void many(void)
{
	mqd_t q = make("/many", O_RDWR | O_NONBLOCK, 2500, 32);
	char text[32];

	for (int i = 0; i < 2500; i++) {
		snprintf(text, sizeof(text), "%d", i);
		say(q, text, i & 7);
	}
	wait_term();
	CHECK(in(q) == 2500);
	for (int p = 7; p >= 0; p--)
		for (int i = p; i < 2500; i += 8) {
			snprintf(text, sizeof(text), "%d", i);
			hear(q, text, p);
		}
	finish();
}

/* registered while messages wait */
static void both(void)
{
	struct sigevent none = { .sigev_notify = SIGEV_NONE };
	mqd_t q = make("/both", O_RDWR, 5, 64);

	say(q, "waits", 1);
	CHECK(mq_notify(q, &none) == 0);
	wait_term();
	CHECK(mq_notify(q, &none) < 0 && errno == EBUSY);
	hear(q, "waits", 1);
	finish();
}

static void never(union sigval v) { }

static void thread(void)
{
	struct sigevent ev = { .sigev_notify = SIGEV_THREAD, .sigev_notify_function = never };
	mqd_t q = make("/thread", O_RDWR, 5, 64);

	CHECK(mq_notify(q, &ev) == 0);
	wait_term();
	finish();
}

static void host(void)
{
	char name[40];
	mqd_t q;

	snprintf(name, sizeof(name), "/kinds-%d", getpid());
	q = make(name, O_RDWR, 5, 64);
	CHECK(mq_unlink(name) == 0);
	wait_term();
	CHECK(in(q) == 0);
	finish();
}

int main(int argc, char **argv)
{
	if (judge_begin(argc, argv) < 0)
		return 2;
	if (!strcmp(argv[1], "many"))
		many();
	else if (!strcmp(argv[1], "both"))
		both();
	else if (!strcmp(argv[1], "thread"))
		thread();
	else if (!strcmp(argv[1], "host"))
		host();
	all();
	return 0;
}
