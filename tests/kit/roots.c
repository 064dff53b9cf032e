// SPDX-License-Identifier: Apache-2.0
/*
 * roots: unix sockets whose names begin in another root than that of the first task: bound before the only task that
 * has them went into a chroot, bound in one, or in a mount namespace where other directories have these names.
 */
#define _GNU_SOURCE
#include "judge.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

static char top[80]; /* DIR */
static int said[2];  /* what a child has to say against it */

static int named(int type, const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type, 0);

	strcpy(a.sun_path, path);
	CHECK(bind(fd, (void *)&a, sizeof(a)) == 0 && (type == SOCK_DGRAM || listen(fd, 5) == 0));
	return fd;
}

static int has_name(int fd, const char *path)
{
	struct sockaddr_un a;
	socklen_t n = sizeof(a);

	return getsockname(fd, (void *)&a, &n) == 0 && !strcmp(a.sun_path, path);
}

static int to(int type, const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type, 0);

	strcpy(a.sun_path, path);
	if (connect(fd, (void *)&a, sizeof(a)) == 0)
		return fd;
	close(fd);
	return -1;
}

static int passes(int from, int fd)
{
	char c = 0;

	return write(from, "x", 1) == 1 && read(fd, &c, 1) == 1 && c == 'x';
}

static int is_ours(int fd)
{
	struct ucred c;
	socklen_t n = sizeof(c);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &n) == 0 && c.pid == getpid();
}

/* without waiting for it */
static int take(int fd)
{
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return accept(fd, NULL, NULL);
}

/* Does the name lead to that listener? */
static int meets(int fd, const char *path)
{
	int c = to(SOCK_STREAM, path), a = take(fd);

	return passes(c, a) && passes(a, c);
}

/* fn makes its sockets, says so, waits and checks them */
static pid_t start(void (*fn)(int ready))
{
	int ready[2];
	pid_t kid;
	char ok = 0;

	CHECK(pipe(ready) == 0 && pipe2(said, O_NONBLOCK) == 0);
	kid = fork();
	if (kid == 0) {
		close(ready[0]);
		fn(ready[1]);
		_exit(write(said[1], why, strlen(why)) != 0);
	}
	close(ready[1]);
	CHECK(read(ready[0], &ok, 1) == 1 && ok == '+');
	close(ready[0]);
	return kid;
}

static void wait_for_it(int ready)
{
	CHECK(write(ready, why[0] ? "-" : "+", 1) == 1 && close(ready) == 0);
	sleep_term();
}

static void good_end(pid_t kid)
{
	int st = -1;

	kill(kid, SIGTERM);
	if (waitpid(kid, &st, 0) != kid || st != 0)
		CHECK(read(said[0], why, sizeof(why) - 1) < 0); /* its reason is ours */
}

static char *below(const char *name)
{
	static char buf[2][108];
	static int n;

	n = !n;
	snprintf(buf[n], sizeof(buf[n]), "%s/%s", top, name);
	return buf[n];
}

/* ---- chroot ---- */

static void go_in(int ready)
{
	int abs = named(SOCK_STREAM, below("abs")), rel = named(SOCK_DGRAM, "rel"), in, c, a;

	/* each has a connection, the one of the chroot's own name too */
	c = to(SOCK_STREAM, below("abs"));
	a = accept(abs, NULL, NULL);
	CHECK(chdir("jail") == 0 && chroot(".") == 0);
	in = named(SOCK_STREAM, "/in");
	wait_for_it(ready);
	CHECK(has_name(abs, below("abs")) && has_name(rel, "rel") && has_name(in, "/in") && has_name(a, below("abs")));
	CHECK(passes(c, a) && passes(a, c) && is_ours(c) && is_ours(a));
	CHECK(to(SOCK_STREAM, below("abs")) < 0 && meets(in, "/in"));
	/* the parent has come by the other names */
	CHECK((a = take(abs)) >= 0 && write(a, "a", 1) == 1 && recv(rel, top, 1, MSG_DONTWAIT) == 1 && top[0] == 'd');
}

static void jail(void)
{
	char c = 0;
	int fd;
	pid_t kid;

	CHECK(mkdir("jail", 0755) == 0 && getcwd(top, sizeof(top)));
	kid = start(go_in);
	wait_term();
	CHECK((fd = to(SOCK_STREAM, below("abs"))) >= 0 && send(to(SOCK_DGRAM, below("rel")), "d", 1, 0) == 1);
	good_end(kid);
	CHECK(recv(fd, &c, 1, MSG_DONTWAIT) == 1 && c == 'a' && access("jail/in", F_OK) == 0);
}

/* ---- a mount namespace of its own ---- */

static void go_away(int ready)
{
	int abs, rel, c, a, d;

	CHECK(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	CHECK(mount("away", below("mnt"), "tmpfs", 0, NULL) == 0 && chdir(below("mnt")) == 0);
	abs = named(SOCK_STREAM, below("mnt/abs"));
	rel = named(SOCK_DGRAM, "rel");
	c = to(SOCK_STREAM, below("mnt/abs"));
	a = accept(abs, NULL, NULL);
	d = to(SOCK_DGRAM, "rel");
	CHECK(rename("rel", "moved") == 0);
	wait_for_it(ready);
	CHECK(has_name(abs, below("mnt/abs")) && has_name(rel, "rel") && passes(c, a) && is_ours(c) && is_ours(a));
	CHECK(passes(d, rel) && passes(to(SOCK_DGRAM, below("mnt/moved")), rel) && to(SOCK_DGRAM, "rel") < 0);
	CHECK(meets(abs, below("mnt/abs")));
}

static void away(void)
{
	pid_t kid;
	int fd;

	CHECK(mkdir("mnt", 0755) == 0 && getcwd(top, sizeof(top)));
	fd = named(SOCK_STREAM, below("mnt/abs")); /* another of that name */
	kid = start(go_away);
	wait_term();
	CHECK(meets(fd, "mnt/abs"));
	CHECK(access("mnt/rel", F_OK) < 0 && access("mnt/moved", F_OK) < 0);
	good_end(kid);
}

int main(int argc, char **argv)
{
	static const struct judge_case cases[] = { { "jail", jail, NULL }, { "away", away, NULL }, { NULL, NULL, NULL } };

	return judge_begin(argc, argv) < 0 ? 2 : judge_case(cases, argv[1]);
}
