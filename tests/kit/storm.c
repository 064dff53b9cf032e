// SPDX-License-Identifier: Apache-2.0
/* All that a checkpoint looks at changes all the time: threads, mappings, descriptors, children that execute. */
#define _GNU_SOURCE
#include "judge.h"

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

static atomic_bool over;
static atomic_uint rounds[4];

static void *short_life(void *arg) { return (void *)((uintptr_t)arg + 1); }

static void threads_round(unsigned n)
{
	pthread_t t[8];
	void *got;

	for (uintptr_t i = 0; i < 8; i++)
		CHECK(pthread_create(&t[i], NULL, short_life, (void *)(n + i)) == 0);
	for (uintptr_t i = 0; i < 8; i++)
		CHECK(pthread_join(t[i], &got) == 0 && got == (void *)(n + i + 1));
}

static void maps_round(unsigned n)
{
	size_t len = (1 + n % 16) * 4096;
	unsigned char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	memset(p, n, len);
	CHECK(mprotect(p, 4096, PROT_READ) == 0);
	CHECK(mprotect(p, 4096, PROT_READ | PROT_WRITE) == 0);
	p = mremap(p, len, len + 8192, MREMAP_MAYMOVE);
	CHECK(p != MAP_FAILED && p[0] == (unsigned char)n && p[len - 1] == (unsigned char)n && !p[len]);
	CHECK(munmap(p, len + 8192) == 0);
}

static void files_round(unsigned n)
{
	int p[2], s[2], fd;
	char name[16], c = n, got = ~n;

	snprintf(name, sizeof(name), "f%u", n % 8);
	fd = open(name, O_CREAT | O_RDWR, 0600);
	CHECK(fd >= 0 && pipe(p) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	CHECK(write(p[1], &c, 1) == 1 && read(p[0], &got, 1) == 1 && got == c);
	CHECK(write(s[0], &c, 1) == 1 && read(s[1], &got, 1) == 1 && got == c);
	CHECK(n % 3 || unlink(name) == 0);
	close(fd), close(p[0]), close(p[1]), close(s[0]), close(s[1]);
}

static void children_round(unsigned n)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		execl("/proc/self/exe", "storm", "child", ".", NULL);
		_exit(1);
	}
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

static void *worker(void *arg)
{
	static void (*const round[])(unsigned) = { threads_round, maps_round, files_round, children_round };
	uintptr_t which = (uintptr_t)arg;

	while (!over && !why[0])
		round[which](rounds[which]++);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t t[4];

	if (argc > 1 && !strcmp(argv[1], "child"))
		return 7;
	if (judge_begin(argc, argv) < 0)
		return 2;
	for (uintptr_t i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, worker, (void *)i);
	for (unsigned i = 0; i < 4; i++)
		while (!rounds[i] && !why[0])
			sched_yield();
	wait_term();
	for (unsigned i = 0; i < 4; i++) { /* all go on */
		unsigned was = rounds[i];

		while (rounds[i] < was + 3 && !why[0])
			sched_yield();
	}
	over = true;
	for (unsigned i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	finish();
	return 0;
}
