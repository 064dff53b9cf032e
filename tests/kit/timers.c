// SPDX-License-Identifier: Apache-2.0
/*
 * timers: POSIX timers and interval timers on every clock, of a process with two threads.
 * Usage: timers CASE DIR. DIR/ready appears when all is set up; on SIGTERM they are looked at, and "OK" or the
 * first failure goes into DIR/verdict.
 */
#define _GNU_SOURCE
#include "judge.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static pthread_barrier_t barrier;
static volatile int rang[8];
static volatile pid_t rang_in[8];

static void on_ring(int sig, siginfo_t *si, void *uc)
{
	rang[si->si_value.sival_int]++;
	rang_in[si->si_value.sival_int] = gettid();
}

static double left(int id)
{
	struct itimerspec v;

	CHECK(syscall(SYS_timer_gettime, id, &v) == 0);
	return v.it_value.tv_sec + v.it_value.tv_nsec / 1e9;
}

static int make(clockid_t clock, int how, int number)
{
	struct sigevent ev = { .sigev_notify = how, .sigev_signo = SIGRTMIN + 1, .sigev_value.sival_int = number };
	int id = -1;

	if (how & SIGEV_THREAD_ID)
		ev.sigev_notify_thread_id = gettid();
	CHECK(syscall(SYS_timer_create, clock, &ev, &id) == 0);
	return id;
}

static void arm(int id, double value, double interval)
{
	struct itimerspec v = { { interval, 1e9 * (interval - (long)interval) }, { value, 1e9 * (value - (long)value) } };

	CHECK(syscall(SYS_timer_settime, id, 0, &v, NULL) == 0);
}

static double cpu(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* Nearly all of it outside of the kernel: ITIMER_VIRTUAL counts nothing else. */
static void burn(double seconds)
{
	double until = cpu(CLOCK_THREAD_CPUTIME_ID) + seconds;

	while (cpu(CLOCK_THREAD_CPUTIME_ID) < until)
		for (volatile int n = 0; n < 100000; n++)
			;
}

/* A timer on its own CPU time, and one that rings in it. */
static void *second(void *arg)
{
	int own = make(CLOCK_THREAD_CPUTIME_ID, SIGEV_SIGNAL | SIGEV_THREAD_ID, 1);
	int here = make(CLOCK_MONOTONIC, SIGEV_SIGNAL | SIGEV_THREAD_ID, 2);

	arm(own, 0.6, 0);
	arm(here, 1000, 0);
	burn(0.3);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	CHECK(left(own) > 0.2 && left(own) < 0.35);
	CHECK(left(here) > 900 && left(here) < 1000);
	pthread_barrier_wait(&barrier); /* the other burns, which is none of this one's time */
	pthread_barrier_wait(&barrier);
	CHECK(rang[1] == 0 && left(own) > 0.2);
	burn(0.5);
	CHECK(rang[1] == 1 && rang_in[1] == gettid());
	arm(here, 0.001, 0);
	while (!rang[2])
		usleep(1000);
	CHECK(rang_in[2] == gettid());
	pthread_barrier_wait(&barrier);
	return NULL;
}

static void all(void)
{
	int gap = make(CLOCK_MONOTONIC, SIGEV_NONE, 0), process, real, boot, none;
	struct itimerval v = { .it_value.tv_sec = 50 };
	pthread_t t;

	syscall(SYS_timer_delete, gap);
	process = make(CLOCK_PROCESS_CPUTIME_ID, SIGEV_SIGNAL, 3);
	real = make(CLOCK_REALTIME, SIGEV_SIGNAL, 4);
	boot = make(CLOCK_BOOTTIME, SIGEV_SIGNAL, 5);
	none = make(CLOCK_MONOTONIC, SIGEV_NONE, 6);
	arm(process, 50, 7);
	arm(real, 500, 0.25);
	arm(none, 700, 0);
	CHECK(setitimer(ITIMER_VIRTUAL, &v, NULL) == 0 && setitimer(ITIMER_PROF, &v, NULL) == 0);
	pthread_create(&t, NULL, second, NULL);
	pthread_barrier_wait(&barrier);
	wait_term();
	pthread_barrier_wait(&barrier);
	CHECK(left(process) > 48 && left(process) < 49.8);
	CHECK(left(real) > 400 && left(real) < 500 && left(boot) == 0 && left(none) > 600 && left(none) < 700);
	CHECK(getitimer(ITIMER_VIRTUAL, &v) == 0 && v.it_value.tv_sec == 49);
	CHECK(getitimer(ITIMER_PROF, &v) == 0 && v.it_value.tv_sec == 49);
	CHECK(process == gap + 1 && make(CLOCK_MONOTONIC, SIGEV_NONE, 0) > none);
	pthread_barrier_wait(&barrier);
	burn(0.5);
	CHECK(left(process) < 49.4);
	arm(boot, 0.001, 0.001);
	for (int n = 0; rang[5] < 3 && n < 5000; n++)
		usleep(1000);
	CHECK(rang[5] >= 3 && !rang[4] && !rang[6]);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
}

/* More than one batch asks for, of ids with gaps. */
static void many(void)
{
	int id[2000];

	for (int n = 0; n < 2000; n++)
		id[n] = make(CLOCK_MONOTONIC, SIGEV_SIGNAL, 0);
	for (int n = 0; n < 2000; n++)
		if (n % 7)
			syscall(SYS_timer_delete, id[n]);
		else
			arm(id[n], 1000 + n, n);
	wait_term();
	for (int n = 0; n < 2000; n += 7)
		CHECK(left(id[n]) > 900 + n && left(id[n]) < 1000 + n);
	CHECK(syscall(SYS_timer_delete, id[1]) == -1 && syscall(SYS_timer_delete, id[1999]) == -1);
	CHECK(make(CLOCK_MONOTONIC, SIGEV_NONE, 0) > id[1995]);
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_sigaction = on_ring, .sa_flags = SA_SIGINFO | SA_RESTART };

	if (judge_begin(argc, argv) < 0)
		return 2;
	sigaction(SIGRTMIN + 1, &sa, NULL);
	pthread_barrier_init(&barrier, NULL, 2);
	if (!strcmp(argv[1], "many"))
		many();
	else
		all();
	finish();
}
