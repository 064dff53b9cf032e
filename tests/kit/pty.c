// SPDX-License-Identifier: Apache-2.0
/*
 * pty: terminals, checked by those who have them.
 * Usage: pty CASE DIR. DIR/ready appears when all is set up; on SIGTERM "OK" or the first failure goes
 * into DIR/verdict. CASE outside: DIR/kid names a task whose terminal is held by another.
 */
#define _GNU_SOURCE
#include "judge.h"

#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>

static volatile sig_atomic_t winch;

static void on_winch(int sig) { winch++; }

static void touch(const char *name)
{
	close(open(name, O_CREAT | O_WRONLY, 0600));
}

static int master_of(const char *ptmx, int *index)
{
	int fd = open(ptmx, O_RDWR | O_NOCTTY), unlock = 0;

	CHECK(fd >= 0 && ioctl(fd, TIOCSPTLCK, &unlock) == 0 && ioctl(fd, TIOCGPTN, index) == 0);
	return fd;
}

static int master(int *index) { return master_of("/dev/ptmx", index); }

static int slave(int index, int flags)
{
	char name[32];
	int fd;

	snprintf(name, sizeof(name), "/dev/pts/%d", index);
	fd = open(name, flags | O_NOCTTY);
	CHECK(fd >= 0);
	return fd;
}

static int put(int fd, const char *text) { return write(fd, text, strlen(text)) == (ssize_t)strlen(text); }

/* exactly this can be read, and no more */
static int get(int fd, const char *text)
{
	char buf[8192];
	struct pollfd p = { fd, POLLIN, 0 };
	size_t n = 0;
	ssize_t got;

	while (n < sizeof(buf) - 1 && poll(&p, 1, 100) == 1 && (p.revents & POLLIN) &&
	       (got = read(fd, buf + n, sizeof(buf) - 1 - n)) > 0)
		n += got;
	buf[n] = 0;
	if (strcmp(buf, text))
		fprintf(stderr, "got \"%s\", not \"%s\"\n", buf, text);
	return !strcmp(buf, text);
}

static void until_echoed(int m, int n)
{
	int have = 0;

	while (ioctl(m, FIONREAD, &have) == 0 && have < n)
		usleep(1000);
}

/* line mode: whole lines and a piece of one; data of more than one buffer; several open files of a slave */
static void lines(void)
{
	int index, other, m = master(&index), s = slave(index, O_RDWR), r = slave(index, O_RDONLY | O_NONBLOCK);
	int m2 = master(&other), s2 = slave(other, O_RDWR), bits;
	struct winsize w = { 44, 132, 1, 2 }, now;
	struct termios t, t2, locked = { 0 };
	static char much[3000];

	CHECK(tcgetattr(s, &t) == 0);
	t.c_cc[VERASE] = 'q';
	CHECK(tcsetattr(s, TCSANOW, &t) == 0 && ioctl(m, TIOCSWINSZ, &w) == 0);
	CHECK(put(m, "one\ntwo\nthr"));
	until_echoed(m, 13);
	CHECK(put(s, "out\n")); /* OPOST makes it \r\n */
	cfmakeraw(&t2);
	tcgetattr(s2, &t2);
	cfmakeraw(&t2);
	CHECK(tcsetattr(s2, TCSANOW, &t2) == 0);
	memset(much, 'x', sizeof(much) - 1);
	CHECK(put(m2, much) && put(s2, much) && ioctl(m2, TIOCEXCL) == 0);
	locked.c_lflag = ECHO;
	CHECK(ioctl(s2, 0x5457 /* TIOCSLCKTRMIOS */, &locked) == 0);
	CHECK(fchmod(s2, 0642) == 0 && fchown(s2, 7, 8) == 0);
	touch("ready");
	sleep_term();
	CHECK(get(m, "one\r\ntwo\r\nthrout\r\n")); /* echoed once */
	CHECK(put(m, "qq\n") && get(r, "one\ntwo\nt\n")); /* "thr" and what is typed: erased by q */
	CHECK(tcgetattr(s, &t2) == 0 && t2.c_lflag == t.c_lflag && t2.c_cc[VERASE] == 'q');
	CHECK(ioctl(s, TIOCGWINSZ, &now) == 0 && !memcmp(&w, &now, sizeof(w)));
	CHECK((fcntl(r, F_GETFL) & (O_ACCMODE | O_NONBLOCK)) == (O_RDONLY | O_NONBLOCK));
	CHECK(!(fcntl(m, F_GETFL) & O_NONBLOCK) && !(fcntl(s, F_GETFL) & O_NONBLOCK));
	CHECK(get(s2, much) && get(m2, much));
	CHECK(ioctl(m2, TIOCGEXCL, &bits) == 0 && bits && ioctl(s2, TIOCGEXCL, &bits) == 0 && !bits);
	memset(&locked, 0, sizeof(locked));
	CHECK(ioctl(s2, 0x5456, &locked) == 0 && locked.c_lflag == ECHO);
	{
		struct stat st;

		CHECK(fstat(s2, &st) == 0 && (st.st_mode & 0777) == 0642 && st.st_uid == 7 && st.st_gid == 8);
	}
	finish();
}

static int hups(int fd)
{
	struct pollfd p = { fd, 0, 0 };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLHUP);
}

/* sides that are closed, never were open, are locked or hung up */
static void halves(void)
{
	int n[4], closed = master(&n[0]), never = master(&n[1]), locked, hung, lock = 1, m, bits = 0;
	struct termios t;

	m = slave(n[0], O_RDWR);
	CHECK(put(m, "last words"));
	close(m);
	locked = open("/dev/ptmx", O_RDWR | O_NOCTTY);
	m = master(&n[2]);
	hung = slave(n[2], O_RDWR);
	close(m);
	CHECK(locked >= 0 && tcgetattr(hung, &t) < 0);
	(void)lock;
	touch("ready");
	sleep_term();
	CHECK(hups(closed) && get(closed, "last words"));
	CHECK(!hups(never));
	m = slave(n[1], O_RDWR);
	CHECK(put(m, "first") && get(never, "first"));
	CHECK(ioctl(locked, 0x80045439 /* TIOCGPTLCK */, &bits) == 0 && bits == 1);
	CHECK(tcgetattr(hung, &t) < 0 && errno == EIO && hups(hung));
	finish();
}

/* a session on a terminal: a foreground group of its own, /dev/tty, a window size that changes */
static void session(void)
{
	int index, m = master(&index), st, s, tty, n = 0, fds[2];
	struct winsize w = { 10, 20, 0, 0 };
	pid_t leader, pg;
	char c;

	CHECK(pipe(fds) == 0);
	ioctl(m, TIOCSWINSZ, &w);
	leader = fork();
	if (!leader) {
		pid_t fore;

		setsid();
		signal(SIGTTOU, SIG_IGN);
		signal(SIGHUP, SIG_IGN);
		s = slave(index, O_RDWR);
		CHECK(ioctl(s, TIOCSCTTY, 0) == 0);
		tty = open("/dev/tty", O_RDWR);
		CHECK(tty >= 0);
		close(s); /* the terminal is held by /dev/tty only */
		fore = fork();
		if (!fore) {
			struct sigaction sa = { .sa_handler = on_winch };

			close(tty);
			setpgid(0, 0);
			sigaction(SIGWINCH, &sa, NULL);
			s = open("/dev/tty", O_WRONLY | O_NONBLOCK);
			while (tcgetpgrp(s) != getpid())
				usleep(1000);
			write(fds[1], "f", 1);
			sleep_term();
			CHECK(winch == 0);
			w.ws_row = 11;
			CHECK(ioctl(s, TIOCSWINSZ, &w) == 0);
			CHECK(winch == 1 && put(s, why[0] ? why : "fore ok\n"));
			_exit(why[0] ? 1 : 0);
		}
		setpgid(fore, fore);
		CHECK(tcsetpgrp(tty, fore) == 0);
		if (why[0])
			write(2, why, strlen(why));
		sleep_term();
		CHECK(tcgetpgrp(tty) == fore && tcgetsid(tty) == getpid());
		kill(fore, SIGTERM);
		CHECK(waitpid(fore, &st, 0) == fore && st == 0);
		close(open("/dev/tty", O_RDWR));
		CHECK(put(tty, why[0] ? why : "leader ok\n"));
		_exit(why[0] ? 1 : 0);
	}
	CHECK(read(fds[0], &c, 1) == 1);
	touch("ready");
	sleep_term();
	CHECK(ioctl(m, TIOCGPGRP, &pg) == 0 && pg > 0 && pg != leader);
	kill(leader, SIGTERM);
	CHECK(waitpid(leader, &st, 0) == leader && st == 0);
	CHECK(get(m, "fore ok\r\nleader ok\r\n"));
	(void)n;
	finish();
}

/* the tree is the child; its terminal's master is ours, or whoever's who restores it */
static void outside(const char *dir)
{
	int index, m = master(&index), s;
	struct winsize w = { 12, 34, 0, 0 };
	pid_t kid;
	char c;

	ioctl(m, TIOCSWINSZ, &w);
	kid = fork();
	if (!kid) {
		close(m);
		setsid();
		signal(SIGHUP, SIG_IGN);
		s = slave(index, O_RDWR);
		CHECK(ioctl(s, TIOCSCTTY, 0) == 0);
		for (int i = 0; i < 3; i++)
			dup2(s, i);
		touch("ready");
		sleep_term();
		CHECK(isatty(0) && put(1, "hello\n"));
		finish();
	}
	{
		FILE *f = fopen("kid", "w");

		fprintf(f, "%d %d\n", kid, index);
		fclose(f);
	}
	signal(SIGTERM, SIG_DFL);
	signal(SIGCHLD, SIG_IGN);
	while (read(m, &c, 1) >= 0 || errno != EBADF)
		usleep(10000);
}

/* terminals of one number in several instances of devpts */
static void instances(void)
{
	static const char *const where[] = { "/dev/pts", "one", "two" };
	int m[3], s[3], index[3];
	struct stat st;

	CHECK(mkdir("one", 0755) == 0 && mkdir("two", 0755) == 0);
	for (int i = 0; i < 3; i++) {
		char name[40];

		if (i)
			CHECK(mount("devpts", where[i], "devpts", 0, "newinstance,ptmxmode=666,max=9") == 0);
		snprintf(name, sizeof(name), "%s/ptmx", where[i]);
		m[i] = master_of(name, &index[i]);
		snprintf(name, sizeof(name), "%s/%d", where[i], index[i]);
		s[i] = open(name, O_RDWR | O_NOCTTY);
		CHECK(s[i] >= 0 && index[i] == index[0]);
		CHECK(put(m[i], where[i]) && put(m[i], "\n"));
		until_echoed(m[i], strlen(where[i]) + 2);
	}
	close(s[2]);
	wait_term();
	for (int i = 0; i < 3; i++) {
		struct stat master;
		int now = -1;
		char text[40];

		snprintf(text, sizeof(text), "%s\r\n", where[i]);
		CHECK(get(m[i], text));
		CHECK(ioctl(m[i], TIOCGPTN, &now) == 0 && now == index[i]);
		CHECK(stat(where[i], &st) == 0 && fstat(m[i], &master) == 0 && st.st_dev == master.st_dev);
		snprintf(text, sizeof(text), "%s\n", where[i]);
		CHECK(i == 2 || get(s[i], text));
		CHECK(i == 2 || (fstat(s[i], &master) == 0 && st.st_dev == master.st_dev));
	}
}

/* a session in a nested mount namespace, on terminal 0 of a devpts that is mounted there only; and one outside on another 0 */
static void nested(void)
{
	int index, m = master(&index), s = slave(index, O_RDWR), st = -1;
	pid_t kid = fork();

	if (kid == 0) {
		int inner, im, is, group = -1;

		close(m);
		close(s);
		CHECK(unshare(CLONE_NEWNS) == 0 && setsid() > 0);
		CHECK(mount("devpts", "/dev/pts", "devpts", 0, "newinstance,ptmxmode=666") == 0);
		im = master(&inner);
		is = slave(inner, O_RDWR);
		CHECK(inner == index && ioctl(is, TIOCSCTTY, 0) == 0 && put(im, "inner\n"));
		until_echoed(im, 7);
		touch("kid");
		sleep_term();
		CHECK(get(im, "inner\r\n") && get(is, "inner\n"));
		CHECK(ioctl(is, TIOCGPGRP, &group) == 0 && group == getpid());
		CHECK(fcntl(slave(inner, O_RDWR), F_GETFD) >= 0);
		_exit(!!why[0]);
	}
	while (access("kid", F_OK) < 0)
		usleep(1000);
	CHECK(put(m, "outer\n"));
	until_echoed(m, 7);
	wait_term();
	CHECK(get(m, "outer\r\n") && get(s, "outer\n"));
	kill(kid, SIGTERM);
	CHECK(waitpid(kid, &st, 0) == kid && st == 0);
}

int main(int argc, char **argv)
{
	if (judge_begin(argc, argv) < 0)
		return 2;
	if (!strcmp(argv[1], "lines"))
		lines();
	else if (!strcmp(argv[1], "halves"))
		halves();
	else if (!strcmp(argv[1], "instances")) {
		instances();
		finish();
	} else if (!strcmp(argv[1], "nested")) {
		nested();
		finish();
	}
	else if (!strcmp(argv[1], "session"))
		session();
	else
		outside(argv[2]);
	return 0;
}
