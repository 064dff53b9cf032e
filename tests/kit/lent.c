// SPDX-License-Identifier: Apache-2.0
/*
 * lent: a program whose descriptors are replaced by the restorer's. Usage: lent CASE DIR; see judge.h. It has open
 * DIR/file (7), DIR/dir (8), DIR/plain (9), a memfd of two descriptors (10, 11), and in the case "device" also
 * /dev/loop-control (12); afterwards it wants to find the names new-* and the text "new" there.
 */
#define _GNU_SOURCE
#include "judge.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static void at(int fd, int want)
{
	CHECK(fd >= 0 && dup2(fd, want) == want);
	close(fd);
}

static int named(int fd, const char *want)
{
	char path[40], link[300];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, link, sizeof(link) - 1);
	link[n < 0 ? 0 : n] = 0;
	return !strcmp(strrchr(link, '/') ? strrchr(link, '/') + 1 : link, want);
}

int main(int argc, char **argv)
{
	char text[8] = "";
	struct stat st;

	if (judge_begin(argc, argv) < 0)
		return 2;
	at(open("file", O_RDWR), 7);
	at(open("dir", O_RDONLY | O_DIRECTORY), 8);
	at(open("plain", O_WRONLY | O_APPEND), 9);
	at(memfd_create("mine", 0), 10);
	at(open("/proc/self/fd/10", O_RDWR), 11);
	CHECK(write(10, "old", 3) == 3);
	if (!strcmp(argv[1], "device"))
		at(open("/dev/loop-control", O_RDWR), 12);
	wait_term();
	CHECK(named(7, "new-file") && pread(7, text, 4, 0) == 3 && !strcmp(text, "new"));
	CHECK(named(8, "new-dir") && faccessat(8, "inside", F_OK, 0) == 0);
	CHECK(named(9, "new-plain") && write(9, "more", 4) == 4);
	CHECK(pread(11, text, 4, 0) == 3 && !strcmp(text, "new"));
	CHECK(lseek(10, 0, SEEK_CUR) == 3 && lseek(11, 0, SEEK_CUR) == 0); /* two open files still */
	if (!strcmp(argv[1], "device"))
		CHECK(fstat(12, &st) == 0 && S_ISCHR(st.st_mode));
	finish();
}
