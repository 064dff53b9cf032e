// SPDX-License-Identifier: Apache-2.0
/*
 * snags: what is easily broken by stopping a task anywhere: restartable sequences, sleeps, queued signals, signals
 * of one thread, timers that expire meanwhile, system calls in the middle. Usage: snags FILE, or snags all DIR: FILE is DIR/verdict. On SIGTERM it writes
 * "OK" or "FAIL why" into FILE; FILE.ready appears when all is set up, FILE.beat holds a number that grows.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/rseq.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static atomic_int bad, stop, alarms;
static char why[200];
static atomic_long sections, aborts, sleeps, polls, got;
static const char *file;

static void fail(const char *text)
{
	if (!atomic_fetch_add(&bad, 1))
		snprintf(why, sizeof(why), "%s (errno %d)", text, errno);
}

static void put(const char *suffix, const char *text)
{
	char path[4096], tmp[4100];
	int fd;

	snprintf(path, sizeof(path), "%s%s", file, suffix);
	snprintf(tmp, sizeof(tmp), "%s.new", path);
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd < 0 || write(fd, text, strlen(text)) < 0 || rename(tmp, path) < 0)
		_exit(98);
	close(fd);
}

/*
 * A section that takes about 50 us: it must be either finished without anybody having come between, or aborted.
 * Whoever stops the thread inside and lets it go on as if nothing were leaves rseq_cs cleared: noticed at the end.
 */
static void *sequences(void *arg)
{
	struct rseq *r = (void *)((char *)__builtin_thread_pointer() + __rseq_offset);

	while (!stop) {
		static struct rseq_cs cs __attribute__((aligned(32)));
		unsigned long left;

		__asm__ volatile("lea 1f(%%rip), %%rax\n"
				 "mov %%rax, 8(%[cs])\n" /* start_ip */
				 "lea 2f(%%rip), %%rcx\n sub %%rax, %%rcx\n mov %%rcx, 16(%[cs])\n"
				 "lea 3f(%%rip), %%rax\n mov %%rax, 24(%[cs])\n" /* abort_ip */
				 "mov %[cs], %[at]\n"
				 "1: mov $60000, %%ecx\n"
				 "4: dec %%ecx\n jnz 4b\n"
				 "mov %[at], %[left]\n"
				 "2: jmp 5f\n"
				 ".long 0x53053053\n"
				 "3: mov $-1, %[left]\n"
				 "5:\n"
				 : [left] "=&r"(left), [at] "+m"(r->rseq_cs)
				 : [cs] "r"(&cs)
				 : "rax", "rcx", "memory", "cc");
		if (left == (unsigned long)-1)
			aborts++;
		else if (left != (uintptr_t)&cs)
			fail("a restartable sequence went on after it was interrupted");
		else
			sections++;
	}
	return NULL;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* Nothing but a handler may end a sleep early. */
static void *sleeper(void *arg)
{
	while (!stop) {
		struct timespec t = { 0, 300000000 };
		double t0 = now();

		if (nanosleep(&t, NULL) < 0)
			fail("nanosleep was interrupted");
		else if (now() - t0 < 0.29)
			fail("nanosleep was too short");
		sleeps++;
	}
	return NULL;
}

static void *poller(void *arg)
{
	while (!stop) {
		double t0 = now();
		int r = poll(NULL, 0, 200);

		if (r < 0)
			fail("poll was interrupted");
		else if (now() - t0 < 0.19)
			fail("poll was too short");
		polls++;
	}
	return NULL;
}

/* Numbers that a child sends as queued signals: all, in order. */
static void *receiver(void *arg)
{
	sigset_t s;
	long want = 0;

	sigemptyset(&s);
	sigaddset(&s, SIGRTMIN + 5);
	while (!stop) {
		siginfo_t si;
		int sig = sigtimedwait(&s, &si, &(struct timespec){ 0, 100000000 });

		if (sig < 0 && (errno == EAGAIN || errno == EINTR)) /* EINTR: signal(7), by stopping */
			continue;
		if (sig < 0)
			fail("sigtimedwait");
		else if (si.si_value.sival_int != want++ % 1000000)
			fail("a queued signal was lost or came twice");
		got = want;
	}
	return NULL;
}

static void sender(pid_t to)
{
	for (long n = 0;; n++) {
		while (sigqueue(to, SIGRTMIN + 5, (union sigval){ n % 1000000 }) < 0) {
			if (errno != EAGAIN)
				_exit(0);
			usleep(1000);
		}
		usleep(3000);
	}
}

static void on_alarm(int sig)
{
	alarms++;
}

static void on_term(int sig)
{
	stop = 1;
}

static void block(int how, int a, int b)
{
	sigset_t s;

	sigemptyset(&s);
	sigaddset(&s, a);
	sigaddset(&s, b);
	pthread_sigmask(how, &s, NULL);
}

int main(int argc, char **argv)
{
	void *(*const fns[])(void *) = { sequences, sleeper, poller, receiver };
	struct itimerval it = { { 0, 20000 }, { 0, 20000 } };
	struct sigaction sa = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
	pthread_t t[4];
	pid_t child;
	char text[300];
	int status, last = 0;

	if (argc < 2 || argc > 3 || (argc == 3 && chdir(argv[2]) < 0))
		return 99;
	file = argc == 3 ? "verdict" : argv[1];
	sigaction(SIGALRM, &sa, NULL);
	sa.sa_handler = on_term;
	sigaction(SIGTERM, &sa, NULL);
	block(SIG_BLOCK, SIGRTMIN + 5, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &(sigset_t){ { 1UL << (SIGTERM - 1) } }, NULL);
	child = fork();
	if (!child)
		sender(getppid());
	for (int i = 0; i < 4; i++)
		if (pthread_create(&t[i], NULL, fns[i], NULL))
			return 97;
	block(SIG_UNBLOCK, SIGALRM, SIGTERM);
	setitimer(ITIMER_REAL, &it, NULL);
	put(".ready", "1\n");
	for (long beat = 1; !stop; beat++) {
		double t0 = now();

		last = alarms;
		while (!stop && alarms == last && now() - t0 < 5)
			usleep(5000);
		if (alarms == last && !stop)
			fail("the interval timer has stopped");
		snprintf(text, sizeof(text), "%ld\n", beat);
		put(".beat", text);
	}
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	if (!sections || !sleeps || !polls || !got)
		fail("a thread did nothing");
	snprintf(text, sizeof(text), bad ? "FAIL %s\n" : "OK\n", why);
	put(".figures", "");
	put("", text);
	return bad ? 1 : 0;
}
