// SPDX-License-Identifier: Apache-2.0
/*
 * autofs: an automounter that is checkpointed. Usage: autofs CASE DIR (judge.h). Cases: direct (as systemd does it),
 * covered (something is mounted there), indirect (with a directory, one that is mounted, a timeout), catatonic (out of
 * service), pending (somebody waits for a mount), alone (whose automounter is elsewhere).
 */
#define _GNU_SOURCE
#include "judge.h"

#include <linux/auto_fs.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

static int asked = -1; /* reading end of the pipe */
static int top;	       /* the root of the autofs */

static void serve(const char *mode)
{
	char opts[128];
	int end[2];

	setpgid(0, 0);
	CHECK(mkdir("a", 0755) == 0 && pipe2(end, O_CLOEXEC | O_NONBLOCK) == 0);
	snprintf(opts, sizeof(opts), "fd=%d,pgrp=%d,minproto=5,maxproto=5,%s", end[1], getpgrp(), mode);
	if (mount("kit", "a", "autofs", 0, opts) < 0 && errno == ENODEV)
		exit(3);
	close(end[1]);
	asked = end[0];
	top = open("a", O_RDONLY | O_DIRECTORY);
	CHECK(top >= 0);
}

static void mount_at(const char *path)
{
	char file[64];
	int fd;

	CHECK(mount("asked", path, "tmpfs", 0, NULL) == 0);
	snprintf(file, sizeof(file), "%s/file", path);
	fd = open(file, O_CREAT | O_WRONLY, 0600);
	CHECK(fd >= 0);
	close(fd);
}

/* Somebody of another group looks for path. */
static pid_t ask(const char *path)
{
	struct pollfd p = { .fd = asked, .events = POLLIN };
	pid_t kid = fork();

	if (kid == 0) {
		setpgid(0, 0);
		_exit(access(path, F_OK) < 0);
	}
	CHECK(poll(&p, 1, 10000) == 1 && p.revents == POLLIN);
	return kid;
}

/* We mount what the kernel asks for. */
static void answer(pid_t kid, const char *where, int type)
{
	union autofs_v5_packet_union u;
	struct stat st;
	int status;

	CHECK(read(asked, &u, sizeof(u)) > 0 && u.hdr.type == type);
	CHECK(fstat(top, &st) == 0 && u.v5_packet.dev == st.st_dev);
	if (type == autofs_ptype_missing_indirect)
		CHECK(mkdir(where, 0755) == 0);
	mount_at(where);
	CHECK(ioctl(top, AUTOFS_IOC_READY, u.v5_packet.wait_queue_token) == 0);
	CHECK(waitpid(kid, &status, 0) == kid && status == 0);
}

static void direct(void) { answer(ask("a/file"), "a", autofs_ptype_missing_direct); }

static unsigned long timeout_of(void)
{
	char line[512];
	unsigned long v = 0;
	FILE *f = fopen("/proc/self/mountinfo", "r");

	while (f && fgets(line, sizeof(line), f))
		if (strstr(line, " autofs ") && strstr(line, "timeout="))
			v = strtoul(strstr(line, "timeout=") + 8, NULL, 10);
	fclose(f);
	return v;
}

static void covered(void)
{
	direct();
	wait_term();
	CHECK(access("a/file", F_OK) == 0 && umount("a") == 0);
	direct();
}

static void indirect(void)
{
	unsigned long wait = 300;

	CHECK(mkdir("a/kept", 0755) == 0);
	answer(ask("a/before/file"), "a/before", autofs_ptype_missing_indirect);
	CHECK(ioctl(top, AUTOFS_IOC_SETTIMEOUT, &wait) == 0 && timeout_of() == 300);
	wait_term();
	CHECK(timeout_of() == 300 && access("a/before/file", F_OK) == 0 && access("a/kept", F_OK) == 0);
	answer(ask("a/after/file"), "a/after", autofs_ptype_missing_indirect);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (judge_begin(argc, argv) < 0)
		return 1;
	serve(strcmp(what, "indirect") ? "direct" : "indirect");
	if (!strcmp(what, "direct")) {
		wait_term();
		direct();
	} else if (!strcmp(what, "pending")) {
		pid_t kid = ask("a/file");

		wait_term();
		answer(kid, "a", autofs_ptype_missing_direct);
	} else if (!strcmp(what, "covered")) {
		covered();
	} else if (!strcmp(what, "indirect")) {
		indirect();
	} else if (!strcmp(what, "catatonic")) {
		CHECK(ioctl(top, AUTOFS_IOC_CATATONIC, 0) == 0);
		wait_term();
		CHECK(access("a/file", F_OK) < 0 && errno == ENOENT);
	} else if (!strcmp(what, "alone")) {
		close(asked);
		wait_term();
	}
	finish();
	return 0;
}
