// SPDX-License-Identifier: Apache-2.0
/*
 * limits: what a dump and a restore of 1 GiB cannot beat: private memory written into a new file by
 * write(2) and given back, as a checkpoint ends its tasks; and read(2) of it into fresh memory.
 * Usage: limits FILE [thp]. Prints two times in ms: dump, restore.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdint.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define SIZE (1UL << 30)
#define HUGE (2UL << 20)
#define CHUNK (1UL << 20)

static double ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static char *map(int advice)
{
	char *p = mmap(NULL, SIZE + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	p = (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));
	madvise(p, SIZE, advice);
	return p;
}

static int one(const char *path, int advice)
{
	char *p = map(advice);
	double t;
	int fd;

	for (uint64_t i = 0; i < SIZE; i += 64)
		*(uint64_t *)(p + i) = i + 1;
	unlink(path);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	t = ms();
	for (uint64_t i = 0; i < SIZE; i += CHUNK)
		if (write(fd, p + i, CHUNK) != (ssize_t)CHUNK)
			return 1;
	munmap(p, SIZE);
	printf("%.1f ", ms() - t);
	p = map(advice);
	t = ms();
	for (uint64_t i = 0; i < SIZE; i += CHUNK)
		if (pread(fd, p + i, CHUNK, i) != (ssize_t)CHUNK)
			return 1;
	printf("%.1f ", ms() - t);
	munmap(p, SIZE);
	close(fd);
	unlink(path);
	return 0;
}

int main(int argc, char **argv)
{
	int r = argc < 2 ? 2 : one(argv[1], argc > 2 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);

	printf("\n");
	return r;
}
