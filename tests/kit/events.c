// SPDX-License-Identifier: Apache-2.0
/*
 * events: descriptors that tell of events, checked by the program that has them.
 * Usage: events WHAT DIR. DIR/ready appears when all is set up; on SIGTERM it writes "OK" or "FAIL why"
 * into DIR/verdict.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t got_term;
static char why[300];

static void on_term(int sig)
{
	got_term = 1;
}

static void put(const char *name, const char *text)
{
	int fd = open("verdict.tmp", O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		_exit(98);
	close(fd);
	if (rename("verdict.tmp", name) < 0)
		_exit(97);
}

static void check(int ok, const char *fmt, ...)
{
	va_list ap;

	if (ok || why[0])
		return;
	va_start(ap, fmt);
	vsnprintf(why, sizeof(why) - 20, fmt, ap);
	va_end(ap);
	snprintf(why + strlen(why), 20, " (errno %d)", errno);
}

static int must(int r, const char *what)
{
	if (r < 0) {
		fprintf(stderr, "events: %s: %m\n", what);
		exit(96);
	}
	return r;
}

static void wait_term(void)
{
	put("ready", "1\n");
	while (!got_term)
		usleep(1000);
}

static uint64_t count(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

/* ---- epoll ---- */

static void add(int ep, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event e = { .events = events, .data.u64 = data };

	must(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e), "epoll_ctl");
}

static int has(int ep, uint64_t data)
{
	struct epoll_event e[16];
	int n = epoll_wait(ep, e, 16, 0);

	for (int i = 0; i < n; i++)
		if (e[i].data.u64 == data)
			return 1;
	return 0;
}

static void do_epoll(void)
{
	int ep = must(epoll_create1(EPOLL_CLOEXEC), "epoll"), outer = must(epoll_create1(0), "epoll");
	int ev = must(eventfd(0, EFD_NONBLOCK), "eventfd"), high = must(fcntl(ev, F_DUPFD, 900), "dup");
	int gone = must(eventfd(0, EFD_NONBLOCK), "eventfd"), kept = must(dup(gone), "dup");
	int many[600], p[2];

	must(pipe(p), "pipe");
	add(ep, ev, EPOLLIN | EPOLLET, 0x1122334455667788);
	add(ep, high, EPOLLIN | EPOLLONESHOT, 2); /* the same file by another number */
	add(ep, gone, EPOLLIN, 3);
	add(ep, p[0], EPOLLIN | EPOLLRDHUP | EPOLLPRI, 4);
	add(outer, ep, EPOLLIN, 5);
	/* the number of a closed descriptor, reused by a file that is watched as well */
	close(gone);
	must(dup2(p[1], gone), "dup2");
	add(ep, gone, EPOLLOUT | EPOLLEXCLUSIVE, 6);
	for (int i = 0; i < 600; i++)
		add(outer, many[i] = must(eventfd(0, EFD_NONBLOCK), "eventfd"), EPOLLIN, 1000 + i);
	wait_term();
	check(fcntl(ep, F_GETFD) == FD_CLOEXEC && fcntl(outer, F_GETFD) == 0, "close-on-exec");
	check(has(ep, 6) && !has(ep, 4) && !has(ep, 3), "epoll: only the pipe is writable");
	check(write(kept, &(uint64_t){ 1 }, 8) == 8 && has(ep, 3), "epoll: a renumbered target");
	check(count(kept) == 1, "the renumbered eventfd");
	check(write(ev, &(uint64_t){ 1 }, 8) == 8, "eventfd: write");
	{
		struct epoll_event e[16];
		int n = epoll_wait(ep, e, 16, 0), both = 0;

		for (int i = 0; i < n; i++)
			both |= e[i].data.u64 == 0x1122334455667788 ? 1 : e[i].data.u64 == 2 ? 2 : 0;
		check(both == 3, "epoll: a file watched twice (%d of %d)", both, n);
	}
	check(!has(ep, 0x1122334455667788) && !has(ep, 2), "epoll: edge and one-shot fire once");
	check(write(p[1], "x", 1) == 1 && has(ep, 4), "epoll: pipe");
	check(has(outer, 5), "epoll: nested");
	check(write(many[599], &(uint64_t){ 1 }, 8) == 8 && has(outer, 1599), "epoll: one of many");
}

/* Told events are not told again, others are not missed. */
static void do_epoll_once(void)
{
	int quiet = must(epoll_create1(0), "epoll"), busy = must(epoll_create1(0), "epoll");
	int told = must(eventfd(1, EFD_NONBLOCK), "eventfd"), calm = must(eventfd(0, EFD_NONBLOCK), "eventfd");
	int hung[2], p[2];

	must(pipe(p), "pipe");
	must(pipe(hung), "pipe");
	add(quiet, told, EPOLLIN | EPOLLOUT | EPOLLET, 1);
	add(quiet, calm, EPOLLIN | EPOLLET | EPOLLEXCLUSIVE, 2);
	add(quiet, p[1], EPOLLOUT | EPOLLONESHOT, 3);
	add(quiet, hung[0], EPOLLIN | EPOLLONESHOT, 4);
	close(hung[1]);
	check(has(quiet, 1) && !has(quiet, 1), "epoll: edge told");
	add(busy, told, EPOLLIN | EPOLLET, 5);
	wait_term();
	check(!has(quiet, 1), "epoll: an edge is told again");
	check(!has(quiet, 2) && !has(quiet, 3), "epoll: nothing new");
	check(!has(quiet, 4), "epoll: a disarmed target tells of a hang-up");
	check(has(busy, 5) && !has(busy, 5), "epoll: an edge that was not told is missed");
	check(write(told, &(uint64_t){ 1 }, 8) == 8 && has(quiet, 1), "epoll: a new edge");
	check(write(calm, &(uint64_t){ 1 }, 8) == 8 && has(quiet, 2) && !has(quiet, 2), "epoll: a first edge");
	must(epoll_ctl(quiet, EPOLL_CTL_MOD, p[1], &(struct epoll_event){ .events = EPOLLOUT | EPOLLONESHOT, .data.u64 = 6 }), "MOD");
	check(has(quiet, 6) && !has(quiet, 6), "epoll: rearmed");
}

static void do_epoll_lost(void) /* watched, closed here, open in a child only */
{
	int ep = must(epoll_create1(0), "epoll"), quiet = must(epoll_create1(0), "epoll"), p[2], go[2], status = -1;
	int told = must(eventfd(1, EFD_NONBLOCK), "eventfd"), again = must(eventfd(0, EFD_NONBLOCK), "eventfd");
	pid_t child;
	char c;

	must(pipe(p), "pipe");
	must(pipe(go), "pipe");
	add(ep, p[0], EPOLLIN, 1);
	add(quiet, told, EPOLLIN | EPOLLET, 2);
	add(quiet, p[0], EPOLLIN | EPOLLONESHOT, 3);
	check(has(quiet, 2), "epoll: edge told");
	child = must(fork(), "fork");
	if (!child) { /* the number that it was added by takes it away; ep is there twice */
		close(go[1]);
		if (read(go[0], &c, 1) == 1 && read(told, &(uint64_t){ 0 }, 8) == 8 && write(told, &(uint64_t){ 1 }, 8) == 8)
			_exit(epoll_ctl(ep, EPOLL_CTL_DEL, p[0], NULL) || epoll_ctl(ep, EPOLL_CTL_DEL, p[0], NULL) == 0);
		_exit(2);
	}
	close(p[0]);
	close(told);
	must(dup2(again, p[0]), "dup2"); /* its number is another's now, who is watched as well */
	add(ep, p[0], EPOLLIN, 4);
	wait_term();
	check(!has(ep, 1) && !has(ep, 4) && !has(quiet, 2), "epoll: nothing new");
	check(write(p[1], "x", 1) == 1 && has(ep, 1) && has(quiet, 3) && !has(quiet, 3), "epoll: a pipe that only the child reads");
	check(write(again, &(uint64_t){ 1 }, 8) == 8 && has(ep, 4), "epoll: its successor by that number");
	check(write(go[1], "x", 1) == 1 && waitpid(child, &status, 0) == child && status == 0, "epoll: removed by the child (%x)", status);
	check(has(ep, 4), "epoll: only that one is removed");
}

static void send_fd(int sk, int fd)
{
	char room[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec data = { "x", 1 };
	struct msghdr m = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room) };
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);

	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), &fd, sizeof(int));
	must(sendmsg(sk, &m, 0), "sendmsg");
	close(fd);
}

static int receive_fd(int sk)
{
	char room[CMSG_SPACE(sizeof(int))], c;
	struct iovec data = { &c, 1 };
	struct msghdr m = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room) };
	int fd = -1;

	check(recvmsg(sk, &m, 0) == 1 && CMSG_FIRSTHDR(&m), "recvmsg");
	if (CMSG_FIRSTHDR(&m))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(int));
	return fd;
}

static void do_epoll_queued(void) /* watched, closed, only in a message */
{
	int ep = must(epoll_create1(0), "epoll"), p[2], sk[2];

	must(pipe(p), "pipe");
	must(socketpair(AF_UNIX, SOCK_STREAM, 0, sk), "socketpair");
	add(ep, p[0], EPOLLIN, 1);
	send_fd(sk[0], p[0]);
	wait_term();
	check(write(p[1], "x", 1) == 1 && has(ep, 1), "epoll: what is in a message");
}

static void do_epoll_sent(void) /* the instance is only in a message */
{
	int ep = must(epoll_create1(0), "epoll"), ev = must(eventfd(0, EFD_NONBLOCK), "eventfd"), p[2], sk[2];

	must(pipe(p), "pipe");
	must(socketpair(AF_UNIX, SOCK_STREAM, 0, sk), "socketpair");
	add(ep, p[0], EPOLLIN, 1);
	add(ep, ev, EPOLLIN | EPOLLET, 2);
	send_fd(sk[0], ep);
	wait_term();
	ep = receive_fd(sk[1]);
	check(!has(ep, 1) && !has(ep, 2), "epoll, sent: nothing new");
	check(write(p[1], "x", 1) == 1 && has(ep, 1), "epoll, sent: a pipe");
	check(write(ev, &(uint64_t){ 1 }, 8) == 8 && has(ep, 2) && !has(ep, 2), "epoll, sent: an edge");
	check(epoll_ctl(ep, EPOLL_CTL_DEL, p[0], NULL) == 0 && !has(ep, 1), "epoll, sent: its number");
}

#ifndef EPIOCGPARAMS
struct epoll_params {
	uint32_t busy_poll_usecs;
	uint16_t busy_poll_budget;
	uint8_t prefer_busy_poll, pad;
};
#define EPIOCSPARAMS _IOW(0x8A, 0x01, struct epoll_params)
#define EPIOCGPARAMS _IOR(0x8A, 0x02, struct epoll_params)
#endif

static void do_epoll_poll(void) /* how long a wait asks the device itself */
{
	struct epoll_params is = { .busy_poll_usecs = 77, .busy_poll_budget = 8, .prefer_busy_poll = 1 };
	int ep = must(epoll_create1(0), "epoll");

	if (ioctl(ep, EPIOCSPARAMS, &is) < 0)
		exit(3);
	memset(&is, 0, sizeof(is));
	wait_term();
	check(ioctl(ep, EPIOCGPARAMS, &is) == 0 && is.busy_poll_usecs == 77 && is.busy_poll_budget == 8 && is.prefer_busy_poll == 1,
	      "epoll: busy polling");
}

/* ---- timerfd ---- */

static int timer(clockid_t clock, int flags, int how, long sec, long nsec, long isec, long insec)
{
	struct itimerspec t = { .it_value = { sec, nsec }, .it_interval = { isec, insec } };
	struct timespec now;
	int fd = must(timerfd_create(clock, flags), "timerfd");

	if (how & TFD_TIMER_ABSTIME) {
		clock_gettime(clock, &now);
		t.it_value.tv_sec += now.tv_sec;
	}
	must(timerfd_settime(fd, how, &t, NULL), "timerfd_settime");
	return fd;
}

static void do_timerfd(void)
{
	int once = timer(CLOCK_MONOTONIC, 0, 0, 5000, 0, 7, 9);
	int fired = timer(CLOCK_BOOTTIME, TFD_NONBLOCK, 0, 0, 1000000, 0, 0);
	int date = timer(CLOCK_REALTIME, TFD_NONBLOCK, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, 100000, 0, 0, 0);
	int off = must(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), "timerfd");
	int beats = timer(CLOCK_MONOTONIC, TFD_NONBLOCK, 0, 0, 20000000, 0, 20000000);
	struct itimerspec t;
	struct timespec a, b;
	uint64_t n;
	long turns;
	char text[1000];
	FILE *f;

	usleep(100000);
	clock_gettime(CLOCK_MONOTONIC, &a);
	wait_term();
	check(!timerfd_gettime(once, &t) && t.it_value.tv_sec > 4900 && t.it_value.tv_sec < 5000 &&
		      t.it_interval.tv_sec == 7 && t.it_interval.tv_nsec == 9, "timerfd: remaining");
	check(!(fcntl(once, F_GETFL) & O_NONBLOCK), "timerfd: flags");
	check(count(fired) == 1 && count(fired) == 0 && errno == EAGAIN, "timerfd: expired once");
	check(!timerfd_gettime(date, &t) && t.it_value.tv_sec > 99900 && t.it_value.tv_sec <= 100000,
	      "timerfd: absolute, %ld", (long)t.it_value.tv_sec);
	snprintf(text, sizeof(text), "/proc/self/fdinfo/%d", date);
	f = fopen(text, "r");
	text[f ? fread(text, 1, sizeof(text) - 1, f) : 0] = 0;
	check(strstr(text, "settime flags: 03") != NULL, "timerfd: ABSTIME and CANCEL_ON_SET");
	check(!timerfd_gettime(off, &t) && !t.it_value.tv_sec && !t.it_value.tv_nsec && !count(off),
	      "timerfd: disarmed");
	clock_gettime(CLOCK_MONOTONIC, &b);
	turns = (b.tv_sec - a.tv_sec) * 50 + (b.tv_nsec - a.tv_nsec) / 20000000;
	n = count(beats);
	check(n >= 5 && n <= (uint64_t)turns + 6, "timerfd: %ld ticks in %ld turns", (long)n, turns);
	usleep(50000);
	check(count(beats) >= 1, "timerfd: beats on");
}

/* ---- signalfd ---- */

static void do_signalfd(void)
{
	struct signalfd_siginfo si;
	sigset_t m;
	int fd;

	sigemptyset(&m);
	sigaddset(&m, SIGUSR1);
	sigaddset(&m, SIGRTMIN + 3);
	sigprocmask(SIG_BLOCK, &m, NULL);
	fd = must(signalfd(-1, &m, SFD_NONBLOCK), "signalfd");
	sigqueue(getpid(), SIGRTMIN + 3, (union sigval){ 55 });
	kill(getpid(), SIGUSR1);
	wait_term();
	check(read(fd, &si, sizeof(si)) == sizeof(si) && si.ssi_signo == SIGUSR1, "signalfd: plain");
	check(read(fd, &si, sizeof(si)) == sizeof(si) && (int)si.ssi_signo == SIGRTMIN + 3 && si.ssi_int == 55,
	      "signalfd: queued");
	check(read(fd, &si, sizeof(si)) < 0 && errno == EAGAIN, "signalfd: empty");
}

/* ---- inotify ---- */

static unsigned heard(int in, int wd)
{
	char buf[8192];
	unsigned mask = 0;
	ssize_t n;

	while ((n = read(in, buf, sizeof(buf))) > 0)
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *e = (void *)(buf + at);

			if (e->wd == wd)
				mask |= e->mask;
			at += sizeof(*e) + e->len;
		}
	return mask;
}

static void touch(const char *name)
{
	int fd = must(open(name, O_WRONLY | O_CREAT, 0644), name);

	must(write(fd, "x", 1), "write");
	close(fd);
}

static void do_inotify(void)
{
	int in = must(inotify_init1(IN_NONBLOCK), "inotify"), dir, file, gap, once, nameless, here, fd;

	must(mkdir("watched", 0755), "mkdir");
	must(mkdir("watched/a b", 0755), "mkdir");
	touch("watched/a b/file");
	touch("once");
	fd = must(open("nameless", O_RDWR | O_CREAT, 0644), "open");
	here = inotify_add_watch(in, ".", IN_DELETE | IN_ATTRIB);
	gap = inotify_add_watch(in, "/", IN_ATTRIB);
	dir = inotify_add_watch(in, "watched", IN_CREATE | IN_DELETE);
	file = inotify_add_watch(in, "watched/a b/file", IN_MODIFY);
	inotify_rm_watch(in, gap);
	nameless = inotify_add_watch(in, "nameless", IN_MODIFY);
	once = inotify_add_watch(in, "once", IN_MODIFY | IN_ONESHOT);
	unlink("nameless");
	heard(in, -1);
	wait_term();
	check(heard(in, here) == 0, "inotify: the checkpoint makes no events");
	touch("watched/new");
	check(heard(in, dir) == IN_CREATE, "inotify: directory");
	touch("watched/a b/file");
	check(heard(in, file) == IN_MODIFY, "inotify: file");
	check(write(fd, "x", 1) == 1 && heard(in, nameless) == IN_MODIFY, "inotify: a file without a name");
	touch("once");
	check(heard(in, once) == (IN_MODIFY | IN_IGNORED), "inotify: one shot");
	touch("once");
	check(heard(in, once) == 0, "inotify: one shot only");
	unlink("watched/new");
	check(heard(in, dir) == IN_DELETE, "inotify: again");
	check(inotify_rm_watch(in, file) == 0 && inotify_rm_watch(in, gap) < 0, "inotify: numbers");
}

static void do_inotify_overlay(void) /* what lies in the lower layer, in the upper one, directories of both, one that moved */
{
	const char *option = "lowerdir=/d/low,upperdir=/d/up,workdir=/d/work,userxattr";
	int in, dir, low, up, moved, gone, fd;

	for (const char *const *p = (const char *const[]){ "low", "up", "work", "all", "low/dir", NULL }; *p; p++)
		must(mkdir(*p, 0755), *p);
	touch("low/file");
	touch("low/dir/deep");
	touch("up/new");
	must(mount("all", "all", "overlay", 0, option), "overlay");
	touch("all/old");
	fd = must(open("all/gone", O_RDWR | O_CREAT, 0600), "open");
	in = must(inotify_init1(IN_NONBLOCK), "inotify");
	low = inotify_add_watch(in, "all/file", IN_OPEN);
	dir = inotify_add_watch(in, "all/dir", IN_CREATE | IN_DELETE);
	up = inotify_add_watch(in, "all/new", IN_MODIFY);
	moved = inotify_add_watch(in, "all/old", IN_MODIFY);
	gone = inotify_add_watch(in, "all/gone", IN_MODIFY);
	must(rename("all/old", "all/dir/moved"), "rename");
	must(unlink("all/gone"), "unlink");
	heard(in, -1);
	wait_term();
	check(heard(in, dir) == 0, "inotify, overlay: the checkpoint makes no events");
	close(must(open("all/file", O_RDONLY), "open"));
	check(heard(in, low) == IN_OPEN, "inotify, overlay: a file of the lower layer");
	touch("all/dir/fresh");
	check(heard(in, dir) == IN_CREATE, "inotify, overlay: a directory");
	touch("all/new");
	check(heard(in, up) == IN_MODIFY, "inotify, overlay: a file of the upper layer");
	touch("all/dir/moved");
	check(heard(in, moved) == IN_MODIFY, "inotify, overlay: a file that moved");
	check(write(fd, "x", 1) == 1 && heard(in, gone) == IN_MODIFY, "inotify, overlay: a file without a name");
}

static void do_inotify_lost(void) /* what was not read is told of as lost, and what comes then is not */
{
	int in = must(inotify_init1(0), "inotify"), dir, other = must(inotify_init1(IN_NONBLOCK), "inotify"), queued = 0;
	struct inotify_event got[20];

	must(mkdir("watched", 0755), "mkdir");
	dir = inotify_add_watch(in, "watched", IN_CREATE);
	touch("watched/one");
	must(ioctl(in, FIONREAD, &queued), "FIONREAD");
	check(queued > 0, "inotify: an event");
	wait_term();
	must(ioctl(in, FIONREAD, &queued), "FIONREAD");
	check(queued == sizeof(*got) && read(in, got, sizeof(got)) == sizeof(*got), "inotify: one event (%d)", queued);
	check(got->wd == -1 && got->mask == IN_Q_OVERFLOW && !got->len, "inotify: events are lost (%d %x)", got->wd, got->mask);
	check((fcntl(in, F_GETFL) & O_NONBLOCK) == 0 && fcntl(in, F_SETFL, O_NONBLOCK) == 0, "inotify: waits");
	touch("watched/two");
	check(heard(in, dir) == IN_CREATE, "inotify: a new event");
	check(read(other, got, sizeof(got)) < 0 && errno == EAGAIN, "inotify: another that lost none");
}

/* ---- fanotify ---- */

static uint64_t fan_heard(int fd)
{
	struct fanotify_event_metadata buf[100], *e = buf;
	uint64_t mask = 0;
	ssize_t n = read(fd, buf, sizeof(buf));

	for (; n > 0 && FAN_EVENT_OK(e, n); e = FAN_EVENT_NEXT(e, n)) {
		if (e->pid == getpid())
			mask |= e->mask;
		if (e->fd >= 0)
			close(e->fd);
	}
	return mask;
}

static void do_fanotify(void)
{
	int fd = must(fanotify_init(FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_MARKS, O_RDONLY | O_LARGEFILE),
		      "fanotify");
	int mnt = must(fanotify_init(FAN_NONBLOCK, O_RDWR), "fanotify");
	char text[2000];
	FILE *f;

	must(mkdir("watched", 0755), "mkdir");
	touch("file");
	must(fanotify_mark(fd, FAN_MARK_ADD, FAN_MODIFY, AT_FDCWD, "file"), "mark");
	must(fanotify_mark(fd, FAN_MARK_ADD, FAN_CLOSE_WRITE | FAN_EVENT_ON_CHILD, AT_FDCWD, "watched"), "mark");
	must(fanotify_mark(fd, FAN_MARK_ADD | FAN_MARK_IGNORED_MASK | FAN_MARK_IGNORED_SURV_MODIFY, FAN_OPEN,
			   AT_FDCWD, "file"), "mark");
	must(fanotify_mark(mnt, FAN_MARK_ADD | FAN_MARK_MOUNT, FAN_CLOSE_WRITE, AT_FDCWD, "."), "mark");
	put("ready", "1\n");
	while (!got_term) {
		fan_heard(mnt);
		usleep(1000);
	}
	fan_heard(mnt);
	check(fcntl(fd, F_GETFD) == FD_CLOEXEC && fcntl(mnt, F_GETFD) == 0, "fanotify: close-on-exec");
	touch("file");
	check(fan_heard(fd) == FAN_MODIFY, "fanotify: file");
	check(fan_heard(mnt) == FAN_CLOSE_WRITE, "fanotify: mount");
	touch("watched/new");
	check(fan_heard(fd) == FAN_CLOSE_WRITE, "fanotify: directory");
	snprintf(text, sizeof(text), "/proc/self/fdinfo/%d", fd);
	f = fopen(text, "r");
	text[f ? fread(text, 1, sizeof(text) - 1, f) : 0] = 0;
	check(strstr(text, "fanotify flags:23 event-flags:8000") != NULL, "fanotify: flags");
	check(strstr(text, "mflags:40 mask:2 ignored_mask:20") != NULL, "fanotify: ignored mask");
}

/* as with inotify; the sorts of groups have events of different lengths, and one holds more than two descriptors */
static void do_fanotify_lost(void)
{
	static const unsigned sorts[] = { FAN_CLASS_CONTENT, FAN_REPORT_FID, FAN_REPORT_DFID_NAME,
					  0x80 /* FAN_REPORT_PIDFD */, FAN_REPORT_FID | FAN_UNLIMITED_QUEUE };
	struct fanotify_event_metadata got[20];
	int fds[5], queued;

	touch("file");
	for (int i = 0; i < 5; i++) {
		fds[i] = must(fanotify_init(sorts[i], O_RDWR), "fanotify");
		must(fanotify_mark(fds[i], FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, "file"), "mark");
	}
	touch("file");
	wait_term();
	for (int i = 0; i < 5; i++) {
		must(ioctl(fds[i], FIONREAD, &queued), "FIONREAD");
		check(queued == (i == 4 ? 0 : (int)sizeof(*got)), "fanotify %d: one event (%d)", i, queued);
		if (i < 4)
			check(read(fds[i], got, sizeof(got)) >= (ssize_t)sizeof(*got) && got->mask == FAN_Q_OVERFLOW && got->fd == FAN_NOFD,
			      "fanotify %d: events are lost (%llx)", i, (unsigned long long)got->mask);
		check((fcntl(fds[i], F_GETFL) & O_NONBLOCK) == 0, "fanotify %d: waits", i);
	}
	touch("file");
	for (int i = 0; i < 5; i++)
		check(fan_heard(fds[i]) == FAN_OPEN, "fanotify %d: a new event", i);
	queued = open("/proc/self/fd", O_RDONLY | O_DIRECTORY);
	check(queued < 12, "descriptors are left");
}

static void do_fanotify_system(void) /* a mark of a whole file system, which is mounted twice */
{
	int fd = must(fanotify_init(FAN_NONBLOCK, O_RDONLY), "fanotify");

	must(mkdir("fs", 0755), "mkdir");
	must(mkdir("again", 0755), "mkdir");
	must(mount("fs", "fs", "tmpfs", 0, NULL), "mount");
	must(mount("fs", "again", NULL, MS_BIND, NULL), "mount");
	must(fanotify_mark(fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_CLOSE_WRITE, AT_FDCWD, "fs"), "mark");
	must(fanotify_mark(fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM | FAN_MARK_IGNORED_MASK | FAN_MARK_IGNORED_SURV_MODIFY,
			   FAN_MODIFY, AT_FDCWD, "fs"), "mark");
	wait_term();
	fan_heard(fd);
	touch("file");
	check(fan_heard(fd) == 0, "fanotify: another file system");
	touch("again/file");
	check(fan_heard(fd) == FAN_CLOSE_WRITE, "fanotify: a file system");
}

static void do_fanotify_perm(void)
{
	int fd = must(fanotify_init(FAN_CLASS_CONTENT | FAN_NONBLOCK, O_RDONLY), "fanotify");

	touch("file");
	must(fanotify_mark(fd, FAN_MARK_ADD, FAN_OPEN_PERM, AT_FDCWD, "file"), "mark");
	wait_term();
}

/* ---- pidfd ---- */

static int pidfd(pid_t pid, unsigned flags)
{
	return must(syscall(SYS_pidfd_open, pid, flags), "pidfd_open");
}

static pid_t child(void)
{
	pid_t pid = must(fork(), "fork");

	if (!pid)
		for (;;)
			pause();
	return pid;
}

static int is_over(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static void do_pidfd(void)
{
	pid_t live = child(), zombie = child(), dead = child(), other = child();
	int l = pidfd(live, O_NONBLOCK), z = pidfd(zombie, 0), d = pidfd(dead, 0), d2 = pidfd(dead, 0);
	int o = pidfd(other, 0), self = pidfd(getpid(), 0);
	siginfo_t si;

	kill(zombie, SIGKILL);
	waitid(P_PID, zombie, &si, WEXITED | WNOWAIT);
	kill(dead, SIGKILL);
	waitpid(dead, NULL, 0);
	kill(other, SIGKILL);
	waitpid(other, NULL, 0);
	wait_term();
	check(fcntl(l, F_GETFL) & O_NONBLOCK, "pidfd: flags");
	check(!is_over(l) && !is_over(self) && is_over(z) && is_over(d) && is_over(d2) && is_over(o),
	      "pidfd: who is over");
	check(syscall(SYS_pidfd_send_signal, d, 0, NULL, 0) < 0 && errno == ESRCH, "pidfd: of a dead one");
	check(waitid(P_PIDFD, z, &si, WEXITED) == 0 && si.si_pid == zombie, "pidfd: of a zombie");
	check(syscall(SYS_pidfd_send_signal, l, SIGKILL, NULL, 0) == 0, "pidfd: send a signal");
	check(waitpid(live, NULL, 0) == live && is_over(l), "pidfd: of a child");
}

static const struct {
	const char *name;
	void (*fn)(void);
} all[] = {
	{ "epoll", do_epoll },	     { "epoll-once", do_epoll_once }, { "epoll-lost", do_epoll_lost },
	{ "inotify-overlay", do_inotify_overlay },
	{ "inotify-lost", do_inotify_lost }, { "epoll-queued", do_epoll_queued }, { "epoll-poll", do_epoll_poll }, { "fanotify-lost", do_fanotify_lost }, { "fanotify-system", do_fanotify_system }, { "epoll-sent", do_epoll_sent }, { "timerfd", do_timerfd },
	{ "signalfd", do_signalfd }, { "inotify", do_inotify },	      { "fanotify", do_fanotify },
	{ "fanotify-perm", do_fanotify_perm }, { "pidfd", do_pidfd },
};

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_term };

	if (argc != 3 || chdir(argv[2]) < 0)
		return 99;
	setsid();
	sigaction(SIGTERM, &sa, NULL);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (!strcmp(all[i].name, argv[1])) {
			char text[320];

			all[i].fn();
			snprintf(text, sizeof(text), why[0] ? "FAIL %s\n" : "OK\n", why);
			put("verdict", text);
			return why[0] != 0;
		}
	return 99;
}
