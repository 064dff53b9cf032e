// SPDX-License-Identifier: Apache-2.0
/*
 * reserve: addresses that are reserved by far more than there is memory, as databases and garbage collectors do, and
 * what a child makes of them. Usage: reserve CASE DIR, see judge.h.
 */
#define _GNU_SOURCE
#include "judge.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define PAGE 4096L

static char *space, *fixed;
static size_t size;

/* The line of smaps with the flags of the mapping that begins there */
static void flags_of(const void *at, char *out, size_t max)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	unsigned long start, end;
	bool here = false;
	char line[600];

	*out = 0;
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			here = start == (uintptr_t)at;
		if (here && !strncmp(line, "VmFlags:", 8))
			snprintf(out, max, "%s", line);
	}
	if (f)
		fclose(f);
}

/* Nobody was promised memory there. */
static void is_reserved(const void *at)
{
	char flags[600];

	flags_of(at, flags, sizeof(flags));
	CHECK(*flags && !strstr(flags, " ac") && !strstr(flags, " wr") && !strstr(flags, " nr"));
}

static int child(void)
{
	CHECK(mprotect(space + 100 * PAGE, PAGE, PROT_READ | PROT_WRITE) == 0 && mprotect(fixed, PAGE, PROT_READ | PROT_WRITE) == 0);
	strcpy(space + 100 * PAGE, "child");
	strcpy(fixed, "own");
	CHECK(mprotect(fixed, PAGE, PROT_READ) == 0 && mprotect(fixed + PAGE, PAGE, PROT_READ | PROT_WRITE) == 0);
	CHECK(close(open("child", O_CREAT | O_WRONLY, 0600)) == 0);
	sleep_term();
	CHECK(!strcmp(space + 100 * PAGE, "child") && !strcmp(fixed, "own") && !strcmp(space + 10 * PAGE, "written"));
	strcpy(fixed + PAGE, "still writable");
	is_reserved(space);
	fputs(why, stderr);
	return !!why[0];
}

static void reserved(void)
{
	int st = -1;
	pid_t kid;

	size = 8 * (size_t)sysconf(_SC_PHYS_PAGES) * PAGE;
	space = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	fixed = mmap(NULL, 3 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(space != MAP_FAILED && fixed != MAP_FAILED);
	CHECK(mprotect(space + 10 * PAGE, 2 * PAGE, PROT_READ | PROT_WRITE) == 0);
	strcpy(space + 10 * PAGE, "written");
	strcpy(space + 11 * PAGE, "hidden");
	CHECK(mprotect(space + 11 * PAGE, PAGE, PROT_NONE) == 0);
	kid = fork();
	if (kid == 0)
		_exit(child());
	while (access("child", F_OK) < 0 && waitpid(kid, &st, WNOHANG) == 0)
		usleep(1000);
	is_reserved(space);
	wait_term();
	is_reserved(space);
	is_reserved(space + 12 * PAGE);
	is_reserved(fixed);
	CHECK(!strcmp(space + 10 * PAGE, "written") && !fixed[0]);
	CHECK(mprotect(space + 11 * PAGE, 2 * PAGE, PROT_READ | PROT_WRITE) == 0);
	CHECK(!strcmp(space + 11 * PAGE, "hidden") && !space[12 * PAGE]);
	kill(kid, SIGTERM);
	CHECK(waitpid(kid, &st, 0) == kid && st == 0);
}

int main(int argc, char **argv)
{
	static const struct judge_case cases[] = { { "reserved", reserved, NULL }, { NULL, NULL, NULL } };

	if (judge_begin(argc, argv) < 0)
		return 2;
	return judge_case(cases, argv[1]);
}
