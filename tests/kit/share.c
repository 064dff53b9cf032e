// SPDX-License-Identifier: Apache-2.0
/*
 * share: tasks that have memory, descriptors, working directory and signal handlers in common without being
 * threads, in every combination that clone(2) allows.
 * Usage: share CASE DIR. DIR/ready appears when all is set up; on SIGTERM "OK" or the first failure goes into
 * DIR/verdict.
 */
#define _GNU_SOURCE
#include "judge.h"

#include <linux/kcmp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define MAX 32
#define STACK 65536

static volatile int private_word[MAX]; /* seen by those who have our memory */
static int *shared_word;

#define CHECK_AT(c, n) do { if (!(c) && !why[0]) snprintf(why, sizeof(why), "line %d: %s at %d (errno %d)", __LINE__, #c, n, errno); } while (0)

struct child {
	pid_t pid;
	int flags, with; /* with: index of the one it shares with, -1 the parent */
	int ask[2], answer[2];
} child[MAX];
static int n_children;

/* No libc state: errno and the rest of TLS may be the parent's. */
static long raw(long nr, long a, long b, long c)
{
	long r;

	__asm__ volatile("syscall" : "=a"(r) : "a"(nr), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return r;
}

static int child_main(void *arg)
{
	const struct child *c = arg;
	int i = c - child;
	char byte;

	while (raw(SYS_read, c->ask[0], (long)&byte, 1) == 1) {
		private_word[i]++;
		if (byte == 'd')
			raw(SYS_chdir, (long)"sub", 0, 0);
		if (byte == 'u')
			raw(SYS_chdir, (long)"..", 0, 0);
		raw(SYS_write, c->answer[1], (long)&byte, 1);
	}
	raw(SYS_exit_group, 7, 0, 0);
	return 0;
}

static struct child *start(int flags, int with)
{
	struct child *c = &child[n_children++];
	char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	c->flags = flags;
	c->with = with;
	CHECK(pipe(c->ask) == 0 && pipe(c->answer) == 0);
	if (!(flags & 0xff))
		c->flags = flags |= SIGCHLD;
	c->pid = clone(child_main, stack + STACK, flags, c);
	CHECK(c->pid > 0);
	return c;
}

static int asked(const struct child *c, char what)
{
	char byte = 0;

	return write(c->ask[1], &what, 1) == 1 && read(c->answer[0], &byte, 1) == 1 && byte == what;
}

static void check_child(const struct child *c)
{
	static const struct { int flag, type; } of[] = {
		{ CLONE_VM, KCMP_VM }, { CLONE_FILES, KCMP_FILES }, { CLONE_FS, KCMP_FS }, { CLONE_SIGHAND, KCMP_SIGHAND },
	};
	pid_t with = c->with < 0 ? getpid() : child[c->with].pid;
	int i = c - child, before = private_word[i];
	char cwd[4096], now[4096];

	for (int k = 0; k < 4; k++)
		CHECK_AT((syscall(SYS_kcmp, with, c->pid, of[k].type, 0, 0) == 0) == !!(c->flags & of[k].flag),
			 c->flags);
	CHECK(getcwd(cwd, sizeof(cwd)));
	CHECK_AT(asked(c, 'd'), c->flags);
	CHECK(getcwd(now, sizeof(now)));
	if (c->with < 0)
		CHECK_AT(!strcmp(cwd, now) == !(c->flags & CLONE_FS), c->flags);
	CHECK_AT(asked(c, 'u'), c->flags);
	if (c->with < 0)
		CHECK_AT(private_word[i] == (c->flags & CLONE_VM ? before + 2 : before), c->flags);
}

static void all(void)
{
	for (int bits = 0; bits < 16; bits++)
		if ((bits & 3) != 2) /* CLONE_SIGHAND needs CLONE_VM */
			start((bits & 1 ? CLONE_VM : 0) | (bits & 2 ? CLONE_SIGHAND : 0) |
			      (bits & 4 ? CLONE_FS : 0) | (bits & 8 ? CLONE_FILES : 0), -1);
	start(CLONE_VM | SIGUSR1, -1);
}

static void all_check(void)
{
	int status;

	for (int i = 0; i < n_children; i++)
		check_child(&child[i]);
	for (int i = 0; i < n_children; i++) {
		const struct child *c = &child[i];
		int sig = c->flags & 0xff;

		kill(c->pid, SIGKILL);
		if (sig != SIGCHLD) /* such a child is waited for with __WCLONE only */
			CHECK(waitpid(c->pid, &status, 0) == -1 && errno == ECHILD);
		CHECK_AT(waitpid(c->pid, &status, __WALL) == c->pid, c->flags);
	}
}

/* A child of its own memory, and a sibling of it that has that memory too. */
static void siblings(void)
{
	struct child *b;
	int go[2];
	pid_t a;

	shared_word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(pipe(go) == 0);
	a = fork();
	if (a == 0) {
		char byte;

		b = start(CLONE_VM | CLONE_FS | CLONE_PARENT, -1);
		*shared_word = b->pid;
		while (read(go[0], &byte, 1) == 1)
			*shared_word = asked(b, 'x') ? 1000 + private_word[0] : -1;
		_exit(0);
	}
	n_children = 2;
	child[1] = (struct child){ .pid = a };
	for (int n = 0; !*shared_word && n < 1000; n++)
		usleep(10000);
	child[0].pid = *shared_word;
	child[0].ask[1] = go[1];
}

static void siblings_check(void)
{
	int r;

	CHECK(syscall(SYS_kcmp, child[0].pid, child[1].pid, KCMP_VM, 0, 0) == 0);
	CHECK(syscall(SYS_kcmp, child[0].pid, child[1].pid, KCMP_FS, 0, 0) == 0);
	CHECK(syscall(SYS_kcmp, child[0].pid, child[1].pid, KCMP_FILES, 0, 0) != 0);
	CHECK(syscall(SYS_kcmp, child[0].pid, getpid(), KCMP_VM, 0, 0) != 0);
	*shared_word = 0;
	CHECK(write(child[0].ask[1], "x", 1) == 1);
	for (int n = 0; !(r = *(volatile int *)shared_word) && n < 500; n++)
		usleep(10000);
	CHECK_AT(r == 1001, r);
	CHECK(kill(child[0].pid, SIGKILL) == 0 && waitpid(child[0].pid, NULL, __WALL) == child[0].pid);
	CHECK(kill(child[1].pid, SIGKILL) == 0 && waitpid(child[1].pid, NULL, __WALL) == child[1].pid);
}

/* An orphan of ours in the session of our grandchild; its parent, in between, is dead. */
static void orphan(void)
{
	pid_t *pid;

	shared_word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid = shared_word;
	CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0);
	if (fork() == 0) {
		pid[0] = getpid();
		if (fork() == 0) {
			pid[1] = getpid();
			setsid();
			if (fork() == 0) {
				pid_t c = fork();

				if (c == 0)
					for (;;)
						pause();
				pid[2] = c;
				_exit(0);
			}
			wait(NULL);
			pid[3] = 1;
			for (;;)
				pause();
		}
		for (;;)
			pause();
	}
	for (int n = 0; !((volatile int *)shared_word)[3] && n < 1000; n++)
		usleep(10000);
}

static void orphan_check(void)
{
	const pid_t *pid = shared_word;
	char path[64], line[200];
	int ppid = 0, on = 0;
	FILE *f;

	CHECK(getsid(pid[2]) == pid[1] && getpgid(pid[2]) == pid[1] && getsid(pid[0]) == getsid(0));
	snprintf(path, sizeof(path), "/proc/%d/stat", pid[2]);
	f = fopen(path, "r");
	CHECK(f && fgets(line, sizeof(line), f) && sscanf(strrchr(line, ')'), ") %*c %d", &ppid) == 1);
	CHECK(ppid == getpid());
	CHECK(prctl(PR_GET_CHILD_SUBREAPER, &on, 0, 0, 0) == 0 && on == 1);
	for (int i = 2; i >= 0; i--)
		CHECK_AT(pid[i] > 0 && kill(pid[i], SIGKILL) == 0, i);
}

/* vfork: the parent sleeps in the kernel until its child ends; that passes soon, or it does not. */
static void vforked(int seconds)
{
	sigset_t none;

	sigemptyset(&none);
	signal(SIGTERM, on_term); /* which restarts waitpid() */
	sigprocmask(SIG_SETMASK, &none, NULL);
	close(open("ready", O_CREAT | O_WRONLY, 0600));
	do {
		pid_t p = vfork();

		if (p == 0) {
			struct timespec ts = { seconds, seconds ? 0 : 2000000 };

			nanosleep(&ts, NULL);
			_exit(0);
		}
		CHECK(p > 0 && waitpid(p, NULL, 0) == p);
	} while (!got_term);
}

static void vfork_short(void) { vforked(0); }
static void vfork_long(void) { vforked(30); }

int main(int argc, char **argv)
{
	static const struct judge_case cases[] = {
		{ "all", all, all_check }, { "siblings", siblings, siblings_check }, { "orphan", orphan, orphan_check },
		{ "vfork", vfork_short, NULL }, { "vfork-long", vfork_long, NULL }, { NULL, NULL, NULL },
	};

	if (judge_begin(argc, argv) < 0)
		return 2;
	mkdir("sub", 0700);
	signal(SIGUSR1, SIG_IGN);
	return judge_case(cases, argv[1]);
}
