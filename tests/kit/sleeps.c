// SPDX-License-Identifier: Apache-2.0
/*
 * sleeps: a task asleep in each blocking system call, some without end, some for six seconds.
 * Usage: sleeps CASE DIR. CASE: endless, timed. DIR/ready appears when all sleep; on SIGTERM the endless ones
 * are woken, the timed ones waited for, and "OK" or what they saw goes into DIR/verdict.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define TIMEOUT 6
#define LATE 3.2 /* seconds that a busy machine may add; a timeout begun anew adds four */

struct seen {
	volatile int ended;
	volatile long ret;
	volatile int error;
	volatile double took;
	volatile uint32_t word;
};

/* One sleeper: what it waits with, made before the fork. */
struct sleeper {
	const char *name;
	long (*sleep)(struct sleeper *me);
	void (*wake)(struct sleeper *me);
	long ret; /* what the call is to return, -errno */
	bool (*setup)(struct sleeper *me);
	int fd[2];
	bool anew; /* what is left of it nobody can know or say: it may begin again */
	pid_t pid;
	struct seen *seen;
	bool dated; /* its end is a date: the clock of dates may be adjusted meanwhile, and says how long it took */
};

static struct timespec six = { .tv_sec = TIMEOUT };
static char buf[100000];

static void put(const char *name, const char *text)
{
	FILE *f = fopen("new", "w");

	fputs(text, f);
	fclose(f);
	rename("new", name);
}

static double now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static struct timespec in_six_by(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	t.tv_sec += TIMEOUT;
	return t;
}
static struct timespec in_six(void) { return in_six_by(CLOCK_MONOTONIC); }

static void on_signal(int sig) { }

/* ---- setups ---- */

static bool with_pipe(struct sleeper *me) { return pipe(me->fd) == 0; }
static bool with_pair(struct sleeper *me) { return socketpair(AF_UNIX, SOCK_DGRAM, 0, me->fd) == 0; }
static bool with_full_pipe(struct sleeper *me)
{
	return pipe(me->fd) == 0 && fcntl(me->fd[1], F_SETPIPE_SZ, 4096) == 4096 && write(me->fd[1], buf, 4096) == 4096;
}
static bool with_terminal(struct sleeper *me)
{
	struct termios t;

	if (openpty(&me->fd[1], &me->fd[0], NULL, NULL, NULL) < 0 || tcgetattr(me->fd[0], &t) < 0)
		return false;
	cfmakeraw(&t);
	return tcsetattr(me->fd[0], TCSANOW, &t) == 0;
}
static bool with_pair_timeout(struct sleeper *me)
{
	struct timeval t = { TIMEOUT, 0 };

	return with_pair(me) && setsockopt(me->fd[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)) == 0;
}
static bool with_eventfd(struct sleeper *me) { return (me->fd[0] = me->fd[1] = eventfd(0, 0)) >= 0; }
static bool with_timerfd(struct sleeper *me) { return (me->fd[0] = timerfd_create(CLOCK_MONOTONIC, 0)) >= 0; }
static bool with_epoll(struct sleeper *me)
{
	struct epoll_event e = { .events = EPOLLIN };
	int p[2];

	me->fd[0] = epoll_create1(0);
	if (me->fd[0] < 0 || pipe(p) < 0 || epoll_ctl(me->fd[0], EPOLL_CTL_ADD, p[0], &e) < 0)
		return false;
	me->fd[1] = p[1];
	return true;
}
static bool with_inotify(struct sleeper *me)
{
	me->fd[0] = inotify_init1(0);
	close(open("watched", O_CREAT | O_RDWR, 0600));
	return inotify_add_watch(me->fd[0], "watched", IN_ATTRIB) > 0;
}
static struct sockaddr_un name_of(struct sleeper *me)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	snprintf(a.sun_path, sizeof(a.sun_path), "%.50s.sock", me->name);
	return a;
}
static bool with_listener(struct sleeper *me)
{
	struct sockaddr_un a = name_of(me);

	me->fd[0] = socket(AF_UNIX, SOCK_STREAM, 0);
	return bind(me->fd[0], (void *)&a, sizeof(a)) == 0 && listen(me->fd[0], 5) == 0;
}
static bool with_listener_timeout(struct sleeper *me)
{
	struct timeval t = { TIMEOUT, 0 };

	return with_listener(me) && setsockopt(me->fd[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)) == 0;
}
static bool with_sem(struct sleeper *me) { return (me->fd[0] = semget(IPC_PRIVATE, 1, 0600)) >= 0; }
static bool with_msg(struct sleeper *me) { return (me->fd[0] = msgget(IPC_PRIVATE, 0600)) >= 0; }
static bool with_sem_up(struct sleeper *me)
{
	return with_sem(me) && semop(me->fd[0], &(struct sembuf){ 0, 1, 0 }, 1) == 0;
}
static bool with_full_msg(struct sleeper *me)
{
	struct { long type; char c[1]; } m = { 1, "x" };
	struct msqid_ds ds;

	if (!with_msg(me) || msgctl(me->fd[0], IPC_STAT, &ds) < 0)
		return false;
	ds.msg_qbytes = 1;
	return msgctl(me->fd[0], IPC_SET, &ds) == 0 && msgsnd(me->fd[0], &m, 1, 0) == 0;
}
/* one message is all that it holds */
static bool with_queue(struct sleeper *me)
{
	struct mq_attr a = { .mq_maxmsg = 1, .mq_msgsize = 8 };

	me->fd[0] = me->fd[1] = syscall(SYS_mq_open, me->name, O_CREAT | O_RDWR, 0600, &a);
	return me->fd[0] >= 0;
}
static bool with_full_queue(struct sleeper *me) { return with_queue(me) && mq_send(me->fd[0], "a", 1, 0) == 0; }
static bool with_signalfd(struct sleeper *me)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return (me->fd[0] = signalfd(-1, &set, 0)) >= 0;
}
static bool with_full_pair(struct sleeper *me)
{
	if (!with_pair(me))
		return false;
	while (send(me->fd[1], "abcdefgh", 8, MSG_DONTWAIT) == 8)
		;
	return errno == EAGAIN;
}
static bool owned_by_us(struct sleeper *me)
{
	me->seen->word = getpid();
	return true;
}
static bool with_flock(struct sleeper *me)
{
	char name[64];

	snprintf(name, sizeof(name), "%.50s.file", me->name);
	me->fd[0] = open(name, O_CREAT | O_RDWR, 0600);
	me->fd[1] = open(name, O_RDWR);
	return flock(me->fd[1], LOCK_EX) == 0;
}
static bool with_setlk(struct sleeper *me)
{
	struct flock l = { .l_type = F_WRLCK };

	return with_flock(me) && flock(me->fd[1], LOCK_UN) == 0 && fcntl(me->fd[1], F_SETLK, &l) == 0;
}
static bool with_ofd(struct sleeper *me)
{
	struct flock l = { .l_type = F_WRLCK };

	return with_flock(me) && flock(me->fd[1], LOCK_UN) == 0 && fcntl(me->fd[1], F_OFD_SETLK, &l) == 0;
}
static bool with_fifo(struct sleeper *me) { return mkfifo(me->name, 0600) == 0; }

/* ---- wakers ---- */

static void by_byte(struct sleeper *me) { if (write(me->fd[1], "x", 1) != 1) perror("write"); }
static void by_eight(struct sleeper *me) { if (write(me->fd[1], "\1\0\0\0\0\0\0", 8) != 8) perror("write"); }
static void by_reading(struct sleeper *me) { if (read(me->fd[0], buf, 4096) != 4096) perror("read"); }
static void by_signal(struct sleeper *me) { kill(me->pid, SIGUSR1); }
static void by_timer(struct sleeper *me)
{
	struct itimerspec v = { .it_value.tv_nsec = 1 };

	timerfd_settime(me->fd[0], 0, &v, NULL);
}
static void by_chmod(struct sleeper *me) { chmod("watched", 0640); }
static void by_connect(struct sleeper *me)
{
	struct sockaddr_un a = name_of(me);

	connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&a, sizeof(a));
}
static void by_semop(struct sleeper *me)
{
	struct sembuf b = { 0, 1, 0 };

	semop(me->fd[0], &b, 1);
}
static void by_msgsnd(struct sleeper *me)
{
	struct { long type; char c; } m = { 1, 'x' };

	msgsnd(me->fd[0], &m, 1, 0);
}
static void by_taking(struct sleeper *me)
{
	struct { long type; char c; } m;

	msgrcv(me->fd[0], &m, 1, 0, IPC_NOWAIT);
}
static void by_down(struct sleeper *me) { semop(me->fd[0], &(struct sembuf){ 0, -1, 0 }, 1); }
static void by_mq_send(struct sleeper *me) { mq_send(me->fd[0], "xyz", 3, 0); }
static void by_mq_receive(struct sleeper *me) { mq_receive(me->fd[0], buf, 8, NULL); }
static void by_signal2(struct sleeper *me) { kill(me->pid, SIGUSR2); }
static void by_receiving(struct sleeper *me)
{
	while (recv(me->fd[0], buf, 8, MSG_DONTWAIT) > 0)
		;
}
static void by_unlock_pi(struct sleeper *me) { syscall(SYS_futex, &me->seen->word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0); }
static void by_unlock(struct sleeper *me) { flock(me->fd[1], LOCK_UN); }
static void by_setlk(struct sleeper *me)
{
	struct flock l = { .l_type = F_UNLCK };

	fcntl(me->fd[1], F_SETLK, &l);
}
static void by_ofd(struct sleeper *me)
{
	struct flock l = { .l_type = F_UNLCK };

	fcntl(me->fd[1], F_OFD_SETLK, &l);
}
static void by_futex(struct sleeper *me) { syscall(SYS_futex, &me->seen->word, FUTEX_WAKE, 1, NULL, NULL, 0); }
static void by_killing_its_child(struct sleeper *me)
{
	char path[64];
	int kid = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", me->pid, me->pid);
	f = fopen(path, "r");
	if (f && fscanf(f, "%d", &kid) == 1)
		kill(kid, SIGKILL);
}
static void by_opening(struct sleeper *me) { open(me->name, O_WRONLY | O_NONBLOCK); }

/* ---- sleeps ---- */

static long my_child(void)
{
	pid_t kid = fork();

	if (kid == 0)
		for (;;)
			pause();
	return kid;
}

static long do_pause(struct sleeper *me) { return syscall(SYS_pause); }
static long do_sigsuspend(struct sleeper *me)
{
	sigset_t none, block;

	sigemptyset(&none);
	sigemptyset(&block);
	sigaddset(&block, SIGUSR1);
	sigprocmask(SIG_BLOCK, &block, NULL);
	return sigsuspend(&none);
}
static long sigwaiting(const struct timespec *t)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return syscall(SYS_rt_sigtimedwait, &set, NULL, t, 8);
}
static long do_sigwait(struct sleeper *me) { return sigwaiting(NULL); }
static long do_sigtimedwait(struct sleeper *me) { return sigwaiting(&six); }
static long polling(struct sleeper *me, int ms)
{
	struct pollfd p = { me->fd[0], POLLIN, 0 };

	return syscall(SYS_poll, &p, 1, ms);
}
static long do_poll(struct sleeper *me) { return polling(me, -1); }
static long do_poll_timed(struct sleeper *me) { return polling(me, TIMEOUT * 1000); }
static long selecting(struct sleeper *me, struct timeval *t)
{
	fd_set set;

	FD_ZERO(&set);
	FD_SET(me->fd[0], &set);
	return syscall(SYS_select, me->fd[0] + 1, &set, NULL, NULL, t);
}
static long do_select(struct sleeper *me) { return selecting(me, NULL); }
static long do_select_timed(struct sleeper *me) { return selecting(me, &(struct timeval){ TIMEOUT, 0 }); }
static long do_pselect_timed(struct sleeper *me)
{
	fd_set set;

	FD_ZERO(&set);
	FD_SET(me->fd[0], &set);
	return pselect(me->fd[0] + 1, &set, NULL, NULL, &six, NULL);
}
static long ppolling(struct sleeper *me, struct timespec *t)
{
	struct pollfd p = { me->fd[0], POLLIN, 0 };
	sigset_t none;

	sigemptyset(&none);
	return ppoll(&p, 1, t, &none);
}
static long do_ppoll(struct sleeper *me) { return ppolling(me, NULL); }
static long do_ppoll_timed(struct sleeper *me) { return ppolling(me, &six); }
static long epolling(struct sleeper *me, int ms)
{
	struct epoll_event e;

	return syscall(SYS_epoll_wait, me->fd[0], &e, 1, ms);
}
static long do_epoll(struct sleeper *me) { return epolling(me, -1); }
static long do_epoll_timed(struct sleeper *me) { return epolling(me, TIMEOUT * 1000); }
static long do_epoll_pwait2(struct sleeper *me)
{
	struct epoll_event e;

	return syscall(SYS_epoll_pwait2, me->fd[0], &e, 1, &six, NULL, 8);
}
static long do_read(struct sleeper *me) { return read(me->fd[0], buf, me->setup == with_inotify ? 100 : 8); }
static long do_write(struct sleeper *me) { return write(me->fd[1], buf, 4096); }
static long do_recv(struct sleeper *me)
{
	struct iovec v = { buf, 8 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };

	return recvmsg(me->fd[0], &m, 0);
}
static long do_recvmmsg(struct sleeper *me)
{
	struct iovec v = { buf, 8 };
	struct mmsghdr m = { .msg_hdr = { .msg_iov = &v, .msg_iovlen = 1 } };

	return recvmmsg(me->fd[0], &m, 1, 0, NULL);
}
static long do_accept(struct sleeper *me) { return accept(me->fd[0], NULL, NULL) >= 0 ? 1 : -1; }
static long do_wait4(struct sleeper *me)
{
	pid_t kid = my_child();

	return wait4(kid, NULL, 0, NULL) == kid ? 1 : -1;
}
static long do_waitid(struct sleeper *me)
{
	siginfo_t si;

	return waitid(P_PID, my_child(), &si, WEXITED);
}
static long futexing(struct sleeper *me, int op, const struct timespec *t, unsigned bits)
{
	return syscall(SYS_futex, &me->seen->word, op, 0, t, NULL, bits);
}
static long do_futex(struct sleeper *me) { return futexing(me, FUTEX_WAIT, NULL, 0); }
static long do_futex_timed(struct sleeper *me) { return futexing(me, FUTEX_WAIT, &six, 0); }
static long do_futex_until(struct sleeper *me)
{
	struct timespec t = in_six();

	return futexing(me, FUTEX_WAIT_BITSET, &t, FUTEX_BITSET_MATCH_ANY);
}
static long semming(struct sleeper *me, const struct timespec *t)
{
	struct sembuf b = { 0, -1, 0 };

	return t ? semtimedop(me->fd[0], &b, 1, t) : semop(me->fd[0], &b, 1);
}
static long do_semop(struct sleeper *me) { return semming(me, NULL); }
static long do_semtimedop(struct sleeper *me) { return semming(me, &six); }
static long do_msgrcv(struct sleeper *me) { return msgrcv(me->fd[0], buf, 8, 0, 0); }
static long do_msgsnd(struct sleeper *me)
{
	struct { long type; char c[1]; } m = { 1, "y" };

	return msgsnd(me->fd[0], &m, 1, 0);
}
static long do_sem_zero(struct sleeper *me) { return semop(me->fd[0], &(struct sembuf){ 0, 0, 0 }, 1); }
static long do_mq_receive(struct sleeper *me) { return mq_receive(me->fd[0], buf, 8, NULL); }
static long do_mq_send(struct sleeper *me) { return mq_send(me->fd[0], "b", 1, 0); }
static long do_mq_timed(struct sleeper *me)
{
	struct timespec t = in_six_by(CLOCK_REALTIME);

	return mq_timedreceive(me->fd[0], buf, 8, NULL, &t);
}
static long do_read_signal(struct sleeper *me) { return read(me->fd[0], buf, sizeof(struct signalfd_siginfo)); }
static long do_send(struct sleeper *me) { return send(me->fd[1], "x", 1, 0); }
static long do_splice(struct sleeper *me)
{
	int p[2];

	return pipe(p) < 0 ? -1 : splice(me->fd[0], NULL, p[1], NULL, 8, 0);
}
static long do_lock_pi(struct sleeper *me)
{
	long r = syscall(SYS_futex, &me->seen->word, FUTEX_LOCK_PI, 0, NULL, NULL, 0);

	return r == 0 && (me->seen->word & FUTEX_TID_MASK) != (unsigned)getpid() ? 1 : r;
}
struct waiter { /* struct futex_waitv */
	uint64_t val, addr;
	uint32_t flags, reserved;
};
static long waiting(struct sleeper *me, const struct timespec *t)
{
	static uint32_t other;
	struct waiter v[2] = { { 0, (uintptr_t)&other, 2 | 128, 0 }, { 0, (uintptr_t)&me->seen->word, 2, 0 } };

	return syscall(449 /* futex_waitv */, v, 2, 0, t, CLOCK_MONOTONIC);
}
static long do_waitv(struct sleeper *me) { return waiting(me, NULL); }
static long do_waitv_until(struct sleeper *me)
{
	struct timespec t = in_six();

	return waiting(me, &t);
}
static long do_getevents(struct sleeper *me)
{
	struct io_event e;
	aio_context_t ctx = 0;

	return syscall(SYS_io_setup, 4, &ctx) < 0 ? -1 : syscall(SYS_io_getevents, ctx, 1, 1, &e, &six);
}
static long do_flock(struct sleeper *me) { return flock(me->fd[0], LOCK_EX); }
static long do_setlkw(struct sleeper *me) { return fcntl(me->fd[0], F_SETLKW, &(struct flock){ .l_type = F_WRLCK }); }
static long do_ofd(struct sleeper *me) { return fcntl(me->fd[0], F_OFD_SETLKW, &(struct flock){ .l_type = F_WRLCK }); }
static long do_open(struct sleeper *me) { return open(me->name, O_RDONLY) >= 0 ? 1 : -1; }
static long do_nanosleep(struct sleeper *me)
{
	struct timespec rem;

	return syscall(SYS_nanosleep, &six, &rem);
}
static long do_nanosleep_norem(struct sleeper *me) { return syscall(SYS_nanosleep, &six, NULL); }
static long do_clock_nanosleep(struct sleeper *me)
{
	struct timespec rem;

	return syscall(SYS_clock_nanosleep, CLOCK_BOOTTIME, 0, &six, &rem);
}
static long do_sleep_until(struct sleeper *me)
{
	struct timespec t = in_six();

	return syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static long until(clockid_t clock)
{
	struct timespec t = in_six_by(clock);

	return -clock_nanosleep(clock, TIMER_ABSTIME, &t, NULL);
}
static long do_until_boottime(struct sleeper *me) { return until(CLOCK_BOOTTIME); }
static long do_until_realtime(struct sleeper *me) { return until(CLOCK_REALTIME); }
static long do_futex_until_date(struct sleeper *me)
{
	struct timespec t = in_six_by(CLOCK_REALTIME);

	return futexing(me, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, &t, FUTEX_BITSET_MATCH_ANY);
}

#define ENDLESS(name, sleep, wake, ret, setup) { name, sleep, wake, ret, setup, { -1, -1 }, false, 0, NULL, false }
#define TIMED(name, sleep, ret, setup) { name, sleep, NULL, ret, setup, { -1, -1 }, false, 0, NULL, false }
#define DATED(name, sleep, ret, setup) { name, sleep, NULL, ret, setup, { -1, -1 }, false, 0, NULL, true }
#define ANEW(name, sleep, ret, setup) { name, sleep, NULL, ret, setup, { -1, -1 }, true, 0, NULL, false }

static struct sleeper endless[] = {
	ENDLESS("pause", do_pause, by_signal, -EINTR, NULL),
	ENDLESS("sigsuspend", do_sigsuspend, by_signal, -EINTR, NULL),
	ENDLESS("rt_sigtimedwait", do_sigwait, by_signal, SIGUSR1, NULL),
	ENDLESS("poll", do_poll, by_byte, 1, with_pipe),
	ENDLESS("select", do_select, by_byte, 1, with_pipe),
	ENDLESS("ppoll", do_ppoll, by_byte, 1, with_pipe),
	ENDLESS("epoll_wait", do_epoll, by_byte, 1, with_epoll),
	ENDLESS("read-pipe", do_read, by_byte, 1, with_pipe),
	ENDLESS("read-terminal", do_read, by_byte, 1, with_terminal),
	ENDLESS("read-eventfd", do_read, by_eight, 8, with_eventfd),
	ENDLESS("read-timerfd", do_read, by_timer, 8, with_timerfd),
	ENDLESS("read-inotify", do_read, by_chmod, 0, with_inotify),
	ENDLESS("write-pipe", do_write, by_reading, 4096, with_full_pipe),
	ENDLESS("recvmsg", do_recv, by_byte, 1, with_pair),
	ENDLESS("recvmmsg", do_recvmmsg, by_byte, 1, with_pair),
	ENDLESS("accept", do_accept, by_connect, 1, with_listener),
	ENDLESS("wait4", do_wait4, by_killing_its_child, 1, NULL),
	ENDLESS("waitid", do_waitid, by_killing_its_child, 0, NULL),
	ENDLESS("futex", do_futex, by_futex, 0, NULL),
	ENDLESS("semop", do_semop, by_semop, 0, with_sem),
	ENDLESS("msgrcv", do_msgrcv, by_msgsnd, 1, with_msg),
	ENDLESS("flock", do_flock, by_unlock, 0, with_flock),
	ENDLESS("fcntl-setlkw", do_setlkw, by_setlk, 0, with_setlk),
	ENDLESS("fcntl-ofd-setlkw", do_ofd, by_ofd, 0, with_ofd),
	ENDLESS("open-fifo", do_open, by_opening, 1, with_fifo),
	ENDLESS("msgsnd", do_msgsnd, by_taking, 0, with_full_msg),
	ENDLESS("semop-zero", do_sem_zero, by_down, 0, with_sem_up),
	ENDLESS("mq_receive", do_mq_receive, by_mq_send, 3, with_queue),
	ENDLESS("mq_send", do_mq_send, by_mq_receive, 0, with_full_queue),
	ENDLESS("read-signalfd", do_read_signal, by_signal2, sizeof(struct signalfd_siginfo), with_signalfd),
	ENDLESS("send", do_send, by_receiving, 1, with_full_pair),
	ENDLESS("splice", do_splice, by_byte, 1, with_pipe),
	ENDLESS("futex_waitv", do_waitv, by_futex, 1, NULL),
	ENDLESS("futex-lock-pi", do_lock_pi, by_unlock_pi, 0, owned_by_us),
	ENDLESS(NULL, NULL, NULL, 0, NULL)
};

static struct sleeper timed[] = {
	TIMED("nanosleep", do_nanosleep, 0, NULL),
	TIMED("nanosleep-norem", do_nanosleep_norem, 0, NULL),
	TIMED("clock_nanosleep", do_clock_nanosleep, 0, NULL),
	TIMED("clock_nanosleep-abs", do_sleep_until, 0, NULL),
	TIMED("clock_nanosleep-boottime", do_until_boottime, 0, NULL),
	DATED("clock_nanosleep-date", do_until_realtime, 0, NULL),
	TIMED("futex_waitv", do_waitv_until, -ETIMEDOUT, NULL),
	DATED("futex-date", do_futex_until_date, -ETIMEDOUT, NULL),
	DATED("mq_timedreceive", do_mq_timed, -ETIMEDOUT, with_queue),
	ANEW("io_getevents", do_getevents, 0, NULL),
	TIMED("poll", do_poll_timed, 0, with_pipe),
	TIMED("select", do_select_timed, 0, with_pipe),
	TIMED("pselect", do_pselect_timed, 0, with_pipe),
	TIMED("ppoll", do_ppoll_timed, 0, with_pipe),
	TIMED("futex", do_futex_timed, -ETIMEDOUT, NULL),
	TIMED("futex-abs", do_futex_until, -ETIMEDOUT, NULL),
	ANEW("epoll_wait", do_epoll_timed, 0, with_epoll),
	ANEW("epoll_pwait2", do_epoll_pwait2, 0, with_epoll),
	ANEW("semtimedop", do_semtimedop, -EAGAIN, with_sem),
	ANEW("rt_sigtimedwait", do_sigtimedwait, -EAGAIN, NULL),
	ANEW("recvmsg", do_recv, -EAGAIN, with_pair_timeout),
	ANEW("recvmmsg", do_recvmmsg, -EAGAIN, with_pair_timeout),
	ANEW("read-socket", do_read, -EAGAIN, with_pair_timeout),
	ANEW("accept", do_accept, -EAGAIN, with_listener_timeout),
	ENDLESS(NULL, NULL, NULL, 0, NULL)
};

static void run(struct sleeper *me)
{
	clockid_t clock = me->dated ? CLOCK_REALTIME : CLOCK_MONOTONIC;
	double t0 = now(clock);

	errno = 0;
	me->seen->ret = me->sleep(me);
	me->seen->error = errno;
	me->seen->took = now(clock) - t0;
	me->seen->ended = 1;
	for (;;)
		pause();
}

static bool sleeps(const struct sleeper *me)
{
	char path[64], c = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", me->pid);
	f = fopen(path, "r");
	if (!f || fscanf(f, "%*d (%*[^)]) %c", &c) != 1)
		c = 0;
	if (f)
		fclose(f);
	return c == 'S';
}

static void start(struct sleeper *all)
{
	for (struct sleeper *p = all; p->name; p++) {
		p->seen = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (p->setup && !p->setup(p))
			put("verdict", p->name), exit(1);
		p->pid = fork();
		if (p->pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			run(p);
		}
	}
	for (struct sleeper *p = all; p->name; p++)
		while (!sleeps(p))
			usleep(1000);
}

static char why[4000];

static void judge(const struct sleeper *p, bool clock)
{
	long ret = p->seen->ret < 0 ? -p->seen->error : p->seen->ret;
	size_t n = strlen(why);

	if (!p->seen->ended)
		snprintf(why + n, sizeof(why) - n, "%s: sleeps on; ", p->name);
	else if (ret != p->ret && !(p->ret == 0 && ret > 0 && p->wake == by_chmod))
		snprintf(why + n, sizeof(why) - n, "%s: returned %ld; ", p->name, ret);
	else if (clock && (p->seen->took < TIMEOUT - 0.01 || p->seen->took > (p->anew ? 2 : 1) * TIMEOUT + LATE))
		snprintf(why + n, sizeof(why) - n, "%s: took %.1f s; ", p->name, p->seen->took);
}

int main(int argc, char **argv)
{
	bool clock = !strcmp(argv[1], "timed");
	struct sleeper *all = clock ? timed : endless;
	sigset_t set;
	int sig;

	chdir(argv[2]);
	signal(SIGUSR1, on_signal);
	start(all);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	put("ready", "");
	sigwait(&set, &sig);
	for (struct sleeper *p = all; p->name; p++)
		if (p->wake && p->seen->ended) /* before it was woken */
			judge(p, false), p->wake = NULL, strcat(why, p->name), strcat(why, ": did not sleep; ");
	for (struct sleeper *p = all; p->name; p++)
		if (p->wake)
			p->wake(p);
	for (struct sleeper *p = all; p->name; p++) {
		for (int n = 0; !p->seen->ended && n < (clock ? 2000 : 500); n++)
			usleep(10000);
		judge(p, clock);
	}
	put("verdict", why[0] ? why : "OK");
	for (struct sleeper *p = all; p->name; p++)
		kill(p->pid, SIGKILL);
	return 0;
}
