// SPDX-License-Identifier: Apache-2.0
/*
 * odd: files that are not what a name leads to at any time.
 * Usage: odd CASE DIR [DEVICE]. DIR/ready appears when all is set up; on SIGTERM "OK" or the first failure goes into
 * DIR/verdict. Exit status 3: there is none here.
 */
#define _GNU_SOURCE
#include "judge.h"

#include <grp.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <semaphore.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>

static int holds(int fd, off_t at, const char *text)
{
	char buf[100];
	ssize_t n = strlen(text);

	return pread(fd, buf, n, at) == n && !memcmp(buf, text, n);
}

static const char *link_of(int fd)
{
	static char buf[4096];
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, buf, sizeof(buf) - 1);
	buf[n > 0 ? n : 0] = 0;
	return buf;
}

/* POSIX semaphores and shared memory: files of /dev/shm, named and not */
static void shm(void)
{
	char name[40], gone[40];
	sem_t *sem, *other;
	int fd, lost, st, v;
	char *p, *q;
	pid_t kid;

	snprintf(name, sizeof(name), "/odd-%d", getpid());
	snprintf(gone, sizeof(gone), "/odd-gone-%d", getpid());
	sem = sem_open(name, O_CREAT | O_EXCL, 0600, 0);
	other = sem_open(gone, O_CREAT | O_EXCL, 0600, 5);
	CHECK(sem != SEM_FAILED && other != SEM_FAILED && sem_unlink(gone) == 0);
	fd = shm_open(gone, O_CREAT | O_EXCL | O_RDWR, 0600);
	lost = shm_open(gone, O_RDONLY, 0);
	CHECK(fd >= 0 && lost >= 0 && ftruncate(fd, 3 * 4096) == 0 && shm_unlink(gone) == 0);
	p = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	q = mmap(NULL, 4096, PROT_READ, MAP_SHARED, lost, 4096);
	CHECK(p != MAP_FAILED && q != MAP_FAILED);
	strcpy(p + 4096, "seen by both");
	kid = fork();
	if (!kid) {
		while (sem_wait(sem) < 0 && errno == EINTR)
			;
		_exit(strcmp(q, "changed") != 0);
	}
	wait_term();
	CHECK(!strcmp(q, "seen by both"));
	strcpy(p + 4096, "changed");
	CHECK(!strcmp(q, "changed") && holds(lost, 4096, "changed"));
	CHECK(sem_getvalue(other, &v) == 0 && v == 5 && sem_wait(other) == 0);
	CHECK(sem_post(sem) == 0 && waitpid(kid, &st, 0) == kid && st == 0);
	CHECK(sem_unlink(name) == 0);
}

/* several names of one file, all removed; another file has one of them */
static void links(void)
{
	int a = open("a", O_RDWR | O_CREAT, 0600), b, c;
	struct stat sa, sb, sc;

	CHECK(write(a, "one file", 8) == 8 && link("a", "b") == 0 && mkdir("sub", 0700) == 0 && link("a", "sub/c") == 0);
	b = open("b", O_RDONLY);
	c = open("sub/c", O_WRONLY);
	CHECK(unlink("a") == 0 && unlink("b") == 0 && unlink("sub/c") == 0 && rmdir("sub") == 0);
	close(open("b", O_RDWR | O_CREAT, 0644));
	wait_term();
	CHECK(fstat(a, &sa) == 0 && fstat(b, &sb) == 0 && fstat(c, &sc) == 0);
	CHECK(sa.st_ino == sb.st_ino && sa.st_ino == sc.st_ino && sa.st_nlink == 0);
	CHECK(pwrite(c, "ONE", 3, 0) == 3 && holds(a, 0, "ONE file") && holds(b, 0, "ONE file"));
	CHECK(access("sub", F_OK) < 0 && access("a", F_OK) < 0 && stat("b", &sb) == 0 && sb.st_size == 0);
}

/* far larger than what is in it */
static void sparse(void)
{
	int fd = open("sparse", O_RDWR | O_CREAT, 0600);
	struct stat st;

	CHECK(ftruncate(fd, 20LL << 30) == 0 && pwrite(fd, "begin", 5, 0) == 5 && pwrite(fd, "end", 3, (20LL << 30) - 3) == 3);
	CHECK(pwrite(fd, "middle", 6, 7LL << 30) == 6 && unlink("sparse") == 0);
	wait_term();
	CHECK(fstat(fd, &st) == 0 && st.st_size == 20LL << 30 && st.st_blocks < 2000);
	CHECK(holds(fd, 0, "begin") && holds(fd, 7LL << 30, "middle") && holds(fd, (20LL << 30) - 3, "end"));
}

static int proc_file(pid_t pid, const char *name, int flags)
{
	char path[100];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, flags);
	CHECK(fd >= 0);
	return fd;
}

/* files of tasks that live */
static void proc(void)
{
	int self = open("/proc/self/status", O_RDONLY), dir = open("/proc/self/fd", O_RDONLY | O_DIRECTORY), stat, mem, sys, task, up;
	char buf[2000], want[40];
	pid_t kid = fork();
	int n, value = 77;

	if (!kid)
		for (;;)
			pause();
	stat = proc_file(kid, "stat", O_RDONLY);
	up = proc_file(kid, "", O_RDONLY | O_DIRECTORY);
	task = proc_file(getpid(), "comm", O_RDWR);
	mem = proc_file(getpid(), "mem", O_RDWR);
	sys = open("/proc/sys/kernel/hostname", O_RDONLY);
	CHECK(self >= 0 && dir >= 0 && sys >= 0);
	CHECK(read(self, buf, 5) == 5 && lseek(stat, 3, SEEK_SET) == 3);
	wait_term();
	n = pread(self, buf, sizeof(buf) - 1, 0);
	buf[n > 0 ? n : 0] = 0;
	snprintf(want, sizeof(want), "\nPid:\t%d\n", getpid());
	CHECK(strstr(buf, want) && lseek(self, 0, SEEK_CUR) == 5 && lseek(stat, 0, SEEK_CUR) == 3);
	n = pread(stat, buf, sizeof(buf) - 1, 0);
	CHECK(n > 0 && atoi(buf) == kid);
	CHECK(pread(mem, &n, sizeof(n), (off_t)&value) == sizeof(n) && n == 77);
	CHECK(pread(sys, buf, sizeof(buf), 0) > 0);
	CHECK(faccessat(up, "status", R_OK, 0) == 0);
	CHECK(write(task, "renamed", 7) == 7 && prctl(PR_GET_NAME, buf) == 0 && !strcmp(buf, "renamed"));
	kill(kid, SIGKILL);
}

/* files of a task that has ended */
static void dead(void)
{
	pid_t kid = fork();
	int stat, dir;
	char buf[100];

	if (!kid)
		for (;;)
			pause();
	stat = proc_file(kid, "stat", O_RDONLY);
	dir = proc_file(kid, "", O_RDONLY | O_DIRECTORY);
	kill(kid, SIGKILL);
	CHECK(waitpid(kid, NULL, 0) == kid);
	wait_term();
	CHECK(pread(stat, buf, sizeof(buf), 0) < 0 && errno == ESRCH);
	CHECK(openat(dir, "stat", O_RDONLY) < 0);
}

/* Into a user namespace that maps this user only, who is not root. */
static void enter_box(void)
{
	char line[40];
	int fd;

	CHECK(setgroups(0, NULL) == 0 && setresgid(1000, 1000, 1000) == 0 && setresuid(1000, 1000, 1000) == 0);
	CHECK(prctl(PR_SET_DUMPABLE, 1) == 0 && unshare(CLONE_NEWUSER) == 0);
	for (int i = 0; i < 3; i++) {
		static const char *const file[] = { "/proc/self/setgroups", "/proc/self/gid_map", "/proc/self/uid_map" };
		int n = sprintf(line, i ? "1000 1000 1" : "deny");

		CHECK((fd = open(file[i], O_WRONLY)) >= 0 && write(fd, line, n) == n && close(fd) == 0);
	}
}

/* The root and working directory of a sandbox: a directory in /proc of a task that has ended since */
static void be_rooted(bool box, int ready)
{
	struct ucred was = { 0 }, now = { 0 };
	int dir, own = -1, pair[2];
	pid_t helper;

	if (box) { /* and there, in a directory of its own user's */
		CHECK(mkdir("own", 0700) == 0 && chown("own", 1000, 1000) == 0);
		enter_box();
		CHECK((own = open("own", O_RDONLY | O_DIRECTORY)) >= 0);
	}
	helper = fork();
	if (!helper)
		for (;;)
			pause();
	dir = proc_file(helper, "fdinfo", O_RDONLY | O_DIRECTORY);
	CHECK(fchdir(dir) == 0 && chroot(".") == 0 && chdir("/") == 0 && close(dir) == 0);
	CHECK(!box || (fchdir(own) == 0 && close(own) == 0));
	CHECK(kill(helper, SIGKILL) == 0 && waitpid(helper, NULL, 0) == helper);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 &&
	      getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &was, &(socklen_t){ sizeof(was) }) == 0);
	CHECK(write(ready, why[0] ? "-" : "+", 1) == 1 && close(ready) == 0);
	sleep_term();
	CHECK(access("/bin", F_OK) < 0 && access(".", F_OK) == (box ? 0 : -1) && kill(helper, 0) < 0);
	CHECK(getsockopt(pair[1], SOL_SOCKET, SO_PEERCRED, &now, &(socklen_t){ sizeof(now) }) == 0);
	CHECK(was.pid == getpid() && !memcmp(&was, &now, sizeof(was)));
}

/* The root and working directory of a sandbox: a directory in /proc of a task that has ended since */
static void rooted_in(bool box)
{
	char path[40], link[100] = "", now[100] = "", ok = 0;
	int st = -1, ready[2];
	pid_t kid;

	CHECK(pipe(ready) == 0);
	kid = fork();
	if (kid == 0) {
		close(ready[0]);
		be_rooted(box, ready[1]);
		_exit(!!why[0]);
	}
	close(ready[1]);
	CHECK(read(ready[0], &ok, 1) == 1 && ok == '+');
	snprintf(path, sizeof(path), "/proc/%d/root", kid);
	CHECK(readlink(path, link, sizeof(link) - 1) > 0 && strstr(link, "/fdinfo"));
	wait_term();
	CHECK(readlink(path, now, sizeof(now) - 1) > 0 && !strcmp(link, now));
	kill(kid, SIGTERM);
	CHECK(waitpid(kid, &st, 0) == kid && st == 0);
}

static void rooted(void)
{
	rooted_in(false);
}

static void boxed(void)
{
	rooted_in(true);
}

static const char *device;

static void block(void)
{
	int fd = open(device, O_RDONLY), rw = open(device, O_RDWR | O_EXCL), place = open(device, O_PATH);
	struct stat was, now;
	char buf[512], again[512];

	if (fd < 0 || rw < 0)
		exit(3);
	CHECK(pread(fd, buf, 512, 512) == 512 && lseek(fd, 1024, SEEK_SET) == 1024 && fstat(fd, &was) == 0);
	wait_term();
	CHECK(fstat(fd, &now) == 0 && S_ISBLK(now.st_mode) && now.st_rdev == was.st_rdev && lseek(fd, 0, SEEK_CUR) == 1024);
	CHECK(pread(fd, again, 512, 512) == 512 && !memcmp(buf, again, 512));
	CHECK(pwrite(rw, "written", 7, 512) == 7 && !strcmp(link_of(place), device));
}

static void tun_device(int attach)
{
	struct ifreq r = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);

	if (fd < 0)
		exit(3);
	strcpy(r.ifr_name, "odd-tun0");
	if (attach)
		CHECK(ioctl(fd, TUNSETIFF, &r) == 0);
	wait_term();
	memset(&r, 0, sizeof(r));
	if (attach)
		CHECK(ioctl(fd, TUNGETIFF, &r) == 0 && !strcmp(r.ifr_name, "odd-tun0"));
	else
		CHECK(ioctl(fd, TUNGETIFF, &r) < 0 && errno == EBADFD);
}

static void tun(void) { tun_device(0); }
static void tun_attached(void) { tun_device(1); }

/* files below a deleted directory, one of which is the working directory of a child, deleted deeper */
static void below(void)
{
	int fd, up, st;
	pid_t kid;
	char buf[200];

	CHECK(mkdir("gone", 0700) == 0 && mkdir("gone/deep", 0750) == 0);
	fd = open("gone/deep/file", O_RDWR | O_CREAT, 0600);
	up = open("gone", O_RDONLY | O_DIRECTORY);
	CHECK(write(fd, "below", 5) == 5);
	kid = fork();
	if (!kid) {
		CHECK(chdir("gone/deep") == 0);
		close(open("../../kid", O_CREAT | O_WRONLY, 0600));
		sleep_term();
		CHECK(getcwd(buf, sizeof(buf)) == NULL && errno == ENOENT);
		CHECK(open("new", O_CREAT | O_WRONLY, 0600) < 0 && errno == ENOENT);
		_exit(!!why[0]);
	}
	while (access("kid", F_OK) < 0)
		usleep(1000);
	CHECK(unlink("gone/deep/file") == 0 && rmdir("gone/deep") == 0 && rmdir("gone") == 0);
	wait_term();
	CHECK(holds(fd, 0, "below") && strstr(link_of(fd), "/gone/deep/file (deleted)"));
	CHECK(strstr(link_of(up), "/gone (deleted)") && openat(up, "x", O_CREAT | O_WRONLY, 0600) < 0);
	kill(kid, SIGTERM);
	CHECK(waitpid(kid, &st, 0) == kid && st == 0);
	CHECK(access("gone", F_OK) < 0);
}

/* ACL of a file: its owner 6, user 1000 4, group 4, mask 4, others 0 */
static const unsigned char acl[] = { 2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 0xe8, 3, 0, 0,
				     4, 0, 4, 0, 255, 255, 255, 255, 16, 0, 4, 0, 255, 255, 255, 255,
				     32, 0, 0, 0, 255, 255, 255, 255 };

static int has_attr(int fd, const char *name, const void *value, ssize_t n)
{
	char have[200];

	return fgetxattr(fd, name, have, sizeof(have)) == n && !memcmp(have, value, n);
}

/* files and directories without a name: what else their inodes hold; and a symbolic link */
static void attrs(void)
{
	const struct timespec then[2] = { { 1000000000, 123456789 }, { 1111111111, 987654321 } };
	char target[40] = "";
	int fd[3], link;

	CHECK(mkdir("dir", 0700) == 0);
	fd[0] = open("file", O_RDWR | O_CREAT, 0600);
	fd[1] = open("dir", O_RDONLY | O_DIRECTORY);
	fd[2] = open(".", O_RDWR | O_TMPFILE, 0600);
	for (int i = 0; i < 3; i++) {
		CHECK(fsetxattr(fd[i], "user.stasis", "value", 5, 0) == 0);
		CHECK(fsetxattr(fd[i], "user.empty", "", 0, 0) == 0);
		CHECK(fsetxattr(fd[i], "system.posix_acl_access", acl, sizeof(acl), 0) == 0);
		CHECK(futimens(fd[i], then) == 0);
	}
	CHECK(symlink("nowhere", "link") == 0);
	link = open("link", O_PATH | O_NOFOLLOW);
	CHECK(unlink("file") == 0 && rmdir("dir") == 0 && unlink("link") == 0);
	for (int i = 0; i < 2; i++)
		CHECK(futimens(fd[i], then) == 0);
	wait_term();
	CHECK(readlinkat(link, "", target, sizeof(target)) == 7 && !strcmp(target, "nowhere"));
	for (int i = 0; i < 3; i++) {
		struct stat st;

		CHECK(has_attr(fd[i], "user.stasis", "value", 5) && has_attr(fd[i], "user.empty", "", 0));
		CHECK(has_attr(fd[i], "system.posix_acl_access", acl, sizeof(acl)));
		CHECK(fstat(fd[i], &st) == 0 && st.st_mtim.tv_sec == 1111111111 && st.st_mtim.tv_nsec == 987654321);
		CHECK(st.st_atim.tv_sec == 1000000000 && st.st_atim.tv_nsec == 123456789);
	}
}

/* secret memory: mapped by two tasks, one of which has its descriptor; and some that nobody has mapped */
static void secret(void)
{
	int fd = syscall(SYS_memfd_secret, O_CLOEXEC), other = syscall(SYS_memfd_secret, 0), st = -1;
	char *p, *q;
	pid_t kid;

	if (fd < 0)
		exit(3);
	CHECK(ftruncate(fd, 3 * 4096) == 0 && ftruncate(other, 4096) == 0);
	p = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	q = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, other, 0);
	CHECK(p != MAP_FAILED && q != MAP_FAILED);
	strcpy(p + 2 * 4096, "a secret");
	strcpy(q, "another");
	CHECK(munmap(q, 4096) == 0);
	kid = fork();
	if (kid == 0) {
		close(fd);
		sleep_term();
		CHECK(!strcmp(p + 2 * 4096, "told by the parent") && !p[0]);
		strcpy(p, "told by the child");
		_exit(!!why[0]);
	}
	wait_term();
	CHECK(!strcmp(p + 2 * 4096, "a secret") && (fcntl(fd, F_GETFD) & FD_CLOEXEC));
	strcpy(p + 2 * 4096, "told by the parent");
	kill(kid, SIGTERM);
	CHECK(waitpid(kid, &st, 0) == kid && st == 0 && !strcmp(p, "told by the child"));
	q = mmap(NULL, 4096, PROT_READ, MAP_SHARED, other, 0);
	CHECK(q != MAP_FAILED && !strcmp(q, "another"));
	CHECK(read(other, &st, 1) < 0 && strstr(link_of(other), "/secretmem")); /* it is no common memory now */
}

static void asleep(void)
{
	sleep_term();
	_exit(7);
}

/* a program that was executed from a memfd, as container engines do with themselves */
static void executed(void)
{
	int fd = memfd_create("odd", MFD_CLOEXEC), self = open("/proc/self/exe", O_RDONLY), st = -1;
	char path[40], link[40] = "";
	ssize_t n;
	pid_t kid;

	CHECK(fd >= 0 && self >= 0);
	while ((n = sendfile(fd, self, NULL, 1 << 20)) > 0)
		;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	kid = fork();
	if (kid == 0)
		_exit(execl(path, "odd", "asleep", ".", NULL));
	close(fd);
	snprintf(path, sizeof(path), "/proc/%d/exe", kid);
	while (strcmp(link, "/memfd:odd (deleted)") && waitpid(kid, &st, WNOHANG) == 0) {
		memset(link, 0, sizeof(link));
		CHECK(readlink(path, link, sizeof(link) - 1) > 0);
	}
	wait_term();
	memset(link, 0, sizeof(link));
	CHECK(readlink(path, link, sizeof(link) - 1) > 0 && !strcmp(link, "/memfd:odd (deleted)"));
	kill(kid, SIGTERM);
	CHECK(waitpid(kid, &st, 0) == kid && WIFEXITED(st) && WEXITSTATUS(st) == 7);
}

/* files and a directory on which, or above which, something is mounted now; the working directory is among them */
static void covered(void)
{
	int fd, on, dir, other, st = -1;
	char text[40] = "";
	pid_t kid;

	CHECK(mkdir("m", 0755) == 0 && mkdir("m/sub", 0755) == 0);
	fd = open("m/sub/file", O_RDWR | O_CREAT | O_APPEND, 0600);
	on = open("single", O_RDWR | O_CREAT, 0600);
	dir = open("m", O_RDONLY | O_DIRECTORY);
	CHECK(write(fd, "below", 5) == 5 && write(on, "under", 5) == 5 && lseek(on, 2, SEEK_SET) == 2);
	kid = fork();
	if (kid == 0) {
		CHECK(chdir("m/sub") == 0 && creat("../../kid", 0600) >= 0);
		sleep_term();
		_exit(!!why[0] || access("file", F_OK) < 0);
	}
	while (access("kid", F_OK) < 0)
		usleep(1000);
	CHECK(mount("over", "m", "tmpfs", 0, NULL) == 0 && mount("/proc/version", "single", NULL, MS_BIND, NULL) == 0);
	CHECK(mkdir("m/sub", 0755) == 0);
	wait_term();
	CHECK(holds(fd, 0, "below") && write(fd, "!", 1) == 1 && holds(fd, 5, "!"));
	CHECK(read(on, text, 9) == 3 && !strcmp(text, "der"));
	other = openat(dir, "sub/file", O_RDONLY);
	CHECK(holds(other, 0, "below!") && access("m/sub/file", F_OK) < 0);
	CHECK(strstr(link_of(fd), "/m/sub/file") && strstr(link_of(on), "/single"));
	kill(kid, SIGTERM);
	CHECK(waitpid(kid, &st, 0) == kid && st == 0);
}

/* A trigger of pressure stalls: poll() waits, as long as there is one, and a second is refused. */
static void psi(void)
{
	static const char text[] = "some 500000 2000000";
	struct pollfd p = { .fd = open("/proc/pressure/memory", O_RDWR | O_NONBLOCK), .events = POLLPRI };
	int without = open("/proc/pressure/memory", O_RDWR | O_NONBLOCK);

	if (p.fd < 0 || write(p.fd, text, sizeof(text)) < 0)
		exit(3);
	wait_term();
	CHECK(poll(&p, 1, 0) >= 0 && !(p.revents & POLLERR));
	CHECK(write(p.fd, text, sizeof(text)) < 0 && errno == EBUSY);
	CHECK(write(without, text, sizeof(text)) == sizeof(text));
}

/* Sealed against writing, but for who has it mapped already */
static void future(void)
{
	int fd = memfd_create("odd", MFD_ALLOW_SEALING), seals = F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	char *p;

	CHECK(fd >= 0 && ftruncate(fd, 8192) == 0);
	p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED && fcntl(fd, F_ADD_SEALS, seals) == 0);
	strcpy(p, "before");
	wait_term();
	CHECK(!strcmp(p, "before") && strcpy(p, "after") && holds(fd, 0, "after"));
	CHECK(fcntl(fd, F_GET_SEALS) == seals && write(fd, "x", 1) < 0 && errno == EPERM);
	CHECK(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EPERM);
}

/* SIGIO for what happens in a directory */
static void dnotify(void)
{
	signal(SIGIO, SIG_IGN);
	CHECK(fcntl(open(".", O_RDONLY | O_DIRECTORY), F_NOTIFY, DN_CREATE | DN_MULTISHOT) == 0);
	wait_term();
}

int main(int argc, char **argv)
{
	static const struct judge_case cases[] = {
		{ "shm", shm, NULL }, { "links", links, NULL }, { "sparse", sparse, NULL }, { "proc", proc, NULL },
		{ "dead", dead, NULL }, { "rooted", rooted, NULL }, { "boxed", boxed, NULL }, { "block", block, NULL }, { "tun", tun, NULL }, { "below", below, NULL },
		{ "tun-attached", tun_attached, NULL }, { "attrs", attrs, NULL },
		{ "psi", psi, NULL }, { "dnotify", dnotify, NULL }, { "secret", secret, NULL }, { "asleep", asleep, NULL },
		{ "executed", executed, NULL }, { "future", future, NULL }, { "covered", covered, NULL }, { NULL, NULL, NULL },
	};

	if (judge_begin(argc, argv) < 0)
		return 2;
	device = argv[3];
	return judge_case(cases, argv[1]);
}
