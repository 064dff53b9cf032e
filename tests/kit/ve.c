// SPDX-License-Identifier: Apache-2.0
/*
 * ve: a small system container in seven namespaces of its own. Usage: ve PIDFILE ROOT.
 * ROOT has bin/ve, proc and out. 0..65535 inside are 100000.. outside. It starts when ROOT/out/go is there, so that it can
 * be moved to a cgroup, which becomes the root of its cgroup namespace. Three tasks then share a System V segment, a
 * semaphore and a queue; one of them echoes what comes in by TCP port 7. At SIGTERM to the first, the verdict is in
 * /out/verdict.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MUST(c)                                                                                    \
	do {                                                                                       \
		if ((c) < 0) {                                                                     \
			fprintf(stderr, "ve: %s: %s\n", #c, strerror(errno));                      \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

struct shared {
	volatile long turns[2], got, torn; /* got: messages; torn: a turn that was not alone */
	volatile int inside;
};
static struct shared *m;
static int sem, queue;

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	MUST(fd);
	MUST(write(fd, text, strlen(text)));
	close(fd);
}

static void pause_ms(int ms)
{
	struct timespec t = { 0, ms * 1000000 };

	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

/* Two tasks alternate between a turn alone and a message to the other. */
static void turns(int who)
{
	struct { long type; long n; } msg = { 1 + who, 0 };

	for (;;) {
		struct sembuf down = { 0, -1, 0 }, up = { 0, 1, 0 };

		while (semop(sem, &down, 1) < 0)
			MUST(errno == EINTR ? 0 : -1);
		m->torn += m->inside++ != 0;
		m->turns[who]++;
		pause_ms(1);
		m->inside--;
		MUST(semop(sem, &up, 1));
		msg.type = 1 + who;
		msg.n = m->turns[who];
		while (msgsnd(queue, &msg, sizeof(msg.n), 0) < 0)
			MUST(errno == EINTR ? 0 : -1);
		while (msgrcv(queue, &msg, sizeof(msg.n), 2 - who, 0) < 0)
			MUST(errno == EINTR ? 0 : -1);
		__sync_fetch_and_add(&m->got, 1);
	}
}

static void echo(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(7) };
	int l = socket(AF_INET, SOCK_STREAM, 0), c;
	static char buf[65536];

	MUST(bind(l, (void *)&a, sizeof(a)));
	MUST(listen(l, 5));
	put("/out/ready", "");
	for (;;) {
		ssize_t n;

		MUST(c = accept(l, NULL, NULL));
		while ((n = read(c, buf, sizeof(buf))) > 0)
			MUST(write(c, buf, n));
		close(c);
	}
}

static void judge(void)
{
	long was[3] = { m->turns[0], m->turns[1], m->got };
	struct shmid_ds ds;
	char text[300] = "", name[65] = "", *bad = NULL;
	FILE *f;

	for (int i = 0; i < 500 && (m->turns[0] == was[0] || m->turns[1] == was[1] || m->got == was[2]); i++)
		pause_ms(10);
	if (m->turns[0] == was[0] || m->turns[1] == was[1] || m->got == was[2])
		bad = "the tasks do not go on";
	else if (m->torn)
		bad = "two were inside at once";
	else if (gethostname(name, sizeof(name)) < 0 || strcmp(name, "ve.inside"))
		bad = "the host's name";
	else if (getdomainname(name, sizeof(name)) < 0 || strcmp(name, "domain.inside"))
		bad = "the domain's name";
	else if (shmctl(shmget(4711, 0, 0), IPC_STAT, &ds) < 0 || ds.shm_nattch != 4)
		bad = "the segment has not four users";
	else if (getpid() != 1 || getuid() != 0 || getgid() != 0)
		bad = "its ids";
	f = fopen("/proc/self/cgroup", "r");
	while (!bad && f && fgets(text, sizeof(text), f))
		if (strstr(text, "pids") && !strstr(text, ":/\n"))
			bad = text;
	put("/out/verdict.new", bad ? bad : "OK");
	rename("/out/verdict.new", "/out/verdict");
}

static void enter(const char *root)
{
	MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	MUST(mount(root, root, NULL, MS_BIND | MS_REC, NULL));
	MUST(chdir(root));
	MUST(mount("proc", "proc", "proc", 0, NULL));
	MUST(syscall(SYS_pivot_root, ".", "."));
	MUST(umount2(".", MNT_DETACH));
	MUST(chdir("/"));
	MUST(execl("/bin/ve", "ve", "first", NULL)); /* which is a file of the container's own */
}

static void first(void)
{
	sigset_t term;
	int fd;

	while (access("/out/go", F_OK) < 0)
		pause_ms(10);
	MUST(unshare(CLONE_NEWCGROUP));
	MUST(sethostname("ve.inside", 9));
	MUST(setdomainname("domain.inside", 13));
	fd = open("/out/stdio", O_RDWR | O_CREAT | O_TRUNC, 0644);
	for (int n = 0; n < 3; n++)
		MUST(dup2(fd, n));
	close(fd);
	m = shmat(shmget(4711, sizeof(*m), IPC_CREAT | 0600), NULL, 0);
	sem = semget(4711, 1, IPC_CREAT | 0600);
	queue = msgget(4711, IPC_CREAT | 0600);
	MUST(semctl(sem, 0, SETVAL, 1));
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	MUST(sigprocmask(SIG_BLOCK, &term, NULL));
	for (int i = 0; i < 3; i++)
		if (fork() == 0) {
			if (i < 2)
				turns(i);
			echo();
		}
	for (;;)
		if (sigwaitinfo(&term, NULL) == SIGTERM)
			judge();
}

int main(int argc, char **argv)
{
	char path[64], text[32], c;
	int down[2];
	pid_t kid;

	if (argc == 2)
		first();
	if (argc != 3 || pipe(down))
		return 1;
	kid = syscall(SYS_clone, CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET |
		      SIGCHLD, 0, 0, 0, 0);
	MUST(kid);
	if (kid == 0) {
		MUST(read(down[0], &c, 1));
		for (int fd = 3; fd < 20; fd++)
			close(fd);
		MUST(setgroups(0, NULL));
		MUST(setresgid(0, 0, 0));
		MUST(setresuid(0, 0, 0));
		setsid();
		enter(argv[2]);
	}
	snprintf(path, sizeof(path), "/proc/%d/uid_map", kid);
	put(path, "0 100000 65536");
	snprintf(path, sizeof(path), "/proc/%d/gid_map", kid);
	put(path, "0 100000 65536");
	snprintf(text, sizeof(text), "%d\n", kid);
	put(argv[1], text);
	MUST(write(down[1], "x", 1));
	return 0;
}
