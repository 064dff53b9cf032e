// SPDX-License-Identifier: Apache-2.0
/*
 * huge: memory of hugetlbfs pages, in two tasks.
 * Usage: huge CASE DIR. DIR/ready appears when all is set up; on SIGTERM "OK" or the first failure goes
 * into DIR/verdict.
 */
#define _GNU_SOURCE
#include "judge.h"

#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define H (2ul << 20)
#define BAD MAP_FAILED

/* a field of the mapping that begins at p, in kB or as letters */
static int smaps(const void *p, const char *field, char *ret)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	char line[300], start[24];
	int in = 0, found = 0;

	snprintf(start, sizeof(start), "%lx-", (unsigned long)p);
	while (!found && fgets(line, sizeof(line), f)) {
		if ((line[0] >= '0' && line[0] <= '9') || (line[0] >= 'a' && line[0] <= 'f'))
			in = !strncmp(line, start, strlen(start));
		else if (in && !strncmp(line, field, strlen(field)))
			found = sscanf(line + strlen(field), "%99[^\n]", ret) == 1;
	}
	fclose(f);
	return found;
}

static int is_huge(const void *p)
{
	char text[100];

	return smaps(p, "KernelPageSize:", text) && atoi(text) == 2048;
}

static void fill(char *p, char c)
{
	for (size_t i = 0; i < H; i += 4096)
		memset(p + i, c, 100);
}

static int filled(const char *p, char c)
{
	for (size_t i = 0; i < H; i += 4096)
		if (p[i] != c || p[i + 99] != c || p[i + 100])
			return 0;
	return 1;
}

int main(int argc, char **argv)
{
	int anon = MAP_ANONYMOUS | MAP_HUGETLB, rw = PROT_READ | PROT_WRITE, fd, st, seg, kid_ok[2];
	char *own, *cut, *shared, *lazy, *mem, *cow, *at, text[100];
	struct shmid_ds ds;
	struct stat s;
	pid_t kid;

	if (judge_begin(argc, argv) < 0)
		return 2;
	own = mmap(NULL, 3 * H, rw, MAP_PRIVATE | anon, -1, 0);
	cut = mmap(NULL, 3 * H, rw, MAP_PRIVATE | anon, -1, 0);
	shared = mmap(NULL, 2 * H, rw, MAP_SHARED | anon | 21 << 26, -1, 0);
	lazy = mmap(NULL, 200 * H, rw, MAP_PRIVATE | anon | MAP_NORESERVE, -1, 0);
	fd = memfd_create("huge one", MFD_HUGETLB | MFD_ALLOW_SEALING);
	CHECK(fd >= 0 && ftruncate(fd, 3 * H) == 0);
	mem = mmap(NULL, 3 * H, rw, MAP_SHARED, fd, 0);
	cow = mmap(NULL, 2 * H, rw, MAP_PRIVATE, fd, 0);
	seg = shmget(0x4848, 3 * H / 2, IPC_CREAT | SHM_HUGETLB | 0600);
	at = shmat(seg, NULL, 0);
	CHECK(own != BAD && cut != BAD && shared != BAD && lazy != BAD && mem != BAD && cow != BAD && seg >= 0 && at != BAD);
	if (why[0]) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	fill(own, 'o');
	fill(own + 2 * H, 'p');
	fill(cut + H, 'c');
	CHECK(munmap(cut, H) == 0 && mprotect(cut + H, H, PROT_READ) == 0);
	fill(shared + H, 's');
	fill(lazy + 77 * H, 'l');
	fill(mem, 'm');
	fill(mem + 2 * H, 'n');
	fill(cow + H, 'w');
	CHECK(munmap(mem + 2 * H, H) == 0);
	CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) == 0);
	memset(at + H, 'a', H / 2);
	CHECK(pipe(kid_ok) == 0);
	kid = fork();
	if (!kid) {
		memset(own, 'K', 50);
		CHECK(write(kid_ok[1], "k", 1) == 1);
		sleep_term();
		CHECK(own[0] == 'K' && own[49] == 'K' && own[50] == 'o' && own[4096] == 'o' && filled(own + 2 * H, 'p'));
		CHECK(!own[H] && is_huge(own));
		shared[0] = 'X';
		if (why[0])
			CHECK(write(open("kid.why", O_CREAT | O_WRONLY, 0600), why, strlen(why)) > 0);
		_exit(!!why[0]);
	}
	CHECK(read(kid_ok[0], text, 1) == 1);
	close(open("ready", O_CREAT | O_WRONLY, 0600));
	sleep_term();
	CHECK(is_huge(own) && is_huge(cut + H) && is_huge(shared) && is_huge(lazy) && is_huge(mem) && is_huge(cow) && is_huge(at));
	CHECK(filled(own, 'o') && filled(own + 2 * H, 'p') && !own[H]);
	CHECK(filled(cut + H, 'c') && smaps(cut + H, "VmFlags:", text) && !strstr(text, " wr"));
	CHECK(filled(shared + H, 's') && !shared[0]);
	kill(kid, SIGTERM);
	CHECK(waitpid(kid, &st, 0) == kid && st == 0);
	CHECK(shared[0] == 'X');
	CHECK(filled(lazy + 77 * H, 'l') && smaps(lazy, "VmFlags:", text) && strstr(text, " nr"));
	CHECK(fstat(fd, &s) == 0 && s.st_size == 3 * (long)H && fcntl(fd, F_GET_SEALS) == (F_SEAL_GROW | F_SEAL_SHRINK));
	CHECK(filled(mem, 'm') && filled(cow, 'm') && filled(cow + H, 'w') && !mem[H]);
	mem[5] = 'M';
	CHECK(cow[5] == 'M');
	mem = mmap(NULL, H, rw, MAP_SHARED, fd, 2 * H);
	CHECK(mem != BAD && filled(mem, 'n'));
	CHECK(at[H] == 'a' && at[3 * H / 2 - 1] == 'a' && !at[0] && shmget(0x4848, 0, 0) == seg);
	CHECK(shmctl(seg, IPC_STAT, &ds) == 0 && ds.shm_segsz == 3 * H / 2 && ds.shm_nattch == 1);
	finish();
}
