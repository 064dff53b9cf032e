// SPDX-License-Identifier: Apache-2.0
/*
 * spaces: run a program of the kit in namespaces of its own. Usage: spaces SORT PIDFILE ROOT DIR PROGRAM ARGS...
 * SORT "spaces": pid, mnt, ipc, net, uts, cgroup and time namespaces; "user": also a user namespace, in which 0..65535
 * are 100000.. outside. ROOT has bin with both programs, proc, d, out, dev with pts and shm, maybe an empty file dev/tty; it gets
 * proc, a tmpfs on /d and /dev/shm and a devpts. DIR is where the program works and leaves "verdict": /d or /out.
 * Its first process waits as long as ROOT/out/hold is there, passes SIGTERM on to the program, and copies the verdict
 * to /out when that has ended.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MUST(c)                                                                                    \
	do {                                                                                       \
		if ((c) < 0) {                                                                     \
			fprintf(stderr, "spaces: %s: %s\n", #c, strerror(errno));                  \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	MUST(fd);
	MUST(write(fd, text, strlen(text)));
	close(fd);
}

static void mounts(const char *root)
{
	struct stat tty;

	MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	MUST(mount(root, root, NULL, MS_BIND | MS_REC, NULL));
	MUST(chdir(root));
	MUST(mount("proc", "proc", "proc", 0, NULL));
	if (stat("dev/tty", &tty) == 0 && S_ISREG(tty.st_mode)) /* a place for the host's */
		MUST(mount("/dev/tty", "dev/tty", NULL, MS_BIND, NULL));
	MUST(syscall(SYS_pivot_root, ".", "."));
	MUST(umount2(".", MNT_DETACH));
	MUST(chdir("/"));
	MUST(mount("work", "/d", "tmpfs", MS_NODEV, "size=80m,mode=755"));
	MUST(mount("shm", "/dev/shm", "tmpfs", MS_NODEV | MS_NOSUID, "size=8m,mode=1777"));
	MUST(mount("devpts", "/dev/pts", "devpts", 0, "newinstance,ptmxmode=666,gid=5"));
}

static void lo_up(void)
{
	struct ifreq r = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	MUST(ioctl(fd, SIOCSIFFLAGS, &r));
	close(fd);
}

/* What the program leaves in DIR is seen from outside only in /out. */
static void hand_out(const char *dir, int status)
{
	char from[100], text[4096];
	int fd, n;

	if (!strcmp(dir, "/out"))
		return;
	snprintf(from, sizeof(from), "%s/verdict", dir);
	fd = open(from, O_RDONLY);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	text[n < 0 ? 0 : n] = 0;
	if (n <= 0)
		snprintf(text, sizeof(text), "no verdict, status %#x", status);
	put("/out/.verdict", text);
	MUST(rename("/out/.verdict", "/out/verdict"));
}

static void first(const char *dir, char **argv)
{
	int fd, status;
	sigset_t term;
	pid_t kid;

	while (access("/out/hold", F_OK) == 0)
		usleep(10000);
	MUST(unshare(CLONE_NEWCGROUP)); /* its root is where we are by now */
	fd = open("/out/stdio", O_RDWR | O_CREAT, 0644);
	for (int n = 0; n < 3; n++)
		MUST(dup2(fd, n));
	close(fd);
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigaddset(&term, SIGCHLD);
	MUST(sigprocmask(SIG_BLOCK, &term, NULL));
	kid = fork();
	if (kid == 0) {
		sigprocmask(SIG_UNBLOCK, &term, NULL);
		MUST(chdir(dir));
		MUST(execv(argv[0], argv));
	}
	for (;;) {
		if (sigwaitinfo(&term, NULL) == SIGTERM)
			kill(kid, SIGTERM);
		else if (waitpid(kid, &status, WNOHANG) == kid)
			break;
	}
	hand_out(dir, status);
	exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

/* In the new user and time namespace: the others, which belong to it. */
static pid_t others(const char *root, char **argv)
{
	pid_t kid;

	MUST(unshare(CLONE_NEWTIME));
	put("/proc/self/timens_offsets", "monotonic 1000 0\nboottime 5000 0\n");
	kid = syscall(SYS_clone, CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | SIGCHLD, 0, 0, 0,
		      0);
	MUST(kid);
	if (kid)
		return kid;
	for (int fd = 3; fd < 20; fd++)
		close(fd);
	setsid();
	mounts(root);
	lo_up();
	MUST(sethostname("inside", 6));
	MUST(execv("/bin/spaces", argv));
	return -1;
}

static void map(pid_t pid)
{
	static const char *const files[] = { "uid_map", "gid_map" };
	char path[64];

	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "/proc/%d/%s", pid, files[i]);
		put(path, "0 100000 65536");
	}
}

int main(int argc, char **argv)
{
	int user = argc > 1 && !strcmp(argv[1], "user"), down[2], up[2];
	char *root, text[32], c;
	pid_t kid;

	if (argc > 3 && !strcmp(argv[1], "first"))
		first(argv[2], argv + 3);
	if (argc < 6 || pipe(down) || pipe(up))
		return 1;
	kid = syscall(SYS_clone, (user ? CLONE_NEWUSER : 0) | SIGCHLD, 0, 0, 0, 0);
	MUST(kid);
	if (kid == 0) {
		MUST(read(down[0], &c, 1));
		if (user) {
			MUST(setgroups(0, NULL));
			MUST(setresgid(0, 0, 0));
			MUST(setresuid(0, 0, 0));
			MUST(prctl(PR_SET_DUMPABLE, 1)); /* or our /proc is another's */
		}
		root = argv[3];
		argv[2] = "spaces";
		argv[3] = "first";
		kid = others(root, argv + 2);
		MUST(write(up[1], &kid, sizeof(kid)));
		return 0;
	}
	if (user)
		map(kid);
	MUST(write(down[1], "x", 1));
	close(up[1]);
	if (read(up[0], &kid, sizeof(kid)) != sizeof(kid))
		return 1;
	snprintf(text, sizeof(text), "%d\n", kid);
	put(argv[2], text);
	return 0;
}
