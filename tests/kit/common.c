// SPDX-License-Identifier: Apache-2.0
/*
 * common: one open file of every sort, each had by several tasks: by one that was forked, by one with the same table
 * (CLONE_FILES), by one that never was near and got it by SCM_RIGHTS, by nobody but a message that was not read.
 * Usage: common CASE DIR. CASE all, or mapped, where what only root of the host may open is left out. DIR/ready appears
 * when all is set up; on SIGTERM "OK" or the first that is not the same open file any more goes into DIR/verdict.
 */
#define _GNU_SOURCE
#include "judge.h"

#include <arpa/inet.h>
#include <linux/bpf.h>
#include <linux/kcmp.h>
#include <mqueue.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <linux/if_ether.h>

enum { MAX = 64, FAR = 200 }; /* FAR: beyond these numbers the unrelated task has them */

static struct { const char *name; int fd; } held[MAX];
static int n_held, lenient;
static struct { volatile int n, at[MAX], bad; } *other; /* the unrelated task's numbers of them */

/* One more; -1 is a failure unless only root of the host may do that, or there is no such device. */
static int hold(const char *name, int fd)
{
	if (fd < 0) {
		if (!(lenient && (errno == EPERM || errno == EACCES)) && errno != ENODEV && !why[0])
			snprintf(why, sizeof(why), "%s: errno %d", name, errno);
		return fd;
	}
	held[n_held].name = name;
	held[n_held++].fd = fd;
	return fd;
}

static void files(void)
{
	int p[2];

	CHECK(pipe(p) == 0);
	hold("pipe, read", p[0]);
	hold("pipe, write", p[1]);
	CHECK(mkfifo("fifo", 0600) == 0);
	hold("fifo", open("fifo", O_RDWR));
	hold("file", open("file", O_RDWR | O_CREAT, 0600));
	hold("the same file", open("file", O_RDONLY));
	hold("deleted file", open("gone", O_RDWR | O_CREAT, 0600));
	CHECK(unlink("gone") == 0);
	hold("file without a name", open(".", O_RDWR | O_TMPFILE, 0600));
	hold("directory", open(".", O_RDONLY | O_DIRECTORY));
	hold("O_PATH", open("file", O_PATH));
	hold("device", open("/dev/null", O_RDWR));
	hold("proc", open("/proc/self/status", O_RDONLY));
	hold("namespace", open("/proc/self/ns/uts", O_RDONLY));
	hold("memfd", memfd_create("common", 0));
	hold("message queue", mq_open("/kit-common", O_RDWR | O_CREAT, 0600, NULL));
	hold("tun", open("/dev/net/tun", O_RDWR));
}

static void events(void)
{
	struct epoll_event e = { EPOLLIN, { .u32 = 1 } };
	sigset_t set;
	int ev, ep, in, m;

	ev = hold("eventfd", eventfd(3, 0));
	ep = hold("epoll", epoll_create1(0));
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, ev, &e) == 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	hold("signalfd", signalfd(-1, &set, 0));
	hold("timerfd", timerfd_create(CLOCK_MONOTONIC, 0));
	in = hold("inotify", inotify_init1(IN_NONBLOCK));
	CHECK(inotify_add_watch(in, ".", IN_DELETE_SELF) >= 0);
	hold("fanotify", fanotify_init(FAN_CLASS_NOTIF, O_RDONLY));
	hold("userfaultfd", syscall(SYS_userfaultfd, O_NONBLOCK));
	hold("pidfd", syscall(SYS_pidfd_open, getpid(), 0));
	m = hold("terminal, master", posix_openpt(O_RDWR | O_NOCTTY));
	CHECK(unlockpt(m) == 0);
	hold("terminal, slave", open(ptsname(m), O_RDWR | O_NOCTTY));
	hold("BPF map", syscall(SYS_bpf, BPF_MAP_CREATE, &(union bpf_attr){ .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4,
			.value_size = 8, .max_entries = 4 }, sizeof(union bpf_attr)));
}

static void sockets(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_un u = { AF_UNIX, "sock" };
	socklen_t n = sizeof(a);
	int p[2], l, c;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, p) == 0);
	hold("unix, one side", p[0]);
	hold("unix, other side", p[1]);
	l = hold("unix, listening", socket(AF_UNIX, SOCK_SEQPACKET, 0));
	CHECK(bind(l, (void *)&u, sizeof(u)) == 0 && listen(l, 3) == 0);
	l = hold("TCP, listening", socket(AF_INET, SOCK_STREAM, 0));
	CHECK(bind(l, (void *)&a, sizeof(a)) == 0 && listen(l, 3) == 0 && getsockname(l, (void *)&a, &n) == 0);
	c = hold("TCP, client", socket(AF_INET, SOCK_STREAM, 0));
	CHECK(connect(c, (void *)&a, n) == 0);
	hold("TCP, accepted", accept(l, NULL, NULL));
	hold("UDP", socket(AF_INET6, SOCK_DGRAM, 0));
	hold("raw", socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
	hold("netlink", socket(AF_NETLINK, SOCK_RAW, 0));
	hold("packet", socket(AF_PACKET, SOCK_DGRAM, 0));
	hold("vsock", socket(AF_VSOCK, SOCK_STREAM, 0));
}

/* All of them in one message. */
static void pass(int sock)
{
	char room[CMSG_SPACE(MAX * sizeof(int))] __attribute__((aligned(16))) = { 0 }, b = 'f';
	struct iovec io = { &b, 1 };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = room,
			    .msg_controllen = CMSG_SPACE(n_held * sizeof(int)) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	int *to = (int *)CMSG_DATA(c);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n_held * sizeof(int));
	for (int i = 0; i < n_held; i++)
		to[i] = held[i].fd;
	CHECK(sendmsg(sock, &m, 0) == 1);
}

static int take(int sock, int *at)
{
	char room[CMSG_SPACE(MAX * sizeof(int))] __attribute__((aligned(16))), b;
	struct iovec io = { &b, 1 };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room) };
	struct cmsghdr *c;
	int n;

	if (recvmsg(sock, &m, 0) != 1 || (m.msg_flags & MSG_CTRUNC) || !(c = CMSG_FIRSTHDR(&m)))
		return 0;
	n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(at, CMSG_DATA(c), n * sizeof(int));
	return n;
}

/* The unrelated task: other numbers, others of them closed on exec. */
static void stranger(int sock)
{
	int at[MAX], n = take(sock, at);

	for (int i = 0; i < n; i++) {
		other->at[i] = FAR + n - i;
		dup3(at[i], other->at[i], i & 1 ? O_CLOEXEC : 0);
		close(at[i]);
	}
	other->n = n;
	sleep_term();
	for (int i = 0; i < n; i++)
		if (fcntl(other->at[i], F_GETFD) != (i & 1 ? FD_CLOEXEC : 0))
			other->bad = i + 1;
	_exit(0);
}

static int idles(void *arg)
{
	for (;;)
		pause();
	return 0;
}

static int same(pid_t pid, int theirs, int ours)
{
	return syscall(SYS_kcmp, getpid(), pid, KCMP_FILE, ours, theirs) == 0;
}

static void says(int ok, const char *who, int i)
{
	if (!ok && !why[0])
		snprintf(why, sizeof(why), "%s (descriptor %d) %s", held[i].name, held[i].fd, who);
}

int main(int argc, char **argv)
{
	pid_t forked, table, unrelated;
	int to[2], kept[2], at[MAX];
	char *stack = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (judge_begin(argc, argv) < 0)
		return 2;
	lenient = !strcmp(argv[1], "mapped");
	other = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, to) == 0 && socketpair(AF_UNIX, SOCK_DGRAM, 0, kept) == 0);
	unrelated = fork();
	if (!unrelated)
		stranger(to[1]);
	files();
	events();
	sockets();
	pass(to[0]);
	pass(kept[0]);
	forked = fork();
	if (!forked)
		idles(NULL);
	table = clone(idles, stack + 65536, CLONE_FILES | SIGCHLD, NULL);
	for (int n = 0; other->n != n_held && n < 1000; n++)
		usleep(10000);
	CHECK(other->n == n_held);
	wait_term();
	CHECK(syscall(SYS_kcmp, getpid(), table, KCMP_FILES, 0, 0) == 0);
	CHECK(syscall(SYS_kcmp, getpid(), forked, KCMP_FILES, 0, 0) != 0);
	CHECK(take(kept[1], at) == n_held);
	for (int i = 0; i < n_held; i++) {
		says(same(forked, held[i].fd, held[i].fd), "is another for the task that was forked", i);
		says(same(unrelated, other->at[i], held[i].fd), "is another for the task that got it", i);
		says(same(getpid(), at[i], held[i].fd), "is another in the message", i);
		for (int k = 0; k < i; k++)
			says(!same(getpid(), held[k].fd, held[i].fd), "is the same as an earlier one", i);
	}
	kill(unrelated, SIGTERM);
	CHECK(waitpid(unrelated, NULL, 0) == unrelated && !other->bad);
	kill(forked, SIGKILL);
	kill(table, SIGKILL);
	mq_unlink("/kit-common");
	finish();
}
