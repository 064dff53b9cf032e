// SPDX-License-Identifier: Apache-2.0
/* idle: a static process that sleeps, for measurements. Usage: idle [MiB [thp]] */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	size_t n = argc > 1 ? strtoul(argv[1], NULL, 10) << 20 : 0;
	char *p;

	setsid();
	if (n) {
		p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		madvise(p, n, argc > 2 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
		for (size_t i = 0; i < n; i += 8)
			*(size_t *)(p + i) = i + 1;
	}
	printf("ready\n");
	fflush(stdout);
	for (;;)
		pause();
}
