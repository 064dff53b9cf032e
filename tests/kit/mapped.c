// SPDX-License-Identifier: Apache-2.0
/*
 * mapped: run a program of the kit in own user, pid, mount, ipc and uts namespaces; 0..65535 inside are
 * 100000.. outside. Usage: mapped PIDFILE ROOT OUT PROGRAM ARGS...
 * ROOT has bin with both, proc, d, out, dev/pts, maybe dev/tty; it gets proc, and in the tmpfs /d and a devpts below /dev what the program needs. Its first process
 * passes SIGTERM on to the program and copies /d/OUT to /out/OUT, if it is there, when that has ended.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MUST(c)                                                                                    \
	do {                                                                                       \
		if ((c) < 0) {                                                                     \
			fprintf(stderr, "mapped: %s: %s\n", #c, strerror(errno));                  \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	MUST(fd);
	MUST(write(fd, text, strlen(text)));
	close(fd);
}

static void mounts(const char *root)
{
	MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	MUST(mount(root, root, NULL, MS_BIND | MS_REC, NULL));
	MUST(chdir(root));
	MUST(mount("proc", "proc", "proc", 0, NULL));
	if (access("dev/tty", F_OK) == 0)
		MUST(mount("/dev/tty", "dev/tty", NULL, MS_BIND, NULL));
	MUST(syscall(SYS_pivot_root, ".", "."));
	MUST(umount2(".", MNT_DETACH));
	MUST(chdir("/"));
	MUST(mount("work", "/d", "tmpfs", MS_NODEV, "size=80m,mode=755"));
	MUST(mount("devpts", "/dev/pts", "devpts", 0, "newinstance,ptmxmode=666,gid=5"));
}

static void first(const char *out, char **argv)
{
	char from[100], to[100], text[4096];
	sigset_t term;
	pid_t kid;
	int fd, n;

	fd = open("/out/stdio", O_RDWR | O_CREAT, 0644);
	for (n = 0; n < 3; n++)
		MUST(dup2(fd, n));
	close(fd);
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigaddset(&term, SIGCHLD);
	MUST(sigprocmask(SIG_BLOCK, &term, NULL));
	kid = fork();
	if (kid == 0) {
		sigprocmask(SIG_UNBLOCK, &term, NULL);
		MUST(chdir("/d"));
		MUST(execv(argv[0], argv));
	}
	for (;;) {
		if (sigwaitinfo(&term, NULL) == SIGTERM)
			kill(kid, SIGTERM);
		else if (waitpid(kid, NULL, WNOHANG) == kid)
			break;
	}
	snprintf(from, sizeof(from), "/d/%s", out);
	snprintf(to, sizeof(to), "/out/%s", out);
	fd = open(from, O_RDONLY);
	if (fd < 0)
		exit(0); /* it may have written there itself */
	n = read(fd, text, sizeof(text) - 1);
	text[n < 0 ? 0 : n] = 0;
	put(to, n > 0 ? text : "no verdict");
	exit(0);
}

int main(int argc, char **argv)
{
	char path[64], text[32], c;
	int down[2];
	pid_t kid;

	if (argc > 3 && !strcmp(argv[1], "first"))
		first(argv[2], argv + 3);
	if (argc < 5 || pipe(down))
		return 1;
	kid = syscall(SYS_clone, CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | SIGCHLD,
		      0, 0, 0, 0);
	MUST(kid);
	if (kid == 0) {
		MUST(read(down[0], &c, 1));
		for (int fd = 3; fd < 20; fd++)
			close(fd);
		MUST(setgroups(0, NULL));
		MUST(setresgid(0, 0, 0));
		MUST(setresuid(0, 0, 0));
		setsid();
		mounts(argv[2]);
		argv[1] = "mapped";
		argv[2] = "first";
		MUST(execv("/bin/mapped", argv + 1));
	}
	snprintf(path, sizeof(path), "/proc/%d/uid_map", kid);
	put(path, "0 100000 65536");
	snprintf(path, sizeof(path), "/proc/%d/gid_map", kid);
	put(path, "0 100000 65536");
	snprintf(text, sizeof(text), "%d\n", kid);
	put(argv[1], text);
	MUST(write(down[1], "x", 1));
	return 0;
}
