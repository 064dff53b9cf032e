// SPDX-License-Identifier: Apache-2.0
/*
 * work: a tree of tasks that checks itself while it runs: threads with counters, registers and flags
 * under test, children that share memory, one of them confined by seccomp, a pipe with data, a zombie, a queued signal, an alarm.
 * Usage: work FILE, or work all DIR: FILE is DIR/verdict. On SIGTERM it writes "OK" or "FAIL why" into FILE and ends the tree. FILE.ready
 * appears when all is set up; FILE.beat holds a number that grows.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THREADS 3
#define CHILDREN 2
#define BIG (4 << 20)

struct shared {
	volatile int bad;
	volatile long child_turns[CHILDREN], thread_turns[THREADS];
	char why[200];
};

static struct shared *sh;
static volatile sig_atomic_t got_term, alarms;
static const char *file;

static void fail(const char *why)
{
	if (!sh->bad++)
		snprintf(sh->why, sizeof(sh->why), "%s (errno %d)", why, errno);
}

static void on_term(int sig)
{
	got_term = 1;
}

static void on_alarm(int sig)
{
	alarms++;
}

/* Registers, flags and vector state hold over every interruption. */
static void check_registers(uint64_t seed)
{
	uint64_t ok = 0;

	__asm__ volatile("mov %1, %%r12\n mov %1, %%r13\n not %%r13\n movq %1, %%xmm7\n"
			 "movq %%r13, %%xmm8\n stc\n mov $200000, %%ecx\n"
			 "1: dec %%ecx\n jnz 1b\n"
			 "setc %%dl\n movq %%xmm7, %%r14\n movq %%xmm8, %%r15\n"
			 "xor %0, %0\n cmp %1, %%r12\n jne 2f\n not %%r13\n cmp %1, %%r13\n jne 2f\n"
			 "cmp %1, %%r14\n jne 2f\n not %%r15\n cmp %1, %%r15\n jne 2f\n"
			 "cmp $1, %%dl\n jne 2f\n mov $1, %0\n2:"
			 : "=&r"(ok)
			 : "r"(seed)
			 : "rcx", "rdx", "r12", "r13", "r14", "r15", "xmm7", "xmm8", "cc");
	if (!ok)
		fail("registers changed");
}

static void *thread(void *arg)
{
	long i = (long)arg, n = 0;
	static __thread long mine;

	for (;; n++) {
		struct timespec t = { 0, 2000000 };

		check_registers(0x1234567 * (i + 1) + n);
		if (nanosleep(&t, NULL) < 0 && errno != EINTR)
			fail("nanosleep");
		if (mine != n)
			fail("thread-local memory");
		mine++;
		sh->thread_turns[i]++;
	}
	return NULL;
}

/* Nothing but what child() and its libc call: any call of a dump's that is not hidden from it kills. */
static void confine(void)
{
	static const int calls[] = { SYS_clock_nanosleep, SYS_nanosleep, SYS_restart_syscall,
				     SYS_rt_sigreturn, SYS_exit_group };
	struct sock_filter f[2 + 2 * sizeof(calls) / sizeof(*calls)];
	struct sock_fprog prog = { sizeof(f) / sizeof(*f), f };
	unsigned n = 0;

	f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (unsigned i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i], 0, 1);
		f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	}
	f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, 2, &prog) < 0)
		fail("seccomp");
}

static void child(int i, unsigned char *mem)
{
	mem[i * 4096] = 100 + i;
	if (i == 0)
		confine();
	for (;;) {
		usleep(3000);
		sh->child_turns[i]++;
		if (mem[i * 4096] != 100 + i || mem[BIG - 1] != 7)
			fail("a child's memory");
	}
}

static void put(const char *suffix, const char *text)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s%s", file, suffix);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		_exit(98);
	close(fd);
}

static void verdict(pid_t *kids, pid_t dead, int *p, int ev)
{
	char text[300], buf[8] = "";
	uint64_t count = 0;
	siginfo_t si;
	sigset_t rt;
	int status;

	sigemptyset(&rt);
	sigaddset(&rt, SIGRTMIN + 3);
	if (sigtimedwait(&rt, &si, &(struct timespec){ 0 }) != SIGRTMIN + 3 || si.si_value.sival_int != 42)
		fail("the queued signal");
	if (read(p[0], buf, 5) != 5 || strcmp(buf, "hello"))
		fail("data in the pipe");
	if (read(ev, &count, 8) != 8 || count != 0x200000001)
		fail("eventfd");
	if (waitpid(dead, &status, 0) != dead || !WIFEXITED(status) || WEXITSTATUS(status) != 3)
		fail("the zombie's status");
	for (int i = 0; i < CHILDREN; i++) {
		long was = sh->child_turns[i];

		for (int n = 0; n < 5000 && sh->child_turns[i] == was; n++)
			usleep(1000);
		if (sh->child_turns[i] == was)
			fail("a child stands still");
		kill(kids[i], SIGKILL);
		if (waitpid(kids[i], &status, 0) != kids[i])
			fail("a child is gone");
	}
	if (!alarms)
		fail("no alarm came");
	snprintf(text, sizeof(text), sh->bad ? "FAIL %s\n" : "OK\n", sh->why);
	put("", text);
}

int main(int argc, char **argv)
{
	struct itimerval it = { { 0, 50000 }, { 0, 50000 } };
	struct sigaction sa = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
	unsigned char *mem = malloc(BIG);
	uint64_t count = 0x200000001;
	pid_t kids[CHILDREN], dead;
	int p[2], ev = eventfd(0, 0);
	sigset_t block;
	long beat = 0;

	if (argc < 2 || argc > 3 || pipe(p) < 0 || (argc == 3 && chdir(argv[2]) < 0))
		return 99;
	file = argc == 3 ? "verdict" : argv[1];
	setsid();
	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	memset(mem, 7, BIG);
	sigemptyset(&block);
	sigaddset(&block, SIGRTMIN + 3);
	sigprocmask(SIG_BLOCK, &block, NULL);
	sigqueue(getpid(), SIGRTMIN + 3, (union sigval){ 42 });
	if (write(p[1], "hello", 5) != 5 || write(ev, &count, 8) != 8)
		return 97;
	for (int i = 0; i < CHILDREN; i++)
		if (!(kids[i] = fork()))
			child(i, mem);
	dead = fork();
	if (!dead)
		_exit(3);
	waitid(P_PID, dead, &(siginfo_t){ 0 }, WEXITED | WNOWAIT);
	for (long i = 0; i < THREADS; i++)
		if (pthread_create(&(pthread_t){ 0 }, NULL, thread, (void *)i))
			return 96;
	sigaction(SIGALRM, &sa, NULL);
	sa.sa_handler = on_term;
	sigaction(SIGTERM, &sa, NULL);
	setitimer(ITIMER_REAL, &it, NULL);
	put(".ready", "1\n");
	while (!got_term || (!alarms && beat < 5000)) {
		char text[32];

		check_registers(0xabcdef + beat);
		if (++beat % 20 == 0) {
			snprintf(text, sizeof(text), "%ld\n", beat);
			put(".beat", text);
		}
		usleep(1000);
	}
	verdict(kids, dead, p, ev);
	return sh->bad ? 1 : 0;
}
