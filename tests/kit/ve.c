// SPDX-License-Identifier: Apache-2.0
/*
 * ve: what runs in a small system container. Usage: ve all /out. Three tasks share a System V segment, a semaphore and a
 * queue; one of them echoes what comes in by TCP port 7. At SIGTERM, the verdict is in /out/verdict.
 */
#define _GNU_SOURCE
#include "judge.h"

#include <netinet/in.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <time.h>

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
static int sem, queue, told[2];

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
	MUST(write(told[1], "x", 1));
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
	char text[300] = "", name[65] = "";
	struct shmid_ds ds;
	FILE *f;

	for (int i = 0; i < 500 && (m->turns[0] == was[0] || m->turns[1] == was[1] || m->got == was[2]); i++)
		pause_ms(10);
	CHECK(m->turns[0] > was[0] && m->turns[1] > was[1] && m->got > was[2]);
	CHECK(!m->torn);
	CHECK(gethostname(name, sizeof(name)) == 0 && !strcmp(name, "ve.inside"));
	CHECK(getdomainname(name, sizeof(name)) == 0 && !strcmp(name, "domain.inside"));
	CHECK(shmctl(shmget(4711, 0, 0), IPC_STAT, &ds) == 0 && ds.shm_nattch == 4);
	CHECK(getpid() == 2 && getppid() == 1 && getuid() == 0 && getgid() == 0);
	f = fopen("/proc/self/cgroup", "r");
	while (f && fgets(text, sizeof(text), f))
		CHECK(!strstr(text, "pids") || strstr(text, ":/\n"));
}

int main(int argc, char **argv)
{
	char byte;

	if (judge_begin(argc, argv) < 0)
		return 2;
	MUST(sethostname("ve.inside", 9));
	MUST(setdomainname("domain.inside", 13));
	m = shmat(shmget(4711, sizeof(*m), IPC_CREAT | 0600), NULL, 0);
	sem = semget(4711, 1, IPC_CREAT | 0600);
	queue = msgget(4711, IPC_CREAT | 0600);
	MUST(semctl(sem, 0, SETVAL, 1));
	MUST(pipe(told));
	for (int i = 0; i < 3; i++)
		if (fork() == 0) {
			if (i < 2)
				turns(i);
			echo();
		}
	MUST(read(told[0], &byte, 1));
	wait_term();
	judge();
	finish();
}
