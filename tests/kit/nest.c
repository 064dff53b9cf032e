// SPDX-License-Identifier: Apache-2.0
/*
 * nest: tasks in nested namespaces.
 * Usage: nest CASE DIR. DIR/ready appears when all is set up; on SIGTERM "OK" or the first failure goes into
 * DIR/verdict. Every task knows what it saw of itself and judges that again.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "contain.h"

static struct shared {
	volatile int n, checked, go;
	char why[200];
	pid_t zombie_pid;
} *sh;
static volatile sig_atomic_t got_term;
static const char *dir;

static void on_term(int sig) { got_term = 1; }

#define CHECK(c) do { if (!(c) && !sh->why[0]) snprintf(sh->why, sizeof(sh->why), "line %d: %s (errno %d)", __LINE__, #c, errno); } while (0)

static void nap(void) { nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL); }

static void say(const char *name, const char *text)
{
	char tmp[300], path[300];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	snprintf(tmp, sizeof(tmp), "%s/.%s", dir, name);
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (write(fd, text, strlen(text)) < 0 || rename(tmp, path) < 0)
		_exit(3);
	close(fd);
}

/* ---- what a task sees of itself ---- */

struct self {
	pid_t pid, ppid, pgid, sid, tid;
};

static void *tid_of(void *arg)
{
	volatile pid_t *v = arg;

	v[0] = gettid();
	while (!sh->go)
		nap();
	v[1] = gettid();
	return NULL;
}

static struct self self(void)
{
	return (struct self){ getpid(), getppid(), getpgid(0), getsid(0), gettid() };
}

/* Until it is told to judge; then it stays, to be killed. parent_check: runs after the judgement. */
static void live(void (*then)(void))
{
	struct self was, is;
	volatile pid_t tids[2] = { 0 };
	pthread_t t;

	bool thread = pthread_create(&t, NULL, tid_of, (void *)tids) == 0; /* not with children in another namespace */
	while (thread && !tids[0])
		nap();
	was = self();
	__sync_fetch_and_add(&sh->n, 1);
	while (!sh->go)
		nap();
	if (thread)
		pthread_join(t, NULL);
	is = self();
	if (memcmp(&was, &is, sizeof(is)) && !sh->why[0])
		snprintf(sh->why, sizeof(sh->why), "task %d %d %d %d %d became %d %d %d %d %d", was.pid, was.ppid, was.pgid,
			 was.sid, was.tid, is.pid, is.ppid, is.pgid, is.sid, is.tid);
	CHECK(tids[0] == tids[1]);
	if (then)
		then();
	__sync_fetch_and_add(&sh->checked, 1);
	for (;;)
		pause();
}

static pid_t child(void (*setup)(void), void (*then)(void))
{
	pid_t p = fork();

	if (p == 0) {
		if (setup)
			setup();
		live(then);
	}
	return p;
}

static void lead(void) { setsid(); }
static void dead_group(void) /* its group's leader is dead */
{
	pid_t p;

	setsid();
	p = fork();
	if (p == 0) {
		setpgid(0, 0);
		pause();
	}
	while (getpgid(p) != p)
		nap();
	setpgid(0, p);
	kill(p, SIGKILL);
	waitpid(p, NULL, 0);
}
static void dead_session(void) /* its session's leader is dead; it is an orphan */
{
	pid_t p = fork();

	if (p)
		_exit(0);
	while (getppid() != 1)
		nap();
}
static void dead_session_lead(void)
{
	setsid();
	dead_session();
}

static void reap_zombie(void)
{
	int st = 0;

	CHECK(waitpid(sh->zombie_pid, &st, 0) == sh->zombie_pid && WIFEXITED(st) && WEXITSTATUS(st) == 7);
}

/* ---- pid ---- */

static pid_t zombie_new(int code)
{
	siginfo_t si;
	pid_t p = fork();

	if (p == 0)
		_exit(code);
	waitid(P_PID, p, &si, WEXITED | WNOWAIT);
	return p;
}

static void deeper_init(void)
{
	child(NULL, NULL);
	CHECK(getpid() == 1);
}

static void deeper(void)
{
	CHECK(unshare(CLONE_NEWPID) == 0);
	child(deeper_init, NULL);
}

static void inner_init(void)
{
	CHECK(getpid() == 1 && getppid() == 0);
	child(lead, NULL);
	child(NULL, NULL);
	child(dead_group, NULL);
	child(dead_session_lead, NULL);
	waitpid(-1, NULL, 0); /* of the latter */
	child(deeper, NULL);
	sh->zombie_pid = zombie_new(7);
}

static pid_t inner, joined, zombie, dead_init, empty;
static int inner_died(pid_t p)
{
	int st = 0;

	return waitpid(p, &st, 0) == p && WIFSIGNALED(st) && WTERMSIG(st) == SIGKILL;
}

static void judge(void)
{
	for (int i = 0; i < 2000 && sh->checked < sh->n && !sh->why[0]; i++)
		nap();
	CHECK(sh->checked == sh->n);
}

static void pid_setup(void)
{
	int home = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC), fd;
	char path[64];

	CHECK(unshare(CLONE_NEWPID) == 0);
	dead_init = zombie_new(3); /* the first of a namespace that is over */
	CHECK(setns(home, CLONE_NEWPID) == 0);
	CHECK(unshare(CLONE_NEWPID) == 0);
	inner = child(inner_init, reap_zombie);
	joined = child(lead, NULL); /* in the same one: by us, who are outside */
	zombie = zombie_new(5);
	CHECK(setns(home, CLONE_NEWPID) == 0);
	empty = fork();
	if (empty == 0) { /* unshared, but has no child there yet */
		CHECK(unshare(CLONE_NEWPID) == 0);
		live(NULL);
	}
	snprintf(path, sizeof(path), "/proc/%d/ns/pid", inner);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0 && setns(fd, CLONE_NEWPID) == 0);
	close(fd);
	close(home);
	while (sh->n < 10)
		nap();
}

static void pid_check(void)
{
	char a[64], b[64], path[64];
	int st = 0;
	pid_t p;

	CHECK(waitpid(dead_init, &st, 0) == dead_init && WIFEXITED(st) && WEXITSTATUS(st) == 3);
	CHECK(waitpid(zombie, &st, 0) == zombie && WIFEXITED(st) && WEXITSTATUS(st) == 5);
	p = fork(); /* still born in there */
	if (p == 0)
		_exit(getppid() == 0 && getpid() > 1 ? 0 : 1);
	CHECK(waitpid(p, &st, 0) == p && st == 0);
	memset(a, 0, sizeof(a));
	memset(b, 0, sizeof(b));
	snprintf(path, sizeof(path), "/proc/%d/ns/pid", inner);
	CHECK(readlink(path, a, sizeof(a) - 1) > 0);
	snprintf(path, sizeof(path), "/proc/%d/ns/pid", joined);
	CHECK(readlink(path, b, sizeof(b) - 1) > 0 && !strcmp(a, b));
	snprintf(path, sizeof(path), "/proc/%d/ns/pid_for_children", empty);
	CHECK(readlink(path, b, sizeof(b) - 1) < 0);
	kill(inner, SIGKILL); /* and all who are in there */
	CHECK(inner_died(joined) && inner_died(inner));
	kill(empty, SIGKILL);
}

/* ---- mounts of a nested pid namespace ---- */

#define MUST(c) do { if (!(c)) { snprintf(sh->why, sizeof(sh->why), "line %d: %s (errno %d)", __LINE__, #c, errno); say("verdict", sh->why); _exit(1); } } while (0)

static int numbers_in_proc(void)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	int n = 0;

	while (d && (e = readdir(d)))
		n += atoi(e->d_name) > 0;
	if (d)
		closedir(d);
	return n;
}

static void proc_judge(void)
{
	char link[32] = "", want[32];

	snprintf(want, sizeof(want), "%d", getpid());
	CHECK(readlink("/proc/self", link, sizeof(link) - 1) > 0 && !strcmp(link, want));
	CHECK(numbers_in_proc() == 2);
	CHECK(access("/proc/sys/kernel/hostname", W_OK) < 0 && errno == EROFS);
	CHECK(access("/tmp/file", F_OK) == 0);
}

static void proc_init(void)
{
	MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	MUST(mount("proc", "/proc", "proc", MS_NOSUID, NULL) == 0);
	MUST(mount("/proc/sys", "/proc/sys", NULL, MS_BIND, NULL) == 0);
	MUST(mount(NULL, "/proc/sys", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) == 0);
	MUST(mount("t", "/tmp", "tmpfs", 0, NULL) == 0);
	close(open("/tmp/file", O_CREAT | O_WRONLY, 0600));
	child(NULL, proc_judge);
	proc_judge();
}

/* As bubblewrap and container engines do: a new root, of which the root task sees nothing. */
static void pivot_init(void)
{
	MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	MUST(mount("n", "/mnt", "tmpfs", 0, NULL) == 0);
	MUST(mkdir("/mnt/bin", 0755) == 0 && mkdir("/mnt/proc", 0755) == 0 && mkdir("/mnt/tmp", 0755) == 0 &&
	     mkdir("/mnt/d", 0755) == 0);
	MUST(mount("/bin", "/mnt/bin", NULL, MS_BIND, NULL) == 0 && mount("/d", "/mnt/d", NULL, MS_BIND, NULL) == 0);
	MUST(chdir("/mnt") == 0 && syscall(SYS_pivot_root, ".", ".") == 0 && umount2(".", MNT_DETACH) == 0 &&
	     chdir("/") == 0);
	proc_init();
}

static void proc_setup(void)
{
	static void (*const inits[])(void) = { proc_init, pivot_init };

	for (int i = 0; i < 2; i++)
		if (fork() == 0) {
			MUST(unshare(CLONE_NEWPID | CLONE_NEWNS) == 0);
			child(inits[i], proc_judge);
			live(NULL);
		}
	while (sh->n < 6 && !sh->why[0])
		nap();
}

/* ---- ipc ---- */

static int *segment;
static int ipc_value;

static void ipc_objects(void)
{
	int id = shmget(0x4711, 8192, IPC_CREAT | 0600), set = semget(0x4711, 1, IPC_CREAT | 0600),
	    queue = msgget(0x4711, IPC_CREAT | 0600);
	struct { long type; int v; } m = { 1, ipc_value };

	MUST(id >= 0 && set >= 0 && queue >= 0);
	segment = shmat(id, NULL, 0);
	MUST(segment != (void *)-1);
	*segment = ipc_value;
	MUST(semctl(set, 0, SETVAL, ipc_value) == 0 && msgsnd(queue, &m, sizeof(m.v), 0) == 0);
	MUST(ipc_value == 1 || shmctl(id, IPC_RMID, NULL) == 0); /* nested: removed, but attached */
}

static void ipc_judge(void)
{
	struct { long type; int v; } m = { 0 };
	int set = semget(0x4711, 1, 0), queue = msgget(0x4711, 0), id = shmget(0x4711, 8192, 0);

	if (*segment != ipc_value && !sh->why[0])
		snprintf(sh->why, sizeof(sh->why), "segment %p of %d has %d", (void *)segment, ipc_value, *segment);
	CHECK(semctl(set, 0, GETVAL) == ipc_value);
	CHECK(msgrcv(queue, &m, sizeof(m.v), 0, IPC_NOWAIT) == sizeof(m.v) && m.v == ipc_value);
	CHECK((id >= 0) == (ipc_value == 1));
}

static void ipc_child(void)
{
	MUST(unshare(CLONE_NEWIPC) == 0);
	segment = NULL;
	ipc_objects();
}

static void ipc_setup(void)
{
	for (ipc_value = 2; ipc_value < 4; ipc_value++)
		child(ipc_child, ipc_judge);
	ipc_value = 1;
	ipc_objects();
	child(NULL, ipc_judge);
	while (sh->n < 3 && !sh->why[0])
		nap();
}

static void ipc_check(void)
{
	CHECK(*segment == 1 && shmget(0x4711, 8192, 0) >= 0);
}

/* ---- descriptors of dead tasks and of namespaces ---- */

static int dead_fd, ns_fd;

static int pidfd_dead(void)
{
	pid_t p = fork();
	int fd;

	if (p == 0)
		_exit(0);
	fd = syscall(SYS_pidfd_open, p, 0);
	waitpid(p, NULL, 0);
	return fd;
}

static void dead_judge(void)
{
	CHECK(syscall(SYS_pidfd_send_signal, dead_fd, 0, NULL, 0) < 0 && errno == ESRCH);
}

static void dead_own(void) { dead_fd = pidfd_dead(); }

static void fds_setup(void)
{
	char path[64];

	if ((inner = fork()) == 0) {
		MUST(unshare(CLONE_NEWPID) == 0);
		child(dead_own, dead_judge);
		live(NULL);
	}
	while (sh->n < 2)
		nap();
	snprintf(path, sizeof(path), "/proc/%d/ns/pid_for_children", inner);
	ns_fd = open(path, O_RDONLY | O_CLOEXEC);
	dead_own();
	MUST(ns_fd >= 0 && dead_fd >= 0);
}

static void fds_check(void)
{
	char path[64];
	struct stat a, b;

	dead_judge();
	snprintf(path, sizeof(path), "/proc/%d/ns/pid_for_children", inner);
	CHECK(stat(path, &a) == 0 && fstat(ns_fd, &b) == 0 && a.st_ino == b.st_ino);
}

static void nothing(void) { }

static const struct {
	const char *name;
	void (*setup)(void), (*check)(void);
} cases[] = {
	{ "pid", pid_setup, pid_check },
	{ "proc", proc_setup, nothing },
	{ "fds", fds_setup, fds_check },
	{ "ipc", ipc_setup, ipc_check },
};

int main(int argc, char **argv)
{
	size_t i = 0;

	if (argc == 6 && !strcmp(argv[1], "-c"))
		return contain("/bin/nest", 0, argv + 2);
	if (argc != 3)
		return 2;
	dir = argv[2];
	sh = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	while (strcmp(cases[i].name, argv[1]))
		if (++i == sizeof(cases) / sizeof(cases[0]))
			return 2;
	if (getsid(0) != getpid())
		setsid();
	cases[i].setup();
	signal(SIGTERM, on_term);
	say(sh->why[0] ? "verdict" : "ready", sh->why[0] ? sh->why : "");
	while (!got_term)
		nap();
	sh->go = 1;
	judge();
	cases[i].check();
	say("verdict", sh->why[0] ? sh->why : "OK");
	return 0;
}
