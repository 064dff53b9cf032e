// SPDX-License-Identifier: Apache-2.0
/*
 * nsuser: tasks in several user namespaces, and in others that belong to those.
 * Usage: nsuser CASE DIR. DIR/ready appears when all is set up; on SIGTERM "OK" or what differs goes into DIR/verdict.
 *
 * Before and after, the first task notes who is in the same namespaces as whom, whose they are and who is around
 * them, maps and credentials; every task notes what it is allowed to do.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <grp.h>
#include <linux/nsfs.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>

#include "contain.h"
#include "judge.h"

#define TASKS 24
#define TEXT 60000

static const char *const kinds[] = { "user", "pid", "net", "ipc", "uts", "mnt", "cgroup", "time" };
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

struct row {
	volatile pid_t pid;   /* as the first task sees it; 0 free */
	volatile int done;    /* the round that it has answered */
	char probes[1000];
};
static struct shared {
	volatile int round, n;
	unsigned may[TASKS];
	struct row rows[TASKS];
} *sh;
static int me; /* row */
static void (*more_probes)(char *at, size_t n);

static void nap(void) { nanosleep(&(struct timespec){ .tv_nsec = 3000000 }, NULL); }

/* ---- what a task may do ---- */

static void put(char *to, size_t n, const char *name, long r)
{
	size_t at = strlen(to);

	snprintf(to + at, n - at, " %s=%ld", name, r < 0 ? -(long)errno : r);
}

static void probe(struct row *row)
{
	char *to = row->probes;
	size_t n = sizeof(row->probes);
	struct utsname u;
	int fd;

	to[0] = 0;
	uname(&u);
	put(to, n, "sethostname", sethostname(u.nodename, strlen(u.nodename)));
	fd = socket(AF_PACKET, SOCK_RAW, 0);
	put(to, n, "packet", fd < 0 ? -1 : 0);
	close(fd);
	fd = fsopen("tmpfs", FSOPEN_CLOEXEC);
	put(to, n, "mount", fd < 0 ? -1 : 0);
	close(fd);
	put(to, n, "getuid", getuid());
	put(to, n, "getegid", getegid());
	put(to, n, "groups", getgroups(0, NULL));
	put(to, n, "setgroups", setgroups(0, NULL) == 0 ? 0 : -1);
	put(to, n, "getpid", getpid());
	put(to, n, "getppid", me ? getppid() : 0); /* an orphan's may be another's */
	put(to, n, "kill0", kill(1, 0));
	put(to, n, "host", u.nodename[0]);
	if (more_probes)
		more_probes(to, n);
}

static void answer_rounds(void)
{
	struct row *row = &sh->rows[me];
	char name[16];

	snprintf(name, sizeof(name), "nsu-%d", me);
	prctl(PR_SET_NAME, name);
	for (;; nap()) {
		int round = sh->round;

		if (row->done == round)
			continue;
		probe(row);
		row->done = round;
	}
}

/* ---- what the first task sees ---- */

static ino_t ino_at(pid_t pid, const char *kind)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, kind);
	return stat(path, &st) < 0 ? 0 : st.st_ino;
}

static ino_t ino_by(pid_t pid, const char *kind, unsigned long request)
{
	char path[64];
	struct stat st;
	int fd, up;

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, kind);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	up = ioctl(fd, request);
	close(fd);
	if (up < 0 || fstat(up, &st) < 0)
		st.st_ino = 0;
	close(up);
	return st.st_ino;
}

/* Levels up to a user namespace that a task is in: "N of task I" */
static void put_user(char **at, pid_t pid, const char *kind)
{
	ino_t ino = ino_by(pid, kind, NS_GET_USERNS);

	for (int i = 0; i < sh->n; i++)
		if (ino && ino == ino_at(sh->rows[i].pid, "user")) {
			*at += sprintf(*at, " %s of %d's", kind, i);
			return;
		}
	*at += sprintf(*at, " %s of nobody's", kind);
}

static void put_file(char **at, pid_t pid, const char *name, const char *only)
{
	char path[64], line[600];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (!only || (strchr(line, ':') && strstr(only, strndupa(line, strchr(line, ':') - line + 1))))
			*at += sprintf(*at, "  %s: %s", name, line);
	if (f)
		fclose(f);
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Without numbers that a restore gives anew. */
static void put_mounts(char **at, pid_t pid)
{
	char path[64], line[1000], *lines[200];
	size_t n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/mountinfo", pid);
	f = fopen(path, "r");
	while (f && n < 200 && fgets(line, sizeof(line), f)) {
		char root[300], point[300], flags[100], *tail = strstr(line, " - "), *o = strstr(line, "master:");

		sscanf(line, "%*d %*d %*s %299s %299s %99s", root, point, flags);
		if (asprintf(&lines[n], "  %s %s %s%s%s%s", root, point, flags, strstr(line, "shared:") ? " shared" : "",
			     o ? " slave" : "", tail) > 0)
			n++;
	}
	if (f)
		fclose(f);
	qsort(lines, n, sizeof(lines[0]), by_text);
	for (size_t i = 0; i < n; i++) {
		*at += sprintf(*at, "%s", lines[i]);
		free(lines[i]);
	}
}

static void put_task(char **at, int i)
{
	pid_t pid = sh->rows[i].pid;
	uid_t owner = -1;
	char path[64];
	int fd;

	*at += sprintf(*at, "task %d:", i);
	for (size_t k = 0; k < KINDS; k++) {
		int same = 0;

		while (ino_at(sh->rows[same].pid, kinds[k]) != ino_at(pid, kinds[k]))
			same++;
		*at += sprintf(*at, " %s %d", kinds[k], same);
	}
	*at += sprintf(*at, "\n ");
	for (size_t k = 0; k < KINDS; k++)
		if (strcmp(kinds[k], "time") || ino_at(pid, "time") != ino_at(getpid(), "time")) /* a restore gives all one */
			put_user(at, pid, kinds[k]);
	snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
	fd = open(path, O_RDONLY);
	ioctl(fd, NS_GET_OWNER_UID, &owner);
	close(fd);
	*at += sprintf(*at, "\n  made by %d\n", (int)owner);
	put_file(at, pid, "uid_map", NULL);
	put_file(at, pid, "gid_map", NULL);
	put_file(at, pid, "setgroups", NULL);
	put_file(at, pid, "status", "Uid:Gid:Groups:NSpid:NSpgid:NSsid:CapInh:CapPrm:CapEff:CapBnd:CapAmb:NoNewPrivs:");
	if (ino_at(pid, "mnt") != ino_at(getpid(), "mnt"))
		put_mounts(at, pid);
	*at += sprintf(*at, " %s\n", sh->rows[i].probes);
}

static char *snapshot(void)
{
	char *text = calloc(1, TEXT), *at = text;

	sh->round++;
	probe(&sh->rows[0]);
	sh->rows[0].done = sh->round;
	for (int i = 0; i < sh->n; i++)
		while (sh->rows[i].pid && sh->rows[i].done != sh->round) {
			CHECK(kill(sh->rows[i].pid, 0) == 0);
			if (why[0])
				return text;
			nap();
		}
	for (int i = 0; i < sh->n; i++)
		if (sh->rows[i].pid)
			put_task(&at, i);
	return text;
}

static void save(const char *name, const char *text)
{
	FILE *f = fopen(name, "w");

	fputs(text, f);
	fclose(f);
}

/* ---- making ---- */

/* Its number as /proc here shows it, which may be another pid namespace's. */
static pid_t outer_pid(pid_t pid)
{
	int fd = syscall(SYS_pidfd_open, pid, 0), outer = 0;
	char path[64], line[100];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "Pid: %d", &outer);
	if (f)
		fclose(f);
	close(fd);
	return outer;
}

static void write_file(pid_t pid, const char *name, const char *text)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_WRONLY);
	CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

/* A child with a row of its own: it makes namespaces, waits for its maps, then goes on with then(). */
struct plan {
	uint64_t before, after;	/* to unshare, around the writing of the maps */
	const char *uid_map, *gid_map; /* NULL: none */
	bool deny;
	uid_t as, become; /* who makes it; who it is then, inside */
	void (*then)(void);
};

static void idle(void) { answer_rounds(); }

static void child_main(const struct plan *p, int told, int go)
{
	char c = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (p->as)
		CHECK(setresgid(p->as, p->as, p->as) == 0 && setresuid(p->as, p->as, p->as) == 0);
	prctl(PR_SET_DUMPABLE, 1);
	CHECK(unshare(p->before) == 0);
	CHECK(write(told, &c, 1) == 1 && read(go, &c, 1) == 1);
	if (p->become != (uid_t)-1 && p->uid_map)
		CHECK(setresgid(p->become, p->become, p->become) == 0 && setresuid(p->become, p->become, p->become) == 0);
	prctl(PR_SET_DUMPABLE, 1);
	if (p->after)
		CHECK(unshare(p->after) == 0);
	if (p->after & CLONE_NEWUTS)
		sethostname(&"abcdefgh"[me % 8], 1);
	if (why[0]) {
		save("verdict", why);
		_exit(1);
	}
	(p->then ? p->then : idle)();
	_exit(0);
}

/* The caller sees its number as the first task does. */
static pid_t child(const struct plan *p)
{
	int told[2], go[2], row = __sync_fetch_and_add(&sh->n, 1);
	char c = 0;
	pid_t pid;

	CHECK(pipe(told) == 0 && pipe(go) == 0);
	pid = fork();
	if (pid == 0) {
		me = row;
		child_main(p, told[1], go[0]);
	}
	CHECK(read(told[0], &c, 1) == 1);
	pid = outer_pid(pid);
	if (p->deny)
		write_file(pid, "setgroups", "deny");
	if (p->uid_map)
		write_file(pid, "uid_map", p->uid_map);
	if (p->gid_map)
		write_file(pid, "gid_map", p->gid_map);
	sh->rows[row].pid = pid;
	CHECK(write(go[1], &c, 1) == 1);
	close(told[0]), close(told[1]), close(go[0]), close(go[1]);
	return pid;
}

/* ---- cases ---- */

static void second_level(void)
{
	child(&(struct plan){ .before = CLONE_NEWUSER, .uid_map = "0 5 1\n7 10 20\n", .gid_map = "0 5 1\n7 10 20\n",
			      .after = CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWIPC, .become = 7 });
	answer_rounds();
}

/* Maps of all sorts; two levels; another task in the same namespace; what belongs to which. */
static void levels(void)
{
	child(&(struct plan){ .before = CLONE_NEWUSER, .uid_map = "0 10000 1000\n", .gid_map = "0 20000 1000\n",
			      .after = CLONE_NEWUTS | CLONE_NEWNET, .then = second_level });
	child(&(struct plan){ .before = CLONE_NEWUSER | CLONE_NEWIPC, .uid_map = "0 1000 1\n", .gid_map = "0 1000 1\n",
			      .deny = true, .as = 1000, .become = -1 });
	child(&(struct plan){ .before = CLONE_NEWUSER, .as = 1000, .become = -1 });
	child(&(struct plan){ .before = CLONE_NEWUTS, .become = -1 });
	while (!sh->rows[5].pid && !why[0])
		nap();
}

static void *thread_main(void *arg)
{
	volatile pid_t *tid = arg;

	tid[0] = gettid();
	for (;; nap())
		tid[1] = gettid();
	return NULL;
}

static struct { volatile pid_t tid[2]; } threads[3];

static void thread_probes(char *to, size_t n)
{
	for (int i = 0; i < 3; i++)
		put(to, n, "tid", threads[i].tid[0] == threads[i].tid[1] ? threads[i].tid[1] : -1);
}

static void with_threads(void)
{
	pthread_t t;

	for (int i = 0; i < 3; i++)
		pthread_create(&t, NULL, thread_main, (void *)threads[i].tid);
	for (int i = 0; i < 3; i++)
		while (!threads[i].tid[1])
			nap();
	more_probes = thread_probes;
	answer_rounds();
}

/* Born without ado, where its parent has its children born. */
static void sprout(void (*then)(void))
{
	int row = __sync_fetch_and_add(&sh->n, 1);

	if (fork())
		return;
	me = row;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	then();
	_exit(0);
}

static void leaf(void) { answer_rounds(); }

static void leader(void)
{
	setsid();
	sprout(leaf);
	sprout(with_threads);
	answer_rounds();
}

/* unshare -Urp: itself outside; its first child is the first there, others follow. */
static void pid_maker(void)
{
	sprout(leader);
	sprout(leaf);
	answer_rounds();
}

/* What unshare -Urp does there once more. */
static void pid_inner(void)
{
	child(&(struct plan){ .before = CLONE_NEWUSER | CLONE_NEWPID, .uid_map = "0 0 10\n", .gid_map = "0 0 10\n",
			      .then = pid_maker });
	answer_rounds();
}

/* A clone of who stays where it was. */
static void cloned(uint64_t flags, void (*then)(void))
{
	struct { uint64_t v[11]; } ca = { { flags, 0, 0, 0, SIGCHLD } };
	int row = __sync_fetch_and_add(&sh->n, 1), go[2];
	char c = 0;
	pid_t pid;

	CHECK(pipe(go) == 0);
	pid = syscall(SYS_clone3, &ca, sizeof(ca));
	if (pid == 0) {
		me = row;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (read(go[0], &c, 1) == 1 && setresgid(0, 0, 0) == 0 && setresuid(0, 0, 0) == 0 &&
		    prctl(PR_SET_DUMPABLE, 1) == 0)
			then();
		_exit(1);
	}
	pid = outer_pid(pid);
	write_file(pid, "uid_map", "0 10000 100\n");
	write_file(pid, "gid_map", "0 10000 100\n");
	CHECK(write(go[1], &c, 1) == 1);
	close(go[0]), close(go[1]);
}

/* Numbers of who is in a pid namespace are seen from outside; each bears its row as name. */
static void rows_find(int n)
{
	for (int found = 0; found < n && !why[0]; nap()) {
		DIR *d = opendir("/proc");

		found = 0;
		for (struct dirent *e; (e = readdir(d));) {
			char path[300], comm[32] = "";
			FILE *f;
			int row;

			snprintf(path, sizeof(path), "/proc/%s/comm", e->d_name);
			f = atoi(e->d_name) ? fopen(path, "r") : NULL;
			if (f && fgets(comm, sizeof(comm), f) && sscanf(comm, "nsu-%d", &row) == 1) {
				sh->rows[row].pid = atoi(e->d_name);
				found++;
			}
			if (f)
				fclose(f);
		}
		closedir(d);
	}
}

static void pids(void)
{
	child(&(struct plan){ .before = CLONE_NEWUSER | CLONE_NEWPID, .uid_map = "0 10000 1000\n",
			      .gid_map = "0 10000 1000\n", .then = pid_maker });
	cloned(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET, leader);
	cloned(CLONE_NEWUSER | CLONE_NEWPID, pid_inner);
	rows_find(14);
}

/* ---- mounts ---- */

/* What is locked shows in what may be taken off, in a copy made for that. */
static void mount_probes(char *to, size_t n)
{
	static const char *const places[] = { "/own", "/mnt/deep", "/mnt", "/ro/deep", "/ro", "/tmp", "/proc" };
	pid_t pid = fork();

	if (pid == 0) {
		unsigned may = unshare(CLONE_NEWNS) < 0 ? 1 << 20 : 0;

		if (mount(NULL, "/ro", NULL, MS_REMOUNT | MS_BIND, NULL) == 0)
			may |= 1 << 19;
		for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
			if (umount2(places[i], MNT_DETACH) == 0)
				may |= 1 << i;
		sh->may[me] = may;
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	put(to, n, "may", sh->may[me]);
}

static void mount_leaf(void)
{
	more_probes = mount_probes;
	answer_rounds();
}

/* unshare -Urm, then something of its own. */
static void mount_own(void)
{
	int fd;

	CHECK(mount("own", "/own", "tmpfs", MS_NOSUID, "mode=711") == 0);
	fd = open("/own/file", O_CREAT | O_WRONLY, 0640);
	CHECK(fchown(fd, 0, 3) == 0);
	fd = open("/own/open", O_CREAT | O_RDWR, 0600);
	CHECK(write(fd, "x", 1) == 1 && unlink("/own/open") == 0);
	CHECK(mkdir("/own/bind", 0700) == 0 && mount("/mnt", "/own/bind", NULL, MS_BIND | MS_REC, NULL) == 0);
	sprout(mount_leaf);
	mount_leaf();
}

/* A root of its own, as bwrap makes: a tmpfs of it, what is bound there, a new proc. */
static void mount_root(void)
{
	CHECK(mount("root", "/tmp", "tmpfs", 0, NULL) == 0 && chdir("/tmp") == 0);
	CHECK(mkdir("ro", 0755) == 0 && mkdir("proc", 0755) == 0 && mkdir("own", 0755) == 0 && mkdir("tmp", 0755) == 0);
	CHECK(mount("/mnt", "ro", NULL, MS_BIND | MS_REC, NULL) == 0);
	CHECK(mount(NULL, "ro", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) == 0);
	CHECK(mount("proc", "proc", "proc", MS_NOSUID, NULL) == 0);
	CHECK(mount("/own", "own", NULL, MS_BIND, NULL) == 0);
	CHECK(syscall(SYS_pivot_root, ".", ".") == 0 && umount2(".", MNT_DETACH) == 0 && chdir("/") == 0);
	if (why[0])
		fprintf(stderr, "%s\n", why);
	sprout(mount_leaf);
	mount_leaf();
}

static void mount_maker(void)
{
	sprout(mount_root);
	answer_rounds();
}

static void mounts(void)
{
	CHECK(mount("m", "/mnt", "tmpfs", 0, NULL) == 0 && mkdir("/mnt/deep", 0755) == 0);
	CHECK(mount("deep", "/mnt/deep", "tmpfs", MS_NOEXEC, NULL) == 0 && mkdir("/mnt/deep/dir", 0755) == 0);
	CHECK(mount("ro", "/ro", "tmpfs", 0, NULL) == 0 && mkdir("/ro/deep", 0755) == 0);
	CHECK(mount("deep", "/ro/deep", "tmpfs", 0, NULL) == 0);
	CHECK(mount(NULL, "/ro", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) == 0);
	CHECK(mount(NULL, "/mnt", NULL, MS_SHARED, NULL) == 0);
	child(&(struct plan){ .before = CLONE_NEWUSER, .uid_map = "0 10000 1000\n", .gid_map = "0 10000 1000\n",
			      .after = CLONE_NEWNS, .then = mount_own });
	child(&(struct plan){ .before = CLONE_NEWUSER | CLONE_NEWPID, .uid_map = "0 0 10\n", .gid_map = "0 0 10\n",
			      .after = CLONE_NEWNS, .then = mount_maker });
	rows_find(5);
}

/* ---- cgroup and time namespaces ---- */

static long boot(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return t.tv_sec / 20000;
}

/* Clocks, also those of a child; where it is in its cgroup namespace. */
static void other_probes(char *to, size_t n)
{
	char line[300];
	FILE *f = fopen("/proc/self/cgroup", "r");
	pid_t pid = fork();

	if (pid == 0) {
		sh->may[me] = boot();
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	put(to, n, "boot", boot());
	put(to, n, "boot of children", sh->may[me]);
	while (f && fgets(line, sizeof(line), f))
		if (strstr(line, ":pids:"))
			snprintf(to + strlen(to), n - strlen(to), " %s", line);
	if (f)
		fclose(f);
}

static void other_leaf(void)
{
	more_probes = other_probes;
	answer_rounds();
}

static void to_cgroup(const char *below)
{
	char top[200] = "", path[300];
	FILE *f = fopen("cgroup", "r");

	if (!f || !fgets(top, sizeof(top), f))
		return;
	fclose(f);
	snprintf(path, sizeof(path), "%s%s/cgroup.procs", top, below);
	f = fopen(path, "w");
	CHECK(f && fprintf(f, "0") > 0 && fclose(f) == 0);
}

static void begin_cgroup(void)
{
	to_cgroup("/a");
	CHECK(unshare(CLONE_NEWCGROUP) == 0);
	to_cgroup("/a/b");
	sprout(other_leaf);
	other_leaf();
}

static void begin_time(void)
{
	CHECK(unshare(CLONE_NEWTIME) == 0);
	write_file(getpid(), "timens_offsets", "boottime 100000 0\nmonotonic 100000 0\n");
	sprout(other_leaf);
	other_leaf();
}

static void idle_time(void)
{
	CHECK(unshare(CLONE_NEWTIME) == 0);
	write_file(getpid(), "timens_offsets", "boottime 200000 0\n");
	other_leaf();
}

static void others(void)
{
	child(&(struct plan){ .become = -1, .then = begin_cgroup });
	child(&(struct plan){ .become = -1, .then = begin_time });
	child(&(struct plan){ .before = CLONE_NEWUSER, .uid_map = "0 10000 1000\n", .gid_map = "0 20000 1000\n",
			      .then = idle_time });
	rows_find(5);
}

int main(int argc, char **argv)
{
	static const struct { const char *name; void (*run)(void); } cases[] = {
		{ "levels", levels },
		{ "pids", pids },
		{ "mounts", mounts },
		{ "others", others },
	};
	char *before, *after;

	if (argc == 6 && !strcmp(argv[1], "-c"))
		return contain("/bin/nsuser", CLONE_NEWCGROUP, argv + 2);
	if (judge_begin(argc, argv) < 0)
		return 2;
	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	sh->n = 1;
	sh->rows[0].pid = getpid();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (!strcmp(cases[i].name, argv[1]))
			cases[i].run();
	before = snapshot();
	save("before", before);
	if (why[0])
		finish();
	wait_term();
	after = snapshot();
	save("after", after);
	if (strcmp(before, after) && !why[0]) {
		size_t at = 0;

		while (before[at] == after[at])
			at++;
		while (at && before[at - 1] != '\n')
			at--;
		snprintf(why, sizeof(why), "was: %.*s\nis:  %.*s", (int)strcspn(before + at, "\n"), before + at,
			 (int)strcspn(after + at, "\n"), after + at);
	}
	finish();
}
