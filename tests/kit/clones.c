// SPDX-License-Identifier: Apache-2.0
/*
 * clones: threads, and tasks in the same memory, that share some of what they may share, and are in namespaces of
 * their own. Each of them executes system calls that the main thread hands it; what all of them see before is
 * compared with what they see after.
 */
#define _GNU_SOURCE
#include "judge.h"

#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/kcmp.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#define MAX 32
#define STACK 65536
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif
#define THREAD (CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)
#define ALL (THREAD | CLONE_FS | CLONE_FILES)
#define OP_CLONE -1

static struct worker {
	int go, done; /* futexes */
	long nr, a[6], ret;
	pid_t tid;
} worker[MAX];
static int n_workers;

/* No libc: errno and all of the thread's area are the main thread's. */
static long raw(long nr, const long a[6])
{
	register long r10 __asm__("r10") = a[3], r8 __asm__("r8") = a[4], r9 __asm__("r9") = a[5];
	long r;

	__asm__ volatile("syscall"
			 : "=a"(r)
			 : "a"(nr), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return r;
}

/* Tasks and threads may both wait: the word is known by its address in their memory. */
static void futex(int *word, int op, int value)
{
	raw(SYS_futex, (const long[6]){ (long)word, op, value });
}

static void await(int *word)
{
	while (!__atomic_load_n(word, __ATOMIC_ACQUIRE))
		futex(word, FUTEX_WAIT, 0);
	__atomic_store_n(word, 0, __ATOMIC_RELEASE);
}

static void tell(int *word)
{
	__atomic_store_n(word, 1, __ATOMIC_RELEASE);
	futex(word, FUTEX_WAKE, 1);
}

static __attribute__((noreturn)) int work(void *arg)
{
	struct worker *w = arg;

	w->tid = raw(SYS_gettid, (const long[6]){ 0 });
	for (;;) {
		await(&w->go);
		w->ret = w->nr == OP_CLONE ? clone(work, (char *)w->a[0] + STACK, w->a[1], (void *)w->a[2])
					   : raw(w->nr, w->a);
		tell(&w->done);
	}
}

static long in(struct worker *w, long nr, long a, long b, long c, long d, long e)
{
	const long args[6] = { a, b, c, d, e };

	if (!w)
		return raw(nr, args);
	w->nr = nr;
	memcpy(w->a, args, sizeof(args));
	tell(&w->go);
	await(&w->done);
	return w->ret;
}
#define IN(w, nr, ...) IN_(w, nr, ##__VA_ARGS__, 0, 0, 0, 0, 0)
#define IN_(w, nr, a, b, c, d, e, ...) in(w, nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e))

/* by: NULL the main thread */
static struct worker *born(struct worker *by, int flags)
{
	struct worker *w = &worker[n_workers++];
	char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long pid = by ? IN(by, OP_CLONE, stack, flags, w) : clone(work, stack + STACK, flags, w);

	CHECK(pid > 0);
	while (pid > 0 && !__atomic_load_n(&w->tid, __ATOMIC_ACQUIRE))
		sched_yield();
	return w;
}

/* ---- what they see ---- */

struct view {
	short same[MAX + 1][MAX + 1]; /* bits: what two of them share */
	struct look {
		char cwd[256], host[70], status[1600], links, lo;
		long mode, file, queue, nice, slack, policy, io, keep;
		unsigned long cpus[16];
		char name[16];
	} of[MAX + 1];
};
static struct view before, after;
static const int types[] = { KCMP_VM, KCMP_FILES, KCMP_FS, KCMP_SIGHAND, KCMP_SYSVSEM };

static pid_t tid_of(int i) { return i ? worker[i - 1].tid : getpid(); }

/* Lines of status that are the same as long as nothing happens to it. */
static void status_of(pid_t tid, char *to, size_t size)
{
	static const char *const keys[] = { "Name", "Tgid", "Uid", "Gid", "Groups", "NS", "Threads", "SigBlk", "Cap", "NoNewPrivs", "Seccomp", "Cpus_allowed_list", "Umask", "THP" };
	char path[64], line[300];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	f = fopen(path, "r");
	CHECK(f);
	while (f && fgets(line, sizeof(line), f))
		for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
			if (!strncmp(line, keys[i], strlen(keys[i])) && strlen(to) + strlen(line) < size)
				strcat(to, line);
	if (f)
		fclose(f);
}

static ino_t link_of(pid_t tid, const char *name)
{
	char path[64];
	struct stat st = { 0 };

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", tid, name);
	stat(path, &st);
	return st.st_ino;
}

static short same(pid_t a, pid_t b)
{
	static const char *const names[] = { "net", "uts", "ipc", "mnt", "cgroup", "user", "pid", "time" };
	short bits = 0;

	for (int i = 0; i < 5; i++)
		bits |= (syscall(SYS_kcmp, a, b, types[i], 0, 0) == 0) << i;
	for (int i = 0; i < 8; i++)
		bits |= (link_of(a, names[i]) == link_of(b, names[i])) << (5 + i);
	return bits;
}

static void look(struct worker *w, pid_t tid, struct look *l)
{
	struct utsname u;
	struct ifreq lo = { .ifr_name = "lo" };
	long fd;

	memset(l, 0, sizeof(*l));
	status_of(tid, l->status, sizeof(l->status));
	CHECK(IN(w, SYS_getcwd, l->cwd, sizeof(l->cwd)) > 0);
	CHECK(IN(w, SYS_uname, &u) == 0);
	strcpy(l->host, u.nodename);
	l->mode = IN(w, SYS_umask, 0);
	IN(w, SYS_umask, l->mode);
	l->file = IN(w, SYS_lseek, 50, 0, SEEK_CUR);
	l->queue = IN(w, SYS_msgget, 4711, 0);
	fd = IN(w, SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && IN(w, SYS_ioctl, fd, SIOCGIFFLAGS, &lo) == 0)
		l->lo = lo.ifr_flags & IFF_UP;
	IN(w, SYS_close, fd);
	l->nice = IN(w, SYS_getpriority, 0, 0);
	l->slack = IN(w, SYS_prctl, PR_GET_TIMERSLACK);
	l->policy = IN(w, SYS_sched_getscheduler, 0);
	l->io = IN(w, SYS_ioprio_get, 1, 0);
	l->keep = IN(w, SYS_prctl, PR_GET_KEEPCAPS) | IN(w, SYS_prctl, PR_GET_SECUREBITS) << 8;
	IN(w, SYS_sched_getaffinity, 0, sizeof(l->cpus), l->cpus);
	IN(w, SYS_prctl, PR_GET_NAME, l->name);
}

static void view(struct view *v)
{
	for (int i = 0; i <= n_workers; i++) {
		for (int k = 0; k <= n_workers; k++)
			v->same[i][k] = same(tid_of(i), tid_of(k));
		look(i ? &worker[i - 1] : NULL, tid_of(i), &v->of[i]);
	}
}

#define CHECK_AT(c, i, text) do { if (!(c) && !why[0]) snprintf(why, sizeof(why), "line %d: worker %d: %s: %.180s", __LINE__, i, #c, text); } while (0)

static void compare(void)
{
	view(&after);
	for (int i = 0; i <= n_workers; i++) {
		struct look *a = &before.of[i], *b = &after.of[i];

		for (int k = 0; k <= n_workers; k++)
			CHECK_AT(before.same[i][k] == after.same[i][k], i * 100 + k, "shares other things now");
		CHECK_AT(!strcmp(a->cwd, b->cwd), i, b->cwd);
		CHECK_AT(!strcmp(a->host, b->host), i, b->host);
		for (size_t n = 0; n < sizeof(a->status) && !why[0]; n++)
			CHECK_AT(a->status[n] == b->status[n], i, b->status + n);
		CHECK_AT(a->mode == b->mode && a->file == b->file && a->queue == b->queue && a->lo == b->lo, i, "");
		CHECK_AT(a->nice == b->nice && a->slack == b->slack && a->policy == b->policy, i, "");
		CHECK_AT(a->io == b->io && a->keep == b->keep, i, "");
		CHECK_AT(!memcmp(a->cpus, b->cpus, sizeof(a->cpus)) && !memcmp(a->name, b->name, 16), i, "");
	}
}

/* ---- cases ---- */

/* Threads that share descriptors, or the directory, with some threads only. */
static void groups(void)
{
	struct worker *a, *b, *c, *d, *e, *f, *h;

	a = born(NULL, THREAD);
	b = born(a, ALL);
	c = born(a, THREAD | CLONE_FILES);
	d = born(a, THREAD | CLONE_FS);
	e = born(NULL, THREAD | CLONE_FS);
	f = born(e, THREAD | CLONE_FILES);
	born(NULL, ALL);
	h = born(NULL, THREAD | CLONE_FILES);
	born(h, ALL);
	mkdir("one", 0700);
	mkdir("two", 0700);
	CHECK(IN(a, SYS_chdir, "one") == 0 && IN(c, SYS_chdir, "two") == 0);
	CHECK(IN(f, SYS_umask, 077) >= 0);
	for (int i = 0; i < 3; i++) { /* other files at number 50, by table; one moves in all that have it */
		struct worker *w = i == 0 ? b : i == 1 ? d : e;
		long fd = IN(w, SYS_openat, AT_FDCWD, "file", O_CREAT | O_RDWR | O_TRUNC, 0600);

		CHECK(fd >= 0 && IN(w, SYS_dup2, fd, 50) == 50 && IN(w, SYS_close, fd) == 0);
		CHECK(IN(w, SYS_ftruncate, 50, 9) == 0 && IN(w, SYS_lseek, 50, i + 1, SEEK_SET) == i + 1);
	}
	CHECK(IN(c, SYS_lseek, 50, 0, SEEK_CUR) == 1 && IN(f, SYS_lseek, 50, 0, SEEK_CUR) == 3);
	CHECK(IN(h, SYS_lseek, 50, 0, SEEK_CUR) < 0);
}

static void groups_check(void)
{
	char cwd[256];

	CHECK(IN(&worker[0], SYS_lseek, 50, 5, SEEK_SET) == 5); /* by effect: a and b and c have one table */
	CHECK(IN(&worker[1], SYS_close, 50) == 0 && IN(&worker[2], SYS_lseek, 50, 0, SEEK_CUR) < 0);
	CHECK(IN(&worker[3], SYS_lseek, 50, 0, SEEK_CUR) == 2);
	CHECK(IN(&worker[3], SYS_chdir, "..") == 0 && IN(&worker[1], SYS_getcwd, cwd, sizeof(cwd)) > 0); /* one directory */
	CHECK(strcmp(cwd + strlen(cwd) - 4, "/one"));
	CHECK(IN(&worker[2], SYS_getcwd, cwd, sizeof(cwd)) > 0 && !strcmp(cwd + strlen(cwd) - 4, "/two"));
}

/* As Go programs do: a locked thread in namespaces of its own, others that come along. */
static void net_and_names(void)
{
	struct worker *net = born(NULL, ALL), *uts = born(NULL, ALL), *ipc = born(NULL, ALL), *kid, *guest;
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	char path[64];
	long fd;

	born(NULL, ALL);
	CHECK(IN(net, SYS_unshare, CLONE_NEWNET) == 0);
	fd = IN(net, SYS_socket, AF_INET, SOCK_DGRAM, 0); /* it stays: a socket of the thread's network */
	CHECK(fd >= 0 && IN(net, SYS_ioctl, fd, SIOCSIFFLAGS, &lo) == 0);
	CHECK(IN(uts, SYS_unshare, CLONE_NEWUTS | CLONE_NEWNET) == 0 && IN(uts, SYS_sethostname, "thread", 6) == 0);
	CHECK(IN(ipc, SYS_unshare, CLONE_NEWIPC) == 0 && IN(ipc, SYS_msgget, 4711, IPC_CREAT | 0600) >= 0);
	kid = born(net, ALL);
	guest = born(NULL, ALL);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", net->tid);
	fd = open(path, O_RDONLY);
	CHECK(fd >= 0 && IN(guest, SYS_setns, fd, CLONE_NEWNET) == 0);
	close(fd);
	CHECK(IN(kid, SYS_unshare, CLONE_NEWUTS) == 0 && IN(kid, SYS_sethostname, "kid", 3) == 0);
}

static void mounts(void)
{
	struct worker *a = born(NULL, ALL), *b, *c;
	long fd;

	net_and_names();
	mkdir("m", 0755);
	CHECK(IN(a, SYS_unshare, CLONE_NEWNS) == 0); /* and the directory of its own */
	CHECK(IN(a, SYS_mount, "none", "/", 0, MS_REC | MS_PRIVATE, 0) == 0);
	CHECK(IN(a, SYS_mount, "inside", "m", "tmpfs", 0, "size=1m") == 0);
	CHECK(IN(a, SYS_mkdir, "m/here", 0755) == 0 && IN(a, SYS_chdir, "m/here") == 0);
	b = born(a, ALL); /* one directory, in that namespace */
	CHECK(IN(b, SYS_unshare, CLONE_NEWUTS) == 0 && IN(b, SYS_sethostname, "b", 1) == 0);
	c = born(a, THREAD | CLONE_FS);
	CHECK(IN(c, SYS_close, 0) == 0);
	b = born(a, THREAD | CLONE_FILES);
	CHECK(IN(b, SYS_chdir, "/") == 0);
	fd = IN(a, SYS_openat, AT_FDCWD, "file", O_CREAT | O_RDWR, 0600); /* all have it, few can reach it by name */
	CHECK(fd >= 0 && IN(a, SYS_dup2, fd, 60) == 60 && write(60, "abc", 3) == 3 && close(fd) == 0);
	CHECK(access("m/here", F_OK) < 0);
}

static void mounts_check(void)
{
	char text[4] = "";

	CHECK(lseek(60, 0, SEEK_CUR) == 3 && pread(60, text, 3, 0) == 3 && !strcmp(text, "abc"));
	CHECK(IN(&worker[0], SYS_unlink, "file") == 0);
	CHECK(access("m/here", F_OK) < 0);
	CHECK(IN(&worker[0], SYS_rmdir, "../here") == 0);
}

/* A task in a user namespace of its own, below by's. */
static struct worker *born_below(struct worker *by)
{
	static const char *const files[] = { "uid_map", "gid_map" };
	struct worker *w = born(by, CLONE_VM | CLONE_NEWUSER | SIGCHLD);

	for (int i = 0; i < 2; i++) {
		char path[64];
		long fd;

		snprintf(path, sizeof(path), "/proc/%d/%s", w->tid, files[i]);
		fd = IN(by, SYS_openat, AT_FDCWD, path, O_WRONLY, 0);
		CHECK(fd >= 0 && IN(by, SYS_write, fd, "0 0 5000", 8) == 8 && IN(by, SYS_close, fd) == 0);
	}
	return w;
}

/* Threads of such a task, in namespaces that belong to its user namespace or to one below that. */
static void below(void)
{
	struct worker *a = born_below(NULL), *b = born_below(a), *net = born(a, ALL), *guest = born(a, THREAD | CLONE_FS);
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	char path[64];
	long fd;

	CHECK(IN(net, SYS_unshare, CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWCGROUP) == 0);
	CHECK(IN(net, SYS_sethostname, "below", 5) == 0);
	fd = IN(net, SYS_socket, AF_INET, SOCK_DGRAM, 0);
	CHECK(fd >= 0 && IN(net, SYS_ioctl, fd, SIOCSIFFLAGS, &lo) == 0);
	born(net, CLONE_VM | CLONE_FILES | SIGCHLD);
	CHECK(IN(b, SYS_unshare, CLONE_NEWNET | CLONE_NEWIPC) == 0 && IN(b, SYS_msgget, 4711, IPC_CREAT | 0600) >= 0);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", b->tid);
	fd = IN(guest, SYS_openat, AT_FDCWD, path, O_RDONLY, 0);
	CHECK(fd >= 0 && IN(guest, SYS_setns, fd, CLONE_NEWNET) == 0 && IN(guest, SYS_close, fd) == 0);
	guest = born(guest, ALL);
	CHECK(IN(guest, SYS_unshare, CLONE_NEWIPC) == 0);
}

/* The same with mounts. */
static void mounts_below(void)
{
	struct worker *a = born_below(NULL), *b;

	mkdir("m", 0755);
	b = born(a, THREAD | CLONE_FILES);
	CHECK(IN(b, SYS_unshare, CLONE_NEWNS) == 0);
	CHECK(IN(b, SYS_mount, "inside", "m", "tmpfs", 0, "size=1m") == 0);
	CHECK(IN(b, SYS_mkdir, "m/here", 0755) == 0 && IN(b, SYS_chdir, "m/here") == 0);
	CHECK(access("m/here", F_OK) < 0);
}

/* One that has stayed where its process was before that had a user namespace. */
static void stays(void)
{
	struct worker *a = born_below(NULL);

	born(a, ALL);
	CHECK(IN(a, SYS_unshare, CLONE_NEWUTS) == 0);
}

/* Children of a thread would be born in another time namespace. */
static void birth(void)
{
	CHECK(IN(born(NULL, ALL), SYS_unshare, CLONE_NEWTIME) == 0);
}

/* Sockets of a network namespace that no task is in: a descriptor holds it. */
static int net, udp, name;

static void lone_socket(void)
{
	int home = open("/proc/thread-self/ns/net", O_RDONLY);
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(5000), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "\0there" };
	struct ip_mreqn group = { .imr_multiaddr.s_addr = htonl(0xe0010203), .imr_ifindex = 1 };
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };

	CHECK(unshare(CLONE_NEWNET) == 0);
	net = open("/proc/thread-self/ns/net", O_RDONLY);
	udp = socket(AF_INET, SOCK_DGRAM, 0);
	name = socket(AF_UNIX, SOCK_DGRAM, 0);
	CHECK(ioctl(udp, SIOCSIFFLAGS, &lo) == 0 && bind(udp, (void *)&in, sizeof(in)) == 0);
	CHECK(setsockopt(udp, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof(group)) == 0);
	CHECK(bind(name, (void *)&un, sizeof(sa_family_t) + 6) == 0);
	CHECK(setns(home, CLONE_NEWNET) == 0 && close(home) == 0);
}

static void nothing_else(void)
{
	lone_socket();
	close(net);
}

/* Only from there they can be reached. */
static void lone_check(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(5000), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "\0there" };
	struct ip_mreqn group = { .imr_multiaddr.s_addr = htonl(0xe0010203), .imr_ifindex = 1 };
	char text[4] = "";

	CHECK(setsockopt(udp, IPPROTO_IP, IP_DROP_MEMBERSHIP, &group, sizeof(group)) == 0);
	CHECK(setns(net, CLONE_NEWNET) == 0);
	CHECK(sendto(socket(AF_INET, SOCK_DGRAM, 0), "abc", 3, 0, (void *)&in, sizeof(in)) == 3);
	CHECK(recv(udp, text, 3, 0) == 3 && !strcmp(text, "abc"));
	CHECK(sendto(socket(AF_UNIX, SOCK_DGRAM, 0), "def", 3, 0, (void *)&un, sizeof(sa_family_t) + 6) == 3);
	CHECK(recv(name, text, 3, 0) == 3 && !strcmp(text, "def"));
}

/* What each thread may have alone. */
static void attributes(void)
{
	struct sock_filter allow[] = { { BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW } };
	struct sock_fprog prog = { 1, allow };
	struct worker *w[8];
	struct sched_param none = { 0 };
	gid_t groups[] = { 7, 11 };
	unsigned long cpu = 1;

	for (int i = 0; i < 8; i++)
		w[i] = born(NULL, ALL);
	CHECK(IN(w[0], SYS_setgroups, 2, groups) == 0 && IN(w[0], SYS_setresgid, 5, 6, 7) == 0);
	CHECK(IN(w[0], SYS_setresuid, 1000, 0, 0) == 0);
	CHECK(IN(w[1], SYS_prctl, PR_SET_NO_NEW_PRIVS, 1) == 0);
	CHECK(IN(w[1], SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) == 0);
	CHECK(IN(w[2], SYS_setpriority, 0, 0, 7) == 0 && IN(w[2], SYS_prctl, PR_SET_TIMERSLACK, 123456) == 0);
	CHECK(IN(w[3], SYS_sched_setscheduler, 0, SCHED_BATCH, &none) == 0);
	CHECK(IN(w[4], SYS_sched_setaffinity, 0, sizeof(cpu), &cpu) == 0);
	CHECK(IN(w[5], SYS_ioprio_set, 1, 0, 2 << 13 | 6) == 0 && IN(w[5], SYS_prctl, PR_SET_NAME, "fifth") == 0);
	CHECK(IN(w[6], SYS_prctl, PR_CAPBSET_DROP, 12) == 0 && IN(w[6], SYS_prctl, PR_SET_KEEPCAPS, 1) == 0);
	CHECK(IN(w[7], SYS_prctl, PR_SET_SECUREBITS, 1) == 0);
}

/* Two tasks with one list of adjustments: what both have taken is given back when the second ends. */
static int sem;

static void undo(void)
{
	struct worker *a = born(NULL, CLONE_VM | SIGCHLD), *b = born(a, CLONE_VM | CLONE_SYSVSEM | SIGCHLD);
	struct sembuf three = { 0, -3, SEM_UNDO }, two = { 0, -2, SEM_UNDO };

	sem = semget(IPC_PRIVATE, 1, 0600);
	CHECK(sem >= 0 && semctl(sem, 0, SETVAL, 10) == 0);
	CHECK(IN(a, SYS_semop, sem, &three, 1) == 0 && IN(b, SYS_semop, sem, &two, 1) == 0);
}

static void undo_check(void)
{
	struct pollfd b = { .fd = syscall(SYS_pidfd_open, worker[1].tid, 0), .events = POLLIN };

	CHECK(semctl(sem, 0, GETVAL) == 5);
	CHECK(kill(worker[1].tid, SIGKILL) == 0 && poll(&b, 1, -1) == 1 && semctl(sem, 0, GETVAL) == 5);
	CHECK(kill(worker[0].tid, SIGKILL) == 0 && waitpid(worker[0].tid, NULL, 0) > 0 && semctl(sem, 0, GETVAL) == 10);
}

/* Tasks in one memory, with threads, brothers and namespaces of their own. */
static void tasks(void)
{
	struct worker *a = born(NULL, CLONE_VM | CLONE_FS | SIGCHLD), *b, *c;

	born(a, ALL);
	b = born(a, CLONE_VM | CLONE_SIGHAND | CLONE_FILES | CLONE_PARENT);
	born(a, CLONE_VM | CLONE_SYSVSEM | SIGUSR1);
	born(b, THREAD);
	c = born(b, CLONE_VM | CLONE_FILES | SIGCHLD);
	CHECK(IN(c, SYS_unshare, CLONE_NEWUTS | CLONE_NEWNET) == 0 && IN(c, SYS_sethostname, "c", 1) == 0);
	c = born(c, ALL);
	CHECK(IN(c, SYS_unshare, CLONE_NEWNET) == 0);
}

static void tasks_check(void)
{
	for (int i = 0; i < n_workers; i++)
		if (link_of(worker[i].tid, "net") && getpgid(worker[i].tid) >= 0 && worker[i].tid != getpid())
			kill(worker[i].tid, SIGKILL);
}

/* a and b have one I/O context; c has its own, d none */
static void io(void)
{
	struct worker *a = born(NULL, CLONE_VM | SIGCHLD), *b, *c;

	CHECK(IN(a, SYS_ioprio_set, 1, 0, 2 << 13 | 5) == 0);
	b = born(a, CLONE_VM | CLONE_IO | CLONE_PARENT);
	c = born(a, CLONE_VM | SIGCHLD);
	born(b, CLONE_VM | CLONE_IO | SIGCHLD);
	born(NULL, CLONE_VM | SIGCHLD);
	CHECK(IN(c, SYS_ioprio_set, 1, 0, 2 << 13 | 6) == 0 && IN(b, SYS_ioprio_get, 1, 0) == (2 << 13 | 5));
}
static void io_check(void)
{
	CHECK(IN(&worker[0], SYS_ioprio_get, 1, 0) == (2 << 13 | 5) && IN(&worker[2], SYS_ioprio_get, 1, 0) == (2 << 13 | 6));
	CHECK(IN(&worker[1], SYS_ioprio_set, 1, 0, 2 << 13 | 1) == 0);
	CHECK(IN(&worker[0], SYS_ioprio_get, 1, 0) == (2 << 13 | 1) && IN(&worker[3], SYS_ioprio_get, 1, 0) == (2 << 13 | 1));
	CHECK(IN(&worker[2], SYS_ioprio_get, 1, 0) == (2 << 13 | 6) && IN(&worker[4], SYS_ioprio_get, 1, 0) == 0);
	for (int i = 0; i < n_workers; i++)
		kill(worker[i].tid, SIGKILL);
}

static const struct {
	const char *name;
	void (*make)(void), (*check)(void);
} cases[] = {
	{ "groups", groups, groups_check },
	{ "net", net_and_names, NULL },
	{ "mounts", mounts, mounts_check },
	{ "below", below, NULL },
	{ "mounts-below", mounts_below, NULL },
	{ "stays", stays, NULL },
	{ "birth", birth, NULL },
	{ "lone-socket", lone_socket, lone_check },
	{ "nothing-else", nothing_else, NULL },
	{ "attributes", attributes, NULL },
	{ "undo", undo, undo_check },
	{ "io", io, io_check },
	{ "tasks", tasks, tasks_check },
};

int main(int argc, char **argv)
{
	unsigned i = 0;

	if (judge_begin(argc, argv) < 0)
		return 2;
	while (strcmp(cases[i].name, argv[1]))
		if (++i == sizeof(cases) / sizeof(cases[0]))
			return 2;
	cases[i].make();
	view(&before);
	if (why[0])
		finish();
	wait_term();
	compare();
	if (cases[i].check)
		cases[i].check();
	finish();
}
