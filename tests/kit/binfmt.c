// SPDX-License-Identifier: Apache-2.0
/*
 * binfmt: handlers of executable formats, in the user namespace of the tasks and in one below it.
 * Usage: binfmt CASE DIR, see judge.h; as an interpreter it ends with status 77.
 */
#define _GNU_SOURCE
#include "judge.h"

#include <dirent.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define SEP ","

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

/* All of a directory: names in their order, and what is in the files. */
static void list(const char *dir, char *out, size_t max)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	size_t n = 0;
	char path[600];

	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.' && strcmp(e->d_name, "register")) {
			FILE *f;

			snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
			f = fopen(path, "r");
			CHECK(f);
			n += snprintf(out + n, max - n, "%s: ", e->d_name);
			n += f ? fread(out + n, 1, max - 1 - n, f) : 0;
			out[n] = 0;
			if (f)
				fclose(f);
		}
	CHECK(d && n);
	if (d)
		closedir(d);
}

static void mount_it(const char *dir)
{
	if (mkdir(dir, 0755) < 0 || mount("handlers", dir, "binfmt_misc", 0, NULL) < 0)
		exit(3);
}

/* What becomes of a file that is executed: the status with which it ends */
static int run(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0755), st = -1;
	pid_t kid;

	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
	kid = fork();
	if (kid == 0) {
		char path[300];

		snprintf(path, sizeof(path), "./%s", name);
		execl(path, path, NULL);
		_exit(errno == ENOEXEC ? 8 : 9);
	}
	waitpid(kid, &st, 0);
	return WIFEXITED(st) ? WEXITSTATUS(st) : -1;
}

/* Of two that fit, the later one; a disabled one not at all; a mask, an offset, a separator in a name; one opened early */
static void handlers(void)
{
	static char before[9000], after[9000];

	mount_it("fmt");
	put("fmt/register", SEP "first" SEP "E" SEP SEP "odd" SEP SEP "/bin/none" SEP);
	put("fmt/register", SEP "second" SEP "E" SEP SEP "odd" SEP SEP "/bin/binfmt" SEP "OCF");
	put("fmt/register", SEP "off" SEP "E" SEP SEP "off" SEP SEP "/bin/binfmt" SEP);
	put("fmt/register", SEP "a:b magic" SEP "M" SEP "3" SEP "\\x00\\xffMZ\\x0a" SEP "\\xff\\x0f\\xff\\xff\\xff" SEP "/bin/bin:fmt" SEP "P");
	put("fmt/register", SEP "plain" SEP "M" SEP SEP "ODDS" SEP SEP "/bin/binfmt" SEP);
	put("fmt/off", "0");
	list("fmt", before, sizeof(before));
	CHECK(run("x.odd", "x") == 77 && run("x.off", "x") == 8 && run("y", "ODDS and ends") == 77);
	wait_term();
	list("fmt", after, sizeof(after));
	CHECK(!strcmp(before, after));
	CHECK(run("x.odd", "x") == 77 && run("x.off", "x") == 8 && run("y", "ODDS and ends") == 77);
}

/* All disabled, read-only */
static void disabled(void)
{
	mount_it("fmt");
	put("fmt/register", SEP "one" SEP "E" SEP SEP "odd" SEP SEP "/bin/binfmt" SEP);
	put("fmt/status", "0");
	CHECK(mount(NULL, "fmt", NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0);
	CHECK(run("x.odd", "x") == 8);
	wait_term();
	CHECK(run("x.odd", "x") == 8 && open("fmt/status", O_WRONLY) < 0 && errno == EROFS);
	CHECK(mount(NULL, "fmt", NULL, MS_REMOUNT, NULL) == 0);
	put("fmt/status", "1");
	CHECK(run("x.odd", "x") == 77);
}

/* Those of a user namespace below are its own. */
static void below(void)
{
	int st = -1;
	pid_t kid;

	mount_it("fmt");
	put("fmt/register", SEP "ours" SEP "E" SEP SEP "odd" SEP SEP "/bin/binfmt" SEP);
	kid = fork();
	if (kid == 0) {
		CHECK(unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0);
		put("/proc/self/setgroups", "deny");
		put("/proc/self/uid_map", "0 0 1");
		put("/proc/self/gid_map", "0 0 1");
		mount_it("own");
		put("own/register", SEP "theirs" SEP "E" SEP SEP "own" SEP SEP "/bin/binfmt" SEP "F");
		CHECK(run("k.own", "x") == 77 && run("k.odd", "x") == 8 && creat("kid", 0600) >= 0);
		sleep_term();
		CHECK(run("k.own", "x") == 77 && run("k.odd", "x") == 8);
		fputs(why, stderr);
		_exit(!!why[0]);
	}
	while (access("kid", F_OK) < 0 && waitpid(kid, &st, WNOHANG) == 0)
		usleep(1000);
	CHECK(run("x.own", "x") == 8 && run("x.odd", "x") == 77);
	wait_term();
	CHECK(run("x.own", "x") == 8 && run("x.odd", "x") == 77);
	kill(kid, SIGTERM);
	CHECK(waitpid(kid, &st, 0) == kid && st == 0);
}

/* Without a user namespace it is the host's: what is in it stays the host's business. */
static void hosts(void)
{
	mount_it("fmt");
	wait_term();
	CHECK(access("fmt/register", W_OK) == 0 && access("fmt/status", F_OK) == 0);
}

/* The file that the handler opened has gone. */
static void gone(void)
{
	mount_it("fmt");
	CHECK(mkdir("deep", 0755) == 0 && close(open("deep/interp", O_WRONLY | O_CREAT, 0755)) == 0);
	put("fmt/register", SEP "lost" SEP "E" SEP SEP "odd" SEP SEP "/d/deep/interp" SEP "F");
	CHECK(unlink("deep/interp") == 0);
	wait_term();
	CHECK(access("fmt/lost", F_OK) == 0);
}

int main(int argc, char **argv)
{
	static const struct judge_case cases[] = {
		{ "handlers", handlers, NULL }, { "disabled", disabled, NULL }, { "below", below, NULL },
		{ "hosts", hosts, NULL },	{ "gone", gone, NULL },		{ NULL, NULL, NULL },
	};

	if (argc == 2 || (argc > 1 && !strncmp(argv[1], "./", 2)))
		return 77;
	if (judge_begin(argc, argv) < 0)
		return 2;
	return judge_case(cases, argv[1]);
}
