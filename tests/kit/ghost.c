// SPDX-License-Identifier: Apache-2.0
/*
 * ghost: files in use that have no name any more, and fifos, checked by the program that has them.
 * Usage: ghost WHAT DIR. DIR/ready appears when all is set up; on SIGTERM it writes "OK" or "FAIL why"
 * into DIR/verdict.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define BIG (64 << 20)

static volatile sig_atomic_t got_term;
static char why[300];
static const char *dir;

static void on_term(int sig)
{
	got_term = 1;
}

static void put(const char *name, const char *text)
{
	char to[4096], temp[4096];
	int fd;

	snprintf(to, sizeof(to), "%s/%s", dir, name);
	snprintf(temp, sizeof(temp), "%s/verdict.tmp", dir);
	fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		_exit(98);
	close(fd);
	if (rename(temp, to) < 0)
		_exit(97);
}

static void check(int ok, const char *fmt, ...)
{
	va_list ap;

	if (ok || why[0])
		return;
	va_start(ap, fmt);
	vsnprintf(why, sizeof(why) - 20, fmt, ap);
	va_end(ap);
	snprintf(why + strlen(why), 20, " (errno %d)", errno);
}

static int must(int r, const char *what)
{
	if (r < 0) {
		fprintf(stderr, "ghost: %s: %m\n", what);
		exit(96);
	}
	return r;
}

static void wait_term(void)
{
	put("ready", "1\n");
	while (!got_term)
		usleep(1000);
}

static int make(const char *name, int flags, mode_t mode, const char *text)
{
	int fd = must(open(name, flags | O_CREAT, mode), name);

	must(write(fd, text, strlen(text)), "write");
	return fd;
}

static int holds(int fd, off_t at, const char *text)
{
	char buf[100];
	ssize_t n = strlen(text);

	return pread(fd, buf, n, at) == n && !memcmp(buf, text, n);
}

static const char *shown(int fd)
{
	static char path[64], buf[4096];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, buf, sizeof(buf) - 1);
	buf[n > 0 ? n : 0] = 0;
	return strrchr(buf, '/') ? strrchr(buf, '/') + 1 : buf;
}

static void do_files(void)
{
	struct timespec t[2] = { { 1000000000, 0 }, { 1100000000, 0 } };
	int small = make("small", O_RDWR, 0604, "small ghost"), again = must(open("small", O_RDONLY), "open");
	int place = must(open("small", O_PATH), "O_PATH");
	int big = make("big", O_RDWR, 0600, "begin"), log = make("log", O_WRONLY | O_APPEND, 0644, "line\n");
	int tmp = must(open(".", O_RDWR | O_TMPFILE, 0640), "O_TMPFILE"), map = make("map", O_RDWR, 0644, "map");
	int odd = make("odd (deleted)", O_RDWR, 0644, "odd"), full = make("full", O_RDWR, 0600, "");
	int old = make("again", O_RDWR, 0644, "the old one");
	char *shared, *private, text[20000];
	struct stat st, st2;

	lseek(small, 4, SEEK_SET);
	must(fchown(small, 111, 222), "chown");
	must(fchmod(small, 04604), "chmod");
	must(futimens(small, t), "times");
	must(pwrite(big, "middle", 6, BIG / 2), "pwrite");
	must(ftruncate(big, BIG), "truncate");
	must(write(tmp, "tmpfile", 7), "write");
	memset(text, 'x', sizeof(text));
	must(write(full, text, sizeof(text)), "write");
	must(ftruncate(map, 3 * 4096), "truncate");
	shared = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
	private = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, map, 4096);
	strcpy(shared + 5000, "shared");
	strcpy(private + 4096, "private");
	close(map);
	unlink("small"), unlink("big"), unlink("log"), unlink("map"), unlink("full"), unlink("again");
	unlink("odd (deleted)");
	close(make("again", O_RDWR, 0600, "the new one")); /* a name that another file has now */
	odd = (close(odd), make("odd (deleted)", O_RDWR, 0644, "odd")); /* a name that looks like none */
	wait_term();
	check(lseek(small, 0, SEEK_CUR) == 4 && holds(small, 0, "small ghost") && holds(again, 6, "ghost"), "small");
	check(!fstat(small, &st) && !fstat(again, &st2) && st.st_ino == st2.st_ino && st.st_nlink == 0, "one inode");
	check(st.st_uid == 111 && st.st_gid == 222 && (st.st_mode & 07777) == 04604 && st.st_mtim.tv_sec == 1100000000,
	      "small: owner %d, mode %o, time", (int)st.st_uid, st.st_mode);
	check(!fstat(place, &st2) && st2.st_ino == st.st_ino && (fcntl(place, F_GETFL) & O_PATH), "O_PATH");
	check(!strcmp(shown(small), "small (deleted)"), "small is shown as %s", shown(small));
	check(!fstat(big, &st) && st.st_size == BIG && st.st_blocks < 2000, "big: %ld blocks", (long)st.st_blocks);
	check(holds(big, 0, "begin") && holds(big, BIG / 2, "middle"), "big: contents");
	check(!fstat(full, &st) && st.st_size == 20000 && holds(full, 19990, "xxxxxxxxxx"), "full: contents");
	check(write(log, "x", 1) == 1 && !fstat(log, &st) && st.st_size == 6, "log: appended");
	check(holds(tmp, 0, "tmpfile") && !fstat(tmp, &st) && (st.st_mode & 07777) == 0640, "O_TMPFILE");
	{
		char path[40];

		snprintf(path, sizeof(path), "/proc/self/fd/%d", tmp);
		check(!linkat(AT_FDCWD, path, AT_FDCWD, "born", AT_SYMLINK_FOLLOW) && !unlink("born"), "O_TMPFILE: link");
	}
	check(!strcmp(shared + 5000, "shared") && !strcmp(private + 4096, "private"), "mappings");
	strcpy(shared + 4096, "through");
	check(!strcmp(private, "through"), "two mappings of one file");
	check(holds(old, 0, "the old one") && !fstat(old, &st) && !st.st_nlink, "a file whose name was reused");
	old = open("again", O_RDONLY);
	check(holds(old, 0, "the new one"), "the file that has the name now");
	check(holds(odd, 0, "odd") && !access("odd (deleted)", F_OK), "a name that looks deleted");
	check(access("small", F_OK) && access("big", F_OK) && access("log", F_OK) && access("map", F_OK),
	      "a name came back");
}

static void do_dirs(void)
{
	int gone, file, sub;
	struct stat st, cwd;

	must(mkdir("a", 0755), "mkdir");
	must(mkdir("a/b", 0711), "mkdir");
	must(mkdir("a/b/c", 0755), "mkdir");
	file = make("a/b/c/file", O_RDWR, 0644, "deep");
	sub = must(open("a/b", O_RDONLY | O_DIRECTORY), "open");
	must(chdir("a/b"), "chdir");
	gone = must(open("c", O_PATH | O_DIRECTORY), "open");
	unlink("c/file");
	rmdir("c");
	rmdir("../b");
	{
		char a[4096];

		snprintf(a, sizeof(a), "%s/a", dir);
		must(rmdir(a), "rmdir");
	}
	wait_term();
	check(holds(file, 0, "deep"), "a file in a directory that is gone");
	check(!fstat(sub, &st) && S_ISDIR(st.st_mode) && (st.st_mode & 07777) == 0711 && !st.st_nlink, "directory");
	check(!stat(".", &cwd) && cwd.st_ino == st.st_ino, "working directory");
	check(!fstat(gone, &st) && S_ISDIR(st.st_mode), "directory below it");
	must(chdir(dir), "chdir");
	check(access("a", F_OK) < 0, "a directory came back");
}

static void do_link(void)
{
	int fd = make("name", O_RDWR, 0644, "linked");
	struct stat st, other;

	must(link("name", "other"), "link");
	unlink("name");
	lseek(fd, 2, SEEK_SET);
	wait_term();
	check(!fstat(fd, &st) && !stat("other", &other) && st.st_ino == other.st_ino, "not the same inode");
	check(holds(fd, 0, "linked") && lseek(fd, 0, SEEK_CUR) == 2, "contents");
	check(!strcmp(shown(fd), "name (deleted)"), "is shown as %s", shown(fd));
	check(access("name", F_OK) < 0, "the name came back");
}

static void do_fifo(void)
{
	static char big[7000], buf[8000];
	int r, w, rw, lone, alone, place;
	struct stat st;

	must(mkfifo("fifo", 0600), "mkfifo");
	must(mkfifo("lone", 0640), "mkfifo");
	must(mkfifo("gone", 0600), "mkfifo");
	rw = must(open("fifo", O_RDWR | O_NONBLOCK), "open");
	r = must(open("fifo", O_RDONLY | O_NONBLOCK), "open");
	w = must(open("fifo", O_WRONLY | O_APPEND), "open");
	lone = must(open("lone", O_RDONLY | O_NONBLOCK), "open");
	place = must(open("lone", O_PATH), "open");
	alone = must(open("gone", O_RDWR | O_NONBLOCK), "open");
	must(write(alone, "ghost", 5), "write");
	unlink("gone");
	must(fcntl(w, F_SETPIPE_SZ, 1 << 17), "size");
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = i * 31;
	must(write(w, big, sizeof(big)), "write");
	wait_term();
	check(fcntl(r, F_GETPIPE_SZ) == 1 << 17, "fifo: size %d", fcntl(r, F_GETPIPE_SZ));
	check((fcntl(r, F_GETFL) & (O_ACCMODE | O_NONBLOCK)) == O_NONBLOCK, "fifo: flags");
	check((fcntl(w, F_GETFL) & (O_ACCMODE | O_NONBLOCK | O_APPEND)) == (O_WRONLY | O_APPEND), "fifo: flags");
	check(read(r, buf, sizeof(buf)) == sizeof(big) && !memcmp(buf, big, sizeof(big)), "fifo: contents");
	check(read(rw, buf, 1) < 0 && errno == EAGAIN, "fifo: empty now");
	check(write(rw, "abc", 3) == 3 && read(r, buf, 9) == 3, "fifo: goes on");
	check(read(lone, buf, 1) == 0, "fifo without a writer");
	check((fcntl(place, F_GETFL) & O_PATH) && !fstat(place, &st) && S_ISFIFO(st.st_mode), "fifo: O_PATH");
	check(read(alone, buf, 9) == 5 && !memcmp(buf, "ghost", 5) && !fstat(alone, &st) && !st.st_nlink,
	      "fifo without a name");
	check(access("gone", F_OK) < 0, "a name came back");
}

static void do_huge(void)
{
	static char text[1 << 20];
	int fd = make("huge", O_RDWR, 0644, "x");

	memset(text, 'y', sizeof(text));
	must(write(fd, text, sizeof(text)), "write");
	must(write(fd, text, sizeof(text)), "write");
	unlink("huge");
	wait_term();
	check(holds(fd, 2 << 20, "y"), "contents");
}

static const struct {
	const char *name;
	void (*fn)(void);
} all[] = {
	{ "files", do_files }, { "dirs", do_dirs }, { "link", do_link }, { "fifo", do_fifo }, { "huge", do_huge },
};

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_term };

	if (argc != 3 || chdir(argv[2]) < 0)
		return 99;
	dir = argv[2];
	setsid();
	umask(022);
	sigaction(SIGTERM, &sa, NULL);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (!strcmp(all[i].name, argv[1])) {
			char text[320];

			all[i].fn();
			snprintf(text, sizeof(text), why[0] ? "FAIL %s\n" : "OK\n", why);
			put("verdict", text);
			return why[0] != 0;
		}
	return 99;
}
