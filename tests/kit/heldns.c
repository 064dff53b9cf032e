// SPDX-License-Identifier: Apache-2.0
/*
 * heldns: namespaces that no task is in, and mounts of what was deleted. Usage: heldns CASE DIR (judge.h).
 * Cases: ipc, mnt, time, uts, pid, cgroup (held by descriptor HELD), shown (mounts of them, no descriptors),
 * open (of the namespace that "other" leads to), outside (a task's cgroup namespace begins below its cgroup), users (user namespaces, in each other, without maps, owners of others), deleted, detached (mounts).
 */
#define _GNU_SOURCE
#include "judge.h"

#include <linux/nsfs.h>
#include <mqueue.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

#define HELD 50
#define AHEAD 7000 /* seconds */

struct message {
	long type;
	char text[8];
};

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0644);

	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static int holds(const char *path, const char *text)
{
	char got[64] = "";
	int fd = open(path, O_RDONLY);

	if (fd < 0 || read(fd, got, sizeof(got) - 1) < 0)
		got[0] = 0;
	close(fd);
	return !strcmp(got, text);
}

/* ---- what is in them ---- */

static void ipc_fill(void)
{
	struct mq_attr a = { .mq_maxmsg = 4, .mq_msgsize = 8 };
	struct message m = { 3, "sysv" };
	int id = msgget(77, IPC_CREAT | 0640);
	mqd_t q = mq_open("/held", O_CREAT | O_RDWR, 0600, &a);

	CHECK(id >= 0 && msgsnd(id, &m, sizeof(m.text), 0) == 0);
	CHECK(q >= 0 && mq_send(q, "posix", 6, 1) == 0);
	mq_close(q);
}

static void ipc_judge(void)
{
	struct message m;
	char text[8];
	mqd_t q = mq_open("/held", O_RDONLY | O_NONBLOCK);

	CHECK(msgrcv(msgget(77, 0), &m, sizeof(m.text), 0, IPC_NOWAIT) == sizeof(m.text) && !strcmp(m.text, "sysv"));
	CHECK(q >= 0 && mq_receive(q, text, sizeof(text), NULL) == 6 && !strcmp(text, "posix"));
}

static void mnt_fill(void)
{
	CHECK(mount("held", "m", "tmpfs", 0, "mode=700") == 0);
	put("m/file", "held");
	CHECK(mount("m", "n", NULL, MS_BIND, NULL) == 0);
}

static void mnt_judge(void)
{
	CHECK(holds("m/file", "held") && holds("n/file", "held"));
	CHECK(unlink("n/file") == 0 && access("m/file", F_OK) < 0);
}

static void time_fill(void)
{
	char text[64];

	snprintf(text, sizeof(text), "monotonic %d 0\n", AHEAD); /* as the first namespace counts, like our own */
	put("/proc/self/timens_offsets", text);
}

static struct timespec before;
static long ours; /* how far we are ahead ourselves */

static void time_judge(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	CHECK(now.tv_sec - before.tv_sec >= AHEAD - ours - 1 && now.tv_sec - before.tv_sec < AHEAD - ours + 60);
}

static long ahead(void)
{
	FILE *f = fopen("/proc/self/timens_offsets", "r");
	long sec = 0;

	if (f && fscanf(f, "monotonic %ld", &sec) != 1)
		sec = 0;
	if (f)
		fclose(f);
	return sec;
}

static pid_t inner; /* the first task of a pid namespace */
static int pid_held;

static void pid_fill(void)
{
	inner = fork();
	if (inner == 0)
		for (;;)
			pause();
}

static ino_t ino_of(int fd)
{
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 ? st.st_ino : 0;
}

/* Nobody is born there any more. */
static void pid_judge(void)
{
	int own = open("/proc/self/ns/pid", O_RDONLY), user = open("/proc/self/ns/user", O_RDONLY);

	CHECK(ino_of(ioctl(pid_held, NS_GET_PARENT)) == ino_of(own) && ino_of(pid_held) != ino_of(own));
	CHECK(ino_of(ioctl(pid_held, NS_GET_USERNS)) == ino_of(user));
	CHECK(fork() < 0 && errno == ENOMEM);
}

static void nothing(void) {}

/* To the directory below the one that the file "cgroup" names, if there is one. */
static int to_cgroup(const char *below)
{
	char top[200] = "", path[300];
	FILE *f = fopen("cgroup", "r");
	int fd;

	if (!f)
		return 0;
	CHECK(fgets(top, sizeof(top), f));
	fclose(f);
	snprintf(path, sizeof(path), "%s%s/cgroup.procs", top, below);
	fd = open(path, O_WRONLY);
	CHECK(fd >= 0 && write(fd, "0", 1) == 1);
	close(fd);
	return 1;
}

static void cgroup_at(void) { to_cgroup("/a"); }

/* Where it begins; whose it is. */
static void cgroup_judge(void)
{
	char line[300];
	int there = 0, owner = ioctl(open("/proc/self/ns/cgroup", O_RDONLY), NS_GET_USERNS);
	struct stat one, two;
	FILE *f;

	CHECK(fstat(owner, &one) == 0 && stat("/proc/self/ns/user", &two) == 0 && one.st_ino == two.st_ino);
	if (!to_cgroup("/a/b"))
		return;
	f = fopen("/proc/self/cgroup", "r");
	while (fgets(line, sizeof(line), f))
		there |= strstr(line, ":pids:/b\n") != NULL;
	CHECK(there);
	fclose(f);
}

static void uts_fill(void) { CHECK(sethostname("held", 4) == 0); }

static void uts_judge(void)
{
	char name[64];

	CHECK(gethostname(name, sizeof(name)) == 0 && !strcmp(name, "held"));
}

static const struct sort {
	const char *name, *made; /* below /proc/self/ns, of who made it */
	int flag;
	void (*fill)(void), (*judge)(void), (*before)(void);
} sorts[] = {
	{ "ipc", "ipc", CLONE_NEWIPC, ipc_fill, ipc_judge, NULL },
	{ "mnt", "mnt", CLONE_NEWNS, mnt_fill, mnt_judge, NULL },
	{ "time", "time_for_children", CLONE_NEWTIME, time_fill, time_judge, NULL },
	{ "uts", "uts", CLONE_NEWUTS, uts_fill, uts_judge, NULL },
	{ "user", "user", CLONE_NEWUSER, nothing, nothing, NULL },
	{ "cgroup", "cgroup", CLONE_NEWCGROUP, nothing, cgroup_judge, cgroup_at },
	{ "pid", "pid_for_children", CLONE_NEWPID, pid_fill, pid_judge, NULL },
};
#define SORTS (sizeof(sorts) / sizeof(sorts[0]))

static const char *dir;

/* A mount may show younger mnt namespaces only; of which age they are is not told apart within 4096 (Linux 6.18). */
static void grow_older(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
	if (fork() == 0) {
		for (int i = 0; i < 4096; i++)
			unshare(CLONE_NEWUTS);
		_exit(0);
	}
	wait(NULL);
}

/* By a child, which is gone then. */
static void make(const struct sort *t)
{
	int up[2], down[2], status, fd;
	char path[64], c;
	pid_t kid;

	CHECK(pipe(up) == 0 && pipe(down) == 0);
	kid = fork();
	if (kid == 0) {
		if (t->before)
			t->before();
		if (unshare(t->flag) < 0)
			_exit(errno == EINVAL ? 3 : 1);
		t->fill();
		CHECK(write(up[1], "x", 1) == 1 && read(down[0], &c, 1) == 1);
		if (inner > 0)
			CHECK(kill(inner, SIGKILL) == 0 && waitpid(inner, NULL, 0) == inner);
		_exit(why[0] != 0);
	}
	close(up[1]);
	if (read(up[0], &c, 1) == 1) {
		snprintf(path, sizeof(path), "/proc/%d/ns/%s", kid, t->made);
		fd = open(path, O_RDONLY);
		CHECK(dup2(fd, HELD) == HELD && write(down[1], "x", 1) == 1);
		close(fd);
	}
	CHECK(waitpid(kid, &status, 0) == kid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 3)
		exit(3);
	CHECK(status == 0);
	close(up[0]), close(down[0]), close(down[1]);
}

static void judge(const struct sort *t, int fd)
{
	int status;
	pid_t kid = fork();

	if (kid == 0) {
		clock_gettime(CLOCK_MONOTONIC, &before);
		pid_held = fd;
		CHECK(setns(fd, t->flag) == 0 && chdir(dir) == 0);
		t->judge();
		_exit(why[0] != 0);
	}
	CHECK(waitpid(kid, &status, 0) == kid && status == 0);
}

static void held(const struct sort *t)
{
	make(t);
	wait_term();
	judge(t, HELD);
	CHECK(!holds("m/file", "held"));
}

/* A child whose cgroup namespace begins below where it stands. */
static void outside(void)
{
	const struct sort *t = sorts;
	int up[2], status, fd;
	char c, path[64];
	pid_t kid;

	while (strcmp(t->name, "cgroup"))
		t++;
	CHECK(pipe(up) == 0);
	kid = fork();
	if (kid == 0) {
		t->before();
		CHECK(unshare(CLONE_NEWCGROUP) == 0 && to_cgroup("") && write(up[1], "x", 1) == 1);
		while (!why[0])
			pause();
		_exit(1);
	}
	CHECK(read(up[0], &c, 1) == 1);
	wait_term();
	snprintf(path, sizeof(path), "/proc/%d/ns/cgroup", kid);
	fd = open(path, O_RDONLY);
	judge(t, fd);
	CHECK(kill(kid, SIGKILL) == 0 && waitpid(kid, &status, 0) == kid && WIFSIGNALED(status));
}

/* Mounts that show them, one of them twice, and one of our own. */
static void shown(void)
{
	struct stat one, two;
	char name[16];

	grow_older();
	for (size_t i = 0; i < SORTS; i++) {
		make(&sorts[i]);
		snprintf(name, sizeof(name), "ns.%s", sorts[i].name);
		put(name, "");
		if (mount("/proc/self/fd/50", name, NULL, MS_BIND, NULL) < 0 && !why[0])
			snprintf(why, sizeof(why), "%s: %s", name, strerror(errno));
	}
	close(HELD);
	put("ns.again", "");
	put("ns.own", "");
	CHECK(mount("ns.ipc", "ns.again", NULL, MS_BIND, NULL) == 0);
	CHECK(mount("/proc/self/ns/uts", "ns.own", NULL, MS_BIND, NULL) == 0);
	wait_term();
	for (size_t i = 0; i < SORTS; i++) {
		int fd;

		snprintf(name, sizeof(name), "ns.%s", sorts[i].name);
		fd = open(name, O_RDONLY);
		CHECK(fd >= 0);
		judge(&sorts[i], fd);
		close(fd);
	}
	CHECK(stat("ns.ipc", &one) == 0 && stat("ns.again", &two) == 0 && one.st_ino == two.st_ino);
	CHECK(stat("/proc/self/ns/uts", &one) == 0 && stat("ns.own", &two) == 0 && one.st_ino == two.st_ino);
}

/* ---- user namespaces ---- */

#define USERS 3

/* A child of user 1000 goes into new user namespaces, one in the other, and shows one of its namespaces. */
static int user_make(int depth, bool maps, int more, const char *show)
{
	int up[2], down[2], fd, status;
	char path[64], c;
	pid_t kid;

	CHECK(pipe(up) == 0 && pipe(down) == 0);
	kid = fork();
	if (kid == 0) {
		CHECK(setresgid(1000, 1000, 1000) == 0 && setresuid(1000, 1000, 1000) == 0);
		CHECK(unshare(CLONE_NEWUSER | more) == 0 && prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
		CHECK(write(up[1], "x", 1) == 1 && read(down[0], &c, 1) == 1);
		for (int i = 1; i < depth; i++) {
			CHECK(setresgid(3, 3, 3) == 0 && setresuid(2, 2, 2) == 0 && unshare(CLONE_NEWUSER) == 0);
			CHECK(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
			put("/proc/self/setgroups", "deny");
			put("/proc/self/uid_map", "7 2 1\n");
			put("/proc/self/gid_map", "8 3 1\n");
		}
		CHECK(write(up[1], "x", 1) == 1 && read(down[0], &c, 1) == 1);
		_exit(why[0] != 0);
	}
	CHECK(read(up[0], &c, 1) == 1);
	for (int i = 0; maps && i < 2; i++) {
		snprintf(path, sizeof(path), "/proc/%d/%s", kid, i ? "gid_map" : "uid_map");
		put(path, "0 1000 1\n1 2000 10\n");
	}
	CHECK(write(down[1], "x", 1) == 1 && read(up[0], &c, 1) == 1);
	snprintf(path, sizeof(path), "/proc/%d/ns/%s", kid, show);
	fd = open(path, O_RDONLY);
	CHECK(fd >= 0 && write(down[1], "x", 1) == 1);
	CHECK(waitpid(kid, &status, 0) == kid && status == 0);
	close(up[0]), close(up[1]), close(down[0]), close(down[1]);
	return fd;
}

static void say(int to, const char *path)
{
	char text[512];
	int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, text, sizeof(text));

	CHECK(n >= 0 && write(to, text, n) == n);
	close(fd);
}

/* Maps as seen inside, who made it; and those around it. */
static void user_look(int fd, FILE *to)
{
	int own = open("/proc/self/ns/user", O_RDONLY), way[2], status;
	uid_t owner = 0;
	char text[1600];
	ssize_t n;
	pid_t kid;

	if (ino_of(fd) != ino_of(own)) {
		CHECK(pipe(way) == 0 && ioctl(fd, NS_GET_OWNER_UID, &owner) == 0);
		kid = fork();
		if (kid == 0) {
			CHECK(setns(fd, CLONE_NEWUSER) == 0);
			say(way[1], "/proc/self/uid_map");
			say(way[1], "/proc/self/gid_map");
			say(way[1], "/proc/self/setgroups");
			_exit(why[0] != 0);
		}
		close(way[1]);
		fprintf(to, "made by %u\n", owner);
		while ((n = read(way[0], text, sizeof(text))) > 0)
			fwrite(text, n, 1, to);
		CHECK(waitpid(kid, &status, 0) == kid && status == 0);
		user_look(ioctl(fd, NS_GET_PARENT), to);
		close(way[0]);
	}
	close(own);
}

static char *users_look(const int *fds)
{
	char *text = NULL;
	size_t n;
	FILE *to = open_memstream(&text, &n);

	for (int i = 0; i < USERS; i++) {
		bool user = ioctl(fds[i], NS_GET_NSTYPE) == CLONE_NEWUSER;

		fprintf(to, "%d:\n", i);
		user_look(user ? fds[i] : ioctl(fds[i], NS_GET_USERNS), to);
	}
	fclose(to);
	return text;
}

static void users(void)
{
	int fds[USERS] = {
		user_make(2, true, 0, "user"), /* the one around it is held by it alone */
		user_make(1, false, 0, "user"),
		user_make(1, true, CLONE_NEWUTS, "uts"), /* its owner is held by it alone */
	};
	char *before = users_look(fds), *after;

	CHECK(strstr(before, "7          2          1") && strstr(before, "deny") && strstr(before, "made by 2001\n"));
	wait_term();
	after = users_look(fds);
	if (strcmp(before, after) && !why[0])
		snprintf(why, sizeof(why), "%s", after);
}

/* ---- mounts ---- */

/* Open through the mounts, too, and somebody's directory. */
static void deleted(void)
{
	struct stat one, two;
	int file, at;

	put("gone", "hello");
	put("f", "");
	CHECK(mkdir("gone.d", 0711) == 0);
	CHECK(mount("gone", "f", NULL, MS_BIND, NULL) == 0 && mount("gone.d", "m", NULL, MS_BIND, NULL) == 0);
	CHECK(unlink("gone") == 0 && rmdir("gone.d") == 0);
	file = open("f", O_RDWR);
	at = open("m", O_RDONLY | O_DIRECTORY);
	CHECK(file >= 0 && at >= 0 && lseek(file, 5, SEEK_SET) == 5 && chdir("m") == 0);
	close(openat(AT_FDCWD, "../ready", O_CREAT | O_WRONLY, 0600));
	sleep_term();
	CHECK(stat(".", &one) == 0 && fstat(at, &two) == 0 && one.st_ino == two.st_ino && one.st_dev == two.st_dev);
	CHECK(chdir(dir) == 0 && stat("m", &two) == 0 && one.st_ino == two.st_ino && (two.st_mode & 07777) == 0711);
	CHECK(write(file, " there", 6) == 6 && holds("f", "hello there"));
	CHECK(access("gone", F_OK) < 0 && access("gone.d", F_OK) < 0);
}

static int tree_of(const char *path)
{
	return open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | AT_RECURSIVE);
}

/* With something mounted on it; one of a directory of ours; a new one. */
static void detached(void)
{
	int fs = fsopen("tmpfs", 0), of_m, of_dir, fresh, same;

	CHECK(mkdir("dir", 0755) == 0 && mount("t", "m", "tmpfs", 0, NULL) == 0 && mkdir("m/x", 0755) == 0);
	CHECK(mount("u", "m/x", "tmpfs", 0, NULL) == 0);
	put("m/x/file", "below");
	put("dir/file", "dir");
	of_m = tree_of("m");
	of_dir = tree_of("dir");
	CHECK(fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0);
	fresh = fsmount(fs, 0, 0);
	CHECK(of_m >= 0 && of_dir >= 0 && fresh >= 0);
	CHECK(mkdirat(fresh, "made", 0700) == 0);
	CHECK(umount("m/x") == 0 && umount("m") == 0);
	close(fs);
	same = dup(of_m);
	wait_term();
	CHECK(faccessat(same, "x/file", F_OK, 0) == 0 && faccessat(of_dir, "file", F_OK, 0) == 0);
	CHECK(unlinkat(of_dir, "file", 0) == 0 && access("dir/file", F_OK) < 0);
	CHECK(move_mount(of_m, "", AT_FDCWD, "m", MOVE_MOUNT_F_EMPTY_PATH) == 0 && holds("m/x/file", "below"));
	CHECK(move_mount(fresh, "", AT_FDCWD, "n", MOVE_MOUNT_F_EMPTY_PATH) == 0 && access("n/made", F_OK) == 0);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (judge_begin(argc, argv) < 0)
		return 1;
	dir = argv[2];
	ours = ahead();
	mkdir("m", 0700);
	mkdir("n", 0700);
	for (size_t i = 0; i < SORTS; i++)
		if (!strcmp(what, sorts[i].name))
			held(&sorts[i]);
	if (!strcmp(what, "shown"))
		shown();
	if (!strcmp(what, "open")) {
		CHECK(open("other", O_RDONLY) >= 0);
		wait_term();
	}
	if (!strcmp(what, "outside"))
		outside();
	if (!strcmp(what, "users"))
		users();
	if (!strcmp(what, "deleted"))
		deleted();
	if (!strcmp(what, "detached"))
		detached();
	finish();
	return 0;
}
