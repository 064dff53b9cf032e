/* SPDX-License-Identifier: Apache-2.0 */
/* contain: a program of the kit as the first task of a container. args: ROOT PIDFILE CASE DIR */
#ifndef KIT_CONTAIN_H
#define KIT_CONTAIN_H

#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

/* program: where it is in the container's root; more: namespaces besides pid, mnt, ipc, uts and net */
static inline int contain(const char *program, uint64_t more, char **args)
{
	const char *root = args[0];
	char *argv[] = { (char *)program, args[2], args[3], NULL };
	FILE *f = fopen(args[1], "w"); /* before the child turns our root, too */
	pid_t p;

	if (!f || unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | more) < 0)
		return 4;
	p = fork();
	if (p) {
		fprintf(f, "%d\n", p);
		fclose(f);
		_exit(0);
	}
	setsid();
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || mount(root, root, NULL, MS_BIND, NULL) < 0 ||
	    chdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0 ||
	    mount("proc", "/proc", "proc", 0, NULL) < 0)
		return 5;
	close_range(0, ~0U, 0);
	open("/dev/null", O_RDWR);
	execv(argv[0], argv);
	return 6;
}

#endif
