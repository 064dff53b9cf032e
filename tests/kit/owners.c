// SPDX-License-Identifier: Apache-2.0
/*
 * owners: what belongs to users of a user namespace, and a child that is one of them. Usage: owners all DIR;
 * DIR/ready appears when all is set up; on SIGTERM "OK" or what is wrong goes into DIR/verdict.
 */
#define _GNU_SOURCE
#include "judge.h"

#include <grp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

static int owned(int fd, uid_t u, gid_t g)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_uid == u && st.st_gid == g;
}

static int others(void) /* 60/61/60, 50/51/52, groups 7 and 65534 */
{
	gid_t g[2] = { 7, 65534 };

	return setgroups(2, g) == 0 && setresgid(50, 51, 52) == 0 && setresuid(60, 61, 60) == 0;
}

static int still_others(void)
{
	uid_t r, e, s;
	gid_t g[8];

	return getresuid(&r, &e, &s) == 0 && r == 60 && e == 61 && s == 60 && getresgid(&r, &e, &s) == 0 &&
	       r == 50 && e == 51 && s == 52 && getgroups(8, g) == 2 && g[0] == 7 && g[1] == 65534;
}

static void who(int fd, pid_t pid, uid_t uid, gid_t gid)
{
	struct ucred c = { 0 };
	socklen_t len = sizeof(c);

	CHECK(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &len) == 0 && c.pid == pid && c.uid == uid && c.gid == gid);
}

static void cred_send(int fd, uid_t uid, gid_t gid)
{
	char room[CMSG_SPACE(sizeof(struct ucred))] __attribute__((aligned(16))) = { 0 }, b = 'c';
	struct ucred u = { getpid(), uid, gid };
	struct iovec io = { &b, 1 };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_CREDENTIALS;
	c->cmsg_len = CMSG_LEN(sizeof(u));
	memcpy(CMSG_DATA(c), &u, sizeof(u));
	CHECK(sendmsg(fd, &m, 0) == 1);
}

static int cred_is(int fd, uid_t uid, gid_t gid)
{
	char room[200] __attribute__((aligned(16))), b;
	struct iovec io = { &b, 1 };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room) };
	struct ucred u = { 0 };

	if (recvmsg(fd, &m, 0) != 1 || !CMSG_FIRSTHDR(&m))
		return 0;
	memcpy(&u, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(u));
	return u.pid == getpid() && u.uid == uid && u.gid == gid;
}

int main(int argc, char **argv)
{
	struct sockaddr_un a = { AF_UNIX, "sock" };
	int memfd, ghost, listener, up, one = 1, st, pair[2], told[2], mine[2];
	char *locked;
	struct stat sb;
	pid_t kid;

	if (judge_begin(argc, argv) < 0)
		return 2;
	CHECK(setgroups(0, NULL) == 0);
	memfd = memfd_create("mine", 0);
	CHECK(memfd >= 0 && fchown(memfd, 5, 6) == 0);
	ghost = open("ghost", O_RDWR | O_CREAT, 0640);
	CHECK(ghost >= 0 && fchown(ghost, 8, 9) == 0 && unlink("ghost") == 0);
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK(bind(listener, (struct sockaddr *)&a, sizeof(a)) == 0 && chmod("sock", 0777) == 0 &&
	      chown("sock", 10, 11) == 0 && listen(listener, 4) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0 && setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &one, 4) == 0);
	cred_send(pair[0], 12, 13);
	CHECK(pipe(told) == 0 && pipe(mine) == 0 && fchown(mine[0], 14, 15) == 0 && fchmod(mine[1], 0640) == 0);
	kid = fork();
	if (kid == 0) {
		int c = socket(AF_UNIX, SOCK_STREAM, 0);

		locked = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0);
		CHECK(locked != MAP_FAILED && others());
		prctl(PR_SET_DUMPABLE, 0);
		CHECK(connect(c, (struct sockaddr *)&a, sizeof(a)) == 0);
		st = write(told[1], "x", 1);
		sleep_term();
		CHECK(still_others() && prctl(PR_GET_DUMPABLE) == 0);
		CHECK(open("/proc/self/mem", O_RDWR) < 0 && syscall(SYS_socket, AF_INET, SOCK_RAW, 1) < 0);
		if (why[0] && write(told[1], why, strlen(why)) < 0)
			_exit(2);
		_exit(why[0] ? 1 : 0);
	}
	up = accept(listener, NULL, NULL);
	CHECK(read(told[0], &one, 1) == 1);
	who(up, kid, 61, 51);
	wait_term();
	kill(kid, SIGTERM);
	CHECK(waitpid(kid, &st, 0) == kid);
	if (st)
		why[read(told[0], why, sizeof(why) - 1)] = 0;
	CHECK(owned(memfd, 5, 6) && owned(ghost, 8, 9) && owned(mine[1], 14, 15) && owned(told[0], 0, 0));
	CHECK(fstat(mine[0], &sb) == 0 && (sb.st_mode & 0777) == 0640);
	CHECK(stat("sock", &sb) == 0 && sb.st_uid == 10 && sb.st_gid == 11 && (sb.st_mode & 0777) == 0777);
	who(up, kid, 61, 51);
	CHECK(cred_is(pair[1], 12, 13));
	CHECK(!getuid() && !geteuid() && getgroups(0, NULL) == 0);
	if (fork() == 0) /* as another user: no rights */
		_exit(setresuid(1, 1, 1) < 0 || open("new", O_CREAT | O_WRONLY, 0600) >= 0 || setresuid(0, 0, 0) == 0);
	CHECK(wait(&st) > 0 && st == 0);
	finish();
}
