// SPDX-License-Identifier: Apache-2.0
/*
 * block: a task in every blocking call. What each returns, when, and with which errno is what its manual page
 * allows, whatever was done to it meanwhile.
 * Usage: block all DIR. DIR/ready appears when all sleep; on SIGTERM those that wait for something get it, and "OK"
 * or the first failure goes into DIR/verdict.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LONG 4.0 /* seconds of those with a timeout */

static char why[300];
static int pipes[32][2], sem, queue, lis, lockfd, master, slave;

static struct shared {
	struct result { volatile int done; long ret; int err; double after; } r[32];
	volatile int word[32];
	volatile pid_t grandchild;
} *sh;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static volatile sig_atomic_t handled;
static void on_usr2(int sig) { handled = 1; }

/* ---- the calls ---- */

static long do_nanosleep(int n)
{
	struct timespec ts = { LONG, 0 }, rem;

	return nanosleep(&ts, &rem);
}

static long do_clock_nanosleep(int n)
{
	struct timespec ts = { LONG, 0 }, rem;

	return syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &ts, &rem);
}

static long do_nanosleep_norem(int n)
{
	struct timespec ts = { LONG, 0 };

	return nanosleep(&ts, NULL);
}

static long do_until(int n)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += LONG;
	return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

static long do_poll_time(int n)
{
	struct pollfd p = { pipes[n][0], POLLIN, 0 };

	return poll(&p, 1, LONG * 1000);
}

static long do_poll(int n)
{
	struct pollfd p = { pipes[n][0], POLLIN, 0 };

	return poll(&p, 1, -1);
}

static long do_select_time(int n)
{
	struct timeval tv = { LONG, 0 };
	fd_set set;

	FD_ZERO(&set);
	FD_SET(pipes[n][0], &set);
	return select(pipes[n][0] + 1, &set, NULL, NULL, &tv);
}

static long do_futex(int n)
{
	return syscall(SYS_futex, &sh->word[n], FUTEX_WAIT, 0, NULL, NULL, 0);
}

static long do_futex_until(int n)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += LONG;
	return syscall(SYS_futex, &sh->word[n], FUTEX_WAIT_BITSET, 0, &ts, NULL, ~0U);
}

static long epoll_of(int n, int ms)
{
	struct epoll_event e = { .events = EPOLLIN };
	int ep = epoll_create1(0);

	epoll_ctl(ep, EPOLL_CTL_ADD, pipes[n][0], &e);
	return epoll_wait(ep, &e, 1, ms);
}

static long do_epoll(int n) { return epoll_of(n, -1); }
static long do_epoll_time(int n) { return epoll_of(n, LONG * 1000); }

static long do_sigwait(int n)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	return sigtimedwait(&set, NULL, NULL);
}

static long do_sigsuspend(int n)
{
	sigset_t none;
	long r;

	signal(SIGUSR2, on_usr2);
	sigemptyset(&none);
	r = sigsuspend(&none);
	return handled ? r : -77;
}

static long do_wait(int n)
{
	int status = 0;
	pid_t p = fork();

	if (p == 0)
		for (;;)
			pause();
	sh->grandchild = p;
	return wait4(p, &status, 0, NULL) == p && WIFSIGNALED(status) ? 5 : -1;
}

static long do_semop(int n)
{
	struct sembuf op = { 0, -1, 0 };

	return semop(sem, &op, 1);
}

static long do_msgrcv(int n)
{
	struct { long type; char text[8]; } m;

	return msgrcv(queue, &m, 8, 0, 0);
}

static long do_accept(int n) { return accept(lis, NULL, NULL) >= 0 ? 6 : -1; }

static long do_flock(int n)
{
	int fd = open("lock", O_RDWR);

	return flock(fd, LOCK_EX);
}

static long do_read(int n)
{
	char byte;

	return read(pipes[n][0], &byte, 1);
}

static long do_read_tty(int n)
{
	char line[16];

	return read(slave, line, sizeof(line));
}

static const struct {
	const char *name;
	long (*call)(int n);
	long ret;
	int err;
	double most; /* seconds, if it has a timeout: it ends between LONG and this */
} calls[] = {
	{ "nanosleep", do_nanosleep, 0, 0, LONG + 1.3 },
	{ "clock_nanosleep", do_clock_nanosleep, 0, 0, LONG + 1.3 },
	{ "nanosleep without rem", do_nanosleep_norem, 0, 0, 3 * LONG },
	{ "clock_nanosleep until", do_until, 0, 0, LONG + 1.3 },
	{ "poll with a timeout", do_poll_time, 0, 0, 3 * LONG },
	{ "select with a timeout", do_select_time, 0, 0, LONG + 2.5 }, /* the time it is stopped is added */
	{ "futex until", do_futex_until, -1, ETIMEDOUT, LONG + 1.3 },
	{ "epoll_wait with a timeout", do_epoll_time, 0, 0, 3 * LONG },
	{ "poll", do_poll, 1, 0, 0 },
	{ "futex", do_futex, 0, 0, 0 },
	{ "epoll_wait", do_epoll, 1, 0, 0 },
	{ "sigtimedwait", do_sigwait, SIGUSR1, 0, 0 },
	{ "sigsuspend", do_sigsuspend, -1, EINTR, 0 },
	{ "wait4", do_wait, 5, 0, 0 },
	{ "semop", do_semop, 0, 0, 0 },
	{ "msgrcv", do_msgrcv, 3, 0, 0 },
	{ "accept", do_accept, 6, 0, 0 },
	{ "flock", do_flock, 0, 0, 0 },
	{ "read of a pipe", do_read, 1, 0, 0 },
	{ "read of a terminal", do_read_tty, 3, 0, 0 },
};
#define N (int)(sizeof(calls) / sizeof(calls[0]))

static int is(int n, const char *name) { return !strcmp(calls[n].name, name); }

static void wake(int n, pid_t pid)
{
	struct sembuf op = { 0, 1, 0 };
	struct { long type; char text[8]; } m = { 1, "abc" };
	struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = "sock" };

	if (is(n, "poll") || is(n, "epoll_wait") || is(n, "read of a pipe"))
		(void)!write(pipes[n][1], "x", 1);
	else if (is(n, "futex"))
		syscall(SYS_futex, &sh->word[n], FUTEX_WAKE, 1, NULL, NULL, 0);
	else if (is(n, "sigtimedwait"))
		kill(pid, SIGUSR1);
	else if (is(n, "sigsuspend"))
		kill(pid, SIGUSR2);
	else if (is(n, "wait4"))
		kill(sh->grandchild, SIGKILL);
	else if (is(n, "semop"))
		semop(sem, &op, 1);
	else if (is(n, "msgrcv"))
		msgsnd(queue, &m, 3, 0);
	else if (is(n, "accept"))
		connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&a, sizeof(a));
	else if (is(n, "flock"))
		flock(lockfd, LOCK_UN);
	else if (is(n, "read of a terminal"))
		(void)!write(master, "hi\n", 3);
}

static void check(int n)
{
	const struct result *r = &sh->r[n];

	if (why[0])
		return;
	if (!r->done)
		snprintf(why, sizeof(why), "%s: sleeps on", calls[n].name);
	else if (r->ret != calls[n].ret || (r->ret < 0 && r->err != calls[n].err))
		snprintf(why, sizeof(why), "%s: returned %ld, errno %d, after %.2f s", calls[n].name, r->ret, r->err,
			 r->after);
	else if (calls[n].most && (r->after < LONG - 0.01 || r->after > calls[n].most))
		snprintf(why, sizeof(why), "%s: took %.2f s", calls[n].name, r->after);
}

static void finish(void)
{
	FILE *f = fopen("verdict.new", "w");

	fputs(why[0] ? why : "OK", f);
	fclose(f);
	rename("verdict.new", "verdict");
	exit(0);
}

static void objects(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = "sock" };

	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (int n = 0; n < N; n++)
		(void)!pipe(pipes[n]);
	sem = semget(IPC_PRIVATE, 1, 0600);
	queue = msgget(IPC_PRIVATE, 0600);
	lis = socket(AF_UNIX, SOCK_STREAM, 0);
	bind(lis, (void *)&a, sizeof(a));
	listen(lis, 5);
	lockfd = open("lock", O_CREAT | O_RDWR, 0600);
	flock(lockfd, LOCK_EX);
	openpty(&master, &slave, NULL, NULL, NULL);
}

int main(int argc, char **argv)
{
	pid_t pid[N];
	sigset_t set;
	int sig;

	if (argc != 3 || chdir(argv[2]))
		return 2;
	objects();
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (int n = 0; n < N; n++) {
		pid[n] = fork();
		if (pid[n] == 0) {
			struct result *r = &sh->r[n];
			double t0 = now();

			errno = 0;
			r->ret = calls[n].call(n);
			r->err = errno;
			r->after = now() - t0;
			r->done = 1;
			_exit(0);
		}
	}
	usleep(LONG * 400000);
	close(open("ready", O_CREAT | O_WRONLY, 0600));
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigwait(&set, &sig);
	for (int n = 0; n < N; n++)
		if (!calls[n].most) {
			if (sh->r[n].done && !why[0])
				snprintf(why, sizeof(why), "%s: was woken, returned %ld, errno %d", calls[n].name,
					 sh->r[n].ret, sh->r[n].err);
			wake(n, pid[n]);
		}
	for (int n = 0; n < N; n++)
		for (int i = 0; i < 1000 && !sh->r[n].done; i++)
			usleep(10000);
	for (int n = 0; n < N; n++)
		check(n);
	for (int n = 0; n < N; n++)
		kill(pid[n], SIGKILL);
	finish();
}
