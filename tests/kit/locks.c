// SPDX-License-Identifier: Apache-2.0
/*
 * locks: two tasks with locks on files, which check them from outside of the locks' owners.
 * Usage: locks CASE DIR. DIR/ready appears when all is set up; on SIGTERM "OK" or the first failure goes
 * into DIR/verdict.
 */
#define _GNU_SOURCE
#include "judge.h"

#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

static volatile sig_atomic_t broken;

static void on_break(int sig, siginfo_t *i, void *u) { broken = i->si_fd + 1; }

static int file(const char *name)
{
	int fd = open(name, O_RDWR | O_CREAT, 0600);

	CHECK(fd >= 0);
	return fd;
}

static int set(int fd, int cmd, int type, off_t start, off_t len)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };

	return fcntl(fd, cmd, &l);
}

/* Who bars a write lock on that byte? l as F_OFD_GETLK says; a fresh open file, so no lock is ours. */
static struct flock who(const char *name, off_t at)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 1 };
	int fd = open(name, O_RDWR);

	CHECK(fd >= 0 && fcntl(fd, F_OFD_GETLK, &l) == 0);
	/* not closed: that would drop our POSIX locks on the file */
	return l;
}

static int flock_free(const char *name, int how)
{
	int fd = open(name, O_RDWR), r = flock(fd, how | LOCK_NB);

	close(fd);
	return r == 0;
}

static void ready(void)
{
	close(open("ready", O_CREAT | O_WRONLY, 0600));
}

static void child(int posix)
{
	int own = file("child");

	/* through a descriptor that its parent has too: the lock is the child's alone */
	CHECK(set(posix, F_SETLK, F_WRLCK, 1000, 1) == 0);
	CHECK(set(own, F_SETLK, F_RDLCK, 0, 0) == 0);
	if (why[0])
		_exit(1);
	close(open("child.ready", O_CREAT | O_WRONLY, 0600));
	while (1)
		pause();
}

static void check_all(pid_t kid, int lease)
{
	int st = 0;
	struct flock l = who("posix", 5);

	CHECK(l.l_type == F_WRLCK && l.l_pid == getpid() && l.l_start == 5 && l.l_len == 10);
	l = who("posix", 50);
	CHECK(l.l_type == F_RDLCK && l.l_pid == getpid() && l.l_start == 50 && l.l_len == 100);
	l = who("posix", 1000);
	CHECK(l.l_type == F_WRLCK && l.l_pid == kid && l.l_start == 1000 && l.l_len == 1);
	l = who("posix", 30);
	CHECK(l.l_type == F_UNLCK);
	l = who("child", 7);
	CHECK(l.l_type == F_RDLCK && l.l_pid == kid);
	l = who("ofd", 3);
	CHECK(l.l_type == F_WRLCK && l.l_pid == -1 && l.l_start == 2 && l.l_len == 2);
	CHECK(!flock_free("ex", LOCK_SH));
	CHECK(flock_free("sh", LOCK_SH) && !flock_free("sh", LOCK_EX));
	/* the lease: another process that opens the file is announced */
	CHECK(fcntl(lease, F_GETLEASE) == F_WRLCK && fcntl(lease, F_GETSIG) == SIGRTMIN + 1);
	if (!fork())
		_exit(open("lease", O_RDWR | O_NONBLOCK) < 0 && errno == EWOULDBLOCK ? 7 : 1);
	CHECK(waitpid(-1, &st, 0) > 0 && WEXITSTATUS(st) == 7);
	CHECK(broken == lease + 1);
	CHECK(!flock_free("shared", LOCK_SH));
	kill(kid, SIGKILL);
	waitpid(kid, &st, 0);
	l = who("posix", 1000);
	CHECK(l.l_type == F_UNLCK); /* the child's went with it */
	CHECK(!flock_free("shared", LOCK_SH));
}

static void all(void)
{
	int posix = file("posix"), ofd = file("ofd"), ex = file("ex"), sh = file("sh"),
	    shared = file("shared"), lease = file("lease");
	struct sigaction sa = { .sa_sigaction = on_break, .sa_flags = SA_SIGINFO | SA_RESTART };
	pid_t kid;

	sigaction(SIGRTMIN + 1, &sa, NULL);
	CHECK(set(posix, F_SETLK, F_WRLCK, 5, 10) == 0 && set(posix, F_SETLK, F_RDLCK, 50, 100) == 0);
	CHECK(set(ofd, F_OFD_SETLK, F_WRLCK, 2, 2) == 0);
	CHECK(flock(ex, LOCK_EX) == 0 && flock(sh, LOCK_SH) == 0 && flock(shared, LOCK_EX) == 0);
	CHECK(dup(ex) >= 0);
	kid = fork();
	if (!kid)
		child(posix);
	while (access("child.ready", F_OK) && waitpid(kid, NULL, WNOHANG) == 0)
		usleep(1000);
	CHECK(fcntl(lease, F_SETSIG, SIGRTMIN + 1) == 0);
	CHECK(fcntl(lease, F_SETLEASE, F_WRLCK) == 0);
	ready();
	sleep_term();
	check_all(kid, lease);
	finish();
}

static void mapped(void)
{
	int fd = file("mapped");

	CHECK(ftruncate(fd, 4096) == 0 && flock(fd, LOCK_EX) == 0);
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED);
	close(fd);
	ready();
	sleep_term();
	CHECK(!flock_free("mapped", LOCK_SH));
	finish();
}

/* the child lets the file go only when asked: meanwhile the lease is being broken */
static void breaking(void)
{
	int fd = file("lease"), st;

	signal(SIGIO, SIG_IGN);
	CHECK(fcntl(fd, F_SETLEASE, F_WRLCK) == 0);
	if (!fork())
		_exit(open("lease", O_RDWR | O_NONBLOCK) < 0 ? 0 : 1);
	wait(&st);
	ready();
	sleep_term();
	CHECK(st == 0);
	finish();
}

/* flock(1)'s way: the lock was made by a process that is gone, or that still holds it */
static void inherited(int fd)
{
	ready();
	sleep_term();
	CHECK(!flock_free("inherited", LOCK_SH));
	close(fd);
	CHECK(flock_free("inherited", LOCK_SH));
	finish();
}

static void inherit(int stay)
{
	int fd = file("inherited");
	pid_t kid;

	CHECK(flock(fd, LOCK_EX) == 0);
	kid = fork();
	if (!kid) {
		setsid();
		inherited(fd);
	}
	dprintf(open("kid", O_CREAT | O_WRONLY, 0600), "%d\n", kid);
	while (access("ready", F_OK) < 0)
		usleep(1000);
	if (stay) {
		signal(SIGTERM, SIG_DFL);
		pause();
	}
	_exit(0);
}

static void queued(void)
{
	int fd = file("queued"), sv[2];
	char c = 0, ctl[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec io = { &c, 1 };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = ctl, .msg_controllen = sizeof(ctl) };
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);

	CHECK(flock(fd, LOCK_EX) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), &fd, sizeof(fd));
	CHECK(sendmsg(sv[0], &m, 0) == 1);
	close(fd);
	ready();
	sleep_term();
	CHECK(!flock_free("queued", LOCK_SH));
	finish();
}

int main(int argc, char **argv)
{
	if (judge_begin(argc, argv) < 0)
		return 2;
	if (!strcmp(argv[1], "mapped"))
		mapped();
	else if (!strcmp(argv[1], "breaking"))
		breaking();
	else if (!strcmp(argv[1], "inherit"))
		inherit(0);
	else if (!strcmp(argv[1], "inherit-stay"))
		inherit(1);
	else if (!strcmp(argv[1], "queued"))
		queued();
	all();
	return 0;
}
